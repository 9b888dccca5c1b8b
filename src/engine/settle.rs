//! After a unit: what follows from its changes, derived here and nowhere else.
//!
//! The journal says which keys changed and how. From that come failed WATCHes, keyspace
//! notifications, clients whose key has appeared, and the feed. Serving a waiting client may
//! change keys in turn, so it goes round until nothing is left.

use super::session::state;
use super::{Done, Engine, Progress, Request, Wait, blocked};
use crate::base::ids::ClientId;
use crate::keyspace::{Event, event, event::class};
use crate::resp::{Args, OwnedArgs, Reply};
use crate::services::pubsub::Kind;

impl Engine {
    /// Whether the unit left anything to derive.
    #[inline]
    pub(super) fn needs_settling(&self) -> bool {
        !self.data.keyspace.journal.is_empty()
            || !self.stream.unit_feed.is_empty()
            || self.clients.outbox.has_own()
    }

    /// Derives everything from the journal. `client` is who was served, `reply` its reply.
    pub(super) fn settle(&mut self, client: ClientId, reply: &mut Reply) {
        self.frame.hashed = super::NO_KEY;
        self.clients.outbox.serve(Some(client));
        self.derive();
        self.clients.outbox.serve(None);
        // What is not a reply reaches the client even if it wants no replies.
        let unheard =
            self.clients.sessions.get(client).is_some_and(|s| s.is(state::REPLY_OFF | state::REPLY_SKIP));
        if unheard {
            let mut own = Vec::new();
            self.clients.outbox.take_own(|bytes| own.extend_from_slice(bytes));
            self.clients.outbox.put_unasked(&own);
        } else {
            self.clients.outbox.take_own(|bytes| reply.raw(bytes));
        }
    }

    /// As [`Self::settle`], after work that no client asked for (expiry, cron).
    pub fn settle_quietly(&mut self) {
        if self.needs_settling() {
            self.frame.hashed = super::NO_KEY;
            self.derive();
        }
    }

    fn derive(&mut self) {
        self.flush_feed();
        while !self.data.keyspace.journal.is_empty() {
            let mut ready = Vec::new();
            let mut journal = std::mem::take(&mut self.data.keyspace.journal);
            let unpublished = journal.start_publishing();
            for (at, change) in journal.changes().iter().enumerate() {
                let key = journal.key(change);
                if change.modified {
                    // A group's end concerns who waits for the group, and nobody who watches the stream.
                    if change.event != event::XGROUP_DESTROY {
                        self.fail_watchers(change.db, key, change.event == event::EXPIRED);
                    }
                    if !self.clients.blocked.is_empty() && self.clients.blocked.awaits(change.db, key) {
                        ready.push((change.db, Box::<[u8]>::from(key)));
                    }
                }
                if at >= unpublished && journal.publishes(change.event.class) {
                    self.notify(journal.classes, change.db, key, change.event);
                }
            }
            self.data.keyspace.journal = journal;
            self.data.keyspace.journal.clear();
            if !ready.is_empty() {
                // Who is served begins a unit of its own, at its own time.
                self.start_unit();
            }
            for (db, key) in ready {
                self.serve_waiters(db, &key);
            }
        }
    }

    /// Publishes what the transaction has changed so far: in order with its messages, to those who listen
    /// already.
    pub fn notify_so_far(&mut self, client: ClientId) {
        if self.data.keyspace.journal.is_empty() {
            return;
        }
        let mut journal = std::mem::take(&mut self.data.keyspace.journal);
        self.clients.outbox.serve(Some(client));
        let unpublished = journal.start_publishing();
        for change in &journal.changes()[unpublished..] {
            if journal.publishes(change.event.class) {
                self.notify(journal.classes, change.db, journal.key(change), change.event);
            }
        }
        self.clients.outbox.serve(None);
        self.data.keyspace.journal = journal;
    }

    pub(super) fn flush_feed(&mut self) {
        if self.stream.unit_feed.is_empty() {
            return;
        }
        let unit = std::mem::take(&mut self.stream.unit_feed);
        self.stream.feed.unit(&unit);
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

    /// Publishes a keyspace event on its channels.
    fn notify(&mut self, classes: u32, db: u32, key: &[u8], event: Event) {
        if self.clients.pubsub.is_quiet() {
            return;
        }
        if classes & class::KEYSPACE != 0 {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            self.publish(Kind::Channel, &channel, event.name.as_bytes());
        }
        if classes & class::KEYEVENT != 0 {
            let channel = format!("__keyevent@{db}__:{}", event.name);
            self.publish(Kind::Channel, channel.as_bytes(), key);
        }
    }

    /// Delivers a message to whoever listens; returns to how many.
    pub fn publish(&mut self, kind: Kind, channel: &[u8], message: &[u8]) -> usize {
        let mut receivers = 0;
        let word: &[u8] = if kind == Kind::Shard { b"smessage" } else { b"message" };
        let (outbox, sessions) = (&mut self.clients.outbox, &self.clients.sessions);
        let mut deliver = |words: &[&[u8]], to: &mut dyn Iterator<Item = ClientId>| {
            let mut stored = [None, None];
            for client in to {
                let resp3 = sessions.get(client).is_some_and(|session| session.resp3);
                let stored = stored[usize::from(resp3)].get_or_insert_with(|| {
                    outbox.store(|bytes| {
                        let mut reply = Reply::new(std::mem::take(bytes), resp3);
                        reply.push(words.len());
                        words.iter().for_each(|word| reply.bulk(word));
                        *bytes = reply.into_bytes();
                    })
                });
                outbox.post_stored(client, stored);
                receivers += 1;
            }
        };
        deliver(&[word, channel, message], &mut self.clients.pubsub.listeners(kind, channel));
        if kind == Kind::Channel {
            for (pattern, mut listeners) in self.clients.pubsub.matching(channel) {
                deliver(&[b"pmessage", pattern, channel, message], &mut listeners);
            }
        }
        receivers
    }

    /// Lets a client wait, or replies at once where waiting is not allowed.
    pub(super) fn block(&mut self, client: ClientId, wait: Wait, args: Args<'_>) -> Progress {
        let db = self.clients.sessions.live(client).db;
        let mut wait = wait;
        let request = wait.request.take().unwrap_or_else(|| args.to_owned());
        let waiting = self.clients.blocked.enter(client, db, wait, request);
        let session = self.clients.sessions.live_mut(client);
        session.waiting = Some(waiting);
        session.set(state::BLOCKED, true);
        self.listen();
        Progress::Blocked
    }

    /// Tries the clients that wait for a key, first come first, while the key suits them.
    fn serve_waiters(&mut self, db: u32, key: &[u8]) {
        let mut at = 0;
        for _ in 0..self.clients.blocked.waiter_count(db, key) {
            let Some(client) = self.clients.blocked.waiter(db, key, at) else { return };
            let mut view = self.view(db as usize);
            // A key past its deadline stays where it is: only what a command removes is fed.
            let found = if view.is_expired(key) { None } else { view.peek(key) };
            let type_name = found.map(|found| view.type_of(found));
            if type_name.is_none() && !self.clients.blocked.is_gone_awaited(db, key) {
                return;
            }
            let waiting = self.clients.sessions.get(client).and_then(|session| session.waiting.as_ref());
            if let Some(waiting) = waiting
                && (type_name == Some(waiting.wait.type_name) || waiting.wait.even_if_gone)
            {
                let request = waiting.request.clone();
                self.retry(client, &request);
            }
            // Who was served has left the queue, and the next one has moved up.
            at += usize::from(self.clients.blocked.waiter(db, key, at) == Some(client));
        }
    }

    /// Runs a waiting client's request again; it goes on waiting if there is still nothing for it.
    fn retry(&mut self, client: ClientId, request: &OwnedArgs) {
        let args = request.as_args();
        let Ok(id) = self.registry.resolve(args.at(0), args.get(1)) else { return };
        let resp3 = self.clients.sessions.live(client).resp3;
        let mut reply = Reply::new(Vec::new(), resp3);
        let outcome = self.call_again(client, id, args, &mut reply);
        self.flush_feed();
        if matches!(outcome, Ok(Done::Blocked(_))) {
            return;
        }
        self.unblock_with(client, reply.bytes());
    }

    /// Ends a client's wait with a reply.
    pub(super) fn unblock_with(&mut self, client: ClientId, reply: &[u8]) {
        if self.stop_waiting(client) {
            let session = self.clients.sessions.live_mut(client);
            session.active_ms = self.frame.now;
            if !session.is(state::REPLY_OFF | state::REPLY_SKIP) {
                self.clients.outbox.post(client, reply);
            }
            session.skip_next();
            self.actions.push_back(Request::Resume(client));
        }
    }

    /// Takes a client out of the waiting ones; false if it didn't wait.
    pub(super) fn stop_waiting(&mut self, client: ClientId) -> bool {
        let Some(session) = self.clients.sessions.get_mut(client) else { return false };
        let Some(waiting) = session.waiting.take() else { return false };
        session.set(state::BLOCKED, false);
        self.clients.blocked.leave(client, &waiting);
        self.listen();
        true
    }

    /// CLIENT UNBLOCK: ends a client's wait as its timeout would, or with an error.
    pub fn unblock(&mut self, client: ClientId, with_error: bool) -> bool {
        let Some(session) = self.clients.sessions.get(client) else { return false };
        let Some(waiting) = &session.waiting else { return false };
        let mut reply = Reply::new(Vec::new(), session.resp3);
        let args = waiting.request.as_args();
        let command = self.registry.resolve(args.at(0), args.get(1)).ok();
        if with_error {
            reply.error(&blocked::UNBLOCKED);
            self.metrics.stats.error(blocked::UNBLOCKED.code());
        } else {
            waiting.wait.on_timeout.write(&mut reply);
        }
        // The call that began to wait is over only now.
        if let Some(command) = command {
            let stats = &mut self.metrics.stats.commands[command.0 as usize];
            stats.calls += 1;
            stats.failed += u64::from(with_error);
            self.metrics.stats.commands_processed += 1;
        }
        self.unblock_with(client, reply.bytes());
        true
    }

    /// Ends the waits whose time is up.
    pub(super) fn end_due_waits(&mut self) {
        while let Some(client) = self.clients.blocked.pop_due(self.frame.now) {
            self.unblock(client, false);
        }
    }

    /// Marks every key of a database as touched, for FLUSHDB and SWAPDB: watchers of keys that
    /// exist (before or after) fail, and waiting clients look again.
    pub fn touch_database(&mut self, db: u32, other: Option<u32>) {
        for (key, client, was_expired) in self.clients.watches.of_database(db) {
            let exists = self.view(db as usize).exists(&key);
            let will = other.is_some_and(|other| self.view(other as usize).exists(&key));
            if (exists && !was_expired) || will {
                self.clients.sessions.live_mut(client).set(state::DIRTY_CAS, true);
            }
        }
    }

    /// Before FLUSHDB and SWAPDB: clients that wait for a key which exists, or will then, look again after
    /// the unit.
    pub fn wake_database(&mut self, db: u32, other: Option<u32>) {
        for key in self.clients.blocked.keys_of(db) {
            let exists = self.view(db as usize).exists(&key);
            if exists || other.is_some_and(|other| self.view(other as usize).exists(&key)) {
                self.data.keyspace.journal.changed(db, &key, 0, event::UPROOTED);
            }
        }
    }

    /// Records changes from now on only if somebody wants to know.
    pub fn listen(&mut self) {
        let journal = &mut self.data.keyspace.journal;
        journal.listening = !self.clients.watches.is_empty()
            || !self.clients.blocked.is_empty()
            || self.stream.feed.is_wanted();
        journal.classes = self.settings.notify_classes;
    }

    /// Forgets what a client watches.
    pub fn unwatch_all(&mut self, client: ClientId) {
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        session.set(state::DIRTY_CAS, false);
        let Some(transaction) = &mut session.transaction else { return };
        let watched = std::mem::take(&mut transaction.watched);
        if !session.is(state::IN_MULTI) {
            session.transaction = None;
        }
        for (db, key) in watched {
            self.clients.watches.unwatch(client, db, &key);
        }
        self.listen();
    }

    /// Forgets what a client listens to, without telling it.
    pub fn unsubscribe_all(&mut self, client: ClientId) {
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        let Some(subscriptions) = session.subscriptions.take() else { return };
        session.set(state::SUBSCRIBED, false);
        for (kind, names) in [
            (Kind::Channel, &subscriptions.channels),
            (Kind::Pattern, &subscriptions.patterns),
            (Kind::Shard, &subscriptions.shard),
        ] {
            for name in names {
                self.clients.pubsub.unsubscribe(kind, name, client);
            }
        }
    }

    /// Shows a request to clients in MONITOR.
    #[cold]
    pub fn tell_monitors(&mut self, client: ClientId, args: Args<'_>) {
        let Some(session) = self.clients.sessions.get(client) else { return };
        let (seconds, micros) = (self.frame.now_us / 1_000_000, self.frame.now_us % 1_000_000);
        let source = session.peer.source();
        let mut line = format!("+{seconds}.{micros:06} [{} {source}]", session.db).into_bytes();
        let redacted = self.redacted(args);
        for arg in redacted.as_ref().map_or(args, OwnedArgs::as_args).iter() {
            line.push(b' ');
            crate::base::quoting::push_quoted(&mut line, arg);
        }
        line.extend_from_slice(b"\r\n");
        let stored = self.clients.outbox.store(|bytes| bytes.extend_from_slice(&line));
        self.clients.outbox.serve(Some(client));
        for monitor in &self.clients.monitors {
            self.clients.outbox.post_stored(*monitor, &stored);
        }
        self.clients.outbox.serve(None);
    }
}
