//! Publish and subscribe: the subscribers of each channel, pattern and shard channel.
//!
//! The messages are delivered by the engine; this table only finds their receivers.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::glob;
use crate::base::ids::ClientId;

type Listeners = HashSet<ClientId>;

/// The register of subscriptions.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: HashMap<Box<[u8]>, Listeners>,
    shard: HashMap<Box<[u8]>, Listeners>,
    /// In a fixed order, so that deliveries are reproducible.
    patterns: BTreeMap<Box<[u8]>, Listeners>,
}

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl PubSub {
    /// Whether there are no subscriptions (shard channels aside).
    pub fn is_quiet(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    /// Enters a client; false if it was there.
    pub fn subscribe(&mut self, kind: Kind, name: &[u8], client: ClientId) -> bool {
        let listeners = match kind {
            Kind::Channel => self.channels.entry(name.into()).or_default(),
            Kind::Shard => self.shard.entry(name.into()).or_default(),
            Kind::Pattern => self.patterns.entry(name.into()).or_default(),
        };
        listeners.insert(client)
    }

    /// Takes a client out; false if it wasn't there.
    pub fn unsubscribe(&mut self, kind: Kind, name: &[u8], client: ClientId) -> bool {
        let listeners = match kind {
            Kind::Channel => self.channels.get_mut(name),
            Kind::Shard => self.shard.get_mut(name),
            Kind::Pattern => self.patterns.get_mut(name),
        };
        let Some(listeners) = listeners else { return false };
        let was_there = listeners.remove(&client);
        if listeners.is_empty() {
            match kind {
                Kind::Channel => drop(self.channels.remove(name)),
                Kind::Shard => drop(self.shard.remove(name)),
                Kind::Pattern => drop(self.patterns.remove(name)),
            }
        }
        was_there
    }

    /// Listeners of exactly this channel.
    pub fn listeners(&self, kind: Kind, name: &[u8]) -> impl Iterator<Item = ClientId> + '_ {
        let found = match kind {
            Kind::Channel => self.channels.get(name),
            Kind::Shard => self.shard.get(name),
            Kind::Pattern => self.patterns.get(name),
        };
        found.into_iter().flatten().copied()
    }

    /// Patterns that match a channel, with their listeners.
    pub fn matching<'a>(
        &'a self,
        channel: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], impl Iterator<Item = ClientId> + 'a)> + 'a {
        let matching = self.patterns.iter().filter(move |(pattern, _)| glob::matches(pattern, channel));
        matching.map(|(pattern, listeners)| (&**pattern, listeners.iter().copied()))
    }

    /// Channels with listeners, all or those that a pattern matches.
    pub fn channels(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<&[u8]> {
        let map = if kind == Kind::Shard { &self.shard } else { &self.channels };
        let names = map.keys().map(|name| &**name);
        names.filter(|name| pattern.is_none_or(|p| glob::matches(p, name))).collect()
    }

    pub fn listener_count(&self, kind: Kind, name: &[u8]) -> usize {
        self.listeners(kind, name).count()
    }

    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    pub fn shard_channel_count(&self) -> usize {
        self.shard.len()
    }
}
