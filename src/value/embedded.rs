//! Embedded collections: small lists, sets, hashes and sorted sets as bytes within a keyspace entry.
//!
//! ```text
//! tag   bytes
//! 0     a list     \
//! 2     a set      |  count 1 | a listpack's entries, without its header and end | slack, if there is any
//! 3     a hash     |          (a hash without field deadlines)
//! 4     a zset     /
//! 1     a set of integers: its intset
//! ```
//!
//! Slack is added when a collection outgrows its place, so that not every new element moves the entry. The count has
//! then its top bit set, and the last byte is the slack's length. No count needs that bit: an entry has at least 2 bytes.
//!
//! A collection that has left its entry doesn't return to it, so that a size that varies around the
//! limit doesn't convert it at every change. [`edit`] changes an embedded collection in place.

mod edit;

use super::{Value, hash::Hash, list::List, set::Set, zset::Zset};
use crate::structures::intset::Intset;
use crate::structures::listpack::Listpack;
use crate::structures::table::EMBEDDED_MAX;
pub use edit::{Edited, add_member, new_hash, new_set, set_field};

pub const LIST: u8 = 0;
pub const SET_INTS: u8 = 1;
pub const SET: u8 = 2;
pub const HASH: u8 = 3;
pub const ZSET: u8 = 4;

/// The bit of the count that says that slack follows the entries.
const HAS_SLACK: u8 = 0x80;
const _: () = assert!(EMBEDDED_MAX / 2 < HAS_SLACK as usize);

/// The tag and bytes of a value that may be embedded, written to `buffer`. `room` is the number of bytes
/// that it has in the entry now, or 0.
#[inline]
pub fn embed<'a>(value: &Value, room: usize, buffer: &'a mut [u8; EMBEDDED_MAX]) -> Option<(u8, &'a [u8])> {
    let (tag, embed) = match value {
        Value::List(List::Listpack(embed)) => (LIST, embed),
        Value::Set(Set::Listpack(embed)) => (SET, embed),
        Value::Hash(Hash::Listpack(embed)) => (HASH, embed),
        Value::Zset(Zset::Listpack(embed)) => (ZSET, embed),
        Value::Set(Set::Intset(ints)) => {
            let bytes = ints.as_bytes();
            let to = buffer.get_mut(..bytes.len())?;
            to.copy_from_slice(bytes);
            return Some((SET_INTS, to));
        }
        _ => return None,
    };
    let body = embed.body();
    let need = 1 + body.len();
    if need > EMBEDDED_MAX {
        return None;
    }
    let to = &mut buffer[..size_for(need, room)];
    to[1..need].copy_from_slice(body);
    edit::close(to, embed.len() as u8, need);
    Some((tag, to))
}

/// The size in bytes to reserve for `need` where there were `room`.
#[inline]
fn size_for(need: usize, room: usize) -> usize {
    if need > room && room > 0 {
        return (need + need / 4 + 16).min(EMBEDDED_MAX);
    }
    // A collection that has shrunk to less than half gives back its place.
    if room > need + need / 2 + 32 { need } else { room.max(need) }
}

/// The value of a tag and bytes from [`embed`].
#[inline]
pub fn decode(tag: u8, bytes: &[u8]) -> Value {
    match tag {
        LIST => Value::List(List::Listpack(listpack(bytes))),
        SET_INTS => Value::Set(Set::Intset(Intset::from_own_bytes(bytes))),
        SET => Value::Set(Set::Listpack(listpack(bytes))),
        HASH => Value::Hash(Hash::Listpack(listpack(bytes))),
        _ => Value::Zset(Zset::Listpack(listpack(bytes))),
    }
}

#[inline]
fn listpack(bytes: &[u8]) -> Listpack {
    let (count, entries) = parts(bytes);
    Listpack::from_body(u16::from(count), entries)
}

/// The number of entries of an embedded listpack, and their bytes.
#[inline]
pub fn parts(bytes: &[u8]) -> (u8, &[u8]) {
    let count = bytes[0];
    let slack = if count & HAS_SLACK != 0 { usize::from(bytes[bytes.len() - 1]) } else { 0 };
    (count & !HAS_SLACK, &bytes[1..bytes.len() - slack])
}

/// The name of a tag's type, as TYPE replies it.
#[inline]
pub fn type_name(tag: u8) -> &'static str {
    match tag {
        LIST => "list",
        SET_INTS | SET => "set",
        HASH => "hash",
        _ => "zset",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structures::quicklist::End;
    use crate::value::Limits;

    fn list(items: usize) -> Value {
        let mut list = List::new();
        (0..items).for_each(|_| list.push(End::Back, b"abcdefgh", &Limits::default()));
        Value::List(list)
    }

    #[test]
    fn there_and_back() {
        let mut buffer = [0; EMBEDDED_MAX];
        for items in 1..26 {
            for room in [0, 1, 11, 12, 13, 60, 100, 255] {
                let (tag, bytes) = embed(&list(items), room, &mut buffer).expect("small");
                assert!(room == 0 || bytes.len() == room || bytes.len() > items * 10);
                assert_eq!(type_name(tag), "list");
                let Value::List(back) = decode(tag, bytes) else { panic!("another type") };
                back.check_invariants();
                assert_eq!((back.len(), back.encoding()), (items, "listpack"));
            }
        }
        assert!(embed(&list(26), 0, &mut buffer).is_none(), "too long for an entry");
    }

    #[test]
    fn room_grows_by_steps_and_shrinks_late() {
        let mut buffer = [0; EMBEDDED_MAX];
        let mut room = |items, room| embed(&list(items), room, &mut buffer).expect("small").1.len();
        assert_eq!(room(1, 0), 11, "a new one has no slack");
        assert_eq!(room(2, 11), 21 + 5 + 16);
        assert_eq!([room(3, 42), room(4, 42), room(1, 42)], [42, 42, 42]);
        assert_eq!(room(1, 100), 11);
        assert_eq!(room(24, 150), 255);
    }
}
