//! Snapshot of a table: hands each entry, as it was when the snapshot began, to a sink once, a few at a time, while the
//! table goes on changing.
//!
//! ```text
//! hashes   0 ────────────────────────────────────────────────────▶ 2^64
//!          handed over by the walk │ not yet, but for marked entries
//!                                  ▲ from
//! ```
//!
//! The walk hands over bucket after bucket, in the order of hashes. An entry that the walk has not reached is handed over before it is
//! changed or removed, and marked by a bit beside its slot; an entry that is added there is marked, too. The walk passes
//! marked entries by and takes the marks away. Segments split and merge meanwhile, and entries keep their marks.
//! A snapshot that is cancelled leaves its marks where they are: the table's epoch goes on, and the marks of a segment of another
//! epoch mean nothing.
//!
//! A large object need not be handed over at once: the sink may keep it open ([`Captured::Open`]). The object then
//! protects itself, and its owner finishes it ([`Table::open_objects`]).
//!
//! A table that is dropped, or emptied by [`Table::drain_some`], hands over all that is left: nothing is lost, whatever becomes of it.
#![allow(unsafe_code)]

use std::sync::Arc;

use super::entry::{Payload, Raw};
use super::segment::{CAPACITY, Segment, end_of_bucket, home_bucket_of};
use super::{EntryRef, EntryValue, Table};
use crate::base::hash::{first_of_slot, slot_of};
use crate::base::slot_set::SlotSet;
use crate::structures::prefetch::prefetch;

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
    /// The walk goes on with this hash; all below has been handed over, and is not marked.
    from: u64,
    /// Entries of other slots are not wanted: they are neither handed over nor marked. `None`: all are wanted.
    slots: Option<SlotSet>,
}

impl<O> Snapshot<O> {
    /// Whether the walk is still to come by an entry of this hash that is wanted.
    fn is_ahead(&self, hash: u64) -> bool {
        hash >= self.from && self.slots.as_ref().is_none_or(|slots| slots.contains(slot_of(hash)))
    }

    /// The first hash from `from` on of a slot that is wanted; 0: there is none.
    fn next_wanted(&self, from: u64) -> u64 {
        let Some(slots) = &self.slots else { return from };
        if from == 0 || slots.contains(slot_of(from)) {
            return from;
        }
        slots.next(slot_of(from)).map_or(0, first_of_slot)
    }
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// Begins a snapshot: `sink` will be given every entry that is in the table now, as it is now, once. One that was under
    /// way is dropped.
    pub fn start_snapshot(&mut self, sink: Box<dyn SnapshotSink<O>>) {
        self.cancel_snapshot();
        if !self.is_empty() {
            self.snapshot = Some(Box::new(Snapshot { sink, from: 0, slots: None }));
        }
    }

    /// The same of the entries of some slots, in a table in slot order. Changes of others cost a look at their hash.
    pub fn start_snapshot_of(&mut self, slots: &SlotSet, sink: Box<dyn SnapshotSink<O>>) {
        self.cancel_snapshot();
        if let Some(first) = slots.next(0).filter(|_| !self.is_empty()) {
            let slots = Some(slots.clone());
            self.snapshot = Some(Box::new(Snapshot { sink, from: first_of_slot(first), slots }));
        }
    }

    /// Whether a snapshot is under way. What is left then is [`Self::open_objects`].
    #[inline]
    pub fn in_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        self.open_objects = Vec::new();
        if self.snapshot.take().is_none() {
            return;
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            // Marks of all epochs may be left.
            for segment in &mut self.segments {
                // SAFETY: the list's segments are alive, and the table is borrowed mutably.
                unsafe { segment.as_mut() }.set_epoch(0);
            }
        }
    }

    /// Hands over the entries of up to `buckets` further buckets, of some fourteen entries each; false when there are no more.
    pub fn snapshot_step(&mut self, buckets: usize) -> bool {
        let Some(mut snapshot) = self.snapshot.take() else { return false };
        for _ in 0..buckets {
            let next = self.hand_over_bucket(&mut snapshot);
            snapshot.from = snapshot.next_wanted(next);
            if snapshot.from == 0 {
                return false;
            }
        }
        self.snapshot = Some(snapshot);
        true
    }

    /// Keys, with their hashes, of objects that the sink keeps open; entries that were removed since may be among them.
    /// The owner of the table finishes the objects and takes the keys off the list.
    pub fn open_objects(&mut self) -> &mut Vec<(u64, Box<[u8]>)> {
        &mut self.open_objects
    }

    /// Before an entry is changed or removed: hands it over.
    #[inline(always)]
    pub(super) fn before_write(&mut self, at: EntryRef) {
        if self.snapshot.is_some() {
            self.hand_over_entry(at);
        }
    }

    #[cold]
    fn hand_over_entry(&mut self, mut at: EntryRef) {
        let Some(mut snapshot) = self.snapshot.take() else { return };
        let raw = self.raw(at);
        let (hash, slot) = (self.hash(raw.key()), usize::from(at.slot));
        // SAFETY: `at` is good, so its segment is alive, and the table is borrowed mutably.
        let segment = unsafe { at.segment.as_mut() };
        segment.set_epoch(self.epoch);
        if snapshot.is_ahead(hash) && !segment.is_handed(slot) {
            segment.set_handed(slot, true);
            self.give(raw, hash, &mut *snapshot.sink);
        }
        self.snapshot = Some(snapshot);
    }

    /// An entry was added, or has moved after it was handed over: the walk passes it by.
    #[cold]
    pub(super) fn mark_placed(&mut self, mut at: EntryRef, hash: u64) {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.is_ahead(hash)) {
            // SAFETY: `at` is good, so its segment is alive, and the table is borrowed mutably.
            let segment = unsafe { at.segment.as_mut() };
            segment.set_epoch(self.epoch);
            segment.set_handed(usize::from(at.slot), true);
        }
    }

    /// Hands over the wanted entries with hashes at `from` and above of the bucket that `from` belongs to, but for those that are marked,
    /// which it unmarks; answers where the next bucket begins, 0 behind the last.
    fn hand_over_bucket(&mut self, snapshot: &mut Snapshot<O>) -> u64 {
        let from = snapshot.from;
        let dir_entry = self.directory.resolve(from);
        let depth = dir_entry.depth();
        let home_bucket = home_bucket_of(from, depth);
        // SAFETY: words refer to live segments.
        let bucket_end = end_of_bucket(unsafe { dir_entry.segment().as_ref() }.prefix(), home_bucket, depth);
        let mut next = (!self.is_empty()).then(|| dir_entry.segment());
        while let Some(mut at) = next {
            // SAFETY: chains refer to live segments, and a table with entries has none but its own; it is borrowed mutably,
            // and a sink has no access to it.
            let segment: &mut Segment = unsafe { at.as_mut() };
            segment.set_epoch(self.epoch);
            let mut slots = [0u16; CAPACITY];
            let mut count = 0;
            // The entries lie apart: their cache misses overlap.
            for slot in segment.slots_of_bucket(home_bucket) {
                let entry = segment.entry(slot, &self.pool);
                prefetch(entry);
                prefetch(entry.wrapping_add(64));
                slots[count] = slot as u16;
                count += 1;
            }
            for slot in slots[..count].iter().map(|&slot| usize::from(slot)) {
                // SAFETY: the slot is occupied.
                let raw = unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) };
                let hash = self.hash(raw.key());
                if !snapshot.is_ahead(hash) || home_bucket_of(hash, depth) != home_bucket {
                    continue;
                }
                if segment.is_handed(slot) {
                    segment.set_handed(slot, false);
                } else {
                    self.give(raw, hash, &mut *snapshot.sink);
                }
            }
            next = segment.next();
        }
        bucket_end
    }

    /// Gives a sink an entry of this table.
    fn give(&mut self, raw: Raw<CLOCK>, hash: u64, sink: &mut dyn SnapshotSink<O>) {
        // SAFETY: the table is borrowed mutably, and the sink is done with the entry when it answers.
        if sink.take(unsafe { Self::snapshot_entry(raw) }) == Captured::Open {
            self.open_objects.push((hash, raw.key().into()));
        }
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
        if self.in_snapshot() {
            while self.snapshot_step(usize::MAX) {}
        }
        self.snapshot = None;
    }
}
