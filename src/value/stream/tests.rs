//! Tests of streams against a list of entries, of the layout of nodes, and of hostile nodes.

use super::*;
use crate::base::rng::Rng;
use crate::structures::listpack::{Entry, Listpack};
use crate::value::Limits;

type Pair = (Vec<u8>, Vec<u8>);

/// The log as a plain list.
#[derive(Default)]
struct Naive {
    entries: Vec<(StreamId, Vec<Pair>)>,
    last_id: StreamId,
    max_deleted: StreamId,
    added: u64,
}

fn append(log: &mut Log, id: NewId, pairs: &[Pair], limits: &Limits) -> Result<StreamId, AppendError> {
    log.append(id, pairs.iter().map(|(field, value)| (&field[..], &value[..])), limits)
}

fn owned(entry: StreamEntry<'_>) -> (StreamId, Vec<Pair>) {
    let fields = entry.fields();
    assert_eq!(fields.len(), entry.field_count());
    (entry.id, fields.map(|(field, value)| (field.to_vec(), value.to_vec())).collect())
}

fn random_pairs(rng: &mut Rng) -> Vec<Pair> {
    let count = if rng.below(3) > 0 { 2 } else { rng.below(4) };
    (0..count)
        .map(|index| {
            let field = if rng.below(5) > 0 { format!("field{index}") } else { rng.below(99).to_string() };
            let value = (rng.next_u64() >> rng.below(64)).to_string();
            let value = if rng.below(2) == 0 { value } else { format!("v{value}") };
            (field.into_bytes(), value.into_bytes())
        })
        .collect()
}

fn random_id(rng: &mut Rng, naive: &Naive) -> StreamId {
    match (rng.below(4), naive.entries.len() as u64) {
        (0, _) | (_, 0) => StreamId::new(rng.below(naive.last_id.ms + 3), rng.below(4)),
        (_, len) => naive.entries[rng.below(len) as usize].0,
    }
}

fn check(log: &Log, naive: &Naive, rng: &mut Rng) {
    log.check_invariants();
    assert_eq!(log.len(), naive.entries.len());
    assert_eq!(log.last_id(), naive.last_id);
    assert_eq!(log.max_deleted_id(), naive.max_deleted);
    assert_eq!(log.entries_added(), naive.added);
    assert_eq!(log.last_entry_id(), naive.entries.last().map(|entry| entry.0));
    for _ in 0..3 {
        let (start, end) = (random_id(rng, naive), random_id(rng, naive));
        let within = |entry: &&(StreamId, Vec<Pair>)| (start..=end).contains(&entry.0);
        let expected: Vec<_> = naive.entries.iter().filter(within).cloned().collect();
        assert_eq!(log.range(start, end).map(owned).collect::<Vec<_>>(), expected);
        let backward: Vec<_> = log.range_rev(start, end).map(owned).collect();
        assert!(backward.iter().rev().eq(expected.iter()));
        assert_eq!(log.contains(start), naive.entries.iter().any(|entry| entry.0 == start));
    }
}

#[test]
fn behaves_like_a_list() {
    let mut rng = Rng::new(12);
    for round in 0..12 {
        let limits = Limits {
            stream_node_max_entries: [3, 0, 10, 100][round % 4],
            stream_node_max_bytes: [4096, 200, 0][round % 3],
            ..Limits::default()
        };
        let (mut log, mut naive) = (Log::default(), Naive::default());
        for step in 0..250 {
            match rng.below(13) {
                0..=7 => {
                    let wanted = match rng.below(4) {
                        0 => NewId::Exact(StreamId::new(naive.last_id.ms + rng.below(3), rng.below(3))),
                        1 => NewId::AutoSequence((naive.last_id.ms + rng.below(3)).saturating_sub(1)),
                        _ => NewId::Auto(step),
                    };
                    let pairs = random_pairs(&mut rng);
                    match append(&mut log, wanted, &pairs, &limits) {
                        Ok(id) => {
                            assert!(id > naive.last_id);
                            naive.entries.push((id, pairs));
                            naive.last_id = id;
                            naive.added += 1;
                        }
                        Err(error) => assert_eq!(error, AppendError::NotAbove),
                    }
                }
                8..=10 => {
                    let id = random_id(&mut rng, &naive);
                    let found = naive.entries.iter().position(|entry| entry.0 == id);
                    assert_eq!(log.delete(id), found.is_some());
                    if let Some(index) = found {
                        naive.entries.remove(index);
                        naive.max_deleted = naive.max_deleted.max(id);
                    }
                }
                11 => trim_both(&mut log, &mut naive, &mut rng),
                _ => set_ids_of_both(&mut log, &mut naive, &mut rng),
            }
            if step % 10 == 0 {
                check(&log, &naive, &mut rng);
                reload(&log);
            }
        }
        reload(&log);
    }
}

/// Sets the ids as low as the entries allow, or somewhat higher: deleted ones may come again.
fn set_ids_of_both(log: &mut Log, naive: &mut Naive, rng: &mut Rng) {
    let least = naive.entries.last().map_or(StreamId::ZERO, |entry| entry.0);
    let id = StreamId::new(least.ms + rng.below(2), least.seq + rng.below(2)).min(naive.last_id).max(least);
    naive.max_deleted = naive.max_deleted.min(id);
    naive.last_id = id;
    log.set_ids(id, None, Some(naive.max_deleted));
}

fn trim_both(log: &mut Log, naive: &mut Naive, rng: &mut Rng) {
    let to = match rng.below(2) {
        0 => TrimTo::Len((log.len() as u64).saturating_sub(rng.below(12))),
        _ => TrimTo::MinId(random_id(rng, naive)),
    };
    let goers = match to {
        TrimTo::Len(len) => naive.entries.len().saturating_sub(len as usize),
        TrimTo::MinId(id) => naive.entries.iter().take_while(|entry| entry.0 < id).count(),
    };
    let trim = Trim { to, approximate: rng.below(3) == 0, limit: 0 };
    let limited = Trim { limit: rng.below(6) + 1, approximate: true, ..trim };
    let gone = log.trim(limited);
    assert!(gone <= goers && gone as u64 <= limited.limit);
    let gone = gone + log.trim(trim);
    assert!(if trim.approximate { gone <= goers } else { gone == goers });
    naive.entries.drain(..gone);
}

/// What one log saves, another loads.
fn reload(log: &Log) {
    let mut copy = Log::default();
    for (master, listpack) in log.nodes() {
        let listpack = Listpack::from_bytes(listpack.as_bytes()).unwrap();
        copy.load_node(master, listpack).unwrap();
    }
    copy.set_ids(log.last_id(), Some(log.entries_added()), Some(log.max_deleted_id()));
    copy.check_invariants();
    assert_eq!(copy.first_id(), log.first_id());
    let all = |log: &Log| log.range(StreamId::ZERO, StreamId::MAX).map(owned).collect::<Vec<_>>();
    assert_eq!(all(&copy), all(log));
    let mut repeated = copy.clone();
    if let Some((master, listpack)) = log.nodes().next() {
        assert_eq!(repeated.load_node(master, listpack.clone()), Err(Corrupt));
    }
}

#[test]
fn the_layout_of_a_node() {
    let mut log = Log::default();
    let limits = Limits::default();
    let pair = |field: &str, value: &str| (field.as_bytes().to_vec(), value.as_bytes().to_vec());
    append(&mut log, NewId::Exact(StreamId::new(5, 1)), &[pair("a", "1")], &limits).unwrap();
    append(&mut log, NewId::Exact(StreamId::new(6, 0)), &[pair("b", "x")], &limits).unwrap();
    append(&mut log, NewId::Auto(1), &[pair("a", "y")], &limits).unwrap();
    assert!(log.delete(StreamId::new(5, 1)));
    let (master, listpack) = log.nodes().next().unwrap();
    assert_eq!(master, StreamId::new(5, 1));
    let elements: Vec<_> = listpack.iter().map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect();
    let expected = "2 1 1 a 0   3 0 0 1 4   0 1 -1 1 b x 6   2 1 0 y 4";
    assert_eq!(elements, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(log.first_id(), StreamId::new(6, 0));
}

#[test]
fn ids_run_out() {
    let mut log = Log::default();
    let limits = Limits::default();
    assert_eq!(log.next_id(NewId::Exact(StreamId::ZERO)), None);
    assert_eq!(log.next_id(NewId::AutoSequence(0)), Some(StreamId::new(0, 1)));
    append(&mut log, NewId::Exact(StreamId::new(7, u64::MAX)), &[], &limits).unwrap();
    assert_eq!(log.next_id(NewId::AutoSequence(7)), None);
    assert_eq!(log.next_id(NewId::Auto(3)), Some(StreamId::new(8, 0)));
    append(&mut log, NewId::Exact(StreamId::MAX), &[], &limits).unwrap();
    assert_eq!(append(&mut log, NewId::Auto(9), &[], &limits), Err(AppendError::NotAbove));
    assert_eq!(log.range(StreamId::MAX, StreamId::MAX).count(), 1);
    assert_eq!(log.range(StreamId::MAX, StreamId::ZERO).count(), 0);
}

/// Whatever a foreign node says, it is refused or it can be read, and nothing panics.
#[test]
fn hostile_nodes() {
    let mut rng = Rng::new(13);
    let mut log = Log::default();
    for step in 0..8 {
        append(&mut log, NewId::Auto(step), &random_pairs(&mut rng), &Limits::default()).unwrap();
    }
    log.delete(StreamId::new(3, 0));
    let (master, listpack) = log.nodes().next().unwrap();
    let elements: Vec<Vec<u8>> = listpack.iter().map(|entry| entry.to_vec()).collect();
    let mut accepted = 0;
    for _ in 0..3000 {
        let mut elements = elements.clone();
        for _ in 0..=rng.below(2) {
            let at = rng.below(elements.len() as u64) as usize;
            match rng.below(4) {
                0 => drop(elements.remove(at)),
                1 => elements.insert(at, b"1".to_vec()),
                2 => elements[at] = (rng.below(6) as i64 - 2).to_string().into_bytes(),
                _ => elements[at] = i64::MAX.to_string().into_bytes(),
            }
        }
        let listpack: Listpack = elements.iter().map(|element| Entry::from(&element[..])).collect();
        let mut log = Log::default();
        if log.load_node(master, listpack).is_ok() {
            accepted += 1;
            log.check_invariants();
            let ids: Vec<_> = log.range(StreamId::ZERO, StreamId::MAX).map(|entry| owned(entry).0).collect();
            log.set_ids(StreamId::ZERO, Some(1), None);
            ids.iter().for_each(|id| assert!(log.delete(*id)));
            assert!(log.is_empty() && log.node_count() == 0);
        }
    }
    assert!(accepted > 50);
}

#[test]
fn the_memory_of_many_groups_is_extrapolated() {
    let mut stream = Stream::new();
    for number in 0..1000 {
        let mut group = Group::new(StreamId::ZERO, None);
        for consumer in 0..3 {
            group.create_consumer(format!("consumer:{consumer}").as_bytes(), 1).unwrap();
        }
        group.delete_consumer(b"consumer:1").unwrap();
        stream.groups.create(format!("group:{number:03}").as_bytes(), group).unwrap();
        if [1, 50, 99].contains(&number) {
            assert_eq!(stream.memory_usage(5), stream.memory_usage(0));
        }
    }
    stream.check_invariants();
    let (some, all) = (stream.memory_usage(5), stream.memory_usage(0));
    assert_eq!(some, all, "the groups are alike");
    assert!(all > 1000 * size_of::<Group>());
}

#[test]
fn freeing_bit_by_bit() {
    let mut stream = Stream::new();
    let limits = Limits { stream_node_max_entries: 2, ..Limits::default() };
    for step in 1..100 {
        append(&mut stream.log, NewId::Auto(step), &[], &limits).unwrap();
    }
    let exact = stream.memory_usage(0);
    assert!(exact > 50 * 16 && stream.memory_usage(5).abs_diff(exact) < exact / 4);
    let mut group = Group::new(StreamId::ZERO, Some(0));
    let consumer = group.create_consumer(b"c", 1).unwrap();
    for entry in stream.log.range(StreamId::ZERO, StreamId::MAX) {
        group.deliver(&stream.log, entry.id, consumer, 1, false);
    }
    stream.groups.create(b"g", group).unwrap();
    stream.check_invariants();
    let mut steps = 0;
    while !stream.free_some(10) {
        steps += 1;
    }
    assert!((4..20).contains(&steps), "{steps}");
}
