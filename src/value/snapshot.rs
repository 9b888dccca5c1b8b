//! Snapshots of large collections: their parts are handed over a few at a time, each before it is changed.
//!
//! ```text
//! set, hash    a table hands over its entries       `structures/table/snapshot.rs`
//! sorted set   the same by its table of members     `zset/tree.rs`
//! list         nodes, in order                      `structures/quicklist/snapshot.rs`
//! stream       nodes and groups, in order           `stream/snapshot.rs`
//! vector set   at once, as a clone, which is one moment of it
//! ```
//!
//! The collection may be changed, moved or removed meanwhile: what is left is handed over before it is lost.

use super::Value;
use super::element::{Element, ElementSink};
use super::hash::Hash;
use super::list::List;
use super::set::Set;
use super::stream::{StreamPart, StreamSink};
use super::zset::Zset;
use crate::structures::quicklist::{Node, NodeSink};
use crate::structures::table::{Captured, EntryValue, Never, SnapshotEntry, SnapshotSink, SnapshotValue};

/// Collections of more elements than this are handed over in parts.
const LARGE: usize = 512;
/// Lists and streams of more nodes than this are handed over in parts.
const LARGE_NODES: usize = 16;

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

/// Gives the parts of a list or a stream to a sink of elements.
struct PartSink(Box<dyn ElementSink>);

impl NodeSink for PartSink {
    fn take(&mut self, node: &Node) {
        self.0.take(Element::ListNode(node));
    }
}

impl StreamSink for PartSink {
    fn take(&mut self, part: StreamPart<'_>) {
        self.0.take(Element::StreamPart(part));
    }
}

impl Value {
    /// Whether it is to be handed over in parts: [`Self::start_snapshot`] is for such a collection only.
    pub fn is_large(&self) -> bool {
        match self {
            Value::Set(Set::Table(table)) => table.len() > LARGE,
            Value::Hash(Hash::Table(table)) => table.len() > LARGE,
            Value::Zset(Zset::Tree(tree)) => tree.len() > LARGE,
            Value::List(list) => list.node_count() > LARGE_NODES,
            Value::Stream(stream) => {
                stream.log.node_count() > LARGE_NODES || stream.has_more_parts_than(LARGE)
            }
            // A clone of it is handed over as a whole.
            Value::VectorSet(_) => false,
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) => false,
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
            Value::List(List::Quicklist(nodes)) => nodes.start_snapshot(Box::new(PartSink(sink))),
            Value::Stream(stream) => stream.start_snapshot(Box::new(PartSink(sink))),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::VectorSet(_) => {}
        }
    }

    /// Whether a snapshot is under way.
    #[inline]
    pub fn in_snapshot(&self) -> bool {
        match self {
            Value::Set(Set::Table(table)) => table.in_snapshot(),
            Value::Hash(Hash::Table(table)) => table.in_snapshot(),
            Value::Zset(Zset::Tree(tree)) => tree.in_snapshot(),
            Value::List(List::Quicklist(nodes)) => nodes.in_snapshot(),
            Value::Stream(stream) => stream.in_snapshot(),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::VectorSet(_) => false,
        }
    }

    /// Hands over a slice of some microseconds; false when nothing is left.
    pub fn snapshot_step(&mut self) -> bool {
        match self {
            Value::Set(Set::Table(table)) => table.snapshot_step(1),
            Value::Hash(Hash::Table(table)) => table.snapshot_step(1),
            Value::Zset(Zset::Tree(tree)) => tree.snapshot_step(1),
            Value::List(List::Quicklist(nodes)) => nodes.snapshot_step(),
            Value::Stream(stream) => stream.snapshot_step(),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::VectorSet(_) => false,
        }
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        match self {
            Value::Set(Set::Table(table)) => table.cancel_snapshot(),
            Value::Hash(Hash::Table(table)) => table.cancel_snapshot(),
            Value::Zset(Zset::Tree(tree)) => tree.cancel_snapshot(),
            Value::List(List::Quicklist(nodes)) => nodes.cancel_snapshot(),
            Value::Stream(stream) => stream.cancel_snapshot(),
            Value::Set(_) | Value::Hash(_) | Value::Zset(_) | Value::List(_) | Value::VectorSet(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::value::Limits;
    use crate::value::list::End;
    use std::collections::BTreeMap;
    use std::sync::mpsc::{Receiver, Sender, channel};

    type Parts = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    struct Collect(Sender<(Vec<u8>, Vec<u8>, Option<u64>)>);

    impl ElementSink for Collect {
        fn take(&mut self, element: Element<'_>) {
            let part = match element {
                Element::Member(member) => (member.to_vec(), Vec::new(), None),
                Element::Field(name, value, deadline) => (name.to_vec(), value.to_vec(), deadline),
                Element::Scored(member, score) => (member.to_vec(), score.to_le_bytes().to_vec(), None),
                Element::ListNode(_) | Element::StreamPart(_) => {
                    panic!("the tests of lists and streams are theirs")
                }
            };
            self.0.send(part).expect("the test listens");
        }
    }

    /// All that a sink was given; nothing comes twice.
    fn collect(parts: &Receiver<(Vec<u8>, Vec<u8>, Option<u64>)>) -> Parts {
        let mut all = Parts::new();
        for (name, value, deadline) in parts {
            assert!(all.insert(name, (value, deadline)).is_none(), "a part came twice");
        }
        all
    }

    fn contents(value: &Value) -> Parts {
        let digits = &mut itoa::Buffer::new();
        match value {
            Value::Set(set) => {
                set.iter().map(|entry| (entry.bytes(digits).to_vec(), (vec![], None))).collect()
            }
            Value::Hash(hash) => hash
                .iter()
                .map(|field| {
                    let value = field.value.bytes(&mut itoa::Buffer::new()).to_vec();
                    (field.name.bytes(digits).to_vec(), (value, field.deadline))
                })
                .collect(),
            Value::Zset(zset) => zset
                .descending(0..zset.len())
                .map(|(member, score)| (member.bytes(digits).to_vec(), (score.to_le_bytes().to_vec(), None)))
                .collect(),
            Value::List(_) | Value::Stream(_) | Value::VectorSet(_) => Parts::new(),
        }
    }

    fn change(value: &mut Value, rng: &mut Rng, limits: &Limits) {
        let name = rng.below(3000).to_string().into_bytes();
        match value {
            Value::Set(set) if rng.below(2) == 0 => drop(set.insert(&name, limits)),
            Value::Set(set) => drop(set.remove(&name)),
            Value::Hash(hash) => match rng.below(4) {
                0 | 1 => {
                    hash.set(&name, &vec![b'v'; rng.below(300) as usize], rng.below(2) == 0, limits);
                }
                2 => {
                    hash.set_deadline(&name, Some(rng.below(1 << 40)).filter(|at| at % 4 != 0));
                }
                _ => drop(hash.remove(&name)),
            },
            Value::Zset(zset) => match rng.below(8) {
                0..6 => drop(zset.insert(&name, rng.below(100) as f64, limits)),
                6 => drop(zset.remove(&name)),
                _ => {
                    let rank = rng.below(zset.len() as u64 + 1) as usize;
                    zset.remove_ranks(rank..(rank + 2).min(zset.len()));
                }
            },
            Value::List(_) | Value::Stream(_) | Value::VectorSet(_) => {}
        }
    }

    fn start(value: &mut Value) -> Receiver<(Vec<u8>, Vec<u8>, Option<u64>)> {
        let (sender, parts) = channel();
        value.start_snapshot(Box::new(Collect(sender)));
        parts
    }

    /// One value of each type.
    fn values() -> [Value; 3] {
        [Value::Set(Set::new()), Value::Hash(Hash::new()), Value::Zset(Zset::new())]
    }

    #[test]
    fn a_snapshot_is_the_collection_as_it_was() {
        let limits = Limits::default();
        for (seed, mut value) in (1..).zip(values()) {
            let mut rng = Rng::new(seed);
            (0..4000).for_each(|_| change(&mut value, &mut rng, &limits));
            for round in 0..8 {
                let before = contents(&value);
                assert!(value.is_large());
                let parts = start(&mut value);
                let most = [0, 5, 60, 2000][round % 4];
                while value.in_snapshot() {
                    (0..rng.below(most + 1)).for_each(|_| change(&mut value, &mut rng, &limits));
                    value.snapshot_step();
                }
                assert!(collect(&parts) == before);
            }
        }
    }

    #[test]
    fn what_becomes_of_the_collection_loses_nothing() {
        let limits = Limits::default();
        for fate in 0..3 {
            for (seed, mut value) in (1..).zip(values()) {
                let mut rng = Rng::new(seed);
                (0..4000).for_each(|_| change(&mut value, &mut rng, &limits));
                let before = contents(&value);
                let parts = start(&mut value);
                value.snapshot_step();
                assert!(!value.duplicate().in_snapshot());
                match fate {
                    0 => drop(value),
                    1 => drop(value.free_some(1)),
                    _ => while value.snapshot_step() {},
                }
                assert!(collect(&parts) == before);
            }
        }
    }

    #[test]
    fn a_cancelled_snapshot_takes_no_more() {
        let limits = Limits::default();
        for (seed, mut value) in (1..).zip(values()) {
            let mut rng = Rng::new(seed);
            (0..4000).for_each(|_| change(&mut value, &mut rng, &limits));
            let parts = start(&mut value);
            assert!(value.snapshot_step());
            value.cancel_snapshot();
            assert!(!value.in_snapshot());
            while value.snapshot_step() {}
            assert!(collect(&parts).len() < 200);
        }
    }

    struct Count(Sender<usize>);

    impl ElementSink for Count {
        fn take(&mut self, element: Element<'_>) {
            if let Element::ListNode(node) = element {
                let _ = self.0.send(node.count());
            }
        }
    }

    /// The nodes that a trimmed list still has to hand over are not handed over all at once.
    #[test]
    fn a_list_becomes_a_listpack_when_little_is_left() {
        let limits = Limits { list_max_listpack_size: 4, ..Limits::default() };
        let mut list = List::new();
        (0..4000).for_each(|_| list.push(End::Back, b"item", &limits));
        let mut value = Value::List(list);
        assert!(value.is_large());
        let (sender, counts) = channel();
        value.start_snapshot(Box::new(Count(sender)));
        let trim = |value: &mut Value, count: usize| {
            let Value::List(list) = value else { panic!("a list") };
            list.trim(0, count, &limits);
            list.encoding()
        };
        assert_eq!(trim(&mut value, 2), "quicklist");
        assert_eq!((value.element_count(), counts.try_iter().count()), (2, 0));
        // So it has more parts than its items.
        assert!(value.has_more_parts_than(64));
        while value.snapshot_step() {}
        assert_eq!(trim(&mut value, 2), "listpack");
        assert!(!value.in_snapshot() && !value.has_more_parts_than(64));
        drop(value);
        assert_eq!(counts.iter().sum::<usize>(), 4000);
    }
}
