//! Walks over the keys of a database in slices (KEYS): the answer is that of the moment when the walk began.
//!
//! ```text
//! hashes   0 ───────────────────────────────────────────▶ 2^64
//!          listed │ a key that goes is listed before it does,
//!                 │ one that comes is noted, and passed by
//!                 ▲ from
//! ```
//!
//! It needs no more than to be told which keys come and go; while there is no walk, that is one comparison. Where the keys
//! all go at once (FLUSHDB, SWAPDB) the rest is listed on the spot. The answer is written in pieces: nothing of it is moved as it grows.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::crc::key_slot;
use crate::base::glob;
use crate::base::ids::ClientId;
use crate::base::slot_set::SlotSet;
use crate::resp::Reply;
use crate::structures::table::Table;
use crate::value::Value;

/// Keys from which on a database is listed in slices.
pub const LISTED_AT_ONCE: usize = 16 * 1024;
/// Walks of a database at a time: each key that comes or goes is told to all of them.
const MAX_WALKS: usize = 4;
/// Bytes of a piece of the answer.
const PIECE: usize = 128 * 1024;
/// Low bits of a hash that a cursor of the table lacks.
const CURSOR_SPARE_BITS: u32 = 16;

/// What a walk is to list.
#[derive(Debug)]
pub struct ListedKeys {
    /// Whose answer it is.
    pub client: ClientId,
    /// `None`: all keys.
    pub pattern: Option<Box<[u8]>>,
    /// Keys whose deadline was before that, Unix ms, are gone.
    pub now: u64,
    /// Bytes that the answer may have; 0: any number.
    pub max_bytes: u64,
}

/// A walk; once it is over, its answer.
#[derive(Debug)]
pub struct KeyWalk {
    pub keys: ListedKeys,
    /// How many were listed.
    pub count: usize,
    /// Their bulk strings.
    pub pieces: Vec<Vec<u8>>,
    pub bytes: u64,
    /// All with smaller hashes were listed.
    from: u64,
    is_over: bool,
    /// Keys not yet reached that weren't there when the walk began.
    came: HashSet<Box<[u8]>>,
    /// Slots whose keys weren't shown then.
    hidden: Option<Arc<SlotSet>>,
}

impl KeyWalk {
    /// Whether the answer has more bytes than it may.
    pub fn is_too_large(&self) -> bool {
        self.keys.max_bytes > 0 && self.bytes > self.keys.max_bytes
    }

    fn shows(&self, key: &[u8]) -> bool {
        self.hidden.as_ref().is_none_or(|hidden| !hidden.contains(key_slot(key)))
    }

    fn list(&mut self, key: &[u8], deadline: Option<u64>) {
        if !self.shows(key) {
            return;
        }
        let is_past = deadline.is_some_and(|deadline| deadline < self.keys.now);
        if is_past || self.keys.pattern.as_deref().is_some_and(|pattern| !glob::matches(pattern, key)) {
            return;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() >= PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE + PIECE / 16));
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        let before = piece.len();
        let mut reply = Reply::new(std::mem::take(piece), false);
        reply.bulk(key);
        *piece = reply.into_bytes();
        self.bytes += (piece.len() - before) as u64;
        self.count += 1;
    }

    /// Goes on for about so many keys, or to the end.
    fn step(&mut self, table: &Table<Value, true>, keys: usize) {
        let mut seen = 0;
        while !self.is_over && seen < keys {
            let next = table.scan(self.from >> CURSOR_SPARE_BITS, |entry| {
                seen += 1;
                if self.came.is_empty() || !self.came.remove(entry.key) {
                    self.list(entry.key, entry.deadline);
                }
            });
            // An empty bucket is a step, too.
            seen += 1;
            self.from = next << CURSOR_SPARE_BITS;
            self.is_over = next == 0 || self.is_too_large();
        }
    }
}

/// The walks of a database.
#[derive(Debug, Default)]
pub(super) struct KeyWalks {
    walks: Vec<KeyWalk>,
}

impl KeyWalks {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.walks.is_empty()
    }

    /// Begins another walk; `false` if there are as many as may be.
    pub(super) fn start(&mut self, keys: ListedKeys, hidden: Option<Arc<SlotSet>>) -> bool {
        if self.walks.len() == MAX_WALKS {
            return false;
        }
        let (pieces, came) = (Vec::new(), HashSet::new());
        self.walks.push(KeyWalk { keys, count: 0, pieces, bytes: 0, from: 0, is_over: false, came, hidden });
        true
    }

    /// A key comes.
    #[cold]
    pub(super) fn key_comes(&mut self, hash: u64, key: &[u8]) {
        let misses = |walk: &&mut KeyWalk| !walk.is_over && hash >= walk.from && walk.shows(key);
        for walk in self.walks.iter_mut().filter(misses) {
            walk.came.insert(key.into());
        }
    }

    /// A key of this deadline goes.
    #[cold]
    pub(super) fn key_goes(&mut self, hash: u64, key: &[u8], deadline: Option<u64>) {
        for walk in self.walks.iter_mut().filter(|walk| !walk.is_over && hash >= walk.from) {
            if !walk.came.remove(key) {
                walk.list(key, deadline);
            }
        }
    }

    /// Goes on with the first walk that isn't over; false if there is none.
    pub(super) fn step(&mut self, table: &Table<Value, true>, keys: usize) -> bool {
        let Some(walk) = self.walks.iter_mut().find(|walk| !walk.is_over) else { return false };
        walk.step(table, keys);
        true
    }

    /// Ends all walks: the keys are about to go all at once.
    pub(super) fn finish(&mut self, table: &Table<Value, true>) {
        self.walks.iter_mut().for_each(|walk| walk.step(table, usize::MAX));
    }

    /// Takes out a walk that is over, or that of a client which doesn't wait for it any more.
    pub(super) fn take(&mut self, is_wanted: impl Fn(ClientId) -> bool) -> Option<KeyWalk> {
        self.walks.retain(|walk| is_wanted(walk.keys.client));
        let over = self.walks.iter().position(|walk| walk.is_over)?;
        Some(self.walks.remove(over))
    }
}
