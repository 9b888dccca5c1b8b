//! Elements of a vector set by id: each its name and its attribute, in one allocation.
//!
//! ```text
//! element   length of the name | name | attribute       length: a byte, or 255 and a u64
//! ```
//!
//! An empty attribute is none, as it is where Redis keeps it (RDB files).

use std::sync::Arc;

use crate::structures::hnsw::chunks::Chunks;

/// Lengths from here on take nine bytes.
const LONG: usize = 255;

/// The name and the attribute of one element.
#[derive(Clone, Debug)]
pub struct Element(Arc<[u8]>);

impl Element {
    fn new(name: &[u8], attribute: &[u8]) -> Element {
        let mut bytes = Vec::with_capacity(9 + name.len() + attribute.len());
        match u8::try_from(name.len()) {
            Ok(len) if usize::from(len) < LONG => bytes.push(len),
            _ => {
                bytes.push(LONG as u8);
                bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
            }
        }
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(attribute);
        Element(bytes.into())
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        match self.0.split_first() {
            Some((len, rest)) if usize::from(*len) < LONG => rest.split_at(usize::from(*len)),
            Some((_, rest)) => {
                let (len, rest) = rest.split_first_chunk().expect("a long element has its length");
                rest.split_at(u64::from_le_bytes(*len) as usize)
            }
            None => (&[], &[]),
        }
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        self.parts().0
    }

    /// The attribute, if there is one.
    pub fn attribute(&self) -> Option<&[u8]> {
        Some(self.parts().1).filter(|attribute| !attribute.is_empty())
    }

    /// Bytes held on the heap: two counters stand before the text.
    fn memory_usage(&self) -> usize {
        2 * size_of::<usize>() + self.0.len().next_multiple_of(size_of::<usize>())
    }
}

/// The elements by id, of which some may be free.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    slots: Chunks<Option<Element>>,
    /// Bytes that the elements hold.
    bytes: usize,
    /// How many have an attribute.
    attributes: usize,
    /// Bytes of the longest attribute that there ever was.
    longest: usize,
}

impl Elements {
    /// The element of an id.
    pub fn get(&self, id: u32) -> Option<&Element> {
        self.slots.get(id)?.as_ref()
    }

    /// The name of an id; empty if there is none.
    pub fn name(&self, id: u32) -> &[u8] {
        self.get(id).map_or(&[], Element::name)
    }

    /// How many have an attribute.
    pub fn attribute_count(&self) -> usize {
        self.attributes
    }

    /// About how many bytes attributes of so many of `all` elements have, the longest among them.
    pub fn attribute_bytes(&self, count: usize, all: usize) -> usize {
        (self.bytes / all.max(1)).saturating_mul(count).saturating_add(self.longest)
    }

    /// Puts an element at an id.
    pub fn set(&mut self, id: u32, name: &[u8], attribute: &[u8]) {
        self.put(id, Element::new(name, attribute));
    }

    /// Puts an element at an id, and forgets what was there.
    pub fn put(&mut self, id: u32, element: Element) {
        self.take(id);
        self.bytes += element.memory_usage();
        self.attributes += usize::from(element.attribute().is_some());
        self.longest = self.longest.max(element.attribute().map_or(0, <[u8]>::len));
        *self.slots.get_mut(id) = Some(element);
    }

    /// Takes the element from an id, which is free then.
    pub fn take(&mut self, id: u32) -> Option<Element> {
        // What isn't there is not worth a copy of its chunk.
        self.get(id)?;
        let element = self.slots.get_mut(id).take()?;
        self.bytes -= element.memory_usage();
        self.attributes -= usize::from(element.attribute().is_some());
        Some(element)
    }

    /// Gives an element another id, which is free.
    pub fn relocate(&mut self, from: u32, to: u32) {
        self.slots.relocate(from, to);
    }

    /// Gives up ids from this one on, which are free.
    pub fn truncate(&mut self, id: u32) {
        self.slots.truncate(id);
    }

    /// Bytes held on the heap.
    pub fn memory_usage(&self) -> usize {
        self.bytes + self.slots.memory()
    }

    /// Frees up to `chunks` chunks; true when nothing is left. Only to be dropped afterwards.
    pub fn free_some(&mut self, chunks: usize) -> bool {
        self.slots.free_some(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes_of_any_length() {
        let long = vec![b'x'; 70_000];
        for name in [&b""[..], b"a", &long[..254], &long[..255], &long[..256], &long] {
            for attribute in [&b""[..], b"{}", &long] {
                let element = Element::new(name, attribute);
                assert_eq!(element.name(), name);
                assert_eq!(element.attribute().unwrap_or_default(), attribute);
            }
        }
    }

    #[test]
    fn counts_follow_changes() {
        let mut elements = Elements::default();
        elements.set(700, b"seven", b"{}");
        elements.set(3, b"three", b"");
        assert_eq!(
            (elements.attribute_count(), elements.name(700), elements.name(701)),
            (1, &b"seven"[..], &b""[..])
        );
        let before = elements.clone();
        elements.set(3, b"three", b"{\"a\":1}");
        assert_eq!((elements.attribute_count(), before.attribute_count()), (2, 1));
        assert!(elements.memory_usage() > before.memory_usage());
        assert!(before.get(3).is_some_and(|element| element.attribute().is_none()));
        assert!(elements.take(3).is_some() && elements.take(3).is_none() && elements.take(9999).is_none());
        elements.take(700);
        assert_eq!((elements.attribute_count(), elements.bytes), (0, 0));
        while !elements.free_some(1) {}
        assert!(elements.get(700).is_none() && before.get(700).is_some());
    }
}
