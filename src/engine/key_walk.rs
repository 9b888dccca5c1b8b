//! KEYS in slices: the walks over keys go on in each turn, and their answers are sent when they are over.
//!
//! The client waits meanwhile, and others are served. Where a client may not wait (EXEC, scripts) KEYS lists all keys at once, as it
//! does where there are few, or where several such walks are under way.

use crate::base::ids::ClientId;
use crate::engine::{Awaited, Engine};
use crate::keyspace::KeyWalk;
use crate::resp::Reply;

/// Keys listed between two looks at the clock.
const KEYS_A_STEP: usize = 500;
/// Longest time that listing keys takes of a turn, ns.
const SLICE: u64 = 300_000;

impl Engine {
    /// Whether a client waits for an answer that is being made.
    pub fn is_being_answered(&self, client: ClientId) -> bool {
        let waiting = self.clients.sessions.get(client).and_then(|session| session.waiting.as_ref());
        waiting.is_some_and(|waiting| matches!(waiting.wait.awaited, Awaited::Answer | Awaited::Vectors))
    }

    /// A job of each turn: lists some more keys, and answers those for which all are listed.
    pub(in crate::engine) fn list_keys(&mut self) -> bool {
        let started = self.clock.ticks();
        while self.data.keyspace.walk_some_keys(KEYS_A_STEP)
            && self.clock.nanos(started, self.clock.ticks()) < SLICE
        {}
        let nanos = self.clock.nanos(started, self.clock.ticks());
        let mut waiting = std::mem::take(&mut self.clients.answered);
        waiting.retain(|client| self.is_being_answered(*client));
        // The walks go on one after the other: it is the first one's time.
        let first = waiting.first().and_then(|client| self.clients.sessions.get_mut(*client));
        if let Some(waiting) = first.and_then(|session| session.waiting.as_mut()) {
            waiting.wait.nanos += nanos;
        }
        while let Some(walk) = self.data.keyspace.take_key_walk(|client| waiting.contains(&client)) {
            waiting.retain(|client| *client != walk.keys.client);
            self.answer_walk(walk);
        }
        self.clients.answered = waiting;
        !self.clients.answered.is_empty()
    }

    fn answer_walk(&mut self, walk: KeyWalk) {
        let client = walk.keys.client;
        if walk.is_too_large() {
            self.end_slow_reader(client);
            return self.kill(client);
        }
        self.count_answer(client, walk.bytes);
        self.clients.stop_waiting(client);
        self.refresh_changed_recording();
        if self.takes_late_replies(client) {
            let mut head = Reply::new(Vec::new(), false);
            head.array(walk.count);
            self.clients.outbox.post(client, head.bytes());
            walk.pieces.into_iter().for_each(|piece| self.clients.outbox.post_whole(client, piece));
        }
        self.go_on(client);
    }
}
