//! Ranges of hashes: counts and shows the entries whose hashes lie in one, such as those of a slot in a table in slot order.
//!
//! Segments that lie within a range are counted by what they know of themselves; only in those at its ends are hashes looked at.
#![allow(unsafe_code)]

use std::ops::RangeInclusive;
use std::ptr::NonNull;

use super::directory::{CURSOR_SPARE_BITS, DirEntry};
use super::entry::Raw;
use super::segment::{Segment, end_of_bucket, home_bucket_of};
use super::{Entry, EntryRef, Table};
use crate::base::hash::{first_of_slot, slot_of};
use crate::base::rng::Rng;

/// Hashes from the first to the last.
pub type HashRange = RangeInclusive<u64>;

/// The last hash that a segment of `depth` covers, the first of which is `prefix`.
fn last_of(prefix: u64, depth: u32) -> u64 {
    prefix | u64::MAX.checked_shr(depth).unwrap_or(0)
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// How many entries have a hash in `range`.
    pub fn count_range(&self, range: &HashRange) -> usize {
        let mut count = 0;
        let mut from = *range.start();
        loop {
            let dir_entry = self.directory.resolve(from);
            let covered = self.covered(dir_entry);
            let is_within = covered.start() >= range.start() && covered.end() <= range.end();
            count += match is_within {
                true => self.chain(dir_entry).map(|segment| usize::from(segment.count)).sum(),
                false => self.hashes(dir_entry).filter(|hash| range.contains(hash)).count(),
            };
            if covered.end() >= range.end() {
                return count;
            }
            from = covered.end() + 1;
        }
    }

    /// Shows those entries of one bucket that have a hash in `range`, and answers what is left of the range: `None` at its end. Entries
    /// that are there until the whole range has been shown are shown exactly once.
    pub fn scan_range(&self, range: &HashRange, mut visit: impl FnMut(Entry<'_, O>)) -> Option<HashRange> {
        let from = *range.start();
        let next = self.scan_from(from, |hash, at, slot, raw| {
            if hash <= *range.end() {
                visit(self.show(at, slot, raw));
            }
        });
        (next > from && next <= *range.end()).then(|| next..=*range.end())
    }

    /// Some entry with a hash in `range`, from a place in it at random.
    pub fn random_in(&self, range: &HashRange, rng: &mut Rng) -> Option<EntryRef> {
        let width = range.end() - range.start();
        let middle = range.start() + if width == u64::MAX { rng.next_u64() } else { rng.below(width + 1) };
        // Buckets begin where a cursor can name it.
        let middle = (middle >> CURSOR_SPARE_BITS << CURSOR_SPARE_BITS).max(*range.start());
        self.random_from(middle..=*range.end(), rng).or_else(|| self.random_from(range.clone(), rng))
    }

    /// Some entry of the first bucket that has any in `range`.
    fn random_from(&self, range: HashRange, rng: &mut Rng) -> Option<EntryRef> {
        let (mut found, mut count, mut left) = (None, 0, Some(range));
        while let Some(range) = left.take_if(|_| count == 0) {
            left = self.scan_range(&range, |entry| {
                count += 1;
                if rng.below(count) == 0 {
                    found = Some(entry.at);
                }
            });
        }
        found
    }

    /// The first slot from `slot` on that has entries, in a table in slot order.
    pub fn next_slot(&self, slot: u16) -> Option<u16> {
        let mut from = first_of_slot(slot);
        loop {
            let head = self.directory.resolve(from);
            let covered = self.covered(head);
            let is_vacant = self.chain(head).all(|segment| segment.count == 0);
            if !is_vacant && slot_of(*covered.start()) == slot_of(*covered.end()) {
                return Some(slot_of(from));
            }
            let mut least = None;
            let next = match is_vacant {
                true => covered.end().wrapping_add(1),
                false => self.scan_from(from, |hash, _, _, _| {
                    least = Some(least.map_or(hash, |least: u64| least.min(hash)));
                }),
            };
            match least {
                Some(least) => return Some(slot_of(least)),
                None if next == 0 => return None,
                None => from = next,
            }
        }
    }

    /// The hashes that a head covers.
    fn covered(&self, head: DirEntry) -> HashRange {
        // SAFETY: words refer to live segments.
        let prefix = unsafe { head.segment().as_ref() }.prefix();
        prefix..=last_of(prefix, head.depth())
    }

    fn chain(&self, head: DirEntry) -> impl Iterator<Item = &Segment> {
        let mut next = Some(head.segment());
        std::iter::from_fn(move || {
            // SAFETY: words and chains refer to live segments.
            let segment = unsafe { next?.as_ref() };
            next = segment.next();
            Some(segment)
        })
    }

    fn hashes(&self, head: DirEntry) -> impl Iterator<Item = u64> {
        self.chain(head).flat_map(move |segment| {
            segment.slots().map(move |slot| {
                // SAFETY: the slot is occupied.
                self.hash(unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) }.key())
            })
        })
    }

    /// Visits the entries of the bucket that `from` belongs to which have that hash or a greater one; answers the first hash behind the
    /// bucket, 0 behind the last of all.
    pub(super) fn scan_from(
        &self,
        from: u64,
        mut visit: impl FnMut(u64, NonNull<Segment>, usize, Raw<CLOCK>),
    ) -> u64 {
        let dir_entry = self.directory.resolve(from);
        let depth = dir_entry.depth();
        let home_bucket = home_bucket_of(from, depth);
        let mut next = Some(dir_entry.segment());
        while let Some(at) = next {
            // SAFETY: words and chains refer to live segments.
            let segment = unsafe { at.as_ref() };
            for slot in segment.slots_of_bucket(home_bucket) {
                // SAFETY: the slot is occupied.
                let raw = unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) };
                let hash = self.hash(raw.key());
                if home_bucket_of(hash, depth) == home_bucket && hash >= from {
                    visit(hash, at, slot, raw);
                }
            }
            next = segment.next();
        }
        end_of_bucket(*self.covered(dir_entry).start(), home_bucket, depth)
    }
}
