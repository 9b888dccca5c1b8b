//! Commands on keys of any type: DEL, UNLINK, EXISTS, TOUCH, TYPE, RANDOMKEY, RENAME, MOVE, COPY.

use crate::commands::generic::databases::database_index;
use crate::commands::generic::scan::spare_expired_in_units;
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, ControlCall, Done, Outcome};
use crate::keyspace::{Detached, event};
use crate::resp::CommandError;
use crate::services::persist::codec::payload;
use crate::structures::table::NewValue;
use crate::value::Value;

/// DEL and UNLINK: large values are freed lazily in both.
pub(in crate::commands) fn del(call: &mut Call<'_>) -> Outcome {
    let removed = call.args.iter().skip(1).filter(|key| call.db.remove(key)).count();
    call.reply.count(removed);
    Ok(Done::Replied)
}

pub(in crate::commands) fn unlink(call: &mut Call<'_>) -> Outcome {
    del(call)
}

pub(in crate::commands) fn exists(call: &mut Call<'_>) -> Outcome {
    let there = call.args.iter().skip(1).filter(|key| call.db.lookup_no_touch(key).is_some()).count();
    call.reply.count(there);
    Ok(Done::Replied)
}

pub(in crate::commands) fn touch(call: &mut Call<'_>) -> Outcome {
    // TOUCH marks keys as used even with CLIENT NO-TOUCH.
    call.db.env.no_touch = false;
    let there = call.args.iter().skip(1).filter(|key| call.db.lookup_read(key).is_some()).count();
    call.reply.count(there);
    Ok(Done::Replied)
}

pub(in crate::commands) fn type_of(call: &mut Call<'_>) -> Outcome {
    let at = call.db.lookup_no_touch(call.args.at(1));
    call.reply.simple(at.map_or("none", |at| call.db.type_of(at)));
    Ok(Done::Replied)
}

pub(in crate::commands) fn randomkey(call: &mut Call<'_>) -> Outcome {
    spare_expired_in_units(call);
    match call.db.random_key() {
        None => call.reply.null(),
        Some(key) => call.reply.bulk(&key),
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn rename(call: &mut Call<'_>) -> Outcome {
    rename_if(call, false)?;
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn renamenx(call: &mut Call<'_>) -> Outcome {
    let renamed = rename_if(call, true)?;
    call.reply.integer(i64::from(renamed));
    Ok(Done::Replied)
}

/// Renames a key, if `free` only to a key that doesn't exist; returns whether it did.
fn rename_if(call: &mut Call<'_>, free: bool) -> Result<bool, CommandError> {
    let (from, to) = (call.args.at(1), call.args.at(2));
    call.db.lookup_write(from).ok_or(CommandError::NO_SUCH_KEY)?;
    if from == to || free && call.db.lookup_write(to).is_some() {
        return Ok(false);
    }
    let detached = call.db.take_entry(from).ok_or(CommandError::NO_SUCH_KEY)?;
    let replaced = call.db.insert_detached_as_new(to, detached);
    call.db.changed(from, 0, event::RENAME_FROM);
    call.db.changed(to, 1, event::RENAME_TO);
    call.db.also_overwritten(to, replaced);
    Ok(true)
}

pub(in crate::commands) fn move_key(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.settings.has_only_database() {
        return Err(CommandError::text("ERR MOVE is not allowed in cluster mode"));
    }
    let key = call.args.at(1);
    let from = call.engine.clients.sessions.live(call.client).db as usize;
    let to = database_index(call.engine.settings.databases, call.args.at(2))?;
    if from == to {
        return Err(CommandError::SAME_OBJECT);
    }
    call.engine.metrics.stats.cluster_incompatible += 1;
    let there = call.engine.view(from).lookup_write(key).is_some();
    let moves = there && call.engine.view(to).lookup_write(key).is_none();
    if moves && let Some(detached) = call.engine.view(from).take_entry(key) {
        let _nothing = call.engine.view(to).insert_detached_as_new(key, detached);
        call.engine.view(from).changed(key, 0, event::MOVE_FROM);
        call.engine.view(to).changed(key, 1, event::MOVE_TO);
    }
    call.reply.integer(i64::from(moves));
    Ok(Done::Replied)
}

pub(in crate::commands) fn copy(call: &mut ControlCall<'_>) -> Outcome {
    let (from_key, to_key) = (call.args.at(1), call.args.at(2));
    let from = call.engine.clients.sessions.live(call.client).db as usize;
    let (mut to, mut replace) = (from, false);
    let mut options = OptionReader::new(call.args, 3);
    while let Some(word) = options.next() {
        if is(word, "REPLACE") {
            replace = true;
        } else if is(word, "DB") {
            to = database_index(call.engine.settings.databases, options.value()?)?;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    if from == to && from_key == to_key {
        return Err(CommandError::SAME_OBJECT);
    }
    call.engine.metrics.stats.cluster_incompatible += u64::from(from != 0 || to != 0);
    let mut source = call.engine.view(from);
    let Some(at) = source.lookup_read(from_key) else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let copy = source.duplicate(at);
    let mut target = call.engine.view(to);
    let copies = replace || target.lookup_write(to_key).is_none();
    if copies {
        let is_vector_set = is_vector_set(&copy);
        let replaced = target.insert_detached_as_new(to_key, copy);
        target.changed(to_key, 1, event::COPY_TO);
        target.also_overwritten(to_key, replaced);
        if is_vector_set {
            propagate_as_restore(call, to, to_key);
        }
    }
    call.reply.integer(i64::from(copies));
    Ok(Done::Replied)
}

fn is_vector_set(copy: &Detached<'_>) -> bool {
    matches!(&copy.value, NewValue::Object(value) if matches!(**value, Value::VectorSet(_)))
}

/// Propagates a copy as RESTORE: Redis refuses to copy a vector set, so a replica or a log of Redis would not have it.
fn propagate_as_restore(call: &mut ControlCall<'_>, db: usize, key: &[u8]) {
    if !call.engine.propagation_mut().has_consumers() {
        return;
    }
    let mut view = call.engine.view(db);
    let Some(at) = view.lookup_silent(key) else { return };
    let table = view.database().table();
    let payload = payload::dump(table.value(at), view.env.dump_options.compress);
    let deadline = table.deadline(at).unwrap_or(0).to_string();
    let words = [b"RESTORE", key, deadline.as_bytes(), &payload, b"REPLACE", b"ABSTTL"];
    call.engine.propagation_mut().rewrite_in(db as u32, words);
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
