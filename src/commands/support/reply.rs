//! Elements of collections: writing them, drawing them, and the walks over them (SSCAN, HSCAN, ZSCAN).

use crate::base::glob;
use crate::commands::generic::scan::{self, STEPS_PER_ELEMENT};
use crate::commands::support::args::{self, is};
use crate::engine::{Done, Outcome};
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::{DecimalBuffer, Entry};

/// Bytes of a reply from which draws with repetition are refused to go on.
const MAX_DRAWN_BYTES: usize = 1 << 30;

#[inline]
pub(in crate::commands) fn write_entry(reply: &mut Reply, entry: Entry<'_>) {
    match entry {
        Entry::Int(number) => reply.bulk_integer(number),
        Entry::Str(bytes) => reply.bulk(bytes),
    }
}

/// Bytes of the shortest element in a reply: an empty bulk.
const LEAST_DRAWN: usize = 6;

/// A count for draws: how many, and whether elements may come twice (a negative count says so).
pub(in crate::commands) fn random_count(arg: &[u8]) -> Result<(usize, bool), CommandError> {
    let count = args::signed(arg)?;
    Ok((count.unsigned_abs() as usize, count < 0))
}

/// Draws `count` times: `draw` writes an element, to a reply that began at `start`. It ends at the client's limit of
/// unsent replies, and is an error if no memory could hold it.
pub(in crate::commands) fn draw_repeatedly(
    reply: &mut Reply,
    start: usize,
    count: usize,
    max_reply: u64,
    mut draw: impl FnMut(&mut Reply),
) -> Outcome {
    if max_reply == 0 && count > MAX_DRAWN_BYTES / LEAST_DRAWN {
        reply.truncate(start);
        return Err(CommandError::text("ERR value is out of range"));
    }
    for _ in 0..count {
        draw(reply);
        let drawn = reply.len() - start;
        if max_reply > 0 && drawn as u64 >= max_reply {
            return Ok(Done::TooMuch);
        }
        if drawn > MAX_DRAWN_BYTES {
            reply.truncate(start);
            return Err(CommandError::text("ERR value is out of range"));
        }
    }
    Ok(Done::Replied)
}

/// What SSCAN, HSCAN or ZSCAN was asked.
pub(in crate::commands) struct Walk<'a> {
    cursor: u64,
    pattern: Option<&'a [u8]>,
    count: u64,
    /// Values or scores are left out.
    pub names_only: bool,
}

/// Whose walk it is, which decides about NOVALUES and NOSCORES.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Walked {
    Set,
    Hash,
    Zset,
}

impl<'a> Walk<'a> {
    /// Reads the options, which nobody looks at while the key is missing. `cursor` has been read before.
    pub fn parse(args: Args<'a>, cursor: u64, walked: Walked) -> Result<Self, CommandError> {
        let mut walk = Walk { cursor, pattern: None, count: 10, names_only: false };
        let mut index = 3;
        while let Some(word) = args.get(index) {
            let (owner, error) = match word {
                word if is(word, "NOVALUES") => {
                    (Walked::Hash, "ERR NOVALUES option can only be used in HSCAN")
                }
                word if is(word, "NOSCORES") => {
                    (Walked::Zset, "ERR NOSCORES option can only be used in ZSCAN")
                }
                _ => {
                    index += walk.option(word, args.get(index + 1))?;
                    continue;
                }
            };
            if walked != owner {
                return Err(CommandError::text(error));
            }
            walk.names_only = true;
            index += 1;
        }
        Ok(walk)
    }

    /// Reads an option with its value; tells how many words that were.
    fn option(&mut self, word: &[u8], value: Option<&'a [u8]>) -> Result<usize, CommandError> {
        let value = value.ok_or(CommandError::SYNTAX)?;
        if is(word, "COUNT") {
            let count = args::integer(value)?;
            self.count = u64::try_from(count).ok().filter(|n| *n > 0).ok_or(CommandError::SYNTAX)?;
        } else if is(word, "MATCH") {
            self.pattern = (value != b"*").then_some(value);
        } else {
            return Err(CommandError::SYNTAX);
        }
        Ok(2)
    }

    /// Writes what `step` shows: it is called with a cursor, shows some elements and answers where to go on.
    pub fn run(&self, reply: &mut Reply, mut step: impl FnMut(u64, &mut Shown<'_>) -> u64) {
        let elements = Reply::new(Vec::new(), reply.is_resp3());
        let mut shown = Shown { pattern: self.pattern, elements, written: 0, seen: 0 };
        let mut cursor = self.cursor;
        for _ in 0..self.count.saturating_mul(STEPS_PER_ELEMENT) {
            cursor = step(cursor, &mut shown);
            if cursor == 0 || shown.seen >= self.count {
                break;
            }
        }
        reply.array(2);
        reply.bulk_integer(cursor as i64);
        reply.array(shown.written);
        reply.raw(shown.elements.bytes());
    }
}

/// The elements that one call of a walk has shown.
pub(in crate::commands) struct Shown<'a> {
    pattern: Option<&'a [u8]>,
    elements: Reply,
    written: usize,
    seen: u64,
}

impl Shown<'_> {
    /// Counts an element; true if it is to be written.
    pub fn takes(&mut self, name: Entry<'_>) -> bool {
        self.seen += 1;
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name.bytes(&mut DecimalBuffer::new())))
    }

    /// Writes a name or value.
    pub fn write(&mut self, entry: Entry<'_>) {
        write_entry(&mut self.elements, entry);
        self.written += 1;
    }

    /// Writes a score given as text.
    pub fn write_text(&mut self, text: &[u8]) {
        self.elements.bulk(text);
        self.written += 1;
    }
}

/// The cursor of a walk over a collection.
pub(in crate::commands) fn cursor(args: Args<'_>) -> Result<u64, CommandError> {
    scan::cursor(args.at(2))
}

/// The reply of a walk over nothing.
pub(in crate::commands) fn write_nothing(reply: &mut Reply) {
    reply.array(2);
    reply.bulk(b"0");
    reply.array(0);
}
