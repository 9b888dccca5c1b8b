//! Member arena: the members of one big sorted set, byte strings with a score, referred to by 32-bit handles.
//!
//! A handle is 4 bytes instead of a pointer's 8 (a tree leaf and a hash bucket each hold one an
//! element), and a slot is a multiple of 8 bytes where a general allocator rounds to 16.
//!
//! ```text
//! handle   chunk: 24 bits │ slot in the chunk: 8 bits
//! slot     score: f64 LE │ length: varint │ member bytes │ (padding to the slot's size)
//! chunk    up to 256 slots of one size, at most 64 KiB together; or up to 256 large members, each with an allocation of its own
//! ```
//!
//! A size class's first chunk is small and the next ones grow with the class, so that a set of a
//! hundred members does not pay for thousands. A chunk whose slots are all free is given back.
//! Not an index: it neither orders members nor finds them by their bytes.
//!
//! Free slots are threaded through their bytes, and chunks with room form a list, as in the table's pool. The code is
//! apart because the slots differ: here they have any size, are safe slices and stay where they are; the pool's
//! chunks are raw memory in powers of two with an owner each, and are moved so that slabs become free.
//!
//! Handles end at 2^24 chunks: 2^32 members of up to 256 bytes or beyond 2 KiB, 1 TiB of those between. [`MemberArena::is_full`] says so at half
//! of that, so that the owner can refuse a request before it begins, and no request is as large as the other half.

use crate::structures::prefetch::prefetch;
use crate::structures::slots::Slots;

/// Names a member until it is freed.
pub type Handle = u32;

/// Slots are multiples of this.
const UNIT: usize = 8;
const SLOT_BITS: u32 = 8;
const SLOTS_MAX: usize = 1 << SLOT_BITS;
const FIRST_CHUNK_BYTES: usize = 256;
/// Bytes of a class's chunks while they are few, and those of the largest.
const CHUNK_BYTES: usize = 4096;
const LARGEST_CHUNK_BYTES: usize = 64 << 10;
/// A class of so many chunks makes the next ones twice as large, and again each time that it has doubled.
const FEW_CHUNKS: u32 = 64;
/// Members needing more than this have an allocation of their own.
const LARGEST_SLOT: usize = 2048;
const MAX_CHUNKS: usize = 1 << (32 - SLOT_BITS);
/// Chunks from which on an arena counts as full.
const FULL_AT: usize = if cfg!(test) { 300 } else { MAX_CHUNKS / 2 };
const SCORE_BYTES: usize = 8;

/// No chunk follows in a list of chunks.
const NO_CHUNK: u32 = u32::MAX;
/// No free slot follows in a chunk.
const NO_SLOT: u16 = u16::MAX;
/// The class of chunks of large members, behind all others.
const LARGE: u8 = 33;

/// What is known of a chunk besides its bytes.
#[derive(Clone, Debug)]
struct ChunkState {
    /// Neighbours in the class's list of chunks with a free slot.
    next: u32,
    prev: u32,
    /// Freed slots, threaded through their first two bytes.
    free: u16,
    /// Slots from here on have never been used.
    fresh: u16,
    used: u16,
    capacity: u16,
    class: u8,
}

/// The bytes of a chunk's members.
#[derive(Clone, Debug)]
enum Chunk {
    /// Slots of this size, one behind the other; none for a number that is vacant.
    Slots(Box<[u8]>, u32),
    /// Large members, each as large as it is; a freed one is the two bytes of its link.
    Large(Vec<Box<[u8]>>),
}

impl Default for Chunk {
    /// A chunk without bytes.
    fn default() -> Self {
        Chunk::Slots(Box::default(), 0)
    }
}

impl Chunk {
    /// Bytes allocated behind it.
    fn bytes(&self) -> usize {
        match self {
            Chunk::Slots(bytes, _) => bytes.len(),
            Chunk::Large(members) => {
                members.capacity() * size_of::<Box<[u8]>>()
                    + members.iter().map(|member| member.len()).sum::<usize>()
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Class {
    /// Head of the list of chunks with a free slot.
    open: u32,
    chunks: u32,
}

/// The storage of the members; see the module.
#[derive(Clone, Debug, Default)]
pub struct MemberArena {
    /// Apart from `states`, so that the table every access goes through stays dense.
    chunks: Slots<Chunk>,
    states: Vec<ChunkState>,
    classes: Vec<Class>,
    chunk_bytes: usize,
}

/// Size of the slot for `need` bytes, and its class; `None` is for a chunk of its own.
fn slot_for(need: usize) -> Option<(usize, u8)> {
    if need <= 16 * UNIT {
        let units = need.div_ceil(UNIT);
        return Some((units * UNIT, units as u8));
    }
    if need > LARGEST_SLOT {
        return None;
    }
    // Four sizes to a doubling: 160, 192, 224, 256, 320, ...
    let last = need - 1;
    let log = last.ilog2();
    let shift = log - 2;
    let step = last >> shift;
    Some(((step + 1) << shift, (17 + (log - 7) * 4 + (step as u32 & 3)) as u8))
}

/// Writes `len` as a little-endian base-128 number; returns its size.
fn put_varint(out: &mut [u8], mut len: usize) -> usize {
    let mut at = 0;
    while len >= 0x80 {
        out[at] = (len as u8) | 0x80;
        len >>= 7;
        at += 1;
    }
    out[at] = len as u8;
    at + 1
}

fn varint_size(len: usize) -> usize {
    (len.max(1).ilog2() as usize) / 7 + 1
}

impl MemberArena {
    /// An arena without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a member; its handle stays good until [`MemberArena::free`].
    pub fn alloc(&mut self, score: f64, member: &[u8]) -> Handle {
        let need = SCORE_BYTES + varint_size(member.len()) + member.len();
        let handle = match slot_for(need) {
            Some((slot, class)) => self.take_slot(slot, class),
            None => {
                let handle = self.take_slot(0, LARGE);
                self.set_large(handle, vec![0; need].into_boxed_slice());
                handle
            }
        };
        let slot = self.slot_mut(handle);
        slot[..SCORE_BYTES].copy_from_slice(&score.to_le_bytes());
        let body = &mut slot[SCORE_BYTES..];
        let at = put_varint(body, member.len());
        body[at..at + member.len()].copy_from_slice(member);
        handle
    }

    /// Forgets a member. Its handle must not be used again.
    pub fn free(&mut self, handle: Handle) {
        let chunk = handle >> SLOT_BITS;
        let state = &mut self.states[chunk as usize];
        let was_full = state.used == state.capacity;
        let next_free = std::mem::replace(&mut state.free, (handle as usize % SLOTS_MAX) as u16);
        state.used -= 1;
        let used = state.used;
        if state.class == LARGE {
            self.set_large(handle, vec![0; 2].into_boxed_slice());
        }
        self.slot_mut(handle)[..2].copy_from_slice(&next_free.to_le_bytes());
        if was_full {
            self.open_chunk(chunk);
        }
        let state = &self.states[chunk as usize];
        // One open chunk a class is kept, lest a set at the edge of a chunk allocates all the time.
        if used == 0 && (state.next != NO_CHUNK || state.prev != NO_CHUNK) {
            self.close_chunk(chunk);
            let class = usize::from(self.states[chunk as usize].class);
            self.classes[class].chunks -= 1;
            self.drop_chunk(chunk);
        }
    }

    /// The member's score.
    #[inline]
    pub fn score(&self, handle: Handle) -> f64 {
        let slot = self.slot(handle);
        f64::from_le_bytes(slot[..SCORE_BYTES].try_into().expect("eight bytes"))
    }

    /// Gives the member another score.
    #[inline]
    pub fn set_score(&mut self, handle: Handle, score: f64) {
        self.slot_mut(handle)[..SCORE_BYTES].copy_from_slice(&score.to_le_bytes());
    }

    /// The member itself.
    #[inline]
    pub fn bytes(&self, handle: Handle) -> &[u8] {
        let body = &self.slot(handle)[SCORE_BYTES..];
        let first = body[0];
        if first < 0x80 {
            return &body[1..1 + usize::from(first)];
        }
        let (mut len, mut at) = (usize::from(first & 0x7f), 1);
        loop {
            let byte = body[at];
            len |= usize::from(byte & 0x7f) << (7 * at);
            at += 1;
            if byte < 0x80 {
                return &body[at..at + len];
            }
        }
    }

    /// Bytes allocated.
    pub fn memory_usage(&self) -> usize {
        self.chunk_bytes
            + self.chunks.memory_usage()
            + self.states.capacity() * size_of::<ChunkState>()
            + self.classes.capacity() * size_of::<Class>()
    }

    /// Frees up to `chunks` chunks with all that is in them; true when none is left. Only for a set
    /// that is not used any more.
    pub fn free_some(&mut self, chunks: usize) -> bool {
        self.chunks.free_some(chunks)
    }

    /// Whether it holds so much that nothing more should be asked of it; see the module.
    pub fn is_full(&self) -> bool {
        self.chunks.live() >= FULL_AT
    }

    /// Starts loading the member, which is about to be read.
    #[inline]
    pub fn prefetch(&self, handle: Handle) {
        let index = handle as usize % SLOTS_MAX;
        match &self.chunks[(handle >> SLOT_BITS) as usize] {
            Chunk::Slots(bytes, slot) => prefetch(bytes.as_ptr().wrapping_add(index * *slot as usize)),
            Chunk::Large(members) => prefetch(members[index].as_ptr()),
        }
    }

    #[inline]
    fn slot(&self, handle: Handle) -> &[u8] {
        let index = handle as usize % SLOTS_MAX;
        match &self.chunks[(handle >> SLOT_BITS) as usize] {
            Chunk::Slots(bytes, slot) => &bytes[index * *slot as usize..],
            Chunk::Large(members) => &members[index],
        }
    }

    #[inline]
    fn slot_mut(&mut self, handle: Handle) -> &mut [u8] {
        let index = handle as usize % SLOTS_MAX;
        match &mut self.chunks[(handle >> SLOT_BITS) as usize] {
            Chunk::Slots(bytes, slot) => &mut bytes[index * *slot as usize..],
            Chunk::Large(members) => &mut members[index],
        }
    }

    /// Gives a slot of a chunk of large members other bytes.
    fn set_large(&mut self, handle: Handle, bytes: Box<[u8]>) {
        let Chunk::Large(members) = &mut self.chunks[(handle >> SLOT_BITS) as usize] else { return };
        self.chunk_bytes += bytes.len();
        match members.get_mut(handle as usize % SLOTS_MAX) {
            Some(member) => self.chunk_bytes -= std::mem::replace(member, bytes).len(),
            None => {
                let before = members.capacity();
                members.push(bytes);
                self.chunk_bytes += (members.capacity() - before) * size_of::<Box<[u8]>>();
            }
        }
    }

    fn take_slot(&mut self, slot: usize, class: u8) -> Handle {
        let at = usize::from(class);
        if self.classes.len() <= at {
            self.classes.reserve_exact(at + 1 - self.classes.len());
            self.classes.resize(at + 1, Class { open: NO_CHUNK, chunks: 0 });
        }
        if self.classes[at].open == NO_CHUNK {
            self.new_chunk(slot, class);
        }
        let chunk = self.classes[at].open;
        let state = &mut self.states[chunk as usize];
        state.used += 1;
        let full = state.used == state.capacity;
        let index = if state.free == NO_SLOT {
            state.fresh += 1;
            state.fresh - 1
        } else {
            state.free
        };
        let handle = chunk << SLOT_BITS | u32::from(index);
        if state.free != NO_SLOT {
            let link = [self.slot(handle)[0], self.slot(handle)[1]];
            self.states[chunk as usize].free = u16::from_le_bytes(link);
        }
        if full {
            self.close_chunk(chunk);
        }
        handle
    }

    fn new_chunk(&mut self, slot: usize, class: u8) {
        let grown = &mut self.classes[usize::from(class)].chunks;
        let doublings = (*grown / FEW_CHUNKS).checked_ilog2().map_or(0, |log| log + 1);
        let bytes = (FIRST_CHUNK_BYTES << (*grown).min(8)).min(CHUNK_BYTES) << doublings.min(8);
        *grown += 1;
        let (capacity, chunk) = if class == LARGE {
            (SLOTS_MAX, Chunk::Large(Vec::new()))
        } else {
            let capacity = (bytes.min(LARGEST_CHUNK_BYTES) / slot).clamp(1, SLOTS_MAX);
            (capacity, Chunk::Slots(vec![0; capacity * slot].into_boxed_slice(), slot as u32))
        };
        let state = ChunkState {
            next: NO_CHUNK,
            prev: NO_CHUNK,
            free: NO_SLOT,
            fresh: 0,
            used: 0,
            capacity: capacity as u16,
            class,
        };
        let chunk = self.add_chunk(chunk, state);
        self.open_chunk(chunk);
    }

    fn add_chunk(&mut self, chunk: Chunk, state: ChunkState) -> u32 {
        self.chunk_bytes += chunk.bytes();
        let number = self.chunks.insert(chunk);
        assert!((number as usize) < MAX_CHUNKS, "a full arena is not added to");
        match self.states.get_mut(number as usize) {
            Some(vacant) => *vacant = state,
            None => self.states.push(state),
        }
        number
    }

    fn drop_chunk(&mut self, chunk: u32) {
        self.chunk_bytes -= self.chunks.remove(chunk).bytes();
    }

    /// Puts a chunk at the head of its class's list of those with a free slot.
    fn open_chunk(&mut self, chunk: u32) {
        let class = usize::from(self.states[chunk as usize].class);
        let head = std::mem::replace(&mut self.classes[class].open, chunk);
        self.states[chunk as usize].next = head;
        self.states[chunk as usize].prev = NO_CHUNK;
        if head != NO_CHUNK {
            self.states[head as usize].prev = chunk;
        }
    }

    /// Takes a chunk out of that list.
    fn close_chunk(&mut self, chunk: u32) {
        let state = &mut self.states[chunk as usize];
        let class = usize::from(state.class);
        let next = std::mem::replace(&mut state.next, NO_CHUNK);
        let prev = std::mem::replace(&mut state.prev, NO_CHUNK);
        if next != NO_CHUNK {
            self.states[next as usize].prev = prev;
        }
        if prev == NO_CHUNK {
            self.classes[class].open = next;
        } else {
            self.states[prev as usize].next = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn slots_hold_what_was_asked_and_classes_have_one_size() {
        let mut sizes = std::collections::HashMap::new();
        for need in 9..=LARGEST_SLOT {
            let (slot, class) = slot_for(need).unwrap();
            assert!(slot >= need && slot % UNIT == 0 && slot <= LARGEST_SLOT);
            assert!(slot <= need + (need / 4).max(UNIT - 1));
            assert_eq!(*sizes.entry(class).or_insert(slot), slot);
        }
        assert!(slot_for(LARGEST_SLOT + 1).is_none());
        assert!(sizes.keys().all(|class| *class < LARGE));
        const { assert!(SLOTS_MAX < NO_SLOT as usize && LARGEST_SLOT < CHUNK_BYTES) };
    }

    #[test]
    fn varints_have_the_size_foretold() {
        for len in [0, 1, 127, 128, 16_383, 16_384, (1 << 21) - 1, 1 << 21, 512 << 20] {
            assert_eq!(put_varint(&mut [0; 10], len), varint_size(len), "{len}");
        }
    }

    #[test]
    fn members_keep_bytes_and_score_through_churn() {
        let mut rng = Rng::new(1);
        let mut arena = MemberArena::new();
        let mut live: Vec<(Handle, f64, Vec<u8>)> = Vec::new();
        for round in 0..6000 {
            let growing = (round / 1500) % 2 == 0;
            if live.is_empty() || rng.below(10) < if growing { 8 } else { 2 } {
                let len = [3, 14, 40, 130, 400, 1500, 3000, 20_000][rng.below(8) as usize];
                let mut member = vec![0; rng.below(len) as usize];
                rng.fill(&mut member);
                let score = rng.unit();
                live.push((arena.alloc(score, &member), score, member));
            } else {
                let (handle, score, member) = live.swap_remove(rng.below(live.len() as u64) as usize);
                assert_eq!(arena.bytes(handle), member);
                assert_eq!(arena.score(handle), score);
                arena.free(handle);
            }
            if let Some((handle, score, _)) = live.last_mut() {
                *score += 1.0;
                arena.set_score(*handle, *score);
            }
        }
        for (handle, score, member) in &live {
            assert_eq!((arena.score(*handle), arena.bytes(*handle)), (*score, &member[..]));
        }
        for (handle, ..) in live.drain(..) {
            arena.free(handle);
        }
        assert!(arena.chunk_bytes <= arena.classes.len() * 4 * CHUNK_BYTES);
    }

    #[test]
    fn large_members_share_chunks_and_a_full_arena_says_so() {
        let mut arena = MemberArena::new();
        let large: Vec<Handle> = (0..600).map(|n| arena.alloc(f64::from(n), &[n as u8; 3000])).collect();
        assert_eq!(arena.chunks.len(), 3, "256 large members have one chunk");
        let mut members = 0;
        while !arena.is_full() {
            arena.alloc(0.0, &[1; 2000]);
            members += 1;
        }
        assert!(members > 2 * FULL_AT, "{members} members are in {FULL_AT} chunks that grow with the class");
        assert_eq!((arena.score(large[599]), arena.bytes(large[599])), (599.0, &[599u32 as u8; 3000][..]));
        large.iter().for_each(|handle| arena.free(*handle));
        assert!(!arena.is_full());
    }
}
