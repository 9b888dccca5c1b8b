//! B+ tree of scored members with ranks: the order of a big sorted set (`skiplist` in Redis).
//!
//! Elements are (score, member bytes), in that order; the tree holds score and handle, the
//! [`MemberArena`] the bytes, which are looked at only between equal scores. Inner nodes know
//! how many elements lie below each child, so a rank costs as much as a search. Leaves are
//! linked both ways.
//!
//! ```text
//!                   inner: (first element, count, child) …
//!                 ╱                     ╲
//!   leaf ⇄ leaf ⇄ leaf  …     …  leaf ⇄ leaf ⇄ leaf        12 bytes an element
//! ```
//!
//! A full leaf at either end of the tree is left full when an element comes behind it, so that
//! scores that only rise (or only fall) make full leaves; others split in the middle. Nodes less
//! than half full merge with a neighbour once both fit well into one.
//!
//! Not here: uniqueness of members, for which the set has a hash table; NaN, which the callers refuse.

mod change;
mod node;
#[cfg(test)]
pub(crate) mod tests;

use crate::structures::member_arena::{Handle, MemberArena};
use node::{Inner, Leaf, NIL, NodeId, Pool};

/// The tree of a sorted set, with nodes of 1 KiB.
pub type Ordered = Tree<84, 51>;

const _: () = assert!(size_of::<Leaf<84>>() == 1024 && size_of::<Inner<51>>() == 1024);

/// More levels than 2^32 elements can need, for neighbours are at least 3/8 full on average.
const MAX_HEIGHT: usize = 24;

/// A tree with `L` elements a leaf and `F` children an inner node; see the module.
#[derive(Clone, Debug)]
pub struct Tree<const L: usize, const F: usize> {
    leaves: Pool<Leaf<L>>,
    inners: Pool<Inner<F>>,
    /// A leaf if `height` is 0, else an inner node.
    root: NodeId,
    height: usize,
    first: NodeId,
    last: NodeId,
    len: usize,
}

/// Between two elements, or before or after all: `rank` elements come before it.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Elements before this position.
    pub rank: usize,
    leaf: NodeId,
    index: usize,
}

/// Remembers a leaf of a tree between searches, as long as the tree isn't changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Near(Option<NodeId>);

impl<const L: usize, const F: usize> Default for Tree<L, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const L: usize, const F: usize> Tree<L, F> {
    /// A tree without elements.
    pub fn new() -> Self {
        const { assert!(L >= 4 && F >= 4) };
        let mut leaves = Pool::new();
        let root = leaves.add(Leaf::new());
        Tree { leaves, inners: Pool::new(), root, height: 0, first: root, last: root, len: 0 }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The position before the first element for which `before` is false; `before` has to hold
    /// for all elements up to some point and for none from there on.
    #[inline]
    pub fn locate(&self, before: impl Fn(f64, Handle) -> bool) -> Position {
        let (mut node, mut rank) = (self.root, 0);
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            inner.fetch();
            let at = inner.descend(&before);
            rank += inner.counts[..at].iter().sum::<u32>() as usize;
            node = inner.children[at];
        }
        let leaf = self.leaves.get(node);
        leaf.fetch();
        let index = leaf.partition(&before);
        Position { rank: rank + index, leaf: node, index }
    }

    /// The elements of this score and above. Looks first into the leaf that `near` remembers: what is asked for
    /// one after the other often lies together.
    pub fn from_score(&self, score: f64, near: &mut Near) -> Forward<'_, L, F> {
        if let Some(leaf) = near.0.map(|leaf| self.leaves.get(leaf))
            && let [first, .., last] = leaf.scores[..leaf.len()]
            && first < score
            && score <= last
        {
            return Forward { tree: self, leaf, index: leaf.partition(|other, _| other < score) };
        }
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            inner.fetch();
            node = inner.children[inner.descend(|other, _| other < score)];
        }
        let leaf = self.leaves.get(node);
        leaf.fetch();
        near.0 = Some(node);
        Forward { tree: self, leaf, index: leaf.partition(|other, _| other < score) }
    }

    /// The position before the element (or where it would be).
    #[inline]
    pub fn locate_member(&self, score: f64, member: &[u8], members: &MemberArena) -> Position {
        self.locate(|s, h| s < score || (s == score && members.bytes(h) < member))
    }

    /// The position with `rank` elements before it, at most all of them.
    pub fn at_rank(&self, rank: usize) -> Position {
        let rank = rank.min(self.len);
        let (mut node, mut rest) = (self.root, rank);
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let mut at = 0;
            while at + 1 < inner.len() && rest >= inner.counts[at] as usize {
                rest -= inner.counts[at] as usize;
                at += 1;
            }
            node = inner.children[at];
        }
        Position { rank, leaf: node, index: rest }
    }

    /// The elements from `start` on.
    pub fn forward(&self, start: Position) -> Forward<'_, L, F> {
        Forward { tree: self, leaf: self.leaves.get(start.leaf), index: start.index }
    }

    /// The elements before `end`, the nearest first.
    pub fn backward(&self, end: Position) -> Backward<'_, L, F> {
        Backward { tree: self, leaf: self.leaves.get(end.leaf), index: end.index }
    }

    /// Bytes allocated.
    pub fn memory_usage(&self) -> usize {
        self.leaves.memory_usage() + self.inners.memory_usage()
    }

    /// Frees up to `nodes` nodes; true when none is left. Only for a tree that is not used any more.
    pub fn free_some(&mut self, nodes: usize) -> bool {
        self.leaves.free_some(nodes) && self.inners.free_some(nodes)
    }
}

impl<const L: usize, const F: usize> Forward<'_, L, F> {
    /// The element `distance` behind the one that comes next, if the leaf at hand has it.
    #[inline]
    pub fn ahead(&self, distance: usize) -> Option<Handle> {
        let at = self.index + distance;
        (at < self.leaf.len()).then(|| self.leaf.handles[at])
    }
}

impl<const L: usize, const F: usize> Backward<'_, L, F> {
    /// The element `distance` behind the one that comes next, if the leaf at hand has it.
    #[inline]
    pub fn ahead(&self, distance: usize) -> Option<Handle> {
        let at = self.index.checked_sub(1 + distance)?;
        Some(self.leaf.handles[at])
    }
}

/// Elements in rising order; see [`Tree::forward`].
#[derive(Clone, Debug)]
pub struct Forward<'a, const L: usize, const F: usize> {
    tree: &'a Tree<L, F>,
    leaf: &'a Leaf<L>,
    index: usize,
}

impl<const L: usize, const F: usize> Iterator for Forward<'_, L, F> {
    type Item = (f64, Handle);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.leaf.len() {
            if self.leaf.next == NIL {
                return None;
            }
            self.leaf = self.tree.leaves.get(self.leaf.next);
            self.index = 0;
        }
        let at = self.index;
        self.index += 1;
        Some((self.leaf.scores[at], self.leaf.handles[at]))
    }
}

/// Elements in falling order; see [`Tree::backward`].
#[derive(Clone, Debug)]
pub struct Backward<'a, const L: usize, const F: usize> {
    tree: &'a Tree<L, F>,
    leaf: &'a Leaf<L>,
    index: usize,
}

impl<const L: usize, const F: usize> Iterator for Backward<'_, L, F> {
    type Item = (f64, Handle);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == 0 {
            if self.leaf.prev == NIL {
                return None;
            }
            self.leaf = self.tree.leaves.get(self.leaf.prev);
            self.index = self.leaf.len();
        }
        self.index -= 1;
        Some((self.leaf.scores[self.index], self.leaf.handles[self.index]))
    }
}
