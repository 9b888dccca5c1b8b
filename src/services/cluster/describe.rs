//! Lines about nodes, as in the reply of CLUSTER NODES and in `nodes.conf`.
//!
//! ```text
//! id ip:port@bus-port[,hostname[,field=value…]] flags primary|- ping-sent pong-received epoch connected|disconnected slots…
//! ```

use std::fmt::Write as _;

use super::ids::NodeRef;
use super::node::{Node, flag};
use super::topology::Topology;

/// From where a client sees the cluster: which addresses it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    /// Its connection is one with TLS.
    pub is_tls: bool,
    /// Its connection is one over IPv6.
    pub is_ipv6: bool,
}

impl Node {
    /// The address for a client, which Valkey's nodes may announce apart.
    pub fn client_ip(&self, viewer: Viewer) -> &str {
        let announced =
            if viewer.is_ipv6 { &self.announced.client_ipv6 } else { &self.announced.client_ipv4 };
        if announced.is_empty() { &self.ip } else { announced }
    }

    /// The port for a client.
    pub fn client_port(&self, viewer: Viewer) -> u16 {
        let (announced, own) = match viewer.is_tls {
            true => (self.announced.client_tls_port, self.tls_port),
            false => (self.announced.client_port, self.tcp_port),
        };
        if announced == 0 { own } else { announced }
    }
}

impl Topology {
    /// A node's configuration epoch; of a replica that of its primary.
    pub fn epoch_of(&self, at: NodeRef) -> u64 {
        match self.node(at) {
            node if node.is_replica() => self.node(self.primary_of(at)).config_epoch,
            node => node.config_epoch,
        }
    }

    /// The line of a node for a client or (`None`) for `nodes.conf`.
    pub fn node_line(&self, at: NodeRef, viewer: Option<Viewer>) -> String {
        let node = self.node(at);
        let (ip, port) = match viewer {
            Some(viewer) => (node.client_ip(viewer), node.client_port(viewer)),
            None => (node.ip.as_str(), node.tcp_port),
        };
        let mut line = format!("{} {ip}:{port}@{}", node.id, node.bus_port);
        if viewer.is_none() || !node.announced.hostname.is_empty() {
            let _ = write!(line, ",{}", node.announced.hostname);
        }
        if viewer.is_none() {
            push_fields(node, &mut line);
        }
        let primary = node.primary().map_or("-".to_string(), |primary| self.node(primary).id.to_string());
        let is_connected = node.link.is_some() || node.is(flag::MYSELF);
        let _ = write!(
            line,
            " {} {primary} {} {} {} {}",
            flags_text(node.flags),
            node.ping_sent,
            node.pong_received,
            self.epoch_of(at),
            if is_connected { "connected" } else { "disconnected" }
        );
        if node.slot_count() > 0 {
            let _ = write!(line, " {}", node.slots());
        }
        if node.is(flag::MYSELF) {
            self.push_moving_slots(&mut line);
        }
        line
    }

    /// The slots that are moving, in order; one that does both is shown as leaving.
    fn push_moving_slots(&self, line: &mut String) {
        let mut moving: Vec<_> = self.all_migrating().iter().map(|(slot, to)| (*slot, '>', *to)).collect();
        let coming = self.all_importing().iter().filter(|(slot, _)| self.migrating(**slot).is_none());
        moving.extend(coming.map(|(slot, from)| (*slot, '<', *from)));
        moving.sort_unstable();
        for (slot, direction, other) in moving {
            let _ = write!(line, " [{slot}-{direction}-{}]", self.node(other).id);
        }
    }
}

/// What else `nodes.conf` says of a node. Redis refuses a file with fields it doesn't know, which is why Valkey's are left out
/// where they say nothing.
fn push_fields(node: &Node, line: &mut String) {
    let announced = &node.announced;
    let number = |port: u16| if port == 0 { String::new() } else { port.to_string() };
    for (name, value) in [
        ("availability-zone", announced.availability_zone.clone()),
        ("client-tls-port", number(announced.client_tls_port)),
        ("client-tcp-port", number(announced.client_port)),
        ("client-ipv6", announced.client_ipv6.clone()),
        ("client-ipv4", announced.client_ipv4.clone()),
        ("tls-port", node.tls_port.to_string()),
        ("nodename", announced.human_name.clone()),
        ("shard-id", node.shard.to_string()),
    ] {
        if !value.is_empty() {
            let _ = write!(line, ",{name}={value}");
        }
    }
}

/// The names of flags, in the order of the lines.
pub const FLAG_NAMES: [(u16, &str); 8] = [
    (flag::MYSELF, "myself"),
    (flag::PRIMARY, "master"),
    (flag::REPLICA, "slave"),
    (flag::PFAIL, "fail?"),
    (flag::FAIL, "fail"),
    (flag::HANDSHAKE, "handshake"),
    (flag::NOADDR, "noaddr"),
    (flag::NOFAILOVER, "nofailover"),
];

fn flags_text(flags: u16) -> String {
    let names: Vec<&str> =
        FLAG_NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "noflags".to_string() } else { names.join(",") }
}
