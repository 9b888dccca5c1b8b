//! RDB elements: writes the parts of a collection one by one, so that a big one can be written a piece at a time.
//!
//! The number of parts comes first, then exactly as many parts.

use super::{RdbFormat, Writer, container, kind};
use crate::structures::listpack::Entry;
use crate::structures::quicklist::Node;
use crate::value::hash::Hash;

/// How the fields of a hash are written that is not a listpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldLayout {
    /// Without deadlines.
    Plain,
    /// With deadlines above the least one, ms, or one that is lower still.
    Above(u64),
    /// With deadlines behind the values.
    Behind,
}

impl FieldLayout {
    /// The layout of a hash's fields in a format.
    pub fn of(hash: &Hash, format: RdbFormat) -> FieldLayout {
        match hash.next_deadline() {
            Some(least) if format.has_redis_deadlines() => FieldLayout::Above(least),
            Some(_) if format.has_valkey_deadlines() => FieldLayout::Behind,
            _ => FieldLayout::Plain,
        }
    }

    /// The kind of a hash with this layout.
    pub fn kind(self) -> u8 {
        match self {
            FieldLayout::Plain => kind::HASH,
            FieldLayout::Above(_) => kind::HASH_METADATA,
            FieldLayout::Behind => kind::HASH_22,
        }
    }
}

impl Writer<'_> {
    /// An element of a sorted set.
    pub fn scored(&mut self, member: Entry<'_>, score: f64) {
        self.entry(member);
        self.double(score);
    }

    /// What comes before the fields of a hash.
    pub fn open_fields(&mut self, layout: FieldLayout, count: u64) {
        if let FieldLayout::Above(least) = layout {
            self.ms(least as i64);
        }
        self.length(count);
    }

    /// A field of a hash. A deadline below that of the layout becomes that of the layout.
    pub fn field(&mut self, layout: FieldLayout, name: Entry<'_>, value: Entry<'_>, deadline: Option<u64>) {
        if let FieldLayout::Above(least) = layout {
            self.length(deadline.map_or(0, |deadline| deadline.saturating_sub(least).saturating_add(1)));
        }
        self.entry(name);
        self.entry(value);
        if layout == FieldLayout::Behind {
            self.ms(deadline.map_or(-1, |deadline| i64::try_from(deadline).unwrap_or(i64::MAX)));
        }
    }

    /// A node of a list.
    pub fn list_node(&mut self, node: &Node) {
        match node {
            Node::Plain(item) => {
                self.length(container::PLAIN);
                self.string(item);
            }
            Node::Listpack { listpack, .. } => self.packed_node(|out| out.text(listpack.as_bytes())),
            Node::Lzf { data, .. } => self.packed_node(|out| out.compressed(&data.bytes, data.raw_len)),
        }
    }

    /// A node of a list that is a listpack.
    pub(super) fn packed_node(&mut self, write: impl FnOnce(&mut Self)) {
        self.length(container::PACKED);
        write(self);
    }
}
