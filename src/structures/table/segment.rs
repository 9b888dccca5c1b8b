//! Segments: some hundreds of entries of neighbouring hashes, and the arena their bytes lie in.
//!
//! ```text
//! segment, 1024 bytes:  | head, a line | bucket 0, a line | … | bucket 14 |
//! arena:                | entry | entry | garbage | entry | … | free |      up to 128 KiB
//! ```
//!
//! The bucket is picked by the hash bits that follow the directory's, scaled to 15, so buckets in order
//! are hashes in order. An entry whose bucket is full goes to the next with room, wrapping around.
//! When no more hash bits can part the entries of a full segment, further segments are chained to it.
//!
//! A segment moves entries, but neither hashes keys nor frees what entries own.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::{self, NonNull};

use super::entry::Raw;
use super::tags::{Bucket, SLOTS};

pub(super) const BUCKETS: usize = 15;
/// Entries a segment can hold.
pub(super) const CAPACITY: usize = BUCKETS * SLOTS;
/// What offsets of 16 bits can reach, in units of two bytes.
pub(super) const ARENA_MAX: usize = 2 << 16;
/// An arena does not grow in smaller steps.
const ARENA_STEP: usize = 256;
/// `earliest` when no entry has a deadline.
pub(super) const NEVER: u64 = u64::MAX;
/// Buckets are picked by this many bits of the hash, after the directory's.
pub(super) const FRACTION_BITS: u32 = 24;

#[repr(C, align(64))]
pub(super) struct Segment {
    arena: *mut u8,
    /// The next segment of a chain.
    pub next: *mut Segment,
    /// The first bits of every hash in here, `depth` of them, left-aligned.
    pub prefix: u64,
    /// No entry's deadline is earlier; kept by the first segment for all of a chain.
    pub earliest: u64,
    used: u32,
    capacity: u32,
    garbage: u32,
    /// The place in the table's list of segments.
    pub index: u32,
    pub count: u16,
    pub depth: u8,
    /// No entry lies further than this many buckets from its home.
    reach: u8,
    buckets: [Bucket; BUCKETS],
}

const _: () = assert!(size_of::<Segment>() == 1024);
const _: () = assert!(std::mem::offset_of!(Segment, buckets) == 64);

/// Rounds an arena's size up to what an allocator with four classes a doubling hands out anyway.
fn size_class(size: usize) -> usize {
    if size <= ARENA_STEP {
        return size.next_multiple_of(64);
    }
    let step = 1 << ((size - 1).ilog2() - 2);
    size.next_multiple_of(step)
}

fn arena_layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, 8).expect("an arena is at most 128 KiB")
}

#[inline(always)]
pub(super) fn tag_of(hash: u64) -> u8 {
    let tag = hash as u8;
    if tag == 0 { 1 } else { tag }
}

/// The bucket an entry belongs to, in a segment of `depth`.
#[inline(always)]
pub(super) fn home_of(hash: u64, depth: u32) -> usize {
    let fraction = (hash << depth) >> (64 - FRACTION_BITS);
    ((fraction * BUCKETS as u64) >> FRACTION_BITS) as usize
}

/// The first hash behind bucket `home` of the segment that covers `prefix` at `depth`; 0 behind the last hash of all.
pub(super) fn end_of_home(prefix: u64, home: usize, depth: u32) -> u64 {
    let fraction = ((home as u64 + 1) << FRACTION_BITS).div_ceil(BUCKETS as u64);
    prefix.wrapping_add(fraction << (64 - FRACTION_BITS - depth))
}

#[inline(always)]
fn after(bucket: usize) -> usize {
    if bucket + 1 == BUCKETS { 0 } else { bucket + 1 }
}

impl Segment {
    pub const fn empty(prefix: u64, depth: u8) -> Segment {
        Segment {
            arena: ptr::null_mut(),
            next: ptr::null_mut(),
            prefix,
            earliest: NEVER,
            used: 0,
            capacity: 0,
            garbage: 0,
            index: 0,
            count: 0,
            depth,
            reach: 0,
            buckets: [Bucket::EMPTY; BUCKETS],
        }
    }

    pub fn allocate(prefix: u64, depth: u32) -> NonNull<Segment> {
        NonNull::from(Box::leak(Box::new(Segment::empty(prefix, depth as u8))))
    }

    /// Frees a segment and its arena; what the entries own is the caller's affair.
    ///
    /// # Safety
    /// `segment` came from [`Self::allocate`] and nothing refers to it any more.
    pub unsafe fn free(segment: NonNull<Segment>) {
        // SAFETY: `allocate` leaked a box, and the caller holds the last pointer to it.
        let mut segment = unsafe { Box::from_raw(segment.as_ptr()) };
        segment.release_arena();
    }

    fn release_arena(&mut self) {
        if self.capacity > 0 {
            // SAFETY: the arena was allocated with this capacity.
            unsafe { dealloc(self.arena, arena_layout(self.capacity as usize)) };
        }
        (self.arena, self.capacity, self.used, self.garbage) = (ptr::null_mut(), 0, 0, 0);
    }

    #[inline(always)]
    pub fn bucket(&self, bucket: usize) -> &Bucket {
        &self.buckets[bucket]
    }

    #[inline(always)]
    pub fn arena(&self) -> *mut u8 {
        self.arena
    }

    /// Bytes allocated for the arena.
    #[inline(always)]
    pub fn arena_capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Bytes of the arena that entries take.
    pub fn live(&self) -> usize {
        (self.used - self.garbage) as usize
    }

    /// The address of an occupied slot's entry. Slots are numbered through the segment.
    #[inline(always)]
    pub fn entry(&self, slot: usize) -> *mut u8 {
        let offset = usize::from(self.buckets[slot / SLOTS].offsets[slot % SLOTS]) * 2;
        self.arena.wrapping_add(offset)
    }

    /// Looks for `key` among the entries of bucket `home`; answers its slot and address.
    #[inline(always)]
    pub fn find<const CLOCK: bool>(&self, home: usize, tag: u8, key: &[u8]) -> Option<(usize, *mut u8)> {
        // SAFETY: a home is below `BUCKETS` by its computation.
        let bucket = unsafe { self.buckets.get_unchecked(home) };
        if let Some(slot) = self.find_in::<CLOCK>(bucket, tag, key) {
            return Some((home * SLOTS + slot.0, slot.1));
        }
        if bucket.overflow == 0 { None } else { self.find_displaced::<CLOCK>(home, tag, key) }
    }

    #[inline(always)]
    fn find_in<const CLOCK: bool>(&self, bucket: &Bucket, tag: u8, key: &[u8]) -> Option<(usize, *mut u8)> {
        let mut mask = bucket.matches(tag);
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize;
            // SAFETY: the mask has no bits from `SLOTS` on.
            let offset = usize::from(unsafe { *bucket.offsets.get_unchecked(slot) }) * 2;
            let entry = self.arena.wrapping_add(offset);
            // SAFETY: a slot with a tag refers to a complete entry of the arena.
            if unsafe { Raw::<CLOCK>::at(entry) }.has_key(key) {
                return Some((slot, entry));
            }
            mask &= mask - 1;
        }
        None
    }

    #[cold]
    fn find_displaced<const CLOCK: bool>(
        &self,
        home: usize,
        tag: u8,
        key: &[u8],
    ) -> Option<(usize, *mut u8)> {
        let mut bucket = home;
        for _ in 0..self.reach {
            bucket = after(bucket);
            if let Some((slot, entry)) = self.find_in::<CLOCK>(&self.buckets[bucket], tag, key) {
                return Some((bucket * SLOTS + slot, entry));
            }
        }
        None
    }

    /// Whether `need` more bytes fit the arena as it is.
    #[inline(always)]
    pub fn fits(&self, need: usize) -> bool {
        self.used as usize + need <= self.capacity as usize
    }

    /// Makes room for `need` more bytes by compacting or growing the arena; false if it must not grow so far.
    #[cold]
    pub fn make_room<const CLOCK: bool>(&mut self, need: usize) -> bool {
        if self.fits(need) {
            return true;
        }
        let (used, garbage, live) = (self.used as usize, self.garbage as usize, self.live());
        if garbage >= need && garbage * 4 >= live {
            self.compact::<CLOCK>((live + need + live / 8).min(ARENA_MAX));
            return true;
        }
        if used + need <= ARENA_MAX {
            self.set_capacity((used + need).max(self.capacity as usize + ARENA_STEP));
            return true;
        }
        // So near to the limit, compacting would have to be done again and again.
        if live + need > ARENA_MAX - ARENA_MAX / 8 {
            return false;
        }
        self.compact::<CLOCK>(ARENA_MAX);
        true
    }

    /// Has room for `size` bytes from the beginning.
    pub fn reserve(&mut self, size: usize) {
        if size > self.capacity as usize {
            self.set_capacity(size.min(ARENA_MAX));
        }
    }

    fn set_capacity(&mut self, size: usize) {
        let capacity = size_class(size).min(ARENA_MAX);
        debug_assert!(capacity >= self.used as usize);
        // SAFETY: the sizes are not zero, and the old one is what the arena was allocated with.
        let arena = unsafe {
            if self.capacity == 0 {
                alloc(arena_layout(capacity))
            } else {
                realloc(self.arena, arena_layout(self.capacity as usize), capacity)
            }
        };
        if arena.is_null() {
            handle_alloc_error(arena_layout(capacity));
        }
        (self.arena, self.capacity) = (arena, capacity as u32);
    }

    /// Moves the entries to a new arena for at least `size` bytes, leaving the garbage behind.
    fn compact<const CLOCK: bool>(&mut self, size: usize) {
        let (old, old_capacity) = (self.arena, self.capacity as usize);
        debug_assert!(size >= self.live());
        (self.arena, self.capacity, self.used, self.garbage) = (ptr::null_mut(), 0, 0, 0);
        if size > 0 {
            self.set_capacity(size);
        }
        for bucket in &mut self.buckets {
            let mut mask = bucket.occupied();
            while mask != 0 {
                let offset = &mut bucket.offsets[mask.trailing_zeros() as usize];
                // SAFETY: an occupied slot refers to a complete entry of the old arena; all live
                // entries fit the new one.
                unsafe {
                    let entry = old.add(usize::from(*offset) * 2);
                    let footprint = Raw::<CLOCK>::at(entry).footprint();
                    ptr::copy_nonoverlapping(entry, self.arena.add(self.used as usize), footprint);
                    *offset = (self.used / 2) as u16;
                    self.used += footprint as u32;
                }
                mask &= mask - 1;
            }
        }
        if old_capacity > 0 {
            // SAFETY: the old arena had this capacity, and nothing refers to it any more.
            unsafe { dealloc(old, arena_layout(old_capacity)) };
        }
    }

    /// Takes `footprint` bytes of the arena, which has room for them: an offset for [`Self::occupy`], and where to write.
    #[inline(always)]
    pub fn take(&mut self, footprint: usize) -> (u16, *mut u8) {
        debug_assert!(self.fits(footprint) && footprint.is_multiple_of(2));
        let offset = self.used;
        self.used += footprint as u32;
        ((offset / 2) as u16, self.arena.wrapping_add(offset as usize))
    }

    /// Counts `footprint` bytes at `entry` as free again.
    #[inline]
    pub fn give_back(&mut self, entry: *mut u8, footprint: usize) {
        let offset = entry.addr() - self.arena.addr();
        if offset + footprint == self.used as usize {
            self.used = offset as u32;
        } else {
            self.garbage += footprint as u32;
        }
    }

    /// Gives the entry at `entry`, if it is the last of the arena, `more` bytes behind it.
    #[inline]
    pub fn extend_last(&mut self, entry: *mut u8, footprint: usize, more: usize) -> bool {
        let offset = entry.addr() - self.arena.addr();
        let last = offset + footprint == self.used as usize && self.fits(more);
        if last {
            self.used += more as u32;
        }
        last
    }

    /// Enters an entry at `offset` under its hash; answers the slot. There must be a free one.
    #[inline(always)]
    pub fn occupy(&mut self, home: usize, tag: u8, offset: u16) -> usize {
        self.count += 1;
        let mut bucket = home;
        let mut free = self.buckets[bucket].matches(0);
        if free == 0 {
            (bucket, free) = self.next_free(home);
        }
        let slot = free.trailing_zeros() as usize;
        self.buckets[bucket].tags[slot] = tag;
        self.buckets[bucket].offsets[slot] = offset;
        bucket * SLOTS + slot
    }

    /// The bucket that takes what `home` has no room for, and its free slots.
    #[cold]
    fn next_free(&mut self, home: usize) -> (usize, u32) {
        debug_assert!(usize::from(self.count) <= CAPACITY);
        self.buckets[home].overflow += 1;
        let (mut bucket, mut distance) = (home, 0);
        loop {
            bucket = after(bucket);
            distance += 1;
            let free = self.buckets[bucket].matches(0);
            if free != 0 {
                self.reach = self.reach.max(distance);
                return (bucket, free);
            }
        }
    }

    /// Frees a slot; its bytes are to be given back apart.
    #[inline]
    pub fn vacate(&mut self, home: usize, slot: usize) {
        let bucket = slot / SLOTS;
        self.buckets[bucket].tags[slot % SLOTS] = 0;
        self.count -= 1;
        if bucket != home {
            self.buckets[home].overflow -= 1;
        }
    }

    /// Points an occupied slot to another place in the arena.
    #[inline]
    pub fn redirect(&mut self, slot: usize, offset: u16) {
        self.buckets[slot / SLOTS].offsets[slot % SLOTS] = offset;
    }

    /// After removals: gives memory back once more than half of the arena is garbage.
    #[inline]
    pub fn tidy<const CLOCK: bool>(&mut self) {
        if self.garbage as usize > 4 * ARENA_STEP && self.garbage * 2 > self.used
            || self.count == 0 && self.capacity as usize > 4 * ARENA_STEP
        {
            self.compact::<CLOCK>(self.live() + self.live() / 8);
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

    /// The occupied slots where entries of bucket `home` can be, the bucket's own first.
    pub fn slots_of_home(&self, home: usize) -> impl Iterator<Item = usize> + use<'_> {
        let distance = if self.buckets[home].overflow == 0 { 0 } else { usize::from(self.reach) };
        (home..=home + distance).flat_map(|bucket| {
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

    #[cfg(test)]
    pub fn check<const CLOCK: bool>(&self, hash: impl Fn(&[u8]) -> u64) {
        let mut overflow = [0; BUCKETS];
        let mut spans = Vec::new();
        for slot in self.slots() {
            let entry = self.entry(slot);
            // SAFETY: the slot is occupied.
            let raw = unsafe { Raw::<CLOCK>::at(entry) };
            let hash = hash(raw.key());
            let home = home_of(hash, u32::from(self.depth));
            let bucket = slot / SLOTS;
            assert_eq!(self.buckets[bucket].tags[slot % SLOTS], tag_of(hash));
            if bucket != home {
                overflow[home] += 1;
                assert!((bucket + BUCKETS - home) % BUCKETS <= usize::from(self.reach));
            }
            spans.push((entry.addr() - self.arena.addr(), raw.footprint()));
        }
        assert_eq!(spans.len(), usize::from(self.count));
        for (bucket, expected) in self.buckets.iter().zip(overflow) {
            assert_eq!(bucket.overflow, expected);
        }
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "entries overlap");
        assert!(spans.last().is_none_or(|last| last.0 + last.1 <= self.used as usize));
        assert!(self.used <= self.capacity);
        assert_eq!(spans.iter().map(|span| span.1).sum::<usize>(), self.live());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_the_hash_and_end_where_the_next_begins() {
        for depth in [0, 1, 7, 24] {
            let prefix = 0xffff_ffff_ffff_ffffu64.checked_shl(64 - depth).unwrap_or(0);
            for home in 0..BUCKETS {
                let end = end_of_home(prefix, home, depth);
                assert_eq!(home_of(end.wrapping_sub(1), depth), home);
                assert_eq!(end & 0xffff, 0, "a cursor of 48 bits must be able to name it");
                if home + 1 < BUCKETS {
                    assert_eq!(home_of(end, depth), home + 1);
                } else {
                    assert_eq!(end, 0);
                }
            }
        }
    }

    #[test]
    fn size_classes_are_four_a_doubling() {
        assert_eq!(size_class(1), 64);
        assert_eq!(size_class(257), 320);
        assert_eq!(size_class(4097), 5120);
        assert_eq!(size_class(7169), 8192);
        assert_eq!(size_class(ARENA_MAX), ARENA_MAX);
    }
}
