//! Table: an extendible hash table whose entries lie in byte arenas (`dict` and `kvstore` in Redis).
//!
//! ```text
//! directory[hash >> shift] → segment | depth
//!                            segment = 2 head lines, 14 bucket lines → arena: entry, entry, …
//! ```
//!
//! The top bits of a key's 64-bit hash pick a segment from the directory; the segment's head and
//! buckets are at known places behind it, so a lookup waits for memory twice: head and bucket together,
//! then the entry. A full segment splits in two, underfull buddies merge: no operation
//! touches more than a few hundred entries, whatever the table's size (but the directory, eight
//! bytes a segment, is copied when it doubles or halves).
//!
//! * `directory` is the directory; `entry` is the bytes of one entry, `bucket` a bucket, `segment` a segment with its arena; `pool` allocates both in
//!   slabs (`slab`), large ones from `mmap` by way of `slab_cache`, which has some ready.
//! * `edit` replaces values and deadlines, `resize` splits, merges and frees.
//! * `scan` scans, iterates and samples; `expiry` finds what is due; `snapshot` hands over all entries while the table changes.
//!
//! `O` is what a boxed object is; a table without objects says [`Never`]. `CLOCK` gives each entry
//! 24 bits for an access clock or counter.
//!
//! The table knows neither time nor commands, and removes nothing by itself because of a deadline.
#![allow(unsafe_code)]

mod bucket;
mod directory;
#[cfg(test)]
mod directory_tests;
mod edit;
mod entry;
mod expiry;
mod mmap;
mod pool;
mod ranges;
mod resize;
mod scan;
mod segment;
mod shared;
mod slab;
mod slab_cache;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod stamp;
#[cfg(test)]
mod tests;

pub use shared::SHARED_MIN;
pub use slab::mapped_bytes;
pub use snapshot::{Captured, SnapshotEntry, SnapshotSink, SnapshotValue};
use stamp::Stamp;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::base::hash::KeyHasher;
use crate::structures::prefetch::prefetch;
use directory::{DirEntry, Directory};
use entry::{DEADLINE, EDITED, EntryDraft, HeapBytes, HeapKey, INLINE_MAX, KeyPart, Payload, Raw, footprint};
pub use expiry::{DueKeys, Held};
use pool::Pool;
pub use ranges::HashRange;
pub use scan::{Entry, Iter};
use segment::{CAPACITY, HEAD_LINE, HEAD_SIZE, Segment, home_bucket_of, tag_of};

/// A segment of this many entries splits before it takes another.
const SPLIT_AT: usize = CAPACITY * 94 / 100;

/// The object type of a table that has none.
#[derive(Debug)]
pub enum Never {}

/// Where an entry is, and of which table. Good until that table next inserts, removes, replaces, resizes or changes a
/// deadline; using it later, or on another table, panics.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef {
    segment: NonNull<Segment>,
    entry: NonNull<u8>,
    slot: u16,
    stamp: Stamp,
}

/// A value as it lies in the table.
#[derive(Debug)]
pub enum EntryValue<'a, O> {
    /// An integer, stored as eight bytes.
    Int(i64),
    /// A string.
    Bytes(&'a [u8]),
    /// A boxed object.
    Object(&'a O),
    /// A small object as the owner's tag (0 to 7) and bytes.
    Embedded(u8, &'a [u8]),
}

/// A value for the table to keep.
#[derive(Debug)]
pub enum NewValue<'a, O> {
    /// An integer.
    Int(i64),
    /// A string to copy.
    Bytes(&'a [u8]),
    /// A string whose allocation is kept, if it is long.
    Owned(Vec<u8>),
    /// A string whose counted allocation is kept.
    Shared(Arc<Vec<u8>>),
    /// An object.
    Object(Box<O>),
    /// A small object as a tag below 8 and 1 to [`EMBEDDED_MAX`] bytes.
    Embedded(u8, &'a [u8]),
}

/// Longest packed object, bytes.
pub const EMBEDDED_MAX: usize = entry::INLINE_MAX;

/// What a removed or replaced value owned, for the caller to drop now or later.
#[derive(Debug)]
pub enum RemovedValue<O> {
    /// Nothing outside the table.
    Nothing,
    /// A long string.
    Bytes(Vec<u8>),
    /// A long string that may be held elsewhere.
    Shared(Arc<Vec<u8>>),
    /// An object.
    Object(Box<O>),
}

/// See the head of this file.
pub struct Table<O, const CLOCK: bool> {
    directory: Directory,
    /// Changes with every mutation that outdates an [`EntryRef`]; no other table has ever the same.
    stamp: Stamp,
    len: usize,
    /// Every segment, chained ones too, at its `index`.
    segments: Vec<NonNull<Segment>>,
    /// Segments of a cleared table that are still to be freed.
    detached: Vec<NonNull<Segment>>,
    /// Its `queue`, likewise.
    detached_queue: BTreeSet<(u64, u64)>,
    /// Entries with a deadline.
    expires: usize,
    /// Entries that own something outside their arena.
    heap_entries: usize,
    /// Bytes that entries take in arenas.
    live: usize,
    /// Bytes allocated for long keys, long strings and (without what they own) objects.
    heap: usize,
    pool: Pool,
    /// The earliest deadline of every chain that has one, with its hash prefix.
    queue: BTreeSet<(u64, u64)>,
    hasher: KeyHasher,
    /// The snapshot under way.
    snapshot: Option<Box<snapshot::Snapshot<O>>>,
    epoch: u8,
    /// See [`Self::open_objects`].
    open_objects: Vec<(u64, Box<[u8]>)>,
    #[cfg(test)]
    hash_mask: u64,
    objects: PhantomData<O>,
}

// SAFETY: the table owns all its pointers lead to; shared access reads only.
unsafe impl<O: Send, const CLOCK: bool> Send for Table<O, CLOCK> {}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// An empty table; it allocates next to nothing before the first insert.
    pub fn new(hasher: KeyHasher) -> Self {
        Table {
            directory: Directory::new(hasher.is_in_slot_order()),
            stamp: Stamp::new(),
            len: 0,
            segments: Vec::new(),
            detached: Vec::new(),
            detached_queue: BTreeSet::new(),
            expires: 0,
            heap_entries: 0,
            live: 0,
            heap: 0,
            pool: Pool::new(),
            queue: BTreeSet::new(),
            hasher,
            snapshot: None,
            epoch: 0,
            open_objects: Vec::new(),
            #[cfg(test)]
            hash_mask: u64::MAX,
            objects: PhantomData,
        }
    }

    /// A key's hash, as every other method wants it.
    #[inline(always)]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let hash = self.hasher.hash(key);
        #[cfg(test)]
        let hash = hash & self.hash_mask;
        hash
    }

    /// The hash function.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the pool's numbers are so far used up, at a terabyte, that nothing is to be added.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.pool.is_full()
    }

    /// Entries that have a deadline.
    pub fn expires(&self) -> usize {
        self.expires
    }

    /// Bytes allocated, without what objects own.
    pub fn memory_usage(&self) -> usize {
        self.heap
            + self.pool.bytes()
            + size_of::<Self>()
            + self.directory.bytes()
            + (self.segments.capacity() + self.detached.capacity()) * size_of::<NonNull<Segment>>()
            + (self.queue.len() + self.detached_queue.len()) * size_of::<(u64, u64)>()
    }

    /// Bytes that entries and segments take: [`Self::memory_usage`] without what is free or garbage.
    #[cfg(test)]
    fn memory_live(&self) -> usize {
        self.heap + self.live + self.segments.len() * size_of::<Segment>()
    }

    /// Bytes of arenas that are free or garbage: a write to come takes them, or compaction gives them back.
    #[inline]
    pub fn memory_spare(&self) -> usize {
        self.pool.taken().saturating_sub(self.live + self.segments.len() * size_of::<Segment>())
    }

    /// Bytes that are there for the table's own sake, not for keys and values.
    pub fn overhead(&self) -> usize {
        self.directory.bytes()
            + self.segments.capacity() * size_of::<NonNull<Segment>>()
            + self.segments.len() * size_of::<Segment>()
            + self.queue.len() * size_of::<(u64, u64)>()
    }

    /// Asks for the cache lines a lookup of `hash` begins with.
    #[inline(always)]
    pub fn prefetch_bucket(&self, hash: u64) {
        Self::prefetch_in(self.directory.first(hash), hash);
    }

    #[inline(always)]
    fn prefetch_in(dir_entry: DirEntry, hash: u64) {
        let segment = dir_entry.segment().as_ptr().cast::<u8>().cast_const();
        prefetch(segment.wrapping_add(HEAD_SIZE + 64 * home_bucket_of(hash, dir_entry.depth())));
        prefetch(segment.wrapping_add(HEAD_LINE));
    }

    #[cold]
    #[inline(never)]
    fn prefetch_in_fork(&self, hash: u64) {
        Self::prefetch_in(self.directory.resolve_fork(hash), hash);
    }

    /// Asks for the entries a lookup of `hash` will compare; to be called when the bucket has arrived. True if
    /// the entry is in another bucket, which is asked for, or nowhere: [`Self::prefetch_displaced`] goes on there.
    #[inline(always)]
    pub fn prefetch_entry(&self, hash: u64) -> bool {
        let dir_entry = self.directory.first(hash);
        // SAFETY: words refer to live segments.
        let segment = unsafe { dir_entry.segment().as_ref() };
        let home_bucket = home_bucket_of(hash, dir_entry.depth());
        let bucket = segment.bucket(home_bucket);
        let mut mask = bucket.matches(tag_of(hash));
        if mask == 0 && bucket.overflow() != 0 {
            if segment.is_fork() {
                self.prefetch_in_fork(hash);
            } else {
                prefetch(std::ptr::from_ref(segment.bucket(segment::after(home_bucket))).cast());
            }
            return true;
        }
        while mask != 0 {
            let entry = segment.address(bucket.offsets[mask.trailing_zeros() as usize], &self.pool);
            prefetch(entry);
            prefetch(entry.wrapping_add(48));
            mask &= mask - 1;
        }
        false
    }

    /// Asks for the entry of a `hash` that is not in its own bucket.
    #[inline]
    pub fn prefetch_displaced(&self, hash: u64) {
        if let Some(raw) = self.likely(hash) {
            prefetch(raw.address());
            prefetch(raw.address().wrapping_add(48));
        }
    }

    /// The entry that a lookup of `hash` will compare first.
    #[inline(always)]
    fn likely(&self, hash: u64) -> Option<Raw<CLOCK>> {
        let found = self.likely_in(self.directory.first(hash), hash);
        if found.is_none() { self.likely_in_fork(hash) } else { found }
    }

    #[cold]
    #[inline(never)]
    fn likely_in_fork(&self, hash: u64) -> Option<Raw<CLOCK>> {
        self.likely_in(self.directory.resolve(hash), hash)
    }

    #[inline(always)]
    fn likely_in(&self, dir_entry: DirEntry, hash: u64) -> Option<Raw<CLOCK>> {
        // SAFETY: words refer to live segments.
        let segment = unsafe { dir_entry.segment().as_ref() };
        let entry = segment.first_match(home_bucket_of(hash, dir_entry.depth()), tag_of(hash), &self.pool)?;
        // SAFETY: a slot with a tag refers to a complete entry, which lives while the table is borrowed.
        Some(unsafe { Raw::at(entry) })
    }

    /// Asks for what is behind the entry that a lookup of `hash` will compare first, or for the rest of it; to
    /// be called when the entry has arrived.
    #[inline]
    pub fn prefetch_value(&self, hash: u64) {
        let Some(raw) = self.likely(hash) else { return };
        match raw.payload() {
            Payload::Object(object) => prefetch(object),
            Payload::Embedded(_, bytes) => {
                let lines = bytes.len().div_ceil(64);
                (1..=lines).for_each(|line| prefetch(raw.address().wrapping_add(64 * line)));
            }
            Payload::Shared(shared) => prefetch(shared.stored().cast()),
            Payload::Inline(_) | Payload::Int(_) | Payload::Heap(_) => {}
        }
    }

    /// The object that is probably that of `hash`, so that the caller can prefetch what that refers to in turn.
    #[inline]
    pub fn likely_object(&self, hash: u64) -> Option<&O> {
        match self.value_of(self.likely(hash)?) {
            EntryValue::Object(object) => Some(object),
            EntryValue::Int(_) | EntryValue::Bytes(_) | EntryValue::Embedded(..) => None,
        }
    }

    /// Looks `key` up.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<EntryRef> {
        self.find_from(self.directory.first(hash), hash, key)
    }

    #[inline(always)]
    fn find_from(&self, dir_entry: DirEntry, hash: u64, key: &[u8]) -> Option<EntryRef> {
        let (home_bucket, tag) = (home_bucket_of(hash, dir_entry.depth()), tag_of(hash));
        let mut at = dir_entry.segment();
        loop {
            // SAFETY: words and chains refer to live segments.
            let segment = unsafe { at.as_ref() };
            if let Some((slot, entry)) = segment.find::<CLOCK>(home_bucket, tag, key, &self.pool) {
                return Some(self.token(at, slot, entry));
            }
            if !segment.is_chained() {
                return None;
            }
            match segment.next() {
                Some(next) => at = next,
                None => return self.find_in_fork(key),
            }
        }
    }

    /// Hashes the key anew, so that lookups that don't come here needn't keep the hash.
    #[cold]
    #[inline(never)]
    fn find_in_fork(&self, key: &[u8]) -> Option<EntryRef> {
        let hash = self.hash(key);
        self.find_from(self.directory.resolve_fork(hash), hash, key)
    }

    #[inline(always)]
    fn token(&self, segment: NonNull<Segment>, slot: usize, entry: *mut u8) -> EntryRef {
        // SAFETY: an entry lies in an arena, which is not null.
        let entry = unsafe { NonNull::new_unchecked(entry) };
        EntryRef { segment, entry, slot: slot as u16, stamp: self.stamp }
    }

    #[inline(always)]
    fn raw(&self, at: EntryRef) -> Raw<CLOCK> {
        assert!(
            at.stamp == self.stamp,
            "the table has changed since this entry was looked up, or is another"
        );
        // SAFETY: only this table in this state has the stamp, so the entry was found here and nothing has moved since.
        unsafe { Raw::at(at.entry.as_ptr()) }
    }

    /// The key.
    #[inline]
    pub fn key(&self, at: EntryRef) -> &[u8] {
        self.raw(at).key()
    }

    /// The value.
    #[inline(always)]
    pub fn value(&self, at: EntryRef) -> EntryValue<'_, O> {
        self.value_of(self.raw(at))
    }

    #[inline(always)]
    fn value_of(&self, raw: Raw<CLOCK>) -> EntryValue<'_, O> {
        match raw.payload() {
            Payload::Int(number) => EntryValue::Int(number),
            Payload::Inline(bytes) => EntryValue::Bytes(bytes),
            Payload::Embedded(tag, bytes) => EntryValue::Embedded(tag, bytes),
            // SAFETY: the entry owns these bytes, and lives while the table is borrowed.
            Payload::Heap(heap) => {
                EntryValue::Bytes(unsafe { std::slice::from_raw_parts(heap.ptr, heap.len) })
            }
            // SAFETY: as above.
            Payload::Shared(shared) => EntryValue::Bytes(unsafe { shared.bytes() }),
            // SAFETY: the entry owns this box of an `O`, and lives while the table is borrowed.
            Payload::Object(object) => EntryValue::Object(unsafe { &*object.cast::<O>() }),
        }
    }

    /// The deadline in milliseconds, if there is one.
    #[inline]
    pub fn deadline(&self, at: EntryRef) -> Option<u64> {
        self.raw(at).deadline()
    }

    /// The access word's 24 bits; 0 in a table without a clock.
    #[inline]
    pub fn access(&self, at: EntryRef) -> u32 {
        self.raw(at).access()
    }

    /// Sets the access word to the low 24 bits of `access`. `at` stays good.
    #[inline]
    pub fn set_access(&mut self, at: EntryRef, access: u32) {
        self.raw(at).set_access(access);
    }

    /// Whether the value is a string with an allocation of its own.
    pub fn is_external(&self, at: EntryRef) -> bool {
        matches!(self.raw(at).payload(), Payload::Heap(_) | Payload::Shared(_))
    }

    /// Whether the string was changed in part since it was last set as a whole.
    pub fn is_edited(&self, at: EntryRef) -> bool {
        self.raw(at).flags() & EDITED != 0
    }

    /// Says that the string was changed in part. `at` stays good.
    pub fn mark_edited(&mut self, at: EntryRef) {
        self.raw(at).set_edited(true);
    }

    /// Bytes the entry takes, with a share of its bucket, without what an object owns.
    pub fn entry_memory(&self, at: EntryRef) -> usize {
        let raw = self.raw(at);
        raw.footprint() + size_of::<Segment>() / SPLIT_AT + Self::heap_size(raw)
    }

    /// Bytes allocated for the entry outside the arena, as `heap` counts them.
    fn heap_size(raw: Raw<CLOCK>) -> usize {
        Self::payload_size(&raw.payload()) + raw.heap_key().map_or(0, |key| key.len())
    }

    #[inline(always)]
    fn payload_size(payload: &Payload<'_>) -> usize {
        match payload {
            Payload::Inline(_) | Payload::Int(_) | Payload::Embedded(..) => 0,
            Payload::Heap(heap) => heap.capacity,
            // SAFETY: the payload is that of an entry, which owns its reference.
            Payload::Shared(shared) => unsafe { shared.memory() },
            Payload::Object(_) => size_of::<O>(),
        }
    }

    /// The string in place; `None` for integers and objects. `at` stays good.
    #[inline]
    pub fn bytes_mut(&mut self, at: EntryRef) -> Option<&mut [u8]> {
        self.before_write(at);
        let raw = self.raw(at);
        if let Payload::Shared(shared) = raw.payload() {
            self.unshare(raw, shared);
        }
        let bytes = raw.bytes_mut()?;
        raw.set_edited(true);
        Some(bytes)
    }

    /// The object in place; `None` for strings and integers. `at` stays good.
    #[inline]
    pub fn object_mut(&mut self, at: EntryRef) -> Option<&mut O> {
        self.before_write(at);
        match self.raw(at).payload() {
            // SAFETY: the entry owns this box of an `O`, and the table is borrowed mutably.
            Payload::Object(object) => Some(unsafe { &mut *object.cast::<O>() }),
            _ => None,
        }
    }

    /// An embedded value's tag and bytes in place; `None` for all others. `at` stays good.
    #[inline]
    pub fn embedded_mut(&mut self, at: EntryRef) -> Option<(u8, &mut [u8])> {
        self.before_write(at);
        self.raw(at).embedded_mut()
    }

    /// Overwrites an integer by another. `at` stays good. Answers false if the value is not an integer.
    #[inline]
    pub fn set_int(&mut self, at: EntryRef, number: i64) -> bool {
        self.before_write(at);
        self.raw(at).overwrite(&Payload::Int(number))
    }

    /// Adds an entry; `key` must be absent. `access` is kept by tables with a clock.
    #[inline]
    pub fn insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: NewValue<'_, O>,
        deadline: Option<u64>,
        access: u32,
    ) -> EntryRef {
        debug_assert!(self.find(hash, key).is_none());
        if let NewValue::Owned(bytes) = &value
            && bytes.len() <= INLINE_MAX
        {
            return self.insert(hash, key, NewValue::Bytes(bytes), deadline, access);
        }
        let key = if key.len() <= INLINE_MAX { KeyPart::Inline(key) } else { self.adopt_key(key) };
        let value = self.adopt(value);
        self.place(hash, &EntryDraft { key, value, deadline, access, edited: false })
    }

    #[cold]
    fn adopt_key<'a>(&mut self, key: &[u8]) -> KeyPart<'a> {
        self.heap += key.len();
        KeyPart::Heap(HeapKey::new(key))
    }

    /// Takes over a value: from here on its allocation counts as the table's.
    #[inline(always)]
    fn adopt<'a>(&mut self, value: NewValue<'a, O>) -> Payload<'a> {
        match value {
            NewValue::Int(number) => Payload::Int(number),
            NewValue::Bytes(bytes) if bytes.len() <= INLINE_MAX => Payload::Inline(bytes),
            NewValue::Bytes(bytes) => self.adopt_vec(bytes.to_vec()),
            NewValue::Embedded(tag, bytes) => {
                assert!(tag < entry::TAGS && (1..=EMBEDDED_MAX).contains(&bytes.len()));
                Payload::Embedded(tag, bytes)
            }
            // Short ones have been made `Bytes` before.
            NewValue::Owned(bytes) => self.adopt_vec(bytes),
            NewValue::Shared(bytes) => self.adopt_shared(bytes),
            NewValue::Object(object) => {
                self.heap += size_of::<O>();
                Payload::Object(Box::into_raw(object).cast())
            }
        }
    }

    /// Takes over a string of any length; capacity much beyond its length is given back.
    fn adopt_vec<'a>(&mut self, mut bytes: Vec<u8>) -> Payload<'a> {
        if bytes.capacity() - bytes.len() > bytes.len() / 8 {
            bytes.shrink_to_fit();
        }
        self.adopt_as_is(bytes)
    }

    fn adopt_as_is<'a>(&mut self, bytes: Vec<u8>) -> Payload<'a> {
        if bytes.len() >= SHARED_MIN {
            return self.adopt_shared(Arc::new(bytes));
        }
        let heap = HeapBytes::new(bytes);
        self.heap += heap.capacity;
        Payload::Heap(heap)
    }

    /// Enters a draft, whose allocations are already the table's.
    #[inline(always)]
    fn place(&mut self, hash: u64, draft: &EntryDraft<'_>) -> EntryRef {
        let need = footprint(draft.size(CLOCK));
        let dir_entry = self.directory.first(hash);
        // SAFETY: words refer to live segments.
        let head = unsafe { dir_entry.segment().as_ref() };
        let easy = usize::from(head.count) < SPLIT_AT && head.fits(need);
        let mut at = if easy { dir_entry.segment() } else { self.segment_with_room(hash, need) };
        // SAFETY: a segment with room is not the vacant one, so it is the table's own.
        let segment = unsafe { at.as_mut() };
        let (offset, entry) = segment.take(need, &self.pool);
        // SAFETY: `need` bytes were taken at `entry`.
        unsafe { draft.write::<CLOCK>(entry) };
        let slot = segment.occupy(home_bucket_of(hash, u32::from(segment.depth)), tag_of(hash), offset);
        self.len += 1;
        self.live += need;
        self.stamp.advance();
        // SAFETY: it has just been written.
        let raw = unsafe { Raw::<CLOCK>::at(entry) };
        self.heap_entries += usize::from(raw.owns_heap());
        if let Some(deadline) = draft.deadline {
            self.expires += 1;
            self.note_deadline(hash, deadline);
        }
        let at = self.token(at, slot, entry);
        if self.snapshot.is_some() {
            self.mark_placed(at, hash);
        }
        at
    }

    /// Removes an entry; answers what its value owned.
    #[inline]
    pub fn remove(&mut self, at: EntryRef, hash: u64) -> RemovedValue<O> {
        self.before_write(at);
        let raw = self.raw(at);
        let payload = raw.payload();
        if raw.owns_heap() {
            self.free_key(raw);
            self.heap -= Self::payload_size(&payload);
        }
        self.erase(at, hash);
        self.shrink_if_sparse(at.segment, hash);
        // SAFETY: the entry that owned it is gone.
        unsafe { Self::taken(payload) }
    }

    fn free_key(&mut self, raw: Raw<CLOCK>) {
        if let Some(key) = raw.heap_key() {
            self.heap -= key.len();
            // SAFETY: the callers are about to drop the entry and do not look at its key again.
            unsafe { key.free() };
        }
    }

    /// # Safety
    /// `payload` was read from an entry that is gone or will be overwritten.
    #[inline(always)]
    unsafe fn taken(payload: Payload<'_>) -> RemovedValue<O> {
        match payload {
            Payload::Inline(_) | Payload::Int(_) | Payload::Embedded(..) => RemovedValue::Nothing,
            // SAFETY: the caller vouches that no entry owns it any more.
            Payload::Heap(heap) => RemovedValue::Bytes(unsafe { heap.into_vec() }),
            // SAFETY: as above.
            Payload::Shared(shared) => RemovedValue::Shared(unsafe { shared.into_arc() }),
            // SAFETY: as above; objects are boxes of `O`.
            Payload::Object(object) => RemovedValue::Object(unsafe { Box::from_raw(object.cast::<O>()) }),
        }
    }

    /// Takes an entry out of its segment, without regard to what it owns.
    #[inline(always)]
    fn erase(&mut self, mut at: EntryRef, hash: u64) {
        let raw = self.raw(at);
        self.heap_entries -= usize::from(raw.owns_heap());
        self.expires -= usize::from(raw.flags() & DEADLINE != 0);
        self.len -= 1;
        self.stamp.advance();
        // SAFETY: `at` is good, so its segment is alive and has the entry.
        let segment = unsafe { at.segment.as_mut() };
        let footprint = raw.footprint();
        self.live -= footprint;
        segment.give_back(segment.offset(usize::from(at.slot)), footprint);
        segment.vacate(home_bucket_of(hash, u32::from(segment.depth)), usize::from(at.slot));
    }
}

impl<O, const CLOCK: bool> Drop for Table<O, CLOCK> {
    fn drop(&mut self) {
        while !self.free_some(usize::MAX) {}
    }
}

impl<O, const CLOCK: bool> std::fmt::Debug for Table<O, CLOCK> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({} entries, {} segments)", self.len, self.segments.len())
    }
}
