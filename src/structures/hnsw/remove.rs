//! Removal: the neighbours of the removed node are linked among each other, and each layer stays connected.

use super::{Graph, NONE};

/// How many others each neighbour is compared with at most.
const COMPARED: usize = 64;
/// Neighbours with so many links can do without another.
const WELL_LINKED: usize = 64;

impl Graph {
    /// Removes a node. Its number may be given out again; [`Graph::compact`] gives its memory back.
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
            self.reconnect(neighbours, layer);
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
    fn reconnect(&mut self, mut nodes: Vec<u32>, layer: usize) {
        let mut left = self.comparisons();
        nodes.sort_unstable_by_key(|id| self.rank(*id, layer));
        let mut has_link = vec![false; nodes.len()];
        for number in 1..nodes.len() {
            if !self.has_older(nodes[number], NONE, layer) {
                let elder = self.nearest_elder(&nodes[..=number], &mut left, layer);
                self.adopt(nodes[number], nodes[elder], layer);
                (has_link[number], has_link[elder]) = (true, true);
            }
        }
        let lacks = |(id, has_link): &(u32, bool)| !has_link && self.linked(*id, layer).len() < WELL_LINKED;
        let lacking = nodes.into_iter().zip(has_link).filter(lacks);
        self.link_pairs(&lacking.map(|(id, _)| id).collect::<Vec<_>>(), left, layer);
    }

    /// Links each of some nodes with another of them, the nearest pairs first, as far as so many comparisons go.
    fn link_pairs(&mut self, nodes: &[u32], comparisons: usize, layer: usize) {
        // A quarter of them for the places of new links among others.
        let (mut for_pairs, mut for_links) = (comparisons / 4 * 3, comparisons / 4);
        let compared = (for_pairs / nodes.len().max(1)).clamp(1, COMPARED);
        let mut pairs = Vec::new();
        for (number, a) in nodes.iter().enumerate() {
            let others = nodes[number + 1..].iter().enumerate().take(compared.min(for_pairs));
            pairs.extend(others.map(|(at, b)| (self.distance(*a, *b), number, number + 1 + at)));
            for_pairs = for_pairs.saturating_sub(compared.min(nodes.len() - number - 1));
        }
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut has_link = vec![false; nodes.len()];
        for (distance, number_a, number_b) in pairs {
            let (a, b) = (nodes[number_a], nodes[number_b]);
            let lack = !has_link[number_a] && !has_link[number_b];
            if lack && self.has_room(a, layer) && self.has_room(b, layer) && !self.is_linked(a, b, layer) {
                let links = [a, b].map(|id| self.linked(id, layer).len());
                let cost: usize =
                    links.iter().map(|links| links.checked_ilog2().unwrap_or(0) as usize + 1).sum();
                let Some(rest) = for_links.checked_sub(cost) else { return };
                for_links = rest;
                self.link(a, b, distance, layer);
                (has_link[number_a], has_link[number_b]) = (true, true);
            }
        }
    }

    /// Which of some nodes is nearest to the last of them: one with room, if there is one. Of a few, if too few comparisons are left.
    fn nearest_elder(&self, nodes: &[u32], left: &mut usize, layer: usize) -> usize {
        let last = nodes.len() - 1;
        let compared = COMPARED.min(last).min(1 + *left);
        *left = left.saturating_sub(compared);
        // The youngest of them: those that were linked a moment ago don't all take the same one.
        let elders = (last - compared..last).map(|number| (number, nodes[number]));
        let by_distance =
            elders.map(|(number, id)| (!self.has_room(id, layer), self.distance(nodes[last], id), number));
        let nearest = by_distance.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        nearest.map_or(0, |(_, _, number)| number)
    }
}
