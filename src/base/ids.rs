//! Client ids.

/// The id of a client: its index in the engine's slab of sessions, and the generation of the index, so that an
/// id never means a later client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub index: u32,
    pub generation: u32,
}
