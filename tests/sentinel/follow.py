"""redis-py's client for Sentinel: follow.py PORT … (of the sentinels). Prints the port of the server after each write."""

import sys
import time

from redis.sentinel import Sentinel

sentinels = Sentinel([("127.0.0.1", int(port)) for port in sys.argv[1:]], socket_timeout=1)
primary = sentinels.master_for("mymaster", socket_timeout=1, decode_responses=True)
while True:
    try:
        with primary.pipeline(transaction=True) as pipeline:
            _, config = pipeline.incr("followed").config_get("port").execute()
        print(config["port"], flush=True)
    except Exception:  # Whatever a library makes of a connection that ends: it is tried again.
        pass
    time.sleep(0.05)
