//! Links: always mutual, the nearest first, and dropped only where a detour remains.

use super::{Graph, NONE};

impl Graph {
    /// The nodes that a node is linked with, the nearest first.
    #[inline]
    pub(super) fn linked(&self, id: u32, layer: usize) -> &[u32] {
        let slots = self.slots(id, layer);
        let used = slots.iter().position(|link| *link == NONE).unwrap_or(slots.len());
        &slots[..used]
    }

    /// The places for a node's links: links, the nearest first, then `NONE`.
    #[inline]
    pub(super) fn slots(&self, id: u32, layer: usize) -> &[u32] {
        match self.block(id, layer) {
            None => self.links.row(id),
            Some(block) => &self.upper.row(block)[..self.m],
        }
    }

    fn slots_mut(&mut self, id: u32, layer: usize) -> &mut [u32] {
        match self.block(id, layer) {
            None => self.links.row_mut(id),
            Some(block) => &mut self.upper.row_mut(block)[..self.m],
        }
    }

    /// The block with a node's links in a layer, `None` for layer 0.
    #[inline]
    fn block(&self, id: u32, layer: usize) -> Option<u32> {
        if layer == 0 {
            return None;
        }
        let first = self.node(id).upper;
        Some((1..layer).fold(first, |block, _| self.upper.row(block)[self.m]))
    }

    /// Whether a node can be linked with one more.
    #[inline]
    pub(super) fn has_room(&self, id: u32, layer: usize) -> bool {
        self.slots(id, layer).last() == Some(&NONE)
    }

    pub(super) fn is_linked(&self, a: u32, b: u32, layer: usize) -> bool {
        self.linked(a, layer).contains(&b)
    }

    /// Links two nodes that are not linked yet and have room.
    pub(super) fn link(&mut self, a: u32, b: u32, distance: f32, layer: usize) {
        debug_assert!(a != b && !self.is_linked(a, b, layer));
        self.attach(a, b, distance, layer);
        self.attach(b, a, distance, layer);
    }

    /// Drops a link. Layers stay connected only if there is a detour.
    pub(super) fn unlink(&mut self, a: u32, b: u32, layer: usize) {
        self.detach(a, b, layer);
        self.detach(b, a, layer);
    }

    fn attach(&mut self, id: u32, other: u32, distance: f32, layer: usize) {
        let linked = self.linked(id, layer);
        let used = linked.len();
        let place = linked.partition_point(|link| self.distance(id, *link) <= distance);
        let slots = self.slots_mut(id, layer);
        slots.copy_within(place..used, place + 1);
        slots[place] = other;
    }

    /// Takes one direction of a link away.
    pub(super) fn detach(&mut self, id: u32, other: u32, layer: usize) {
        let slots = self.slots_mut(id, layer);
        if let Some(place) = slots.iter().position(|link| *link == other) {
            slots.copy_within(place + 1.., place);
            slots[slots.len() - 1] = NONE;
        }
    }

    pub(super) fn clear_links(&mut self, id: u32, layer: usize) {
        self.slots_mut(id, layer).fill(NONE);
    }

    /// Makes room for a link of `id` with a node at `distance`: drops a longer one whose other end can be reached through a common
    /// neighbour, and has more than `keep` links. The longest are tried first.
    pub(super) fn make_room(&mut self, id: u32, distance: f32, keep: usize, layer: usize) -> bool {
        let linked = self.linked(id, layer);
        let longer = linked.iter().rev().take_while(|other| self.distance(id, **other) > distance);
        let dropped = longer.copied().find(|other| {
            let others = self.linked(*other, layer);
            others.len() > keep && others.iter().any(|link| linked.contains(link))
        });
        if let Some(other) = dropped {
            self.unlink(id, other, layer);
        }
        dropped.is_some()
    }

    /// A node with room in the connected component of `start`; if all are full, a link on a circle is dropped. There is always one: a
    /// component without circles has ends with one link.
    pub(super) fn with_room_near(&mut self, start: u32, layer: usize) -> u32 {
        let mut order = vec![(start, NONE)];
        let mut seen = std::collections::HashSet::from([start]);
        let mut next = 0;
        while let Some((id, from)) = order.get(next).copied() {
            next += 1;
            if self.has_room(id, layer) {
                return id;
            }
            for other in self.linked(id, layer).iter().rev() {
                if seen.insert(*other) {
                    order.push((*other, id));
                } else if *other != from {
                    let other = *other;
                    self.unlink(id, other, layer);
                    return id;
                }
            }
        }
        unreachable!("a finite graph without circles has ends")
    }
}
