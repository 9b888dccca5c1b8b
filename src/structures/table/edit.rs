//! Changes of entries in place: values, sizes, deadlines.
//!
//! An entry whose new form takes no more bytes is rewritten where it lies; otherwise it moves to the
//! arena's end and the old place becomes garbage. Only if the arena has reached its limit does it leave the segment.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use super::entry::{DEADLINE, EntryDraft, HeapBytes, INLINE_MAX, KeyPart, Payload, Raw, footprint};
use super::shared::{SHARED_MIN, SharedBytes, is_right_size};
use super::{EntryRef, EntryValue, NewValue, RemovedValue, Table};

/// Up to this length a growing string's capacity is doubled; beyond, it grows by a quarter.
const DOUBLE_UP_TO: usize = 1 << 20;

/// The capacity of a string that has just grown to `len`.
fn amortised(len: usize) -> usize {
    if len < DOUBLE_UP_TO { len * 2 } else { len + (len / 4).max(DOUBLE_UP_TO) }
}

/// Makes a string `len` bytes long, with room to grow further if it grows.
fn resize(bytes: &mut Vec<u8>, len: usize) {
    if len > bytes.capacity() {
        bytes.reserve_exact(amortised(len) - bytes.len());
    }
    bytes.resize(len, 0);
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// Replaces value and deadline and keeps the access word; answers what the old value owned.
    #[inline]
    pub fn replace(
        &mut self,
        at: EntryRef,
        hash: u64,
        new: NewValue<'_, O>,
        deadline: Option<u64>,
    ) -> (EntryRef, RemovedValue<O>) {
        self.before_write(at);
        let raw = self.raw(at);
        let flags = raw.flags();
        raw.set_edited(false);
        if (flags & DEADLINE != 0) == deadline.is_some() && self.overwrite_short(raw, &new) {
            if let Some(deadline) = deadline {
                raw.overwrite_deadline(deadline);
                self.note_deadline(hash, deadline);
            }
            return (at, RemovedValue::Nothing);
        }
        self.replace_whole(at, hash, new, deadline)
    }

    /// The hot case of [`Self::replace`]: the new value takes exactly the place of the old one, and
    /// neither is an allocation (or the old allocation is the right one for the new string).
    #[inline(always)]
    fn overwrite_short(&mut self, raw: Raw<CLOCK>, new: &NewValue<'_, O>) -> bool {
        match *new {
            NewValue::Int(number) => raw.overwrite(&Payload::Int(number)),
            NewValue::Bytes(bytes) if bytes.len() <= INLINE_MAX => raw.overwrite(&Payload::Inline(bytes)),
            NewValue::Bytes(bytes) => match raw.payload() {
                Payload::Heap(mut heap)
                    if bytes.len() < SHARED_MIN && is_right_size(heap.capacity, bytes.len()) =>
                {
                    // SAFETY: the allocation has the capacity, and is the table's alone.
                    unsafe { heap.ptr.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
                    heap.len = bytes.len();
                    raw.overwrite(&Payload::Heap(heap))
                }
                // SAFETY: the entry owns its reference, and the table is borrowed mutably.
                Payload::Shared(shared) => unsafe { shared.overwrite(bytes) },
                _ => false,
            },
            NewValue::Embedded(tag, bytes) => raw.overwrite(&Payload::Embedded(tag, bytes)),
            NewValue::Owned(_) | NewValue::Shared(_) | NewValue::Object(_) => false,
        }
    }

    fn replace_whole(
        &mut self,
        at: EntryRef,
        hash: u64,
        new: NewValue<'_, O>,
        deadline: Option<u64>,
    ) -> (EntryRef, RemovedValue<O>) {
        if let NewValue::Owned(bytes) = &new
            && bytes.len() <= INLINE_MAX
        {
            return self.replace(at, hash, NewValue::Bytes(bytes), deadline);
        }
        let old = self.raw(at).payload();
        self.heap -= Self::payload_size(&old);
        let value = self.adopt(new);
        let at = self.rewrite(at, hash, &value, deadline);
        // SAFETY: the entry has been given another value.
        (at, unsafe { Self::taken(old) })
    }

    /// Removes an entry and answers its value, for another key or table to keep. Not for embedded values,
    /// which the owner copies first.
    pub fn take(&mut self, at: EntryRef, hash: u64) -> NewValue<'static, O> {
        let (number, bytes) = match self.value(at) {
            EntryValue::Int(number) => (Some(number), None),
            EntryValue::Bytes(bytes) if !self.is_external(at) => (None, Some(bytes.to_vec())),
            EntryValue::Embedded(..) => panic!("an embedded value can't outlive its entry"),
            _ => (None, None),
        };
        match (self.remove(at, hash), number, bytes) {
            (RemovedValue::Bytes(bytes), ..) | (RemovedValue::Nothing, None, Some(bytes)) => {
                NewValue::Owned(bytes)
            }
            (RemovedValue::Shared(bytes), ..) => NewValue::Shared(bytes),
            (RemovedValue::Object(object), ..) => NewValue::Object(object),
            (RemovedValue::Nothing, number, _) => NewValue::Int(number.unwrap_or_default()),
        }
    }

    /// Sets, changes or takes away the deadline.
    pub fn set_deadline(&mut self, at: EntryRef, hash: u64, deadline: Option<u64>) -> EntryRef {
        self.before_write(at);
        let raw = self.raw(at);
        match (raw.deadline(), deadline) {
            (None, None) => at,
            (Some(_), Some(deadline)) => {
                raw.overwrite_deadline(deadline);
                self.note_deadline(hash, deadline);
                at
            }
            _ => {
                let mut copy = [0; INLINE_MAX];
                let payload = detached(raw.payload(), &mut copy);
                self.rewrite(at, hash, &payload, deadline)
            }
        }
    }

    /// Makes the string `len` bytes long, cutting it or adding zeroes. An integer becomes its decimal
    /// digits first; an object is left alone. Strings that outgrow the arena get capacity to grow further.
    pub fn resize_bytes(&mut self, at: EntryRef, hash: u64, len: usize) -> EntryRef {
        self.before_write(at);
        let raw = self.raw(at);
        let deadline = raw.deadline();
        let mut digits = itoa::Buffer::new();
        let old = match raw.payload() {
            Payload::Object(_) | Payload::Embedded(..) => return at,
            Payload::Heap(heap) => return self.resize_heap(at, hash, heap, len),
            Payload::Shared(shared) => {
                self.resize_shared(raw, shared, len);
                return at;
            }
            Payload::Int(number) => digits.format(number).as_bytes(),
            Payload::Inline(bytes) => bytes,
        };
        raw.set_edited(true);
        let kept = old.len().min(len);
        if len <= INLINE_MAX {
            let mut copy = [0; INLINE_MAX];
            copy[..kept].copy_from_slice(&old[..kept]);
            return self.rewrite(at, hash, &Payload::Inline(&copy[..len]), deadline);
        }
        let mut bytes = Vec::with_capacity(amortised(len));
        bytes.extend_from_slice(old);
        bytes.resize(len, 0);
        let payload = self.adopt_as_is(bytes);
        self.rewrite(at, hash, &payload, deadline)
    }

    fn resize_heap(&mut self, at: EntryRef, hash: u64, heap: HeapBytes, len: usize) -> EntryRef {
        let raw = self.raw(at);
        raw.set_edited(true);
        // SAFETY: the entry is given the result at the end of this function.
        let mut bytes = unsafe { heap.into_vec() };
        self.heap -= heap.capacity;
        resize(&mut bytes, len);
        let resized = self.adopt_as_is(bytes);
        if raw.overwrite(&resized) { at } else { self.rewrite(at, hash, &resized, raw.deadline()) }
    }

    /// Gives an entry another value and deadline. `value` must not lie in an arena; what it owns already
    /// counts as the table's, what the old value owned does not any more.
    fn rewrite(
        &mut self,
        mut at: EntryRef,
        hash: u64,
        value: &Payload<'_>,
        deadline: Option<u64>,
    ) -> EntryRef {
        let raw = self.raw(at);
        let (old, new) = (raw.footprint(), footprint(raw.size_with(value, deadline)));
        // SAFETY: `at` is good, so its segment is alive.
        let segment = unsafe { at.segment.as_mut() };
        let slot = usize::from(at.slot);
        let in_place = new <= old || segment.extend_last(segment.offset(slot), old, new - old);
        if !in_place && !segment.fits(new) {
            if !segment.make_room::<CLOCK>(new, &mut self.pool) {
                return self.move_out(at, hash, value, deadline);
            }
            // Making room may have moved the entry.
            at.entry = NonNull::new(segment.entry(slot, &self.pool)).unwrap_or(at.entry);
        }
        self.live = self.live - old + new;
        self.stamp.advance();
        // SAFETY: the slot's entry, wherever the arena is now.
        let raw = unsafe { Raw::<CLOCK>::at(at.entry.as_ptr()) };
        self.heap_entries -= usize::from(raw.owns_heap());
        self.expires -= usize::from(raw.flags() & DEADLINE != 0);
        let from = segment.offset(slot);
        let to = if in_place {
            at.entry.as_ptr()
        } else {
            let (offset, to) = segment.take(new, &self.pool);
            segment.redirect(slot, offset);
            to
        };
        // SAFETY: `to` has `new` bytes: fresh ones, or those of the old form and what was added behind.
        unsafe { raw.rewrite(to, value, deadline) };
        if !in_place {
            segment.give_back(from, old);
        } else if new < old {
            segment.give_back(from + (new / 2) as u16, old - new);
        }
        // SAFETY: it has just been written.
        let raw = unsafe { Raw::<CLOCK>::at(to) };
        self.heap_entries += usize::from(raw.owns_heap());
        self.expires += usize::from(deadline.is_some());
        if let Some(deadline) = deadline {
            self.note_deadline(hash, deadline);
        }
        self.token(at.segment, slot, to)
    }

    /// [`Self::rewrite`] when the segment has no room: the entry leaves it and comes in anew, which may split the segment.
    #[cold]
    fn move_out(&mut self, at: EntryRef, hash: u64, value: &Payload<'_>, deadline: Option<u64>) -> EntryRef {
        let raw = self.raw(at);
        let mut copy = [0; INLINE_MAX];
        let key = match raw.heap_key() {
            Some(key) => KeyPart::Heap(key),
            None => {
                let key = raw.key();
                copy[..key.len()].copy_from_slice(key);
                KeyPart::Inline(&copy[..key.len()])
            }
        };
        let draft =
            EntryDraft { key, value: *value, deadline, access: raw.access(), edited: self.is_edited(at) };
        self.erase(at, hash);
        self.place(hash, &draft)
    }
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// A reference to a string of [`SHARED_MIN`] bytes and more, which keeps its bytes as they are; `None` for others.
    pub fn hold(&self, at: EntryRef) -> Option<Arc<Vec<u8>>> {
        match self.raw(at).payload() {
            // SAFETY: the entry owns its reference.
            Payload::Shared(shared) => Some(unsafe { shared.hold() }),
            _ => None,
        }
    }

    pub(super) fn adopt_shared<'a>(&mut self, bytes: Arc<Vec<u8>>) -> Payload<'a> {
        let payload = Payload::Shared(SharedBytes::new(bytes));
        self.heap += Self::payload_size(&payload);
        payload
    }

    fn resize_shared(&mut self, raw: Raw<CLOCK>, shared: SharedBytes, len: usize) {
        // SAFETY: the entry still owns its reference.
        self.heap -= unsafe { shared.memory() };
        // SAFETY: the entry is given the result at the end of this function.
        let mut reference = unsafe { shared.into_arc() };
        match Arc::get_mut(&mut reference) {
            Some(bytes) => resize(bytes, len),
            None => {
                let kept = reference.len().min(len);
                let mut copy = Vec::with_capacity(if len > kept { amortised(len) } else { len });
                copy.extend_from_slice(&reference[..kept]);
                copy.resize(len, 0);
                reference = Arc::new(copy);
            }
        }
        let resized = self.adopt_shared(reference);
        raw.overwrite(&resized);
        raw.set_edited(true);
    }

    /// Gives an entry a copy of its own of a shared string that others hold.
    pub(super) fn unshare(&mut self, raw: Raw<CLOCK>, shared: SharedBytes) {
        // SAFETY: the entry owns its reference, and makes no other use of the string meanwhile.
        let (len, is_held) = unsafe { (shared.bytes().len(), shared.bytes_mut().is_none()) };
        if is_held {
            self.resize_shared(raw, shared, len);
        }
    }
}

impl<O> NewValue<'_, O> {
    /// The value as it will lie in the table.
    pub fn as_entry(&self) -> EntryValue<'_, O> {
        match self {
            NewValue::Int(number) => EntryValue::Int(*number),
            NewValue::Bytes(bytes) => EntryValue::Bytes(bytes),
            NewValue::Owned(bytes) => EntryValue::Bytes(bytes),
            NewValue::Shared(bytes) => EntryValue::Bytes(bytes),
            NewValue::Object(object) => EntryValue::Object(object),
            NewValue::Embedded(tag, bytes) => EntryValue::Embedded(*tag, bytes),
        }
    }
}

/// The payload, its bytes copied out of the arena.
fn detached<'a>(payload: Payload<'_>, copy: &'a mut [u8; INLINE_MAX]) -> Payload<'a> {
    match payload {
        Payload::Inline(bytes) => {
            copy[..bytes.len()].copy_from_slice(bytes);
            Payload::Inline(&copy[..bytes.len()])
        }
        Payload::Embedded(tag, bytes) => {
            copy[..bytes.len()].copy_from_slice(bytes);
            Payload::Embedded(tag, &copy[..bytes.len()])
        }
        Payload::Int(number) => Payload::Int(number),
        Payload::Heap(heap) => Payload::Heap(heap),
        Payload::Shared(shared) => Payload::Shared(shared),
        Payload::Object(object) => Payload::Object(object),
    }
}
