//! Receiving a primary's data: to a file, which is loaded when it is complete, or straight into databases.
//!
//! ```text
//! SyncTarget::File       temp-….rdb ─▶ fsync (thread 'received') ─▶ rename ─▶ the old data goes, the file is loaded
//! SyncTarget::Databases  the old data goes ─▶ loaded as it comes
//! SyncTarget::Beside     loaded beside the old data as it comes ─▶ replaces it
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::load::{LoadFailure, LoadOptions, RdbLoader};
use super::send_payload::removes_sync_files;
use super::{Files, Loader};
use crate::engine::replication::{SyncAction, SyncTarget};
use crate::server::Server;
use crate::sys::disk::{Disk, DiskFile, Mode, directory_of, error_text};
use crate::sys::worker::Worker;

/// Bytes after which the system is asked to begin writing them, so that the sync in the end is short.
const WRITEBACK: u64 = 8 << 20;

const BEHIND_END: &str = "There are bytes behind the end of the RDB file from MASTER";

/// What a primary sends.
pub(super) enum Receiving {
    File {
        file: Box<dyn DiskFile>,
        path: PathBuf,
        written: u64,
        written_back: u64,
    },
    /// The file is complete, and is being made durable.
    Syncing {
        thread: Worker<SyncJob, io::Result<()>>,
        path: PathBuf,
    },
    Memory {
        loader: Box<RdbLoader>,
        is_whole: bool,
        is_held: bool,
    },
}

/// What the thread 'received' waits for, so that the loop doesn't.
pub(super) enum SyncJob {
    File(Box<dyn DiskFile>),
    Directory(Arc<dyn Disk>, PathBuf),
}

fn sync(job: SyncJob) -> io::Result<()> {
    match job {
        SyncJob::File(mut file) => file.sync(),
        SyncJob::Directory(disk, path) => {
            let result = disk.sync_dir(&path);
            if let Err(error) = &result {
                log::warn!("fsync of the directory {}: {}", path.display(), error_text(error));
            }
            result
        }
    }
}

/// How a primary's data is loaded.
const fn options(flush: bool) -> LoadOptions {
    LoadOptions { merge: false, drop_expired: false, flush, is_sync: true, client: None }
}

impl Server {
    /// Does what the engine asks with the primary's data.
    pub(in crate::server) fn handle_sync(&mut self, action: SyncAction) {
        match action {
            SyncAction::Begin(target) => self.begin_receiving(target),
            SyncAction::Data(bytes) => self.receive(&bytes),
            SyncAction::End => match self.files.receiving.take() {
                Some(Receiving::File { file, path, .. }) => self.sync_received(file, path),
                Some(syncing @ Receiving::Syncing { .. }) => self.files.receiving = Some(syncing),
                Some(Receiving::Memory { loader, is_whole, .. }) => self.data_received(loader, is_whole),
                None => {}
            },
            SyncAction::Abort => self.abort_receiving(),
            SyncAction::Cease => self.restart_log(),
        }
    }

    /// The primary's data is wanted no more, though it may have become complete in this very turn.
    fn abort_receiving(&mut self) {
        self.files.drop_received();
        if let Some(Loader::Rdb(loader)) = &self.files.loader
            && loader.options.is_sync
            && !loader.has_changed_data()
        {
            self.files.loader = None;
            self.engine.persistence.end_loading();
            self.restart_log();
        }
    }

    fn begin_receiving(&mut self, target: SyncTarget) {
        self.files.drop_received();
        let is_beside = match target {
            SyncTarget::File => {
                let path =
                    PathBuf::from(format!("temp-{}.{}.rdb", self.engine.now() / 1000, std::process::id()));
                return match self.files.disk.open(&path, Mode::Create) {
                    Ok(file) => {
                        let (written, written_back) = (0, 0);
                        self.files.receiving = Some(Receiving::File { file, path, written, written_back });
                    }
                    Err(error) => {
                        log::warn!(
                            "Opening the temp file needed for MASTER <-> REPLICA synchronization: {}",
                            error_text(&error)
                        );
                        self.engine.sync_failed(false);
                    }
                };
            }
            SyncTarget::Databases => false,
            SyncTarget::Beside { .. } => true,
        };
        if !is_beside {
            self.stop_log();
        }
        log::info!("MASTER <-> REPLICA sync: Loading DB in memory");
        let loader = Box::new(RdbLoader::fed(options(false), is_beside, &mut self.engine));
        self.files.receiving = Some(Receiving::Memory { loader, is_whole: false, is_held: false });
    }

    fn receive(&mut self, bytes: &[u8]) {
        let failure = match &mut self.files.receiving {
            None | Some(Receiving::Syncing { .. }) => return,
            Some(Receiving::File { file, written, written_back, .. }) => {
                match write_piece(&mut **file, bytes, written, written_back) {
                    Ok(()) => return,
                    Err(error) => format!(
                        "Write error or short write writing to the DB dump file needed for MASTER <-> REPLICA \
                         synchronization: {}",
                        error_text(&error)
                    ),
                }
            }
            Some(Receiving::Memory { is_whole: true, .. }) if !bytes.is_empty() => BEHIND_END.into(),
            Some(Receiving::Memory { loader, is_whole, is_held }) => {
                match loader.feed(&mut self.engine, bytes) {
                    Ok(true) if loader.has_rest() => BEHIND_END.into(),
                    Ok(is_over) => {
                        *is_whole = is_over;
                        let waits = loader.delay.waits(&self.engine);
                        if waits != *is_held {
                            *is_held = waits;
                            self.engine.hold_transfer(waits);
                        }
                        return;
                    }
                    Err(failure) => failure.to_string(),
                }
            }
        };
        log::warn!("{failure}");
        self.receiving_failed();
    }

    /// Goes on with data that had to wait (`key-load-delay`).
    pub(in crate::server) fn load_received(&mut self) {
        if let Some(Receiving::Memory { loader, is_held: true, .. }) = &self.files.receiving
            && !loader.delay.waits(&self.engine)
            && !self.engine.is_busy_with_script()
        {
            self.receive(&[]);
        }
    }

    fn receiving_failed(&mut self) {
        log::warn!("Failed trying to load the MASTER synchronization DB from socket, check server logs.");
        self.files.drop_received();
        self.engine.sync_failed(false);
    }

    /// Has the thread make the file durable.
    fn sync_received(&mut self, file: Box<dyn DiskFile>, path: PathBuf) {
        let wake = self.files.wake.clone();
        let synced = Worker::start("received", sync, move || wake()).and_then(|mut thread| {
            let ended = |_| io::Error::other("the thread has ended");
            thread.submit(SyncJob::File(file)).map_err(ended)?;
            Ok(thread)
        });
        match synced {
            Ok(thread) => self.files.receiving = Some(Receiving::Syncing { thread, path }),
            Err(error) => self.cannot_place(&path, &error),
        }
    }

    /// Takes note that the file is durable, or can't be. Once a turn.
    pub(in crate::server) fn take_synced(&mut self) {
        let Some(Receiving::Syncing { thread, .. }) = &mut self.files.receiving else { return };
        if self.engine.is_busy_with_script() {
            // Its data is not replaced while it runs.
            return;
        }
        let Some(result) = thread.poll() else { return };
        if let Some(Receiving::Syncing { thread, path }) = self.files.receiving.take() {
            self.file_received(thread, &path, result);
        }
    }

    fn cannot_place(&mut self, path: &Path, error: &io::Error) {
        log::warn!(
            "Failed trying to rename the temp DB into {} in MASTER <-> REPLICA synchronization: {}",
            self.engine.config.dbfilename,
            error_text(error)
        );
        if self.files.disk.exists(path) {
            let _ = self.files.disk.remove(path);
        }
        self.engine.sync_failed(false);
    }

    fn file_received(
        &mut self,
        mut thread: Worker<SyncJob, io::Result<()>>,
        path: &Path,
        synced: io::Result<()>,
    ) {
        let disk = self.files.disk.clone();
        let target = PathBuf::from(&self.engine.config.dbfilename);
        // A snapshot under way would replace the file by the data that goes.
        self.engine.cancel_snapshot();
        self.files.wait_for_writer(&mut self.engine);
        if let Err(error) = synced.and_then(|()| disk.rename(path, &target)) {
            return self.cannot_place(path, &error);
        }
        // Nothing waits for that: the thread ends behind it.
        let _ = thread.submit(SyncJob::Directory(disk.clone(), directory_of(&target).to_path_buf()));
        self.stop_log();
        log::info!("MASTER <-> REPLICA sync: Flushing old data");
        match RdbLoader::open(&*disk, &target, options(true), &mut self.engine) {
            Ok(loader) => {
                log::info!("MASTER <-> REPLICA sync: Loading DB in memory");
                self.files.loader = Some(Loader::Rdb(Box::new(loader)));
            }
            Err(error) => {
                log::warn!("Can't open {}: {}", target.display(), error_text(&error));
                self.restart_log();
                self.engine.sync_failed(false);
            }
        }
    }

    /// The file of a synchronization is loaded, or can't be; `loader` has ended.
    pub(super) fn sync_file_loaded(&mut self, loader: &RdbLoader, result: Result<(), Vec<String>>) {
        self.engine.persistence.end_loading();
        let path = PathBuf::from(&self.engine.config.dbfilename);
        if removes_sync_files(&self.engine.config) {
            log::info!(
                "Removing the RDB file obtained from the master. This replica has persistence disabled"
            );
            if let Err(error) = self.files.disk.remove(&path) {
                log::warn!("Can't remove {}: {}", path.display(), error_text(&error));
            }
        }
        match result {
            Ok(()) => self.sync_is_loaded(loader),
            Err(lines) => {
                lines.iter().for_each(|line| log::warn!("{line}"));
                log::warn!(
                    "Failed trying to load the MASTER synchronization DB from disk, check server logs."
                );
                let is_lost = loader.has_changed_data();
                self.engine.sync_failed(is_lost);
                if !is_lost {
                    self.restart_log();
                }
            }
        }
    }

    fn data_received(&mut self, mut loader: Box<RdbLoader>, is_whole: bool) {
        let is_beside = loader.is_beside();
        let result = self.finish_received(&mut loader, is_whole);
        if let Err(failure) = result {
            log::warn!("{failure}");
            self.receiving_failed();
            if is_beside {
                // The old data is still there.
                self.restart_log();
            }
            return;
        }
        self.engine.persistence.end_loading();
        self.sync_is_loaded(&loader);
    }

    fn finish_received(&mut self, loader: &mut RdbLoader, is_whole: bool) -> Result<(), LoadFailure> {
        if !is_whole {
            loader.end_feed(&mut self.engine)?;
        }
        if loader.is_beside() {
            self.engine.cancel_snapshot();
            self.stop_log();
            loader.replace_data(&mut self.engine)?;
        }
        Ok(())
    }

    fn sync_is_loaded(&mut self, loader: &RdbLoader) {
        self.engine.persistence.rdb.saved_dirty = self.engine.data.keyspace.journal.dirty;
        self.engine.sync_loaded(loader.history.db);
        self.restart_log();
    }
}

impl Files {
    /// Drops what has been received of a primary's data.
    fn drop_received(&mut self) {
        // A file that the thread still syncs is gone when that is done.
        let path = match self.receiving.take() {
            Some(Receiving::File { path, .. } | Receiving::Syncing { path, .. }) => Some(path),
            Some(Receiving::Memory { .. }) | None => None,
        };
        if let Some(path) = path
            && let Err(error) = self.disk.remove(Path::new(&path))
        {
            log::warn!("Can't remove {}: {}", path.display(), error_text(&error));
        }
    }
}

/// Writes a piece at the end of a file, and has the system write what has gathered.
fn write_piece(
    file: &mut dyn DiskFile,
    bytes: &[u8],
    written: &mut u64,
    written_back: &mut u64,
) -> io::Result<()> {
    file.write_all(bytes)?;
    *written += bytes.len() as u64;
    if *written - *written_back >= WRITEBACK {
        file.start_writeback(*written_back, *written - *written_back);
        *written_back = *written;
    }
    Ok(())
}
