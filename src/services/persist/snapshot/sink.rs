//! Sinks of a snapshot: encode the entries of a database, and the elements of large collections, and send them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use super::super::rdb::{Access, Collection, FieldLayout, KeyHeader, RdbFormat, RecordBuffer};
use super::{CollectionId, PIECE, Part, Shared};
use crate::keyspace::{LruClock, frequency, idle_seconds};
use crate::structures::listpack::Entry;
use crate::structures::table::{Captured, EntryValue, SnapshotEntry, SnapshotSink, SnapshotValue};
use crate::value::Value;
use crate::value::element::{Element, ElementSink};
use crate::value::vector_set::VectorSet;

/// What a record says of the use of its key, as of the snapshot's beginning.
#[derive(Clone, Copy, Debug)]
pub enum AccessRule {
    /// Nothing.
    None,
    /// Seconds since the last use.
    Idle(LruClock),
    /// The counter of uses.
    Frequency(LruClock),
}

impl AccessRule {
    fn apply(&self, word: u32) -> Option<Access> {
        match self {
            AccessRule::None => None,
            AccessRule::Idle(clock) => Some(Access::Idle(idle_seconds(word, clock))),
            AccessRule::Frequency(clock) => Some(Access::Frequency(frequency(word, clock) as u8)),
        }
    }
}

/// What a sink sends by, and how it encodes.
#[derive(Clone)]
pub(super) struct Handle {
    pub sender: Sender<Part>,
    pub shared: Arc<Shared>,
    pub format: RdbFormat,
    pub compress: bool,
    pub access: AccessRule,
}

impl Handle {
    pub fn send(&self, part: Part) {
        self.shared.queued.add(part.memory());
        // Without a receiver the snapshot is over, which the walk will notice.
        let _ = self.sender.send(part);
    }

    fn buffer(&self) -> RecordBuffer {
        RecordBuffer::new(self.format, self.compress)
    }
}

/// Takes the entries of a database.
pub struct RecordSink {
    handle: Handle,
    db: u32,
    buffer: RecordBuffer,
}

impl RecordSink {
    pub(super) fn new(handle: Handle, db: u32, (keys, deadlines): (u64, u64)) -> Self {
        let mut buffer = handle.buffer();
        buffer.resize_db(keys, deadlines);
        RecordSink { handle, db, buffer }
    }

    fn send(&mut self) {
        self.handle.send(Part::Records(self.db, self.buffer.take()));
    }

    /// Lets a large collection hand over its elements by a sink of its own.
    fn open(&mut self, header: &KeyHeader<'_>, value: &mut Value) {
        let id = CollectionId(self.handle.shared.collections.fetch_add(1, Ordering::Relaxed) as u64);
        let (mut layout, mut count) = (FieldLayout::Plain, value.element_count());
        let collection = match &*value {
            Value::Set(_) => Collection::Set,
            Value::Zset(_) => Collection::Zset,
            Value::Hash(hash) => {
                layout = FieldLayout::of(hash, self.handle.format);
                Collection::Hash(layout)
            }
            Value::List(list) => {
                count = list.node_count();
                Collection::List
            }
            // One is never large in this sense.
            Value::VectorSet(_) => return,
            Value::Stream(stream) => {
                count = stream.log.node_count();
                Collection::Stream { has_idempotency: stream.has_idempotency() }
            }
        };
        let mut head = self.handle.buffer();
        head.open_collection(header, collection, count as u64);
        self.handle.send(Part::Open(id, self.db, head.take()));
        let buffer = self.handle.buffer();
        value.start_snapshot(Box::new(CollectionSink { handle: self.handle.clone(), id, layout, buffer }));
    }
}

impl SnapshotSink<Value> for RecordSink {
    fn take(&mut self, entry: SnapshotEntry<'_, Value>) -> Captured {
        let access = self.handle.access.apply(entry.access);
        let header = KeyHeader { key: entry.key, deadline: entry.deadline, access };
        // Only the event loop counts.
        let keys = &self.handle.shared.keys;
        keys.store(keys.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        match entry.value {
            SnapshotValue::Plain(value) => self.buffer.record(&header, value),
            SnapshotValue::Shared(bytes) => self.buffer.record_shared(&header, bytes),
            SnapshotValue::Object(Value::VectorSet(set)) => {
                // The clone is the set of this moment: the writer encodes it.
                let set = Arc::new(VectorSet::clone(set));
                let mut next = self.buffer.open_vectors(&header, &set);
                while next < set.graph().bound() {
                    self.send();
                    next = self.buffer.more_vectors(&set, next);
                }
            }
            SnapshotValue::Object(value) if value.is_large() => {
                self.open(&header, value);
                return Captured::Open;
            }
            SnapshotValue::Object(value) => self.buffer.record(&header, EntryValue::Object(value)),
        }
        if self.buffer.len() >= PIECE || self.handle.shared.trickles.load(Ordering::Relaxed) {
            self.send();
        }
        Captured::Whole
    }
}

impl Drop for RecordSink {
    fn drop(&mut self) {
        self.send();
    }
}

/// Takes the elements of a large collection.
struct CollectionSink {
    handle: Handle,
    id: CollectionId,
    /// That of a hash's fields.
    layout: FieldLayout,
    buffer: RecordBuffer,
}

impl ElementSink for CollectionSink {
    fn take(&mut self, element: Element<'_>) {
        let mut writer = self.buffer.writer();
        match element {
            Element::Member(member) => writer.string(member),
            Element::Scored(member, score) => {
                writer.string(member);
                writer.double(score);
            }
            Element::Field(name, value, deadline) => {
                writer.field(self.layout, Entry::Str(name), Entry::Str(value), deadline);
            }
            Element::ListNode(node) => writer.list_node(node),
            Element::StreamPart(part) => writer.stream_part(part, self.handle.format),
        }
        if self.buffer.len() >= PIECE {
            self.handle.send(Part::Elements(self.id, self.buffer.take()));
        }
    }
}

impl Drop for CollectionSink {
    fn drop(&mut self) {
        self.handle.send(Part::Elements(self.id, self.buffer.take()));
        self.handle.send(Part::Close(self.id));
    }
}
