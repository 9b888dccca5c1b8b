//! Arguments and errors of library functions, checked and worded as Lua's auxiliary library does (`lauxlib`).
//!
//! Every error is a `RuntimeError` whose text begins with the position of the caller (`user_script:1: `), as
//! `luaL_error` puts it there. What raises it into Lua has to make a plain string of it.

use mlua::{Error, Lua, Value};

use crate::sys::lua::{self, Caller, Kind, Stack};

/// The slots that one call of a C function has at most in Lua 5.1 (`LUAI_MAXCSTACK`). The libraries of Redis keep what
/// they nest and return there, so its end is visible in their errors.
pub const MAX_STACK_SLOTS: usize = 8000;

/// The name of the sandbox's own Lua code: an error is where that was called.
pub const SANDBOX_CHUNK: &str = "=(sandbox)";

/// Where the caller of the running function is (`luaL_where`): `chunk:line: `, or nothing for one that isn't Lua.
fn position(lua: &Lua) -> String {
    let mut level = 1;
    loop {
        let found = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            if source.source.as_deref() == Some(SANDBOX_CHUNK) {
                return None;
            }
            let line = debug.current_line().filter(|&line| line > 0);
            let name = source.short_src.unwrap_or_default();
            Some(line.map_or_else(String::new, |line| format!("{name}:{line}: ")))
        });
        match found {
            None => return String::new(),
            Some(Some(position)) => return position,
            Some(None) => level += 1,
        }
    }
}

/// An error with the caller's position before it (`luaL_error`).
#[cold]
pub fn error(lua: &Lua, text: impl AsRef<str>) -> Error {
    Error::RuntimeError(position(lua) + text.as_ref())
}

/// An error about argument `number`, counted from 1 (`luaL_argerror`).
#[cold]
pub fn argument_error(lua: &Lua, number: usize, text: impl AsRef<str>) -> Error {
    let text = text.as_ref();
    let called = lua.inspect_stack(0, |debug| {
        let names = debug.names();
        (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
    });
    let (name, method) = called.unwrap_or((None, false));
    let name = name.unwrap_or_else(|| "?".to_string());
    match (method, number) {
        (true, 1) => error(lua, format!("calling '{name}' on bad self ({text})")),
        (true, _) => error(lua, format!("bad argument #{} to '{name}' ({text})", number.saturating_sub(1))),
        (false, _) => error(lua, format!("bad argument #{number} to '{name}' ({text})")),
    }
}

/// As [`error`], of a function that works on the stack: the error is its topmost value.
#[cold]
pub fn raise(stack: &mut Stack<'_>, text: impl AsRef<str>) -> lua::Error {
    let is_sandbox = |caller: &Caller| caller.source == SANDBOX_CHUNK;
    let caller = (1..).map_while(|level| stack.caller(level)).find(|caller| !is_sandbox(caller));
    let position = match caller {
        Some(Caller { short_source, line, .. }) if line > 0 => format!("{short_source}:{line}: "),
        _ => String::new(),
    };
    raise_plain(stack, &(position + text.as_ref()))
}

/// The same without a position.
#[cold]
pub fn raise_plain(stack: &mut Stack<'_>, text: &str) -> lua::Error {
    // The function ends with it: it must have a slot.
    stack.truncate(0);
    match stack.push_text(text.as_bytes()) {
        Ok(()) => lua::Error::Raised,
        Err(error) => error,
    }
}

/// As [`argument_error`], of a function that works on the stack.
#[cold]
pub fn raise_argument(stack: &mut Stack<'_>, number: usize, text: &str) -> lua::Error {
    let called = stack.caller(0);
    let name = called.as_ref().and_then(|called| called.name.clone()).unwrap_or_else(|| "?".to_string());
    match (called.is_some_and(|called| called.is_method), number) {
        (true, 1) => raise(stack, format!("calling '{name}' on bad self ({text})")),
        (true, _) => raise(stack, format!("bad argument #{} to '{name}' ({text})", number.saturating_sub(1))),
        (false, _) => raise(stack, format!("bad argument #{number} to '{name}' ({text})")),
    }
}

/// The error of an argument of another type than the expected one.
#[cold]
fn raise_type(stack: &mut Stack<'_>, number: usize, expected: &str) -> lua::Error {
    let got = if number > stack.count() { "no value" } else { stack.kind(number).name() };
    raise_argument(stack, number, &format!("{expected} expected, got {got}"))
}

/// Works with a string argument; numbers count (`luaL_checklstring`).
pub fn with_string<R>(
    stack: &mut Stack<'_>,
    number: usize,
    work: impl FnOnce(&mut Stack<'_>, &[u8]) -> lua::Result<R>,
) -> lua::Result<R> {
    match stack.number(number) {
        Some(value) => work(stack, &super::number::lua_digits(value)),
        None if stack.kind(number) != Kind::Text => Err(raise_type(stack, number, "string")),
        None => stack.with_text(number, work).unwrap_or(Err(lua::Error::Slots)),
    }
}

/// An integer argument; strings that look like one count (`luaL_checkinteger`).
pub fn integer_in(stack: &mut Stack<'_>, number: usize) -> lua::Result<i64> {
    match stack.as_number(number) {
        Some(value) => Ok(truncated(value)),
        None => Err(raise_type(stack, number, "number")),
    }
}

/// The same, or the default where it is nil or absent (`luaL_optinteger`).
pub fn integer_in_or(stack: &mut Stack<'_>, number: usize, default: i64) -> lua::Result<i64> {
    if stack.kind(number) == Kind::Nil { Ok(default) } else { integer_in(stack, number) }
}

/// The name of a value's type as Lua 5.1 has it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) | Value::Other(_) => "userdata",
    }
}

#[cold]
fn type_error(lua: &Lua, arguments: &[Value], number: usize, expected: &str) -> Error {
    let got = arguments.get(number - 1).map_or("no value", type_name);
    argument_error(lua, number, format!("{expected} expected, got {got}"))
}

/// Argument `number` as a number; strings that look like one count (`luaL_checknumber`).
pub fn number(lua: &Lua, arguments: &[Value], number: usize) -> Result<f64, Error> {
    let found = match arguments.get(number - 1) {
        Some(Value::Integer(integer)) => Some(*integer as f64),
        Some(Value::Number(number)) => Some(*number),
        Some(value @ Value::String(_)) => lua.coerce_number(value.clone())?,
        _ => None,
    };
    found.ok_or_else(|| type_error(lua, arguments, number, "number"))
}

/// Argument `number` as an integer, cut as a conversion in C cuts it (`luaL_checkinteger`).
pub fn integer(lua: &Lua, arguments: &[Value], at: usize) -> Result<i64, Error> {
    number(lua, arguments, at).map(truncated)
}

/// Argument `number` as an integer, or the default where it is nil or absent (`luaL_optinteger`).
pub fn integer_or(lua: &Lua, arguments: &[Value], number: usize, default: i64) -> Result<i64, Error> {
    match arguments.get(number - 1) {
        None | Some(Value::Nil) => Ok(default),
        Some(_) => integer(lua, arguments, number),
    }
}

/// Argument `number` as a string; numbers count (`luaL_checklstring`).
pub fn string(lua: &Lua, arguments: &[Value], number: usize) -> Result<mlua::LuaString, Error> {
    let found = match arguments.get(number - 1) {
        Some(Value::String(string)) => Some(string.clone()),
        Some(value @ (Value::Integer(_) | Value::Number(_))) => lua.coerce_string(value.clone())?,
        _ => None,
    };
    found.ok_or_else(|| type_error(lua, arguments, number, "string"))
}

/// Argument `number` as the index of one of `options` (`luaL_checkoption`).
pub fn option(lua: &Lua, arguments: &[Value], number: usize, options: &[&str]) -> Result<usize, Error> {
    let name = string(lua, arguments, number)?;
    // A name ends at its first zero, as in C.
    let bytes = name.as_bytes();
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let found = options.iter().position(|option| option.as_bytes() == name);
    found.ok_or_else(|| {
        argument_error(lua, number, format!("invalid option '{}'", String::from_utf8_lossy(name)))
    })
}

/// A number as a 64-bit integer, as x86-64 converts it: what doesn't fit is the smallest.
pub fn truncated(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&number) { number as i64 } else { i64::MIN }
}

/// A number as an unsigned 64-bit integer, as a compiler for x86-64 converts it.
pub fn truncated_unsigned(number: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if number >= HALF { truncated(number - HALF) as u64 ^ 1 << 63 } else { truncated(number) as u64 }
}
