//! Tests of the decoder of older RDB kinds (ziplist, zipmap and the like), which small writers in here produce.

use super::*;

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    Writer::new(out, false).string(bytes);
}

/// A ziplist of these items; integers in the narrowest form that holds them.
fn ziplist(items: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![0; 10];
    let (mut tail, mut before) = (10, 0usize);
    for item in items {
        tail = out.len();
        if before < 254 {
            out.push(before as u8);
        } else {
            out.push(254);
            out.extend_from_slice(&(before as u32).to_le_bytes());
        }
        let number = std::str::from_utf8(item).ok().and_then(|text| text.parse::<i64>().ok());
        match (number, item.len()) {
            (Some(n @ 0..=12), _) => out.push(0xf1 + n as u8),
            (Some(n), _) if i8::try_from(n).is_ok() => out.extend([0xfe, n as u8]),
            (Some(n), _) if i16::try_from(n).is_ok() => {
                out.push(0xc0);
                out.extend_from_slice(&(n as i16).to_le_bytes());
            }
            (Some(n), _) if (-0x80_0000..0x80_0000).contains(&n) => {
                out.push(0xf0);
                out.extend_from_slice(&n.to_le_bytes()[..3]);
            }
            (Some(n), _) if i32::try_from(n).is_ok() => {
                out.push(0xd0);
                out.extend_from_slice(&(n as i32).to_le_bytes());
            }
            (Some(n), _) => {
                out.push(0xe0);
                out.extend_from_slice(&n.to_le_bytes());
            }
            (None, length @ 0..=63) => out.push(length as u8),
            (None, length @ 64..=16_383) => out.extend_from_slice(&(0x4000 | length as u16).to_be_bytes()),
            (None, length) => {
                out.push(0x80);
                out.extend_from_slice(&(length as u32).to_be_bytes());
            }
        }
        if number.is_none() {
            out.extend_from_slice(item);
        }
        before = out.len() - tail;
    }
    out.push(0xff);
    let total = out.len() as u32;
    out[..4].copy_from_slice(&total.to_le_bytes());
    out[4..8].copy_from_slice(&(tail as u32).to_le_bytes());
    out[8..10].copy_from_slice(&(items.len() as u16).to_le_bytes());
    out
}

/// A zipmap of these pairs, values followed by gaps as updates left them.
fn zipmap(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    fn length(out: &mut Vec<u8>, length: usize) {
        if length < 254 {
            out.push(length as u8);
        } else {
            out.push(254);
            out.extend_from_slice(&(length as u32).to_le_bytes());
        }
    }
    let mut out = vec![pairs.len() as u8];
    for (index, (field, value)) in pairs.iter().enumerate() {
        length(&mut out, field.len());
        out.extend_from_slice(field);
        length(&mut out, value.len());
        out.push(index as u8 % 3);
        out.extend_from_slice(value);
        out.extend_from_slice(&[b'?'; 2][..index % 3]);
    }
    out.push(0xff);
    out
}

fn body(kind: u8, encoded: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    string(&mut out, encoded);
    out
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let value = read(bytes).expect("a value");
    check_invariants(&value);
    contents(&value.as_entry())
}

const LONG: &[u8] = &[b'l'; 300];
const LONGER: &[u8] = &[b'm'; 20_000];

fn items() -> Vec<&'static [u8]> {
    let numbers = ["0", "12", "13", "-1", "-128", "300", "-70000", "8388607", "-8388608", "9000000"];
    let mut items: Vec<&[u8]> = numbers.iter().map(|text| text.as_bytes()).collect();
    items.extend([b"text".as_slice(), b"-9223372036854775808", LONG, b"after", LONGER, b"", b"last"]);
    items
}

#[test]
fn lists() {
    let items = items();
    let expected: Vec<String> =
        items.iter().enumerate().map(|(n, item)| format!("{n:08} {}", item.escape_ascii())).collect();
    assert_eq!(lines(&body(kind::LIST_ZIPLIST, &ziplist(&items))), expected);
    let mut plain = vec![kind::LIST, items.len() as u8];
    items.iter().for_each(|item| string(&mut plain, item));
    assert_eq!(lines(&plain), expected);
    let mut nodes = vec![kind::LIST_QUICKLIST, 3];
    string(&mut nodes, &ziplist(&items[..5]));
    string(&mut nodes, &ziplist(&[]));
    string(&mut nodes, &ziplist(&items[5..]));
    assert_eq!(lines(&nodes), expected);
    assert_eq!(read(&body(kind::LIST_ZIPLIST, &ziplist(&[]))).err(), Some(Fault::Empty));
}

#[test]
fn hashes() {
    let pairs: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"field", LONG), (LONG, b""), (b"", b"x")];
    let mut expected: Vec<String> = pairs
        .iter()
        .map(|(field, value)| format!("{} {} None", field.escape_ascii(), value.escape_ascii()))
        .collect();
    expected.sort();
    let flat: Vec<&[u8]> = pairs.iter().flat_map(|(field, value)| [*field, *value]).collect();
    assert_eq!(lines(&body(kind::HASH_ZIPLIST, &ziplist(&flat))), expected);
    assert_eq!(lines(&body(kind::HASH_ZIPMAP, &zipmap(&pairs))), expected);
    let zipmap_hash = read_owned(&body(kind::HASH_ZIPMAP, &zipmap(&pairs)));
    assert_eq!(zipmap_hash, kind::HASH, "too long for a listpack");

    let twice = [b"a".as_slice(), b"1", b"a", b"2"];
    assert!(fault(&body(kind::HASH_ZIPLIST, &ziplist(&twice))).ends_with("integrity check failed"));
    assert!(fault(&body(kind::HASH_ZIPLIST, &ziplist(&twice[..3]))).ends_with("integrity check failed"));
    let pairs = [(twice[0], twice[1]), (twice[2], twice[3])];
    assert!(fault(&body(kind::HASH_ZIPMAP, &zipmap(&pairs))).ends_with("integrity check failed"));
    assert!(fault(&body(kind::HASH_ZIPMAP, &zipmap(&[]))).ends_with("integrity check failed"));
}

fn read_owned(bytes: &[u8]) -> u8 {
    newest_kind(&read(bytes).expect("a value").as_entry())
}

#[test]
fn sorted_sets() {
    let flat: [&[u8]; 6] = [b"a", b"-1.5", b"b", b"2", b"c", b"inf"];
    let expected = ["a -1.5", "b 2", "c inf"];
    assert_eq!(lines(&body(kind::ZSET_ZIPLIST, &ziplist(&flat))), expected);
    let mut text = vec![kind::ZSET, 3];
    for (member, score) in [(b"c", b"\xfe".as_slice()), (b"b", b"\x012"), (b"a", b"\x04-1.5")] {
        string(&mut text, member);
        text.extend_from_slice(score);
    }
    assert_eq!(lines(&text), expected);
    let unsorted: [&[u8]; 4] = [b"b", b"2", b"a", b"-1.5"];
    assert_eq!(lines(&body(kind::ZSET_ZIPLIST, &ziplist(&unsorted))), expected[..2]);
    let no_score: [&[u8]; 2] = [b"b", b"x"];
    assert!(fault(&body(kind::ZSET_ZIPLIST, &ziplist(&no_score))).ends_with("integrity check failed"));
    assert_eq!(fault(b"\x03\x01\x01a\xfd"), "Zset with NAN score detected");
}

#[test]
fn hashes_with_deadlines() {
    let expected = ["f v Some(1000)", "g w None"];
    let early = b"\x16\x02\x43\xe8\x01f\x01v\x00\x01g\x01w";
    assert_eq!(lines(early), expected);
    assert_eq!(lines(b"\x18\xe8\x03\0\0\0\0\0\0\x02\x01\x01f\x01v\x00\x01g\x01w"), expected);
    let triples = b"\x18\x18\0\0\0\x06\0\x81f\x02\x81v\x02\xc3\xe8\x02\x81g\x02\x81w\x02\x00\x01\xff";
    let mut bytes = vec![kind::HASH_LISTPACK_EX_EARLY];
    string(&mut bytes, &triples[1..]);
    assert_eq!(lines(&bytes), expected);
    let mut bytes = b"\x19\xe8\x03\0\0\0\0\0\0".to_vec();
    string(&mut bytes, &triples[1..]);
    assert_eq!(lines(&bytes), expected);

    let valkey = b"\x02\x01f\x01v\xe8\x03\0\0\0\0\0\0\x01g\x01w\xff\xff\xff\xff\xff\xff\xff\xff";
    let limits = Limits::default();
    let value = decode(kind::HASH_22, VALKEY_VERSION, &mut Reader::new(valkey), &limits).expect("a hash");
    check_invariants(&value);
    assert_eq!(contents(&value.as_entry()), expected);
    let mut negative = *valkey;
    negative[7] = 0;
    negative[6] = 0xfe;
    negative[5..13].fill(0xfe);
    assert!(decode(kind::HASH_22, VALKEY_VERSION, &mut Reader::new(&negative), &limits).is_err());
}

/// Streams of the first kinds know nothing of deleted entries and of what groups have read.
#[test]
fn streams() {
    let mut stream = Stream::new();
    let limits = Limits::default();
    for n in 1..=5 {
        let fields = [(b"field".as_slice(), b"value".as_slice())];
        stream.log.append(NewId::Exact(StreamId::new(n, 0)), fields.into_iter(), &limits).expect("above");
    }
    let mut group = Group::new(StreamId::ZERO, Some(0));
    let consumer = group.create_consumer(b"c", 77).expect("new");
    group.deliver(&stream.log, StreamId::new(1, 0), consumer, 99, false);
    group.set_position(StreamId::new(1, 0), Some(1));
    group.consumer_mut(consumer).expect("there").active_ms = 77;
    stream.groups.create(b"g", group);
    let expected = contents(&EntryValue::Object(&Value::Stream(Box::new(stream.clone()))));

    for kind in [kind::STREAM, kind::STREAM_2] {
        let mut bytes = vec![kind, 1];
        let (master, listpack) = stream.log.nodes().next().expect("one");
        string(&mut bytes, &master.to_bytes());
        string(&mut bytes, listpack.as_bytes());
        bytes.extend([5, 5, 0]);
        if kind == kind::STREAM_2 {
            bytes.extend([1, 0, 0, 0, 5]);
        }
        bytes.push(1);
        string(&mut bytes, b"g");
        bytes.extend([1, 0]);
        if kind == kind::STREAM_2 {
            bytes.push(1);
        }
        bytes.push(1);
        bytes.extend_from_slice(&StreamId::new(1, 0).to_bytes());
        bytes.extend_from_slice(&99i64.to_le_bytes());
        bytes.extend([1, 1]);
        string(&mut bytes, b"c");
        bytes.extend_from_slice(&77i64.to_le_bytes());
        bytes.push(1);
        bytes.extend_from_slice(&StreamId::new(1, 0).to_bytes());
        assert_eq!(lines(&bytes), expected, "kind {kind}");
    }
}

/// Whatever is done to the old packed forms, they are a sound value or an error.
#[test]
fn mutations() {
    let mut rng = Rng::new(10);
    let pairs: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"field", LONG), (b"b", b"")];
    let flat: [&[u8]; 6] = [b"a", b"1", b"b", b"-300", b"c", b"70000"];
    let seeds = [
        (kind::LIST_ZIPLIST, ziplist(&items())),
        (kind::HASH_ZIPLIST, ziplist(&flat)),
        (kind::ZSET_ZIPLIST, ziplist(&flat)),
        (kind::HASH_ZIPMAP, zipmap(&pairs)),
    ];
    for _ in 0..2000 {
        let (kind, encoded) = &seeds[rng.below(4) as usize];
        let mut encoded = encoded.clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(encoded.len().min(80) as u64) as usize;
            encoded[at] =
                if rng.below(2) == 0 { rng.next_u64() as u8 } else { encoded[at] ^ 1 << rng.below(8) };
        }
        if let Ok(value) = read(&body(*kind, &encoded)) {
            check_invariants(&value);
        }
    }
}
