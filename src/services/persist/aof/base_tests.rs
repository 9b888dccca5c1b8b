//! Tests of the encoder of bases that are commands: the words of each type, and pieces of any size.

use super::super::codec::testing::{random_value, random_vector_set, small_limits};
use super::super::codec::{Fault, RdbFormat, payload};
use super::super::rdb::{Finisher, KeyHeader, RecordBuffer};
use super::base::CommandEncoder;
use super::reader::{AofReader, Item};
use crate::base::rng::Rng;
use crate::structures::table::EntryValue;
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::set::Set;
use crate::value::stream::{Group, NewId, Retention, Stream, StreamId};
use crate::value::zset::Zset;
use crate::value::{Limits, Value};

/// The bytes of an RDB file without its end.
fn file(write: impl FnOnce(&mut RecordBuffer)) -> Vec<u8> {
    let mut buffer = RecordBuffer::new(RdbFormat::REDIS_8_6, false);
    buffer.magic();
    buffer.aux(b"redis-ver", b"8.0.0");
    write(&mut buffer);
    let mut out = Vec::new();
    Finisher::new(false, false).finish(buffer.take(), &mut out);
    out
}

/// The commands for a file that comes in pieces of these many bytes.
fn encoded(file: &[u8], piece: usize) -> Vec<u8> {
    let (mut encoder, mut out) = (CommandEncoder::new(), Vec::new());
    for piece in file.chunks(piece) {
        encoder.encode(piece, &mut out).expect("a file of ours");
    }
    assert!(encoder.is_complete());
    out
}

/// A line a command.
fn lines(commands: &[u8]) -> Vec<String> {
    let (mut reader, mut lines, mut fed) = (AofReader::new(0), Vec::new(), false);
    loop {
        match reader.next_item().expect("commands") {
            Item::More if fed => reader.filled(0),
            Item::More => {
                reader.feed(commands);
                fed = true;
            }
            Item::Command(args) => {
                let words: Vec<_> = args.iter().map(String::from_utf8_lossy).collect();
                lines.push(words.join(" "));
            }
            Item::Annotation(_) => panic!("an annotation"),
            Item::End => return lines,
        }
    }
}

fn commands_of(deadline: Option<u64>, value: &Value) -> Vec<String> {
    let file = file(|buffer| {
        buffer.select_db(0);
        buffer.record(&KeyHeader { key: b"key", deadline, access: None }, EntryValue::Object(value));
    });
    let lines = lines(&encoded(&file, usize::MAX));
    assert_eq!(lines[0], "SELECT 0");
    lines[1..].to_vec()
}

#[test]
fn strings_databases_and_functions() {
    let file = file(|buffer| {
        buffer.function(b"#!lua name=l");
        buffer.select_db(0);
        buffer.resize_db(0, 0);
        buffer.select_db(9);
        let header = KeyHeader { key: b"key", deadline: Some(77), access: None };
        buffer.record(&header, EntryValue::Int(-5));
        let header = KeyHeader { key: b"other", deadline: None, access: None };
        buffer.record(&header, EntryValue::Bytes(b""));
        buffer.select_db(1);
        buffer.record(&header, EntryValue::Bytes(b"text"));
    });
    let expected = [
        "FUNCTION LOAD #!lua name=l",
        // A database without keys isn't named.
        "SELECT 9",
        "SET key -5",
        "PEXPIREAT key 77",
        "SET other ",
        "SELECT 1",
        "SET other text",
    ];
    assert_eq!(lines(&encoded(&file, usize::MAX)), expected);
}

#[test]
fn collections_in_commands_of_64_elements() {
    for limits in [Limits::default(), small_limits()] {
        let (mut list, mut set) = (List::new(), Set::new());
        let (mut zset, mut hash) = (Zset::new(), Hash::new());
        for number in 0..130 {
            let name = format!("name{number}");
            list.push(End::Back, name.as_bytes(), &limits);
            set.insert(name.as_bytes(), &limits);
            zset.insert(name.as_bytes(), f64::from(number) + 0.5, &limits);
            hash.set(name.as_bytes(), b"value", false, &limits);
        }
        let values = [
            (Value::List(list), "RPUSH", 1, "name0"),
            (Value::Set(set), "SADD", 1, "name0"),
            (Value::Zset(zset), "ZADD", 2, "0.5 name0"),
            (Value::Hash(hash), "HMSET", 2, "name0 value"),
        ];
        for (value, name, width, element) in values {
            let lines = commands_of(None, &value);
            assert!(lines.iter().all(|line| line.starts_with(&format!("{name} key "))), "{lines:?}");
            let of_elements: Vec<_> =
                lines.iter().map(|line| (line.matches(' ').count() - 1) / width).collect();
            assert_eq!(of_elements.iter().sum::<usize>(), 130);
            assert!(of_elements.iter().all(|count| *count <= 64));
            if !matches!(value, Value::List(_)) {
                assert_eq!(of_elements, [64, 64, 2]);
            }
            let words = lines.concat();
            assert!(words.contains(&format!(" {element}")), "{words}");
        }
    }
}

#[test]
fn deadlines_of_fields() {
    for limits in [Limits::default(), Limits { hash_max_listpack_entries: 1, ..Limits::default() }] {
        let mut hash = Hash::new();
        hash.set(b"a", b"1", false, &limits);
        hash.set(b"b", b"2", false, &limits);
        hash.allow_deadlines();
        hash.set_deadline(b"b", Some(1234));
        let mut lines = commands_of(Some(5678), &Value::Hash(hash));
        assert_eq!(lines.pop().as_deref(), Some("PEXPIREAT key 5678"));
        lines.sort();
        assert_eq!(lines, ["HMSET key a 1", "HMSET key b 2", "HPEXPIREAT key 1234 FIELDS 1 b"]);
    }
}

/// As redis-server 8.6 writes them.
#[test]
fn streams() {
    let limits = Limits::default();
    let empty = Value::Stream(Box::new(Stream::new()));
    let expected =
        ["XADD key MAXLEN 0 0-1 x y".to_string(), "XSETID key 0-0 ENTRIESADDED 0 MAXDELETEDID 0-0".into()];
    assert_eq!(commands_of(None, &empty), expected);
    let mut stream = Stream::new();
    for ms in 1..=3 {
        let fields = [(&b"field"[..], &b"value"[..])];
        let id = NewId::Exact(StreamId::new(ms, 1));
        stream.log.append(id, fields.into_iter(), &limits).expect("an id above the last");
    }
    let group = stream.groups.create(b"readers", Group::new(StreamId::ZERO, None)).expect("a new name");
    let (one, _) = (group.add_consumer(b"one", 5), group.add_consumer(b"two", 5));
    group.deliver(&stream.log, StreamId::new(1, 1), one, 1000, false);
    group.deliver(&stream.log, StreamId::new(2, 1), one, 2000, false);
    group.redeliver(StreamId::new(2, 1), 2500);
    stream.log.delete(StreamId::new(3, 1));
    let entries_read = stream.groups.get(b"readers").and_then(Group::entries_read);
    let entries_read = entries_read.map_or(-1, |read| read as i64);
    let expected = [
        "XADD key 1-1 field value".to_string(),
        "XADD key 2-1 field value".into(),
        "XSETID key 3-1 ENTRIESADDED 3 MAXDELETEDID 3-1".into(),
        format!("XGROUP CREATE key readers 2-1 ENTRIESREAD {entries_read}"),
        "XCLAIM key readers one 0 1-1 TIME 1000 RETRYCOUNT 1 JUSTID FORCE".into(),
        "XCLAIM key readers one 0 2-1 TIME 2500 RETRYCOUNT 2 JUSTID FORCE".into(),
        "XGROUP CREATECONSUMER key readers two".into(),
    ];
    assert_eq!(commands_of(None, &Value::Stream(Box::new(stream))), expected);
}

#[test]
fn streams_that_remember_requests() {
    let limits = Limits::default();
    let mut stream = Stream::new();
    let fields = [(&b"field"[..], &b"value"[..])];
    let id = NewId::Exact(StreamId::new(1, 1));
    stream.log.append(id, fields.into_iter(), &limits).expect("an id above the last");
    stream.set_default_retention(Retention { seconds: 7, identifiers: 9 });
    let entries = ["XADD key 1-1 field value", "XSETID key 1-1 ENTRIESADDED 1 MAXDELETEDID 0-0"];
    let retention = "XCFGSET key IDMP-DURATION 7 IDMP-MAXSIZE 9";
    let expected = [&entries[..], &[retention]].concat();
    assert_eq!(commands_of(None, &Value::Stream(Box::new(stream.clone()))), expected);
    for (producer, identifier) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let (producer, identifier) = (producer.as_bytes(), identifier.as_bytes());
        let retention = stream.retention();
        stream.requests_mut().record(producer, identifier, StreamId::new(1, 1), retention, &limits.hasher);
    }
    let records =
        ["XIDMPRECORD key a 1 1-1", "XIDMPRECORD key a 2 1-1", "XIDMPRECORD key b 1 1-1", "PEXPIREAT key 5"];
    let expected = [&entries[..], &[retention], &records].concat();
    assert_eq!(commands_of(Some(5), &Value::Stream(Box::new(stream))), expected);
}

#[test]
fn pieces_of_any_size_give_the_same() {
    let mut rng = Rng::new(1);
    for round in 0..60 {
        let limits = if round % 2 == 0 { Limits::default() } else { small_limits() };
        let file = file(|buffer| {
            for number in 0..20u8 {
                buffer.select_db(u32::from(number / 7));
                let value = random_value(&mut rng, &limits);
                let deadline = (number % 3 == 0).then_some(99);
                let header = KeyHeader { key: &[b'k', number], deadline, access: None };
                buffer.record(&header, EntryValue::Object(&value));
            }
        });
        let whole = encoded(&file, usize::MAX);
        for piece in [1 + rng.below(20) as usize, 1 + rng.below(5000) as usize] {
            assert!(encoded(&file, piece) == whole, "round {round}");
        }
        assert!(lines(&whole).len() > 20);
    }
}

/// Only RESTORE makes a vector set with its links: its payload is that of DUMP.
#[test]
fn vector_sets() {
    let set = random_vector_set(&mut Rng::new(6), 30);
    let value = Value::VectorSet(Box::new(set));
    let file = file(|buffer| {
        buffer.select_db(0);
        let header = KeyHeader { key: b"key", deadline: Some(77), access: None };
        buffer.record(&header, EntryValue::Object(&value));
    });
    let payload = payload::dump(EntryValue::Object(&value), false);
    let commands = encoded(&file, 7);
    assert!(memchr::memmem::find(&commands, &payload).is_some());
    assert_eq!(lines(&commands).last().map(String::as_str), Some("PEXPIREAT key 77"));
    assert!(lines(&commands)[1].starts_with("RESTORE key 0 \x07"));
}

#[test]
fn a_snapshot_that_breaks_off_is_not_complete() {
    let whole = file(|buffer| {
        let header = KeyHeader { key: b"key", deadline: Some(1), access: None };
        buffer.record(&header, EntryValue::Bytes(b"value"));
    });
    let mut out = Vec::new();
    let mut encoder = CommandEncoder::new();
    encoder.encode(&whole[..whole.len() - 1], &mut out).expect("so far it is valid");
    assert!(!encoder.is_complete());
    encoder.encode(&whole[whole.len() - 1..], &mut out).expect("valid");
    assert!(encoder.is_complete());
    assert_eq!(encoder.encode(b"\x06", &mut out), Ok(()), "a kind without its key");
    assert_eq!(encoder.encode(b"\x01k", &mut out), Err(Fault::Unknown(6)));
}
