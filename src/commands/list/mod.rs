//! List commands: LPUSH, LPOP, LINDEX, LSET, LINSERT, LRANGE, LREM, LTRIM, LPOS and their kin.
//!
//! Commands that move items between lists, pop from the first of several or block are in `moves`.

mod moves;
pub mod specs;

use std::ops::ControlFlow;

use crate::commands::support::args::{self, integer, is};
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Event, event};
use crate::resp::{CommandError, Reply};
use crate::structures::quicklist::End;
use crate::value::list::List;

/// The keyspace event of a push at an end.
pub(in crate::commands) fn push_event(end: End) -> Event {
    if end == End::Front { event::LPUSH } else { event::RPUSH }
}

pub(in crate::commands) fn pop_event(end: End) -> Event {
    if end == End::Front { event::LPOP } else { event::RPOP }
}

fn lpush(call: &mut Call<'_>) -> Outcome {
    push(call, End::Front)
}

fn rpush(call: &mut Call<'_>) -> Outcome {
    push(call, End::Back)
}

fn push(call: &mut Call<'_>, end: End) -> Outcome {
    let items = call.args.tail(2);
    let mut list = call.db.edit_or_create::<List>(call.args.at(1))?;
    let (value, _, limits) = list.parts();
    value.push_all(end, items.iter(), limits);
    let len = value.len();
    list.finish(items.len(), push_event(end));
    call.reply.count(len);
    Ok(Done::Replied)
}

fn lpushx(call: &mut Call<'_>) -> Outcome {
    push_to_existing(call, End::Front)
}

fn rpushx(call: &mut Call<'_>) -> Outcome {
    push_to_existing(call, End::Back)
}

fn push_to_existing(call: &mut Call<'_>, end: End) -> Outcome {
    if call.db.edit::<List>(call.args.at(1))?.is_some() {
        return push(call, end);
    }
    call.reply.integer(0);
    Ok(Done::Replied)
}

fn lpop(call: &mut Call<'_>) -> Outcome {
    pop(call, End::Front)
}

fn rpop(call: &mut Call<'_>) -> Outcome {
    pop(call, End::Back)
}

fn pop(call: &mut Call<'_>, end: End) -> Outcome {
    if call.args.len() > 3 {
        return Err(CommandError::wrong_arity(call.name));
    }
    let count = call.args.get(2).map(args::positive).transpose()?;
    let Some(mut list) = call.db.edit::<List>(call.args.at(1))? else {
        if count.is_some() {
            call.reply.null_array()
        } else {
            call.reply.null()
        }
        return Ok(Done::Replied);
    };
    let Some(count) = count else {
        let (value, _, limits) = list.parts();
        if let Some(item) = value.peek(end) {
            write_entry(call.reply, item);
        }
        let popped = value.pop(end, limits);
        list.finish(usize::from(popped), pop_event(end));
        return Ok(Done::Replied);
    };
    let (value, _, limits) = list.parts();
    let removed = pop_many(value, end, count, limits, call.reply);
    list.finish(removed, pop_event(end));
    Ok(Done::Replied)
}

/// Removes up to `count` items at an end and writes them as an array; returns how many.
pub(in crate::commands) fn pop_many(
    list: &mut List,
    end: End,
    count: usize,
    limits: &crate::value::Limits,
    reply: &mut Reply,
) -> usize {
    let count = count.min(list.len());
    reply.array(count);
    let (start, towards) =
        if end == End::Front { (0, End::Back) } else { (list.len().saturating_sub(1), End::Front) };
    list.range(start, count, towards, |item| write_entry(reply, item));
    list.remove_end(end, count, limits)
}

fn llen(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<List>(call.args.at(1))?.map_or(0, List::len);
    call.reply.count(len);
    Ok(Done::Replied)
}

/// The index from the front of `index`, which counts from the end if negative; `None` out of range.
fn absolute_index(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

fn lindex(call: &mut Call<'_>) -> Outcome {
    let Some(list) = call.db.read::<List>(call.args.at(1))? else {
        call.reply.null();
        return Ok(Done::Replied);
    };
    let index = integer(call.args.at(2))?;
    let found =
        absolute_index(index, list.len()).and_then(|at| list.get(at, |item| write_entry(call.reply, item)));
    if found.is_none() {
        call.reply.null();
    }
    Ok(Done::Replied)
}

fn lset(call: &mut Call<'_>) -> Outcome {
    let Some(mut list) = call.db.edit::<List>(call.args.at(1))? else {
        return Err(CommandError::NO_SUCH_KEY);
    };
    let index = integer(call.args.at(2))?;
    let at = absolute_index(index, list.peek().len());
    let (value, _, limits) = list.parts();
    // Also where there is no such item: Redis makes room for the new one before it looks.
    let done = value.set(at.unwrap_or(usize::MAX), call.args.at(3), limits);
    list.finish(usize::from(done), event::LSET);
    if !done {
        return Err(CommandError::OUT_OF_RANGE);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

fn linsert(call: &mut Call<'_>) -> Outcome {
    let before = match call.args.at(2) {
        word if is(word, "BEFORE") => true,
        word if is(word, "AFTER") => false,
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(mut list) = call.db.edit::<List>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let (value, _, limits) = list.parts();
    let inserted = value.insert_beside(call.args.at(3), before, call.args.at(4), limits);
    let len = value.len();
    list.finish(usize::from(inserted), event::LINSERT);
    call.reply.integer(if inserted { len as i64 } else { -1 });
    Ok(Done::Replied)
}

fn lrange(call: &mut Call<'_>) -> Outcome {
    let (start, stop) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    let Some(list) = call.db.read::<List>(call.args.at(1))? else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    let (start, count) = args::range(start, stop, list.len());
    call.reply.array(count);
    list.range(start, count, End::Back, |item| write_entry(call.reply, item));
    Ok(Done::Replied)
}

fn lrem(call: &mut Call<'_>) -> Outcome {
    let count = args::signed(call.args.at(2))?;
    let Some(mut list) = call.db.edit::<List>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let from = if count < 0 { End::Back } else { End::Front };
    let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let (value, _, limits) = list.parts();
    let removed = value.remove_equal(call.args.at(3), limit, from, limits);
    list.finish(removed, event::LREM);
    call.reply.count(removed);
    Ok(Done::Replied)
}

fn ltrim(call: &mut Call<'_>) -> Outcome {
    let (start, stop) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    if let Some(mut list) = call.db.edit::<List>(call.args.at(1))? {
        let len = list.peek().len();
        let (start, count) = args::range(start, stop, len);
        list.trim(start, count);
        list.finish_with_events(len - count, &[event::LTRIM]);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

/// The options of LPOS.
struct Search {
    /// Matches before the first that is in the reply (RANK).
    skip: usize,
    from: End,
    /// The most matches in the reply (COUNT, 0: all); `None`: the first, not as an array.
    count: Option<usize>,
    /// The most items that are compared (MAXLEN).
    compares: usize,
}

impl Search {
    fn parse(call: &Call<'_>) -> Result<Search, CommandError> {
        let mut search = Search { skip: 0, from: End::Front, count: None, compares: usize::MAX };
        let mut options = OptionReader::new(call.args, 3);
        while let Some(option) = options.next() {
            if is(option, "RANK") {
                let rank = match args::signed(options.value()?)? {
                    0 => return Err(ZERO_RANK),
                    rank => rank,
                };
                search.skip = rank.unsigned_abs() as usize - 1;
                search.from = if rank < 0 { End::Back } else { End::Front };
            } else if is(option, "COUNT") {
                search.count = Some(options.at_least(0, "ERR COUNT can't be negative")?);
            } else if is(option, "MAXLEN") {
                search.compares = match options.at_least(0, "ERR MAXLEN can't be negative")? {
                    0 => usize::MAX,
                    compares => compares,
                };
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(search)
    }
}

const ZERO_RANK: CommandError = CommandError::text(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
);

fn lpos(call: &mut Call<'_>) -> Outcome {
    let search = Search::parse(call)?;
    let wanted = match search.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let mut found = Vec::new();
    if let Some(list) = call.db.read::<List>(call.args.at(1))? {
        let mut skip = search.skip;
        list.positions(call.args.at(2), search.from, search.compares, |index| {
            if skip > 0 {
                skip -= 1;
                return ControlFlow::Continue(());
            }
            found.push(index);
            if found.len() == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    match (search.count, found.first()) {
        (None, None) => call.reply.null(),
        (None, Some(index)) => call.reply.count(*index),
        (Some(_), _) => {
            call.reply.array(found.len());
            found.iter().for_each(|index| call.reply.count(*index));
        }
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
