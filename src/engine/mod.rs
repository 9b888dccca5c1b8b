//! The engine: every request goes through it once. Find the command, admit it, call it, propagate its changes.
//!
//! The engine does no I/O. Arguments come in; reply bytes, messages to other clients (the outbox), the command stream
//! and actions for the server go out. It runs in a test without a socket or a real clock.
//!
//! ```text
//! prepare          name → command, first key → hash     (for a whole batch, so memory can be prefetched)
//! process_command  admission → queue | call → changes
//! call             handler, statistics, propagation      (also EXEC's queue, scripts, woken clients)
//! process_changes  journal → watches, notifications, woken clients
//! ```

pub mod acl;
mod active_expiry;
pub mod analysis;
pub mod clients;
pub mod cluster;
pub mod command;
pub mod cron;
mod dispatch;
mod hot_keys;
mod key_walk;
pub mod links;
mod memory;
pub mod metrics;
pub mod migrate;
pub mod persistence;
pub mod quota;
pub mod replication;
pub mod scripting;
pub mod sentinel;
pub mod settings;
pub mod shutdown;
pub mod slot_migration;
mod tracking;
mod vector_jobs;

pub use clients::blocked::{Awaited, TimeoutReply, Wait};
pub use clients::{Clients, Pause};
pub use dispatch::admission::BUSY;
pub use dispatch::call::{Call, ClientCall, ControlCall};
pub use dispatch::propagation::Propagation;
pub use metrics::Metrics;
pub use migrate::Migrate;
pub use persistence::Persistence;
pub use replication::{PayloadSource, Replication};
pub use scripting::{Scripting, Wanted};
pub use settings::Settings;

use std::collections::VecDeque;

use crate::base::hash::KeyHasher;
use crate::base::ids::{ClientId, LinkId};
use crate::base::rng::Rng;
use crate::keyspace::{Keyspace, LruClock};
use crate::resp::{Args, CommandError, Reply};
use crate::services::analysis::hot_keys::HotKeys;
use crate::services::command_stream::CommandStream;
use crate::services::config::Config;
use crate::services::sentinel::JobId;
use crate::services::tls::CertificateEnd;
use crate::sys::clock::Clock;
use crate::sys::process;
use acl::Acl;
use clients::ShutdownOptions;
use clients::session::{Peer, Role, state};
use command::spec::CommandSpec;
use command::table::{self, CommandId, CommandTable};
use dispatch::{Deferred, Frame, NO_KEY};
use links::{LinkAction, Links};
use memory::{eviction, purge};
use replication::SyncAction;

/// What a handler did, when it didn't fail.
#[derive(Debug)]
pub enum Done {
    /// The reply is written (or there is none to write).
    Replied,
    /// Nothing to reply yet: the client waits.
    Blocked(Box<Wait>),
    /// The reply follows by [`Engine::complete_deferred`], once the server has done its part.
    Deferred,
    /// A script has gone over its time: the call is completed when it is over.
    Suspended,
    /// The reply went beyond what the client may leave unread: its connection ends without it.
    ReplyTooLarge,
}

/// How a handler ends.
pub type Outcome = Result<Done, CommandError>;
/// Works on one database and the session.
pub type DataHandler = fn(&mut Call<'_>) -> Outcome;
/// Works on the clients, the configuration and the metrics.
pub type ClientHandler = fn(&mut ClientCall<'_>) -> Outcome;
/// Works on the engine.
pub type ControlHandler = fn(&mut ControlCall<'_>) -> Outcome;

/// What the server does next with the client that sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecStatus {
    /// Goes on with the next request.
    Done,
    /// Takes no more of its requests until it is unblocked.
    Blocked,
    /// The request was not executed: keep it, and try it again when clients are resumed.
    Postponed,
    /// Closes the connection once its replies are out.
    Close,
}

/// What the engine has the server do.
#[derive(Clone, Debug)]
pub enum ServerAction {
    /// Close this connection, `net`'s number `conn_index`; with its replies if `gracefully`.
    Close {
        client: ClientId,
        conn_index: usize,
        gracefully: bool,
    },
    /// Let the kernel gather what this client is sent (`repl-disable-tcp-nodelay`).
    GatherPackets {
        client: ClientId,
        conn_index: usize,
    },
    /// Something to be done with a link.
    Link(LinkId, LinkAction),
    /// Go on reading this client's requests.
    Resume(ClientId),
    /// Let postponed requests be tried again.
    ResumeAll,
    /// Let threads do the jobs of [`Engine::take_vector_job`].
    RunVectorJobs,
    /// Call [`Engine::continue_migrations`].
    ContinueMigrations,
    /// End the server. The client gets the error, if it can't.
    Shutdown {
        client: Option<ClientId>,
        options: ShutdownOptions,
    },
    /// Write the snapshot that was started to its file, in the background.
    WriteSnapshot,
    /// Send a snapshot to these replicas.
    SendPayload {
        clients: Vec<ClientId>,
        source: PayloadSource,
    },
    /// Begin a rewrite of the append-only file.
    RewriteLog,
    /// Empty the keyspace and load the append-only file (DEBUG LOADAOF).
    ReloadLog {
        client: ClientId,
    },
    /// Write a snapshot to its file now. The client gets OK or the error.
    Save {
        client: Option<ClientId>,
    },
    /// Load the data from the files again, as they are or (`save`) after a snapshot; into an empty keyspace, unless
    /// `merge` or not `flush`. The client gets OK or the error.
    Reload {
        client: ClientId,
        save: bool,
        flush: bool,
        merge: bool,
    },
    /// The configuration was changed from the given one, in these directives: apply what concerns the
    /// server. If it can't, it goes back. The client, if given, gets OK or the error.
    ConfigChanged {
        client: Option<ClientId>,
        before: Box<Config>,
        changed: Vec<&'static str>,
        in_exec: bool,
    },
    /// Bring the configuration file up to date; at defaults, too, if `force_all`. The client gets OK or the error.
    RewriteConfig {
        client: ClientId,
        force_all: bool,
    },
    /// Read the file of users, and put them in the place of all. The client gets OK or the error.
    LoadUsers {
        client: ClientId,
    },
    /// Write the users to their file. The client gets OK or the error.
    SaveUsers {
        client: ClientId,
    },
    /// Do this with the data that the primary sends.
    Sync(SyncAction),
    /// End the server and start its program again (DEBUG RESTART); the client gets the error, if it can't end.
    Restart {
        client: ClientId,
    },
    /// End the process as a crash would (DEBUG's ways of dying).
    Crash,
    /// Stop the process until it gets SIGCONT (DEBUG REPL-PAUSE).
    Stop,
    /// Write the state of Sentinel mode to the configuration file. The client, if given, gets OK or the error.
    PersistSentinel {
        client: Option<ClientId>,
    },
    /// Start a script of Sentinel mode: its path and its arguments.
    RunScript {
        job: JobId,
        words: Vec<String>,
    },
    KillScript {
        job: JobId,
    },
    /// Write `nodes.conf`: durably if `sync`, and before anything else is done if `waits`. Then [`Engine::cluster_saved`] is called.
    SaveNodes {
        text: String,
        sync: bool,
        waits: bool,
    },
    /// Write `nodes.conf` durably, and complete the client's call: that it fails is its reply.
    SaveNodesFor {
        client: ClientId,
        text: String,
    },
    /// End the process at once with this status.
    Exit(i32),
}

/// A request whose command and first key have been looked up.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    command: Option<CommandId>,
    /// It works on a collection: more is worth loading ahead.
    on_collection: bool,
    /// Address and hash of the first key.
    hashed: (*const u8, u64),
}

impl Prepared {
    /// Of a request without words.
    pub const NOTHING: Prepared = Prepared { command: None, on_collection: false, hashed: NO_KEY };
}

/// The engine (`redisServer`, without its sockets).
pub struct Engine {
    pub commands: CommandTable,
    pub config: Config,
    /// What requests need of `config`; see [`Engine::configure`].
    pub settings: Settings,
    pub data: Data,
    pub clients: Clients,
    pub acl: Acl,
    stream: CommandStream,
    pub metrics: Metrics,
    /// Walks over a database: what takes its memory.
    pub analyses: analysis::Analyses,
    /// HOTKEYS: what is tracked, or was last.
    hot_keys: Option<Box<HotKeys>>,
    /// Snapshots and the log, and what is being loaded.
    pub persistence: Persistence,
    pub scripting: Scripting,
    links: Links,
    pub migrate: Migrate,
    pub replication: Replication,
    /// In Sentinel mode.
    pub sentinel: Option<Box<sentinel::SentinelMode>>,
    /// As a node of a cluster.
    pub cluster: Option<Box<cluster::ClusterMode>>,
    /// Calls whose replies follow when the server has done its part.
    deferred: Deferred,
    vector_jobs: vector_jobs::VectorJobs,
    /// What the server has to do, in order.
    pub actions: VecDeque<ServerAction>,
    pub clock: Clock,
    pub info: ServerInfo,
    frame: Frame,
    memory_purge: purge::MemoryPurge,
    cron: cron::Cron,
}

/// The data set and what chooses among its keys.
pub struct Data {
    pub keyspace: Keyspace,
    /// A database was full when the periodic jobs last ran: nothing more is added.
    is_full: bool,
    pub rng: Rng,
    eviction: eviction::Eviction,
    lru_clock: LruClock,
}

/// When the certificates of TLS end: the server's own, that of connections to others, and the first of those that it trusts.
#[derive(Clone, Debug, Default)]
pub struct CertificateEnds {
    pub server: Option<CertificateEnd>,
    pub client: Option<CertificateEnd>,
    pub authority: Option<CertificateEnd>,
}

/// What doesn't change while the server runs, or is set by the server.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    pub run_id: String,
    pub started_ms: u64,
    pub executable: String,
    pub config_file: String,
    /// Whether the server is in Sentinel mode.
    pub is_sentinel: bool,
    pub port: u16,
    /// What watches over the process.
    pub supervised: &'static str,
    /// When the certificates of TLS end.
    pub certificates: CertificateEnds,
    /// Bytes in use when the server was ready.
    pub startup_memory: usize,
    /// Kernel, release and machine.
    pub system_name: String,
    /// Physical memory of the machine, bytes.
    pub machine_memory: usize,
}

impl Engine {
    /// An engine with the commands of `families`, on `clock`, all its randomness from `seed`.
    pub fn new(families: &[&'static [CommandSpec]], config: Config, clock: Clock, seed: u64) -> Self {
        let settings = Settings::from_config(&config);
        let commands = CommandTable::new(families);
        let mut rng = Rng::new(seed);
        let batch_start = clock.ticks();
        let now_us = clock.unix_us(batch_start);
        let random = rng.next_u64();
        let chosen = config.hash_seed.as_deref().filter(|text| !text.is_empty());
        let seed = chosen.map_or(random, |text| KeyHasher::seed_of(text.as_bytes()));
        let keyspace = match settings.is_cluster {
            true => Keyspace::in_slot_order(settings.databases, seed),
            false => Keyspace::new(settings.databases, seed),
        };
        let hasher = keyspace.hasher();
        let (run_id, replid) = (rng.hex(40), rng.hex(40));
        let info = ServerInfo {
            run_id,
            started_ms: now_us / 1000,
            system_name: process::uname(),
            machine_memory: process::total_memory(),
            ..ServerInfo::default()
        };
        let command_count = commands.len();
        let acl = Acl::new(&commands, &config, rng.next_u64());
        let lru_clock = settings.lru_clock(now_us / 1000);
        let mut engine = Engine {
            commands,
            config,
            settings,
            data: Data { keyspace, is_full: false, rng, eviction: eviction::Eviction::default(), lru_clock },
            clients: Clients::new(hasher),
            acl,
            stream: CommandStream::default(),
            metrics: Metrics::new(command_count, batch_start),
            analyses: analysis::Analyses::default(),
            hot_keys: None,
            persistence: Persistence::new(now_us / 1_000_000),
            scripting: Scripting::new(seed),
            links: Links::default(),
            migrate: Migrate::new(hasher),
            replication: Replication::new(replid),
            sentinel: None,
            cluster: None,
            deferred: Deferred::default(),
            vector_jobs: vector_jobs::VectorJobs::default(),
            actions: VecDeque::new(),
            clock,
            info,
            frame: Frame::new(now_us),
            memory_purge: purge::MemoryPurge::default(),
            cron: cron::Cron::default(),
        };
        engine.settings.limits.hasher = hasher;
        engine.data.keyspace.vectors.only_on_loop = engine.config.vset_force_single_threaded_execution;
        engine.refresh_quotas();
        engine.refresh_recording();
        engine
    }

    /// Takes over a changed configuration, as far as the engine is concerned.
    pub fn configure(&mut self, config: Config) {
        let has_other_password = self.config.requirepass != config.requirepass;
        self.config = config;
        if has_other_password {
            self.set_default_password();
        }
        let skip_checksum = self.settings.dump_options.skip_checksum;
        self.settings = Settings::from_config(&self.config);
        self.settings.dump_options.skip_checksum = skip_checksum;
        self.refresh_notable();
        self.settings.limits.hasher = self.data.keyspace.hasher();
        self.data.keyspace.vectors.only_on_loop = self.config.vset_force_single_threaded_execution;
        self.refresh_role();
        self.data.lru_clock = self.settings.lru_clock(self.frame.now);
        self.metrics.slowlog.trim(&self.settings);
        self.recount_all_clients();
        self.resize_backlog();
        self.resume_eviction();
        self.refresh_sandbox();
        self.refresh_quotas();
        self.refresh_recording();
        self.configure_cluster();
    }

    /// A client came. `conn_index` and `fd` are the server's names for its connection.
    pub fn connect(&mut self, conn_index: usize, fd: i32, peer: Peer) -> ClientId {
        self.metrics.stats.connections_received += 1;
        let client = self.clients.sessions.open(conn_index, fd, peer, Role::Normal, self.frame.now);
        self.clients.sessions.live_mut(client).resp3 = self.config.client_default_resp == 3;
        let clients = &mut self.clients;
        clients.sessions.live_mut(client).log_out(&self.acl.users, &clients.quotas);
        client
    }

    /// The client that has just come is from `priority-subnets`.
    pub fn note_priority(&mut self, client: ClientId) {
        self.clients.sessions.live_mut(client).set(state::PRIORITY, true);
        self.clients.priority_count += 1;
    }

    /// A client went: its subscriptions, watches and waits go with it.
    pub fn disconnect(&mut self, client: ClientId) {
        self.replica_left(client);
        self.slot_migration_client_left(client);
        self.withdraw_migrations(client);
        self.clients.disconnect(client);
        // The stream of a primary whose script is running ends when that is over.
        if self.clients.script_client != Some(client)
            && self.replication.primary.as_ref().is_some_and(|primary| primary.client() == Some(client))
        {
            self.stream_lost();
        }
        self.refresh_changed_recording();
    }

    /// How long the turn has been, as of the last command, ns.
    #[inline]
    pub fn turn_nanos(&self) -> u64 {
        self.clock.nanos(self.metrics.turn_started, self.metrics.batch_start)
    }

    /// The turn comes to the connections.
    pub fn start_serving(&mut self) {
        self.metrics.serving_long_from = self.clock.after(self.clock.ticks(), LONG_SERVING);
    }

    /// Whether connections have been served for so long in this turn, as of the last command, that a pipeline has to go on in the
    /// next.
    #[inline]
    pub fn has_served_long(&self) -> bool {
        self.metrics.batch_start >= self.metrics.serving_long_from
    }

    /// A turn is over: releases what the readers of the command stream have consumed, and notes how long it was.
    pub fn end_turn(&mut self) {
        if self.stream.has_consumers() || self.replication.is_replica() {
            self.stream.backlog_mut().trim();
        }
        let nanos = self.clock.nanos(self.metrics.turn_started, self.clock.ticks());
        let stats = &mut self.metrics.stats;
        if let Some(started) = self.metrics.turn_started_cpu {
            let cpu = process::thread_cpu_nanos().saturating_sub(started);
            stats.longest_snapshot_turn_cpu = stats.longest_snapshot_turn_cpu.max(cpu);
        }
        stats.event_loop_cycles += 1;
        stats.event_loop_nanos += nanos;
        let calls = stats.commands_processed.saturating_sub(self.metrics.turn_first_call);
        stats.most_calls_a_turn = stats.most_calls_a_turn.max(calls);
        if nanos > stats.longest_turn_nanos {
            stats.longest_turn_nanos = nanos;
            stats.longest_turn_cause =
                if self.metrics.turn_job_nanos * 2 > nanos { self.metrics.turn_job } else { "commands" };
        }
        if nanos >= self.metrics.turns.least {
            self.note_long_turn(nanos, calls);
        }
    }

    /// Unix time of the running unit, ms.
    #[inline]
    pub fn now(&self) -> u64 {
        self.frame.now
    }

    /// A time in ms that doesn't go back if the wall clock is set back: for what lasts some time, or is due after some.
    #[inline]
    pub fn steady_now(&self) -> u64 {
        self.frame.steady()
    }

    /// Unix time in ms of a moment of [`Self::steady_now`], by the wall clock as it is now.
    pub fn wall_time(&self, steady_ms: u64) -> u64 {
        steady_ms.saturating_sub(self.frame.set_back_ms)
    }

    /// Unix time of the running unit, microseconds.
    pub fn now_us(&self) -> u64 {
        self.frame.now_us
    }

    /// The access clock of the running unit.
    pub fn lru_clock(&self) -> LruClock {
        self.data.lru_clock
    }

    /// Reads the clock: once a turn.
    pub fn start_turn(&mut self) {
        let before = self.frame.now;
        self.clock.anchor();
        self.start_unit();
        if self.frame.now + SET_BACK_FROM < before {
            self.clock_was_set_back(before - self.frame.now);
        }
        self.metrics.turn_started = self.metrics.batch_start;
        self.metrics.turn_first_call = self.metrics.stats.commands_processed;
        self.metrics.turn_job_nanos = 0;
        self.metrics.turn_started_cpu = self.persistence.run().map(|_| process::thread_cpu_nanos());
    }

    /// Reads the counter: at the start of a batch of requests.
    #[inline]
    pub fn start_unit(&mut self) {
        self.metrics.batch_start = self.clock.ticks();
        self.set_now();
    }

    /// What waits for a time of the wall clock waits as long as it was to: clients, pauses. What is due for a process of its own goes by
    /// [`Self::steady_now`]; deadlines of keys are moments of the wall clock.
    #[cold]
    fn clock_was_set_back(&mut self, by: u64) {
        log::warn!("The system's clock was set back by {by} ms.");
        self.frame.set_back_ms += by;
        self.clients.set_back(by);
    }

    #[inline]
    fn set_now(&mut self) {
        self.frame.now_us = self.clock.unix_us(self.metrics.batch_start);
        let now = self.frame.now_us / 1000;
        if now != self.frame.now {
            self.frame.now = now;
            self.data.lru_clock = self.settings.lru_clock(now);
        }
    }

    /// Looks up the command and hashes the first key of a request of database `db`, and begins to
    /// load what the key's lookup will touch.
    #[inline]
    pub fn prepare(&self, args: Args<'_>, db: u32) -> Prepared {
        let Ok(found) = self.commands.find(args.at(0), args.get(1)) else {
            return Prepared::NOTHING;
        };
        let table::Found { id, first_key, on_collection } = found;
        let hashed = match args.get(first_key) {
            // An empty key has no address of its own: the next argument may begin there.
            Some(key) if first_key > 0 && !key.is_empty() => {
                let hash = self.data.keyspace.hash(key);
                self.data.keyspace.prefetch_bucket(db as usize, hash);
                (key.as_ptr(), hash)
            }
            Some(_) if id == self.commands.known.publish => {
                args.get(1).into_iter().for_each(|channel| self.clients.pubsub.prefetch(channel));
                NO_KEY
            }
            _ => NO_KEY,
        };
        Prepared { command: Some(id), on_collection, hashed }
    }

    /// The further steps of the prefetch, for a batch of requests whose keys' buckets [`Self::prepare`] prefetched: the
    /// entries, and what commands on collections will touch behind them.
    #[inline]
    pub fn prefetch(&self, batch: &[Prepared], db: u32) {
        let db = db as usize;
        let (mut on_collections, mut displaced) = (false, 0u64);
        for (number, prepared) in
            batch.iter().enumerate().filter(|(_, prepared)| !prepared.hashed.0.is_null())
        {
            displaced |= u64::from(self.data.keyspace.prefetch_entry(db, prepared.hashed.1)) << (number & 63);
            on_collections |= prepared.on_collection;
        }
        while displaced != 0 {
            self.data.keyspace.prefetch_displaced(db, batch[displaced.trailing_zeros() as usize].hashed.1);
            displaced &= displaced - 1;
        }
        if on_collections {
            let hashes = || batch.iter().filter(|prepared| prepared.on_collection).map(|p| p.hashed.1);
            hashes().for_each(|hash| self.data.keyspace.prefetch_value(db, hash));
            hashes().for_each(|hash| self.data.keyspace.prefetch_contents(db, hash));
        }
    }

    /// Executes one request of a client and writes its reply.
    #[inline]
    pub fn execute(
        &mut self,
        client: ClientId,
        prepared: Prepared,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> ExecStatus {
        let start = reply.len();
        let mut progress = self.process_command(client, prepared, args, reply);
        match self.clients.sessions.get(client) {
            None => progress = ExecStatus::Close,
            Some(session) if session.is(REPLY_STATES | state::CLOSING | state::CACHING | state::ASKING) => {
                if !matches!(progress, ExecStatus::Blocked | ExecStatus::Postponed) {
                    self.end_caching(client, prepared.command);
                    self.end_asking(client, prepared.command);
                }
                progress = self.finish_unusual(client, start, progress, reply);
            }
            Some(_) => {}
        }
        progress
    }

    /// As [`Self::execute`] for a single request: tests, scripts, the engine's own sessions.
    pub fn execute_one(&mut self, client: ClientId, args: Args<'_>, reply: &mut Reply) -> ExecStatus {
        self.start_unit();
        let db = self.clients.sessions.live(client).db;
        let prepared = self.prepare(args, db);
        let progress = self.execute(client, prepared, args, reply);
        self.flush_batch();
        progress
    }

    /// Ends a request of a client that is to be closed, or isn't to get every reply.
    #[cold]
    fn finish_unusual(
        &mut self,
        client: ClientId,
        start: usize,
        progress: ExecStatus,
        reply: &mut Reply,
    ) -> ExecStatus {
        let session = self.clients.sessions.live_mut(client);
        if session.is(state::REPLY_OFF | state::REPLY_SKIP) {
            reply.truncate(start);
            self.clients.outbox.take_reply_off_messages(|bytes| reply.raw(bytes));
        }
        if !matches!(progress, ExecStatus::Blocked | ExecStatus::Postponed) {
            session.skip_next();
        }
        if session.is(state::CLOSING) { ExecStatus::Close } else { progress }
    }
}

/// From how much on the clock is taken to be set back, ms: less is the difference of what measures time and what tells it.
const SET_BACK_FROM: u64 = 100;
/// After this time a turn serves no more of a connection's pipeline, ns: twice what is given to a turn's connections, so that pipelines of
/// short requests are not cut, which would cost a write.
const LONG_SERVING: u64 = 1_000_000;
const REPLY_STATES: u32 = state::REPLY_OFF | state::REPLY_SKIP | state::REPLY_SKIP_NEXT;
