//! Client-side caching (tracking): which clients have read which keys, and which follow which prefixes.
//!
//! ```text
//! GET k ─▶ readers: k → client 5, client 9          told once, right behind the change, then forgotten
//! SET k ─▶ prefixes: "k" → client 7 · changed: k    told once a turn, all changed keys in one message a prefix
//! ```
//!
//! Databases make no difference. How a client tracks ([`Tracker`]) belongs to its session; here are the tables that lead
//! from keys to clients. They know nothing of messages.

mod prefixes;
mod readers;
mod tracker;

pub use prefixes::{ChangedKey, Prefixes};
pub use readers::{ReadersOfKey, ReadersTable, Table};
pub use tracker::{MAX_PREFIX_BYTES, PrefixError, Tracker, check_prefixes};

use crate::base::hash::KeyHasher;

/// The tables of tracking.
pub struct Tracking {
    /// Clients that track.
    trackers: usize,
    /// Which clients have read a key (`TrackingTable`).
    pub readers: ReadersTable,
    /// Which clients follow a prefix (`PrefixTable`).
    pub prefixes: Prefixes,
    hasher: KeyHasher,
}

impl Tracking {
    pub fn new(hasher: KeyHasher) -> Self {
        Tracking { trackers: 0, readers: ReadersTable::new(hasher), prefixes: Prefixes::new(hasher), hasher }
    }

    /// Whether no client tracks.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.trackers == 0
    }

    /// Clients that track.
    pub fn client_count(&self) -> usize {
        self.trackers
    }

    /// Another client tracks.
    pub fn client_came(&mut self) {
        self.trackers += 1;
    }

    /// A client tracks no more. Its entries are found when their keys change, or by [`ReadersTable::sweep`].
    pub fn client_went(&mut self) {
        self.trackers -= 1;
        if self.trackers == 0 {
            self.readers.forget_all();
        } else {
            self.readers.expect_gone();
        }
    }

    /// A key's hash, as the tables want it.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }
}
