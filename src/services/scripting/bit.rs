//! The `bit` library of scripts: operations on 32-bit integers (Lua BitOp 1.0.2).

use super::arguments;
use crate::sys::lua::{Native, Result, Stack};

/// An argument reduced to 32 bits: added to 2^52 + 2^51, a double has its integer in its lowest bits.
fn bits(stack: &mut Stack<'_>, number: usize) -> Result<u32> {
    const TO_LOWEST_BITS: f64 = 6_755_399_441_055_744.0;
    Ok((arguments::number_in(stack, number)? + TO_LOWEST_BITS).to_bits() as u32)
}

/// Returns the bits as a signed number.
fn give(stack: &mut Stack<'_>, bits: u32) -> Result<usize> {
    stack.push_number(f64::from(bits as i32))?;
    Ok(1)
}

/// `bit.tohex`: as many lowercase digits as the second argument says, uppercase ones if it is negative.
fn to_hex(stack: &mut Stack<'_>) -> Result<usize> {
    let value = bits(stack, 1)?;
    let digits = if stack.count() < 2 { 8 } else { bits(stack, 2)? as i32 };
    let count = digits.unsigned_abs().min(8) as usize;
    let all = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    stack.push_text(&all.as_bytes()[8 - count..])?;
    Ok(1)
}

fn fold(stack: &mut Stack<'_>, operation: impl Fn(u32, u32) -> u32) -> Result<usize> {
    let mut value = bits(stack, 1)?;
    // From the last to the second: of two wrong arguments the later one is named.
    for number in (2..=stack.count()).rev() {
        value = operation(value, bits(stack, number)?);
    }
    give(stack, value)
}

fn shift(stack: &mut Stack<'_>, operation: impl Fn(u32, u32) -> u32) -> Result<usize> {
    let value = bits(stack, 1)?;
    let count = bits(stack, 2)? & 31;
    give(stack, operation(value, count))
}

fn map(stack: &mut Stack<'_>, operation: impl Fn(u32) -> u32) -> Result<usize> {
    let value = bits(stack, 1)?;
    give(stack, operation(value))
}

/// The library's functions.
const FUNCTIONS: [(&str, Native); 12] = [
    ("tobit", |stack| map(stack, |value| value)),
    ("bnot", |stack| map(stack, |value| !value)),
    ("bswap", |stack| map(stack, u32::swap_bytes)),
    ("band", |stack| fold(stack, |left, right| left & right)),
    ("bor", |stack| fold(stack, |left, right| left | right)),
    ("bxor", |stack| fold(stack, |left, right| left ^ right)),
    ("lshift", |stack| shift(stack, |value, count| value << count)),
    ("rshift", |stack| shift(stack, |value, count| value >> count)),
    ("arshift", |stack| shift(stack, |value, count| (value as i32 >> count) as u32)),
    ("rol", |stack| shift(stack, u32::rotate_left)),
    ("ror", |stack| shift(stack, u32::rotate_right)),
    ("tohex", to_hex),
];

/// Pushes the library's table.
pub fn open(stack: &mut Stack<'_>) -> Result<()> {
    stack.push_library(&FUNCTIONS)
}
