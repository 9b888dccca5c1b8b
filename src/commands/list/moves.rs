//! List commands that move items (LMOVE, RPOPLPUSH), pop from the first of several lists (LMPOP), or block
//! (BLPOP, BRPOP, BLMOVE, BRPOPLPUSH, BLMPOP).

use crate::commands::list::{pop_event, pop_many, push_event};
use crate::commands::support::args::{self, is};
use crate::commands::support::blocking::{ManyPop, wait};
use crate::commands::support::listpack_reply::write_entry;
use crate::engine::{Call, Done, Outcome, TimeoutReply};
use crate::resp::CommandError;
use crate::structures::listpack::{DecimalBuffer, Entry};
use crate::structures::quicklist::End;
use crate::value::list::List;

fn end(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if is(word, "LEFT") => Ok(End::Front),
        word if is(word, "RIGHT") => Ok(End::Back),
        _ => Err(CommandError::SYNTAX),
    }
}

fn pop_command(end: End) -> &'static str {
    if end == End::Front { "LPOP" } else { "RPOP" }
}

pub(in crate::commands) fn lmove(call: &mut Call<'_>) -> Outcome {
    let (from, to) = (end(call.args.at(3))?, end(call.args.at(4))?);
    if !move_item(call, from, to)? {
        call.reply.null();
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn rpoplpush(call: &mut Call<'_>) -> Outcome {
    if !move_item(call, End::Back, End::Front)? {
        call.reply.null();
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn blmove(call: &mut Call<'_>) -> Outcome {
    let (from, to) = (end(call.args.at(3))?, end(call.args.at(4))?);
    let (from_word, to_word) = (word(from), word(to));
    move_or_wait(call, from, to, 5, |source, target| vec![b"LMOVE", source, target, from_word, to_word])
}

pub(in crate::commands) fn brpoplpush(call: &mut Call<'_>) -> Outcome {
    let rewrite = |source, target| vec![b"RPOPLPUSH".as_slice(), source, target];
    move_or_wait(call, End::Back, End::Front, 3, rewrite)
}

fn word(end: End) -> &'static [u8] {
    if end == End::Front { b"left" } else { b"right" }
}

/// `rewrite`: what is propagated, of the source and the target.
fn move_or_wait<'a>(
    call: &mut Call<'a>,
    from: End,
    to: End,
    timeout_at: usize,
    rewrite: impl Fn(&'a [u8], &'a [u8]) -> Vec<&'a [u8]>,
) -> Outcome {
    let deadline = args::timeout(call.args.at(timeout_at), call.now())?;
    if move_item(call, from, to)? {
        let (source, target) = (call.args.at(1), call.args.at(2));
        call.propagation.rewrite_as(rewrite(source, target));
        return Ok(Done::Replied);
    }
    Ok(wait("list", call.args, 1..2, deadline, TimeoutReply::NullArrayOrNull))
}

/// Moves an item and replies with it; false, without a reply, if the source has none.
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
        list.finish_with_events(1, &[push_event(to), pop_event(from)]);
        call.reply.bulk(&item);
        return Ok(true);
    }
    drop(list);
    // The target is opened first, so that one of the wrong type leaves the source unchanged.
    let mut list = call.db.edit_or_create::<List>(target)?;
    let (value, _, limits) = list.parts();
    value.push(to, &item, limits);
    list.finish(1, push_event(to));
    if let Some(mut list) = call.db.edit::<List>(source)? {
        let (value, _, limits) = list.parts();
        value.pop(from, limits);
        // A move is one change for `rdb_changes_since_last_save`, and the push has counted it.
        list.finish_with_events(0, &[pop_event(from)]);
    }
    call.reply.bulk(&item);
    Ok(true)
}

pub(in crate::commands) fn blpop(call: &mut Call<'_>) -> Outcome {
    pop_first(call, End::Front)
}

pub(in crate::commands) fn brpop(call: &mut Call<'_>) -> Outcome {
    pop_first(call, End::Back)
}

/// Pops from the first list that has an item, or blocks.
fn pop_first(call: &mut Call<'_>, end: End) -> Outcome {
    let last = call.args.len() - 1;
    let deadline = args::timeout(call.args.at(last), call.now())?;
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
        call.propagation.rewrite_as([pop_command(end).as_bytes(), key]);
        return Ok(Done::Replied);
    }
    Ok(wait("list", call.args, 1..last, deadline, TimeoutReply::NullArray))
}

pub(in crate::commands) fn lmpop(call: &mut Call<'_>) -> Outcome {
    let request = ManyPop::parse(call.args, 1, end)?;
    if !pop_from_first(call, &request)? {
        call.reply.null_array();
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn blmpop(call: &mut Call<'_>) -> Outcome {
    let request = ManyPop::parse(call.args, 2, end)?;
    let deadline = args::timeout(call.args.at(1), call.now())?;
    if pop_from_first(call, &request)? {
        return Ok(Done::Replied);
    }
    Ok(wait("list", call.args, request.keys, deadline, TimeoutReply::NullArray))
}

/// Pops from the first list that exists and replies; false, without a reply, if none does.
fn pop_from_first(call: &mut Call<'_>, request: &ManyPop<End>) -> Result<bool, CommandError> {
    for at in request.keys.clone() {
        let key = call.args.at(at);
        let Some(mut list) = call.db.edit::<List>(key)? else { continue };
        call.reply.array(2);
        call.reply.bulk(key);
        let (value, _, limits) = list.parts();
        let removed = pop_many(value, request.end, request.count, limits, call.reply);
        list.finish(removed, pop_event(request.end));
        call.propagation.rewrite_as([
            pop_command(request.end).as_bytes(),
            key,
            removed.to_string().as_bytes(),
        ]);
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
