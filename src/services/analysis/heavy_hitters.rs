//! Heavy hitters: the names with the most weight in a stream, in bounded memory (Misra-Gries, cut down in batches).
//!
//! Up to its capacity the table is exact. A name that comes when it is full makes room for itself and others: the median
//! of all weights is subtracted from each, and those that have nothing left are forgotten. Each subtraction takes away
//! at least `capacity / 2` times what any name loses, so that no name loses more than `2 * total / capacity` altogether. What
//! is kept of a name is its weight since it came into the table, and how much it may have had before.
//!
//! Cormode, Hadjieleftheriou: Finding frequent items in data streams; Anderson et al.: A high-performance algorithm for
//! identifying frequent items in data streams.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use crate::base::hash::KeyHasher;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hitter {
    pub name: Box<[u8]>,
    /// What was added under this name since it came into the table: all, unless `error` is more than 0.
    pub weight: u64,
    /// How often something was added.
    pub count: u64,
    /// Weight that it may have had before.
    pub error: u64,
    /// How many names had come into the table before.
    arrival: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct HeavyHitters {
    table: HashTable<Hitter>,
    capacity: usize,
    /// What has been subtracted: no name that isn't in the table has had more.
    subtracted: u64,
    /// Names that have come into the table.
    arrivals: u64,
    hasher: KeyHasher,
}

impl HeavyHitters {
    /// A table of at most `capacity` names (at least 2).
    pub fn new(capacity: usize, hasher: KeyHasher) -> Self {
        HeavyHitters {
            table: HashTable::new(),
            capacity: capacity.max(2),
            subtracted: 0,
            arrivals: 0,
            hasher,
        }
    }

    /// Adds to the weight of a name.
    pub fn add(&mut self, name: &[u8], weight: u64) {
        let hash = self.hasher.hash(name);
        if let Some(hitter) = self.table.find_mut(hash, |hitter| &*hitter.name == name) {
            hitter.weight += weight;
            hitter.count += 1;
            return;
        }
        if self.table.len() >= self.capacity {
            self.cut();
        }
        let hasher = self.hasher;
        let place =
            self.table.entry(hash, |hitter| *hitter.name == *name, |hitter| hasher.hash(&hitter.name));
        if let Place::Vacant(place) = place {
            let (error, arrival) = (self.subtracted, self.arrivals);
            place.insert(Hitter { name: name.into(), weight, count: 1, error, arrival });
            self.arrivals += 1;
        }
    }

    /// Subtracts the median, and forgets what has nothing left. Something is always forgotten.
    fn cut(&mut self) {
        let subtracted = self.subtracted;
        // What is left of a name's weight: the rest was subtracted while it was in the table.
        let left = |hitter: &Hitter| (hitter.weight + hitter.error).saturating_sub(subtracted);
        let mut weights: Vec<u64> = self.table.iter().map(left).collect();
        let middle = weights.len() / 2;
        let (_, median, _) = weights.select_nth_unstable(middle);
        let median = *median;
        self.table.retain(|hitter| left(hitter) > median);
        self.subtracted += median;
    }

    /// What a name that isn't in the table may have had.
    pub fn error(&self) -> u64 {
        self.subtracted
    }

    /// The `n` heaviest names, the heaviest first; of equal ones the first that came.
    pub fn heaviest(&self, n: usize) -> Vec<&Hitter> {
        let mut all: Vec<&Hitter> = self.table.iter().collect();
        let order =
            |a: &&Hitter, b: &&Hitter| b.weight.cmp(&a.weight).then_with(|| a.arrival.cmp(&b.arrival));
        if all.len() > n && n > 0 {
            all.select_nth_unstable_by(n - 1, order);
        }
        all.truncate(n);
        all.sort_unstable_by(order);
        all
    }

    /// Bytes allocated, about.
    pub fn memory(&self) -> usize {
        let names: usize = self.table.iter().map(|hitter| hitter.name.len()).sum();
        self.table.capacity() * (size_of::<Hitter>() + 1) + names
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::base::rng::Rng;

    fn table(capacity: usize) -> HeavyHitters {
        HeavyHitters::new(capacity, KeyHasher::new(7))
    }

    #[test]
    fn exact_up_to_the_capacity() {
        let mut hitters = table(3);
        for (name, weight) in [("a", 5), ("b", 2), ("a", 1), ("c", 6)] {
            hitters.add(name.as_bytes(), weight);
        }
        let found = hitters.heaviest(2);
        let found: Vec<_> = found.iter().map(|h| (&*h.name, h.weight, h.count, h.error)).collect();
        assert_eq!(found, [(&b"a"[..], 6, 2, 0), (b"c", 6, 1, 0)]);
        assert_eq!((hitters.error(), hitters.heaviest(9).len(), hitters.heaviest(0).len()), (0, 3, 0));
    }

    #[test]
    fn bounds_hold_beyond_it() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let (capacity, mut hitters) = (64, table(64));
            let (mut naive, mut total) = (HashMap::<Vec<u8>, u64>::new(), 0);
            for _ in 0..20_000 {
                // Most names are rare; the lower a number is, the more often it comes.
                let size = rng.below(14);
                let number = rng.below(1 << size);
                let (name, weight) = (number.to_string().into_bytes(), rng.below(100));
                hitters.add(&name, weight);
                *naive.entry(name).or_default() += weight;
                total += weight;
                assert!(hitters.table.len() <= capacity);
            }
            assert!(hitters.error() > 0 && hitters.error() <= 2 * total / capacity as u64);
            for (name, weight) in naive {
                match hitters.table.iter().find(|hitter| *hitter.name == *name) {
                    Some(known) => {
                        assert!(known.weight <= weight && weight <= known.weight + known.error, "{known:?}");
                    }
                    None => assert!(weight <= hitters.error()),
                }
            }
            // The heaviest names came early and often: they have never been forgotten.
            assert_eq!(&*hitters.heaviest(1)[0].name, b"0");
        }
    }

    #[test]
    fn equal_weights_make_room_too() {
        let mut hitters = table(4);
        (0..100u32).for_each(|n| hitters.add(&n.to_le_bytes(), 0));
        (0..100u32).for_each(|n| hitters.add(&n.to_le_bytes(), 3));
        assert!(hitters.table.len() <= 4);
    }
}
