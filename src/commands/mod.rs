//! The commands, one file a family; each declares its rows beside its handlers.

mod bitfield;
mod bitmap;
mod command;
mod config;
mod connection;
mod counters;
mod databases;
mod debug;
mod expire;
mod info;
mod keys;
mod lcs;
mod list_moves;
mod lists;
mod object;
mod parse;
mod scan;
mod server;
mod set_options;
mod strings;
mod strings_range;
#[cfg(test)]
pub mod testing;

use crate::engine::spec::CommandSpec;

/// All families, for the registry.
#[rustfmt::skip] // one a line, so that families come and go without a quarrel
pub const FAMILIES: &[&[CommandSpec]] = &[
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    list_moves::COMMANDS,
    lists::COMMANDS,
    debug::COMMANDS,
    info::COMMANDS,
    server::COMMANDS,
    strings::COMMANDS,
    strings_range::COMMANDS,
    counters::COMMANDS,
    lcs::COMMANDS,
    keys::COMMANDS,
    expire::COMMANDS,
    scan::COMMANDS,
    object::COMMANDS,
    databases::COMMANDS,
    bitmap::COMMANDS,
    bitfield::COMMANDS,
];
