//! RDB primitives: reads and writes lengths, strings and numbers (`rdbSaveLen`, `rdbSaveRawString`).
//!
//! ```text
//! length   00llllll                        up to 63
//!          01llllll llllllll               up to 16,383, high bits first
//!          10000000 u32 BE                 10000001 u64 BE
//! string   length bytes
//!          11000000 i8                     its decimal text; 11000001 i16 LE, 11000010 i32 LE
//!          11000011 length length bytes    LZF: compressed length, length, compressed bytes
//! ms       i64 LE                          double   f64 LE
//! ```

use super::compress::StringCompressor;
use crate::base::{lzf, number};
use crate::structures::listpack::{DecimalBuffer, EMPTY_BYTES, END, Entry};
use crate::value::vector_set::VectorSet;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

const LENGTH_32: u8 = 0x80;
const LENGTH_64: u8 = 0x81;
const INT_8: u8 = 0xc0;
const INT_16: u8 = 0xc1;
const INT_32: u8 = 0xc2;
const LZF: u8 = 0xc3;

/// The longest text of an integer that is written as an integer.
const MAX_INT_TEXT: usize = 11;
/// The shortest string that is compressed, and the least gain in bytes.
const MIN_COMPRESS: usize = 21;
const MIN_GAIN: usize = 4;

/// The error of bytes that are not a valid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end too early.
    Short,
    /// They break this rule.
    Corrupt(&'static str),
    /// They are a collection without elements: valid, but there is no such key.
    Empty,
    /// They are of an unknown kind.
    Unknown(u8),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Short => f.write_str("Short read"),
            Fault::Corrupt(rule) => f.write_str(rule),
            Fault::Empty => f.write_str("No elements"),
            Fault::Unknown(kind) => write!(f, "Unknown type {kind}"),
        }
    }
}

/// A string that stands in a buffer without its length, or isn't there yet, for another thread to complete.
#[derive(Debug)]
pub enum Deferred {
    /// The next `len` bytes of the buffer are a string that may be compressed.
    Compress {
        /// Bytes.
        len: usize,
    },
    /// A string that is not in the buffer.
    Shared(Arc<Vec<u8>>),
    /// No string: the part of a vector set that has the nodes of these ids.
    Vectors(Arc<VectorSet>, Range<u32>),
}

/// Where in a buffer a deferred string belongs.
#[derive(Debug)]
pub struct Mark {
    /// Bytes before it in the buffer.
    pub at: usize,
    /// The string.
    pub string: Deferred,
}

/// What becomes of a string that is long enough to be compressed.
#[derive(Debug)]
enum Long<'o> {
    Plain,
    CompressOnce,
    Compress(&'o mut StringCompressor),
    Defer(&'o mut Vec<Mark>),
}

#[inline]
fn put_length(out: &mut Vec<u8>, length: u64) {
    if length < 1 << 6 {
        out.push(length as u8);
    } else if length < 1 << 14 {
        out.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes());
    } else if let Ok(length) = u32::try_from(length) {
        out.push(LENGTH_32);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(LENGTH_64);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

fn put_compressed(out: &mut Vec<u8>, lzf: &[u8], length: usize) {
    out.push(LZF);
    put_length(out, lzf.len() as u64);
    put_length(out, length as u64);
    out.extend_from_slice(lzf);
}

/// Writes to the end of a buffer.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    long: Long<'o>,
}

impl<'o> Writer<'o> {
    /// A writer that appends to `out`, and compresses strings where that saves bytes if `compress`.
    pub fn new(out: &'o mut Vec<u8>, compress: bool) -> Self {
        Writer { out, long: if compress { Long::CompressOnce } else { Long::Plain } }
    }

    /// A writer that appends to `out`, and compresses strings where that saves bytes. For many writers one after the other.
    pub fn compressing(out: &'o mut Vec<u8>, compressor: &'o mut StringCompressor) -> Self {
        Writer { out, long: Long::Compress(compressor) }
    }

    /// A writer that appends to `out`, and leaves compressing to another thread: strings that may be compressed stand in
    /// `out` without their lengths, and in `marks`.
    pub fn deferring(out: &'o mut Vec<u8>, marks: &'o mut Vec<Mark>) -> Self {
        Writer { out, long: Long::Defer(marks) }
    }

    /// Bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A length, or another number that isn't negative.
    #[inline]
    pub fn length(&mut self, length: u64) {
        put_length(self.out, length);
    }

    /// Milliseconds.
    pub fn ms(&mut self, ms: i64) {
        self.raw(&ms.to_le_bytes());
    }

    /// A double.
    pub fn double(&mut self, value: f64) {
        self.raw(&value.to_le_bytes());
    }

    /// A string in the shortest form that it has.
    #[inline]
    pub fn string(&mut self, bytes: &[u8]) {
        if bytes.len() <= MAX_INT_TEXT
            && let Some(value) = number::parse_i64(bytes)
            && self.short_integer(value)
        {
            return;
        }
        self.text(bytes);
    }

    /// A string that is not the text of an integer.
    #[inline]
    pub fn text(&mut self, bytes: &[u8]) {
        if bytes.len() >= MIN_COMPRESS {
            match &mut self.long {
                Long::Plain => {}
                Long::Defer(marks) => {
                    marks.push(Mark { at: self.out.len(), string: Deferred::Compress { len: bytes.len() } });
                    return self.raw(bytes);
                }
                Long::CompressOnce => {
                    if let Some(lzf) = lzf::compress(bytes, bytes.len() - MIN_GAIN) {
                        return self.compressed(&lzf, bytes.len());
                    }
                }
                Long::Compress(compressor) => {
                    if let Some(lzf) = compressor.compress(bytes, bytes.len() - MIN_GAIN) {
                        return put_compressed(self.out, lzf, bytes.len());
                    }
                }
            }
        }
        self.length(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A string that another thread completes, if this writer defers.
    pub fn shared(&mut self, bytes: Arc<Vec<u8>>) {
        match &mut self.long {
            Long::Defer(marks) => marks.push(Mark { at: self.out.len(), string: Deferred::Shared(bytes) }),
            _ => self.string(&bytes),
        }
    }

    /// A listpack of so many entries, fewer than 65535, with this body.
    pub fn listpack(&mut self, count: u16, body: &[u8]) {
        let total = body.len() + EMPTY_BYTES;
        let ([a, b, c, d], [e, f]) = ((total as u32).to_le_bytes(), count.to_le_bytes());
        let parts = [&[a, b, c, d, e, f], body, &[END]];
        match &mut self.long {
            Long::CompressOnce | Long::Compress(_) => return self.text(&parts.concat()),
            Long::Defer(marks) if total >= MIN_COMPRESS => {
                marks.push(Mark { at: self.out.len(), string: Deferred::Compress { len: total } });
            }
            _ => self.length(total as u64),
        }
        parts.into_iter().for_each(|part| self.raw(part));
    }

    /// The decimal text of an integer.
    pub fn integer(&mut self, value: i64) {
        if !self.short_integer(value) {
            let mut digits = number::IntegerBuffer::new();
            let digits = digits.format(value).as_bytes();
            self.length(digits.len() as u64);
            self.raw(digits);
        }
    }

    /// An element of a compact collection.
    pub fn entry(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Int(value) => self.integer(value),
            Entry::Str(bytes) => self.string(bytes),
        }
    }

    /// A string of `length` bytes that is compressed already.
    pub fn compressed(&mut self, lzf: &[u8], length: usize) {
        put_compressed(self.out, lzf, length);
    }

    /// An integer of up to 32 bits; false, and nothing written, if it takes more.
    fn short_integer(&mut self, value: i64) -> bool {
        if let Ok(value) = i8::try_from(value) {
            self.raw(&[INT_8, value as u8]);
        } else if let Ok(value) = i16::try_from(value) {
            self.out.push(INT_16);
            self.raw(&value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.out.push(INT_32);
            self.raw(&value.to_le_bytes());
        } else {
            return false;
        }
        true
    }
}

/// A string as it was stored.
#[derive(Debug)]
pub enum Text<'a> {
    /// The decimal text of an integer.
    Int(i32),
    /// Its bytes.
    Bytes(&'a [u8]),
    /// Its bytes, decompressed.
    Owned(Vec<u8>),
}

impl Text<'_> {
    /// The string; `buffer` holds it if it is an integer.
    #[inline]
    pub fn bytes<'b>(&'b self, buffer: &'b mut DecimalBuffer) -> &'b [u8] {
        match self {
            Text::Int(value) => buffer.format(i64::from(*value)).as_bytes(),
            Text::Bytes(bytes) => bytes,
            Text::Owned(bytes) => bytes,
        }
    }
}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// At least so many bytes were missing where it last ended too early.
    missing: usize,
}

const _: () = assert!(usize::BITS >= u64::BITS, "a length fits");

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, missing: 0 }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// How many more bytes there must be, at least, to get further than where it ended too early.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Goes back to where `before` is, without forgetting how many bytes were missing.
    pub fn rewind(&mut self, before: Reader<'a>) {
        self.rest = before.rest;
    }

    #[cold]
    fn short(&mut self, count: usize) -> Fault {
        self.missing = count - self.rest.len();
        Fault::Short
    }

    /// The next `count` bytes as they are.
    #[inline]
    pub fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let count = count as usize;
        let Some((taken, rest)) = self.rest.split_at_checked(count) else { return Err(self.short(count)) };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes as they are.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else { return Err(self.short(N)) };
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    /// A length, or another number that isn't negative.
    pub fn length(&mut self) -> Result<u64, Fault> {
        let first = self.byte()?;
        self.length_after(first)
    }

    #[inline]
    fn length_after(&mut self, first: u8) -> Result<u64, Fault> {
        match first {
            0..=0x3f => Ok(u64::from(first)),
            0x40..=0x7f => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            LENGTH_32 => self.array().map(u32::from_be_bytes).map(u64::from),
            LENGTH_64 => self.array().map(u64::from_be_bytes),
            _ => Err(Fault::Corrupt("Unknown length encoding")),
        }
    }

    /// Milliseconds.
    pub fn ms(&mut self) -> Result<i64, Fault> {
        self.array().map(i64::from_le_bytes)
    }

    /// A double.
    pub fn double(&mut self) -> Result<f64, Fault> {
        self.array().map(f64::from_le_bytes)
    }

    /// A double as old versions wrote it: a length of one byte and decimal text.
    pub fn text_double(&mut self) -> Result<f64, Fault> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Ok(f64::NAN),
            length => {
                number::parse_f64(self.take(length.into())?).ok_or(Fault::Corrupt("Score is no number"))
            }
        }
    }

    /// A string, borrowed if it is stored as its bytes.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        Ok(match self.text()? {
            Text::Bytes(bytes) => Cow::Borrowed(bytes),
            Text::Owned(bytes) => Cow::Owned(bytes),
            Text::Int(value) => {
                Cow::Owned(number::IntegerBuffer::new().format(i64::from(value)).as_bytes().to_vec())
            }
        })
    }

    /// A string as it is stored.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Fault> {
        let value = match self.byte()? {
            INT_8 => i32::from(i8::from_le_bytes(self.array()?)),
            INT_16 => i32::from(i16::from_le_bytes(self.array()?)),
            INT_32 => i32::from_le_bytes(self.array()?),
            LZF => return self.lzf().map(Text::Owned),
            first => {
                let length = self.length_after(first)?;
                return self.take(length).map(Text::Bytes);
            }
        };
        Ok(Text::Int(value))
    }

    /// Passes over a string without reading it.
    pub fn skip_string(&mut self) -> Result<(), Fault> {
        let length = match self.byte()? {
            INT_8 => 1,
            INT_16 => 2,
            INT_32 => 4,
            LZF => {
                let compressed = self.length()?;
                self.length()?;
                compressed
            }
            first => self.length_after(first)?,
        };
        self.take(length).map(drop)
    }

    fn lzf(&mut self) -> Result<Vec<u8>, Fault> {
        const BAD: Fault = Fault::Corrupt("Invalid LZF compressed string");
        let (lzf, length) = (self.length()?, self.length()?);
        let length = usize::try_from(length).map_err(|_| BAD)?;
        lzf::decompress(self.take(lzf)?, length).map_err(|_| BAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, true));
        out
    }

    #[test]
    fn lengths() {
        let cases: [(u64, &[u8]); 7] = [
            (0, b"\x00"),
            (63, b"\x3f"),
            (64, b"\x40\x40"),
            (16_383, b"\x7f\xff"),
            (16_384, b"\x80\0\0\x40\0"),
            (u64::from(u32::MAX), b"\x80\xff\xff\xff\xff"),
            (1 << 32, b"\x81\0\0\0\x01\0\0\0\0"),
        ];
        for (length, bytes) in cases {
            assert_eq!(written(|w| w.length(length)), bytes);
            assert_eq!(Reader::new(bytes).length(), Ok(length));
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).length(), Err(Fault::Short));
        }
        for bad in [0x82, 0xbf, 0xc0, 0xc4, 0xff] {
            assert!(matches!(Reader::new(&[bad; 9]).length(), Err(Fault::Corrupt(_))));
        }
    }

    #[test]
    fn strings() {
        let cases: [(&[u8], &[u8]); 9] = [
            (b"", b"\0"),
            (b"-128", b"\xc0\x80"),
            (b"128", b"\xc1\x80\0"),
            (b"-32769", b"\xc2\xff\x7f\xff\xff"),
            (b"2147483647", b"\xc2\xff\xff\xff\x7f"),
            (b"2147483648", b"\x0a2147483648"),
            (b"007", b"\x03007"),
            (&[b'a'; 20], &[[20].as_slice(), &[b'a'; 20]].concat()),
            (&[b'a'; 40], b"\xc3\x05\x28\0a\xe0\x1e\0"),
        ];
        for (text, bytes) in cases {
            assert_eq!(Reader::new(bytes).string().as_deref(), Ok(text));
            let out = written(|w| w.string(text));
            assert_eq!(Reader::new(&out).string().as_deref(), Ok(text));
            if text.len() < 40 {
                assert_eq!(out, bytes);
                assert_eq!(Reader::new(&out[..out.len() - 1]).string().err(), Some(Fault::Short));
            }
        }
        let mut plain = Vec::new();
        Writer::new(&mut plain, false).string(&[b'a'; 40]);
        assert_eq!(plain.len(), 41);
        for value in [i64::MIN, -1, 0, 1 << 31, i64::MAX] {
            let out = written(|w| w.integer(value));
            assert_eq!(out, written(|w| w.string(value.to_string().as_bytes())));
        }
    }

    #[test]
    fn promises_allocate_nothing() {
        let huge = b"\x81\xff\xff\xff\xff\xff\xff\xff\xf7";
        assert_eq!(Reader::new(huge).string().err(), Some(Fault::Short));
        let lzf = [b"\xc3\x01".as_slice(), huge, b"\0"].concat();
        assert!(matches!(Reader::new(&lzf).string(), Err(Fault::Corrupt(_))));
        let lzf = [b"\xc3".as_slice(), huge, huge].concat();
        assert_eq!(Reader::new(&lzf).string().err(), Some(Fault::Short));
    }

    #[test]
    fn doubles_as_text() {
        assert_eq!(Reader::new(b"\x032.5").text_double(), Ok(2.5));
        assert_eq!(Reader::new(b"\xff").text_double(), Ok(f64::NEG_INFINITY));
        assert_eq!(Reader::new(b"\xfe").text_double(), Ok(f64::INFINITY));
        assert!(Reader::new(b"\xfd").text_double().is_ok_and(f64::is_nan));
        assert!(matches!(Reader::new(b"\x01x").text_double(), Err(Fault::Corrupt(_))));
    }

    #[test]
    fn random_strings_come_back() {
        let mut rng = Rng::new(3);
        for _ in 0..300 {
            let (len, letters) = (rng.below(20_000) as usize, 1 + rng.below(200));
            let text: Vec<u8> = (0..len).map(|_| rng.below(letters) as u8).collect();
            let out = written(|w| w.string(&text));
            // A kind and two lengths of five bytes, less the least gain; or one length.
            assert!(out.len() <= len + 7);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.string().as_deref(), Ok(&text[..]));
            assert_eq!(reader.remaining(), 0);
        }
    }
}
