//! Removal: the neighbours of the removed node are linked among each other, so that each layer stays connected.

use std::collections::HashMap;

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

    /// Links nodes that have just lost a common neighbour, each with one near other if there is room, and all to one component.
    fn reconnect(&mut self, nodes: &[u32], layer: usize) {
        let mut pairs = Vec::new();
        for (number, a) in nodes.iter().enumerate() {
            for b in nodes.iter().skip(number + 1).take(COMPARED) {
                pairs.push((self.distance(*a, *b), *a, *b));
            }
        }
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut lacking: std::collections::HashSet<u32> = nodes.iter().copied().collect();
        for (distance, a, b) in pairs {
            let wanted = lacking.contains(&a) && lacking.contains(&b);
            if wanted && self.has_room(a, layer) && self.has_room(b, layer) && !self.is_linked(a, b, layer) {
                self.link(a, b, distance, layer);
                lacking.remove(&a);
                lacking.remove(&b);
            }
        }
        self.join(&self.groups(nodes, layer), layer);
    }

    /// Nodes by what their links connect directly or through a common neighbour.
    fn groups(&self, nodes: &[u32], layer: usize) -> Vec<Vec<u32>> {
        let mut parents: Vec<usize> = (0..nodes.len()).collect();
        fn root(parents: &mut [usize], mut number: usize) -> usize {
            while parents[number] != number {
                parents[number] = parents[parents[number]];
                number = parents[number];
            }
            number
        }
        let mut reached: HashMap<u32, usize> = nodes.iter().copied().zip(0..).collect();
        for (number, id) in nodes.iter().enumerate() {
            for other in self.linked(*id, layer) {
                let by = *reached.entry(*other).or_insert(number);
                let (a, b) = (root(&mut parents, by), root(&mut parents, number));
                parents[a] = b;
            }
        }
        let mut groups: HashMap<usize, Vec<u32>> = HashMap::new();
        for (number, id) in nodes.iter().enumerate() {
            groups.entry(root(&mut parents, number)).or_default().push(*id);
        }
        let mut groups: Vec<Vec<u32>> = groups.into_values().collect();
        groups.sort_unstable_by_key(|group| std::cmp::Reverse(group.len()));
        groups
    }

    /// Links groups of nodes, each connected, so that all of them are.
    pub(super) fn join(&mut self, groups: &[Vec<u32>], layer: usize) {
        let Some((first, others)) = groups.split_first() else { return };
        for group in others {
            let with_room = |graph: &Graph, nodes: &[u32]| -> Vec<u32> {
                nodes.iter().copied().filter(|id| graph.has_room(*id, layer)).take(COMPARED).collect()
            };
            let (ones, twos) = (with_room(self, first), with_room(self, group));
            let pairs = ones.iter().flat_map(|a| twos.iter().map(move |b| (*a, *b)));
            let nearest = pairs.map(|(a, b)| (self.distance(a, b), a, b)).min_by(|a, b| a.0.total_cmp(&b.0));
            let (distance, a, b) = nearest.unwrap_or_else(|| {
                let (a, b) = (self.with_room_near(first[0], layer), self.with_room_near(group[0], layer));
                (self.distance(a, b), a, b)
            });
            // They were connected after all if the same node was found, or one linked with it.
            if a != b && !self.is_linked(a, b, layer) {
                self.link(a, b, distance, layer);
            }
        }
    }
}
