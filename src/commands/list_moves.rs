//! Lists: items that move from list to list, and clients that wait for them.

use super::blocking::{ManyPop, wait};
use super::elements::write_entry;
use super::lists::{pop_event, pop_many, push_event};
use super::parse::{self, is};
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};
use crate::engine::{Call, Done, Outcome, TimeoutReply};
use crate::resp::CommandError;
use crate::structures::listpack::{DecimalBuffer, Entry};
use crate::structures::quicklist::End;
use crate::value::list::List;

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("LMOVE", lmove)
        .arity(5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "6.2.0",
            "O(1)",
            "Takes an element from one end of a list and puts it to an end of another.",
        )
        .syntax("source:key destination:key@1 <wherefrom: LEFT|RIGHT> <whereto: LEFT|RIGHT>"),
    CommandSpec::data("RPOPLPUSH", rpoplpush)
        .arity(3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "1.2.0",
            "O(1)",
            "Takes the last element of a list and puts it before the first of another.",
        )
        .syntax("source:key destination:key@1")
        .deprecated("6.2.0", "`LMOVE … RIGHT LEFT`"),
    CommandSpec::data("LMPOP", lmpop)
        .arity(-4)
        .write()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).rw().access().delete()])
        .docs(
            Group::List,
            "7.0.0",
            "O(N+M), N being the number of keys and M that of the elements taken",
            "Takes elements from the first of several lists that has any.",
        )
        .syntax("numkeys:integer key:key... <where: LEFT|RIGHT> [COUNT=count:integer]"),
    CommandSpec::data("BLPOP", blpop)
        .arity(-3)
        .write()
        .blocking()
        .keys(&[KeySpec::FIRST.range(-2, 1, 0).rw().access().delete()])
        .docs(
            Group::List,
            "2.0.0",
            "O(N), N being the number of keys",
            "Takes the first element of the first list that has any, and waits for one otherwise.",
        )
        .syntax("key:key... timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")]),
    CommandSpec::data("BRPOP", brpop)
        .arity(-3)
        .write()
        .blocking()
        .keys(&[KeySpec::FIRST.range(-2, 1, 0).rw().access().delete()])
        .docs(
            Group::List,
            "2.0.0",
            "O(N), N being the number of keys",
            "Takes the last element of the first list that has any, and waits for one otherwise.",
        )
        .syntax("key:key... timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")]),
    CommandSpec::data("BLMOVE", blmove)
        .arity(6)
        .write()
        .deny_oom()
        .blocking()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "6.2.0",
            "O(1)",
            "Takes an element from one end of a list, waiting for one where there is none, \
            and puts it to an end of another.",
        )
        .syntax(
            "source:key destination:key@1 <wherefrom: LEFT|RIGHT> <whereto: LEFT|RIGHT> \
            timeout:double",
        ),
    CommandSpec::data("BRPOPLPUSH", brpoplpush)
        .arity(4)
        .write()
        .deny_oom()
        .blocking()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "2.2.0",
            "O(1)",
            "Takes the last element of a list, waiting for one where there is none, and puts \
            it before the first of another.",
        )
        .syntax("source:key destination:key@1 timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")])
        .deprecated("6.2.0", "`BLMOVE … RIGHT LEFT`"),
    CommandSpec::data("BLMPOP", blmpop)
        .arity(-5)
        .write()
        .blocking()
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).rw().access().delete()])
        .docs(
            Group::List,
            "7.0.0",
            "O(N+M), N being the number of keys and M that of the elements taken",
            "Takes elements from the first of several lists that has any, and waits for them \
            otherwise.",
        )
        .syntax("timeout:double numkeys:integer key:key... <where: LEFT|RIGHT> [COUNT=count:integer]"),
];

fn end(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if is(word, "LEFT") => Ok(End::Front),
        word if is(word, "RIGHT") => Ok(End::Back),
        _ => Err(CommandError::SYNTAX),
    }
}

fn pop_word(end: End) -> &'static str {
    if end == End::Front { "LPOP" } else { "RPOP" }
}

fn lmove(call: &mut Call<'_>) -> Outcome {
    let (from, to) = (end(call.args.at(3))?, end(call.args.at(4))?);
    if !move_item(call, from, to)? {
        call.reply.null();
    }
    Ok(Done::Replied)
}

fn rpoplpush(call: &mut Call<'_>) -> Outcome {
    if !move_item(call, End::Back, End::Front)? {
        call.reply.null();
    }
    Ok(Done::Replied)
}

fn blmove(call: &mut Call<'_>) -> Outcome {
    let (from, to) = (end(call.args.at(3))?, end(call.args.at(4))?);
    move_or_wait(call, from, to, 5)
}

fn brpoplpush(call: &mut Call<'_>) -> Outcome {
    move_or_wait(call, End::Back, End::Front, 3)
}

fn move_or_wait(call: &mut Call<'_>, from: End, to: End, timeout_at: usize) -> Outcome {
    let deadline = parse::timeout(call.args.at(timeout_at), call.now())?;
    if move_item(call, from, to)? {
        let word = |end| if end == End::Front { "LEFT" } else { "RIGHT" }.as_bytes();
        let words = [b"LMOVE", call.args.at(1), call.args.at(2), word(from), word(to)];
        call.effects.instead(words);
        return Ok(Done::Replied);
    }
    Ok(wait("list", call.args, 1..2, deadline, TimeoutReply::NullArrayOrNull))
}

/// Moves an item and replies it; false, without a reply, if there is none.
fn move_item(call: &mut Call<'_>, from: End, to: End) -> Result<bool, CommandError> {
    let (source, target) = (call.args.at(1), call.args.at(2));
    let Some(mut list) = call.db.edit::<List>(source)? else { return Ok(false) };
    let mut digits = DecimalBuffer::new();
    let item = match list.peek().peek(from) {
        Some(Entry::Int(n)) => digits.format(n).as_bytes().to_vec(),
        Some(Entry::Str(bytes)) => bytes.to_vec(),
        None => return Ok(false),
    };
    if source == target {
        let (value, _, limits) = list.parts();
        value.rotate(from, to, &item, limits);
        list.finish_with(1, &[push_event(to), pop_event(from)]);
        call.reply.bulk(&item);
        return Ok(true);
    }
    drop(list);
    // Put first, so that a target of the wrong type leaves the source alone.
    let mut list = call.db.edit_or_create::<List>(target)?;
    let (value, _, limits) = list.parts();
    value.push(to, &item, limits);
    list.finish(1, push_event(to));
    if let Some(mut list) = call.db.edit::<List>(source)? {
        let (value, _, limits) = list.parts();
        value.pop(from, limits);
        // The move counts as one change.
        list.finish_with(0, &[pop_event(from)]);
    }
    call.reply.bulk(&item);
    Ok(true)
}

fn blpop(call: &mut Call<'_>) -> Outcome {
    pop_first(call, End::Front)
}

fn brpop(call: &mut Call<'_>) -> Outcome {
    pop_first(call, End::Back)
}

/// Pops from the first list that has an item, or waits.
fn pop_first(call: &mut Call<'_>, end: End) -> Outcome {
    let last = call.args.len() - 1;
    let deadline = parse::timeout(call.args.at(last), call.now())?;
    for at in 1..last {
        let key = call.args.at(at);
        let Some(mut list) = call.db.edit::<List>(key)? else { continue };
        let (value, _, limits) = list.parts();
        call.reply.array(2);
        call.reply.bulk(key);
        if let Some(item) = value.peek(end) {
            write_entry(call.reply, item);
        }
        let popped = value.pop(end, limits);
        list.finish(usize::from(popped), pop_event(end));
        call.effects.instead([pop_word(end).as_bytes(), key]);
        return Ok(Done::Replied);
    }
    Ok(wait("list", call.args, 1..last, deadline, TimeoutReply::NullArray))
}

fn lmpop(call: &mut Call<'_>) -> Outcome {
    let request = ManyPop::parse(call.args, 1, end)?;
    if !pop_some(call, &request)? {
        call.reply.null_array();
    }
    Ok(Done::Replied)
}

fn blmpop(call: &mut Call<'_>) -> Outcome {
    let request = ManyPop::parse(call.args, 2, end)?;
    let deadline = parse::timeout(call.args.at(1), call.now())?;
    if pop_some(call, &request)? {
        return Ok(Done::Replied);
    }
    Ok(wait("list", call.args, request.keys, deadline, TimeoutReply::NullArray))
}

/// Pops from the first list that is there and replies; false, without a reply, if none is.
fn pop_some(call: &mut Call<'_>, request: &ManyPop<End>) -> Result<bool, CommandError> {
    for at in request.keys.clone() {
        let key = call.args.at(at);
        let Some(mut list) = call.db.edit::<List>(key)? else { continue };
        call.reply.array(2);
        call.reply.bulk(key);
        let (value, _, limits) = list.parts();
        let removed = pop_many(value, request.end, request.count, limits, call.reply);
        list.finish(removed, pop_event(request.end));
        call.effects.instead([pop_word(request.end).as_bytes(), key, removed.to_string().as_bytes()]);
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
#[path = "list_moves_tests.rs"]
mod tests;
