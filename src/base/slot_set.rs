//! Slot set: which of a cluster's 16,384 slots, as the part of the bitmap of 2 KiB that has any.
//!
//! ```text
//! bitmap   0 0 0 | words | 0 0 …      words: from the first to the last that ever had a slot
//!                ^ first
//! ```
//!
//! Each node keeps a set for each other one: in a cluster of a hundred a set that is one range of slots takes some 40 bytes.

use std::fmt;
use std::ops::RangeInclusive;

use super::crc::SLOTS;

/// Words of the whole bitmap.
const WORDS: usize = SLOTS as usize / 64;
/// Bytes of the bitmap in bus messages.
pub const SLOT_SET_BYTES: usize = SLOTS as usize / 8;

/// A set of slots. One that never had any takes no memory.
#[derive(Clone)]
pub struct SlotSet {
    /// Where the words lie in the bitmap; `first + words.len()` is at most [`WORDS`].
    first: usize,
    words: Vec<u64>,
}

impl SlotSet {
    pub fn new() -> Self {
        SlotSet { first: 0, words: Vec::new() }
    }

    /// All slots.
    pub fn full() -> Self {
        SlotSet { first: 0, words: vec![u64::MAX; WORDS] }
    }

    #[inline]
    pub fn contains(&self, slot: u16) -> bool {
        let word = self.words.get((usize::from(slot) / 64).wrapping_sub(self.first));
        word.is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Adds a slot; whether it was missing.
    pub fn insert(&mut self, slot: u16) -> bool {
        let (word, bit) = (self.word_mut(usize::from(slot) / 64), 1 << (slot % 64));
        let missing = *word & bit == 0;
        *word |= bit;
        missing
    }

    /// A word of the bitmap, to which the words reach then.
    fn word_mut(&mut self, index: usize) -> &mut u64 {
        if self.words.is_empty() {
            self.first = index;
        }
        if index < self.first {
            let missing = self.first - index;
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = index;
        }
        let at = index - self.first;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        &mut self.words[at]
    }

    /// Removes a slot; whether it was there.
    pub fn remove(&mut self, slot: u16) -> bool {
        let word = self.words.get_mut((usize::from(slot) / 64).wrapping_sub(self.first));
        let Some(word) = word else { return false };
        let bit = 1 << (slot % 64);
        let there = *word & bit != 0;
        *word &= !bit;
        there
    }

    pub fn insert_all(&mut self, slots: RangeInclusive<u16>) {
        let (first, last) = (*slots.start(), (*slots.end()).min(SLOTS - 1));
        if first > last {
            return;
        }
        let (from, to) = (usize::from(first) / 64, usize::from(last) / 64);
        self.word_mut(from);
        self.word_mut(to);
        let words = self.words[from - self.first..=to - self.first].iter_mut();
        for (word, index) in words.zip(from..) {
            let low = if index == from { u64::MAX << (first % 64) } else { u64::MAX };
            let high = if index == to { u64::MAX >> (63 - last % 64) } else { u64::MAX };
            *word |= low & high;
        }
    }

    /// The first slot from `slot` on that is in the set.
    pub fn next(&self, slot: u16) -> Option<u16> {
        self.find(slot, 0)
    }

    /// The first slot from `slot` on that the words have and whose bit isn't that of `flipped`, which is 0 or all ones.
    fn find(&self, slot: u16, flipped: u64) -> Option<u16> {
        let from = usize::from(slot) / 64;
        let mask = |index: usize| if index == from { u64::MAX << (slot % 64) } else { u64::MAX };
        let words = self.words.iter().zip(self.first..).skip(from.saturating_sub(self.first));
        let mut words = words.map(|(word, index)| ((word ^ flipped) & mask(index), index));
        let (word, index) = words.find(|(word, _)| *word != 0)?;
        Some((index * 64) as u16 + word.trailing_zeros() as u16)
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.words.iter().zip(self.first..).flat_map(|(word, index)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some((index * 64) as u16 + bit as u16)
            })
        })
    }

    /// The slots in order, those side by side as one range.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u16>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let first = self.next(from)?;
            let words_end = ((self.first + self.words.len()) * 64) as u16;
            let end = self.find(first, u64::MAX).unwrap_or(words_end);
            from = end;
            Some(first..=end - 1)
        })
    }

    /// The bitmap of bus messages: slot `n` is bit `n % 8` of byte `n / 8`.
    pub fn to_bytes(&self) -> [u8; SLOT_SET_BYTES] {
        let mut bytes = [0; SLOT_SET_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).skip(self.first).zip(&self.words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Of [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8; SLOT_SET_BYTES]) -> Self {
        let words = bytes.as_chunks::<8>().0;
        let (first, words) = trimmed(0, words, &[0; 8]);
        SlotSet { first, words: words.iter().map(|word| u64::from_le_bytes(*word)).collect() }
    }
}

/// What of some words, of which the first has the index `first`, lies between those that are zero at both ends; and its index.
fn trimmed<'a, T: PartialEq>(first: usize, words: &'a [T], zero: &T) -> (usize, &'a [T]) {
    let Some(start) = words.iter().position(|word| word != zero) else { return (0, &[]) };
    let end = words.iter().rposition(|word| word != zero).map_or(start, |last| last + 1);
    (first + start, &words[start..end])
}

impl PartialEq for SlotSet {
    fn eq(&self, other: &Self) -> bool {
        trimmed(self.first, &self.words, &0) == trimmed(other.first, &other.words, &0)
    }
}

impl Eq for SlotSet {}

impl Default for SlotSet {
    fn default() -> Self {
        SlotSet::new()
    }
}

impl FromIterator<u16> for SlotSet {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = SlotSet::new();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl fmt::Display for SlotSet {
    /// `0-5460 5462`, as in `nodes.conf`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.ranges().enumerate() {
            f.write_str(if number == 0 { "" } else { " " })?;
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_kept_listed_and_sent() {
        let mut set: SlotSet = [5, 6, 7, 63, 64, 16383, 100].into_iter().collect();
        assert_eq!(set.to_string(), "5-7 63-64 100 16383");
        assert!(!set.insert(5) && set.insert(8) && set.remove(100) && !set.remove(100));
        assert_eq!(set.to_string(), "5-8 63-64 16383");
        let next: Vec<_> = [0, 5, 9, 64, 65, 16383].into_iter().map(|slot| set.next(slot)).collect();
        assert_eq!(next, [5, 5, 63, 64, 16383, 16383].map(Some));
        assert_eq!((SlotSet::new().next(0), SlotSet::full().next(16383)), (None, Some(16383)));
        assert_eq!((set.len(), set.is_empty(), set.contains(64), set.contains(65)), (7, false, true, false));
        let bytes = set.to_bytes();
        assert_eq!((bytes[0], bytes[1], bytes[7], bytes[8], bytes[2047]), (0b1110_0000, 1, 128, 1, 128));
        assert_eq!(SlotSet::from_bytes(&bytes), set);
        let mut all = SlotSet::new();
        all.insert_all(0..=16383);
        assert_eq!((all == SlotSet::full(), all.to_string()), (true, "0-16383".to_string()));
        for range in [3..=3, 60..=64, 64..=127, 63..=192, 16383..=16383] {
            let mut some: SlotSet = [1].into_iter().collect();
            some.insert_all(range.clone());
            let all: Vec<u16> = some.iter().collect();
            assert_eq!(all, [1].into_iter().chain(range.clone()).collect::<Vec<_>>());
            assert_eq!(some.ranges().collect::<Vec<_>>(), [1..=1, range]);
        }
        let mut none = SlotSet::new();
        none.insert_all(RangeInclusive::new(7, 6));
        assert_eq!((none.is_empty(), none.ranges().next()), (true, None));
        let mut emptied: SlotSet = [3].into_iter().collect();
        assert_ne!(emptied, SlotSet::new());
        emptied.remove(3);
        assert_eq!((&emptied, &SlotSet::new()), (&SlotSet::new(), &emptied));
        assert!(!SlotSet::new().remove(3) && !SlotSet::new().contains(3));
        assert_eq!(SlotSet::from_bytes(&SlotSet::new().to_bytes()), SlotSet::new());
        assert_eq!((SlotSet::new().is_empty(), SlotSet::new().to_string()), (true, String::new()));
    }

    #[test]
    fn a_set_is_what_a_tree_of_slots_is() {
        let mut rng = crate::base::rng::Rng::new(5);
        for round in 0..200u64 {
            let (mut set, mut model) = (SlotSet::new(), std::collections::BTreeSet::new());
            // Narrow ones and wide ones, at both ends and between.
            let width = [100, 1000, 16384][round as usize % 3];
            let base = rng.below(16384 - width + 1) as u16;
            for _ in 0..200 {
                let slot = base + rng.below(width) as u16;
                if rng.below(3) > 0 {
                    assert_eq!(set.insert(slot), model.insert(slot));
                } else {
                    assert_eq!(set.remove(slot), model.remove(&slot));
                }
                let asked = rng.below(16384) as u16;
                assert_eq!(set.contains(asked), model.contains(&asked));
                assert_eq!(set.next(asked), model.range(asked..).next().copied());
            }
            assert!(set.iter().eq(model.iter().copied()) && set.len() == model.len());
            let again: SlotSet = model.iter().rev().copied().collect();
            assert_eq!((&again, &SlotSet::from_bytes(&set.to_bytes())), (&set, &set));
            set.insert(base);
            set.remove(base);
            model.remove(&base);
            assert_eq!(set == again, model.len() == again.len());
            assert!(SlotSet::from_bytes(&again.to_bytes()).words.len() <= width as usize / 64 + 2);
        }
    }
}
