//! Searching the graph: the best first from the entry point, and the exact scan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::distance::Operand;
use super::vectors::Scale;
use super::{Graph, NONE, Query};
use crate::structures::prefetch::prefetch_ref;

/// A node at a distance, as one number: they compare as their distances do, by number where these are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found(u64);

impl Found {
    #[inline]
    pub(super) fn new(distance: f32, id: u32) -> Found {
        let bits = distance.to_bits();
        // Floats in their order: negative ones reversed, below the others.
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Found(u64::from(ordered) << 32 | u64::from(id))
    }

    /// Shifted by one bit, for [`Pool`].
    #[inline]
    fn pooled(self) -> u64 {
        self.0 & 0xffff_ffff_0000_0000 | u64::from(self.id()) << 1
    }

    #[inline]
    fn from_pooled(pooled: u64) -> Found {
        Found(pooled & 0xffff_ffff_0000_0000 | (pooled & 0xffff_ffff) >> 1)
    }

    #[inline]
    pub(super) fn id(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(super) fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered >> 31 == 1 { ordered ^ 1 << 31 } else { !ordered })
    }
}

/// What a search needs beside the graph, to be used again for the next: it allocates only until it has grown.
#[derive(Debug, Default)]
pub struct Scratch {
    visited: Visited,
    /// The neighbours of one node that were not visited before, and how far they are.
    around: Vec<u32>,
    distances: Vec<f32>,
    pool: Pool,
    /// For searches without a pool: nodes to look around from, the nearest on top.
    candidates: BinaryHeap<Reverse<Found>>,
    /// The nearest accepted nodes, the worst on top.
    nearest: BinaryHeap<Found>,
}

impl Scratch {
    /// With nothing allocated.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Gives back what a search with a great effort took, but for the bits of nodes.
    pub(super) fn shrink(&mut self) {
        /// Nodes that there may be room for.
        const KEPT: usize = if cfg!(test) { 256 } else { 1 << 16 };
        let Scratch { visited, candidates, nearest, .. } = self;
        let largest = visited.nodes.capacity().max(candidates.capacity()).max(nearest.capacity());
        if largest > KEPT {
            visited.begin(0);
            visited.nodes.shrink_to(KEPT);
            candidates.clear();
            candidates.shrink_to(KEPT);
            nearest.clear();
            nearest.shrink_to(KEPT);
        }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.visited.nodes.capacity().max(self.candidates.capacity()).max(self.nearest.capacity())
    }
}

/// Which nodes a search has visited.
#[derive(Debug, Default)]
struct Visited {
    /// A bit for each node.
    bits: Vec<u64>,
    /// The nodes whose bits are set.
    nodes: Vec<u32>,
}

impl Visited {
    fn begin(&mut self, numbers: u32) {
        for id in self.nodes.drain(..) {
            self.bits[id as usize / 64] = 0;
        }
        let words = (numbers as usize).div_ceil(64);
        if self.bits.len() < words {
            self.bits.resize(words, 0);
        }
    }

    fn visit(&mut self, id: u32) {
        self.bits[id as usize / 64] |= 1 << (id % 64);
        self.nodes.push(id);
    }

    /// Visits nodes up to the first that is none; those that were not visited before are put into `new`. Whether one was is as good as
    /// random, so there is no branch on it.
    #[inline]
    fn visit_all(&mut self, ids: &[u32], new: &mut Vec<u32>) {
        new.clear();
        new.resize(ids.len(), NONE);
        let mut count = 0;
        for id in ids.iter().take_while(|id| **id != NONE) {
            new[count] = *id;
            let (word, bit) = (&mut self.bits[*id as usize / 64], 1 << (id % 64));
            count += usize::from(*word & bit == 0);
            *word |= bit;
        }
        new.truncate(count);
        self.nodes.extend_from_slice(new);
    }
}

/// The nearest nodes in order, each with a bit that says whether it was looked around from: nearest nodes and candidates in one, as
/// a candidate that is none of the nearest any more is never looked at. Insertion moves what is behind, which for a few hundred nodes is
/// less than a heap costs.
#[derive(Debug, Default)]
struct Pool {
    /// `Found` with the bit as the lowest: ids have 31 bits.
    found: Vec<u64>,
    /// All before it were looked around from.
    next: usize,
}

/// The largest `ef` for which a pool is used.
const MAX_POOL: usize = 1024;

impl Pool {
    fn clear(&mut self) {
        self.found.clear();
        self.next = 0;
    }

    /// Above all that can get in.
    #[inline]
    fn worst(&self, ef: usize) -> u64 {
        if self.found.len() < ef { u64::MAX } else { self.found[ef - 1] }
    }

    #[inline]
    fn insert(&mut self, found: Found, ef: usize) {
        let key = found.pooled();
        if key >= self.worst(ef) {
            return;
        }
        self.found.truncate(ef - 1);
        let place = self.found.partition_point(|other| *other < key);
        self.found.insert(place, key);
        self.next = self.next.min(place);
    }

    /// The nearest node that was not looked around from.
    #[inline]
    fn take_next(&mut self) -> Option<u32> {
        while let Some(found) = self.found.get_mut(self.next) {
            self.next += 1;
            if *found & 1 == 0 {
                *found |= 1;
                return Some(Found::from_pooled(*found).id());
            }
        }
        None
    }

    /// The node that will be next unless a nearer one is found.
    #[inline]
    fn peek_next(&self) -> Option<u32> {
        let next = self.found.get(self.next..)?.iter().find(|found| **found & 1 == 0)?;
        Some(Found::from_pooled(*next).id())
    }
}

impl Graph {
    /// The nearest nodes found, at most `ef`, the nearest first, with their distances. The larger `ef`, the more of the truly nearest are
    /// among them.
    ///
    /// With `accept`, only nodes that it is true for are returned, the others are still passed through; then `effort` bounds how many nodes
    /// are looked around from.
    pub fn search(
        &self,
        query: &Query,
        ef: usize,
        scratch: &mut Scratch,
        accept: Option<&mut dyn FnMut(u32) -> bool>,
        effort: usize,
    ) -> Vec<(f32, u32)> {
        if self.entry == NONE || ef == 0 {
            return Vec::new();
        }
        let entry = self.descend(query, 0, scratch);
        let ef = ef.min(self.len);
        let found = match accept {
            Some(accept) => self.search_filtered(query, entry, ef, scratch, accept, effort),
            None => self.search_layer(query, entry, 0, ef, scratch),
        };
        scratch.shrink();
        found
    }

    /// The nearest nodes of all that are accepted, at most `count`, the nearest first, with their distances. Looks at each node.
    pub fn scan(
        &self,
        query: &Query,
        count: usize,
        mut accept: Option<&mut dyn FnMut(u32) -> bool>,
    ) -> Vec<(f32, u32)> {
        let mut nearest = BinaryHeap::new();
        for id in self.ids() {
            if accept.as_mut().is_none_or(|accept| accept(id)) {
                push_bounded(&mut nearest, Found::new(self.distance_to(query, id), id), count);
            }
        }
        take_sorted(&mut nearest)
    }

    /// The nearest node of a greedy walk through the layers above `layer`.
    pub(super) fn descend(&self, query: &Query, layer: usize, scratch: &mut Scratch) -> Found {
        let mut nearest = Found::new(self.distance_to(query, self.entry), self.entry);
        for layer in (layer + 1..=self.entry_level).rev() {
            self.fill_pool(query, nearest, layer, 1, scratch);
            nearest = Found::from_pooled(scratch.pool.found[0]);
        }
        nearest
    }

    /// Up to `ef` of the nearest nodes of a layer, the nearest first.
    pub(super) fn search_layer(
        &self,
        query: &Query,
        entry: Found,
        layer: usize,
        ef: usize,
        scratch: &mut Scratch,
    ) -> Vec<(f32, u32)> {
        if ef > MAX_POOL {
            self.fill_heap(query, entry, layer, ef, scratch, &mut |_| true, usize::MAX);
            return take_sorted(&mut scratch.nearest);
        }
        self.fill_pool(query, entry, layer, ef, scratch);
        let found = scratch.pool.found.iter().map(|found| Found::from_pooled(*found));
        found.map(|found| (found.distance(), found.id())).collect()
    }

    fn search_filtered(
        &self,
        query: &Query,
        entry: Found,
        ef: usize,
        scratch: &mut Scratch,
        accept: &mut dyn FnMut(u32) -> bool,
        effort: usize,
    ) -> Vec<(f32, u32)> {
        self.fill_heap(query, entry, 0, ef, scratch, accept, effort);
        take_sorted(&mut scratch.nearest)
    }

    /// Leaves up to `ef` of the nearest nodes of a layer in the pool.
    fn fill_pool(&self, query: &Query, entry: Found, layer: usize, ef: usize, scratch: &mut Scratch) {
        let Scratch { visited, around, distances, pool, .. } = scratch;
        visited.begin(self.numbers);
        visited.visit(entry.id());
        pool.clear();
        pool.insert(entry, ef);
        while let Some(id) = pool.take_next() {
            self.look_around(query, id, layer, visited, around, distances);
            for (id, distance) in around.iter().zip(&*distances) {
                pool.insert(Found::new(*distance, *id), ef);
            }
            if let Some(next) = pool.peek_next() {
                self.prefetch_links(next, layer);
            }
        }
    }

    /// Leaves up to `ef` of the nearest accepted nodes of a layer in `scratch.nearest`, after looking around from at most `effort` nodes.
    #[expect(clippy::too_many_arguments, reason = "the parameters of the algorithm")]
    fn fill_heap(
        &self,
        query: &Query,
        entry: Found,
        layer: usize,
        ef: usize,
        scratch: &mut Scratch,
        accept: &mut dyn FnMut(u32) -> bool,
        mut effort: usize,
    ) {
        let Scratch { visited, around, distances, candidates, nearest, .. } = scratch;
        visited.begin(self.numbers);
        visited.visit(entry.id());
        candidates.clear();
        candidates.push(Reverse(entry));
        nearest.clear();
        if accept(entry.id()) {
            nearest.push(entry);
        }
        let worst = |nearest: &BinaryHeap<Found>| nearest.peek().copied().filter(|_| nearest.len() >= ef);
        while let Some(Reverse(candidate)) = candidates.pop() {
            if effort == 0 || worst(nearest).is_some_and(|worst| candidate > worst) {
                break;
            }
            effort -= 1;
            self.look_around(query, candidate.id(), layer, visited, around, distances);
            for (id, distance) in around.iter().zip(&*distances) {
                let found = Found::new(*distance, *id);
                if worst(nearest).is_some_and(|worst| found > worst) {
                    continue;
                }
                candidates.push(Reverse(found));
                if accept(*id) {
                    push_bounded(nearest, found, ef);
                }
            }
        }
    }

    /// Collects the neighbours of a node that were not visited before, and their distances.
    #[inline]
    fn look_around(
        &self,
        query: &Query,
        id: u32,
        layer: usize,
        visited: &mut Visited,
        around: &mut Vec<u32>,
        distances: &mut Vec<f32>,
    ) {
        /// Nodes that are compared at once.
        const AT_ONCE: usize = 32;
        visited.visit_all(self.slots(id, layer), around);
        distances.clear();
        distances.resize(around.len(), 0.0);
        for (others, distances) in around.chunks(AT_ONCE).zip(distances.chunks_mut(AT_ONCE)) {
            let mut operands = [Operand { lines: &[], scale: Scale::default() }; AT_ONCE];
            for (operand, other) in operands.iter_mut().zip(others) {
                *operand = self.operand(*other);
                prefetch_ref(&operand.lines[0]);
            }
            self.metric.distances(query.operand(), &operands[..others.len()], distances);
        }
    }

    #[inline]
    fn prefetch_links(&self, id: u32, layer: usize) {
        if layer == 0 {
            for line in self.links.row(id).chunks(16).take(4) {
                prefetch_ref(&line[0]);
            }
        }
    }
}

fn push_bounded(nearest: &mut BinaryHeap<Found>, found: Found, count: usize) {
    if nearest.len() < count {
        nearest.push(found);
    } else if let Some(mut worst) = nearest.peek_mut()
        && found < *worst
    {
        *worst = found;
    }
}

/// What a heap holds, the nearest first; the heap is empty afterwards.
fn take_sorted(nearest: &mut BinaryHeap<Found>) -> Vec<(f32, u32)> {
    let mut found: Vec<Found> = nearest.drain().collect();
    found.sort_unstable();
    found.into_iter().map(|found| (found.distance(), found.id())).collect()
}
