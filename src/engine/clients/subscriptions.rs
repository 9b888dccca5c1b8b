//! Subscriptions (SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE): adds and removes them, in the channel index and in the session alike.

use crate::base::ids::ClientId;
use crate::engine::clients::Clients;
use crate::engine::clients::session::{Subscriptions, state};
use crate::services::pubsub::Kind;

impl Subscriptions {
    fn names(&mut self, kind: Kind) -> &mut std::collections::HashSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }

    /// What a confirmation counts: shard channels by themselves, channels and patterns together.
    pub fn counted_with(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.shard.len(),
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
        }
    }
}

impl Clients {
    /// Ends all subscriptions of a client, without a message to it.
    pub fn unsubscribe_all(&mut self, client: ClientId) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let Some(subscriptions) = session.subscriptions.take() else { return };
        session.set(state::SUBSCRIBED, false);
        for (kind, names) in [
            (Kind::Channel, &subscriptions.channels),
            (Kind::Pattern, &subscriptions.patterns),
            (Kind::Shard, &subscriptions.shard),
        ] {
            for name in names {
                self.pubsub.unsubscribe(kind, name, client);
            }
        }
        self.consumers_changed = true;
    }

    /// Subscribes a client; returns what its confirmation counts.
    pub fn subscribe(&mut self, client: ClientId, kind: Kind, name: &[u8]) -> usize {
        self.pubsub.subscribe(kind, name, client);
        self.consumers_changed = true;
        let session = self.sessions.live_mut(client);
        session.set(state::SUBSCRIBED, true);
        let subscriptions = session.subscriptions.get_or_insert_default();
        subscriptions.names(kind).insert(name.into());
        subscriptions.counted_with(kind)
    }

    /// Unsubscribes a client, if it was subscribed; returns what its confirmation counts.
    pub fn unsubscribe(&mut self, client: ClientId, kind: Kind, name: &[u8]) -> usize {
        self.pubsub.unsubscribe(kind, name, client);
        self.consumers_changed = true;
        let session = self.sessions.live_mut(client);
        let Some(subscriptions) = &mut session.subscriptions else { return 0 };
        subscriptions.names(kind).remove(name);
        let count = subscriptions.counted_with(kind);
        if session.subscription_count() == 0 {
            session.set(state::SUBSCRIBED, false);
            session.subscriptions = None;
        }
        count
    }

    /// What a client has subscribed to.
    pub fn subscribed(&mut self, client: ClientId, kind: Kind) -> Vec<Box<[u8]>> {
        let subscriptions = self.sessions.live_mut(client).subscriptions.as_mut();
        subscriptions.map_or_else(Vec::new, |s| s.names(kind).iter().cloned().collect())
    }

    /// What a confirmation counts now.
    pub fn subscription_count(&self, client: ClientId, kind: Kind) -> usize {
        self.sessions.live(client).subscriptions.as_ref().map_or(0, |s| s.counted_with(kind))
    }
}
