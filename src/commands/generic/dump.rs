//! DUMP and RESTORE: a value as a serialized payload. The format is in `services::persist::codec`.

use crate::base::{number, quoting};
use crate::commands::string::already_expired;
use crate::commands::support::args::{integer, is};
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Detached, event};
use crate::resp::{Args, CommandError};
use crate::services::persist::codec::payload::{self, Refusal};

const BUSY_KEY: CommandError = CommandError::text("BUSYKEY Target key name already exists.");
const INVALID_TTL: CommandError = CommandError::text("ERR Invalid TTL value, must be >= 0");
const INVALID_IDLETIME: CommandError = CommandError::text("ERR Invalid IDLETIME value, must be >= 0");
const INVALID_FREQ: CommandError = CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255");
const BAD_FOOTER: CommandError = CommandError::text("ERR DUMP payload version or checksum are wrong");
const BAD_VALUE: CommandError = CommandError::text("ERR Bad data format");

pub(in crate::commands) fn dump(call: &mut Call<'_>) -> Outcome {
    match call.db.lookup_read(call.args.at(1)) {
        None => call.reply.null(),
        Some(at) => {
            let value = call.db.database().table().value(at);
            call.reply.bulk(&payload::dump(value, call.db.env.dump_options.compress));
        }
    }
    Ok(Done::Replied)
}

/// The options of RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    /// Seconds.
    idle: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut words = OptionReader::new(args, 4);
        while let Some(word) = words.next() {
            if is(word, "REPLACE") {
                options.replace = true;
            } else if is(word, "ABSTTL") {
                options.absolute = true;
            } else if is(word, "IDLETIME") && options.frequency.is_none() {
                options.idle = Some(u64::try_from(words.integer()?).map_err(|_| INVALID_IDLETIME)?);
            } else if is(word, "FREQ") && options.idle.is_none() {
                options.frequency = Some(u8::try_from(words.integer()?).map_err(|_| INVALID_FREQ)?);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }
}

pub(in crate::commands) fn restore(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call.args)?;
    let (key, ttl, bytes) = (call.args.at(1), call.args.at(2), call.args.at(3));
    if !options.replace && call.db.lookup_write(key).is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = u64::try_from(integer(ttl)?).map_err(|_| INVALID_TTL)?;
    let rules = call.db.env.dump_options;
    let limits = call.db.env.limits;
    let value = payload::restore(bytes, rules.any_version, rules.skip_checksum, limits);
    let value = value.map_err(|refusal| match refusal {
        Refusal::Footer => BAD_FOOTER,
        Refusal::Value(fault) => {
            log::debug!("RESTORE refuses a payload for '{}': {fault}", quoting::printable(key));
            BAD_VALUE
        }
    })?;
    let deadline = match ttl {
        0 => None,
        _ if options.absolute => Some(ttl),
        _ => Some(deadline_after(call.now(), ttl)),
    };
    call.reply.ok();
    if let Some(deadline) = deadline
        && already_expired(call, deadline)
    {
        let word: &[u8] = if rules.unlink { b"UNLINK" } else { b"DEL" };
        if call.db.remove(key) {
            call.propagation.rewrite_as([word, key]);
        }
        call.db.count_expired();
        return Ok(Done::Replied);
    }
    let replaced = call.db.insert_detached_as_new(key, Detached { value, deadline, edited: false });
    call.db.changed(key, 1, event::RESTORE);
    call.db.also_overwritten(key, replaced);
    set_access(call, key, &options);
    if let Some(deadline) = deadline.filter(|_| !options.absolute) {
        propagate_absolute(call, deadline);
    }
    Ok(Done::Replied)
}

/// Unix ms. One that is no `i64` has passed: Redis adds with wrap-around.
fn deadline_after(now: u64, ttl: u64) -> u64 {
    now.checked_add(ttl).filter(|deadline| i64::try_from(*deadline).is_ok()).unwrap_or(now)
}

/// Sets the idle time or frequency: IDLETIME is ignored under an LFU policy, FREQ under any other.
fn set_access(call: &mut Call<'_>, key: &[u8], options: &Options) {
    let clock = call.db.env.clock;
    let word = match (options.idle, options.frequency) {
        (Some(seconds), _) if !clock.is_lfu() => clock.with_idle(seconds),
        (_, Some(frequency)) if clock.is_lfu() => clock.with_frequency(frequency),
        _ => return,
    };
    if let Some(at) = call.db.lookup_silent(key) {
        call.db.set_access(at, word);
    }
}

/// Propagates RESTORE with ABSTTL: a replica that runs it later must get the same deadline.
fn propagate_absolute(call: &mut Call<'_>, deadline: u64) {
    let mut digits = number::IntegerBuffer::new();
    let deadline = digits.format(deadline).as_bytes();
    let words = call.args.iter().enumerate().map(|(index, word)| if index == 2 { deadline } else { word });
    call.propagation.rewrite_as(words.chain([b"ABSTTL".as_slice()]));
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
