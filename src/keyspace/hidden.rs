//! Hidden slots: a cluster's node has some of their keys and isn't their owner. It is being sent them, or is about to remove them.
//!
//! Their keys are in the databases and take memory, but are neither counted nor listed nor drawn, don't expire and aren't evicted; requests for them go to
//! other nodes anyway. While no slot is hidden this costs a comparison where keys are listed, and nothing where they are looked up.

use std::sync::Arc;

use super::database::{Database, Keyspace};
use crate::base::crc::{SLOTS, key_slot};
use crate::base::rng::Rng;
use crate::base::slot_set::SlotSet;
use crate::structures::table::EntryRef;

/// Keys drawn until one is shown; after that, slots are looked at.
const DRAWS: usize = 16;

impl Keyspace {
    /// Hides these slots from now on, and no others. Only where keys are in slot order.
    pub fn hide_slots(&mut self, slots: &SlotSet) {
        let hidden = (!slots.is_empty()).then(|| Arc::new(slots.clone()));
        for database in self.databases_mut() {
            database.hidden.clone_from(&hidden);
        }
    }
}

impl Database {
    /// Whether a key is of a slot that isn't hidden.
    #[inline]
    pub fn shows(&self, key: &[u8]) -> bool {
        self.hidden.as_ref().is_none_or(|hidden| !hidden.contains(key_slot(key)))
    }

    /// Whether a slot's keys are shown.
    pub fn shows_slot(&self, slot: u16) -> bool {
        self.hidden.as_ref().is_none_or(|hidden| !hidden.contains(slot))
    }

    /// How many keys are shown.
    pub fn shown_len(&self) -> usize {
        self.hidden.as_ref().map_or(self.len(), |hidden| self.len() - self.count_in_slots(hidden))
    }

    /// Whether any key is shown.
    pub fn shows_any(&self) -> bool {
        match self.hidden {
            None => !self.is_empty(),
            Some(_) => self.next_shown_slot(0).is_some(),
        }
    }

    /// A key that is shown, at random.
    pub fn random_shown(&self, rng: &mut Rng) -> Option<EntryRef> {
        if self.hidden.is_none() {
            return self.table.random(rng);
        }
        for _ in 0..DRAWS {
            let at = self.table.random(rng)?;
            if self.shows(self.table.key(at)) {
                return Some(at);
            }
        }
        let first = rng.below(u64::from(SLOTS)) as u16;
        let slot = self.next_shown_slot(first).or_else(|| self.next_shown_slot(0))?;
        self.random_in_slot(slot, rng)
    }

    /// A key with a deadline that is shown, at random; there may be one if this is `None`.
    pub fn random_shown_volatile(&self, rng: &mut Rng) -> Option<EntryRef> {
        if self.hidden.is_none() {
            return self.table.random_volatile(rng);
        }
        for _ in 0..DRAWS {
            let at = self.table.random_volatile(rng)?;
            if self.shows(self.table.key(at)) {
                return Some(at);
            }
        }
        let at = self.random_shown(rng)?;
        self.table.deadline(at).map(|_| at)
    }

    /// The first slot from `slot` on that has keys and is shown.
    pub(super) fn next_shown_slot(&self, slot: u16) -> Option<u16> {
        let mut from = Some(slot);
        while let Some(slot) = from.and_then(|slot| (slot..SLOTS).find(|slot| self.shows_slot(*slot))) {
            let found = self.next_slot(slot)?;
            if self.shows_slot(found) {
                return Some(found);
            }
            from = found.checked_add(1);
        }
        None
    }
}
