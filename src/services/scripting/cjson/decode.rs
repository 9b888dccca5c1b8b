//! `cjson.decode`: a Lua value from JSON.
//!
//! Tables that are not complete lie on Lua's stack, as do keys that wait for their values; so depth costs no other stack.

use std::ops::Range;

use super::super::arguments::{self, MAX_STACK_SLOTS};
use super::super::number::{self, lua_digits};
use super::{Failure, Settings};
use crate::sys::lua::{self, Kind, Stack};

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Number(f64),
    Boolean(bool),
    Null,
    /// A string as it is there.
    Text(Range<usize>),
    /// A string whose escapes have been replaced.
    Unescaped(Vec<u8>),
    Error(&'static str),
}

impl Token {
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
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Text(_) | Token::Unescaped(_) => "T_STRING",
            Token::Error(name) => name,
        }
    }
}

/// An object or array that is open.
struct Frame {
    object: bool,
    table: usize,
    /// Items that an array has.
    count: i32,
}

struct Decoder<'j> {
    settings: Settings,
    json: &'j [u8],
    at: usize,
    /// Where the last token begins, or what is wrong in it.
    token_at: usize,
    frames: Vec<Frame>,
    /// The slots of Lua's stack that the original would use.
    slots: usize,
}

/// `cjson.decode(json)`.
pub fn decode(stack: &mut Stack<'_>) -> lua::Result<usize> {
    if stack.count() != 1 {
        return Err(arguments::raise_argument(stack, 1, "expected 1 argument"));
    }
    match stack.kind(1) {
        Kind::Text => {}
        Kind::Number => {
            let digits = lua_digits(stack.number(1).unwrap_or_default());
            stack.truncate(0);
            stack.push_text(&digits)?;
        }
        kind => {
            let text = format!("string expected, got {}", kind.name());
            return Err(arguments::raise_argument(stack, 1, text));
        }
    }
    let settings = Settings::of(stack);
    let decoded = stack.with_text(1, |stack, json| {
        if json.len() >= 2 && (json[0] == 0 || json[1] == 0) {
            return Err(Failure::Text("JSON parser does not support UTF-16 or UTF-32".into()));
        }
        Decoder { settings, json, at: 0, token_at: 0, frames: Vec::new(), slots: 1 }.decode(stack)
    });
    decoded.unwrap_or(Ok(())).map(|()| 1).map_err(|failure| failure.raise(stack))
}

impl Decoder<'_> {
    fn decode(&mut self, stack: &mut Stack<'_>) -> Result<(), Failure> {
        let mut token = self.next();
        loop {
            match token {
                Token::Number(number) => stack.push_number(number)?,
                Token::Boolean(value) => stack.push_boolean(value)?,
                Token::Null => stack.push_null()?,
                Token::Text(range) => stack.push_text(&self.json[range])?,
                Token::Unescaped(text) => stack.push_text(&text)?,
                Token::ObjectBegin => {
                    self.descend(stack, true)?;
                    match self.next() {
                        Token::ObjectEnd => self.ascend(stack)?,
                        key => {
                            token = self.key(stack, key)?;
                            continue;
                        }
                    }
                }
                Token::ArrayBegin => {
                    self.descend(stack, false)?;
                    match self.next() {
                        Token::ArrayEnd => self.ascend(stack)?,
                        first => {
                            token = first;
                            continue;
                        }
                    }
                }
                other => return Err(self.expected("value", &other)),
            }
            // Goes up as long as the value ends what it is in.
            token = loop {
                let Some(frame) = self.frames.last_mut() else { return self.end() };
                let object = frame.object;
                if object {
                    stack.set_pair(frame.table)?;
                } else {
                    frame.count += 1;
                    stack.set_item(frame.table, frame.count)?;
                }
                match self.next() {
                    Token::Comma if object => {
                        let key = self.next();
                        break self.key(stack, key)?;
                    }
                    Token::Comma => break self.next(),
                    Token::ObjectEnd if object => self.ascend(stack)?,
                    Token::ArrayEnd if !object => self.ascend(stack)?,
                    other if object => return Err(self.expected("comma or object end", &other)),
                    other => return Err(self.expected("comma or array end", &other)),
                }
            };
        }
    }

    fn expected(&self, expected: &str, found: &Token) -> Failure {
        let (name, at) = (found.name(), self.token_at + 1);
        Failure::Text(format!("Expected {expected} but found {name} at character {at}"))
    }

    /// Nothing may be behind the whole value.
    fn end(&mut self) -> Result<(), Failure> {
        match self.next() {
            Token::End => Ok(()),
            other => Err(self.expected("the end", &other)),
        }
    }

    /// Pushes a key, and returns the token behind its colon.
    fn key(&mut self, stack: &mut Stack<'_>, token: Token) -> Result<Token, Failure> {
        match token {
            Token::Text(range) => stack.push_text(&self.json[range])?,
            Token::Unescaped(text) => stack.push_text(&text)?,
            other => return Err(self.expected("object key string", &other)),
        }
        match self.next() {
            Token::Colon => Ok(self.next()),
            other => Err(self.expected("colon", &other)),
        }
    }

    fn descend(&mut self, stack: &mut Stack<'_>, object: bool) -> Result<(), Failure> {
        let depth = self.frames.len() + 1;
        if depth > self.settings.decode_max_depth as usize
            || self.slots + if object { 3 } else { 2 } > MAX_STACK_SLOTS
        {
            let at = self.at;
            return Err(Failure::Text(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )));
        }
        // A table, and a key that waits for its value.
        self.slots += if object { 2 } else { 1 };
        stack.push_table(0, 0)?;
        self.frames.push(Frame { object, table: stack.count(), count: 0 });
        Ok(())
    }

    /// Ends the last object or array, whose table is the topmost value.
    fn ascend(&mut self, stack: &mut Stack<'_>) -> lua::Result<()> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.slots -= if frame.object { 2 } else { 1 };
        if !frame.object && self.settings.array_metatable {
            stack.push_kept(self.settings.array_marker)?;
            stack.set_metatable(frame.table)?;
        }
        Ok(())
    }

    /// The byte at the position; beyond the end the zero that ends a string of C.
    fn byte(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
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
                let refused = !self.settings.decode_invalid_numbers && self.is_invalid_number();
                return if refused { Token::Error("invalid number") } else { self.number() };
            }
            0 => return Token::End,
            _ => return self.word(),
        };
        self.at += 1;
        token
    }

    fn word(&mut self) -> Token {
        let rest = &self.json[self.at..];
        let (token, length) = if rest.starts_with(b"true") {
            (Token::Boolean(true), 4)
        } else if rest.starts_with(b"false") {
            (Token::Boolean(false), 5)
        } else if rest.starts_with(b"null") {
            (Token::Null, 4)
        } else if matches!(rest.first(), Some(b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+'))
            && self.settings.decode_invalid_numbers
            && self.is_invalid_number()
        {
            return self.number();
        } else {
            return Token::Error("invalid token");
        };
        self.at += length;
        token
    }

    fn number(&mut self) -> Token {
        let Some((number, length)) = number::read(&self.json[self.at..]) else {
            return Token::Error("invalid number");
        };
        self.at += length;
        Token::Number(number)
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
    fn error_here(&mut self, text: &'static str) -> Token {
        self.token_at = self.at;
        Token::Error(text)
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let begin = self.at;
        match self.plain_part() {
            b'"' => {
                let end = self.at;
                self.at += 1;
                return Token::Text(begin..end);
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
        Token::Unescaped(string)
    }

    /// Goes to the next quote, backslash or zero of a string, and returns it.
    fn plain_part(&mut self) -> u8 {
        let rest = &self.json[self.at..];
        let length = memchr::memchr3(b'"', b'\\', 0, rest).unwrap_or(rest.len());
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
