//! Ids of clients and links; names of a cluster's nodes.

use std::fmt;
use std::str::FromStr;

/// The id of a client: its index in the engine's slab of sessions, and the generation of the index, so that an
/// id never means a later client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub index: u32,
    pub generation: u32,
}

impl ClientId {
    /// No client.
    pub const NONE: ClientId = ClientId { index: u32::MAX, generation: 0 };
}

/// The id of an outbound connection: an ascending number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// Characters of a replication id.
pub const REPLID_LEN: usize = 40;

/// Characters of a [`NodeId`].
pub const NODE_ID_LEN: usize = 40;

/// The name of a node or of a shard: forty hexadecimal digits, where Redis and Valkey accept all small letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; NODE_ID_LEN]);

/// A text that is no name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidNodeId;

impl NodeId {
    /// Of the bytes of a request or a message, in the case that nodes write.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; NODE_ID_LEN] = text.try_into().ok()?;
        bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')).then_some(NodeId(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        NodeId::parse(text.as_bytes()).ok_or(InvalidNodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
