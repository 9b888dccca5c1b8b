//! RDB collections in compact form: one string that is a listpack, an intset or one of their predecessors.

use super::legacy::{Ziplist, zipmap_pairs};
use super::{Fault, MAX_FIELD_DEADLINE, Reader, VALKEY_VERSION, kind};
use crate::structures::intset::Intset;
use crate::structures::listpack::{DecimalBuffer, Entry, Listpack, MAX_SAFE_BYTES};
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Limits, Value};
use std::borrow::Cow;

const BAD_INTSET: Fault = Fault::Corrupt("Intset integrity check failed");
const BAD_TRIPLES: Fault = Fault::Corrupt("Hash listpack with deadlines: integrity check failed");
const TOO_LARGE: Fault = Fault::Corrupt("Too large: integrity check failed");

/// A collection that is one string.
pub(super) fn compact(
    kind: u8,
    version: u16,
    input: &mut Reader<'_>,
    limits: &Limits,
) -> Result<Value, Fault> {
    Ok(match kind {
        _ if kind > kind::HASH_22 && version >= VALKEY_VERSION => return Err(Fault::Unknown(kind)),
        kind::LIST_ZIPLIST => Value::List(list_of_ziplist(&encoded(input)?, limits)?),
        kind::SET_INTSET => Value::Set(set_of_intset(&encoded(input)?, limits)?),
        kind::SET_LISTPACK => {
            const BAD: Fault = Fault::Corrupt("Set listpack integrity check failed");
            Value::Set(Set::from_listpack(listpack(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::ZSET_ZIPLIST => {
            const BAD: Fault = Fault::Corrupt("Zset ziplist integrity check failed");
            Value::Zset(Zset::from_listpack(ziplist(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::ZSET_LISTPACK => {
            const BAD: Fault = Fault::Corrupt("Zset listpack integrity check failed");
            Value::Zset(Zset::from_listpack(listpack(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::HASH_ZIPMAP => Value::Hash(hash_of_zipmap(&encoded(input)?, limits)?),
        kind::HASH_ZIPLIST => {
            const BAD: Fault = Fault::Corrupt("Hash ziplist integrity check failed");
            Value::Hash(Hash::from_listpack(ziplist(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::HASH_LISTPACK => {
            const BAD: Fault = Fault::Corrupt("Hash listpack integrity check failed");
            Value::Hash(Hash::from_listpack(listpack(input, BAD)?, limits).map_err(|_| BAD)?)
        }
        kind::HASH_LISTPACK_EX_EARLY => Value::Hash(hash_of_triples(input, limits)?),
        kind::HASH_LISTPACK_EX => {
            // The least deadline stands in the listpack, too.
            input.ms()?;
            Value::Hash(hash_of_triples(input, limits)?)
        }
        other => return Err(Fault::Unknown(other)),
    })
}

/// The bytes of a compact form; an error if it is longer than it may be.
fn encoded<'a>(input: &mut Reader<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    input.string().and_then(|bytes| if bytes.len() > MAX_SAFE_BYTES { Err(TOO_LARGE) } else { Ok(bytes) })
}

pub(super) fn listpack(input: &mut Reader<'_>, bad: Fault) -> Result<Listpack, Fault> {
    Listpack::from_bytes(&encoded(input)?).map_err(|_| bad)
}

pub(super) fn ziplist(input: &mut Reader<'_>, bad: Fault) -> Result<Listpack, Fault> {
    let bytes = encoded(input)?;
    Ziplist::new(&bytes).and_then(Ziplist::into_listpack).map_err(|_| bad)
}

fn list_of_ziplist(bytes: &[u8], limits: &Limits) -> Result<List, Fault> {
    let (mut list, mut buffer) = (List::new(), DecimalBuffer::new());
    let mut entries = Ziplist::new(bytes)?;
    while let Some(entry) = entries.next()? {
        list.push(End::Back, entry.bytes(&mut buffer), limits);
    }
    Ok(list)
}

fn set_of_intset(bytes: &[u8], limits: &Limits) -> Result<Set, Fault> {
    Ok(Set::from_intset(Intset::from_bytes(bytes).map_err(|_| BAD_INTSET)?, limits))
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
