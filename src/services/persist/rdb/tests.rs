//! Tests of files: what is written comes back, however the bytes come, and damage is an error.

use super::*;
use crate::base::rng::Rng;
use crate::services::persist::codec::testing::{contents, random_value, small_limits};
use crate::structures::table::{EMBEDDED_MAX, EntryValue, NewValue};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Limits, Value, embedded};
use std::sync::Arc;

const STRICT: ReadOptions = ReadOptions { checksum: true, check: false, any_version: false };

/// Finishes what a buffer has, as a whole file.
fn file_of(mut buffer: RecordBuffer, compress: bool) -> Vec<u8> {
    let (mut finisher, mut out) = (Finisher::new(compress, true), Vec::new());
    finisher.finish(buffer.take(), &mut out);
    finisher.end(&mut out);
    assert_eq!(finisher.written(), out.len() as u64);
    out
}

/// A line for every item, in which nothing is borrowed.
fn line(item: &Item<'_>) -> String {
    match item {
        Item::Key(record) => {
            let KeyRecord { key, value, deadline, idle, frequency, .. } = record;
            let value = contents(&value.as_entry());
            format!("{} {deadline:?} {idle:?} {frequency:?} {value:?}", key.escape_ascii())
        }
        other => format!("{other:?}"),
    }
}

/// Reads a file that comes in chunks of at most `chunk` bytes.
fn read_chunks(file: &[u8], chunk: usize, limits: &Limits) -> Result<Vec<String>, RdbError> {
    let (mut reader, mut lines, mut rest) = (RdbReader::new(STRICT), Vec::new(), file);
    loop {
        let item = reader.next(limits)?;
        match item {
            Item::More if rest.is_empty() => reader.end_of_input(),
            Item::More => {
                let (now, later) = rest.split_at(rest.len().min(chunk));
                reader.feed(now);
                rest = later;
            }
            Item::End(checksum) => {
                lines.push(format!("{checksum:?}"));
                assert_eq!(reader.position() as usize + reader.rest().len() + rest.len(), file.len());
                return Ok(lines);
            }
            item => lines.push(line(&item)),
        }
    }
}

fn read(file: &[u8]) -> Result<Vec<String>, RdbError> {
    read_chunks(file, usize::MAX, &small_limits())
}

fn header(key: &[u8]) -> KeyHeader<'_> {
    KeyHeader { key, deadline: None, access: None }
}

#[test]
fn a_file_of_everything_comes_back() {
    let limits = small_limits();
    let mut rng = Rng::new(11);
    for compress in [false, true] {
        let mut buffer = RecordBuffer::new(RdbFormat::REDIS_8_6, compress);
        buffer.magic();
        buffer.aux(b"redis-ver", b"8.0.0");
        buffer.aux(b"a name that is quite long long long long", b"12345");
        buffer.function(b"#!lua name=lib");
        buffer.select_db(3);
        buffer.resize_db(300, 2);
        let mut expected = vec![
            "Format(RdbFormat { family: Redis, version: 13 })".to_string(),
            line(&Item::Aux(b"redis-ver".into(), b"8.0.0".into())),
            line(&Item::Aux(b"a name that is quite long long long long".into(), b"12345".into())),
            line(&Item::Function(b"#!lua name=lib".into())),
            "SelectDb(3)".to_string(),
            "ResizeDb { keys: 300, deadlines: 2 }".to_string(),
        ];
        for n in 0..300u64 {
            let key = format!("key of some length that can be compressed {n}").into_bytes();
            let deadline = (n % 3 == 0).then_some(1_700_000_000_000 + n);
            let access =
                [None, Some(Access::Idle(n * 1000)), Some(Access::Frequency(n as u8))][n as usize % 3];
            let head = KeyHeader { key: &key, deadline, access };
            let told = |lines: Vec<String>| {
                let (idle, frequency) = match access {
                    Some(Access::Idle(idle)) => (Some(idle), None),
                    Some(Access::Frequency(counter)) => (None, Some(counter)),
                    None => (None, None),
                };
                format!("{} {deadline:?} {idle:?} {frequency:?} {lines:?}", key.escape_ascii())
            };
            let text = vec![b'x'; rng.below(60) as usize];
            let value = match n % 5 {
                0 => EntryValue::Int(n as i64 - 100),
                1 => EntryValue::Bytes(&text),
                2 => {
                    buffer.record_shared(&head, Arc::new(text.clone()));
                    expected.push(told(contents(&EntryValue::Bytes(&text))));
                    continue;
                }
                _ => {
                    let value = random_value(&mut rng, &limits);
                    let mut place = [0; EMBEDDED_MAX];
                    match embedded::embed(&value, 0, &mut place) {
                        Some((tag, bytes)) => buffer.record(&head, EntryValue::Embedded(tag, bytes)),
                        None => buffer.record(&head, EntryValue::Object(&value)),
                    }
                    expected.push(told(contents(&EntryValue::Object(&value))));
                    continue;
                }
            };
            expected.push(told(contents(&value)));
            buffer.record(&head, value);
        }
        let file = file_of(buffer, compress);
        expected.push("Matches".to_string());
        for chunk in [usize::MAX, 1, 7, 100, 5000] {
            assert_eq!(read_chunks(&file, chunk, &limits).expect("our file"), expected, "{chunk}");
        }
    }
}

/// Each format says all that it can.
#[test]
fn every_format() {
    let limits = small_limits();
    let mut rng = Rng::new(12);
    for _ in 0..200 {
        let value = random_value(&mut rng, &limits);
        let deadlines = value.next_field_deadline().is_some();
        let streams = matches!(value, Value::Stream(_));
        let idempotency = matches!(&value, Value::Stream(stream) if stream.has_idempotency());
        let needs = Needs { field_deadlines: deadlines, streams, idempotency, ..Needs::default() };
        for family in [Family::Redis, Family::Valkey] {
            // Valkey has no place for it.
            if idempotency && family == Family::Valkey {
                continue;
            }
            let lowest = RdbFormat::choose(family, needs);
            for format in [lowest, RdbFormat::choose(family, Needs { streams: true, ..needs })] {
                let mut buffer = RecordBuffer::new(format, true);
                buffer.magic();
                buffer.record(&header(b"k"), EntryValue::Object(&value));
                let file = file_of(buffer, true);
                let lines = read(&file).expect("our file");
                assert_eq!(lines[1], format!("k None None None {:?}", contents(&EntryValue::Object(&value))));
            }
        }
    }
}

/// A collection in parts is the same file as the whole.
#[test]
fn collections_in_parts() {
    let limits = small_limits();
    let mut rng = Rng::new(13);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 5 {
        let value = random_value(&mut rng, &limits);
        let mut whole = RecordBuffer::new(RdbFormat::REDIS_8_6, true);
        whole.record(&header(b"key"), EntryValue::Object(&value));
        let mut parts = RecordBuffer::new(RdbFormat::REDIS_8_6, true);
        let (mut finisher, mut out) = (Finisher::new(true, true), Vec::new());
        let mut cut = |parts: &mut RecordBuffer| finisher.finish(parts.take(), &mut out);
        let head = header(b"key");
        match &value {
            Value::List(List::Quicklist(list)) => {
                parts.open_collection(&head, Collection::List, list.nodes().len() as u64);
                list.nodes().for_each(|node| {
                    cut(&mut parts);
                    parts.writer().list_node(node);
                });
            }
            Value::Set(set @ Set::Table(_)) => {
                parts.open_collection(&head, Collection::Set, set.len() as u64);
                set.iter().for_each(|member| {
                    cut(&mut parts);
                    parts.writer().entry(member);
                });
            }
            Value::Zset(zset @ Zset::Tree(_)) => {
                parts.open_collection(&head, Collection::Zset, zset.len() as u64);
                zset.descending(0..zset.len()).for_each(|(member, score)| {
                    cut(&mut parts);
                    parts.writer().scored(member, score);
                });
            }
            Value::Hash(hash @ Hash::Table(_)) => {
                let layout = FieldLayout::of(hash, RdbFormat::REDIS_8_6);
                parts.open_collection(&head, Collection::Hash(layout), hash.len() as u64);
                hash.iter().for_each(|field| {
                    cut(&mut parts);
                    parts.writer().field(layout, field.name, field.value, field.deadline);
                });
            }
            Value::Stream(stream) => {
                let collection = Collection::Stream { has_idempotency: stream.has_idempotency() };
                parts.open_collection(&head, collection, stream.log.node_count() as u64);
                stream.parts(|part| {
                    cut(&mut parts);
                    parts.writer().stream_part(part, RdbFormat::REDIS_8_6);
                });
            }
            _ => continue,
        }
        cut(&mut parts);
        finisher.end(&mut out);
        assert!(out == file_of(whole, true), "{}", value.type_name());
        seen.insert(value.type_name());
    }
}

#[test]
fn damage_is_an_error_with_its_place() {
    let mut buffer = RecordBuffer::new(RdbFormat::REDIS_8_6, false);
    buffer.magic();
    buffer.select_db(0);
    buffer.record(&header(b"first"), EntryValue::Bytes(b"a value"));
    buffer.record(&header(b"second"), EntryValue::Bytes(b"another value"));
    let file = file_of(buffer, false);
    assert_eq!(read(&file).expect("sound").len(), 5);
    for len in 0..file.len() {
        let error = read(&file[..len]).expect_err("cut off");
        assert_eq!(error.reason, Reason::Truncated, "{len}");
        assert!(error.offset <= len as u64);
    }
    assert_eq!(read(&file[..36]).expect_err("cut off").key, Some((b"second".to_vec(), 0)));
    for at in 0..file.len() {
        let mut bad = file.clone();
        bad[at] ^= 1;
        // The eighth byte makes it a version without a checksum.
        assert!(read(&bad).is_err() != (at == 7), "{at}");
    }
    let reason = |bytes: &[u8]| {
        let error = read(bytes).expect_err("an error");
        (error.offset, error.reason.to_string())
    };
    assert_eq!(reason(b"RUBIS0011"), (9, "Wrong signature trying to load DB from file".into()));
    assert_eq!(reason(b"REDIS0000\xff"), (9, "Can't handle RDB format version 0".into()));
    assert_eq!(reason(b"REDIS0014\xff"), (9, "Can't handle RDB format version 14".into()));
    assert_eq!(reason(b"VALKEY081\xff"), (9, "Can't handle RDB format version 81".into()));
    assert_eq!(reason(b"VALKEY011\xff"), (9, "Can't handle RDB format version 11".into()));
    assert_eq!(reason(b"REDIS0012\x1b\x01k\x00"), (10, "Invalid object type: 27".into()));
    assert_eq!(reason(b"REDIS0012\x08\x01k\x00"), (12, "Invalid object type: 8".into()));
    assert_eq!(reason(b"REDIS0012\x1a\x01k\x00"), (12, "Invalid object type: 26".into()));
    assert_eq!(reason(b"VALKEY080\x18\x01k\x00"), (12, "Invalid object type: 24".into()));
    assert_eq!(reason(b"REDIS0012\xf3\x00"), (10, "Invalid object type: 243".into()));
    assert_eq!(reason(b"REDIS0011\xf6\x00"), (10, "Pre-release function format not supported".into()));
    let sum = reason(b"REDIS0005\xff12345678");
    assert_eq!((sum.0, &sum.1[..40]), (18, "RDB CRC error: the file says 38373635343"));
}

#[test]
fn old_versions_have_no_checksum_and_newer_ones_need_none() {
    let item = |file: &[u8]| read(file).expect("sound").pop().expect("an end");
    assert_eq!(item(b"REDIS0004\xff"), "Absent");
    assert_eq!(item(b"REDIS0012\xff\0\0\0\0\0\0\0\0"), "Absent");
    let mut file = b"REDIS0012\xff".to_vec();
    file.extend_from_slice(&crate::base::crc::crc64(0, b"REDIS0012\xff").to_le_bytes());
    assert_eq!(item(&file), "Matches");
    file.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(item(&file), "Matches");
    let mut reader = RdbReader::new(ReadOptions { checksum: false, check: false, any_version: false });
    reader.feed(b"REDIS0012\xff12345678tail");
    let limits = Limits::default();
    assert!(matches!(reader.next(&limits), Ok(Item::Format(_))));
    assert!(matches!(reader.next(&limits), Ok(Item::End(Checksum::NotVerified))));
    assert_eq!((reader.position(), reader.rest()), (18, b"tail".as_slice()));
}

#[test]
fn attributes_belong_to_the_next_key_only() {
    let file = b"REDIS0012\xfd\x05\0\0\0\0\x01a\x01b\xfc\xff\xff\xff\xff\xff\xff\xff\xff\0\x01b\x01b\
        \xfc\xfe\xff\xff\xff\xff\xff\xff\xff\xf8\x41\0\xf9\x07\x02\x01c\x00\0\x01d\x01b\xff\0\0\0\0\0\0\0\0";
    let lines = read(file).expect("sound");
    assert_eq!(lines[1], "a Some(5000) None None [\"b\"]");
    assert_eq!(lines[2], "b None None None [\"b\"]");
    assert_eq!(lines[3], line(&Item::Empty(b"c".into())));
    assert_eq!(lines[4], "d None None None [\"b\"]");
}

#[test]
fn parts_without_a_place_here() {
    let end = b"\xff\0\0\0\0\0\0\0\0";
    let slots = [b"REDIS0012\xf4\x05\x06\x07".as_slice(), end].concat();
    assert_eq!(read(&slots).expect("sound")[1], "SlotInfo { slot: 5, keys: 6, deadlines: 7 }");
    let ranges = b"\x02\x01\x02\x41\x00\x41\x05".as_slice();
    let import = |name: &[u8]| [b"VALKEY080\xf3".as_slice(), &[name.len() as u8], name, ranges, end].concat();
    let imported = &read(&import(&[b'a'; 40])).expect("sound")[1];
    let name = format!("{:?}", [b'a'; 40]);
    assert_eq!(*imported, format!("SlotImport {{ name: {name}, ranges: [(1, 2), (256, 261)] }}"));
    for name in [b"job".as_slice(), &[b'a'; 39], &[b'a'; 41]] {
        let error = read(&import(name)).expect_err("no name of a job").to_string();
        assert!(error.contains("Invalid slot import job name"), "{error}");
    }
    let id = b"\x81\0\x04\x20\xc4\x14\x61\xc8\x04";
    let aux = [b"REDIS0012\xf7".as_slice(), id, b"\x02\x01\x05\x03abc\x02\x07\0", end].concat();
    assert!(read(&aux).expect("sound")[1].starts_with("Skipped(ModuleAux("));
    let value = [b"REDIS0012\x07\x01k".as_slice(), id, b"\x02\x07\0", end].concat();
    assert!(matches!(read(&value).expect_err("a module").reason, Reason::ModuleValue(_)));
    // Class, version and the flag that it may be dropped.
    let class = |flags: u8| {
        [b"REDIS0013\xf3\x01".as_slice(), &[flags, 0, 0, 0], b"\x02\x07\0\0\x01k\x01v", end].concat()
    };
    let lines = read(&class(1)).expect("may be dropped");
    assert_eq!(lines[1..3], ["Skipped(KeyMetadata(\"AAAA\"))", "k None None None [\"v\"]"]);
    assert_eq!(read(&class(0)).expect_err("may not").reason, Reason::KeyMetadata("AAAA".into()));
}

#[test]
fn promises_of_length_cost_nothing() {
    let limits = Limits::default();
    for promise in [
        b"REDIS0012\0\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xf0".as_slice(),
        b"REDIS0012\x04\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xf0",
    ] {
        let mut reader = RdbReader::new(STRICT);
        reader.feed(promise);
        assert!(matches!(reader.next(&limits), Ok(Item::Format(_))));
        for _ in 0..20 {
            assert!(matches!(reader.next(&limits), Ok(Item::More)));
            assert!(reader.spare().len() <= CHUNK);
            reader.filled(1);
        }
        reader.end_of_input();
        assert_eq!(reader.next(&limits).expect_err("too short").reason, Reason::Truncated);
    }
}

#[test]
fn a_value_is_borrowed_from_the_buffer() {
    let mut buffer = RecordBuffer::new(RdbFormat::REDIS_8_6, false);
    buffer.magic();
    buffer.record(&header(b"key"), EntryValue::Bytes(&[b'v'; 100]));
    let mut reader = RdbReader::new(STRICT);
    reader.feed(&file_of(buffer, false));
    let limits = Limits::default();
    assert!(matches!(reader.next(&limits), Ok(Item::Format(_))));
    let Ok(Item::Key(record)) = reader.next(&limits) else { panic!("no key") };
    assert!(matches!(record.value, NewValue::Bytes(bytes) if bytes == [b'v'; 100]));
    assert!(matches!(record.key, std::borrow::Cow::Borrowed(b"key")));
}
