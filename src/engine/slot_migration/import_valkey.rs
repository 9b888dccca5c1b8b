//! Imports by Valkey's protocol: a source connects, and one connection brings everything (CLUSTER SYNCSLOTS ESTABLISH).

use super::import_state::Running;
use crate::base::ids::{ClientId, NodeId};
use crate::engine::Engine;
use crate::resp::encode_request;
use crate::services::command_stream::Target;
use crate::services::slot_migration::{
    Family, Job, JobId, Role as End, SlotRanges, State, Word, advance, sends_acks,
};

/// Time between two signs of life, ms.
const ACK_MS: u64 = 1000;

impl Engine {
    /// A source begins to send slots over the connection of `client`.
    pub fn begin_import(&mut self, client: ClientId, name: &str, slots: SlotRanges, source: NodeId) {
        let now = self.steady_now();
        let mut job = Job::new(Family::Valkey, End::Import, name.into(), slots, State::WaitingForAck, now);
        job.source = Some(source);
        job.target = self.cluster.as_ref().map(|mode| mode.service.topology.myself().id);
        job.started_ms = Some(now);
        log::info!("New slot import {} from node {source}, slots: {}", job.name, job.slots);
        let slots = job.slots.clone();
        // What a failed import or an interrupted move has left goes first.
        self.drop_imported(&slots);
        let Some(migration) = self.slot_migration_mut() else { return };
        let id = migration.jobs.add(job);
        migration.imports.running.insert(id, Running::Valkey { client, next_ack_ms: 0 });
        self.make_import_session(client, id);
        self.hide_foreign_slots();
    }

    /// A source says a word; false if the client is no source.
    pub fn import_word(&mut self, client: ClientId, word: Word) -> bool {
        let Some(id) = self.import_of(client) else { return false };
        let now = self.steady_now();
        let Some(job) = self.import_job_mut(id).filter(|job| job.family == Family::Valkey) else {
            return false;
        };
        if word == Word::Ack {
            job.acked_ms = now;
        }
        let Some(advance) = advance(job.state, word) else {
            log::warn!("Unexpected {word:?} in slot migration {}. Failing migration.", job.name);
            self.fail_valkey_import(id, "Unexpected state machine transition");
            return true;
        };
        self.set_import_state(id, advance.state);
        if let Some(answer) = advance.answer {
            self.tell_source(client, answer);
        }
        if advance.state == State::FailoverGranted {
            self.imports_are_due();
        }
        true
    }

    fn tell_source(&mut self, client: ClientId, word: &str) {
        let mut request = Vec::new();
        encode_request(&mut request, ["CLUSTER", "SYNCSLOTS", word].iter());
        self.clients.outbox.post(client, &request);
    }

    pub(super) fn proceed_with_valkey_import(&mut self, id: JobId) {
        let state = self.import_job(id).map(|job| job.state);
        if state == Some(State::CleaningUp) {
            return self.end_cleaning(id);
        }
        let granted = state == Some(State::FailoverGranted);
        let prevented = self.slot_migration().is_none_or(|migration| migration.faults.prevents_failover);
        if !granted || prevented {
            return;
        }
        let client = self.imports().and_then(|imports| match imports.running.get(&id) {
            Some(Running::Valkey { client, .. }) => Some(*client),
            _ => None,
        });
        if self.take_over_imported(id) {
            if let Some(client) = client {
                self.end_import_session(client);
            }
            self.announce_end(id);
        }
    }

    /// Tells replicas and the log that an import is over.
    pub(super) fn announce_end(&mut self, id: JobId) {
        let Some(job) = self.import_job(id) else { return };
        let state = if job.state == State::Succeeded { "success" } else { "failed" };
        let (name, message) = (job.name.clone(), job.message.clone());
        let mut words: Vec<&[u8]> =
            vec![b"CLUSTER", b"SYNCSLOTS", b"FINISH", b"STATE", state.as_bytes(), b"NAME", name.as_bytes()];
        if !message.is_empty() {
            words.extend([b"MESSAGE", message.as_bytes()]);
        }
        self.propagate_of_import(Target::All, &words);
    }

    /// An import comes to nothing: its keys are removed first.
    pub(super) fn fail_valkey_import(&mut self, id: JobId, reason: &str) {
        let now = self.steady_now();
        let is_primary = self.is_cluster_primary();
        let Some(job) = self.import_job_mut(id) else { return };
        if job.is_archived || job.state == State::CleaningUp {
            return;
        }
        log::warn!("Slot import {} failed: {reason}", job.name);
        job.message = reason.into();
        let slots = job.slots.clone();
        if is_primary {
            job.set_state(State::CleaningUp, now);
        }
        let running = self.imports_mut().and_then(|imports| imports.running.remove(&id));
        if let Some(Running::Valkey { client, .. }) = running {
            self.end_import_session(client);
        }
        if is_primary {
            self.drop_imported(&slots);
        } else {
            // A replica leaves that to its primary.
            if let Some(migration) = self.slot_migration_mut() {
                migration.jobs.archive(id, State::Failed, None, now);
            }
            self.hide_foreign_slots();
        }
    }

    pub(super) fn tend_valkey_import(&mut self, id: JobId) {
        let now = self.steady_now();
        let Some(job) = self.import_job(id) else { return };
        let state = job.state;
        if state == State::CleaningUp {
            return self.end_cleaning(id);
        }
        let client = match self.imports().and_then(|imports| imports.running.get(&id)) {
            Some(Running::Valkey { client, .. }) => *client,
            _ => return,
        };
        let heard_ms = self.clients.sessions.get(client).map_or(0, |session| session.active_ms);
        if now.saturating_sub(heard_ms) > u64::from(self.config.repl_timeout) * 1000 {
            return self.fail_valkey_import(id, "Timed out after too long with no interaction");
        }
        self.proceed_with_valkey_import(id);
        if self.import_job(id).is_none_or(|job| !sends_acks(job.state)) {
            return;
        }
        if let Some(Running::Valkey { next_ack_ms, .. }) =
            self.imports_mut().and_then(|imports| imports.running.get_mut(&id))
            && now >= *next_ack_ms
        {
            *next_ack_ms = now + ACK_MS;
            self.tell_source(client, "ACK");
        }
    }

    /// A failed import is over once none of its keys is here.
    fn end_cleaning(&mut self, id: JobId) {
        let now = self.steady_now();
        if self.is_losing_any(id) {
            return;
        }
        if let Some(migration) = self.slot_migration_mut() {
            migration.jobs.archive(id, State::Failed, None, now);
        }
        self.hide_foreign_slots();
        self.announce_end(id);
    }

    /// The owners of slots, or this node's role, have changed.
    pub(super) fn check_valkey_import(&mut self, id: JobId) {
        let Some(job) = self.import_job(id).filter(|job| job.state != State::CleaningUp) else { return };
        let Some(mode) = &self.cluster else { return };
        let topology = &mode.service.topology;
        if !topology.myself().is_primary() {
            return self.track_own_import(id);
        }
        let Some(source) = job.source else { return };
        let source = topology.find(source);
        if source.is_some() && job.slots.slots().all(|slot| topology.owner(slot) == source) {
            return;
        }
        let is_mine = job.slots.slots().all(|slot| topology.is_mine(slot));
        self.fail_valkey_import(
            id,
            match is_mine {
                true => "Slots were unexpectedly assigned to myself during import",
                false => "Slots are no longer owned by source node",
            },
        );
    }

    /// This node is a replica now: the import is over, but its keys stay until the new primary removes them.
    fn track_own_import(&mut self, id: JobId) {
        if let Some(job) = self.import_job_mut(id) {
            (job.source, job.target) = (None, None);
        }
        self.set_import_state(id, State::OccurringOnPrimary);
        let tracked = Running::Tracked { is_loaded: false };
        let before = self.imports_mut().and_then(|imports| imports.running.insert(id, tracked));
        if let Some(Running::Valkey { client, .. }) = before {
            self.end_import_session(client);
        }
    }
}
