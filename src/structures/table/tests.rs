//! Tests of the table against a model: a `HashMap` of the same operations.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::*;

/// Packed values are its beginnings.
const EMBEDDED_BYTES: [u8; EMBEDDED_MAX] = [0x5a; EMBEDDED_MAX];

/// An object that knows how many of its kind are alive.
#[derive(Debug)]
pub(super) struct Counted {
    pub number: u64,
    _alive: Arc<()>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Model {
    Int(i64),
    Bytes(Vec<u8>),
    Object(u64),
    Embedded(u8, usize),
}

pub(super) struct Pair {
    pub table: Table<Counted, true>,
    pub model: HashMap<Vec<u8>, (Model, Option<u64>, u32)>,
    alive: Arc<()>,
    pub rng: Rng,
    /// Strings held, with a copy of what they were then.
    held: Vec<(Arc<Vec<u8>>, Vec<u8>)>,
    /// Keys share so many hash tags; 0: they have none.
    tags: u64,
}

use crate::base::rng::Rng;

impl Pair {
    pub fn new(seed: u64, hash_mask: u64) -> Self {
        let mut table = Table::new(KeyHasher::new(seed));
        table.hash_mask = hash_mask;
        let (alive, rng) = (Arc::new(()), Rng::new(seed));
        Pair { table, model: HashMap::new(), alive, rng, held: Vec::new(), tags: 0 }
    }

    /// The table is in slot order, and keys share so many hash tags.
    pub fn in_slot_order(seed: u64, tags: u64) -> Self {
        let table = Table::new(KeyHasher::new(seed).in_slot_order());
        Pair { table, tags, ..Pair::new(seed, u64::MAX) }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.rng.below(20) {
            0 => 0,
            1 => 200 + self.rng.below(100),
            2 => self.rng.below(3000),
            3 if self.rng.below(8) == 0 => SHARED_MIN as u64 - 100 + self.rng.below(1000),
            _ => self.rng.below(40),
        };
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        bytes
    }

    fn key(&mut self, keys: u64) -> Vec<u8> {
        let number = self.rng.below(keys);
        let mut key = match number.checked_rem(self.tags) {
            Some(tag) => format!("{{{tag}}}{number}").into_bytes(),
            None => number.to_string().into_bytes(),
        };
        match number % 50 {
            0 if number == 0 => key.clear(),
            1 => key.resize(250 + (number % 11) as usize, b'k'),
            2 => key.resize(1000, b'k'),
            _ => {}
        }
        key
    }

    fn value(&mut self) -> (Model, NewValue<'static, Counted>) {
        match self.rng.below(8) {
            0..2 => {
                let number = self.rng.next_u64() as i64;
                (Model::Int(number), NewValue::Int(number))
            }
            3 => {
                let (tag, len) = (self.rng.below(8) as u8, 1 + self.rng.below(255) as usize);
                (Model::Embedded(tag, len), NewValue::Embedded(tag, &EMBEDDED_BYTES[..len]))
            }
            2 => {
                let number = self.rng.next_u64();
                let object = Counted { number, _alive: self.alive.clone() };
                (Model::Object(number), NewValue::Object(Box::new(object)))
            }
            _ => {
                let bytes = self.bytes();
                (Model::Bytes(bytes.clone()), NewValue::Owned(bytes))
            }
        }
    }

    fn deadline(&mut self) -> Option<u64> {
        (self.rng.below(3) == 0).then(|| 1000 + self.rng.below(5000))
    }

    fn shown(entry: &Entry<'_, Counted>) -> (Model, Option<u64>, u32) {
        let value = match entry.value {
            EntryValue::Int(number) => Model::Int(number),
            EntryValue::Bytes(bytes) => Model::Bytes(bytes.to_vec()),
            EntryValue::Object(object) => Model::Object(object.number),
            EntryValue::Embedded(tag, bytes) => Model::Embedded(tag, bytes.len()),
        };
        (value, entry.deadline, entry.access)
    }

    fn compare_value(&self, at: EntryRef, key: &[u8]) {
        let (value, deadline, access) = &self.model[key];
        assert_eq!(self.table.key(at), key);
        match (self.table.value(at), value) {
            (EntryValue::Int(a), Model::Int(b)) => assert_eq!(a, *b),
            (EntryValue::Bytes(a), Model::Bytes(b)) => assert_eq!(a, b),
            (EntryValue::Object(a), Model::Object(b)) => assert_eq!(a.number, *b),
            (EntryValue::Embedded(tag, bytes), Model::Embedded(t, len)) => {
                assert!(tag == *t && bytes == &EMBEDDED_BYTES[..*len]);
            }
            (a, b) => panic!("{a:?} is not {b:?}"),
        }
        assert_eq!(self.table.deadline(at), *deadline);
        assert_eq!(self.table.access(at), *access);
    }

    pub fn compare(&self) {
        self.table.check_invariants();
        assert_eq!(self.table.len(), self.model.len());
        let seen: HashMap<Vec<u8>, _> =
            self.table.iter().map(|entry| (entry.key.to_vec(), Self::shown(&entry))).collect();
        assert!(seen == self.model, "iterating shows something else");
        let objects = self.model.values().filter(|value| matches!(value.0, Model::Object(_))).count();
        assert_eq!(Arc::strong_count(&self.alive), 1 + objects);
        assert_eq!(self.table.expires(), self.model.values().filter(|value| value.1.is_some()).count());
        assert!(self.held.iter().all(|(held, copy)| **held == *copy), "a held string has changed");
    }

    /// Holds a long string, or lets one go.
    fn hold(&mut self, at: EntryRef) {
        if self.rng.below(3) == 0 && !self.held.is_empty() {
            let number = self.rng.below(self.held.len() as u64) as usize;
            self.held.swap_remove(number);
        }
        if let Some(held) = self.table.hold(at) {
            let copy = held.to_vec();
            self.held.push((held, copy));
        }
    }

    fn insert(&mut self, key: Vec<u8>) {
        let hash = self.table.hash(&key);
        let (value, new) = self.value();
        let deadline = self.deadline();
        let access = self.rng.below(1 << 24) as u32;
        let at = match new {
            NewValue::Owned(bytes) if access & 1 == 0 => {
                self.table.insert(hash, &key, NewValue::Bytes(&bytes), deadline, access)
            }
            new => self.table.insert(hash, &key, new, deadline, access),
        };
        self.model.insert(key.clone(), (value, deadline, access));
        self.compare_value(at, &key);
    }

    fn remove(&mut self, at: EntryRef, hash: u64, key: &[u8]) {
        let object = matches!(self.model[key].0, Model::Object(_));
        let embedded = matches!(self.table.value(at), EntryValue::Embedded(..));
        if embedded || self.rng.below(2) == 0 {
            let taken = self.table.remove(at, hash);
            assert_eq!(matches!(taken, RemovedValue::Object(_)), object);
            self.model.remove(key);
        } else {
            let taken = self.table.take(at, hash);
            let value = self.model.remove(key).expect("it was there").0;
            match (taken, value) {
                (NewValue::Int(a), Model::Int(b)) => assert_eq!(a, b),
                (NewValue::Owned(a), Model::Bytes(b)) => assert_eq!(a, b),
                (NewValue::Shared(a), Model::Bytes(b)) => assert_eq!(*a, b),
                (NewValue::Object(a), Model::Object(b)) => assert_eq!(a.number, b),
                (a, b) => panic!("{a:?} is not {b:?}"),
            }
        }
    }

    pub fn remove_all(&mut self) {
        while let Some(at) = self.table.random(&mut self.rng) {
            let key = self.table.key(at).to_vec();
            let hash = self.table.hash(&key);
            self.remove(at, hash, &key);
        }
    }

    fn replace(&mut self, at: EntryRef, hash: u64, key: &[u8]) -> EntryRef {
        let (value, new) = self.value();
        let deadline = self.deadline();
        let (at, taken) = match (new, &mut self.model.get_mut(key).expect("it was there").0) {
            (NewValue::Owned(bytes), Model::Bytes(old))
                if bytes.first().is_some_and(|first| first & 1 == 0) =>
            {
                let same: Vec<u8> = old.iter().map(|byte| !byte).collect();
                let result = self.table.replace(at, hash, NewValue::Bytes(&same), deadline);
                *old = same;
                result
            }
            (new, old) => {
                *old = value;
                self.table.replace(at, hash, new, deadline)
            }
        };
        drop(taken);
        self.model.get_mut(key).expect("it was there").1 = deadline;
        at
    }

    fn resize(&mut self, at: EntryRef, hash: u64, key: &[u8]) -> EntryRef {
        let value = &mut self.model.get_mut(key).expect("it was there").0;
        let bytes = match value {
            Model::Int(number) => number.to_string().into_bytes(),
            Model::Bytes(bytes) => std::mem::take(bytes),
            Model::Object(_) | Model::Embedded(..) => return self.table.resize_bytes(at, hash, 7),
        };
        let mut bytes = bytes;
        let len = self.rng.below(bytes.len() as u64 * 2 + 10) as usize;
        bytes.resize(len, 0);
        let at = self.table.resize_bytes(at, hash, len);
        let fill = self.rng.next_u64() as u8;
        if let Some(last) = bytes.last_mut() {
            *last = fill;
            *self.table.bytes_mut(at).and_then(<[u8]>::last_mut).expect("a string") = fill;
        }
        assert!(self.table.is_edited(at));
        *value = Model::Bytes(bytes);
        at
    }

    fn change(&mut self, at: EntryRef, hash: u64, key: &[u8]) -> EntryRef {
        match self.rng.below(6) {
            0..2 => self.replace(at, hash, key),
            2 => self.resize(at, hash, key),
            3 => {
                let deadline = self.deadline();
                self.model.get_mut(key).expect("it was there").1 = deadline;
                self.table.set_deadline(at, hash, deadline)
            }
            4 => {
                let access = self.rng.below(1 << 24) as u32;
                self.model.get_mut(key).expect("it was there").2 = access;
                self.table.set_access(at, access);
                at
            }
            _ => {
                let number = self.rng.next_u64();
                match &mut self.model.get_mut(key).expect("it was there").0 {
                    Model::Int(old) => {
                        *old = number as i64;
                        assert!(self.table.set_int(at, number as i64));
                    }
                    Model::Object(old) => {
                        *old = number;
                        self.table.object_mut(at).expect("an object").number = number;
                    }
                    Model::Bytes(_) | Model::Embedded(..) => assert!(!self.table.set_int(at, 1)),
                }
                at
            }
        }
    }

    /// One random operation on one of so many keys; the fewer `grow` in eight, the more are removed.
    pub fn step(&mut self, keys: u64, grow: u64) {
        let key = self.key(keys);
        let hash = self.table.hash(&key);
        self.table.prefetch_bucket(hash);
        self.table.prefetch_entry(hash);
        match self.table.find(hash, &key) {
            None => {
                assert!(!self.model.contains_key(&key));
                if self.rng.below(8) < grow {
                    self.insert(key);
                }
            }
            Some(at) => {
                self.compare_value(at, &key);
                self.hold(at);
                if self.rng.below(8) >= grow {
                    self.remove(at, hash, &key);
                } else {
                    let at = self.change(at, hash, &key);
                    self.compare_value(at, &key);
                }
            }
        }
    }
}

#[test]
fn every_operation_agrees_with_a_model() {
    for seed in 0..2 {
        let mut pair = Pair::new(seed, u64::MAX);
        for phase in 0..12 {
            for _ in 0..2500 {
                pair.step(3000, [7, 7, 1][phase % 3]);
            }
            pair.compare();
        }
        pair.remove_all();
        pair.compare();
        assert_eq!(pair.table.segments.len(), 1, "everything has merged again");
        assert!(pair.table.memory_usage() < 1 << 16);
    }
}

#[test]
fn keys_of_equal_hashes_are_kept_apart() {
    // All equal; equal but for the tags; equal but for a few bits that come late.
    for mask in [0, 0xff, 0x7f00_0000_00ff] {
        let mut pair = Pair::new(5, mask);
        for grow in [7, 1, 7, 0] {
            for _ in 0..2500 {
                pair.step(1100, grow);
            }
            pair.compare();
        }
        assert!(pair.table.directory.len() < 1 << 12);
    }
}

#[test]
fn big_entries_split_early() {
    let mut table = Table::<Never, false>::new(KeyHasher::new(1));
    for number in 0..3000u32 {
        let key = format!("{number:0200}");
        let hash = table.hash(key.as_bytes());
        let mut at = table.insert(hash, key.as_bytes(), NewValue::Bytes(&[1; 10]), None, 0);
        for len in (20..=250).step_by(46) {
            at = table.resize_bytes(at, hash, len);
        }
        let (at, _) = table.replace(at, hash, NewValue::Bytes(&[7; 255]), Some(9));
        assert!(!table.is_external(at) && !table.is_edited(at));
    }
    table.check_invariants();
    assert_eq!(table.len(), 3000);
    assert!(table.iter().all(|entry| matches!(entry.value, EntryValue::Bytes([7, ..]))));
}

#[test]
fn a_scan_shows_what_stays_exactly_once() {
    for (seed, mask) in [(1, u64::MAX), (2, u64::MAX), (3, 0xffff << 40), (4, 0x3f)] {
        let mut table = Table::<Never, false>::new(KeyHasher::new(seed));
        table.hash_mask = mask;
        let mut rng = Rng::new(seed);
        let (mut staying, mut passing) = (HashSet::new(), Vec::new());
        for number in 0..2000u32 {
            let hash = table.hash(&number.to_le_bytes());
            table.insert(hash, &number.to_le_bytes(), NewValue::Int(0), None, 0);
            if number % 4 == 0 {
                staying.insert(number);
            } else {
                passing.push(number);
            }
        }
        for round in 0..4 {
            let mut seen = HashMap::new();
            let mut cursor = 0;
            loop {
                cursor = table.scan(cursor, |entry| {
                    let number = u32::from_le_bytes(entry.key.try_into().expect("four bytes"));
                    *seen.entry(number).or_insert(0) += 1;
                });
                assert!(cursor < 1 << 48);
                if cursor == 0 {
                    break;
                }
                disturb(&mut table, &mut passing, &mut rng, round % 2 == 0);
            }
            assert!(staying.iter().all(|number| seen.get(number) == Some(&1)));
            table.check_invariants();
        }
    }
}

/// Grows or shrinks the table by keys that do not have to stay.
fn disturb(table: &mut Table<Never, false>, passing: &mut Vec<u32>, rng: &mut Rng, shrink: bool) {
    for _ in 0..60 {
        if shrink && !passing.is_empty() {
            let number = passing.swap_remove(rng.below(passing.len() as u64) as usize);
            let hash = table.hash(&number.to_le_bytes());
            let at = table.find(hash, &number.to_le_bytes()).expect("it was there");
            table.remove(at, hash);
        } else if !shrink && passing.len() < 6000 {
            let number = rng.next_u64() as u32 | 1 << 31;
            let hash = table.hash(&number.to_le_bytes());
            if table.find(hash, &number.to_le_bytes()).is_none() {
                table.insert(hash, &number.to_le_bytes(), NewValue::Int(0), None, 0);
                passing.push(number);
            }
        }
    }
}

#[test]
fn due_keys_are_found_when_due_and_not_before() {
    let mut table = Table::<Never, true>::new(KeyHasher::new(9));
    let mut rng = Rng::new(9);
    let mut deadlines = HashMap::new();
    for number in 0..4000u64 {
        let key = number.to_string();
        let deadline = (number % 3 == 0).then(|| 1 + rng.below(1000));
        let hash = table.hash(key.as_bytes());
        table.insert(hash, key.as_bytes(), NewValue::Int(1), deadline, 0);
        deadlines.extend(deadline.map(|deadline| (key, deadline)));
    }
    let mean = table.mean_deadline(&mut rng).expect("some have deadlines");
    assert!((300..700).contains(&mean));
    assert!((0..50).all(|_| table.random_volatile(&mut rng).is_some_and(|at| table.deadline(at).is_some())));
    let mut due = DueKeys::default();
    for now in (0..1020).step_by(10) {
        loop {
            due.clear();
            table.collect_due(now, 50, None, &mut due);
            if due.is_empty() {
                break;
            }
            for key in due.iter() {
                let key_text = std::str::from_utf8(key).expect("digits");
                assert!(deadlines.remove(key_text).expect("found once") < now);
                let hash = table.hash(key);
                let at = table.find(hash, key).expect("it is still there");
                table.remove(at, hash);
            }
        }
        assert!(deadlines.values().all(|&deadline| deadline >= now));
        assert!(table.next_deadline().is_none_or(|next| next >= now));
        assert_eq!(table.expires(), deadlines.len());
    }
    assert_eq!((table.expires(), table.next_deadline()), (0, None));
    table.check_invariants();
}

#[test]
fn a_cleared_table_is_freed_by_slices_and_can_be_used_meanwhile() {
    let mut pair = Pair::new(11, u64::MAX);
    for _ in 0..6000 {
        pair.step(5000, 8);
    }
    assert!(pair.table.segments.len() > 8);
    assert!(!pair.table.free_some(3));
    assert!(pair.table.is_empty() && pair.table.next_deadline().is_none());
    pair.model.clear();
    pair.insert(b"again".to_vec());
    let hash = pair.table.hash(b"again");
    assert!(pair.table.find(hash, b"again").is_some());
    let mut slices = 0;
    while !pair.table.free_some(3) {
        slices += 1;
    }
    assert!(slices >= 2);
    pair.model.clear();
    pair.compare();
    pair.insert(b"once more".to_vec());
    pair.compare();
    let alive = pair.alive.clone();
    drop(pair.table);
    drop(pair.alive);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn memory_comes_back_after_scattered_removals() {
    let mut table = Table::<Never, true>::new(KeyHasher::new(7));
    let value = [7; 20];
    for number in 0..40_000u32 {
        let hash = table.hash(&number.to_le_bytes());
        table.insert(hash, &number.to_le_bytes(), NewValue::Bytes(&value), None, 0);
    }
    let full = table.memory_usage();
    assert!(full < 44 * 40_000, "{full} bytes for entries of 30");
    for number in (0..40_000u32).filter(|number| number % 10 != 0) {
        let hash = table.hash(&number.to_le_bytes());
        let at = table.find(hash, &number.to_le_bytes()).expect("it was there");
        table.remove(at, hash);
    }
    table.check_invariants();
    assert_eq!(
        table.iter().filter(|entry| matches!(entry.value, EntryValue::Bytes(v) if v == value)).count(),
        4000
    );
    let (sparse, live) = (table.memory_usage(), table.memory_live());
    assert!(sparse < 120 * 4000 && live < 60 * 4000, "{sparse} bytes left, {live} in use");
}

#[test]
fn random_entries_are_equally_likely() {
    let mut table = Table::<Never, false>::new(KeyHasher::new(2));
    let mut rng = Rng::new(2);
    for number in 0..600u64 {
        let hash = table.hash(&number.to_le_bytes());
        table.insert(hash, &number.to_le_bytes(), NewValue::Int(0), None, 0);
    }
    let mut hits = [0u32; 600];
    for _ in 0..60_000 {
        let at = table.random(&mut rng).expect("not empty");
        hits[u64::from_le_bytes(table.key(at).try_into().expect("eight bytes")) as usize] += 1;
    }
    let chi: f64 = hits.iter().map(|&hit| (f64::from(hit) - 100.0).powi(2) / 100.0).sum();
    assert!((450.0..760.0).contains(&chi), "chi square of 599 degrees of freedom is {chi}");
    let mut sampled = 0;
    table.sample(&mut rng, 1000, |_| sampled += 1);
    assert_eq!(sampled, 600);
}

#[test]
#[should_panic(expected = "the table has changed")]
fn a_stale_token_is_refused() {
    let mut table = Table::<Never, false>::new(KeyHasher::new(2));
    let at = table.insert(table.hash(b"a"), b"a", NewValue::Int(0), None, 0);
    table.insert(table.hash(b"b"), b"b", NewValue::Int(0), None, 0);
    table.key(at);
}

#[test]
fn a_token_of_another_table_is_refused() {
    // Both tables have seen the same changes, so that they differ in nothing but their identity.
    let tables = [(); 2].map(|()| {
        let mut table = Table::<Never, false>::new(KeyHasher::new(2));
        let hash = table.hash(b"a");
        let at = table.insert(hash, b"a", NewValue::Int(0), None, 0);
        (table, at, hash)
    });
    let [(mut one, at, hash), (other, ..)] = tables;
    let refused = |access: &dyn Fn()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(access)).expect_err("a panic");
    };
    refused(&|| drop(other.key(at).to_vec()));
    let other = std::cell::RefCell::new(other);
    refused(&|| drop(other.borrow_mut().remove(at, hash)));
    refused(&|| drop(other.borrow_mut().replace(at, hash, NewValue::Int(1), None)));
    refused(&|| {
        other.borrow_mut().set_deadline(at, hash, Some(1));
    });
    refused(&|| {
        other.borrow_mut().resize_bytes(at, hash, 5);
    });
    other.borrow().check_invariants();
    std::mem::swap(&mut one, &mut other.borrow_mut());
    assert_eq!(other.borrow().key(at), b"a", "a table that has moved is the same table");
}

#[test]
fn a_held_string_is_copied_before_it_changes() {
    type Change = fn(&mut Table<Never, false>, EntryRef, u64);
    let changes: [Change; 4] = [
        |table, at, _| table.bytes_mut(at).expect("a string")[0] = b'x',
        |table, at, hash| {
            let at = table.resize_bytes(at, hash, SHARED_MIN + 9);
            assert!(table.is_edited(at));
        },
        |table, at, hash| drop(table.replace(at, hash, NewValue::Bytes(&[b'x'; SHARED_MIN]), None)),
        |table, at, hash| drop(table.remove(at, hash)),
    ];
    for change in changes {
        let mut table = Table::<Never, false>::new(KeyHasher::new(1));
        let hash = table.hash(b"key");
        let at = table.insert(hash, b"key", NewValue::Bytes(&[b'v'; SHARED_MIN]), None, 0);
        let held = table.hold(at).expect("a long string");
        assert_eq!(Arc::strong_count(&held), 2);
        change(&mut table, at, hash);
        assert_eq!((Arc::strong_count(&held), &*held), (1, &vec![b'v'; SHARED_MIN]));
        table.check_invariants();
    }
}

#[test]
fn a_string_that_is_not_held_changes_where_it_lies() {
    let mut table = Table::<Never, false>::new(KeyHasher::new(1));
    let hash = table.hash(b"key");
    let at = table.insert(hash, b"key", NewValue::Bytes(&[b'v'; SHARED_MIN]), None, 0);
    let address = table.hold(at).expect("a long string").as_ptr();
    table.bytes_mut(at).expect("a string")[0] = b'x';
    let (at, _) = table.replace(at, hash, NewValue::Bytes(&[b'y'; SHARED_MIN]), None);
    assert_eq!(table.hold(at).expect("a long string").as_ptr(), address);
    table.check_invariants();
    assert!(table.entry_memory(at) > SHARED_MIN + 40);
}
