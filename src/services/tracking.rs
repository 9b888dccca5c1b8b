//! Client-side caching (tracking): which clients have read which keys, and which follow which prefixes.
//!
//! A key is told to the clients that read it once, and forgotten. Clients that are gone leave the sets of keys when a
//! set is told or has doubled; with the last tracking client everything is forgotten. Databases make no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use hashbrown::{HashMap, HashTable};

use crate::base::hash::KeyHasher;
use crate::base::ids::ClientId;

/// A set of fewer readers is not searched for clients that are gone.
const MIN_PRUNE: usize = 8;

/// How a client tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracker {
    pub broadcast: bool,
    pub opt_in: bool,
    pub opt_out: bool,
    pub no_loop: bool,
    /// The client that gets the messages, and its CLIENT ID.
    pub redirect: Option<(ClientId, u64)>,
    /// That client was found to be gone.
    pub broken: bool,
    /// With `broadcast`: the prefixes that are followed; none overlaps another.
    pub prefixes: BTreeSet<Box<[u8]>>,
}

/// The clients that have read a key. Most keys have one, which takes no allocation.
#[derive(Debug)]
enum Readers {
    One(ClientId),
    Many(Box<ReaderSet>),
}

#[derive(Debug)]
struct ReaderSet {
    clients: BTreeSet<ClientId>,
    /// The size at which clients that are gone are searched.
    prune_at: usize,
}

impl Readers {
    fn len(&self) -> usize {
        match self {
            Readers::One(_) => 1,
            Readers::Many(set) => set.clients.len(),
        }
    }

    /// Adds a client; `is_live` says which of the others are still there.
    fn insert(&mut self, client: ClientId, is_live: impl Fn(ClientId) -> bool) {
        match self {
            Readers::One(own) if *own == client => {}
            Readers::One(own) => {
                let clients = BTreeSet::from([*own, client]);
                *self = Readers::Many(Box::new(ReaderSet { clients, prune_at: MIN_PRUNE }));
            }
            Readers::Many(set) => {
                set.clients.insert(client);
                if set.clients.len() >= set.prune_at {
                    set.clients.retain(|other| is_live(*other));
                    set.prune_at = (set.clients.len() * 2).max(MIN_PRUNE);
                }
            }
        }
    }

    fn into_clients(self) -> Vec<ClientId> {
        match self {
            Readers::One(client) => vec![client],
            Readers::Many(set) => set.clients.into_iter().collect(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    readers: Readers,
}

/// The clients that follow a prefix, and the keys that they are yet to be told, each with the client that changed it first.
#[derive(Debug, Default)]
struct Prefix {
    clients: BTreeSet<ClientId>,
    changed: BTreeMap<Box<[u8]>, Option<ClientId>>,
}

/// The invalidation table (`TrackingTable`, `PrefixTable`).
#[derive(Debug)]
pub struct Tracking {
    trackers: HashMap<ClientId, Tracker>,
    entries: Vec<Entry>,
    /// Places in `entries` by the keys' hashes.
    places: HashTable<u32>,
    items: usize,
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    has_changed: bool,
    /// Rounds of [`Self::evict`] in a row that did not suffice.
    evict_rounds: usize,
    hasher: KeyHasher,
}

impl Tracking {
    pub fn new(hasher: KeyHasher) -> Self {
        Tracking {
            trackers: HashMap::new(),
            entries: Vec::new(),
            places: HashTable::new(),
            items: 0,
            prefixes: BTreeMap::new(),
            has_changed: false,
            evict_rounds: 0,
            hasher,
        }
    }

    /// Whether no client tracks.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.trackers.is_empty()
    }

    pub fn client_count(&self) -> usize {
        self.trackers.len()
    }

    pub fn key_count(&self) -> usize {
        self.entries.len()
    }

    /// Pairs of a key and a client that read it.
    pub fn item_count(&self) -> usize {
        self.items
    }

    pub fn prefix_count(&self) -> usize {
        self.prefixes.len()
    }

    pub fn tracker(&self, client: ClientId) -> Option<&Tracker> {
        self.trackers.get(&client)
    }

    /// The clients that track, in ascending order.
    pub fn clients(&self) -> Vec<ClientId> {
        let mut clients: Vec<_> = self.trackers.keys().copied().collect();
        clients.sort_unstable();
        clients
    }

    /// Notes that the client that a tracker redirects to is gone.
    pub fn set_broken(&mut self, client: ClientId) {
        if let Some(tracker) = self.trackers.get_mut(&client) {
            tracker.broken = true;
        }
    }

    /// Begins to track, or changes how. Prefixes add to those that the client follows; a broadcast without any follows all keys.
    pub fn enable(&mut self, client: ClientId, mut tracker: Tracker) {
        if tracker.broadcast {
            if let Some(old) = self.trackers.get(&client) {
                tracker.prefixes.extend(old.prefixes.iter().cloned());
            }
            if tracker.prefixes.is_empty() {
                tracker.prefixes.insert(Box::default());
            }
            for prefix in &tracker.prefixes {
                self.prefixes.entry(prefix.clone()).or_default().clients.insert(client);
            }
        }
        self.trackers.insert(client, tracker);
    }

    /// Ends a client's tracking; false if it did not track.
    pub fn disable(&mut self, client: ClientId) -> bool {
        let Some(tracker) = self.trackers.remove(&client) else { return false };
        for prefix in tracker.prefixes {
            if let Some(followed) = self.prefixes.get_mut(&prefix) {
                followed.clients.remove(&client);
                if followed.clients.is_empty() {
                    self.prefixes.remove(&prefix);
                }
            }
        }
        if self.trackers.is_empty() {
            self.forget_keys();
        }
        true
    }

    /// Forgets which keys were read.
    pub fn forget_keys(&mut self) {
        self.entries = Vec::new();
        self.places = HashTable::new();
        self.items = 0;
    }

    /// Remembers that a client has read a key.
    pub fn remember(&mut self, client: ClientId, key: &[u8]) {
        let (entries, hasher, trackers) = (&mut self.entries, self.hasher, &self.trackers);
        let hash = hasher.hash(key);
        if let Some(place) = self.places.find(hash, |place| *entries[*place as usize].key == *key) {
            let readers = &mut entries[*place as usize].readers;
            self.items -= readers.len();
            readers.insert(client, |other| trackers.contains_key(&other));
            self.items += readers.len();
            return;
        }
        let Ok(place) = u32::try_from(entries.len()) else { return };
        entries.push(Entry { key: key.into(), readers: Readers::One(client) });
        self.places.insert_unique(hash, place, |place| hasher.hash(&entries[*place as usize].key));
        self.items += 1;
    }

    fn remove_at(&mut self, place: usize) -> Entry {
        let hash = self.hasher.hash(&self.entries[place].key);
        if let Ok(found) = self.places.find_entry(hash, |other| *other as usize == place) {
            found.remove();
        }
        let entry = self.entries.swap_remove(place);
        self.items -= entry.readers.len();
        if let Some(moved) = self.entries.get(place) {
            let (hash, last) = (self.hasher.hash(&moved.key), self.entries.len());
            if let Some(index) = self.places.find_mut(hash, |other| *other as usize == last) {
                *index = place as u32;
            }
        }
        entry
    }

    /// The readers that still track what they read.
    fn live(&self, readers: Readers) -> Vec<ClientId> {
        let mut clients = readers.into_clients();
        clients.retain(|client| self.trackers.get(client).is_some_and(|tracker| !tracker.broadcast));
        clients
    }

    /// A key changed, by `origin` if a client did it: notes it for the broadcasts, forgets its readers and returns those
    /// that are to be told.
    pub fn changed(&mut self, key: &[u8], origin: Option<ClientId>) -> Vec<ClientId> {
        // Every prefix of the key is at or before `bound`, a prefix of the key itself, in the order of the map.
        let mut bound = (key, true);
        loop {
            let (text, including) = bound;
            let end = if including { Included(text) } else { Excluded(text) };
            let Some((prefix, followed)) = self.prefixes.range_mut::<[u8], _>((Unbounded, end)).next_back()
            else {
                break;
            };
            let common = prefix.iter().zip(key).take_while(|(one, other)| one == other).count();
            let is_prefix = common == prefix.len();
            if is_prefix {
                followed.changed.entry(key.into()).or_insert(origin);
                self.has_changed = true;
            }
            bound = (&key[..common], !is_prefix);
        }
        let hash = self.hasher.hash(key);
        let entries = &self.entries;
        let Some(place) = self.places.find(hash, |place| *entries[*place as usize].key == *key) else {
            return Vec::new();
        };
        let entry = self.remove_at(*place as usize);
        let mut clients = self.live(entry.readers);
        clients.retain(|client| origin != Some(*client) || !self.trackers[client].no_loop);
        clients
    }

    /// Whether [`Self::take_broadcasts`] has something to tell.
    #[inline]
    pub fn has_broadcasts(&self) -> bool {
        self.has_changed
    }

    /// What the followers of prefixes are to be told since the last time: each client each prefix's keys in one message.
    pub fn take_broadcasts(&mut self, mut send: impl FnMut(&[ClientId], &[&[u8]])) {
        self.has_changed = false;
        for followed in self.prefixes.values_mut() {
            if followed.changed.is_empty() {
                continue;
            }
            let changed = std::mem::take(&mut followed.changed);
            let no_loop = |client: &ClientId| {
                self.trackers.get(client).is_some_and(|tracker| tracker.no_loop)
                    && changed.values().any(|origin| *origin == Some(*client))
            };
            let (own, all): (Vec<_>, Vec<_>) = followed.clients.iter().copied().partition(no_loop);
            let keys: Vec<&[u8]> = changed.keys().map(|key| &**key).collect();
            send(&all, &keys);
            for client in own {
                let others = changed.iter().filter(|(_, origin)| **origin != Some(client));
                let keys: Vec<&[u8]> = others.map(|(key, _)| &**key).collect();
                if !keys.is_empty() {
                    send(&[client], &keys);
                }
            }
        }
    }

    /// Forgets some random keys if there are more than `limit` (0: any number); returns them with the clients to be told.
    /// The more rounds in a row did not suffice, the more keys a round takes.
    pub fn evict(&mut self, limit: u64, mut random: impl FnMut() -> u64) -> Vec<(Box<[u8]>, Vec<ClientId>)> {
        let mut told = Vec::new();
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        for _ in 0..100 * (self.evict_rounds + 1) {
            if self.entries.len() <= limit {
                break;
            }
            let entry = self.remove_at((random() % self.entries.len() as u64) as usize);
            told.push((entry.key, self.live(entry.readers)));
        }
        self.evict_rounds = if self.entries.len() > limit { self.evict_rounds + 1 } else { 0 };
        told
    }
}
