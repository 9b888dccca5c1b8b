//! The cluster's state as this node sees it: whether it serves requests.

use super::node::flag;
use super::{Action, Cluster, Level};
use crate::base::crc::SLOTS;

/// How long a primary that starts leaves the others time to tell it of a new configuration before it serves requests, ms.
const WRITABLE_DELAY: u64 = 2000;
/// How long a primary that was with the minority does, which is the node timeout within these bounds, ms.
const MIN_REJOIN_DELAY: u64 = 500;
const MAX_REJOIN_DELAY: u64 = 5000;

/// Why the cluster's state isn't ok.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailReason {
    #[default]
    None,
    /// A slot is served by no node that works.
    NotFullCoverage,
    /// Most primaries can't be reached.
    MinorityPartition,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub is_ok: bool,
    pub reason: FailReason,
    /// Primaries with slots.
    pub size: usize,
    /// When it was looked at first; the time that data took to load doesn't count.
    first_at: Option<u64>,
    /// When this node was last with the minority.
    minority_at: u64,
    /// Others may count on this node's vote.
    pub is_safe_to_join: bool,
}

impl State {
    pub fn set_back(&mut self, by: u64) {
        self.first_at = self.first_at.map(|at| at.saturating_sub(by));
        self.minority_at = self.minority_at.saturating_sub(by);
    }
}

impl Cluster {
    /// The node serves requests: the cluster's state is ok.
    #[inline]
    pub fn is_ok(&self) -> bool {
        self.state.is_ok
    }

    pub fn fail_reason(&self) -> FailReason {
        self.state.reason
    }

    /// Finds out anew whether the cluster is in order.
    pub fn update_state(&mut self) {
        let voters = self.topology.by_place().filter(|(_, node)| node.is_voter());
        let (mut size, mut reachable) = (0, 0);
        for (_, node) in voters {
            size += 1;
            reachable += usize::from(!node.is(flag::FAIL | flag::PFAIL));
        }
        self.state.size = size;
        let first_at = *self.state.first_at.get_or_insert(self.now);
        let am_primary = self.topology.myself().is_primary();
        self.state.is_safe_to_join =
            !am_primary || self.state.is_ok || self.since(first_at) >= WRITABLE_DELAY;
        if !self.state.is_safe_to_join {
            return;
        }
        let mut reason = FailReason::None;
        if self.settings.require_full_coverage && !self.is_covered() {
            reason = FailReason::NotFullCoverage;
        }
        if reachable < size / 2 + 1 {
            reason = FailReason::MinorityPartition;
            self.state.minority_at = self.now;
        }
        self.set_state(reason, am_primary);
    }

    /// Every slot is served by a node that hasn't failed.
    fn is_covered(&self) -> bool {
        let working = self.topology.by_place().filter(|(_, node)| !node.is(flag::FAIL));
        working.map(|(_, node)| node.slot_count()).sum::<usize>() == usize::from(SLOTS)
    }

    fn set_state(&mut self, reason: FailReason, am_primary: bool) {
        let is_ok = reason == FailReason::None;
        if is_ok != self.state.is_ok {
            let delay = self.settings.node_timeout_ms.clamp(MIN_REJOIN_DELAY, MAX_REJOIN_DELAY);
            if is_ok && am_primary && self.since(self.state.minority_at) < delay {
                return;
            }
            let (level, word) = if is_ok { (Level::Notice, "ok") } else { (Level::Warning, "fail") };
            self.log(level, format!("Cluster state changed: {word}"));
            self.state.is_ok = is_ok;
            self.push(Action::SlotsChanged);
        }
        if reason != self.state.reason {
            self.state.reason = reason;
            let text = match reason {
                FailReason::None => return,
                FailReason::NotFullCoverage => {
                    "At least one hash slot is not served by any available node. Please check the \
                     'cluster-require-full-coverage' configuration."
                }
                FailReason::MinorityPartition => "I am part of a minority partition.",
            };
            self.log(Level::Warning, format!("Cluster is currently down: {text}"));
        }
    }
}
