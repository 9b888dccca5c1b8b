//! Handle table: an extendible hash table of 32-bit handles, which never rehashes everything at once.
//!
//! ```text
//! directory[top bits of the hash] → segment { lines, len, depth }
//! segment    2 stash lines │ pairs of lines, at most 31: one segment is at most 4 KiB
//! line, 64 B tags [u8; 12] · displaced u8 · 3 spare │ handles [u32; 12]
//! ```
//!
//! The top 48 bits of a hash choose the segment and in it the pair, both in order, so pairs one
//! after the other are elements in hash order whatever the segment's size: that is what makes
//! [`HandleTable::scan`] exact. The low bits choose the home line of the pair and the tag. An
//! element whose home is full goes to the other line of its pair, then to the stash; the home
//! line counts those it sent away. A full segment grows up to 4 KiB, then splits in two: some
//! hundreds of elements are hashed again, never all of them. Segments that emptied merge.
//!
//! What a handle stands for is the caller's business: functions are given that hash and compare.

use crate::structures::member_arena::Handle;
use crate::structures::slots::Slots;

const SLOTS: usize = 12;
const STASH_LINES: usize = 2;
/// Pairs of lines in a segment of each size; the sizes are 256, 512, ... 4096 bytes.
const MAX_PAIRS: usize = 31;
/// Where a line counts the elements that it sent away.
const DISPLACED: usize = SLOTS;
/// Bits of the hash that order elements; also those of a scan cursor.
pub const ORDER_BITS: u32 = 48;
const MAX_DEPTH: u8 = 26;
const EMPTY_TAG: u8 = 0;

/// The owner of the elements that the handles stand for.
pub trait HashOf {
    /// The hash of what the handle stands for.
    fn hash(&self, handle: Handle) -> u64;
    /// Starts loading it, for it will be hashed soon.
    fn fetch(&self, _handle: Handle) {}
}

impl<F: Fn(Handle) -> u64> HashOf for F {
    fn hash(&self, handle: Handle) -> u64 {
        self(handle)
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Line {
    /// Tags of the slots, `EMPTY_TAG` for none; then the displaced count and spare bytes.
    head: [u8; 16],
    handles: [Handle; SLOTS],
}

const EMPTY_LINE: Line = Line { head: [0; 16], handles: [0; SLOTS] };
const _: () = assert!(size_of::<Line>() == 64);
const _: () = assert!((STASH_LINES + 2 * MAX_PAIRS) * size_of::<Line>() == 4096);

impl Line {
    /// The slots with this tag: bit 7 of byte i for slot i.
    #[inline(always)]
    fn matches(&self, tag: u8) -> u128 {
        const LOW: u128 = u128::from_ne_bytes([0x7f; 16]);
        const SLOT_BYTES: u128 = (1 << (8 * SLOTS)) - 1;
        let x = u128::from_le_bytes(self.head) ^ u128::from_ne_bytes([tag; 16]);
        !(((x & LOW) + LOW) | x | LOW) & SLOT_BYTES
    }

    /// The slot with this tag whose handle `is_it`.
    #[inline(always)]
    fn find(&self, tag: u8, is_it: &mut impl FnMut(Handle) -> bool) -> Option<usize> {
        let mut found = self.matches(tag);
        while found != 0 {
            let slot = found.trailing_zeros() as usize / 8;
            if is_it(self.handles[slot]) {
                return Some(slot);
            }
            found &= found - 1;
        }
        None
    }

    /// Puts the handle into a free slot, if there is one.
    #[inline]
    fn put(&mut self, tag: u8, handle: Handle) -> bool {
        let free = self.matches(EMPTY_TAG);
        if free == 0 {
            return false;
        }
        let slot = free.trailing_zeros() as usize / 8;
        self.head[slot] = tag;
        self.handles[slot] = handle;
        true
    }

    fn each(&self) -> impl Iterator<Item = Handle> + '_ {
        (0..SLOTS).filter(|&slot| self.head[slot] != EMPTY_TAG).map(|slot| self.handles[slot])
    }
}

#[derive(Clone, Debug, Default)]
struct Segment {
    lines: Box<[Line]>,
    len: u32,
    /// Top bits of the hash that all elements here share.
    depth: u8,
}

/// Where in a segment an element belongs.
#[derive(Clone, Copy)]
struct Place {
    home: usize,
    tag: u8,
}

impl Segment {
    fn new(pairs: usize, depth: u8) -> Self {
        Segment { lines: vec![EMPTY_LINE; STASH_LINES + 2 * pairs].into_boxed_slice(), len: 0, depth }
    }

    fn pairs(&self) -> usize {
        (self.lines.len() - STASH_LINES) / 2
    }

    fn capacity(&self) -> usize {
        self.pairs() * 2 * SLOTS
    }

    /// The order bits below those the segment's elements share, moved to the top of 48.
    #[inline(always)]
    fn rest(&self, hash: u64) -> u64 {
        ((hash >> (64 - ORDER_BITS)) << self.depth) & ((1 << ORDER_BITS) - 1)
    }

    #[inline(always)]
    fn pair(&self, hash: u64) -> usize {
        ((u128::from(self.rest(hash)) * self.pairs() as u128) >> ORDER_BITS) as usize
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> Place {
        let side = (hash >> 8) as usize & 1;
        Place { home: STASH_LINES + 2 * self.pair(hash) + side, tag: (hash as u8).max(1) }
    }

    /// Line and slot of the element for which `is_it` says so.
    #[inline(always)]
    fn find(&self, place: Place, is_it: &mut impl FnMut(Handle) -> bool) -> Option<(usize, usize)> {
        let home = &self.lines[place.home];
        if let Some(slot) = home.find(place.tag, is_it) {
            return Some((place.home, slot));
        }
        if home.head[DISPLACED] == 0 {
            return None;
        }
        [place.home ^ 1, 0, 1]
            .into_iter()
            .find_map(|line| Some((line, self.lines[line].find(place.tag, is_it)?)))
    }

    /// Stores the handle unless home, its neighbour and the stash are full.
    fn put(&mut self, hash: u64, handle: Handle) -> bool {
        let place = self.place(hash);
        if !self.lines[place.home].put(place.tag, handle) {
            let elsewhere = [place.home ^ 1, 0, 1];
            if !elsewhere.into_iter().any(|line| self.lines[line].put(place.tag, handle)) {
                return false;
            }
            self.lines[place.home].head[DISPLACED] += 1;
        }
        self.len += 1;
        true
    }

    fn remove(&mut self, place: Place, line: usize, slot: usize) -> Handle {
        if line != place.home {
            self.lines[place.home].head[DISPLACED] -= 1;
        }
        self.lines[line].head[slot] = EMPTY_TAG;
        self.len -= 1;
        self.lines[line].handles[slot]
    }

    fn each(&self) -> impl Iterator<Item = Handle> + '_ {
        self.lines.iter().flat_map(Line::each)
    }

    /// All elements with their hashes, loaded ahead: they lie all over the memory.
    fn hashed<'a>(&'a self, hash_of: &'a impl HashOf) -> impl Iterator<Item = (u64, Handle)> + 'a {
        const PREFETCH_KEYS: usize = 16;
        let mut coming = self.each();
        coming.by_ref().take(PREFETCH_KEYS).for_each(|handle| hash_of.fetch(handle));
        self.each().map(move |handle| {
            coming.next().into_iter().for_each(|handle| hash_of.fetch(handle));
            (hash_of.hash(handle), handle)
        })
    }
}

/// The table; see the module.
#[derive(Clone, Debug)]
pub struct HandleTable {
    directory: Vec<u32>,
    segments: Slots<Segment>,
    /// Elements for which no segment had room. It takes dozens of equal hashes to have any.
    spill: Vec<Handle>,
    len: usize,
    /// `directory` has this many bits.
    depth: u8,
    /// Segments as deep as the directory: without any, it is halved.
    deepest: u32,
}

impl Default for HandleTable {
    fn default() -> Self {
        Self::new()
    }
}

impl HandleTable {
    /// A table without elements.
    pub fn new() -> Self {
        HandleTable {
            directory: vec![0],
            segments: Slots::from(vec![Segment::new(1, 0)]),
            spill: Vec::new(),
            len: 0,
            depth: 0,
            deepest: 1,
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    fn segment_number(&self, hash: u64) -> usize {
        self.directory[((hash >> (64 - ORDER_BITS)) >> (ORDER_BITS - u32::from(self.depth))) as usize]
            as usize
    }

    /// The element of this hash for which `is_it` says so.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(Handle) -> bool) -> Option<Handle> {
        let segment = &self.segments[self.segment_number(hash)];
        if let Some((line, slot)) = segment.find(segment.place(hash), &mut is_it) {
            return Some(segment.lines[line].handles[slot]);
        }
        self.spill.iter().copied().find(|&handle| is_it(handle))
    }

    /// Adds an element that is not there yet. `hash_of` hashes those that have to move.
    pub fn insert(&mut self, hash: u64, handle: Handle, hash_of: impl HashOf) {
        self.len += 1;
        let mut number = self.segment_number(hash);
        if self.segments[number].put(hash, handle) {
            return;
        }
        while self.make_room(number, &hash_of) {
            number = self.segment_number(hash);
            if self.segments[number].put(hash, handle) {
                return;
            }
        }
        self.spill.push(handle);
    }

    /// Takes out the element of this hash for which `is_it` says so.
    pub fn remove(
        &mut self,
        hash: u64,
        mut is_it: impl FnMut(Handle) -> bool,
        hash_of: impl HashOf,
    ) -> Option<Handle> {
        let number = self.segment_number(hash);
        let segment = &mut self.segments[number];
        let place = segment.place(hash);
        let Some((line, slot)) = segment.find(place, &mut is_it) else {
            let at = self.spill.iter().position(|&handle| is_it(handle))?;
            self.len -= 1;
            return Some(self.spill.swap_remove(at));
        };
        let handle = segment.remove(place, line, slot);
        self.len -= 1;
        if segment.len as usize * 5 < segment.capacity() {
            self.shrink(number, hash, &hash_of);
        }
        Some(handle)
    }

    /// One step of a scan in hash order: gives `visit` the elements from `cursor` on, at least
    /// `count` if there are as many, and returns the cursor to go on from, 0 at the end. An
    /// element that is there from a scan's start to its end is visited exactly once.
    pub fn scan(
        &self,
        cursor: u64,
        count: usize,
        hash_of: impl HashOf,
        mut visit: impl FnMut(Handle),
    ) -> u64 {
        let end = 1u64 << ORDER_BITS;
        let (mut from, mut visited) = (cursor, 0);
        while from < end && visited < count {
            let hash = from << (64 - ORDER_BITS);
            let segment = &self.segments[self.segment_number(hash)];
            let pair = segment.pair(hash);
            let to = Self::pair_end(segment, from, pair);
            let mut offer = |handle: Handle| {
                let order = hash_of.hash(handle) >> (64 - ORDER_BITS);
                if order >= from && order < to {
                    visit(handle);
                    visited += 1;
                }
            };
            for line in [STASH_LINES + 2 * pair, STASH_LINES + 2 * pair + 1, 0, 1] {
                segment.lines[line].each().for_each(&mut offer);
            }
            self.spill.iter().copied().for_each(&mut offer);
            from = to;
        }
        if from >= end { 0 } else { from }
    }

    /// The first cursor behind a pair, given one inside of it.
    fn pair_end(segment: &Segment, inside: u64, pair: usize) -> u64 {
        let span = ORDER_BITS - u32::from(segment.depth);
        let base = inside >> span << span;
        let pairs = segment.pairs() as u64;
        let edge = ((pair as u64 + 1) << ORDER_BITS).div_ceil(pairs);
        base + edge.div_ceil(1 << segment.depth)
    }

    /// Bytes allocated.
    pub fn memory_usage(&self) -> usize {
        let lines: usize = self.segments.iter().map(|segment| segment.lines.len()).sum();
        lines * size_of::<Line>()
            + self.segments.memory_usage()
            + (self.directory.capacity() + self.spill.capacity()) * 4
    }

    /// Frees up to `segments` segments with all that is in them; true when none is left. Only for a
    /// table that is not used any more.
    pub fn free_some(&mut self, segments: usize) -> bool {
        self.segments.free_some(segments)
    }

    /// Gives the segment a better shape: tidied, larger, or split. False if nothing helps.
    fn make_room(&mut self, number: usize, hash_of: &impl HashOf) -> bool {
        let segment = &self.segments[number];
        let (pairs, depth) = (segment.pairs(), segment.depth);
        let stashed = self.segments[number].lines[..STASH_LINES].iter().flat_map(Line::each).count();
        // Churn leaves elements in the stash whose own lines have room again.
        if segment.len as usize * 4 < segment.capacity() * 3 {
            self.rebuild(number, pairs, hash_of);
            let left = self.segments[number].lines[..STASH_LINES].iter().flat_map(Line::each).count();
            if left < stashed {
                return true;
            }
        }
        if pairs < MAX_PAIRS {
            self.rebuild(number, pairs * 2 + 1, hash_of);
            return true;
        }
        // Deeper than this only for hashes that are all alike, which no split can part.
        if depth >= MAX_DEPTH || 1usize << depth > 64 + self.len / 16 {
            return false;
        }
        self.split(number, hash_of);
        true
    }

    /// Distributes a segment's elements over new lines.
    fn rebuild(&mut self, number: usize, pairs: usize, hash_of: &impl HashOf) {
        let depth = self.segments[number].depth;
        let old = std::mem::replace(&mut self.segments[number], Segment::new(pairs, depth));
        for (hash, handle) in old.hashed(hash_of) {
            self.place(number, hash, handle);
        }
    }

    fn place(&mut self, number: usize, hash: u64, handle: Handle) {
        if !self.segments[number].put(hash, handle) {
            self.spill.push(handle);
        }
    }

    fn split(&mut self, number: usize, hash_of: &impl HashOf) {
        let depth = self.segments[number].depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment, segment]).collect();
            self.depth += 1;
            self.deepest = 0;
        }
        if depth == self.depth {
            self.deepest += 2;
        }
        let old = std::mem::replace(&mut self.segments[number], Segment::new(MAX_PAIRS, depth));
        let upper = self.segments.insert(Segment::new(MAX_PAIRS, depth));
        let mut first = None;
        for (hash, handle) in old.hashed(hash_of) {
            first.get_or_insert(hash);
            let is_upper = hash >> (64 - u32::from(depth)) & 1 == 1;
            self.place(if is_upper { upper as usize } else { number }, hash, handle);
        }
        let hash = first.expect("a full segment has elements");
        let span = 1usize << (self.depth - depth);
        let start = ((hash >> (64 - u32::from(depth))) as usize | 1) * span;
        self.directory[start..start + span].fill(upper);
    }

    /// Makes a thin segment smaller or one with its neighbour. `hash` is of an element of it.
    fn shrink(&mut self, number: usize, hash: u64, hash_of: &impl HashOf) {
        let (depth, len) = (self.segments[number].depth, self.segments[number].len as usize);
        if depth == 0 {
            let pairs = self.segments[number].pairs();
            if pairs > 1 && len * 5 < self.segments[number].capacity() {
                self.rebuild(number, pairs / 2, hash_of);
            }
            return;
        }
        let prefix = (hash >> (64 - u32::from(depth))) as usize;
        let span = 1usize << (self.depth - depth);
        let buddy = self.directory[(prefix ^ 1) * span] as usize;
        let other = &self.segments[buddy];
        if other.depth != depth || (other.len as usize + len) * 2 > other.capacity() {
            return;
        }
        let absorbed = self.segments.remove(buddy as u32);
        self.directory[(prefix ^ 1) * span..][..span].fill(number as u32);
        self.segments[number].depth = depth - 1;
        self.rebuild(number, MAX_PAIRS, hash_of);
        for (hash, handle) in absorbed.hashed(hash_of) {
            self.place(number, hash, handle);
        }
        if depth == self.depth {
            self.deepest -= 2;
            self.halve_directory();
        }
    }

    fn halve_directory(&mut self) {
        while self.deepest == 0 && self.depth > 0 {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.depth -= 1;
            let depth = self.depth;
            let is_deepest = |segment: &&Segment| !segment.lines.is_empty() && segment.depth == depth;
            self.deepest = self.segments.iter().filter(is_deepest).count() as u32;
        }
    }

    /// Panics unless the structure is sound.
    #[cfg(test)]
    pub fn check_invariants(&self, hash_of: impl Fn(Handle) -> u64) {
        assert_eq!(self.directory.len(), 1 << self.depth);
        let mut len = self.spill.len();
        let mut at = 0;
        let mut deepest = 0;
        while at < self.directory.len() {
            let number = self.directory[at] as usize;
            let segment = &self.segments[number];
            let span = 1usize << (self.depth - segment.depth);
            assert_eq!(at % span, 0);
            assert!(self.directory[at..at + span].iter().all(|&other| other as usize == number));
            deepest += u32::from(span == 1);
            let mut displaced = vec![0u32; segment.lines.len()];
            for (line, slots) in segment.lines.iter().enumerate() {
                for handle in slots.each() {
                    let hash = hash_of(handle);
                    assert_eq!(self.segment_number(hash), number);
                    let home = segment.place(hash).home;
                    assert!(line < STASH_LINES || line / 2 == home / 2);
                    displaced[home] += u32::from(line != home);
                }
            }
            for (line, slots) in segment.lines.iter().enumerate() {
                assert_eq!(u32::from(slots.head[DISPLACED]), displaced[line]);
            }
            assert_eq!(segment.each().count(), segment.len as usize);
            len += segment.len as usize;
            at += span;
        }
        assert_eq!(deepest, self.deepest);
        assert_eq!(len, self.len);
    }
}

#[cfg(test)]
#[path = "handle_table_tests.rs"]
mod tests;
