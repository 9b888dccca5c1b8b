//! Sorted sets: walks in steps and members by chance.

use super::parse::{self, integer, is};
use super::scan;
use super::zsets::{open_elements, write_element};
use crate::base::glob;
use crate::base::number::{push_f64, push_general};
use crate::base::rng::Rng;
use crate::engine::spec::{CommandSpec, Group, KeySpec};
use crate::engine::{Call, Done, Outcome};
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::DecimalBuffer;
use crate::value::zset::Zset;

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("ZRANDMEMBER", zrandmember)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(N), N being the number of members returned",
            "Reads members of a sorted set at random.",
        )
        .syntax("key:key [(options: count:integer [WITHSCORES])]")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("ZSCAN", zscan)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.0",
            "O(1) for a step, O(N) for a whole walk over N members",
            "Walks over the members and scores of a sorted set in steps.",
        )
        .syntax("key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer] [NOSCORES]")
        .history(&[("8.0.0", "NOSCORES came in.")])
        .tips(&["nondeterministic_output"]),
];

/// Options of ZSCAN.
struct Walk<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    with_scores: bool,
}

impl<'a> Walk<'a> {
    fn parse(args: Args<'a>) -> Result<Walk<'a>, CommandError> {
        let mut walk = Walk { pattern: None, count: 10, with_scores: true };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            if is(word, "NOSCORES") {
                walk.with_scores = false;
            } else if is(word, "NOVALUES") {
                return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
            } else if is(word, "COUNT") {
                let count = integer(words.next().ok_or(CommandError::SYNTAX)?)?;
                walk.count = usize::try_from(count).ok().filter(|n| *n > 0).ok_or(CommandError::SYNTAX)?;
            } else if is(word, "MATCH") {
                walk.pattern = scan::selective(words.next().ok_or(CommandError::SYNTAX)?);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(walk)
    }
}

fn zscan(call: &mut Call<'_>) -> Outcome {
    let cursor = scan::cursor(call.args.at(2))?;
    let reply = &mut *call.reply;
    let Some(zset) = call.db.read::<Zset>(call.args.at(1))? else {
        reply.array(2);
        reply.bulk(b"0");
        reply.array(0);
        return Ok(Done::Replied);
    };
    let walk = Walk::parse(call.args.tail(3))?;
    // Scores are text here, and of the large form in full precision.
    let is_packed = zset.as_pack().is_some();
    let (mut elements, mut count, mut text) = (Reply::new(Vec::new(), false), 0, Vec::new());
    let next = zset.scan(cursor, walk.count, |member, score| {
        let mut digits = DecimalBuffer::new();
        let member = member.bytes(&mut digits);
        if walk.pattern.is_some_and(|pattern| !glob::matches(pattern, member)) {
            return;
        }
        elements.bulk(member);
        count += 1;
        if walk.with_scores {
            text.clear();
            if is_packed {
                push_f64(&mut text, score)
            } else {
                push_general(&mut text, score, 17)
            }
            elements.bulk(&text);
            count += 1;
        }
    });
    reply.array(2);
    reply.bulk_integer(next as i64);
    reply.array(count);
    reply.raw(elements.bytes());
    Ok(Done::Replied)
}

/// Bytes of members repeated by chance that one reply may hold.
const MAX_RANDOM_REPLY: usize = 1 << 30;

fn zrandmember(call: &mut Call<'_>) -> Outcome {
    let mut rng = Rng::new(call.db.rng.next_u64());
    let Some(count) = call.args.get(2) else {
        match call.db.read::<Zset>(call.args.at(1))?.and_then(|zset| zset.random(&mut rng)) {
            Some((member, _)) => super::lists::write_item(call.reply, member),
            None => call.reply.null(),
        }
        return Ok(Done::Replied);
    };
    let count = parse::signed(count)?;
    let with_scores = match call.args.get(3) {
        None => false,
        Some(word) if is(word, "WITHSCORES") && call.args.len() == 4 => true,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(OUT_OF_RANGE);
    }
    let reply = &mut *call.reply;
    let Some(zset) = call.db.read::<Zset>(call.args.at(1))? else {
        reply.array(0);
        return Ok(Done::Replied);
    };
    let wanted = count.unsigned_abs() as usize;
    if count >= 0 {
        open_elements(reply, wanted.min(zset.len()), with_scores);
        zset.sample(wanted, &mut rng, |member, score| write_element(reply, member, score, with_scores));
        return Ok(Done::Replied);
    }
    // A negative count may ask for more than there is memory.
    let start = reply.len();
    open_elements(reply, wanted, with_scores);
    for _ in 0..wanted {
        if let Some((member, score)) = zset.random(&mut rng) {
            write_element(reply, member, score, with_scores);
        }
        if reply.len() - start > MAX_RANDOM_REPLY {
            reply.truncate(start);
            return Err(OUT_OF_RANGE);
        }
    }
    Ok(Done::Replied)
}

const OUT_OF_RANGE: CommandError = CommandError::text("ERR value is out of range");

#[cfg(test)]
#[path = "zset_walks_tests.rs"]
mod tests;
