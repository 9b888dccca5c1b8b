//! PING, PONG and MEET: what they say of this node and of some others.

use super::ids::{BusLink, NodeRef};
use super::message::{Body, Extensions, Gossip, PingKind, message_flag};
use super::node::{Node, flag};
use super::{Cluster, Level};

/// The fewest nodes that a message tells of, if there are so many.
const MIN_GOSSIP: usize = 3;

impl Cluster {
    /// Sends a PING, PONG or MEET on a link.
    pub(super) fn send_ping(&mut self, link: BusLink, kind: PingKind) {
        let Some(found) = self.links.get(&link).filter(|link| link.is_connected) else { return };
        let (to, is_inbound, knows_extensions) = (found.node, found.is_inbound, found.knows_extensions);
        let now = self.now;
        if let (false, Some(at)) = (is_inbound, to) {
            match kind {
                PingKind::Ping => self.topology.node_mut(at).ping_sent = now,
                PingKind::Meet => self.topology.node_mut(at).meet_sent = now,
                PingKind::Pong => {}
            }
        }
        if self.local.logs_debug {
            let direction = if is_inbound { "inbound" } else { "outbound" };
            let name = to.map_or_else(|| "<unknown>".into(), |at| self.name(at));
            self.log(
                Level::Debug,
                format!("Sending {} packet to node {name} on {direction} link", kind.name()),
            );
        }
        let gossip = self.gossip_for(to);
        let known = to.map(|at| self.topology.node(at));
        let extensions = if knows_extensions || known.is_some_and(|node| node.is(flag::EXTENSIONS)) {
            let flags = known.filter(|node| !node.is(flag::HANDSHAKE)).map(|node| node.flags);
            self.extensions_for(flags)
        } else {
            Extensions::default()
        };
        let mut header = self.header();
        header.message_flags |= message_flag::EXTENSIONS;
        self.send(link, Some(header), Body::Ping { kind, gossip, extensions });
    }

    /// Some other nodes, from a random one on, and all suspected ones.
    fn gossip_for(&mut self, to: Option<NodeRef>) -> Vec<Gossip> {
        let nodes = self.topology.len();
        let wanted = (nodes * self.settings.gossip_percent as usize / 100)
            .max(MIN_GOSSIP)
            .min(nodes.saturating_sub(2));
        let mut gossip = Vec::with_capacity(wanted + self.suspected);
        let places = u64::from(self.topology.places());
        let start = self.rng.below(places);
        // As many places are looked at as hold the wanted nodes if some can't be told of; the next message begins elsewhere.
        let tries = places.min(3 * wanted as u64 + 16);
        for step in 0..tries {
            if gossip.len() == wanted {
                break;
            }
            let at = NodeRef(((start + step) % places) as u16);
            let Some(node) = self.topology.get(at) else { continue };
            let is_lost = node.link.is_none() && node.slot_count() == 0;
            let hidden = flag::MYSELF | flag::PFAIL | flag::HANDSHAKE | flag::NOADDR;
            if Some(at) != to && !node.is(hidden) && !is_lost {
                gossip.push(self.gossip_of(node));
            }
        }
        if self.suspected > 0 {
            let is_told = |node: &Node| node.is(flag::PFAIL) && !node.is(flag::HANDSHAKE | flag::NOADDR);
            let suspects = self.topology.by_place().filter(|(_, node)| is_told(node)).take(self.suspected);
            gossip.extend(suspects.map(|(_, node)| self.gossip_of(node)));
        }
        gossip
    }

    fn gossip_of(&self, node: &Node) -> Gossip {
        let (port, other_port) = self.message_ports(node);
        Gossip {
            id: node.id,
            ping_sent: (node.ping_sent / 1000) as u32,
            pong_received: (node.pong_received / 1000) as u32,
            ip: node.ip.clone(),
            port,
            other_port,
            bus_port: node.bus_port,
            flags: node.flags,
        }
    }

    /// What this node announces, for a node with these flags (`None`: not known yet).
    fn extensions_for(&self, flags: Option<u16>) -> Extensions {
        let mut extensions = Extensions {
            announced: self.topology.myself().announced.clone(),
            shard: Some(self.topology.myself().shard),
            forgotten: self.blacklist.iter(self.now).collect(),
            secret: Some(self.secret),
        };
        extensions.keep_for(flags);
        extensions
    }

    /// Sends a PONG to all nodes, so that they know at once what has changed.
    pub fn broadcast_pong(&mut self) {
        let nodes = self.topology.by_place().filter(|(_, node)| !node.is(flag::MYSELF | flag::HANDSHAKE));
        for link in nodes.filter_map(|(_, node)| node.link).collect::<Vec<_>>() {
            self.send_ping(link, PingKind::Pong);
        }
    }

    /// Sends a PONG to the replicas of this node, or to those of its primary.
    pub(super) fn pong_replicas(&mut self) {
        let primary = self.topology.primary_of(self.topology.me());
        let replicas = self.topology.node(primary).replicas().iter().filter(|at| **at != self.topology.me());
        for link in replicas.filter_map(|at| self.topology.node(*at).link).collect::<Vec<_>>() {
            self.send_ping(link, PingKind::Pong);
        }
    }
}
