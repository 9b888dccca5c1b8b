//! What CLUSTER tells: of the cluster, its nodes, their slots and links.

use super::{error, service};
use crate::base::crc::key_slot;
use crate::engine::{ControlCall, Done, Engine, Outcome};
use crate::resp::Reply;
use crate::services::cluster::{Cluster, Health, NodeRef, Viewer};
use crate::services::config::ClusterEndpointType;

/// `CLUSTER INFO`
pub(super) fn info(call: &mut ControlCall<'_>) -> Outcome {
    let mut text = service(call.engine)?.info_text();
    text.push_str(&call.engine.slot_migration_info());
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

/// `CLUSTER NODES`
pub(super) fn nodes(call: &mut ControlCall<'_>) -> Outcome {
    let text = service(call.engine)?.nodes_text(call.engine.viewer(call.client));
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}

/// `CLUSTER REPLICAS node-id`
pub(super) fn replicas(call: &mut ControlCall<'_>) -> Outcome {
    let viewer = call.engine.viewer(call.client);
    let lines = service(call.engine)?.replica_lines(call.args.at(2), viewer).map_err(error)?;
    call.reply.array(lines.len());
    lines.iter().for_each(|line| call.reply.bulk(line.as_bytes()));
    Ok(Done::Replied)
}

/// `CLUSTER MYID`
pub(super) fn my_id(call: &mut ControlCall<'_>) -> Outcome {
    call.reply.bulk(service(call.engine)?.topology.myself().id.as_bytes());
    Ok(Done::Replied)
}

/// `CLUSTER MYSHARDID`
pub(super) fn my_shard_id(call: &mut ControlCall<'_>) -> Outcome {
    call.reply.bulk(service(call.engine)?.topology.myself().shard.as_bytes());
    Ok(Done::Replied)
}

/// `CLUSTER KEYSLOT key`
pub(super) fn key_slot_of(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    call.reply.integer(key_slot(call.args.at(2)).into());
    Ok(Done::Replied)
}

/// `CLUSTER COUNT-FAILURE-REPORTS node-id`
pub(super) fn count_failure_reports(call: &mut ControlCall<'_>) -> Outcome {
    let name = call.args.at(2);
    let count = super::change(call.engine, |service| {
        let at = service.find_named(name)?;
        Ok(service.fail_reports(at))
    })?;
    call.reply.count(count);
    Ok(Done::Replied)
}

/// `CLUSTER LINKS`
pub(super) fn links(call: &mut ControlCall<'_>) -> Outcome {
    let links = service(call.engine)?.links_of_nodes();
    call.reply.array(links.len());
    for (node, link) in links {
        call.reply.map(6);
        call.reply.bulk(b"direction");
        call.reply.bulk(if link.is_inbound { b"from" } else { b"to" });
        call.reply.bulk(b"node");
        call.reply.bulk(node.id.as_bytes());
        call.reply.bulk(b"create-time");
        call.reply.integer(link.created as i64);
        call.reply.bulk(b"events");
        let events: &[u8] = match (link.is_connected(), link.unsent > 0) {
            (false, _) => b"",
            (true, false) => b"r",
            (true, true) => b"rw",
        };
        call.reply.bulk(events);
        for name in ["send-buffer-allocated", "send-buffer-used"] {
            call.reply.bulk(name.as_bytes());
            call.reply.integer(link.unsent as i64);
        }
    }
    Ok(Done::Replied)
}

/// What the addresses in a reply depend on.
#[derive(Clone, Copy)]
struct View<'a> {
    cluster: &'a Cluster,
    viewer: Viewer,
    preferred: ClusterEndpointType,
}

impl<'a> View<'a> {
    fn of(
        engine: &'a Engine,
        call_client: crate::base::ids::ClientId,
    ) -> Result<Self, crate::resp::CommandError> {
        Ok(View {
            cluster: service(engine)?,
            viewer: engine.viewer(call_client),
            preferred: engine.config.cluster_preferred_endpoint_type,
        })
    }
}

/// `CLUSTER SLOTS`
pub(super) fn slots(call: &mut ControlCall<'_>) -> Outcome {
    let view = View::of(call.engine, call.client)?;
    let ranges = view.cluster.slot_ranges();
    call.reply.array(ranges.len());
    for (range, primary) in ranges {
        let replicas = view.cluster.readable_replicas(primary);
        call.reply.array(3 + replicas.len());
        call.reply.integer((*range.start()).into());
        call.reply.integer((*range.end()).into());
        std::iter::once(primary).chain(replicas).for_each(|at| write_node(view, at, call.reply));
    }
    Ok(Done::Replied)
}

/// A node of CLUSTER SLOTS: endpoint, port, id, and what else is known of its address.
fn write_node(view: View<'_>, at: NodeRef, reply: &mut Reply) {
    let node = view.cluster.topology.node(at);
    let (ip, hostname) = (node.client_ip(view.viewer), node.announced.hostname.as_str());
    reply.array(4);
    match view.preferred {
        ClusterEndpointType::Ip => reply.bulk(ip.as_bytes()),
        ClusterEndpointType::Hostname if hostname.is_empty() => reply.bulk(b"?"),
        ClusterEndpointType::Hostname => reply.bulk(hostname.as_bytes()),
        ClusterEndpointType::UnknownEndpoint => reply.null(),
    }
    reply.integer(node.client_port(view.viewer).into());
    reply.bulk(node.id.as_bytes());
    let further = [
        ("ip", ip, view.preferred != ClusterEndpointType::Ip),
        ("hostname", hostname, view.preferred != ClusterEndpointType::Hostname && !hostname.is_empty()),
        (
            "availability-zone",
            &node.announced.availability_zone,
            !node.announced.availability_zone.is_empty(),
        ),
    ];
    reply.map(further.iter().filter(|(.., is_told)| *is_told).count());
    for (name, value, _) in further.iter().filter(|(.., is_told)| *is_told) {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// `CLUSTER SHARDS`. Without the shard's id that Valkey adds: clients of Redis's reply stop at words that they don't know (go-redis).
pub(super) fn shards(call: &mut ControlCall<'_>) -> Outcome {
    let view = View::of(call.engine, call.client)?;
    let shards = view.cluster.shards();
    call.reply.array(shards.len());
    for shard in shards {
        call.reply.map(2);
        call.reply.bulk(b"slots");
        let ranges: Vec<_> = shard.slots.ranges().collect();
        call.reply.array(2 * ranges.len());
        for range in ranges {
            call.reply.integer((*range.start()).into());
            call.reply.integer((*range.end()).into());
        }
        call.reply.bulk(b"nodes");
        call.reply.array(shard.nodes.len());
        shard.nodes.iter().for_each(|at| write_shard_node(view, *at, call.reply));
    }
    Ok(Done::Replied)
}

/// A node of CLUSTER SHARDS.
fn write_shard_node(view: View<'_>, at: NodeRef, reply: &mut Reply) {
    enum Value<'a> {
        Text(&'a str),
        Number(u64),
    }
    let node = view.cluster.topology.node(at);
    let (ip, hostname) = (node.client_ip(view.viewer), node.announced.hostname.as_str());
    let id = node.id.to_string();
    let port = |is_tls| Value::Number(node.client_port(Viewer { is_tls, ..view.viewer }).into());
    let mut fields = vec![("id", Value::Text(&id))];
    if node.tcp_port != 0 {
        fields.push(("port", port(false)));
    }
    if node.tls_port != 0 {
        fields.push(("tls-port", port(true)));
    }
    fields.push(("ip", Value::Text(ip)));
    let endpoint = match view.preferred {
        ClusterEndpointType::Ip => ip,
        ClusterEndpointType::Hostname if hostname.is_empty() => "?",
        ClusterEndpointType::Hostname => hostname,
        ClusterEndpointType::UnknownEndpoint => "",
    };
    fields.push(("endpoint", Value::Text(endpoint)));
    if !hostname.is_empty() {
        fields.push(("hostname", Value::Text(hostname)));
    }
    fields.push(("role", Value::Text(if node.is_replica() { "replica" } else { "master" })));
    fields.push(("replication-offset", Value::Number(view.cluster.offset_of(at))));
    let health = match view.cluster.health_of(at) {
        Health::Online => "online",
        Health::Loading => "loading",
        Health::Fail => "fail",
    };
    fields.push(("health", Value::Text(health)));
    if !node.announced.availability_zone.is_empty() {
        fields.push(("availability-zone", Value::Text(&node.announced.availability_zone)));
    }
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        match value {
            Value::Text(text) => reply.bulk(text.as_bytes()),
            Value::Number(number) => reply.integer(number as i64),
        }
    }
}
