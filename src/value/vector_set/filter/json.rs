//! Fields of a JSON object, found in one pass without a tree: what filter expressions need of an attribute.
//!
//! Only what is asked for is looked at closely: a text, a number, `true` (1), `false` (0), `null`, or an array of these, also within
//! each other up to [`MAX_DEPTH`]. An object as a value is none. Of escapes `\n \r \t \\ \"` are known; of others the backslash goes.
//! What follows the last field that is asked for is not read.

use std::borrow::Cow;

use super::{MAX_NUMBER_TEXT, Operand, parse_number};
use crate::base::number::is_c_space;

/// Arrays within each other.
const MAX_DEPTH: usize = 32;

/// Looks for the first value of each of these fields; false if one isn't there or has a value that can't be used.
pub(super) fn find_fields<'a>(
    json: &'a [u8],
    names: &[Box<[u8]>],
    values: &mut [Option<Operand<'a>>],
) -> bool {
    let mut missing = names.len();
    let mut input = Input { bytes: json, at: 0 };
    if missing == 0 {
        return true;
    }
    input.skip_space();
    if !input.take(b'{') {
        return false;
    }
    loop {
        input.skip_space();
        let start = input.at + 1;
        if input.skip_string().is_none() {
            return false;
        }
        let key = &json[start..input.at - 1];
        input.skip_space();
        if !input.take(b':') {
            return false;
        }
        input.skip_space();
        // A field without a name is none.
        let wanted = names.iter().position(|name| **name == *key).filter(|_| !key.is_empty());
        if let Some(at) = wanted.filter(|at| values[*at].is_none()) {
            let mut value = Input { bytes: json, at: input.at };
            values[at] = value.value(0);
            missing -= 1;
            if values[at].is_none() {
                return false;
            }
            if missing == 0 {
                return true;
            }
        }
        if input.skip_value().is_none() {
            return false;
        }
        input.skip_space();
        if !input.take(b',') {
            return false;
        }
    }
}

/// The elements of an array that was checked.
pub(super) fn elements(array: &[u8]) -> impl Iterator<Item = Operand<'_>> {
    let mut input = Input { bytes: array, at: 1 };
    std::iter::from_fn(move || {
        input.skip_space();
        let element = input.value(1)?;
        input.skip_space();
        input.take(b',');
        Some(element)
    })
}

/// Reads from the front.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn is_number_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_c_space) {
            self.at += 1;
        }
    }

    /// Passes over a text with its quotes; `None` if there is none, or it doesn't end.
    fn skip_string(&mut self) -> Option<()> {
        if !self.take(b'"') {
            return None;
        }
        loop {
            let rest = self.bytes.get(self.at..)?;
            let at = memchr::memchr2(b'"', b'\\', rest)?;
            let is_end = rest[at] == b'"';
            self.at += at + if is_end { 1 } else { 2 };
            if is_end {
                return Some(());
            }
        }
    }

    /// Passes over an array or an object, of which only the brackets of its own kind are looked at.
    fn skip_bracketed(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                byte if byte == open => depth += 1,
                byte if byte == close => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_word(&mut self, word: &[u8]) -> Option<()> {
        let is_there = self.bytes[self.at..].starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there.then_some(())
    }

    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => self.skip_bracketed(b'{', b'}'),
            b'[' => self.skip_bracketed(b'[', b']'),
            b't' => self.skip_word(b"true"),
            b'f' => self.skip_word(b"false"),
            b'n' => self.skip_word(b"null"),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(is_number_byte) {
                    self.at += 1;
                }
                (self.at > start).then_some(())
            }
        }
    }

    /// Reads a value that an operator can work on.
    fn value(&mut self, depth: usize) -> Option<Operand<'a>> {
        match self.peek()? {
            b'"' => self.text(),
            b'[' => self.array(depth),
            b't' => self.word(b"true", Operand::Number(1.0)),
            b'f' => self.word(b"false", Operand::Number(0.0)),
            b'n' => self.word(b"null", Operand::Null),
            b'0'..=b'9' | b'-' | b'+' => self.number(),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Operand<'a>> {
        let start = self.at + 1;
        self.skip_string()?;
        let raw = &self.bytes[start..self.at - 1];
        if memchr::memchr(b'\\', raw).is_none() {
            return Some(Operand::Text(Cow::Borrowed(raw)));
        }
        let mut text = Vec::with_capacity(raw.len());
        let mut bytes = raw.iter().copied();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                b'\\' => match bytes.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                },
                other => other,
            });
        }
        Some(Operand::Text(Cow::Owned(text)))
    }

    fn number(&mut self) -> Option<Operand<'a>> {
        let rest = &self.bytes[self.at..];
        let most = &rest[..rest.len().min(MAX_NUMBER_TEXT)];
        let len = most.iter().position(|byte| !is_number_byte(*byte)).unwrap_or(most.len());
        let number = parse_number(&most[..len])?;
        self.at += len;
        Some(Operand::Number(number))
    }

    /// A word that ends where a value may end.
    fn word(&mut self, word: &[u8], value: Operand<'a>) -> Option<Operand<'a>> {
        self.skip_word(word)?;
        let ends = self.peek().is_none_or(|next| is_c_space(next) || matches!(next, b',' | b']' | b'}'));
        ends.then_some(value)
    }

    /// An array all of whose elements are values.
    fn array(&mut self, depth: usize) -> Option<Operand<'a>> {
        if depth == MAX_DEPTH {
            return None;
        }
        let start = self.at;
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Some(Operand::Array(&self.bytes[start..self.at]));
        }
        loop {
            self.skip_space();
            self.value(depth + 1)?;
            self.skip_space();
            if self.take(b']') {
                return Some(Operand::Array(&self.bytes[start..self.at]));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }
}
