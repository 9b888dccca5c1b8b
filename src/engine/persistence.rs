//! Persistence as the engine sees it: which snapshot is under way, when one is due, and what the state of the disk means for requests.
//!
//! ```text
//! BGSAVE, a save point ─▶ start_snapshot: sinks for all databases ─▶ slices of the walk in each turn ─▶ the server's writer
//!                                                                    (before a write: what it changes)          │
//!                         finish_snapshot ◀──────────────────── the file is in place, or the error ◀────────────┘
//! ```
//!
//! One walk serves all purposes: a file, a rewritten log, a replica. The engine touches no file: the server takes the
//! receiver of a snapshot that was started, and reports how it ended.

use super::{Engine, ServerAction};
use crate::base::slot_set::SlotSet;
use crate::keyspace::Database;
use crate::resp::CommandError;
use crate::services::config::{REDIS_VERSION, RdbFamily};
use crate::services::persist::rdb::{Family, Needs, RdbFormat, RecordBuffer};
use crate::services::persist::snapshot::{self, AccessRule, PartReceiver, Parts, QUEUE_LIMIT};
use crate::services::persist::status::{AofStatus, LastAttempt, LoadProgress, RdbStatus};
use crate::structures::table::SnapshotSink;
use crate::value::Value;

/// Longest time that the walk takes of one turn, ns: while requests are served, and while there are none.
const BUSY_SLICE: u64 = 20_000;
const IDLE_SLICE: u64 = 500_000;
/// Without a request for so long there are none, microseconds: a turn without one may lie between those of busy clients.
const IDLE_AFTER_US: u64 = 1000;
/// Milliseconds after which the walk looks again whether the writer has caught up.
const WRITER_WAIT_MS: u64 = 1;

/// Names an import of Valkey's kind in a file whose format has no place for it.
pub const SLOT_IMPORT: &[u8] = b"redloop-slot-import";

/// Nanoseconds to wait at a key by `rdb-key-save-delay` and `key-load-delay`: µs, or if negative, keys a µs.
pub fn key_delay(setting: i32) -> u64 {
    let size = u64::from(setting.unsigned_abs());
    if setting < 0 { 1000 / size } else { size * 1000 }
}

/// The purpose of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The file `dbfilename`, while the loop goes on (BGSAVE).
    Background,
    /// The same, while everything waits (SAVE, SHUTDOWN, DEBUG RELOAD).
    Foreground,
    /// The base of a rewritten log (BGREWRITEAOF).
    LogBase,
    /// Replicas, without a file.
    Replicas,
    /// The node that slots move to: their keys alone.
    Slots,
}

/// A snapshot under way.
#[derive(Debug)]
pub struct SnapshotRun {
    pub purpose: Purpose,
    parts: Parts,
    /// Until the server takes it.
    receiver: Option<PartReceiver>,
    /// `journal.dirty` when it began.
    pub dirty: u64,
    /// Unix ms.
    pub started_ms: u64,
    /// Keys in all databases when it began.
    pub keys: u64,
    /// Everything has been handed over; the writer is still at it.
    is_walked: bool,
    /// Commands that had been processed when the walk last went on.
    calls: u64,
    /// When it was last seen that there were more, microseconds.
    busy_us: u64,
}

impl SnapshotRun {
    /// Keys that have been handed over.
    pub fn keys_done(&self) -> u64 {
        self.parts.keys() as u64
    }

    /// Bytes that wait for the writer.
    pub fn queued(&self) -> usize {
        self.parts.queued()
    }

    /// Whether the walk is ahead at `now_us`, Unix µs, if it takes at least `delay` ns a key.
    fn waits(&self, delay: u64, now_us: u64) -> bool {
        let least_us = self.keys_done().saturating_mul(delay) / 1000;
        now_us.saturating_sub(self.started_ms * 1000) < least_us
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Persistence {
    pub rdb: RdbStatus,
    pub aof: AofStatus,
    /// What is being loaded.
    pub loading: Option<LoadProgress>,
    /// Snapshots in the background and rewrites of the log that were begun since start-up: Redis forks for each.
    pub background_jobs: u64,
    /// `DEBUG AOF-FLUSH-SLEEP`: how long the loop sleeps before it writes to the log, microseconds.
    pub log_write_sleep_us: u64,
    /// The offset of the command stream up to which replies may be sent: the log is durable so far.
    pub confirmed: u64,
    /// The offset up to which the log is durable, whatever replies wait for; `None`: there is no log, or it waits for its base.
    pub durable: Option<u64>,
    /// The offsets of the command stream between which the log's files have it; they don't if unset.
    pub log_reaches: Option<(u64, u64)>,
    /// Requests need a look at the state of loading and of the disk.
    pub(super) restricts: bool,
    run: Option<SnapshotRun>,
}

impl Persistence {
    /// Of a server that starts at `now`, Unix seconds: as if the empty data had been saved then.
    pub(super) fn new(now: u64) -> Self {
        Persistence {
            rdb: RdbStatus { last_save: now, ..RdbStatus::default() },
            confirmed: u64::MAX,
            ..Persistence::default()
        }
    }

    /// After a change of what [`Self::restricts`] says.
    pub fn refresh(&mut self) {
        self.restricts = self.loading.is_some()
            || self.rdb.last_attempt == LastAttempt::Failed
            || self.aof.last_write == LastAttempt::Failed;
    }

    /// A file is being loaded from now on.
    pub fn start_loading(&mut self, progress: LoadProgress) {
        self.loading = Some(progress);
        self.refresh();
    }

    /// Loading has ended.
    pub fn end_loading(&mut self) {
        self.loading = None;
        self.refresh();
    }

    /// The snapshot under way.
    pub fn run(&self) -> Option<&SnapshotRun> {
        self.run.as_ref()
    }

    /// Whether a snapshot for this purpose is under way.
    pub fn is_running(&self, purpose: Purpose) -> bool {
        self.run.as_ref().is_some_and(|run| run.purpose == purpose)
    }

    /// The writer's end of a snapshot that was started, for the server to take.
    pub fn take_receiver(&mut self) -> Option<PartReceiver> {
        self.run.as_mut()?.receiver.take()
    }
}

impl Engine {
    /// Begins a snapshot of the data as it is now. None may be under way.
    pub fn start_snapshot(&mut self, purpose: Purpose) {
        self.start_snapshot_of(purpose, None);
    }

    /// [`Self::start_snapshot`] of the keys of some slots, or of all.
    pub(super) fn start_snapshot_of(&mut self, purpose: Purpose, slots: Option<&SlotSet>) {
        let makes_commands =
            purpose == Purpose::Slots || purpose == Purpose::LogBase && !self.config.aof_use_rdb_preamble;
        let compress = self.config.rdbcompression && !makes_commands;
        // Commands don't say when keys were used.
        let (format, access) = if makes_commands {
            (RdbFormat::REDIS_8_6, AccessRule::None)
        } else {
            (self.snapshot_format(), self.access_rule())
        };
        let (parts, receiver) = snapshot::start(format, compress, access);
        if purpose == Purpose::Slots && self.config.rdb_key_save_delay > 0 {
            parts.set_trickling();
        }
        let mut head = RecordBuffer::new(format, compress);
        match purpose {
            Purpose::Slots => head.magic(),
            _ => self.write_head(&mut head, purpose),
        }
        parts.send_head(head.take());
        let sink_of = |database: &Database| -> Box<dyn SnapshotSink<Value>> {
            let (keys, deadlines) = (database.len() as u64, database.expires() as u64);
            Box::new(parts.sink(database.index, keys, deadlines))
        };
        match slots {
            Some(slots) => self.data.keyspace.start_slot_snapshot(slots, sink_of),
            None => self.data.keyspace.start_snapshot(sink_of),
        }
        self.persistence.background_jobs += u64::from(purpose != Purpose::Foreground);
        self.persistence.run = Some(SnapshotRun {
            purpose,
            parts,
            receiver: Some(receiver),
            dirty: self.data.keyspace.journal.dirty,
            started_ms: self.now(),
            keys: self.data.keyspace.total_keys() as u64,
            is_walked: false,
            calls: self.metrics.stats.commands_processed,
            busy_us: 0,
        });
        self.wake_soon();
    }

    /// The lowest version of the format that says what the data needs.
    pub(crate) fn snapshot_format(&self) -> RdbFormat {
        let databases = self.data.keyspace.databases();
        let has_field_deadlines = databases.iter().any(|database| database.hashes_with_deadlines() > 0);
        let may_have_streams = databases.iter().any(|database| database.may_have_streams());
        let family = if self.replication.awaits_snapshot() {
            self.replica_family()
        } else {
            match self.config.rdb_family {
                RdbFamily::Redis => Family::Redis,
                RdbFamily::Valkey => Family::Valkey,
            }
        };
        let needs = Needs {
            field_deadlines: has_field_deadlines,
            streams: may_have_streams,
            idempotency: databases.iter().any(|database| database.may_have_idempotency()),
            slot_imports: !self.imports_of_head().1.is_empty(),
        };
        RdbFormat::choose(family, needs)
    }

    fn access_rule(&self) -> AccessRule {
        if !self.settings.policy.tracks_use() {
            return AccessRule::None;
        }
        let clock = self.lru_clock();
        match clock.is_lfu() {
            true => AccessRule::Frequency(clock),
            // Under an LRM policy, too, which Redis doesn't: there, all keys count as changed when it starts.
            false => AccessRule::Idle(clock),
        }
    }

    /// What a file begins with, before its databases.
    pub(crate) fn write_head(&mut self, head: &mut RecordBuffer, purpose: Purpose) {
        head.magic();
        head.aux(b"redis-ver", REDIS_VERSION.as_bytes());
        head.aux(b"redis-bits", usize::BITS.to_string().as_bytes());
        head.aux(b"ctime", (self.now() / 1000).to_string().as_bytes());
        head.aux(b"used-mem", self.counted_memory().to_string().as_bytes());
        if self.stream.backlog().retained().is_some() {
            // One that goes on from here executes what follows in this database.
            let db = self.stream_db();
            head.aux(b"repl-stream-db", db.to_string().as_bytes());
            head.aux(b"repl-id", self.replication.identity.replid.as_bytes());
            head.aux(b"repl-offset", self.stream.backlog().end().to_string().as_bytes());
        }
        // Also in a file that they get; from one that is loaded at a start they aren't taken.
        let is_for_replicas = purpose == Purpose::Replicas || self.replication.awaits_snapshot();
        let open = self.cluster.as_ref().filter(|_| is_for_replicas);
        if let Some(open) = open.and_then(|mode| mode.service.open_slots()) {
            head.aux(b"cluster-slot-states", open.as_bytes());
        }
        let is_base = u8::from(purpose == Purpose::LogBase);
        head.aux(b"aof-base", is_base.to_string().as_bytes());
        self.write_imports(head);
        for library in self.scripting.functions().libraries().iter() {
            head.function(&library.source);
        }
    }

    /// Says what is being imported: what is in the file of it isn't to be shown.
    fn write_imports(&self, head: &mut RecordBuffer) {
        let (note, jobs) = self.imports_of_head();
        if let Some(note) = note {
            head.aux(b"cluster-asm-task", note.to_string().as_bytes());
        }
        for (name, slots) in jobs {
            if head.format() == RdbFormat::VALKEY {
                let ranges: Vec<(u16, u16)> =
                    slots.iter().map(|range| (*range.start(), *range.end())).collect();
                head.slot_import(name.as_bytes(), &ranges);
            } else {
                head.aux(SLOT_IMPORT, format!("{name}:{slots}").as_bytes());
            }
        }
    }

    /// A job of each turn: a slice of the walk. True if there is more to do at once.
    pub(super) fn walk_snapshot(&mut self) -> bool {
        let Some(run) = self.persistence.run.as_mut().filter(|run| !run.is_walked) else { return false };
        if run.parts.is_abandoned() {
            self.data.keyspace.cancel_snapshot();
            run.is_walked = true;
            return false;
        }
        let calls = self.metrics.stats.commands_processed;
        let started = self.clock.ticks();
        let (delay, now_us) = (key_delay(self.config.rdb_key_save_delay), self.clock.unix_us(started));
        if std::mem::replace(&mut run.calls, calls) != calls {
            run.busy_us = now_us;
        }
        let is_idle = now_us.saturating_sub(run.busy_us) > IDLE_AFTER_US;
        run.parts.set_busy(!is_idle);
        let slice = if is_idle { IDLE_SLICE } else { BUSY_SLICE };
        let mut more = true;
        while more && run.queued() < QUEUE_LIMIT && !run.waits(delay, now_us) {
            more = self.data.keyspace.snapshot_step();
            if self.clock.nanos(started, self.clock.ticks()) > slice {
                break;
            }
        }
        // What was removed meanwhile hands over the rest before it is freed.
        // The last key has its delay, too.
        let waits = run.waits(delay, now_us);
        if !more && run.parts.are_complete() && !waits {
            run.parts.end();
            run.is_walked = true;
        }
        !run.is_walked && run.queued() < QUEUE_LIMIT && !waits
    }

    /// How long the loop may sleep for the sake of the walk, ms: it waits for the writer.
    pub(super) fn snapshot_sleep_ms(&self) -> Option<u64> {
        let is_walking = self.persistence.run.as_ref().is_some_and(|run| !run.is_walked);
        is_walking.then_some(WRITER_WAIT_MS)
    }

    /// Walks to the end at once, giving `write` a chance to take parts after each step.
    pub fn walk_whole_snapshot(&mut self, mut write: impl FnMut(&PartReceiver)) {
        let Some(receiver) = self.persistence.take_receiver() else { return };
        // What was removed before hands over the rest before it is freed.
        while self.data.keyspace.snapshot_step()
            || !self.snapshot_is_complete() && self.data.keyspace.lazy_free.slice(true)
        {
            write(&receiver);
        }
        if let Some(run) = &mut self.persistence.run {
            if run.parts.are_complete() {
                run.parts.end();
            }
            run.is_walked = true;
        }
        write(&receiver);
    }

    /// Whether the writer of the snapshot under way takes more: what is removed may be handed over.
    pub(super) fn may_hand_over(&self) -> bool {
        self.persistence.run.as_ref().is_none_or(|run| run.queued() < QUEUE_LIMIT)
    }

    /// Frees a slice of what was removed; true while there is more that can be freed now.
    pub fn free_slice(&mut self) -> bool {
        let may_hand_over = self.may_hand_over();
        self.data.keyspace.lazy_free.slice(may_hand_over)
    }

    /// Whether [`Self::free_slice`] can do something.
    pub(super) fn has_garbage(&self) -> bool {
        self.data.keyspace.lazy_free.has_work(self.may_hand_over())
    }

    fn snapshot_is_complete(&self) -> bool {
        self.persistence.run.as_ref().is_none_or(|run| run.parts.are_complete())
    }

    /// A snapshot has ended; `Ok` if its file is in place.
    pub fn finish_snapshot(&mut self, is_ok: bool) {
        let Some(run) = self.persistence.run.take() else { return };
        if !run.is_walked {
            self.data.keyspace.cancel_snapshot();
        }
        let now = self.now() / 1000;
        let seconds = now.saturating_sub(run.started_ms / 1000);
        if matches!(run.purpose, Purpose::LogBase | Purpose::Replicas | Purpose::Slots) {
            return;
        }
        let rdb = &mut self.persistence.rdb;
        if run.purpose == Purpose::Background {
            rdb.last_seconds = Some(seconds);
        }
        if is_ok {
            rdb.succeeded(run.dirty, now)
        } else if run.purpose == Purpose::Background {
            rdb.failed()
        }
        self.persistence.refresh();
        if run.purpose == Purpose::Background {
            self.replica_file_written(is_ok);
        }
    }

    /// Drops a snapshot half-way; its writer notices. Says whether one was under way.
    pub fn cancel_snapshot(&mut self) -> bool {
        let Some(run) = self.persistence.run.take() else { return false };
        self.data.keyspace.cancel_snapshot();
        if run.purpose == Purpose::Background {
            self.replica_file_written(false);
        }
        drop(run);
        true
    }

    /// [`Self::cancel_snapshot`] if it is for this purpose.
    pub fn cancel_snapshot_for(&mut self, purpose: Purpose) {
        if self.persistence.is_running(purpose) {
            self.cancel_snapshot();
        }
    }

    /// A job of each period: begins a snapshot that a save point or BGSAVE SCHEDULE asks for.
    pub(super) fn start_due_snapshot(&mut self) {
        if self.persistence.run.is_some() || self.persistence.loading.is_some() {
            return;
        }
        let now = self.now() / 1000;
        let points = self.config.save.0.iter().map(|point| (point.seconds, point.changes));
        let rdb = &mut self.persistence.rdb;
        let due = rdb.is_due(points, self.data.keyspace.journal.dirty, now);
        if let Some((seconds, changes)) = due {
            log::info!("{changes} changes in {seconds} seconds. Saving...");
        }
        if due.is_some() || std::mem::take(&mut rdb.is_scheduled) {
            self.start_background_save();
        }
    }

    /// All keys were removed by a command: a snapshot in the background would bring them back, so it is dropped, and with save
    /// points the empty data is saved.
    pub fn save_flushed(&mut self) {
        self.cancel_snapshot_for(Purpose::Background);
        let is_asked = matches!(self.actions.back(), Some(ServerAction::Save { client: None }));
        if !self.config.save.0.is_empty() && self.persistence.loading.is_none() && !is_asked {
            self.actions.push_back(ServerAction::Save { client: None });
        }
    }

    /// Begins a snapshot to the file in the background.
    pub fn start_background_save(&mut self) {
        self.persistence.rdb.is_scheduled = false;
        self.persistence.rdb.last_try = self.now() / 1000;
        self.start_snapshot(Purpose::Background);
        self.actions.push_back(ServerAction::WriteSnapshot);
    }

    /// Has the log rewritten in the background, as of the end of this turn's commands.
    pub fn start_log_rewrite(&mut self) {
        self.persistence.aof.is_rewrite_scheduled = false;
        self.actions.push_back(ServerAction::RewriteLog);
    }

    /// The error of a write that the disk's state forbids.
    pub(super) fn disk_error(&self) -> Option<CommandError> {
        if self.persistence.aof.last_write == LastAttempt::Failed {
            return Some(CommandError::new(self.persistence.aof.write_error.clone()));
        }
        let rdb_fails = self.config.stop_writes_on_bgsave_error
            && self.persistence.rdb.last_attempt == LastAttempt::Failed
            && !self.config.save.0.is_empty();
        rdb_fails.then(|| {
            CommandError::text(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                 Commands that may modify the data set are disabled, because this instance is configured to report \
                 errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
                 the Redis logs for details about the RDB error.",
            )
        })
    }
}
