//! Buckets: a cache line each, with a byte of the hash and the offset of up to twenty entries.
//!
//! ```text
//! 0                20                                      24                  64
//! | tags [u8; 20]  | handed over 20 bits, overflow 12 bits | offsets [u16; 20] |
//! ```
//!
//! A tag of 0 says that the slot is free. A bit a slot says that a snapshot under way has been given the entry, or doesn't
//! want it (`snapshot`). `overflow` counts the entries that belong here and
//! found the bucket full; a lookup goes on to the next bucket only when there are any.
#![allow(unsafe_code)]

/// Entries a bucket can refer to.
pub(super) const SLOTS: usize = 20;
/// One bit for each slot.
pub(super) const SLOT_MASK: u32 = (1 << SLOTS) - 1;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    pub tags: [u8; SLOTS],
    /// See the head of this file.
    state: u32,
    /// Where in the arena the entries lie, in units of two bytes.
    pub offsets: [u16; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    pub const EMPTY: Bucket = Bucket { tags: [0; SLOTS], state: 0, offsets: [0; SLOTS] };

    /// Without entries, and yet all that belong here are elsewhere.
    pub const PASSED_BY: Bucket = Bucket { state: 1 << SLOTS, ..Bucket::EMPTY };

    /// Entries that belong here and found the bucket full.
    #[inline(always)]
    pub fn overflow(&self) -> u32 {
        self.state >> SLOTS
    }

    /// Counts a further entry that found the bucket full.
    pub fn add_overflow(&mut self) {
        self.state += 1 << SLOTS;
    }

    /// Counts one less.
    pub fn remove_overflow(&mut self) {
        self.state -= 1 << SLOTS;
    }

    /// Whether a snapshot has been given the entry of a slot, or doesn't want it.
    pub fn is_handed(&self, slot: usize) -> bool {
        self.state >> slot & 1 != 0
    }

    pub fn set_handed(&mut self, slot: usize, handed: bool) {
        self.state = self.state & !(1 << slot) | u32::from(handed) << slot;
    }

    /// Takes all those marks away.
    pub fn unmark(&mut self) {
        self.state &= !SLOT_MASK;
    }

    /// Whether it is so of any slot.
    #[cfg(test)]
    pub fn has_handed(&self) -> bool {
        self.state & SLOT_MASK != 0
    }

    /// The slots that carry `tag`, a bit each.
    #[inline(always)]
    pub fn matches(&self, tag: u8) -> u32 {
        #[cfg(target_arch = "x86_64")]
        {
            self.matches_sse2(tag)
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self.matches_portable(tag)
        }
    }

    /// The slots that hold an entry, a bit each.
    #[inline(always)]
    pub fn occupied(&self) -> u32 {
        !self.matches(0) & SLOT_MASK
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn matches_sse2(&self, tag: u8) -> u32 {
        use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
        let line = std::ptr::from_ref(self).cast::<u8>();
        // SAFETY: SSE2 is part of x86_64; both loads lie within the 64 bytes of `self`.
        unsafe {
            let wanted = _mm_set1_epi8(tag.cast_signed());
            let low = _mm_cmpeq_epi8(_mm_loadu_si128(line.cast::<__m128i>()), wanted);
            let high = _mm_cmpeq_epi8(_mm_loadu_si128(line.add(16).cast::<__m128i>()), wanted);
            let mask = _mm_movemask_epi8(low).cast_unsigned() | _mm_movemask_epi8(high).cast_unsigned() << 16;
            mask & SLOT_MASK
        }
    }

    /// What [`Self::matches`] means, a byte at a time.
    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn matches_portable(&self, tag: u8) -> u32 {
        self.tags.iter().enumerate().fold(0, |mask, (slot, &have)| mask | u32::from(have == tag) << slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn vector_and_portable_compare_agree() {
        let mut rng = Rng::new(3);
        for _ in 0..2000 {
            let mut bucket = Bucket::EMPTY;
            bucket.tags.iter_mut().for_each(|tag| *tag = rng.below(4) as u8);
            bucket.state = rng.next_u64() as u32;
            bucket.offsets.iter_mut().for_each(|offset| *offset = rng.below(4) as u16);
            for tag in 0..5 {
                assert_eq!(bucket.matches(tag), bucket.matches_portable(tag));
            }
        }
    }
}
