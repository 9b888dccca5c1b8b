//! Publish and subscribe: the subscribers of each channel, pattern and shard channel.
//!
//! The messages are delivered by the engine; this table only finds their receivers.

use std::collections::{BTreeMap, HashSet};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use crate::base::glob;
use crate::base::hash::KeyHasher;
use crate::base::ids::ClientId;
use crate::structures::prefetch::prefetch_ref;

/// A map of fewer channels keeps its memory for the next ones.
const MIN_SHRINK: usize = 1024;
/// A map that is filled to less than one in so many is given less memory.
const SPARSE: usize = 8;

/// The subscribers of a channel or pattern. Most have one, which takes no allocation.
#[derive(Debug, Default)]
pub enum Listeners {
    #[default]
    None,
    One(ClientId),
    Many(Box<HashSet<ClientId>>),
}

impl Listeners {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// False if it was there.
    fn insert(&mut self, client: ClientId) -> bool {
        match self {
            Listeners::None => *self = Listeners::One(client),
            Listeners::One(own) if *own == client => return false,
            Listeners::One(own) => *self = Listeners::Many(Box::new(HashSet::from([*own, client]))),
            Listeners::Many(clients) => return clients.insert(client),
        }
        true
    }

    /// False if it wasn't there.
    fn remove(&mut self, client: ClientId) -> bool {
        match self {
            Listeners::One(own) if *own == client => {
                *self = Listeners::None;
                true
            }
            Listeners::None | Listeners::One(_) => false,
            Listeners::Many(clients) => clients.remove(&client),
        }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        match self {
            Listeners::None => 0,
            Listeners::One(_) => 1,
            Listeners::Many(clients) => clients.len(),
        }
    }

    /// Visits each, in no order that means anything.
    #[inline]
    pub fn for_each(&self, mut visit: impl FnMut(ClientId)) {
        match self {
            Listeners::None => {}
            Listeners::One(client) => visit(*client),
            Listeners::Many(clients) => clients.iter().for_each(|client| visit(*client)),
        }
    }
}

/// The longest name that lies in its channel's entry.
const SHORT_NAME: usize = 22;

/// A channel's name. A short one takes no memory of its own: finding its channel reads one place.
#[derive(Debug)]
enum Name {
    Short(u8, [u8; SHORT_NAME]),
    Long(Box<[u8]>),
}

impl Name {
    fn new(name: &[u8]) -> Self {
        if name.len() > SHORT_NAME {
            return Name::Long(name.into());
        }
        let mut bytes = [0; SHORT_NAME];
        bytes[..name.len()].copy_from_slice(name);
        Name::Short(name.len() as u8, bytes)
    }
}

impl std::ops::Deref for Name {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Name::Short(len, bytes) => &bytes[..usize::from(*len)],
            Name::Long(name) => name,
        }
    }
}

#[derive(Debug)]
struct Channel {
    name: Name,
    listeners: Listeners,
}

/// The channels of a kind that have subscribers, by name. It hashes as the keyspace does: clients choose the names.
#[derive(Debug)]
struct Channels {
    table: HashTable<Channel>,
    hasher: KeyHasher,
}

impl Channels {
    fn get(&self, name: &[u8]) -> Option<&Listeners> {
        let found = self.table.find(self.hasher.hash(name), |channel| *channel.name == *name);
        found.map(|channel| &channel.listeners)
    }

    /// Asks for the entry that is probably the channel's: the first that has the same bits of the hash.
    fn prefetch(&self, name: &[u8]) {
        if let Some(channel) = self.table.find(self.hasher.hash(name), |_| true) {
            prefetch_ref(channel);
        }
    }

    fn get_mut(&mut self, name: &[u8]) -> Option<&mut Listeners> {
        let found = self.table.find_mut(self.hasher.hash(name), |channel| *channel.name == *name);
        found.map(|channel| &mut channel.listeners)
    }

    fn get_or_default(&mut self, name: &[u8]) -> &mut Listeners {
        let hasher = self.hasher;
        let is_it = |channel: &Channel| *channel.name == *name;
        let place = self.table.entry(hasher.hash(name), is_it, |channel| hasher.hash(&channel.name));
        let channel = match place {
            Place::Occupied(place) => place.into_mut(),
            Place::Vacant(place) => {
                place.insert(Channel { name: Name::new(name), listeners: Listeners::None }).into_mut()
            }
        };
        &mut channel.listeners
    }

    fn remove(&mut self, name: &[u8]) {
        let hasher = self.hasher;
        let found = self.table.find_entry(hasher.hash(name), |channel| *channel.name == *name);
        if let Ok(place) = found {
            place.remove();
            if self.table.capacity() > MIN_SHRINK.max(self.table.len() * SPARSE) {
                self.table.shrink_to(self.table.len() * 2, |channel| hasher.hash(&channel.name));
            }
        }
    }
}

/// The register of subscriptions.
#[derive(Debug)]
pub struct PubSub {
    channels: Channels,
    shard: Channels,
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
    /// No subscriptions; channels are hashed by `hasher`.
    pub fn new(hasher: KeyHasher) -> Self {
        let channels = || Channels { table: HashTable::new(), hasher };
        PubSub { channels: channels(), shard: channels(), patterns: BTreeMap::new(), event_names: [0; 2] }
    }

    /// Whether a subscribed channel or pattern may be that of a keyspace event: `__keyspace@…`, `__keyevent@…`.
    pub fn receives_events(&self) -> [bool; 2] {
        self.event_names.map(|names| names > 0)
    }

    /// Subscribes a client; false if it was subscribed.
    pub fn subscribe(&mut self, kind: Kind, name: &[u8], client: ClientId) -> bool {
        let listeners = match kind {
            Kind::Channel => self.channels.get_or_default(name),
            Kind::Shard => self.shard.get_or_default(name),
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
        let was_there = listeners.remove(client);
        if listeners.is_empty() {
            for (names, may_reach) in self.event_names.iter_mut().zip(may_receive_events(kind, name)) {
                *names -= usize::from(may_reach);
            }
            match kind {
                Kind::Channel => self.channels.remove(name),
                Kind::Shard => self.shard.remove(name),
                Kind::Pattern => drop(self.patterns.remove(name)),
            }
        }
        was_there
    }

    /// Listeners of exactly this channel; `None` if there are none.
    #[inline]
    pub fn listeners(&self, kind: Kind, name: &[u8]) -> Option<&Listeners> {
        match kind {
            Kind::Channel => self.channels.get(name),
            Kind::Shard => self.shard.get(name),
            Kind::Pattern => self.patterns.get(name),
        }
    }

    /// Asks for the memory that [`Self::listeners`] of a channel will read.
    #[inline]
    pub fn prefetch(&self, channel: &[u8]) {
        if !self.channels.table.is_empty() {
            self.channels.prefetch(channel);
        }
    }

    /// Patterns that match a channel, with their listeners.
    pub fn matching<'a>(&'a self, channel: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a Listeners)> + 'a {
        let matching = self.patterns.iter().filter(move |(pattern, _)| glob::matches(pattern, channel));
        matching.map(|(pattern, listeners)| (&**pattern, listeners))
    }

    /// Channels with listeners, all or those that a pattern matches.
    pub fn channels(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<&[u8]> {
        let map = if kind == Kind::Shard { &self.shard } else { &self.channels };
        let names = map.table.iter().map(|channel| &*channel.name);
        names.filter(|name| pattern.is_none_or(|p| glob::matches(p, name))).collect()
    }

    pub fn listener_count(&self, kind: Kind, name: &[u8]) -> usize {
        self.listeners(kind, name).map_or(0, Listeners::len)
    }

    pub fn channel_count(&self) -> usize {
        self.channels.table.len()
    }

    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    pub fn shard_channel_count(&self) -> usize {
        self.shard.table.len()
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
            let mut pubsub = PubSub::new(KeyHasher::new(1));
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

    #[test]
    fn listeners_are_those_of_a_model() {
        use crate::base::rng::Rng;
        use std::collections::BTreeSet;
        let mut rng = Rng::new(41);
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            let mut pubsub = PubSub::new(KeyHasher::new(1));
            let mut model: BTreeMap<String, BTreeSet<ClientId>> = BTreeMap::new();
            for round in 0..20_000 {
                // Some are too long to lie in their entries.
                let name =
                    format!("{:width$}", rng.below(3000), width = SHORT_NAME - 1 + rng.below(3) as usize);
                pubsub.prefetch(name.as_bytes());
                // Few clients a channel at first, then up to five; in the end all go.
                let client = ClientId { index: rng.below(1 + round / 4000) as u32, generation: 1 };
                let listeners = model.entry(name.clone()).or_default();
                if rng.below(3) > 0 {
                    assert_eq!(pubsub.subscribe(kind, name.as_bytes(), client), listeners.insert(client));
                } else {
                    assert_eq!(pubsub.unsubscribe(kind, name.as_bytes(), client), listeners.remove(&client));
                }
                let mut found = Vec::new();
                if let Some(listeners) = pubsub.listeners(kind, name.as_bytes()) {
                    listeners.for_each(|client| found.push(client));
                }
                assert_eq!(pubsub.listener_count(kind, name.as_bytes()), found.len());
                assert_eq!((found.len(), found.into_iter().collect()), (listeners.len(), listeners.clone()));
            }
            model.retain(|_, listeners| !listeners.is_empty());
            let count = match kind {
                Kind::Channel => pubsub.channel_count(),
                Kind::Pattern => pubsub.pattern_count(),
                Kind::Shard => pubsub.shard_channel_count(),
            };
            assert_eq!(count, model.len());
            for (name, listeners) in model {
                for client in listeners {
                    assert!(pubsub.unsubscribe(kind, name.as_bytes(), client));
                }
            }
            assert!(pubsub.channels.table.capacity() <= MIN_SHRINK);
            assert!(pubsub.channels.table.is_empty() && pubsub.shard.table.is_empty());
            assert!(pubsub.patterns.is_empty());
        }
    }
}
