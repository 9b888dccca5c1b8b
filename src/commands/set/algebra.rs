//! Set algebra: SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD.
//!
//! * Intersection: each member of the smallest set is looked up in the others.
//! * Difference: each member of the first set is looked up in the others, or the others' members are removed
//!   from a copy of the first, whichever is estimated to be less work.
//! * Union: all members are added to a new set, unless there is only one input.

use crate::commands::support::args::{self, is};
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{DbView, Event, event};
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::Entry;
use crate::value::Limits;
use crate::value::set::Set;

/// The sets at `keys`, in order; `None` for a missing key.
fn sets_at<'v>(db: &'v mut DbView<'_>, keys: Args<'_>) -> Result<Vec<Option<&'v Set>>, CommandError> {
    let places = db.find_all(keys.iter(), &["set"])?;
    let db = &*db;
    places.into_iter().map(|place| place.map(|at| db.typed::<Set>(at)).transpose()).collect()
}

/// Stores a set at the first argument, replacing what is there, and replies with its size.
fn store(call: &mut Call<'_>, set: Set, event: Event) -> Outcome {
    let len = set.len();
    call.db.set_collection(call.args.at(1), set, event);
    call.reply.count(len);
    Ok(Done::Replied)
}

/// The sets of an intersection by size, smallest first; `None` if one is missing and the result thus empty.
fn smallest_first(sets: Vec<Option<&Set>>) -> Option<Vec<&Set>> {
    let mut sets = sets.into_iter().collect::<Option<Vec<&Set>>>()?;
    sets.sort_by_key(|set| set.len());
    Some(sets)
}

/// The members that all the sets have.
fn common<'s>(sets: &'s [&'s Set]) -> impl Iterator<Item = Entry<'s>> {
    let smallest = sets[0];
    let others = move |member| {
        let mut others = sets[1..].iter().filter(move |set| !std::ptr::eq(**set, smallest));
        others.all(|set| set.contains_entry(member))
    };
    smallest.iter().filter(move |member| others(*member))
}

/// Writes members as a set whose length is filled in at the end.
fn write_members<'s>(reply: &mut Reply, members: impl Iterator<Item = Entry<'s>>) {
    let open = reply.open();
    let mut count = 0;
    for member in members {
        write_entry(reply, member);
        count += 1;
    }
    reply.close_set(open, count);
}

pub(in crate::commands) fn sinter(call: &mut Call<'_>) -> Outcome {
    match smallest_first(sets_at(&mut call.db, call.args.tail(1))?) {
        None => call.reply.set(0),
        Some(sets) => write_members(call.reply, common(&sets)),
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn sintercard(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let count = args::at_least(args.at(1), 1, "ERR numkeys should be greater than 0")?;
    if count > args.len() - 2 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let mut limit = 0;
    let mut options = OptionReader::new(args, 2 + count);
    while let Some(word) = options.next() {
        if !is(word, "LIMIT") {
            return Err(CommandError::SYNTAX);
        }
        limit = options.at_least(0, "ERR LIMIT can't be negative")?;
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    let keys = args.tail(2).head(count);
    let sets = smallest_first(sets_at(&mut call.db, keys)?);
    call.reply.count(sets.map_or(0, |sets| common(&sets).take(limit).count()));
    Ok(Done::Replied)
}

pub(in crate::commands) fn sinterstore(call: &mut Call<'_>) -> Outcome {
    let limits = call.db.env.limits;
    let result = match smallest_first(sets_at(&mut call.db, call.args.tail(2))?) {
        None => Set::new(),
        Some(sets) => {
            let mut result = Set::for_intersection(sets[0]);
            for member in common(&sets) {
                result.insert_entry(member, limits);
            }
            result.compact(limits);
            result
        }
    };
    store(call, result, event::SINTERSTORE)
}

/// Adds the members of all sets to `result`, which is empty.
fn unite(mut result: Set, sets: &[Option<&Set>], limits: &Limits) -> Set {
    let present = || sets.iter().flatten().copied();
    // A union with a set too large for the small forms is a table: a copy of the largest is a good start.
    let small = limits.set_max_intset_entries.max(limits.set_max_listpack_entries);
    let largest = present().max_by_key(|set| set.len()).filter(|set| set.len() > small);
    if let Some(largest) = largest {
        result = largest.duplicate();
        result.expect(usize::MAX, limits);
    }
    for set in present().filter(|set| !largest.is_some_and(|largest| std::ptr::eq(*set, largest))) {
        for member in set.iter() {
            result.insert_entry(member, limits);
        }
    }
    result
}

/// An empty set to collect a reply in: an intset if all inputs are, else a table, in which lookups are fastest.
fn scratch(sets: &[Option<&Set>], limits: &Limits) -> Set {
    let all_ints = sets.iter().flatten().all(|set| matches!(set, Set::Intset(_)));
    if all_ints { Set::new() } else { Set::empty_table(limits) }
}

pub(in crate::commands) fn sunion(call: &mut Call<'_>) -> Outcome {
    let limits = call.db.env.limits;
    let mut sets = sets_at(&mut call.db, call.args.tail(1))?;
    sets.retain(Option::is_some);
    if let [Some(set)] = sets[..] {
        write_members(call.reply, set.iter());
    } else {
        write_members(call.reply, unite(scratch(&sets, limits), &sets, limits).iter());
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn sunionstore(call: &mut Call<'_>) -> Outcome {
    let limits = call.db.env.limits;
    let sets = sets_at(&mut call.db, call.args.tail(2))?;
    let result = unite(Set::new(), &sets, limits);
    store(call, result, event::SUNIONSTORE)
}

/// The inputs of a difference, and the way to compute it.
struct Difference<'s> {
    first: &'s Set,
    others: Vec<&'s Set>,
    /// Whether the first set's members are looked up in the others, not the others' removed from a copy.
    looks_up: bool,
}

impl<'s> Difference<'s> {
    /// `None` if the result is empty: the first set is missing, or is one of the others too.
    fn new(sets: &[Option<&'s Set>]) -> Option<Self> {
        let first = sets[0]?;
        let mut others: Vec<&Set> = sets[1..].iter().copied().flatten().collect();
        if others.iter().any(|set| std::ptr::eq(*set, first)) {
            return None;
        }
        // A lookup ends at the first set that has the member: its estimate is halved.
        let lookups = first.len() * (others.len() + 1) / 2;
        let removals = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        Some(Difference { first, others, looks_up: lookups <= removals })
    }

    /// The members of the difference, by lookups.
    fn members(&self) -> impl Iterator<Item = Entry<'s>> {
        self.first.iter().filter(|member| !self.others.iter().any(|set| set.contains_entry(*member)))
    }

    /// Adds the members of the difference to `result`.
    fn collect(&self, mut result: Set, limits: &Limits) -> Set {
        if self.looks_up {
            for member in self.members() {
                result.insert_entry(member, limits);
            }
            return result;
        }
        for member in self.first.iter() {
            result.insert_entry(member, limits);
        }
        for member in self.others.iter().flat_map(|set| set.iter()) {
            if result.is_empty() {
                break;
            }
            result.remove_entry(member);
        }
        result
    }
}

pub(in crate::commands) fn sdiff(call: &mut Call<'_>) -> Outcome {
    let limits = call.db.env.limits;
    let sets = sets_at(&mut call.db, call.args.tail(1))?;
    match Difference::new(&sets) {
        None => call.reply.set(0),
        Some(difference) if difference.looks_up => write_members(call.reply, difference.members()),
        Some(difference) => {
            write_members(call.reply, difference.collect(scratch(&sets, limits), limits).iter());
        }
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn sdiffstore(call: &mut Call<'_>) -> Outcome {
    let limits = call.db.env.limits;
    let sets = sets_at(&mut call.db, call.args.tail(2))?;
    let result = Difference::new(&sets).map(|difference| difference.collect(Set::new(), limits));
    store(call, result.unwrap_or_default(), event::SDIFFSTORE)
}

#[cfg(test)]
#[path = "algebra_tests.rs"]
mod tests;
