//! An engine with several clients on a simulated clock, its snapshots, and the engine that loads them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redloop::base::ids::ClientId;
use redloop::base::quoting;
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::clients::session::{Peer, Role};
use redloop::engine::persistence::Purpose;
use redloop::engine::{Engine, ExecStatus};
use redloop::server::persistence::load::{LoadOptions, RdbLoader};
use redloop::server::persistence::load_aof::AofLoader;
use redloop::server::persistence::snapshot_file::{Encoding, SnapshotFile, Target};
use redloop::services::config::{Config, ProtectedAction, SetContext};
use redloop::services::persist::aof::directory::AofDirectory;
use redloop::services::persist::aof::manifest::{BaseFormat, Names};
use redloop::services::persist::snapshot::{HELD_LIMIT, Part, PartReceiver};
use redloop::sys::clock::Clock;
use redloop::sys::simulated_disk::SimulatedDisk;

use crate::bulk;
use crate::clients::{self, Client};
use crate::request::Request;
use crate::rules::Rules;
use crate::snapshot::{self, Scope, Snapshot};

const START_MS: u64 = 1_700_000_000_000;
const CLIENTS: usize = 4;
/// Lines that a failure shows.
const SHOWN: usize = 60;
/// Characters of a line that a failure shows.
const WIDTH: usize = 160;

/// A snapshot under way.
struct Run {
    receiver: PartReceiver,
    file: SnapshotFile,
    /// The data when it began, and when that was, Unix ms.
    model: Snapshot,
    scope: Scope,
    /// `None`: the file can't say all of the data.
    digest: Option<Vec<u8>>,
    at: u64,
    ended: bool,
}

pub struct World {
    seed: u64,
    engine: Engine,
    config: Config,
    clients: Vec<Client>,
    /// Looks at the data and leaves no trace.
    observer: ClientId,
    disk: SimulatedDisk,
    run: Option<Run>,
    history: VecDeque<String>,
    /// Files that were compared.
    pub compared: u64,
    /// Those of them that were commands.
    pub of_commands: u64,
    /// Collections that were handed over in parts.
    pub opened: u64,
}

/// Directives, and values of which a case gets one: collections change their encodings early, and eviction may happen.
const DIRECTIVES: &[(&str, &[&str])] = &[
    ("hash-max-listpack-entries", &["512", "3"]),
    ("set-max-listpack-entries", &["128", "3"]),
    ("set-max-intset-entries", &["512", "4"]),
    ("zset-max-listpack-entries", &["128", "3"]),
    ("list-max-listpack-size", &["-2", "128", "3", "3"]),
    ("list-compress-depth", &["0", "1"]),
    ("stream-node-max-entries", &["100", "3", "1"]),
    ("lazyfree-lazy-expire", &["no", "yes"]),
    ("lazyfree-lazy-eviction", &["no", "yes"]),
    ("lazyfree-lazy-server-del", &["no", "yes"]),
    ("lazyfree-lazy-user-del", &["no", "yes"]),
    ("lazyfree-lazy-user-flush", &["no", "yes"]),
    ("rdbcompression", &["no", "yes"]),
    // A third of the files are commands.
    ("aof-use-rdb-preamble", &["yes", "yes", "no"]),
    ("notify-keyspace-events", &["", "KEAnm"]),
    (
        "maxmemory-policy",
        &["noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl", "volatile-lfu"],
    ),
];

fn config(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    for (name, values) in DIRECTIVES {
        let value = values[rng.below(values.len() as u64) as usize];
        config.set_many(&[(name.as_bytes(), value.as_bytes())], SetContext::default()).expect(name);
    }
    config.enable_debug_command = ProtectedAction::Yes;
    config.save.0.clear();
    config
}

/// A session that ignores deadlines, and whose reads don't count as use.
fn observer(engine: &mut Engine) -> ClientId {
    let id = engine.clients.sessions.open(0, 0, Peer::Internal, Role::Internal, START_MS);
    Request::from_words(&["CLIENT", "NO-TOUCH", "ON"]).run(engine, id);
    id
}

fn digest(engine: &mut Engine, session: ClientId) -> Vec<u8> {
    let (_, reply) = Request::from_words(&["DEBUG", "DIGEST"]).run(engine, session);
    assert!(reply.starts_with(b"+"), "{}", quoting::printable(&reply));
    reply
}

impl World {
    pub fn new(seed: u64, rng: &mut Rng) -> World {
        let config = config(rng);
        let mut engine = Engine::new(FAMILIES, config.clone(), Clock::simulated(START_MS), seed);
        engine.start_turn();
        let clients = (0..CLIENTS).map(|_| Client::connect(&mut engine)).collect();
        let observer = observer(&mut engine);
        World {
            seed,
            engine,
            config,
            clients,
            observer,
            disk: SimulatedDisk::new(seed),
            run: None,
            history: VecDeque::new(),
            compared: 0,
            of_commands: 0,
            opened: 0,
        }
    }

    /// Commands, then a snapshot with commands meanwhile, which is loaded and compared, or dropped half-way.
    pub fn round(&mut self, rules: &Rules, rng: &mut Rng) {
        for _ in 0..rng.below(6) {
            self.send(bulk::fill(rng), rng);
        }
        for _ in 0..rng.below(40) {
            self.command(rules, rng);
        }
        // Reading a key, which is a use, has it not handed over: when it was last used may be of later than its value.
        // Clients that wait go on with what they have sent when their pause or their time is over.
        let wait = self.clients.iter().any(|client| client.postponed.is_some() || !client.queue.is_empty());
        let is_quiet = rng.below(6) == 0 && !wait;
        let commands = !self.config.aof_use_rdb_preamble;
        let scope = Scope { uses: true, access: is_quiet && !commands, commands, counters: true };
        self.begin(scope);
        if rng.below(6) == 0 {
            self.walk_in_foreground();
            return self.finish();
        }
        // Few commands between steps, or many.
        let (commands, steps) = (if is_quiet { 1 } else { 2 + rng.below(8) }, 1 + rng.below(60));
        let drops = rng.below(6) == 0;
        let mut left = 400;
        while !self.run.as_ref().is_some_and(|run| run.ended) {
            for _ in 0..rng.below(commands) {
                self.command(rules, rng);
            }
            self.step(rng, steps);
            if self.engine.persistence.run().is_none() {
                // FLUSHALL drops it, as in Redis.
                self.drop_half_way(scope, rng);
            }
            if drops && rng.below(20) == 0 {
                self.drop_half_way(scope, rng);
            }
            left -= 1;
            if left == 0 {
                self.walk_to_the_end();
            }
        }
        for _ in 0..rng.below(10) {
            self.command(rules, rng);
        }
        self.finish();
    }

    fn begin(&mut self, scope: Scope) {
        self.note("a snapshot begins".into());
        self.engine.clock.set_reading_step(0);
        self.engine.start_turn();
        let model = snapshot::take(&mut self.engine, self.observer, scope);
        let says_all = !self.has_negative_zero(&model);
        let digest = says_all.then(|| digest(&mut self.engine, self.observer));
        // FLUSHALL drops one for BGSAVE, and leaves one for a log.
        self.engine.start_snapshot(Purpose::LogBase);
        let receiver = self.engine.persistence.take_receiver().expect("it was started");
        let target = Target {
            temporary: PathBuf::from("temp.rdb"),
            path: Some(PathBuf::from("dump.rdb")),
            compress: self.engine.config.rdbcompression,
            checksum: true,
            incremental_sync: true,
            encoding: if scope.commands { Encoding::Commands { time: Some(1) } } else { Encoding::Rdb },
        };
        // What waits for other collections stays in memory, or doesn't.
        let limit = if self.seed.is_multiple_of(2) { HELD_LIMIT } else { 2000 };
        let file = SnapshotFile::with_limit(Arc::new(self.disk.clone()), target, limit).expect("created");
        let at = self.engine.now();
        self.run = Some(Run { receiver, file, model, scope, digest, at, ended: false });
    }

    /// The walk goes on, in the middle of a turn or by a turn of its own, and the writer takes some of what has come.
    fn step(&mut self, rng: &mut Rng, steps: u64) {
        if rng.below(3) == 0 {
            self.engine.clock.set_reading_step(1000 + rng.below(100_000));
            self.engine.start_turn();
            self.engine.tick();
            self.engine.clock.set_reading_step(0);
            self.note("    tick".into());
            self.after_unit();
        } else {
            let count = rng.below(steps);
            let done = (0..count).take_while(|_| self.engine.data.keyspace.snapshot_step()).count();
            self.note(format!("    {done} steps"));
            for _ in 0..rng.below(4) {
                self.engine.data.keyspace.lazy_free.slice(true);
            }
        }
        self.write(if rng.below(2) == 0 { usize::MAX } else { rng.below(4) as usize });
    }

    /// The writer takes up to so many parts.
    fn write(&mut self, parts: usize) {
        let Some(run) = &mut self.run else { return };
        for _ in 0..parts {
            let Some(part) = run.receiver.try_next() else { return };
            self.opened += u64::from(matches!(part, Part::Open(..)));
            run.ended |= run.file.take(part).expect("written");
        }
    }

    fn walk_to_the_end(&mut self) {
        let mut turns = 0;
        while !self.run.as_ref().is_some_and(|run| run.ended) {
            // Garbage that has parts of the snapshot left is freed by periodic jobs, too.
            self.engine.clock.advance(1000);
            self.engine.start_turn();
            self.engine.tick();
            self.write(usize::MAX);
            turns += 1;
            self.check(
                turns < 100_000,
                &format!("the walk doesn't end: {:?}", self.engine.persistence.run()),
            );
        }
        self.after_unit();
    }

    /// Begins again, and walks as SAVE does.
    fn walk_in_foreground(&mut self) {
        let Some(mut run) = self.run.take() else { return };
        self.engine.cancel_snapshot();
        self.engine.start_snapshot(if run.scope.commands { Purpose::LogBase } else { Purpose::Foreground });
        let (mut ended, mut opened) = (false, 0);
        self.engine.walk_whole_snapshot(|parts| {
            while let Some(part) = parts.try_next() {
                opened += u64::from(matches!(part, Part::Open(..)));
                ended |= run.file.take(part).expect("written");
            }
        });
        self.opened += opened;
        self.check(ended, "SAVE ends");
        self.run = Some(Run { ended, ..run });
    }

    /// Whether a sorted set has a score of -0, whose sign is lost where the set is small: at first in a base of commands, or when it is
    /// loaded, though it was large before (as in Redis).
    fn has_negative_zero(&mut self, model: &Snapshot) -> bool {
        model.iter().filter(|(_, text)| text.starts_with("zset")).any(|((db, key), _)| {
            Request::from_words(&[b"SELECT", db.to_string().as_bytes()]).run(&mut self.engine, self.observer);
            let words: [&[u8]; 6] = [b"ZRANGE", key, b"0", b"0", b"BYSCORE", b"WITHSCORES"];
            let (_, reply) = Request::from_words(&words).run(&mut self.engine, self.observer);
            reply.windows(8).any(|part| part == b"$2\r\n-0\r\n")
        })
    }

    /// BGSAVE CANCEL, and a new one at once.
    fn drop_half_way(&mut self, scope: Scope, rng: &mut Rng) {
        self.note("the snapshot is dropped".into());
        self.drop_run();
        self.check(self.disk.content("temp.rdb").is_none(), "a dropped snapshot leaves its file");
        if rng.below(2) == 0 {
            self.engine.tick();
            self.after_unit();
        }
        self.begin(scope);
    }

    fn drop_run(&mut self) {
        self.engine.cancel_snapshot();
        self.run = None;
    }

    /// The file is loaded into a second engine, and compared with the model.
    fn finish(&mut self) {
        let Some(run) = self.run.take() else { return };
        run.file.finish(|| false).expect("finished");
        self.engine.finish_snapshot(true);
        let mut loaded = Engine::new(FAMILIES, self.config.clone(), Clock::simulated(run.at), !self.seed);
        loaded.start_turn();
        let session = observer(&mut loaded);
        let result =
            if run.scope.commands { self.load_commands(&mut loaded) } else { self.load_file(&mut loaded) };
        self.check(result.is_ok(), &format!("the file doesn't load: {result:?}"));
        loaded.persistence.end_loading();
        let found = snapshot::take(&mut loaded, session, run.scope);
        let difference = snapshot::difference(&run.model, &found);
        self.check(difference.is_none(), difference.as_deref().unwrap_or_default());
        let same = run.digest.is_none_or(|expected| digest(&mut loaded, session) == expected);
        self.check(same, "DEBUG DIGEST differs");
        self.compared += 1;
        self.of_commands += u64::from(run.scope.commands);
    }

    fn load_file(&self, loaded: &mut Engine) -> Result<(), String> {
        let options =
            LoadOptions { merge: false, drop_expired: false, flush: false, is_sync: false, client: None };
        let mut loader = RdbLoader::open(&self.disk, Path::new("dump.rdb"), options, loaded).expect("a file");
        while !loader.step(loaded, 10_000).map_err(|failure| failure.to_string())? {}
        Ok(())
    }

    /// Loads the file as the base of a log.
    fn load_commands(&self, loaded: &mut Engine) -> Result<(), String> {
        let directory = AofDirectory::new(&self.disk, "appendonlydir", Names::new("appendonly.aof"));
        let manifest =
            directory.create(Path::new("dump.rdb"), BaseFormat::Commands, None).map_err(|error| error.0)?;
        let mut loader = AofLoader::open(&directory, manifest, None, loaded)?;
        while !loader.step(&self.disk, &directory, loaded, 10_000).map_err(|lines| lines.join(" "))? {}
        loader.finish(loaded);
        Ok(())
    }

    /// One client sends something, or time passes, or memory gets short.
    fn command(&mut self, rules: &Rules, rng: &mut Rng) {
        match rng.below(32) {
            0..=2 => self.pass_time(rng),
            3 if rng.below(4) == 0 => self.evict(rng),
            4 if rng.below(6) == 0 => self.reconnect(rng.below(CLIENTS as u64) as usize),
            5 if rng.below(4) == 0 => self.send(bulk::fill(rng), rng),
            6..=18 => self.send(bulk::change(rng), rng),
            _ => self.send(rules.generate(rng), rng),
        }
    }

    fn send(&mut self, case: crate::grammar::Case, rng: &mut Rng) {
        let number = rng.below(CLIENTS as u64) as usize;
        self.clients[number].queue.extend(case.iter().map(|words| Request::from_words(words)));
        self.serve(number);
    }

    /// Executes what a client has sent, as far as it doesn't wait.
    fn serve(&mut self, number: usize) {
        while !self.clients[number].blocked && self.clients[number].postponed.is_none() {
            let Some(request) = self.clients[number].queue.pop_front() else { return };
            let text: String = request.show().chars().take(WIDTH).collect();
            self.note(format!("client {number}: {text}"));
            let client = self.clients[number].id;
            let (status, _) = request.run(&mut self.engine, client);
            match status {
                ExecStatus::Done => {}
                ExecStatus::Blocked => self.clients[number].blocked = true,
                ExecStatus::Postponed => self.clients[number].postponed = Some(request),
                ExecStatus::Close => self.reconnect(number),
            }
            self.after_unit();
        }
    }

    fn pass_time(&mut self, rng: &mut Rng) {
        let ms = match rng.below(8) {
            0..=4 => rng.below(12),
            5 | 6 => rng.below(200),
            _ => rng.below(1_000_000),
        };
        self.engine.clock.advance(ms * 1000);
        self.engine.clock.set_reading_step(rng.below(100_000));
        self.engine.start_turn();
        self.note(format!("{ms} ms pass"));
        self.engine.tick();
        self.engine.clock.set_reading_step(0);
        self.after_unit();
    }

    /// Memory gets short, so that some of the keys go with the next command or the next turn.
    fn evict(&mut self, rng: &mut Rng) {
        let mut config = self.engine.config.clone();
        let used = self.engine.counted_memory();
        config.maxmemory = if rng.below(3) == 0 { 0 } else { used.saturating_sub(rng.below(5000)) };
        self.note(format!("maxmemory {} of {used}", config.maxmemory));
        self.engine.configure(config);
    }

    fn reconnect(&mut self, number: usize) {
        self.clients[number].reconnect(&mut self.engine);
    }

    /// Does what the engine asks of its server.
    fn after_unit(&mut self) {
        self.engine.clients.outbox.clear();
        for number in clients::resume(&mut self.engine, &mut self.clients) {
            self.serve(number);
        }
    }

    fn note(&mut self, line: String) {
        if self.history.len() == SHOWN {
            self.history.pop_front();
        }
        self.history.push_back(line);
    }

    fn check(&self, holds: bool, what: &str) {
        if !holds {
            let lines: Vec<&str> = self.history.iter().map(String::as_str).collect();
            panic!("REDLOOP_SNAPSHOT_SEED={}\n{}\n{what}", self.seed, lines.join("\n"));
        }
    }
}
