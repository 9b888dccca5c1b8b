//! Which keyspace events are published: a set of classes, and its text of one letter a class.
//!
//! ```text
//!   K keyspace channel   E keyevent channel   A all of  g $ l s h z x e t d
//!   m misses and n new keys are not in A
//! ```

use super::setting::{Refusal, Rule, Setting, single};
use crate::base::quoting::quoted;

/// A set of event classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceEvents(u16);

/// Classes in the order of the text, with their letters.
const LETTERS: [(u8, KeyspaceEvents); 14] = [
    (b'g', KeyspaceEvents::GENERIC),
    (b'$', KeyspaceEvents::STRING),
    (b'l', KeyspaceEvents::LIST),
    (b's', KeyspaceEvents::SET),
    (b'h', KeyspaceEvents::HASH),
    (b'z', KeyspaceEvents::ZSET),
    (b'x', KeyspaceEvents::EXPIRED),
    (b'e', KeyspaceEvents::EVICTED),
    (b't', KeyspaceEvents::STREAM),
    (b'd', KeyspaceEvents::MODULE),
    (b'n', KeyspaceEvents::NEW),
    (b'K', KeyspaceEvents::KEYSPACE),
    (b'E', KeyspaceEvents::KEYEVENT),
    (b'm', KeyspaceEvents::KEY_MISS),
];

impl KeyspaceEvents {
    pub const NONE: KeyspaceEvents = KeyspaceEvents(0);
    pub const KEYSPACE: KeyspaceEvents = KeyspaceEvents(1 << 0);
    pub const KEYEVENT: KeyspaceEvents = KeyspaceEvents(1 << 1);
    pub const GENERIC: KeyspaceEvents = KeyspaceEvents(1 << 2);
    pub const STRING: KeyspaceEvents = KeyspaceEvents(1 << 3);
    pub const LIST: KeyspaceEvents = KeyspaceEvents(1 << 4);
    pub const SET: KeyspaceEvents = KeyspaceEvents(1 << 5);
    pub const HASH: KeyspaceEvents = KeyspaceEvents(1 << 6);
    pub const ZSET: KeyspaceEvents = KeyspaceEvents(1 << 7);
    pub const EXPIRED: KeyspaceEvents = KeyspaceEvents(1 << 8);
    pub const EVICTED: KeyspaceEvents = KeyspaceEvents(1 << 9);
    pub const STREAM: KeyspaceEvents = KeyspaceEvents(1 << 10);
    pub const KEY_MISS: KeyspaceEvents = KeyspaceEvents(1 << 11);
    pub const MODULE: KeyspaceEvents = KeyspaceEvents(1 << 13);
    pub const NEW: KeyspaceEvents = KeyspaceEvents(1 << 14);
    /// What `A` stands for.
    pub const ALL: KeyspaceEvents = KeyspaceEvents(0b0010_0111_1111_1100);

    /// The set as a mask; a class is one bit of it.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: KeyspaceEvents) -> KeyspaceEvents {
        KeyspaceEvents(self.0 | other.0)
    }

    /// Whether every class of `other` is in this set.
    pub fn contains(self, other: KeyspaceEvents) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing at all is to be published: no class, or no channel to publish on.
    pub fn is_silent(self) -> bool {
        self.0 & Self::KEYSPACE.with(Self::KEYEVENT).0 == 0
    }

    /// Reads letters; an unknown one is refused.
    pub fn from_text(text: &[u8]) -> Option<KeyspaceEvents> {
        let mut set = KeyspaceEvents::NONE;
        for &letter in text {
            set = set.with(match letter {
                b'A' => KeyspaceEvents::ALL,
                _ => LETTERS.iter().find(|(known, _)| *known == letter)?.1,
            });
        }
        Some(set)
    }

    /// The letters of the set, `A` for all classes at once. (Redis forgets `n` beside `A`; a set that
    /// is written and read back must not.)
    pub fn to_text(self) -> String {
        let (mut text, covered) = match self.contains(Self::ALL) {
            true => (String::from("A"), Self::ALL),
            false => (String::new(), Self::NONE),
        };
        for (letter, class) in LETTERS {
            if self.contains(class) && !covered.contains(class) {
                text.push(char::from(letter));
            }
        }
        text
    }
}

impl Setting for KeyspaceEvents {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), Refusal> {
        let found = KeyspaceEvents::from_text(single(words)?);
        *self = found.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
        Ok(())
    }

    fn text(&self, _rule: &Rule) -> Vec<u8> {
        self.to_text().into_bytes()
    }

    fn written(&self, _rule: &Rule) -> Vec<u8> {
        quoted(self.to_text().as_bytes())
    }

    fn domain(&self, _rule: &Rule) -> String {
        "letters of `Ag$lshzxeKEtmdn`".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> Option<String> {
        KeyspaceEvents::from_text(text.as_bytes()).map(KeyspaceEvents::to_text)
    }

    #[test]
    fn letters_and_back() {
        assert_eq!(normal("").as_deref(), Some(""));
        assert_eq!(normal("KEA").as_deref(), Some("AKE"));
        assert_eq!(normal("KEg$lshzxetd").as_deref(), Some("AKE"));
        assert_eq!(normal("Klh").as_deref(), Some("lhK"));
        assert_eq!(normal("Em").as_deref(), Some("Em"));
        assert_eq!(normal("KEAn").as_deref(), Some("AnKE"));
        assert_eq!(normal("Enx").as_deref(), Some("xnE"));
        assert_eq!(normal("q"), None);
    }

    #[test]
    fn classes_have_one_bit_each() {
        let all = LETTERS.iter().fold(KeyspaceEvents::NONE, |set, (_, class)| {
            assert_eq!(class.bits().count_ones(), 1);
            assert!(!set.contains(*class));
            set.with(*class)
        });
        assert!(all.contains(KeyspaceEvents::ALL));
        assert!(!KeyspaceEvents::ALL.contains(KeyspaceEvents::NEW));
        assert!(KeyspaceEvents::ALL.is_silent());
    }
}
