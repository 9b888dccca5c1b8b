//! Blob: a heap allocation behind one pointer, for structures whose own header holds their length
//! (listpack, intset): a small collection is then one word in its owner and one allocation.
//!
//!     owner: ptr ──▶ [ length bytes | slack up to capacity(length) ]
//!
//! The capacity is a function of the length, namely the allocator's size class, so slack never
//! costs memory that rounding had not taken already, and growth is geometric for free.
//! It knows no format, and not even its own length: the owner passes it.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::ptr::NonNull;

/// Bytes allocated for `len` bytes: steps of 16 up to 64, then four steps a doubling.
#[inline]
pub(super) fn capacity(len: usize) -> usize {
    if len <= 64 {
        return len.max(1).next_multiple_of(16);
    }
    let top = usize::BITS - 1 - (len - 1).leading_zeros();
    len.next_multiple_of(1 << (top - 2))
}

/// An allocation of `capacity(len)` bytes, where only the owner knows `len`. It has no `Drop`.
#[derive(Debug)]
pub(super) struct Blob {
    ptr: NonNull<u8>,
}

// SAFETY: a Blob owns its bytes exclusively and has no shared interior; moving it to or sharing
// it with another thread is as sound as for a Box<[u8]>.
unsafe impl Send for Blob {}
// SAFETY: as above; nothing is mutated through `&Blob`.
unsafe impl Sync for Blob {}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(capacity(len), 1).expect("length within the address space")
}

impl Blob {
    /// Copies `bytes` into an allocation of its own.
    pub(super) fn from_slice(bytes: &[u8]) -> Blob {
        Blob::from_parts([bytes])
    }

    /// Copies `parts`, one behind the other, into an allocation of its own.
    #[inline]
    pub(super) fn from_parts<const N: usize>(parts: [&[u8]; N]) -> Blob {
        let layout = layout(parts.iter().map(|part| part.len()).sum());
        // SAFETY: the layout's size is never zero (capacity() is at least 16).
        let raw = unsafe { alloc(layout) };
        let Some(ptr) = NonNull::new(raw) else { handle_alloc_error(layout) };
        let mut to = ptr.as_ptr();
        for part in parts {
            // SAFETY: the new allocation overlaps nothing, and has room for all parts.
            unsafe {
                std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
        }
        Blob { ptr }
    }

    /// A blob of bytes that lie elsewhere.
    ///
    /// # Safety
    /// The bytes stay where they are while the blob is used; it is neither resized nor freed.
    pub(super) unsafe fn from_raw(ptr: NonNull<u8>) -> Blob {
        Blob { ptr }
    }

    /// Changes the length from `old` to `new`, keeping the first `min(old, new)` bytes.
    ///
    /// # Safety
    /// `old` is the length this blob was made with or last resized to. Bytes beyond it are
    /// written before anything reads them.
    #[inline]
    pub(super) unsafe fn resize(&mut self, old: usize, new: usize) {
        let (before, after) = (capacity(old), capacity(new));
        if before != after {
            // SAFETY: by the contract the allocation has layout(old).
            unsafe { self.reallocate(old, new) };
        }
    }

    /// # Safety
    /// As for `resize`.
    #[cold]
    unsafe fn reallocate(&mut self, old: usize, new: usize) {
        // SAFETY: by the contract the allocation has layout(old); the new size is not zero and
        // layout(new) has checked that it does not overflow.
        let raw = unsafe { realloc(self.ptr.as_ptr(), layout(old), layout(new).size()) };
        self.ptr = NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(layout(new)));
    }

    /// Where the bytes are; good until the next resize.
    #[inline(always)]
    pub(super) fn start(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// The first `len` bytes.
    ///
    /// # Safety
    /// `len` is at most this blob's length, and that many bytes have been written.
    #[inline(always)]
    pub(super) unsafe fn bytes(&self, len: usize) -> &[u8] {
        // SAFETY: by the contract these bytes are allocated and initialised, and `&self` keeps
        // them from being changed or freed.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), len) }
    }

    /// The first `len` bytes, to write.
    ///
    /// # Safety
    /// `len` is at most this blob's length, and that many bytes have been written.
    #[inline(always)]
    pub(super) unsafe fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), len) }
    }

    /// Frees the allocation.
    ///
    /// # Safety
    /// `len` is this blob's length, and the blob is not used afterwards.
    pub(super) unsafe fn free(&mut self, len: usize) {
        // SAFETY: by the contract the allocation has this layout and is freed once.
        unsafe { dealloc(self.ptr.as_ptr(), layout(len)) };
    }
}

#[cfg(test)]
mod tests {
    use super::capacity;

    #[test]
    fn capacity_is_the_allocators_size_class() {
        let classes = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
        for len in 0..=384 {
            assert_eq!(capacity(len), *classes.iter().find(|&&c| c >= len).unwrap(), "{len}");
        }
        for len in 384..100_000 {
            assert!(capacity(len) >= len && capacity(len) < len + len / 4);
            assert_eq!(capacity(capacity(len)), capacity(len));
        }
    }
}
