//! Arguments of a request: spans over bytes that the caller owns.
//!
//! One shape for the socket's scratch, the MULTI queue, a blocked command, a script and the
//! AOF, so that a handler never knows where its arguments lie. The first argument is the
//! command's name (for a subcommand, the container's).
//!
//! ```text
//! bytes      *3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$65536\r\n|\r\n        the request without its large argument
//!                                                  ↑ its span: SEPARATE + this offset, its length
//! separate   the large argument, in a counted allocation that a command may keep as a value
//! ```

use std::ops::{Index, Range};
use std::sync::Arc;

/// Where an argument lies in the bytes of its request. Of `usize`, so that no size of a request can be cut off
/// silently: what bounds a request is `client-query-buffer-limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub len: usize,
}

/// What is added to the offset of an argument that has an allocation of its own: no offset in bytes is as large.
const SEPARATE: usize = usize::MAX / 2 + 1;

impl Span {
    /// The span of an argument of `len` bytes that has an allocation of its own, and was taken out of the request at `offset`.
    pub fn separate(offset: usize, len: usize) -> Self {
        Span { start: SEPARATE + offset, len }
    }

    /// Where the argument was taken out of the request, if it has an allocation of its own.
    #[inline]
    pub fn taken_out_at(self) -> Option<usize> {
        self.start.checked_sub(SEPARATE)
    }

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
    /// The argument that has an allocation of its own.
    separate: Option<&'a Arc<Vec<u8>>>,
}

/// An argument that is to be stored.
#[derive(Clone, Copy, Debug)]
pub enum StringArg<'a> {
    /// Bytes to copy.
    Bytes(&'a [u8]),
    /// A large string in an allocation that may be kept.
    Counted(&'a Arc<Vec<u8>>),
}

impl<'a> StringArg<'a> {
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            StringArg::Bytes(bytes) => bytes,
            StringArg::Counted(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a Vec<u8>> for StringArg<'a> {
    #[inline]
    fn from(bytes: &'a Vec<u8>) -> Self {
        StringArg::Bytes(bytes)
    }
}

impl<'a> From<&'a [u8]> for StringArg<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        StringArg::Bytes(bytes)
    }
}

impl<'a> Args<'a> {
    /// `spans` must lie within `bytes`; indexing panics otherwise, so only parsers make these.
    #[inline]
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Args { bytes, spans, separate: None }
    }

    /// A request of which `separate`, if there is one, is the argument that has an allocation of its own.
    #[inline]
    pub fn with_separate(bytes: &'a [u8], spans: &'a [Span], separate: Option<&'a Arc<Vec<u8>>>) -> Self {
        Args { bytes, spans, separate }
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
        self.spans.get(index).map(|span| self.part(*span))
    }

    /// The argument at `index`; panics past the end (arity is checked before handlers run).
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.part(self.spans[index])
    }

    /// The argument at `index`, to be stored; panics past the end.
    #[inline]
    pub fn string(&self, index: usize) -> StringArg<'a> {
        let span = self.spans[index];
        match self.bytes.get(span.range()) {
            Some(bytes) => StringArg::Bytes(bytes),
            None => StringArg::Counted(self.separate_part(span)),
        }
    }

    #[inline]
    fn part(&self, span: Span) -> &'a [u8] {
        match self.bytes.get(span.range()) {
            Some(bytes) => bytes,
            None => self.separate_part(span),
        }
    }

    #[cold]
    fn separate_part(&self, span: Span) -> &'a Arc<Vec<u8>> {
        match self.separate {
            Some(bytes) if span.start >= SEPARATE => bytes,
            _ => panic!("an argument lies outside of its request"),
        }
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let args = *self;
        self.spans.iter().map(move |span| args.part(*span))
    }

    /// The arguments from `first` on (none, if there are fewer).
    #[inline]
    pub fn tail(&self, first: usize) -> Args<'a> {
        Args { spans: &self.spans[first.min(self.spans.len())..], ..*self }
    }

    /// The first `count` arguments (all, if there are fewer).
    #[inline]
    pub fn head(&self, count: usize) -> Args<'a> {
        Args { spans: &self.spans[..count.min(self.spans.len())], ..*self }
    }

    /// Bytes of the request as it came, headers and line ends included where there were any.
    #[inline]
    pub fn frame_len(&self) -> usize {
        self.bytes.len() + self.separate.map_or(0, |bytes| bytes.len())
    }

    /// The bytes of the request as they came, with the argument that has an allocation of its own put back; `None` if
    /// there is no such argument.
    pub fn put_together(&self) -> Option<Vec<u8>> {
        let offset = self.spans.iter().find_map(|span| span.taken_out_at())?;
        let (before, behind) = self.bytes.split_at(offset);
        Some([before, self.separate?, behind].concat())
    }

    /// The bytes of the request, if they are a RESP array of just these arguments: not of an inline request, one that
    /// was put together, a part of one, or one with an argument in an allocation of its own.
    #[inline]
    pub fn frame(&self) -> Option<&'a [u8]> {
        if self.separate.is_some() {
            return None;
        }
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

    /// Whether the request came as a line of words, or never came.
    pub fn is_inline(&self) -> bool {
        self.bytes.first() != Some(&b'*')
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
        Args::new(&self.bytes, &self.spans)
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

    #[test]
    fn an_argument_in_an_allocation_of_its_own_is_one_as_others_are() {
        let bytes = b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n\r\n$2\r\nNX\r\n";
        let span = |start, len| Span { start, len };
        let spans = [span(8, 3), span(17, 1), Span::separate(24, 5), span(30, 2)];
        let value = Arc::new(b"value".to_vec());
        let args = Args::with_separate(bytes, &spans, Some(&value));
        let words: [&[u8]; 4] = [b"SET", b"k", b"value", b"NX"];
        assert!(args.iter().eq(words));
        assert_eq!((args.at(2), args.get(2), &args[2]), (words[2], Some(words[2]), words[2]));
        assert_eq!((args.tail(2).at(0), args.head(3).at(2)), (words[2], words[2]));
        assert!(matches!(args.string(2), StringArg::Counted(kept) if Arc::ptr_eq(kept, &value)));
        assert!(matches!(args.string(1), StringArg::Bytes(b"k")));
        let whole = b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n$2\r\nNX\r\n";
        assert_eq!((args.frame_len(), args.payload(), args.frame()), (whole.len(), 11, None));
        assert_eq!(args.put_together().as_deref(), Some(&whole[..]));
        assert!(args.to_owned().as_args().iter().eq(words));
        assert_eq!(args.to_owned().as_args().put_together(), None);
    }
}
