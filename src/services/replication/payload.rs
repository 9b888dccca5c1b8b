//! The payload of a full synchronization, without I/O: where it begins and ends among the bytes that the primary sends.
//!
//! ```text
//! \n*                              keeps the connection alive while the primary prepares
//! $123\r\n          123 bytes       an RDB file whose size is known
//! $EOF:<mark>\r\n   bytes   <mark>  one whose size isn't: a mark of 40 bytes is sent again behind it
//! stream                           what follows
//! ```

use std::borrow::Cow;

use crate::base::number;

/// Characters of the mark that ends a payload.
const MARK: usize = 40;
/// Bytes of the longest line before the payload that is taken from a primary.
const MAX_LINE: usize = 1024;

/// How the end of a payload is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Bytes(u64),
    /// By a mark behind it.
    Marked,
}

/// What a piece of the primary's bytes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// All bytes are taken, more are needed.
    More,
    /// The payload begins.
    Begin(Length),
    /// A piece of the payload.
    Data(Cow<'a, [u8]>),
    /// The payload is complete: what follows is the stream.
    End,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Payload {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Has yet to begin; with what has come of its first line.
    Header(Vec<u8>),
    /// So many bytes are left.
    Counted(u64),
    /// The mark, and how much of it the last bytes were.
    Marked([u8; MARK], usize),
    #[default]
    Ended,
}

impl Payload {
    pub fn new() -> Self {
        Payload { state: State::Header(Vec::new()) }
    }

    /// Bytes that are still to come, if the primary has said how many.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Counted(remaining) => Some(remaining),
            _ => None,
        }
    }

    /// Takes a part of what the primary sent off `input`; to be called until it says [`Part::More`] or [`Part::End`]. The error
    /// is for the log.
    pub fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Part<'a>, String> {
        while let State::Header(line) = &mut self.state {
            let end = memchr::memchr(b'\n', input);
            let (piece, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
            if line.len() + piece.len() > MAX_LINE {
                return Err("The line before the payload from MASTER is too long".into());
            }
            *input = rest;
            line.extend_from_slice(piece);
            if end.is_none() {
                return Ok(Part::More);
            }
            let line = std::mem::take(line);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // An empty line is only a sign of life.
            if !line.is_empty() {
                let (length, state) = begin(line)?;
                self.state = state;
                return Ok(Part::Begin(length));
            }
        }
        Ok(match &mut self.state {
            State::Header(_) => Part::More,
            State::Counted(0) => {
                self.state = State::Ended;
                Part::End
            }
            State::Counted(_) | State::Marked(..) if input.is_empty() => Part::More,
            State::Counted(remaining) => {
                let count =
                    usize::try_from(*remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
                let (data, rest) = input.split_at(count);
                *input = rest;
                *remaining -= count as u64;
                Part::Data(data.into())
            }
            State::Marked(..) => self.receive_marked(input),
            State::Ended => Part::End,
        })
    }

    /// Bytes of a payload that a mark ends. What could be the begin of the mark is held back until more has come.
    fn receive_marked<'a>(&mut self, input: &mut &'a [u8]) -> Part<'a> {
        let State::Marked(mark, seen) = &mut self.state else { return Part::End };
        if *seen == 0 {
            let found = memchr::memmem::find(input, &mark[..]);
            let end = found.unwrap_or_else(|| input.len() - overlap(input, mark));
            let (data, rest) = input.split_at(end);
            if !data.is_empty() {
                *input = rest;
                return Part::Data(data.into());
            }
        }
        // What is held back, and what may go on with it.
        let mut joined = [0; 2 * MARK];
        let wanted = input.len().min(MARK - *seen);
        let length = *seen + wanted;
        joined[..*seen].copy_from_slice(&mark[..*seen]);
        joined[*seen..length].copy_from_slice(&input[..wanted]);
        let begins = (0..length).find(|at| mark.starts_with(&joined[*at..length])).unwrap_or(length);
        if begins == 0 {
            *input = &input[wanted..];
            *seen = length;
            if length < MARK {
                return Part::More;
            }
            self.state = State::Ended;
            return Part::End;
        }
        // The first bytes that were held back are no mark.
        let freed = begins.min(*seen);
        *seen -= freed;
        Part::Data(mark[..freed].to_vec().into())
    }
}

/// How many bytes at the end of `input` are the begin of the mark.
fn overlap(input: &[u8], mark: &[u8; MARK]) -> usize {
    let longest = input.len().min(MARK - 1);
    (1..=longest).rev().find(|count| input.ends_with(&mark[..*count])).unwrap_or(0)
}

/// Reads the line that begins a payload.
fn begin(line: &[u8]) -> Result<(Length, State), String> {
    let text = String::from_utf8_lossy(line);
    if let Some(error) = text.strip_prefix('-') {
        return Err(format!("MASTER aborted replication with an error: {error}"));
    }
    let Some(length) = line.strip_prefix(b"$") else {
        return Err(format!(
            "Bad protocol from MASTER, the first byte is not '$' (we received '{text}'), are you sure the host and port are right?"
        ));
    };
    if let Some(mark) = length.strip_prefix(b"EOF:") {
        let mark =
            mark.try_into().map_err(|_| format!("Bad end mark of the payload from MASTER: '{text}'"))?;
        return Ok((Length::Marked, State::Marked(mark, 0)));
    }
    let length = number::parse_i64(length).and_then(|length| u64::try_from(length).ok());
    let length = length.ok_or_else(|| format!("Bad length of the payload from MASTER: '{text}'"))?;
    Ok((Length::Bytes(length), State::Counted(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload's length as told, its bytes, and what follows it.
    type Received = (Option<Length>, Vec<u8>, Option<Vec<u8>>);

    /// What comes of bytes that arrive cut at these places.
    fn received(bytes: &[u8], cuts: &[usize]) -> Result<Received, String> {
        let mut payload = Payload::new();
        let (mut length, mut data) = (None, Vec::new());
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            let mut input = &bytes[from..to];
            from = to;
            loop {
                match payload.receive(&mut input)? {
                    Part::More => break assert!(input.is_empty()),
                    Part::Begin(told) => length = Some(told),
                    Part::Data(piece) => {
                        assert!(!piece.is_empty());
                        data.extend_from_slice(&piece);
                    }
                    Part::End => return Ok((length, data, Some([input, &bytes[to..]].concat()))),
                }
            }
        }
        Ok((length, data, None))
    }

    #[test]
    fn a_payload_ends_where_it_says_wherever_it_is_cut() {
        let mark = "ababac0123456789012345678901234567890123";
        let marked = format!("\n\n$EOF:{mark}\r\nabababab{}aabc{mark}*1\r\n", &mark[..39]);
        let data = format!("abababab{}aabc", &mark[..39]);
        let cases = [
            ("\n\n$5\r\nhello*1\r\n".to_string(), Length::Bytes(5), "hello".to_string()),
            ("$0\r\n*1\r\n".to_string(), Length::Bytes(0), String::new()),
            (marked, Length::Marked, data),
            (format!("$EOF:{mark}\r\n{mark}*1\r\n"), Length::Marked, String::new()),
        ];
        for (bytes, length, data) in cases {
            let bytes = bytes.as_bytes();
            let expected = Ok((Some(length), data.into_bytes(), Some(b"*1\r\n".to_vec())));
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    assert_eq!(received(bytes, &[first, second]), expected, "cut at {first} and {second}");
                }
            }
            let every: Vec<usize> = (0..bytes.len()).collect();
            assert_eq!(received(bytes, &every), expected);
        }
    }

    #[test]
    fn a_mark_is_found_by_any_prefix_of_its_own() {
        // The naive way: the first place at which the mark stands.
        let mut rng = crate::base::rng::Rng::new(7);
        for _ in 0..300 {
            let mark: Vec<u8> = (0..MARK).map(|_| b'a' + rng.below(2) as u8).collect();
            let mut data: Vec<u8> = Vec::new();
            while data.len() < 200 {
                data.extend_from_slice(&mark[..rng.below(MARK as u64) as usize]);
                data.push(b'a' + rng.below(2) as u8);
            }
            data.extend_from_slice(&mark);
            data.extend_from_slice(b"rest");
            let end = data.windows(MARK).position(|window| window == mark).expect("it is there");
            let bytes = [b"$EOF:", &mark[..], b"\r\n", &data].concat();
            let mut cuts: Vec<usize> = (0..20).map(|_| rng.below(bytes.len() as u64) as usize).collect();
            cuts.sort_unstable();
            let (_, got, rest) = received(&bytes, &cuts).expect("well formed");
            assert_eq!(got, data[..end]);
            assert_eq!(rest.as_deref(), Some(&data[end + MARK..]));
        }
    }

    #[test]
    fn what_is_no_payload_is_an_error() {
        for (bytes, error) in [
            ("-ERR no\r\n", "MASTER aborted replication with an error: ERR no"),
            ("+OK\r\n", "Bad protocol from MASTER, the first byte is not '$'"),
            ("$-1\r\n", "Bad length of the payload from MASTER: '$-1'"),
            ("$\r\n", "Bad length"),
            ("$+5\r\n", "Bad length"),
            ("$99999999999999999999\r\n", "Bad length"),
            ("$EOF:abc\r\n", "Bad end mark"),
        ] {
            let got = received(bytes.as_bytes(), &[1]).expect_err(bytes);
            assert!(got.starts_with(error), "{got}");
        }
        let endless = vec![b'$'; 10_000];
        assert!(received(&endless, &[500, 900]).is_err());
        assert_eq!(received(b"$EOF", &[]), Ok((None, vec![], None)));
        assert_eq!(received(b"$3\r\nab", &[]), Ok((Some(Length::Bytes(3)), b"ab".to_vec(), None)));
    }
}
