//! The cluster in `/metrics` and on the page: its state, nodes, links, slots, and slots that move. Nothing in a server that is no node.
//!
//! The number of series depends on neither nodes nor slots.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::engine::cluster::ClusterMode;
use crate::services::cluster::{Cluster, Node, NodeRef, Viewer, flag};
use crate::services::exposition::{Exposition, Kind};
use crate::services::slot_migration::Role;

/// Nodes that the page shows, and slots and migrations.
const NODES: usize = 200;
const MOVES: usize = 50;
/// Bytes of a node's ranges of slots that it shows.
const RANGES_LEN: usize = 200;

/// Lines of CLUSTER INFO under the exporter's names.
const FIELDS: [(&str, &str); 15] = [
    ("cluster_slots_assigned", "Slots that some node serves."),
    ("cluster_slots_ok", "Slots of nodes that don't fail."),
    ("cluster_slots_pfail", "Slots of nodes that this one suspects."),
    ("cluster_slots_fail", "Slots of nodes that have failed."),
    ("cluster_known_nodes", "Nodes that this one knows, itself included."),
    ("cluster_size", "Primaries with slots."),
    ("cluster_current_epoch", "The greatest epoch that this node has heard of."),
    ("cluster_my_epoch", "The configuration epoch of this node, or of its primary."),
    ("cluster_stats_messages_sent", "Messages of the bus that were sent."),
    ("cluster_stats_messages_received", "Messages of the bus that came."),
    ("cluster_stats_bytes_sent", "Bytes of them that were sent."),
    ("cluster_stats_bytes_received", "Bytes of them that came."),
    ("total_cluster_links_buffer_limit_exceeded", "Links closed because too much waited to be sent."),
    ("cluster_slot_migration_active_tasks", "Migrations of slots that go on, of Redis's kind."),
    ("cluster_slot_migration_active_trim_running", "Slots whose keys are being removed after a migration."),
];

/// Whether a line of CLUSTER INFO counts up; its name in the exposition.
fn metric_name(field: &str) -> (Kind, String) {
    match field {
        "cluster_stats_messages_sent" => (Kind::Counter, "redis_cluster_messages_sent_total".into()),
        "cluster_stats_messages_received" => (Kind::Counter, "redis_cluster_messages_received_total".into()),
        "cluster_stats_bytes_sent" | "cluster_stats_bytes_received" => {
            (Kind::Counter, format!("redloop_{}_total", field.replace("_stats", "")))
        }
        "total_cluster_links_buffer_limit_exceeded" => {
            (Kind::Counter, "redis_cluster_links_buffer_limit_exceeded_total".into())
        }
        _ => (Kind::Gauge, format!("redis_{field}")),
    }
}

fn role(node: &Node) -> &'static str {
    if node.is_replica() { "replica" } else { "primary" }
}

fn state(node: &Node) -> &'static str {
    match () {
        () if node.is(flag::FAIL) => "failed",
        () if node.is(flag::PFAIL) => "suspected",
        () => "ok",
    }
}

pub(super) fn write(engine: &Engine, out: &mut Exposition) {
    let Some(mode) = &engine.cluster else { return };
    let service = &mode.service;
    let ok = u64::from(service.is_ok());
    out.single("redis_cluster_state", Kind::Gauge, "1 if this node finds the cluster in order.", ok);
    let text = service.info_text() + &engine.slot_migration_info();
    let lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    for (field, help) in FIELDS {
        if let Some(value) = lines.get(field).and_then(|value| value.parse::<u64>().ok()) {
            let (kind, name) = metric_name(field);
            out.single(&name, kind, help, value);
        }
    }
    nodes_and_links(service, out);
    let topology = &service.topology;
    let served = topology.node(topology.primary_of(topology.me())).slot_count();
    let mut family = out.family("redloop_cluster_slots", Kind::Gauge, "Slots of this node's shard.");
    for (what, count) in [
        ("served", usize::from(served as u16)),
        ("migrating", topology.all_migrating().len()),
        ("importing", topology.all_importing().len()),
        ("being emptied", mode.lost_slots().len()),
    ] {
        family.sample(&[("what", what)], count);
    }
    let mut family =
        out.family("redloop_cluster_slot_migrations", Kind::Gauge, "Atomic migrations of slots that go on.");
    for (direction, of) in [("export", Role::Export), ("import", Role::Import)] {
        family.sample(&[("direction", direction)], mode.migration.jobs.active_of(of).count());
    }
}

fn nodes_and_links(service: &Cluster, out: &mut Exposition) {
    let mut counts = BTreeMap::new();
    for role in ["primary", "replica"] {
        for state in ["ok", "suspected", "failed"] {
            counts.insert((role, state), 0u64);
        }
    }
    for (_, node) in service.topology.iter() {
        *counts.entry((role(node), state(node))).or_default() += 1;
    }
    let mut family = out.family("redloop_cluster_nodes", Kind::Gauge, "Nodes as this one sees them.");
    for ((role, state), count) in counts {
        family.sample(&[("role", role), ("state", state)], count);
    }
    let mut links = BTreeMap::from([("from", 0u64), ("to", 0)]);
    let mut unsent = 0;
    for (_, link) in service.links().filter(|(_, link)| link.is_connected()) {
        *links.entry(if link.is_inbound { "from" } else { "to" }).or_default() += 1;
        unsent += link.unsent;
    }
    let mut family = out.family("redloop_cluster_links", Kind::Gauge, "Links of the bus that are up.");
    for (direction, count) in links {
        family.sample(&[("direction", direction)], count);
    }
    out.single(
        "redloop_cluster_links_unsent_bytes",
        Kind::Gauge,
        "Bytes that wait to be sent on them.",
        unsent,
    );
}

/// A node's row.
fn row(engine: &Engine, service: &Cluster, at: NodeRef) -> Value {
    let node = service.topology.node(at);
    let viewer = Viewer::default();
    let name =
        [&node.announced.human_name, &node.announced.hostname].into_iter().find(|name| !name.is_empty());
    let mut slots = node.slots().to_string();
    if slots.len() > RANGES_LEN {
        let end = slots[..RANGES_LEN].rfind(' ').unwrap_or(0);
        slots.replace_range(end.., " …");
    }
    let is_linked =
        node.link.is_some_and(|link| service.links().any(|(id, found)| id == link && found.is_connected()));
    let heard = (node.pong_received != 0).then(|| engine.now().saturating_sub(node.pong_received));
    json!({
        "id": node.id.to_string(), "address": format!("{}:{}", node.client_ip(viewer), node.client_port(viewer)),
        "name": name, "role": role(node), "state": state(node), "me": at == service.topology.me(),
        "primary": node.primary().map(|primary| service.topology.node(primary).id.to_string()),
        "count": node.slot_count(), "slots": slots, "epoch": node.config_epoch, "linked": is_linked, "heard_ms": heard,
    })
}

/// Nodes that fail come first, then primaries, each before its replicas.
fn rows(engine: &Engine, service: &Cluster) -> Vec<Value> {
    let topology = &service.topology;
    let mut nodes: Vec<NodeRef> = topology.refs();
    nodes.sort_by_key(|at| {
        let node = topology.node(*at);
        let shard = topology.node(topology.primary_of(*at));
        (state(node) == "ok", shard.slots().next(0).unwrap_or(u16::MAX), shard.id, node.is_replica(), node.id)
    });
    nodes.into_iter().take(NODES).map(|at| row(engine, service, at)).collect()
}

fn moves(mode: &ClusterMode) -> Vec<Value> {
    let topology = &mode.service.topology;
    let open = |slot: &u16, other: &NodeRef, word: &str| json!({ "what": word, "slots": slot.to_string(), "other": topology.node(*other).id.to_string(), "state": "key by key" });
    let out = topology.all_migrating().iter().map(|(slot, to)| open(slot, to, "to"));
    let coming = topology.all_importing().iter().map(|(slot, from)| open(slot, from, "from"));
    let jobs = mode.migration.jobs.active().map(|job| {
        let (word, other) = match job.role {
            Role::Export => ("to", job.target),
            Role::Import => ("from", job.source),
        };
        json!({ "what": word, "slots": job.slots.to_string(), "other": other.map(|id| id.to_string()), "state": job.state_name() })
    });
    jobs.chain(out).chain(coming).take(MOVES).collect()
}

/// What the page shows.
pub(super) fn list(engine: &Engine) -> Value {
    let Some(mode) = &engine.cluster else { return json!({ "enabled": false }) };
    let service = &mode.service;
    json!({
        "enabled": true, "ok": service.is_ok(), "nodes": rows(engine, service), "count": service.topology.len(),
        "size": service.topology.size(), "assigned": service.topology.assigned(), "epoch": service.topology.current_epoch,
        "emptied": mode.lost_slots().len(), "moves": moves(mode),
    })
}
