"""python-redis-lock, locks by scripts and waiting pops, on a fresh server: redis_lock_owners.py PORT."""

import sys
import threading
import time

import redis_lock
from redis import Redis
from redis_lock import AlreadyAcquired, Lock, NotAcquired, NotExpirable

from checks import between, fails, run, same, until

PORT = int(sys.argv[1])
r = Redis(port=PORT)


def client():
    return Redis(port=PORT)


def blocked():
    return r.info("clients")["blocked_clients"]


def acquire_and_release():
    first, second = Lock(client(), "a"), Lock(client(), "a")
    same(first.acquire(), True, "a free lock")
    same((r.get("lock:a").decode(), r.ttl("lock:a")), (first.id, -1), "what the server has of it")
    same(second.acquire(blocking=False), False, "a held lock")
    same(second.acquire(timeout=1), False, "a held lock, after a second")
    same((second.locked(), second.get_owner_id()), (True, first.id), "its owner")
    fails(AlreadyAcquired, first.acquire)
    fails(NotAcquired, second.release)
    first.release()
    same(second.locked(), False, "a released lock")
    between(r.pttl("lock-signal:a"), 1, 1000, "time of the signal to waiting clients")
    fails(NotAcquired, first.release)
    with second:
        same(r.get("lock:a").decode(), second.id, "the next owner")
    with Lock(client(), "a", id="given", expire=60):
        same(r.get("lock:a"), b"given", "an owner with a name")
        between(r.ttl("lock:a"), 55, 60, "time of a lock")


def waiting():
    """A thread waits for a lock, and has it as soon as it is released."""
    first, second = Lock(client(), "w"), Lock(client(), "w")
    first.acquire()
    got = []
    thread = threading.Thread(target=lambda: got.append(second.acquire(timeout=30)))
    thread.start()
    until(lambda: blocked() == 1, "a waiting client")
    same(got, [], "nothing yet")
    start = time.time()
    first.release()
    thread.join()
    same(got, [True], "the lock is the other's")
    between(time.time() - start, 0, 5, "time until then")
    same((second.get_owner_id(), blocked()), (second.id, 0), "its owner")
    second.release()


def extension():
    lock, other = Lock(client(), "e", expire=10), Lock(client(), "e", expire=10)
    lock.acquire()
    lock.extend(expire=100)
    between(r.ttl("lock:e"), 95, 100, "time of an extended lock")
    lock.extend()
    between(r.ttl("lock:e"), 5, 10, "time of a lock extended by its own time")
    fails(NotAcquired, other.extend)
    r.persist("lock:e")
    fails(NotExpirable, lock.extend)
    lock.release()
    fails(NotAcquired, lock.extend)


def expiry():
    first, second = Lock(client(), "x", expire=1), Lock(client(), "x", expire=2)
    start = time.time()
    first.acquire()
    same(second.acquire(), True, "a lock that expires")
    between(time.time() - start, 0.99, 10, "time until then")
    fails(NotAcquired, first.release)
    same(first.get_owner_id(), second.id, "its owner")
    second.release()


def renewal():
    """A thread of the owner's extends the lock each two thirds of its time."""
    lock, other = Lock(client(), "r", expire=2, auto_renewal=True), Lock(client(), "r")
    start = time.time()
    with lock:
        until(lambda: other.acquire(blocking=False) or time.time() - start > 2.5, "more than the time of the lock")
        same(other.get_owner_id(), lock.id, "the lock is held still")
    same(r.exists("lock:r"), 0, "released")


def reset():
    lost, next_one = Lock(client(), "lost"), Lock(client(), "lost")
    lost.acquire()
    next_one.reset()
    same(next_one.acquire(blocking=False), True, "after a reset")
    for name in ("one", "two", "three"):
        Lock(client(), name).acquire()
    same(len(r.keys("lock:*")), 4, "locks")
    got = []
    thread = threading.Thread(target=lambda: got.append(Lock(client(), "two").acquire()))
    thread.start()
    until(lambda: blocked() == 1, "a waiting client")
    redis_lock.reset_all(r)
    thread.join()
    same((got, r.keys("lock:*")), ([True], [b"lock:two"]), "all are free, and the waiting thread has its lock")


def contention():
    """Eight threads add to a number by reading and writing it under a lock."""

    def work():
        own = client()
        for _ in range(25):
            with Lock(own, "n", expire=20):
                number = int(own.get("number") or 0)
                own.set("number", number + 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    same((r.get("number"), r.exists("lock:n")), (b"200", 0), "sum of eight threads")


run(acquire_and_release, waiting, extension, expiry, renewal, reset, contention)
