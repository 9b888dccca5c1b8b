//! RDB records: what the event loop writes while it walks over the keys, and what a helper thread makes of it.
//!
//! ```text
//! event loop    RecordBuffer: records, long strings as they are, without their lengths       memcpy
//!      │ take()
//!      ▼
//! helper        Piece → Finisher: lengths, compressed strings, checksum → bytes of the file
//! ```
//!
//! A piece ends between any two calls of a writing function, within a big collection, too. Pieces are finished in the order in which
//! they were taken.

use super::opcode;
use crate::base::crc::crc64;
use crate::services::persist::codec::{
    Deferred, FieldLayout, Mark, RdbFormat, StringCompressor, Writer, encode, kind, kind_of, stream_kind,
};
use crate::structures::hnsw::Graph;
use crate::structures::table::EntryValue;
use crate::value::Value;
use crate::value::vector_set::VectorSet;
use std::sync::Arc;

/// How long or how often a key was used, if the eviction policy asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Seconds since the last use: LRU policies.
    Idle(u64),
    /// The logarithmic counter: LFU policies.
    Frequency(u8),
}

/// What a record says of its key besides the value.
#[derive(Clone, Copy, Debug)]
pub struct KeyHeader<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Unix milliseconds.
    pub deadline: Option<u64>,
    /// Nothing under the policies that don't need it.
    pub access: Option<Access>,
}

/// A type of collection whose elements are written one by one, and what comes before them.
#[derive(Clone, Copy, Debug)]
pub enum Collection {
    /// Nodes ([`Writer::list_node`]).
    List,
    /// Members ([`Writer::entry`]).
    Set,
    /// Members and scores ([`Writer::scored`]), the highest first if the reader is to be quick.
    Zset,
    /// Fields ([`Writer::field`]) in this layout.
    Hash(FieldLayout),
    /// Parts ([`Writer::stream_part`]).
    Stream {
        /// Whether it has something that only the newest kind has a place for.
        has_idempotency: bool,
    },
}

/// The part of a file that is being written; see the head of this file.
#[derive(Debug)]
pub struct RecordBuffer {
    format: RdbFormat,
    /// `rdbcompression`.
    compress: bool,
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// Bytes of shared strings.
    shared: usize,
}

impl RecordBuffer {
    /// An empty one. `compress` lets the helper thread compress strings.
    pub fn new(format: RdbFormat, compress: bool) -> Self {
        RecordBuffer { format, compress, bytes: Vec::new(), marks: Vec::new(), shared: 0 }
    }

    /// The format of all that is written.
    pub fn format(&self) -> RdbFormat {
        self.format
    }

    /// Bytes of memory that what was written so far keeps: those in the buffer, and those of shared strings.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.marks.is_empty()
    }

    /// Writes the elements of an open collection.
    #[inline]
    pub fn writer(&mut self) -> Writer<'_> {
        if self.compress {
            Writer::deferring(&mut self.bytes, &mut self.marks)
        } else {
            Writer::new(&mut self.bytes, false)
        }
    }

    /// What was written, and a new buffer of about that size for what comes.
    pub fn take(&mut self) -> Piece {
        let bytes = std::mem::take(&mut self.bytes);
        let marks = std::mem::take(&mut self.marks);
        self.bytes.reserve(bytes.len().min(Self::RESERVE_MAX));
        self.marks.reserve(marks.len().min(Self::RESERVE_MAX / size_of::<Mark>()));
        Piece { bytes, marks, shared: std::mem::take(&mut self.shared) }
    }

    const RESERVE_MAX: usize = 1 << 20;
}

/// Keys.
impl RecordBuffer {
    /// A key and its value.
    #[inline]
    pub fn record(&mut self, header: &KeyHeader<'_>, value: EntryValue<'_, Value>) {
        let format = self.format;
        self.open(header, kind_of(&value, format));
        encode(value, format, &mut self.writer());
    }

    /// A key and a long string, which is not copied.
    pub fn record_shared(&mut self, header: &KeyHeader<'_>, value: Arc<Vec<u8>>) {
        self.open(header, kind::STRING);
        self.shared += value.len();
        self.marks.push(Mark { at: self.bytes.len(), string: Deferred::Shared(value) });
    }

    /// A key and the first nodes of a vector set, for another thread to encode; returns the id where the rest begins.
    pub fn open_vectors(&mut self, header: &KeyHeader<'_>, set: &Arc<VectorSet>) -> u32 {
        self.open(header, kind::MODULE_2);
        self.more_vectors(set, 0)
    }

    /// The next nodes of a vector set, from an id on; returns the id where the rest begins. That is the set's bound at the end.
    pub fn more_vectors(&mut self, set: &Arc<VectorSet>, first: u32) -> u32 {
        let graph = set.graph();
        let end = (first as usize + Self::nodes_at_a_time(graph)).min(graph.bound() as usize) as u32;
        self.marks.push(Mark { at: self.bytes.len(), string: Deferred::Vectors(set.clone(), first..end) });
        end
    }

    /// Ids whose nodes make about a megabyte.
    fn nodes_at_a_time(graph: &Graph) -> usize {
        let node = graph.memory() / (graph.bound() as usize).max(1);
        (Self::RESERVE_MAX / node.max(1)).clamp(1, 4096)
    }

    /// A key and what comes before the elements of its value. Exactly `count` elements (for lists and streams, nodes) are then to be
    /// written before any other record.
    pub fn open_collection(&mut self, header: &KeyHeader<'_>, collection: Collection, count: u64) {
        let kind = match collection {
            Collection::List => kind::LIST_QUICKLIST_2,
            Collection::Set => kind::SET,
            Collection::Zset => kind::ZSET_2,
            Collection::Hash(layout) => layout.kind(),
            Collection::Stream { has_idempotency } => stream_kind(has_idempotency, self.format),
        };
        self.open(header, kind);
        match collection {
            Collection::Hash(layout) => self.writer().open_fields(layout, count),
            _ => self.writer().length(count),
        }
    }

    #[inline]
    fn open(&mut self, header: &KeyHeader<'_>, kind: u8) {
        // Most records fit: one check instead of several.
        self.bytes.reserve(64 + header.key.len());
        if let Some(deadline) = header.deadline {
            self.bytes.push(opcode::DEADLINE_MS);
            self.bytes.extend_from_slice(&deadline.to_le_bytes());
        }
        match header.access {
            None => {}
            Some(Access::Idle(seconds)) => {
                self.bytes.push(opcode::IDLE);
                self.writer().length(seconds);
            }
            Some(Access::Frequency(counter)) => self.bytes.extend([opcode::FREQUENCY, counter]),
        }
        self.bytes.push(kind);
        self.writer().string(header.key);
    }
}

/// All but the keys.
impl RecordBuffer {
    /// The first bytes of a file.
    pub fn magic(&mut self) {
        let magic = self.format.magic();
        self.bytes.extend_from_slice(&magic);
    }

    /// A fact about the file (`redis-ver`, `ctime` …).
    pub fn aux(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.push(opcode::AUX);
        let mut out = self.writer();
        out.string(name);
        out.string(value);
    }

    /// Slots that this node is importing, by Valkey's protocol; in Valkey's format only.
    pub fn slot_import(&mut self, name: &[u8], ranges: &[(u16, u16)]) {
        self.bytes.push(opcode::KEY_METADATA);
        let mut out = self.writer();
        out.string(name);
        out.length(ranges.len() as u64);
        for (start, end) in ranges {
            out.length(u64::from(*start));
            out.length(u64::from(*end));
        }
    }

    /// The source of a library of functions.
    pub fn function(&mut self, source: &[u8]) {
        self.bytes.push(opcode::FUNCTION);
        self.writer().string(source);
    }

    /// The database of the keys that follow.
    pub fn select_db(&mut self, db: u32) {
        self.bytes.push(opcode::SELECT_DB);
        self.writer().length(db.into());
    }

    /// How many keys the database has, and how many of them a deadline.
    pub fn resize_db(&mut self, keys: u64, deadlines: u64) {
        self.bytes.push(opcode::RESIZE_DB);
        let mut out = self.writer();
        out.length(keys);
        out.length(deadlines);
    }
}

/// Records as the event loop wrote them, for another thread to finish.
#[derive(Debug)]
pub struct Piece {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    shared: usize,
}

impl Piece {
    /// Bytes of memory that it keeps; about what it takes in the file without compression.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.marks.is_empty()
    }
}

/// Makes the bytes of a file of its pieces.
#[derive(Debug)]
pub struct Finisher {
    /// `None` without `rdbcompression`.
    compressor: Option<StringCompressor>,
    /// `None` without `rdbchecksum`.
    checksum: Option<u64>,
    written: u64,
}

impl Finisher {
    /// For a new file.
    pub fn new(compress: bool, checksum: bool) -> Self {
        Finisher {
            compressor: compress.then(StringCompressor::default),
            checksum: checksum.then_some(0),
            written: 0,
        }
    }

    /// Bytes of the file so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends the bytes of a piece.
    pub fn finish(&mut self, piece: Piece, out: &mut Vec<u8>) {
        let start = out.len();
        if piece.marks.is_empty() && start == 0 {
            *out = piece.bytes;
        } else {
            complete(&piece, self.compressor.as_mut(), out);
        }
        self.account(&out[start..]);
    }

    /// The bytes of a piece that comes later in the file, for [`Self::append`].
    pub fn prepare(&mut self, piece: &Piece) -> Vec<u8> {
        let mut out = Vec::new();
        complete(piece, self.compressor.as_mut(), &mut out);
        out
    }

    /// Appends bytes that were prepared.
    pub fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.account(bytes);
    }

    /// Appends the end of the file.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(opcode::END);
        self.account(&out[start..]);
        // Zero says that there is none.
        out.extend_from_slice(&self.checksum.unwrap_or(0).to_le_bytes());
        self.written += size_of::<u64>() as u64;
    }

    fn account(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.checksum = self.checksum.map(|checksum| crc64(checksum, bytes));
    }
}

fn complete(piece: &Piece, compressor: Option<&mut StringCompressor>, out: &mut Vec<u8>) {
    out.reserve(piece.len() + 2 * piece.marks.len());
    let mut out = match compressor {
        Some(compressor) => Writer::compressing(out, compressor),
        None => Writer::new(out, false),
    };
    let mut done = 0;
    for mark in &piece.marks {
        out.raw(&piece.bytes[done..mark.at]);
        done = mark.at;
        match &mark.string {
            Deferred::Compress { len } => {
                done += len;
                out.text(&piece.bytes[mark.at..done]);
            }
            Deferred::Shared(bytes) => out.string(bytes),
            Deferred::Vectors(set, ids) => {
                if ids.start == 0 {
                    out.vector_set_head(set);
                }
                out.vector_set_nodes(set, ids.clone());
                if ids.end == set.graph().bound() {
                    out.vector_set_end();
                }
            }
        }
    }
    out.raw(&piece.bytes[done..]);
}
