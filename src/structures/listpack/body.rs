//! Listpack body: the entries alone, without header and end, in a buffer that the caller owns and that has room.
//!
//! ```text
//! | entry* (`used` bytes) | room |
//! ```
//!
//! The bytes must come from [`Listpack::body`](super::Listpack::body) or from here. It neither counts the
//! entries nor remembers how many bytes are used: its owner does.

pub use super::entry::size_at;
use super::entry::{Encoded, find_between};

/// Where the first entry begins that equals `needle`, among the first and every `stride`-th after it.
#[inline]
pub fn find(body: &[u8], needle: &[u8], stride: usize) -> Option<usize> {
    find_between(body, 0, body.len(), needle, stride)
}

/// Items ready to be written one behind the other.
pub struct Items<'a, const N: usize>([Encoded<'a>; N]);

impl<'a, const N: usize> Items<'a, N> {
    /// What reads as an integer becomes one.
    #[inline]
    pub fn new(items: [&'a [u8]; N]) -> Self {
        Items(items.map(|item| Encoded::new(item.into())))
    }

    /// Bytes they take.
    #[inline]
    pub fn size(&self) -> usize {
        self.0.iter().map(Encoded::size).sum()
    }

    /// Writes them over the whole of `out`, which has `size()` bytes.
    #[inline]
    fn write(&self, mut out: &mut [u8]) {
        for item in &self.0 {
            let (here, rest) = out.split_at_mut(item.size());
            item.write_over(here);
            out = rest;
        }
    }

    /// Puts them in the place of the `old` bytes at `at`, within a buffer that has room for it. Answers how
    /// many of its bytes are used then.
    #[inline]
    pub fn splice(&self, buffer: &mut [u8], used: usize, at: usize, old: usize) -> usize {
        let new = self.size();
        if old != new && at + old < used {
            buffer.copy_within(at + old..used, at + new);
        }
        self.write(&mut buffer[at..at + new]);
        used - old + new
    }

    /// As [`Self::splice`], to another buffer: `body` stays as it is.
    #[inline]
    pub fn splice_to(&self, to: &mut [u8], body: &[u8], at: usize, old: usize) -> usize {
        let end = at + self.size();
        to[..at].copy_from_slice(&body[..at]);
        self.write(&mut to[at..end]);
        let rest = &body[at + old..];
        to[end..end + rest.len()].copy_from_slice(rest);
        end + rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Listpack;
    use super::*;
    use crate::base::rng::Rng;

    fn texts(body: &[u8], count: usize) -> Vec<Vec<u8>> {
        let listpack = Listpack::from_body(count as u16, body);
        listpack.check_invariants();
        listpack.iter().map(|entry| entry.to_vec()).collect()
    }

    #[test]
    fn as_a_vector_of_texts() {
        let mut rng = Rng::new(7);
        for _ in 0..200 {
            let (mut buffer, mut used, mut model) = ([0; 600], 0, Vec::<Vec<u8>>::new());
            for _ in 0..30 {
                let item = match rng.below(3) {
                    0 => rng.below(1 << 20).to_string().into_bytes(),
                    length => vec![b'a' + rng.below(3) as u8; length as usize * rng.below(9) as usize],
                };
                let found = find(&buffer[..used], &item, 1);
                let place = model.iter().position(|other| *other == item);
                assert_eq!(found.is_some(), place.is_some());
                let (at, old) = match found {
                    Some(at) => (at, size_at(&buffer[..used], at)),
                    None => (used, 0),
                };
                let items = Items::new([&item[..], b"x"]);
                let mut copy = [0; 600];
                let there = items.splice_to(&mut copy, &buffer[..used], at, old);
                used = items.splice(&mut buffer, used, at, old);
                assert_eq!(copy[..there], buffer[..used]);
                let place = place.unwrap_or(model.len());
                model.splice(place..model.len().min(place + usize::from(old > 0)), [item, b"x".to_vec()]);
                assert_eq!(texts(&buffer[..used], model.len()), model);
            }
        }
    }

    #[test]
    fn a_stride_skips_values() {
        let mut buffer = [0; 64];
        let used = Items::new([&b"a"[..], b"b", b"b", b"c"]).splice(&mut buffer, 0, 0, 0);
        assert_eq!(find(&buffer[..used], b"b", 2), Some(6));
        assert_eq!(find(&buffer[..used], b"c", 2), None);
        assert_eq!(find(&buffer[..used], b"c", 1), Some(9));
    }
}
