//! Election of the sentinel that fails over: one vote of each sentinel in an epoch, the majority and the quorum decide.

use std::collections::BTreeMap;

use super::event::Level;
use super::instance::Vote;
use super::{MAX_DESYNC, Sentinel};

/// The longest id that is voted for.
const MAX_CANDIDATE: usize = 64;

impl Sentinel {
    /// This sentinel's vote in an epoch: for the candidate, unless it has voted in this epoch or a later one.
    pub(super) fn vote(&mut self, group: &str, epoch: u64, candidate: &str) -> Vote {
        if epoch > self.current_epoch {
            self.enter_epoch(group, epoch);
        }
        let primary = self.group(group).primary;
        let last = self.at(primary).vote.epoch;
        if last < epoch && self.current_epoch <= epoch && candidate.len() <= MAX_CANDIDATE {
            let epoch = self.current_epoch;
            self.at_mut(primary).vote = Vote { leader: Some(candidate.to_string()), epoch };
            self.persist();
            let text = format!("{candidate} {epoch}");
            self.event_text(Level::Warning, "+vote-for-leader", Some(primary), text);
            if !candidate.eq_ignore_ascii_case(&self.id) {
                // The other one gets the time for its failover.
                let started_at = self.now + self.rng.below(MAX_DESYNC);
                self.group_mut(group).failover.started_at = started_at;
            }
        }
        self.at(primary).vote.clone()
    }

    /// The sentinel that has won the election of an epoch, as far as votes have come. This sentinel votes if it hasn't.
    pub(super) fn leader(&mut self, group_name: &str, epoch: u64) -> Option<String> {
        let group = self.group(group_name);
        let (voters, quorum) = (group.sentinels.len() + 1, group.quorum as usize);
        let mut votes: BTreeMap<String, usize> = BTreeMap::new();
        for id in group.sentinels.values() {
            let vote = &self.at(*id).vote;
            if let Some(leader) = vote.leader.as_ref().filter(|_| vote.epoch == epoch) {
                *votes.entry(leader.clone()).or_default() += 1;
            }
        }
        let most = |votes: &BTreeMap<String, usize>| {
            let first = votes.iter().rev().max_by_key(|(_, count)| **count);
            first.map(|(leader, count)| (leader.clone(), *count))
        };
        let candidate = most(&votes).map_or_else(|| self.id.clone(), |(leader, _)| leader);
        let own = self.vote(group_name, epoch, &candidate);
        if let Some(leader) = own.leader.filter(|_| own.epoch == epoch) {
            *votes.entry(leader).or_default() += 1;
        }
        most(&votes).filter(|(_, count)| *count > voters / 2 && *count >= quorum).map(|(leader, _)| leader)
    }
}
