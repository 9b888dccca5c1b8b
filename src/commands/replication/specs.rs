//! Replication: the rows of the command table.

use crate::engine::command::spec::{CommandSpec, Group, category, flag};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::control("REPLICAOF", super::replicaof::replicaof)
        .arity(3)
        .admin()
        .noscript()
        .stale()
        .with(flag::NO_ASYNC_LOADING)
        .docs(Group::Server, "5.0.0", "O(1)", "Makes the server follow a primary, or become one.")
        .syntax("<args: (host-port: host:string port:integer)|(no-one: NO ONE)>"),
    CommandSpec::control("SLAVEOF", super::replicaof::replicaof)
        .arity(3)
        .admin()
        .noscript()
        .stale()
        .with(flag::NO_ASYNC_LOADING)
        .docs(Group::Server, "1.0.0", "O(1)", "Makes the server follow a primary, or become one.")
        .deprecated("5.0.0", "`REPLICAOF`")
        .syntax("<args: (host-port: host:string port:integer)|(no-one: NO ONE)>"),
    CommandSpec::control("REPLCONF", super::replconf)
        .arity(-1)
        .admin()
        .noscript()
        .loading()
        .stale()
        .with(flag::ALLOW_BUSY)
        .docs(Group::Server, "3.0.0", "O(1)", "What a replica says of itself and of how far it is.")
        .system(),
    CommandSpec::control("PSYNC", super::psync)
        .arity(-3)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING | flag::NO_MULTI)
        .docs(
            Group::Server,
            "2.8.0",
            "",
            "Asks for the stream of changes, and for a snapshot where that is needed.",
        )
        .syntax("replicationid:string offset:integer"),
    CommandSpec::control("SYNC", super::sync)
        .arity(1)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING | flag::NO_MULTI)
        .docs(Group::Server, "1.0.0", "", "Asks for a snapshot and the stream of changes that follows."),
    CommandSpec::control("FAILOVER", super::failover::failover)
        .arity(-1)
        .admin()
        .noscript()
        .stale()
        .docs(Group::Server, "6.2.0", "O(1)", "Has a replica take over the role of this primary.")
        .syntax("[TO=(target: host:string port:integer [FORCE])] [ABORT] [TIMEOUT=milliseconds:integer]"),
    CommandSpec::control("ROLE", super::role)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .category(category::ADMIN | category::DANGEROUS)
        .docs(
            Group::Server,
            "2.8.12",
            "O(1)",
            "Tells whether this is a primary or a replica, and how far it is.",
        ),
];
