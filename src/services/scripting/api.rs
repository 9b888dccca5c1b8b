//! The `redis` table of scripts (Valkey's `server`): commands, errors and status replies, the log, rights.

use mlua::{Function, Lua, LuaString, Result, Scope, Table, Value, Variadic};
use sha1::{Digest, Sha1};

use super::convert;
use super::exchange::{Event, Exchange, Input, Targets};
use super::host::Host;
use super::number as digits;
use super::raised::{self, ErrorTable};
use crate::base::number;
use crate::sys::lua::{self, Kind, Look, Stack, State};

type Arguments = Variadic<Value>;

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

/// What gives functions their place in a scope.
pub struct Functions<'scope, 'env: 'scope, 'h: 'scope> {
    pub state: &'scope State<'h>,
    pub lua: &'scope Lua,
    pub scope: &'scope Scope<'scope, 'env>,
    pub host: &'h Host<'h>,
}

impl<'scope, 'h: 'scope> Functions<'scope, '_, 'h> {
    /// A function that gets all its arguments.
    pub fn make<R: mlua::IntoLuaMulti>(
        &self,
        function: impl Fn(&Host<'_>, &Lua, &[Value]) -> Result<R> + 'scope,
    ) -> Result<Function> {
        let host = self.host;
        self.scope.create_function(move |lua, arguments: Arguments| function(host, lua, &arguments))
    }

    /// A function that works on the stack.
    pub fn make_native(
        &self,
        function: impl Fn(&Host<'_>, &mut Stack<'_>) -> lua::Result<usize> + 'h,
    ) -> Result<Function> {
        let host = self.host;
        self.state.function(move |stack| function(host, stack))
    }
}

/// The table's real contents.
pub fn open(functions: &Functions<'_, '_, '_>, version: &str) -> Result<Table> {
    let lua = functions.lua;
    let redis = lua.create_table()?;
    redis.raw_set("call", functions.make_native(|host, stack| call(host, stack, true))?)?;
    redis.raw_set("pcall", functions.make_native(|host, stack| call(host, stack, false))?)?;
    redis.raw_set("acl_check_cmd", functions.make_native(check_rights)?)?;
    redis.raw_set("log", functions.make(log)?)?;
    redis.raw_set("setresp", functions.make(set_resp)?)?;
    redis.raw_set("set_repl", functions.make(set_targets)?)?;
    redis.raw_set("sha1hex", functions.make_native(sha1hex)?)?;
    redis.raw_set("error_reply", functions.make_native(error_reply)?)?;
    redis.raw_set("status_reply", functions.make_native(status_reply)?)?;
    redis.raw_set("breakpoint", functions.make(|_, _, _| Ok(false))?)?;
    redis.raw_set("debug", functions.make(|_, _, _| Ok(()))?)?;
    redis.raw_set("replicate_commands", functions.make(|_, _, _| Ok(true))?)?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].iter().enumerate() {
        redis.raw_set(*name, level)?;
    }
    let targets = [
        ("REPL_NONE", Targets::NONE),
        ("REPL_AOF", Targets::LOG),
        ("REPL_SLAVE", Targets::REPLICAS),
        ("REPL_REPLICA", Targets::REPLICAS),
        ("REPL_ALL", Targets::ALL),
    ];
    for (name, value) in targets {
        redis.raw_set(name, value.bits())?;
    }
    redis.raw_set("REDIS_VERSION", version)?;
    redis.raw_set("REDIS_VERSION_NUM", version_number(version))?;
    redis.raw_set("SERVER_NAME", "redis")?;
    Ok(redis)
}

/// Puts the arguments of a call into the request.
fn write_request(exchange: &mut Exchange, stack: &Stack<'_>) -> std::result::Result<(), &'static str> {
    let count = stack.count();
    if count == 0 {
        return Err("Please specify at least one argument for this redis lib call");
    }
    exchange.begin_request(count);
    for slot in 1..=count {
        match stack.look(slot) {
            Look::Text(text) => exchange.push_argument(text),
            Look::Number(number) => push_number(exchange, number),
            _ => return Err("Lua redis lib command arguments must be strings or integers"),
        }
    }
    Ok(())
}

/// A number as an argument: without a point if it is an integer.
fn push_number(exchange: &mut Exchange, number: f64) {
    /// Integers below this, and their negatives, fit an `i64`.
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && number.abs() < END {
        exchange.push_argument(itoa::Buffer::new().format(number as i64).as_bytes());
    } else {
        let mut text = Vec::new();
        // As C prints a number that is none: with its sign, which 0/0 has.
        if number.is_nan() && number.is_sign_negative() {
            text.push(b'-');
        }
        number::push_f64(&mut text, number);
        exchange.push_argument(&text);
    }
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
            host.with(|exchange| convert::push_reply(stack, &exchange.reply))?;
            let failed = raises && host.with(|exchange| exchange.reply.first() == Some(&b'-'));
            if failed { Err(lua::Error::Raised) } else { Ok(1) }
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
fn number_or_zero(lua: &Lua, value: &Value) -> Result<i64> {
    Ok(lua.coerce_number(value.clone())?.map_or(0, super::arguments::truncated))
}

fn log(host: &Host<'_>, lua: &Lua, arguments: &[Value]) -> Result<()> {
    let [level, words @ ..] = arguments else {
        return Err(ErrorTable::plain("redis.log() requires two arguments or more."));
    };
    if words.is_empty() {
        return Err(ErrorTable::plain("redis.log() requires two arguments or more."));
    }
    let Some(level) = lua.coerce_number(level.clone())? else {
        return Err(ErrorTable::plain("First argument must be a number (log level)."));
    };
    if !(0.0..4.0).contains(&level) {
        return Err(ErrorTable::plain("Invalid log level."));
    }
    let mut line = Vec::new();
    for (number, word) in words.iter().enumerate() {
        if let Some(text) = text_of(lua, word)? {
            if number > 0 {
                line.push(b' ');
            }
            line.extend_from_slice(&text.as_bytes());
        }
    }
    host.with(|exchange| exchange.request = line);
    host.suspend(Event::Log { level: level as u8 });
    Ok(())
}

/// A string or a number as text.
fn text_of(lua: &Lua, value: &Value) -> Result<Option<LuaString>> {
    match value {
        Value::String(_) | Value::Integer(_) | Value::Number(_) => lua.coerce_string(value.clone()),
        _ => Ok(None),
    }
}

fn set_resp(host: &Host<'_>, lua: &Lua, arguments: &[Value]) -> Result<()> {
    let [version] = arguments else {
        return Err(ErrorTable::plain("redis.setresp() requires one argument."));
    };
    match number_or_zero(lua, version)? {
        2 => host.resp3.set(false),
        3 => host.resp3.set(true),
        _ => return Err(ErrorTable::plain("RESP version must be 2 or 3.")),
    }
    Ok(())
}

fn set_targets(host: &Host<'_>, lua: &Lua, arguments: &[Value]) -> Result<()> {
    let [flags] = arguments else {
        return Err(ErrorTable::plain("redis.set_repl() requires one argument."));
    };
    let targets = Targets::from_bits(number_or_zero(lua, flags)?);
    host.targets.set(targets.ok_or_else(|| {
        ErrorTable::plain("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
    })?);
    Ok(())
}

fn sha1hex(_: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
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

fn error_reply(_: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
    if !has_one_string(stack) {
        return fail(stack, NO_STRING, false, false);
    }
    let text = stack.text(1).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = [b"-", text.strip_prefix(b"-").unwrap_or(text)].concat();
    fail(stack, &text, false, false)
}

fn status_reply(_: &Host<'_>, stack: &mut Stack<'_>) -> lua::Result<usize> {
    if !has_one_string(stack) {
        return fail(stack, NO_STRING, false, false);
    }
    stack.push_table(0, 1)?;
    stack.push_copy(1)?;
    stack.set_field(2, b"ok")?;
    Ok(1)
}
