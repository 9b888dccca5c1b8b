//! A hash: fields with values, and deadlines for single fields.
//!
//!     Listpack     field value  field value  …
//!     ListpackEx   field value deadline  …      by deadline, ascending; 0 is none and goes last
//!     Table        field → value, deadline in the entry
//!
//! It becomes a table when there are too many fields or one is too long, where Redis does it, and
//! never converts back. A field past its deadline stays until active expiry removes it
//! (`expire_some`) or a command does; functions that take the time don't return it. The owner of an
//! emptied hash removes it.
//!
//! [`listpack_form`] has the listpack forms; [`scan`] iterates, scans and draws random fields.

mod listpack_form;
mod scan;
#[cfg(test)]
mod tests;

use super::Limits;
use crate::structures::listpack::{DecimalBuffer, Entry, Listpack};
use crate::structures::table::{DueKeys, EntryValue, Never, NewValue, Table};
use hashbrown::HashSet;
pub use scan::{Field, Iter};

type Fields = Table<Never, false>;

/// A hash in one of its three forms.
#[derive(Debug)]
pub enum Hash {
    /// A few short fields without deadlines.
    Listpack(Listpack),
    /// A few short fields, some with deadlines, or once with deadlines.
    ListpackEx(Listpack),
    /// The general form.
    Table(Box<Fields>),
}

/// The error of loaded fields that cannot be a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Whether a field with this deadline has expired at `now`.
#[inline(always)]
pub(super) fn is_past(deadline: Option<u64>, now: u64) -> bool {
    deadline.is_some_and(|deadline| deadline < now)
}

impl Default for Hash {
    fn default() -> Self {
        Hash::new()
    }
}

/// Construction.
impl Hash {
    /// An empty one.
    pub fn new() -> Self {
        Hash::Listpack(Listpack::new())
    }

    /// An empty table.
    pub fn empty_table(limits: &Limits) -> Self {
        Hash::Table(Box::new(Fields::new(limits.hasher)))
    }

    /// A hash from a listpack of pairs of an RDB file; an error if a field comes twice.
    pub fn from_listpack(listpack: Listpack, limits: &Limits) -> Result<Self, Corrupt> {
        Self::from_checked(Hash::Listpack(listpack), limits)
    }

    /// A hash from a listpack of triples of an RDB file; an error if a field comes twice, a deadline is invalid, or
    /// they are out of order.
    pub fn from_listpack_ex(listpack: Listpack, limits: &Limits) -> Result<Self, Corrupt> {
        if !listpack_form::deadlines_ascend(&listpack) {
            return Err(Corrupt);
        }
        Self::from_checked(Hash::ListpackEx(listpack), limits)
    }

    fn from_checked(mut hash: Hash, limits: &Limits) -> Result<Self, Corrupt> {
        let Some((listpack, stride)) = hash.listpack() else { return Ok(hash) };
        let len = listpack.len();
        let mut seen = HashSet::with_capacity(len / stride);
        let fields = listpack.iter().step_by(stride).map(Entry::normal);
        if len % stride != 0 || !fields.into_iter().all(|field| seen.insert(field)) {
            return Err(Corrupt);
        }
        drop(seen);
        hash.check_count(limits);
        Ok(hash)
    }

    /// A copy in the same form.
    pub fn duplicate(&self) -> Self {
        match self {
            Hash::Listpack(listpack) => Hash::Listpack(listpack.clone()),
            Hash::ListpackEx(listpack) => Hash::ListpackEx(listpack.clone()),
            Hash::Table(table) => {
                let mut copy = Fields::new(table.hasher());
                for entry in table.iter() {
                    if let EntryValue::Bytes(value) = entry.value {
                        add_new(&mut copy, entry.key, value, entry.deadline);
                    }
                }
                Hash::Table(Box::new(copy))
            }
        }
    }
}

fn add_new(table: &mut Fields, field: &[u8], value: &[u8], deadline: Option<u64>) {
    let hash = table.hash(field);
    table.insert(hash, field, NewValue::Bytes(value), deadline, 0);
}

/// Size and form.
impl Hash {
    /// The listpack and how many entries of it make a field, unless it is a table.
    #[inline]
    fn listpack(&self) -> Option<(&Listpack, usize)> {
        match self {
            Hash::Listpack(listpack) => Some((listpack, 2)),
            Hash::ListpackEx(listpack) => Some((listpack, 3)),
            Hash::Table(_) => None,
        }
    }

    /// The encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Hash::Listpack(_) => "listpack",
            Hash::ListpackEx(_) => "listpackex",
            Hash::Table(_) => "hashtable",
        }
    }

    /// Number of fields, including those past their deadline that have not been removed yet.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Hash::Listpack(listpack) => listpack.len() / 2,
            Hash::ListpackEx(listpack) => listpack.len() / 3,
            Hash::Table(table) => table.len(),
        }
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its table has the most slabs it can have: nothing may be added.
    pub fn is_full(&self) -> bool {
        matches!(self, Hash::Table(table) if table.is_full())
    }

    /// Bytes of memory behind this value.
    pub fn memory_usage(&self) -> usize {
        match self {
            Hash::Listpack(listpack) | Hash::ListpackEx(listpack) => listpack.memory(),
            Hash::Table(table) => table.memory_usage(),
        }
    }

    /// Frees some of the fields (`steps` segments of a table) of a removed hash; true when
    /// nothing is left to free.
    pub fn free_some(&mut self, steps: usize) -> bool {
        match self {
            Hash::Listpack(_) | Hash::ListpackEx(_) => true,
            Hash::Table(table) => table.free_some(steps),
        }
    }

    /// Prepares for fields and values, in turns, that will be set: a table, if they need one.
    pub fn expect<'a>(&mut self, items: impl Iterator<Item = &'a [u8]>, limits: &Limits) {
        let Some((listpack, _)) = self.listpack() else { return };
        let (mut count, mut bytes, mut longest) = (0, 0, 0);
        for item in items {
            count += 1;
            bytes += item.len();
            longest = longest.max(item.len());
        }
        if count / 2 > limits.hash_max_listpack_entries
            || longest > limits.hash_max_listpack_value
            || !listpack.safe_to_add(bytes)
        {
            self.make_table(limits);
        }
    }

    fn check_count(&mut self, limits: &Limits) {
        if self.len() > limits.hash_max_listpack_entries && self.listpack().is_some() {
            self.make_table(limits);
        }
    }

    fn make_table(&mut self, limits: &Limits) {
        let mut table = Fields::new(limits.hasher);
        let (mut name, mut text) = (DecimalBuffer::new(), DecimalBuffer::new());
        for field in self.iter() {
            add_new(&mut table, field.name.bytes(&mut name), field.value.bytes(&mut text), field.deadline);
        }
        *self = Hash::Table(Box::new(table));
    }

    /// Panics unless the invariants of the form hold (for tests).
    #[cfg(test)]
    pub fn check_invariants(&self) {
        match self {
            Hash::Table(table) => table.check_invariants(),
            Hash::Listpack(listpack) => listpack.check_invariants(),
            Hash::ListpackEx(listpack) => {
                listpack.check_invariants();
                assert!(listpack_form::deadlines_ascend(listpack));
            }
        }
        let names: HashSet<_> = self.iter().map(|field| field.name.normal()).collect();
        assert_eq!(names.len(), self.len());
    }
}

/// Fields.
impl Hash {
    /// A field's value and deadline, past or not.
    #[inline]
    pub fn find(&self, field: &[u8]) -> Option<(Entry<'_>, Option<u64>)> {
        match self {
            Hash::Table(table) => {
                let at = table.find(table.hash(field), field)?;
                let EntryValue::Bytes(value) = table.value(at) else { return None };
                Some((Entry::Str(value), table.deadline(at)))
            }
            Hash::Listpack(listpack) => {
                let pos = listpack.find(field, listpack.first(), 2)?;
                Some((listpack.at(listpack.next(pos)?), None))
            }
            Hash::ListpackEx(listpack) => {
                let pos = listpack.next(listpack.find(field, listpack.first(), 3)?)?;
                Some((listpack.at(pos), listpack_form::deadline_at(listpack, listpack.next(pos)?)))
            }
        }
    }

    /// A field's value, if it is there and not past its deadline.
    #[inline]
    pub fn get(&self, field: &[u8], now: u64) -> Option<Entry<'_>> {
        self.find(field).filter(|&(_, deadline)| !is_past(deadline, now)).map(|(value, _)| value)
    }

    /// Whether a field is there but past its deadline.
    #[inline]
    pub fn is_past(&self, field: &[u8], now: u64) -> bool {
        self.has_deadlines() && self.find(field).is_some_and(|(_, deadline)| is_past(deadline, now))
    }

    /// Whether a field is there and not past its deadline.
    pub fn contains(&self, field: &[u8], now: u64) -> bool {
        self.get(field, now).is_some()
    }

    /// Sets a field, which loses its deadline unless told to keep it; true if it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], keep_deadline: bool, limits: &Limits) -> bool {
        let fits = |bytes: &[u8]| bytes.len() <= limits.hash_max_listpack_value;
        let Hash::Table(table) = self else {
            let safe =
                self.listpack().is_some_and(|(listpack, _)| listpack.safe_to_add(field.len() + value.len()));
            if safe && fits(field) && fits(value) {
                return self.set_in_listpack(field, value, keep_deadline, limits);
            }
            self.make_table(limits);
            return self.set(field, value, keep_deadline, limits);
        };
        let hash = table.hash(field);
        let Some(at) = table.find(hash, field) else {
            table.insert(hash, field, NewValue::Bytes(value), None, 0);
            return true;
        };
        let deadline = table.deadline(at).filter(|_| keep_deadline);
        table.replace(at, hash, NewValue::Bytes(value), deadline);
        false
    }

    fn set_in_listpack(&mut self, field: &[u8], value: &[u8], keep_deadline: bool, limits: &Limits) -> bool {
        let new = match self {
            Hash::Listpack(listpack) => listpack_form::set(listpack, field, value),
            Hash::ListpackEx(listpack) => listpack_form::set_ex(listpack, field, value, keep_deadline),
            Hash::Table(_) => return false,
        };
        if new {
            self.check_count(limits);
        }
        new
    }

    /// Adds a field of a snapshot; false if it was there.
    pub fn load(&mut self, field: &[u8], value: &[u8], deadline: Option<u64>, limits: &Limits) -> bool {
        if let Hash::Table(table) = self {
            let new = table.find(table.hash(field), field).is_none();
            if new {
                add_new(table, field, value, deadline);
            }
            return new;
        }
        let new = self.set(field, value, false, limits);
        if new && deadline.is_some() {
            self.set_deadline(field, deadline);
        }
        new
    }

    /// Removes a field; false if it was not there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self {
            Hash::Table(table) => {
                let hash = table.hash(field);
                let found = table.find(hash, field);
                found.map(|at| table.remove(at, hash)).is_some()
            }
            Hash::Listpack(listpack) => listpack_form::remove(listpack, field, 2),
            Hash::ListpackEx(listpack) => listpack_form::remove(listpack, field, 3),
        }
    }
}

/// Deadlines.
impl Hash {
    /// Makes room for deadlines, as the first one does.
    pub fn allow_deadlines(&mut self) {
        if let Hash::Listpack(listpack) = self {
            *self = Hash::ListpackEx(listpack_form::with_deadlines(listpack));
        }
    }

    /// Gives a field a deadline in Unix milliseconds, or takes it away; false if there is no such
    /// field.
    pub fn set_deadline(&mut self, field: &[u8], deadline: Option<u64>) -> bool {
        if deadline.is_some() {
            self.allow_deadlines();
        }
        match self {
            Hash::Listpack(listpack) => listpack.find(field, listpack.first(), 2).is_some(),
            Hash::ListpackEx(listpack) => listpack_form::set_deadline(listpack, field, deadline),
            Hash::Table(table) => {
                let hash = table.hash(field);
                let found = table.find(hash, field);
                found.map(|at| table.set_deadline(at, hash, deadline)).is_some()
            }
        }
    }

    /// A lower bound of the fields' deadlines; `None` if no field has a deadline.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        match self {
            Hash::Listpack(_) => None,
            Hash::ListpackEx(listpack) => listpack_form::deadline_at(listpack, listpack.seek(2)?),
            Hash::Table(table) if table.expires() == 0 => None,
            Hash::Table(table) => table.next_deadline(),
        }
    }

    /// Whether some field has a deadline.
    pub fn has_deadlines(&self) -> bool {
        self.next_deadline().is_some()
    }

    /// Removes about `max` fields past their deadline and visits each; returns how many. Fewer than
    /// `max` means that none is left.
    pub fn expire_some(&mut self, now: u64, max: usize, mut visit: impl FnMut(&[u8])) -> usize {
        match self {
            Hash::Listpack(_) => 0,
            Hash::ListpackEx(listpack) => listpack_form::expire_some(listpack, now, max, visit),
            Hash::Table(table) => {
                let mut due = DueKeys::default();
                table.collect_due(now, max, None, &mut due);
                for field in due.iter() {
                    let hash = table.hash(field);
                    if let Some(at) = table.find(hash, field) {
                        table.remove(at, hash);
                    }
                    visit(field);
                }
                due.len()
            }
        }
    }
}
