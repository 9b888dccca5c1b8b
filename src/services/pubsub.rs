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
    /// Subscribed channels and patterns that keyspace events may reach: those by key, those by event.
    event_names: [usize; 2],
}

/// How the channels of keyspace events begin: by key, by event.
const EVENT_CHANNELS: [&[u8]; 2] = [b"__keyspace@", b"__keyevent@"];

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl PubSub {
    /// Whether a subscribed channel or pattern may be that of a keyspace event: `__keyspace@…`, `__keyevent@…`.
    pub fn receives_events(&self) -> [bool; 2] {
        self.event_names.map(|names| names > 0)
    }

    /// Subscribes a client; false if it was subscribed.
    pub fn subscribe(&mut self, kind: Kind, name: &[u8], client: ClientId) -> bool {
        let listeners = match kind {
            Kind::Channel => self.channels.entry(name.into()).or_default(),
            Kind::Shard => self.shard.entry(name.into()).or_default(),
            Kind::Pattern => self.patterns.entry(name.into()).or_default(),
        };
        if listeners.is_empty() {
            for (names, may_reach) in self.event_names.iter_mut().zip(may_receive_events(kind, name)) {
                *names += usize::from(may_reach);
            }
        }
        listeners.insert(client)
    }

    /// Unsubscribes a client; false if it wasn't subscribed.
    pub fn unsubscribe(&mut self, kind: Kind, name: &[u8], client: ClientId) -> bool {
        let listeners = match kind {
            Kind::Channel => self.channels.get_mut(name),
            Kind::Shard => self.shard.get_mut(name),
            Kind::Pattern => self.patterns.get_mut(name),
        };
        let Some(listeners) = listeners else { return false };
        let was_there = listeners.remove(&client);
        if listeners.is_empty() {
            for (names, may_reach) in self.event_names.iter_mut().zip(may_receive_events(kind, name)) {
                *names -= usize::from(may_reach);
            }
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

/// Whether the channel or pattern `name` may be that of a keyspace event, by key and by event. Of a pattern counts what
/// stands before its first special character.
fn may_receive_events(kind: Kind, name: &[u8]) -> [bool; 2] {
    EVENT_CHANNELS.map(|start| match kind {
        Kind::Channel => name.starts_with(start),
        Kind::Shard => false,
        Kind::Pattern => {
            let literal = name.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(name.len());
            let literal = &name[..literal];
            literal.starts_with(start) || (literal.len() < name.len() && start.starts_with(literal))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_keyspace_events_may_reach() {
        const CASES: &[(Kind, &str, [bool; 2])] = &[
            (Kind::Channel, "__keyspace@0__:k", [true, false]),
            (Kind::Channel, "__keyevent@0__:set", [false, true]),
            (Kind::Channel, "__key", [false, false]),
            (Kind::Channel, "*", [false, false]),
            (Kind::Shard, "__keyspace@0__:k", [false, false]),
            (Kind::Pattern, "*", [true, true]),
            (Kind::Pattern, "__key*", [true, true]),
            (Kind::Pattern, "__key", [false, false]),
            (Kind::Pattern, "__keyevent@*", [false, true]),
            (Kind::Pattern, "__keyevent@0__:set", [false, true]),
            (Kind::Pattern, "__keyspace@0__:k[ab]", [true, false]),
            (Kind::Pattern, "\\_*", [true, true]),
            (Kind::Pattern, "[_]_keyspace*", [true, true]),
            (Kind::Pattern, "news.*", [false, false]),
        ];
        let client = |index| ClientId { index, generation: 1 };
        for (kind, name, expected) in CASES {
            let mut pubsub = PubSub::default();
            pubsub.subscribe(*kind, name.as_bytes(), client(1));
            pubsub.subscribe(*kind, name.as_bytes(), client(1));
            pubsub.subscribe(*kind, name.as_bytes(), client(2));
            assert_eq!(pubsub.receives_events(), *expected, "{name}");
            pubsub.unsubscribe(*kind, name.as_bytes(), client(1));
            pubsub.unsubscribe(*kind, name.as_bytes(), client(1));
            assert_eq!(pubsub.receives_events(), *expected, "{name}");
            pubsub.unsubscribe(*kind, name.as_bytes(), client(2));
            assert_eq!(pubsub.receives_events(), [false, false], "{name}");
        }
    }
}
