//! One node of a stream's log: entries that follow each other, in a listpack with the layout of RDB files.
//!
//!     master entry   live · deleted · n · field_1 … field_n · 0
//!     entry          flags · ms − master.ms · seq − master.seq · value_1 … value_n · count        same fields
//!     entry          flags · ms · seq · n · field_1 · value_1 … field_n · value_n · count       other fields
//!
//! The master id is the first entry's, and the master fields are those of the entry that the node began with.
//! `count` tells how many elements the entry has before it, so that it can be read from behind; the master's
//! 0 stops that. Deleted entries stay, flagged, until the node has no live one.
//!
//! A listpack from a file or a peer is checked by [`validate`] before anything here reads it. Should one break the
//! rules all the same, reading ends early; it does not panic.

use super::{Corrupt, StreamId};
use crate::structures::listpack::{Entry, Iter, Listpack, Pos};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Number of elements of the master entry before its fields.
const MASTER_HEAD: usize = 3;
/// More fields than any listpack can hold: keeps sums of hostile counts from overflowing.
const MAX_FIELDS: usize = 1 << 30;

/// A node's counters, and where its parts begin.
struct Head {
    live: i64,
    deleted: i64,
    fields: usize,
    first_field: Option<Pos>,
}

/// A node to read.
#[derive(Clone, Copy)]
pub(super) struct NodeRef<'a> {
    pub master: StreamId,
    pub listpack: &'a Listpack,
}

/// An entry of a stream, its fields still in the node.
#[derive(Clone)]
pub struct StreamEntry<'a> {
    /// Its id.
    pub id: StreamId,
    fields: Fields<'a>,
    flags: i64,
    flags_pos: Pos,
}

impl<'a> StreamEntry<'a> {
    /// How many fields it has.
    pub fn field_count(&self) -> usize {
        self.fields.left
    }

    /// Fields and values, in the order in which they were given.
    pub fn fields(&self) -> Fields<'a> {
        self.fields.clone()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }
}

/// Fields and values of an entry.
#[derive(Clone)]
pub struct Fields<'a> {
    /// The master's fields, where the entry has the same.
    names: Option<Iter<'a>>,
    rest: Iter<'a>,
    left: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Entry<'a>, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let field = match &mut self.names {
            Some(names) => names.next()?,
            None => self.rest.next()?,
        };
        Some((field, self.rest.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

fn int(entry: Option<Entry<'_>>) -> Option<i64> {
    entry?.as_int()
}

impl<'a> NodeRef<'a> {
    fn head(self) -> Option<Head> {
        let mut iter = self.listpack.iter();
        let (live, deleted) = (int(iter.next())?, int(iter.next())?);
        let fields = usize::try_from(int(iter.next())?).ok().filter(|fields| *fields <= MAX_FIELDS)?;
        Some(Head { live, deleted, fields, first_field: iter.pos() })
    }

    /// Entries that are not deleted.
    pub fn live(self) -> usize {
        self.head().map_or(0, |head| head.live.max(0) as usize)
    }

    /// Entries, deleted or not.
    pub fn total(self) -> usize {
        self.head().map_or(0, |head| head.live.saturating_add(head.deleted).max(0) as usize)
    }

    /// A cursor before the first entry.
    pub fn front(self) -> Cursor<'a> {
        let head = self.head();
        let mut iter = self.listpack.iter();
        let first = head.as_ref().and_then(|head| {
            iter.nth(MASTER_HEAD + head.fields)?;
            iter.pos()
        });
        Cursor { node: self, at: first, head }
    }

    /// A cursor before `entry`, one of this node's.
    pub fn before(self, entry: &StreamEntry<'a>) -> Cursor<'a> {
        Cursor { node: self, at: Some(entry.flags_pos), head: self.head() }
    }

    /// A cursor with nothing after it.
    pub fn end(self) -> Cursor<'a> {
        Cursor { node: self, at: None, head: None }
    }

    /// A cursor behind the last entry, to go backward.
    pub fn back(self) -> Cursor<'a> {
        Cursor { node: self, at: self.listpack.last(), head: self.head() }
    }

    /// The id of the last entry, deleted or not.
    pub fn last_id(self) -> Option<StreamId> {
        self.back().previous().map(|entry| entry.id)
    }

    fn id(self, ms: i64, seq: i64) -> StreamId {
        StreamId::new(self.master.ms.wrapping_add(ms as u64), self.master.seq.wrapping_add(seq as u64))
    }
}

/// A place between the entries of a node. One that goes forward holds where the next entry's flags are, one that
/// goes backward where the previous entry's count is.
pub(super) struct Cursor<'a> {
    node: NodeRef<'a>,
    at: Option<Pos>,
    head: Option<Head>,
}

impl<'a> Cursor<'a> {
    /// The entry after a cursor from [`NodeRef::front`], deleted or not; moves behind it.
    pub fn next(&mut self) -> Option<StreamEntry<'a>> {
        let start = self.at.take()?;
        let entry = self.read(start)?;
        // Past the values, or fields and values, and past the count.
        let elements = if entry.fields.names.is_some() { entry.fields.left } else { 2 * entry.fields.left };
        let mut rest = entry.fields.rest.clone();
        rest.nth(elements)?;
        self.at = rest.pos();
        Some(entry)
    }

    /// The entry before a cursor from [`NodeRef::back`], deleted or not; moves before it.
    pub fn previous(&mut self) -> Option<StreamEntry<'a>> {
        let mut pos = self.at.take()?;
        let listpack = self.node.listpack;
        let count = listpack.at(pos).as_int().filter(|count| *count > 0)?;
        for _ in 0..count {
            pos = listpack.prev(pos)?;
        }
        self.at = listpack.prev(pos);
        self.read(pos)
    }

    fn read(&self, start: Pos) -> Option<StreamEntry<'a>> {
        let head = self.head.as_ref()?;
        let listpack = self.node.listpack;
        let mut rest = listpack.iter_from(start);
        let (flags, ms, seq) = (int(rest.next())?, int(rest.next())?, int(rest.next())?);
        let (names, left) = if flags & SAME_FIELDS != 0 {
            (Some(listpack.iter_from(head.first_field?)), head.fields)
        } else {
            (None, usize::try_from(int(rest.next())?).ok().filter(|left| *left <= MAX_FIELDS)?)
        };
        let fields = Fields { names, rest, left };
        Some(StreamEntry { id: self.node.id(ms, seq), fields, flags, flags_pos: start })
    }
}

/// An empty node with the field names of `fields` as master fields.
pub(super) fn start<'a>(fields: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Listpack {
    let mut listpack = Listpack::new();
    let head = [0, 0, fields.len() as i64].map(Entry::Int);
    let names = fields.map(|(field, _)| Entry::from(field));
    listpack.push_all(head.into_iter().chain(names).chain([Entry::Int(0)]));
    listpack
}

/// Adds an entry at the end of the node that begins with `master`.
pub(super) fn append<'a, F>(listpack: &mut Listpack, master: StreamId, id: StreamId, fields: F)
where
    F: ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    add_to_counters(listpack, 1, 0);
    let same = has_master_fields(listpack, fields.clone());
    let count = fields.len() as i64;
    let (flags, elements) = if same { (SAME_FIELDS, 3 + count) } else { (0, 4 + 2 * count) };
    let delta = [flags, id.ms.wrapping_sub(master.ms) as i64, id.seq.wrapping_sub(master.seq) as i64];
    let own_count = (!same).then_some(Entry::Int(count));
    let payload = fields.flat_map(|(field, value)| {
        let field = (!same).then(|| Entry::from(field));
        field.into_iter().chain([Entry::from(value)])
    });
    let head = delta.map(Entry::Int).into_iter().chain(own_count);
    listpack.push_all(head.chain(payload).chain([Entry::Int(elements)]));
}

fn has_master_fields<'a>(
    listpack: &Listpack,
    fields: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
) -> bool {
    let mut master = listpack.iter();
    int(master.nth(MASTER_HEAD - 1)) == Some(fields.len() as i64)
        && fields.zip(master).all(|((field, _), name)| name.equals(field))
}

fn add_to_counters(listpack: &mut Listpack, live: i64, deleted: i64) {
    for (index, change) in [(0, live), (1, deleted)] {
        if change != 0
            && let Some(pos) = listpack.seek(index)
        {
            let count = listpack.at(pos).as_int().unwrap_or(0);
            listpack.replace(pos, count + change);
        }
    }
}

/// Flags live entries as deleted; `flags` has the positions of their flags, ascending.
fn flag_deleted(listpack: &mut Listpack, flags: &[Pos]) {
    // From the end, so that positions stay valid even if the encoded size of the flags changes.
    for pos in flags.iter().rev() {
        let value = listpack.at(*pos).as_int().unwrap_or(0);
        listpack.replace(*pos, value | DELETED);
    }
    add_to_counters(listpack, -(flags.len() as i64), flags.len() as i64);
}

/// Deletes the entry `id`; returns whether it was there.
pub(super) fn delete(listpack: &mut Listpack, master: StreamId, id: StreamId) -> bool {
    let mut cursor = NodeRef { master, listpack }.front();
    while let Some(entry) = cursor.next() {
        if entry.id >= id {
            let found = entry.id == id && !entry.is_deleted();
            let flags = entry.flags_pos;
            if found {
                flag_deleted(listpack, &[flags]);
            }
            return found;
        }
    }
    false
}

/// Deletes the entries `ids`, which ascend; returns how many of them were there.
pub(super) fn delete_all(listpack: &mut Listpack, master: StreamId, ids: &[StreamId]) -> usize {
    let mut flags = Vec::with_capacity(ids.len());
    let mut ids = ids.iter().peekable();
    let mut cursor = NodeRef { master, listpack }.front();
    while let Some(id) = ids.peek()
        && let Some(entry) = cursor.next()
    {
        if entry.id >= **id {
            if entry.id == **id && !entry.is_deleted() {
                flags.push(entry.flags_pos);
            }
            ids.next();
        }
    }
    flag_deleted(listpack, &flags);
    flags.len()
}

/// Deletes live entries from the front on while `goes` returns true, given an entry's id and how many have
/// been deleted before it; returns how many.
pub(super) fn trim(
    listpack: &mut Listpack,
    master: StreamId,
    goes: impl Fn(StreamId, usize) -> bool,
) -> usize {
    let mut flags = Vec::new();
    let mut cursor = NodeRef { master, listpack }.front();
    while let Some(entry) = cursor.next() {
        if !goes(entry.id, flags.len()) {
            break;
        }
        if !entry.is_deleted() {
            flags.push(entry.flags_pos);
        }
    }
    flag_deleted(listpack, &flags);
    flags.len()
}

/// Removes the entries above `last` at the end of the node, all of which are deleted.
pub(super) fn cut_deleted_above(listpack: &mut Listpack, master: StreamId, last: StreamId) {
    let mut first: Option<Pos> = None;
    let mut gone = 0;
    let mut cursor = NodeRef { master, listpack }.back();
    while let Some(entry) = cursor.previous().filter(|entry| entry.id > last && entry.is_deleted()) {
        (first, gone) = (Some(entry.flags_pos), gone + 1);
    }
    if let Some(first) = first {
        listpack.remove_many(first, usize::MAX);
        add_to_counters(listpack, 0, -gone);
    }
}

/// Checks that a listpack from a file or a peer is a valid node with ids ascending from `master` on.
pub(super) fn validate(master: StreamId, listpack: &Listpack) -> Result<(), Corrupt> {
    let node = NodeRef { master, listpack };
    let head = node.head().ok_or(Corrupt)?;
    if head.live < 0 || head.deleted < 0 {
        return Err(Corrupt);
    }
    let mut iter = listpack.iter();
    if int(iter.nth(MASTER_HEAD + head.fields)) != Some(0) {
        return Err(Corrupt);
    }
    let (mut live, mut deleted, mut before) = (0, 0, None);
    while let Some(start) = iter.pos() {
        let cursor = Cursor { node, at: None, head: node.head() };
        let entry = cursor.read(start).ok_or(Corrupt)?;
        let same = entry.fields.names.is_some();
        let values = if same { entry.fields.left } else { 2 * entry.fields.left };
        iter = entry.fields.rest.clone();
        let count = int(iter.nth(values)).ok_or(Corrupt)?;
        let in_order = before.is_none_or(|before| before < entry.id) && entry.id >= master;
        if !in_order || count != values as i64 + if same { 3 } else { 4 } {
            return Err(Corrupt);
        }
        before = Some(entry.id);
        if entry.is_deleted() { deleted += 1 } else { live += 1 }
    }
    if (live, deleted) == (head.live, head.deleted) { Ok(()) } else { Err(Corrupt) }
}
