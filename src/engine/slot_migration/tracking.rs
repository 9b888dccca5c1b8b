//! Imports that aren't this node's own: those of its primary, whose keys it has and hides as well, and those that a file was written amid.
//!
//! ```text
//! Valkey   ESTABLISH, or the file's head ─▶ a job "occurring-on-primary" ─ FINISH ▶ over
//! Redis    CONF ASM-TASK, or the file's head ─▶ a note ─ CONF ASM-TASK ▶ over
//!          promoted, or restarted as a primary: it has failed, and its keys are removed
//! ```

use super::import_state::{Running, note_of};
use crate::engine::Engine;
use crate::services::command_stream::Target;
use crate::services::slot_migration::{Family, Job, JobId, Role as End, SlotRanges, State, TaskNote};

impl Engine {
    /// An import of this node's primary, or one that a file was written amid.
    pub fn track_import(&mut self, name: &str, slots: SlotRanges) {
        let (now, is_loaded) = (self.steady_now(), self.persistence.loading.is_some());
        let Some(migration) = self.slot_migration_mut() else { return };
        if migration.jobs.find(name.as_bytes()).is_some_and(|job| !job.is_archived) {
            return;
        }
        let job = Job::new(Family::Valkey, End::Import, name.into(), slots, State::OccurringOnPrimary, now);
        let id = migration.jobs.add(job);
        migration.imports.running.insert(id, Running::Tracked { is_loaded });
        self.hide_foreign_slots();
    }

    /// An import of this node's primary is over. False: it isn't known.
    pub fn end_tracked_import(&mut self, name: &[u8], succeeded: bool, message: Option<&[u8]>) -> bool {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return false };
        let Some(job) = migration.jobs.find(name) else { return false };
        let id = job.id;
        if !job.is_archived {
            if !matches!(migration.imports.running.get(&id), Some(Running::Tracked { .. })) {
                return false;
            }
            migration.imports.running.remove(&id);
            let state = if succeeded { State::Succeeded } else { State::Failed };
            let message = message.map(|message| String::from_utf8_lossy(message).into_owned());
            migration.jobs.archive(id, state, Some(message.unwrap_or_default()), now);
        }
        self.hide_foreign_slots();
        true
    }

    /// What this node's primary says of its task, or a file does; an empty text: it has none.
    pub fn track_task(&mut self, text: &[u8]) -> bool {
        let note = TaskNote::parse(text);
        if note.is_none() && !text.is_empty() {
            return false;
        }
        if let Some(imports) = self.imports_mut() {
            // A failed import's keys stay hidden until the primary has removed them.
            let keeps = text.is_empty()
                && imports
                    .of_primary
                    .as_ref()
                    .is_some_and(|note| note.is_import && note.state == State::Failed);
            if !keeps {
                imports.of_primary = note.filter(|note| note.state != State::Succeeded);
            }
        }
        self.hide_foreign_slots();
        true
    }

    /// The data is about to be replaced by that of a file, which says what is being imported.
    pub fn forget_imports_before_load(&mut self) {
        let now = self.steady_now();
        let text = "A new RDB is being loaded";
        let Some(migration) = self.slot_migration_mut() else { return };
        let active: Vec<(JobId, Family, State)> =
            migration.jobs.active_of(End::Import).map(|job| (job.id, job.family, job.state)).collect();
        if active.is_empty() && migration.imports.of_primary.is_none() {
            return;
        }
        migration.imports.of_primary = None;
        for (id, family, state) in active {
            let Some(migration) = self.slot_migration_mut() else { return };
            match family {
                // Of one that has failed, what is left to be removed goes with the rest; the file may say that it goes on.
                Family::Valkey
                    if state == State::CleaningUp
                        || matches!(migration.imports.running.get(&id), Some(Running::Tracked { .. })) =>
                {
                    migration.imports.running.remove(&id);
                    migration.jobs.archive(id, State::Failed, Some(text.into()), now);
                }
                Family::Valkey => self.fail_valkey_import(id, text),
                Family::Redis => self.cancel_redis_import(id, text),
            }
        }
        self.hide_foreign_slots();
    }

    /// Ends what was tracked, where this node isn't a replica (any more).
    pub(super) fn tend_tracked_imports(&mut self) {
        if self.persistence.loading.is_some() {
            return;
        }
        if !self.is_cluster_primary() {
            return self.tend_task_of_primary();
        }
        let tracked: Vec<(JobId, bool)> = self
            .imports()
            .map(|imports| {
                let running = imports.running.iter();
                running
                    .filter_map(|(id, running)| match running {
                        Running::Tracked { is_loaded } => Some((*id, *is_loaded)),
                        _ => None,
                    })
                    .collect()
            })
            .unwrap_or_default();
        for (id, is_loaded) in tracked {
            let reason =
                if is_loaded { "Process restarted" } else { "A failover occurred during slot import" };
            self.fail_valkey_import(id, reason);
        }
        let Some(note) = self.imports_mut().and_then(|imports| imports.of_primary.take()) else { return };
        if note.is_import && note.state != State::Failed {
            log::warn!("Import task {} from old master failed: slots={}", note.id, note.slots);
            let failed = TaskNote { state: State::Failed, ..note.clone() };
            self.announce_task(&failed);
        }
        if note.is_import || note.state != State::Failed {
            self.drop_imported(&note.slots);
        }
    }

    /// A replica shows the slots of its primary's import again once their keys are gone.
    fn tend_task_of_primary(&mut self) {
        let Some(note) = self.imports().and_then(|imports| imports.of_primary.as_ref()) else { return };
        let is_over = note.is_import
            && note.state == State::Failed
            && note.slots.slots().all(|slot| self.data.keyspace.count_in_slot(slot) == 0);
        if is_over {
            if let Some(imports) = self.imports_mut() {
                imports.of_primary = None;
            }
            self.hide_foreign_slots();
        }
    }

    /// Tells replicas how far a task is.
    pub(super) fn announce_task(&mut self, note: &TaskNote) {
        let text = note.to_string();
        let words: [&[u8]; 5] = [b"CLUSTER", b"SYNCSLOTS", b"CONF", b"ASM-TASK", text.as_bytes()];
        self.propagate_of_import(Target::ReplicasAlone, &words);
    }

    /// What a file's head says of imports: the note of a task of Redis's kind, and those of Valkey's kind.
    pub(in crate::engine) fn imports_of_head(&self) -> (Option<TaskNote>, Vec<(String, SlotRanges)>) {
        let Some(migration) = self.slot_migration() else { return (None, Vec::new()) };
        let active = || migration.jobs.active_of(End::Import);
        let own = active()
            .find(|job| job.family == Family::Redis && !matches!(job.state, State::None | State::Failed));
        let note = own.and_then(note_of).or_else(|| migration.imports.of_primary.clone());
        let jobs = active().filter(|job| job.family == Family::Valkey);
        (note, jobs.map(|job| (job.name.clone(), job.slots.clone())).collect())
    }
}
