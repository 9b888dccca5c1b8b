//! A cluster of processes, and what befalls it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kind::Kind;
use crate::node::{Node, wait_for};
use crate::ports::free_port;
use crate::support::reply::{Client, Reply, words};

/// After what silence a node is suspected, ms.
const NODE_TIMEOUT: &str = "2000";
/// Slots that a step moves.
const MOVED_SLOTS: usize = 20;

/// Slots that are moved as a whole.
const MOVED_WHOLE: u16 = 1000;

/// What befalls a cluster.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A primary is killed; when its replica has taken over, it is started again.
    Kill,
    /// A primary says nothing until its replica has taken over.
    Hang,
    /// A replica takes over from a working primary.
    Failover,
    /// Slots are moved from a primary to another one, as redis-cli does it.
    Reshard,
    /// Slots are moved from a primary to the next one as a whole, by an atomic migration that both know.
    Move,
    /// The same by the protocol of one of the families, and an end is killed meanwhile: the slots are at either end then.
    MoveAndKill(Protocol, End),
    /// A replica is killed and started again.
    Restart,
}

/// By which slots are moved as a whole.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// CLUSTER MIGRATION IMPORT.
    Redis,
    /// CLUSTER MIGRATESLOTS.
    Valkey,
}

/// An end of a move.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Source,
    Target,
}

/// A line of CLUSTER NODES.
#[derive(Clone, Debug)]
struct Line {
    id: String,
    port: u16,
    flags: String,
    primary: String,
    /// Whether the node that says this is connected with it.
    connected: bool,
    slots: Vec<(u16, u16)>,
}

impl Line {
    fn parse(text: &str) -> Option<Line> {
        let words: Vec<&str> = text.split(' ').collect();
        let [id, address, flags, primary, _, _, _, link, slots @ ..] = &words[..] else { return None };
        let port = address.split_once(':')?.1.split('@').next()?.parse().ok()?;
        let slots = slots.iter().filter(|range| !range.starts_with('[')).filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        let text = |word: &&str| word.to_string();
        let connected = *link == "connected";
        Some(Line {
            id: text(id),
            port,
            flags: text(flags),
            primary: text(primary),
            connected,
            slots: slots.collect(),
        })
    }

    fn is_primary(&self) -> bool {
        self.flags.contains("master") && !self.flags.contains("fail")
    }
}

/// Nodes in a folder of their own, which is removed with them.
pub struct Cluster {
    folder: PathBuf,
    nodes: Vec<Node>,
    pub started: Instant,
    /// Steps so far: they choose among the primaries in turn.
    turn: usize,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn start_node(kind: Kind, folder: &std::path::Path) -> Node {
    Node::start(&kind.program().expect("a program"), folder, |port, _| {
        let (port, bus) = (port.to_string(), free_port().to_string());
        let options = [
            ["--port", &port],
            ["--cluster-port", &bus],
            ["--cluster-enabled", "yes"],
            ["--cluster-node-timeout", NODE_TIMEOUT],
            ["--bind", "127.0.0.1"],
            ["--save", ""],
            ["--appendonly", "yes"],
            ["--repl-diskless-sync-delay", "0"],
        ];
        options.concat().into_iter().map(String::from).collect()
    })
}

impl Cluster {
    /// The first half of the nodes are primaries, the others their replicas in order.
    pub fn start(kinds: &[Kind]) -> Cluster {
        let started = Instant::now();
        let name = format!("redloop-cluster-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let nodes = kinds.iter().map(|kind| start_node(*kind, &folder)).collect();
        let cluster = Cluster { folder, nodes, started, turn: 0 };
        cluster.join();
        cluster
    }

    fn join(&self) {
        let primaries = self.nodes.len() / 2;
        for (number, node) in self.nodes.iter().take(primaries).enumerate() {
            let at = |number: usize| number * 16384 / primaries;
            ok(node.ask(&format!("CLUSTER ADDSLOTSRANGE {} {}", at(number), at(number + 1) - 1)));
            ok(node.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)));
        }
        for node in &self.nodes[1..] {
            let bus = bus_port(node);
            ok(self.nodes[0].ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port)));
        }
        self.wait_for("all nodes know all", |node| {
            let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
            node.text("CLUSTER INFO").is_some_and(|info| info.contains(&known))
        });
        for (number, node) in self.nodes.iter().enumerate().skip(primaries) {
            let primary = self.nodes[number - primaries].text("CLUSTER MYID").expect("a name");
            let request = format!("CLUSTER REPLICATE {primary}");
            wait_for(&request, || node.ask(&request) == Some(Reply::Simple("OK".into())));
        }
        self.await_agreement();
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Node) -> bool) {
        self.nodes.iter().for_each(|node| wait_for(&format!("{what}, at {}", node.port), || holds(node)));
    }

    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.port).collect()
    }

    fn node_mut(&mut self, port: u16) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.port == port).expect("a node of the cluster")
    }

    fn node(&self, port: u16) -> &Node {
        self.nodes.iter().find(|node| node.port == port).expect("a node of the cluster")
    }

    /// What a node knows.
    fn lines(&self, of: u16) -> Vec<Line> {
        let node = self.nodes.iter().find(|node| node.port == of);
        let text = node.and_then(|node| node.text("CLUSTER NODES")).unwrap_or_default();
        text.lines().filter_map(Line::parse).collect()
    }

    /// Waits until all nodes find the cluster in order, have the same view of it, and replicas are in sync.
    pub fn await_agreement(&self) {
        self.wait_for("the cluster is in order", |node| {
            node.text("CLUSTER INFO").is_some_and(|info| info.contains("cluster_state:ok\r"))
        });
        wait_for("all nodes agree", || {
            let view = |port| {
                let mut lines: Vec<_> = self
                    .lines(port)
                    .into_iter()
                    .map(|line| (line.id.clone(), line.is_primary(), line.slots))
                    .collect();
                lines.sort();
                lines
            };
            let ports = self.ports().into_iter();
            if ports.clone().any(|port| self.lines(port).iter().any(|line| !line.connected)) {
                return false;
            }
            let views: Vec<_> = ports.map(view).collect();
            views.iter().all(|view| *view == views[0])
        });
        self.wait_for("replicas are in sync", |node| {
            let info = node.text("INFO replication").unwrap_or_default();
            info.contains("role:master") || info.contains("master_link_status:up")
        });
    }

    /// A primary with a replica: by turns another one.
    fn choose(&mut self) -> (Line, Line) {
        self.await_agreement();
        let lines = self.lines(self.nodes[0].port);
        let pairs: Vec<(Line, Line)> = lines
            .iter()
            .filter(|line| line.is_primary() && !line.slots.is_empty())
            .filter_map(|primary| {
                let replica = lines.iter().find(|line| line.primary == primary.id)?;
                Some((primary.clone(), replica.clone()))
            })
            .collect();
        self.turn += 1;
        pairs[self.turn % pairs.len()].clone()
    }

    pub fn go_through(&mut self, step: Step) {
        let (primary, replica) = self.choose();
        match step {
            Step::Kill => {
                self.node_mut(primary.port).kill();
                self.await_takeover(&replica);
                self.node_mut(primary.port).restart();
            }
            Step::Hang => {
                self.node(primary.port).signal("-STOP");
                self.await_takeover(&replica);
                self.node(primary.port).signal("-CONT");
            }
            Step::Failover => {
                self.fail_over(&replica);
            }
            Step::Reshard => self.reshard(),
            Step::Move => self.move_whole(),
            Step::MoveAndKill(protocol, end) => self.move_and_kill(protocol, end),
            Step::Restart => {
                self.node_mut(replica.port).kill();
                self.node_mut(replica.port).restart();
            }
        }
    }

    /// The primaries with the most and with the fewest slots: what moves between them leaves none without any.
    fn ends(&self) -> (Line, Line) {
        let lines = self.lines(self.nodes[0].port);
        let primaries = lines.iter().filter(|line| line.is_primary() && !line.slots.is_empty());
        let count = |line: &&Line| {
            line.slots.iter().map(|(first, last)| usize::from(last - first) + 1).sum::<usize>()
        };
        let from = primaries.clone().max_by_key(count).expect("a primary");
        let to = primaries.filter(|line| line.id != from.id).min_by_key(count).expect("another one");
        (from.clone(), to.clone())
    }

    /// Moves slots from a primary to another at one moment. Where both ends know both protocols, they are used by turns.
    fn move_whole(&self) {
        let (from, to) = &self.ends();
        let knows = |request: &str| {
            let replies = [from, to].map(|line| self.node(line.port).ask(request));
            replies.iter().all(|reply| !matches!(reply, Some(Reply::Error(_)) | None))
        };
        let by_redis = knows("CLUSTER MIGRATION STATUS ALL");
        let by_valkey = knows("CLUSTER GETSLOTMIGRATIONS");
        let (first, last) = from.slots[0];
        let last = last.min(first + MOVED_WHOLE - 1);
        let (node, request) = if by_valkey && (self.turn.is_multiple_of(2) || !by_redis) {
            (from, format!("CLUSTER MIGRATESLOTS SLOTSRANGE {first} {last} NODE {}", to.id))
        } else if by_redis {
            (to, format!("CLUSTER MIGRATION IMPORT {first} {last}"))
        } else {
            return println!("{} and {} have no protocol in common", from.port, to.port);
        };
        let mut moved = false;
        // A failover that no step asked for may come in between, which ends it.
        for _ in 0..20 {
            let reply = self.node(node.port).ask(&request);
            let is_begun = matches!(reply, Some(Reply::Bulk(_) | Reply::Simple(_)));
            moved = is_begun && self.arrive(to, first, last);
            if moved {
                break;
            }
            println!("{:?}: {request} wasn't done: {reply:?}", self.started.elapsed());
            self.await_agreement();
        }
        assert!(moved, "{request}");
        self.await_agreement();
    }

    /// Begins to move slots from a primary to another, and kills an end, each time at another step.
    fn move_and_kill(&mut self, protocol: Protocol, end: End) {
        let (mut from, mut to) = self.ends();
        wait_for(&format!("{protocol:?}: slots begin to move"), || {
            // A move that was cut off by a step before may still be tried again, and done, meanwhile.
            (from, to) = self.ends();
            let (first, last) = from.slots[0];
            let last = last.min(first + MOVED_WHOLE - 1);
            let (node, request) = match protocol {
                Protocol::Redis => (&to, format!("CLUSTER MIGRATION IMPORT {first} {last}")),
                Protocol::Valkey => {
                    (&from, format!("CLUSTER MIGRATESLOTS SLOTSRANGE {first} {last} NODE {}", to.id))
                }
            };
            matches!(self.node(node.port).ask(&request), Some(Reply::Bulk(_) | Reply::Simple(_)))
        });
        std::thread::sleep(Duration::from_millis(self.turn as u64 * 13 % 60));
        let victim = match end {
            End::Source => &from,
            End::Target => &to,
        };
        let end = Instant::now() + Duration::from_secs(5);
        let replica = loop {
            let lines = self.lines(self.nodes[0].port);
            let found = lines.into_iter().find(|line| line.primary == victim.id);
            if found.is_some() || Instant::now() >= end {
                break found;
            }
            breathe();
        };
        // A target that was killed when it had just taken slots over comes back as the primary of these, without a replica.
        let Some(replica) = replica else { return println!("{} has no replica", victim.port) };
        self.node_mut(victim.port).kill();
        self.await_takeover(&replica);
        self.node_mut(victim.port).restart();
    }

    /// Whether these slots are soon at a node.
    fn arrive(&self, at: &Line, first: u16, last: u16) -> bool {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let lines = self.lines(at.port);
            let target = lines.iter().find(|line| line.id == at.id);
            if target.is_some_and(|line| line.slots.iter().any(|range| range.0 <= first && last <= range.1)) {
                return true;
            }
            breathe();
        }
        false
    }

    fn await_takeover(&self, replica: &Line) {
        wait_for(&format!("the replica {} takes over", replica.port), || self.has_taken_over(replica));
    }

    fn has_taken_over(&self, replica: &Line) -> bool {
        self.lines(replica.port).iter().any(|line| line.id == replica.id && line.is_primary())
    }

    /// A failover by command. It is asked for again after its time of five seconds: a replica of Redis that has won an election shortly before
    /// takes that for this one's (8.6.3), and is put right by its primary.
    fn fail_over(&self, replica: &Line) {
        let mut asked: Option<Instant> = None;
        wait_for(&format!("the replica {} takes over as it is told", replica.port), || {
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(7)) {
                let reply = self.node(replica.port).ask("CLUSTER FAILOVER");
                assert!(asked.is_some() || reply == Some(Reply::Simple("OK".into())), "{reply:?}");
                asked = Some(Instant::now());
            }
            self.has_taken_over(replica)
        });
    }

    /// Moves slots from a primary to another, key by key.
    fn reshard(&self) {
        let (from, to) = self.ends();
        let slots = from.slots.iter().flat_map(|(first, last)| *first..=*last).take(MOVED_SLOTS);
        for slot in slots.collect::<Vec<u16>>() {
            self.move_slot_surely(slot, from.clone(), to.clone());
        }
        self.await_agreement();
    }

    /// A failover that no step asked for (a machine that stood still for longer than the time-out) may come in between: then the
    /// move goes on between the primaries that took over.
    fn move_slot_surely(&self, slot: u16, mut from: Line, mut to: Line) {
        for _ in 0..20 {
            let Err(reason) = self.move_slot(slot, &from, &to) else { return };
            println!("{:?}: slot {slot} wasn't moved: {reason}", self.started.elapsed());
            self.await_agreement();
            let lines = self.lines(self.nodes[0].port);
            let primary_of = |line: &Line| {
                let line = lines.iter().find(|it| it.id == line.id).expect("it is known");
                lines.iter().find(|it| it.id == line.primary).unwrap_or(line).clone()
            };
            (from, to) = (primary_of(&from), primary_of(&to));
            if to.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot)) {
                return;
            }
        }
        panic!("slot {slot} can't be moved");
    }

    /// Moves a slot from the node at one port to that at another, key by key.
    pub fn move_slot_of_keys(&self, slot: u16, from: u16, to: u16) {
        let lines = self.lines(from);
        let line = |port| lines.iter().find(|line| line.port == port).expect("a node");
        self.move_slot(slot, line(from), line(to)).expect("the slot is moved");
    }

    fn move_slot(&self, slot: u16, from: &Line, to: &Line) -> Result<(), String> {
        self.set_slot(to, &format!("{slot} IMPORTING {}", from.id))?;
        self.set_slot(from, &format!("{slot} MIGRATING {}", to.id))?;
        loop {
            let keys = self.node(from.port).ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
            let keys = keys.as_ref().and_then(Reply::elements).ok_or("no keys")?.to_vec();
            if keys.is_empty() {
                break;
            }
            let mut request = words(&format!("MIGRATE 127.0.0.1 {} _ 0 5000 KEYS", to.port));
            request[3].clear();
            request.extend(keys.iter().filter_map(Reply::bytes).map(<[u8]>::to_vec));
            let mut link = Client::connect(from.port);
            link.send([&request]).expect("the node listens");
            let reply = link.read();
            if !matches!(reply, Ok(Reply::Simple(_))) {
                return Err(format!("{request:?}: {reply:?}"));
            }
        }
        self.set_slot(to, &format!("{slot} NODE {}", to.id))?;
        self.set_slot(from, &format!("{slot} NODE {}", to.id))
    }

    fn set_slot(&self, at: &Line, request: &str) -> Result<(), String> {
        match self.node(at.port).ask(&format!("CLUSTER SETSLOT {request}")) {
            Some(Reply::Simple(text)) if text == "OK" => Ok(()),
            reply => Err(format!("SETSLOT {request} at {}: {reply:?}", at.port)),
        }
    }
}

pub fn bus_port(node: &Node) -> String {
    let reply = node.ask("CONFIG GET cluster-port").expect("a reply");
    let value = reply.elements().and_then(|pair| pair.get(1)?.bytes()).expect("a port");
    String::from_utf8_lossy(value).into_owned()
}

/// A pause that lets other processes run.
pub fn breathe() {
    std::thread::sleep(Duration::from_millis(20));
}

fn ok(reply: Option<Reply>) {
    assert_eq!(reply, Some(Reply::Simple("OK".into())));
}
