//! The queue of scripts: notifications of events, reconfiguration of clients.
//!
//! Scripts run as processes that the server starts and watches. One that ends with status 1 or by a signal is run again later, ten times
//! in all; one that runs for too long is killed.

use std::collections::VecDeque;

use super::timing::Timing;

/// The most scripts that wait or run.
const MAX_QUEUE: usize = 256;
/// The most that run at the same time.
const MAX_RUNNING: usize = 16;
/// How often a script is run at most.
const MAX_ATTEMPTS: u32 = 10;

/// The number of a script in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// A script that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    /// The path, then the arguments.
    pub words: Vec<String>,
    pub is_running: bool,
    pub attempts: u32,
    /// When it was started, or may be run again; 0: at once.
    pub time: u64,
    /// The process, while it runs.
    pub pid: u32,
}

/// How a script's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub status: i32,
    /// The signal that killed it, or 0.
    pub signal: i32,
}

/// What the end of a script means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    Again,
    /// It failed for good: its path.
    Failed(String),
}

/// All scripts.
#[derive(Debug, Default)]
pub struct Scripts {
    jobs: VecDeque<Job>,
    last: u64,
}

impl Scripts {
    /// Adds a script; the oldest that waits gives way if the queue is full.
    pub fn schedule(&mut self, words: Vec<String>) {
        self.last += 1;
        let id = JobId(self.last);
        self.jobs.push_back(Job { id, words, is_running: false, attempts: 0, time: 0, pid: 0 });
        if self.jobs.len() > MAX_QUEUE
            && let Some(oldest) = self.jobs.iter().position(|job| !job.is_running)
        {
            self.jobs.remove(oldest);
        }
    }

    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.jobs.iter()
    }

    pub fn running(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_running).count()
    }

    /// Marks what is to be started now as running and returns it.
    pub fn start_due(&mut self, now: u64) -> Vec<(JobId, Vec<String>)> {
        let free = MAX_RUNNING.saturating_sub(self.running());
        let due = self.jobs.iter_mut().filter(|job| !job.is_running && job.time <= now).take(free);
        due.map(|job| {
            (job.is_running, job.time) = (true, now);
            job.attempts += 1;
            (job.id, job.words.clone())
        })
        .collect()
    }

    /// The server has started a script.
    pub fn started(&mut self, id: JobId, pid: u32) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) {
            job.pid = pid;
        }
    }

    /// The scripts that have run for too long.
    pub fn overdue(&self, now: u64, timing: &Timing) -> Vec<(JobId, String, u32)> {
        let is_overdue =
            |job: &&Job| job.is_running && now.saturating_sub(job.time) > timing.script_max_runtime;
        let name = |job: &Job| (job.id, job.words.first().cloned().unwrap_or_default(), job.pid);
        self.jobs.iter().filter(is_overdue).map(name).collect()
    }

    /// A script's process has ended.
    pub fn ended(&mut self, id: JobId, ending: Ending, now: u64, timing: &Timing) -> Verdict {
        let Some(index) = self.jobs.iter().position(|job| job.id == id) else { return Verdict::Fine };
        let job = &mut self.jobs[index];
        let wants_again = ending.signal != 0 || ending.status == 1;
        if wants_again && job.attempts < MAX_ATTEMPTS {
            (job.is_running, job.pid) = (false, 0);
            let delay = timing.script_retry_delay.saturating_mul(1 << (job.attempts - 1));
            job.time = now.saturating_add(delay);
            return Verdict::Again;
        }
        let path = job.words.first().cloned().unwrap_or_default();
        self.jobs.remove(index);
        if ending.signal != 0 || ending.status != 0 { Verdict::Failed(path) } else { Verdict::Fine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Ending = Ending { status: 1, signal: 0 };

    #[test]
    fn a_script_is_run_again_with_growing_delays_and_then_given_up() {
        let (mut scripts, timing) = (Scripts::default(), Timing::default());
        scripts.schedule(vec!["/bin/x".into(), "a".into()]);
        let mut now = 1_000_000;
        for attempt in 1..=MAX_ATTEMPTS {
            let due = scripts.start_due(now);
            assert_eq!(due.len(), 1, "attempt {attempt}");
            assert_eq!(scripts.start_due(now).len(), 0);
            let verdict = scripts.ended(due[0].0, BAD, now, &timing);
            if attempt == MAX_ATTEMPTS {
                assert_eq!(verdict, Verdict::Failed("/bin/x".into()));
            } else {
                assert_eq!(verdict, Verdict::Again);
                let delay = 30_000 << (attempt - 1);
                assert_eq!(scripts.start_due(now + delay - 1).len(), 0);
                now += delay;
            }
        }
        assert_eq!(scripts.jobs().len(), 0);
    }

    #[test]
    fn a_status_beyond_one_is_final() {
        let (mut scripts, timing) = (Scripts::default(), Timing::default());
        scripts.schedule(vec!["x".into()]);
        let due = scripts.start_due(5);
        let verdict = scripts.ended(due[0].0, Ending { status: 2, signal: 0 }, 6, &timing);
        assert_eq!(verdict, Verdict::Failed("x".into()));
    }

    #[test]
    fn the_queue_and_what_runs_are_bounded() {
        let mut scripts = Scripts::default();
        for number in 0..MAX_QUEUE + 10 {
            scripts.schedule(vec![number.to_string()]);
        }
        assert_eq!(scripts.jobs().len(), MAX_QUEUE);
        let due = scripts.start_due(1);
        assert_eq!((due.len(), due[0].1[0].as_str()), (MAX_RUNNING, "10"));
        assert_eq!(scripts.start_due(1).len(), 0);
        let overdue = scripts.overdue(60_002, &Timing::default());
        assert_eq!(overdue.len(), MAX_RUNNING);
        scripts.schedule(vec!["new".into()]);
        assert_eq!(scripts.running(), MAX_RUNNING, "what runs stays");
    }
}
