//! The log of a stream: its nodes in order of their first ids, and its counters.
//!
//! Nearly all writing and most reading happens at the end, so the last node, the tail, is kept apart from
//! the tree of the others: appending does not search. The tree grows a page at a time and never at once.

mod snapshot;

use std::ops::Bound::{Excluded, Unbounded};

use super::node::{self, Cursor, NodeRef, StreamEntry};
use super::{Corrupt, StreamId};
use crate::structures::before_images::SnapshotState;
use crate::structures::listpack::blocks::{self, ListpackBlocks};
use crate::structures::listpack::{Listpack, MAX_SAFE_BYTES};
use crate::value::Limits;

/// Bytes a node costs in the tree besides its listpack, at the usual filling.
const NODE_OVERHEAD: usize = 56;

/// The log of a stream.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All nodes but the tail.
    sealed: ListpackBlocks<StreamId>,
    /// The last node; `None` only if there is no node at all.
    tail: Option<(StreamId, Listpack)>,
    snapshot: SnapshotState<snapshot::NodeImages>,
    len: usize,
    last_id: StreamId,
    first_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
}

/// What a log keeps beside its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// [`Log::len`].
    pub entries: u64,
    /// [`Log::last_id`].
    pub last_id: StreamId,
    /// [`Log::first_id`].
    pub first_id: StreamId,
    /// [`Log::max_deleted_id`].
    pub max_deleted_id: StreamId,
    /// [`Log::entries_added`].
    pub entries_added: u64,
}

/// The id that an appended entry is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The current time, in milliseconds, or right after the last one.
    Auto(u64),
    /// These milliseconds, and the next sequence number within them.
    AutoSequence(u64),
    /// Exactly this.
    Exact(StreamId),
}

/// Why an entry is not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The id is not above the last one.
    NotAbove,
    /// The entry does not fit a node.
    TooLarge,
}

/// The bound of a trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// At most this many entries.
    Len(u64),
    /// No entry below this.
    MinId(StreamId),
}

/// The entries of a node.
#[derive(Debug)]
pub(super) struct NodeEntries {
    pub master: StreamId,
    /// Of those that are not deleted.
    pub ids: Vec<StreamId>,
    /// Of the last one, deleted or not.
    pub last_id: StreamId,
}

/// A trim of the oldest entries.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// What is to be left.
    pub to: TrimTo,
    /// Whether to remove whole nodes only.
    pub approximate: bool,
    /// The most entries to remove; 0 is no limit.
    pub limit: u64,
}

/// Reading.
impl Log {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id last given to an entry, which may be gone, or set by hand.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The first entry's id; zero if there is none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The largest id of all entries that were deleted one by one; zero if none was.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// How many entries were ever appended.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The last entry's id, if there is an entry.
    pub fn last_entry_id(&self) -> Option<StreamId> {
        self.range_rev(StreamId::ZERO, StreamId::MAX).next().map(|entry| entry.id)
    }

    /// Its counters.
    pub fn counters(&self) -> Counters {
        Counters {
            entries: self.len as u64,
            last_id: self.last_id,
            first_id: self.first_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.sealed.len() + usize::from(self.tail.is_some())
    }

    /// The nodes in order: first ids and listpacks, as RDB files have them.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, &Listpack)> {
        self.sealed.iter().chain(self.tail.iter().map(|(master, listpack)| (*master, listpack)))
    }

    /// Whether `id` names an entry.
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The entry `id`.
    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        self.range(id, id).next()
    }

    /// The entries from `start` to `end`, both included, in order.
    pub fn range(&self, start: StreamId, end: StreamId) -> Entries<'_> {
        Entries::new(self, start, end, false)
    }

    /// The entries from `end` down to `start`, both included.
    pub fn range_rev(&self, start: StreamId, end: StreamId) -> Entries<'_> {
        Entries::new(self, start, end, true)
    }

    /// The nodes that may hold ids from `start` to `end`.
    fn nodes_between(&self, start: StreamId, end: StreamId) -> Nodes<'_> {
        let nothing = Nodes { sealed: Default::default(), tail: None };
        let Some((tail, listpack)) = &self.tail else { return nothing };
        if start > end {
            return nothing;
        }
        let tail = (*tail <= end).then_some(NodeRef { master: *tail, listpack });
        if tail.is_some_and(|tail| tail.master <= start) {
            return Nodes { tail, ..nothing };
        }
        let floor = self.sealed.floor(start).unwrap_or(start);
        Nodes { sealed: self.sealed.range(floor..=end), tail }
    }

    /// Whether single deletions have left gaps from `start` on that entry counting has to reckon with.
    pub(super) fn has_gaps_after(&self, start: StreamId) -> bool {
        self.len > 0 && self.max_deleted_id != StreamId::ZERO && start <= self.max_deleted_id
    }

    /// How many entries were appended up to and including `id`, where that can be told: at either edge of the
    /// stream, with no gaps in between.
    pub fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != StreamId::ZERO && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(self.entries_added);
        }
        let no_gaps = self.max_deleted_id == StreamId::ZERO || self.max_deleted_id < self.first_id;
        if !no_gaps || id > self.first_id {
            return None;
        }
        let before = self.entries_added.wrapping_sub(self.len as u64);
        Some(before.wrapping_add(u64::from(id == self.first_id)))
    }

    /// Bytes of memory behind this value, extrapolated from `samples` nodes (0: exact).
    pub fn memory_usage(&self, samples: usize) -> usize {
        let tail = self.tail.as_ref().map_or(0, |(_, listpack)| listpack.memory());
        let count = self.sealed.len();
        let taken = if samples == 0 { count } else { samples.min(count) };
        let sampled = self.sealed.memory_of(taken);
        size_of::<Log>() + tail + count * NODE_OVERHEAD + sampled * count / taken.max(1)
    }

    /// Panics unless the invariants hold (for tests).
    pub fn check_invariants(&self) {
        assert!(self.tail.is_some() || self.sealed.is_empty());
        let mut above = None;
        let mut len = 0;
        for (master, listpack) in self.nodes() {
            node::validate(master, listpack).expect("a well-formed node");
            let node = NodeRef { master, listpack };
            assert!(above.is_none_or(|last| last < master), "nodes in order");
            assert!(node.live() > 0, "no node without entries");
            above = node.last_id();
            len += node.live();
        }
        assert_eq!(len, self.len);
        assert!(above.is_none_or(|last| last <= self.last_id));
        assert_eq!(self.first_id, self.find_first());
    }

    fn find_first(&self) -> StreamId {
        self.range(StreamId::ZERO, StreamId::MAX).next().map_or(StreamId::ZERO, |entry| entry.id)
    }
}

/// Changing.
impl Log {
    /// The id that an entry appended now would get; `None` if it would not be above the last one.
    pub fn next_id(&self, wanted: NewId) -> Option<StreamId> {
        let id = match wanted {
            NewId::Auto(now) if now > self.last_id.ms => StreamId::new(now, 0),
            NewId::Auto(_) => self.last_id.next()?,
            NewId::AutoSequence(ms) if ms == self.last_id.ms => {
                StreamId::new(ms, self.last_id.seq.checked_add(1)?)
            }
            NewId::AutoSequence(ms) => StreamId::new(ms, 0),
            NewId::Exact(id) => id,
        };
        (id > self.last_id).then_some(id)
    }

    /// Appends an entry of `fields` and values, and returns its id.
    pub fn append<'a, F>(&mut self, id: NewId, fields: F, limits: &Limits) -> Result<StreamId, AppendError>
    where
        F: ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        let id = self.next_id(id).ok_or(AppendError::NotAbove)?;
        let bytes: usize = fields.clone().map(|(field, value)| field.len() + value.len()).sum();
        if bytes > MAX_SAFE_BYTES {
            return Err(AppendError::TooLarge);
        }
        let tail = self.tail.as_ref().filter(|tail| has_room(tail, bytes, limits));
        let has_room = tail.is_some();
        let master = tail.map_or(id, |(master, _)| *master);
        self.before_change(master);
        let (master, listpack) = match self.tail.take() {
            Some(tail) if has_room => self.tail.insert(tail),
            full => {
                full.into_iter().for_each(|(master, listpack)| self.sealed.insert(master, listpack));
                self.tail.insert((id, node::start(fields.clone())))
            }
        };
        node::append(listpack, *master, id, fields);
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(id)
    }

    /// Deletes the entry `id`; returns whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let in_tail = self.tail.as_ref().is_some_and(|(master, _)| *master <= id);
        let found = if in_tail {
            if self.snapshot.0.is_some() {
                self.before_change_of_tail();
            }
            self.tail.as_mut().map(|(master, listpack)| (*master, listpack))
        } else {
            let master = self.sealed.floor(id).filter(|_| self.contains(id));
            master.into_iter().for_each(|master| self.before_change(master));
            master.and_then(|master| Some((master, self.sealed.get_mut(&master)?)))
        };
        let Some((master, listpack)) = found else { return false };
        if !node::delete(listpack, master, id) {
            return false;
        }
        if (NodeRef { master, listpack }).live() == 0 {
            self.remove_node(master);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if self.len == 0 || id == self.first_id {
            self.first_id = self.find_first();
        }
        true
    }

    fn remove_node(&mut self, master: StreamId) {
        if self.snapshot.0.is_some() {
            return self.remove_node_in_snapshot(master);
        }
        if !self.sealed.remove(&master) {
            self.tail = self.sealed.pop_last();
        }
    }

    fn first_node(&self) -> Option<NodeRef<'_>> {
        let (master, listpack) = self.nodes().next()?;
        Some(NodeRef { master, listpack })
    }

    /// Removes the oldest entries; returns how many.
    pub fn trim(&mut self, trim: Trim) -> usize {
        let before = self.len;
        while let Some(node) = self.first_node() {
            let (master, live) = (node.master, node.live());
            let removed = before - self.len;
            if trim.limit > 0 && (removed + live) as u64 > trim.limit {
                break;
            }
            let whole = match trim.to {
                TrimTo::Len(len) if self.len as u64 <= len => break,
                TrimTo::Len(len) => (self.len - live) as u64 >= len,
                TrimTo::MinId(id) => node.last_id().is_none_or(|last| last < id),
            };
            if whole {
                self.remove_node(master);
                self.len -= live;
                continue;
            }
            if !trim.approximate {
                self.trim_first_node(trim.to);
            }
            break;
        }
        if self.len < before {
            self.first_id = self.find_first();
        }
        before - self.len
    }

    /// The entries of the first node behind the one that begins with `after`.
    pub(super) fn node_after(&self, after: Option<StreamId>) -> Option<NodeEntries> {
        let start = after.map_or(Unbounded, Excluded);
        let sealed = self.sealed.range((start, Unbounded)).next();
        let is_behind = |master: StreamId| after.is_none_or(|after| after < master);
        let tail = self.tail.as_ref().map(|(master, listpack)| (*master, listpack));
        let (master, listpack) = sealed.or(tail.filter(|(master, _)| is_behind(*master)))?;
        let node = NodeRef { master, listpack };
        let mut ids = Vec::with_capacity(node.live());
        let mut cursor = node.front();
        while let Some(entry) = cursor.next() {
            if !entry.is_deleted() {
                ids.push(entry.id);
            }
        }
        Some(NodeEntries { master, ids, last_id: node.last_id().unwrap_or(master) })
    }

    /// Removes entries of the node that begins with `master`, as a trim does: their ids ascend. [`Self::find_first_again`] is to be
    /// called after the last.
    pub(super) fn remove_from_node(&mut self, master: StreamId, ids: &[StreamId]) {
        if ids.is_empty() {
            return;
        }
        self.before_change(master);
        let tail = self.tail.as_mut().filter(|(tail, _)| *tail == master).map(|(_, listpack)| listpack);
        let Some(listpack) = tail.or_else(|| self.sealed.get_mut(&master)) else { return };
        self.len -= node::delete_all(listpack, master, ids);
        if (NodeRef { master, listpack }).live() == 0 {
            self.remove_node(master);
        }
    }

    pub(super) fn find_first_again(&mut self) {
        self.first_id = self.find_first();
    }

    fn trim_first_node(&mut self, to: TrimTo) {
        let len = self.len;
        let first = self.first_node().map(|node| node.master);
        first.into_iter().for_each(|master| self.before_change(master));
        let first = match self.sealed.first_key() {
            Some(master) => self.sealed.get_mut(&master).map(|listpack| (master, listpack)),
            None => self.tail.as_mut().map(|(master, listpack)| (*master, listpack)),
        };
        let Some((master, listpack)) = first else { return };
        self.len -= node::trim(listpack, master, |id, gone| match to {
            TrimTo::Len(most) => (len - gone) as u64 > most,
            TrimTo::MinId(least) => id < least,
        });
        // A deleted entry above the least id can be all that is left.
        if (NodeRef { master, listpack }).live() == 0 {
            self.remove_node(master);
        }
    }

    /// Sets the last id, and what else is given, as XSETID and loading do. The last id stays at least the last
    /// entry's.
    pub fn set_ids(&mut self, last: StreamId, entries_added: Option<u64>, max_deleted: Option<StreamId>) {
        self.last_id = self.last_entry_id().map_or(last, |entry| entry.max(last));
        self.forget_deleted_above_last_id();
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted.unwrap_or(self.max_deleted_id);
    }

    /// Takes entries out of the tail that are deleted and above the last id: their ids may be given again, and a node has its ids in
    /// ascending order. Other nodes have none, since the tail has an entry.
    fn forget_deleted_above_last_id(&mut self) {
        let last_id = self.last_id;
        let has_any = self.tail.as_ref().is_some_and(|(master, listpack)| {
            NodeRef { master: *master, listpack }.last_id().is_some_and(|last| last > last_id)
        });
        if !has_any {
            return;
        }
        self.before_change_of_tail();
        if let Some((master, listpack)) = &mut self.tail {
            node::cut_deleted_above(listpack, *master, last_id);
        }
    }

    /// Appends a node of an RDB file. After the last one, [`Log::set_ids`] is to be called.
    pub fn load_node(&mut self, master: StreamId, listpack: Listpack) -> Result<(), Corrupt> {
        node::validate(master, &listpack)?;
        let node = NodeRef { master, listpack: &listpack };
        if self.tail.is_some() && master <= self.last_id {
            return Err(Corrupt);
        }
        // A node of deleted entries only is dropped.
        if node.live() == 0 {
            return Ok(());
        }
        self.len += node.live();
        self.last_id = node.last_id().ok_or(Corrupt)?;
        self.tail.take().into_iter().for_each(|(master, listpack)| self.sealed.insert(master, listpack));
        self.tail = Some((master, listpack));
        if self.sealed.is_empty() {
            self.first_id = self.find_first();
        }
        Ok(())
    }

    /// See [`super::Stream::free_some`].
    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        self.tail = None;
        for _ in 0..nodes {
            if !self.sealed.remove_last() {
                break;
            }
        }
        self.sealed.is_empty()
    }
}

fn has_room((master, listpack): &(StreamId, Listpack), bytes: usize, limits: &Limits) -> bool {
    let most = match limits.stream_node_max_bytes {
        0 => MAX_SAFE_BYTES,
        bytes => bytes.min(MAX_SAFE_BYTES),
    };
    let node = NodeRef { master: *master, listpack };
    let entries = limits.stream_node_max_entries;
    listpack.byte_len() + bytes < most && (entries == 0 || node.total() < entries)
}

/// Nodes in order, from either end.
struct Nodes<'a> {
    sealed: blocks::Range<'a, StreamId>,
    tail: Option<NodeRef<'a>>,
}

impl<'a> Nodes<'a> {
    fn next(&mut self) -> Option<NodeRef<'a>> {
        let sealed = self.sealed.next().map(|(master, listpack)| NodeRef { master, listpack });
        sealed.or_else(|| self.tail.take())
    }

    fn next_back(&mut self) -> Option<NodeRef<'a>> {
        self.tail
            .take()
            .or_else(|| self.sealed.next_back().map(|(master, listpack)| NodeRef { master, listpack }))
    }
}

/// Entries of a range, in either direction; see [`Log::range`].
pub struct Entries<'a> {
    nodes: Nodes<'a>,
    cursor: Option<Cursor<'a>>,
    start: StreamId,
    end: StreamId,
    backward: bool,
}

impl<'a> Entries<'a> {
    fn new(log: &'a Log, start: StreamId, end: StreamId, backward: bool) -> Self {
        let mut entries =
            Entries { nodes: log.nodes_between(start, end), cursor: None, start, end, backward };
        if !backward {
            entries.cursor = entries.nodes.next().map(|node| entries.seek(node));
        }
        entries
    }

    /// A cursor before the first entry of `node` in the range. Readers follow the stream's end, so a
    /// start in the later half is searched from the end.
    fn seek(&self, node: NodeRef<'a>) -> Cursor<'a> {
        let late = node.last_id().is_some_and(|last| {
            let span = last.ms.wrapping_sub(node.master.ms);
            let (from, whole) = match span {
                0 => (self.start.seq.saturating_sub(node.master.seq), last.seq.wrapping_sub(node.master.seq)),
                _ => (self.start.ms.saturating_sub(node.master.ms), span),
            };
            self.start > node.master && from > whole / 2
        });
        if !late {
            return node.front();
        }
        let (mut cursor, mut back) = (node.end(), node.back());
        while let Some(entry) = back.previous()
            && entry.id >= self.start
        {
            cursor = node.before(&entry);
        }
        cursor
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let Some(cursor) = &mut self.cursor else {
                let node = if self.backward { self.nodes.next_back() } else { self.nodes.next() }?;
                self.cursor = Some(if self.backward { node.back() } else { node.front() });
                continue;
            };
            let entry = if self.backward { cursor.previous() } else { cursor.next() };
            let Some(entry) = entry else {
                self.cursor = None;
                continue;
            };
            let (passed, reached) = match self.backward {
                false => (entry.id > self.end, entry.id >= self.start),
                true => (entry.id < self.start, entry.id <= self.end),
            };
            if passed {
                self.nodes = Nodes { sealed: Default::default(), tail: None };
                self.cursor = None;
                return None;
            }
            if reached && !entry.is_deleted() {
                return Some(entry);
            }
        }
    }
}
