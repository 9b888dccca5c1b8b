//! The families of `/metrics`: INFO's fields under the exporter's names, commands with their histograms, databases, replicas, and
//! what only this server knows of its turns.

use std::collections::HashMap;

use super::fields::{FIELDS, number};
use super::{cluster, quotas};
use crate::commands::info_text;
use crate::engine::Engine;
use crate::engine::metrics::stats::CommandStats;
use crate::services::exposition::{Exposition, Format, Kind};

/// Upper bounds of the buckets of commands' durations, with their values in nanoseconds.
const BUCKETS: [(&str, u64); 16] = [
    ("1e-06", 1_000),
    ("2e-06", 2_000),
    ("5e-06", 5_000),
    ("1e-05", 10_000),
    ("2e-05", 20_000),
    ("5e-05", 50_000),
    ("0.0001", 100_000),
    ("0.0002", 200_000),
    ("0.0005", 500_000),
    ("0.001", 1_000_000),
    ("0.002", 2_000_000),
    ("0.005", 5_000_000),
    ("0.01", 10_000_000),
    ("0.1", 100_000_000),
    ("1", 1_000_000_000),
    ("10", 10_000_000_000),
];

/// Sections of INFO that are read.
const SECTIONS: [&[u8]; 9] = [
    b"server",
    b"clients",
    b"memory",
    b"persistence",
    b"stats",
    b"replication",
    b"cpu",
    b"cluster",
    b"keyspace",
];

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The whole text.
pub fn write(engine: &mut Engine, format: Format) -> String {
    let started = engine.now_us();
    let info = info_text(engine, &SECTIONS);
    let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.split_once(':')).collect();
    let mut out = Exposition::new(format);
    out.single("redis_up", Kind::Gauge, "Always 1: this server answers itself.", 1u64);
    for field in FIELDS {
        if let Some(value) = fields.get(field.field).and_then(|value| number(value)) {
            out.single(&format!("redis_{}", field.metric), field.kind, field.help, value);
        }
    }
    let uptime = fields.get("uptime_in_seconds").and_then(|seconds| seconds.parse::<u64>().ok());
    let start = (started / 1_000_000).saturating_sub(uptime.unwrap_or(0));
    out.single("redis_start_time_seconds", Kind::Gauge, "When the process was started.", start);
    instance(&fields, &mut out);
    databases(&fields, &mut out);
    replication(&info, &fields, &mut out);
    commands(engine, &mut out);
    errors_and_logs(engine, &mut out);
    quotas::write(engine, &mut out);
    cluster::write(engine, &mut out);
    turns(engine, &mut out);
    out.finish()
}

fn instance(fields: &HashMap<&str, &str>, out: &mut Exposition) {
    const NAMES: [&str; 10] = [
        "role",
        "redis_version",
        "redis_build_id",
        "redis_mode",
        "os",
        "maxmemory_policy",
        "tcp_port",
        "run_id",
        "process_id",
        "master_replid",
    ];
    let labels: Vec<_> =
        NAMES.iter().map(|name| (*name, fields.get(name).copied().unwrap_or_default())).collect();
    out.family("redis_instance_info", Kind::Gauge, "What this server is.").sample(&labels, 1u64);
    for (field, metric) in
        [("maxmemory", "redis_config_maxmemory"), ("maxclients", "redis_config_maxclients")]
    {
        if let Some(value) = fields.get(field) {
            out.single(metric, Kind::Gauge, "As configured.", value);
        }
    }
}

/// The words of `a=1,b=2`.
fn pairs(value: &str) -> HashMap<&str, &str> {
    value.split(',').filter_map(|pair| pair.split_once('=')).collect()
}

fn databases(fields: &HashMap<&str, &str>, out: &mut Exposition) {
    let is_number = |name: &str| name.strip_prefix("db").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let mut found: Vec<_> = fields
        .iter()
        .filter(|(name, _)| is_number(name))
        .map(|(name, value)| (*name, pairs(value)))
        .collect();
    found.sort_by_key(|(name, _)| name[2..].parse::<u32>().unwrap_or(0));
    for (word, metric, help, scale) in [
        ("keys", "redis_db_keys", "Keys of a database.", 1.0),
        ("expires", "redis_db_keys_expiring", "Keys with a deadline.", 1.0),
        ("avg_ttl", "redis_db_avg_ttl_seconds", "Mean time left to keys with a deadline.", 1000.0),
        ("subexpiry", "redis_db_keys_with_expiring_items", "Hashes with fields that have a deadline.", 1.0),
    ] {
        let mut family = out.family(metric, Kind::Gauge, help);
        for (name, words) in &found {
            if let Some(value) = words.get(word).and_then(|value| value.parse::<f64>().ok()) {
                family.sample(&[("db", name)], value / scale);
            }
        }
    }
}

fn replication(info: &str, fields: &HashMap<&str, &str>, out: &mut Exposition) {
    let is_replica = |name: &str| name.strip_prefix("slave").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let replicas: Vec<_> = info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| is_replica(name))
        .map(|(_, value)| pairs(value))
        .collect();
    for (word, metric, help) in [
        ("offset", "redis_connected_slave_offset_bytes", "Offset that a replica has acknowledged."),
        ("lag", "redis_connected_slave_lag_seconds", "Seconds since a replica was heard of."),
    ] {
        let mut family = out.family(metric, Kind::Gauge, help);
        for words in &replicas {
            let get = |name: &str| words.get(name).copied().unwrap_or_default();
            let labels =
                [("slave_ip", get("ip")), ("slave_port", get("port")), ("slave_state", get("state"))];
            family.sample(&labels, get(word));
        }
    }
    let get = |name: &str| fields.get(name).copied().unwrap_or_default();
    if get("role") != "slave" {
        return;
    }
    let of = [("master_host", get("master_host")), ("master_port", get("master_port"))];
    for (field, metric, help) in [
        ("master_link_status", "redis_master_link_up", "Whether the link to the primary is up."),
        ("master_sync_in_progress", "redis_master_sync_in_progress", "Whether a snapshot is being received."),
        (
            "master_last_io_seconds_ago",
            "redis_master_last_io_seconds_ago",
            "Seconds since the primary was heard of.",
        ),
        ("slave_repl_offset", "redis_slave_repl_offset", "Offset that this replica has executed."),
    ] {
        if let Some(value) = number(get(field)) {
            out.family(metric, Kind::Gauge, help).sample(&of, value);
        }
    }
    let labels = [of[0], of[1], ("read_only", get("slave_read_only"))];
    out.family("redis_slave_info", Kind::Gauge, "The primary of this replica.").sample(&labels, 1u64);
}

fn commands(engine: &Engine, out: &mut Exposition) {
    let all = engine.commands.iter().zip(&engine.metrics.stats.commands);
    let used: Vec<_> = all
        .filter(|(_, stats)| stats.calls + stats.rejected + stats.failed > 0)
        .map(|(command, stats)| (&*command.name, stats))
        .collect();
    type Value = fn(&CommandStats) -> f64;
    let counters: [(&str, &str, Value); 4] = [
        ("redis_commands_total", "Calls of a command.", |stats| stats.calls as f64),
        ("redis_commands_duration_seconds_total", "Time that its calls took.", |stats| seconds(stats.nanos)),
        ("redis_commands_rejected_calls_total", "Calls that were refused.", |stats| stats.rejected as f64),
        ("redis_commands_failed_calls_total", "Calls that replied an error.", |stats| stats.failed as f64),
    ];
    for (metric, help, value) in counters {
        let mut family = out.family(metric, Kind::Counter, help);
        for (name, stats) in &used {
            family.sample(&[("cmd", name)], value(stats));
        }
    }
    let timed = || used.iter().filter(|(_, stats)| stats.histogram.total() > 0);
    let mut family = out.family(
        "redis_latency_percentiles_usec",
        Kind::Summary,
        "Percentiles of how long calls of a command take, microseconds.",
    );
    for (name, stats) in timed() {
        for percent in &engine.config.latency_tracking_info_percentiles.0 {
            let quantile = (percent / 100.0).to_string();
            let value = stats.histogram.percentile(*percent) as f64 / 1000.0;
            family.sample(&[("cmd", name), ("quantile", &quantile)], value);
        }
        family.part("_sum", &[("cmd", name)], stats.nanos as f64 / 1000.0);
        family.part("_count", &[("cmd", name)], stats.histogram.total());
    }
    let mut family =
        out.family("redloop_command_duration_seconds", Kind::Histogram, "How long calls of a command take.");
    for (name, stats) in timed() {
        let counts = stats.histogram.counts_up_to(BUCKETS.map(|(_, nanos)| nanos));
        let bounded = BUCKETS.iter().map(|(bound, _)| *bound).zip(counts);
        family.buckets(("cmd", name), bounded.chain([("+Inf", stats.histogram.total())]));
        family.part("_sum", &[("cmd", name)], seconds(stats.nanos));
        family.part("_count", &[("cmd", name)], stats.histogram.total());
    }
}

fn errors_and_logs(engine: &Engine, out: &mut Exposition) {
    let mut family = out.family("redis_errors_total", Kind::Counter, "Replies that were errors, by code.");
    for (code, count) in &engine.metrics.stats.errors {
        family.sample(&[("err", code)], count);
    }
    let slow = engine.metrics.slowlog.log(crate::engine::metrics::slowlog::LogKind::Slow);
    out.single("redis_slowlog_length", Kind::Gauge, "Entries of the slow log.", slow.entries.len());
    if let Some(last) = slow.entries.front() {
        out.single("redis_slowlog_last_id", Kind::Gauge, "Id of its last entry.", last.id);
        let last = last.value as f64 / 1e6;
        let help = "How long the call of its last entry took.";
        out.single("redis_last_slow_execution_duration_seconds", Kind::Gauge, help, last);
    }
    let (last, spike) = ("redis_latency_spike_last", "redis_latency_spike_duration_seconds");
    let series = || {
        engine
            .metrics
            .latency
            .events
            .iter()
            .filter_map(|(event, series)| Some((event, *series.samples.back()?)))
    };
    let mut family =
        out.family(last, Kind::Gauge, "When an event last took longer than latency-monitor-threshold.");
    for (event, (at, _)) in series() {
        family.sample(&[("event_name", event)], at);
    }
    let mut family = out.family(spike, Kind::Gauge, "How long that took.");
    for (event, (_, ms)) in series() {
        family.sample(&[("event_name", event)], ms as f64 / 1000.0);
    }
}

/// What the loop does with its time.
fn turns(engine: &Engine, out: &mut Exposition) {
    let stats = &engine.metrics.stats;
    let count = stats.event_loop_cycles;
    out.single("redloop_turns_total", Kind::Counter, "Turns of the event loop.", count);
    let mut family =
        out.family("redloop_turn_seconds_total", Kind::Counter, "Time that turns took, by what took it.");
    let mut jobs = 0;
    for (job, nanos) in &stats.jobs {
        jobs += nanos;
        family.sample(&[("cause", job)], seconds(*nanos));
    }
    family.sample(&[("cause", "commands")], seconds(stats.calls_nanos));
    let rest = stats.event_loop_nanos.saturating_sub(jobs + stats.calls_nanos);
    family.sample(&[("cause", "input and output")], seconds(rest));
    out.family("redloop_longest_turn_seconds", Kind::Gauge, "Longest turn since the last CONFIG RESETSTAT.")
        .sample(&[("cause", stats.longest_turn_cause)], seconds(stats.longest_turn_nanos));
    out.single(
        "redloop_longest_snapshot_turn_cpu_seconds",
        Kind::Gauge,
        "Longest turn while a snapshot was made, by the loop's processor time.",
        seconds(stats.longest_snapshot_turn_cpu),
    );
    let queued = engine.persistence.run().map_or(0, |run| run.queued());
    let help = "Bytes that wait for the thread that writes a snapshot.";
    out.single("redloop_snapshot_queue_bytes", Kind::Gauge, help, queued);
}
