//! Doubles as text: parses scores and floats, and formats them shortest, as replies, scores
//! and dumps have them.
//!
//! The short form is Grisu2 (F. Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with
//! Integers", PLDI 2010): it always reads back as the same double, and is the shortest such text but for
//! one double in a few hundred. Clients compare texts, so those few must be the ones that Redis writes; the
//! standard library's always-shortest form would differ (1e23 is `99999999999999990000000` here).
//!
//! Not here: the 80-bit floats of INCRBYFLOAT ([`super::Extended`]).

use super::extended;
use super::{is_c_space, parse_i64, push_i64};

/// Parses a whole text as a double: decimal or hexadecimal, `inf` and `infinity` in any case, signs.
/// NaN, white space, overflow and underflow to zero are `None`.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    if let Some(integer) = short_integer(text) {
        return Some(integer);
    }
    match parse_decimal(text) {
        Some(Parsed { underflowed: false, overflowed: false, value }) => Some(value),
        Some(_) => None,
        None => extended::parse_hex_f64(text),
    }
}

/// Parses one end of a score range. Looser than [`parse_f64`]: the text ends at a NUL, an empty text is
/// 0, and numbers out of range become infinite or zero; but no hexadecimal.
pub fn parse_f64_bound(text: &[u8]) -> Option<f64> {
    if let Some(integer) = short_integer(text) {
        return Some(integer);
    }
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    if end == 0 {
        return Some(0.0);
    }
    parse_decimal(&text[..end]).map(|parsed| parsed.value)
}

/// Parses an integer that a double holds exactly.
#[inline]
fn short_integer(text: &[u8]) -> Option<f64> {
    if text.len() > 15 { None } else { parse_i64(text).map(|integer| integer as f64) }
}

struct Parsed {
    value: f64,
    overflowed: bool,
    underflowed: bool,
}

fn parse_decimal(text: &[u8]) -> Option<Parsed> {
    if text.first().is_none_or(|byte| is_c_space(*byte)) {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if value.is_nan() {
        return None;
    }
    let has = |wanted: std::ops::RangeInclusive<u8>| {
        let mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
        mantissa.clone().any(|byte| wanted.contains(byte))
    };
    Some(Parsed {
        value,
        overflowed: value.is_infinite() && has(b'0'..=b'9'),
        underflowed: value == 0.0 && has(b'1'..=b'9'),
    })
}

/// `value` as an integer, if it is one within ±2^62, where the conversion is exact in both directions.
#[inline]
pub fn exact_integer(value: f64) -> Option<i64> {
    const EDGE: f64 = (i64::MAX / 2) as f64;
    if !(-EDGE..=EDGE).contains(&value) {
        return None;
    }
    let integer = value as i64;
    (integer as f64 == value).then_some(integer)
}

/// Appends `value` as replies and scores show it: `3`, `3.5`, `1e+20`, `-0`, `inf`, `nan`.
pub fn push_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if let Some(integer) = exact_integer(value) {
        push_i64(out, integer);
    } else {
        if value < 0.0 {
            out.push(b'-');
        }
        let mut digits = [0; 20];
        let (count, exponent) = shortest_digits(value.abs(), &mut digits);
        lay_out(out, &digits[..count], exponent, value < 0.0);
    }
}

/// Appends `value` with `precision` significant digits as C's `%.*g`: 17 for exactness, 14 in Lua.
pub fn push_general(out: &mut Vec<u8>, value: f64, precision: usize) {
    if !value.is_finite() {
        return out.extend_from_slice(match (value.is_nan(), value < 0.0) {
            (true, _) if value.is_sign_negative() => b"-nan",
            (true, _) => b"nan",
            (false, true) => b"-inf",
            (false, false) => b"inf",
        });
    }
    let precision = precision.max(1);
    let scientific = format!("{value:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        out.extend_from_slice(trim_fraction(mantissa).as_bytes());
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        push_i64(out, i64::from(exponent.abs()));
    } else {
        let places = (precision as i32 - 1 - exponent) as usize;
        out.extend_from_slice(trim_fraction(&format!("{value:.places$}")).as_bytes());
    }
}

/// Appends `value` with exactly `places` digits after the point (1 to 17), rounded by way of a 64-bit
/// integer as distances in replies are: half to even on the scaled double.
pub fn push_fixed(out: &mut Vec<u8>, value: f64, places: usize) {
    let scaled = (value * 10f64.powi(places as i32)).round_ties_even() as i64;
    if scaled < 0 {
        out.push(b'-');
    }
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(scaled.unsigned_abs());
    let padding = (places + 1).saturating_sub(digits.len());
    let start = out.len();
    out.resize(start + padding, b'0');
    out.extend_from_slice(digits.as_bytes());
    out.insert(out.len() - places, b'.');
}

fn trim_fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Formats `digits` × 10^`exponent` with point, zeros or exponent.
fn lay_out(out: &mut Vec<u8>, digits: &[u8], exponent: i32, negative: bool) {
    let count = digits.len() as i32;
    let magnitude = (exponent + count - 1).abs();
    if exponent >= 0 && magnitude < count + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + exponent as usize, b'0');
    } else if exponent < 0 && (exponent > -7 || magnitude < 4) {
        let point = count + exponent;
        if point > 0 {
            out.extend_from_slice(&digits[..point as usize]);
            out.push(b'.');
            out.extend_from_slice(&digits[point as usize..]);
        } else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + (-point) as usize, b'0');
            out.extend_from_slice(digits);
        }
    } else {
        let digits = &digits[..digits.len().min(18 - usize::from(negative))];
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = exponent + digits.len() as i32 - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        push_i64(out, i64::from(magnitude));
    }
}

/// A float with a 64-bit significand: `significand` × 2^`exponent`.
#[derive(Clone, Copy)]
struct Wide {
    significand: u64,
    exponent: i32,
}

impl Wide {
    fn normalized(self) -> Wide {
        let shift = self.significand.leading_zeros();
        Wide { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product's upper 64 bits, rounded to nearest.
    fn times(self, other: Wide) -> Wide {
        let product = u128::from(self.significand) * u128::from(other.significand);
        Wide {
            significand: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

/// The decimal digits of a positive finite `value` and the power of ten of the last one.
fn shortest_digits(value: f64, digits: &mut [u8; 20]) -> (usize, i32) {
    const HIDDEN: u64 = 1 << 52;
    let bits = value.to_bits();
    let (fraction, biased) = (bits & (HIDDEN - 1), (bits >> 52) as i32);
    let own = if biased == 0 {
        Wide { significand: fraction, exponent: -1074 }
    } else {
        Wide { significand: fraction | HIDDEN, exponent: biased - 1075 }
    };
    // The neighbours' midpoints: every number between them reads back as `value`.
    let upper = Wide { significand: own.significand * 2 + 1, exponent: own.exponent - 1 }.normalized();
    let down = if own.significand == HIDDEN { 2 } else { 1 };
    let lower = Wide { significand: (own.significand << down) - 1, exponent: own.exponent - down };
    let lower = Wide {
        significand: lower.significand << (lower.exponent - upper.exponent),
        exponent: upper.exponent,
    };
    let (power, decimal_exponent) = power_near(upper.exponent);
    let own = own.normalized().times(power);
    let mut upper = upper.times(power);
    let mut lower = lower.times(power);
    // One unit of safety on both sides for the rounding of the products.
    upper.significand -= 1;
    lower.significand += 1;
    let (count, extra) = digits_between(own, upper, upper.significand - lower.significand, digits);
    (count, extra - decimal_exponent)
}

/// Digits of `upper` until what is left lies within `delta`, the last one then moved towards `own`.
fn digits_between(own: Wide, upper: Wide, mut delta: u64, digits: &mut [u8; 20]) -> (usize, i32) {
    let distance = upper.significand - own.significand;
    let shift = -upper.exponent as u32;
    let mask = (1u64 << shift) - 1;
    let mut whole = upper.significand >> shift;
    let mut part = upper.significand & mask;
    let mut count = 0;
    let mut left = 10;
    let mut unit = 1_000_000_000u64;
    while left > 0 {
        let digit = whole / unit;
        whole %= unit;
        if digit != 0 || count != 0 {
            digits[count] = b'0' + digit as u8;
            count += 1;
        }
        left -= 1;
        let rest = (whole << shift) + part;
        if rest <= delta {
            approach(&mut digits[count.saturating_sub(1)], delta, rest, unit << shift, distance);
            return (count, left);
        }
        unit /= 10;
    }
    let mut scale = 1u64;
    loop {
        part *= 10;
        delta *= 10;
        scale = scale.wrapping_mul(10);
        left -= 1;
        let digit = part >> shift;
        if digit != 0 || count != 0 {
            digits[count] = b'0' + digit as u8;
            count += 1;
        }
        part &= mask;
        if part < delta {
            let distance = distance.wrapping_mul(scale);
            approach(&mut digits[count.saturating_sub(1)], delta, part, mask + 1, distance);
            return (count, left);
        }
    }
}

/// Decrements the last digit while the number comes nearer to the exact one and stays within the interval.
fn approach(last: &mut u8, delta: u64, mut rest: u64, unit: u64, distance: u64) {
    while rest < distance
        && delta - rest >= unit
        && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        *last -= 1;
        rest += unit;
    }
}

/// The power of ten that brings a significand of exponent `binary` to one in -60..=-32, and its decimal exponent.
fn power_near(binary: i32) -> (Wide, i32) {
    // Two entries of the table may fit; this first guess decides between them.
    let guess = (f64::from(-(binary + POWERS.len() as i32)) * 0.301_029_995_663_981_14) as i32;
    let mut index = (guess - FIRST_POWER) / POWER_STEP;
    loop {
        let decimal = FIRST_POWER + index * POWER_STEP;
        // floor(decimal · log2(10)) - 63, exact over the table's range.
        let exponent = ((decimal * 1_741_647) >> 19) - 63;
        let reached = binary + exponent + 64;
        if reached < -60 {
            index += 1;
        } else if reached > -32 {
            index -= 1;
        } else {
            return (Wide { significand: POWERS[index as usize], exponent }, decimal);
        }
    }
}

const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// 10^-348, 10^-340 … 10^340 as 64-bit significands, rounded to nearest.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76, 0xcf42894a5dce35ea,
    0x9a6bb0aa55653b2d, 0xe61acf033d1a45df, 0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f,
    0xbe5691ef416bd60c, 0x8dd01fad907ffc3c, 0xd3515c2831559a83, 0x9d71ac8fada6c9b5,
    0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57, 0xc21094364dfb5637,
    0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5,
    0xb23867fb2a35b28e, 0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996,
    0xdbac6c247d62a584, 0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8,
    0x87625f056c7c4a8b, 0xc9bcff6034c13053, 0x964e858c91ba2655, 0xdff9772470297ebd,
    0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
    0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3,
    0xfd87b5f28300ca0e, 0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c,
    0x9c40000000000000, 0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984,
    0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068, 0x9f4f2726179a2245,
    0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db, 0xc45d1df942711d9a,
    0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
    0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3,
    0xde469fbd99a05fe3, 0xa59bc234db398c25, 0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece,
    0x88fcf317f22241e2, 0xcc20ce9bd35c78a5, 0x98165af37b2153df, 0xe2a0b5dc971f303a,
    0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410, 0x8bab8eefb6409c1a,
    0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429,
    0x80444b5e7aa7cf85, 0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841,
    0x9e19db92b4e31ba9, 0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
];

#[cfg(test)]
#[path = "double_tests.rs"]
mod tests;
