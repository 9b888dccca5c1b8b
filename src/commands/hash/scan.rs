//! Whole hashes and random fields: HGETALL, HKEYS, HVALS, HRANDFIELD, HSCAN.
//!
//! Fields past their deadline are not in any reply; HRANDFIELD removes them first.

use crate::commands::support::args::is;
use crate::commands::support::collection_scan::{self, ScanOptions, ScannedType};
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::random_count;
use crate::engine::{Call, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::value::hash::{Field, Hash};

pub(in crate::commands) fn hgetall(call: &mut Call<'_>) -> Outcome {
    let now = call.db.env.field_now();
    match call.db.read::<Hash>(call.args.at(1))? {
        None => call.reply.map(0),
        Some(hash) => {
            call.reply.map(hash.live_len(now));
            hash.for_each_live(now, |field| {
                write_entry(call.reply, field.name);
                write_entry(call.reply, field.value);
            });
        }
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn hkeys(call: &mut Call<'_>) -> Outcome {
    reply_array(call, |reply, field| write_entry(reply, field.name))
}

pub(in crate::commands) fn hvals(call: &mut Call<'_>) -> Outcome {
    reply_array(call, |reply, field| write_entry(reply, field.value))
}

fn reply_array(call: &mut Call<'_>, write: impl Fn(&mut Reply, Field<'_>)) -> Outcome {
    let now = call.db.env.field_now();
    match call.db.read::<Hash>(call.args.at(1))? {
        None => call.reply.array(0),
        Some(hash) => {
            call.reply.array(hash.live_len(now));
            hash.for_each_live(now, |field| write(call.reply, field));
        }
    }
    Ok(Done::Replied)
}

/// The arguments of HRANDFIELD after the key.
struct RandFieldArgs {
    count: usize,
    repeats: bool,
    with_values: bool,
}

impl RandFieldArgs {
    fn parse(call: &Call<'_>) -> Result<Option<Self>, CommandError> {
        let Some(count) = call.args.get(2) else { return Ok(None) };
        let (count, repeats) = random_count::parse(count)?;
        let with_values = match call.args.get(3) {
            None => false,
            Some(word) if call.args.len() == 4 && is(word, "WITHVALUES") => true,
            Some(_) => return Err(CommandError::SYNTAX),
        };
        if with_values && count > i64::MAX as usize / 2 {
            return Err(CommandError::text("ERR value is out of range"));
        }
        Ok(Some(RandFieldArgs { count, repeats, with_values }))
    }

    /// Begins the reply: an array of pairs with WITHVALUES in RESP3, a flat array otherwise.
    fn begin(&self, reply: &mut Reply, count: usize) {
        let flat = self.with_values && !reply.is_resp3();
        reply.array(if flat { 2 * count } else { count });
    }

    fn write(&self, reply: &mut Reply, field: Field<'_>) {
        if self.with_values && reply.is_resp3() {
            reply.array(2);
        }
        write_entry(reply, field.name);
        if self.with_values {
            write_entry(reply, field.value);
        }
    }
}

pub(in crate::commands) fn hrandfield(call: &mut Call<'_>) -> Outcome {
    let args = RandFieldArgs::parse(call)?;
    let (key, now) = (call.args.at(1), call.db.env.field_now());
    call.db.sweep_all_fields(key);
    let max_reply = call.db.env.max_reply;
    let found = call.db.read_with_rng::<Hash>(key)?;
    let Some(args) = args else {
        match found.and_then(|(hash, rng)| hash.random(rng, now)) {
            None => call.reply.null(),
            Some(field) => write_entry(call.reply, field.name),
        }
        return Ok(Done::Replied);
    };
    let len = found.as_ref().map_or(0, |(hash, _)| hash.live_len(now));
    let Some((hash, rng)) = found.filter(|_| len > 0) else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    if !args.repeats {
        args.begin(call.reply, args.count.min(len));
        hash.sample(args.count, rng, now, |field| args.write(call.reply, field));
        return Ok(Done::Replied);
    }
    let start = call.reply.len();
    args.begin(call.reply, args.count);
    random_count::reply_with_repetition(call.reply, start, args.count, max_reply, |reply| {
        hash.random(rng, now).into_iter().for_each(|field| args.write(reply, field));
    })
}

pub(in crate::commands) fn hscan(call: &mut Call<'_>) -> Outcome {
    let (cursor, now) = (collection_scan::parse_cursor(call.args.at(2))?, call.db.env.field_now());
    let Some(hash) = call.db.read::<Hash>(call.args.at(1))? else {
        collection_scan::reply_empty(call.reply);
        return Ok(Done::Replied);
    };
    let options = ScanOptions::parse(call.args, cursor, ScannedType::Hash)?;
    options.scan(call.reply, |cursor, found| {
        hash.scan(cursor, |field| {
            // Fields past their deadline count as scanned: otherwise a call could go on over thousands of them.
            if found.matches(field.name) && field.is_live(now) {
                found.write(field.name);
                if !options.names_only {
                    found.write(field.value);
                }
            }
        })
    });
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
