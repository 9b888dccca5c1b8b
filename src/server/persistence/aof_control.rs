//! Control of the append-only file: switching it on and off, loading it at start-up, rewriting it.

use std::path::PathBuf;

use super::aof::{Aof, Finish, start_offset};
use super::load_aof::AofLoader;
use super::snapshot_file::{Target, WriteFailure};
use super::{Destination, Files, Job, Loader, Rewrite, base_encoding, report, target};
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::persistence::Purpose;
use crate::server::Server;
use crate::services::persist::aof::directory::{AofDirectory, DirectoryError, Since};
use crate::services::persist::aof::manifest::Manifest;
use crate::services::persist::status::LastAttempt;

impl Files {
    /// Writes to the log what is due. Replies that have to wait for the disk are held back from here on.
    pub fn persist(&mut self, engine: &mut Engine) {
        if let Some(log) = &mut self.log {
            log.run(engine, &mut self.disk_thread);
            engine.persistence.confirmed = log.confirmed();
        }
        self.run_spool(engine);
    }

    /// [`Self::persist`] at the end of a turn; unless it is worth waiting for the writes of further clients.
    pub fn persist_or_gather(&mut self, engine: &mut Engine, (waiting, before): (usize, usize)) {
        if !self.log.as_mut().is_some_and(|log| log.gathers(waiting, before, engine)) {
            self.persist(engine);
        }
    }

    /// How long the loop may sleep for the sake of the log, ms.
    pub fn sleep_ms(&self, now: u64) -> Option<u64> {
        if self.log.as_ref()?.is_gathering() {
            return Some(1);
        }
        self.log.as_ref()?.next_due_ms().map(|due| due.saturating_sub(now))
    }
}

impl Server {
    /// Takes note of syncs that have ended, and begins a rewrite that is due. Once a turn.
    pub(in crate::server) fn check_log(&mut self) {
        while let Some(result) = self.files.disk_thread.poll() {
            if let (Some(log), Some(result)) = (&mut self.files.log, result) {
                log.sync_finished(result, &mut self.engine);
            }
        }
        let (files, engine) = (&mut self.files, &mut self.engine);
        engine.set_durable(files.log.as_ref().and_then(Aof::durable));
        if let Some(log) = &mut files.log
            && log.tell(engine)
        {
            self.ending = Some(1);
            return;
        }
        let is_idle = engine.persistence.run().is_none()
            && !engine.replication.replicas.need_log()
            && engine.persistence.loading.is_none()
            && !engine.is_busy_with_script();
        let is_wanted = match &mut files.log {
            Some(log) => is_idle && log.wants_rewrite(engine),
            None => is_idle && engine.persistence.aof.is_rewrite_scheduled,
        };
        if is_wanted {
            self.rewrite_log();
        }
    }

    /// Begins a rewrite, as of this moment.
    pub(in crate::server) fn rewrite_log(&mut self) {
        if self.engine.persistence.run().is_some() {
            self.engine.persistence.aof.is_rewrite_scheduled = true;
            return;
        }
        self.engine.persistence.aof.is_rewrite_scheduled = false;
        let files = &mut self.files;
        if let Some(log) = &mut files.log {
            let started = self.engine.clock.ticks();
            let begun = log.begin_rewrite(&mut self.engine);
            self.engine.note_delay("aof-rewrite-start", started);
            if let Err(error) = begun {
                log::warn!("{}", error.0);
                return self.rewrite_ended(false);
            }
        }
        files.jobs += 1;
        let config = &self.engine.config;
        let (format, encoding) = base_encoding(&self.engine);
        let target = Target {
            temporary: PathBuf::from(format!("temp-rewriteaof-bg-{}.{}.aof", std::process::id(), files.jobs)),
            path: None,
            compress: config.rdbcompression,
            checksum: config.rdbchecksum,
            incremental_sync: config.aof_rewrite_incremental_fsync,
            encoding,
        };
        files.rewrite = Some(Rewrite { temporary: target.temporary.clone(), format });
        self.engine.start_snapshot(Purpose::LogBase);
        let Some(parts) = self.engine.persistence.take_receiver() else { return };
        log::info!("Background append only file rewriting started by the thread 'snapshot'");
        if files
            .writer
            .submit(Job { number: files.jobs, parts, destination: Destination::File(target) })
            .is_err()
        {
            log::error!("Can't rewrite the append only file: the thread 'snapshot' has ended");
            self.rewrite_ended(false);
        }
    }

    /// The snapshot of a rewrite was written, or not.
    pub(super) fn rewrite_written(&mut self, result: Result<u64, WriteFailure>) {
        let files = &mut self.files;
        let rewrite = files.rewrite.take();
        let started = self.engine.clock.ticks();
        if let (Ok(_), Some(run)) = (&result, self.engine.persistence.run()) {
            log::info!("AOF rewrite done, {}.", run.describe());
        }
        let done = match (result, &rewrite, &mut files.log) {
            (Ok(bytes), Some(rewrite), Some(log)) => {
                let snapshot = (&*rewrite.temporary, rewrite.format);
                log.finish_rewrite(snapshot, bytes, &mut self.engine, &mut files.disk_thread)
            }
            // The log was off: what there was of it is replaced.
            (Ok(_), Some(rewrite), None) => {
                let directory = Aof::directory(&*files.disk, &self.engine.config);
                replace_log(&directory, rewrite)
            }
            (Err(failure), ..) => {
                report(&failure);
                return self.rewrite_ended(false);
            }
            (Ok(_), None, _) => return self.rewrite_ended(false),
        };
        self.engine.note_delay("aof-rename", started);
        match done {
            Ok(()) => {
                log::info!("Background AOF rewrite terminated with success");
                log::info!("Background AOF rewrite finished successfully");
                self.rewrite_ended(true);
            }
            Err(error) => {
                log::warn!("{}", error.0);
                // Unless it was renamed before, and removed with its new name.
                if let Some(snapshot) =
                    rewrite.map(|rewrite| rewrite.temporary).filter(|path| files.disk.exists(path))
                {
                    let _ = files.disk.remove(&snapshot);
                }
                self.rewrite_ended(false);
            }
        }
    }

    fn rewrite_ended(&mut self, is_ok: bool) {
        let (files, engine) = (&mut self.files, &mut self.engine);
        let now = engine.now();
        if let Some(run) = engine.persistence.run() {
            let seconds = now.saturating_sub(run.started_ms) / 1000;
            engine.persistence.aof.last_rewrite_seconds = Some(seconds);
        }
        engine.finish_snapshot(is_ok);
        let aof = &mut engine.persistence.aof;
        aof.last_rewrite = if is_ok { LastAttempt::Ok } else { LastAttempt::Failed };
        aof.rewrites += u64::from(is_ok);
        if !is_ok && let Some(log) = &mut files.log {
            log.rewrite_failed(engine);
        }
    }

    /// `appendonly` was changed: switches the log on or off. The error is for the client. What was changed in a transaction is
    /// followed by a rewrite as soon as one may begin.
    pub(in crate::server) fn switch_log(&mut self, in_exec: bool) -> Result<(), String> {
        let (files, engine) = (&mut self.files, &mut self.engine);
        match (engine.config.appendonly, files.log.take()) {
            (true, None) => {
                let log = Aof::start(files.disk.clone(), engine).map_err(|error| error.0)?;
                files.log = Some(log);
                if engine.persistence.loading.is_none() {
                    engine.cancel_snapshot_for(Purpose::LogBase);
                    if in_exec || engine.persistence.run().is_some() {
                        log::info!(
                            "AOF was enabled but there is already another background operation. \
                             An AOF background was scheduled to start when possible."
                        );
                        engine.persistence.aof.is_rewrite_scheduled = true;
                    } else {
                        self.rewrite_log();
                    }
                }
            }
            (false, Some(log)) => {
                files.log = Some(log);
                self.stop_log();
            }
            (_, log) => {
                files.log = log;
                if let Some(log) = &mut files.log {
                    log.configure(&engine.config);
                }
            }
        }
        Ok(())
    }

    /// Ends the log, if it is on: nothing is written any more.
    pub(super) fn stop_log(&mut self) {
        let (files, engine) = (&mut self.files, &mut self.engine);
        let Some(mut log) = files.log.take() else { return };
        if engine.persistence.is_running(Purpose::LogBase) {
            log::info!("Killing the running AOF rewrite (a thread's, there is no child)");
        }
        engine.cancel_snapshot_for(Purpose::LogBase);
        log.finish(engine, &mut files.disk_thread);
        log.leave(engine);
        engine.persistence.confirmed = u64::MAX;
        engine.end_log_waits();
    }

    /// Begins a new log, if it is to be on: the data is another one than when it was stopped.
    pub(super) fn restart_log(&mut self) {
        if !self.engine.config.appendonly || self.files.log.is_some() {
            return;
        }
        if let Err(text) = self.switch_log(false) {
            log::error!("Failed to turn on the AOF after a synchronization with MASTER: {text}");
            self.ending = Some(1);
        }
    }

    /// Begins to load the log at start-up, or makes a first one.
    pub(super) fn load_log_at_start(&mut self) -> Result<(), String> {
        let directory = Aof::directory(&*self.files.disk, &self.engine.config);
        let manifest = directory.load_manifest().map_err(|error| error.0.join("\n"))?;
        let manifest = if directory.needs_upgrade(&manifest) {
            let upgraded = directory.upgrade(&manifest).map_err(|error| error.0)?;
            log::info!("{}", directory.upgraded());
            upgraded
        } else {
            manifest
        };
        if manifest.is_empty() {
            return self.create_log();
        }
        self.start_loading_log(manifest, None)
    }

    /// DEBUG LOADAOF. The data stays as it is if there is nothing to load it from.
    pub(in crate::server) fn reload_log(&mut self, client: ClientId) {
        if let Err(text) = self.begin_reload_of_log(client) {
            log::error!("{text}");
            let text = b"-ERR Error trying to load the AOF files, check server logs.\r\n";
            self.engine.complete_deferred(client, text);
        }
    }

    fn begin_reload_of_log(&mut self, client: ClientId) -> Result<(), String> {
        if let Some(log) = &mut self.files.log
            && !log.write_out(&mut self.engine, &mut self.files.disk_thread)
        {
            return Err("The append-only file is not loaded: what is to be written to it can't be".into());
        }
        let directory = Aof::directory(&*self.files.disk, &self.engine.config);
        let manifest = directory.load_manifest().map_err(|error| error.0.join("\n"))?;
        if manifest.is_empty() {
            return Err("The append-only file is not loaded: there is none".into());
        }
        self.start_loading_log(manifest, Some(client))?;
        self.engine.empty_keyspace();
        Ok(())
    }

    fn start_loading_log(&mut self, manifest: Manifest, client: Option<ClientId>) -> Result<(), String> {
        let directory = Aof::directory(&*self.files.disk, &self.engine.config);
        let loader = AofLoader::open(&directory, manifest, client, &mut self.engine)?;
        self.files.loader = Some(Loader::Aof(Box::new(loader)));
        Ok(())
    }

    /// Makes the first files of a log, with the data there is as its base.
    fn create_log(&mut self) -> Result<(), String> {
        let temporary = PathBuf::from(format!("temp-rewriteaof-{}.aof", std::process::id()));
        let (format, encoding) = base_encoding(&self.engine);
        let target = target(&self.engine.config, 0);
        let target = Target { temporary: temporary.clone(), path: None, encoding, ..target };
        if !self.write_now(Purpose::LogBase, target) {
            return Err("Can't write the base of the append-only file.".into());
        }
        let directory = Aof::directory(&*self.files.disk, &self.engine.config);
        let manifest =
            directory.create(&temporary, format, start_offset(&self.engine)).map_err(|error| error.0)?;
        log::info!("Creating AOF base file on server start");
        if self.open_log(&manifest) { Ok(()) } else { Err("The append-only file can't be opened.".into()) }
    }

    /// Goes on with the last increment.
    pub(super) fn open_log(&mut self, manifest: &Manifest) -> bool {
        match Aof::open(self.files.disk.clone(), manifest, &mut self.engine) {
            Ok(log) => {
                self.files.log = Some(log);
                true
            }
            Err(error) => {
                log::error!("{}", error.0);
                false
            }
        }
    }

    /// Drops the rewrite under way.
    pub(super) fn drop_rewrite(&mut self) {
        self.files.rewrite = None;
        self.rewrite_ended(false);
    }

    /// Ends the log with the process. False if not all of it is on disk and the end is not forced: then the log goes on.
    pub(super) fn close_log_at_end(&mut self, force: bool) -> bool {
        let Some(mut log) = self.files.log.take() else { return true };
        log::info!("Calling fsync() on the AOF file.");
        let finish = log.finish(&mut self.engine, &mut self.files.disk_thread);
        if finish == Finish::Whole || force {
            log.leave(&mut self.engine);
            return true;
        }
        match finish {
            // Replies that wait for the log must not leave.
            Finish::Fatal => self.ending = Some(1),
            _ => log.resume(),
        }
        self.files.log = Some(log);
        false
    }
}

/// Puts a snapshot in the place of the files of a log that is off. A damaged manifest stays as it is, and so do the files that
/// it may name.
fn replace_log(directory: &AofDirectory<'_>, rewrite: &Rewrite) -> Result<(), DirectoryError> {
    let manifest = directory.load_manifest().map_err(|error| DirectoryError(error.0.join(" ")))?;
    directory.make()?;
    let changed = directory.finish_rewrite(&manifest, &rewrite.temporary, rewrite.format, Since::Nothing)?;
    directory.remove_history(&changed.manifest).map(drop)
}
