//! Memory that is no longer reachable and still has to be given back, a slice at a time.
//!
//! Freeing a sorted set of five million members takes long; no command and no client waits for
//! it. Whoever detaches something big puts it here, and the loop frees slices while it has time.

use std::collections::VecDeque;

use crate::structures::table::{Table, Taken};
use crate::value::Value;

/// Parts up to which a value is freed on the spot.
const SMALL: usize = 64;

/// Something detached.
pub enum Trash {
    Value(Box<Value>),
    /// A table and how many keys it had.
    Table(Box<Table<Value, true>>, usize),
}

/// The queue of what is to be freed.
#[derive(Default)]
pub struct Reclaimer {
    queue: VecDeque<Trash>,
    /// Objects freed since start-up (INFO `lazyfreed_objects`).
    pub freed: u64,
}

impl Reclaimer {
    /// Takes a value; small ones are freed at once.
    pub fn value(&mut self, value: Box<Value>) {
        if value.parts() > SMALL {
            self.queue.push_back(Trash::Value(value));
        }
    }

    /// Takes a whole table of keys.
    pub fn table(&mut self, table: Table<Value, true>) {
        if !table.is_empty() {
            let keys = table.len();
            self.queue.push_back(Trash::Table(Box::new(table), keys));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Objects that wait (INFO `lazyfree_pending_objects`).
    pub fn pending(&self) -> usize {
        self.queue.iter().map(|trash| if let Trash::Table(_, keys) = trash { *keys } else { 1 }).sum()
    }

    /// Frees a slice of some tens of microseconds; true while more remains.
    pub fn slice(&mut self) -> bool {
        let Some(mut trash) = self.queue.pop_front() else { return false };
        let more = match &mut trash {
            Trash::Value(value) => !value.free_some(1),
            Trash::Table(table, _) => {
                let queue = &mut self.queue;
                !table.drain_some(1, |taken| {
                    if let Taken::Object(value) = taken
                        && value.element_count() > SMALL
                    {
                        queue.push_back(Trash::Value(value));
                    }
                })
            }
        };
        if more {
            self.queue.push_front(trash);
        } else {
            self.freed += if let Trash::Table(_, keys) = trash { keys as u64 } else { 1 };
        }
        !self.queue.is_empty()
    }
}
