//! `cjson.decode`: a Lua value from JSON.
//!
//! The parser keeps its own stack, so that depth costs no C stack. What an object or array has is collected, and its
//! table made at its end, in one go; handles of tables (Lua 5.1 has room for some thousands) are collected up to a
//! number, beyond which they are put into their parent's table at once.

use mlua::{Either, Error, Lua, LuaString, Result, Table, Value};

use super::super::arguments::{self, MAX_STACK_SLOTS, argument_error, error};
use super::{Settings, number};

/// Handles of tables that are collected at a time.
const MAX_HANDLES: usize = 512;

/// A value as it is collected: text of the input, text with escapes in it, or any other.
type Item<'j> = Either<&'j str, Either<String, Value>>;

enum Token<'j> {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Item(Item<'j>, &'static str),
    Error(&'static str),
}

impl Token<'_> {
    /// What an error calls it.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Item(_, name) | Token::Error(name) => name,
        }
    }
}

/// An object or array that is open.
struct Frame {
    object: bool,
    /// Where its keys and items begin in the collected ones.
    keys: usize,
    items: usize,
    /// Its table, if that was made before its end, and the items in it.
    table: Option<Table>,
    placed: usize,
    /// Handles among its collected keys and items.
    handles: usize,
}

struct Decoder<'j> {
    lua: &'j Lua,
    settings: &'j Settings,
    json: &'j [u8],
    /// The same as text, if it is UTF-8.
    text: Option<&'j str>,
    at: usize,
    /// Where the last token begins, or what is wrong in it.
    token_at: usize,
    frames: Vec<Frame>,
    keys: Vec<Item<'j>>,
    items: Vec<Item<'j>>,
    handles: usize,
    /// The slots of Lua's stack that the original would use.
    slots: usize,
    array_metatable: Option<Table>,
}

/// `cjson.decode(json)`.
pub fn decode(lua: &Lua, settings: &Settings, values: &[Value]) -> Result<Value> {
    if values.len() != 1 {
        return Err(argument_error(lua, 1, "expected 1 argument"));
    }
    let json: LuaString = arguments::string(lua, values, 1)?;
    let json = json.as_bytes();
    if json.len() >= 2 && (json[0] == 0 || json[1] == 0) {
        return Err(error(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder {
        lua,
        settings,
        json: &json,
        text: std::str::from_utf8(&json).ok(),
        at: 0,
        token_at: 0,
        frames: Vec::new(),
        keys: Vec::new(),
        items: Vec::new(),
        handles: 0,
        slots: 1,
        array_metatable: if settings.array_metatable.get() { Some(array_metatable(lua)?) } else { None },
    };
    decoder.decode()
}

/// The metatable by which the encoder knows an array, even an empty one. It is empty itself: what a script reads
/// in it comes from its own metatable, and what it writes is refused.
fn array_metatable(lua: &Lua) -> Result<Table> {
    let fields = lua.create_table()?;
    fields.raw_set("__is_cjson_array", true)?;
    let protection = lua.create_table()?;
    protection.raw_set("__index", fields)?;
    let refuse = |lua: &Lua, _: mlua::Variadic<Value>| -> Result<()> {
        Err(error(lua, "Attempt to modify a readonly table"))
    };
    protection.raw_set("__newindex", lua.create_function(refuse)?)?;
    protection.raw_set("__metatable", false)?;
    let metatable = lua.create_table()?;
    metatable.set_metatable(Some(protection))?;
    Ok(metatable)
}

impl<'j> Decoder<'j> {
    fn decode(&mut self) -> Result<Value> {
        let mut token = self.next();
        loop {
            let mut item = match token {
                Token::Item(item, _) => item,
                Token::ObjectBegin => {
                    self.descend(true)?;
                    match self.next() {
                        Token::ObjectEnd => self.ascend()?,
                        key => {
                            token = self.key(key)?;
                            continue;
                        }
                    }
                }
                Token::ArrayBegin => {
                    self.descend(false)?;
                    match self.next() {
                        Token::ArrayEnd => self.ascend()?,
                        first => {
                            token = first;
                            continue;
                        }
                    }
                }
                other => return Err(self.expected("value", &other)),
            };
            // Goes up as long as the item ends what it is in.
            token = loop {
                let Some(frame) = self.frames.last() else { return self.end(item) };
                let object = frame.object;
                self.collect(item)?;
                match self.next() {
                    Token::Comma if object => {
                        let key = self.next();
                        break self.key(key)?;
                    }
                    Token::Comma => break self.next(),
                    Token::ObjectEnd if object => item = self.ascend()?,
                    Token::ArrayEnd if !object => item = self.ascend()?,
                    other if object => return Err(self.expected("comma or object end", &other)),
                    other => return Err(self.expected("comma or array end", &other)),
                }
            };
        }
    }

    fn expected(&self, expected: &str, found: &Token) -> Error {
        error(
            self.lua,
            format!("Expected {expected} but found {} at character {}", found.name(), self.token_at + 1),
        )
    }

    /// The whole value, if nothing is behind it.
    fn end(&mut self, item: Item<'j>) -> Result<Value> {
        match self.next() {
            Token::End => {}
            other => return Err(self.expected("the end", &other)),
        }
        Ok(match item {
            Either::Left(text) => Value::String(self.lua.create_string(text)?),
            Either::Right(Either::Left(text)) => Value::String(self.lua.create_string(text)?),
            Either::Right(Either::Right(value)) => value,
        })
    }

    /// Collects a key, and returns the token behind its colon.
    fn key(&mut self, token: Token<'j>) -> Result<Token<'j>> {
        match token {
            Token::Item(key, "T_STRING") => {
                if is_handle(&key) {
                    self.count_handle();
                }
                self.keys.push(key);
            }
            other => return Err(self.expected("object key string", &other)),
        }
        match self.next() {
            Token::Colon => Ok(self.next()),
            other => Err(self.expected("colon", &other)),
        }
    }

    fn descend(&mut self, object: bool) -> Result<()> {
        let depth = self.frames.len() + 1;
        if depth > self.settings.decode_max_depth.get() as usize
            || self.slots + if object { 3 } else { 2 } > MAX_STACK_SLOTS
        {
            let text = format!("Found too many nested data structures ({depth}) at character {}", self.at);
            return Err(error(self.lua, text));
        }
        // A table, and a key that waits for its value.
        self.slots += if object { 2 } else { 1 };
        self.frames.push(Frame {
            object,
            keys: self.keys.len(),
            items: self.items.len(),
            table: None,
            placed: 0,
            handles: 0,
        });
        Ok(())
    }

    /// Ends the last object or array: its table.
    fn ascend(&mut self) -> Result<Item<'j>> {
        let Some(mut frame) = self.frames.pop() else { return Ok(other(Value::Nil)) };
        self.slots -= if frame.object { 2 } else { 1 };
        self.place(&mut frame)?;
        let table = match frame.table {
            Some(table) => table,
            None => self.lua.create_table()?,
        };
        if !frame.object
            && let Some(metatable) = &self.array_metatable
        {
            table.set_metatable(Some(metatable.clone()))?;
        }
        Ok(other(Value::Table(table)))
    }

    /// Collects an item of the last object or array, and puts all it has into its table if there are many handles.
    fn collect(&mut self, item: Item<'j>) -> Result<()> {
        if is_handle(&item) {
            self.count_handle();
        }
        self.items.push(item);
        if self.handles > MAX_HANDLES
            && let Some(mut frame) = self.frames.pop()
        {
            self.place(&mut frame)?;
            self.frames.push(frame);
        }
        Ok(())
    }

    fn count_handle(&mut self) {
        self.handles += 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.handles += 1;
        }
    }

    /// Puts what has been collected for an object or array into its table.
    fn place(&mut self, frame: &mut Frame) -> Result<()> {
        self.handles -= std::mem::take(&mut frame.handles);
        let count = self.items.len() - frame.items;
        let mut items = self.items.drain(frame.items..);
        match &frame.table {
            None if count == 0 => {}
            None if frame.object => {
                // The table has its final size from the beginning: some keys come in another order than from a table that
                // has grown, as Redis's have. Lua leaves that order open, and growing costs a third of the time.
                let pairs = self.keys.drain(frame.keys..).zip(items);
                frame.table = Some(self.lua.create_table_from(pairs)?);
            }
            None => frame.table = Some(self.lua.create_sequence_from(items)?),
            Some(table) if frame.object => {
                self.keys
                    .drain(frame.keys..)
                    .zip(items)
                    .try_for_each(|(key, item)| table.raw_set(key, item))?;
            }
            Some(table) => (frame.placed + 1..)
                .zip(&mut items)
                .try_for_each(|(index, item)| table.raw_set(index, item))?,
        }
        frame.placed += count;
        Ok(())
    }

    /// The byte at the position; beyond the end the zero that ends a string of C.
    fn byte(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token<'j> {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.token_at = self.at;
        let token = match self.byte() {
            b'"' => return self.string(),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'-' | b'0'..=b'9' => {
                let refused = !self.settings.decode_invalid_numbers.get() && self.is_invalid_number();
                return if refused { Token::Error("invalid number") } else { self.number() };
            }
            0 => return Token::End,
            _ => return self.word(),
        };
        self.at += 1;
        token
    }

    fn word(&mut self) -> Token<'j> {
        let rest = &self.json[self.at..];
        let (value, length, name) = if rest.starts_with(b"true") {
            (Value::Boolean(true), 4, "T_BOOLEAN")
        } else if rest.starts_with(b"false") {
            (Value::Boolean(false), 5, "T_BOOLEAN")
        } else if rest.starts_with(b"null") {
            (Value::NULL, 4, "T_NULL")
        } else if matches!(rest.first(), Some(b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+'))
            && self.settings.decode_invalid_numbers.get()
            && self.is_invalid_number()
        {
            return self.number();
        } else {
            return Token::Error("invalid token");
        };
        self.at += length;
        Token::Item(other(value), name)
    }

    fn number(&mut self) -> Token<'j> {
        let Some((number, length)) = number::read(&self.json[self.at..]) else {
            return Token::Error("invalid number");
        };
        self.at += length;
        Token::Item(other(Value::Number(number)), "T_NUMBER")
    }

    /// Whether what begins here is a number for `strtod`, but not for JSON.
    fn is_invalid_number(&self) -> bool {
        let rest = &self.json[self.at..];
        if rest.first() == Some(&b'+') {
            return true;
        }
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        match rest.first() {
            Some(b'0') => matches!(rest.get(1), Some(b'x' | b'X' | b'0'..=b'9')),
            None | Some(..=b'9') => false,
            _ => rest
                .get(..3)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")),
        }
    }

    /// An error at the position instead of at the token's begin.
    fn error_here(&mut self, text: &'static str) -> Token<'j> {
        self.token_at = self.at;
        Token::Error(text)
    }

    fn string(&mut self) -> Token<'j> {
        self.at += 1;
        let begin = self.at;
        match self.plain_part() {
            b'"' => {
                let end = self.at;
                self.at += 1;
                let item = match self.text {
                    Some(text) => Either::Left(&text[begin..end]),
                    None => return self.bytes_item(&self.json[begin..end]),
                };
                return Token::Item(item, "T_STRING");
            }
            b'\\' => {}
            _ => return self.error_here("unexpected end of string"),
        }
        let mut string = self.json[begin..self.at].to_vec();
        loop {
            let part = self.at;
            let end = self.plain_part();
            string.extend_from_slice(&self.json[part..self.at]);
            match end {
                b'"' => break,
                b'\\' => {}
                _ => return self.error_here("unexpected end of string"),
            }
            if let Err(text) = self.escape(&mut string) {
                return self.error_here(text);
            }
        }
        self.at += 1;
        match String::from_utf8(string) {
            Ok(text) => Token::Item(Either::Right(Either::Left(text)), "T_STRING"),
            Err(error) => self.bytes_item(error.as_bytes()),
        }
    }

    /// A string that is not UTF-8.
    fn bytes_item(&self, bytes: &[u8]) -> Token<'j> {
        match self.lua.create_string(bytes) {
            Ok(string) => Token::Item(other(Value::String(string)), "T_STRING"),
            Err(_) => Token::Error("not enough memory"),
        }
    }

    /// Goes to the next quote, backslash or zero of a string, and returns it.
    fn plain_part(&mut self) -> u8 {
        let rest = &self.json[self.at..];
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0)).unwrap_or(rest.len());
        self.at += length;
        rest.get(length).copied().unwrap_or(0)
    }

    /// Appends what the escape at the position stands for.
    fn escape(&mut self, string: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        let byte = match self.json.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(b'u') => {
                let (character, length) = self.unicode_escape().ok_or("invalid unicode escape code")?;
                string.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        string.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character of `\u` and four digits, or of two of them that are a surrogate pair, and the bytes these have.
    fn unicode_escape(&self) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.json.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |value, &digit| Some(value << 4 | (digit as char).to_digit(16)?))
        };
        let high = unit(self.at)?;
        if !(0xD800..0xE000).contains(&high) {
            return Some((char::from_u32(high)?, 6));
        }
        let low = unit(self.at + 6).filter(|low| high < 0xDC00 && (0xDC00..0xE000).contains(low))?;
        Some((char::from_u32(0x10000 + ((high & 0x3FF) << 10 | low & 0x3FF))?, 12))
    }
}

fn other<'j>(value: Value) -> Item<'j> {
    Either::Right(Either::Right(value))
}

fn is_handle(item: &Item) -> bool {
    matches!(item, Either::Right(Either::Right(Value::Table(_) | Value::String(_))))
}
