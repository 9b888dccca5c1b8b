//! What is done ten times a second (`clusterCron`) and after each batch of events (`clusterBeforeSleep`).

use super::ids::NodeRef;
use super::message::PingKind;
use super::node::flag;
use super::todo::Todo;
use super::{Action, Cluster, Level};

/// ms.
const PERIOD: u64 = 100;
/// Ticks between two PINGs to a node that was chosen at random, and of how many the one is pinged whose last PONG is the oldest.
const RANDOM_PING_TICKS: u64 = 10;
const RANDOM_PING_SAMPLE: usize = 5;
/// The shortest time that a handshake may take, ms.
const MIN_HANDSHAKE_TIMEOUT: u64 = 1000;
/// How often in half a node timeout it is tried to connect to a node.
const CONNECT_ATTEMPTS: u64 = 10;

/// What a tick finds out about replicas, for their migration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReplicaCounts {
    /// Primaries that should have replicas and have none that works.
    pub orphaned: usize,
    /// The most working replicas of one primary, and those of this node's.
    pub most: usize,
    pub of_mine: usize,
}

impl Cluster {
    /// How long to wait until the next tick, ms.
    pub fn next_tick_ms(&self) -> u64 {
        PERIOD
    }

    /// Does what is due. To be called every [`Self::next_tick_ms`].
    pub fn tick(&mut self, now: u64) {
        self.set_now(now);
        self.ticks += 1;
        self.check_links();
        self.connect_nodes();
        if self.ticks.is_multiple_of(RANDOM_PING_TICKS) && !self.faults.no_random_pings {
            self.ping_random();
        }
        let (is_suspicion_new, counts) = self.check_nodes();
        self.check_link_limits();
        self.resolve_open_slots();
        self.follow_primary();
        self.check_manual_failover_timeout();
        if self.topology.myself().is_replica() {
            self.handle_manual_failover();
            self.handle_failover();
            self.consider_migration(counts);
        }
        if is_suspicion_new || !self.state.is_ok {
            self.update_state();
        }
        self.before_sleep(now);
    }

    /// Does what a batch of events has left to do. Nothing is sent before: what messages tell is saved first.
    pub fn before_sleep(&mut self, now: u64) {
        self.set_now(now);
        let todo = std::mem::take(&mut self.todo);
        if todo.update_state {
            self.update_state();
        }
        if self.topology.myself().is_replica() {
            if todo.manual_failover {
                self.handle_manual_failover();
            }
            if todo.manual_failover || todo.failover {
                self.handle_failover();
            }
        } else if todo.manual_failover {
            self.tell_paused_offset();
        }
        let late = std::mem::take(&mut self.todo);
        // What these steps leave to do concerns the next batch, but for the configuration, which they may already send.
        self.todo = Todo { save: false, sync: false, broadcast: false, ..late };
        if todo.save || late.save {
            self.push(Action::SaveConfig { sync: todo.sync || late.sync });
        }
        if todo.save || todo.update_state || late.save {
            self.push(Action::SlotsChanged);
        }
        if todo.broadcast || late.broadcast {
            self.broadcast_pong();
        }
        self.flush_outbox();
    }

    /// Whether [`Self::before_sleep`] has something to do.
    pub fn is_busy(&self) -> bool {
        self.todo != Todo::default() || !self.outbox.is_empty()
    }

    pub(super) fn handshake_timeout(&self) -> u64 {
        self.settings.node_timeout_ms.max(MIN_HANDSHAKE_TIMEOUT)
    }

    /// Whether a node has been known for longer than a handshake may take.
    pub(super) fn is_past_handshake(&self, at: NodeRef) -> bool {
        self.since(self.topology.node(at).created) > self.handshake_timeout()
    }

    /// Ends handshakes that take too long, connects to nodes, asks those for a link that have none to this one.
    fn connect_nodes(&mut self) {
        let interval = self.settings.node_timeout_ms / 2;
        let nodes = self.topology.len() as u64;
        let mut attempts = (nodes * PERIOD).checked_div(interval).unwrap_or(0) * CONNECT_ATTEMPTS;
        self.suspected = 0;
        for at in (0..self.topology.places()).map(NodeRef) {
            let Some(node) = self.topology.get(at) else { continue };
            if node.is(flag::MYSELF | flag::NOADDR) {
                continue;
            }
            self.suspected += usize::from(node.is(flag::PFAIL));
            if node.is(flag::HANDSHAKE) && self.is_past_handshake(at) {
                let text = format!("Clusterbus handshake timeout {}:{}", node.ip, node.bus_port);
                self.log(Level::Warning, text);
                self.remove_node(at);
                continue;
            }
            self.meet_again(at);
            let node = self.topology.node(at);
            if node.link.is_some() || self.faults.no_connections {
                continue;
            }
            let is_recent = self.since(node.link_tried_at) < interval / CONNECT_ATTEMPTS;
            if node.inbound.is_none() && is_recent && attempts == 0 {
                continue;
            }
            attempts = attempts.saturating_sub(1);
            self.open_link(at);
        }
    }

    /// Sends a MEET to a node that answers but has no link to this one: probably it doesn't know it.
    fn meet_again(&mut self, at: NodeRef) {
        let (node, timeout) = (self.topology.node(at), self.handshake_timeout());
        let Some(link) = node.link else { return };
        if node.is_normal()
            && node.inbound.is_none()
            && node.is(flag::LIGHT_MODULE)
            && self.since(node.inbound_lost_at) > timeout
            && self.since(node.meet_sent) > timeout
            && self.links.get(&link).is_some_and(|link| link.is_connected)
        {
            self.topology.node_mut(at).set(flag::MEET, true);
            let name = self.name(at);
            self.log(
                Level::Notice,
                format!("Sending MEET packet to node {name} because there is no inbound link for it"),
            );
            self.send_ping(link, PingKind::Meet);
        }
    }

    /// Pings one of some random nodes: the one whose last PONG is the oldest.
    fn ping_random(&mut self) {
        let places = u64::from(self.topology.places());
        let mut oldest = None;
        for _ in 0..RANDOM_PING_SAMPLE {
            let at = NodeRef(self.rng.below(places) as u16);
            let Some(node) = self.topology.get(at) else { continue };
            if node.ping_sent != 0 || node.is(flag::MYSELF | flag::HANDSHAKE) {
                continue;
            }
            let Some(link) = node.link else { continue };
            if oldest.is_none_or(|(_, pong)| node.pong_received < pong) {
                oldest = Some((link, node.pong_received));
            }
        }
        if let Some((link, _)) = oldest {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// Pings nodes, renews links, suspects nodes that don't answer. Whether one is suspected that wasn't before.
    fn check_nodes(&mut self) -> (bool, ReplicaCounts) {
        let mut counts = ReplicaCounts::default();
        let mut is_suspicion_new = false;
        let (am_replica, my_primary) =
            (self.topology.myself().is_replica(), self.topology.myself().primary());
        for at in (0..self.topology.places()).map(NodeRef) {
            let Some(node) = self.topology.get(at) else { continue };
            if node.is(flag::MYSELF | flag::NOADDR | flag::HANDSHAKE) {
                continue;
            }
            if am_replica && node.is_primary() && !node.is(flag::FAIL) {
                let working = self.working_replicas(at);
                let is_orphaned = working == 0 && node.is_voter() && node.is(flag::MIGRATE_TO);
                counts.orphaned += usize::from(is_orphaned);
                counts.most = counts.most.max(working);
                if my_primary == Some(at) {
                    counts.of_mine = working;
                }
            }
            is_suspicion_new |= self.check_node(at);
        }
        (is_suspicion_new, counts)
    }

    /// Replicas of a node that haven't failed.
    pub(super) fn working_replicas(&self, at: NodeRef) -> usize {
        let works = |replica: &&NodeRef| !self.topology.node(**replica).is(flag::FAIL);
        self.topology.node(at).replicas().iter().filter(works).count()
    }

    fn check_node(&mut self, at: NodeRef) -> bool {
        let timeout = self.settings.node_timeout_ms;
        self.renew_link(at);
        let node = self.topology.node(at);
        let interval =
            if self.settings.ping_interval_ms > 0 { self.settings.ping_interval_ms } else { timeout / 2 };
        let is_ping_due = node.ping_sent == 0 && self.since(node.pong_received) > interval;
        if let Some(link) = node.link
            && (is_ping_due || self.is_failing_over_to(at))
        {
            self.send_ping(link, PingKind::Ping);
            return false;
        }
        // Whatever comes from a node shows that it works: under load its PONGs may be late.
        let delay = self.since(node.ping_sent).min(self.since(node.data_received));
        node.ping_sent != 0 && delay > timeout && !node.is(flag::PFAIL | flag::FAIL) && self.suspect(at)
    }

    /// Closes an outbound link on which nothing has come for half the timeout: maybe only the connection is broken.
    fn renew_link(&mut self, at: NodeRef) {
        let timeout = self.settings.node_timeout_ms;
        let node = self.topology.node(at);
        let Some(link) = node.link else { return };
        let age = self.links.get(&link).map_or(0, |link| self.since(link.created));
        let is_silent =
            self.since(node.ping_sent) > timeout / 2 && self.since(node.data_received) > timeout / 2;
        if age > timeout && node.ping_sent != 0 && is_silent {
            self.close_link(link);
        }
    }
}
