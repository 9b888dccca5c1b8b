//! A sorted set: members with scores, ordered by score and among equal scores by bytes.
//!
//! A listpack while it is small, beyond that [`tree::ScoreTree`], which OBJECT ENCODING
//! calls a skiplist. It converts by itself when an insertion exceeds the limits, and only
//! [`Zset::compact`] converts back: as in Redis, a shrinking sorted set keeps its form, and a new result
//! takes the smaller form.
//!
//! Ranges of scores and of members are resolved to ranges of ranks in O(log n);
//! offset, limit and direction of a command are then arithmetic on ranks. No score is NaN. The owner of an
//! emptied sorted set removes it.

mod listpack_form;
pub mod range;
mod tree;

use super::Limits;
use crate::base::rng::Rng;
use crate::structures::listpack::{Corrupt, DecimalBuffer, Entry, Listpack};
pub use crate::structures::ordered::Near;
use listpack_form::Foreign;
pub use range::{LexBound, ScoreBound};
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use tree::ScoreTree;

/// A sorted set in one of its two forms.
#[derive(Clone, Debug)]
pub enum Zset {
    /// Members and scores in one piece.
    Listpack(Listpack),
    /// Indexed by score and by member.
    Tree(Box<ScoreTree>),
}

/// The result of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The member is new.
    Added,
    /// The member has another score now.
    Updated,
    /// The member had that score.
    Unchanged,
}

impl Default for Zset {
    fn default() -> Self {
        Zset::new()
    }
}

/// Construction and conversion.
impl Zset {
    /// An empty one, in the small form.
    pub fn new() -> Self {
        Zset::Listpack(Listpack::new())
    }

    /// An empty one in the large form, to collect a result in; [`Zset::compact`] when it is complete.
    pub fn empty_tree(limits: &Limits) -> Self {
        Zset::Tree(Box::new(ScoreTree::new(limits.hasher)))
    }

    /// From elements that come in order, none of them twice, in the form that the limits allow.
    pub fn from_sorted(elements: &[(Entry<'_>, f64)], limits: &Limits) -> Self {
        let bytes = elements.iter().map(|(member, _)| member.byte_len());
        let is_small = elements.len() <= limits.zset_max_listpack_entries
            && bytes.clone().all(|len| len <= limits.zset_max_listpack_value)
            && Listpack::new().safe_to_add(bytes.sum());
        let mut digits = DecimalBuffer::new();
        if is_small {
            let mut listpack = Listpack::new();
            elements.iter().for_each(|(member, score)| {
                listpack_form::push(&mut listpack, member.bytes(&mut digits), *score)
            });
            return Zset::Listpack(listpack);
        }
        let mut tree = ScoreTree::new(limits.hasher);
        elements.iter().for_each(|(member, score)| tree.add(member.bytes(&mut digits), *score));
        Zset::Tree(Box::new(tree))
    }

    /// A sorted set from a listpack of an RDB file, in the form that the limits ask for.
    pub fn from_listpack(listpack: Listpack, limits: &Limits) -> Result<Self, Corrupt> {
        let listpack = match listpack_form::examine(&listpack) {
            Foreign::Corrupt => return Err(Corrupt),
            Foreign::Sorted => listpack,
            Foreign::Unsorted => return Ok(Self::from_sorted(&listpack_form::sorted(&listpack), limits)),
        };
        let mut zset = Zset::Listpack(listpack);
        zset.expect(zset.len(), limits);
        Ok(zset)
    }

    /// Converts to the large form if `len` members are too many for the small one.
    pub fn expect(&mut self, len: usize, limits: &Limits) {
        if len > limits.zset_max_listpack_entries {
            self.convert_to_tree(limits);
        }
    }

    /// Converts to the small form if the limits allow it: for a result that a command built.
    pub fn compact(&mut self, limits: &Limits) {
        let Zset::Tree(tree) = self else { return };
        if tree.len() > limits.zset_max_listpack_entries {
            return;
        }
        let (mut total, mut listpack) = (0, Listpack::new());
        for (member, score) in tree.forward(tree.at_rank(0)) {
            total += member.len();
            if member.len() > limits.zset_max_listpack_value || !Listpack::new().safe_to_add(total) {
                return;
            }
            listpack_form::push(&mut listpack, member, score);
        }
        *self = Zset::Listpack(listpack);
    }

    /// Takes the large form.
    pub fn convert_to_tree(&mut self, limits: &Limits) {
        let Zset::Listpack(listpack) = self else { return };
        let mut tree = ScoreTree::new(limits.hasher);
        for (member, score) in listpack.pairs() {
            tree.add(&member.to_cow(), listpack_form::score_of(score));
        }
        *self = Zset::Tree(Box::new(tree));
    }

    /// The encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Zset::Listpack(_) => "listpack",
            Zset::Tree(_) => "skiplist",
        }
    }

    /// The listpack, while it is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match self {
            Zset::Listpack(listpack) => Some(listpack),
            Zset::Tree(_) => None,
        }
    }
}

/// Reading.
impl Zset {
    /// Number of members.
    pub fn len(&self) -> usize {
        match self {
            Zset::Listpack(listpack) => listpack_form::len(listpack),
            Zset::Tree(tree) => tree.len(),
        }
    }

    /// Whether it has no member.
    pub fn is_empty(&self) -> bool {
        match self {
            Zset::Listpack(listpack) => listpack.is_empty(),
            Zset::Tree(tree) => tree.len() == 0,
        }
    }

    /// The member's score.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Zset::Listpack(listpack) => listpack_form::find(listpack, member).map(|(_, _, score)| score),
            Zset::Tree(tree) => tree.score(member),
        }
    }

    /// The rank of a member (how many come before it), and its score. The reverse rank is
    /// `len() - 1` minus the rank.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            Zset::Listpack(listpack) => {
                listpack_form::find(listpack, member).map(|(index, _, score)| (index, score))
            }
            Zset::Tree(tree) => tree.rank(member),
        }
    }

    /// Ranks of the members whose scores lie between the bounds; empty if none does.
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        match self {
            Zset::Listpack(listpack) => listpack_form::score_ranks(listpack, min, max),
            Zset::Tree(tree) => tree.score_ranks(min, max),
        }
    }

    /// Ranks of the members between the bounds. Some range within the set unless all scores
    /// are equal.
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        match self {
            Zset::Listpack(listpack) => listpack_form::lex_ranks(listpack, min, max),
            Zset::Tree(tree) => tree.lex_ranks(min, max),
        }
    }

    /// The elements of these ranks, the lowest first. Ranks beyond the end are left out.
    pub fn ascending(&self, ranks: Range<usize>) -> impl Iterator<Item = (Entry<'_>, f64)> {
        let (listpack, tree) = match self {
            Zset::Listpack(listpack) => (listpack_form::ascending(listpack, ranks.start), None),
            Zset::Tree(tree) => (None, Some(tree.forward(tree.at_rank(ranks.start)))),
        };
        Elements { listpack, tree }.take(ranks.len())
    }

    /// The elements of these ranks, the highest first. Ranks beyond the end are left out.
    pub fn descending(&self, ranks: Range<usize>) -> impl Iterator<Item = (Entry<'_>, f64)> {
        let end = ranks.end.min(self.len());
        let (listpack, tree) = match self {
            Zset::Listpack(listpack) => (listpack_form::descending(listpack, end), None),
            Zset::Tree(tree) => (None, Some(tree.backward(tree.at_rank(end)))),
        };
        Elements { listpack, tree }.take(end.saturating_sub(ranks.start))
    }

    /// Visits, the lowest first, the elements with a score in the range for which `pick` returns a value,
    /// until `visit` breaks. The other elements' members are not looked at. `near` makes several searches for
    /// ranges that lie together cheaper; the sorted set must not change between them.
    pub fn select<'z, T>(
        &'z self,
        scores: Range<f64>,
        near: &mut Near,
        mut pick: impl FnMut(f64) -> Option<T>,
        mut visit: impl FnMut(Entry<'z>, f64, T) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Zset::Listpack(pack) => {
                for (member, score) in pack.pairs() {
                    let score = listpack_form::score_of(score);
                    if scores.contains(&score)
                        && let Some(picked) = pick(score)
                    {
                        visit(member, score, picked)?;
                    }
                }
                ControlFlow::Continue(())
            }
            Zset::Tree(tree) => tree
                .select(scores, near, pick, |member, score, picked| visit(Entry::Str(member), score, picked)),
        }
    }

    /// All elements, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (Entry<'_>, f64)> {
        self.ascending(0..self.len())
    }

    /// The element of this rank.
    pub fn at_rank(&self, rank: usize) -> Option<(Entry<'_>, f64)> {
        self.ascending(rank..rank.checked_add(1)?).next()
    }

    /// An element, each as likely as any other.
    pub fn random(&self, rng: &mut Rng) -> Option<(Entry<'_>, f64)> {
        let len = self.len() as u64;
        if len == 0 { None } else { self.at_rank(rng.below(len) as usize) }
    }

    /// Visits `count` different elements (all, if there are not as many), each choice as likely as any
    /// other, the lowest first.
    pub fn sample(&self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Entry<'_>, f64)) {
        let len = self.len();
        if count >= len {
            return self.iter().for_each(|(member, score)| visit(member, score));
        }
        // Floyd's algorithm for distinct random numbers: one draw each, however many are wanted.
        let mut ranks = HashSet::with_capacity(count);
        for last in len - count..len {
            let rank = rng.below(last as u64 + 1) as usize;
            if !ranks.insert(rank) {
                ranks.insert(last);
            }
        }
        let mut ranks: Vec<usize> = ranks.into_iter().collect();
        ranks.sort_unstable();
        for (member, score) in ranks.into_iter().filter_map(|rank| self.at_rank(rank)) {
            visit(member, score);
        }
    }

    /// One step of a scan (ZSCAN) over all elements, unordered: visits at least `count` from `cursor`
    /// on, if there are as many, and returns the next cursor, 0 at the end. A member that is there
    /// during the whole scan is visited exactly once, unless the form changes meanwhile.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Entry<'_>, f64)) -> u64 {
        match self {
            Zset::Listpack(listpack) => {
                listpack.pairs().for_each(|(member, score)| visit(member, listpack_form::score_of(score)));
                0
            }
            Zset::Tree(tree) => tree.scan(cursor, count, |member, score| visit(Entry::Str(member), score)),
        }
    }

    /// Whether its handles are used up: nothing may be added.
    pub fn is_full(&self) -> bool {
        matches!(self, Zset::Tree(tree) if tree.is_full())
    }

    /// Bytes of memory behind this value.
    pub fn memory_usage(&self) -> usize {
        match self {
            Zset::Listpack(listpack) => listpack.memory(),
            Zset::Tree(tree) => tree.memory_usage(),
        }
    }
}

/// Changing.
impl Zset {
    /// Sets the member's score, adding the member if it is not there. NaN changes nothing.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Change {
        if score.is_nan() {
            return Change::Unchanged;
        }
        if let Zset::Listpack(listpack) = self {
            if let Some((_, pos, old)) = listpack_form::find(listpack, member) {
                if old == score {
                    return Change::Unchanged;
                }
                listpack_form::remove(listpack, pos);
                listpack_form::insert(listpack, member, score);
                return Change::Updated;
            }
            if listpack_form::len(listpack) < limits.zset_max_listpack_entries
                && member.len() <= limits.zset_max_listpack_value
                && listpack.safe_to_add(member.len())
            {
                listpack_form::insert(listpack, member, score);
                return Change::Added;
            }
        }
        self.convert_to_tree(limits);
        match self {
            Zset::Tree(tree) => tree.insert(member, score),
            Zset::Listpack(_) => unreachable!("converted above"),
        }
    }

    /// Removes the member; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            Zset::Listpack(listpack) => {
                let (_, pos, score) = listpack_form::find(listpack, member)?;
                listpack_form::remove(listpack, pos);
                Some(score)
            }
            Zset::Tree(tree) => tree.remove(member),
        }
    }

    /// Removes the `count` lowest elements and visits each, the lowest first.
    pub fn pop_lowest(&mut self, count: usize, mut visit: impl FnMut(Entry<'_>, f64)) -> usize {
        self.ascending(0..count).for_each(|(member, score)| visit(member, score));
        self.remove_ranks(0..count)
    }

    /// Removes the `count` highest elements and visits each, the highest first.
    pub fn pop_highest(&mut self, count: usize, mut visit: impl FnMut(Entry<'_>, f64)) -> usize {
        let ranks = self.len().saturating_sub(count)..self.len();
        self.descending(ranks.clone()).for_each(|(member, score)| visit(member, score));
        self.remove_ranks(ranks)
    }

    /// Removes the elements of these ranks; returns how many.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) -> usize {
        let ranks = ranks.start..ranks.end.min(self.len());
        if ranks == (0..self.len()) {
            // Whole blocks at a time instead of element by element.
            *self = Zset::new();
            return ranks.len();
        }
        match self {
            Zset::Listpack(listpack) => listpack_form::remove_ranks(listpack, ranks.clone()),
            Zset::Tree(tree) => (0..ranks.len()).for_each(|_| tree.remove_rank(ranks.start)),
        }
        ranks.len()
    }

    /// Frees up to `blocks` blocks of memory; true when nothing is left to free. Good for nothing
    /// else after.
    pub fn free_some(&mut self, blocks: usize) -> bool {
        match self {
            Zset::Listpack(_) => true,
            Zset::Tree(tree) => tree.free_some(blocks),
        }
    }

    /// Panics unless the invariants of the form hold.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        match self {
            Zset::Listpack(listpack) => {
                listpack.check_invariants();
                assert!(matches!(listpack_form::examine(listpack), Foreign::Sorted));
            }
            Zset::Tree(tree) => tree.check_invariants(),
        }
    }
}

/// An iterator over elements of either form.
struct Elements<'a, T> {
    listpack: Option<listpack_form::Elements<'a>>,
    tree: Option<T>,
}

impl<'a, T: Iterator<Item = (&'a [u8], f64)>> Iterator for Elements<'a, T> {
    type Item = (Entry<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.tree {
            Some(tree) => tree.next().map(|(member, score)| (Entry::Str(member), score)),
            None => self.listpack.as_mut()?.next(),
        }
    }
}

#[cfg(test)]
#[path = "zset/tests.rs"]
mod tests;
