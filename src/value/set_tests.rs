//! Tests of sets in every encoding against a `BTreeSet`.

use super::*;
use std::collections::BTreeSet;

fn small() -> Limits {
    Limits {
        set_max_intset_entries: 6,
        set_max_listpack_entries: 5,
        set_max_listpack_value: 10,
        ..Limits::default()
    }
}

fn member(rng: &mut Rng, kinds: u64) -> Vec<u8> {
    match rng.below(kinds) {
        0 => (rng.below(40) as i64 - 20).to_string().into_bytes(),
        1 => format!("m{}", rng.below(40)).into_bytes(),
        2 => format!("a longer member {}", rng.below(40)).into_bytes(),
        _ => (rng.next_u64() as i64).to_string().into_bytes(),
    }
}

fn contents(set: &Set) -> BTreeSet<Vec<u8>> {
    set.iter().map(Entry::to_vec).collect()
}

fn made_of(members: &[&str], limits: &Limits) -> Set {
    let mut set = Set::for_members(members[0].as_bytes(), members.len(), limits);
    for member in members {
        set.insert(member.as_bytes(), limits);
    }
    set
}

#[test]
fn agrees_with_a_tree() {
    let mut rng = Rng::new(41);
    for (round, limits) in [small(), Limits::default(), small(), small(), small()].iter().enumerate() {
        let mut set = Set::new();
        let mut model = BTreeSet::new();
        for step in 0..400 {
            let m = member(&mut rng, round as u64 % 4 + 1);
            match rng.below(12) {
                0..=5 => assert_eq!(set.insert(&m, limits), model.insert(m)),
                6..=8 => assert_eq!(set.remove(&m), model.remove(&m)),
                9 => {
                    let count = rng.below(4) as usize;
                    let before = model.len();
                    set.pop(count, &mut rng, limits, |e| assert!(model.remove(&e.to_vec())));
                    assert_eq!(model.len(), before.saturating_sub(count));
                }
                10 => {
                    let count = rng.below(9) as usize;
                    let mut seen = BTreeSet::new();
                    set.sample(count, &mut rng, |e| assert!(seen.insert(e.to_vec())));
                    assert!(seen.is_subset(&model) && seen.len() == count.min(model.len()));
                }
                _ => assert_eq!(set.contains(&m), model.contains(&m)),
            }
            if step % 8 == 0 {
                set.check_invariants();
                assert_eq!(contents(&set), model);
                assert_eq!(contents(&set.duplicate()), model);
                let random = set.random(&mut rng).map(Entry::to_vec);
                assert!(random.is_none_or(|m| model.contains(&m)) && set.len() == model.len());
            }
        }
    }
}

#[test]
fn forms_change_where_redis_changes_them() {
    let limits = small();
    assert_eq!(made_of(&["1", "2"], &limits).encoding(), "intset");
    assert_eq!(made_of(&["1", "2", "x"], &limits).encoding(), "listpack");
    assert_eq!(made_of(&["x", "1"], &limits).encoding(), "listpack");
    assert_eq!(made_of(&["1", "a member too long"], &limits).encoding(), "hashtable");
    assert_eq!(made_of(&["1234567890123", "x"], &limits).encoding(), "hashtable");
    assert_eq!(made_of(&["1", "2", "3", "4", "5", "6"], &limits).encoding(), "intset");
    let mut set = made_of(&["1", "2", "3", "4", "5", "6"], &limits);
    set.insert(b"7", &limits);
    assert_eq!(set.encoding(), "hashtable");
    let mut set = made_of(&["1", "2", "3", "4", "5"], &limits);
    set.insert(b"x", &limits);
    assert_eq!(set.encoding(), "hashtable");
    let mut set = made_of(&["a", "b", "c", "d", "e"], &limits);
    assert_eq!(set.encoding(), "listpack");
    assert!(!set.insert(b"a", &limits) && set.insert(b"f", &limits));
    assert_eq!(set.encoding(), "hashtable");
    set.remove(b"a");
    assert_eq!(set.encoding(), "hashtable");
    let mut set = made_of(&["a"], &limits);
    set.expect(6, &limits);
    assert_eq!(set.encoding(), "hashtable");
    assert_eq!(Set::for_members(b"1", 7, &limits).encoding(), "hashtable");
}

#[test]
fn results_and_remains_are_made_afresh() {
    let limits = small();
    let table = made_of(&["1", "2", "3", "4", "5", "6", "x"], &limits);
    let mut result = Set::for_intersection(&table);
    for member in table.iter().filter(|e| e.as_int().is_some()) {
        result.insert_entry(member, &limits);
    }
    assert_eq!(result.encoding(), "hashtable");
    result.compact(&limits);
    assert_eq!((result.encoding(), result.len()), ("intset", 6));

    let mut rng = Rng::new(2);
    let mut table = Set::empty_table(&limits);
    for i in 0..100 {
        table.insert(format!("member {i}").as_bytes(), &limits);
    }
    let mut popped = 0;
    table.pop(96, &mut rng, &limits, |_| popped += 1);
    assert_eq!((popped, table.len(), table.encoding()), (96, 4, "listpack"));
    table.pop(9, &mut rng, &limits, |_| popped += 1);
    assert_eq!((popped, table.len()), (100, 0));
}

#[test]
fn snapshots_are_checked() {
    let limits = small();
    let listpack: Listpack = [Entry::Int(1), Entry::Str(b"a"), Entry::Str(b"b")].into_iter().collect();
    assert_eq!(Set::from_listpack(listpack, &limits).unwrap().encoding(), "listpack");
    let twice: Listpack = [Entry::Int(1), Entry::Str(b"a"), Entry::Str(b"1")].into_iter().collect();
    assert!(Set::from_listpack(twice, &limits).is_err());
    let many: Listpack = (0..6).map(Entry::Int).collect();
    assert_eq!(Set::from_listpack(many, &limits).unwrap().encoding(), "hashtable");
    let mut ints = Intset::new();
    (0..7).for_each(|i| assert!(ints.insert(i)));
    assert_eq!(Set::from_intset(ints, &limits).encoding(), "hashtable");
}

#[test]
fn scan_shows_each_member_once() {
    let limits = Limits::default();
    let mut set = Set::new();
    for i in 0..3000 {
        set.insert(format!("member {i}").as_bytes(), &limits);
    }
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = set.scan(cursor, |e| seen.push(e.to_vec()));
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 3000);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), contents(&set));
    assert!(set.memory_usage() > 3000 * 12);
    assert!(!set.free_some(1));
    assert!(set.free_some(usize::MAX));
}
