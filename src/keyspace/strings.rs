//! Strings in the keyspace: bytes or an integer lying in the entry itself.
//!
//! A string that is the canonical form of a signed 64-bit integer is kept as one (encoding `int`);
//! `APPEND`, `SETRANGE` and `SETBIT` turn it into bytes that stay bytes (`raw`), as in Redis.

use std::sync::Arc;

use super::event::{Event, class};
use super::{DbView, event};
use crate::base::number;
use crate::resp::{CommandError, StringArg};
use crate::structures::table::{EntryRef, EntryValue, NewValue};

/// A string value, as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    Int(i64),
    Bytes(&'a [u8]),
}

impl<'a> Text<'a> {
    /// Its bytes; `digits` holds those of an integer.
    #[inline]
    pub fn bytes<'b>(self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Text::Int(n) => digits.format(n).as_bytes(),
            Text::Bytes(bytes) => bytes,
        }
    }

    pub fn to_vec(self) -> Vec<u8> {
        self.bytes(&mut itoa::Buffer::new()).to_vec()
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        match self {
            Text::Int(n) => itoa::Buffer::new().format(n).len(),
            Text::Bytes(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Its number, if it reads as one.
    pub fn integer(self) -> Option<i64> {
        match self {
            Text::Int(n) => Some(n),
            Text::Bytes(bytes) => number::parse_i64(bytes),
        }
    }
}

/// What a write does with a key's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// None afterwards.
    Clear,
    /// As it was.
    Keep,
    /// This one, Unix ms.
    At(u64),
}

/// How a string given by a client is stored.
#[inline]
fn encode(string: StringArg<'_>) -> NewValue<'_, crate::value::Value> {
    let bytes = match string {
        StringArg::Bytes(bytes) => bytes,
        StringArg::Counted(bytes) => return NewValue::Shared(bytes.clone()),
    };
    if bytes.len() <= 20
        && bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
        && let Some(n) = number::parse_i64(bytes)
    {
        return NewValue::Int(n);
    }
    NewValue::Bytes(bytes)
}

/// Bytes of a key and its string together up to which the encoding of the string is `embstr`: in Redis both lie in one cache line.
const EMBEDDED_WITH_KEY: usize = 41;

impl DbView<'_> {
    /// Whether the encoding of an entry's string is `raw`: it is long, or was changed in part since it was set as a whole.
    pub fn is_raw(&self, at: EntryRef) -> bool {
        let EntryValue::Bytes(bytes) = self.db.table.value(at) else { return false };
        self.db.table.is_edited(at) || self.db.table.key(at).len() + bytes.len() > EMBEDDED_WITH_KEY
    }

    /// Reads a string.
    #[inline]
    pub fn string(&mut self, key: &[u8]) -> Result<Option<Text<'_>>, CommandError> {
        match self.lookup_read(key) {
            None => Ok(None),
            Some(at) => self.text(at).map(Some),
        }
    }

    /// Reads a string that is about to be changed: no hit or miss is counted.
    pub fn string_to_write(&mut self, key: &[u8]) -> Result<Option<(EntryRef, Text<'_>)>, CommandError> {
        match self.lookup_write(key) {
            None => Ok(None),
            Some(at) => Ok(Some((at, self.text(at)?))),
        }
    }

    /// The string of an entry that was found.
    #[inline]
    pub fn text(&self, at: EntryRef) -> Result<Text<'_>, CommandError> {
        match self.db.table.value(at) {
            EntryValue::Int(n) => Ok(Text::Int(n)),
            EntryValue::Bytes(bytes) => Ok(Text::Bytes(bytes)),
            EntryValue::Object(_) | EntryValue::Embedded(..) => Err(CommandError::WRONG_TYPE),
        }
    }

    /// A reference to a long string, for a reply to hold; `None` if it is shorter than [`SHARED_MIN`](crate::structures::table::SHARED_MIN).
    pub fn hold_string(&self, at: EntryRef) -> Option<Arc<Vec<u8>>> {
        self.db.table.hold(at)
    }

    /// Sets a string, whatever was there.
    #[inline]
    pub fn set_string<'a>(&mut self, key: &[u8], string: impl Into<StringArg<'a>>, ttl: Ttl, event: Event) {
        let at = self.lookup_silent(key);
        self.set_found(key, at, string, ttl, event);
    }

    /// As [`Self::set_string`], when the key has been looked up: `at` is where it is, if it is there.
    #[inline]
    pub fn set_found<'a>(
        &mut self,
        key: &[u8],
        at: Option<EntryRef>,
        string: impl Into<StringArg<'a>>,
        ttl: Ttl,
        event: Event,
    ) {
        self.note_overwritten(key, at);
        self.replace_string(key, at, string.into(), ttl);
        self.journal.changed(self.db.index, key, 1, event);
    }

    /// As [`Self::set_string`] for MSETEX: a deadline's event comes before that of the string.
    pub fn set_string_and_deadline<'a>(&mut self, key: &[u8], string: impl Into<StringArg<'a>>, ttl: Ttl) {
        let at = self.lookup_silent(key);
        self.note_overwritten(key, at);
        self.replace_string(key, at, string.into(), ttl);
        if let Ttl::At(_) = ttl {
            self.journal.record_event(self.db.index, key, event::EXPIRE);
        }
        self.journal.changed(self.db.index, key, 1, event::SET);
    }

    /// Puts another string where one was changed in part, or where there was none; the deadline stays.
    pub fn update_string(&mut self, key: &[u8], string: &[u8], event: Event) {
        let at = self.lookup_silent(key);
        self.replace_string(key, at, string.into(), Ttl::Keep);
        self.journal.changed(self.db.index, key, 1, event);
    }

    #[inline(always)]
    fn replace_string(&mut self, key: &[u8], at: Option<EntryRef>, string: StringArg<'_>, ttl: Ttl) {
        let hash = self.hash(key);
        let deadline = self.resolve(at, ttl);
        self.write(key, hash, at, encode(string), deadline);
        if let Ttl::At(_) = ttl {
            self.note_deadline(key, deadline);
        }
    }

    /// Records that a string is about to take the place of what the key has.
    #[inline(always)]
    fn note_overwritten(&mut self, key: &[u8], at: Option<EntryRef>) {
        if let Some(at) = at
            && self.journal.publishes(class::REPLACED)
        {
            self.record_overwritten(key, self.type_of(at), "string");
        }
    }

    /// Adds to the integer at `key`, which counts as 0 if it isn't there; event `incrby`.
    #[inline]
    pub fn increment(&mut self, key: &[u8], by: i64) -> Result<i64, CommandError> {
        let at = self.lookup_write(key);
        let old = match at {
            None => 0,
            Some(at) => self.text(at)?.integer().ok_or(CommandError::NOT_INTEGER)?,
        };
        let new = old.checked_add(by).ok_or(CommandError::OVERFLOW)?;
        if !at.is_some_and(|at| self.db.table.set_int(at, new)) {
            let deadline = self.resolve(at, Ttl::Keep);
            self.write(key, self.hash(key), at, NewValue::Int(new), deadline);
        }
        self.journal.changed(self.db.index, key, 1, event::INCRBY);
        Ok(new)
    }

    #[inline]
    fn resolve(&self, at: Option<EntryRef>, ttl: Ttl) -> Option<u64> {
        match ttl {
            Ttl::Clear => None,
            Ttl::At(deadline) => Some(deadline),
            Ttl::Keep => at.and_then(|at| self.db.table.deadline(at)),
        }
    }

    #[inline]
    fn write(
        &mut self,
        key: &[u8],
        hash: u64,
        at: Option<EntryRef>,
        value: NewValue<'_, crate::value::Value>,
        deadline: Option<u64>,
    ) {
        let found = at.is_some();
        let at = self.write_entry_inline(key, hash, at, value, deadline);
        if found {
            self.touch_written(at);
        } else {
            self.journal.record_event(self.db.index, key, event::NEW);
        }
    }

    #[inline]
    fn touch_written(&mut self, at: EntryRef) {
        let word = self.db.table.access(at);
        let touched = self.env.clock.written(word, self.rng);
        if touched != word {
            self.db.table.set_access(at, touched);
        }
    }

    /// Makes the string at `key` at least `len` bytes long, zero-filled, and hands out all its
    /// bytes to be changed in place; the key is created if it isn't there. The caller journals with
    /// [`Self::string_changed`]. Fails when the key holds another type or the string gets too long.
    pub fn string_bytes(&mut self, key: &[u8], len: usize) -> Result<&mut [u8], CommandError> {
        if len as u64 > self.env.max_string {
            return Err(CommandError::TOO_LONG);
        }
        let hash = self.hash(key);
        let at = match self.lookup_write(key) {
            None => {
                self.journal.record_event(self.db.index, key, event::NEW);
                self.write_entry(key, hash, None, NewValue::Owned(vec![0; len]), None)
            }
            Some(at) => self.decode(key, at, hash)?,
        };
        let have = match self.db.table.value(at) {
            EntryValue::Bytes(bytes) => bytes.len(),
            EntryValue::Int(_) | EntryValue::Object(_) | EntryValue::Embedded(..) => 0,
        };
        let at = if have < len { self.db.table.resize_bytes(at, hash, len) } else { at };
        Ok(self.db.table.bytes_mut(at).unwrap_or_default())
    }

    /// Turns an integer into its digits; fails for collections.
    fn decode(&mut self, key: &[u8], at: EntryRef, hash: u64) -> Result<EntryRef, CommandError> {
        match self.db.table.value(at) {
            EntryValue::Bytes(_) => Ok(at),
            EntryValue::Object(_) | EntryValue::Embedded(..) => Err(CommandError::WRONG_TYPE),
            EntryValue::Int(n) => {
                let digits = itoa::Buffer::new().format(n).as_bytes().to_vec();
                let deadline = self.db.table.deadline(at);
                Ok(self.write_entry(key, hash, Some(at), NewValue::Owned(digits), deadline))
            }
        }
    }

    /// Journals a change made through [`Self::string_bytes`].
    pub fn string_changed(&mut self, key: &[u8], event: Event) {
        self.journal.changed(self.db.index, key, 1, event);
    }
}
