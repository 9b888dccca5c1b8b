//! Specs of the set commands, for the command table.

use super::algebra;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("SADD", super::sadd)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(1) for each member",
            "Adds members to a set, creating it where there is none.",
        )
        .syntax("key:key member:string...")
        .history(&[("2.4.0", "More than one member may be given.")]),
    CommandSpec::data("SREM", super::srem)
        .arity(-3)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N), N being the number of members given",
            "Removes members from a set; an emptied set goes away.",
        )
        .syntax("key:key member:string...")
        .history(&[("2.4.0", "More than one member may be given.")]),
    CommandSpec::data("SCARD", super::scard)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Set, "1.0.0", "O(1)", "Counts the members of a set.")
        .syntax("key:key"),
    CommandSpec::data("SISMEMBER", super::sismember)
        .arity(3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::Set, "1.0.0", "O(1)", "Tells whether a set has a member.")
        .syntax("key:key member:string"),
    CommandSpec::data("SMISMEMBER", super::smismember)
        .arity(-3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Set,
            "6.2.0",
            "O(N), N being the number of members given",
            "Tells of each of several members whether a set has it.",
        )
        .syntax("key:key member:string..."),
    CommandSpec::data("SMEMBERS", super::smembers)
        .arity(2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::Set, "1.0.0", "O(N), N being the size of the set", "Lists all members of a set.")
        .syntax("key:key")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("SMOVE", super::smove)
        .arity(4)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(Group::Set, "1.0.0", "O(1)", "Moves a member from one set to another.")
        .syntax("source:key destination:key@1 member:string"),
    CommandSpec::data("SPOP", super::spop)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(1) without a count, O(N) with a count of N",
            "Takes members out of a set at random; an emptied set goes away.",
        )
        .syntax("key:key [count:integer~3.2.0]")
        .history(&[("3.2.0", "The count came in.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("SRANDMEMBER", super::srandmember)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(1) without a count, O(N) with a count of N",
            "Reads members of a set at random.",
        )
        .syntax("key:key [count:integer~2.6.0]")
        .history(&[("2.6.0", "The count came in.")])
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("SSCAN", super::sscan)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::Set,
            "2.8.0",
            "O(1) for a step, O(N) for a whole walk over N members",
            "Walks over the members of a set in steps.",
        )
        .syntax("key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("SINTER", algebra::sinter)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::ALL.ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N*M) at worst, N being the size of the smallest set and M the number of sets",
            "Lists what several sets have in common.",
        )
        .syntax("key:key...")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("SINTERSTORE", algebra::sinterstore)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.range(-1, 1, 0).ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N*M) at worst, N being the size of the smallest set and M the number of sets",
            "Stores what several sets have in common.",
        )
        .syntax("destination:key key:key@1..."),
    CommandSpec::data("SINTERCARD", algebra::sintercard)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::Set,
            "7.0.0",
            "O(N*M) at worst, N being the size of the smallest set and M the number of sets",
            "Counts what several sets have in common.",
        )
        .syntax("numkeys:integer key:key... [LIMIT=limit:integer]"),
    CommandSpec::data("SUNION", algebra::sunion)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::ALL.ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N), N being the number of members in all sets",
            "Lists the members of all given sets.",
        )
        .syntax("key:key...")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("SUNIONSTORE", algebra::sunionstore)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.range(-1, 1, 0).ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N), N being the number of members in all sets",
            "Stores the members of all given sets.",
        )
        .syntax("destination:key key:key@1..."),
    CommandSpec::data("SDIFF", algebra::sdiff)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::ALL.ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N), N being the number of members in all sets",
            "Lists what the first set has and none of the others.",
        )
        .syntax("key:key...")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::data("SDIFFSTORE", algebra::sdiffstore)
        .arity(-3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.range(-1, 1, 0).ro().access()])
        .docs(
            Group::Set,
            "1.0.0",
            "O(N), N being the number of members in all sets",
            "Stores what the first set has and none of the others.",
        )
        .syntax("destination:key key:key@1..."),
];
