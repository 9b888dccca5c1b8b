//! A request as its parts: spans over bytes that somebody else owns.
//!
//! One shape for the socket's scratch, the MULTI queue, a blocked command, a script and the
//! AOF, so that a handler never knows where its arguments lie. The first argument is the
//! command's name (for a subcommand, the container's).

use std::ops::{Index, Range};

/// Where an argument lies in the bytes of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    #[inline]
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// A borrowed request.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// `spans` must lie within `bytes`; indexing panics otherwise, so only parsers make these.
    #[inline]
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Args { bytes, spans }
    }

    /// Number of arguments, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`, with the request's own lifetime.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| &self.bytes[span.range()])
    }

    /// The argument at `index`; panics past the end (arity is checked before handlers run).
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        &self.bytes[self.spans[index].range()]
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| &bytes[span.range()])
    }

    /// The arguments from `first` on (none, if there are fewer).
    #[inline]
    pub fn tail(&self, first: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: &self.spans[first.min(self.spans.len())..] }
    }

    /// The first `count` arguments (all, if there are fewer).
    #[inline]
    pub fn head(&self, count: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: &self.spans[..count.min(self.spans.len())] }
    }

    /// Bytes of the request as it came, headers and line ends included where there were any.
    #[inline]
    pub fn frame_len(&self) -> usize {
        self.bytes.len()
    }

    /// Sum of the arguments' bytes.
    pub fn payload(&self) -> usize {
        self.spans.iter().map(|span| span.len as usize).sum()
    }

    /// A copy that outlives the request.
    pub fn to_owned(&self) -> OwnedArgs {
        OwnedArgs::from_parts(self.iter())
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

/// A request that owns its bytes: two allocations, whatever the number of arguments.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl OwnedArgs {
    /// Copies `parts`, which must together stay below 4 GiB.
    pub fn from_parts<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> Self {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for part in parts {
            let part = part.as_ref();
            spans.push(Span { start: bytes.len() as u32, len: part.len() as u32 });
            bytes.extend_from_slice(part);
        }
        OwnedArgs { bytes: bytes.into(), spans: spans.into() }
    }

    #[inline]
    pub fn as_args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }

    /// Bytes held on the heap.
    pub fn memory_usage(&self) -> usize {
        self.bytes.len() + std::mem::size_of_val(&*self.spans)
    }
}
