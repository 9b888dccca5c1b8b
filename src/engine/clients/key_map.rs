//! A hash map from (database, key), looked up by borrowed keys: what clients wait for and watch.
//!
//! It hashes as the keyspace does, so that its order, too, depends on nothing but the server's seed.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use crate::base::hash::KeyHasher;
use crate::keyspace::Database;

/// A map of fewer entries keeps its memory for the next ones.
const MIN_SHRINK: usize = 1024;
/// A map that is filled to less than one in so many is given less memory.
const SPARSE: usize = 8;

#[derive(Debug)]
struct Entry<V> {
    key: Box<[u8]>,
    value: V,
}

/// See the head of this file.
#[derive(Debug)]
pub(in crate::engine) struct KeyMap<V> {
    /// By database, as far as one has been named.
    tables: Vec<HashTable<Entry<V>>>,
    /// Keys of all databases.
    len: usize,
    hasher: KeyHasher,
}

impl<V> KeyMap<V> {
    pub fn new(hasher: KeyHasher) -> Self {
        KeyMap { tables: Vec::new(), len: 0, hasher }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, db: u32, key: &[u8]) -> Option<&V> {
        let table = self.tables.get(db as usize)?;
        table.find(self.hasher.hash(key), is(key)).map(|entry| &entry.value)
    }

    pub fn get_mut(&mut self, db: u32, key: &[u8]) -> Option<&mut V> {
        let table = self.tables.get_mut(db as usize)?;
        table.find_mut(self.hasher.hash(key), is(key)).map(|entry| &mut entry.value)
    }

    /// The value of a key, which is made if there is none.
    pub fn get_or_default(&mut self, db: u32, key: &[u8]) -> &mut V
    where
        V: Default,
    {
        let (db, hasher) = (db as usize, self.hasher);
        if self.tables.len() <= db {
            self.tables.resize_with(db + 1, HashTable::new);
        }
        match self.tables[db].entry(hasher.hash(key), is(key), |entry| hasher.hash(&entry.key)) {
            Place::Occupied(place) => &mut place.into_mut().value,
            Place::Vacant(place) => {
                self.len += 1;
                &mut place.insert(Entry { key: key.into(), value: V::default() }).into_mut().value
            }
        }
    }

    pub fn remove(&mut self, db: u32, key: &[u8]) {
        let hasher = self.hasher;
        let Some(table) = self.tables.get_mut(db as usize) else { return };
        if let Ok(place) = table.find_entry(hasher.hash(key), is(key)) {
            place.remove();
            self.len -= 1;
            if table.capacity() > MIN_SHRINK.max(table.len() * SPARSE) {
                let room = table.len() * 2;
                table.shrink_to(room, |entry| hasher.hash(&entry.key));
            }
        }
    }

    /// The map's keys of database `db` that are in `database`, past their deadline or not. Goes through the smaller of
    /// the two.
    pub fn keys_in(&self, db: u32, database: &Database) -> Vec<Box<[u8]>> {
        let Some(own) = self.tables.get(db as usize) else { return Vec::new() };
        let table = database.table();
        if own.len() <= table.len() {
            let keys = own.iter().map(|entry| &entry.key);
            keys.filter(|key| table.find(self.hasher.hash(key), key).is_some()).cloned().collect()
        } else {
            table
                .iter()
                .map(|entry| entry.key)
                .filter(|key| self.get(db, key).is_some())
                .map(Box::from)
                .collect()
        }
    }
}

fn is<V>(key: &[u8]) -> impl Fn(&Entry<V>) -> bool {
    move |entry| *entry.key == *key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::commands::testing::TestServer;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn holds_what_a_tree_holds() {
        let mut rng = Rng::new(3);
        let mut map: KeyMap<u64> = KeyMap::new(KeyHasher::new(1));
        let mut model: BTreeMap<(u32, Vec<u8>), u64> = BTreeMap::new();
        for round in 0..40_000 {
            let db = rng.below(3) as u32;
            // It grows to some thousands and falls again.
            let key = rng.below(3000).to_string().into_bytes();
            let removes = if round / 10_000 % 2 == 0 { rng.below(4) == 0 } else { rng.below(4) != 0 };
            if removes {
                map.remove(db, &key);
                model.remove(&(db, key.clone()));
            } else {
                *map.get_or_default(db, &key) += 1;
                *model.entry((db, key.clone())).or_default() += 1;
            }
            assert_eq!(map.get(db, &key), model.get(&(db, key.clone())));
            assert_eq!(map.get_mut(db, &key).copied(), model.get(&(db, key)).copied());
            assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
        }
        for ((db, key), value) in &model {
            assert_eq!(map.get(*db, key), Some(value));
        }
    }

    #[test]
    fn an_emptied_map_gives_its_memory_back() {
        let mut map: KeyMap<()> = KeyMap::new(KeyHasher::new(1));
        for number in 0..100_000u32 {
            map.get_or_default(0, &number.to_le_bytes());
        }
        for number in 0..100_000u32 {
            map.remove(0, &number.to_le_bytes());
        }
        assert!(map.tables[0].capacity() <= MIN_SHRINK, "{}", map.tables[0].capacity());
    }

    #[test]
    fn keys_that_a_database_has() {
        let mut server = TestServer::new();
        let mut rng = Rng::new(4);
        // Few in the map and many in the database, and the other way round.
        for (watched, stored) in [(20, 500), (500, 20), (0, 10), (10, 0)] {
            let mut map: KeyMap<()> = KeyMap::new(server.engine.data.keyspace.hasher());
            server.run("FLUSHALL");
            let (mut in_map, mut in_database) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..watched {
                let key = rng.below(600).to_string();
                map.get_or_default(0, key.as_bytes());
                map.get_or_default(1, b"other");
                in_map.insert(key);
            }
            for _ in 0..stored {
                let key = rng.below(600).to_string();
                server.run(&format!("SET {key} v"));
                in_database.insert(key);
            }
            let database = server.engine.data.keyspace.database(0);
            let found: BTreeSet<String> = map
                .keys_in(0, database)
                .into_iter()
                .map(|key| String::from_utf8_lossy(&key).into())
                .collect();
            assert_eq!(found, in_map.intersection(&in_database).cloned().collect());
            assert!(map.keys_in(1, database).is_empty());
            assert!(map.keys_in(7, database).is_empty());
        }
    }
}
