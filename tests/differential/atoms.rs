//! Generators of the grammar's arguments: from small sets, so that keys collide, and unusual values.

use redloop::base::rng::Rng;

use crate::support::reply::Words;

/// What the family says about its keys.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The letter that the names of its keys begin with.
    pub letter: char,
}

/// Letters of all families, for keys of other types. Besides there is `y`: sorted sets of equal scores, for what
/// goes by the members' order.
const LETTERS: &[char] = &['s', 'b', 'l', 't', 'h', 'z', 'x', 'g', 'p'];

/// Values one of which an atom gives; the first half of them is much likelier where it says so.
type Choices = &'static [&'static str];

const VALUES: Choices = &[
    "",
    "a",
    "b",
    "foo",
    "bar",
    "10",
    "-5",
    "3",
    "0",
    "3.0",
    "1.5",
    "hello world",
    "\0\u{7f}\r\n",
    "01",
    "+1",
    " 1",
    "1e3",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "nan",
    "inf",
    "ohmytext",
    "mynewtext",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
];
/// XXH3 of the first values, and what is none.
const DIGESTS: Choices = &[
    "2d06800538d394c2",
    "e6c632b61e964e1f",
    "ab6e5f64077e7d8a",
    "AB6E5F64077E7D8A",
    "d463c860a032d362",
    "fff97459844e92f0",
    "d447b1ea40e6988b",
    "0123456789abcdef",
    "0123456789abcdeg",
    "2d06800538d394c",
    "2d06800538d394c2a",
    "",
];
const MEMBERS: Choices = &[
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "1",
    "2",
    "3",
    "10",
    "-7",
    "a",
    "b",
    "c",
    "",
    "\0\u{7f}",
    "100000",
    "5000000000",
    "01",
    "g",
    "h",
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
];
const INTS: Choices = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "5",
    "10",
    "1",
    "2",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "4611686018427387904",
    "1.5",
    "abc",
    "",
    "+1",
    " 1",
    "01",
    "-0",
    "0x10",
    "99999999999999999999",
    "2147483648",
    "4294967296",
];
const SMALL: Choices = &["0", "1", "2", "3", "4", "10", "-1", "-2", "-3", "1", "2"];
const INDEXES: Choices = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "-3",
    "0",
    "-1",
    "5",
    "-6",
    "100",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
];
const COUNTS: Choices =
    &["0", "1", "2", "3", "10", "1", "2", "-1", "-2", "100", "x", "1.5", "9223372036854775807"];
const POSITIVE: Choices = &["1", "2", "3", "5", "100", "1", "2", "0", "-1", "x"];
const FLOATS: Choices = &[
    "0",
    "1",
    "2.5",
    "-1.5",
    "3.0",
    "1e3",
    "0.1",
    "-0",
    "1.7976931348623157e308",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "abc",
    "",
    "1e-5",
    "5e-324",
    "123456789.123456789",
    "1e400",
    " 1",
    "1 ",
    "0x1p3",
    "1e15",
    "1e17",
    "1e21",
    "3.14159265358979",
    "infinity",
    "1.",
    ".5",
    "+.5e1",
    "100000000000000000000",
];
const SCORES: Choices = &[
    "0",
    "1",
    "2",
    "3",
    "1.5",
    "-1",
    "10",
    "2",
    "1",
    "inf",
    "-inf",
    "1e3",
    "-0",
    "0.1",
    "+inf",
    "3.0",
    "nan",
    "abc",
    "",
    "1e400",
    "17179869184",
    "1e-5",
    "9007199254740993",
    "0.30000000000000004",
    "1e21",
];
const BOUNDS: Choices = &[
    "0", "1", "2", "3", "-inf", "+inf", "(1", "(2", "(0", "1.5", "-1", "inf", "(-inf", "(inf", "(+inf",
    "nan", "(nan", "abc", "(", "", "[1", "10",
];
const LEXES: Choices =
    &["-", "+", "[a", "[b", "[c", "(a", "(c", "[", "(", "a", "", "[1", "(f", "[zz", "+", "-", "-inf"];
const SECONDS: Choices = &[
    "100",
    "200",
    "1000",
    "100",
    "100000",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854776",
    "-9223372036854775808",
    "x",
    "1.5",
    "9999999999",
    "281474976710",
    "281474976711",
];
const MILLIS: Choices = &[
    "100000",
    "200000",
    "1000000",
    "100500",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "x",
    "9999999999999",
    "281474976710655",
    "281474976710656",
];
const UNIX_SECONDS: Choices = &[
    "9999999999",
    "33177117420",
    "9999990000",
    "1",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854776",
    "x",
    "281474976710",
];
const UNIX_MILLIS: Choices = &[
    "9999999999000",
    "9999990000000",
    "33177117420000",
    "1",
    "0",
    "-1",
    "9223372036854775807",
    "x",
    "281474976710655",
    "281474976710656",
];
const PATTERNS: Choices = &[
    "*", "a*", "?", "[a-c]", "[^a]*", "*1", "s*", "h?", "\\*", "", "[a", "*[0-9]", "l[0-1]*", "**a", "[]",
    "a", "t1", "\\",
];
const TIMEOUTS: Choices = &[
    "0.01",
    "0.001",
    "0.01",
    "0.01",
    "0.02",
    "-1",
    "abc",
    "nan",
    "inf",
    "1e400",
    "-0.1",
    "",
    "9223372036854775807",
];
const BLOCK_MILLIS: Choices = &["10", "1", "10", "20", "-1", "abc", "9223372036854775808", "1.5"];
const IDS: Choices = &[
    "1-1",
    "2-0",
    "2-1",
    "3-0",
    "1",
    "2",
    "3",
    "5",
    "5-1",
    "4-4",
    "10-0",
    "0-0",
    "0",
    "0-1",
    "18446744073709551615-18446744073709551615",
    "18446744073709551615",
    "18446744073709551616-0",
    "x",
    "1-x",
    "-1",
    "1-",
    "",
    "7-*",
    "3-*",
    "1-1-1",
    "9",
];
const RANGE_IDS: Choices = &[
    "-",
    "+",
    "1",
    "2",
    "3",
    "2-0",
    "2-1",
    "(1",
    "(2-1",
    "5",
    "10",
    "-",
    "+",
    "(-",
    "(+",
    "x",
    "0",
    "(0-0",
    "18446744073709551615",
    "(18446744073709551615-18446744073709551615",
    "",
    "$",
];
const OFFSETS: Choices = &[
    "0",
    "1",
    "7",
    "8",
    "9",
    "15",
    "31",
    "64",
    "100",
    "3",
    "-1",
    "4294967296",
    "9223372036854775807",
    "x",
    "",
    "1000",
    "127",
];
const FIELD_OFFSETS: Choices =
    &["0", "1", "7", "#0", "#1", "#2", "10", "100", "#-1", "-1", "x", "#", "#x", "64", "4294967296"];
const TYPES: Choices = &[
    "u8", "i8", "u1", "i5", "u4", "i16", "u63", "i64", "u32", "i1", "u64", "i65", "u0", "i0", "x8", "8",
    "U8", "u", "",
];
const LONGITUDES: Choices = &[
    "13.361389",
    "15.087269",
    "2.3522",
    "-122.4",
    "0",
    "180",
    "-180",
    "13.5",
    "181",
    "-180.1",
    "x",
    "nan",
    "1e2",
    "14.9",
];
const LATITUDES: Choices = &[
    "38.115556",
    "37.502669",
    "48.8566",
    "37.7",
    "0",
    "85.05112878",
    "-85.05112878",
    "38.2",
    "86",
    "-90",
    "x",
    "nan",
    "37.1",
];
const DISTANCES: Choices =
    &["100", "200", "1000", "0", "1", "500", "20000", "-1", "x", "1e3", "inf", "nan", "0.5", "1e9"];
const BITS: Choices = &["0", "1", "0", "1", "1", "2", "-1", "x", ""];

const TABLES: &[(&str, Choices)] = &[
    ("val", VALUES),
    ("digest", DIGESTS),
    ("member", MEMBERS),
    ("field", MEMBERS),
    ("int", INTS),
    ("small", SMALL),
    ("index", INDEXES),
    ("count", COUNTS),
    ("positive", POSITIVE),
    ("float", FLOATS),
    ("score", SCORES),
    ("bound", BOUNDS),
    ("lex", LEXES),
    ("seconds", SECONDS),
    ("millis", MILLIS),
    ("unixseconds", UNIX_SECONDS),
    ("unixmillis", UNIX_MILLIS),
    ("futureseconds", &["9999999999", "33177117420", "9999990000", "0", "-1", "9223372036854775807", "x"]),
    ("futuremillis", &["9999999999000", "33177117420000", "9999990000000", "0", "-1", "x"]),
    ("pattern", PATTERNS),
    ("timeout", TIMEOUTS),
    ("blockmillis", BLOCK_MILLIS),
    ("id", IDS),
    ("rangeid", RANGE_IDS),
    ("offset", OFFSETS),
    ("fieldoffset", FIELD_OFFSETS),
    ("inttype", TYPES),
    ("lon", LONGITUDES),
    ("lat", LATITUDES),
    ("distance", DISTANCES),
    ("bit", BITS),
    ("unit", &["m", "km", "ft", "mi", "M", "KM", "m", "km", "", "yd"]),
    ("group", &["g", "g", "g", "G", "h"]),
    ("consumer", &["c", "d", "c", "e"]),
    ("channel", &["ch", "dh", "news", "news.a", ""]),
    ("channels", &["c*", "news.*", "*", "n?ws", "ch"]),
    (
        "cursor",
        &[
            "0",
            "0",
            "0",
            "0",
            "0",
            "0",
            "x",
            "-1",
            "18446744073709551616",
            "",
            "1.5",
            "9223372036854775808",
            "18446744073709551615",
            "00",
            " 0",
            "+0",
            "-0",
        ],
    ),
    // Nothing with a zero in it, behind which Redis sometimes doesn't look.
    ("word", &["a", "b", "c", "d", "1", "2", "10", "-7", "a b", "", "01", "foo", "3.5", "zz", "A"]),
    // Bytes that are whole runs of a sparse HyperLogLog.
    ("opcodes", &["10", "3.0", "0", "\u{80}", "\u{85}\u{90}", "1 2"]),
    ("db", &["0", "1", "0", "1", "0", "-1", "16", "x", "1.5", ""]),
    ("typename", &["string", "list", "set", "hash", "zset", "stream", "junk", "STRING"]),
    ("idleness", &["0", "0", "1000000", "-1", "x"]),
    ("minus", &["-1", "-2", "-3", "-5", "-100"]),
    (
        "setoffset",
        &["0", "1", "5", "10", "100", "0", "3", "-1", "536870912", "x", "9223372036854775807", "1000"],
    ),
    ("element", MEMBERS),
];

/// What DUMP of Redis 8.0 answers for small values of each type.
#[rustfmt::skip]
const PAYLOADS: &[&[u8]] = &[
    b"\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC",
    b"\x00\xc1\xd2\x04\x0c\x00\xcb\xf1<a\xbe\xa8\xc2\xa4",
    b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x81b\x02\x03\x01\xff\x0c\x00\x17\xd7\xd2\xbd\xaa/\xce\x01",
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01\x0c\x00.f\x86N\x81\xbf\xb7\xe3",
    b"\x14\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\xff\x0c\x00\xa8E\x83\x07N\x16\xa1\x94",
    b"\x10\x11\x11\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x81b\x02\x02\x01\xff\x0c\x00\xf56W\xacuw\xe8\xd3",
    b"\x19\x18\x9crN\x18\x09\x00\x00\x1d\x1d\x00\x00\x00\x06\x00\x81a\x02\x01\x01\xf4\x18\x9crN\x18\x09\x00\x00\x09\x81b\x02\x02\x01\x00\x01\xff\x0c\x00Gz?Y!\xa1\xe0\x83",
    b"\x11\x14\x14\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x81b\x02\x832.5\x04\xff\x0c\x00\x1f:Zd\x0cnG\x9e",
    b"\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01,,\x00\x00\x00\x11\x00\x02\x01\x00\x01\x01\x01\x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\x01\x01\x04\x01\x00\x01\x01\x01\xdf\xff\x02\x01\x01\x81b\x02\x02\x01\x06\x01\xff\x02\x02\x00\x01\x01\x00\x00\x02\x00\x0c\x00\x8bo\x01Z\x06\x1d\xfa\xf6",
];

/// Atoms that are more than a choice.
const SPECIAL: &[&str] =
    &["key", "anykey", "streams", "groupstreams", "newid", "payload", "script", "library"];

pub fn is_known(name: &str) -> bool {
    SPECIAL.contains(&name)
        || TABLES.iter().any(|(known, _)| *known == name)
        || letter_of(name).is_some_and(|letter| letter == 'y' || LETTERS.contains(&letter))
}

/// `lkey` is the key of a list.
fn letter_of(name: &str) -> Option<char> {
    let letter = name.strip_suffix("key")?;
    letter.chars().next().filter(|_| letter.len() == 1)
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

/// The name of a key: four a family, the last of which seldom exists.
fn key(rng: &mut Rng, letter: char) -> Vec<u8> {
    match rng.below(60) {
        0 => Vec::new(),
        1 => b"\xff\r\n".to_vec(),
        _ => format!("{letter}{}", rng.below(4)).into_bytes(),
    }
}

fn own_key(rng: &mut Rng, context: &Context) -> Vec<u8> {
    let letter = if rng.below(16) == 0 { *pick(rng, LETTERS) } else { context.letter };
    key(rng, letter)
}

/// Puts the words of an atom behind `words`.
pub fn generate(name: &str, rng: &mut Rng, context: &Context, words: &mut Words) {
    if let Some((_, choices)) = TABLES.iter().find(|(known, _)| *known == name) {
        // Mostly from the sensible half, which comes first.
        let sensible = if rng.below(3) > 0 { choices.len().div_ceil(2) } else { choices.len() };
        return words.push(pick(rng, &choices[..sensible]).as_bytes().to_vec());
    }
    match name {
        "script" | "library" => crate::lua::generate(name, rng, words),
        "key" => words.push(own_key(rng, context)),
        "anykey" => {
            let letter = *pick(rng, LETTERS);
            words.push(key(rng, letter));
        }
        "payload" => {
            let mut payload = pick(rng, PAYLOADS).to_vec();
            if rng.below(10) == 0 {
                let at = rng.below(payload.len() as u64) as usize;
                payload[at] ^= 1 << rng.below(8);
            }
            words.push(payload);
        }
        "newid" => words.push(format!("{}-{}", rng.below(30), rng.below(3)).into_bytes()),
        "streams" | "groupstreams" => {
            let count = 1 + rng.below(2);
            (0..count).for_each(|_| words.push(own_key(rng, context)));
            for _ in 0..count {
                let ids: Choices = if name == "streams" {
                    &["0", "1-1", "0-0", "2", "$", "5-0", "+", "x", ">", ""]
                } else {
                    &[">", ">", ">", "0", "1-1", "2", "$", "x", "+"]
                };
                words.push(pick(rng, ids).as_bytes().to_vec());
            }
        }
        _ => {
            let letter = letter_of(name).expect("a key");
            words.push(format!("{letter}{}", rng.below(4)).into_bytes());
        }
    }
}
