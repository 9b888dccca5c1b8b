//! Tests of the handle table against a map.

use super::*;
use crate::base::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// A hash of the handle itself: splitmix64's finaliser.
fn mix(handle: Handle) -> u64 {
    Rng::new(u64::from(handle)).next_u64()
}

#[test]
fn grows_and_shrinks_like_a_set() {
    let mut rng = Rng::new(3);
    let mut table = HandleTable::new();
    let mut model = BTreeSet::new();
    for round in 0..40_000u32 {
        let growing = (round / 10_000) % 2 == 0;
        let handle = rng.below(if round < 20_000 { 20_000 } else { 3000 }) as Handle;
        let hash = mix(handle);
        let found = table.find(hash, |h| h == handle);
        assert_eq!(found.is_some(), model.contains(&handle));
        if found.is_none() && (growing || rng.below(4) == 0) {
            table.insert(hash, handle, mix);
            model.insert(handle);
        } else if found.is_some() && (!growing || rng.below(4) == 0) {
            assert_eq!(table.remove(hash, |h| h == handle, mix), Some(handle));
            model.remove(&handle);
        }
        if round % 4000 == 0 {
            table.check_invariants(mix);
        }
    }
    table.check_invariants(mix);
    for &handle in &model {
        assert_eq!(table.remove(mix(handle), |h| h == handle, mix), Some(handle));
    }
    table.check_invariants(mix);
    assert!(table.is_empty() && table.depth == 0);
    assert_eq!(table.segments[table.directory[0] as usize].pairs(), 1);
}

#[test]
fn is_dense_when_large() {
    let mut table = HandleTable::new();
    for handle in 0..100_000 {
        table.insert(mix(handle), handle, mix);
    }
    table.check_invariants(mix);
    assert!(table.spill.is_empty());
    let bytes = table.memory_usage();
    assert!(bytes < 100_000 * 11, "{bytes}");
}

#[test]
fn equal_hashes_are_slow_and_right() {
    for shared in [!0u64, !0xffff, 0] {
        let hash = |handle: Handle| (u64::from(handle) & !shared & 0xffff) | (7 << 40);
        let mut table = HandleTable::new();
        for handle in 0..3000 {
            table.insert(hash(handle), handle, hash);
        }
        table.check_invariants(hash);
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = table.scan(cursor, 10, hash, |handle| assert!(seen.insert(handle)));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), 3000);
        for handle in 0..3000 {
            assert_eq!(table.remove(hash(handle), |h| h == handle, hash), Some(handle));
        }
        assert!(table.is_empty());
    }
}

#[test]
fn a_scan_visits_who_stays_exactly_once() {
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let mut table = HandleTable::new();
        let stays = 1 + rng.below(4000) as Handle;
        for handle in 0..stays {
            table.insert(mix(handle), handle, mix);
        }
        let mut visits = BTreeMap::new();
        let mut guests: Vec<Handle> = Vec::new();
        let (mut cursor, mut next_guest) = (0, 1_000_000);
        let growing = seed % 2 == 0;
        if !growing {
            guests.extend(next_guest..next_guest + 5000);
            next_guest += 5000;
            guests.iter().for_each(|&guest| table.insert(mix(guest), guest, mix));
        }
        loop {
            let visit = |handle| *visits.entry(handle).or_insert(0) += 1;
            cursor = table.scan(cursor, 1 + rng.below(60) as usize, mix, visit);
            assert!(cursor < 1 << 48);
            if cursor == 0 {
                break;
            }
            for _ in 0..rng.below(400) {
                if growing {
                    table.insert(mix(next_guest), next_guest, mix);
                    next_guest += 1;
                } else if let Some(guest) = guests.pop() {
                    assert_eq!(table.remove(mix(guest), |h| h == guest, mix), Some(guest));
                }
            }
        }
        for handle in 0..stays {
            assert_eq!(visits.get(&handle), Some(&1), "seed {seed} handle {handle}");
        }
        table.check_invariants(mix);
    }
}
