//! String commands on whole values: GET and SET with their options, the older commands that those options
//! replace (SETEX, GETSET …), and MGET, MSET and their kin.
//!
//! GET, SET, MGET and MSET are most of the load of most servers: they cost one lookup a key and, while a SET has
//! no options, no allocation.

mod bitfield;
mod bitmap;
mod counter;
mod hyperloglog;
mod lcs;
mod range;
pub mod set_args;
pub mod specs;

use crate::engine::clients::session::Role;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{PREFETCH_KEYS, Text, Ttl, event};
use crate::resp::{CommandError, StringArg};
use crate::structures::table::{EntryRef, SHARED_MIN};
use set_args::{AllowedOptions, Comparison, Expiry, Options};
use xxhash_rust::xxh3::xxh3_64;

/// Replies with the string of an entry; a long one is held until it is sent, instead of copied.
#[inline(always)]
fn write_string(call: &mut Call<'_>, at: EntryRef) -> Result<(), CommandError> {
    match call.db.text(at)? {
        Text::Bytes(bytes) if bytes.len() < SHARED_MIN => call.reply.bulk(bytes),
        Text::Int(n) => call.reply.bulk_integer(n),
        Text::Bytes(bytes) => match call.db.hold_string(at) {
            Some(held) => call.reply.shared_bulk(held),
            None => call.reply.bulk(bytes),
        },
    }
    Ok(())
}

fn get(call: &mut Call<'_>) -> Outcome {
    match call.db.lookup_read(call.args.at(1)) {
        None => call.reply.null(),
        Some(at) => write_string(call, at)?,
    }
    Ok(Done::Replied)
}

fn mget(call: &mut Call<'_>) -> Outcome {
    call.reply.array(call.args.len() - 1);
    let mut rest = call.args.tail(1);
    while !rest.is_empty() {
        let keys = rest.head(PREFETCH_KEYS);
        rest = rest.tail(PREFETCH_KEYS);
        let hashes = call.db.prefetch_keys(keys.iter());
        for (key, hash) in keys.iter().zip(&hashes) {
            call.db.set_key_hash(key, *hash);
            let found = call.db.lookup_read(key);
            // A key of another type counts as none.
            if found.is_none_or(|at| write_string(call, at).is_err()) {
                call.reply.null();
            }
        }
    }
    Ok(Done::Replied)
}

fn set(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args.at(1), call.args.string(2));
    if call.args.len() > 3 {
        return set_with_options(call);
    }
    call.db.set_string(key, value, Ttl::Clear, event::SET);
    call.reply.ok();
    Ok(Done::Replied)
}

fn set_with_options(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args.at(1), call.args.string(2));
    let options = Options::parse(call.args, 3, AllowedOptions::SET)?;
    let ttl = options.expiry.ttl(call.now(), call.name)?;
    let at = call.db.lookup_write(key);
    let condition_met = is_met(call, &options, at)?;
    if options.get {
        get(call)?;
    }
    if condition_met {
        store(call, key, value, at, ttl, matches!(options.expiry, Expiry::AtMilli(_)));
        if options.get && !matches!(ttl, Ttl::At(_)) {
            propagate_without_get(call);
        }
    }
    match (options.get, condition_met) {
        (true, _) => {}
        (false, true) => call.reply.ok(),
        (false, false) => call.reply.null(),
    }
    Ok(Done::Replied)
}

/// Whether SET's conditions hold for the key, which is `at` if it is there.
fn is_met(call: &mut Call<'_>, options: &Options<'_>, at: Option<EntryRef>) -> Result<bool, CommandError> {
    if options.must_exist.is_some_and(|must| must != at.is_some()) {
        return Ok(false);
    }
    match (options.comparison, at) {
        (None, _) => Ok(true),
        (Some(comparison), None) => Ok(comparison.holds_for_none()),
        (Some(comparison), Some(at)) => {
            call.db.count_hit();
            comparison.holds_for(call.db.text(at)?)
        }
    }
}

/// Stores a string for SET, SETEX and PSETEX. With a deadline in the past nothing is stored and the old value
/// expires, as in Valkey (Redis stores the value, and it expires). `is_exact`: the request says the deadline in ms, so that it is
/// propagated as it came.
fn store(
    call: &mut Call<'_>,
    key: &[u8],
    value: StringArg<'_>,
    at: Option<EntryRef>,
    ttl: Ttl,
    is_exact: bool,
) {
    let Ttl::At(deadline) = ttl else {
        return call.db.set_found(key, at, value, ttl, event::SET);
    };
    if already_expired(call, deadline) {
        call.db.expire_now(key);
        call.propagation.rewrite_as_expired(key);
        return;
    }
    call.db.set_found(key, at, value, ttl, event::SET);
    call.db.also(key, event::EXPIRE);
    if !is_exact && call.propagation.has_consumers() {
        let mut digits = itoa::Buffer::new();
        call.propagation.rewrite_as([
            b"SET".as_slice(),
            key,
            value.bytes(),
            b"PXAT",
            digits.format(deadline).as_bytes(),
        ]);
    }
}

/// Whether a deadline that a command sets has already passed. False for a session that replays a log or obeys a
/// primary: there, a key is deleted by a propagated DEL only.
pub(in crate::commands) fn already_expired(call: &Call<'_>, deadline: u64) -> bool {
    deadline <= call.now() && call.session.role == Role::Normal && !call.db.env.retain_expired
}

/// SET … GET also reads; what is propagated only sets.
fn propagate_without_get(call: &mut Call<'_>) {
    let mut words = Vec::with_capacity(call.args.len());
    let mut is_value = false;
    for (index, word) in call.args.iter().enumerate() {
        if index < 3 || is_value || !word.eq_ignore_ascii_case(b"get") {
            words.push(word);
        }
        is_value = index >= 3 && !is_value && Comparison::of_word(word, b"").is_some();
    }
    call.propagation.rewrite_as(words.iter());
}

fn equals(text: Text<'_>, expected: &[u8]) -> bool {
    text.bytes(&mut itoa::Buffer::new()) == expected
}

fn setnx(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.args.at(1), call.args.string(2));
    let is_new = call.db.lookup_write(key).is_none();
    if is_new {
        call.db.set_found(key, None, value, Ttl::Clear, event::SET);
    }
    call.reply.integer(i64::from(is_new));
    Ok(Done::Replied)
}

fn setex(call: &mut Call<'_>) -> Outcome {
    let expiry = Expiry::Seconds(call.args.at(2));
    set_with_ttl(call, expiry)
}

fn psetex(call: &mut Call<'_>) -> Outcome {
    let expiry = Expiry::Millis(call.args.at(2));
    set_with_ttl(call, expiry)
}

fn set_with_ttl(call: &mut Call<'_>, expiry: Expiry<'_>) -> Outcome {
    let ttl = expiry.ttl(call.now(), call.name)?;
    let key = call.args.at(1);
    let at = call.db.lookup_silent(key);
    store(call, key, call.args.string(3), at, ttl, false);
    call.reply.ok();
    Ok(Done::Replied)
}

fn getset(call: &mut Call<'_>) -> Outcome {
    get(call)?;
    let (key, value) = (call.args.at(1), call.args.string(2));
    call.db.set_string(key, value, Ttl::Clear, event::SET);
    call.propagation.rewrite_as([b"SET".as_slice(), key, value.bytes()]);
    Ok(Done::Replied)
}

fn getdel(call: &mut Call<'_>) -> Outcome {
    get(call)?;
    let key = call.args.at(1);
    if call.db.remove(key) {
        call.propagation.rewrite_as([b"DEL".as_slice(), key]);
    }
    Ok(Done::Replied)
}

fn delifeq(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let equal = match call.db.string_to_write(key)? {
        None => false,
        Some((_, text)) => equals(text, call.args.at(2)),
    };
    if equal {
        call.db.remove(key);
        call.propagation.rewrite_as([b"DEL".as_slice(), key]);
    }
    call.reply.integer(i64::from(equal));
    Ok(Done::Replied)
}

fn delex(call: &mut Call<'_>) -> Outcome {
    const NOT_A_STRING: CommandError =
        CommandError::text("ERR Key should be of string type if conditions are specified");
    const UNKNOWN: CommandError =
        CommandError::text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    let key = call.args.at(1);
    let found = match call.args.len() {
        2 => call.db.lookup_silent(key),
        4 => match call.db.lookup_read(key) {
            None => None,
            Some(at) => {
                let text = call.db.text(at).map_err(|_| NOT_A_STRING)?;
                let comparison = Comparison::of_word(call.args.at(2), call.args.at(3)).ok_or(UNKNOWN)?;
                comparison.holds_for(text)?.then_some(at)
            }
        },
        _ => return Err(CommandError::wrong_arity(call.name)),
    };
    let removed = found.is_some();
    if let Some(at) = found {
        call.db.remove_found(key, at, event::DEL);
        call.propagation.rewrite_as([b"DEL".as_slice(), key]);
    }
    call.reply.integer(i64::from(removed));
    Ok(Done::Replied)
}

fn digest(call: &mut Call<'_>) -> Outcome {
    match call.db.string(call.args.at(1))? {
        None => call.reply.null(),
        Some(text) => {
            let digest = xxh3_64(text.bytes(&mut itoa::Buffer::new()));
            call.reply.bulk(&hexadecimal(digest));
        }
    }
    Ok(Done::Replied)
}

/// Sixteen lower-case digits.
fn hexadecimal(number: u64) -> [u8; 16] {
    std::array::from_fn(|digit| b"0123456789abcdef"[(number >> (60 - 4 * digit) & 15) as usize])
}

fn getex(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call.args, 2, AllowedOptions::GETEX)?;
    let key = call.args.at(1);
    let Some(at) = call.db.lookup_read(key) else {
        call.reply.null();
        return Ok(Done::Replied);
    };
    call.db.text(at)?;
    let ttl = options.expiry.ttl(call.now(), call.name)?;
    write_string(call, at)?;
    match ttl {
        Ttl::At(deadline) if already_expired(call, deadline) => {
            call.db.remove_overdue(key);
            call.propagation.rewrite_as_expired(key);
        }
        Ttl::At(deadline) => {
            call.db.set_deadline(key, at, Some(deadline), event::EXPIRE);
            let mut digits = itoa::Buffer::new();
            call.propagation.rewrite_as([b"PEXPIREAT".as_slice(), key, digits.format(deadline).as_bytes()]);
        }
        Ttl::Clear if options.expiry == Expiry::Persist && call.db.deadline(at).is_some() => {
            call.db.set_deadline(key, at, None, event::PERSIST);
            call.propagation.rewrite_as([b"PERSIST".as_slice(), key]);
        }
        Ttl::Clear | Ttl::Keep => {}
    }
    Ok(Done::Replied)
}

fn mset(call: &mut Call<'_>) -> Outcome {
    set_pairs(call)?;
    call.reply.ok();
    Ok(Done::Replied)
}

fn msetnx(call: &mut Call<'_>) -> Outcome {
    let any_exists =
        (1..call.args.len()).step_by(2).any(|index| call.db.lookup_write(call.args.at(index)).is_some());
    if any_exists && call.args.len() % 2 == 1 {
        call.reply.integer(0);
        return Ok(Done::Replied);
    }
    set_pairs(call)?;
    call.reply.integer(1);
    Ok(Done::Replied)
}

fn set_pairs(call: &mut Call<'_>) -> Result<(), CommandError> {
    let count = call.args.len();
    if count.is_multiple_of(2) {
        return Err(CommandError::wrong_arity(call.name));
    }
    let mut pairs = (1..count).step_by(2);
    while pairs.len() > 0 {
        let hashes = call.db.prefetch_keys(pairs.clone().map(|index| call.args.at(index)));
        for (index, hash) in pairs.by_ref().take(PREFETCH_KEYS).zip(hashes) {
            let (key, value) = (call.args.at(index), call.args.string(index + 1));
            call.db.set_key_hash(key, hash);
            call.db.set_string(key, value, Ttl::Clear, event::SET);
        }
    }
    Ok(())
}

fn msetex(call: &mut Call<'_>) -> Outcome {
    const NUMKEYS: CommandError = CommandError::text("ERR invalid numkeys value");
    const PAIRS: CommandError = CommandError::text("ERR wrong number of key-value pairs");
    let numkeys = crate::base::number::parse_i64(call.args.at(1)).and_then(|n| i32::try_from(n).ok());
    let numkeys = numkeys.filter(|n| *n > 0).ok_or(NUMKEYS)? as usize;
    let end = 2 + numkeys * 2;
    if end > call.args.len() {
        return Err(PAIRS);
    }
    let options = Options::parse(call.args, end, AllowedOptions::MSETEX)?;
    let ttl = options.expiry.ttl(call.now(), call.name)?;
    if let Some(must) = options.must_exist {
        let mut keys = (2..end).step_by(2).map(|index| call.args.at(index));
        if keys.any(|key| call.db.lookup_write(key).is_some() != must) {
            call.reply.integer(0);
            return Ok(Done::Replied);
        }
    }
    let mut pairs = (2..end).step_by(2);
    while pairs.len() > 0 {
        let hashes = call.db.prefetch_keys(pairs.clone().map(|index| call.args.at(index)));
        for (index, hash) in pairs.by_ref().take(PREFETCH_KEYS).zip(hashes) {
            let (key, value) = (call.args.at(index), call.args.string(index + 1));
            call.db.set_key_hash(key, hash);
            call.db.set_string_and_deadline(key, value, ttl);
        }
    }
    if let Ttl::At(deadline) = ttl
        && !matches!(options.expiry, Expiry::AtMilli(_) | Expiry::AtSecond(_))
    {
        propagate_with_deadline(call, end, deadline);
    }
    call.reply.integer(1);
    Ok(Done::Replied)
}

/// Propagates MSETEX with an absolute deadline (PXAT), so that a replica does not count from its own clock.
fn propagate_with_deadline(call: &mut Call<'_>, options_at: usize, deadline: u64) {
    let mut digits = itoa::Buffer::new();
    let mut words: Vec<&[u8]> = call.args.iter().take(options_at).collect();
    let conditions = call.args.iter().skip(options_at);
    words.extend(
        conditions.filter(|word| word.eq_ignore_ascii_case(b"nx") || word.eq_ignore_ascii_case(b"xx")),
    );
    words.extend([b"PXAT".as_slice(), digits.format(deadline).as_bytes()]);
    call.propagation.rewrite_as(words.iter());
}

#[cfg(test)]
mod large_argument_tests;
#[cfg(test)]
mod tests;
