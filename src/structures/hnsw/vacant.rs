//! Numbers of nodes and of blocks: given out, vacant after a removal, given out again.
//!
//! Vacant numbers are lists with both directions, so that any can be taken out: `links` of a node begin with the next and the one before,
//! a block has the next in the place of `above`, and the one before in that of its rank.

use super::{Graph, MAX_NODES, NONE, Node, PART_BITS, Quantization, Query};

impl Graph {
    /// Takes a number and stores a node without links, of this level.
    pub(super) fn add_node(&mut self, query: &Query, level: usize) -> u32 {
        let id = match self.vacant {
            NONE => self.add_number(),
            id => {
                self.take_vacant(id);
                id
            }
        };
        let rank = self.take_rank();
        let mut upper = NONE;
        for _ in 0..level {
            upper = self.add_block(id, upper, rank);
        }
        self.vectors.row_mut(id).copy_from_slice(&query.lines);
        if self.metric.quantization == Quantization::Int8 {
            self.scales.row_mut(id)[0] = query.scale;
        }
        self.links.row_mut(id).fill(NONE);
        self.nodes.row_mut(id)[0] = Node { norm: query.norm, upper, rank };
        self.len += 1;
        id
    }

    /// A number that was not given out.
    fn add_number(&mut self) -> u32 {
        let id = self.numbers;
        assert!(id < MAX_NODES, "numbers of nodes have 31 bits");
        self.numbers += 1;
        self.vectors.reserve(id);
        self.links.reserve(id);
        self.nodes.reserve(id);
        self.removals.reserve(id >> PART_BITS);
        if id.trailing_zeros() >= PART_BITS {
            // The part may have had nodes before.
            self.removals.row_mut(id >> PART_BITS)[0] = self.removed;
        }
        if self.metric.quantization == Quantization::Int8 {
            self.scales.reserve(id);
        }
        id
    }

    /// Makes the number of a node without links vacant.
    pub(super) fn free_node(&mut self, id: u32) {
        let mut block = self.node(id).upper;
        while block != NONE {
            let above = self.above(block);
            self.put_vacant_block(block);
            block = above;
        }
        self.nodes.row_mut(id)[0] = Node::default();
        self.put_vacant(id);
        self.len -= 1;
        self.note_removal(id);
    }

    /// What was found before may not be at this number any more.
    pub(super) fn note_removal(&mut self, id: u32) {
        self.removed += 1;
        self.removals.row_mut(id >> PART_BITS)[0] = self.removed;
    }

    pub(super) fn put_vacant(&mut self, id: u32) {
        let next = std::mem::replace(&mut self.vacant, id);
        if next != NONE {
            self.links.row_mut(next)[1] = id;
        }
        self.links.row_mut(id)[..2].copy_from_slice(&[next, NONE]);
    }

    pub(super) fn take_vacant(&mut self, id: u32) {
        let (next, before) = (self.links.row(id)[0], self.links.row(id)[1]);
        match before {
            NONE => self.vacant = next,
            _ => self.links.row_mut(before)[0] = next,
        }
        if next != NONE {
            self.links.row_mut(next)[1] = before;
        }
    }

    /// The block of the next layer.
    #[inline]
    pub(super) fn above(&self, block: u32) -> u32 {
        self.upper.row(block)[self.width]
    }

    /// Takes a block of a node without links, below the block `above`.
    fn add_block(&mut self, node: u32, above: u32, rank: u32) -> u32 {
        let block = match self.vacant_block {
            NONE => {
                self.upper.reserve(self.blocks);
                self.blocks += 1;
                self.blocks - 1
            }
            block => {
                self.take_vacant_block(block);
                block
            }
        };
        let m = self.width;
        let row = self.upper.row_mut(block);
        row.fill(NONE);
        row[m..].copy_from_slice(&[above, rank, node]);
        block
    }

    fn put_vacant_block(&mut self, block: u32) {
        let m = self.width;
        let next = std::mem::replace(&mut self.vacant_block, block);
        if next != NONE {
            self.upper.row_mut(next)[m + 1] = block;
        }
        self.upper.row_mut(block)[m..].copy_from_slice(&[next, NONE, NONE]);
        self.vacant_blocks += 1;
    }

    pub(super) fn take_vacant_block(&mut self, block: u32) {
        let m = self.width;
        let (next, before) = (self.above(block), self.upper.row(block)[m + 1]);
        match before {
            NONE => self.vacant_block = next,
            _ => self.upper.row_mut(before)[m] = next,
        }
        if next != NONE {
            self.upper.row_mut(next)[m + 1] = before;
        }
        self.vacant_blocks -= 1;
    }
}
