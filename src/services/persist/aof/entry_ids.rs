//! Ids of a stream's entries, node by node: whether an id that was given to an entry once is still that of one.
//!
//! An entry leaves a node by being marked in it, or with the whole node. So of a node without marks the first and the last id say it
//! all, and only of the others all ids are kept.

use crate::structures::listpack::Listpack;
use crate::value::stream::{Log, StreamId};

/// The ids of a node.
#[derive(Debug)]
struct NodeIds {
    first: StreamId,
    last: StreamId,
    /// Those that are left, if any is marked.
    left: Option<Vec<StreamId>>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct EntryIds {
    nodes: Vec<NodeIds>,
}

impl EntryIds {
    /// Takes the next node: the entries as a log, and the listpack that they are from.
    pub fn push(&mut self, log: &Log, listpack: &Listpack) {
        let has_marks = listpack.iter().nth(1).and_then(|marked| marked.as_int()) != Some(0);
        let all = || log.range(StreamId::ZERO, StreamId::MAX).map(|entry| entry.id);
        let left = has_marks.then(|| all().collect());
        self.nodes.extend(log.last_entry_id().map(|last| NodeIds { first: log.first_id(), last, left }));
    }

    /// Whether the entry is still there.
    pub fn contains(&self, id: StreamId) -> bool {
        let at = self.nodes.partition_point(|node| node.last < id);
        self.nodes.get(at).is_some_and(|node| match &node.left {
            Some(left) => left.binary_search(&id).is_ok(),
            None => id >= node.first,
        })
    }
}
