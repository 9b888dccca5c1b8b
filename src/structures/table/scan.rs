//! Scans of the table: by cursor, as an iterator, and picking entries at random.
//!
//! A scan's cursor is the top 48 bits of a hash: all keys below it have been shown. Hashes do not change
//! when segments split or merge, so a key that is there throughout is shown exactly once.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::directory::CURSOR_SPARE_BITS;
use super::entry::Raw;
use super::segment::{BUCKETS, CAPACITY, Segment};
use super::{EntryRef, EntryValue, Table};
use crate::base::rng::Rng;

/// Random segments tried before the search for an entry goes on in order.
const RANDOM_TRIES: usize = 1 << 12;

/// An entry as a scan shows it.
#[derive(Debug)]
pub struct Entry<'a, O> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: EntryValue<'a, O>,
    /// The deadline in milliseconds, if there is one.
    pub deadline: Option<u64>,
    /// The access word; 0 in a table without a clock.
    pub access: u32,
    /// Where it is.
    pub at: EntryRef,
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    pub(super) fn show(&self, segment: NonNull<Segment>, slot: usize, raw: Raw<CLOCK>) -> Entry<'_, O> {
        Entry {
            key: raw.key(),
            value: self.value_of(raw),
            deadline: raw.deadline(),
            access: raw.access(),
            at: self.token(segment, slot, raw.address()),
        }
    }

    /// Shows the entries of one bucket, from `cursor` on (0 to begin), and answers where to go on: 0 at the end.
    /// Every key that is in the table from the first call to the last is shown exactly once.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Entry<'_, O>)) -> u64 {
        let end =
            self.scan_from(cursor << CURSOR_SPARE_BITS, |_, at, slot, raw| visit(self.show(at, slot, raw)));
        end >> CURSOR_SPARE_BITS
    }

    /// All entries, in no order worth relying on.
    pub fn iter(&self) -> Iter<'_, O, CLOCK> {
        Iter { table: self, segment: 0, bucket: 0, mask: 0 }
    }

    /// An entry, each as likely as any other; `None` of an empty table.
    pub fn random(&self, rng: &mut Rng) -> Option<EntryRef> {
        if self.is_empty() {
            return None;
        }
        let segments = self.segments.len();
        let mut index = 0;
        for _ in 0..RANDOM_TRIES {
            index = rng.below(segments as u64) as usize;
            let nth = rng.below(CAPACITY as u64) as u32;
            // SAFETY: the list's segments are alive.
            if nth < u32::from(unsafe { self.segments[index].as_ref() }.count) {
                return Some(self.nth_of(index, nth));
            }
        }
        // Nearly all segments are nearly empty, which keys whose hashes we chose do not bring about.
        let index = (index..index + segments).map(|at| at % segments).find(|&at| {
            // SAFETY: the list's segments are alive.
            unsafe { self.segments[at].as_ref() }.count > 0
        })?;
        Some(self.nth_of(index, 0))
    }

    fn nth_of(&self, index: usize, nth: u32) -> EntryRef {
        let at = self.segments[index];
        // SAFETY: the list's segments are alive.
        let segment = unsafe { at.as_ref() };
        let slot = segment.nth(nth);
        self.token(at, slot, segment.entry(slot, &self.pool))
    }

    /// Shows `n` entries (all, if there are fewer) that lie together somewhere at random: cheap, and random enough for eviction.
    pub fn sample(&self, rng: &mut Rng, n: usize, mut visit: impl FnMut(Entry<'_, O>)) {
        if self.is_empty() {
            return;
        }
        let mut iter = self.iter();
        iter.segment = rng.below(self.segments.len() as u64) as usize;
        iter.enter_bucket(rng.below(BUCKETS as u64) as usize);
        let n = n.min(self.len);
        for _ in 0..n {
            let entry = iter.next().or_else(|| {
                iter = self.iter();
                iter.next()
            });
            if let Some(entry) = entry {
                visit(entry);
            }
        }
    }

    /// The mean deadline of a sample of the entries that have one.
    pub fn mean_deadline(&self, rng: &mut Rng) -> Option<u64> {
        const SAMPLE: usize = 256;
        if self.expires == 0 {
            return None;
        }
        let (mut sum, mut count) = (0u128, 0u128);
        self.sample(rng, SAMPLE, |entry| {
            if let Some(deadline) = entry.deadline {
                sum += u128::from(deadline);
                count += 1;
            }
        });
        sum.checked_div(count).map_or_else(|| self.next_deadline(), |mean| Some(mean as u64))
    }
}

/// See [`Table::iter`].
pub struct Iter<'a, O, const CLOCK: bool> {
    table: &'a Table<O, CLOCK>,
    /// The segment's number in the list.
    segment: usize,
    /// The next bucket to look at.
    bucket: usize,
    /// Slots of the bucket before that are still to be shown.
    mask: u32,
}

impl<O, const CLOCK: bool> Iter<'_, O, CLOCK> {
    fn enter_bucket(&mut self, bucket: usize) {
        (self.bucket, self.mask) = (bucket, 0);
    }
}

impl<'a, O, const CLOCK: bool> Iterator for Iter<'a, O, CLOCK> {
    type Item = Entry<'a, O>;

    fn next(&mut self) -> Option<Entry<'a, O>> {
        loop {
            let &at = self.table.segments.get(self.segment)?;
            // SAFETY: the list's segments are alive.
            let segment = unsafe { at.as_ref() };
            if self.mask != 0 {
                let slot = (self.bucket - 1) * super::bucket::SLOTS + self.mask.trailing_zeros() as usize;
                self.mask &= self.mask - 1;
                // SAFETY: the slot is occupied.
                let raw = unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.table.pool)) };
                return Some(self.table.show(at, slot, raw));
            }
            if self.bucket < BUCKETS {
                self.mask = segment.bucket(self.bucket).occupied();
                self.bucket += 1;
            } else {
                self.segment += 1;
                self.enter_bucket(0);
            }
        }
    }
}

impl<O, const CLOCK: bool> std::fmt::Debug for Iter<'_, O, CLOCK> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Iter(segment {}, bucket {})", self.segment, self.bucket)
    }
}
