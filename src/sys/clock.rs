//! The clock, real or simulated, read in two places only: at the start of a turn and of an outermost call.
//!
//! The wall clock is anchored once a turn; within the turn time goes on by the processor's
//! own counter, so that a command costs no system call. A simulated clock moves when a test moves it.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// A reading of the processor's counter; only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticks(pub u64);

impl Ticks {
    /// In place of a reading that wasn't taken.
    pub const NEVER: Ticks = Ticks(u64::MAX);
}

enum Source {
    Real(quanta::Clock),
    /// Moved by tests.
    Simulated(Simulated),
}

struct Simulated {
    /// Nanoseconds since the start.
    now: Cell<u64>,
    /// Nanoseconds by which each reading of the counter moves it.
    step: u64,
}

/// The clock of an engine.
pub struct Clock {
    source: Source,
    /// Unix time in microseconds at `anchor`.
    anchor_unix_us: u64,
    anchor: Ticks,
}

impl Clock {
    /// The machine's clock.
    pub fn real() -> Self {
        let mut clock =
            Clock { source: Source::Real(quanta::Clock::new()), anchor_unix_us: 0, anchor: Ticks(0) };
        clock.anchor();
        clock
    }

    /// A clock that stands at `unix_ms` until [`Self::advance`].
    pub fn simulated(unix_ms: u64) -> Self {
        Clock {
            source: Source::Simulated(Simulated { now: Cell::new(0), step: 0 }),
            anchor_unix_us: unix_ms * 1000,
            anchor: Ticks(0),
        }
    }

    /// Moves a simulated clock; has no effect on a real one.
    pub fn advance(&mut self, us: u64) {
        if let Source::Simulated(simulated) = &mut self.source {
            *simulated.now.get_mut() += us * 1000;
        }
    }

    /// Sets the wall clock of a simulated clock forwards or back: the counter, by which time is measured, isn't touched. Has no effect on
    /// a real one.
    pub fn set(&mut self, by_us: i64) {
        if let Source::Simulated(_) = self.source {
            self.anchor_unix_us = self.anchor_unix_us.saturating_add_signed(by_us);
        }
    }

    /// Has each reading of a simulated clock's counter move it by so many nanoseconds, so that work which is bounded by time stops
    /// part-way; has no effect on a real one.
    pub fn set_reading_step(&mut self, nanos: u64) {
        if let Source::Simulated(simulated) = &mut self.source {
            simulated.step = nanos;
        }
    }

    /// Lets time pass (DEBUG SLEEP): the thread sleeps, or a simulated clock moves.
    pub fn sleep(&mut self, us: u64) {
        match &mut self.source {
            Source::Real(_) => std::thread::sleep(std::time::Duration::from_micros(us)),
            Source::Simulated(simulated) => *simulated.now.get_mut() += us * 1000,
        }
    }

    /// Reads the wall clock anew (it may have been set since).
    pub fn anchor(&mut self) {
        if let Source::Real(_) = self.source {
            self.anchor = self.ticks();
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.anchor_unix_us = since.as_micros() as u64;
        }
    }

    /// The counter now.
    #[inline]
    pub fn ticks(&self) -> Ticks {
        match &self.source {
            Source::Real(clock) => Ticks(clock.raw()),
            Source::Simulated(simulated) => {
                let now = simulated.now.get();
                simulated.now.set(now + simulated.step);
                Ticks(now)
            }
        }
    }

    /// Nanoseconds from one reading to a later one.
    #[inline]
    pub fn nanos(&self, from: Ticks, to: Ticks) -> u64 {
        match &self.source {
            Source::Real(clock) => clock.delta_as_nanos(from.0, to.0),
            Source::Simulated(_) => to.0.saturating_sub(from.0),
        }
    }

    /// The reading `nanos` after another, to a thousandth.
    pub fn after(&self, from: Ticks, nanos: u64) -> Ticks {
        /// Ticks whose duration gives the rate.
        const SAMPLE: u64 = 1 << 20;
        let ticks = match &self.source {
            Source::Real(clock) => nanos * SAMPLE / clock.delta_as_nanos(0, SAMPLE).max(1),
            Source::Simulated(_) => nanos,
        };
        Ticks(from.0 + ticks)
    }

    /// Unix time in microseconds at a reading.
    #[inline]
    pub fn unix_us(&self, at: Ticks) -> u64 {
        self.anchor_unix_us + self.nanos(self.anchor, at) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_after_a_time_is_so_many_nanoseconds_later() {
        let clock = Clock::real();
        let now = clock.ticks();
        let between = clock.nanos(now, clock.after(now, 1_000_000));
        assert!((999_000..=1_001_000).contains(&between), "{between}");
        let simulated = Clock::simulated(1000);
        assert_eq!(simulated.after(Ticks(5), 1000), Ticks(1005));
    }
}
