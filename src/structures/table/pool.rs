//! Pool: the allocator of a table's segments and arenas, in slabs of chunks of equal size.
//!
//! ```text
//! slab of class 9:   | 512 B | 512 B | …        slab of class 10:  | 1 KiB | 1 KiB | …      up to 2 MiB each
//! reference (u32):   slab number, 20 bits | chunk in the slab, 12 bits
//! ```
//!
//! An arena is a list of chunks, so it grows without being copied, and whatever one arena gives back fits any other:
//! there are no size classes for the allocator to round up to or to leave half empty. Every chunk has
//! one owner and knows it, so chunks can be moved out of a slab that is mostly free; memory
//! comes back after deletions however they were spread.
//!
//! Slabs grow with the pool, by an eighth to a quarter of it: a small table's are of one chunk.
//!
//! The member arena threads its free slots likewise; its header says why the code is apart.
#![allow(unsafe_code)]

use super::mmap::SLAB_MAX;
use super::slab::SlabMemory;
use crate::structures::slots::Slots;

/// A chunk's slab and its number there.
pub(super) type ChunkRef = u32;

const INDEX_BITS: u32 = 12;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
/// Chunks are of `1 << 9` to `1 << 13` bytes.
pub(super) const SHIFT_MIN: u32 = 9;
pub(super) const SHIFT_MAX: u32 = 13;
/// A segment is a chunk of `1 << 10` bytes.
pub(super) const SEGMENT_SHIFT: u32 = 10;
/// The classes of chunks by their shifts: one for each size, and one for the segments, whose slabs have nothing
/// else in them so that the lines with which every lookup begins lie on few pages.
const SHIFTS: [u32; 6] = [9, 10, 11, 12, 13, SEGMENT_SHIFT];
const SEGMENTS: usize = SHIFTS.len() - 1;
const _: () = assert!(SHIFTS[0] == SHIFT_MIN && SHIFTS[SEGMENTS - 1] == SHIFT_MAX);
const _: () = assert!(SLAB_MAX == 1 << (SHIFT_MIN + INDEX_BITS));
/// Slabs a pool can have: two terabytes.
const SLABS_MAX: usize = 1 << (32 - INDEX_BITS);
/// Slabs from which on a pool counts as full, long before the end: no request adds as much as is left.
const FULL_AT: usize = if cfg!(test) { 60 } else { SLABS_MAX / 2 };
/// A class of this many bytes gets huge pages: they spare it more waiting than they waste.
const HUGE_FROM: usize = 32 << 20;
/// No chunk, no slab, no owner.
const NONE: u32 = u32::MAX;
const NO_INDEX: u16 = u16::MAX;

#[derive(Debug, Default)]
struct Slab {
    /// `None` if the slab's number is vacant.
    memory: Option<SlabMemory>,
    /// The owner of each chunk; `NONE` for the free ones.
    owners: Box<[u32]>,
    class: u8,
    used: u16,
    /// Chunks from here on have never been used; their pages may not exist yet.
    fresh: u16,
    /// The first of the free chunks below `fresh`; each begins with the number of the next.
    free: u16,
    /// Neighbours in the class's list of slabs with free chunks.
    before: u32,
    after: u32,
}

impl Drop for Slab {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.note_given_back(usize::from(self.used) << self.shift());
        }
    }
}

impl Slab {
    fn chunks(&self) -> usize {
        self.owners.len()
    }

    #[inline]
    fn shift(&self) -> u32 {
        SHIFTS[usize::from(self.class)]
    }
}

/// What one class of chunks amounts to.
#[derive(Clone, Copy, Debug)]
struct Class {
    /// The first slab with a free chunk.
    open: u32,
    chunks: u32,
    used: u32,
}

#[derive(Debug)]
pub(super) struct Pool {
    /// Addresses of the slabs, apart from the rest because lookups need nothing else.
    bases: Vec<*mut u8>,
    slabs: Slots<Slab>,
    classes: [Class; SHIFTS.len()],
    /// The slab that is being emptied, and the chunk to go on with.
    draining: Option<(u32, usize)>,
    bytes: usize,
}

impl Pool {
    pub fn new() -> Self {
        Pool {
            bases: Vec::new(),
            slabs: Slots::default(),
            classes: [Class { open: NONE, chunks: 0, used: 0 }; SHIFTS.len()],
            draining: None,
            bytes: 0,
        }
    }

    /// Whether so many slabs are there that nothing more should be asked of it.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bases.len() >= FULL_AT && self.slabs.live() >= FULL_AT
    }

    /// Bytes of the chunks that are in use.
    #[inline]
    pub fn taken(&self) -> usize {
        self.classes.iter().zip(SHIFTS).map(|(class, shift)| (class.used as usize) << shift).sum()
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        self.bytes + self.slabs.memory_usage() + self.bases.capacity() * size_of::<*mut u8>()
    }

    /// The address of a chunk of `1 << shift` bytes.
    #[inline(always)]
    pub fn address(&self, chunk: ChunkRef, shift: u32) -> *mut u8 {
        debug_assert!(((chunk >> INDEX_BITS) as usize) < self.bases.len());
        // SAFETY: references are made by `allocate` from numbers of slabs.
        let base = unsafe { *self.bases.get_unchecked((chunk >> INDEX_BITS) as usize) };
        base.wrapping_add(((chunk & INDEX_MASK) as usize) << shift)
    }

    /// A chunk of `1 << shift` bytes, aligned to as many.
    pub fn allocate(&mut self, shift: u32, owner: u32) -> ChunkRef {
        self.allocate_in((shift - SHIFT_MIN) as usize, owner)
    }

    /// A chunk for a segment.
    pub fn allocate_segment(&mut self, owner: u32) -> ChunkRef {
        self.allocate_in(SEGMENTS, owner)
    }

    fn allocate_in(&mut self, class: usize, owner: u32) -> ChunkRef {
        let shift = SHIFTS[class];
        if self.classes[class].open == NONE {
            self.grow(class);
        }
        let number = self.classes[class].open;
        let base = self.bases[number as usize];
        let slab = &mut self.slabs[number as usize];
        let index = if slab.free == NO_INDEX {
            slab.fresh += 1;
            slab.fresh - 1
        } else {
            let index = slab.free;
            // SAFETY: a free chunk begins with the number of the next.
            slab.free = unsafe { base.add(usize::from(index) << shift).cast::<u16>().read() };
            index
        };
        slab.used += 1;
        if let Some(memory) = &slab.memory {
            memory.note_taken(1 << shift);
        }
        slab.owners[usize::from(index)] = owner;
        self.classes[class].used += 1;
        if usize::from(slab.used) == slab.chunks() {
            self.unlink(number);
        }
        number << INDEX_BITS | u32::from(index)
    }

    /// Adds a slab to a class, or has the one that was being emptied back.
    #[cold]
    fn grow(&mut self, class: usize) {
        let shift = SHIFTS[class];
        if let Some((number, _)) = self.draining
            && usize::from(self.slabs[number as usize].class) == class
        {
            self.draining = None;
            self.link(number);
            return;
        }
        let chunks = self.classes[class].chunks as usize;
        let huge = chunks << shift >= HUGE_FROM;
        let chunks = (chunks / 8).max(1).next_power_of_two().min(SLAB_MAX >> shift);
        let memory = SlabMemory::new(chunks << shift, huge);
        let base = memory.base();
        let owners = vec![NONE; chunks].into_boxed_slice();
        let memory = Some(memory);
        let slab = Slab {
            memory,
            owners,
            class: class as u8,
            used: 0,
            fresh: 0,
            free: NO_INDEX,
            before: NONE,
            after: NONE,
        };
        let number = self.slabs.insert(slab);
        match self.bases.get_mut(number as usize) {
            Some(vacant) => *vacant = base,
            None => self.bases.push(base),
        }
        assert!((number as usize) < SLABS_MAX, "a full table is not added to");
        self.classes[class].chunks += chunks as u32;
        self.bytes += (chunks << shift) + chunks * size_of::<u32>();
        self.link(number);
    }

    fn class(&mut self, number: u32) -> &mut Class {
        &mut self.classes[usize::from(self.slabs[number as usize].class)]
    }

    /// Makes a slab the first that its class takes chunks from.
    fn link(&mut self, number: u32) {
        let first = std::mem::replace(&mut self.class(number).open, number);
        self.slabs[number as usize].before = NONE;
        self.slabs[number as usize].after = first;
        if let Some(first) = self.slabs.get_mut(first as usize) {
            first.before = number;
        }
    }

    fn unlink(&mut self, number: u32) {
        let Slab { before, after, .. } = self.slabs[number as usize];
        match self.slabs.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.class(number).open = after,
        }
        if let Some(after) = self.slabs.get_mut(after as usize) {
            after.before = before;
        }
    }

    /// Gives a chunk back.
    pub fn free(&mut self, chunk: ChunkRef) {
        let (number, index) = (chunk >> INDEX_BITS, (chunk & INDEX_MASK) as u16);
        let base = self.bases[number as usize];
        let slab = &mut self.slabs[number as usize];
        let shift = slab.shift();
        debug_assert!(slab.owners[usize::from(index)] != NONE, "a chunk is freed once");
        let was_full = usize::from(slab.used) == slab.chunks();
        #[cfg(test)]
        // SAFETY: the chunk is the pool's again; a stale read of it shall be noticed.
        unsafe {
            base.add(usize::from(index) << shift).write_bytes(0xdd, 1 << shift)
        };
        // SAFETY: the chunk is the pool's again.
        unsafe { base.add(usize::from(index) << shift).cast::<u16>().write(slab.free) };
        slab.free = index;
        slab.used -= 1;
        if let Some(memory) = &slab.memory {
            memory.note_given_back(1 << shift);
        }
        slab.owners[usize::from(index)] = NONE;
        let empty = slab.used == 0;
        let drained = self.draining.is_some_and(|(draining, _)| draining == number);
        self.class(number).used -= 1;
        if was_full && !drained {
            self.link(number);
        }
        if empty {
            self.release_empty(number, drained);
        }
    }

    /// Gives an empty slab back, unless it may soon be wanted again.
    fn release_empty(&mut self, number: u32, drained: bool) {
        let (chunks, shift) = (self.slabs[number as usize].chunks(), self.slabs[number as usize].shift());
        let class = *self.class(number);
        let free_elsewhere = (class.chunks - class.used) as usize - chunks;
        if !drained && class.used != 0 && free_elsewhere < chunks / 4 {
            return;
        }
        if drained {
            self.draining = None;
        } else {
            self.unlink(number);
        }
        self.class(number).chunks -= chunks as u32;
        self.slabs.remove(number);
        self.bases[number as usize] = std::ptr::null_mut();
        self.bytes -= (chunks << shift) + chunks * size_of::<u32>();
        if self.slabs.live() == 0 {
            *self = Pool::new();
        }
    }

    /// Changes the owner of a chunk.
    pub fn set_owner(&mut self, chunk: ChunkRef, owner: u32) {
        self.slabs[(chunk >> INDEX_BITS) as usize].owners[(chunk & INDEX_MASK) as usize] = owner;
    }

    /// A chunk that should be moved so that its slab becomes free, with its owner. `None` when too little is free
    /// for it to matter. The owner is to allocate another, copy, and free this one.
    pub fn next_to_move(&mut self) -> Option<(ChunkRef, u32)> {
        let (number, from) = match self.draining {
            Some(draining) => draining,
            None => (self.choose_to_drain()?, 0),
        };
        let slab = &self.slabs[number as usize];
        let index = (from..slab.chunks()).find(|&index| slab.owners[index] != NONE)?;
        self.draining = Some((number, index));
        Some((number << INDEX_BITS | index as u32, slab.owners[index]))
    }

    /// Picks the emptiest slab of a class that has more than a quarter free, and takes nothing from it from now on.
    fn choose_to_drain(&mut self) -> Option<u32> {
        let mut best: Option<(u32, usize)> = None;
        for class in self.classes {
            if class.chunks - class.used <= class.chunks / 4 + 16 {
                continue;
            }
            let mut number = class.open;
            while let Some(slab) = self.slabs.get(number as usize) {
                let others = (class.chunks - class.used) as usize - (slab.chunks() - usize::from(slab.used));
                let free = (slab.chunks() - usize::from(slab.used)) * 64 / slab.chunks();
                if slab.used > 0 && others >= usize::from(slab.used) && best.is_none_or(|best| free > best.1)
                {
                    best = Some((number, free));
                }
                number = slab.after;
            }
        }
        let (number, _) = best?;
        self.unlink(number);
        Some(number)
    }

    /// Whether much is free: the table then moves chunks.
    #[inline]
    pub fn is_sparse(&self) -> bool {
        self.draining.is_some()
            || self.classes.iter().any(|class| class.chunks - class.used > class.chunks / 4 + 16)
    }

    #[cfg(test)]
    pub fn check(&self) {
        for (number, slab) in self.slabs.iter().enumerate() {
            let used = slab.owners.iter().filter(|&&owner| owner != NONE).count();
            assert_eq!(self.bases[number].is_null(), slab.chunks() == 0);
            assert_eq!(used, usize::from(slab.used));
            let drained = self.draining.is_some_and(|(draining, _)| draining as usize == number);
            let mut open = self.classes[usize::from(slab.class)].open;
            while open != NONE && open as usize != number {
                open = self.slabs[open as usize].after;
            }
            assert_eq!(open != NONE, used < slab.chunks() && !drained);
        }
        for (number, class) in self.classes.iter().enumerate() {
            let slabs = || self.slabs.iter().filter(|slab| usize::from(slab.class) == number);
            assert_eq!(class.chunks as usize, slabs().map(|slab| slab.chunks()).sum::<usize>());
            assert_eq!(class.used as usize, slabs().map(|slab| usize::from(slab.used)).sum::<usize>());
        }
    }

    /// Chunks in use.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.classes.iter().map(|class| class.used as usize).sum()
    }

    #[cfg(test)]
    pub fn owner(&self, chunk: ChunkRef) -> u32 {
        self.slabs[(chunk >> INDEX_BITS) as usize].owners[(chunk & INDEX_MASK) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn chunks_are_apart_and_slabs_come_back() {
        let mut rng = Rng::new(1);
        let mut pool = Pool::new();
        let mut held: Vec<(ChunkRef, u32, u8)> = Vec::new();
        for round in 0..20_000u32 {
            if rng.below(16) < [10, 3][round as usize / 5000 % 2] {
                let shift = SHIFT_MIN + rng.below(3) as u32;
                let chunk = pool.allocate(shift, round);
                // SAFETY: the chunk is ours.
                unsafe { pool.address(chunk, shift).write_bytes(round as u8, 1 << shift) };
                held.push((chunk, shift, round as u8));
            } else if !held.is_empty() {
                let (chunk, shift, fill) = held.swap_remove(rng.below(held.len() as u64) as usize);
                // SAFETY: the chunk is ours.
                let bytes = unsafe { std::slice::from_raw_parts(pool.address(chunk, shift), 1 << shift) };
                assert!(bytes.iter().all(|&byte| byte == fill));
                pool.free(chunk);
            }
            if round % 1000 == 0 {
                pool.check();
                assert_eq!(pool.used(), held.len());
            }
        }
        held.drain(..).for_each(|(chunk, ..)| pool.free(chunk));
        assert_eq!(pool.bytes(), 0);
    }
}
