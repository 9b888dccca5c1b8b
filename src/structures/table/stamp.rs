//! Stamps: numbers for the states of tables, of which no two states of any two tables in the process have the same.
//!
//! ```text
//! stamp, 64 bits:   block, 52 bits | state within the block, 12 bits
//! ```
//!
//! A table takes its stamps from a block that is its alone, and another block when that one is used up; so an
//! [`EntryRef`](super::EntryRef) whose stamp is equal to the table's is of this table, and nothing has moved since. Taking a block is the
//! only operation that several threads could do at once. A million blocks a second would last for 142 years.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Stamps in a block.
const BLOCK: u64 = 1 << 12;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);

/// The state of a table; see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    /// The first stamp of a block that no table has had.
    pub fn new() -> Self {
        Stamp(NEXT_BLOCK.fetch_add(1, Relaxed) * BLOCK)
    }

    /// Makes it another one, which no table has had.
    #[inline(always)]
    pub fn advance(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(BLOCK) {
            *self = Stamp::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_are_equal() {
        let mut stamps = [Stamp::new(), Stamp::new(), Stamp::new()];
        let mut seen = HashSet::from(stamps.map(|stamp| stamp.0));
        for round in 0..3 * BLOCK {
            let stamp = &mut stamps[(round % 5 % 3) as usize];
            stamp.advance();
            assert!(seen.insert(stamp.0));
        }
    }
}
