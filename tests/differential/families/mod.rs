//! The grammar tables, a family each: every command with every option of Redis 8.6.

mod hashes;
mod keys;
mod lists;
mod scripts;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod vector_sets;

/// A family of commands.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    /// The letter that its keys begin with.
    pub letter: char,
    /// Lines that make something to work on.
    pub fill: &'static [&'static str],
    pub rules: &'static [&'static str],
}

pub const FAMILIES: &[Family] = &[
    strings::STRINGS,
    strings::BITMAPS,
    keys::KEYS,
    keys::SORTING,
    lists::LISTS,
    sets::SETS,
    hashes::HASHES,
    sorted_sets::SORTED_SETS,
    sorted_sets::GEO,
    streams::STREAMS,
    vector_sets::VECTOR_SETS,
    strings::HYPERLOGLOGS,
    server::TRANSACTIONS,
    server::SERVER,
    server::PUBSUB,
    scripts::SCRIPTS,
];

/// The family of this name.
pub fn family(name: &str) -> &'static Family {
    FAMILIES.iter().find(|family| family.name == name).expect("a family")
}
