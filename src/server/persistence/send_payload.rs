//! Sending snapshots to replicas: which thread makes the bytes, and what becomes of its end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::payload::{self, OpenPiece, SendJob};
use super::snapshot_file::WriteFailure;
use super::{Destination, Files, Job, target};
use crate::base::ids::ClientId;
use crate::engine::PayloadSource;
use crate::engine::replication::replicas::Stage;
use crate::net::{Payload, PayloadPart};
use crate::server::Server;
use crate::services::persist::aof::stream_index::LogPiece;
use crate::sys::disk::Mode;
use crate::sys::worker::Worker;

/// Characters of the mark at a snapshot's end.
const MARK_LEN: usize = 40;

impl Server {
    /// Sends a snapshot to replicas.
    pub(in crate::server) fn send_payload(&mut self, clients: &[ClientId], source: PayloadSource) {
        let (sender, received) = payload::queue(self.files.wake.clone());
        let is_marked = source == PayloadSource::Walk;
        let sent = match source {
            PayloadSource::Walk => self.send_walk(sender),
            PayloadSource::File => self.send_last_file(sender),
            PayloadSource::Log { from, to } => self.send_log(from, to, sender),
            PayloadSource::Bytes(bytes) => {
                let (parts, received) = std::sync::mpsc::channel();
                let head = format!("${}\r\n", bytes.len()).into_bytes();
                // The receiver is there.
                for part in [PayloadPart::Bytes(head), PayloadPart::Bytes(bytes), PayloadPart::End] {
                    let _ = parts.send(part);
                }
                return self.net.begin_payload(clients, Payload::new(received, false), &self.engine);
            }
        };
        if let Err(reason) = sent {
            log::error!("SYNC failed: {reason}");
            clients.iter().for_each(|client| self.engine.kill(*client));
            return;
        }
        self.net.begin_payload(clients, Payload::new(received, is_marked), &self.engine);
    }

    fn send_walk(&mut self, sender: payload::PayloadSender) -> Result<(), String> {
        let parts = self.engine.persistence.take_receiver().ok_or("the snapshot was dropped")?;
        let mark = self.engine.data.rng.hex(MARK_LEN).into_bytes();
        self.files.jobs += 1;
        let number = self.files.jobs;
        let target = target(&self.engine.config, number);
        let destination = Destination::Replicas { sender, mark, target };
        let job = Job { number, parts, destination };
        self.files.writer.submit(job).map_err(|_| {
            self.engine.finish_snapshot(false);
            "the thread 'snapshot' has ended".to_string()
        })
    }

    fn send_last_file(&mut self, sender: payload::PayloadSender) -> Result<(), String> {
        let path = self.engine.config.dbfilename.clone();
        let file = self.files.disk.open(Path::new(&path), Mode::Read);
        let file = file.map_err(|error| format!("can't open the file {path}: {error}"))?;
        let worker = self.files.file_sender().map_err(|error| error.to_string())?;
        worker.submit(SendJob::File(file, sender)).map_err(|_| "the thread 'payload' has ended".to_string())
    }

    /// Sends the stream between two offsets from the log's files.
    fn send_log(&mut self, from: u64, to: u64, sender: payload::PayloadSender) -> Result<(), String> {
        let pieces = self.files.log.as_ref().and_then(|log| log.pieces(from, to));
        let open = match pieces {
            Some(pieces) => self.open_pieces(pieces)?,
            None => vec![self.files.spooled(from, to).ok_or("the log hasn't what is wanted any more")?],
        };
        let worker = self.files.file_sender().map_err(|error| error.to_string())?;
        worker.submit(SendJob::Log(open, sender)).map_err(|_| "the thread 'payload' has ended".to_string())
    }

    fn open_pieces(&self, pieces: Vec<LogPiece>) -> Result<Vec<OpenPiece>, String> {
        let mut files = HashMap::new();
        let mut open = Vec::new();
        for piece in pieces {
            open.push(match piece {
                LogPiece::Skipped { len } => OpenPiece::Skipped { len },
                LogPiece::File { path, place, len } => {
                    let file = match files.entry(path) {
                        Entry::Occupied(opened) => Arc::clone(opened.get()),
                        Entry::Vacant(vacant) => {
                            let file = self.files.disk.open(vacant.key(), Mode::Read);
                            let file =
                                file.map_err(|error| format!("{}: {error}", vacant.key().display()))?;
                            Arc::clone(vacant.insert(Arc::new(Mutex::new(file))))
                        }
                    };
                    OpenPiece::File { file, place, len }
                }
            });
        }
        Ok(open)
    }

    /// The walk's thread is done with a snapshot for replicas.
    pub(super) fn payload_made(&mut self, result: &Result<u64, WriteFailure>) {
        match result {
            Ok(bytes) => log::info!(
                "Diskless rdb transfer, done reading from pipe, {} replicas still up, {bytes} bytes (of a thread, no pipe)",
                self.engine.replication.replicas.in_stage(Stage::Payload).len()
            ),
            Err(failure) => log::warn!("The snapshot for replicas failed: {failure}"),
        }
        self.engine.finish_snapshot(result.is_ok());
    }
}

impl Files {
    /// The thread that sends files.
    fn file_sender(&mut self) -> std::io::Result<&mut Worker<SendJob, ()>> {
        // Its results say nothing.
        while self.file_sender.as_mut().and_then(Worker::poll).is_some() {}
        let started = match self.file_sender.take() {
            Some(worker) => worker,
            None => Worker::start("payload", payload::send, || {})?,
        };
        Ok(self.file_sender.insert(started))
    }
}
