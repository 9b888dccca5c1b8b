//! Groups of hashes: which parts of a hash table a snapshot has handed over.
//!
//! ```text
//! hashes   0 ───────────────────────────────────────────────▶ 2^64
//! groups   |0 |1 |2 |3 |4 |5 |6 |7 |8 |9 |…          2^bits equal ranges of hashes, some sixteen entries each
//! done      x  x  x  x  .  .  x  .  .  x             a bit a group
//!                       ▲ next            ▲ written to: handed over before the write
//! ```
//!
//! Ranges of hashes do not depend on how the parts of a table lie, which may split and merge meanwhile. The bits of a million
//! entries take eight kilobytes.

/// Entries a group has on average, as a power of two.
const GROUP_BITS: u32 = 4;
/// There are no more groups than two to the power of this: hashes are told apart by their upper bits only.
const BITS_MAX: u32 = 32;

/// See the head of this file.
#[derive(Debug)]
pub struct HashGroups {
    /// A bit a group.
    done: Vec<u64>,
    /// The number of groups is two to the power of this.
    bits: u32,
    /// The walk goes on with this group.
    next: u64,
    /// Groups that are not done.
    left: u64,
}

impl HashGroups {
    /// Groups for a table of `len` entries, none of them done.
    pub fn new(len: usize) -> Self {
        let bits = (usize::BITS - len.leading_zeros()).saturating_sub(GROUP_BITS).min(BITS_MAX);
        let groups = 1u64 << bits;
        HashGroups { done: vec![0; groups.div_ceil(64) as usize], bits, next: 0, left: groups }
    }

    /// The group of a hash.
    #[inline]
    pub fn group_of(&self, hash: u64) -> u64 {
        hash.checked_shr(64 - self.bits).unwrap_or(0)
    }

    /// The first hash of a group, and the first behind it: 0 if there is none.
    pub fn range(&self, group: u64) -> (u64, u64) {
        let start_of = |group: u64| group.checked_shl(64 - self.bits).unwrap_or(0);
        (start_of(group), start_of(group + 1))
    }

    /// Whether a group is done.
    #[inline]
    pub fn is_done(&self, group: u64) -> bool {
        self.done[(group / 64) as usize] >> (group % 64) & 1 != 0
    }

    /// Notes that a group, which was not, is done.
    pub fn set_done(&mut self, group: u64) {
        self.done[(group / 64) as usize] |= 1 << (group % 64);
        self.left -= 1;
    }

    /// Whether all groups are done.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// The first group that is not done.
    pub fn next_group(&mut self) -> Option<u64> {
        if self.left == 0 {
            return None;
        }
        while self.is_done(self.next) {
            // Groups of one word that are all done are passed over at once.
            let word = self.done[(self.next / 64) as usize] >> (self.next % 64);
            self.next += u64::from(word.trailing_ones());
        }
        Some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_ranges_of_hashes() {
        for len in [0, 1, 15, 16, 17, 1000, 100_000] {
            let mut groups = HashGroups::new(len);
            let mut end = 0;
            let mut count = 0u64;
            while let Some(group) = groups.next_group() {
                let (start, next) = groups.range(group);
                assert_eq!((start, groups.group_of(start)), (end, group));
                assert_eq!(groups.group_of(next.wrapping_sub(1)), group);
                // Every third one is done out of turn.
                if group + 3 < 1 << groups.bits && group % 3 == 0 {
                    groups.set_done(group + 3);
                    count += 1;
                }
                groups.set_done(group);
                end = next;
                count += 1;
                while end != 0 && groups.is_done(groups.group_of(end)) {
                    end = groups.range(groups.group_of(end)).1;
                }
            }
            assert!(groups.is_complete() && end == 0);
            assert_eq!(count, 1 << groups.bits);
            assert!(count as usize <= len / 8 + 1);
        }
    }
}
