//! Atomic slot migration as the engine sees it: its jobs, and what wires the source's part (`export.rs`) and the target's (`import.rs`)
//! to links, sessions, snapshots and the cluster's topology.

mod export;
mod faults;
mod feed;
mod import;
mod import_redis;
mod import_state;
mod import_valkey;
mod tracking;

use crate::base::ids::{ClientId, NodeId};
use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::engine::clients::session::state;
use crate::services::slot_migration::{Exports as Service, Family, Job, Jobs, Role, State};

pub use export::Exports;
pub use faults::{ChannelName, MigrationFaults, RemovalPace};
pub use import_state::Imports;

/// See the head of this file. A part of cluster mode.
#[derive(Debug, Default)]
pub struct SlotMigration {
    pub jobs: Jobs,
    pub exports: Exports,
    pub imports: Imports,
    pub faults: MigrationFaults,
    /// CLIENT PAUSE was in effect when it was last looked at.
    saw_pause: bool,
}

impl SlotMigration {
    /// Slots whose keys are coming.
    pub(in crate::engine) fn imported_slots(&self) -> SlotSet {
        let mut slots = SlotSet::new();
        for id in self.imports.running.keys() {
            let job = self.jobs.get(*id).filter(|job| !matches!(job.state, State::None | State::Failed));
            job.iter().flat_map(|job| job.slots.iter()).for_each(|range| slots.insert_all(range.clone()));
        }
        slots
    }

    /// Whether there is nothing to look after, nor anything to report.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.imports.of_primary.is_none()
    }
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
        self.note_client_pause();
        if self.slot_migration().is_none_or(SlotMigration::is_idle) {
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
        if self.slot_migration().is_some_and(|migration| !migration.is_idle()) {
            self.finish_exports_turn();
            self.finish_imports_turn();
        }
    }

    /// Has what is due be done in the next turn, which begins at once.
    pub fn continue_soon(&mut self) {
        self.wake_soon();
    }

    /// Gives up tasks of Redis's kind that are under way, from or to this node: the one of this id, or all; how many.
    pub fn cancel_tasks(&mut self, name: Option<&[u8]>, reason: &str) -> usize {
        self.cancel_export_tasks(name, reason, Service::cancel) + self.cancel_imports(name, reason)
    }

    /// The same because an operator asks for it, which may come too late.
    pub fn cancel_tasks_on_request(&mut self, name: Option<&[u8]>) -> usize {
        let reason = "user request";
        self.cancel_export_tasks(name, reason, Service::cancel_on_request) + self.cancel_imports(name, reason)
    }

    /// Gives up tasks of Redis's kind from or to a node that this one doesn't know any more.
    pub fn cancel_tasks_of(&mut self, node: NodeId, reason: &str) {
        let is_its = |job: &&Job| {
            job.family == Family::Redis && !job.is_archived && [job.source, job.target].contains(&Some(node))
        };
        let jobs = self.slot_migration().map(|migration| &migration.jobs);
        let names: Vec<String> =
            jobs.iter().flat_map(|jobs| jobs.iter()).filter(is_its).map(|job| job.name.clone()).collect();
        for name in names {
            self.cancel_tasks(Some(name.as_bytes()), reason);
        }
    }

    /// CLIENT PAUSE gives up tasks of Redis's kind.
    fn note_client_pause(&mut self) {
        let is_paused = self.clients.client_pause.is_some();
        let Some(migration) = self.slot_migration_mut() else { return };
        if std::mem::replace(&mut migration.saw_pause, is_paused) != is_paused && is_paused {
            self.cancel_tasks(None, "client pause requested");
        }
    }

    /// Whether keys of a slot that another node serves are being removed. Not if there are none: at the end of a classic move, of which this
    /// node may hear by the bus before it is told by a command.
    pub fn is_losing_slot(&self, slot: u16) -> bool {
        let is_lost = self.cluster.as_ref().is_some_and(|mode| mode.lost_slots().contains(slot));
        is_lost && self.data.keyspace.count_in_slot(slot) > 0
    }

    /// The faults that tests provoke.
    pub fn migration_faults_mut(&mut self) -> Option<&mut MigrationFaults> {
        self.imports_are_due();
        self.slot_migration_mut().map(|migration| &mut migration.faults)
    }

    /// What CLUSTER INFO says of migrations of Redis's kind, and of keys that are removed because of them.
    pub fn slot_migration_info(&self) -> String {
        let Some(mode) = &self.cluster else { return String::new() };
        let is_active = |job: &&Job| {
            job.family == Family::Redis && !(job.role == Role::Export && job.state == State::Failed)
        };
        let (tasks, trims) = (mode.migration.jobs.active().filter(is_active).count(), mode.trims);
        format!(
            "cluster_slot_migration_active_tasks:{tasks}\r\n\
             cluster_slot_migration_active_trim_running:{}\r\n\
             cluster_slot_migration_active_trim_current_job_keys:{}\r\n\
             cluster_slot_migration_active_trim_current_job_trimmed:{}\r\n\
             cluster_slot_migration_stats_active_trim_started:{}\r\n\
             cluster_slot_migration_stats_active_trim_completed:{}\r\n\
             cluster_slot_migration_stats_active_trim_cancelled:{}\r\n",
            trims.running, trims.keys, trims.trimmed, trims.started, trims.completed, trims.cancelled
        )
    }

    /// Ends a client's connection once the reply of its running request is out.
    pub fn close_after_reply(&mut self, client: ClientId) {
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.set(state::CLOSING, true);
        }
    }

    /// Slots have other owners than before, or this node another role.
    pub(in crate::engine) fn slot_migration_topology_changed(&mut self) {
        if self.slot_migration().is_some_and(|migration| !migration.is_idle()) {
            self.exports_topology_changed();
            self.imports_topology_changed();
        }
    }

    /// FLUSHALL or FLUSHDB (`command`) removes keys that are on their way.
    pub fn slot_migration_flushed(&mut self, command: &str) {
        if self.slot_migration().is_some_and(|migration| !migration.is_idle()) {
            self.exports_flushed(command);
            self.imports_flushed(command);
        }
    }

    /// A session has ended, which may have been a migration's.
    pub(in crate::engine) fn slot_migration_client_left(&mut self, client: ClientId) {
        if self.slot_migration().is_some() {
            self.export_client_left(client);
            self.import_client_left(client);
        }
    }
}
