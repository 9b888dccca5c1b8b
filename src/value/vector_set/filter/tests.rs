//! Tests of filter expressions: by cases, and against a naive evaluator of random ones.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

const MOVIE: &[u8] =
    br#"{"year": 1984, "name": "The \"Best\"\n", "tags": ["sf", 7, [1], null], "o": {"a": "}"},
    "good": true, "bad": false, "none": null, "price": "12.5", "e": 1e2, "empty": "", "_x-1": -3}"#;

fn accepts(text: &str, attribute: &[u8]) -> bool {
    let filter = Filter::compile(text.as_bytes()).unwrap_or_else(|at| panic!("{text}: wrong at {at}"));
    filter.accepts(attribute)
}

#[test]
fn what_holds() {
    for text in [
        "1",
        ".year == 1984",
        ".year > 1980 and .year < 1990",
        ".year - 1984 == 0 && .good",
        ".year -1984 == 0",
        "(.year) -1984 == 0",
        "-1 < 0",
        "2 ** 3 ** 2 == 512",
        "-2 ** 2 == 4",
        "7 % 4 == 3 and -7 % 4 == -3",
        "10 / 4 == 2.5",
        "2 + 3 * 4 == 14 and (2 + 3) * 4 == 20",
        "not .bad",
        "!.bad and not (.year < 3)",
        "1 or 0 and 0",
        ".name == 'The \"Best\"\n'",
        "'Best' in .name",
        "'' in .name",
        "'sf' in .tags and 7 in .tags and null in .tags",
        "0 in .tags",
        ".year in [1, 1984]",
        ".year in [1984,]",
        "'12.5' in [12.5]",
        "not (.year in [])",
        "not ('x' in .name)",
        "not (1 in 1)",
        ".price == 12.5 and .price > 12",
        ".none == null and .year != null and not .none",
        "null",
    ] {
        let expected = text != "null";
        assert_eq!(accepts(text, MOVIE), expected, "{text}");
    }
    for text in [
        ".e == 100",
        "._x-1 == -3",
        ".tags",
        "'a' != 'b'",
        "' 0x10' == 16",
        "'inf' > 1e300",
        "'abc' == 0",
        "1/0 > 1e308",
        "0/0",
        "not .empty",
        "'5\\'' != 5",
        ".tags == 0",
    ] {
        assert!(accepts(text, MOVIE), "{text}");
    }
}

#[test]
fn what_does_not_hold() {
    for text in [
        "0",
        "''",
        ".year > 1984",
        ".missing or 1",
        "1 or .missing",
        "not .missing",
        ".o or 1",
        ".",
        ".bad",
        "'' == null",
        "0/0 == 0/0",
        "'a' > 'b'",
        "1 in 'abc'",
    ] {
        assert!(!accepts(text, MOVIE), "{text}");
    }
    for attribute in [
        &b""[..],
        b"{",
        b"{}",
        b"[1]",
        b"{\"a\"",
        b"{\"a\" 1}",
        b"{\"a\":",
        b"{\"a\":}",
        b"{\"a\":tru}",
        b"{\"a\":truex}",
        b"{\"a\":\"x}",
        b"{\"a\":\"x\\",
        b"{\"a\":[1}",
        b"{\"a\":[{}]}",
        b"{\"b\":1 \"a\":1}",
        b"{\"b\":[[1]\"a\":1}",
        b"{\"a\":--1}",
        b"{a:1}",
        b"nonsense",
        b"{\"b\":x,\"a\":1}",
        b"{\"b\":1,}",
    ] {
        assert!(!accepts(".a", attribute), "{}", attribute.escape_ascii());
    }
}

#[test]
fn only_as_much_of_an_attribute_is_read_as_is_needed() {
    assert!(accepts(".a", b" {\"a\":1"));
    assert!(accepts(".a", b"{\"a\":true,garbage"));
    assert!(accepts(".a == 1", b"{\"b\":{\"a\":[2},\"c\":\"\\\"\", \"a\" : 1, \"a\": 2}"));
    assert!(accepts(".a == 1 and .b == 2", b"{\"b\":2, \"x\": [\"]\"], \"a\":1}"));
}

#[test]
fn deep_arrays_are_refused() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(accepts(".a", nested(32).as_bytes()));
    assert!(!accepts(".a", nested(33).as_bytes()));
    assert!(!accepts(".a", nested(100_000).as_bytes()));
    assert!(accepts(
        ".b",
        format!("{{\"x\":{}{},\"b\":1}}", "[".repeat(99_999), "]".repeat(99_999)).as_bytes()
    ));
}

#[test]
fn mistakes_have_a_place() {
    let cases: [(&str, usize); 22] = [
        ("", 0),
        ("   ", 0),
        (".a ==", 0),
        ("1 2", 0),
        ("(1", 0),
        ("1)", 0),
        ("and", 0),
        ("not", 0),
        ("!!1", 0),
        (".a nullx 1", 8),
        (".a @ 1", 3),
        (".year == 'x", 11),
        ("1.2.3", 5),
        ("1e-5", 2),
        ("[1 2]", 3),
        ("[x]", 1),
        ("[1,[2]]", 3),
        (".a in [-]", 8),
        (".$", 0),
        ("1 + foo", 7),
        ("(null)", 6),
        ("\u{e4}", 0),
    ];
    for (text, place) in cases {
        assert_eq!(Filter::compile(text.as_bytes()).err(), Some(place), "{text}");
    }
    assert!(Filter::compile(b"1\0 garbage").is_ok());
    assert_eq!(Filter::compile(&[b"1".repeat(300), b" ".to_vec()].concat()).err(), Some(255));
}

#[test]
fn large_programs_need_no_recursion() {
    let text = format!("{}1{}", "(1 + ".repeat(50_000), ")".repeat(50_000));
    assert!(accepts(&text, b""));
    let many = |count: usize| (0..count).map(|n| format!(".f{n}")).collect::<Vec<_>>().join("+");
    assert!(
        Filter::compile(many(1024).as_bytes()).is_ok() && Filter::compile(many(1025).as_bytes()).is_err()
    );
    let names: Vec<String> = (0..100).map(|n| format!(".f{n}")).collect();
    let fields: Vec<String> = (0..100).map(|n| format!("\"f{n}\":{n}")).collect();
    let attribute = format!("{{{}}}", fields.join(","));
    assert!(accepts(&format!("{} == 4950", names.join(" + ")), attribute.as_bytes()));
    assert!(accepts(&format!("{} == 4950 and 1 in [1]", names.join(" + ")), attribute.as_bytes()));
}

/// An expression as a tree.
#[derive(Clone, Debug)]
enum Tree {
    Number(i8),
    Text(String),
    Null,
    Field(u8),
    Tuple(Vec<Tree>),
    Not(Box<Tree>),
    Binary(&'static str, Box<Tree>, Box<Tree>),
}

/// A value as the naive evaluator has it.
#[derive(Clone, Debug)]
enum Plain {
    Number(f64),
    Text(String),
    Null,
    Tuple(Vec<Plain>),
}

impl Tree {
    fn write(&self) -> String {
        match self {
            Tree::Number(number) => number.to_string(),
            Tree::Text(text) => format!("'{text}'"),
            Tree::Null => "null ".into(),
            Tree::Field(at) => format!(".f{at}"),
            Tree::Tuple(elements) => {
                let elements: Vec<String> = elements.iter().map(Tree::write).collect();
                format!("[{}]", elements.join(" , "))
            }
            Tree::Not(inner) => format!("not ({} )", inner.write()),
            Tree::Binary(operator, a, b) => format!("({} {operator} {} )", a.write(), b.write()),
        }
    }

    /// `None`: a field is missing.
    fn value(&self, attribute: &Json) -> Option<Plain> {
        Some(match self {
            Tree::Number(number) => Plain::Number(f64::from(*number)),
            Tree::Text(text) => Plain::Text(text.clone()),
            Tree::Null => Plain::Null,
            Tree::Field(at) => plain(attribute.get(format!("f{at}"))?)?,
            Tree::Tuple(elements) => {
                Plain::Tuple(elements.iter().filter_map(|element| element.value(attribute)).collect())
            }
            Tree::Not(inner) => Plain::Number(truth(!inner.value(attribute)?.is_true())),
            Tree::Binary(operator, a, b) => {
                let (a, b) = (a.value(attribute), b.value(attribute));
                Plain::Number(naive(operator, &a?, &b?))
            }
        })
    }
}

fn plain(json: &Json) -> Option<Plain> {
    Some(match json {
        Json::Null => Plain::Null,
        Json::Bool(yes) => Plain::Number(truth(*yes)),
        Json::Number(number) => Plain::Number(number.as_f64()?),
        Json::String(text) => Plain::Text(text.clone()),
        Json::Array(elements) => Plain::Tuple(elements.iter().map(plain).collect::<Option<_>>()?),
        Json::Object(_) => return None,
    })
}

impl Plain {
    fn number(&self) -> f64 {
        match self {
            Plain::Number(number) => *number,
            // As strtod has it.
            Plain::Text(text) => text.trim_ascii_start().parse().unwrap_or(0.0),
            Plain::Null | Plain::Tuple(_) => 0.0,
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Plain::Number(number) => *number != 0.0,
            Plain::Text(text) => !text.is_empty(),
            Plain::Null => false,
            Plain::Tuple(_) => true,
        }
    }

    fn equals(&self, other: &Plain) -> bool {
        match (self, other) {
            (Plain::Text(a), Plain::Text(b)) => a == b,
            (Plain::Null, Plain::Null) => true,
            (Plain::Null, _) | (_, Plain::Null) => false,
            (a, b) => a.number() == b.number(),
        }
    }
}

fn naive(operator: &str, a: &Plain, b: &Plain) -> f64 {
    let (x, y) = (a.number(), b.number());
    match operator {
        "**" => x.powf(y),
        "*" => x * y,
        "/" => x / y,
        "%" => x % y,
        "+" => x + y,
        "-" => x - y,
        ">" => truth(x > y),
        ">=" => truth(x >= y),
        "<" => truth(x < y),
        "<=" => truth(x <= y),
        "==" => truth(a.equals(b)),
        "!=" => truth(!a.equals(b)),
        "and" | "&&" => truth(a.is_true() && b.is_true()),
        "or" | "||" => truth(a.is_true() || b.is_true()),
        _ => truth(match (a, b) {
            (_, Plain::Tuple(elements)) => elements.iter().any(|element| a.equals(element)),
            (Plain::Text(part), Plain::Text(whole)) => whole.contains(part.as_str()),
            _ => false,
        }),
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    const OPERATORS: [&str; 17] =
        ["**", "*", "/", "%", "+", "-", ">", ">=", "<", "<=", "==", "!=", "and", "&&", "or", "||", "in"];
    let scalar = prop_oneof![any::<i8>().prop_map(Tree::Number), "[a-c0-9]{0,3}".prop_map(Tree::Text),];
    let leaf = prop_oneof![
        4 => scalar.clone(),
        1 => Just(Tree::Null),
        4 => (0..5_u8).prop_map(Tree::Field),
        1 => prop::collection::vec(scalar, 0..4).prop_map(Tree::Tuple),
    ];
    leaf.prop_recursive(5, 40, 2, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            5 => (prop::sample::select(&OPERATORS[..]), inner.clone(), inner)
                .prop_map(|(operator, a, b)| Tree::Binary(operator, Box::new(a), Box::new(b))),
        ]
    })
}

fn values() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-9..9_i64).prop_map(Json::from),
        any::<i16>().prop_map(|n| Json::from(f64::from(n) / 8.0)),
        "[a-c0-9\"\\\\\n]{0,3}".prop_map(Json::from),
    ];
    prop_oneof![
        6 => scalar.clone(),
        2 => prop::collection::vec(scalar.clone(), 0..4).prop_map(Json::from),
        1 => scalar.prop_map(|value| serde_json::json!({"f0": value})),
    ]
}

fn attributes() -> impl Strategy<Value = Json> {
    prop::collection::btree_map("f[0-4]|g", values(), 3..7)
        .prop_map(|fields| Json::Object(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn programs_agree_with_a_naive_evaluator(tree in trees(), attribute in attributes(), pretty: bool) {
        let json = if pretty { serde_json::to_string_pretty(&attribute) } else { serde_json::to_string(&attribute) };
        let (text, json) = (tree.write(), json.expect("JSON"));
        let expected = tree.value(&attribute).is_some_and(|value| value.is_true());
        prop_assert_eq!(accepts(&text, json.as_bytes()), expected, "{} of {}", text, json);
    }

    #[test]
    fn nothing_panics(data in prop::collection::vec(prop::sample::select(&b" \n\\\"'.,:;[]{}()0129e-+*/%!<>=|&truefalsnoid\0\xff"[..]), 0..60)) {
        fuzz_filter(&data);
    }
}
