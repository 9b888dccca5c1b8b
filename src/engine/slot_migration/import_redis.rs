//! Imports by Redis's protocol (CLUSTER MIGRATION IMPORT): this node connects to the source twice, for the stream and for the snapshot.
//!
//! ```text
//! main      link: handshake ─▶ link: the stream is kept while the snapshot comes ─▶ session: it is executed ─ STREAM-EOF ▶ takes over
//! snapshot                     link: handshake ─▶ session: keys ─ SNAPSHOT-EOF ▶ closed
//! ```
//!
//! One task at a time. One that fails is tried again every second, with whatever node has the slots then, until it is cancelled.

use super::faults::ChannelName;
use super::import_state::{Connection, Redis, Running, note_of};
use crate::base::ids::{ClientId, LinkId, NodeId};
use crate::base::slot_set::SlotSet;
use crate::engine::clients::session::{Role, state};
use crate::engine::links::{LinkEvent, LinkOwner};
use crate::engine::persistence::key_delay;
use crate::engine::{Engine, ServerAction};
use crate::resp::encode_request;
use crate::services::slot_migration::{
    Channel, Exports, Family, Handshake, Job, JobId, Order, Role as End, SlotRanges, State, Step,
};

/// Time between two attempts, and between two requests to a source that isn't ready, ms.
const RETRY_MS: u64 = 1000;

/// `key-load-delay` holds for so many bytes of a stream that was kept.
const DELAY_BYTES: u64 = 16 << 10;

impl Engine {
    fn redis_import(&self, id: JobId) -> Option<&Redis> {
        match self.imports()?.running.get(&id)? {
            Running::Redis(redis) => Some(redis),
            _ => None,
        }
    }

    fn redis_import_mut(&mut self, id: JobId) -> Option<&mut Redis> {
        match self.imports_mut()?.running.get_mut(&id)? {
            Running::Redis(redis) => Some(redis),
            _ => None,
        }
    }

    /// Begins a task (CLUSTER MIGRATION IMPORT); its id, or why there is none.
    pub fn import_slots(&mut self, slots: SlotRanges) -> Result<String, String> {
        let source = self.source_of(&slots, None)?;
        let me = self.cluster.as_ref().map(|mode| mode.service.topology.myself().id);
        if Some(source) == me {
            return Err("this node is already the owner of the slot range".into());
        }
        let current = self.slot_migration().and_then(|migration| {
            migration
                .jobs
                .active()
                .find(|job| job.family == Family::Redis)
                .map(|job| (job.id, job.role, job.state))
        });
        match current {
            Some((id, End::Import, State::Failed)) => {
                self.cancel_redis_import(id, "new import requested");
            }
            Some((_, End::Export, State::Failed)) => {
                self.cancel_export_tasks(None, "new import requested", Exports::cancel);
            }
            Some(_) => return Err("another ASM task is already in progress".into()),
            None => {}
        }
        let name = self.data.rng.hex(crate::base::ids::NODE_ID_LEN);
        let mut job =
            Job::new(Family::Redis, End::Import, name.clone(), slots, State::None, self.steady_now());
        (job.source, job.target) = (Some(source), me);
        log::info!("Import task {name} created: src={source}, slots={}", job.slots);
        if let Some(migration) = self.slot_migration_mut() {
            migration.jobs.add(job);
        }
        self.imports_are_due();
        Ok(name)
    }

    /// The node that has all of these slots; the error says why they can't be imported. `current`: the task that has them already.
    fn source_of(&self, slots: &SlotRanges, current: Option<JobId>) -> Result<NodeId, String> {
        let Some(mode) = &self.cluster else { return Err("cluster is not ready".into()) };
        let topology = &mode.service.topology;
        if !topology.myself().is_primary() {
            return Err("slot migration not allowed on replica.".into());
        }
        if !topology.all_importing().is_empty() || !topology.all_migrating().is_empty() {
            return Err("all slot states must be STABLE to start a slot migration task.".into());
        }
        let mut source = None;
        for range in slots.iter() {
            let overlaps = |job: &&Job| {
                Some(job.id) != current
                    && job
                        .slots
                        .iter()
                        .any(|other| other.start() <= range.end() && range.start() <= other.end())
            };
            if mode.migration.jobs.active_of(End::Import).any(|job| overlaps(&job)) {
                let (start, end) = (range.start(), range.end());
                return Err(format!("overlapping import exists for slot range: {start}-{end}"));
            }
            for slot in range.clone() {
                let Some(owner) = topology.owner(slot) else {
                    return Err(format!("slot has no owner: {slot}"));
                };
                if *source.get_or_insert(owner) != owner {
                    return Err("slots belong to different source nodes".into());
                }
            }
        }
        source.map(|source| topology.node(source).id).ok_or_else(|| "no slots".into())
    }

    /// Gives up a task, or all if there is no id; how many were given up.
    pub fn cancel_imports(&mut self, name: Option<&[u8]>, reason: &str) -> usize {
        let wanted =
            |job: &&Job| job.family == Family::Redis && name.is_none_or(|name| job.name.as_bytes() == name);
        let ids: Vec<JobId> = self
            .slot_migration()
            .map(|migration| migration.jobs.active_of(End::Import).filter(wanted).map(|job| job.id).collect())
            .unwrap_or_default();
        ids.iter().for_each(|id| self.cancel_redis_import(*id, reason));
        ids.len()
    }

    /// Gives up all tasks of Redis's kind, for what happens to this node.
    pub fn imports_cancelled(&mut self, reason: &str) -> usize {
        self.cancel_imports(None, reason)
    }

    pub(super) fn cancel_redis_import(&mut self, id: JobId, reason: &str) {
        let now = self.steady_now();
        self.fail_redis_import(id, &format!("Cancelled due to {reason}"));
        if let Some(migration) = self.slot_migration_mut() {
            migration.jobs.archive(id, State::Cancelled, None, now);
            migration.imports.running.remove(&id);
        }
        self.hide_foreign_slots();
    }

    pub(super) fn fail_redis_import(&mut self, id: JobId, reason: &str) {
        let now = self.steady_now();
        let snapshot_state = self.redis_import(id).map_or(State::None, |redis| redis.snapshot_state);
        let Some(job) = self.import_job_mut(id).filter(|job| !job.is_archived) else { return };
        let failed_before = job.state == State::Failed;
        let states = (job.state_name(), snapshot_state.name(Family::Redis));
        job.message = format!("{reason} (state: {}, rdb_channel_state: {})", states.0, states.1);
        log::warn!("Import task {} failed: slots={}, err={}", job.name, job.slots, job.message);
        if failed_before {
            return;
        }
        let had_begun = job.state != State::None;
        job.set_state(State::Failed, now);
        let (note, slots) = (note_of(job), job.slots.clone());
        let running = self.imports_mut().and_then(|imports| imports.running.remove(&id));
        if let Some(Running::Redis(redis)) = running {
            for end in [redis.main, redis.snapshot].into_iter().flatten() {
                match end {
                    Connection::Link(link, _) => {
                        if let Some(imports) = self.imports_mut() {
                            imports.links.remove(&link);
                        }
                        self.close_link(link);
                    }
                    Connection::Session(client) => self.end_import_session(client),
                }
            }
            let mut waiting = Redis::new(redis.order, now);
            waiting.next_try_ms = now + RETRY_MS;
            if let Some(imports) = self.imports_mut() {
                imports.running.insert(id, Running::Redis(Box::new(waiting)));
            }
        }
        if had_begun && let Some(note) = note {
            // Replicas are told once no call is running.
            if let Some(imports) = self.imports_mut() {
                imports.notes.push(note);
            }
            self.imports_are_due();
        }
        if self.is_cluster_primary() {
            self.drop_imported(&slots);
        } else if had_begun && let Some(job) = self.import_job(id) {
            // A replica hides them until its primary has removed them.
            let note = note_of(job);
            if let Some(imports) = self.imports_mut() {
                imports.of_primary = note;
            }
            self.hide_foreign_slots();
        }
    }

    pub(super) fn proceed_with_redis_import(&mut self, id: JobId) {
        match self.import_job(id).map(|job| job.state) {
            Some(State::None) => self.start_redis_import(id),
            Some(State::ReadyToStream) => self.stream_kept(id),
            Some(State::Takeover) => self.take_over_task(id),
            _ => {}
        }
    }

    /// Connects to the source, if nothing stands against it.
    fn start_redis_import(&mut self, id: JobId) {
        let Some(job) = self.import_job(id) else { return };
        let (slots, before, name) = (job.slots.clone(), job.source, job.name.clone());
        self.drop_imported(&slots);
        let obstacle = match () {
            () if self.is_losing_any(id) => Some("trim in progress for some of the slots"),
            () if self.clients.pause.is_some() => Some("server paused"),
            () => self.persistence.loading.is_some().then_some("loading"),
        };
        if let Some(reason) = obstacle {
            let logged = self.imports_mut().and_then(|imports| imports.held_up.replace(id));
            if logged != Some(id) {
                log::warn!("Can not start import task {name} for slots: {slots} due to {reason}");
            }
            return;
        }
        let Some(mode) = &self.cluster else { return };
        let (secret, node) = (mode.service.secret(), mode.service.topology.myself().id);
        let source = match self.source_of(&slots, Some(id)) {
            Err(reason) => return self.cancel_redis_import(id, &reason),
            Ok(source) if source == node => return self.cancel_redis_import(id, "slots owned by myself now"),
            Ok(source) => source,
        };
        if before != Some(source) {
            log::info!("Import task {name} source node changed: slots={slots}, new_source={source}");
        }
        let Some((ip, port)) = self.address_of_node(source) else { return };
        let now = self.steady_now();
        let Some(job) = self.import_job_mut(id) else { return };
        (job.source, job.started_ms) = (Some(source), Some(now));
        self.set_import_state(id, State::Connecting);
        log::info!("Import task {name} started for slots: {slots}");
        let mut redis = Redis::new(Order { secret, node, task: name, slots }, now);
        let link = self.open_link(LinkOwner::SlotImport, &ip, port);
        redis.main = Some(Connection::Link(link, Box::new(Handshake::new(Channel::Main))));
        if let Some(imports) = self.imports_mut() {
            imports.links.insert(link, (id, Channel::Main));
            imports.running.insert(id, Running::Redis(Box::new(redis)));
        }
        self.hide_foreign_slots();
        if let Some(note) = self.import_job(id).and_then(note_of) {
            self.announce_task(&note);
        }
    }

    /// Where a node's clients connect to, if that is known.
    fn address_of_node(&self, node: NodeId) -> Option<(String, u16)> {
        let topology = &self.cluster.as_ref()?.service.topology;
        let node = topology.node(topology.find(node)?);
        let port = if self.config.tls_replication { node.tls_port } else { node.tcp_port };
        (!node.ip.is_empty() && port != 0).then(|| (node.ip.clone(), port))
    }

    pub(super) fn redis_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let found = self.imports().and_then(|imports| imports.links.get(&link)).copied();
        let Some((id, channel)) = found else { return };
        if let LinkEvent::Closed(reason) = event {
            if let Some(imports) = self.imports_mut() {
                imports.links.remove(&link);
            }
            return self.channel_failed(id, channel, reason);
        }
        if self.fails_import(id, channel) {
            return self.channel_failed(id, channel, "failed on purpose");
        }
        let now = self.steady_now();
        let Some(redis) = self.redis_import_mut(id) else { return };
        redis.heard_ms = now;
        let Redis { order, main, snapshot, .. } = redis;
        let end = if channel == Channel::Main { main } else { snapshot };
        let Some(Connection::Link(_, handshake)) = end else { return };
        match event {
            LinkEvent::Connected { .. } => {
                let request = handshake.connected(order);
                let state = handshake.state();
                self.send_on_link(link, request);
                self.set_channel_state(id, channel, state);
            }
            LinkEvent::Received(bytes) => {
                let is_over = matches!(handshake.state(), State::InitRdbChannel);
                if is_over {
                    self.keep_stream(id, link, bytes)
                } else {
                    self.go_on_with_handshake(id, channel, link, bytes)
                }
            }
            LinkEvent::Closed(_) => {}
        }
    }

    fn go_on_with_handshake(&mut self, id: JobId, channel: Channel, link: LinkId, mut bytes: &[u8]) {
        loop {
            let Some(redis) = self.redis_import_mut(id) else { return };
            let Redis { order, main, snapshot, .. } = redis;
            let end = if channel == Channel::Main { main } else { snapshot };
            let Some(Connection::Link(_, handshake)) = end else { return };
            let step = handshake.receive(order, &mut bytes);
            let state = handshake.state();
            match step {
                Step::Wait => return self.set_channel_state(id, channel, state),
                Step::Send(request) => {
                    self.send_on_link(link, request);
                    self.set_channel_state(id, channel, state);
                }
                Step::NotReady => {
                    redis.next_try_ms = redis.heard_ms + RETRY_MS;
                    log::info!("Source node replied to SYNCSLOTS SYNC with -NOTREADY, will retry later...");
                    return self.set_channel_state(id, channel, state);
                }
                Step::Failed(reason) => return self.channel_failed(id, channel, &reason),
                Step::Over => {
                    self.set_channel_state(id, channel, state);
                    return match channel {
                        Channel::Main => {
                            self.connect_for_snapshot(id);
                            self.keep_stream(id, link, bytes);
                        }
                        Channel::Snapshot => self.begin_snapshot(id, link, bytes),
                    };
                }
            }
        }
    }

    fn set_channel_state(&mut self, id: JobId, channel: Channel, state: State) {
        match channel {
            Channel::Main => self.set_import_state(id, state),
            Channel::Snapshot => {
                if let Some(redis) = self.redis_import_mut(id) {
                    redis.snapshot_state = state;
                }
            }
        }
    }

    fn connect_for_snapshot(&mut self, id: JobId) {
        let source = self.import_job(id).and_then(|job| job.source);
        let Some((ip, port)) = source.and_then(|source| self.address_of_node(source)) else {
            return self.channel_failed(id, Channel::Snapshot, "the source node is unknown");
        };
        let link = self.open_link(LinkOwner::SlotImport, &ip, port);
        if let Some(imports) = self.imports_mut() {
            imports.links.insert(link, (id, Channel::Snapshot));
        }
        if let Some(redis) = self.redis_import_mut(id) {
            redis.snapshot = Some(Connection::Link(link, Box::new(Handshake::new(Channel::Snapshot))));
            redis.snapshot_state = State::Connecting;
        }
    }

    /// The snapshot's connection becomes a session, whose requests are the keys.
    fn begin_snapshot(&mut self, id: JobId, link: LinkId, unread: &[u8]) {
        self.set_import_state(id, State::AccumulateBuffer);
        match self.adopt_source(id, link, unread) {
            Some(client) => {
                if let Some(redis) = self.redis_import_mut(id) {
                    redis.snapshot = Some(Connection::Session(client));
                }
            }
            None => self.channel_failed(id, Channel::Snapshot, "it isn't connected"),
        }
    }

    fn adopt_source(&mut self, id: JobId, link: LinkId, unread: &[u8]) -> Option<ClientId> {
        if let Some(imports) = self.imports_mut() {
            imports.links.remove(&link);
        }
        let client = self.adopt_link(link, Role::Import, unread)?;
        self.make_import_session(client, id);
        self.clients.sessions.live_mut(client).set(state::INTERNAL, true);
        Some(client)
    }

    /// Keeps what comes of the stream until the snapshot is complete.
    fn keep_stream(&mut self, id: JobId, link: LinkId, bytes: &[u8]) {
        let limit = match self.config.replica_full_sync_buffer_limit {
            0 => self.settings.output_limits[1].hard,
            limit => limit,
        };
        let Some(redis) = self.redis_import_mut(id) else { return };
        redis.buffer.extend_from_slice(bytes);
        let len = redis.buffer.len();
        let is_full = !redis.is_full && limit > 0 && len as u64 > limit;
        redis.is_full |= is_full;
        if let Some(imports) = self.imports_mut() {
            imports.buffer_peak = imports.buffer_peak.max(len);
        }
        if is_full {
            log::info!(
                "Slots sync buffer limit has been reached ({limit} bytes), stopped buffering slots sync stream. Further \
                 accumulation may occur on source side."
            );
            self.pause_link(link, true);
        }
    }

    /// `SNAPSHOT-EOF` of a session: false if it has no place.
    pub fn import_snapshot_ended(&mut self, client: ClientId) -> bool {
        let Some(id) = self.import_of(client) else { return false };
        if self.fails_import(id, Channel::Snapshot) {
            self.channel_failed(id, Channel::Snapshot, "failed on purpose");
            return true;
        }
        let Some(redis) = self.redis_import_mut(id) else { return false };
        if !redis.is_session(Channel::Snapshot, client) {
            return false;
        }
        (redis.snapshot, redis.snapshot_state) = (None, State::Succeeded);
        log::info!("RDB channel snapshot transfer completed for the import task.");
        self.end_import_session(client);
        self.set_import_state(id, State::ReadyToStream);
        true
    }

    /// The snapshot is complete: the stream is executed, first what was kept of it.
    fn stream_kept(&mut self, id: JobId) {
        let Some(redis) = self.redis_import_mut(id) else { return };
        let Some(Connection::Link(link, _)) = &redis.main else { return };
        let (link, was_full) = (*link, std::mem::take(&mut redis.is_full));
        let buffer = std::mem::take(&mut redis.buffer);
        (redis.kept, redis.applied) = (buffer.len() as u64, 0);
        log::info!("Starting to stream accumulated buffer for the import task ({} bytes)", buffer.len());
        self.set_import_state(id, State::StreamingBuffer);
        if self.fails_import(id, Channel::Main) {
            return self.channel_failed(id, Channel::Main, "failed on purpose");
        }
        if was_full {
            self.pause_link(link, false);
        }
        if !buffer.is_empty() && self.slot_migration().is_some_and(|it| it.faults.stops_before_kept) {
            self.actions.push_back(ServerAction::Stop);
        }
        let Some(client) = self.adopt_source(id, link, &buffer) else {
            return self.channel_failed(id, Channel::Main, "it isn't connected");
        };
        if let Some(redis) = self.redis_import_mut(id) {
            redis.main = Some(Connection::Session(client));
        }
        self.end_streaming_kept(id);
    }

    /// What was kept of the stream has been executed: the source is told so.
    fn end_streaming_kept(&mut self, id: JobId) {
        let is_over = self.redis_import(id).is_some_and(|redis| redis.applied >= redis.kept);
        if !is_over || self.import_job(id).is_none_or(|job| job.state != State::StreamingBuffer) {
            return;
        }
        self.set_import_state(id, State::WaitStreamEof);
        if self.fails_import(id, Channel::Main) {
            return self.channel_failed(id, Channel::Main, "failed on purpose");
        }
        self.send_import_ack(id);
    }

    pub(super) fn count_imported(&mut self, id: JobId, client: ClientId, bytes: usize) {
        let Some(redis) = self.redis_import_mut(id) else { return };
        if !redis.is_session(Channel::Main, client) {
            return;
        }
        let before = redis.applied;
        redis.applied += bytes as u64;
        let (applied, kept) = (redis.applied, redis.kept);
        let is_next = before < kept && (applied / DELAY_BYTES > before / DELAY_BYTES || applied >= kept);
        if is_next && self.config.key_load_delay != 0 {
            let until_ms = self.steady_now() + key_delay(self.config.key_load_delay) / 1_000_000;
            if let Some(redis) = self.redis_import_mut(id) {
                redis.delayed_until_ms = Some(until_ms);
            }
        } else if applied >= kept && kept > 0 {
            self.end_streaming_kept(id);
        }
    }

    /// Whether a session's requests have to wait, as `key-load-delay` wants it.
    pub(super) fn import_is_delayed(&self, id: JobId, client: ClientId) -> bool {
        let now = self.steady_now();
        self.redis_import(id).is_some_and(|redis| {
            redis.delayed_until_ms.is_some_and(|until| until > now) && redis.is_session(Channel::Main, client)
        })
    }

    fn send_import_ack(&mut self, id: JobId) {
        let Some(state) = self.import_job(id).map(Job::state_name) else { return };
        let Some(redis) = self.redis_import(id) else { return };
        let Some(Connection::Session(client)) = &redis.main else { return };
        let (client, offset) = (*client, redis.applied.to_string());
        let mut request = Vec::new();
        encode_request(&mut request, ["CLUSTER", "SYNCSLOTS", "ACK", state, &offset].iter());
        self.clients.outbox.post(client, &request);
    }

    /// `STREAM-EOF` of a session: false if it has no place.
    pub fn import_stream_ended(&mut self, client: ClientId) -> bool {
        let Some(id) = self.import_of(client) else { return false };
        let Some(redis) = self.redis_import(id) else { return false };
        let state = self.import_job(id).map(|job| job.state);
        if !redis.is_session(Channel::Main, client)
            || !matches!(state, Some(State::StreamingBuffer | State::WaitStreamEof))
        {
            return false;
        }
        // All that came before it has been executed.
        self.set_import_state(id, State::Takeover);
        self.imports_are_due();
        true
    }

    fn take_over_task(&mut self, id: JobId) {
        let client = match self.redis_import(id).and_then(|redis| redis.main.as_ref()) {
            Some(Connection::Session(client)) => Some(*client),
            _ => None,
        };
        if !self.take_over_imported(id) {
            return;
        }
        if let Some(client) = client {
            self.end_import_session(client);
        }
        if let Some(note) = self.import_job(id).and_then(note_of) {
            self.announce_task(&note);
        }
    }

    /// A connection to the source has failed.
    fn channel_failed(&mut self, id: JobId, channel: Channel, reason: &str) {
        let state = self.import_job(id).map(|job| job.state);
        let text = match channel {
            Channel::Snapshot => {
                format!("RDB channel - Failed to sync with the source node: {reason}")
            }
            Channel::Main if state == Some(State::AccumulateBuffer) => {
                format!("Main channel - Read error: {reason}")
            }
            Channel::Main => format!("Main channel - Failed to sync with source node: {reason}"),
        };
        self.fail_redis_import(id, &text);
    }

    pub(super) fn redis_session_left(&mut self, id: JobId, client: ClientId) {
        let Some(redis) = self.redis_import_mut(id) else { return };
        let channel = match () {
            () if redis.is_session(Channel::Snapshot, client) => {
                redis.snapshot = None;
                "RDB"
            }
            () if redis.is_session(Channel::Main, client) => {
                redis.main = None;
                "Main"
            }
            () => return,
        };
        self.fail_redis_import(id, &format!("{channel} channel - Connection is closed"));
    }

    pub(super) fn tend_redis_import(&mut self, id: JobId) {
        let now = self.steady_now();
        let Some(state) = self.import_job(id).map(|job| job.state) else { return };
        match state {
            State::None => return self.start_redis_import(id),
            State::Failed => return self.retry_redis_import(id),
            State::StreamingBuffer | State::WaitStreamEof => {
                let now = self.steady_now();
                let delayed = self.redis_import_mut(id).map(|redis| &mut redis.delayed_until_ms);
                if delayed.is_some_and(|delayed| delayed.take_if(|until| *until <= now).is_some()) {
                    self.end_streaming_kept(id);
                }
                self.send_import_ack(id);
            }
            State::SendSyncslots => self.ask_again(id),
            _ => {}
        }
        // Which connection the source is to be heard on, and when it last was.
        let Some(redis) = self.redis_import(id) else { return };
        let heard = |end: &Option<Connection>| match end {
            Some(Connection::Session(client)) => {
                self.clients.sessions.get(*client).map(|session| session.active_ms)
            }
            _ => None,
        };
        let (channel, heard_ms) = match state {
            State::AccumulateBuffer => ("RDB", heard(&redis.snapshot).unwrap_or(redis.heard_ms)),
            State::WaitStreamEof => ("Main", heard(&redis.main).unwrap_or(redis.heard_ms)),
            State::StreamingBuffer => return,
            _ => ("Main", redis.heard_ms),
        };
        if now.saturating_sub(heard_ms) > u64::from(self.config.repl_timeout) * 1000 {
            self.fail_redis_import(id, &format!("{channel} channel - Connection timeout"));
        }
    }

    fn retry_redis_import(&mut self, id: JobId) {
        let now = self.steady_now();
        if self.redis_import(id).is_some_and(|redis| now < redis.next_try_ms) {
            return;
        }
        if let Some(imports) = self.imports_mut() {
            imports.running.remove(&id);
        }
        if let Some(job) = self.import_job_mut(id) {
            job.retries += 1;
        }
        self.set_import_state(id, State::None);
        self.start_redis_import(id);
    }

    /// The source wasn't ready.
    fn ask_again(&mut self, id: JobId) {
        let now = self.steady_now();
        let Some(redis) = self.redis_import_mut(id).filter(|redis| now >= redis.next_try_ms) else { return };
        redis.heard_ms = now;
        let Redis { order, main: Some(Connection::Link(link, handshake)), .. } = redis else { return };
        let (request, link) = (handshake.repeat(order), *link);
        self.send_on_link(link, request);
        self.set_import_state(id, State::SyncslotsReply);
    }

    /// The owners of slots, or this node's role, have changed.
    pub(super) fn check_redis_import(&mut self, id: JobId) {
        let Some(mode) = &self.cluster else { return };
        let topology = &mode.service.topology;
        if !topology.myself().is_primary() {
            return self.cancel_redis_import(id, "switching to replica");
        }
        let Some(job) = self.import_job(id) else { return };
        let mine: SlotSet = job.slots.slots().filter(|slot| topology.is_mine(*slot)).collect();
        if !mine.is_empty() {
            self.cancel_redis_import(id, "slots configuration updated");
        }
    }

    fn fails_import(&self, id: JobId, channel: Channel) -> bool {
        let Some(job) = self.import_job(id) else { return false };
        let (name, state) = match channel {
            Channel::Main => (ChannelName::ImportMain, job.state),
            Channel::Snapshot => {
                let state = self.redis_import(id).map_or(State::None, |redis| redis.snapshot_state);
                (ChannelName::ImportSnapshot, state)
            }
        };
        self.slot_migration().is_some_and(|migration| migration.fails_at(name, state))
    }

    /// Bytes that imports keep of streams, and the most that they ever did.
    pub fn import_input_memory(&self) -> (u64, u64) {
        let Some(imports) = self.imports() else { return (0, 0) };
        let kept = imports.running.values().map(|running| match running {
            Running::Redis(redis) => {
                redis.buffer.capacity() as u64 + redis.kept.saturating_sub(redis.applied)
            }
            _ => 0,
        });
        (kept.sum(), imports.buffer_peak as u64)
    }
}
