//! Insertion: where a vector belongs is found first, which takes long and changes nothing; then the node is linked.

use super::search::Found;
use super::{Graph, MOST_M, NONE, PART_BITS, Query, Scratch};

/// How many chosen neighbours, the nearest, a candidate is compared with: bounds the work where nodes have very many links.
const COMPARED: usize = 64;
/// Candidates of a layer that a node may be linked with, the nearest: bounds the work of linking, however great the effort of finding.
const CANDIDATES: usize = MOST_M;
/// Greatest effort of looking again for a place that is gone.
const LATE_EF: usize = 200;

/// Where a vector belongs: near nodes of each layer. It may have been found in an earlier clone of the graph.
#[derive(Clone, Debug)]
pub struct Place {
    ef: usize,
    /// Removals when it was found.
    pub(super) removed: u64,
    /// The nearest first; an entry for each layer of the new node.
    pub(super) layers: Vec<Vec<(f32, u32)>>,
}

impl Place {
    /// The level of the node that will be inserted.
    pub fn level(&self) -> usize {
        self.layers.len() - 1
    }

    fn leave_out(&mut self, id: u32) {
        self.layers.iter_mut().for_each(|found| found.retain(|(_, other)| *other != id));
    }
}

impl Graph {
    /// Finds where a vector belongs; the new node will have this level. The larger `ef`, the better it is linked. May be done on a clone by
    /// another thread.
    pub fn find_place(&self, query: &Query, ef: usize, level: usize, scratch: &mut Scratch) -> Place {
        let mut layers = vec![Vec::new(); level + 1];
        if self.entry != NONE {
            let top = level.min(self.entry_level);
            let mut entry = self.descend(query, top, scratch);
            for layer in (0..=top).rev() {
                layers[layer] = self.search_layer(query, entry, layer, ef.clamp(1, self.len), scratch);
                let (distance, id) = layers[layer][0];
                entry = Found::new(distance, id);
                layers[layer].truncate(CANDIDATES);
            }
            scratch.shrink();
        }
        Place { ef, removed: self.removed, layers }
    }

    /// Inserts a vector where it belongs; returns the number of the node. Of a place that was found earlier what is gone since is left out; it is
    /// looked for again if too little is left.
    pub fn insert(&mut self, query: &Query, place: Place, scratch: &mut Scratch) -> u32 {
        let place = self.checked(query, place, scratch);
        let level = place.level();
        let id = self.add_node(query, level);
        for (layer, candidates) in place.layers.iter().enumerate().take(self.entry_level + 1).rev() {
            if self.entry != NONE {
                self.connect(id, candidates, layer);
            }
        }
        if self.entry == NONE || level > self.entry_level {
            self.entry = id;
            self.entry_level = level;
        }
        id
    }

    /// Removes a node that is to be inserted anew at this place, which is as good as before.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn remove_for(&mut self, id: u32, place: &mut Place) {
        let is_current = place.removed == self.removed;
        self.remove(id);
        place.leave_out(id);
        if is_current {
            place.removed = self.removed;
        }
    }

    /// The place without what is gone, or another.
    pub(super) fn checked(&self, query: &Query, mut place: Place, scratch: &mut Scratch) -> Place {
        if self.entry == NONE {
            return place;
        }
        let wanted = |layer: usize, len: usize| len.min(if layer == 0 { self.width } else { 1 });
        let lengths: Vec<usize> = place.layers.iter().map(Vec::len).collect();
        if place.removed != self.removed {
            for (layer, found) in place.layers.iter_mut().enumerate() {
                found.retain(|(_, id)| {
                    self.contains(*id)
                        && self.removals.row(*id >> PART_BITS)[0] <= place.removed
                        && layer <= self.level(*id)
                });
            }
        }
        let enough = |(layer, found): (usize, &Vec<(f32, u32)>)| {
            layer > self.entry_level || found.len() >= wanted(layer, lengths[layer]).max(1)
        };
        if place.layers.iter().enumerate().all(enough) {
            return place;
        }
        self.find_place(query, place.ef.min(LATE_EF), place.level(), scratch)
    }

    /// Links a new node with some of the candidates, which are in the layer, the nearest first. It gets at least one link.
    ///
    /// A candidate is passed over at first if it is nearer to a chosen one than to the new node: links are to lead in different directions.
    /// All slots are used: as many links as a node has are looked at by each search that passes through it, and the more, the better.
    fn connect(&mut self, id: u32, candidates: &[(f32, u32)], layer: usize) {
        let mut left = 4 * self.comparisons();
        let mut passed_over = Vec::new();
        let mut links: Vec<u32> = Vec::with_capacity(2 * self.width);
        for (distance, other) in candidates {
            if !self.has_room(id, layer) {
                break;
            }
            let covers = |link: &u32| {
                left = left.saturating_sub(1);
                left == 0 || self.distance(*other, *link) < *distance
            };
            let is_covered = links.iter().take(COMPARED).any(covers);
            if !is_covered && self.try_link(id, *other, *distance, *distance, self.width / 2, layer) {
                links.push(*other);
            } else {
                passed_over.push((*distance, *other));
            }
        }
        // Too few of different directions: near ones in whatever direction.
        for (distance, other) in passed_over {
            if links.len() >= self.width / 2 {
                break;
            }
            if self.try_link(id, other, distance, f32::NEG_INFINITY, self.width / 4, layer) {
                links.push(other);
            }
        }
        if links.is_empty() {
            self.adopt(id, candidates[0].1, layer);
        }
    }

    /// Links two nodes if the other has room, or can drop a link longer than `longer_than` to one with more than `keep`.
    fn try_link(
        &mut self,
        id: u32,
        other: u32,
        distance: f32,
        longer_than: f32,
        keep: usize,
        layer: usize,
    ) -> bool {
        let has_room = self.has_room(other, layer) || self.make_room(other, longer_than, keep, layer);
        if has_room {
            self.link(id, other, distance, layer);
        }
        has_room
    }
}
