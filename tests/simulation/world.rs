//! Several servers, what happens to them, and what has to hold.

use std::collections::VecDeque;

use redloop::base::rng::Rng;
use redloop::engine::Engine;
use redloop::services::config::Config;
use redloop::sys::simulated_disk::{Crash, SimulatedDisk};

use crate::history::{self, History};
use crate::network::Network;
use crate::node::{Node, OWN, PORT, Surroundings};
use crate::promises::{Promises, Waited, Waiting};
use crate::request::Request;
use crate::rules::Rules;
use crate::settings;
use crate::snapshot;

mod restarts;

const START_MS: u64 = 1_700_000_000_000;
/// Lines that a failure shows.
const SHOWN: usize = 60;
/// Turns in which the replicas have to become equal, once nothing happens any more.
const PATIENCE: u64 = 8000;
/// Requests of one client that wait at most.
const QUEUE: usize = 30;

/// A place for a server, which may be down.
pub struct Slot {
    pub node: Option<Node>,
    disk: SimulatedDisk,
    config: Config,
    /// How far its clock is ahead, ms.
    skew: i64,
    /// It runs no turn before.
    stalled_until: u64,
    /// It stays down until.
    down_until: u64,
    /// How it ends within a turn.
    ends_by: Crash,
    pub starts: u64,
    /// The node whose replica it should be.
    wanted: Option<usize>,
    pub promises: Promises,
}

/// What a case came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub recorded: u64,
    pub compared: u64,
    pub waited: u64,
    pub failovers: u64,
    pub restarts: u64,
    pub full: u64,
    pub partial: u64,
    /// Crashes within a turn.
    pub within: u64,
    /// Writes that logs had promised to keep, and that are there after a crash.
    pub kept: u64,
    /// Writes that survived the end of a process without a promise of their own, and those that a second has made durable.
    pub survived: u64,
    pub seconds: u64,
    /// Writes at replicas.
    pub own: u64,
    /// Of them, those that are gone after a full synchronization, and when their time was over.
    pub gone: u64,
    pub due: u64,
}

pub struct World {
    seed: u64,
    pub rng: Rng,
    network: Network,
    history: History,
    pub slots: Vec<Slot>,
    pub leader: usize,
    /// The replication id of the leader's data, as last seen.
    pub line: String,
    /// The marker that is being written or waited for.
    pub waiting: Option<Waiting>,
    pub markers: u64,
    pub waited: Vec<Waited>,
    trace: VecDeque<String>,
    /// The trace has all requests.
    is_verbose: bool,
    /// Some replicas may be written to.
    has_own_writes: bool,
    /// Nothing is left to chance but the network's delays.
    is_plain: bool,
    pub figures: Figures,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
            eprintln!("REDLOOP_SIMULATION_SEED={}\n{}\n{}", self.seed, lines.join("\n"), self.states());
        }
    }
}

impl World {
    /// Up to four servers, with what follows from a seed.
    pub fn new(seed: u64, is_verbose: bool) -> World {
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(3) as usize;
        let shared = settings::shared(&mut rng);
        let has_own_writes = rng.below(3) == 0;
        let configs = (0..count).map(|_| {
            let may_write = has_own_writes && rng.below(2) == 0;
            settings::config(&mut rng, shared, may_write)
        });
        let configs = configs.collect();
        let mut world = Self::of(seed, rng, configs, is_verbose);
        world.has_own_writes = has_own_writes;
        for number in 1..count {
            world.slots[number].wanted = Some(world.below(number));
        }
        for number in 0..count {
            world.slots[number].skew = if world.chance(3) { world.rng.below(5000) as i64 } else { 0 };
            world.start(number);
        }
        world
    }

    /// So many servers with the same settings, all of them replicas of the first.
    pub fn plain(count: usize) -> World {
        Self::plain_with(count, &[])
    }

    /// [`Self::plain`] with further settings.
    pub fn plain_with(count: usize, settings: &[(&str, &str)]) -> World {
        let configs = (0..count).map(|_| settings::plain(settings)).collect();
        let mut world = Self::of(1, Rng::new(1), configs, true);
        world.is_plain = true;
        world.has_own_writes = true;
        (1..count).for_each(|number| world.slots[number].wanted = Some(0));
        (0..count).for_each(|number| world.start(number));
        world
    }

    fn of(seed: u64, rng: Rng, configs: Vec<Config>, is_verbose: bool) -> World {
        let slot = |(number, config): (usize, Config)| Slot {
            node: None,
            disk: SimulatedDisk::new(seed ^ number as u64),
            config,
            skew: 0,
            stalled_until: 0,
            down_until: 0,
            ends_by: Crash::Process,
            starts: 0,
            wanted: None,
            promises: Promises::default(),
        };
        let mut network = Network::default();
        network.now = START_MS;
        World {
            seed,
            rng,
            network,
            history: History::default(),
            slots: configs.into_iter().enumerate().map(slot).collect(),
            leader: 0,
            line: String::new(),
            waiting: None,
            markers: 0,
            waited: Vec::new(),
            trace: VecDeque::new(),
            is_verbose,
            has_own_writes: false,
            is_plain: false,
            figures: Figures::default(),
        }
    }

    pub fn note(&mut self, line: String) {
        if self.trace.len() == if self.is_verbose { 10 * SHOWN } else { SHOWN } {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>8} {line}", self.network.now - START_MS));
    }

    fn check(&self, holds: bool, what: &str) {
        assert!(holds, "{what}");
    }

    /// One line a node.
    fn states(&self) -> String {
        let line = |(number, slot): (usize, &Slot)| match &slot.node {
            None => format!("node {number} is down"),
            Some(node) => {
                let (replid, offset) = history::place(&node.engine);
                let identity = &node.engine.replication.identity;
                let primary = node.engine.replication.primary.as_ref();
                let role = primary.map_or("primary".into(), |it| {
                    format!("replica of {} ({})", it.port - PORT, it.state().word())
                });
                format!(
                    "node {number}{} {role}, wanted {:?}: {replid} {offset}, before {} {}; stream from {}, {} replicas, stalled {}",
                    if number == self.leader { " (leader)" } else { "" },
                    slot.wanted,
                    identity.replid2(),
                    identity.second_offset(),
                    node.engine.backlog().start(),
                    node.engine.replication.replicas.len(),
                    slot.stalled_until > self.network.now,
                )
            }
        };
        self.slots.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    /// Whether a chance of one in so many comes true.
    fn chance(&mut self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    /// Something happens, time passes, and each node has a turn. `is_calm`: nothing goes wrong.
    pub fn step(&mut self, rules: &Rules, is_calm: bool) {
        match self.rng.below(200) {
            0..=109 => self.traffic(rules),
            110..=149 => self.wait_traffic(),
            170..=184 if self.has_own_writes => self.own_traffic(),
            150..=169 if !is_calm => self.disturb(),
            _ => {}
        }
        self.align(6);
        let ms = match self.rng.below(20) {
            0 => self.rng.below(1500),
            1..=4 => self.rng.below(200),
            _ => self.rng.below(20),
        };
        self.pass(ms);
    }

    /// One of the things that go wrong, or that operators do.
    fn disturb(&mut self) {
        let (node, other) = (self.below(self.slots.len()), self.below(self.slots.len()));
        match self.rng.below(30) {
            0..=2 if node != other => {
                self.note(format!("{node} and {other} are parted"));
                self.network.part(node, other);
            }
            3..=8 => self.network.heal(false, &mut self.rng),
            9..=12 => self.network.reset_any(&mut self.rng),
            13 | 14 => {
                let power = if self.chance(2) { Crash::Power } else { Crash::Process };
                if self.chance(2) {
                    self.crash(node, power);
                } else {
                    self.crash_within(node, power);
                }
            }
            15 => self.restart_saved(node),
            16 | 17 => self.save(node),
            18 | 19 => {
                let ms = if self.chance(6) { 12_000 } else { 800 };
                self.slots[node].stalled_until = self.network.now + self.rng.below(ms);
                self.note(format!("{node} stalls"));
            }
            20..=22 => self.fail_over(true),
            23 => self.fail_over(false),
            24 => self.rewire(node, other),
            25 if self.chance(3) => self.flush(),
            26 => self.squeeze(),
            27 if node != self.leader => {
                self.note(format!("{node} is made a primary for a while"));
                self.command(node, &["REPLICAOF", "NO", "ONE"]);
            }
            28 => self.set_clock(node),
            _ => {}
        }
    }

    /// A node's clock is set forwards or back, by seconds or as where a summer ends. What measures time goes on as before.
    fn set_clock(&mut self, number: usize) {
        let ms = if self.chance(3) { 3_600_000 } else { self.rng.below(10_000) as i64 };
        let ms = if self.chance(3) { ms } else { -ms };
        self.note(format!("the clock of {number} is set by {ms} ms"));
        let slot = &mut self.slots[number];
        slot.skew += ms;
        slot.node.iter_mut().for_each(|node| node.engine.clock.set(ms * 1000));
    }

    /// Lets time pass, and each node run a turn.
    pub fn pass(&mut self, ms: u64) {
        self.network.now += ms;
        for number in 0..self.slots.len() {
            if let Some(node) = &mut self.slots[number].node {
                node.engine.clock.advance(ms * 1000);
            } else if self.slots[number].down_until <= self.network.now {
                self.start(number);
            }
        }
        let up: Vec<bool> = self.slots.iter().map(|slot| slot.node.is_some()).collect();
        let first = self.below(self.slots.len());
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[(first + number) % up.len()];
            let Some(node) = slot.node.as_mut().filter(|_| slot.stalled_until <= self.network.now) else {
                continue;
            };
            let (network, history, rng) = (&mut self.network, &mut self.history, &mut self.rng);
            let notes = self.is_verbose.then(Vec::new);
            network.running = Some((node.number, node.files.disk.clone()));
            let mut around = Surroundings { network, history, rng, up: &up, notes };
            node.turn(&mut around);
            let notes = around.notes;
            self.network.running = None;
            assert!(
                !node.files.is_unloadable,
                "a file that node {} has put in place can't be loaded",
                node.number
            );
            let (number, fault) = (node.number, node.fault.take());
            notes.into_iter().flatten().for_each(|note| self.note(note));
            self.check(fault.is_none(), &format!("node {number}: {}", fault.unwrap_or_default()));
            self.tend_promises(number);
            self.end_within(number);
        }
        self.see_leader();
    }

    /// Commands of a client, mostly to the leader.
    fn traffic(&mut self, rules: &Rules) {
        let number = if self.chance(10) { self.below(self.slots.len()) } else { self.leader };
        let client = 1 + self.below(OWN - 1);
        // A base of commands can't say that an entry is pending which is gone from its stream (as in Redis).
        let loses_pending =
            self.slots.iter().any(|slot| slot.config.appendonly && !slot.config.aof_use_rdb_preamble);
        let Some(node) = &mut self.slots[number].node else { return };
        if node.clients[client].queue.len() > QUEUE {
            return;
        }
        for _ in 0..1 + self.rng.below(4) {
            for words in rules.generate(&mut self.rng) {
                // It would take the markers with it; and PFCOUNT changes a value at a replica, too (as in Redis).
                if [b"FLUSHALL".as_slice(), b"PFCOUNT"].iter().any(|name| words[0].eq_ignore_ascii_case(name))
                {
                    continue;
                }
                // Weights make negative zeros, too: of zeros, or of negative scores.
                if words.iter().any(|word| word.eq_ignore_ascii_case(b"WEIGHTS")) {
                    continue;
                }
                if loses_pending && removes_stream_entries(&words) {
                    continue;
                }
                let words: Vec<_> = words.into_iter().map(without_negative_zero).collect();
                node.clients[client].queue.push_back(Request::from_words(&words));
            }
        }
    }

    /// Sends a command to a node; its reply.
    pub fn command(&mut self, number: usize, words: &[&str]) -> String {
        let Some(node) = &mut self.slots[number].node else { return String::new() };
        let was_primary = !node.engine.replication.is_replica();
        let reply = node.command(words);
        if was_primary {
            // Before it became a replica, it may have evicted keys for the sake of the command.
            node.look_as(true, &mut self.history, self.is_verbose);
            self.slots[number].promises.was_primary();
        }
        self.note(format!("{number}: {} -> {}", words.join(" "), reply.trim_end()));
        reply
    }

    /// Makes nodes replicas of those that they should be replicas of; each with a chance of one in so many.
    fn align(&mut self, chance: u64) {
        for number in 0..self.slots.len() {
            let wanted = self.slots[number].wanted;
            let Some(node) = &self.slots[number].node else { continue };
            let primary = node.engine.replication.primary.as_ref();
            if primary.map(|primary| usize::from(primary.port - PORT)) == wanted || !self.chance(chance) {
                continue;
            }
            match wanted {
                None => self.command(number, &["REPLICAOF", "NO", "ONE"]),
                Some(wanted) => {
                    let port = (usize::from(PORT) + wanted).to_string();
                    self.command(number, &["REPLICAOF", "10.0.0.1", &port])
                }
            };
        }
    }

    /// Whether `number` is above `of`, or is it.
    fn is_above(&self, number: usize, mut of: usize) -> bool {
        loop {
            if of == number {
                return true;
            }
            match self.slots[of].wanted {
                Some(above) => of = above,
                None => return false,
            }
        }
    }

    /// Lets a replica follow another node.
    fn rewire(&mut self, number: usize, to: usize) {
        if number != self.leader && !self.is_above(number, to) {
            self.slots[number].wanted = Some(to);
        }
    }

    /// Makes a replica the leader: with `best` the one that has most of the leader's data.
    fn fail_over(&mut self, best: bool) {
        let places = self.slots.iter().enumerate().filter(|(number, _)| *number != self.leader);
        let places = places.filter_map(|(number, slot)| Some((number, slot, slot.node.as_ref()?)));
        let candidates: Vec<(u64, usize, u64)> = places
            .filter(|(_, _, node)| node.engine.persistence.loading.is_none())
            .map(|(number, slot, node)| (history::place(&node.engine), number, slot.starts))
            .filter(|((replid, _), ..)| *replid == self.line)
            .map(|((_, offset), number, starts)| (offset, number, starts))
            .collect();
        if candidates.is_empty() {
            return;
        }
        let chosen = self.below(candidates.len());
        let chosen = if best { candidates.iter().max().copied() } else { Some(candidates[chosen]) };
        let Some((offset, new, _)) = chosen else { return };
        if !self.command(new, &["REPLICAOF", "NO", "ONE"]).starts_with("+OK") {
            return;
        }
        self.figures.failovers += 1;
        self.note(format!("{new} at {offset} is the leader from now on, of {candidates:?}"));
        self.waiting = None;
        for waited in &mut self.waited {
            let is_kept =
                candidates.iter().any(|(_, number, starts)| waited.by.contains(&(*number, *starts)));
            let has_it = offset >= waited.offset;
            assert!(
                has_it || !best || !is_kept,
                "{} at {} was acknowledged by {:?}",
                waited.marker,
                waited.offset,
                waited.by
            );
            waited.by.clear();
        }
        self.waited.retain(|waited| waited.offset <= offset);
        self.lead(new);
        let (number, other) = (self.below(self.slots.len()), self.below(self.slots.len()));
        self.rewire(number, other);
        self.find_markers(new);
    }

    fn save(&mut self, number: usize) {
        self.command(number, &["BGSAVE"]);
    }

    /// The leader's data goes, all of it.
    fn flush(&mut self) {
        let leader = self.leader;
        // What is written at a replica before it knows of this is gone, too.
        if !self.has_own_writes && self.command(leader, &["FLUSHALL"]).starts_with("+OK") {
            (self.waiting, self.waited) = (None, Vec::new());
            self.slots.iter_mut().for_each(|slot| slot.promises.forget());
        }
    }

    /// Memory of the leader gets short, or is enough again.
    fn squeeze(&mut self) {
        let is_enough = self.chance(2);
        let Some(node) = &mut self.slots[self.leader].node else { return };
        let mut config = node.engine.config.clone();
        // How much is used depends on other cases, too.
        config.maxmemory = if is_enough { 0 } else { 1 };
        node.engine.configure(config);
    }

    /// Nothing goes wrong any more, and clients write nothing: all replicas get equal to the leader.
    pub fn finish(&mut self) {
        self.note("everything is well from now on".into());
        self.network.heal(true, &mut self.rng);
        for slot in &mut self.slots {
            (slot.stalled_until, slot.down_until) = (0, 0);
            let clients = slot.node.iter_mut().flat_map(|node| &mut node.clients);
            clients.for_each(|client| client.queue.clear());
        }
        self.waiting = None;
        for turn in 0..PATIENCE {
            self.align(2);
            // What is due soon comes in small steps, back-offs in large ones.
            let ms = if turn < 300 { 20 } else { 100 };
            self.pass(ms);
            if self.is_settled() {
                return self.compare();
            }
        }
        panic!("the replicas don't get equal to their primary");
    }

    /// Until all nodes are equal.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            self.align(1);
            self.pass(10);
            if self.is_settled() {
                return;
            }
        }
        panic!("the replicas don't get equal to their primary");
    }

    /// A client of a node sends a request, which is executed at once.
    pub fn send(&mut self, number: usize, words: &[&str]) {
        let Some(node) = &mut self.slots[number].node else { return };
        let (status, reply) = Request::from_words(words).run(&mut node.engine, node.clients[1].id);
        self.note(format!("{number}: {} -> {status:?} {}", words.join(" "), reply.escape_ascii()));
    }

    /// Whether a node that is up has a key.
    pub fn has(&mut self, number: usize, db: usize, key: &str) -> bool {
        self.slots[number].node.as_mut().expect("it is up").has(db, key)
    }

    /// Whether the client of [`Self::send`] waits.
    pub fn waits(&self, number: usize) -> bool {
        let node = self.slots[number].node.as_ref().expect("it is up");
        node.engine.clients.sessions.live(node.clients[1].id).waiting.is_some()
    }

    /// The engine of a node that is up.
    pub fn engine(&self, number: usize) -> &Engine {
        &self.slots[number].node.as_ref().expect("it is up").engine
    }

    /// Makes a node the leader, and all others its replicas.
    pub fn promote(&mut self, number: usize) {
        self.command(number, &["REPLICAOF", "NO", "ONE"]);
        self.lead(number);
    }

    fn lead(&mut self, number: usize) {
        self.leader = number;
        for (other, slot) in self.slots.iter_mut().enumerate() {
            slot.wanted = (other != number).then_some(number);
        }
    }

    /// Whether all nodes are connected, and at the leader's offset.
    fn is_settled(&self) -> bool {
        let place = |slot: &Slot| slot.node.as_ref().map(|node| history::place(&node.engine));
        let leader = place(&self.slots[self.leader]);
        self.slots.iter().all(|slot| {
            let Some(node) = &slot.node else { return false };
            let primary = node.engine.replication.primary.as_ref();
            let follows = primary.map(|primary| usize::from(primary.port - PORT)) == slot.wanted;
            let is_up = primary.is_none_or(|_| node.engine.replication.is_in_sync());
            follows && is_up && node.engine.persistence.loading.is_none() && place(slot) == leader
        })
    }

    fn compare(&mut self) {
        let mut of_leader = None;
        for number in
            std::iter::once(self.leader).chain((0..self.slots.len()).filter(|it| *it != self.leader))
        {
            let Some(node) = &mut self.slots[number].node else { continue };
            let digest = node.digest();
            let data = node.data();
            let stats = &node.engine.metrics.stats;
            self.figures.full += stats.sync_full;
            self.figures.partial += stats.sync_partial_ok;
            match &of_leader {
                None => of_leader = Some((digest, data)),
                Some((leaders, leaders_data)) => {
                    let difference = snapshot::difference(leaders_data, &data);
                    let text =
                        format!("node {number} differs:\n{}", difference.as_deref().unwrap_or_default());
                    assert!(difference.is_none() && digest == *leaders, "{text}");
                }
            }
        }
        (0..self.slots.len()).for_each(|number| self.find_markers(number));
        (self.figures.recorded, self.figures.compared) = (self.history.recorded, self.history.compared);
    }
}

/// Whether a request may remove entries of a stream that groups may wait for.
fn removes_stream_entries(words: &[Vec<u8>]) -> bool {
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let trims = || words.iter().any(|word| is(word, "MAXLEN") || is(word, "MINID"));
    ["XDEL", "XDELEX", "XACKDEL", "XTRIM"].iter().any(|name| is(&words[0], name))
        || is(&words[0], "XADD") && trims()
}

/// A small sorted set has no negative zero, a large one has (as in Redis), and which one it is depends on a server's settings.
fn without_negative_zero(word: Vec<u8>) -> Vec<u8> {
    let number = std::str::from_utf8(&word).ok().and_then(|text| text.parse::<f64>().ok());
    if number.is_some_and(|number| number == 0.0 && number.is_sign_negative()) { b"0".to_vec() } else { word }
}
