//! A collection being changed.
//!
//! `finish` names the event and counts the changes; an emptied collection goes, and its `del`
//! follows. An edit that is dropped without it (an error on the way) leaves no trace of a key it
//! would have created; in debug builds, having taken `get()` and then dropping it is a panic, because an
//! unannounced change would reach neither watchers nor replicas.
//!
//! A small collection lies as bytes in its entry: the edit holds it as a value meanwhile, and `finish`
//! puts it back, into the entry or, grown, into an allocation of its own.

use std::marker::PhantomData;

use super::event::{self, Event};
use super::{DbView, Typed};
use crate::structures::table::{At, New, PACKED_MAX, Value as Slot};
use crate::value::{Value, packed};

/// A live value of type `T` at a key.
pub struct Edit<'v, 'a, T: Typed> {
    view: &'v mut DbView<'a>,
    key: &'v [u8],
    hash: u64,
    place: Place,
    taken: bool,
    finished: bool,
    /// The value's earliest field deadline when the edit began.
    field_deadline: Option<u64>,
    kind: PhantomData<T>,
}

/// Where the value is during the edit.
enum Place {
    /// In its entry's allocation.
    Boxed(At),
    /// Here; its entry has the bytes it had before.
    Unpacked(At, Value),
    /// Here; there is no entry yet.
    New(Value),
}

const CHECKED: &str = "the type was checked when the edit began";

impl<'v, 'a, T: Typed> Edit<'v, 'a, T> {
    /// Of an entry whose type has been checked.
    pub(super) fn of_entry(view: &'v mut DbView<'a>, key: &'v [u8], at: At, hash: u64) -> Self {
        let place = match view.db.table.value(at) {
            Slot::Packed(tag, bytes) => Place::Unpacked(at, packed::unpack(tag, bytes)),
            Slot::Object(_) | Slot::Int(_) | Slot::Bytes(_) => Place::Boxed(at),
        };
        Self::new(view, key, hash, place)
    }

    /// Of a key that isn't there.
    pub(super) fn of_nothing(view: &'v mut DbView<'a>, key: &'v [u8], hash: u64) -> Self {
        Self::new(view, key, hash, Place::New(T::new().wrap()))
    }

    fn new(view: &'v mut DbView<'a>, key: &'v [u8], hash: u64, place: Place) -> Self {
        let (taken, finished) = (false, false);
        let mut edit =
            Edit { view, key, hash, place, taken, finished, field_deadline: None, kind: PhantomData };
        edit.field_deadline = edit.value().next_field_deadline();
        edit
    }

    /// Whether the key wasn't there before.
    pub fn is_new(&self) -> bool {
        matches!(self.place, Place::New(_))
    }

    /// The value, to read only: no `finish` needed for that.
    #[inline]
    pub fn peek(&self) -> &T {
        T::of(self.value()).expect(CHECKED)
    }

    #[inline]
    fn value(&self) -> &Value {
        match &self.place {
            Place::Unpacked(_, value) | Place::New(value) => value,
            Place::Boxed(at) => match self.view.db.table.value(*at) {
                Slot::Object(value) => value,
                Slot::Int(_) | Slot::Bytes(_) | Slot::Packed(..) => unreachable!("{CHECKED}"),
            },
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
        self.taken = true;
        let value = match &mut self.place {
            Place::Unpacked(_, value) | Place::New(value) => value,
            Place::Boxed(at) => self.view.db.table.object_mut(*at).expect(CHECKED),
        };
        (T::of_mut(value).expect(CHECKED), self.view.rng, self.view.env.limits)
    }

    /// Ends the edit: `changes` counted, `event` named if there were any. Returns whether the key
    /// is gone because nothing is left.
    #[inline]
    pub fn finish(self, changes: usize, event: Event) -> bool {
        let events: &[Event] = if changes > 0 { &[event] } else { &[] };
        self.finish_with(changes, events)
    }

    /// As [`Self::finish`], with any number of events in order.
    pub fn finish_with(mut self, changes: usize, events: &[Event]) -> bool {
        let emptied = self.is_void();
        self.register();
        let db = self.view.db.index;
        if self.is_new() && !emptied {
            self.view.journal.happened(db, self.key, event::NEW);
        }
        if let Some((first, rest)) = events.split_first() {
            self.view.journal.changed(db, self.key, changes as u64, *first);
            for event in rest {
                self.view.journal.happened(db, self.key, *event);
            }
        }
        self.finished = true;
        if !emptied {
            self.put_back();
        } else if let Place::Boxed(at) | Place::Unpacked(at, _) = self.place {
            self.view.take(at, self.hash, self.key);
            // The change itself has been counted; the removal is its consequence.
            self.view.journal.changed(db, self.key, 0, event::DEL);
        }
        emptied
    }

    /// As [`Self::finish_with`], for changes beside the value proper (a stream's groups) at a key that was
    /// there: counted, fed and told by their events, but of no concern to who watches or waits for it.
    pub fn finish_aside(mut self, changes: usize, events: &[Event]) {
        debug_assert!(!self.is_new() && !self.is_void());
        self.finished = true;
        let db = self.view.db.index;
        self.view.journal.dirty += changes as u64;
        for event in events {
            self.view.journal.happened(db, self.key, *event);
        }
        self.put_back();
    }

    /// Whether there is nothing worth a key.
    fn is_void(&self) -> bool {
        self.peek().is_empty() && (self.is_new() || !T::STAYS_EMPTY)
    }

    /// Keeps the register of field deadlines right.
    #[inline]
    fn register(&mut self) {
        let field_deadline = self.value().next_field_deadline();
        if field_deadline != self.field_deadline {
            self.view.db.field_deadlines.set(self.hash, self.key, field_deadline);
        }
    }

    /// Puts a value that is held here into its entry.
    #[inline]
    fn put_back(&mut self) {
        if !self.taken || matches!(self.place, Place::Boxed(_)) {
            return;
        }
        let table = &mut self.view.db.table;
        let mut buffer = [0; PACKED_MAX];
        match std::mem::replace(&mut self.place, Place::New(T::new().wrap())) {
            Place::Boxed(_) => {}
            Place::Unpacked(at, value) => {
                let deadline = table.deadline(at);
                let room = if let Slot::Packed(_, bytes) = table.value(at) { bytes.len() } else { 0 };
                match packed::pack(&value, room, &mut buffer) {
                    Some((tag, bytes)) => table.replace(at, self.hash, New::Packed(tag, bytes), deadline),
                    None => table.replace(at, self.hash, New::Object(Box::new(value)), deadline),
                };
            }
            Place::New(value) => {
                let access = self.view.env.clock.fresh();
                match packed::pack(&value, 0, &mut buffer) {
                    Some((tag, bytes)) => {
                        table.insert(self.hash, self.key, New::Packed(tag, bytes), None, access)
                    }
                    None => table.insert(self.hash, self.key, New::Object(Box::new(value)), None, access),
                };
            }
        }
    }
}

impl<T: Typed> Drop for Edit<'_, '_, T> {
    fn drop(&mut self) {
        if self.finished || self.is_new() {
            return;
        }
        debug_assert!(!self.taken || std::thread::panicking(), "an edit was dropped without finish()");
    }
}
