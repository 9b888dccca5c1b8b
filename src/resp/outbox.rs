//! The outbox: messages to clients beside the replies to their own requests.
//!
//! A handler has no access to another client's connection: it posts messages here, in order, and the
//! network sends them after the unit that caused them. A message to many clients is stored once and
//! posted many times.
//!
//! ```text
//! bytes  [ message a ][ message b ][ message c ] …     short messages of the turn, until all are sent
//! posts  client 5: a · client 9: a · client 5: b …     taken by the network, in order
//! ```
//!
//! Messages that follow each other in `bytes` and go to the same client are one piece for its socket.

use std::ops::Range;
use std::sync::Arc;

use crate::base::ids::ClientId;

/// A message of this size and more has an allocation of its own, which the outputs of slow readers share.
pub const LONG_MESSAGE: usize = 16 * 1024;
/// Room for short messages that is kept from turn to turn, bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// Room for posts that is kept from turn to turn.
const KEPT_POSTS: usize = 4096;
/// Room for messages to the current client that is kept from request to request, bytes.
const KEPT_SELF_MESSAGES: usize = 16 * 1024;

/// Messages in the order in which they were posted.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Bytes of the long messages since the last [`Self::clear`], each counted once.
    long: usize,
    posts: Vec<(ClientId, SharedMessage)>,
    /// The client whose request is running: messages to it are sent right behind its reply.
    current_client: Option<ClientId>,
    self_messages: Vec<u8>,
    /// What the current client gets in place of its reply if CLIENT REPLY is off: pushes are no replies.
    reply_off_messages: Vec<u8>,
}

/// A message stored in the outbox, to be posted to any number of clients.
#[derive(Clone, Debug)]
pub enum SharedMessage {
    /// A range of [`Outbox::bytes`].
    Short(Range<usize>),
    Long(Arc<Vec<u8>>),
}

/// The request around an inner one: its client and the messages to it so far.
#[derive(Debug)]
pub struct OuterRequest {
    client: Option<ClientId>,
    messages: Vec<u8>,
}

impl Outbox {
    /// Whether no message waits to be taken by the network.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    /// Stores what `write` appends, about `size` bytes, without posting it to a client yet.
    pub fn share(&mut self, size: usize, write: impl FnOnce(&mut Vec<u8>)) -> SharedMessage {
        if size >= LONG_MESSAGE {
            let mut message = Vec::with_capacity(size);
            write(&mut message);
            self.long += message.len();
            return SharedMessage::Long(Arc::new(message));
        }
        let start = self.bytes.len();
        write(&mut self.bytes);
        SharedMessage::Short(start..self.bytes.len())
    }

    /// Posts a stored message to `to`.
    #[inline]
    pub fn post_shared(&mut self, to: ClientId, message: &SharedMessage) {
        if self.current_client != Some(to) {
            return self.posts.push((to, message.clone()));
        }
        self.self_messages.extend_from_slice(match message {
            SharedMessage::Short(range) => &self.bytes[range.clone()],
            SharedMessage::Long(bytes) => bytes,
        });
    }

    /// Posts `bytes` to `to`.
    pub fn post(&mut self, to: ClientId, bytes: &[u8]) {
        let message = self.share(bytes.len(), |buffer| buffer.extend_from_slice(bytes));
        self.post_shared(to, &message);
    }

    /// Posts a long message as it is, without a copy.
    pub fn post_whole(&mut self, to: ClientId, bytes: Vec<u8>) {
        self.long += bytes.len();
        self.post_shared(to, &SharedMessage::Long(Arc::new(bytes)));
    }

    /// The client whose request is running.
    pub fn current_client(&self) -> Option<ClientId> {
        self.current_client
    }

    /// Sets the client whose request is running; `None` between requests.
    pub fn set_current_client(&mut self, client: Option<ClientId>) {
        self.current_client = client;
    }

    /// As [`Self::set_current_client`], for a request within another client's; [`Self::leave_request`] ends it.
    pub fn enter_request(&mut self, client: ClientId) -> OuterRequest {
        let messages = std::mem::take(&mut self.self_messages);
        OuterRequest { client: self.current_client.replace(client), messages }
    }

    /// Ends the inner request; answers its client's messages.
    pub fn leave_request(&mut self, outer: OuterRequest) -> Vec<u8> {
        self.current_client = outer.client;
        std::mem::replace(&mut self.self_messages, outer.messages)
    }

    /// The current client's messages don't wait for its reply any more.
    pub fn post_self_messages(&mut self, client: ClientId) {
        debug_assert_eq!(self.current_client, None);
        let messages = std::mem::take(&mut self.self_messages);
        if !messages.is_empty() {
            self.post(client, &messages);
        }
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
            self.self_messages.shrink_to(KEPT_SELF_MESSAGES);
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
            self.reply_off_messages.shrink_to(KEPT_SELF_MESSAGES);
        }
    }

    /// Takes the posts, in order. The bytes of short messages stay until [`Self::clear`].
    pub fn take_posts(&mut self, mut take: impl FnMut(ClientId, SharedMessage)) {
        self.posts.drain(..).for_each(|(to, message)| take(to, message));
        self.posts.shrink_to(KEPT_POSTS);
    }

    /// The short messages that are stored, one behind the other.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all messages that are stored, long ones included.
    #[inline]
    pub fn stored(&self) -> usize {
        self.bytes.len() + self.long
    }

    /// The messages that wait to be taken, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &[u8])> {
        self.posts.iter().map(|(to, message)| {
            let bytes = match message {
                SharedMessage::Short(range) => &self.bytes[range.clone()],
                SharedMessage::Long(bytes) => bytes,
            };
            (*to, bytes)
        })
    }

    /// Forgets the short messages, once those that were taken are sent; if more were posted meanwhile, later.
    pub fn clear(&mut self) {
        if self.posts.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.long = 0;
        }
    }

    /// Bytes that the outbox takes.
    pub fn memory_usage(&self) -> usize {
        let posts = self.posts.capacity() * size_of::<(ClientId, SharedMessage)>();
        let own = self.self_messages.capacity() + self.reply_off_messages.capacity();
        posts + self.bytes.capacity() + self.long + own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(index: u32) -> ClientId {
        ClientId { index, generation: 1 }
    }

    /// What each client is to receive, as the network would gather it.
    fn take(outbox: &mut Outbox) -> Vec<(u32, Vec<u8>)> {
        let waiting: Vec<_> = outbox.iter().map(|(to, bytes)| (to.index, bytes.to_vec())).collect();
        let mut taken = Vec::new();
        outbox.take_posts(|to, message| taken.push((to.index, message)));
        let taken: Vec<_> = taken
            .into_iter()
            .map(|(to, message)| match message {
                SharedMessage::Short(range) => (to, outbox.bytes()[range].to_vec()),
                SharedMessage::Long(bytes) => (to, bytes.to_vec()),
            })
            .collect();
        assert_eq!(taken, waiting);
        taken
    }

    #[test]
    fn a_message_to_many_is_stored_once() {
        let mut outbox = Outbox::default();
        let short = outbox.share(5, |bytes| bytes.extend_from_slice(b"short"));
        let long = outbox.share(LONG_MESSAGE, |bytes| bytes.resize(LONG_MESSAGE, b'l'));
        (0..100).for_each(|index| outbox.post_shared(client(index), &short));
        (0..100).for_each(|index| outbox.post_shared(client(index), &long));
        assert_eq!((outbox.bytes(), outbox.stored()), (&b"short"[..], 5 + LONG_MESSAGE));
        let taken = take(&mut outbox);
        assert_eq!(
            (taken.len(), &taken[99], taken[100].1.len()),
            (200, &(99, b"short".to_vec()), LONG_MESSAGE)
        );
        assert!(outbox.is_empty());
        outbox.clear();
        assert_eq!(outbox.stored(), 0);
    }

    #[test]
    fn what_is_posted_between_taking_and_clearing_is_kept() {
        let mut outbox = Outbox::default();
        outbox.post(client(1), b"first");
        assert_eq!(take(&mut outbox), [(1, b"first".to_vec())]);
        outbox.post(client(2), b"second");
        outbox.clear();
        assert_eq!(take(&mut outbox), [(2, b"second".to_vec())]);
        outbox.clear();
        assert_eq!((outbox.is_empty(), outbox.bytes()), (true, &b""[..]));
    }

    #[test]
    fn the_current_client_gets_its_messages_apart() {
        let mut outbox = Outbox::default();
        outbox.set_current_client(Some(client(1)));
        outbox.post(client(1), b"self");
        outbox.post(client(2), b"other");
        outbox.set_current_client(None);
        assert_eq!(take(&mut outbox), [(2, b"other".to_vec())]);
        let mut got = Vec::new();
        outbox.take_self_messages(|bytes| got.extend_from_slice(bytes));
        assert_eq!((got.as_slice(), outbox.has_self_messages()), (&b"self"[..], false));
    }

    #[test]
    fn big_buffers_are_given_back() {
        const BIG: usize = 7 << 20;
        let mut outbox = Outbox::default();
        let short = vec![b's'; LONG_MESSAGE - 1];
        for _ in 0..BIG / short.len() {
            outbox.post(client(2), &short);
        }
        (0..100_000).for_each(|index| outbox.post(client(index), b""));
        outbox.set_current_client(Some(client(1)));
        outbox.post(client(1), &vec![b'x'; BIG]);
        outbox.put_reply_off_message(&vec![b'x'; BIG]);
        assert!(outbox.memory_usage() > 3 * BIG);
        outbox.take_self_messages(|bytes| assert_eq!(bytes.len(), BIG));
        outbox.take_reply_off_messages(|bytes| assert_eq!(bytes.len(), BIG));
        outbox.take_posts(|_, _| {});
        outbox.clear();
        assert!(outbox.memory_usage() < 300_000, "{} bytes", outbox.memory_usage());
    }
}
