//! The journal: what the running execution unit changed, written by edits, read by the engine's propagation.
//!
//! From it follow WATCH, client tracking, keyspace notifications, clients to unblock, and the DELs of what expired or
//! was evicted. Each consumer has its flag; while none is set a write only counts, which costs one branch.

use std::ops::Range;

use super::OwnDeadlines;
use super::event::{self, Event};

/// A recorded event of a key.
#[derive(Clone, Debug)]
pub struct Change {
    pub db: u32,
    key: Range<usize>,
    pub event: Event,
    /// Whether the key's value or existence changed (a missed read changes nothing).
    pub modified: bool,
}

/// A key, or a field of a hash, that expired, was evicted or went with its slot: no command removed it.
#[derive(Clone, Debug)]
pub struct Removal {
    pub db: u32,
    /// The places of the key and, if a field was removed, of the field in `removed_names`.
    key: Range<usize>,
    field: Option<Range<usize>>,
    pub cause: Event,
}

/// The changes of the running unit.
#[derive(Debug, Default)]
pub struct Journal {
    /// Changes that commands made to the data set since start-up; the engine compares it before and after a call.
    pub dirty: u64,
    /// Changes are recorded, not just counted: clients watch keys or are blocked on them.
    pub records_keys: bool,
    /// Removals are recorded: the command stream has consumers.
    pub records_removals: bool,
    /// Classes of events that are published; 0 when notifications are off, or have no subscribers.
    pub classes: u32,
    /// Keys of which no primary says when they are past their deadline.
    pub own_deadlines: OwnDeadlines,
    changes: Vec<Change>,
    /// How many of them have been published.
    published: usize,
    /// How many of them clients that track have been told of.
    tracked: usize,
    is_tracked: bool,
    keys: Vec<u8>,
    removals: Vec<Removal>,
    removed_names: Vec<u8>,
}

impl Journal {
    /// Whether no change is recorded.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Counts `amount` changes of a key's value and records `event`.
    #[inline]
    pub fn changed(&mut self, db: u32, key: &[u8], amount: u64, event: Event) {
        self.dirty += amount;
        if self.records_keys || self.classes & event.class != 0 {
            self.record(db, key, event, true);
        }
    }

    /// Records an event that changes no value (`keymiss`, `new`, the second event of a command).
    #[inline]
    pub fn record_event(&mut self, db: u32, key: &[u8], event: Event) {
        if self.classes & event.class != 0 {
            self.record(db, key, event, false);
        }
    }

    /// Records that a key expired or was evicted. `dirty` doesn't count it: no command did it.
    pub fn record_removal(&mut self, db: u32, key: &[u8], cause: Event) {
        debug_assert!(cause == event::EXPIRED || cause == event::EVICTED);
        self.changed(db, key, 0, cause);
        self.push_removal(db, key, None, cause);
    }

    /// Records that a key went because its slot is another node's now.
    pub fn record_loss(&mut self, db: u32, key: &[u8]) {
        self.changed(db, key, 1, event::SLOT_LOST);
        self.push_removal(db, key, None, event::SLOT_LOST);
    }

    /// Records that a field of a hash expired.
    pub fn record_field_removal(&mut self, db: u32, key: &[u8], field: &[u8]) {
        self.push_removal(db, key, Some(field), event::HEXPIRED);
    }

    fn push_removal(&mut self, db: u32, key: &[u8], field: Option<&[u8]>, cause: Event) {
        if self.records_removals {
            let mut put = |bytes: &[u8]| {
                let start = self.removed_names.len();
                self.removed_names.extend_from_slice(bytes);
                start..self.removed_names.len()
            };
            let (key, field) = (put(key), field.map(put));
            self.removals.push(Removal { db, key, field, cause });
        }
    }

    /// The removals since [`Self::clear_removals`], in order.
    #[inline]
    pub fn removals(&self) -> &[Removal] {
        &self.removals
    }

    /// The key of a removal, and the field if a field was removed.
    pub fn name_of(&self, removal: &Removal) -> (&[u8], Option<&[u8]>) {
        let field = removal.field.clone().map(|field| &self.removed_names[field]);
        (&self.removed_names[removal.key.clone()], field)
    }

    /// Forgets the removals, which have been propagated.
    pub fn clear_removals(&mut self) {
        self.removals.clear();
        self.removals.shrink_to(1024);
        self.removed_names.clear();
        self.removed_names.shrink_to(64 * 1024);
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

    /// Whether there are clients that track. What changed before the first one came is not for it.
    pub fn tracks(&mut self, tracks: bool) {
        if tracks && !std::mem::replace(&mut self.is_tracked, tracks) {
            self.tracked = self.changes.len();
        }
        self.is_tracked = tracks;
    }

    /// Where the changes begin that clients which track have not been told of yet; from now on, they have of all.
    pub fn start_invalidating(&mut self) -> usize {
        std::mem::replace(&mut self.tracked, self.changes.len())
    }

    /// Forgets the changes; the count stays.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.published = 0;
        self.tracked = 0;
        self.keys.clear();
        self.keys.shrink_to(64 * 1024);
        self.changes.shrink_to(1024);
    }

    /// Bytes that it takes.
    pub fn memory_usage(&self) -> usize {
        let changes = self.changes.capacity() * size_of::<Change>();
        let removals = self.removals.capacity() * size_of::<Removal>();
        changes + removals + self.keys.capacity() + self.removed_names.capacity()
    }

    /// Whether any event of `class` is published on either kind of channel.
    pub fn publishes(&self, class: u32) -> bool {
        self.classes & class != 0
    }
}
