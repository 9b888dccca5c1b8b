//! Numbers as text: `%.14g` of C, and what `strtod` takes for a number.

use std::io::Write as _;

/// Appends `number` with up to `precision` significant digits, as `%.*g` writes it. `precision` is 1 to 14.
pub fn write(out: &mut Vec<u8>, number: f64, precision: usize) {
    const POWERS: [f64; 15] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
    let integer = number as i64;
    if number.abs() < POWERS[precision]
        && integer as f64 == number
        && (integer != 0 || number.is_sign_positive())
    {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
        return;
    }
    if write_short(out, number, POWERS[precision]) {
        return;
    }
    if !number.is_finite() {
        let sign: &[u8] = if number.is_sign_negative() { b"-" } else { b"" };
        out.extend_from_slice(sign);
        out.extend_from_slice(if number.is_nan() { b"nan" } else { b"inf" });
        return;
    }
    // One digit, a point, the others, and an exponent: `d.ddde-7`.
    let mut scientific = [0u8; 40];
    let mut rest = &mut scientific[..];
    write!(rest, "{number:.*e}", precision - 1).expect("a double of up to 14 digits fits");
    let unused = rest.len();
    let text = &scientific[..scientific.len() - unused];
    let (sign, text) = text.split_at(usize::from(text[0] == b'-'));
    let exponent_at = text.iter().position(|&byte| byte == b'e').unwrap_or(text.len() - 1);
    let exponent =
        std::str::from_utf8(&text[exponent_at + 1..]).ok().and_then(|text| text.parse::<i32>().ok());
    let exponent = exponent.unwrap_or(0);
    let mut digits = [0u8; 16];
    let mut count = 0;
    for &digit in text[..exponent_at].iter().filter(|&&byte| byte != b'.') {
        digits[count] = digit;
        count += 1;
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    let digits = &digits[..count];
    out.extend_from_slice(sign);
    if exponent < -4 || exponent >= precision as i32 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
            .expect("a Vec takes all");
    } else if exponent < 0 {
        out.extend_from_slice(&b"0.000"[..1 + exponent.unsigned_abs() as usize]);
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..whole.min(count)]);
        out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(count)));
        if count > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// Appends a number of up to four decimals, if it has so few digits that they are below `end`: then the division that
/// gives it back is as exact as the digits are.
fn write_short(out: &mut Vec<u8>, number: f64, end: f64) -> bool {
    for (decimals, power) in [(1, 1e1), (2, 1e2), (3, 1e3), (4, 1e4)] {
        let digits = (number * power).round();
        // NaN and infinity fail both.
        if digits.abs() < end && digits != 0.0 && digits / power == number {
            let digits = digits as i64;
            if digits < 0 {
                out.push(b'-');
            }
            let (whole, rest) = (digits.unsigned_abs() / power as u64, digits.unsigned_abs() % power as u64);
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
            let mut fraction = *b".0000";
            let mut rest = rest;
            for place in fraction[1..=decimals].iter_mut().rev() {
                *place = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            out.extend_from_slice(&fraction[..=decimals]);
            return true;
        }
    }
    false
}

/// The number at the beginning of `text` and how many bytes it has, as `strtod` reads it: decimal and hexadecimal
/// ones, `inf`, `infinity`, `nan` and `nan(…)` in any case.
pub fn read(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let negative = text.first() == Some(&b'-');
    let unsigned = &text[signed..];
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = unsigned.get(digits).copied().unwrap_or(0);
    let (value, length) = if (1..=18).contains(&digits) && !matches!(behind, b'.' | b'e' | b'E' | b'x' | b'X')
    {
        let value = unsigned[..digits].iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        (value as f64, digits)
    } else {
        hexadecimal(unsigned).or_else(|| decimal(unsigned, digits)).or_else(|| special(unsigned))?
    };
    Some((if negative { -value } else { value }, signed + length))
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Bytes of an exponent that `marks` begin: none where no digit follows.
fn exponent_length(text: &[u8], marks: &[u8]) -> usize {
    if !text.first().is_some_and(|first| marks.contains(first)) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    match count_digits(&text[1 + sign..]) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

fn decimal(text: &[u8], whole: usize) -> Option<(f64, usize)> {
    let mut length = whole;
    if text.get(whole) == Some(&b'.') {
        let fraction = count_digits(&text[whole + 1..]);
        if whole + fraction > 0 {
            length += 1 + fraction;
        }
    }
    if length == 0 {
        return None;
    }
    length += exponent_length(&text[length..], b"eE");
    let value = std::str::from_utf8(&text[..length]).ok()?.parse().ok()?;
    Some((value, length))
}

fn special(text: &[u8]) -> Option<(f64, usize)> {
    let begins =
        |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()));
    if begins("infinity") {
        return Some((f64::INFINITY, 8));
    } else if begins("inf") {
        return Some((f64::INFINITY, 3));
    } else if !begins("nan") {
        return None;
    }
    let inside =
        text[3..].iter().skip(1).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let closed = text.get(3) == Some(&b'(') && text.get(4 + inside) == Some(&b')');
    Some((f64::NAN, if closed { 5 + inside } else { 3 }))
}

/// `0x` with hexadecimal digits, a point and a binary exponent; rounded to the nearest, ties to even.
fn hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    if !(text.first() == Some(&b'0') && matches!(text.get(1), Some(b'x' | b'X'))) {
        return None;
    }
    // The digits' first 60 bits, and whether a bit behind them is set.
    let (mut mantissa, mut rest, mut scale) = (0u64, false, 0i64);
    let (mut at, mut digits, mut point) = (2, 0usize, false);
    while let Some(&byte) = text.get(at) {
        match (byte as char).to_digit(16) {
            None if byte == b'.' && !point => point = true,
            None => break,
            Some(digit) => {
                digits += 1;
                if mantissa >> 60 == 0 {
                    mantissa = mantissa << 4 | u64::from(digit);
                    scale -= if point { 4 } else { 0 };
                } else {
                    rest |= digit != 0;
                    scale += if point { 0 } else { 4 };
                }
            }
        }
        at += 1;
    }
    if digits == 0 {
        // Only the zero is a number.
        return Some((0.0, 1));
    }
    let exponent = exponent_length(&text[at..], b"pP");
    if exponent > 0 {
        let digits = std::str::from_utf8(&text[at + 1..at + exponent]).ok()?;
        // One beyond all doubles and all texts is as good as any.
        let beyond = if digits.starts_with('-') { -(1 << 40) } else { 1 << 40 };
        scale = scale.saturating_add(digits.parse::<i64>().unwrap_or(beyond).clamp(-(1 << 40), 1 << 40));
        at += exponent;
    }
    Some((scaled(mantissa, rest, scale), at))
}

/// `mantissa` times two to the power of `scale`; `rest`: a little more than that.
fn scaled(mantissa: u64, rest: bool, scale: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = 64 - i64::from(mantissa.leading_zeros());
    // The power of two of the lowest bit that the double has.
    let lowest = (scale + bits - 53).max(-1074);
    let cut = lowest - scale;
    if bits + scale > 1024 {
        return f64::INFINITY;
    } else if cut > 64 {
        return 0.0;
    }
    let rounded = if cut <= 0 {
        // All bits fit; where the double could have more, they are zero.
        mantissa << (-cut).min(63)
    } else {
        let wide = u128::from(mantissa) << 1 | u128::from(rest);
        let cut = cut as u32 + 1;
        let (kept, lost, half) = (wide >> cut, wide & ((1 << cut) - 1), 1u128 << (cut - 1));
        (kept + u128::from(lost > half || lost == half && kept & 1 == 1)) as u64
    };
    // In two steps, as the power itself may be no double.
    let (first, second) = (lowest / 2, lowest - lowest / 2);
    rounded as f64 * 2f64.powi(first as i32) * 2f64.powi(second as i32)
}

/// A number as Lua makes a string of it.
pub fn lua_digits(number: f64) -> Vec<u8> {
    let mut digits = Vec::new();
    write(&mut digits, number, 14);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64, precision: usize) -> String {
        let mut out = Vec::new();
        write(&mut out, number, precision);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_are_written_as_printf_writes_them() {
        for (number, precision, text) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (0.1, 14, "0.1"),
            (1e14, 14, "1e+14"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (123_456_789_012_345_678.0, 14, "1.2345678901235e+17"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (1e300, 14, "1e+300"),
            (f64::MAX, 14, "1.7976931348623e+308"),
            (5e-324, 14, "4.9406564584125e-324"),
            (123.456, 3, "123"),
            (1234.0, 3, "1.23e+03"),
            (0.5, 1, "0.5"),
            (9.5, 1, "1e+01"),
            (100.0, 3, "100"),
            (-1234.5, 14, "-1234.5"),
            (-0.05, 14, "-0.05"),
            (12.3456, 14, "12.3456"),
            (12.3456, 5, "12.346"),
            (9.99, 2, "10"),
            (0.30000000000000004, 14, "0.3"),
            (f64::INFINITY, 14, "inf"),
            (f64::NEG_INFINITY, 14, "-inf"),
        ] {
            assert_eq!(written(number, precision), text);
        }
    }

    #[test]
    fn numbers_are_read_as_strtod_reads_them() {
        for (text, number, length) in [
            ("1", 1.0, 1),
            ("-0", -0.0, 2),
            ("12345678901234567890", 12_345_678_901_234_567_890.0, 20),
            ("1.5e3x", 1500.0, 5),
            ("1e", 1.0, 1),
            ("1.", 1.0, 2),
            ("-.5", -0.5, 3),
            ("0x", 0.0, 1),
            ("0x10", 16.0, 4),
            ("0x.8p1", 1.0, 6),
            ("0x1p-1074", 5e-324, 9),
            ("0x1p-1075", 0.0, 9),
            ("0x1.8p-1075", 5e-324, 11),
            ("0x1p99999999999999999999", f64::INFINITY, 24),
            ("0x20000000000001", 9_007_199_254_740_993.0, 16),
            ("0x1.fffffffffffff8p0", 2.0, 20),
            ("Infinityx", f64::INFINITY, 8),
            ("-infi", f64::NEG_INFINITY, 4),
            ("1e999", f64::INFINITY, 5),
        ] {
            assert_eq!(
                read(text.as_bytes()).map(|(value, length)| (value.to_bits(), length)),
                Some((number.to_bits(), length)),
                "{text}"
            );
        }
        assert!(read(b"nan(1_z)").is_some_and(|(value, length)| value.is_nan() && length == 8));
        assert!(read(b"nan(1").is_some_and(|(value, length)| value.is_nan() && length == 3));
        assert_eq!(read(b"-"), None);
        assert_eq!(read(b"+x"), None);
        assert_eq!(read(b"."), None);
    }
}
