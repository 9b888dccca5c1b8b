//! Atomic slot migration as the engine sees it: its jobs, and what wires the source's part (`export.rs`) and the target's (`import.rs`)
//! to links, sessions, snapshots and the cluster's topology.

mod export;
mod import;

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::session::state;
use crate::services::slot_migration::Jobs;

pub use export::Exports;
pub use import::Imports;

/// See the head of this file. A part of cluster mode.
#[derive(Debug, Default)]
pub struct SlotMigration {
    pub jobs: Jobs,
    pub exports: Exports,
    pub imports: Imports,
}

impl Engine {
    /// The state of slot migrations, in cluster mode.
    pub fn slot_migration(&self) -> Option<&SlotMigration> {
        self.cluster.as_ref().map(|mode| &mode.migration)
    }

    pub(in crate::engine) fn slot_migration_mut(&mut self) -> Option<&mut SlotMigration> {
        self.cluster.as_mut().map(|mode| &mut mode.migration)
    }

    /// Does what is due of migrations; once a turn.
    pub(in crate::engine) fn tick_slot_migration(&mut self) {
        if self.slot_migration().is_none_or(|migration| migration.jobs.is_empty()) {
            return;
        }
        self.tick_exports();
        self.tick_imports();
        let max = self.config.cluster_slot_migration_log_max_len;
        if let Some(migration) = self.slot_migration_mut() {
            migration.jobs.trim(max);
        }
    }

    /// What is left to do once the requests of a turn have been handled: before its replies leave.
    pub(in crate::engine) fn finish_slot_migration_turn(&mut self) {
        if self.slot_migration().is_some_and(|migration| !migration.jobs.is_empty()) {
            self.finish_exports_turn();
            self.finish_imports_turn();
        }
    }

    /// Ends a client's connection once the reply of its running request is out.
    pub fn close_after_reply(&mut self, client: ClientId) {
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.set(state::CLOSING, true);
        }
    }

    /// Slots have other owners than before, or this node another role.
    pub(in crate::engine) fn slot_migration_topology_changed(&mut self) {
        if self.slot_migration().is_some_and(|migration| !migration.jobs.is_empty()) {
            self.exports_topology_changed();
            self.imports_topology_changed();
        }
    }

    /// FLUSHALL or FLUSHDB removes keys that are on their way.
    pub fn slot_migration_flushed(&mut self) {
        if self.slot_migration().is_some_and(|migration| !migration.jobs.is_empty()) {
            self.exports_flushed();
            self.imports_flushed();
        }
    }

    /// A session has ended, which may have been a migration's.
    pub(in crate::engine) fn slot_migration_client_left(&mut self, client: ClientId) {
        if self.slot_migration().is_some_and(|migration| !migration.jobs.is_empty()) {
            self.export_client_left(client);
            self.import_client_left(client);
        }
    }
}
