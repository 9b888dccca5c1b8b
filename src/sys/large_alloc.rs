//! Large allocations: mappings of their own, which a helper thread unmaps.
//!
//! The kernel takes a tenth of a second to take back the pages of a gigabyte, and an allocator that keeps them for a while only
//! puts that off until some later request allocates. So what has [`LARGE`] bytes or more is mapped by itself, and the
//! code that drops it, whichever it is (UNLINK, SET over it, expiry, a buffer that is done with), pays for a
//! link in a list, which lies in the freed memory itself:
//!
//! ```text
//! FREED ─▶ | next, bytes | … |  ─▶ | next, bytes | … |        a stack; the thread takes all of it at once
//! ```
//!
//! Growing such an allocation moves its pages, not its bytes. Without a thread (tools, tests) unmapping is done on the spot, and so it is
//! when the thread is far behind, for a client that sets and deletes must not be faster than memory comes back.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread::Thread;

/// Allocations of so many bytes are mapped.
pub const LARGE: usize = 32 << 20;
/// Mappings are a multiple of this, which is a multiple of every page size in use.
const GRAIN: usize = 64 << 10;
/// Mappings are aligned to the smallest page size.
const ALIGN_MAX: usize = 4096;
/// The thread may be behind by so many bytes.
const BEHIND_MAX: usize = 2 << 30;

/// What a freed mapping begins with.
struct Freed {
    next: *mut Freed,
    bytes: usize,
}

/// Mappings that the thread is to unmap, the last first.
static FREED: AtomicPtr<Freed> = AtomicPtr::new(ptr::null_mut());
/// Their bytes.
static BEHIND: AtomicUsize = AtomicUsize::new(0);
static THREAD: OnceLock<Thread> = OnceLock::new();

/// Whether an allocation is one of these. It depends on the layout alone, which is the same when the memory is freed.
#[inline(always)]
pub(super) fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= ALIGN_MAX
}

/// Bytes of the mapping for `size` bytes.
fn mapped(size: usize) -> usize {
    size.next_multiple_of(GRAIN)
}

/// Starts the thread that unmaps.
pub fn start_unmapping_thread() {
    let thread = std::thread::Builder::new().name("unmap".into()).spawn(|| {
        super::process::lower_priority();
        loop {
            unmap_freed();
            std::thread::park();
        }
    });
    // Should it not start, unmapping is done on the spot; should there be one already, two serve as well as one.
    if let Ok(thread) = thread {
        let _ = THREAD.set(thread.thread().clone());
    }
}

fn unmap_freed() {
    let mut next = FREED.swap(ptr::null_mut(), Ordering::Acquire);
    while !next.is_null() {
        // SAFETY: whatever is on the stack was put there whole by `free`, which gave up the mapping; it was taken off once.
        unsafe {
            let Freed { next: after, bytes } = next.read();
            libc::munmap(next.cast(), bytes);
            BEHIND.fetch_sub(bytes, Ordering::Relaxed);
            next = after;
        }
    }
}

/// Zeroed memory for `size` bytes; null if there is none.
pub(super) fn alloc(size: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping touches nothing that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), mapped(size), access, kind, -1, 0) };
    if start == libc::MAP_FAILED { ptr::null_mut() } else { start.cast() }
}

/// Frees an allocation.
///
/// # Safety
/// `start` came from [`alloc`] or [`resize`] with this size, and nothing refers to it any more.
pub(super) unsafe fn free(start: *mut u8, size: usize) {
    // SAFETY: by the contract the whole mapping is free.
    unsafe { release(start, mapped(size)) }
}

/// Gives up a part of a mapping, in whole grains.
///
/// # Safety
/// The `bytes` at `start` are mapped by [`alloc`] or [`resize`], both multiples of the grain, and nothing refers to them any more.
unsafe fn release(start: *mut u8, bytes: usize) {
    #[cfg(test)]
    tests::RELEASED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(start.addr());
    let thread = THREAD.get().filter(|_| BEHIND.load(Ordering::Relaxed) + bytes <= BEHIND_MAX);
    let Some(thread) = thread else {
        // SAFETY: by the contract.
        unsafe { libc::munmap(start.cast(), bytes) };
        return;
    };
    BEHIND.fetch_add(bytes, Ordering::Relaxed);
    let freed = start.cast::<Freed>();
    let mut next = FREED.load(Ordering::Relaxed);
    loop {
        // SAFETY: by the contract the memory is free, writable and aligned to a page.
        unsafe { freed.write(Freed { next, bytes }) };
        match FREED.compare_exchange_weak(next, freed, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => next = now,
        }
    }
    thread.unpark();
}

/// Makes an allocation larger or smaller, both sizes being large; null if there is no memory, and then nothing has changed.
///
/// # Safety
/// `start` came from [`alloc`] or [`resize`] with the size `old`; if the result isn't null, only it is used from here on.
pub(super) unsafe fn resize(start: *mut u8, old: usize, new: usize) -> *mut u8 {
    let (before, after) = (mapped(old), mapped(new));
    if after <= before {
        if after < before {
            // SAFETY: the end of the mapping, of which the caller makes no use any more.
            unsafe { release(start.add(after), before - after) };
        }
        return start;
    }
    // SAFETY: by the contract the mapping is the caller's, and of `before` bytes.
    unsafe { grow(start, before, after) }
}

/// # Safety
/// As for [`resize`], with the sizes of the mappings.
#[cfg(target_os = "linux")]
unsafe fn grow(start: *mut u8, before: usize, after: usize) -> *mut u8 {
    // SAFETY: by the contract.
    let moved = unsafe { libc::mremap(start.cast(), before, after, libc::MREMAP_MAYMOVE) };
    if moved == libc::MAP_FAILED { ptr::null_mut() } else { moved.cast() }
}

/// # Safety
/// As for [`resize`], with the sizes of the mappings.
#[cfg(not(target_os = "linux"))]
unsafe fn grow(start: *mut u8, before: usize, after: usize) -> *mut u8 {
    let moved = alloc(after);
    if !moved.is_null() {
        // SAFETY: by the contract, and the new mapping is apart from the old one.
        unsafe {
            moved.copy_from_nonoverlapping(start, before);
            release(start, before);
        }
    }
    moved
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    /// Addresses of the mappings given up so far.
    pub(crate) static RELEASED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    /// Held by a test while it asks [`was_released`]: an address may be another test's allocation soon after.
    pub(crate) fn exclusively() -> std::sync::MutexGuard<'static, ()> {
        static ASKING: Mutex<()> = Mutex::new(());
        ASKING.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the large allocation at this address has been given up since it was last asked about.
    pub(crate) fn was_released(address: usize) -> bool {
        let mut released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
        let found = released.iter().position(|at| *at == address);
        found.map(|at| released.swap_remove(at)).is_some()
    }

    #[test]
    fn bytes_survive_growing_and_shrinking() {
        let mut bytes = vec![0u8; LARGE];
        let pattern = |at: usize| (at / 977) as u8;
        (0..LARGE).step_by(977).for_each(|at| bytes[at] = pattern(at));
        for size in [LARGE + 1, 3 * LARGE, LARGE + GRAIN, LARGE, 4096, LARGE, 2 * LARGE] {
            bytes.resize(size, 0);
            bytes.shrink_to_fit();
            let kept = if size < LARGE { 4096 } else { LARGE };
            (0..kept.min(4096)).step_by(977).for_each(|at| assert_eq!(bytes[at], pattern(at), "{size}"));
            assert!(bytes[kept..].iter().step_by(4096).all(|byte| *byte == 0));
        }
    }

    #[test]
    fn the_thread_unmaps_what_is_freed() {
        let _alone = exclusively();
        start_unmapping_thread();
        for round in 1..20u8 {
            let bytes = vec![round; LARGE + usize::from(round)];
            let address = bytes.as_ptr().addr();
            while was_released(address) {}
            drop(bytes);
            assert!(was_released(address));
        }
        while BEHIND.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
    }
}
