//! The `struct` library of scripts: numbers and strings as bytes of a C struct (struct 0.2).
//!
//! A format is a row of options: `b` `h` `l` `i`*n* `T` are integers (upper case: unsigned), `f` `d` floats, `x` a byte
//! of padding, `c`*n* bytes, `s` a string that ends with a zero; `<` `>` are byte orders, `!`*n* an alignment.

use super::arguments::{self, MAX_STACK_SLOTS, raise, raise_argument, truncated, truncated_unsigned};
use crate::sys::lua::{Error, Native, Result, Stack};

/// Largest integer, in bytes.
const MAX_INTEGER: usize = 32;
/// The alignment of `!` without a number.
const NATIVE_ALIGNMENT: usize = 8;

/// A format that is being read, with the byte order and alignment it has set so far.
struct Format<'f> {
    rest: &'f [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'f> Format<'f> {
    fn new(format: &'f [u8]) -> Format<'f> {
        // A format ends at its first zero, as a string of C.
        let rest = format.split(|&byte| byte == 0).next().unwrap_or_default();
        Format { rest, big_endian: false, alignment: 1 }
    }

    /// The next option and its size in bytes; 0 where it has none.
    fn next(&mut self, stack: &mut Stack<'_>) -> Result<Option<(u8, usize)>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(stack, 1)?,
            b'i' | b'I' => {
                let size = self.number(stack, 4)?;
                if size > MAX_INTEGER {
                    let text = format!("integral size {size} is larger than limit of {MAX_INTEGER}");
                    return Err(raise(stack, text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    /// The decimal number that comes next, up to the largest `int` of C.
    fn number(&mut self, stack: &mut Stack<'_>, default: usize) -> Result<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let value = digits
            .iter()
            .try_fold(0i32, |value, digit| value.checked_mul(10)?.checked_add(i32::from(digit - b'0')));
        value.map(|value| value as usize).ok_or_else(|| raise(stack, "integral size overflow"))
    }

    /// Bytes of padding before an option of `size` bytes at `position`.
    fn padding(&self, position: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.alignment);
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// An option that is no value: byte order or alignment.
    fn control(&mut self, stack: &mut Stack<'_>, option: u8) -> Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(stack, NATIVE_ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return Err(raise(stack, format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
            }
            _ => {
                let text = [b"invalid format option '", &[option][..], b"'"].concat();
                return Err(raise_argument(stack, 1, text));
            }
        }
        Ok(())
    }

    /// Appends bytes that are in little endian, in the format's order.
    fn put(&self, packed: &mut Vec<u8>, little: &[u8]) {
        if self.big_endian {
            packed.extend(little.iter().rev());
        } else {
            packed.extend_from_slice(little);
        }
    }

    /// The bytes in little endian.
    fn take<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        let mut taken = [0; N];
        taken.copy_from_slice(&bytes[..N]);
        if self.big_endian {
            taken.reverse();
        }
        taken
    }
}

/// `struct.pack(format, ...)`.
fn pack(stack: &mut Stack<'_>) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, format| {
        // The original leaves a nil behind the arguments: the first that is missing is `nil`, not `no value`.
        stack.push_nil()?;
        let mut packed = stack.take_buffer();
        let result = pack_all(stack, format, &mut packed).and_then(|()| stack.push_text(&packed));
        stack.give_buffer(packed);
        result.map(|()| 1)
    })
}

fn pack_all(stack: &mut Stack<'_>, format: &[u8], packed: &mut Vec<u8>) -> Result<()> {
    let mut format = Format::new(format);
    let mut next = 2;
    while let Some((option, size)) = format.next(stack)? {
        if !stack.has_memory(packed.len()) {
            return Err(Error::Memory);
        }
        packed.resize(packed.len() + format.padding(packed.len(), option, size), 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = arguments::number_in(stack, next)?;
                let value = if number < 0.0 { truncated(number) as u64 } else { truncated_unsigned(number) };
                let mut little = [0; MAX_INTEGER];
                little[..8].copy_from_slice(&value.to_le_bytes());
                format.put(packed, &little[..size]);
                next += 1;
            }
            b'x' => packed.push(0),
            b'f' => {
                format.put(packed, &(arguments::number_in(stack, next)? as f32).to_le_bytes());
                next += 1;
            }
            b'd' => {
                format.put(packed, &arguments::number_in(stack, next)?.to_le_bytes());
                next += 1;
            }
            b'c' | b's' => {
                next += 1;
                arguments::with_string(stack, next - 1, |stack, bytes| {
                    let size = if size == 0 { bytes.len() } else { size };
                    if bytes.len() < size {
                        // The original counts one too many.
                        return Err(raise_argument(stack, next, "string too short"));
                    }
                    packed.extend_from_slice(&bytes[..size]);
                    Ok(())
                })?;
                if option == b's' {
                    packed.push(0);
                }
            }
            _ => format.control(stack, option)?,
        }
    }
    Ok(())
}

/// An integer of `bytes` as a number.
fn integer(bytes: &[u8], big_endian: bool, signed: bool) -> f64 {
    let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    let value = if big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) };
    if !signed {
        return value as f64;
    }
    // Sizes other than 1 to 8 bytes shift by what the processor makes of it.
    let sign = u64::MAX.wrapping_shl((bytes.len() as u32).wrapping_mul(8).wrapping_sub(1));
    (if value & sign == 0 { value } else { value | sign }) as i64 as f64
}

/// Takes the size that the result before `c0` gives; results begin behind the slot `base`.
fn take_size(stack: &mut Stack<'_>, base: usize) -> Result<usize> {
    let last = stack.count();
    match stack.as_number(last).filter(|_| last > base) {
        Some(number) => {
            stack.truncate(last - 1);
            Ok(truncated_unsigned(number) as usize)
        }
        None => Err(raise(stack, "format 'c0' needs a previous size")),
    }
}

/// `struct.unpack(format, data [, position])`: the values, and the position behind them.
fn unpack(stack: &mut Stack<'_>) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, format| {
        arguments::with_string(stack, 2, |stack, data| {
            let position = arguments::integer_in_or(stack, 3, 1)? as usize;
            match position.checked_sub(1) {
                Some(position) => unpack_all(stack, format, data, position),
                None => Err(raise_argument(stack, 3, "offset must be 1 or greater")),
            }
        })
    })
}

/// So many bytes of the data.
fn part<'d>(stack: &mut Stack<'_>, data: &'d [u8], position: usize, size: usize) -> Result<&'d [u8]> {
    let part = data.get(position..).and_then(|rest| rest.get(..size));
    part.ok_or_else(|| raise_argument(stack, 2, "data string too short"))
}

fn unpack_all(stack: &mut Stack<'_>, format: &[u8], data: &[u8], mut position: usize) -> Result<usize> {
    let base = stack.count();
    let mut format = Format::new(format);
    while let Some((option, mut size)) = format.next(stack)? {
        position = position.wrapping_add(format.padding(position, option, size));
        let bytes = part(stack, data, position, size)?;
        if stack.count() + 2 > MAX_STACK_SLOTS {
            return Err(raise(stack, "stack overflow (too many results)"));
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                stack.push_number(integer(bytes, format.big_endian, option.is_ascii_lowercase()))?;
            }
            b'x' => {}
            b'f' => stack.push_number(f64::from(f32::from_le_bytes(format.take(bytes))))?,
            b'd' => stack.push_number(f64::from_le_bytes(format.take(bytes)))?,
            b'c' => {
                if size == 0 {
                    size = take_size(stack, base)?;
                }
                let text = part(stack, data, position, size)?;
                stack.push_text(text)?;
            }
            b's' => {
                let rest = part(stack, data, position, data.len().saturating_sub(position))?;
                let end = memchr::memchr(0, rest).ok_or_else(|| raise(stack, "unfinished string in data"))?;
                stack.push_text(&rest[..end])?;
                size = end + 1;
            }
            _ => format.control(stack, option)?,
        }
        position += size;
    }
    stack.push_number(position.wrapping_add(1) as i64 as f64)?;
    Ok(stack.count() - base)
}

/// `struct.size(format)`.
fn size(stack: &mut Stack<'_>) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, format| {
        let mut format = Format::new(format);
        let mut position = 0usize;
        while let Some((option, size)) = format.next(stack)? {
            position += format.padding(position, option, size);
            if option == b's' {
                return Err(raise_argument(stack, 1, "option 's' has no fixed size"));
            } else if option == b'c' && size == 0 {
                return Err(raise_argument(stack, 1, "option 'c0' has no fixed size"));
            }
            if !option.is_ascii_alphanumeric() {
                format.control(stack, option)?;
            }
            position += size;
        }
        stack.push_number(position as f64)?;
        Ok(1)
    })
}

/// Pushes the library's table.
pub fn open(stack: &mut Stack<'_>) -> Result<()> {
    const FUNCTIONS: [(&str, Native); 3] = [("pack", pack), ("unpack", unpack), ("size", size)];
    stack.push_library(&FUNCTIONS)
}
