//! What is counted and timed: the numbers of INFO, the logs of calls, the latency monitor.

mod cluster_compat;
pub mod latency;
pub mod report;
pub mod slowlog;
pub mod stats;

use crate::engine::dispatch::timing;
use crate::sys::clock::Ticks;
use stats::Stats;

/// What is counted and timed.
pub struct Metrics {
    pub stats: Stats,
    pub slowlog: slowlog::SlowLogs,
    pub latency: latency::LatencyMonitor,
    /// Start of the running outermost call; the end of the one before.
    pub(in crate::engine) lap: Ticks,
    /// Calls since `lap` that are not booked yet.
    pub(in crate::engine) run: timing::Run,
    /// Start of the turn, and the duty of the loop that took the longest in it.
    pub(in crate::engine) turn_started: Ticks,
    pub(in crate::engine) turn_duty: &'static str,
    pub(in crate::engine) turn_duty_nanos: u64,
    /// Calls that had been made when the turn began.
    pub(in crate::engine) turn_first_call: u64,
}

impl Metrics {
    /// Nothing counted yet, for a table of `commands` commands.
    pub(in crate::engine) fn new(commands: usize, lap: Ticks) -> Self {
        Metrics {
            stats: Stats::new(commands),
            slowlog: slowlog::SlowLogs::default(),
            latency: latency::LatencyMonitor::default(),
            lap,
            run: timing::Run::NONE,
            turn_started: lap,
            turn_duty: "",
            turn_duty_nanos: 0,
            turn_first_call: 0,
        }
    }
}
