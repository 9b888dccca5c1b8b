//! A primary and its replica, with a proxy between them, and what may happen to them.

use std::collections::BTreeMap;
use std::time::Instant;

use redloop::base::rng::Rng;

use crate::kind::Kind;
use crate::load::Load;
use crate::node::{Node, PATIENCE, eventually};
use crate::proxy::Proxy;
use crate::support::reply::{Reply, words};

/// Requests of the load around each step.
const SOME: u64 = 150;
/// Links of a round that are cut at a random byte.
const CUTS: u64 = 3;

pub struct Pair {
    primary: Node,
    replica: Node,
    proxy: Proxy,
    /// Both know deadlines of fields, and show them alike.
    field_deadlines: bool,
    rng: Rng,
}

impl Pair {
    pub fn start(primary: Kind, replica: Kind, rng: &mut Rng) -> Pair {
        let name = format!("{primary:?}-{replica:?}");
        let family = if [primary, replica].contains(&Kind::Valkey) { "valkey" } else { "redis" };
        let options = |kind| match kind {
            Kind::Ours => vec!["--rdb-family", family],
            _ => Vec::new(),
        };
        let [primary, replica] = [(primary, "primary"), (replica, "replica")]
            .map(|(kind, role)| Node::start(kind, &format!("{name}-{role}"), &options(kind)));
        let proxy = Proxy::to(primary.port);
        let are_alike = |kind| matches!(kind, Kind::Ours | Kind::Redis);
        let field_deadlines = are_alike(primary.kind) && are_alike(replica.kind);
        Pair { primary, replica, proxy, field_deadlines, rng: Rng::new(rng.next_u64()) }
    }

    fn load(&mut self) -> Load {
        Load::start(self.primary.port, self.rng.next_u64(), self.field_deadlines)
    }

    fn report(&self) -> String {
        format!("primary:\n{}\n\nreplica:\n{}", self.primary.log(), self.replica.log())
    }

    fn wait_for_link(&self) {
        eventually(
            "the link",
            || self.report(),
            || self.replica.info("replication", "master_link_status") == "up",
        );
    }

    fn follow(&self) {
        self.replica.set(&format!("REPLICAOF 127.0.0.1 {}", self.proxy.port));
    }

    fn count(&self, field: &str) -> u64 {
        self.primary.info("stats", field).parse().expect("a number")
    }

    /// The replica begins anew, under load.
    pub fn full(&mut self, (diskless_sync, diskless_load): (&str, &str)) {
        self.replica.set("REPLICAOF NO ONE");
        self.primary.set(&format!("CONFIG SET repl-diskless-sync {diskless_sync}"));
        self.replica.set(&format!("CONFIG SET repl-diskless-load {diskless_load}"));
        // What it has of another history is gone afterwards.
        self.replica.set("SET alone 1");
        self.replica.set("FUNCTION FLUSH");
        let load = self.load();
        load.wait_for(10 * SOME);
        let before = self.count("sync_full");
        self.follow();
        self.wait_for_link();
        load.wait_for(SOME);
        drop(load);
        self.settle();
        assert!(self.count("sync_full") > before);
        let received = self.replica.info("stats", "total_net_repl_input_bytes");
        assert!(received.parse::<u64>().is_ok_and(|bytes| bytes > 0), "bytes of the primary: {received}");
    }

    /// The link is cut, and the replica goes on where it was.
    pub fn partial(&mut self) {
        let (full, partial) = (self.count("sync_full"), self.count("sync_partial_ok"));
        let load = self.load();
        for cut in 1..=2 {
            load.wait_for(SOME);
            self.proxy.cut();
            eventually("to go on", || self.report(), || self.count("sync_partial_ok") >= partial + cut);
        }
        self.wait_for_link();
        drop(load);
        self.settle();
        assert_eq!(self.count("sync_full"), full, "{}", self.report());
    }

    /// The replica begins anew, over links that are cut at any byte.
    pub fn cut_at_random(&mut self, (diskless_sync, diskless_load): (&str, &str)) {
        self.primary.set(&format!("CONFIG SET repl-diskless-sync {diskless_sync}"));
        self.replica.set(&format!("CONFIG SET repl-diskless-load {diskless_load}"));
        self.replica.set("REPLICAOF NO ONE");
        self.replica.set("SET alone 1");
        let load = self.load();
        let rng = &mut self.rng;
        let ends: Vec<u64> = (0..CUTS)
            .map(|_| {
                let most = 1 << rng.below(18);
                1 + rng.below(most)
            })
            .collect();
        self.proxy.end_next_after(ends);
        self.follow();
        eventually("links to be cut", || self.report(), || self.proxy.cuts_left() == 0);
        self.wait_for_link();
        load.wait_for(SOME);
        drop(load);
        self.settle();
    }

    pub fn replica_restarts(&mut self) {
        let load = self.load();
        load.wait_for(SOME);
        match self.rng.below(3) {
            0 => self.replica.kill(),
            1 => self.replica.shut_down("SAVE"),
            _ => self.replica.shut_down("NOSAVE"),
        }
        load.wait_for(SOME);
        let port = self.proxy.port.to_string();
        self.replica.restart(&["--replicaof", "127.0.0.1", &port]);
        self.wait_for_link();
        load.wait_for(SOME);
        drop(load);
        self.settle();
    }

    pub fn primary_restarts(&mut self) {
        let load = self.load();
        load.wait_for(SOME);
        if self.rng.below(2) == 0 {
            self.primary.shut_down("SAVE");
        } else {
            self.primary.ask("SAVE");
            self.primary.kill();
        }
        self.primary.restart(&[]);
        load.wait_for(SOME);
        self.wait_for_link();
        load.wait_for(SOME);
        drop(load);
        self.settle();
    }

    /// Waits until the replica is where its primary is, and has the same data.
    fn settle(&self) {
        let started = Instant::now();
        loop {
            let offset = self.primary.info("replication", "master_repl_offset");
            let is_there = self.replica.info("replication", "slave_repl_offset") == offset
                && self.replica.info("replication", "master_link_status") == "up";
            // The digest of Redis 7.0 has scores in other digits.
            let is_old = self.primary.kind == Kind::Debian;
            if is_there && (is_old || self.digest(&self.primary) == self.digest(&self.replica)) {
                let [ours, theirs] = [&self.primary, &self.replica].map(Contents::of);
                if ours == theirs {
                    return;
                }
            }
            if started.elapsed() > PATIENCE {
                let reached = self.replica.info("replication", "slave_repl_offset");
                let difference = Contents::of(&self.primary).difference(&Contents::of(&self.replica));
                panic!("primary at {offset}, replica at {reached}\n{difference}\n{}", self.report());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn digest(&self, node: &Node) -> String {
        node.ask("DEBUG DIGEST").to_string()
    }
}

/// What the digest doesn't tell, key by key: deadlines, groups of streams, functions.
#[derive(PartialEq, Eq)]
struct Contents(BTreeMap<String, String>);

impl Contents {
    fn of(node: &Node) -> Contents {
        let mut client = node.client();
        let mut all = BTreeMap::new();
        let libraries = client.ask("FUNCTION LIST WITHCODE").expect("a reply");
        all.insert("functions".to_string(), libraries.to_string());
        for db in 0..crate::load::DATABASES {
            client.ask(&format!("SELECT {db}")).expect("a reply");
            let keys = client.ask("KEYS *").expect("a reply");
            for key in keys.elements().unwrap_or_default() {
                let key = key.bytes().unwrap_or_default().to_vec();
                let mut ask = |line: &str| {
                    // The key stands where the star is, or at the end.
                    let mut request = words(line);
                    match request.iter().position(|word| word == b"*") {
                        Some(at) => request[at] = key.clone(),
                        None => request.push(key.clone()),
                    }
                    client.send([&request]).expect("sent");
                    client.read().expect("a reply")
                };
                let kind = ask("TYPE");
                let deadline = ask("PEXPIRETIME");
                let value = match &kind {
                    Reply::Simple(kind) if kind == "hash" => {
                        format!("{} {}", ask("DEBUG DIGEST-VALUE"), fields(&ask("HGETALL")))
                    }
                    Reply::Simple(kind) if kind == "zset" => scores(&ask("ZRANGE * 0 -1 WITHSCORES")),
                    Reply::Simple(kind) if kind == "stream" => {
                        format!("{}{}", ask("DEBUG DIGEST-VALUE"), groups(&ask("XINFO GROUPS")))
                    }
                    _ => ask("DEBUG DIGEST-VALUE").to_string(),
                };
                let text = format!("{kind} until {deadline}\n{value}");
                all.insert(format!("{db} {}", String::from_utf8_lossy(&key)), text);
            }
        }
        Contents(all)
    }

    fn difference(&self, other: &Contents) -> String {
        let nothing = "nothing".to_string();
        let keys = self.0.keys().chain(other.0.keys());
        let lines = keys.filter(|key| self.0.get(*key) != other.0.get(*key)).map(|key| {
            let [one, two] = [self, other].map(|contents| contents.0.get(key).unwrap_or(&nothing));
            format!("{key}:\n  primary {one}\n  replica {two}\n")
        });
        lines.take(20).collect()
    }
}

/// Fields with their values, sorted.
fn fields(reply: &Reply) -> String {
    let mut pairs: Vec<String> = reply
        .elements()
        .unwrap_or_default()
        .chunks(2)
        .map(|pair| format!("{} {}", pair[0], pair[1]))
        .collect();
    pairs.sort();
    pairs.join("\n")
}

/// Members with their scores; these are numbers, however they are written.
fn scores(reply: &Reply) -> String {
    let elements = reply.elements().unwrap_or_default();
    let score = |reply: &Reply| String::from_utf8_lossy(reply.bytes().unwrap_or_default()).parse::<f64>();
    elements.chunks(2).map(|pair| format!("{} {:?}\n", pair[0], score(&pair[1]))).collect()
}

/// The groups of a stream, as far as Redis's replicas have them: not consumers that were never given an entry.
fn groups(reply: &Reply) -> String {
    let mut text = String::new();
    for group in reply.elements().unwrap_or_default() {
        for pair in group.elements().unwrap_or_default().chunks(2) {
            if matches!(pair[0].bytes(), Some(b"name" | b"pending" | b"last-delivered-id")) {
                text += &format!("\n  {} {}", pair[0], pair[1]);
            }
        }
    }
    text
}
