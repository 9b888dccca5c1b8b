//! Messages that come in (`clusterProcessPacket`).

use super::ids::{BusLink, NodeId, NodeRef};
use super::message::{Body, Extensions, Gossip, Header, Message, PingKind, message_flag};
use super::node::{Node, flag};
use super::{Action, Cluster, Level};

/// Flags that a node says of itself with each message.
const SELF_REPORTED: u16 =
    flag::LIGHT_PUBLISH | flag::LIGHT_MODULE | flag::MY_PRIMARY_FAIL | flag::BOTH_FAMILIES;
/// The most nodes in handshakes at a time.
const MAX_HANDSHAKES: usize = 4096;

impl Cluster {
    /// Handles a message. The link may be closed by it.
    pub(super) fn process(&mut self, link: BusLink, message: Message) {
        let Message { header, body } = message;
        let Some(header) = header else { return self.process_light(link, body) };
        if !self.is_from_its_node(link, header.sender) {
            let text = format!("Closing a link on which another node speaks now: {}", header.sender);
            self.log(Level::Notice, text);
            return self.close_link(link);
        }
        let sender = self.sender_on(link, header.sender);
        self.note_extensions(link, &header);
        if let Some(at) = sender {
            self.note_sender(at, &header);
        }
        match (body, sender) {
            (Body::Ping { kind, gossip, extensions }, _) => {
                self.on_ping(link, sender, &header, kind, (gossip, extensions));
            }
            (Body::Fail(id), Some(_)) => self.on_fail(&header, id),
            (Body::Fail(id), None) => {
                let text = format!("Ignoring FAIL message from unknown node {} about {id}", header.sender);
                self.log(Level::Notice, text);
            }
            (_, None) | (Body::Module, _) => {}
            (Body::Publish { channel, message, sharded }, Some(_)) => {
                self.push(Action::Publish { channel, message, sharded });
            }
            (Body::AuthRequest, Some(at)) => self.on_auth_request(at, &header),
            (Body::AuthAck, Some(at)) => self.on_vote(at, &header),
            (Body::ManualFailoverStart, Some(at)) => self.on_manual_failover_start(link, at),
            (Body::Update { config_epoch, node, slots }, Some(at)) => {
                self.on_update(at, node, config_epoch, &slots)
            }
        }
    }

    /// Handles a message without a sender: it must be on the link of a known node.
    fn process_light(&mut self, link: BusLink, body: Body) {
        let of_link = self.links.get(&link).and_then(|link| link.node);
        let Some(at) = of_link.filter(|at| !self.topology.node(*at).is(flag::HANDSHAKE)) else {
            let text = "Closing a link whose first message is a light one".to_string();
            self.log(Level::Notice, text);
            return self.close_link(link);
        };
        self.topology.node_mut(at).data_received = self.now;
        if let Body::Publish { channel, message, sharded } = body {
            self.push(Action::Publish { channel, message, sharded });
        }
    }

    fn note_extensions(&mut self, link: BusLink, header: &Header) {
        if header.message_flags & message_flag::EXTENSIONS != 0
            && let Some(found) = self.links.get_mut(&link)
        {
            found.knows_extensions = true;
        }
    }

    /// What each message says of a known sender: abilities, epochs, replication offset.
    fn note_sender(&mut self, at: NodeRef, header: &Header) {
        let now = self.now;
        let node = self.topology.node_mut(at);
        node.flags = node.flags & !SELF_REPORTED | header.flags & SELF_REPORTED;
        if header.message_flags & message_flag::EXTENSIONS != 0 {
            node.set(flag::EXTENSIONS, true);
        }
        node.data_received = now;
        if node.is(flag::HANDSHAKE) {
            return;
        }
        (node.repl_offset, node.repl_offset_at) = (header.offset, now);
        let is_newer = header.primary.is_none() && header.config_epoch > node.config_epoch;
        if is_newer {
            node.config_epoch = header.config_epoch;
        }
        self.topology.current_epoch = self.topology.current_epoch.max(header.current_epoch);
        if is_newer {
            self.todo.save_durably();
            self.reset_outdated_election(at);
        }
        if header.message_flags & message_flag::PAUSED != 0 {
            self.on_paused_offset(at, header.offset);
        }
    }

    fn on_ping(
        &mut self,
        link: BusLink,
        sender: Option<NodeRef>,
        header: &Header,
        kind: PingKind,
        (gossip, extensions): (Vec<Gossip>, Extensions),
    ) {
        if kind != PingKind::Pong {
            self.learn_own_address(link, kind);
            if kind == PingKind::Meet {
                self.on_meet(link, sender, header, &gossip);
            }
            self.send_ping(link, PingKind::Pong);
        }
        if let Some(at) = sender
            && self.topology.node(at).is(flag::MEET)
        {
            self.topology.node_mut(at).set(flag::MEET, false);
            let text = format!("Successfully completed handshake with {}", self.name(at));
            self.log(Level::Notice, text);
        }
        if !self.identify_peer(link, sender, header) {
            return;
        }
        let Some(at) = sender else { return self.on_answer(link, kind) };
        let can_fail_over = header.flags & flag::NOFAILOVER == 0;
        if self.topology.node(at).is(flag::NOFAILOVER) == can_fail_over {
            self.topology.node_mut(at).set(flag::NOFAILOVER, !can_fail_over);
            self.todo.save();
        }
        let is_in_handshake = self.topology.node(at).is(flag::HANDSHAKE);
        if kind == PingKind::Ping && !is_in_handshake && self.update_address(at, link, header) {
            self.todo.save_and_update();
        }
        self.on_answer(link, kind);
        let was_replica = self.topology.node(at).is_replica();
        if !self.update_role(at, header) {
            return;
        }
        self.check_claimed_slots(at, header, was_replica);
        self.check_epoch_collision(at, header.config_epoch);
        self.process_gossip(Some(at), &gossip);
        self.process_extensions(at, extensions);
    }

    /// This node's own address is the one that others reach it at, unless another one is announced.
    fn learn_own_address(&mut self, link: BusLink, kind: PingKind) {
        let me = self.topology.myself();
        if !self.settings.announce_ip.is_empty() || (kind != PingKind::Meet && !me.ip.is_empty()) {
            return;
        }
        let Some(found) = self.links.get(&link).filter(|link| !link.local_ip.is_empty()) else { return };
        if found.local_ip == me.ip {
            return;
        }
        let ip = found.local_ip.clone();
        self.log(Level::Notice, format!("IP address for this node updated to {ip}"));
        self.topology.myself_mut().ip = ip;
        self.todo.save();
    }

    /// Another node wants this one in its cluster.
    fn on_meet(&mut self, link: BusLink, sender: Option<NodeRef>, header: &Header, gossip: &[Gossip]) {
        let Some(at) = sender else {
            if self.links.get(&link).is_some_and(|link| link.node.is_none()) {
                self.add_met_node(link, header);
            }
            let of_link = self.links.get(&link).and_then(|link| link.node);
            return self.process_gossip(of_link, gossip);
        };
        // A node that is known well takes this one for unknown: a new link shows that it isn't.
        if let Some(outbound) = self.topology.node(at).link
            && outbound != link
            && self.is_past_handshake(at)
        {
            let text = format!(
                "Freeing outbound link to node {} after receiving a MEET packet from this known node",
                self.name(at)
            );
            self.log(Level::Notice, text);
            self.close_link(outbound);
        }
    }

    fn add_met_node(&mut self, link: BusLink, header: &Header) {
        let Some(address) = self.address_of_sender(link, header) else { return };
        let id = super::random_id(&mut self.rng);
        let shard = super::random_id(&mut self.rng);
        let mut node = Node::new(id, shard, flag::HANDSHAKE, self.now);
        node.set(flag::EXTENSIONS, header.message_flags & message_flag::EXTENSIONS != 0);
        address.assign_to(&mut node);
        if let Some(at) = self.add_handshake(node) {
            self.bind_link(link, at);
            self.todo.save();
        }
    }

    /// Adds a node whose name isn't known yet, unless there are too many such.
    pub(super) fn add_handshake(&mut self, node: Node) -> Option<NodeRef> {
        let handshakes = self.topology.by_place().filter(|(_, node)| node.is(flag::HANDSHAKE)).count();
        if handshakes >= MAX_HANDSHAKES { None } else { self.topology.add(node) }
    }

    /// Compares the node that an outbound link leads to with the sender of a message on it: a handshake ends; a node that is
    /// another one now has no address any more. False: the message isn't handled further.
    fn identify_peer(&mut self, link: BusLink, sender: Option<NodeRef>, header: &Header) -> bool {
        let Some(found) = self.links.get(&link) else { return false };
        let (false, Some(at)) = (found.is_inbound, found.node) else { return true };
        if self.topology.node(at).is(flag::HANDSHAKE) {
            return self.end_handshake(link, at, sender, header);
        }
        if self.topology.node(at).id == header.sender {
            return true;
        }
        let text = format!("PONG contains mismatching sender ID. About node {}", self.name_in_shard(at));
        self.log(Level::Notice, text);
        self.close_link(link);
        let node = self.topology.node_mut(at);
        node.set(flag::NOADDR, true);
        super::address::Address { ip: String::new(), tcp_port: 0, tls_port: 0, bus_port: 0 }.assign_to(node);
        if !node.is(flag::FAIL) {
            self.mark_failed(at);
            self.broadcast_fail(at);
        }
        self.todo.save_and_update();
        false
    }

    fn end_handshake(
        &mut self,
        link: BusLink,
        at: NodeRef,
        sender: Option<NodeRef>,
        header: &Header,
    ) -> bool {
        if let Some(known) = sender {
            let text = format!(
                "Handshake: we already know node {}, updating the address if needed.",
                self.name(known)
            );
            self.log(Level::Verbose, text);
            if self.update_address(known, link, header) {
                self.todo.save_and_update();
            }
            self.remove_node(at);
            return false;
        }
        // A node that has connected to itself, or whose name is that of a forgotten one's handshake.
        if !self.topology.rename(at, header.sender) {
            self.remove_node(at);
            return false;
        }
        let role = if header.primary.is_none() { flag::PRIMARY } else { flag::REPLICA };
        let node = self.topology.node_mut(at);
        node.set(flag::HANDSHAKE, false);
        node.set(role, true);
        self.todo.save();
        self.log(Level::Debug, format!("Handshake with node {} completed.", header.sender));
        true
    }

    /// A PONG on an outbound link: the node works.
    fn on_answer(&mut self, link: BusLink, kind: PingKind) {
        let Some(found) = self.links.get(&link) else { return };
        let (PingKind::Pong, false, Some(at)) = (kind, found.is_inbound, found.node) else { return };
        let now = self.now;
        let node = self.topology.node_mut(at);
        (node.pong_received, node.ping_sent) = (now, 0);
        if node.is(flag::PFAIL) {
            node.set(flag::PFAIL, false);
            self.todo.save_and_update();
        } else if node.is(flag::FAIL) {
            self.clear_failure(at);
        }
    }

    fn on_fail(&mut self, header: &Header, id: NodeId) {
        let Some(failing) = self.topology.find(id) else { return };
        if self.topology.node(failing).is(flag::FAIL | flag::MYSELF) {
            return;
        }
        let text = format!("FAIL message received from {} about {}", header.sender, self.name(failing));
        self.log(Level::Notice, text);
        self.mark_failed(failing);
    }
}
