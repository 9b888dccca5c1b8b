//! The latency monitor: delays by kind of event (LATENCY).

use std::collections::{BTreeMap, VecDeque};

use crate::engine::{Engine, Settings};
use crate::sys::clock::Ticks;

/// How often and how long something held the loop up.
#[derive(Clone, Debug, Default)]
pub struct LatencySeries {
    /// `(Unix seconds, ms)`, oldest first.
    pub samples: VecDeque<(u64, u64)>,
    /// The longest ever, ms.
    pub max: u64,
}

/// The latency monitor: a series for each kind of event.
#[derive(Clone, Debug, Default)]
pub struct LatencyMonitor {
    pub events: BTreeMap<&'static str, LatencySeries>,
}

impl Engine {
    /// Notes a delay of the event loop that began at `started` and is over.
    pub fn note_delay(&mut self, event: &'static str, started: Ticks) {
        let nanos = self.clock.nanos(started, self.clock.ticks());
        self.metrics.latency.note(event, nanos / 1_000_000, &self.settings, self.frame.now);
    }

    /// Notes a delay that took `us` microseconds.
    pub fn note_delay_us(&mut self, event: &'static str, us: u64) {
        self.metrics.latency.note(event, us / 1000, &self.settings, self.frame.now);
    }
}

const MAX_SAMPLES: usize = 160;

impl LatencyMonitor {
    /// The delays of an event, if it had any.
    pub fn series(&self, event: &[u8]) -> Option<&LatencySeries> {
        self.events.iter().find(|(name, _)| name.as_bytes() == event).map(|(_, series)| series)
    }

    /// Notes an event that took `ms`, if that is at least the threshold. `now` is Unix ms.
    pub fn note(&mut self, event: &'static str, ms: u64, settings: &Settings, now: u64) {
        if settings.latency_threshold_ms == 0 || ms < settings.latency_threshold_ms {
            return;
        }
        let series = self.events.entry(event).or_default();
        let second = now / 1000;
        series.max = series.max.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.0 == second => last.1 = last.1.max(ms),
            _ => series.samples.push_back((second, ms)),
        }
        if series.samples.len() > MAX_SAMPLES {
            series.samples.pop_front();
        }
    }
}
