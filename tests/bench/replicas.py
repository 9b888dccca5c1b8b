#!/usr/bin/env python3
"""Measures what replication costs several servers side by side: the memory of a primary during a full synchronization under
load, and the processor time of a replica for what it applies.

    tests/bench/replicas.py NAME=COMMAND [NAME=COMMAND ...] [--keys 1000000] [--value 100] [--rounds 1] [--only REGEX]

COMMAND starts a server; '{port}' and '{dir}' in it are filled in. The load (valkey-benchmark, which tests/compat/peers.sh builds)
is SET of random keys. Rows:

  memory     a replica of the same kind attaches while all keys are being overwritten, 16 pipelined: by how much the resident memory
             (PSS, MB, of the server and its children) of the primary rose at most until the replica was up to date
  apply      SET pipelined by 100 at a primary, the first server of the list for all: microseconds of user and system time that the
             replica takes a key it applies, and the keys a second that a processor applies at that
  sync       seconds from REPLICAOF to a replica with all keys, without any load

The last column is the best other server over the first: above 1 the first one takes less.
"""
import argparse
import os
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PEERS = os.environ.get("PEERS", os.path.expanduser("~/.cache/peers"))
LOAD = os.path.join(PEERS, "valkey/src/valkey-benchmark")
TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A server in a directory of its own."""

    def __init__(self, command, port):
        self.port, self.dir = port, tempfile.mkdtemp(prefix="replicas-")
        command = command.format(port=port, dir=self.dir)
        with open(os.path.join(self.dir, "log"), "w") as log:
            self.process = subprocess.Popen(shlex.split(command), cwd=self.dir, stdout=log, stderr=log)
        limit = time.time() + 30
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
                break
            except OSError:
                if self.process.poll() is not None or time.time() > limit:
                    sys.exit(f"{command}: no answer; see {self.dir}/log")
                time.sleep(0.02)
        self.ask("CONFIG", "SET", "save", "")
        self.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        self.ask("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0")

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        reply = self.socket.recv(65536)
        while not reply.endswith(b"\r\n"):
            reply += self.socket.recv(65536)
        if reply[:1] != b"$":
            return reply[1:-2].decode()
        head, _, rest = reply.partition(b"\r\n")
        while len(rest) < int(head[1:]) + 2:
            rest += self.socket.recv(65536)
        return rest[:-2].decode()

    def info(self, field):
        found = re.search(rf"^{field}:(.*?)\r?$", self.ask("INFO", "everything"), re.M)
        return found.group(1) if found else ""

    def processor_time(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self):
        """Megabytes of the server and its children."""
        total, processes = 0, [self.process.pid]
        for process in processes:
            try:
                for task in os.listdir(f"/proc/{process}/task"):
                    processes += map(int, open(f"/proc/{process}/task/{task}/children").read().split())
                with open(f"/proc/{process}/smaps_rollup") as lines:
                    total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            except OSError:
                pass  # It has ended meanwhile.
        return total / 1024

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def load(server, options, requests, pipeline, *more):
    return [LOAD, "-p", str(server.port), "-n", str(requests), "-P", str(pipeline), "-c", "30", "-d", str(options.value),
            "-r", str(options.keys), "-q", *more, "--", "SET", "key:__rand_int__", "__data__"]


def fill(server, options):
    subprocess.run(load(server, options, options.keys, 100, "--sequential"), stdout=subprocess.DEVNULL, check=True)


def attach(primary, replica, limit=120):
    """Waits until the replica has the primary's keys; the seconds that took."""
    began = time.time()
    replica.ask("REPLICAOF", "127.0.0.1", primary.port)
    while replica.info("master_link_status") != "up" or replica.ask("DBSIZE") != primary.ask("DBSIZE"):
        if time.time() - began > limit:
            raise TimeoutError("the replica didn't get all keys")
        time.sleep(0.01)
    return time.time() - began


def wait_for_stream(primary, replica):
    end = int(primary.info("master_repl_offset"))
    while int(replica.info("slave_repl_offset") or 0) < end:
        time.sleep(0.005)


def memory(commands, place, options):
    primary, replica = (Server(commands[place], options.port + port) for port in (0, 1))
    try:
        fill(primary, options)
        writer = subprocess.Popen(load(primary, options, 10**9, 16), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            before, most, done = primary.memory(), [0], threading.Event()

            def watch():
                while not done.is_set():
                    most[0] = max(most[0], primary.memory())
                    time.sleep(0.05)
            watcher = threading.Thread(target=watch)
            watcher.start()
            attach(primary, replica)
            done.set()
            watcher.join()
        finally:
            writer.kill()
            writer.wait()
        return most[0] - before
    finally:
        primary.stop()
        replica.stop()


def apply(commands, place, options):
    primary, replica = Server(commands[0], options.port), Server(commands[place], options.port + 1)
    try:
        fill(primary, options)
        attach(primary, replica)
        requests = 2 * options.keys
        began = replica.processor_time()
        subprocess.run(load(primary, options, requests, 100), stdout=subprocess.DEVNULL, check=True)
        wait_for_stream(primary, replica)
        return (replica.processor_time() - began) / requests * 1e6
    finally:
        primary.stop()
        replica.stop()


def sync(commands, place, options):
    primary, replica = (Server(commands[place], options.port + port) for port in (0, 1))
    try:
        fill(primary, options)
        return attach(primary, replica)
    finally:
        primary.stop()
        replica.stop()


ROWS = [("memory: rise of a primary during a full sync, MB", memory), ("apply: a key at a replica, us", apply),
        ("sync: full, s", sync)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--port", type=int, default=27400)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not os.path.exists(LOAD):
        sys.exit(f"{LOAD} is not there: run tests/compat/peers.sh")
    names, commands = zip(*(server.split("=", 1) for server in options.servers))
    print(f"{'':50}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>8}")
    for title, row in ROWS:
        if not re.search(options.only, title):
            continue
        taken = [[] for _ in names]
        for _ in range(options.rounds):
            for place in range(len(names)):
                taken[place].append(row(commands, place, options))
        taken = [statistics.median(values) for values in taken]
        ratio = min(taken[1:], default=0) / max(taken[0], 1e-9)
        print(f"{title:50}" + "".join(f"{value:12.3f}" for value in taken) + f"{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
