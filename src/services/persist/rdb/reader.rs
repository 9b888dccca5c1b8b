//! RDB reader: a buffer that the caller fills, with the parser, the checksum and the place in the file.
//!
//! ```text
//! buffer   | read, summed up | not read yet | room |
//!                            ^ start        ^ end
//! ```
//!
//! What is read is dropped when room is asked for. The buffer is as large as [`CHUNK`], or up to twice as large as the longest string
//! that has come so far.

use super::parser::{Checksum, Item, Parser, ReadOptions, Reason, Step};
use crate::base::crc::crc64;
use crate::services::persist::codec::{Fault, Reader};
use crate::value::Limits;
use std::fmt;

/// Bytes of an ordinary buffer.
pub const CHUNK: usize = 256 * 1024;

/// Why a file can't be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdbError {
    /// Bytes of the file that were read.
    pub offset: u64,
    /// Why.
    pub reason: Reason,
    /// The key that was being read, and the kind of its value.
    pub key: Option<(Vec<u8>, u8)>,
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}: {}", self.offset, self.reason)
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct RdbReader {
    parser: Parser,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where in the file the buffer begins.
    offset: u64,
    sum: Sum,
    /// Bytes that there must be from `start` on before there is another item.
    wanted: usize,
    /// Whether no more bytes will come.
    ended: bool,
}

impl RdbReader {
    /// A reader of a file that begins with the first bytes it gets.
    pub fn new(options: ReadOptions) -> Self {
        RdbReader {
            parser: Parser::new(options),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            sum: Sum { wanted: options.checksum, done: 0, value: 0 },
            wanted: 1,
            ended: false,
        }
    }

    /// Bytes of the file that were read.
    pub fn position(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// Bytes that are there but not read; after [`Item::End`], what follows the file.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Room for the next bytes of the file, at least half a [`CHUNK`].
    pub fn spare(&mut self) -> &mut [u8] {
        self.sum.add(&self.buffer, self.start);
        self.buffer.copy_within(self.start..self.end, 0);
        self.offset += self.start as u64;
        self.end -= self.start;
        (self.start, self.sum.done) = (0, 0);
        if self.buffer.is_empty() {
            // Of the system, whose fresh pages are zeros, rather than written byte by byte.
            self.buffer = vec![0; CHUNK];
        } else if self.buffer.len() - self.end < CHUNK / 2 {
            self.buffer.resize((2 * self.end).max(CHUNK), 0);
        } else if self.buffer.len() > 4 * CHUNK && self.end.max(self.wanted) < CHUNK / 2 {
            self.buffer.truncate(CHUNK);
            self.buffer.shrink_to_fit();
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `count` bytes of the spare room are filled.
    pub fn filled(&mut self, count: usize) {
        self.end += count.min(self.buffer.len() - self.end);
    }

    /// Adds the next bytes of the file.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.spare();
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled(now.len());
            bytes = later;
        }
    }

    /// Says that no more bytes will come: what is missing is an error from now on.
    pub fn end_of_input(&mut self) {
        self.ended = true;
    }

    /// What comes next in the file.
    pub fn next(&mut self, limits: &Limits) -> Result<Item<'_>, RdbError> {
        let mut input = Reader::new(&self.buffer[self.start..self.end]);
        if input.remaining() < self.wanted && !self.ended {
            return Ok(Item::More);
        }
        loop {
            let from = self.start;
            let step = self.parser.step(&mut input, limits);
            self.start = self.end - input.remaining();
            match step {
                Ok(Step::Attribute) => {}
                Ok(Step::Item(item)) => {
                    self.wanted = 1;
                    return Ok(item);
                }
                Ok(Step::End(checksum)) => {
                    return match self.sum.verify(&self.buffer, self.start, checksum) {
                        Ok(verified) => Ok(Item::End(verified)),
                        Err(reason) => Err(self.error(reason, self.start)),
                    };
                }
                Err(Reason::Value(Fault::Short)) if !self.ended => {
                    self.wanted = input.remaining().saturating_add(input.missing().max(1));
                    return Ok(Item::More);
                }
                Err(reason) => return Err(self.error(reason, from)),
            }
        }
    }

    /// An error in the part that begins at `from`.
    #[cold]
    fn error(&self, reason: Reason, from: usize) -> RdbError {
        let reason = if reason == Reason::Value(Fault::Short) { Reason::Truncated } else { reason };
        let open = self.parser.open_key().map(|(key, kind)| (key.to_vec(), kind));
        let key = open.or_else(|| key_at(&self.buffer[from..self.end]));
        RdbError { offset: self.position(), reason, key }
    }
}

/// The checksum of what was read.
#[derive(Debug)]
struct Sum {
    wanted: bool,
    /// How much of the buffer is in it.
    done: usize,
    value: u64,
}

impl Sum {
    fn add(&mut self, buffer: &[u8], to: usize) {
        if self.wanted && to > self.done {
            self.value = crc64(self.value, &buffer[self.done..to]);
        }
        self.done = self.done.max(to);
    }

    /// Compares it with what stands at the end of a file.
    fn verify(&mut self, buffer: &[u8], end: usize, told: Option<[u8; 8]>) -> Result<Checksum, Reason> {
        let told = told.map(u64::from_le_bytes);
        let verified = match told {
            None | Some(0) => Checksum::Absent,
            Some(_) if !self.wanted => Checksum::NotVerified,
            Some(told) => {
                self.add(buffer, end - size_of::<u64>());
                if told != self.value {
                    return Err(Reason::Checksum(told, self.value));
                }
                Checksum::Matches
            }
        };
        // The bytes that follow are not the file's.
        self.done = end;
        Ok(verified)
    }
}

/// The key and the kind of the record that begins these bytes, if that is what they begin with.
fn key_at(bytes: &[u8]) -> Option<(Vec<u8>, u8)> {
    let mut input = Reader::new(bytes);
    let kind = input.byte().ok().filter(|kind| *kind < super::opcode::KEY_METADATA)?;
    Some((input.string().ok()?.into_owned(), kind))
}
