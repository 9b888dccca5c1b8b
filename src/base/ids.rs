//! Ids of clients and links.

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
