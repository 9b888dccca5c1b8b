//! INFO replication: what this server is, its replicas, its history and its backlog.

use super::Page;
use crate::engine::Engine;

pub(super) fn replication(engine: &mut Engine, page: &mut Page) {
    let replication = &engine.replication;
    page.field("role", "master");
    page.field("connected_slaves", replication.replicas.len());
    let now = engine.now();
    for (number, (client, replica)) in replication.replicas.attached().enumerate() {
        page.line(format_args!(
            "slave{number}:ip={},port={},state={},offset={},lag={},type=replica",
            engine.replica_ip(client, replica),
            replica.port,
            replica.state_name(),
            replica.ack_offset,
            replica.lag(now),
        ));
    }
    page.field("replicas_waiting_psync", 0);
    page.field("master_failover_state", "no-failover");
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
