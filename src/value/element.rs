//! Elements: the parts of a large collection, as a snapshot hands them over.

use super::stream::StreamPart;
use crate::structures::quicklist::Node;

/// A part of a collection.
#[derive(Clone, Copy, Debug)]
pub enum Element<'a> {
    /// A member of a set.
    Member(&'a [u8]),
    /// A field of a hash, its value, and its deadline in ms.
    Field(&'a [u8], &'a [u8], Option<u64>),
    /// A member of a sorted set, and its score.
    Scored(&'a [u8], f64),
    /// A node of a list; they come in order.
    ListNode(&'a Node),
    /// A part of a stream; they come in the order of RDB files.
    StreamPart(StreamPart<'a>),
}

/// Takes the parts of a collection. It is dropped when it has been given all of them.
pub trait ElementSink: Send {
    /// Takes a part.
    fn take(&mut self, element: Element<'_>);
}
