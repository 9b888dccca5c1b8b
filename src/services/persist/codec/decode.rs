//! RDB value decoder (`rdbLoadObject`): reads values of every kind that Redis or Valkey ever wrote.
//!
//! A value gets the encoding that the present configuration asks for, not the one that it was written in. Compact
//! forms pass the constructors of their values, which check them to the last bit; what comes element by element is
//! added, and must be new.

use super::legacy::{Ziplist, zipmap_pairs};
use super::stream::decode_stream;
use super::{Fault, MAX_FIELD_DEADLINE, Reader, VALKEY_VERSION, container, kind};
use crate::base::number::{MAX_I64_TEXT, parse_i64};
use crate::structures::intset::Intset;
use crate::structures::listpack::{DecimalBuffer, Entry, Listpack, MAX_SAFE_BYTES};
use crate::structures::quicklist::Quicklist;
use crate::structures::table::NewValue;
use crate::value::hash::Hash;
use crate::value::list::{End, List, node_limits};
use crate::value::set::Set;
use crate::value::zset::{Change, Zset};
use crate::value::{Limits, Value};
use std::borrow::Cow;

const DUPLICATE_MEMBER: Fault = Fault::Corrupt("Duplicate set members detected");
const DUPLICATE_FIELD: Fault = Fault::Corrupt("Duplicate hash fields detected");
const BAD_DEADLINE: Fault = Fault::Corrupt("Invalid expireAt time of a hash field");
const BAD_INTSET: Fault = Fault::Corrupt("Intset integrity check failed");
const BAD_LIST: Fault = Fault::Corrupt("Quicklist integrity check failed");
const BAD_LIST_NODE: Fault = Fault::Corrupt("List node integrity check failed");
const BAD_TRIPLES: Fault = Fault::Corrupt("Hash listpack with deadlines: integrity check failed");
const TOO_LARGE: Fault = Fault::Corrupt("Too large: integrity check failed");

/// Reads a value of this kind, as written by this version of the format.
pub fn decode<'a>(
    kind: u8,
    version: u16,
    input: &mut Reader<'a>,
    limits: &Limits,
) -> Result<NewValue<'a, Value>, Fault> {
    let value = match kind {
        kind::STRING => return input.string().map(string),
        kind::LIST => Value::List(decode_list(input, limits)?),
        kind::LIST_ZIPLIST => Value::List(list_of_ziplist(&encoded(input)?, limits)?),
        kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Value::List(decode_nodes(input, kind == kind::LIST_QUICKLIST, limits)?)
        }
        kind::SET => Value::Set(decode_set(input, limits)?),
        kind::SET_INTSET => Value::Set(set_of_intset(&encoded(input)?, limits)?),
        kind::SET_LISTPACK => {
            const BAD: Fault = Fault::Corrupt("Set listpack integrity check failed");
            Value::Set(Set::from_listpack(listpack(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::ZSET | kind::ZSET_2 => Value::Zset(decode_zset(input, kind == kind::ZSET, limits)?),
        kind::ZSET_ZIPLIST => {
            const BAD: Fault = Fault::Corrupt("Zset ziplist integrity check failed");
            Value::Zset(Zset::from_listpack(ziplist(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::ZSET_LISTPACK => {
            const BAD: Fault = Fault::Corrupt("Zset listpack integrity check failed");
            Value::Zset(Zset::from_listpack(listpack(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::HASH => Value::Hash(decode_hash(input, Deadlines::None, limits)?),
        kind::HASH_ZIPMAP => Value::Hash(hash_of_zipmap(&encoded(input)?, limits)?),
        kind::HASH_ZIPLIST => {
            const BAD: Fault = Fault::Corrupt("Hash ziplist integrity check failed");
            Value::Hash(Hash::from_listpack(ziplist(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::HASH_LISTPACK => {
            const BAD: Fault = Fault::Corrupt("Hash listpack integrity check failed");
            Value::Hash(Hash::from_listpack(listpack(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::HASH_22 if version >= VALKEY_VERSION => {
            Value::Hash(decode_hash(input, Deadlines::Behind, limits)?)
        }
        kind::HASH_22 => Value::Hash(decode_hash(input, Deadlines::Absolute, limits)?),
        kind::HASH_LISTPACK_EX_EARLY => Value::Hash(hash_of_triples(input, limits)?),
        kind::HASH_METADATA => {
            let least = u64::try_from(input.ms()?).map_err(|_| BAD_DEADLINE)?;
            Value::Hash(decode_hash(input, Deadlines::Above(least), limits)?)
        }
        kind::HASH_LISTPACK_EX => {
            // The least deadline stands in the listpack, too.
            input.ms()?;
            Value::Hash(hash_of_triples(input, limits)?)
        }
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
            Value::Stream(Box::new(decode_stream(kind, input)?))
        }
        other => return Err(Fault::Unknown(other)),
    };
    let may_be_empty = matches!(value, Value::Stream(_));
    if value.element_count() == 0 && !may_be_empty {
        return Err(Fault::Empty);
    }
    Ok(NewValue::Object(Box::new(value)))
}

/// A string value: an integer if its text is one.
fn string(bytes: Cow<'_, [u8]>) -> NewValue<'_, Value> {
    let number = if bytes.len() <= MAX_I64_TEXT { parse_i64(&bytes) } else { None };
    match (number, bytes) {
        (Some(number), _) => NewValue::Int(number),
        (None, Cow::Borrowed(bytes)) => NewValue::Bytes(bytes),
        (None, Cow::Owned(bytes)) => NewValue::Owned(bytes),
    }
}

/// The bytes of a compact form; an error if it is longer than it may be.
fn encoded<'a>(input: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    input.string().and_then(|bytes| if bytes.len() > MAX_SAFE_BYTES { Err(TOO_LARGE) } else { Ok(bytes) })
}

fn listpack(input: &mut Reader<'_>, bad: Fault) -> Result<Listpack, Fault> {
    Listpack::from_bytes(&encoded(input)?).map_err(|_| bad)
}

fn ziplist(input: &mut Reader<'_>, bad: Fault) -> Result<Listpack, Fault> {
    let bytes = encoded(input)?;
    Ziplist::new(&bytes).and_then(Ziplist::into_listpack).map_err(|_| bad)
}

fn decode_list(input: &mut Reader<'_>, limits: &Limits) -> Result<List, Fault> {
    let mut list = List::new();
    for _ in 0..input.length()? {
        list.push(End::Back, &input.string()?, limits);
    }
    Ok(list)
}

fn list_of_ziplist(bytes: &[u8], limits: &Limits) -> Result<List, Fault> {
    let (mut list, mut buffer) = (List::new(), DecimalBuffer::new());
    let mut entries = Ziplist::new(bytes)?;
    while let Some(entry) = entries.next()? {
        list.push(End::Back, entry.bytes(&mut buffer), limits);
    }
    Ok(list)
}

fn decode_nodes(input: &mut Reader<'_>, ziplists: bool, limits: &Limits) -> Result<List, Fault> {
    let mut nodes = Quicklist::new();
    let node_limits = node_limits(limits);
    for _ in 0..input.length()? {
        let container = if ziplists { container::PACKED } else { input.length()? };
        match container {
            container::PACKED if ziplists => {
                nodes.push_listpack(ziplist(input, BAD_LIST_NODE)?, &node_limits)
            }
            container::PACKED => nodes.push_listpack(listpack(input, BAD_LIST_NODE)?, &node_limits),
            container::PLAIN => {
                let item = input.string()?;
                if item.is_empty() {
                    return Err(BAD_LIST);
                }
                nodes.push_plain(item.into_owned().into(), &node_limits);
            }
            _ => return Err(BAD_LIST),
        }
    }
    Ok(List::from_quicklist(nodes, limits))
}

fn decode_set(input: &mut Reader<'_>, limits: &Limits) -> Result<Set, Fault> {
    let count = input.length()?;
    let few = count <= limits.set_max_intset_entries as u64;
    let mut set = if few { Set::new() } else { Set::empty_table(limits) };
    for _ in 0..count {
        if !set.insert(&input.string()?, limits) {
            return Err(DUPLICATE_MEMBER);
        }
    }
    Ok(set)
}

fn set_of_intset(bytes: &[u8], limits: &Limits) -> Result<Set, Fault> {
    Ok(Set::from_intset(Intset::from_bytes(bytes).map_err(|_| BAD_INTSET)?, limits))
}

/// Read into the large form and compacted at the end: the order of the elements is not trusted.
fn decode_zset(input: &mut Reader<'_>, scores_are_text: bool, limits: &Limits) -> Result<Zset, Fault> {
    let mut zset = Zset::empty_tree(limits);
    for _ in 0..input.length()? {
        let member = input.string()?;
        let score = if scores_are_text { input.text_double()? } else { input.double()? };
        if score.is_nan() {
            return Err(Fault::Corrupt("Zset with NAN score detected"));
        }
        if zset.insert(&member, score, limits) != Change::Added {
            return Err(Fault::Corrupt("Duplicate zset fields detected"));
        }
    }
    zset.compact(limits);
    Ok(zset)
}

/// The layout of fields' deadlines.
#[derive(Clone, Copy)]
enum Deadlines {
    None,
    /// In front of the field, a length; 0 is none.
    Absolute,
    /// In front of the field, relative to the least deadline of the hash, plus one; 0 is none.
    Above(u64),
    /// Behind the value, milliseconds; -1 is none.
    Behind,
}

impl Deadlines {
    fn in_front(self, input: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
        let base = match self {
            Deadlines::None | Deadlines::Behind => return Ok(None),
            Deadlines::Absolute => Some(0),
            Deadlines::Above(least) => least.checked_sub(1),
        };
        match (input.length()?, base) {
            (0, _) => Ok(None),
            (more, Some(base)) => checked_deadline(base.checked_add(more)).map(Some),
            (more, None) => checked_deadline(Some(more - 1)).map(Some),
        }
    }

    fn behind(self, input: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
        match self {
            Deadlines::Behind => match input.ms()? {
                -1 => Ok(None),
                ms => checked_deadline(u64::try_from(ms).ok()).map(Some),
            },
            _ => Ok(None),
        }
    }
}

fn checked_deadline(ms: Option<u64>) -> Result<u64, Fault> {
    ms.filter(|ms| *ms <= MAX_FIELD_DEADLINE).ok_or(BAD_DEADLINE)
}

fn decode_hash(input: &mut Reader<'_>, deadlines: Deadlines, limits: &Limits) -> Result<Hash, Fault> {
    let count = input.length()?;
    let few = count <= limits.hash_max_listpack_entries as u64;
    let mut hash = if few { Hash::new() } else { Hash::empty_table(limits) };
    if few && !matches!(deadlines, Deadlines::None) {
        hash.allow_deadlines();
    }
    for _ in 0..count {
        let in_front = deadlines.in_front(input)?;
        let (field, value) = (input.string()?, input.string()?);
        let deadline = deadlines.behind(input)?.or(in_front);
        if !hash.load(&field, &value, deadline, limits) {
            return Err(DUPLICATE_FIELD);
        }
    }
    Ok(hash)
}

fn hash_of_zipmap(bytes: &[u8], limits: &Limits) -> Result<Hash, Fault> {
    let mut hash = Hash::new();
    zipmap_pairs(bytes, |field, value| hash.load(field, value, None, limits))?;
    Ok(hash)
}

fn hash_of_triples(input: &mut Reader<'_>, limits: &Limits) -> Result<Hash, Fault> {
    let listpack = listpack(input, BAD_TRIPLES)?;
    let too_late = |entry| matches!(entry, Entry::Int(ms) if ms > MAX_FIELD_DEADLINE as i64);
    if listpack.iter().skip(2).step_by(3).any(too_late) {
        return Err(BAD_TRIPLES);
    }
    Hash::from_listpack_ex(listpack, limits).map_err(|_| BAD_TRIPLES)
}
