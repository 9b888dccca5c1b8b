//! Lua values of replies, and replies of Lua values.

use mlua::{Error, Lua, LuaString, Result, Table, Value};

use super::arguments::truncated;
use super::host::Host;
use super::raised::ErrorTable;
use crate::base::number;
use crate::resp::{CommandError, Reply};

/// Aggregates within each other that a script may return.
const MAX_DEPTH: usize = 7990;
/// Aggregates within each other that a reply has; none has as many.
const MAX_REPLY_DEPTH: usize = 128;

/// A reply being read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn malformed() -> Error {
    Error::RuntimeError("a reply that is not RESP".into())
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

/// The value of a reply. An error is the table that `redis.pcall` returns.
pub fn reply_to_lua(lua: &Lua, bytes: &[u8]) -> Result<Value> {
    read(lua, &mut Reader { bytes, at: 0 }, 0)
}

fn read(lua: &Lua, reader: &mut Reader<'_>, depth: usize) -> Result<Value> {
    if depth > MAX_REPLY_DEPTH {
        return Err(malformed());
    }
    let string = |bytes: &[u8]| Ok::<_, Error>(Value::String(lua.create_string(bytes)?));
    Ok(match reader.take(1)?[0] {
        b'$' => match reader.number()? {
            -1 => Value::Boolean(false),
            len => string(reader.string(len)?)?,
        },
        b':' => Value::Integer(reader.number()?),
        b'+' => single_field(lua, "ok", string(reader.line()?)?)?,
        b'-' => ErrorTable::new(&[b"-", reader.line()?].concat(), true).to_table(lua)?,
        b'*' | b'>' => match reader.number()? {
            -1 => Value::Boolean(false),
            count => {
                let table = lua.create_table_with_capacity(count.clamp(0, 1 << 20) as usize, 0)?;
                for index in 1..=count {
                    let item = read(lua, reader, depth + 1)?;
                    table.raw_set(index, item)?;
                }
                Value::Table(table)
            }
        },
        b'%' => {
            let table = lua.create_table()?;
            for _ in 0..reader.number()? {
                let key = read(lua, reader, depth + 1)?;
                table.raw_set(key, read(lua, reader, depth + 1)?)?;
            }
            single_field(lua, "map", Value::Table(table))?
        }
        b'~' => {
            let table = lua.create_table()?;
            for _ in 0..reader.number()? {
                table.raw_set(read(lua, reader, depth + 1)?, true)?;
            }
            single_field(lua, "set", Value::Table(table))?
        }
        b'_' => {
            reader.line()?;
            Value::Nil
        }
        b'#' => Value::Boolean(reader.line()? == b"t"),
        b',' => {
            let number = number::parse_f64(reader.line()?).ok_or_else(malformed)?;
            single_field(lua, "double", Value::Number(number))?
        }
        b'(' => single_field(lua, "big_number", string(reader.line()?)?)?,
        b'=' => {
            let len = reader.number()?;
            let text = reader.string(len)?;
            let inner = lua.create_table()?;
            inner.raw_set("string", string(text.get(4..).unwrap_or_default())?)?;
            inner.raw_set("format", string(text.get(..3).unwrap_or_default())?)?;
            single_field(lua, "verbatim_string", Value::Table(inner))?
        }
        b'|' => {
            // Scripts don't see attributes.
            for _ in 0..reader.number()?.saturating_mul(2) {
                read(lua, reader, depth + 1)?;
            }
            read(lua, reader, depth + 1)?
        }
        _ => return Err(malformed()),
    })
}

fn single_field(lua: &Lua, field: &str, value: Value) -> Result<Value> {
    let table = lua.create_table()?;
    table.raw_set(field, value)?;
    Ok(Value::Table(table))
}

/// The names of fields that give a table a meaning.
pub struct FieldNames {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
    big_number: LuaString,
    verbatim: LuaString,
    map: LuaString,
    set: LuaString,
    counted: LuaString,
}

impl FieldNames {
    pub fn new(lua: &Lua) -> Result<Self> {
        Ok(FieldNames {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            double: lua.create_string("double")?,
            big_number: lua.create_string("big_number")?,
            verbatim: lua.create_string("verbatim_string")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
            counted: lua.create_string("ignore_error_stats_update")?,
        })
    }
}

/// Writes what a script returns.
pub struct ReplyWriter<'a> {
    pub host: &'a Host<'a>,
    pub names: &'a FieldNames,
    pub reply: Reply,
    /// The script speaks RESP3: its booleans are booleans.
    pub resp3: bool,
    /// Codes of errors that the server hasn't counted.
    pub errors: Vec<Vec<u8>>,
}

impl ReplyWriter<'_> {
    /// A value; where it is too deep to be read on, an error instead of what is there.
    pub fn write(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.reply.bulk(&text.as_bytes()),
            Value::Boolean(yes) if self.resp3 => self.reply.boolean(*yes),
            Value::Boolean(true) => self.reply.integer(1),
            Value::Boolean(false) => self.reply.null(),
            Value::Integer(number) => self.reply.integer(*number),
            Value::Number(number) => self.reply.integer(truncated(*number)),
            Value::Table(_) if depth >= MAX_DEPTH || !self.host.has_stack() => self.too_deep(),
            Value::Table(table) => {
                if self.table(table, depth + 1).is_err() {
                    self.too_deep();
                }
            }
            _ => self.reply.null(),
        }
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
    fn table(&mut self, table: &Table, depth: usize) -> Result<()> {
        let names = self.names;
        if let Value::String(text) = table.raw_get(&names.err)? {
            let counted = matches!(table.get(&names.counted), Ok(Value::Boolean(true)));
            self.error(&text.as_bytes(), counted);
        } else if let Value::String(text) = table.raw_get(&names.ok)? {
            self.status(until_zero(&text.as_bytes()));
        } else if let Some(number) = table.raw_get::<Value>(&names.double)?.as_number() {
            self.reply.double(number);
        } else if let Value::String(digits) = table.raw_get(&names.big_number)? {
            let digits = String::from_utf8_lossy(&digits.as_bytes()).replace(['\r', '\n'], " ");
            self.reply.big_number(&digits);
        } else if let Some((format, text)) = verbatim(table, names)? {
            self.reply.verbatim(&format, &text.as_bytes());
        } else if let Value::Table(map) = table.raw_get(&names.map)? {
            let (open, mut count) = (self.reply.open(), 0);
            for pair in map.pairs::<Value, Value>() {
                count += 1;
                let Ok((key, value)) = pair else {
                    self.too_deep();
                    self.too_deep();
                    break;
                };
                self.write(&key, depth);
                self.write(&value, depth);
            }
            self.reply.close_map(open, count);
        } else if let Value::Table(set) = table.raw_get(&names.set)? {
            let (open, mut count) = (self.reply.open(), 0);
            for pair in set.pairs::<Value, Value>() {
                count += 1;
                let Ok((key, _)) = pair else {
                    self.too_deep();
                    break;
                };
                self.write(&key, depth);
            }
            self.reply.close_set(open, count);
        } else {
            self.array(table, depth);
        }
        Ok(())
    }

    /// The items up to the first nil.
    fn array(&mut self, table: &Table, depth: usize) {
        let (open, mut count) = (self.reply.open(), 0);
        loop {
            match table.raw_get(count + 1) {
                Ok(Value::Nil) => break,
                Ok(item) => self.write(&item, depth),
                Err(_) => {
                    self.too_deep();
                    count += 1;
                    break;
                }
            }
            count += 1;
        }
        self.reply.close_array(open, count);
    }

    fn status(&mut self, text: &[u8]) {
        let line = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        let text: Vec<u8> = text.iter().map(line).collect();
        self.reply.raw(b"+");
        self.reply.raw(&text);
        self.reply.raw(b"\r\n");
    }
}

/// A text as C reads it.
fn until_zero(text: &[u8]) -> &[u8] {
    &text[..memchr::memchr(0, text).unwrap_or(text.len())]
}

/// Format and text of a verbatim string, if a table is one.
fn verbatim(table: &Table, names: &FieldNames) -> Result<Option<(String, LuaString)>> {
    let Value::Table(inner) = table.raw_get(&names.verbatim)? else { return Ok(None) };
    let (Value::String(format), Value::String(text)) = (inner.raw_get("format")?, inner.raw_get("string")?)
    else {
        return Ok(None);
    };
    // A format has three letters.
    let letter = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { ' ' };
    let format: String = format.as_bytes().iter().map(letter).chain("   ".chars()).take(3).collect();
    Ok(Some((format, text)))
}
