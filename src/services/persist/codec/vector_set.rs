//! RDB encoding of vector sets, which in Redis are values of a module.
//!
//! ```text
//! value     id of the type, (2 number | 5 string) as follows, 0
//! set       dimension, n, quantization | m << 8, flags, [input dimension, matrix of floats LE], node …
//! flags     1: vectors are reduced by a matrix   2: nodes have attributes
//! node      name, [attribute, empty for none], vector as it is kept, p, p numbers:
//!           number of the node, level | version << 24, layer …, norm | range << 32      two f32 as bits
//! layer     n, most, number of a node …, from version 1 on: worst | its distance as f32 << 32
//! ```
//!
//! Layers begin with the lowest. Links are mutual, or the value is refused; so it is with names that come twice. Nothing is
//! allocated for what a number promises.

use std::ops::Range;

use super::{Fault, Reader, Writer};
use crate::structures::hnsw::{Graph, MAX_DIM, MAX_M, Malformed, Quantization};
use crate::value::vector_set::{LoadingSet, Projection, SavedNode, VectorSet};

/// The type's id: nine letters of six bits, and ten bits of version, which is 0.
pub const TYPE_ID: u64 = type_id(b"vectorset");
/// The part of the id that is the version.
const TYPE_VERSION: u64 = (1 << 10) - 1;

const END: u64 = 0;
const UNSIGNED: u64 = 2;
const STRING: u64 = 5;

const HAS_MATRIX: u64 = 1;
const HAS_ATTRIBUTES: u64 = 2;

/// The newest version of a node's numbers.
const NODE_VERSION: u64 = 1;

const BAD_PART: Fault = Fault::Corrupt("Error reading the value of a module");
const BAD_HEAD: Fault = Fault::Corrupt("Invalid vector set");
const BAD_MATRIX: Fault = Fault::Corrupt("Mismatching projection matrix length");
const BAD_NODE: Fault = Fault::Corrupt("Vector set node index loading error");

/// The id of a type whose name has letters and no digits.
const fn type_id(name: &[u8; 9]) -> u64 {
    let (mut id, mut at) = (0, 0);
    while at < name.len() {
        let code = if name[at] >= b'a' { name[at] - b'a' + 26 } else { name[at] - b'A' };
        id = id << 6 | code as u64;
        at += 1;
    }
    id << 10
}

/// Whether a type of this id can be read.
pub fn is_known_type(id: u64) -> bool {
    id == TYPE_ID
}

fn quantization_number(quantization: Quantization) -> u64 {
    match quantization {
        Quantization::None => 0,
        Quantization::Int8 => 1,
        Quantization::Binary => 2,
    }
}

/// Writes a whole set.
pub(super) fn encode_vector_set(set: &VectorSet, out: &mut Writer<'_>) {
    out.vector_set_head(set);
    out.vector_set_nodes(set, 0..set.graph().bound());
    out.vector_set_end();
}

impl Writer<'_> {
    fn unsigned(&mut self, number: u64) {
        self.length(UNSIGNED);
        self.length(number);
    }

    /// What comes before the nodes.
    pub fn vector_set_head(&mut self, set: &VectorSet) {
        let graph = set.graph();
        self.length(TYPE_ID);
        self.unsigned(graph.dim() as u64);
        self.unsigned(set.len() as u64);
        self.unsigned(quantization_number(graph.quantization()) | (graph.m() as u64) << 8);
        let matrix = if set.projection().is_some() { HAS_MATRIX } else { 0 };
        let attributes = if set.attribute_count() > 0 { HAS_ATTRIBUTES } else { 0 };
        self.unsigned(matrix | attributes);
        if let Some(projection) = set.projection() {
            self.unsigned(projection.input() as u64);
            self.length(STRING);
            let mut matrix = Vec::with_capacity(projection.matrix_bytes());
            projection.write_matrix(&mut matrix);
            self.text(&matrix);
        }
    }

    /// The nodes of a range of ids.
    pub fn vector_set_nodes(&mut self, set: &VectorSet, ids: Range<u32>) {
        let mut numbers = Vec::new();
        for id in set.graph().ids_from(ids.start).take_while(|id| *id < ids.end) {
            self.length(STRING);
            self.string(set.name(id));
            if set.attribute_count() > 0 {
                self.length(STRING);
                self.string(set.attribute(id).unwrap_or_default());
            }
            // It would hardly get shorter by compression.
            self.length(STRING);
            let vector = set.graph().raw(id);
            self.length(vector.len() as u64);
            self.raw(vector);
            numbers.clear();
            push_numbers(set.graph(), id, &mut numbers);
            self.unsigned(numbers.len() as u64);
            numbers.iter().for_each(|number| self.unsigned(*number));
        }
    }

    /// What comes behind the nodes.
    pub fn vector_set_end(&mut self) {
        self.length(END);
    }
}

/// The number of a node in a file. Zero is none in Redis.
fn saved_number(id: u32) -> u64 {
    u64::from(id) + 1
}

fn push_numbers(graph: &Graph, id: u32, numbers: &mut Vec<u64>) {
    let level = graph.level(id);
    numbers.push(saved_number(id));
    numbers.push(level as u64 | NODE_VERSION << 24);
    for layer in 0..=level {
        let most = if layer == 0 { 2 * graph.m() } else { graph.m() };
        let at = numbers.len();
        numbers.extend([0, most as u64]);
        // The farthest comes last.
        let mut worst = 0;
        for (rank, (other, distance)) in graph.links(id, layer).enumerate() {
            numbers.push(saved_number(other));
            worst = u64::from(distance.to_bits()) << 32 | rank as u64;
        }
        numbers[at] = (numbers.len() - at - 2) as u64;
        numbers.push(worst);
    }
    let [norm, range] = [graph.norm(id), graph.quant_range(id)].map(|float| u64::from(float.to_bits()));
    numbers.push(range << 32 | norm);
}

fn unsigned(input: &mut Reader<'_>) -> Result<u64, Fault> {
    if input.length()? == UNSIGNED { input.length() } else { Err(BAD_PART) }
}

/// A set whose nodes are read one by one.
#[derive(Debug)]
pub(super) struct VectorSetDecoder {
    set: LoadingSet,
    has_attributes: bool,
    has_ended: bool,
    /// Of the node that is read.
    numbers: Vec<u64>,
}

impl VectorSetDecoder {
    /// Reads what comes before the nodes, and how many there are.
    pub fn begin(input: &mut Reader<'_>) -> Result<(u64, VectorSetDecoder), Fault> {
        let id = input.length()?;
        if id & !TYPE_VERSION != TYPE_ID {
            return Err(Fault::Corrupt("The value is of a module that is not known"));
        }
        if !is_known_type(id) {
            return Err(BAD_HEAD);
        }
        let (dim, count) = (unsigned(input)?, unsigned(input)?);
        let (config, flags) = (unsigned(input)?, unsigned(input)?);
        let dim = usize::try_from(dim).ok().filter(|dim| (1..=MAX_DIM).contains(dim)).ok_or(BAD_HEAD)?;
        let quantization = match config & 0xff {
            0 => Quantization::None,
            1 => Quantization::Int8,
            2 => Quantization::Binary,
            _ => return Err(BAD_HEAD),
        };
        let m = (config >> 8 & 0xffff) as usize;
        let mut projection = None;
        if flags & HAS_MATRIX != 0 {
            let from = usize::try_from(unsigned(input)?).map_err(|_| BAD_HEAD)?;
            if !(dim..=MAX_DIM).contains(&from) {
                return Err(BAD_HEAD);
            }
            if input.length()? != STRING {
                return Err(BAD_PART);
            }
            projection = Some(Projection::load(from, dim, &input.string()?).ok_or(BAD_MATRIX)?);
        }
        let set = LoadingSet::new((dim, m, quantization), projection);
        let has_attributes = flags & HAS_ATTRIBUTES != 0;
        Ok((count, VectorSetDecoder { set, has_attributes, has_ended: false, numbers: Vec::new() }))
    }

    /// Reads a node. Nothing has changed if bytes of it are missing.
    pub fn read_node(&mut self, input: &mut Reader<'_>) -> Result<(), Fault> {
        let mut string = || if input.length()? == STRING { input.string() } else { Err(BAD_PART) };
        let name = string()?;
        let attribute = if self.has_attributes { string()? } else { (&b""[..]).into() };
        let vector = string()?;
        let count = unsigned(input)?;
        self.numbers.clear();
        for _ in 0..count {
            self.numbers.push(unsigned(input)?);
        }
        let node = parse_numbers(&self.numbers).ok_or(BAD_NODE)?;
        self.set.add(&name, &attribute, &vector, &node).map_err(fault)
    }

    /// Reads what comes behind the nodes.
    pub fn advance(&mut self, input: &mut Reader<'_>) -> Result<(), Fault> {
        if !self.has_ended {
            let before = input.clone();
            match input.length() {
                Ok(END) => self.has_ended = true,
                Ok(_) => return Err(BAD_PART),
                Err(fault) => {
                    input.rewind(before);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// The set, all of whose nodes are read.
    pub fn finish(self) -> Result<VectorSet, Fault> {
        self.set.finish().map_err(fault)
    }
}

fn fault(malformed: Malformed) -> Fault {
    match malformed {
        Malformed::Vector => Fault::Corrupt("Mismatching vector dimension"),
        Malformed::DuplicateId => Fault::Corrupt("Duplicate vector set elements detected"),
        Malformed::Level | Malformed::Link | Malformed::OneWayLink => BAD_NODE,
    }
}

/// What a node's numbers say, all of which belong to it.
fn parse_numbers(numbers: &[u64]) -> Option<SavedNode<'_>> {
    let ([number, kind], mut rest) = numbers.split_first_chunk()?;
    let (level, version) = (kind & 0xff, kind >> 24 & 0xff);
    if version > NODE_VERSION {
        return None;
    }
    let mut layers = Vec::new();
    for _ in 0..=level {
        let ([count, most], behind) = rest.split_first_chunk()?;
        if count > most || *most > 4 * MAX_M as u64 {
            return None;
        }
        let (links, behind) = behind.split_at_checked(*count as usize)?;
        layers.push(links);
        rest = if version > 0 {
            let (worst, behind) = behind.split_first()?;
            if *count > 0 && worst & 0xffff_ffff >= *count {
                return None;
            }
            behind
        } else {
            behind
        };
    }
    let [norm_and_range] = rest else { return None };
    let norm = f32::from_bits(*norm_and_range as u32);
    let range = f32::from_bits((norm_and_range >> 32) as u32);
    Some(SavedNode { number: *number, norm, range, layers })
}
