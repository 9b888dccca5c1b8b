//! The source's part of slot migrations: slots that leave this node.

use crate::base::ids::{ClientId, LinkId, NodeId};
use crate::engine::Engine;
use crate::engine::links::LinkEvent;
use crate::services::slot_migration::{JobId, SlotRanges};

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Exports {}

impl Engine {
    /// Begins to move slots of this node to another one (CLUSTER MIGRATESLOTS).
    pub fn export_slots(&mut self, _slots: SlotRanges, _target: NodeId) {}

    /// Gives up all that leaves this node.
    pub fn cancel_exports(&mut self, _message: &str) {}

    /// Bytes of an export that the target hasn't been sent yet.
    pub fn export_unsent(&self, _job: JobId) -> u64 {
        0
    }

    /// Whether a client is the other end of an export.
    pub fn is_export_client(&self, _client: ClientId) -> bool {
        false
    }

    pub(in crate::engine) fn export_link_event(&mut self, _link: LinkId, _event: LinkEvent<'_>) {}

    pub(super) fn tick_exports(&mut self) {}

    pub(super) fn finish_exports_turn(&mut self) {}

    pub(super) fn exports_topology_changed(&mut self) {}

    pub(super) fn exports_flushed(&mut self) {}

    pub(super) fn export_client_left(&mut self, _client: ClientId) {}
}
