//! The functions of the `string` library that look for patterns, and `rep`: Lua's own can neither be interrupted nor bounded.

use mlua::{Error, Lua, LuaString, MultiValue, Result, Value};

use super::arguments;
use super::host::{Host, MemoryLimit};
use super::pattern::{Capture, Failure, Matcher, ended_at_zero};

/// Bytes with a meaning in patterns.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// The error of a wrong pattern, at the place of the caller.
fn failure(lua: &Lua, failure: Failure<Error>) -> Error {
    match failure {
        Failure::Pattern(text) => arguments::error(lua, text),
        Failure::Stopped(error) => error,
    }
}

/// A capture as a value; without captures number 0 is the whole match.
fn captured(lua: &Lua, text: &[u8], capture: Capture) -> Result<Value> {
    match capture {
        Capture::Text { start, end } => Ok(Value::String(lua.create_string(&text[start..end])?)),
        Capture::Position(at) => Ok(Value::Integer(at as i64 + 1)),
        Capture::Open { .. } => Err(arguments::error(lua, "unfinished capture")),
    }
}

/// Adds the captures, or the whole match if there are none and it is given.
fn push_captures(
    lua: &Lua,
    text: &[u8],
    captures: &[Capture],
    whole: Option<(usize, usize)>,
    values: &mut MultiValue,
) -> Result<()> {
    if captures.is_empty()
        && let Some((start, end)) = whole
    {
        values.push_back(captured(lua, text, Capture::Text { start, end })?);
    }
    for capture in captures {
        values.push_back(captured(lua, text, *capture)?);
    }
    Ok(())
}

/// `string.find` and `string.match`.
pub fn find(host: &Host<'_>, lua: &Lua, arguments: &[Value], is_find: bool) -> Result<MultiValue> {
    let text = arguments::string(lua, arguments, 1)?;
    let pattern = arguments::string(lua, arguments, 2)?;
    let init = arguments::integer_or(lua, arguments, 3, 1)?;
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let init = if init < 0 { (text.len() as i64).saturating_add(init).saturating_add(1) } else { init };
    let from = (init.saturating_sub(1).max(0) as u64).min(text.len() as u64) as usize;
    let mut values = MultiValue::new();
    let plain = arguments.get(3).is_some_and(|plain| !matches!(plain, Value::Nil | Value::Boolean(false)));
    let usable = ended_at_zero(&pattern);
    if is_find && (plain || !usable.iter().any(|byte| SPECIAL.contains(byte))) {
        match memchr::memmem::find(&text[from..], &pattern) {
            Some(at) => {
                values.push_back(Value::Integer((from + at + 1) as i64));
                values.push_back(Value::Integer((from + at + pattern.len()) as i64));
            }
            None => values.push_back(Value::Nil),
        }
        return Ok(values);
    }
    let (usable, anchored) = unanchored(usable);
    let mut matcher = Matcher::new(&text, usable, || host.tick());
    match matcher.find(from, anchored).map_err(|error| failure(lua, error))? {
        None => values.push_back(Value::Nil),
        Some((start, end)) => {
            if is_find {
                values.push_back(Value::Integer(start as i64 + 1));
                values.push_back(Value::Integer(end as i64));
            }
            let whole = (!is_find).then_some((start, end));
            push_captures(lua, &text, matcher.captures(), whole, &mut values)?;
        }
    }
    Ok(values)
}

/// A pattern without the `^` at its begin, and whether it had one.
fn unanchored(pattern: &[u8]) -> (&[u8], bool) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (rest, true),
        None => (pattern, false),
    }
}

/// For `gmatch` and `gsub` (`sandbox.lua`): the first match of a pattern at or behind a place, or only there if `anchored`. Its begin, the place
/// behind it, and its captures; nothing if there is none.
pub fn scan(
    host: &Host<'_>,
    lua: &Lua,
    (text, pattern, from, anchored): (LuaString, LuaString, usize, bool),
) -> Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let mut values = MultiValue::new();
    let mut matcher = Matcher::new(&text, &pattern, || host.tick());
    if let Some((start, end)) =
        matcher.find(from.saturating_sub(1), anchored).map_err(|error| failure(lua, error))?
    {
        values.push_back(Value::Integer(start as i64 + 1));
        values.push_back(Value::Integer(end as i64 + 1));
        push_captures(lua, &text, matcher.captures(), Some((start, end)), &mut values)?;
    }
    Ok(values)
}

/// `string.gsub` with a string as replacement.
pub fn replace(host: &Host<'_>, lua: &Lua, arguments: &[Value]) -> Result<(LuaString, usize)> {
    let text = arguments::string(lua, arguments, 1)?;
    let pattern = arguments::string(lua, arguments, 2)?;
    let Some(Value::String(_) | Value::Integer(_) | Value::Number(_)) = arguments.get(2) else {
        return Err(arguments::argument_error(lua, 3, "string/function/table expected"));
    };
    let replacement = arguments::string(lua, arguments, 3)?;
    let (text, pattern, replacement) = (text.as_bytes(), pattern.as_bytes(), replacement.as_bytes());
    let most = arguments::integer_or(lua, arguments, 4, text.len() as i64 + 1)? as i32;
    let (pattern, anchored) = unanchored(ended_at_zero(&pattern));
    let mut matcher = Matcher::new(&text, pattern, || host.tick());
    let (mut result, mut from, mut count) = (Vec::with_capacity(text.len()), 0, 0usize);
    while (count as i64) < i64::from(most) {
        let found = matcher.find(from, anchored).map_err(|error| failure(lua, error))?;
        let Some((start, end)) = found else { break };
        count += 1;
        result.extend_from_slice(&text[from..start]);
        push_replacement(lua, &text, &replacement, (start, end), matcher.captures(), &mut result)?;
        from = end;
        if end == start {
            if start == text.len() {
                break;
            }
            result.push(text[start]);
            from += 1;
        }
        if anchored {
            break;
        }
        check_size(lua, result.len())?;
    }
    result.extend_from_slice(text.get(from..).unwrap_or_default());
    check_size(lua, result.len())?;
    Ok((lua.create_string(&result)?, count))
}

/// Adds the replacement, in which `%0` to `%9` stand for captures.
fn push_replacement(
    lua: &Lua,
    text: &[u8],
    replacement: &[u8],
    whole: (usize, usize),
    captures: &[Capture],
    result: &mut Vec<u8>,
) -> Result<()> {
    let mut rest = replacement.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            result.push(byte);
            continue;
        }
        // A percent sign at the end stands before the zero that ends the string.
        let digit = rest.next().copied().unwrap_or(0);
        let capture = match digit {
            b'0' => Capture::Text { start: whole.0, end: whole.1 },
            b'1' if captures.is_empty() => Capture::Text { start: whole.0, end: whole.1 },
            b'1'..=b'9' => *captures
                .get(usize::from(digit - b'1'))
                .ok_or_else(|| arguments::error(lua, "invalid capture index"))?,
            other => {
                result.push(other);
                continue;
            }
        };
        match capture {
            Capture::Text { start, end } => result.extend_from_slice(&text[start..end]),
            Capture::Position(at) => result.extend_from_slice(itoa::Buffer::new().format(at + 1).as_bytes()),
            Capture::Open { .. } => return Err(arguments::error(lua, "unfinished capture")),
        }
    }
    Ok(())
}

/// Whether a string of this size fits into what scripts may use.
fn check_size(lua: &Lua, len: usize) -> Result<()> {
    let limit = lua.app_data_ref::<MemoryLimit>().map_or(0, |limit| limit.0);
    if len.saturating_add(lua.used_memory()) > limit {
        return Err(Error::MemoryError("not enough memory".into()));
    }
    Ok(())
}

/// `string.rep`.
pub fn repeat(lua: &Lua, arguments: &[Value]) -> Result<LuaString> {
    let text = arguments::string(lua, arguments, 1)?;
    let times = arguments::integer(lua, arguments, 2)? as i32;
    let text = text.as_bytes();
    let times = times.max(0) as usize;
    check_size(lua, text.len().saturating_mul(times))?;
    lua.create_string(text.repeat(times))
}
