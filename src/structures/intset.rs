//! Intset: a sorted array of distinct integers, all as wide as the widest one needs, in the byte format that Redis
//! writes to RDB files.
//!
//!     width u32 LE (2, 4 or 8) | members u32 LE | members ascending, LE
//!
//! One pointer to one allocation; membership is a binary search. It always holds a well-formed
//! intset: foreign bytes pass `from_bytes`. As in Redis, it never narrows; its owner decides
//! when it is too long.
#![allow(unsafe_code)]

use super::blob::{self, Blob};
use super::listpack::Corrupt;

const HEADER: usize = 8;
/// Redis keeps no more members than this in one.
pub const MAX_LEN: usize = 1 << 30;

/// See the head of this file.
#[derive(Debug)]
pub struct Intset {
    /// Its length is HEADER + width × members.
    blob: Blob,
}

impl Drop for Intset {
    fn drop(&mut self) {
        let total = self.byte_len();
        // SAFETY: the header gives the blob's length, and it is not used after drop.
        unsafe { self.blob.free(total) }
    }
}

impl Clone for Intset {
    fn clone(&self) -> Self {
        Intset { blob: Blob::from_slice(self.as_bytes()) }
    }
}

impl Default for Intset {
    fn default() -> Self {
        Intset::new()
    }
}

/// The narrowest width that holds `value`.
fn width_of(value: i64) -> usize {
    match value {
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    }
}

#[inline(always)]
fn load(bytes: &[u8], width: usize, index: usize) -> i64 {
    let at = HEADER + index * width;
    let member = &bytes[at..at + width];
    match *member {
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        _ => i64::from_le_bytes(member.try_into().expect("width is 2, 4 or 8")),
    }
}

#[inline(always)]
fn store(bytes: &mut [u8], width: usize, index: usize, value: i64) {
    let at = HEADER + index * width;
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

impl Intset {
    /// An empty one.
    pub fn new() -> Self {
        Intset { blob: Blob::from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]) }
    }

    /// Takes foreign bytes if they are an intset with strictly ascending members.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        let head = bytes.first_chunk::<HEADER>().ok_or(Corrupt)?;
        let (width, len) = Self::header(head);
        let body = len.checked_mul(width).ok_or(Corrupt)?;
        if !matches!(width, 2 | 4 | 8) || bytes.len() - HEADER != body {
            return Err(Corrupt);
        }
        if (1..len).any(|i| load(bytes, width, i - 1) >= load(bytes, width, i)) {
            return Err(Corrupt);
        }
        Ok(Intset { blob: Blob::from_slice(bytes) })
    }

    /// Takes bytes that [`Self::as_bytes`] gave, without looking at the members again.
    #[inline]
    pub fn from_own_bytes(bytes: &[u8]) -> Self {
        let (width, len) = bytes.first_chunk().map(Self::header).unwrap_or_default();
        assert!(width > 0 && bytes.len() == HEADER + width * len, "these are no intset's bytes");
        Intset { blob: Blob::from_slice(bytes) }
    }

    #[inline(always)]
    fn header(head: &[u8; HEADER]) -> (usize, usize) {
        let [a, b, c, d, e, f, g, h] = *head;
        (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize)
    }

    /// Width and number of members.
    #[inline(always)]
    fn shape(&self) -> (usize, usize) {
        // SAFETY: an intset is at least HEADER long.
        let head = unsafe { self.blob.bytes(HEADER) };
        Self::header(head.first_chunk().expect("HEADER bytes"))
    }

    /// Sets width and length, resizing to match; the members are the caller's to put right.
    fn reshape(&mut self, width: usize, len: usize) -> &mut [u8] {
        let (before, after) = (self.byte_len(), HEADER + width * len);
        // SAFETY: `before` is the blob's length, and what is new is zeroed before anything reads it.
        unsafe {
            self.blob.resize(before, after);
            if after > before {
                self.blob.start().add(before).write_bytes(0, after - before);
            }
        }
        // SAFETY: `after` is the blob's length now, as the header is about to say.
        let bytes = unsafe { self.blob.bytes_mut(after) };
        bytes[..4].copy_from_slice(&(width as u32).to_le_bytes());
        bytes[4..HEADER].copy_from_slice(&(len as u32).to_le_bytes());
        bytes
    }

    fn byte_len(&self) -> usize {
        let (width, len) = self.shape();
        HEADER + width * len
    }

    /// All of it, as RDB files and DUMP have it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        let total = self.byte_len();
        // SAFETY: the header gives the blob's length: `new` and `from_bytes` begin so, and
        // `reshape`, the only writer of the header, resizes the blob to it.
        unsafe { self.blob.bytes(total) }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.shape().1
    }

    /// Whether it has no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory behind the pointer.
    pub fn memory(&self) -> usize {
        blob::capacity(self.byte_len())
    }

    /// Member number `index` in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        let (width, len) = self.shape();
        (index < len).then(|| load(self.as_bytes(), width, index))
    }

    /// The smallest member.
    pub fn first(&self) -> Option<i64> {
        self.get(0)
    }

    /// The largest member.
    pub fn last(&self) -> Option<i64> {
        self.len().checked_sub(1).and_then(|last| self.get(last))
    }

    /// Where `value` is, or would have to be.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let bytes = self.as_bytes();
        let (width, len) = self.shape();
        let (mut low, mut high) = (0, len);
        // Ascending insertion is common enough to try the end first.
        if len > 0 && load(bytes, width, len - 1) < value {
            return Err(len);
        }
        while low < high {
            let middle = low.midpoint(high);
            match load(bytes, width, middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether `value` is a member.
    #[inline]
    pub fn contains(&self, value: i64) -> bool {
        width_of(value) <= self.shape().0 && self.search(value).is_ok()
    }

    /// Adds `value`; false if it was there.
    pub fn insert(&mut self, value: i64) -> bool {
        let (width, len) = self.shape();
        if width_of(value) > width {
            self.widen_with(value);
            return true;
        }
        let Err(index) = self.search(value) else { return false };
        let bytes = self.reshape(width, len + 1);
        let at = HEADER + index * width;
        bytes.copy_within(at..HEADER + len * width, at + width);
        store(bytes, width, index, value);
        true
    }

    /// Widens every member to fit `value`, which is beyond all of them, and adds it.
    fn widen_with(&mut self, value: i64) {
        let (old, len) = self.shape();
        let width = width_of(value);
        let shift = usize::from(value < 0);
        let bytes = self.reshape(width, len + 1);
        for i in (0..len).rev() {
            let member = load(bytes, old, i);
            store(bytes, width, i + shift, member);
        }
        store(bytes, width, if value < 0 { 0 } else { len }, value);
    }

    /// Removes `value`; false if it was not there.
    pub fn remove(&mut self, value: i64) -> bool {
        if width_of(value) > self.shape().0 {
            return false;
        }
        let Ok(index) = self.search(value) else { return false };
        self.remove_at(index);
        true
    }

    /// Removes and returns member number `index`.
    pub fn remove_at(&mut self, index: usize) -> Option<i64> {
        let value = self.get(index)?;
        let (width, len) = self.shape();
        let total = self.byte_len();
        // SAFETY: `total` is the blob's length; only members move.
        let bytes = unsafe { self.blob.bytes_mut(total) };
        let at = HEADER + index * width;
        bytes.copy_within(at + width.., at);
        self.reshape(width, len - 1);
        Some(value)
    }

    /// The members, ascending.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        let (width, len) = self.shape();
        Iter { bytes: self.as_bytes(), width, left: 0..len }
    }

    /// Panics unless the bytes are a well-formed intset (for tests).
    pub fn check_invariants(&self) {
        Intset::from_bytes(self.as_bytes()).expect("a well-formed intset");
    }
}

/// The members in ascending order; see `Intset::iter`.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    width: usize,
    left: std::ops::Range<usize>,
}

impl Iterator for Iter<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.left.next().map(|i| load(self.bytes, self.width, i))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_tree() {
        let mut rng = Rng::new(11);
        for round in 0..60 {
            let mut set = Intset::new();
            let mut model = BTreeSet::new();
            for _ in 0..80 {
                let value = match round % 3 {
                    0 => rng.below(60) as i64 - 30,
                    1 => rng.below(60) as i64 * 3000 - 90_000,
                    _ => rng.next_u64() as i64 >> (rng.below(64) / 8 * 8),
                };
                match rng.below(4) {
                    0 => assert_eq!(set.remove(value), model.remove(&value)),
                    1 => assert_eq!(set.contains(value), model.contains(&value)),
                    _ => assert_eq!(set.insert(value), model.insert(value)),
                }
                set.check_invariants();
                assert!(set.iter().eq(model.iter().copied()));
                assert_eq!(set.first(), model.first().copied());
                assert_eq!(set.last(), model.last().copied());
            }
            assert!(Intset::from_bytes(set.as_bytes()).unwrap().iter().eq(model));
        }
    }

    #[test]
    fn bytes_are_those_of_the_format() {
        let mut set = Intset::new();
        for value in [5, -1, 70_000] {
            set.insert(value);
        }
        let members = [-1i32, 5, 70_000].map(i32::to_le_bytes).concat();
        assert_eq!(set.as_bytes(), [b"\x04\0\0\0\x03\0\0\0", &members[..]].concat());
        set.insert(i64::MIN);
        assert_eq!(set.as_bytes().len(), 8 + 4 * 8);
        assert_eq!(set.remove_at(0), Some(i64::MIN));
        assert_eq!(set.remove_at(3), None);
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let bad: [&[u8]; 7] = [
            b"",
            b"\x02\0\0\0\x01\0\0",
            b"\x02\0\0\0\x01\0\0\0",
            b"\x03\0\0\0\x01\0\0\0\x01\0\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
            b"\x08\0\0\0\xff\xff\xff\xff",
        ];
        for bytes in bad {
            assert!(Intset::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
