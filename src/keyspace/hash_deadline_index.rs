//! Index of the hashes of a database that have fields with deadlines, ordered by their earliest one; and that of the streams that
//! remember requests, which expire as well.
//!
//! The index is a table of its own, hash's key → earliest deadline of a field, so what is due is found as the
//! keyspace finds due keys. It holds exactly the hashes that have deadlines: an edit compares before and after,
//! and the code that moves values into or out of the table enters or strikes them.

use crate::base::hash::KeyHasher;
use crate::structures::table::{DueKeys, Held, Never, NewValue, Table};

/// The hashes of a database that have fields with deadlines.
pub(super) struct FieldDeadlines {
    hashes: Table<Never, false>,
}

impl FieldDeadlines {
    pub fn new(hasher: KeyHasher) -> Self {
        FieldDeadlines { hashes: Table::new(hasher) }
    }

    /// How many hashes.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Enters a hash with its earliest deadline, or strikes it.
    #[cold]
    pub fn set(&mut self, hash: u64, key: &[u8], earliest: Option<u64>) {
        match (self.hashes.find(hash, key), earliest) {
            (Some(at), Some(_)) => {
                self.hashes.set_deadline(at, hash, earliest);
            }
            (Some(at), None) => {
                self.hashes.remove(at, hash);
            }
            (None, Some(_)) => {
                self.hashes.insert(hash, key, NewValue::Bytes(b""), earliest, 0);
            }
            (None, None) => {}
        }
    }

    /// Frees some of it; true when nothing is left to free. Good for nothing else after.
    pub fn free_some(&mut self, segments: usize) -> bool {
        self.hashes.free_some(segments)
    }

    /// Collects hashes that are due; each must be [`Self::set`] again.
    pub fn collect_due(&mut self, now: u64, max: usize, held: Held<'_>, due: &mut DueKeys) {
        self.hashes.collect_due(now, max, held, due);
    }
}
