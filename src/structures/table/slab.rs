//! The memory of one slab: from the allocator while it is small, from the kernel beyond.
//!
//! Large slabs are mapped on their own, so that their bytes are exactly what they take and come back at once, whatever
//! the allocator holds back; full-size ones are aligned so that one huge page can be all of it.
#![allow(unsafe_code)]

use super::keeper;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The size of the largest slabs: a huge page.
pub(super) const SLAB_MAX: usize = 2 << 20;
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
            && let Some(base) = if huge { keeper::take() } else { map(size, false) }
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
                keeper::give_back(self.base);
            } else if self.mapped {
                unmap(self.base, self.size);
            } else {
                dealloc(self.base, layout(self.size));
            }
        }
    }
}

/// # Safety
/// `base` came from [`map`] with this size, and nobody uses it any more.
pub(super) unsafe fn unmap(base: *mut u8, size: usize) {
    // SAFETY: by the contract.
    unsafe { libc::munmap(base.cast(), size) };
}

/// Anonymous memory; full-size slabs are aligned to their size.
pub(super) fn map(size: usize, huge: bool) -> Option<*mut u8> {
    let spare = if size == SLAB_MAX { size } else { 0 };
    // SAFETY: a new mapping touches nothing that exists; what is unmapped is the part of it that alignment leaves over.
    unsafe {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let start = libc::mmap(std::ptr::null_mut(), size + spare, access, kind, -1, 0);
        if start == libc::MAP_FAILED {
            return None;
        }
        let start = start.cast::<u8>();
        let before = if spare == 0 { 0 } else { start.align_offset(size) };
        let base = start.add(before);
        if before > 0 {
            libc::munmap(start.cast(), before);
        }
        if before < spare {
            libc::munmap(base.add(size).cast(), spare - before);
        }
        #[cfg(target_os = "linux")]
        if huge {
            libc::madvise(base.cast(), size, libc::MADV_HUGEPAGE);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = huge;
        Some(base)
    }
}
