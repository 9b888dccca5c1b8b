//! Tests of the text of doubles: shortest form, parsing, and the formats of C (`%g`, `%f`).

use super::*;
use crate::base::rng::Rng;

fn text(value: f64) -> String {
    let mut out = Vec::new();
    push_f64(&mut out, value);
    String::from_utf8(out).unwrap()
}

#[test]
fn known_texts() {
    let cases = [
        (3.0, "3"),
        (3.5, "3.5"),
        (-0.0, "-0"),
        (1e20, "1e+20"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e18, "1000000000000000000"),
        (9.2e18, "9.2e+18"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.23e-5, "1.23e-5"),
        (0.0001, "0.0001"),
        (1e23, "99999999999999990000000"),
        (5e-324, "5e-324"),
        (-1.2345678901234568e-300, "-1.2345678901234568e-300"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ];
    for (value, expected) in cases {
        assert_eq!(text(value), expected);
    }
}

#[test]
fn any_double_reads_back() {
    let mut rng = Rng::new(2);
    let mut longer = 0;
    for round in 0..30_000 {
        let value = match round % 3 {
            0 => f64::from_bits(rng.next_u64()),
            1 => (rng.below(2_000_000) as f64 - 1e6) / 10f64.powi(rng.below(9) as i32),
            _ => f64::from_bits((rng.below(2046) + 1) << 52),
        };
        if value.is_nan() {
            continue;
        }
        let text = text(value);
        assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Some(value.to_bits()), "{text}");
        longer += usize::from(text.len() > format!("{value}").len() && !text.contains('e'));
    }
    assert!(longer < 300);
}

#[test]
fn parse_takes_what_it_should() {
    let cases = [
        ("+1", 1.0),
        ("+inf", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7.0),
        ("1E5", 1e5),
        ("0e99999999999", 0.0),
        ("3e-324", 5e-324),
        ("0x10", 16.0),
        ("-0x1.8p3", -12.0),
        ("0x.8", 0.5),
        ("0x1.fffffffffffff8p0", 2.0),
        ("0x1.00000000000008p0", 1.0),
        ("0x1.000000000000080001p0", 1.0000000000000002),
        ("0x1p-1074", 5e-324),
        ("0x1.", 1.0),
    ];
    for (text, value) in cases {
        assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
    }
    let refused = [
        "",
        "nan",
        "-nan",
        "nan(1)",
        "0x",
        "0x.",
        "0x1p",
        "0x1p5000",
        "0x1p-5000",
        "1e400",
        "1e-400",
        "2e-324",
        ".",
        "e5",
        "1e",
        " 1",
        "1 ",
        "1\0",
        "-",
        "--1",
        "+-1",
        "1_0",
        "infi",
        "1.5f",
        "0x-1",
        "\u{b}1",
    ];
    for text in refused {
        assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
    }
    let bounds = [("", 0.0), ("1\0", 1.0), ("1e400", f64::INFINITY), ("1e-400", 0.0)];
    for (text, value) in bounds {
        assert_eq!(parse_f64_bound(text.as_bytes()), Some(value), "{text}");
    }
    for text in ["0x10", "nan", "1 ", "."] {
        assert_eq!(parse_f64_bound(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn c_formats() {
    let general = |value, precision| {
        let mut out = Vec::new();
        push_general(&mut out, value, precision);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(general(0.1, 17), "0.10000000000000001");
    assert_eq!(general(3.0, 17), "3");
    assert_eq!(general(1e17, 17), "1e+17");
    assert_eq!(general(1e16, 17), "10000000000000000");
    assert_eq!(general(0.0001, 17), "0.0001");
    assert_eq!(general(0.00001, 17), "1.0000000000000001e-05");
    assert_eq!(general(1e100, 14), "1e+100");
    assert_eq!(general(-0.0, 17), "-0");
    let fixed = |value, places| {
        let mut out = Vec::new();
        push_fixed(&mut out, value, places);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(fixed(166274.1516, 4), "166274.1516");
    assert_eq!(fixed(0.0, 4), "0.0000");
    assert_eq!(fixed(0.775, 4), "0.7750");
    assert_eq!(fixed(-0.00025, 4), "-0.0002");
}
