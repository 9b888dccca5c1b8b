//! The backlog: the newest bytes of the command stream, at offsets that only grow, for any number of readers.
//!
//! ```text
//!            start           reader a    reader b             end
//!   released | chunk        ^| chunk    ^   | chunk …          |
//! ```
//!
//! Bytes lie in chunks of one size; all but the last are full, so an offset finds its chunk by division. What every
//! reader has consumed is released, but for the newest bytes that are retained for replicas that come back
//! (`repl-backlog-size`). A reader that lags keeps what it lacks: how far it may lag is for its owner to say
//! (`client-output-buffer-limit replica`). Without readers nothing is kept. No I/O: a reader gets slices.
//!
//! Some bytes are only for replicas: a log gets the slices between them, and copies them to its file as they are. Others are only for
//! logs: they have no offset, and lie between two bytes that have. So a log's place is another number: the bytes of both before it.
//!
//! ```text
//! offset      0        14       50          50       80
//! stream      | PING   | SET a  |           | SET b  |
//! inserted             |        | SELECT 1… |                a client's write at a replica
//! log place   0        14       50          90       120
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use slab::Slab;

/// Bytes of a chunk.
const CHUNK: usize = 64 * 1024;

/// Ranges for which memory is kept while there is none.
const KEPT_RANGES: usize = 64;

/// A reader's place in the backlog's list, until [`Backlog::detach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderId(usize);

/// What a reader does with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderKind {
    /// Keeps it, to make the data set from it later (the append-only file): it skips what is only for replicas.
    Log,
    /// Executes it (a replica), or keeps it for one that comes back.
    Replica,
}

/// The bytes that are wanted have been released, or there never were such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FellBehind;

/// Bytes for logs alone.
#[derive(Debug)]
struct Insert {
    /// The offset of the stream before which they lie.
    offset: u64,
    /// Their place in the log.
    place: u64,
    bytes: Vec<u8>,
}

impl Insert {
    fn end(&self) -> u64 {
        self.place + self.bytes.len() as u64
    }
}

/// What a log gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPiece<'a> {
    /// Bytes that are no part of the stream.
    Inserted(&'a [u8]),
    /// Bytes of the stream from `start` on; those from `offset` up to there are only for replicas.
    Stream { offset: u64, start: u64, bytes: &'a [u8] },
}

/// See the module's description.
#[derive(Debug)]
pub struct Backlog {
    /// All but the last are `CHUNK` bytes long.
    chunks: VecDeque<Vec<u8>>,
    /// An empty chunk for the next time that one is needed.
    spare: Option<Vec<u8>>,
    /// Offset of the first byte of the first chunk.
    start: u64,
    /// Offset of the next byte.
    end: u64,
    /// Bytes kept though all readers have them, at least; a chunk more at most. `None`: the stream is kept for readers alone.
    retained: Option<u64>,
    readers: Slab<Reader>,
    /// How many of them are logs.
    logs: usize,
    /// Where bytes lie that are only for replicas, ascending, as far as a log has yet to pass them. Two touch only where something is
    /// inserted.
    replica_ranges: VecDeque<Range<u64>>,
    /// What is only for logs, ascending, as far as it isn't consumed; and how many bytes there have ever been.
    inserts: VecDeque<Insert>,
    inserted: u64,
}

#[derive(Debug)]
struct Reader {
    kind: ReaderKind,
    /// The offset of the byte that it wants next. That of a log never lies in one of the `replica_ranges`.
    position: u64,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Backlog {
            chunks: VecDeque::new(),
            spare: None,
            start: 0,
            end: 0,
            retained: None,
            readers: Slab::new(),
            logs: 0,
            replica_ranges: VecDeque::new(),
            inserts: VecDeque::new(),
            inserted: 0,
        }
    }

    /// Offset of the first byte that can still be read.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the byte that will be appended next.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Lets the stream go on at this offset, as in the process before; not while there are readers.
    pub(super) fn resume_at(&mut self, offset: u64) {
        debug_assert!(!self.has_readers());
        (self.start, self.end) = (offset, offset);
    }

    /// Drops everything and goes on at this offset, with all readers.
    pub(super) fn restart_at(&mut self, offset: u64) {
        self.chunks.clear();
        self.replica_ranges.clear();
        self.inserts.clear();
        (self.start, self.end) = (offset, offset);
        self.readers.iter_mut().for_each(|(_, reader)| reader.position = offset);
    }

    /// Whether the stream has to be made at all.
    #[inline]
    pub fn has_readers(&self) -> bool {
        !self.readers.is_empty() || self.retained.is_some()
    }

    #[inline]
    pub fn has_replicas(&self) -> bool {
        self.readers.len() > self.logs || self.retained.is_some()
    }

    #[inline]
    pub fn has_logs(&self) -> bool {
        self.logs > 0
    }

    /// How many of the newest bytes are kept for replicas that come back; `None`: none are.
    pub fn retained(&self) -> Option<u64> {
        self.retained
    }

    /// Keeps so many of the newest bytes from now on.
    pub(super) fn retain(&mut self, bytes: Option<u64>) {
        self.retained = bytes;
        self.trim();
    }

    /// Adds bytes at the end, for all readers.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        match self.chunks.back_mut() {
            Some(last) if last.len() + bytes.len() <= CHUNK => last.extend_from_slice(bytes),
            _ => self.append_in_parts(bytes),
        }
    }

    #[cold]
    fn append_in_parts(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.chunks.back().is_none_or(|last| last.len() == CHUNK) {
                let chunk = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK));
                self.chunks.push_back(chunk);
            }
            let Some(last) = self.chunks.back_mut() else { return };
            let (now, later) = rest.split_at(rest.len().min(CHUNK - last.len()));
            last.extend_from_slice(now);
            rest = later;
        }
    }

    /// Adds bytes at the end, which logs don't get.
    pub fn append_for_replicas(&mut self, bytes: &[u8]) {
        let start = self.end;
        self.append(bytes);
        if self.logs == 0 || bytes.is_empty() {
            return;
        }
        let has_insert = self.inserts.back().is_some_and(|insert| insert.offset == start);
        match self.replica_ranges.back_mut() {
            Some(last) if last.end == start && !has_insert => last.end = self.end,
            _ => self.replica_ranges.push_back(start..self.end),
        }
        for (_, reader) in self.readers.iter_mut() {
            if reader.kind == ReaderKind::Log && reader.position == start {
                reader.position = self.end;
            }
        }
    }

    /// Adds bytes for logs alone, before what is appended next.
    pub(super) fn insert_for_logs(&mut self, bytes: &[u8]) {
        if self.logs == 0 {
            return;
        }
        let place = self.log_end();
        self.inserted += bytes.len() as u64;
        match self.inserts.back_mut() {
            Some(last) if last.offset == self.end => last.bytes.extend_from_slice(bytes),
            _ => self.inserts.push_back(Insert { offset: self.end, place, bytes: bytes.to_vec() }),
        }
    }

    /// A log's place behind everything.
    #[inline]
    pub fn log_end(&self) -> u64 {
        self.end + self.inserted
    }

    /// What is inserted at a log's place, or first behind it.
    fn insert_from(&self, place: u64) -> Option<&Insert> {
        self.inserts.get(self.inserts.partition_point(|insert| insert.end() <= place))
    }

    /// The offset of the stream that a log has reached at a place that it has not consumed yet.
    pub fn offset_at(&self, place: u64) -> u64 {
        match self.insert_from(place) {
            Some(insert) => insert.offset - insert.place.saturating_sub(place),
            None => place - self.inserted,
        }
    }

    /// What a log gets from one of its places on, which is before `to`, as far as it lies in one piece.
    pub fn log_piece(&self, reader: ReaderId, from: u64, to: u64) -> Result<LogPiece<'_>, FellBehind> {
        let next = self.insert_from(from);
        if let Some(insert) = next.filter(|insert| insert.place <= from) {
            let rest = &insert.bytes[(from - insert.place) as usize..];
            return Ok(LogPiece::Inserted(&rest[..rest.len().min((to - from) as usize)]));
        }
        let offset = self.offset_at(from);
        let end = offset + next.map_or(to, |insert| insert.place.min(to)) - from;
        let first = offset.max(self.position(reader)).min(end);
        let (start, bytes) = self.read_from(reader, first)?;
        let start = start.min(end);
        let bytes = &bytes[..bytes.len().min((end - start) as usize)];
        Ok(LogPiece::Stream { offset, start, bytes })
    }

    /// A log has consumed everything before one of its places.
    pub fn consume_log(&mut self, reader: ReaderId, place: u64) {
        let offset = self.offset_at(place);
        while self.inserts.front().is_some_and(|insert| insert.end() <= place) {
            self.inserts.pop_front();
        }
        // Its position is beyond that where bytes for replicas follow.
        self.consume(reader, offset.saturating_sub(self.position(reader)) as usize);
    }

    /// Lets a reader begin with what is appended next.
    pub(super) fn attach(&mut self, kind: ReaderKind) -> ReaderId {
        self.logs += usize::from(kind == ReaderKind::Log);
        ReaderId(self.readers.insert(Reader { kind, position: self.end }))
    }

    /// Lets a replica begin at `offset`, if that is still kept.
    pub(super) fn attach_at(&mut self, offset: u64) -> Result<ReaderId, FellBehind> {
        if (self.start..=self.end).contains(&offset) {
            Ok(ReaderId(self.readers.insert(Reader { kind: ReaderKind::Replica, position: offset })))
        } else {
            Err(FellBehind)
        }
    }

    /// Ends a reader.
    pub(super) fn detach(&mut self, reader: ReaderId) {
        if let Some(gone) = self.readers.try_remove(reader.0) {
            self.logs -= usize::from(gone.kind == ReaderKind::Log);
        }
        if self.logs == 0 {
            self.inserts = VecDeque::new();
        }
        if !self.has_readers() {
            self.trim();
            self.spare = None;
        }
    }

    /// The offset of the byte that a reader wants next.
    pub fn position(&self, reader: ReaderId) -> u64 {
        self.readers[reader.0].position
    }

    /// Bytes from a reader's place on, as far as they lie in one piece; none if it has read everything.
    pub fn read(&self, reader: ReaderId) -> Result<&[u8], FellBehind> {
        self.read_from(reader, self.position(reader)).map(|(_, piece)| piece)
    }

    /// [`Self::read`] for a reader that has been given everything up to an offset but hasn't consumed it yet; also the offset where
    /// the piece begins, which lies behind what is only for replicas.
    pub fn read_from(&self, reader: ReaderId, offset: u64) -> Result<(u64, &[u8]), FellBehind> {
        let kind = self.readers[reader.0].kind;
        let position = if kind == ReaderKind::Log { self.behind_ranges(offset) } else { offset };
        let ahead = position.checked_sub(self.start).ok_or(FellBehind)? as usize;
        let piece = self.chunks.get(ahead / CHUNK).map_or(&[][..], |chunk| &chunk[ahead % CHUNK..]);
        let next = self.replica_range_from(position).filter(|_| kind == ReaderKind::Log);
        let len = next.map_or(piece.len(), |range| piece.len().min((range.start - position) as usize));
        Ok((position, &piece[..len]))
    }

    /// A reader has consumed this many of the bytes that it was given.
    pub fn consume(&mut self, reader: ReaderId, bytes: usize) {
        let &Reader { kind, position } = &self.readers[reader.0];
        let position = (position + bytes as u64).min(self.end);
        self.readers[reader.0].position =
            if kind == ReaderKind::Log { self.behind_ranges(position) } else { position };
    }

    /// The first offset from this one on that is not only for replicas.
    fn behind_ranges(&self, mut offset: u64) -> u64 {
        while let Some(range) = self.replica_range_from(offset).filter(|range| range.start == offset) {
            offset = range.end;
        }
        offset
    }

    /// The first of the replicas' ranges that begins at an offset or behind it.
    fn replica_range_from(&self, offset: u64) -> Option<&Range<u64>> {
        let at = self.replica_ranges.partition_point(|range| range.start < offset);
        self.replica_ranges.get(at)
    }

    /// Releases what no reader wants and is not retained. Called once a turn.
    pub fn trim(&mut self) {
        let wanted_by = |kind| {
            let readers = self.readers.iter().filter(move |(_, reader)| reader.kind == kind);
            readers.map(|(_, reader)| reader.position).min().unwrap_or(self.end)
        };
        let retained = self.retained.map_or(self.end, |bytes| self.end.saturating_sub(bytes));
        let keep = wanted_by(ReaderKind::Log).min(wanted_by(ReaderKind::Replica)).min(retained);
        while keep - self.start.min(keep) >= CHUNK as u64
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            self.start += chunk.len() as u64;
            chunk.clear();
            self.spare = Some(chunk);
        }
        if keep == self.end {
            self.start = self.end;
            self.chunks.truncate(1);
            self.chunks.iter_mut().for_each(Vec::clear);
        }
        self.forget_passed_ranges();
    }

    /// Forgets the replicas' ranges that every log has passed.
    fn forget_passed_ranges(&mut self) {
        let logs = self.readers.iter().filter(|(_, reader)| reader.kind == ReaderKind::Log);
        let passed = logs.map(|(_, reader)| reader.position).min().unwrap_or(self.end).max(self.start);
        while self.replica_ranges.front().is_some_and(|range| range.end <= passed) {
            self.replica_ranges.pop_front();
        }
        if self.replica_ranges.is_empty() {
            self.replica_ranges.shrink_to(KEPT_RANGES);
        }
    }

    /// Bytes allocated.
    pub fn memory_usage(&self) -> usize {
        (self.chunks.len() + usize::from(self.spare.is_some())) * CHUNK
            + self.chunks.capacity() * size_of::<Vec<u8>>()
            + self.replica_ranges.capacity() * size_of::<Range<u64>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn read_all(backlog: &mut Backlog, reader: ReaderId) -> Result<Vec<u8>, FellBehind> {
        let mut bytes = Vec::new();
        loop {
            let piece = backlog.read(reader)?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            let count = piece.len();
            bytes.extend_from_slice(piece);
            backlog.consume(reader, count);
        }
    }

    /// Readers that consume any amounts, at any times, get exactly what was appended; what is retained can be read again.
    #[test]
    fn readers_get_what_was_appended() {
        const RETAINED: u64 = 3 * CHUNK as u64;
        let mut rng = Rng::new(1);
        let mut backlog = Backlog::new();
        backlog.retain(Some(RETAINED));
        let mut all = Vec::new();
        let mut readers: Vec<ReaderId> = Vec::new();
        let mut refused = 0;
        for _ in 0..4000 {
            match rng.below(12) {
                0 if readers.len() < 4 => {
                    let back = rng.below(2 * RETAINED).min(backlog.end());
                    match backlog.attach_at(backlog.end() - back) {
                        Ok(reader) => readers.push(reader),
                        Err(FellBehind) => {
                            assert!(back > RETAINED);
                            refused += 1;
                        }
                    }
                }
                1 if readers.len() > 1 => backlog.detach(readers.remove(0)),
                2 => backlog.trim(),
                3..=5 if !readers.is_empty() => {
                    let reader = readers[rng.below(readers.len() as u64) as usize];
                    let from = backlog.position(reader) as usize;
                    let piece = backlog.read(reader).expect("it is kept for its reader");
                    assert_eq!(piece, &all[from..from + piece.len()]);
                    assert_eq!(piece.is_empty(), from == all.len());
                    let count = rng.below(piece.len() as u64 + 1) as usize;
                    backlog.consume(reader, count);
                }
                _ => {
                    let most = if rng.below(30) == 0 { 3 * CHUNK as u64 } else { 300 };
                    let size = rng.below(most) as usize;
                    let bytes = vec![rng.next_u64() as u8; size];
                    backlog.append(&bytes);
                    all.extend_from_slice(&bytes);
                }
            }
            assert_eq!(backlog.end(), all.len() as u64);
        }
        assert!(refused > 0);
    }

    #[test]
    fn what_all_have_read_is_released() {
        let mut backlog = Backlog::new();
        let (one, other) = (backlog.attach(ReaderKind::Log), backlog.attach(ReaderKind::Replica));
        for _ in 0..100 {
            backlog.append(&[7; CHUNK / 2 + 1]);
        }
        assert_eq!(read_all(&mut backlog, one).map(|bytes| bytes.len()), Ok(100 * (CHUNK / 2 + 1)));
        backlog.trim();
        let list = backlog.chunks.capacity() * size_of::<Vec<u8>>();
        assert_eq!((backlog.start(), backlog.memory_usage()), (0, 51 * CHUNK + list));
        assert!(read_all(&mut backlog, other).is_ok());
        backlog.trim();
        assert_eq!(backlog.start(), backlog.end());
        assert!(backlog.memory_usage() <= 2 * CHUNK + list);
        // The chunks that are kept serve the next bytes.
        backlog.append(b"next");
        assert_eq!(read_all(&mut backlog, other), Ok(b"next".to_vec()));
        backlog.detach(one);
        backlog.detach(other);
        assert_eq!(backlog.start(), backlog.end());
    }

    #[test]
    fn the_newest_bytes_are_retained() {
        let mut backlog = Backlog::new();
        assert!(!backlog.has_readers());
        backlog.retain(Some(CHUNK as u64));
        assert!(backlog.has_readers() && backlog.has_replicas());
        backlog.append(&[1; 3 * CHUNK]);
        backlog.trim();
        assert_eq!((backlog.start(), backlog.attach_at(0)), (2 * CHUNK as u64, Err(FellBehind)));
        assert_eq!(backlog.attach_at(3 * CHUNK as u64 + 1), Err(FellBehind));
        let replica = backlog.attach_at(2 * CHUNK as u64).expect("it is retained");
        backlog.append(&[2; 5 * CHUNK]);
        backlog.trim();
        // What a reader lacks is kept, however far it lags.
        assert_eq!(read_all(&mut backlog, replica).map(|bytes| bytes.len()), Ok(6 * CHUNK));
        backlog.trim();
        assert_eq!(backlog.start(), 7 * CHUNK as u64);
        backlog.detach(replica);
        backlog.retain(None);
        assert!(!backlog.has_readers() && backlog.start() == backlog.end());
    }

    /// A log gets what is for all, a replica everything, however they are cut into pieces.
    #[test]
    fn a_log_skips_what_is_for_replicas() {
        let mut rng = Rng::new(2);
        let mut backlog = Backlog::new();
        let (log, replica) = (backlog.attach(ReaderKind::Log), backlog.attach(ReaderKind::Replica));
        let (mut for_log, mut for_all, mut logged, mut replicated) = (vec![], vec![], vec![], vec![]);
        for _ in 0..3000 {
            let most = if rng.below(50) == 0 { 2 * CHUNK as u64 } else { 40 };
            let bytes = vec![rng.next_u64() as u8; rng.below(most) as usize];
            for_all.extend_from_slice(&bytes);
            if rng.below(2) == 0 {
                backlog.append_for_replicas(&bytes);
            } else {
                backlog.append(&bytes);
                for_log.extend_from_slice(&bytes);
            }
            for (reader, got) in [(log, &mut logged), (replica, &mut replicated)] {
                while rng.below(3) > 0 {
                    let piece = backlog.read(reader).expect("it is kept");
                    let count = rng.below(piece.len() as u64 + 1) as usize;
                    got.extend_from_slice(&piece[..count]);
                    backlog.consume(reader, count);
                }
            }
            if rng.below(10) == 0 {
                backlog.trim();
            }
        }
        logged.extend(read_all(&mut backlog, log).expect("it is kept"));
        replicated.extend(read_all(&mut backlog, replica).expect("it is kept"));
        assert!(logged == for_log && replicated == for_all);
        assert_eq!(backlog.position(log), backlog.end());
        backlog.trim();
        assert!(backlog.replica_ranges.is_empty());
    }

    #[test]
    fn what_is_for_replicas_is_noted_only_for_a_log() {
        let mut backlog = Backlog::new();
        let replica = backlog.attach(ReaderKind::Replica);
        backlog.append_for_replicas(b"x");
        assert!(backlog.replica_ranges.is_empty());
        let log = backlog.attach(ReaderKind::Log);
        for _ in 0..10_000 {
            backlog.append_for_replicas(b"message");
            backlog.append(b"write");
        }
        assert_eq!(backlog.replica_ranges.len(), 10_000);
        backlog.detach(log);
        backlog.trim();
        assert!(backlog.memory_usage() < 4 * CHUNK, "{}", backlog.memory_usage());
        assert_eq!(read_all(&mut backlog, replica).map(|bytes| bytes.len()), Ok(1 + 10_000 * 12));
    }
}
