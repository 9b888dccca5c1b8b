//! The table of jobs: those under way, and a bounded log of those that are over.

use std::collections::VecDeque;

use super::job::{Family, Job, JobId, Role, State};
use super::ranges::SlotRanges;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Jobs {
    last: u64,
    /// The newest first.
    jobs: VecDeque<Job>,
}

impl Jobs {
    /// Adds a job.
    pub fn add(&mut self, mut job: Job) -> JobId {
        self.last += 1;
        job.id = JobId(self.last);
        let id = job.id;
        self.jobs.push_front(job);
        id
    }

    pub fn get(&self, id: JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    pub fn get_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    /// The newest job of this name.
    pub fn find(&self, name: &[u8]) -> Option<&Job> {
        self.jobs.iter().find(|job| job.name.as_bytes() == name)
    }

    /// All jobs, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Those that are not over, the newest first. Failed imports of Redis, which are tried again, are among them.
    pub fn active(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.is_active())
    }

    pub fn active_of(&self, role: Role) -> impl Iterator<Item = &Job> {
        self.active().filter(move |job| job.role == role)
    }

    /// A job under way that has one of these slots.
    pub fn active_over(&self, role: Role, slots: &SlotRanges) -> Option<&Job> {
        self.active_of(role).find(|job| job.slots.overlaps(slots))
    }

    pub fn active_with_slot(&self, role: Role, slot: u16) -> Option<&Job> {
        self.active_of(role).find(|job| job.slots.contains(slot))
    }

    pub fn has_active(&self, family: Family) -> bool {
        self.active().any(|job| job.family == family)
    }

    /// A job is over.
    pub fn archive(&mut self, id: JobId, state: State, message: Option<String>, now: u64) {
        let Some(job) = self.get_mut(id) else { return };
        job.set_state(state, now);
        job.is_archived = true;
        job.ended_ms = Some(now);
        if let Some(message) = message {
            job.message = message;
        }
    }

    /// Forgets the oldest of those that are over, until there are `max` jobs in all.
    pub fn trim(&mut self, max: u64) {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut at = self.jobs.len();
        while self.jobs.len() > max && at > 0 {
            at -= 1;
            if self.jobs[at].is_archived {
                self.jobs.remove(at);
            }
        }
    }

    /// Takes a job out that leaves no trace.
    pub fn remove(&mut self, id: JobId) -> Option<Job> {
        let at = self.jobs.iter().position(|job| job.id == id)?;
        self.jobs.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(start: u16, end: u16) -> Job {
        let slots = SlotRanges::normalized(vec![(start, end)]).expect("valid");
        Job::new(Family::Valkey, Role::Export, format!("{start:040}"), slots, State::Connecting, 1000)
    }

    #[test]
    fn the_log_is_bounded_and_keeps_what_is_under_way() {
        let mut jobs = Jobs::default();
        let ids: Vec<JobId> = (0..6).map(|at| jobs.add(job(at * 10, at * 10 + 9))).collect();
        for id in &ids[1..] {
            jobs.archive(*id, State::Succeeded, None, 2000);
        }
        jobs.trim(3);
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[5], ids[4], ids[0]]);
        jobs.trim(0);
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[0]]);
        jobs.archive(ids[0], State::Failed, Some("Data was flushed".into()), 3000);
        let job = jobs.get(ids[0]).expect("it is there");
        assert_eq!(
            (job.state_name(), &*job.message, job.ended_ms),
            ("failed", "Data was flushed", Some(3000))
        );
        assert!(jobs.active().next().is_none());
        jobs.trim(0);
        assert!(jobs.is_empty());
    }

    #[test]
    fn a_slot_is_found_in_jobs_under_way() {
        let mut jobs = Jobs::default();
        let (first, second) = (jobs.add(job(0, 9)), jobs.add(job(10, 19)));
        assert_eq!(jobs.active_with_slot(Role::Export, 10).map(|job| job.id), Some(second));
        assert!(jobs.active_with_slot(Role::Import, 10).is_none());
        jobs.archive(second, State::Cancelled, None, 2000);
        assert!(jobs.active_with_slot(Role::Export, 10).is_none());
        let over = SlotRanges::normalized(vec![(9, 12)]).expect("valid");
        assert_eq!(jobs.active_over(Role::Export, &over).map(|job| job.id), Some(first));
        assert_eq!(jobs.find(format!("{:040}", 10).as_bytes()).map(|job| job.id), Some(second));
    }
}
