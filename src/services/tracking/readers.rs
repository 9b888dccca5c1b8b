//! The invalidation table (`TrackingTable`): which clients have read a key that hasn't changed since.
//!
//! ```text
//! key → client             as an integer in the entry: most keys have one reader
//! key → box of clients     sorted
//! ```
//!
//! A client that is gone stays among the readers of a key until the key changes, the set of its readers has doubled, or the
//! sweep comes by.

use crate::base::hash::KeyHasher;
use crate::base::ids::ClientId;
use crate::base::rng::Rng;
use crate::structures::table::{self, EntryRef, EntryValue, NewValue, RemovedValue};

/// The hash table behind it.
pub type Table = table::Table<ReaderSet, false>;

/// A set of fewer readers is not searched for clients that are gone.
const MIN_PRUNE: usize = 8;
/// Bytes of keys and readers for each key that the table may have: with long keys or many readers it may have fewer.
const BYTES_A_KEY: u64 = 1024;

/// Two and more clients that have read a key, sorted.
#[derive(Debug)]
pub struct ReaderSet {
    clients: Vec<ClientId>,
    /// The size at which clients that are gone are searched.
    prune_at: usize,
}

/// The clients that have read a key.
#[derive(Debug)]
pub enum ReadersOfKey {
    One([ClientId; 1]),
    Many(Box<ReaderSet>),
}

impl ReadersOfKey {
    pub fn as_slice(&self) -> &[ClientId] {
        match self {
            ReadersOfKey::One(client) => client,
            ReadersOfKey::Many(set) => &set.clients,
        }
    }
}

fn pack(client: ClientId) -> i64 {
    (u64::from(client.generation) << 32 | u64::from(client.index)) as i64
}

fn unpack(packed: i64) -> ClientId {
    ClientId { index: packed as u32, generation: (packed as u64 >> 32) as u32 }
}

/// See the head of this file.
pub struct ReadersTable {
    table: Table,
    /// Pairs of a key and a client.
    items: usize,
    /// Of all keys together.
    key_bytes: usize,
    /// Where the sweep is, while there is one; and whether another one is to follow.
    sweep: Option<u64>,
    sweep_again: bool,
    /// Tables to be freed in parts.
    forgotten: Vec<Table>,
}

impl ReadersTable {
    pub fn new(hasher: KeyHasher) -> Self {
        ReadersTable {
            table: Table::new(hasher),
            items: 0,
            key_bytes: 0,
            sweep: None,
            sweep_again: false,
            forgotten: Vec::new(),
        }
    }

    pub fn key_count(&self) -> usize {
        self.table.len()
    }

    /// Pairs of a key and a client that read it.
    pub fn item_count(&self) -> usize {
        self.items
    }

    /// Bytes that are allocated and hold nothing.
    pub fn memory_spare(&self) -> usize {
        self.table.memory_spare()
    }

    /// Whether more keys are remembered than may be: `max_keys`, or any number if it is 0.
    #[inline]
    pub fn is_over(&self, max_keys: u64) -> bool {
        let bytes = self.key_bytes + self.items * size_of::<ClientId>();
        max_keys > 0
            && (self.table.len() as u64 > max_keys || bytes as u64 > max_keys.saturating_mul(BYTES_A_KEY))
            || self.table.is_full()
    }

    /// Remembers that a client has read a key. `is_live` says which of its other readers still track.
    pub fn remember(&mut self, hash: u64, key: &[u8], client: ClientId, is_live: impl Fn(ClientId) -> bool) {
        let Some(at) = self.table.find(hash, key) else {
            self.table.insert(hash, key, NewValue::Int(pack(client)), None, 0);
            self.items += 1;
            self.key_bytes += key.len();
            return;
        };
        match self.table.value(at) {
            EntryValue::Int(own) if own == pack(client) => {}
            EntryValue::Int(other) if is_live(unpack(other)) => {
                let mut clients = vec![unpack(other), client];
                clients.sort_unstable();
                let set = Box::new(ReaderSet { clients, prune_at: MIN_PRUNE });
                self.table.replace(at, hash, NewValue::Object(set), None);
                self.items += 1;
            }
            EntryValue::Int(_) => {
                self.table.set_int(at, pack(client));
            }
            _ => self.add_reader(at, client, is_live),
        }
    }

    fn add_reader(&mut self, at: EntryRef, client: ClientId, is_live: impl Fn(ClientId) -> bool) {
        let Some(set) = self.table.object_mut(at) else { return };
        let Err(place) = set.clients.binary_search(&client) else { return };
        let before = set.clients.len();
        set.clients.insert(place, client);
        if set.clients.len() >= set.prune_at {
            set.clients.retain(|other| *other == client || is_live(*other));
            set.clients.shrink_to_fit();
            set.prune_at = (set.clients.len() * 2).max(MIN_PRUNE);
        }
        self.items = self.items + set.clients.len() - before;
    }

    /// Forgets a key, and answers which clients have read it.
    #[inline]
    pub fn take(&mut self, hash: u64, key: &[u8]) -> Option<ReadersOfKey> {
        let at = self.table.find(hash, key)?;
        self.take_at(at, hash)
    }

    fn take_at(&mut self, at: EntryRef, hash: u64) -> Option<ReadersOfKey> {
        let one = match self.table.value(at) {
            EntryValue::Int(client) => Some(unpack(client)),
            _ => None,
        };
        self.key_bytes -= self.table.key(at).len();
        let readers = match (one, self.table.remove(at, hash)) {
            (Some(client), _) => ReadersOfKey::One([client]),
            (None, RemovedValue::Object(set)) => ReadersOfKey::Many(set),
            _ => return None,
        };
        self.items -= readers.as_slice().len();
        Some(readers)
    }

    /// Forgets a random key; answers it and which clients have read it.
    pub fn take_random(&mut self, rng: &mut Rng) -> Option<(Box<[u8]>, ReadersOfKey)> {
        let at = self.table.random(rng)?;
        let key: Box<[u8]> = self.table.key(at).into();
        let hash = self.table.hash(&key);
        Some((key, self.take_at(at, hash)?))
    }

    /// Forgets everything at once; the memory is to be freed later ([`Self::take_forgotten`]).
    pub fn forget_all(&mut self) {
        if !self.table.is_empty() {
            let fresh = Table::new(self.table.hasher());
            self.forgotten.push(std::mem::replace(&mut self.table, fresh));
        }
        (self.items, self.key_bytes) = (0, 0);
        (self.sweep, self.sweep_again) = (None, false);
    }

    /// A table that is to be freed, in parts.
    #[inline]
    pub fn take_forgotten(&mut self) -> Option<Table> {
        self.forgotten.pop()
    }

    /// A client is gone that may be among the readers.
    pub fn expect_gone(&mut self) {
        match self.sweep {
            _ if self.table.is_empty() => {}
            None => self.sweep = Some(0),
            Some(_) => self.sweep_again = true,
        }
    }

    /// Looks for clients that are gone among the readers of about `keys` keys, if there may be any.
    pub fn sweep(&mut self, keys: usize, is_live: impl Fn(ClientId) -> bool) {
        let mut shown = 0;
        let mut stale: Vec<Box<[u8]>> = Vec::new();
        while shown < keys
            && let Some(cursor) = self.sweep
        {
            let next = self.table.scan(cursor, |entry| {
                shown += 1;
                let is_stale = match entry.value {
                    EntryValue::Int(client) => !is_live(unpack(client)),
                    EntryValue::Object(set) => !set.clients.iter().all(|client| is_live(*client)),
                    _ => false,
                };
                if is_stale {
                    stale.push(entry.key.into());
                }
            });
            // An empty bucket is not free of charge.
            shown += 1;
            self.sweep = (next != 0).then_some(next);
            if next == 0 && std::mem::take(&mut self.sweep_again) {
                self.sweep = Some(0);
            }
        }
        for key in stale {
            let hash = self.table.hash(&key);
            let Some(at) = self.table.find(hash, &key) else { continue };
            let remaining = match self.table.object_mut(at) {
                None => 0,
                Some(set) => {
                    let before = set.clients.len();
                    set.clients.retain(|client| is_live(*client));
                    self.items -= before - set.clients.len();
                    set.clients.len()
                }
            };
            if remaining == 0 {
                self.take_at(at, hash);
            }
        }
    }

    /// Counts again what is counted as the table changes.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        self.table.check_invariants();
        let (mut items, mut key_bytes) = (0, 0);
        for entry in self.table.iter() {
            key_bytes += entry.key.len();
            items += match entry.value {
                EntryValue::Object(set) => {
                    assert!(set.clients.is_sorted() && !set.clients.is_empty());
                    set.clients.len()
                }
                _ => 1,
            };
        }
        assert_eq!((items, key_bytes), (self.items, self.key_bytes));
    }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;
