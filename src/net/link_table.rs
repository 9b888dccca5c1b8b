//! The table of links: which connections they have, and which of them have failed.

use std::collections::HashMap;

use super::resolver::Names;
use crate::base::ids::LinkId;

/// What the loop knows of links besides their connections.
#[derive(Default)]
pub(super) struct LinkTable {
    /// The connections of those that have one.
    pub(super) connections: HashMap<LinkId, usize>,
    pub(super) names: Names,
    /// Links that failed before they had a connection, with the reason.
    pub(super) failed: Vec<(LinkId, String)>,
}

impl LinkTable {
    /// Whether there is something to tell the engine at once.
    pub(super) fn is_due(&self) -> bool {
        !self.failed.is_empty()
    }
}
