#!/usr/bin/env python3
"""Moves slots between two nodes by their atomic migration while clients write to keys of these slots.

    tests/bench/slot_moves.py COMMAND [--dialect valkey|redis] [--target COMMAND] [--keys 3000000] [--slots 1000] [--port 27000]

COMMAND starts a server ('target/release/redloop', 'valkey-server'); --target names another one for the node that the slots go to. The
dialect is Valkey's (CLUSTER MIGRATESLOTS at the source) or Redis's (CLUSTER MIGRATION IMPORT at the target). Four clients write to
keys of the moved slots, each request after the answer to the one before, and follow redirections; one more loads the source
with pipelined SETs of other slots. Printed: how long the move took, the longest time between two acknowledged writes of a
client meanwhile and before, and how many keys were lost, doubled, or have another value than the last one acknowledged.
"""
import argparse
import binascii
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

SLOTS = 16384


def slot_of(key):
    return binascii.crc_hqx(key.encode(), 0) % SLOTS


class Client:
    """Requests to a server, one after another."""

    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
        if kind in b"*~>":
            return [self.reply() for _ in range(max(int(rest), 0))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest.decode()


class Writer(threading.Thread):
    """Writes numbers to keys of its own until it is told to stop, and follows redirections."""

    def __init__(self, ports, keys):
        super().__init__(daemon=True)
        self.ports, self.keys, self.at = ports, keys, ports[0]
        self.clients = {port: Client(port) for port in ports}
        self.acknowledged, self.times, self.stopped = {}, [], False

    def write(self, key, number):
        while True:
            try:
                self.clients[self.at].ask("SET", key, number)
                return
            except RuntimeError as error:
                word = str(error).split()
                if word[0] == "MOVED":
                    self.at = int(word[2].rsplit(":", 1)[1])
                elif word[0] not in ("TRYAGAIN", "CLUSTERDOWN"):
                    raise

    def run(self):
        number = 0
        while not self.stopped:
            key = self.keys[number % len(self.keys)]
            self.write(key, number)
            self.acknowledged[key] = str(number)
            self.times.append(time.perf_counter())
            number += 1

    def longest(self, since, until):
        times = [moment for moment in self.times if since - 1 <= moment <= until + 1]
        gaps = [after - before for before, after in zip(times, times[1:]) if after >= since and before <= until]
        return max(gaps, default=0)


def until(what, seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        try:
            found = condition()
            if found:
                return found
        except (OSError, ConnectionError):
            pass
        time.sleep(0.002)
    raise SystemExit(f"timed out: {what}")


def start(command, port, folder):
    os.makedirs(folder)
    words = ["--port", str(port), "--cluster-enabled", "yes", "--save", "", "--appendonly", "no", "--dir", folder]
    words += ["--enable-debug-command", "yes", "--cluster-node-timeout", "15000"]
    with open(os.path.join(folder, "log"), "w") as log:
        return subprocess.Popen(shlex.split(command) + words, stdout=log, stderr=log)


def load(port, key):
    """Pipelined SETs of one slot that stays, from a process of its own."""
    program = (
        "import socket,sys\n"
        "s=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
        "k=sys.argv[2].encode()\n"
        "r=b'*3\\r\\n$3\\r\\nSET\\r\\n$%d\\r\\n%s\\r\\n$32\\r\\n'%(len(k),k)+b'x'*32+b'\\r\\n'\n"
        "while 1:\n"
        "  s.sendall(r*16);n=0\n"
        "  while n<5*16:n+=len(s.recv(65536))\n"
    )
    return subprocess.Popen(["python3", "-c", program, str(port), key], stderr=subprocess.DEVNULL)


def one_round(options, root, number):
    ports = [options.port + 2 * number, options.port + 2 * number + 1]
    commands = [options.command, options.target or options.command]
    processes = [start(command, port, os.path.join(root, str(port))) for command, port in zip(commands, ports)]
    try:
        for port in ports:
            until("a server", 10, lambda: Client(port).ask("PING"))
        source, target = (Client(port) for port in ports)
        source.ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        source.ask("CLUSTER", "SET-CONFIG-EPOCH", 1)
        target.ask("CLUSTER", "SET-CONFIG-EPOCH", 2)
        source.ask("CLUSTER", "MEET", "127.0.0.1", ports[1])
        until("a cluster", 30, lambda: all("cluster_state:ok" in c.ask("CLUSTER", "INFO") and "known_nodes:2" in c.ask("CLUSTER", "INFO") for c in (source, target)))
        source.ask("DEBUG", "POPULATE", options.keys, "key", 100)
        last = options.slots - 1
        names = [name for name in (f"w{n}" for n in range(400 * SLOTS // options.slots)) if slot_of(name) <= last]
        writers = [Writer(ports, names[n::4]) for n in range(4)]
        processes.append(load(ports[0], next(n for n in (f"l{n}" for n in range(10 ** 6)) if slot_of(n) > last)))
        [writer.start() for writer in writers]
        time.sleep(2)
        begin = time.perf_counter()
        if options.dialect == "valkey":
            source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, last, "NODE", target.ask("CLUSTER", "MYID"))
        else:
            target.ask("CLUSTER", "MIGRATION", "IMPORT", 0, last)
        owned = f" 0-{last}"
        until("the move", 300, lambda: any("myself" in line and owned in line for line in target.ask("CLUSTER", "NODES").split("\n")))
        end = time.perf_counter()
        time.sleep(1)
        for writer in writers:
            writer.stopped = True
        [writer.join() for writer in writers]
        total = options.keys + len(names) + 1
        before = max(writer.longest(begin - 1.5, begin) for writer in writers)
        during = max(writer.longest(begin, end) for writer in writers)
        expected = {key: value for writer in writers for key, value in writer.acknowledged.items()}
        wrong = sum(target.ask("GET", key) != value for key, value in expected.items())
        until("the source to forget", 60, lambda: source.ask("CLUSTER", "COUNTKEYSINSLOT", 0) == 0 and source.ask("CLUSTER", "COUNTKEYSINSLOT", last) == 0)
        try:
            until("the numbers of keys", 10, lambda: source.ask("DBSIZE") + target.ask("DBSIZE") == total)
        except SystemExit:
            pass
        extra = source.ask("DBSIZE") + target.ask("DBSIZE") - total
        writes = sum(len(writer.times) for writer in writers)
        print(f"{end - begin:.2f} s, {target.ask('DBSIZE')} keys moved; longest pause {during * 1000:.1f} ms ({before * 1000:.1f} before); "
              f"{writes} writes, {wrong} with another value, {extra:+d} keys", flush=True)
        return end - begin, during
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command")
    parser.add_argument("--target")
    parser.add_argument("--dialect", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--keys", type=int, default=3_000_000)
    parser.add_argument("--slots", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=20500)
    options = parser.parse_args()
    root = tempfile.mkdtemp()
    try:
        rounds = [one_round(options, root, number) for number in range(options.rounds)]
        seconds, pauses = zip(*rounds)
        print(f"median {statistics.median(seconds):.2f} s, longest pause {statistics.median(pauses) * 1000:.1f} ms")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
