#!/usr/bin/env python3
"""Vector sets between this server and Redis 8.6: payloads of DUMP, full synchronizations and command streams, in both directions.

    exchange.py OUR_PORT THEIR_PORT

Both servers need `enable-debug-command yes`. Prints what differs, and in the end how many comparisons there were.
"""

import random
import struct
import sys
import time

import redis

compared = 0
different = []


def compare(what, ours, theirs):
    global compared
    compared += 1
    if ours != theirs:
        different.append(f"{what}: {ours!r} / {theirs!r}")


def pack(vector):
    return struct.pack(f"{len(vector)}f", *vector)


def fill(server, key, rng, count):
    """Makes a set of any shape, and removes some of it."""
    dim = rng.choice([1, 2, 3, 5, 16, 17, 64, 100])
    shape = [rng.choice(["NOQUANT", "Q8", "BIN"]), "M", rng.choice([4, 8, 16])]
    reduce = ["REDUCE", max(1, dim // 2)] if rng.random() < 0.3 and dim > 1 else []
    add = lambda name, *more: server.execute_command(
        "VADD", key, *reduce, "FP32", pack([rng.gauss(0, 1) for _ in range(dim)]), name, *shape, *more
    )
    for n in range(count):
        add(f"e{n}", *(["SETATTR", '{"n":%d}' % n] if rng.random() < 0.5 else []))
    for n in range(1, count):
        if rng.random() < 0.2:
            server.execute_command("VREM", key, f"e{n}")
    return add


def names(server, key):
    return server.execute_command("VRANGE", key, "-", "+")


def compare_sets(what, ours, theirs, key, links):
    for command in (["VRANGE", key, "-", "+"], ["VCARD", key], ["VDIM", key], ["DEBUG", "DIGEST-VALUE", key]):
        compare(what, ours.execute_command(*command), theirs.execute_command(*command))
    for name in names(ours, key):
        for command in (["VEMB", key, name], ["VEMB", key, name, "RAW"], ["VGETATTR", key, name]):
            compare(what, ours.execute_command(*command), theirs.execute_command(*command))
        if links:
            each = [server.execute_command("VLINKS", key, name) for server in (ours, theirs)]
            compare(f"{what}, links of {name}", *[[sorted(layer) for layer in layers] for layers in each])


def payloads(ours, theirs, rng):
    for case in range(16):
        source, target = (ours, theirs) if case % 2 == 0 else (theirs, ours)
        source.flushall()
        target.flushall()
        fill(source, "k", rng, rng.choice([1, 2, 10, 150]))
        target.restore("k", 0, source.dump("k"))
        # Redis lets few nodes have more links than M allows, which are left out here.
        compare_sets(f"payload {case}", ours, theirs, "k", source is ours)
        source.restore("again", 0, target.dump("k"))
        digests = source.execute_command("DEBUG", "DIGEST-VALUE", "k", "again")
        compare(f"payload {case}, back", *digests)


def follow(replica, primary):
    replica.execute_command("REPLICAOF", "127.0.0.1", primary.connection_pool.connection_kwargs["port"])
    eventually(lambda: replica.info("replication").get("master_link_status") == "up")
    # What was the replica's primary may go on with the stream: the link is up before that is applied.
    eventually(lambda: primary.execute_command("WAIT", 1, 1000) == 1)


def eventually(holds):
    until = time.time() + 20
    while not holds():
        if time.time() > until:
            raise TimeoutError("a condition didn't come to hold")
        time.sleep(0.02)


def replication(primary, replica, ours, theirs, rng):
    primary.flushall()
    fill(primary, "before", rng, 200)
    follow(replica, primary)
    compare_sets("full synchronization", ours, theirs, "before", primary is ours)
    add = fill(primary, "after", rng, 100)
    for n in range(30):
        if primary is ours:
            # Redis doesn't propagate that an element gets another vector.
            add(f"e{n}")
        add(f"new{n}", "CAS")
        primary.execute_command("VSETATTR", "after", f"new{n}", "{}" if n % 3 else "")
        primary.execute_command("VREM", "before", f"e{n}")
    primary.set("end", 1)
    eventually(lambda: replica.get("end"))
    for key in ("before", "after"):
        compare_sets(f"stream, {key}", ours, theirs, key, False)
    replica.execute_command("REPLICAOF", "NO", "ONE")


def main():
    ours, theirs = [redis.Redis(port=int(port), protocol=2) for port in sys.argv[1:]]
    rng = random.Random(3)
    payloads(ours, theirs, rng)
    replication(ours, theirs, ours, theirs, rng)
    replication(theirs, ours, ours, theirs, rng)
    for line in different[:10]:
        print(line[:2000])
    print(f"{compared} compared, {len(different)} different")
    sys.exit(bool(different))


main()
