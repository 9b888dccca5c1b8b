//! Nodes of the B+ tree and the pools that own them.
//!
//! ```text
//! leaf     scores [f64; L] │ handles [u32; L] │ prev │ next │ len
//! inner    per child: score and handle of its first element, child, elements below it │ len
//! ```
//!
//! Columns, not rows: a search reads scores only, eight to a cache line. With the sizes that the
//! sorted set takes, each is one block of 1 KiB.

use crate::structures::member_arena::Handle;
use crate::structures::prefetch::prefetch;
use crate::structures::slots::Slots;

/// Number of a node in its pool.
pub type NodeId = u32;

/// No node.
pub const NIL: NodeId = u32::MAX;

/// Elements in order.
#[derive(Clone, Debug)]
pub struct Leaf<const L: usize> {
    pub scores: [f64; L],
    pub handles: [Handle; L],
    pub prev: NodeId,
    pub next: NodeId,
    pub len: u16,
}

/// Children in order; each has at least one element below it.
#[derive(Clone, Debug)]
pub struct Inner<const F: usize> {
    pub scores: [f64; F],
    pub handles: [Handle; F],
    pub children: [NodeId; F],
    pub counts: [u32; F],
    pub len: u16,
}

/// What a parent keeps of a child.
#[derive(Clone, Copy, Debug)]
pub struct Branch {
    pub score: f64,
    pub handle: Handle,
    pub child: NodeId,
    pub count: u32,
}

/// Starts loading a column, so that a search in it waits for memory once and not at each step.
#[inline(always)]
fn fetch<T>(column: &[T]) {
    let lines = size_of_val(column).div_ceil(64);
    (0..lines).for_each(|line| prefetch(column.as_ptr().cast::<u8>().wrapping_add(64 * line)));
}

/// Opens a gap at `at` of a column that has `len` entries, and fills it.
#[inline(always)]
fn open<T: Copy>(column: &mut [T], len: usize, at: usize, value: T) {
    column.copy_within(at..len, at + 1);
    column[at] = value;
}

impl<const L: usize> Leaf<L> {
    pub fn new() -> Self {
        Leaf { scores: [0.0; L], handles: [0; L], prev: NIL, next: NIL, len: 0 }
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    pub fn insert(&mut self, at: usize, score: f64, handle: Handle) {
        let len = self.len();
        open(&mut self.scores, len, at, score);
        open(&mut self.handles, len, at, handle);
        self.len += 1;
    }

    #[inline]
    pub fn remove(&mut self, at: usize) {
        let len = self.len();
        self.scores.copy_within(at + 1..len, at);
        self.handles.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Moves the elements from `keep` on to the end of `other`.
    pub fn move_tail(&mut self, keep: usize, other: &mut Self) {
        let (len, to) = (self.len(), other.len());
        let moved = len - keep;
        other.scores[to..to + moved].copy_from_slice(&self.scores[keep..len]);
        other.handles[to..to + moved].copy_from_slice(&self.handles[keep..len]);
        other.len += moved as u16;
        self.len = keep as u16;
    }

    /// Prepares for a search.
    #[inline(always)]
    pub fn fetch(&self) {
        fetch(&self.scores);
    }

    /// Prepares for an insertion or a removal.
    #[inline(always)]
    pub fn fetch_all(&self) {
        fetch(&self.scores);
        fetch(&self.handles);
    }

    /// How many elements come before the first for which `before` is false.
    #[inline(always)]
    pub fn partition(&self, before: impl Fn(f64, Handle) -> bool) -> usize {
        partition(self.len(), |i| before(self.scores[i], self.handles[i]))
    }
}

impl<const F: usize> Inner<F> {
    pub fn new() -> Self {
        Inner { scores: [0.0; F], handles: [0; F], children: [NIL; F], counts: [0; F], len: 0 }
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn insert(&mut self, at: usize, branch: Branch) {
        let len = self.len();
        open(&mut self.scores, len, at, branch.score);
        open(&mut self.handles, len, at, branch.handle);
        open(&mut self.children, len, at, branch.child);
        open(&mut self.counts, len, at, branch.count);
        self.len += 1;
    }

    pub fn remove(&mut self, at: usize) {
        let len = self.len();
        self.scores.copy_within(at + 1..len, at);
        self.handles.copy_within(at + 1..len, at);
        self.children.copy_within(at + 1..len, at);
        self.counts.copy_within(at + 1..len, at);
        self.len -= 1;
    }

    /// Moves the children from `keep` on to the end of `other`.
    pub fn move_tail(&mut self, keep: usize, other: &mut Self) {
        let (len, to) = (self.len(), other.len());
        let moved = len - keep;
        other.scores[to..to + moved].copy_from_slice(&self.scores[keep..len]);
        other.handles[to..to + moved].copy_from_slice(&self.handles[keep..len]);
        other.children[to..to + moved].copy_from_slice(&self.children[keep..len]);
        other.counts[to..to + moved].copy_from_slice(&self.counts[keep..len]);
        other.len += moved as u16;
        self.len = keep as u16;
    }

    /// Elements below all children.
    pub fn total(&self) -> u32 {
        self.counts[..self.len()].iter().sum()
    }

    /// Prepares for a search.
    #[inline(always)]
    pub fn fetch(&self) {
        fetch(&self.scores);
    }

    /// The child in which the first element lies for which `before` is false: the last whose
    /// first element is still before, or the first child.
    #[inline(always)]
    pub fn descend(&self, before: impl Fn(f64, Handle) -> bool) -> usize {
        partition(self.len(), |i| before(self.scores[i], self.handles[i])).saturating_sub(1)
    }
}

/// Number of leading indices in `0..len` for which `before` holds, which it does for a prefix.
#[inline(always)]
fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut rest) = (0, len);
    while rest > 0 {
        let half = rest / 2;
        // Both arms are cheap, so that no branch has to be predicted.
        let is_before = before(low + half);
        low = if is_before { low + half + 1 } else { low };
        rest = if is_before { rest - half - 1 } else { half };
    }
    low
}

/// Owns nodes of one kind, each in a box of its own, so that one can be taken out while another is changed.
#[derive(Clone, Debug)]
pub struct Pool<T>(Slots<Option<Box<T>>>);

impl<T> Pool<T> {
    pub fn new() -> Self {
        Pool(Slots::default())
    }

    pub fn add(&mut self, node: T) -> NodeId {
        self.0.insert(Some(Box::new(node)))
    }

    /// Takes a node out while it and another are changed; [`Pool::restore`] puts it back.
    pub fn take(&mut self, id: NodeId) -> Box<T> {
        self.0[id as usize].take().expect("a live node")
    }

    pub fn restore(&mut self, id: NodeId, node: Box<T>) {
        self.0[id as usize] = Some(node);
    }

    pub fn free(&mut self, id: NodeId) {
        self.0.remove(id);
    }

    #[inline(always)]
    pub fn get(&self, id: NodeId) -> &T {
        self.0[id as usize].as_ref().expect("a live node")
    }

    #[inline(always)]
    pub fn get_mut(&mut self, id: NodeId) -> &mut T {
        self.0[id as usize].as_mut().expect("a live node")
    }

    pub fn live(&self) -> usize {
        self.0.live()
    }

    pub fn memory_usage(&self) -> usize {
        self.live() * size_of::<T>() + self.0.memory_usage()
    }

    /// Frees up to `nodes` nodes in no order; true when none is left.
    pub fn free_some(&mut self, nodes: usize) -> bool {
        self.0.free_some(nodes)
    }
}
