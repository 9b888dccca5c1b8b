//! This node itself: what directives say of it, what it is from the start; and handshakes with others (CLUSTER MEET).

use std::net::IpAddr;

use super::node::{Node, flag};
use super::{Cluster, Settings};

/// Why a handshake doesn't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// That is no IP address.
    InvalidAddress,
    /// One with this address has begun already.
    InProgress,
    TooMany,
}

impl Cluster {
    /// The configuration has been read, or there was none.
    pub fn started(&mut self, now: u64) {
        self.set_now(now);
        self.update_myself();
        self.todo.save_durably_and_update();
        // The data that is going to be loaded is the primary's.
        self.follow_primary();
    }

    /// The data is loaded: links are accepted from now on.
    pub fn loaded(&mut self, now: u64) {
        self.set_now(now);
        self.is_loading = false;
    }

    /// Directives have changed: others are told of what concerns them.
    pub fn set_settings(&mut self, now: u64, settings: Settings) {
        self.set_now(now);
        if settings == self.settings {
            return;
        }
        let was_announced = !self.settings.announce_ip.is_empty();
        self.settings = settings;
        if was_announced && self.settings.announce_ip.is_empty() {
            self.topology.myself_mut().ip.clear();
        }
        if self.update_myself() {
            self.todo.save_and_update();
            self.todo.broadcast = true;
        }
        // Which slots must be served, and which port a replica connects to, may be other ones now.
        self.todo.update_state = true;
        self.follow_primary();
    }

    /// Has this node's entry say what the directives do. Whether that has changed it.
    pub(super) fn update_myself(&mut self) -> bool {
        let settings = &self.settings;
        let node = self.topology.myself();
        let mut flags =
            node.flags | flag::EXTENSIONS | flag::LIGHT_PUBLISH | flag::LIGHT_MODULE | flag::BOTH_FAMILIES;
        flags &= !flag::NOFAILOVER;
        if settings.replica_no_failover {
            flags |= flag::NOFAILOVER;
        }
        let ports = [settings.port, settings.tls_port, settings.bus_port];
        let ip = if settings.announce_ip.is_empty() { node.ip.clone() } else { settings.announce_ip.clone() };
        let is_same = node.flags == flags
            && [node.tcp_port, node.tls_port, node.bus_port] == ports
            && node.ip == ip
            && node.announced == settings.announced;
        let announced = settings.announced.clone();
        let node = self.topology.myself_mut();
        (node.flags, node.ip, node.announced) = (flags, ip, announced);
        [node.tcp_port, node.tls_port, node.bus_port] = ports;
        !is_same
    }

    /// Begins a handshake with the node at an address.
    pub fn start_handshake(&mut self, ip: &str, port: u16, bus_port: u16) -> Result<(), HandshakeError> {
        let ip: IpAddr = ip.parse().map_err(|_| HandshakeError::InvalidAddress)?;
        let ip = ip.to_string();
        let is_same =
            |node: &Node| node.ip == ip && node.bus_port == bus_port && self.message_ports(node).0 == port;
        if self.topology.by_place().any(|(_, node)| node.is(flag::HANDSHAKE) && is_same(node)) {
            return Err(HandshakeError::InProgress);
        }
        let (id, shard) = (super::random_id(&mut self.rng), super::random_id(&mut self.rng));
        let mut node = Node::new(id, shard, flag::HANDSHAKE | flag::MEET, self.now);
        (node.ip, node.bus_port) = (ip, bus_port);
        *(if self.settings.tls { &mut node.tls_port } else { &mut node.tcp_port }) = port;
        self.add_handshake(node).ok_or(HandshakeError::TooMany)?;
        Ok(())
    }
}
