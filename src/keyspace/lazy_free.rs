//! Lazy free: the queue of removed values and tables, which are freed a slice at a time.
//!
//! Freeing a sorted set of five million members takes long, and no command shall wait for it. What is big and removed
//! is put here, and the loop frees slices while it has time. What a snapshot has not reached yet is handed over to it first; while
//! too much waits for the snapshot's writer, such values are put aside, and the others are freed.

use std::collections::VecDeque;

use super::hash_deadline_index::FieldDeadlines;
use crate::structures::table::{RemovedValue, Table};
use crate::value::Value;

/// Parts up to which a value is freed on the spot.
const SMALL: usize = 64;

/// What can be freed in parts, and is nothing of the keyspace.
pub trait FreeInParts {
    /// Frees up to `parts` parts; true once nothing is left.
    fn free_some(&mut self, parts: usize) -> bool;
}

impl<O, const CLOCK: bool> FreeInParts for Table<O, CLOCK> {
    fn free_some(&mut self, parts: usize) -> bool {
        Table::free_some(self, parts)
    }
}

/// Something detached.
enum Garbage {
    Value(Box<Value>),
    /// A table and how many keys it had.
    Table(Box<Table<Value, true>>, usize),
    /// A register of deadlines within the values of such a table.
    FieldDeadlines(Box<FieldDeadlines>),
    Other(Box<dyn FreeInParts>),
}

impl Garbage {
    /// How many objects of the keyspace it is.
    fn objects(&self) -> usize {
        match self {
            Garbage::Value(_) => 1,
            Garbage::Table(_, keys) => *keys,
            Garbage::FieldDeadlines(_) | Garbage::Other(_) => 0,
        }
    }

    /// Whether it has something to hand over to a snapshot.
    fn in_snapshot(&self) -> bool {
        match self {
            Garbage::Value(value) => value.in_snapshot(),
            Garbage::Table(table, _) => table.in_snapshot(),
            Garbage::FieldDeadlines(_) | Garbage::Other(_) => false,
        }
    }
}

/// The queue of what is to be freed.
#[derive(Default)]
pub struct LazyFree {
    queue: VecDeque<Garbage>,
    /// What has to be handed over to a snapshot whose writer is behind.
    aside: VecDeque<Garbage>,
    /// Objects in the queue and aside.
    pending: usize,
    /// Objects freed since start-up (INFO `lazyfreed_objects`).
    pub freed: u64,
}

impl LazyFree {
    /// Takes a value; small ones are freed at once.
    pub fn value(&mut self, value: Box<Value>) {
        if value.has_more_parts_than(SMALL) {
            self.pending += 1;
            self.queue.push_back(Garbage::Value(value));
        }
    }

    /// Takes a whole table of keys and what belongs to it.
    pub(super) fn table(&mut self, table: Table<Value, true>, registers: [FieldDeadlines; 2]) {
        if !table.is_empty() {
            let keys = table.len();
            self.pending += keys;
            self.queue.push_back(Garbage::Table(Box::new(table), keys));
        }
        for register in registers {
            if register.len() > 0 {
                self.queue.push_back(Garbage::FieldDeadlines(Box::new(register)));
            }
        }
    }

    /// Takes what is nothing of the keyspace.
    pub fn other(&mut self, garbage: Box<dyn FreeInParts>) {
        self.queue.push_back(Garbage::Other(garbage));
    }

    /// Ends what is left of a snapshot half-way.
    pub(super) fn cancel_snapshot(&mut self) {
        for garbage in self.queue.iter_mut().chain(&mut self.aside) {
            match garbage {
                Garbage::Value(value) => value.cancel_snapshot(),
                Garbage::Table(table, _) => table.cancel_snapshot(),
                Garbage::FieldDeadlines(_) | Garbage::Other(_) => {}
            }
        }
    }

    /// Whether there is something that [`Self::slice`] can do.
    pub fn has_work(&self, may_hand_over: bool) -> bool {
        !self.queue.is_empty() || may_hand_over && !self.aside.is_empty()
    }

    /// Objects that wait (INFO `lazyfree_pending_objects`).
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Frees a slice of some tens of microseconds; true while there is more that it can do. `may_hand_over`: the writer of a snapshot
    /// takes more.
    pub fn slice(&mut self, may_hand_over: bool) -> bool {
        if may_hand_over && !self.aside.is_empty() {
            self.aside.append(&mut self.queue);
            std::mem::swap(&mut self.aside, &mut self.queue);
        }
        let Some(mut garbage) = self.queue.pop_front() else { return false };
        if !may_hand_over && garbage.in_snapshot() {
            self.aside.push_back(garbage);
            return !self.queue.is_empty();
        }
        let more = match &mut garbage {
            Garbage::Value(value) => value.snapshot_step() || !value.free_some(1),
            Garbage::FieldDeadlines(deadlines) => !deadlines.free_some(1),
            Garbage::Other(other) => !other.free_some(1),
            Garbage::Table(table, _) => {
                let (queue, pending) = (&mut self.queue, &mut self.pending);
                table.snapshot_step(1)
                    || !table.drain_some(1, |taken| {
                        if let RemovedValue::Object(value) = taken
                            && value.has_more_parts_than(SMALL)
                        {
                            *pending += 1;
                            queue.push_back(Garbage::Value(value));
                        }
                    })
            }
        };
        if more {
            self.queue.push_front(garbage);
        } else {
            self.pending -= garbage.objects();
            self.freed += garbage.objects() as u64;
        }
        !self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    #[test]
    fn what_waits_is_what_the_queue_holds() {
        let mut server = TestServer::new();
        let members: String = (0..200).map(|number| format!(" member:{number}")).collect();
        for number in 0..20 {
            server.run(&format!("SADD set:{number}{members}"));
        }
        server.script("UNLINK set:0 set:1 => :2");
        assert_eq!(server.engine.data.keyspace.lazy_free.pending(), 2);
        server.script("FLUSHALL ASYNC");
        let mut lazy_free = std::mem::take(&mut server.engine.data.keyspace.lazy_free);
        assert_eq!(lazy_free.pending(), 20);
        // The table's sets join the queue while it is freed.
        while lazy_free.slice(true) {
            let queued: usize = lazy_free.queue.iter().map(super::Garbage::objects).sum();
            assert_eq!(lazy_free.pending(), queued);
        }
        assert_eq!((lazy_free.pending(), lazy_free.freed), (0, 38));
    }
}
