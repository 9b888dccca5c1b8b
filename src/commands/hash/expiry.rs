//! Hash field expiration commands: HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT, the same four of HTTL, HPERSIST.
//!
//! The reply has a number for each field: -2 no such field, -1 no deadline (or the time left), 0 condition
//! not met, 1 done, 2 removed because the deadline has passed. They are propagated with absolute milliseconds:
//! as HPEXPIREAT, or as an HDEL for each field that was removed.

use super::field_args::{Unit, condition_and_fields, named_fields, parse_deadline};
use crate::commands::string::already_expired;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::Args;
use crate::value::hash::Hash;

/// A deadline may be over before a replica that lags, or is being sent a snapshot, executes what follows, if so much time is left, ms …
const SOON_MS: u64 = 60_000;
/// … and this is time enough.
const LATER_MS: u64 = 86_400_000;

const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const NOT_MET: i64 = 0;
const DONE: i64 = 1;
const REMOVED: i64 = 2;

pub(in crate::commands) fn hexpire(call: &mut Call<'_>) -> Outcome {
    let now = call.now();
    expire(call, Unit::Seconds, now)
}

pub(in crate::commands) fn hpexpire(call: &mut Call<'_>) -> Outcome {
    let now = call.now();
    expire(call, Unit::Millis, now)
}

pub(in crate::commands) fn hexpireat(call: &mut Call<'_>) -> Outcome {
    expire(call, Unit::Seconds, 0)
}

pub(in crate::commands) fn hpexpireat(call: &mut Call<'_>) -> Outcome {
    expire(call, Unit::Millis, 0)
}

fn expire(call: &mut Call<'_>, unit: Unit, base: u64) -> Outcome {
    let (args, key) = (call.args, call.args.at(1));
    call.db.holds::<Hash>(key)?;
    let deadline = parse_deadline(args.at(2), unit, base, call.name)?;
    let (condition, fields) = condition_and_fields(args)?;
    let over = already_expired(call, deadline);
    call.db.sweep_expired_fields_before_write(key, fields.iter());

    call.reply.array(fields.len());
    let Some(mut edit) = call.db.edit::<Hash>(key)? else {
        (0..fields.len()).for_each(|_| call.reply.integer(NO_FIELD));
        return Ok(Done::Replied);
    };
    let hash = edit.get();
    hash.allow_deadlines();
    let mut changed = Vec::with_capacity(fields.len());
    for field in fields.iter() {
        let result = match hash.find(field).map(|(_, old)| old) {
            None => NO_FIELD,
            Some(old) if !condition.is_met(old, deadline) => NOT_MET,
            Some(_) if over => REMOVED,
            Some(_) => DONE,
        };
        let changes = match result {
            DONE => hash.set_deadline(field, Some(deadline)),
            REMOVED => hash.remove(field),
            _ => false,
        };
        if changes {
            changed.push(field);
        }
        call.reply.integer(result);
    }
    edit.finish(changed.len(), if over { event::HDEL } else { event::HEXPIRE });
    if over {
        propagate_removed(call, key, &changed);
    } else {
        propagate_deadline(call, key, deadline, condition.word().as_slice(), &changed);
    }
    Ok(Done::Replied)
}

/// Counts fields that were removed because their deadline has passed, and propagates an HDEL for each.
pub(in crate::commands) fn propagate_removed(call: &mut Call<'_>, key: &[u8], fields: &[&[u8]]) {
    call.db.count_expired_fields(fields.len());
    for field in fields {
        call.propagation.rewrite_as([b"HDEL".as_slice(), key, field]);
    }
}

/// Propagates an HPEXPIREAT.
pub(in crate::commands) fn propagate_deadline(
    call: &mut Call<'_>,
    key: &[u8],
    deadline: u64,
    condition: &[&[u8]],
    fields: &[&[u8]],
) {
    let (mut ms, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let head = [b"HPEXPIREAT".as_slice(), key, ms.format(deadline).as_bytes()];
    let number = [b"FIELDS".as_slice(), count.format(fields.len()).as_bytes()];
    call.propagation.rewrite_as(head.iter().chain(condition).chain(&number).chain(fields));
}

pub(in crate::commands) fn httl(call: &mut Call<'_>) -> Outcome {
    let now = call.now();
    reply_ttl(call, Unit::Seconds, now)
}

pub(in crate::commands) fn hpttl(call: &mut Call<'_>) -> Outcome {
    let now = call.now();
    reply_ttl(call, Unit::Millis, now)
}

pub(in crate::commands) fn hexpiretime(call: &mut Call<'_>) -> Outcome {
    reply_ttl(call, Unit::Seconds, 0)
}

pub(in crate::commands) fn hpexpiretime(call: &mut Call<'_>) -> Outcome {
    reply_ttl(call, Unit::Millis, 0)
}

/// Replies with the deadlines of fields, in `unit` from `base` (Unix ms); seconds are rounded up.
fn reply_ttl(call: &mut Call<'_>, unit: Unit, base: u64) -> Outcome {
    let now = call.db.env.field_now();
    let hash = call.db.read::<Hash>(call.args.at(1))?;
    let fields = named_fields(call.args, 2)?;
    call.reply.array(fields.len());
    for field in fields.iter() {
        call.reply.integer(match hash.and_then(|hash| hash.find(field)) {
            None => NO_FIELD,
            Some((_, None)) => NO_DEADLINE,
            Some((_, Some(deadline))) if deadline < now => NO_FIELD,
            Some((_, Some(deadline))) if unit == Unit::Millis => deadline.saturating_sub(base) as i64,
            Some((_, Some(deadline))) => deadline.saturating_sub(base).div_ceil(1000) as i64,
        });
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn hpersist(call: &mut Call<'_>) -> Outcome {
    let (key, now) = (call.args.at(1), call.db.env.field_now());
    call.db.holds::<Hash>(key)?;
    let fields = named_fields(call.args, 2)?;
    call.reply.array(fields.len());
    let Some(mut edit) = call.db.edit::<Hash>(key)? else {
        (0..fields.len()).for_each(|_| call.reply.integer(NO_FIELD));
        return Ok(Done::Replied);
    };
    let hash = edit.get();
    let (mut changed, mut soon) = (0, Vec::new());
    for field in fields.iter() {
        call.reply.integer(match hash.find(field).map(|(_, deadline)| deadline) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) if deadline < now => NO_FIELD,
            Some(Some(deadline)) => {
                if is_soon(deadline, now) {
                    soon.push(field);
                }
                hash.set_deadline(field, None);
                changed += 1;
                DONE
            }
        });
    }
    edit.finish(changed, event::HPERSIST);
    if !soon.is_empty() {
        propagate_persisted(call, key, &soon, fields);
    }
    Ok(Done::Replied)
}

/// Whether a field's deadline may be over when a replica executes what takes it away.
pub(super) fn is_soon(deadline: u64, now: u64) -> bool {
    deadline < now.saturating_add(SOON_MS)
}

/// Propagates that fields lose their deadlines. A replica of Redis doesn't take away one that is over by its own clock, so those that
/// are `soon` over get a later one first.
pub(super) fn propagate_persisted(call: &mut Call<'_>, key: &[u8], soon: &[&[u8]], fields: Args<'_>) {
    let later = call.db.env.field_now().saturating_add(LATER_MS);
    if !soon.is_empty() {
        propagate_deadline(call, key, later, &[], soon);
    }
    let mut count = itoa::Buffer::new();
    let count = count.format(fields.len()).as_bytes();
    let words = [b"HPERSIST".as_slice(), key, b"FIELDS", count];
    call.propagation.rewrite_as(words.into_iter().chain(fields.iter()));
}

#[cfg(test)]
#[path = "expiry_tests.rs"]
mod tests;
