//! Memory mappings (`mmap`, `munmap`): anonymous ones for slabs, aligned if they are of full size.
#![allow(unsafe_code)]

/// The size of the largest slabs: a huge page.
pub(super) const SLAB_MAX: usize = 2 << 20;

/// # Safety
/// `base` came from [`map`] with this size, and it is not used any more.
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
