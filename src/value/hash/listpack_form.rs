//! The listpack forms of a hash: pairs (`listpack`), and triples with a deadline, ascending (`listpackex`).
//!
//! The hash decides which form it has and when it converts.

use crate::structures::listpack::{DecimalBuffer, Entry, Listpack, Pos};

/// The deadline stored for a field without one.
const NONE: i64 = 0;

fn encode_deadline(deadline: Option<u64>) -> i64 {
    deadline.map_or(NONE, |ms| i64::try_from(ms).unwrap_or(i64::MAX).max(1))
}

pub(super) fn parse_deadline(entry: Entry<'_>) -> Option<u64> {
    entry.as_int().and_then(|ms| u64::try_from(ms).ok()).filter(|&ms| ms != NONE as u64)
}

/// Reads the deadline at `pos`.
pub(super) fn deadline_at(listpack: &Listpack, pos: Pos) -> Option<u64> {
    parse_deadline(listpack.at(pos))
}

/// Whether every third entry is a deadline, ascending, with the fields that have none last.
pub(super) fn deadlines_ascend(listpack: &Listpack) -> bool {
    let mut last = 0;
    listpack.iter().skip(2).step_by(3).all(|entry| match entry {
        Entry::Int(NONE) => {
            last = i64::MAX;
            true
        }
        Entry::Int(ms) if ms > 0 && ms >= last => {
            last = ms;
            true
        }
        _ => false,
    })
}

/// Converts pairs to triples without deadlines.
pub(super) fn with_deadlines(pairs: &Listpack) -> Listpack {
    let mut triples = Listpack::new();
    for (field, value) in pairs.pairs() {
        triples.insert_all(None, [field, value, Entry::Int(NONE)]);
    }
    triples
}

/// Sets a field of pairs; true if it is new.
pub(super) fn set(listpack: &mut Listpack, field: &[u8], value: &[u8]) -> bool {
    let found = listpack.find(field, listpack.first(), 2).and_then(|pos| listpack.next(pos));
    match found {
        Some(pos) => listpack.replace(pos, value),
        None => listpack.push_pair(field, value),
    }
    found.is_none()
}

/// Sets a field of triples; true if it is new.
pub(super) fn set_ex(listpack: &mut Listpack, field: &[u8], value: &[u8], keep_deadline: bool) -> bool {
    let found = listpack.find(field, listpack.first(), 3);
    match found {
        None => place(listpack, Entry::from(field), Entry::from(value), None),
        Some(pos) => {
            let at_value = listpack.next(pos).unwrap_or(pos);
            let deadline = listpack.next(at_value).and_then(|pos| deadline_at(listpack, pos));
            if keep_deadline || deadline.is_none() {
                listpack.replace(at_value, value);
            } else {
                listpack.remove_many(pos, 3);
                place(listpack, Entry::from(field), Entry::from(value), None);
            }
        }
    }
    found.is_none()
}

/// Inserts a triple in order of its deadline.
fn place(listpack: &mut Listpack, field: Entry<'_>, value: Entry<'_>, deadline: Option<u64>) {
    let ms = encode_deadline(deadline);
    let before = if ms == NONE { None } else { first_not_before(listpack, ms) };
    listpack.insert_all(before, [field, value, Entry::Int(ms)]);
}

/// The first triple without a deadline before `ms`.
fn first_not_before(listpack: &Listpack, ms: i64) -> Option<Pos> {
    let mut entries = listpack.iter();
    loop {
        let pos = entries.pos()?;
        match entries.nth(2)? {
            Entry::Int(other) if other != NONE && other < ms => {}
            _ => return Some(pos),
        }
    }
}

/// Removes a field of `stride` entries; false if it was not there.
pub(super) fn remove(listpack: &mut Listpack, field: &[u8], stride: usize) -> bool {
    let found = listpack.find(field, listpack.first(), stride);
    found.map(|pos| listpack.remove_many(pos, stride)).is_some()
}

/// Sets a field's deadline in triples; false if the field is not there.
pub(super) fn set_deadline(listpack: &mut Listpack, field: &[u8], deadline: Option<u64>) -> bool {
    let Some(pos) = listpack.find(field, listpack.first(), 3) else { return false };
    let Some(value) = listpack.next(pos).map(|pos| listpack.at(pos).to_vec()) else { return false };
    listpack.remove_many(pos, 3);
    place(listpack, Entry::from(field), Entry::from(&value[..]), deadline);
    true
}

/// Removes up to `max` triples past their deadline and passes their fields to `visit`; returns how many.
pub(super) fn expire_some(
    listpack: &mut Listpack,
    now: u64,
    max: usize,
    mut visit: impl FnMut(&[u8]),
) -> usize {
    let mut gone = 0;
    let mut buffer = DecimalBuffer::new();
    let mut entries = listpack.iter();
    while gone < max
        && let Some(field) = entries.next()
        && super::is_past(entries.nth(1).and_then(parse_deadline), now)
    {
        visit(field.bytes(&mut buffer));
        gone += 1;
    }
    listpack.remove_range(0, gone * 3);
    gone
}
