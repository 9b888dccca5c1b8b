"""redis-py against a server: smoke.py PORT PROTOCOL [AUTHORITY]. Ends with an error at the first surprise.

With an authority's certificate it speaks TLS.
"""

import sys
import threading

import redis

PORT, PROTOCOL = int(sys.argv[1]), int(sys.argv[2])
TLS = {"ssl": True, "ssl_ca_certs": sys.argv[3]} if len(sys.argv) > 3 else {}
checks = 0


def same(found, wanted):
    global checks
    checks += 1
    if found != wanted:
        raise SystemExit(f"check {checks}: {found!r} instead of {wanted!r}")


def fails(kind, call, *args):
    try:
        answer = call(*args)
    except kind as error:
        same(isinstance(error, kind), True)
        return str(error)
    raise SystemExit(f"{args!r}: {answer!r} instead of an error")


def client(**options):
    return redis.Redis(port=PORT, protocol=PROTOCOL, decode_responses=True, **TLS, **options)


def strings(r):
    same(r.set("s", "value", ex=100), True)
    same(r.get("s"), "value")
    same(r.set("s", "other", nx=True), None)
    same(r.set("s", "other", get=True), "value")
    same(r.get("nothing"), None)
    same(r.mset({"a": 1, "b": 2}), True)
    same(r.mget("a", "nothing", "b"), ["1", None, "2"])
    same(r.incr("a", 41), 42)
    same(r.incrbyfloat("a", 0.5), 42.5)
    same(r.append("b", "xyz"), 4)
    same(r.getrange("b", 1, -1), "xyz")
    same(r.setbit("bits", 7, 1), 0)
    same(r.bitcount("bits"), 1)
    same(r.bitfield("bits").set("u8", 8, 200).get("u8", 8).execute(), [0, 200])
    same(r.delete("a", "b", "nothing"), 2)
    same(r.lcs("s", "s", len=True), 5)
    fails(redis.ResponseError, r.incr, "s")
    fails(redis.ResponseError, r.lpush, "s", "x")


def collections(r):
    same(r.rpush("l", "a", "b", "c"), 3)
    same(r.lrange("l", 0, -1), ["a", "b", "c"])
    same(r.lpos("l", "b"), 1)
    same(r.lmpop(2, "nothing", "l", direction="LEFT", count=2), ["l", ["a", "b"]])
    same(tuple(r.blpop(["nothing", "l"], timeout=1)), ("l", "c"))
    same(r.blpop("l", timeout=0.01), None)
    same(r.hset("h", mapping={"f": "v", "g": "2"}), 2)
    same(r.hgetall("h"), {"f": "v", "g": "2"})
    same(r.hincrbyfloat("h", "g", 0.5), 2.5)
    same(r.hmget("h", ["f", "nothing"]), ["v", None])
    same(r.hexpire("h", 100, "f", "nothing"), [1, -2])
    same(r.httl("h", "f", "g")[1], -1)
    same(r.sadd("t", "x", "y"), 2)
    same(set(r.smembers("t")), {"x", "y"})
    same([bool(found) for found in r.smismember("t", ["x", "z"])], [True, False])
    same(r.zadd("z", {"one": 1, "two": 2.5}), 2)
    same(r.zscore("z", "two"), 2.5)
    pairs = r.zrange("z", 0, -1, withscores=True)
    same([tuple(pair) for pair in pairs], [("one", 1.0), ("two", 2.5)])
    same(r.zadd("z", {"one": 5}, incr=True), 6.0)
    same(r.zrank("z", "one"), 1)
    same(r.geoadd("g", (13.361389, 38.115556, "Palermo")), 1)
    same(round(r.geopos("g", "Palermo")[0][0], 4), 13.3614)
    same(r.geosearch("g", longitude=13, latitude=38, radius=100, unit="km"), ["Palermo"])
    same(r.pfadd("p", "a", "b"), 1)
    same(r.pfcount("p"), 2)


def keys(r):
    r.mset({f"key:{n}": n for n in range(500)})
    same(sorted(r.scan_iter(match="key:*", count=37)), sorted(f"key:{n}" for n in range(500)))
    r.hset("wide", mapping={f"f{n}": n for n in range(700)})
    same(dict(r.hscan_iter("wide", count=50)), {f"f{n}": str(n) for n in range(700)})
    r.sadd("many", *range(700))
    same(len(set(r.sscan_iter("many"))), 700)
    r.zadd("scores", {f"m{n}": n for n in range(300)})
    same(dict(r.zscan_iter("scores"))["m299"], 299.0)
    same(r.type("wide"), "hash")
    same(r.expire("wide", 100), True)
    same(0 < r.ttl("wide") <= 100, True)
    same(r.persist("wide"), True)
    same(r.rename("wide", "moved"), True)
    same(r.object("encoding", "moved"), "hashtable")
    raw = redis.Redis(port=PORT, protocol=PROTOCOL, **TLS)
    raw.restore("again", 0, raw.dump("moved"))
    same(r.hlen("again"), 700)
    same(r.dbsize() > 500, True)


def streams(r):
    same(r.xadd("x", {"a": "1"}, id="1-1"), "1-1")
    same(r.xadd("x", {"a": "2"}, id="2-1"), "2-1")
    same(r.xlen("x"), 2)
    same(r.xrange("x"), [("1-1", {"a": "1"}), ("2-1", {"a": "2"})])
    same(r.xgroup_create("x", "group", id="0"), True)
    fails(redis.ResponseError, r.xgroup_create, "x", "group")
    read = r.xreadgroup("group", "alice", {"x": ">"}, count=1)
    same("1-1" in str(read), True)
    same(r.xpending("x", "group")["pending"], 1)
    same(r.xpending_range("x", "group", "-", "+", 10)[0]["consumer"], "alice")
    same(r.xclaim("x", "group", "bob", 0, ["1-1"])[0][0], "1-1")
    same(r.xautoclaim("x", "group", "carol", 0)[1][0][0], "1-1")
    same(r.xack("x", "group", "1-1"), 1)
    same(r.xinfo_stream("x")["length"], 2)
    same(r.xinfo_groups("x")[0]["consumers"], 3)
    same(len(r.xinfo_consumers("x", "group")), 3)
    same("2-1" in str(r.xread({"x": "1-1"}, block=10)), True)
    same(r.xread({"x": "$"}, block=1) in ([], {}, None), True)
    same(r.xtrim("x", maxlen=1, approximate=False), 1)


def transactions(r):
    with r.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.rpush("piped", n)
        same(pipe.execute(), list(range(1, 1001)))
    with r.pipeline() as pipe:
        pipe.set("n", 1).incr("n").get("n")
        same(pipe.execute(), [True, 2, "2"])
    other = client()
    with r.pipeline() as pipe:
        pipe.watch("n")
        other.set("n", "changed")
        pipe.multi()
        pipe.get("n")
        fails(redis.WatchError, pipe.execute)
    with r.pipeline() as pipe:
        pipe.set("s", "x").lpush("s", "y")
        answers = pipe.execute(raise_on_error=False)
        same((answers[0], type(answers[1]).__name__), (True, "ResponseError"))
    seen = []

    def add(pipe):
        seen.append(pipe.get("counted"))
        pipe.multi()
        pipe.incr("counted")

    same(r.transaction(add, "counted"), [1])
    same(seen, [None])


def subscriptions(r):
    pubsub = r.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    pubsub.psubscribe("n*")
    # What answers a PING has seen the subscriptions.
    while r.pubsub_numpat() != 1:
        pubsub.get_message(timeout=0.1)
    same(r.publish("news", "the message"), 2)
    found = []
    while len(found) < 2:
        message = pubsub.get_message(timeout=5)
        if message is not None:
            found.append((message["type"], message["channel"], message["data"]))
    same(sorted(found), [("message", "news", "the message"), ("pmessage", "news", "the message")])
    same(r.pubsub_numsub("news"), [("news", 1)])
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    pubsub.close()
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(client().blpop("queue", timeout=10)))
    waiter.start()
    while r.info("clients")["blocked_clients"] == 0:
        pass
    r.rpush("queue", "job")
    waiter.join()
    same(tuple(woken[0]), ("queue", "job"))


def server(r):
    same(r.ping(), True)
    same(r.info()["redis_version"].split(".")[0] >= "7", True)
    same(r.config_set("maxmemory-samples", 7), True)
    same(r.config_get("maxmemory-samples"), {"maxmemory-samples": "7"})
    same(r.client_setname("smoke"), True)
    same(r.client_getname(), "smoke")
    same(any(entry["name"] == "smoke" for entry in r.client_list()), True)
    same("get" in r.command(), True)
    same(r.command_count() > 200, True)
    same(r.memory_usage("moved") > 1000, True)
    same(isinstance(r.slowlog_get(), list), True)
    same(len(r.time()), 2)
    same(r.lastsave is not None, True)
    other = client(db=3)
    same(other.set("elsewhere", 1), True)
    same(r.exists("elsewhere"), 0)
    same(r.swapdb(0, 3), True)
    same(r.get("elsewhere"), "1")
    same(r.flushall(), True)


def main():
    r = client(single_connection_client=True)
    r.flushall()
    for part in (strings, collections, keys, streams, transactions, subscriptions, server):
        part(r)
    print(f"checks: {checks}")


main()
