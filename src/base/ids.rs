//! Ids of clients.

/// A client: a place in the engine's slab of sessions, and which of the place's successive
/// tenants. A stale id reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub index: u32,
    pub generation: u32,
}
