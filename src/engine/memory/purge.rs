//! Automatic memory purging: returns free memory that the allocator holds to the system, as `MEMORY PURGE` does on demand.
//!
//! The allocator keeps what was freed until it is told to return it, which takes a millisecond for some tens of megabytes:
//! nothing for the event loop. What it keeps is looked at once a second; a thread returns it. While that doesn't help it is
//! tried less and less often, until there is more to return: the rest lies in pages that are partly in use.

use crate::engine::Engine;
use crate::sys::{memory, process};

/// Less isn't worth the trouble, bytes.
const WORTH: usize = 4 * 1024 * 1024;
/// Nor is less than one of so many bytes that are in use.
const SHARE: usize = 64;
/// Time between two looks, ms.
const PERIOD: u64 = 1000;
/// The longest time between two attempts of which the first was in vain, ms.
const LONGEST: u64 = 64_000;

/// When to look again, and what the last attempt found.
#[derive(Debug, Default)]
pub struct MemoryPurge {
    next_look_ms: u64,
    /// Until then what the last attempt couldn't return is left alone.
    retry_ms: u64,
    wait_ms: u64,
    /// What was to spare at the last attempt, bytes; 0 if there was little since.
    attempted: usize,
}

impl MemoryPurge {
    /// Whether a look is due.
    fn is_due(&self, now: u64) -> bool {
        now >= self.next_look_ms
    }

    /// Whether `spare` bytes, beside `used` ones, are to be returned now.
    fn is_worth_it(&mut self, spare: usize, used: usize, now: u64) -> bool {
        self.next_look_ms = now + PERIOD;
        if spare <= WORTH + used / SHARE {
            self.attempted = 0;
            return false;
        }
        let quarter = self.attempted / 4;
        let was_in_vain = self.attempted.abs_diff(spare) <= quarter;
        if was_in_vain && now < self.retry_ms {
            return false;
        }
        self.wait_ms = if was_in_vain { (self.wait_ms * 2).min(LONGEST) } else { PERIOD };
        self.retry_ms = now + self.wait_ms;
        self.attempted = spare;
        true
    }
}

impl Engine {
    /// Returns what the allocator keeps for nothing; a thread of its own does it.
    pub(in crate::engine) fn purge_memory_if_due(&mut self) {
        if !self.memory_purge.is_due(self.steady_now()) {
            return;
        }
        let used = self.allocated_memory() as usize;
        let spare = process::resident_anonymous_bytes().saturating_sub(used);
        if self.memory_purge.is_worth_it(spare, used, self.steady_now()) {
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
        assert!(!memory_purge.is_worth_it(4 * MB, 0, 0), "too little");
        assert!(!memory_purge.is_worth_it(15 * MB, 1000 * MB, 0), "little beside what is used");
        let mut attempts = Vec::new();
        for now in (0..200_000).step_by(100) {
            if memory_purge.is_due(now) && memory_purge.is_worth_it(100 * MB, 0, now) {
                attempts.push(now / 1000);
            }
        }
        assert_eq!(attempts, [1, 2, 4, 8, 16, 32, 64, 128, 192]);
        // More has come: it is returned at once, and so is what comes when the rest has gone.
        assert!(memory_purge.is_worth_it(200 * MB, 0, 201_000) && !memory_purge.is_due(201_999));
        assert!(!memory_purge.is_worth_it(MB, 0, 202_000) && memory_purge.is_worth_it(100 * MB, 0, 203_000));
    }
}
