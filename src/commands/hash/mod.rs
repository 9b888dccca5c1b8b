//! Hash commands on single fields: HSET, HGET and their kin, HINCRBY, HDEL, HLEN.
//!
//! A field past its deadline doesn't exist for a client: a read that finds one removes it, a write removes it
//! first. HLEN and HDEL don't lookup_field at deadlines, as in Redis. Commands on whole hashes are in `scan`, deadlines
//! in `expiry`, and the commands that do both at once in `getex`.

mod expiry;
mod field_args;
mod hgetex;
mod scan;
pub mod specs;

use crate::base::number::Extended;
use crate::commands::support::args;
use crate::commands::support::listpack_reply::write_entry;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::CommandError;
use crate::structures::listpack::Entry;
use crate::value::hash::Hash;

fn hset(call: &mut Call<'_>) -> Outcome {
    let new = set_pairs(call)?;
    call.reply.count(new);
    Ok(Done::Replied)
}

fn hmset(call: &mut Call<'_>) -> Outcome {
    set_pairs(call)?;
    call.reply.ok();
    Ok(Done::Replied)
}

/// Sets the fields of the request; returns how many of them are new.
fn set_pairs(call: &mut Call<'_>) -> Result<usize, CommandError> {
    let pairs = call.args.tail(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(call.name));
    }
    let mut edit = call.db.edit_or_create::<Hash>(call.args.at(1))?;
    if pairs.len() > 2 {
        let (hash, _, limits) = edit.parts();
        hash.expect(pairs.iter(), limits);
    }
    let mut new = 0;
    for index in (0..pairs.len()).step_by(2) {
        new += usize::from(edit.set(pairs.at(index), pairs.at(index + 1)));
    }
    edit.finish(pairs.len() / 2, event::HSET);
    Ok(new)
}

fn hsetnx(call: &mut Call<'_>) -> Outcome {
    let (key, field, value) = (call.args.at(1), call.args.at(2), call.args.at(3));
    call.db.sweep_expired_fields_before_write(key, std::iter::once(field));
    let mut edit = call.db.edit_or_create::<Hash>(key)?;
    let free = edit.peek().find(field).is_none();
    if free {
        let (hash, _, limits) = edit.parts();
        hash.set(field, value, false, limits);
        edit.finish(1, event::HSET);
    }
    call.reply.integer(i64::from(free));
    Ok(Done::Replied)
}

/// The result of looking up a field.
enum FieldLookup<'a> {
    Value(Entry<'a>),
    Missing,
    /// The field is past its deadline and not removed yet.
    Expired,
}

#[inline]
fn lookup_field<'v>(
    call: &'v mut Call<'_>,
    key: &[u8],
    field: &[u8],
) -> Result<FieldLookup<'v>, CommandError> {
    let now = call.db.env.field_now();
    let Some(hash) = call.db.read::<Hash>(key)? else { return Ok(FieldLookup::Missing) };
    Ok(match hash.find(field) {
        None => FieldLookup::Missing,
        Some((_, Some(deadline))) if deadline < now => FieldLookup::Expired,
        Some((value, _)) => FieldLookup::Value(value),
    })
}

fn hget(call: &mut Call<'_>) -> Outcome {
    let (key, field, now) = (call.args.at(1), call.args.at(2), call.db.env.field_now());
    let mut past = false;
    match call.db.read::<Hash>(key)?.and_then(|hash| hash.find(field)) {
        Some((value, deadline)) if deadline.is_none_or(|deadline| deadline >= now) => {
            write_entry(call.reply, value);
        }
        found => {
            past = found.is_some();
            call.reply.null();
        }
    }
    if past {
        call.db.sweep_expired_fields(key, std::iter::once(field));
    }
    Ok(Done::Replied)
}

fn hmget(call: &mut Call<'_>) -> Outcome {
    let (key, fields, now) = (call.args.at(1), call.args.tail(2), call.db.env.field_now());
    let hash = call.db.read::<Hash>(key)?;
    let mut past = false;
    call.reply.array(fields.len());
    for field in fields.iter() {
        match hash.and_then(|hash| hash.find(field)) {
            None => call.reply.null(),
            Some((_, Some(deadline))) if deadline < now => {
                past = true;
                call.reply.null();
            }
            Some((value, _)) => write_entry(call.reply, value),
        }
    }
    if past {
        call.db.sweep_expired_fields(key, fields.iter());
    }
    Ok(Done::Replied)
}

fn hstrlen(call: &mut Call<'_>) -> Outcome {
    measure(call, |value| value.byte_len())
}

fn hexists(call: &mut Call<'_>) -> Outcome {
    measure(call, |_| 1)
}

/// Replies with `of` of a field's value, 0 for a missing field.
fn measure(call: &mut Call<'_>, of: fn(Entry<'_>) -> usize) -> Outcome {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let found = lookup_field(call, key, field)?;
    let past = matches!(found, FieldLookup::Expired);
    let number = if let FieldLookup::Value(value) = found { of(value) } else { 0 };
    call.reply.count(number);
    if past {
        call.db.sweep_expired_fields(key, std::iter::once(field));
    }
    Ok(Done::Replied)
}

fn hdel(call: &mut Call<'_>) -> Outcome {
    let Some(mut edit) = call.db.edit::<Hash>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let hash = edit.get();
    let removed = call.args.tail(2).iter().filter(|field| hash.remove(field)).count();
    edit.finish(removed, event::HDEL);
    call.reply.count(removed);
    Ok(Done::Replied)
}

fn hlen(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<Hash>(call.args.at(1))?.map_or(0, Hash::len);
    call.reply.count(len);
    Ok(Done::Replied)
}

fn hincrby(call: &mut Call<'_>) -> Outcome {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let by = args::integer(call.args.at(3))?;
    call.db.sweep_expired_fields_before_write(key, std::iter::once(field));
    let mut edit = call.db.edit_or_create::<Hash>(key)?;
    let old = match edit.peek().find(field) {
        None => 0,
        Some((value, _)) => value.as_int().ok_or(CommandError::text("ERR hash value is not an integer"))?,
    };
    let new = old.checked_add(by).ok_or(CommandError::OVERFLOW)?;
    let (hash, _, limits) = edit.parts();
    hash.set(field, itoa::Buffer::new().format(new).as_bytes(), true, limits);
    edit.finish(1, event::HINCRBY);
    call.reply.integer(new);
    Ok(Done::Replied)
}

fn hincrbyfloat(call: &mut Call<'_>) -> Outcome {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let by = Extended::parse(call.args.at(3)).ok_or(CommandError::NOT_FLOAT)?;
    if !by.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    call.db.sweep_expired_fields_before_write(key, std::iter::once(field));
    let mut edit = call.db.edit_or_create::<Hash>(key)?;
    let old = match edit.peek().find(field) {
        None => Extended::from_i64(0),
        Some((Entry::Int(number), _)) => Extended::from_i64(number),
        Some((Entry::Str(text), _)) => {
            Extended::parse(text).ok_or(CommandError::text("ERR hash value is not a float"))?
        }
    };
    const OVERFLOW: CommandError = CommandError::text("ERR increment would produce NaN or Infinity");
    let new = old.checked_add(by).ok_or(OVERFLOW)?;
    let mut text = Vec::with_capacity(32);
    new.push_text(&mut text);
    let (hash, _, limits) = edit.parts();
    hash.set(field, &text, true, limits);
    let has_deadlines = hash.has_deadlines();
    edit.finish(1, event::HINCRBYFLOAT);
    call.reply.bulk(&text);
    // Propagated with the sum: a replica on another machine might round differently. HSETEX, which no replica older than
    // Redis 8.0 and Valkey 9.0 knows, comes only where HSET would remove a deadline.
    let set: &[&[u8]] = &[b"HSET", key, field, &text];
    let set_and_keep: &[&[u8]] = &[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, &text];
    call.propagation.rewrite_as(if has_deadlines { set_and_keep } else { set });
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
