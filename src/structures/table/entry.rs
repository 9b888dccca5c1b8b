//! Entries: the bytes of one key and its value, as they lie in an arena.
//!
//! ```text
//! | flags 1 | access 3, tables with a clock | key length 1 | value length 1, inline bytes only |
//! | deadline 8, if it has one | key | value |
//! ```
//!
//! Keys and values of up to 255 bytes lie here; longer ones have an allocation of their own and
//! leave pointer and length (values: also a capacity) in their place, very long values a counted reference (`shared`).
//! An integer is its eight bytes, an object the pointer of its box, an empty string nothing. Nothing is aligned.
//! Lengths of one byte make a key's place a matter of two flag bits.
//!
//! This file doesn't manage ownership: copying an entry's bytes moves what it points to.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ptr;

use super::shared::SharedBytes;

/// Longer keys and values get an allocation of their own.
pub(super) const INLINE_MAX: usize = u8::MAX as usize;

/// No entry takes more of an arena.
pub(super) const ENTRY_MAX: usize = footprint(key_start(true, INLINE | DEADLINE) + 2 * INLINE_MAX);

const INLINE: u8 = 1;
pub(super) const DEADLINE: u8 = 2;
/// What the value is: an odd one lies here with its length. All but embedded values and shared strings leave the top bits 0.
const KIND: u8 = 0b1100_1100 | INLINE;
const EMPTY: u8 = 0;
const INT: u8 = 4;
const HEAP: u8 = 8;
const OBJECT: u8 = 12;
const SHARED: u8 = HEAP | 1 << TAG_SHIFT;
/// An embedded value with one of four tags in the top bits; another four follow with `EMBEDDED_MORE`.
const EMBEDDED: u8 = 4 | INLINE;
const EMBEDDED_MORE: u8 = 8 | INLINE;
const TAG_SHIFT: u8 = 6;
/// Packed values have a tag below this.
pub(super) const TAGS: u8 = 8;
pub(super) const HEAP_KEY: u8 = 16;
/// The string was changed in place since it was set.
pub(super) const EDITED: u8 = 32;

const HEAP_KEY_SIZE: usize = size_of::<HeapKey>();

/// A long key's allocation, of exactly `len` bytes.
#[derive(Clone, Copy)]
pub(super) struct HeapKey {
    ptr: *mut u8,
    len: usize,
}

impl HeapKey {
    pub fn new(key: &[u8]) -> Self {
        let len = key.len();
        HeapKey { ptr: Box::into_raw(Box::<[u8]>::from(key)).cast(), len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// # Safety
    /// No entry refers to this key any more.
    pub unsafe fn free(self) {
        // SAFETY: `new` took both from a box, and the caller gives up the last reference.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.ptr, self.len)) });
    }
}

/// A long value's allocation: the parts of a `Vec<u8>`.
#[derive(Clone, Copy)]
pub(super) struct HeapBytes {
    pub ptr: *mut u8,
    pub len: usize,
    pub capacity: usize,
}

impl HeapBytes {
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut bytes = ManuallyDrop::new(bytes);
        HeapBytes { ptr: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
    }

    /// # Safety
    /// No entry refers to these bytes any more, or the entry is about to be given what becomes of them.
    pub unsafe fn into_vec(self) -> Vec<u8> {
        // SAFETY: `new` took the parts from a Vec, and the caller gives up the last reference.
        unsafe { Vec::from_raw_parts(self.ptr, self.len, self.capacity) }
    }
}

/// The three numbers of [`HeapBytes`] in an entry, six bytes each: addresses and sizes have 48 bits.
type StoredHeap = [[u8; 6]; 3];

impl HeapBytes {
    #[inline]
    fn stored(self) -> StoredHeap {
        [self.ptr.expose_provenance(), self.len, self.capacity].map(|number| {
            let [a, b, c, d, e, f, high @ ..] = (number as u64).to_le_bytes();
            assert_eq!(high, [0, 0], "addresses and sizes have 48 bits");
            [a, b, c, d, e, f]
        })
    }

    #[inline]
    fn of(stored: StoredHeap) -> HeapBytes {
        let [ptr, len, capacity] =
            stored.map(|[a, b, c, d, e, f]| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) as usize);
        HeapBytes { ptr: ptr::with_exposed_provenance_mut(ptr), len, capacity }
    }
}

/// A value on its way into or out of an entry; owning pointers are raw.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Inline(&'a [u8]),
    Int(i64),
    Heap(HeapBytes),
    Shared(SharedBytes),
    Object(*mut u8),
    /// A tag and bytes that lie here: a small collection.
    Embedded(u8, &'a [u8]),
}

impl Payload<'_> {
    #[inline(always)]
    fn kind(&self) -> u8 {
        match self {
            Payload::Inline([]) => EMPTY,
            Payload::Inline(_) => INLINE,
            Payload::Int(_) => INT,
            Payload::Heap(_) => HEAP,
            Payload::Shared(_) => SHARED,
            Payload::Object(_) => OBJECT,
            Payload::Embedded(tag, _) => {
                (if *tag < 4 { EMBEDDED } else { EMBEDDED_MORE }) | (tag & 3) << TAG_SHIFT
            }
        }
    }

    #[inline(always)]
    fn size(&self) -> usize {
        match self {
            Payload::Inline(bytes) | Payload::Embedded(_, bytes) => bytes.len(),
            Payload::Int(_) | Payload::Object(_) | Payload::Shared(_) => 8,
            Payload::Heap(_) => size_of::<StoredHeap>(),
        }
    }
}

/// A key on its way into an entry.
#[derive(Clone, Copy)]
pub(super) enum KeyPart<'a> {
    Inline(&'a [u8]),
    Heap(HeapKey),
}

/// A whole entry about to be written.
#[derive(Clone, Copy)]
pub(super) struct EntryDraft<'a> {
    pub key: KeyPart<'a>,
    pub value: Payload<'a>,
    pub deadline: Option<u64>,
    pub access: u32,
    pub edited: bool,
}

/// Bytes before the key when there is neither a value length nor a deadline.
#[inline(always)]
const fn fixed(clock: bool) -> usize {
    if clock { 5 } else { 2 }
}

/// Where the key begins.
#[inline(always)]
const fn key_start(clock: bool, flags: u8) -> usize {
    fixed(clock) + (flags & INLINE) as usize + ((flags & DEADLINE) << 2) as usize
}

/// Rounds a size up to what it takes of an arena.
#[inline(always)]
pub(super) const fn footprint(size: usize) -> usize {
    (size + 1) & !1
}

impl EntryDraft<'_> {
    #[inline(always)]
    pub fn size(&self, clock: bool) -> usize {
        let key = match self.key {
            KeyPart::Inline(key) => key.len(),
            KeyPart::Heap(_) => HEAP_KEY_SIZE,
        };
        let flags = self.value.kind() | if self.deadline.is_some() { DEADLINE } else { 0 };
        key_start(clock, flags) + key + self.value.size()
    }

    /// # Safety
    /// `to` is good for writing `self.size()` bytes, and is not within what the draft borrows.
    #[inline(always)]
    pub unsafe fn write<const CLOCK: bool>(&self, to: *mut u8) {
        let edited = if self.edited { EDITED } else { 0 };
        // SAFETY: the caller vouches for `to`; the key's source is alive and holds the length given.
        unsafe {
            match &self.key {
                KeyPart::Inline(key) => {
                    let header = EntryHeader { flags: edited, access: self.access, key_len: key.len() as u8 };
                    header.write::<CLOCK>(to, key.as_ptr(), key.len(), &self.value, self.deadline);
                }
                KeyPart::Heap(key) => {
                    let header = EntryHeader { flags: edited | HEAP_KEY, access: self.access, key_len: 0 };
                    header.write::<CLOCK>(
                        to,
                        ptr::from_ref(key).cast(),
                        HEAP_KEY_SIZE,
                        &self.value,
                        self.deadline,
                    );
                }
            }
        }
    }
}

/// What an entry keeps when its value or deadline is replaced.
#[derive(Clone, Copy)]
struct EntryHeader {
    flags: u8,
    access: u32,
    key_len: u8,
}

impl EntryHeader {
    /// Writes an entry at `to` from a key of `key_size` bytes at `key`, which may lie in the same entry.
    ///
    /// # Safety
    /// `key` is readable for `key_size`, `to` writable for the entry's size; `value` borrows from neither.
    #[inline(always)]
    unsafe fn write<const CLOCK: bool>(
        self,
        to: *mut u8,
        key: *const u8,
        key_size: usize,
        value: &Payload<'_>,
        deadline: Option<u64>,
    ) {
        let mut flags = self.flags | value.kind();
        if deadline.is_some() {
            flags |= DEADLINE;
        }
        // SAFETY: everything is written within the entry's size; the key is moved first, since the
        // old one may lie under the new head or value.
        unsafe {
            let key_at = to.add(key_start(CLOCK, flags));
            ptr::copy(key, key_at, key_size);
            *to = flags;
            let mut head = to.add(1);
            if CLOCK {
                let access = self.access.to_le_bytes();
                ptr::copy_nonoverlapping(access.as_ptr(), head, 3);
                head = head.add(3);
            }
            *head = self.key_len;
            head = head.add(1);
            if let Payload::Inline(bytes) | Payload::Embedded(_, bytes) = value
                && !bytes.is_empty()
            {
                *head = bytes.len() as u8;
                head = head.add(1);
            }
            if let Some(deadline) = deadline {
                head.cast::<u64>().write_unaligned(deadline);
            }
            let value_at = key_at.add(key_size);
            match *value {
                Payload::Inline(bytes) | Payload::Embedded(_, bytes) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), value_at, bytes.len())
                }
                Payload::Int(number) => value_at.cast::<i64>().write_unaligned(number),
                Payload::Heap(bytes) => value_at.cast::<StoredHeap>().write(bytes.stored()),
                Payload::Shared(bytes) => value_at.cast::<*const Vec<u8>>().write_unaligned(bytes.stored()),
                Payload::Object(object) => value_at.cast::<*mut u8>().write_unaligned(object),
            }
        }
    }
}

/// A complete entry in memory. The caller of [`Raw::at`] vouches that it stays where it is,
/// and what it points to stays allocated, while the `Raw` and what was read through it are used.
#[derive(Clone, Copy)]
pub(super) struct Raw<const CLOCK: bool>(*mut u8);

impl<const CLOCK: bool> Raw<CLOCK> {
    /// # Safety
    /// As the type says: `entry` is a complete entry for as long as this is used.
    #[inline(always)]
    pub unsafe fn at(entry: *mut u8) -> Self {
        Raw(entry)
    }

    #[inline(always)]
    pub fn address(self) -> *mut u8 {
        self.0
    }

    #[inline(always)]
    fn byte(self, at: usize) -> u8 {
        // SAFETY: called for bytes of the head, which every entry has.
        unsafe { *self.0.add(at) }
    }

    #[inline(always)]
    pub fn flags(self) -> u8 {
        self.byte(0)
    }

    pub fn set_edited(self, edited: bool) {
        let flags = self.flags() & !EDITED | if edited { EDITED } else { 0 };
        // SAFETY: the first byte of an entry is its flags.
        unsafe { *self.0 = flags };
    }

    #[inline(always)]
    pub fn access(self) -> u32 {
        if CLOCK { u32::from_le_bytes([self.byte(1), self.byte(2), self.byte(3), 0]) } else { 0 }
    }

    #[inline(always)]
    pub fn set_access(self, access: u32) {
        if CLOCK {
            let bytes = access.to_le_bytes();
            // SAFETY: an entry of a table with a clock has three bytes for it after the flags.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(1), 3) };
        }
    }

    #[inline(always)]
    fn key_at(self) -> *mut u8 {
        // SAFETY: the key lies where the flags say, within the entry.
        unsafe { self.0.add(key_start(CLOCK, self.flags())) }
    }

    /// Bytes the key takes in the entry.
    #[inline(always)]
    fn key_size(self) -> usize {
        if self.flags() & HEAP_KEY == 0 { usize::from(self.byte(fixed(CLOCK) - 1)) } else { HEAP_KEY_SIZE }
    }

    #[inline(always)]
    fn value_at(self) -> *mut u8 {
        // SAFETY: the value follows the key, within the entry.
        unsafe { self.key_at().add(self.key_size()) }
    }

    #[inline(always)]
    fn value_size(self) -> usize {
        match self.flags() & KIND {
            EMPTY => 0,
            INT | OBJECT | SHARED => 8,
            HEAP => size_of::<StoredHeap>(),
            _ => usize::from(self.byte(fixed(CLOCK))),
        }
    }

    #[inline(always)]
    pub fn size(self) -> usize {
        key_start(CLOCK, self.flags()) + self.key_size() + self.value_size()
    }

    #[inline(always)]
    pub fn footprint(self) -> usize {
        footprint(self.size())
    }

    /// The key's own allocation, if it has one.
    #[inline]
    pub fn heap_key(self) -> Option<HeapKey> {
        // SAFETY: the flag says that a `HeapKey` lies in the key's place.
        (self.flags() & HEAP_KEY != 0).then(|| unsafe { self.key_at().cast::<HeapKey>().read_unaligned() })
    }

    #[inline(always)]
    pub fn key<'a>(self) -> &'a [u8] {
        match self.heap_key() {
            // SAFETY: the maker of this `Raw` vouches for its bytes and for its allocations.
            None => unsafe { std::slice::from_raw_parts(self.key_at(), self.key_size()) },
            // SAFETY: as above.
            Some(key) => unsafe { std::slice::from_raw_parts(key.ptr, key.len) },
        }
    }

    #[inline(always)]
    pub fn has_key(self, key: &[u8]) -> bool {
        if key.len() <= INLINE_MAX {
            usize::from(self.byte(fixed(CLOCK) - 1)) == key.len()
                && self.flags() & HEAP_KEY == 0
                // SAFETY: both hold `key.len()` bytes.
                && unsafe { same_bytes(self.key_at(), key.as_ptr(), key.len()) }
        } else {
            self.flags() & HEAP_KEY != 0 && self.key() == key
        }
    }

    #[inline(always)]
    pub fn deadline(self) -> Option<u64> {
        // SAFETY: the flag says that eight bytes before the key are the deadline.
        (self.flags() & DEADLINE != 0).then(|| unsafe { self.key_at().sub(8).cast::<u64>().read_unaligned() })
    }

    /// Overwrites the deadline of an entry that has one.
    #[inline]
    pub fn overwrite_deadline(self, deadline: u64) {
        debug_assert!(self.flags() & DEADLINE != 0);
        // SAFETY: the flag says that eight bytes before the key are the deadline.
        unsafe { self.key_at().sub(8).cast::<u64>().write_unaligned(deadline) };
    }

    /// Whether the entry owns anything outside the arena.
    #[inline(always)]
    pub fn owns_heap(self) -> bool {
        let flags = self.flags();
        flags & HEAP_KEY != 0 || matches!(flags & KIND, HEAP | OBJECT | SHARED)
    }

    #[inline(always)]
    pub fn payload<'a>(self) -> Payload<'a> {
        // SAFETY: the kind says what lies in the value's place.
        unsafe {
            match self.flags() & KIND {
                EMPTY => Payload::Inline(&[]),
                INT => Payload::Int(self.value_at().cast::<i64>().read_unaligned()),
                HEAP => Payload::Heap(HeapBytes::of(self.value_at().cast::<StoredHeap>().read())),
                SHARED => Payload::Shared(SharedBytes::of(
                    self.value_at().cast::<*const Vec<u8>>().read_unaligned(),
                )),
                OBJECT => Payload::Object(self.value_at().cast::<*mut u8>().read_unaligned()),
                kind => {
                    let bytes = std::slice::from_raw_parts(self.value_at(), self.value_size());
                    match kind & 0b1100 {
                        0 => Payload::Inline(bytes),
                        4 => Payload::Embedded(kind >> TAG_SHIFT, bytes),
                        _ => Payload::Embedded(kind >> TAG_SHIFT | 4, bytes),
                    }
                }
            }
        }
    }

    /// The string's bytes, wherever they lie; `None` for integers, objects, and a shared string that others hold.
    #[inline(always)]
    pub fn bytes_mut<'a>(self) -> Option<&'a mut [u8]> {
        match self.payload() {
            // SAFETY: the maker of this `Raw` vouches for the bytes; the caller holds the table mutably.
            Payload::Inline(bytes) => {
                Some(unsafe { std::slice::from_raw_parts_mut(self.value_at(), bytes.len()) })
            }
            // SAFETY: as above, for the allocation.
            Payload::Heap(bytes) => Some(unsafe { std::slice::from_raw_parts_mut(bytes.ptr, bytes.len) }),
            // SAFETY: as above.
            Payload::Shared(bytes) => unsafe { bytes.bytes_mut() }.map(Vec::as_mut_slice),
            Payload::Int(_) | Payload::Object(_) | Payload::Embedded(..) => None,
        }
    }

    /// An embedded value's tag and bytes, in place; `None` for all others.
    #[inline(always)]
    pub fn embedded_mut<'a>(self) -> Option<(u8, &'a mut [u8])> {
        let Payload::Embedded(tag, bytes) = self.payload() else { return None };
        // SAFETY: the maker of this `Raw` vouches for the bytes; the caller holds the table mutably.
        Some((tag, unsafe { std::slice::from_raw_parts_mut(self.value_at(), bytes.len()) }))
    }

    /// Overwrites a value by one of the same kind and size. Answers false, and does nothing, if it is another.
    #[inline(always)]
    pub fn overwrite(self, value: &Payload<'_>) -> bool {
        let kind = self.flags() & KIND;
        if value.kind() != kind || kind & INLINE != 0 && value.size() != self.value_size() {
            return false;
        }
        // SAFETY: kind and size agree, so the value fits its place exactly; a borrowed one lies elsewhere,
        // because the code that replaces a value holds the table mutably.
        unsafe {
            match *value {
                Payload::Inline(bytes) | Payload::Embedded(_, bytes) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), self.value_at(), bytes.len())
                }
                Payload::Int(number) => self.value_at().cast::<i64>().write_unaligned(number),
                Payload::Heap(bytes) => self.value_at().cast::<StoredHeap>().write(bytes.stored()),
                Payload::Shared(bytes) => {
                    self.value_at().cast::<*const Vec<u8>>().write_unaligned(bytes.stored())
                }
                Payload::Object(object) => self.value_at().cast::<*mut u8>().write_unaligned(object),
            }
        }
        true
    }

    /// What the entry would take with another value and deadline.
    #[inline(always)]
    pub fn size_with(self, value: &Payload<'_>, deadline: Option<u64>) -> usize {
        let flags = value.kind() | if deadline.is_some() { DEADLINE } else { 0 };
        key_start(CLOCK, flags) + self.key_size() + value.size()
    }

    /// Writes this entry with another value and deadline to `to`, which may be where it lies.
    ///
    /// # Safety
    /// `to` is good for writing `self.size_with(..)` bytes; `value` borrows neither from here nor from there.
    #[inline(always)]
    pub unsafe fn rewrite(self, to: *mut u8, value: &Payload<'_>, deadline: Option<u64>) {
        let header = EntryHeader {
            flags: self.flags() & (HEAP_KEY | EDITED),
            access: self.access(),
            key_len: self.byte(fixed(CLOCK) - 1),
        };
        // SAFETY: the caller vouches for `to` and `value`; the key is this entry's own.
        unsafe { header.write::<CLOCK>(to, self.key_at(), self.key_size(), value, deadline) }
    }
}

/// Compares short strings without a call.
///
/// # Safety
/// Both are readable for `len` bytes.
#[inline(always)]
unsafe fn same_bytes(a: *const u8, b: *const u8, len: usize) -> bool {
    // SAFETY: every read lies within `len` bytes of `a` or `b`.
    unsafe {
        let word =
            |at: usize| a.add(at).cast::<u64>().read_unaligned() ^ b.add(at).cast::<u64>().read_unaligned();
        let half =
            |at: usize| a.add(at).cast::<u32>().read_unaligned() ^ b.add(at).cast::<u32>().read_unaligned();
        match len {
            8..=16 => word(0) | word(len - 8) == 0,
            4..=7 => half(0) | half(len - 4) == 0,
            0 => true,
            1..=3 => *a == *b && *a.add(len / 2) == *b.add(len / 2) && *a.add(len - 1) == *b.add(len - 1),
            17..=32 => word(0) | word(8) | word(len - 16) | word(len - 8) == 0,
            _ => std::slice::from_raw_parts(a, len) == std::slice::from_raw_parts(b, len),
        }
    }
}
