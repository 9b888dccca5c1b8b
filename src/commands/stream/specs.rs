//! Specs of the stream commands, for the command table.

use super::{claim, delete, group, idempotency, info, read};
use crate::engine::command::keys as key_finders;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("XADD", super::xadd)
        .arity(-5)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update().notes("Trimming removes entries as well")])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(1) for the entry, O(N) for the N entries that trimming removes",
            "Appends an entry to a stream, creating it where there is none.",
        )
        .syntax(
            "key:key [NOMKSTREAM~6.2.0] [<condition: KEEPREF|DELREF|ACKED>] [<idmp: \
            (idmpauto-with-pid: IDMPAUTO!idmpauto-token pid{producer-id}:string)|(idmp-with-pid-iid: \
            IDMP!idmp-token pid{producer-id}:string iid{idempotent-id}:string)>] [(trim: <strategy: MAXLEN|MINID~6.2.0> [<operator: \
            '='!equal|'~'!approximately>] threshold:string [LIMIT=count:integer~6.2.0])] \
            <id-selector: '*'!auto-id|id:string> (data: field:string value:string)...",
        )
        .history(&[
            ("6.2.0", "NOMKSTREAM, MINID and LIMIT came in."),
            ("7.0.0", "Half an ID, <ms>-*, may be given."),
            ("8.2.0", "KEEPREF, DELREF and ACKED came in."),
            ("8.6.0", "IDMP and IDMPAUTO came in."),
        ])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("XTRIM", super::xtrim)
        .arity(-4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N), N being the number of entries removed; whole nodes go at once",
            "Removes the oldest entries of a stream.",
        )
        .syntax(
            "key:key (trim: <strategy: MAXLEN|MINID~6.2.0> [<operator: '='!equal|\
            '~'!approximately>] threshold:string [LIMIT=count:integer~6.2.0] \
            [<condition: KEEPREF|DELREF|ACKED>])",
        )
        .history(&[
            ("6.2.0", "MINID and LIMIT came in."),
            ("8.2.0", "KEEPREF, DELREF and ACKED came in."),
        ])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("XDEL", super::xdel)
        .arity(-3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(Group::Stream, "5.0.0", "O(1) for each entry", "Removes entries from a stream.")
        .syntax("key:key id:string..."),
    CommandSpec::data("XDELEX", delete::xdelex)
        .arity(-5)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::Stream,
            "8.2.0",
            "O(1) for each entry; with DELREF or ACKED O(G) for the G groups of the stream",
            "Removes entries from a stream, and what groups refer to them or only if none does.",
        )
        .syntax(
            "key:key [<condition: KEEPREF|DELREF|ACKED>] IDS=(ids: numids:integer id:string...)",
        ),
    CommandSpec::data("XCFGSET", idempotency::xcfgset)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Stream,
            "8.6.0",
            "O(1)",
            "Sets how long, and how many, identifiers of producers' requests a stream remembers.",
        )
        .syntax(
            "key:key [(idmp-duration-block: IDMP-DURATION!idmp-duration-token duration:integer)] \
            [(idmp-maxsize-block: IDMP-MAXSIZE!idmp-maxsize-token maxsize:integer)]",
        ),
    CommandSpec::data("XIDMPRECORD", idempotency::xidmprecord)
        .arity(5)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Stream,
            "8.6.2",
            "O(1)",
            "Has a stream remember that an entry is that of a producer's request (internal).",
        )
        .syntax("key:key pid:string iid:string stream-id:string"),
    CommandSpec::data("XLEN", super::xlen)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Counts the entries of a stream.")
        .syntax("key:key"),
    CommandSpec::data("XSETID", super::xsetid)
        .arity(-3)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Sets the last ID of a stream by hand.")
        .syntax(
            "key:key last-id:string [ENTRIESADDED=entries-added:integer~7.0.0] \
            [MAXDELETEDID=max-deleted-id:string~7.0.0]",
        )
        .history(&[("7.0.0", "ENTRIESADDED and MAXDELETEDID came in.")]),
    CommandSpec::data("XRANGE", super::xrange)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N), N being the number of entries returned",
            "Reads the entries in a range of IDs.",
        )
        .syntax("key:key start:string end:string [COUNT=count:integer]")
        .history(&[("6.2.0", "The ends of the range can be exclusive.")]),
    CommandSpec::data("XREVRANGE", super::xrevrange)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N), N being the number of entries returned",
            "Reads the entries in a range of IDs, newest first.",
        )
        .syntax("key:key end:string start:string [COUNT=count:integer]")
        .history(&[("6.2.0", "The ends of the range can be exclusive.")]),
    CommandSpec::data("XCLAIM", claim::xclaim)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(log(N)) for each ID, N being the number of pending entries of the group",
            "Gives pending entries of a group to another consumer.",
        )
        .syntax(
            "key:key group:string consumer:string min-idle-time:string id:string... \
            [IDLE=ms:integer] [TIME=unix-time-milliseconds:unix-time] \
            [RETRYCOUNT=count:integer] [FORCE] [JUSTID] [LASTID=lastid:string]",
        )
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("XAUTOCLAIM", claim::xautoclaim)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::Stream,
            "6.2.0",
            "O(1) with a small COUNT",
            "Gives pending entries that have been idle for long to another consumer.",
        )
        .syntax(
            "key:key group:string consumer:string min-idle-time:string start:string \
            [COUNT=count:integer] [JUSTID]",
        )
        .history(&[("7.0.0", "The reply also names entries that were pending but no longer exist.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::container("XGROUP", XGROUP).docs(
        Group::Stream,
        "5.0.0",
        "Depends on the subcommand",
        "Keeps the consumer groups of a stream.",
    ),
    CommandSpec::data("XACK", group::xack)
        .arity(-4)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(1) for each ID",
            "Acknowledges entries that a group's consumers have dealt with.",
        )
        .syntax("key:key group:string id:string..."),
    CommandSpec::data("XACKDEL", delete::xackdel)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update().delete()])
        .docs(
            Group::Stream,
            "8.2.0",
            "O(1) for each ID; with DELREF or ACKED O(G) for the G groups of the stream",
            "Acknowledges entries and removes them from the stream.",
        )
        .syntax(
            "key:key group:string [<condition: KEEPREF|DELREF|ACKED>] \
            IDS=(ids: numids:integer id:string...)",
        ),
    CommandSpec::data("XPENDING", group::xpending)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N) for N entries returned, O(M) for the M entries looked at with IDLE; the \
            summary is O(1) with few consumers",
            "Tells which entries of a group are pending.",
        )
        .syntax(
            "key:key group:string [(filters: [IDLE=min-idle-time:integer~6.2.0] start:string \
            end:string count:integer [consumer:string])]",
        )
        .history(&[("6.2.0", "IDLE and exclusive ends of the range came in.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::container("XINFO", XINFO).docs(
        Group::Stream,
        "5.0.0",
        "Depends on the subcommand",
        "Describes streams, groups and consumers.",
    ),
    CommandSpec::data("XREAD", read::xread)
        .arity(-4)
        .readonly()
        .blocking()
        .keys(&[KeySpec::keyword("STREAMS", 1).range(-1, 1, 2).ro().access()])
        .key_fallback(key_finders::streams)
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N) for each stream, N being the number of entries returned",
            "Reads what follows an ID in one or more streams, and can wait for it.",
        )
        .syntax(
            "[COUNT=count:integer] [BLOCK=milliseconds:integer] STREAMS=(streams: key:key... \
            id:string...)",
        ),
    CommandSpec::data("XREADGROUP", read::xreadgroup)
        .arity(-7)
        .write()
        .blocking()
        .keys(&[KeySpec::keyword("STREAMS", 4).range(-1, 1, 2).ro().access()])
        .key_fallback(key_finders::streams)
        .docs(
            Group::Stream,
            "5.0.0",
            "O(M) for each stream, M being the number of entries returned; an XADD pays for \
            waking those who wait",
            "Reads entries of one or more streams for a consumer of a group, and can wait \
            for them.",
        )
        .syntax(
            "GROUP=(group-block: group:string consumer:string) [COUNT=count:integer] \
            [BLOCK=milliseconds:integer] [CLAIM=min-idle-time:integer] [NOACK] STREAMS=(streams: key:key... id:string...)",
        ),
];

const XGROUP: &[CommandSpec] = &[
    CommandSpec::data("CREATE", group::xgroup_create)
        .arity(-5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::SECOND.rw().insert()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Creates a consumer group.")
        .syntax(
            "key:key group:string <id-selector: id:string|'$'!new-id> [MKSTREAM] \
            [ENTRIESREAD=entriesread{entries-read}:integer]",
        )
        .history(&[("7.0.0", "ENTRIESREAD came in.")]),
    CommandSpec::data("CREATECONSUMER", group::xgroup_createconsumer)
        .arity(5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::SECOND.rw().insert()])
        .docs(Group::Stream, "6.2.0", "O(1)", "Creates a consumer in a group.")
        .syntax("key:key group:string consumer:string"),
    CommandSpec::data("DELCONSUMER", group::xgroup_delconsumer)
        .arity(5)
        .write()
        .keys(&[KeySpec::SECOND.rw().delete()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Removes a consumer from a group.")
        .syntax("key:key group:string consumer:string"),
    CommandSpec::data("DESTROY", group::xgroup_destroy)
        .arity(4)
        .write()
        .keys(&[KeySpec::SECOND.rw().delete()])
        .docs(
            Group::Stream,
            "5.0.0",
            "O(N), N being the number of the group's pending entries",
            "Removes a consumer group.",
        )
        .syntax("key:key group:string"),
    CommandSpec::data("SETID", group::xgroup_setid)
        .arity(-5)
        .write()
        .keys(&[KeySpec::SECOND.rw().update()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Sets the last ID that a group has been given.")
        .syntax(
            "key:key group:string <id-selector: id:string|'$'!new-id> \
            [ENTRIESREAD=entriesread{entries-read}:integer]",
        )
        .history(&[("7.0.0", "ENTRIESREAD came in.")]),
    CommandSpec::data("HELP", group::xgroup_help).arity(2).loading().stale().docs(
        Group::Stream,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
];

const XINFO: &[CommandSpec] = &[
    CommandSpec::data("STREAM", info::xinfo_stream)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro().access()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Describes a stream.")
        .syntax("key:key [(full-block: FULL [COUNT=count:integer])]")
        .history(&[
            ("6.0.0", "FULL came in."),
            (
                "7.0.0",
                "max-deleted-entry-id, entries-added, recorded-first-entry-id, entries-read and \
            lag came in.",
            ),
            ("7.2.0", "active-time came in, and seen-time tells the last attempt."),
            (
                "8.6.0",
                "idmp-duration, idmp-maxsize, pids-tracked, iids-tracked, iids-added and \
            iids-duplicates came in.",
            ),
        ]),
    CommandSpec::data("GROUPS", info::xinfo_groups)
        .arity(3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro().access()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Describes the consumer groups of a stream.")
        .syntax("key:key")
        .history(&[("7.0.0", "entries-read and lag came in.")]),
    CommandSpec::data("CONSUMERS", info::xinfo_consumers)
        .arity(4)
        .readonly()
        .keys(&[KeySpec::SECOND.ro().access()])
        .docs(Group::Stream, "5.0.0", "O(1)", "Describes the consumers of a group.")
        .syntax("key:key group:string")
        .history(&[("7.2.0", "inactive came in, and idle counts from the last attempt.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("HELP", info::xinfo_help).arity(2).loading().stale().docs(
        Group::Stream,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
];
