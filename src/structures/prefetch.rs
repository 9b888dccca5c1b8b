//! Prefetching: memory that will be read soon is asked for ahead, so that several such loads overlap.
#![allow(unsafe_code)]

/// Asks the processor for the cache line in which `value` begins.
#[inline(always)]
pub fn prefetch_ref<T>(value: &T) {
    prefetch(std::ptr::from_ref(value).cast());
}

/// Asks the processor for the cache line at `line`.
#[inline(always)]
pub(in crate::structures) fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint: it faults on no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
