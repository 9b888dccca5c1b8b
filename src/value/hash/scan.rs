//! Iteration over a hash: all fields, a step by cursor (HSCAN), and random fields.

use super::super::sample::Selection;
use super::{Fields, Hash, is_past, listpack_form};
use crate::base::rng::Rng;
use crate::structures::listpack::{self, Entry};
use crate::structures::table::{self, EntryRef, EntryValue, Never};
use hashbrown::HashSet;

/// A sample of at least one field in this many is taken in one pass over all fields; a smaller one by random draws.
const FULL_PASS_RATIO: usize = 3;
/// Random draws of one live field that may hit expired fields; after them the live fields are counted in one pass.
const MAX_EXPIRED_DRAWS: usize = 100;

/// A field of a hash with its value and deadline.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The field itself. In a table it is a string even if it looks like an integer; so is the value.
    pub name: Entry<'a>,
    /// Its value.
    pub value: Entry<'a>,
    /// Its deadline in Unix milliseconds, if it has one.
    pub deadline: Option<u64>,
}

impl Field<'_> {
    /// Whether it is not past its deadline.
    #[inline]
    pub fn is_live(&self, now: u64) -> bool {
        !is_past(self.deadline, now)
    }
}

/// Fields of a hash; see `Hash::iter`.
#[derive(Debug)]
pub enum Iter<'a> {
    /// Of pairs.
    Listpack(listpack::Pairs<'a>),
    /// Of triples.
    ListpackEx(listpack::Iter<'a>),
    /// Of a table.
    Table(table::Iter<'a, Never, false>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        match self {
            Iter::Listpack(pairs) => pairs.next().map(|(name, value)| Field { name, value, deadline: None }),
            Iter::ListpackEx(triples) => {
                let (name, value) = (triples.next()?, triples.next()?);
                Some(Field { name, value, deadline: listpack_form::parse_deadline(triples.next()?) })
            }
            Iter::Table(entries) => entries.next().map(shown),
        }
    }
}

fn text(value: EntryValue<'_, Never>) -> Entry<'_> {
    match value {
        // A table of fields holds no embedded collections: the value is a string.
        EntryValue::Bytes(bytes) | EntryValue::Embedded(_, bytes) => Entry::Str(bytes),
        EntryValue::Int(number) => Entry::Int(number),
        EntryValue::Object(never) => match *never {},
    }
}

fn shown(entry: table::Entry<'_, Never>) -> Field<'_> {
    Field { name: Entry::Str(entry.key), value: text(entry.value), deadline: entry.deadline }
}

fn field_at(table: &Fields, at: EntryRef) -> Field<'_> {
    Field { name: Entry::Str(table.key(at)), value: text(table.value(at)), deadline: table.deadline(at) }
}

impl Hash {
    /// All fields, past their deadline or not.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Hash::Listpack(listpack) => Iter::Listpack(listpack.pairs()),
            Hash::ListpackEx(listpack) => Iter::ListpackEx(listpack.iter()),
            Hash::Table(table) => Iter::Table(table.iter()),
        }
    }

    /// Visits every field not past its deadline; the fastest iteration over all of them.
    #[inline]
    pub fn for_each_live(&self, now: u64, mut visit: impl FnMut(Field<'_>)) {
        match self {
            Hash::Listpack(listpack) => {
                for (name, value) in listpack.pairs() {
                    visit(Field { name, value, deadline: None });
                }
            }
            _ => self.live(now).for_each(visit),
        }
    }

    /// The fields not past their deadline.
    #[inline]
    pub fn live(&self, now: u64) -> impl Iterator<Item = Field<'_>> + '_ {
        self.iter().filter(move |field| field.is_live(now))
    }

    /// Number of fields not past their deadline; a pass over all if some may be.
    pub fn live_len(&self, now: u64) -> usize {
        if self.next_deadline().is_some_and(|first| first < now) {
            self.live(now).count()
        } else {
            self.len()
        }
    }

    /// Visits some fields, past their deadline or not, from `cursor` on (0 to begin), and returns the next
    /// cursor, 0 at the end. A field that is there during the whole scan is visited exactly once.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Field<'_>)) -> u64 {
        match self {
            Hash::Table(table) => table.scan(cursor, |entry| visit(shown(entry))),
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// A live field, each as likely as any other.
    pub fn random(&self, rng: &mut Rng, now: u64) -> Option<Field<'_>> {
        if let Hash::Table(table) = self {
            for _ in 0..MAX_EXPIRED_DRAWS {
                let field = field_at(table, table.random(rng)?);
                if field.is_live(now) {
                    return Some(field);
                }
            }
        }
        let len = self.live_len(now);
        if len == 0 {
            return None;
        }
        let index = rng.below(len as u64) as usize;
        match self {
            Hash::Listpack(listpack) => {
                let name = listpack.seek(index * 2)?;
                let value = listpack.at(listpack.next(name)?);
                Some(Field { name: listpack.at(name), value, deadline: None })
            }
            _ => self.live(now).nth(index),
        }
    }

    /// Visits `count` different live fields (all, if there are fewer), each subset as likely as
    /// any other; their order means nothing.
    pub fn sample(&self, count: usize, rng: &mut Rng, now: u64, mut visit: impl FnMut(Field<'_>)) {
        let len = self.live_len(now);
        if let Hash::Table(table) = self
            && count < len / FULL_PASS_RATIO
        {
            let mut seen = HashSet::with_capacity(count);
            while seen.len() < count {
                let Some(at) = table.random(rng) else { return };
                let field = field_at(table, at);
                if field.is_live(now) && seen.insert(table.key(at).as_ptr()) {
                    visit(field);
                }
            }
            return;
        }
        let mut selection = Selection::new(len, count);
        for field in self.live(now) {
            if selection.is_done() {
                return;
            }
            if selection.takes(rng) {
                visit(field);
            }
        }
    }
}
