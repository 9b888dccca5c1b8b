//! A stream: a log of entries, each a list of fields and values under an ascending id, and the groups of
//! consumers that read it.
//!
//!     Stream ─ log     nodes by first id ─▶ listpack of up to a hundred entries        `log`, `node`
//!            └ groups  name ─▶ last delivered id, pending entries, consumers           `group`
//!
//! The two are fields of their own, so that a group can be changed while the log is read. The log's listpacks
//! have the bytes that RDB files have. Time is an argument; commands are not known here.

mod group;
mod id;
mod log;
mod node;
mod part;
mod snapshot;

use crate::structures::before_images::SnapshotState;
pub use group::{Autoclaim, Claim, ClaimRequest, Consumer, ConsumerId, Group, Groups, Pending};
pub use id::{IdText, PartialId, StreamId};
pub use log::{AppendError, Counters, Entries, Log, NewId, Trim, TrimTo};
pub use node::{Fields, StreamEntry};
pub use part::{StreamPart, StreamSink};

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

    /// Bytes of memory behind this value, extrapolated from `samples` nodes (0: exact).
    pub fn memory_usage(&self, samples: usize) -> usize {
        self.log.memory_usage(samples) + self.groups.memory_usage()
    }

    /// Frees up to `nodes` nodes, or as much of the groups; true when nothing is left to free. Good for
    /// nothing else afterwards.
    pub fn free_some(&mut self, nodes: usize) -> bool {
        self.finish_snapshot();
        self.log.free_some(nodes) && self.groups.free_some(nodes)
    }

    /// Panics unless the representation keeps its promises (for tests).
    pub fn check_invariants(&self) {
        self.log.check_invariants();
        self.groups.check_invariants();
    }
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
