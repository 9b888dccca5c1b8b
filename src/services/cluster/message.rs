//! Messages of the cluster bus, decoded; [`super::wire`] has their bytes.

use std::sync::Arc;

use super::ids::NodeId;
use super::node::Announced;
use crate::base::slot_set::SlotSet;

/// Bits of [`Header::message_flags`].
pub mod message_flag {
    /// The sender, a primary, has paused its clients for a manual failover.
    pub const PAUSED: u8 = 1;
    /// Vote even if the primary works: a manual failover.
    pub const FORCE_ACK: u8 = 1 << 1;
    /// There are extensions behind the gossip.
    pub const EXTENSIONS: u8 = 1 << 2;
}

/// What each message says of its sender, but those with the light header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub sender: NodeId,
    pub current_epoch: u64,
    /// The sender's own, or that of its primary.
    pub config_epoch: u64,
    /// Replication offset.
    pub offset: u64,
    /// Slots of the sender, or of its primary.
    pub slots: SlotSet,
    /// The primary of a replica.
    pub primary: Option<NodeId>,
    /// Empty: the address that the message comes from.
    pub ip: String,
    /// The port of clients that is the bus's kind (TLS if the bus is), and the other one.
    pub port: u16,
    pub other_port: u16,
    pub bus_port: u16,
    /// Of [`super::node::flag`].
    pub flags: u16,
    /// The sender finds the cluster in order.
    pub is_ok: bool,
    /// Of [`message_flag`].
    pub message_flags: u8,
}

/// What a PING, PONG or MEET says of a third node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gossip {
    pub id: NodeId,
    /// Unix seconds.
    pub ping_sent: u32,
    pub pong_received: u32,
    pub ip: String,
    pub port: u16,
    pub other_port: u16,
    pub bus_port: u16,
    pub flags: u16,
}

/// Extensions of a PING, PONG or MEET.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// What isn't announced is empty or 0.
    pub announced: Announced,
    pub shard: Option<NodeId>,
    /// Nodes that are to be kept out for so many seconds.
    pub forgotten: Vec<(NodeId, u64)>,
    /// Redis: the secret of the cluster's members, of which the smallest wins.
    pub secret: Option<NodeId>,
}

/// Which of the three messages with gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingKind {
    Ping,
    Pong,
    Meet,
}

impl PingKind {
    /// As the log calls it.
    pub fn name(self) -> &'static str {
        match self {
            PingKind::Ping => "ping",
            PingKind::Pong => "pong",
            PingKind::Meet => "meet",
        }
    }
}

/// What a message is about. There is one at a time, so that what a small one takes doesn't matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Ping {
        kind: PingKind,
        gossip: Vec<Gossip>,
        extensions: Extensions,
    },
    Fail(NodeId),
    Publish {
        channel: Vec<u8>,
        message: Vec<u8>,
        sharded: bool,
    },
    AuthRequest,
    AuthAck,
    Update {
        config_epoch: u64,
        node: NodeId,
        slots: SlotSet,
    },
    ManualFailoverStart,
    /// Of modules, which this server doesn't have.
    Module,
}

/// A message with its full header, or (`None`) with Valkey's light one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub header: Option<Box<Header>>,
    pub body: Body,
}

/// A message as it is sent, one for however many links.
pub type Encoded = Arc<[u8]>;
