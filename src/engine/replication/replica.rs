//! The replica's side of replication: the link to the primary.

use crate::base::ids::LinkId;
use crate::engine::Engine;
use crate::engine::links::LinkEvent;

impl Engine {
    /// Something happened to the link to the primary.
    pub(in crate::engine) fn primary_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        if let LinkEvent::Connected { .. } = event {
            self.close_link(link);
        }
    }
}
