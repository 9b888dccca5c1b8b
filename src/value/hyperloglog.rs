//! HyperLogLog: estimates the number of distinct elements, within about 0.81 %, in at most 12 KiB. It is stored in an
//! ordinary string, which clients may read, copy and write back, so its layout is fixed:
//!
//!     "HYLL" · encoding u8 · 3 unused · count u64 LE · registers          16 bytes before the registers
//!
//!     count      the last estimate; its top bit set means that registers changed since
//!     dense  0   16384 registers of 6 bits, the first in the lowest bits, 12288 bytes
//!     sparse 1   runs:  00nnnnnn               n+1 registers of 0
//!                       01nnnnnn nnnnnnnn      n+1 registers of 0, up to all of them
//!                       1vvvvvnn               n+1 registers of v+1
//!
//! An element's 64-bit hash names a register by its low 14 bits; the register keeps the longest run of
//! zeros (plus one) seen in the rest. The estimate is that of O. Ertl, "New cardinality estimation
//! algorithms for HyperLogLog sketches", arXiv:1702.01284.
//!
//! Hash, layout and estimate agree with Redis bit for bit, so that values can be exchanged. A string may
//! come from anywhere: a corrupt one is an error.

mod sparse;

use std::fmt;

use crate::structures::registers;

/// The number of registers.
pub const REGISTERS: usize = 16384;
/// The size of the header in bytes.
const HEADER: usize = 16;
/// The size of the dense form in bytes, header included.
pub const DENSE_SIZE: usize = HEADER + REGISTERS * 6 / 8;
/// The largest register value of the sparse form; a larger one needs the dense form.
const SPARSE_MAX_VALUE: u8 = 32;
/// Bits of the hash that name the register.
const INDEX_BITS: u32 = 14;
/// Bits of the hash that are left to count zeros in.
const RUN_BITS: u32 = 64 - INDEX_BITS;
const HASH_SEED: u64 = 0xadc8_3b19;

const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING: usize = 4;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// The runs of a sparse HyperLogLog don't cover exactly [`REGISTERS`] registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Corrupted HLL object detected")
    }
}

/// An empty HyperLogLog: sparse, one run of zeros.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[ENCODING] = SPARSE;
    sparse::push_zeros(&mut bytes, REGISTERS);
    bytes
}

/// Whether `bytes` has the header of a HyperLogLog: magic, a known encoding, and the right length if dense.
/// The runs of a sparse one are not checked.
pub fn is_hyperloglog(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER
        && bytes.starts_with(MAGIC)
        && match bytes[ENCODING] {
            DENSE => bytes.len() == DENSE_SIZE,
            SPARSE => true,
            _ => false,
        }
}

/// Whether the HyperLogLog `bytes` is dense; its size then never changes again.
pub fn is_dense(bytes: &[u8]) -> bool {
    bytes.get(ENCODING) == Some(&DENSE)
}

/// Adds `element`; returns whether a register changed. The caller then invalidates the cached count
/// by [`invalidate_count`]. A sparse one grows to at most `sparse_max_bytes`, then becomes dense.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_max_bytes: usize) -> Result<bool, Corrupt> {
    let (index, value) = register_of(element);
    set_register(bytes, index, value, sparse_max_bytes)
}

/// [`add`] for a dense HyperLogLog, in place.
pub fn add_dense(bytes: &mut [u8], element: &[u8]) -> bool {
    let (index, value) = register_of(element);
    dense_raise(&mut bytes[HEADER..], index, value)
}

fn set_register(bytes: &mut Vec<u8>, index: usize, value: u8, sparse_max: usize) -> Result<bool, Corrupt> {
    if !is_dense(bytes) {
        if value <= SPARSE_MAX_VALUE
            && let Some(changed) = sparse::raise(bytes, index, value, sparse_max)?
        {
            return Ok(changed);
        }
        make_dense(bytes)?;
    }
    Ok(dense_raise(&mut bytes[HEADER..], index, value))
}

/// Converts a sparse HyperLogLog to the dense form; returns whether it was sparse.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Corrupt> {
    if is_dense(bytes) {
        return Ok(false);
    }
    let mut all = Registers::new();
    all.merge(bytes)?;
    let mut dense = Vec::with_capacity(DENSE_SIZE);
    dense.extend_from_slice(&bytes[..HEADER]);
    dense[ENCODING] = DENSE;
    dense.resize(DENSE_SIZE, 0);
    registers::pack(&all.values[..], &mut dense[HEADER..]);
    *bytes = dense;
    Ok(true)
}

/// Marks the cached count as out of date.
pub fn invalidate_count(bytes: &mut [u8]) {
    bytes[HEADER - 1] |= 0x80;
}

/// The cached count, if it is up to date.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let (count, _) = bytes.get(8..)?.split_first_chunk::<8>()?;
    let count = u64::from_le_bytes(*count);
    (count >> 63 == 0).then_some(count)
}

/// Stores `count` as the cached count.
pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[8..HEADER].copy_from_slice(&count.to_le_bytes());
}

/// Estimates the cardinality from the registers; the cached count is ignored.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    if is_dense(bytes) {
        let mut values = [0; REGISTERS];
        registers::merge_packed(&mut values, &bytes[HEADER..]);
        return Ok(estimate(&registers::histogram(&values)));
    }
    let mut histogram = [0; registers::VALUES];
    for run in sparse::runs(&bytes[HEADER..]) {
        let run = run?;
        histogram[usize::from(run.value)] += run.length as u32;
    }
    Ok(estimate(&histogram))
}

/// The runs of a sparse HyperLogLog as text (PFDEBUG DECODE): `Z:` and `z:` zeros, `v:value,length`.
pub fn describe_sparse(bytes: &[u8]) -> String {
    let mut words = Vec::new();
    for run in sparse::opcodes(&bytes[HEADER..]) {
        words.push(match (run.value, run.size) {
            (0, 1) => format!("z:{}", run.length),
            (0, _) => format!("Z:{}", run.length),
            (value, _) => format!("v:{value},{}", run.length),
        });
    }
    words.join(" ")
}

/// All registers, a byte each, to merge HyperLogLogs in.
#[derive(Clone, Debug)]
pub struct Registers {
    values: Box<[u8; REGISTERS]>,
}

impl Default for Registers {
    fn default() -> Self {
        Registers::new()
    }
}

impl Registers {
    /// All registers 0.
    pub fn new() -> Self {
        Registers { values: Box::new([0; REGISTERS]) }
    }

    /// The values, each at most 63.
    pub fn values(&self) -> &[u8; REGISTERS] {
        &self.values
    }

    /// Raises the registers to those of the HyperLogLog `bytes`.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        if is_dense(bytes) {
            registers::merge_packed(&mut self.values[..], &bytes[HEADER..]);
            return Ok(());
        }
        let mut at = 0;
        for run in sparse::runs(&bytes[HEADER..]) {
            let run = run?;
            if run.value != 0 {
                for value in &mut self.values[at..at + run.length] {
                    *value = (*value).max(run.value);
                }
            }
            at += run.length;
        }
        Ok(())
    }

    /// The estimated cardinality.
    pub fn count(&self) -> u64 {
        estimate(&registers::histogram(&self.values[..]))
    }

    /// Sets the registers of the dense HyperLogLog `bytes` to these; its cached count is out of date then.
    pub fn store_dense(&self, bytes: &mut [u8]) {
        registers::pack(&self.values[..], &mut bytes[HEADER..]);
        invalidate_count(bytes);
    }

    /// Raises the registers of the HyperLogLog `bytes` to these. `dense` makes it dense from
    /// the start, as when one of the sources is. The caller calls [`invalidate_count`].
    pub fn store(&self, bytes: &mut Vec<u8>, dense: bool, sparse_max_bytes: usize) -> Result<(), Corrupt> {
        if dense {
            make_dense(bytes)?;
            self.store_dense(bytes);
            return Ok(());
        }
        for (index, value) in self.values.iter().enumerate().filter(|(_, value)| **value != 0) {
            set_register(bytes, index, *value, sparse_max_bytes)?;
        }
        Ok(())
    }
}

/// The union of HyperLogLogs. That of dense ones stays packed, as it is found and mostly stored again.
#[derive(Debug, Default)]
pub struct Union {
    sparse: Option<Registers>,
    dense: Option<Box<[u8; DENSE_SIZE - HEADER]>>,
}

impl Union {
    /// Adds a sparse HyperLogLog.
    pub fn add_sparse(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        self.sparse.get_or_insert_default().merge(bytes)
    }

    /// Sets the dense HyperLogLogs of the union, all at once.
    pub fn set_dense(&mut self, all: &[&[u8]]) {
        let rows: Vec<&[u8]> = all.iter().filter_map(|bytes| bytes.get(HEADER..)).collect();
        self.dense = (!rows.is_empty()).then(|| {
            let mut largest = Box::new([0; DENSE_SIZE - HEADER]);
            registers::max_packed(&rows, &mut largest[..]);
            largest
        });
    }

    /// Whether one of them is dense.
    pub fn has_dense(&self) -> bool {
        self.dense.is_some()
    }

    /// The registers of the union.
    pub fn into_registers(self) -> Registers {
        let mut registers = self.sparse.unwrap_or_default();
        if let Some(dense) = self.dense {
            registers::merge_packed(&mut registers.values[..], &dense[..]);
        }
        registers
    }

    /// Stores the union in the dense HyperLogLog `bytes`; its cached count is out of date then.
    pub fn store_dense(self, bytes: &mut [u8]) {
        match self {
            Union { sparse: None, dense: Some(dense) } => {
                bytes[HEADER..].copy_from_slice(&dense[..]);
                invalidate_count(bytes);
            }
            _ => self.into_registers().store_dense(bytes),
        }
    }
}

/// Raises one register of the dense form; returns whether it was lower.
fn dense_raise(dense: &mut [u8], index: usize, value: u8) -> bool {
    let Some(group) = dense.as_chunks_mut::<3>().0.get_mut(index / 4) else { return false };
    let shift = index % 4 * 6;
    let word = u32::from_le_bytes([group[0], group[1], group[2], 0]);
    if (word >> shift & 63) as u8 >= value {
        return false;
    }
    let word = word & !(63 << shift) | u32::from(value) << shift;
    group.copy_from_slice(&word.to_le_bytes()[..3]);
    true
}

/// The register of `element`, and the value to raise it to.
fn register_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur64(element, HASH_SEED);
    let index = hash as usize & (REGISTERS - 1);
    let run = hash >> INDEX_BITS | 1 << RUN_BITS;
    (index, run.trailing_zeros() as u8 + 1)
}

/// MurmurHash64A by Austin Appleby, public domain.
fn murmur64(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// The estimated cardinality, from the number of registers of each value.
fn estimate(histogram: &[u32; registers::VALUES]) -> u64 {
    /// 1 / (2 ln 2).
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let registers = REGISTERS as f64;
    let full = f64::from(histogram[RUN_BITS as usize + 1]);
    let mut z = registers * tau((registers - full) / registers);
    for value in (1..=RUN_BITS as usize).rev() {
        z = (z + f64::from(histogram[value])) * 0.5;
    }
    z += registers * sigma(f64::from(histogram[0]) / registers);
    (ALPHA * registers * registers / z).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests;
