//! Links: the connections of the bus. A node has an outbound link to each other node, on which it sends what it has to say and
//! gets the answers, and an inbound one from each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults::Dropped;
use super::ids::{BusLink, NodeId, NodeRef};
use super::message::{Body, Encoded, Header, Message};
use super::node::flag;
use super::{Action, Cluster, Level, wire};

/// The most inbound links that aren't known to be of a node yet.
const MAX_UNBOUND: usize = 4096;
/// The most bytes of unfinished messages on all of them.
const MAX_UNBOUND_BYTES: usize = 64 << 20;
/// An inbound link of no known node is closed when it was silent for so long, or for the node timeout if that is longer, ms.
const UNBOUND_SILENCE: u64 = 60_000;

/// A connection of the bus.
#[derive(Debug)]
pub struct Link {
    /// An outbound link's always; an inbound one's once a message has told whose it is.
    pub node: Option<NodeRef>,
    pub is_inbound: bool,
    /// Unix ms.
    pub created: u64,
    /// Bytes that the connection has been given and its socket hasn't taken.
    pub unsent: u64,
    pub(super) is_connected: bool,
    /// A message with extensions, or with the flag that says they are understood, has come.
    pub(super) knows_extensions: bool,
    /// Both ends of an inbound link's connection.
    pub(super) peer_ip: String,
    pub(super) local_ip: String,
    /// The beginning of a message.
    buffer: Vec<u8>,
    heard: u64,
}

impl Link {
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn set_back(&mut self, by: u64) {
        self.heard = self.heard.saturating_sub(by);
    }
}

impl Cluster {
    /// All links, in the order of their creation.
    pub fn links(&self) -> impl Iterator<Item = (BusLink, &Link)> {
        self.links.iter().map(|(id, link)| (*id, link))
    }

    /// What the links hold in memory: unfinished messages, and bytes to be sent.
    pub fn links_memory(&self) -> u64 {
        self.links.values().map(|link| link.unsent + link.buffer.capacity() as u64).sum()
    }

    pub(super) fn add_link(&mut self, node: Option<NodeRef>, peer_ip: String, local_ip: String) -> BusLink {
        self.last_link += 1;
        let id = BusLink(self.last_link);
        let link = Link {
            node,
            is_inbound: node.is_none(),
            created: self.now,
            unsent: 0,
            is_connected: node.is_none(),
            knows_extensions: false,
            peer_ip,
            local_ip,
            buffer: Vec::new(),
            heard: self.now,
        };
        self.links.insert(id, link);
        id
    }

    /// The address of what is at a link's other end.
    pub(super) fn peer_ip(&self, link: BusLink) -> &str {
        let Some(link) = self.links.get(&link) else { return "" };
        link.node.filter(|_| !link.is_inbound).map_or(&link.peer_ip, |at| &self.topology.node(at).ip)
    }

    /// Opens the outbound link to a node whose address is known.
    pub(super) fn open_link(&mut self, at: NodeRef) {
        let (ip, port) = (self.topology.node(at).ip.clone(), self.topology.node(at).bus_port);
        let link = self.add_link(Some(at), String::new(), String::new());
        let now = self.now;
        let node = self.topology.node_mut(at);
        (node.link, node.link_tried_at) = (Some(link), now);
        // A node that can't even be connected to is a suspect too.
        if node.ping_sent == 0 {
            node.ping_sent = now;
        }
        self.push(Action::Connect { link, ip, port });
    }

    /// An outbound link is connected: the first thing that it carries is a PING, or a MEET.
    pub fn connected(&mut self, now: u64, link: BusLink) {
        self.set_now(now);
        let Some(found) = self.links.get_mut(&link) else { return };
        found.is_connected = true;
        let Some(at) = found.node else { return };
        let before = self.topology.node(at).ping_sent;
        let kind =
            if self.topology.node(at).is(flag::MEET) { super::PingKind::Meet } else { super::PingKind::Ping };
        self.send_ping(link, kind);
        if before != 0 {
            self.topology.node_mut(at).ping_sent = before;
        }
    }

    /// A node, or what may become one, has connected to the port of the bus. `None`: refuse it.
    pub fn accepted(&mut self, now: u64, peer_ip: &str, local_ip: &str) -> Option<BusLink> {
        self.set_now(now);
        let unbound = self.links.values().filter(|link| link.node.is_none()).count();
        if (self.is_loading && !self.topology.myself().is_replica()) || unbound >= MAX_UNBOUND {
            return None;
        }
        Some(self.add_link(None, peer_ip.to_string(), local_ip.to_string()))
    }

    /// Bytes have come on a link.
    pub fn received(&mut self, now: u64, link: BusLink, bytes: &[u8]) {
        self.set_now(now);
        let Some(found) = self.links.get_mut(&link) else { return };
        found.heard = now;
        if found.buffer.is_empty() {
            let used = self.process_all(link, bytes);
            if let Some(found) = self.links.get_mut(&link) {
                found.buffer.extend_from_slice(&bytes[used..]);
            }
        } else {
            found.buffer.extend_from_slice(bytes);
            let mut buffer = std::mem::take(&mut found.buffer);
            let used = self.process_all(link, &buffer);
            if let Some(found) = self.links.get_mut(&link) {
                buffer.drain(..used);
                found.buffer = if buffer.is_empty() { Vec::new() } else { buffer };
            }
        }
        self.check_unbound_bytes(link);
    }

    /// Handles all whole messages at the beginning of some bytes; how many bytes they were. The link may be gone afterwards.
    fn process_all(&mut self, link: BusLink, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.links.contains_key(&link) {
            let rest = &bytes[used..];
            let length = match wire::frame_len(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(_) => {
                    let peer = self.peer_ip(link);
                    let text =
                        format!("Bad message length or signature received on the Cluster bus from {peer}");
                    self.log(Level::Warning, text);
                    self.close_link(link);
                    break;
                }
            };
            let Some(frame) = rest.get(..length) else { break };
            self.stats.count_received(wire::type_of(frame), length);
            if self.faults.dropped != Dropped::None && self.drops(link, frame) {
                used += length;
                continue;
            }
            match wire::decode(frame) {
                Ok(message) => self.process(link, message),
                Err(error) => self.log(Level::Verbose, format!("Ignoring a message: {}", error.reason())),
            }
            used += length;
        }
        used
    }

    /// Closes a link of no known node if too much has come on such links that isn't a message yet.
    fn check_unbound_bytes(&mut self, link: BusLink) {
        let Some(found) = self.links.get(&link) else { return };
        if found.node.is_some() || found.buffer.len() < 64 << 10 {
            return;
        }
        let unbound = self.links.values().filter(|link| link.node.is_none());
        if unbound.map(|link| link.buffer.len()).sum::<usize>() > MAX_UNBOUND_BYTES {
            self.close_link(link);
        }
    }

    /// A link's socket has taken what it could; so much is left.
    pub fn sent(&mut self, now: u64, link: BusLink, unsent_bytes: u64) {
        self.set_now(now);
        if let Some(link) = self.links.get_mut(&link) {
            link.unsent = unsent_bytes;
        }
    }

    /// A connection has ended, or could not be opened.
    pub fn closed(&mut self, now: u64, link: BusLink, reason: &str) {
        self.set_now(now);
        let Some(found) = self.links.get(&link) else { return };
        if let (false, Some(at)) = (found.is_connected, found.node) {
            let node = self.topology.node(at);
            let text =
                format!("Connection with Node {} at {}:{} failed: {reason}", node.id, node.ip, node.bus_port);
            self.log(Level::Verbose, text);
        }
        self.drop_link(link);
    }

    /// Closes a link.
    pub(super) fn close_link(&mut self, link: BusLink) {
        if self.links.contains_key(&link) {
            self.drop_link(link);
            self.push(Action::Close { link });
        }
    }

    fn drop_link(&mut self, link: BusLink) {
        let Some(dropped) = self.links.remove(&link) else { return };
        let Some(at) = dropped.node else { return };
        let now = self.now;
        let node = self.topology.node_mut(at);
        if node.link == Some(link) {
            node.link = None;
        } else if node.inbound == Some(link) {
            (node.inbound, node.inbound_lost_at) = (None, now);
        }
    }

    /// An inbound link turns out to be a node's. One that the node had before is the older one, and closed.
    pub(super) fn bind_link(&mut self, link: BusLink, at: NodeRef) {
        if let Some(before) = self.topology.node(at).inbound {
            self.close_link(before);
        }
        self.topology.node_mut(at).inbound = Some(link);
        if let Some(found) = self.links.get_mut(&link) {
            found.node = Some(at);
        }
    }

    /// Removes a node that isn't this one, with its links.
    pub(super) fn remove_node(&mut self, at: NodeRef) {
        let (link, inbound) = (self.topology.node(at).link, self.topology.node(at).inbound);
        [link, inbound].into_iter().flatten().for_each(|link| self.close_link(link));
        self.forget_role(at);
        self.topology.remove(at);
    }

    /// Closes silent links of no known node.
    pub(super) fn check_links(&mut self) {
        let now = self.now;
        let silence = UNBOUND_SILENCE.max(self.settings.node_timeout_ms);
        let is_silent = |link: &Link| link.node.is_none() && now.saturating_sub(link.heard) > silence;
        let to_close = self.links.iter().filter(|(_, link)| is_silent(link));
        for id in to_close.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close_link(id);
        }
    }

    /// Closes links on which more waits to be sent than they may hold (`cluster-link-sendbuf-limit`), what this tick sends included.
    pub(super) fn check_link_limits(&mut self) {
        let limit = self.settings.link_sendbuf_limit;
        if limit == 0 {
            return;
        }
        let mut waiting: BTreeMap<BusLink, u64> =
            self.links.iter().map(|(id, link)| (*id, link.unsent)).collect();
        for (id, bytes) in &self.outbox {
            *waiting.entry(*id).or_default() += bytes.len() as u64;
        }
        for (id, bytes) in waiting.into_iter().filter(|(_, bytes)| *bytes > limit) {
            let Some(link) = self.links.get(&id) else { continue };
            let direction = if link.is_inbound { "from" } else { "to" };
            let node = link.node.map_or_else(String::new, |at| self.name(at));
            let text = format!(
                "Freeing cluster link({direction} node {node}, used memory: {bytes}) due to exceeding send buffer memory limit."
            );
            self.stats.links_over_limit += 1;
            self.log(Level::Warning, text);
            self.close_link(id);
        }
    }

    /// What a message says of this node.
    pub(super) fn header(&self) -> Box<Header> {
        let me = self.topology.myself();
        let owner = self.topology.node(self.topology.primary_of(self.topology.me()));
        let (tcp, tls) = (self.settings.port, self.settings.tls_port);
        let (port, other_port) = if self.settings.tls { (tls, tcp) } else { (tcp, tls) };
        Box::new(Header {
            sender: me.id,
            current_epoch: self.topology.current_epoch,
            config_epoch: owner.config_epoch,
            offset: self.local.offset,
            slots: owner.slots().clone(),
            primary: me.primary().map(|at| self.topology.node(at).id),
            ip: self.settings.announce_ip.clone(),
            port,
            other_port,
            bus_port: self.settings.bus_port,
            flags: me.flags,
            is_ok: self.state.is_ok,
            message_flags: if self.is_pausing() { super::message_flag::PAUSED } else { 0 },
        })
    }

    /// Sends a message on a link, if that is still there.
    pub(super) fn send(&mut self, link: BusLink, header: Option<Box<Header>>, body: Body) {
        let message = Message { header, body };
        let bytes = wire::encode(&message);
        self.send_encoded(link, &message.body, &bytes);
    }

    /// Sends a message that is sent on several links.
    pub(super) fn send_encoded(&mut self, link: BusLink, body: &Body, bytes: &Encoded) {
        if self.links.get(&link).is_some_and(|link| link.is_connected) {
            self.stats.count_sent(body, bytes.len());
            self.outbox.push((link, Arc::clone(bytes)));
        }
    }

    /// Sends a message with the full header to a node, if there is a link to it.
    pub(super) fn send_to(&mut self, at: NodeRef, body: Body) {
        if let Some(link) = self.topology.node(at).link {
            let header = self.header();
            self.send(link, Some(header), body);
        }
    }

    /// Answers a node, if need be on the link that it has opened: to one that has just come back there may be no other yet.
    pub(super) fn answer(&mut self, at: NodeRef, body: Body) {
        let node = self.topology.node(at);
        let is_open = |link: &BusLink| self.links.get(link).is_some_and(|link| link.is_connected);
        if let Some(link) = [node.link, node.inbound].into_iter().flatten().find(is_open) {
            let header = self.header();
            self.send(link, Some(header), body);
        }
    }

    /// Sends a message to all nodes there are links to, but those in a handshake.
    pub(super) fn broadcast(&mut self, header: Box<Header>, body: Body) {
        let message = Message { header: Some(header), body };
        let bytes = wire::encode(&message);
        let nodes = self.topology.by_place().filter(|(_, node)| !node.is(flag::MYSELF | flag::HANDSHAKE));
        for link in nodes.filter_map(|(_, node)| node.link).collect::<Vec<_>>() {
            self.send_encoded(link, &message.body, &bytes);
        }
    }

    /// Hands over what is to be sent, once it may be.
    pub(super) fn flush_outbox(&mut self) {
        for (link, bytes) in std::mem::take(&mut self.outbox) {
            if let Some(found) = self.links.get_mut(&link) {
                found.unsent += bytes.len() as u64;
                self.push(Action::Send { link, bytes });
            }
        }
    }

    /// Whether a message on an inbound link is from the node whose link it was so far. What an outbound link leads to is looked at when
    /// that answers.
    pub(super) fn is_from_its_node(&self, link: BusLink, id: NodeId) -> bool {
        let bound = self.links.get(&link).filter(|link| link.is_inbound).and_then(|link| link.node);
        bound.map(|at| self.topology.node(at)).is_none_or(|node| node.is(flag::HANDSHAKE) || node.id == id)
    }

    /// The node that a message on a link is from: that of the link, or of its name while the link's node is in a handshake, or isn't
    /// known (an inbound link is that node's from now on).
    pub(super) fn sender_on(&mut self, link: BusLink, id: NodeId) -> Option<NodeRef> {
        let of_link = self.links.get(&link)?.node;
        if let Some(at) = of_link.filter(|at| !self.topology.node(*at).is(flag::HANDSHAKE)) {
            return Some(at);
        }
        let at = self.topology.find(id).filter(|at| *at != self.topology.me())?;
        if of_link.is_none() {
            self.bind_link(link, at);
        }
        Some(at)
    }
}
