//! Bitmaps: strings as arrays of bits, bit 0 the highest of the first byte; counting, searching, combining, and
//! integer fields of any width at any offset.
//!
//!     bytes   |0 . . . . . . 7|8 . . . . . . 15| …      a field of 5 bits at 6 is ······ab cde·····
//!
//! Reads beyond the end see zeros. Nothing here grows a string: the caller does that first.
#![allow(unsafe_code)]

/// The unit of a range's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Byte,
    Bit,
}

/// How strings combine bit by bit. `x` is the first, `ys` the others together (by OR); shorter ones are
/// continued by zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    And,
    Or,
    Xor,
    /// Of the first alone.
    Not,
    /// `x & !ys`
    Diff,
    /// `!x & ys`
    Diff1,
    /// `x & ys`
    AndOr,
    /// Bits set in exactly one.
    One,
}

/// What is worked on at a time when strings combine: stays in the first-level cache.
const BLOCK: usize = 8 * 1024;

/// The bits that are set.
pub fn count_ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= 64 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has just been seen to have both features; there is no other obligation.
        return unsafe { count_ones_avx2(bytes) };
    }
    count_ones_plain(bytes)
}

/// The same loop, compiled for a newer processor: the compiler then counts 32 bytes at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn count_ones_avx2(bytes: &[u8]) -> u64 {
    count_ones_plain(bytes)
}

#[inline(always)]
fn count_ones_plain(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
    whole + tail.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The set bits from `start` to `end`, both included; negative ones count from the end of the string.
pub fn count_range(bytes: &[u8], start: i64, end: i64, unit: Unit) -> u64 {
    if start < 0 && end < 0 && start > end {
        return 0;
    }
    let Some((first, last)) = bit_range(bytes, start, end, unit) else { return 0 };
    let (from, to) = (first / 8, last / 8);
    let outside_left = bytes[from] & !(0xff >> (first % 8));
    let outside_right = bytes[to] & low_bits(7 - last % 8);
    count_ones(&bytes[from..=to]) - u64::from(outside_left.count_ones() + outside_right.count_ones())
}

/// The lowest `count` (at most 7) bits of a byte.
fn low_bits(count: usize) -> u8 {
    (1 << count) - 1
}

/// The first and last bit of a range as commands give it, `None` if it is empty.
fn bit_range(bytes: &[u8], start: i64, end: i64, unit: Unit) -> Option<(usize, usize)> {
    let scale = if unit == Unit::Bit { 8 } else { 1 };
    let total = (bytes.len() as i64).checked_mul(scale)?;
    let from_end = |place: i64| if place < 0 { place.saturating_add(total).max(0) } else { place };
    let (start, end) = (from_end(start), from_end(end).min(total - 1));
    if start > end {
        return None;
    }
    Some(match unit {
        Unit::Bit => (start as usize, end as usize),
        Unit::Byte => (start as usize * 8, end as usize * 8 + 7),
    })
}

/// The first bit equal to `bit` from `start` to `end`, both included, or -1. Without an end the string counts
/// as continued by zeros, so that a clear bit is always found, at worst right behind it.
pub fn position(bytes: &[u8], bit: bool, start: i64, end: Option<i64>, unit: Unit) -> i64 {
    let Some((first, last)) = bit_range(bytes, start, end.unwrap_or(i64::MAX), unit) else { return -1 };
    match find(bytes, bit, first, last) {
        Some(place) => place as i64,
        None if !bit && end.is_none() => bytes.len() as i64 * 8,
        None => -1,
    }
}

/// The first bit equal to `bit` in `first..=last`, which lie inside `bytes`.
fn find(bytes: &[u8], bit: bool, first: usize, last: usize) -> Option<usize> {
    let flip = if bit { 0 } else { 0xff };
    let (from, to) = (first / 8, last / 8);
    let head = (bytes[from] ^ flip) & (0xff >> (first % 8));
    let place = if head != 0 {
        from * 8 + head.leading_zeros() as usize
    } else {
        (from + 1) * 8 + first_differing(bytes.get(from + 1..=to)?, flip)?
    };
    (place <= last).then_some(place)
}

/// The first bit of `bytes` that differs from those of `usual`, which is 0 or 0xff.
fn first_differing(bytes: &[u8], usual: u8) -> Option<usize> {
    let dull = [usual; 64];
    let blocks = bytes.as_chunks::<64>().0;
    let skipped = blocks.iter().take_while(|block| **block == dull).count() * 64;
    let (words, tail) = bytes[skipped..].as_chunks::<8>();
    let usual_word = u64::from_be_bytes([usual; 8]);
    for (index, word) in words.iter().enumerate() {
        let differing = u64::from_be_bytes(*word) ^ usual_word;
        if differing != 0 {
            return Some((skipped + index * 8) * 8 + differing.leading_zeros() as usize);
        }
    }
    let index = tail.iter().position(|byte| *byte != usual)?;
    let place = skipped + words.len() * 8 + index;
    Some(place * 8 + (bytes[place] ^ usual).leading_zeros() as usize)
}

/// Combines `sources` into a string as long as the longest of them.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let length = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut out = vec![0; length];
    let mut others = [0; BLOCK];
    for (index, block) in out.chunks_mut(BLOCK).enumerate() {
        let start = index * BLOCK;
        let end = start + block.len();
        let parts = sources.iter().map(|source| &source[start.min(source.len())..end.min(source.len())]);
        let others = &mut others[..block.len()];
        combine_block(operation, block, others, parts);
    }
    out
}

fn combine_block<'a>(
    operation: Operation,
    block: &mut [u8],
    others: &mut [u8],
    mut parts: impl Iterator<Item = &'a [u8]>,
) {
    let Some(x) = parts.next() else { return };
    block[..x.len()].copy_from_slice(x);
    match operation {
        Operation::Not => block.iter_mut().for_each(|byte| *byte = !*byte),
        Operation::Or => parts.for_each(|part| zip(block, part, |a, b| a | b)),
        Operation::Xor => parts.for_each(|part| zip(block, part, |a, b| a ^ b)),
        Operation::And => parts.for_each(|part| {
            zip(block, part, |a, b| a & b);
            block[part.len()..].fill(0);
        }),
        Operation::One => {
            others.fill(0);
            for part in parts {
                for ((one, many), byte) in block.iter_mut().zip(others.iter_mut()).zip(part) {
                    *many |= *one & byte;
                    *one |= byte;
                }
            }
            zip(block, others, |one, many| one & !many);
        }
        Operation::Diff | Operation::Diff1 | Operation::AndOr => {
            others.fill(0);
            parts.for_each(|part| zip(others, part, |a, b| a | b));
            match operation {
                Operation::Diff => zip(block, others, |x, ys| x & !ys),
                Operation::Diff1 => zip(block, others, |x, ys| !x & ys),
                _ => zip(block, others, |x, ys| x & ys),
            }
        }
    }
}

/// `a = f(a, b)` for as many bytes as both have; the compiler makes vectors of it.
#[inline(always)]
fn zip(a: &mut [u8], b: &[u8], f: impl Fn(u8, u8) -> u8) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, *b);
    }
}

/// The bit at `offset`.
pub fn get_bit(bytes: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|index| bytes.get(index));
    byte.is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

/// Sets the bit at `offset` and returns what it was; beyond the end nothing happens.
pub fn set_bit(bytes: &mut [u8], offset: u64, on: bool) -> bool {
    let Some(byte) = usize::try_from(offset / 8).ok().and_then(|index| bytes.get_mut(index)) else {
        return false;
    };
    let mask = 0x80 >> (offset % 8);
    let before = *byte & mask != 0;
    *byte = if on { *byte | mask } else { *byte & !mask };
    before
}

/// The type of a field: `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    signed: bool,
    bits: u32,
}

/// What becomes of a value that a field cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Keep the low bits.
    Wrap,
    /// Keep the nearest value.
    Saturate,
    /// Keep nothing.
    Fail,
}

impl Field {
    /// A field type, if there is one of that width.
    pub fn new(signed: bool, bits: u32) -> Option<Field> {
        let most = if signed { 64 } else { 63 };
        (1..=most).contains(&bits).then_some(Field { signed, bits })
    }

    /// The width.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The value of the field at bit `offset`.
    pub fn get(self, bytes: &[u8], offset: u64) -> i64 {
        let (window, _) = self.window(bytes, offset);
        self.truncate((window >> self.shift(offset)) as i64)
    }

    /// Writes the low bits of `value` into the field at bit `offset`. Bits beyond the end are lost.
    pub fn set(self, bytes: &mut [u8], offset: u64, value: i64) {
        let (window, length) = self.window(bytes, offset);
        let mask = u128::from(u64::MAX >> (64 - self.bits)) << self.shift(offset);
        let value = u128::from(value as u64) << self.shift(offset);
        let window = (window & !mask | value & mask).to_be_bytes();
        if length > 0 {
            let start = (offset / 8) as usize;
            bytes[start..start + length].copy_from_slice(&window[7..7 + length]);
        }
    }

    /// `value` as the field would hold it, or `None` if it does not fit and `overflow` is to fail. An
    /// unsigned field takes a negative value for one that is too large.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        // Redis computes the distance from the maximum in 64 bits, where it overflows: the lowest values seem too high.
        let top = i64::MAX >> (64 - self.bits);
        if self.signed && overflow == Overflow::Saturate && self.bits < 64 && top.checked_sub(value).is_none()
        {
            return Some(top);
        }
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        self.apply_overflow(value, overflow)
    }

    /// `old + by` as the field would hold it, or `None` as with [`Field::fit`].
    pub fn increment(self, old: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.apply_overflow(i128::from(old) + i128::from(by), overflow)
    }

    /// `value` if the field can hold it, else what `overflow` makes of it (`BITFIELD OVERFLOW`).
    fn apply_overflow(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = match self.signed {
            true => (-1i128 << (self.bits - 1), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        };
        if (least..=most).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.truncate(value as i64)),
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Fail => None,
        }
    }

    /// The low bits of `value`, the top one spread if the field is signed.
    fn truncate(self, value: i64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { value << unused >> unused } else { ((value as u64) << unused >> unused) as i64 }
    }

    /// How far the field lies from the end of its window.
    fn shift(self, offset: u64) -> u32 {
        72 - (offset % 8) as u32 - self.bits
    }

    /// The nine bytes that hold any field starting at `offset`, and how many of them exist.
    fn window(self, bytes: &[u8], offset: u64) -> (u128, usize) {
        let start = usize::try_from(offset / 8).unwrap_or(usize::MAX).min(bytes.len());
        let present = &bytes[start..bytes.len().min(start + 9)];
        let mut window = [0; 16];
        window[7..7 + present.len()].copy_from_slice(present);
        (u128::from_be_bytes(window), present.len())
    }
}

#[cfg(test)]
#[path = "bits_tests.rs"]
mod tests;
