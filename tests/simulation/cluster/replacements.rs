//! Nodes that have lost `nodes.conf`: each is another one now, and what the others knew is without a node. What an operator does then:
//! waits for a replica to take over or has one do it, FORGETs the old name, MEETs the new one and makes it a replica; slots of which
//! nothing is left are given away empty.

use redloop::services::cluster::{NodeId, flag};

use super::world::ClusterWorld;
use crate::node::PORT;

/// How often the operator looks until a replica is told to take over without a majority.
const PATIENT_LOOKS: u32 = 40;

impl ClusterWorld {
    /// One step of the above; whether there was any. All nodes are up.
    pub fn replace_lost(&mut self) -> bool {
        if !self.places.iter().any(|place| place.is_stranger) {
            return false;
        }
        let ids: Vec<Option<NodeId>> = self.views().iter().map(|view| Some(view.as_ref()?.id)).collect();
        // One that loads its data refuses most of what it is asked for.
        let loads = |number: usize| {
            let node = self.places[number].node.as_ref();
            node.is_some_and(|node| node.engine.persistence.loading.is_some())
        };
        if ids.contains(&None) || (0..self.places.len()).any(loads) {
            return true;
        }
        let Some(member) = (0..self.places.len()).find(|number| !self.places[*number].is_stranger) else {
            panic!("all nodes have lost their disks");
        };
        for number in 0..self.places.len() {
            if let Some((id, has_slots)) = self.known_without_a_node(number, &ids) {
                let is_left = has_slots && self.wait_for_heir(id);
                if !is_left {
                    self.forget(id);
                    self.give_free_slots();
                }
                return true;
            }
        }
        for number in 0..self.places.len() {
            if self.places[number].is_stranger {
                self.make_replica(number, member, &ids);
                return true;
            }
        }
        false
    }

    /// A name that a node knows and that no node has; whether it has slots.
    fn known_without_a_node(&self, number: usize, ids: &[Option<NodeId>]) -> Option<(NodeId, bool)> {
        let node = self.places[number].node.as_ref()?;
        let topology = &node.engine.cluster.as_ref()?.service.topology;
        let mut others = topology.iter().filter(|(_, node)| !node.is(flag::HANDSHAKE));
        let (_, gone) = others.find(|(_, node)| !ids.contains(&Some(node.id)))?;
        Some((gone.id, !gone.slots().is_empty()))
    }

    /// Whether there is a replica of a node that is gone: it takes over, if need be because it is told to.
    fn wait_for_heir(&mut self, gone: NodeId) -> bool {
        let views = self.views();
        let is_heir = |number: &usize| views[*number].as_ref().is_some_and(|view| view.primary == Some(gone));
        let offset = |number: &usize| {
            let node = self.places[*number].node.as_ref();
            node.map_or(0, |node| node.engine.backlog().end())
        };
        let Some(heir) = (0..views.len()).filter(is_heir).max_by_key(offset) else { return false };
        self.waited_looks += 1;
        if self.waited_looks > PATIENT_LOOKS {
            self.waited_looks = 0;
            // That takes an epoch without asking a majority.
            self.has_moved_slots = true;
            self.command(heir, &["CLUSTER", "FAILOVER", "TAKEOVER"]);
        }
        true
    }

    fn forget(&mut self, gone: NodeId) {
        for number in 0..self.places.len() {
            self.command(number, &["CLUSTER", "FORGET", &gone.to_string()]);
        }
    }

    /// Gives slots without a node to one, with no data.
    fn give_free_slots(&mut self) {
        let views = self.views();
        let is_served =
            |slot: u16| views.iter().flatten().any(|view| view.is_primary && view.slots.contains(slot));
        let mut words: Vec<String> = ["CLUSTER", "ADDSLOTS"].map(String::from).to_vec();
        let free: Vec<u16> = (0..16384).filter(|slot| !is_served(*slot)).collect();
        if free.is_empty() {
            return;
        }
        let is_primary = |number: &usize| views[*number].as_ref().is_some_and(|view| view.is_primary);
        let mut members = (0..views.len()).filter(|number| !self.places[*number].is_stranger);
        let Some(primary) = members.find(is_primary) else { return };
        words.extend(free.iter().map(u16::to_string));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let reply = self.places[primary].node.as_mut().map(|node| node.command(&words)).unwrap_or_default();
        self.places[primary].has_acted = true;
        self.note(format!("{primary} is given {} slots that are lost -> {}", free.len(), reply.trim_end()));
        if !reply.starts_with("+OK") {
            return;
        }
        self.figures.lost_shards += 1;
        self.has_moved_slots = true;
        for key in self.keys.iter_mut().filter(|key| free.contains(&key.slot)) {
            key.holders.clear();
            (key.owner, key.epoch) = (None, 0);
        }
    }

    /// MEET, and REPLICATE of the primary with the fewest replicas.
    fn make_replica(&mut self, number: usize, member: usize, ids: &[Option<NodeId>]) {
        let Some(own) = ids[number] else { return };
        let mut members = (0..self.places.len()).filter(|other| !self.places[*other].is_stranger);
        let is_known = members.all(|other| self.knows(other, own));
        if !is_known {
            let port = (usize::from(PORT) + number).to_string();
            self.command(member, &["CLUSTER", "MEET", &format!("10.0.0.{}", number + 1), &port]);
            return;
        }
        let views = self.views();
        let replicas = |id: NodeId| views.iter().flatten().filter(|view| view.primary == Some(id)).count();
        let primaries = views.iter().flatten().filter(|view| view.is_primary && !view.slots.is_empty());
        let Some(primary) = primaries.map(|view| view.id).min_by_key(|id| (replicas(*id), *id)) else {
            return;
        };
        if self.command(number, &["CLUSTER", "REPLICATE", &primary.to_string()]).starts_with("+OK") {
            self.places[number].is_stranger = false;
            self.figures.replaced += 1;
        }
    }

    fn knows(&self, number: usize, id: NodeId) -> bool {
        let mode = self.places[number].node.as_ref().and_then(|node| node.engine.cluster.as_ref());
        let topology = mode.map(|mode| &mode.service.topology);
        topology.is_some_and(|topology| {
            topology.find(id).is_some_and(|at| !topology.node(at).is(flag::HANDSHAKE))
        })
    }
}
