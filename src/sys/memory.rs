//! The allocator, counted: how many bytes the program has asked for and not given back.
//!
//! `used_memory` and eviction read the same counter, so what is evicted is what is shown.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mimalloc::MiMalloc;

/// mimalloc, with every allocation's size added up.
pub struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

static USED: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use now.
#[inline]
pub fn used() -> usize {
    USED.load(Relaxed)
}

/// What an allocation of `size` bytes takes: the allocator's classes are eight bytes apart.
#[inline]
fn footprint(size: usize) -> usize {
    size.next_multiple_of(8)
}

// SAFETY: every call goes to mimalloc unchanged; only a counter is kept beside it.
unsafe impl GlobalAlloc for CountingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(footprint(layout.size()), Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        USED.fetch_sub(footprint(layout.size()), Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { MiMalloc.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(footprint(layout.size()), Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        USED.fetch_add(footprint(new_size), Relaxed);
        USED.fetch_sub(footprint(layout.size()), Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { MiMalloc.realloc(ptr, layout, new_size) }
    }
}
