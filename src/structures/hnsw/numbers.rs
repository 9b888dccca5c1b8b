//! Numbers of nodes: vacant ones are given out again, and where most are vacant, the highest are given up with their memory.
//!
//! ```text
//! vacant ──▶ 7 ◀──▶ 3 ◀──▶ 12      a list through the `links` of vacant numbers: the next one, the one before
//! ```

use super::vectors::Quantization;
use super::{Graph, NONE, Node, PART_BITS};

/// Vacant numbers that are kept however few nodes there are.
const SPARE: usize = 256;

impl Graph {
    /// Whether more numbers are vacant than there are nodes, so that some should be given up.
    pub fn is_loose(&self) -> bool {
        self.numbers as usize > 2 * self.len + SPARE
    }

    /// Gives up the highest number, and the memory behind it in whole chunks. If a node has it, the node gets a vacant one; returned are
    /// then its old number and its new one. Searches of clones aren't disturbed, and places found before are looked at again.
    ///
    /// # Panics
    /// If no number is vacant.
    pub fn give_up_number(&mut self) -> Option<(u32, u32)> {
        let last = self.numbers - 1;
        let moved = self.contains(last).then(|| {
            let to = self.vacant;
            assert!(to != NONE, "a vacant number");
            self.take_vacant(to);
            self.renumber(last, to);
            (last, to)
        });
        if moved.is_none() {
            self.take_vacant(last);
        }
        self.numbers = last;
        let rows = last as usize;
        self.vectors.shrink_to(rows);
        self.links.shrink_to(rows);
        self.nodes.shrink_to(rows);
        self.scales.shrink_to(rows);
        moved
    }

    /// Moves a node to a number that nothing has.
    fn renumber(&mut self, from: u32, to: u32) {
        for layer in 0..=self.level(from) {
            for other in self.linked(from, layer).to_vec() {
                let slots = self.slots_mut(other, layer);
                if let Some(place) = slots.iter().position(|link| *link == from) {
                    slots[place] = to;
                }
            }
        }
        let vector = self.vectors.row(from).to_vec();
        self.vectors.row_mut(to).copy_from_slice(&vector);
        if self.metric.quantization == Quantization::Int8 {
            self.scales.row_mut(to)[0] = self.scales.row(from)[0];
        }
        let links = self.links.row(from).to_vec();
        self.links.row_mut(to).copy_from_slice(&links);
        self.nodes.row_mut(to)[0] = std::mem::take(&mut self.nodes.row_mut(from)[0]);
        if self.entry == from {
            self.entry = to;
        }
        self.note_removal(from);
    }

    /// Places that were found before have this node no more.
    pub(super) fn note_removal(&mut self, id: u32) {
        self.removed += 1;
        // These rows stay: a number that is given out again must not look as if it had never been given up.
        self.removals.row_mut(id >> PART_BITS)[0] = self.removed;
    }

    /// Makes the number of a node without links vacant.
    pub(super) fn put_vacant(&mut self, id: u32) {
        self.nodes.row_mut(id)[0] = Node::default();
        let next = std::mem::replace(&mut self.vacant, id);
        self.links.row_mut(id)[..2].copy_from_slice(&[next, NONE]);
        if next != NONE {
            self.links.row_mut(next)[1] = id;
        }
    }

    /// Takes a number out of the vacant ones.
    pub(super) fn take_vacant(&mut self, id: u32) {
        let (next, previous) = (self.links.row(id)[0], self.links.row(id)[1]);
        match previous {
            NONE => self.vacant = next,
            previous => self.links.row_mut(previous)[0] = next,
        }
        if next != NONE {
            self.links.row_mut(next)[1] = previous;
        }
    }
}
