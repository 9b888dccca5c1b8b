//! Assembly of a snapshot: puts the parts that sinks have sent into an order that a file can have.
//!
//! ```text
//! parts   R1  open A  A1  R2  open B  A2  B1  R3  A3  close A  B2  close B  end
//! file    R1  A  A1  A2  A3   R2  R3   B  B1  B2
//! ```
//!
//! One large collection at a time goes straight through; whatever comes meanwhile waits. The walk finishes a collection before it
//! goes on, so what waits is only what was written to. It waits in memory up to a limit, and beyond that where the outlet puts it.

use std::collections::{HashMap, VecDeque};

use super::super::rdb::{Piece, RdbFormat, RecordBuffer};
use super::{CollectionId, Part};

/// Bytes that wait in memory before they are put aside.
pub const HELD_LIMIT: usize = 16 << 20;

/// Bytes that were put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
}

/// Takes what is due, in the order of the file, and keeps what has to wait.
pub trait Outlet {
    /// How it fails.
    type Error;
    /// A piece is due.
    fn write(&mut self, piece: Piece) -> Result<(), Self::Error>;
    /// Keeps a piece outside of memory.
    fn put_aside(&mut self, piece: Piece) -> Result<Extent, Self::Error>;
    /// What was put aside is due.
    fn write_aside(&mut self, extent: Extent) -> Result<(), Self::Error>;
}

/// Something that waits.
#[derive(Debug)]
enum Held {
    Memory(Piece),
    Aside(Extent),
}

impl Held {
    fn memory(&self) -> usize {
        match self {
            Held::Memory(piece) => piece.len(),
            Held::Aside(_) => 0,
        }
    }
}

/// A collection of which parts have come while another one was being written.
#[derive(Debug, Default)]
struct Waiting {
    db: u32,
    pieces: Vec<Held>,
    is_closed: bool,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Assembly {
    /// The collection that goes straight through.
    current: Option<CollectionId>,
    /// Records that came meanwhile, with their databases.
    records: Vec<(u32, Held)>,
    /// Collections that came meanwhile, and their order.
    waiting: HashMap<CollectionId, Waiting>,
    order: VecDeque<CollectionId>,
    /// The database of what was written last.
    selected: Option<u32>,
    /// Bytes that wait in memory, and how many may.
    held: usize,
    limit: usize,
}

impl Assembly {
    /// Of a snapshot of which up to `limit` bytes may wait in memory ([`HELD_LIMIT`]).
    pub fn new(limit: usize) -> Self {
        Assembly {
            current: None,
            records: Vec::new(),
            waiting: HashMap::new(),
            order: VecDeque::new(),
            selected: None,
            held: 0,
            limit,
        }
    }

    /// Takes a part, and gives the outlet the pieces that are due. True at the end.
    pub fn take<O: Outlet>(&mut self, part: Part, outlet: &mut O) -> Result<bool, O::Error> {
        match part {
            Part::Head(piece) => outlet.write(piece)?,
            Part::Records(db, piece) if self.current.is_none() => self.write_in(db, piece, outlet)?,
            Part::Records(db, piece) => {
                self.held += piece.len();
                self.records.push((db, Held::Memory(piece)));
            }
            Part::Open(id, db, piece) if self.current.is_none() => {
                self.current = Some(id);
                self.write_in(db, piece, outlet)?;
            }
            Part::Open(id, db, piece) => {
                self.order.push_back(id);
                self.waiting.entry(id).or_default().db = db;
                self.hold(id, piece);
            }
            Part::Elements(id, piece) if self.current == Some(id) => outlet.write(piece)?,
            Part::Elements(id, piece) => self.hold(id, piece),
            Part::Close(id) if self.current == Some(id) => self.go_on(outlet)?,
            Part::Close(id) => self.waiting.entry(id).or_default().is_closed = true,
            Part::End => return Ok(true),
        }
        if self.held > self.limit {
            self.put_aside(outlet)?;
        }
        Ok(false)
    }

    fn hold(&mut self, id: CollectionId, piece: Piece) {
        if !piece.is_empty() {
            self.held += piece.len();
            self.waiting.entry(id).or_default().pieces.push(Held::Memory(piece));
        }
    }

    /// Frees the memory of all that waits.
    fn put_aside<O: Outlet>(&mut self, outlet: &mut O) -> Result<(), O::Error> {
        self.held = 0;
        let mut records = Vec::new();
        for (db, held) in std::mem::take(&mut self.records) {
            let extent = aside(held, outlet)?;
            match records.last_mut() {
                Some((last_db, Held::Aside(last))) if *last_db == db && follows(last, extent) => {
                    last.len += extent.len;
                }
                _ => records.push((db, Held::Aside(extent))),
            }
        }
        self.records = records;
        for waiting in self.waiting.values_mut() {
            let mut pieces = Vec::new();
            for held in std::mem::take(&mut waiting.pieces) {
                let extent = aside(held, outlet)?;
                match pieces.last_mut() {
                    Some(Held::Aside(last)) if follows(last, extent) => last.len += extent.len,
                    _ => pieces.push(Held::Aside(extent)),
                }
            }
            waiting.pieces = pieces;
        }
        Ok(())
    }

    /// The current collection is complete: what has waited is due.
    fn go_on<O: Outlet>(&mut self, outlet: &mut O) -> Result<(), O::Error> {
        self.current = None;
        for (db, held) in std::mem::take(&mut self.records) {
            self.select(db, outlet)?;
            self.write_held(held, outlet)?;
        }
        while let Some(id) = self.order.pop_front() {
            let waiting = self.waiting.remove(&id).unwrap_or_default();
            self.select(waiting.db, outlet)?;
            for held in waiting.pieces {
                self.write_held(held, outlet)?;
            }
            if !waiting.is_closed {
                self.current = Some(id);
                break;
            }
        }
        Ok(())
    }

    fn write_held<O: Outlet>(&mut self, held: Held, outlet: &mut O) -> Result<(), O::Error> {
        self.held = self.held.saturating_sub(held.memory());
        match held {
            Held::Memory(piece) => outlet.write(piece),
            Held::Aside(extent) => outlet.write_aside(extent),
        }
    }

    fn write_in<O: Outlet>(&mut self, db: u32, piece: Piece, outlet: &mut O) -> Result<(), O::Error> {
        if piece.is_empty() {
            return Ok(());
        }
        self.select(db, outlet)?;
        outlet.write(piece)
    }

    fn select<O: Outlet>(&mut self, db: u32, outlet: &mut O) -> Result<(), O::Error> {
        if self.selected == Some(db) {
            return Ok(());
        }
        self.selected = Some(db);
        // All formats name a database in the same way.
        let mut select = RecordBuffer::new(RdbFormat::REDIS, false);
        select.select_db(db);
        outlet.write(select.take())
    }
}

fn aside<O: Outlet>(held: Held, outlet: &mut O) -> Result<Extent, O::Error> {
    match held {
        Held::Memory(piece) => outlet.put_aside(piece),
        Held::Aside(extent) => Ok(extent),
    }
}

fn follows(last: &Extent, next: Extent) -> bool {
    last.offset + last.len == next.offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::services::persist::snapshot::tests::outlet;

    /// A piece that is one string.
    fn piece(text: &str) -> Piece {
        let mut buffer = RecordBuffer::new(RdbFormat::REDIS, true);
        buffer.writer().string(text.as_bytes());
        buffer.take()
    }

    /// The strings of a file, with `@n` for a database.
    fn words(file: &[u8]) -> String {
        let (mut words, mut rest) = (Vec::new(), file);
        while let Some((&first, after)) = rest.split_first() {
            if first == 0xfe {
                words.push(format!("@{}", after[0]));
                rest = &after[1..];
            } else {
                let (word, after) = after.split_at(usize::from(first));
                words.push(String::from_utf8_lossy(word).into_owned());
                rest = after;
            }
        }
        words.join(" ")
    }

    /// What comes of parts: `R1` records (of database 0), `+A` opens a collection, `A1` are elements of it, `-A` closes it. A digit
    /// in front names another database.
    fn assembled(parts: &str, limit: usize) -> String {
        let (mut assembly, mut bytes) = (Assembly::new(limit), outlet());
        for part in parts.split_whitespace() {
            let db = part.chars().next().and_then(|first| first.to_digit(10)).unwrap_or(0);
            let text = part.trim_start_matches(|first: char| first.is_ascii_digit());
            let id = |text: &str| CollectionId(text.bytes().next().map_or(0, u64::from));
            let part = match text.as_bytes()[0] {
                b'R' => Part::Records(db, piece(text)),
                b'+' => Part::Open(id(&text[1..]), db, piece(text)),
                b'-' => Part::Close(id(&text[1..])),
                _ => Part::Elements(id(text), piece(text)),
            };
            assert!(!assembly.take(part, &mut bytes).expect("no errors"));
        }
        assert!(assembly.take(Part::End, &mut bytes).expect("no errors"));
        assert_eq!(assembly.held, 0);
        words(&bytes.file)
    }

    #[test]
    fn collections_come_in_one_piece() {
        let cases = [
            ("R1 R2", "@0 R1 R2"),
            ("R1 +A A1 R2 +B A2 B1 R3 A3 -A B2 -B", "@0 R1 +A A1 A2 A3 R2 R3 +B B1 B2"),
            // Complete before its turn comes, and several of them.
            ("+A +B +C C1 -C B1 -B A1 -A R1", "@0 +A A1 +B B1 +C C1 R1"),
            ("+A +B +C C1 -C A1 -A R1 B1 -B", "@0 +A A1 +B B1 R1 +C C1"),
            // Of several databases.
            ("R1 +A 1+B 2R2 A1 1R3 B1 -A B2 -B R4", "@0 R1 +A A1 @2 R2 @1 R3 +B B1 B2 @0 R4"),
            ("1+A 2+B A1 B1 -B A2 -A 2R1", "@1 +A A1 A2 @2 +B B1 R1"),
        ];
        for (parts, file) in cases {
            for limit in [0, 7, 1000] {
                assert_eq!(assembled(parts, limit), file, "{parts}, {limit}");
            }
        }
    }

    #[test]
    fn what_waits_takes_no_more_memory_than_its_limit() {
        let mut rng = Rng::new(1);
        let (mut assembly, mut bytes) = (Assembly::new(100), outlet());
        let mut take = |assembly: &mut Assembly, part| {
            assembly.take(part, &mut bytes).expect("no errors");
            assert!(assembly.held <= 100);
        };
        for id in 0..4 {
            take(&mut assembly, Part::Open(CollectionId(id), 0, piece(&format!("+{id}"))));
        }
        let mut expected = vec![String::new(); 4];
        for number in 0..1000 {
            let id = rng.below(4);
            let text = format!("{id}.{number}");
            take(&mut assembly, Part::Elements(CollectionId(id), piece(&text)));
            expected[id as usize] += &format!(" {text}");
        }
        (0..4).rev().for_each(|id| take(&mut assembly, Part::Close(CollectionId(id))));
        let file: Vec<String> = (0..4).map(|id| format!("+{id}{}", expected[id])).collect();
        assert_eq!(words(&bytes.file), format!("@0 {}", file.join(" ")));
        assert!(bytes.aside.len() > 1000);
        // The checksum is that of the file, whatever was put aside.
        let (mut end, mut whole) = (Vec::new(), outlet());
        whole.finisher.append(&bytes.file.clone(), &mut whole.file);
        let mut same = Vec::new();
        bytes.finisher.end(&mut end);
        whole.finisher.end(&mut same);
        assert_eq!(end, same);
    }
}
