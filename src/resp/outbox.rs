//! What clients are to receive beside the replies to their own requests.
//!
//! Nobody writes into another client's connection: messages are posted here, in order, and the
//! server delivers them after the unit that caused them. All bytes lie in one buffer; a
//! message to many subscribers is stored once and posted many times.

use std::ops::Range;

use crate::base::ids::ClientId;

/// Messages in the order in which they were posted.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    posts: Vec<(ClientId, Range<usize>)>,
    /// The client being served: what it is sent goes right behind its own reply.
    served: Option<ClientId>,
    own: Vec<u8>,
    /// What that client gets in its reply's place, if it wants no replies.
    unasked: Vec<u8>,
}

/// A message stored in the outbox, to be posted to any number of clients.
#[derive(Clone, Debug)]
pub struct Stored(Range<usize>);

impl Outbox {
    /// Nothing was stored: a message that only the client being served got is there until [`Self::clear`].
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.posts.is_empty()
    }

    /// Stores what `write` appends, without sending it to anybody yet.
    pub fn store(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Stored {
        let start = self.bytes.len();
        write(&mut self.bytes);
        Stored(start..self.bytes.len())
    }

    /// Sends a stored message to `to`.
    pub fn post_stored(&mut self, to: ClientId, stored: &Stored) {
        if self.served == Some(to) {
            self.own.extend_from_slice(&self.bytes[stored.0.clone()]);
        } else {
            self.posts.push((to, stored.0.clone()));
        }
    }

    /// Tells which client is being served.
    pub fn serve(&mut self, client: Option<ClientId>) {
        self.served = client;
    }

    /// Whether the client being served was sent something.
    #[inline]
    pub fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Hands out what the client being served was sent.
    pub fn take_own(&mut self, put: impl FnOnce(&[u8])) {
        if !self.own.is_empty() {
            put(&self.own);
            self.own.clear();
        }
    }

    /// Has the client being served, which wants no replies, get `bytes` where its reply would have been.
    pub fn put_unasked(&mut self, bytes: &[u8]) {
        self.unasked.extend_from_slice(bytes);
    }

    /// Hands that out.
    pub fn take_unasked(&mut self, put: impl FnOnce(&[u8])) {
        if !self.unasked.is_empty() {
            put(&self.unasked);
            self.unasked.clear();
        }
    }

    /// Sends `bytes` to `to`.
    pub fn post(&mut self, to: ClientId, bytes: &[u8]) {
        let stored = self.store(|buffer| buffer.extend_from_slice(bytes));
        self.post_stored(to, &stored);
    }

    /// The messages in order.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &[u8])> {
        self.posts.iter().map(|(to, range)| (*to, &self.bytes[range.clone()]))
    }

    /// Forgets everything; keeps a modest buffer for the next turn.
    pub fn clear(&mut self) {
        self.posts.clear();
        self.bytes.clear();
        self.bytes.shrink_to(64 * 1024);
        self.posts.shrink_to(4096);
    }
}
