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
use crate::net::{Payload, PayloadPart};
use crate::server::Server;
use crate::services::config::Config;
use crate::services::persist::aof::stream_index::LogPiece;
use crate::sys::disk::Mode;
use crate::sys::worker::Worker;

/// Characters of the mark at a snapshot's end.
const MARK_LEN: usize = 40;
/// Threads that send files, at most: each has a replica, or several that came together.
const PAYLOAD_THREADS: usize = 16;

/// Whether files that serve synchronizations alone go once they have (`rdb-del-sync-files`): where nothing else is saved.
pub(super) fn removes_sync_files(config: &Config) -> bool {
    config.rdb_del_sync_files && config.save.0.is_empty() && !config.appendonly
}

impl Server {
    /// Sends a snapshot to replicas.
    pub(in crate::server) fn send_payload(&mut self, clients: &[ClientId], source: PayloadSource) {
        let (sender, received) = payload::queue(self.files.wake.clone());
        let is_marked = source == PayloadSource::Walk;
        let sent = match source {
            PayloadSource::Walk => {
                self.files.payload_clients = clients.to_vec();
                self.send_walk(sender)
            }
            PayloadSource::Slots { head } => self.send_slots(sender, head),
            PayloadSource::File => self.send_last_file(sender),
            PayloadSource::Log { from, to } => self.send_log(from, to, sender),
            PayloadSource::Bytes(bytes) => {
                let (parts, received) = crossbeam_channel::unbounded();
                let head = format!("${}\r\n", bytes.len()).into_bytes();
                // The receiver is there.
                for part in [PayloadPart::Bytes(head), PayloadPart::End(bytes)] {
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

    fn send_slots(&mut self, sender: payload::PayloadSender, head: Vec<u8>) -> Result<(), String> {
        let parts = self.engine.persistence.take_receiver().ok_or("the snapshot was dropped")?;
        self.files.jobs += 1;
        let number = self.files.jobs;
        let temporary = target(&self.engine.config, number).temporary;
        let destination = Destination::Slots { sender, head, temporary };
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
        if removes_sync_files(&self.engine.config) {
            // What is open can be read to its end.
            log::info!("Removing the RDB file used to feed replicas in a persistence-less instance");
            if let Err(error) = self.files.disk.remove(Path::new(&path)) {
                log::warn!("Can't remove {path}: {error}");
            }
        }
        self.files.send_by_thread(SendJob::File(file, sender))
    }

    /// Sends the stream between two offsets from the log's files.
    fn send_log(&mut self, from: u64, to: u64, sender: payload::PayloadSender) -> Result<(), String> {
        let pieces = self.files.log.as_ref().and_then(|log| log.pieces(from, to));
        let open = match pieces {
            Some(pieces) => self.open_pieces(pieces)?,
            None => vec![self.files.spooled(from, to).ok_or("the log hasn't what is wanted any more")?],
        };
        self.files.send_by_thread(SendJob::Log(open, sender))
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

    /// The walk's thread is done with a snapshot of slots.
    pub(super) fn slots_made(&mut self, result: &Result<u64, WriteFailure>) {
        match result {
            Ok(bytes) => log::info!("Snapshot of slots: {bytes} bytes of commands"),
            Err(failure) => log::warn!("The snapshot of slots failed: {failure}"),
        }
        self.engine.finish_snapshot(result.is_ok());
        self.engine.export_snapshot_made(result.is_ok());
    }

    /// The walk's thread is done with a snapshot for replicas.
    pub(super) fn payload_made(&mut self, result: &Result<u64, WriteFailure>) {
        let replicas = &self.engine.replication.replicas;
        let clients = std::mem::take(&mut self.files.payload_clients);
        let still_up = clients.iter().filter(|client| replicas.get(**client).is_some()).count();
        match result {
            Ok(bytes) => log::info!(
                "Diskless rdb transfer, done reading from pipe, {still_up} replicas still up, {bytes} bytes (of a thread, no pipe)",
            ),
            Err(failure) => log::warn!("The snapshot for replicas failed: {failure}"),
        }
        self.engine.finish_snapshot(result.is_ok());
    }
}

impl Files {
    /// Has a thread send it: one that is free, as a slow replica holds up what is sent by the same thread.
    fn send_by_thread(&mut self, job: SendJob) -> Result<(), String> {
        let threads = &mut self.payload_threads;
        // Their results say nothing. One that is free ends, except the first of them.
        let mut is_first = true;
        threads.retain_mut(|thread| {
            while thread.poll().is_some() {}
            thread.pending() > 0 || std::mem::take(&mut is_first)
        });
        let free = threads.iter().position(|thread| thread.pending() == 0);
        let at = match free {
            None if threads.len() < PAYLOAD_THREADS => {
                threads
                    .push(Worker::start("payload", payload::send, || {}).map_err(|error| error.to_string())?);
                threads.len() - 1
            }
            None => (0..threads.len()).min_by_key(|at| threads[*at].pending()).unwrap_or(0),
            Some(at) => at,
        };
        threads[at].submit(job).map_err(|_| "the thread 'payload' has ended".to_string())
    }
}
