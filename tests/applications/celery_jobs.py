"""Celery with the server as broker and as store of results, and a worker process of its own: celery_jobs.py PORT."""

import os
import signal
import subprocess
import sys
import tempfile
import time

from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError
from redis import Redis

from checks import between, fails, run, same, until

# A worker process has the port from the environment.
PORT = int(os.environ.setdefault("JOBS_PORT", sys.argv[-1]))
URL = f"redis://127.0.0.1:{PORT}"
r = Redis(port=PORT)

app = Celery("celery_jobs", broker=f"{URL}/0", backend=f"{URL}/1")
app.conf.update(
    result_extended=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=False,
    task_queue_max_priority=9,
    broker_transport_options={"priority_steps": [0, 3, 6, 9], "queue_order_strategy": "priority", "sep": ":"},
    beat_schedule={"tick": {"task": "celery_jobs.note", "schedule": 0.5, "args": ("tick",)}},
)


@app.task
def add(*numbers):
    return sum(numbers)


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def note(text):
    return r.rpush("notes", text)


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True, max_retries=3)
def fail_times(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0.05)
    return self.request.retries


@app.task(bind=True)
def wait(self, key):
    self.update_state(state="PROGRESS", meta={"half": True})
    r.set(f"{key}:running", self.request.id)
    r.blpop(f"{key}:let", 30)
    return "let"


def process(*arguments):
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "celery_jobs", *arguments]
    return subprocess.Popen(command, cwd=os.path.dirname(os.path.abspath(__file__)))


def start_worker(name, *options):
    arguments = ["--loglevel", "CRITICAL", "--concurrency", "2", "--hostname", f"{name}@local"]
    worker = process("worker", *arguments, *options)
    until(lambda: app.control.ping([f"{name}@local"], timeout=0.2), "a worker that answers")
    return worker


def stop(worker):
    worker.send_signal(signal.SIGTERM)
    same(worker.wait(20), 0, "end of the process")


def tasks():
    worker = start_worker("first", "--without-gossip", "--without-mingle")
    results = [add.delay(n, n) for n in range(50)]
    same([result.get(timeout=20) for result in results], [2 * n for n in range(50)], "values")
    failed = fail.delay("no luck ☹")
    same(fails(ValueError, failed.get, timeout=20), "no luck ☹", "the error of a task")
    same((failed.state, "ValueError" in failed.traceback), ("FAILURE", True), "state of a failed task")
    same(fail_times.delay(2).get(timeout=20), 2, "value of the third try")
    start = time.time()
    same(add.apply_async((1, 2), countdown=1).get(timeout=20), 3, "a task for later")
    between(time.time() - start, 0.99, 20, "time until then")
    running = wait.delay("progress")
    until(lambda: running.state == "PROGRESS", "a running task")
    same(running.info, {"half": True}, "what a task tells")
    active = app.control.inspect(["first@local"], timeout=5).active()
    same([task["id"] for task in active["first@local"]], [running.id], "what the worker says")
    r.rpush("progress:let", 1)
    same(running.get(timeout=20), "let", "value of the running task")
    key = f"celery-task-meta-{running.id}"
    between(Redis(port=PORT, db=1).ttl(key), 86000, 86400, "time that a result is kept")
    running.forget()
    same(Redis(port=PORT, db=1).exists(key), 0, "a forgotten result")
    canvas()
    stop(worker)


def canvas():
    same(chain(add.s(1, 2), add.s(10), add.s(100)).delay().get(timeout=20), 113, "a chain")
    same(group(add.s(n, 1) for n in range(10)).delay().get(timeout=20), list(range(1, 11)), "a group")
    same(chord((add.s(n, n) for n in range(10)), total.s()).delay().get(timeout=20), 90, "a chord")
    nested = chain(group(add.s(n) for n in range(4)), total.s(), add.s(1))
    same(nested.delay().get(timeout=20), 7, "a group in a chain")
    broken = chord([add.s(1, 1), fail.s("in a chord")], total.s()).delay()
    same("in a chord" in fails(Exception, broken.get, timeout=20), True, "the error of a chord")


def revoked():
    """Tasks that wait in the queue and in the worker are taken back; priorities go first."""
    worker = start_worker("second", "--concurrency", "1", "--pool", "threads")
    running = wait.delay("busy")
    until(lambda: r.exists("busy:running"), "a running task")
    order = [note.apply_async((f"priority {n}",), priority=n) for n in (9, 0, 6, 3)]
    taken_back = note.delay("never")
    taken_back.revoke()
    until(lambda: taken_back.id in app.control.inspect(timeout=0.5).revoked()["second@local"], "the worker knows of it")
    r.rpush("busy:let", 1)
    same(running.get(timeout=20), "let", "the running task")
    [result.get(timeout=20) for result in order]
    fails(TaskRevokedError, taken_back.get, timeout=20)
    notes = r.lrange("notes", 0, -1)
    same(sorted(notes), [f"priority {n}".encode() for n in (0, 3, 6, 9)], "notes of the tasks")
    same(notes[-3:], [b"priority 3", b"priority 6", b"priority 9"], "order by priority")
    r.delete("notes")
    stop(worker)


def unacknowledged():
    """A worker is killed in the midst of a task; what it took is given back, and the next worker does it."""
    worker = start_worker("third", "--pool", "solo")
    lost = wait.delay("lost")
    until(lambda: r.get("lost:running"), "a running task")
    same((r.hlen("unacked"), r.zcard("unacked_index")), (1, 1), "tasks without acknowledgement")
    worker.kill()
    same(worker.wait(20), -signal.SIGKILL, "end of the worker")
    same(lost.state, "PROGRESS", "state of the task")
    with app.connection_for_write() as connection:
        connection.default_channel.qos.restore_visible(interval=1)
        same(r.hlen("unacked"), 1, "it isn't old enough")
        connection.default_channel.qos.visibility_timeout = 0
        connection.default_channel.qos.restore_visible(interval=1)
    same((r.hlen("unacked"), r.llen("celery")), (0, 1), "it is in the queue again")
    r.rpush("lost:let", 1)
    worker = start_worker("fourth", "--pool", "solo")
    same(lost.get(timeout=20), "let", "value of the task")
    stop(worker)


def beat():
    """The scheduler puts a task into the queue each half second."""
    with tempfile.TemporaryDirectory() as directory:
        beat = process("beat", "--loglevel", "CRITICAL", "--schedule", f"{directory}/schedule", "--pidfile=")
        until(lambda: r.llen("celery") >= 3, "three tasks")
        # Told to end while it puts a task into the queue, it fails now and then at its own file.
        beat.kill()
        beat.wait()
    app.control.purge()
    same(r.llen("celery"), 0, "a purged queue")


if __name__ == "__main__":
    run(tasks, revoked, unacknowledged, beat)
