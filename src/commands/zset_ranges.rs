//! Sorted sets: ranges by rank, score and member, read, counted, stored and removed.
//!
//! Every range becomes a range of ranks first; offset, limit and direction are then arithmetic.

use std::ops::Range;

use super::parse::{self, integer, is};
use super::zsets::{open_elements, write_element};
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Event, event};
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::Entry;
use crate::value::zset::{LexBound, ScoreBound, Zset};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("ZRANGE", zrange)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads a range of members by rank, score or alphabet.",
        )
        .syntax(
            "key:key start:string stop:string [<sortby: BYSCORE|BYLEX>~6.2.0] [REV~6.2.0] \
            [LIMIT=(limit: offset:integer count:integer)~6.2.0] [WITHSCORES]",
        )
        .history(&[("6.2.0", "REV, BYSCORE, BYLEX and LIMIT came in.")]),
    CommandSpec::data("ZRANGESTORE", zrangestore)
        .arity(-5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members stored",
            "Stores a range of members in another sorted set.",
        )
        .syntax(
            "dst:key src:key@1 min:string max:string [<sortby: BYSCORE|BYLEX>] [REV] \
            [LIMIT=(limit: offset:integer count:integer)]",
        ),
    CommandSpec::data("ZRANGEBYSCORE", zrangebyscore)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "1.0.5",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members with scores in a range.",
        )
        .syntax(
            "key:key min:double max:double [WITHSCORES~2.0.0] [LIMIT=(limit: offset:integer \
            count:integer)]",
        )
        .history(&[("2.0.0", "WITHSCORES came in.")])
        .deprecated("6.2.0", "`ZRANGE … BYSCORE`"),
    CommandSpec::data("ZREVRANGEBYSCORE", zrevrangebyscore)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members with scores in a range, highest first.",
        )
        .syntax(
            "key:key max:double min:double [WITHSCORES] [LIMIT=(limit: offset:integer \
            count:integer)]",
        )
        .history(&[("2.1.6", "The ends of the range can be exclusive.")])
        .deprecated("6.2.0", "`ZRANGE … BYSCORE REV`"),
    CommandSpec::data("ZRANGEBYLEX", zrangebylex)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members in an alphabetical range.",
        )
        .syntax("key:key min:string max:string [LIMIT=(limit: offset:integer count:integer)]")
        .deprecated("6.2.0", "`ZRANGE … BYLEX`"),
    CommandSpec::data("ZREVRANGEBYLEX", zrevrangebylex)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members in an alphabetical range, last first.",
        )
        .syntax("key:key max:string min:string [LIMIT=(limit: offset:integer count:integer)]")
        .deprecated("6.2.0", "`ZRANGE … BYLEX REV`"),
    CommandSpec::data("ZREVRANGE", zrevrange)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads a range of members by rank, highest score first.",
        )
        .syntax("key:key start:integer stop:integer [WITHSCORES]")
        .deprecated("6.2.0", "`ZRANGE … REV`"),
    CommandSpec::data("ZCOUNT", zcount)
        .arity(4)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(log(N)), N being the size of the sorted set",
            "Counts the members with scores in a range.",
        )
        .syntax("key:key min:double max:double"),
    CommandSpec::data("ZLEXCOUNT", zlexcount)
        .arity(4)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)), N being the size of the sorted set",
            "Counts the members in an alphabetical range.",
        )
        .syntax("key:key min:string max:string"),
    CommandSpec::data("ZREMRANGEBYRANK", zremrangebyrank)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members removed",
            "Removes the members in a range of ranks.",
        )
        .syntax("key:key start:integer stop:integer"),
    CommandSpec::data("ZREMRANGEBYSCORE", zremrangebyscore)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members removed",
            "Removes the members with scores in a range.",
        )
        .syntax("key:key min:double max:double"),
    CommandSpec::data("ZREMRANGEBYLEX", zremrangebylex)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)+M), N being the size of the sorted set and M the number of members removed",
            "Removes the members in an alphabetical range.",
        )
        .syntax("key:key min:string max:string"),
];

const NOT_SCORES: CommandError = CommandError::text("ERR min or max is not a float");
const NOT_MEMBERS: CommandError = CommandError::text("ERR min or max not valid string range item");

/// What the two ends of a range are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// A range as it was asked for.
enum Ends<'a> {
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Members(LexBound<'a>, LexBound<'a>),
}

impl<'a> Ends<'a> {
    fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Ends<'a>, CommandError> {
        match by {
            By::Rank => Ok(Ends::Ranks(integer(min)?, integer(max)?)),
            By::Score => match (ScoreBound::parse(min), ScoreBound::parse(max)) {
                (Some(min), Some(max)) => Ok(Ends::Scores(min, max)),
                _ => Err(NOT_SCORES),
            },
            By::Member => match (LexBound::parse(min), LexBound::parse(max)) {
                (Some(min), Some(max)) => Ok(Ends::Members(min, max)),
                _ => Err(NOT_MEMBERS),
            },
        }
    }

    /// The ranks from the lowest element on; ranks that were given count from the highest if `reverse`.
    fn ranks(&self, zset: &Zset, reverse: bool) -> Range<usize> {
        match *self {
            Ends::Ranks(start, stop) => {
                let len = zset.len();
                let (start, count) = parse::range(start, stop, len);
                if reverse { len - start - count..len - start } else { start..start + count }
            }
            Ends::Scores(min, max) => zset.score_ranks(min, max),
            Ends::Members(min, max) => zset.lex_ranks(min, max),
        }
    }
}

/// A range with its options.
struct Query<'a> {
    ends: Ends<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    /// Negative: all.
    limit: i64,
}

/// What a command's name says about its range; `None`: an option says it.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

const ANY: Form = Form { by: None, reverse: None, stores: false };

impl<'a> Query<'a> {
    /// Reads `min max` and the options after them.
    #[inline]
    fn parse(args: Args<'a>, form: Form) -> Result<Query<'a>, CommandError> {
        let Form { mut by, mut reverse, stores } = form;
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut at = 2;
        while let Some(word) = args.get(at) {
            if !stores && is(word, "WITHSCORES") {
                with_scores = true;
            } else if is(word, "LIMIT") && args.len() > at + 2 {
                (offset, limit) = (integer(args.at(at + 1))?, integer(args.at(at + 2))?);
                at += 2;
            } else if reverse.is_none() && is(word, "REV") {
                reverse = Some(true);
            } else if by.is_none() && is(word, "BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && is(word, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::SYNTAX);
            }
            at += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Member {
            return Err(CommandError::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (first, second) = (args.at(0), args.at(1));
        let swapped = reverse && by != By::Rank;
        let (min, max) = if swapped { (second, first) } else { (first, second) };
        Ok(Query { ends: Ends::parse(by, min, max)?, reverse, with_scores, offset, limit })
    }

    /// The ranks of the elements that are wanted.
    fn ranks(&self, zset: &Zset) -> Range<usize> {
        let ranks = self.ends.ranks(zset, self.reverse);
        if matches!(self.ends, Ends::Ranks(..)) {
            return ranks;
        }
        // Whatever lies before a negative offset is never reached.
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let rest = ranks.len() - skipped;
        let taken = usize::try_from(self.limit).unwrap_or(usize::MAX).min(rest);
        if self.reverse {
            let end = ranks.end - skipped;
            end - taken..end
        } else {
            let start = ranks.start + skipped;
            start..start + taken
        }
    }

    fn write(&self, zset: &Zset, reply: &mut Reply) {
        let ranks = self.ranks(zset);
        let with_scores = self.with_scores;
        open_elements(reply, ranks.len(), with_scores);
        if self.reverse {
            let elements = zset.descending(ranks);
            elements.for_each(|(member, score)| write_element(reply, member, score, with_scores));
        } else {
            let elements = zset.ascending(ranks);
            elements.for_each(|(member, score)| write_element(reply, member, score, with_scores));
        }
    }
}

fn read(call: &mut Call<'_>, form: Form) -> Outcome {
    let query = Query::parse(call.args.tail(2), form)?;
    match call.db.read::<Zset>(call.args.at(1))? {
        Some(zset) => query.write(zset, call.reply),
        None => call.reply.array(0),
    }
    Ok(Done::Replied)
}

fn zrange(call: &mut Call<'_>) -> Outcome {
    read(call, ANY)
}

fn zrevrange(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Rank), reverse: Some(true), ..ANY })
}

fn zrangebyscore(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Score), reverse: Some(false), ..ANY })
}

fn zrevrangebyscore(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Score), reverse: Some(true), ..ANY })
}

fn zrangebylex(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Member), reverse: Some(false), ..ANY })
}

fn zrevrangebylex(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Member), reverse: Some(true), ..ANY })
}

fn zrangestore(call: &mut Call<'_>) -> Outcome {
    let query = Query::parse(call.args.tail(3), Form { stores: true, ..ANY })?;
    let limits = call.db.env.limits;
    let mut result = Zset::new();
    if let Some(zset) = call.db.read::<Zset>(call.args.at(2))? {
        let elements: Vec<(Entry<'_>, f64)> = zset.ascending(query.ranks(zset)).collect();
        result = Zset::from_sorted(&elements, limits);
    }
    call.reply.count(result.len());
    call.db.put(call.args.at(1), result, event::ZRANGESTORE);
    Ok(Done::Replied)
}

fn zcount(call: &mut Call<'_>) -> Outcome {
    count(call, By::Score)
}

fn zlexcount(call: &mut Call<'_>) -> Outcome {
    count(call, By::Member)
}

fn count(call: &mut Call<'_>, by: By) -> Outcome {
    let ends = Ends::parse(by, call.args.at(2), call.args.at(3))?;
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    call.reply.count(zset.map_or(0, |zset| ends.ranks(zset, false).len()));
    Ok(Done::Replied)
}

fn zremrangebyrank(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Rank, event::ZREMRANGEBYRANK)
}

fn zremrangebyscore(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Score, event::ZREMRANGEBYSCORE)
}

fn zremrangebylex(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Member, event::ZREMRANGEBYLEX)
}

fn remove(call: &mut Call<'_>, by: By, event: Event) -> Outcome {
    let ends = Ends::parse(by, call.args.at(2), call.args.at(3))?;
    let Some(mut edit) = call.db.edit::<Zset>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let ranks = ends.ranks(edit.peek(), false);
    let removed = edit.get().remove_ranks(ranks);
    edit.finish(removed, event);
    call.reply.count(removed);
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "zset_ranges_tests.rs"]
mod tests;
