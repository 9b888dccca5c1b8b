//! Effects of changes after a command (`afterCommand`): propagation, WATCH, keyspace notifications and unblocking.
//!
//! The journal says which keys changed and how. From that come failed WATCHes, keyspace notifications and clients
//! whose key has appeared. A client that is served may change keys in turn, so it goes round until nothing is left.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::session::state;
use crate::keyspace::{AccessMeaning, event};
use crate::resp::Reply;

impl Engine {
    /// Whether the unit left anything to do.
    #[inline]
    pub(in crate::engine) fn needs_propagation(&self) -> bool {
        if self.scripting.is_busy() {
            // What a slow script has changed so far is part of a unit that goes on.
            return self.clients.outbox.has_self_messages();
        }
        !self.data.keyspace.journal.is_empty()
            || self.stream.in_unit()
            || self.has_released_keys()
            || self.clients.outbox.has_self_messages()
    }

    /// Does what follows from the changes. `client` sent the command, `reply` is its reply.
    pub(in crate::engine) fn after_command(&mut self, client: ClientId, reply: &mut Reply) {
        self.clients.outbox.set_current_client(Some(client));
        self.process_changes();
        self.clients.outbox.set_current_client(None);
        self.take_self_messages(client, reply);
    }

    /// Puts the messages to the client whose request was running where its next reply goes.
    pub(in crate::engine) fn take_self_messages(&mut self, client: ClientId, reply: &mut Reply) {
        // What is not a reply reaches the client even if it wants no replies.
        let unheard =
            self.clients.sessions.get(client).is_some_and(|s| s.is(state::REPLY_OFF | state::REPLY_SKIP));
        if unheard {
            let mut own = Vec::new();
            self.clients.outbox.take_self_messages(|bytes| own.extend_from_slice(bytes));
            self.clients.outbox.put_reply_off_message(&own);
        } else {
            self.clients.outbox.take_self_messages(|bytes| reply.raw(bytes));
        }
    }

    /// As [`Self::after_command`], after a periodic job (expiry, eviction).
    pub fn after_cron(&mut self) {
        if self.needs_propagation() {
            self.process_changes();
        }
    }

    /// Whether a pause or a migration that is over held back clients from keys that changed.
    #[inline]
    fn has_released_keys(&self) -> bool {
        self.clients.releases_held && !self.clients.held_keys.is_empty() && self.clients.pause.is_none()
    }

    fn process_changes(&mut self) {
        if self.scripting.is_busy() {
            return;
        }
        self.stream.end_unit();
        if self.frame.is_serving {
            // Keys were evicted to admit a client that is being served: the clients that wait for these come after it.
            let mut ready = std::mem::take(&mut self.clients.ready_keys);
            self.publish_changes(&mut ready);
            self.clients.ready_keys = ready;
            return;
        }
        self.frame.is_serving = true;
        self.serve_changed_keys();
        self.frame.is_serving = false;
    }

    /// Publishes changes and serves the clients that wait for changed keys, until nothing is left.
    fn serve_changed_keys(&mut self) {
        loop {
            let mut ready = std::mem::take(&mut self.clients.ready_keys);
            if self.has_released_keys() {
                self.clients.releases_held = false;
                ready.extend(std::mem::take(&mut self.clients.held_keys));
            }
            self.publish_changes(&mut ready);
            if ready.is_empty() {
                return;
            }
            // A client that is served begins a unit of its own, at its own time.
            self.start_unit();
            for (db, key) in ready {
                self.serve_waiters(db, &key);
            }
        }
    }

    /// Fails watchers and publishes events, adds the keys that clients wait for to `ready`, and clears the journal.
    fn publish_changes(&mut self, ready: &mut Vec<(u32, Box<[u8]>)>) {
        if !self.clients.tracking.is_empty() {
            // Those of calls have been told: what is left has expired or was evicted.
            self.invalidate_changes(None);
        }
        let mut journal = std::mem::take(&mut self.data.keyspace.journal);
        let unpublished = journal.start_publishing();
        let notes_times = self.settings.policy.access_meaning() == AccessMeaning::LastChange;
        for (at, change) in journal.changes().iter().enumerate() {
            let key = journal.key(change);
            if change.modified {
                // RESTORE has set the time. Vector sets and cached counts (PFCOUNT) change without an event.
                let has_new_time = change.event.class != 0
                    || change.event == event::VECTOR_SET
                    || change.event == event::SILENT;
                if notes_times && has_new_time && change.event != event::RESTORE {
                    let word = self.lru_clock().fresh();
                    self.data.keyspace.set_access(change.db, key, word);
                }
                // A group's end concerns clients that wait for the group, not those that watch the stream.
                if change.event != event::XGROUP_DESTROY {
                    self.fail_watchers(change.db, key, change.event == event::EXPIRED);
                }
                if self.migrate.holds_keys() {
                    self.migrate.note_change(change.db, key, change.event);
                }
                if !self.clients.blocked.is_empty() && self.clients.blocked.signal(change.db, key) {
                    ready.push((change.db, key.into()));
                }
            }
            if at >= unpublished && journal.publishes(change.event.class) {
                self.clients.notify(journal.classes, change.db, key, change.event);
            }
        }
        self.data.keyspace.journal = journal;
        self.data.keyspace.journal.clear();
    }

    /// Publishes what the transaction has changed so far: in order with its messages, to the clients that
    /// are subscribed by now.
    pub fn notify_so_far(&mut self, client: ClientId) {
        if self.data.keyspace.journal.is_empty() {
            return;
        }
        let mut journal = std::mem::take(&mut self.data.keyspace.journal);
        self.clients.outbox.set_current_client(Some(client));
        let unpublished = journal.start_publishing();
        for change in &journal.changes()[unpublished..] {
            if journal.publishes(change.event.class) {
                self.clients.notify(journal.classes, change.db, journal.key(change), change.event);
            }
        }
        self.clients.outbox.set_current_client(None);
        self.data.keyspace.journal = journal;
    }

    fn fail_watchers(&mut self, db: u32, key: &[u8], expired: bool) {
        if self.clients.watches.is_empty() {
            return;
        }
        for client in self.clients.watches.touched(db, key, expired) {
            if let Some(session) = self.clients.sessions.get_mut(client) {
                session.set(state::DIRTY_CAS, true);
            }
        }
    }

    /// Marks every key of a database as touched, for FLUSHDB and SWAPDB: watchers of keys that
    /// exist (before or after) fail, and waiting clients look again.
    pub fn touch_database(&mut self, db: u32, other: Option<u32>) {
        if let Some(other) = other {
            self.migrate.note_swap([db, other]);
        }
        for place in [Some(db), other].into_iter().flatten() {
            let database = self.data.keyspace.database(place as usize);
            for key in self.clients.watches.keys_in(db, database) {
                // One past its deadline goes: it must not seem to have expired since WATCH.
                let exists = self.view(db as usize).exists(&key);
                let will = other.is_some_and(|other| self.view(other as usize).exists(&key));
                for (client, was_expired) in self.clients.watches.watchers(db, &key) {
                    if (exists && !was_expired) || will {
                        self.clients.sessions.live_mut(client).set(state::DIRTY_CAS, true);
                    }
                }
            }
        }
    }

    /// Whether a key is there and not past its deadline. One that is stays where it is: only what a request removes is propagated.
    fn is_there(&mut self, db: u32, key: &[u8]) -> bool {
        let mut view = self.view(db as usize);
        !view.is_expired(key) && view.lookup_silent(key).is_some()
    }

    /// Before FLUSHDB and SWAPDB: clients that wait for a key which exists, or will then, look again after
    /// the unit.
    pub fn wake_database(&mut self, db: u32, other: Option<u32>) {
        let keyspace = &self.data.keyspace;
        let mut keys = self.clients.blocked.keys_in(db, keyspace.database(db as usize));
        // A key that is in both is woken once.
        if let Some(other) = other {
            keys.extend(self.clients.blocked.keys_in(db, keyspace.database(other as usize)));
            keys.sort_unstable();
            keys.dedup();
        }
        for key in keys {
            if self.is_there(db, &key) || other.is_some_and(|other| self.is_there(other, &key)) {
                self.data.keyspace.journal.changed(db, &key, 0, event::SILENT_REPLACE);
            }
        }
    }
}
