//! SSCAN, HSCAN and ZSCAN: the cursor, the options and the reply.

use crate::base::{glob, number};
use crate::commands::support::args::is;
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::options::OptionReader;
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::{DecimalBuffer, Entry};

/// Buckets a SCAN call looks at per element of its COUNT: bounds the work in a sparse table.
pub(in crate::commands) const STEPS_PER_ELEMENT: u64 = 10;

/// Parses the cursor of SCAN, SSCAN, HSCAN and ZSCAN.
pub(in crate::commands) fn parse_cursor(text: &[u8]) -> Result<u64, CommandError> {
    let negative = number::parse_i64(text).is_some_and(|number| number < 0);
    let cursor = number::parse_u64_lenient(text).filter(|_| !negative);
    cursor.ok_or(CommandError::text("ERR invalid cursor"))
}

/// Reads the value of COUNT; one that isn't positive is a syntax error.
pub(in crate::commands) fn scan_count(options: &mut OptionReader<'_>) -> Result<u64, CommandError> {
    u64::try_from(options.integer()?).ok().filter(|n| *n > 0).ok_or(CommandError::SYNTAX)
}

/// The pattern; `None` for `*`, which matches everything.
pub(in crate::commands) fn selective(pattern: &[u8]) -> Option<&[u8]> {
    (pattern != b"*").then_some(pattern)
}

/// The options of one SSCAN, HSCAN or ZSCAN.
pub(in crate::commands) struct ScanOptions<'a> {
    cursor: u64,
    pattern: Option<&'a [u8]>,
    count: u64,
    /// NOVALUES or NOSCORES: the reply has no values or scores.
    pub names_only: bool,
}

/// The type that is scanned: NOVALUES is an option of hashes only, NOSCORES of sorted sets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum ScannedType {
    Set,
    Hash,
    Zset,
}

impl<'a> ScanOptions<'a> {
    /// Parses the options from the third argument on. Redis checks the cursor first and the options only if the
    /// key exists, so `cursor` is parsed before.
    pub fn parse(args: Args<'a>, cursor: u64, scanned: ScannedType) -> Result<Self, CommandError> {
        let mut options = ScanOptions { cursor, pattern: None, count: 10, names_only: false };
        let mut words = OptionReader::new(args, 3);
        while let Some(word) = words.next() {
            if is(word, "COUNT") {
                options.count = scan_count(&mut words)?;
            } else if is(word, "MATCH") {
                options.pattern = selective(words.value()?);
            } else if is(word, "NOVALUES") {
                if scanned != ScannedType::Hash {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.names_only = true;
            } else if is(word, "NOSCORES") {
                if scanned != ScannedType::Zset {
                    return Err(CommandError::text("ERR NOSCORES option can only be used in ZSCAN"));
                }
                options.names_only = true;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Scans and replies: `step` scans from a cursor, writes the elements it finds and returns the next cursor
    /// (0: the end).
    pub fn scan(&self, reply: &mut Reply, mut step: impl FnMut(u64, &mut ScannedElements<'_>) -> u64) {
        let elements = Reply::new(Vec::new(), reply.is_resp3());
        let mut found = ScannedElements { pattern: self.pattern, elements, written: 0, scanned: 0 };
        let mut cursor = self.cursor;
        for _ in 0..self.count.saturating_mul(STEPS_PER_ELEMENT) {
            cursor = step(cursor, &mut found);
            if cursor == 0 || found.scanned >= self.count {
                break;
            }
        }
        reply.array(2);
        reply.bulk_integer(cursor as i64);
        reply.array(found.written);
        reply.raw(found.elements.bytes());
    }
}

/// The elements that one call has scanned, and those of them that match the pattern.
pub(in crate::commands) struct ScannedElements<'a> {
    pattern: Option<&'a [u8]>,
    elements: Reply,
    written: usize,
    scanned: u64,
}

impl ScannedElements<'_> {
    /// Counts an element as scanned; true if its name matches the pattern.
    pub fn matches(&mut self, name: Entry<'_>) -> bool {
        self.scanned += 1;
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name.bytes(&mut DecimalBuffer::new())))
    }

    /// Writes a member, field or value.
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

/// Replies for a missing key: cursor 0 and no elements.
pub(in crate::commands) fn reply_empty(reply: &mut Reply) {
    reply.array(2);
    reply.bulk(b"0");
    reply.array(0);
}
