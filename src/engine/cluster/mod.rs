//! Cluster mode: the service's timer, its links, and what it wants of the rest of the server (replication, keys, subscriptions,
//! pauses, `nodes.conf`). Where a request is served is in `route.rs`.
//!
//! ```text
//! accept, bytes of the bus, timer, CLUSTER … ─▶ service ─▶ actions ─▶ links, replication, keys, subscriptions
//!                                                             └─ save ─▶ server: nodes.conf ─▶ cluster_saved: the rest
//! ```

mod lost_keys;
mod route;
mod settings;
mod slot_memory;
mod slot_stats;

use std::collections::BTreeMap;

pub use lost_keys::Trims;
pub use settings::{bus_port, port_of_kind};
use slot_memory::SlotMemory;
use slot_stats::AllSlotStats;
pub use slot_stats::SlotStats;

use super::clients::BusMessage;
use super::clients::session::{Peer, state};
use super::command::table::CommandId;
use super::links::{LinkEvent, LinkOwner};
use super::slot_migration::SlotMigration;
use super::{Engine, ServerAction};
use crate::base::crc::key_slot;
use crate::base::ids::{ClientId, LinkId};
use crate::base::slot_set::SlotSet;
use crate::engine::command::spec::flag;
use crate::resp::Reply;
use crate::services::cluster::{Action, BusLink, Cluster, Level, Local, Settings};
use crate::services::pubsub::Kind;

/// The engine's part of cluster mode.
pub struct ClusterMode {
    pub service: Cluster,
    /// Slots whose requests run here without a further look: this node's, none of which is moving, or those of its primary, while
    /// the cluster is in order.
    served: SlotSet,
    /// They are its primary's: it serves reads of clients that want that (READONLY).
    serves_readers_only: bool,
    links: BTreeMap<BusLink, LinkId>,
    bus_links: BTreeMap<LinkId, BusLink>,
    /// The data has been loaded.
    is_started: bool,
    /// When the service's timer is due, Unix ms.
    next_tick_ms: u64,
    /// `nodes.conf` is being written, and what follows waits for it.
    is_saving: bool,
    /// A request has changed the service in this turn: its reply waits for the file.
    is_commanded: bool,
    /// Slots of other nodes of which there may still be keys.
    lost: SlotSet,
    pub trims: Trims,
    slot_stats: AllSlotStats,
    slot_memory: SlotMemory,
    /// Slots that change hands as a whole.
    pub migration: SlotMigration,
}

impl ClusterMode {
    fn new(service: Cluster, now: u64) -> Self {
        ClusterMode {
            service,
            served: SlotSet::new(),
            serves_readers_only: false,
            links: BTreeMap::new(),
            bus_links: BTreeMap::new(),
            is_started: false,
            next_tick_ms: now,
            is_saving: false,
            is_commanded: false,
            lost: SlotSet::new(),
            trims: Trims::default(),
            slot_stats: AllSlotStats::default(),
            slot_memory: SlotMemory::default(),
            migration: SlotMigration::default(),
        }
    }

    fn refresh_served(&mut self) {
        let topology = &self.service.topology;
        let server = topology.primary_of(topology.me());
        self.serves_readers_only = server != topology.me();
        self.served = match self.service.is_ok() {
            true => topology.node(server).slots().clone(),
            false => SlotSet::new(),
        };
        for slot in topology.all_migrating().keys() {
            self.served.remove(*slot);
        }
    }
}

impl Engine {
    /// Makes this engine one of a cluster's node; the service has read its configuration.
    pub fn enter_cluster_mode(&mut self, service: Cluster) {
        self.clients.bus_messages = Some(Vec::new());
        self.cluster = Some(Box::new(ClusterMode::new(service, self.frame.now)));
        self.refresh_notable();
        self.with_cluster(|service, now| service.started(now));
    }

    /// What the server is, in the words of INFO and HELLO.
    pub fn mode_name(&self) -> &'static str {
        match () {
            () if self.is_sentinel() => "sentinel",
            () if self.is_cluster() => "cluster",
            () => "standalone",
        }
    }

    /// How many links to other nodes there are, and what they hold in memory, what is to be published in this turn included.
    pub fn cluster_links(&self) -> (usize, u64) {
        let Some(mode) = &self.cluster else { return (0, 0) };
        let published = self.clients.bus_messages.iter().flatten();
        let bytes = published.map(|message| message.channel.len() + message.message.len()).sum::<usize>();
        let outbound = mode.service.topology.iter().filter(|(_, node)| node.link.is_some()).count();
        (mode.links.len(), mode.service.links_memory() + (bytes * outbound) as u64)
    }

    /// Whether this server is a node of a cluster.
    #[inline]
    pub fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// Whether a request needs no look at the cluster: it has no keys, or its only key is of a slot that is surely served here.
    #[inline]
    pub(in crate::engine) fn is_surely_served(
        &self,
        client: ClientId,
        flags: u64,
        hashed: (*const u8, u64),
    ) -> bool {
        if flags & flag::ROUTED == 0 {
            return true;
        }
        let Some(mode) = self.cluster.as_ref().filter(|_| !hashed.0.is_null()) else { return false };
        let may_run = !mode.serves_readers_only
            || flags & flag::WRITE == 0 && self.clients.sessions.live(client).is(state::READS_REPLICA);
        may_run && mode.served.contains(self.data.keyspace.slot_of_hash(hashed.1))
    }

    /// ASKING holds for one request.
    pub(in crate::engine) fn end_asking(&mut self, client: ClientId, command: Option<CommandId>) {
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        let is_asking = command.is_some_and(|id| self.commands.get(id).name == "asking");
        if !is_asking && !session.is(state::IN_MULTI) {
            session.set(state::ASKING, false);
        }
    }

    /// The data has been loaded: the node takes part from now on.
    fn start_cluster(&mut self) {
        self.with_cluster(|service, now| service.loaded(now));
        self.verify_cluster_data();
    }

    /// Has the service compare the slots that there are keys in with those that this node serves.
    fn verify_cluster_data(&mut self) {
        let populated = self.data.keyspace.populated_slots();
        self.with_cluster(|service, now| service.verify_data(now, &populated));
    }

    /// Calls into the service, and does what it wants.
    pub fn with_cluster<T>(&mut self, call: impl FnOnce(&mut Cluster, u64) -> T) -> Option<T> {
        let (local, now) = (self.local_state(), self.frame.now);
        let mode = self.cluster.as_mut()?;
        mode.service.local = local;
        let result = call(&mut mode.service, now);
        self.clients.internal_secret = Some(mode.service.secret());
        if mode.is_saving {
            // What follows waits for the file; which slots are served doesn't, for the requests behind this one.
            mode.refresh_served();
        }
        self.carry_out_cluster_actions();
        Some(result)
    }

    /// As [`Self::with_cluster`] for a request, whose reply leaves when what it has changed is in `nodes.conf`.
    pub fn command_cluster<T>(&mut self, call: impl FnOnce(&mut Cluster, u64) -> T) -> Option<T> {
        if let Some(mode) = &mut self.cluster {
            mode.is_commanded = true;
        }
        self.with_cluster(call)
    }

    /// What the service is to know of the rest of the server.
    fn local_state(&self) -> Local {
        let primary = self.replication.primary.as_ref();
        let last_heard = primary.map_or(0, |primary| primary.last_heard_ms());
        let has_data = primary.is_none_or(|primary| primary.has_data());
        Local {
            // 0 says that there is no data: an empty history isn't that.
            offset: if has_data { self.stream.backlog().end().max(1) } else { 0 },
            is_link_up: self.replication.is_in_sync(),
            // The service knows the wall clock only, and what it has gone back.
            last_interaction: self.wall_time(last_heard),
            is_paused: self.clients.failover_pause,
            logs_debug: log::log_enabled!(log::Level::Trace),
        }
    }

    /// Runs the service's timer, if it is due, and what its calls have left to do.
    pub(in crate::engine) fn tick_cluster(&mut self) {
        let now = self.frame.now;
        let Some(mode) = &mut self.cluster else { return };
        if !mode.is_started {
            if self.persistence.loading.is_some() {
                mode.next_tick_ms = now + mode.service.next_tick_ms();
                return;
            }
            mode.is_started = true;
            self.start_cluster();
        }
        let Some(mode) = &mut self.cluster else { return };
        // A clock that went back must not stop the timer.
        if now >= mode.next_tick_ms || mode.next_tick_ms - now > 1000 {
            mode.next_tick_ms = now + mode.service.next_tick_ms();
            self.with_cluster(|service, now| service.tick(now));
        }
    }

    /// What is left to do once the requests and messages of a turn have been handled: before its replies leave.
    pub fn finish_cluster_turn(&mut self) {
        let Some(messages) = &mut self.clients.bus_messages else { return };
        for BusMessage { channel, message, is_sharded } in std::mem::take(messages) {
            self.with_cluster(|service, _| service.publish(&channel, &message, is_sharded));
        }
        // What they change is told and saved below.
        self.finish_slot_migration_turn();
        self.with_cluster(|service, now| service.before_sleep(now));
        if let Some(mode) = &mut self.cluster {
            mode.is_commanded &= mode.is_saving;
        }
    }

    /// Whether what a request has changed waits for `nodes.conf`, which is being written: then its reply has to wait, too.
    pub fn cluster_command_waits(&self) -> bool {
        self.cluster.as_ref().is_some_and(|mode| mode.is_commanded && mode.is_saving)
    }

    /// How long until the timer is due, ms.
    pub(in crate::engine) fn cluster_sleep_ms(&self) -> Option<u64> {
        self.cluster.as_ref().map(|mode| mode.next_tick_ms.saturating_sub(self.frame.now))
    }

    /// The directives have changed.
    pub(in crate::engine) fn configure_cluster(&mut self) {
        let settings = Settings::from_config(&self.config);
        if self.cluster.as_ref().is_some_and(|mode| mode.service.settings != settings) {
            self.with_cluster(|service, now| service.set_settings(now, settings));
        }
    }

    /// A node wants to speak on the bus; `None`: it is refused.
    pub fn accept_bus_link(&mut self, peer: &Peer) -> Option<LinkId> {
        let Peer::Tcp(remote, local) = peer else { return None };
        let (remote, local) = (remote.ip().to_canonical().to_string(), local.ip().to_canonical().to_string());
        let bus_link = self.with_cluster(|service, now| service.accepted(now, &remote, &local))??;
        let link = self.register_link(LinkOwner::Bus);
        if let Some(mode) = &mut self.cluster {
            mode.links.insert(bus_link, link);
            mode.bus_links.insert(link, bus_link);
        }
        Some(link)
    }

    pub(in crate::engine) fn bus_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let Some(mode) = &mut self.cluster else { return };
        let Some(&bus_link) = mode.bus_links.get(&link) else { return };
        match event {
            LinkEvent::Connected { .. } => {
                self.with_cluster(|service, now| service.connected(now, bus_link));
            }
            LinkEvent::Received(bytes) => {
                self.with_cluster(|service, now| service.received(now, bus_link, bytes));
                self.notice_takeover();
            }
            LinkEvent::Closed(reason) => {
                mode.bus_links.remove(&link);
                mode.links.remove(&bus_link);
                self.with_cluster(|service, now| service.closed(now, bus_link, reason));
            }
        }
    }

    /// A node that slots were granted to may have claimed them: writes go on at once. That doesn't wait for `nodes.conf`, as this node
    /// has decided nothing.
    fn notice_takeover(&mut self) {
        if self.has_lost_exports() {
            self.slots_changed();
        }
    }

    pub(in crate::engine) fn bus_link_sent(&mut self, link: LinkId, unsent: usize) {
        let bus_link = self.cluster.as_ref().and_then(|mode| mode.bus_links.get(&link)).copied();
        if let Some(bus_link) = bus_link {
            self.with_cluster(|service, now| service.sent(now, bus_link, unsent as u64));
        }
    }

    /// The server has written `nodes.conf`, or can't.
    pub fn cluster_saved(&mut self) {
        if let Some(mode) = &mut self.cluster {
            mode.is_saving = false;
        }
        self.carry_out_cluster_actions();
        if let Some(mode) = &mut self.cluster {
            mode.is_commanded &= mode.is_saving;
        }
    }

    /// To be called after each call into the service: does what it wants, or has the server do it.
    pub fn carry_out_cluster_actions(&mut self) {
        while let Some(action) =
            self.cluster.as_mut().filter(|mode| !mode.is_saving).and_then(|mode| mode.service.next_action())
        {
            self.carry_out_cluster_action(action);
        }
    }

    fn carry_out_cluster_action(&mut self, action: Action) {
        let Some(mode) = &mut self.cluster else { return };
        match action {
            Action::Connect { link: bus_link, ip, port } => {
                let link = self.open_link(LinkOwner::Bus, &ip, port);
                if let Some(mode) = &mut self.cluster {
                    mode.links.insert(bus_link, link);
                    mode.bus_links.insert(link, bus_link);
                }
            }
            Action::Send { link, bytes } => {
                if let Some(&link) = mode.links.get(&link) {
                    self.send_on_link(link, bytes.to_vec());
                }
            }
            Action::Close { link } => {
                if let Some(link) = mode.links.remove(&link) {
                    mode.bus_links.remove(&link);
                    self.close_link(link);
                }
            }
            Action::SaveConfig { sync } => {
                mode.is_saving = sync;
                let text = mode.service.nodes_conf();
                let waits = mode.is_commanded;
                self.actions.push_back(ServerAction::SaveNodes { text, sync, waits });
            }
            Action::Log { level, text } => match level {
                Level::Debug => log::trace!("{text}"),
                Level::Verbose => log::debug!("{text}"),
                Level::Notice => log::info!("{text}"),
                Level::Warning => log::warn!("{text}"),
            },
            Action::Follow { ip, port, from_scratch } => self.follow_in_cluster(&ip, port, from_scratch),
            Action::Promote => {
                self.become_primary();
            }
            Action::DeleteKeys(slots) => self.lose_slots(&slots),
            Action::VerifyData => self.verify_cluster_data(),
            Action::EndShardSubscriptions(slots) => self.end_shard_subscriptions(&slots),
            Action::Publish { channel, message, sharded } => {
                let kind = if sharded { Kind::Shard } else { Kind::Channel };
                self.clients.publish(kind, &channel, &message);
                if sharded {
                    self.add_messages_to_slot_stats(&channel, &message);
                }
            }
            Action::PauseWrites { until } => {
                if until != 0 {
                    self.cancel_tasks(None, "manual failover");
                }
                if self.clients.pause_for_failover(until != 0) {
                    self.pause_has_changed();
                }
            }
            Action::SlotsChanged => self.slots_changed(),
        }
    }

    /// Slots are served elsewhere than before, or the cluster's state is another one.
    pub fn slots_changed(&mut self) {
        self.empty_slots_that_came_back();
        if let Some(mode) = &mut self.cluster {
            mode.refresh_served();
            let topology = &mode.service.topology;
            mode.slot_stats.keep(topology.node(topology.primary_of(topology.me())).slots());
        }
        self.slot_migration_topology_changed();
        self.redirect_waiting();
    }

    fn follow_in_cluster(&mut self, ip: &str, port: u16, from_scratch: bool) {
        self.forget_lost_slots();
        let current = self.replication.primary.as_ref();
        if current.is_some_and(|primary| primary.host == ip && primary.port == port) {
            return;
        }
        if self.cluster.as_ref().is_some_and(|mode| mode.is_started) {
            self.replicate_from(ip, port);
            if from_scratch {
                self.forget_history();
            }
            // What comes of slots in this turn is no more this node's to take: the stream doesn't have it.
            self.slot_migration_topology_changed();
        } else {
            self.start_following(ip.to_owned(), port);
        }
        // It is in `nodes.conf`: no directive is to say it as well.
        self.config.replicaof.0 = None;
    }

    /// Ends the subscriptions to the sharded channels of these slots, and says so to their clients.
    fn end_shard_subscriptions(&mut self, slots: &SlotSet) {
        let all = self.clients.pubsub.channels(Kind::Shard, None);
        let gone = all.into_iter().filter(|channel| slots.contains(key_slot(channel)));
        for channel in gone.map(Box::from).collect::<Vec<Box<[u8]>>>() {
            let mut clients = Vec::new();
            if let Some(listeners) = self.clients.pubsub.listeners(Kind::Shard, &channel) {
                listeners.for_each(|client| clients.push(client));
            }
            for client in clients {
                let count = self.clients.unsubscribe(client, Kind::Shard, &channel);
                let resp3 = self.clients.sessions.live(client).resp3;
                let mut message = Reply::new(Vec::new(), resp3);
                message.push(3);
                message.bulk(b"sunsubscribe");
                message.bulk(&channel);
                message.count(count);
                self.clients.outbox.post(client, message.bytes());
            }
        }
        self.refresh_changed_recording();
    }
}
