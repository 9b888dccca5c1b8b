//! The request parser: bytes in, spans out, resumable at any byte.
//!
//! ```text
//! multibulk   *<count>\r\n  then count times  $<length>\r\n<bytes>\r\n
//! inline      words separated by spaces, quoted as in a shell, ended by \n
//! ```
//!
//! It copies nothing for multibulk requests: spans point into the input. An inline request's words
//! may need unquoting, so they are decoded into `scratch` bytes that the frame then owns.
//! It reads no socket and knows no command.

use super::{CommandError, Span};
use crate::base::number;
use crate::base::quoting::split_words;

/// Longest line of an inline request, and of a `*` or `$` header, in bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// Words a request may have before authentication.
const UNAUTHENTICATED_WORDS: i64 = 10;
/// Bytes a word may have before authentication.
const UNAUTHENTICATED_BULK: i64 = 16384;
/// Words a request may have at all.
const MAX_WORDS: i64 = i32::MAX as i64;

/// What a peer may send.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// `proto-max-bulk-len`, bytes.
    pub max_bulk: u64,
    /// Before authentication much less is allowed.
    pub authenticated: bool,
}

/// Where a parser stands within a frame that isn't complete yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Offset of the next unread byte, relative to the frame's start.
    position: usize,
    /// Words still to come; 0 while the `*` line hasn't been read.
    words: usize,
    /// Length of the word whose `$` line has been read.
    bulk: Option<usize>,
    /// The word's length, if it is read elsewhere; in the input, only its line end is to come.
    separate: Option<usize>,
}

impl Progress {
    /// Bytes of the frame that have been understood.
    pub fn parsed(&self) -> usize {
        self.position
    }

    /// Length of the word being read, as far as it is known.
    pub fn word(&self) -> usize {
        self.bulk.unwrap_or(0)
    }

    /// From here on, the word being read comes elsewhere: the input goes on with its line end. Returns its length.
    pub fn separate_word(&mut self) -> usize {
        let length = self.bulk.replace(0);
        self.separate = length;
        length.unwrap_or(0)
    }

    /// Bytes that the word being read still needs when `have` bytes of the frame are there.
    pub fn missing(&self, have: usize) -> usize {
        self.bulk.map_or(0, |len| (self.position + len + 2).saturating_sub(have))
    }
}

/// What parsing found.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request; it ends at this offset from the frame's start. No spans: an empty request.
    Frame { end: usize },
    /// An inline request: its words were decoded, the spans are relative to this text.
    Inline { end: usize, text: Vec<u8> },
    /// The rest hasn't arrived; go on with the same progress and spans.
    Incomplete,
}

fn protocol_error(text: &str) -> CommandError {
    CommandError::new(format!("ERR Protocol error: {text}"))
}

/// Offset of the first `\r` that a further byte follows.
#[inline]
fn line_end(input: &[u8]) -> Option<usize> {
    // Headers are short: a plain loop beats a search that sets itself up.
    let near = input.len().min(24);
    for (i, byte) in input[..near].iter().enumerate() {
        if *byte == b'\r' {
            return (i + 1 < input.len()).then_some(i);
        }
    }
    let i = near + memchr::memchr(b'\r', &input[near..])?;
    (i + 1 < input.len()).then_some(i)
}

/// Refuses a line end that is not `\r\n`: a parser that takes other bytes for one reads other requests than were
/// sent.
#[inline]
fn check_line_end(end: &[u8]) -> Result<(), CommandError> {
    if end == b"\r\n" { Ok(()) } else { Err(protocol_error("invalid CRLF in request")) }
}

/// The fast path of [`parse`]: a complete request of one to nine arguments shorter than 100,000 bytes each. Any
/// other input, faulty or not, is `None` and leaves no spans.
#[inline]
pub fn parse_fast(input: &[u8], spans: &mut Vec<Span>) -> Option<usize> {
    let [b'*', words @ b'1'..=b'9', b'\r', b'\n', ..] = input else { return None };
    let first = spans.len();
    let mut at = 4;
    for _ in b'0'..*words {
        let (len, header) = fast_header(&input[at..]).unwrap_or((0, 0));
        let (start, end) = (at + header, at + header + len);
        if header == 0 || input.get(end..end + 2) != Some(b"\r\n") {
            spans.truncate(first);
            return None;
        }
        spans.push(Span { start, len });
        at = end + 2;
    }
    Some(at)
}

/// A `$` line of up to five digits: the word's length and the line's.
#[inline(always)]
fn fast_header(rest: &[u8]) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
    match rest {
        [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a), 4)),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(*a) * 10 + digit(*b), 5)),
        [b'$', a @ b'1'..=b'9', digits @ ..] => {
            let (mut len, mut at) = (digit(*a), 0);
            while let Some(byte @ b'0'..=b'9') = digits.get(at).filter(|_| at < 4) {
                len = len * 10 + digit(*byte);
                at += 1;
            }
            (digits.get(at..at + 2)? == b"\r\n").then_some((len, at + 4))
        }
        _ => None,
    }
}

/// Reads one request from the start of `input`, going on from `progress`. `spans` gets the words
/// (relative to `input`'s start); what earlier calls for the same frame put there must still be there.
pub fn parse(
    input: &[u8],
    progress: &mut Progress,
    spans: &mut Vec<Span>,
    limits: ParseLimits,
) -> Result<Parsed, CommandError> {
    if progress.words == 0 {
        match input.first() {
            None => return Ok(Parsed::Incomplete),
            Some(b'*') => {}
            Some(_) => return parse_inline(input, spans),
        }
        match parse_count(input, limits)? {
            None => return Ok(Parsed::Incomplete),
            Some((0, end)) => return Ok(Parsed::Frame { end }),
            Some((words, end)) => (progress.words, progress.position) = (words, end),
        }
    }
    parse_words(input, progress, spans, limits)
}

/// The `*` line: number of words (0 for "nothing") and where the line ends.
fn parse_count(input: &[u8], limits: ParseLimits) -> Result<Option<(usize, usize)>, CommandError> {
    let Some(end) = line_end(input) else {
        if input.len() > MAX_LINE {
            return Err(protocol_error("too big mbulk count string"));
        }
        return Ok(None);
    };
    let words = match number::parse_i64(&input[1..end]) {
        Some(words) if words <= MAX_WORDS => words,
        _ => return Err(protocol_error("invalid multibulk length")),
    };
    if words > UNAUTHENTICATED_WORDS && !limits.authenticated {
        return Err(protocol_error("unauthenticated multibulk length"));
    }
    check_line_end(&input[end..end + 2])?;
    Ok(Some((words.max(0) as usize, end + 2)))
}

fn parse_words(
    input: &[u8],
    progress: &mut Progress,
    spans: &mut Vec<Span>,
    limits: ParseLimits,
) -> Result<Parsed, CommandError> {
    while progress.words > 0 {
        let length = match progress.bulk {
            Some(length) => length,
            None => {
                let rest = &input[progress.position..];
                let Some((length, header)) = parse_bulk_header(rest, limits)? else {
                    return Ok(Parsed::Incomplete);
                };
                progress.position += header;
                progress.bulk = Some(length);
                length
            }
        };
        if input.len() < progress.position + length + 2 {
            return Ok(Parsed::Incomplete);
        }
        check_line_end(&input[progress.position + length..progress.position + length + 2])?;
        spans.push(match progress.separate.take() {
            Some(separate) => Span::separate(progress.position, separate),
            None => Span { start: progress.position, len: length },
        });
        progress.position += length + 2;
        progress.bulk = None;
        progress.words -= 1;
    }
    let end = progress.position;
    *progress = Progress::default();
    Ok(Parsed::Frame { end })
}

/// The `$` line: the word's length and the line's, or nothing yet.
#[inline]
fn parse_bulk_header(rest: &[u8], limits: ParseLimits) -> Result<Option<(usize, usize)>, CommandError> {
    // The usual case by hand: one or two digits.
    if let [b'$', d @ b'0'..=b'9', b'\r', b'\n', ..] = rest {
        return Ok(Some(((d - b'0') as usize, 4)));
    }
    if let [b'$', t @ b'1'..=b'9', d @ b'0'..=b'9', b'\r', b'\n', ..] = rest {
        return Ok(Some(((t - b'0') as usize * 10 + (d - b'0') as usize, 5)));
    }
    let Some(end) = line_end(rest) else {
        if rest.len() > MAX_LINE {
            return Err(protocol_error("too big bulk count string"));
        }
        return Ok(None);
    };
    if rest[0] != b'$' {
        let got = char::from(rest[0]);
        return Err(protocol_error(&format!("expected '$', got '{got}'")));
    }
    let length = match number::parse_i64(&rest[1..end]) {
        Some(length) if length >= 0 && length as u64 <= limits.max_bulk => length,
        _ => return Err(protocol_error("invalid bulk length")),
    };
    if length > UNAUTHENTICATED_BULK && !limits.authenticated {
        return Err(protocol_error("unauthenticated bulk length"));
    }
    check_line_end(&rest[end..end + 2])?;
    Ok(Some((length as usize, end + 2)))
}

fn parse_inline(input: &[u8], spans: &mut Vec<Span>) -> Result<Parsed, CommandError> {
    let Some(newline) = memchr::memchr(b'\n', input) else {
        if input.len() > MAX_LINE {
            return Err(protocol_error("too big inline request"));
        }
        return Ok(Parsed::Incomplete);
    };
    let line = &input[..newline];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words = split_words(line).map_err(|_| protocol_error("unbalanced quotes in request"))?;
    let mut text = Vec::with_capacity(line.len());
    for word in &words {
        spans.push(Span { start: text.len(), len: word.len() });
        text.extend_from_slice(word);
    }
    Ok(Parsed::Inline { end: newline + 1, text })
}

/// The fuzz entry: parses `data` whole and in two pieces; both must agree, neither may panic.
pub fn fuzz_parser(data: &[u8], split: usize) {
    let limits = ParseLimits { max_bulk: 512 << 20, authenticated: true };
    let whole = parse_all(data, limits);
    let mut spans = Vec::new();
    if let Some(end) = parse_fast(data, &mut spans) {
        assert_eq!(whole, Ok((Parsed::Frame { end }, std::mem::take(&mut spans))));
    }
    assert!(spans.is_empty());
    let mut progress = Progress::default();
    let split = split.min(data.len());
    let first = parse(&data[..split], &mut progress, &mut spans, limits);
    if matches!(first, Ok(Parsed::Incomplete)) {
        let second = parse(data, &mut progress, &mut spans, limits);
        assert_eq!(whole, second.map(|parsed| (parsed, spans)));
    }
}

fn parse_all(data: &[u8], limits: ParseLimits) -> Result<(Parsed, Vec<Span>), CommandError> {
    let mut spans = Vec::new();
    let parsed = parse(data, &mut Progress::default(), &mut spans, limits)?;
    Ok((parsed, spans))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const LIMITS: ParseLimits = ParseLimits { max_bulk: 512 << 20, authenticated: true };

    fn words(input: &[u8]) -> Vec<String> {
        let (parsed, spans) = parse_all(input, LIMITS).expect("valid");
        let text = match &parsed {
            Parsed::Inline { text, .. } => text.as_slice(),
            Parsed::Frame { .. } => input,
            Parsed::Incomplete => panic!("incomplete"),
        };
        let word = |s: &Span| text[s.start..s.start + s.len].to_vec();
        spans.iter().map(|s| String::from_utf8(word(s)).expect("text")).collect()
    }

    fn error(input: &[u8], authenticated: bool) -> String {
        let limits = ParseLimits { authenticated, ..LIMITS };
        parse_all(input, limits).expect_err("an error").to_string()
    }

    #[test]
    fn requests() {
        assert_eq!(words(b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n"), ["ECHO", "hi"]);
        assert_eq!(words(b"set  a \"x\\x41\\n\" 'it\\'s'\r\n"), ["set", "a", "xA\n", "it's"]);
        assert_eq!(words(b"*0\r\n"), [""; 0]);
        assert_eq!(words(b"*-5\r\n"), [""; 0]);
        assert_eq!(words(b"\r\n"), [""; 0]);
    }

    #[test]
    fn protocol_errors() {
        assert_eq!(error(b"*abc\r\n", true), "ERR Protocol error: invalid multibulk length");
        assert_eq!(error(b"*2147483648\r\n", true), "ERR Protocol error: invalid multibulk length");
        assert_eq!(error(b"*1\r\nfoo\r\n", true), "ERR Protocol error: expected '$', got 'f'");
        assert_eq!(error(b"*1\r\n$-1\r\n", true), "ERR Protocol error: invalid bulk length");
        assert_eq!(error(b"*1\r\n$999999999999\r\n", true), "ERR Protocol error: invalid bulk length");
        assert_eq!(error(b"*11\r\n", false), "ERR Protocol error: unauthenticated multibulk length");
        assert_eq!(error(b"*1\r\n$16385\r\n", false), "ERR Protocol error: unauthenticated bulk length");
        for bad in ["*1\rx$1\r\na\r\n", "*1\r\n$1\rxa\r\n", "*1\r\n$1\r\na\rx", "*1\r\n$1\r\nabcd"] {
            assert_eq!(error(bad.as_bytes(), true), "ERR Protocol error: invalid CRLF in request");
        }
        assert_eq!(error(b"a 'b\r\n", true), "ERR Protocol error: unbalanced quotes in request");
        assert_eq!(error(&[b'a'; MAX_LINE + 1], true), "ERR Protocol error: too big inline request");
        let long = [b"*".as_slice(), &[b'1'; MAX_LINE]].concat();
        assert_eq!(error(&long, true), "ERR Protocol error: too big mbulk count string");
        let long = [b"*1\r\n$".as_slice(), &[b'1'; MAX_LINE]].concat();
        assert_eq!(error(&long, true), "ERR Protocol error: too big bulk count string");
    }

    #[test]
    fn any_split_gives_the_same_request() {
        let input = b"*3\r\n$3\r\nSET\r\n$12\r\nkey:00000000\r\n$5\r\n\r\nabc\r\n";
        for a in 0..input.len() {
            for b in a..input.len() {
                let (mut progress, mut spans) = (Progress::default(), Vec::new());
                for end in [a, b] {
                    let parsed = parse(&input[..end], &mut progress, &mut spans, LIMITS);
                    assert_eq!(parsed, Ok(Parsed::Incomplete));
                }
                let parsed = parse(input, &mut progress, &mut spans, LIMITS);
                assert_eq!(parsed, Ok(Parsed::Frame { end: input.len() }));
                assert_eq!(spans[2], Span { start: 36, len: 5 });
            }
        }
    }

    #[test]
    fn a_word_that_is_read_elsewhere_leaves_its_line_end() {
        let (head, behind) = (b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$70000\r\n", b"\r\n$2\r\nNX\r\n");
        let (mut progress, mut spans) = (Progress::default(), Vec::new());
        assert_eq!(parse(head, &mut progress, &mut spans, LIMITS), Ok(Parsed::Incomplete));
        assert_eq!((progress.word(), progress.parsed()), (70_000, head.len()));
        assert_eq!(progress.separate_word(), 70_000);
        let whole = [head.as_slice(), behind].concat();
        for end in head.len()..whole.len() {
            assert_eq!(parse(&whole[..end], &mut progress, &mut spans, LIMITS), Ok(Parsed::Incomplete));
        }
        assert_eq!(progress.word(), 2);
        let parsed = parse(&whole, &mut progress, &mut spans, LIMITS);
        assert_eq!(parsed, Ok(Parsed::Frame { end: whole.len() }));
        assert_eq!(spans[2..], [Span::separate(head.len(), 70_000), Span { start: head.len() + 6, len: 2 }]);
    }

    #[test]
    fn mutated_requests_never_panic() {
        let mut rng = Rng::new(0x5eed);
        let seeds: [&[u8]; 3] = [
            b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n",
            b"set a \"b\\x41\" 'c'\r\n",
            b"*1\r\n$4\r\nPING\r\n",
        ];
        for _ in 0..20_000 {
            let mut data = seeds[rng.below(3) as usize].to_vec();
            for _ in 0..rng.below(4) {
                let at = rng.below(data.len() as u64) as usize;
                match rng.below(3) {
                    0 => data[at] = rng.next_u64() as u8,
                    1 => drop(data.remove(at)),
                    _ => data.insert(at, b"*$\r\n0-9\"'"[rng.below(9) as usize]),
                }
            }
            fuzz_parser(&data, rng.below(data.len() as u64 + 1) as usize);
        }
    }
}
