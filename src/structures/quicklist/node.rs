//! One node of a quicklist, and how large it may become.
//!
//!     Listpack count u32 · listpack            the usual
//!     Plain   one huge item                   as large as a node may be, or larger
//!     Lzf     count u32 · compressed listpack inner nodes under `list-compress-depth`
//!
//! 16 bytes, so that a search by index runs through the deque of nodes at four a cache line.

use super::End;
use crate::base::lzf;
use crate::structures::listpack::{Entry, Listpack};
use std::borrow::Cow;

/// What an entry may cost besides its bytes, at most, in the usual case.
const ENTRY_OVERHEAD: usize = 8;
/// Bytes of a node whose limit is a number of entries.
const SAFE_BYTES: usize = 8192;
/// A listpack below this is not worth compressing, nor is one that saves less than the other.
const MIN_COMPRESS_BYTES: usize = 48;
const MIN_COMPRESS_GAIN: usize = 8;

/// `list-max-listpack-size` and the threshold of plain nodes, as bytes and entries.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    bytes: usize,
    entries: usize,
    /// Whether `bytes` is what the user set, rather than the safety net of a limit in entries.
    by_size: bool,
    large: usize,
    /// Nodes at each end that stay uncompressed; 0 compresses none.
    pub(super) depth: usize,
}

impl NodeLimits {
    /// From `list-max-listpack-size` (`fill`), the size from which an item is plain (0: derived
    /// from `fill`) and `list-compress-depth`.
    pub fn new(fill: i64, packed_threshold: usize, depth: usize) -> Self {
        let by_size = fill < 0;
        let (bytes, entries) = match fill {
            -1 => (4096, usize::MAX),
            -2 => (8192, usize::MAX),
            -3 => (16_384, usize::MAX),
            -4 => (32_768, usize::MAX),
            i64::MIN..=-5 => (65_536, usize::MAX),
            _ => (SAFE_BYTES, (fill as usize).max(1)),
        };
        let large = if packed_threshold != 0 { packed_threshold } else { bytes + 1 };
        NodeLimits { bytes, entries, by_size, large, depth }
    }

    /// Whether a node of so many bytes and entries is too big.
    pub fn exceeded(&self, bytes: usize, entries: usize) -> bool {
        bytes > self.bytes || entries > self.entries
    }

    /// Whether a lone node is so small, by half of the limit if it comes from `shrinking`, that a
    /// listpack would do. A limit in entries looks at entries alone here.
    pub fn fits_listpack(&self, bytes: usize, entries: usize, shrinking: bool) -> bool {
        let part = 1 + usize::from(shrinking);
        entries <= self.entries / part && (!self.by_size || bytes <= self.bytes / part)
    }

    /// Whether a listpack of so many bytes and entries takes an item of `item` bytes.
    #[inline]
    pub(super) fn admit(&self, bytes: usize, entries: usize, item: usize) -> bool {
        !self.is_large(item) && !self.exceeded(bytes + item + ENTRY_OVERHEAD, entries + 1)
    }

    /// Whether the front of the list may be a node of its own, smaller than the limit asks, for
    /// the sake of items of `bytes`: only if nodes are limited by size, and none is compressed.
    pub(super) fn moves_in_chunks(&self, bytes: usize) -> bool {
        self.by_size && self.depth == 0 && bytes <= 64 && !self.is_large(bytes)
    }

    /// Whether an item of `bytes` gets a node of its own.
    pub fn is_large(&self, bytes: usize) -> bool {
        bytes >= self.large
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub enum Node {
    /// Items in a listpack.
    Listpack {
        /// Its number of entries, kept here so that a search touches only the deque.
        count: u32,
        /// The items.
        listpack: Listpack,
    },
    /// One item, as it is.
    Plain(Box<Box<[u8]>>),
    /// A listpack under LZF.
    Lzf {
        /// Number of entries.
        count: u32,
        /// The compressed bytes.
        data: Box<Squeezed>,
    },
}

/// The compressed bytes of a listpack of `raw_len` bytes.
#[derive(Clone, Debug)]
pub struct Squeezed {
    /// Bytes of the listpack.
    pub raw_len: usize,
    /// LZF of it.
    pub bytes: Box<[u8]>,
}

impl Squeezed {
    fn unpack(&self) -> Listpack {
        let raw = lzf::decompress(&self.bytes, self.raw_len).expect("what `compress` wrote");
        Listpack::from_bytes(&raw).expect("the listpack that was compressed")
    }
}

const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// A node of one item.
    pub(super) fn single(item: Entry<'_>, limits: &NodeLimits) -> Node {
        if limits.is_large(item.byte_len()) {
            return Node::Plain(Box::new(item.to_vec().into_boxed_slice()));
        }
        let mut listpack = Listpack::new();
        listpack.push_back(item);
        Node::Listpack { count: 1, listpack }
    }

    /// A node without items, on its way in or out.
    pub(super) fn empty() -> Node {
        Node::Listpack { count: 0, listpack: Listpack::new() }
    }

    /// A node of these items.
    pub(super) fn of(listpack: Listpack) -> Node {
        Node::Listpack { count: listpack.len() as u32, listpack }
    }

    /// Number of items.
    #[inline(always)]
    pub fn count(&self) -> usize {
        match self {
            Node::Listpack { count, .. } | Node::Lzf { count, .. } => *count as usize,
            Node::Plain(_) => 1,
        }
    }

    /// Its listpack, unpacked for the occasion if need be; none if it is plain.
    pub fn listpack(&self) -> Option<Cow<'_, Listpack>> {
        match self {
            Node::Listpack { listpack, .. } => Some(Cow::Borrowed(listpack)),
            Node::Lzf { data, .. } => Some(Cow::Owned(data.unpack())),
            Node::Plain(_) => None,
        }
    }

    /// Bytes of its items uncompressed.
    pub(super) fn raw_len(&self) -> usize {
        match self {
            Node::Listpack { listpack, .. } => listpack.byte_len(),
            Node::Lzf { data, .. } => data.raw_len,
            Node::Plain(item) => item.len(),
        }
    }

    /// Bytes of memory besides its place in the deque.
    pub(super) fn memory(&self) -> usize {
        match self {
            Node::Listpack { listpack, .. } => listpack.memory(),
            Node::Lzf { data, .. } => size_of::<Squeezed>() + data.bytes.len(),
            Node::Plain(item) => size_of::<Box<[u8]>>() + item.len(),
        }
    }

    /// Whether an item of `bytes` may join.
    pub(super) fn admits(&self, bytes: usize, limits: &NodeLimits) -> bool {
        !matches!(self, Node::Plain(_)) && limits.admit(self.raw_len(), self.count(), bytes)
    }

    /// Whether it may take in `other`.
    pub(super) fn admits_all(&self, other: &Node, limits: &NodeLimits) -> bool {
        !matches!(self, Node::Plain(_))
            && !matches!(other, Node::Plain(_))
            && !limits.exceeded(self.raw_len() + other.raw_len() - 7, self.count() + other.count())
    }

    /// Adds an item at one end of its listpack, decompressed for good.
    pub(super) fn push_within(&mut self, end: End, item: Entry<'_>) {
        self.edit(|listpack| {
            if end == End::Front {
                listpack.push_front(item)
            } else {
                listpack.push_back(item)
            }
            1
        });
    }

    /// Compresses it, if that gains enough.
    pub(super) fn compress(&mut self) {
        let Node::Listpack { count, listpack } = self else { return };
        let raw_len = listpack.byte_len();
        if raw_len < MIN_COMPRESS_BYTES {
            return;
        }
        if let Some(bytes) = lzf::compress(listpack.as_bytes(), raw_len - MIN_COMPRESS_GAIN) {
            let data = Box::new(Squeezed { raw_len, bytes: bytes.into() });
            *self = Node::Lzf { count: *count, data };
        }
    }

    pub(super) fn decompress(&mut self) {
        if let Node::Lzf { count, data } = self {
            *self = Node::Listpack { count: *count, listpack: data.unpack() };
        }
    }

    /// Changes the listpack, decompressed for good, and corrects the count by what `edit` returns.
    /// On a plain node it does nothing.
    pub(super) fn edit(&mut self, edit: impl FnOnce(&mut Listpack) -> isize) {
        self.decompress();
        if let Node::Listpack { count, listpack } = self {
            *count = count.wrapping_add_signed(edit(listpack) as i32);
        }
    }
}
