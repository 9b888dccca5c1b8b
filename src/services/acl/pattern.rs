//! A pattern of keys or channels, classed once so that the usual ones need no glob matching.

use crate::base::glob;

/// A glob pattern and the kinds of access that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    /// The first eight bytes before any special character, zeros behind them: most patterns that don't match differ here.
    head: u64,
    /// Bytes before the first special character.
    literal: u32,
    form: Form,
    /// Bits of [`access`](super::access); not used for channels.
    pub allows: u8,
}

/// How a pattern is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `*`
    Any,
    /// No special character.
    Exact,
    /// Special is only the star at the end.
    Prefix,
    Glob,
}

impl Pattern {
    pub fn new(text: &[u8], allows: u8) -> Self {
        let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let form = match text.iter().position(special) {
            None => Form::Exact,
            Some(0) if text == b"*" => Form::Any,
            Some(at) if at + 1 == text.len() && text[at] == b'*' => Form::Prefix,
            Some(_) => Form::Glob,
        };
        let literal = text.iter().position(special).unwrap_or(text.len());
        Pattern {
            text: text.into(),
            head: head_of(&text[..literal]),
            // A longer one is compared as a whole all the same.
            literal: u32::try_from(literal).unwrap_or(u32::MAX),
            form,
            allows,
        }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it is `*`.
    pub fn is_any(&self) -> bool {
        self.form == Form::Any
    }

    /// Whether `name`, whose first bytes are `head` ([`head_of`]), matches.
    #[inline]
    pub fn matches(&self, name: &[u8], head: u64) -> bool {
        const HEAD: u32 = size_of::<u64>() as u32;
        let literal = self.literal;
        let mask = if literal >= HEAD { u64::MAX } else { (1 << (8 * literal)) - 1 };
        if (head ^ self.head) & mask != 0 {
            return false;
        }
        match self.form {
            // As for any pattern that isn't empty: the empty text doesn't match.
            Form::Any => !name.is_empty(),
            Form::Exact => name.len() == self.text.len() && (literal <= HEAD || *self.text == *name),
            Form::Prefix if literal <= HEAD => name.len() >= literal as usize,
            Form::Prefix => name.starts_with(&self.text[..self.text.len() - 1]),
            Form::Glob => glob::matches(&self.text, name),
        }
    }
}

/// The first eight bytes of a name as a number, with zeros behind those of a shorter one.
#[inline]
pub fn head_of(name: &[u8]) -> u64 {
    match name.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => name.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_match_as_globs_do() {
        const PATTERNS: [&str; 22] = [
            "",
            "*",
            "a",
            "ab",
            "a*",
            "ab*",
            "a?",
            "[ab]",
            "*a",
            "a*b*",
            "\\*",
            "a\\*",
            "**",
            "?",
            "\0",
            "a\0*",
            "12345678",
            "123456789",
            "1234567*",
            "12345678*",
            "123456789*",
            "12345678?*",
        ];
        const NAMES: [&str; 18] = [
            "",
            "a",
            "b",
            "ab",
            "abc",
            "*",
            "a*",
            "ba",
            "\0",
            "a\0",
            "a\0b",
            "1234567",
            "12345678",
            "123456789",
            "12345679",
            "1234567890",
            "\x0012345678",
            "12345678a",
        ];
        for pattern in PATTERNS {
            for name in NAMES {
                let made = Pattern::new(pattern.as_bytes(), 0);
                let expected = glob::matches(pattern.as_bytes(), name.as_bytes());
                assert_eq!(
                    made.matches(name.as_bytes(), head_of(name.as_bytes())),
                    expected,
                    "{pattern:?} {name:?}"
                );
            }
        }
    }
}
