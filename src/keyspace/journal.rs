//! The journal: what the running execution unit changed, written by edits, read by the engine's propagation.
//!
//! From it follow WATCH, client tracking, keyspace notifications, clients to unblock, and the DELs of what expired or
//! was evicted. Each consumer has its flag; while none is set a write only counts, which costs one branch.

use std::ops::Range;

use super::event::{self, Event};

/// One thing that happened to a key.
#[derive(Clone, Debug)]
pub struct Change {
    pub db: u32,
    key: Range<usize>,
    pub event: Event,
    /// Whether the key's value or existence changed (a missed read changes nothing).
    pub modified: bool,
}

/// A key, or a field of a hash, that was removed by no command: its time was over, or memory was short.
#[derive(Clone, Debug)]
pub struct Vanished {
    pub db: u32,
    /// The key, and behind it the field, if it is one that vanished.
    key: Range<usize>,
    field: Option<Range<usize>>,
    pub cause: Event,
}

/// The changes of the running unit.
#[derive(Debug, Default)]
pub struct Journal {
    /// Changes that commands made to the data set since start-up; the engine compares it before and after a call.
    pub dirty: u64,
    /// Keys are wanted (clients watch or wait): changes are recorded, not just counted.
    pub records_keys: bool,
    /// What vanishes is wanted: the command stream has consumers.
    pub records_vanished: bool,
    /// Classes of events that are published; 0 when notifications are off, or have no subscribers.
    pub classes: u32,
    changes: Vec<Change>,
    /// How many of them have been published.
    published: usize,
    keys: Vec<u8>,
    vanished: Vec<Vanished>,
    vanished_bytes: Vec<u8>,
}

impl Journal {
    /// Whether no change is recorded.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// A key's value changed by `amount` changes, as `event` says. Always counts.
    #[inline]
    pub fn changed(&mut self, db: u32, key: &[u8], amount: u64, event: Event) {
        self.dirty += amount;
        if self.records_keys || self.classes & event.class != 0 {
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

    /// A key was removed because its time was over, or memory short. Not counted: no command did it.
    pub fn vanished(&mut self, db: u32, key: &[u8], cause: Event) {
        debug_assert!(cause == event::EXPIRED || cause == event::EVICTED);
        self.changed(db, key, 0, cause);
        self.record_vanished(db, key, None, cause);
    }

    /// A field of a hash was removed because its time was over.
    pub fn field_vanished(&mut self, db: u32, key: &[u8], field: &[u8]) {
        self.record_vanished(db, key, Some(field), event::HEXPIRED);
    }

    fn record_vanished(&mut self, db: u32, key: &[u8], field: Option<&[u8]>, cause: Event) {
        if self.records_vanished {
            let mut put = |bytes: &[u8]| {
                let start = self.vanished_bytes.len();
                self.vanished_bytes.extend_from_slice(bytes);
                start..self.vanished_bytes.len()
            };
            let (key, field) = (put(key), field.map(put));
            self.vanished.push(Vanished { db, key, field, cause });
        }
    }

    /// What vanished since [`Self::clear_vanished`], in order.
    #[inline]
    pub fn vanished_so_far(&self) -> &[Vanished] {
        &self.vanished
    }

    /// The key, and the field if it is one, of what vanished.
    pub fn name_of(&self, vanished: &Vanished) -> (&[u8], Option<&[u8]>) {
        let field = vanished.field.clone().map(|field| &self.vanished_bytes[field]);
        (&self.vanished_bytes[vanished.key.clone()], field)
    }

    /// Forgets what vanished: it has been propagated.
    pub fn clear_vanished(&mut self) {
        self.vanished.clear();
        self.vanished.shrink_to(1024);
        self.vanished_bytes.clear();
        self.vanished_bytes.shrink_to(64 * 1024);
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
        self.keys.clear();
        self.keys.shrink_to(64 * 1024);
        self.changes.shrink_to(1024);
    }

    /// Whether any event of `class` is published on either kind of channel.
    pub fn publishes(&self, class: u32) -> bool {
        self.classes & class != 0
    }
}
