//! Member arena: the members of one big sorted set, byte strings with a score, referred to by 32-bit handles.
//!
//! A handle is 4 bytes instead of a pointer's 8 (a tree leaf and a hash bucket each hold one an
//! element), and a slot is a multiple of 8 bytes where a general allocator rounds to 16.
//!
//! ```text
//! handle   chunk: 23 bits │ offset in units of 8 bytes: 9 bits
//! slot     score: f64 LE │ length: varint │ member bytes │ (padding to the slot's size)
//! chunk    slots of one size, at most 4 KiB together; or one large member alone
//! ```
//!
//! A size class's first chunk is small and the next ones grow to 4 KiB, so that a set of a
//! hundred members does not pay for thousands. A chunk whose slots are all free is given back.
//! Not an index: it neither orders members nor finds them by their bytes.

use crate::structures::table::prefetch;

/// Names a member until it is freed.
pub type Handle = u32;

const UNIT: usize = 8;
const UNIT_BITS: u32 = 9;
const CHUNK_BYTES: usize = UNIT << UNIT_BITS;
const FIRST_CHUNK_BYTES: usize = 256;
/// Members needing more than this have a chunk of their own.
const LARGEST_SLOT: usize = 2048;
const MAX_CHUNKS: usize = (1 << (32 - UNIT_BITS)) - 1;
const SCORE_BYTES: usize = 8;

/// No chunk follows in a list of chunks.
const NO_CHUNK: u32 = u32::MAX;
/// No free slot follows in a chunk.
const NO_SLOT: u16 = u16::MAX;
/// The class of a chunk that holds one large member.
const LARGE: u8 = u8::MAX;

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
    /// Bytes of a slot; 0 for a large member.
    slot: u16,
    class: u8,
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
    /// Bytes of each chunk; empty for a number that is vacant. Apart from `states`, so that the
    /// table every access goes through stays dense.
    chunks: Vec<Box<[u8]>>,
    states: Vec<ChunkState>,
    classes: Vec<Class>,
    vacant: Vec<u32>,
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
                let state = ChunkState {
                    next: NO_CHUNK,
                    prev: NO_CHUNK,
                    free: NO_SLOT,
                    fresh: 1,
                    used: 1,
                    capacity: 1,
                    slot: 0,
                    class: LARGE,
                };
                self.add_chunk(need, state) << UNIT_BITS
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
        let chunk = handle >> UNIT_BITS;
        let state = &mut self.states[chunk as usize];
        if state.class == LARGE {
            self.drop_chunk(chunk);
            return;
        }
        let slot = (handle as usize & ((1 << UNIT_BITS) - 1)) * UNIT / usize::from(state.slot);
        let was_full = state.used == state.capacity;
        let next_free = std::mem::replace(&mut state.free, slot as u16);
        state.used -= 1;
        let used = state.used;
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
            + self.chunks.capacity() * size_of::<Box<[u8]>>()
            + self.states.capacity() * size_of::<ChunkState>()
            + self.classes.capacity() * size_of::<Class>()
            + self.vacant.capacity() * size_of::<u32>()
    }

    /// Frees up to `chunks` chunks with all that is in them; true when none is left. Only for a set
    /// that is not used any more.
    pub fn free_some(&mut self, chunks: usize) -> bool {
        let keep = self.chunks.len().saturating_sub(chunks);
        self.chunks.truncate(keep);
        keep == 0
    }

    /// Prefetches the member, which will be read soon.
    #[inline]
    pub fn prefetch(&self, handle: Handle) {
        let offset = (handle as usize & ((1 << UNIT_BITS) - 1)) * UNIT;
        prefetch(self.chunks[(handle >> UNIT_BITS) as usize].as_ptr().wrapping_add(offset));
    }

    #[inline]
    fn slot(&self, handle: Handle) -> &[u8] {
        let offset = (handle as usize & ((1 << UNIT_BITS) - 1)) * UNIT;
        &self.chunks[(handle >> UNIT_BITS) as usize][offset..]
    }

    #[inline]
    fn slot_mut(&mut self, handle: Handle) -> &mut [u8] {
        let offset = (handle as usize & ((1 << UNIT_BITS) - 1)) * UNIT;
        &mut self.chunks[(handle >> UNIT_BITS) as usize][offset..]
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
        let handle = chunk << UNIT_BITS | (usize::from(index) * slot / UNIT) as u32;
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
        let bytes = (FIRST_CHUNK_BYTES << (*grown).min(8)).min(CHUNK_BYTES);
        *grown += 1;
        let capacity = (bytes / slot).max(1);
        let state = ChunkState {
            next: NO_CHUNK,
            prev: NO_CHUNK,
            free: NO_SLOT,
            fresh: 0,
            used: 0,
            capacity: capacity as u16,
            slot: slot as u16,
            class,
        };
        let chunk = self.add_chunk(capacity * slot, state);
        self.open_chunk(chunk);
    }

    fn add_chunk(&mut self, bytes: usize, state: ChunkState) -> u32 {
        let chunk = vec![0; bytes].into_boxed_slice();
        self.chunk_bytes += bytes;
        if let Some(number) = self.vacant.pop() {
            self.chunks[number as usize] = chunk;
            self.states[number as usize] = state;
            return number;
        }
        // 16 GiB at the very least are in one sorted set by then: the same as no memory left.
        assert!(self.chunks.len() < MAX_CHUNKS, "a sorted set outgrew its handles");
        self.chunks.push(chunk);
        self.states.push(state);
        (self.chunks.len() - 1) as u32
    }

    fn drop_chunk(&mut self, chunk: u32) {
        let bytes = std::mem::take(&mut self.chunks[chunk as usize]);
        self.chunk_bytes -= bytes.len();
        self.vacant.push(chunk);
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
        assert!(CHUNK_BYTES / UNIT < usize::from(NO_SLOT));
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
        assert!(arena.chunk_bytes <= arena.classes.len() * CHUNK_BYTES);
    }
}
