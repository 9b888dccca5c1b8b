"""A cluster client of Python: cluster.py PORT LIBRARY, the library being redis, valkey or glide_sync. Ends with an error at the first surprise.

After its checks it writes numbers, one after the other, until its input ends, and tells how many that were acknowledged are lost. The cluster
changes meanwhile.
"""

import sys
import threading
import time

PORT, LIBRARY = int(sys.argv[1]), sys.argv[2]
KEYS = 2000
checks = 0


def same(found, wanted):
    global checks
    checks += 1
    if found != wanted:
        raise SystemExit(f"{LIBRARY}, check {checks}: {found!r} instead of {wanted!r}")


def key(number):
    return f"{LIBRARY}:{number}"


def write_until_told(write, read):
    """Writes until the input ends; then reads all back."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print("READY", flush=True)
    written, failed = [], 0
    number = 0
    while not over.wait(0.002):
        try:
            write(f"{LIBRARY}:run:{number}", number)
            written.append(number)
        except Exception:
            failed += 1
            time.sleep(0.05)
        number += 1
    lost = [n for n in written if read(f"{LIBRARY}:run:{n}") != str(n)]
    print(f"{len(lost)} lost of {len(written)}, {failed} failed, checks: {checks}", flush=True)


def as_redis_py(module):
    """The library, or the one that was made of it."""
    from importlib import import_module

    cluster = import_module(f"{module}.cluster")
    kind = cluster.RedisCluster if module == "redis" else cluster.ValkeyCluster
    r = kind(host="127.0.0.1", port=PORT, decode_responses=True)
    same(len(r.get_primaries()), 3)
    for number in range(0, KEYS, 100):
        p = r.pipeline()
        for n in range(number, number + 100):
            p.set(key(n), n)
        same(p.execute(), [True] * 100)
    same([r.get(key(n)) for n in range(200)], [str(n) for n in range(200)])
    same(r.mget_nonatomic([key(n) for n in range(200, 500)]), [str(n) for n in range(200, 500)])
    found = set(r.scan_iter(match=f"{LIBRARY}:*", count=500))
    same(found, {key(n) for n in range(KEYS)})
    # A transaction in the slot of a tag; a script; errors.
    tag = f"{{{LIBRARY}}}"
    same(r.mset({f"{tag}a": 1, f"{tag}b": 2}), True)
    if module == "redis":
        p = r.pipeline(transaction=True)
        p.incr(f"{tag}a")
        p.incr(f"{tag}b")
        same(p.execute(), [2, 3])
    script = r.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    same(script(keys=[f"{tag}c"], args=[5]), 5)
    try:
        r.execute_command("MGET", key(1), key(2), key(3))
        same("a reply", "an error")
    except Exception as error:
        same("slot" in str(error), True)
    # Messages, of the cluster and of a shard.
    listener = r.pubsub()
    listener.subscribe(f"{tag}news")
    same(listener.get_message(timeout=5)["type"], "subscribe")
    r.publish(f"{tag}news", "text")
    same(listener.get_message(timeout=5)["data"], "text")
    listener = r.pubsub()
    listener.ssubscribe(f"{tag}shard")
    same(r.spublish(f"{tag}shard", "text"), 1)
    messages = []
    deadline = time.time() + 10
    while "text" not in messages and time.time() < deadline:
        message = listener.get_sharded_message(timeout=0.2)
        messages += [message["data"]] if message else []
    same("text" in messages, True)
    # Replicas serve reads to those who ask for that.
    balancing = cluster.LoadBalancingStrategy.ROUND_ROBIN if module == "redis" else None
    option = {"load_balancing_strategy": balancing} if balancing else {"read_from_replicas": True}
    reader = kind(host="127.0.0.1", port=PORT, decode_responses=True, **option)
    values = []
    while values != [str(n) for n in range(100)] and time.time() < deadline:
        values = [reader.get(key(n)) for n in range(100)]
    same(values, [str(n) for n in range(100)])
    write_until_told(lambda name, value: r.set(name, value), r.get)


def glide():
    from glide_sync import ClusterBatch, GlideClusterClient, GlideClusterClientConfiguration, NodeAddress, Script
    from glide_sync.logger import Level, Logger

    Logger.set_logger_config(Level.OFF)
    addresses = [NodeAddress("127.0.0.1", PORT)]
    r = GlideClusterClient.create(GlideClusterClientConfiguration(addresses, request_timeout=2000))
    for number in range(0, KEYS, 100):
        batch = ClusterBatch(is_atomic=False)
        for n in range(number, number + 100):
            batch.set(key(n), str(n))
        same(r.exec(batch, raise_on_error=True), ["OK"] * 100)
    same(r.mget([key(n) for n in range(500)]), [str(n).encode() for n in range(500)])
    tag = f"{{{LIBRARY}}}"
    batch = ClusterBatch(is_atomic=True)
    batch.incr(f"{tag}a")
    batch.incr(f"{tag}a")
    same(r.exec(batch, raise_on_error=True), [1, 2])
    script = Script("return redis.call('incrby', KEYS[1], ARGV[1])")
    same(r.invoke_script(script, keys=[f"{tag}c"], args=["5"]), 5)
    same(r.publish("text", f"{tag}shard", sharded=True), 0)

    def read(name):
        value = r.get(name)
        return value.decode() if value is not None else None

    write_until_told(lambda name, value: r.set(name, str(value)), read)


if LIBRARY == "glide_sync":
    glide()
else:
    as_redis_py(LIBRARY)
