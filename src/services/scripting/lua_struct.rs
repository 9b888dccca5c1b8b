//! The `struct` library of scripts: numbers and strings as bytes of a C struct (struct 0.2).
//!
//! A format is a row of options: `b` `h` `l` `i`*n* `T` are integers (upper case: unsigned), `f` `d` floats, `x` a byte
//! of padding, `c`*n* bytes, `s` a string that ends with a zero; `<` `>` are byte orders, `!`*n* an alignment.

use mlua::{BString, Either, Error, Lua, Result, Table, Value, Variadic};

use super::arguments::{self, MAX_STACK_SLOTS, argument_error, error, truncated, truncated_unsigned};

/// Largest integer, in bytes.
const MAX_INTEGER: usize = 32;
/// The alignment of `!` without a number.
const NATIVE_ALIGNMENT: usize = 8;

/// A format that is being read, with the byte order and alignment it has set so far.
struct Format<'f> {
    lua: &'f Lua,
    rest: &'f [u8],
    big_endian: bool,
    alignment: usize,
}

impl<'f> Format<'f> {
    fn new(lua: &'f Lua, format: &'f [u8]) -> Format<'f> {
        // A format ends at its first zero, as a string of C.
        let rest = format.split(|&byte| byte == 0).next().unwrap_or_default();
        Format { lua, rest, big_endian: false, alignment: 1 }
    }

    /// The next option and its size in bytes; 0 where it has none.
    fn next(&mut self) -> Result<Option<(u8, usize)>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > MAX_INTEGER {
                    let text = format!("integral size {size} is larger than limit of {MAX_INTEGER}");
                    return Err(error(self.lua, text));
                }
                size
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    /// The decimal number that comes next, up to the largest `int` of C.
    fn number(&mut self, default: usize) -> Result<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let value = digits
            .iter()
            .try_fold(0i32, |value, digit| value.checked_mul(10)?.checked_add(i32::from(digit - b'0')));
        value.map(|value| value as usize).ok_or_else(|| error(self.lua, "integral size overflow"))
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
    fn control(&mut self, option: u8) -> Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(NATIVE_ALIGNMENT)?;
                if !alignment.is_power_of_two() {
                    return Err(error(self.lua, format!("alignment {alignment} is not a power of 2")));
                }
                self.alignment = alignment;
            }
            _ => {
                let option = String::from_utf8_lossy(&[option]).into_owned();
                return Err(argument_error(self.lua, 1, format!("invalid format option '{option}'")));
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
fn pack(lua: &Lua, mut values: Variadic<Value>) -> Result<BString> {
    let format = arguments::string(lua, &values, 1)?;
    // The original leaves a nil behind the arguments: the first that is missing is `nil`, not `no value`.
    values.push(Value::Nil);
    let bytes = format.as_bytes();
    let mut format = Format::new(lua, &bytes);
    let mut packed = Vec::new();
    let mut next = 2;
    while let Some((option, size)) = format.next()? {
        packed.resize(packed.len() + format.padding(packed.len(), option, size), 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = arguments::number(lua, &values, next)?;
                let value = if number < 0.0 { truncated(number) as u64 } else { truncated_unsigned(number) };
                let mut little = [0; MAX_INTEGER];
                little[..8].copy_from_slice(&value.to_le_bytes());
                format.put(&mut packed, &little[..size]);
                next += 1;
            }
            b'x' => packed.push(0),
            b'f' => {
                format.put(&mut packed, &(arguments::number(lua, &values, next)? as f32).to_le_bytes());
                next += 1;
            }
            b'd' => {
                format.put(&mut packed, &arguments::number(lua, &values, next)?.to_le_bytes());
                next += 1;
            }
            b'c' | b's' => {
                let string = arguments::string(lua, &values, next)?;
                next += 1;
                let bytes = string.as_bytes();
                let size = if size == 0 { bytes.len() } else { size };
                if bytes.len() < size {
                    // The original counts one too many.
                    return Err(argument_error(lua, next, "string too short"));
                }
                packed.extend_from_slice(&bytes[..size]);
                if option == b's' {
                    packed.push(0);
                }
            }
            _ => format.control(option)?,
        }
    }
    Ok(packed.into())
}

/// What `unpack` returns: a number or bytes.
type Unpacked = Either<f64, BString>;

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

/// The size that a result before `c0` gives.
fn size_of_previous(lua: &Lua, results: &mut Vec<Unpacked>) -> Result<usize> {
    let number = match results.last() {
        Some(Either::Left(number)) => Some(*number),
        Some(Either::Right(bytes)) => lua.coerce_number(Value::String(lua.create_string(bytes)?))?,
        None => None,
    };
    let number = number.ok_or_else(|| error(lua, "format 'c0' needs a previous size"))?;
    results.pop();
    Ok(truncated_unsigned(number) as usize)
}

/// `struct.unpack(format, data [, position])`: the values, and the position behind them.
fn unpack(lua: &Lua, values: Variadic<Value>) -> Result<Variadic<Unpacked>> {
    let format = arguments::string(lua, &values, 1)?;
    let data = arguments::string(lua, &values, 2)?;
    let position = arguments::integer_or(lua, &values, 3, 1)? as usize;
    let data = data.as_bytes();
    let check = |position: usize, size: usize| match data.get(position..).and_then(|rest| rest.get(..size)) {
        Some(bytes) => Ok(bytes),
        None => Err(argument_error(lua, 2, "data string too short")),
    };
    let Some(mut position) = position.checked_sub(1) else {
        return Err(argument_error(lua, 3, "offset must be 1 or greater"));
    };
    let bytes = format.as_bytes();
    let mut format = Format::new(lua, &bytes);
    let mut results: Vec<Unpacked> = Vec::new();
    while let Some((option, mut size)) = format.next()? {
        position = position.wrapping_add(format.padding(position, option, size));
        let bytes = check(position, size)?;
        if values.len() + results.len() + 2 > MAX_STACK_SLOTS {
            return Err(error(lua, "stack overflow (too many results)"));
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = option.is_ascii_lowercase();
                results.push(Either::Left(integer(bytes, format.big_endian, signed)));
            }
            b'x' => {}
            b'f' => results.push(Either::Left(f64::from(f32::from_le_bytes(format.take(bytes))))),
            b'd' => results.push(Either::Left(f64::from_le_bytes(format.take(bytes)))),
            b'c' => {
                if size == 0 {
                    size = size_of_previous(lua, &mut results)?;
                }
                results.push(Either::Right(check(position, size)?.into()));
            }
            b's' => {
                let rest = check(position, data.len() - position)?;
                let end = memchr::memchr(0, rest).ok_or_else(|| error(lua, "unfinished string in data"))?;
                results.push(Either::Right(rest[..end].into()));
                size = end + 1;
            }
            _ => format.control(option)?,
        }
        position += size;
    }
    results.push(Either::Left(position.wrapping_add(1) as i64 as f64));
    Ok(results.into_iter().collect())
}

/// `struct.size(format)`.
fn size(lua: &Lua, values: Variadic<Value>) -> Result<f64> {
    let format = arguments::string(lua, &values, 1)?;
    let bytes = format.as_bytes();
    let mut format = Format::new(lua, &bytes);
    let mut position = 0usize;
    while let Some((option, size)) = format.next()? {
        position += format.padding(position, option, size);
        if option == b's' {
            return Err(argument_error(lua, 1, "option 's' has no fixed size"));
        } else if option == b'c' && size == 0 {
            return Err(argument_error(lua, 1, "option 'c0' has no fixed size"));
        }
        if !option.is_ascii_alphanumeric() {
            format.control(option)?;
        }
        position += size;
    }
    Ok(position as f64)
}

/// The library's table.
pub fn open(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    table.raw_set("size", lua.create_function(size)?)?;
    Ok::<_, Error>(table)
}
