//! Tests of what is handed over in parts: lists and streams that are changed meanwhile are written as they were.

use super::super::rdb::{Finisher, KeyHeader, Piece, RdbFormat, RecordBuffer};
use super::{AccessRule, Assembly, Extent, Outlet, PartReceiver, start};
use crate::base::rng::Rng;
use crate::structures::table::{Captured, EntryValue, SnapshotEntry, SnapshotSink, SnapshotValue};
use crate::value::list::{End, List};
use crate::value::stream::{Group, NewId, Stream, StreamId, Trim, TrimTo};
use crate::value::{Limits, Value};

/// The bytes of a file, and those that were put aside.
pub(super) struct Bytes {
    pub finisher: Finisher,
    pub file: Vec<u8>,
    pub aside: Vec<u8>,
}

impl Outlet for Bytes {
    type Error = std::convert::Infallible;

    fn write(&mut self, piece: Piece) -> Result<(), Self::Error> {
        let mut out = Vec::new();
        self.finisher.finish(piece, &mut out);
        self.file.extend(out);
        Ok(())
    }

    fn put_aside(&mut self, piece: Piece) -> Result<Extent, Self::Error> {
        let offset = self.aside.len() as u64;
        self.aside.extend(self.finisher.prepare(&piece));
        Ok(Extent { offset, len: self.aside.len() as u64 - offset })
    }

    fn write_aside(&mut self, Extent { offset, len }: Extent) -> Result<(), Self::Error> {
        let bytes = &self.aside[offset as usize..(offset + len) as usize];
        self.finisher.append(bytes, &mut self.file);
        Ok(())
    }
}

pub(super) fn outlet() -> Bytes {
    Bytes { finisher: Finisher::new(true, true), file: Vec::new(), aside: Vec::new() }
}

fn limits(seed: u64) -> Limits {
    Limits {
        list_max_listpack_size: [-1, 3, 1, 8][seed as usize % 4],
        list_compress_depth: [0, 0, 1][seed as usize % 3],
        list_packed_threshold: [0, 90][seed as usize % 2],
        stream_node_max_entries: [3, 7][seed as usize % 2],
        ..Limits::default()
    }
}

fn change_list(list: &mut List, rng: &mut Rng, limits: &Limits) {
    let item = rng.below(20).to_string().repeat(1 + rng.below(60) as usize).into_bytes();
    let at = rng.below(list.len() as u64 + 1) as usize;
    let end = if rng.below(2) == 0 { End::Front } else { End::Back };
    match rng.below(16) {
        0..=4 => list.push(end, &item, limits),
        5..=8 => drop(list.pop(end, limits)),
        9..=11 => drop(list.set(at, &item, limits)),
        12 | 13 => drop(list.insert_beside(&item, end == End::Front, b"beside", limits)),
        14 => drop(list.remove_equal(&item, 2, end, limits)),
        _ => drop(list.remove_range(at, rng.below(9) as usize, limits)),
    }
}

fn change_stream(stream: &mut Stream, rng: &mut Rng, limits: &Limits) {
    let id = StreamId::new(rng.below(stream.log.last_id().ms + 2), 0);
    match rng.below(10) {
        0 | 1 => append(stream, limits),
        8 | 9 => {
            let (producer, identifier) = (format!("p{}", rng.below(4)), rng.below(900).to_string());
            let retention = stream.retention();
            let requests = stream.requests_mut();
            requests.forget(producer.as_bytes(), identifier.as_bytes(), &limits.hasher);
            requests.record(producer.as_bytes(), identifier.as_bytes(), id, retention, &limits.hasher);
        }
        2 | 3 => drop(stream.log.delete(id)),
        4 => {
            let to = TrimTo::Len((stream.len() as u64).saturating_sub(rng.below(9)));
            stream.log.trim(Trim { to, approximate: false, limit: 0 });
        }
        5 if rng.below(50) == 0 => drop(stream.groups.remove(b"readers")),
        _ => {
            let Some(group) = stream.groups.get_mut(b"readers") else { return };
            let name = format!("consumer{}", rng.below(5)).into_bytes();
            let consumer = group.find_consumer(&name).unwrap_or_else(|| group.add_consumer(&name, 7));
            group.acknowledge(id);
            let id = StreamId::new(rng.below(stream.log.last_id().ms + 2), 0);
            group.deliver(&stream.log, id, consumer, 9, false);
        }
    }
}

fn append(stream: &mut Stream, limits: &Limits) {
    let fields: [(&[u8], &[u8]); 1] = [(b"field", b"value")];
    let id = NewId::Auto(stream.log.last_id().ms + 1);
    stream.log.append(id, fields.into_iter(), limits).expect("an id above all others");
}

fn change(value: &mut Value, rng: &mut Rng, limits: &Limits) {
    match value {
        Value::List(list) => change_list(list, rng, limits),
        Value::Stream(stream) => change_stream(stream, rng, limits),
        _ => {}
    }
}

fn values(rng: &mut Rng, limits: &Limits) -> Vec<Value> {
    let (mut list, mut stream) = (List::new(), Stream::new());
    (0..900).for_each(|number| list.push(End::Back, &vec![b'a'; number % 150 + 1], limits));
    stream.groups.create(b"readers", Group::new(StreamId::ZERO, Some(0)));
    (0..900).for_each(|_| append(&mut stream, limits));
    let mut values = vec![Value::List(list), Value::Stream(Box::new(stream))];
    for value in &mut values {
        (0..300).for_each(|_| change(value, rng, limits));
    }
    values
}

/// The file that comes of the parts.
fn written(parts: &PartReceiver) -> Vec<u8> {
    let (mut assembly, mut bytes) = (Assembly::new(1000), outlet());
    while let Some(part) = parts.try_next() {
        if assembly.take(part, &mut bytes).expect("no errors") {
            break;
        }
    }
    bytes.file
}

/// One list and one stream, the one opened before the other, as they are.
fn expected(values: &[Value], format: RdbFormat) -> Vec<u8> {
    let mut buffer = RecordBuffer::new(format, true);
    buffer.select_db(0);
    for (number, value) in values.iter().enumerate() {
        let header = KeyHeader { key: &[b'k', number as u8], deadline: None, access: None };
        buffer.record(&header, EntryValue::Object(value));
        if number == 0 {
            // The head of the database waited with the other records.
            buffer.resize_db(values.len() as u64, 0);
        }
    }
    let (mut finisher, mut out) = (Finisher::new(true, true), Vec::new());
    finisher.finish(buffer.take(), &mut out);
    out
}

#[test]
fn lists_and_streams_are_written_as_they_were() {
    for seed in 1..=24 {
        let (mut rng, limits) = (Rng::new(seed), limits(seed));
        let mut values = values(&mut rng, &limits);
        let format = RdbFormat { version: 10 + seed as u16 % 4, ..RdbFormat::REDIS };
        let expected = expected(&values, format);
        let (ours, theirs) = start(format, true, AccessRule::None);
        let mut sink = ours.sink(0, 2, 0);
        for (number, value) in values.iter_mut().enumerate() {
            let (key, value) = ([b'k', number as u8], SnapshotValue::Object(value));
            let entry = SnapshotEntry { key: &key, value, deadline: None, access: 0 };
            assert_eq!(sink.take(entry), Captured::Open, "seed {seed}");
        }
        drop(sink);
        assert!(!ours.are_complete());
        for _ in 0..rng.below(800) {
            let at = rng.below(2) as usize;
            change(&mut values[at], &mut rng, &limits);
            if rng.below(30) == 0 {
                values[at].snapshot_step();
            }
        }
        // What is left is handed over at the end.
        drop(values);
        assert!(ours.are_complete());
        ours.end();
        assert!(written(&theirs) == expected, "seed {seed}");
    }
}
