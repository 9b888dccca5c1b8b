//! The `cjson` library of scripts: JSON from Lua values and back (Lua CJSON 2.1.0 as Redis has it).

mod decode;
mod encode;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mlua::{Lua, Result, Table, Value, Variadic};

use super::arguments::{self, argument_error};
use crate::sys::lua::{self, Kept, Stack, State};

/// What an encoder's buffer keeps of its memory from one call to the next, in bytes.
const KEPT_BUFFER: usize = 64 << 10;

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

/// The settings of one library; those of scripts are common to all scripts.
#[derive(Debug)]
struct Settings {
    sparse_convert: Cell<bool>,
    sparse_ratio: Cell<i32>,
    sparse_safe: Cell<i32>,
    encode_max_depth: Cell<i32>,
    decode_max_depth: Cell<i32>,
    encode_invalid_numbers: Cell<InvalidNumbers>,
    decode_invalid_numbers: Cell<bool>,
    encode_keep_buffer: Cell<bool>,
    number_precision: Cell<i32>,
    array_metatable: Cell<bool>,
    /// The encoder's buffer between two calls, if it is kept.
    buffer: RefCell<Vec<u8>>,
    /// The metatable of arrays that have one.
    array_marker: Kept,
}

impl Settings {
    fn new(array_marker: Kept) -> Settings {
        Settings {
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_max_depth: Cell::new(1000),
            decode_max_depth: Cell::new(1000),
            encode_invalid_numbers: Cell::new(InvalidNumbers::Refused),
            decode_invalid_numbers: Cell::new(true),
            encode_keep_buffer: Cell::new(true),
            number_precision: Cell::new(14),
            array_metatable: Cell::new(false),
            buffer: RefCell::default(),
            array_marker,
        }
    }
}

/// Refuses more than `most` arguments.
fn at_most(lua: &Lua, values: &[Value], most: usize) -> Result<()> {
    if values.len() > most {
        return Err(argument_error(lua, most + 1, "found too many arguments"));
    }
    Ok(())
}

/// Sets an integer if there is an argument for it, and returns what it is now.
fn integer(
    lua: &Lua,
    values: &[Value],
    number: usize,
    setting: &Cell<i32>,
    least: i32,
    most: i32,
) -> Result<i32> {
    if !matches!(values.get(number - 1), None | Some(Value::Nil)) {
        let value = arguments::integer(lua, values, number)? as i32;
        if !(least..=most).contains(&value) {
            return Err(argument_error(lua, 1, format!("expected integer between {least} and {most}")));
        }
        setting.set(value);
    }
    Ok(setting.get())
}

/// Sets a switch if there is an argument for it, a boolean, `on` or `off`, and returns what it is now.
fn switch(lua: &Lua, values: &[Value], number: usize, setting: &Cell<bool>) -> Result<bool> {
    match values.get(number - 1) {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(on)) => setting.set(*on),
        Some(_) => setting.set(arguments::option(lua, values, number, &["off", "on"])? == 1),
    }
    Ok(setting.get())
}

/// `encode_invalid_numbers`: `off`, `on` or `null`.
fn encode_invalid_numbers(lua: &Lua, settings: &Settings, values: &[Value]) -> Result<Value> {
    use InvalidNumbers::{Null, Refused, Written};
    at_most(lua, values, 1)?;
    let setting = &settings.encode_invalid_numbers;
    match values.first() {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(on)) => setting.set(if *on { Written } else { Refused }),
        Some(_) => {
            setting.set([Refused, Written, Null][arguments::option(lua, values, 1, &["off", "on", "null"])?]);
        }
    }
    match setting.get() {
        Refused => Ok(Value::Boolean(false)),
        Written => Ok(Value::Boolean(true)),
        Null => Ok(Value::String(lua.create_string("null")?)),
    }
}

/// Adds the functions that read and change the settings.
fn add_settings(lua: &Lua, table: &Table, settings: &Rc<Settings>) -> Result<()> {
    let shared = settings.clone();
    let sparse = move |lua: &Lua, values: Variadic<Value>| {
        at_most(lua, &values, 3)?;
        let convert = switch(lua, &values, 1, &shared.sparse_convert)?;
        let ratio = integer(lua, &values, 2, &shared.sparse_ratio, 0, i32::MAX)?;
        Ok((convert, ratio, integer(lua, &values, 3, &shared.sparse_safe, 0, i32::MAX)?))
    };
    table.raw_set("encode_sparse_array", lua.create_function(sparse)?)?;

    let add_integer = |name: &str, setting: fn(&Settings) -> &Cell<i32>, most: i32| {
        let settings = settings.clone();
        let function = lua.create_function(move |lua, values: Variadic<Value>| {
            at_most(lua, &values, 1)?;
            integer(lua, &values, 1, setting(&settings), 1, most)
        })?;
        table.raw_set(name, function)
    };
    add_integer("encode_max_depth", |settings| &settings.encode_max_depth, i32::MAX)?;
    add_integer("decode_max_depth", |settings| &settings.decode_max_depth, i32::MAX)?;
    add_integer("encode_number_precision", |settings| &settings.number_precision, 14)?;

    let add_switch = |name: &str, setting: fn(&Settings) -> &Cell<bool>| {
        let settings = settings.clone();
        let function = lua.create_function(move |lua, values: Variadic<Value>| {
            at_most(lua, &values, 1)?;
            switch(lua, &values, 1, setting(&settings))
        })?;
        table.raw_set(name, function)
    };
    add_switch("encode_keep_buffer", |settings| &settings.encode_keep_buffer)?;
    add_switch("decode_invalid_numbers", |settings| &settings.decode_invalid_numbers)?;
    add_switch("decode_array_with_array_mt", |settings| &settings.array_metatable)?;

    let settings = settings.clone();
    let invalid = move |lua: &Lua, values: Variadic<Value>| encode_invalid_numbers(lua, &settings, &values);
    table.raw_set("encode_invalid_numbers", lua.create_function(invalid)?)
}

/// The metatable by which the encoder knows an array, even an empty one. It is empty itself: what a script reads
/// in it comes from its own metatable, and what it writes is refused.
fn array_marker(lua: &Lua) -> Result<Table> {
    let fields = lua.create_table()?;
    fields.raw_set("__is_cjson_array", true)?;
    let protection = lua.create_table()?;
    protection.raw_set("__index", fields)?;
    let refuse = |lua: &Lua, _: Variadic<Value>| -> Result<()> {
        Err(arguments::error(lua, "Attempt to modify a readonly table"))
    };
    protection.raw_set("__newindex", lua.create_function(refuse)?)?;
    protection.raw_set("__metatable", false)?;
    let marker = lua.create_table()?;
    marker.set_metatable(Some(protection))?;
    Ok(marker)
}

/// The library.
pub fn open(state: &State<'_>) -> Result<Table> {
    let lua = state.lua();
    library(lua, state.keep(array_marker(lua)?)?)
}

/// A table of the library with settings of its own.
fn library(lua: &Lua, array_marker: Kept) -> Result<Table> {
    let table = lua.create_table()?;
    let settings = Rc::new(Settings::new(array_marker));
    let shared = settings.clone();
    table.raw_set("encode", lua::function(lua, move |stack| encode::encode(&shared, stack))?)?;
    let shared = settings.clone();
    table.raw_set("decode", lua::function(lua, move |stack| decode::decode(&shared, stack))?)?;
    add_settings(lua, &table, &settings)?;
    table.raw_set("new", lua.create_function(move |lua, ()| library(lua, array_marker))?)?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}
