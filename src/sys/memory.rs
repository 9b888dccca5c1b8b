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

unsafe extern "C" {
    fn mi_collect(force: bool);
    fn mi_stats_print_out(
        out: extern "C" fn(*const std::ffi::c_char, *mut std::ffi::c_void),
        arg: *mut std::ffi::c_void,
    );
}

/// Gives free pages back to the system.
pub fn purge() {
    // SAFETY: mimalloc is linked in as the allocator; the call has no preconditions.
    unsafe { mi_collect(true) }
}

/// As [`purge`], on a thread of its own: returning a gigabyte takes a tenth of a second.
pub fn purge_in_background() {
    let thread = std::thread::Builder::new().name("memory".into());
    // Should it not start, the memory stays where it is.
    let _ = thread.spawn(|| {
        super::process::lower_priority();
        purge();
    });
}

/// The allocator's own statistics, as text.
pub fn report() -> String {
    extern "C" fn collect(line: *const std::ffi::c_char, text: *mut std::ffi::c_void) {
        // SAFETY: mimalloc passes a terminated line, and `text` is the string given below, used by
        // nobody else meanwhile.
        let (line, text) = unsafe { (std::ffi::CStr::from_ptr(line), &mut *text.cast::<String>()) };
        text.push_str(&line.to_string_lossy());
    }
    // Room enough that the callback needn't allocate while the allocator counts.
    let mut text = String::with_capacity(16 * 1024);
    // SAFETY: the callback is called with `text` before this returns, and never after.
    unsafe { mi_stats_print_out(collect, (&raw mut text).cast()) };
    text
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
