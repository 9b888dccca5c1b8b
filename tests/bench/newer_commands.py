#!/usr/bin/env python3
"""Measures commands that Redis 8.4 and 8.6 brought, vector sets included, of several servers side by side: processor time of the server
per request.

    tests/bench/newer_commands.py NAME=COMMAND [NAME=COMMAND ...] [--only REGEX] [--rounds 3]

As scripts.py, whose servers, load and table these are. A row that a server doesn't know ends the run: choose with --only. The rows
of vector sets take minutes: VECTORS (100000) elements of DIMENSIONS (256) are added, around CLUSTERS (1000) centres, or anywhere if that is 0;
these are variables of the environment.
"""
import array
import functools
import os
import random

import scripts
from scripts import encoded, load

VALUE = "x" * 32
KEYS = 1_000_000
VECTORS = int(os.environ.get("VECTORS", 100_000))
DIMENSIONS = int(os.environ.get("DIMENSIONS", 256))
CLUSTERS = int(os.environ.get("CLUSTERS", 1000))


def ask_all(client, requests):
    """Sends requests in pipelines of 100; their replies."""
    replies = []
    for start in range(0, len(requests), 100):
        part = requests[start:start + 100]
        client.socket.sendall(b"".join(map(encoded, part)))
        replies += [client.read() for _ in part]
    return replies


def fill(server, count=KEYS):
    load(server, count, 100, ["-r", str(count), "--sequential", "SET", "key:__rand_int__", VALUE])


def on_keys(*words, requests=1_500_000):
    """A row: a command on random keys of a million strings."""
    def row(server):
        fill(server)
        return load(server, requests, 16, ["-r", str(KEYS), *words])
    return row


def delex(*condition):
    """A row: each key is deleted once."""
    def row(server):
        fill(server)
        return load(server, KEYS, 16, ["-r", str(KEYS), "--sequential", "DELEX", "key:__rand_int__", *condition])
    return row


def msetex(*options):
    return on_keys("MSETEX", "10", *["key:__rand_int__", VALUE] * 10, *options, requests=200_000)


def xadd_idmp(server):
    """Each entry has an id of its own."""
    words = ["XADD", "stream", "IDMP", "producer", "id:__rand_int__", "MAXLEN", "~", "10000", "*", "field", VALUE]
    return load(server, 500_000, 16, ["-r", "500000", "--sequential", *words])


def xreadgroup_claim(server):
    """Ten of a thousand pending entries are claimed by each request."""
    client = server.client
    client.ask("XGROUP", "CREATE", "stream", "group", "0", "MKSTREAM")
    ask_all(client, [[b"XADD", b"stream", b"*", b"field", VALUE.encode()]] * 1000)
    client.ask("XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1000", "STREAMS", "stream", ">")
    words = ["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "10", "CLAIM", "0", "STREAMS", "stream", ">"]
    return load(server, 100_000, 16, words)


@functools.cache
def gaussians():
    """Numbers of which vectors are pieces: to draw each anew would take longer than what is measured."""
    chance = random.Random(0)
    return [chance.gauss(0, 1) for _ in range(1_000_003)]


def piece(start):
    start %= 1_000_003 - DIMENSIONS
    return gaussians()[start:start + DIMENSIONS]


def vector(chance):
    components = piece(chance.randrange(1 << 40))
    if CLUSTERS > 0:
        centre = piece(7_919 * chance.randrange(CLUSTERS))
        components = [near + far / 2 for near, far in zip(centre, components)]
    return array.array("f", components).tobytes()


def add_vectors(server):
    """Adds the vectors; the server's time for one, in microseconds."""
    chance, before = random.Random(1), server.cpu()
    for start in range(0, VECTORS, 1000):
        ask_all(server.client, [[b"VADD", b"vectors", b"FP32", vector(chance), b"element:%012d" % number]
                                for number in range(start, min(start + 1000, VECTORS))])
    return (server.cpu() - before) / VECTORS * 1e6


def vector_memory(server):
    before = server.memory()
    add_vectors(server)
    return (server.memory() - before) / VECTORS


def vsim(server):
    """Queries by element."""
    add_vectors(server)
    return load(server, 20_000, 1, ["-r", str(VECTORS), "VSIM", "vectors", "ELE", "element:__rand_int__", "COUNT", "10"])


def recall(server):
    """Of the ten nearest of 200 vectors that are not in the set, the share that is found."""
    add_vectors(server)
    chance, found = random.Random(2), 0
    for _ in range(200):
        words = ["VSIM", "vectors", "FP32", vector(chance), "COUNT", "10"]
        found += len(set(server.client.ask(*words)) & set(server.client.ask(*words, "TRUTH")))
    return found / 2000


ROWS = [
    ("SET IFEQ P16", on_keys("SET", "key:__rand_int__", VALUE, "IFEQ", VALUE)),
    ("SET IFEQ, refused P16", on_keys("SET", "key:__rand_int__", VALUE, "IFEQ", "other")),
    ("SET IFDNE P16", on_keys("SET", "key:__rand_int__", VALUE, "IFDNE", "0123456789abcdef")),
    ("DELEX P16", delex()),
    ("DELEX IFEQ P16", delex("IFEQ", VALUE)),
    ("DIGEST of 32 bytes P16", on_keys("DIGEST", "key:__rand_int__")),
    ("MSETEX of 10 keys P16", msetex()),
    ("MSETEX of 10 keys, EX P16", msetex("EX", "1000")),
    ("XADD IDMP P16", xadd_idmp),
    ("XREADGROUP CLAIM of 10 P16", xreadgroup_claim),
    ("VADD", add_vectors),
    ("VSIM of 10", vsim),
    ("bytes of a vector", vector_memory),
    ("recall of VSIM, share of 10 (more is better)", recall),
]

if __name__ == "__main__":
    scripts.main(ROWS, __doc__)
