//! Writes a snapshot to a file: a temporary one, made durable, and renamed over the old.
//!
//! ```text
//! parts ─▶ Assembly ─▶ Finisher: compress, checksum ─▶ temp-….rdb ─▶ fsync ─▶ rename ─▶ fsync of the directory
//!                        └▶ CommandEncoder ▶ temp-….aof
//! ```
//!
//! Until the rename the old file stays as it is; a snapshot that is dropped half-way leaves nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::spill::Spill;
use crate::services::persist::aof::base::CommandEncoder;
use crate::services::persist::codec::Fault;
use crate::services::persist::rdb::{Finisher, Piece};
use crate::services::persist::snapshot::{Assembly, Extent, HELD_LIMIT, Outlet, Part, PartReceiver};
use crate::sys::disk::{Disk, DiskFile, Mode, directory_of};
use crate::sys::process;

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
    pub encoding: Encoding,
}

/// What the file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoding {
    Rdb,
    /// Commands that make the data; `time`, Unix seconds, stands before them (`aof-timestamp-enabled`).
    Commands {
        time: Option<u64>,
    },
}

/// How writing failed.
#[derive(Debug)]
pub enum WriteFailure {
    /// The snapshot was dropped half-way.
    Cancelled,
    /// What was being done, and the system's error.
    Disk(&'static str, io::Error),
}

impl std::fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WriteFailure::Cancelled => f.write_str("dropped half-way"),
            WriteFailure::Disk(step, error) => write!(f, "{step}: {error}"),
        }
    }
}

/// A snapshot that can't be read is an error of the program; the old file stays in place.
pub(super) fn no_commands(fault: Fault) -> WriteFailure {
    WriteFailure::Disk("making commands of the snapshot", io::Error::other(fault.to_string()))
}

pub(super) fn at(step: &'static str) -> impl Fn(io::Error) -> WriteFailure {
    move |error| WriteFailure::Disk(step, error)
}

/// A snapshot's file being written. If it is dropped before [`Self::finish`], it goes.
pub struct SnapshotFile {
    assembly: Assembly,
    output: Output,
}

impl SnapshotFile {
    pub fn create(disk: Arc<dyn Disk>, target: Target) -> Result<Self, WriteFailure> {
        Self::with_limit(disk, target, HELD_LIMIT)
    }

    /// One of which up to `limit` bytes may wait in memory for others to come first.
    pub fn with_limit(disk: Arc<dyn Disk>, target: Target, limit: usize) -> Result<Self, WriteFailure> {
        let file = disk.open(&target.temporary, Mode::Create).map_err(at("opening the temp RDB file"))?;
        let (mut out, mut encoder) = (Vec::new(), None);
        let finisher = match target.encoding {
            Encoding::Rdb => Finisher::new(target.compress, target.checksum),
            Encoding::Commands { time } => {
                encoder = Some(CommandEncoder::new());
                out.extend(time.into_iter().flat_map(|time| format!("#TS:{time}\r\n").into_bytes()));
                Finisher::new(false, false)
            }
        };
        let (written, synced) = (0, 0);
        let spill = Spill::new(disk.clone(), target.temporary.with_extension("waiting"));
        let output =
            Output { disk, target, file: Some(file), finisher, encoder, out, written, synced, spill };
        Ok(SnapshotFile { assembly: Assembly::new(limit), output })
    }

    /// Takes a part; true when it was the last.
    pub fn take(&mut self, part: Part) -> Result<bool, WriteFailure> {
        self.assembly.take(part, &mut self.output)
    }

    /// Ends the file and puts it in place, unless `is_dropped` by then; its size in bytes.
    pub fn finish(mut self, is_dropped: impl Fn() -> bool) -> Result<u64, WriteFailure> {
        self.output.finish(is_dropped)
    }
}

/// Where the bytes of the file go.
struct Output {
    disk: Arc<dyn Disk>,
    target: Target,
    file: Option<Box<dyn DiskFile>>,
    finisher: Finisher,
    /// Makes commands of what the finisher gives.
    encoder: Option<CommandEncoder>,
    out: Vec<u8>,
    /// Bytes in the file, and how many of them were forced to disk.
    written: u64,
    synced: u64,
    /// What waits and is too much for memory.
    spill: Spill,
}

impl Outlet for Output {
    type Error = WriteFailure;

    fn write(&mut self, piece: Piece) -> Result<(), WriteFailure> {
        match &mut self.encoder {
            None => self.finisher.finish(piece, &mut self.out),
            Some(encoder) => {
                let mut bytes = Vec::new();
                self.finisher.finish(piece, &mut bytes);
                encoder.encode(&bytes, &mut self.out).map_err(no_commands)?;
            }
        }
        self.write_collected()
    }

    fn put_aside(&mut self, piece: Piece) -> Result<Extent, WriteFailure> {
        let bytes = self.finisher.prepare(&piece);
        self.spill.put(&bytes).map_err(at("writing to a temporary file"))
    }

    fn write_aside(&mut self, mut extent: Extent) -> Result<(), WriteFailure> {
        let mut bytes = Vec::new();
        while extent.len > 0 {
            self.spill.take(&mut extent, &mut bytes).map_err(at("reading from a temporary file"))?;
            match &mut self.encoder {
                None => self.finisher.append(&bytes, &mut self.out),
                Some(encoder) => encoder.encode(&bytes, &mut self.out).map_err(no_commands)?,
            }
            self.write_collected()?;
        }
        Ok(())
    }
}

impl Output {
    /// Writes what was collected if it is worth a call.
    fn write_collected(&mut self) -> Result<(), WriteFailure> {
        if self.out.len() >= WRITE_AT { self.write_all() } else { Ok(()) }
    }

    fn write_all(&mut self) -> Result<(), WriteFailure> {
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

    fn finish(&mut self, is_dropped: impl Fn() -> bool) -> Result<u64, WriteFailure> {
        match &self.encoder {
            None => self.finisher.end(&mut self.out),
            Some(encoder) if encoder.is_complete() => {}
            Some(_) => return Err(no_commands(Fault::Short)),
        }
        self.write_all()?;
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

impl Drop for Output {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // If it can't be removed, the next start finds a temporary file more; there is nothing else to be done about it.
            let _ = self.disk.remove(&self.target.temporary);
        }
    }
}

/// Where the writer shares the processors with the event loop and its clients, it works for so long, ns …
const WORK: u64 = 500_000;
/// … and then leaves them for so many times as long.
const REST: u32 = 4;

/// Writes a snapshot from its parts to the end. `shares`: there are fewer processors than threads that want one.
pub fn write_snapshot(
    disk: Arc<dyn Disk>,
    parts: &PartReceiver,
    target: Target,
    shares: bool,
) -> Result<u64, WriteFailure> {
    let mut file = SnapshotFile::create(disk, target)?;
    take_parts(parts, shares, |part| file.take(part))?;
    file.finish(|| parts.is_dropped())
}

/// Takes the parts of a snapshot to the last, for which `take` answers true.
pub fn take_parts(
    parts: &PartReceiver,
    shares: bool,
    mut take: impl FnMut(Part) -> Result<bool, WriteFailure>,
) -> Result<(), WriteFailure> {
    let mut work = 0;
    loop {
        let part = parts.next_part().ok_or(WriteFailure::Cancelled)?;
        if parts.is_dropped() {
            return Err(WriteFailure::Cancelled);
        }
        let gives_way = shares && parts.may_take_its_time();
        let started = if gives_way { process::thread_cpu_nanos() } else { 0 };
        if take(part)? {
            return Ok(());
        }
        if gives_way {
            work += process::thread_cpu_nanos().saturating_sub(started);
        }
        if work >= WORK {
            std::thread::sleep(Duration::from_nanos(work) * REST);
            work = 0;
        }
    }
}
