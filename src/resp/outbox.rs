//! The outbox: messages to clients beside the replies to their own requests.
//!
//! A handler has no access to another client's connection: it posts messages here, in order, and the
//! network sends them after the unit that caused them. All bytes lie in one buffer; a message to many
//! subscribers is stored once and posted many times.

use std::ops::Range;

use crate::base::ids::ClientId;

/// Messages in the order in which they were posted.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    posts: Vec<(ClientId, Range<usize>)>,
    /// The client whose request is running: messages to it are sent right behind its reply.
    current_client: Option<ClientId>,
    self_messages: Vec<u8>,
    /// What the current client gets in place of its reply if CLIENT REPLY is off: pushes are no replies.
    reply_off_messages: Vec<u8>,
}

/// A message stored in the outbox, to be posted to any number of clients.
#[derive(Clone, Debug)]
pub struct SharedMessage(Range<usize>);

impl Outbox {
    /// Nothing was stored: a message that only the current client got is there until [`Self::clear`].
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.posts.is_empty()
    }

    /// Stores what `write` appends, without posting it to a client yet.
    pub fn share(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> SharedMessage {
        let start = self.bytes.len();
        write(&mut self.bytes);
        SharedMessage(start..self.bytes.len())
    }

    /// Posts a stored message to `to`.
    pub fn post_shared(&mut self, to: ClientId, message: &SharedMessage) {
        if self.current_client == Some(to) {
            self.self_messages.extend_from_slice(&self.bytes[message.0.clone()]);
        } else {
            self.posts.push((to, message.0.clone()));
        }
    }

    /// Sets the client whose request is running; `None` between requests.
    pub fn set_current_client(&mut self, client: Option<ClientId>) {
        self.current_client = client;
    }

    /// Whether the current client has messages.
    #[inline]
    pub fn has_self_messages(&self) -> bool {
        !self.self_messages.is_empty()
    }

    /// Takes out the current client's messages.
    pub fn take_self_messages(&mut self, put: impl FnOnce(&[u8])) {
        if !self.self_messages.is_empty() {
            put(&self.self_messages);
            self.self_messages.clear();
        }
    }

    /// Appends `bytes` to what the current client, whose replies are off, gets in place of its reply.
    pub fn put_reply_off_message(&mut self, bytes: &[u8]) {
        self.reply_off_messages.extend_from_slice(bytes);
    }

    /// Takes that out.
    pub fn take_reply_off_messages(&mut self, put: impl FnOnce(&[u8])) {
        if !self.reply_off_messages.is_empty() {
            put(&self.reply_off_messages);
            self.reply_off_messages.clear();
        }
    }

    /// Posts `bytes` to `to`.
    pub fn post(&mut self, to: ClientId, bytes: &[u8]) {
        let message = self.share(|buffer| buffer.extend_from_slice(bytes));
        self.post_shared(to, &message);
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
