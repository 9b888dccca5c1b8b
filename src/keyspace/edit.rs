//! Edit: a collection being changed, from its lookup to the event that announces the change.
//!
//! `finish` names the event and counts the changes; an emptied collection goes, and its `del`
//! follows. An edit that is dropped without it (an error on the way) leaves no trace of a key it
//! would have created; in debug builds, having taken `get()` and then dropping it is a panic, because an
//! unannounced change would reach neither watchers nor replicas.
//!
//! A small collection lies as bytes in its entry. The most frequent changes are made there; for all others the edit
//! holds it as a value meanwhile, and `finish` puts it back, into the entry or, grown, into an
//! allocation of its own.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::event::{self, Event};
use super::{AccessMeaning, DbView, Typed};
use crate::resp::CommandError;
use crate::structures::table::{EMBEDDED_MAX, EntryRef, EntryValue, NewValue};
use crate::value::embedded::{self, Edited};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::Stream;
use crate::value::zset::Zset;
use crate::value::{Limits, Value};

/// A live value of type `T` at a key.
pub struct Edit<'v, 'a, T: Typed> {
    view: &'v mut DbView<'a>,
    key: &'v [u8],
    hash: u64,
    place: Place,
    is_new: bool,
    /// The value here has been given out to be changed.
    taken: bool,
    /// It was changed in its entry.
    touched: bool,
    finished: bool,
    /// What the value took when it was given out, if that is counted.
    memory_before: usize,
    /// The earliest deadline within the value when the edit began.
    deadline_within: Option<u64>,
    kind: PhantomData<T>,
}

/// Where the value is during the edit.
enum Place {
    /// In its entry's allocation.
    Boxed(EntryRef),
    /// Embedded in its entry, and here once it has been read.
    Embedded(EntryRef, OnceCell<Value>),
    /// Nowhere yet, and here once it has been read.
    New(OnceCell<Value>),
}

impl<'a> DbView<'a> {
    /// Changes a collection, if the key is there.
    #[inline]
    pub fn edit<'v, T: Typed>(&'v mut self, key: &'v [u8]) -> Result<Option<Edit<'v, 'a, T>>, CommandError> {
        let hash = self.hash(key);
        match self.lookup_write(key) {
            None => Ok(None),
            Some(at) => Edit::of_entry(self, key, at, hash, false).map(Some),
        }
    }

    /// Changes a collection, which is made if the key isn't there (but not if it is still empty in
    /// the end).
    #[inline]
    pub fn edit_or_create<'v, T: Typed>(
        &'v mut self,
        key: &'v [u8],
    ) -> Result<Edit<'v, 'a, T>, CommandError> {
        let hash = self.hash(key);
        match self.lookup_write(key) {
            None => Ok(Edit::of_nothing(self, key, hash)),
            Some(at) => Edit::of_entry(self, key, at, hash, true),
        }
    }
}

const CHECKED: &str = "the type was checked when the edit began";
const TAKEN: &str = "a value that was given out is here";

impl<'v, 'a, T: Typed> Edit<'v, 'a, T> {
    /// Of an entry, if its value is of the type and, where elements may be added, has room for more.
    #[inline(always)]
    fn of_entry(
        view: &'v mut DbView<'a>,
        key: &'v [u8],
        at: EntryRef,
        hash: u64,
        grows: bool,
    ) -> Result<Self, CommandError> {
        match view.db.table.value(at) {
            EntryValue::Object(value) if T::of(value).is_some() => {
                if grows && value.is_full() {
                    return Err(CommandError::VALUE_FULL);
                }
                let deadline_within = value.next_deadline_within();
                let mut edit = Self::new(view, key, hash, Place::Boxed(at), false);
                edit.deadline_within = deadline_within;
                Ok(edit)
            }
            EntryValue::Embedded(tag, _) if embedded::type_name(tag) == T::NAME => {
                Ok(Self::new(view, key, hash, Place::Embedded(at, OnceCell::new()), false))
            }
            _ => Err(CommandError::WRONG_TYPE),
        }
    }

    /// Of a key that isn't there.
    fn of_nothing(view: &'v mut DbView<'a>, key: &'v [u8], hash: u64) -> Self {
        Self::new(view, key, hash, Place::New(OnceCell::new()), true)
    }

    /// Of a value that has no deadlines within.
    #[inline(always)]
    fn new(view: &'v mut DbView<'a>, key: &'v [u8], hash: u64, place: Place, is_new: bool) -> Self {
        let (taken, touched, finished) = (false, false, false);
        let (memory_before, deadline_within, kind) = (0, None, PhantomData);
        Edit {
            view,
            key,
            hash,
            place,
            is_new,
            taken,
            touched,
            finished,
            memory_before,
            deadline_within,
            kind,
        }
    }

    /// Whether the key wasn't there before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The value, to read only: no `finish` needed for that.
    #[inline]
    pub fn peek(&self) -> &T {
        T::of(self.value()).expect(CHECKED)
    }

    #[inline]
    fn value(&self) -> &Value {
        match &self.place {
            Place::Embedded(at, value) => value.get_or_init(|| self.decoded(*at)),
            Place::New(value) => value.get_or_init(|| T::new().wrap()),
            Place::Boxed(at) => match self.view.db.table.value(*at) {
                EntryValue::Object(value) => value,
                EntryValue::Int(_) | EntryValue::Bytes(_) | EntryValue::Embedded(..) => {
                    unreachable!("{CHECKED}")
                }
            },
        }
    }

    fn decoded(&self, at: EntryRef) -> Value {
        match self.view.db.table.value(at) {
            EntryValue::Embedded(tag, bytes) => embedded::decode(tag, bytes),
            EntryValue::Int(_) | EntryValue::Bytes(_) | EntryValue::Object(_) => unreachable!("{CHECKED}"),
        }
    }

    /// The value, to change.
    #[inline]
    pub fn get(&mut self) -> &mut T {
        self.parts().0
    }

    /// The value, to change, with the generator and the thresholds that many changes need.
    #[inline]
    pub fn parts(&mut self) -> (&mut T, &mut crate::base::rng::Rng, &crate::value::Limits) {
        if !self.taken {
            self.taken = true;
            let value = self.value();
            if let Place::Boxed(_) = self.place {
                self.memory_before = self.view.db.collection_memory.before(self.hash, value);
            }
        }
        let value = match &mut self.place {
            Place::Embedded(_, value) | Place::New(value) => value.get_mut(),
            Place::Boxed(at) => self.view.db.table.object_mut(*at),
        };
        let value = value.expect(CHECKED);
        (T::of_mut(value).expect(CHECKED), self.view.rng, self.view.env.limits)
    }

    /// Ends the edit: counts `changes`, and records `event` if there were any. Returns whether the key
    /// was removed because its value is empty.
    #[inline]
    pub fn finish(self, changes: usize, event: Event) -> bool {
        let events: &[Event] = if changes > 0 { &[event] } else { &[] };
        self.finish_with_events(changes, events)
    }

    /// [`Self::finish`] with any number of events, in order.
    pub fn finish_with_events(mut self, changes: usize, events: &[Event]) -> bool {
        let emptied = self.is_void();
        self.register();
        self.count_memory();
        let db = self.view.db.index;
        if self.is_new() && !emptied {
            self.view.journal.record_event(db, self.key, event::NEW);
        }
        if let Some((first, rest)) = events.split_first() {
            self.view.journal.changed(db, self.key, changes as u64, *first);
            for event in rest {
                self.view.journal.record_event(db, self.key, *event);
            }
        }
        self.finished = true;
        if !emptied {
            self.put_back();
        } else if let Place::Boxed(at) | Place::Embedded(at, _) = self.place {
            self.view.remove_entry(at, self.hash, self.key);
            // The change itself has been counted; the removal is its consequence.
            self.view.journal.changed(db, self.key, 0, T::REMOVAL);
        }
        emptied
    }

    /// As [`Self::finish_with_events`], for changes beside the value proper (a stream's groups) at a key that was
    /// there: counted, propagated and published, but neither do WATCHes fail nor are waiting clients woken.
    pub fn finish_metadata(mut self, changes: usize, events: &[Event]) {
        debug_assert!(!self.is_new() && !self.is_void());
        self.finished = true;
        self.register();
        self.count_memory();
        let db = self.view.db.index;
        self.view.journal.dirty += changes as u64;
        if changes > 0
            && self.view.env.clock.meaning == AccessMeaning::LastChange
            && let Place::Boxed(at) | Place::Embedded(at, _) = self.place
        {
            self.view.db.table.set_access(at, self.view.env.clock.fresh());
        }
        for event in events {
            self.view.journal.record_event(db, self.key, *event);
        }
        self.put_back();
    }

    /// Whether there is nothing worth a key.
    fn is_void(&self) -> bool {
        let is_empty = match &self.place {
            Place::Embedded(_, value) => {
                value.get().is_some_and(|value| T::of(value).expect(CHECKED).is_empty())
            }
            Place::New(value) => value.get().is_none_or(|value| T::of(value).expect(CHECKED).is_empty()),
            Place::Boxed(_) => self.peek().is_empty(),
        };
        is_empty && (self.is_new || !T::STAYS_EMPTY)
    }

    /// Keeps the registers of deadlines within values right.
    #[inline]
    fn register(&mut self) {
        if !T::HAS_DEADLINES_WITHIN {
            return;
        }
        let (deadline, has_idempotency) = match &self.place {
            // A value that has not been decoded has no deadlines within.
            Place::Embedded(_, value) | Place::New(value) => {
                (value.get().and_then(Value::next_deadline_within), false)
            }
            Place::Boxed(_) => match self.value() {
                Value::Stream(stream) => (stream.requests_due_ms(), stream.has_idempotency()),
                value => (value.next_deadline_within(), false),
            },
        };
        if deadline != self.deadline_within {
            let is_stream = T::NAME == Stream::NAME;
            self.view.db.set_deadline_within(self.hash, self.key, is_stream, deadline);
        }
        if has_idempotency {
            self.view.db.had_idempotency = true;
        }
    }

    /// Counts what the value takes more or less than before.
    #[inline]
    fn count_memory(&mut self) {
        let Place::Boxed(at) = self.place else { return };
        let db = &mut *self.view.db;
        if self.taken
            && db.collection_memory.counts(self.hash)
            && let EntryValue::Object(value) = db.table.value(at)
        {
            db.collection_memory.changed(self.hash, value, self.memory_before);
        }
    }

    /// Puts a value that is held here into its entry.
    #[inline]
    fn put_back(&mut self) {
        if !self.taken || matches!(self.place, Place::Boxed(_)) {
            return;
        }
        let table = &self.view.db.table;
        let (found, value, room, deadline) =
            match std::mem::replace(&mut self.place, Place::New(OnceCell::new())) {
                Place::Boxed(_) => return,
                Place::Embedded(at, value) => {
                    let room =
                        if let EntryValue::Embedded(_, bytes) = table.value(at) { bytes.len() } else { 0 };
                    (Some(at), value, room, table.deadline(at))
                }
                Place::New(value) => (None, value, 0, None),
            };
        let value = value.into_inner().expect(TAKEN);
        let mut buffer = [0; EMBEDDED_MAX];
        let new = match embedded::embed(&value, room, &mut buffer) {
            Some((tag, bytes)) => NewValue::Embedded(tag, bytes),
            None => NewValue::Object(Box::new(value)),
        };
        self.view.write_entry(self.key, self.hash, found, new, deadline);
    }

    /// Lets `change` work where the value lies, or `make` make it, if it isn't here as a value. Answers whether the
    /// element is new. `None`: that could not be done, and it is to be changed as a value.
    #[inline]
    fn in_entry(
        &mut self,
        tag: u8,
        make: impl FnOnce(&Limits, &mut Buffer) -> Option<usize>,
        change: impl FnOnce(&mut [u8], &Limits, &mut Buffer) -> Option<Edited>,
    ) -> Option<bool> {
        let (table, limits) = (&mut self.view.db.table, self.view.env.limits);
        let mut buffer = [0; EMBEDDED_MAX];
        let is_new = match &mut self.place {
            Place::Embedded(at, value) if value.get().is_none() => {
                let (its_tag, bytes) = table.embedded_mut(*at)?;
                if its_tag != tag {
                    return None;
                }
                let edited = change(bytes, limits, &mut buffer)?;
                if let Some(size) = edited.moved {
                    let (new, deadline) = (NewValue::Embedded(tag, &buffer[..size]), table.deadline(*at));
                    *at = self.view.write_entry(self.key, self.hash, Some(*at), new, deadline);
                }
                edited.is_new
            }
            Place::New(value) if value.get().is_none() => {
                let size = make(limits, &mut buffer)?;
                let new = NewValue::Embedded(tag, &buffer[..size]);
                let at = self.view.write_entry(self.key, self.hash, None, new, None);
                self.place = Place::Embedded(at, OnceCell::new());
                true
            }
            _ => return None,
        };
        self.touched = true;
        Some(is_new)
    }
}

type Buffer = [u8; EMBEDDED_MAX];

impl<T: Typed> Edit<'_, '_, T> {
    /// Removes all elements at once; they are freed when there is time.
    fn clear(&mut self) {
        let all = std::mem::replace(self.get(), T::new());
        self.view.lazy_free.value(Box::new(all.wrap()));
    }
}

impl Edit<'_, '_, List> {
    /// Keeps the `count` items from `start` on.
    pub fn trim(&mut self, start: usize, count: usize) {
        if count == 0 {
            return self.clear();
        }
        let (list, _, limits) = self.parts();
        list.trim(start, count, limits);
    }
}

impl Edit<'_, '_, Zset> {
    /// Removes the elements of these ranks, of which those beyond the end are none; returns how many were removed.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) -> usize {
        let len = self.peek().len();
        if ranks.start == 0 && ranks.end >= len {
            self.clear();
            return len;
        }
        self.get().remove_ranks(ranks)
    }
}

impl Edit<'_, '_, Set> {
    /// Adds a member; false if it was one. `get().insert(…)` for one or few at a time.
    #[inline]
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let make = |limits: &Limits, buffer: &mut Buffer| embedded::new_set(member, limits, buffer);
        let change = |bytes: &mut [u8], limits: &Limits, buffer: &mut Buffer| {
            embedded::add_member(bytes, member, limits, buffer)
        };
        self.in_entry(embedded::SET, make, change).unwrap_or_else(|| {
            let is_first = self.is_new && !self.taken && !self.touched;
            let (set, _, limits) = self.parts();
            if is_first {
                *set = Set::for_members(member, 1, limits);
            }
            set.insert(member, limits)
        })
    }
}

impl Edit<'_, '_, Hash> {
    /// Sets a field, which loses its deadline; true if it is new. `get().set(…)` for one or few at a time.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let make = |limits: &Limits, buffer: &mut Buffer| embedded::new_hash(field, value, limits, buffer);
        let change = |bytes: &mut [u8], limits: &Limits, buffer: &mut Buffer| {
            embedded::set_field(bytes, field, value, limits, buffer)
        };
        self.in_entry(embedded::HASH, make, change).unwrap_or_else(|| {
            let (hash, _, limits) = self.parts();
            hash.set(field, value, false, limits)
        })
    }
}

impl<T: Typed> Drop for Edit<'_, '_, T> {
    fn drop(&mut self) {
        if self.finished || matches!(self.place, Place::New(_)) {
            return;
        }
        debug_assert!(
            !(self.taken || self.touched) || std::thread::panicking(),
            "an edit was dropped without finish()"
        );
    }
}
