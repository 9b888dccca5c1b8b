//! HNSW: the graph of a vector set, through which near vectors are found (Malkov, Yashunin 2016).
//!
//! ```text
//! layer 2   ·───────────────·              a node of level L is in layers 0 … L; a search descends from the entry
//! layer 1   ·────·──────────·────·         point, in the upper layers to the one nearest node, and collects the
//! layer 0   ·─·──·─·──·──·──·─·──·─·       `ef` nearest in layer 0
//!
//! by node number (u32, used again after a removal), each in chunks of its own (`chunks.rs`):
//! vectors   |line|line|…       immutable while the node exists (`vectors.rs`)
//! scales    |range, sum|       int8 only
//! links     |u32 × 2m|         layer 0: neighbours, the nearest first, then NONE
//! nodes     |norm, upper, rank|  upper: the block of layer 1, NONE for level 0
//! by block number:
//! upper     |u32 × m|above|rank|node|  neighbours in one layer from 1 on, the block of the next layer, whose it is
//! ```
//!
//! Links are mutual: a removal finds all that refer to the node. **Each layer is connected**, by construction: a node has a rank in
//! each of its layers, and all but the one of the lowest rank are linked with one of a lower rank than their own, by which
//! that one can be reached (`links.rs`). So every node can be reached from the entry point, in layer 0 too.
//!
//! The graph is persistent: a clone costs O(1), is the graph of that moment and may be searched by another thread, while its
//! origin changes.

pub mod chunks;
mod compact;
mod distance;
mod insert;
mod links;
mod load;
mod remove;
mod search;
mod vacant;
mod vectors;

pub use insert::Place;
pub use load::{Loader, Malformed};
pub use search::Scratch;
pub use vectors::{Quantization, Query};

use chunks::Rows;
use distance::{Instructions, Metric, Operand};
use vectors::{LINE, Line, Scale};

/// Links of a node above layer 0, if nothing else is wanted.
pub const DEFAULT_M: usize = 16;
/// The fewest links that can be wanted.
pub const MIN_M: usize = 4;
/// The most links that can be wanted.
pub const MAX_M: usize = 4096;
/// Links of a node above layer 0 that are used at most, whatever is wanted: with more, to remove a node or to link it would take many
/// milliseconds, and rows in layer 0 tens of kilobytes. What is found gets hardly better.
const MOST_M: usize = 256;
/// The highest level of a node.
pub const MAX_LEVEL: usize = 16;
/// The largest dimension.
pub const MAX_DIM: usize = 1 << 16;

/// No node, no block.
const NONE: u32 = u32::MAX;
/// `Node::upper` of a vacant number.
const VACANT: u32 = u32::MAX - 1;
/// A search keeps a bit beside a number.
const MAX_NODES: u32 = 1 << 31;
/// Nodes of a part, as a power of two; see [`Graph::removals`].
const PART_BITS: u32 = 6;

#[derive(Clone, Copy, Debug)]
struct Node {
    norm: f32,
    upper: u32,
    /// In layer 0.
    rank: u32,
}

impl Default for Node {
    fn default() -> Self {
        Node { norm: 1.0, upper: VACANT, rank: 0 }
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Graph {
    metric: Metric,
    /// As it was wanted.
    m: usize,
    /// Links of a node above layer 0, at most; twice as many in layer 0.
    width: usize,
    /// Nodes.
    len: usize,
    /// Numbers that were given out: nodes and vacant ones.
    numbers: u32,
    /// The first vacant number below `numbers`, or `NONE`.
    vacant: u32,
    /// The node where a search begins, one of the highest level; `NONE` if there are no nodes.
    entry: u32,
    entry_level: usize,
    vectors: Rows<Line>,
    scales: Rows<Scale>,
    links: Rows<u32>,
    nodes: Rows<Node>,
    upper: Rows<u32>,
    /// Above the ranks of all nodes.
    next_rank: u32,
    /// Blocks that were given out, and the first vacant one of them; how many are.
    blocks: u32,
    vacant_block: u32,
    vacant_blocks: u32,
    /// Removals so far, and how many there were when the last node of a part of 64 was removed: what was found before is still there if
    /// its part has not lost a node since. A node that gets another number is removed from its part.
    removed: u64,
    removals: Rows<u64>,
}

impl Graph {
    /// No nodes yet. `m` is the number of links in the layers above layer 0, which has twice as many; it is brought into its limits, and 0
    /// means [`DEFAULT_M`]. Of more than 256, that many are used.
    ///
    /// # Panics
    /// If the dimension is 0.
    pub fn new(dim: usize, m: usize, quantization: Quantization) -> Graph {
        assert!(dim > 0, "a vector has components");
        let m = if m == 0 { DEFAULT_M } else { m.clamp(MIN_M, MAX_M) };
        let width = m.min(MOST_M);
        let lines = quantization.bytes(dim).div_ceil(LINE);
        Graph {
            metric: Metric { quantization, dim, instructions: Instructions::detect() },
            m,
            width,
            len: 0,
            numbers: 0,
            vacant: NONE,
            entry: NONE,
            entry_level: 0,
            vectors: Rows::new(lines, 64 * 1024, 256),
            scales: Rows::new(1, 4096, 256),
            links: Rows::new(2 * width, 8 * 1024, 64),
            nodes: Rows::new(1, 4096, 256),
            upper: Rows::new(width + 3, 4096, 64),
            next_rank: 0,
            blocks: 0,
            vacant_block: NONE,
            vacant_blocks: 0,
            removed: 0,
            removals: Rows::new(1, 4096, 256),
        }
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Components of a vector.
    pub fn dim(&self) -> usize {
        self.metric.dim
    }

    /// Links of a node above layer 0 as they were wanted, twice as many in layer 0.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Links of a node in layer 0, at most.
    pub fn most_links(&self) -> usize {
        2 * self.width
    }

    /// How vectors are kept.
    pub fn quantization(&self) -> Quantization {
        self.metric.quantization
    }

    /// The highest level of a node; 0 without nodes.
    pub fn max_level(&self) -> usize {
        self.entry_level
    }

    /// Bytes, without slack of the allocator.
    pub fn memory(&self) -> usize {
        size_of::<Graph>()
            + self.vectors.memory()
            + self.scales.memory()
            + self.links.memory()
            + self.nodes.memory()
            + self.upper.memory()
            + self.removals.memory()
    }

    /// A vector as this graph keeps its own.
    ///
    /// # Panics
    /// If it has another dimension.
    pub fn prepare(&self, vector: &[f32]) -> Query {
        assert_eq!(vector.len(), self.metric.dim, "the dimension of the graph");
        Query::new(vector, self.metric.quantization)
    }

    /// The vector of a node, to be searched for: normalised again after quantization, as Redis does.
    pub fn query_of(&self, id: u32) -> Query {
        let mut query = self.prepare(&self.vector(id));
        query.norm = self.norm(id);
        query
    }

    /// Whether there is a node of this number.
    pub fn contains(&self, id: u32) -> bool {
        id < self.numbers && self.node(id).upper != VACANT
    }

    /// The vector of a node, of length 1 but for the error of quantization; times [`Graph::norm`] it is what was inserted. Signs are ±1.
    pub fn vector(&self, id: u32) -> Vec<f32> {
        vectors::components(self.raw(id), self.quant_range(id), self.metric.dim, self.metric.quantization)
    }

    /// The bytes of a node's vector as Redis has them.
    pub fn raw(&self, id: u32) -> &[u8] {
        &vectors::bytes_of(self.vectors.row(id))[..self.metric.quantization.bytes(self.metric.dim)]
    }

    /// The length of a node's vector before it was normalised.
    pub fn norm(&self, id: u32) -> f32 {
        self.node(id).norm
    }

    /// The magnitude that an int8 vector keeps as 127; 0 for other quantizations.
    pub fn quant_range(&self, id: u32) -> f32 {
        self.scale(id).range
    }

    /// The highest layer in which a node is.
    pub fn level(&self, id: u32) -> usize {
        let (mut level, mut block) = (0, self.node(id).upper);
        while block != NONE {
            level += 1;
            block = self.upper.row(block)[self.width];
        }
        level
    }

    /// The links of a node in a layer not above its level, with their distances, the nearest first.
    pub fn links(&self, id: u32, layer: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.linked(id, layer).iter().map(move |other| (*other, self.distance(id, *other)))
    }

    /// The numbers of the nodes, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.ids_from(0)
    }

    /// The numbers of the nodes from this one on, ascending.
    pub fn ids_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        (first..self.numbers).filter(|id| self.contains(*id))
    }

    /// All numbers of nodes are below it.
    pub fn bound(&self) -> u32 {
        self.numbers
    }

    /// A node drawn at random, each with the same chance as long as few numbers are vacant. `random` gives a number below its argument.
    pub fn random_id(&self, mut random: impl FnMut(u64) -> u64) -> Option<u32> {
        /// Draws before the next node after a vacant number is taken instead.
        const DRAWS: usize = 64;
        if self.is_empty() {
            return None;
        }
        let mut draw = || random(u64::from(self.numbers)) as u32;
        let drawn = (0..DRAWS).map(|_| draw()).find(|id| self.contains(*id));
        drawn.or_else(|| {
            let from = draw();
            self.ids_from(from).next().or_else(|| self.ids().next())
        })
    }

    /// Whether most numbers are vacant, so that to draw one costs more than to look it up elsewhere.
    pub fn is_sparse(&self) -> bool {
        self.len < self.numbers as usize / 8
    }

    /// Frees up to `chunks` chunks; true once nothing is left. Only for a graph that is not used any more.
    pub fn free_some(&mut self, chunks: usize) -> bool {
        (self.len, self.numbers, self.vacant, self.entry) = (0, 0, NONE, NONE);
        self.vectors.free_some(chunks)
            && self.links.free_some(chunks)
            && self.scales.free_some(chunks)
            && self.nodes.free_some(chunks)
            && self.upper.free_some(chunks)
            && self.removals.free_some(chunks)
    }

    /// A level for a new node, drawn at random: each is reached by a sixteenth of those that reached the one below.
    pub fn draw_level(mut random: impl FnMut(u64) -> u64) -> usize {
        /// One node of so many reaches the next layer.
        const RATIO: u64 = 16;
        (0..MAX_LEVEL).take_while(|_| random(RATIO) == 0).count()
    }

    /// The score of a distance: 1 for the same direction, 0 for the opposite one.
    pub fn similarity(distance: f32) -> f64 {
        1.0 - f64::from(distance) / 2.0
    }

    #[inline(always)]
    fn node(&self, id: u32) -> Node {
        self.nodes.row(id)[0]
    }

    #[inline(always)]
    fn scale(&self, id: u32) -> Scale {
        match self.metric.quantization {
            Quantization::Int8 => self.scales.row(id)[0],
            _ => Scale::default(),
        }
    }

    #[inline(always)]
    fn operand(&self, id: u32) -> Operand<'_> {
        Operand { lines: self.vectors.row(id), scale: self.scale(id) }
    }

    /// Distances of nodes that may be computed where what else is to be done is in proportion: some 300 µs, but always as many as nodes
    /// with the usual number of links need.
    fn comparisons(&self) -> usize {
        /// To read a line of a vector counts one.
        const READS: usize = 96 * 1024;
        /// What a comparison costs beside, in lines.
        const EACH: usize = 16;
        /// Of 32 neighbours each pair, and places among links.
        const LEAST: usize = 700;
        (READS / (EACH + self.vectors.stride())).max(LEAST)
    }

    /// The distance of two nodes.
    #[inline]
    fn distance(&self, a: u32, b: u32) -> f32 {
        #[cfg(test)]
        tests::count_comparison();
        self.metric.distance(self.operand(a), self.operand(b))
    }

    /// The distance of a node.
    #[inline]
    fn distance_to(&self, query: &Query, id: u32) -> f32 {
        self.metric.distance(query.operand(), self.operand(id))
    }
}

impl Query {
    fn operand(&self) -> Operand<'_> {
        Operand { lines: &self.lines, scale: self.scale }
    }
}

#[cfg(test)]
mod tests;
