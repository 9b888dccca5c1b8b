//! The trigger of the automatic AOF rewrite: growth since the last one, and a limit for rewrites that fail.

/// After so many failures in a row the next rewrite is delayed.
const FAILURES_ALLOWED: u64 = 3;
/// The longest delay; the first is a minute, and each further one is twice as long.
const MAX_DELAY_MINUTES: u64 = 60;

/// `auto-aof-rewrite-percentage` and `auto-aof-rewrite-min-size`.
#[derive(Clone, Copy, Debug)]
pub struct GrowthLimits {
    /// Growth over the size after the last rewrite, in percent; 0 for no automatic rewrite.
    pub percentage: u64,
    /// Bytes that the files must have, and one more.
    pub min_size: u64,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct RewriteTrigger {
    /// `aof_base_size`: bytes of all files after the last rewrite, or of the base at the start.
    base_size: u64,
    failures: u64,
    delay_minutes: u64,
    retry_at: Option<u64>,
}

/// Whether a rewrite may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    Granted,
    Delayed {
        /// The warning to log, when a delay begins.
        warning: Option<String>,
    },
}

impl RewriteTrigger {
    /// Counts growth from so many bytes on.
    pub fn new(base_size: u64) -> Self {
        RewriteTrigger { base_size, ..RewriteTrigger::default() }
    }

    /// `aof_base_size`.
    pub fn base_size(&self) -> u64 {
        self.base_size
    }

    /// `aof_rewrites_consecutive_failures`.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The growth in percent, if it calls for a rewrite of files of `size` bytes.
    pub fn growth(&self, size: u64, limits: GrowthLimits) -> Option<u64> {
        if limits.percentage == 0 || size <= limits.min_size {
            return None;
        }
        let growth = u128::from(size) * 100 / u128::from(self.base_size.max(1));
        let growth = growth.checked_sub(100)?;
        (growth >= u128::from(limits.percentage)).then(|| u64::try_from(growth).unwrap_or(u64::MAX))
    }

    /// Whether a rewrite that was not asked for just now may begin. Asked only when one is wanted: each time that a delay
    /// is over, one attempt is allowed, and the next question begins the next delay.
    pub fn permission(&mut self, unix_seconds: u64) -> Permission {
        if self.failures < FAILURES_ALLOWED {
            (self.delay_minutes, self.retry_at) = (0, None);
            return Permission::Granted;
        }
        match self.retry_at {
            Some(at) if unix_seconds < at => Permission::Delayed { warning: None },
            Some(_) => {
                self.retry_at = None;
                Permission::Granted
            }
            None => {
                self.delay_minutes = (self.delay_minutes * 2).clamp(1, MAX_DELAY_MINUTES);
                self.retry_at = Some(unix_seconds + self.delay_minutes * 60);
                let minutes = self.delay_minutes;
                let warning = format!(
                    "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
                );
                Permission::Delayed { warning: Some(warning) }
            }
        }
    }

    /// BGREWRITEAOF while another file is written: it begins as soon as it can.
    pub fn scheduled_by_command(&mut self) {
        self.failures = 0;
    }

    /// A rewrite is done; the files have so many bytes.
    pub fn succeeded(&mut self, size: u64) {
        self.base_size = size;
        self.failures = 0;
    }

    /// A rewrite failed; one that was called off on purpose is no failure.
    pub fn failed(&mut self) {
        self.failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_calls_for_a_rewrite() {
        let trigger = RewriteTrigger::new(1000);
        let limits = |percentage, min_size| GrowthLimits { percentage, min_size };
        assert_eq!(trigger.growth(2000, limits(100, 64)), Some(100));
        assert_eq!(trigger.growth(1999, limits(100, 64)), None);
        assert_eq!(trigger.growth(1010, limits(1, 1009)), Some(1));
        assert_eq!(trigger.growth(1010, limits(1, 1010)), None, "not larger than the least size");
        assert_eq!(trigger.growth(500, limits(1, 64)), None, "smaller than before");
        assert_eq!(trigger.growth(u64::MAX, limits(0, 0)), None);
        // Without a base, each byte is a hundred percent.
        assert_eq!(RewriteTrigger::default().growth(3, limits(100, 2)), Some(200));
        assert_eq!(RewriteTrigger::default().growth(u64::MAX, limits(1, 2)), Some(u64::MAX));
    }

    /// As `aofRewriteLimited`: three failures, then delays of 1, 2, 4 … 60 minutes with an attempt after each.
    #[test]
    fn failures_delay_the_next_attempt() {
        let mut trigger = RewriteTrigger::new(5000);
        let mut now = 1000;
        for _ in 0..3 {
            assert_eq!(trigger.permission(now), Permission::Granted);
            trigger.failed();
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let Permission::Delayed { warning: Some(warning) } = trigger.permission(now) else { panic!() };
            assert!(warning.ends_with(&format!("triggered the limit, will retry in {minutes} minutes")));
            assert_eq!(trigger.permission(now + minutes * 60 - 1), Permission::Delayed { warning: None });
            now += minutes * 60;
            assert_eq!(trigger.permission(now), Permission::Granted);
            trigger.failed();
        }
        assert_eq!(trigger.failures(), 11);
        trigger.scheduled_by_command();
        assert_eq!(trigger.permission(now), Permission::Granted);
        for _ in 0..3 {
            trigger.failed();
        }
        let Permission::Delayed { warning: Some(warning) } = trigger.permission(now) else { panic!() };
        assert!(warning.ends_with("in 1 minutes"), "the delays begin anew");
        trigger.succeeded(7000);
        assert_eq!((trigger.failures(), trigger.base_size()), (0, 7000));
        assert_eq!(trigger.permission(now), Permission::Granted);
    }
}
