//! Slab memory: one slab of the pool, allocated while it is small, mapped from the kernel beyond.
//!
//! Large slabs are mapped on their own, so that their bytes are exactly what they take and come back at once, whatever
//! the allocator holds back; full-size ones are aligned so that one huge page can be all of it.
#![allow(unsafe_code)]

use super::mmap::{SLAB_MAX, map, unmap};
use super::slab_cache;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Slabs from this size on are mapped.
const MAP_FROM: usize = 64 << 10;

/// Bytes in use of all mapped slabs of the process: what an allocator that counts doesn't see.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Bytes that tables use outside the allocator's memory.
#[inline]
pub fn mapped_bytes() -> usize {
    MAPPED.load(Relaxed)
}

/// One slab's bytes; dropping it gives them back.
#[derive(Debug)]
pub(super) struct SlabMemory {
    base: *mut u8,
    size: usize,
    mapped: bool,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, size.min(4096)).expect("a slab is at most 2 MiB")
}

impl SlabMemory {
    /// A slab of `size` bytes, a power of two. `huge`: better to have it on a huge page than to save what is not yet used.
    pub fn new(size: usize, huge: bool) -> SlabMemory {
        debug_assert!(size.is_power_of_two() && size <= SLAB_MAX);
        let huge = huge && size == SLAB_MAX;
        if size >= MAP_FROM
            && let Some(base) = if huge { slab_cache::take() } else { map(size, false) }
        {
            return SlabMemory { base, size, mapped: true };
        }
        // SAFETY: the size is not zero.
        let base = unsafe { alloc(layout(size)) };
        if base.is_null() {
            handle_alloc_error(layout(size));
        }
        SlabMemory { base, size, mapped: false }
    }

    /// A chunk of it was taken.
    #[inline]
    pub fn note_taken(&self, bytes: usize) {
        if self.mapped {
            MAPPED.fetch_add(bytes, Relaxed);
        }
    }

    /// Chunks of it were given back.
    #[inline]
    pub fn note_given_back(&self, bytes: usize) {
        if self.mapped {
            MAPPED.fetch_sub(bytes, Relaxed);
        }
    }

    /// Where it begins; aligned to its size, but to a page at most if it is not of full size.
    pub fn base(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for SlabMemory {
    fn drop(&mut self) {
        // SAFETY: `new` got the memory in the way `mapped` says; the slab's owner uses it no longer.
        unsafe {
            if self.mapped && self.size == SLAB_MAX {
                slab_cache::give_back(self.base);
            } else if self.mapped {
                unmap(self.base, self.size);
            } else {
                dealloc(self.base, layout(self.size));
            }
        }
    }
}
