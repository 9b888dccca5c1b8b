//! Ids: names of nodes and shards, places of nodes in the topology, bus connections.

pub use crate::base::ids::{NODE_ID_LEN, NodeId};

/// A node's place in the topology. It isn't given to another node while the node is there; one that was removed is
/// found no more, and its place is used again: nothing keeps it longer than a call, except what
/// [`super::topology::Topology::remove`] clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef(pub u16);

/// A connection of the bus, outbound or inbound: an ascending number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusLink(pub u64);
