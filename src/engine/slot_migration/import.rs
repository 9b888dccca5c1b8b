//! The target's part of slot migrations: slots that come to this node.

use crate::base::ids::{ClientId, LinkId};
use crate::engine::Engine;
use crate::engine::links::LinkEvent;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Imports {}

impl Engine {
    pub(in crate::engine) fn import_link_event(&mut self, _link: LinkId, _event: LinkEvent<'_>) {}

    pub(super) fn tick_imports(&mut self) {}

    pub(super) fn finish_imports_turn(&mut self) {}

    pub(super) fn imports_topology_changed(&mut self) {}

    pub(super) fn imports_flushed(&mut self) {}

    pub(super) fn import_client_left(&mut self, _client: ClientId) {}
}
