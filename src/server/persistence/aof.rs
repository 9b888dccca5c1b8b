//! The append-only file of a running server: writes the command stream, syncs, and goes over to a new increment for a rewrite.
//!
//! ```text
//! stream ─▶ AofWriter: what is due? ─▶ write to the increment (event loop) ─▶ fsync (thread 'aof') ─▶ replies that waited
//! rewrite: the stream is cut ─▶ new increment │ snapshot of that moment ─▶ new base ─▶ the manifest names both
//! ```
//!
//! [`AofWriter`] decides, [`AofDirectory`] changes files in a safe order; here they meet the disk and the engine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::Engine;
use crate::services::command_stream::{LogPiece as Piece, ReaderId, ReaderKind};
use crate::services::config::{AppendFsync, Config, RdbFamily};
use crate::services::persist::aof::directory::{AofDirectory, DirectoryError, Since};
use crate::services::persist::aof::manifest::{BaseFormat, Manifest, Names};
use crate::services::persist::aof::rewrite::{GrowthLimits, Permission, RewriteTrigger};
use crate::services::persist::aof::stream_index::{LogPiece, StreamIndex};
use crate::services::persist::aof::writer::{AofWriter, Event, Step, SyncPolicy, Turn, Written};
use crate::services::persist::status::LastAttempt;
use crate::sys::disk::{Disk, DiskFile, Mode};
use crate::sys::worker::Worker;

/// A job of the thread that waits for the disk.
pub enum DiskJob {
    /// Sync this file.
    Sync(Box<dyn DiskFile>),
    /// Close these files, which have been removed: that frees their blocks.
    Close(Vec<Box<dyn DiskFile>>),
}

/// What a job came to.
pub type DiskResult = Option<io::Result<()>>;

/// The function of the thread.
pub fn work(job: DiskJob) -> DiskResult {
    match job {
        DiskJob::Sync(mut file) => Some(file.sync()),
        DiskJob::Close(files) => {
            drop(files);
            None
        }
    }
}

/// With `always`, a sync waits for further clients' writes for no longer than this, microseconds …
const GATHER_US: u64 = 1000;
/// … and only if the last one took so long, microseconds …
const GATHER_SYNC_US: u64 = 200;
/// … and so many clients have waited for it.
const GATHER_FROM: usize = 8;

/// How writing and syncing everything has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Whole,
    /// Something is not on disk; it can be tried again.
    Partial,
    /// The process has to end (`appendfsync always`).
    Fatal,
}

/// The replication offset of the next command, for the manifest; Valkey's have none.
pub(super) fn start_offset(engine: &Engine) -> Option<i64> {
    let offset = i64::try_from(engine.backlog().end()).ok();
    offset.filter(|_| engine.config.rdb_family == RdbFamily::Redis)
}

/// How far the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The manifest names the increment that is written.
    On,
    /// Switched on a moment ago: a first snapshot is to be its base. Until then the increment has a temporary name.
    Starting,
}

/// An increment that is not written yet.
struct Increment {
    /// The log's place where it begins.
    cut: u64,
    file: Box<dyn DiskFile>,
}

/// A log that is written.
pub struct Aof {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    names: Names,
    stage: Stage,
    /// Of the temporary increment.
    start_offset: Option<i64>,
    manifest: Manifest,
    /// Its offsets are places of the log, see the backlog.
    writer: AofWriter,
    reader: ReaderId,
    /// The place that the running sync makes durable, and the offset of the stream there.
    syncing: Option<(u64, u64)>,
    /// The offset of the stream up to which the log is durable.
    synced_offset: u64,
    file: Box<dyn DiskFile>,
    /// The increment to go over to.
    next: Option<Increment>,
    trigger: RewriteTrigger,
    /// Where in the files the stream lies.
    index: StreamIndex,
    /// Bytes of the base and of the increments before the current one.
    other_bytes: u64,
    /// When the running sync began, and how long the last one took, microseconds.
    sync_started_us: u64,
    sync_us: u64,
    /// Since when writes have been gathered for the next sync, microseconds; 0: they are not.
    gathering_since_us: u64,
    /// A first snapshot failed: when it is tried again, Unix ms.
    retry_at_ms: u64,
}

/// `appendfsync` as the writer knows it.
fn policy(config: &Config) -> SyncPolicy {
    match config.appendfsync {
        AppendFsync::Always => SyncPolicy::Always,
        AppendFsync::EverySecond => SyncPolicy::EverySecond,
        AppendFsync::No => SyncPolicy::No,
    }
}

impl Aof {
    /// The directory of a configuration.
    pub fn directory<'a>(disk: &'a dyn Disk, config: &Config) -> AofDirectory<'a> {
        AofDirectory::new(disk, &config.appenddirname, Names::new(&config.appendfilename))
    }

    /// A log that goes on in the last increment of a manifest, at start-up.
    pub fn open(
        disk: Arc<dyn Disk>,
        manifest: &Manifest,
        engine: &mut Engine,
    ) -> Result<Aof, DirectoryError> {
        let directory = Self::directory(&*disk, &engine.config);
        // The replication offset goes on from where the log ends.
        if let Some(last) = manifest.last_increment()
            && !engine.backlog().has_readers()
        {
            let len =
                disk.stat(&last.path(Path::new(&engine.config.appenddirname))).map_or(0, |stat| stat.len);
            let known = engine.replication.loaded.offset;
            engine.resume_stream_at(known.unwrap_or_else(|| manifest.offset_behind(len)));
        }
        let start = start_offset(engine);
        let (mut manifest, file) = directory.open_last_increment(manifest, start)?;
        // The end is not where it was noted any more.
        if manifest.set_end_offset(None) {
            manifest = directory.persist(manifest)?.manifest;
        }
        let files = directory.data_files(&manifest)?;
        let file_len = files.last().map_or(0, |file| file.len);
        let other_bytes = files.iter().map(|file| file.len).sum::<u64>() - file_len;
        let mut log = Self::new(disk, Stage::On, manifest, file, file_len, engine);
        log.other_bytes = other_bytes;
        log.trigger = RewriteTrigger::new(other_bytes + file_len);
        Ok(log)
    }

    /// A log that is switched on while the server runs: it holds what happens from now on, and waits for its base.
    pub fn start(disk: Arc<dyn Disk>, engine: &mut Engine) -> Result<Aof, DirectoryError> {
        let directory = Self::directory(&*disk, &engine.config);
        // What an earlier log has left is history once there is a base.
        let manifest = directory.load_manifest().map_err(|error| DirectoryError(error.0.join(" ")))?;
        let file = directory.open_temporary_increment()?;
        Ok(Self::new(disk, Stage::Starting, manifest, file, 0, engine))
    }

    /// The files were loaded again (DEBUG LOADAOF): what was behind the last whole command is cut off, and others may have appended.
    pub fn was_loaded(&mut self) {
        let files = self.aof_directory().data_files(&self.manifest).unwrap_or_default();
        if self.stage == Stage::On
            && let Some(last) = files.last()
        {
            self.writer.set_file_len(last.len);
        }
    }

    fn new(
        disk: Arc<dyn Disk>,
        stage: Stage,
        manifest: Manifest,
        file: Box<dyn DiskFile>,
        file_len: u64,
        engine: &mut Engine,
    ) -> Aof {
        let reader = engine.attach_reader(ReaderKind::Log);
        let dir = PathBuf::from(&engine.config.appenddirname);
        let mut index = StreamIndex::default();
        let named = manifest.last_increment().filter(|_| stage == Stage::On);
        index.begin_file(named.map(|entry| entry.path(&dir)));
        Aof {
            disk,
            dir,
            names: Names::new(&engine.config.appendfilename),
            stage,
            start_offset: start_offset(engine),
            manifest,
            writer: AofWriter::new(
                policy(&engine.config),
                engine.backlog().log_end(),
                file_len,
                engine.steady_now(),
            ),
            reader,
            syncing: None,
            synced_offset: engine.backlog().end(),
            file,
            next: None,
            trigger: RewriteTrigger::default(),
            index,
            other_bytes: 0,
            retry_at_ms: 0,
            sync_started_us: 0,
            sync_us: 0,
            gathering_since_us: 0,
        }
    }

    fn aof_directory(&self) -> AofDirectory<'_> {
        AofDirectory::new(&*self.disk, &self.dir, self.names.clone())
    }

    /// Applies `appendfsync`.
    pub fn configure(&mut self, config: &Config) {
        self.writer.set_policy(policy(config));
    }

    /// The place of the log up to which replies may be sent.
    pub fn confirmed(&self) -> u64 {
        self.writer.confirmed()
    }

    /// The offset of the stream up to which the log is durable; `None` while it waits for its base.
    pub fn durable(&self) -> Option<u64> {
        (self.stage == Stage::On).then_some(self.synced_offset)
    }

    /// When a step may be due though nothing happens, Unix ms.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.writer.next_due_ms()
    }

    /// Whether a rewrite is what makes it complete.
    pub fn is_starting(&self) -> bool {
        self.stage == Stage::Starting
    }

    /// Whether writes of further clients are worth waiting for, so that one sync serves all (`appendfsync always`): a client whose
    /// reply a sync has let go mostly sends its next request at once. `waiting` clients wait for a sync, `before` did when the last one
    /// ended.
    pub fn gathers(&mut self, waiting: usize, before: usize, engine: &Engine) -> bool {
        let now = engine.now_us();
        let is_worth_it = self.writer.policy() == SyncPolicy::Always
            && !self.writer.is_syncing()
            && before >= GATHER_FROM
            && waiting * 4 < before * 3
            && self.sync_us >= GATHER_SYNC_US;
        let since = if self.gathering_since_us == 0 { now } else { self.gathering_since_us };
        let gathers = is_worth_it && waiting > 0 && now < since + GATHER_US;
        self.gathering_since_us = if gathers { since } else { 0 };
        gathers
    }

    /// Whether [`Self::gathers`] said so in this turn.
    pub fn is_gathering(&self) -> bool {
        self.gathering_since_us > 0
    }

    /// Writes and syncs what is due.
    pub fn run(&mut self, engine: &mut Engine, thread: &mut Worker<DiskJob, DiskResult>) {
        let config = &engine.config;
        let hold_syncs = config.no_appendfsync_on_rewrite && engine.persistence.run().is_some();
        if config.aof_timestamp_enabled && engine.backlog().log_end() > self.writer.written() {
            self.writer.annotate(engine.now() / 1000);
        }
        loop {
            let end = engine.backlog().log_end();
            // The next increment begins at the cut, wherever the stream is now.
            let end = self.next.as_ref().map_or(end, |next| next.cut);
            let turn = Turn { end, now_ms: engine.steady_now(), hold_syncs };
            match self.writer.next_step(turn) {
                None => break,
                Some(Step::Write { from, to }) => self.write(from, to, engine),
                Some(Step::Truncate { len }) => {
                    let result = self.file.truncate(len);
                    self.writer.truncated(result);
                }
                Some(Step::Sync) => {
                    self.sync_started_us = engine.now_us();
                    self.note_sync(engine);
                    self.sync(thread);
                }
                Some(Step::Switch) => {
                    self.note_sync(engine);
                    self.switch(engine, thread);
                }
            }
        }
        let written = self.writer.written();
        if self.writer.synced() == written {
            self.synced_offset = engine.backlog().offset_at(written);
        }
        // What a failed write has left in the file is written again, so it is not consumed before.
        engine.backlog_mut().consume_log(self.reader, written);
        self.note_status(engine);
    }

    fn write(&mut self, from: u64, to: u64, engine: &mut Engine) {
        let started = engine.clock.ticks();
        if engine.persistence.log_write_sleep_us > 0 {
            engine.clock.sleep(engine.persistence.log_write_sleep_us);
        }
        let mut written = Written { bytes: 0, to: from };
        let result = self.write_stream(to, engine, &mut written);
        if result.is_err() {
            // What of it stays in the file is decided later.
            self.index.clear();
        }
        let cause = match (self.writer.is_syncing(), engine.persistence.run()) {
            (true, _) => "aof-write-pending-fsync",
            (false, Some(_)) => "aof-write-active-child",
            (false, None) => "aof-write-alone",
        };
        engine.note_delay(cause, started);
        engine.note_delay("aof-write", started);
        self.writer.wrote(written, result, engine.steady_now());
    }

    fn write_stream(&mut self, to: u64, engine: &Engine, written: &mut Written) -> io::Result<()> {
        let (file, backlog) = (&mut *self.file, engine.backlog());
        let file_len = self.writer.file_len();
        let mut prefix = self.writer.prefix();
        while written.to < to {
            let piece = backlog.log_piece(self.reader, written.to, to);
            let piece = piece.map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let (offset, start, bytes) = match piece {
                Piece::Inserted(bytes) => (None, 0, bytes),
                Piece::Stream { offset, start, bytes } => (Some(offset), start - offset, bytes),
            };
            if let Some(offset) = offset {
                // What is only for replicas.
                self.index.add(offset, start, None);
                written.to += start;
            }
            if bytes.is_empty() && start == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if bytes.is_empty() {
                continue;
            }
            // Without a command there is nothing to annotate.
            write_counted(file, std::mem::take(&mut prefix), &mut written.bytes)?;
            let mut of_piece = 0;
            let place = file_len + written.bytes;
            let result = write_counted(file, bytes, &mut of_piece);
            if let Some(offset) = offset {
                self.index.add(offset + start, of_piece, Some(place));
            }
            written.bytes += of_piece;
            written.to += of_piece;
            result?;
        }
        Ok(())
    }

    /// A sync begins, of what is written.
    fn note_sync(&mut self, engine: &Engine) {
        let written = self.writer.written();
        self.syncing = Some((written, engine.backlog().offset_at(written)));
    }

    fn sync(&mut self, thread: &mut Worker<DiskJob, DiskResult>) {
        let file = match self.file.duplicate() {
            Ok(file) => file,
            Err(error) => return self.sync_ended(Err(error)),
        };
        if thread.submit(DiskJob::Sync(file)).is_err() {
            self.sync_ended(Err(io::Error::other("the thread has ended")));
        }
    }

    fn switch(&mut self, engine: &Engine, thread: &mut Worker<DiskJob, DiskResult>) {
        let Some(Increment { file, .. }) = self.next.take() else { return };
        self.other_bytes += self.writer.file_len();
        let old = std::mem::replace(&mut self.file, file);
        self.index.begin_file(self.manifest.last_increment().map(|entry| entry.path(&self.dir)));
        self.writer.switched(engine.steady_now());
        if thread.submit(DiskJob::Sync(old)).is_err() {
            self.sync_ended(Err(io::Error::other("the thread has ended")));
        }
    }

    /// A sync has ended. With `always`, replies have waited for it.
    pub fn sync_finished(&mut self, result: io::Result<()>, engine: &mut Engine) {
        self.sync_us = engine.now_us().saturating_sub(self.sync_started_us);
        if self.writer.policy() == SyncPolicy::Always {
            engine.note_delay_us("aof-fsync-always", self.sync_us);
        }
        self.sync_ended(result);
    }

    fn sync_ended(&mut self, result: io::Result<()>) {
        self.writer.sync_finished(result);
        if let Some((place, offset)) = self.syncing.take()
            && self.writer.synced() >= place
        {
            self.synced_offset = self.synced_offset.max(offset);
        }
    }

    /// What the writer has to say: true if the process has to end.
    pub fn tell(&mut self, engine: &mut Engine) -> bool {
        let mut ends = false;
        for event in self.writer.take_events() {
            match event {
                Event::Notice(text) => log::info!("{text}"),
                Event::Warning(text) => log::warn!("{text}"),
                Event::RewriteNeeded => engine.persistence.aof.is_rewrite_scheduled = true,
                Event::Fatal(text) => {
                    log::error!("{text}");
                    ends = true;
                }
            }
        }
        ends
    }

    /// The pieces of the log that have the stream from an offset to another.
    pub fn pieces(&self, from: u64, to: u64) -> Option<Vec<LogPiece>> {
        self.index.pieces(from, to).filter(|_| self.stage == Stage::On)
    }

    /// Tells the engine what INFO shows, and whether writes are refused.
    fn note_status(&mut self, engine: &mut Engine) {
        let refusal = self.writer.refusal();
        engine.persistence.log_reaches =
            self.index.start().zip(self.index.end()).filter(|_| self.stage == Stage::On);
        let aof = &mut engine.persistence.aof;
        aof.is_on = true;
        aof.current_size = self.other_bytes + self.writer.file_len();
        aof.base_size = self.trigger.base_size();
        aof.buffered = self.writer.waiting();
        aof.pending_fsync = u64::from(self.writer.is_syncing());
        aof.delayed_fsync = self.writer.delayed();
        aof.consecutive_failures = self.trigger.failures();
        let is_failed = refusal.is_some();
        let was_failed = aof.last_write == LastAttempt::Failed;
        aof.write_error = refusal.unwrap_or_default();
        if is_failed != was_failed {
            aof.last_write = if is_failed { LastAttempt::Failed } else { LastAttempt::Ok };
            engine.persistence.refresh();
        }
    }

    /// Whether the log has grown so much, or waits so long for its base, that a rewrite is to begin.
    pub fn wants_rewrite(&mut self, engine: &Engine) -> bool {
        // The increment of the last rewrite waits for a sync.
        if self.next.is_some() {
            return false;
        }
        let now = engine.steady_now();
        let is_scheduled = engine.persistence.aof.is_rewrite_scheduled;
        let waits = self.stage == Stage::Starting && now >= self.retry_at_ms;
        let limits = GrowthLimits {
            percentage: u64::from(engine.config.auto_aof_rewrite_percentage),
            min_size: engine.config.auto_aof_rewrite_min_size,
        };
        let size = self.other_bytes + self.writer.file_len();
        let growth = if self.stage == Stage::On { self.trigger.growth(size, limits) } else { None };
        if !is_scheduled && !waits && growth.is_none() {
            return false;
        }
        match self.trigger.permission(now / 1000) {
            Permission::Granted => {
                if let Some(growth) = growth {
                    log::info!("Starting automatic rewriting of AOF on {growth}% growth");
                }
                true
            }
            Permission::Delayed { warning } => {
                if let Some(warning) = warning {
                    log::warn!("{warning}");
                }
                false
            }
        }
    }

    /// Cuts the stream: what follows goes to a new increment. To be called at the moment of the snapshot.
    pub fn begin_rewrite(&mut self, engine: &mut Engine) -> Result<(), DirectoryError> {
        if self.stage == Stage::Starting {
            // The snapshot has all that was written to the temporary increment.
            self.file = self.aof_directory().open_temporary_increment()?;
            let reader = engine.attach_reader(ReaderKind::Log);
            engine.detach_reader(std::mem::replace(&mut self.reader, reader));
            self.start_offset = start_offset(engine);
            self.index = StreamIndex::default();
            self.index.begin_file(None);
            let end = engine.backlog().log_end();
            self.writer = AofWriter::new(policy(&engine.config), end, 0, engine.steady_now());
            self.synced_offset = engine.backlog().end();
            return Ok(());
        }
        let (manifest, file) = self.aof_directory().start_rewrite(&self.manifest, start_offset(engine))?;
        self.manifest = manifest;
        self.next = Some(Increment { cut: engine.cut_log(), file });
        self.writer.request_switch();
        Ok(())
    }

    /// The snapshot of a rewrite lies at `snapshot`: puts it in place as the new base.
    pub fn finish_rewrite(
        &mut self,
        (snapshot, format): (&Path, BaseFormat),
        bytes: u64,
        engine: &mut Engine,
        thread: &mut Worker<DiskJob, DiskResult>,
    ) -> Result<(), DirectoryError> {
        let since = match self.stage {
            Stage::On => Since::LastIncrement,
            Stage::Starting => Since::TemporaryIncrement(self.start_offset),
        };
        let changed = self.aof_directory().finish_rewrite(&self.manifest, snapshot, format, since)?;
        self.manifest = changed.manifest;
        if self.stage == Stage::Starting
            && let Some(last) = self.manifest.last_increment()
        {
            self.index.name_file(last.path(&self.dir));
        }
        self.stage = Stage::On;
        if let Some(warning) = changed.undurable {
            log::warn!("{warning}");
        } else {
            self.supersede_increment(thread);
            if !engine.config.aof_disable_auto_gc {
                self.remove_history(thread);
            }
        }
        self.other_bytes = bytes;
        self.trigger.succeeded(bytes + self.writer.file_len());
        Ok(())
    }

    /// Leaves the old increment, if what goes there couldn't be written yet: the new base has it, and the space of the file may be what
    /// is needed.
    fn supersede_increment(&mut self, thread: &mut Worker<DiskJob, DiskResult>) {
        let Some(Increment { cut, file }) = self.next.take() else { return };
        let old = std::mem::replace(&mut self.file, file);
        // What could not be written of the old one is in no file.
        self.index = StreamIndex::default();
        self.index.begin_file(self.manifest.last_increment().map(|entry| entry.path(&self.dir)));
        self.writer.superseded(cut);
        // Without the thread it is closed here.
        let _ = thread.submit(DiskJob::Close(vec![old]));
    }

    /// Removes the files that the manifest calls history. They are closed on the thread, since that frees their blocks.
    fn remove_history(&mut self, thread: &mut Worker<DiskJob, DiskResult>) {
        let (manifest, dir) = (&self.manifest, &self.dir);
        self.index.retain_files(|path| manifest.increments().iter().any(|entry| entry.path(dir) == path));
        let paths = self.manifest.history().iter().map(|entry| entry.path(&self.dir));
        let open = paths.filter_map(|path| self.disk.open(&path, Mode::Read).ok()).collect();
        match self.aof_directory().remove_history(&self.manifest) {
            Ok(changed) => self.manifest = changed.manifest,
            Err(DirectoryError(text)) => log::warn!("{text}"),
        }
        // Without the thread they are closed here.
        let _ = thread.submit(DiskJob::Close(open));
    }

    /// A rewrite has failed.
    pub fn rewrite_failed(&mut self, engine: &Engine) {
        self.trigger.failed();
        self.retry_at_ms = engine.steady_now() + 1000;
    }

    /// Writes everything, also what waits for a running sync; false if it can't be written.
    pub fn write_out(&mut self, engine: &mut Engine, thread: &mut Worker<DiskJob, DiskResult>) -> bool {
        loop {
            self.run(engine, thread);
            if self.writer.waiting() == 0 || !self.writer.is_syncing() {
                return self.writer.waiting() == 0;
            }
            match thread.wait() {
                Ok(Some(Some(result))) => self.sync_ended(result),
                Ok(Some(None)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Has the manifest say where the log ends.
    fn note_end(&mut self, offset: Option<i64>) {
        if self.manifest.set_end_offset(offset)
            && let Err(error) = self.aof_directory().persist(self.manifest.clone())
        {
            log::warn!("{}", error.0);
        }
    }

    /// Writes and syncs everything, for the end of the log or of the process. What follows is [`Self::leave`] or
    /// [`Self::resume`].
    pub fn finish(&mut self, engine: &mut Engine, thread: &mut Worker<DiskJob, DiskResult>) -> Finish {
        engine.end_log_history();
        self.writer.close();
        loop {
            self.run(engine, thread);
            if !self.writer.is_syncing() {
                break;
            }
            match thread.wait() {
                Ok(Some(Some(result))) => self.sync_ended(result),
                Ok(Some(None)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        match (self.tell(engine), self.writer.waiting()) {
            (true, _) => Finish::Fatal,
            (false, 0) => Finish::Whole,
            (false, _) => Finish::Partial,
        }
    }

    /// After [`Self::finish`]: the log goes on, and tries again as it does after other failures.
    pub fn resume(&mut self) {
        self.writer.reopen();
    }

    /// Leaves the stream.
    pub fn leave(mut self, engine: &mut Engine) {
        engine.detach_reader(self.reader);
        if self.writer.waiting() == 0 && self.stage == Stage::On {
            self.note_end(start_offset(engine));
        }
        if self.stage == Stage::Starting {
            // It never had a base, so it is of no use.
            let _ = self.disk.remove(&self.aof_directory().temporary_increment());
        }
        engine.persistence.aof.is_on = false;
        engine.persistence.log_reaches = None;
        // Its errors refuse nothing any more.
        engine.persistence.aof.last_write = LastAttempt::Ok;
        engine.persistence.refresh();
    }
}

/// Writes all of `bytes`, and counts those that were written, also if there is an error.
fn write_counted(file: &mut dyn DiskFile, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count as u64;
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "aof_tests.rs"]
mod tests;
