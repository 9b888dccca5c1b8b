//! Arguments of a request: spans over bytes that the caller owns.
//!
//! One shape for the socket's scratch, the MULTI queue, a blocked command, a script and the
//! AOF, so that a handler never knows where its arguments lie. The first argument is the
//! command's name (for a subcommand, the container's).

use std::ops::{Index, Range};

/// Where an argument lies in the bytes of its request. Of `usize`, so that no size of a request can be cut off
/// silently: what bounds a request is `client-query-buffer-limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub len: usize,
}

impl Span {
    #[inline]
    fn range(self) -> Range<usize> {
        self.start..self.start + self.len
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

    /// The bytes of the request, if they are a RESP array of just these arguments: not of an inline request, one that
    /// was put together, or a part of one.
    #[inline]
    pub fn frame(&self) -> Option<&'a [u8]> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        let ends = last.range().end + 2 == self.bytes.len();
        if let [b'*', digit @ b'1'..=b'9', b'\r', ..] = self.bytes {
            let whole = ends && first.start >= 4 && usize::from(digit - b'0') == self.spans.len();
            return whole.then_some(self.bytes);
        }
        let digits = self.bytes.strip_prefix(b"*")?;
        // An argument lies behind the array's header and its own; it can't be one of its digits.
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit());
        let count =
            count.fold(0usize, |count, byte| count.wrapping_mul(10).wrapping_add(usize::from(byte - b'0')));
        (ends && first.start >= 4 && count == self.spans.len()).then_some(self.bytes)
    }

    /// Sum of the arguments' bytes.
    pub fn payload(&self) -> usize {
        self.spans.iter().map(|span| span.len).sum()
    }

    /// A copy that outlives the request; of a RESP frame, the frame.
    pub fn to_owned(&self) -> OwnedArgs {
        match self.frame() {
            Some(frame) => OwnedArgs { bytes: frame.into(), spans: self.spans.into() },
            None => OwnedArgs::from_parts(self.iter()),
        }
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
    /// Copies `parts`, going through them twice: first for their number and sizes, so that each allocation is made
    /// once and at its final size.
    pub fn from_parts<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T, IntoIter: Clone>) -> Self {
        let parts = parts.into_iter();
        let (count, total) =
            parts.clone().fold((0, 0), |(count, total), part| (count + 1, total + part.as_ref().len()));
        let (mut bytes, mut spans) = (Vec::with_capacity(total), Vec::with_capacity(count));
        for part in parts {
            let part = part.as_ref();
            spans.push(Span { start: bytes.len(), len: part.len() });
            bytes.extend_from_slice(part);
        }
        debug_assert_eq!((bytes.capacity(), spans.capacity()), (total, count), "two allocations");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_requests_have_the_parts_they_were_made_of() {
        let parts: [&[u8]; 4] = [b"SET", b"", b"key", b"a longer value"];
        let owned = OwnedArgs::from_parts(parts);
        let args = owned.as_args();
        assert_eq!((args.len(), args.payload()), (4, 20));
        assert!(args.iter().eq(parts));
        assert_eq!((args.get(3), args.get(4)), (Some(parts[3]), None));
        assert!(args.tail(2).to_owned().as_args().iter().eq(parts[2..].iter().copied()));
        assert!(args.head(2).to_owned().as_args().iter().eq(parts[..2].iter().copied()));
        assert_eq!(owned.memory_usage(), 20 + 4 * size_of::<Span>());
        assert!(OwnedArgs::from_parts([b""; 0]).as_args().is_empty());
    }
}
