//! The commands, a folder for each family: handlers, the rows of the command table (`specs`), tests.

mod acl;
#[cfg(test)]
mod clock_tests;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hash;
mod list;
#[cfg(test)]
mod log_dependence_tests;
mod persistence;
#[cfg(test)]
mod propagation_tests;
mod pubsub;
mod replication;
mod scripting;
mod sentinel;
mod server;
mod set;
mod stream;
mod string;
mod support;
mod transactions;
mod vector_set;
mod zset;
#[cfg(test)]
pub use support::testing;

pub use sentinel::families as sentinel_families;
pub use server::info::info_text;

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::describe::describe;
use crate::engine::command::spec::CommandSpec;

/// The line of CLIENT LIST about a client, for the log; empty if it has gone.
pub fn describe_client(engine: &Engine, client: ClientId) -> String {
    let mut line = String::new();
    if let Some(session) = engine.clients.sessions.get(client) {
        describe(&engine.commands, engine.now(), session, None, &mut line);
    }
    line
}

/// The specs of all families, for the command table.
pub const FAMILIES: &[&[CommandSpec]] = &[
    connection::specs::COMMANDS,
    server::specs::COMMANDS,
    list::specs::COMMANDS,
    string::specs::COMMANDS,
    generic::specs::COMMANDS,
    pubsub::COMMANDS,
    transactions::COMMANDS,
    zset::specs::COMMANDS,
    stream::specs::COMMANDS,
    geo::specs::COMMANDS,
    set::specs::COMMANDS,
    hash::specs::COMMANDS,
    persistence::specs::COMMANDS,
    replication::specs::COMMANDS,
    acl::specs::COMMANDS,
    scripting::specs::COMMANDS,
    cluster::specs::COMMANDS,
    vector_set::specs::COMMANDS,
];
