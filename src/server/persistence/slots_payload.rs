//! Sends a snapshot of slots to the node that they move to, as commands that make their keys.
//!
//! ```text
//! parts ─▶ Assembly ─▶ CommandEncoder ─▶ head, commands …, SNAPSHOT-EOF ─▶ queue ─▶ event loop ─▶ socket
//! ```
//!
//! What the target doesn't take may wait in a file (`overflow.rs`).

use std::path::PathBuf;
use std::sync::Arc;

use super::overflow::Overflow;
use super::payload::PayloadSender;
use super::snapshot_file::{WriteFailure, at, no_commands};
use super::spill::Spill;
use crate::resp::encode_request;
use crate::services::persist::aof::base::CommandEncoder;
use crate::services::persist::codec::Fault;
use crate::services::persist::rdb::{Finisher, Piece};
use crate::services::persist::snapshot::{Assembly, Extent, HELD_LIMIT, Outlet, Part, WaitingBytes};
use crate::sys::disk::Disk;

/// Bytes of a chunk.
const CHUNK: usize = 256 * 1024;

/// A snapshot of slots being sent.
pub struct SlotsWriter {
    assembly: Assembly,
    output: Output,
}

impl SlotsWriter {
    /// `temporary`: where parts that must wait go when they are too much for memory. `waiting`: how much of the walk waits. `trickles`:
    /// what comes is sent at once.
    pub fn new(
        disk: Arc<dyn Disk>,
        sender: PayloadSender,
        head: Vec<u8>,
        temporary: PathBuf,
        (waiting, trickles): (WaitingBytes, bool),
    ) -> Self {
        let sender = Overflow::new(sender, waiting, disk.clone(), temporary.with_extension("unsent"));
        let output = Output {
            sender,
            finisher: Finisher::new(false, false),
            encoder: CommandEncoder::new(),
            out: head,
            trickles,
            sent: 0,
            spill: Spill::new(disk, temporary),
        };
        SlotsWriter { assembly: Assembly::new(HELD_LIMIT), output }
    }

    /// Takes a part; true when it was the last.
    pub fn take(&mut self, part: Part) -> Result<bool, WriteFailure> {
        self.assembly.take(part, &mut self.output)
    }

    /// Sends the end; how many bytes there were.
    pub fn finish(mut self) -> Result<u64, WriteFailure> {
        if !self.output.encoder.is_complete() {
            return Err(no_commands(Fault::Short));
        }
        encode_request(&mut self.output.out, ["CLUSTER", "SYNCSLOTS", "SNAPSHOT-EOF"].iter());
        let sent = self.output.sent + self.output.out.len() as u64;
        self.output.sender.end(self.output.out)?;
        Ok(sent)
    }
}

struct Output {
    sender: Overflow,
    finisher: Finisher,
    encoder: CommandEncoder,
    out: Vec<u8>,
    trickles: bool,
    sent: u64,
    spill: Spill,
}

impl Output {
    fn encode(&mut self, bytes: &[u8]) -> Result<(), WriteFailure> {
        self.encoder.encode(bytes, &mut self.out).map_err(no_commands)?;
        if self.out.len() >= CHUNK || self.trickles { self.send_all() } else { Ok(()) }
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
        let mut bytes = Vec::new();
        self.finisher.finish(piece, &mut bytes);
        self.encode(&bytes)
    }

    fn put_aside(&mut self, piece: Piece) -> Result<Extent, WriteFailure> {
        let bytes = self.finisher.prepare(&piece);
        self.spill.put(&bytes).map_err(at("writing to a temporary file"))
    }

    fn write_aside(&mut self, mut extent: Extent) -> Result<(), WriteFailure> {
        let mut bytes = Vec::new();
        while extent.len > 0 {
            self.spill.take(&mut extent, &mut bytes).map_err(at("reading from a temporary file"))?;
            self.encode(&bytes)?;
        }
        Ok(())
    }
}
