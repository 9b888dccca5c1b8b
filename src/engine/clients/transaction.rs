//! MULTI's queue and WATCH's register.

use std::collections::HashMap;

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::state;
use crate::engine::command::table::CommandId;
use crate::resp::OwnedArgs;

/// A session's queue and watches.
#[derive(Debug, Default)]
pub struct Transaction {
    pub queue: Vec<(CommandId, OwnedArgs)>,
    /// Bytes the queue holds.
    pub queued_bytes: usize,
    /// Union of the flags of the queued commands.
    pub flags: u64,
    pub watched: Vec<(u32, Box<[u8]>)>,
}

/// Which clients watch which key, and whether it existed then.
#[derive(Debug, Default)]
pub struct Watches {
    by_key: HashMap<(u32, Box<[u8]>), Vec<Watcher>>,
}

#[derive(Clone, Copy, Debug)]
struct Watcher {
    client: ClientId,
    /// The key was past its deadline, but still there, when it was watched: its removal is no change.
    was_expired: bool,
}

impl Watches {
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub fn key_count(&self) -> usize {
        self.by_key.len()
    }

    /// Enters a client; false if it watched the key already.
    pub fn watch(&mut self, client: ClientId, db: u32, key: &[u8], was_expired: bool) -> bool {
        let watchers = self.by_key.entry((db, key.into())).or_default();
        if watchers.iter().any(|w| w.client == client) {
            return false;
        }
        watchers.push(Watcher { client, was_expired });
        true
    }

    /// Takes a client off a key.
    pub fn unwatch(&mut self, client: ClientId, db: u32, key: &[u8]) {
        let place = (db, key.into());
        if let Some(watchers) = self.by_key.get_mut(&place) {
            watchers.retain(|w| w.client != client);
            if watchers.is_empty() {
                self.by_key.remove(&place);
            }
        }
    }

    /// Clients whose transaction fails because this key changed. `expired`: it went by its deadline.
    pub fn touched(&self, db: u32, key: &[u8], expired: bool) -> Vec<ClientId> {
        let Some(watchers) = self.by_key.get(&(db, key.into())) else { return Vec::new() };
        watchers.iter().filter(|w| !(expired && w.was_expired)).map(|w| w.client).collect()
    }

    /// Watched keys of a database with their watchers and whether they were expired when watched.
    pub fn of_database(&self, db: u32) -> Vec<(Box<[u8]>, ClientId, bool)> {
        let all = self.by_key.iter().filter(|((d, _), _)| *d == db);
        all.flat_map(|((_, key), watchers)| watchers.iter().map(|w| (key.clone(), w.client, w.was_expired)))
            .collect()
    }

    /// Whether the key was past its deadline when this client watched it.
    pub fn was_expired(&self, client: ClientId, db: u32, key: &[u8]) -> bool {
        let watchers = self.by_key.get(&(db, key.into()));
        watchers.is_some_and(|list| list.iter().any(|w| w.client == client && w.was_expired))
    }
}

impl Engine {
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
        self.refresh_recording();
    }

    /// Ends a session's transaction and forgets what it watched.
    pub fn discard_transaction(&mut self, client: ClientId) {
        self.unwatch_all(client);
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.set(state::IN_MULTI | state::DIRTY_EXEC | state::DIRTY_CAS | state::IN_EXEC, false);
            session.transaction = None;
        }
    }

    /// Watches a key of a session's database.
    pub fn watch(&mut self, client: ClientId, key: &[u8]) {
        let session = self.clients.sessions.live(client);
        let db = session.db;
        let was_expired = self.view(db as usize).is_expired(key);
        if self.clients.watches.watch(client, db, key, was_expired) {
            let transaction = self.clients.sessions.live_mut(client).transaction.get_or_insert_default();
            transaction.watched.push((db, key.into()));
            self.refresh_recording();
        }
    }

    /// Whether a watched key's deadline has passed since, be the key removed or not.
    pub fn has_expired_watch(&mut self, client: ClientId) -> bool {
        let Some(transaction) = &self.clients.sessions.live(client).transaction else { return false };
        let watched = transaction.watched.clone();
        watched.iter().any(|(db, key)| {
            self.view(*db as usize).is_expired(key) && !self.clients.watches.was_expired(client, *db, key)
        })
    }
}
