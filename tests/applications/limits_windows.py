"""limits, rate limits by scripts, all three strategies on a fresh server: limits_windows.py PORT."""

import sys
import threading
import time

from limits import parse, strategies
from limits.storage import storage_from_string
from redis import Redis

from checks import between, run, same, until

PORT = int(sys.argv[1])
r = Redis(port=PORT, decode_responses=True)
storage = storage_from_string(f"redis://127.0.0.1:{PORT}")


def tries(limiter, limit, count, *names):
    return [limiter.hit(limit, *names) for _ in range(count)]


def strategy(kind, name):
    """What all strategies have in common, in an hour that doesn't end meanwhile."""
    limiter, limit = kind(storage), parse("5/hour")
    start = time.time()
    same(limiter.test(limit, name, "a"), True, f"{name}: nothing is used")
    same(limiter.get_window_stats(limit, name, "a").remaining, 5, f"{name}: all is left")
    same(tries(limiter, limit, 7, name, "a"), [True] * 5 + [False] * 2, f"{name}: five of seven")
    same(limiter.test(limit, name, "a"), False, f"{name}: all is used")
    stats = limiter.get_window_stats(limit, name, "a")
    same(stats.remaining, 0, f"{name}: nothing is left")
    # The counter that slides says when the least of the window before is forgotten, which is at any time.
    between(stats.reset_time - start, 0 if name == "sliding" else 3590, 3610, f"{name}: time until more is left")
    same(limiter.hit(limit, name, "b"), True, f"{name}: another key")
    same(limiter.hit(limit, name, "c", cost=6), False, f"{name}: more than there is")
    limiter.clear(limit, name, "c")
    same(limiter.hit(limit, name, "c", cost=4), True, f"{name}: four at once")
    same(limiter.test(limit, name, "c", cost=2), False, f"{name}: two more")
    same(limiter.hit(limit, name, "c"), True, f"{name}: one more")
    limiter.clear(limit, name, "a")
    same(limiter.hit(limit, name, "a"), True, f"{name}: cleared")


def strategies_in_common():
    strategy(strategies.FixedWindowRateLimiter, "fixed")
    strategy(strategies.MovingWindowRateLimiter, "moving")
    strategy(strategies.SlidingWindowCounterRateLimiter, "sliding")
    same(storage.check(), True, "the server is there")
    keys = sorted(r.scan_iter("LIMITS:*", count=1000))
    same(len(keys), 9, "keys")
    # A window that slides has a second one of the same length behind it.
    for key in keys:
        between(r.ttl(key), 3590, 7200 if "{" in key else 3600, f"time of {key}")
    same(storage.reset(), 9, "keys that reset deletes")
    same(r.dbsize(), 0, "keys left")


def fixed_window():
    limiter, limit = strategies.FixedWindowRateLimiter(storage), parse("3/2 second")
    start = time.time()
    same(limiter.hit(limit, "f", cost=3), True, "fixed: the window is full")
    same(limiter.hit(limit, "f"), False, "fixed: one too many")
    until(lambda: limiter.hit(limit, "f"), "fixed: the next window")
    between(time.time() - start, 1.99, 10, "fixed: length of the window")
    same(tries(limiter, limit, 3, "f"), [True, True, False], "fixed: all of the next window")


def moving_window():
    limiter, limit = strategies.MovingWindowRateLimiter(storage), parse("3/2 second")
    start = time.time()
    same(limiter.hit(limit, "m"), True, "moving: first")
    until(lambda: time.time() - start >= 1, "moving: a second")
    second = time.time()
    same(limiter.hit(limit, "m", cost=2), True, "moving: two more")
    until(lambda: limiter.hit(limit, "m"), "moving: the first is forgotten")
    between(time.time() - start, 1.99, 10, "moving: time until then")
    until(lambda: limiter.hit(limit, "m", cost=2), "moving: the next two are forgotten")
    between(time.time() - second, 1.99, 10, "moving: time until then")


def sliding_window():
    limiter, limit = strategies.SlidingWindowCounterRateLimiter(storage), parse("10/1 second")
    start = time.time()
    same(limiter.hit(limit, "s", cost=10), True, "sliding: the window is full")
    for earlier in range(5):
        until(lambda: limiter.hit(limit, "s"), "sliding: the window before loses weight")
        between(time.time() - start, 0.99 + earlier / 10, 10, f"sliding: time until {earlier + 1} more")


def contention():
    """Twenty threads at once get no more than there is."""
    for kind in (strategies.FixedWindowRateLimiter, strategies.MovingWindowRateLimiter, strategies.SlidingWindowCounterRateLimiter):
        own, limit, found = kind(storage_from_string(f"redis://127.0.0.1:{PORT}")), parse("50/hour"), []
        threads = [threading.Thread(target=lambda: found.extend(tries(own, limit, 5, kind.__name__))) for _ in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        same((len(found), sum(found)), (100, 50), f"{kind.__name__}: half of a hundred")


run(strategies_in_common, fixed_window, moving_window, sliding_window, contention)
