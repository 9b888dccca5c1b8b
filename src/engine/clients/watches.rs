//! WATCH: the index of watched keys, and what a session watches.

use std::collections::BTreeMap;

use super::key_map::KeyMap;
use crate::base::hash::KeyHasher;
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::{Clients, state};
use crate::keyspace::Database;

/// Which clients watch which key.
#[derive(Debug)]
pub struct Watches {
    by_key: KeyMap<Watchers>,
}

/// The clients that watch a key; true: it was past its deadline, but still there, when the client began to, and its
/// removal is no change.
type Watchers = BTreeMap<ClientId, bool>;

impl Watches {
    pub fn new(hasher: KeyHasher) -> Self {
        Watches { by_key: KeyMap::new(hasher) }
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub fn key_count(&self) -> usize {
        self.by_key.len()
    }

    /// Enters a client; false if it watched the key already.
    pub fn watch(&mut self, client: ClientId, db: u32, key: &[u8], was_expired: bool) -> bool {
        let watchers = self.by_key.get_or_default(db, key);
        let is_new = !watchers.contains_key(&client);
        if is_new {
            watchers.insert(client, was_expired);
        }
        is_new
    }

    /// Takes a client off a key.
    pub fn unwatch(&mut self, client: ClientId, db: u32, key: &[u8]) {
        let Some(watchers) = self.by_key.get_mut(db, key) else { return };
        watchers.remove(&client);
        if watchers.is_empty() {
            self.by_key.remove(db, key);
        }
    }

    /// Clients whose transaction fails because this key changed. `expired`: it went by its deadline.
    pub fn touched(&self, db: u32, key: &[u8], expired: bool) -> impl Iterator<Item = ClientId> {
        let watchers = self.by_key.get(db, key).into_iter().flatten();
        watchers.filter(move |(_, was_expired)| !(expired && **was_expired)).map(|(client, _)| *client)
    }

    /// Watched keys of database `db` that are in `database`.
    pub fn keys_in(&self, db: u32, database: &Database) -> Vec<Box<[u8]>> {
        self.by_key.keys_in(db, database)
    }

    /// The clients that watch a key, each with whether the key was expired when watched.
    pub fn watchers(&self, db: u32, key: &[u8]) -> impl Iterator<Item = (ClientId, bool)> {
        let watchers = self.by_key.get(db, key).into_iter().flatten();
        watchers.map(|(client, was_expired)| (*client, *was_expired))
    }

    /// Whether the key was past its deadline when this client watched it.
    pub fn was_expired(&self, client: ClientId, db: u32, key: &[u8]) -> bool {
        self.by_key.get(db, key).is_some_and(|watchers| watchers.get(&client) == Some(&true))
    }
}

impl Clients {
    /// Forgets what a client watches.
    pub fn unwatch_all(&mut self, client: ClientId) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        session.set(state::DIRTY_CAS, false);
        let Some(transaction) = &mut session.transaction else { return };
        let watched = std::mem::take(&mut transaction.watched);
        if !session.is(state::IN_MULTI) {
            session.transaction = None;
        }
        for (db, key) in watched {
            self.watches.unwatch(client, db, &key);
        }
        self.consumers_changed = true;
    }
}

impl Engine {
    /// Forgets what a client watches.
    pub fn unwatch_all(&mut self, client: ClientId) {
        self.clients.unwatch_all(client);
        self.refresh_changed_recording();
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
        let Some(transaction) = &mut self.clients.sessions.live_mut(client).transaction else { return false };
        let watched = std::mem::take(&mut transaction.watched);
        let has_expired = watched.iter().any(|(db, key)| {
            self.view(*db as usize).is_expired(key) && !self.clients.watches.was_expired(client, *db, key)
        });
        if let Some(transaction) = &mut self.clients.sessions.live_mut(client).transaction {
            transaction.watched = watched;
        }
        has_expired
    }
}
