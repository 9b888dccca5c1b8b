//! The nodes of a simulated cluster and the passing of time.

use std::collections::VecDeque;
use std::rc::Rc;

use redloop::base::ids::ClientId;
use redloop::base::rng::Rng;
use redloop::base::slot_set::SlotSet;
use redloop::services::cluster::NodeId;
use redloop::sys::simulated_disk::{Crash, SimulatedDisk};

use super::clients::{CLIENTS, ClusterClient, Key, Life};
use super::formation;
use super::resharding::Resharding;
use crate::history::{self, History};
use crate::network::Network;
use crate::node::{Node, PORT, Surroundings};

const START_MS: u64 = 1_700_000_000_000;
/// Lines that a failure shows.
const SHOWN: usize = 80;
const KEYS: usize = 8;
/// Turns in which all has to be in order again, once nothing goes wrong any more.
const PATIENCE: u64 = 1500;

/// A place for a node, which may be down.
pub struct Place {
    pub node: Option<Node>,
    pub disk: SimulatedDisk,
    config: redloop::services::config::Config,
    /// What it thought of itself when that was last looked at; whether it has done something since.
    view: Option<Rc<View>>,
    pub has_acted: bool,
    /// It has lost `nodes.conf`, and is no replica yet as it was to be.
    pub is_stranger: bool,
    /// How far its clock is ahead, ms.
    pub skew: i64,
    pub stalled_until: u64,
    pub down_until: u64,
    /// How it ends within a turn.
    pub ends_by: Crash,
    pub starts: u64,
    pub started_ms: u64,
}

/// What a node thinks of itself.
#[derive(PartialEq, Eq)]
pub struct View {
    pub id: NodeId,
    pub is_primary: bool,
    /// Of a replica.
    pub primary: Option<NodeId>,
    pub epoch: u64,
    pub slots: SlotSet,
    /// Its own, or its primary's.
    pub is_ok: bool,
}

/// What cases came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub compared: u64,
    pub writes: u64,
    pub waited: u64,
    pub reads: u64,
    pub redirected: u64,
    pub asked: u64,
    /// Owners of keys that changed; of them, those that had to have what they had acknowledged.
    pub takeovers: u64,
    pub bound: u64,
    pub crashes: u64,
    pub lost_disks: u64,
    /// Nodes that lost all, and were made members anew; of their shards, those of which nothing was left.
    pub replaced: u64,
    pub lost_shards: u64,
    /// Clocks that were set back.
    pub set_back: u64,
    pub manual: u64,
    pub keys_moved: u64,
    pub slots_moved: u64,
    pub atomic: u64,
    pub drills: u64,
    pub longest_takeover_ms: u64,
    /// Writes that were acknowledged while nothing failed.
    pub calm_writes: u64,
    /// Writes that Redis Cluster doesn't promise, and that are gone.
    pub lost_without_promise: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.compared += other.compared;
        self.writes += other.writes;
        self.waited += other.waited;
        self.reads += other.reads;
        self.redirected += other.redirected;
        self.asked += other.asked;
        self.takeovers += other.takeovers;
        self.bound += other.bound;
        self.crashes += other.crashes;
        self.lost_disks += other.lost_disks;
        self.replaced += other.replaced;
        self.lost_shards += other.lost_shards;
        self.set_back += other.set_back;
        self.manual += other.manual;
        self.keys_moved += other.keys_moved;
        self.slots_moved += other.slots_moved;
        self.atomic += other.atomic;
        self.drills += other.drills;
        self.longest_takeover_ms = self.longest_takeover_ms.max(other.longest_takeover_ms);
        self.calm_writes += other.calm_writes;
        self.lost_without_promise += other.lost_without_promise;
    }
}

impl Figures {
    /// What is looked for has been there.
    pub fn check_that_all_happened(&self) {
        let first = [self.compared, self.writes, self.waited, self.reads, self.redirected, self.asked];
        let second =
            [self.takeovers, self.bound, self.crashes, self.lost_disks, self.manual, self.keys_moved];
        let third = [self.slots_moved, self.atomic, self.drills, self.calm_writes, self.replaced];
        let fourth = [self.set_back, self.lost_shards];
        let all = first.iter().chain(&second).chain(&third).chain(&fourth);
        assert!(all.into_iter().all(|count| *count > 0), "{self:?}");
    }
}

/// See the head of this file.
pub struct ClusterWorld {
    pub seed: u64,
    /// There are few steps, and there is a drill in some cases only.
    pub is_short: bool,
    pub rng: Rng,
    pub network: Network,
    history: History,
    pub places: Vec<Place>,
    pub clients: Vec<ClusterClient>,
    pub keys: Vec<Key>,
    pub resharding: Option<Resharding>,
    pub node_timeout_ms: u64,
    /// Nothing fails, so nothing that is acknowledged may be lost.
    pub records_calm: bool,
    /// The node that the operator waits for, and its session there.
    pub asked: Option<(Life, ClientId)>,
    /// A slot has begun to move since the cluster was last at rest.
    pub has_moved_slots: bool,
    /// Attempts to put keys where they belong.
    pub strays: u32,
    /// How long the operator has waited for a replica of a primary that is gone, in looks.
    pub waited_looks: u32,
    /// Until then a replica may take over that doesn't ask its primary.
    pub forced_until: u64,
    /// A node thinks otherwise of itself than when all was checked.
    pub has_news: bool,
    trace: VecDeque<String>,
    is_verbose: bool,
    pub figures: Figures,
}

impl Drop for ClusterWorld {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let states = self.states();
            let lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
            eprintln!("REDLOOP_CLUSTER_SIMULATION_SEED={}\n{}\n{states}", self.seed, lines.join("\n"));
        }
    }
}

impl ClusterWorld {
    /// Some shards with some replicas each, as follows from a seed.
    pub fn new(seed: u64, is_verbose: bool) -> ClusterWorld {
        let mut rng = Rng::new(seed);
        let (primaries, nodes, is_short) = match rng.below(400) {
            // Minutes.
            0 if seed.is_multiple_of(100) => (50, 100, false),
            0 => (20, 40, false),
            1..=5 => (5, 15, false),
            6..=25 => (3, 9, false),
            26..=70 => (3, 6, false),
            // What fails mostly does so in few steps of few nodes.
            71..=170 => (3, 6, true),
            171..=280 => (3, 5, true),
            _ => (3, 4, true),
        };
        let node_timeout_ms = 1000 + rng.below(1000);
        let settings: Vec<(&str, &str)> = [
            ("appendonly", ["no", "yes"]),
            ("appendfsync", ["always", "everysec"]),
            ("repl-diskless-load", ["disabled", "swapdb"]),
            ("repl-backlog-size", ["1mb", "2000"]),
            ("cluster-allow-replica-migration", ["yes", "no"]),
        ]
        .iter()
        .map(|(name, values)| (*name, values[rng.below(2) as usize]))
        .collect();
        let place = |node: usize| {
            let disk = SimulatedDisk::new(seed ^ node as u64);
            disk.put(crate::nodes_conf::NODES, formation::nodes_conf(node, nodes, primaries).as_bytes());
            Place {
                node: None,
                disk,
                view: None,
                has_acted: true,
                is_stranger: false,
                config: formation::config(node, node_timeout_ms, &settings),
                skew: 0,
                stalled_until: 0,
                down_until: 0,
                ends_by: Crash::Process,
                starts: 0,
                started_ms: 0,
            }
        };
        let mut network = Network::default();
        network.now = START_MS;
        let mut world = ClusterWorld {
            seed,
            is_short,
            network,
            history: History::default(),
            places: (0..nodes).map(place).collect(),
            clients: (0..CLIENTS).map(ClusterClient::new).collect(),
            keys: (0..KEYS).map(|number| Key::new(number, &mut rng)).collect(),
            resharding: None,
            node_timeout_ms,
            records_calm: false,
            asked: None,
            strays: 0,
            waited_looks: 0,
            forced_until: 0,
            has_news: true,
            has_moved_slots: false,
            rng,
            trace: VecDeque::new(),
            is_verbose,
            figures: Figures::default(),
        };
        (0..nodes).for_each(|node| world.start(node));
        world
    }

    pub fn note(&mut self, line: String) {
        if self.trace.len() == if self.is_verbose { 40 * SHOWN } else { SHOWN } {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>8} {line}", self.network.now - START_MS));
    }

    fn states(&mut self) -> String {
        let mut lines = Vec::new();
        for number in 0..self.places.len() {
            let Some(view) = self.view(number) else {
                lines.push(format!("node {number} is down"));
                continue;
            };
            let node = self.places[number].node.as_ref().expect("it has a view");
            let (replid, offset) = history::place(&node.engine);
            let primary = node.engine.replication.primary.as_ref();
            let role = primary.map_or("primary".into(), |it| {
                format!("replica of {} ({})", i32::from(it.port) - i32::from(PORT), it.state().word())
            });
            let slots: Vec<String> =
                view.slots.ranges().map(|it| format!("{}-{}", it.start(), it.end())).collect();
            lines.push(format!(
                "node {number} {} {role} {replid} {offset} epoch {} ok {} slots {} primary {:?}",
                view.id,
                view.epoch,
                view.is_ok,
                slots.join(" "),
                view.primary
            ));
        }
        lines.push(format!("{:?}\n{:?}\n{:?}", self.keys, self.clients, self.resharding));
        lines.join("\n")
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    /// Whether a chance of one in so many comes true.
    pub fn chance(&mut self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    pub fn is_up(&self, number: usize) -> bool {
        self.places[number].node.is_some()
    }

    /// What a node that is up thinks of itself.
    pub fn view(&mut self, number: usize) -> Option<Rc<View>> {
        let place = &mut self.places[number];
        let node = place.node.as_ref()?;
        if std::mem::take(&mut place.has_acted) || place.view.is_none() {
            let service = &node.engine.cluster.as_ref()?.service;
            let me = service.topology.myself();
            let view = View {
                id: me.id,
                is_primary: me.is_primary(),
                primary: me.primary().map(|at| service.topology.node(at).id),
                epoch: me.config_epoch,
                slots: me.slots().clone(),
                is_ok: service.is_ok(),
            };
            if place.view.as_deref() != Some(&view) {
                place.view = Some(Rc::new(view));
                self.has_news = true;
            }
        }
        place.view.clone()
    }

    pub fn views(&mut self) -> Vec<Option<Rc<View>>> {
        (0..self.places.len()).map(|number| self.view(number)).collect()
    }

    /// Sends a command to a node as an operator does; its reply.
    pub fn command(&mut self, number: usize, words: &[&str]) -> String {
        let Some(node) = &mut self.places[number].node else { return String::new() };
        let reply = node.command(words);
        self.places[number].has_acted = true;
        self.note(format!("{number}: {} -> {}", words.join(" "), reply.trim_end()));
        reply
    }

    /// Something happens, time passes, and each node has a turn. `is_calm`: nothing goes wrong.
    pub fn step(&mut self, is_calm: bool) {
        self.network.set_steady(is_calm);
        self.records_calm = is_calm;
        if self.chance(12) {
            self.reshard();
        }
        if self.chance(20) {
            self.disturb(is_calm);
        }
        let ms = match self.rng.below(20) {
            0 => self.rng.below(800),
            1..=6 => self.rng.below(150),
            _ => self.rng.below(20),
        };
        self.pass(ms);
    }

    /// Lets time pass, in pieces in which timers run as they do with a loop that wakes.
    pub fn pass(&mut self, ms: u64) {
        let mut left = ms;
        loop {
            let piece = left.min(100);
            self.pass_at_once(piece);
            left -= piece;
            if left == 0 {
                return;
            }
        }
    }

    fn pass_at_once(&mut self, ms: u64) {
        self.network.now += ms;
        for number in 0..self.places.len() {
            if let Some(node) = &mut self.places[number].node {
                node.engine.clock.advance(ms * 1000);
            } else if self.places[number].down_until <= self.network.now {
                self.start(number);
            }
        }
        let up: Vec<bool> = self.places.iter().map(|place| place.node.is_some()).collect();
        let first = self.below(self.places.len());
        for number in 0..up.len() {
            self.turn((first + number) % up.len(), &up);
        }
        self.tend_clients();
        self.tend_resharding();
        self.check();
    }

    fn turn(&mut self, number: usize, up: &[bool]) {
        let place = &mut self.places[number];
        let is_awake = |node: &Node| place.stalled_until <= self.network.now && node.is_due(&self.network);
        let Some(node) = place.node.as_mut().filter(|node| is_awake(node)) else { return };
        place.has_acted = true;
        let (network, history, rng) = (&mut self.network, &mut self.history, &mut self.rng);
        let notes = self.is_verbose.then(Vec::new);
        network.running = Some((number, node.files.disk.clone()));
        let mut around = Surroundings { network, history, rng, up, notes };
        node.turn(&mut around);
        let notes = around.notes;
        self.network.running = None;
        let (fault, is_unloadable) = (node.fault.take(), node.files.is_unloadable);
        let has_ended = node.files.disk.has_ended();
        notes
            .into_iter()
            .flatten()
            .filter(|note| !note.contains("REPLCONF") && !note.contains("PING") && !note.contains("READONLY"))
            .for_each(|note| self.note(note));
        assert!(!is_unloadable || has_ended, "a file that node {number} has put in place can't be loaded");
        assert!(fault.is_none() || has_ended, "node {number}: {}", fault.unwrap_or_default());
        if has_ended {
            self.end_within(number);
        }
    }

    fn start(&mut self, number: usize) {
        let place = &mut self.places[number];
        place.starts += 1;
        (place.stalled_until, place.started_ms) = (0, self.network.now);
        let (config, disk) = (place.config.clone(), place.disk.clone());
        let seed = self.seed.wrapping_mul(31) ^ (number as u64) << 40 ^ place.starts << 50;
        let now = self.network.now.saturating_add_signed(place.skew);
        place.has_acted = true;
        place.node = Some(Node::start(number, config, disk, now, seed));
        if place.starts > 1 {
            self.note(format!("{number} starts"));
        }
    }

    pub fn crash(&mut self, number: usize, power: Crash) {
        let Some(node) = self.places[number].node.take() else { return };
        let disk = node.files.disk.crash(power);
        self.note(format!("{number} crashes: {power:?}"));
        self.end(number, disk);
    }

    fn end_within(&mut self, number: usize) {
        let disk = self.places[number].node.as_ref().and_then(|node| node.files.disk.take_found());
        let Some(disk) = disk else { return };
        self.places[number].node = None;
        self.note(format!("{number} crashes within a turn"));
        self.end(number, disk);
    }

    fn end(&mut self, number: usize, disk: SimulatedDisk) {
        self.figures.crashes += 1;
        self.places[number].view = None;
        self.has_news = true;
        self.network.node_ended(number, &mut self.rng);
        let ms = if self.chance(3) { 6 * self.node_timeout_ms } else { self.node_timeout_ms / 2 };
        let down_until = self.network.now + self.rng.below(ms);
        let place = &mut self.places[number];
        (place.disk, place.down_until) = (disk, down_until);
    }

    /// Nothing goes wrong any more, until all nodes agree and have what they should have.
    pub fn settle(&mut self) {
        self.note("everything is well from now on".into());
        self.records_calm = false;
        self.network.heal(true, &mut self.rng);
        self.network.set_steady(true);
        for place in &mut self.places {
            (place.stalled_until, place.down_until) = (0, 0);
            // One that was to crash may wait for its disk until nothing fails any more.
            place.node.iter().for_each(|node| node.files.disk.stay_up());
        }
        self.clients.iter_mut().for_each(|client| client.is_idle = true);
        let mut why = String::new();
        for turn in 0..PATIENCE {
            self.pass(if turn % 50 == 49 { 1000 } else { 40 });
            if turn % 8 == 0 {
                self.repair();
                match self.unsettled() {
                    None => {
                        self.check_rest();
                        self.clients.iter_mut().for_each(|client| client.is_idle = false);
                        return;
                    }
                    Some(reason) => why = reason,
                }
            }
        }
        panic!("the cluster doesn't come to rest: {why}");
    }

    /// A clock is set to another time. What measures time goes on as before.
    pub fn set_clock(&mut self, number: usize, by_ms: i64) {
        self.note(format!("the clock of {number} is set by {by_ms} ms"));
        let place = &mut self.places[number];
        place.skew += by_ms;
        place.node.iter_mut().for_each(|node| node.engine.clock.set(by_ms * 1000));
    }

    pub fn history_compared(&self) -> u64 {
        self.history.compared
    }
}
