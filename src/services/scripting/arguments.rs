//! Arguments and errors of library functions, checked and worded as Lua's auxiliary library does (`lauxlib`).
//!
//! The text of every error begins with the position of the caller (`user_script:1: `), as `luaL_error` puts it there.

use crate::sys::lua::{self, Caller, Kind, Stack};

/// The slots that one call of a C function has at most in Lua 5.1 (`LUAI_MAXCSTACK`). The libraries of Redis keep what
/// they nest and return there, so its end is visible in their errors.
pub const MAX_STACK_SLOTS: usize = 8000;

/// Where the caller of the running function is (`luaL_where`): `chunk:line: `, or nothing for one that isn't Lua.
pub fn position(stack: &Stack<'_>) -> String {
    match stack.caller(1) {
        Some(Caller { short_source, line, .. }) if line > 0 => format!("{short_source}:{line}: "),
        _ => String::new(),
    }
}

/// An error with the caller's position before it (`luaL_error`): it is the topmost value.
#[cold]
pub fn raise(stack: &mut Stack<'_>, text: impl AsRef<[u8]>) -> lua::Error {
    let text = [position(stack).as_bytes(), text.as_ref()].concat();
    raise_plain(stack, text)
}

/// The same without a position.
#[cold]
pub fn raise_plain(stack: &mut Stack<'_>, text: impl AsRef<[u8]>) -> lua::Error {
    // The function ends with it: it must have a slot.
    stack.truncate(0);
    match stack.push_text(text.as_ref()) {
        Ok(()) => lua::Error::Raised,
        Err(error) => error,
    }
}

/// An error about argument `number`, counted from 1 (`luaL_argerror`).
#[cold]
pub fn raise_argument(stack: &mut Stack<'_>, number: usize, text: impl AsRef<[u8]>) -> lua::Error {
    let called = stack.caller(0);
    let name = called.as_ref().and_then(|called| called.name.clone()).unwrap_or_else(|| "?".to_string());
    let begin = match (called.is_some_and(|called| called.is_method), number) {
        (true, 1) => format!("calling '{name}' on bad self ("),
        (true, _) => format!("bad argument #{} to '{name}' (", number.saturating_sub(1)),
        (false, _) => format!("bad argument #{number} to '{name}' ("),
    };
    raise(stack, [begin.as_bytes(), text.as_ref(), b")"].concat())
}

/// The error of an argument of another type than the expected one.
#[cold]
fn raise_type(stack: &mut Stack<'_>, number: usize, expected: &str) -> lua::Error {
    let got = if number > stack.count() { "no value" } else { stack.kind(number).name() };
    raise_argument(stack, number, format!("{expected} expected, got {got}"))
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

/// A number argument; strings that look like one count (`luaL_checknumber`).
pub fn number_in(stack: &mut Stack<'_>, number: usize) -> lua::Result<f64> {
    stack.as_number(number).ok_or_else(|| raise_type(stack, number, "number"))
}

/// Refuses an argument that isn't a table (`luaL_checktype`).
pub fn check_table(stack: &mut Stack<'_>, number: usize) -> lua::Result<()> {
    check_kind(stack, number, Kind::Table)
}

/// Refuses an argument of another kind (`luaL_checktype`).
pub fn check_kind(stack: &mut Stack<'_>, number: usize, kind: Kind) -> lua::Result<()> {
    if stack.kind(number) == kind { Ok(()) } else { Err(raise_type(stack, number, kind.name())) }
}

/// Refuses an argument that isn't there (`luaL_checkany`).
pub fn check_any(stack: &mut Stack<'_>, number: usize) -> lua::Result<()> {
    if stack.count() >= number { Ok(()) } else { Err(raise_argument(stack, number, "value expected")) }
}

/// An argument as the index of one of `options` (`luaL_checkoption`).
pub fn option_in(stack: &mut Stack<'_>, number: usize, options: &[&str]) -> lua::Result<usize> {
    with_string(stack, number, |stack, name| {
        // A name ends at its first zero, as in C.
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let found = options.iter().position(|option| option.as_bytes() == name);
        found.ok_or_else(|| raise_argument(stack, number, [b"invalid option '", name, b"'"].concat()))
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
