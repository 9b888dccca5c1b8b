//! LRU clock and LFU counter: the 24 bits of an entry that say when it was last used, or last modified, or how often it was used.
//!
//! ```text
//! LRU    seconds, modulo 2^24; so for LRM, where only changes count
//! LFU    minutes, modulo 2^16 (16 bits) | logarithmic counter (8 bits)
//! ```
//!
//! Source: https://redis.io/docs/latest/develop/reference/eviction/

use crate::base::rng::Rng;

const LRU_MASK: u64 = (1 << 24) - 1;
const LFU_INITIAL: u32 = 5;

/// What access words tell, by `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMeaning {
    /// The last use: LRU, and all policies that don't care.
    LastUse,
    /// LFU.
    Frequency,
    /// LRM.
    LastChange,
}

/// What the access word of an entry touched now becomes; frozen for a unit.
#[derive(Clone, Copy, Debug)]
pub struct LruClock {
    seconds: u32,
    minutes: u32,
    pub meaning: AccessMeaning,
    pub lfu_log_factor: u32,
    /// Minutes after which a counter loses one; 0: never.
    pub lfu_decay_time: u32,
}

impl LruClock {
    pub fn new(unix_ms: u64, meaning: AccessMeaning, lfu_log_factor: u32, lfu_decay_time: u32) -> Self {
        let seconds = unix_ms / 1000;
        LruClock {
            seconds: (seconds & LRU_MASK) as u32,
            minutes: ((seconds / 60) & 0xffff) as u32,
            meaning,
            lfu_log_factor,
            lfu_decay_time,
        }
    }

    /// Whether access words count uses.
    #[inline]
    pub fn is_lfu(&self) -> bool {
        self.meaning == AccessMeaning::Frequency
    }

    /// The word of an entry that is made now, or changed now under an LRM policy.
    #[inline]
    pub fn fresh(&self) -> u32 {
        if self.is_lfu() { self.minutes << 8 | LFU_INITIAL } else { self.seconds }
    }

    /// The word of an entry that is used now.
    #[inline]
    pub fn touched(&self, word: u32, rng: &mut Rng) -> u32 {
        match self.meaning {
            AccessMeaning::LastUse => return self.seconds,
            AccessMeaning::LastChange => return word,
            AccessMeaning::Frequency => {}
        }
        self.minutes << 8 | self.incremented(frequency(word, self), rng)
    }

    /// The word of an entry that is written now.
    #[inline]
    pub fn written(&self, word: u32, rng: &mut Rng) -> u32 {
        if !self.is_lfu() {
            return self.seconds;
        }
        self.minutes << 8 | self.incremented(frequency(word, self), rng)
    }

    /// Morris's counter: the higher it is, the less likely it grows.
    fn incremented(&self, counter: u32, rng: &mut Rng) -> u32 {
        if counter == 255 {
            return 255;
        }
        let base = f64::from(counter.saturating_sub(LFU_INITIAL));
        let p = 1.0 / (base * f64::from(self.lfu_log_factor) + 1.0);
        if rng.unit() < p { counter + 1 } else { counter }
    }

    /// The word that OBJECT FREQ or RESTORE … FREQ asks for.
    pub fn with_frequency(&self, counter: u8) -> u32 {
        self.minutes << 8 | u32::from(counter)
    }

    /// The word of an entry that was last used `seconds` ago (RESTORE … IDLETIME).
    pub fn with_idle(&self, seconds: u64) -> u32 {
        (u64::from(self.seconds).wrapping_sub(seconds) & LRU_MASK) as u32
    }

    /// The larger, the better a candidate for eviction.
    pub fn eviction_score(&self, word: u32) -> u64 {
        if self.is_lfu() { u64::from(255 - frequency(word, self)) } else { idle_seconds(word, self) }
    }
}

/// Seconds since an entry was used (under an LRM policy: changed); means nothing under an LFU policy.
pub fn idle_seconds(word: u32, clock: &LruClock) -> u64 {
    u64::from(clock.seconds).wrapping_sub(u64::from(word)) & LRU_MASK
}

/// An entry's logarithmic counter after decay; only means something under an LFU policy.
pub fn frequency(word: u32, clock: &LruClock) -> u32 {
    let (last, counter) = (word >> 8 & 0xffff, word & 0xff);
    let elapsed = clock.minutes.wrapping_sub(last) & 0xffff;
    let periods = elapsed.checked_div(clock.lfu_decay_time).unwrap_or(0);
    counter.saturating_sub(periods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_frequency() {
        let lru = |ms| LruClock::new(ms, AccessMeaning::LastUse, 10, 1);
        let word = lru(1_000_000).fresh();
        assert_eq!(idle_seconds(word, &lru(1_060_000)), 60);
        assert_eq!(idle_seconds(lru(1_060_000).with_idle(500), &lru(1_060_000)), 500);
        let lfu = |ms| LruClock::new(ms, AccessMeaning::Frequency, 0, 1);
        let mut word = lfu(0).fresh();
        let mut rng = Rng::new(1);
        for _ in 0..10 {
            word = lfu(0).touched(word, &mut rng);
        }
        assert_eq!(frequency(word, &lfu(0)), 15, "a factor of 0 counts every use");
        assert_eq!(frequency(word, &lfu(4 * 60_000)), 11);
        let lrm = |ms| LruClock::new(ms, AccessMeaning::LastChange, 10, 1);
        let word = lrm(1_000_000).fresh();
        assert_eq!(lrm(1_060_000).touched(word, &mut rng), word, "a lookup is no change");
        assert_eq!(lrm(1_060_000).eviction_score(word), 60);
    }
}
