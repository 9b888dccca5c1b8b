//! The source's part of slot migrations: slots that leave this node.
//!
//! ```text
//! walk of the slots ─▶ commands, made by the writer's thread ─▶ payload ─────────────┐
//! command stream ─▶ a reader, once a turn ─▶ StreamFilter ─▶ held while it is sent ─▶┴─▶ the target's connection
//! ```
//!
//! A target of Redis has two connections, and takes both at once; one of Valkey has one, so what changes waits for the snapshot.

use std::collections::BTreeMap;

use super::faults::ChannelName;
use crate::base::ids::{ClientId, LinkId, NodeId};
use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::engine::clients::session::{Role, state};
use crate::engine::links::{LinkEvent, LinkOwner};
use crate::resp::encode_request;
use crate::services::cluster::Node;
use crate::services::command_stream::ReaderId;
use crate::services::slot_migration::{
    ExportAction as Action, ExportLimits, Exports as Service, Family, Job, JobId, Jobs, Role as End,
    SlotOwner, SlotRanges, State, StreamFilter,
};

/// How a job is given up, with a reason and the time.
type Cancel = fn(&mut Service, &mut Jobs, JobId, &str, u64);

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Exports {
    pub(super) service: Service,
    pub(super) channels: Vec<Channel>,
    /// Which nodes clients have said to be (CONF NODE-ID).
    introduced: BTreeMap<ClientId, NodeId>,
    /// Readers of exports that are over, until they leave the stream.
    pub(super) gone_readers: Vec<ReaderId>,
    /// Whose walk is under way.
    pub(super) snapshot: Option<JobId>,
}

/// The connections of an export, and what it is sent.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) job: JobId,
    pub(super) slots: SlotSet,
    pub(super) is_redis: bool,
    /// Before the target has agreed (Valkey).
    pub(super) link: Option<LinkId>,
    /// What changes goes to this client.
    pub(super) client: Option<ClientId>,
    /// The snapshot goes to this one (Redis).
    pub(super) snapshot_client: Option<ClientId>,
    /// From when the walk begins.
    pub(super) reader: Option<ReaderId>,
    pub(super) filter: StreamFilter,
    /// The snapshot isn't sent yet, and what changes waits here.
    pub(super) holds: bool,
    pub(super) held: Vec<u8>,
    /// When the target had last taken all of the snapshot that there was to send, steady ms.
    pub(super) moved_ms: u64,
}

impl Channel {
    fn new(job: JobId, slots: &SlotRanges) -> Self {
        Channel {
            job,
            slots: slots.to_set(),
            is_redis: false,
            link: None,
            client: None,
            snapshot_client: None,
            reader: None,
            filter: StreamFilter::default(),
            holds: false,
            held: Vec::new(),
            moved_ms: 0,
        }
    }

    /// The client that the snapshot goes to.
    pub(super) fn payload_client(&self) -> Option<ClientId> {
        self.snapshot_client.or(self.client)
    }
}

impl Exports {
    fn channel_mut(&mut self, job: JobId) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.job == job)
    }

    fn channel(&self, job: JobId) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.job == job)
    }

    /// The job that a client is the main connection of.
    pub(super) fn job_of(&self, client: ClientId) -> Option<JobId> {
        self.channels.iter().find(|channel| channel.client == Some(client)).map(|channel| channel.job)
    }
}

impl Engine {
    /// Begins to move slots of this node to another one (CLUSTER MIGRATESLOTS).
    pub fn export_slots(&mut self, slots: SlotRanges, target: NodeId) {
        let (now, name) = (self.steady_now(), self.data.rng.hex(40));
        let login = self.login_for_peer();
        let Some(mode) = &mut self.cluster else { return };
        let source = mode.service.topology.myself().id;
        let migration = &mut mode.migration;
        let channel = Channel::new(JobId(0), &slots);
        let exports = &mut migration.exports;
        let job = exports.service.migrate(&mut migration.jobs, (slots, name), (source, target), login, now);
        exports.channels.push(Channel { job, ..channel });
        self.carry_out_exports();
    }

    /// AUTH for other nodes, if a password is configured (`masterauth`).
    fn login_for_peer(&self) -> Option<Vec<u8>> {
        let password = self.config.masterauth.bytes()?;
        let user = self.config.masteruser.as_ref().filter(|user| !user.is_empty());
        let words = [Some(&b"AUTH"[..]), user.map(|user| user.as_bytes()), Some(password)];
        let mut bytes = Vec::new();
        encode_request(&mut bytes, words.iter().flatten());
        Some(bytes)
    }

    /// Begins to move slots to a node that asks for them (CLUSTER SYNCSLOTS SYNC).
    pub fn export_slots_to(&mut self, client: ClientId, slots: SlotRanges, name: String) {
        let now = self.steady_now();
        let Some(mode) = &mut self.cluster else { return };
        let source = mode.service.topology.myself().id;
        let migration = &mut mode.migration;
        let exports = &mut migration.exports;
        let target = exports.introduced.get(&client).copied();
        let channel = Channel::new(JobId(0), &slots);
        let job = exports.service.sync(&mut migration.jobs, (slots, name), (source, target), now);
        exports.channels.push(Channel { job, is_redis: true, client: Some(client), ..channel });
        self.become_export_client(client);
        self.carry_out_exports();
    }

    /// The second connection of such a node is there (CLUSTER SYNCSLOTS RDBCHANNEL).
    pub fn open_export_snapshot_channel(&mut self, client: ClientId, job: JobId) {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return };
        if let Some(channel) = migration.exports.channel_mut(job) {
            channel.snapshot_client = Some(client);
            migration.exports.service.rdb_channel(&mut migration.jobs, job, now);
        }
        self.become_export_client(client);
        self.wake_soon();
    }

    /// From now on a client gets no replies, and is limited as a replica is.
    fn become_export_client(&mut self, client: ClientId) {
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.set(state::REPLICA | state::EXPORT, true);
        }
    }

    /// A client says which node it is.
    pub fn introduce_target(&mut self, client: ClientId, node: NodeId) {
        if let Some(migration) = self.slot_migration_mut() {
            migration.exports.introduced.insert(client, node);
        }
    }

    /// The node that a client has said to be.
    pub fn introduced_target(&self, client: ClientId) -> Option<NodeId> {
        self.slot_migration()?.exports.introduced.get(&client).copied()
    }

    /// Gives up all that leaves this node: what an operator asks for.
    pub fn cancel_exports(&mut self, reason: &str) {
        self.end_exports(
            |_| true,
            |service, jobs, job, now| {
                service.cancel_on_request(jobs, job, reason, now);
            },
        );
    }

    /// Gives up what leaves this node in the manner of Redis, which has more reasons for that than an operator: the task of this id, or
    /// all; how many.
    pub(super) fn cancel_export_tasks(&mut self, name: Option<&[u8]>, reason: &str, cancel: Cancel) -> usize {
        let is_it =
            |job: &Job| job.family == Family::Redis && name.is_none_or(|name| job.name.as_bytes() == name);
        let ended =
            self.end_exports(is_it, |service, jobs, job, now| cancel(service, jobs, job, reason, now));
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return ended };
        // Those that have failed, and wait for their target to ask again.
        let waits = |job: &&Job| job.role == End::Export && job.state == State::Failed && !job.is_archived;
        let waiting: Vec<JobId> =
            migration.jobs.iter().filter(waits).filter(|job| is_it(job)).map(|job| job.id).collect();
        for job in &waiting {
            migration.jobs.archive(*job, State::Cancelled, None, now);
        }
        ended + waiting.len()
    }

    /// Ends those exports under way that `which` says; how many.
    fn end_exports(
        &mut self,
        which: impl Fn(&Job) -> bool,
        end: impl Fn(&mut Service, &mut Jobs, JobId, u64),
    ) -> usize {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return 0 };
        let mut count = 0;
        for job in migration.exports.service.under_way() {
            if migration.jobs.get(job).is_some_and(&which) {
                end(&mut migration.exports.service, &mut migration.jobs, job, now);
                count += 1;
            }
        }
        self.carry_out_exports();
        count
    }

    /// Bytes of an export's changes that the target hasn't been sent yet.
    pub fn export_unsent(&self, job: JobId) -> u64 {
        let channel = self.slot_migration().and_then(|migration| migration.exports.channel(job));
        channel.map_or(0, |channel| self.unsent_on(channel))
    }

    fn unsent_on(&self, channel: &Channel) -> u64 {
        let session = channel.client.and_then(|client| self.clients.sessions.get(client));
        channel.held.len() as u64 + session.map_or(0, |session| session.io.output)
    }

    /// Bytes of all exports that targets haven't been sent yet.
    pub fn export_output_memory(&self) -> u64 {
        let channels = self.slot_migration().map(|migration| &migration.exports.channels[..]);
        channels.unwrap_or_default().iter().map(|channel| self.unsent_on(channel)).sum()
    }

    /// Whether a client is the other end of an export.
    pub fn is_export_client(&self, client: ClientId) -> bool {
        self.slot_migration().is_some_and(|migration| migration.exports.job_of(client).is_some())
    }

    /// A target has sent something: the service is told of the job that it is about.
    pub fn export_client_says(
        &mut self,
        client: ClientId,
        tell: impl FnOnce(&mut Service, &mut Jobs, JobId, &ExportLimits, u64),
    ) {
        let (now, limits) = (self.steady_now(), self.export_limits());
        let Some(migration) = self.slot_migration_mut() else { return };
        let Some(job) = migration.exports.job_of(client) else { return };
        tell(&mut migration.exports.service, &mut migration.jobs, job, &limits, now);
        self.carry_out_exports();
    }

    pub(super) fn export_limits(&self) -> ExportLimits {
        let config = &self.config;
        ExportLimits {
            silence_ms: u64::from(config.repl_timeout) * 1000,
            failover_ms: config.cluster_manual_failover_timeout,
            unsent: u64::try_from(config.slot_migration_max_failover_repl_bytes).ok(),
            lag: config.cluster_slot_migration_handoff_max_lag_bytes,
            pause_ms: config.cluster_slot_migration_write_pause_timeout,
            drain_ms: config.cluster_slot_migration_sync_buffer_drain_timeout,
            prevents_pause: self.slot_migration().is_some_and(|migration| {
                migration.faults.prevents_pause
                    || migration.fails_at(ChannelName::ExportMain, State::HandoffPrep)
            }),
        }
    }

    pub(in crate::engine) fn export_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return };
        let (jobs, exports) = (&mut migration.jobs, &mut migration.exports);
        let Some(channel) = exports.channels.iter_mut().find(|channel| channel.link == Some(link)) else {
            return;
        };
        let job = channel.job;
        match event {
            LinkEvent::Connected { .. } => exports.service.connected(jobs, job, now),
            LinkEvent::Received(bytes) => exports.service.received(jobs, job, bytes, now),
            LinkEvent::Closed(reason) => {
                channel.link = None;
                exports.service.link_closed(jobs, job, reason, now);
            }
        }
        self.carry_out_exports();
    }

    /// Does what is due; the replies of the last turn have left.
    pub(super) fn tick_exports(&mut self) {
        self.detach_gone_exports();
        let (now, limits) = (self.steady_now(), self.export_limits());
        let Some(mode) = &mut self.cluster else { return };
        let migration = &mut mode.migration;
        let (channels, sessions) = (&migration.exports.channels, &self.clients.sessions);
        let unsent = |job| {
            let channel = channels.iter().find(|channel| channel.job == job);
            channel.map_or(0, |channel| {
                let session = channel.client.and_then(|client| sessions.get(client));
                channel.held.len() as u64 + session.map_or(0, |session| session.io.output)
            })
        };
        migration.exports.service.tick(&mut migration.jobs, unsent, &limits, now);
        self.end_stalled_export_snapshots();
        self.carry_out_exports();
        self.begin_due_export_snapshot();
    }

    fn detach_gone_exports(&mut self) {
        let Some(migration) = self.slot_migration_mut() else { return };
        for reader in std::mem::take(&mut migration.exports.gone_readers) {
            self.detach_reader(reader);
        }
    }

    /// Hands on what has changed in this turn.
    pub(super) fn finish_exports_turn(&mut self) {
        self.feed_exports();
    }

    /// Whether another node serves slots now that are being exported.
    pub(in crate::engine) fn has_lost_exports(&self) -> bool {
        let Some(mode) = &self.cluster else { return false };
        let topology = &mode.service.topology;
        let is_lost = |channel: &Channel| {
            channel.slots.next(0).is_some_and(|slot| topology.owner(slot) != Some(topology.me()))
        };
        mode.migration.exports.channels.iter().any(is_lost)
    }

    pub(super) fn exports_topology_changed(&mut self) {
        let now = self.steady_now();
        let Some(mode) = &mut self.cluster else { return };
        let (topology, migration) = (&mode.service.topology, &mut mode.migration);
        let (jobs, exports) = (&mut migration.jobs, &mut migration.exports);
        for channel in &exports.channels {
            let mut owners = channel.slots.iter().map(|slot| topology.owner(slot));
            let first = owners.next().flatten();
            let owner = match first.filter(|_| owners.all(|owner| owner == first)) {
                Some(owner) if owner == topology.me() => SlotOwner::Me,
                Some(owner) => SlotOwner::Node(topology.node(owner).id),
                None => SlotOwner::Several,
            };
            let job = jobs.get(channel.job);
            // With its last slots a node becomes its target's replica.
            let has_moved =
                job.is_some_and(|job| matches!(owner, SlotOwner::Node(node) if job.target == Some(node)));
            let is_demoted =
                !topology.myself().is_primary() && job.is_some_and(|job| job.family == Family::Redis);
            if is_demoted && !has_moved {
                exports.service.cancel(jobs, channel.job, "switching to replica", now);
            } else {
                exports.service.owned_by(jobs, channel.job, owner, now);
            }
        }
        self.carry_out_exports();
    }

    /// Keys were removed by FLUSHALL or FLUSHDB (`command`).
    pub(super) fn exports_flushed(&mut self, command: &str) {
        self.cancel_export_tasks(None, command, Service::cancel);
        self.end_exports(
            |job| job.family == Family::Valkey,
            |service, jobs, job, now| service.fail(jobs, job, "Data was flushed".into(), now),
        );
    }

    pub(super) fn export_client_left(&mut self, client: ClientId) {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return };
        let (jobs, exports) = (&mut migration.jobs, &mut migration.exports);
        exports.introduced.remove(&client);
        let is_its = |channel: &&mut Channel| {
            channel.client == Some(client) || channel.snapshot_client == Some(client)
        };
        let Some(channel) = exports.channels.iter_mut().find(is_its) else { return };
        let job = channel.job;
        if channel.snapshot_client == Some(client) {
            // Its target closes it when it has the snapshot.
            channel.snapshot_client = None;
            exports.service.snapshot_failed(jobs, job, now);
        } else {
            channel.client = None;
            exports.service.closed(jobs, job, now);
        }
        self.carry_out_exports();
    }

    /// Does what the service wants.
    pub(super) fn carry_out_exports(&mut self) {
        while let Some(action) =
            self.slot_migration_mut().and_then(|migration| migration.exports.service.next_action())
        {
            self.carry_out_export(action);
        }
        self.cut_exports();
    }

    /// Closes the connections of tasks of Redis that DEBUG ASM-FAILPOINT names.
    fn cut_exports(&mut self) {
        let Some(migration) = self.slot_migration() else { return };
        let Some((name, state)) = migration.faults.cut.filter(|(_, state)| *state != State::HandoffPrep)
        else {
            return;
        };
        let is_there = |channel: &&Channel| {
            channel.is_redis && migration.jobs.get(channel.job).is_some_and(|job| job.state == state)
        };
        let clients = migration.exports.channels.iter().filter(is_there).filter_map(|channel| match name {
            ChannelName::ExportMain => channel.client,
            ChannelName::ExportSnapshot => channel.snapshot_client,
            ChannelName::ImportMain | ChannelName::ImportSnapshot => None,
        });
        for client in clients.collect::<Vec<_>>() {
            self.kill(client);
        }
    }

    fn carry_out_export(&mut self, action: Action) {
        match action {
            Action::Connect { job, target } => self.connect_export(job, target),
            Action::SendOnLink { job, bytes } => {
                let link = self.slot_migration().and_then(|it| it.exports.channel(job)?.link);
                if let Some(link) = link {
                    self.send_on_link(link, bytes);
                }
            }
            Action::Adopt { job, unread } => self.adopt_export(job, &unread),
            Action::Say { job, word } => {
                let client = self.slot_migration().and_then(|it| it.exports.channel(job)?.client);
                if let Some(client) = client {
                    let mut bytes = Vec::new();
                    encode_request(&mut bytes, ["CLUSTER", "SYNCSLOTS", word].iter());
                    self.clients.outbox.post_whole(client, bytes);
                }
            }
            Action::Pause { job } => {
                self.clients.pause_for_migration(true);
                self.feed_exports();
                let (now, limits) = (self.steady_now(), self.export_limits());
                let Some(migration) = self.slot_migration_mut() else { return };
                let cuts = migration.fails_at(ChannelName::ExportMain, State::Handoff);
                let (jobs, service) = (&mut migration.jobs, &mut migration.exports.service);
                if cuts && jobs.get(job).is_some_and(|job| job.family == Family::Redis) {
                    service.hand_off(jobs, job, now);
                } else {
                    service.paused(jobs, job, &limits, now);
                }
            }
            Action::Grant { job } => self.grant_exported(job, true),
            Action::End { job } => self.end_export(job),
        }
    }

    fn connect_export(&mut self, job: JobId, target: NodeId) {
        let Some(mode) = &self.cluster else { return };
        let topology = &mode.service.topology;
        let node = topology.find(target).map(|at| topology.node(at));
        let port = |node: &Node| if self.config.tls_replication { node.tls_port } else { node.tcp_port };
        let address = node.filter(|node| !node.ip.is_empty()).map(|node| (node.ip.clone(), port(node)));
        let now = self.steady_now();
        let Some((host, port)) = address else {
            if let Some(migration) = self.slot_migration_mut() {
                let reason = "target node not found";
                migration.exports.service.link_closed(&mut migration.jobs, job, reason, now);
            }
            return;
        };
        let link = self.open_link(LinkOwner::SlotExport, &host, port);
        let channel = self.slot_migration_mut().and_then(|it| it.exports.channel_mut(job));
        if let Some(channel) = channel {
            channel.link = Some(link);
        }
    }

    /// The link becomes a client, whose requests are what the target says.
    fn adopt_export(&mut self, job: JobId, unread: &[u8]) {
        let link = self.slot_migration_mut().and_then(|it| it.exports.channel_mut(job)?.link.take());
        let Some(client) = link.and_then(|link| self.adopt_link(link, Role::Normal, unread)) else { return };
        self.become_export_client(client);
        if let Some(channel) = self.slot_migration_mut().and_then(|it| it.exports.channel_mut(job)) {
            channel.client = Some(client);
        }
        self.wake_soon();
    }

    /// Whether another node may take an export's slots whatever its epoch.
    fn grant_exported(&mut self, job: JobId, may: bool) {
        let Some(mode) = &mut self.cluster else { return };
        let Some(channel) = mode.migration.exports.channel(job) else { return };
        let target = mode.migration.jobs.get(job).and_then(|job| job.target);
        for slot in channel.slots.iter() {
            if may {
                mode.service.granted.insert(slot, target);
            } else {
                mode.service.granted.remove(&slot);
            }
        }
    }

    fn end_export(&mut self, job: JobId) {
        self.grant_exported(job, false);
        let Some(migration) = self.slot_migration_mut() else { return };
        let is_redis_success = migration
            .jobs
            .get(job)
            .is_some_and(|job| job.family == Family::Redis && job.state == State::Succeeded);
        let exports = &mut migration.exports;
        let Some(at) = exports.channels.iter().position(|channel| channel.job == job) else { return };
        let channel = exports.channels.remove(at);
        exports.gone_readers.extend(channel.reader);
        let still_paused = migration.jobs.active().any(|job| {
            matches!(
                job.state,
                State::FailoverPaused | State::FailoverGranted | State::HandoffPrep | State::StreamEof
            ) && exports.service.is_under_way(job.id)
        });
        self.drop_export_snapshot(job);
        if let Some(link) = channel.link {
            self.close_link(link);
        }
        for client in channel.snapshot_client.into_iter().chain(channel.client) {
            // A target that has everything closes its connections itself.
            if !is_redis_success {
                self.kill(client);
            }
        }
        if !still_paused && self.clients.pause_for_migration(false) {
            self.pause_has_changed();
        }
        self.wake_soon();
    }
}
