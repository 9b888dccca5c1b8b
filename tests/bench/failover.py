#!/usr/bin/env python3
"""Counts writes that WAIT 1 acknowledged and that a failover under Sentinel has lost: three servers, three sentinels, kill -9.

    tests/bench/failover.py COMMAND [--rounds 50] [--port 26000]

COMMAND starts a server ('target/release/redloop'); with --sentinel it is a sentinel. In each round a client writes to the primary
and waits for one replica after each write; the primary is killed; as soon as the sentinels name another, all acknowledged writes
are looked for there. The killed server is started again and becomes a replica. Printed: writes acknowledged and lost, and how
long the failovers took.
"""
import argparse
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time


class Client:
    """Requests to a server, one after another."""

    def __init__(self, port, timeout=5):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.stream = self.socket.makefile("rb")

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.reply()

    def reply(self):
        line = self.stream.readline()
        if not line:
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:].strip()
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.reply() for _ in range(max(int(rest), 0))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest.decode()


def until(what, seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        try:
            found = condition()
            if found:
                return found
        except (OSError, RuntimeError, ConnectionError):
            pass
        time.sleep(0.02)
    raise SystemExit(f"timed out: {what}")


class Writer(threading.Thread):
    """Writes to a primary until it dies; keeps what was acknowledged."""

    def __init__(self, port, first):
        super().__init__(daemon=True)
        self.client, self.next, self.acknowledged = Client(port), first, []

    def run(self):
        try:
            while True:
                self.client.ask("SET", f"key:{self.next}", self.next)
                if self.client.ask("WAIT", 1, 1000) >= 1:
                    self.acknowledged.append(self.next)
                self.next += 1
        except (OSError, RuntimeError, ConnectionError):
            pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--port", type=int, default=26000)
    options = parser.parse_args()
    base, root = options.port, tempfile.mkdtemp()
    ports, processes = [base, base + 1, base + 2], {}

    def start(name, *words):
        directory = os.path.join(root, name)
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "log"), "a") as log:
            processes[name] = subprocess.Popen(shlex.split(options.command) + list(words), cwd=directory, stdout=log, stderr=log)

    def start_server(port, *words):
        start(str(port), "--port", str(port), "--save", "", "--repl-diskless-sync-delay", "0", *words)

    try:
        start_server(ports[0])
        until("a server", 5, lambda: Client(ports[0]).ask("PING"))
        for port in ports[1:]:
            start_server(port, "--replicaof", "127.0.0.1", str(ports[0]))
        for number in range(3):
            name = f"sentinel{number}"
            os.makedirs(os.path.join(root, name))
            path = os.path.join(root, name, "conf")
            with open(path, "w") as conf:
                conf.write(f"port {base + 10 + number}\nsentinel monitor m 127.0.0.1 {ports[0]} 2\n"
                           "sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 4000\n")
            start(name, path, "--sentinel")
        primary, first, written, lost, times = ports[0], 0, 0, 0, []
        for _ in range(options.rounds):
            def ready():
                facts = Client(base + 10).ask("SENTINEL", "MASTER", "m")
                facts = dict(zip(facts[::2], facts[1::2]))
                replicas = Client(int(facts["port"])).ask("INFO", "replication").count("state=online")
                is_whole = facts["flags"] == "master" and facts["num-other-sentinels"] == "2" and replicas == 2
                return int(facts["port"]) if is_whole else None
            # A busy machine may have let the sentinels change the primary meanwhile.
            primary = until("two replicas and three sentinels", 60, ready)
            writer = Writer(primary, first)
            writer.start()
            time.sleep(0.5)
            processes[str(primary)].send_signal(signal.SIGKILL)
            processes[str(primary)].wait()
            killed = time.time()
            writer.join()
            old = primary

            def other():
                answer = Client(base + 10).ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m")
                return int(answer[1]) if int(answer[1]) != old else None
            primary = until("a failover", 60, other)
            until("its role", 20, lambda: Client(primary).ask("ROLE")[0] == "master")
            times.append(time.time() - killed)
            client = Client(primary)
            lost += sum(client.ask("GET", f"key:{number}") != str(number) for number in writer.acknowledged)
            written += len(writer.acknowledged)
            first = writer.next + 1
            start_server(old)
        print(f"{options.rounds} failovers: {written} writes acknowledged by WAIT 1, {lost} lost; "
              f"median {statistics.median(times):.2f} s, longest {max(times):.2f} s")
    finally:
        for process in processes.values():
            process.kill()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
