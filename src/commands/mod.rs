//! The commands, one file a family; each declares its rows beside its handlers.

mod bitfield;
mod bitmap;
mod blocking;
mod client;
mod command;
mod config;
mod connection;
mod counters;
mod databases;
mod debug;
mod dump;
mod elements;
mod expire;
mod geo;
mod geo_search;
mod hash_expiry;
mod hash_options;
mod hash_walks;
mod hashes;
mod hyperloglog;
mod info;
mod keys;
mod latency;
mod lcs;
mod list_moves;
mod lists;
mod memory;
mod monitor;
mod object;
mod parse;
mod pubsub;
mod scan;
mod server;
mod set_algebra;
mod set_options;
mod sets;
mod slowlog;
mod sort;
mod stream_claims;
mod stream_groups;
mod stream_info;
mod stream_parts;
mod stream_read;
mod streams;
mod strings;
mod strings_range;
#[cfg(test)]
pub mod testing;
mod transactions;
mod zset_algebra;
mod zset_pops;
mod zset_ranges;
mod zset_walks;
mod zsets;

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::command::spec::CommandSpec;

/// A client as CLIENT LIST shows it, for the log.
pub fn describe_client(engine: &Engine, client: ClientId) -> String {
    let mut line = String::new();
    if let Some(session) = engine.clients.sessions.get(client) {
        client::list::describe(engine, session, None, &mut line);
    }
    line
}

/// All families, for the registry.
#[rustfmt::skip] // one a line, so that families come and go without a quarrel
pub const FAMILIES: &[&[CommandSpec]] = &[
    client::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    list_moves::COMMANDS,
    lists::COMMANDS,
    debug::COMMANDS,
    info::COMMANDS,
    latency::COMMANDS,
    memory::COMMANDS,
    server::COMMANDS,
    slowlog::COMMANDS,
    strings::COMMANDS,
    strings_range::COMMANDS,
    counters::COMMANDS,
    lcs::COMMANDS,
    keys::COMMANDS,
    expire::COMMANDS,
    scan::COMMANDS,
    object::COMMANDS,
    databases::COMMANDS,
    dump::COMMANDS,
    bitmap::COMMANDS,
    bitfield::COMMANDS,
    monitor::COMMANDS,
    pubsub::COMMANDS,
    transactions::COMMANDS,
    sort::COMMANDS,
    zsets::COMMANDS,
    zset_ranges::COMMANDS,
    zset_algebra::COMMANDS,
    zset_pops::COMMANDS,
    zset_walks::COMMANDS,
    streams::COMMANDS,
    stream_read::COMMANDS,
    stream_groups::COMMANDS,
    stream_claims::COMMANDS,
    stream_info::COMMANDS,
    hyperloglog::COMMANDS,
    geo::COMMANDS,
    geo_search::COMMANDS,
    sets::COMMANDS,
    set_algebra::COMMANDS,
    hashes::COMMANDS,
    hash_walks::COMMANDS,
    hash_options::COMMANDS,
    hash_expiry::COMMANDS,
];
