"""RQ, a job queue, with worker processes of its own on a fresh server: rq_jobs.py PORT."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

from redis import Redis
from rq import Queue, Repeat, Retry, SimpleWorker, Worker, get_current_job
from rq.command import send_shutdown_command, send_stop_job_command
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job
from rq.rate_limit import RateLimit

from checks import between, fails, run, same, until

# A worker process has the port from the environment.
PORT = int(os.environ.setdefault("JOBS_PORT", sys.argv[-1]))
r = Redis(port=PORT)


# The jobs; a worker process imports this file.


def double(number):
    return 2 * number


def note(text):
    job = get_current_job()
    job.meta["noted"] = text
    job.save_meta()
    return r.rpush("notes", text)


def fail(text):
    raise ValueError(text)


def fail_times(times):
    tries = r.incr("tries")
    if tries <= times:
        raise ValueError(f"try {tries}")
    return tries


def sum_of_dependencies():
    return sum(job.return_value() for job in get_current_job().fetch_dependencies())


def wait(key):
    """Tells that it runs, and ends when it is let."""
    r.set(f"{key}:running", os.getpid())
    r.blpop(f"{key}:let", 30)
    return "let"


# What is done with them.


def worker(*options):
    """A process of `rq worker`."""
    command = [sys.executable, "-m", "rq.cli", "worker", "--logging_level", "CRITICAL", "--url", f"redis://127.0.0.1:{PORT}", *options]
    here = os.path.dirname(os.path.abspath(__file__))
    return subprocess.Popen(command, cwd=here)


def work(queue):
    """Does what is in a queue, in this process."""
    SimpleWorker([queue], connection=r).work(burst=True, logging_level="CRITICAL")


def burst():
    high, low = Queue("high", connection=r), Queue("low", connection=r)
    jobs = [low.enqueue("rq_jobs.double", n) for n in range(5)]
    low.enqueue("rq_jobs.note", "low")
    high.enqueue("rq_jobs.note", "high")
    first = high.enqueue("rq_jobs.note", "first", at_front=True)
    same((len(high), len(low)), (2, 6), "jobs")
    same(high.get_job_position(first), 0, "position in the queue")
    same(worker("--burst", "high", "low").wait(30), 0, "end of a worker")
    same(r.lrange("notes", 0, -1), [b"first", b"high", b"low"], "order of the queues")
    same([job.return_value() for job in jobs], [0, 2, 4, 6, 8], "values")
    same({job.get_status().value for job in jobs}, {"finished"}, "states")
    same((len(high), len(low), low.finished_job_registry.count), (0, 0, 6), "jobs left and finished")
    same(Job.fetch(first.id, connection=r).meta, {"noted": "first"}, "what a job keeps of itself")
    between(r.ttl(jobs[0].key), 400, 500, "time that a result is kept")
    same(Worker.count(connection=r), 0, "workers")


def failures():
    queue = Queue("failures", connection=r)
    job = queue.enqueue("rq_jobs.fail", "no luck ☹")
    retried = queue.enqueue("rq_jobs.fail_times", 2, retry=Retry(max=3))
    work(queue)
    same(queue.failed_job_registry.get_job_ids(), [job.id], "failed jobs")
    same(job.get_status().value, "failed", "state of a failed job")
    same("ValueError: no luck ☹" in job.latest_result().exc_string, True, "error of a failed job")
    same(retried.return_value(), 3, "value of the third try")
    same([result.type.name for result in retried.results()], ["SUCCESSFUL"], "results that are kept of the tries")
    queue.failed_job_registry.requeue(job)
    same((len(queue), queue.failed_job_registry.count), (1, 0), "requeued")
    work(queue)
    same(job in queue.failed_job_registry, True, "failed again")
    job.delete()
    same(fails(NoSuchJobError, Job.fetch, job.id, connection=r), f"No such job: {job.key}", "a deleted job")


def dependencies():
    queue = Queue("dependencies", connection=r)
    parts = [queue.enqueue("rq_jobs.double", n) for n in (1, 10, 100)]
    total = queue.enqueue("rq_jobs.sum_of_dependencies", depends_on=parts)
    after_failure = queue.enqueue("rq_jobs.note", "never", depends_on=queue.enqueue("rq_jobs.fail", "x"))
    same(total.get_status().value, "deferred", "state of a job that waits for others")
    same(sorted(queue.deferred_job_registry.get_job_ids()), sorted([total.id, after_failure.id]), "deferred jobs")
    work(queue)
    same(total.return_value(), 222, "sum")
    same(queue.deferred_job_registry.get_job_ids(), [after_failure.id], "a job whose dependency failed")
    after_failure.cancel()
    same((queue.deferred_job_registry.count, queue.canceled_job_registry.count), (0, 1), "canceled")


def uniqueness_and_limits():
    queue = Queue("scripts", connection=r)
    queue.enqueue("rq_jobs.double", 1, job_id="one", unique=True)
    fails(DuplicateJobError, queue.enqueue, "rq_jobs.double", 2, job_id="one", unique=True)
    same(len(queue), 1, "jobs")
    limit = RateLimit(key="shop", concurrency=2)
    jobs = [queue.enqueue("rq_jobs.double", n, rate_limit=limit) for n in range(5)]
    same([job.get_status().value for job in jobs], ["queued"] * 2 + ["rate_limited"] * 3, "two at a time")
    same(len(queue), 3, "jobs in the queue")
    work(queue)
    same([job.return_value() for job in jobs], [0, 2, 4, 6, 8], "values")
    repeated = queue.enqueue("rq_jobs.note", "repeated", repeat=Repeat(times=2, interval=0))
    work(queue)
    same(r.lrange("notes", 3, -1), [b"repeated"] * 3, "once, and twice more")
    same(len(repeated.results()), 3, "results of a repeated job")


def scheduler():
    queue = Queue("scheduled", connection=r)
    start = time.time()
    soon = queue.enqueue_in(timedelta(seconds=2), "rq_jobs.double", 21)
    later = queue.enqueue_at(datetime.now(timezone.utc) + timedelta(hours=1), "rq_jobs.double", 1)
    same(queue.scheduled_job_registry.count, 2, "scheduled jobs")
    same(soon.get_status().value, "scheduled", "state of a scheduled job")
    between(queue.scheduled_job_registry.get_scheduled_time(later).timestamp() - start, 3595, 3605, "time of a job")
    process = worker("--with-scheduler", "--name", "scheduling", "scheduled")
    result = soon.latest_result(timeout=20)
    same(result and result.return_value, 42, "value of the scheduled job")
    # RQ cuts the fraction of a second off the time of a job.
    between(time.time() - start, 0.99, 20, "time until then")
    same(queue.scheduled_job_registry.get_job_ids(), [later.id], "jobs that are scheduled still")
    same(r.exists("rq:scheduler-lock:scheduled"), 1, "lock of the scheduler")
    same([worker.name for worker in Worker.all(connection=r)], ["scheduling"], "workers")
    process.send_signal(signal.SIGTERM)
    same(process.wait(20), 0, "end of the worker")
    same(r.exists("rq:scheduler-lock:scheduled"), 0, "the lock is released")
    same(Worker.count(connection=r), 0, "workers")


def commands():
    """A worker is told by PUBLISH to stop its job, and to end after the next one."""
    queue = Queue("commands", connection=r)
    stopped, last, never = [queue.enqueue("rq_jobs.wait", key) for key in ("stopped", "last", "never")]
    process = worker("--name", "commanded", "commands")
    until(lambda: r.exists("stopped:running") and stopped.get_status().value == "started", "a running job")
    until(lambda: r.pubsub_numsub("rq:pubsub:commanded")[0][1] == 1, "a worker that listens")
    until(lambda: Job.fetch(stopped.id, connection=r).worker_name, "the job's worker")
    send_stop_job_command(r, stopped.id)
    until(lambda: r.exists("last:running"), "the next job")
    same(stopped.get_status().value, "stopped", "state of a stopped job")
    same(queue.started_job_registry.get_job_ids(), [last.id], "started jobs")
    send_shutdown_command(r, "commanded")
    until(lambda: r.hget("rq:worker:commanded", "shutdown_requested_date"), "a worker that was told to end")
    r.rpush("last:let", 1)
    same(process.wait(20), 0, "end of the worker")
    same((last.return_value(), never.get_status().value), ("let", "queued"), "the last job and the next one")
    queue.empty()


def killed_worker():
    """A worker is killed in the midst of a job; the job is found abandoned."""
    queue = Queue("killed", connection=r)
    job = queue.enqueue("rq_jobs.wait", "killed")
    process = worker("--name", "killed", "killed")
    running = int(until(lambda: r.get("killed:running"), "a running job"))
    process.kill()
    os.kill(running, signal.SIGKILL)
    same(process.wait(20), -signal.SIGKILL, "end of the worker")
    same(queue.started_job_registry.get_job_ids(), [job.id], "started jobs")
    queue.started_job_registry.cleanup(time.time() + 10_000)
    same((job.get_status().value, queue.started_job_registry.count), ("failed", 0), "the job")
    same("AbandonedJobError" in job.latest_result().exc_string, True, "its error")


if __name__ == "__main__":
    run(burst, failures, dependencies, uniqueness_and_limits, scheduler, commands, killed_worker)
