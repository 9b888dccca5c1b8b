//! A persistent array of rows by number: a clone costs O(1) and never sees what is changed afterwards.
//!
//! ```text
//! root      [ branch | branch | … ]                       one for all, shared by clones
//! branch    [ chunk | chunk | … up to 128 ]
//! chunk     [ row | row | … up to a power of two ]        a row is `stride` items
//! ```
//!
//! Each of the three is a reference-counted slice. What only this array holds is changed in place; what a clone holds as well is
//! copied before it is changed, so that a change while a clone is held costs the copy of one chunk, one branch and the root,
//! and further changes of the same chunk nothing. The chunks are full but for the last, which grows by doubling. Rows are removed
//! only at the end: owners use vacant rows again, or move the last row there.

use std::sync::Arc;

/// Chunks of a branch, as a power of two.
const BRANCH_BITS: u32 = 7;
/// Rows of the first chunk when it begins.
const FIRST_ROWS: usize = 4;

type Chunk<T> = Arc<[T]>;
type Branch<T> = Arc<[Chunk<T>]>;

/// Rows of `stride` items. Rows that were never written hold `T::default()`.
#[derive(Debug)]
pub struct Rows<T> {
    root: Arc<[Branch<T>]>,
    stride: usize,
    /// Rows of a full chunk, as a power of two.
    chunk_bits: u32,
    /// Rows that there is room for.
    room: usize,
    /// Chunks that wait to be freed, once [`Rows::free_some`] has begun.
    freed: Vec<Chunk<T>>,
}

impl<T> Clone for Rows<T> {
    fn clone(&self) -> Self {
        Rows { root: Arc::clone(&self.root), freed: Vec::new(), ..*self }
    }
}

impl<T: Clone + Default> Rows<T> {
    /// No rows yet. A chunk takes about `chunk_bytes` at most (but at least a row), and has `max_rows` rows at most.
    pub fn new(stride: usize, chunk_bytes: usize, max_rows: usize) -> Self {
        let row_bytes = (stride * size_of::<T>()).max(1);
        let rows = (chunk_bytes / row_bytes).clamp(1, max_rows.max(1));
        Rows { root: Arc::new([]), stride, chunk_bits: rows.ilog2(), room: 0, freed: Vec::new() }
    }

    /// Items of a row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Rows that there is room for; numbers are below it.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Bytes of all rows that there is room for, without what the items own.
    pub fn memory(&self) -> usize {
        let chunks = self.room >> self.chunk_bits;
        self.room * self.stride * size_of::<T>() + (chunks + 1) * 2 * size_of::<Chunk<T>>()
    }

    /// The row of this number.
    ///
    /// # Panics
    /// If there is no room for it.
    #[inline(always)]
    pub fn row(&self, number: u32) -> &[T] {
        let (branch, chunk, start) = self.place(number);
        &self.root[branch][chunk][start..start + self.stride]
    }

    /// The row of this number, to be changed.
    ///
    /// # Panics
    /// If there is no room for it.
    #[inline]
    pub fn row_mut(&mut self, number: u32) -> &mut [T] {
        let (branch, chunk, start) = self.place(number);
        let stride = self.stride;
        let chunks = Arc::make_mut(&mut Arc::make_mut(&mut self.root)[branch]);
        &mut Arc::make_mut(&mut chunks[chunk])[start..start + stride]
    }

    /// Writes a row over another.
    pub fn copy_row(&mut self, from: u32, to: u32) {
        let row = self.row(from).to_vec();
        self.row_mut(to).clone_from_slice(&row);
    }

    /// Makes room for the row of this number.
    pub fn reserve(&mut self, number: u32) {
        while number as usize >= self.room {
            self.grow();
        }
    }

    #[inline(always)]
    fn place(&self, number: u32) -> (usize, usize, usize) {
        let number = number as usize;
        let chunk = number >> self.chunk_bits;
        let start = (number & ((1 << self.chunk_bits) - 1)) * self.stride;
        (chunk >> BRANCH_BITS, chunk & ((1 << BRANCH_BITS) - 1), start)
    }

    /// Doubles the last chunk, or begins another with a quarter of its rows.
    fn grow(&mut self) {
        let full = 1 << self.chunk_bits;
        let in_last = self.room & (full - 1);
        let rows = match (self.room, in_last) {
            (0, _) => FIRST_ROWS.min(full),
            (_, 0) => (full / 4).max(1),
            (_, rows) => (2 * rows).min(full),
        };
        let number = self.room >> self.chunk_bits;
        let (branch, chunk) = (number >> BRANCH_BITS, number & ((1 << BRANCH_BITS) - 1));
        if branch == self.root.len() {
            self.root = self.root.iter().cloned().chain([Arc::from([])]).collect();
        }
        let branch = &mut Arc::make_mut(&mut self.root)[branch];
        if chunk == branch.len() {
            *branch = branch.iter().cloned().chain([Arc::from([])]).collect();
        }
        let chunk = &mut Arc::make_mut(branch)[chunk];
        *chunk = resized(chunk, rows * self.stride);
        self.room += rows - in_last;
    }

    /// Gives up rows from this number on: whole chunks are freed, and a single one is halved once three quarters of it are given up. What is
    /// kept beyond the number holds what it held.
    pub fn truncate(&mut self, number: u32) {
        let (number, full) = (number as usize, 1 << self.chunk_bits);
        let chunks = number.div_ceil(full).max(1);
        while self.room > chunks * full {
            self.remove_last_chunk();
        }
        if self.room <= full && self.room > FIRST_ROWS.min(full) && number <= self.room / 4 {
            self.room = (self.room / 2).max(FIRST_ROWS.min(full));
            let chunk = &mut Arc::make_mut(&mut Arc::make_mut(&mut self.root)[0])[0];
            *chunk = resized(chunk, self.room * self.stride);
        }
    }

    fn remove_last_chunk(&mut self) {
        let last = (self.room - 1) >> self.chunk_bits;
        let (branch, chunk) = (last >> BRANCH_BITS, last & ((1 << BRANCH_BITS) - 1));
        if chunk == 0 {
            self.root = self.root[..branch].iter().cloned().collect();
        } else {
            let branch = &mut Arc::make_mut(&mut self.root)[branch];
            *branch = branch[..chunk].iter().cloned().collect();
        }
        self.room = last << self.chunk_bits;
    }

    /// Frees up to `chunks` chunks; true once nothing is left. The rows are gone with the first call.
    pub fn free_some(&mut self, chunks: usize) -> bool {
        if self.room > 0 {
            self.freed = self.root.iter().flat_map(|branch| branch.iter().cloned()).collect();
            self.root = Arc::new([]);
            self.room = 0;
        }
        self.freed.truncate(self.freed.len().saturating_sub(chunks));
        self.freed.is_empty()
    }
}

/// The first items of `chunk`, then as many defaults as are wanted; items are moved if only this array holds them.
fn resized<T: Clone + Default>(chunk: &mut Chunk<T>, items: usize) -> Chunk<T> {
    let more = std::iter::repeat_with(T::default).take(items.saturating_sub(chunk.len()));
    match Arc::get_mut(chunk) {
        Some(own) => own.iter_mut().take(items).map(std::mem::take).chain(more).collect(),
        None => chunk.iter().take(items).cloned().chain(more).collect(),
    }
}

/// A persistent array of single items by number.
#[derive(Debug)]
pub struct Chunks<T> {
    rows: Rows<T>,
}

impl<T> Clone for Chunks<T> {
    fn clone(&self) -> Self {
        Chunks { rows: self.rows.clone() }
    }
}

impl<T: Clone + Default> Default for Chunks<T> {
    fn default() -> Self {
        Chunks::new()
    }
}

impl<T: Clone + Default> Chunks<T> {
    /// No items yet.
    pub fn new() -> Self {
        Chunks { rows: Rows::new(1, 4096, 256) }
    }

    /// The item of this number, if there is room for it; `T::default()` if it was never set.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&T> {
        ((number as usize) < self.rows.room()).then(|| &self.rows.row(number)[0])
    }

    /// The item of this number, to be changed; room is made for it.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> &mut T {
        self.rows.reserve(number);
        &mut self.rows.row_mut(number)[0]
    }

    /// Moves an item, whose place holds `T::default()` then.
    pub fn relocate(&mut self, from: u32, to: u32) {
        let item = std::mem::take(self.get_mut(from));
        *self.get_mut(to) = item;
    }

    /// Gives up items from this number on; see [`Rows::truncate`].
    pub fn truncate(&mut self, number: u32) {
        self.rows.truncate(number);
    }

    /// Bytes of all items that there is room for, without what they own.
    pub fn memory(&self) -> usize {
        self.rows.memory()
    }

    /// Frees up to `chunks` chunks; true once nothing is left.
    pub fn free_some(&mut self, chunks: usize) -> bool {
        self.rows.free_some(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_what_was_written_while_room_grows() {
        let mut rows: Rows<u32> = Rows::new(3, 12 * 8, 64);
        for number in 0..5000u32 {
            rows.reserve(number);
            rows.row_mut(number).copy_from_slice(&[number, number + 1, number + 2]);
        }
        assert!(rows.room() < 5000 + 8);
        for number in 0..5000u32 {
            assert_eq!(rows.row(number), [number, number + 1, number + 2]);
        }
    }

    #[test]
    fn a_clone_is_that_moment() {
        let mut items: Chunks<String> = Chunks::new();
        for number in 0..1000 {
            *items.get_mut(number) = format!("a{number}");
        }
        let clone = items.clone();
        for number in (0..3000).step_by(7) {
            *items.get_mut(number) = "b".to_string();
        }
        for number in 0..1000 {
            assert_eq!(clone.get(number), Some(&format!("a{number}")));
            let expected = if number % 7 == 0 { "b".to_string() } else { format!("a{number}") };
            assert_eq!(items.get(number), Some(&expected));
        }
        assert_eq!(items.get(2999), Some(&String::new()));
        assert_eq!(items.get(1 << 30), None);
    }

    #[test]
    fn a_change_beside_a_clone_copies_one_chunk() {
        let mut rows: Rows<u32> = Rows::new(1, 64, 16);
        rows.reserve(16 * 300);
        let clone = rows.clone();
        rows.row_mut(16 * 200)[0] = 1;
        rows.row_mut(16 * 200 + 15)[0] = 2;
        let chunks = |rows: &Rows<u32>| -> Vec<*const u32> {
            rows.root.iter().flat_map(|branch| branch.iter().map(|chunk| chunk.as_ptr())).collect()
        };
        let differ = chunks(&rows).iter().zip(chunks(&clone)).filter(|(own, other)| **own != *other).count();
        assert_eq!(differ, 1);
    }

    #[test]
    fn rows_at_the_end_are_given_up() {
        let mut rows: Rows<u32> = Rows::new(1, 64, 16);
        let mut kept = Vec::new();
        for round in 0..3 {
            for number in 0..5000 {
                rows.reserve(number);
                rows.row_mut(number)[0] = number + round;
            }
            kept.push((rows.clone(), round));
            for left in (0..5000).rev() {
                rows.truncate(left);
                let room = rows.room();
                assert!(room >= left as usize && room < (left as usize + 16).max(5), "{left}: {room}");
                if left > 0 {
                    assert_eq!(rows.row(left - 1)[0], left - 1 + round);
                }
            }
            assert_eq!(rows.memory(), Rows::<u32>::new(1, 64, 16).memory() + FIRST_ROWS * 4);
        }
        for (rows, round) in kept {
            assert!((0..5000).all(|number| rows.row(number)[0] == number + round));
        }
    }

    #[test]
    fn chunks_are_freed_some_at_a_time() {
        let mut rows: Rows<u64> = Rows::new(2, 16 * 8, 8);
        rows.reserve(8 * 10 - 1);
        let clone = rows.clone();
        let mut calls = 1;
        while !rows.free_some(3) {
            calls += 1;
        }
        assert_eq!(calls, 4);
        assert_eq!(rows.room(), 0);
        assert_eq!(clone.row(79), [0, 0]);
    }
}
