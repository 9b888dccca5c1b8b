//! The invalidation table against a map of sets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::base::rng::Rng;

fn client(index: u32) -> ClientId {
    ClientId { index, generation: index + 7 }
}

#[derive(Clone, Debug)]
enum Step {
    Read(u8, u32),
    Change(u8),
    EvictOne,
    /// From now on the client is gone.
    Leave(u32),
    Sweep(usize),
    ForgetAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..60u8, 0..40u32).prop_map(|(key, client)| Step::Read(key, client)),
        3 => (0..60u8).prop_map(Step::Change),
        1 => Just(Step::EvictOne),
        1 => (0..40u32).prop_map(Step::Leave),
        1 => (1..100usize).prop_map(Step::Sweep),
        1 => prop_oneof![9 => Just(Step::EvictOne), 1 => Just(Step::ForgetAll)],
    ]
}

/// A table and its model: what must be in it, and who is gone.
struct Pair {
    table: ReadersTable,
    model: BTreeMap<Vec<u8>, BTreeSet<ClientId>>,
    gone: BTreeSet<ClientId>,
    rng: Rng,
}

impl Pair {
    fn new() -> Self {
        let (model, gone) = Default::default();
        Pair { table: ReadersTable::new(KeyHasher::new(3)), model, gone, rng: Rng::new(5) }
    }

    /// Readers that were told must be those of the model; there may be others, which are gone.
    fn check_told(&mut self, key: &[u8], told: Option<&[ClientId]>) {
        let expected = self.model.remove(key).unwrap_or_default();
        let told: BTreeSet<ClientId> = told.unwrap_or_default().iter().copied().collect();
        assert_eq!(told.difference(&self.gone).copied().collect::<BTreeSet<_>>(), expected);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read(key, index) => {
                let (key, reader) = (format!("key:{key}").into_bytes(), client(index));
                if !self.gone.contains(&reader) {
                    let hash = self.table.table.hash(&key);
                    self.table.remember(hash, &key, reader, |other| !self.gone.contains(&other));
                    self.model.entry(key).or_default().insert(reader);
                }
            }
            Step::Change(key) => {
                let key = format!("key:{key}").into_bytes();
                let told = self.table.take(self.table.table.hash(&key), &key);
                self.check_told(&key, told.as_ref().map(ReadersOfKey::as_slice));
            }
            Step::EvictOne => {
                if let Some((key, told)) = self.table.take_random(&mut self.rng) {
                    self.check_told(&key, Some(told.as_slice()));
                }
            }
            Step::Leave(index) => {
                if self.gone.insert(client(index)) {
                    self.table.expect_gone();
                    self.model.values_mut().for_each(|readers| _ = readers.remove(&client(index)));
                    self.model.retain(|_, readers| !readers.is_empty());
                }
            }
            Step::Sweep(keys) => self.table.sweep(keys, |client| !self.gone.contains(&client)),
            Step::ForgetAll => {
                self.table.forget_all();
                self.model.clear();
            }
        }
        self.table.check_invariants();
        assert!(self.table.item_count() >= self.model.values().map(BTreeSet::len).sum());
    }
}

proptest! {
    #[test]
    fn the_table_tells_those_who_read(steps in prop::collection::vec(step(), 1..400)) {
        let mut pair = Pair::new();
        steps.into_iter().for_each(|step| pair.step(step));
        // Once the sweep is through, nothing is left of those who are gone.
        for _ in 0..2 {
            pair.table.sweep(1_000_000, |client| !pair.gone.contains(&client));
        }
        let items: usize = pair.model.values().map(BTreeSet::len).sum();
        prop_assert_eq!((pair.table.key_count(), pair.table.item_count()), (pair.model.len(), items));
    }
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let mut table = ReadersTable::new(KeyHasher::new(1));
    let hash = table.table.hash(b"hot");
    for index in 0..10_000 {
        // Only the last ten are still there.
        table.remember(hash, b"hot", client(index), |other| other.index + 10 > index);
        assert!(table.item_count() <= 40, "{}", table.item_count());
    }
}

#[test]
fn long_keys_and_many_readers_count() {
    let mut table = ReadersTable::new(KeyHasher::new(1));
    assert!(!table.is_over(1));
    let long = vec![b'x'; 3000];
    table.remember(table.table.hash(&long), &long, client(1), |_| true);
    assert_eq!([1, 2, 3, 0].map(|limit| table.is_over(limit)), [true, true, false, false]);
    (0..1000).for_each(|index| table.remember(table.table.hash(b"k"), b"k", client(index), |_| true));
    assert_eq!([3, 10, 11].map(|limit| table.is_over(limit)), [true, true, false]);
    table.check_invariants();
}

#[test]
fn a_table_is_forgotten_at_once_and_freed_later() {
    let mut table = ReadersTable::new(KeyHasher::new(1));
    assert!(table.take_forgotten().is_none());
    for number in 0..10_000 {
        let key = format!("key:{number}").into_bytes();
        table.remember(table.table.hash(&key), &key, client(number % 3), |_| true);
    }
    table.forget_all();
    assert_eq!((table.key_count(), table.item_count()), (0, 0));
    let mut forgotten = table.take_forgotten().expect("the table");
    assert_eq!(forgotten.len(), 10_000);
    assert!(!forgotten.free_some(1));
    while !forgotten.free_some(100) {}
}
