//! Tests of snapshots: what the sink gets is the table as it was, whatever happens to it meanwhile.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::tests::{Counted, Model, Pair};
use super::{Captured, EntryValue, SnapshotEntry, SnapshotSink, SnapshotValue};
use crate::base::crc::key_slot;
use crate::base::hash::SLOT_BITS;
use crate::base::slot_set::SlotSet;

type Taken = (Vec<u8>, Model, Option<u64>);

struct Sink(Sender<Taken>);

impl SnapshotSink<Counted> for Sink {
    fn take(&mut self, entry: SnapshotEntry<'_, Counted>) -> Captured {
        let value = match entry.value {
            SnapshotValue::Plain(EntryValue::Int(number)) => Model::Int(number),
            SnapshotValue::Plain(EntryValue::Bytes(bytes)) => Model::Bytes(bytes.to_vec()),
            SnapshotValue::Plain(EntryValue::Embedded(tag, bytes)) => Model::Embedded(tag, bytes.len()),
            SnapshotValue::Shared(bytes) => Model::Bytes(bytes.to_vec()),
            SnapshotValue::Object(object) => Model::Object(object.number),
            SnapshotValue::Plain(EntryValue::Object(_)) => panic!("an object is not plain"),
        };
        self.0.send((entry.key.to_vec(), value, entry.deadline)).expect("the test listens");
        Captured::Whole
    }
}

fn start(pair: &mut Pair) -> Receiver<Taken> {
    let (sender, taken) = channel();
    pair.table.start_snapshot(Box::new(Sink(sender)));
    taken
}

/// Everything that was taken is what `before` had, and each entry came once.
fn compare(taken: &Receiver<Taken>, before: &HashMap<Vec<u8>, (Model, Option<u64>, u32)>) {
    let mut seen = HashMap::new();
    for (key, value, deadline) in taken {
        let (expected, its_deadline, _) = before.get(&key).expect("a key that was not there");
        assert_eq!((&value, &deadline), (expected, its_deadline));
        assert!(seen.insert(key, value).is_none(), "an entry came twice");
    }
    assert_eq!(seen.len(), before.len());
}

#[test]
fn a_snapshot_is_the_table_as_it_was() {
    let masks = [u64::MAX, u64::MAX, 0, 0xff, 0x7f00_0000_00ff, u64::MAX];
    let uniform = masks.into_iter().zip(1..).map(|(mask, seed)| Pair::new(seed, mask));
    let in_slot_order = [1, 5].into_iter().zip(7..).map(|(tags, seed)| Pair::in_slot_order(seed, tags));
    for mut pair in uniform.chain(in_slot_order) {
        for round in 0..12 {
            let grow = [7, 7, 1, 4][round % 4];
            for _ in 0..pair.rng.below(2500) {
                pair.step(1500, grow);
            }
            let before = pair.model.clone();
            let taken = start(&mut pair);
            let most = 1 + pair.rng.below(200);
            while pair.table.in_snapshot() {
                let grow = [7, 1][pair.rng.below(2) as usize];
                for _ in 0..pair.rng.below(most) {
                    pair.step(1500, grow);
                }
                let groups = pair.rng.below(3) as usize;
                pair.table.snapshot_step(groups);
            }
            compare(&taken, &before);
            pair.compare();
            // One that is cancelled half-way leaves nothing behind for the next.
            let unfinished = start(&mut pair);
            for _ in 0..pair.rng.below(most) {
                pair.step(1500, 5);
                pair.table.snapshot_step(1);
            }
            pair.table.cancel_snapshot();
            drop(unfinished);
        }
    }
}

#[test]
fn a_snapshot_of_some_slots_is_of_their_entries_alone() {
    for (seed, tags) in [(1, 1), (2, 7), (3, 300), (4, u64::MAX)] {
        let mut pair = Pair::in_slot_order(seed, tags);
        (0..4000).for_each(|_| pair.step(1500, 7));
        for round in 0..8 {
            // Slots side by side, apart, of keys or without any.
            let mut slots: SlotSet = (0..1 << SLOT_BITS).filter(|slot| slot / 600 % 3 == round % 3).collect();
            pair.model.keys().filter(|key| key.len() % 2 == 0).take(20).for_each(|key| {
                slots.insert(key_slot(key));
            });
            let mut before = pair.model.clone();
            before.retain(|key, _| slots.contains(key_slot(key)));
            let (sender, taken) = channel();
            pair.table.start_snapshot_of(&slots, Box::new(Sink(sender)));
            while pair.table.in_snapshot() {
                for _ in 0..pair.rng.below(100) {
                    let grow = [7, 1][pair.rng.below(2) as usize];
                    pair.step(1500, grow);
                }
                let buckets = pair.rng.below(3) as usize;
                pair.table.snapshot_step(buckets);
            }
            compare(&taken, &before);
            pair.compare();
        }
        let (sender, taken) = channel();
        pair.table.start_snapshot_of(&SlotSet::new(), Box::new(Sink(sender)));
        assert!(!pair.table.in_snapshot() && taken.iter().count() == 0);
    }
}

#[test]
fn marks_of_cancelled_snapshots_mean_nothing() {
    let mut pair = Pair::new(14, u64::MAX);
    for _ in 0..400 {
        pair.step(300, 7);
    }
    // More of them than there are epochs, each with marks of its own left behind.
    for _ in 0..600 {
        let unfinished = start(&mut pair);
        (0..pair.rng.below(12)).for_each(|_| pair.step(300, 5));
        pair.table.snapshot_step(pair.rng.below(2) as usize);
        pair.table.cancel_snapshot();
        drop(unfinished);
        pair.table.check_invariants();
        assert!(!pair.table.snapshot_step(1), "nothing is left to do");
    }
    let before = pair.model.clone();
    let taken = start(&mut pair);
    (0..200).for_each(|_| pair.step(300, 4));
    while pair.table.snapshot_step(1) {}
    compare(&taken, &before);
}

#[test]
fn what_becomes_of_the_table_loses_nothing() {
    for fate in 0..3 {
        let mut pair = Pair::new(11, u64::MAX);
        for _ in 0..3000 {
            pair.step(1000, 7);
        }
        let before = pair.model.clone();
        let taken = start(&mut pair);
        pair.table.snapshot_step(5);
        match fate {
            0 => drop(pair),
            1 => assert!(!pair.table.free_some(1)),
            _ => while pair.table.snapshot_step(usize::MAX) {},
        }
        compare(&taken, &before);
    }
}

#[test]
fn a_cancelled_snapshot_takes_no_more() {
    let mut pair = Pair::new(12, u64::MAX);
    for _ in 0..3000 {
        pair.step(1000, 7);
    }
    let taken = start(&mut pair);
    assert!(pair.table.snapshot_step(1));
    pair.table.cancel_snapshot();
    assert!(!pair.table.in_snapshot() && taken.iter().count() < 100);
    pair.step(1000, 7);
    while pair.table.snapshot_step(1) {}
    pair.compare();
    // An empty table has nothing to hand over.
    let mut empty = Pair::new(13, u64::MAX);
    assert_eq!(start(&mut empty).iter().count(), 0);
    assert!(!empty.table.in_snapshot());
}
