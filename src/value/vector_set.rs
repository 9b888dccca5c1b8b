//! Vector set: elements with a vector each, found by how near their vectors are to another.
//!
//! ```text
//! graph        vectors and links by id           `structures/hnsw`
//! elements     names and attributes by id        `elements`
//! names        ids in the order of their names   `names`
//! projection   where vectors are reduced         `projection`
//! ```
//!
//! All of it is persistent: a clone costs O(1), shares what isn't changed later, and is the set of that moment. Searches that take
//! long, and snapshots, read such a clone on another thread.
//!
//! Filter expressions are in `filter`; commands are not known here.

mod elements;
pub mod filter;
mod load;
mod names;
mod projection;

pub use elements::Element;
pub use load::{LoadingSet, SavedNode};
pub use names::NamePlace;
pub use projection::Projection;

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::rng::Rng;
use crate::structures::hnsw::{Graph, Place, Quantization, Query, Scratch};
use elements::Elements;
use names::NameIndex;

/// Elements beyond which nothing is added: half of what ids can name.
const MOST_ELEMENTS: usize = 1 << 31;

/// Vector sets made so far, for [`VectorSet::uid`].
static MADE: AtomicU64 = AtomicU64::new(0);

/// How a vector set is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Dimensions of the vectors as they come.
    pub input: usize,
    /// Dimensions to which they are reduced.
    pub reduced: Option<usize>,
    /// Links of a node above layer 0.
    pub m: usize,
    pub quantization: Quantization,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct VectorSet {
    graph: Graph,
    elements: Elements,
    names: NameIndex,
    projection: Option<Projection>,
    /// Distinguishes this set from all others of the process, a clone not from its origin.
    uid: u64,
    /// The highest number that an element was given; each insertion takes the next.
    last_number: u64,
}

/// A vector that is about to be inserted, and where it belongs in the graph.
#[derive(Debug)]
pub struct Prepared {
    pub query: Query,
    pub place: Place,
}

impl Default for VectorSet {
    fn default() -> Self {
        Self::new()
    }
}

impl VectorSet {
    /// An empty one of one dimension, to be replaced by one of another shape.
    pub fn new() -> VectorSet {
        Self::of_graph(Graph::new(1, 0, Quantization::Int8), None)
    }

    /// An empty one.
    pub fn of_shape(shape: Shape) -> VectorSet {
        let dim = shape.reduced.unwrap_or(shape.input);
        let projection = shape.reduced.map(|output| Projection::new(shape.input, output));
        Self::of_graph(Graph::new(dim, shape.m, shape.quantization), projection)
    }

    fn of_graph(graph: Graph, projection: Option<Projection>) -> VectorSet {
        VectorSet {
            graph,
            elements: Elements::default(),
            names: NameIndex::default(),
            projection,
            uid: MADE.fetch_add(1, Ordering::Relaxed),
            last_number: 0,
        }
    }

    /// A copy that is a set of its own; it shares what neither changes.
    pub fn duplicate(&self) -> VectorSet {
        VectorSet { uid: MADE.fetch_add(1, Ordering::Relaxed), ..self.clone() }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.graph.is_empty()
    }

    /// The encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        "raw"
    }

    /// Whether nothing may be added.
    pub fn is_full(&self) -> bool {
        self.len() >= MOST_ELEMENTS
    }

    /// The graph, to read.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How vectors are reduced, if they are.
    pub fn projection(&self) -> Option<&Projection> {
        self.projection.as_ref()
    }

    /// Elements with an attribute.
    pub fn attribute_count(&self) -> usize {
        self.elements.attribute_count()
    }

    /// See the field.
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// See the field.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The place of a name, or where it would be.
    pub fn find(&self, name: &[u8]) -> Result<NamePlace, NamePlace> {
        self.names.find(&self.elements, name)
    }

    /// The id of an element, until an element is removed or changed.
    pub fn id(&self, name: &[u8]) -> Option<u32> {
        self.find(name).ok().map(|place| self.names.id(place))
    }

    /// The name of an id; empty if there is none.
    pub fn name(&self, id: u32) -> &[u8] {
        self.elements.name(id)
    }

    /// The attribute of an id.
    pub fn attribute(&self, id: u32) -> Option<&[u8]> {
        self.elements.get(id)?.attribute()
    }

    /// The names from a bound on, in order.
    pub fn names_from<'a>(&'a self, start: Bound<&[u8]>) -> impl Iterator<Item = &'a [u8]> {
        self.names.from(&self.elements, start).map(|id| self.elements.name(id))
    }

    /// The vector of an element, as it came but for what normalising and quantisation lost; signs stay signs.
    pub fn vector(&self, id: u32) -> Vec<f32> {
        let mut vector = self.graph.vector(id);
        if self.graph.quantization() != Quantization::Binary {
            let norm = self.graph.norm(id);
            vector.iter_mut().for_each(|x| *x *= norm);
        }
        vector
    }

    /// Looks for the place of a vector of [`Graph::dim`] dimensions: the long half of an insertion, for which a clone will do.
    pub fn prepare(&self, vector: &[f32], level: usize, ef: usize, scratch: &mut Scratch) -> Prepared {
        let query = self.graph.prepare(vector);
        let place = self.graph.find_place(&query, ef, level, scratch);
        Prepared { query, place }
    }

    /// Adds an element whose name isn't there: `place` is where it would be.
    pub fn insert(
        &mut self,
        place: NamePlace,
        (name, attribute): (&[u8], &[u8]),
        prepared: Prepared,
        scratch: &mut Scratch,
    ) {
        let id = self.graph.insert(&prepared.query, prepared.place, scratch);
        self.last_number = self.last_number.wrapping_add(1);
        self.elements.set(id, name, attribute);
        self.names.insert(place, id);
    }

    /// Gives the element at a place another vector of [`Graph::dim`] dimensions, and, if it is given, another attribute.
    pub fn update(
        &mut self,
        place: NamePlace,
        vector: &[f32],
        attribute: Option<&[u8]>,
        (level, ef): (usize, usize),
        scratch: &mut Scratch,
    ) {
        let old = self.names.id(place);
        self.graph.remove(old);
        let prepared = self.prepare(vector, level, ef, scratch);
        self.insert_again((place, old), attribute, prepared, scratch);
    }

    /// The same with a place that was found before, perhaps in a clone that still had the element.
    pub fn update_prepared(
        &mut self,
        place: NamePlace,
        attribute: Option<&[u8]>,
        mut prepared: Prepared,
        scratch: &mut Scratch,
    ) {
        let old = self.names.id(place);
        self.graph.remove_for(old, &mut prepared.place);
        self.insert_again((place, old), attribute, prepared, scratch);
    }

    /// Inserts an element that is in the graph no more, and has this id elsewhere.
    fn insert_again(
        &mut self,
        (place, old): (NamePlace, u32),
        attribute: Option<&[u8]>,
        prepared: Prepared,
        scratch: &mut Scratch,
    ) {
        let Some(element) = self.elements.take(old) else { return };
        let id = self.graph.insert(&prepared.query, prepared.place, scratch);
        self.last_number = self.last_number.wrapping_add(1);
        match attribute {
            None => self.elements.put(id, element),
            Some(attribute) => self.elements.set(id, element.name(), attribute),
        }
        self.names.replace(place, id);
        self.compact();
    }

    /// Removes the element at a place. Others may get other ids.
    pub fn remove(&mut self, place: NamePlace) {
        let id = self.names.id(place);
        self.names.remove(place);
        self.elements.take(id);
        self.graph.remove(id);
        self.compact();
    }

    /// Gives back memory of removed elements.
    fn compact(&mut self) {
        let VectorSet { graph, elements, names, .. } = self;
        graph.compact(|old, id| {
            if let Ok(place) = names.find(elements, elements.name(old)) {
                elements.relocate(old, id);
                names.replace(place, id);
            }
        });
        elements.truncate(graph.bound());
    }

    /// Sets the attribute of an id; empty for none.
    pub fn set_attribute(&mut self, id: u32, attribute: &[u8]) {
        if let Some(element) = self.elements.get(id).cloned() {
            self.elements.set(id, element.name(), attribute);
        }
    }

    /// About how many bytes attributes of so many elements have, the longest among them.
    pub fn attribute_bytes(&self, count: usize) -> usize {
        self.elements.attribute_bytes(count, self.len())
    }

    /// All elements, by name.
    pub fn ids_by_name(&self) -> impl Iterator<Item = u32> + '_ {
        self.names.from(&self.elements, Bound::Unbounded)
    }

    /// An element drawn at random.
    pub fn random_id(&self, rng: &mut Rng) -> Option<u32> {
        if self.graph.is_sparse() {
            return self.names.nth(rng.below(self.len().max(1) as u64) as usize);
        }
        self.graph.random_id(|bound| rng.below(bound))
    }

    /// Bytes held on the heap; those that a clone shares count for both.
    pub fn memory_usage(&self) -> usize {
        size_of::<Self>()
            + self.graph.memory()
            + self.elements.memory_usage()
            + self.names.memory_usage()
            + self.projection.as_ref().map_or(0, Projection::memory_usage)
    }

    /// Frees up to `blocks` chunks; true when nothing is left. Only to be dropped afterwards.
    pub fn free_some(&mut self, blocks: usize) -> bool {
        self.elements.free_some(blocks) && self.graph.free_some(blocks) && self.names.free_some(blocks)
    }

    #[cfg(test)]
    pub fn check_invariants(&self) {
        let names: Vec<&[u8]> = self.names_from(Bound::Unbounded).collect();
        assert_eq!(names.len(), self.len());
        assert!(
            names.iter().all(|name| self
                .id(name)
                .is_some_and(|id| self.graph.contains(id) && self.name(id) == *name))
        );
        let attributes = self.graph.ids().filter(|id| self.attribute(*id).is_some()).count();
        assert_eq!(attributes, self.attribute_count());
    }
}

#[cfg(test)]
mod tests;
