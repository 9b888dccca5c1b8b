//! The append-only file of a simulated server, as `server/persistence/aof_control.rs` has it, on the simulated disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use redloop::base::rng::Rng;
use redloop::engine::Engine;
use redloop::engine::persistence::Purpose;
use redloop::server::persistence::aof::{self, Aof, DiskJob, DiskResult};
use redloop::server::persistence::load_aof::AofLoader;
use redloop::server::persistence::payload::OpenPiece;
use redloop::server::persistence::snapshot_file::{Encoding, SnapshotFile, Target};
use redloop::services::config::AppendFsync;
use redloop::services::persist::aof::manifest::BaseFormat;
use redloop::services::persist::aof::stream_index::LogPiece;
use redloop::sys::disk::{Disk, Mode};
use redloop::sys::simulated_disk::SimulatedDisk;
use redloop::sys::worker::Worker;

/// See the head of this file.
pub struct Log {
    disk: SimulatedDisk,
    log: Option<Aof>,
    thread: Worker<DiskJob, DiskResult>,
    loader: Option<Box<AofLoader>>,
    rewrites: u64,
    /// The process ends: it can't keep what it has acknowledged.
    pub is_fatal: bool,
}

impl Log {
    /// Begins to load the files, or makes the first ones.
    pub fn start(disk: SimulatedDisk, engine: &mut Engine) -> Log {
        let thread = Worker::start_on_demand("aof", aof::work).expect("a thread");
        let mut log = Log { disk, log: None, thread, loader: None, rewrites: 0, is_fatal: false };
        if engine.config.appendonly {
            let directory = Aof::directory(&log.disk, &engine.config);
            let manifest = directory.load_manifest().expect("a manifest that can be read");
            if manifest.is_empty() {
                log.create(engine);
            } else {
                let loader = AofLoader::open(&directory, manifest, None, engine).expect("files");
                log.loader = Some(Box::new(loader));
            }
        }
        log
    }

    fn create(&mut self, engine: &mut Engine) {
        let path = PathBuf::from("temp-base.aof");
        let mut file = self.base_file(&path, engine);
        engine.start_snapshot(Purpose::LogBase);
        engine.walk_whole_snapshot(|parts| {
            while let Some(part) = parts.try_next() {
                file.take(part).expect("written");
            }
        });
        file.finish(|| false).expect("finished");
        engine.finish_snapshot(true);
        let directory = Aof::directory(&self.disk, &engine.config);
        let start = i64::try_from(engine.backlog().end()).ok();
        let manifest = directory.create(&path, format(engine), start).expect("created");
        self.log = Some(Aof::open(Arc::new(self.disk.clone()), &manifest, engine).expect("opened"));
    }

    fn base_file(&self, path: &Path, engine: &Engine) -> SnapshotFile {
        let encoding =
            if format(engine) == BaseFormat::Rdb { Encoding::Rdb } else { Encoding::Commands { time: None } };
        let target = Target {
            temporary: path.to_path_buf(),
            path: None,
            compress: engine.config.rdbcompression,
            checksum: true,
            incremental_sync: true,
            encoding,
        };
        SnapshotFile::create(Arc::new(self.disk.clone()), target).expect("the disk works")
    }

    /// Loads a part; true when all is loaded.
    pub fn load_some(&mut self, engine: &mut Engine, bytes: u64) -> Result<bool, Vec<String>> {
        let Some(loader) = &mut self.loader else { return Ok(false) };
        let directory = Aof::directory(&self.disk, &engine.config);
        if !loader.step(&self.disk, &directory, engine, bytes)? {
            return Ok(false);
        }
        let Some(loader) = self.loader.take() else { return Ok(false) };
        engine.persistence.end_loading();
        loader.finish(engine);
        engine.replication.loaded = loader.history();
        let log = Aof::open(Arc::new(self.disk.clone()), &loader.manifest, engine).expect("opened");
        self.log = Some(log);
        Ok(true)
    }

    /// What a turn begins with: syncs that have ended. True if a rewrite is to begin.
    pub fn check(&mut self, engine: &mut Engine, rng: &mut Rng) -> bool {
        // A sync takes some turns.
        while rng.below(3) > 0
            && let Some(result) = self.thread.poll()
        {
            if let (Some(log), Some(result)) = (&mut self.log, result) {
                log.sync_finished(result, engine);
            }
        }
        engine.set_durable(self.log.as_ref().and_then(Aof::durable));
        let is_idle = engine.persistence.run().is_none()
            && !engine.replication.replicas.need_log()
            && engine.persistence.loading.is_none();
        let Some(log) = &mut self.log else { return false };
        self.is_fatal |= log.tell(engine);
        is_idle && log.wants_rewrite(engine)
    }

    /// How long nothing of the log needs a turn, ms.
    pub fn sleep_ms(&self, now: u64) -> u64 {
        if self.loader.is_some() || self.thread.pending() > 0 {
            return 0;
        }
        let due = self.log.as_ref().and_then(Aof::next_due_ms);
        due.map_or(u64::MAX, |due| due.saturating_sub(now))
    }

    /// What a turn ends with: everything is written.
    pub fn persist(&mut self, engine: &mut Engine) {
        if let Some(log) = &mut self.log {
            log.run(engine, &mut self.thread);
            engine.persistence.confirmed = log.confirmed();
        }
    }

    /// Begins a rewrite: the file of its base.
    pub fn begin_rewrite(&mut self, engine: &mut Engine) -> Option<(SnapshotFile, PathBuf, BaseFormat)> {
        engine.persistence.aof.is_rewrite_scheduled = false;
        self.log.as_mut()?.begin_rewrite(engine).expect("the disk works");
        self.rewrites += 1;
        let path = PathBuf::from(format!("temp-rewrite-{}.aof", self.rewrites));
        let file = self.base_file(&path, engine);
        engine.start_snapshot(Purpose::LogBase);
        Some((file, path, format(engine)))
    }

    /// The base of a rewrite was written.
    pub fn rewrite_written(&mut self, path: &Path, format: BaseFormat, bytes: u64, engine: &mut Engine) {
        if let Some(log) = &mut self.log {
            let done = log.finish_rewrite((path, format), bytes, engine, &mut self.thread);
            done.expect("the disk works");
        }
        engine.finish_snapshot(true);
    }

    /// The data is going to be another.
    pub fn stop(&mut self, engine: &mut Engine) {
        let Some(mut log) = self.log.take() else { return };
        engine.cancel_snapshot_for(Purpose::LogBase);
        log.finish(engine, &mut self.thread);
        log.leave(engine);
        engine.persistence.confirmed = u64::MAX;
        engine.end_log_waits();
    }

    /// The data is another: a log begins anew.
    pub fn restart(&mut self, engine: &mut Engine) {
        if engine.config.appendonly && self.log.is_none() {
            self.log = Some(Aof::start(Arc::new(self.disk.clone()), engine).expect("the disk works"));
            engine.persistence.aof.is_rewrite_scheduled = true;
        }
    }

    /// Whether there is a log, which the manifest names.
    pub fn is_named(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.durable().is_some())
    }

    /// Whether a crash leaves what is before this place of the log: it is named by the manifest, and has promised that.
    pub fn keeps(&self, place: u64, engine: &Engine) -> bool {
        self.is_named()
            && engine.config.appendfsync == AppendFsync::Always
            && place <= engine.persistence.confirmed
    }

    /// Whether what is written and synced now is all that is loaded.
    pub fn is_whole(&self, engine: &Engine) -> bool {
        !engine.config.appendonly || self.log.as_ref().is_some_and(|log| log.durable().is_some())
    }

    /// Ends with the process, everything written.
    pub fn close(&mut self, engine: &mut Engine) {
        if let Some(mut log) = self.log.take() {
            log.finish(engine, &mut self.thread);
            log.leave(engine);
        }
    }

    /// The stream between two offsets.
    pub fn pieces(&self, from: u64, to: u64) -> Option<Vec<OpenPiece>> {
        let pieces = self.log.as_ref()?.pieces(from, to)?;
        let mut files = HashMap::new();
        let open = pieces.into_iter().map(|piece| match piece {
            LogPiece::Skipped { len } => OpenPiece::Skipped { len },
            LogPiece::File { path, place, len } => {
                let file = files.entry(path.clone()).or_insert_with(|| {
                    Arc::new(Mutex::new(self.disk.open(&path, Mode::Read).expect("the file is there")))
                });
                OpenPiece::File { file: Arc::clone(file), place, len }
            }
        });
        Some(open.collect())
    }
}

fn format(engine: &Engine) -> BaseFormat {
    if engine.config.aof_use_rdb_preamble { BaseFormat::Rdb } else { BaseFormat::Commands }
}
