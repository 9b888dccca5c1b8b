//! The table of links: which connections they have, and which names are being resolved for them.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::base::ids::LinkId;
use crate::engine::links::Target;
use crate::sys::worker::Worker;

/// A name to be resolved, and what it was asked for.
pub(super) struct Query {
    pub(super) link: LinkId,
    pub(super) target: Target,
}

/// The addresses of a name.
pub(super) struct Answer {
    pub(super) link: LinkId,
    pub(super) target: Target,
    pub(super) addresses: io::Result<Vec<SocketAddr>>,
}

/// What the loop knows of links besides their connections.
#[derive(Default)]
pub(super) struct LinkTable {
    /// The connections of those that have one.
    pub(super) connections: HashMap<LinkId, usize>,
    /// Started when a name is first to be resolved.
    pub(super) resolver: Option<Worker<Query, Answer>>,
    /// Links whose name is being resolved.
    pub(super) resolving: Vec<LinkId>,
    /// Links that failed before they had a connection, with the reason.
    pub(super) failed: Vec<(LinkId, String)>,
}

impl LinkTable {
    /// Whether there is something to tell the engine at once.
    pub(super) fn is_due(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// Waits for the addresses of a name.
pub(super) fn resolve(query: Query) -> Answer {
    let Query { link, target } = query;
    let addresses =
        (target.host.as_str(), target.port).to_socket_addrs().map(|found| found.collect::<Vec<_>>());
    let addresses = addresses.and_then(|found: Vec<_>| {
        if found.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(found) }
    });
    Answer { link, target, addresses }
}
