//! The functions of the `string` library that look for patterns, and `rep`: Lua's own can neither be interrupted nor bounded.

use super::arguments;
use super::host::Host;
use super::pattern::{Capture, Failure, Matcher, ended_at_zero};
use crate::sys::lua::{Error, Kind, Result, Stack};

/// Bytes with a meaning in patterns.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// The script is to end.
struct Stopped;

/// What a matcher calls now and then.
fn tick(host: &Host<'_>) -> std::result::Result<(), Stopped> {
    host.tick().map_err(|_| Stopped)
}

/// The error of a wrong pattern, at the place of the caller; or that of a script that is to end.
fn failed(host: &Host<'_>, stack: &mut Stack<'_>, failure: Failure<Stopped>) -> Error {
    match failure {
        Failure::Pattern(text) => arguments::raise(stack, text),
        Failure::Stopped(Stopped) => host.raise_killed(stack),
    }
}

/// Pushes a capture; without captures number 0 is the whole match.
fn push_captured(stack: &mut Stack<'_>, text: &[u8], capture: Capture) -> Result<()> {
    match capture {
        Capture::Text { start, end } => stack.push_text(&text[start..end]),
        Capture::Position(at) => stack.push_number((at + 1) as f64),
        Capture::Open { .. } => Err(arguments::raise(stack, "unfinished capture")),
    }
}

/// Pushes the captures, or the whole match if there are none and it is given.
fn push_captures(
    stack: &mut Stack<'_>,
    text: &[u8],
    captures: &[Capture],
    whole: Option<(usize, usize)>,
) -> Result<()> {
    if captures.is_empty()
        && let Some((start, end)) = whole
    {
        push_captured(stack, text, Capture::Text { start, end })?;
    }
    captures.iter().try_for_each(|capture| push_captured(stack, text, *capture))
}

/// Works with the first two arguments, a text and a pattern.
fn with_pattern(
    stack: &mut Stack<'_>,
    work: impl FnOnce(&mut Stack<'_>, &[u8], &[u8]) -> Result<usize>,
) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, text| {
        arguments::with_string(stack, 2, |stack, pattern| work(stack, text, pattern))
    })
}

/// `string.find` and `string.match`.
pub fn find(host: &Host<'_>, stack: &mut Stack<'_>, is_find: bool) -> Result<usize> {
    with_pattern(stack, |stack, text, pattern| {
        let init = arguments::integer_in_or(stack, 3, 1)?;
        let init = if init < 0 { (text.len() as i64).saturating_add(init).saturating_add(1) } else { init };
        let from = (init.saturating_sub(1).max(0) as u64).min(text.len() as u64) as usize;
        let base = stack.count();
        let usable = ended_at_zero(pattern);
        if is_find && (stack.boolean(4) || !usable.iter().any(|byte| SPECIAL.contains(byte))) {
            match memchr::memmem::find(&text[from..], pattern) {
                Some(at) => {
                    stack.push_number((from + at + 1) as f64)?;
                    stack.push_number((from + at + pattern.len()) as f64)?;
                }
                None => stack.push_nil()?,
            }
            return Ok(stack.count() - base);
        }
        let (usable, anchored) = unanchored(usable);
        let mut matcher = Matcher::new(text, usable, || tick(host));
        match matcher.find(from, anchored).map_err(|failure| failed(host, stack, failure))? {
            None => stack.push_nil()?,
            Some((start, end)) => {
                if is_find {
                    stack.push_number((start + 1) as f64)?;
                    stack.push_number(end as f64)?;
                }
                let whole = (!is_find).then_some((start, end));
                push_captures(stack, text, matcher.captures(), whole)?;
            }
        }
        Ok(stack.count() - base)
    })
}

/// A pattern without the `^` at its begin, and whether it had one.
fn unanchored(pattern: &[u8]) -> (&[u8], bool) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (rest, true),
        None => (pattern, false),
    }
}

/// For `gmatch` and `gsub` (`sandbox.lua`), with a text, a pattern, a place and whether it is anchored: the first match of the pattern at
/// or behind the place, or only there if anchored. Its begin, the place behind it, and its captures; nothing if there is none.
pub fn scan(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    with_pattern(stack, |stack, text, pattern| {
        let from = arguments::integer_in(stack, 3)?.max(1) as usize - 1;
        let (anchored, base) = (stack.boolean(4), stack.count());
        let mut matcher = Matcher::new(text, pattern, || tick(host));
        let found = matcher.find(from, anchored).map_err(|failure| failed(host, stack, failure))?;
        if let Some((start, end)) = found {
            stack.push_number((start + 1) as f64)?;
            stack.push_number((end + 1) as f64)?;
            push_captures(stack, text, matcher.captures(), Some((start, end)))?;
        }
        Ok(stack.count() - base)
    })
}

/// For `gmatch` and `gsub`: the first two arguments as strings.
pub fn two_strings(stack: &mut Stack<'_>) -> Result<usize> {
    with_pattern(stack, |stack, text, pattern| {
        stack.push_text(text)?;
        stack.push_text(pattern)?;
        Ok(2)
    })
}

/// `string.gsub` with a string as replacement.
pub fn replace(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    with_pattern(stack, |stack, text, pattern| {
        if !matches!(stack.kind(3), Kind::Text | Kind::Number) {
            return Err(arguments::raise_argument(stack, 3, "string/function/table expected"));
        }
        arguments::with_string(stack, 3, |stack, replacement| {
            let most = arguments::integer_in_or(stack, 4, text.len() as i64 + 1)? as i32;
            replace_text(host, stack, (text, pattern, replacement), i64::from(most))
        })
    })
}

fn replace_text(
    host: &Host<'_>,
    stack: &mut Stack<'_>,
    (text, pattern, replacement): (&[u8], &[u8], &[u8]),
    most: i64,
) -> Result<usize> {
    let (pattern, anchored) = unanchored(ended_at_zero(pattern));
    let mut matcher = Matcher::new(text, pattern, || tick(host));
    let (mut result, mut from, mut count) = (Vec::with_capacity(text.len()), 0, 0usize);
    while (count as i64) < most {
        let found = matcher.find(from, anchored).map_err(|failure| failed(host, stack, failure))?;
        let Some((start, end)) = found else { break };
        count += 1;
        result.extend_from_slice(&text[from..start]);
        push_replacement(stack, (text, replacement), (start, end), matcher.captures(), &mut result)?;
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
        check_size(stack, result.len())?;
    }
    result.extend_from_slice(text.get(from..).unwrap_or_default());
    stack.push_text(&result)?;
    stack.push_number(count as f64)?;
    Ok(2)
}

/// Adds the replacement, in which `%0` to `%9` stand for captures.
fn push_replacement(
    stack: &mut Stack<'_>,
    (text, replacement): (&[u8], &[u8]),
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
            b'1'..=b'9' => match captures.get(usize::from(digit - b'1')) {
                Some(capture) => *capture,
                None => return Err(arguments::raise(stack, "invalid capture index")),
            },
            other => {
                result.push(other);
                continue;
            }
        };
        match capture {
            Capture::Text { start, end } => result.extend_from_slice(&text[start..end]),
            Capture::Position(at) => result.extend_from_slice(itoa::Buffer::new().format(at + 1).as_bytes()),
            Capture::Open { .. } => return Err(arguments::raise(stack, "unfinished capture")),
        }
    }
    Ok(())
}

/// Whether a string of this size fits into what scripts may use.
fn check_size(stack: &Stack<'_>, len: usize) -> Result<()> {
    if stack.has_memory(len) { Ok(()) } else { Err(Error::Memory) }
}

/// `string.rep`.
pub fn repeat(stack: &mut Stack<'_>) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, text| {
        let times = (arguments::integer_in(stack, 2)? as i32).max(0) as usize;
        check_size(stack, text.len().saturating_mul(times))?;
        stack.push_text(&text.repeat(times))?;
        Ok(1)
    })
}
