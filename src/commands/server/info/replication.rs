//! INFO replication: what this server is, its replicas, its history and its backlog.

use super::Page;
use crate::engine::Engine;
use crate::engine::replication::PrimaryLink;
use crate::services::replication::failover::Failover;

pub(super) fn replication(engine: &mut Engine, page: &mut Page) {
    let replication = &engine.replication;
    match &replication.primary {
        None => page.field("role", "master"),
        Some(primary) => {
            page.field("role", "slave");
            of_replica(engine, primary, page);
        }
    }
    page.field("connected_slaves", replication.replicas.len());
    let now = engine.steady_now();
    let config = &engine.config;
    if config.min_replicas_to_write > 0 && config.min_replicas_max_lag > 0 {
        let good = replication.replicas.count_good(u64::from(config.min_replicas_max_lag), now);
        page.field("min_slaves_good_slaves", good);
    }
    for (number, (_, replica)) in replication.replicas.in_order().into_iter().enumerate() {
        page.line(format_args!(
            "slave{number}:ip={},port={},state={},offset={},lag={},io-thread=0,type=replica",
            replica.shown_ip(),
            replica.port,
            replica.state_name(),
            replica.ack_offset,
            replica.shown_lag(now),
        ));
    }
    page.field("replicas_waiting_psync", 0);
    page.field("master_failover_state", Failover::state_name(replication.failover.as_ref()));
    page.field("master_replid", &replication.identity.replid);
    page.field("master_replid2", replication.identity.replid2());
    let backlog = engine.backlog();
    page.field("master_repl_offset", backlog.end());
    page.field("second_repl_offset", replication.identity.second_offset());
    let is_active = backlog.retained().is_some();
    page.field("repl_backlog_active", u8::from(is_active));
    page.field("repl_backlog_size", engine.config.repl_backlog_size);
    let first = if is_active { backlog.start() + 1 } else { 0 };
    page.field("repl_backlog_first_byte_offset", first);
    page.field("repl_backlog_histlen", if is_active { backlog.end() - backlog.start() } else { 0 });
}

/// The link to the primary, and what this server says of itself to Sentinel.
fn of_replica(engine: &Engine, primary: &PrimaryLink, page: &mut Page) {
    let (now, offset) = (engine.steady_now(), engine.backlog().end());
    page.field("master_host", &primary.host);
    page.field("master_port", primary.port);
    page.field("master_link_status", if primary.is_up() { "up" } else { "down" });
    let session = primary.client().and_then(|client| engine.clients.sessions.get(client));
    let silent = session.map_or(-1, |session| (engine.now().saturating_sub(session.active_ms) / 1000) as i64);
    page.field("master_last_io_seconds_ago", silent);
    let transfer = primary.transfer();
    page.field("master_sync_in_progress", u8::from(transfer.is_some()));
    let unexecuted = session.map_or(0, |session| session.io.query_unparsed);
    page.field("slave_read_repl_offset", offset + primary.unit_len() + unexecuted);
    page.field("slave_repl_offset", offset);
    page.field("replica_full_sync_buffer_size", 0);
    page.field("replica_full_sync_buffer_peak", 0);
    page.field("replicas_repl_buffer_size", 0);
    page.field("replicas_repl_buffer_peak", 0);
    page.field("master_current_sync_attempts", primary.attempts());
    page.field("master_total_sync_attempts", engine.replication.attempts);
    if let Some(transfer) = transfer {
        let (size, received) = (transfer.size().unwrap_or(0), transfer.received());
        let percent = if size > 0 { received as f64 / size as f64 * 100.0 } else { 0.0 };
        page.field("master_sync_total_bytes", size);
        page.field("master_sync_read_bytes", received);
        page.field("master_sync_left_bytes", size as i64 - received as i64);
        page.field("master_sync_perc", format_args!("{percent:.2}"));
        page.field("master_sync_last_io_seconds_ago", primary.silent_seconds(now));
    }
    match primary.up_seconds(now) {
        Some(seconds) => {
            page.field("master_link_up_since_seconds", seconds);
            page.field("master_client_io_thread", 0);
        }
        None => page.field("master_link_down_since_seconds", primary.down_seconds(now)),
    }
    page.field("total_disconnect_time_sec", engine.replication.disconnected_seconds(now));
    page.field("slave_priority", engine.config.replica_priority);
    page.field("slave_read_only", u8::from(engine.config.replica_read_only));
    page.field("replica_announced", u8::from(engine.config.replica_announced));
}
