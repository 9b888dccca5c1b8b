//! Segments: up to 280 entries of neighbouring hashes, and the arena in which their bytes lie.
//!
//! ```text
//! segment, 1024 bytes:  | head, two lines, with the arena's chunks | bucket 0, a line | … | bucket 13 |
//! arena:                | entry | entry | garbage | … ¦ entry | … ¦ entry | free |     ¦ between chunks
//! ```
//!
//! The bucket is picked by the hash bits that follow the directory's, scaled to 14, so buckets in order
//! are hashes in order. An entry whose bucket is full goes to the next with room, wrapping around.
//! When no more hash bits can part the entries of a full segment, further segments are chained to it.
//!
//! Offsets count through the chunks of the arena, which are all of the same size; no entry crosses from one to the next.
//! A segment moves entries, but neither hashes keys nor frees what entries own.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use super::bucket::{Bucket, SLOTS};
use super::entry::{ENTRY_MAX, Raw};
use super::pool::{ChunkRef, Pool, SEGMENT_SHIFT, SHIFT_MAX, SHIFT_MIN};
use crate::structures::prefetch::prefetch;

pub(super) const BUCKETS: usize = 14;
/// Entries a segment can hold.
pub(super) const CAPACITY: usize = BUCKETS * SLOTS;
/// Chunks an arena can have.
const CHUNKS: usize = 22;
/// Marks the owner of a chunk that is a segment, not a part of its arena.
pub(super) const IS_SEGMENT: u32 = 1 << 31;
/// `earliest` when no entry has a deadline.
pub(super) const NEVER: u64 = u64::MAX;
/// Buckets are picked by this many bits of the hash, after the directory's.
pub(super) const FRACTION_BITS: u32 = 16;
/// Less garbage than this is not worth compacting after removals.
const GARBAGE_MIN: usize = 1024;

#[repr(C, align(64))]
pub(super) struct Segment {
    /// The next segment of a chain; see `chained`.
    next: *mut Segment,
    /// No entry's deadline is earlier; kept by the first segment for all of a chain.
    pub earliest: u64,
    /// The first 32 bits of every hash in here; only `depth` of them are not 0.
    prefix: u32,
    /// The place in the table's list of segments.
    pub index: u32,
    /// The chunk that this segment is.
    place: ChunkRef,
    /// The arena's chunks from the end on: the first thirteen and all that follows share a cache line, which is what
    /// lookups and most changes need of the head.
    refs: [ChunkRef; CHUNKS],
    pub count: u16,
    /// Where the arena's free part begins, and how much before it is garbage, in units of two bytes.
    used: u16,
    garbage: u16,
    /// The arena has so many chunks, of `1 << shift` bytes.
    chunks: u8,
    shift: u8,
    /// Whether there is a next segment.
    chained: bool,
    pub depth: u8,
    /// No entry lies further than this many buckets from its home.
    max_probe: u8,
    /// That of the table when the marks were made: otherwise they are those of a snapshot that was cancelled, and mean nothing.
    pub epoch: u8,
    buckets: [Bucket; BUCKETS],
}

const _: () = assert!(size_of::<Segment>() == 1 << SEGMENT_SHIFT);
const _: () = assert!(std::mem::offset_of!(Segment, buckets) == HEAD_SIZE);
const _: () = assert!(std::mem::offset_of!(Segment, count) == HEAD_LINE + 13 * size_of::<ChunkRef>());
pub(super) const HEAD_SIZE: usize = 128;
/// The line of the head that lookups need.
pub(super) const HEAD_LINE: usize = 64;

/// How many chunks an arena may have, so that 16 bits can count its units.
const fn chunks_max(shift: u32) -> usize {
    let limit = (1 << 17 >> shift) - 1;
    if limit < CHUNKS { limit } else { CHUNKS }
}

/// Entries that take no more than this always fit one arena, however they fall.
const ARENA_SAFE: usize = chunks_max(SHIFT_MAX) * ((1 << SHIFT_MAX) - ENTRY_MAX);
/// Beyond this a segment does not grow.
const ARENA_FULL: usize = ARENA_SAFE / 8 * 7;

#[inline(always)]
pub(super) fn tag_of(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag == 0 { 1 } else { tag }
}

/// The bucket an entry belongs to, in a segment of `depth`.
#[inline(always)]
pub(super) fn home_bucket_of(hash: u64, depth: u32) -> usize {
    let fraction = (hash << depth) >> (64 - FRACTION_BITS);
    ((fraction * BUCKETS as u64) >> FRACTION_BITS) as usize
}

/// The first hash behind bucket `home_bucket` of the segment that covers `prefix` at `depth`; 0 behind the last hash of all.
pub(super) fn end_of_bucket(prefix: u64, home_bucket: usize, depth: u32) -> u64 {
    let fraction = ((home_bucket as u64 + 1) << FRACTION_BITS).div_ceil(BUCKETS as u64);
    prefix.wrapping_add(fraction << (64 - FRACTION_BITS - depth))
}

#[inline(always)]
pub(super) fn after(bucket: usize) -> usize {
    if bucket + 1 == BUCKETS { 0 } else { bucket + 1 }
}

/// The chunk size for `count` entries of `live` bytes which may become twice as many.
fn shift_for(live: usize, count: usize) -> u32 {
    let entry = live / count.max(1);
    (SHIFT_MIN..SHIFT_MAX)
        .find(|&shift| chunks_max(shift) << shift >= live * 9 / 4 && 1 << shift >= entry * 8)
        .unwrap_or(SHIFT_MAX)
}

impl Segment {
    pub const fn empty(prefix: u64, depth: u8, index: u32, place: ChunkRef) -> Segment {
        Segment {
            next: ptr::null_mut(),
            earliest: NEVER,
            prefix: (prefix >> 32) as u32,
            index,
            place,
            refs: [0; CHUNKS],
            count: 0,
            used: 0,
            garbage: 0,
            chunks: 0,
            shift: SHIFT_MIN as u8,
            chained: false,
            depth,
            max_probe: 0,
            epoch: 0,
            buckets: [Bucket::EMPTY; BUCKETS],
        }
    }

    /// What a lookup passes through on its way to the level of a slot: every bucket sends it on, no entry comes in.
    pub const fn fork() -> Segment {
        let mut segment = Segment::empty(0, 0, 0, 0);
        segment.buckets = [Bucket::PASSED_BY; BUCKETS];
        segment.count = CAPACITY as u16;
        segment.chained = true;
        segment
    }

    /// Whether it is such a one.
    #[inline(always)]
    pub fn is_fork(&self) -> bool {
        self.chained && self.next.is_null()
    }

    pub fn allocate(pool: &mut Pool, prefix: u64, depth: u32, index: u32) -> NonNull<Segment> {
        let place = pool.allocate_segment(index | IS_SEGMENT);
        let segment = pool.address(place, SEGMENT_SHIFT).cast::<Segment>();
        // SAFETY: the chunk has a segment's size and alignment, and is ours.
        unsafe {
            segment.write(Segment::empty(prefix, depth as u8, index, place));
            NonNull::new_unchecked(segment)
        }
    }

    /// Whether a lookup that finds nothing in here has to go on.
    #[inline(always)]
    pub fn is_chained(&self) -> bool {
        self.chained
    }

    /// The next segment of a chain.
    #[inline(always)]
    pub fn next(&self) -> Option<NonNull<Segment>> {
        if self.chained { NonNull::new(self.next) } else { None }
    }

    pub fn set_next(&mut self, next: Option<NonNull<Segment>>) {
        self.chained = next.is_some();
        self.next = next.map_or(ptr::null_mut(), NonNull::as_ptr);
    }

    /// Frees a segment and its arena; what the entries own is the caller's affair.
    ///
    /// # Safety
    /// `segment` came from [`Self::allocate`] of this pool, and nothing refers to it any more.
    pub unsafe fn free(mut segment: NonNull<Segment>, pool: &mut Pool) {
        // SAFETY: the caller holds the last pointer to it.
        let segment = unsafe { segment.as_mut() };
        segment.release_arena(pool);
        pool.free(segment.place);
    }

    /// Copies a segment to another chunk and frees the old; answers the new address.
    ///
    /// # Safety
    /// `segment` came from [`Self::allocate`] of this pool; the caller corrects all that refers to it.
    pub unsafe fn relocate(segment: NonNull<Segment>, pool: &mut Pool) -> NonNull<Segment> {
        // SAFETY: the segment is alive, and the new chunk is ours.
        unsafe {
            let old = segment.as_ref();
            let mut new = Segment::allocate(pool, 0, 0, old.index);
            let place = std::mem::replace(&mut new.as_mut().place, 0);
            ptr::copy_nonoverlapping(segment.as_ptr(), new.as_ptr(), 1);
            pool.free(old.place);
            new.as_mut().place = place;
            new
        }
    }

    /// Changes the segment's number in the list, with its chunks' owner.
    pub fn renumber(&mut self, index: u32, pool: &mut Pool) {
        self.index = index;
        pool.set_owner(self.place, index | IS_SEGMENT);
        for chunk in 0..usize::from(self.chunks) {
            pool.set_owner(self.refs[CHUNKS - 1 - chunk], index);
        }
    }

    fn release_arena(&mut self, pool: &mut Pool) {
        for chunk in 0..usize::from(self.chunks) {
            pool.free(self.refs[CHUNKS - 1 - chunk]);
        }
        (self.chunks, self.used, self.garbage) = (0, 0, 0);
    }

    /// Copies a chunk of the arena to another and frees the old.
    pub fn relocate_chunk(&mut self, chunk: ChunkRef, pool: &mut Pool) {
        let shift = u32::from(self.shift);
        let first = CHUNKS - usize::from(self.chunks);
        let own = self.refs[first..].iter_mut().find(|own| **own == chunk).expect("the pool knows owners");
        let new = pool.allocate(shift, self.index);
        // SAFETY: both are chunks of this size, in use and different.
        unsafe { ptr::copy_nonoverlapping(pool.address(chunk, shift), pool.address(new, shift), 1 << shift) };
        *own = new;
        pool.free(chunk);
    }

    /// The first bits of every hash in here, `depth` of them, left-aligned.
    #[inline(always)]
    pub fn prefix(&self) -> u64 {
        u64::from(self.prefix) << 32
    }

    #[inline(always)]
    pub fn bucket(&self, bucket: usize) -> &Bucket {
        &self.buckets[bucket]
    }

    /// Bytes of the arena before its free part that are not garbage.
    pub fn live(&self) -> usize {
        usize::from(self.used - self.garbage) * 2
    }

    fn chunk_size(&self) -> usize {
        1 << self.shift
    }

    /// The address of an offset as buckets have it.
    #[inline(always)]
    pub fn address(&self, offset: u16, pool: &Pool) -> *mut u8 {
        let (at, shift) = (usize::from(offset) * 2, u32::from(self.shift));
        debug_assert!(at >> shift < usize::from(self.chunks));
        // SAFETY: offsets are below `chunks << shift`, and there are no more than `CHUNKS`.
        let chunk = unsafe { *self.refs.get_unchecked((CHUNKS - 1).wrapping_sub(at >> shift)) };
        pool.address(chunk, shift).wrapping_add(at & ((1 << shift) - 1))
    }

    /// The address of an occupied slot's entry. Slots are numbered through the segment.
    #[inline(always)]
    pub fn entry(&self, slot: usize, pool: &Pool) -> *mut u8 {
        self.address(self.buckets[slot / SLOTS].offsets[slot % SLOTS], pool)
    }

    /// Looks for `key` among the entries of bucket `home_bucket`; answers its slot and address.
    #[inline(always)]
    pub fn find<const CLOCK: bool>(
        &self,
        home_bucket: usize,
        tag: u8,
        key: &[u8],
        pool: &Pool,
    ) -> Option<(usize, *mut u8)> {
        // SAFETY: a home is below `BUCKETS` by its computation.
        let bucket = unsafe { self.buckets.get_unchecked(home_bucket) };
        if let Some(slot) = self.find_in::<CLOCK>(bucket, tag, key, pool) {
            return Some((home_bucket * SLOTS + slot.0, slot.1));
        }
        if bucket.overflow() == 0 { None } else { self.find_displaced::<CLOCK>(home_bucket, tag, key, pool) }
    }

    /// The address of the first entry that bears `tag`, where one of bucket `home_bucket` may be.
    #[inline(always)]
    pub fn first_match(&self, home_bucket: usize, tag: u8, pool: &Pool) -> Option<*mut u8> {
        let max_probe = if self.bucket(home_bucket).overflow() == 0 { 0 } else { self.max_probe };
        let mut bucket = home_bucket;
        for _ in 0..=max_probe {
            let mask = self.bucket(bucket).matches(tag);
            if mask != 0 {
                let slot = mask.trailing_zeros() as usize;
                return Some(self.address(self.bucket(bucket).offsets[slot], pool));
            }
            bucket = after(bucket);
        }
        None
    }

    #[inline(always)]
    fn find_in<const CLOCK: bool>(
        &self,
        bucket: &Bucket,
        tag: u8,
        key: &[u8],
        pool: &Pool,
    ) -> Option<(usize, *mut u8)> {
        let mut mask = bucket.matches(tag);
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize;
            // SAFETY: the mask has no bits from `SLOTS` on.
            let entry = self.address(unsafe { *bucket.offsets.get_unchecked(slot) }, pool);
            // Where the key is depends on the first byte: without this, a second cache line would be waited for apart.
            prefetch(entry.wrapping_add(40));
            // SAFETY: a slot with a tag refers to a complete entry of the arena.
            if unsafe { Raw::<CLOCK>::at(entry) }.has_key(key) {
                return Some((slot, entry));
            }
            mask &= mask - 1;
        }
        None
    }

    #[inline(never)]
    fn find_displaced<const CLOCK: bool>(
        &self,
        home_bucket: usize,
        tag: u8,
        key: &[u8],
        pool: &Pool,
    ) -> Option<(usize, *mut u8)> {
        let mut bucket = home_bucket;
        for _ in 0..self.max_probe {
            bucket = after(bucket);
            if let Some((slot, entry)) = self.find_in::<CLOCK>(&self.buckets[bucket], tag, key, pool) {
                return Some((bucket * SLOTS + slot, entry));
            }
        }
        None
    }

    /// Where an entry of `need` bytes goes: behind the last, or at the next chunk's beginning.
    #[inline(always)]
    fn position(&self, need: usize) -> usize {
        let (used, mask) = (usize::from(self.used) * 2, self.chunk_size() - 1);
        if (used & mask) + need <= mask + 1 { used } else { (used | mask) + 1 }
    }

    /// Whether an entry of `need` bytes fits the arena as it is.
    #[inline(always)]
    pub fn fits(&self, need: usize) -> bool {
        self.position(need) + need <= usize::from(self.chunks) << self.shift
    }

    /// Makes room for `need` more bytes; false if the arena is too large for it.
    #[cold]
    pub fn make_room<const CLOCK: bool>(&mut self, need: usize, pool: &mut Pool) -> bool {
        while !self.fits(need) {
            let (garbage, live, shift) = (usize::from(self.garbage) * 2, self.live(), u32::from(self.shift));
            if need > self.chunk_size() {
                self.rebuild::<CLOCK>(shift + 1, pool);
            } else if garbage >= need && garbage * 4 >= live {
                self.rebuild::<CLOCK>(shift, pool);
            } else if usize::from(self.chunks) < chunks_max(shift) {
                self.add_chunk(pool);
            } else if shift < SHIFT_MAX {
                self.rebuild::<CLOCK>(shift + 1, pool);
            } else if live + need > ARENA_FULL {
                return false;
            } else {
                self.rebuild::<CLOCK>(shift, pool);
            }
        }
        true
    }

    fn add_chunk(&mut self, pool: &mut Pool) {
        self.refs[CHUNKS - 1 - usize::from(self.chunks)] = pool.allocate(u32::from(self.shift), self.index);
        self.chunks += 1;
    }

    /// Before entries are moved in: picks the chunk size for so many, if there is a choice.
    pub fn expect(&mut self, live: usize, count: usize) {
        if self.chunks == 0 {
            self.shift = shift_for(live, count) as u8;
        }
    }

    /// Moves the entries to new chunks of `1 << shift` bytes (or more), leaving the garbage behind.
    fn rebuild<const CLOCK: bool>(&mut self, shift: u32, pool: &mut Pool) {
        let mut shift = shift.max(shift_for(self.live() / 2, usize::from(self.count) / 2));
        let mut offsets = [0u16; CAPACITY];
        let (old, old_shift) = (self.refs, self.shift);
        let old_chunks = std::mem::replace(&mut self.chunks, 0);
        while !self.repack::<CLOCK>(shift, (&old, old_shift), &mut offsets, pool) {
            self.release_arena(pool);
            shift += 1;
        }
        for (bucket, offsets) in self.buckets.iter_mut().zip(offsets.chunks(SLOTS)) {
            bucket.offsets.copy_from_slice(offsets);
        }
        for &chunk in old.iter().rev().take(usize::from(old_chunks)) {
            pool.free(chunk);
        }
    }

    /// Copies the entries of the `old` chunks to new ones and notes their offsets; false if that takes too many.
    fn repack<const CLOCK: bool>(
        &mut self,
        shift: u32,
        old: (&[ChunkRef; CHUNKS], u8),
        offsets: &mut [u16; CAPACITY],
        pool: &mut Pool,
    ) -> bool {
        (self.shift, self.used, self.garbage) = (shift as u8, 0, 0);
        for (slot, new) in offsets.iter_mut().enumerate() {
            let bucket = &self.buckets[slot / SLOTS];
            if bucket.tags[slot % SLOTS] == 0 {
                continue;
            }
            let at = usize::from(bucket.offsets[slot % SLOTS]) * 2;
            let chunk = old.0[CHUNKS - 1 - (at >> old.1)];
            let entry = pool.address(chunk, u32::from(old.1)).wrapping_add(at & ((1 << old.1) - 1));
            // SAFETY: an occupied slot refers to a complete entry of the old chunks.
            let footprint = unsafe { Raw::<CLOCK>::at(entry) }.footprint();
            if !self.fits(footprint) {
                if usize::from(self.chunks) == chunks_max(shift) || footprint > self.chunk_size() {
                    return false;
                }
                self.add_chunk(pool);
            }
            let (offset, to) = self.take(footprint, pool);
            // SAFETY: the bytes at `to` have just been taken, in a chunk that is not an old one.
            unsafe { ptr::copy_nonoverlapping(entry, to, footprint) };
            *new = offset;
        }
        true
    }

    /// Takes `footprint` bytes of the arena, which fit: an offset for [`Self::occupy`], and where to write.
    #[inline(always)]
    pub fn take(&mut self, footprint: usize, pool: &Pool) -> (u16, *mut u8) {
        debug_assert!(self.fits(footprint) && footprint.is_multiple_of(2));
        let at = self.position(footprint);
        self.used = ((at + footprint) / 2) as u16;
        let offset = (at / 2) as u16;
        (offset, self.address(offset, pool))
    }

    /// The offset of an occupied slot's entry.
    #[inline(always)]
    pub fn offset(&self, slot: usize) -> u16 {
        self.buckets[slot / SLOTS].offsets[slot % SLOTS]
    }

    /// Counts `footprint` bytes at `offset` as free again.
    #[inline]
    pub fn give_back(&mut self, offset: u16, footprint: usize) {
        let units = (footprint / 2) as u16;
        if offset + units == self.used {
            self.used = offset;
        } else {
            self.garbage += units;
        }
    }

    /// Gives the entry at `offset`, if it is the last of the arena, `more` bytes behind it.
    #[inline]
    pub fn extend_last(&mut self, offset: u16, footprint: usize, more: usize) -> bool {
        let end = usize::from(offset) * 2 + footprint;
        let last =
            end == usize::from(self.used) * 2 && (end - 1) >> self.shift == (end + more - 1) >> self.shift;
        if last {
            self.used += (more / 2) as u16;
        }
        last
    }

    /// Enters an entry at `offset` under its hash; answers the slot. There must be a free one.
    #[inline(always)]
    pub fn occupy(&mut self, home_bucket: usize, tag: u8, offset: u16) -> usize {
        self.count += 1;
        let mut bucket = home_bucket;
        let mut free = self.buckets[bucket].matches(0);
        if free == 0 {
            (bucket, free) = self.next_free(home_bucket);
        }
        let slot = free.trailing_zeros() as usize;
        self.buckets[bucket].tags[slot] = tag;
        self.buckets[bucket].offsets[slot] = offset;
        bucket * SLOTS + slot
    }

    /// The bucket that takes what `home_bucket` has no room for, and its free slots.
    #[cold]
    fn next_free(&mut self, home_bucket: usize) -> (usize, u32) {
        debug_assert!(usize::from(self.count) <= CAPACITY);
        self.buckets[home_bucket].add_overflow();
        let (mut bucket, mut distance) = (home_bucket, 0);
        loop {
            bucket = after(bucket);
            distance += 1;
            let free = self.buckets[bucket].matches(0);
            if free != 0 {
                self.max_probe = self.max_probe.max(distance);
                return (bucket, free);
            }
        }
    }

    /// Frees a slot; its bytes are to be given back apart.
    #[inline]
    pub fn vacate(&mut self, home_bucket: usize, slot: usize) {
        let bucket = slot / SLOTS;
        self.buckets[bucket].tags[slot % SLOTS] = 0;
        self.buckets[bucket].set_handed(slot % SLOTS, false);
        self.count -= 1;
        if bucket != home_bucket {
            self.buckets[home_bucket].remove_overflow();
        }
    }

    /// Whether a snapshot under way has been given the entry of a slot, or doesn't want it.
    pub fn is_handed(&self, slot: usize) -> bool {
        self.buckets[slot / SLOTS].is_handed(slot % SLOTS)
    }

    pub fn set_handed(&mut self, slot: usize, handed: bool) {
        self.buckets[slot / SLOTS].set_handed(slot % SLOTS, handed);
    }

    /// Takes the marks of another epoch than this away.
    pub fn set_epoch(&mut self, epoch: u8) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.buckets.iter_mut().for_each(Bucket::unmark);
        }
    }

    /// Points an occupied slot to another place in the arena.
    #[inline]
    pub fn redirect(&mut self, slot: usize, offset: u16) {
        self.buckets[slot / SLOTS].offsets[slot % SLOTS] = offset;
    }

    /// After removals: gives memory back once a third of the arena is garbage.
    #[inline]
    pub fn tidy<const CLOCK: bool>(&mut self, pool: &mut Pool) {
        if self.count == 0 {
            (self.used, self.garbage) = (0, 0);
            while self.chunks > 1 {
                self.chunks -= 1;
                pool.free(self.refs[CHUNKS - 1 - usize::from(self.chunks)]);
            }
        } else if usize::from(self.garbage) * 2 > GARBAGE_MIN && self.garbage > self.used / 3 {
            self.rebuild::<CLOCK>(SHIFT_MIN, pool);
        }
    }

    /// The occupied slots in bucket order.
    #[inline]
    pub fn slots(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.buckets.iter().enumerate().flat_map(|(number, bucket)| {
            let mut mask = bucket.occupied();
            std::iter::from_fn(move || {
                let slot = mask.trailing_zeros() as usize;
                mask &= mask.wrapping_sub(1);
                (slot < SLOTS).then_some(number * SLOTS + slot)
            })
        })
    }

    /// The occupied slots where entries of bucket `home_bucket` can be, the bucket's own first.
    pub fn slots_of_bucket(&self, home_bucket: usize) -> impl Iterator<Item = usize> + use<'_> {
        let distance =
            if self.buckets[home_bucket].overflow() == 0 { 0 } else { usize::from(self.max_probe) };
        (home_bucket..=home_bucket + distance).flat_map(|bucket| {
            let bucket = bucket % BUCKETS;
            let mask = self.buckets[bucket].occupied();
            (0..SLOTS).filter(move |slot| mask >> slot & 1 != 0).map(move |slot| bucket * SLOTS + slot)
        })
    }

    /// The `nth` occupied slot, for `nth < count`.
    pub fn nth(&self, mut nth: u32) -> usize {
        for (number, bucket) in self.buckets.iter().enumerate() {
            let mut mask = bucket.occupied();
            if nth < mask.count_ones() {
                for _ in 0..nth {
                    mask &= mask - 1;
                }
                return number * SLOTS + mask.trailing_zeros() as usize;
            }
            nth -= mask.count_ones();
        }
        unreachable!("nth is below the count of occupied slots")
    }

    /// Whether any slot is marked as handed over.
    #[cfg(test)]
    pub fn has_handed(&self) -> bool {
        self.buckets.iter().any(Bucket::has_handed)
    }

    /// Chunks in use, this segment's own included.
    #[cfg(test)]
    pub fn check<const CLOCK: bool>(&self, pool: &Pool, hash: impl Fn(&[u8]) -> u64) -> usize {
        let mut overflow = [0; BUCKETS];
        let mut spans = Vec::new();
        for slot in self.slots() {
            // SAFETY: the slot is occupied.
            let raw = unsafe { Raw::<CLOCK>::at(self.entry(slot, pool)) };
            let hash = hash(raw.key());
            let home_bucket = home_bucket_of(hash, u32::from(self.depth));
            let bucket = slot / SLOTS;
            assert_eq!(self.buckets[bucket].tags[slot % SLOTS], tag_of(hash));
            if bucket != home_bucket {
                overflow[home_bucket] += 1;
                assert!((bucket + BUCKETS - home_bucket) % BUCKETS <= usize::from(self.max_probe));
            }
            spans.push((usize::from(self.offset(slot)) * 2, raw.footprint()));
        }
        assert_eq!(spans.len(), usize::from(self.count));
        for (bucket, expected) in self.buckets.iter().zip(overflow) {
            assert_eq!(bucket.overflow(), expected);
        }
        for (bucket, slots) in self.buckets.iter().enumerate() {
            let free = (0..SLOTS).filter(|slot| slots.tags[*slot] == 0);
            assert!(free.into_iter().all(|slot| !slots.is_handed(slot)), "a free slot of bucket {bucket}");
        }
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "entries overlap");
        assert!(spans.iter().all(|span| span.0 >> self.shift == (span.0 + span.1 - 1) >> self.shift));
        assert!(spans.last().is_none_or(|last| last.0 + last.1 <= usize::from(self.used) * 2));
        assert!(usize::from(self.used) * 2 <= usize::from(self.chunks) << self.shift);
        assert!(spans.iter().map(|span| span.1).sum::<usize>() <= self.live());
        assert_eq!(pool.owner(self.place), self.index | IS_SEGMENT);
        let chunks = &self.refs[CHUNKS - usize::from(self.chunks)..];
        assert!(chunks.iter().all(|&chunk| pool.owner(chunk) == self.index));
        1 + chunks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_the_hash_and_end_where_the_next_begins() {
        for depth in [0, 1, 7, 24, 32] {
            let prefix = 0xffff_ffff_ffff_ffffu64.checked_shl(64 - depth).unwrap_or(0);
            for home_bucket in 0..BUCKETS {
                let end = end_of_bucket(prefix, home_bucket, depth);
                assert_eq!(home_bucket_of(end.wrapping_sub(1), depth), home_bucket);
                assert_eq!(end & 0xffff, 0, "a cursor of 48 bits must be able to name it");
                if home_bucket + 1 < BUCKETS {
                    assert_eq!(home_bucket_of(end, depth), home_bucket + 1);
                } else {
                    assert_eq!(end, 0);
                }
            }
        }
    }

    #[test]
    fn chunks_grow_with_what_an_arena_holds() {
        assert_eq!(shift_for(130 * 30, 130), 9);
        assert_eq!(shift_for(130 * 54, 130), 10);
        assert_eq!(shift_for(130 * 300, 130), 12);
        assert_eq!(shift_for(130 * ENTRY_MAX, 130), 13);
    }
}
