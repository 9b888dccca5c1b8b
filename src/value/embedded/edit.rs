//! Edits of embedded sets and hashes: adds, replaces and removes in the bytes of the entry, without decoding them.
//!
//! A change either fits the place (with its slack), or yields the bytes for a larger one, or is not
//! done here: a change of the encoding, or out of the entry, is done to the decoded value.

use super::{HAS_SLACK, parts, size_for};
use crate::structures::listpack::Entry;
use crate::structures::listpack::body::{self, Items};
use crate::structures::table::EMBEDDED_MAX;
use crate::value::Limits;

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Whether the member or field is a new one.
    pub is_new: bool,
    /// If set, the entry's bytes are unchanged and the caller replaces them by so many bytes of the buffer.
    pub moved: Option<usize>,
}

/// Adds a member to an embedded set, unless it is there.
#[inline]
pub fn add_member(
    bytes: &mut [u8],
    member: &[u8],
    limits: &Limits,
    buffer: &mut [u8; EMBEDDED_MAX],
) -> Option<Edited> {
    let (count, entries) = parts(bytes);
    if body::find(entries, member, 1).is_some() {
        return Some(Edited { is_new: false, moved: None });
    }
    let fits =
        usize::from(count) < limits.set_max_listpack_entries && member.len() <= limits.set_max_listpack_value;
    let end = entries.len();
    let moved = if fits { splice(bytes, end, 0, Items::new([member]), buffer)? } else { return None };
    Some(Edited { is_new: true, moved })
}

/// Sets a field of an embedded hash.
#[inline]
pub fn set_field(
    bytes: &mut [u8],
    field: &[u8],
    value: &[u8],
    limits: &Limits,
    buffer: &mut [u8; EMBEDDED_MAX],
) -> Option<Edited> {
    let longest = limits.hash_max_listpack_value;
    if field.len() > longest || value.len() > longest {
        return None;
    }
    let (count, entries) = parts(bytes);
    if let Some(at) = body::find(entries, field, 2) {
        let at = at + body::size_at(entries, at);
        let old = body::size_at(entries, at);
        let moved = splice(bytes, at, old, Items::new([value]), buffer)?;
        return Some(Edited { is_new: false, moved });
    }
    let end = entries.len();
    if usize::from(count) / 2 >= limits.hash_max_listpack_entries {
        return None;
    }
    let moved = splice(bytes, end, 0, Items::new([field, value]), buffer)?;
    Some(Edited { is_new: true, moved })
}

/// Writes an embedded set of one member to `buffer`; returns its length in bytes.
#[inline]
pub fn new_set(member: &[u8], limits: &Limits, buffer: &mut [u8; EMBEDDED_MAX]) -> Option<usize> {
    let fits = limits.set_max_listpack_entries > 0 && member.len() <= limits.set_max_listpack_value;
    // A set of one integer is an intset.
    if !fits || Entry::Str(member).as_int().is_some() { None } else { anew(Items::new([member]), buffer) }
}

/// Writes an embedded hash of one field to `buffer`; returns as [`new_set`].
#[inline]
pub fn new_hash(
    field: &[u8],
    value: &[u8],
    limits: &Limits,
    buffer: &mut [u8; EMBEDDED_MAX],
) -> Option<usize> {
    let longest = limits.hash_max_listpack_value;
    let fits = limits.hash_max_listpack_entries > 0 && field.len() <= longest && value.len() <= longest;
    if fits { anew(Items::new([field, value]), buffer) } else { None }
}

fn anew<const N: usize>(items: Items<'_, N>, buffer: &mut [u8; EMBEDDED_MAX]) -> Option<usize> {
    let need = 1 + items.size();
    if need > EMBEDDED_MAX {
        return None;
    }
    buffer[0] = N as u8;
    items.splice(&mut buffer[1..need], 0, 0, 0);
    Some(need)
}

/// Replaces the `old` bytes (one entry, or none) at `at` of the entries by `items`. Returns as
/// [`Edited::moved`]; `None` if it gets too long.
#[inline]
fn splice<const N: usize>(
    bytes: &mut [u8],
    at: usize,
    old: usize,
    items: Items<'_, N>,
    buffer: &mut [u8; EMBEDDED_MAX],
) -> Option<Option<usize>> {
    let (count, entries) = parts(bytes);
    let used = entries.len();
    let need = 1 + used - old + items.size();
    if need > EMBEDDED_MAX {
        return None;
    }
    let count = count + N as u8 - u8::from(old > 0);
    let room = bytes.len();
    let size = size_for(need, room);
    if size == room {
        items.splice(&mut bytes[1..], used, at, old);
        close(bytes, count, need);
        return Some(None);
    }
    let to = &mut buffer[..size];
    items.splice_to(&mut to[1..], entries, at, old);
    close(to, count, need);
    Some(Some(size))
}

/// Writes count and slack around the entries.
#[inline]
pub(super) fn close(bytes: &mut [u8], count: u8, used: usize) {
    let slack = bytes.len() - used;
    bytes[0] = count;
    if slack > 0
        && let Some(last) = bytes.last_mut()
    {
        *last = slack as u8;
        bytes[0] |= HAS_SLACK;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HASH, SET, decode, embed};
    use super::*;
    use crate::base::rng::Rng;
    use crate::value::Value;
    use crate::value::hash::Hash;
    use crate::value::set::Set;

    /// The bytes after a change; the value is changed in the same way.
    fn step(
        bytes: &mut Vec<u8>,
        tag: u8,
        edit: impl Fn(&mut [u8], &mut [u8; EMBEDDED_MAX]) -> Option<Edited>,
        twin: impl Fn(&mut Value) -> bool,
    ) -> bool {
        let (mut buffer, mut embedded) = ([0; EMBEDDED_MAX], [0; EMBEDDED_MAX]);
        let mut value = decode(tag, bytes);
        let is_new = twin(&mut value);
        let expected = embed(&value, bytes.len(), &mut embedded);
        let Some(edited) = edit(bytes, &mut buffer) else {
            assert!(!matches!(expected, Some((kind, _)) if kind == tag), "it would have had a place");
            return false;
        };
        if let Some(size) = edited.moved {
            *bytes = buffer[..size].to_vec();
        }
        assert_eq!(edited.is_new, is_new);
        let (count, entries) = parts(bytes);
        let (tag, expected) = expected.expect("a place");
        assert_eq!((count, entries, bytes.len()), (parts(expected).0, parts(expected).1, expected.len()));
        assert!(matches!((tag, decode(tag, bytes)), (SET, Value::Set(_)) | (HASH, Value::Hash(_))));
        true
    }

    fn text(rng: &mut Rng) -> Vec<u8> {
        match rng.below(4) {
            0 => rng.below(20).to_string().into_bytes(),
            1 => vec![b'x'; rng.below(70) as usize],
            _ => format!("m:{}", rng.below(30)).into_bytes(),
        }
    }

    fn limits(rng: &mut Rng) -> Limits {
        let (entries, longest) = (1 + rng.below(12) as usize, 8 + rng.below(60) as usize);
        Limits {
            set_max_listpack_entries: entries,
            hash_max_listpack_entries: entries,
            set_max_listpack_value: longest,
            hash_max_listpack_value: longest,
            ..Limits::default()
        }
    }

    #[test]
    fn sets_change_as_their_values_do() {
        let mut rng = Rng::new(11);
        for _ in 0..300 {
            let limits = limits(&mut rng);
            let mut buffer = [0; EMBEDDED_MAX];
            let size = new_set(b"first", &limits, &mut buffer).expect("short");
            let mut bytes = buffer[..size].to_vec();
            loop {
                let member = text(&mut rng);
                let twin = |value: &mut Value| match value {
                    Value::Set(set) => set.insert(&member, &limits),
                    _ => panic!("another type"),
                };
                if !step(&mut bytes, SET, |bytes, buffer| add_member(bytes, &member, &limits, buffer), twin) {
                    break;
                }
            }
        }
    }

    #[test]
    fn hashes_change_as_their_values_do() {
        let mut rng = Rng::new(12);
        for _ in 0..300 {
            let limits = limits(&mut rng);
            let mut buffer = [0; EMBEDDED_MAX];
            let size = new_hash(b"first", b"1", &limits, &mut buffer).expect("short");
            let mut bytes = buffer[..size].to_vec();
            for _ in 0..200 {
                let (field, value) = (text(&mut rng), text(&mut rng));
                let twin = |it: &mut Value| match it {
                    Value::Hash(hash) => hash.set(&field, &value, false, &limits),
                    _ => panic!("another type"),
                };
                let edit =
                    |bytes: &mut [u8], buffer: &mut _| set_field(bytes, &field, &value, &limits, buffer);
                if !step(&mut bytes, HASH, edit, twin) {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_new_one_is_as_its_value_packed() {
        let (mut buffer, mut embedded) = ([0; EMBEDDED_MAX], [0; EMBEDDED_MAX]);
        let limits = Limits::default();
        let mut set = Set::for_members(b"m", 1, &limits);
        set.insert(b"m", &limits);
        let size = new_set(b"m", &limits, &mut buffer).expect("short");
        assert_eq!(embed(&Value::Set(set), 0, &mut embedded), Some((SET, &buffer[..size])));
        let mut hash = Hash::new();
        hash.set(b"f", b"12", false, &limits);
        let size = new_hash(b"f", b"12", &limits, &mut buffer).expect("short");
        assert_eq!(embed(&Value::Hash(hash), 0, &mut embedded), Some((HASH, &buffer[..size])));
        let long = Limits { set_max_listpack_value: 1000, ..Limits::default() };
        for (member, limits) in [(&[b'x'; 253][..], &long), (&[b'x'; 65], &limits), (b"12", &limits)] {
            assert_eq!(new_set(member, limits, &mut buffer), None, "not as a packed listpack");
        }
    }
}
