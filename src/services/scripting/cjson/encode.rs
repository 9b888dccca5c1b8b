//! `cjson.encode`: a Lua value as JSON, in the order in which Lua's `next` returns the pairs.

use super::super::arguments::{self, MAX_STACK_SLOTS};
use super::super::number;
use super::{Failure, InvalidNumbers, Settings};
use crate::sys::lua::{self, Kind, Look, Stack};

/// Longest JSON, in bytes.
const MAX_OUTPUT: usize = 512 << 20;

const KEY_KINDS: &str = "table key must be a number or string";

type Encoded = Result<(), Failure>;

struct Encoder {
    settings: Settings,
    out: Vec<u8>,
}

/// `cjson.encode(value)`.
pub fn encode(stack: &mut Stack<'_>) -> lua::Result<usize> {
    if stack.count() != 1 {
        return Err(arguments::raise_argument(stack, 1, "expected 1 argument"));
    }
    let settings = Settings::of(stack);
    let out = if settings.encode_keep_buffer { stack.take_buffer() } else { Vec::new() };
    let mut encoder = Encoder { settings, out };
    let result = match encoder.value(stack, 1, 0, 0) {
        Ok(()) => stack.push_text(&encoder.out),
        Err(failure) => Err(failure.raise(stack)),
    };
    if settings.encode_keep_buffer {
        stack.give_buffer(encoder.out);
    }
    result.map(|()| 1)
}

/// Whether an array may have this key.
fn index_of(stack: &Stack<'_>, key: usize) -> Option<f64> {
    stack.number(key).filter(|index| index.floor() == *index && *index >= 1.0)
}

fn cannot_serialise(kind: Kind, reason: &str) -> Failure {
    Failure::Text(format!("Cannot serialise {}: {reason}", kind.name()))
}

impl Encoder {
    /// A value within `depth` tables. `slots` are those of Lua's stack that the original would use for them.
    fn value(&mut self, stack: &mut Stack<'_>, slot: usize, depth: usize, slots: usize) -> Encoded {
        if self.out.len() > MAX_OUTPUT {
            return Err(Failure::Text("not enough memory".to_string()));
        }
        match stack.look(slot) {
            Look::Text(text) => write_string(&mut self.out, text),
            Look::Number(number) => self.number(number)?,
            Look::Boolean(true) => self.out.extend_from_slice(b"true"),
            Look::Boolean(false) => self.out.extend_from_slice(b"false"),
            Look::Other(Kind::Nil | Kind::Null) => self.out.extend_from_slice(b"null"),
            Look::Other(Kind::Table) => self.table(stack, slot, depth + 1, slots)?,
            Look::Other(kind) => return Err(cannot_serialise(kind, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, stack: &mut Stack<'_>, table: usize, depth: usize, slots: usize) -> Encoded {
        let is_too_deep = depth > self.settings.encode_max_depth as usize
            || slots + 4 > MAX_STACK_SLOTS
            || !stack.has_depth();
        if is_too_deep {
            return Err(Failure::Text(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        let length = if self.is_marked_array(stack, table)? {
            i32::try_from(stack.length(table)).unwrap_or(i32::MAX)
        } else {
            match self.array_length(stack, table)? {
                length if length > 0 => length,
                _ => return self.object(stack, table, depth, slots),
            }
        };
        self.out.push(b'[');
        for index in 1..=length {
            if index > 1 {
                self.out.push(b',');
            }
            stack.push_item(table, index)?;
            let item = stack.count();
            self.value(stack, item, depth, slots + 1)?;
            stack.truncate(item - 1);
        }
        self.out.push(b']');
        Ok(())
    }

    /// Whether the metatable says that it is an array.
    fn is_marked_array(&self, stack: &mut Stack<'_>, table: usize) -> Result<bool, Failure> {
        let count = stack.count();
        stack.push_metatable(table)?;
        let mut is_array = false;
        if stack.kind(count + 1) == Kind::Table {
            stack.push_kept(self.settings.array_marker)?;
            stack.push_field(count + 1, b"__is_cjson_array")?;
            is_array = stack.is_same(count + 1, count + 2) || stack.boolean(count + 3);
        }
        stack.truncate(count);
        Ok(is_array)
    }

    fn object(&mut self, stack: &mut Stack<'_>, table: usize, depth: usize, slots: usize) -> Encoded {
        self.out.push(b'{');
        let (mut is_first, mut failure) = (true, None);
        stack.pairs(table, |stack, key, value| {
            if !std::mem::replace(&mut is_first, false) {
                self.out.push(b',');
            }
            let written = self.key(stack, key).and_then(|()| self.value(stack, value, depth, slots + 2));
            failure = written.err();
            Ok(failure.is_none())
        })?;
        self.out.push(b'}');
        failure.map_or(Ok(()), Err)
    }

    /// The key of a pair of an object and its colon.
    fn key(&mut self, stack: &mut Stack<'_>, key: usize) -> Encoded {
        match stack.look(key) {
            Look::Text(text) => write_string(&mut self.out, text),
            Look::Number(number) => {
                self.out.push(b'"');
                self.number(number)?;
                self.out.push(b'"');
            }
            Look::Boolean(_) => return Err(cannot_serialise(Kind::Boolean, KEY_KINDS)),
            Look::Other(kind) => return Err(cannot_serialise(kind, KEY_KINDS)),
        }
        self.out.push(b':');
        Ok(())
    }

    /// The length of a table that is an array; 0 or less for an object.
    fn array_length(&self, stack: &mut Stack<'_>, table: usize) -> Result<i32, Failure> {
        let (mut last, mut count, mut is_array) = (0i32, 0i32, true);
        stack.pairs(table, |stack, key, _| {
            let Some(index) = index_of(stack, key) else {
                is_array = false;
                return Ok(false);
            };
            if index > f64::from(last) {
                // One beyond all `int` of C is the smallest of them.
                last = if index <= f64::from(i32::MAX) { index as i32 } else { i32::MIN };
            }
            count = count.wrapping_add(1);
            Ok(true)
        })?;
        if !is_array {
            return Ok(-1);
        }
        let ratio = self.settings.sparse_ratio;
        if ratio > 0 && last > count.wrapping_mul(ratio) && last > self.settings.sparse_safe {
            if self.settings.sparse_convert {
                return Ok(-1);
            }
            return Err(Failure::Text("Cannot serialise table: excessively sparse array".to_string()));
        }
        Ok(last)
    }

    fn number(&mut self, number: f64) -> Encoded {
        if !number.is_finite() {
            match self.settings.encode_invalid_numbers {
                InvalidNumbers::Refused => {
                    return Err(cannot_serialise(Kind::Number, "must not be NaN or Inf"));
                }
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
        number::write(&mut self.out, number, self.settings.number_precision as usize);
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

/// Where the first byte is that is written as an escape.
fn find_escaped(string: &[u8]) -> Option<usize> {
    // Without a branch for each byte the compiler compares sixteen at a time.
    let is_escaped = |byte: u8| byte < 32 || byte == 127 || byte == b'"' || byte == b'/' || byte == b'\\';
    let (chunks, _) = string.as_chunks::<16>();
    let has_escaped = |chunk: &[u8; 16]| chunk.iter().fold(false, |found, byte| found | is_escaped(*byte));
    let plain = chunks.iter().position(has_escaped).unwrap_or(chunks.len()) * 16;
    string[plain..].iter().position(|byte| ESCAPED[usize::from(*byte)]).map(|at| plain + at)
}

/// Appends a string in quotes; bytes that aren't ASCII go through as they are.
fn write_string(out: &mut Vec<u8>, mut string: &[u8]) {
    out.reserve(string.len() + 2);
    out.push(b'"');
    while let Some(at) = find_escaped(string) {
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
