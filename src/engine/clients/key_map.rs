//! A hash map from (database, key), looked up by borrowed keys: what clients wait for and watch.
//!
//! It hashes as the keyspace does, so that its order, too, depends on nothing but the server's seed.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use crate::base::hash::KeyHasher;

/// A map of fewer entries keeps its memory for the next ones.
const MIN_SHRINK: usize = 1024;
/// A map that is filled to less than one in so many is given less memory.
const SPARSE: usize = 8;

#[derive(Debug)]
struct Entry<V> {
    db: u32,
    key: Box<[u8]>,
    value: V,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct KeyMap<V> {
    table: HashTable<Entry<V>>,
    hasher: KeyHasher,
}

impl<V> KeyMap<V> {
    pub fn new(hasher: KeyHasher) -> Self {
        KeyMap { table: HashTable::new(), hasher }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn get(&self, db: u32, key: &[u8]) -> Option<&V> {
        self.table.find(hash(self.hasher, db, key), is(db, key)).map(|entry| &entry.value)
    }

    pub fn get_mut(&mut self, db: u32, key: &[u8]) -> Option<&mut V> {
        self.table.find_mut(hash(self.hasher, db, key), is(db, key)).map(|entry| &mut entry.value)
    }

    /// The value of a key, which is made if there is none.
    pub fn get_or_default(&mut self, db: u32, key: &[u8]) -> &mut V
    where
        V: Default,
    {
        let hasher = self.hasher;
        let rehash = move |entry: &Entry<V>| hash(hasher, entry.db, &entry.key);
        match self.table.entry(hash(hasher, db, key), is(db, key), rehash) {
            Place::Occupied(place) => &mut place.into_mut().value,
            Place::Vacant(place) => {
                &mut place.insert(Entry { db, key: key.into(), value: V::default() }).into_mut().value
            }
        }
    }

    pub fn remove(&mut self, db: u32, key: &[u8]) {
        let hasher = self.hasher;
        if let Ok(place) = self.table.find_entry(hash(hasher, db, key), is(db, key)) {
            place.remove();
            if self.table.capacity() > MIN_SHRINK.max(self.table.len() * SPARSE) {
                let room = self.table.len() * 2;
                self.table.shrink_to(room, |entry| hash(hasher, entry.db, &entry.key));
            }
        }
    }

    /// All keys with their values; in the order of their hashes.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8], &V)> {
        self.table.iter().map(|entry| (entry.db, &*entry.key, &entry.value))
    }
}

fn hash(hasher: KeyHasher, db: u32, key: &[u8]) -> u64 {
    // Databases are few, and the multiplier is odd: equal keys of two databases hash differently.
    hasher.hash(key) ^ u64::from(db).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn is<V>(db: u32, key: &[u8]) -> impl Fn(&Entry<V>) -> bool {
    move |entry| entry.db == db && *entry.key == *key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

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
        let held: BTreeMap<_, _> = map.iter().map(|(db, key, value)| ((db, key.to_vec()), *value)).collect();
        assert_eq!(held, model);
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
        assert!(map.table.capacity() <= MIN_SHRINK, "{}", map.table.capacity());
    }
}
