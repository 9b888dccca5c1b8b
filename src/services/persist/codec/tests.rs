//! Tests of the codec: round trips of every type and encoding, and hostile payloads.

use super::payload::{self, Refusal};
use super::testing::*;
use super::*;
use crate::base::rng::Rng;
use crate::structures::table::{EntryValue, NewValue};
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::set::Set;
use crate::value::stream::{Group, NewId, Retention, Stream, StreamId};
use crate::value::zset::Zset;
use crate::value::{Limits, Value, embedded};

#[path = "legacy_tests.rs"]
mod legacy_tests;

fn newest_kind(value: &EntryValue<'_, Value>) -> u8 {
    kind_of(value, RdbFormat::REDIS_8_6)
}

fn restored<'a>(payload: &'a [u8], limits: &Limits) -> Result<NewValue<'a, Value>, Refusal> {
    payload::restore(payload, false, false, limits)
}

/// Writes a value, reads it, and expects the same in the same form.
fn there_and_back(value: Value, limits: &Limits) -> Vec<u8> {
    let payload = payload::dump(EntryValue::Object(&value), true);
    let plain = payload::dump(EntryValue::Object(&value), false);
    let mut buffer = [0; crate::structures::table::EMBEDDED_MAX];
    if let Some((tag, bytes)) = embedded::embed(&value, 0, &mut buffer) {
        assert_eq!(payload::dump(EntryValue::Embedded(tag, bytes), true), payload);
    }
    for bytes in [&payload, &plain] {
        let back = restored(bytes, limits).expect("what was written");
        check_invariants(&back);
        assert_eq!(contents(&back.as_entry()), contents(&EntryValue::Object(&value)));
        assert_eq!(newest_kind(&back.as_entry()), newest_kind(&EntryValue::Object(&value)));
    }
    payload
}

#[test]
fn random_values_come_back() {
    let mut rng = Rng::new(8);
    let limits = small_limits();
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..500 {
        kinds.insert(there_and_back(random_value(&mut rng, &limits), &limits)[0]);
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [2, 4, 5, 7, 11, 16, 17, 18, 20, 21, 24, 25, 26]);
}

#[test]
fn strings_come_back_as_they_are_kept() {
    let limits = Limits::default();
    for number in [0, -1, 127, 70_000, i64::from(i32::MIN), 1 << 31, i64::MAX, i64::MIN] {
        let bytes = payload::dump(EntryValue::Int(number), true);
        assert!(matches!(restored(&bytes, &limits), Ok(NewValue::Int(n)) if n == number));
    }
    for text in ["", "x", "007", "-0", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "12345678901234567890123"]
    {
        let bytes = payload::dump(EntryValue::Bytes(text.as_bytes()), true);
        let back = restored(&bytes, &limits).expect("a string");
        assert!(matches!(back.as_entry(), EntryValue::Bytes(bytes) if bytes == text.as_bytes()));
    }
    let digits = payload::dump(EntryValue::Bytes(b"42"), true);
    assert!(matches!(restored(&digits, &limits), Ok(NewValue::Int(42))));
}

/// What Redis 8.0 answered to DUMP.
#[test]
fn bytes_are_those_of_redis() {
    let limits = Limits::default();
    let hello = b"\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC";
    assert_eq!(payload::dump(EntryValue::Bytes(b"hello"), true), hello);
    let mut hash = Hash::new();
    hash.set(b"f", b"v", false, &limits);
    hash.set(b"g", b"1", false, &limits);
    assert_eq!(
        there_and_back(Value::Hash(hash), &limits),
        b"\x10\x12\x12\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81g\x02\x01\x01\xff\x0c\x00\xe8\xb7\x91#\xa7\xd0vU"
    );
    let mut stream = Stream::new();
    let fields = [(b"a".as_slice(), b"b".as_slice())];
    let id = NewId::Exact(StreamId::new(1, 1));
    stream.log.append(id, fields.into_iter(), &limits).expect("the first");
    stream.groups.create(b"g", Group::new(StreamId::ZERO, None));
    let expected = b"\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\
        \x1d\x1d\x00\x00\x00\n\x00\x01\x01\x00\x01\x01\x01\x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\
        \x81b\x02\x04\x01\xff\x01\x01\x01\x01\x01\x00\x00\x01\x01\x01g\x00\x00\
        \x81\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x0c\x00\x16\x18 [|\x86\xad:";
    assert_eq!(there_and_back(Value::Stream(Box::new(stream)), &limits), expected);
}

#[test]
fn compressed_and_huge_nodes_of_lists() {
    let limits = Limits { list_compress_depth: 1, list_max_listpack_size: 10, ..Limits::default() };
    let mut list = List::new();
    for n in 0..200 {
        list.push(End::Back, format!("the same text again and again {}", n % 3).as_bytes(), &limits);
    }
    list.push(End::Front, &[b'x'; 20_000], &limits);
    list.push(End::Back, &[b'y'; 20_000], &limits);
    let payload = there_and_back(Value::List(list), &limits);
    let uncompressed = Limits { list_compress_depth: 0, ..limits };
    let back = restored(&payload, &uncompressed).expect("a list");
    assert_eq!(contents(&back.as_entry()).len(), 202);
}

/// A value takes the form that the configuration wants now.
#[test]
fn forms_follow_the_configuration() {
    let (wide, narrow) = (Limits::default(), Limits { list_max_listpack_size: 3, ..small_limits() });
    let mut list = List::new();
    let (mut ints, mut set, mut zset, mut hash) = (Set::new(), Set::new(), Zset::new(), Hash::new());
    for n in 0..20 {
        let name = format!("m{n}");
        list.push(End::Back, name.as_bytes(), &wide);
        ints.insert(n.to_string().as_bytes(), &wide);
        set.insert(name.as_bytes(), &wide);
        zset.insert(name.as_bytes(), f64::from(n), &wide);
        hash.set(name.as_bytes(), b"v", false, &wide);
    }
    let values = [Value::List(list), Value::Set(ints), Value::Set(set), Value::Zset(zset), Value::Hash(hash)];
    for value in values {
        let payload = there_and_back(value, &wide);
        let large = restored(&payload, &narrow).expect("converted");
        check_invariants(&large);
        let large = payload::dump(large.as_entry(), true);
        let small_again = restored(&large, &wide).expect("converted back");
        let [before, after] = [&payload, &large].map(|bytes| restored(bytes, &wide).expect("a value"));
        assert_eq!(contents(&before.as_entry()), contents(&after.as_entry()));
        assert_eq!(newest_kind(&small_again.as_entry()), payload[0]);
    }
}

#[test]
fn forms_for_servers_of_any_version() {
    let limits = Limits::default();
    let versions = |value: &Value| -> Vec<u16> {
        let forms = (0..).map_while(|refused| payload::portable(EntryValue::Object(value), true, refused));
        let version = |form: Vec<u8>| {
            let back = restored(&form, &limits).expect("what was written");
            let (read, written) = (contents(&back.as_entry()), contents(&EntryValue::Object(value)));
            let version = u16::from_le_bytes([form[form.len() - 10], form[form.len() - 9]]);
            // A stream's oldest form lacks a time, and all but the newest what it remembers of requests.
            let has_requests = matches!(value, Value::Stream(stream) if stream.has_idempotency());
            let is_less = version == 10 && read.len() == written.len() || has_requests && version < 13;
            assert!(read == written || is_less, "{read:?}");
            version
        };
        forms.map(version).collect()
    };
    let mut rng = Rng::new(5);
    for _ in 0..300 {
        let value = random_value(&mut rng, &limits);
        let expected: &[u16] = match &value {
            Value::Stream(stream) if stream.has_idempotency() => &[13, 11, 10],
            Value::Stream(_) => &[11, 10],
            value if value.next_field_deadline().is_some() => &[12, 80],
            _ => &[10],
        };
        assert_eq!(versions(&value), expected);
    }
    assert_eq!(payload::portable(EntryValue::Int(5), true, 1), None);
    let number = payload::portable(EntryValue::Int(5), true, 0).expect("a form");
    assert_eq!(number[..number.len() - 8], [0, 0xc0, 5, 10, 0]);
}

#[test]
fn footers() {
    let limits = Limits::default();
    let good = payload::dump(EntryValue::Bytes(b"text"), true);
    let fault = |bytes: &[u8]| restored(bytes, &limits).err();
    assert_eq!(fault(&good), None);
    let mut flipped = good.clone();
    flipped[2] ^= 1;
    assert_eq!(fault(&flipped), Some(Refusal::Footer));
    assert!(payload::restore(&flipped, false, true, &limits).is_ok());
    for (version, known) in [(1, true), (13, true), (14, false), (79, false), (80, true), (81, false)] {
        let mut bytes = good[..good.len() - 10].to_vec();
        bytes.extend_from_slice(&u16::to_le_bytes(version));
        let checksum = crate::base::crc::crc64(0, &bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(fault(&bytes).is_none(), known, "{version}");
        assert!(payload::restore(&bytes, true, false, &limits).is_ok());
    }
    for short in 0..10 {
        assert_eq!(fault(&good[..short]), Some(Refusal::Footer));
        assert_eq!(payload::restore(&good[..short], true, true, &limits).err(), Some(Refusal::Footer));
    }
    let mut empty = Vec::new();
    payload::seal(&mut empty);
    assert_eq!(fault(&empty), Some(Refusal::Value(Fault::Short)));
}

/// Reads what stands before a footer.
fn read(body: &[u8]) -> Result<NewValue<'_, Value>, Fault> {
    let mut input = Reader::new(&body[1..]);
    decode(body[0], RdbFormat::REDIS_8_6.version, &mut input, &Limits::default())
}

fn fault(body: &[u8]) -> String {
    read(body).expect_err("broken").to_string()
}

#[test]
fn broken_rules_are_errors() {
    let cases: &[(&[u8], &str)] = &[
        (b"\x06", "Unknown type 6"),
        (b"\x1b", "Unknown type 27"),
        (b"\x01\x00", "No elements"),
        (b"\x12\x00", "No elements"),
        (b"\x02\x02\x01a\x01a", "Duplicate set members detected"),
        (b"\x02\x02\xc0\x05\xc0\x05", "Duplicate set members detected"),
        (b"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x01a", "Short read"),
        (b"\x04\x02\x01a\x01b\x01a\x01b", "Duplicate hash fields detected"),
        (b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f", "Zset with NAN score detected"),
        (b"\x05\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0", "Duplicate zset fields detected"),
        (b"\x0b\x08\x02\0\0\0\x01\0\0\0", "Intset integrity check failed"),
        (b"\x12\x01\x03\x07\x07\0\0\0\0\0\xff", "Quicklist integrity check failed"),
        (b"\x12\x01\x01\x00", "Quicklist integrity check failed"),
        (b"\x12\x01\x02\x07\x08\0\0\0\0\0\xff", "List node integrity check failed"),
        (b"\x12\x01\x02\x07\x07\0\0\0\0\0\xff", "No elements"),
        (b"\x14\x07\x07\0\0\0\0\0\xff", "No elements"),
        (b"\x10\x09\x09\0\0\0\x01\0\x01\x01\xff", "Hash listpack integrity check failed"),
        (b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01a\x01b", "Invalid expireAt time of a hash field"),
        (
            b"\x18\x01\0\0\0\0\0\0\0\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x01b",
            "Invalid expireAt time of a hash field",
        ),
        (b"\x15\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00", "Stream length inconsistent with its nodes"),
    ];
    for (bytes, reason) in cases {
        assert_eq!(fault(bytes), *reason, "{}", bytes.escape_ascii());
    }
}

/// What ends too early within a packed form is broken, whatever follows behind that.
#[test]
fn embedded_forms_end_where_they_end() {
    let ziplist = b"\x0b\x0b\0\0\0\x0a\0\0\0\0\0\xff";
    for kind in [kind::LIST_ZIPLIST, kind::HASH_ZIPLIST, kind::ZSET_ZIPLIST, kind::HASH_ZIPMAP] {
        for cut in 0..ziplist.len() as u8 - 1 {
            let bytes = [&[kind, cut], &ziplist[1..1 + usize::from(cut)], &[0; 50]].concat();
            assert!(fault(&bytes).ends_with("integrity check failed"), "{}", bytes.escape_ascii());
        }
    }
}

/// A pending entry must belong to exactly one consumer.
#[test]
fn pending_entries_have_one_owner() {
    let stream = |consumers: &[&[u8]], times: u8| {
        let mut bytes = b"\x15\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x01g\x00\x00\x00\x01".to_vec();
        bytes.extend_from_slice(&StreamId::new(1, 0).to_bytes());
        bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.push(consumers.len() as u8);
        for name in consumers {
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&[0; 16]);
            bytes.push(times);
            (0..times).for_each(|_| bytes.extend_from_slice(&StreamId::new(1, 0).to_bytes()));
        }
        bytes
    };
    assert!(read(&stream(&[b"one"], 1)).is_ok());
    assert_eq!(fault(&stream(&[b"one"], 2)), "Duplicated consumer PEL entry loading a stream consumer group");
    assert_eq!(fault(&stream(&[], 1)), "Stream CG PEL entry without consumer");
    assert_eq!(
        fault(&stream(&[b"one", b"two"], 1)),
        "Stream consumer PEL entry already has a consumer assigned"
    );
    assert_eq!(fault(&stream(&[b"one", b"one"], 1)), "Duplicate stream consumer detected");
}

#[test]
fn requests_of_producers() {
    let stream = |idempotency: &[u8]| {
        let head: &[u8] = b"\x1a\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00";
        [head, idempotency].concat()
    };
    // One producer with two requests of the same identifier, of which the first counts.
    let sound = stream(b"\x05\x02\x01\x01p\x02\x01i\x01\x02\x01i\x03\x04\x07\x08");
    let NewValue::Object(value) = read(&sound).expect("a stream") else { panic!("an object") };
    let Value::Stream(stream_read) = &*value else { panic!("a stream") };
    assert_eq!(stream_read.retention(), Retention { seconds: 5, identifiers: 2 });
    let requests = stream_read.requests().expect("requests");
    assert_eq!((requests.tracked(), requests.added(), requests.duplicates()), (1, 7, 8));
    assert_eq!(requests.find(b"p", b"i", &Limits::default().hasher), Some(StreamId::new(1, 2)));
    for (bytes, reason) in [
        (&b"\x00\x02\x00\x00\x00"[..], "Stream IDMP duration out of range"),
        (b"\x80\x00\x01\x51\x81\x02\x00\x00\x00", "Stream IDMP duration out of range"),
        (b"\x05\x00\x00\x00\x00", "Stream IDMP max entries out of range"),
        (b"\x05\x67\x11\x00\x00\x00", "Stream IDMP max entries out of range"),
        (b"\x05\x05\x02\x01p\x00\x01p\x00\x00\x00", "Duplicated stream producer"),
    ] {
        assert_eq!(fault(&stream(bytes)), reason);
    }
}

/// Whatever is done to a payload, it is a sound value or an error.
#[test]
fn mutations_are_values_or_errors() {
    let mut rng = Rng::new(9);
    let limits = small_limits();
    let mut taken = 0;
    for _ in 0..400 {
        let payload = payload::dump(EntryValue::Object(&random_value(&mut rng, &limits)), rng.below(2) == 0);
        for _ in 0..8 {
            let mut bytes = payload.clone();
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(bytes.len() as u64 - 10) as usize;
                match rng.below(5) {
                    0 => bytes[at] = rng.next_u64() as u8,
                    1 => bytes[at] ^= 1 << rng.below(8),
                    2 => bytes.insert(at, rng.next_u64() as u8),
                    3 if bytes.len() > 11 => drop(bytes.remove(at)),
                    _ => bytes[at] = bytes[at].wrapping_add(1),
                }
            }
            if let Ok(value) = payload::restore(&bytes, true, true, &limits) {
                check_invariants(&value);
                let again = payload::dump(value.as_entry(), true);
                let again = restored(&again, &limits).expect("what was written");
                assert_eq!(contents(&again.as_entry()), contents(&value.as_entry()));
                taken += 1;
            }
        }
    }
    assert!(taken > 100, "{taken} mutations were values");
}
