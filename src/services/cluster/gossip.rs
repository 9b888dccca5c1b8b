//! The gossip section: what a node says of others (`clusterProcessGossipSection`).

use super::Cluster;
use super::Level;
use super::address::Address;
use super::ids::NodeRef;
use super::message::Gossip;
use super::node::{Node, flag};

/// How far in the future a PONG may have been received, by this node's clock, ms.
const CLOCK_TOLERANCE: u64 = 500;
/// The most nodes that others have told of and that have not been heard from yet.
const MAX_HEARSAY: usize = 8192;

impl Cluster {
    /// Handles what a known node, or one that sent a MEET, says of others.
    pub(super) fn process_gossip(&mut self, sender: Option<NodeRef>, gossip: &[Gossip]) {
        let Some(sender) = sender else { return };
        for entry in gossip {
            match self.topology.find(entry.id) {
                Some(at) if at == self.topology.me() => {}
                Some(at) => self.note_gossip(sender, at, entry),
                None => self.add_from_gossip(entry),
            }
        }
    }

    fn note_gossip(&mut self, sender: NodeRef, at: NodeRef, entry: &Gossip) {
        let is_down = entry.flags & (flag::FAIL | flag::PFAIL) != 0;
        if is_down {
            if self.topology.node(sender).is_voter() && self.add_fail_report(at, sender) {
                let text =
                    format!("Node {} reported node {} as not reachable.", self.name(sender), self.name(at));
                self.log(Level::Verbose, text);
            }
            self.mark_failed_if_agreed(at);
            return;
        }
        if self.remove_fail_report(at, sender) {
            let text = format!("Node {} reported node {} is back online.", self.name(sender), self.name(at));
            self.log(Level::Verbose, text);
        }
        let node = self.topology.node(at);
        if node.is(flag::FAIL | flag::PFAIL) {
            return self.note_other_address(at, entry);
        }
        // A node that others hear from isn't pinged as often.
        let pong = u64::from(entry.pong_received) * 1000;
        if pong > node.pong_received
            && pong <= self.now + CLOCK_TOLERANCE
            && node.is_normal()
            && node.ping_sent == 0
            && self.fail_reports(at) == 0
        {
            self.topology.node_mut(at).pong_received = pong;
        }
    }

    /// A node that can't be reached is found elsewhere by one that reaches it.
    fn note_other_address(&mut self, at: NodeRef, entry: &Gossip) {
        if entry.flags & flag::NOADDR != 0 || entry.ip.is_empty() {
            return;
        }
        let ports = [entry.port, entry.other_port, entry.bus_port];
        let address = Address::of_message(&self.settings, entry.ip.clone(), ports);
        if !address.is_of(self.topology.node(at)) {
            self.set_address(at, address);
        }
    }

    /// Adds a node that a known one tells of.
    fn add_from_gossip(&mut self, entry: &Gossip) {
        let is_hidden = entry.flags & (flag::NOADDR | flag::HANDSHAKE) != 0;
        if is_hidden || entry.ip.is_empty() || self.blacklist.contains(self.now, entry.id) {
            return;
        }
        let hearsay = self.topology.by_place().filter(|(_, node)| node.data_received == 0).count();
        if hearsay >= MAX_HEARSAY {
            return;
        }
        let role = if entry.flags & flag::REPLICA != 0 { flag::REPLICA } else { flag::PRIMARY };
        let known =
            flag::FAIL | flag::NOFAILOVER | flag::EXTENSIONS | flag::LIGHT_PUBLISH | flag::LIGHT_MODULE;
        let shard = super::random_id(&mut self.rng);
        let mut node = Node::new(entry.id, shard, role | entry.flags & known, self.now);
        if node.is(flag::FAIL) {
            node.failed_at = self.now;
        }
        let ports = [entry.port, entry.other_port, entry.bus_port];
        Address::of_message(&self.settings, entry.ip.clone(), ports).assign_to(&mut node);
        if self.topology.add(node).is_some() {
            self.todo.save();
        }
    }
}
