//! Sends a snapshot to replicas: from the walk's parts, or from a file, in chunks through a bounded queue to the event loop.
//!
//! ```text
//! parts ─▶ Assembly ─▶ Finisher: compress, checksum ─▶ "$EOF:" mark, bytes …, mark ─┐
//! file  ──────────────────────────────────────────────▶ "$" length, bytes …        ─┴▶ queue ─▶ event loop ─▶ sockets
//! ```
//!
//! What replicas don't take of a walk may wait in a file (`overflow.rs`).

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::overflow::Overflow;
pub use super::payload_queue::{PayloadSender, Wake, queue};
use super::snapshot_file::{WriteFailure, at};
use super::spill::Spill;
use crate::net::PayloadPart;
use crate::services::persist::rdb::{Finisher, Piece};
use crate::services::persist::snapshot::{Assembly, Extent, HELD_LIMIT, Outlet, Part, WaitingBytes};
use crate::sys::disk::{Disk, DiskFile};

/// Bytes of a chunk.
const CHUNK: usize = 256 * 1024;
impl PayloadSender {
    /// Sends a file, with its length before it.
    pub fn send_file(&self, file: &mut dyn DiskFile) -> Result<(), WriteFailure> {
        let len = file.len().map_err(at("looking at the RDB file"))?;
        self.send(PayloadPart::Bytes(format!("${len}\r\n").into_bytes()))?;
        let mut left = len;
        while left > 0 {
            let mut bytes = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            let read = file.read(&mut bytes).map_err(at("reading the RDB file"))?;
            if read == 0 {
                return Err(at("reading the RDB file")(io::ErrorKind::UnexpectedEof.into()));
            }
            bytes.truncate(read);
            left -= read as u64;
            self.send(PayloadPart::Bytes(bytes))?;
        }
        self.send(PayloadPart::End(Vec::new()))
    }

    fn send_log(&self, pieces: &[OpenPiece]) -> Result<(), WriteFailure> {
        for piece in pieces {
            let (mut done, len) = (0, piece.len());
            while done < len {
                let mut bytes = vec![b'\n'; CHUNK.min(usize::try_from(len - done).unwrap_or(CHUNK))];
                if let OpenPiece::File { file, place, .. } = piece {
                    let mut file = file.lock().map_err(|_| WriteFailure::Cancelled)?;
                    let read = file.read_at(&mut bytes, place + done).map_err(at("reading the log"))?;
                    if read == 0 {
                        return Err(at("reading the log")(io::ErrorKind::UnexpectedEof.into()));
                    }
                    bytes.truncate(read);
                }
                done += bytes.len() as u64;
                self.send(PayloadPart::Bytes(bytes))?;
            }
        }
        self.send(PayloadPart::End(Vec::new()))
    }
}

impl OpenPiece {
    fn len(&self) -> u64 {
        match self {
            OpenPiece::File { len, .. } | OpenPiece::Skipped { len } => *len,
        }
    }
}

/// A snapshot being sent.
pub struct PayloadWriter {
    assembly: Assembly,
    output: Output,
    mark: Vec<u8>,
}

impl PayloadWriter {
    /// `mark`: 40 bytes by which its end is known. `temporary`: where parts that must wait go when they are too much for memory.
    /// `waiting`: how much of the walk waits.
    pub fn new(
        disk: Arc<dyn Disk>,
        sender: PayloadSender,
        mark: Vec<u8>,
        temporary: PathBuf,
        (compress, checksum): (bool, bool),
        waiting: WaitingBytes,
    ) -> PayloadWriter {
        let mut out = b"$EOF:".to_vec();
        out.extend_from_slice(&mark);
        out.extend_from_slice(b"\r\n");
        let finisher = Finisher::new(compress, checksum);
        let sender = Overflow::new(sender, waiting, disk.clone(), temporary.with_extension("unsent"));
        let output = Output { sender, finisher, out, sent: 0, spill: Spill::new(disk, temporary) };
        PayloadWriter { assembly: Assembly::new(HELD_LIMIT), output, mark }
    }

    /// Takes a part; true when it was the last.
    pub fn take(&mut self, part: Part) -> Result<bool, WriteFailure> {
        self.assembly.take(part, &mut self.output)
    }

    /// Sends the end; how many bytes there were.
    pub fn finish(mut self) -> Result<u64, WriteFailure> {
        self.output.finisher.end(&mut self.output.out);
        self.output.out.append(&mut self.mark);
        let sent = self.output.sent + self.output.out.len() as u64;
        self.output.sender.end(self.output.out)?;
        Ok(sent)
    }
}

struct Output {
    sender: Overflow,
    finisher: Finisher,
    out: Vec<u8>,
    sent: u64,
    spill: Spill,
}

impl Output {
    fn send_collected(&mut self) -> Result<(), WriteFailure> {
        if self.out.len() >= CHUNK { self.send_all() } else { Ok(()) }
    }

    fn send_all(&mut self) -> Result<(), WriteFailure> {
        self.sent += self.out.len() as u64;
        let next = Vec::with_capacity(CHUNK + CHUNK / 4);
        self.sender.send(std::mem::replace(&mut self.out, next))
    }
}

impl Outlet for Output {
    type Error = WriteFailure;

    fn write(&mut self, piece: Piece) -> Result<(), WriteFailure> {
        self.finisher.finish(piece, &mut self.out);
        self.send_collected()
    }

    fn put_aside(&mut self, piece: Piece) -> Result<Extent, WriteFailure> {
        let bytes = self.finisher.prepare(&piece);
        self.spill.put(&bytes).map_err(at("writing to a temporary file"))
    }

    fn write_aside(&mut self, mut extent: Extent) -> Result<(), WriteFailure> {
        let mut bytes = Vec::new();
        while extent.len > 0 {
            self.spill.take(&mut extent, &mut bytes).map_err(at("reading from a temporary file"))?;
            self.finisher.append(&bytes, &mut self.out);
            self.send_collected()?;
        }
        Ok(())
    }
}

/// What is sent by a thread of its own.
pub enum SendJob {
    /// A snapshot's file.
    File(Box<dyn DiskFile>, PayloadSender),
    /// Pieces of the stream.
    Log(Vec<OpenPiece>, PayloadSender),
}

/// A piece of the stream.
pub enum OpenPiece {
    /// From a file of the log, at this place.
    File { file: Arc<Mutex<Box<dyn DiskFile>>>, place: u64, len: u64 },
    /// So many bytes were for replicas alone, and are gone: empty lines keep the offsets.
    Skipped { len: u64 },
}

/// Sends it.
pub fn send(job: SendJob) {
    let sent = match job {
        SendJob::File(mut file, sender) => sender.send_file(&mut *file),
        SendJob::Log(pieces, sender) => sender.send_log(&pieces),
    };
    if let Err(failure) = sent {
        // The replicas are told by the queue, which ends without its end.
        log::warn!("Sending to replicas: {failure}");
    }
}
