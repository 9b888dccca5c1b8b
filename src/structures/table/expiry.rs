//! Deadlines of entries: finds those that are due without looking at the others.
//!
//! A segment knows a time before which none of its entries is due, and a queue orders the segments by it.
//! Setting a deadline later than what the segment has costs one comparison. A removed deadline stays the
//! segment's earliest until a look at the segment finds the next one.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::entry::Raw;
use super::segment::{NEVER, Segment};
use super::{EntryRef, Table};
use crate::base::rng::Rng;

/// Milliseconds after which it is looked again whether keys that are due are held still.
const HELD_MS: u64 = 1000;

/// Which keys aren't to be found though they are due; `None`: none.
pub type Held<'a> = Option<&'a dyn Fn(&[u8]) -> bool>;

/// Keys that are due, in one buffer to use again.
#[derive(Debug, Default)]
pub struct DueKeys {
    bytes: Vec<u8>,
    keys: Vec<DueKey>,
}

/// A key's deadline, and where it lies in the buffer.
#[derive(Debug)]
struct DueKey {
    deadline: u64,
    start: usize,
    len: usize,
}

impl DueKeys {
    /// How many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of that number.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        self.keys.get(number).map(|key| &self.bytes[key.start..][..key.len])
    }

    /// All keys.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|number| self.get(number))
    }

    /// Forgets the keys and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.keys.clear();
    }

    /// Puts those with the earliest deadline first.
    pub fn sort(&mut self) {
        self.keys.sort_by_key(|key| key.deadline);
    }

    fn push(&mut self, key: &[u8], deadline: u64) {
        self.keys.push(DueKey { deadline, start: self.bytes.len(), len: key.len() });
        self.bytes.extend_from_slice(key);
    }
}

impl<O, const CLOCK: bool> Table<O, CLOCK> {
    /// No entry has an earlier deadline than this; `None` if none has any.
    pub fn next_deadline(&self) -> Option<u64> {
        self.queue.first().map(|first| first.0)
    }

    /// Adds to `out` the keys whose deadline is before `now_ms`, segment by segment until it holds `max` or
    /// more. The caller must remove each or give it another deadline: they are not found again. Those that are `held` are passed by:
    /// their segments are looked at again after [`HELD_MS`].
    pub fn collect_due(&mut self, now_ms: u64, max: usize, held: Held<'_>, out: &mut DueKeys) {
        while out.len() < max
            && let Some(&(earliest, prefix)) = self.queue.first()
            && earliest < now_ms
        {
            let head = self.head(prefix);
            self.dequeue(head);
            let mut next = Some(head);
            let mut later = NEVER;
            while let Some(at) = next {
                // SAFETY: chains refer to live segments.
                let segment = unsafe { at.as_ref() };
                later = later.min(self.collect_segment(segment, now_ms, held, out));
                next = segment.next();
            }
            self.requeue(head, later);
        }
    }

    /// An entry that has a deadline, at random: uniform where many entries have one, and among the
    /// segments that are due soonest where few have.
    pub fn random_volatile(&self, rng: &mut Rng) -> Option<EntryRef> {
        /// Random entries looked at, of which one may have a deadline.
        const RANDOM_TRIES: usize = 16;
        /// Segments due soonest among which the search then begins.
        const SOONEST: u64 = 64;
        if self.expires == 0 {
            return None;
        }
        for _ in 0..RANDOM_TRIES {
            let at = self.random(rng)?;
            if self.deadline(at).is_some() {
                return Some(at);
            }
        }
        let skipped = rng.below((self.queue.len() as u64).min(SOONEST)) as usize;
        let soonest = self.queue.iter().skip(skipped).chain(self.queue.iter().take(skipped));
        soonest.filter_map(|&(_, prefix)| self.volatile_of(self.head(prefix), rng)).next()
    }

    /// A random one of the entries with a deadline in the first segment of a chain that has any.
    fn volatile_of(&self, head: NonNull<Segment>, rng: &mut Rng) -> Option<EntryRef> {
        let mut next = Some(head);
        while let Some(at) = next {
            // SAFETY: chains refer to live segments.
            let segment = unsafe { at.as_ref() };
            // SAFETY: the slots are occupied.
            let raw = |slot: usize| unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) };
            let slots: Vec<usize> = segment.slots().filter(|&slot| raw(slot).deadline().is_some()).collect();
            if !slots.is_empty() {
                let slot = slots[rng.below(slots.len() as u64) as usize];
                return Some(self.token(at, slot, raw(slot).address()));
            }
            next = segment.next();
        }
        None
    }

    /// Collects what is due in a segment; answers the earliest deadline of the rest.
    fn collect_segment(&self, segment: &Segment, now_ms: u64, held: Held<'_>, out: &mut DueKeys) -> u64 {
        let mut later = NEVER;
        for slot in segment.slots() {
            // SAFETY: the slot is occupied.
            let raw = unsafe { Raw::<CLOCK>::at(segment.entry(slot, &self.pool)) };
            match raw.deadline() {
                Some(deadline) if deadline < now_ms => match held {
                    Some(held) if held(raw.key()) => later = later.min(now_ms + HELD_MS),
                    _ => out.push(raw.key(), deadline),
                },
                Some(deadline) => later = later.min(deadline),
                None => {}
            }
        }
        later
    }

    /// An entry of this hash was given a deadline.
    #[inline(always)]
    pub(super) fn note_deadline(&mut self, hash: u64, deadline: u64) {
        let head = self.head(hash);
        // SAFETY: heads are alive, and this one has an entry, so it is not the vacant one.
        if deadline < unsafe { head.as_ref() }.earliest {
            self.dequeue(head);
            self.requeue(head, deadline);
        }
    }

    #[cold]
    fn requeue(&mut self, mut head: NonNull<Segment>, earliest: u64) {
        // SAFETY: heads are alive and the table's own.
        unsafe { head.as_mut() }.earliest = earliest;
        self.enqueue(head);
    }

    /// Enters a head by its earliest deadline, if it has one.
    pub(super) fn enqueue(&mut self, head: NonNull<Segment>) {
        // SAFETY: heads are alive.
        let head = unsafe { head.as_ref() };
        if head.earliest != NEVER {
            self.queue.insert((head.earliest, head.prefix()));
        }
    }

    /// Takes a head off the queue, if it is there.
    pub(super) fn dequeue(&mut self, head: NonNull<Segment>) {
        // SAFETY: heads are alive.
        let head = unsafe { head.as_ref() };
        if head.earliest != NEVER {
            self.queue.remove(&(head.earliest, head.prefix()));
        }
    }
}
