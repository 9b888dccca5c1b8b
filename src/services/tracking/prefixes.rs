//! The prefixes that clients follow (`PrefixTable`, BCAST), and the keys below them that changed since they were last told.
//!
//! A key's prefixes are found by their lengths: its hash is computed byte for byte, and wherever a prefix could end it is looked
//! up. So a key costs no more than its length and the number of lengths, whatever prefixes there are. A key that changes again
//! before it is told is told once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::base::hash::KeyHasher;
use crate::base::ids::ClientId;

/// Bytes of changed keys up to which more are gathered, [`KEY_OVERHEAD`] for each included.
const MAX_CHANGED_BYTES: usize = 1 << 20;
/// What a changed key takes beside its text, bytes.
const KEY_OVERHEAD: usize = 32;
/// Changed keys for which room is kept.
const KEPT_CHANGED: usize = 1024;

/// A key that changed.
#[derive(Debug)]
pub struct ChangedKey {
    pub key: Box<[u8]>,
    /// The client that changed it, if it was the only one in this turn.
    pub origin: Option<ClientId>,
    /// That of the table when its prefixes were looked up.
    epoch: u64,
}

/// A prefix with the clients that follow it.
#[derive(Debug)]
struct Prefix {
    text: Arc<[u8]>,
    hash: u64,
    /// That of the table since it came.
    epoch: u64,
    clients: BTreeSet<ClientId>,
    /// The changed keys below it, by number.
    changed: Vec<u32>,
}

/// The hash of a text so far, byte for byte. Clients know neither its start nor its secret.
#[derive(Clone, Copy)]
struct PrefixHash {
    state: u64,
    secret: u64,
}

impl PrefixHash {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let product = u128::from(self.state ^ u64::from(*byte)) * u128::from(self.secret);
            self.state = product as u64 ^ (product >> 64) as u64;
            // The product of zero would never be another one.
            self.state = self.state.wrapping_add(self.secret);
        }
    }

    fn of(mut self, bytes: &[u8]) -> u64 {
        self.add(bytes);
        self.state
    }
}

/// See the head of this file.
pub struct Prefixes {
    prefixes: slab::Slab<Prefix>,
    /// Places in `prefixes`, by the hashes of their texts.
    places: HashTable<u32>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<usize, usize>,
    changed: Vec<ChangedKey>,
    /// Numbers of changed keys, by the hashes of these.
    numbers: HashTable<u32>,
    changed_bytes: usize,
    /// The prefixes with changed keys; and some that have been left since, whose places others may have taken.
    touched: Vec<u32>,
    /// Prefixes with changed keys.
    touched_count: usize,
    /// Prefixes that have come so far.
    epoch: u64,
    start: PrefixHash,
    hasher: KeyHasher,
}

impl Prefixes {
    pub fn new(hasher: KeyHasher) -> Self {
        Prefixes {
            prefixes: slab::Slab::new(),
            places: HashTable::new(),
            lengths: BTreeMap::new(),
            changed: Vec::new(),
            numbers: HashTable::new(),
            changed_bytes: 0,
            touched: Vec::new(),
            touched_count: 0,
            epoch: 0,
            start: PrefixHash { state: hasher.hash(b"state"), secret: hasher.hash(b"secret") | 1 },
            hasher,
        }
    }

    pub fn count(&self) -> usize {
        self.prefixes.len()
    }

    fn find(&self, hash: u64, prefix: &[u8]) -> Option<u32> {
        let is_it = |place: &u32| {
            let known = &self.prefixes[*place as usize];
            known.hash == hash && *known.text == *prefix
        };
        self.places.find(hash, is_it).copied()
    }

    /// A client follows a prefix, whose text it may share.
    pub fn follow(&mut self, prefix: &[u8], client: ClientId) -> Arc<[u8]> {
        let hash = self.start.of(prefix);
        let place = self.find(hash, prefix).unwrap_or_else(|| self.add(hash, prefix));
        let followed = &mut self.prefixes[place as usize];
        followed.clients.insert(client);
        followed.text.clone()
    }

    fn add(&mut self, hash: u64, prefix: &[u8]) -> u32 {
        self.epoch += 1;
        let (clients, changed) = (BTreeSet::new(), Vec::new());
        let added = Prefix { text: prefix.into(), hash, epoch: self.epoch, clients, changed };
        let place = self.prefixes.insert(added) as u32;
        let prefixes = &self.prefixes;
        self.places.insert_unique(hash, place, |place| prefixes[*place as usize].hash);
        *self.lengths.entry(prefix.len()).or_default() += 1;
        place
    }

    /// A client follows a prefix no more, and is not told what has changed below it.
    pub fn leave(&mut self, prefix: &[u8], client: ClientId) {
        let hash = self.start.of(prefix);
        let Some(place) = self.find(hash, prefix) else { return };
        let followed = &mut self.prefixes[place as usize];
        followed.clients.remove(&client);
        if !followed.clients.is_empty() {
            return;
        }
        self.touched_count -= usize::from(!followed.changed.is_empty());
        self.prefixes.remove(place as usize);
        if let Ok(found) = self.places.find_entry(hash, |other| *other == place) {
            found.remove();
        }
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
        if self.touched_count == 0 {
            self.forget_changed();
        }
    }

    /// Notes for the followers of its prefixes that a key changed, by `origin` if a client changed it. `hash` is the key's.
    pub fn changed(&mut self, hash: u64, key: &[u8], origin: Option<ClientId>) {
        if self.lengths.is_empty() {
            return;
        }
        let changed = &self.changed;
        let known = self.numbers.find(hash, |number| *changed[*number as usize].key == *key).copied();
        // A known key lacks only the prefixes that have come since.
        let known_since = match known.and_then(|number| self.changed.get_mut(number as usize)) {
            None => None,
            Some(known) => {
                if known.origin != origin {
                    known.origin = None;
                }
                if known.epoch == self.epoch {
                    return;
                }
                Some(std::mem::replace(&mut known.epoch, self.epoch))
            }
        };
        let number = known.unwrap_or(self.changed.len() as u32);
        let is_followed = self.note_below_prefixes(number, key, known_since);
        if is_followed && known.is_none() {
            self.changed.push(ChangedKey { key: key.into(), origin, epoch: self.epoch });
            self.changed_bytes += key.len() + KEY_OVERHEAD;
            let (changed, hasher) = (&self.changed, self.hasher);
            self.numbers.insert_unique(hash, number, |number| hasher.hash(&changed[*number as usize].key));
        }
    }

    /// Notes a changed key below all its prefixes that have come after `since`; true if it has any.
    fn note_below_prefixes(&mut self, number: u32, key: &[u8], since: Option<u64>) -> bool {
        let mut is_followed = false;
        let (mut hash, mut hashed) = (self.start, 0);
        for length in self.lengths.range(..=key.len()).map(|(length, _)| *length) {
            hash.add(&key[hashed..length]);
            hashed = length;
            let Some(place) = self.find(hash.state, &key[..length]) else { continue };
            let followed = &mut self.prefixes[place as usize];
            if since.is_some_and(|since| followed.epoch <= since) {
                continue;
            }
            is_followed = true;
            if followed.changed.is_empty() {
                self.touched.push(place);
                self.touched_count += 1;
            }
            followed.changed.push(number);
        }
        is_followed
    }

    /// Whether there are followers to be told something.
    #[inline]
    pub fn has_changed(&self) -> bool {
        self.touched_count > 0
    }

    /// Whether so much has changed that it is to be told before more is gathered.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.changed_bytes > MAX_CHANGED_BYTES
    }

    /// Shows what has changed since the last time, prefix for prefix in their order: the prefix's followers and its keys, in order.
    pub fn take_changed(&mut self, mut show: impl FnMut(&BTreeSet<ClientId>, &[&ChangedKey])) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|place| {
            self.prefixes.get(*place as usize).is_some_and(|prefix| !prefix.changed.is_empty())
        });
        touched.sort_unstable_by_key(|place| &self.prefixes[*place as usize].text);
        touched.dedup();
        for place in &touched {
            let numbers = std::mem::take(&mut self.prefixes[*place as usize].changed);
            let mut keys: Vec<&ChangedKey> =
                numbers.iter().map(|number| &self.changed[*number as usize]).collect();
            keys.sort_unstable_by_key(|changed| &changed.key);
            show(&self.prefixes[*place as usize].clients, &keys);
        }
        self.forget_changed();
    }

    fn forget_changed(&mut self) {
        self.touched.clear();
        self.touched_count = 0;
        self.changed.clear();
        self.changed.shrink_to(KEPT_CHANGED);
        self.numbers.clear();
        self.numbers.shrink_to(KEPT_CHANGED, |_| 0);
        self.changed_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(index: u32) -> ClientId {
        ClientId { index, generation: 1 }
    }

    fn take(prefixes: &mut Prefixes) -> Vec<(Vec<u32>, Vec<String>)> {
        let mut taken = Vec::new();
        prefixes.take_changed(|clients, keys| {
            let keys = keys.iter().map(|changed| String::from_utf8_lossy(&changed.key).into_owned());
            taken.push((clients.iter().map(|client| client.index).collect(), keys.collect()));
        });
        taken
    }

    fn change(prefixes: &mut Prefixes, key: &str, origin: Option<u32>) {
        let hash = prefixes.hasher.hash(key.as_bytes());
        prefixes.changed(hash, key.as_bytes(), origin.map(client));
    }

    #[test]
    fn each_prefix_has_its_keys_in_order_and_once() {
        let mut prefixes = Prefixes::new(KeyHasher::new(1));
        for (prefix, index) in [("foo", 1), ("f", 2), ("bar", 1), ("", 3), ("foo", 4)] {
            prefixes.follow(prefix.as_bytes(), client(index));
        }
        assert_eq!(prefixes.count(), 4);
        for key in ["foo2", "foo1", "bar", "ba", "foo1"] {
            change(&mut prefixes, key, Some(9));
        }
        let all = ["ba", "bar", "foo1", "foo2"].map(String::from).to_vec();
        let foo = ["foo1", "foo2"].map(String::from).to_vec();
        let expected =
            vec![(vec![3], all), (vec![1], vec!["bar".into()]), (vec![2], foo.clone()), (vec![1, 4], foo)];
        assert!(prefixes.has_changed());
        assert_eq!(take(&mut prefixes), expected);
        assert!(!prefixes.has_changed());
        assert_eq!(take(&mut prefixes), []);
    }

    #[test]
    fn a_prefix_ends_with_its_last_follower() {
        let mut prefixes = Prefixes::new(KeyHasher::new(1));
        prefixes.follow(b"a", client(1));
        prefixes.follow(b"a", client(2));
        change(&mut prefixes, "a1", None);
        prefixes.leave(b"a", client(1));
        assert_eq!((prefixes.count(), prefixes.has_changed()), (1, true));
        prefixes.leave(b"a", client(2));
        assert_eq!((prefixes.count(), prefixes.has_changed()), (0, false));
        change(&mut prefixes, "a1", None);
        prefixes.follow(b"a", client(3));
        assert_eq!(take(&mut prefixes), []);
        assert!(prefixes.lengths.len() == 1 && prefixes.changed.is_empty());
    }

    #[test]
    fn a_prefix_that_comes_later_is_told_of_later_changes() {
        let mut prefixes = Prefixes::new(KeyHasher::new(1));
        prefixes.follow(b"f", client(1));
        change(&mut prefixes, "foo", None);
        prefixes.follow(b"fo", client(2));
        assert_eq!(take(&mut prefixes), [(vec![1], vec!["foo".into()])]);
        change(&mut prefixes, "foo", None);
        prefixes.follow(b"foo", client(3));
        change(&mut prefixes, "foo", None);
        change(&mut prefixes, "foo", None);
        let expected = [1, 2, 3].map(|index| (vec![index], vec!["foo".to_string()]));
        assert_eq!(take(&mut prefixes), expected);
    }

    #[test]
    fn a_prefix_may_take_the_place_of_one_that_ended() {
        let mut prefixes = Prefixes::new(KeyHasher::new(1));
        for (prefix, index) in [("a", 1), ("b", 2), ("c", 3)] {
            prefixes.follow(prefix.as_bytes(), client(index));
        }
        ["a1", "b1"].into_iter().for_each(|key| change(&mut prefixes, key, None));
        prefixes.leave(b"a", client(1));
        prefixes.follow(b"d", client(4));
        assert_eq!(prefixes.find(prefixes.start.of(b"d"), b"d"), Some(0), "the place of the first");
        ["d1", "c1", "a1"].into_iter().for_each(|key| change(&mut prefixes, key, None));
        let expected =
            [(2, "b1"), (3, "c1"), (4, "d1")].map(|(index, key)| (vec![index], vec![key.to_string()]));
        assert_eq!(take(&mut prefixes), expected);
        assert!(prefixes.touched.is_empty() && !prefixes.has_changed());
    }

    #[test]
    fn a_key_that_two_changed_is_no_ones_own() {
        let mut prefixes = Prefixes::new(KeyHasher::new(1));
        prefixes.follow(b"", client(1));
        change(&mut prefixes, "one", Some(1));
        change(&mut prefixes, "one", Some(1));
        change(&mut prefixes, "two", Some(1));
        change(&mut prefixes, "two", Some(2));
        change(&mut prefixes, "two", Some(1));
        change(&mut prefixes, "itself", None);
        let mut origins = Vec::new();
        prefixes.take_changed(|_, keys| origins.extend(keys.iter().map(|changed| changed.origin)));
        assert_eq!(origins, [None, Some(client(1)), None]);
    }

    #[test]
    fn what_changed_is_bounded_and_its_room_given_back() {
        let mut prefixes = Prefixes::new(KeyHasher::new(1));
        prefixes.follow(b"", client(1));
        let mut count = 0;
        while !prefixes.is_full() {
            change(&mut prefixes, &format!("key:{count}"), None);
            count += 1;
        }
        assert!((10_000..40_000).contains(&count), "{count}");
        assert_eq!(take(&mut prefixes)[0].1.len(), count);
        assert!(!prefixes.is_full());
        assert!(prefixes.changed.capacity() <= KEPT_CHANGED);
    }
}
