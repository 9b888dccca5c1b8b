//! Loading a graph that was saved: nodes with their vectors and links, in any order, checked.

use std::collections::HashMap;

use super::search::Found;
use super::{Graph, MAX_LEVEL, NONE, Quantization, Query, Scratch};

/// Components of a layer for which a near node is searched; more are joined anyhow, so that what isn't connected at all takes not too long.
const MAX_SEARCHES: usize = 1000;

/// Why what was saved is no graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A level above [`MAX_LEVEL`].
    Level,
    /// A vector of another length than the graph's.
    Vector,
    /// Two nodes of one id.
    DuplicateId,
    /// A link to a node that does not exist, is not in the layer, or is the node itself; or one twice.
    Link,
    /// A link whose other end lacks it.
    OneWayLink,
}

/// A graph that is being loaded. Takes memory in proportion to what it is given.
#[derive(Debug)]
pub struct Loader {
    graph: Graph,
    /// Nodes by the ids under which they were saved.
    numbers: HashMap<u64, u32>,
    /// For each node and layer, in order, the number of links; and the links as saved ids.
    lengths: Vec<u32>,
    links: Vec<u64>,
}

impl Loader {
    /// For a graph as [`Graph::new`] makes it.
    pub fn new(dim: usize, m: usize, quantization: Quantization) -> Loader {
        let graph = Graph::new(dim, m, quantization);
        Loader { graph, numbers: HashMap::new(), lengths: Vec::new(), links: Vec::new() }
    }

    /// Adds a node: the bytes of its vector as [`Graph::raw`] gives them, and for each layer from 0 to its level the ids it is linked
    /// with. Returns its number; they are given out in order, from 0.
    pub fn node(
        &mut self,
        saved_id: u64,
        raw: &[u8],
        norm: f32,
        range: f32,
        layers: &[&[u64]],
    ) -> Result<u32, Malformed> {
        let (dim, quantization) = (self.graph.dim(), self.graph.quantization());
        if layers.is_empty() || layers.len() > MAX_LEVEL + 1 {
            return Err(Malformed::Level);
        }
        if raw.len() != quantization.bytes(dim) {
            return Err(Malformed::Vector);
        }
        if self.numbers.contains_key(&saved_id) {
            return Err(Malformed::DuplicateId);
        }
        let range = if quantization == Quantization::Int8 { range } else { 0.0 };
        let id = self.graph.add_node(&Query::from_bytes(raw, range, norm, quantization), layers.len() - 1);
        self.numbers.insert(saved_id, id);
        for links in layers {
            self.lengths.push(links.len() as u32);
            self.links.extend_from_slice(links);
        }
        Ok(id)
    }

    /// The graph, once all its nodes were added.
    ///
    /// Links that a node has no room for are left out, and layers that are not connected are joined.
    pub fn finish(mut self) -> Result<Graph, Malformed> {
        let pairs = self.checked_links()?;
        let graph = &mut self.graph;
        for (layer, a, b) in pairs {
            graph.append_link(a, b, layer);
        }
        for id in 0..graph.numbers {
            let level = graph.level(id);
            if id == 0 || level > graph.entry_level {
                (graph.entry, graph.entry_level) = (id, level);
            }
            for layer in 0..=level {
                graph.sort_links(id, layer);
            }
        }
        for layer in 0..=graph.entry_level {
            graph.rank_and_join(layer);
        }
        Ok(self.graph)
    }

    /// Each link once, as layer and numbers.
    fn checked_links(&self) -> Result<Vec<(usize, u32, u32)>, Malformed> {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let (mut lengths, mut links) = (self.lengths.iter(), self.links.as_slice());
        for id in 0..self.graph.numbers {
            for layer in 0..=self.graph.level(id) {
                let length = lengths.next().map_or(0, |length| *length as usize);
                let (own, rest) = links.split_at(length);
                links = rest;
                for saved in own {
                    let other = *self.numbers.get(saved).ok_or(Malformed::Link)?;
                    if other == id || layer > self.graph.level(other) {
                        return Err(Malformed::Link);
                    }
                    if id < other {
                        there.push((layer, id, other))
                    } else {
                        back.push((layer, other, id))
                    };
                }
            }
        }
        there.sort_unstable();
        back.sort_unstable();
        if there.windows(2).chain(back.windows(2)).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::Link);
        }
        if there != back {
            return Err(Malformed::OneWayLink);
        }
        Ok(there)
    }
}

impl Graph {
    /// Ranks the nodes of a layer in the order in which they are reached, and links the first of each further component with an older node.
    fn rank_and_join(&mut self, layer: usize) {
        let components = self.components(layer);
        for (id, rank) in components.iter().flatten().zip(0..) {
            self.set_rank(*id, layer, rank);
        }
        let mut scratch = Scratch::new();
        let orphans = components.iter().map(|component| component[0]);
        for (number, (orphan, joined)) in orphans.clone().skip(1).zip(orphans).enumerate() {
            // Room is made for it first. All its neighbours are younger, as they were reached from it.
            let dropped =
                self.linked(orphan, layer).last().copied().filter(|_| !self.has_room(orphan, layer));
            if let Some(dropped) = dropped {
                self.unlink(orphan, dropped, layer);
            }
            let elder =
                if number < MAX_SEARCHES { self.near_elder(orphan, layer, &mut scratch) } else { joined };
            self.adopt(orphan, elder, layer);
            if let Some(dropped) = dropped.filter(|id| !self.has_older(*id, NONE, layer)) {
                self.adopt(dropped, orphan, layer);
            }
        }
    }

    /// A near node among those of a layer that can be reached, one with room if there is one.
    fn near_elder(&self, orphan: u32, layer: usize, scratch: &mut Scratch) -> u32 {
        let entry = Found::new(self.distance(orphan, self.entry), self.entry);
        let found = self.search_layer(&self.query_of(orphan), entry, layer, self.width, scratch);
        let with_room = found.iter().find(|(_, id)| self.has_room(*id, layer));
        with_room.map_or(found[0].1, |(_, id)| *id)
    }

    /// Links two nodes in one layer, if both have room, wherever that is.
    fn append_link(&mut self, a: u32, b: u32, layer: usize) {
        if self.has_room(a, layer) && self.has_room(b, layer) {
            for (id, other) in [(a, b), (b, a)] {
                let used = self.linked(id, layer).len();
                self.slots_mut(id, layer)[used] = other;
            }
        }
    }

    /// Puts the links of a node in order.
    fn sort_links(&mut self, id: u32, layer: usize) {
        let mut links: Vec<(u32, f32)> = self.links(id, layer).collect();
        links.sort_by(|a, b| a.1.total_cmp(&b.1));
        for (slot, (other, _)) in self.slots_mut(id, layer).iter_mut().zip(links) {
            *slot = other;
        }
    }

    /// The nodes of a layer by connected component, that of the entry point first, in the order in which they are reached.
    pub(super) fn components(&self, layer: usize) -> Vec<Vec<u32>> {
        let mut seen = vec![false; self.numbers as usize];
        let mut components = Vec::new();
        for start in std::iter::once(self.entry).filter(|_| self.len > 0).chain(self.ids()) {
            if seen[start as usize] || self.level(start) < layer {
                continue;
            }
            seen[start as usize] = true;
            let mut component = vec![start];
            let mut next = 0;
            while let Some(id) = component.get(next) {
                next += 1;
                for other in self.linked(*id, layer).to_vec() {
                    if !std::mem::replace(&mut seen[other as usize], true) {
                        component.push(other);
                    }
                }
            }
            components.push(component);
        }
        components
    }
}
