//! Keys whatever they hold: whether they are there, and that they go, move and are copied.

use super::databases::database_index;
use crate::base::ids::ClientId;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec, flag};
use crate::engine::{Call, Done, Engine, Outcome};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, Reply};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("DEL", del)
        .arity(-2)
        .write()
        .keys(&[KeySpec::ALL.rm().delete()])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N), N being the number of keys, plus O(M) for each collection of M elements",
            "Deletes keys.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("UNLINK", unlink)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::ALL.rm().delete()])
        .docs(
            Group::Generic,
            "4.0.0",
            "O(1) for each key; freeing what it held follows in the background",
            "Deletes keys at once and frees their memory later.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("EXISTS", exists)
        .arity(-2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::ALL.ro()])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N), N being the number of keys",
            "Counts how many of the given keys exist.",
        )
        .syntax("key:key...")
        .history(&[("3.0.3", "More than one key may be given.")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("TYPE", type_of)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Names the type of the value at a key.")
        .syntax("key:key"),
    CommandSpec::data("TOUCH", touch)
        .arity(-2)
        .readonly()
        .fast()
        .keys(&[KeySpec::ALL.ro()])
        .docs(
            Group::Generic,
            "3.2.1",
            "O(N), N being the number of keys",
            "Refreshes the access time of keys and counts those that exist.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("RANDOMKEY", randomkey)
        .arity(1)
        .readonly()
        .with(flag::TOUCHES_ARBITRARY_KEYS)
        .docs(Group::Generic, "1.0.0", "O(1)", "Names a key picked at random.")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    CommandSpec::data("RENAME", rename)
        .arity(3)
        .write()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.ow().update()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a key another name, replacing what stood there.")
        .syntax("key:key newkey:key@1"),
    CommandSpec::data("RENAMENX", renamenx)
        .arity(3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.ow().insert()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a key another name if that one is free.")
        .syntax("key:key newkey:key@1")
        .history(&[("3.2.0", "Renaming a key to its own name is no error any more.")]),
    CommandSpec::control("COPY", copy)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ro().access(), KeySpec::SECOND.ow().update()])
        .docs(
            Group::Generic,
            "6.2.0",
            "O(1) for strings, O(N) for collections of N elements",
            "Copies the value of a key to another key.",
        )
        .syntax("source:key destination:key@1 [DB=destination-db:integer] [REPLACE]"),
    CommandSpec::control("MOVE", move_key)
        .arity(3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Moves a key to another database.")
        .syntax("key:key db:integer"),
];

/// Big values are freed later, whichever of the two names the client used.
fn del(call: &mut Call<'_>) -> Outcome {
    let removed = call.args.iter().skip(1).filter(|key| call.db.remove(key)).count();
    call.reply.count(removed);
    Ok(Done::Replied)
}

fn unlink(call: &mut Call<'_>) -> Outcome {
    del(call)
}

fn exists(call: &mut Call<'_>) -> Outcome {
    let there = call.args.iter().skip(1).filter(|key| call.db.find_untouched(key).is_some()).count();
    call.reply.count(there);
    Ok(Done::Replied)
}

fn touch(call: &mut Call<'_>) -> Outcome {
    // That is what it is for, also where CLIENT NO-TOUCH holds.
    call.db.env.no_touch = false;
    let there = call.args.iter().skip(1).filter(|key| call.db.find(key).is_some()).count();
    call.reply.count(there);
    Ok(Done::Replied)
}

fn type_of(call: &mut Call<'_>) -> Outcome {
    let at = call.db.find_untouched(call.args.at(1));
    call.reply.simple(at.map_or("none", |at| call.db.type_of(at)));
    Ok(Done::Replied)
}

fn randomkey(call: &mut Call<'_>) -> Outcome {
    match call.db.random_key() {
        None => call.reply.null(),
        Some(key) => call.reply.bulk(&key),
    }
    Ok(Done::Replied)
}

fn rename(call: &mut Call<'_>) -> Outcome {
    rename_if(call, false)?;
    call.reply.ok();
    Ok(Done::Replied)
}

fn renamenx(call: &mut Call<'_>) -> Outcome {
    let renamed = rename_if(call, true)?;
    call.reply.integer(i64::from(renamed));
    Ok(Done::Replied)
}

/// Renames, if `free` only to a name that nothing has; answers whether it did.
fn rename_if(call: &mut Call<'_>, free: bool) -> Result<bool, CommandError> {
    let (from, to) = (call.args.at(1), call.args.at(2));
    call.db.find_to_write(from).ok_or(CommandError::NO_SUCH_KEY)?;
    if from == to || free && call.db.find_to_write(to).is_some() {
        return Ok(false);
    }
    let detached = call.db.detach(from).ok_or(CommandError::NO_SUCH_KEY)?;
    call.db.attach_anew(to, detached);
    call.db.changed(from, 0, event::RENAME_FROM);
    call.db.changed(to, 1, event::RENAME_TO);
    Ok(true)
}

fn move_key(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply) -> Outcome {
    let key = args.at(1);
    let from = engine.clients.sessions.live(client).db as usize;
    let to = database_index(engine, args.at(2))?;
    if from == to {
        return Err(CommandError::SAME_OBJECT);
    }
    engine.metrics.stats.cluster_incompatible += 1;
    let there = engine.view(from).find_to_write(key).is_some();
    let moves = there && engine.view(to).find_to_write(key).is_none();
    if moves && let Some(detached) = engine.view(from).detach(key) {
        engine.view(to).attach_anew(key, detached);
        engine.view(from).changed(key, 0, event::MOVE_FROM);
        engine.view(to).changed(key, 1, event::MOVE_TO);
    }
    reply.integer(i64::from(moves));
    Ok(Done::Replied)
}

fn copy(engine: &mut Engine, client: ClientId, args: Args<'_>, reply: &mut Reply) -> Outcome {
    let (from_key, to_key) = (args.at(1), args.at(2));
    let from = engine.clients.sessions.live(client).db as usize;
    let (mut to, mut replace) = (from, false);
    let mut index = 3;
    while let Some(word) = args.get(index) {
        match args.get(index + 1) {
            _ if word.eq_ignore_ascii_case(b"replace") => replace = true,
            Some(number) if word.eq_ignore_ascii_case(b"db") => {
                to = database_index(engine, number)?;
                index += 1;
            }
            _ => return Err(CommandError::SYNTAX),
        }
        index += 1;
    }
    if from == to && from_key == to_key {
        return Err(CommandError::SAME_OBJECT);
    }
    engine.metrics.stats.cluster_incompatible += u64::from(from != 0 || to != 0);
    let mut source = engine.view(from);
    let Some(at) = source.find(from_key) else {
        reply.integer(0);
        return Ok(Done::Replied);
    };
    let copy = source.duplicate(at);
    let mut target = engine.view(to);
    let copies = replace || target.find_to_write(to_key).is_none();
    if copies {
        target.attach_anew(to_key, copy);
        target.changed(to_key, 1, event::COPY_TO);
    }
    reply.integer(i64::from(copies));
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
