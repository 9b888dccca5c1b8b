//! MIGRATE as the engine sees it: which keys are on their way to other servers, and what happens to them meanwhile.
//!
//! ```text
//! MIGRATE ─▶ its keys are held ─▶ the service asks for one after the other: dumped, sent ─▶ over: those that the target has
//!            (who would change                                                               acknowledged are removed, the
//!             them is postponed)                                                             client gets its reply
//! ```
//!
//! The loop never waits for the target, so that to other clients a migration isn't one moment as in Redis. What they see is
//! the same: held keys can be read, and requests that would change them wait until the migration is over, as all requests do in
//! Redis. Keys that expire, or go with FLUSHALL or an eviction, are simply gone here. A change that nothing could hold back (a script
//! that writes to keys it hasn't declared, SWAPDB) keeps its key here, and MIGRATE says so. Keys are removed together, and
//! never while writes are paused, a script is in the middle of what it does, or data is being loaded.

use std::collections::{BTreeMap, BTreeSet};

use super::clients::key_map::KeyMap;
use super::clients::session::{Role, state};
use super::command::keys;
use super::command::spec::{flag, key};
use super::command::table::CommandId;
use super::links::{LinkEvent, LinkOwner};
use super::{Engine, ServerAction};
use crate::base::hash::KeyHasher;
use crate::base::ids::{ClientId, LinkId};
use crate::base::number;
use crate::keyspace::event::{self, Event};
use crate::resp::{Args, CommandError, Reply};
use crate::services::command_stream::{self, Target};
use crate::services::migrate::{Action, Asked, Failure, Migrations, Order, Over, RequestId};
use crate::services::persist::codec::payload;

/// The command by which a target is given a key.
pub const RESTORE: &[u8] = b"RESTORE";

/// See the head of this file.
pub struct Migrate {
    service: Migrations,
    requests: BTreeMap<RequestId, Request>,
    last: RequestId,
    held: KeyMap<Held>,
}

/// A MIGRATE that isn't over.
struct Request {
    client: ClientId,
    db: u32,
    keys: Vec<Box<[u8]>>,
    copies: bool,
    /// Clients whose requests would change its keys.
    postponed: BTreeSet<ClientId>,
}

/// A key on its way.
#[derive(Debug, Default)]
struct Held {
    request: RequestId,
    /// It is another value than the one that was sent.
    has_changed: bool,
}

impl Migrate {
    /// Nothing is on its way; keys are hashed by `hasher`.
    pub(super) fn new(hasher: KeyHasher) -> Self {
        Migrate {
            service: Migrations::default(),
            requests: BTreeMap::new(),
            last: 0,
            held: KeyMap::new(hasher),
        }
    }

    /// Whether keys are on their way.
    #[inline]
    pub fn holds_keys(&self) -> bool {
        !self.held.is_empty()
    }

    /// Links that are open.
    pub fn link_count(&self) -> usize {
        self.service.link_count()
    }

    /// When something is to be done, by the steady clock, ms.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.service.next_due()
    }

    /// A key has changed.
    pub(super) fn note_change(&mut self, db: u32, key: &[u8], event: Event) {
        // The target sees to what expires, a cached count is no other value, and databases that change places are noted as such.
        let is_none = [event::EXPIRED, event::EVICTED, event::HEXPIRED, event::SILENT, event::SILENT_REPLACE];
        if is_none.contains(&event) {
            return;
        }
        if let Some(held) = self.held.get_mut(db, key) {
            held.has_changed = true;
        }
    }

    /// Two databases have changed places.
    pub(super) fn note_swap(&mut self, databases: [u32; 2]) {
        for request in self.requests.values().filter(|request| databases.contains(&request.db)) {
            for key in &request.keys {
                if let Some(held) = self.held.get_mut(request.db, key) {
                    held.has_changed = true;
                }
            }
        }
    }
}

impl Engine {
    /// Begins to move keys of a client's database, which exist, to another server, or to copy them; the reply follows. In a call
    /// that ends with [`Done::Deferred`](super::Done).
    pub fn migrate_keys(&mut self, client: ClientId, order: Order, keys: Vec<Box<[u8]>>, copies: bool) {
        let db = self.clients.sessions.live(client).db;
        self.migrate.last += 1;
        let id = self.migrate.last;
        for key in &keys {
            *self.migrate.held.get_or_default(db, key) = Held { request: id, has_changed: false };
        }
        self.migrate.requests.insert(id, Request { client, db, keys, copies, postponed: BTreeSet::new() });
        self.migrate.service.begin(id, order, self.frame.steady());
        self.refresh_recording();
        self.actions.push_back(ServerAction::ContinueMigrations);
    }

    /// Whether a request would change a key that is on its way: it is postponed then.
    pub(super) fn is_held_back(&mut self, client: ClientId, id: CommandId, args: Args<'_>) -> bool {
        let session = self.clients.sessions.live(client);
        let is_queued = session.is(state::IN_MULTI) && self.commands.get(id).flags & flag::UNQUEUED == 0;
        if session.role != Role::Normal || is_queued {
            return false;
        }
        let (mut db, mut found) = (session.db, Vec::new());
        let queue = session.transaction.as_ref().filter(|_| id == self.commands.known.exec);
        let queue = queue.iter().flat_map(|queue| &queue.queue).map(|(id, request)| (*id, request.as_args()));
        let mut holder = None;
        for (id, args) in queue.chain([(id, args)]) {
            if id == self.commands.known.select {
                db = args
                    .get(1)
                    .and_then(number::parse_i64)
                    .and_then(|db| u32::try_from(db).ok())
                    .unwrap_or(db);
            }
            if self.admission_flags(id, args) & (flag::WRITE | flag::MAY_REPLICATE) == 0 {
                continue;
            }
            keys::find(self.commands.get(id).spec, args, &mut found);
            let changed = found.iter().filter(|found| found.flags & key::RO == 0);
            holder = changed.map(|key| args.at(key.index)).find_map(|key| self.migrate.held.get(db, key));
            if holder.is_some() {
                break;
            }
        }
        let Some(Held { request, .. }) = holder else { return false };
        if let Some(request) = self.migrate.requests.get_mut(request) {
            request.postponed.insert(client);
        }
        true
    }

    /// Does what the migrations ask for, unless data must be left alone.
    pub fn continue_migrations(&mut self) {
        let pause = self.clients.pause.is_some_and(|pause| pause.until_ms > self.frame.now);
        if pause || self.scripting.is_busy() || self.persistence.loading.is_some() {
            return;
        }
        while let Some(action) = self.migrate.service.next_action() {
            match action {
                Action::Open { target, host, port } => {
                    let link = self.open_link(LinkOwner::Migrate, &host, port);
                    if !self.migrate.service.opened(target, link) {
                        self.close_link(link);
                    }
                }
                Action::Send(link, bytes) => self.send_on_link(link, bytes),
                Action::Close(link) => self.close_link(link),
                Action::Dump(asked) => self.give_key(&asked),
                Action::Over(over) => self.end_migration(over),
            }
        }
        self.propagate_removals();
        self.after_cron();
    }

    /// Ends migrations that take too long; to be called once a turn.
    pub(super) fn tick_migrations(&mut self) {
        self.migrate.service.tick(self.frame.steady());
        self.continue_migrations();
    }

    /// Something happened to a link.
    pub(super) fn migrate_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let (service, now) = (&mut self.migrate.service, self.frame.steady());
        match event {
            LinkEvent::Connected { .. } => service.connected(link, now),
            LinkEvent::Received(bytes) => service.received(link, bytes, now),
            LinkEvent::Closed(reason) => {
                log::debug!("A link of MIGRATE has ended: {reason}");
                // Redis notices only when it writes that it isn't connected.
                service.closed(link, reason.starts_with("Connection refused"), now);
            }
        }
        self.continue_migrations();
    }

    /// A link's socket has taken some of what was sent.
    pub(super) fn migrate_link_sent(&mut self, link: LinkId, unsent: usize) {
        self.migrate.service.sent(link, unsent, self.frame.steady());
    }

    /// Gives up all migrations: this server's data is no longer its own.
    pub fn abandon_migrations(&mut self) {
        self.migrate.service.abandon();
        self.actions.push_back(ServerAction::ContinueMigrations);
    }

    /// A client has gone: what it asked for and hasn't begun is given up.
    pub(super) fn withdraw_migrations(&mut self, client: ClientId) {
        let of_client = |(id, request): (&RequestId, &Request)| (request.client == client).then_some(*id);
        let requests: Vec<RequestId> = self.migrate.requests.iter().filter_map(of_client).collect();
        for request in requests {
            self.migrate.service.withdraw(request, self.frame.steady());
            self.actions.push_back(ServerAction::ContinueMigrations);
        }
    }

    /// Gives a target the key that it was asked to be given.
    fn give_key(&mut self, asked: &Asked) {
        let Some((db, key)) = self.migrate.key_of(asked) else { return };
        let (now, compress) = (self.frame.now, self.settings.dump_options.compress);
        let mut view = self.view(db as usize);
        let found = view.lookup_silent(&key).and_then(|at| {
            let value = view.database().table().value(at);
            Some((payload::portable(value, compress, asked.wanted.refused)?, view.deadline(at)))
        });
        let Some((payload, deadline)) = found else {
            return self.migrate.service.skip(asked, self.frame.steady());
        };
        if let Some(held) = self.migrate.held.get_mut(db, &key) {
            held.has_changed = false;
        }
        // No time is none at all.
        let ttl = deadline.map_or(0, |deadline| deadline.saturating_sub(now).max(1));
        self.migrate.service.restore(asked, &key, ttl, &payload);
    }

    /// Removes the keys that have moved, answers, and lets go on what waited for it.
    fn end_migration(&mut self, over: Over) {
        let Some(request) = self.migrate.requests.remove(&over.request) else { return };
        self.start_unit();
        let kept = if request.copies || over.failure == Some(Failure::Abandoned) {
            0
        } else {
            self.remove_moved(&request, &over.moved)
        };
        for key in &request.keys {
            self.migrate.held.remove(request.db, key);
        }
        let mut reply = Reply::new(Vec::new(), false);
        match outcome(over, kept) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(&error),
        }
        self.complete_deferred(request.client, reply.bytes());
        let waits = |client: &ClientId| {
            self.clients.sessions.get(*client).is_some_and(|session| session.is(state::POSTPONED))
        };
        let resumed = request.postponed.into_iter().filter(waits).map(ServerAction::Resume);
        self.actions.extend(resumed);
        self.clients.releases_held = true;
        self.after_cron();
        self.refresh_recording();
    }

    /// Removes the keys that the target has; returns how many are kept because they are other values by now.
    fn remove_moved(&mut self, request: &Request, moved: &[usize]) -> usize {
        let mut removed: Vec<&[u8]> = vec![b"DEL"];
        let mut kept = 0;
        for key in moved.iter().filter_map(|place| request.keys.get(*place)) {
            let has_changed = self.migrate.held.get(request.db, key).is_some_and(|held| held.has_changed);
            let mut view = self.view(request.db as usize);
            if has_changed {
                kept += usize::from(view.exists(key));
            } else if view.remove(key) {
                removed.push(key);
            }
        }
        self.propagate_removals();
        if removed.len() > 1 && self.stream.has_consumers() {
            if let Some(session) = self.clients.sessions.get_mut(request.client) {
                session.write_offset = self.stream.backlog().end() + 1;
            }
            let mut frame = Vec::new();
            command_stream::encode(&mut frame, removed.iter());
            self.stream.push(Target::All, request.db, 1, &frame);
        }
        kept
    }
}

impl Migrate {
    fn key_of(&self, asked: &Asked) -> Option<(u32, Box<[u8]>)> {
        let request = self.requests.get(&asked.request)?;
        Some((request.db, request.keys.get(asked.wanted.key)?.clone()))
    }
}

/// What the client is told; `kept`: keys that could not be removed.
fn outcome(over: Over, kept: usize) -> Result<(), CommandError> {
    if let Some(text) = over.error {
        let mut error = b"ERR Target instance replied with error: ".to_vec();
        error.extend_from_slice(&text);
        return Err(CommandError::new(error));
    }
    match over.failure {
        Some(Failure::Connecting) => {
            Err(CommandError::text("IOERR error or timeout connecting to the client"))
        }
        Some(Failure::Writing) => {
            Err(CommandError::text("IOERR error or timeout writing to target instance"))
        }
        Some(Failure::Reading) => {
            Err(CommandError::text("IOERR error or timeout reading to target instance"))
        }
        Some(Failure::Abandoned) => Err(CommandError::text(
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        )),
        None if kept > 0 => Err(CommandError::new(format!(
            "ERR {kept} keys have changed while they were migrated: they are still here, and the target has what they were before"
        ))),
        None => Ok(()),
    }
}
