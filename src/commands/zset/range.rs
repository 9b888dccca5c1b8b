//! Sorted-set ranges by rank, score and member: ZRANGE and its older forms, ZRANGESTORE, ZCOUNT, ZLEXCOUNT,
//! ZREMRANGEBY….
//!
//! Every range is converted to a range of ranks first; offset, limit and direction are then arithmetic.

use std::ops::Range;

use crate::commands::support::args::{self, integer, is};
use crate::commands::support::options::OptionReader;
use crate::commands::zset::{open_elements, write_element};
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Event, event};
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::Entry;
use crate::value::zset::{LexBound, ScoreBound, Zset};

const NOT_SCORES: CommandError = CommandError::text("ERR min or max is not a float");
const NOT_MEMBERS: CommandError = CommandError::text("ERR min or max not valid string range item");

/// What the two ends of a range are: ranks, scores or members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// The two ends of a range, as parsed.
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

    /// The range as ranks from the lowest element on. Ends that are ranks count from the highest if `reverse`.
    fn ranks(&self, zset: &Zset, reverse: bool) -> Range<usize> {
        match *self {
            Ends::Ranks(start, stop) => {
                let len = zset.len();
                let (start, count) = args::range(start, stop, len);
                if reverse { len - start - count..len - start } else { start..start + count }
            }
            Ends::Scores(min, max) => zset.score_ranks(min, max),
            Ends::Members(min, max) => zset.lex_ranks(min, max),
        }
    }
}

/// A range and its options.
struct Query<'a> {
    ends: Ends<'a>,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    /// The most elements; negative: all.
    limit: i64,
}

/// The properties of a range that a command's name fixes; `None`: an option decides.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

const ANY: Form = Form { by: None, reverse: None, stores: false };

impl<'a> Query<'a> {
    /// Parses `min max` and the options after them.
    #[inline]
    fn parse(args: Args<'a>, form: Form) -> Result<Query<'a>, CommandError> {
        let Form { mut by, mut reverse, stores } = form;
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut words = OptionReader::new(args, 2);
        while let Some(word) = words.next() {
            if !stores && is(word, "WITHSCORES") {
                with_scores = true;
            } else if is(word, "LIMIT") && words.remaining() >= 2 {
                (offset, limit) = (words.integer()?, words.integer()?);
            } else if reverse.is_none() && is(word, "REV") {
                reverse = Some(true);
            } else if by.is_none() && is(word, "BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && is(word, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::SYNTAX);
            }
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

    /// The ranks of the elements in the reply: the range after offset and limit.
    fn ranks(&self, zset: &Zset) -> Range<usize> {
        let ranks = self.ends.ranks(zset, self.reverse);
        if matches!(self.ends, Ends::Ranks(..)) {
            return ranks;
        }
        // A negative offset skips everything, as in Redis.
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

pub(in crate::commands) fn zrange(call: &mut Call<'_>) -> Outcome {
    read(call, ANY)
}

pub(in crate::commands) fn zrevrange(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Rank), reverse: Some(true), ..ANY })
}

pub(in crate::commands) fn zrangebyscore(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Score), reverse: Some(false), ..ANY })
}

pub(in crate::commands) fn zrevrangebyscore(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Score), reverse: Some(true), ..ANY })
}

pub(in crate::commands) fn zrangebylex(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Member), reverse: Some(false), ..ANY })
}

pub(in crate::commands) fn zrevrangebylex(call: &mut Call<'_>) -> Outcome {
    read(call, Form { by: Some(By::Member), reverse: Some(true), ..ANY })
}

pub(in crate::commands) fn zrangestore(call: &mut Call<'_>) -> Outcome {
    let query = Query::parse(call.args.tail(3), Form { stores: true, ..ANY })?;
    let limits = call.db.env.limits;
    let mut result = Zset::new();
    if let Some(zset) = call.db.read::<Zset>(call.args.at(2))? {
        let elements: Vec<(Entry<'_>, f64)> = zset.ascending(query.ranks(zset)).collect();
        result = Zset::from_sorted(&elements, limits);
    }
    call.reply.count(result.len());
    call.db.set_collection(call.args.at(1), result, event::ZRANGESTORE);
    Ok(Done::Replied)
}

pub(in crate::commands) fn zcount(call: &mut Call<'_>) -> Outcome {
    count(call, By::Score)
}

pub(in crate::commands) fn zlexcount(call: &mut Call<'_>) -> Outcome {
    count(call, By::Member)
}

fn count(call: &mut Call<'_>, by: By) -> Outcome {
    let ends = Ends::parse(by, call.args.at(2), call.args.at(3))?;
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    call.reply.count(zset.map_or(0, |zset| ends.ranks(zset, false).len()));
    Ok(Done::Replied)
}

pub(in crate::commands) fn zremrangebyrank(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Rank, event::ZREMRANGEBYRANK)
}

pub(in crate::commands) fn zremrangebyscore(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Score, event::ZREMRANGEBYSCORE)
}

pub(in crate::commands) fn zremrangebylex(call: &mut Call<'_>) -> Outcome {
    remove(call, By::Member, event::ZREMRANGEBYLEX)
}

fn remove(call: &mut Call<'_>, by: By, event: Event) -> Outcome {
    let ends = Ends::parse(by, call.args.at(2), call.args.at(3))?;
    let Some(mut edit) = call.db.edit::<Zset>(call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let ranks = ends.ranks(edit.peek(), false);
    let removed = edit.remove_ranks(ranks);
    edit.finish(removed, event);
    call.reply.count(removed);
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
