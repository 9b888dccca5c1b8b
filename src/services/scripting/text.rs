//! The functions of the `string` library that look for patterns, and `rep`: Lua's own can neither be interrupted nor bounded.

use super::arguments;
use super::host::Host;
use super::pattern::{Capture, Failure, Matcher, ended_at_zero};
use crate::sys::lua::{Error, Kind, Prototype, Result, Stack};

/// Bytes with a meaning in patterns.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// The script is to end.
struct Stopped;

/// What a matcher calls now and then.
fn tick(host: &Host<'_>) -> std::result::Result<(), Stopped> {
    if host.is_ended() { Err(Stopped) } else { Ok(()) }
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

/// `string.gmatch`: a function like `step`, of the text, the pattern and a place.
pub fn each_match(step: Prototype, stack: &mut Stack<'_>) -> Result<usize> {
    with_pattern(stack, |_, _, _| Ok(0))?;
    stack.truncate(2);
    for slot in [1, 2] {
        match stack.kind(slot) {
            Kind::Text => stack.push_copy(slot)?,
            _ => {
                let digits = arguments::with_string(stack, slot, |_, text| Ok(text.to_vec()))?;
                stack.push_text(&digits)?;
            }
        }
    }
    stack.push_number(0.0)?;
    stack.push_like(step, 3)?;
    Ok(1)
}

/// What `string.gmatch` returns: the next match.
pub fn next_match(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    stack.truncate(0);
    for own in 0..3 {
        stack.push_own(own)?;
    }
    let from = stack.number(3).unwrap_or_default() as usize;
    with_pattern(stack, |stack, text, pattern| {
        let base = stack.count();
        let mut matcher = Matcher::new(text, pattern, || tick(host));
        let found = matcher.find(from, false).map_err(|failure| failed(host, stack, failure))?;
        if let Some((start, end)) = found {
            push_captures(stack, text, matcher.captures(), Some((start, end)))?;
            stack.push_number((if end == start { end + 1 } else { end }) as f64)?;
            stack.set_own(2);
        }
        Ok(stack.count() - base)
    })
}

/// `string.gsub`.
pub fn replace<'h>(host: &'h Host<'h>, stack: &mut Stack<'_>) -> Result<usize> {
    with_pattern(stack, |stack, text, pattern| {
        let kind = stack.kind(3);
        let most = i64::from(arguments::integer_in_or(stack, 4, text.len() as i64 + 1)? as i32);
        let replacing = Replacing { host, text, pattern, most };
        match kind {
            Kind::Text | Kind::Number => arguments::with_string(stack, 3, |stack, replacement| {
                replacing.run(stack, |stack, whole, captures, result| {
                    push_replacement(stack, (text, replacement), whole, captures, result)
                })
            }),
            Kind::Function | Kind::Table => {
                stack.push_kept(host.locator.get())?;
                let locator = stack.count();
                replacing.run(stack, |stack, whole, captures, result| {
                    push_found(stack, text, whole, captures, locator)?;
                    take_found(stack, &text[whole.0..whole.1], result)
                })
            }
            _ => Err(arguments::raise_argument(stack, 3, "string/function/table expected")),
        }
    })
}

/// Pushes what the function or table in the third slot has for a match.
fn push_found(
    stack: &mut Stack<'_>,
    text: &[u8],
    whole: (usize, usize),
    captures: &[Capture],
    locator: usize,
) -> Result<()> {
    if stack.kind(3) == Kind::Table {
        push_captures(stack, text, &captures[..captures.len().min(1)], Some(whole))?;
        return stack.index_field(3, locator);
    }
    stack.push_copy(3)?;
    let function = stack.count();
    push_captures(stack, text, captures, Some(whole))?;
    if stack.call(stack.count() - function, locator)? { Ok(()) } else { Err(Error::Raised) }
}

/// Takes it from there: a string or a number; nil and false stand for the match itself.
fn take_found(stack: &mut Stack<'_>, whole: &[u8], result: &mut Vec<u8>) -> Result<()> {
    let found = stack.count();
    match stack.kind(found) {
        Kind::Text => result.extend_from_slice(stack.text(found).unwrap_or_default()),
        Kind::Number => super::number::write(result, stack.number(found).unwrap_or_default(), 14),
        _ if !stack.boolean(found) => result.extend_from_slice(whole),
        kind => {
            return Err(arguments::raise(stack, format!("invalid replacement value (a {})", kind.name())));
        }
    }
    stack.truncate(found - 1);
    Ok(())
}

/// A `gsub`.
struct Replacing<'a, 'h> {
    host: &'h Host<'h>,
    text: &'a [u8],
    pattern: &'a [u8],
    most: i64,
}

impl Replacing<'_, '_> {
    /// Has `add` append what replaces each match.
    fn run(
        &self,
        stack: &mut Stack<'_>,
        mut add: impl FnMut(&mut Stack<'_>, (usize, usize), &[Capture], &mut Vec<u8>) -> Result<()>,
    ) -> Result<usize> {
        let (pattern, anchored) = unanchored(ended_at_zero(self.pattern));
        let text = self.text;
        let mut matcher = Matcher::new(text, pattern, || tick(self.host));
        let mut result = Vec::with_capacity(text.len());
        let (mut from, mut count) = (0, 0usize);
        while (count as i64) < self.most {
            let found = matcher.find(from, anchored).map_err(|failure| failed(self.host, stack, failure))?;
            let Some((start, end)) = found else { break };
            count += 1;
            result.extend_from_slice(&text[from..start]);
            add(stack, (start, end), matcher.captures(), &mut result)?;
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
