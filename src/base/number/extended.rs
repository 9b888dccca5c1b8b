//! 80-bit floats in software, for INCRBYFLOAT and HINCRBYFLOAT: a 64-bit significand and a 15-bit
//! exponent, as x87 registers and C's `long double` on x86-64 have them. Parsing and adding round to
//! nearest, ties to even; printing is C's `%.17Lf` with the trailing zeros cut off.
//!
//!     value = ± significand · 2^exponent       normal: bit 63 set; denormal: exponent = -16445
//!
//! Numbers of ordinary size are parsed, added and printed in 128-bit integers; only texts of more than 19
//! digits and exponents beyond 10^±27 need a [`Bignum`].
//!
//! Not here: any other arithmetic, NaN as a value.

use super::bignum::Bignum;
use super::push_u64;

/// The exponent of a denormal and of the smallest normal number.
const MIN_EXPONENT: i32 = -16445;
/// The exponent of the largest numbers.
const MAX_EXPONENT: i32 = 16320;
/// The longest text that is parsed, in bytes.
const MAX_TEXT: usize = 5 * 1024 - 1;
/// As many digits always fit a `u64`.
const SAFE_DIGITS: usize = 19;
/// 5^27 is the last power of five in 63 bits, which the division by it needs.
const SMALL_POWER: i32 = 27;

/// An 80-bit float; not NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    infinite: bool,
    significand: u64,
    exponent: i32,
}

impl Extended {
    const ZERO: Extended =
        Extended { negative: false, infinite: false, significand: 0, exponent: MIN_EXPONENT };

    /// Parses a whole text as `strtold` does, without white space and NaN. Overflow, and underflow
    /// to zero, are `None`; `inf` is accepted.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return None;
        }
        let (negative, body) = split_sign(text);
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended { negative, infinite: true, ..Self::ZERO });
        }
        let magnitude = match body {
            [b'0', b'x' | b'X', hex @ ..] => {
                let parts = parse_hex(hex)?;
                if parts.significand == 0 {
                    return Some(Extended { negative, ..Self::ZERO });
                }
                assemble(parts.significand, parts.exponent, parts.sticky)
            }
            _ => parse_decimal(body)?,
        };
        let underflows = magnitude.significand == 0 && body.iter().any(|byte| (b'1'..=b'9').contains(byte));
        let underflows = underflows && !is_decimal_zero(body);
        (!magnitude.infinite && !underflows).then_some(Extended { negative, ..magnitude })
    }

    /// The exact conversion of `value`: every `i64` fits.
    pub fn from_i64(value: i64) -> Extended {
        let magnitude = assemble(u128::from(value.unsigned_abs()), 0, false);
        Extended { negative: value < 0, ..magnitude }
    }

    /// Whether this is neither of the infinities.
    pub fn is_finite(self) -> bool {
        !self.infinite
    }

    /// The sum, or `None` if it is infinite or not a number.
    pub fn checked_add(self, other: Extended) -> Option<Extended> {
        if self.infinite || other.infinite {
            return None;
        }
        let (large, small) = if (self.exponent, self.significand) >= (other.exponent, other.significand) {
            (self, other)
        } else {
            (other, self)
        };
        // 63 bits of room below the significand, one above for the carry.
        let base = u128::from(large.significand) << 63;
        let addend = u128::from(small.significand) << 63;
        let distance = (large.exponent - small.exponent) as u32;
        let shifted = addend.checked_shr(distance).unwrap_or(0);
        let sticky = shifted.checked_shl(distance).unwrap_or(0) != addend;
        let sum = if large.negative == small.negative {
            base + shifted
        } else {
            base - shifted - u128::from(sticky)
        };
        if sum == 0 {
            // Equal signs here mean two zeros.
            return Some(Extended { negative: self.negative && other.negative, ..Self::ZERO });
        }
        let magnitude = assemble(sum, large.exponent - 63, sticky);
        (!magnitude.infinite).then_some(Extended { negative: large.negative, ..magnitude })
    }

    /// Appends the number in full, without exponent, with at most 17 digits after the point and no trailing
    /// zeros. An infinity is `inf` or `-inf`.
    pub fn push_text(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        if self.infinite {
            return out.extend_from_slice(b"inf");
        }
        let fraction = if self.exponent >= 0 {
            Bignum::from(self.significand).shifted(self.exponent as usize).push_decimal(out);
            0
        } else {
            let (whole, fraction) = self.split();
            push_u128(out, whole);
            fraction
        };
        if fraction != 0 {
            let mut digits = *b".00000000000000000";
            let mut rest = fraction;
            for digit in digits[1..].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            let kept = digits.len() - digits.iter().rev().take_while(|digit| **digit == b'0').count();
            out.extend_from_slice(&digits[..kept]);
        } else if out[start..] == *b"-0" {
            out.remove(start);
        }
    }

    /// The whole part, and the fraction in units of 10^-17, for a negative exponent.
    fn split(self) -> (u128, u128) {
        const UNIT: u128 = 100_000_000_000_000_000;
        let down = self.exponent.unsigned_abs();
        let significand = u128::from(self.significand);
        let whole = significand.checked_shr(down).unwrap_or(0);
        let below = significand - whole.checked_shl(down).unwrap_or(0);
        let scaled = below * UNIT;
        let fraction = scaled.checked_shr(down).unwrap_or(0);
        // Below 2^-3 units nothing is left to round.
        let round_up = down < 128 && {
            let (rest, half) = (scaled - (fraction << down), 1u128 << (down - 1));
            rest > half || (rest == half && fraction % 2 == 1)
        };
        let fraction = fraction + u128::from(round_up);
        if fraction == UNIT { (whole + 1, 0) } else { (whole, fraction) }
    }
}

fn push_u128(out: &mut Vec<u8>, value: u128) {
    match u64::try_from(value) {
        Ok(small) => push_u64(out, small),
        Err(_) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
    }
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Rounds `bits` · 2^`exponent` (a little more if `sticky`) to the format, as a positive number.
/// `bits` must not be 0.
fn assemble(bits: u128, exponent: i32, sticky: bool) -> Extended {
    let Some((significand, exponent)) = round_to(64, MIN_EXPONENT, bits, exponent, sticky) else {
        return Extended::ZERO;
    };
    if exponent > MAX_EXPONENT {
        return Extended { infinite: true, ..Extended::ZERO };
    }
    // A whole number may come in few bits: bit 63 is where they belong.
    let up = significand.leading_zeros().min((exponent - MIN_EXPONENT) as u32);
    Extended {
        negative: false,
        infinite: false,
        significand: significand << up,
        exponent: exponent - up as i32,
    }
}

/// Rounds to `width` bits whose last has at least the exponent `floor`; ties to even. `None` is zero.
fn round_to(width: u32, floor: i32, bits: u128, exponent: i32, sticky: bool) -> Option<(u64, i32)> {
    let used = 128 - bits.leading_zeros();
    let surplus = used.saturating_sub(width) as i32;
    let drop = surplus.max(floor.saturating_sub(exponent)).max(0);
    if drop > 128 || bits == 0 {
        return None;
    }
    let drop = drop as u32;
    let kept = bits.checked_shr(drop).unwrap_or(0);
    let rest = bits - kept.checked_shl(drop).unwrap_or(0);
    let half = if drop == 0 { 0 } else { 1u128 << (drop - 1) };
    let up = drop > 0 && (rest > half || (rest == half && (sticky || kept % 2 == 1)));
    let rounded = kept + u128::from(up);
    let exponent = exponent + drop as i32;
    // A carry out of the top leaves a power of two.
    if rounded >> width != 0 {
        return Some(((rounded >> 1) as u64, exponent + 1));
    }
    (rounded != 0).then_some((rounded as u64, exponent))
}

/// Whether all digits before the exponent are zeros.
fn is_decimal_zero(body: &[u8]) -> bool {
    let mantissa = body.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or(body);
    !mantissa.iter().any(|byte| (b'1'..=b'9').contains(byte))
}

/// `digits [. digits] [e [sign] digits]`, at least one digit before the exponent.
fn parse_decimal(body: &[u8]) -> Option<Extended> {
    let mut digits = Vec::new();
    let mut head = 0u64;
    let mut count = 0;
    let mut point = None;
    let mut seen = 0;
    let mut rest = body;
    while let [byte, tail @ ..] = rest {
        match byte {
            b'0'..=b'9' => {
                seen += 1;
                if count < SAFE_DIGITS {
                    head = head * 10 + u64::from(byte - b'0');
                    count += usize::from(head != 0);
                } else {
                    digits.push(byte - b'0');
                }
            }
            b'.' if point.is_none() => point = Some(seen),
            _ => break,
        }
        rest = tail;
    }
    if seen == 0 {
        return None;
    }
    let fraction = point.map_or(0, |point| seen - point);
    let exponent = parse_exponent(rest, b'e')? - fraction;
    if head == 0 {
        return Some(Extended::ZERO);
    }
    if digits.is_empty() && exponent.abs() <= SMALL_POWER {
        return Some(scale_small(head, exponent));
    }
    Some(scale_large(head, &digits, exponent))
}

/// The exponent after the letter, clamped; 0 if there is none. `None` if something else follows.
fn parse_exponent(text: &[u8], letter: u8) -> Option<i32> {
    let [first, rest @ ..] = text else { return Some(0) };
    if first.to_ascii_lowercase() != letter {
        return None;
    }
    let (negative, digits) = split_sign(rest);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i32;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = (value * 10 + i32::from(digit)).min(1_000_000);
    }
    Some(if negative { -value } else { value })
}

/// `head` · 10^`power` for a power of at most ±27, exactly rounded: 10^n = 5^n · 2^n.
fn scale_small(head: u64, power: i32) -> Extended {
    let five = 5u128.pow(power.unsigned_abs());
    if power >= 0 {
        return assemble(u128::from(head) * five, power, false);
    }
    let up = head.leading_zeros() + 64;
    let dividend = u128::from(head) << up;
    assemble(dividend / five, power - up as i32, !dividend.is_multiple_of(five))
}

/// Any decimal number, by long arithmetic.
fn scale_large(head: u64, digits: &[u8], power: i32) -> Extended {
    // Beyond, the result over- or underflows; within, the bignum has at most a few hundred limbs.
    let magnitude = power + digits.len() as i32 + SAFE_DIGITS as i32;
    if magnitude > 4960 {
        return Extended { infinite: true, ..Extended::ZERO };
    }
    if magnitude < -4960 {
        return Extended::ZERO;
    }
    let mut number = Bignum::from(head);
    for chunk in digits.chunks(9) {
        let value = chunk.iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
        number.multiply_add(10u32.pow(chunk.len() as u32), value);
    }
    if power >= 0 {
        number.multiply_power_of_five(power as u32);
        let (bits, exponent, sticky) = number.top_bits();
        return assemble(bits, exponent + power, sticky);
    }
    let mut divisor = Bignum::from(1);
    divisor.multiply_power_of_five(power.unsigned_abs());
    let (bits, exponent) = number.divide_to_bits(divisor);
    // The quotient's lowest bit includes its sticky bit.
    assemble(bits, exponent + power, false)
}

struct HexParts {
    significand: u128,
    exponent: i32,
    sticky: bool,
}

/// Parses the text behind `0x`: `hex [. hex] [p [sign] digits]`, at least one digit.
fn parse_hex(text: &[u8]) -> Option<HexParts> {
    let mut parts = HexParts { significand: 0, exponent: 0, sticky: false };
    let mut point = false;
    let mut seen = false;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        if *byte == b'.' && !point {
            point = true;
        } else if let Some(digit) = char::from(*byte).to_digit(16) {
            seen = true;
            let full = parts.significand >> 120 != 0;
            if full {
                parts.sticky |= digit != 0;
            } else {
                parts.significand = parts.significand << 4 | u128::from(digit);
            }
            parts.exponent += 4 * (i32::from(full) - i32::from(point));
        } else {
            break;
        }
        rest = tail;
    }
    if !seen {
        return None;
    }
    parts.exponent += parse_exponent(rest, b'p')?;
    Some(parts)
}

/// A signed hexadecimal text as a double; `None` if it overflows or underflows to zero.
pub(super) fn parse_hex_f64(text: &[u8]) -> Option<f64> {
    let (negative, body) = split_sign(text);
    let [b'0', b'x' | b'X', hex @ ..] = body else { return None };
    let parts = parse_hex(hex)?;
    let sign = if negative { -1.0 } else { 1.0 };
    if parts.significand == 0 {
        return Some(sign * 0.0);
    }
    let (bits, exponent) = round_to(53, -1074, parts.significand, parts.exponent, parts.sticky)?;
    // The bits are shifted until the exponent is within a double's range: that is exact in both directions.
    let up = bits.leading_zeros().min(63);
    if exponent + 63 - up as i32 > 1023 {
        return None;
    }
    let half = exponent / 2;
    Some(sign * bits as f64 * 2f64.powi(half) * 2f64.powi(exponent - half))
}

#[cfg(test)]
#[path = "extended_tests.rs"]
mod tests;
