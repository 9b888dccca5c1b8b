//! Specs of the commands on keys of any type, for the command table.

use super::{clusterscan, databases, dump, expire, keys, migrate, object, scan, sort};
use crate::engine::command::keys as key_finders;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec, category, flag, key};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("DBSIZE", databases::dbsize)
        .arity(1)
        .readonly()
        .fast()
        .category(category::KEYSPACE)
        .docs(Group::Server, "1.0.0", "O(1)", "Counts the keys of the database.")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    CommandSpec::control("FLUSHALL", databases::flushall)
        .arity(-1)
        .write()
        .category(category::KEYSPACE | category::DANGEROUS)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N), N being the number of keys in all databases",
            "Empties all databases.",
        )
        .syntax("[<flush-type: ASYNC~4.0.0|SYNC~6.2.0>]")
        .history(&[("4.0.0", "ASYNC came in."), ("6.2.0", "SYNC came in.")])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    CommandSpec::control("FLUSHDB", databases::flushdb)
        .arity(-1)
        .write()
        .category(category::KEYSPACE | category::DANGEROUS)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N), N being the number of keys in the database",
            "Empties the database.",
        )
        .syntax("[<flush-type: ASYNC~4.0.0|SYNC~6.2.0>]")
        .history(&[("4.0.0", "ASYNC came in."), ("6.2.0", "SYNC came in.")])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    CommandSpec::control("SWAPDB", databases::swapdb)
        .arity(3)
        .write()
        .fast()
        .category(category::KEYSPACE | category::DANGEROUS)
        .docs(
            Group::Server,
            "4.0.0",
            "O(N), N being the number of clients that watch or wait for keys of the two",
            "Exchanges two databases.",
        )
        .syntax("index1:integer index2:integer"),
    CommandSpec::data("DUMP", dump::dump)
        .arity(2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(N*M), N being the number of its elements and M their average size",
            "Serializes the value at a key.",
        )
        .syntax("key:key")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("RESTORE", dump::restore)
        .arity(-4)
        .write()
        .deny_oom()
        .category(category::DANGEROUS)
        .keys(&[KeySpec::FIRST.ow().update()])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(N*M), N being the number of its elements and M their average size; \
            O(N*M*log(N)) for sorted sets",
            "Creates a key from the serialized form of a value.",
        )
        .syntax(
            "key:key ttl:integer serialized-value:string [REPLACE~3.0.0] [ABSTTL~5.0.0] \
            [IDLETIME=seconds:integer~5.0.0] [FREQ=frequency:integer~5.0.0]",
        )
        .history(&[("3.0.0", "REPLACE came in."), ("5.0.0", "IDLETIME and FREQ came in.")]),
    CommandSpec::data("RESTORE-ASKING", dump::restore)
        .arity(-4)
        .write()
        .deny_oom()
        .with(flag::ASKING)
        .category(category::KEYSPACE | category::DANGEROUS)
        .keys(&[KeySpec::FIRST.ow().update()])
        .docs(
            Group::Server,
            "3.0.0",
            "O(N*M), N being the number of its elements and M their average size; \
            O(N*M*log(N)) for sorted sets",
            "Creates a key from the serialized form of a value in a slot that is being imported.",
        )
        .syntax(
            "key:key ttl:integer serialized-value:string [REPLACE~3.0.0] [ABSTTL~5.0.0] \
            [IDLETIME=seconds:integer~5.0.0] [FREQ=frequency:integer~5.0.0]",
        )
        .history(&[("3.0.0", "REPLACE came in."), ("5.0.0", "IDLETIME and FREQ came in.")])
        .system(),
    CommandSpec::control("MIGRATE", migrate::migrate)
        .arity(-6)
        .write()
        .category(category::DANGEROUS)
        .keys(&[
            KeySpec::index(3).rw().access().delete(),
            KeySpec::keyword("KEYS", -2).range(-1, 1, 0).rw().access().delete().with(key::INCOMPLETE),
        ])
        .key_finder(key_finders::migrate)
        .docs(
            Group::Generic,
            "2.6.0",
            "That of DUMP and DEL here, and of RESTORE there, for each key; O(N) for the way of N bytes",
            "Moves keys to another server.",
        )
        .syntax(
            "host:string port:integer <key-selector: key:key|'\"\"'!empty-string> destination-db:integer \
            timeout:integer [COPY~3.0.0] [REPLACE~3.0.0] \
            [<authentication: AUTH=auth{password}:string~4.0.7|\
            AUTH2=(auth2: username:string password:string)~6.0.0>] [KEYS=keys{key}:key@1...~3.0.6]",
        )
        .history(&[
            ("3.0.0", "COPY and REPLACE came in."),
            ("3.0.6", "KEYS came in."),
            ("4.0.7", "AUTH came in."),
            ("6.0.0", "AUTH2 came in."),
        ])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("EXPIRE", expire::expire)
        .arity(-3)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Sets a time to live in seconds.")
        .syntax("key:key seconds:integer [<condition: NX|XX|GT|LT>~7.0.0]")
        .history(&[("7.0.0", "NX, XX, GT and LT came in.")]),
    CommandSpec::data("PEXPIRE", expire::pexpire)
        .arity(-3)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Generic, "2.6.0", "O(1)", "Sets a time to live in milliseconds.")
        .syntax("key:key milliseconds:integer [<condition: NX|XX|GT|LT>~7.0.0]")
        .history(&[("7.0.0", "NX, XX, GT and LT came in.")]),
    CommandSpec::data("EXPIREAT", expire::expireat)
        .arity(-3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Generic, "1.2.0", "O(1)", "Sets the moment a key expires, a Unix time in seconds.")
        .syntax("key:key unix-time-seconds:unix-time [<condition: NX|XX|GT|LT>~7.0.0]")
        .history(&[("7.0.0", "NX, XX, GT and LT came in.")]),
    CommandSpec::data("PEXPIREAT", expire::pexpireat)
        .arity(-3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Generic, "2.6.0", "O(1)", "Sets the moment a key expires, a Unix time in milliseconds.")
        .syntax("key:key unix-time-milliseconds:unix-time [<condition: NX|XX|GT|LT>~7.0.0]")
        .history(&[("7.0.0", "NX, XX, GT and LT came in.")]),
    CommandSpec::data("TTL", expire::ttl)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Tells how many seconds a key has left.")
        .syntax("key:key")
        .history(&[("2.8.0", "-2 tells a missing key from one without a time to live.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("PTTL", expire::pttl)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Generic, "2.6.0", "O(1)", "Tells how many milliseconds a key has left.")
        .syntax("key:key")
        .history(&[("2.8.0", "-2 tells a missing key from one without a time to live.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("EXPIRETIME", expire::expiretime)
        .arity(2)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Generic, "7.0.0", "O(1)", "Tells the Unix time in seconds at which a key expires.")
        .syntax("key:key"),
    CommandSpec::data("PEXPIRETIME", expire::pexpiretime)
        .arity(2)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Generic, "7.0.0", "O(1)", "Tells the Unix time in milliseconds at which a key expires.")
        .syntax("key:key"),
    CommandSpec::data("PERSIST", expire::persist)
        .arity(2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Generic, "2.2.0", "O(1)", "Takes the time to live off a key.")
        .syntax("key:key"),
    CommandSpec::data("DEL", keys::del)
        .arity(-2)
        .write()
        .keys(&[KeySpec::ALL.rm().delete()])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N), N being the number of keys, plus O(M) for each collection of M elements",
            "Deletes keys.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("UNLINK", keys::unlink)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::ALL.rm().delete()])
        .docs(
            Group::Generic,
            "4.0.0",
            "O(1) for each key; freeing what it held follows in the background",
            "Deletes keys at once and frees their memory later.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("EXISTS", keys::exists)
        .arity(-2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::ALL.ro()])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N), N being the number of keys",
            "Counts how many of the given keys exist.",
        )
        .syntax("key:key...")
        .history(&[("3.0.3", "More than one key may be given.")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("TYPE", keys::type_of)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Names the type of the value at a key.")
        .syntax("key:key"),
    CommandSpec::data("TOUCH", keys::touch)
        .arity(-2)
        .readonly()
        .fast()
        .keys(&[KeySpec::ALL.ro()])
        .docs(
            Group::Generic,
            "3.2.1",
            "O(N), N being the number of keys",
            "Refreshes the access time of keys and counts those that exist.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"]),
    CommandSpec::data("RANDOMKEY", keys::randomkey)
        .arity(1)
        .readonly()
        .with(flag::TOUCHES_ARBITRARY_KEYS)
        .docs(Group::Generic, "1.0.0", "O(1)", "Names a key picked at random.")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    CommandSpec::data("RENAME", keys::rename)
        .arity(3)
        .write()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.ow().update()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a key another name, replacing what stood there.")
        .syntax("key:key newkey:key@1"),
    CommandSpec::data("RENAMENX", keys::renamenx)
        .arity(3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.ow().insert()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Gives a key another name if that one is free.")
        .syntax("key:key newkey:key@1")
        .history(&[("3.2.0", "Renaming a key to its own name is no error any more.")]),
    CommandSpec::control("COPY", keys::copy)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ro().access(), KeySpec::SECOND.ow().update()])
        .docs(
            Group::Generic,
            "6.2.0",
            "O(1) for strings, O(N) for collections of N elements",
            "Copies the value of a key to another key.",
        )
        .syntax("source:key destination:key@1 [DB=destination-db:integer] [REPLACE]"),
    CommandSpec::control("MOVE", keys::move_key)
        .arity(3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::Generic, "1.0.0", "O(1)", "Moves a key to another database.")
        .syntax("key:key db:integer"),
    CommandSpec::container("OBJECT", OBJECT).docs(
        Group::Generic,
        "2.2.3",
        "Depends on the subcommand",
        "Looks at how values are stored.",
    ),
    CommandSpec::data("KEYS", scan::keys)
        .arity(2)
        .readonly()
        .category(category::DANGEROUS)
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N), N being the number of keys in the database",
            "Lists all keys that match a pattern.",
        )
        .syntax("pattern:pattern")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    CommandSpec::control("CLUSTERSCAN", clusterscan::clusterscan)
        .arity(-2)
        .readonly()
        .with(flag::TOUCHES_ARBITRARY_KEYS)
        .category(category::KEYSPACE)
        .keys(&[KeySpec::FIRST.with(key::NOT_KEY)])
        .docs(
            Group::Cluster,
            "9.1.0",
            "O(1) for a step, O(N) for a whole walk over N keys",
            "Walks over the keys of the cluster in steps, slot by slot.",
        )
        .syntax(
            "cursor:string [MATCH=match-pattern:pattern] [COUNT=count:integer] [TYPE=type:string] \
            [SLOT=slot:integer]",
        )
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    CommandSpec::data("SCAN", scan::scan)
        .arity(-2)
        .readonly()
        .with(flag::TOUCHES_ARBITRARY_KEYS)
        .docs(
            Group::Generic,
            "2.8.0",
            "O(1) for a step, O(N) for a whole walk over N keys",
            "Walks over the keys of the database in steps.",
        )
        .syntax(
            "cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer] \
            [TYPE=type:string~6.0.0]",
        )
        .history(&[("6.0.0", "TYPE came in.")])
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    CommandSpec::data("SORT", sort::sort)
        .arity(-2)
        .write()
        .deny_oom()
        .categories_are(category::SET | category::SORTEDSET | category::LIST | category::DANGEROUS)
        .keys(&[
            KeySpec::FIRST.ro().access(),
            KeySpec::unknown().ro().access().notes("BY and GET name keys by what the sorted one holds"),
            KeySpec::unknown().ow().update().notes("STORE may stand anywhere after the key"),
        ])
        .key_finder(key_finders::sort)
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N+M*log(M)), N being the number of elements and M that of the ones returned; \
            O(N) unsorted",
            "Sorts the elements of a list, set or sorted set, and can store the result.",
        )
        .syntax(
            "key:key [BY=by-pattern{pattern}:pattern@1] [LIMIT=(limit: offset:integer \
            count:integer)] [GET=get-pattern{pattern}:pattern@1*...] [<order: ASC|DESC>] \
            [ALPHA!sorting] [STORE=destination:key@2]",
        ),
    CommandSpec::data("SORT_RO", sort::sort_ro)
        .arity(-2)
        .readonly()
        .categories_are(category::SET | category::SORTEDSET | category::LIST | category::DANGEROUS)
        .keys(&[
            KeySpec::FIRST.ro().access(),
            KeySpec::unknown().ro().access().notes("BY and GET name keys by what the sorted one holds"),
        ])
        .key_finder(key_finders::sort_ro)
        .docs(
            Group::Generic,
            "7.0.0",
            "O(N+M*log(M)), N being the number of elements and M that of the ones returned; \
            O(N) unsorted",
            "Sorts the elements of a list, set or sorted set without being able to store them.",
        )
        .syntax(
            "key:key [BY=by-pattern{pattern}:pattern@1] [LIMIT=(limit: offset:integer \
            count:integer)] [GET=get-pattern{pattern}:pattern@1*...] [<order: ASC|DESC>] \
            [ALPHA!sorting]",
        ),
];

const OBJECT: &[CommandSpec] = &[
    CommandSpec::data("ENCODING", object::object_encoding)
        .arity(3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro()])
        .docs(Group::Generic, "2.2.3", "O(1)", "Names the representation of the value at a key.")
        .syntax("key:key")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("FREQ", object::object_freq)
        .arity(3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro()])
        .docs(Group::Generic, "4.0.0", "O(1)", "Tells how often a key is used, on a logarithmic scale.")
        .syntax("key:key")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("IDLETIME", object::object_idletime)
        .arity(3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro()])
        .docs(Group::Generic, "2.2.3", "O(1)", "Tells for how many seconds a key has not been used.")
        .syntax("key:key")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("REFCOUNT", object::object_refcount)
        .arity(3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro()])
        .docs(Group::Generic, "2.2.3", "O(1)", "Tells how many references there are to the value at a key.")
        .syntax("key:key")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("HELP", object::object_help).arity(2).loading().stale().docs(
        Group::Generic,
        "6.2.0",
        "O(1)",
        "Explains the subcommands.",
    ),
];
