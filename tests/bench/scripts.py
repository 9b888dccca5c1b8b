#!/usr/bin/env python3
"""Measures scripts, users, tracking and publishing of several servers side by side: processor time of the server per request,
and bytes of memory of a script, a user, a tracked key.

    tests/bench/scripts.py NAME=COMMAND [NAME=COMMAND ...] [--only REGEX] [--rounds 3]

COMMAND starts a server; '{port}' and '{dir}' in it are filled in. The servers take turns, each pinned to processor 0, the load
(valkey-benchmark, which tests/compat/peers.sh builds) to processor 1. Of each row and server the median of the rounds is printed,
in microseconds of user and system time per request (per delivery, of PUBLISH) or in bytes, and the ratio of the best other server
to the first: above 1 the first one takes less.
"""
import argparse
import os
import re
import select
import shlex
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
JSON = ('{"id":12345,"user":"alice.example","tags":["a","b","c","d"],"n":1,"items":['
        + ",".join('{"sku":"SKU-%05d","qty":%d,"price":%s,"note":"some text here"}' % (i, i, i * 1.25) for i in range(14))
        + '],"ok":true,"none":null}')
TEN = ('for i = 1, 10 do redis.call("INCRBY", KEYS[1], i) end return redis.call("GET", KEYS[1])')
CJSON = 'local t = cjson.decode(ARGV[1]) t.n = t.n + 1 return cjson.encode(t)'
LIBRARY = "#!lua name=bench\nredis.register_function('get', function(keys) return redis.call('GET', keys[1]) end)"
USER = ["on", ">secret", "~key:*", "%R~other:*", "+@read", "+@write", "-@dangerous", "+info", "+config|get", "-keys",
        "&news:*", "(+@list ~queue:*)", "(%W~log:* +append)"]


def encoded(words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Client:
    """Requests to a server, one after another."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")

    def ask(self, *words):
        self.socket.sendall(encoded([word.encode() if isinstance(word, str) else word for word in words]))
        return self.read()

    def read(self):
        line = self.stream.readline().rstrip()
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        if kind in b"*>%":
            return [self.read() for _ in range(int(rest) * (2 if kind == b"%" else 1))]
        return rest


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.dir = tempfile.mkdtemp(prefix="bench-")
        words = shlex.split(command.format(port=port, dir=self.dir))
        self.process = subprocess.Popen(["taskset", "-c", "0", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.time() + 10
        while True:
            try:
                self.client = Client(port)
                self.client.ask("PING")
                return
            except OSError:
                if time.time() > deadline:
                    raise
                time.sleep(0.05)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self):
        """Bytes that the process holds in memory."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        self.process.kill()
        self.process.wait()


def load(server, requests, pipeline, words, auth=()):
    """Runs requests; the server's time for one, in microseconds."""
    command = ["taskset", "-c", "1", LOAD, "-p", str(server.port), "-n", str(requests), "-P", str(pipeline), "-c", "50", "-q",
               "-r", "100000", *auth, *words]
    before = server.cpu()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    if "rror" in done.stdout:
        raise RuntimeError(done.stdout)
    return (server.cpu() - before) / requests * 1e6


def fill(server):
    load(server, 100_000, 100, ["--sequential", "SET", "key:__rand_int__", "x" * 32])


def sha1(server, script):
    return server.client.ask("SCRIPT", "LOAD", script).decode()


def trackers(server, count):
    """Clients that track every key by broadcast."""
    clients = [Client(server.port) for _ in range(count)]
    for client in clients:
        client.ask("HELLO", "3")
        client.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "other:")
    return clients


def as_user(server):
    fill(server)
    server.client.ask("ACL", "SETUSER", "bench", *USER)
    return load(server, 1_500_000, 16, ["GET", "key:__rand_int__"], ["--user", "bench", "-a", "secret"])


def as_default(server):
    fill(server)
    return load(server, 1_500_000, 16, ["GET", "key:__rand_int__"])


def eval_get(server):
    fill(server)
    return load(server, 400_000, 16, ["EVAL", 'return redis.call("GET",KEYS[1])', "1", "key:__rand_int__"])


def ten_calls(server):
    return load(server, 100_000, 16, ["EVALSHA", sha1(server, TEN), "1", "key:__rand_int__"])


def fcall(server):
    fill(server)
    server.client.ask("FUNCTION", "LOAD", LIBRARY)
    return load(server, 400_000, 16, ["FCALL", "get", "1", "key:__rand_int__"])


def cjson(server):
    return load(server, 50_000, 16, ["EVALSHA", sha1(server, CJSON), "0", JSON])


def set_while_tracked(server):
    clients = trackers(server, 1000)
    spent = load(server, 1_000_000, 16, ["SET", "key:__rand_int__", "x" * 32])
    del clients
    return spent


class Readers:
    """Connections whose bytes a thread reads and drops; they are counted."""

    def __init__(self, sockets):
        self.poll, self.sockets, self.count = select.epoll(), {}, 0
        for connection in sockets:
            connection.setblocking(False)
            self.sockets[connection.fileno()] = connection
            self.poll.register(connection.fileno(), select.EPOLLIN)
        self.is_over = False
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        while not self.is_over:
            for descriptor, _ in self.poll.poll(0.1):
                self.count += len(self.sockets[descriptor].recv(65536))

    def wait_for(self, count):
        deadline = time.time() + 60
        while self.count < count:
            if time.time() > deadline:
                raise RuntimeError(f"{self.count} bytes of {count} have come")
            time.sleep(0.01)

    def stop(self):
        self.is_over = True
        self.thread.join()


def publish(server):
    """A message to each of 1,000 subscribers, eight messages in a pipeline: the time for one delivery."""
    subscribers, messages, body = 1000, 2000, "x" * 32
    clients = [Client(server.port) for _ in range(subscribers)]
    for client in clients:
        client.ask("SUBSCRIBE", "channel")
    size = len("*3\r\n$7\r\nmessage\r\n$7\r\nchannel\r\n$32\r\n\r\n") + len(body)
    readers = Readers([client.socket for client in clients])
    try:
        before = server.cpu()
        for _ in range(messages // 8):
            server.client.socket.sendall(encoded([b"PUBLISH", b"channel", body.encode()]) * 8)
            if [server.client.read() for _ in range(8)] != [b"%d" % subscribers] * 8:
                raise RuntimeError("not every subscriber was reached")
        readers.wait_for(size * subscribers * messages)
        return (server.cpu() - before) / (subscribers * messages) * 1e6
    finally:
        readers.stop()


def tracked_get(server):
    """GET of a client that tracks what it reads."""
    fill(server)
    client = Client(server.port)
    client.ask("HELLO", "3")
    client.ask("CLIENT", "TRACKING", "ON")
    count, batches = 400_000, []
    for start in range(0, 16_000, 16):
        batches.append(b"".join(encoded([b"GET", b"key:%012d" % (start + number)]) for number in range(16)))
    before = server.cpu()
    for number in range(count // 16):
        client.socket.sendall(batches[number % len(batches)])
        for _ in range(16):
            client.read()
    return (server.cpu() - before) / count * 1e6


def growth(server, client, count, request):
    """Bytes of memory for each of so many requests, of which `request` gives the words."""
    before = server.memory()
    for start in range(0, count, 1000):
        requests = [request(number) for number in range(start, start + 1000)]
        client.socket.sendall(b"".join(map(encoded, requests)))
        for _ in requests:
            client.read()
    return (server.memory() - before) / count


def script_memory(server):
    """A cached script of 1 KB."""
    body = b"local t = {} " + b" ".join(b"t[%d] = redis.call('GET', KEYS[1])" % number for number in range(27))
    return growth(server, server.client, 20_000, lambda number: [b"SCRIPT", b"LOAD", b"%s return %09d" % (body, number)])


def user_memory(server):
    return growth(server, server.client, 100_000, lambda number: [
        b"ACL", b"SETUSER", b"user%09d" % number, b"on", b">secret%d" % number, b"~app:%d:*" % number, b"+@read"])


def tracked_memory(server):
    """A tracked key; it doesn't exist, so that only the table of tracked keys grows."""
    client = Client(server.port)
    client.ask("HELLO", "3")
    client.ask("CLIENT", "TRACKING", "ON")
    return growth(server, client, 1_000_000, lambda number: [b"GET", b"user:%010d" % number])


ROWS = [
    ("EVAL of GET P16", eval_get),
    ("EVALSHA of ten calls P16", ten_calls),
    ("FCALL of GET P16", fcall),
    ("EVALSHA cjson of 1 KB P16", cjson),
    ("GET P16 as the default user", as_default),
    ("GET P16 as a user with rules", as_user),
    ("SET P16, 1,000 clients track by BCAST", set_while_tracked),
    ("GET P16 of a tracking client", tracked_get),
    ("PUBLISH P8 to 1,000, a delivery", publish),
    ("bytes of a cached script of 1 KB", script_memory),
    ("bytes of a user, of 100,000", user_memory),
    ("bytes of a tracked key, of 1M", tracked_memory),
]


def main(rows, description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=27100)
    arguments = parser.parse_args()
    if not os.path.exists(LOAD):
        sys.exit(f"{LOAD} is not there: run tests/compat/peers.sh")
    servers = [server.split("=", 1) for server in arguments.servers]
    print(f"{'':40}" + "".join(f"{name:>12}" for name, _ in servers) + f"{'ratio':>8}")
    for title, row in rows:
        if not re.search(arguments.only, title):
            continue
        spent = {name: [] for name, _ in servers}
        for _ in range(arguments.rounds):
            for place, (name, command) in enumerate(servers):
                server = Server(name, command, arguments.port + place)
                try:
                    spent[name].append(row(server))
                finally:
                    server.stop()
        medians = [statistics.median(spent[name]) for name, _ in servers]
        ratio = f"{min(medians[1:]) / medians[0]:8.2f}" if len(medians) > 1 else ""
        print(f"{title:40}" + "".join(f"{median:12.3f}" for median in medians) + ratio, flush=True)


if __name__ == "__main__":
    main(ROWS, __doc__)
