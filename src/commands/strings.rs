//! Strings: GET, SET, INCR.

use crate::engine::spec::{CommandSpec, Group, KeySpec};
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Text, Ttl, event};
use crate::resp::CommandError;

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("GET", get)
        .arity(2)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::String, "1.0.0", "O(1)", "Reads the string stored at a key.")
        .syntax("key:key"),
    CommandSpec::data("SET", set)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::String, "1.0.0", "O(1)", "Stores a string at a key.")
        .syntax("key:key value:string"),
    CommandSpec::data("INCR", incr)
        .arity(2)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::String, "1.0.0", "O(1)", "Adds one to an integer; a free key counts from 0.")
        .syntax("key:key"),
];

fn get(call: &mut Call<'_>) -> Outcome {
    match call.db.string(call.args.at(1))? {
        None => call.reply.null(),
        Some(Text::Int(n)) => call.reply.bulk_integer(n),
        Some(Text::Bytes(bytes)) => call.reply.bulk(bytes),
    }
    Ok(Done::Replied)
}

fn set(call: &mut Call<'_>) -> Outcome {
    let ttl = if call.args.len() == 5 {
        let seconds = crate::base::number::parse_u64(call.args.at(4)).ok_or(CommandError::NOT_INTEGER)?;
        Ttl::At(call.now() + seconds * 1000)
    } else {
        Ttl::Clear
    };
    call.db.set_string(call.args.at(1), call.args.at(2), ttl, event::SET);
    call.reply.ok();
    Ok(Done::Replied)
}

fn incr(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let old = match call.db.string_to_write(key)? {
        None => 0,
        Some((_, text)) => text.integer().ok_or(CommandError::NOT_INTEGER)?,
    };
    let new = old.checked_add(1).ok_or(CommandError::OVERFLOW)?;
    call.db.set_integer(key, new, Ttl::Keep, event::INCRBY);
    call.reply.integer(new);
    Ok(Done::Replied)
}
