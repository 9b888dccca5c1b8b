//! Writes a snapshot to a file: a temporary one, made durable, and renamed over the old.
//!
//! ```text
//! parts ─▶ Assembly ─▶ Finisher: compress, checksum ─▶ temp-….rdb ─▶ fsync ─▶ rename ─▶ fsync of the directory
//! ```
//!
//! Until the rename the old file stays as it is; a snapshot that is dropped half-way leaves nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::services::persist::rdb::Finisher;
use crate::services::persist::snapshot::{Assembly, Part, PartReceiver};
use crate::sys::disk::{Disk, DiskFile, Mode, directory_of};

/// Bytes collected before they are written.
const WRITE_AT: usize = 256 * 1024;
/// Bytes after which what was written is forced to disk, so that the last sync is short.
const SYNC_AT: u64 = 4 << 20;

/// Where a snapshot goes, and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub temporary: PathBuf,
    /// Where it is to be found in the end; `None`: it stays under its temporary name, for the caller to rename.
    pub path: Option<PathBuf>,
    pub compress: bool,
    pub checksum: bool,
    /// Force it to disk bit by bit (`rdb-save-incremental-fsync`).
    pub incremental_sync: bool,
}

/// How writing failed.
#[derive(Debug)]
pub enum WriteFailure {
    /// The snapshot was dropped half-way.
    Cancelled,
    /// What was being done, and the system's error.
    Disk(&'static str, io::Error),
}

fn at(step: &'static str) -> impl Fn(io::Error) -> WriteFailure {
    move |error| WriteFailure::Disk(step, error)
}

/// A snapshot's file being written. If it is dropped before [`Self::finish`], it goes.
pub struct SnapshotFile {
    disk: Arc<dyn Disk>,
    target: Target,
    file: Option<Box<dyn DiskFile>>,
    assembly: Assembly,
    finisher: Finisher,
    out: Vec<u8>,
    /// Bytes in the file, and how many of them were forced to disk.
    written: u64,
    synced: u64,
}

impl SnapshotFile {
    pub fn create(disk: Arc<dyn Disk>, target: Target) -> Result<Self, WriteFailure> {
        let file = disk.open(&target.temporary, Mode::Create).map_err(at("opening the temp RDB file"))?;
        let finisher = Finisher::new(target.compress, target.checksum);
        Ok(SnapshotFile {
            disk,
            target,
            file: Some(file),
            assembly: Assembly::default(),
            finisher,
            out: Vec::new(),
            written: 0,
            synced: 0,
        })
    }

    /// Takes a part; true when it was the last.
    pub fn take(&mut self, part: Part) -> Result<bool, WriteFailure> {
        let (finisher, out) = (&mut self.finisher, &mut self.out);
        let is_last = self.assembly.take(part, &mut |piece| finisher.finish(piece, out));
        if self.out.len() >= WRITE_AT {
            self.write()?;
        }
        Ok(is_last)
    }

    fn write(&mut self) -> Result<(), WriteFailure> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&self.out).map_err(at("writing"))?;
        self.written += self.out.len() as u64;
        self.out.clear();
        if self.target.incremental_sync && self.written - self.synced >= SYNC_AT {
            file.sync().map_err(at("fsync"))?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Ends the file and puts it in place, unless `is_dropped` by then; its size in bytes.
    pub fn finish(mut self, is_dropped: impl Fn() -> bool) -> Result<u64, WriteFailure> {
        self.finisher.end(&mut self.out);
        self.write()?;
        if let Some(file) = &mut self.file {
            file.sync().map_err(at("fsync"))?;
        }
        if is_dropped() {
            return Err(WriteFailure::Cancelled);
        }
        if let Some(path) = &self.target.path {
            self.disk
                .rename(&self.target.temporary, path)
                .map_err(at("moving the temp DB file on the final destination"))?;
            self.file = None;
            self.disk.sync_dir(directory_of(path)).map_err(at("fsync of the directory"))?;
        }
        self.file = None;
        Ok(self.written)
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // If it can't be removed, the next start finds a temporary file more; there is nothing else to be done about it.
            let _ = self.disk.remove(&self.target.temporary);
        }
    }
}

/// Writes a snapshot from its parts to the end.
pub fn write_snapshot(
    disk: Arc<dyn Disk>,
    parts: &PartReceiver,
    target: Target,
) -> Result<u64, WriteFailure> {
    let mut file = SnapshotFile::create(disk, target)?;
    loop {
        let part = parts.next_part().ok_or(WriteFailure::Cancelled)?;
        if parts.is_dropped() {
            return Err(WriteFailure::Cancelled);
        }
        if file.take(part)? {
            return file.finish(|| parts.is_dropped());
        }
    }
}
