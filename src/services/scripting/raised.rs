//! Errors as scripts see them: a string, or a table with the error in its field `err`.

use crate::sys::lua::{self, Stack};

/// An error that a script ended with: its text, which begins with a code, and whether the server has counted it already.
#[derive(Debug)]
pub struct Failed {
    pub text: Vec<u8>,
    pub counted: bool,
}

/// Raises the table of an error that the server hasn't counted, of a text without a code.
#[cold]
pub fn raise(stack: &mut Stack<'_>, text: &str) -> lua::Error {
    stack.truncate(0);
    push_table(stack, text.as_bytes(), false).err().unwrap_or(lua::Error::Raised)
}

/// Pushes the table of an error, whose text begins with a code.
pub fn push_text(stack: &mut Stack<'_>, text: Vec<u8>) -> lua::Result<()> {
    stack.push_table(0, 2)?;
    let table = stack.count();
    stack.push_text(&text)?;
    stack.set_field(table, b"err")
}

/// Pushes the table of an error, which [`with_code`] makes of its text.
pub fn push_table(stack: &mut Stack<'_>, text: &[u8], counted: bool) -> lua::Result<()> {
    push_text(stack, with_code(text))?;
    let table = stack.count();
    if counted {
        stack.push_boolean(true)?;
        stack.set_field(table, b"ignore_error_stats_update")?;
    }
    Ok(())
}

/// An error's text as tables have it: `-CODE text` without the dash, any other text behind `ERR`; without line ends at its
/// ends.
pub fn with_code(text: &[u8]) -> Vec<u8> {
    let (code, rest) = match text.strip_prefix(b"-") {
        None => (b"ERR".as_slice(), text),
        Some(text) => match memchr::memchr(b' ', text) {
            None => (b"ERR".as_slice(), text),
            Some(at) => (&text[..at], &text[at + 1..]),
        },
    };
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = rest.iter().take_while(|byte| is_end(byte)).count();
    let ends = rest[start..].iter().rev().take_while(|byte| is_end(byte)).count();
    [code, b" ", &rest[start..rest.len() - ends]].concat()
}
