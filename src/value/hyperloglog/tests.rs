//! Tests of HyperLogLogs: hash, both representations, estimates, broken strings.

use super::*;
use crate::base::rng::Rng;

const SPARSE_MAX: usize = 3000;

fn naive_registers(bytes: &[u8]) -> Registers {
    let mut registers = Registers::new();
    registers.merge(bytes).unwrap();
    registers
}

#[test]
fn hash_is_murmur64a() {
    // Reference values of the published algorithm with this seed.
    assert_eq!(register_of(b"").0, murmur64(b"", HASH_SEED) as usize % REGISTERS);
    let mut bytes = empty();
    for element in [b"a", b"b", b"c", b"d", b"e", b"f", b"g"] {
        assert!(add(&mut bytes, element, SPARSE_MAX).unwrap());
    }
    assert_eq!(count(&bytes), Ok(7));
    assert!(!add(&mut bytes, b"a", SPARSE_MAX).unwrap());
}

#[test]
fn sparse_and_dense_agree_and_estimate_well() {
    let mut rng = Rng::new(6);
    let (mut mixed, mut dense) = (empty(), empty());
    make_dense(&mut dense).unwrap();
    let mut seen = vec![0u8; REGISTERS];
    let mut promoted = None;
    for round in 1..=20_000u64 {
        let element = rng.next_u64().to_le_bytes();
        let changed = add(&mut mixed, &element, SPARSE_MAX).unwrap();
        assert_eq!(changed, add_dense(&mut dense, &element));
        let (index, value) = register_of(&element);
        assert_eq!(changed, seen[index] < value);
        seen[index] = seen[index].max(value);
        if round.is_power_of_two() || round == 20_000 {
            assert_eq!(naive_registers(&mixed).values()[..], seen[..]);
            assert_eq!(naive_registers(&dense).values()[..], seen[..]);
            let estimated = count(&mixed).unwrap();
            assert_eq!(Ok(estimated), count(&dense));
            assert_eq!(estimated, naive_registers(&dense).count());
            assert!(estimated.abs_diff(round) <= round / 20 + 1, "{estimated} {round}");
        }
        assert!(is_hyperloglog(&mixed) && (is_dense(&mixed) || mixed.len() <= SPARSE_MAX));
        if is_dense(&mixed) && promoted.is_none() {
            promoted = Some(round);
        }
    }
    assert!(promoted.is_some_and(|round| round > 1000));
}

#[test]
fn the_cached_count() {
    let mut bytes = empty();
    assert_eq!(cached_count(&bytes), Some(0));
    invalidate_count(&mut bytes);
    assert_eq!(cached_count(&bytes), None);
    cache_count(&mut bytes, 77);
    assert_eq!(cached_count(&bytes), Some(77));
    assert_eq!(describe_sparse(&bytes), "Z:16384");
}

#[test]
fn merging_keeps_the_larger_registers() {
    let mut rng = Rng::new(7);
    for (left, right) in [(10, 20), (300, 5000), (9000, 9000)] {
        let mut values = [empty(), empty(), empty()];
        for (which, size) in [(0, left), (1, right)] {
            for _ in 0..size {
                let element = rng.below(20_000).to_le_bytes();
                add(&mut values[which], &element, SPARSE_MAX).unwrap();
                add(&mut values[2], &element, SPARSE_MAX).unwrap();
            }
        }
        let [a, b, both] = values;
        let mut union = naive_registers(&a);
        union.merge(&b).unwrap();
        assert_eq!(Ok(union.count()), count(&both));
        let mut stored = empty();
        union.store(&mut stored, is_dense(&a) || is_dense(&b), SPARSE_MAX).unwrap();
        assert_eq!(naive_registers(&stored).values(), union.values());
    }
}

#[test]
fn broken_strings_are_errors() {
    assert!(!is_hyperloglog(b"HYLL"));
    assert!(!is_hyperloglog(b"HYLM\x01abcdefghijkl"));
    assert!(!is_hyperloglog(b"HYLL\x02abcdefghijkl"));
    assert!(!is_hyperloglog(b"HYLL\x00abcdefghijkl"));
    let mut rng = Rng::new(8);
    let good = {
        let mut bytes = empty();
        for element in 0..200u64 {
            add(&mut bytes, &element.to_le_bytes(), SPARSE_MAX).unwrap();
        }
        bytes
    };
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..=rng.below(3) {
            let at = HEADER + rng.below((bytes.len() - HEADER) as u64) as usize;
            match rng.below(3) {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, rng.next_u64() as u8),
            }
            if bytes.len() == HEADER {
                break;
            }
        }
        let valid = count(&bytes).is_ok();
        describe_sparse(&bytes);
        assert_eq!(Registers::new().merge(&bytes).is_ok(), valid);
        assert_eq!(make_dense(&mut bytes.clone()).is_ok(), valid);
        let added = add(&mut bytes, &rng.next_u64().to_le_bytes(), SPARSE_MAX);
        assert!(added.is_ok() || !valid);
    }
}
