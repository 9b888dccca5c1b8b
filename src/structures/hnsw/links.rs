//! Links: always mutual, the nearest first, and such that a layer is connected.
//!
//! A node has a rank in each of its layers, no two the same. A node of a lower rank is *older*: a new one gets the highest.
//! **All nodes of a layer but the oldest are linked with an older one**, so each is connected with the oldest, and all with each other. A link
//! may be dropped if its younger end is linked with another older node; which of the two that is, is seen from a few ranks.

use super::{Graph, NONE, Node};

impl Graph {
    /// The nodes that a node is linked with, the nearest first.
    #[inline]
    pub(super) fn linked(&self, id: u32, layer: usize) -> &[u32] {
        let slots = self.slots(id, layer);
        &slots[..slots.partition_point(|link| *link != NONE)]
    }

    /// The places for a node's links: links, the nearest first, then `NONE`.
    #[inline]
    pub(super) fn slots(&self, id: u32, layer: usize) -> &[u32] {
        match self.block(id, layer) {
            None => self.links.row(id),
            Some(block) => &self.upper.row(block)[..self.width],
        }
    }

    pub(super) fn slots_mut(&mut self, id: u32, layer: usize) -> &mut [u32] {
        match self.block(id, layer) {
            None => self.links.row_mut(id),
            Some(block) => &mut self.upper.row_mut(block)[..self.width],
        }
    }

    /// The block with a node's links in a layer, `None` for layer 0.
    #[inline]
    fn block(&self, id: u32, layer: usize) -> Option<u32> {
        if layer == 0 {
            return None;
        }
        let first = self.node(id).upper;
        Some((1..layer).fold(first, |block, _| self.upper.row(block)[self.width]))
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

    pub(super) fn rank(&self, id: u32, layer: usize) -> u32 {
        match self.block(id, layer) {
            None => self.node(id).rank,
            Some(block) => self.upper.row(block)[self.width + 1],
        }
    }

    pub(super) fn set_rank(&mut self, id: u32, layer: usize, rank: u32) {
        match self.block(id, layer) {
            None => self.nodes.row_mut(id)[0] = Node { rank, ..self.node(id) },
            Some(block) => self.upper.row_mut(block)[self.width + 1] = rank,
        }
    }

    /// The rank of a new node.
    pub(super) fn take_rank(&mut self) -> u32 {
        if self.next_rank == u32::MAX {
            self.renumber_ranks();
        }
        self.next_rank += 1;
        self.next_rank - 1
    }

    /// Ranks from 0, in the same order. It takes four thousand million insertions until it is needed.
    fn renumber_ranks(&mut self) {
        for layer in 0..=self.entry_level {
            let in_layer = self.ids().filter(|id| layer == 0 || self.level(*id) >= layer);
            let mut ids: Vec<u32> = in_layer.collect();
            ids.sort_unstable_by_key(|id| self.rank(*id, layer));
            for (id, rank) in ids.into_iter().zip(0..) {
                self.set_rank(id, layer, rank);
            }
        }
        self.next_rank = self.len as u32;
    }

    /// Whether a node is linked with an older one, but for `except`.
    pub(super) fn has_older(&self, id: u32, except: u32, layer: usize) -> bool {
        let rank = self.rank(id, layer);
        self.linked(id, layer).iter().any(|other| *other != except && self.rank(*other, layer) < rank)
    }

    /// Whether a link may be dropped.
    fn can_spare(&self, a: u32, b: u32, layer: usize) -> bool {
        let (older, younger) = if self.rank(a, layer) < self.rank(b, layer) { (a, b) } else { (b, a) };
        self.has_older(younger, older, layer)
    }

    /// Makes room for a link of `id`: drops one that is longer than `distance`, may be dropped and whose other end has more than `keep`
    /// links. The longest are tried first.
    pub(super) fn make_room(&mut self, id: u32, distance: f32, keep: usize, layer: usize) -> bool {
        let linked = self.linked(id, layer).iter().rev();
        let any = distance == f32::NEG_INFINITY;
        let mut longer = linked.take_while(|other| any || self.distance(id, **other) > distance);
        let dropped = longer
            .find(|other| self.linked(**other, layer).len() > keep && self.can_spare(id, **other, layer))
            .copied();
        if let Some(other) = dropped {
            self.unlink(id, other, layer);
        }
        dropped.is_some()
    }

    /// Links a node that has room but no older neighbour with an older node: with `elder` if there is room or a link that it can do
    /// without, else below it.
    ///
    /// If the elder has neither, it is the only older neighbour of all its younger ones. Either one of these takes its place, or the
    /// orphan takes the place of one of these, which is then the orphan. The rank of the elder grows each time, so this ends.
    pub(super) fn adopt(&mut self, mut orphan: u32, mut elder: u32, layer: usize) {
        loop {
            debug_assert!(self.rank(elder, layer) < self.rank(orphan, layer) && self.has_room(orphan, layer));
            let has_room = self.has_room(elder, layer) || self.make_room(elder, f32::NEG_INFINITY, 0, layer);
            let rank = self.rank(elder, layer);
            let younger =
                self.linked(elder, layer).iter().rev().find(|id| self.rank(**id, layer) > rank).copied();
            match younger {
                Some(younger) if !has_room => {
                    if self.rank(younger, layer) < self.rank(orphan, layer) {
                        elder = younger;
                    } else {
                        self.unlink(elder, younger, layer);
                        self.link(elder, orphan, self.distance(elder, orphan), layer);
                        (orphan, elder) = (younger, orphan);
                    }
                }
                _ => return self.link(elder, orphan, self.distance(elder, orphan), layer),
            }
        }
    }
}
