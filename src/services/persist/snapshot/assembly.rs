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

use super::super::rdb::{Piece, RdbFormat, RecordBuffer};
use super::{CollectionId, Part};

/// A collection of which parts have come while another one was being written.
#[derive(Debug, Default)]
struct Waiting {
    db: u32,
    pieces: Vec<Piece>,
    is_closed: bool,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The collection that goes straight through.
    current: Option<CollectionId>,
    /// Records that came meanwhile, with their databases.
    records: Vec<(u32, Piece)>,
    /// Collections that came meanwhile, and their order.
    waiting: HashMap<CollectionId, Waiting>,
    order: VecDeque<CollectionId>,
    /// The database of what was written last.
    selected: Option<u32>,
}

impl Assembly {
    /// Takes a part, and gives `write` the pieces that are due, in the order of the file. True at the end.
    pub fn take(&mut self, part: Part, write: &mut impl FnMut(Piece)) -> bool {
        match part {
            Part::Head(piece) => write(piece),
            Part::Records(db, piece) if self.current.is_none() => self.write_records(db, piece, write),
            Part::Records(db, piece) => self.records.push((db, piece)),
            Part::Open(id, db, piece) if self.current.is_none() => {
                self.current = Some(id);
                self.write_records(db, piece, write);
            }
            Part::Open(id, db, piece) => {
                self.order.push_back(id);
                self.waiting.insert(id, Waiting { db, pieces: vec![piece], is_closed: false });
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
        for (db, piece) in std::mem::take(&mut self.records) {
            self.write_records(db, piece, write);
        }
        while let Some(id) = self.order.pop_front() {
            let waiting = self.waiting.remove(&id).unwrap_or_default();
            self.select(waiting.db, write);
            waiting.pieces.into_iter().for_each(&mut *write);
            if !waiting.is_closed {
                self.current = Some(id);
                return;
            }
        }
    }

    fn write_records(&mut self, db: u32, piece: Piece, write: &mut impl FnMut(Piece)) {
        if !piece.is_empty() {
            self.select(db, write);
            write(piece);
        }
    }

    fn select(&mut self, db: u32, write: &mut impl FnMut(Piece)) {
        if self.selected != Some(db) {
            self.selected = Some(db);
            // All formats name a database in the same way.
            let mut select = RecordBuffer::new(RdbFormat::REDIS, false);
            select.select_db(db);
            write(select.take());
        }
    }
}
