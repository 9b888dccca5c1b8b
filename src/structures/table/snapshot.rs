//! Snapshot of a table: hands each entry, as it was when the snapshot began, to a sink once, a few at a time, while the
//! table goes on changing.
//!
//! The walk hands over groups of entries with neighbouring hashes in order ([`HashGroups`]). A change first hands over the
//! group of the entry's hash, unless that has been done; so an entry that is added, changed or removed is always in a group that is done.
//!
//! A large object need not be handed over at once: the sink may keep it open ([`Captured::Open`]). The object then
//! protects itself, and its owner finishes it ([`Table::open_objects`]).
//!
//! A table that is dropped, or emptied by [`Table::drain_some`], hands over all that is left: nothing is lost, whatever becomes of it.
#![allow(unsafe_code)]

use std::sync::Arc;

use super::bucket::prefetch;
use super::entry::{Payload, Raw};
use super::segment::{Segment, end_of_bucket, home_bucket_of};
use super::{EntryRef, EntryValue, Table};
use crate::structures::hash_groups::HashGroups;

/// The value of an entry on its way to a sink.
#[derive(Debug)]
pub enum SnapshotValue<'a, O> {
    /// An integer, a string or an embedded object; never [`EntryValue::Object`].
    Plain(EntryValue<'a, O>),
    /// A string of [`SHARED_MIN`](super::SHARED_MIN) bytes and more, by reference.
    Shared(Arc<Vec<u8>>),
    /// A boxed object.
    Object(&'a mut O),
}

/// An entry on its way to a sink.
#[derive(Debug)]
pub struct SnapshotEntry<'a, O> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: SnapshotValue<'a, O>,
    /// The deadline in milliseconds, if there is one.
    pub deadline: Option<u64>,
    /// The access word; 0 in a table without a clock.
    pub access: u32,
}

/// How a sink has taken an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    /// It has everything.
    Whole,
    /// The object is in a snapshot of its own, which is to be finished.
    Open,
}

/// Takes the entries of a snapshot. It is dropped when it has been given all of them.
pub trait SnapshotSink<O>: Send {
    /// Takes an entry.
    fn take(&mut self, entry: SnapshotEntry<'_, O>) -> Captured;
}

/// The state of a snapshot.
pub(super) struct Snapshot<O> {
    sink: Box<dyn SnapshotSink<O>>,
    groups: HashGroups,
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// Begins a snapshot: `sink` will be given every entry that is in the table now, as it is now, once. A snapshot that was
    /// under way is dropped.
    pub fn start_snapshot(&mut self, sink: Box<dyn SnapshotSink<O>>) {
        self.open_objects.clear();
        self.snapshot =
            (!self.is_empty()).then(|| Box::new(Snapshot { sink, groups: HashGroups::new(self.len) }));
    }

    /// Whether a snapshot is under way. What is left then is [`Self::open_objects`].
    #[inline]
    pub fn in_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        self.snapshot = None;
        self.open_objects = Vec::new();
    }

    /// Hands over up to `groups` further groups, of some sixteen entries each; false when there are no more.
    pub fn snapshot_step(&mut self, groups: usize) -> bool {
        for _ in 0..groups {
            let Some(snapshot) = &mut self.snapshot else { return false };
            let Some(group) = snapshot.groups.next_group() else { break };
            self.hand_over(group);
        }
        self.end_if_complete();
        self.snapshot.is_some()
    }

    fn end_if_complete(&mut self) {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.groups.is_complete()) {
            self.snapshot = None;
        }
    }

    /// Keys, with their hashes, of objects that the sink keeps open; entries that were removed since may be among them.
    /// The owner of the table finishes the objects and takes the keys off the list.
    pub fn open_objects(&mut self) -> &mut Vec<(u64, Box<[u8]>)> {
        &mut self.open_objects
    }

    /// Before an entry of this hash is added, changed or removed: hands over what is there.
    #[inline(always)]
    pub(super) fn before_write(&mut self, hash: u64) {
        if self.snapshot.is_some() {
            self.hand_over_group_of(hash);
        }
    }

    /// [`Self::before_write`] for an entry whose hash is not known.
    #[inline(always)]
    pub(super) fn before_write_at(&mut self, at: EntryRef) {
        if self.snapshot.is_some() {
            self.hand_over_group_of(self.hash(self.key(at)));
        }
    }

    #[cold]
    fn hand_over_group_of(&mut self, hash: u64) {
        let Some(snapshot) = &self.snapshot else { return };
        let group = snapshot.groups.group_of(hash);
        if !snapshot.groups.is_done(group) {
            self.hand_over(group);
            self.end_if_complete();
        }
    }

    /// Gives the sink all entries of a group that is not done.
    fn hand_over(&mut self, group: u64) {
        let Some(mut snapshot) = self.snapshot.take() else { return };
        let (start, end) = snapshot.groups.range(group);
        let mut from = start;
        loop {
            from = self.hand_over_bucket(from, end, &mut *snapshot.sink);
            if from == 0 || (end != 0 && from >= end) {
                break;
            }
        }
        snapshot.groups.set_done(group);
        self.snapshot = Some(snapshot);
    }

    /// Gives the sink the entries with hashes at `from` and above, below `end` (0: no end), of the bucket that `from`
    /// belongs to; answers where the next bucket begins, 0 behind the last.
    fn hand_over_bucket(&mut self, from: u64, end: u64, sink: &mut dyn SnapshotSink<O>) -> u64 {
        let dir_entry = self.dir_entry(from);
        let depth = dir_entry.depth();
        let home_bucket = home_bucket_of(from, depth);
        // SAFETY: words refer to live segments.
        let bucket_end = end_of_bucket(unsafe { dir_entry.segment().as_ref() }.prefix(), home_bucket, depth);
        let mut next = Some(dir_entry.segment());
        while let Some(at) = next {
            // SAFETY: chains refer to live segments; a sink has no access to the table, so none changes meanwhile.
            let segment: &Segment = unsafe { at.as_ref() };
            // The entries lie apart: their cache misses overlap.
            for slot in segment.slots_of_bucket(home_bucket) {
                let entry = segment.entry(slot, &self.pool);
                prefetch(entry);
                prefetch(entry.wrapping_add(64));
            }
            for slot in segment.slots_of_bucket(home_bucket) {
                // SAFETY: the slot is occupied.
                let raw = unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) };
                let hash = self.hash(raw.key());
                let is_of_group = hash >= from && (end == 0 || hash < end);
                if !is_of_group || home_bucket_of(hash, depth) != home_bucket {
                    continue;
                }
                // SAFETY: the table is borrowed mutably, and the sink is done with the entry when it answers.
                if sink.take(unsafe { Self::snapshot_entry(raw) }) == Captured::Open {
                    self.open_objects.push((hash, raw.key().into()));
                }
            }
            next = segment.next();
        }
        bucket_end
    }

    /// # Safety
    /// The entry stays as it is, and nothing else refers to its object, for as long as the answer is used.
    unsafe fn snapshot_entry<'a>(raw: Raw<CLOCK>) -> SnapshotEntry<'a, O>
    where
        O: 'a,
    {
        let value = match raw.payload() {
            Payload::Int(number) => SnapshotValue::Plain(EntryValue::Int(number)),
            Payload::Inline(bytes) => SnapshotValue::Plain(EntryValue::Bytes(bytes)),
            Payload::Embedded(tag, bytes) => SnapshotValue::Plain(EntryValue::Embedded(tag, bytes)),
            // SAFETY: the entry owns these bytes, and stays as it is.
            Payload::Heap(heap) => SnapshotValue::Plain(EntryValue::Bytes(unsafe {
                std::slice::from_raw_parts(heap.ptr, heap.len)
            })),
            // SAFETY: the entry owns its reference.
            Payload::Shared(shared) => SnapshotValue::Shared(unsafe { shared.hold() }),
            // SAFETY: the entry owns this box of an `O`, to which nothing else refers.
            Payload::Object(object) => SnapshotValue::Object(unsafe { &mut *object.cast::<O>() }),
        };
        SnapshotEntry { key: raw.key(), value, deadline: raw.deadline(), access: raw.access() }
    }

    /// Hands over all that is left: the table is about to lose its entries.
    #[cold]
    pub(super) fn finish_snapshot(&mut self) {
        while self.snapshot_step(usize::MAX) {}
    }
}
