//! Ids of stream entries: milliseconds and a sequence number within them, `1526919030474-55` as text.

use crate::base::number::{parse_u64_lenient, push_u64};

/// The longest text that is parsed as an id.
const MAX_TEXT: usize = 127;

/// The id of an entry; ordered by time, then by sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970, or any number that the client chose.
    pub ms: u64,
    /// The sequence number within the millisecond.
    pub seq: u64,
}

/// A parsed id with a sequence that may be missing or left to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialId {
    /// `ms-seq`
    Full(StreamId),
    /// `ms`
    Time(u64),
    /// `ms-*`
    AutoSequence(u64),
}

/// An id as text.
#[derive(Clone, Copy, Debug)]
pub struct IdText {
    bytes: [u8; Self::LONGEST],
    len: u8,
}

impl IdText {
    const LONGEST: usize = 41;
}

impl AsRef<[u8]> for IdText {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl StreamId {
    /// Below every entry's id.
    pub const ZERO: StreamId = StreamId { ms: 0, seq: 0 };
    /// The last possible one.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The id of these parts.
    pub const fn new(ms: u64, seq: u64) -> Self {
        StreamId { ms, seq }
    }

    /// The id right after this one, if there is any.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The id right before this one, if there is any.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// Parses `ms-seq` or `ms`, which then gets `missing_seq`.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        match PartialId::parse(text)? {
            PartialId::Full(id) => Some(id),
            PartialId::Time(ms) => Some(StreamId::new(ms, missing_seq)),
            PartialId::AutoSequence(_) => None,
        }
    }

    /// Appends `ms-seq`.
    pub fn push_text(self, out: &mut Vec<u8>) {
        push_u64(out, self.ms);
        out.push(b'-');
        push_u64(out, self.seq);
    }

    /// `ms-seq`, without an allocation.
    pub fn to_text(self) -> IdText {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.ms).as_bytes(), seq.format(self.seq).as_bytes());
        let mut bytes = [0; IdText::LONGEST];
        let len = ms.len() + 1 + seq.len();
        bytes[..ms.len()].copy_from_slice(ms);
        bytes[ms.len()] = b'-';
        bytes[ms.len() + 1..len].copy_from_slice(seq);
        IdText { bytes, len: len as u8 }
    }

    /// Big-endian, so that bytes sort as ids do: the form of RDB files.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// The reverse of [`StreamId::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId::new((both >> 64) as u64, both as u64)
    }
}

impl PartialId {
    /// Parses any of the three forms. Numbers are parsed as C's `strtoull` does.
    pub fn parse(text: &[u8]) -> Option<PartialId> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let Some(dash) = memchr::memchr(b'-', text) else {
            return Some(PartialId::Time(parse_u64_lenient(text)?));
        };
        let ms = parse_u64_lenient(&text[..dash])?;
        match &text[dash + 1..] {
            b"*" => Some(PartialId::AutoSequence(ms)),
            seq => Some(PartialId::Full(StreamId::new(ms, parse_u64_lenient(seq)?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_bytes() {
        let edge = StreamId::new(5, u64::MAX);
        assert_eq!(edge.next(), Some(StreamId::new(6, 0)));
        assert_eq!(StreamId::new(6, 0).previous(), Some(edge));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::ZERO.previous(), None);
        assert_eq!(StreamId::from_bytes(edge.to_bytes()), edge);
        assert!(edge.to_bytes() < StreamId::new(6, 0).to_bytes());
    }

    #[test]
    fn texts() {
        let mut out = Vec::new();
        StreamId::new(1526919030474, 55).push_text(&mut out);
        assert_eq!(out, b"1526919030474-55");
        assert_eq!(StreamId::new(1526919030474, 55).to_text().as_ref(), out);
        assert_eq!(StreamId::MAX.to_text().as_ref().len(), 41);
        assert_eq!(StreamId::parse(&out, 0), Some(StreamId::new(1526919030474, 55)));
        assert_eq!(StreamId::parse(b"7", 9), Some(StreamId::new(7, 9)));
        assert_eq!(PartialId::parse(b"7-*"), Some(PartialId::AutoSequence(7)));
        for text in ["", "-", "+", "$", "*", "1-", "-1", "1-2-3", "a", "1-b", "18446744073709551616"] {
            assert_eq!(StreamId::parse(text.as_bytes(), 0), None, "{text}");
        }
    }
}
