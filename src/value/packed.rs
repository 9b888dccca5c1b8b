//! Small collections as bytes, to lie in a keyspace entry instead of in allocations of their own.
//!
//! ```text
//! tag   bytes
//! 0     a list's listpack
//! 1, 2  a set's intset, listpack
//! 3     a hash's listpack (without field deadlines)
//! 4     a sorted set's listpack
//! ```
//!
//! A collection that has left its entry doesn't return to it, so that one whose size swings about the
//! limit isn't moved at every change.

use super::{Value, hash::Hash, list::List, set::Set, zset::Zset};
use crate::structures::intset::Intset;
use crate::structures::listpack::Listpack;
use crate::structures::table::PACKED_MAX;

pub const LIST: u8 = 0;
pub const SET_INTS: u8 = 1;
pub const SET: u8 = 2;
pub const HASH: u8 = 3;
pub const ZSET: u8 = 4;

/// Tag and bytes of a value that may lie in an entry.
#[inline]
pub fn pack(value: &Value) -> Option<(u8, &[u8])> {
    let (tag, bytes) = match value {
        Value::List(List::Listpack(pack)) => (LIST, pack.as_bytes()),
        Value::Set(Set::Intset(ints)) => (SET_INTS, ints.as_bytes()),
        Value::Set(Set::Listpack(pack)) => (SET, pack.as_bytes()),
        Value::Hash(Hash::Listpack(pack)) => (HASH, pack.as_bytes()),
        Value::Zset(Zset::Listpack(pack)) => (ZSET, pack.as_bytes()),
        _ => return None,
    };
    (bytes.len() <= PACKED_MAX).then_some((tag, bytes))
}

/// The value of a tag and bytes that came from [`pack`].
#[inline]
pub fn unpack(tag: u8, bytes: &[u8]) -> Value {
    match tag {
        LIST => Value::List(List::Listpack(Listpack::from_own_bytes(bytes))),
        SET_INTS => Value::Set(Set::Intset(Intset::from_own_bytes(bytes))),
        SET => Value::Set(Set::Listpack(Listpack::from_own_bytes(bytes))),
        HASH => Value::Hash(Hash::Listpack(Listpack::from_own_bytes(bytes))),
        _ => Value::Zset(Zset::Listpack(Listpack::from_own_bytes(bytes))),
    }
}

/// TYPE's word for a tag.
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

    #[test]
    fn there_and_back() {
        let limits = Limits::default();
        let mut list = List::new();
        list.push(End::Back, b"a", &limits);
        let value = Value::List(list);
        let (tag, bytes) = pack(&value).expect("small");
        assert_eq!(type_name(tag), "list");
        let back = unpack(tag, bytes);
        assert_eq!((back.type_name(), back.element_count(), back.encoding()), ("list", 1, "listpack"));
        let mut list = List::new();
        (0..200).for_each(|_| list.push(End::Back, b"abcdefgh", &limits));
        assert!(pack(&Value::List(list)).is_none(), "too long for an entry");
    }
}
