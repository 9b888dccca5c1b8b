//! Segments of a reply: its parts where it isn't one run of bytes in the turn's buffer.
//!
//! ```text
//! turn buffer  [ other clients' replies | $1048576\r\n | \r\n$5\r\nhello\r\n … ]
//! segments       buffer 40..50 → held value → buffer 50..65 → chunk → chunk → …
//! ```
//!
//! A long string is held by its reference count. A reply that would make the buffer grow beyond [`MAX_BUFFER`] goes on in
//! chunks of its own, so that it is at most once in memory beside what it was made from. Positions are those in the
//! whole reply, as if it were in one piece.

use std::ops::Range;
use std::sync::Arc;

/// Length up to which the turn's buffer, and each chunk, grows for the sake of one more element, bytes.
pub const MAX_BUFFER: usize = 256 * 1024;

/// A part of a reply.
#[derive(Debug)]
pub enum Segment {
    /// A range of the turn's buffer.
    Buffer(Range<usize>),
    /// A held string, or a chunk.
    Shared(Arc<Vec<u8>>),
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Buffer(range) => range.len(),
            Segment::Shared(bytes) => bytes.len(),
        }
    }
}

/// The segments before the bytes being written, which are a part of the turn's buffer or a chunk.
#[derive(Debug)]
pub(super) struct Segments {
    /// Length of what was in the turn's buffer before the reply.
    start: usize,
    segments: Vec<Segment>,
    /// Where in the bytes being written the current part begins.
    from: usize,
    /// The turn's buffer, once the bytes being written are a chunk.
    buffer: Option<Vec<u8>>,
}

impl Segments {
    pub fn new(start: usize) -> Box<Self> {
        Box::new(Segments { start, segments: Vec::new(), from: start, buffer: None })
    }

    /// Whether a position lies in the bytes being written. `offset`: the position of their first byte.
    pub fn is_current(&self, offset: usize, position: usize) -> bool {
        position >= offset.wrapping_add(self.from)
    }

    /// Ends the current part.
    fn end_part(&mut self, bytes: &mut Vec<u8>) {
        if bytes.len() == self.from {
            return;
        }
        if self.buffer.is_none() {
            self.segments.push(Segment::Buffer(self.from..bytes.len()));
            self.from = bytes.len();
        } else {
            self.segments.push(Segment::Shared(Arc::new(std::mem::take(bytes))));
        }
    }

    /// Goes on in a new chunk with room for `more` bytes.
    pub fn end_buffer(&mut self, bytes: &mut Vec<u8>, more: usize) {
        self.end_part(bytes);
        let chunk = Vec::with_capacity(more.max(MAX_BUFFER));
        let before = std::mem::replace(bytes, chunk);
        if self.buffer.is_none() {
            self.buffer = Some(before);
        }
        self.from = 0;
    }

    /// Appends a string that is held.
    pub fn hold(&mut self, bytes: &mut Vec<u8>, data: Arc<Vec<u8>>) {
        self.end_part(bytes);
        self.segments.push(Segment::Shared(data));
    }

    /// Forgets everything from `len` on. `offset`: as for [`Self::is_current`]. Afterwards the reply ends with `bytes`.
    pub fn truncate(&mut self, bytes: &mut Vec<u8>, offset: usize, len: usize) {
        // Position at which the current part begins.
        let mut position = offset.wrapping_add(self.from);
        while len < position {
            bytes.truncate(self.from);
            let Some(segment) = self.segments.pop() else { break };
            position -= segment.len();
            match segment {
                Segment::Buffer(range) => {
                    if let Some(buffer) = self.buffer.take() {
                        *bytes = buffer;
                    }
                    bytes.truncate(range.end);
                    self.from = range.start;
                }
                Segment::Shared(shared) => {
                    bytes.extend_from_slice(&shared[..len.saturating_sub(position)]);
                }
            }
        }
        bytes.truncate(self.from + len.saturating_sub(position));
    }

    /// Inserts `bytes` at a position before the current part.
    pub fn insert(&mut self, position: usize, bytes: Vec<u8>) {
        let (mut at, mut skip) = (0, position - self.start);
        while let Some(segment) = self.segments.get(at).filter(|segment| segment.len() <= skip) {
            skip -= segment.len();
            at += 1;
        }
        let mut inserted = vec![Segment::Shared(Arc::new(bytes))];
        if skip > 0 {
            at += 1;
            match &mut self.segments[at - 1] {
                Segment::Buffer(range) => {
                    let middle = range.start + skip;
                    inserted.push(Segment::Buffer(middle..range.end));
                    range.end = middle;
                }
                Segment::Shared(shared) => {
                    inserted.push(Segment::Shared(Arc::new(shared[skip..].to_vec())));
                    Arc::make_mut(shared).truncate(skip);
                }
            }
        }
        self.segments.splice(at..at, inserted);
    }

    /// Ends the reply: the turn's buffer, and all segments.
    pub fn finish(mut self, mut bytes: Vec<u8>) -> (Vec<u8>, Vec<Segment>) {
        self.end_part(&mut bytes);
        (self.buffer.unwrap_or(bytes), self.segments)
    }
}
