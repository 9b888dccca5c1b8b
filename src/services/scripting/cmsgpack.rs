//! The `cmsgpack` library of scripts: Lua values as MessagePack and back (lua-cmsgpack 0.4.0).

use mlua::{BString, Either, Error, Lua, Result, Table, Value, Variadic};

use super::arguments::{self, MAX_STACK_SLOTS, argument_error, error, truncated};

/// Tables deeper than that are packed as nil.
const MAX_NESTING: usize = 16;
/// Longest packed string, in bytes; tables that refer to themselves would make it longer than any memory.
const MAX_OUTPUT: usize = 512 << 20;
/// Items for which a table has room before it has them, at most.
const MAX_PRESIZED: usize = 1024;

/// Appends a head: one byte where `small` has room for the length, else the first of `heads` whose 1, 2 or 4 bytes do.
fn put_head(packed: &mut Vec<u8>, length: usize, small: Option<u8>, heads: [Option<u8>; 3]) {
    if let Some(head) = small {
        return packed.push(head | length as u8);
    }
    let bytes = (length as u32).to_be_bytes();
    match heads {
        [Some(head), ..] if length <= 0xff => packed.extend_from_slice(&[head, bytes[3]]),
        [_, Some(head), _] if length <= 0xffff => packed.extend_from_slice(&[head, bytes[2], bytes[3]]),
        [.., head] => {
            packed.extend(head);
            packed.extend_from_slice(&bytes);
        }
    }
}

fn put_string(packed: &mut Vec<u8>, string: &[u8]) {
    let small = (string.len() < 32).then_some(0xa0);
    put_head(packed, string.len(), small, [Some(0xd9), Some(0xda), Some(0xdb)]);
    packed.extend_from_slice(string);
}

fn put_integer(packed: &mut Vec<u8>, integer: i64) {
    if (-32..=127).contains(&integer) {
        return packed.push(integer as u8);
    }
    let bytes = integer.to_be_bytes();
    let (head, length) = match integer {
        0..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..=-1 => (0xd0, 1),
        -0x8000..=-0x81 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        ..=-0x8000_0001 => (0xd3, 8),
    };
    packed.push(head);
    packed.extend_from_slice(&bytes[8 - length..]);
}

fn put_number(packed: &mut Vec<u8>, number: f64) {
    let integer = truncated(number);
    if integer as f64 == number && number < 9_223_372_036_854_775_808.0 {
        put_integer(packed, integer);
    } else if f64::from(number as f32) == number {
        packed.push(0xca);
        packed.extend_from_slice(&(number as f32).to_be_bytes());
    } else {
        packed.push(0xcb);
        packed.extend_from_slice(&number.to_be_bytes());
    }
}

fn put_value(packed: &mut Vec<u8>, value: &Value, level: usize) -> Result<()> {
    if packed.len() > MAX_OUTPUT {
        return Err(Error::MemoryError("not enough memory".to_string()));
    }
    match value {
        Value::String(string) => put_string(packed, &string.as_bytes()),
        Value::Boolean(value) => packed.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(integer) => put_integer(packed, *integer),
        Value::Number(number) => put_number(packed, *number),
        Value::Table(table) if level < MAX_NESTING => return put_table(packed, table, level),
        _ => packed.push(0xc0),
    }
    Ok(())
}

/// Whether the keys are 1 to their number, and what that number is.
fn keys(table: &Table) -> Result<(bool, usize)> {
    let (mut array, mut last, mut count) = (true, 0i32, 0usize);
    if table.raw_len() == 0 {
        // There is no key 1: the keys need only be counted, which takes no handles.
        table.for_each(|_: bool, _: bool| {
            count += 1;
            Ok(())
        })?;
        return Ok((count == 0, count));
    }
    table.for_each(|key: Value, _: bool| {
        count += 1;
        match key {
            Value::Integer(index) if index > 0 && index <= i64::from(i32::MAX) => {
                last = last.max(index as i32)
            }
            _ => array = false,
        }
        Ok(())
    })?;
    Ok((array && last as usize == count, count))
}

fn put_table(packed: &mut Vec<u8>, table: &Table, level: usize) -> Result<()> {
    let (array, count) = keys(table)?;
    let small = count <= 15;
    if array {
        put_head(packed, count, small.then_some(0x90), [None, Some(0xdc), Some(0xdd)]);
        return (1..=count).try_for_each(|index| put_value(packed, &table.raw_get(index)?, level + 1));
    }
    put_head(packed, count, small.then_some(0x80), [None, Some(0xde), Some(0xdf)]);
    table.for_each(|key: Value, value: Value| {
        put_value(packed, &key, level + 1)?;
        put_value(packed, &value, level + 1)
    })
}

/// `cmsgpack.pack(...)`: the values one behind the other.
fn pack(lua: &Lua, values: Variadic<Value>) -> Result<BString> {
    if values.is_empty() {
        return Err(argument_error(lua, 0, "MessagePack pack needs input."));
    } else if values.len() * 2 > MAX_STACK_SLOTS {
        return Err(argument_error(lua, 0, "Too many arguments for MessagePack pack."));
    }
    let mut packed = Vec::new();
    values.iter().try_for_each(|value| put_value(&mut packed, value, 0))?;
    Ok(packed.into())
}

/// A value that was unpacked: text of the input, other bytes of it, or any other.
type Item<'b> = Either<&'b str, Either<BString, Value>>;

/// Why input can't be unpacked.
enum Failure {
    /// The text of an error that gets a position.
    Text(&'static str),
    Lua(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Lua(error)
    }
}

const MISSING: Failure = Failure::Text("Missing bytes in input.");
const TOO_MANY: Failure =
    Failure::Text("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)");

type Unpacked<T> = std::result::Result<T, Failure>;

/// An array or map that is being unpacked.
struct Frame<'b> {
    table: Table,
    map: bool,
    /// Items or pairs that come.
    left: usize,
    /// Items that are in it.
    placed: i64,
    /// The key whose value comes next.
    key: Option<Item<'b>>,
}

/// What a value begins with.
enum Begun<'b> {
    Item(Item<'b>),
    Array(usize),
    Map(usize),
}

struct Unpacker<'b> {
    lua: &'b Lua,
    rest: &'b [u8],
    frames: Vec<Frame<'b>>,
    /// The slots of Lua's stack that the original would use.
    slots: usize,
}

impl<'b> Unpacker<'b> {
    fn bytes(&mut self, length: usize) -> Unpacked<&'b [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(MISSING)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Unpacked<[u8; N]> {
        self.bytes(N).and_then(|bytes| bytes.try_into().map_err(|_| MISSING))
    }

    /// A length of 1, 2 or 4 bytes.
    fn length(&mut self, bytes: usize) -> Unpacked<usize> {
        Ok(self.bytes(bytes)?.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)))
    }

    fn string(&mut self, length: usize) -> Unpacked<Begun<'b>> {
        let bytes = self.bytes(length)?;
        let item = match std::str::from_utf8(bytes) {
            Ok(text) => Either::Left(text),
            Err(_) => Either::Right(Either::Left(bytes.into())),
        };
        Ok(Begun::Item(item))
    }

    /// The head of a value, and the value itself unless it has items.
    fn begin(&mut self) -> Unpacked<Begun<'b>> {
        let [head] = self.array()?;
        let value = match head {
            0x00..=0x7f => Value::Integer(i64::from(head)),
            0x80..=0x8f => return Ok(Begun::Map(usize::from(head & 15))),
            0x90..=0x9f => return Ok(Begun::Array(usize::from(head & 15))),
            0xa0..=0xbf => return self.string(usize::from(head & 31)),
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Value::Number(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Integer(self.length(1)? as i64),
            0xcd => Value::Integer(self.length(2)? as i64),
            0xce => Value::Integer(self.length(4)? as i64),
            0xcf => Value::Number(u64::from_be_bytes(self.array()?) as f64),
            0xd0 => Value::Integer(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Value::Integer(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Value::Integer(i64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => Value::Number(i64::from_be_bytes(self.array()?) as f64),
            0xd9..=0xdb => {
                let length = self.length(1 << (head - 0xd9))?;
                return self.string(length);
            }
            0xdc | 0xdd => return self.length(2 << (head - 0xdc)).map(Begun::Array),
            0xde | 0xdf => return self.length(2 << (head - 0xde)).map(Begun::Map),
            0xe0..=0xff => Value::Integer(i64::from(head as i8)),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => return Err(Failure::Text("Bad data format in input.")),
        };
        Ok(Begun::Item(Either::Right(Either::Right(value))))
    }

    /// A value with all that is in it.
    fn value(&mut self) -> Unpacked<Item<'b>> {
        loop {
            if self.slots + 1 > MAX_STACK_SLOTS {
                return Err(TOO_MANY);
            }
            let mut item = match self.begin()? {
                Begun::Item(item) => item,
                Begun::Array(length) => match self.open(false, length)? {
                    Some(empty) => empty,
                    None => continue,
                },
                Begun::Map(length) => match self.open(true, length)? {
                    Some(empty) => empty,
                    None => continue,
                },
            };
            loop {
                let Some(frame) = self.frames.last_mut() else { return Ok(item) };
                if frame.map && frame.key.is_none() {
                    frame.key = Some(item);
                    self.slots += 1;
                    break;
                }
                place(frame, item)?;
                self.slots -= usize::from(frame.map);
                if frame.left > 0 {
                    break;
                }
                match self.close() {
                    Some(table) => item = table,
                    None => return Err(MISSING),
                }
            }
        }
    }

    /// Begins an array or map; one without items is returned.
    fn open(&mut self, map: bool, length: usize) -> Unpacked<Option<Item<'b>>> {
        let room = if map { 0 } else { length.min(MAX_PRESIZED) };
        // Each table on the way has a handle, of which there are about as many as slots.
        let table = self.lua.create_table_with_capacity(room, 0).map_err(|error| match error {
            Error::StackError => TOO_MANY,
            error => Failure::Lua(error),
        })?;
        if !map && self.slots + 2 > MAX_STACK_SLOTS {
            return Err(Failure::Text("stack overflow (in function mp_decode_to_lua_array)"));
        }
        self.slots += if map { 1 } else { 2 };
        self.frames.push(Frame { table, map, left: length, placed: 0, key: None });
        Ok(if length == 0 { self.close() } else { None })
    }

    fn close(&mut self) -> Option<Item<'b>> {
        let frame = self.frames.pop()?;
        self.slots -= if frame.map { 1 } else { 2 };
        Some(Either::Right(Either::Right(Value::Table(frame.table))))
    }
}

/// Puts an item into the table.
fn place(frame: &mut Frame, item: Item) -> Unpacked<()> {
    frame.left -= 1;
    let Some(key) = frame.key.take() else {
        frame.placed += 1;
        return Ok(frame.table.raw_set(frame.placed, item)?);
    };
    match &key {
        Either::Right(Either::Right(Value::Nil)) => {
            Err(Failure::Lua(Error::RuntimeError("table index is nil".to_string())))
        }
        Either::Right(Either::Right(Value::Number(number))) if number.is_nan() => {
            Err(Failure::Lua(Error::RuntimeError("table index is NaN".to_string())))
        }
        _ => Ok(frame.table.raw_set(key, item)?),
    }
}

/// The values of `string` from `offset` on, at most `limit`; without both all of them, else with the offset of the next
/// before them, -1 at the end. `slots`: the arguments on Lua's stack.
fn unpack_some(
    lua: &Lua,
    values: &[Value],
    limit: i64,
    offset: i64,
    slots: usize,
) -> Result<Variadic<Item<'static>>> {
    let all = limit == 0 && offset == 0;
    let string = arguments::string(lua, values, 1)?;
    let bytes = string.as_bytes();
    let length = bytes.len();
    if offset < 0 || limit < 0 {
        // The original names the length where it means the limit.
        let (offset, length) = (offset as i32, length as i32);
        return Err(error(
            lua,
            format!("Invalid request to unpack with offset of {offset} and limit of {length}."),
        ));
    }
    let Some(rest) = bytes.get(offset as usize..) else {
        let (offset, length) = (offset as i32, length as i32);
        return Err(error(lua, format!("Start offset {offset} greater than input length {length}.")));
    };
    let limit = if all { i64::from(i32::MAX) } else { limit };
    let mut unpacker = Unpacker { lua, rest, frames: Vec::new(), slots };
    let mut items: Vec<Item<'static>> = Vec::new();
    if !all {
        items.push(Either::Right(Either::Right(Value::Nil)));
    }
    let mut count = 0;
    while !unpacker.rest.is_empty() && count < limit {
        let item = unpacker.value().map_err(|failure| match failure {
            Failure::Text(text) => error(lua, text),
            Failure::Lua(error) => error,
        })?;
        items.push(match item {
            Either::Left(text) => Either::Right(Either::Left(text.as_bytes().into())),
            Either::Right(other) => Either::Right(other),
        });
        unpacker.slots += 1;
        count += 1;
    }
    if !all {
        let next = if unpacker.rest.is_empty() { -1 } else { (length - unpacker.rest.len()) as i64 };
        items[0] = Either::Right(Either::Right(Value::Integer(next)));
    }
    Ok(items.into_iter().collect())
}

/// The library's table.
pub fn open(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    let unpack = |lua: &Lua, values: Variadic<Value>| unpack_some(lua, &values, 0, 0, values.len());
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    let unpack_one = |lua: &Lua, values: Variadic<Value>| {
        unpack_some(lua, &values, 1, arguments::integer_or(lua, &values, 2, 0)?, 1)
    };
    table.raw_set("unpack_one", lua.create_function(unpack_one)?)?;
    let unpack_limit = |lua: &Lua, values: Variadic<Value>| {
        let limit = arguments::integer(lua, &values, 2)?;
        unpack_some(lua, &values, limit, arguments::integer_or(lua, &values, 3, 0)?, 1)
    };
    table.raw_set("unpack_limit", lua.create_function(unpack_limit)?)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(table)
}
