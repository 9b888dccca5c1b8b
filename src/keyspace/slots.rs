//! Keys by slot, for a cluster's node: counting, listing, walking, measuring and removing those of one slot.
//!
//! Databases of a [`Keyspace::in_slot_order`] are ordered by slot, so a slot is a range of hashes, and nothing is kept about it: a write
//! costs the same as elsewhere. Of other databases, what is asked for here makes no sense.

use super::database::{Database, Keyspace};
use super::event;
use super::view::DbView;
use crate::base::crc::SLOTS;
use crate::base::hash::{SLOT_BITS, first_of_slot, slot_of};
use crate::base::rng::Rng;
use crate::base::slot_set::SlotSet;
use crate::structures::table::{Entry, EntryRef, EntryValue, HashRange};
use crate::value::Value;

/// Low bits of a hash that positions in a slot lack.
const CURSOR_SPARE_BITS: u32 = 16;
/// Nodes of a list or stream that are looked at to estimate what it takes.
const SAMPLES: usize = 5;

/// Why keys of a slot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRemoval {
    /// A command removes them, which is propagated itself: the event is `del`.
    ByCommand,
    /// The slot is another node's now. They live on there, so no event is published; replicas and logs get a DEL of each.
    Lost,
}

/// The hashes of a slot's keys.
fn hashes_of(slot: u16) -> HashRange {
    first_of_slot(slot)..=first_of_slot(slot) | u64::MAX >> SLOT_BITS
}

impl Database {
    /// How many keys there are in a slot, those past their deadline included. Takes time for its segments, not for its keys.
    pub fn count_in_slot(&self, slot: u16) -> usize {
        self.table.count_range(&hashes_of(slot))
    }

    /// How many keys there are in some slots: takes time for ranges of them, not for each.
    pub fn count_in_slots(&self, slots: &SlotSet) -> usize {
        let count = slots.ranges().map(|slots| {
            let (first, last) = (hashes_of(*slots.start()), hashes_of(*slots.end()));
            self.table.count_range(&(*first.start()..=*last.end()))
        });
        count.sum()
    }

    /// Up to `max` keys of a slot.
    pub fn keys_in_slot(&self, slot: u16, max: usize) -> Vec<Box<[u8]>> {
        let (mut keys, mut left) = (Vec::new(), Some(hashes_of(slot)));
        while let Some(range) = left.take_if(|_| keys.len() < max) {
            left = self.table.scan_range(&range, |entry| {
                if keys.len() < max {
                    keys.push(entry.key.into());
                }
            });
        }
        keys
    }

    /// Shows some twenty entries of a slot, from `cursor` on (0 to begin), and answers where to go on: 0 at the end. Every key that is there from
    /// the first call to the last is shown exactly once. Cursors are smaller than 2^34.
    pub fn scan_slot(&self, slot: u16, cursor: u64, visit: impl FnMut(Entry<'_, Value>)) -> u64 {
        let hashes = hashes_of(slot);
        let from = hashes.start() | cursor << CURSOR_SPARE_BITS & (u64::MAX >> SLOT_BITS);
        let left = self.table.scan_range(&(from..=*hashes.end()), visit);
        left.map_or(0, |left| (left.start() - hashes.start()) >> CURSOR_SPARE_BITS)
    }

    /// As [`Table::scan`](crate::structures::table::Table::scan) of all keys, or of those of one slot.
    /// Those of slots that are hidden aren't shown.
    pub fn scan(&self, cursor: u64, only: Option<u16>, mut visit: impl FnMut(Entry<'_, Value>)) -> u64 {
        let visit = |entry: Entry<'_, Value>| {
            if self.shows(entry.key) {
                visit(entry);
            }
        };
        let Some(slot) = only else { return self.scan_shown(cursor, visit) };
        if !self.shows_slot(slot) {
            return 0;
        }
        let hashes = hashes_of(slot);
        let from = (cursor << CURSOR_SPARE_BITS).max(*hashes.start());
        if from > *hashes.end() {
            return 0;
        }
        self.table
            .scan_range(&(from..=*hashes.end()), visit)
            .map_or(0, |left| left.start() >> CURSOR_SPARE_BITS)
    }

    /// As [`Table::scan`](crate::structures::table::Table::scan), past slots that are hidden.
    fn scan_shown(&self, cursor: u64, visit: impl FnMut(Entry<'_, Value>)) -> u64 {
        if self.hidden.is_none() {
            return self.table.scan(cursor, visit);
        }
        let past_hidden = |cursor: u64| {
            let slot = slot_of(cursor << CURSOR_SPARE_BITS);
            if self.shows_slot(slot) {
                return Some(cursor);
            }
            let shown = (slot..SLOTS).find(|slot| self.shows_slot(*slot))?;
            Some(first_of_slot(shown) >> CURSOR_SPARE_BITS)
        };
        let Some(from) = past_hidden(cursor) else { return 0 };
        match self.table.scan(from, visit) {
            0 => 0,
            next => past_hidden(next).unwrap_or(0),
        }
    }

    /// Whether keys lie in the order of their slots.
    pub fn is_in_slot_order(&self) -> bool {
        self.table.hasher().is_in_slot_order()
    }

    /// Some key of a slot at random; not each as likely as any other.
    pub fn random_in_slot(&self, slot: u16, rng: &mut Rng) -> Option<EntryRef> {
        self.table.random_in(&hashes_of(slot), rng)
    }

    /// Bytes that the keys of a slot take with their values, for up to `buckets` of some fourteen keys from `cursor` on (0 to begin); and where to go on, 0
    /// at the end. Lists and streams are estimated.
    pub fn slot_memory(&self, slot: u16, mut cursor: u64, buckets: usize) -> (usize, u64) {
        let mut bytes = 0;
        for _ in 0..buckets {
            cursor = self.scan_slot(slot, cursor, |entry| {
                bytes += self.table.entry_memory(entry.at);
                if let EntryValue::Object(value) = entry.value {
                    bytes += value.memory_usage(SAMPLES);
                }
            });
            if cursor == 0 {
                break;
            }
        }
        (bytes, cursor)
    }

    /// The first slot from `slot` on that has keys.
    pub fn next_slot(&self, slot: u16) -> Option<u16> {
        self.table.next_slot(slot)
    }
}

impl Keyspace {
    /// The slots in which there are keys, in any database.
    pub fn populated_slots(&self) -> SlotSet {
        let mut slots = SlotSet::new();
        for database in self.databases() {
            let mut next = database.next_slot(0);
            while let Some(slot) = next {
                slots.insert(slot);
                next = slot
                    .checked_add(1)
                    .filter(|slot| slot >> SLOT_BITS == 0)
                    .and_then(|slot| database.next_slot(slot));
            }
        }
        slots
    }

    /// Keys of some slots in all databases.
    pub fn count_in_slots(&self, slots: &SlotSet) -> usize {
        self.databases().iter().map(|database| database.count_in_slots(slots)).sum()
    }

    /// Keys of a slot in all databases.
    pub fn count_in_slot(&self, slot: u16) -> usize {
        self.databases().iter().map(|database| database.count_in_slot(slot)).sum()
    }
}

impl DbView<'_> {
    /// Removes up to `max` keys of a slot, past their deadline or not; how many. There are no more when it is less than `max`.
    pub fn remove_from_slot(&mut self, slot: u16, max: usize, why: SlotRemoval) -> usize {
        let keys = self.db.keys_in_slot(slot, max);
        for key in &keys {
            let hash = self.db.table.hash(key);
            let Some(at) = self.db.table.find(hash, key) else { continue };
            self.remove_entry(at, hash, key);
            match why {
                SlotRemoval::ByCommand => self.journal.changed(self.db.index, key, 1, event::DEL),
                SlotRemoval::Lost => self.journal.record_loss(self.db.index, key),
            }
        }
        keys.len()
    }
}
