//! Reports: what CLUSTER INFO, NODES, SLOTS, SHARDS, LINKS and REPLICAS tell, before it is written as a reply.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::control::ControlError;
use super::describe::Viewer;
use super::ids::{NodeId, NodeRef};
use super::links::Link;
use super::node::{Node, flag};
use super::stats::MESSAGE_TYPES;
use super::{BusLink, Cluster};
use crate::base::crc::SLOTS;
use crate::base::slot_set::SlotSet;

/// The nodes with one shard id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: NodeId,
    pub slots: SlotSet,
    pub nodes: Vec<NodeRef>,
}

/// How a node is doing, as CLUSTER SHARDS says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Online,
    /// A replica that has no data yet.
    Loading,
    Fail,
}

impl Cluster {
    /// The lines of all nodes for a client.
    pub fn nodes_text(&self, viewer: Viewer) -> String {
        self.topology.refs().into_iter().map(|at| self.topology.node_line(at, Some(viewer)) + "\n").collect()
    }

    /// The lines of a primary's replicas.
    pub fn replica_lines(&self, name: &[u8], viewer: Viewer) -> Result<Vec<String>, ControlError> {
        let node = self.topology.node(self.find_named(name)?);
        if node.is_replica() {
            return Err(ControlError::NotAPrimary);
        }
        Ok(node.replicas().iter().map(|at| self.topology.node_line(*at, Some(viewer))).collect())
    }

    /// The slots that are served, those side by side with one owner as one range, in order.
    pub fn slot_ranges(&self) -> Vec<(RangeInclusive<u16>, NodeRef)> {
        let mut ranges: Vec<(RangeInclusive<u16>, NodeRef)> = Vec::new();
        for slot in 0..SLOTS {
            let Some(owner) = self.topology.owner(slot) else { continue };
            match ranges.last_mut() {
                Some((range, before)) if *before == owner && *range.end() + 1 == slot => {
                    *range = *range.start()..=slot;
                }
                _ => ranges.push((slot..=slot, owner)),
            }
        }
        ranges
    }

    /// The shards, in the order of their names, with the slots of a node's primary that hasn't failed.
    pub fn shards(&self) -> Vec<Shard> {
        let mut shards: BTreeMap<NodeId, Vec<NodeRef>> = BTreeMap::new();
        for (at, node) in self.topology.iter() {
            shards.entry(node.shard).or_default().push(at);
        }
        let slots_of = |nodes: &[NodeRef]| {
            let working = nodes.iter().find(|at| !self.topology.node(**at).is(flag::FAIL));
            working
                .map(|at| self.topology.node(self.topology.primary_of(*at)).slots().clone())
                .unwrap_or_default()
        };
        shards.into_iter().map(|(id, nodes)| Shard { id, slots: slots_of(&nodes), nodes }).collect()
    }

    /// How far a node is with its replication stream, as far as it has said so.
    pub fn offset_of(&self, at: NodeRef) -> u64 {
        if at == self.topology.me() { self.local.offset } else { self.topology.node(at).repl_offset }
    }

    pub fn health_of(&self, at: NodeRef) -> Health {
        let node = self.topology.node(at);
        match () {
            () if node.is(flag::FAIL) => Health::Fail,
            () if node.is_replica() && self.offset_of(at) == 0 => Health::Loading,
            () => Health::Online,
        }
    }

    /// A primary's replicas that clients can read from.
    pub fn readable_replicas(&self, primary: NodeRef) -> Vec<NodeRef> {
        let replicas = self.topology.node(primary).replicas().iter();
        replicas.copied().filter(|at| self.health_of(*at) == Health::Online).collect()
    }

    /// The links of known nodes, in the order of the nodes' names.
    pub fn links_of_nodes(&self) -> Vec<(&Node, &Link)> {
        let links: BTreeMap<BusLink, &Link> = self.links().collect();
        let of_node = |node: &Node| [node.link, node.inbound].into_iter().flatten().collect::<Vec<_>>();
        let nodes = self.topology.iter().map(|(_, node)| node);
        nodes
            .flat_map(|node| of_node(node).into_iter().map(move |link| (node, link)))
            .filter_map(|(node, link)| links.get(&link).map(|link| (node, *link)))
            .collect()
    }

    /// The text of CLUSTER INFO: what Redis's has and what Valkey's has.
    pub fn info_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: u64| {
            let _ = write!(text, "{name}:{value}\r\n");
        };
        let count =
            |test: &dyn Fn(&Node) -> bool| self.topology.iter().filter(|(_, node)| test(node)).count() as u64;
        let slots = |test: &dyn Fn(&Node) -> bool| -> u64 {
            self.topology
                .iter()
                .filter(|(_, node)| test(node))
                .map(|(_, node)| node.slot_count() as u64)
                .sum()
        };
        let failed = |node: &Node| node.is(flag::FAIL);
        let suspected = |node: &Node| node.is(flag::PFAIL);
        line("cluster_slots_assigned", slots(&|_| true));
        line("cluster_slots_ok", slots(&|node| !failed(node) && !suspected(node)));
        line("cluster_slots_pfail", slots(&|node| suspected(node) && !failed(node)));
        line("cluster_slots_fail", slots(&failed));
        line("cluster_nodes_pfail", count(&suspected));
        line("cluster_nodes_fail", count(&failed));
        line("cluster_voting_nodes_pfail", count(&|node| node.is_voter() && suspected(node)));
        line("cluster_voting_nodes_fail", count(&|node| node.is_voter() && failed(node)));
        line("cluster_known_nodes", self.topology.len() as u64);
        line("cluster_size", self.topology.size() as u64);
        line("cluster_current_epoch", self.topology.current_epoch);
        line("cluster_my_epoch", self.topology.epoch_of(self.topology.me()));
        let state = if self.is_ok() { "ok" } else { "fail" };
        format!("cluster_state:{state}\r\n{text}{}", self.bus_text())
    }

    /// The statistics of the bus.
    fn bus_text(&self) -> String {
        let mut text = String::new();
        let stats = &self.stats;
        for (direction, counts) in [("sent", &stats.sent), ("received", &stats.received)] {
            for (name, count) in MESSAGE_TYPES.iter().zip(counts).filter(|(_, count)| **count > 0) {
                let _ = write!(text, "cluster_stats_messages_{name}_{direction}:{count}\r\n");
            }
            let sum: u64 = counts.iter().sum();
            let _ = write!(text, "cluster_stats_messages_{direction}:{sum}\r\n");
        }
        for (name, bytes) in
            [("", stats.bytes), ("pubsub_", stats.pubsub_bytes), ("module_", stats.module_bytes)]
        {
            let _ = write!(text, "cluster_stats_{name}bytes_sent:{}\r\n", bytes.sent);
            let _ = write!(text, "cluster_stats_{name}bytes_received:{}\r\n", bytes.received);
        }
        let _ = write!(text, "total_cluster_links_buffer_limit_exceeded:{}\r\n", stats.links_over_limit);
        text
    }
}
