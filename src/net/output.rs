//! Unsent output of a connection: a queue of chunks, in the order in which they are to be sent.
//!
//! ```text
//! chunks   [ sent | unsent ] [ unsent ] … [ unsent | room ]
//! ```
//!
//! In chunks, because then a backlog is neither moved nor copied when it grows or shrinks. It writes to no socket.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Room of a chunk for small replies, bytes; what is bigger gets a chunk of its own size.
const CHUNK: usize = 16 * 1024;
/// Pieces written at once.
pub const PIECES: usize = 16;

/// A queue of unsent bytes. Invariant: no chunk is empty, and `sent` is less than the first one's length.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Vec<u8>>,
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

    /// Appends bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(last) = self.chunks.back_mut() {
            let room = bytes.len().min(last.capacity() - last.len());
            last.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
        }
        if !bytes.is_empty() {
            let mut chunk = Vec::with_capacity(bytes.len().max(CHUNK));
            chunk.extend_from_slice(bytes);
            self.chunks.push_back(chunk);
        }
    }

    /// The first pieces, and `tail` behind them if they are all. The number of pieces is at most `PIECES`.
    pub fn pieces<'a>(&'a self, tail: &'a [u8], pieces: &mut [IoSlice<'a>; PIECES]) -> usize {
        let mut count = 0;
        let mut skip = self.sent;
        for chunk in self.chunks.iter().take(PIECES) {
            pieces[count] = IoSlice::new(&chunk[skip..]);
            (count, skip) = (count + 1, 0);
        }
        if count == self.chunks.len() && count < PIECES && !tail.is_empty() {
            pieces[count] = IoSlice::new(tail);
            count += 1;
        }
        count
    }

    /// Forgets the first `bytes`, which have gone out.
    pub fn advance(&mut self, mut bytes: usize) {
        debug_assert!(bytes <= self.len);
        self.len -= bytes;
        while let Some(first) = self.chunks.front() {
            let unsent = first.len() - self.sent;
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

    fn gather(output: &Output, tail: &[u8]) -> Vec<u8> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = output.pieces(tail, &mut pieces);
        pieces[..count].iter().flat_map(|piece| piece.iter().copied()).collect()
    }

    #[test]
    fn nothing_is_lost_or_moved() {
        let mut rng = Rng::new(11);
        let (mut output, mut model) = (Output::default(), VecDeque::new());
        for _ in 0..2000 {
            if rng.below(3) > 0 {
                let bytes: Vec<u8> = (0..rng.below(3000)).map(|_| rng.next_u64() as u8).collect();
                output.push(&bytes);
                model.extend(&bytes);
            } else {
                let sent = rng.below(model.len() as u64 + 1).min(rng.below(9000)) as usize;
                output.advance(sent);
                model.drain(..sent);
            }
            assert_eq!((output.len(), output.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(output.chunks.is_empty(), model.is_empty());
            let expected: Vec<u8> = model.iter().copied().chain(*b"tail").collect();
            let pieces = gather(&output, b"tail");
            assert_eq!(pieces, expected[..pieces.len()]);
            assert!(output.chunks.len() >= PIECES || pieces.len() == expected.len());
        }
    }
}
