//! Persistence: the rows of the command table.

use crate::engine::command::spec::{CommandSpec, Group, category, flag};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::control("SAVE", super::save)
        .arity(1)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING | flag::NO_MULTI)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N), N being the number of keys in all databases",
            "Writes a snapshot to disk while everything else waits.",
        ),
    CommandSpec::control("BGSAVE", super::bgsave)
        .arity(-1)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING)
        .docs(Group::Server, "1.0.0", "O(1)", "Begins to write a snapshot to disk in the background.")
        .syntax("[<operation: SCHEDULE~3.2.2|CANCEL~8.1.0>]")
        .history(&[("3.2.2", "SCHEDULE came in."), ("8.1.0", "CANCEL came in.")]),
    CommandSpec::control("BGREWRITEAOF", super::bgrewriteaof)
        .arity(1)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING)
        .docs(Group::Server, "1.0.0", "O(1)", "Begins to rewrite the append-only file in the background."),
    CommandSpec::control("LASTSAVE", super::lastsave)
        .arity(1)
        .loading()
        .stale()
        .fast()
        .category(category::ADMIN | category::DANGEROUS)
        .docs(Group::Server, "1.0.0", "O(1)", "Tells when the last snapshot was written, in Unix seconds.")
        .tips(&["nondeterministic_output"]),
    CommandSpec::control("WAIT", super::wait)
        .arity(3)
        .blocking()
        .categories_are(category::CONNECTION)
        .docs(Group::Generic, "3.0.0", "O(1)", "Waits until replicas have what the client wrote.")
        .syntax("numreplicas:integer timeout:integer")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
    CommandSpec::control("WAITAOF", super::waitaof)
        .arity(4)
        .blocking()
        .categories_are(category::CONNECTION)
        .docs(
            Group::Generic,
            "7.2.0",
            "O(1)",
            "Waits until what the client wrote is durable in the append-only file here and in those of replicas.",
        )
        .syntax("numlocal:integer numreplicas:integer timeout:integer")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
];
