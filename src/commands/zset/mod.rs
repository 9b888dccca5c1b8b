//! Sorted-set commands on single members: ZADD, ZINCRBY, ZREM, ZCARD, ZSCORE, ZRANK and their kin.
//!
//! A ZADD without options looks the key up once and each member once; options that depend on the old score
//! cost a second lookup of the member.

mod algebra;
pub mod pop;
pub mod range;
pub mod scan;
pub mod specs;

use crate::base::number;
use crate::commands::support::args::is;
use crate::commands::support::listpack_reply::write_entry;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::Entry;
use crate::value::Limits;
use crate::value::zset::{Change, Zset};

/// Opens an array of `count` members; their scores follow each (RESP2) or are in a pair with it (RESP3).
#[inline]
pub(in crate::commands) fn open_elements(reply: &mut Reply, count: usize, with_scores: bool) {
    let flat = with_scores && !reply.is_resp3();
    reply.array(if flat { 2 * count } else { count });
}

/// Writes a member, and its score, into an array of [`open_elements`].
#[inline]
pub(in crate::commands) fn write_element(
    reply: &mut Reply,
    member: Entry<'_>,
    score: f64,
    with_scores: bool,
) {
    if with_scores && reply.is_resp3() {
        reply.array(2);
    }
    write_entry(reply, member);
    if with_scores {
        reply.double(score);
    }
}

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
struct AddOptions {
    /// NX: only members that don't exist.
    new_only: bool,
    /// XX: only members that exist.
    old_only: bool,
    /// GT, LT: only if the score grows, shrinks.
    greater: bool,
    less: bool,
    /// CH: the reply counts changed scores too.
    count_changes: bool,
    /// INCR: the score is added to the old one, and the sum is the reply.
    increment: bool,
}

const NOT_A_NUMBER: CommandError = CommandError::text("ERR resulting score is not a number (NaN)");

impl AddOptions {
    /// Parses the options; also returns the index of the first score.
    fn parse(args: Args<'_>) -> Result<(AddOptions, usize), CommandError> {
        let mut options = AddOptions::default();
        let mut at = 2;
        while let Some(word) = args.get(at) {
            match word.len() {
                2 if is(word, "NX") => options.new_only = true,
                2 if is(word, "XX") => options.old_only = true,
                2 if is(word, "GT") => options.greater = true,
                2 if is(word, "LT") => options.less = true,
                2 if is(word, "CH") => options.count_changes = true,
                4 if is(word, "INCR") => options.increment = true,
                _ => break,
            }
            at += 1;
        }
        let words = args.len() - at;
        if words == 0 || words % 2 == 1 {
            return Err(CommandError::SYNTAX);
        }
        options.check(words / 2)?;
        Ok((options, at))
    }

    fn check(self, pairs: usize) -> Result<(), CommandError> {
        let error = if self.new_only && self.old_only {
            "ERR XX and NX options at the same time are not compatible"
        } else if (self.new_only && (self.greater || self.less)) || (self.greater && self.less) {
            "ERR GT, LT, and/or NX options at the same time are not compatible"
        } else if self.increment && pairs > 1 {
            "ERR INCR option supports a single increment-element pair"
        } else {
            return Ok(());
        };
        Err(CommandError::text(error))
    }

    /// Whether the new score doesn't depend on the old one.
    fn ignore_old_score(self) -> bool {
        !(self.new_only || self.old_only || self.greater || self.less || self.increment)
    }

    /// Sets a member's score. Returns what changed and the score it has now; `None` if an option forbids it.
    #[inline]
    fn apply(
        self,
        zset: &mut Zset,
        member: &[u8],
        score: f64,
        limits: &Limits,
    ) -> Result<Option<(Change, f64)>, CommandError> {
        if self.ignore_old_score() {
            return Ok(Some((zset.insert(member, score, limits), score)));
        }
        let Some(old) = zset.score(member) else {
            return Ok((!self.old_only).then(|| (zset.insert(member, score, limits), score)));
        };
        if self.new_only {
            return Ok(None);
        }
        let score = if self.increment { old + score } else { score };
        if score.is_nan() {
            return Err(NOT_A_NUMBER);
        }
        if (self.greater && score <= old) || (self.less && score >= old) {
            return Ok(None);
        }
        Ok(Some((zset.insert(member, score, limits), score)))
    }
}

fn score(text: &[u8]) -> Result<f64, CommandError> {
    number::parse_f64(text).ok_or(CommandError::NOT_FLOAT)
}

fn zadd(call: &mut Call<'_>) -> Outcome {
    let (options, first) = AddOptions::parse(call.args)?;
    let pairs = call.args.tail(first);
    if pairs.len() == 2 {
        return add(call, options, &[score(pairs.at(0))?], pairs);
    }
    // All scores are parsed before the first change: an invalid one leaves the set unchanged.
    let scores: Result<Vec<f64>, _> = pairs.iter().step_by(2).map(score).collect();
    add(call, options, &scores?, pairs)
}

fn zincrby(call: &mut Call<'_>) -> Outcome {
    // ZADD's options are looked for here, too, though none leaves enough arguments: they are a syntax error.
    let (options, first) = AddOptions::parse(call.args)?;
    let pairs = call.args.tail(first);
    add(call, AddOptions { increment: true, ..options }, &[score(pairs.at(0))?], pairs)
}

/// Adds members, every second one of `pairs`, with their scores, and replies.
#[inline]
fn add(call: &mut Call<'_>, options: AddOptions, scores: &[f64], pairs: Args<'_>) -> Outcome {
    let key = call.args.at(1);
    let mut edit = if options.old_only {
        let Some(edit) = call.db.edit::<Zset>(key)? else {
            if options.increment {
                call.reply.null()
            } else {
                call.reply.integer(0)
            }
            return Ok(Done::Replied);
        };
        edit
    } else {
        call.db.edit_or_create::<Zset>(key)?
    };
    let (zset, _, limits) = edit.parts();
    zset.expect(scores.len(), limits);
    let (mut added, mut updated, mut last) = (0, 0, Ok(None));
    for (score, member) in scores.iter().zip(pairs.tail(1).iter().step_by(2)) {
        last = options.apply(zset, member, *score, limits);
        match last {
            Ok(Some((Change::Added, _))) => added += 1,
            Ok(Some((Change::Updated, _))) => updated += 1,
            _ => {}
        }
    }
    edit.finish(added + updated, if options.increment { event::ZINCR } else { event::ZADD });
    match last? {
        Some((_, score)) if options.increment => call.reply.double(score),
        None if options.increment => call.reply.null(),
        _ => call.reply.count(if options.count_changes { added + updated } else { added }),
    }
    Ok(Done::Replied)
}

fn zrem(call: &mut Call<'_>) -> Outcome {
    let Some(mut edit) = call.db.edit::<Zset>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let zset = edit.get();
    let removed = call.args.tail(2).iter().filter(|member| zset.remove(member).is_some()).count();
    edit.finish(removed, event::ZREM);
    call.reply.count(removed);
    Ok(Done::Replied)
}

fn zcard(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<Zset>(call.args.at(1))?.map_or(0, Zset::len);
    call.reply.count(len);
    Ok(Done::Replied)
}

fn write_score(reply: &mut Reply, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

fn zscore(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    write_score(call.reply, zset.and_then(|zset| zset.score(call.args.at(2))));
    Ok(Done::Replied)
}

fn zmscore(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    let members = call.args.tail(2);
    call.reply.array(members.len());
    for member in members.iter() {
        write_score(call.reply, zset.and_then(|zset| zset.score(member)));
    }
    Ok(Done::Replied)
}

fn zrank(call: &mut Call<'_>) -> Outcome {
    rank(call, false)
}

fn zrevrank(call: &mut Call<'_>) -> Outcome {
    rank(call, true)
}

fn rank(call: &mut Call<'_>, reverse: bool) -> Outcome {
    if call.args.len() > 4 {
        return Err(CommandError::wrong_arity(call.name));
    }
    let with_score = match call.args.get(3) {
        None => false,
        Some(word) if is(word, "WITHSCORE") => true,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    let found = zset.and_then(|zset| {
        let (rank, score) = zset.rank(call.args.at(2))?;
        Some((if reverse { zset.len() - 1 - rank } else { rank }, score))
    });
    match found {
        None if with_score => call.reply.null_array(),
        None => call.reply.null(),
        Some((rank, score)) => {
            if with_score {
                call.reply.array(2);
            }
            call.reply.count(rank);
            if with_score {
                call.reply.double(score);
            }
        }
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
