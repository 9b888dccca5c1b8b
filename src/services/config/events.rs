//! `notify-keyspace-events`: the classes of published keyspace events as a directive's value.

use super::setting::{InvalidValue, Rule, Setting, single};
use crate::base::quoting::quoted;
use crate::keyspace::event::{class, format_classes, parse_classes};

/// A set of event classes, the bits of [`class`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(pub u32);

impl Setting for KeyspaceEvents {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let found = parse_classes(single(words)?);
        *self = KeyspaceEvents(found.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?);
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        format_classes(self.0).into_bytes()
    }

    fn to_file(&self, _rule: &Rule) -> Vec<u8> {
        let mut text = format_classes(self.0);
        // CONFIG GET's text hides them behind `A`; the file's must not lose them.
        for (letter, class) in [('n', class::NEW), ('o', class::OVERWRITTEN), ('c', class::TYPE_CHANGED)] {
            if self.0 & class != 0 && !text.contains(letter) {
                text.push(letter);
            }
        }
        quoted(text.as_bytes())
    }

    fn domain(&self, _rule: &Rule) -> String {
        "letters of `Ag$lshzxeKEtmdnoc`".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_and_written() {
        let mut events = KeyspaceEvents::default();
        for (text, shown, to_file) in
            [("", "", "\"\""), ("KEA", "AKE", "\"AKE\""), ("KEAncoo", "AKE", "\"AKEnoc\"")]
        {
            assert_eq!(events.assign(&[text.into()], &Rule::Any), Ok(()));
            assert_eq!(events.to_get(&Rule::Any), shown.as_bytes());
            assert_eq!(events.to_file(&Rule::Any), to_file.as_bytes());
        }
        assert!(events.assign(&[b"q".to_vec()], &Rule::Any).is_err());
    }
}
