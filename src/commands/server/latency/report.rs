//! LATENCY GRAPH and LATENCY DOCTOR: their texts.

use std::fmt::Write;

use crate::engine::metrics::latency::{LatencyMonitor, LatencySeries};

/// The rows of a graph; each distinguishes three heights.
const ROWS: usize = 4;
const FILL: [char; 3] = ['_', 'o', '#'];
const WIDTH: usize = 80;

/// A duration as a number with the largest unit that fits: `s`, `m`, `h` or `d`.
fn short_duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A graph with a column for each sample, its age below it from top to bottom.
pub(super) fn graph(event: &str, series: &LatencySeries, now: u64) -> String {
    let delays = || series.samples.iter().map(|(_, ms)| *ms);
    let (high, low) = (delays().max().unwrap_or(0), delays().min().unwrap_or(0));
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max,
        "-".repeat(WIDTH)
    );
    let samples: Vec<(u64, u64)> = series.samples.iter().copied().collect();
    for band in samples.chunks(WIDTH) {
        let steps = ROWS * FILL.len();
        let span = (high - low).max(1);
        let height = |ms: u64| ((ms - low) as usize * steps / span as usize).min(steps - 1);
        for row in (0..ROWS).rev() {
            let floor = row * FILL.len();
            let cell = |(_, ms): &(u64, u64)| match height(*ms).checked_sub(floor) {
                None => ' ',
                Some(above) => FILL.get(above).copied().unwrap_or('|'),
            };
            text.extend(band.iter().map(cell));
            text.push('\n');
        }
        text.push_str(&" ".repeat(band.len()));
        text.push('\n');
        let ages: Vec<Vec<char>> = band
            .iter()
            .map(|(time, _)| short_duration(now.saturating_sub(*time)).chars().collect())
            .collect();
        for line in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
            text.extend(ages.iter().map(|age| age.get(line).copied().unwrap_or(' ')));
            text.push('\n');
        }
    }
    text
}

/// The usual causes of a kind of event, and their remedies.
fn advice(event: &str) -> &'static str {
    match event {
        "command" => "Look at SLOWLOG for slow commands: long ranges, KEYS, big unions, scripts.",
        "fast-command" => {
            "A command that takes a constant time was slow, so the machine is: look for swapping, for noisy \
             neighbours, for a process that has the processor."
        }
        "expire-cycle" => "Many keys are due at the same time, or large ones: spread their deadlines.",
        "eviction-cycle" | "eviction-lazyfree" => {
            "Memory is short while much is written: raise maxmemory, or write less at a time."
        }
        "aof-fsync-always" => {
            "The disk is slow to make writes durable, and replies wait for it: appendfsync everysec doesn't have them wait."
        }
        "aof-write-pending-fsync" => {
            "The kernel holds writes to the append-only file up while it syncs the file: the disk has too much to do."
        }
        "aof-write" | "aof-write-alone" | "aof-write-active-child" => {
            "The disk can't keep up with the writes to the append-only file, or something else keeps it busy."
        }
        "aof-rename" | "aof-rewrite-start" | "rdb-unlink-temp-file" => {
            "The file system takes long to create, rename or remove a file: look at what else uses the disk."
        }
        _ => "Look at the log of that time.",
    }
}

/// The text of LATENCY DOCTOR.
pub(super) fn doctor(monitor: &LatencyMonitor, threshold_ms: u64, now: u64) -> String {
    if threshold_ms == 0 && monitor.events.is_empty() {
        return "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on: \
                what takes at least so long is remembered from then on.\n"
            .to_string();
    }
    if monitor.events.is_empty() {
        return format!("Nothing has taken {threshold_ms} ms or longer.\n");
    }
    let mut text = String::from("What held the server up:\n\n");
    for (number, (event, series)) in monitor.events.iter().enumerate() {
        let count = series.samples.len() as u64;
        let mean = series.samples.iter().map(|(_, ms)| ms).sum::<u64>() / count.max(1);
        let deviation = series.samples.iter().map(|(_, ms)| ms.abs_diff(mean)).sum::<u64>() / count.max(1);
        let first = series.samples.front().map_or(now, |(time, _)| *time);
        let period = now.saturating_sub(first) / count.max(1);
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{}. {event}: {count} times, {mean} ms on average (mean deviation {deviation} ms), every {period} \
             seconds. The longest ever took {} ms.\n   {}",
            number + 1,
            series.max,
            advice(event)
        );
    }
    text
}
