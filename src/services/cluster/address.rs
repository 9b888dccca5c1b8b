//! Addresses of nodes: which ports are which, what a message says of its sender's address, where a replica connects to.

use super::ids::{BusLink, NodeRef};
use super::message::Header;
use super::node::Node;
use super::{Action, Cluster, Level, Settings};

/// Where a node is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub ip: String,
    pub tcp_port: u16,
    pub tls_port: u16,
    pub bus_port: u16,
}

impl Address {
    /// Of the ports as messages have them: that of the bus's kind first.
    pub fn of_message(settings: &Settings, ip: String, [port, other_port, bus_port]: [u16; 3]) -> Self {
        let (tcp_port, tls_port) = if settings.tls { (other_port, port) } else { (port, other_port) };
        Address { ip, tcp_port, tls_port, bus_port }
    }

    /// Whether it is a node's.
    pub fn is_of(&self, node: &Node) -> bool {
        let same_ports =
            [self.tcp_port, self.tls_port, self.bus_port] == [node.tcp_port, node.tls_port, node.bus_port];
        same_ports && self.ip.eq_ignore_ascii_case(&node.ip)
    }

    pub fn assign_to(self, node: &mut Node) {
        let Address { ip, tcp_port, tls_port, bus_port } = self;
        (node.ip, node.tcp_port, node.tls_port, node.bus_port) = (ip, tcp_port, tls_port, bus_port);
    }
}

impl Cluster {
    /// A node's ports as messages have them.
    pub(super) fn message_ports(&self, node: &Node) -> (u16, u16) {
        if self.settings.tls { (node.tls_port, node.tcp_port) } else { (node.tcp_port, node.tls_port) }
    }

    /// What a message says of its sender's address, with that of the connection if it announces none.
    pub(super) fn address_of_sender(&self, link: BusLink, header: &Header) -> Option<Address> {
        let ip = if header.ip.is_empty() { self.peer_ip(link) } else { &header.ip };
        let ports = [header.port, header.other_port, header.bus_port];
        (!ip.is_empty()).then(|| Address::of_message(&self.settings, ip.to_string(), ports))
    }

    /// Takes over the address that a node announces. Whether it is a new one: its outbound link has been closed then.
    pub(super) fn update_address(&mut self, at: NodeRef, link: BusLink, header: &Header) -> bool {
        if self.topology.node(at).link == Some(link) {
            return false;
        }
        let Some(address) = self.address_of_sender(link, header) else { return false };
        if address.is_of(self.topology.node(at)) {
            return false;
        }
        self.set_address(at, address);
        true
    }

    /// A node is found elsewhere.
    pub(super) fn set_address(&mut self, at: NodeRef, address: Address) {
        if let Some(link) = self.topology.node(at).link {
            self.close_link(link);
        }
        let node = self.topology.node_mut(at);
        address.assign_to(node);
        node.set(super::flag::NOADDR, false);
        let port = self.message_ports(self.topology.node(at)).0;
        let text =
            format!("Address updated for node {}, now {}:{port}", self.name(at), self.topology.node(at).ip);
        self.log(Level::Notice, text);
        if self.topology.myself().primary() == Some(at) {
            self.follow_primary();
        }
    }

    /// Has the server replicate from this node's primary, if it doesn't yet and the address is known.
    pub(super) fn follow_primary(&mut self) {
        let Some(primary) = self.topology.myself().primary() else { return };
        let node = self.topology.node(primary);
        let port = if self.settings.tls_replication { node.tls_port } else { node.tcp_port };
        let address = (node.ip.clone(), port);
        if node.ip.is_empty()
            || port == 0
            || node.is(super::flag::NOADDR)
            || self.following.as_ref() == Some(&address)
        {
            return;
        }
        self.following = Some(address.clone());
        let from_scratch = std::mem::take(&mut self.is_from_elsewhere);
        self.push(Action::Follow { ip: address.0, port: address.1, from_scratch });
    }
}
