//! The listpack form of a sorted set: member, score, member, score, … in order.
//!
//! A score is an integer entry if it is one, else its shortest decimal text: the bytes that
//! Redis has in memory and in RDB files. An integer zero has no sign, so -0 becomes 0 here.

use super::range::{LexBound, ScoreBound};
use crate::base::number::{exact_integer, parse_f64, push_f64};
use crate::structures::listpack::{DecimalBuffer, Entry, Iter, Listpack, Needle, Pos};
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

/// The score in an entry of a valid sorted set.
#[inline]
pub fn score_of(entry: Entry<'_>) -> f64 {
    match entry {
        Entry::Int(value) => value as f64,
        Entry::Str(text) => parse_f64(text).unwrap_or(0.0),
    }
}

/// Compares an element of the listpack with another.
fn compare(member: Entry<'_>, score: f64, other_member: &[u8], other_score: f64) -> Ordering {
    score
        .partial_cmp(&other_score)
        .unwrap_or(Ordering::Equal)
        .then_with(|| member.bytes(&mut DecimalBuffer::new()).cmp(other_member))
}

pub fn len(listpack: &Listpack) -> usize {
    listpack.len() / 2
}

/// Index, place and score of the member.
pub fn find(listpack: &Listpack, member: &[u8]) -> Option<(usize, Pos, f64)> {
    let needle = Needle::new(member);
    let mut entries = listpack.iter();
    let mut index = 0;
    loop {
        let pos = entries.pos()?;
        if needle.is(entries.next()?) {
            return Some((index, pos, score_of(entries.next()?)));
        }
        entries.next()?;
        index += 1;
    }
}

/// Adds a member that is not there yet, at its place.
pub fn insert(listpack: &mut Listpack, member: &[u8], score: f64) {
    let mut place = None;
    let mut entries = listpack.iter();
    while let Some(pos) = entries.pos() {
        let (Some(other), Some(other_score)) = (entries.next(), entries.next()) else { break };
        if compare(other, score_of(other_score), member, score) == Ordering::Greater {
            place = Some(pos);
            break;
        }
    }
    insert_at(listpack, place, member, score);
}

fn insert_at(listpack: &mut Listpack, place: Option<Pos>, member: &[u8], score: f64) {
    match exact_integer(score) {
        Some(integer) => listpack.insert_all(place, [Entry::from(member), Entry::Int(integer)]),
        None => {
            let mut text = Vec::with_capacity(32);
            push_f64(&mut text, score);
            listpack.insert_all(place, [Entry::from(member), Entry::Str(&text)]);
        }
    }
}

/// Adds a member that comes after all others.
pub fn push(listpack: &mut Listpack, member: &[u8], score: f64) {
    insert_at(listpack, None, member, score);
}

/// Removes the element at a place from [`find`].
pub fn remove(listpack: &mut Listpack, pos: Pos) {
    listpack.remove_many(pos, 2);
}

/// Removes the elements of these ranks.
pub fn remove_ranks(listpack: &mut Listpack, ranks: Range<usize>) {
    listpack.remove_range(2 * ranks.start, 2 * ranks.len());
}

/// Ranks of the elements that are neither below nor above the range.
fn ranks(
    listpack: &Listpack,
    is_below: impl Fn(Entry<'_>, Entry<'_>) -> bool,
    is_above: impl Fn(Entry<'_>, Entry<'_>) -> bool,
) -> Range<usize> {
    let mut pairs = listpack.pairs();
    let mut start = 0;
    let mut end = 0;
    for (member, score) in pairs.by_ref() {
        if is_below(member, score) {
            start += 1;
            end += 1;
        } else if is_above(member, score) {
            break;
        } else {
            end += 1;
        }
    }
    start..end
}

pub fn score_ranks(listpack: &Listpack, min: ScoreBound, max: ScoreBound) -> Range<usize> {
    let below = |_: Entry<'_>, score: Entry<'_>| min.starts_after(score_of(score));
    let above = |_: Entry<'_>, score: Entry<'_>| max.ends_before(score_of(score));
    ranks(listpack, below, above)
}

pub fn lex_ranks(listpack: &Listpack, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
    let below = |m: Entry<'_>, _: Entry<'_>| min.starts_after(m.bytes(&mut DecimalBuffer::new()));
    let above = |m: Entry<'_>, _: Entry<'_>| max.ends_before(m.bytes(&mut DecimalBuffer::new()));
    ranks(listpack, below, above)
}

/// An iterator over elements in one direction.
pub struct Elements<'a> {
    entries: Iter<'a>,
    is_backwards: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = (Entry<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_backwards {
            let score = self.entries.next_back()?;
            return Some((self.entries.next_back()?, score_of(score)));
        }
        Some((self.entries.next()?, score_of(self.entries.next()?)))
    }
}

/// The elements from `rank` on.
pub fn ascending(listpack: &Listpack, rank: usize) -> Option<Elements<'_>> {
    let entries = listpack.iter_from(listpack.seek(2 * rank)?);
    Some(Elements { entries, is_backwards: false })
}

/// The elements before `rank`, the last first.
pub fn descending(listpack: &Listpack, rank: usize) -> Option<Elements<'_>> {
    let entries = listpack.iter_to(listpack.seek((2 * rank).checked_sub(1)?)?);
    Some(Elements { entries, is_backwards: true })
}

/// The result of validating a listpack from a file or a peer.
pub enum Foreign {
    /// Not a sorted set: an odd number of entries, a score that is no float, a member twice.
    Corrupt,
    Sorted,
    /// Valid, but in another order.
    Unsorted,
}

/// The elements of a valid listpack, sorted; there may be millions of them.
pub fn sorted(listpack: &Listpack) -> Vec<(Entry<'_>, f64)> {
    let mut elements: Vec<_> = listpack.pairs().map(|(member, score)| (member, score_of(score))).collect();
    elements.sort_unstable_by(|&(member, score), &(other, other_score)| {
        compare(member, score, other.bytes(&mut DecimalBuffer::new()), other_score)
    });
    elements
}

/// Validates a listpack from a file or a peer.
pub fn examine(listpack: &Listpack) -> Foreign {
    if listpack.len() % 2 == 1 {
        return Foreign::Corrupt;
    }
    let mut seen = HashSet::new();
    let mut is_sorted = true;
    let mut previous: Option<(Vec<u8>, f64)> = None;
    for (member, score) in listpack.pairs() {
        let score = match score {
            Entry::Int(value) => value as f64,
            Entry::Str(text) => match parse_f64(text) {
                Some(score) => score,
                None => return Foreign::Corrupt,
            },
        };
        let bytes = member.to_vec();
        if let Some((other, other_score)) = &previous {
            is_sorted &= compare(member, score, other, *other_score) == Ordering::Greater;
        }
        if !seen.insert(bytes.clone()) {
            return Foreign::Corrupt;
        }
        previous = Some((bytes, score));
    }
    if is_sorted { Foreign::Sorted } else { Foreign::Unsorted }
}
