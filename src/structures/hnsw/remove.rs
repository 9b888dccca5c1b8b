//! Removal: the neighbours of the removed node are linked among each other, and each layer stays connected.

use super::{Graph, NONE};

/// How many of the following neighbours each neighbour is compared with: bounds the work where nodes have very many links.
const COMPARED: usize = 64;

impl Graph {
    /// Removes a node. Its number may be given out again.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn remove(&mut self, id: u32) {
        assert!(self.contains(id), "a node");
        let level = self.level(id);
        if self.entry == id {
            self.replace_entry(level);
        }
        for layer in 0..=level {
            let neighbours = self.linked(id, layer).to_vec();
            for other in &neighbours {
                self.detach(*other, id, layer);
            }
            self.clear_links(id, layer);
            self.reconnect(&neighbours, layer);
        }
        self.free_node(id);
    }

    /// Chooses another entry point: as layers are connected, a node without links in a layer is alone in it.
    fn replace_entry(&mut self, level: usize) {
        let next = (0..=level).rev().find_map(|layer| self.linked(self.entry, layer).first().copied());
        self.entry = next.unwrap_or(NONE);
        self.entry_level = next.map_or(0, |next| self.level(next));
    }

    /// Links nodes that have just lost a common neighbour: those that have no older neighbour any more with an older one, the others with a
    /// near one if there is room.
    ///
    /// The oldest of them needs no older neighbour: it is older than the removed node, or that was the oldest of the layer and it is so now.
    fn reconnect(&mut self, nodes: &[u32], layer: usize) {
        let mut by_rank: Vec<u32> = nodes.to_vec();
        by_rank.sort_unstable_by_key(|id| self.rank(*id, layer));
        let mut lacking = nodes.to_vec();
        for (older, id) in by_rank.iter().enumerate().skip(1) {
            if !self.has_older(*id, NONE, layer) {
                let elder = self.elder(*id, &by_rank[..older], layer);
                self.adopt(*id, elder, layer);
                lacking.retain(|other| *other != elder && other != id);
            }
        }
        let mut pairs = Vec::new();
        for (number, a) in lacking.iter().enumerate() {
            for b in lacking.iter().skip(number + 1).take(COMPARED) {
                pairs.push((self.distance(*a, *b), *a, *b));
            }
        }
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (distance, a, b) in pairs {
            let lack = lacking.contains(&a) && lacking.contains(&b);
            if lack && self.has_room(a, layer) && self.has_room(b, layer) && !self.is_linked(a, b, layer) {
                self.link(a, b, distance, layer);
                lacking.retain(|id| *id != a && *id != b);
            }
        }
    }

    /// The nearest of some older nodes, one with room if there is one.
    fn elder(&self, id: u32, older: &[u32], layer: usize) -> u32 {
        let distances = older.iter().take(COMPARED).map(|other| (self.distance(id, *other), *other));
        let ordered = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0);
        let with_room = distances.clone().filter(|(_, other)| self.has_room(*other, layer)).min_by(ordered);
        with_room.or_else(|| distances.min_by(ordered)).map_or(older[0], |(_, other)| other)
    }
}
