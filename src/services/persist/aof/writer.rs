//! The writer of the AOF: when the command stream's bytes go to the file, when the file is synced, and what errors do.
//!
//! ```text
//! stream   ── synced ────────── written ─────────── appended
//!             │ in the file,     │ in the backlog    │
//!             │ not yet durable  │                   next command
//! ```
//!
//! Bytes of the stream that are only for replicas don't go to the file, so an offset in the one is none in the other: a report says
//! both.
//!
//! No I/O: the caller asks for the next step, takes it, and reports. A write is reported before the next step is asked
//! for; a sync runs on a thread meanwhile. While one runs, writes wait in the backlog, since the system would have them
//! wait for the disk: with `always`, what comes together is then written and synced together.
//!
//! An increment is written to only when the one before it is durable, so that after a power failure only the last file
//! with content can end in the middle.

use std::io;

use crate::sys::disk::error_text;

/// With `everysec`, so long from the start of one sync to that of the next.
const SYNC_INTERVAL_MS: u64 = 1000;
/// A write that waits so long for a sync is counted as delayed.
const DELAYED_MS: u64 = 2000;
/// After a failed write it is tried again so much later.
const RETRY_MS: u64 = 100;
/// A write error is logged at most so often.
const ERROR_LOG_INTERVAL_MS: u64 = 30_000;
/// So many bytes wait for a sync; more are written at the price of waiting for the disk.
const MAX_WAITING: u64 = 256 << 20;

/// `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// A write is durable before it is acknowledged.
    Always,
    EverySecond,
    /// When the system sees fit.
    No,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write [`AofWriter::prefix`] and then what the log gets of the stream from one offset to the other, then report by
    /// [`AofWriter::wrote`].
    Write { from: u64, to: u64 },
    /// Cut the file off at so many bytes, then report by [`AofWriter::truncated`].
    Truncate { len: u64 },
    /// Sync the file on a thread; report by [`AofWriter::sync_finished`] when it is done.
    Sync,
    /// Go over to the new increment, then report by [`AofWriter::switched`]; sync the old one on a thread and close it, and
    /// report by [`AofWriter::sync_finished`] when it is done.
    Switch,
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes in the file: of the prefix and of the stream.
    pub bytes: u64,
    /// Offset of the stream up to which everything for the log is in the file.
    pub to: u64,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Notice(String),
    Warning(String),
    /// Bytes that a failed sync didn't write may be gone from the system's memory, too: only a rewrite brings them back.
    RewriteNeeded,
    /// The process has to exit with status 1: what was acknowledged can't be kept.
    Fatal(String),
}

/// What holds for a turn of the event loop.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Offset of the stream's end.
    pub end: u64,
    pub now_ms: u64,
    /// No sync is to be started: `no-appendfsync-on-rewrite`, and a file is being written.
    pub hold_syncs: bool,
}

/// See the module's description.
#[derive(Debug)]
pub struct AofWriter {
    policy: SyncPolicy,
    /// Offsets in the stream; `synced <= written <= appended`.
    appended: u64,
    written: u64,
    synced: u64,
    /// What is written before the stream's next bytes: an annotation.
    prefix: Vec<u8>,
    /// Unix time of the last annotation, seconds.
    annotated: u64,
    /// Bytes of the increment's whole writes.
    file_len: u64,
    /// How far a failed write came, while what it has left in the file is there.
    partial: Option<Written>,
    /// The file ends within a command: what a failed write left couldn't be cut off.
    within_command: bool,
    /// Offset that the running sync makes durable.
    syncing: Option<u64>,
    sync_started_ms: u64,
    hold_syncs: bool,
    /// Since when a write has waited for the running sync.
    waiting_since_ms: Option<u64>,
    delay_logged: bool,
    /// `aof_delayed_fsync`.
    delayed: u64,
    write_error: Option<String>,
    retry_at_ms: u64,
    error_logged_ms: Option<u64>,
    sync_error: Option<String>,
    switch_requested: bool,
    closing: bool,
    failed: bool,
    events: Vec<Event>,
}

impl AofWriter {
    /// Writes what is appended to the stream from `offset` on, to an increment that has `file_len` bytes.
    pub fn new(policy: SyncPolicy, offset: u64, file_len: u64, now_ms: u64) -> Self {
        AofWriter {
            policy,
            appended: offset,
            written: offset,
            synced: offset,
            prefix: Vec::new(),
            annotated: 0,
            file_len,
            partial: None,
            within_command: false,
            syncing: None,
            sync_started_ms: now_ms,
            hold_syncs: false,
            waiting_since_ms: None,
            delay_logged: false,
            delayed: 0,
            write_error: None,
            retry_at_ms: 0,
            error_logged_ms: None,
            sync_error: None,
            switch_requested: false,
            closing: false,
            failed: false,
            events: Vec::new(),
        }
    }

    /// Applies `appendfsync`.
    pub fn set_policy(&mut self, policy: SyncPolicy) {
        self.policy = policy;
    }

    /// `appendfsync`.
    pub fn policy(&self) -> SyncPolicy {
        self.policy
    }

    /// The next step, if one is due.
    pub fn next_step(&mut self, turn: Turn) -> Option<Step> {
        debug_assert!(turn.end >= self.appended);
        self.appended = turn.end;
        self.hold_syncs = turn.hold_syncs;
        if self.failed {
            return None;
        }
        if self.partial.is_some() {
            return Some(Step::Truncate { len: self.file_len });
        }
        if self.is_write_due(turn.now_ms) {
            return Some(Step::Write { from: self.written, to: self.appended });
        }
        if self.switch_requested && self.waiting() == 0 && self.syncing.is_none() {
            return Some(Step::Switch);
        }
        self.is_sync_due(turn.now_ms).then(|| {
            self.start_sync(turn.now_ms);
            Step::Sync
        })
    }

    /// When a step may be due though nothing is appended and nothing reported.
    pub fn next_due_ms(&self) -> Option<u64> {
        let retry = (self.write_error.is_some() && self.waiting() > 0).then_some(self.retry_at_ms);
        let delayed = self.waiting_since_ms.map(|since| since + DELAYED_MS);
        let unsynced = self.policy == SyncPolicy::EverySecond && self.synced < self.written;
        let sync = (unsynced && self.syncing.is_none()).then_some(self.sync_started_ms + SYNC_INTERVAL_MS);
        [retry, delayed, sync].into_iter().flatten().min()
    }

    fn is_write_due(&mut self, now_ms: u64) -> bool {
        if self.waiting() == 0 {
            return false;
        }
        if self.write_error.is_some() && now_ms < self.retry_at_ms {
            return false;
        }
        if self.syncing.is_none() || self.closing {
            return true;
        }
        // With `no`, only the sync of the increment before is waited for; there is no other.
        if self.policy == SyncPolicy::EverySecond {
            self.count_delay(now_ms);
        }
        self.waiting() > MAX_WAITING
    }

    fn count_delay(&mut self, now_ms: u64) {
        let since = *self.waiting_since_ms.get_or_insert(now_ms);
        if now_ms < since + DELAYED_MS {
            return;
        }
        self.waiting_since_ms = Some(now_ms);
        self.delayed += 1;
        if !std::mem::replace(&mut self.delay_logged, true) {
            let text = "Asynchronous AOF fsync is taking too long (disk is busy?). Writes wait in memory until it is \
                        done: should the process end before, more than the last second is lost.";
            self.events.push(Event::Notice(text.to_string()));
        }
    }

    fn is_sync_due(&self, now_ms: u64) -> bool {
        if self.synced == self.written || self.syncing.is_some() {
            return false;
        }
        match self.policy {
            _ if self.closing => true,
            _ if self.hold_syncs => false,
            SyncPolicy::Always => true,
            SyncPolicy::EverySecond => now_ms >= self.sync_started_ms + SYNC_INTERVAL_MS,
            SyncPolicy::No => false,
        }
    }

    fn start_sync(&mut self, now_ms: u64) {
        self.syncing = Some(self.written);
        self.sync_started_ms = now_ms;
        self.delay_logged = false;
    }

    /// Puts the time before the commands that are written next, if it isn't the time of the last annotation
    /// (`aof-timestamp-enabled`). Called between commands, so before the first write of a turn.
    pub fn annotate(&mut self, unix_seconds: u64) {
        let between_commands = self.partial.is_none() && !self.within_command;
        if self.annotated < unix_seconds && between_commands {
            self.annotated = unix_seconds;
            self.prefix = format!("#TS:{unix_seconds}\r\n").into_bytes();
        }
    }

    /// What to write before the stream's bytes.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// A write is done, or came so far; an error, if there is more.
    pub fn wrote(&mut self, written: Written, result: io::Result<()>, now_ms: u64) {
        self.waiting_since_ms = None;
        match result {
            Ok(()) => {
                debug_assert_eq!(written.to, self.appended);
                self.advance(written);
                self.within_command &= written.bytes == 0;
                self.write_works();
            }
            Err(error) => self.write_failed(written, &error, now_ms),
        }
    }

    /// What was written is in the file to stay.
    fn advance(&mut self, Written { bytes, to }: Written) {
        let of_prefix = bytes.min(self.prefix.len() as u64);
        self.prefix.drain(..of_prefix as usize);
        let is_all_synced = self.synced == self.written;
        self.written = to.clamp(self.written, self.appended);
        self.file_len += bytes;
        // Where nothing was for the log, there is nothing to sync.
        if bytes == 0 && is_all_synced && self.syncing.is_none() {
            self.synced = self.written;
        }
    }

    fn write_failed(&mut self, written: Written, error: &io::Error, now_ms: u64) {
        let bytes = written.bytes;
        let wanted = self.prefix.len() as u64 + self.waiting();
        let logged = self.error_logged_ms;
        if logged.is_none_or(|logged| now_ms > logged + ERROR_LOG_INTERVAL_MS) {
            self.error_logged_ms = Some(now_ms);
            let text = match bytes {
                0 => format!("Error writing to the AOF file: {}", error_text(error)),
                _ => format!(
                    "Short write while writing to the AOF file: (nwritten={bytes}, expected={wanted}): {}",
                    error_text(error)
                ),
            };
            self.events.push(Event::Warning(text));
        }
        self.write_error = Some(error_text(error));
        self.retry_at_ms = now_ms + RETRY_MS;
        self.partial = Some(written).filter(|_| bytes > 0);
        if bytes == 0 {
            self.give_up_if_always();
        }
    }

    /// The rest of a failed write was cut off, or not.
    pub fn truncated(&mut self, result: io::Result<()>) {
        let partial = self.partial.take();
        if let Err(error) = result {
            self.events.push(Event::Warning(format!(
                "Could not remove short write from the append-only file.  Redis may refuse to load the AOF the next \
                 time it starts.  ftruncate: {}",
                error_text(&error)
            )));
            // The next write goes on where this one ended.
            self.within_command = true;
            partial.into_iter().for_each(|partial| self.advance(partial));
        }
        self.give_up_if_always();
    }

    /// With `always`, replies wait for the write that failed, and their effects have been seen.
    fn give_up_if_always(&mut self) {
        if self.policy == SyncPolicy::Always {
            let text = "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...";
            self.fail(text.to_string());
        }
    }

    fn fail(&mut self, text: String) {
        self.failed = true;
        self.events.push(Event::Fatal(text));
    }

    /// The running sync is done.
    pub fn sync_finished(&mut self, result: io::Result<()>) {
        let Some(covered) = self.syncing.take() else { return };
        self.waiting_since_ms = None;
        match result {
            Ok(()) => {
                self.synced = self.synced.max(covered);
                if self.sync_error.take().is_some() {
                    self.events.push(Event::RewriteNeeded);
                }
            }
            Err(error) if self.policy == SyncPolicy::Always => {
                self.fail(format!(
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {}. Exiting...",
                    error_text(&error)
                ));
            }
            Err(error) => {
                let text = error_text(&error);
                if self.sync_error.is_none() {
                    self.events.push(Event::Warning(format!("Fail to fsync the AOF file: {text}")));
                }
                self.sync_error = Some(text);
                // There is no time for another.
                self.failed |= self.closing;
            }
        }
    }

    /// Has [`Step::Switch`] come when everything appended is in the increment.
    pub fn request_switch(&mut self) {
        self.switch_requested = true;
    }

    /// Takes the request back.
    pub fn cancel_switch(&mut self) {
        self.switch_requested = false;
    }

    /// The new, empty increment is the file from here on; the sync of the old one runs.
    pub fn switched(&mut self, now_ms: u64) {
        self.switch_requested = false;
        self.file_len = 0;
        self.annotated = 0;
        self.start_sync(now_ms);
    }

    /// What was appended before this offset is durable elsewhere, in a new base: what the old increment lacks of it need not be written.
    /// The new, empty increment is the file from here on. For when the old one was not left by [`Step::Switch`] in time.
    pub fn superseded(&mut self, offset: u64) {
        self.appended = self.appended.max(offset);
        self.written = self.written.max(offset);
        self.synced = self.synced.max(offset);
        self.prefix.clear();
        (self.partial, self.within_command) = (None, false);
        (self.switch_requested, self.waiting_since_ms) = (false, None);
        (self.file_len, self.annotated, self.retry_at_ms) = (0, 0, 0);
        if self.waiting() == 0 {
            self.write_works();
            self.sync_error = None;
        }
    }

    fn write_works(&mut self) {
        if self.write_error.take().is_some() {
            self.events
                .push(Event::Notice("AOF write error looks solved, Redis can write again.".to_string()));
        }
    }

    /// Has everything written and synced without regard to the policy, and without waiting: for the end of the process, or
    /// of the AOF. It is done, or has failed, when there is no next step and no sync is running.
    pub fn close(&mut self) {
        self.closing = true;
        self.retry_at_ms = 0;
    }

    /// Takes [`Self::close`] back, whatever has failed since.
    pub fn reopen(&mut self) {
        (self.closing, self.failed) = (false, false);
    }

    /// The next event to tell.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Replies to writes that end at this offset of the stream, or before, may be sent.
    pub fn confirmed(&self) -> u64 {
        match self.policy {
            SyncPolicy::Always if self.hold_syncs => self.written,
            SyncPolicy::Always => self.synced,
            SyncPolicy::EverySecond | SyncPolicy::No => u64::MAX,
        }
    }

    /// Offset of the stream that is durable (WAITAOF).
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Offset of the stream that is in the file.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that wait to be written (`aof_buffer_length`).
    pub fn waiting(&self) -> u64 {
        self.appended - self.written
    }

    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// `aof_delayed_fsync`: how often a write had waited two seconds for a sync.
    pub fn delayed(&self) -> u64 {
        self.delayed
    }

    /// CONFIG RESETSTAT.
    pub fn reset_delayed(&mut self) {
        self.delayed = 0;
    }

    /// The increment was found to have so many bytes.
    pub fn set_file_len(&mut self, len: u64) {
        self.file_len = len;
    }

    /// Bytes of the increment.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// The error reply to write commands, while the log can't be written.
    pub fn refusal(&self) -> Option<String> {
        let error = self.write_error.as_ref().or(self.sync_error.as_ref())?;
        Some(format!("MISCONF Errors writing to the AOF file: {error}"))
    }
}
