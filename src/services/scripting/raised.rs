//! Errors that Rust functions raise into Lua, and the values that a script sees of them.
//!
//! Lua can raise any value; a Rust function only an [`mlua::Error`], which Lua code would see as userdata. So every place
//! where a script can catch an error (`pcall`, `xpcall`, `coroutine.resume` and `wrap`, the end of the script) makes of it
//! what Redis raises: a string, or a table with the error in its field `err`.

use mlua::{Error, Lua, Result, Value};

use crate::sys::lua::{self, Stack};

/// An error that a script sees as a table: `{err = text}`, and whether the server has counted it already.
#[derive(Debug)]
pub struct ErrorTable {
    /// Begins with the error's code.
    pub text: Vec<u8>,
    pub counted: bool,
}

impl std::fmt::Display for ErrorTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl std::error::Error for ErrorTable {}

impl ErrorTable {
    /// Of a text without a code, or of one with `-` and a code before it (`luaPushError`).
    pub fn new(text: &[u8], counted: bool) -> Self {
        ErrorTable { text: with_code(text), counted }
    }

    /// Of a fixed text without a code that nothing has counted.
    pub fn plain(text: &str) -> Error {
        Error::external(ErrorTable::new(text.as_bytes(), false))
    }

    /// The table.
    pub fn to_table(&self, lua: &Lua) -> Result<Value> {
        let table = lua.create_table()?;
        table.raw_set("err", lua.create_string(&self.text)?)?;
        if self.counted {
            table.raw_set("ignore_error_stats_update", true)?;
        }
        Ok(Value::Table(table))
    }
}

/// Pushes the table of an error, which [`with_code`] makes of its text.
pub fn push_table(stack: &mut Stack<'_>, text: &[u8], counted: bool) -> lua::Result<()> {
    stack.push_table(0, 2)?;
    let table = stack.count();
    stack.push_text(&with_code(text))?;
    stack.set_field(table, b"err")?;
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

/// What a script sees of an error value: of a Rust function's error its string or table, of any other value itself.
pub fn visible(lua: &Lua, value: Value) -> Result<Value> {
    match &value {
        Value::Error(error) => visible_error(lua, error),
        _ => Ok(value),
    }
}

fn visible_error(lua: &Lua, error: &Error) -> Result<Value> {
    let text = match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => {
            return visible_error(lua, cause);
        }
        Error::ExternalError(external) => {
            if let Some(table) = external.downcast_ref::<ErrorTable>() {
                return table.to_table(lua);
            }
            external.to_string()
        }
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
        Error::MemoryError(_) => "not enough memory".to_string(),
        other => other.to_string(),
    };
    Ok(Value::String(lua.create_string(text)?))
}
