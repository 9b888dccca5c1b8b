//! The `redis` table of scripts (Valkey's `server`): commands, errors and status replies, the log, rights.

use sha1::{Digest, Sha1};

use super::builder::{Builder, Options};
use super::convert;
use super::exchange::{Event, Exchange, Input, Targets};
use super::host::Host;
use super::number as digits;
use super::raised;
use crate::base::number;
use crate::resp::Span;
use crate::sys::lua::{self, Kind, Look, Stack};

/// The SHA-1 of a text in hexadecimal digits.
pub fn sha1_hex(text: &[u8]) -> [u8; 40] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 40];
    for (byte, pair) in Sha1::digest(text).iter().zip(hex.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

/// A version `8.0.1` as the number 0x00080001.
fn version_number(version: &str) -> u32 {
    version.split('.').map(|part| part.parse().unwrap_or(0)).fold(0, |number, part: u32| number << 8 | part)
}

/// Pushes the table's real contents. Functions of libraries don't have what is there for the debugger, and for scripts of old.
pub fn open(builder: &mut Builder<'_, '_>, options: Options) -> lua::Result<usize> {
    builder.stack.push_table(0, 32)?;
    let redis = builder.stack.count();
    builder.add(redis, "call", |host, stack| call(host, stack, true))?;
    builder.add(redis, "pcall", |host, stack| call(host, stack, false))?;
    builder.add(redis, "acl_check_cmd", check_rights)?;
    builder.add(redis, "log", log)?;
    builder.add(redis, "setresp", set_resp)?;
    builder.add(redis, "set_repl", set_targets)?;
    builder.add_plain(redis, "sha1hex", sha1hex)?;
    builder.add_plain(redis, "error_reply", error_reply)?;
    builder.add_plain(redis, "status_reply", status_reply)?;
    if !options.runs_functions {
        builder.add_plain(redis, "breakpoint", |stack| stack.push_boolean(false).map(|()| 1))?;
        builder.add_plain(redis, "debug", |_| Ok(0))?;
        builder.add_plain(redis, "replicate_commands", |stack| stack.push_boolean(true).map(|()| 1))?;
    }
    let numbers = [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", Targets::NONE.bits()),
        ("REPL_AOF", Targets::LOG.bits()),
        ("REPL_SLAVE", Targets::REPLICAS.bits()),
        ("REPL_REPLICA", Targets::REPLICAS.bits()),
        ("REPL_ALL", Targets::ALL.bits()),
    ];
    let stack = &mut builder.stack;
    for (name, number) in numbers {
        stack.push_number(f64::from(number))?;
        stack.set_field(redis, name.as_bytes())?;
    }
    stack.push_number(f64::from(version_number(options.version)))?;
    stack.set_field(redis, b"REDIS_VERSION_NUM")?;
    for (name, text) in [("REDIS_VERSION", options.version), ("SERVER_NAME", "redis")] {
        stack.push_text(text.as_bytes())?;
        stack.set_field(redis, name.as_bytes())?;
    }
    Ok(redis)
}

/// Puts the arguments of a call into the request.
fn write_request(exchange: &mut Exchange, stack: &Stack<'_>) -> std::result::Result<(), &'static str> {
    if stack.count() == 0 {
        return Err("Please specify at least one argument for this redis lib call");
    }
    exchange.begin_request(stack.count());
    let Exchange { request, spans, .. } = exchange;
    let place = |start, len| spans.push(Span { start, len });
    if stack.append_arguments(request, place, format_number) {
        Ok(())
    } else {
        Err("Lua redis lib command arguments must be strings or integers")
    }
}

/// A number that isn't an integer as an argument.
fn format_number(number: f64) -> Vec<u8> {
    let mut text = Vec::new();
    // As C prints a number that is none: with its sign, which 0/0 has.
    if number.is_nan() && number.is_sign_negative() {
        text.push(b'-');
    }
    number::push_f64(&mut text, number);
    text
}

/// `redis.call` and, unless errors are raised, `redis.pcall`.
fn call(host: &Host<'_>, stack: &mut Stack<'_>, raises: bool) -> lua::Result<usize> {
    if let Err(text) = host.with(|exchange| write_request(exchange, stack)) {
        return fail(stack, text.as_bytes(), false, raises);
    }
    stack.truncate(0);
    let event = Event::Call { resp3: host.resp3.get(), targets: host.targets.get() };
    match host.suspend(event) {
        Input::Reply => {
            let failed = host.with(|exchange| {
                convert::push_reply(stack, &exchange.reply)?;
                Ok(exchange.reply.first() == Some(&b'-'))
            })?;
            if failed && raises { Err(lua::Error::Raised) } else { Ok(1) }
        }
        Input::Refuse => {
            host.with(|exchange| raised::push_table(stack, &exchange.reply, true))?;
            if raises { Err(lua::Error::Raised) } else { Ok(1) }
        }
        _ => Err(host.raise_killed(stack)),
    }
}

/// An error that is raised, or the table that `redis.pcall` returns.
fn fail(stack: &mut Stack<'_>, text: &[u8], counted: bool, raises: bool) -> lua::Result<usize> {
    stack.truncate(0);
    raised::push_table(stack, text, counted)?;
    if raises { Err(lua::Error::Raised) } else { Ok(1) }
}

fn check_rights(host: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
    if let Err(text) = host.with(|exchange| write_request(exchange, stack)) {
        return fail(stack, text.as_bytes(), false, true);
    }
    match host.suspend(Event::CheckRights) {
        Input::Rights(Some(allowed)) => {
            stack.push_boolean(allowed)?;
            Ok(1)
        }
        Input::Rights(None) => host.with(|exchange| fail(stack, &exchange.reply, false, true)),
        _ => Err(host.raise_killed(stack)),
    }
}

/// A number as an integer, 0 if it is none (`lua_tonumber`).
fn number_or_zero(stack: &Stack<'_>, slot: usize) -> i64 {
    stack.as_number(slot).map_or(0, super::arguments::truncated)
}

fn log(host: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
    if stack.count() < 2 {
        return Err(raised::raise(stack, "redis.log() requires two arguments or more."));
    }
    let Some(level) = stack.as_number(1) else {
        return Err(raised::raise(stack, "First argument must be a number (log level)."));
    };
    if !(0.0..4.0).contains(&level) {
        return Err(raised::raise(stack, "Invalid log level."));
    }
    let mut line = Vec::new();
    for word in 2..=stack.count() {
        let begin = line.len();
        if word > 2 {
            line.push(b' ');
        }
        match stack.look(word) {
            Look::Text(text) => line.extend_from_slice(text),
            Look::Number(number) => digits::write(&mut line, number, 14),
            // What is neither isn't shown.
            _ => line.truncate(begin),
        }
    }
    host.with(|exchange| exchange.request = line);
    host.suspend(Event::Log { level: level as u8 });
    Ok(0)
}

fn set_resp(host: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
    if stack.count() != 1 {
        return Err(raised::raise(stack, "redis.setresp() requires one argument."));
    }
    match number_or_zero(stack, 1) {
        2 => host.resp3.set(false),
        3 => host.resp3.set(true),
        _ => return Err(raised::raise(stack, "RESP version must be 2 or 3.")),
    }
    Ok(0)
}

fn set_targets(host: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
    if stack.count() != 1 {
        return Err(raised::raise(stack, "redis.set_repl() requires one argument."));
    }
    let Some(targets) = Targets::from_bits(number_or_zero(stack, 1)) else {
        let text = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(raised::raise(stack, text));
    };
    host.targets.set(targets);
    Ok(0)
}

fn sha1hex(stack: &mut Stack<'_>) -> lua::Result<usize> {
    if stack.count() != 1 {
        return fail(stack, b"wrong number of arguments", false, true);
    }
    let hex = match (stack.text(1), stack.number(1)) {
        (Some(text), _) => sha1_hex(text),
        (None, Some(number)) => sha1_hex(&digits::lua_digits(number)),
        (None, None) => sha1_hex(b""),
    };
    stack.push_text(&hex)?;
    Ok(1)
}

/// Whether there is one argument, and that a string; otherwise the table of an error is returned, not raised.
fn has_one_string(stack: &Stack<'_>) -> bool {
    stack.count() == 1 && stack.kind(1) == Kind::Text
}

const NO_STRING: &[u8] = b"wrong number or type of arguments";

fn error_reply(stack: &mut Stack<'_>) -> lua::Result<usize> {
    if !has_one_string(stack) {
        return fail(stack, NO_STRING, false, false);
    }
    let text = stack.text(1).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = [b"-", text.strip_prefix(b"-").unwrap_or(text)].concat();
    fail(stack, &text, false, false)
}

fn status_reply(stack: &mut Stack<'_>) -> lua::Result<usize> {
    if !has_one_string(stack) {
        return fail(stack, NO_STRING, false, false);
    }
    stack.push_table(0, 1)?;
    stack.push_copy(1)?;
    stack.set_field(2, b"ok")?;
    Ok(1)
}
