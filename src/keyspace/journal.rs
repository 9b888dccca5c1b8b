//! The journal: what the running unit changed, written by edits, drained by the engine's `settle`.
//!
//! From it follow WATCH, client tracking, keyspace notifications, clients to unblock and the
//! propagation of removals nobody asked for (expiry, eviction). While nobody listens it only
//! counts: one branch on a write.

use std::ops::Range;

use super::event::{self, Event, class};
use crate::resp::OwnedArgs;

/// One thing that happened to a key.
#[derive(Clone, Debug)]
pub struct Change {
    pub db: u32,
    key: Range<usize>,
    pub event: Event,
    /// Whether the key's value or existence changed (a missed read changes nothing).
    pub modified: bool,
}

/// The changes of the running unit.
#[derive(Debug, Default)]
pub struct Journal {
    /// Changes to the dataset since start-up; effects compare it before and after.
    pub dirty: u64,
    /// Somebody watches, waits, tracks or consumes: changes are recorded, not just counted.
    pub recording: bool,
    /// Classes of events that are published; 0 when notifications are off.
    pub classes: u32,
    changes: Vec<Change>,
    /// How many of them have been published.
    published: usize,
    keys: Vec<u8>,
    /// Database, and an HDEL each: fields that went by themselves, for those who repeat what happens.
    field_removals: Vec<(u32, OwnedArgs)>,
}

impl Journal {
    /// Nothing to settle.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// A key's value changed by `amount` changes, and `event` tells how. Always counts.
    #[inline]
    pub fn changed(&mut self, db: u32, key: &[u8], amount: u64, event: Event) {
        self.dirty += amount;
        if self.recording || self.classes != 0 {
            self.record(db, key, event, true);
        }
    }

    /// Something happened that changes no value (`keymiss`, `new`, the second event of a command).
    #[inline]
    pub fn happened(&mut self, db: u32, key: &[u8], event: Event) {
        if self.classes & event.class != 0 {
            self.record(db, key, event, false);
        }
    }

    /// A key went by itself: recorded whenever anybody listens, so that it is propagated as DEL.
    pub fn vanished(&mut self, db: u32, key: &[u8], event: Event) {
        debug_assert!(event == event::EXPIRED || event == event::EVICTED);
        self.changed(db, key, 1, event);
    }

    /// A field of a hash went by itself.
    pub fn field_vanished(&mut self, db: u32, key: &[u8], field: &[u8]) {
        if self.recording {
            self.field_removals.push((db, OwnedArgs::from_parts([b"HDEL".as_slice(), key, field])));
        }
    }

    /// Takes the HDELs of fields that went by themselves.
    pub fn take_field_removals(&mut self) -> Vec<(u32, OwnedArgs)> {
        std::mem::take(&mut self.field_removals)
    }

    #[cold]
    fn record(&mut self, db: u32, key: &[u8], event: Event, modified: bool) {
        let start = self.keys.len();
        self.keys.extend_from_slice(key);
        self.changes.push(Change { db, key: start..self.keys.len(), event, modified });
    }

    /// The key of a change of this journal.
    pub fn key(&self, change: &Change) -> &[u8] {
        &self.keys[change.key.clone()]
    }

    /// The changes in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Where the changes begin that have not been published yet; from now on, all have.
    pub fn start_publishing(&mut self) -> usize {
        std::mem::replace(&mut self.published, self.changes.len())
    }

    /// Forgets the changes; the count stays.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.published = 0;
        self.field_removals.clear();
        self.keys.clear();
        self.keys.shrink_to(64 * 1024);
        self.changes.shrink_to(1024);
    }

    /// Whether any event of `class` is published on either kind of channel.
    pub fn publishes(&self, class: u32) -> bool {
        self.classes & class != 0 && self.classes & (class::KEYSPACE | class::KEYEVENT) != 0
    }
}
