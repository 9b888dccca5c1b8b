//! Tests of consumer groups: reading, lag, claiming, loading, and pending entries against a map.

use super::*;
use crate::base::rng::Rng;
use crate::value::Limits;
use std::collections::BTreeMap;

fn log_of(ids: impl IntoIterator<Item = u64>) -> Log {
    let mut log = Log::default();
    for ms in ids {
        let fields: [(&[u8], &[u8]); 1] = [(b"f", b"v")];
        log.append(NewId::Exact(StreamId::new(ms, 0)), fields.into_iter(), &Limits::default()).unwrap();
    }
    log
}

fn request(consumer: ConsumerId, now_ms: i64) -> ClaimRequest {
    ClaimRequest {
        consumer,
        now_ms,
        min_idle_ms: 0,
        delivered_ms: now_ms,
        deliveries: None,
        just_id: false,
        force: false,
    }
}

/// Delivers what comes next to the group, at most `count` entries.
fn read(group: &mut Group, log: &Log, consumer: ConsumerId, count: usize, now_ms: i64) -> Vec<u64> {
    let Some(start) = group.last_delivered().next() else { return Vec::new() };
    let ids: Vec<_> = log.range(start, StreamId::MAX).take(count).map(|entry| entry.id).collect();
    for id in &ids {
        group.deliver(log, *id, consumer, now_ms, false);
    }
    ids.iter().map(|id| id.ms).collect()
}

fn id(ms: u64) -> StreamId {
    StreamId::new(ms, 0)
}

#[test]
fn reading_counts_and_lag() {
    let mut log = log_of(1..=5);
    let mut group = Group::new(StreamId::ZERO, None);
    let consumer = group.create_consumer(b"alice", 10).unwrap();
    assert_eq!(group.create_consumer(b"alice", 11), None);
    assert_eq!(group.lag(&log), Some(5));
    assert_eq!(read(&mut group, &log, consumer, 1, 10), [1]);
    assert_eq!((group.entries_read(), group.lag(&log)), (Some(1), Some(4)));
    assert_eq!(read(&mut group, &log, consumer, 2, 10), [2, 3]);
    assert_eq!((group.entries_read(), group.lag(&log)), (Some(3), Some(2)));
    // A gap ahead: the lag is unknown until the group is past it.
    assert!(log.delete(id(4)));
    assert_eq!(group.lag(&log), None);
    assert_eq!(read(&mut group, &log, consumer, 9, 10), [5]);
    assert_eq!((group.entries_read(), group.lag(&log)), (Some(5), Some(0)));
    assert_eq!(group.pending_count(), 4);
    group.set_position(id(2), None);
    assert_eq!((group.entries_read(), group.lag(&log)), (None, None));
    assert_eq!(group.lag(&Log::default()), Some(0));
}

#[test]
fn trimmed_streams_have_a_lag() {
    let mut log = log_of(1..=6);
    let group = Group::new(StreamId::ZERO, Some(0));
    log.trim(Trim { to: TrimTo::Len(2), approximate: false, limit: 0 });
    assert_eq!(group.lag(&log), Some(2));
    assert_eq!(log.entries_up_to(id(5)), Some(5));
    assert_eq!(log.entries_up_to(id(3)), Some(4));
    assert_eq!(log.entries_up_to(id(6)), Some(6));
    assert_eq!(log.entries_up_to(id(7)), None);
}

#[test]
fn claiming() {
    let mut log = log_of(1..=6);
    let mut group = Group::new(StreamId::ZERO, Some(0));
    let alice = group.create_consumer(b"alice", 0).unwrap();
    let bob = group.create_consumer(b"bob", 0).unwrap();
    read(&mut group, &log, alice, 4, 100);
    assert_eq!(group.claim(&log, id(1), &ClaimRequest { min_idle_ms: 50, ..request(bob, 149) }), Claim::Left);
    assert_eq!(
        group.claim(&log, id(1), &ClaimRequest { min_idle_ms: 50, ..request(bob, 150) }),
        Claim::Claimed
    );
    assert_eq!(group.pending(id(1)), Some(&Pending { delivered_ms: 150, deliveries: 2, consumer: bob }));
    assert_eq!(group.consumer(bob).unwrap().active_ms, 150);
    // Not pending: only by force, and then as if delivered once before.
    assert_eq!(group.claim(&log, id(6), &request(bob, 160)), Claim::Left);
    assert_eq!(
        group.claim(&log, id(6), &ClaimRequest { force: true, just_id: true, ..request(bob, 160) }),
        Claim::Claimed
    );
    assert_eq!(group.pending(id(6)).unwrap().deliveries, 1);
    // Deleted from the stream: no longer pending either.
    log.delete(id(2));
    assert!(
        matches!(group.claim(&log, id(2), &request(bob, 170)), Claim::Gone(was) if was.consumer == alice)
    );
    assert_eq!(group.claim(&log, id(2), &ClaimRequest { force: true, ..request(bob, 170) }), Claim::Left);
    group.redeliver(id(3), 180);
    assert_eq!(group.pending(id(3)).unwrap().deliveries, 2);
    group.check_invariants();
    let with_alice: Vec<_> = group.pending_with(alice, StreamId::ZERO).map(|(id, _)| id.ms).collect();
    assert_eq!(with_alice, [3, 4]);
    assert_eq!(group.acknowledge(id(4)).map(|was| was.consumer), Some(alice));
    assert_eq!(group.acknowledge(id(4)), None);
    assert_eq!(group.delete_consumer(b"bob"), Some(2));
    assert_eq!(group.delete_consumer(b"bob"), None);
    assert_eq!(group.pending_count(), 1);
    assert_eq!(group.create_consumer(b"carol", 0), Some(bob));
    let names: Vec<_> = group.consumers().map(|(_, consumer)| consumer.name().to_vec()).collect();
    assert_eq!(names, [b"alice".to_vec(), b"carol".to_vec()]);
    group.check_invariants();
}

#[test]
fn autoclaim_walks_the_pending_entries() {
    let mut log = log_of(1..=10);
    let mut group = Group::new(StreamId::ZERO, Some(0));
    let alice = group.create_consumer(b"alice", 0).unwrap();
    let bob = group.create_consumer(b"bob", 0).unwrap();
    read(&mut group, &log, alice, 10, 100);
    log.delete(id(2));
    let first = group.autoclaim(&log, StreamId::ZERO, 3, 30, &request(bob, 200));
    assert_eq!(first.claimed, [id(1), id(3)]);
    assert_eq!(first.gone.len(), 1);
    assert_eq!(first.next, id(4));
    // All too recent: the attempts run out.
    let idle = ClaimRequest { min_idle_ms: 1000, ..request(bob, 200) };
    let second = group.autoclaim(&log, first.next, 3, 4, &idle);
    assert_eq!((second.claimed.len(), second.next), (0, id(8)));
    let third = group.autoclaim(&log, second.next, 100, 1000, &request(bob, 200));
    assert_eq!((third.claimed.len(), third.next), (3, StreamId::ZERO));
    group.check_invariants();
}

#[test]
fn loading_checks_owners() {
    let mut group = Group::new(id(3), None);
    group.load_pending(id(1), 5, 1).unwrap();
    group.load_pending(id(2), 5, 1).unwrap();
    assert_eq!(group.load_pending(id(2), 5, 1), Err(Corrupt));
    let alice = group.create_consumer(b"alice", 0).unwrap();
    group.load_owner(id(1), alice).unwrap();
    assert_eq!(group.load_owner(id(1), alice), Err(Corrupt));
    assert_eq!(group.load_owner(id(9), alice), Err(Corrupt));
    assert_eq!(group.finish_loading(), Err(Corrupt));
    group.load_owner(id(2), alice).unwrap();
    assert_eq!(group.finish_loading(), Ok(()));
    group.check_invariants();
}

/// Pending entries against a plain map.
#[test]
fn pending_entries_behave_like_a_map() {
    let mut rng = Rng::new(14);
    let mut log = log_of(1..=60);
    let mut group = Group::new(StreamId::ZERO, Some(0));
    let mut naive: BTreeMap<StreamId, (u8, u64)> = BTreeMap::new();
    for step in 0..3000i64 {
        let name = [b'a' + rng.below(4) as u8];
        let consumer = group.find_consumer(&name).or_else(|| group.create_consumer(&name, step)).unwrap();
        let entry = id(rng.below(60) + 1);
        match rng.below(20) {
            0..=5 => {
                group.deliver(&log, entry, consumer, step, false);
                naive.insert(entry, (name[0], 1));
            }
            6..=11 => {
                assert_eq!(group.acknowledge(entry).is_some(), naive.remove(&entry).is_some());
            }
            12..=17 => {
                let force = rng.below(2) == 0;
                let claim = group.claim(&log, entry, &ClaimRequest { force, ..request(consumer, step) });
                let count = naive.get(&entry).map(|was| was.1 + 1).or(force.then_some(2));
                match (log.contains(entry), count) {
                    (false, _) => {
                        assert_eq!(matches!(claim, Claim::Gone(_)), naive.remove(&entry).is_some());
                    }
                    (true, None) => assert_eq!(claim, Claim::Left),
                    (true, Some(count)) => {
                        assert_eq!(claim, Claim::Claimed);
                        naive.insert(entry, (name[0], count));
                    }
                }
            }
            18 => {
                let gone = naive.iter().filter(|(_, was)| was.0 == name[0]).count();
                assert_eq!(group.delete_consumer(&name), Some(gone));
                naive.retain(|_, was| was.0 != name[0]);
            }
            _ if step % 7 == 0 => drop(log.delete(entry)),
            _ => {}
        }
        if step % 50 == 0 {
            group.check_invariants();
            let seen: Vec<_> = group
                .pending_from(StreamId::ZERO)
                .map(|(id, was)| (id, (group.consumer(was.consumer).unwrap().name()[0], was.deliveries)))
                .collect();
            assert_eq!(seen, naive.clone().into_iter().collect::<Vec<_>>());
        }
    }
}

/// Pending entries in order of delivery times, made in slices while all goes on, against a list that is sorted.
#[test]
fn idle_entries_come_in_order() {
    for seed in 1..=40 {
        let mut rng = Rng::new(seed);
        let mut log = log_of(1..=120);
        let mut group = Group::new(StreamId::ZERO, None);
        let consumers = [b"a", b"b"].map(|name| group.add_consumer(name, 0));
        let mut gone = Vec::new();
        let mut now = 0;
        for step in 0..300 {
            now += rng.below(3) as i64;
            let consumer = consumers[rng.below(2) as usize];
            let any = id(1 + rng.below(120));
            match rng.below(9) {
                0 | 1 => drop(read(&mut group, &log, consumer, 30, now)),
                2 => drop(group.acknowledge(any)),
                3 => group.redeliver(any, now),
                4 => drop(group.claim(
                    &log,
                    any,
                    &ClaimRequest { delivered_ms: now / 2, ..request(consumer, now) },
                )),
                5 if log.delete(any) => gone.push(any),
                6 => drop(group.take_idle(any, consumer, now)),
                _ => {}
            }
            if step < 100 || rng.below(4) > 0 {
                continue;
            }
            // At most so many slices until all are in the order.
            for _ in 0..=group.pending_count() / 16 {
                group.next_idle(&log);
            }
            let until = now - rng.below(5) as i64;
            let pending = group.pending_from(StreamId::ZERO).filter(|(id, _)| log.contains(*id));
            let mut expected: Vec<_> = pending.map(|(id, pending)| (pending.delivered_ms, id)).collect();
            expected.sort();
            let first = expected.first().map_or(NextIdle::Never, |(at, _)| NextIdle::Delivered(*at));
            expected.retain(|(at, _)| *at <= until);
            let is_there = |(_, id): &(i64, StreamId)| log.contains(*id);
            let found: Vec<_> = group.idle(None, until, usize::MAX).into_iter().filter(is_there).collect();
            assert_eq!(found, expected, "seed {seed}");
            assert_eq!(group.next_idle(&log), first, "seed {seed}");
            if let Some(after) = expected.get(3) {
                let rest =
                    group.idle(Some(*after), until, 2).into_iter().filter(is_there).collect::<Vec<_>>();
                assert!(expected[4..].starts_with(&rest));
            }
            group.check_invariants();
        }
    }
}

/// Of many pending entries, whose stream entries are gone, some are passed at a time.
#[test]
fn what_is_gone_is_passed_once() {
    let mut log = log_of(1..=100);
    let mut group = Group::new(StreamId::ZERO, None);
    let consumer = group.add_consumer(b"c", 0);
    read(&mut group, &log, consumer, 100, 5);
    (1..=90).for_each(|ms| assert!(log.delete(id(ms))));
    let mut calls = 1;
    while group.next_idle(&log) == NextIdle::Unknown {
        calls += 1;
    }
    assert_eq!((group.next_idle(&log), calls), (NextIdle::Delivered(5), 90 / 16 + 1));
    assert_eq!(group.idle(None, 5, 1), [(5, id(91))]);
    assert_eq!(group.pending_count(), 100);
}
