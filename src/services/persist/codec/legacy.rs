//! Legacy forms that are only read: the ziplist, the predecessor of the listpack, and the zipmap, its
//! predecessor.
//!
//! ```text
//! ziplist   total bytes u32 LE | offset of the last entry u32 LE | entries u16 LE (65535: unknown) | entry* | 0xff
//! entry     size of the entry before: u8 below 254, or 254 and u32 LE; then
//!           00llllll bytes                  string of up to 63 bytes
//!           01llllll llllllll bytes         string of up to 16,383 bytes, high bits first
//!           10...... u32 BE bytes           longer string
//!           c0 i16 · d0 i32 · e0 i64 · f0 i24 · fe i8, all LE
//!           f1 to fd                        0 to 12
//!
//! zipmap    pairs u8 (254: unknown) | (length field length gap value, `gap` bytes)* | 0xff
//! length    u8 below 254, or 254 and u32 LE
//! ```

use super::{Fault, Reader};
use crate::structures::listpack::{Entry, Listpack};

/// The error of an invalid ziplist; a caller may have a more specific text.
const BAD_ZIPLIST: Fault = Fault::Corrupt("Ziplist integrity check failed");
const BAD_ZIPMAP: Fault = Fault::Corrupt("Zipmap integrity check failed");

const END: u8 = 0xff;
/// The first byte of a length of four more bytes.
const BIG: u8 = 254;
const UNKNOWN_ENTRIES: u16 = u16::MAX;

const ZIPLIST_HEADER: usize = 10;

/// An iterator over the entries of a ziplist; checks each, and the header's counts at the end.
pub(super) struct Ziplist<'a> {
    rest: Reader<'a>,
    total: usize,
    /// Where the header says that the last entry begins.
    tail: usize,
    told: u16,
    seen: usize,
    /// Where the entry before began.
    previous: usize,
}

impl<'a> Ziplist<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() <= ZIPLIST_HEADER {
            return Err(BAD_ZIPLIST);
        }
        let mut rest = Reader::new(bytes);
        let total = u32::from_le_bytes(rest.array()?) as usize;
        let tail = u32::from_le_bytes(rest.array()?) as usize;
        let told = u16::from_le_bytes(rest.array()?);
        if total != bytes.len() {
            return Err(BAD_ZIPLIST);
        }
        Ok(Ziplist { rest, total, tail, told, seen: 0, previous: ZIPLIST_HEADER })
    }

    /// The next entry; `None` at the end of a ziplist that agrees with its header.
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, Fault> {
        // An end mark before the header's length is an error.
        self.step().map_err(|_| BAD_ZIPLIST)
    }

    fn step(&mut self) -> Result<Option<Entry<'a>>, Fault> {
        let here = self.total - self.rest.remaining();
        let first = self.rest.byte()?;
        if first == END {
            let at_end = self.rest.remaining() == 0;
            let tail_is_true = self.seen == 0 || self.tail == self.previous;
            let count_is_true = self.told == UNKNOWN_ENTRIES || usize::from(self.told) == self.seen;
            return if at_end && tail_is_true && count_is_true { Ok(None) } else { Err(BAD_ZIPLIST) };
        }
        let back = big_length(&mut self.rest, first)?;
        if back != here - self.previous {
            return Err(BAD_ZIPLIST);
        }
        let entry = self.entry()?;
        self.previous = here;
        self.seen += 1;
        Ok(Some(entry))
    }

    fn entry(&mut self) -> Result<Entry<'a>, Fault> {
        let rest = &mut self.rest;
        let head = rest.byte()?;
        let length = match head {
            0..=0x3f => u64::from(head),
            0x40..=0x7f => u64::from(head & 0x3f) << 8 | u64::from(rest.byte()?),
            0x80..=0xbf => u32::from_be_bytes(rest.array()?).into(),
            0xc0 => return rest.array().map(|b| Entry::Int(i16::from_le_bytes(b).into())),
            0xd0 => return rest.array().map(|b| Entry::Int(i32::from_le_bytes(b).into())),
            0xe0 => return rest.array().map(|b| Entry::Int(i64::from_le_bytes(b))),
            0xf0 => {
                let [low, middle, high] = rest.array()?;
                return Ok(Entry::Int((i32::from_le_bytes([0, low, middle, high]) >> 8).into()));
            }
            0xfe => return rest.array().map(|b| Entry::Int(i8::from_le_bytes(b).into())),
            0xf1..=0xfd => return Ok(Entry::Int(i64::from(head & 0x0f) - 1)),
            _ => return Err(BAD_ZIPLIST),
        };
        rest.take(length).map(Entry::from)
    }

    /// All entries as a listpack.
    pub fn into_listpack(mut self) -> Result<Listpack, Fault> {
        let mut listpack = Listpack::new();
        while let Some(entry) = self.next()? {
            listpack.push_back(entry);
        }
        Ok(listpack)
    }
}

/// A length whose first byte is read.
fn big_length(rest: &mut Reader<'_>, first: u8) -> Result<usize, Fault> {
    if first < BIG { Ok(usize::from(first)) } else { rest.array().map(|b| u32::from_le_bytes(b) as usize) }
}

/// Visits the pairs of a zipmap, which has at least one, until `visit` rejects one.
pub(super) fn zipmap_pairs(bytes: &[u8], visit: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
    // One that ends too early is broken, whatever follows behind it.
    walk_zipmap(bytes, visit).map_err(|_| BAD_ZIPMAP)
}

fn walk_zipmap(bytes: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), Fault> {
    let mut rest = Reader::new(bytes);
    let (told, mut seen) = (rest.byte()?, 0);
    loop {
        let first = rest.byte()?;
        if first == END {
            break;
        }
        let field = zipmap_length(&mut rest, first)?;
        let field = rest.take(field)?;
        let first = rest.byte()?;
        let value = zipmap_length(&mut rest, first)?;
        let gap = rest.byte()?;
        let value = rest.take(value)?;
        rest.take(gap.into())?;
        if !visit(field, value) {
            return Err(BAD_ZIPMAP);
        }
        seen += 1;
    }
    let count_is_true = told == BIG || usize::from(told) == seen;
    if seen > 0 && count_is_true && rest.remaining() == 0 { Ok(()) } else { Err(BAD_ZIPMAP) }
}

/// A length whose first byte is read; it must not be longer than it need be.
fn zipmap_length(rest: &mut Reader<'_>, first: u8) -> Result<u64, Fault> {
    let length = if first == END { Err(BAD_ZIPMAP) } else { big_length(rest, first) }?;
    if first == BIG && length < usize::from(BIG) { Err(BAD_ZIPMAP) } else { Ok(length as u64) }
}
