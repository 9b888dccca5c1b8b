//! Cluster mode: the service's timer, its links, and what it wants of the rest of the server (replication, keys, subscriptions,
//! pauses, `nodes.conf`). Where a request is served is in `route.rs`.

use std::collections::BTreeMap;

use super::Engine;
use crate::base::ids::LinkId;
use crate::base::slot_set::SlotSet;
use crate::services::cluster::{BusLink, Cluster};

/// The engine's part of cluster mode.
pub struct ClusterMode {
    pub service: Cluster,
    /// Slots whose requests run here without a further look: this node's, none of which is moving, while the cluster is in order.
    served: SlotSet,
    links: BTreeMap<BusLink, LinkId>,
    bus_links: BTreeMap<LinkId, BusLink>,
    /// When the service's timer is due, Unix ms.
    next_tick_ms: u64,
    /// `nodes.conf` is being written, and what follows waits for it.
    is_saving: bool,
}

impl ClusterMode {
    fn new(service: Cluster, now: u64) -> Self {
        ClusterMode {
            service,
            served: SlotSet::new(),
            links: BTreeMap::new(),
            bus_links: BTreeMap::new(),
            next_tick_ms: now,
            is_saving: false,
        }
    }
}

impl Engine {
    /// Makes this engine one of a cluster's node; the service has read its configuration.
    pub fn enter_cluster_mode(&mut self, service: Cluster) {
        self.cluster = Some(Box::new(ClusterMode::new(service, self.frame.now)));
    }

    /// Whether this server is a node of a cluster.
    #[inline]
    pub fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// To be called after each call into the service: does what it wants, or has the server do it.
    pub fn carry_out_cluster_actions(&mut self) {}
}
