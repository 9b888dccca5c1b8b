//! Sorted-set algebra: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD. Any input may also be a set, whose
//! members have the score 1.

use std::ops::ControlFlow;

use hashbrown::{HashMap, HashSet};

use crate::base::number;
use crate::commands::support::args::{integer, is};
use crate::commands::support::options::OptionReader;
use crate::commands::zset::{open_elements, write_element};
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{DbView, Event, StoredValue, event};
use crate::resp::{Args, CommandError};
use crate::structures::listpack::{DecimalBuffer, Entry};
use crate::structures::table::EntryRef;
use crate::value::Value;
use crate::value::set::Set;
use crate::value::zset::Zset;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// AGGREGATE: how the scores of a member that several inputs have are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, score: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => or_zero(score + other),
            Aggregate::Min if other < score => other,
            Aggregate::Max if other > score => other,
            _ => score,
        }
    }
}

/// The score, or 0 for the NaN of infinities that cancel out.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The purpose of the result, which decides on the options of the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Store,
    Count,
}

struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// LIMIT of ZINTERCARD; 0: none.
    limit: usize,
}

impl Options {
    /// Parses the options after `inputs` keys.
    fn parse(
        args: Args<'_>,
        inputs: usize,
        operation: Operation,
        purpose: Use,
    ) -> Result<Options, CommandError> {
        let mut options =
            Options { weights: vec![1.0; inputs], aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let combines = operation != Operation::Difference && purpose != Use::Count;
        let mut words = OptionReader::new(args, 0);
        while let Some(word) = words.next() {
            if combines && words.remaining() >= inputs && is(word, "WEIGHTS") {
                for (weight, text) in options.weights.iter_mut().zip(words.by_ref().take(inputs)) {
                    let error = CommandError::text("ERR weight value is not a float");
                    *weight = number::parse_f64(text).ok_or(error)?;
                }
            } else if combines && is(word, "AGGREGATE") {
                options.aggregate = match words.value()? {
                    word if is(word, "SUM") => Aggregate::Sum,
                    word if is(word, "MIN") => Aggregate::Min,
                    word if is(word, "MAX") => Aggregate::Max,
                    _ => return Err(CommandError::SYNTAX),
                };
            } else if purpose == Use::Read && is(word, "WITHSCORES") {
                options.with_scores = true;
            } else if purpose == Use::Count && is(word, "LIMIT") {
                options.limit = words.at_least(0, "ERR LIMIT can't be negative")?;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }
}

/// The value of an input: a set or sorted set, or nothing for a missing key.
#[derive(Clone, Copy)]
enum Source<'a> {
    Nothing,
    Set(&'a Set),
    Zset(&'a Zset),
}

impl<'a> Source<'a> {
    fn of(db: &'a DbView<'_>, at: EntryRef) -> Result<Source<'a>, CommandError> {
        match db.stored_value(at) {
            StoredValue::Object(Value::Set(set)) => Ok(Source::Set(set)),
            StoredValue::Object(Value::Zset(zset)) => Ok(Source::Zset(zset)),
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    fn len(self) -> usize {
        match self {
            Source::Nothing => 0,
            Source::Set(set) => set.len(),
            Source::Zset(zset) => zset.len(),
        }
    }

    fn score(self, member: Entry<'_>) -> Option<f64> {
        match self {
            Source::Nothing => None,
            Source::Set(set) => set.contains_entry(member).then_some(1.0),
            Source::Zset(zset) => zset.score(member.bytes(&mut DecimalBuffer::new())),
        }
    }

    /// Calls `visit` for each element until it breaks; equal members are equal entries.
    fn walk(self, mut visit: impl FnMut(Entry<'a>, f64) -> ControlFlow<()>) {
        let _ = match self {
            Source::Nothing => ControlFlow::Continue(()),
            Source::Set(set) => set.iter().try_for_each(|member| visit(member.normal(), 1.0)),
            Source::Zset(zset) => zset.iter().try_for_each(|(member, score)| visit(member.normal(), score)),
        };
    }
}

#[derive(Clone, Copy)]
struct Input<'a> {
    source: Source<'a>,
    weight: f64,
}

/// The members of a result with their scores.
type Elements<'a> = Vec<(Entry<'a>, f64)>;

/// The union of `inputs`, which are in ascending order of size.
fn unite<'a>(inputs: &[Input<'a>], aggregate: Aggregate) -> Elements<'a> {
    let mut scores = HashMap::with_capacity(inputs.last().map_or(0, |input| input.source.len()));
    for input in inputs {
        input.source.walk(|member, score| {
            let score = or_zero(input.weight * score);
            scores
                .entry(member)
                .and_modify(|old: &mut f64| *old = aggregate.of(*old, score))
                .or_insert(score);
            ControlFlow::Continue(())
        });
    }
    scores.into_iter().collect()
}

/// Calls `visit` for the members that all `inputs` have; they are in ascending order of size.
fn intersect<'a>(
    inputs: &[Input<'a>],
    aggregate: Aggregate,
    mut visit: impl FnMut(Entry<'a>, f64) -> ControlFlow<()>,
) {
    let Some((smallest, others)) = inputs.split_first() else { return };
    smallest.source.walk(|member, score| {
        let mut sum = or_zero(smallest.weight * score);
        for other in others {
            let Some(score) = other.source.score(member) else { return ControlFlow::Continue(()) };
            sum = aggregate.of(sum, score * other.weight);
        }
        visit(member, sum)
    });
}

/// The members of the first input that none of the others has.
fn subtract<'a>(inputs: &[Input<'a>]) -> Elements<'a> {
    let Some((first, others)) = inputs.split_first() else { return Vec::new() };
    let mut rest = Vec::new();
    // While the others are small, one hash set of all their members is faster than a lookup in each.
    if others.iter().map(|other| other.source.len()).sum::<usize>() <= first.source.len() {
        let mut unwanted = HashSet::new();
        for other in others {
            other.source.walk(|member, _| {
                unwanted.insert(member);
                ControlFlow::Continue(())
            });
        }
        first.source.walk(|member, score| {
            if !unwanted.contains(&member) {
                rest.push((member, score));
            }
            ControlFlow::Continue(())
        });
    } else {
        first.source.walk(|member, score| {
            if !others.iter().any(|other| other.source.score(member).is_some()) {
                rest.push((member, score));
            }
            ControlFlow::Continue(())
        });
    }
    rest
}

/// Sorts elements by score and member, the order of a sorted set.
fn sort(elements: &mut Elements<'_>) {
    elements.sort_unstable_by(|(member, score), (other, other_score)| {
        score
            .partial_cmp(other_score)
            .unwrap_or(std::cmp::Ordering::Equal)
            .then_with(|| member.bytes(&mut DecimalBuffer::new()).cmp(other.bytes(&mut DecimalBuffer::new())))
    });
}

/// Runs a command of this file; `numkeys` is the argument at index `at`.
fn combine(call: &mut Call<'_>, at: usize, operation: Operation, purpose: Use) -> Outcome {
    let count = integer(call.args.at(at))?;
    if count < 1 {
        let text = format!("ERR at least 1 input key is needed for '{}' command", call.name);
        return Err(CommandError::new(text));
    }
    let rest = call.args.tail(at + 1);
    let count = usize::try_from(count).ok().filter(|n| *n <= rest.len()).ok_or(CommandError::SYNTAX)?;
    let places = call.db.find_all(rest.head(count).iter(), &["zset", "set"])?;
    let options = Options::parse(rest.tail(count), count, operation, purpose)?;

    let mut inputs = Vec::with_capacity(count);
    for (place, weight) in places.iter().zip(&options.weights) {
        let source = place.map_or(Ok(Source::Nothing), |at| Source::of(&call.db, at))?;
        inputs.push(Input { source, weight: *weight });
    }
    if operation != Operation::Difference {
        inputs.sort_by_key(|input| input.source.len());
    }
    if purpose == Use::Count {
        call.reply.count(count_common(&inputs, options.limit));
        return Ok(Done::Replied);
    }
    let mut elements = match operation {
        Operation::Union => unite(&inputs, options.aggregate),
        Operation::Difference => subtract(&inputs),
        Operation::Intersection => {
            let mut common = Vec::new();
            intersect(&inputs, options.aggregate, |member, score| {
                common.push((member, score));
                ControlFlow::Continue(())
            });
            common
        }
    };
    sort(&mut elements);
    if purpose == Use::Store {
        let result = Zset::from_sorted(&elements, call.db.env.limits);
        call.reply.count(result.len());
        call.db.set_collection(call.args.at(1), result, store_event(operation));
        return Ok(Done::Replied);
    }
    open_elements(call.reply, elements.len(), options.with_scores);
    for (member, score) in elements {
        write_element(call.reply, member, score, options.with_scores);
    }
    Ok(Done::Replied)
}

/// The number of members that all inputs have, at most `limit` unless that is 0.
fn count_common(inputs: &[Input<'_>], limit: usize) -> usize {
    let mut count = 0;
    intersect(inputs, Aggregate::Sum, |_, _| {
        count += 1;
        if count == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    count
}

fn store_event(operation: Operation) -> Event {
    match operation {
        Operation::Union => event::ZUNIONSTORE,
        Operation::Intersection => event::ZINTERSTORE,
        Operation::Difference => event::ZDIFFSTORE,
    }
}

pub(in crate::commands) fn zunion(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Union, Use::Read)
}

pub(in crate::commands) fn zunionstore(call: &mut Call<'_>) -> Outcome {
    combine(call, 2, Operation::Union, Use::Store)
}

pub(in crate::commands) fn zinter(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Intersection, Use::Read)
}

pub(in crate::commands) fn zinterstore(call: &mut Call<'_>) -> Outcome {
    combine(call, 2, Operation::Intersection, Use::Store)
}

pub(in crate::commands) fn zintercard(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Intersection, Use::Count)
}

pub(in crate::commands) fn zdiff(call: &mut Call<'_>) -> Outcome {
    combine(call, 1, Operation::Difference, Use::Read)
}

pub(in crate::commands) fn zdiffstore(call: &mut Call<'_>) -> Outcome {
    combine(call, 2, Operation::Difference, Use::Store)
}

#[cfg(test)]
#[path = "algebra_tests.rs"]
mod tests;
