//! A stream: a log of entries, each a list of fields and values under an ascending id, and the groups of
//! consumers that read it.
//!
//!     Stream ─ log     nodes by first id ─▶ listpack of up to a hundred entries        `log`, `node`
//!            ├ groups  name ─▶ last delivered id, pending entries, consumers           `group`
//!            └ what is remembered of the requests of producers                         `idempotency`
//!
//! These are fields of their own, so that a group can be changed while the log is read. What concerns entries and groups is in
//! `references`. The log's listpacks
//! have the bytes that RDB files have. Time is an argument; commands are not known here.

mod group;
mod id;
mod idempotency;
mod log;
mod node;
mod part;
mod references;
mod retention;
mod snapshot;

use crate::base::hash::KeyHasher;
use crate::structures::before_images::SnapshotState;
pub use group::{
    Autoclaim, Claim, ClaimRequest, Consumer, ConsumerId, Group, Groups, MOST_GONE, NextIdle, Pending,
};
pub use id::{IdText, PartialId, StreamId};
pub use idempotency::Idempotency;
pub use log::{AppendError, Counters, Entries, Log, NewId, Trim, TrimTo};
pub use node::{Fields, StreamEntry};
pub use part::{StreamPart, StreamSink};
pub use references::{Deletion, References, Trimmed};
pub use retention::Retention;

/// The error of loaded bytes that are not a valid stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The entries.
    pub log: Log,
    /// The consumer groups, by name.
    pub groups: Groups,
    /// How long identifiers of requests are remembered.
    retention: Retention,
    /// What is remembered; `None` if nothing ever was.
    requests: Option<Box<Idempotency>>,
    snapshot: SnapshotState<snapshot::Snapshot>,
}

impl Stream {
    /// An empty one.
    pub fn new() -> Self {
        Stream::default()
    }

    /// As OBJECT ENCODING calls it.
    pub fn encoding(&self) -> &'static str {
        "stream"
    }

    /// Number of entries. A stream without any stays, with its ids and groups.
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// Whether it never had an entry nor a group: it is as new.
    pub fn is_pristine(&self) -> bool {
        self.is_empty() && self.log.last_id() == StreamId::new(0, 0) && self.groups.is_empty()
    }

    /// How long identifiers of requests are remembered.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Of a new stream: how long identifiers of requests are to be remembered.
    pub fn set_default_retention(&mut self, retention: Retention) {
        self.retention = retention;
    }

    /// How long identifiers of requests are to be remembered from now on. If that is another time or number than before, all are
    /// forgotten: they are returned, to be freed.
    pub fn set_retention(&mut self, retention: Retention) -> Option<Stream> {
        if retention == self.retention {
            return None;
        }
        self.retention = retention;
        let records = self.requests.as_mut().map(|requests| requests.take_records());
        let mut forgotten = Stream::new();
        forgotten.requests = records.map(Box::new);
        Some(forgotten)
    }

    /// What is remembered of requests.
    pub fn requests(&self) -> Option<&Idempotency> {
        self.requests.as_deref()
    }

    /// What is remembered of requests, to change.
    pub fn requests_mut(&mut self) -> &mut Idempotency {
        self.requests.get_or_insert_default()
    }

    /// Of how many producers requests are remembered.
    pub fn producer_count(&self) -> usize {
        self.requests.as_ref().map_or(0, |requests| requests.producer_count())
    }

    /// Whether there is something about requests that only Redis from 8.6 on has a place for.
    #[inline]
    pub fn has_idempotency(&self) -> bool {
        self.requests.is_some() || self.retention != Retention::DEFAULT
    }

    /// When identifiers of requests are to be looked at for those that expire, Unix ms.
    #[inline]
    pub fn requests_due_ms(&self) -> Option<u64> {
        self.requests.as_ref().and_then(|requests| requests.due_ms())
    }

    /// Forgets identifiers that are expired, up to about `most`.
    pub fn expire_requests(&mut self, now_ms: u64, most: usize, hasher: &KeyHasher) {
        if let Some(requests) = &mut self.requests {
            requests.expire_some(now_ms, self.retention, most, hasher);
        }
    }

    /// Whether groups, consumers, pending entries and remembered requests together are more than `most`.
    pub fn has_more_parts_than(&self, most: usize) -> bool {
        let requests = self.requests.as_ref().map_or(0, |requests| requests.tracked());
        requests > most || self.groups.has_more_parts_than(most - requests)
    }

    /// Bytes of memory behind this value, extrapolated from `samples` nodes and groups (0: exact).
    pub fn memory_usage(&self, samples: usize) -> usize {
        let requests = self.requests.as_ref().map_or(0, |requests| requests.memory_usage());
        self.log.memory_usage(samples) + self.groups.memory_usage(samples) + requests
    }

    /// Frees up to `nodes` nodes, or as much of the groups; true when nothing is left to free. Good for
    /// nothing else afterwards.
    pub fn free_some(&mut self, nodes: usize) -> bool {
        self.finish_snapshot();
        let requests = &mut self.requests;
        self.log.free_some(nodes)
            && self.groups.free_some(nodes)
            && requests.as_mut().is_none_or(|requests| requests.free_some(nodes))
    }

    /// Panics unless the representation keeps its promises (for tests).
    pub fn check_invariants(&self) {
        self.log.check_invariants();
        self.groups.check_invariants();
        if let Some(requests) = &self.requests {
            requests.check_invariants(self.retention);
        }
    }
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod references_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
