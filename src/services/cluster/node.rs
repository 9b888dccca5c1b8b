//! Node (`clusterNode`): what is known of one node of the cluster.

use super::ids::{BusLink, NodeId, NodeRef};
use crate::base::slot_set::SlotSet;

/// A node's flags, as in the messages of the bus (`CLUSTER_NODE_*`).
pub mod flag {
    pub const PRIMARY: u16 = 1;
    pub const REPLICA: u16 = 1 << 1;
    /// This node suspects it.
    pub const PFAIL: u16 = 1 << 2;
    /// A majority of the primaries does.
    pub const FAIL: u16 = 1 << 3;
    pub const MYSELF: u16 = 1 << 4;
    /// Its first PONG is still to come; its name is one of this node's making.
    pub const HANDSHAKE: u16 = 1 << 5;
    pub const NOADDR: u16 = 1 << 6;
    /// It is to be sent a MEET.
    pub const MEET: u16 = 1 << 7;
    /// A primary that had replicas: one without any may get one (replica migration).
    pub const MIGRATE_TO: u16 = 1 << 8;
    /// A replica that doesn't take over (`cluster-replica-no-failover`).
    pub const NOFAILOVER: u16 = 1 << 9;
    pub const EXTENSIONS: u16 = 1 << 10;
    /// Valkey: understands PUBLISH with the light header.
    pub const LIGHT_PUBLISH: u16 = 1 << 11;
    /// Valkey: understands MODULE with the light header, and several MEETs.
    pub const LIGHT_MODULE: u16 = 1 << 12;
    /// This server: tells the extensions of Redis and of Valkey apart. The others pass it over.
    pub const BOTH_FAMILIES: u16 = 1 << 15;
    /// Valkey: a replica whose primary has failed in its own view.
    pub const MY_PRIMARY_FAIL: u16 = 1 << 13;
}

/// What other addresses a node is announced under, and how it is called by people (ping extensions).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    pub hostname: String,
    pub human_name: String,
    /// Valkey's extensions, which Redis doesn't have.
    pub availability_zone: String,
    pub client_ipv4: String,
    pub client_ipv6: String,
    pub client_port: u16,
    pub client_tls_port: u16,
}

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub shard: NodeId,
    /// Of [`flag`].
    pub flags: u16,
    pub config_epoch: u64,
    /// The slots that it serves; [`super::topology::Topology`] keeps them and the owners of slots equal.
    pub(super) slots: SlotSet,
    pub(super) slot_count: u16,
    pub(super) primary: Option<NodeRef>,
    pub(super) replicas: Vec<NodeRef>,
    /// Empty if it isn't known.
    pub ip: String,
    /// Ports of clients; 0: none.
    pub tcp_port: u16,
    pub tls_port: u16,
    pub bus_port: u16,
    pub announced: Announced,
    /// Times in Unix ms; 0: never.
    pub created: u64,
    pub ping_sent: u64,
    pub pong_received: u64,
    pub data_received: u64,
    pub meet_sent: u64,
    pub failed_at: u64,
    /// Since when it is a primary with slots and without a working replica.
    pub orphaned_since: u64,
    pub repl_offset: u64,
    pub repl_offset_at: u64,
    /// When the last outbound link was opened, and the last inbound one ended.
    pub link_tried_at: u64,
    pub inbound_lost_at: u64,
    pub link: Option<BusLink>,
    pub inbound: Option<BusLink>,
    /// Which primaries have reported it as failing, in the order of their places, and when.
    pub(super) fail_reports: Vec<(NodeRef, u64)>,
}

impl Node {
    pub fn new(id: NodeId, shard: NodeId, flags: u16, now: u64) -> Self {
        Node {
            id,
            shard,
            flags,
            config_epoch: 0,
            slots: SlotSet::new(),
            slot_count: 0,
            primary: None,
            replicas: Vec::new(),
            ip: String::new(),
            tcp_port: 0,
            tls_port: 0,
            bus_port: 0,
            announced: Announced::default(),
            created: now,
            ping_sent: 0,
            pong_received: 0,
            data_received: 0,
            meet_sent: 0,
            failed_at: 0,
            orphaned_since: 0,
            repl_offset: 0,
            repl_offset_at: 0,
            link_tried_at: 0,
            inbound_lost_at: now,
            link: None,
            inbound: None,
            fail_reports: Vec::new(),
        }
    }

    /// Whether it has one of these flags.
    #[inline]
    pub fn is(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    pub fn set(&mut self, flags: u16, on: bool) {
        if on { self.flags |= flags } else { self.flags &= !flags }
    }

    pub fn is_primary(&self) -> bool {
        self.is(flag::PRIMARY)
    }

    pub fn is_replica(&self) -> bool {
        self.is(flag::REPLICA)
    }

    /// A primary with slots: its vote counts.
    pub fn is_voter(&self) -> bool {
        self.is_primary() && self.slot_count > 0
    }

    /// It is neither in a handshake nor suspected nor failed, and its address is known.
    pub fn is_normal(&self) -> bool {
        !self.is(flag::HANDSHAKE | flag::MYSELF | flag::NOADDR | flag::PFAIL | flag::FAIL)
    }

    pub fn slots(&self) -> &SlotSet {
        &self.slots
    }

    pub fn slot_count(&self) -> usize {
        usize::from(self.slot_count)
    }

    /// Its primary; `None` for a primary, and for a replica whose primary isn't known.
    pub fn primary(&self) -> Option<NodeRef> {
        self.primary
    }

    pub fn replicas(&self) -> &[NodeRef] {
        &self.replicas
    }
}

/// Whether a text is one that `nodes.conf` and the replies can have as a word's part (`isValidAuxString`): an address, a node's
/// name for people, an availability zone.
pub fn is_aux_text(text: &str) -> bool {
    text.bytes().all(|byte| byte > b',' && byte != 0x7f && !b";<=>?@[]^{|}~\\".contains(&byte))
}

/// Whether a text can be a host's name that is announced.
pub fn is_hostname(text: &str) -> bool {
    text.len() < 256 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
