//! The large form of a sorted set (`skiplist`): members in an arena, an ordered tree of them, and a table that
//! finds a member by its bytes.
//!
//! ```text
//! tree    score, handle in order          12 bytes an element and up
//! table   hash → handle                    5 bytes an element and up
//! arena   handle → score, member bytes     9 bytes and the member
//! ```

mod snapshot;

use super::Change;
use super::range::{LexBound, ScoreBound};
use crate::base::hash::KeyHasher;
use crate::structures::handle_table::{HandleTable, HashOf};
use crate::structures::member_arena::{Handle, MemberArena};
use crate::structures::ordered::{Near, Ordered, Position};
use std::ops::{ControlFlow, Range};

/// Hashes members for the table.
struct MemberHash<'a>(&'a MemberArena, &'a KeyHasher);

impl HashOf for MemberHash<'_> {
    #[inline(always)]
    fn hash(&self, handle: Handle) -> u64 {
        self.1.hash(self.0.bytes(handle))
    }

    #[inline(always)]
    fn fetch(&self, handle: Handle) {
        self.0.prefetch(handle);
    }
}

/// An iteration in order prefetches members this many elements ahead.
const PREFETCH_KEYS: usize = 12;

/// The large form of a sorted set, drawn at the top of this file.
pub struct ScoreTree {
    tree: Ordered,
    table: HandleTable,
    members: MemberArena,
    hasher: KeyHasher,
    /// The snapshot under way.
    snapshot: Option<Box<snapshot::Snapshot>>,
}

impl ScoreTree {
    pub fn new(hasher: KeyHasher) -> Self {
        ScoreTree {
            tree: Ordered::new(),
            table: HandleTable::new(),
            members: MemberArena::new(),
            hasher,
            snapshot: None,
        }
    }

    pub fn len(&self) -> usize {
        self.tree.len()
    }

    #[inline]
    fn find(&self, hash: u64, member: &[u8]) -> Option<Handle> {
        self.table.find(hash, |handle| self.members.bytes(handle) == member)
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(self.hasher.hash(member), member).map(|handle| self.members.score(handle))
    }

    pub fn insert(&mut self, member: &[u8], score: f64) -> Change {
        let hash = self.hasher.hash(member);
        self.before_write(hash);
        let Some(handle) = self.find(hash, member) else {
            let handle = self.members.alloc(score, member);
            self.table.insert(hash, handle, MemberHash(&self.members, &self.hasher));
            self.tree.insert(score, handle, &self.members);
            return Change::Added;
        };
        let old = self.members.score(handle);
        if old == score {
            return Change::Unchanged;
        }
        self.tree.change_score(old, score, handle, &self.members);
        self.members.set_score(handle, score);
        Change::Updated
    }

    /// Adds a member that is not there yet.
    pub fn add(&mut self, member: &[u8], score: f64) {
        let hash = self.hasher.hash(member);
        self.before_write(hash);
        let handle = self.members.alloc(score, member);
        self.table.insert(hash, handle, MemberHash(&self.members, &self.hasher));
        self.tree.insert(score, handle, &self.members);
    }

    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let hash = self.hasher.hash(member);
        self.before_write(hash);
        let members = &self.members;
        let hash_of = MemberHash(members, &self.hasher);
        let handle = self.table.remove(hash, |handle| members.bytes(handle) == member, hash_of)?;
        let score = self.members.score(handle);
        let is_removed = self.tree.remove(score, handle, &self.members);
        debug_assert!(is_removed);
        self.members.free(handle);
        Some(score)
    }

    /// Removes the element at `rank`, which must be below [`Self::len`].
    pub fn remove_rank(&mut self, rank: usize) {
        if self.snapshot.is_some() {
            let hash = self.forward(self.at_rank(rank)).next().map(|(member, _)| self.hasher.hash(member));
            self.before_write(hash.unwrap_or_default());
        }
        let Some((_, handle)) = self.tree.remove_rank(rank) else { return };
        let hash_of = MemberHash(&self.members, &self.hasher);
        self.table.remove(hash_of.hash(handle), |other| other == handle, hash_of);
        self.members.free(handle);
    }

    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.tree.locate_member(score, member, &self.members).rank, score))
    }

    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = self.tree.locate(|score, _| min.starts_after(score)).rank;
        let end = self.tree.locate(|score, _| !max.ends_before(score)).rank;
        start..end.max(start)
    }

    /// See [`super::Zset::select`].
    pub fn select<'z, T>(
        &'z self,
        scores: Range<f64>,
        near: &mut Near,
        mut pick: impl FnMut(f64) -> Option<T>,
        mut visit: impl FnMut(&'z [u8], f64, T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (score, handle) in self.tree.from_score(scores.start, near) {
            if score >= scores.end {
                break;
            }
            if let Some(picked) = pick(score) {
                visit(self.members.bytes(handle), score, picked)?;
            }
        }
        ControlFlow::Continue(())
    }

    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let start = self.tree.locate(|_, handle| min.starts_after(self.members.bytes(handle))).rank;
        let end = self.tree.locate(|_, handle| !max.ends_before(self.members.bytes(handle))).rank;
        start..end.max(start)
    }

    #[inline]
    pub fn at_rank(&self, rank: usize) -> Position {
        self.tree.at_rank(rank)
    }

    #[inline]
    pub fn forward(&self, position: Position) -> impl Iterator<Item = (&[u8], f64)> {
        let mut elements = self.tree.forward(position);
        std::iter::from_fn(move || {
            elements.ahead(PREFETCH_KEYS).into_iter().for_each(|handle| self.members.prefetch(handle));
            let (score, handle) = elements.next()?;
            Some((self.members.bytes(handle), score))
        })
    }

    #[inline]
    pub fn backward(&self, position: Position) -> impl Iterator<Item = (&[u8], f64)> {
        let mut elements = self.tree.backward(position);
        std::iter::from_fn(move || {
            elements.ahead(PREFETCH_KEYS).into_iter().for_each(|handle| self.members.prefetch(handle));
            let (score, handle) = elements.next()?;
            Some((self.members.bytes(handle), score))
        })
    }

    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        let hash_of = MemberHash(&self.members, &self.hasher);
        self.table.scan(cursor, count, hash_of, |handle| {
            visit(self.members.bytes(handle), self.members.score(handle));
        })
    }

    pub fn is_full(&self) -> bool {
        self.members.is_full()
    }

    pub fn memory_usage(&self) -> usize {
        size_of::<Self>() + self.tree.memory_usage() + self.table.memory_usage() + self.members.memory_usage()
    }

    pub fn free_some(&mut self, blocks: usize) -> bool {
        self.finish_snapshot();
        self.tree.free_some(blocks) && self.table.free_some(blocks) && self.members.free_some(blocks)
    }

    /// Panics unless tree, table and arena agree.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        self.tree.check_invariants(&self.members);
        self.table.check_invariants(|handle| self.hasher.hash(self.members.bytes(handle)));
        assert_eq!(self.tree.len(), self.table.len());
        for (score, handle) in self.tree.forward(self.tree.at_rank(0)) {
            assert_eq!(self.members.score(handle), score);
            assert_eq!(
                self.find(self.hasher.hash(self.members.bytes(handle)), self.members.bytes(handle)),
                Some(handle)
            );
        }
    }
}
