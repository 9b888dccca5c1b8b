//! Snapshot parts: what the event loop hands to the thread that writes a snapshot.
//!
//! ```text
//! keyspace ── entries ──▶ RecordSink ────┐
//!    └ large collections ▶ ElementSink ──┤ parts ──▶ queue ──▶ Assembly ──▶ bytes of the file
//!                                        ┘                     (another thread)
//! ```
//!
//! Sinks encode what they are given and send it in pieces of some ten kilobytes. Records may come in any order; the elements of a
//! large collection come in pieces of their own, between those of others, and [`Assembly`] brings them together. The snapshot is
//! complete when all its sinks have been dropped.

mod assembly;
mod sink;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::rdb::{Piece, RdbFormat};
pub use assembly::{Assembly, Extent, HELD_LIMIT, Outlet};
pub use sink::{AccessRule, RecordSink};

/// Bytes that may wait for the writer before the walk and lazy free pause. What changes force out comes on top.
pub const QUEUE_LIMIT: usize = 8 << 20;
/// Bytes that may wait before the writer works without pauses, and puts elsewhere what isn't taken from it.
pub const HURRY_FROM: usize = 4 * QUEUE_LIMIT;
/// Bytes of a piece.
const PIECE: usize = 32 * 1024;

/// Names a large collection within a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionId(u64);

/// What a sink sends.
#[derive(Debug)]
pub enum Part {
    /// What comes before all records.
    Head(Piece),
    /// Whole records of a database.
    Records(u32, Piece),
    /// The head of a large collection's record, in a database.
    Open(CollectionId, u32, Piece),
    /// Elements of it.
    Elements(CollectionId, Piece),
    /// All its elements have come.
    Close(CollectionId),
    /// All sinks are done.
    End,
}

impl Part {
    fn memory(&self) -> usize {
        match self {
            Part::Head(piece)
            | Part::Records(_, piece)
            | Part::Open(_, _, piece)
            | Part::Elements(_, piece) => piece.len(),
            Part::Close(_) | Part::End => 0,
        }
    }
}

/// What all sinks of a snapshot and its writer share.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes that the writer has not taken yet.
    queued: WaitingBytes,
    /// Collections opened so far.
    collections: AtomicUsize,
    /// Keys handed over so far.
    keys: AtomicUsize,
    /// The event loop is serving requests.
    is_busy: AtomicBool,
    /// Each key is handed over by itself (`rdb-key-save-delay`).
    trickles: AtomicBool,
    /// The writer has gone, so there is no use in going on.
    is_over: AtomicBool,
    /// The event loop has dropped the snapshot: it must not reach its file.
    is_dropped: AtomicBool,
}

/// How many bytes wait for a writer.
#[derive(Clone, Debug, Default)]
pub struct WaitingBytes(Arc<AtomicUsize>);

impl WaitingBytes {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// So many more of them.
    pub fn plus(self, bytes: usize) -> Self {
        self.add(bytes);
        self
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The event loop's end of a snapshot.
#[derive(Debug)]
pub struct Parts {
    sender: Sender<Part>,
    shared: Arc<Shared>,
    format: RdbFormat,
    compress: bool,
    access: AccessRule,
}

/// The writer's end of a snapshot.
#[derive(Debug)]
pub struct PartReceiver {
    parts: Receiver<Part>,
    shared: Arc<Shared>,
}

/// Begins a snapshot in this format. `compress`: strings may be compressed by the writer.
pub fn start(format: RdbFormat, compress: bool, access: AccessRule) -> (Parts, PartReceiver) {
    let (sender, parts) = channel();
    let shared = Arc::new(Shared::default());
    (Parts { sender, shared: shared.clone(), format, compress, access }, PartReceiver { parts, shared })
}

impl Parts {
    /// The sink of a database.
    pub fn sink(&self, db: u32, keys: u64, deadlines: u64) -> RecordSink {
        RecordSink::new(self.handle(), db, (keys, deadlines))
    }

    fn handle(&self) -> sink::Handle {
        sink::Handle {
            sender: self.sender.clone(),
            shared: self.shared.clone(),
            format: self.format,
            compress: self.compress,
            access: self.access,
        }
    }

    /// Sends what comes before all records.
    pub fn send_head(&self, piece: Piece) {
        self.handle().send(Part::Head(piece));
    }

    /// Whether all sinks have been dropped: everything has been handed over.
    pub fn are_complete(&self) -> bool {
        // Ours, and that of the writer unless it has gone.
        Arc::strong_count(&self.shared) <= 2
    }

    /// Tells the writer that everything has been handed over.
    pub fn end(&self) {
        self.handle().send(Part::End);
    }

    /// Bytes that wait for the writer.
    pub fn queued(&self) -> usize {
        self.shared.queued.get()
    }

    /// Tells the writer whether requests are being served.
    pub fn set_busy(&self, is_busy: bool) {
        self.shared.is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// Has each key be handed over by itself: the walk is slow.
    pub fn set_trickling(&self) {
        self.shared.trickles.store(true, Ordering::Relaxed);
    }

    /// Keys handed over so far.
    pub fn keys(&self) -> usize {
        self.shared.keys.load(Ordering::Relaxed)
    }

    /// Whether the writer has gone.
    pub fn is_abandoned(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.shared.is_dropped.store(true, Ordering::Release);
    }
}

impl PartReceiver {
    /// Whether the snapshot was dropped, although all its parts may have come.
    pub fn is_dropped(&self) -> bool {
        self.shared.is_dropped.load(Ordering::Acquire)
    }

    /// Keys handed over so far.
    pub fn keys(&self) -> usize {
        self.shared.keys.load(Ordering::Relaxed)
    }

    /// Whether each key comes by itself, long before the next one.
    pub fn trickles(&self) -> bool {
        self.shared.trickles.load(Ordering::Relaxed)
    }

    /// Whether the writer had better leave the processor to requests: some are being served, and what waits does not grow far beyond what
    /// the walk lets wait by itself.
    pub fn may_take_its_time(&self) -> bool {
        self.shared.is_busy.load(Ordering::Relaxed) && self.shared.queued.get() <= HURRY_FROM
    }

    /// How many bytes wait for the writer, wherever that is of use.
    pub fn waiting(&self) -> WaitingBytes {
        self.shared.queued.clone()
    }

    /// The next part, waiting for it; `None` if the snapshot was dropped half-way.
    pub fn next_part(&self) -> Option<Part> {
        self.account(self.parts.recv().ok())
    }

    /// The next part, if it is there.
    pub fn try_next(&self) -> Option<Part> {
        self.account(self.parts.try_recv().ok())
    }

    fn account(&self, part: Option<Part>) -> Option<Part> {
        if let Some(part) = &part {
            self.shared.queued.take(part.memory());
        }
        part
    }
}

impl Drop for PartReceiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}
