//! Snapshots of large collections: their parts are handed over a few at a time, each before it is changed.
//!
//! ```text
//! set, hash    a table hands over its entries       `structures/table/snapshot.rs`
//! sorted set   the same by its table of members     `zset/tree.rs`
//! ```
//!
//! The collection may be changed, moved or removed meanwhile: what is left is handed over before it is lost.

use super::Value;
use super::hash::Hash;
use super::set::Set;
use super::zset::Zset;
use crate::structures::table::{Captured, EntryValue, Never, SnapshotEntry, SnapshotSink, SnapshotValue};

/// Collections of more elements than this are handed over in parts.
const LARGE: usize = 512;

/// A part of a collection.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    /// A member of a set.
    Member(&'a [u8]),
    /// A field of a hash, its value, and its deadline in ms.
    Field(&'a [u8], &'a [u8], Option<u64>),
    /// A member of a sorted set, and its score.
    Scored(&'a [u8], f64),
}

/// Takes the parts of a collection. It is dropped when it has been given all of them.
pub trait ElementSink: Send {
    /// Takes a part.
    fn take(&mut self, element: Element<'_>);
}

/// Gives the entries of a set's or a hash's table to a sink of elements.
struct TableSink {
    elements: Box<dyn ElementSink>,
    /// Whether they are fields with values.
    is_hash: bool,
}

impl SnapshotSink<Never> for TableSink {
    fn take(&mut self, entry: SnapshotEntry<'_, Never>) -> Captured {
        let value: &[u8] = match &entry.value {
            SnapshotValue::Plain(EntryValue::Bytes(bytes)) => bytes,
            SnapshotValue::Shared(bytes) => bytes,
            // Neither sets nor hashes have other values.
            SnapshotValue::Plain(_) | SnapshotValue::Object(_) => return Captured::Whole,
        };
        self.elements.take(if self.is_hash {
            Element::Field(entry.key, value, entry.deadline)
        } else {
            Element::Member(entry.key)
        });
        Captured::Whole
    }
}

impl Value {
    /// Whether it is to be handed over in parts: [`Self::start_snapshot`] is for such a collection only.
    pub fn is_large(&self) -> bool {
        match self {
            Value::Set(Set::Table(table)) => table.len() > LARGE,
            Value::Hash(Hash::Table(table)) => table.len() > LARGE,
            Value::Zset(Zset::Tree(tree)) => tree.len() > LARGE,
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::Stream(_) => false,
        }
    }

    /// Begins a snapshot: `sink` will be given every part of the collection, as it is now, once. One that was under way is dropped.
    pub fn start_snapshot(&mut self, sink: Box<dyn ElementSink>) {
        match self {
            Value::Set(Set::Table(table)) => {
                table.start_snapshot(Box::new(TableSink { elements: sink, is_hash: false }));
            }
            Value::Hash(Hash::Table(table)) => {
                table.start_snapshot(Box::new(TableSink { elements: sink, is_hash: true }));
            }
            Value::Zset(Zset::Tree(tree)) => tree.start_snapshot(sink),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::Stream(_) => {}
        }
    }

    /// Whether a snapshot is under way.
    #[inline]
    pub fn in_snapshot(&self) -> bool {
        match self {
            Value::Set(Set::Table(table)) => table.in_snapshot(),
            Value::Hash(Hash::Table(table)) => table.in_snapshot(),
            Value::Zset(Zset::Tree(tree)) => tree.in_snapshot(),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::Stream(_) => false,
        }
    }

    /// Hands over a slice of some microseconds; false when nothing is left.
    pub fn snapshot_step(&mut self) -> bool {
        match self {
            Value::Set(Set::Table(table)) => table.snapshot_step(1),
            Value::Hash(Hash::Table(table)) => table.snapshot_step(1),
            Value::Zset(Zset::Tree(tree)) => tree.snapshot_step(1),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::Stream(_) => false,
        }
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        match self {
            Value::Set(Set::Table(table)) => table.cancel_snapshot(),
            Value::Hash(Hash::Table(table)) => table.cancel_snapshot(),
            Value::Zset(Zset::Tree(tree)) => tree.cancel_snapshot(),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::Stream(_) => {}
        }
    }
}
