//! A primary with several clients and the engine that replays its stream, both on simulated clocks.

use std::collections::VecDeque;

use redloop::base::ids::ClientId;
use redloop::base::quoting;
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::clients::session::{Peer, Role};
use redloop::engine::{Engine, ExecStatus};
use redloop::services::command_stream::{ReaderId, ReaderKind};
use redloop::services::config::{Config, SetContext};
use redloop::sys::clock::Clock;

use crate::clients::{self, Client};
use crate::request::Request;
use crate::rules::Rules;
use crate::snapshot::{self, Scope};

const START_MS: u64 = 1_700_000_000_000;
/// The replica's clock is ahead by this much: nothing that is replayed may depend on it.
const REPLICA_AHEAD_MS: u64 = 7_654_321;
/// What is compared.
const REPLICATED: Scope = Scope { uses: false, access: false, commands: false, counters: true };
const CLIENTS: usize = 4;
/// Units that a failure shows.
const SHOWN: usize = 30;

pub struct World {
    seed: u64,
    primary: Engine,
    clients: Vec<Client>,
    replica: Engine,
    /// The session that replays the stream.
    replayer: ClientId,
    /// Sessions of both that look at the data and leave no trace.
    observers: [ClientId; 2],
    /// Readers of the primary's stream; what the one of this case's kind gets is replayed.
    log: ReaderId,
    for_replica: ReaderId,
    replayed: ReaderKind,
    /// The reader of the replica's stream.
    own: ReaderId,
    history: VecDeque<String>,
    units: u64,
}

/// Directives, and values of which a case gets one: collections change their encodings early, and eviction may happen.
const DIRECTIVES: &[(&str, &[&str])] = &[
    // No save points: there is no server here that could write a snapshot.
    ("save", &[""]),
    ("hash-max-listpack-entries", &["512", "3"]),
    ("set-max-listpack-entries", &["128", "3"]),
    ("set-max-intset-entries", &["512", "4"]),
    ("zset-max-listpack-entries", &["128", "3"]),
    ("list-max-listpack-size", &["128", "3"]),
    ("stream-node-max-entries", &["100", "3", "1"]),
    ("lazyfree-lazy-expire", &["no", "yes"]),
    ("lazyfree-lazy-eviction", &["no", "yes"]),
    ("lazyfree-lazy-server-del", &["no", "yes"]),
    ("lazyfree-lazy-user-del", &["no", "yes"]),
    ("notify-keyspace-events", &["", "KEAnm"]),
    (
        "maxmemory-policy",
        &["noeviction", "allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lfu", "volatile-random"],
    ),
];

/// A HyperLogLog's bytes are the value that a client reads, so both servers have to agree about their form.
const HLL_SPARSE: &[&str] = &["3000", "40"];

fn config(rng: &mut Rng, hll_sparse: &str) -> Config {
    let pick = |values: &[&'static str], rng: &mut Rng| values[rng.below(values.len() as u64) as usize];
    let mut config = Config::default();
    for (name, values) in DIRECTIVES {
        let pair = (name.as_bytes(), pick(values, rng).as_bytes());
        config.set_many(&[pair], SetContext::default()).expect("a known directive");
    }
    let pair = (b"hll-sparse-max-bytes".as_slice(), hll_sparse.as_bytes());
    config.set_many(&[pair], SetContext::default()).expect("a known directive");
    config
}

impl World {
    pub fn new(seed: u64, rng: &mut Rng) -> World {
        let hll_sparse = HLL_SPARSE[rng.below(HLL_SPARSE.len() as u64) as usize];
        let mut primary = Engine::new(FAMILIES, config(rng, hll_sparse), Clock::simulated(START_MS), seed);
        primary.start_turn();
        let clients = (0..CLIENTS).map(|_| Client::connect(&mut primary)).collect();
        let clock = Clock::simulated(START_MS + REPLICA_AHEAD_MS);
        let mut replica = Engine::new(FAMILIES, config(rng, hll_sparse), clock, !seed);
        replica.start_turn();
        let [log, for_replica] =
            [ReaderKind::Log, ReaderKind::Replica].map(|kind| primary.attach_reader(kind));
        let replayed = if rng.below(2) == 0 { ReaderKind::Log } else { ReaderKind::Replica };
        let own = replica.attach_reader(ReaderKind::Replica);
        let replaying = |engine: &mut Engine| {
            engine.clients.sessions.open(0, 0, Peer::Internal, Role::Internal, START_MS)
        };
        let (replayer, observers) = (replaying(&mut replica), [&mut primary, &mut replica].map(replaying));
        World {
            seed,
            primary,
            clients,
            replica,
            replayer,
            observers,
            log,
            for_replica,
            replayed,
            own,
            history: VecDeque::new(),
            units: 0,
        }
    }

    pub fn units(&self) -> u64 {
        self.units
    }

    /// One client sends something, or time passes, or memory gets short.
    pub fn step(&mut self, rules: &Rules, rng: &mut Rng) {
        match rng.below(24) {
            0..=2 => self.pass_time(rng),
            3 if rng.below(2) == 0 => self.evict(rng),
            4 if rng.below(6) == 0 => self.reconnect(rng.below(CLIENTS as u64) as usize),
            _ => {
                let number = rng.below(CLIENTS as u64) as usize;
                let case = rules.generate(rng);
                self.clients[number].queue.extend(case.iter().map(|words| Request::from_words(words)));
                self.serve(number);
            }
        }
    }

    /// Executes what a client has sent, as far as it doesn't wait.
    fn serve(&mut self, number: usize) {
        while !self.clients[number].blocked && self.clients[number].postponed.is_none() {
            let Some(request) = self.clients[number].queue.pop_front() else { return };
            self.run(number, request);
        }
    }

    fn run(&mut self, number: usize, request: Request) {
        self.note(format!("client {number}: {}", request.show()));
        let client = self.clients[number].id;
        let (status, reply) = request.run(&mut self.primary, client);
        match status {
            ExecStatus::Done => self.note(format!("    {}", brief(&reply))),
            ExecStatus::Blocked => self.clients[number].blocked = true,
            ExecStatus::Postponed => self.clients[number].postponed = Some(request),
            ExecStatus::Close => self.reconnect(number),
        }
        self.after_unit();
    }

    fn pass_time(&mut self, rng: &mut Rng) {
        let ms = match rng.below(8) {
            0..=4 => rng.below(12),
            5 | 6 => rng.below(200),
            _ => rng.below(1_000_000),
        };
        self.primary.clock.advance(ms * 1000);
        self.replica.clock.advance(ms * 1000);
        self.primary.start_turn();
        self.replica.start_turn();
        let ticks = rng.below(3) > 0;
        self.note(format!("{ms} ms pass{}", if ticks { ", tick" } else { "" }));
        if ticks {
            self.primary.tick();
            self.after_unit();
        }
    }

    /// Memory gets short, so that some of the keys go with the next command or the next turn.
    fn evict(&mut self, rng: &mut Rng) {
        let mut config = self.primary.config.clone();
        let used = self.primary.counted_memory();
        config.maxmemory = if rng.below(3) == 0 { 0 } else { used.saturating_sub(rng.below(2000)) };
        self.note(format!("maxmemory {} of {used}", config.maxmemory));
        self.primary.configure(config);
        if rng.below(2) == 0 {
            self.primary.tick();
            self.after_unit();
        }
    }

    fn reconnect(&mut self, number: usize) {
        self.note(format!("client {number} comes anew"));
        self.clients[number].reconnect(&mut self.primary);
    }

    /// Replays what the unit propagated, compares, and does what the engine asks of its server.
    fn after_unit(&mut self) {
        self.units += 1;
        self.primary.clients.outbox.clear();
        let [logged, replicated] = [self.log, self.for_replica].map(|reader| take(&mut self.primary, reader));
        self.primary.backlog_mut().trim();
        let stream = if self.replayed == ReaderKind::Log { logged } else { replicated };
        self.replay(&stream);
        self.compare();
        for number in clients::resume(&mut self.primary, &mut self.clients) {
            self.serve(number);
        }
    }

    fn replay(&mut self, stream: &[u8]) {
        let mut rest = stream;
        let (mut requests, mut depth) = (0, 0);
        while !rest.is_empty() {
            let (request, after) = Request::parse(rest);
            rest = after;
            let text = request.show();
            self.note(format!("    -> {text}"));
            let (status, reply) = request.run(&mut self.replica, self.replayer);
            self.check(status == ExecStatus::Done, "a replayed command doesn't wait");
            self.check(!has_error(&reply), &format!("a replayed command fails: {}", brief(&reply)));
            match text.as_str() {
                "MULTI" => {
                    self.check(depth == 0, "MULTI within MULTI");
                    (depth, requests) = (1, 0);
                }
                "EXEC" => {
                    // A log lacks those of its requests that are only for replicas.
                    let is_whole = requests > 1 || self.replayed == ReaderKind::Log;
                    self.check(depth == 1 && is_whole, "a transaction of more than one request");
                    depth = 0;
                }
                _ if text.starts_with("SELECT ") => {}
                _ if text.starts_with("PUBLISH ") && self.replayed == ReaderKind::Log => {
                    self.check(false, "a message in a log");
                }
                _ => requests += 1,
            }
        }
        self.check(depth == 0, "MULTI without EXEC");
        let own = take(&mut self.replica, self.own);
        self.check(own.is_empty(), &format!("the replica propagates {}", quoting::printable(&own)));
        self.replica.backlog_mut().trim();
        self.replica.clients.outbox.clear();
        self.replica.actions.clear();
    }

    fn compare(&mut self) {
        let primary = snapshot::take(&mut self.primary, self.observers[0], REPLICATED);
        let replica = snapshot::take(&mut self.replica, self.observers[1], REPLICATED);
        let difference = snapshot::difference(&primary, &replica);
        self.check(difference.is_none(), difference.as_deref().unwrap_or_default());
    }

    fn note(&mut self, line: String) {
        if self.history.len() == SHOWN * 4 {
            self.history.pop_front();
        }
        self.history.push_back(line);
    }

    fn check(&self, holds: bool, what: &str) {
        if !holds {
            let lines: Vec<&str> = self.history.iter().map(String::as_str).collect();
            let from = lines.len().saturating_sub(SHOWN);
            panic!("REDLOOP_REPLAY_SEED={}\n{}\n{what}", self.seed, lines[from..].join("\n"));
        }
    }
}

/// What a consumer has not yet consumed.
fn take(engine: &mut Engine, consumer: ReaderId) -> Vec<u8> {
    let backlog = engine.backlog_mut();
    let mut bytes = Vec::new();
    while backlog.position(consumer) < backlog.end() {
        let piece = backlog.read(consumer).expect("all is kept");
        let count = piece.len();
        bytes.extend_from_slice(piece);
        backlog.consume(consumer, count);
    }
    bytes
}

/// Whether a reply is an error, or a transaction's one that has one in it.
fn has_error(reply: &[u8]) -> bool {
    reply.starts_with(b"-")
}

fn brief(reply: &[u8]) -> String {
    quoting::printable(&reply[..reply.len().min(100)]).replace("\r\n", " ")
}
