//! Tests of hashes in every encoding against a map.

use super::*;
use crate::base::rng::Rng;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn small() -> Limits {
    Limits { hash_max_listpack_entries: 8, hash_max_listpack_value: 12, ..Limits::default() }
}

fn contents(hash: &Hash) -> Model {
    hash.iter().map(|f| (f.name.to_vec(), (f.value.to_vec(), f.deadline))).collect()
}

fn text(rng: &mut Rng, long: bool) -> Vec<u8> {
    match rng.below(if long { 3 } else { 2 }) {
        0 => rng.below(25).to_string().into_bytes(),
        1 => format!("f{}", rng.below(25)).into_bytes(),
        _ => format!("something longer {}", rng.below(25)).into_bytes(),
    }
}

fn live(model: &Model, now: u64) -> Vec<&Vec<u8>> {
    model.iter().filter(|(_, v)| !is_past(v.1, now)).map(|(k, _)| k).collect()
}

fn step(hash: &mut Hash, model: &mut Model, rng: &mut Rng, now: u64, long: bool, limits: &Limits) {
    let (field, value) = (text(rng, long), text(rng, long));
    match rng.below(12) {
        0..=4 => {
            let keep = rng.below(2) == 0;
            let old = model.get(&field).and_then(|v| v.1).filter(|_| keep);
            assert_eq!(hash.set(&field, &value, keep, limits), !model.contains_key(&field));
            model.insert(field, (value, old));
        }
        5 | 6 => assert_eq!(hash.remove(&field), model.remove(&field).is_some()),
        7 | 8 => {
            let deadline = (rng.below(4) > 0).then(|| now + rng.below(30));
            let found = model.get_mut(&field).map(|v| v.1 = deadline).is_some();
            assert_eq!(hash.set_deadline(&field, deadline), found);
        }
        9 => {
            let count = rng.below(9) as usize;
            let mut seen = Vec::new();
            hash.sample(count, rng, now, |f| seen.push(f.name.to_vec()));
            seen.sort();
            seen.dedup();
            let alive = live(model, now);
            assert!(seen.iter().all(|name| alive.contains(&name)));
            assert_eq!(seen.len(), count.min(alive.len()));
        }
        10 => {
            let alive = live(model, now);
            let random = hash.random(rng, now).map(|f| f.name.to_vec());
            assert_eq!(random.is_none(), alive.is_empty());
            assert!(random.is_none_or(|name| alive.contains(&&name)));
        }
        _ => {
            let expected = model.get(&field).filter(|v| !is_past(v.1, now)).map(|v| v.0.clone());
            assert_eq!(hash.get(&field, now).map(Entry::to_vec), expected);
        }
    }
}

fn sweep(hash: &mut Hash, model: &mut Model, now: u64, max: usize) {
    let gone = hash.expire_some(now, max, |field| {
        assert!(model.remove(field).is_some_and(|v| is_past(v.1, now)));
    });
    if gone < max {
        assert!(model.values().all(|v| !is_past(v.1, now)));
    }
}

#[test]
fn agrees_with_a_map() {
    let mut rng = Rng::new(51);
    for round in 0..6 {
        let limits = if round % 2 == 0 { small() } else { Limits::default() };
        let long = round >= 4;
        let (mut hash, mut model, mut now) = (Hash::new(), Model::new(), 1000);
        for turn in 0..400 {
            now += rng.below(3);
            step(&mut hash, &mut model, &mut rng, now, long, &limits);
            if turn % 6 == 0 {
                sweep(&mut hash, &mut model, now, 2);
            }
            if turn % 8 == 0 {
                hash.check_invariants();
                assert_eq!(contents(&hash), model);
                assert_eq!(contents(&hash.duplicate()), model);
                assert_eq!(hash.live_len(now), live(&model, now).len());
                let earliest = model.values().filter_map(|v| v.1).min();
                assert!(hash.next_deadline() <= earliest || earliest.is_none());
                assert_eq!(hash.has_deadlines(), earliest.is_some());
            }
        }
        hash.free_some(usize::MAX);
    }
}

#[test]
fn forms_change_where_redis_changes_them() {
    let limits = small();
    let mut hash = Hash::new();
    for i in 0..8 {
        hash.set(format!("f{i}").as_bytes(), b"v", false, &limits);
    }
    assert_eq!(hash.encoding(), "listpack");
    let mut longer = hash.duplicate();
    longer.set(b"f1", b"more than 12 bytes", false, &limits);
    assert_eq!((longer.encoding(), longer.len()), ("hashtable", 8));
    let mut volatile = hash.duplicate();
    assert!(volatile.set_deadline(b"f3", Some(50)));
    assert_eq!((volatile.encoding(), volatile.next_deadline()), ("listpackex", Some(50)));
    volatile.set_deadline(b"f3", None);
    assert_eq!((volatile.encoding(), volatile.next_deadline()), ("listpackex", None));
    volatile.set_deadline(b"f4", Some(60));
    volatile.set(b"f9", b"v", false, &limits);
    assert_eq!((volatile.encoding(), volatile.next_deadline()), ("hashtable", Some(60)));
    hash.set(b"f9", b"v", false, &limits);
    assert_eq!(hash.encoding(), "hashtable");
    let mut expecting = Hash::new();
    expecting.expect([&b"x"[..]; 16].into_iter(), &limits);
    assert_eq!(expecting.encoding(), "listpack");
    expecting.expect([&b"x"[..]; 18].into_iter(), &limits);
    assert_eq!(expecting.encoding(), "hashtable");
}

#[test]
fn triples_lie_in_order_of_their_deadlines() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for field in [b"a", b"b", b"c"] {
        hash.set(field, b"1", false, &limits);
    }
    hash.set_deadline(b"c", Some(200));
    hash.set_deadline(b"a", Some(100));
    let Hash::ListpackEx(listpack) = &hash else { panic!("triples") };
    let entries: Vec<_> = listpack.iter().map(Entry::to_vec).collect();
    assert_eq!(entries.concat(), b"a1100c1200b10");
    hash.set(b"a", b"2", false, &limits);
    assert_eq!(hash.find(b"a"), Some((Entry::Int(2), None)));
    hash.set(b"c", b"3", true, &limits);
    assert_eq!(hash.get(b"c", 200), Some(Entry::Int(3)));
    assert_eq!(hash.get(b"c", 201), None);
    assert_eq!((hash.len(), hash.live_len(201)), (3, 2));
}

#[test]
fn snapshots_are_checked() {
    let limits = small();
    let listpack = |items: &[&[u8]]| items.iter().map(|&b| Entry::from(b)).collect::<Listpack>();
    assert!(Hash::from_listpack(listpack(&[b"a", b"1", b"b", b"1"]), &limits).is_ok());
    assert!(Hash::from_listpack(listpack(&[b"a", b"1", b"b"]), &limits).is_err());
    assert!(Hash::from_listpack(listpack(&[b"a", b"1", b"a", b"2"]), &limits).is_err());
    let many: Listpack = (0..18).map(Entry::Int).collect();
    assert_eq!(Hash::from_listpack(many, &limits).unwrap().encoding(), "hashtable");
    let good = Hash::from_listpack_ex(listpack(&[b"a", b"1", b"7", b"b", b"1", b"0"]), &limits).unwrap();
    assert_eq!(good.find(b"a").and_then(|f| f.1), Some(7));
    for bad in [&[b"a", b"1", b"0", b"b", b"1", b"7"], &[b"a", b"1", b"x", b"b", b"1", b"0"]] {
        assert!(Hash::from_listpack_ex(listpack(&bad.map(|b| &b[..])), &limits).is_err());
    }
}

#[test]
fn scan_shows_each_field_once() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for i in 0..2000 {
        let field = format!("field {i}");
        hash.set(field.as_bytes(), b"value", false, &limits);
        hash.set_deadline(field.as_bytes(), (i < 500).then_some(10));
    }
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = hash.scan(cursor, |f| seen.extend(f.is_live(11).then(|| f.name.to_vec())));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 1500);
    seen.sort();
    seen.dedup();
    assert_eq!((seen.len(), hash.live_len(11)), (1500, 1500));
    while hash.expire_some(11, 50, |_| {}) > 0 {}
    assert_eq!((hash.len(), hash.next_deadline()), (1500, None));
}
