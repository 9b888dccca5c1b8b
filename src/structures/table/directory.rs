//! Directory: from a hash to the segment that covers it; in one level, or in two for slots that have very many keys.
//!
//! ```text
//! words[hash >> shift] → segment | depth
//!                      → FORK; the level of the slot, words[hash << 14 >> shift] → segment | depth
//! ```
//!
//! Where hashes begin with the slot of the key (`KeyHasher`), they are not uniform: a million keys may share a slot, and so the first 14 bits.
//! To double the directory for them would give every slot as many words as that one needs. So from a depth of 14 bits on the directory
//! doubles only while it has few words for its segments; a slot that needs more gets a level of its own, which doubles and
//! halves by itself, and goes when the directory is as deep. All words of the slot then refer to [`FORK`], a segment without
//! entries. Lookups need no branch for it: they find nothing in there, and what they do then is off their usual way.
//!
//! Uniform hashes never make a second level.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::segment::{FRACTION_BITS, Segment};
use crate::base::hash::{SLOT_BITS, slot_of};

/// The directory has at most two to the power of this many words.
pub(super) const DEPTH_MAX: u32 = 64 - FRACTION_BITS - CURSOR_SPARE_BITS;
/// A scan's cursor is a hash without this many low bits.
pub(super) const CURSOR_SPARE_BITS: u32 = 16;
/// A level may have this many words for each segment; more would mean hashes that share their top bits.
const WORDS_PER_SEGMENT: usize = 64;
/// In slot order the directory doubles beyond [`SLOT_BITS`] only while it has fewer words than that for each segment …
const DOUBLE_BELOW: usize = 4;
/// … and halves, whatever that does to slots, when it has as many as that.
const HALVE_AT: usize = 16;
const _: () = assert!(HALVE_AT > 2 * DOUBLE_BELOW && DEPTH_MAX < align_of::<Segment>() as u32);

/// A segment's address, its depth in the low bits that alignment leaves free.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct DirEntry(*mut Segment);

impl DirEntry {
    fn new(segment: NonNull<Segment>, depth: u32) -> Self {
        DirEntry(segment.as_ptr().wrapping_byte_add(depth as usize))
    }

    #[inline(always)]
    pub fn depth(self) -> u32 {
        (self.0.addr() & (align_of::<Segment>() - 1)) as u32
    }

    #[inline(always)]
    pub fn segment(self) -> NonNull<Segment> {
        // SAFETY: `new` made this word of a segment's address, which is not null.
        unsafe {
            NonNull::new_unchecked(self.0.map_addr(|dir_entry| dir_entry & !(align_of::<Segment>() - 1)))
        }
    }

    fn is_fork(self) -> bool {
        std::ptr::eq(self.segment().as_ptr(), &raw const FORK.0)
    }
}

/// A segment that no table owns. Never written to: it has no entries to change and no room for new ones.
struct Static(Segment);

// SAFETY: its pointers are null, and it is never written to.
unsafe impl Sync for Static {}

/// The segment of every table that has none of its own yet.
static VACANT: Static = Static(Segment::empty(0, 0, 0, 0));

/// What the words of a slot with a level of its own refer to.
static FORK: Static = Static(Segment::fork());

/// Words over a range of hashes that share their first bits, which are not counted in here.
struct Level {
    /// `2^(64 - shift)` words; a segment of less depth has several, side by side.
    words: Vec<DirEntry>,
    /// What leaves of a hash the bits that index the words; 63 at most.
    shift: u32,
    /// How many segments (heads of chains) there are of each depth, those of further levels not among them.
    of_depth: [u32; DEPTH_MAX as usize + 1],
    /// The sum of these.
    heads: usize,
}

impl Level {
    fn new(word: DirEntry, depth: u32) -> Self {
        Level {
            words: vec![word; 1 << depth],
            shift: 64 - depth,
            of_depth: [0; DEPTH_MAX as usize + 1],
            heads: 0,
        }
    }

    #[inline(always)]
    fn get(&self, hash: u64) -> DirEntry {
        let index = (hash >> self.shift) as usize;
        debug_assert!(index < self.words.len());
        // SAFETY: there are 2^(64 - shift) words.
        unsafe { *self.words.get_unchecked(index) }
    }

    fn depth(&self) -> u32 {
        64 - self.shift
    }

    /// The depth of the deepest segment.
    fn used_depth(&self) -> u32 {
        (0..=self.depth()).rev().find(|&depth| self.of_depth[depth as usize] > 0).unwrap_or(0)
    }

    /// The words of all hashes that begin with `prefix`, `depth` bits of it.
    fn words_of(&mut self, prefix: u64, depth: u32) -> &mut [DirEntry] {
        let (first, words) = ((prefix >> self.shift) as usize, 1 << (self.depth() - depth));
        &mut self.words[first..first + words]
    }

    fn double(&mut self) {
        self.words = self.words.iter().flat_map(|&word| [word, word]).collect();
        self.shift -= 1;
    }

    fn halve(&mut self) {
        self.words = self.words.iter().step_by(2).copied().collect();
        self.shift += 1;
    }

    fn count(&mut self, depth: u32, change: i32) {
        let count = &mut self.of_depth[depth as usize];
        *count = count.wrapping_add_signed(change);
        self.heads = self.heads.wrapping_add_signed(change as isize);
    }

    fn may_double(&self, segments: usize) -> bool {
        self.words.len() * 2 <= WORDS_PER_SEGMENT * (segments + 1)
    }
}

/// The level of a slot.
struct SlotLevel {
    slot: u16,
    level: Level,
}

/// The slots that have a level of their own.
struct Forks {
    /// The number of a slot's level, plus one; 0: it has none.
    numbers: Box<[u16; 1 << SLOT_BITS]>,
    levels: Vec<SlotLevel>,
}

impl Forks {
    fn new() -> Self {
        Forks { numbers: Box::new([0; 1 << SLOT_BITS]), levels: Vec::new() }
    }

    fn level(&self, slot: u16) -> Option<&Level> {
        let number = usize::from(self.numbers[usize::from(slot)]).checked_sub(1)?;
        Some(&self.levels[number].level)
    }

    fn level_mut(&mut self, slot: u16) -> Option<&mut Level> {
        let number = usize::from(self.numbers[usize::from(slot)]).checked_sub(1)?;
        Some(&mut self.levels[number].level)
    }

    fn insert(&mut self, slot: u16, level: Level) {
        self.levels.push(SlotLevel { slot, level });
        self.numbers[usize::from(slot)] = self.levels.len() as u16;
    }

    fn remove(&mut self, slot: u16) -> Option<Level> {
        let number = usize::from(std::mem::take(&mut self.numbers[usize::from(slot)])).checked_sub(1)?;
        let removed = self.levels.swap_remove(number);
        if let Some(moved) = self.levels.get(number) {
            self.numbers[usize::from(moved.slot)] = number as u16 + 1;
        }
        Some(removed.level)
    }
}

/// See the head of this file.
pub(super) struct Directory {
    top: Level,
    forks: Option<Forks>,
    /// Hashes begin with slots.
    in_slot_order: bool,
}

impl Directory {
    /// All hashes refer to a segment without entries, which is not to be written to.
    pub fn new(in_slot_order: bool) -> Self {
        let mut top = Level::new(DirEntry::new(NonNull::from(&VACANT.0), 0), 1);
        top.count(0, 1);
        Directory { top, forks: None, in_slot_order }
    }

    /// Where a lookup of `hash` begins: where it also ends, unless the segment is a fork.
    #[inline(always)]
    pub fn first(&self, hash: u64) -> DirEntry {
        self.top.get(hash)
    }

    /// The head that covers `hash`.
    #[inline(always)]
    pub fn resolve(&self, hash: u64) -> DirEntry {
        let word = self.first(hash);
        if word.is_fork() { self.resolve_fork(hash) } else { word }
    }

    /// The head that covers `hash`, whose slot is forked.
    #[cold]
    pub fn resolve_fork(&self, hash: u64) -> DirEntry {
        let level = self.forks.as_ref().and_then(|forks| forks.level(slot_of(hash)));
        level.expect("the slot is forked").get(hash << SLOT_BITS)
    }

    /// Bytes allocated.
    pub fn bytes(&self) -> usize {
        let words = |level: &Level| level.words.capacity() * size_of::<DirEntry>();
        words(&self.top)
            + self.forks.as_ref().map_or(0, |forks| {
                size_of_val(&*forks.numbers)
                    + forks.levels.capacity() * size_of::<SlotLevel>()
                    + forks.levels.iter().map(|fork| words(&fork.level)).sum::<usize>()
            })
    }

    /// Refers the first segment of all, or one that has moved, to all hashes that begin with `prefix`, `depth` bits of it.
    pub fn assign(&mut self, prefix: u64, depth: u32, segment: NonNull<Segment>) {
        let word = DirEntry::new(segment, depth);
        match self.fork_of(prefix, depth) {
            Some(level) => level.words_of(prefix << SLOT_BITS, depth - SLOT_BITS).fill(word),
            None => self.top.words_of(prefix, depth).fill(word),
        }
    }

    /// The level of the slot that all hashes with so many bits of `prefix` are of, if it has one.
    fn fork_of(&mut self, prefix: u64, depth: u32) -> Option<&mut Level> {
        if depth < SLOT_BITS {
            return None;
        }
        self.forks.as_mut()?.level_mut(slot_of(prefix))
    }

    /// Whether the head that covers `prefix` at `depth`, of a table of so many segments, may split.
    pub fn can_split(&mut self, prefix: u64, depth: u32, segments: usize) -> bool {
        if depth >= DEPTH_MAX {
            return false;
        }
        let in_slot_order = self.in_slot_order;
        match self.fork_of(prefix, depth) {
            Some(level) => depth - SLOT_BITS < level.depth() || level.may_double(level.heads),
            None => depth < self.top.depth() || in_slot_order || self.top.may_double(segments),
        }
    }

    /// Puts two segments of `depth` in the place of the one that covers `prefix` with one bit less.
    pub fn split(&mut self, prefix: u64, depth: u32, halves: [NonNull<Segment>; 2]) {
        if self.fork_of(prefix, depth).is_none() && depth > self.top.depth() {
            let is_deep = self.in_slot_order && self.top.depth() >= SLOT_BITS;
            if is_deep && self.top.words.len() >= DOUBLE_BELOW * self.top.heads {
                self.fork(slot_of(prefix));
            } else {
                self.double();
            }
        }
        if let Some(level) = self.fork_of(prefix, depth) {
            let depth = depth - SLOT_BITS;
            if depth > level.depth() {
                level.double();
            }
            level.count(depth - 1, -1);
            level.count(depth, 2);
        } else {
            self.top.count(depth - 1, -1);
            self.top.count(depth, 2);
        }
        self.assign(prefix, depth, halves[0]);
        self.assign(prefix | 1 << (64 - depth), depth, halves[1]);
    }

    /// Puts one segment in the place of the two of `depth` that cover `prefix` with one bit less.
    pub fn merge(&mut self, prefix: u64, depth: u32, whole: NonNull<Segment>) {
        self.assign(prefix, depth - 1, whole);
        if let Some(level) = self.fork_of(prefix, depth) {
            let depth = depth - SLOT_BITS;
            level.count(depth, -2);
            level.count(depth - 1, 1);
            let used = level.used_depth();
            while level.depth() > used.max(1) {
                level.halve();
            }
            if used + SLOT_BITS <= self.top.depth() {
                self.join(slot_of(prefix));
            }
        } else {
            self.top.count(depth, -2);
            self.top.count(depth - 1, 1);
            self.shrink();
        }
    }

    /// Doubles the first level; slots that are no deeper lose their own.
    fn double(&mut self) {
        self.top.double();
        let depth = self.top.depth();
        let Some(forks) = &self.forks else { return };
        let shallow = forks.levels.iter().filter(|fork| fork.level.used_depth() + SLOT_BITS <= depth);
        let shallow: Vec<u16> = shallow.map(|fork| fork.slot).collect();
        shallow.into_iter().for_each(|slot| self.join(slot));
    }

    /// Halves the first level while no segment is that deep, or while it has far too many words for its segments.
    fn shrink(&mut self) {
        loop {
            let depth = self.top.depth();
            let least = if self.forks.is_some() { SLOT_BITS } else { 1 };
            if depth > least && self.top.of_depth[depth as usize] == 0 {
                self.top.halve();
            } else if self.in_slot_order
                && depth > SLOT_BITS
                && self.top.words.len() >= HALVE_AT * self.top.heads
            {
                (0..1 << SLOT_BITS).for_each(|slot| self.fork_if_as_deep(slot));
                self.top.halve();
            } else {
                return;
            }
        }
    }

    /// Gives a slot that has segments as deep as the first level a level of its own.
    fn fork_if_as_deep(&mut self, slot: u16) {
        let depth = self.top.depth();
        let words = self.top.words_of(u64::from(slot) << (64 - SLOT_BITS), SLOT_BITS);
        if words.iter().any(|word| word.depth() == depth) {
            self.fork(slot);
        }
    }

    /// Moves the words of a slot to a level of its own. The first level is at least as deep as slots are.
    fn fork(&mut self, slot: u16) {
        let hash = u64::from(slot) << (64 - SLOT_BITS);
        let depth = (self.top.depth() - SLOT_BITS).max(1);
        let mut level = Level::new(self.top.get(hash), depth);
        let words = self.top.words_of(hash, SLOT_BITS);
        let repeat = level.words.len() / words.len();
        level.words = words.iter().flat_map(|&word| std::iter::repeat_n(word, repeat)).collect();
        words.fill(DirEntry::new(NonNull::from(&FORK.0), SLOT_BITS));
        level.words.chunk_by(|one, next| one == next).for_each(|words| {
            let depth = words[0].depth();
            self.top.count(depth, -1);
            level.of_depth[(depth - SLOT_BITS) as usize] += 1;
            level.heads += 1;
        });
        self.forks.get_or_insert_with(Forks::new).insert(slot, level);
    }

    /// Moves the words of a slot back to the first level, which is as deep as its segments.
    fn join(&mut self, slot: u16) {
        let Some(level) = self.forks.as_mut().and_then(|forks| forks.remove(slot)) else { return };
        let (hash, shift) = (u64::from(slot) << (64 - SLOT_BITS), self.top.shift);
        for (number, word) in self.top.words_of(hash, SLOT_BITS).iter_mut().enumerate() {
            *word = level.get(((number as u64) << shift) << SLOT_BITS);
        }
        for depth in 0..=level.depth() {
            self.top.count(depth + SLOT_BITS, level.of_depth[depth as usize] as i32);
        }
        self.forks.take_if(|forks| forks.levels.is_empty());
    }
}

#[cfg(test)]
impl Directory {
    /// The heads in order of hashes, each with its depth; panics if words and counts are not as they should be.
    pub fn check(&self) -> Vec<(NonNull<Segment>, u32)> {
        let mut heads = Vec::new();
        let mut forks = 0;
        let top = Self::check_level(&self.top, 0, |index| {
            let slot = (index >> (self.top.depth() - SLOT_BITS)) as u16;
            let level = self.forks.as_ref().and_then(|forks| forks.level(slot)).expect("a fork has a level");
            forks += 1;
            assert!(level.used_depth() + SLOT_BITS > self.top.depth(), "a level that isn't needed");
            Self::check_level(level, SLOT_BITS, |_| panic!("a fork in a fork"))
        });
        heads.extend(top);
        assert_eq!(forks, self.forks.as_ref().map_or(0, |forks| forks.levels.len()));
        heads
    }

    fn check_level(
        level: &Level,
        above: u32,
        mut fork: impl FnMut(usize) -> Vec<(NonNull<Segment>, u32)>,
    ) -> Vec<(NonNull<Segment>, u32)> {
        let (mut index, mut heads, mut of_depth) = (0, Vec::new(), [0; DEPTH_MAX as usize + 1]);
        assert_eq!(level.words.len(), 1 << level.depth());
        while index < level.words.len() {
            let word = level.words[index];
            let words = 1usize << (level.depth() + above - word.depth());
            assert!(level.words[index..index + words].iter().all(|other| *other == word));
            if word.is_fork() {
                heads.extend(fork(index));
            } else {
                of_depth[(word.depth() - above) as usize] += 1;
                heads.push((word.segment(), word.depth()));
            }
            index += words;
        }
        assert_eq!((of_depth, of_depth.iter().sum::<u32>() as usize), (level.of_depth, level.heads));
        heads
    }

    /// Words of the first level.
    pub fn len(&self) -> usize {
        self.top.words.len()
    }

    /// Slots with a level of their own.
    pub fn forks(&self) -> usize {
        self.forks.as_ref().map_or(0, |forks| forks.levels.len())
    }
}
