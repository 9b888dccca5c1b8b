//! Specs of the hash commands, for the command table.

use super::{expiry, hgetex, scan};
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("HSET", super::hset)
        .arity(-4)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "2.0.0",
            "O(1) for each field",
            "Stores fields in a hash, creating it where there is none.",
        )
        .syntax("key:key (data: field:string value:string)...")
        .history(&[("4.0.0", "More than one field may be given.")]),
    CommandSpec::data("HMSET", super::hmset)
        .arity(-4)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(Group::Hash, "2.0.0", "O(N), N being the number of fields", "Stores several fields in a hash.")
        .syntax("key:key (data: field:string value:string)...")
        .deprecated("4.0.0", "`HSET`, which takes several fields"),
    CommandSpec::data("HSETNX", super::hsetnx)
        .arity(4)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(Group::Hash, "2.0.0", "O(1)", "Stores a field in a hash if the hash does not have it.")
        .syntax("key:key field:string value:string"),
    CommandSpec::data("HGET", super::hget)
        .arity(3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Hash, "2.0.0", "O(1)", "Reads the value of a field.")
        .syntax("key:key field:string"),
    CommandSpec::data("HMGET", super::hmget)
        .arity(-3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "2.0.0",
            "O(N), N being the number of fields",
            "Reads the values of several fields.",
        )
        .syntax("key:key field:string..."),
    CommandSpec::data("HDEL", super::hdel)
        .arity(-3)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::Hash,
            "2.0.0",
            "O(N), N being the number of fields",
            "Removes fields; an emptied hash goes away.",
        )
        .syntax("key:key field:string...")
        .history(&[("2.4.0", "More than one field may be given.")]),
    CommandSpec::data("HLEN", super::hlen)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Hash, "2.0.0", "O(1)", "Counts the fields of a hash.")
        .syntax("key:key"),
    CommandSpec::data("HSTRLEN", super::hstrlen)
        .arity(3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Hash, "3.2.0", "O(1)", "Counts the bytes of a field's value.")
        .syntax("key:key field:string"),
    CommandSpec::data("HEXISTS", super::hexists)
        .arity(3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Hash, "2.0.0", "O(1)", "Tells whether a hash has a field.")
        .syntax("key:key field:string"),
    CommandSpec::data("HINCRBY", super::hincrby)
        .arity(4)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(
            Group::Hash,
            "2.0.0",
            "O(1)",
            "Adds the given amount to an integer in a field; a missing field counts from 0.",
        )
        .syntax("key:key field:string increment:integer"),
    CommandSpec::data("HINCRBYFLOAT", super::hincrbyfloat)
        .arity(4)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(
            Group::Hash,
            "2.6.0",
            "O(1)",
            "Adds a floating point amount to a number in a field; a missing field counts from 0.",
        )
        .syntax("key:key field:string increment:double"),
    CommandSpec::data("HEXPIRE", expiry::hexpire)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Sets the time to live of fields in seconds.",
        )
        .syntax(
            "key:key seconds:integer [<condition: NX|XX|GT|LT>] FIELDS=(fields: \
            numfields:integer field:string...)",
        ),
    CommandSpec::data("HPEXPIRE", expiry::hpexpire)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Sets the time to live of fields in milliseconds.",
        )
        .syntax(
            "key:key milliseconds:integer [<condition: NX|XX|GT|LT>] FIELDS=(fields: \
            numfields:integer field:string...)",
        ),
    CommandSpec::data("HEXPIREAT", expiry::hexpireat)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Sets the moment fields expire, a Unix time in seconds.",
        )
        .syntax(
            "key:key unix-time-seconds:unix-time [<condition: NX|XX|GT|LT>] FIELDS=(fields: \
            numfields:integer field:string...)",
        ),
    CommandSpec::data("HPEXPIREAT", expiry::hpexpireat)
        .arity(-6)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Sets the moment fields expire, a Unix time in milliseconds.",
        )
        .syntax(
            "key:key unix-time-milliseconds:unix-time [<condition: NX|XX|GT|LT>] \
            FIELDS=(fields: numfields:integer field:string...)",
        ),
    CommandSpec::data("HTTL", expiry::httl)
        .arity(-5)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Tells how many seconds fields have left.",
        )
        .syntax("key:key FIELDS=(fields: numfields:integer field:string...)")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("HPTTL", expiry::hpttl)
        .arity(-5)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Tells how many milliseconds fields have left.",
        )
        .syntax("key:key FIELDS=(fields: numfields:integer field:string...)")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("HEXPIRETIME", expiry::hexpiretime)
        .arity(-5)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Tells the Unix time in seconds at which fields expire.",
        )
        .syntax("key:key FIELDS=(fields: numfields:integer field:string...)"),
    CommandSpec::data("HPEXPIRETIME", expiry::hpexpiretime)
        .arity(-5)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Tells the Unix time in milliseconds at which fields expire.",
        )
        .syntax("key:key FIELDS=(fields: numfields:integer field:string...)"),
    CommandSpec::data("HPERSIST", expiry::hpersist)
        .arity(-5)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "7.4.0",
            "O(N), N being the number of fields",
            "Takes the time to live off fields.",
        )
        .syntax("key:key FIELDS=(fields: numfields:integer field:string...)"),
    CommandSpec::data("HGETDEL", hgetex::hgetdel)
        .arity(-5)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(Group::Hash, "8.0.0", "O(N), N being the number of fields", "Reads fields and removes them.")
        .syntax("key:key FIELDS=(fields: numfields:integer field:string...)"),
    CommandSpec::data("HGETEX", hgetex::hgetex)
        .arity(-5)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update().notes("Changes the time to live")])
        .docs(
            Group::Hash,
            "8.0.0",
            "O(N), N being the number of fields",
            "Reads fields and sets or removes their time to live.",
        )
        .syntax(
            "key:key [<expiration: EX=seconds:integer|PX=milliseconds:integer|\
            EXAT=unix-time-seconds:unix-time|PXAT=unix-time-milliseconds:unix-time|\
            PERSIST>] FIELDS=(fields: numfields:integer field:string...)",
        ),
    CommandSpec::data("HSETEX", hgetex::hsetex)
        .arity(-6)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::Hash,
            "8.0.0",
            "O(N), N being the number of fields",
            "Stores fields, on conditions if wanted, together with a time to live.",
        )
        .syntax(
            "key:key [<key-condition: NX|XX>] [<fields-condition: FNX|FXX>] [<expiration: \
            EX=seconds:integer|PX=milliseconds:integer|EXAT=unix-time-seconds:unix-time|\
            PXAT=unix-time-milliseconds:unix-time|KEEPTTL>] FIELDS=(fields: \
            numfields:integer@0 (data: field:string value:string)...)",
        ),
    CommandSpec::data("HGETALL", scan::hgetall)
        .arity(2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "2.0.0",
            "O(N), N being the size of the hash",
            "Reads all fields of a hash with their values.",
        )
        .syntax("key:key")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("HKEYS", scan::hkeys)
        .arity(2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Hash, "2.0.0", "O(N), N being the size of the hash", "Lists the fields of a hash.")
        .syntax("key:key")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("HVALS", scan::hvals)
        .arity(2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Hash, "2.0.0", "O(N), N being the size of the hash", "Lists the values of a hash.")
        .syntax("key:key")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("HRANDFIELD", scan::hrandfield)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "6.2.0",
            "O(N), N being the number of fields returned",
            "Reads fields of a hash at random.",
        )
        .syntax("key:key [(options: count:integer [WITHVALUES])]")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("HSCAN", scan::hscan)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Hash,
            "2.8.0",
            "O(1) for a step, O(N) for a whole walk over N fields",
            "Walks over the fields of a hash in steps.",
        )
        .syntax("key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer] [NOVALUES]")
        .tips(&["nondeterministic_output"]),
];
