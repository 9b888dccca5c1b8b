//! The global allocator, which counts the bytes in use (`zmalloc`).
//!
//! `used_memory` and eviction read the same counter, so what is evicted is what is shown.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use backend::{ALLOCATOR as BACKEND, NAME};

/// The allocator that serves, with every allocation's size added up.
pub struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

static USED: AtomicUsize = AtomicUsize::new(0);

/// The allocator's name, as INFO and `--version` give it.
pub const ALLOCATOR_NAME: &str = NAME;

/// Bytes in use now.
#[inline]
pub fn used() -> usize {
    USED.load(Relaxed)
}

/// Gives free pages back to the system.
pub fn purge() {
    backend::purge();
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

/// Keeps free pages until the next [`purge`]. Otherwise the thread that happens to allocate next gives them back, and the
/// event loop would wait milliseconds for the system while a snapshot or a big deletion goes on.
pub fn leave_free_pages_to_purge() {
    backend::leave_free_pages_to_purge();
}

/// Starts the thread that gives large allocations back to the system, so that the code that frees one need not wait.
pub fn start_unmapping_thread() {
    #[cfg(not(system_allocator))]
    super::large_alloc::start_unmapping_thread();
}

/// Corrects the count by allocations that it does not see: they were `old` bytes and are `new` ones.
pub(super) fn recount(old: usize, new: usize) {
    USED.fetch_add(new.wrapping_sub(old), Relaxed);
}

pub(super) use backend::{untyped_alloc, untyped_free, untyped_realloc};

/// The allocator's own statistics, as text.
pub fn report() -> String {
    backend::report()
}

#[cfg(not(system_allocator))]
mod backend {
    //! mimalloc: what the server runs with.

    use std::alloc::{GlobalAlloc, Layout};

    use crate::sys::large_alloc;
    use mimalloc::MiMalloc;

    pub(super) const NAME: &str = "mimalloc";
    pub(super) static ALLOCATOR: Allocator = Allocator;

    /// mimalloc, and mappings for what is large.
    pub(super) struct Allocator;

    // SAFETY: an allocation is mimalloc's or a mapping by its layout, which is the same at each call for it.
    unsafe impl GlobalAlloc for Allocator {
        #[inline]
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if large_alloc::is_large(layout) {
                return large_alloc::alloc(layout.size());
            }
            // SAFETY: the caller's obligations are passed on.
            unsafe { MiMalloc.alloc(layout) }
        }

        #[inline]
        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            // SAFETY: the caller's obligations are passed on.
            unsafe {
                if large_alloc::is_large(layout) {
                    large_alloc::free(ptr, layout.size());
                } else {
                    MiMalloc.dealloc(ptr, layout);
                }
            }
        }

        // SAFETY: the kernel hands a mapping out zeroed; for all else the caller's obligations are passed on.
        #[inline]
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            if large_alloc::is_large(layout) {
                return large_alloc::alloc(layout.size());
            }
            // SAFETY: the caller's obligations are passed on.
            unsafe { MiMalloc.alloc_zeroed(layout) }
        }

        #[inline]
        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            // SAFETY: the caller vouches for a valid layout of the new size.
            let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            // SAFETY: the caller's obligations are passed on.
            unsafe {
                match (large_alloc::is_large(layout), large_alloc::is_large(new)) {
                    (false, false) => MiMalloc.realloc(ptr, layout, new_size),
                    (true, true) => large_alloc::resize(ptr, layout.size(), new_size),
                    _ => self.move_over(ptr, layout, new),
                }
            }
        }
    }

    impl Allocator {
        /// Reallocates from one kind to the other.
        ///
        /// # Safety
        /// As for `realloc`.
        #[cold]
        unsafe fn move_over(&self, ptr: *mut u8, old: Layout, new: Layout) -> *mut u8 {
            // SAFETY: the new allocation is apart from the old one, and both have the bytes copied.
            unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(ptr, old.size().min(new.size()));
                    self.dealloc(ptr, old);
                }
                moved
            }
        }
    }

    /// `mi_option_arena_reserve` of `mimalloc.h`, in KiB.
    const ARENA_RESERVE: std::ffi::c_int = 23;
    /// Address space of the first eight arenas; those of each eight after them are twice as large. Every arena has maps of all its
    /// pages, for each class of sizes: of the default, a gigabyte, 180 KiB, which a small server has for nothing.
    const FIRST_ARENAS_KIB: std::ffi::c_long = 64 << 10;

    /// Sets what must be set before the first allocation, which is made before `main`.
    #[cfg(target_os = "linux")]
    #[used]
    // SAFETY: the linker calls the functions of this section with three arguments, which C functions may leave unread.
    #[unsafe(link_section = ".init_array")]
    static SET_OPTIONS: extern "C" fn() = {
        extern "C" fn set_options() {
            // SAFETY: the option exists; what the environment says of it prevails.
            unsafe { mi_option_set_default(ARENA_RESERVE, FIRST_ARENAS_KIB) }
        }
        set_options
    };

    #[cfg(all(test, target_os = "linux"))]
    #[test]
    fn the_first_arena_is_small() {
        unsafe extern "C" {
            fn mi_option_get(option: std::ffi::c_int) -> std::ffi::c_long;
        }
        // SAFETY: the option exists.
        assert_eq!(unsafe { mi_option_get(ARENA_RESERVE) }, FIRST_ARENAS_KIB);
    }

    unsafe extern "C" {
        fn mi_malloc(size: usize) -> *mut u8;
        fn mi_realloc(block: *mut u8, size: usize) -> *mut u8;
        fn mi_free(block: *mut u8);
        fn mi_collect(force: bool);
        fn mi_option_set_default(option: std::ffi::c_int, value: std::ffi::c_long);
        fn mi_stats_print_out(
            out: extern "C" fn(*const std::ffi::c_char, *mut std::ffi::c_void),
            arg: *mut std::ffi::c_void,
        );
    }

    /// Memory for C code, which frees it without its size: aligned for a pointer, and counted by its user.
    ///
    /// # Safety
    /// What it returns, which may be null, is freed by [`untyped_free`].
    #[inline]
    pub(in crate::sys) unsafe fn untyped_alloc(size: usize) -> *mut u8 {
        // SAFETY: the call has no preconditions.
        unsafe { mi_malloc(size) }
    }

    /// # Safety
    /// `block` is of [`untyped_alloc`] or this.
    #[inline]
    pub(in crate::sys) unsafe fn untyped_realloc(block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        unsafe { mi_realloc(block, size) }
    }

    /// # Safety
    /// `block` is of [`untyped_alloc`] or [`untyped_realloc`], and used no more.
    #[inline]
    pub(in crate::sys) unsafe fn untyped_free(block: *mut u8) {
        // SAFETY: the caller's obligations are passed on.
        unsafe { mi_free(block) }
    }

    pub(super) fn leave_free_pages_to_purge() {
        /// `mi_option_purge_delay` of `mimalloc.h`, in ms.
        const PURGE_DELAY: std::ffi::c_int = 15;
        /// Longer than a server runs. -1 would keep the pages from `mi_collect`, too.
        const NEVER: std::ffi::c_long = i32::MAX as _;
        // SAFETY: the option exists; what the environment says of it prevails.
        unsafe { mi_option_set_default(PURGE_DELAY, NEVER) }
    }

    pub(super) fn purge() {
        // SAFETY: mimalloc is linked in as the allocator; the call has no preconditions.
        unsafe { mi_collect(true) }
    }

    pub(super) fn report() -> String {
        extern "C" fn collect(line: *const std::ffi::c_char, text: *mut std::ffi::c_void) {
            // SAFETY: mimalloc passes a terminated line, and `text` is the string given below, used by
            // nothing else meanwhile.
            let (line, text) = unsafe { (std::ffi::CStr::from_ptr(line), &mut *text.cast::<String>()) };
            text.push_str(&line.to_string_lossy());
        }
        // Room enough that the callback needn't allocate while the allocator counts.
        let mut text = String::with_capacity(16 * 1024);
        // SAFETY: the callback is called with `text` before this returns, and never after.
        unsafe { mi_stats_print_out(collect, (&raw mut text).cast()) };
        text
    }
}

#[cfg(system_allocator)]
mod backend {
    //! The system's allocator: what sanitizers see through (`--cfg system_allocator`; see `docs/testing.md`).

    pub(super) const NAME: &str = "libc";
    pub(super) static ALLOCATOR: std::alloc::System = std::alloc::System;

    /// Memory for C code, which frees it without its size: aligned for a pointer, and counted by its user.
    ///
    /// # Safety
    /// What it returns, which may be null, is freed by [`untyped_free`].
    pub(in crate::sys) unsafe fn untyped_alloc(size: usize) -> *mut u8 {
        // SAFETY: the call has no preconditions.
        unsafe { libc::malloc(size).cast() }
    }

    /// # Safety
    /// `block` is of [`untyped_alloc`] or this.
    pub(in crate::sys) unsafe fn untyped_realloc(block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's obligations are passed on.
        unsafe { libc::realloc(block.cast(), size).cast() }
    }

    /// # Safety
    /// `block` is of [`untyped_alloc`] or [`untyped_realloc`], and used no more.
    pub(in crate::sys) unsafe fn untyped_free(block: *mut u8) {
        // SAFETY: the caller's obligations are passed on.
        unsafe { libc::free(block.cast()) }
    }

    /// The system's allocator decides by itself what it keeps.
    pub(super) fn purge() {}

    pub(super) fn leave_free_pages_to_purge() {}

    /// The system's allocator has no statistics that could be had as text.
    pub(super) fn report() -> String {
        String::new()
    }
}

/// What an allocation of `size` bytes takes: the allocator's classes are eight bytes apart.
#[inline]
fn footprint(size: usize) -> usize {
    size.next_multiple_of(8)
}

#[inline]
fn count_allocation(size: usize) {
    USED.fetch_add(footprint(size), Relaxed);
    #[cfg(test)]
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

#[cfg(test)]
std::thread_local! {
    /// Allocations and reallocations of a thread: tests run side by side.
    static ALLOCATIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Allocations and reallocations of the calling thread so far.
#[cfg(test)]
pub fn thread_allocations() -> u64 {
    ALLOCATIONS.with(std::cell::Cell::get)
}

// SAFETY: every call goes to the allocator behind it unchanged; only a counter is kept beside it.
unsafe impl GlobalAlloc for CountingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { BACKEND.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        USED.fetch_sub(footprint(layout.size()), Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { BACKEND.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        // SAFETY: the caller's obligations are passed on.
        unsafe { BACKEND.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_allocation(new_size);
        USED.fetch_sub(footprint(layout.size()), Relaxed);
        // SAFETY: the caller's obligations are passed on.
        unsafe { BACKEND.realloc(ptr, layout, new_size) }
    }
}
