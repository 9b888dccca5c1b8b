//! Parts of a stream as a snapshot hands them over, in the order of RDB files.

use super::StreamId;
use super::log::Counters;
use super::retention::Retention;
use crate::structures::listpack::Listpack;

/// A part of a stream: nodes, counters, groups, what it remembers of requests. A group: its head, pending entries, number of consumers,
/// consumers. A consumer: its head, ids.
#[derive(Clone, Copy, Debug)]
pub enum StreamPart<'a> {
    /// A node: its first id, and its listpack.
    Node(StreamId, &'a Listpack),
    /// The counters of the log, and the number of groups.
    Counters(Counters, usize),
    /// The head of a group.
    Group {
        /// Its name.
        name: &'a [u8],
        /// The last delivered id.
        last_delivered: StreamId,
        /// How many entries it was given, where that is known.
        entries_read: Option<u64>,
        /// Number of pending entries.
        pending: usize,
    },
    /// A pending entry of the group; they come in order of ids.
    Pending {
        /// The entry's id.
        id: StreamId,
        /// When it was last delivered, Unix milliseconds.
        delivered_ms: i64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// The number of the group's consumers.
    Consumers(usize),
    /// The head of a consumer; they come in order of names.
    Consumer {
        /// Its name.
        name: &'a [u8],
        /// When it last tried to read or claim, Unix milliseconds.
        seen_ms: i64,
        /// When it last got something; -1 if it never did.
        active_ms: i64,
        /// Number of entries pending with it.
        pending: usize,
    },
    /// Ids that are pending with the consumer, the next ones in order.
    Owned(&'a [StreamId]),
    /// How long identifiers of requests are kept, and of how many producers there are any; only of a stream that
    /// [`Stream::has_idempotency`](super::Stream::has_idempotency).
    Retention(Retention, usize),
    /// The head of a producer; they come in order of names.
    Producer {
        /// Its name.
        name: &'a [u8],
        /// How many identifiers of its requests are kept.
        identifiers: usize,
    },
    /// The identifier of a request of the producer, and the entry's id; in order of arrival.
    Identifier(&'a [u8], StreamId),
    /// Behind the producers: identifiers ever added, and ever seen again.
    Requests {
        /// Ever added.
        added: u64,
        /// Ever seen again.
        duplicates: u64,
    },
}

/// Takes the parts of a stream. It is dropped when it has been given all of them.
pub trait StreamSink: Send {
    /// Takes a part.
    fn take(&mut self, part: StreamPart<'_>);
}
