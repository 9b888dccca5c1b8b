//! The sparse form of a HyperLogLog: runs of equal registers. [`super`] draws the opcodes.

use super::{Corrupt, HEADER, REGISTERS};

const VALUE_FLAG: u8 = 0x80;
const LONG_ZEROS_FLAG: u8 = 0x40;
/// The most registers of a value run.
const VALUE_MAX_LENGTH: usize = 4;
/// The most registers of a short run of zeros.
const ZEROS_MAX_LENGTH: usize = 64;
/// The most opcodes examined, from the one before a change on, to join equal neighbours. Part of the format in
/// that it decides which bytes are written.
const JOIN_SCAN: usize = 5;

/// A run of registers that share a value.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub value: u8,
    pub length: usize,
    /// The size of the opcode in bytes.
    pub size: usize,
}

impl Run {
    /// The opcode at the start of `bytes`.
    #[inline]
    fn read(bytes: &[u8]) -> Option<Run> {
        let first = *bytes.first()?;
        Some(if first & VALUE_FLAG != 0 {
            Run { value: (first >> 2 & 31) + 1, length: usize::from(first & 3) + 1, size: 1 }
        } else if first & LONG_ZEROS_FLAG != 0 {
            let low = *bytes.get(1)?;
            Run { value: 0, length: (usize::from(first & 63) << 8 | usize::from(low)) + 1, size: 2 }
        } else {
            Run { value: 0, length: usize::from(first) + 1, size: 1 }
        })
    }
}

/// The runs of all registers, ending with an error if they are not exactly [`REGISTERS`].
pub(super) fn runs(mut bytes: &[u8]) -> impl Iterator<Item = Result<Run, Corrupt>> {
    let mut seen = 0;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            if seen == REGISTERS {
                return None;
            }
            seen = REGISTERS;
            return Some(Err(Corrupt));
        }
        match Run::read(bytes) {
            Some(run) if seen + run.length <= REGISTERS => {
                seen += run.length;
                bytes = &bytes[run.size..];
                Some(Ok(run))
            }
            _ => {
                (bytes, seen) = (&[], REGISTERS);
                Some(Err(Corrupt))
            }
        }
    })
}

/// The runs as they are, whether or not they cover all registers.
pub(super) fn opcodes(mut bytes: &[u8]) -> impl Iterator<Item = Run> {
    std::iter::from_fn(move || {
        let run = Run::read(bytes)?;
        bytes = &bytes[run.size..];
        Some(run)
    })
}

/// Appends a run of zeros by the shortest opcode.
pub(super) fn push_zeros(out: &mut Vec<u8>, length: usize) {
    match length {
        0 => {}
        1..=ZEROS_MAX_LENGTH => out.push((length - 1) as u8),
        _ => out.extend_from_slice(&[LONG_ZEROS_FLAG | ((length - 1) >> 8) as u8, (length - 1) as u8]),
    }
}

fn value_opcode(value: u8, length: usize) -> u8 {
    VALUE_FLAG | (value - 1) << 2 | (length - 1) as u8
}

/// Opcodes that were skipped: the offset of the next one, its first register, and the offset of the last skipped one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Passed {
    at: usize,
    first: usize,
    previous: Option<usize>,
}

/// Skips opcodes from `at` on that end before register `index`; runs of one-byte opcodes are added up eight
/// bytes at a time. It may stop a few opcodes early, and stops before an opcode that is truncated.
fn pass(bytes: &[u8], at: usize, index: usize) -> Passed {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut passed = Passed { at, first: 0, previous: None };
    while let Some(block) = bytes.get(passed.at..).and_then(<[u8]>::first_chunk::<8>) {
        let block = u64::from_le_bytes(*block);
        // The bytes before the first opcode of two bytes.
        let long = block << 1 & !block & (EACH * 0x80);
        let count = long.trailing_zeros() / 8;
        let kept = block & u64::MAX.checked_shr(64 - 8 * count).unwrap_or(0);
        // Each byte's length minus one: six bits of a run of zeros, two of a run of values.
        let is_value = (kept >> 7 & EACH) * 0xff;
        let lengths = kept & (EACH * 0x3f) & !(is_value & (EACH * 0x3c));
        let pairs = (lengths & 0x00ff_00ff_00ff_00ff) + (lengths >> 8 & 0x00ff_00ff_00ff_00ff);
        let sum = (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize + count as usize;
        if passed.first + sum > index {
            break;
        }
        if count > 0 {
            passed.at += count as usize;
            passed.first += sum;
            passed.previous = Some(passed.at - 1);
        }
        if long != 0 {
            let Some(run) = Run::read(&bytes[passed.at..]) else { break };
            if passed.first + run.length > index {
                break;
            }
            passed.previous = Some(passed.at);
            passed.at += run.size;
            passed.first += run.length;
        }
    }
    passed
}

/// Raises one register of the sparse HyperLogLog `bytes` to `value` (at most 32); returns whether it was
/// lower. `None` if the result would be longer than `max_bytes`; then nothing is changed.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    max_bytes: usize,
) -> Result<Option<bool>, Corrupt> {
    let Passed { mut at, mut first, mut previous } = pass(bytes, HEADER, index);
    let run = loop {
        let run = Run::read(&bytes[at..]).ok_or(Corrupt)?;
        if index < first + run.length {
            break run;
        }
        previous = Some(at);
        at += run.size;
        first += run.length;
    };
    if run.value >= value {
        return Ok(Some(false));
    }
    // The run is split into the registers before this one, this one, and those after it.
    let (before, after) = (index - first, first + run.length - 1 - index);
    let mut split = Vec::with_capacity(5);
    push_like(&mut split, run, before);
    split.push(value_opcode(value, 1));
    push_like(&mut split, run, after);
    if split.len() > run.size && bytes.len() + split.len() - run.size > max_bytes {
        return Ok(None);
    }
    bytes.splice(at..at + run.size, split);
    join_neighbours(bytes, previous.unwrap_or(HEADER));
    super::invalidate_count(bytes);
    Ok(Some(true))
}

fn push_like(out: &mut Vec<u8>, run: Run, length: usize) {
    if run.value == 0 {
        push_zeros(out, length);
    } else if length > 0 {
        out.push(value_opcode(run.value, length));
    }
}

/// Joins equal value runs that lie next to each other, among a few opcodes from `at` on.
fn join_neighbours(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_SCAN {
        let Some(run) = Run::read(&bytes[at.min(bytes.len())..]) else { return };
        if run.value != 0
            && let Some(next) = Run::read(&bytes[at + 1..])
            && next.value == run.value
            && run.length + next.length <= VALUE_MAX_LENGTH
        {
            bytes[at + 1] = value_opcode(run.value, run.length + next.length);
            bytes.remove(at);
        } else {
            at += run.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn passing_stops_where_a_walk_comes_by() {
        let mut rng = Rng::new(31);
        for _ in 0..2000 {
            let mut bytes = vec![0; rng.below(200) as usize];
            rng.fill(&mut bytes);
            if rng.below(2) == 0 {
                // Hardly any opcodes of two bytes.
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = if *byte & 0xc0 == 0x40 { *byte & 0x3f } else { *byte });
            }
            let index = rng.below(REGISTERS as u64) as usize;
            let passed = pass(&bytes, 0, index);
            let mut walk = vec![Passed { at: 0, first: 0, previous: None }];
            for run in opcodes(&bytes) {
                let Passed { at, first, .. } = walk[walk.len() - 1];
                if first + run.length > index {
                    break;
                }
                walk.push(Passed { at: at + run.size, first: first + run.length, previous: Some(at) });
            }
            let left = walk.iter().rev().position(|state| *state == passed);
            assert!(left.is_some_and(|left| left <= 8), "{passed:?} {left:?}");
        }
    }
}
