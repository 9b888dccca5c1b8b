//! Persistence of the server: the thread that writes snapshots, loading, and how they end.
//!
//! The engine says what is to be done ([`ServerAction`](crate::engine::ServerAction)); what happens to files is here.

#[cfg(test)]
mod always_tests;
pub mod aof;
mod aof_control;
pub mod load;
pub mod load_aof;
mod overflow;
pub mod payload;
mod payload_queue;
mod receive_payload;
mod send_payload;
pub mod slots_payload;
pub mod snapshot_file;
mod spill;
mod spool;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::ShutdownOptions;
use crate::engine::persistence::{Purpose, key_delay};
use crate::services::config::Config;
use crate::services::persist::aof::manifest::BaseFormat;
use crate::services::persist::snapshot::PartReceiver;
use crate::sys::disk::Disk;
use crate::sys::process;
use crate::sys::worker::Worker;
use aof::{Aof, DiskJob, DiskResult};
use load::{LOAD_ERROR, LoadOptions, RdbLoader};
use load_aof::AofLoader;
use payload::{PayloadSender, PayloadWriter, SendJob, Wake};
use receive_payload::Receiving;
use slots_payload::SlotsWriter;
use snapshot_file::{Encoding, SnapshotFile, Target, WriteFailure, take_parts, write_snapshot};
use spool::SpoolState;

/// The reply of DEBUG RELOAD where the file can't be loaded and the data is as it was.
const RELOAD_FAILED: &[u8] = b"-ERR Error trying to load the RDB dump, check server logs.\r\n";

/// A snapshot for the writer's thread.
struct Job {
    /// Tells apart what was cancelled and what followed.
    number: u64,
    parts: PartReceiver,
    destination: Destination,
}

/// Where a snapshot goes.
enum Destination {
    File(Target),
    Replicas {
        sender: PayloadSender,
        mark: Vec<u8>,
        target: Target,
    },
    /// The target of a slot migration: commands behind `head`.
    Slots {
        sender: PayloadSender,
        head: Vec<u8>,
        temporary: PathBuf,
    },
}

/// How a job ended.
struct JobResult {
    number: u64,
    result: Result<u64, WriteFailure>,
    /// A file that was written and isn't in its place: the base of a rewrite.
    temporary: Option<PathBuf>,
}

/// The server's part of persistence.
pub struct Files {
    disk: Arc<dyn Disk>,
    writer: Worker<Job, JobResult>,
    /// The number of the last job.
    jobs: u64,
    loader: Option<Loader>,
    /// Waits for the disk, so that the loop doesn't.
    disk_thread: Worker<DiskJob, DiskResult>,
    /// The append-only file, if it is on.
    log: Option<Aof>,
    /// The rewrite under way.
    rewrite: Option<Rewrite>,
    /// What a primary sends.
    receiving: Option<Receiving>,
    /// The replicas that the walk's snapshot is for.
    payload_clients: Vec<ClientId>,
    /// Send files to replicas; the first is started when one is to be sent.
    payload_threads: Vec<Worker<SendJob, ()>>,
    /// What replicas lack while they are sent a snapshot, if there is no log.
    spool: SpoolState,
    wake: Wake,
}

/// A base of the log that is being written.
struct Rewrite {
    temporary: PathBuf,
    format: BaseFormat,
}

/// What is being loaded.
enum Loader {
    Rdb(Box<RdbLoader>),
    Aof(Box<AofLoader>),
}

impl Loader {
    fn client(&self) -> Option<ClientId> {
        match self {
            Loader::Rdb(loader) => loader.options.client,
            Loader::Aof(loader) => loader.client,
        }
    }

    /// The client to be told of a failure. None: the server can't go on, since it has a part of the data only.
    fn survivor(&self) -> Option<ClientId> {
        match self {
            Loader::Rdb(loader) => loader.options.client.filter(|_| !loader.has_changed_data()),
            // The databases were emptied before.
            Loader::Aof(_) => None,
        }
    }

    /// Whether it is too early for the next key (`key-load-delay`).
    fn waits(&self, engine: &Engine) -> bool {
        match self {
            Loader::Rdb(loader) => loader.delay.waits(engine),
            Loader::Aof(loader) => loader.waits(engine),
        }
    }
}

impl Files {
    /// `wake` makes the event loop look at results.
    pub fn new(disk: Arc<dyn Disk>, wake: impl Fn() + Clone + Send + Sync + 'static) -> Self {
        let of_thread = disk.clone();
        let shared_wake: Wake = Arc::new(wake.clone());
        // The loop, its clients and the writer.
        let shares = std::thread::available_parallelism().is_ok_and(|processors| processors.get() < 3);
        let work = move |job: Job| {
            // Clients come first where there are fewer processors than threads.
            process::lower_priority();
            let number = job.number;
            match job.destination {
                Destination::File(target) => {
                    let temporary = target.path.is_none().then(|| target.temporary.clone());
                    let result = write_snapshot(of_thread.clone(), &job.parts, target, shares);
                    JobResult { number, temporary: temporary.filter(|_| result.is_ok()), result }
                }
                Destination::Replicas { sender, mark, target } => {
                    let how = (target.compress, target.checksum);
                    let disk = of_thread.clone();
                    let waiting = job.parts.waiting();
                    let mut writer = PayloadWriter::new(disk, sender, mark, target.temporary, how, waiting);
                    let result = take_parts(&job.parts, shares, |part| writer.take(part));
                    JobResult { number, temporary: None, result: result.and_then(|()| writer.finish()) }
                }
                Destination::Slots { sender, head, temporary } => {
                    let (disk, how) = (of_thread.clone(), (job.parts.waiting(), job.parts.trickles()));
                    let mut writer = SlotsWriter::new(disk, sender, head, temporary, how);
                    let result = take_parts(&job.parts, shares, |part| writer.take(part));
                    JobResult { number, temporary: None, result: result.and_then(|()| writer.finish()) }
                }
            }
        };
        Files {
            disk,
            writer: Worker::start_with_first_job("snapshot", work, wake.clone()),
            jobs: 0,
            loader: None,
            disk_thread: Worker::start_with_first_job("aof", aof::work, wake),
            log: None,
            rewrite: None,
            receiving: None,
            payload_clients: Vec::new(),
            payload_threads: Vec::new(),
            spool: SpoolState::default(),
            wake: shared_wake,
        }
    }

    /// Whether a file is being loaded.
    pub fn is_loading(&self) -> bool {
        self.loader.is_some()
    }

    /// Waits until the writer has noticed that its snapshot was dropped: an older one must not replace what comes next, and its
    /// temporary file must go.
    fn wait_for_writer(&mut self, engine: &mut Engine) {
        while let Ok(Some(result)) = self.writer.wait() {
            self.discard(result, engine);
        }
    }

    /// A snapshot was dropped, but its writer may have been done with it.
    fn discard(&self, result: JobResult, engine: &mut Engine) {
        let Some(path) = result.temporary else { return };
        let started = engine.clock.ticks();
        if let Err(error) = self.disk.remove(&path) {
            log::warn!("Can't remove {}: {error}", path.display());
        }
        engine.note_delay("rdb-unlink-temp-file", started);
    }

    /// How long the loop may sleep for the sake of loading, ms.
    pub fn load_sleep_ms(&self, engine: &Engine) -> Option<u64> {
        Some(u64::from(self.loader.as_ref()?.waits(engine)))
    }
}

fn target(config: &Config, number: u64) -> Target {
    Target {
        temporary: PathBuf::from(format!("temp-{}.{number}.rdb", std::process::id())),
        path: Some(PathBuf::from(&config.dbfilename)),
        compress: config.rdbcompression,
        checksum: config.rdbchecksum,
        incremental_sync: config.rdb_save_incremental_fsync,
        encoding: Encoding::Rdb,
    }
}

/// What a base of the log is made of (`aof-use-rdb-preamble`), if its snapshot begins now.
fn base_encoding(engine: &Engine) -> (BaseFormat, Encoding) {
    let config = &engine.config;
    if config.aof_use_rdb_preamble {
        return (BaseFormat::Rdb, Encoding::Rdb);
    }
    let time = config.aof_timestamp_enabled.then(|| engine.now() / 1000);
    (BaseFormat::Commands, Encoding::Commands { time })
}

/// The name under which a snapshot is written while everything waits.
pub(in crate::server) fn temporary_name() -> String {
    format!("temp-{}.rdb", std::process::id())
}

/// Logs why a snapshot was not written.
fn report(failure: &WriteFailure) {
    match failure {
        WriteFailure::Cancelled => log::info!("The snapshot was dropped half-way"),
        WriteFailure::Disk(step, error) => {
            log::error!("Write error while saving DB to the disk({step}): {error}");
        }
    }
}

impl Server {
    /// Has the writer's thread write the snapshot that the engine has begun.
    pub(super) fn write_snapshot(&mut self) {
        // It may have been cancelled in the same turn.
        let Some(parts) = self.engine.persistence.take_receiver() else { return };
        self.files.jobs += 1;
        let number = self.files.jobs;
        log::info!("Background saving started by the thread 'snapshot'");
        let destination = Destination::File(target(&self.engine.config, number));
        let job = Job { number, parts, destination };
        if self.files.writer.submit(job).is_err() {
            log::error!("Can't save in background: the thread 'snapshot' has ended");
            self.engine.finish_snapshot(false);
        }
    }

    /// Takes note of snapshots that were written or have failed.
    pub(super) fn take_snapshot_results(&mut self) {
        while let Some(done) = self.files.writer.poll() {
            // One that was cancelled has been dealt with.
            if done.number != self.files.jobs || self.engine.persistence.run().is_none() {
                self.files.discard(done, &mut self.engine);
                continue;
            }
            let result = done.result;
            if self.engine.persistence.is_running(Purpose::Replicas) {
                self.payload_made(&result);
                continue;
            }
            if self.engine.persistence.is_running(Purpose::Slots) {
                self.slots_made(&result);
                continue;
            }
            if self.engine.persistence.is_running(Purpose::LogBase) {
                self.rewrite_written(result);
                continue;
            }
            match &result {
                Ok(bytes) => {
                    self.log_saved(*bytes);
                    log::info!("DB saved on disk, {bytes} bytes");
                    log::info!("Background saving terminated with success");
                }
                Err(failure) => {
                    report(failure);
                    log::warn!("Background saving error");
                }
            }
            self.engine.finish_snapshot(result.is_ok());
        }
    }

    /// Writes a snapshot while everything waits.
    pub(super) fn save_now(&mut self) -> bool {
        let path = PathBuf::from(&self.engine.config.dbfilename);
        let target = target(&self.engine.config, 0);
        let target = Target { temporary: temporary_name().into(), path: Some(path), ..target };
        self.write_now(Purpose::Foreground, target)
    }

    /// Writes a snapshot to its file.
    fn write_now(&mut self, purpose: Purpose, target: Target) -> bool {
        // The walk is the only one there is: a rewrite begins again, a snapshot in the background is this one.
        if self.engine.persistence.is_running(Purpose::LogBase) {
            self.engine.persistence.aof.is_rewrite_scheduled = true;
        }
        self.engine.cancel_snapshot();
        self.files.wait_for_writer(&mut self.engine);
        let mut file = match SnapshotFile::create(self.files.disk.clone(), target) {
            Ok(file) => Some(file),
            Err(failure) => {
                report(&failure);
                return false;
            }
        };
        self.engine.start_snapshot(purpose);
        let (mut is_whole, mut failure) = (false, None);
        let (delay, mut keys) = (key_delay(self.engine.config.rdb_key_save_delay), 0);
        self.engine.walk_whole_snapshot(|parts| {
            if delay > 0 {
                let new = parts.keys() - std::mem::replace(&mut keys, parts.keys());
                std::thread::sleep(Duration::from_nanos(delay.saturating_mul(new as u64)));
            }
            while let (Some(part), Some(open)) = (parts.try_next(), &mut file) {
                match open.take(part) {
                    Ok(is_last) => is_whole |= is_last,
                    Err(error) => {
                        failure = Some(error);
                        file = None;
                    }
                }
            }
        });
        let result = match (failure, file) {
            (None, Some(file)) if is_whole => file.finish(|| false),
            (failure, _) => Err(failure.unwrap_or(WriteFailure::Cancelled)),
        };
        match &result {
            Ok(bytes) => {
                self.log_saved(*bytes);
                log::info!("DB saved on disk");
            }
            Err(failure) => report(failure),
        }
        self.engine.finish_snapshot(result.is_ok());
        result.is_ok()
    }

    fn log_saved(&self, bytes: u64) {
        if let Some(run) = self.engine.persistence.run() {
            log::info!("BGSAVE done, {}, {bytes} bytes written.", run.describe());
        }
    }

    pub(super) fn save_for(&mut self, client: Option<ClientId>) {
        self.supervisor.begin_long_work("Saving a snapshot");
        let saved = self.save_now();
        self.supervisor.end_long_work();
        if let Some(client) = client {
            self.engine.complete_deferred(client, if saved { b"+OK\r\n" } else { b"-ERR\r\n" });
        }
    }

    /// DEBUG RELOAD.
    pub(super) fn reload(&mut self, client: ClientId, save: bool, flush: bool, merge: bool) {
        if save && !self.save_now() {
            return self.engine.complete_deferred(client, b"-ERR\r\n");
        }
        let drop_expired = !self.engine.replication.is_replica();
        let options = LoadOptions { merge, drop_expired, flush, is_sync: false, client: Some(client) };
        if !self.start_loading(options) {
            self.engine.complete_deferred(client, RELOAD_FAILED);
        }
    }

    /// Begins to load the snapshot's file; false if it can't be opened.
    fn start_loading(&mut self, options: LoadOptions) -> bool {
        let path = PathBuf::from(&self.engine.config.dbfilename);
        match RdbLoader::open(&*self.files.disk, &path, options, &mut self.engine) {
            Ok(loader) => {
                self.files.loader = Some(Loader::Rdb(Box::new(loader)));
                true
            }
            Err(error) => {
                log::error!("Fatal error: can't open the RDB file {} for reading: {error}", path.display());
                false
            }
        }
    }

    /// Begins to load at start-up what the last run has saved. An error ends the server.
    pub(super) fn load_at_start(&mut self) -> Result<(), String> {
        self.engine.start_replicating();
        self.begin_loading_at_start()?;
        if !self.files.is_loading() {
            self.announce();
        }
        Ok(())
    }

    fn begin_loading_at_start(&mut self) -> Result<(), String> {
        if self.engine.config.appendonly {
            return self.load_log_at_start();
        }
        let path = PathBuf::from(&self.engine.config.dbfilename);
        if !self.files.disk.exists(Path::new(&path)) {
            return Ok(());
        }
        let drop_expired = !self.engine.replication.is_replica();
        let options = LoadOptions { merge: false, drop_expired, flush: false, is_sync: false, client: None };
        if self.start_loading(options) { Ok(()) } else { Err(LOAD_ERROR.into()) }
    }

    /// A slice of what is being loaded.
    pub(super) fn load_some(&mut self) {
        let Some(loader) = &mut self.files.loader else { return };
        if loader.waits(&self.engine) {
            return;
        }
        let bytes = self.engine.config.loading_process_events_interval_bytes;
        let result = match loader {
            Loader::Rdb(loader) => loader.step(&mut self.engine, bytes).map_err(|failure| {
                failure.lines(loader.options.client.is_none() || loader.has_changed_data())
            }),
            Loader::Aof(loader) => {
                let directory = Aof::directory(&*self.files.disk, &self.engine.config);
                loader.step(&*self.files.disk, &directory, &mut self.engine, bytes).map_err(|mut lines| {
                    lines.push(LOAD_ERROR.into());
                    lines
                })
            }
        };
        let survivor = loader.survivor();
        if matches!(loader, Loader::Rdb(loader) if loader.options.is_sync) && !matches!(result, Ok(false)) {
            if let Some(Loader::Rdb(loader)) = self.files.loader.take() {
                self.sync_file_loaded(&loader, result.map(drop));
            }
            return;
        }
        match result {
            Ok(false) => {}
            Ok(true) => self.loading_done(),
            Err(lines) => {
                lines.iter().for_each(|line| log::error!("{line}"));
                self.loading_failed(survivor);
            }
        }
    }

    fn loading_done(&mut self) {
        let Some(loader) = self.files.loader.take() else { return };
        self.engine.persistence.end_loading();
        let (from, seconds) = match &loader {
            Loader::Rdb(loader) => ("disk", loader.seconds(&self.engine)),
            Loader::Aof(loader) => ("append only file", loader.finish(&mut self.engine)),
        };
        self.engine.persistence.rdb.saved_dirty = self.engine.data.keyspace.journal.dirty;
        log::info!("DB loaded from {from}: {seconds:.3} seconds");
        let client = loader.client();
        if let Loader::Aof(loader) = &loader
            && client.is_none()
        {
            self.engine.replication.loaded = loader.history();
        }
        if let (Loader::Aof(_), Some(log)) = (&loader, &mut self.files.log) {
            log.was_loaded();
        }
        if let Loader::Aof(loader) = loader
            && self.engine.config.appendonly
            && self.files.log.is_none()
            && !self.open_log(&loader.manifest)
        {
            self.ending = Some(1);
            return;
        }
        match client {
            Some(client) => self.engine.complete_deferred(client, b"+OK\r\n"),
            None => {
                self.engine.resume_history();
                self.announce();
            }
        }
    }

    /// What was being loaded can't be. The server ends, unless DEBUG RELOAD of `survivor` has left the data as it was.
    fn loading_failed(&mut self, survivor: Option<ClientId>) {
        let Some(client) = survivor else {
            // It is still loading for all others, so that nothing saves a part of the data over the whole.
            self.close_log_at_end(true);
            self.ending = Some(1);
            return;
        };
        self.files.loader = None;
        self.engine.persistence.end_loading();
        self.engine.complete_deferred(client, RELOAD_FAILED);
    }

    /// Ends the server, with its data saved if that is wanted. False if it can't be saved.
    pub(super) fn shut_down(&mut self, options: ShutdownOptions) -> bool {
        let ShutdownOptions { save, force, .. } = options;
        self.engine.report_replicas();
        // What isn't loaded yet must not replace the file that it is in.
        let is_loading = self.files.is_loading();
        let has_data = !is_loading && !self.engine.is_sentinel();
        let saves = save.unwrap_or(!self.engine.config.save.0.is_empty()) && has_data;
        self.supervisor.begin_long_work("Shutting down");
        let is_done = self.engine.may_shut_down(options)
            && self.drop_snapshot_at_end(force)
            && (!saves || self.save_at_end(force));
        if is_done && self.close_log_at_end(force) {
            self.files.wait_for_writer(&mut self.engine);
            if options.failover && self.engine.hand_over_at_end() {
                // There may be no further flush.
                self.net.feed_replicas(&mut self.engine);
            }
            self.supervisor.stop();
            self.ending = Some(0);
            return true;
        }
        self.supervisor.end_long_work();
        log::warn!("Errors trying to shut down the server. Check the logs for more information.");
        false
    }

    /// Drops the snapshot under way; false if the log needs it.
    fn drop_snapshot_at_end(&mut self, force: bool) -> bool {
        if self.engine.persistence.is_running(Purpose::Background) {
            log::warn!("There is a snapshot being written in the background. It is dropped.");
            self.engine.cancel_snapshot();
        }
        // The thread that makes it would wait for replicas which take none of it any more.
        self.engine.cancel_snapshot_for(Purpose::Replicas);
        self.engine.cancel_snapshot_for(Purpose::Slots);
        if self.files.log.as_ref().is_some_and(Aof::is_starting) {
            if !force {
                log::warn!("Writing initial AOF, can't exit.");
                return false;
            }
            log::warn!("Writing initial AOF. Exit anyway.");
        }
        if self.engine.persistence.is_running(Purpose::LogBase) {
            log::warn!("There is a rewrite of the append only file under way. It is dropped.");
            self.drop_rewrite();
        }
        true
    }

    fn save_at_end(&mut self, force: bool) -> bool {
        log::info!("Saving the final RDB snapshot before exiting.");
        self.supervisor.begin_long_work("Saving the final snapshot");
        if self.save_now() {
            return true;
        }
        log::warn!("Error trying to save the DB{}", if force { ". Exit anyway." } else { ", can't exit." });
        force
    }
}

impl Engine {
    /// Empties all databases at once, as part of loading.
    pub(super) fn empty_keyspace(&mut self) {
        for db in 0..self.data.keyspace.count() {
            self.data.keyspace.flush(db, false);
        }
    }
}
