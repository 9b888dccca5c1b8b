//! Snapshot of a sorted set's large form: hands over its members by groups of neighbouring hashes.

use super::ScoreTree;
use crate::structures::handle_table::{HandleTable, ORDER_BITS};
use crate::structures::hash_groups::HashGroups;
use crate::structures::member_arena::MemberArena;
use crate::structures::ordered::Ordered;
use crate::value::element::{Element, ElementSink};

/// The state of a snapshot.
pub(super) struct Snapshot {
    sink: Box<dyn ElementSink>,
    groups: HashGroups,
}

impl ScoreTree {
    /// Begins a snapshot: `sink` will be given every member with its score, as they are now, once.
    pub fn start_snapshot(&mut self, sink: Box<dyn ElementSink>) {
        self.snapshot = Some(Box::new(Snapshot { sink, groups: HashGroups::new(self.len()) }));
    }

    pub fn in_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        self.snapshot = None;
    }

    /// Hands over up to `groups` further groups, of some sixteen members each; false when there are no more.
    pub fn snapshot_step(&mut self, groups: usize) -> bool {
        for _ in 0..groups {
            let Some(snapshot) = &mut self.snapshot else { return false };
            let Some(group) = snapshot.groups.next_group() else { break };
            self.hand_over(group);
        }
        self.snapshot.is_some()
    }

    /// Hands over all that is left.
    pub(super) fn finish_snapshot(&mut self) {
        while self.snapshot_step(usize::MAX) {}
    }

    /// Before a member of this hash is added, changed or removed: hands over what is there.
    #[inline(always)]
    pub(super) fn before_write(&mut self, hash: u64) {
        if self.snapshot.is_some() {
            self.hand_over_group_of(hash);
        }
    }

    #[cold]
    fn hand_over_group_of(&mut self, hash: u64) {
        let Some(snapshot) = &self.snapshot else { return };
        let group = snapshot.groups.group_of(hash);
        if !snapshot.groups.is_done(group) {
            self.hand_over(group);
        }
    }

    fn hand_over(&mut self, group: u64) {
        let Some(mut snapshot) = self.snapshot.take() else { return };
        let (start, end) = snapshot.groups.range(group);
        let mut cursor = start >> (64 - ORDER_BITS);
        loop {
            cursor = self.scan(cursor, 1, |member, score| {
                let hash = self.hasher.hash(member);
                if hash >= start && (end == 0 || hash < end) {
                    snapshot.sink.take(Element::Scored(member, score));
                }
            });
            if cursor == 0 || (end != 0 && cursor >= end >> (64 - ORDER_BITS)) {
                break;
            }
        }
        snapshot.groups.set_done(group);
        self.snapshot = Some(snapshot).filter(|snapshot| !snapshot.groups.is_complete());
    }
}

impl Drop for ScoreTree {
    fn drop(&mut self) {
        self.finish_snapshot();
    }
}

/// A copy is in no snapshot.
impl Clone for ScoreTree {
    fn clone(&self) -> Self {
        ScoreTree {
            tree: Ordered::clone(&self.tree),
            table: HandleTable::clone(&self.table),
            members: MemberArena::clone(&self.members),
            hasher: self.hasher,
            snapshot: None,
        }
    }
}

impl std::fmt::Debug for ScoreTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScoreTree({} members)", self.len())
    }
}
