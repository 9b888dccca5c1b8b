//! Specs of the connection commands, for the command table.

use super::client;
use crate::engine::command::spec::{CommandSpec, Group, flag};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::client("AUTH", super::auth)
        .arity(-2)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::NO_AUTH | flag::ALLOW_BUSY)
        .docs(
            Group::Connection,
            "1.0.0",
            "O(N), N being the number of passwords the user has",
            "Proves who the client is.",
        )
        .syntax("[username:string~6.0.0] password:string")
        .history(&[("6.0.0", "A user name may be given.")]),
    CommandSpec::client("HELLO", super::hello)
        .arity(-1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::NO_AUTH | flag::ALLOW_BUSY)
        .docs(
            Group::Connection,
            "6.0.0",
            "O(1)",
            "Greets the server, and can choose the protocol, log in and name the connection.",
        )
        .syntax(
            "[(arguments: protover:integer [AUTH=(auth: username:string password:string)] \
            [SETNAME=clientname:string])]",
        )
        .history(&[
            ("6.2.0", "Without a protocol version the command only describes the connection."),
            ("8.1.0", "availability_zone came into the reply, if one is configured."),
        ]),
    CommandSpec::client("PING", super::ping)
        .arity(-1)
        .batch_timed()
        .fast()
        .with(flag::WHEN_SUBSCRIBED)
        .docs(Group::Connection, "1.0.0", "O(1)", "Answers PONG, or what it was given.")
        .syntax("[message:string]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    CommandSpec::client("ECHO", super::echo)
        .arity(2)
        .batch_timed()
        .loading()
        .stale()
        .fast()
        .docs(Group::Connection, "1.0.0", "O(1)", "Answers what it was given.")
        .syntax("message:string"),
    CommandSpec::client("SELECT", super::select)
        .arity(2)
        .loading()
        .stale()
        .fast()
        .docs(Group::Connection, "1.0.0", "O(1)", "Chooses the database.")
        .syntax("index:integer"),
    CommandSpec::client("QUIT", super::quit)
        .arity(-1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::ALLOW_BUSY | flag::NO_AUTH | flag::UNQUEUED | flag::WHEN_SUBSCRIBED)
        .docs(Group::Connection, "1.0.0", "O(1)", "Says good-bye; the server closes the connection.")
        .deprecated("7.2.0", "closing the connection"),
    CommandSpec::client("RESET", super::reset)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::NO_AUTH | flag::ALLOW_BUSY | flag::UNQUEUED | flag::WHEN_SUBSCRIBED)
        .docs(Group::Connection, "6.2.0", "O(1)", "Puts the connection into the state it was born in."),
    CLIENT,
];

pub const CLIENT: CommandSpec = CommandSpec::container("CLIENT", client::specs::CLIENT).docs(
    Group::Connection,
    "2.4.0",
    "Depends on the subcommand",
    "Looks after connections.",
);
