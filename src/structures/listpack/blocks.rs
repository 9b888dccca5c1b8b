//! Listpack blocks: an ordered map of listpacks that seldom change, stored one behind the other in blocks.
//!
//! ```text
//! key → listpack of its own
//! key → block, place in it          block, 64 KiB:  | listpack | listpack | … | free |
//! ```
//!
//! An allocation of its own is rounded up to a size class, by a tenth on average; in a block a listpack takes what it
//! has. A block is freed with its last listpack, which suits owners that remove from one end. To change a listpack
//! is to take it out of its block. A short map has no blocks: half of one would be more than rounding costs.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{BTreeMap, btree_map};
use std::mem::ManuallyDrop;
use std::ops::RangeBounds;
use std::ptr::NonNull;

use super::Listpack;
use crate::structures::blob::Blob;
use crate::structures::slots::Slots;

const BLOCK: usize = 64 << 10;
/// Longer listpacks stay in allocations of their own.
const LONGEST: usize = BLOCK / 8;
/// Maps of fewer listpacks have no blocks.
const BLOCKS_FROM: usize = 128;

const LAYOUT: Layout = match Layout::from_size_align(BLOCK, 8) {
    Ok(layout) => layout,
    Err(_) => panic!("a valid layout"),
};

#[derive(Debug)]
struct Block {
    memory: NonNull<u8>,
    used: usize,
    /// Listpacks in it that are still in the map.
    live: usize,
}

/// See the head of this file.
#[derive(Debug)]
pub struct ListpackBlocks<K> {
    map: BTreeMap<K, Place>,
    blocks: Slots<Option<Block>>,
    /// The block that takes the next listpack.
    open: Option<u32>,
    /// Listpacks that have left the map and are still needed.
    detached: BTreeMap<K, Place>,
}

#[derive(Debug)]
enum Place {
    Own(Listpack),
    /// The listpack's bytes lie in a block, so that it must not free them.
    InBlock {
        listpack: ManuallyDrop<Listpack>,
        block: u32,
    },
}

// SAFETY: the map owns its blocks and listpacks exclusively, and shares nothing.
unsafe impl<K: Send> Send for ListpackBlocks<K> {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl<K: Sync> Sync for ListpackBlocks<K> {}

impl Place {
    #[inline]
    fn listpack(&self) -> &Listpack {
        match self {
            Place::Own(listpack) => listpack,
            Place::InBlock { listpack, .. } => listpack,
        }
    }

    fn memory(&self) -> usize {
        match self {
            Place::Own(listpack) => listpack.memory(),
            Place::InBlock { listpack, .. } => listpack.byte_len(),
        }
    }
}

impl<K> Default for ListpackBlocks<K> {
    fn default() -> Self {
        ListpackBlocks {
            map: BTreeMap::new(),
            blocks: Slots::default(),
            open: None,
            detached: BTreeMap::new(),
        }
    }
}

/// A copy has no detached ones.
impl<K: Ord + Copy> Clone for ListpackBlocks<K> {
    fn clone(&self) -> Self {
        let mut copy = ListpackBlocks::default();
        self.iter().for_each(|(key, listpack)| copy.insert(key, listpack.clone()));
        copy
    }
}

impl<K> Drop for ListpackBlocks<K> {
    fn drop(&mut self) {
        for block in self.blocks.iter().flatten() {
            // SAFETY: listpacks that lie in blocks are not dropped, and none is referred to any more.
            unsafe { dealloc(block.memory.as_ptr(), LAYOUT) };
        }
    }
}

impl<K: Ord + Copy> ListpackBlocks<K> {
    /// Number of listpacks.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &Listpack)> {
        self.map.iter().map(|(key, place)| (*key, place.listpack()))
    }

    /// Those of keys within `range`, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> Range<'_, K> {
        Range { slots: Some(self.map.range(range)) }
    }

    /// The one of this key.
    pub fn get(&self, key: &K) -> Option<&Listpack> {
        self.map.get(key).map(Place::listpack)
    }

    /// The largest key that isn't above `key`.
    pub fn floor(&self, key: K) -> Option<K> {
        self.map.range(..=key).next_back().map(|(key, _)| *key)
    }

    /// The smallest key.
    pub fn first_key(&self) -> Option<K> {
        self.map.first_key_value().map(|(key, _)| *key)
    }

    /// Bytes of the first `count` listpacks.
    pub fn memory_of(&self, count: usize) -> usize {
        self.map.values().take(count).map(Place::memory).sum()
    }

    /// Adds a listpack, or puts it in the place of one.
    pub fn insert(&mut self, key: K, listpack: Listpack) {
        let place = if self.map.len() >= BLOCKS_FROM && listpack.byte_len() <= LONGEST {
            self.insert_in_block(&listpack)
        } else {
            Place::Own(listpack)
        };
        if let Some(old) = self.map.insert(key, place) {
            self.discard(old);
        }
    }

    /// Removes a listpack; false if there was none.
    pub fn remove(&mut self, key: &K) -> bool {
        let place = self.map.remove(key);
        place.map(|place| self.discard(place)).is_some()
    }

    /// Removes a listpack as [`Self::remove`], but leaves it where it lies until it is released.
    pub fn detach(&mut self, key: &K) -> bool {
        let place = self.map.remove(key);
        place.map(|place| self.detached.insert(*key, place).map(|old| self.discard(old))).is_some()
    }

    /// A detached one.
    pub fn detached(&self, key: &K) -> Option<&Listpack> {
        self.detached.get(key).map(Place::listpack)
    }

    /// Lets go of a detached one.
    pub fn release(&mut self, key: &K) {
        if let Some(place) = self.detached.remove(key) {
            self.discard(place);
        }
    }

    /// Lets go of all detached ones.
    pub fn release_all(&mut self) {
        while let Some((_, place)) = self.detached.pop_first() {
            self.discard(place);
        }
    }

    /// Takes the last one out.
    pub fn pop_last(&mut self) -> Option<(K, Listpack)> {
        let (key, place) = self.map.pop_last()?;
        Some((key, self.take_out(place)))
    }

    /// Removes the last one; false if there was none.
    pub fn remove_last(&mut self) -> bool {
        let last = self.map.pop_last();
        last.map(|(_, place)| self.discard(place)).is_some()
    }

    /// A listpack to change.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut Listpack> {
        if let Place::InBlock { .. } = self.map.get(key)? {
            let place = self.map.remove(key)?;
            let listpack = self.take_out(place);
            self.map.insert(*key, Place::Own(listpack));
        }
        match self.map.get_mut(key)? {
            Place::Own(listpack) => Some(listpack),
            Place::InBlock { .. } => None,
        }
    }

    /// Copies a listpack to the open block.
    fn insert_in_block(&mut self, listpack: &Listpack) -> Place {
        let bytes = listpack.as_bytes();
        let fits = |block: &Block| block.used + bytes.len() <= BLOCK;
        let open = self.open.filter(|&open| self.blocks[open as usize].as_ref().is_some_and(fits));
        let number = open.unwrap_or_else(|| self.add_block());
        let block = self.blocks[number as usize].as_mut().expect("open blocks are there");
        // SAFETY: the block has room for the bytes behind the used ones, which are not read yet. They are a listpack's, so
        // the copy is one; it is neither freed nor resized where it lies.
        let blob = unsafe {
            let place = block.memory.add(block.used);
            place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            Blob::from_raw(place)
        };
        block.used += bytes.len();
        block.live += 1;
        Place::InBlock { listpack: ManuallyDrop::new(Listpack { blob }), block: number }
    }

    fn add_block(&mut self) -> u32 {
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc(LAYOUT) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(LAYOUT));
        let number = self.blocks.insert(Some(Block { memory, used: 0, live: 0 }));
        self.open = Some(number);
        number
    }

    /// The listpack of a slot that has left the map.
    fn take_out(&mut self, place: Place) -> Listpack {
        match place {
            Place::Own(listpack) => listpack,
            Place::InBlock { ref listpack, block } => {
                let own = Listpack::clone(listpack);
                self.leave(block);
                own
            }
        }
    }

    /// Lets go of a slot that has left the map.
    fn discard(&mut self, place: Place) {
        if let Place::InBlock { block, .. } = place {
            self.leave(block);
        }
    }

    /// One listpack less lies in a block.
    fn leave(&mut self, number: u32) {
        let Some(block) = &mut self.blocks[number as usize] else { return };
        block.live -= 1;
        if block.live > 0 {
            return;
        }
        if self.open == Some(number) {
            block.used = 0;
        } else {
            // SAFETY: no slot refers to it any more.
            unsafe { dealloc(block.memory.as_ptr(), LAYOUT) };
            self.blocks.remove(number);
        }
    }
}

/// A range of the listpacks, in the order of their keys.
pub struct Range<'a, K> {
    slots: Option<btree_map::Range<'a, K, Place>>,
}

impl<K> Default for Range<'_, K> {
    /// None at all.
    fn default() -> Self {
        Range { slots: None }
    }
}

impl<'a, K: Copy> Iterator for Range<'a, K> {
    type Item = (K, &'a Listpack);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (key, place) = self.slots.as_mut()?.next()?;
        Some((*key, place.listpack()))
    }
}

impl<K: Copy> DoubleEndedIterator for Range<'_, K> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let (key, place) = self.slots.as_mut()?.next_back()?;
        Some((*key, place.listpack()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn listpack(seed: u64) -> Listpack {
        let mut listpack = Listpack::new();
        for item in 0..seed % 90 {
            listpack.push_back(format!("{seed}:{item}").repeat(1 + seed as usize % 4).as_bytes());
        }
        listpack
    }

    fn check(blocks: &ListpackBlocks<u64>, model: &BTreeMap<u64, Listpack>) {
        assert!(blocks.iter().eq(model.iter().map(|(key, listpack)| (*key, listpack))));
        for (number, block) in blocks.blocks.iter().enumerate() {
            let laid = blocks.map.values().chain(blocks.detached.values());
            let laid = laid
                .filter(|place| matches!(place, Place::InBlock { block, .. } if *block as usize == number));
            let (count, bytes) =
                laid.fold((0, 0), |(count, bytes), place| (count + 1, bytes + place.memory()));
            match block {
                Some(block) => {
                    assert_eq!(block.live, count);
                    assert!(bytes <= block.used && block.used <= BLOCK);
                    assert!(count > 0 || blocks.open == Some(number as u32), "an empty block stays");
                }
                None => assert_eq!(count, 0),
            }
        }
    }

    #[test]
    fn behaves_like_a_map_of_listpacks() {
        let mut rng = Rng::new(11);
        for goal in [100, 400, 3000] {
            let (mut blocks, mut model) = (ListpackBlocks::default(), BTreeMap::new());
            let mut detached = BTreeMap::new();
            for step in 0..6000u64 {
                let any = rng.below(goal);
                match rng.below(if model.len() as u64 > goal { 6 } else { 12 }) {
                    0 => assert_eq!(blocks.remove(&any), model.remove(&any).is_some()),
                    1 if step % 3 > 0 => {
                        let gone = model.remove(&any);
                        assert_eq!(blocks.detach(&any), gone.is_some());
                        detached.extend(gone.map(|listpack| (any, listpack)));
                    }
                    1 => {
                        detached.pop_first().iter().for_each(|(key, _)| blocks.release(key));
                        assert!(detached.iter().all(|(key, was)| blocks.detached(key) == Some(was)));
                    }
                    2 if step % 2 == 0 => assert_eq!(blocks.remove_last(), model.pop_last().is_some()),
                    2 => assert_eq!(blocks.pop_last(), model.pop_last()),
                    3 => {
                        let (ours, theirs) = (blocks.get_mut(&any), model.get_mut(&any));
                        assert_eq!(ours.is_some(), theirs.is_some());
                        ours.into_iter().chain(theirs).for_each(|listpack| listpack.push_front(step as i64));
                    }
                    4 => {
                        let to = any + rng.below(20);
                        let expected = model.range(any..=to).map(|(key, listpack)| (*key, listpack));
                        assert!(blocks.range(any..=to).rev().eq(expected.rev()));
                        assert_eq!(blocks.floor(any), model.range(..=any).next_back().map(|(key, _)| *key));
                    }
                    _ => {
                        blocks.insert(any, listpack(step));
                        model.insert(any, listpack(step));
                    }
                }
                if step % 512 == 0 {
                    check(&blocks, &model);
                }
            }
            check(&blocks, &model);
            assert!(!detached.is_empty());
            blocks.release_all();
            check(&blocks, &model);
            check(&blocks.clone(), &model);
            assert_eq!(blocks.blocks.iter().any(Option::is_some), goal > 200);
            while let Some((key, listpack)) = blocks.pop_last() {
                assert_eq!(model.pop_last(), Some((key, listpack)));
            }
            assert!(blocks.blocks.iter().flatten().count() <= 1, "blocks go when they are empty");
        }
    }
}
