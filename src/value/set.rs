//! A set: an intset while all members are integers and few, a listpack while they are few and
//! short, a hash table beyond.
//!
//! Forms change where Redis changes them: with the member that doesn't fit, never back, except
//! that a store command or a large pop builds a new set. The owner of an emptied set removes it.

use super::Limits;
use super::sample::Selection;
use crate::base::rng::Rng;
use crate::structures::intset::{self, Intset};
use crate::structures::listpack::{self, DecimalBuffer, Entry, Listpack};
use crate::structures::table::{self, Never, NewValue, Table};
use hashbrown::HashSet;

/// A table of members: keys without values.
type Members = Table<Never, false>;

/// A pop of more than so many times what remains builds a new set of what remains.
const REBUILD_RATIO: usize = 5;
/// A sample of at least one member in this many is taken in one pass over all members; a smaller one by random draws.
const FULL_PASS_RATIO: usize = 3;

/// A set in one of its three forms.
#[derive(Debug)]
pub enum Set {
    /// Integers, sorted.
    Intset(Intset),
    /// A few short members, in the order they came.
    Listpack(Listpack),
    /// The general form.
    Table(Box<Members>),
}

/// The error of loaded members that cannot be a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl Default for Set {
    fn default() -> Self {
        Set::new()
    }
}

/// Construction.
impl Set {
    /// An empty one that begins as an intset.
    pub fn new() -> Self {
        Set::Intset(Intset::new())
    }

    /// An empty one in the form for `first` and about `hint` members in all.
    pub fn for_members(first: &[u8], hint: usize, limits: &Limits) -> Self {
        if hint <= limits.set_max_intset_entries && Entry::Str(first).as_int().is_some() {
            return Set::new();
        }
        if hint <= limits.set_max_listpack_entries {
            return Set::Listpack(Listpack::new());
        }
        Set::empty_table(limits)
    }

    /// An empty set to collect the members that `smallest` has in common with others; then to be
    /// compacted by [`Set::compact`].
    pub fn for_intersection(smallest: &Set) -> Self {
        match smallest {
            Set::Intset(_) => Set::new(),
            _ => Set::Listpack(Listpack::new()),
        }
    }

    /// An empty table.
    pub fn empty_table(limits: &Limits) -> Self {
        Set::Table(Box::new(Members::new(limits.hasher)))
    }

    /// A set from an intset of an RDB file.
    pub fn from_intset(ints: Intset, limits: &Limits) -> Self {
        let mut set = Set::Intset(ints);
        set.check_intset(limits);
        set
    }

    /// A set from a listpack of an RDB file; an error if a member comes twice.
    pub fn from_listpack(listpack: Listpack, limits: &Limits) -> Result<Self, Corrupt> {
        let mut seen = HashSet::with_capacity(listpack.len());
        if !listpack.iter().all(|entry| seen.insert(entry.normal())) {
            return Err(Corrupt);
        }
        let too_many = seen.len() > limits.set_max_listpack_entries;
        drop(seen);
        let mut set = Set::Listpack(listpack);
        if too_many {
            set.make_table(limits);
        }
        Ok(set)
    }

    /// A copy in the same form.
    pub fn duplicate(&self) -> Self {
        match self {
            Set::Intset(ints) => Set::Intset(ints.clone()),
            Set::Listpack(listpack) => Set::Listpack(listpack.clone()),
            Set::Table(table) => {
                let mut copy = Members::new(table.hasher());
                for entry in table.iter() {
                    add_new(&mut copy, entry.key);
                }
                Set::Table(Box::new(copy))
            }
        }
    }
}

fn add_new(table: &mut Members, member: &[u8]) {
    let hash = table.hash(member);
    table.insert(hash, member, NewValue::Bytes(b""), None, 0);
}

/// Size and form.
impl Set {
    /// The encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Set::Intset(_) => "intset",
            Set::Listpack(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Set::Intset(ints) => ints.len(),
            Set::Listpack(listpack) => listpack.len(),
            Set::Table(table) => table.len(),
        }
    }

    /// Whether it has no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its table has the most slabs it can have: nothing may be added.
    pub fn is_full(&self) -> bool {
        matches!(self, Set::Table(table) if table.is_full())
    }

    /// Bytes of memory behind this value.
    pub fn memory_usage(&self) -> usize {
        match self {
            Set::Intset(ints) => ints.memory(),
            Set::Listpack(listpack) => listpack.memory(),
            Set::Table(table) => table.memory_usage(),
        }
    }

    /// Frees some of the members (`steps` segments of a table) of a removed set; true when
    /// nothing is left to free.
    pub fn free_some(&mut self, steps: usize) -> bool {
        match self {
            Set::Intset(_) | Set::Listpack(_) => true,
            Set::Table(table) => table.free_some(steps),
        }
    }

    /// Prepares for about `count` more members: converts to a table if they will need one.
    pub fn expect(&mut self, count: usize, limits: &Limits) {
        let most = match self {
            Set::Intset(_) => limits.set_max_intset_entries,
            Set::Listpack(_) => limits.set_max_listpack_entries,
            Set::Table(_) => return,
        };
        if count > most {
            self.make_table(limits);
        }
    }

    /// Turns a set of integers alone into an intset, if it may be one.
    pub fn compact(&mut self, limits: &Limits) {
        let too_many = self.len() > intset_max(limits);
        if too_many || matches!(self, Set::Intset(_)) {
            return;
        }
        let numbers: Option<Vec<i64>> = self.iter().map(Entry::as_int).collect();
        if let Some(mut numbers) = numbers {
            numbers.sort_unstable();
            let mut ints = Intset::new();
            for number in numbers {
                ints.insert(number);
            }
            *self = Set::Intset(ints);
        }
    }

    fn make_table(&mut self, limits: &Limits) {
        let mut table = Members::new(limits.hasher);
        let mut buffer = DecimalBuffer::new();
        for entry in self.iter() {
            add_new(&mut table, entry.bytes(&mut buffer));
        }
        *self = Set::Table(Box::new(table));
    }

    fn check_intset(&mut self, limits: &Limits) {
        if self.len() > intset_max(limits) {
            self.make_table(limits);
        }
    }

    /// Panics unless the invariants of the form hold (for tests).
    #[cfg(test)]
    pub fn check_invariants(&self) {
        match self {
            Set::Intset(ints) => ints.check_invariants(),
            Set::Listpack(listpack) => listpack.check_invariants(),
            Set::Table(table) => table.check_invariants(),
        }
        let members: HashSet<_> = self.iter().map(Entry::normal).collect();
        assert_eq!(members.len(), self.len());
    }
}

fn intset_max(limits: &Limits) -> usize {
    limits.set_max_intset_entries.min(intset::MAX_LEN)
}

/// Members.
impl Set {
    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Intset(ints) => Entry::Str(member).as_int().is_some_and(|n| ints.contains(n)),
            Set::Listpack(listpack) => listpack.position_of(member).is_some(),
            Set::Table(table) => table.find(table.hash(member), member).is_some(),
        }
    }

    /// `contains` for a member of another set.
    pub fn contains_entry(&self, member: Entry<'_>) -> bool {
        match (self, member) {
            (Set::Intset(ints), Entry::Int(number)) => ints.contains(number),
            _ => self.contains(member.bytes(&mut DecimalBuffer::new())),
        }
    }

    /// Adds `member`; false if it was one.
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> bool {
        match self {
            Set::Table(table) => {
                let hash = table.hash(member);
                let new = table.find(hash, member).is_none();
                if new {
                    table.insert(hash, member, NewValue::Bytes(b""), None, 0);
                }
                new
            }
            Set::Listpack(listpack) => {
                if listpack.position_of(member).is_some() {
                    return false;
                }
                let fits = listpack.len() < limits.set_max_listpack_entries
                    && member.len() <= limits.set_max_listpack_value
                    && listpack.safe_to_add(member.len());
                self.add_to(fits, member, limits);
                true
            }
            Set::Intset(ints) => match Entry::Str(member).as_int() {
                Some(number) => self.insert_int(number, limits),
                None => {
                    let fits = Self::fits_listpack(ints, member, limits);
                    self.add_to(fits, member, limits);
                    true
                }
            },
        }
    }

    /// `insert` for a member of another set.
    pub fn insert_entry(&mut self, member: Entry<'_>, limits: &Limits) -> bool {
        match (&self, member) {
            (Set::Intset(_), Entry::Int(number)) => self.insert_int(number, limits),
            _ => self.insert(member.bytes(&mut DecimalBuffer::new()), limits),
        }
    }

    fn insert_int(&mut self, number: i64, limits: &Limits) -> bool {
        let Set::Intset(ints) = self else { return false };
        let added = ints.insert(number);
        if added {
            self.check_intset(limits);
        }
        added
    }

    /// Adds a member known to be new to a listpack, which an intset becomes, or else to a table.
    fn add_to(&mut self, to_listpack: bool, member: &[u8], limits: &Limits) {
        if !to_listpack {
            self.make_table(limits);
        } else if let Set::Intset(ints) = self {
            *self = Set::Listpack(ints.iter().map(Entry::Int).collect());
        }
        match self {
            Set::Listpack(listpack) => listpack.push_back(member),
            Set::Table(table) => add_new(table, member),
            Set::Intset(_) => unreachable!("an intset has just been converted"),
        }
    }

    /// Whether an intset may become a listpack with `member`.
    fn fits_listpack(ints: &Intset, member: &[u8], limits: &Limits) -> bool {
        let ends = [ints.first(), ints.last()];
        let longest = ends.into_iter().flatten().map(|n| Entry::Int(n).byte_len()).max();
        // No integer takes more than 10 bytes in a listpack.
        let bytes = ints.len() * 10 + member.len();
        ints.len() < limits.set_max_listpack_entries
            && member.len() <= limits.set_max_listpack_value
            && longest.unwrap_or(0) <= limits.set_max_listpack_value
            && bytes <= listpack::MAX_SAFE_BYTES
    }

    /// Removes `member`; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Intset(ints) => Entry::Str(member).as_int().is_some_and(|n| ints.remove(n)),
            Set::Listpack(listpack) => {
                let found = listpack.position_of(member);
                found.map(|pos| listpack.remove(pos)).is_some()
            }
            Set::Table(table) => {
                let hash = table.hash(member);
                let found = table.find(hash, member);
                found.map(|at| table.remove(at, hash)).is_some()
            }
        }
    }

    /// `remove` for a member of another set.
    pub fn remove_entry(&mut self, member: Entry<'_>) -> bool {
        match (&mut *self, member) {
            (Set::Intset(ints), Entry::Int(number)) => ints.remove(number),
            _ => self.remove(member.bytes(&mut DecimalBuffer::new())),
        }
    }

    /// All members: ascending, in order of arrival, or in none, by the form. A table's are
    /// strings even if they look like integers.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Set::Intset(ints) => Iter::Intset(ints.iter()),
            Set::Listpack(listpack) => Iter::Listpack(listpack.iter()),
            Set::Table(table) => Iter::Table(table.iter()),
        }
    }

    /// Visits some members, from `cursor` on (0 to begin), and returns the next cursor, 0 at the
    /// end. A member that is there during the whole scan is visited exactly once.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Entry<'_>)) -> u64 {
        match self {
            Set::Table(table) => table.scan(cursor, |entry| visit(Entry::Str(entry.key))),
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }
}

/// Random members.
impl Set {
    /// A member, each as likely as any other.
    pub fn random(&self, rng: &mut Rng) -> Option<Entry<'_>> {
        if self.is_empty() {
            return None;
        }
        match self {
            Set::Intset(ints) => ints.get(rng.below(ints.len() as u64) as usize).map(Entry::Int),
            Set::Listpack(listpack) => listpack.get(rng.below(listpack.len() as u64) as usize),
            Set::Table(table) => table.random(rng).map(|at| Entry::Str(table.key(at))),
        }
    }

    /// Visits `count` different members (all, if there are fewer), each subset as likely as any
    /// other; their order means nothing.
    pub fn sample(&self, count: usize, rng: &mut Rng, mut visit: impl FnMut(Entry<'_>)) {
        if let Set::Table(table) = self
            && count < self.len() / FULL_PASS_RATIO
        {
            let mut seen = HashSet::with_capacity(count);
            while seen.len() < count {
                let Some(at) = table.random(rng) else { return };
                let member = table.key(at);
                if seen.insert(member.as_ptr()) {
                    visit(Entry::Str(member));
                }
            }
            return;
        }
        let mut selection = Selection::new(self.len(), count);
        for member in self.iter() {
            if selection.is_done() {
                return;
            }
            if selection.takes(rng) {
                visit(member);
            }
        }
    }

    /// Removes `count` random members (all, if there are fewer) and visits each. If little is
    /// left of a set that is no listpack, a new set is built of what is left, in the form for it.
    pub fn pop(&mut self, count: usize, rng: &mut Rng, limits: &Limits, mut visit: impl FnMut(Entry<'_>)) {
        let left = self.len().saturating_sub(count);
        if left * REBUILD_RATIO <= count && count > 1 && !matches!(self, Set::Listpack(_)) {
            return self.pop_all_but(left, rng, limits, visit);
        }
        match self {
            Set::Listpack(listpack) => {
                let mut selection = Selection::new(listpack.len(), count);
                listpack.retain(1, |listpack, pos| {
                    let goes = selection.takes(rng);
                    if goes {
                        visit(listpack.at(pos));
                    }
                    !goes
                });
            }
            Set::Intset(ints) => {
                for _ in 0..count.min(ints.len()) {
                    let index = rng.below(ints.len() as u64) as usize;
                    ints.remove_at(index).map(Entry::Int).into_iter().for_each(&mut visit);
                }
            }
            Set::Table(table) => {
                for _ in 0..count {
                    let Some(at) = table.random(rng) else { return };
                    let member = table.key(at);
                    visit(Entry::Str(member));
                    let hash = table.hash(member);
                    table.remove(at, hash);
                }
            }
        }
    }

    fn pop_all_but(&mut self, left: usize, rng: &mut Rng, limits: &Limits, mut visit: impl FnMut(Entry<'_>)) {
        let mut rest = Set::for_intersection(self);
        let mut stays = Selection::new(self.len(), left);
        for member in self.iter() {
            if stays.takes(rng) {
                rest.insert_entry(member, limits);
            } else {
                visit(member);
            }
        }
        *self = rest;
    }
}

/// Members of a set; see `Set::iter`.
#[derive(Debug)]
pub enum Iter<'a> {
    /// Of an intset.
    Intset(intset::Iter<'a>),
    /// Of a listpack.
    Listpack(listpack::Iter<'a>),
    /// Of a table.
    Table(table::Iter<'a, Never, false>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        match self {
            Iter::Intset(ints) => ints.next().map(Entry::Int),
            Iter::Listpack(listpack) => listpack.next(),
            Iter::Table(table) => table.next().map(|entry| Entry::Str(entry.key)),
        }
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
