//! Specs of the string, bitmap and HyperLogLog commands, for the command table.

use super::{bitfield, bitmap, counter, hyperloglog, lcs, range};
use crate::engine::command::keys as key_finders;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec, flag, key};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("GET", super::get)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::String, "1.0.0", "O(1)", "Reads the string stored at a key.")
        .syntax("key:key"),
    CommandSpec::data("SET", super::set)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST
            .rw()
            .access()
            .update()
            .with(key::VARIABLE_FLAGS)
            .notes("GET and comparisons read the old value")])
        .key_finder(key_finders::set)
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Stores a string at a key, replacing what was there and dropping its time to live.",
        )
        .syntax(
            "key:key value:string [<condition: NX|XX|IFEQ=ifeq-value:string~8.4.0|\
            IFNE=ifne-value:string~8.4.0|IFDEQ=ifdeq-digest:integer~8.4.0|\
            IFDNE=ifdne-digest:integer~8.4.0>~2.6.12] [GET~6.2.0] [<expiration: \
            EX=seconds:integer~2.6.12|PX=milliseconds:integer~2.6.12|\
            EXAT=unix-time-seconds:unix-time~6.2.0|\
            PXAT=unix-time-milliseconds:unix-time~6.2.0|KEEPTTL~6.0.0>]",
        )
        .history(&[
            ("2.6.12", "Conditions (NX, XX) and times to live (EX, PX) came in."),
            ("6.0.0", "KEEPTTL came in."),
            ("6.2.0", "GET and the absolute times EXAT and PXAT came in."),
            ("7.0.0", "GET may stand together with NX."),
            ("8.4.0", "IFEQ, IFNE, IFDEQ and IFDNE came in."),
        ]),
    CommandSpec::data("SETNX", super::setnx)
        .arity(3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.ow().insert()])
        .docs(Group::String, "1.0.0", "O(1)", "Stores a string only if the key is free.")
        .syntax("key:key value:string")
        .deprecated("2.6.12", "`SET … NX`"),
    CommandSpec::data("SETEX", super::setex)
        .arity(4)
        .batch_timed()
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update()])
        .docs(Group::String, "2.0.0", "O(1)", "Stores a string that lives the given number of seconds.")
        .syntax("key:key seconds:integer value:string")
        .deprecated("2.6.12", "`SET … EX`"),
    CommandSpec::data("PSETEX", super::psetex)
        .arity(4)
        .batch_timed()
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update()])
        .docs(Group::String, "2.6.0", "O(1)", "Stores a string that lives the given number of milliseconds.")
        .syntax("key:key milliseconds:integer value:string")
        .deprecated("2.6.12", "`SET … PX`"),
    CommandSpec::data("GETSET", super::getset)
        .arity(3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::String, "1.0.0", "O(1)", "Stores a new string and answers the old one.")
        .syntax("key:key value:string")
        .deprecated("6.2.0", "`SET … GET`"),
    CommandSpec::data("GETDEL", super::getdel)
        .arity(2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(Group::String, "6.2.0", "O(1)", "Answers a string and deletes its key.")
        .syntax("key:key"),
    CommandSpec::data("GETEX", super::getex)
        .arity(-2)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update().notes("Changes the time to live")])
        .docs(Group::String, "6.2.0", "O(1)", "Answers a string and sets or removes its time to live.")
        .syntax(
            "key:key [<expiration: EX=seconds:integer|PX=milliseconds:integer|\
            EXAT=unix-time-seconds:unix-time|PXAT=unix-time-milliseconds:unix-time|PERSIST>]",
        ),
    CommandSpec::data("DELIFEQ", super::delifeq)
        .arity(3)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rm().delete()])
        .docs(Group::String, "9.0.0", "O(1)", "Deletes a key if its string equals the given one.")
        .syntax("key:key value:string"),
    CommandSpec::data("DELEX", super::delex)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete().with(key::VARIABLE_FLAGS)])
        .key_finder(key_finders::delex)
        .docs(
            Group::String,
            "8.4.0",
            "O(1); O(N) with a digest, N being the length of the string",
            "Deletes a key if its string, or the digest of it, equals the given one, or differs from it.",
        )
        .syntax(
            "key:key [<condition: IFEQ=ifeq-value:string|IFNE=ifne-value:string|\
            IFDEQ=ifdeq-digest:integer|IFDNE=ifdne-digest:integer>]",
        ),
    CommandSpec::data("DIGEST", super::digest)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::String,
            "8.4.0",
            "O(N), N being the length of the string",
            "Answers the XXH3 hash of a string, as 16 hexadecimal digits.",
        )
        .syntax("key:key"),
    CommandSpec::data("MGET", super::mget)
        .arity(-2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::ALL.ro().access()])
        .docs(
            Group::String,
            "1.0.0",
            "O(N), N being the number of keys",
            "Reads the strings of several keys in one step.",
        )
        .syntax("key:key...")
        .tips(&["request_policy:multi_shard"]),
    CommandSpec::data("MSET", super::mset)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.range(-1, 2, 0).ow().update()])
        .docs(
            Group::String,
            "1.0.1",
            "O(N), N being the number of keys",
            "Stores several strings in one step.",
        )
        .syntax("(data: key:key value:string)...")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    CommandSpec::data("MSETNX", super::msetnx)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.range(-1, 2, 0).ow().insert()])
        .docs(
            Group::String,
            "1.0.1",
            "O(N), N being the number of keys",
            "Stores several strings, or none of them if any of the keys is taken.",
        )
        .syntax("(data: key:key value:string)..."),
    CommandSpec::data("MSETEX", super::msetex)
        .arity(-4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 2).ow().update()])
        .docs(
            Group::String,
            "8.4.0",
            "O(N), N being the number of keys",
            "Stores several strings with one condition and one time to live for all.",
        )
        .syntax(
            "numkeys:integer (data: key:key value:string)... [<condition: NX|XX>] \
            [<expiration: EX=seconds:integer|PX=milliseconds:integer|\
            EXAT=unix-time-seconds:unix-time|PXAT=unix-time-milliseconds:unix-time|KEEPTTL>]",
        )
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    CommandSpec::data("BITFIELD", bitfield::bitfield)
        .arity(-2)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST
            .rw()
            .access()
            .update()
            .with(key::VARIABLE_FLAGS)
            .notes("Reads and writes, as the operations say")])
        .key_finder(key_finders::bitfield)
        .docs(
            Group::Bitmap,
            "3.2.0",
            "O(1) for each operation",
            "Reads, writes and increments integers of any width inside a string.",
        )
        .syntax(
            "key:key [<operation: GET=(get-block: encoding:string offset:integer)|(write: \
            [OVERFLOW=<overflow-block: WRAP|SAT|FAIL>] <write-operation: SET=(set-block: \
            encoding:string offset:integer value:integer)|INCRBY=(incrby-block: \
            encoding:string offset:integer increment:integer)>)>...]",
        ),
    CommandSpec::data("BITFIELD_RO", bitfield::bitfield_ro)
        .arity(-2)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Bitmap,
            "6.0.0",
            "O(1) for each operation",
            "Reads integers of any width inside a string.",
        )
        .syntax("key:key [GET=(get-block: encoding:string offset:integer)*...]"),
    CommandSpec::data("SETBIT", bitmap::setbit)
        .arity(4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::Bitmap, "2.2.0", "O(1)", "Sets or clears one bit of a string and answers what it was.")
        .syntax("key:key offset:integer value:integer"),
    CommandSpec::data("GETBIT", bitmap::getbit)
        .arity(3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Bitmap, "2.2.0", "O(1)", "Reads one bit of a string.")
        .syntax("key:key offset:integer"),
    CommandSpec::data("BITCOUNT", bitmap::bitcount)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Bitmap,
            "2.6.0",
            "O(N), N being the length of the range",
            "Counts the bits that are set in a string or a range of it.",
        )
        .syntax(
            "key:key [(range: start:integer [(end-unit-block: end:integer [<unit: BYTE|\
            BIT>~7.0.0])])]",
        )
        .history(&[
            ("7.0.0", "The range can be counted in bits: BYTE|BIT came in."),
            ("8.0.0", "The end of the range may be left out and is then the end of the string."),
        ]),
    CommandSpec::data("BITPOS", bitmap::bitpos)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Bitmap,
            "2.8.7",
            "O(N), N being the length of the range",
            "Finds the first bit of the given value in a string or a range of it.",
        )
        .syntax(
            "key:key bit:integer [(range: start:integer [(end-unit-block: end:integer \
            [<unit: BYTE|BIT>~7.0.0])])]",
        )
        .history(&[("7.0.0", "The range can be counted in bits: BYTE|BIT came in.")]),
    CommandSpec::data("BITOP", bitmap::bitop)
        .arity(-4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::SECOND.ow().update(), KeySpec::index(3).range(-1, 1, 0).ro().access()])
        .docs(
            Group::Bitmap,
            "2.6.0",
            "O(N), N being the length of the longest string",
            "Combines strings bit by bit and stores the result.",
        )
        .syntax(
            "<operation: AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE> \
            destkey:key key:key@1...",
        ),
    CommandSpec::data("INCR", counter::incr)
        .arity(2)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::String, "1.0.0", "O(1)", "Adds one to an integer; a free key counts from 0.")
        .syntax("key:key"),
    CommandSpec::data("DECR", counter::decr)
        .arity(2)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(Group::String, "1.0.0", "O(1)", "Takes one from an integer; a free key counts from 0.")
        .syntax("key:key"),
    CommandSpec::data("INCRBY", counter::incrby)
        .arity(3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Adds the given amount to an integer; a free key counts from 0.",
        )
        .syntax("key:key increment:integer"),
    CommandSpec::data("DECRBY", counter::decrby)
        .arity(3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Takes the given amount from an integer; a free key counts from 0.",
        )
        .syntax("key:key decrement:integer"),
    CommandSpec::data("INCRBYFLOAT", counter::incrbyfloat)
        .arity(3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(
            Group::String,
            "2.6.0",
            "O(1)",
            "Adds a floating point amount to a number; a free key counts from 0.",
        )
        .syntax("key:key increment:double"),
    CommandSpec::data("PFADD", hyperloglog::pfadd)
        .arity(-2)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::Hyperloglog,
            "2.8.9",
            "O(1) for each element",
            "Adds elements to a HyperLogLog, creating it where there is none.",
        )
        .syntax("key:key [element:string...]"),
    CommandSpec::data("PFCOUNT", hyperloglog::pfcount)
        .arity(-2)
        .readonly()
        .with(flag::MAY_REPLICATE)
        .keys(&[KeySpec::ALL.rw().access().notes("May write the cached estimate into the key")])
        .docs(
            Group::Hyperloglog,
            "2.8.9",
            "O(1) for one key, O(N) with a large constant for N keys",
            "Estimates how many different elements one or more HyperLogLogs have seen.",
        )
        .syntax("key:key..."),
    CommandSpec::data("PFMERGE", hyperloglog::pfmerge)
        .arity(-2)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().insert(), KeySpec::SECOND.range(-1, 1, 0).ro().access()])
        .docs(
            Group::Hyperloglog,
            "2.8.9",
            "O(N) with a large constant, N being the number of keys",
            "Merges HyperLogLogs into one.",
        )
        .syntax("destkey:key [sourcekey:key@1...]"),
    CommandSpec::data("PFDEBUG", hyperloglog::pfdebug)
        .arity(3)
        .write()
        .deny_oom()
        .admin()
        .keys(&[KeySpec::SECOND.rw().access()])
        .docs(Group::Hyperloglog, "2.8.9", "N/A", "Looks inside a HyperLogLog.")
        .syntax("subcommand:string key:key")
        .system(),
    CommandSpec::data("PFSELFTEST", hyperloglog::pfselftest)
        .arity(1)
        .admin()
        .docs(Group::Hyperloglog, "2.8.9", "N/A", "Checks the HyperLogLog implementation.")
        .system(),
    CommandSpec::data("LCS", lcs::lcs)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.range(1, 1, 0).ro().access()])
        .docs(
            Group::String,
            "7.0.0",
            "O(N*M), N and M being the lengths of the two strings",
            "Finds the longest common subsequence of two strings.",
        )
        .syntax("key1:key key2:key [LEN] [IDX] [MINMATCHLEN=min-match-len:integer] [WITHMATCHLEN]"),
    CommandSpec::data("APPEND", range::append)
        .arity(3)
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::String,
            "2.0.0",
            "O(1) amortized: the buffer grows ahead of what it has to hold",
            "Adds bytes to the end of a string, creating it where there is none.",
        )
        .syntax("key:key value:string"),
    CommandSpec::data("STRLEN", range::strlen)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::String, "2.2.0", "O(1)", "Counts the bytes of a string.")
        .syntax("key:key"),
    CommandSpec::data("GETRANGE", range::getrange)
        .arity(4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::String,
            "2.4.0",
            "O(N), N being the length of what is returned",
            "Cuts a range of bytes out of a string.",
        )
        .syntax("key:key start:integer end:integer"),
    CommandSpec::data("SUBSTR", range::substr)
        .arity(4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::String,
            "1.0.0",
            "O(N), N being the length of what is returned",
            "Cuts a range of bytes out of a string.",
        )
        .syntax("key:key start:integer end:integer")
        .deprecated("2.0.0", "`GETRANGE`"),
    CommandSpec::data("SETRANGE", range::setrange)
        .arity(4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::String,
            "2.2.0",
            "O(M), M being the length of the given bytes; next to nothing for short ones",
            "Overwrites a string from an offset on, padding it with zero bytes where it is \
            too short.",
        )
        .syntax("key:key offset:integer value:string"),
];
