//! A map in the order of insertion: what rules add while they are applied, found and removed without a search of all.

use std::collections::HashMap;
use std::hash::Hash;

/// Each key with its value and the number of its insertion.
#[derive(Debug)]
pub(super) struct Ordered<K, V> {
    entries: HashMap<K, (u64, V)>,
    inserted: u64,
}

impl<K: Hash + Eq, V> Ordered<K, V> {
    /// The value of a key, which is added at the end if it is new.
    pub(super) fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        self.inserted += 1;
        &mut self.entries.entry(key).or_insert((self.inserted, value)).1
    }

    /// Whether the key was there.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        self.entries.remove(key).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Keys and values in the order in which the keys came.
    pub(super) fn into_sorted(self) -> impl ExactSizeIterator<Item = (K, V)> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_unstable_by_key(|(_, (number, _))| *number);
        entries.into_iter().map(|(key, (_, value))| (key, value))
    }
}

impl<K: Hash + Eq, V> FromIterator<(K, V)> for Ordered<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Ordered { entries: HashMap::new(), inserted: 0 };
        for (key, value) in entries {
            map.get_or_insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_first_insertion() {
        let mut map: Ordered<&str, u8> = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
        *map.get_or_insert("a", 9) |= 4;
        assert!(map.remove(&"b") && !map.remove(&"b"));
        map.get_or_insert("b", 5);
        assert_eq!(map.into_sorted().collect::<Vec<_>>(), [("a", 6), ("b", 5)]);
    }
}
