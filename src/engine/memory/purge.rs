//! Automatic memory purging: returns free memory that the allocator holds to the system, as `MEMORY PURGE` does on demand.
//!
//! The allocator looks at what it could return only when it allocates more, so a server that falls silent after
//! a big reply, or after its big values were deleted, would hold their memory for good. Looked at once a second,
//! and less and less often while returning doesn't help: what is needed again at once is better kept.

use crate::engine::Engine;
use crate::sys::{memory, process};

/// Less isn't worth the trouble, bytes.
const WORTH: usize = 32 * 1024 * 1024;
/// Time between two looks, ms.
const PERIOD: u64 = 1000;
/// The longest time between two attempts of which the first was in vain, ms.
const LONGEST: u64 = 64_000;

/// When to look again, and what the last attempt found.
#[derive(Debug, Default)]
pub struct MemoryPurge {
    next_ms: u64,
    wait_ms: u64,
    /// What was to spare when it was returned last, bytes; 0 if the last look found too little.
    returned: usize,
}

impl MemoryPurge {
    /// Whether a look is due.
    fn is_due(&self, now: u64) -> bool {
        now >= self.next_ms
    }

    /// Whether `spare` bytes, beside `used` ones, are to be returned now.
    fn is_worth_it(&mut self, spare: usize, used: usize, now: u64) -> bool {
        let in_vain = spare > self.returned / 4 * 3 && self.returned > 0;
        let worth_it = spare > WORTH + used / 8;
        self.wait_ms = if in_vain { (self.wait_ms * 2).min(LONGEST) } else { PERIOD };
        self.returned = if worth_it { spare } else { 0 };
        self.next_ms = now + self.wait_ms;
        worth_it
    }
}

impl Engine {
    /// Returns what the allocator keeps for nothing; a thread of its own does it.
    pub(in crate::engine) fn purge_memory_if_due(&mut self) {
        if !self.memory_purge.is_due(self.frame.now) {
            return;
        }
        let used = self.allocated_memory() as usize;
        let spare = process::resident_bytes().saturating_sub(used);
        if self.memory_purge.is_worth_it(spare, used, self.frame.now) {
            memory::purge_in_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    #[test]
    fn what_does_not_help_is_tried_less_often() {
        let mut memory_purge = MemoryPurge::default();
        assert!(!memory_purge.is_worth_it(20 * MB, 0, 0), "too little");
        assert!(!memory_purge.is_worth_it(100 * MB, 1000 * MB, 0), "little beside what is used");
        let mut attempts = Vec::new();
        for now in (0..200_000).step_by(100) {
            if memory_purge.is_due(now) && memory_purge.is_worth_it(100 * MB, 0, now) {
                attempts.push(now / 1000);
            }
        }
        assert_eq!(attempts, [1, 2, 4, 8, 16, 32, 64, 128, 192]);
        // Once it has helped, it may again.
        assert!(!memory_purge.is_worth_it(MB, 0, 300_000) && !memory_purge.is_due(300_999));
        assert!(memory_purge.is_due(301_000) && memory_purge.is_worth_it(100 * MB, 0, 301_000));
        assert!(memory_purge.is_due(302_000));
    }
}
