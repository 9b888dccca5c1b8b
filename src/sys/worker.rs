//! A worker thread: a named thread that does jobs in order, off the thread that serves clients.
//!
//! ```text
//! owner ── submit(job) ──> queue ──> thread: work(job) ──> results ── poll() ──> owner
//!                                            └── wake(): the owner's event loop looks at the results
//! ```
//!
//! The queue has no bound of its own: the owner knows how many jobs are pending, and what they hold, and stops
//! submitting at a limit of its choice.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

/// The thread has ended, which it does only if a job panicked, or it could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerEnded;

/// The thread of a worker.
enum Thread {
    /// It starts with the first job.
    ToStart(Builder, Box<dyn FnOnce() + Send>),
    Started(JoinHandle<()>),
    /// It was to start and could not.
    Failed,
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Thread::ToStart(..) => "ToStart",
            Thread::Started(_) => "Started",
            Thread::Failed => "Failed",
        })
    }
}

/// See the module's description. If it is dropped, the thread does what is pending, and ends.
#[derive(Debug)]
pub struct Worker<J, R> {
    jobs: Sender<J>,
    results: Receiver<R>,
    thread: Thread,
    /// Jobs submitted whose results haven't been taken.
    pending: usize,
    /// For simulations: the thread does a job when its result is asked for.
    starts: Option<Sender<()>>,
}

impl<J: Send + 'static, R: Send + 'static> Worker<J, R> {
    /// Starts a thread that turns each job into a result by `work`, and calls `wake` after each.
    pub fn start(
        name: &str,
        work: impl FnMut(J) -> R + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let mut worker = Self::start_with_first_job(name, work, wake);
        worker.start_thread()?;
        Ok(worker)
    }

    /// As [`Worker::start`], but there is no thread, which takes some 30 KiB, before there is a job. If none can be started then, that and all
    /// further jobs are refused.
    pub fn start_with_first_job(
        name: &str,
        mut work: impl FnMut(J) -> R + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> Self {
        let (jobs, received) = channel();
        let (finished, results) = channel();
        let run = move || {
            for job in received {
                if finished.send(work(job)).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = Thread::ToStart(Builder::new().name(name.into()), Box::new(run));
        Worker { jobs, results, thread, pending: 0, starts: None }
    }

    fn start_thread(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.thread, Thread::Failed) {
            Thread::ToStart(builder, run) => self.thread = Thread::Started(builder.spawn(run)?),
            there => self.thread = there,
        }
        Ok(())
    }

    /// For simulations: a worker that does nothing until it is asked for a result, and then the job that this is of, so that what
    /// happens doesn't depend on how fast it is.
    pub fn start_on_demand(name: &str, mut work: impl FnMut(J) -> R + Send + 'static) -> io::Result<Self> {
        let (starts, may_start) = channel();
        let work = move |job| {
            // Where the owner is gone the job is done with the others.
            let _ = may_start.recv();
            work(job)
        };
        Ok(Worker { starts: Some(starts), ..Self::start(name, work, || ())? })
    }

    /// Puts a job behind those that are pending.
    pub fn submit(&mut self, job: J) -> Result<(), WorkerEnded> {
        if let Thread::ToStart(..) = self.thread
            && let Err(error) = self.start_thread()
        {
            log::error!("Can't start a thread: {error}");
        }
        self.jobs.send(job).map_err(|_| WorkerEnded)?;
        self.pending += 1;
        Ok(())
    }

    /// The next result, in the order of the jobs, if it is there.
    pub fn poll(&mut self) -> Option<R> {
        if self.starts.is_some() {
            return self.wait().ok().flatten();
        }
        let result = self.results.try_recv().ok()?;
        self.pending -= 1;
        Some(result)
    }

    /// The next result, waiting for it; `Ok(None)` if no job is pending.
    pub fn wait(&mut self) -> Result<Option<R>, WorkerEnded> {
        if self.pending == 0 {
            return Ok(None);
        }
        if let Some(starts) = &self.starts {
            starts.send(()).map_err(|_| WorkerEnded)?;
        }
        let result = self.results.recv().map_err(|_| WorkerEnded)?;
        self.pending -= 1;
        Ok(Some(result))
    }

    /// Jobs submitted whose results haven't been taken.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Waits for all pending jobs, and the thread's end; the results that hadn't been taken.
    pub fn finish(self) -> Vec<R> {
        drop((self.jobs, self.starts));
        match self.thread {
            Thread::Started(thread) => {
                let results = self.results.iter().collect();
                // A panic of a job has been reported where it happened.
                let _ = thread.join();
                results
            }
            Thread::ToStart(..) | Thread::Failed => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_in_order_and_wake_the_owner() {
        let (wake, woken) = channel();
        let work = |number: u64| number * number;
        let mut worker = Worker::start("squares", work, move || wake.send(()).expect("the owner listens"))
            .expect("a thread");
        assert_eq!((worker.poll(), worker.wait()), (None, Ok(None)));
        for number in 0..100 {
            worker.submit(number).expect("the thread runs");
        }
        assert_eq!(worker.pending(), 100);
        for number in 0..50 {
            woken.recv().expect("a wake-up for each result");
            assert_eq!(worker.poll(), Some(number * number));
        }
        assert_eq!(worker.wait(), Ok(Some(2500)));
        assert_eq!(worker.pending(), 49);
        assert_eq!(worker.finish().len(), 49);
    }

    #[test]
    fn a_thread_starts_with_the_first_job() {
        let (wake, woken) = channel();
        let notify = move || wake.send(()).expect("the owner listens");
        let mut worker = Worker::start_with_first_job("late", |number: u64| number + 1, notify);
        assert!(matches!(worker.thread, Thread::ToStart(..)));
        assert_eq!((worker.poll(), worker.wait()), (None, Ok(None)));
        worker.submit(1).expect("the thread starts");
        assert!(matches!(worker.thread, Thread::Started(_)));
        woken.recv().expect("a wake-up");
        worker.submit(2).expect("the thread runs");
        assert_eq!((worker.wait(), worker.finish()), (Ok(Some(2)), vec![3]));
        let idle = Worker::start_with_first_job("never", |number: u64| number, || ());
        assert_eq!(idle.finish(), [0; 0]);
    }

    /// No stack of that size can be had: the job is refused, and so are those after it.
    #[test]
    fn a_thread_that_cannot_start_refuses_jobs() {
        let mut worker = Worker::start_with_first_job("none", |number: u64| number, || ());
        worker.thread = Thread::ToStart(Builder::new().stack_size(usize::MAX / 4), Box::new(|| ()));
        drop(std::mem::replace(&mut worker.jobs, channel().0));
        assert_eq!((worker.submit(1), worker.submit(2)), (Err(WorkerEnded), Err(WorkerEnded)));
        assert_eq!((worker.poll(), worker.wait(), worker.finish()), (None, Ok(None), vec![]));
    }

    #[test]
    fn jobs_wait_until_they_are_wanted() {
        let (done, seen) = channel();
        let work = move |number: u64| done.send(number).expect("the owner listens");
        let mut worker = Worker::start_on_demand("lazy", work).expect("a thread");
        assert_eq!(worker.poll(), None);
        for number in 1..4 {
            worker.submit(number).expect("the thread runs");
        }
        assert_eq!((worker.poll(), seen.try_recv(), seen.try_recv().is_err()), (Some(()), Ok(1), true));
        assert_eq!((worker.wait(), seen.try_recv(), seen.try_recv().is_err()), (Ok(Some(())), Ok(2), true));
        assert_eq!((worker.finish().len(), seen.recv()), (1, Ok(3)));
    }

    #[test]
    fn a_job_that_panics_ends_the_worker_and_not_the_owner() {
        let work = |divisor: u64| 100_u64.checked_div(divisor).expect("no division by zero");
        let mut worker = Worker::start("quotients", work, || {}).expect("a thread");
        worker.submit(5).expect("the thread runs");
        worker.submit(0).expect("the thread runs");
        assert_eq!(worker.wait(), Ok(Some(20)));
        assert_eq!(worker.wait(), Err(WorkerEnded));
        assert_eq!(worker.submit(1), Err(WorkerEnded));
    }
}
