//! Tests of snapshots: what the sink gets is the stream as it was, whatever happens to it meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::base::rng::Rng;
use crate::structures::listpack::Listpack;
use crate::value::Limits;

/// A part that owns what it has.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Node(StreamId, Listpack),
    Counters(Counters, usize),
    Group(Vec<u8>, StreamId, Option<u64>, usize),
    Pending(StreamId, i64, u64),
    Consumers(usize),
    Consumer(Vec<u8>, i64, i64, usize),
    Owned(StreamId),
    Retention(Retention, usize),
    Producer(Vec<u8>, usize),
    Identifier(Vec<u8>, StreamId),
    Requests(u64, u64),
}

impl Part {
    fn of(part: StreamPart<'_>) -> Vec<Part> {
        vec![match part {
            StreamPart::Node(master, listpack) => Part::Node(master, listpack.clone()),
            StreamPart::Counters(counters, groups) => Part::Counters(counters, groups),
            StreamPart::Group { name, last_delivered, entries_read, pending } => {
                Part::Group(name.to_vec(), last_delivered, entries_read, pending)
            }
            StreamPart::Pending { id, delivered_ms, deliveries } => {
                Part::Pending(id, delivered_ms, deliveries)
            }
            StreamPart::Consumers(count) => Part::Consumers(count),
            StreamPart::Consumer { name, seen_ms, active_ms, pending } => {
                Part::Consumer(name.to_vec(), seen_ms, active_ms, pending)
            }
            StreamPart::Retention(retention, producers) => Part::Retention(retention, producers),
            StreamPart::Producer { name, identifiers } => Part::Producer(name.to_vec(), identifiers),
            StreamPart::Identifier(identifier, id) => Part::Identifier(identifier.to_vec(), id),
            StreamPart::Requests { added, duplicates } => Part::Requests(added, duplicates),
            StreamPart::Owned(ids) => return ids.iter().copied().map(Part::Owned).collect(),
        }]
    }
}

struct Sink(Sender<Part>);

impl StreamSink for Sink {
    fn take(&mut self, part: StreamPart<'_>) {
        // The test may be gone already, having failed.
        Part::of(part).into_iter().for_each(|part| drop(self.0.send(part)));
    }
}

fn start(stream: &mut Stream) -> Receiver<Part> {
    let (sender, taken) = channel();
    stream.start_snapshot(Box::new(Sink(sender)));
    taken
}

/// The parts of a stream, in order.
fn parts_of(stream: &Stream) -> Vec<Part> {
    let mut parts = Vec::new();
    stream.parts(|part| parts.extend(Part::of(part)));
    parts
}

fn compare(taken: &Receiver<Part>, before: &Stream, seed: u64) {
    let (taken, before): (Vec<Part>, _) = (taken.iter().collect(), parts_of(before));
    if let Some(at) = (0..taken.len().max(before.len())).find(|at| taken.get(*at) != before.get(*at)) {
        panic!("seed {seed}, part {at}: {:?} instead of {:?}", taken.get(at), before.get(at));
    }
}

/// Any id: of an entry, of one that is gone, or of none.
fn any_id(stream: &Stream, rng: &mut Rng) -> StreamId {
    StreamId::new(rng.below(stream.log.last_id().ms + 2), rng.below(3) / 2)
}

fn append(stream: &mut Stream, rng: &mut Rng, limits: &Limits) {
    let value = vec![b'v'; rng.below(40) as usize];
    let fields: [(&[u8], &[u8]); 2] = [(b"field", &value), (b"another", b"7")];
    let id = match rng.below(3) {
        0 => NewId::Auto(stream.log.last_id().ms + 1),
        1 => NewId::Auto(0),
        _ => NewId::Exact(any_id(stream, rng)),
    };
    let count = 1 + rng.below(2) as usize;
    let _ = stream.log.append(id, fields[..count].iter().copied(), limits);
}

fn change_log(stream: &mut Stream, rng: &mut Rng, limits: &Limits) {
    let len = stream.len() as u64;
    match rng.below(24) {
        0..=11 => append(stream, rng, limits),
        12..=18 => {
            let id = any_id(stream, rng);
            stream.log.delete(id);
        }
        19 => {
            // A whole stretch, so that nodes go, also the last one.
            let from = any_id(stream, rng);
            let end = if rng.below(3) == 0 { StreamId::MAX } else { StreamId::new(from.ms + 12, 0) };
            let ids: Vec<_> = stream.log.range(from, end).take(60).map(|entry| entry.id).collect();
            ids.into_iter().for_each(|id| assert!(stream.log.delete(id)));
        }
        20 | 21 => {
            let to = match rng.below(6) {
                0 => TrimTo::Len(len / 2),
                1..=3 => TrimTo::Len(len - len.min(rng.below(9))),
                _ => TrimTo::MinId(StreamId::new(stream.log.first_id().ms + rng.below(9), 0)),
            };
            stream.log.trim(Trim { to, approximate: rng.below(3) == 0, limit: 0 });
        }
        22 => {
            // As low as the entries allow: the ids of those that are gone may come again.
            let last = stream.log.last_entry_id().unwrap_or(StreamId::new(5, 0));
            stream.log.set_ids(last, Some(rng.below(900)), Some(any_id(stream, rng)));
        }
        _ => {
            let last = stream.log.last_id();
            stream.log.set_ids(last, None, None);
        }
    }
}

fn request(consumer: ConsumerId, rng: &mut Rng) -> ClaimRequest {
    ClaimRequest {
        consumer,
        now_ms: rng.below(1000) as i64,
        min_idle_ms: 0,
        delivered_ms: rng.below(1000) as i64,
        deliveries: (rng.below(3) == 0).then(|| rng.below(9)),
        just_id: rng.below(2) == 0,
        force: rng.below(2) == 0,
    }
}

/// Changes a group as XREADGROUP, XACK, XCLAIM, XAUTOCLAIM and XGROUP do.
fn change_group(log: &Log, group: &mut Group, rng: &mut Rng) {
    let now = rng.below(1000) as i64;
    let name = format!("consumer{}", rng.below(9)).into_bytes();
    let consumer = match group.find_consumer(&name) {
        Some(id) => id,
        None => group.add_consumer(&name, now),
    };
    let id = StreamId::new(rng.below(log.last_id().ms + 2), 0);
    match rng.below(12) {
        0..=3 => {
            let start = if rng.below(3) == 0 { Some(id) } else { group.last_delivered().next() };
            let ids: Vec<_> = log.range(start.unwrap_or(id), StreamId::MAX).take(40).map(|e| e.id).collect();
            ids.into_iter().for_each(|id| group.deliver(log, id, consumer, now, rng.below(8) == 0));
        }
        4..=6 => {
            let ids: Vec<_> = group.pending_from(id).take(rng.below(20) as usize).map(|(id, _)| id).collect();
            ids.into_iter().for_each(|id| assert!(group.acknowledge(id).is_some()));
            group.acknowledge(id);
        }
        7 => {
            let pending = group.pending_from(id).next().map_or(id, |(id, _)| id);
            group.redeliver(pending, now);
        }
        8 => drop(group.claim(log, id, &request(consumer, rng))),
        9 => drop(group.autoclaim(log, id, 30, 60, &request(consumer, rng))),
        10 if rng.below(2) == 0 => drop(group.delete_consumer(&name)),
        10 => group.set_position(id, (rng.below(2) == 0).then_some(id.ms)),
        _ => {
            if let Some(consumer) = group.consumer_mut(consumer) {
                (consumer.seen_ms, consumer.active_ms) = (now, now - 1);
            }
        }
    }
}

/// Changes what is remembered of requests as XADD, XCFGSET and the periodic job do.
fn change_requests(stream: &mut Stream, rng: &mut Rng, limits: &Limits) {
    let producer = format!("producer{}", rng.below(12)).into_bytes();
    let identifier = format!("request{}", rng.below(40)).into_bytes();
    let (now, retention) = (100_000 + rng.below(900), stream.retention());
    match rng.below(20) {
        0 if rng.below(10) == 0 => {
            drop(stream.set_retention(Retention { seconds: 100, identifiers: 1 + rng.below(20) as u32 }))
        }
        0..=2 => stream.requests_mut().expire(&producer, now, retention, &limits.hasher),
        3 => stream.requests_mut().forget(&producer, &identifier, &limits.hasher),
        4 => stream.expire_requests(now, 30, &limits.hasher),
        5 => stream.requests_mut().count_duplicate(),
        _ => {
            let requests = stream.requests_mut();
            if requests.find(&producer, &identifier, &limits.hasher).is_none() {
                let id = StreamId::new(rng.below(900), 0);
                requests.record(&producer, &identifier, id, retention, &limits.hasher);
            }
        }
    }
}

fn change(stream: &mut Stream, rng: &mut Rng, limits: &Limits) {
    match rng.below(5) {
        0 | 1 => return change_log(stream, rng, limits),
        2 => return change_requests(stream, rng, limits),
        _ => {}
    }
    let name = format!("group{}", rng.below(5)).into_bytes();
    match rng.below(30) {
        0 => {
            let group = Group::new(any_id(stream, rng), None);
            stream.groups.create(&name, group);
        }
        1 if rng.below(4) == 0 => drop(stream.groups.remove(&name)),
        _ => {
            if let Some(group) = stream.groups.get_mut(&name) {
                change_group(&stream.log, group, rng);
            }
        }
    }
}

fn limits(seed: u64) -> Limits {
    Limits {
        stream_node_max_entries: [3, 1, 0, 10][seed as usize % 4],
        stream_node_max_bytes: [4096, 200, 120][seed as usize % 3],
        ..Limits::default()
    }
}

fn random_stream(rng: &mut Rng, limits: &Limits, changes: u64) -> Stream {
    let mut stream = Stream::new();
    // With blocks of listpacks in some.
    let entries = [0, 30, 700][rng.below(3) as usize];
    (0..entries).for_each(|_| append(&mut stream, rng, limits));
    (0..rng.below(changes)).for_each(|_| change(&mut stream, rng, limits));
    stream
}

#[test]
fn a_snapshot_is_the_stream_as_it_was() {
    for seed in 1..=80 {
        let (mut rng, limits) = (Rng::new(seed), limits(seed));
        let mut stream = random_stream(&mut rng, &limits, 900);
        for _ in 0..5 {
            let before = stream.clone();
            let taken = start(&mut stream);
            assert!(stream.in_snapshot() && !before.in_snapshot());
            let (most, steps) = ([1, 4, 30, 150][rng.below(4) as usize], 1 + rng.below(12));
            while stream.in_snapshot() {
                (0..rng.below(most + 1)).for_each(|_| change(&mut stream, &mut rng, &limits));
                for _ in 0..rng.below(steps + 1) {
                    let more = stream.snapshot_step();
                    assert_eq!(more, stream.in_snapshot());
                }
            }
            stream.check_invariants();
            compare(&taken, &before, seed);
        }
    }
}

#[test]
fn what_becomes_of_the_stream_loses_nothing() {
    for seed in 1..=60 {
        let (mut rng, limits) = (Rng::new(seed), limits(seed));
        let mut stream = random_stream(&mut rng, &limits, 900);
        let before = stream.clone();
        let taken = start(&mut stream);
        (0..rng.below(60)).for_each(|_| change(&mut stream, &mut rng, &limits));
        for _ in 0..rng.below(60) {
            stream.snapshot_step();
        }
        match seed % 5 {
            0 => drop(stream),
            1 => drop(stream.free_some(1)),
            2 => {
                stream.log.trim(Trim { to: TrimTo::Len(0), approximate: false, limit: 0 });
                assert!(stream.is_empty());
                drop(stream);
            }
            3 => {
                (0..5).for_each(|group| drop(stream.groups.remove(format!("group{group}").as_bytes())));
                assert!(stream.groups.is_empty());
                while stream.snapshot_step() {}
            }
            _ => drop(std::mem::take(&mut stream)),
        }
        compare(&taken, &before, seed);
    }
}

#[test]
fn a_cancelled_snapshot_takes_no_more() {
    let (mut rng, limits) = (Rng::new(5), limits(1));
    let mut stream = random_stream(&mut rng, &limits, 900);
    (0..300).for_each(|_| append(&mut stream, &mut rng, &limits));
    let first = start(&mut stream);
    // A second one takes the place of the first.
    let second = start(&mut stream);
    assert_eq!(first.iter().count(), 0);
    (0..300).for_each(|_| change(&mut stream, &mut rng, &limits));
    assert!(stream.snapshot_step());
    stream.cancel_snapshot();
    assert!(!stream.in_snapshot() && !stream.snapshot_step());
    assert!((1..5).contains(&second.iter().count()));
    // Nothing of it is left in the way of the next one.
    let before = stream.clone();
    let third = start(&mut stream);
    (0..300).for_each(|_| change(&mut stream, &mut rng, &limits));
    drop(stream);
    compare(&third, &before, 0);
}

#[test]
fn what_is_added_and_removed_meanwhile_is_not_kept() {
    let mut stream = Stream::new();
    let mut group = Group::new(StreamId::ZERO, None);
    group.add_consumer(b"z", 1);
    stream.groups.create(b"m", group);
    let taken = start(&mut stream);
    for round in 0..100 {
        let name = format!("a{round}").into_bytes();
        stream.groups.create(&name, Group::new(StreamId::ZERO, None));
        assert!(stream.groups.remove(&name).is_some());
        let group = stream.groups.get_mut(b"m").expect("a group");
        group.add_consumer(&name, round);
        group.delete_consumer(&name);
    }
    assert!(stream.snapshot_step() && stream.snapshot_step());
    drop(stream);
    assert_eq!(taken.iter().count(), 4);
}
