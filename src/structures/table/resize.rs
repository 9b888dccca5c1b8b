//! Resizing of the table: segments split, merge and are freed.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use super::directory::Directory;
use super::entry::Raw;
use super::segment::{CAPACITY, IS_SEGMENT, Segment, home_bucket_of, tag_of};
use super::{RemovedValue, SPLIT_AT, Table};

/// Buddies with no more entries than this between them become one.
const MERGE_AT: usize = CAPACITY * 11 / 20;
/// … unless their entries take more bytes than this.
const MERGE_LIVE: usize = 1 << 16;
/// Chunks moved with each removal while much is free.
const MOVES: usize = 2;

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// The first segment of the chain that covers `hash`. Not to be written to while the table has no segments.
    #[inline(always)]
    pub(super) fn head(&self, hash: u64) -> NonNull<Segment> {
        self.directory.resolve(hash).segment()
    }

    fn create_segment(&mut self, prefix: u64, depth: u32) -> NonNull<Segment> {
        let mut segment = Segment::allocate(&mut self.pool, prefix, depth, self.segments.len() as u32);
        // SAFETY: it has just been allocated.
        unsafe { segment.as_mut() }.epoch = self.epoch;
        self.segments.push(segment);
        segment
    }

    /// Takes a segment off the list and frees it.
    ///
    /// # Safety
    /// The segment is the table's and no word, chain or token refers to it; its entries are elsewhere or gone.
    unsafe fn destroy_segment(&mut self, segment: NonNull<Segment>) {
        // SAFETY: the segments of the list are alive.
        unsafe {
            let index = segment.as_ref().index;
            self.segments.swap_remove(index as usize);
            if let Some(moved) = self.segments.get_mut(index as usize) {
                moved.as_mut().renumber(index, &mut self.pool);
            }
            Segment::free(segment, &mut self.pool);
        }
    }

    /// A segment that takes an entry of `need` bytes and this hash, after whatever is necessary for it.
    #[cold]
    pub(super) fn segment_with_room(&mut self, hash: u64, need: usize) -> NonNull<Segment> {
        if self.segments.is_empty() {
            let first = self.create_segment(0, 0);
            self.directory.assign(0, 0, first);
        }
        loop {
            let head = self.head(hash);
            let splittable = self.can_split(head);
            let limit = if splittable { SPLIT_AT } else { CAPACITY };
            if let Some(found) = self.room_in_chain(head, need, limit) {
                return found;
            }
            if splittable {
                self.split(head);
            } else {
                return self.lengthen(head, need);
            }
        }
    }

    fn room_in_chain(
        &mut self,
        head: NonNull<Segment>,
        need: usize,
        limit: usize,
    ) -> Option<NonNull<Segment>> {
        let mut at = head;
        loop {
            // SAFETY: chains refer to live segments of this table, which is borrowed mutably.
            let segment = unsafe { at.as_mut() };
            if usize::from(segment.count) < limit && segment.make_room::<CLOCK>(need, &mut self.pool) {
                return Some(at);
            }
            at = segment.next()?;
        }
    }

    /// Adds a segment to a chain, next to its head.
    fn lengthen(&mut self, mut head: NonNull<Segment>, need: usize) -> NonNull<Segment> {
        // SAFETY: heads are alive, and both are the table's own.
        unsafe {
            let mut added = self.create_segment(head.as_ref().prefix(), u32::from(head.as_ref().depth));
            added.as_mut().set_next(head.as_ref().next());
            head.as_mut().set_next(Some(added));
            added.as_mut().make_room::<CLOCK>(need, &mut self.pool);
            added
        }
    }

    fn can_split(&mut self, head: NonNull<Segment>) -> bool {
        // SAFETY: heads are alive.
        let (prefix, depth) = unsafe { (head.as_ref().prefix(), u32::from(head.as_ref().depth)) };
        self.directory.can_split(prefix, depth, self.segments.len())
    }

    /// Makes two segments of one (or of a chain).
    fn split(&mut self, head: NonNull<Segment>) {
        // SAFETY: heads are alive.
        let (prefix, depth) = unsafe { (head.as_ref().prefix(), u32::from(head.as_ref().depth) + 1) };
        let bit = 1 << (64 - depth);
        let halves = [self.create_segment(prefix, depth), self.create_segment(prefix | bit, depth)];
        self.directory.split(prefix, depth, halves);
        self.dequeue(head);
        let mut next = Some(head);
        while let Some(segment) = next {
            // SAFETY: the chain is alive until each segment is freed here; no word refers to it any more.
            unsafe {
                next = segment.as_ref().next();
                self.transfer(segment, halves, bit);
                self.destroy_segment(segment);
            }
        }
        self.enqueue(halves[0]);
        self.enqueue(halves[1]);
        self.stamp.advance();
    }

    /// Copies all entries of `from` to the chain of the first or the second of `to`, by a bit of their hashes.
    ///
    /// # Safety
    /// All three are alive, and `from` is no longer used afterwards: its entries have moved.
    unsafe fn transfer(&mut self, from: NonNull<Segment>, to: [NonNull<Segment>; 2], bit: u64) {
        // SAFETY: the caller vouches for it; it is neither of `to`.
        let from = unsafe { from.as_ref() };
        let has_marks = from.epoch == self.epoch;
        let mut hashes = [0u64; CAPACITY];
        let mut expected = [(0, 0); 2];
        for (hash, slot) in hashes.iter_mut().zip(from.slots()) {
            // SAFETY: the slot is occupied.
            let raw = unsafe { Raw::<CLOCK>::at(from.entry(slot, &self.pool)) };
            *hash = self.hash(raw.key());
            let half = &mut expected[usize::from(*hash & bit != 0)];
            *half = (half.0 + raw.footprint(), half.1 + 1);
        }
        for (mut half, (live, count)) in to.into_iter().zip(expected) {
            // SAFETY: the caller vouches for it.
            unsafe { half.as_mut() }.expect(live, count);
        }
        for (&hash, slot) in hashes.iter().zip(from.slots()) {
            let mut head = to[usize::from(hash & bit != 0)];
            // SAFETY: the slot is occupied; heads and what `adopt_entry` answers are alive.
            unsafe {
                let raw = Raw::<CLOCK>::at(from.entry(slot, &self.pool));
                self.adopt_entry(head, hash, raw, has_marks && from.is_handed(slot));
                if let Some(deadline) = raw.deadline() {
                    head.as_mut().earliest = head.as_ref().earliest.min(deadline);
                }
            }
        }
    }

    /// Copies an entry to a chain.
    ///
    /// # Safety
    /// `head` is alive and a head of this table, `raw` does not lie in its chain.
    unsafe fn adopt_entry(&mut self, head: NonNull<Segment>, hash: u64, raw: Raw<CLOCK>, handed: bool) {
        let size = raw.footprint();
        // SAFETY: the caller vouches for it.
        let first = unsafe { head.as_ref() };
        let mut at = head;
        if usize::from(first.count) == CAPACITY || !first.fits(size) {
            at = match self.room_in_chain(head, size, CAPACITY) {
                Some(at) => at,
                None => self.lengthen(head, size),
            };
        }
        // SAFETY: it is alive and has room for the entry.
        unsafe {
            let segment = at.as_mut();
            let (offset, to) = segment.take(size, &self.pool);
            ptr::copy_nonoverlapping(raw.address(), to, size);
            let slot = segment.occupy(home_bucket_of(hash, u32::from(segment.depth)), tag_of(hash), offset);
            if handed {
                segment.set_handed(slot, true);
            }
        }
    }

    /// After a removal: compacts the segment, unchains it or merges it with its buddy if that is due.
    #[inline]
    pub(super) fn shrink_if_sparse(&mut self, mut at: NonNull<Segment>, hash: u64) {
        // SAFETY: the caller has just removed an entry from it.
        let segment = unsafe { at.as_mut() };
        segment.tidy::<CLOCK>(&mut self.pool);
        if usize::from(segment.count) <= MERGE_AT / 2 && segment.count.is_multiple_of(4) {
            self.shrink(at, hash);
        }
        if self.pool.is_sparse() && self.detached.is_empty() {
            self.gather();
        }
    }

    /// Moves a few chunks out of a slab that is to be given back.
    #[cold]
    fn gather(&mut self) {
        for _ in 0..MOVES {
            let Some((chunk, owner)) = self.pool.next_to_move() else { return };
            let mut segment = self.segments[(owner & !IS_SEGMENT) as usize];
            if owner & IS_SEGMENT == 0 {
                // SAFETY: the list's segments are alive, and the pool knows whose the chunk is.
                unsafe { segment.as_mut() }.relocate_chunk(chunk, &mut self.pool);
            } else {
                self.move_segment(segment);
            }
        }
    }

    fn move_segment(&mut self, old: NonNull<Segment>) {
        // SAFETY: segments are alive; everything that refers to the old one is corrected here: list, directory, chain.
        unsafe {
            let segment = old.as_ref();
            let (prefix, depth, index) = (segment.prefix(), u32::from(segment.depth), segment.index);
            let mut before = self.head(prefix);
            let new = Segment::relocate(old, &mut self.pool);
            self.segments[index as usize] = new;
            if before == old {
                self.directory.assign(prefix, depth, new);
                return;
            }
            while before.as_ref().next() != Some(old) {
                before = before.as_ref().next().expect("the chain leads to the segment");
            }
            before.as_mut().set_next(Some(new));
        }
    }

    #[cold]
    fn shrink(&mut self, at: NonNull<Segment>, hash: u64) {
        let head = self.head(hash);
        // SAFETY: both are alive.
        let (segment, first) = unsafe { (at.as_ref(), head.as_ref()) };
        if at != head {
            if segment.count == 0 {
                self.unchain(head, at);
            }
            return;
        }
        let depth = u32::from(first.depth);
        if depth == 0 || first.next().is_some() {
            return;
        }
        let bit = 1 << (64 - depth);
        let dir_entry = self.directory.resolve(first.prefix() ^ bit);
        // SAFETY: words refer to live segments.
        let buddy = unsafe { dir_entry.segment().as_ref() };
        if dir_entry.depth() == depth
            && buddy.next().is_none()
            && usize::from(first.count + buddy.count) <= MERGE_AT
            && first.live() + buddy.live() <= MERGE_LIVE
        {
            self.merge(first.prefix() & !bit, depth, [head, dir_entry.segment()]);
        }
    }

    fn unchain(&mut self, head: NonNull<Segment>, segment: NonNull<Segment>) {
        let mut before = head;
        // SAFETY: `segment` is in the chain that begins with `head`; nothing refers to it afterwards.
        unsafe {
            while before.as_ref().next() != Some(segment) {
                before = before.as_ref().next().expect("the chain leads to the segment");
            }
            before.as_mut().set_next(segment.as_ref().next());
            self.destroy_segment(segment);
        }
    }

    /// Makes one segment of two buddies, neither of them a chain.
    fn merge(&mut self, prefix: u64, depth: u32, halves: [NonNull<Segment>; 2]) {
        let whole = self.create_segment(prefix, depth - 1);
        for half in halves {
            self.dequeue(half);
            // SAFETY: the halves are alive until they are freed here; no word will refer to them.
            unsafe {
                self.transfer(half, [whole; 2], 0);
                self.destroy_segment(half);
            }
        }
        self.enqueue(whole);
        self.directory.merge(prefix, depth, whole);
        self.stamp.advance();
    }

    /// Empties the table at once, and frees up to `segments` of its former segments; answers whether
    /// that was the last of them.
    pub fn free_some(&mut self, segments: usize) -> bool {
        self.drain_some(segments, drop)
    }

    /// [`Self::free_some`], handing what the values owned to `sink`.
    pub fn drain_some(&mut self, segments: usize, mut sink: impl FnMut(RemovedValue<O>)) -> bool {
        if !self.segments.is_empty() {
            self.finish_snapshot();
            if self.detached.is_empty() {
                std::mem::swap(&mut self.detached, &mut self.segments);
            } else {
                self.detached.append(&mut self.segments);
            }
            self.segments = Vec::new();
            self.directory = Directory::new(self.hasher.is_in_slot_order());
            (self.len, self.expires, self.live) = (0, 0, 0);
            self.detached_queue.append(&mut self.queue);
            self.stamp.advance();
        }
        for _ in 0..segments.min(self.detached.len()) {
            let Some(segment) = self.detached.pop() else { break };
            // SAFETY: the directory and chains no longer lead to detached segments, and each is freed once.
            unsafe {
                if self.heap_entries > 0 {
                    self.drain_segment(segment.as_ref(), &mut sink);
                }
                Segment::free(segment, &mut self.pool);
            }
        }
        // There is at most one deadline for each segment.
        for _ in 0..segments {
            if self.detached_queue.pop_first().is_none() {
                break;
            }
        }
        if self.detached.is_empty() {
            self.detached = Vec::new();
        }
        self.detached.is_empty() && self.detached_queue.is_empty()
    }

    fn drain_segment(&mut self, segment: &Segment, sink: &mut impl FnMut(RemovedValue<O>)) {
        for slot in segment.slots() {
            // SAFETY: the slot is occupied; the segment is freed afterwards, so its entries own nothing from here on.
            unsafe {
                let raw = Raw::<CLOCK>::at(segment.entry(slot, &self.pool));
                if raw.owns_heap() {
                    self.heap_entries -= 1;
                    self.heap -= Self::payload_size(&raw.payload());
                    self.free_key(raw);
                    sink(Self::taken(raw.payload()));
                }
            }
        }
    }

    /// Panics if the table is not as it should be.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        use super::segment::NEVER;
        let (mut len, mut expires, mut owning, mut heap, mut live, mut chunks) = (0, 0, 0, 0, 0, 0);
        let mut segments = 0;
        let mut covered = 0u128;
        for (first, depth) in self.directory.check() {
            let mut earliest = NEVER;
            let mut next = (!self.segments.is_empty()).then_some(first);
            while let Some(at) = next {
                // SAFETY: words and chains refer to live segments.
                let segment = unsafe { at.as_ref() };
                assert_eq!(u32::from(segment.depth), depth);
                assert_eq!(u128::from(segment.prefix()), covered);
                chunks += segment.check::<CLOCK>(&self.pool, |key| self.hash(key));
                len += usize::from(segment.count);
                for slot in segment.slots() {
                    // SAFETY: the slot is occupied.
                    let raw = unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) };
                    assert_eq!(self.head(self.hash(raw.key())), first);
                    owning += usize::from(raw.owns_heap());
                    heap += Self::heap_size(raw);
                    live += raw.footprint();
                    expires += usize::from(raw.deadline().is_some());
                    earliest = earliest.min(raw.deadline().unwrap_or(NEVER));
                }
                assert_eq!(self.segments[segment.index as usize], at);
                segments += 1;
                next = segment.next();
            }
            // SAFETY: words refer to live segments.
            let head = unsafe { first.as_ref() };
            assert!(head.earliest <= earliest);
            assert_eq!(self.queue.contains(&(head.earliest, head.prefix())), head.earliest != NEVER);
            covered += 1 << (64 - depth);
        }
        assert_eq!(covered, 1 << 64);
        if !self.in_snapshot() {
            // SAFETY: the list's segments are alive.
            let mut segments = self.segments.iter().map(|segment| unsafe { segment.as_ref() });
            let marked = segments.any(|segment| segment.epoch == self.epoch && segment.has_handed());
            assert!(!marked, "an entry is marked without a snapshot");
        }
        assert_eq!((len, expires, segments), (self.len, self.expires, self.segments.len()));
        assert_eq!(live, self.live);
        self.pool.check();
        if self.detached.is_empty() {
            assert_eq!((owning, heap, chunks), (self.heap_entries, self.heap, self.pool.used()));
        }
    }
}
