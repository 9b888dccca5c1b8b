//! Memory of a small server that is idle: what it has used to start, to join a cluster or for a burst of requests is given back to the
//! system: free pages of the allocator, and pages of the program that aren't in use (`sys/file_pages.rs`).
//!
//! Page faults tell when there is something to give back: some hundred since the last time, and then hardly any for a while. A
//! server that is busy without them has what it needs in memory, and loses it at most once: to bring it back takes as
//! many faults of half a microsecond.

use crate::sys::{file_pages, memory, process};

/// Time between two looks, ms.
const PERIOD: u64 = 1000;
/// As many faults between two looks are nothing.
const FEW: u64 = 8;
/// So long there must have been few, ms.
const QUIET: u64 = 10_000;
/// So many since the last time are worth it.
const WORTH: u64 = 64;
/// A server with more memory of its own is left alone: a few megabytes don't matter to it, and looking for them would hold it up.
const SMALL: usize = 16 << 20;

/// When to look again, and what was seen.
#[derive(Debug, Default)]
pub struct IdleMemory {
    next_look_ms: u64,
    quiet_since_ms: u64,
    /// Faults at the last look.
    seen: u64,
    /// Those up to now are accounted for: the memory that they brought was given back, or is used since.
    settled: u64,
    /// What was given back and is used after all is being brought back.
    settling: bool,
}

impl IdleMemory {
    /// Gives memory back, as the server has started. What comes in from here on may well be that of a node which joins its cluster.
    pub fn give_back_at_start(&mut self) {
        give_back();
        self.settled = process::page_faults();
    }

    /// To be called at least once a second, with a time that doesn't go back.
    #[inline]
    pub fn look(&mut self, now_ms: u64) {
        if now_ms >= self.next_look_ms {
            self.next_look_ms = now_ms + PERIOD;
            if self.is_worth_it(now_ms, process::page_faults())
                && process::resident_anonymous_bytes() <= SMALL
            {
                give_back();
            }
        }
    }

    fn is_worth_it(&mut self, now_ms: u64, faults: u64) -> bool {
        let new = faults - self.seen;
        self.seen = faults;
        if new > FEW || self.quiet_since_ms == 0 {
            self.quiet_since_ms = now_ms;
        }
        if now_ms - self.quiet_since_ms < QUIET {
            return false;
        }
        if self.settling {
            (self.settling, self.settled) = (false, faults);
            return false;
        }
        if faults - self.settled < WORTH {
            return false;
        }
        self.settling = true;
        self.quiet_since_ms = now_ms;
        true
    }
}

fn give_back() {
    memory::purge();
    file_pages::give_up();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second with so many faults each; the seconds at which memory was given back.
    fn given_back(idle: &mut IdleMemory, faults: impl IntoIterator<Item = u64>) -> Vec<usize> {
        let mut all = idle.seen;
        let each = faults.into_iter().enumerate().filter_map(|(second, new)| {
            all += new;
            idle.is_worth_it(1_000_000 + second as u64 * PERIOD, all).then_some(second)
        });
        each.collect()
    }

    #[test]
    fn what_came_in_is_given_back_once_it_is_quiet() {
        let quiet = |seconds| std::iter::repeat_n(0, seconds);
        // A start, then a join of five seconds, then nothing: what is used after all isn't given back again.
        let mut idle = IdleMemory { settled: 400, seen: 400, ..IdleMemory::default() };
        let join = [30, 40, 50, 60, 70].into_iter().chain(quiet(12)).chain([90]).chain(quiet(100));
        assert_eq!(given_back(&mut idle, quiet(20).chain(join)), [34]);
        // It joins at once.
        let mut idle = IdleMemory { settled: 400, seen: 400, ..IdleMemory::default() };
        assert_eq!(given_back(&mut idle, [100, 100].into_iter().chain(quiet(100))), [11]);
        // Few faults a second are no reason to wait, and many little ones a reason to give back.
        let mut idle = IdleMemory::default();
        assert_eq!(given_back(&mut idle, std::iter::repeat_n(4, 60)), [15, 41]);
        // Nothing while it grows.
        assert_eq!(given_back(&mut IdleMemory::default(), std::iter::repeat_n(FEW + 1, 1000)), [0; 0]);
        // Too few to be worth it.
        assert_eq!(
            given_back(&mut IdleMemory::default(), [WORTH - 1].into_iter().chain(quiet(1000))),
            [0; 0]
        );
    }
}
