//! Quoted words: splits a line into words, and quotes bytes. The notation is shared by the
//! configuration file, inline requests, the slow log and MONITOR.
//!
//! ```text
//!   set "a \x00 b"  'it\'s'  plain        three words after the first
//!   "…"   \n \r \t \a \b \xHH, any other \c is c          '…'   only \' is an escape
//! ```
//!
//! A closing quote must be followed by white space or the end; a zero byte is the end. No variables, no `#`
//! inside a line, no continuation lines.

use std::fmt::Write;

/// The error of a line with a quote that doesn't close, or with a character right behind a closing quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbalancedQuotes;

/// Splits `line` into its words.
pub fn split_words(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let mut words = Vec::new();
    let mut rest = skip_space(&line[..end]);
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = skip_space(take_word(rest, &mut word)?);
        words.push(word);
    }
    Ok(words)
}

/// Whether C's `isspace` holds.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn skip_space(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&byte| is_space(byte)).count();
    &text[blanks..]
}

/// Reads one word and answers what follows it.
fn take_word<'a>(mut text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match text.split_first() {
            None => return Ok(text),
            Some((b' ' | b'\n' | b'\r' | b'\t', rest)) => return Ok(rest),
            Some((b'"', rest)) => return after_quote(take_double_quoted(rest, word)?),
            Some((b'\'', rest)) => return after_quote(take_single_quoted(rest, word)?),
            Some((&byte, rest)) => {
                word.push(byte);
                text = rest;
            }
        }
    }
}

fn after_quote(rest: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => Err(UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn take_double_quoted<'a>(mut text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        text = match text {
            [] => return Err(UnbalancedQuotes),
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_value(*high) << 4 | hex_value(*low));
                rest
            }
            [b'\\', escaped, rest @ ..] => {
                word.push(unescape(*escaped));
                rest
            }
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        }
    }
}

fn take_single_quoted<'a>(mut text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        text = match text {
            [] => return Err(UnbalancedQuotes),
            [b'\'', rest @ ..] => return Ok(rest),
            [b'\\', b'\'', rest @ ..] => {
                word.push(b'\'');
                rest
            }
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        }
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// Appends `bytes` in double quotes, such that [`split_words`] reads them back.
pub fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
    out.push(b'"');
}

/// `bytes` in double quotes, see [`push_quoted`].
pub fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    push_quoted(&mut out, bytes);
    out
}

/// Whether a word must be quoted to be read back as itself.
pub fn needs_quotes(word: &[u8]) -> bool {
    word.is_empty()
        || word.iter().any(|&byte| matches!(byte, b'\\' | b'"' | b'\'' | b' ') || !byte.is_ascii_graphic())
}

/// A word as text for a log line: bytes that are not printable ASCII are escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String does not fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        split_words(line).ok()
    }

    fn of(list: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
        Some(list.iter().map(|word| word.to_vec()).collect())
    }

    #[test]
    fn plain_words_and_blanks() {
        assert_eq!(words(b""), of(&[]));
        assert_eq!(words(b" \t\x0b "), of(&[]));
        assert_eq!(words(b" a  b\tc\n"), of(&[b"a", b"b", b"c"]));
        assert_eq!(words(b"a b\0c"), of(&[b"a", b"b"]));
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(words(br#"set "a b" 'c d'"#), of(&[b"set", b"a b", b"c d"]));
        assert_eq!(words(br#""\x41\xg1\n\r\t\a\b\\\"\q""#), of(&[b"Axg1\n\r\t\x07\x08\\\"q"]));
        assert_eq!(words(br"'it\'s \n'"), of(&[br"it's \n"]));
        assert_eq!(words(b"\"\" ''"), of(&[b"", b""]));
        assert_eq!(words(b"ab\"cd\" e"), of(&[b"abcd", b"e"]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [&b"\"abc"[..], b"'abc", b"\"a\"b", b"'a'b", b"\"\\", b"\"a\\\""] {
            assert_eq!(split_words(line), Err(UnbalancedQuotes), "{}", printable(line));
        }
    }

    #[test]
    fn quoted_bytes_come_back() {
        let mut rng = Rng::new(7);
        for _ in 0..500 {
            let mut bytes = vec![0; rng.below(20) as usize];
            rng.fill(&mut bytes);
            assert_eq!(words(&quoted(&bytes)), Some(vec![bytes.clone()]));
            if !needs_quotes(&bytes) {
                assert_eq!(words(&bytes), Some(vec![bytes]));
            }
        }
    }
}
