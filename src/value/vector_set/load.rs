//! Loading a vector set that was saved, element by element.

use super::elements::Elements;
use super::names::NameIndex;
use super::{Projection, VectorSet};
use crate::structures::hnsw::{Loader, Malformed, Quantization};

/// What was saved of an element's node, besides its vector.
#[derive(Debug)]
pub struct SavedNode<'a> {
    /// By which links name it.
    pub number: u64,
    pub norm: f32,
    pub range: f32,
    /// The numbers of its neighbours, from the lowest layer up.
    pub layers: Vec<&'a [u64]>,
}

/// A set that is being loaded.
#[derive(Debug)]
pub struct LoadingSet {
    loader: Loader,
    elements: Elements,
    ids: Vec<u32>,
    projection: Option<Projection>,
    highest: u64,
}

impl LoadingSet {
    /// Of this dimension, so many links and this quantization.
    pub fn new((dim, m, quantization): (usize, usize, Quantization), projection: Option<Projection>) -> Self {
        LoadingSet {
            loader: Loader::new(dim, m, quantization),
            elements: Elements::default(),
            ids: Vec::new(),
            projection,
            highest: 0,
        }
    }

    /// Adds an element.
    pub fn add(
        &mut self,
        name: &[u8],
        attribute: &[u8],
        vector: &[u8],
        node: &SavedNode<'_>,
    ) -> Result<(), Malformed> {
        let id = self.loader.node(node.number, vector, node.norm, node.range, &node.layers)?;
        self.elements.set(id, name, attribute);
        self.ids.push(id);
        self.highest = self.highest.max(node.number);
        Ok(())
    }

    /// The set. Two elements of one name are [`Malformed::DuplicateId`].
    pub fn finish(self) -> Result<VectorSet, Malformed> {
        let LoadingSet { loader, elements, mut ids, projection, highest } = self;
        ids.sort_unstable_by(|a, b| elements.name(*a).cmp(elements.name(*b)));
        if ids.windows(2).any(|pair| elements.name(pair[0]) == elements.name(pair[1])) {
            return Err(Malformed::DuplicateId);
        }
        let mut set = VectorSet::of_graph(loader.finish()?, projection);
        set.names = NameIndex::from_sorted(&ids);
        set.elements = elements;
        set.last_number = highest;
        Ok(set)
    }
}
