//! Metrics: statistics, the slow log, the latency monitor, key sizes and the reports of INFO.

pub(in crate::engine) mod cluster_compat;
pub mod key_sizes;
pub mod large_calls;
pub mod latency;
pub mod report;
pub mod slowlog;
pub mod stats;
pub mod turns;

use std::cell::Cell;

use crate::engine::command::table::CommandId;
use crate::sys::clock::Ticks;
use stats::Stats;

/// What is counted and timed.
pub struct Metrics {
    pub stats: Stats,
    pub slowlog: slowlog::SlowLogs,
    pub latency: latency::LatencyMonitor,
    /// The longest turns, while the metrics port is open.
    pub turns: turns::LongTurns,
    /// The calls that held the loop the longest.
    pub large_calls: large_calls::LargeCalls,
    /// What INFO found when it counted keys by their sizes.
    key_sizes: key_sizes::KeySizes,
    /// Resident memory in bytes, and when the kernel reported it, Unix ms.
    resident: Cell<(usize, u64)>,
    /// Start of the running outermost call; the end of the one before.
    pub(in crate::engine) batch_start: Ticks,
    /// Calls since `batch_start` that are not in the statistics yet.
    pub(in crate::engine) batch: CallBatch,
    /// The row of calls within another one that is going on.
    pub(in crate::engine) row: Option<CallRow>,
    /// Start of the turn, and the job that took the longest in it.
    pub(in crate::engine) turn_started: Ticks,
    /// From when on connections have been served for long in this turn.
    pub(in crate::engine) serving_long_from: Ticks,
    pub(in crate::engine) turn_job: &'static str,
    pub(in crate::engine) turn_job_nanos: u64,
    /// The thread's processor time when the turn began, ns; taken only while a snapshot is being made, as it is a system call.
    pub(in crate::engine) turn_started_cpu: Option<u64>,
    /// Calls that had been made when the turn began.
    pub(in crate::engine) turn_first_call: u64,
}

/// Calls of one command that are not in the statistics yet; none if `calls` is 0.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct CallBatch {
    pub command: CommandId,
    pub calls: u32,
}

/// Calls of one command in a row within another call, few of which are timed.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct CallRow {
    pub command: CommandId,
    /// What the last one that was timed took, ns.
    pub nanos: u64,
    /// Calls since that are not in the statistics yet.
    pub untimed: u32,
}

impl CallBatch {
    pub const NONE: CallBatch = CallBatch { command: CommandId(0), calls: 0 };
}

impl Metrics {
    /// Nothing counted yet, for a table of `commands` commands.
    pub(in crate::engine) fn new(commands: usize, batch_start: Ticks) -> Self {
        Metrics {
            stats: Stats::new(commands),
            slowlog: slowlog::SlowLogs::default(),
            latency: latency::LatencyMonitor::default(),
            turns: turns::LongTurns::default(),
            large_calls: large_calls::LargeCalls::default(),
            key_sizes: key_sizes::KeySizes::default(),
            resident: Cell::new((0, 0)),
            batch_start,
            batch: CallBatch::NONE,
            row: None,
            turn_started: batch_start,
            serving_long_from: Ticks::NEVER,
            turn_job: "",
            turn_job_nanos: 0,
            turn_started_cpu: None,
            turn_first_call: 0,
        }
    }
}
