//! Numbers as text. This file has the integers: the strict parse that decides whether a value may be stored
//! as an integer, the lenient ones of configuration and stream ids, and formatting. Doubles and the
//! 80-bit floats of INCRBYFLOAT are in modules of their own, and exported from here.

mod bignum;
mod double;
mod extended;

pub use double::{exact_integer, parse_f64, parse_f64_bound, push_f64, push_fixed, push_general};
pub use extended::Extended;
/// A stack buffer that prints integers: `IntegerBuffer::new().format(5i64)`.
pub use itoa::Buffer as IntegerBuffer;

/// The longest decimal text of an `i64`, sign included.
pub const MAX_I64_TEXT: usize = 20;

/// Digits that cannot overflow a `u64` whatever they are.
const SAFE_DIGITS: usize = 19;

/// Parses the canonical decimal form of an `i64`: `-?[1-9][0-9]*` or `0`, nothing around it.
/// What this accepts, printing gives back byte for byte.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let first = *digits.first()?;
    // The first byte rejects almost every value that is not a number.
    if !first.is_ascii_digit() || digits.len() > SAFE_DIGITS {
        return None;
    }
    if first == b'0' {
        return (text.len() == 1).then_some(0);
    }
    let magnitude = all_digits(digits)?;
    if negative {
        (magnitude <= 1 << 63).then(|| (magnitude as i64).wrapping_neg())
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Parses a whole text as C's `strtoull` does, for stream ids: leading white space, a sign and leading zeros are
/// accepted, a minus negates modulo 2^64, overflow is `None`.
pub fn parse_u64_lenient(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(|byte| !is_c_space(*byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Whether C's `isspace` holds, in the "C" locale.
pub fn is_c_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Parses an amount of memory: digits, then one of `b k kb m mb g gb` in any case or nothing.
/// `k` is 1000 and `kb` 1024, and so on. No digits mean 0, and an amount that doesn't fit in 64 bits means
/// the largest amount.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let split = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if digits.len() > 127 {
        return None;
    }
    let amount =
        digits.iter().fold(0u64, |sum, byte| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0')));
    Some(amount.saturating_mul(unit))
}

/// Appends `value` in decimal.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` in decimal.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The number of decimal digits of `value`.
#[inline]
pub fn digits_u64(value: u64) -> usize {
    value.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The length of `value` as text, sign included.
#[inline]
pub fn digits_i64(value: i64) -> usize {
    usize::from(value < 0) + digits_u64(value.unsigned_abs())
}

/// The value of up to [`SAFE_DIGITS`] digits, or `None` when a byte is not a digit.
#[inline]
fn all_digits(mut text: &[u8]) -> Option<u64> {
    debug_assert!(text.len() <= SAFE_DIGITS);
    let mut value = 0u64;
    while let Some((eight, rest)) = text.split_first_chunk::<8>() {
        value = value * 100_000_000 + eight_digits(u64::from_le_bytes(*eight))?;
        text = rest;
    }
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// Eight ASCII digits at once, the first in the lowest byte: pairs, then fours, then all.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const SIXES: u64 = 0x0606_0606_0606_0606;
    const HIGH_NIBBLES: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    // A digit has high nibble 3, and still has it when 6 is added.
    if word & HIGH_NIBBLES != ZEROS || word.wrapping_add(SIXES) & HIGH_NIBBLES != ZEROS {
        return None;
    }
    let word = word ^ ZEROS;
    let pairs = (word * 10 + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn strict_parse_accepts_only_what_prints_back() {
        let mut rng = Rng::new(1);
        let alphabet = b"0123456789-+ .x";
        for round in 0..40_000 {
            let length = rng.below(22) as usize;
            let letters = if round % 2 == 0 { 10 } else { alphabet.len() as u64 };
            let mut text: Vec<u8> = (0..length).map(|_| alphabet[rng.below(letters) as usize]).collect();
            if rng.below(4) == 0 {
                text.insert(0, b'-');
            }
            let naive = std::str::from_utf8(&text).ok().and_then(|text| {
                let value: i64 = text.parse().ok()?;
                (value.to_string() == text).then_some(value)
            });
            assert_eq!(parse_i64(&text), naive, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn edges_of_the_range() {
        for value in
            [0, 1, -1, 9, 10, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, 99_999_999, 100_000_000]
        {
            let mut text = Vec::new();
            push_i64(&mut text, value);
            assert_eq!(parse_i64(&text), Some(value));
            assert_eq!(digits_i64(value), text.len());
        }
        for text in ["", "-", "-0", "00", "01", "9223372036854775808", "-9223372036854775809", "1\0", "１"] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn lenient_parse_is_strtoull() {
        assert_eq!(parse_u64_lenient(b" +007"), Some(7));
        assert_eq!(parse_u64_lenient(b"-1"), Some(u64::MAX));
        for text in ["", " ", "+", "1 ", "18446744073709551616", "1.5"] {
            assert_eq!(parse_u64_lenient(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn memory_amounts() {
        let cases: [(&[u8], Option<u64>); 9] = [
            (b"100", Some(100)),
            (b"1k", Some(1000)),
            (b"1Kb", Some(1024)),
            (b"100mb", Some(100 << 20)),
            (b"1GB", Some(1 << 30)),
            (b"", Some(0)),
            (b"-1", None),
            (b"1tb", None),
            (b"99999999999999999999", Some(u64::MAX)),
        ];
        for (text, amount) in cases {
            assert_eq!(parse_memory(text), amount);
        }
    }
}
