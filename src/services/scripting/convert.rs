//! Lua values of replies, and replies of Lua values.

use super::arguments::truncated;
use super::raised;
use crate::base::number;
use crate::resp::{CommandError, Reply};
use crate::sys::lua::{Error, Kind, Result, Stack};

/// Aggregates within each other that a reply has; none has as many.
const MAX_REPLY_DEPTH: usize = 128;

/// A reply being read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A reply that is not RESP; none is.
fn malformed() -> Error {
    Error::Slots
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or_else(malformed)?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    /// The rest of the line.
    fn line(&mut self) -> Result<&'a [u8]> {
        let len = memchr::memchr(b'\r', &self.bytes[self.at..]).ok_or_else(malformed)?;
        let line = self.take(len)?;
        self.take(2)?;
        Ok(line)
    }

    fn number(&mut self) -> Result<i64> {
        number::parse_i64(self.line()?).ok_or_else(malformed)
    }

    fn string(&mut self, len: i64) -> Result<&'a [u8]> {
        let string = self.take(usize::try_from(len).map_err(|_| malformed())?)?;
        self.take(2)?;
        Ok(string)
    }
}

/// Pushes the value of a reply. An error is the table that `redis.pcall` returns.
pub fn push_reply(stack: &mut Stack<'_>, bytes: &[u8]) -> Result<()> {
    // The most frequent ones, of which the whole is known without looking for the ends of lines.
    match bytes {
        [b':', digits @ .., b'\r', b'\n'] => {
            stack.push_number(number::parse_i64(digits).ok_or_else(malformed)? as f64)
        }
        [b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', text @ .., b'\r', b'\n']
            if text.len() == usize::from(tens - b'0') * 10 + usize::from(ones - b'0') =>
        {
            stack.push_text(text)
        }
        [b'$', len @ b'0'..=b'9', b'\r', b'\n', text @ .., b'\r', b'\n']
            if text.len() == usize::from(len - b'0') =>
        {
            stack.push_text(text)
        }
        _ => push(stack, &mut Reader { bytes, at: 0 }, 0),
    }
}

fn push(stack: &mut Stack<'_>, reader: &mut Reader<'_>, depth: usize) -> Result<()> {
    if depth > MAX_REPLY_DEPTH {
        return Err(malformed());
    }
    match reader.take(1)?[0] {
        b'$' => match reader.number()? {
            -1 => stack.push_boolean(false),
            len => stack.push_text(reader.string(len)?),
        },
        b':' => stack.push_number(reader.number()? as f64),
        b'*' | b'>' => match reader.number()? {
            -1 => stack.push_boolean(false),
            count => {
                stack.push_table(count.clamp(0, 1 << 20) as usize, 0)?;
                let table = stack.count();
                for index in 1..=count {
                    push(stack, reader, depth + 1)?;
                    stack.set_item(table, index as i32)?;
                }
                Ok(())
            }
        },
        b'-' => raised::push_table(stack, &[b"-", reader.line()?].concat(), true),
        b'_' => {
            reader.line()?;
            stack.push_nil()
        }
        b'#' => stack.push_boolean(reader.line()? == b"t"),
        b'|' => {
            // Scripts don't see attributes.
            let attributes = stack.count();
            for _ in 0..reader.number()?.saturating_mul(2) {
                push(stack, reader, depth + 1)?;
                stack.truncate(attributes);
            }
            push(stack, reader, depth + 1)
        }
        kind => push_field(stack, reader, kind, depth),
    }
}

/// Pushes a value that is a table with one field, which says what it is.
fn push_field(stack: &mut Stack<'_>, reader: &mut Reader<'_>, kind: u8, depth: usize) -> Result<()> {
    stack.push_table(0, 1)?;
    let table = stack.count();
    let name: &[u8] = match kind {
        b'+' => {
            stack.push_text(reader.line()?)?;
            b"ok"
        }
        b',' => {
            stack.push_number(number::parse_f64(reader.line()?).ok_or_else(malformed)?)?;
            b"double"
        }
        b'(' => {
            stack.push_text(reader.line()?)?;
            b"big_number"
        }
        b'=' => {
            let len = reader.number()?;
            let text = reader.string(len)?;
            stack.push_table(0, 2)?;
            stack.push_text(text.get(4..).unwrap_or_default())?;
            stack.set_field(table + 1, b"string")?;
            stack.push_text(text.get(..3).unwrap_or_default())?;
            stack.set_field(table + 1, b"format")?;
            b"verbatim_string"
        }
        b'%' => {
            let count = reader.number()?;
            stack.push_table(0, count.clamp(0, 1 << 20) as usize)?;
            for _ in 0..count {
                push(stack, reader, depth + 1)?;
                push(stack, reader, depth + 1)?;
                stack.set_pair(table + 1)?;
            }
            b"map"
        }
        b'~' => {
            let count = reader.number()?;
            stack.push_table(0, count.clamp(0, 1 << 20) as usize)?;
            for _ in 0..count {
                push(stack, reader, depth + 1)?;
                stack.push_boolean(true)?;
                stack.set_pair(table + 1)?;
            }
            b"set"
        }
        _ => return Err(malformed()),
    };
    stack.set_field(table, name)
}

/// Writes what a script returns.
pub struct ReplyWriter {
    pub reply: Reply,
    /// The script speaks RESP3: its booleans are booleans.
    pub resp3: bool,
    /// Codes of errors that the server hasn't counted.
    pub errors: Vec<Vec<u8>>,
}

impl ReplyWriter {
    /// The topmost value, which is taken; where it is too deep to be read on, an error instead of what is there.
    pub fn write(&mut self, stack: &mut Stack<'_>) {
        let slot = stack.count();
        match stack.kind(slot) {
            Kind::Text => self.reply.bulk(stack.text(slot).unwrap_or_default()),
            Kind::Boolean => match stack.boolean(slot) {
                yes if self.resp3 => self.reply.boolean(yes),
                true => self.reply.integer(1),
                false => self.reply.null(),
            },
            Kind::Number => self.reply.integer(truncated(stack.number(slot).unwrap_or_default())),
            Kind::Table if !stack.has_depth() || self.table(stack, slot).is_err() => self.too_deep(),
            Kind::Table => {}
            _ => self.reply.null(),
        }
        stack.truncate(slot - 1);
    }

    fn too_deep(&mut self) {
        self.error(b"ERR reached lua stack limit", false);
    }

    /// An error; its code is to be counted unless it was.
    pub fn error(&mut self, text: &[u8], counted: bool) {
        /// Errors that are counted of one script.
        const MOST: usize = 128;
        let error = CommandError::new(until_zero(text));
        if !counted && self.errors.len() < MOST {
            self.errors.push(error.code().to_vec());
        }
        self.reply.error(&error);
    }

    /// Fails only as long as it has written nothing.
    fn table(&mut self, stack: &mut Stack<'_>, table: usize) -> Result<()> {
        let value = table + 1;
        for meaning in Meaning::ALL {
            stack.truncate(table);
            stack.push_field(table, meaning.field())?;
            match (meaning, stack.kind(value)) {
                (Meaning::Error, Kind::Text) => {
                    stack.push_field(table, b"ignore_error_stats_update")?;
                    let counted = stack.kind(value + 1) == Kind::Boolean && stack.boolean(value + 1);
                    self.error(stack.text(value).unwrap_or_default(), counted);
                }
                (Meaning::Status, Kind::Text) => {
                    self.status(until_zero(stack.text(value).unwrap_or_default()))
                }
                (Meaning::Double, Kind::Number) => self.reply.double(stack.number(value).unwrap_or_default()),
                (Meaning::BigNumber, Kind::Text) => {
                    let digits = one_line(stack.text(value).unwrap_or_default());
                    self.reply.big_number(&digits);
                }
                (Meaning::Verbatim, Kind::Table) => {
                    stack.push_field(value, b"format")?;
                    stack.push_field(value, b"string")?;
                    let (Some(format), Some(text)) = (stack.text(value + 1), stack.text(value + 2)) else {
                        continue;
                    };
                    self.reply.verbatim(&three_bytes(format), text);
                }
                (Meaning::Map, Kind::Table) => self.map(stack, value),
                (Meaning::Set, Kind::Table) => self.set(stack, value),
                _ => continue,
            }
            return Ok(());
        }
        stack.truncate(table);
        self.array(stack, table);
        Ok(())
    }

    fn map(&mut self, stack: &mut Stack<'_>, table: usize) {
        let (open, mut count) = (self.reply.open(), 0);
        let walked = stack.pairs(table, |stack, key, value| {
            stack.push_copy(key)?;
            self.write(stack);
            debug_assert_eq!(stack.count(), value);
            self.write_copy(stack, value);
            count += 1;
            Ok(true)
        });
        if walked.is_err() {
            self.too_deep();
            self.too_deep();
            count += 1;
        }
        self.reply.close_map(open, count);
    }

    fn set(&mut self, stack: &mut Stack<'_>, table: usize) {
        let (open, mut count) = (self.reply.open(), 0);
        let walked = stack.pairs(table, |stack, key, _| {
            stack.push_copy(key)?;
            self.write(stack);
            count += 1;
            Ok(true)
        });
        if walked.is_err() {
            self.too_deep();
            count += 1;
        }
        self.reply.close_set(open, count);
    }

    fn write_copy(&mut self, stack: &mut Stack<'_>, slot: usize) {
        match stack.push_copy(slot) {
            Ok(()) => self.write(stack),
            Err(_) => self.too_deep(),
        }
    }

    /// The items up to the first nil.
    fn array(&mut self, stack: &mut Stack<'_>, table: usize) {
        let (open, mut count) = (self.reply.open(), 0);
        loop {
            let is_there = stack.push_item(table, count as i32 + 1).is_ok();
            if is_there && stack.kind(table + 1) == Kind::Nil {
                break;
            }
            count += 1;
            if !is_there {
                self.too_deep();
                break;
            }
            self.write(stack);
        }
        stack.truncate(table);
        self.reply.close_array(open, count);
    }

    fn status(&mut self, text: &[u8]) {
        self.reply.raw(b"+");
        self.reply.raw(&one_line(text));
        self.reply.raw(b"\r\n");
    }
}

/// A text without line ends.
fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// What a field of a table makes of it, in the order in which they count.
#[derive(Clone, Copy)]
enum Meaning {
    Error,
    Status,
    Double,
    BigNumber,
    Verbatim,
    Map,
    Set,
}

impl Meaning {
    const ALL: [Meaning; 7] = [
        Meaning::Error,
        Meaning::Status,
        Meaning::Double,
        Meaning::BigNumber,
        Meaning::Verbatim,
        Meaning::Map,
        Meaning::Set,
    ];

    fn field(self) -> &'static [u8] {
        match self {
            Meaning::Error => b"err",
            Meaning::Status => b"ok",
            Meaning::Double => b"double",
            Meaning::BigNumber => b"big_number",
            Meaning::Verbatim => b"verbatim_string",
            Meaning::Map => b"map",
            Meaning::Set => b"set",
        }
    }
}

/// A text as C reads it.
fn until_zero(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// The format of a verbatim string, which has three bytes: up to a zero those of the text.
fn three_bytes(format: &[u8]) -> [u8; 3] {
    let mut three = *b"   ";
    three.iter_mut().zip(until_zero(format)).for_each(|(place, byte)| *place = *byte);
    three
}
