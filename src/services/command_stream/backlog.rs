//! The backlog: the newest bytes of the command stream, at offsets that only grow, for any number of readers.
//!
//! ```text
//!            start           reader a    reader b             end
//!   released | chunk        ^| chunk    ^   | chunk …          |
//! ```
//!
//! Bytes lie in chunks of one size; all but the last are full, so an offset finds its chunk by division. What every
//! reader has consumed is released, and so is what lies further back than the window, whether it was read or not:
//! a reader that lags behind it gets [`FellBehind`] and has to begin anew (a replica by a full synchronization).
//! Without readers nothing is kept. No I/O: a reader gets slices.

use std::collections::VecDeque;

use slab::Slab;

/// Bytes of a chunk.
const CHUNK: usize = 64 * 1024;

/// A reader's place in the backlog's list, until [`Backlog::detach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderId(usize);

/// The bytes that a reader wants next have been released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FellBehind;

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
    /// Bytes kept for readers that lag, at least; a chunk more at most.
    window: u64,
    /// The offset of the byte that each reader wants next.
    readers: Slab<u64>,
}

impl Backlog {
    /// Keeps `window` bytes for readers that lag.
    pub fn new(window: u64) -> Self {
        Backlog { chunks: VecDeque::new(), spare: None, start: 0, end: 0, window, readers: Slab::new() }
    }

    /// Offset of the first byte that can still be read.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the byte that will be appended next.
    pub fn end(&self) -> u64 {
        self.end
    }

    #[inline]
    pub fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Adds bytes at the end.
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

    /// Lets a reader begin with what is appended next.
    pub fn attach(&mut self) -> ReaderId {
        ReaderId(self.readers.insert(self.end))
    }

    /// Lets a reader begin at `offset`, if that is still kept.
    pub fn attach_at(&mut self, offset: u64) -> Result<ReaderId, FellBehind> {
        if (self.start..=self.end).contains(&offset) {
            Ok(ReaderId(self.readers.insert(offset)))
        } else {
            Err(FellBehind)
        }
    }

    /// Ends a reader.
    pub fn detach(&mut self, reader: ReaderId) {
        self.readers.try_remove(reader.0);
        if !self.has_readers() {
            self.trim();
            self.spare = None;
        }
    }

    /// The offset of the byte that a reader wants next.
    pub fn position(&self, reader: ReaderId) -> u64 {
        self.readers[reader.0]
    }

    /// Bytes from a reader's place on, as far as they lie in one piece; none if it has read everything.
    pub fn read(&self, reader: ReaderId) -> Result<&[u8], FellBehind> {
        let ahead = self.position(reader).checked_sub(self.start).ok_or(FellBehind)? as usize;
        Ok(self.chunks.get(ahead / CHUNK).map_or(&[], |chunk| &chunk[ahead % CHUNK..]))
    }

    /// A reader has consumed this many of the bytes that it was given.
    pub fn consume(&mut self, reader: ReaderId, bytes: usize) {
        let position = &mut self.readers[reader.0];
        *position = (*position + bytes as u64).min(self.end);
    }

    /// Releases what no reader wants and what lies further back than the window. Called once a turn, when the
    /// readers have had their chance: until then nothing is lost, however much a turn appends.
    pub fn trim(&mut self) {
        let wanted = self.readers.iter().map(|(_, position)| *position).min().unwrap_or(self.end);
        let keep = wanted.max(self.end.saturating_sub(self.window));
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
    }

    /// Bytes allocated.
    pub fn memory_usage(&self) -> usize {
        (self.chunks.len() + usize::from(self.spare.is_some())) * CHUNK
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

    /// Readers that consume any amounts, at any times, get exactly what was appended, or learn that they lag.
    #[test]
    fn readers_get_what_was_appended() {
        const WINDOW: u64 = 3 * CHUNK as u64;
        let mut rng = Rng::new(1);
        let mut backlog = Backlog::new(WINDOW);
        let mut all = Vec::new();
        let mut readers: Vec<ReaderId> = Vec::new();
        let mut lagged = 0;
        for _ in 0..4000 {
            match rng.below(12) {
                0 if readers.len() < 4 => {
                    let back = rng.below(2 * WINDOW).min(backlog.end());
                    match backlog.attach_at(backlog.end() - back) {
                        Ok(reader) => readers.push(reader),
                        Err(FellBehind) => assert!(backlog.end() - back < backlog.start()),
                    }
                }
                1 if readers.len() > 1 => backlog.detach(readers.remove(0)),
                2 => backlog.trim(),
                3..=5 if !readers.is_empty() => {
                    let reader = readers[rng.below(readers.len() as u64) as usize];
                    let from = backlog.position(reader) as usize;
                    match backlog.read(reader) {
                        Ok(piece) => {
                            assert_eq!(piece, &all[from..from + piece.len()]);
                            assert_eq!(piece.is_empty(), from == all.len());
                            let count = rng.below(piece.len() as u64 + 1) as usize;
                            backlog.consume(reader, count);
                        }
                        Err(FellBehind) => {
                            assert!(all.len() - from > WINDOW as usize);
                            backlog.detach(reader);
                            readers.retain(|other| *other != reader);
                            lagged += 1;
                        }
                    }
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
        assert!(lagged > 0);
    }

    #[test]
    fn what_all_have_read_is_released() {
        let mut backlog = Backlog::new(1 << 30);
        let (one, other) = (backlog.attach(), backlog.attach());
        for _ in 0..100 {
            backlog.append(&[7; CHUNK / 2 + 1]);
        }
        assert_eq!(read_all(&mut backlog, one).map(|bytes| bytes.len()), Ok(100 * (CHUNK / 2 + 1)));
        backlog.trim();
        assert_eq!((backlog.start(), backlog.memory_usage()), (0, 51 * CHUNK));
        assert!(read_all(&mut backlog, other).is_ok());
        backlog.trim();
        assert_eq!(backlog.start(), backlog.end());
        assert!(backlog.memory_usage() <= 2 * CHUNK);
        // The chunks that are kept serve the next bytes.
        backlog.append(b"next");
        assert_eq!(read_all(&mut backlog, other), Ok(b"next".to_vec()));
        backlog.detach(one);
        backlog.detach(other);
        assert_eq!(backlog.start(), backlog.end());
    }

    #[test]
    fn a_reader_that_lags_is_told() {
        let mut backlog = Backlog::new(CHUNK as u64);
        let reader = backlog.attach();
        backlog.append(&[1; 3 * CHUNK]);
        // Nothing is lost before the turn ends.
        assert_eq!(backlog.read(reader).map(<[u8]>::len), Ok(CHUNK));
        backlog.trim();
        assert_eq!(backlog.read(reader), Err(FellBehind));
        assert_eq!(backlog.attach_at(0), Err(FellBehind));
        let newest = backlog.attach_at(2 * CHUNK as u64).expect("within the window");
        assert_eq!(read_all(&mut backlog, newest), Ok(vec![1; CHUNK]));
    }
}
