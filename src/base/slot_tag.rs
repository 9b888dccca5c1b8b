//! Slot tags: for each slot of a cluster a short text of that slot, to name the slot where a key is expected.

use std::sync::OnceLock;

use super::crc::{SLOTS, crc16};

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The shortest text of digits and letters, and the first of them, whose slot is `slot`.
pub fn slot_tag(slot: u16) -> &'static str {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    &TAGS.get_or_init(all)[usize::from(slot % SLOTS)]
}

fn all() -> Vec<String> {
    let mut tags = vec![String::new(); SLOTS.into()];
    let mut missing = tags.len();
    let mut longest = vec![String::new()];
    while missing > 0 {
        let mut longer = Vec::new();
        for (start, letter) in
            longest.iter().flat_map(|start| LETTERS.iter().map(move |letter| (start, letter)))
        {
            let text = format!("{start}{}", char::from(*letter));
            let tag = &mut tags[usize::from(crc16(text.as_bytes()) % SLOTS)];
            if tag.is_empty() {
                tag.clone_from(&text);
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
            longer.push(text);
        }
        longest = longer;
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::crc::key_slot;

    #[test]
    fn each_slot_has_a_tag_of_it() {
        assert!((0..SLOTS).all(|slot| key_slot(slot_tag(slot).as_bytes()) == slot));
        assert_eq!((slot_tag(0), slot_tag(1), slot_tag(2)), ("06S", "Qi", "5L5"));
        assert!((0..SLOTS).all(|slot| slot_tag(slot).len() <= 3));
    }
}
