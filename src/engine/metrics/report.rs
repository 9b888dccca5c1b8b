//! Memory, client and CPU reports: numbers for INFO, MEMORY STATS and MEMORY DOCTOR, collected when a command asks.

use crate::engine::Engine;
use crate::engine::clients::session::{Role, Session, state};
use crate::services::analysis::hot_keys::HotKeys;
use crate::sys::{memory, process};

pub use crate::sys::process::CpuTimes;

/// What a database's table takes beside keys and values.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseReport {
    pub index: u32,
    pub overhead: usize,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default)]
pub struct MemoryReport {
    pub used: usize,
    pub peak: usize,
    /// When it was at the peak, Unix time in ms.
    pub peak_at_ms: u64,
    pub startup: usize,
    /// Resident, as the kernel counts it.
    pub resident: usize,
    /// Of all clients that are no replicas.
    pub clients: usize,
    /// Of replicas.
    pub replicas: usize,
    /// Of the command stream, as far as it is kept for replicas that come back, and altogether.
    pub backlog: usize,
    pub stream: usize,
    /// Of databases with keys.
    pub databases: Vec<DatabaseReport>,
    /// All that is not the data set itself.
    pub overhead: usize,
    pub dataset: usize,
    pub keys: usize,
}

impl MemoryReport {
    /// Resident bytes for each byte in use.
    pub fn fragmentation(&self) -> f64 {
        self.resident as f64 / self.used.max(1) as f64
    }

    /// The data set's percentage of what has come since the start.
    pub fn dataset_percent(&self) -> f64 {
        let net = self.used.saturating_sub(self.startup).max(1);
        (self.dataset as f64 * 100.0 / net as f64).min(100.0)
    }

    /// The percentage of its peak that memory is at.
    pub fn peak_percent(&self) -> f64 {
        self.used as f64 * 100.0 / self.peak.max(1) as f64
    }

    /// Bytes of the databases' tables.
    pub fn tables(&self) -> usize {
        self.databases.iter().map(|db| db.overhead).sum()
    }
}

/// How long an answer of the kernel's about resident memory is good enough, ms.
const RESIDENT_KEPT_MS: u64 = 100;

/// A watched key or a subscription, about: adding up their lengths would take too long.
const NAME_BYTES: usize = 96;

impl Session {
    /// Bytes that the client takes, its connection's buffers included.
    pub fn memory_usage(&self) -> usize {
        let text = |text: &Option<Box<[u8]>>| text.as_ref().map_or(0, |text| text.len());
        let queued = self
            .transaction
            .as_ref()
            .map_or(0, |t| size_of_val(&**t) + t.queued_bytes + t.watched.len() * NAME_BYTES);
        let subscriptions = self.subscriptions.as_ref().map_or(0, |s| {
            size_of_val(&**s) + (s.channels.len() + s.patterns.len() + s.shard.len()) * NAME_BYTES
        });
        let waiting = self.waiting.as_ref().map_or(0, |waiting| waiting.memory_usage());
        size_of::<Session>()
            + self.io.query_capacity as usize
            + self.io.output as usize
            + text(&self.name)
            + text(&self.lib_name)
            + text(&self.lib_version)
            + queued
            + subscriptions
            + waiting
            + self.tracker.as_ref().map_or(0, |tracker| tracker.memory_usage())
    }
}

/// How many clients are what.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientReport {
    pub connected: usize,
    pub blocked: usize,
    pub pubsub: usize,
    pub watching: usize,
    /// Wait with a deadline.
    pub timing: usize,
    /// Largest buffers of any client, bytes.
    pub largest_input: usize,
    pub largest_output: usize,
}

impl Engine {
    /// Takes stock of the memory.
    pub fn memory_report(&self) -> MemoryReport {
        let used = self.counted_memory() as usize;
        let startup = self.info.startup_memory;
        let full = self.data.keyspace.databases().iter().filter(|db| !db.is_empty());
        let databases: Vec<DatabaseReport> =
            full.map(|db| DatabaseReport { index: db.index, overhead: db.table().overhead() }).collect();
        let clients = self.normal_sessions().map(Session::memory_usage).sum();
        let tables: usize = databases.iter().map(|db| db.overhead).sum();
        let replicas = self.clients.sessions.iter().filter(|session| session.is(state::REPLICA));
        let replicas = replicas.map(Session::memory_usage).sum();
        let stream = self.backlog().memory_usage();
        let backlog = self.backlog().retained().map_or(0, |bytes| stream.min(bytes as usize));
        let hot_keys = self.hot_keys().map_or(0, HotKeys::memory);
        let stats = &self.metrics.stats;
        let overhead = startup + clients + replicas + stream + tables + hot_keys;
        // What is kept for replicas alone counts as theirs, too.
        let replicas =
            if self.replication.replicas.is_empty() { replicas } else { replicas + stream - backlog };
        MemoryReport {
            used,
            peak: stats.peak_memory.max(used),
            peak_at_ms: stats.peak_memory_at,
            startup,
            resident: self.resident_memory(),
            clients,
            replicas,
            backlog,
            stream,
            databases,
            overhead,
            dataset: used.saturating_sub(overhead),
            keys: self.data.keyspace.total_keys(),
        }
    }

    /// Counts the clients.
    pub fn client_report(&self) -> ClientReport {
        let mut figures = ClientReport::default();
        for session in self.normal_sessions() {
            figures.connected += 1;
            figures.blocked += usize::from(session.is(state::BLOCKED | state::POSTPONED));
            figures.pubsub += usize::from(session.is(state::SUBSCRIBED));
            let watches = session.transaction.as_ref().is_some_and(|t| !t.watched.is_empty());
            figures.watching += usize::from(watches);
            let timing = session.waiting.as_ref().is_some_and(|waiting| waiting.wait.deadline.is_some());
            figures.timing += usize::from(timing);
            figures.largest_input = figures.largest_input.max(session.io.query_capacity as usize);
            figures.largest_output = figures.largest_output.max(session.io.output as usize);
        }
        figures
    }

    fn normal_sessions(&self) -> impl Iterator<Item = &Session> {
        self.clients
            .sessions
            .iter()
            .filter(|session| session.role == Role::Normal && !session.is(state::REPLICA))
    }

    /// Processor time used so far.
    pub fn cpu_times(&self) -> CpuTimes {
        process::cpu_times()
    }

    /// Resident memory, bytes, as of the last [`RESIDENT_KEPT_MS`].
    fn resident_memory(&self) -> usize {
        let (bytes, when_ms) = self.metrics.resident.get();
        if bytes > 0 && self.frame.now.saturating_sub(when_ms) < RESIDENT_KEPT_MS {
            return bytes;
        }
        let bytes = process::resident_bytes();
        self.metrics.resident.set((bytes, self.frame.now));
        bytes
    }
}

/// Gives free memory back to the system.
pub fn purge_memory() {
    memory::purge();
}

/// The allocator's own statistics, as text.
pub fn allocator_report() -> String {
    memory::report()
}
