//! The `cmsgpack` library of scripts: Lua values as MessagePack and back (lua-cmsgpack 0.4.0).

use super::arguments::{self, MAX_STACK_SLOTS, truncated};
use crate::sys::lua::{self, Kind, Look, Native, Result, Stack};

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

/// A value; `level` says how many tables it is in.
fn put_value(packed: &mut Vec<u8>, stack: &mut Stack<'_>, slot: usize, level: usize) -> Result<()> {
    if packed.len() > MAX_OUTPUT {
        return Err(lua::Error::Memory);
    }
    match stack.look(slot) {
        Look::Text(text) => put_string(packed, text),
        Look::Boolean(value) => packed.push(if value { 0xc3 } else { 0xc2 }),
        Look::Number(number) => put_number(packed, number),
        Look::Other(Kind::Table) if level < MAX_NESTING => return put_table(packed, stack, slot, level),
        Look::Other(_) => packed.push(0xc0),
    }
    Ok(())
}

/// Whether the keys are 1 to their number, and what that number is.
fn keys(stack: &mut Stack<'_>, table: usize) -> Result<(bool, usize)> {
    let (mut array, mut last, mut count) = (true, 0.0_f64, 0usize);
    stack.pairs(table, |stack, key, _| {
        count += 1;
        match stack.number(key) {
            Some(index) if index >= 1.0 && index <= f64::from(i32::MAX) && index.fract() == 0.0 => {
                last = last.max(index);
            }
            _ => array = false,
        }
        Ok(true)
    })?;
    Ok((array && last == count as f64, count))
}

fn put_table(packed: &mut Vec<u8>, stack: &mut Stack<'_>, table: usize, level: usize) -> Result<()> {
    let (array, count) = keys(stack, table)?;
    let small = count <= 15;
    if !array {
        put_head(packed, count, small.then_some(0x80), [None, Some(0xde), Some(0xdf)]);
        return stack.pairs(table, |stack, key, value| {
            put_value(packed, stack, key, level + 1)?;
            put_value(packed, stack, value, level + 1)?;
            Ok(true)
        });
    }
    put_head(packed, count, small.then_some(0x90), [None, Some(0xdc), Some(0xdd)]);
    for index in 1..=count {
        stack.push_item(table, index as i32)?;
        let item = stack.count();
        put_value(packed, stack, item, level + 1)?;
        stack.truncate(item - 1);
    }
    Ok(())
}

/// `cmsgpack.pack(...)`: the values one behind the other.
fn pack(stack: &mut Stack<'_>) -> Result<usize> {
    let count = stack.count();
    if count == 0 {
        return Err(arguments::raise_argument(stack, 0, "MessagePack pack needs input."));
    } else if count * 2 > MAX_STACK_SLOTS {
        return Err(arguments::raise_argument(stack, 0, "Too many arguments for MessagePack pack."));
    }
    let mut packed = stack.take_buffer();
    let mut result = Ok(());
    for slot in 1..=count {
        result = result.and_then(|()| put_value(&mut packed, stack, slot, 0));
    }
    let result = result.and_then(|()| stack.push_text(&packed));
    stack.give_buffer(packed);
    result.map(|()| 1)
}

/// Why input can't be unpacked.
enum Failure {
    /// The text of an error that gets a position.
    Text(&'static str),
    /// The text of an error of Lua itself.
    Plain(&'static str),
    Lua(lua::Error),
}

impl From<lua::Error> for Failure {
    fn from(error: lua::Error) -> Failure {
        Failure::Lua(error)
    }
}

const MISSING: Failure = Failure::Text("Missing bytes in input.");
const TOO_MANY: Failure =
    Failure::Text("stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)");

type Unpacked<T> = std::result::Result<T, Failure>;

/// An array or map that is being unpacked.
struct Frame {
    /// The slot of its table.
    table: usize,
    map: bool,
    /// Items or pairs that come.
    left: usize,
    /// Items that are in it.
    placed: i32,
    /// The key whose value comes next is on the stack.
    has_key: bool,
}

/// What a value begins with.
enum Begun<'b> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(&'b [u8]),
    Array(usize),
    Map(usize),
}

struct Unpacker<'b> {
    rest: &'b [u8],
    frames: Vec<Frame>,
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

    /// The head of a value, and the value itself unless it has items.
    fn begin(&mut self) -> Unpacked<Begun<'b>> {
        let [head] = self.array()?;
        Ok(match head {
            0x00..=0x7f => Begun::Number(f64::from(head)),
            0x80..=0x8f => Begun::Map(usize::from(head & 15)),
            0x90..=0x9f => Begun::Array(usize::from(head & 15)),
            0xa0..=0xbf => Begun::Text(self.bytes(usize::from(head & 31))?),
            0xc0 => Begun::Nil,
            0xc2 => Begun::Boolean(false),
            0xc3 => Begun::Boolean(true),
            0xca => Begun::Number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Begun::Number(f64::from_be_bytes(self.array()?)),
            0xcc => Begun::Number(self.length(1)? as f64),
            0xcd => Begun::Number(self.length(2)? as f64),
            0xce => Begun::Number(self.length(4)? as f64),
            0xcf => Begun::Number(u64::from_be_bytes(self.array()?) as f64),
            0xd0 => Begun::Number(f64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Begun::Number(f64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Begun::Number(f64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => Begun::Number(i64::from_be_bytes(self.array()?) as f64),
            0xd9..=0xdb => {
                let length = self.length(1 << (head - 0xd9))?;
                Begun::Text(self.bytes(length)?)
            }
            0xdc | 0xdd => Begun::Array(self.length(2 << (head - 0xdc))?),
            0xde | 0xdf => Begun::Map(self.length(2 << (head - 0xde))?),
            0xe0..=0xff => Begun::Number(f64::from(head as i8)),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => return Err(Failure::Text("Bad data format in input.")),
        })
    }

    /// Pushes a value with all that is in it.
    fn value(&mut self, stack: &mut Stack<'_>) -> Unpacked<()> {
        loop {
            if self.slots + 1 > MAX_STACK_SLOTS {
                return Err(TOO_MANY);
            }
            match self.begin()? {
                Begun::Nil => stack.push_nil()?,
                Begun::Boolean(value) => stack.push_boolean(value)?,
                Begun::Number(number) => stack.push_number(number)?,
                Begun::Text(text) => stack.push_text(text)?,
                Begun::Array(length) => {
                    if !self.open(stack, false, length)? {
                        continue;
                    }
                }
                Begun::Map(length) => {
                    if !self.open(stack, true, length)? {
                        continue;
                    }
                }
            }
            loop {
                let Some(frame) = self.frames.last_mut() else { return Ok(()) };
                if frame.map && !frame.has_key {
                    frame.has_key = true;
                    self.slots += 1;
                    break;
                }
                frame.has_key = false;
                place(frame, stack)?;
                self.slots -= usize::from(frame.map);
                if frame.left > 0 {
                    break;
                }
                self.close();
            }
        }
    }

    /// Begins an array or map; whether it has no items, and so has ended.
    fn open(&mut self, stack: &mut Stack<'_>, map: bool, length: usize) -> Unpacked<bool> {
        let room = if map { 0 } else { length.min(MAX_PRESIZED) };
        stack.push_table(room, 0)?;
        if !map && self.slots + 2 > MAX_STACK_SLOTS {
            return Err(Failure::Text("stack overflow (in function mp_decode_to_lua_array)"));
        }
        self.slots += if map { 1 } else { 2 };
        self.frames.push(Frame { table: stack.count(), map, left: length, placed: 0, has_key: false });
        if length == 0 {
            self.close();
        }
        Ok(length == 0)
    }

    /// Ends an array or map, whose table is the topmost value.
    fn close(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.slots -= if frame.map { 1 } else { 2 };
        }
    }
}

/// Puts the topmost value into the table, with the key below it if it is a map.
fn place(frame: &mut Frame, stack: &mut Stack<'_>) -> Unpacked<()> {
    frame.left -= 1;
    if !frame.map {
        frame.placed = frame.placed.wrapping_add(1);
        return Ok(stack.set_item(frame.table, frame.placed)?);
    }
    let key = stack.count() - 1;
    match (stack.kind(key), stack.number(key)) {
        (Kind::Nil, _) => Err(Failure::Plain("table index is nil")),
        (_, Some(number)) if number.is_nan() => Err(Failure::Plain("table index is NaN")),
        _ => Ok(stack.set_pair(frame.table)?),
    }
}

/// Pushes the values of the string in the first slot from `offset` on, at most `limit`; without both all of them, else with the
/// offset of the next before them, -1 at the end. `slots`: the arguments on Lua's stack. How many were pushed.
fn unpack_some(stack: &mut Stack<'_>, limit: i64, offset: i64, slots: usize) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, bytes| {
        let all = limit == 0 && offset == 0;
        let length = bytes.len();
        if offset < 0 || limit < 0 {
            // The original names the length where it means the limit.
            let (offset, length) = (offset as i32, length as i32);
            let text = format!("Invalid request to unpack with offset of {offset} and limit of {length}.");
            return Err(arguments::raise(stack, text));
        }
        let Some(rest) = bytes.get(offset as usize..) else {
            let (offset, length) = (offset as i32, length as i32);
            let text = format!("Start offset {offset} greater than input length {length}.");
            return Err(arguments::raise(stack, text));
        };
        let limit = if all { i64::from(i32::MAX) } else { limit };
        let mut unpacker = Unpacker { rest, frames: Vec::new(), slots };
        let base = stack.count();
        let mut count = 0;
        while !unpacker.rest.is_empty() && count < limit {
            unpacker.value(stack).map_err(|failure| match failure {
                Failure::Text(text) => arguments::raise(stack, text),
                Failure::Plain(text) => arguments::raise_plain(stack, text),
                Failure::Lua(error) => error,
            })?;
            unpacker.slots += 1;
            count += 1;
        }
        if !all {
            let next = if unpacker.rest.is_empty() { -1 } else { (length - unpacker.rest.len()) as i64 };
            stack.push_number(next as f64)?;
            stack.move_top(base + 1);
        }
        Ok(stack.count() - base)
    })
}

/// The library's functions.
const FUNCTIONS: [(&str, Native); 4] = [
    ("pack", pack),
    ("unpack", |stack| {
        let slots = stack.count();
        unpack_some(stack, 0, 0, slots)
    }),
    ("unpack_one", |stack| {
        let offset = arguments::integer_in_or(stack, 2, 0)?;
        unpack_some(stack, 1, offset, 1)
    }),
    ("unpack_limit", |stack| {
        let limit = arguments::integer_in(stack, 2)?;
        let offset = arguments::integer_in_or(stack, 3, 0)?;
        unpack_some(stack, limit, offset, 1)
    }),
];

/// Pushes the library's table.
pub fn open(stack: &mut Stack<'_>) -> Result<()> {
    stack.push_library(&FUNCTIONS)?;
    let table = stack.count();
    for (name, text) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        stack.push_text(text.as_bytes())?;
        stack.set_field(table, name.as_bytes())?;
    }
    Ok(())
}
