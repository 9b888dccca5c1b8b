//! The output of a turn: all replies in one buffer, and for each connection the chain of its pieces.
//!
//! ```text
//! replies   [ +OK of c3 ][ $5 of c7 ][ :1 of c3 ] …     one buffer, reused by all connections and turns
//! messages  [ message a ][ message b ] …                the outbox's, each stored once
//! chain c3  replies 0..5 → messages 0..80 → replies 16..20
//! ```
//!
//! A connection's pieces are in the order in which they were added, whatever added them. A piece that begins where the
//! connection's last one ends is no further piece: a subscriber of eight messages in a row has one. The pieces of a
//! turn are sent at its end, with one `write` a connection. This module writes to no socket.

use std::ops::Range;
use std::sync::Arc;

use crate::resp::Segment;

/// Room for replies that is kept in any case, bytes.
const KEPT_REPLIES: usize = 8 * 1024;
/// Room for pieces that is kept from turn to turn.
const KEPT_PIECES: usize = 4096;

/// Where the bytes of a piece lie.
#[derive(Debug)]
pub enum Source {
    /// In the turn's replies.
    Replies(Range<usize>),
    /// In the outbox.
    Messages(Range<usize>),
    /// In an allocation of their own.
    Shared(Arc<Vec<u8>>),
}

#[derive(Debug)]
struct Piece {
    source: Source,
    /// The connection's next piece, or [`NONE`].
    next: u32,
}

const NONE: u32 = u32::MAX;

/// The first and last piece of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub const EMPTY: Chain = Chain { first: NONE, last: NONE };
}

/// A piece's bytes, with the allocation that holds them if they have one of their own.
#[derive(Clone, Copy, Debug)]
pub struct PieceBytes<'a> {
    pub bytes: &'a [u8],
    pub shared: Option<&'a Arc<Vec<u8>>>,
}

/// What a turn sends.
#[derive(Debug, Default)]
pub struct TurnOutput {
    pub replies: Vec<u8>,
    pieces: Vec<Piece>,
    /// Connections that have pieces, each once.
    pending: Vec<usize>,
    /// Bytes of replies that lie elsewhere than in `replies`.
    shared: usize,
}

impl TurnOutput {
    /// Appends a piece to the chain of connection `index`.
    pub fn add(&mut self, index: usize, chain: &mut Chain, source: Source) {
        let place = self.pieces.len() as u32;
        if let Some(last) = self.pieces.get_mut(chain.last as usize) {
            match (&mut last.source, &source) {
                (Source::Replies(before), Source::Replies(range))
                | (Source::Messages(before), Source::Messages(range))
                    if before.end == range.start =>
                {
                    before.end = range.end;
                    return;
                }
                _ => last.next = place,
            }
        } else {
            self.pending.push(index);
            chain.first = place;
        }
        chain.last = place;
        self.pieces.push(Piece { source, next: NONE });
    }

    /// Appends a reply: what the buffer got since it had `start` bytes.
    #[inline]
    pub fn add_reply(&mut self, index: usize, chain: &mut Chain, start: usize) {
        let end = self.replies.len();
        if end > start {
            self.add(index, chain, Source::Replies(start..end));
        }
    }

    /// Appends a reply in segments.
    pub fn add_segments(&mut self, index: usize, chain: &mut Chain, segments: Vec<Segment>) {
        for segment in segments {
            let source = match segment {
                Segment::Buffer(range) => Source::Replies(range),
                Segment::Shared(bytes) => {
                    self.shared += bytes.len();
                    Source::Shared(bytes)
                }
            };
            self.add(index, chain, source);
        }
    }

    /// Bytes of replies that wait to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.replies.len() + self.shared
    }

    /// Pieces that wait to be sent.
    #[inline]
    pub fn piece_count(&self) -> usize {
        self.pieces.len()
    }

    /// The pieces of a chain, in order. `messages`: [`Outbox::bytes`](crate::resp::Outbox::bytes).
    pub fn pieces<'a>(
        &'a self,
        chain: Chain,
        messages: &'a [u8],
    ) -> impl Iterator<Item = PieceBytes<'a>> + Clone {
        let piece = |at: u32| self.pieces.get(at as usize);
        std::iter::successors(piece(chain.first), move |before| piece(before.next)).map(move |piece| {
            let (bytes, shared) = match &piece.source {
                Source::Replies(range) => (&self.replies[range.clone()], None),
                Source::Messages(range) => (&messages[range.clone()], None),
                Source::Shared(bytes) => (&***bytes, Some(bytes)),
            };
            PieceBytes { bytes, shared }
        })
    }

    /// Takes the list of connections with pieces; [`Self::clear`] wants its allocation back.
    pub fn take_pending(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.pending)
    }

    /// Forgets everything, after all pieces have been sent. `pending`: from [`Self::take_pending`].
    pub fn clear(&mut self, mut pending: Vec<usize>) {
        debug_assert!(self.pending.is_empty());
        // Turns alike keep the buffer; the memory of one long reply is given back by the next turn.
        let used = self.replies.len();
        self.replies.clear();
        if used < KEPT_REPLIES / 2 && self.replies.capacity() > KEPT_REPLIES {
            self.replies.shrink_to(KEPT_REPLIES);
        }
        self.shared = 0;
        self.pieces.clear();
        self.pieces.shrink_to(KEPT_PIECES);
        pending.clear();
        pending.shrink_to(KEPT_PIECES);
        self.pending = pending;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn text(output: &TurnOutput, chain: Chain, messages: &[u8]) -> Vec<u8> {
        output.pieces(chain, messages).flat_map(|piece| piece.bytes.iter().copied()).collect()
    }

    #[test]
    fn each_connection_has_its_pieces_in_order() {
        let mut rng = Rng::new(5);
        let mut output = TurnOutput::default();
        for _ in 0..50 {
            let mut chains = [Chain::EMPTY; 4];
            let mut models: [Vec<u8>; 4] = Default::default();
            let mut messages = Vec::new();
            for _ in 0..rng.below(60) {
                let index = rng.below(4) as usize;
                let bytes: Vec<u8> = (0..rng.below(9)).map(|_| rng.next_u64() as u8).collect();
                let source = match rng.below(3) {
                    0 => {
                        let start = output.replies.len();
                        output.replies.extend_from_slice(&bytes);
                        Source::Replies(start..output.replies.len())
                    }
                    1 => {
                        let start = messages.len();
                        messages.extend_from_slice(&bytes);
                        Source::Messages(start..messages.len())
                    }
                    _ => Source::Shared(Arc::new(bytes.clone())),
                };
                models[index].extend_from_slice(&bytes);
                output.add(index, &mut chains[index], source);
            }
            let pending = output.take_pending();
            for index in 0..4 {
                assert_eq!(text(&output, chains[index], &messages), models[index]);
                let entries = pending.iter().filter(|entry| **entry == index).count();
                assert_eq!(entries, usize::from(chains[index] != Chain::EMPTY));
            }
            output.clear(pending);
        }
    }

    #[test]
    fn neighbours_are_one_piece() {
        let mut output = TurnOutput::default();
        let mut chain = Chain::EMPTY;
        output.add(0, &mut chain, Source::Messages(0..3));
        output.add(0, &mut chain, Source::Messages(3..5));
        assert_eq!(output.pieces(chain, b"abcdefg").count(), 1);
        output.add(0, &mut chain, Source::Messages(6..7));
        assert_eq!(output.pieces(chain, b"abcdefg").count(), 2);
        assert_eq!(text(&output, chain, b"abcdefg"), b"abcdeg");
    }

    #[test]
    fn big_buffers_are_given_back() {
        let mut output = TurnOutput::default();
        output.replies.resize(7 << 20, b'x');
        for index in 0..100_000 {
            output.add(index, &mut Chain::EMPTY.clone(), Source::Messages(0..0));
        }
        for _ in 0..2 {
            let pending = output.take_pending();
            output.clear(pending);
        }
        assert!(output.replies.capacity() <= KEPT_REPLIES);
        assert!(output.pieces.capacity() <= KEPT_PIECES && output.pending.capacity() <= KEPT_PIECES);
    }
}
