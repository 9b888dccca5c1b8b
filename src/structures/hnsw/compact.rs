//! Giving back the memory of removed nodes: the last nodes move to vacant numbers, and the chunks behind them are freed.
//!
//! Vacant numbers are kept for one in [`NODES_A_SPARE`] nodes. So each removal of a set that gets smaller moves about one node, which takes some
//! microseconds, and one that stays about as large moves none. Clones keep their numbers: what changes here is copied first.

use super::{Graph, NONE, PART_BITS, Quantization};

/// Of so many nodes one number may be vacant.
const NODES_A_SPARE: usize = 4;
/// Vacant numbers that are never too many.
const FEW: usize = 32;

fn may_be_vacant(used: usize) -> usize {
    used / NODES_A_SPARE + FEW
}

impl Graph {
    /// Gives back what is vacant beyond a fair part; to be called after each removal, so that there is never much to do. `moved` is told of each
    /// node the number that it had and the one it has.
    pub fn compact(&mut self, mut moved: impl FnMut(u32, u32)) {
        if self.numbers as usize - self.len > may_be_vacant(self.len) {
            while self.numbers as usize - self.len > may_be_vacant(self.len) {
                self.drop_last_number(&mut moved);
            }
            self.truncate();
        }
        let is_much = |graph: &Graph| {
            graph.vacant_blocks as usize > may_be_vacant((graph.blocks - graph.vacant_blocks) as usize)
        };
        if is_much(self) {
            while is_much(self) {
                self.drop_last_block();
            }
            self.upper.truncate(self.blocks);
        }
    }

    fn truncate(&mut self) {
        self.vectors.truncate(self.numbers);
        self.links.truncate(self.numbers);
        self.nodes.truncate(self.numbers);
        self.removals.truncate(self.numbers.div_ceil(1 << PART_BITS));
        if self.metric.quantization == Quantization::Int8 {
            self.scales.truncate(self.numbers);
        }
    }

    /// Takes the last number back, of which there is a vacant one at least.
    fn drop_last_number(&mut self, moved: &mut impl FnMut(u32, u32)) {
        let last = self.numbers - 1;
        if self.contains(last) {
            let id = self.vacant;
            self.take_vacant(id);
            self.move_node(last, id);
            self.note_removal(last);
            moved(last, id);
        } else {
            self.take_vacant(last);
        }
        self.numbers = last;
    }

    /// Gives a node another number.
    fn move_node(&mut self, from: u32, to: u32) {
        for layer in 0..=self.level(from) {
            for other in self.linked(from, layer).to_vec() {
                let mut links = self.slots_mut(other, layer).iter_mut();
                *links.find(|link| **link == from).expect("links are mutual") = to;
            }
        }
        let mut block = self.node(from).upper;
        while block != NONE {
            let node = self.width + 2;
            self.upper.row_mut(block)[node] = to;
            block = self.above(block);
        }
        self.vectors.copy_row(from, to);
        self.links.copy_row(from, to);
        self.nodes.copy_row(from, to);
        if self.metric.quantization == Quantization::Int8 {
            self.scales.copy_row(from, to);
        }
        if self.entry == from {
            self.entry = to;
        }
    }

    /// Takes the last block back, of which there is a vacant one at least.
    fn drop_last_block(&mut self) {
        let last = self.blocks - 1;
        let node = self.upper.row(last)[self.width + 2];
        if node == NONE {
            self.take_vacant_block(last);
        } else {
            let block = self.vacant_block;
            self.take_vacant_block(block);
            self.upper.copy_row(last, block);
            self.replace_block(node, last, block);
        }
        self.blocks = last;
    }

    /// Refers to another block where a node refers to this one.
    fn replace_block(&mut self, node: u32, old: u32, new: u32) {
        let mut below = self.node(node).upper;
        if below == old {
            self.nodes.row_mut(node)[0].upper = new;
            return;
        }
        while self.above(below) != old {
            below = self.above(below);
        }
        let above = self.width;
        self.upper.row_mut(below)[above] = new;
    }
}
