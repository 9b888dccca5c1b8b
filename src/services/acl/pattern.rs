//! A pattern of keys or channels, classed once so that the usual ones need no glob matching.

use crate::base::glob;

/// A glob pattern and the kinds of access that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
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
        Pattern { text: text.into(), form, allows }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it is `*`.
    pub fn is_any(&self) -> bool {
        self.form == Form::Any
    }

    /// Whether `name` matches.
    #[inline]
    pub fn matches(&self, name: &[u8]) -> bool {
        match self.form {
            // As for any pattern that isn't empty: the empty text doesn't match.
            Form::Any => !name.is_empty(),
            Form::Exact => *self.text == *name,
            Form::Prefix => !name.is_empty() && name.starts_with(&self.text[..self.text.len() - 1]),
            Form::Glob => glob::matches(&self.text, name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_match_as_globs_do() {
        for pattern in ["", "*", "a", "ab", "a*", "ab*", "a?", "[ab]", "*a", "a*b*", "\\*", "a\\*", "**", "?"]
        {
            for name in ["", "a", "b", "ab", "abc", "*", "a*", "ba"] {
                let made = Pattern::new(pattern.as_bytes(), 0);
                let expected = glob::matches(pattern.as_bytes(), name.as_bytes());
                assert_eq!(made.matches(name.as_bytes()), expected, "{pattern:?} {name:?}");
            }
        }
    }
}
