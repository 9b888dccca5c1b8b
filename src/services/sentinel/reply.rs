//! Replies of monitored instances (RESP2), read from a connection's bytes as they come.
//!
//! ```text
//!   +PONG   -LOADING …   :1   $4 PONG   *3 (message, channel, text)
//! ```
//!
//! The peer is hostile until proven otherwise: nesting, elements and bytes of a reply are bounded.

use crate::base::number;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Status(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    /// `None` is the null.
    Bulk(Option<Vec<u8>>),
    Array(Vec<Reply>),
}

/// The bytes are no reply, or one beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The most bytes of a reply: INFO of a primary with a thousand replicas has a tenth of it.
const MAX_REPLY: usize = 2 << 20;
/// The most elements of an array.
const MAX_ELEMENTS: usize = 1024;
/// The deepest nesting.
const MAX_DEPTH: usize = 4;
/// The longest line.
const MAX_LINE: usize = 64 << 10;

/// Bytes that were read and are not yet replies.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// Length from which on another attempt makes sense.
    needed: usize,
}

enum Step {
    Complete(Reply, usize),
    /// At least so many bytes are needed in all.
    Incomplete(usize),
}

impl Input {
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next reply, if it is complete.
    pub fn next(&mut self) -> Result<Option<Reply>, Malformed> {
        if self.bytes.is_empty() || self.bytes.len() < self.needed {
            return Ok(None);
        }
        match parse(&self.bytes, 0, 0)? {
            Step::Complete(reply, end) => {
                self.bytes.drain(..end);
                self.needed = 0;
                Ok(Some(reply))
            }
            Step::Incomplete(needed) if needed > MAX_REPLY => Err(Malformed),
            Step::Incomplete(needed) => {
                self.needed = needed;
                Ok(None)
            }
        }
    }
}

/// The line that begins at `at`, and where the next one begins.
fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let rest = &bytes[at..];
    match memchr::memchr(b'\n', rest) {
        Some(end) if end > 0 && rest[end - 1] == b'\r' => Ok(Some((&rest[..end - 1], at + end + 1))),
        Some(_) => Err(Malformed),
        None if rest.len() > MAX_LINE => Err(Malformed),
        None => Ok(None),
    }
}

fn parse(bytes: &[u8], at: usize, depth: usize) -> Result<Step, Malformed> {
    let Some((text, next)) = line(bytes, at)? else { return Ok(Step::Incomplete(bytes.len() + 1)) };
    let (kind, text) = text.split_first().ok_or(Malformed)?;
    let number = || number::parse_i64(text).ok_or(Malformed);
    match kind {
        b'+' => Ok(Step::Complete(Reply::Status(text.to_vec()), next)),
        b'-' => Ok(Step::Complete(Reply::Error(text.to_vec()), next)),
        b':' => Ok(Step::Complete(Reply::Integer(number()?), next)),
        b'$' => match number()? {
            -1 => Ok(Step::Complete(Reply::Bulk(None), next)),
            len => {
                let len = usize::try_from(len).ok().filter(|len| *len <= MAX_REPLY).ok_or(Malformed)?;
                let end = next + len;
                match bytes.get(end..end + 2) {
                    Some(b"\r\n") => {
                        Ok(Step::Complete(Reply::Bulk(Some(bytes[next..end].to_vec())), end + 2))
                    }
                    Some(_) => Err(Malformed),
                    None => Ok(Step::Incomplete(end + 2)),
                }
            }
        },
        b'*' => match number()? {
            -1 => Ok(Step::Complete(Reply::Array(Vec::new()), next)),
            count => parse_elements(bytes, next, count, depth),
        },
        _ => Err(Malformed),
    }
}

fn parse_elements(bytes: &[u8], mut at: usize, count: i64, depth: usize) -> Result<Step, Malformed> {
    let count = usize::try_from(count).ok().filter(|count| *count <= MAX_ELEMENTS).ok_or(Malformed)?;
    if depth >= MAX_DEPTH {
        return Err(Malformed);
    }
    let mut elements = Vec::new();
    for _ in 0..count {
        match parse(bytes, at, depth + 1)? {
            Step::Complete(element, end) => {
                elements.push(element);
                at = end;
            }
            incomplete => return Ok(incomplete),
        }
    }
    Ok(Step::Complete(Reply::Array(elements), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &mut Input) -> Vec<Reply> {
        let mut found = Vec::new();
        while let Some(reply) = input.next().expect("replies") {
            found.push(reply);
        }
        found
    }

    #[test]
    fn replies_come_in_any_pieces() {
        let text = b"+PONG\r\n-LOADING wait\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*3\r\n$7\r\nmessage\r\n*1\r\n:1\r\n+x\r\n";
        let bulk = |text: &str| Reply::Bulk(Some(text.into()));
        let expected = [
            Reply::Status(b"PONG".to_vec()),
            Reply::Error(b"LOADING wait".to_vec()),
            Reply::Integer(-7),
            bulk("a\r\n"),
            Reply::Bulk(None),
            Reply::Array(vec![
                bulk("message"),
                Reply::Array(vec![Reply::Integer(1)]),
                Reply::Status(b"x".to_vec()),
            ]),
        ];
        for piece in [1, 2, 3, 7, text.len()] {
            let mut input = Input::default();
            let mut found = Vec::new();
            for part in text.chunks(piece) {
                input.extend(part);
                found.append(&mut all(&mut input));
            }
            assert_eq!(found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_refused() {
        let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
        let endless = format!("+{}", "x".repeat(MAX_LINE + 1));
        for text in
            ["$99999999999\r\n", "*5000\r\n", "?\r\n", "+x\n", "$1\r\nabc", ":x\r\n", "\r\n", &deep, &endless]
        {
            let mut input = Input::default();
            input.extend(text.as_bytes());
            assert_eq!(input.next(), Err(Malformed), "{}", &text[..text.len().min(20)]);
        }
    }

    #[test]
    fn a_long_bulk_is_not_parsed_before_it_is_there() {
        let mut input = Input::default();
        input.extend(b"$100000\r\n");
        assert_eq!(input.next(), Ok(None));
        assert_eq!(input.needed, 9 + 100_000 + 2);
    }
}
