//! Searching the graph: the best first from the entry point, and the exact scan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Graph, NONE, Query};

/// A node at a distance, as one number: they compare as their distances do, by number where these are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found(u64);

impl Found {
    #[inline]
    pub(super) fn new(distance: f32, id: u32) -> Found {
        let bits = distance.to_bits();
        // Floats in their order: negative ones reversed, below the others. Not a number comes last.
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Found(u64::from(ordered) << 32 | u64::from(id))
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
    /// A bit for each node that was visited; all are clear between searches.
    visited: Vec<u64>,
    /// The nodes whose bits are set.
    touched: Vec<u32>,
    candidates: BinaryHeap<Reverse<Found>>,
    /// The nearest accepted nodes, the worst on top.
    pub(super) nearest: BinaryHeap<Found>,
}

impl Scratch {
    /// With nothing allocated.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    fn begin(&mut self, numbers: u32) {
        let words = (numbers as usize).div_ceil(64);
        if self.visited.len() < words {
            self.visited.resize(words, 0);
        }
        for id in self.touched.drain(..) {
            self.visited[id as usize / 64] = 0;
        }
        self.candidates.clear();
        self.nearest.clear();
    }

    /// True for the first time.
    #[inline]
    fn visit(&mut self, id: u32) -> bool {
        let (word, bit) = (&mut self.visited[id as usize / 64], 1 << (id % 64));
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        self.touched.push(id);
        true
    }
}

/// Which nodes a search returns.
pub(super) type Accept<'a> = Option<&'a mut dyn FnMut(u32) -> bool>;

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
        let effort = if accept.is_some() { effort } else { usize::MAX };
        self.search_layer(query, &[entry], 0, ef.min(self.len), scratch, accept, effort);
        take_sorted(&mut scratch.nearest)
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
            self.search_layer(query, &[nearest], layer, 1, scratch, None, usize::MAX);
            nearest = scratch.nearest.peek().copied().unwrap_or(nearest);
        }
        nearest
    }

    /// Leaves up to `ef` of the nearest nodes of a layer in `scratch.nearest`.
    #[expect(clippy::too_many_arguments, reason = "the parameters of the algorithm")]
    pub(super) fn search_layer(
        &self,
        query: &Query,
        entries: &[Found],
        layer: usize,
        ef: usize,
        scratch: &mut Scratch,
        mut accept: Accept<'_>,
        mut effort: usize,
    ) {
        scratch.begin(self.numbers);
        for entry in entries {
            scratch.visit(entry.id());
            scratch.candidates.push(Reverse(*entry));
            if accept.as_mut().is_none_or(|accept| accept(entry.id())) {
                push_bounded(&mut scratch.nearest, *entry, ef);
            }
        }
        while let Some(Reverse(candidate)) = scratch.candidates.pop() {
            let is_full = scratch.nearest.len() >= ef;
            if is_full && scratch.nearest.peek().is_some_and(|worst| candidate.distance() > worst.distance())
            {
                break;
            }
            if effort == 0 {
                break;
            }
            effort -= 1;
            for id in self.linked(candidate.id(), layer) {
                if !scratch.visit(*id) {
                    continue;
                }
                let found = Found::new(self.distance_to(query, *id), *id);
                let is_full = scratch.nearest.len() >= ef;
                if is_full && scratch.nearest.peek().is_some_and(|worst| found >= *worst) {
                    continue;
                }
                scratch.candidates.push(Reverse(found));
                if accept.as_mut().is_none_or(|accept| accept(*id)) {
                    push_bounded(&mut scratch.nearest, found, ef);
                }
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
pub(super) fn take_sorted(nearest: &mut BinaryHeap<Found>) -> Vec<(f32, u32)> {
    let mut found: Vec<Found> = nearest.drain().collect();
    found.sort_unstable();
    found.into_iter().map(|found| (found.distance(), found.id())).collect()
}
