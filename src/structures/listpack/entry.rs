//! Listpack entry: its encodings, and the backward length by which the entry before is found.
//!
//!     0xxxxxxx                       unsigned 7-bit integer
//!     10llllll bytes                 string of up to 63 bytes
//!     110vvvvv vvvvvvvv              signed 13-bit integer, high bits first
//!     1110llll llllllll bytes        string of up to 4095 bytes, high bits first
//!     11110000 u32 LE bytes          longer string
//!     11110001..11110100 LE value    signed integer of 16, 24, 32 or 64 bits
//!     11111111                       end of the listpack, not an entry
//!
//! Each is followed by its own size in groups of 7 bits, to be read from the right: the leftmost
//! byte has its top bit clear.
#![allow(unsafe_code)]

use crate::base::number::{digits_i64, parse_i64};
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// Longest encoding before the payload of a string, or longest integer.
const MAX_HEAD: usize = 9;
/// The byte behind the last entry.
pub const END: u8 = 0xff;

/// A value in a compact collection: whatever reads as a canonical 64-bit integer is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry<'a> {
    /// An integer; its value to the outside is its decimal form.
    Int(i64),
    /// Any other bytes.
    Str(&'a [u8]),
}

/// Room for the decimal form of an `i64`, for `Entry::bytes`.
pub type DecimalBuffer = itoa::Buffer;

impl<'a> From<&'a [u8]> for Entry<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        parse_i64(bytes).map_or(Entry::Str(bytes), Entry::Int)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Entry<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Entry::from(&bytes[..])
    }
}

impl From<i64> for Entry<'_> {
    fn from(value: i64) -> Self {
        Entry::Int(value)
    }
}

impl<'a> Entry<'a> {
    /// The value as bytes; `buffer` holds them if it is an integer.
    #[inline]
    pub fn bytes<'b>(self, buffer: &'b mut DecimalBuffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Entry::Int(value) => buffer.format(value).as_bytes(),
            Entry::Str(bytes) => bytes,
        }
    }

    /// The value as bytes, borrowed where it is a string.
    pub fn to_cow(self) -> Cow<'a, [u8]> {
        match self {
            Entry::Int(value) => Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec()),
            Entry::Str(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// The value as bytes of their own.
    pub fn to_vec(self) -> Vec<u8> {
        self.to_cow().into_owned()
    }

    /// Length of the value as bytes.
    #[inline]
    pub fn byte_len(self) -> usize {
        match self {
            Entry::Int(value) => digits_i64(value),
            Entry::Str(bytes) => bytes.len(),
        }
    }

    /// Whether the value as bytes is `other`.
    #[inline]
    pub fn equals(self, other: &[u8]) -> bool {
        match self {
            Entry::Int(value) => parse_i64(other) == Some(value),
            Entry::Str(bytes) => bytes == other,
        }
    }

    /// The one form in which equal values are equal: a string that reads as an integer becomes one.
    pub fn normal(self) -> Entry<'a> {
        match self {
            Entry::Str(bytes) => Entry::from(bytes),
            int => int,
        }
    }

    /// The integer this is, also where it is stored as a string.
    pub fn as_int(self) -> Option<i64> {
        match self {
            Entry::Int(value) => Some(value),
            Entry::Str(bytes) => parse_i64(bytes),
        }
    }
}

/// Bytes to look for among entries, parsed once.
#[derive(Clone, Copy)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    number: Option<i64>,
}

impl<'a> Needle<'a> {
    /// To look for `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Needle { bytes, number: parse_i64(bytes) }
    }

    /// Whether this is it.
    #[inline(always)]
    pub fn is(&self, entry: Entry<'_>) -> bool {
        match entry {
            Entry::Int(value) => self.number == Some(value),
            // Members of one collection tend to differ at their ends.
            Entry::Str(s) => s.len() == self.bytes.len() && s.last() == self.bytes.last() && s == self.bytes,
        }
    }
}

/// Bytes of the backward length of an entry of `size` bytes. Redis leaves the last value of each
/// width but the first unused, and the same bytes need the same.
#[inline(always)]
pub(super) fn backlen_size(size: usize) -> usize {
    match size {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Writes the backward length of an entry of `size` bytes over the whole of `out`.
#[inline(always)]
pub(super) fn write_backlen(out: &mut [u8], size: usize) {
    let mut rest = size;
    for byte in out.iter_mut().rev() {
        *byte = (rest & 127) as u8 | 128;
        rest >>= 7;
    }
    if let Some(first) = out.first_mut() {
        *first &= 127;
    }
}

/// An entry ready to be written: `head`, then `payload`, then the backward length.
pub(super) struct Encoded<'a> {
    head: [u8; MAX_HEAD],
    head_len: usize,
    payload: &'a [u8],
}

impl<'a> Encoded<'a> {
    #[inline]
    pub(super) fn new(entry: Entry<'a>) -> Self {
        let mut head = [0; MAX_HEAD];
        let (head_len, payload): (usize, &[u8]) = match entry {
            Entry::Int(value) => (encode_int(&mut head, value), &[]),
            Entry::Str(bytes) => (encode_len(&mut head, bytes.len()), bytes),
        };
        Encoded { head, head_len, payload }
    }

    /// Bytes it takes, backward length included.
    #[inline(always)]
    pub(super) fn size(&self) -> usize {
        let size = self.head_len + self.payload.len();
        size + backlen_size(size)
    }

    /// [`Self::write`] over bytes that have been written before.
    #[inline(always)]
    pub(super) fn write_over(&self, out: &mut [u8]) {
        // SAFETY: `write` writes the whole of what it is given, and so leaves nothing uninitialised.
        self.write(unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), out.len()) });
    }

    /// Writes it over the whole of `out`, which has `size()` bytes.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut [MaybeUninit<u8>]) {
        let (head, rest) = out.split_at_mut(self.head_len);
        for (to, &from) in head.iter_mut().zip(&self.head) {
            to.write(from);
        }
        let (payload, backlen) = rest.split_at_mut(self.payload.len());
        payload.write_copy_of_slice(self.payload);
        let size = self.head_len + self.payload.len();
        if let [only] = backlen {
            only.write(size as u8);
        } else {
            let mut bytes = [0; 5];
            let bytes = &mut bytes[..backlen.len()];
            write_backlen(bytes, size);
            backlen.write_copy_of_slice(bytes);
        }
    }
}

#[inline]
fn encode_int(head: &mut [u8; MAX_HEAD], value: i64) -> usize {
    match value {
        0..=127 => {
            head[0] = value as u8;
            1
        }
        -4096..=4095 => {
            let bits = value as u16 & 0x1fff;
            head[0] = 0xc0 | (bits >> 8) as u8;
            head[1] = bits as u8;
            2
        }
        _ => {
            let (tag, width) = match value {
                -0x8000..=0x7fff => (0xf1, 2),
                -0x80_0000..=0x7f_ffff => (0xf2, 3),
                -0x8000_0000..=0x7fff_ffff => (0xf3, 4),
                _ => (0xf4, 8),
            };
            head[0] = tag;
            head[1..].copy_from_slice(&value.to_le_bytes());
            1 + width
        }
    }
}

#[inline]
fn encode_len(head: &mut [u8; MAX_HEAD], len: usize) -> usize {
    match len {
        0..=63 => {
            head[0] = 0x80 | len as u8;
            1
        }
        64..=4095 => {
            head[0] = 0xe0 | (len >> 8) as u8;
            head[1] = len as u8;
            2
        }
        _ => {
            head[0] = 0xf0;
            let len = u32::try_from(len).expect("a string within the format's 4 GiB");
            head[1..5].copy_from_slice(&len.to_le_bytes());
            5
        }
    }
}

/// The entry at `at` and its size, backward length included.
#[inline(always)]
pub(super) fn decode(bytes: &[u8], at: usize) -> (Entry<'_>, usize) {
    let first = bytes[at];
    if first < 0x80 {
        return (Entry::Int(i64::from(first)), 2);
    }
    if first < 0xc0 {
        let len = usize::from(first & 0x3f);
        return (Entry::Str(&bytes[at + 1..at + 1 + len]), len + 2);
    }
    decode_wide(bytes, at, first)
}

#[inline]
fn decode_wide(bytes: &[u8], at: usize, first: u8) -> (Entry<'_>, usize) {
    let (head, len) = match first {
        0xc0..=0xdf => {
            let bits = u16::from(first & 0x1f) << 8 | u16::from(bytes[at + 1]);
            return (Entry::Int(i64::from((bits << 3) as i16 >> 3)), 3);
        }
        0xe0..=0xef => (2, usize::from(first & 0x0f) << 8 | usize::from(bytes[at + 1])),
        0xf0 => (5, u32::from_le_bytes(array(bytes, at + 1)) as usize),
        0xf1 => return (Entry::Int(i16::from_le_bytes(array(bytes, at + 1)).into()), 4),
        0xf2 => {
            let [a, b, c] = array(bytes, at + 1);
            return (Entry::Int((i32::from_le_bytes([0, a, b, c]) >> 8).into()), 5);
        }
        0xf3 => return (Entry::Int(i32::from_le_bytes(array(bytes, at + 1)).into()), 6),
        0xf4 => return (Entry::Int(i64::from_le_bytes(array(bytes, at + 1))), 10),
        _ => unreachable!("no entry of a checked listpack begins so"),
    };
    let start = at + head;
    (Entry::Str(&bytes[start..start + len]), head + len + backlen_size(head + len))
}

#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes")
}

/// Size of the entry at `at` without its backward length.
#[inline(always)]
fn encoded_size(bytes: &[u8], at: usize) -> usize {
    let first = bytes[at];
    match first {
        0x00..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(bytes[at + 1])),
        0xf0 => 5 + u32::from_le_bytes(array(bytes, at + 1)) as usize,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        _ => 9,
    }
}

/// Size of the entry at `at`, backward length included.
#[inline(always)]
pub fn size_at(bytes: &[u8], at: usize) -> usize {
    let size = encoded_size(bytes, at);
    size + backlen_size(size)
}

/// Where the first entry begins that equals `needle`, among the one at `at` and every `stride`-th after
/// it, up to `end`.
#[inline]
pub(super) fn find_between(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    needle: &[u8],
    stride: usize,
) -> Option<usize> {
    let needle = Needle::new(needle);
    while at < end {
        let (entry, size) = decode(bytes, at);
        if needle.is(entry) {
            return Some(at);
        }
        at += size;
        for _ in 1..stride {
            if at >= end {
                return None;
            }
            at += size_at(bytes, at);
        }
    }
    None
}

/// Where the entry begins that ends at `end`.
#[inline(always)]
pub(super) fn start_before(bytes: &[u8], end: usize) -> usize {
    let mut size = 0;
    let mut shift = 0;
    let mut at = end;
    loop {
        at -= 1;
        size |= usize::from(bytes[at] & 127) << shift;
        if bytes[at] & 128 == 0 {
            return at - size;
        }
        shift += 7;
    }
}

/// Size of the entry at `at`, if it is whole within `bytes` and its way back is right.
pub(super) fn check_at(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let head = match rest.first()? {
        0xf5..=END => return None,
        0xf0 => 5,
        0xe0..=0xef => 2,
        _ => 1,
    };
    if rest.len() < head {
        return None;
    }
    let size = encoded_size(bytes, at);
    let mut expected = [0; 5];
    let expected = &mut expected[..backlen_size(size)];
    write_backlen(expected, size);
    let total = size.checked_add(expected.len())?;
    (rest.get(size..total)? == expected).then_some(total)
}
