//! The reply writer: RESP2 or RESP3 into a byte buffer.
//!
//! One call writes one element; a caller that opens an array of `n` writes `n` elements after
//! it. Where RESP2 lacks a type, the writer falls back as Redis does (a map becomes a flat
//! array, a double a bulk, null a null bulk …). It knows nothing of sockets.
//!
//! A reply into the network's turn buffer may be segmented (`segments.rs`): a long string is held
//! instead of copied, and a reply that outgrows the buffer goes on in chunks, which are neither moved nor copied again.

use std::sync::Arc;

use super::CommandError;
use super::segments::{MAX_BUFFER, Segment, Segments};
use crate::base::number;

/// Replies of one client, being written.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    /// The length of the reply is that of `bytes` and this (wrapping): what earlier segments have more than `bytes`.
    offset: usize,
    resp3: bool,
    /// Bytes that were there before; `None` if the reply must be in one piece.
    segmented_from: Option<usize>,
    /// The segments before the bytes being written, if there are any.
    segments: Option<Box<Segments>>,
}

/// The place where the header of an aggregate of unknown length belongs; see [`Reply::open`].
#[must_use]
pub struct OpenAggregate(usize);

impl Reply {
    /// A writer that goes on after `bytes`; the reply is in one piece.
    pub fn new(bytes: Vec<u8>, resp3: bool) -> Self {
        Reply { bytes, resp3, ..Reply::default() }
    }

    /// A writer that goes on after `buffer`, which other clients' replies begin; the reply may be segmented.
    pub fn in_turn(buffer: Vec<u8>, resp3: bool) -> Self {
        Reply { segmented_from: Some(buffer.len()), bytes: buffer, resp3, ..Reply::default() }
    }

    /// Gives the bytes back.
    pub fn into_bytes(self) -> Vec<u8> {
        debug_assert!(self.segments.is_none());
        self.bytes
    }

    /// Gives back the buffer of [`Self::in_turn`], and the segments if the reply has any: then they are all of it.
    #[inline]
    pub fn into_turn(self) -> (Vec<u8>, Option<Vec<Segment>>) {
        match self.segments {
            None => (self.bytes, None),
            Some(segments) => {
                let (bytes, segments) = segments.finish(self.bytes);
                (bytes, Some(segments))
            }
        }
    }

    /// The reply, which is in one piece.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        debug_assert!(self.segments.is_none());
        &self.bytes
    }

    /// Bytes written so far, those before this client's replies included.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len().wrapping_add(self.offset)
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written after `len`, if the reply is in one piece.
    pub fn written_since(&self, len: usize) -> Option<&[u8]> {
        let count = self.len().saturating_sub(len).min(self.bytes.len());
        self.segments.is_none().then(|| &self.bytes[self.bytes.len() - count..])
    }

    /// Whether something is written for this client; the bytes of a turn's buffer before its replies are others'.
    pub fn has_begun(&self) -> bool {
        self.len() > self.segmented_from.unwrap_or(0)
    }

    /// Forgets everything written after `len`.
    pub fn truncate(&mut self, len: usize) {
        match &mut self.segments {
            None => self.bytes.truncate(len),
            Some(segments) => {
                segments.truncate(&mut self.bytes, self.offset, len);
                self.offset = len.wrapping_sub(self.bytes.len());
            }
        }
    }

    #[inline]
    pub fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// Switches the protocol of what is written from now on.
    pub fn set_resp3(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// Appends bytes that are RESP already.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes room for `more` bytes in one piece.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if more > self.bytes.capacity() - self.bytes.len() {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        match self.segmented_from {
            Some(start) if self.bytes.len() + more > MAX_BUFFER => {
                let len = self.len();
                let segments = self.segments.get_or_insert_with(|| Segments::new(start));
                segments.end_buffer(&mut self.bytes, more);
                self.offset = len;
            }
            _ => self.bytes.reserve(more),
        }
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A simple string: one line, no CR or LF in it.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.simple_parts("", text);
    }

    /// A simple string in two parts.
    #[inline]
    pub fn simple_parts(&mut self, first: &str, second: &str) {
        debug_assert!(!first.contains(['\r', '\n']) && !second.contains(['\r', '\n']));
        self.bytes.reserve(first.len() + second.len() + 3);
        self.bytes.push(b'+');
        self.raw(first.as_bytes());
        self.raw(second.as_bytes());
        self.raw(b"\r\n");
    }

    pub fn error(&mut self, error: &CommandError) {
        self.bytes.push(b'-');
        self.raw(error.as_bytes());
        self.raw(b"\r\n");
    }

    #[inline(always)]
    fn header(&mut self, kind: u8, n: i64) {
        if (0..10).contains(&n) {
            self.raw(&[kind, b'0' + n as u8, b'\r', b'\n']);
        } else {
            self.long_header(kind, n);
        }
    }

    #[inline(never)]
    fn long_header(&mut self, kind: u8, n: i64) {
        if (10..100).contains(&n) {
            return self.raw(&[kind, b'0' + (n / 10) as u8, b'0' + (n % 10) as u8, b'\r', b'\n']);
        }
        let mut digits = itoa::Buffer::new();
        self.bytes.push(kind);
        self.raw(digits.format(n).as_bytes());
        self.raw(b"\r\n");
    }

    #[inline]
    pub fn integer(&mut self, n: i64) {
        self.header(b':', n);
    }

    /// An integer reply for a count.
    #[inline]
    pub fn count(&mut self, n: usize) {
        self.header(b':', n as i64);
    }

    /// A bulk string of any bytes.
    #[inline]
    pub fn bulk(&mut self, data: &[u8]) {
        self.reserve(data.len() + 24);
        // There is room for all of it: no part is looked at for whether it begins another chunk.
        let (bytes, len) = (&mut self.bytes, data.len());
        match len {
            0..10 => bytes.extend_from_slice(&[b'$', b'0' + len as u8, b'\r', b'\n']),
            10..100 => {
                bytes.extend_from_slice(&[
                    b'$',
                    b'0' + (len / 10) as u8,
                    b'0' + (len % 10) as u8,
                    b'\r',
                    b'\n',
                ]);
            }
            _ => self.long_header(b'$', len as i64),
        }
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends bytes that are RESP already, many of them: a segmented reply holds them until it is sent, instead of copying
    /// them.
    pub fn shared_raw(&mut self, data: Arc<Vec<u8>>) {
        let Some(start) = self.segmented_from else {
            return self.raw(&data);
        };
        let len = self.len() + data.len();
        self.segments.get_or_insert_with(|| Segments::new(start)).hold(&mut self.bytes, data);
        self.offset = len.wrapping_sub(self.bytes.len());
    }

    /// A long bulk string, which a segmented reply holds until it is sent.
    pub fn shared_bulk(&mut self, data: Arc<Vec<u8>>) {
        self.header(b'$', data.len() as i64);
        self.shared_raw(data);
        self.raw(b"\r\n");
    }

    /// A number as a bulk string.
    #[inline]
    pub fn bulk_integer(&mut self, n: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(n).as_bytes());
    }

    /// A number as a bulk string, in the shortest form that reads back the same.
    pub fn bulk_double(&mut self, x: f64) {
        if let Some(integer) = number::exact_integer(x).filter(|n| *n != 0) {
            return self.bulk_integer(integer);
        }
        self.reserve(128);
        let start = self.bytes.len();
        self.raw(b"$00\r\n");
        number::push_f64(&mut self.bytes, x);
        let len = self.bytes.len() - start - 5;
        debug_assert!(len < 100);
        self.bytes[start + 1] = b'0' + (len / 10) as u8;
        self.bytes[start + 2] = b'0' + (len % 10) as u8;
        if len < 10 {
            self.bytes.remove(start + 1);
        }
        self.raw(b"\r\n");
    }

    /// Null: a null bulk in RESP2.
    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Null where RESP2 has a null array.
    pub fn null_array(&mut self) {
        self.raw(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// An array of `n` elements follows.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n as i64);
    }

    /// A map of `n` pairs follows: `n` times a key and a value.
    pub fn map(&mut self, n: usize) {
        if self.resp3 { self.header(b'%', n as i64) } else { self.header(b'*', 2 * n as i64) }
    }

    /// A set of `n` elements follows.
    pub fn set(&mut self, n: usize) {
        self.header(if self.resp3 { b'~' } else { b'*' }, n as i64);
    }

    /// An out-of-band message of `n` elements follows.
    pub fn push(&mut self, n: usize) {
        self.header(if self.resp3 { b'>' } else { b'*' }, n as i64);
    }

    /// Attributes of the next element, `n` pairs. Only RESP3 has them.
    pub fn attribute(&mut self, n: usize) {
        debug_assert!(self.resp3);
        self.header(b'|', n as i64);
    }

    pub fn double(&mut self, x: f64) {
        if !self.resp3 {
            return self.bulk_double(x);
        }
        self.bytes.push(b',');
        number::push_f64(&mut self.bytes, x);
        self.raw(b"\r\n");
    }

    pub fn boolean(&mut self, yes: bool) {
        match (self.resp3, yes) {
            (true, true) => self.raw(b"#t\r\n"),
            (true, false) => self.raw(b"#f\r\n"),
            (false, _) => self.integer(i64::from(yes)),
        }
    }

    /// A number of any size, given as its decimal digits: one line, no CR or LF in it.
    pub fn big_number(&mut self, digits: &[u8]) {
        if !self.resp3 {
            return self.bulk(digits);
        }
        self.bytes.push(b'(');
        self.raw(digits);
        self.raw(b"\r\n");
    }

    /// Text with a three-letter format (`txt`, `mkd`); a plain bulk in RESP2.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if !self.resp3 {
            return self.bulk(text);
        }
        self.header(b'=', text.len() as i64 + 4);
        self.raw(format);
        self.bytes.push(b':');
        self.raw(text);
        self.raw(b"\r\n");
    }

    /// Begins an aggregate whose length is known only at its end.
    pub fn open(&mut self) -> OpenAggregate {
        OpenAggregate(self.len())
    }

    fn close(&mut self, open: OpenAggregate, kind: u8, n: usize) {
        let mut digits = itoa::Buffer::new();
        let mut header = vec![kind];
        header.extend_from_slice(digits.format(n).as_bytes());
        header.extend_from_slice(b"\r\n");
        let at = open.0.wrapping_sub(self.offset);
        match &mut self.segments {
            Some(segments) if !segments.is_current(self.offset, open.0) => {
                self.offset = self.offset.wrapping_add(header.len());
                segments.insert(open.0, header);
            }
            _ => drop(self.bytes.splice(at..at, header)),
        }
    }

    /// Ends it as an array of `n` elements.
    pub fn close_array(&mut self, open: OpenAggregate, n: usize) {
        self.close(open, b'*', n);
    }

    /// Ends it as a map of `n` pairs.
    pub fn close_map(&mut self, open: OpenAggregate, n: usize) {
        let (kind, n) = if self.resp3 { (b'%', n) } else { (b'*', 2 * n) };
        self.close(open, kind, n);
    }

    /// Ends it as a set of `n` elements.
    pub fn close_set(&mut self, open: OpenAggregate, n: usize) {
        self.close(open, if self.resp3 { b'~' } else { b'*' }, n);
    }

    /// Removes what was written since `open`.
    pub fn rollback(&mut self, open: OpenAggregate) {
        self.truncate(open.0);
    }

    /// The HELP text of a container: its lines as simple strings, framed as Redis frames it.
    pub fn help(&mut self, command: &[u8], lines: &[&str]) {
        self.array(lines.len() + 3);
        // The word is a command's name, as the client wrote it; `rename-command` may have put any bytes into it.
        let command = String::from_utf8_lossy(command).to_uppercase().replace(['\r', '\n'], " ");
        self.simple(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        for line in lines {
            self.simple(line);
        }
        self.simple("HELP");
        self.simple("    Print this help.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(resp3: bool, write: impl FnOnce(&mut Reply)) -> String {
        let mut reply = Reply::new(Vec::new(), resp3);
        write(&mut reply);
        String::from_utf8(reply.into_bytes()).expect("text")
    }

    #[test]
    fn replies_of_others_are_not_the_clients() {
        let mut reply = Reply::in_turn(b"+OK\r\n".to_vec(), false);
        assert!(!reply.has_begun() && !reply.is_empty());
        reply.ok();
        assert!(reply.has_begun());
        let mut reply = Reply::new(Vec::new(), false);
        assert!(!reply.has_begun());
        reply.ok();
        assert!(reply.has_begun());
    }

    #[test]
    fn types_fall_back_in_resp2() {
        type Case = (fn(&mut Reply), &'static str, &'static str);
        let cases: &[Case] = &[
            (|r| r.map(2), "*4\r\n", "%2\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.push(3), "*3\r\n", ">3\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|r| r.big_number(b"123"), "$3\r\n123\r\n", "(123\r\n"),
            (|r| r.verbatim(b"txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|r| r.integer(-12), ":-12\r\n", ":-12\r\n"),
            (|r| r.bulk(b"0123456789a"), "$11\r\n0123456789a\r\n", "$11\r\n0123456789a\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(false, write), *resp2);
            assert_eq!(written(true, write), *resp3);
        }
    }

    #[test]
    fn length_known_at_the_end() {
        let text = written(true, |r| {
            let open = r.open();
            r.integer(1);
            r.integer(2);
            r.close_array(open, 2);
            let open = r.open();
            r.integer(3);
            r.rollback(open);
        });
        assert_eq!(text, "*2\r\n:1\r\n:2\r\n");
    }

    /// The bytes of a reply that began after `start` bytes.
    fn gathered(reply: Reply, start: usize) -> Vec<u8> {
        let len = reply.len();
        let (buffer, segments) = reply.into_turn();
        let mut bytes = buffer[..start].to_vec();
        if segments.is_none() {
            bytes.extend_from_slice(&buffer[start..]);
        }
        for segment in segments.iter().flatten() {
            bytes.extend_from_slice(match segment {
                Segment::Buffer(range) => &buffer[range.clone()],
                Segment::Shared(shared) => shared,
            });
        }
        assert_eq!(bytes.len(), len);
        bytes
    }

    /// Whatever is written, a segmented reply has the bytes of one in one piece.
    #[test]
    fn segments_change_nothing() {
        let mut rng = crate::base::rng::Rng::new(3);
        let long = Arc::new(vec![b'l'; 40_000]);
        for round in 0..200 {
            let start = rng.below(3) as usize * 1000;
            let mut whole = Reply::new(vec![b'b'; start], true);
            let mut reply = Reply::in_turn(vec![b'b'; start], true);
            let (mut opened, mut marks) = (Vec::new(), vec![start]);
            for _ in 0..rng.below(60) {
                match rng.below(9) {
                    0 => [&mut whole, &mut reply].map(|r| r.shared_bulk(long.clone())),
                    1 => {
                        let data = vec![b'd'; rng.below(200_000) as usize];
                        [&mut whole, &mut reply].map(|r| r.bulk(&data))
                    }
                    2 => [&mut whole, &mut reply].map(|r| r.bulk_double(0.1 + round as f64)),
                    3 => {
                        opened.push((whole.open(), reply.open()));
                        [(); 2]
                    }
                    4 => match opened.pop() {
                        Some((a, b)) if a.0 >= *marks.last().expect("start") => {
                            whole.close_array(a, 3);
                            reply.close_array(b, 3);
                            [(); 2]
                        }
                        _ => [(); 2],
                    },
                    5 if rng.below(4) == 0 => {
                        let len = marks.swap_remove(rng.below(marks.len() as u64) as usize);
                        opened.retain(|(open, _)| open.0 <= len);
                        marks.retain(|mark| *mark <= len);
                        marks.push(len);
                        [&mut whole, &mut reply].map(|r| r.truncate(len))
                    }
                    6 => {
                        marks.push(whole.len());
                        [(); 2]
                    }
                    _ => [&mut whole, &mut reply].map(|r| r.bulk(b"some short string")),
                };
                assert_eq!(whole.len(), reply.len());
            }
            assert!(gathered(reply, start) == whole.into_bytes(), "round {round}");
        }
    }

    #[test]
    fn a_long_string_is_held_and_a_long_reply_never_copied() {
        let value = Arc::new(vec![b'v'; 1 << 20]);
        let mut reply = Reply::in_turn(Vec::new(), false);
        reply.shared_bulk(value.clone());
        let (buffer, segments) = reply.into_turn();
        assert_eq!(
            (buffer.len(), segments.as_ref().map(Vec::len), Arc::strong_count(&value)),
            (12, Some(3), 2)
        );
        // A million elements: the buffer keeps its bound, and chunks are as they were written.
        let mut reply = Reply::in_turn(Vec::new(), false);
        (0..1_000_000).for_each(|_| reply.bulk(b"0123456789"));
        let (buffer, segments) = reply.into_turn();
        assert!(buffer.capacity() <= 2 * MAX_BUFFER, "{}", buffer.capacity());
        let held = |segment: &Segment| match segment {
            Segment::Buffer(_) => 0,
            Segment::Shared(bytes) => bytes.capacity(),
        };
        assert!(segments.iter().flatten().map(held).sum::<usize>() < 17_000_000 + 2 * MAX_BUFFER);
    }
}
