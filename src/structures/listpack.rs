//! Listpack: a sequence of short strings and integers in one allocation, in the byte format
//! that Redis writes to RDB files, so that saving one is a copy.
//!
//!     total bytes u32 LE | entries u16 LE (65535: unknown) | entry* | 0xff
//!
//! `listpack::entry` draws the entries. A `Listpack` is one pointer to an allocation of the size
//! class of its total; it always holds a well-formed listpack, since the only way in for foreign
//! bytes, `from_bytes`, checks every one of them.
//!
//! A `Pos` belongs to the listpack that gave it and holds until that is changed before it. A stale
//! one may answer nonsense or panic, never touch foreign memory.
//!
//! It neither keeps order nor forbids duplicates nor knows pairs: its owners do.
#![allow(unsafe_code)]

pub mod blocks;
pub mod body;
mod entry;
#[cfg(test)]
mod tests;

use super::blob::{self, Blob};
use super::prefetch::prefetch;
pub use entry::{DecimalBuffer, END, Entry, Needle};
use entry::{Encoded, check_at, decode, find_between, size_at, start_before};
use std::mem::MaybeUninit;
use std::num::NonZeroU32;

const HEADER: usize = 6;
/// Bytes of an empty listpack.
pub const EMPTY_BYTES: usize = HEADER + 1;
/// Count in the header that means "unknown: count the entries".
const UNKNOWN: usize = u16::MAX as usize;
/// Redis never lets one grow beyond this.
pub const MAX_SAFE_BYTES: usize = 1 << 30;

/// Foreign bytes that are not a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Where an entry begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(NonZeroU32);

impl Pos {
    #[inline(always)]
    fn new(at: usize) -> Pos {
        debug_assert!(at >= HEADER);
        Pos(NonZeroU32::new(at as u32).expect("entries begin after the header"))
    }

    #[inline(always)]
    fn at(self) -> usize {
        self.0.get() as usize
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Listpack {
    /// Its length is the total in its first four bytes.
    blob: Blob,
}

impl Drop for Listpack {
    fn drop(&mut self) {
        let total = self.byte_len();
        // SAFETY: the total in the header is the blob's length, and it is not used after drop.
        unsafe { self.blob.free(total) }
    }
}

impl Clone for Listpack {
    fn clone(&self) -> Self {
        Listpack { blob: Blob::from_slice(self.as_bytes()) }
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Listpack::new()
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// Storage: the only place that knows how header and allocation hang together.
impl Listpack {
    /// An empty one.
    pub fn new() -> Self {
        Listpack { blob: Blob::from_slice(&[EMPTY_BYTES as u8, 0, 0, 0, 0, 0, END]) }
    }

    /// Takes foreign bytes if they are a well-formed listpack to the last bit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Corrupt> {
        let total = bytes.first_chunk::<4>().map(|head| u32::from_le_bytes(*head) as usize);
        if bytes.len() < EMPTY_BYTES || total != Some(bytes.len()) {
            return Err(Corrupt);
        }
        let (&last, body) = bytes.split_last().ok_or(Corrupt)?;
        let mut at = HEADER;
        let mut count = 0;
        while at < body.len() {
            at += check_at(body, at).ok_or(Corrupt)?;
            count += 1;
        }
        let told = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        if last != END || at != body.len() || (told != UNKNOWN && told != count) {
            return Err(Corrupt);
        }
        Ok(Listpack { blob: Blob::from_slice(bytes) })
    }

    /// Takes what [`Self::body`] and [`Self::len`] of one of fewer than 65535 entries gave, without looking
    /// at the entries again.
    #[inline]
    pub fn from_body(count: u16, body: &[u8]) -> Self {
        let total = u32::try_from(body.len() + EMPTY_BYTES).expect("a listpack within 4 GiB");
        let ([a, b, c, d], [e, f]) = (total.to_le_bytes(), count.to_le_bytes());
        Listpack { blob: Blob::from_parts([&[a, b, c, d, e, f], body, &[END]]) }
    }

    /// The entries alone, without header and end.
    #[inline]
    pub fn body(&self) -> &[u8] {
        let bytes = self.as_bytes();
        &bytes[HEADER..bytes.len() - 1]
    }

    /// All of it, as RDB files and DUMP have it.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        let total = self.byte_len();
        // SAFETY: the total in the header is the blob's length: `new` and `from_bytes` begin so,
        // and `make_room`, the only other writer of the header's total, resizes the blob to it.
        unsafe { self.blob.bytes(total) }
    }

    /// Asks for its first cache lines.
    #[inline]
    pub fn prefetch(&self) {
        const LINES: usize = 6;
        // SAFETY: every listpack has a first byte.
        let start = unsafe { self.blob.bytes(1) }.as_ptr();
        (0..LINES).for_each(|line| prefetch(start.wrapping_add(64 * line)));
    }

    /// Total bytes, header and end included.
    #[inline(always)]
    pub fn byte_len(&self) -> usize {
        // SAFETY: a listpack is at least EMPTY_BYTES long.
        let head = unsafe { self.blob.bytes(4) };
        u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize
    }

    /// Bytes of memory behind the pointer.
    pub fn memory(&self) -> usize {
        blob::capacity(self.byte_len())
    }

    /// Whether `extra` more bytes of payload keep it below the size that is safe everywhere.
    pub fn safe_to_add(&self, extra: usize) -> bool {
        self.byte_len() + extra <= MAX_SAFE_BYTES
    }

    /// Replaces the `old` bytes at `at` by `new` bytes, and moves what follows.
    /// `at..at + old` must not touch header or end.
    ///
    /// # Safety
    /// The caller fills the slice with whole entries before anything else reads the listpack.
    #[inline]
    unsafe fn make_room(&mut self, at: usize, old: usize, new: usize) -> &mut [MaybeUninit<u8>] {
        let total = self.byte_len();
        assert!(at >= HEADER && at + old < total, "a range of whole entries");
        let after = total - old + new;
        let header = u32::try_from(after).expect("a listpack within 4 GiB").to_le_bytes();
        if new > old {
            // SAFETY: `total` is the blob's length; what is new is moved to or filled below.
            unsafe { self.blob.resize(total, after) };
        }
        let start = self.blob.start();
        let rest = total - (at + old);
        // SAFETY: the blob has max(total, after) bytes here, and both ranges of `rest` bytes, the
        // last of which is the end mark, lie within: one ends at `total`, the other at `after`.
        // The total is in the first four bytes.
        unsafe {
            if rest == 1 {
                start.add(at + new).write(END);
            } else if old != new {
                start.add(at + old).copy_to(start.add(at + new), rest);
            }
            start.cast::<[u8; 4]>().write(header);
        }
        if new < old {
            // SAFETY: the blob's length was `total` up to here, and `after` bytes are written.
            unsafe { self.blob.resize(total, after) };
        }
        // SAFETY: `at + new` is less than the blob's length, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.blob.start().add(at).cast(), new) }
    }

    /// Stores the count, whose two bytes nothing of memory safety depends on.
    #[inline]
    fn set_count(&mut self, count: usize) {
        let count = count.min(UNKNOWN) as u16;
        // SAFETY: a listpack is at least EMPTY_BYTES long, and bytes 4 and 5 are not the total.
        unsafe { self.blob.bytes_mut(HEADER)[4..].copy_from_slice(&count.to_le_bytes()) };
    }
}

/// Reading.
impl Listpack {
    /// The count in the header, unless it has grown beyond it.
    #[inline]
    fn known_count(&self) -> Option<usize> {
        // SAFETY: a listpack is at least EMPTY_BYTES long.
        let head = unsafe { self.blob.bytes(HEADER) };
        let count = usize::from(u16::from_le_bytes([head[4], head[5]]));
        (count != UNKNOWN).then_some(count)
    }

    /// Number of entries; beyond 65534 it walks.
    #[inline]
    pub fn len(&self) -> usize {
        self.known_count().unwrap_or_else(|| self.iter().count())
    }

    /// Whether it has no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.byte_len() == EMPTY_BYTES
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.byte_len() - 1
    }

    #[inline(always)]
    fn pos(&self, at: usize) -> Option<Pos> {
        (at < self.end()).then(|| Pos::new(at))
    }

    /// The first entry's place.
    #[inline]
    pub fn first(&self) -> Option<Pos> {
        self.pos(HEADER)
    }

    /// The last entry's place.
    #[inline]
    pub fn last(&self) -> Option<Pos> {
        (!self.is_empty()).then(|| Pos::new(start_before(self.as_bytes(), self.end())))
    }

    /// The place after `pos`.
    #[inline]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.pos(pos.at() + size_at(self.as_bytes(), pos.at()))
    }

    /// The place before `pos`.
    #[inline]
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        (pos.at() > HEADER).then(|| Pos::new(start_before(self.as_bytes(), pos.at())))
    }

    /// The entry at `pos`.
    #[inline]
    pub fn at(&self, pos: Pos) -> Entry<'_> {
        decode(self.as_bytes(), pos.at()).0
    }

    /// The place of entry number `index`, walking from the nearer end.
    pub fn seek(&self, index: usize) -> Option<Pos> {
        let bytes = self.as_bytes();
        match self.known_count() {
            Some(count) if index >= count => None,
            Some(count) if index > count / 2 => {
                let at = (index..count).fold(self.end(), |at, _| start_before(bytes, at));
                Some(Pos::new(at))
            }
            _ => {
                let end = self.end();
                let mut at = HEADER;
                for _ in 0..index {
                    if at >= end {
                        return None;
                    }
                    at += size_at(bytes, at);
                }
                self.pos(at)
            }
        }
    }

    /// Entry number `index`.
    pub fn get(&self, index: usize) -> Option<Entry<'_>> {
        self.seek(index).map(|pos| self.at(pos))
    }

    /// The first entry equal to `needle` among `from` and every `stride`-th after it: stride 2
    /// looks at a hash's fields alone.
    pub fn find(&self, needle: &[u8], from: Option<Pos>, stride: usize) -> Option<Pos> {
        let bytes = self.as_bytes();
        find_between(bytes, from?.at(), bytes.len() - 1, needle, stride).map(Pos::new)
    }

    /// The first entry equal to `needle`.
    pub fn position_of(&self, needle: &[u8]) -> Option<Pos> {
        self.find(needle, self.first(), 1)
    }

    /// All entries, from either end.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        let bytes = self.as_bytes();
        Iter { bytes, front: HEADER, back: bytes.len() - 1 }
    }

    /// The entries from `pos` on.
    #[inline]
    pub fn iter_from(&self, pos: Pos) -> Iter<'_> {
        let bytes = self.as_bytes();
        Iter { bytes, front: pos.at(), back: bytes.len() - 1 }
    }

    /// The entries up to and including `pos`; reversed, they begin with it.
    pub fn iter_to(&self, pos: Pos) -> Iter<'_> {
        let bytes = self.as_bytes();
        Iter { bytes, front: HEADER, back: pos.at() + size_at(bytes, pos.at()) }
    }

    /// The entries in twos; a lone last one is left out.
    #[inline]
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs { iter: self.iter() }
    }
}

/// Changing.
impl Listpack {
    /// Puts `items` in the place of the `old` bytes at `at`, which are `gone` entries.
    #[inline]
    fn splice(&mut self, at: usize, old: usize, gone: usize, items: &[Encoded<'_>]) {
        let new = items.iter().map(Encoded::size).sum();
        let count = self.known_count();
        // SAFETY: the items take `new` bytes in all, and `write` fills what it is given.
        let mut out = unsafe { self.make_room(at, old, new) };
        for item in items {
            let (here, rest) = out.split_at_mut(item.size());
            item.write(here);
            out = rest;
        }
        if let Some(count) = count
            && gone != items.len()
        {
            self.set_count(count - gone + items.len());
        }
    }

    /// Adds an entry at the end.
    #[inline]
    pub fn push_back<'a>(&mut self, item: impl Into<Entry<'a>>) {
        self.splice(self.end(), 0, 0, &[Encoded::new(item.into())]);
    }

    /// Adds two entries at the end at the price of one.
    pub fn push_pair<'a>(&mut self, first: impl Into<Entry<'a>>, second: impl Into<Entry<'a>>) {
        self.splice(self.end(), 0, 0, &[Encoded::new(first.into()), Encoded::new(second.into())]);
    }

    /// Adds entries at the end, in order, a few at the price of one.
    pub fn push_all<'a>(&mut self, items: impl Iterator<Item = Entry<'a>>) {
        const BATCH: usize = 8;
        let mut items = items.fuse();
        let mut count = BATCH;
        while count == BATCH {
            count = 0;
            let batch: [Encoded<'a>; BATCH] = std::array::from_fn(|_| {
                let item = items.next();
                count += usize::from(item.is_some());
                Encoded::new(item.unwrap_or(Entry::Int(0)))
            });
            self.splice(self.end(), 0, 0, &batch[..count]);
        }
    }

    /// Adds an entry at the front.
    #[inline]
    pub fn push_front<'a>(&mut self, item: impl Into<Entry<'a>>) {
        self.splice(HEADER, 0, 0, &[Encoded::new(item.into())]);
    }

    /// Adds `items`, in order, before `pos` or, without one, at the end, moving the rest once.
    pub fn insert_all<'a, const N: usize>(&mut self, pos: Option<Pos>, items: [Entry<'a>; N]) {
        let at = pos.map_or(self.end(), Pos::at);
        self.splice(at, 0, 0, &items.map(Encoded::new));
    }

    /// Adds an entry before `pos` or, without one, at the end.
    pub fn insert<'a>(&mut self, pos: Option<Pos>, item: impl Into<Entry<'a>>) {
        self.insert_all(pos, [item.into()]);
    }

    /// Puts `item` in the place of the entry at `pos`, which stays its place.
    #[inline]
    pub fn replace<'a>(&mut self, pos: Pos, item: impl Into<Entry<'a>>) {
        let old = size_at(self.as_bytes(), pos.at());
        self.splice(pos.at(), old, 1, &[Encoded::new(item.into())]);
    }

    /// Removes the entry at `pos`; returns where the next one now is.
    pub fn remove(&mut self, pos: Pos) -> Option<Pos> {
        self.remove_many(pos, 1)
    }

    /// Removes up to `count` entries from `pos` on; returns where the one after them now is.
    pub fn remove_many(&mut self, pos: Pos, count: usize) -> Option<Pos> {
        let start = pos.at();
        let end = self.end();
        let mut stop = start;
        let mut gone = 0;
        while gone < count && stop < end {
            stop += size_at(self.as_bytes(), stop);
            gone += 1;
        }
        self.splice(start, stop - start, gone, &[]);
        self.pos(start)
    }

    /// Removes up to `count` entries from number `index` on; returns how many were removed.
    pub fn remove_range(&mut self, index: usize, count: usize) -> usize {
        let Some(pos) = self.seek(index) else { return 0 };
        let len = self.len();
        if count >= len - index {
            let (start, end) = (pos.at(), self.end());
            self.splice(start, end - start, len - index, &[]);
            self.recount(index);
            return len - index;
        }
        self.remove_many(pos, count);
        count
    }

    /// Notes a count just learnt, where the header had given up counting.
    fn recount(&mut self, count: usize) {
        if self.known_count().is_none() {
            self.set_count(count);
        }
    }

    /// Removes groups of `stride` entries for which `keep`, given the group's first place, says no;
    /// one pass, however many go.
    pub fn retain(&mut self, stride: usize, mut keep: impl FnMut(&Listpack, Pos) -> bool) {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let mut gone = 0;
        let end = self.end();
        let mut at = HEADER;
        while at < end {
            let start = at;
            let mut entries = 0;
            while entries < stride && at < end {
                at += size_at(self.as_bytes(), at);
                entries += 1;
            }
            if keep(self, Pos::new(start)) {
                continue;
            }
            gone += entries;
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = at,
                _ => ranges.push((start, at)),
            }
        }
        self.remove_ranges(&ranges, gone);
    }

    /// Removes up to `limit` entries equal to `needle`, the first ones or, from the `back`, the
    /// last; returns how many were removed.
    pub fn remove_equal(&mut self, needle: &[u8], limit: usize, back: bool) -> usize {
        let needle = Needle::new(needle);
        let total = self.iter().filter(|&entry| needle.is(entry)).count();
        let goners = total.min(limit);
        let first = if back { total - goners } else { 0 };
        let mut seen = 0;
        if goners > 0 {
            self.retain(1, |listpack, pos| {
                let hit = needle.is(listpack.at(pos));
                seen += usize::from(hit);
                !hit || !(first + 1..=first + goners).contains(&seen)
            });
        }
        goners
    }

    /// Removes byte ranges of whole entries, ascending and apart, `gone` entries in all.
    fn remove_ranges(&mut self, ranges: &[(usize, usize)], gone: usize) {
        let Some(&(first, _)) = ranges.first() else { return };
        let end = self.end();
        let count = self.known_count();
        let total = self.byte_len();
        // SAFETY: `total` is the blob's length. The loop moves bytes behind the header only.
        let bytes = unsafe { self.blob.bytes_mut(total) };
        let mut to = first;
        for (i, &(_, from)) in ranges.iter().enumerate() {
            let stop = ranges.get(i + 1).map_or(end, |next| next.0);
            bytes.copy_within(from..stop, to);
            to += stop - from;
        }
        // SAFETY: there is nothing to fill.
        unsafe { self.make_room(to, end - to, 0) };
        if let Some(count) = count {
            self.set_count(count - gone);
        }
    }

    /// Adds the entries of `other` at the end.
    pub fn append(&mut self, other: &Listpack) {
        let at = self.end();
        self.graft(at, other);
    }

    fn graft(&mut self, at: usize, other: &Listpack) {
        let count = self.known_count().zip(other.known_count());
        let body = &other.as_bytes()[HEADER..other.end()];
        // SAFETY: it is filled with the other's entries.
        unsafe { self.make_room(at, 0, body.len()).write_copy_of_slice(body) };
        self.set_count(count.map_or(UNKNOWN, |(mine, theirs)| mine + theirs));
    }

    /// Cuts off and returns the first entries, at least one and about `bytes` bytes of them. Of two or more the
    /// last one stays, however much the others leave room for.
    pub fn split_front(&mut self, bytes: usize) -> Listpack {
        let mut front = Listpack::new();
        let (mut at, mut gone) = (HEADER, 0);
        let end = self.end();
        while at < end && (gone == 0 || at < bytes) {
            let next = at + size_at(self.as_bytes(), at);
            if next == end && gone > 0 {
                break;
            }
            at = next;
            gone += 1;
        }
        let body = &self.as_bytes()[HEADER..at];
        // SAFETY: it is filled with this one's entries.
        unsafe { front.make_room(HEADER, 0, body.len()).write_copy_of_slice(body) };
        front.set_count(gone);
        self.splice(HEADER, at - HEADER, gone, &[]);
        front
    }

    /// Keeps the entries before number `index` and returns the others.
    pub fn split_off(&mut self, index: usize) -> Listpack {
        let mut tail = Listpack::new();
        let Some(pos) = self.seek(index) else { return tail };
        let len = self.len();
        let body = &self.as_bytes()[pos.at()..self.end()];
        // SAFETY: it is filled with this one's entries.
        unsafe { tail.make_room(HEADER, 0, body.len()).write_copy_of_slice(body) };
        tail.set_count(len - index);
        self.remove_range(index, len - index);
        tail
    }

    /// Panics unless the bytes are a well-formed listpack (for tests).
    pub fn check_invariants(&self) {
        Listpack::from_bytes(self.as_bytes()).expect("a well-formed listpack");
    }
}

impl<'a> FromIterator<Entry<'a>> for Listpack {
    fn from_iter<I: IntoIterator<Item = Entry<'a>>>(entries: I) -> Self {
        let mut listpack = Listpack::new();
        entries.into_iter().for_each(|entry| listpack.push_back(entry));
        listpack
    }
}

/// Entries in order; see `Listpack::iter`.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Entry<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (entry, size) = decode(self.bytes, self.front);
        self.front += size;
        Some(entry)
    }

    #[inline]
    fn nth(&mut self, skip: usize) -> Option<Entry<'a>> {
        for _ in 0..skip {
            if self.front >= self.back {
                return None;
            }
            self.front += size_at(self.bytes, self.front);
        }
        self.next()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        self.back = start_before(self.bytes, self.back);
        Some(decode(self.bytes, self.back).0)
    }
}

impl<'a> Iter<'a> {
    /// The place of the entry that `next` will return.
    pub fn pos(&self) -> Option<Pos> {
        (self.front < self.back).then(|| Pos::new(self.front))
    }
}

/// Entries in twos; see `Listpack::pairs`.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    iter: Iter<'a>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Entry<'a>, Entry<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.iter.next()?, self.iter.next()?))
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let second = self.iter.next_back()?;
        Some((self.iter.next_back()?, second))
    }
}

/// Takes `data` as a foreign listpack and goes through it in every way; nothing may panic or read beyond it.
pub fn fuzz_listpack(data: &[u8]) {
    let Ok(mut listpack) = Listpack::from_bytes(data) else { return };
    let forward: Vec<Vec<u8>> = listpack.iter().map(Entry::to_vec).collect();
    let mut backward: Vec<Vec<u8>> = listpack.iter().rev().map(Entry::to_vec).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(listpack.len(), forward.len());
    for (index, item) in forward.iter().enumerate().take(20) {
        let found = listpack.position_of(item).expect("an item that is there");
        assert_eq!(listpack.at(found).to_vec(), *item);
        assert_eq!(listpack.get(index).map(Entry::to_vec).as_ref(), Some(item));
    }
    if let Some(last) = listpack.last() {
        listpack.replace(last, &b"another"[..]);
        listpack.push_front(7);
        listpack.remove_range(1, 2);
        listpack.check_invariants();
    }
}
