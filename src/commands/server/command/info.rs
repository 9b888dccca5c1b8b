//! COMMAND INFO: a command's spec, in the form from which clients route requests.

use crate::engine::command::keys;
use crate::engine::command::spec::{Begin, Find, KeySpec, category, flag, key};
use crate::engine::command::table::{Command, CommandTable};
use crate::resp::Reply;

/// Writes the ten elements of a command; the last has its subcommands.
pub fn write(registry: &CommandTable, command: &Command, reply: &mut Reply) {
    let spec = command.spec;
    let range = keys::legacy_range(spec.keys);
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    flags(command.flags, reply);
    reply.integer(i64::from(range.first));
    reply.integer(i64::from(range.last));
    reply.integer(i64::from(range.step));
    categories(spec.categories(), reply);
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.keys.len());
    for keys in spec.keys {
        key_spec(keys, reply);
    }
    if command.subcommands.is_empty() {
        return reply.set(0);
    }
    reply.array(command.subcommands.len());
    for id in &command.subcommands {
        write(registry, registry.get(*id), reply);
    }
}

/// Writes the set of the names that have their bit in `bits`; `all` has the bits of all names.
fn names(bits: u64, all: u64, names: &[(u64, &str)], prefix: &str, reply: &mut Reply) {
    reply.set((bits & all).count_ones() as usize);
    for (_, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
        reply.simple_parts(prefix, name);
    }
}

/// All bits that have a name.
const fn named(names: &[(u64, &str)]) -> u64 {
    let (mut all, mut at) = (0, 0);
    while at < names.len() {
        all |= names[at].0;
        at += 1;
    }
    all
}

fn flags(bits: u64, reply: &mut Reply) {
    const ALL: u64 = named(flag::NAMES);
    names(bits, ALL, flag::NAMES, "", reply);
}

fn categories(bits: u64, reply: &mut Reply) {
    const ALL: u64 = named(category::NAMES);
    names(bits, ALL, category::NAMES, "@", reply);
}

/// Writes the flags of a key or of a key specification.
pub fn key_flags(bits: u32, reply: &mut Reply) {
    let wanted = || key::NAMES.iter().filter(|(bit, _)| bits & bit != 0);
    reply.set(wanted().count());
    for (_, name) in wanted() {
        reply.simple(name);
    }
}

fn key_spec(spec: &KeySpec, reply: &mut Reply) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        text("notes", spec.notes, reply);
    }
    reply.bulk(b"flags");
    key_flags(spec.flags, reply);
    reply.bulk(b"begin_search");
    match spec.begin {
        Begin::Index(index) => {
            step("index", 1, reply);
            number("index", index, reply);
        }
        Begin::Keyword(word, from) => {
            step("keyword", 2, reply);
            text("keyword", word, reply);
            number("startfrom", from, reply);
        }
        Begin::Unknown => step("unknown", 0, reply),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step: keystep, limit } => {
            step("range", 3, reply);
            number("lastkey", last, reply);
            number("keystep", keystep, reply);
            number("limit", limit, reply);
        }
        Find::KeyNum { number: index, first, step: keystep } => {
            step("keynum", 3, reply);
            number("keynumidx", index, reply);
            number("firstkey", first, reply);
            number("keystep", keystep, reply);
        }
        Find::Unknown => step("unknown", 0, reply),
    }
}

/// Begins one of the two steps of a key specification; `fields` pairs follow.
fn step(kind: &str, fields: usize, reply: &mut Reply) {
    reply.map(2);
    text("type", kind, reply);
    reply.bulk(b"spec");
    reply.map(fields);
}

fn text(name: &str, value: &str, reply: &mut Reply) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn number(name: &str, value: i32, reply: &mut Reply) {
    reply.bulk(name.as_bytes());
    reply.integer(i64::from(value));
}
