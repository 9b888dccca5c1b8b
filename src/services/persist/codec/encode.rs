//! RDB value encoder (`rdbSaveObject`): writes whole values in the kinds that a format has.
//!
//! Intsets and listpacks are copied, those embedded in entries and the compressed nodes of a list, too; tables are
//! written element by element.

use super::elements::FieldLayout;
use super::stream::encode_stream;
use super::vector_set::encode_vector_set;
use super::{RdbFormat, Writer, kind};
use crate::structures::listpack::{Entry, Listpack};
use crate::structures::table::EntryValue;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Value, embedded};

/// The kind in which a value is written in a format. One without deadlines of fields must not be chosen where there are some: they
/// would be lost.
#[inline]
pub fn kind_of(value: &EntryValue<'_, Value>, format: RdbFormat) -> u8 {
    match value {
        EntryValue::Int(_) | EntryValue::Bytes(_) => kind::STRING,
        EntryValue::Embedded(tag, _) => kind_of_embedded(*tag, format),
        EntryValue::Object(value) => kind_of_object(value, format),
    }
}

fn kind_of_object(value: &Value, format: RdbFormat) -> u8 {
    match value {
        Value::List(_) => kind::LIST_QUICKLIST_2,
        Value::Set(Set::Intset(_)) => kind::SET_INTSET,
        Value::Set(Set::Listpack(_)) if format.has_set_listpacks() => kind::SET_LISTPACK,
        Value::Set(_) => kind::SET,
        Value::Zset(Zset::Listpack(_)) => kind::ZSET_LISTPACK,
        Value::Zset(Zset::Tree(_)) => kind::ZSET_2,
        Value::Hash(Hash::Listpack(_)) => kind::HASH_LISTPACK,
        Value::Hash(Hash::ListpackEx(_)) if format.has_redis_deadlines() => kind::HASH_LISTPACK_EX,
        Value::Hash(hash) => FieldLayout::of(hash, format).kind(),
        Value::Stream(stream) => stream_kind(stream.has_idempotency(), format),
        Value::VectorSet(_) => kind::MODULE_2,
    }
}

/// The kind of a stream. Where the format has no place for what it remembers of requests, that is left out.
pub fn stream_kind(has_idempotency: bool, format: RdbFormat) -> u8 {
    if has_idempotency && format.has_idempotency() {
        kind::STREAM_4
    } else if format.has_active_times() {
        kind::STREAM_3
    } else {
        kind::STREAM_2
    }
}

fn kind_of_embedded(tag: u8, format: RdbFormat) -> u8 {
    match tag {
        embedded::LIST => kind::LIST_QUICKLIST_2,
        embedded::SET_INTS => kind::SET_INTSET,
        embedded::SET if format.has_set_listpacks() => kind::SET_LISTPACK,
        embedded::SET => kind::SET,
        embedded::HASH => kind::HASH_LISTPACK,
        _ => kind::ZSET_LISTPACK,
    }
}

/// Writes a value in the layout of its kind, without the kind.
#[inline]
pub fn encode(value: EntryValue<'_, Value>, format: RdbFormat, out: &mut Writer<'_>) {
    match value {
        EntryValue::Int(number) => out.integer(number),
        EntryValue::Bytes(bytes) => out.string(bytes),
        EntryValue::Embedded(tag, bytes) => encode_embedded(tag, bytes, format, out),
        EntryValue::Object(value) => encode_object(value, format, out),
    }
}

fn encode_embedded(tag: u8, bytes: &[u8], format: RdbFormat, out: &mut Writer<'_>) {
    if tag == embedded::SET_INTS {
        return out.text(bytes);
    }
    let (count, body) = embedded::parts(bytes);
    match tag {
        embedded::SET if !format.has_set_listpacks() => {
            let listpack = Listpack::from_body(count.into(), body);
            encode_members(listpack.len(), listpack.iter(), out);
        }
        embedded::LIST => {
            out.length(1);
            out.packed_node(|out| out.listpack(count.into(), body));
        }
        _ => out.listpack(count.into(), body),
    }
}

fn encode_object(value: &Value, format: RdbFormat, out: &mut Writer<'_>) {
    match value {
        Value::List(List::Listpack(listpack)) => {
            out.length(1);
            out.packed_node(|out| out.text(listpack.as_bytes()));
        }
        Value::List(List::Quicklist(nodes)) => {
            out.length(nodes.nodes().len() as u64);
            nodes.nodes().for_each(|node| out.list_node(node));
        }
        Value::Set(Set::Intset(ints)) => out.text(ints.as_bytes()),
        Value::Set(Set::Listpack(listpack)) if format.has_set_listpacks() => out.text(listpack.as_bytes()),
        Value::Set(set) => encode_members(set.len(), set.iter(), out),
        Value::Zset(zset) => encode_zset(zset, out),
        Value::Hash(hash) => encode_hash(hash, format, out),
        Value::Stream(stream) => encode_stream(stream, format, out),
        Value::VectorSet(set) => encode_vector_set(set, out),
    }
}

fn encode_members<'a>(count: usize, members: impl Iterator<Item = Entry<'a>>, out: &mut Writer<'_>) {
    out.length(count as u64);
    members.for_each(|member| out.entry(member));
}

/// The highest score first, as in Redis, where a reader then always inserts at the head of the skiplist.
fn encode_zset(zset: &Zset, out: &mut Writer<'_>) {
    if let Some(listpack) = zset.as_listpack() {
        return out.text(listpack.as_bytes());
    }
    out.length(zset.len() as u64);
    for (member, score) in zset.descending(0..zset.len()) {
        out.scored(member, score);
    }
}

fn encode_hash(hash: &Hash, format: RdbFormat, out: &mut Writer<'_>) {
    match hash {
        Hash::Listpack(listpack) => return out.text(listpack.as_bytes()),
        Hash::ListpackEx(listpack) if format.has_redis_deadlines() => {
            out.ms(hash.next_deadline().unwrap_or(0) as i64);
            return out.text(listpack.as_bytes());
        }
        Hash::ListpackEx(_) | Hash::Table(_) => {}
    }
    let layout = FieldLayout::of(hash, format);
    out.open_fields(layout, hash.len() as u64);
    for field in hash.iter() {
        out.field(layout, field.name, field.value, field.deadline);
    }
}
