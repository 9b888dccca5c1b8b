//! A coordinated failover (FAILOVER): from the request until another server has taken the role over, without I/O.
//!
//! ```text
//! FAILOVER ─▶ waiting ── the target has everything, or (FORCE) its time is up ─▶ handing over ── PSYNC … FAILOVER accepted ─▶ over
//!                └── its time is up, FAILOVER ABORT ─▶ aborted ◀── refused, FAILOVER ABORT ──┘
//! ```
//!
//! Writes are paused from the beginning to the end.

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Host and port of the replica that takes over; `None`: the first that has everything.
    target: Option<(String, u16)>,
    /// When a replica must have everything, Unix ms.
    deadline: Option<u64>,
    /// The target then takes over even if it hasn't.
    is_forced: bool,
    is_handing_over: bool,
}

/// A replica that could take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub host: String,
    pub port: u16,
    /// It has executed everything.
    pub has_all: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Wait,
    /// The server at this host and port takes over: this one follows it from now on. `is_synced`: it has everything.
    HandOver {
        host: String,
        port: u16,
        is_synced: bool,
    },
    /// No replica had everything in time.
    Abort(&'static str),
}

impl Failover {
    /// Begins. `deadline` in Unix ms; a forced one has a target and a deadline.
    pub fn new(target: Option<(String, u16)>, deadline: Option<u64>, is_forced: bool) -> Self {
        Failover { target, deadline, is_forced, is_handing_over: false }
    }

    /// The state in the words of INFO (`master_failover_state`).
    pub fn state_name(failover: Option<&Failover>) -> &'static str {
        match failover {
            None => "no-failover",
            Some(failover) if failover.is_handing_over => "failover-in-progress",
            Some(_) => "waiting-for-sync",
        }
    }

    /// Whether this server follows the one that takes over already, and asks it to.
    pub fn is_handing_over(&self) -> bool {
        self.is_handing_over
    }

    /// The target in the words of the log.
    pub fn target_name(&self) -> String {
        match &self.target {
            Some((host, port)) => format!("{host}:{port}"),
            None => "any replica".into(),
        }
    }

    /// What follows from how far the replicas are at `now`, Unix ms.
    pub fn decide(&mut self, now: u64, mut candidates: impl Iterator<Item = Candidate>) -> Decision {
        if self.is_handing_over {
            return Decision::Wait;
        }
        let is_late = self.deadline.is_some_and(|deadline| deadline <= now);
        let chosen = match (&self.target, is_late) {
            (Some(target), true) if self.is_forced => Some(target.clone()),
            (_, true) => return Decision::Abort("Replica never caught up before timeout"),
            (target, false) => candidates
                .find(|candidate| {
                    let is_target = |(host, port): &(String, u16)| {
                        candidate.host.eq_ignore_ascii_case(host) && candidate.port == *port
                    };
                    candidate.has_all && target.as_ref().is_none_or(is_target)
                })
                .map(|candidate| (candidate.host, candidate.port)),
        };
        let Some((host, port)) = chosen else { return Decision::Wait };
        self.is_handing_over = true;
        self.target = Some((host.clone(), port));
        Decision::HandOver { host, port, is_synced: !is_late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(them: &[(&str, u16, bool)]) -> impl Iterator<Item = Candidate> {
        let them = them.iter().map(|&(host, port, has_all)| Candidate { host: host.into(), port, has_all });
        them.collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_first_that_has_everything_takes_over() {
        let mut failover = Failover::new(None, None, false);
        assert_eq!(failover.target_name(), "any replica");
        assert_eq!(failover.decide(u64::MAX, candidates(&[("a", 1, false)])), Decision::Wait);
        assert_eq!(Failover::state_name(Some(&failover)), "waiting-for-sync");
        let there = [("a", 1, false), ("b", 2, true), ("c", 3, true)];
        assert_eq!(
            failover.decide(5, candidates(&there)),
            Decision::HandOver { host: "b".into(), port: 2, is_synced: true }
        );
        assert_eq!(failover.target_name(), "b:2");
        assert_eq!(Failover::state_name(Some(&failover)), "failover-in-progress");
        // Once.
        assert_eq!(failover.decide(5, candidates(&there)), Decision::Wait);
        assert_eq!(Failover::state_name(None), "no-failover");
    }

    #[test]
    fn a_target_is_waited_for() {
        let mut failover = Failover::new(Some(("Host".into(), 2)), Some(100), false);
        let others = [("host", 1, true), ("other", 2, true), ("host", 2, false)];
        assert_eq!(failover.decide(99, candidates(&others)), Decision::Wait);
        let mut late = failover.clone();
        assert_eq!(
            failover.decide(99, candidates(&[("host", 2, true)])),
            Decision::HandOver { host: "host".into(), port: 2, is_synced: true }
        );
        // In the millisecond of the deadline it is too late, whatever the replica has.
        let decision = late.decide(100, candidates(&[("host", 2, true)]));
        assert_eq!(decision, Decision::Abort("Replica never caught up before timeout"));
    }

    #[test]
    fn a_forced_one_takes_over_in_time() {
        let mut failover = Failover::new(Some(("host".into(), 2)), Some(100), true);
        assert_eq!(failover.decide(99, candidates(&[("host", 2, false)])), Decision::Wait);
        assert_eq!(
            failover.decide(100, candidates(&[])),
            Decision::HandOver { host: "host".into(), port: 2, is_synced: false }
        );
        assert!(failover.is_handing_over());
    }
}
