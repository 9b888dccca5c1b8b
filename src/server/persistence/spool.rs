//! Spool: the command stream in a temporary file, for replicas that are still being sent a snapshot, where no log has it.
//!
//! ```text
//! backlog ─▶ chunks, bounded ─▶ thread 'spool' ─▶ file without a name ─▶ thread 'payload' ─▶ replica, once it has its snapshot
//! ```
//!
//! Without it all that is written during a full synchronization would lie in memory. It begins as soon as that is more than a
//! few megabytes, and ends when every replica gets the stream from the backlog again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::Files;
use super::payload::{OpenPiece, Wake};
use crate::engine::Engine;
use crate::services::command_stream::ReaderId;
use crate::sys::disk::{Disk, DiskFile, Mode};
use crate::sys::worker::Worker;

/// Bytes that are given to the thread at a time, and how many may wait for it; these are in the backlog, too.
const CHUNK: usize = 256 * 1024;
const QUEUED: u64 = 4 * 1024 * 1024;

/// See the head of this file.
pub struct Spool {
    /// What isn't in the file stays in the backlog, so that a replica can begin anywhere between the file's start and the end.
    reader: ReaderId,
    /// The offset of the file's first byte; what is in the file ends at `written`, and what the thread has at `submitted`.
    start: u64,
    written: u64,
    submitted: u64,
    file: Arc<Mutex<Box<dyn DiskFile>>>,
    thread: Worker<Vec<u8>, io::Result<u64>>,
}

/// Whether there is a spool.
#[derive(Default)]
pub enum SpoolState {
    #[default]
    None,
    Active(Spool),
    /// It could not be written: it is not tried again for the replicas that there are.
    Failed,
}

impl Spool {
    /// A spool of the stream from an offset on that the backlog still has. Its file is gone with the process.
    fn begin(disk: &dyn Disk, path: &Path, wake: Wake, from: u64, engine: &mut Engine) -> io::Result<Spool> {
        let mut writer = disk.open(path, Mode::Create)?;
        let file = disk.open(path, Mode::Read);
        disk.remove(path)?;
        let file = Arc::new(Mutex::new(file?));
        let write = move |bytes: Vec<u8>| writer.write_all(&bytes).map(|()| bytes.len() as u64);
        let thread = Worker::start("spool", write, move || wake())?;
        let reader = engine.attach_replica_reader(from).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Spool { reader, start: from, written: from, submitted: from, file, thread })
    }

    /// Hands the thread what is there; an error if it could not write.
    fn run(&mut self, engine: &mut Engine) -> io::Result<()> {
        while let Some(written) = self.thread.poll() {
            let written = written?;
            if engine.backlog().position(self.reader) != self.written {
                break;
            }
            engine.backlog_mut().consume(self.reader, written as usize);
            self.written += written;
        }
        if engine.backlog().position(self.reader) != self.written {
            return Err(io::Error::other("the stream has begun anew"));
        }
        while self.submitted - self.written < QUEUED
            && engine.backlog().end() - self.submitted >= CHUNK as u64
        {
            let mut bytes = Vec::with_capacity(CHUNK);
            while bytes.len() < CHUNK {
                let piece = engine.backlog().read_from(self.reader, self.submitted + bytes.len() as u64);
                let (_, piece) = piece.map_err(|_| io::ErrorKind::UnexpectedEof)?;
                bytes.extend_from_slice(&piece[..piece.len().min(CHUNK - bytes.len())]);
            }
            self.submitted += CHUNK as u64;
            self.thread.submit(bytes).map_err(|_| io::Error::other("the thread has ended"))?;
        }
        engine.persistence.log_reaches = Some((self.start, self.written));
        Ok(())
    }

    /// The stream between two offsets.
    fn piece(&self, from: u64, to: u64) -> Option<OpenPiece> {
        let is_there = self.start <= from && from <= to && to <= self.written;
        is_there.then(|| OpenPiece::File {
            file: Arc::clone(&self.file),
            place: from - self.start,
            len: to - from,
        })
    }
}

impl Files {
    /// Begins, goes on with or ends the spool. Once a turn.
    pub(super) fn run_spool(&mut self, engine: &mut Engine) {
        let wanted_from = engine.spool_wanted_from();
        match &mut self.spool {
            SpoolState::None => {
                let Some(from) = wanted_from else { return };
                let path = PathBuf::from(format!("temp-{}.stream", std::process::id()));
                let begun = Spool::begin(&*self.disk, &path, self.wake.clone(), from, engine);
                self.spool = match begun {
                    Ok(spool) => SpoolState::Active(spool),
                    Err(error) => {
                        log::warn!(
                            "The stream is kept in memory for the replicas: {}: {error}",
                            path.display()
                        );
                        SpoolState::Failed
                    }
                };
            }
            SpoolState::Active(_) if engine.replicas_are_online() => self.end_spool(engine, SpoolState::None),
            SpoolState::Active(spool) => {
                if let Err(error) = spool.run(engine) {
                    log::warn!("The stream is not written to a temporary file any more: {error}");
                    self.end_spool(engine, SpoolState::Failed);
                }
            }
            SpoolState::Failed if engine.replicas_are_online() => self.spool = SpoolState::None,
            SpoolState::Failed => {}
        }
    }

    fn end_spool(&mut self, engine: &mut Engine, state: SpoolState) {
        if let SpoolState::Active(spool) = std::mem::replace(&mut self.spool, state) {
            engine.detach_reader(spool.reader);
            engine.persistence.log_reaches = None;
        }
    }

    /// The stream between two offsets, from the spool.
    pub(super) fn spooled(&self, from: u64, to: u64) -> Option<OpenPiece> {
        match &self.spool {
            SpoolState::Active(spool) => spool.piece(from, to),
            SpoolState::None | SpoolState::Failed => None,
        }
    }
}
