//! Specs of the subcommands of CLIENT, for the command table.

use super::tracking::{client_caching, client_getredir, client_tracking, client_trackinginfo};
use super::{
    client_capa, client_getname, client_help, client_id, client_import_source, client_info, client_kill,
    client_list, client_no_evict, client_no_touch, client_pause, client_reply, client_setinfo,
    client_setname, client_unblock, client_unpause,
};
use crate::engine::command::spec::{CommandSpec, Group, flag};

pub const CLIENT: &[CommandSpec] = &[
    CommandSpec::client("CACHING", client_caching)
 .arity(3).noscript().loading().stale()
 .docs(Group::Connection, "6.0.0", "O(1)", "Tells whether the keys of the next command are tracked.")
.syntax("<mode: YES|NO>"),
    CommandSpec::client("CAPA", client_capa)
        .arity(-3)
        .noscript()
        .loading()
        .stale()
        .with(flag::ALLOW_BUSY)
        .docs(Group::Connection, "8.0.0", "O(1)", "Tells the server what the client is able to deal with.")
        .syntax("capability:string..."),
    CommandSpec::client("GETNAME", client_getname).arity(2).noscript().loading().stale().docs(
        Group::Connection,
        "2.6.9",
        "O(1)",
        "Tells the name of the connection.",
    ),
    CommandSpec::client("GETREDIR", client_getredir)
 .arity(2).noscript().loading().stale()
 .docs(Group::Connection, "6.0.0", "O(1)", "Tells which connection gets the invalidations of this one."),
    CommandSpec::client("HELP", client_help).arity(2).loading().stale().docs(
        Group::Connection,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("ID", client_id).arity(2).noscript().loading().stale().docs(
        Group::Connection,
        "5.0.0",
        "O(1)",
        "Tells the number of the connection.",
    ),
    CommandSpec::client("IMPORT-SOURCE", client_import_source)
        .arity(3)
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Connection,
            "8.1.0",
            "O(1)",
            "Marks the connection as one that imports data, for which expired keys are left \
            alone.",
        )
        .syntax("<enabled: ON|OFF>"),
    CommandSpec::client("INFO", client_info)
        .arity(2)
        .noscript()
        .loading()
        .stale()
        .docs(Group::Connection, "6.2.0", "O(1)", "Describes this connection.")
        .tips(&["nondeterministic_output"]),
    CommandSpec::client("KILL", client_kill)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Connection, "2.4.0", "O(N), N being the number of connections", "Closes connections.")
        .syntax(
            "<filter: old-format{ip:port}:string^2.8.12|<new-format: \
            [ID=client-id:integer...~2.8.12]|[TYPE=<client-type: NORMAL|MASTER~3.2.0|\
            PRIMARY~8.0.0|SLAVE|REPLICA~5.0.0|PUBSUB>~2.8.12]|[USER=username:string]|\
            [ADDR=addr{ip:port}:string]|[LADDR=laddr{ip:port}:string~6.2.0]|\
            [SKIPME=<skipme: YES|NO>]|[MAXAGE=maxage:integer~8.0.0]|\
            [NAME=name:string~9.0.0]|[IDLE=idle:integer~9.0.0]|[FLAGS=flags:string~9.0.0]|\
            [LIB-NAME=lib-name:string~9.0.0]|[LIB-VER=lib-ver:string~9.0.0]|\
            [DB=db:integer~9.0.0]|[CAPA=capa:string~9.0.0]|[IP=ip:string~9.0.0]|\
            [NOT-TYPE=<not-client-type: NORMAL|MASTER|PRIMARY|SLAVE|REPLICA|PUBSUB>~9.0.0]|\
            [NOT-ID=not-client-id:integer...~9.0.0]|[NOT-USER=not-username:string~9.0.0]|\
            [NOT-ADDR=not-addr{ip:port}:string~9.0.0]|\
            [NOT-LADDR=not-laddr{ip:port}:string~9.0.0]|[NOT-NAME=not-name:string~9.0.0]|\
            [NOT-FLAGS=not-flags:string~9.0.0]|[NOT-LIB-NAME=not-lib-name:string~9.0.0]|\
            [NOT-LIB-VER=not-lib-ver:string~9.0.0]|[NOT-DB=not-db:integer~9.0.0]|\
            [NOT-CAPA=not-capa:string~9.0.0]|[NOT-IP=not-ip:string~9.0.0]>...>",
        )
        .history(&[
            ("2.8.12", "Filters came in, and ID among them."),
            ("3.2.0", "TYPE knows master."),
            ("5.0.0", "TYPE calls slaves replicas and still understands the old word."),
            ("6.2.0", "LADDR came in."),
            ("7.4.0", "MAXAGE came in."),
            ("8.0.0", "TYPE calls the master primary and still understands the old word."),
            ("8.1.0", "ID takes several numbers."),
            (
                "9.0.0",
                "NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA and IP came in, and filters that \
            negate.",
            ),
        ]),
    CommandSpec::client("LIST", client_list)
        .arity(-2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Connection,
            "2.4.0",
            "O(N), N being the number of connections",
            "Describes the connections.",
        )
        .syntax(
            "[TYPE=<client-type: NORMAL|MASTER|REPLICA|PUBSUB>~5.0.0] \
            [ID=client-id:integer...~6.2.0] [USER=username:string~8.1.0] \
            [ADDR=addr{ip:port}:string~8.1.0] [LADDR=laddr{ip:port}:string~8.1.0] \
            [SKIPME=<skipme: YES|NO>~8.1.0] [MAXAGE=maxage:integer~8.1.0] \
            [NAME=name:string~9.0.0] [IDLE=idle:integer~9.0.0] [FLAGS=flags:string~9.0.0] \
            [LIB-NAME=lib-name:string~9.0.0] [LIB-VER=lib-ver:string~9.0.0] \
            [DB=db:integer~9.0.0] [CAPA=capa:string~9.0.0] [IP=ip:string~9.0.0] \
            [NOT-TYPE=<not-client-type: NORMAL|MASTER|REPLICA|PUBSUB>~9.0.0] \
            [NOT-ID=not-client-id:integer...~9.0.0] [NOT-USER=not-username:string~9.0.0] \
            [NOT-ADDR=not-addr{ip:port}:string~9.0.0] \
            [NOT-LADDR=not-laddr{ip:port}:string~9.0.0] [NOT-NAME=not-name:string~9.0.0] \
            [NOT-FLAGS=not-flags:string~9.0.0] [NOT-LIB-NAME=not-lib-name:string~9.0.0] \
            [NOT-LIB-VER=not-lib-ver:string~9.0.0] [NOT-DB=not-db:integer~9.0.0] \
            [NOT-CAPA=not-capa:string~9.0.0] [NOT-IP=not-ip:string~9.0.0]",
        )
        .history(&[
            ("2.8.12", "id came in."),
            ("5.0.0", "TYPE came in."),
            ("6.0.0", "user came in."),
            ("6.2.0", "argv-mem, tot-mem, laddr, redir and the filter ID came in."),
            ("7.0.0", "resp, multi-mem, rbs and rbp came in."),
            ("7.0.3", "ssub came in."),
            ("7.2.0", "lib-name and lib-ver came in."),
            ("7.4.0", "watch came in."),
            ("8.0.0", "io-thread came in."),
            ("8.1.0", "USER, ADDR, LADDR, SKIPME and MAXAGE came in."),
            (
                "9.0.0",
                "NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA and IP came in, and filters that \
            negate.",
            ),
        ])
        .tips(&["nondeterministic_output"]),
    CommandSpec::client("NO-EVICT", client_no_evict)
        .arity(3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Connection,
            "7.0.0",
            "O(1)",
            "Protects the connection from being closed when clients take too much memory.",
        )
        .syntax("<enabled: ON|OFF>"),
    CommandSpec::client("NO-TOUCH", client_no_touch)
        .arity(3)
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Connection,
            "7.2.0",
            "O(1)",
            "Keeps the connection's commands from refreshing the access time of keys.",
        )
        .syntax("<enabled: ON|OFF>"),
    CommandSpec::client("PAUSE", client_pause)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Connection, "3.0.0", "O(1)", "Holds back the commands of all clients for a while.")
        .syntax("timeout:integer [<mode: WRITE|ALL>~6.2.0]")
        .history(&[("6.2.0", "WRITE and ALL came in.")]),
    CommandSpec::client("REPLY", client_reply)
        .arity(3)
        .noscript()
        .loading()
        .stale()
        .docs(Group::Connection, "3.2.0", "O(1)", "Switches replies to this connection off and on.")
        .syntax("<action: ON|OFF|SKIP>"),
    CommandSpec::client("SETINFO", client_setinfo)
        .arity(4)
        .noscript()
        .loading()
        .stale()
        .docs(Group::Connection, "7.2.0", "O(1)", "Notes the name or version of the client's library.")
        .syntax("<attr: LIB-NAME=libname:string|LIB-VER=libver:string>")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    CommandSpec::client("SETNAME", client_setname)
        .arity(3)
        .noscript()
        .loading()
        .stale()
        .docs(Group::Connection, "2.6.9", "O(1)", "Names the connection.")
        .syntax("connection-name:string")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    CommandSpec::client("TRACKING", client_tracking)
 .arity(-3).noscript().loading().stale()
 .docs(Group::Connection, "6.0.0", "O(1), and O(N) for N prefixes", "Switches the tracking of keys for client-side caching.")
.syntax("<status: ON|OFF> [REDIRECT=client-id:integer] [PREFIX=prefix:string*...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]"),
    CommandSpec::client("TRACKINGINFO", client_trackinginfo)
 .arity(2).noscript().loading().stale()
 .docs(Group::Connection, "6.2.0", "O(1)", "Describes how the connection tracks keys."),
    CommandSpec::control("UNBLOCK", client_unblock)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Connection,
            "5.0.0",
            "O(log(N)), N being the number of connections",
            "Wakes a client that a blocking command keeps waiting.",
        )
        .syntax("client-id:integer [<unblock-type: TIMEOUT|ERROR>]"),
    CommandSpec::control("UNPAUSE", client_unpause).arity(2).admin().noscript().loading().stale().docs(
        Group::Connection,
        "6.2.0",
        "O(N), N being the number of paused connections",
        "Lets paused clients go on.",
    ),
];
