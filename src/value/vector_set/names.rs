//! Ordered index of a vector set's names: ids in the order of their names, in leaves that clones share until one is changed.
//!
//! ```text
//! leaves   [3 17 9 …] [4 22 …] [8 …]        up to 512 ids each; the names are those of the elements
//! ```
//!
//! An id takes four to eight bytes. A name is found by two binary searches, one over the first names of the leaves, one in a leaf: of a
//! million names some twenty are looked at.

use std::ops::Bound;
use std::sync::Arc;

use super::elements::Elements;

/// Ids in a leaf.
const MOST: usize = 512;
/// Neighbours that have fewer together become one.
const FEW: usize = 192;

/// A place among the names: that of a name, or where it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamePlace {
    leaf: usize,
    at: usize,
}

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct NameIndex {
    /// None is empty.
    leaves: Arc<Vec<Arc<Vec<u32>>>>,
    len: usize,
}

impl NameIndex {
    /// Of ids in the order of their names, which differ.
    pub fn from_sorted(ids: &[u32]) -> NameIndex {
        let leaves = ids.chunks(MOST * 3 / 4).map(|leaf| Arc::new(leaf.to_vec()));
        NameIndex { leaves: Arc::new(leaves.collect()), len: ids.len() }
    }

    /// The place of a name, or where it would be.
    pub fn find(&self, elements: &Elements, name: &[u8]) -> Result<NamePlace, NamePlace> {
        // The last leaf whose first name isn't above.
        let leaf = self.leaves.partition_point(|leaf| elements.name(leaf[0]) <= name).saturating_sub(1);
        let Some(ids) = self.leaves.get(leaf) else { return Err(NamePlace { leaf: 0, at: 0 }) };
        match ids.binary_search_by(|id| elements.name(*id).cmp(name)) {
            Ok(at) => Ok(NamePlace { leaf, at }),
            Err(at) => Err(NamePlace { leaf, at }),
        }
    }

    /// The id at a place that was found.
    pub fn id(&self, place: NamePlace) -> u32 {
        self.leaves[place.leaf][place.at]
    }

    /// Puts another id at a place that was found: that of the same name.
    pub fn replace(&mut self, place: NamePlace, id: u32) {
        let leaf = &mut Arc::make_mut(&mut self.leaves)[place.leaf];
        Arc::make_mut(leaf)[place.at] = id;
    }

    /// Puts an id where its name belongs.
    pub fn insert(&mut self, place: NamePlace, id: u32) {
        let leaves = Arc::make_mut(&mut self.leaves);
        if leaves.is_empty() {
            leaves.push(Arc::default());
        }
        let leaf = Arc::make_mut(&mut leaves[place.leaf]);
        leaf.insert(place.at, id);
        self.len += 1;
        if leaf.len() > MOST {
            // Names in order fill the last leaf, which then stays full.
            let is_last = place.at + 1 == leaf.len();
            let upper = leaf.split_off(if is_last { MOST } else { MOST / 2 });
            leaf.shrink_to_fit();
            leaves.insert(place.leaf + 1, Arc::new(upper));
        }
    }

    /// Takes the id from a place that was found.
    pub fn remove(&mut self, place: NamePlace) {
        let leaves = Arc::make_mut(&mut self.leaves);
        let leaf = Arc::make_mut(&mut leaves[place.leaf]);
        leaf.remove(place.at);
        self.len -= 1;
        if leaf.is_empty() {
            leaves.remove(place.leaf);
            return;
        }
        let len = leaf.len();
        let merge = |leaves: &mut Vec<Arc<Vec<u32>>>, lower: usize| {
            let upper = leaves.remove(lower + 1);
            Arc::make_mut(&mut leaves[lower]).extend_from_slice(&upper);
        };
        if leaves.get(place.leaf + 1).is_some_and(|next| next.len() + len < FEW) {
            merge(leaves, place.leaf);
        } else if place.leaf > 0 && leaves[place.leaf - 1].len() + len < FEW {
            merge(leaves, place.leaf - 1);
        }
        if leaves.capacity() > 4 * leaves.len() {
            leaves.shrink_to(2 * leaves.len());
        }
    }

    /// Ids in the order of their names, from a bound on.
    pub fn from<'a>(&'a self, elements: &'a Elements, start: Bound<&[u8]>) -> impl Iterator<Item = u32> + 'a {
        let place = match start {
            Bound::Unbounded => NamePlace { leaf: 0, at: 0 },
            Bound::Included(name) => self.find(elements, name).unwrap_or_else(|place| place),
            Bound::Excluded(name) => match self.find(elements, name) {
                Ok(place) => NamePlace { at: place.at + 1, ..place },
                Err(place) => place,
            },
        };
        let leaves = self.leaves.get(place.leaf..).unwrap_or_default();
        leaves.iter().flat_map(|leaf| leaf.iter().copied()).skip(place.at)
    }

    /// The one before which so many come.
    pub fn nth(&self, mut at: usize) -> Option<u32> {
        for leaf in self.leaves.iter() {
            match leaf.get(at) {
                Some(id) => return Some(*id),
                None => at -= leaf.len(),
            }
        }
        None
    }

    /// Frees up to so many leaves; true when nothing is left. Only to be dropped afterwards.
    pub fn free_some(&mut self, leaves: usize) -> bool {
        self.len = 0;
        match Arc::get_mut(&mut self.leaves) {
            Some(own) => own.truncate(own.len().saturating_sub(leaves)),
            // A clone holds them.
            None => self.leaves = Arc::default(),
        }
        self.leaves.is_empty()
    }

    /// Bytes held on the heap.
    pub fn memory_usage(&self) -> usize {
        let leaf = size_of::<Arc<Vec<u32>>>() + size_of::<Vec<u32>>() + 2 * size_of::<usize>();
        // Leaves are two thirds full on average.
        self.leaves.len() * leaf + self.len * size_of::<u32>() * 3 / 2
    }

    #[cfg(test)]
    fn check_invariants(&self, elements: &Elements) {
        let all: Vec<u32> = self.from(elements, Bound::Unbounded).collect();
        assert_eq!(all.len(), self.len);
        assert!(all.windows(2).all(|pair| elements.name(pair[0]) < elements.name(pair[1])));
        assert!(self.leaves.iter().all(|leaf| (1..=MOST).contains(&leaf.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn an_index_is_an_ordered_map() {
        let mut rng = Rng::new(3);
        let (mut names, mut elements) = (NameIndex::default(), Elements::default());
        let mut model: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut free: Vec<u32> = (0..6000).collect();
        let mut kept = None;
        for round in 0..30_000 {
            // It grows, is cut down to little, and grows again.
            let grows = round / 10_000 != 1;
            let name = format!("n{}", rng.below(6000)).into_bytes();
            match names.find(&elements, &name) {
                Ok(place) => {
                    assert_eq!(model.get(&name), Some(&names.id(place)));
                    if !grows || rng.below(4) == 0 {
                        free.push(names.id(place));
                        elements.take(names.id(place));
                        names.remove(place);
                        model.remove(&name);
                    }
                }
                Err(place) if grows => {
                    assert!(!model.contains_key(&name));
                    let id = free.swap_remove(rng.below(free.len() as u64) as usize);
                    elements.set(id, &name, b"");
                    names.insert(place, id);
                    model.insert(name, id);
                }
                Err(_) => {}
            }
            if round == 9_000 {
                kept = Some((names.clone(), elements.clone(), model.clone()));
            }
        }
        for (names, elements, model) in [Some((names, elements, model)), kept].into_iter().flatten() {
            names.check_invariants(&elements);
            let bound = b"n3000".as_slice();
            for start in [Bound::Unbounded, Bound::Included(bound), Bound::Excluded(bound)] {
                let found: Vec<u32> = names.from(&elements, start).collect();
                let bounds = (start, Bound::Unbounded);
                let expected: Vec<u32> = model.range::<[u8], _>(bounds).map(|(_, id)| *id).collect();
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn names_in_order_fill_their_leaves() {
        let (mut names, mut elements) = (NameIndex::default(), Elements::default());
        for id in 0..10_000_u32 {
            let name = id.to_be_bytes();
            elements.set(id, &name, b"");
            let Err(place) = names.find(&elements, &name) else { panic!("a new name") };
            names.insert(place, id);
        }
        names.check_invariants(&elements);
        assert_eq!(names.leaves.len(), 10_000_usize.div_ceil(MOST));
        for id in 0..9_990_u32 {
            let place = names.find(&elements, &id.to_be_bytes()).expect("a name");
            names.remove(place);
        }
        names.check_invariants(&elements);
        assert_eq!((names.leaves.len(), names.len), (1, 10));
        assert_eq!(names.from(&elements, Bound::Excluded(&9_999_u32.to_be_bytes())).count(), 0);
    }

    #[test]
    fn leaves_are_freed_some_at_a_time() {
        let mut elements = Elements::default();
        let ids: Vec<u32> = (0..5000).collect();
        ids.iter().for_each(|id| elements.set(*id, &id.to_be_bytes(), b""));
        let mut names = NameIndex::from_sorted(&ids);
        let clone = names.clone();
        assert!(names.free_some(1), "a clone holds them");
        names = clone;
        let leaves = names.leaves.len();
        assert_eq!((1..).find(|_| names.free_some(3)), Some(leaves.div_ceil(3)));
        assert!(names.free_some(3) && NameIndex::default().free_some(1));
    }
}
