//! Unsent output of a connection: a queue of chunks, in the order in which they are to be sent.
//!
//! ```text
//! chunks   [ sent | unsent ] [ unsent ] … [ unsent | room ]
//! ```
//!
//! In chunks, because then a backlog is neither moved nor copied when it grows or shrinks. A long message is a
//! chunk that the outputs of all its receivers share. This module writes to no socket.
//!
//! What tells of a write that the log doesn't hold durably yet (`appendfsync always`) is held, in at most two parts:
//!
//! ```text
//! unsent   [ may be sent | first part: waits for an offset | rest: waits for another ]
//! ```
//!
//! What is added raises the offset of the rest alone, so that the first part goes with its own sync however much comes, and the rest
//! becomes the first part then.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::turn_output::PieceBytes;

/// Room of a chunk for small replies, bytes; longer ones get a chunk of their own size.
const CHUNK: usize = 16 * 1024;
/// Chunks written at once.
pub const SLICES: usize = 64;

/// Some unsent bytes, those of the first chunk from `Output::sent` on.
#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Own(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

/// Which unsent bytes wait for the log. Offsets are those of the command stream, places those of bytes in the output.
#[derive(Clone, Copy, Debug)]
struct LogWait {
    /// Where the first part begins.
    start: usize,
    /// What it waits for.
    until: u64,
    /// Where the rest begins, and what that waits for.
    rest: Option<(usize, u64)>,
}

/// A queue of unsent bytes. Invariant: no chunk is empty, and `sent` is less than the first one's length.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that have gone out.
    sent: usize,
    /// Bytes that have not.
    len: usize,
    /// What of them may not go yet.
    log_wait: Option<LogWait>,
}

impl Output {
    /// Unsent bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all chunks, what has gone out of the first one included.
    pub fn held(&self) -> usize {
        self.len + self.sent
    }

    /// Whether some of it waits for the log.
    pub fn waits_for_log(&self) -> bool {
        self.log_wait.is_some()
    }

    /// Holds what is appended from now on until the log is durable up to `offset`. True unless something waits for that already.
    pub fn hold(&mut self, offset: u64) -> bool {
        let Some(held) = &mut self.log_wait else {
            self.log_wait = Some(LogWait { start: self.len, until: offset, rest: None });
            return true;
        };
        match &mut held.rest {
            None if held.until == offset => return false,
            None => held.rest = Some((self.len, offset)),
            Some((_, last)) if *last == offset => return false,
            Some((_, last)) => *last = offset,
        }
        true
    }

    /// The log is durable up to `offset`.
    pub fn release(&mut self, offset: u64) {
        while let Some(held) = self.log_wait.filter(|held| held.until <= offset) {
            self.log_wait = held.rest.map(|(start, until)| LogWait { start, until, rest: None });
        }
    }

    /// Bytes that may be sent.
    pub fn sendable(&self) -> usize {
        self.log_wait.map_or(self.len, |held| held.start)
    }

    /// Appends a piece but for its first `sent` bytes. What is shared is held, not copied.
    pub fn push_piece(&mut self, piece: PieceBytes<'_>, sent: usize) {
        match piece.shared {
            // Only the first chunk may be sent in part.
            Some(bytes) if sent == 0 || self.chunks.is_empty() => {
                if sent < bytes.len() {
                    self.len += bytes.len() - sent;
                    self.sent = if self.chunks.is_empty() { sent } else { self.sent };
                    self.chunks.push_back(Chunk::Shared(bytes.clone()));
                }
            }
            _ => self.push(&piece.bytes[sent..]),
        }
    }

    /// Appends a copy of `bytes`.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(Chunk::Own(last)) = self.chunks.back_mut() {
            let room = bytes.len().min(last.capacity() - last.len());
            last.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
        }
        if !bytes.is_empty() {
            let mut chunk = Vec::with_capacity(bytes.len().max(CHUNK));
            chunk.extend_from_slice(bytes);
            self.chunks.push_back(Chunk::Own(chunk));
        }
    }

    /// Appends `bytes`, which become a chunk of their own unless they are small beside others.
    pub fn push_vec(&mut self, bytes: Vec<u8>) {
        if bytes.is_empty() || (!self.chunks.is_empty() && bytes.len() < CHUNK / 8) {
            return self.push(&bytes);
        }
        self.len += bytes.len();
        self.chunks.push_back(Chunk::Own(bytes));
    }

    /// The first chunks of what may be sent, as far as `slices` has room: how many.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        let mut left = self.sendable();
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            if left == 0 {
                break;
            }
            let unsent = &chunk.bytes()[skip..];
            let piece = &unsent[..unsent.len().min(left)];
            *slice = IoSlice::new(piece);
            (count, skip, left) = (count + 1, 0, left - piece.len());
        }
        count
    }

    /// Forgets the first `bytes`, which have gone out.
    pub fn advance(&mut self, mut bytes: usize) {
        debug_assert!(bytes <= self.sendable());
        self.len -= bytes;
        if let Some(held) = &mut self.log_wait {
            held.start -= bytes;
            if let Some((start, _)) = &mut held.rest {
                *start -= bytes;
            }
        }
        while let Some(first) = self.chunks.front() {
            let unsent = first.bytes().len() - self.sent;
            if bytes < unsent {
                self.sent += bytes;
                return;
            }
            bytes -= unsent;
            self.sent = 0;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn gather(output: &Output) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn nothing_is_lost_or_moved() {
        let mut rng = Rng::new(11);
        let (mut output, mut model) = (Output::default(), VecDeque::new());
        for _ in 0..2000 {
            if rng.below(3) > 0 {
                let bytes: Vec<u8> = (0..1 + rng.below(3000)).map(|_| rng.next_u64() as u8).collect();
                let shared = Arc::new(bytes.clone());
                let shared = (rng.below(2) == 0).then_some(&shared);
                let sent = rng.below(2) * rng.below(bytes.len() as u64 + 1);
                match rng.below(3) {
                    0 => output.push_vec(bytes[sent as usize..].to_vec()),
                    _ => output.push_piece(PieceBytes { bytes: &bytes, shared }, sent as usize),
                }
                model.extend(&bytes[sent as usize..]);
            } else {
                let sent = rng.below(model.len() as u64 + 1).min(rng.below(9000)) as usize;
                output.advance(sent);
                model.drain(..sent);
            }
            assert_eq!((output.len(), output.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(output.chunks.is_empty(), model.is_empty());
            let chunks: usize = output.chunks.iter().map(|chunk| chunk.bytes().len()).sum();
            assert_eq!(output.held(), chunks);
            let expected: Vec<u8> = model.iter().copied().collect();
            let slices = gather(&output);
            assert_eq!(slices, expected[..slices.len()]);
            assert!(output.chunks.len() >= SLICES || slices.len() == expected.len());
        }
    }

    #[test]
    fn held_parts_go_in_order_and_in_finite_time() {
        let mut rng = Rng::new(12);
        for round in 0..300 {
            // For each unsent byte the offset that it waits for.
            let (mut output, mut model) = (Output::default(), VecDeque::<u64>::new());
            let (mut end, mut durable) = (0, 0);
            // What a sync makes durable that has begun; how many bytes had been appended then, and when the one before began.
            let (mut syncing, mut begun, mut begun_before) = (0, 0, 0);
            let (mut appended, mut sent) = (0, 0);
            for _ in 0..200 {
                match rng.below(4) {
                    0 => {
                        end += 1;
                        output.hold(end);
                        output.push(&[0; 7]);
                        model.extend([end; 7]);
                        appended += 7;
                    }
                    1 => {
                        output.push(&[1; 3]);
                        model.extend([model.back().copied().unwrap_or(0); 3]);
                        appended += 3;
                    }
                    2 => {
                        durable = syncing;
                        output.release(durable);
                        assert!(sent + output.sendable() >= begun_before, "round {round}: it waits too long");
                        (syncing, begun_before, begun) = (end, begun, appended);
                    }
                    _ => {
                        let count = rng.below(output.sendable() as u64 + 1) as usize;
                        assert!(model.drain(..count).all(|offset| offset <= durable), "round {round}");
                        output.advance(count);
                        sent += count;
                    }
                }
                assert_eq!((output.len(), gather(&output).len()), (model.len(), output.sendable()));
            }
            output.release(end);
            assert!(!output.waits_for_log() && output.sendable() == model.len());
        }
    }

    /// A message of the bus waits in its own memory, and a backlog of small ones in few chunks.
    #[test]
    fn what_is_given_away_is_not_copied() {
        let (mut output, bytes) = (Output::default(), vec![7; 2400]);
        let place = bytes.as_ptr();
        output.push_vec(bytes);
        assert_eq!((output.chunks[0].bytes().as_ptr(), output.len()), (place, 2400));
        for _ in 0..1000 {
            output.push_vec(vec![8; 16]);
        }
        assert_eq!((output.len(), output.chunks.len()), (18_400, 2));
        output.push_vec(Vec::new());
        output.advance(18_400);
        output.push_vec(Vec::new());
        assert!(output.is_empty() && output.chunks.is_empty());
    }

    #[test]
    fn what_is_shared_is_not_copied() {
        let value = Arc::new(vec![b'v'; 100_000]);
        let mut outputs: Vec<Output> = (0..10).map(|_| Output::default()).collect();
        for output in &mut outputs {
            output.push_piece(PieceBytes { bytes: &value, shared: Some(&value) }, 70_000);
            output.push_piece(PieceBytes { bytes: &value, shared: Some(&value) }, 0);
            // A value that is half out is still held as a whole.
            assert_eq!((output.len(), output.held()), (130_000, 200_000));
        }
        assert_eq!(Arc::strong_count(&value), 21);
        for output in &mut outputs {
            output.advance(30_000);
            assert_eq!((output.len(), output.held()), (100_000, 100_000));
            output.advance(1);
            assert_eq!((output.len(), output.held()), (99_999, 100_000));
        }
        assert_eq!(Arc::strong_count(&value), 11);
        drop(outputs);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
