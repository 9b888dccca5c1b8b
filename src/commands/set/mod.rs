//! Set commands on one set: SADD, SREM, SISMEMBER, SPOP, SRANDMEMBER, SSCAN and their kin; and SMOVE.
//! Intersections, unions and differences are in `algebra`.

mod algebra;
pub mod specs;

use crate::commands::support::args;
use crate::commands::support::collection_scan::{self, ScanOptions, ScannedType};
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::random_count;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::CommandError;
use crate::structures::listpack::DecimalBuffer;
use crate::value::set::Set;

/// The most members in one SREM that is propagated for an SPOP.
const MAX_SREM_MEMBERS: usize = 1024;

fn sadd(call: &mut Call<'_>) -> Outcome {
    let members = call.args.tail(2);
    let mut edit = call.db.edit_or_create::<Set>(call.args.at(1))?;
    if members.len() > 1 {
        let is_new = edit.is_new();
        let (set, _, limits) = edit.parts();
        if is_new {
            *set = Set::for_members(members.at(0), members.len(), limits);
        } else {
            set.expect(members.len(), limits);
        }
    }
    let added = members.iter().filter(|member| edit.insert(member)).count();
    edit.finish(added, event::SADD);
    call.reply.count(added);
    Ok(Done::Replied)
}

fn srem(call: &mut Call<'_>) -> Outcome {
    let Some(mut edit) = call.db.edit::<Set>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let set = edit.get();
    let removed = call.args.tail(2).iter().filter(|member| set.remove(member)).count();
    edit.finish(removed, event::SREM);
    call.reply.count(removed);
    Ok(Done::Replied)
}

fn scard(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<Set>(call.args.at(1))?.map_or(0, Set::len);
    call.reply.count(len);
    Ok(Done::Replied)
}

fn sismember(call: &mut Call<'_>) -> Outcome {
    let set = call.db.read::<Set>(call.args.at(1))?;
    let member = call.args.at(2);
    call.reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    Ok(Done::Replied)
}

fn smismember(call: &mut Call<'_>) -> Outcome {
    let set = call.db.read::<Set>(call.args.at(1))?;
    let members = call.args.tail(2);
    call.reply.array(members.len());
    for member in members.iter() {
        call.reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(Done::Replied)
}

fn smembers(call: &mut Call<'_>) -> Outcome {
    match call.db.read::<Set>(call.args.at(1))? {
        None => call.reply.set(0),
        Some(set) => {
            call.reply.set(set.len());
            set.iter().for_each(|member| write_entry(call.reply, member));
        }
    }
    Ok(Done::Replied)
}

fn smove(call: &mut Call<'_>) -> Outcome {
    let (from, to, member) = (call.args.at(1), call.args.at(2), call.args.at(3));
    let moved = call.db.exists(from) && move_member(call, from, to, member)?;
    call.reply.integer(i64::from(moved));
    Ok(Done::Replied)
}

/// Moves a member from the set at `from`, which exists, to `to`; false if `from` doesn't have it.
fn move_member(call: &mut Call<'_>, from: &[u8], to: &[u8], member: &[u8]) -> Result<bool, CommandError> {
    call.db.holds::<Set>(from)?;
    // A destination of another type is an error even if there is nothing to move.
    call.db.holds::<Set>(to)?;
    let Some(mut source) = call.db.edit::<Set>(from)? else { return Ok(false) };
    if from == to || !source.peek().contains(member) {
        return Ok(source.peek().contains(member));
    }
    source.get().remove(member);
    source.finish(1, event::SREM);
    let mut target = call.db.edit_or_create::<Set>(to)?;
    let is_new = target.is_new();
    let (set, _, limits) = target.parts();
    if is_new {
        *set = Set::for_members(member, 1, limits);
    }
    let added = set.insert(member, limits);
    target.finish(usize::from(added), event::SADD);
    Ok(true)
}

fn spop(call: &mut Call<'_>) -> Outcome {
    match call.args.len() {
        2 => pop_one(call),
        3 => pop_many(call),
        _ => Err(CommandError::SYNTAX),
    }
}

fn pop_one(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let Some(mut edit) = call.db.edit::<Set>(key)? else {
        call.reply.null();
        return Ok(Done::Replied);
    };
    let (set, rng, limits) = edit.parts();
    set.pop(1, rng, limits, |member| {
        write_entry(call.reply, member);
        call.propagation.rewrite_as([b"SREM".as_slice(), key, member.bytes(&mut DecimalBuffer::new())]);
    });
    edit.finish(1, event::SPOP);
    Ok(Done::Replied)
}

fn pop_many(call: &mut Call<'_>) -> Outcome {
    let key = call.args.at(1);
    let count = args::positive(call.args.at(2))?;
    let Some(mut edit) = call.db.edit::<Set>(key)? else {
        call.reply.set(0);
        return Ok(Done::Replied);
    };
    let len = edit.peek().len();
    if count >= len {
        drop(edit);
        return pop_all(call, key);
    }
    call.reply.set(count);
    let propagates = call.propagation.has_consumers();
    let mut popped = Vec::new();
    let (set, rng, limits) = edit.parts();
    set.pop(count, rng, limits, |member| {
        write_entry(call.reply, member);
        if propagates {
            popped.push(member.to_vec());
        }
    });
    edit.finish(count, event::SPOP);
    for members in popped.chunks(MAX_SREM_MEMBERS) {
        let words = [b"SREM".as_slice(), key].into_iter();
        call.propagation.rewrite_as(words.chain(members.iter().map(Vec::as_slice)));
    }
    Ok(Done::Replied)
}

fn pop_all(call: &mut Call<'_>, key: &[u8]) -> Outcome {
    if let Some(edit) = call.db.edit::<Set>(key)? {
        let set = edit.peek();
        call.reply.set(set.len());
        set.iter().for_each(|member| write_entry(call.reply, member));
    }
    call.db.remove_as(key, event::SPOP);
    call.db.also(key, event::DEL);
    let word: &[u8] = if call.db.env.dump_options.unlink { b"UNLINK" } else { b"DEL" };
    call.propagation.rewrite_as([word, key]);
    Ok(Done::Replied)
}

fn srandmember(call: &mut Call<'_>) -> Outcome {
    let count = match call.args.len() {
        2 => None,
        3 => Some(random_count::parse(call.args.at(2))?),
        _ => return Err(CommandError::SYNTAX),
    };
    let max_reply = call.db.env.max_reply;
    let found = call.db.read_with_rng::<Set>(call.args.at(1))?;
    let Some((count, repeats)) = count else {
        match found.and_then(|(set, rng)| set.random(rng)) {
            None => call.reply.null(),
            Some(member) => write_entry(call.reply, member),
        }
        return Ok(Done::Replied);
    };
    let Some((set, rng)) = found else {
        call.reply.array(0);
        return Ok(Done::Replied);
    };
    if !repeats {
        call.reply.array(count.min(set.len()));
        set.sample(count, rng, |member| write_entry(call.reply, member));
        return Ok(Done::Replied);
    }
    let start = call.reply.len();
    call.reply.array(count);
    random_count::reply_with_repetition(call.reply, start, count, max_reply, |reply| {
        set.random(rng).into_iter().for_each(|member| write_entry(reply, member));
    })
}

fn sscan(call: &mut Call<'_>) -> Outcome {
    let cursor = collection_scan::parse_cursor(call.args.at(2))?;
    let Some(set) = call.db.read::<Set>(call.args.at(1))? else {
        collection_scan::reply_empty(call.reply);
        return Ok(Done::Replied);
    };
    let options = ScanOptions::parse(call.args, cursor, ScannedType::Set)?;
    options.scan(call.reply, |cursor, found| {
        set.scan(cursor, |member| {
            if found.matches(member) {
                found.write(member);
            }
        })
    });
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
