//! Tests of the directory in slot order: by itself against a model of its leaves, and in tables whose keys share slots.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ptr::{NonNull, without_provenance_mut};

use super::directory::{DEPTH_MAX, Directory};
use super::segment::Segment;
use super::tests::Pair;
use super::{Never, NewValue, Table};
use crate::base::crc::key_slot;
use crate::base::hash::{KeyHasher, SLOT_BITS, first_of_slot};
use crate::base::rng::Rng;

/// A directory over addresses at which there are no segments, and what it should say: the depth and the address of each leaf by
/// its smallest hash.
struct Leaves {
    directory: Directory,
    model: BTreeMap<u64, (u32, NonNull<Segment>)>,
    made: usize,
    rng: Rng,
}

impl Leaves {
    fn new(in_slot_order: bool, seed: u64) -> Self {
        let directory = Directory::new(in_slot_order);
        let mut leaves = Leaves { directory, model: BTreeMap::new(), made: 0, rng: Rng::new(seed) };
        let first = leaves.make();
        leaves.directory.assign(0, 0, first);
        leaves.model.insert(0, (0, first));
        leaves
    }

    fn make(&mut self) -> NonNull<Segment> {
        self.made += 1;
        NonNull::new(without_provenance_mut(self.made * size_of::<Segment>())).expect("not at 0")
    }

    fn leaf_of(&self, hash: u64) -> (u64, u32) {
        let (&prefix, &(depth, _)) = self.model.range(..=hash).next_back().expect("the first begins at 0");
        (prefix, depth)
    }

    fn split(&mut self, hash: u64) -> bool {
        let (prefix, depth) = self.leaf_of(hash);
        if !self.directory.can_split(prefix, depth, self.model.len()) {
            return false;
        }
        let halves = [self.make(), self.make()];
        self.directory.split(prefix, depth + 1, halves);
        self.model.insert(prefix, (depth + 1, halves[0]));
        self.model.insert(prefix | 1 << (63 - depth), (depth + 1, halves[1]));
        true
    }

    fn merge(&mut self, hash: u64) {
        let (prefix, depth) = self.leaf_of(hash);
        if depth == 0 || self.leaf_of(prefix ^ 1 << (64 - depth)).1 != depth {
            return;
        }
        let bit = 1 << (64 - depth);
        let whole = self.make();
        self.directory.merge(prefix & !bit, depth, whole);
        self.model.remove(&(prefix | bit));
        self.model.insert(prefix & !bit, (depth - 1, whole));
    }

    fn check(&mut self) {
        let heads: Vec<_> = self.model.values().map(|&(depth, segment)| (segment, depth)).collect();
        assert!(self.directory.check() == heads);
        for _ in 0..50 {
            let hash = self.rng.next_u64();
            let (depth, segment) = self.model[&self.leaf_of(hash).0];
            let word = self.directory.resolve(hash);
            assert_eq!((word.depth(), word.segment()), (depth, segment));
        }
    }

    /// A hash of one of the first so many slots.
    fn hash_in(&mut self, slots: u64) -> u64 {
        first_of_slot(self.rng.below(slots) as u16) | self.rng.next_u64() >> SLOT_BITS
    }
}

#[test]
fn the_directory_agrees_with_a_model_however_slots_are_filled() {
    for seed in 1..3 {
        let mut leaves = Leaves::new(true, seed);
        let (mut deepest, mut most_forks) = (0, 0);
        // Few slots; many; many and few of them deep; back again.
        for (slots, splits, merges) in [
            (1, 300, 0),
            (3, 600, 200),
            (1 << 14, 30_000, 0),
            (40, 5_000, 100),
            (1 << 14, 0, 60_000),
            (7, 3_000, 0),
            (1 << 14, 25_000, 9_000),
            (1 << 14, 0, 100_000),
        ] {
            for step in 0..splits.max(merges) {
                if step < splits {
                    let hash = leaves.hash_in(slots);
                    leaves.split(hash);
                }
                if step < merges {
                    let hash = leaves.hash_in(slots);
                    leaves.merge(hash);
                }
                if step % 10_000 == 0 {
                    leaves.check();
                }
                deepest = deepest.max(leaves.directory.len());
                most_forks = most_forks.max(leaves.directory.forks());
            }
            leaves.check();
            let (bytes, bound) = (leaves.directory.bytes(), (1 << 18) + leaves.model.len() * 300);
            assert!(bytes < bound, "{bytes} bytes for {} segments", leaves.model.len());
        }
        for depth in (1..=DEPTH_MAX).rev() {
            let of_depth = leaves.model.iter().filter(|leaf| leaf.1.0 == depth);
            let prefixes: Vec<u64> = of_depth.map(|leaf| *leaf.0).collect();
            for prefix in prefixes.into_iter().filter(|prefix| prefix & 1 << (64 - depth) == 0) {
                leaves.merge(prefix);
            }
        }
        leaves.check();
        assert_eq!((leaves.directory.forks(), leaves.directory.len()), (0, 2));
        assert!(deepest > 1 << SLOT_BITS && most_forks > 100, "{deepest} words, {most_forks} forks");
    }
}

#[test]
fn a_directory_that_few_slots_keep_deep_halves_all_the_same() {
    let mut leaves = Leaves::new(true, 4);
    let quarters = |slot: u16| (0..4).map(move |quarter| first_of_slot(slot) | quarter << (62 - SLOT_BITS));
    // All segments of one depth are split before the next.
    for depth in 0..SLOT_BITS + 2 {
        (0..1u64 << depth).for_each(|prefix| assert!(leaves.split(prefix << 1 << (63 - depth))));
    }
    assert_eq!((leaves.directory.len(), leaves.directory.forks()), (1 << (SLOT_BITS + 2), 0));
    let all_but_few = (0..1 << SLOT_BITS).filter(|slot| slot % 4000 != 1);
    all_but_few.clone().flat_map(quarters).for_each(|hash| leaves.merge(hash));
    all_but_few.for_each(|slot| leaves.merge(first_of_slot(slot)));
    for _ in 0..SLOT_BITS {
        (0..1 << SLOT_BITS).for_each(|slot| leaves.merge(first_of_slot(slot)));
    }
    leaves.check();
    assert!(leaves.directory.forks() > 0 && leaves.directory.len() == 1 << SLOT_BITS);
}

#[test]
fn uniform_hashes_make_no_second_level() {
    let mut leaves = Leaves::new(false, 1);
    for _ in 0..30_000 {
        let hash = leaves.rng.next_u64();
        leaves.split(hash);
    }
    leaves.check();
    assert!(leaves.directory.forks() == 0 && leaves.directory.len() > 1 << SLOT_BITS);
    // Nor do hashes that share their first bits, which are refused when they would take too much.
    let mut leaves = Leaves::new(false, 2);
    while leaves.split(0) {}
    leaves.check();
    assert!(leaves.directory.forks() == 0 && leaves.directory.len() < 1 << 11);
}

#[test]
fn hashes_that_no_bit_parts_take_little_in_a_slot() {
    let mut leaves = Leaves::new(true, 3);
    let mut splits = 0;
    while leaves.split(first_of_slot(77)) {
        splits += 1;
    }
    leaves.check();
    assert!(splits > SLOT_BITS && splits < DEPTH_MAX, "{splits} splits");
    assert!(leaves.directory.bytes() < 1 << 18);
}

#[test]
fn every_operation_agrees_with_a_model_whatever_slots_keys_share() {
    for (seed, tags) in [(1, 1), (2, 3), (3, 60), (4, u64::MAX)] {
        let mut pair = Pair::in_slot_order(seed, tags);
        for phase in 0..9 {
            for _ in 0..2500 {
                pair.step(3000, [7, 7, 1][phase % 3]);
            }
            pair.compare();
            if phase == 1 {
                assert_eq!(pair.table.directory.forks() > 0, tags < 10, "{tags} tags");
            }
        }
        pair.remove_all();
        pair.compare();
        assert_eq!((pair.table.segments.len(), pair.table.directory.forks()), (1, 0));
    }
}

fn key_of(number: u32, tags: u32) -> Vec<u8> {
    format!("{{{}}}{number}", number % tags).into_bytes()
}

fn insert(table: &mut Table<Never, false>, key: &[u8]) {
    let hash = table.hash(key);
    table.insert(hash, key, NewValue::Int(0), None, 0);
}

fn remove(table: &mut Table<Never, false>, key: &[u8]) {
    let hash = table.hash(key);
    let at = table.find(hash, key).expect("it was there");
    table.remove(at, hash);
}

#[test]
fn a_slot_of_very_many_keys_takes_no_more_than_the_same_keys_elsewhere() {
    const KEYS: u32 = 200_000;
    let mut table = Table::<Never, false>::new(KeyHasher::new(1).in_slot_order());
    let mut uniform = Table::<Never, false>::new(KeyHasher::new(1));
    for number in 0..KEYS {
        let key = key_of(number, 1);
        insert(&mut table, &key);
        insert(&mut uniform, &key);
    }
    table.check_invariants();
    let (one, other) = (table.memory_usage(), uniform.memory_usage());
    assert!(one < other + other / 20 + (1 << 18), "{one} bytes in a slot, {other} otherwise");
    assert_eq!((table.directory.forks(), table.directory.len()), (1, 1 << SLOT_BITS));
    for number in 0..KEYS {
        let key = key_of(number, 1);
        let hash = table.hash(&key);
        table.prefetch_bucket(hash);
        assert!(table.prefetch_entry(hash));
        table.prefetch_displaced(hash);
        assert!(table.find(hash, &key).is_some());
        assert!(table.find(hash, b"{0}another").is_none());
        if number % 100 != 0 {
            remove(&mut table, &key);
        }
    }
    table.check_invariants();
    assert!(table.memory_usage() < (1 << 20) + KEYS as usize / 100 * 200);
    (0..KEYS).step_by(100).for_each(|number| remove(&mut table, &key_of(number, 1)));
    assert_eq!((table.segments.len(), table.directory.forks()), (1, 0));
}

#[test]
fn a_scan_in_slot_order_shows_what_stays_exactly_once_slot_by_slot() {
    for tags in [1, 4, 1 << 20] {
        let mut table = Table::<Never, false>::new(KeyHasher::new(5).in_slot_order());
        let mut rng = Rng::new(u64::from(tags));
        let staying: HashSet<Vec<u8>> = (0..1000).map(|number| key_of(number, tags)).collect();
        staying.iter().for_each(|key| insert(&mut table, key));
        let mut passing: Vec<u32> = Vec::new();
        for shrink in [false, true, false] {
            let (mut seen, mut cursor, mut least_slot) = (HashMap::new(), 0, 0);
            loop {
                let mut last_slot = least_slot;
                cursor = table.scan(cursor, |entry| {
                    *seen.entry(entry.key.to_vec()).or_insert(0) += 1;
                    let slot = key_slot(entry.key);
                    assert!(slot >= least_slot, "what is shown later is of a later slot, or of the same");
                    last_slot = last_slot.max(slot);
                });
                least_slot = last_slot;
                if cursor == 0 {
                    break;
                }
                for _ in 0..40 {
                    if shrink && !passing.is_empty() {
                        let number = passing.swap_remove(rng.below(passing.len() as u64) as usize);
                        remove(&mut table, &key_of(number, tags));
                    } else if !shrink && passing.len() < 4000 {
                        let number = 1000 + (rng.next_u64() as u32 >> 1);
                        if !passing.contains(&number) {
                            insert(&mut table, &key_of(number, tags));
                            passing.push(number);
                        }
                    }
                }
            }
            assert!(staying.iter().all(|key| seen.get(key) == Some(&1)));
            table.check_invariants();
        }
    }
}

#[test]
fn slots_are_counted_shown_and_found_as_a_model_has_them() {
    for tags in [1, 30, 1 << 20] {
        let mut table = Table::<Never, false>::new(KeyHasher::new(6).in_slot_order());
        let mut rng = Rng::new(u64::from(tags));
        let mut model: BTreeMap<u16, HashSet<Vec<u8>>> = BTreeMap::new();
        for number in 0..6000 {
            let key = key_of(number, tags);
            insert(&mut table, &key);
            model.entry(key_slot(&key)).or_default().insert(key);
        }
        let (mut slots, mut next) = (Vec::new(), table.next_slot(0));
        while let Some(slot) = next {
            slots.push(slot);
            next = (slot < 16383).then(|| table.next_slot(slot + 1)).flatten();
        }
        assert!(slots.iter().eq(model.keys()));
        assert_eq!(table.count_range(&(0..=u64::MAX)), 6000);
        let neighbours = slots.iter().flat_map(|slot| [slot.saturating_sub(1), *slot, slot + 1]);
        for slot in neighbours.filter(|slot| *slot < 1 << SLOT_BITS) {
            let hashes = first_of_slot(slot)..=first_of_slot(slot) | u64::MAX >> SLOT_BITS;
            let expected = model.get(&slot).cloned().unwrap_or_default();
            assert_eq!(table.count_range(&hashes), expected.len());
            let (mut shown, mut left) = (Vec::new(), Some(hashes.clone()));
            while let Some(range) = left {
                left = table.scan_range(&range, |entry| shown.push(entry.key.to_vec()));
            }
            assert_eq!(shown.len(), expected.len());
            assert!(shown.into_iter().collect::<HashSet<_>>() == expected);
            let drawn = table.random_in(&hashes, &mut rng).map(|at| table.key(at).to_vec());
            assert_eq!(drawn.is_some(), !expected.is_empty());
            assert!(drawn.is_none_or(|key| expected.contains(&key)));
            // Any other range than a slot's.
            let part = hashes.start() + rng.below(1 << 49)
                ..=hashes.end() + rng.below(1 << 51).min(u64::MAX - hashes.end());
            let within = model.values().flatten().filter(|key| part.contains(&table.hash(key))).count();
            assert_eq!(table.count_range(&part), within);
            if tags > 30 && slot > 100 {
                break;
            }
        }
    }
    let empty = Table::<Never, false>::new(KeyHasher::new(6).in_slot_order());
    assert_eq!((empty.next_slot(0), empty.count_range(&(0..=u64::MAX))), (None, 0));
    assert!(empty.random_in(&(0..=u64::MAX), &mut Rng::new(1)).is_none());
}
