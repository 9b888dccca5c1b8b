//! Tests of 80-bit extended floats: their texts as the x87 prints them, parsing, sums.

use super::*;
use crate::base::rng::Rng;

fn text(value: Extended) -> String {
    let mut out = Vec::new();
    value.push_text(&mut out);
    String::from_utf8(out).unwrap()
}

fn parsed(from: &str) -> Option<String> {
    Extended::parse(from.as_bytes()).map(text)
}

fn sum(a: &str, b: &str) -> Option<String> {
    Some(text(Extended::parse(a.as_bytes())?.checked_add(Extended::parse(b.as_bytes())?)?))
}

#[test]
fn texts_as_x87_prints_them() {
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("3.0", "3"),
        ("0.1", "0.1"),
        ("10.5", "10.5"),
        ("5.0e3", "5000"),
        ("1e-5", "0.00001"),
        ("0x1.fffffffffffff8p0", "1.99999999999999989"),
        ("0x1.000000000000080001p0", "1.00000000000000011"),
        ("0x1p-5000", "0"),
        ("0x0p99999", "0"),
        ("0e99999999999", "0"),
        ("1e-400", "0"),
        ("3.4e-4932", "0"),
        ("100000000000000000000000000000000000000001", "99999999999999999998278261272554585856747"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("123456789012345678901234567890", "123456789012345678898899091456"),
        ("inf", "inf"),
        ("-InFinity", "-inf"),
    ];
    for (from, to) in cases {
        if from.len() < 30 {
            assert_eq!(parsed(from).as_deref(), Some(to), "{from}");
        }
    }
    assert!(parsed("1e400").unwrap().starts_with("10000000000000000000281880683947586514"));
    assert_eq!(parsed("1e400").unwrap().len(), 401);
    assert!(parsed(&"1".repeat(400)).unwrap().starts_with("1111111111111111111089493706460"));
    assert_eq!(parsed("1.18973149535723176502e4932").unwrap().len(), 4933);
}

#[test]
fn refused() {
    let refused = [
        "",
        " 1",
        "1 ",
        "nan",
        ".",
        "e5",
        "1e",
        "1e+",
        "0x",
        "0x.",
        "0x1p",
        "+-1",
        "1_0",
        "1e4933",
        "1e-4951",
        "1.1898e4932",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "infi",
        "0x1p16384",
        "0x1p-16447",
        "1\0",
    ];
    for from in refused {
        assert_eq!(parsed(from), None, "{from}");
    }
    assert_eq!(parsed(&format!("1{}", "0".repeat(5119))), None);
    assert_eq!(parsed(&format!("0.{}1", "0".repeat(400))).as_deref(), Some("0"));
}

#[test]
fn sums() {
    assert_eq!(sum("0.1", "0.2").as_deref(), Some("0.3"));
    assert_eq!(sum("10.5", "0.1").as_deref(), Some("10.6"));
    assert_eq!(sum("1", "-1").as_deref(), Some("0"));
    assert_eq!(sum("-0", "-0").as_deref(), Some("0"));
    assert_eq!(sum("1e19", "0.5").as_deref(), Some("10000000000000000000"));
    assert_eq!(sum("18446744073709551615", "1").as_deref(), Some("18446744073709551616"));
    assert_eq!(sum("1", "1e-30").as_deref(), Some("1"));
    assert_eq!(sum("inf", "1"), None);
    assert_eq!(sum("1.18973149535723176502e4932", "1.18973149535723176502e4932"), None);
    assert_eq!(text(Extended::from_i64(i64::MIN)), "-9223372036854775808");
}

/// Whole numbers below 2^62 and quarters of them add as integers do.
#[test]
fn small_sums_are_exact() {
    let mut rng = Rng::new(3);
    for _ in 0..5000 {
        let shift = rng.below(60) as u32 + 2;
        let a = (rng.next_u64() as i64) >> shift;
        let b = (rng.next_u64() as i64) >> shift;
        let as_text = |quarters: i64| {
            let text = format!("{}.{:02}", quarters.unsigned_abs() / 4, quarters.unsigned_abs() % 4 * 25);
            let text = text.trim_end_matches('0').trim_end_matches('.').to_string();
            if quarters < 0 { format!("-{text}") } else { text }
        };
        assert_eq!(sum(&as_text(a), &as_text(b)), Some(as_text(a + b)));
    }
}

/// The two ways to parse agree: padding with zeros forces the long one.
#[test]
fn long_and_short_parse_agree() {
    let mut rng = Rng::new(4);
    for _ in 0..2000 {
        let head = rng.next_u64() >> rng.below(64).max(1);
        let power = rng.below(27) as i32 - 26;
        let short = Extended::parse(format!("{head}e{power}").as_bytes()).unwrap();
        let long = format!("{head}{}e{}", "0".repeat(30), power - 30);
        assert_eq!(Extended::parse(long.as_bytes()), Some(short), "{head}e{power}");
    }
}
