//! RDB value encoder (`rdbSaveObject`): writes values in the kinds of Redis 8.0.
//!
//! Intsets and listpacks are copied, also the compressed nodes of a list; tables are written element by element.

use super::stream::encode_stream;
use super::{Writer, container, kind};
use crate::structures::quicklist::Node;
use crate::structures::table::EntryValue;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Value, embedded};

/// The kind in which a value is written now.
pub fn kind_of(value: &EntryValue<'_, Value>) -> u8 {
    let value = match value {
        EntryValue::Int(_) | EntryValue::Bytes(_) => return kind::STRING,
        EntryValue::Embedded(tag, _) => return kind_of_embedded(*tag),
        EntryValue::Object(value) => value,
    };
    match value {
        Value::List(_) => kind::LIST_QUICKLIST_2,
        Value::Set(Set::Intset(_)) => kind::SET_INTSET,
        Value::Set(Set::Listpack(_)) => kind::SET_LISTPACK,
        Value::Set(Set::Table(_)) => kind::SET,
        Value::Zset(Zset::Listpack(_)) => kind::ZSET_LISTPACK,
        Value::Zset(Zset::Tree(_)) => kind::ZSET_2,
        Value::Hash(Hash::Listpack(_)) => kind::HASH_LISTPACK,
        Value::Hash(Hash::ListpackEx(_)) => kind::HASH_LISTPACK_EX,
        Value::Hash(hash) if hash.has_deadlines() => kind::HASH_METADATA,
        Value::Hash(_) => kind::HASH,
        Value::Stream(_) => kind::STREAM_3,
    }
}

fn kind_of_embedded(tag: u8) -> u8 {
    match tag {
        embedded::LIST => kind::LIST_QUICKLIST_2,
        embedded::SET_INTS => kind::SET_INTSET,
        embedded::SET => kind::SET_LISTPACK,
        embedded::HASH => kind::HASH_LISTPACK,
        _ => kind::ZSET_LISTPACK,
    }
}

/// Writes a value in the layout of its kind, without the kind.
pub fn encode(value: EntryValue<'_, Value>, out: &mut Writer<'_>) {
    match value {
        EntryValue::Int(number) => out.integer(number),
        EntryValue::Bytes(bytes) => out.string(bytes),
        EntryValue::Embedded(tag, bytes) => encode(EntryValue::Object(&embedded::decode(tag, bytes)), out),
        EntryValue::Object(Value::List(list)) => encode_list(list, out),
        EntryValue::Object(Value::Set(set)) => encode_set(set, out),
        EntryValue::Object(Value::Zset(zset)) => encode_zset(zset, out),
        EntryValue::Object(Value::Hash(hash)) => encode_hash(hash, out),
        EntryValue::Object(Value::Stream(stream)) => encode_stream(stream, out),
    }
}

fn encode_only_node(listpack: &[u8], out: &mut Writer<'_>) {
    out.length(1);
    out.length(container::PACKED);
    out.string(listpack);
}

fn encode_list(list: &List, out: &mut Writer<'_>) {
    let nodes = match list {
        List::Listpack(listpack) => return encode_only_node(listpack.as_bytes(), out),
        List::Quicklist(nodes) => nodes.nodes(),
    };
    out.length(nodes.len() as u64);
    for node in nodes {
        match node {
            Node::Plain(item) => {
                out.length(container::PLAIN);
                out.string(item);
            }
            Node::Listpack { listpack, .. } => {
                out.length(container::PACKED);
                out.string(listpack.as_bytes());
            }
            Node::Lzf { data, .. } => {
                out.length(container::PACKED);
                out.compressed(&data.bytes, data.raw_len);
            }
        }
    }
}

fn encode_set(set: &Set, out: &mut Writer<'_>) {
    match set {
        Set::Intset(ints) => out.string(ints.as_bytes()),
        Set::Listpack(listpack) => out.string(listpack.as_bytes()),
        Set::Table(table) => {
            out.length(table.len() as u64);
            table.iter().for_each(|member| out.string(member.key));
        }
    }
}

/// The highest score first, as in Redis, where a reader then always inserts at the head of the skiplist.
fn encode_zset(zset: &Zset, out: &mut Writer<'_>) {
    if let Some(listpack) = zset.as_listpack() {
        return out.string(listpack.as_bytes());
    }
    out.length(zset.len() as u64);
    for (member, score) in zset.descending(0..zset.len()) {
        out.entry(member);
        out.double(score);
    }
}

fn encode_hash(hash: &Hash, out: &mut Writer<'_>) {
    let least = hash.next_deadline();
    match hash {
        Hash::Listpack(listpack) => return out.string(listpack.as_bytes()),
        Hash::ListpackEx(listpack) => {
            out.ms(least.unwrap_or(0) as i64);
            return out.string(listpack.as_bytes());
        }
        Hash::Table(_) => {}
    }
    let least = least.filter(|_| hash.has_deadlines());
    if let Some(least) = least {
        out.ms(least as i64);
    }
    out.length(hash.len() as u64);
    for field in hash.iter() {
        if let Some(least) = least {
            out.length(field.deadline.map_or(0, |deadline| deadline.saturating_sub(least).saturating_add(1)));
        }
        out.entry(field.name);
        out.entry(field.value);
    }
}
