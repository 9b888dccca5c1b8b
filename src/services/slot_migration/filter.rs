//! Filter of the command stream: the requests of some slots, as they are, of a stream that comes in pieces.
//!
//! MULTI and EXEC are left out: a target shows nothing before it has everything. SELECT is put in where the database changes.

use crate::base::number;
use crate::resp::{Args, Span, encode_request};

/// Bytes of memory that are kept between pieces.
const KEPT: usize = 64 * 1024;
/// Words of the longest request that is looked at; a stream has none that is longer.
const MAX_WORDS: usize = 1 << 30;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct StreamFilter {
    /// A request that isn't complete.
    rest: Vec<u8>,
    /// The database of the stream, and the one that the target has selected.
    db: u32,
    selected: u32,
    spans: Vec<Span>,
}

/// A stream that is none. It is this server's own, so it is a fault of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl StreamFilter {
    /// The database that the target has selected.
    pub fn selected(&self) -> u32 {
        self.selected
    }

    /// Appends the requests among these bytes that `wants`, which is given each request's database.
    pub fn pass(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut wants: impl FnMut(u32, Args<'_>) -> bool,
    ) -> Result<(), Broken> {
        if self.rest.is_empty() {
            let used = self.pass_whole(bytes, out, &mut wants)?;
            self.rest.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let used = self.pass_whole(&all, out, &mut wants)?;
        all.drain(..used);
        if all.is_empty() {
            all.shrink_to(KEPT);
        }
        self.rest = all;
        Ok(())
    }

    /// How many bytes the complete requests take.
    fn pass_whole(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        wants: &mut impl FnMut(u32, Args<'_>) -> bool,
    ) -> Result<usize, Broken> {
        let mut used = 0;
        let mut spans = std::mem::take(&mut self.spans);
        while let Some(len) = split(&bytes[used..], &mut spans)? {
            let frame = &bytes[used..used + len];
            used += len;
            let args = Args::new(frame, &spans);
            let name = args.get(0).unwrap_or_default();
            if name.eq_ignore_ascii_case(b"SELECT") {
                let db = args.get(1).and_then(number::parse_i64).and_then(|db| u32::try_from(db).ok());
                self.db = db.ok_or(Broken)?;
                continue;
            }
            let is_bound = name.eq_ignore_ascii_case(b"MULTI") || name.eq_ignore_ascii_case(b"EXEC");
            if is_bound || args.is_empty() || !wants(self.db, args) {
                continue;
            }
            if self.selected != self.db {
                encode_request(out, ["SELECT", &self.db.to_string()].iter());
                self.selected = self.db;
            }
            out.extend_from_slice(frame);
        }
        self.spans = spans;
        Ok(used)
    }
}

/// Finds the words of the request that the bytes begin with; its length, if it is complete.
fn split(bytes: &[u8], spans: &mut Vec<Span>) -> Result<Option<usize>, Broken> {
    spans.clear();
    // A primary keeps its replicas' links alive with empty lines.
    if bytes.first() == Some(&b'\n') {
        return Ok(Some(1));
    }
    let Some((words, mut at)) = header(bytes, 0, b'*')? else { return Ok(None) };
    for _ in 0..words.min(MAX_WORDS) {
        let Some((len, start)) = header(bytes, at, b'$')? else { return Ok(None) };
        let end = start.checked_add(len).and_then(|end| end.checked_add(2)).ok_or(Broken)?;
        if end > bytes.len() {
            return Ok(None);
        }
        spans.push(Span { start, len });
        at = end;
    }
    Ok(Some(at))
}

/// The number behind `mark` at a place, and where its line ends.
fn header(bytes: &[u8], at: usize, mark: u8) -> Result<Option<(usize, usize)>, Broken> {
    let Some(line) = bytes.get(at..) else { return Ok(None) };
    match line.first() {
        None => return Ok(None),
        Some(first) if *first != mark => return Err(Broken),
        Some(_) => {}
    }
    let Some(len) = line.iter().take(32).position(|byte| *byte == b'\r') else { return Ok(None) };
    let number = number::parse_i64(&line[1..len]).and_then(|number| usize::try_from(number).ok());
    Ok(Some((number.ok_or(Broken)?, at + len + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(requests: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for request in requests {
            encode_request(&mut bytes, request.split(' '));
        }
        bytes
    }

    #[test]
    fn only_what_is_wanted_passes() {
        let bytes = stream(&[
            "SELECT 0", "SET a 1", "MULTI", "SET b 2", "SELECT 3", "INCR a", "EXEC", "PING", "SELECT 0",
            "DEL a",
        ]);
        let wanted = stream(&["SET a 1", "SELECT 3", "INCR a", "SELECT 0", "DEL a"]);
        for size in [1, 3, 7, 50, bytes.len()] {
            let (mut filter, mut out, mut databases) = (StreamFilter::default(), Vec::new(), Vec::new());
            for piece in bytes.chunks(size) {
                let result = filter.pass(piece, &mut out, |db, args| {
                    let is_wanted = args.get(1) == Some(b"a");
                    databases.extend(is_wanted.then_some(db));
                    is_wanted
                });
                assert_eq!(result, Ok(()));
            }
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&wanted), "{size}");
            assert_eq!((databases, filter.rest.len()), (vec![0, 3, 0], 0));
        }
    }

    #[test]
    fn what_is_no_stream_is_noticed() {
        for bytes in [&b"PING\r\n"[..], b"*1\r\nx", b"*x\r\n", b"*1\r\n$-1\r\n"] {
            let mut filter = StreamFilter::default();
            assert_eq!(filter.pass(bytes, &mut Vec::new(), |_, _| true), Err(Broken), "{bytes:?}");
        }
    }
}
