//! MIGRATE: parses what is to be moved where. How it is moved is in `engine::migrate`.

use crate::base::number;
use crate::commands::support::args::{integer, is};
use crate::commands::support::options::OptionReader;
use crate::engine::clients::session::{Role, state};
use crate::engine::migrate::RESTORE;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::{Args, CommandError};
use crate::services::migrate::{Login, Order};

/// What a target has if the client names no time, ms.
const TIMEOUT_MS: u64 = 1000;
const KEY_AND_KEYS: CommandError = CommandError::text(
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
);
const NO_WAITING: CommandError = CommandError::text(
    "ERR MIGRATE has to wait for the target instance, and can't within a transaction or a script",
);

/// The options of MIGRATE.
struct Options {
    copies: bool,
    replace: bool,
    login: Option<Login>,
    /// The arguments that are keys.
    keys: std::ops::Range<usize>,
}

impl Options {
    fn parse(call: &mut ControlCall<'_>) -> Result<Options, CommandError> {
        let args = call.args;
        let mut options = Options { copies: false, replace: false, login: None, keys: 3..4 };
        let mut words = OptionReader::new(args, 6);
        while let Some(word) = words.next() {
            if is(word, "COPY") {
                options.copies = true;
            } else if is(word, "REPLACE") {
                options.replace = true;
            } else if is(word, "AUTH") {
                let password = secret(call, &mut words)?;
                let user = options.login.take().and_then(|login| login.user);
                options.login = Some(Login { user, password });
            } else if is(word, "AUTH2") {
                if words.remaining() < 2 {
                    return Err(CommandError::SYNTAX);
                }
                let user = Some(secret(call, &mut words)?);
                options.login = Some(Login { user, password: secret(call, &mut words)? });
            } else if is(word, "KEYS") {
                if !args.at(3).is_empty() {
                    return Err(KEY_AND_KEYS);
                }
                options.keys = words.index()..args.len();
                break;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// The next argument, which isn't shown to MONITOR and in logs.
fn secret(call: &mut ControlCall<'_>, words: &mut OptionReader<'_>) -> Result<Box<[u8]>, CommandError> {
    let argument = words.index();
    let word = words.value()?;
    call.engine.redact(argument);
    Ok(word.into())
}

/// The number that a port's text begins with, as Redis reads it (`atoi`): of a larger one than a port the low bits, 0 of no number,
/// nothing of a negative one, to which no connection is tried.
fn port(text: &[u8]) -> Option<u16> {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let from = usize::from(digits.starts_with(b"-") && digits.len() == text.len());
    let digits_end = digits[from..].iter().position(|byte| !byte.is_ascii_digit());
    let end = digits_end.map_or(digits.len(), |end| from + end);
    // `long`, of which `int` takes the low half.
    let value = if end == from {
        0
    } else {
        let clamped = if from == 1 { i64::MIN } else { i64::MAX };
        let significant = digits[from..end].iter().position(|byte| *byte != b'0').unwrap_or(end - from);
        let sign = if from == 1 { -1 } else { 1 };
        match &digits[from + significant..end] {
            [] => 0,
            rest => number::parse_i64(rest).map_or(clamped, |value| value * sign),
        }
    };
    let value = value as i32;
    (value >= 0).then_some(value as u16)
}

pub(in crate::commands) fn migrate(call: &mut ControlCall<'_>) -> Outcome {
    let options = Options::parse(call)?;
    let args = call.args;
    let timeout = integer(args.at(5))?;
    let db = integer(args.at(4))?;
    let keys = existing(call, args, options.keys);
    if keys.is_empty() {
        call.reply.simple("NOKEY");
        return Ok(Done::Replied);
    }
    let session = call.engine.clients.sessions.live(call.client);
    if session.is(state::IN_EXEC | state::IN_SCRIPT) || session.role != Role::Normal {
        return Err(NO_WAITING);
    }
    let order = Order {
        host: args.at(1).into(),
        port: port(args.at(2)),
        login: options.login,
        db,
        timeout_ms: u64::try_from(timeout).ok().filter(|ms| *ms > 0).unwrap_or(TIMEOUT_MS),
        replace: options.replace,
        restore: if call.engine.is_cluster() { b"RESTORE-ASKING" } else { RESTORE },
        keys: keys.len(),
    };
    call.engine.migrate_keys(call.client, order, keys, options.copies);
    Ok(Done::Deferred)
}

/// Those of the keys that there are.
fn existing(call: &mut ControlCall<'_>, args: Args<'_>, keys: std::ops::Range<usize>) -> Vec<Box<[u8]>> {
    let mut view = call.engine.view_of(call.client);
    let keys = keys.map(|index| args.at(index));
    keys.filter(|key| view.lookup_read(key).is_some()).map(Box::from).collect()
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
