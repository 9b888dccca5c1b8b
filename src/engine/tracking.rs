//! Client-side caching: what commands read is remembered, what they change is told to the clients that track it.
//!
//! Readers of a key are told right behind the reply of the command that changed it, followers of prefixes once a turn.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::Clients;
use crate::engine::clients::session::state;
use crate::engine::command::keys;
use crate::engine::command::table::CommandId;
use crate::resp::{Args, Reply};
use crate::services::tracking::Tracker;

/// The channel on which a RESP2 client gets the messages.
const CHANNEL: &[u8] = b"__redis__:invalidate";

impl Clients {
    /// Begins to track, or changes how.
    pub fn start_tracking(&mut self, client: ClientId, tracker: Tracker) {
        self.tracking.enable(client, tracker);
        self.consumers_changed = true;
    }

    /// CLIENT ID of the client that gets another's messages; 0: it gets them itself, -1: it doesn't track.
    pub fn redirect_id(&self, client: ClientId) -> i64 {
        let tracker = self.tracking.tracker(client);
        tracker.map_or(-1, |tracker| tracker.redirect.map_or(0, |(_, id)| id as i64))
    }

    /// Ends a client's tracking.
    pub fn stop_tracking(&mut self, client: ClientId) {
        if self.tracking.disable(client) {
            self.consumers_changed = true;
        }
        if let Some(session) = self.sessions.get_mut(client) {
            session.set(state::CACHING, false);
        }
    }

    /// Sends a tracking client, or the one it redirects to, the keys to forget; `None`: all.
    fn send_invalidation(&mut self, client: ClientId, keys: Option<&[&[u8]]>) {
        let Some(tracker) = self.tracking.tracker(client) else { return };
        let redirect = tracker.redirect;
        let to = redirect.map_or(client, |(to, _)| to);
        let Some(session) = self.sessions.get(to) else {
            let Some((_, id)) = redirect else { return };
            self.tracking.set_broken(client);
            if self.sessions.get(client).is_some_and(|session| session.resp3) {
                let mut message = Reply::new(Vec::new(), true);
                message.push(2);
                message.bulk(b"tracking-redir-broken");
                message.integer(id as i64);
                self.outbox.post(client, message.bytes());
            }
            return;
        };
        let mut message = Reply::new(Vec::new(), session.resp3);
        if session.resp3 {
            message.push(2);
            message.bulk(b"invalidate");
        } else if redirect.is_some() && session.is(state::SUBSCRIBED) {
            message.array(3);
            message.bulk(b"message");
            message.bulk(CHANNEL);
        } else {
            return;
        }
        match keys {
            None => message.null(),
            Some(keys) => {
                message.array(keys.len());
                keys.iter().for_each(|key| message.bulk(key));
            }
        }
        self.outbox.post(to, message.bytes());
    }

    /// Tells that a key changed, by `origin` if a client's command did it.
    #[cold]
    pub(in crate::engine) fn invalidate(&mut self, key: &[u8], origin: Option<ClientId>) {
        for client in self.tracking.changed(key, origin) {
            self.send_invalidation(client, Some(&[key]));
        }
    }

    /// Tells all tracking clients to forget everything: `current` emptied or swapped databases. It learns so
    /// behind its reply.
    pub fn invalidate_all(&mut self, current: ClientId) {
        self.outbox.set_current_client(Some(current));
        for client in self.tracking.clients() {
            self.send_invalidation(client, None);
        }
        self.outbox.set_current_client(None);
        self.tracking.forget_keys();
    }

    fn broadcast_invalidations(&mut self) {
        let mut messages = Vec::new();
        self.tracking.take_broadcasts(|clients, keys| {
            messages.push((clients.to_vec(), keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>()));
        });
        for (clients, keys) in messages {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            clients.into_iter().for_each(|client| self.send_invalidation(client, Some(&keys)));
        }
    }
}

impl Engine {
    /// Remembers the keys that a command read, if the client tracks what it reads.
    #[cold]
    pub(in crate::engine) fn remember_reads(&mut self, client: ClientId, id: CommandId, args: Args<'_>) {
        let Some(tracker) = self.clients.tracking.tracker(client) else { return };
        let caching = self.clients.sessions.get(client).is_some_and(|session| session.is(state::CACHING));
        if tracker.broadcast || tracker.opt_in && !caching || tracker.opt_out && caching {
            return;
        }
        let mut found = Vec::new();
        keys::find(self.commands.get(id).spec, args, &mut found);
        for place in found {
            self.clients.tracking.remember(client, args.at(place.index));
        }
    }

    /// Ends what CLIENT CACHING said of the request behind it, or the transaction.
    pub(in crate::engine) fn end_caching(&mut self, client: ClientId, args: Args<'_>) {
        let session = self.clients.sessions.live_mut(client);
        if !session.is(state::IN_MULTI) && !args.at(0).eq_ignore_ascii_case(b"client") {
            session.set(state::CACHING, false);
        }
    }

    /// Sends the broadcasts of this turn, and makes the table as small as it may be.
    pub fn finish_tracking(&mut self) {
        if self.clients.tracking.is_empty() {
            return;
        }
        let limit = self.config.tracking_table_max_keys;
        let rng = &mut self.data.rng;
        for (key, clients) in self.clients.tracking.evict(limit, || rng.next_u64()) {
            for client in clients {
                self.clients.send_invalidation(client, Some(&[&key]));
            }
        }
        if self.clients.tracking.has_broadcasts() {
            self.clients.broadcast_invalidations();
        }
    }
}
