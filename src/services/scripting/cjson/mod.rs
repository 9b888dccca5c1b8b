//! The `cjson` library of scripts: JSON from Lua values and back (Lua CJSON 2.1.0 as Redis has it).

mod decode;
mod encode;

use super::arguments::{self, raise_argument};
use crate::sys::lua::{self, Kept, Kind, Native, Stack};

/// Why a value could not be encoded or decoded.
enum Failure {
    /// An error of the library: its text without a position.
    Text(String),
    Lua(lua::Error),
}

impl Failure {
    /// Raises it, at the place of the caller.
    fn raise(self, stack: &mut Stack<'_>) -> lua::Error {
        match self {
            Failure::Text(text) => arguments::raise(stack, text),
            Failure::Lua(error) => error,
        }
    }
}

impl From<lua::Error> for Failure {
    fn from(error: lua::Error) -> Failure {
        Failure::Lua(error)
    }
}

/// How numbers that JSON doesn't have are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InvalidNumbers {
    Refused,
    Written,
    Null,
}

/// The settings of one library, which its functions own in common; those of scripts are common to all scripts.
#[derive(Clone, Copy, Debug)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_max_depth: i32,
    decode_max_depth: i32,
    encode_invalid_numbers: InvalidNumbers,
    decode_invalid_numbers: bool,
    encode_keep_buffer: bool,
    number_precision: i32,
    array_metatable: bool,
    /// The metatable of arrays that have one.
    array_marker: Kept,
}

impl Settings {
    fn new(array_marker: Kept) -> Settings {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            encode_invalid_numbers: InvalidNumbers::Refused,
            decode_invalid_numbers: true,
            encode_keep_buffer: true,
            number_precision: 14,
            array_metatable: false,
            array_marker,
        }
    }

    /// Those of the running function's library.
    fn of(stack: &Stack<'_>) -> Settings {
        stack.own_data(0).unwrap_or_else(|| Settings::new(Kept::NONE))
    }
}

/// Refuses more than `most` arguments.
fn at_most(stack: &mut Stack<'_>, most: usize) -> lua::Result<()> {
    if stack.count() > most {
        return Err(raise_argument(stack, most + 1, "found too many arguments"));
    }
    Ok(())
}

/// Sets an integer if there is an argument for it, and returns what it is now.
fn set_integer(
    stack: &mut Stack<'_>,
    number: usize,
    setting: fn(&mut Settings) -> &mut i32,
    (least, most): (i32, i32),
) -> lua::Result<i32> {
    let mut settings = Settings::of(stack);
    if stack.kind(number) != Kind::Nil {
        let value = arguments::integer_in(stack, number)? as i32;
        if !(least..=most).contains(&value) {
            return Err(raise_argument(stack, 1, format!("expected integer between {least} and {most}")));
        }
        *setting(&mut settings) = value;
        stack.set_own_data(0, settings);
    }
    Ok(*setting(&mut settings))
}

/// Sets a switch if there is an argument for it, a boolean, `on` or `off`, and returns what it is now.
fn set_switch(
    stack: &mut Stack<'_>,
    number: usize,
    setting: fn(&mut Settings) -> &mut bool,
) -> lua::Result<bool> {
    let mut settings = Settings::of(stack);
    let on = match stack.kind(number) {
        Kind::Nil => return Ok(*setting(&mut settings)),
        Kind::Boolean => stack.boolean(number),
        _ => arguments::option_in(stack, number, &["off", "on"])? == 1,
    };
    *setting(&mut settings) = on;
    stack.set_own_data(0, settings);
    Ok(on)
}

/// `encode_invalid_numbers`: `off`, `on` or `null`.
fn encode_invalid_numbers(stack: &mut Stack<'_>) -> lua::Result<usize> {
    use InvalidNumbers::{Null, Refused, Written};
    at_most(stack, 1)?;
    let mut settings = Settings::of(stack);
    settings.encode_invalid_numbers = match stack.kind(1) {
        Kind::Nil => settings.encode_invalid_numbers,
        Kind::Boolean if stack.boolean(1) => Written,
        Kind::Boolean => Refused,
        _ => [Refused, Written, Null][arguments::option_in(stack, 1, &["off", "on", "null"])?],
    };
    stack.set_own_data(0, settings);
    match settings.encode_invalid_numbers {
        Refused => stack.push_boolean(false)?,
        Written => stack.push_boolean(true)?,
        Null => stack.push_text(b"null")?,
    }
    Ok(1)
}

/// `encode_sparse_array`.
fn encode_sparse_array(stack: &mut Stack<'_>) -> lua::Result<usize> {
    at_most(stack, 3)?;
    let convert = set_switch(stack, 1, |settings| &mut settings.sparse_convert)?;
    let ratio = set_integer(stack, 2, |settings| &mut settings.sparse_ratio, (0, i32::MAX))?;
    let safe = set_integer(stack, 3, |settings| &mut settings.sparse_safe, (0, i32::MAX))?;
    stack.push_boolean(convert)?;
    stack.push_number(f64::from(ratio))?;
    stack.push_number(f64::from(safe))?;
    Ok(3)
}

/// A function that sets an integer of 1 and more.
fn one_integer(
    stack: &mut Stack<'_>,
    setting: fn(&mut Settings) -> &mut i32,
    most: i32,
) -> lua::Result<usize> {
    at_most(stack, 1)?;
    let value = set_integer(stack, 1, setting, (1, most))?;
    stack.push_number(f64::from(value))?;
    Ok(1)
}

/// A function that sets a switch.
fn one_switch(stack: &mut Stack<'_>, setting: fn(&mut Settings) -> &mut bool) -> lua::Result<usize> {
    at_most(stack, 1)?;
    let on = set_switch(stack, 1, setting)?;
    stack.push_boolean(on)?;
    Ok(1)
}

/// The library's functions, which own its settings.
const FUNCTIONS: [(&str, Native); 11] = [
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", encode_sparse_array),
    ("encode_max_depth", |stack| one_integer(stack, |settings| &mut settings.encode_max_depth, i32::MAX)),
    ("decode_max_depth", |stack| one_integer(stack, |settings| &mut settings.decode_max_depth, i32::MAX)),
    ("encode_number_precision", |stack| one_integer(stack, |settings| &mut settings.number_precision, 14)),
    ("encode_keep_buffer", |stack| one_switch(stack, |settings| &mut settings.encode_keep_buffer)),
    ("encode_invalid_numbers", encode_invalid_numbers),
    ("decode_invalid_numbers", |stack| one_switch(stack, |settings| &mut settings.decode_invalid_numbers)),
    ("decode_array_with_array_mt", |stack| one_switch(stack, |settings| &mut settings.array_metatable)),
    ("new", |stack| {
        let marker = Settings::of(stack).array_marker;
        push_library(stack, marker)?;
        Ok(1)
    }),
];

/// Pushes the metatable by which the encoder knows an array, even an empty one. It is empty itself: what a script reads
/// in it comes from its own metatable, and what it writes is refused. The table that it is a view of.
fn push_array_marker(stack: &mut Stack<'_>) -> lua::Result<Kept> {
    stack.push_table(0, 0)?;
    stack.push_table(0, 3)?;
    let protection = stack.count();
    stack.push_table(0, 1)?;
    stack.push_boolean(true)?;
    stack.set_field(protection + 1, b"__is_cjson_array")?;
    stack.push_copy(protection + 1)?;
    let real = stack.keep()?;
    stack.set_field(protection, b"__index")?;
    stack
        .push_plain_function(0, |stack| Err(arguments::raise(stack, "Attempt to modify a readonly table")))?;
    stack.set_field(protection, b"__newindex")?;
    stack.push_boolean(false)?;
    stack.set_field(protection, b"__metatable")?;
    stack.set_metatable(protection - 1)?;
    Ok(real)
}

/// Pushes the library's table. A table of it that scripts can reach is a view of another one: its identity, and that one.
pub fn open(stack: &mut Stack<'_>) -> lua::Result<(usize, Kept)> {
    let real = push_array_marker(stack)?;
    let identity = stack.identity(stack.count());
    let marker = stack.keep()?;
    push_library(stack, marker)?;
    Ok((identity, real))
}

/// Pushes a table of the library with settings of its own.
fn push_library(stack: &mut Stack<'_>, array_marker: Kept) -> lua::Result<()> {
    stack.push_table(0, FUNCTIONS.len() + 3)?;
    let table = stack.count();
    stack.push_data(Settings::new(array_marker))?;
    for (name, function) in FUNCTIONS {
        stack.push_copy(table + 1)?;
        stack.push_plain_function(1, function)?;
        stack.set_field(table, name.as_bytes())?;
    }
    stack.truncate(table);
    stack.push_null()?;
    stack.set_field(table, b"null")?;
    for (name, text) in [("_NAME", "cjson"), ("_VERSION", "2.1.0")] {
        stack.push_text(text.as_bytes())?;
        stack.set_field(table, name.as_bytes())?;
    }
    Ok(())
}
