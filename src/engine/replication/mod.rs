//! Replication as the engine sees it: what this server is, its replicas and its primary.

mod replica;

use crate::services::replication::Identity;

/// See the head of this file.
#[derive(Debug)]
pub struct Replication {
    pub identity: Identity,
}

impl Replication {
    pub(super) fn new(replid: String) -> Self {
        Replication { identity: Identity::new(replid) }
    }
}
