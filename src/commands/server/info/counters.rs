//! INFO sections of counters since the start or the last CONFIG RESETSTAT.

use super::Page;
use crate::engine::Engine;
use crate::engine::command::table::Command;
use crate::engine::metrics::stats::CommandStats;

/// Kilobytes a second, from bytes a second.
fn kbps(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1024.0)
}

pub(super) fn stats(engine: &mut Engine, page: &mut Page) {
    traffic(engine, page);
    keys(engine, page);
    page.field("pubsub_channels", engine.clients.pubsub.channel_count());
    page.field("pubsub_patterns", engine.clients.pubsub.pattern_count());
    page.field("pubsubshard_channels", engine.clients.pubsub.shard_channel_count());
    page.field("latest_fork_usec", 0);
    page.field("total_forks", engine.persistence.background_jobs);
    page.field("migrate_cached_sockets", engine.migrate.link_count());
    page.field("slave_expires_tracked_keys", engine.data.keyspace.journal.own_deadlines.len());
    for name in ["hits", "misses", "key_hits", "key_misses"] {
        page.named(&["active_defrag_", name], 0);
    }
    page.field("total_active_defrag_time", 0);
    page.field("current_active_defrag_time", 0);
    page.field("tracking_total_keys", engine.clients.tracking.readers.key_count());
    page.field("tracking_total_items", engine.clients.tracking.readers.item_count());
    page.field("tracking_total_prefixes", engine.clients.tracking.prefixes.count());
    errors(engine, page);
    event_loop(engine, page);
    access(engine, page);
    if engine.config.cluster_compatibility_sample_ratio > 0 {
        page.field("cluster_incompatible_ops", engine.metrics.stats.cluster_incompatible);
    }
}

pub(super) fn hotkeys(engine: &mut Engine, page: &mut Page) {
    if let Some(hot) = engine.hot_keys() {
        page.field("hotkeys-tracking-active", u8::from(hot.is_active()));
        page.field("hotkeys-cmd-cpu-time", hot.spent_nanos / 1_000_000);
    }
}

/// The walk of MEMORY TOP.
pub(super) fn analysis(engine: &mut Engine, page: &mut Page) {
    let progress = engine.analysis_progress();
    page.field("memory_top_in_progress", u8::from(progress.is_some()));
    if let Some(walk) = progress {
        page.field("memory_top_database", walk.database);
        page.field("memory_top_progress_percent", format_args!("{:.2}", walk.fraction * 100.0));
        page.field("memory_top_keys_walked", walk.keys);
        page.field("memory_top_elapsed_ms", engine.now().saturating_sub(walk.started_ms));
    }
    page.field("memory_top_walks", engine.analyses.finished);
    if let Some(last) = engine.last_analysis() {
        page.field("memory_top_last_started", last.started_ms / 1000);
        page.field("memory_top_last_duration_ms", last.duration_ms);
        page.field("memory_top_last_keys", last.keys);
    }
}

fn traffic(engine: &Engine, page: &mut Page) {
    let (stats, rates) = (&engine.metrics.stats, engine.rates());
    page.field("total_connections_received", stats.connections_received);
    page.field("total_commands_processed", stats.commands_processed);
    page.field("instantaneous_ops_per_sec", rates.commands.per_second());
    page.field("total_net_input_bytes", stats.net_input_bytes);
    page.field("total_net_output_bytes", stats.net_output_bytes);
    page.field("total_net_repl_input_bytes", stats.replication_input_bytes);
    page.field("total_net_repl_output_bytes", stats.replication_output_bytes);
    page.field("total_net_cluster_slot_import_bytes", stats.slot_import_bytes);
    page.field("total_net_cluster_slot_export_bytes", stats.slot_export_bytes);
    page.field("instantaneous_input_kbps", kbps(rates.input.per_second()));
    page.field("instantaneous_output_kbps", kbps(rates.output.per_second()));
    page.field("instantaneous_input_repl_kbps", kbps(rates.replication_input.per_second()));
    page.field("instantaneous_output_repl_kbps", kbps(rates.replication_output.per_second()));
    page.field("rejected_connections", stats.connections_rejected);
    page.field("rejected_priority_connections", stats.priority_rejected);
    page.field("sync_full", stats.sync_full);
    page.field("sync_partial_ok", stats.sync_partial_ok);
    page.field("sync_partial_err", stats.sync_partial_err);
}

fn keys(engine: &Engine, page: &mut Page) {
    let (stats, keyspace) = (&engine.metrics.stats, &engine.data.keyspace.stats);
    let (exceeded, exceeded_ever) = engine.exceeded_ms();
    page.field("expired_subkeys", keyspace.expired_fields);
    page.field("expired_subkeys_active", keyspace.expired_fields_actively);
    page.field("expired_fields", keyspace.expired_fields);
    page.field("expired_keys", keyspace.expired_keys);
    page.field("expired_keys_active", keyspace.expired_keys_actively);
    // Deadlines are indexed in order: due keys are known, not estimated, and removed within a turn or two.
    page.field("expired_stale_perc", "0.00");
    page.field("expired_time_cap_reached_count", keyspace.expired_time_cap_reached);
    page.field("expire_cycle_cpu_milliseconds", stats.expiry_nanos / 1_000_000);
    page.field("evicted_keys", keyspace.evicted_keys);
    page.field("evicted_clients", stats.evicted_clients);
    page.field("evicted_scripts", engine.scripting.figures().evicted);
    page.field("total_eviction_exceeded_time", exceeded_ever);
    page.field("current_eviction_exceeded_time", exceeded);
    page.field("keyspace_hits", keyspace.hits);
    page.field("keyspace_misses", keyspace.misses);
}

fn errors(engine: &Engine, page: &mut Page) {
    let stats = &engine.metrics.stats;
    page.field("unexpected_error_replies", stats.unexpected_errors);
    page.field("total_error_replies", stats.error_replies);
    page.field("dump_payload_sanitizations", 0);
    page.field("total_reads_processed", stats.reads_processed);
    page.field("total_writes_processed", stats.writes_processed);
    page.field("io_threaded_reads_processed", 0);
    page.field("io_threaded_writes_processed", 0);
    page.field("io_threaded_total_prefetch_batches", 0);
    page.field("io_threaded_total_prefetch_entries", 0);
    page.field("client_query_buffer_limit_disconnections", stats.query_limit_disconnections);
    page.field("client_output_buffer_limit_disconnections", stats.output_limit_disconnections);
    page.field("reply_buffer_shrinks", 0);
    page.field("reply_buffer_expands", 0);
}

fn event_loop(engine: &Engine, page: &mut Page) {
    let (stats, rates) = (&engine.metrics.stats, engine.rates());
    let cycles = rates.cycles.per_second();
    page.field("eventloop_cycles", stats.event_loop_cycles);
    page.field("eventloop_duration_sum", stats.event_loop_nanos / 1000);
    page.field("eventloop_duration_cmd_sum", stats.calls_nanos / 1000);
    page.field("instantaneous_eventloop_cycles_per_sec", cycles);
    let mean = rates.turning.per_second().checked_div(cycles).unwrap_or(0);
    page.field("instantaneous_eventloop_duration_usec", mean.div_ceil(1000));
    page.field("longest_turn_usec", stats.longest_turn_nanos / 1000);
    page.field("longest_turn_cause", stats.longest_turn_cause);
    page.field("longest_snapshot_turn_cpu_usec", stats.longest_snapshot_turn_cpu / 1000);
}

fn access(engine: &Engine, page: &mut Page) {
    page.field("acl_access_denied_auth", engine.metrics.stats.auth_failures);
    let refused = &engine.acl.refused;
    page.field("acl_access_denied_cmd", refused.commands);
    page.field("acl_access_denied_key", refused.keys);
    page.field("acl_access_denied_channel", refused.channels);
    page.field("acl_access_denied_tls_cert", refused.certificates);
    page.field("acl_access_denied_db", refused.databases);
}

/// Internals for developers, as Redis has them; shown only by the section's name.
pub(super) fn debug(engine: &mut Engine, page: &mut Page) {
    let stats = &engine.metrics.stats;
    page.field("eventloop_duration_aof_sum", 0);
    page.field("eventloop_duration_cron_sum", stats.jobs_nanos().div_ceil(1000));
    page.field("eventloop_duration_max", stats.longest_turn_nanos / 1000);
    page.field("eventloop_cmd_per_cycle_max", stats.most_calls_a_turn);
}

/// The commands with their counters.
fn counted(engine: &Engine) -> impl Iterator<Item = (&Command, &CommandStats)> {
    engine.commands.iter().zip(&engine.metrics.stats.commands)
}

pub(super) fn commandstats(engine: &mut Engine, page: &mut Page) {
    for (command, stats) in counted(engine) {
        let CommandStats { calls, nanos, rejected, failed, .. } = stats;
        if calls + rejected + failed == 0 {
            continue;
        }
        let mean = if *calls == 0 { 0.0 } else { *nanos as f64 / 1000.0 / *calls as f64 };
        page.line(format_args!(
            "cmdstat_{}:calls={calls},usec={},usec_per_call={mean:.2},rejected_calls={rejected},failed_calls={failed}",
            command.name,
            nanos / 1000,
        ));
    }
}

pub(super) fn errorstats(engine: &mut Engine, page: &mut Page) {
    for (code, count) in &engine.metrics.stats.errors {
        // A client or a script may have chosen the error code.
        let code: String = code.chars().map(|c| if ":,=\r\n#".contains(c) { '_' } else { c }).collect();
        page.line(format_args!("errorstat_{code}:count={count}"));
    }
}

pub(super) fn latencystats(engine: &mut Engine, page: &mut Page) {
    let percentiles = &engine.config.latency_tracking_info_percentiles.0;
    for (command, stats) in counted(engine).filter(|(_, stats)| stats.histogram.total() > 0) {
        let parts: Vec<String> = percentiles
            .iter()
            .map(|p| format!("p{p}={:.3}", stats.histogram.percentile(*p) as f64 / 1000.0))
            .collect();
        page.line(format_args!("latency_percentiles_usec_{}:{}", command.name, parts.join(",")));
    }
}
