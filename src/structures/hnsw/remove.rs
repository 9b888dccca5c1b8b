//! Removal: the neighbours of the removed node are linked among each other, and each layer stays connected.

use super::{Graph, NONE};

/// How many others each neighbour is compared with: bounds the work where nodes have very many links.
const COMPARED: usize = 64;

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
        let mut nodes: Vec<u32> = nodes.to_vec();
        nodes.sort_unstable_by_key(|id| self.rank(*id, layer));
        let mut has_link = vec![false; nodes.len()];
        for number in 1..nodes.len() {
            if !self.has_older(nodes[number], NONE, layer) {
                let elder = self.nearest_elder(&nodes[..=number], layer);
                self.adopt(nodes[number], nodes[elder], layer);
                (has_link[number], has_link[elder]) = (true, true);
            }
        }
        let mut pairs = Vec::new();
        for a in (0..nodes.len()).filter(|number| !has_link[*number]) {
            for b in (a + 1..nodes.len()).filter(|number| !has_link[*number]).take(COMPARED) {
                pairs.push((self.distance(nodes[a], nodes[b]), a, b));
            }
        }
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (distance, number_a, number_b) in pairs {
            let (a, b) = (nodes[number_a], nodes[number_b]);
            let lack = !has_link[number_a] && !has_link[number_b];
            if lack && self.has_room(a, layer) && self.has_room(b, layer) && !self.is_linked(a, b, layer) {
                self.link(a, b, distance, layer);
                (has_link[number_a], has_link[number_b]) = (true, true);
            }
        }
    }

    /// Which of some nodes is nearest to the last of them: one with room, if there is one.
    fn nearest_elder(&self, nodes: &[u32], layer: usize) -> usize {
        let last = nodes.len() - 1;
        let elders = nodes[..last].iter().take(COMPARED).enumerate();
        let by_distance =
            elders.map(|(number, id)| (!self.has_room(*id, layer), self.distance(nodes[last], *id), number));
        let nearest = by_distance.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        nearest.map_or(0, |(_, _, number)| number)
    }
}
