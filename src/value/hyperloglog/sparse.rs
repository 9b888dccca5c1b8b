//! The sparse form of a HyperLogLog: runs of equal registers (the opcodes are drawn in the parent's head).

use super::{Corrupt, HEADER, REGISTERS};

const VALUE_FLAG: u8 = 0x80;
const LONG_ZEROS_FLAG: u8 = 0x40;
/// Registers that a value run can hold.
const VALUE_MAX_LENGTH: usize = 4;
/// Registers that a short run of zeros can hold.
const ZEROS_MAX_LENGTH: usize = 64;
/// Opcodes looked at, from the one before a change on, to join equal neighbours. Part of the format in
/// that it decides which bytes come out.
const JOIN_SCAN: usize = 5;

/// A run of registers that share a value.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub value: u8,
    pub length: usize,
    /// Bytes of the opcode.
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

/// The runs as they stand there, whether they add up or not.
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

/// Raises one register of the sparse HyperLogLog `bytes` to `value` (at most 32); tells whether it was
/// lower. `None` if the result would be longer than `max_bytes`: nothing was changed then.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    max_bytes: usize,
) -> Result<Option<bool>, Corrupt> {
    let (mut at, mut first, mut previous) = (HEADER, 0, None);
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
    // The run splits into what is before the register, the register, and what is after it.
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
