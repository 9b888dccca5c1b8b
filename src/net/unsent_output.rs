//! Unsent output of a connection: a queue of chunks, in the order in which they are to be sent.
//!
//! ```text
//! chunks   [ sent | unsent ] [ unsent ] … [ unsent | room ]
//! ```
//!
//! In chunks, because then a backlog is neither moved nor copied when it grows or shrinks. A long message is a
//! chunk that the outputs of all its receivers share. This module writes to no socket.

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

/// A queue of unsent bytes. Invariant: no chunk is empty, and `sent` is less than the first one's length.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that have gone out.
    sent: usize,
    /// Bytes that have not.
    len: usize,
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

    /// The first chunks, as far as `slices` has room: how many.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(&chunk.bytes()[skip..]);
            (count, skip) = (count + 1, 0);
        }
        count
    }

    /// Forgets the first `bytes`, which have gone out.
    pub fn advance(&mut self, mut bytes: usize) {
        debug_assert!(bytes <= self.len);
        self.len -= bytes;
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
                output.push_piece(PieceBytes { bytes: &bytes, shared }, sent as usize);
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
