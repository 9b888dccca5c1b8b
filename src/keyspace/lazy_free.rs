//! Memory that is no longer reachable and still has to be given back, a slice at a time.
//!
//! Freeing a sorted set of five million members takes long; no command and no client waits for
//! it. Whoever detaches something big puts it here, and the loop frees slices while it has time.

use std::collections::VecDeque;

use crate::structures::table::{RemovedValue, Table};
use crate::value::Value;

/// Parts up to which a value is freed on the spot.
const SMALL: usize = 64;

/// Something detached.
pub enum Garbage {
    Value(Box<Value>),
    /// A table and how many keys it had.
    Table(Box<Table<Value, true>>, usize),
}

/// The queue of what is to be freed.
#[derive(Default)]
pub struct LazyFree {
    queue: VecDeque<Garbage>,
    /// Objects freed since start-up (INFO `lazyfreed_objects`).
    pub freed: u64,
}

impl LazyFree {
    /// Takes a value; small ones are freed at once.
    pub fn value(&mut self, value: Box<Value>) {
        if value.parts() > SMALL {
            self.queue.push_back(Garbage::Value(value));
        }
    }

    /// Takes a whole table of keys.
    pub fn table(&mut self, table: Table<Value, true>) {
        if !table.is_empty() {
            let keys = table.len();
            self.queue.push_back(Garbage::Table(Box::new(table), keys));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Objects that wait (INFO `lazyfree_pending_objects`).
    pub fn pending(&self) -> usize {
        self.queue.iter().map(|garbage| if let Garbage::Table(_, keys) = garbage { *keys } else { 1 }).sum()
    }

    /// Frees a slice of some tens of microseconds; true while more remains.
    pub fn slice(&mut self) -> bool {
        let Some(mut garbage) = self.queue.pop_front() else { return false };
        let more = match &mut garbage {
            Garbage::Value(value) => !value.free_some(1),
            Garbage::Table(table, _) => {
                let queue = &mut self.queue;
                !table.drain_some(1, |taken| {
                    if let RemovedValue::Object(value) = taken
                        && value.element_count() > SMALL
                    {
                        queue.push_back(Garbage::Value(value));
                    }
                })
            }
        };
        if more {
            self.queue.push_front(garbage);
        } else {
            self.freed += if let Garbage::Table(_, keys) = garbage { keys as u64 } else { 1 };
        }
        !self.queue.is_empty()
    }
}
