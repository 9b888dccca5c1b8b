//! Cluster: a node of a Redis or Valkey cluster, on the bus that its nodes speak.
//!
//! ```text
//! tick(now) ─────────────┐                   ┌──▶ actions: connect, send, close, save, follow, pause, publish
//! connected, received, ──┼──▶ Cluster ───────┤
//! accepted, closed ──────┘    topology       ├──▶ where a slot is served (admission)
//! control (CLUSTER …) ───────────────────────┴──▶ reports
//! ```
//!
//! It does no I/O and reads no clock: time, bytes and the seed of its randomness are given. The messages and `nodes.conf` are those of
//! Redis and Valkey, so that their nodes and this one are members of one cluster.

mod address;
#[cfg(test)]
mod bench;
mod blacklist;
mod clock;
mod control;
mod cron;
mod describe;
mod election;
mod extensions;
mod failure;
mod faults;
mod gossip;
mod ids;
mod links;
mod manual_failover;
mod message;
mod myself;
mod node;
pub mod nodes_conf;
mod open_slots;
mod ping;
mod publish;
mod receive;
mod replica_migration;
mod report;
mod roles;
#[cfg(test)]
mod scale_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_tests;
mod slots_update;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod todo;
mod topology;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};

pub use control::{ControlError, Data, SlotChange, SlotRequest};
pub use describe::Viewer;
pub use faults::{Direction, Dropped, Faults};
pub use ids::{BusLink, NODE_ID_LEN, NodeId, NodeRef};
pub use links::Link;
pub use manual_failover::{FailoverError, FailoverKind, Requester};
pub use message::{Body, Encoded, Extensions, Gossip, Header, Message, PingKind, message_flag};
pub use myself::HandshakeError;
pub use node::{Announced, Node, flag};
pub use nodes_conf::NodesConfError;
pub use report::{Health, Shard};
pub use state::FailReason;
pub use stats::{MESSAGE_TYPES, Stats};
pub use topology::Topology;

use crate::base::rng::Rng;
use crate::base::slot_set::SlotSet;
use blacklist::Blacklist;
use election::Election;
use manual_failover::ManualFailover;
use open_slots::OpenSlot;
use state::State;
use todo::Todo;

/// What the port of the bus is above that of the clients, if nothing else is said.
pub const BUS_PORT_OFFSET: u16 = 10_000;

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// What the server does for the cluster, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens an outbound link to a bus port; `connected` or `closed` follows.
    Connect {
        link: BusLink,
        ip: String,
        port: u16,
    },
    /// Only when it is connected.
    Send {
        link: BusLink,
        bytes: Encoded,
    },
    /// No event follows.
    Close {
        link: BusLink,
    },
    /// Write [`Cluster::nodes_conf`]; `sync`: it is on the disk before anything that follows.
    SaveConfig {
        sync: bool,
    },
    Log {
        level: Level,
        text: String,
    },
    /// Replicate from this node from now on (anew, if it is another one than before). `from_scratch`: the data that there is has nothing
    /// to do with its history.
    Follow {
        ip: String,
        port: u16,
        from_scratch: bool,
    },
    /// Cease to replicate: this node is a primary now.
    Promote,
    /// Remove the keys of these slots, which other nodes serve now.
    DeleteKeys(SlotSet),
    /// This node serves its primary's slots now: tell [`Cluster::verify_data`] in which slots there are keys.
    VerifyData,
    /// End the subscriptions to sharded channels of these slots.
    EndShardSubscriptions(SlotSet),
    /// Tell local subscribers.
    Publish {
        channel: Vec<u8>,
        message: Vec<u8>,
        sharded: bool,
    },
    /// Manual failover: postpone writes until this time, Unix ms; 0: no more.
    PauseWrites {
        until: u64,
    },
    /// The cluster's state, or where slots are served, has changed: what depends on it is looked at again (blocked clients).
    SlotsChanged,
}

/// What the directives say (`cluster-*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub node_timeout_ms: u64,
    /// 0: ten times a second one of some random nodes, as Redis.
    pub ping_interval_ms: u64,
    pub manual_failover_timeout_ms: u64,
    /// Percent of the nodes that a message tells of.
    pub gossip_percent: u32,
    pub blacklist_ttl_s: u64,
    pub link_sendbuf_limit: u64,
    pub replica_validity_factor: u32,
    pub replica_no_failover: bool,
    pub migration_barrier: u32,
    pub allow_replica_migration: bool,
    pub require_full_coverage: bool,
    pub replica_priority: u32,
    /// Empty: what the peers see.
    pub announce_ip: String,
    pub announced: Announced,
    /// Ports that are announced: of clients without and with TLS (0: none), and of the bus.
    pub port: u16,
    pub tls_port: u16,
    pub bus_port: u16,
    /// The bus speaks TLS (`tls-cluster`).
    pub tls: bool,
    /// Replicas connect to the TLS port of their primary (`tls-replication`).
    pub tls_replication: bool,
    /// How often a primary speaks to its replicas: added to what the validity factor allows (`repl-ping-replica-period`).
    pub repl_ping_period_s: u64,
}

impl Default for Settings {
    /// What the directives say if nothing else is set.
    fn default() -> Self {
        Settings {
            node_timeout_ms: 15_000,
            ping_interval_ms: 0,
            manual_failover_timeout_ms: 5_000,
            gossip_percent: 10,
            blacklist_ttl_s: 60,
            link_sendbuf_limit: 0,
            replica_validity_factor: 10,
            replica_no_failover: false,
            migration_barrier: 1,
            allow_replica_migration: true,
            require_full_coverage: true,
            replica_priority: 100,
            announce_ip: String::new(),
            announced: Announced::default(),
            port: 6379,
            tls_port: 0,
            bus_port: 6379 + BUS_PORT_OFFSET,
            tls: false,
            tls_replication: false,
            repl_ping_period_s: 10,
        }
    }
}

/// What the rest of the server is doing, as far as it matters to the cluster; brought up to date before each call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Replication offset: of the own stream, or what has been processed of the primary's; 0 as long as its data isn't loaded.
    pub offset: u64,
    /// A replica's link to its primary is up.
    pub is_link_up: bool,
    /// When a replica last heard of its primary, Unix ms; 0: never.
    pub last_interaction: u64,
    /// Writes are postponed by the manual failover.
    pub is_paused: bool,
    /// Lines of [`Level::Debug`] are logged.
    pub logs_debug: bool,
}

/// The service.
#[derive(Debug)]
pub struct Cluster {
    now: u64,
    pub topology: Topology,
    pub settings: Settings,
    pub local: Local,
    actions: VecDeque<Action>,
    rng: Rng,
    links: BTreeMap<BusLink, Link>,
    last_link: u64,
    /// What is sent when what it tells of is saved ([`Cluster::before_sleep`]).
    outbox: Vec<(BusLink, Encoded)>,
    todo: Todo,
    state: State,
    election: Election,
    manual: ManualFailover,
    /// Slots that this replica's primary moves, from or to nodes that aren't known yet.
    awaited_open: Vec<OpenSlot>,
    /// Slots that their owners don't claim any more, though no other node does.
    unclaimed: SlotSet,
    /// Slots that this node has handed over in an atomic migration, and to which node, if that is known: a claim of its shard holds
    /// whatever its epoch.
    pub granted: BTreeMap<u16, Option<NodeId>>,
    blacklist: Blacklist,
    pub stats: Stats,
    pub faults: Faults,
    ticks: u64,
    /// Suspected nodes, as counted by the last tick.
    suspected: usize,
    /// The address that this node was told to replicate from.
    following: Option<(String, u16)>,
    /// This node has come into its primary's shard from another one.
    is_from_elsewhere: bool,
    /// The data is being loaded: links are refused, for what they bring may change it.
    is_loading: bool,
    /// The secret that the members of a cluster of Redis share.
    secret: NodeId,
}

impl Cluster {
    /// A node that knows no other. `now` is Unix time, ms.
    pub fn new(now: u64, seed: u64, settings: Settings) -> Self {
        let mut rng = Rng::new(seed);
        let (id, shard) = (random_id(&mut rng), random_id(&mut rng));
        let secret = random_id(&mut rng);
        let mut cluster = Cluster {
            now,
            topology: Topology::new(id, shard, now),
            settings,
            local: Local::default(),
            actions: VecDeque::new(),
            rng,
            links: BTreeMap::new(),
            last_link: 0,
            outbox: Vec::new(),
            todo: Todo::default(),
            state: State::default(),
            election: Election::default(),
            manual: ManualFailover::default(),
            awaited_open: Vec::new(),
            unclaimed: SlotSet::new(),
            granted: BTreeMap::new(),
            blacklist: Blacklist::default(),
            stats: Stats::default(),
            faults: Faults::default(),
            ticks: 0,
            suspected: 0,
            following: None,
            is_from_elsewhere: false,
            is_loading: true,
            secret,
        };
        cluster.update_myself();
        cluster
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn now(&self) -> u64 {
        self.now
    }

    /// The secret of the cluster's members (Redis: `internal_secret`).
    pub fn secret(&self) -> NodeId {
        self.secret
    }

    fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn log(&mut self, level: Level, text: String) {
        self.push(Action::Log { level, text });
    }

    /// A node as the log calls it.
    fn name(&self, at: NodeRef) -> String {
        let node = self.topology.node(at);
        if !node.announced.human_name.is_empty() {
            return format!("{} ({})", node.id, node.announced.human_name);
        }
        let port = if self.settings.tls { node.tls_port } else { node.tcp_port };
        let is_v6 = node.ip.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        format!("{} ({open}{}{close}:{port})", node.id, node.ip)
    }

    /// A node and its shard as the log calls them.
    fn name_in_shard(&self, at: NodeRef) -> String {
        format!("{} in shard {}", self.name(at), self.topology.node(at).shard)
    }

    /// This node and its shard as the log calls them.
    pub fn myself_in_shard(&self) -> String {
        self.name_in_shard(self.topology.me())
    }

    /// Time since a moment, ms; 0 if the clock went back.
    fn since(&self, moment: u64) -> u64 {
        self.now.saturating_sub(moment)
    }
}

/// A name for a node or a shard.
fn random_id(rng: &mut Rng) -> NodeId {
    let text = rng.hex(NODE_ID_LEN);
    NodeId::parse(text.as_bytes()).expect("forty hexadecimal digits")
}
