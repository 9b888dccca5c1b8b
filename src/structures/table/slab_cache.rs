//! Slab cache: a helper thread that has full-size slabs ready before they are needed, and unmaps those given back.
//!
//! The first touch of a huge page has the kernel zero two megabytes: a fifth of a millisecond, and many times
//! that on a virtual machine whose host has to find the memory first. Unmapping costs as much again. Neither
//! happens on the thread that serves clients; when it needs slabs faster than the helper can supply them, it gets small pages.
//!
//! One slab is kept ready, once a table is so large that its slabs are on huge pages at all; a second without demand
//! and it goes. The thread touches no slab that is in use, and knows no tables.
#![allow(unsafe_code)]

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::mmap::{SLAB_MAX, map, unmap};

/// How long an unused slab is kept ready.
const KEEP_READY: Duration = Duration::from_secs(1);
/// A page: what one touch brings in at least.
const PAGE: usize = 4096;
/// How much the thread that serves clients comes before this one where they share a processor.
const NICE: i32 = 5;

/// A mapping of [`SLAB_MAX`] bytes to which there is no other reference.
struct Mapping(*mut u8);

// SAFETY: the owner of the `Mapping` is the only one to touch the memory.
unsafe impl Send for Mapping {}

enum Order {
    /// The ready slab was taken, or there was none: have one ready.
    Supply,
    Unmap(Mapping),
}

struct SlabCache {
    ready: Mutex<Option<Mapping>>,
    orders: Sender<Order>,
}

static SLAB_CACHE: OnceLock<Option<SlabCache>> = OnceLock::new();

/// The cache, or `None` where no thread could be started.
fn cache() -> Option<&'static SlabCache> {
    let start = || {
        let (orders, received) = channel();
        let thread = std::thread::Builder::new().name("slabs".into());
        thread.spawn(move || work(&received)).ok()?;
        Some(SlabCache { ready: Mutex::new(None), orders })
    };
    SLAB_CACHE.get_or_init(start).as_ref()
}

/// A mapped slab, zeroed: the one that is ready, on a huge page. If there is none it is one on small
/// pages, which come in one at a time: rather a slower slab than a turn that waits for two megabytes.
pub(super) fn take() -> Option<*mut u8> {
    let ready = cache().and_then(|cache| {
        let ready = cache.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        cache.orders.send(Order::Supply).ok()?;
        ready
    });
    ready.map(|mapping| mapping.0).or_else(|| map(SLAB_MAX, false))
}

/// Unmaps a full-size slab, soon.
///
/// # Safety
/// `base` came from [`take`] or [`map`] with the full size, and it is not used any more.
pub(super) unsafe fn give_back(base: *mut u8) {
    let refused = match cache() {
        Some(cache) => cache.orders.send(Order::Unmap(Mapping(base))).is_err(),
        None => true,
    };
    if refused {
        // SAFETY: by the contract.
        unsafe { unmap(base, SLAB_MAX) };
    }
}

fn work(orders: &Receiver<Order>) {
    lower_priority();
    // Until the first order the cache may not be there yet.
    let mut next = orders.recv().map_err(|_| RecvTimeoutError::Disconnected);
    let Some(cache) = SLAB_CACHE.wait() else { return };
    loop {
        match next {
            Ok(Order::Supply) => supply(cache),
            // SAFETY: the sender gave up the last reference.
            Ok(Order::Unmap(mapping)) => unsafe { unmap(mapping.0, SLAB_MAX) },
            Err(RecvTimeoutError::Timeout) => {
                let idle = cache.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(mapping) = idle {
                    // SAFETY: the cache held the only reference.
                    unsafe { unmap(mapping.0, SLAB_MAX) };
                }
                // Nothing is ready, so nothing has to be waited for but orders.
                next = orders.recv().map_err(|_| RecvTimeoutError::Disconnected);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        next = orders.recv_timeout(KEEP_READY);
    }
}

/// Lowers the priority of the calling thread below that of the thread that serves clients.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: changes a number of the calling thread's. Should it fail, nothing is lost.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
    }
}

/// Has a slab ready, its memory there.
fn supply(cache: &SlabCache) {
    let is_there = cache.ready.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    if is_there {
        return;
    }
    let Some(base) = map(SLAB_MAX, true) else { return };
    for page in (0..SLAB_MAX).step_by(PAGE) {
        // SAFETY: within the new mapping, which is this thread's alone. Volatile, because it is not read here.
        unsafe { base.add(page).write_volatile(0) };
    }
    *cache.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(Mapping(base));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_come_zeroed_and_apart_however_fast_they_are_asked_for() {
        let slabs: Vec<*mut u8> = (0..20).map(|_| take().expect("memory")).collect();
        for (number, slab) in slabs.iter().enumerate() {
            assert_eq!(slab.align_offset(SLAB_MAX), 0);
            // SAFETY: the slabs are this test's.
            let bytes = unsafe { std::slice::from_raw_parts_mut(*slab, SLAB_MAX) };
            assert!(bytes.iter().step_by(509).all(|byte| *byte == 0));
            bytes.fill(number as u8 + 1);
        }
        for (number, slab) in slabs.into_iter().enumerate() {
            // SAFETY: as above, and each is given back once.
            unsafe {
                assert!((0..SLAB_MAX).step_by(4099).all(|at| *slab.add(at) == number as u8 + 1));
                give_back(slab);
            }
        }
    }
}
