//! Slot ranges of a migration: as they are written in requests, reports and the log.

use std::fmt;
use std::ops::RangeInclusive;

use crate::base::crc::SLOTS;
use crate::base::number;
use crate::base::slot_set::SlotSet;

/// Ranges of slots that don't overlap. Valkey keeps their order, Redis sorts them and joins neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotRanges(Vec<RangeInclusive<u16>>);

/// Why ranges can't be migrated together (Redis).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeError {
    Reversed(u16, u16),
    Repeated(u16),
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeError::Reversed(start, end) => {
                write!(f, "start slot number {start} is greater than end slot number {end}")
            }
            RangeError::Repeated(slot) => write!(f, "Slot {slot} specified multiple times"),
        }
    }
}

impl SlotRanges {
    /// Sorted, with neighbours joined, as Redis keeps them.
    pub fn normalized(mut pairs: Vec<(u16, u16)>) -> Result<Self, RangeError> {
        pairs.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::with_capacity(pairs.len());
        for (start, end) in pairs {
            if start > end {
                return Err(RangeError::Reversed(start, end));
            }
            match ranges.last_mut() {
                Some(last) if *last.end() >= start => return Err(RangeError::Repeated(start)),
                Some(last) if *last.end() + 1 == start => *last = *last.start()..=end,
                _ => ranges.push(start..=end),
            }
        }
        Ok(SlotRanges(ranges))
    }

    /// Adds a range behind the others, or says which of them it overlaps.
    pub fn push(&mut self, range: RangeInclusive<u16>) -> Result<(), RangeInclusive<u16>> {
        let overlaps =
            |other: &&RangeInclusive<u16>| other.start() <= range.end() && range.start() <= other.end();
        match self.0.iter().find(overlaps) {
            Some(other) => Err(other.clone()),
            None => {
                self.0.push(range);
                Ok(())
            }
        }
    }

    /// Of [`Self::to_string`]; `None` if it isn't that.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let slot = |text: &[u8]| {
            let number = number::parse_i64(text).and_then(|number| u16::try_from(number).ok());
            number.filter(|slot| *slot < SLOTS)
        };
        let mut pairs = Vec::new();
        for word in text.split(|byte| *byte == b' ') {
            let dash = word.iter().position(|byte| *byte == b'-')?;
            pairs.push((slot(&word[..dash])?, slot(&word[dash + 1..])?));
        }
        SlotRanges::normalized(pairs).ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u16>> {
        self.0.iter()
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slots, one after the other.
    pub fn slots(&self) -> impl Iterator<Item = u16> {
        self.0.iter().cloned().flatten()
    }

    pub fn contains(&self, slot: u16) -> bool {
        self.0.iter().any(|range| range.contains(&slot))
    }

    pub fn overlaps(&self, other: &SlotRanges) -> bool {
        let meets = |range: &RangeInclusive<u16>| {
            other.0.iter().any(|other| other.start() <= range.end() && range.start() <= other.end())
        };
        self.0.iter().any(meets)
    }

    pub fn to_set(&self) -> SlotSet {
        let mut set = SlotSet::new();
        self.0.iter().for_each(|range| set.insert_all(range.clone()));
        set
    }
}

impl fmt::Display for SlotRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}-{}", range.start(), range.end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted_and_joined() {
        let ranges = SlotRanges::normalized(vec![(10, 12), (0, 3), (4, 5), (100, 100)]).expect("valid");
        assert_eq!(ranges.to_string(), "0-5 10-12 100-100");
        assert_eq!(SlotRanges::parse(b"0-5 10-12 100-100"), Some(ranges.clone()));
        assert_eq!(ranges.slots().count(), 10);
        assert_eq!(ranges.to_set().len(), 10);
        assert_eq!(SlotRanges::normalized(vec![(3, 5), (5, 6)]), Err(RangeError::Repeated(5)));
        assert_eq!(SlotRanges::normalized(vec![(3, 2)]), Err(RangeError::Reversed(3, 2)));
        for text in ["", "1", "1-", "1-16384", "2-1", "1-1  2-2", "x-1"] {
            assert_eq!(SlotRanges::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_order_of_ranges_is_kept() {
        let mut ranges = SlotRanges::default();
        assert_eq!(ranges.push(10..=20), Ok(()));
        assert_eq!(ranges.push(0..=9), Ok(()));
        assert_eq!(ranges.push(5..=30), Err(10..=20));
        assert_eq!(ranges.to_string(), "10-20 0-9");
        let mut other = SlotRanges::default();
        assert_eq!(other.push(21..=22), Ok(()));
        assert!(!ranges.overlaps(&other));
        assert_eq!(other.push(9..=9), Ok(()));
        assert!(ranges.overlaps(&other) && other.contains(22) && !other.contains(23));
    }
}
