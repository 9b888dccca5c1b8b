//! Slots: items under 32-bit numbers that stay theirs until they are removed; a vacant number is used again, the latest first.
//!
//! The items lie in one vector, so an access is an index into a slice and nothing else. The `slab` crate threads its
//! vacant numbers through the items instead, for which each takes a tag: 16 bytes instead of 8 for an optional box.

use std::ops::{Deref, DerefMut};

/// Items by number; as a slice it shows the vacant ones too, which are `T::default()`.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    items: Vec<T>,
    vacant: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { items: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> From<Vec<T>> for Slots<T> {
    /// The items under the numbers from 0 on.
    fn from(items: Vec<T>) -> Self {
        Slots { items, vacant: Vec::new() }
    }
}

impl<T: Default> Slots<T> {
    /// Stores an item; returns its number.
    ///
    /// # Panics
    /// With 2^32 items; the owners limit themselves to far fewer.
    pub fn insert(&mut self, item: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self.items[number as usize] = item;
            return number;
        }
        let number = u32::try_from(self.items.len()).expect("numbers have 32 bits");
        self.items.push(item);
        number
    }

    /// Takes an item out and makes its number vacant. It must not be vacant yet.
    pub fn remove(&mut self, number: u32) -> T {
        self.vacant.push(number);
        std::mem::take(&mut self.items[number as usize])
    }

    /// Items, without the vacant ones.
    pub fn live(&self) -> usize {
        self.items.len() - self.vacant.len()
    }

    /// Bytes allocated, without what the items own.
    pub fn memory_usage(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.vacant.capacity() * size_of::<u32>()
    }

    /// Drops up to `count` items, those of the highest numbers; true when none is left. Only for slots that are not
    /// used any more.
    pub fn free_some(&mut self, count: usize) -> bool {
        let keep = self.items.len().saturating_sub(count);
        self.items.truncate(keep);
        keep == 0
    }
}

impl<T> Deref for Slots<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> DerefMut for Slots<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn random_operations_match_a_map() {
        let seed = 7;
        let mut rng = Rng::new(seed);
        let mut slots = Slots::<Option<Box<u64>>>::default();
        let mut model = BTreeMap::<u32, u64>::new();
        let mut most = 0;
        for value in 0..5000 {
            if rng.below(100) < 52 {
                let number = slots.insert(Some(Box::new(value)));
                assert_eq!(model.insert(number, value), None, "seed {seed}: the number is not in use");
            } else if let Some((&number, &expected)) =
                model.iter().nth(rng.below(model.len().max(1) as u64) as usize)
            {
                assert_eq!(slots.remove(number).as_deref(), Some(&expected), "seed {seed}");
                model.remove(&number);
            }
            most = most.max(model.len());
            assert_eq!(
                (slots.live(), slots.len()),
                (model.len(), most),
                "seed {seed}: vacant numbers are used first"
            );
        }
        for (number, item) in slots.iter().enumerate() {
            assert_eq!(item.as_deref(), model.get(&(number as u32)), "seed {seed}");
        }
    }

    #[test]
    fn frees_in_steps() {
        let mut slots = Slots::<u64>::default();
        (0..10).for_each(|value| assert_eq!(slots.insert(value), value as u32));
        assert!(slots.memory_usage() >= 10 * size_of::<u64>());
        assert!(!slots.free_some(6));
        assert_eq!(slots.len(), 4);
        assert!(slots.free_some(4));
    }
}
