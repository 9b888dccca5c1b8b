//! Quicklist: a list as a deque of nodes, each a listpack of some kilobytes.
//!
//!     nodes ──▶ [ Packed | Lzf | Plain | Lzf | Packed ]      16 bytes a node, in one ring
//!                   │       │
//!                listpack  compressed listpack
//!
//! Both ends are open at the cost of a listpack's edit. An index is found by adding up the counts,
//! which lie in the ring itself, from the nearer end; no node is touched on the way. The limits on
//! nodes come with each call, so that they may change while the list lives. A node in the interior
//! that was changed is compressed again if its depth says so; the nodes at both ends never stay
//! compressed.
//!
//! Which items share a node is as in Redis, where it shows (OBJECT ENCODING): when a node takes an item, when it is split,
//! and which are merged. Two things differ. The first node may be cut in two, so that its front moves cheaply; all
//! rules take the two as one. And a node that replaced items have made larger than 64 KiB is split, not enlarged further.
//!
//! It doesn't turn into a listpack when it is short: its owner decides that.

mod node;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;

use super::before_images::SnapshotState;
use super::listpack::{Entry, Listpack};
pub use node::{Node, NodeLimits, Squeezed};
pub use snapshot::NodeSink;
use snapshot::Pass;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Bytes in which the front of a list moves, where nodes are limited by size.
const FRONT_CHUNK: usize = 512;
/// Bytes up to which a node grows by items that are replaced by larger ones; as large as any limit of nodes may be.
const REPLACED_MAX: usize = 64 * 1024;
/// Bytes that two listpacks lose when they become one: a header and an end.
const JOINT: usize = 7;

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Quicklist {
    /// No node is empty.
    nodes: VecDeque<Node>,
    /// Sum of the nodes' counts.
    len: usize,
    /// The first two nodes, both uncompressed listpacks, are one that is cut in two.
    front_cut: bool,
    snapshot: SnapshotState<snapshot::Snapshot>,
}

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Index 0.
    Front,
    /// The last index.
    Back,
}

impl Quicklist {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The nodes in order, for a snapshot of them.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> + '_ {
        self.nodes.iter()
    }

    /// How many nodes there are by the rules.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - usize::from(self.front_cut)
    }

    /// Bytes of memory, extrapolated from up to `samples` nodes (0: all of them).
    pub fn memory(&self, samples: usize) -> usize {
        let total = self.nodes.len();
        let taken = if samples == 0 { total } else { samples.min(total) };
        let sampled: usize = self.nodes.iter().take(taken).map(Node::memory).sum();
        let nodes = (sampled as u128 * total as u128).checked_div(taken as u128).unwrap_or(0);
        size_of::<Self>() + self.nodes.capacity() * size_of::<Node>() + nodes as usize
    }

    /// Frees up to `nodes` nodes from the back; true when none is left. A list on its way out is
    /// good for nothing else: its new end may be compressed.
    pub fn free_some(&mut self, nodes: usize) -> bool {
        self.finish_snapshot();
        let keep = self.nodes.len().saturating_sub(nodes);
        self.len -= self.nodes.drain(keep..).map(|node| node.count()).sum::<usize>();
        self.front_cut = false;
        self.nodes.is_empty()
    }

    /// The node at one end, if there is one.
    fn index_of(&self, end: End) -> usize {
        if end == End::Front { 0 } else { self.nodes.len().saturating_sub(1) }
    }

    /// The node that holds item `index`, and the item's number in it.
    fn locate(&self, index: usize) -> (usize, usize) {
        debug_assert!(index < self.len);
        if index < self.len / 2 {
            let mut rest = index;
            for (i, node) in self.nodes.iter().enumerate() {
                if rest < node.count() {
                    return (i, rest);
                }
                rest -= node.count();
            }
        } else {
            let mut start = self.len;
            for (i, node) in self.nodes.iter().enumerate().rev() {
                start -= node.count();
                if index >= start {
                    return (i, index - start);
                }
            }
        }
        unreachable!("the counts add up to the length")
    }
}

/// Reading.
impl Quicklist {
    /// The item at one end.
    pub fn peek(&self, end: End) -> Option<Entry<'_>> {
        let node = match end {
            End::Front => self.nodes.front()?,
            End::Back => self.nodes.back()?,
        };
        match node {
            Node::Plain(item) => Some(Entry::Str(item)),
            Node::Listpack { listpack, .. } => {
                listpack.at(if end == End::Front { listpack.first()? } else { listpack.last()? }).into()
            }
            Node::Lzf { .. } => unreachable!("the ends are never compressed"),
        }
    }

    /// Hands item `index` to `read`.
    pub fn get<R>(&self, index: usize, read: impl FnOnce(Entry<'_>) -> R) -> Option<R> {
        if index >= self.len {
            return None;
        }
        let (node, offset) = self.locate(index);
        match self.nodes[node].listpack() {
            Some(listpack) => listpack.get(offset).map(read),
            None => self.plain(node).map(read),
        }
    }

    fn plain(&self, node: usize) -> Option<Entry<'_>> {
        match &self.nodes[node] {
            Node::Plain(item) => Some(Entry::Str(item)),
            _ => None,
        }
    }

    /// Visits the items from `start` towards one end until `visit` breaks.
    pub fn walk(
        &self,
        start: usize,
        towards: End,
        mut visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if start >= self.len {
            return ControlFlow::Continue(());
        }
        let (first, offset) = self.locate(start);
        let mut offset = Some(offset);
        let mut node = first;
        loop {
            let here = offset.take();
            match self.nodes[node].listpack() {
                None => self.plain(node).map_or(ControlFlow::Continue(()), &mut visit)?,
                Some(listpack) => {
                    let pos = here.and_then(|index| listpack.seek(index));
                    match (towards, pos) {
                        (End::Back, Some(pos)) => listpack.iter_from(pos).try_for_each(&mut visit)?,
                        (End::Back, None) => listpack.iter().try_for_each(&mut visit)?,
                        (End::Front, Some(pos)) => listpack.iter_to(pos).rev().try_for_each(&mut visit)?,
                        (End::Front, None) => listpack.iter().rev().try_for_each(&mut visit)?,
                    }
                }
            }
            let next = if towards == End::Back { node.checked_add(1) } else { node.checked_sub(1) };
            match next.filter(|&next| next < self.nodes.len()) {
                Some(next) => node = next,
                None => return ControlFlow::Continue(()),
            }
        }
    }
}

/// Changing.
impl Quicklist {
    /// Adds an item at one end.
    pub fn push<'a>(&mut self, end: End, item: impl Into<Entry<'a>>, limits: &NodeLimits) {
        let item = item.into();
        let size = item.byte_len();
        self.keep_cut(limits);
        self.len += 1;
        let admits = self.end_size(end).is_some_and(|(bytes, items)| limits.admit(bytes, items, size));
        if !admits {
            if end == End::Front {
                self.join_front();
            }
            let at = if end == End::Front { 0 } else { self.nodes.len() };
            self.insert_node(at, Node::single(item, limits));
            return self.update_compression(at, limits);
        }
        if end == End::Front && limits.moves_in_chunks(size) {
            self.cut_front(size);
        }
        if self.in_snapshot() {
            self.before_change(self.index_of(end));
        }
        let node = if end == End::Front { self.nodes.front_mut() } else { self.nodes.back_mut() };
        if let Some(Node::Listpack { count, listpack }) = node {
            *count += 1;
            if end == End::Front { listpack.push_front(item) } else { listpack.push_back(item) }
        }
    }

    /// Bytes and items of the node at one end, in one piece; none if it is plain.
    #[inline]
    fn end_size(&self, end: End) -> Option<(usize, usize)> {
        let last = self.nodes.len().checked_sub(1)?;
        let at = if end == End::Front { 0 } else { last };
        let node = &self.nodes[at];
        if matches!(node, Node::Plain(_)) {
            return None;
        }
        let size = (node.raw_len(), node.count());
        if self.front_cut && at <= 1 {
            let other = &self.nodes[1 - at];
            return Some((size.0 + other.raw_len() - JOINT, size.1 + other.count()));
        }
        Some(size)
    }

    /// Before a push of `size` bytes to the front, which moves all of the first node: sees to it that this is a small one.
    fn cut_front(&mut self, size: usize) {
        if matches!(self.nodes.front(), Some(Node::Listpack { listpack, .. }) if listpack.byte_len() + size > FRONT_CHUNK)
        {
            self.join_front();
            self.insert_node(0, Node::empty());
            self.front_cut = true;
        }
    }

    /// Joins the two parts of the first node.
    fn join_front(&mut self) {
        if std::mem::take(&mut self.front_cut) {
            self.append_next(0);
        }
    }

    /// Joins them if under these limits no node is cut.
    #[inline]
    fn keep_cut(&mut self, limits: &NodeLimits) {
        if self.front_cut && !limits.moves_in_chunks(0) {
            self.join_front();
        }
    }

    /// Removes the item at one end; false if there is none.
    pub fn pop(&mut self, end: End, limits: &NodeLimits) -> bool {
        self.keep_cut(limits);
        let is_cut = self.front_cut;
        if self.in_snapshot() {
            self.before_pop(end);
        }
        let node = if end == End::Front { self.nodes.front_mut() } else { self.nodes.back_mut() };
        let Some(node) = node else { return false };
        self.len -= 1;
        if let Node::Listpack { count, listpack } = node
            && *count > 1
        {
            if end == End::Back {
                *count -= 1;
                listpack.last().map(|pos| listpack.remove(pos));
                return true;
            }
            if is_cut || listpack.byte_len() <= 2 * FRONT_CHUNK || !limits.moves_in_chunks(0) {
                *count -= 1;
                listpack.first().map(|pos| listpack.remove(pos));
                return true;
            }
            // The one that goes is the last of a chunk whose rest is cut off: the big node
            // moves once a chunk instead of once an item.
            let mut front = listpack.split_front(FRONT_CHUNK);
            *count -= front.len() as u32;
            front.first().map(|pos| front.remove(pos));
            if !front.is_empty() {
                self.insert_node(0, Node::of(front));
                self.front_cut = true;
            }
            return true;
        }
        self.remove_end_node(end);
        if end == End::Front {
            self.front_cut = false;
        } else {
            self.front_cut &= self.nodes.len() > 1;
        }
        self.update_compression(0, limits);
        true
    }

    /// Appends a ready listpack as a node (a list that outgrew it, or one from a snapshot).
    pub fn push_listpack(&mut self, listpack: Listpack, limits: &NodeLimits) {
        if !listpack.is_empty() {
            self.len += listpack.len();
            self.nodes.push_back(Node::of(listpack));
            self.update_compression(self.nodes.len() - 1, limits);
        }
    }

    /// Appends a ready plain node.
    pub fn push_plain(&mut self, item: Box<[u8]>, limits: &NodeLimits) {
        self.len += 1;
        self.nodes.push_back(Node::Plain(Box::new(item)));
        self.update_compression(self.nodes.len() - 1, limits);
    }

    /// Takes the listpack out of the only node, if that is how it looks.
    pub fn take_only_listpack(&mut self) -> Option<Listpack> {
        self.join_front();
        if self.nodes.len() == 1 {
            self.before_change(0);
        }
        match (self.nodes.pop_front(), self.nodes.is_empty()) {
            (Some(Node::Listpack { listpack, .. }), true) => {
                self.len = 0;
                Some(listpack)
            }
            (Some(node), _) => {
                self.nodes.push_front(node);
                None
            }
            (None, _) => None,
        }
    }

    /// Bytes and items of the only node, if it is one listpack.
    pub fn only_listpack(&self) -> Option<(usize, usize)> {
        if self.node_count() == 1 { self.end_size(End::Front) } else { None }
    }

    /// Puts an item before or after item `pivot`, which is there.
    pub fn insert<'a>(
        &mut self,
        pivot: usize,
        before: bool,
        item: impl Into<Entry<'a>>,
        limits: &NodeLimits,
    ) {
        let item = item.into();
        let size = item.byte_len();
        self.join_front();
        let (node, offset) = self.locate(pivot);
        let after = usize::from(!before);
        self.len += 1;
        if self.nodes[node].admits(size, limits) {
            self.before_change(node);
            self.nodes[node].edit(|listpack| {
                listpack.insert(listpack.seek(offset + after), item);
                1
            });
            return self.update_compression(node, limits);
        }
        let is_at_edge = if before { offset == 0 } else { offset + 1 == self.nodes[node].count() };
        if !is_at_edge {
            return self.insert_within(node, offset + after, before, item, limits);
        }
        let neighbour = if before { node.checked_sub(1) } else { Some(node + 1) };
        let neighbour = neighbour.filter(|at| self.nodes.get(*at).is_some_and(|it| it.admits(size, limits)));
        let touched = match neighbour {
            Some(at) => {
                self.before_change(at);
                self.nodes[at].push_within(if before { End::Back } else { End::Front }, item);
                at
            }
            None => {
                self.insert_node(node + after, Node::single(item, limits));
                node + after
            }
        };
        self.update_compression(touched, limits);
    }

    /// Puts an item into the middle of a full node, which is split in front of its entry `offset`. The item joins the part
    /// on its pivot's other side, however large that gets, unless it is a node of its own.
    fn insert_within(
        &mut self,
        node: usize,
        offset: usize,
        before: bool,
        item: Entry<'_>,
        limits: &NodeLimits,
    ) {
        let tail = self.split(node, offset);
        self.insert_node(node + 1, tail);
        if limits.is_large(item.byte_len()) {
            self.insert_node(node + 1, Node::single(item, limits));
            (node..=node + 2).for_each(|touched| self.update_compression(touched, limits));
        } else if before {
            self.nodes[node].push_within(End::Back, item);
            self.merge_around(node + 1, limits);
        } else {
            self.nodes[node + 1].push_within(End::Front, item);
            self.merge_around(node, limits);
        }
    }

    /// Cuts a node of a listpack in two at `offset` and returns the second part.
    fn split(&mut self, node: usize, offset: usize) -> Node {
        let mut tail = Listpack::new();
        self.before_change(node);
        self.nodes[node].edit(|listpack| {
            tail = listpack.split_off(offset);
            -(tail.len() as isize)
        });
        Node::of(tail)
    }

    /// Joins the nodes around `center` where two fit into one: the two before it, the two behind it, then it with its
    /// neighbours.
    fn merge_around(&mut self, center: usize, limits: &NodeLimits) {
        let mut center = center;
        if center >= 2 && self.merge_next(center - 2, limits) {
            center -= 1;
        }
        self.merge_next(center + 1, limits);
        if center >= 1 && self.merge_next(center - 1, limits) {
            center -= 1;
        }
        self.merge_next(center, limits);
        for touched in center.saturating_sub(2)..=center + 2 {
            self.update_compression(touched, limits);
        }
    }

    /// Joins `left` with the node after it, if there is one and both fit into one.
    fn merge_next(&mut self, left: usize, limits: &NodeLimits) -> bool {
        let right = self.nodes.get(left + 1);
        let fits = right.is_some_and(|right| self.nodes[left].admits_all(right, limits));
        if fits {
            self.append_next(left);
        }
        fits
    }

    /// Appends the node after `left` to it; both are listpacks.
    fn append_next(&mut self, left: usize) {
        self.before_change(left);
        let right = std::mem::replace(&mut self.nodes[left + 1], Node::empty());
        if let Some(listpack) = right.listpack() {
            self.nodes[left].edit(|mine| {
                mine.append(&listpack);
                right.count() as isize
            });
        }
        // Put back, for a snapshot may want to keep it.
        self.nodes[left + 1] = right;
        self.remove_nodes(left + 1..left + 2);
    }

    /// Replaces item `index`; false if there is none.
    pub fn set<'a>(&mut self, index: usize, item: impl Into<Entry<'a>>, limits: &NodeLimits) -> bool {
        if index >= self.len {
            return false;
        }
        let item = item.into();
        self.keep_cut(limits);
        let (node, offset) = self.locate(index);
        let size = item.byte_len();
        let is_large = limits.is_large(size);
        let target = &self.nodes[node];
        match target {
            Node::Plain(_) if is_large => self.replace_node(node, Node::single(item, limits)),
            Node::Plain(_) => {
                self.insert(index, false, item, limits);
                let (node, _) = self.locate(index);
                self.remove_nodes(node..node + 1);
                self.len -= 1;
                self.update_compression(node, limits);
            }
            Node::Listpack { .. } | Node::Lzf { .. }
                if !is_large
                    && (!limits.exceeded(target.raw_len(), 0) || target.raw_len() + size <= REPLACED_MAX) =>
            {
                self.before_change(node);
                self.nodes[node].edit(|listpack| {
                    if let Some(pos) = listpack.seek(offset) {
                        listpack.replace(pos, item);
                    }
                    0
                });
                self.update_compression(node, limits);
            }
            _ => self.set_apart(index, item, limits),
        }
        true
    }

    /// Replaces item `index` of a listpack by a node of its own.
    fn set_apart(&mut self, index: usize, item: Entry<'_>, limits: &NodeLimits) {
        self.join_front();
        let (node, offset) = self.locate(index);
        if offset + 1 < self.nodes[node].count() {
            let tail = self.split(node, offset + 1);
            self.insert_node(node + 1, tail);
        }
        self.insert_node(node + 1, Node::single(item, limits));
        if self.nodes[node].count() == 1 {
            self.remove_nodes(node..node + 1);
            (node..=node + 1).for_each(|touched| self.update_compression(touched, limits));
        } else {
            self.remove_in(node, offset, 1);
            self.merge_around(node + 1, limits);
        }
    }

    /// Removes up to `count` items from `start` on; returns how many were removed.
    pub fn remove_range(&mut self, start: usize, count: usize, limits: &NodeLimits) -> usize {
        if start >= self.len || count == 0 {
            return 0;
        }
        self.keep_cut(limits);
        let count = count.min(self.len - start);
        let (first, offset) = self.locate(start);
        let mut left = count;
        let mut node = first;
        if offset > 0 {
            left -= self.remove_in(node, offset, left);
            node += 1;
        }
        let mut whole = node;
        while left > 0 && self.nodes[whole].count() <= left {
            left -= self.nodes[whole].count();
            whole += 1;
        }
        self.remove_nodes(node..whole);
        // Of a node that is cut, one part is left at most.
        self.front_cut &= node >= 2 || whole == node;
        if left > 0 {
            self.remove_in(node, 0, left);
        }
        self.len -= count;
        self.update_compression(first, limits);
        self.update_compression(first + 1, limits);
        count
    }

    /// Removes up to `count` items of one node, not all of them; returns how many were removed.
    fn remove_in(&mut self, node: usize, offset: usize, count: usize) -> usize {
        let mut gone = 0;
        self.before_change(node);
        self.nodes[node].edit(|listpack| {
            gone = listpack.remove_range(offset, count);
            -(gone as isize)
        });
        gone
    }

    /// Removes up to `limit` items equal to `needle`, beginning at the front or at the back.
    pub fn remove_equal(&mut self, needle: &[u8], limit: usize, from: End, limits: &NodeLimits) -> usize {
        self.keep_cut(limits);
        let (mut gone, mut pass) = (0, Pass::default());
        for turn in 0..self.nodes.len() {
            let at = if from == End::Front { turn } else { self.nodes.len() - 1 - turn };
            let here = self.remove_equal_in(at, needle, limit - gone, from, &mut pass);
            gone += here;
            if here > 0 && self.nodes[at].count() == here {
                // The end of the pass takes them all out: each by itself would move its neighbours.
                self.empty_in(&mut pass, at);
            } else if here > 0 {
                self.nodes[at].edit(|_| -(here as isize));
                self.update_compression(at, limits);
            }
            if gone == limit {
                break;
            }
        }
        self.front_cut &= self.nodes.iter().take(2).all(|node| node.count() > 0);
        self.end_pass(pass);
        self.len -= gone;
        self.update_compression(0, limits);
        gone
    }

    /// Removes from the listpack of one node, leaving its count as it was.
    fn remove_equal_in(
        &mut self,
        at: usize,
        needle: &[u8],
        limit: usize,
        from: End,
        pass: &mut Pass,
    ) -> usize {
        let node = &self.nodes[at];
        if let Node::Plain(item) = node {
            return usize::from(item[..] == *needle);
        }
        if node.listpack().is_none_or(|listpack| listpack.position_of(needle).is_none()) {
            return 0;
        }
        self.before_change_in(pass, at);
        let mut gone = 0;
        self.nodes[at].edit(|listpack| {
            gone = listpack.remove_equal(needle, limit, from == End::Back);
            0
        });
        gone
    }

    /// After a change at `touched`: compresses it if it lies deep enough, also the nodes that now
    /// border on the uncompressed ends, and decompresses what has become part of an end.
    fn update_compression(&mut self, touched: usize, limits: &NodeLimits) {
        let total = self.nodes.len();
        let depth = limits.depth;
        let ends = depth.max(1).min(total);
        for i in 0..ends {
            self.nodes[i].decompress();
            self.nodes[total - 1 - i].decompress();
        }
        if depth == 0 || total <= 2 * depth {
            return;
        }
        for i in [depth, total - 1 - depth, touched] {
            if i >= depth && i + depth < total {
                self.nodes[i].compress();
            }
        }
    }

    /// Panics unless everything the fields promise holds (for tests).
    pub fn check_invariants(&self) {
        assert_eq!(self.len, self.nodes.iter().map(Node::count).sum::<usize>());
        for end in [self.nodes.front(), self.nodes.back()] {
            assert!(!matches!(end, Some(Node::Lzf { .. })), "a compressed end");
        }
        let parts = self.nodes.iter().take(2).filter(|node| matches!(node, Node::Listpack { .. }));
        assert!(!self.front_cut || parts.count() == 2);
        self.check_snapshot();
        for node in &self.nodes {
            assert!(node.count() > 0);
            if let Some(listpack) = node.listpack() {
                listpack.check_invariants();
                assert_eq!(listpack.len(), node.count());
            }
        }
    }
}
