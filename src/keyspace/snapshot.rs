//! Snapshot of the keyspace: every key as it was when the snapshot began, handed over a few at a time while commands go on.
//!
//! Each database's table hands over its entries, a change first what it is about to change (`structures/table/snapshot.rs`).
//! A large collection is opened when its entry's turn comes, and hands over its elements in the same way (`value/snapshot.rs`);
//! it is finished before the walk goes on. Tables and collections that are removed meanwhile wait in [`LazyFree`](super::LazyFree),
//! which has them hand over what is left before they are freed. So the snapshot is complete when all its sinks have been dropped.

use super::{Database, Keyspace};
use crate::base::slot_set::SlotSet;
use crate::structures::table::SnapshotSink;
use crate::value::Value;

/// Buckets of entries that are handed over at a time.
const BUCKETS: usize = 2;

impl Keyspace {
    /// Begins a snapshot: `sink_of` makes the sink of each database that has keys.
    pub fn start_snapshot(&mut self, mut sink_of: impl FnMut(&Database) -> Box<dyn SnapshotSink<Value>>) {
        for database in self.databases_mut() {
            database.cancel_snapshot();
            if !database.is_empty() {
                let sink = sink_of(database);
                database.table.start_snapshot(sink);
            }
        }
    }

    /// Begins a snapshot of the keys of some slots: of one that is under way, for another purpose, nothing more is handed over.
    pub fn start_slot_snapshot(
        &mut self,
        slots: &SlotSet,
        mut sink_of: impl FnMut(&Database) -> Box<dyn SnapshotSink<Value>>,
    ) {
        for database in self.databases_mut() {
            database.cancel_snapshot();
            if !database.is_empty() {
                let sink = sink_of(database);
                database.table.start_snapshot_of(slots, sink);
            }
        }
    }

    /// Hands over a slice of some microseconds; false when the databases have nothing left.
    pub fn snapshot_step(&mut self) -> bool {
        self.databases_mut().iter_mut().any(Database::snapshot_step)
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        self.databases_mut().iter_mut().for_each(Database::cancel_snapshot);
        self.lazy_free.cancel_snapshot();
    }
}

impl Database {
    fn snapshot_step(&mut self) -> bool {
        if self.table.open_objects().is_empty() {
            // The last buckets may have opened some.
            return self.table.snapshot_step(BUCKETS) || !self.table.open_objects().is_empty();
        }
        if !self.open_value().is_some_and(Value::snapshot_step) {
            self.table.open_objects().pop();
        }
        true
    }

    /// The last of the collections that are open, unless it is gone.
    fn open_value(&mut self) -> Option<&mut Value> {
        let (hash, key) = self.table.open_objects().last_mut()?;
        let (hash, key) = (*hash, std::mem::take(key));
        let at = self.table.find(hash, &key);
        if let Some(place) = self.table.open_objects().last_mut() {
            place.1 = key;
        }
        self.table.object_mut(at?)
    }

    fn cancel_snapshot(&mut self) {
        while !self.table.open_objects().is_empty() {
            if let Some(value) = self.open_value() {
                value.cancel_snapshot();
            }
            self.table.open_objects().pop();
        }
        self.table.cancel_snapshot();
    }
}
