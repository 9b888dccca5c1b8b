//! Shared strings: long string values whose allocation is counted, so that a reply can hold one while it is sent.
//!
//! ```text
//! entry → | counts, Vec | → bytes            replies on their way → the same counts and bytes
//! ```
//!
//! The entry owns one of the references. Bytes that others hold are never changed: the entry is given a copy first.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Strings of this length are shared from the time they are set, bytes.
pub const SHARED_MIN: usize = 32 * 1024;

/// What the counts and the vector before the bytes take.
const HEAD: usize = 2 * size_of::<usize>() + size_of::<Vec<u8>>();

/// Whether a string of `len` bytes may be kept in an allocation of `capacity`.
#[inline]
pub(super) fn is_right_size(capacity: usize, len: usize) -> bool {
    capacity >= len && capacity - len <= len / 8
}

/// An entry's reference to a shared string: a raw `Arc`. Copying it moves the reference.
#[derive(Clone, Copy)]
pub(super) struct SharedBytes(*const Vec<u8>);

impl SharedBytes {
    pub fn new(bytes: Arc<Vec<u8>>) -> Self {
        SharedBytes(Arc::into_raw(bytes))
    }

    /// As it lies in an entry.
    #[inline]
    pub fn stored(self) -> *const Vec<u8> {
        self.0
    }

    /// What [`Self::stored`] was.
    #[inline]
    pub fn of(stored: *const Vec<u8>) -> Self {
        SharedBytes(stored)
    }

    /// # Safety
    /// The entry's reference is given up, or the entry is about to be given what becomes of it.
    pub unsafe fn into_arc(self) -> Arc<Vec<u8>> {
        // SAFETY: `new` took the pointer from an `Arc`, whose reference the caller gives up.
        unsafe { Arc::from_raw(self.0) }
    }

    /// A further reference.
    ///
    /// # Safety
    /// The entry still owns its reference.
    pub unsafe fn hold(self) -> Arc<Vec<u8>> {
        // SAFETY: the reference made of the pointer is the entry's, which isn't dropped here.
        Arc::clone(&ManuallyDrop::new(unsafe { Arc::from_raw(self.0) }))
    }

    /// The string.
    ///
    /// # Safety
    /// The entry owns its reference, and nothing changes the string, for as long as the result is used.
    #[inline]
    pub unsafe fn bytes<'a>(self) -> &'a Vec<u8> {
        // SAFETY: by the contract the allocation is alive.
        unsafe { &*self.0 }
    }

    /// The string to be changed, if nothing else holds it.
    ///
    /// # Safety
    /// As for [`Self::bytes`], and the result is the only use of the string through this entry.
    pub unsafe fn bytes_mut<'a>(self) -> Option<&'a mut Vec<u8>> {
        // SAFETY: the reference made of the pointer is the entry's, which isn't dropped here.
        let mut reference = ManuallyDrop::new(unsafe { Arc::from_raw(self.0) });
        let bytes: *mut Vec<u8> = Arc::get_mut(&mut reference)?;
        // SAFETY: the entry's is the only reference, and the caller makes no second use of it meanwhile.
        Some(unsafe { &mut *bytes })
    }

    /// Overwrites a string whose allocation is the right one for the new string, and that nothing else holds.
    ///
    /// # Safety
    /// As for [`Self::bytes_mut`].
    pub unsafe fn overwrite(self, bytes: &[u8]) -> bool {
        // SAFETY: by the contract.
        let Some(old) = (unsafe { self.bytes_mut() }) else { return false };
        let fits = bytes.len() >= SHARED_MIN && is_right_size(old.capacity(), bytes.len());
        if fits {
            old.clear();
            old.extend_from_slice(bytes);
        }
        fits
    }

    /// Bytes allocated.
    ///
    /// # Safety
    /// The entry owns its reference.
    #[inline]
    pub unsafe fn memory(self) -> usize {
        // SAFETY: by the contract the allocation is alive.
        HEAD + unsafe { (*self.0).capacity() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `Arc` is the twin: the same steps, the same counts and bytes.
    #[test]
    fn references_are_counted_as_an_arc_does() {
        let mut twin = Arc::new(vec![7u8; 100]);
        let shared = SharedBytes::new(Arc::new(vec![7u8; 100]));
        // SAFETY: `shared` owns its reference until `into_arc`, which is last; no borrow outlives its line.
        unsafe {
            shared.bytes_mut().expect("one reference")[3] = 1;
            Arc::get_mut(&mut twin).expect("one reference")[3] = 1;
            let (held, held_twin) = (shared.hold(), twin.clone());
            assert_eq!((&*held, Arc::strong_count(&held)), (&*held_twin, Arc::strong_count(&held_twin)));
            assert_eq!((shared.bytes_mut().is_none(), Arc::get_mut(&mut twin).is_none()), (true, true));
            drop((held, held_twin));
            assert_eq!(shared.bytes_mut().map(|bytes| &*bytes), Arc::get_mut(&mut twin).map(|bytes| &*bytes));
            assert_eq!((shared.bytes(), shared.memory()), (&*twin, HEAD + twin.capacity()));
            assert_eq!(SharedBytes::of(shared.stored()).into_arc(), twin);
        }
    }
}
