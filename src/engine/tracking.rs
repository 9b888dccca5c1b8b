//! Client-side caching: remembers what commands read, and tells the clients that track it what has changed.
//!
//! ```text
//! call ─▶ its changes: readers of the keys are told, followers of their prefixes will be at the turn's end
//!      └▶ then its reads are remembered: a key that the unit has changed before is read anew
//! ```
//!
//! A client is told of what its own request changed right behind the reply. While no client tracks, a call costs one branch.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::Clients;
use crate::engine::clients::session::{Session, Sessions, state};
use crate::engine::command::keys;
use crate::engine::command::spec::flag;
use crate::engine::command::table::CommandId;
use crate::keyspace::event::{self, Event};
use crate::resp::{Args, Outbox, Reply, SharedMessage};
use crate::services::tracking::Tracker;

/// The channel on which a RESP2 client gets the messages.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// Keys that are forgotten at a time, beyond as many as were read, when there are too many.
const EVICT_AT_ONCE: usize = 100;
/// Keys that are searched at a time for readers that are gone.
const SWEEP_AT_ONCE: usize = 2000;
/// What stands around the keys of a message, and around each of them, bytes.
const AROUND_MESSAGE: usize = 64;
const AROUND_KEY: usize = 16;

/// The keys that clients are to forget.
#[derive(Clone, Copy)]
enum Forget<'a> {
    All,
    Keys(&'a [&'a [u8]]),
}

/// A message for any number of clients, made once in each of its forms.
struct Invalidation<'a> {
    forget: Forget<'a>,
    /// As a push of RESP3, and as a published message of RESP2.
    stored: [Option<SharedMessage>; 2],
}

impl<'a> Invalidation<'a> {
    fn new(forget: Forget<'a>) -> Self {
        Invalidation { forget, stored: [None, None] }
    }

    fn size(&self) -> usize {
        match self.forget {
            Forget::All => AROUND_MESSAGE,
            Forget::Keys(keys) => {
                AROUND_MESSAGE + keys.iter().map(|key| key.len() + AROUND_KEY).sum::<usize>()
            }
        }
    }

    fn write(&self, resp3: bool, bytes: &mut Vec<u8>) {
        let mut reply = Reply::new(std::mem::take(bytes), resp3);
        if resp3 {
            reply.push(2);
            reply.bulk(b"invalidate");
        } else {
            reply.array(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        }
        match self.forget {
            Forget::All => reply.null(),
            Forget::Keys(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
        }
        *bytes = reply.into_bytes();
    }
}

/// Whether a change of a key concerns those that cache its value.
fn concerns_caches(event: Event) -> bool {
    // A group's end doesn't change what is read of a stream; a silent replacement is one of databases, which has told all.
    event != event::XGROUP_DESTROY && event != event::SILENT_REPLACE
}

/// Whether no client's command is what changed the key.
fn happened_by_itself(event: Event) -> bool {
    [event::EXPIRED, event::EVICTED, event::HEXPIRED].contains(&event)
}

/// What a message is sent with.
struct Sender<'a> {
    sessions: &'a mut Sessions,
    outbox: &'a mut Outbox,
}

impl Sender<'_> {
    /// Whether the client isn't told of its own changes.
    fn is_no_loop(&self, client: ClientId) -> bool {
        let tracker = self.sessions.get(client).and_then(|session| session.tracker.as_ref());
        tracker.is_some_and(|tracker| tracker.no_loop)
    }

    /// Sends a client that tracks, or the one that it redirects to, what to forget.
    fn send(&mut self, client: ClientId, message: &mut Invalidation<'_>) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(tracker) = session.tracker.as_deref_mut() else { return };
        let (resp3, to) = match tracker.redirect {
            None if session.resp3 => (true, client),
            // It can't be told: RESP2 has no messages beside replies.
            None => return,
            Some((to, id)) => match self.sessions.get(to) {
                Some(target) if target.resp3 => (true, to),
                Some(target) if target.is(state::SUBSCRIBED) => (false, to),
                Some(_) => return,
                None => return self.report_broken_redirection(client, id),
            },
        };
        let stored = match message.stored[usize::from(resp3)].take() {
            Some(stored) => stored,
            None => self.outbox.share(message.size(), |bytes| message.write(resp3, bytes)),
        };
        self.outbox.post_shared(to, &stored);
        message.stored[usize::from(resp3)] = Some(stored);
    }

    /// The client that another one redirects to, by its CLIENT ID, is gone: a RESP3 client is told so each time.
    #[cold]
    fn report_broken_redirection(&mut self, client: ClientId, id: u64) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if let Some(tracker) = session.tracker.as_deref_mut() {
            tracker.broken = true;
        }
        if session.resp3 {
            let mut message = Reply::new(Vec::new(), true);
            message.push(2);
            message.bulk(b"tracking-redir-broken");
            message.integer(id as i64);
            self.outbox.post(client, message.bytes());
        }
    }
}

impl Clients {
    /// Begins to track, or changes how. `prefixes` add to those that the client follows; a broadcast without any follows all keys.
    pub fn start_tracking(&mut self, client: ClientId, mut tracker: Tracker, prefixes: &[&[u8]]) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let old = session.tracker.as_deref_mut();
        if old.is_none() {
            self.tracking.client_came();
        }
        if tracker.broadcast {
            if let Some(old) = old {
                tracker.keep_prefixes(old);
            }
            let followed_all = tracker.follows_all();
            let added: &[&[u8]] = if prefixes.is_empty() { &[b""] } else { prefixes };
            let prefixes = &mut self.tracking.prefixes;
            if added.iter().any(|prefix| prefix.is_empty()) && !followed_all {
                // The empty prefix leads to all keys: with the others beside it the client would be told twice.
                tracker.followed().for_each(|prefix| prefixes.leave(prefix, client));
            }
            let follows_all = followed_all || added.iter().any(|prefix| prefix.is_empty());
            for prefix in added {
                let is_followed = !follows_all || prefix.is_empty();
                let text = if is_followed { prefixes.follow(prefix, client) } else { (*prefix).into() };
                tracker.add_prefix(text);
            }
        }
        session.set(state::TRACKS_READS, !tracker.broadcast);
        session.tracker = Some(Box::new(tracker));
        self.consumers_changed = true;
    }

    /// Ends a client's tracking.
    pub fn stop_tracking(&mut self, client: ClientId) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(tracker) = session.tracker.take() else { return };
        session.set(state::TRACKS_READS | state::CACHING, false);
        tracker.followed().for_each(|prefix| self.tracking.prefixes.leave(prefix, client));
        self.tracking.client_went();
        self.consumers_changed = true;
    }

    /// A key changed, by `origin` if a client's command changed it.
    fn invalidate(&mut self, key: &[u8], origin: Option<ClientId>) {
        let hash = self.tracking.hash(key);
        self.tracking.prefixes.changed(hash, key, origin);
        let Some(readers) = self.tracking.readers.take(hash, key) else { return };
        self.forget_read(key, readers.as_slice(), origin);
    }

    /// Tells the clients that have read a key to forget it, but not `origin` if it doesn't want that.
    fn forget_read(&mut self, key: &[u8], readers: &[ClientId], origin: Option<ClientId>) {
        let keys = [key];
        let mut message = Invalidation::new(Forget::Keys(&keys));
        let mut sender = Sender { sessions: &mut self.sessions, outbox: &mut self.outbox };
        for client in readers {
            let is_told = sender.sessions.get(*client).is_some_and(tracks_reads);
            if is_told && !(origin == Some(*client) && sender.is_no_loop(*client)) {
                sender.send(*client, &mut message);
            }
        }
    }

    /// Tells all clients that track to forget everything: `current` emptied or exchanged databases.
    pub fn invalidate_all(&mut self, current: ClientId) {
        if self.tracking.is_empty() {
            return;
        }
        let outer = self.outbox.current_client();
        self.outbox.set_current_client(Some(current));
        let sessions = self.sessions.iter().filter(|session| session.tracker.is_some());
        let trackers: Vec<ClientId> = sessions.map(|session| session.client).collect();
        let mut message = Invalidation::new(Forget::All);
        let mut sender = Sender { sessions: &mut self.sessions, outbox: &mut self.outbox };
        trackers.into_iter().for_each(|client| sender.send(client, &mut message));
        self.outbox.set_current_client(outer);
        self.tracking.readers.forget_all();
    }

    /// Tells the followers of prefixes which keys below them have changed.
    fn broadcast_invalidations(&mut self) {
        let mut sender = Sender { sessions: &mut self.sessions, outbox: &mut self.outbox };
        self.tracking.prefixes.take_changed(|clients, changed| {
            let keys: Vec<&[u8]> = changed.iter().map(|changed| &*changed.key).collect();
            let mut origins: Vec<ClientId> = changed.iter().filter_map(|changed| changed.origin).collect();
            origins.sort_unstable();
            origins.dedup();
            let mut message = Invalidation::new(Forget::Keys(&keys));
            for client in clients {
                if origins.binary_search(client).is_err() || !sender.is_no_loop(*client) {
                    sender.send(*client, &mut message);
                    continue;
                }
                let others = changed.iter().filter(|changed| changed.origin != Some(*client));
                let keys: Vec<&[u8]> = others.map(|changed| &*changed.key).collect();
                if !keys.is_empty() {
                    sender.send(*client, &mut Invalidation::new(Forget::Keys(&keys)));
                }
            }
        });
    }

    /// Remembers that a client has read a key.
    fn remember_read(&mut self, client: ClientId, key: &[u8]) {
        let sessions = &self.sessions;
        let is_live = |other| sessions.get(other).is_some_and(tracks_reads);
        let hash = self.tracking.hash(key);
        self.tracking.readers.remember(hash, key, client, is_live);
    }
}

/// Whether the keys that the client reads are remembered.
fn tracks_reads(session: &Session) -> bool {
    session.is(state::TRACKS_READS)
}

impl Engine {
    /// Does what follows from a call by a client: to be called after each one, while there are clients that track.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn track_call(&mut self, client: ClientId, id: CommandId, args: Args<'_>) {
        let outer = self.clients.outbox.current_client();
        self.clients.outbox.set_current_client(Some(client));
        let flags = self.commands.get(id).flags;
        if !self.data.keyspace.journal.is_empty() {
            // What only reads changes nothing but what has expired.
            self.invalidate_changes((flags & flag::WRITE != 0).then_some(client));
        }
        if flags & (flag::READONLY | flag::RUNS_SCRIPT) == flag::READONLY
            && self.clients.sessions.get(client).is_some_and(tracks_reads)
        {
            self.remember_reads(client, id, args);
        }
        self.clients.outbox.set_current_client(outer);
    }

    /// Tells what has changed since the last time, by `origin` if a client's command changed it.
    pub(in crate::engine) fn invalidate_changes(&mut self, origin: Option<ClientId>) {
        let mut journal = std::mem::take(&mut self.data.keyspace.journal);
        let untold = journal.start_invalidating();
        for change in &journal.changes()[untold..] {
            if change.modified && concerns_caches(change.event) {
                let origin = if happened_by_itself(change.event) { None } else { origin };
                self.clients.invalidate(journal.key(change), origin);
            }
        }
        self.data.keyspace.journal = journal;
        if self.clients.tracking.prefixes.is_full() {
            self.clients.broadcast_invalidations();
        }
    }

    /// Tells of what was evicted to admit a client's request: in front of its reply.
    #[cold]
    pub(in crate::engine) fn track_admission(&mut self, client: ClientId, reply: &mut Reply) {
        self.clients.outbox.set_current_client(Some(client));
        self.invalidate_changes(None);
        self.clients.outbox.set_current_client(None);
        self.take_self_messages(client, reply);
    }

    /// Remembers the keys of a request, if what CLIENT CACHING said lets it.
    fn remember_reads(&mut self, client: ClientId, id: CommandId, args: Args<'_>) {
        let session = self.clients.sessions.live(client);
        let Some(tracker) = &session.tracker else { return };
        let caching = session.is(state::CACHING);
        if tracker.opt_in && !caching || tracker.opt_out && caching {
            return;
        }
        let spec = self.commands.get(id).spec;
        let mut read = 1;
        if let Some(key) = keys::find_only(spec, args) {
            self.clients.remember_read(client, args.at(key.index));
        } else {
            let mut found = Vec::new();
            keys::find(spec, args, &mut found);
            found.iter().for_each(|key| self.clients.remember_read(client, args.at(key.index)));
            read = found.len();
        }
        self.trim_tracking(read + EVICT_AT_ONCE);
    }

    /// Forgets random keys while more are remembered than may be, `most` of them; true if there are still more.
    fn trim_tracking(&mut self, most: usize) -> bool {
        let limit = self.config.tracking_table_max_keys;
        for _ in 0..most {
            if !self.clients.tracking.readers.is_over(limit) {
                return false;
            }
            let taken = self.clients.tracking.readers.take_random(&mut self.data.rng);
            let Some((key, readers)) = taken else { return false };
            self.clients.forget_read(&key, readers.as_slice(), None);
        }
        self.clients.tracking.readers.is_over(limit)
    }

    /// Ends what CLIENT CACHING said of the request behind it, or of the transaction.
    pub(in crate::engine) fn end_caching(&mut self, client: ClientId, command: Option<CommandId>) {
        let is_client = command.is_some_and(|id| self.commands.get(id).name.starts_with("client|"));
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        if !is_client && !session.is(state::IN_MULTI) {
            session.set(state::CACHING, false);
        }
    }

    /// Ends a turn: makes the table as small as it may be by now, and tells the followers of prefixes what has changed.
    #[inline]
    pub fn finish_tracking(&mut self) {
        if self.clients.tracking.is_empty() {
            return;
        }
        if self.trim_tracking(SWEEP_AT_ONCE) {
            self.wake_soon();
        }
        if self.clients.tracking.prefixes.has_changed() {
            self.clients.broadcast_invalidations();
        }
    }

    /// The periodic work: has memory freed, and looks for readers that are gone.
    pub(in crate::engine) fn maintain_tracking(&mut self) {
        while let Some(table) = self.clients.tracking.readers.take_forgotten() {
            self.data.keyspace.lazy_free.other(Box::new(table));
        }
        let sessions = &self.clients.sessions;
        let is_live = |client| sessions.get(client).is_some_and(tracks_reads);
        self.clients.tracking.readers.sweep(SWEEP_AT_ONCE, is_live);
    }
}
