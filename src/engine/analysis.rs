//! Walks over a database for MEMORY TOP and the page of the metrics port: which keys and prefixes take the most memory.
//!
//! A walk goes on a slice each turn, by SCAN's cursor: every key that is there throughout is counted exactly once, and those that come or go
//! meanwhile at most once. One walk runs at a time; a request for the same database and depth joins it, others wait for
//! theirs. Keys past their deadline count as long as they take memory.

use std::collections::VecDeque;

use super::Engine;
use crate::base::ids::ClientId;
use crate::keyspace::{Database, Text};
use crate::resp::Reply;
use crate::services::acl::{User, access};
use crate::services::analysis::{Analysis, BigKey, BigPrefix, Report};
use crate::structures::table::EntryValue;
use crate::value::{Value, embedded};

/// How long a turn walks, ns.
const SLICE: u64 = 200_000;
/// Nodes of a list or stream that are measured, as MEMORY USAGE does.
const SAMPLES: usize = 5;

/// A walk that is under way, and where it goes on.
struct Walk {
    found: Analysis,
    cursor: u64,
}

/// A client that waits for its reply.
struct Request {
    client: ClientId,
    database: u32,
    depth: usize,
    count: usize,
}

/// The walk, those that wait for one, and what the last one found.
#[derive(Default)]
pub struct Analyses {
    walk: Option<Box<Walk>>,
    requests: VecDeque<Request>,
    last: Option<Box<Report>>,
    /// Walks that have come to their end.
    pub finished: u64,
}

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnalysisProgress {
    pub database: u32,
    pub depth: usize,
    pub started_ms: u64,
    /// From 0 to 1.
    pub fraction: f64,
    /// So far.
    pub keys: u64,
    pub bytes: u64,
}

/// The bits of SCAN's cursor.
const CURSOR_BITS: i32 = 48;

impl Walk {
    /// Takes a look at some twenty keys; false at the end.
    fn step(&mut self, database: &Database) -> bool {
        let (table, found) = (database.table(), &mut self.found);
        self.cursor = table.scan(self.cursor, |entry| {
            let behind = match &entry.value {
                EntryValue::Object(value) => value.memory_usage(SAMPLES),
                EntryValue::Int(_) | EntryValue::Bytes(_) | EntryValue::Embedded(..) => 0,
            };
            let bytes = table.entry_memory(entry.at) + behind;
            found.add(entry.key, bytes as u64, || describe(&entry.value));
        });
        self.cursor != 0
    }
}

/// The type of a value, and its elements or bytes.
fn describe(value: &EntryValue<'_, Value>) -> (&'static str, u64) {
    let (kind, size) = match value {
        EntryValue::Int(n) => ("string", Text::Int(*n).len()),
        EntryValue::Bytes(bytes) => ("string", bytes.len()),
        EntryValue::Embedded(tag, bytes) => {
            (embedded::type_name(*tag), embedded::decode(*tag, bytes).element_count())
        }
        EntryValue::Object(value) => (value.type_name(), value.element_count()),
    };
    (kind, size as u64)
}

/// The names of a report that a user may read, `count` of keys and of prefixes at most, and how many of those were left out.
struct Readable<'a> {
    keys: Vec<&'a BigKey>,
    prefixes: Vec<&'a BigPrefix>,
    hidden: usize,
}

/// Whether a user may read a key of this name, or keys of this prefix.
fn may_read(user: &User, name: &[u8]) -> bool {
    user.selectors().any(|selector| selector.allows_key(name, access::READ))
}

impl<'a> Readable<'a> {
    fn new(report: &'a Report, user: &User, count: usize) -> Self {
        let mut hidden = 0;
        let mut readable = |name: &[u8]| {
            let may = may_read(user, name);
            hidden += usize::from(!may);
            may
        };
        let keys = report.biggest_keys.iter().filter(|key| readable(&key.name)).take(count).collect();
        let prefixes =
            report.biggest_prefixes.iter().filter(|prefix| readable(&prefix.prefix)).take(count).collect();
        Readable { keys, prefixes, hidden }
    }
}

/// The reply of MEMORY TOP.
fn write_report(report: &Report, shown: &Readable<'_>, reply: &mut Reply) {
    let figure = |reply: &mut Reply, name: &str, value: u64| {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    };
    reply.map(10);
    figure(reply, "database", u64::from(report.database));
    figure(reply, "started-at-ms", report.started_ms);
    figure(reply, "duration-ms", report.duration_ms);
    figure(reply, "keys", report.keys);
    figure(reply, "bytes", report.bytes);
    figure(reply, "hidden-names", shown.hidden as u64);
    reply.bulk(b"biggest-keys");
    reply.array(shown.keys.len());
    for key in &shown.keys {
        reply.map(4);
        reply.bulk(b"key");
        reply.bulk(&key.name);
        figure(reply, "bytes", key.bytes);
        reply.bulk(b"type");
        reply.bulk(key.kind.as_bytes());
        figure(reply, "elements", key.elements);
    }
    figure(reply, "prefix-depth", report.depth as u64);
    figure(reply, "prefix-error-bytes", report.prefix_error);
    reply.bulk(b"biggest-prefixes");
    reply.array(shown.prefixes.len());
    for prefix in &shown.prefixes {
        reply.map(4);
        reply.bulk(b"prefix");
        reply.bulk(&prefix.prefix);
        figure(reply, "bytes", prefix.bytes);
        figure(reply, "keys", prefix.keys);
        figure(reply, "error-bytes", prefix.error);
    }
}

impl Engine {
    /// Begins a walk, of prefixes of `depth` segments (0: of none); false if one is under way.
    pub fn start_analysis(&mut self, database: u32, depth: usize) -> bool {
        let databases = self.data.keyspace.count();
        if self.analyses.walk.is_some() || database as usize >= databases {
            return false;
        }
        let found = Analysis::new(database, depth, self.frame.now, self.data.keyspace.hasher());
        self.analyses.walk = Some(Box::new(Walk { found, cursor: 0 }));
        true
    }

    /// The walk that is under way.
    pub fn analysis_progress(&self) -> Option<AnalysisProgress> {
        let walk = self.analyses.walk.as_ref()?;
        let Analysis { database, depth, started_ms, keys, bytes, .. } = walk.found;
        let fraction = walk.cursor as f64 / 2f64.powi(CURSOR_BITS);
        Some(AnalysisProgress { database, depth, started_ms, fraction, keys, bytes })
    }

    /// What the last walk found.
    pub fn last_analysis(&self) -> Option<&Report> {
        self.analyses.last.as_deref()
    }

    /// Whether a user may be told this name of a key, or of a prefix.
    pub fn may_read_name(&self, user: &User, name: &[u8]) -> bool {
        may_read(user, name)
    }

    /// A client is to be told of `count` keys and prefixes when a walk over its database is over.
    pub fn request_analysis(&mut self, client: ClientId, depth: usize, count: usize) {
        self.note_data_read();
        let database = self.clients.sessions.live(client).db;
        self.analyses.requests.push_back(Request { client, database, depth, count });
        self.start_analysis(database, depth);
    }

    /// Whether there is a walk to go on with.
    pub(super) fn is_analyzing(&self) -> bool {
        self.analyses.walk.is_some() && self.persistence.loading.is_none()
    }

    /// A job of each turn while there is a walk: a slice of it. True if there is more to do at once.
    pub(super) fn walk_analysis(&mut self) -> bool {
        let Some(mut walk) = self.analyses.walk.take() else { return false };
        let started = self.clock.ticks();
        let database = self.data.keyspace.database(walk.found.database as usize);
        while walk.step(database) {
            if self.clock.nanos(started, self.clock.ticks()) > SLICE {
                self.analyses.walk = Some(walk);
                return true;
            }
        }
        self.end_analysis(*walk);
        self.analyses.walk.is_some()
    }

    /// A walk is over: answers those that waited for it, and begins the next that is waited for.
    fn end_analysis(&mut self, walk: Walk) {
        let report = walk.found.finish(self.frame.now);
        self.analyses.finished += 1;
        let is_for = |request: &Request| (request.database, request.depth) == (report.database, report.depth);
        let requests = std::mem::take(&mut self.analyses.requests);
        let (answered, waiting) = requests.into_iter().partition(is_for);
        self.analyses.requests = waiting;
        for request in VecDeque::<Request>::into_iter(answered) {
            let mut reply = Reply::new(Vec::new(), false);
            if let Some(session) = self.clients.sessions.get(request.client) {
                reply.set_resp3(session.resp3);
                let shown = Readable::new(&report, self.acl.user_of(session), request.count);
                write_report(&report, &shown, &mut reply);
            }
            self.complete_deferred(request.client, reply.bytes());
        }
        self.analyses.last = Some(Box::new(report));
        // Those that went without waiting for their reply need none.
        while let Some(request) = self.analyses.requests.front() {
            let (client, database, depth) = (request.client, request.database, request.depth);
            if self.clients.sessions.get(client).is_some() {
                self.start_analysis(database, depth);
                return;
            }
            self.analyses.requests.pop_front();
            self.complete_deferred(client, b"");
        }
    }
}
