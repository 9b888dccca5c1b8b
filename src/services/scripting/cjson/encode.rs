//! `cjson.encode`: a Lua value as JSON, in the order in which Lua's `next` returns the pairs.
//!
//! A table is walked in one pass, which writes what isn't a table right into the output. Where a table lies in it the
//! pass leaves a gap, which is filled after the pass: no walk is inside another, so that depth costs no C stack.
//! What the pass wrote behind the first gap waits in `tails`. Few handles of tables exist at a time (Lua 5.1 has room
//! for some thousands): where a pass finds more, the rest of its table is walked pair by pair.

use mlua::{BString, Error, Function, Lua, LuaString, Result, Table, Value, Variadic};

use super::super::arguments::{MAX_STACK_SLOTS, argument_error, error, type_name};
use super::{InvalidNumbers, KEPT_BUFFER, Settings, number};

/// Gaps that may be open at a time.
const MAX_GAPS: usize = 512;
/// Longest JSON, in bytes.
const MAX_OUTPUT: usize = 512 << 20;
/// The digits with which Lua itself makes a string of a number.
const LUA_PRECISION: i32 = 14;
/// Ends a walk before its end; it never leaves this file.
const STOP: Error = Error::CallbackDestructed;

/// A table whose JSON comes at an offset of the tails.
#[derive(Debug)]
struct Gap {
    at: usize,
    table: Option<Table>,
}

/// Memory that is kept from one call to the next.
#[derive(Default, Debug)]
pub struct Buffers {
    out: Vec<u8>,
    tails: Vec<u8>,
    gaps: Vec<Gap>,
}

/// Why there is no JSON.
enum Failure {
    /// An error of the library: its text without a position.
    Text(String),
    Lua(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Lua(error)
    }
}

/// What of a table is to be done once its gaps are filled.
enum Rest {
    Nothing,
    Failure(String),
    /// The pairs behind a key.
    Pairs(Table, Value),
    /// The items from an index to the last.
    Items(Table, i32, i32),
}

/// A table that has gaps or a rest.
struct Frame {
    close: u8,
    /// The lengths of the tails and gaps when it began.
    tails: usize,
    gaps: usize,
    /// The next gap, and how far its tail has been copied.
    next_gap: usize,
    copied: usize,
    rest: Rest,
    /// The slots of Lua's stack that the original would use for its values.
    slots: usize,
}

/// What the keys that a pass has seen say.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Unknown,
    Array,
    Object,
}

/// Why a pass ended before the table's end.
enum Broken {
    No,
    /// It is no plain array.
    Keys,
    /// It has too many tables in it; the key behind which the rest comes.
    Gaps(Value),
    Failure(String),
}

/// The lengths of the encoder's parts when a pass began.
struct Begin {
    out: usize,
    tails: usize,
    gaps: usize,
}

struct Encoder<'e> {
    settings: &'e Settings,
    next: &'e Function,
    out: Vec<u8>,
    tails: Vec<u8>,
    gaps: Vec<Gap>,
    frames: Vec<Frame>,
}

/// `cjson.encode(value)`.
pub fn encode(
    lua: &Lua,
    settings: &Settings,
    next: &Function,
    mut values: Variadic<Value>,
) -> Result<LuaString> {
    if values.len() != 1 {
        return Err(argument_error(lua, 1, "expected 1 argument"));
    }
    let Buffers { out, tails, gaps } = settings.buffers.take();
    let mut encoder = Encoder { settings, next, out, tails, gaps, frames: Vec::new() };
    let value = values.pop().unwrap_or(Value::Nil);
    let result = match encoder.encode(value) {
        Ok(()) => lua.create_string(&encoder.out),
        Err(Failure::Text(text)) => Err(error(lua, text)),
        Err(Failure::Lua(error)) => Err(error),
    };
    let Encoder { mut out, mut tails, mut gaps, .. } = encoder;
    if settings.encode_keep_buffer.get() && out.capacity() <= KEPT_BUFFER && tails.capacity() <= KEPT_BUFFER {
        out.clear();
        tails.clear();
        gaps.clear();
        settings.buffers.replace(Buffers { out, tails, gaps });
    }
    result
}

/// Whether an array may have this key.
fn is_index(key: &Value) -> bool {
    match key {
        Value::Integer(index) => *index >= 1,
        Value::Number(index) => index.floor() == *index && *index >= 1.0,
        _ => false,
    }
}

fn cannot_serialise(value: &Value, reason: &str) -> String {
    format!("Cannot serialise {}: {reason}", type_name(value))
}

impl Encoder<'_> {
    fn encode(&mut self, value: Value) -> std::result::Result<(), Failure> {
        match value {
            Value::Table(table) => self.begin(table, 1)?,
            value => return self.scalar(&value).map_err(Failure::Text),
        }
        while let Some(frame) = self.frames.last_mut() {
            let slots = frame.slots;
            if let Some(gap) = self.gaps.get_mut(frame.next_gap) {
                self.out.extend_from_slice(&self.tails[frame.copied..gap.at]);
                frame.copied = gap.at;
                frame.next_gap += 1;
                if let Some(table) = gap.table.take() {
                    self.begin(table, slots)?;
                }
                continue;
            }
            self.out.extend_from_slice(&self.tails[frame.copied..]);
            self.tails.truncate(frame.tails);
            self.gaps.truncate(frame.gaps);
            frame.next_gap = frame.gaps;
            frame.copied = frame.tails;
            let rest = std::mem::replace(&mut frame.rest, Rest::Nothing);
            if let Some(table) = self.go_on(rest)? {
                self.begin(table, slots)?;
            }
        }
        Ok(())
    }

    /// Goes on with the rest of the last frame's table, up to the next table in it, which is returned. Without one
    /// the frame ends.
    fn go_on(&mut self, rest: Rest) -> std::result::Result<Option<Table>, Failure> {
        let (found, rest) = match rest {
            Rest::Nothing => (None, Rest::Nothing),
            Rest::Failure(text) => return Err(Failure::Text(text)),
            Rest::Pairs(table, key) => self.next_pairs(table, key)?,
            Rest::Items(table, next, length) => self.next_items(table, next, length)?,
        };
        if found.is_none() {
            self.out.extend(self.frames.pop().map(|frame| frame.close));
        } else if let Some(frame) = self.frames.last_mut() {
            frame.rest = rest;
        }
        Ok(found)
    }

    fn next_pairs(
        &mut self,
        table: Table,
        mut key: Value,
    ) -> std::result::Result<(Option<Table>, Rest), Failure> {
        loop {
            let value;
            (key, value) = self.next.call::<(Value, Value)>((&table, key))?;
            if key.is_nil() {
                return Ok((None, Rest::Nothing));
            }
            self.key(&key, false).map_err(Failure::Text)?;
            if let Value::Table(found) = value {
                return Ok((Some(found), Rest::Pairs(table, key)));
            }
            self.scalar(&value).map_err(Failure::Text)?;
        }
    }

    fn next_items(
        &mut self,
        table: Table,
        next: i32,
        length: i32,
    ) -> std::result::Result<(Option<Table>, Rest), Failure> {
        for index in next..=length {
            if index > 1 {
                self.out.push(b',');
            }
            match table.raw_get(index)? {
                Value::Table(found) => return Ok((Some(found), Rest::Items(table, index + 1, length))),
                value => self.scalar(&value).map_err(Failure::Text)?,
            };
        }
        Ok((None, Rest::Nothing))
    }

    /// Begins a table: all of it if no table is in it, else a frame for it. `slots` has those below.
    fn begin(&mut self, table: Table, slots: usize) -> std::result::Result<(), Failure> {
        let depth = self.frames.len() + 1;
        if depth > self.settings.encode_max_depth.get() as usize || slots + 3 > MAX_STACK_SLOTS {
            return Err(Failure::Text(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        if let Some(metatable) = table.metatable()
            && metatable.get::<bool>("__is_cjson_array")?
        {
            let length = i32::try_from(table.raw_len()).unwrap_or(i32::MAX);
            self.array(table, length, slots);
            return Ok(());
        }
        if self.plain_pass(&table, slots)? || self.pass(&table, slots, Shape::Unknown)? {
            return Ok(());
        }
        let length = self.array_length(&table)?;
        if length > 0 {
            self.array(table, length, slots);
        } else {
            self.pass(&table, slots, Shape::Object)?;
        }
        Ok(())
    }

    /// Begins an array that is read by index.
    fn array(&mut self, table: Table, length: i32, slots: usize) {
        self.out.push(b'[');
        self.push_frame(b']', Rest::Items(table, 1, length), slots + 1);
    }

    fn push_frame(&mut self, close: u8, rest: Rest, slots: usize) {
        let (tails, gaps) = (self.tails.len(), self.gaps.len());
        self.frames.push(Frame { close, tails, gaps, next_gap: gaps, copied: tails, rest, slots });
    }

    /// Walks an object whose keys are strings and take no handle that way; false if it may be another table, and nothing
    /// is written. Numbers come as strings, too: those are written alike, unless the settings say otherwise, but only
    /// a key that is no number tells an object.
    fn plain_pass(&mut self, table: &Table, slots: usize) -> std::result::Result<bool, Failure> {
        if self.settings.number_precision.get() != LUA_PRECISION || table.raw_len() > 0 {
            return Ok(false);
        }
        let begin = self.begin_pass();
        let mut first = true;
        let mut failure = None;
        let walked = table.for_each(|key: BString, value: Value| {
            let numeric = matches!(key.first(), Some(b'0'..=b'9' | b'-')) || **key == *b"inf";
            if numeric && (first || key.ends_with(b"inf")) {
                return Err(STOP);
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            write_string(&mut self.out, &key);
            self.out.push(b':');
            let Value::Table(found) = value else {
                return self.scalar(&value).map_err(|text| {
                    failure = Some(text);
                    STOP
                });
            };
            self.gaps.push(Gap { at: self.out.len(), table: Some(found) });
            if self.gaps.len() < MAX_GAPS { Ok(()) } else { Err(STOP) }
        });
        let rest = match (walked, failure) {
            (Ok(()), _) => Rest::Nothing,
            (Err(_), Some(text)) => Rest::Failure(text),
            // Also if a key is neither string nor number.
            (Err(_), None) => {
                self.undo_pass(&begin);
                return Ok(false);
            }
        };
        self.end_pass(&begin, b'}', rest, slots + 2);
        Ok(true)
    }

    fn begin_pass(&mut self) -> Begin {
        let begin = Begin { out: self.out.len(), tails: self.tails.len(), gaps: self.gaps.len() };
        self.out.push(b'{');
        begin
    }

    fn undo_pass(&mut self, begin: &Begin) {
        self.out.truncate(begin.out);
        self.gaps.truncate(begin.gaps);
    }

    /// Ends a table that a pass has walked, or makes a frame for it if something is left to do.
    fn end_pass(&mut self, begin: &Begin, close: u8, rest: Rest, slots: usize) {
        let &Begin { tails, gaps, .. } = begin;
        match self.gaps.get(gaps) {
            Some(first) => {
                let first = first.at;
                self.tails.extend_from_slice(&self.out[first..]);
                self.out.truncate(first);
                self.gaps[gaps..].iter_mut().for_each(|gap| gap.at = gap.at - first + tails);
                self.frames.push(Frame { close, tails, gaps, next_gap: gaps, copied: tails, rest, slots });
            }
            None if matches!(rest, Rest::Nothing) => self.out.push(close),
            None => self.push_frame(close, rest, slots),
        }
    }

    /// Walks a table once; false if its keys need a closer look, and nothing is written. A table that begins with
    /// index 1 is taken for an array, and one that begins with what is no index for an object.
    fn pass(&mut self, table: &Table, slots: usize, mut shape: Shape) -> std::result::Result<bool, Failure> {
        let begin = self.begin_pass();
        let mut broken = Broken::No;
        let mut index = 0;
        let walked = table.for_each(|key: Value, value: Value| {
            index += 1;
            if shape == Shape::Unknown && !is_index(&key) {
                shape = Shape::Object;
            }
            if shape != Shape::Object {
                shape = Shape::Array;
                if !matches!(key, Value::Integer(key) if key == index) {
                    broken = Broken::Keys;
                    return Err(STOP);
                }
                if index > 1 {
                    self.out.push(b',');
                }
            } else if let Err(text) = self.key(&key, index == 1) {
                broken = Broken::Failure(text);
                return Err(STOP);
            }
            let Value::Table(found) = value else {
                return self.scalar(&value).map_err(|text| {
                    broken = Broken::Failure(text);
                    STOP
                });
            };
            self.gaps.push(Gap { at: self.out.len(), table: Some(found) });
            if self.gaps.len() < MAX_GAPS {
                return Ok(());
            }
            broken = if shape == Shape::Array { Broken::Keys } else { Broken::Gaps(key) };
            Err(STOP)
        });
        let (close, step) = if shape == Shape::Array { (b']', 1) } else { (b'}', 2) };
        let rest = match broken {
            Broken::No => {
                walked?;
                Rest::Nothing
            }
            Broken::Keys => {
                self.undo_pass(&begin);
                return Ok(false);
            }
            Broken::Gaps(key) => Rest::Pairs(table.clone(), key),
            Broken::Failure(text) => Rest::Failure(text),
        };
        if shape == Shape::Array {
            self.out[begin.out] = b'[';
        }
        self.end_pass(&begin, close, rest, slots + step);
        Ok(true)
    }

    /// The length of a table that is an array; 0 or less for an object.
    fn array_length(&mut self, table: &Table) -> std::result::Result<i32, Failure> {
        let (mut last, mut count, mut array) = (0i32, 0i32, true);
        let walked = table.for_each(|key: Value, _: bool| {
            if !is_index(&key) {
                array = false;
                return Err(STOP);
            }
            let index = match key {
                Value::Integer(index) => index as f64,
                Value::Number(index) => index,
                _ => 0.0,
            };
            if index > f64::from(last) {
                // One beyond all `int` of C is the smallest of them.
                last = if index <= f64::from(i32::MAX) { index as i32 } else { i32::MIN };
            }
            count = count.wrapping_add(1);
            Ok(())
        });
        if !array {
            return Ok(-1);
        }
        walked?;
        let ratio = self.settings.sparse_ratio.get();
        if ratio > 0 && last > count.wrapping_mul(ratio) && last > self.settings.sparse_safe.get() {
            if self.settings.sparse_convert.get() {
                return Ok(-1);
            }
            return Err(Failure::Text("Cannot serialise table: excessively sparse array".to_string()));
        }
        Ok(last)
    }

    /// The key of a pair of an object, with what stands before and behind it.
    fn key(&mut self, key: &Value, first: bool) -> std::result::Result<(), String> {
        if !first {
            self.out.push(b',');
        }
        match key {
            Value::String(string) => write_string(&mut self.out, &string.as_bytes()),
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.scalar(key)?;
                self.out.push(b'"');
            }
            key => return Err(cannot_serialise(key, "table key must be a number or string")),
        }
        self.out.push(b':');
        Ok(())
    }

    /// A value that is no table; the error's text if it has no JSON.
    fn scalar(&mut self, value: &Value) -> std::result::Result<(), String> {
        if self.out.len() > MAX_OUTPUT {
            return Err("not enough memory".to_string());
        }
        match value {
            Value::String(string) => write_string(&mut self.out, &string.as_bytes()),
            Value::Integer(integer) => self.number(*integer as f64, value)?,
            Value::Number(number) => self.number(*number, value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            value => return Err(cannot_serialise(value, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, number: f64, value: &Value) -> std::result::Result<(), String> {
        if !number.is_finite() {
            match self.settings.encode_invalid_numbers.get() {
                InvalidNumbers::Refused => return Err(cannot_serialise(value, "must not be NaN or Inf")),
                InvalidNumbers::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                InvalidNumbers::Written if number.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                InvalidNumbers::Written => {}
            }
        }
        number::write(&mut self.out, number, self.settings.number_precision.get() as usize);
        Ok(())
    }
}

/// Whether a byte of a string is written as an escape.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 32 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'/' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped[127] = true;
    escaped
};

/// Appends a string in quotes; bytes that aren't ASCII go through as they are.
fn write_string(out: &mut Vec<u8>, mut string: &[u8]) {
    out.reserve(string.len() + 2);
    out.push(b'"');
    while let Some(at) = string.iter().position(|&byte| ESCAPED[usize::from(byte)]) {
        out.extend_from_slice(&string[..at]);
        match string[at] {
            byte @ (b'"' | b'/' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            byte => {
                let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        string = &string[at + 1..];
    }
    out.extend_from_slice(string);
    out.push(b'"');
}
