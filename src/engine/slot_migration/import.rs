//! The target's part of slot migrations: slots that come to this node. Common to both families; what is of one is in `import_valkey.rs` and `import_redis.rs`, what
//! a replica knows of its primary's imports in `tracking.rs`.
//!
//! The keys of a source come as requests of a session that is obeyed ([`Role::Import`]), so replicas and the log get them as any others. Until the slots are
//! this node's they are hidden; those of an import that fails are removed in slices, as keys of slots that were lost.

use super::import_state::Imports;
use crate::base::ids::{ClientId, LinkId};
use crate::base::slot_set::SlotSet;
use crate::engine::clients::session::{Role, state};
use crate::engine::command::spec::flag;
use crate::engine::links::LinkEvent;
use crate::engine::{Engine, ExecStatus, Prepared, ServerAction};
use crate::resp::{Args, Reply};
use crate::services::command_stream::{self, Target};
use crate::services::slot_migration::{Family, Job, JobId, Role as End, SlotRanges, State};

/// Milliseconds between two looks at imports.
const CRON_MS: u64 = 100;
/// Bytes of the buffer for dropped replies that are kept.
const KEPT: usize = 64 * 1024;

impl Engine {
    pub(super) fn imports(&self) -> Option<&Imports> {
        self.slot_migration().map(|migration| &migration.imports)
    }

    pub(super) fn imports_mut(&mut self) -> Option<&mut Imports> {
        self.slot_migration_mut().map(|migration| &mut migration.imports)
    }

    pub(super) fn import_job(&self, id: JobId) -> Option<&Job> {
        self.slot_migration().and_then(|migration| migration.jobs.get(id))
    }

    pub(super) fn import_job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.slot_migration_mut().and_then(|migration| migration.jobs.get_mut(id))
    }

    pub(super) fn set_import_state(&mut self, id: JobId, state: State) {
        let now = self.steady_now();
        let Some(job) = self.import_job_mut(id).filter(|job| job.state != state) else { return };
        log::debug!("Slot migration {}: {} -> {}", job.name, job.state_name(), state.name(job.family));
        job.set_state(state, now);
    }

    /// The import that a session's requests are of.
    pub(super) fn import_of(&self, client: ClientId) -> Option<JobId> {
        self.imports().and_then(|imports| imports.sessions.get(&client)).copied()
    }

    /// Whether this node is a primary of its cluster.
    pub(super) fn is_cluster_primary(&self) -> bool {
        self.cluster.as_ref().is_some_and(|mode| mode.service.topology.myself().is_primary())
    }

    /// Something of imports is to be done at the end of this turn.
    pub(super) fn imports_are_due(&mut self) {
        if let Some(imports) = self.imports_mut() {
            imports.is_due = true;
        }
        self.wake_soon();
    }

    /// Makes a session one whose requests are an import's.
    pub(super) fn make_import_session(&mut self, client: ClientId, id: JobId) {
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.role = Role::Import;
            session.set(state::RESTRICTED | state::UNAUTHENTICATED | state::QUOTA, false);
        }
        if let Some(imports) = self.imports_mut() {
            imports.sessions.insert(client, id);
        }
    }

    /// A session is an import's no more: its connection ends.
    pub(super) fn end_import_session(&mut self, client: ClientId) {
        if let Some(imports) = self.imports_mut() {
            imports.sessions.remove(&client);
            imports.closing.push(client);
        }
        self.imports_are_due();
    }

    /// Executes a request of a source, of so many bytes. Its reply is dropped.
    pub(in crate::engine) fn execute_imported(
        &mut self,
        client: ClientId,
        prepared: Prepared,
        args: Args<'_>,
        bytes: usize,
    ) -> ExecStatus {
        let Some(id) = self.import_of(client) else { return ExecStatus::Close };
        if self.import_is_delayed(id, client) {
            if let Some(imports) = self.imports_mut() {
                imports.waiting.push(client);
            }
            return ExecStatus::Postponed;
        }
        let flags = prepared.command.map_or(0, |command| self.commands.get(command).flags);
        if flags & flag::ROUTED != 0 {
            match self.admit_imported(id, prepared.hashed, flags) {
                Ok(true) => {}
                Ok(false) => {
                    if let Some(imports) = self.imports_mut() {
                        imports.waiting.push(client);
                    }
                    return ExecStatus::Postponed;
                }
                Err(text) => {
                    self.fail_import(id, text);
                    return ExecStatus::Close;
                }
            }
        }
        let scratch = self.imports_mut().map(|imports| std::mem::take(&mut imports.scratch));
        let mut reply = Reply::new(scratch.unwrap_or_default(), false);
        let status = self.execute(client, prepared, args, &mut reply);
        let mut bytes_of_reply = reply.into_bytes();
        if bytes_of_reply.first() == Some(&b'-') && status != ExecStatus::Postponed {
            self.import_request_failed(id, args.at(0), &bytes_of_reply[1..]);
        }
        bytes_of_reply.clear();
        bytes_of_reply.shrink_to(KEPT);
        if let Some(imports) = self.imports_mut() {
            imports.scratch = bytes_of_reply;
        }
        if status == ExecStatus::Postponed {
            return status;
        }
        self.count_imported(id, client, bytes);
        if self.import_of(client).is_none() { ExecStatus::Close } else { status }
    }

    /// Whether a request with keys may run; not before the slots are empty of what was there before.
    fn admit_imported(
        &mut self,
        id: JobId,
        hashed: (*const u8, u64),
        flags: u64,
    ) -> Result<bool, &'static str> {
        let slot = self.data.keyspace.slot_of_hash(hashed.1);
        let Some(job) = self.import_job(id) else { return Ok(true) };
        if !hashed.0.is_null() && !job.slots.contains(slot) {
            return Err("The source sent a key of another slot");
        }
        if job.family == Family::Valkey
            && self.settings.maxmemory > 0
            && flags & flag::DENYOOM != 0
            && self.make_room(flags).is_some()
        {
            return Err("Ran out of memory (OOM) during slot import");
        }
        Ok(!self.is_losing_any(id))
    }

    /// Whether keys that were there before are still being removed from an import's slots.
    pub(super) fn is_losing_any(&self, id: JobId) -> bool {
        let Some(job) = self.import_job(id) else { return false };
        self.cluster.as_ref().is_some_and(|mode| mode.is_losing(&job.slots))
    }

    /// A request of a source can't be executed: the data would differ from the source's.
    #[cold]
    fn import_request_failed(&mut self, id: JobId, name: &[u8], text: &[u8]) {
        self.metrics.stats.unexpected_errors += 1;
        let text = text.trim_ascii_end().escape_ascii().to_string();
        let name = name.escape_ascii();
        log::warn!(
            "== CRITICAL == This destination is sending an error to its source: '{text}' after processing the command \
             '{name}'"
        );
        self.fail_import(
            id,
            "Failed to process command during slot migration. Check logs for more information",
        );
    }

    /// An import of either family comes to nothing.
    pub(super) fn fail_import(&mut self, id: JobId, reason: &str) {
        match self.import_job(id).map(|job| job.family) {
            Some(Family::Valkey) => self.fail_valkey_import(id, reason),
            Some(Family::Redis) => self.fail_redis_import(id, reason),
            None => {}
        }
    }

    /// Removes what has come of an import's slots, which are other nodes'.
    pub(super) fn drop_imported(&mut self, slots: &SlotRanges) {
        let Some(mode) = &self.cluster else { return };
        let topology = &mode.service.topology;
        let foreign: SlotSet = slots
            .slots()
            .filter(|slot| !topology.is_mine(*slot) && self.data.keyspace.count_in_slot(*slot) > 0)
            .collect();
        if !foreign.is_empty() {
            log::info!(
                "Detected keys in slots that do not belong to this node. Scheduling trim for {} keys in slots: {slots}",
                self.data.keyspace.count_in_slots(&foreign)
            );
            self.lose_slots(&foreign);
        }
        self.hide_foreign_slots();
    }

    /// Hides the slots that are being imported, here or by this node's primary, and those whose keys are being removed.
    pub(in crate::engine) fn hide_foreign_slots(&mut self) {
        let Some(mode) = &self.cluster else { return };
        let (migration, topology) = (&mode.migration, &mode.service.topology);
        let mut hidden = mode.lost_slots().clone();
        let tracked = migration.imports.of_primary.as_ref().filter(|note| note.is_import);
        let imported = migration.jobs.active_of(End::Import).map(|job| &job.slots);
        for slots in imported.chain(tracked.map(|note| &note.slots)) {
            slots.iter().for_each(|range| hidden.insert_all(range.clone()));
        }
        for slot in topology.myself().slots().iter() {
            hidden.remove(slot);
        }
        self.data.keyspace.hide_slots(&hidden);
    }

    /// Whether CLUSTER COUNTKEYSINSLOT and GETKEYSINSLOT see a slot's keys: not while they come by Redis's protocol, or
    /// are being removed.
    pub fn lists_slot(&self, slot: u16) -> bool {
        let Some(migration) = self.slot_migration() else { return true };
        if self.is_losing_slot(slot) {
            return false;
        }
        let is_hidden = |job: &Job| job.family == Family::Redis && job.slots.contains(slot);
        let of_primary = migration.imports.of_primary.as_ref();
        !migration.jobs.active_of(End::Import).any(is_hidden)
            && !of_primary.is_some_and(|note| note.is_import && note.slots.contains(slot))
    }

    /// The slots of an import are this node's from now on. False: they aren't the source's any more.
    pub(super) fn take_over_imported(&mut self, id: JobId) -> bool {
        let now = self.steady_now();
        let Some(job) = self.import_job(id) else { return false };
        let (slots, family) = (job.slots.to_set(), job.family);
        if !self.owns_all(job) {
            let text = match family {
                Family::Valkey => "Slots are no longer owned by source node",
                Family::Redis => "slots configuration updated",
            };
            self.fail_import(id, text);
            return false;
        }
        log::info!("Import {} takes over slots: {}", job.name, job.slots);
        if let Some(migration) = self.slot_migration_mut() {
            migration.jobs.archive(id, State::Succeeded, Some(String::new()), now);
            migration.imports.running.remove(&id);
        }
        self.with_cluster(|service, now| service.take_over_slots(now, &slots));
        self.reset_slot_stats(&slots);
        self.hide_foreign_slots();
        true
    }

    /// Whether all slots of a job are its source's.
    fn owns_all(&self, job: &Job) -> bool {
        let Some(mode) = &self.cluster else { return false };
        let topology = &mode.service.topology;
        let source = job.source.and_then(|source| topology.find(source));
        source.is_some() && job.slots.slots().all(|slot| topology.owner(slot) == source)
    }

    /// Adds a request of this node's own to the stream, while no call is running; of a primary only.
    pub(super) fn propagate_of_import(&mut self, target: Target, words: &[&[u8]]) {
        debug_assert!(self.frame.is_idle());
        if self.replication.is_replica() || !self.stream.has_consumers() {
            return;
        }
        let mut frame = Vec::new();
        command_stream::encode(&mut frame, words.iter());
        let db = self.stream_db();
        self.stream.push(target, db, 1, &frame);
        self.stream.end_unit();
    }

    pub(in crate::engine) fn import_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        self.redis_link_event(link, event);
    }

    fn active_imports(&self) -> Vec<(JobId, Family)> {
        let jobs = self.slot_migration().map(|migration| &migration.jobs);
        let active = jobs.into_iter().flat_map(|jobs| jobs.active_of(End::Import));
        active.map(|job| (job.id, job.family)).collect()
    }

    pub(super) fn tick_imports(&mut self) {
        self.resume_waiting_imports();
        let (now, hz) = (self.steady_now(), CRON_MS);
        let Some(imports) = self.imports_mut() else { return };
        // A clock that went back must not stop the timer.
        if now < imports.next_ms && imports.next_ms - now <= hz {
            return;
        }
        imports.next_ms = now + hz;
        self.tend_tracked_imports();
        for (id, family) in self.active_imports() {
            match family {
                Family::Valkey => self.tend_valkey_import(id),
                Family::Redis => self.tend_redis_import(id),
            }
        }
        self.forget_old_tasks();
    }

    /// Keys of slots that were lost are gone: imports may wait for that.
    pub(in crate::engine) fn slots_are_empty(&mut self) {
        self.resume_waiting_imports();
        if self
            .slot_migration()
            .is_some_and(|migration| migration.jobs.active_of(End::Import).next().is_some())
        {
            self.imports_are_due();
        }
    }

    /// Sessions whose slots are empty now go on.
    fn resume_waiting_imports(&mut self) {
        let waiting = match self.imports_mut() {
            Some(imports) if !imports.waiting.is_empty() => std::mem::take(&mut imports.waiting),
            _ => return,
        };
        for client in waiting {
            let waits = self
                .import_of(client)
                .is_some_and(|id| self.is_losing_any(id) || self.import_is_delayed(id, client));
            match self.imports_mut() {
                Some(imports) if waits => imports.waiting.push(client),
                _ => self.actions.push_back(ServerAction::Resume(client)),
            }
        }
    }

    /// Forgets the oldest tasks of Redis's kind that are over (`cluster-slot-migration-max-archived-tasks`).
    fn forget_old_tasks(&mut self) {
        let max =
            usize::try_from(self.config.cluster_slot_migration_max_archived_tasks).unwrap_or(usize::MAX);
        let Some(migration) = self.slot_migration_mut() else { return };
        let over = migration.jobs.iter().filter(|job| job.family == Family::Redis && job.is_archived);
        let old: Vec<JobId> = over.skip(max).map(|job| job.id).collect();
        for id in old {
            migration.jobs.remove(id);
        }
    }

    pub(super) fn finish_imports_turn(&mut self) {
        while let Some(imports) = self.imports_mut()
            && std::mem::take(&mut imports.is_due)
        {
            let (closing, notes) = (std::mem::take(&mut imports.closing), std::mem::take(&mut imports.notes));
            for client in closing {
                if self.clients.sessions.get(client).is_some() {
                    self.kill(client);
                }
            }
            notes.iter().for_each(|note| self.announce_task(note));
            let due: Vec<(JobId, Family)> = self
                .slot_migration()
                .map(|migration| {
                    let active = migration.jobs.active_of(End::Import);
                    active.map(|job| (job.id, job.family)).collect()
                })
                .unwrap_or_default();
            for (id, family) in due {
                match family {
                    Family::Valkey => self.proceed_with_valkey_import(id),
                    Family::Redis => self.proceed_with_redis_import(id),
                }
            }
        }
    }

    pub(super) fn imports_topology_changed(&mut self) {
        self.hide_foreign_slots();
        for (id, family) in self.active_imports() {
            match family {
                Family::Valkey => self.check_valkey_import(id),
                Family::Redis => self.check_redis_import(id),
            }
        }
    }

    pub(super) fn imports_flushed(&mut self, command: &str) {
        let active: Vec<(JobId, Family, State)> = self
            .slot_migration()
            .map(|migration| {
                let active = migration.jobs.active_of(End::Import);
                active.map(|job| (job.id, job.family, job.state)).collect()
            })
            .unwrap_or_default();
        for (id, family, state) in active {
            match family {
                Family::Valkey if state == State::CleaningUp => {}
                Family::Valkey => self.fail_valkey_import(id, "Data was flushed"),
                Family::Redis => self.cancel_redis_import(id, command),
            }
        }
    }

    pub(super) fn import_client_left(&mut self, client: ClientId) {
        let Some(id) = self.imports_mut().and_then(|imports| imports.sessions.remove(&client)) else {
            return;
        };
        match self.import_job(id).map(|job| job.family) {
            Some(Family::Valkey) => self.fail_valkey_import(
                id,
                "Connection lost to source. Check CLUSTER GETSLOTMIGRATIONS on the source node for more information.",
            ),
            Some(Family::Redis) => self.redis_session_left(id, client),
            None => {}
        }
    }
}
