//! Before-images: the entries of an ordered map that were changed since a snapshot of it began, as they were then.
//!
//! ```text
//! keys     ───── handed over ─────▶ done ───── pending ─────▶ last ───── added since
//! images                                   c: value   f: none
//! ```
//!
//! The owner of the map keeps an image of an entry before it changes it for the first time, or adds it. The walk visits the pending
//! keys in order: of each its image or, if it has none, the entry that is in the map. So the visitor sees the map as it was,
//! and the images of what has been visited are gone.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

/// See the head of this file.
#[derive(Debug)]
pub struct BeforeImages<K, V> {
    /// Keys up to this one have been visited.
    done: Option<K>,
    /// The last key when the snapshot began.
    last: K,
    /// All keys are above `done` and not above `last`. `None`: there was no such entry.
    images: BTreeMap<K, Option<V>>,
}

/// An entry as it was.
#[derive(Debug)]
pub enum Before<C, V> {
    /// It is in the map as it was.
    Current(C),
    /// Its image.
    Image(V),
}

impl<K: Ord + Clone, V> BeforeImages<K, V> {
    /// Of a map that has just this last key.
    pub fn new(last: K) -> Self {
        BeforeImages { done: None, last, images: BTreeMap::new() }
    }

    /// Whether an image is to be kept before the entry of this key is changed or added.
    pub fn wants<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let is_pending =
            self.done.as_ref().is_none_or(|done| key > done.borrow()) && key <= self.last.borrow();
        is_pending && !self.images.contains_key(key)
    }

    /// Keeps the image of an entry, `None` if it is about to be added.
    pub fn keep(&mut self, key: K, image: Option<V>) {
        debug_assert!(self.wants(&key));
        self.images.insert(key, image);
    }

    /// After an entry was removed: one that was added since the beginning needs no image any more.
    pub fn forget_added<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if matches!(self.images.get(key), Some(None)) {
            self.images.remove(key);
        }
    }

    /// The keys that are pending.
    pub fn range(&self) -> (Bound<K>, Bound<K>) {
        let start = self.done.clone().map_or(Bound::Unbounded, Bound::Excluded);
        (start, Bound::Included(self.last.clone()))
    }

    /// Visits up to `most` pending entries, in order; false when there are no more. `entries` are those of the map within
    /// [`Self::range`].
    pub fn walk<C>(
        &mut self,
        most: usize,
        entries: impl Iterator<Item = (K, C)>,
        mut visit: impl FnMut(&K, Before<C, V>),
    ) -> bool {
        let mut entries = entries.peekable();
        for _ in 0..most {
            let current = entries.peek().map(|(key, _)| key);
            let has_image = match (current, self.images.first_key_value()) {
                (None, None) => return false,
                (Some(current), Some((key, _))) => key <= current,
                (current, _) => current.is_none(),
            };
            let (key, before) = if has_image {
                let Some((key, image)) = self.images.pop_first() else { return false };
                entries.next_if(|(current, _)| *current == key);
                (key, image.map(Before::Image))
            } else {
                let Some((key, current)) = entries.next() else { return false };
                (key, Some(Before::Current(current)))
            };
            if let Some(before) = before {
                visit(&key, before);
            }
            self.done = Some(key);
        }
        true
    }

    /// The first pending key, given that of the map's entries within [`Self::range`]. To be visited by its owner, who then says
    /// [`Self::set_done`].
    pub fn first(&self, current: Option<K>) -> Option<K> {
        let image = self.images.keys().next().cloned();
        image.into_iter().chain(current).min()
    }

    /// The image of an entry, `Some(None)` if it was not there.
    pub fn image_mut(&mut self, key: &K) -> Option<&mut Option<V>> {
        self.images.get_mut(key)
    }

    /// Notes that the first pending entry has been visited.
    pub fn set_done(&mut self, key: K) {
        self.images.remove(&key);
        self.done = Some(key);
    }
}

/// The state of the snapshot that a collection is in, if any. A copy of the collection is in none.
pub struct SnapshotState<T>(pub Option<Box<T>>);

impl<T> Default for SnapshotState<T> {
    fn default() -> Self {
        SnapshotState(None)
    }
}

impl<T> Clone for SnapshotState<T> {
    fn clone(&self) -> Self {
        SnapshotState(None)
    }
}

impl<T> fmt::Debug for SnapshotState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "in a snapshot" } else { "in no snapshot" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    type Map = BTreeMap<u64, u64>;

    fn change(map: &mut Map, images: &mut BeforeImages<u64, u64>, rng: &mut Rng) {
        let key = rng.below(250);
        if images.wants(&key) {
            images.keep(key, map.get(&key).copied());
        }
        if rng.below(2) == 0 {
            map.insert(key, rng.next_u64());
        } else {
            map.remove(&key);
            images.forget_added(&key);
        }
    }

    fn step(map: &Map, images: &mut BeforeImages<u64, u64>, most: usize, seen: &mut Vec<(u64, u64)>) -> bool {
        let entries = map.range(images.range()).map(|(key, value)| (*key, *value));
        images.walk(most, entries, |key, before| match before {
            Before::Current(value) | Before::Image(value) => seen.push((*key, value)),
        })
    }

    #[test]
    fn a_walk_sees_the_map_as_it_was() {
        for seed in 1..60 {
            let mut rng = Rng::new(seed);
            let mut map: Map = (0..1 + rng.below(200)).map(|_| (rng.below(200), rng.next_u64())).collect();
            let before: Vec<(u64, u64)> = map.iter().map(|(key, value)| (*key, *value)).collect();
            let mut images = BeforeImages::new(before[before.len() - 1].0);
            let (mut seen, most) = (Vec::new(), rng.below(30) + 1);
            loop {
                (0..rng.below(most)).for_each(|_| change(&mut map, &mut images, &mut rng));
                if !step(&map, &mut images, rng.below(8) as usize, &mut seen) {
                    break;
                }
            }
            assert_eq!(seen, before, "seed {seed}");
            assert_eq!(images.images.len(), 0);
        }
    }

    #[test]
    fn an_owner_may_visit_the_entries() {
        let mut map: Map = (0..20).map(|key| (key * 2, key)).collect();
        let mut images = BeforeImages::new(38);
        images.keep(4, map.remove(&4));
        images.keep(5, None);
        map.insert(5, 0);
        map.insert(99, 0);
        let mut seen = Vec::new();
        while let Some(key) = images.first(map.range(images.range()).next().map(|(key, _)| *key)) {
            let image = images.image_mut(&key).map(|image| image.take());
            seen.extend(image.unwrap_or(map.get(&key).copied()));
            images.set_done(key);
        }
        assert!(seen.into_iter().eq(0..20));
    }

    #[test]
    fn what_is_added_and_removed_leaves_nothing() {
        let mut images = BeforeImages::<u64, u64>::new(10);
        images.keep(3, None);
        images.keep(4, Some(1));
        assert!(!images.wants(&3) && !images.wants(&11) && images.wants(&10));
        images.forget_added(&3);
        images.forget_added(&4);
        assert_eq!(images.images.len(), 1);
    }
}
