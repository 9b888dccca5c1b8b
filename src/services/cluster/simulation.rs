//! A simulated world of clusters' nodes for tests: one clock, one network, one seed. Connections are in order and have latency; directions
//! between nodes can be cut, which holds bytes back; nodes crash and come back with what they had saved.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::*;

pub(super) const START: u64 = 1_700_000_000_000;
const CONNECT_TIMEOUT: u64 = 3000;

/// Directives as they are by default, but for a short node timeout.
pub(super) fn settings() -> Settings {
    Settings { node_timeout_ms: 2000, ..Settings::default() }
}

fn ip_of(node: usize) -> String {
    format!("10.0.{}.{}", node / 250, node % 250 + 1)
}

fn node_at(ip: &str) -> usize {
    let parts: Vec<usize> = ip.split('.').map(|part| part.parse().expect("a number")).collect();
    parts[2] * 250 + parts[3] - 1
}

/// Of each node its name, slots, epoch, and primary.
type View = Vec<(NodeId, String, u64, Option<NodeId>)>;

/// One process.
pub(super) struct Process {
    pub cluster: Option<Cluster>,
    life: u32,
    /// `nodes.conf`.
    pub saved: Option<String>,
    pub offset: u64,
    pub following: Option<usize>,
    pub paused_until: u64,
    last_interaction: u64,
    is_link_up: bool,
    /// What its clock is ahead of the world's.
    pub skew: i64,
    /// The slots it was told to delete the keys of.
    pub deleted: SlotSet,
    pub log: VecDeque<String>,
}

/// A connection: its ends' nodes and their links, and until when bytes that were sent later don't arrive.
struct Wire {
    ends: [(usize, Option<BusLink>); 2],
    arrival: [u64; 2],
    held: [Vec<Event>; 2],
}

#[derive(Clone, Debug)]
enum Event {
    Tick(usize, u32),
    Connected(u64),
    Refused(u64),
    /// To one of the ends.
    Bytes(u64, usize, Encoded),
    Closed(u64, usize),
}

pub(super) struct World {
    pub now: u64,
    pub rng: Rng,
    pub nodes: Vec<Process>,
    wires: HashMap<u64, Wire>,
    wire_of: HashMap<(usize, BusLink), u64>,
    events: BTreeMap<(u64, u64), Event>,
    last: u64,
    /// Directions in which nothing gets through.
    pub cuts: BTreeSet<(usize, usize)>,
    /// One in ten messages takes up to so many ms more.
    pub slowness: u64,
    pub settings: Settings,
    /// Whom each node voted for in each epoch.
    votes: BTreeMap<(NodeId, u64), NodeId>,
    pub bytes_sent: Vec<u64>,
    pub keeps_files: bool,
    pub failovers: usize,
    pub published: Vec<(usize, Vec<u8>)>,
}

impl World {
    /// So many nodes that don't know each other.
    pub fn new(seed: u64, nodes: usize, settings: Settings) -> World {
        let mut world = World {
            now: START,
            rng: Rng::new(seed),
            nodes: Vec::new(),
            wires: HashMap::new(),
            wire_of: HashMap::new(),
            events: BTreeMap::new(),
            last: 0,
            cuts: BTreeSet::new(),
            slowness: 0,
            settings,
            votes: BTreeMap::new(),
            bytes_sent: vec![0; nodes],
            keeps_files: true,
            failovers: 0,
            published: Vec::new(),
        };
        for _ in 0..nodes {
            world.nodes.push(Process {
                cluster: None,
                life: 0,
                saved: None,
                offset: 0,
                following: None,
                paused_until: 0,
                last_interaction: 0,
                is_link_up: false,
                skew: 0,
                deleted: SlotSet::new(),
                log: VecDeque::new(),
            });
        }
        (0..nodes).for_each(|node| world.start(node));
        world
    }

    /// Starts a process with what it has saved.
    pub fn start(&mut self, node: usize) {
        let now = self.time_of(node);
        let mut cluster = Cluster::new(now, self.rng.next_u64(), self.settings.clone());
        if let Some(saved) = &self.nodes[node].saved {
            cluster.load(saved).expect("a sound file");
        }
        cluster.started(now);
        cluster.loaded(now);
        let process = &mut self.nodes[node];
        process.life += 1;
        (process.following, process.paused_until, process.is_link_up) = (None, 0, false);
        process.cluster = Some(cluster);
        let (life, delay) = (process.life, self.rng.below(100));
        self.at(delay, Event::Tick(node, life));
        self.settle(node);
    }

    /// Ends a process; its connections break at once, or are silent as those of a machine that is gone.
    pub fn crash(&mut self, node: usize, is_silent: bool) {
        self.nodes[node].cluster = None;
        let mut wires: Vec<u64> =
            self.wire_of.iter().filter(|((of, _), _)| *of == node).map(|(_, wire)| *wire).collect();
        wires.sort_unstable();
        for id in wires {
            let wire = &self.wires[&id];
            let side = usize::from(wire.ends[1].0 == node);
            if is_silent {
                let wire = self.wires.get_mut(&id).expect("a wire of the index");
                if let Some(link) = wire.ends[side].1.take() {
                    self.wire_of.remove(&(node, link));
                }
            } else {
                self.hang_up(id, side);
            }
        }
    }

    pub fn is_up(&self, node: usize) -> bool {
        self.nodes[node].cluster.is_some()
    }

    pub fn cluster(&mut self, node: usize) -> &mut Cluster {
        self.nodes[node].cluster.as_mut().expect("a node that is up")
    }

    fn time_of(&self, node: usize) -> u64 {
        self.now.saturating_add_signed(self.nodes[node].skew)
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.last += 1;
        self.events.insert((self.now + delay, self.last), event);
    }

    /// Runs for so many ms.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((time, _), event) = entry.remove_entry();
            self.now = time;
            self.handle(event);
        }
        self.now = end;
    }

    /// Runs until something holds; after how many ms. Fails if that takes too long.
    pub fn run_until(&mut self, what: &str, limit: u64, mut holds: impl FnMut(&mut World) -> bool) -> u64 {
        let start = self.now;
        while !holds(self) {
            if self.now - start >= limit {
                for (number, node) in self.nodes.iter().enumerate() {
                    let Some(cluster) = &node.cluster else { continue };
                    let me = cluster.topology.myself();
                    let primary = me.primary().map(|at| cluster.topology.node(at).id.to_string());
                    println!(
                        "{number} {} {:#x} epoch {}/{} ok {} slots {} of {primary:?} offset {} follows {:?}",
                        me.id,
                        me.flags,
                        me.config_epoch,
                        cluster.topology.current_epoch,
                        cluster.is_ok(),
                        me.slots(),
                        node.offset,
                        node.following
                    );
                    node.log.iter().for_each(|line| println!("    {line}"));
                }
                self.print_differences();
                panic!("after {limit} ms: {what}");
            }
            self.run(100);
        }
        self.now - start
    }

    /// Where nodes think otherwise than the first one that is up.
    fn print_differences(&self) {
        let views: Vec<(usize, View)> =
            (0..self.nodes.len()).filter_map(|node| Some((node, self.view(node)?))).collect();
        let Some((first, view)) = views.first() else { return };
        for (node, other) in &views[1..] {
            other
                .iter()
                .filter(|line| !view.contains(line))
                .for_each(|line| println!("{node} thinks {line:?}"));
            view.iter().filter(|line| !other.contains(line)).for_each(|line| println!("  {first}: {line:?}"));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Tick(node, life) => self.tick(node, life),
            Event::Connected(wire) => self.connected(wire),
            Event::Refused(wire) => {
                let Some(found) = self.wires.remove(&wire) else { return };
                let (node, Some(link)) = found.ends[0] else { return };
                self.wire_of.remove(&(node, link));
                self.with(node, |cluster, now| cluster.closed(now, link, "Connection refused"));
            }
            Event::Bytes(wire, side, _) | Event::Closed(wire, side) => {
                let Some(found) = self.wires.get_mut(&wire) else { return };
                let (from, to) = (found.ends[1 - side].0, found.ends[side].0);
                if self.cuts.contains(&(from, to)) {
                    return found.held[side].push(event);
                }
                let Some(link) = found.ends[side].1 else { return };
                if let Event::Bytes(_, _, bytes) = event {
                    // The socket gives what has come in pieces.
                    let cut = self.rng.below(bytes.len() as u64 + 1) as usize;
                    self.with(to, |cluster, now| {
                        cluster.received(now, link, &bytes[..cut]);
                        cluster.received(now, link, &bytes[cut..]);
                    });
                } else {
                    self.wires.remove(&wire);
                    self.wire_of.remove(&(to, link));
                    self.with(to, |cluster, now| cluster.closed(now, link, "closed"));
                }
            }
        }
    }

    /// Resets one of the connections: what is on its way is lost.
    pub fn reset_any(&mut self) {
        let mut ids: Vec<u64> = self.wires.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        ids.sort_unstable();
        let chosen = ids[self.rng.below(ids.len() as u64) as usize];
        let Some(wire) = self.wires.remove(&chosen) else { return };
        for (node, link) in wire.ends {
            let Some(link) = link else { continue };
            self.wire_of.remove(&(node, link));
            self.with(node, |cluster, now| cluster.closed(now, link, "Connection reset by peer"));
        }
    }

    /// Lets through what was held back.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.slowness = 0;
        let mut ids: Vec<u64> = self.wires.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            for side in 0..2 {
                let Some(wire) = self.wires.get_mut(&id) else { continue };
                let held = std::mem::take(&mut wire.held[side]);
                for event in held {
                    self.deliver(id, side, event);
                }
            }
        }
    }

    fn deliver(&mut self, wire: u64, side: usize, event: Event) {
        let is_slow = self.slowness > 0 && self.rng.below(10) == 0;
        let latency = 1 + self.rng.below(4) + if is_slow { self.rng.below(self.slowness) } else { 0 };
        let Some(found) = self.wires.get_mut(&wire) else { return };
        let time = (self.now + latency).max(found.arrival[side]);
        found.arrival[side] = time;
        self.at(time - self.now, event);
    }

    fn hang_up(&mut self, wire: u64, side: usize) {
        let Some(found) = self.wires.get_mut(&wire) else { return };
        let (node, link) = found.ends[side];
        found.ends[side].1 = None;
        if let Some(link) = link {
            self.wire_of.remove(&(node, link));
        }
        self.deliver(wire, 1 - side, Event::Closed(wire, 1 - side));
    }

    fn connected(&mut self, id: u64) {
        let Some(wire) = self.wires.get(&id) else { return };
        let ([(from, link), (to, _)], true) = (wire.ends, true) else { return };
        let Some(link) = link else { return };
        let (peer, local) = (ip_of(from), ip_of(to));
        let now = self.time_of(to);
        let accepted =
            self.nodes[to].cluster.as_mut().and_then(|cluster| cluster.accepted(now, &peer, &local));
        let Some(inbound) = accepted else { return self.handle(Event::Refused(id)) };
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.ends[1].1 = Some(inbound);
        }
        self.wire_of.insert((to, inbound), id);
        self.settle(to);
        self.with(from, |cluster, now| cluster.connected(now, link));
    }

    fn tick(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life || !self.is_up(node) {
            return;
        }
        self.replicate(node);
        self.with(node, |cluster, now| cluster.tick(now));
        if let Some(cluster) = &self.nodes[node].cluster {
            let delay = cluster.next_tick_ms();
            self.at(delay, Event::Tick(node, life));
        }
    }

    /// A primary that is in order takes writes, a replica has what its primary has while it is connected.
    fn replicate(&mut self, node: usize) {
        let now = self.now;
        let growth = self.rng.below(100);
        let process = &mut self.nodes[node];
        let Some(cluster) = &process.cluster else { return };
        if cluster.topology.myself().is_primary() {
            if cluster.is_ok() && process.paused_until <= now {
                process.offset += growth;
            }
            return;
        }
        let source = process.following.filter(|source| {
            self.is_up(*source)
                && !self.cuts.contains(&(*source, node))
                && !self.cuts.contains(&(node, *source))
        });
        let offset = source.map(|source| self.nodes[source].offset);
        let process = &mut self.nodes[node];
        process.is_link_up = offset.is_some();
        if let Some(offset) = offset {
            (process.offset, process.last_interaction) = (offset, now.saturating_add_signed(process.skew));
        }
    }

    /// Calls a node, if it is up, and does what it asks for.
    pub fn with(&mut self, node: usize, call: impl FnOnce(&mut Cluster, u64)) {
        let now = self.time_of(node);
        self.note_local(node);
        let Some(cluster) = &mut self.nodes[node].cluster else { return };
        call(cluster, now);
        self.settle(node);
    }

    fn note_local(&mut self, node: usize) {
        let world_now = self.now;
        let process = &mut self.nodes[node];
        let Some(cluster) = &mut process.cluster else { return };
        cluster.local = Local {
            offset: process.offset,
            is_link_up: process.is_link_up,
            last_interaction: process.last_interaction,
            is_paused: process.paused_until > world_now,
            logs_debug: false,
        };
    }

    fn settle(&mut self, node: usize) {
        self.act(node);
        self.note_local(node);
        let now = self.time_of(node);
        if let Some(cluster) = &mut self.nodes[node].cluster {
            cluster.before_sleep(now);
        }
        self.act(node);
    }

    fn act(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].cluster.as_mut().and_then(Cluster::next_action) {
            self.perform(node, action);
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Connect { link, ip, port } => {
                assert_eq!(port, 16379);
                self.connect(node, link, node_at(&ip));
            }
            Action::Send { link, bytes } => {
                let Some(id) = self.wire_of.get(&(node, link)).copied() else { return };
                self.bytes_sent[node] += bytes.len() as u64;
                self.check_vote(node, &bytes, id);
                self.with_unsent(node, link);
                let side = usize::from(self.wires[&id].ends[0] == (node, Some(link)));
                self.deliver(id, side, Event::Bytes(id, side, bytes));
            }
            Action::Close { link } => {
                let Some(id) = self.wire_of.get(&(node, link)).copied() else { return };
                let side = usize::from(self.wires[&id].ends[1] == (node, Some(link)));
                self.hang_up(id, side);
            }
            Action::SaveConfig { .. } => {
                if self.keeps_files {
                    let cluster = self.nodes[node].cluster.as_ref().expect("it acts");
                    self.nodes[node].saved = Some(cluster.nodes_conf());
                }
            }
            Action::Log { text, level } => {
                let log = &mut self.nodes[node].log;
                log.push_back(format!("{} {level:?} {text}", now - START));
                if log.len() > 30 {
                    log.pop_front();
                }
            }
            Action::Follow { ip, port, .. } => {
                assert_eq!(port, 6379);
                self.nodes[node].following = Some(node_at(&ip));
            }
            Action::Promote => {
                self.nodes[node].following = None;
                self.failovers += 1;
            }
            Action::DeleteKeys(slots) => {
                for slot in slots.iter() {
                    self.nodes[node].deleted.insert(slot);
                }
            }
            Action::VerifyData => {
                let time = self.time_of(node);
                if let Some(cluster) = &mut self.nodes[node].cluster {
                    cluster.verify_data(time, &SlotSet::new());
                }
            }
            Action::PauseWrites { until } => {
                let skew = self.nodes[node].skew;
                self.nodes[node].paused_until = until.saturating_add_signed(-skew);
            }
            Action::Publish { channel, .. } => self.published.push((node, channel)),
            Action::EndShardSubscriptions(_) | Action::SlotsChanged => {}
        }
    }

    /// The socket takes all at once.
    fn with_unsent(&mut self, node: usize, link: BusLink) {
        let now = self.time_of(node);
        if let Some(cluster) = &mut self.nodes[node].cluster {
            cluster.sent(now, link, 0);
        }
    }

    fn connect(&mut self, node: usize, link: BusLink, to: usize) {
        self.last += 1;
        let id = self.last;
        let wire =
            Wire { ends: [(node, Some(link)), (to, None)], arrival: [0; 2], held: [Vec::new(), Vec::new()] };
        self.wires.insert(id, wire);
        self.wire_of.insert((node, link), id);
        let is_cut = self.cuts.contains(&(node, to)) || self.cuts.contains(&(to, node));
        let latency = 2 + self.rng.below(4);
        if to >= self.nodes.len() || is_cut {
            self.at(CONNECT_TIMEOUT, Event::Refused(id));
        } else if !self.is_up(to) {
            self.at(latency, Event::Refused(id));
        } else {
            self.at(latency, Event::Connected(id));
        }
    }

    /// A node votes once in an epoch, and has saved that before it says so.
    fn check_vote(&mut self, node: usize, bytes: &Encoded, wire: u64) {
        if bytes[12..14] != [0, 6] {
            return;
        }
        let message = wire::decode(bytes).expect("a message");
        let header = message.header.expect("a full header");
        let saved = self.nodes[node].saved.as_ref().expect("what was saved before the vote");
        let is_saved = saved.ends_with(&format!("lastVoteEpoch {}\n", header.current_epoch));
        assert!(is_saved, "the vote is on the disk before it is sent");
        let candidate = self.wires[&wire].ends.iter().find(|end| end.0 != node).expect("another node").0;
        let candidate = self.nodes[candidate].cluster.as_ref().map(|cluster| cluster.topology.myself().id);
        let Some(candidate) = candidate else { return };
        let before = self.votes.insert((header.sender, header.current_epoch), candidate);
        assert!(
            before.is_none_or(|before| before == candidate),
            "two votes of {} in an epoch",
            header.sender
        );
    }

    /// No slot is claimed by two nodes in the same epoch, whatever happens.
    pub fn check_claims(&self) {
        let claims = self
            .nodes
            .iter()
            .filter_map(|node| node.cluster.as_ref())
            .map(|cluster| cluster.topology.myself());
        let claims: Vec<_> = claims.filter(|me| me.is_voter() && me.config_epoch > 0).collect();
        for (number, one) in claims.iter().enumerate() {
            for other in &claims[number + 1..] {
                let is_shared = one.config_epoch == other.config_epoch
                    && one.slots().iter().any(|slot| other.slots().contains(slot));
                assert!(!is_shared, "{} and {} have slots in epoch {}", one.id, other.id, one.config_epoch);
            }
        }
    }

    /// What a node thinks of slots and roles: all that must be equal everywhere in the end.
    pub fn view(&self, node: usize) -> Option<View> {
        let topology = &self.nodes[node].cluster.as_ref()?.topology;
        let of = |node: &Node| {
            let primary = node.primary().map(|at| topology.node(at).id);
            let epoch = if node.is_primary() { node.config_epoch } else { 0 };
            (node.id, node.slots().to_string(), epoch, primary)
        };
        Some(topology.iter().map(|(_, node)| of(node)).collect())
    }

    /// All nodes that are up agree, and find the cluster in order.
    pub fn agrees(&mut self) -> bool {
        self.check_claims();
        let up: Vec<usize> = (0..self.nodes.len()).filter(|node| self.is_up(*node)).collect();
        let Some(first) = up.first().and_then(|node| self.view(*node)) else { return true };
        up.iter().all(|node| {
            let is_ok = self.cluster(*node).is_ok();
            is_ok && self.view(*node).as_ref() == Some(&first)
        })
    }

    /// Joins all nodes with MEETs of the first, and gives the first `primaries` the slots, and the rest to them as replicas.
    pub fn form(&mut self, primaries: usize) {
        let nodes = self.nodes.len();
        for node in 1..nodes {
            self.meet(0, node);
        }
        self.run_until("all nodes know each other", 60_000, |world| {
            (0..nodes).all(|node| {
                let topology = &world.cluster(node).topology;
                topology.len() == nodes && !topology.iter().any(|(_, node)| node.is(flag::HANDSHAKE))
            })
        });
        self.assign(primaries);
        self.run_until("the cluster is formed", 60_000, |world| world.agrees());
    }

    /// The nodes know each other, the slots, and the replicas, as from their files.
    pub fn prepare(&mut self, primaries: usize) {
        let nodes = self.nodes.len();
        let ids: Vec<NodeId> = (0..nodes).map(|node| self.id(node)).collect();
        let owner_of = |slot: u16| usize::from(slot) * primaries / 16384;
        for me in 0..nodes {
            let mut topology = Topology::new(ids[me], ids[me % primaries], START);
            let mut refs = vec![topology.me(); nodes];
            for node in (0..nodes).filter(|node| *node != me) {
                let mut other =
                    Node::new(ids[node], ids[node % primaries], flag::PRIMARY | flag::EXTENSIONS, START);
                (other.ip, other.tcp_port, other.bus_port) = (ip_of(node), 6379, 16379);
                refs[node] = topology.add(other).expect("a place");
            }
            for slot in 0..16384 {
                topology.set_owner(slot, Some(refs[owner_of(slot)]));
            }
            for (node, at) in refs.iter().take(primaries).enumerate() {
                topology.node_mut(*at).config_epoch = node as u64 + 1;
                topology.node_mut(*at).set(flag::MIGRATE_TO, true);
            }
            for node in primaries..nodes {
                let replica = topology.node_mut(refs[node]);
                replica.set(flag::PRIMARY, false);
                replica.set(flag::REPLICA, true);
                topology.set_primary(refs[node], Some(refs[node % primaries]));
            }
            topology.current_epoch = primaries as u64;
            topology.myself_mut().ip = ip_of(me);
            self.with(me, |cluster, _| {
                cluster.topology = topology;
                cluster.update_myself();
                cluster.todo.save_durably_and_update();
            });
        }
    }

    /// All links between nodes that were prepared are there, and have been for some time.
    pub fn connect_all(&mut self) {
        let nodes = self.nodes.len();
        let spread = self.settings.node_timeout_ms / 2;
        let ids: Vec<NodeId> = (0..nodes).map(|node| self.id(node)).collect();
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                let pong = START - self.rng.below(spread);
                let cluster = self.cluster(from);
                let at = cluster.topology.find(ids[to]).expect("a known node");
                let out = cluster.add_link(Some(at), String::new(), String::new());
                cluster.links.get_mut(&out).expect("a link").is_connected = true;
                let node = cluster.topology.node_mut(at);
                (node.link, node.ping_sent, node.pong_received, node.data_received) =
                    (Some(out), 0, pong, START);
                let cluster = self.cluster(to);
                let inbound = cluster.add_link(None, ip_of(from), ip_of(to));
                let at = cluster.topology.find(ids[from]).expect("a known node");
                cluster.bind_link(inbound, at);
                self.last += 1;
                let id = self.last;
                let ends = [(from, Some(out)), (to, Some(inbound))];
                self.wires.insert(id, Wire { ends, arrival: [0; 2], held: [Vec::new(), Vec::new()] });
                self.wire_of.insert((from, out), id);
                self.wire_of.insert((to, inbound), id);
            }
        }
    }

    /// Gives the first nodes the slots, and makes the others their replicas.
    pub fn assign(&mut self, primaries: usize) {
        for node in 0..primaries {
            let slots = (0..16384u16).filter(|slot| usize::from(*slot) * primaries / 16384 == node).collect();
            self.with(node, |cluster, _| {
                cluster.assign_slots(&slots, Some(cluster.topology.me()));
                cluster.todo.save_durably_and_update();
            });
        }
        self.run(3000);
        for node in primaries..self.nodes.len() {
            let primary = self.id(node % primaries);
            self.with(node, |cluster, _| {
                let at = cluster.topology.find(primary).expect("a known node");
                cluster.set_my_primary(at, true);
                cluster.todo.save_durably_and_update();
            });
        }
    }

    /// As CLUSTER MEET.
    pub fn meet(&mut self, node: usize, other: usize) {
        self.with(node, |cluster, _| {
            cluster.start_handshake(&ip_of(other), 6379, 16379).expect("an address")
        });
    }

    pub fn id(&mut self, node: usize) -> NodeId {
        self.cluster(node).topology.myself().id
    }
}
