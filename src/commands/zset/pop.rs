//! Sorted-set pops: ZPOPMIN, ZPOPMAX, ZMPOP, and the blocking BZPOPMIN, BZPOPMAX, BZMPOP.

use crate::commands::support::args::{self, is};
use crate::commands::support::blocking::{ManyPop, wait};
use crate::commands::support::listpack_reply::write_entry;
use crate::engine::{Call, Done, Outcome, TimeoutReply};
use crate::keyspace::{Event, event};
use crate::resp::{CommandError, Reply};
use crate::structures::listpack::Entry;
use crate::value::zset::Zset;

/// An end of a sorted set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

impl End {
    fn parse(word: &[u8]) -> Result<End, CommandError> {
        match word {
            word if is(word, "MIN") => Ok(End::Lowest),
            word if is(word, "MAX") => Ok(End::Highest),
            _ => Err(CommandError::SYNTAX),
        }
    }

    /// The command that pops at this end, for propagation.
    fn command(self) -> &'static [u8] {
        if self == End::Lowest { b"ZPOPMIN" } else { b"ZPOPMAX" }
    }

    fn event(self) -> Event {
        if self == End::Lowest { event::ZPOPMIN } else { event::ZPOPMAX }
    }
}

/// Pops up to `count` elements of the sorted set at `key` and writes them; `head` gets their number and writes
/// what comes before them. `None`, with nothing written, for a missing key.
fn pop(
    call: &mut Call<'_>,
    key: &[u8],
    end: End,
    count: usize,
    in_pairs: bool,
    head: impl FnOnce(&mut Reply, usize),
) -> Result<Option<usize>, CommandError> {
    let Some(mut edit) = call.db.edit::<Zset>(key)? else { return Ok(None) };
    let count = count.min(edit.peek().len());
    let reply = &mut *call.reply;
    head(reply, count);
    let visit = |member: Entry<'_>, score| {
        if in_pairs {
            reply.array(2);
        }
        write_entry(reply, member);
        reply.double(score);
    };
    match end {
        End::Lowest => edit.get().pop_lowest(count, visit),
        End::Highest => edit.get().pop_highest(count, visit),
    };
    edit.finish(count, end.event());
    Ok(Some(count))
}

pub(in crate::commands) fn zpopmin(call: &mut Call<'_>) -> Outcome {
    pop_one_key(call, End::Lowest)
}

pub(in crate::commands) fn zpopmax(call: &mut Call<'_>) -> Outcome {
    pop_one_key(call, End::Highest)
}

fn pop_one_key(call: &mut Call<'_>, end: End) -> Outcome {
    if call.args.len() > 3 {
        return Err(CommandError::SYNTAX);
    }
    let count = call.args.get(2).map(args::positive).transpose()?;
    // The reply has pairs of member and score only with a count and in RESP3, as in Redis.
    let in_pairs = count.is_some() && call.reply.is_resp3();
    let key = call.args.at(1);
    let popped = pop(call, key, end, count.unwrap_or(1), in_pairs, |reply, count| {
        reply.array(if in_pairs { count } else { 2 * count });
    })?;
    if popped.is_none() {
        call.reply.array(0);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn bzpopmin(call: &mut Call<'_>) -> Outcome {
    pop_or_wait(call, End::Lowest)
}

pub(in crate::commands) fn bzpopmax(call: &mut Call<'_>) -> Outcome {
    pop_or_wait(call, End::Highest)
}

/// Pops from the first sorted set that exists, or blocks.
fn pop_or_wait(call: &mut Call<'_>, end: End) -> Outcome {
    let last = call.args.len() - 1;
    let deadline = args::timeout(call.args.at(last), call.now())?;
    for at in 1..last {
        let key = call.args.at(at);
        let popped = pop(call, key, end, 1, false, |reply, _| {
            reply.array(3);
            reply.bulk(key);
        })?;
        if popped.is_some() {
            call.propagation.rewrite_as([end.command(), key]);
            return Ok(Done::Replied);
        }
    }
    Ok(wait("zset", call.args, 1..last, deadline, TimeoutReply::NullArray))
}

pub(in crate::commands) fn zmpop(call: &mut Call<'_>) -> Outcome {
    let request = ManyPop::parse(call.args, 1, End::parse)?;
    if !pop_first(call, &request)? {
        call.reply.null_array();
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn bzmpop(call: &mut Call<'_>) -> Outcome {
    let request = ManyPop::parse(call.args, 2, End::parse)?;
    let deadline = args::timeout(call.args.at(1), call.now())?;
    if pop_first(call, &request)? {
        return Ok(Done::Replied);
    }
    Ok(wait("zset", call.args, request.keys, deadline, TimeoutReply::NullArray))
}

/// Pops from the first sorted set that exists and replies; false, without a reply, if none does.
fn pop_first(call: &mut Call<'_>, request: &ManyPop<End>) -> Result<bool, CommandError> {
    for at in request.keys.clone() {
        let key = call.args.at(at);
        let popped = pop(call, key, request.end, request.count, true, |reply, count| {
            reply.array(2);
            reply.bulk(key);
            reply.array(count);
        })?;
        if let Some(count) = popped {
            call.propagation.rewrite_as([request.end.command(), key, count.to_string().as_bytes()]);
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "pop_tests.rs"]
mod tests;
