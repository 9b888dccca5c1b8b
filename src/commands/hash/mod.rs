//! Hashes, field by field: HSET and HGET with their kin, counters, removal.
//!
//! A field past its deadline is as good as gone: a read that runs into one removes it, a write removes it
//! before it begins. HLEN and HDEL don't look at deadlines, as in Redis. What goes through a whole hash is
//! `hash_walks`, deadlines are set and read in `hash_expiry`, and `hash_options` has the commands that do
//! both at once.

mod expiry;
mod getex;
mod scan;
pub mod specs;

use crate::base::number::Extended;
use crate::commands::support::args;
use crate::commands::support::reply::write_entry;
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

/// Sets the fields of the request; tells how many are new.
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
    call.db.settle_fields(key, std::iter::once(field));
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

/// What a read finds at a field.
enum Found<'a> {
    Value(Entry<'a>),
    Nothing,
    /// Nothing any more: the field is there and past its deadline.
    Past,
}

/// Looks a field up.
#[inline]
fn look<'v>(call: &'v mut Call<'_>, key: &[u8], field: &[u8]) -> Result<Found<'v>, CommandError> {
    let now = call.db.env.field_now();
    let Some(hash) = call.db.read::<Hash>(key)? else { return Ok(Found::Nothing) };
    Ok(match hash.find(field) {
        None => Found::Nothing,
        Some((_, Some(deadline))) if deadline < now => Found::Past,
        Some((value, _)) => Found::Value(value),
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
        call.db.drop_past_fields(key, std::iter::once(field));
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
        call.db.drop_past_fields(key, fields.iter());
    }
    Ok(Done::Replied)
}

fn hstrlen(call: &mut Call<'_>) -> Outcome {
    measure(call, |value| value.byte_len())
}

fn hexists(call: &mut Call<'_>) -> Outcome {
    measure(call, |_| 1)
}

/// Replies what `of` says of a field's value, 0 if there is none.
fn measure(call: &mut Call<'_>, of: fn(Entry<'_>) -> usize) -> Outcome {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let found = look(call, key, field)?;
    let past = matches!(found, Found::Past);
    let number = if let Found::Value(value) = found { of(value) } else { 0 };
    call.reply.count(number);
    if past {
        call.db.drop_past_fields(key, std::iter::once(field));
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
    call.db.settle_fields(key, std::iter::once(field));
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
    call.db.settle_fields(key, std::iter::once(field));
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
    edit.finish(1, event::HINCRBYFLOAT);
    call.reply.bulk(&text);
    // Whoever repeats it gets the sum, not a float to add.
    let words: [&[u8]; 7] = [b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, &text];
    call.propagation.rewrite_as(words);
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
