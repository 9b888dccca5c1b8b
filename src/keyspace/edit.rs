//! A collection being changed.
//!
//! `finish` names the event and counts the changes; an emptied collection goes, and its `del`
//! follows. An edit that is dropped without it (an error on the way) undoes an empty creation;
//! in debug builds, having taken `get()` and then dropping it is a panic, because an
//! unannounced change would reach neither watchers nor replicas.

use std::marker::PhantomData;

use super::event::{self, Event};
use super::{DbView, Typed};
use crate::structures::table::At;

/// A live value of type `T` at a key.
pub struct Edit<'v, 'a, T: Typed> {
    view: &'v mut DbView<'a>,
    key: &'v [u8],
    at: At,
    hash: u64,
    created: bool,
    taken: bool,
    finished: bool,
    kind: PhantomData<T>,
}

impl<'v, 'a, T: Typed> Edit<'v, 'a, T> {
    pub(super) fn new(view: &'v mut DbView<'a>, key: &'v [u8], at: At, hash: u64, created: bool) -> Self {
        Edit { view, key, at, hash, created, taken: false, finished: false, kind: PhantomData }
    }

    /// Whether the key wasn't there before.
    pub fn is_new(&self) -> bool {
        self.created
    }

    /// The value, to read only: no `finish` needed for that.
    pub fn peek(&self) -> &T {
        self.view.typed(self.at).expect("the type was checked when the edit began")
    }

    /// The value, to change.
    pub fn get(&mut self) -> &mut T {
        self.taken = true;
        let value = self.view.db.table.object_mut(self.at);
        value.and_then(T::of_mut).expect("the type was checked when the edit began")
    }

    /// The value, to change, with the generator and the thresholds that many changes need.
    pub fn parts(&mut self) -> (&mut T, &mut crate::base::rng::Rng, &crate::value::Limits) {
        self.taken = true;
        let value = self.view.db.table.object_mut(self.at);
        let value = value.and_then(T::of_mut).expect("the type was checked when the edit began");
        (value, self.view.rng, self.view.env.limits)
    }

    /// Ends the edit: `changes` counted, `event` named if there were any. Returns whether the key
    /// is gone because nothing is left.
    pub fn finish(self, changes: usize, event: Event) -> bool {
        let events: &[Event] = if changes > 0 { &[event] } else { &[] };
        self.finish_with(changes, events)
    }

    /// As [`Self::finish`], with any number of events in order.
    pub fn finish_with(mut self, changes: usize, events: &[Event]) -> bool {
        self.finished = true;
        let emptied = self.peek().is_empty();
        let db = self.view.db.index;
        if self.created && !emptied {
            self.view.journal.happened(db, self.key, event::NEW);
        }
        if let Some((first, rest)) = events.split_first() {
            self.view.journal.changed(db, self.key, changes as u64, *first);
            for event in rest {
                self.view.journal.happened(db, self.key, *event);
            }
        }
        if emptied {
            self.view.take(self.at, self.hash);
            if !self.created {
                // The change itself has been counted; the removal is its consequence.
                self.view.journal.changed(db, self.key, 0, event::DEL);
            }
        }
        emptied
    }
}

impl<T: Typed> Drop for Edit<'_, '_, T> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if self.peek().is_empty() {
            self.view.take(self.at, self.hash);
        } else {
            debug_assert!(!self.taken || std::thread::panicking(), "an edit was dropped without finish()");
        }
    }
}
