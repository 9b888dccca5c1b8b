//! Assembly of a snapshot: puts the parts that sinks have sent into an order that a file can have.
//!
//! ```text
//! parts   R1  open A  A1  R2  open B  A2  B1  R3  A3  close A  B2  close B  end
//! file    R1  A  A1  A2  A3   R2  R3   B  B1  B2
//! ```
//!
//! One large collection at a time goes straight through; whatever comes meanwhile waits. The walk finishes a collection before it
//! goes on, so what waits is only what was written to.

use std::collections::{HashMap, VecDeque};

use super::super::rdb::Piece;
use super::{CollectionId, Part};

/// A collection of which parts have come while another one was being written.
#[derive(Debug, Default)]
struct Waiting {
    pieces: Vec<Piece>,
    is_closed: bool,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The collection that goes straight through.
    current: Option<CollectionId>,
    /// Records that came meanwhile.
    records: Vec<Piece>,
    /// Collections that came meanwhile, and their order.
    waiting: HashMap<CollectionId, Waiting>,
    order: VecDeque<CollectionId>,
}

impl Assembly {
    /// Takes a part, and gives `write` the pieces that are due, in the order of the file. True at the end.
    pub fn take(&mut self, part: Part, write: &mut impl FnMut(Piece)) -> bool {
        match part {
            Part::Records(piece) if self.current.is_none() => write(piece),
            Part::Records(piece) => self.records.push(piece),
            Part::Open(id, piece) if self.current.is_none() => {
                self.current = Some(id);
                write(piece);
            }
            Part::Open(id, piece) => {
                self.order.push_back(id);
                self.waiting.insert(id, Waiting { pieces: vec![piece], is_closed: false });
            }
            Part::Elements(id, piece) if self.current == Some(id) => write(piece),
            Part::Elements(id, piece) => self.waiting.entry(id).or_default().pieces.push(piece),
            Part::Close(id) if self.current == Some(id) => self.go_on(write),
            Part::Close(id) => self.waiting.entry(id).or_default().is_closed = true,
            Part::End => return true,
        }
        false
    }

    /// The current collection is complete: what has waited is due.
    fn go_on(&mut self, write: &mut impl FnMut(Piece)) {
        self.current = None;
        self.records.drain(..).for_each(&mut *write);
        while let Some(id) = self.order.pop_front() {
            let waiting = self.waiting.remove(&id).unwrap_or_default();
            waiting.pieces.into_iter().for_each(&mut *write);
            if !waiting.is_closed {
                self.current = Some(id);
                return;
            }
        }
    }

    /// Bytes that wait.
    pub fn memory(&self) -> usize {
        let waiting = self.waiting.values().flat_map(|waiting| &waiting.pieces);
        self.records.iter().chain(waiting).map(Piece::len).sum()
    }
}
