//! The files of a simulated server and the snapshots that it sends and receives, as `server/persistence` has them, without threads.

use crossbeam_channel::{Receiver, TryRecvError, unbounded};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redloop::base::rng::Rng;
use redloop::engine::replication::{SyncAction, SyncTarget};
use redloop::engine::{Engine, PayloadSource};
use redloop::net::PayloadPart;
use redloop::server::persistence::load::{LoadOptions, RdbLoader};
use redloop::server::persistence::payload::{self, PayloadSender, PayloadWriter, SendJob, queue};
use redloop::server::persistence::slots_payload::SlotsWriter;
use redloop::server::persistence::snapshot_file::{Encoding, SnapshotFile, Target, WriteFailure};
use redloop::services::persist::aof::manifest::BaseFormat;
use redloop::services::persist::snapshot::{PartReceiver, WaitingBytes};
use redloop::sys::disk::{Disk, DiskFile, Mode, directory_of};
use redloop::sys::simulated_disk::SimulatedDisk;

use crate::log::Log;
use crate::nodes_conf::Nodes;

const SNAPSHOT: &str = "dump.rdb";
const RECEIVED: &str = "temp-received.rdb";

/// Where a snapshot under way goes.
enum Destination {
    File(Box<SnapshotFile>),
    Base(Box<SnapshotFile>, PathBuf, BaseFormat),
    Replicas(Box<PayloadWriter>),
    Slots(Box<SlotsWriter>),
}

/// What a primary sends.
enum Receiving {
    File(Box<dyn DiskFile>),
    Memory { loader: Box<RdbLoader>, is_whole: bool },
}

/// A snapshot on its way to replicas.
struct Payload {
    source: Receiver<PayloadPart>,
    bytes: Vec<u8>,
    /// Nothing more comes; whether all has come.
    over: Option<bool>,
    is_marked: bool,
}

/// What a replica gets next of a snapshot.
pub enum Step {
    Bytes(Vec<u8>),
    End { is_marked: bool },
    Failed,
}

/// See the head of this file.
pub struct Files {
    pub disk: SimulatedDisk,
    pub log: Log,
    pub nodes: Nodes,
    snapshot: Option<(PartReceiver, Destination)>,
    snapshots: u64,
    loader: Option<Box<RdbLoader>>,
    receiving: Option<Receiving>,
    payloads: BTreeMap<usize, Payload>,
    last_payload: usize,
    /// How often the data has been replaced by that of a primary, or what keeps it on disk by what is to keep that.
    pub replaced: u64,
    /// How often a primary's data has come whole.
    pub synced: u64,
    /// The disk's file can't be loaded: the server ends.
    pub is_unloadable: bool,
}

const fn options(drop_expired: bool, flush: bool, is_sync: bool) -> LoadOptions {
    LoadOptions { merge: false, drop_expired, flush, is_sync, client: None }
}

impl Files {
    /// Begins to load what the disk has.
    pub fn start(disk: SimulatedDisk, engine: &mut Engine) -> Files {
        let mut files = Files {
            log: Log::start(disk.clone(), engine),
            disk,
            nodes: Nodes::default(),
            snapshot: None,
            snapshots: 0,
            loader: None,
            receiving: None,
            payloads: BTreeMap::new(),
            last_payload: 0,
            replaced: 0,
            synced: 0,
            is_unloadable: false,
        };
        if !engine.config.appendonly && files.disk.exists(Path::new(SNAPSHOT)) {
            let options = options(!engine.replication.is_replica(), false, false);
            files.load(options, engine);
        }
        files
    }

    fn load(&mut self, options: LoadOptions, engine: &mut Engine) {
        let loader = RdbLoader::open(&self.disk, Path::new(SNAPSHOT), options, engine);
        self.loader = Some(Box::new(loader.expect("the file is there")));
    }

    /// What threads do in the real server: a snapshot is written, a file is loaded, both by a part of random size.
    pub fn step(&mut self, engine: &mut Engine, rng: &mut Rng) {
        if self.nodes.is_due(rng) {
            self.write_nodes(engine);
        }
        if self.log.check(engine, rng) {
            self.begin_rewrite(engine);
        }
        self.write_some(engine, rng);
        self.load_some(engine, 200 + rng.below(20_000));
        self.load_log(engine, 200 + rng.below(20_000));
        for payload in self.payloads.values_mut() {
            payload.fill();
        }
    }

    /// How long nothing of this needs a turn, ms.
    pub fn sleep_ms(&self, engine: &Engine) -> u64 {
        let is_busy = self.nodes.is_waiting() || self.snapshot.is_some() || self.loader.is_some();
        if is_busy { 0 } else { self.log.sleep_ms(engine.steady_now()) }
    }

    /// Writes `nodes.conf`, if that is wanted, before anything else is done.
    pub fn write_nodes(&mut self, engine: &mut Engine) {
        if self.nodes.write_all(&self.disk) {
            engine.cluster_saved();
        }
    }

    fn begin_rewrite(&mut self, engine: &mut Engine) {
        let Some((file, path, format)) = self.log.begin_rewrite(engine) else { return };
        let Some(parts) = engine.persistence.take_receiver() else { return };
        self.snapshot = Some((parts, Destination::Base(Box::new(file), path, format)));
    }

    fn load_log(&mut self, engine: &mut Engine, bytes: u64) {
        match self.log.load_some(engine, bytes) {
            Ok(false) => {}
            Ok(true) => {
                engine.persistence.rdb.saved_dirty = engine.data.keyspace.journal.dirty;
                engine.resume_history();
            }
            Err(lines) => {
                eprintln!("{}", lines.join("\n"));
                self.is_unloadable = true;
            }
        }
    }

    fn write_some(&mut self, engine: &mut Engine, rng: &mut Rng) {
        if engine.persistence.run().is_none() {
            // It was cancelled.
            self.snapshot = None;
        }
        let Some((parts, destination)) = &mut self.snapshot else { return };
        for _ in 0..rng.below(8) {
            let Some(part) = parts.try_next() else { return };
            let taken = match destination {
                Destination::File(file) | Destination::Base(file, ..) => file.take(part),
                Destination::Replicas(writer) => writer.take(part),
                Destination::Slots(writer) => writer.take(part),
            };
            match taken {
                Ok(false) => {}
                Ok(true) => return self.snapshot_written(engine),
                Err(failure) => {
                    let is_of_slots = matches!(destination, Destination::Slots(_));
                    self.snapshot = None;
                    let is_cancelled = matches!(failure, WriteFailure::Cancelled);
                    if is_cancelled {
                        engine.cancel_snapshot();
                    } else {
                        engine.finish_snapshot(false);
                        if is_of_slots {
                            engine.export_snapshot_made(false);
                        }
                    }
                    return;
                }
            }
        }
    }

    fn snapshot_written(&mut self, engine: &mut Engine) {
        let Some((_, destination)) = self.snapshot.take() else { return };
        let written = match destination {
            Destination::File(file) => file.finish(|| false),
            Destination::Base(file, path, format) => {
                let bytes = file.finish(|| false).expect("the disk works");
                return self.log.rewrite_written(&path, format, bytes, engine);
            }
            Destination::Replicas(writer) => writer.finish(),
            Destination::Slots(writer) => {
                let is_ok = writer.finish().is_ok();
                engine.finish_snapshot(is_ok);
                return engine.export_snapshot_made(is_ok);
            }
        };
        engine.finish_snapshot(written.is_ok());
    }

    /// Writes the snapshot that the engine has begun.
    pub fn write_snapshot(&mut self, engine: &mut Engine) {
        let Some(parts) = engine.persistence.take_receiver() else { return };
        match SnapshotFile::create(Arc::new(self.disk.clone()), self.target(engine)) {
            Ok(file) => self.snapshot = Some((parts, Destination::File(Box::new(file)))),
            Err(_) => engine.finish_snapshot(false),
        }
    }

    fn target(&mut self, engine: &Engine) -> Target {
        self.snapshots += 1;
        Target {
            temporary: PathBuf::from(format!("temp-{}.rdb", self.snapshots)),
            path: Some(PathBuf::from(SNAPSHOT)),
            compress: engine.config.rdbcompression,
            checksum: true,
            incremental_sync: true,
            encoding: Encoding::Rdb,
        }
    }

    /// Begins to send replicas a snapshot; its number.
    pub fn send(&mut self, source: PayloadSource, engine: &mut Engine) -> Option<usize> {
        let is_marked = source == PayloadSource::Walk;
        let (sender, received) = queue(Arc::new(|| ()));
        let received = match source {
            PayloadSource::Walk => {
                let parts = engine.persistence.take_receiver()?;
                let writer = self.payload_writer(sender, parts.waiting(), engine);
                self.snapshot = Some((parts, Destination::Replicas(Box::new(writer))));
                received
            }
            PayloadSource::File => {
                let mut file = self.disk.open(Path::new(SNAPSHOT), Mode::Read).ok()?;
                sender.send_file(&mut *file).ok()?;
                received
            }
            PayloadSource::Bytes(bytes) => {
                let (parts, received) = unbounded();
                let head = format!("${}\r\n", bytes.len()).into_bytes();
                for part in [PayloadPart::Bytes(head), PayloadPart::End(bytes)] {
                    parts.send(part).ok()?;
                }
                received
            }
            PayloadSource::Slots { head } => {
                let parts = engine.persistence.take_receiver()?;
                let (disk, temporary) = (Arc::new(self.disk.clone()), self.target(engine).temporary);
                let writer = SlotsWriter::new(disk, sender, head, temporary, (parts.waiting(), false));
                self.snapshot = Some((parts, Destination::Slots(Box::new(writer))));
                received
            }
            PayloadSource::Log { from, to } => {
                payload::send(SendJob::Log(self.log.pieces(from, to)?, sender));
                received
            }
        };
        self.last_payload += 1;
        let payload = Payload { source: received, bytes: Vec::new(), over: None, is_marked };
        self.payloads.insert(self.last_payload, payload);
        Some(self.last_payload)
    }

    fn payload_writer(
        &mut self,
        sender: PayloadSender,
        waiting: WaitingBytes,
        engine: &mut Engine,
    ) -> PayloadWriter {
        let mark = engine.data.rng.hex(40).into_bytes();
        let target = self.target(engine);
        let how = (target.compress, target.checksum);
        PayloadWriter::new(Arc::new(self.disk.clone()), sender, mark, target.temporary, how, waiting)
    }

    /// Up to `room` bytes of a snapshot from a place on.
    pub fn payload(&mut self, number: usize, from: usize, room: usize) -> Step {
        let Some(payload) = self.payloads.get_mut(&number) else { return Step::Failed };
        payload.fill();
        let rest = &payload.bytes[from..];
        match payload.over {
            Some(false) => Step::Failed,
            Some(true) if rest.is_empty() => Step::End { is_marked: payload.is_marked },
            _ => Step::Bytes(rest[..rest.len().min(room)].to_vec()),
        }
    }

    /// Does what the engine asks with the primary's data, as `server/persistence/receive_payload.rs` does.
    pub fn handle_sync(&mut self, action: SyncAction, engine: &mut Engine) {
        match action {
            SyncAction::Begin(SyncTarget::File) => {
                let file = self.disk.open(Path::new(RECEIVED), Mode::Create).expect("the disk works");
                self.receiving = Some(Receiving::File(file));
            }
            SyncAction::Begin(target) => {
                if target == SyncTarget::Databases {
                    self.stop_log(engine);
                }
                let is_beside = matches!(target, SyncTarget::Beside { .. });
                let loader = Box::new(RdbLoader::fed(options(false, false, true), is_beside, engine));
                self.receiving = Some(Receiving::Memory { loader, is_whole: false });
            }
            SyncAction::Data(bytes) => self.receive(&bytes, engine),
            SyncAction::End => match self.receiving.take() {
                Some(Receiving::File(file)) => self.file_received(file, engine),
                Some(Receiving::Memory { loader, is_whole }) => self.data_received(loader, is_whole, engine),
                None => {}
            },
            SyncAction::Abort => self.abort_receiving(engine),
            SyncAction::Cease => self.log.restart(engine),
        }
    }

    fn abort_receiving(&mut self, engine: &mut Engine) {
        self.receiving = None;
        if self.loader.as_ref().is_some_and(|it| it.options.is_sync && !it.has_changed_data()) {
            self.loader = None;
            engine.persistence.end_loading();
            self.log.restart(engine);
        }
    }

    fn receive(&mut self, bytes: &[u8], engine: &mut Engine) {
        match &mut self.receiving {
            None => {}
            Some(Receiving::File(file)) => file.write_all(bytes).expect("the disk works"),
            Some(Receiving::Memory { loader, is_whole }) => match loader.feed(engine, bytes) {
                Ok(is_over) => *is_whole = is_over,
                Err(failure) => panic!("a primary's data can't be loaded: {failure}"),
            },
        }
    }

    fn file_received(&mut self, mut file: Box<dyn DiskFile>, engine: &mut Engine) {
        engine.cancel_snapshot();
        self.snapshot = None;
        let placed = file
            .sync()
            .and_then(|()| self.disk.rename(Path::new(RECEIVED), Path::new(SNAPSHOT)))
            .and_then(|()| self.disk.sync_dir(directory_of(Path::new(SNAPSHOT))));
        placed.expect("the disk works");
        self.stop_log(engine);
        self.load(options(false, true, true), engine);
    }

    fn data_received(&mut self, mut loader: Box<RdbLoader>, is_whole: bool, engine: &mut Engine) {
        if !is_whole {
            loader.end_feed(engine).expect("it is whole");
        }
        if loader.is_beside() {
            engine.cancel_snapshot();
            self.stop_log(engine);
            loader.replace_data(engine).expect("it has no libraries");
        }
        engine.persistence.end_loading();
        self.sync_is_loaded(&loader, engine);
    }

    fn stop_log(&mut self, engine: &mut Engine) {
        self.replaced += 1;
        self.log.stop(engine);
    }

    fn sync_is_loaded(&mut self, loader: &RdbLoader, engine: &mut Engine) {
        engine.persistence.rdb.saved_dirty = engine.data.keyspace.journal.dirty;
        engine.sync_loaded(loader.history.db);
        self.synced += 1;
        self.log.restart(engine);
    }

    fn load_some(&mut self, engine: &mut Engine, bytes: u64) {
        let Some(loader) = &mut self.loader else { return };
        let is_sync = loader.options.is_sync;
        match loader.step(engine, bytes) {
            Ok(false) => return,
            Ok(true) => {}
            // A file that a power failure has torn; of a primary none is.
            Err(failure) if is_sync => panic!("a primary's file can't be loaded: {failure}"),
            Err(_) => {
                self.is_unloadable = true;
                return;
            }
        }
        let Some(loader) = self.loader.take() else { return };
        engine.persistence.end_loading();
        if is_sync {
            self.sync_is_loaded(&loader, engine);
        } else {
            engine.persistence.rdb.saved_dirty = engine.data.keyspace.journal.dirty;
            engine.resume_history();
        }
    }
}

impl Payload {
    fn fill(&mut self) {
        while self.over.is_none() {
            match self.source.try_recv() {
                Ok(PayloadPart::Bytes(bytes)) => self.bytes.extend_from_slice(&bytes),
                Ok(PayloadPart::End(bytes)) => {
                    self.bytes.extend_from_slice(&bytes);
                    self.over = Some(true);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.over = Some(false),
            }
        }
    }
}
