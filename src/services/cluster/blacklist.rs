//! Nodes that were forgotten (CLUSTER FORGET) and aren't added again for some time, though others still tell of them.

use std::collections::BTreeMap;

use super::Cluster;
use super::ids::{NodeId, NodeRef};

/// The longest time that another node can keep a node out, s: sums of times can't overflow.
const MAX_TTL_S: u64 = 1 << 40;

/// Until when (Unix ms) each is kept out.
#[derive(Clone, Debug, Default)]
pub(super) struct Blacklist(BTreeMap<NodeId, u64>);

impl Blacklist {
    fn add(&mut self, now: u64, id: NodeId, ttl_s: u64) {
        self.0.retain(|_, until| *until > now);
        let until = self.0.entry(id).or_default();
        *until = (*until).max(now + ttl_s.min(MAX_TTL_S) * 1000);
    }

    pub fn contains(&self, now: u64, id: NodeId) -> bool {
        self.0.get(&id).is_some_and(|until| *until > now)
    }

    /// Who is kept out, and for how many whole seconds more: what others are told. If they were told of a second that has begun, nodes would
    /// keep one out for ever, each told by the other.
    pub fn iter(&self, now: u64) -> impl Iterator<Item = (NodeId, u64)> {
        let left = move |(id, until): (&NodeId, &u64)| (*id, until.saturating_sub(now) / 1000);
        self.0.iter().map(left).filter(|(_, left)| *left > 0)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn set_back(&mut self, by: u64) {
        self.0.values_mut().for_each(|until| *until = until.saturating_sub(by));
    }
}

impl Cluster {
    /// Removes a node that is neither this one nor its primary, and keeps it out (`cluster-blacklist-ttl`).
    pub fn forget(&mut self, at: NodeRef) {
        self.forget_for(at, self.settings.blacklist_ttl_s);
    }

    /// The same for a time of another node's choice.
    pub(super) fn forget_for(&mut self, at: NodeRef, ttl_s: u64) {
        self.blacklist.add(self.now, self.topology.node(at).id, ttl_s);
        self.remove_node(at);
        self.todo.save_and_update();
    }

    /// No node is kept out any more.
    pub fn clear_blacklist(&mut self) {
        self.blacklist.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_node_is_kept_out_for_longer_by_being_told_of() {
        let (id, began) = (NodeId([b'a'; 40]), 1_000_000);
        let [mut first, mut second] = [Blacklist::default(), Blacklist::default()];
        first.add(began, id, 60);
        let mut now = began;
        while first.contains(now, id) || second.contains(now, id) {
            for (_, left) in first.iter(now).collect::<Vec<_>>() {
                second.add(now, id, left);
            }
            now += 100;
            for (_, left) in second.iter(now).collect::<Vec<_>>() {
                first.add(now, id, left);
            }
            assert!(now < began + 60_100, "{now}");
        }
        assert!(now > began + 50_000, "{now}");
    }
}
