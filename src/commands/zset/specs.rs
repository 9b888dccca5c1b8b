//! Specs of the sorted-set commands, for the command table.

use super::{algebra, pop, range, scan};
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("ZADD", super::zadd)
        .arity(-4)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)) for each member, N being the size of the sorted set",
            "Adds members with scores to a sorted set, or gives members new scores.",
        )
        .syntax(
            "key:key [<condition: NX|XX>~3.0.2] [<comparison: GT|LT>~6.2.0] \
            [CH!change~3.0.2] [INCR!increment~3.0.2] (data: score:double member:string)...",
        )
        .history(&[
            ("2.4.0", "More than one member may be given."),
            ("3.0.2", "XX, NX, CH and INCR came in."),
            ("6.2.0", "GT and LT came in."),
        ]),
    CommandSpec::data("ZINCRBY", super::zincrby)
        .arity(4)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().update()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)), N being the size of the sorted set",
            "Adds the given amount to a member's score; a missing member counts from 0.",
        )
        .syntax("key:key increment:integer member:string"),
    CommandSpec::data("ZREM", super::zrem)
        .arity(-3)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(M*log(N)), N being the size of the sorted set and M the number of members given",
            "Removes members; an emptied sorted set goes away.",
        )
        .syntax("key:key member:string...")
        .history(&[("2.4.0", "More than one member may be given.")]),
    CommandSpec::data("ZCARD", super::zcard)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::SortedSet, "1.2.0", "O(1)", "Counts the members of a sorted set.")
        .syntax("key:key"),
    CommandSpec::data("ZSCORE", super::zscore)
        .arity(3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(Group::SortedSet, "1.2.0", "O(1)", "Reads the score of a member.")
        .syntax("key:key member:string"),
    CommandSpec::data("ZMSCORE", super::zmscore)
        .arity(-3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(N), N being the number of members given",
            "Reads the scores of several members.",
        )
        .syntax("key:key member:string..."),
    CommandSpec::data("ZRANK", super::zrank)
        .arity(-3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(log(N)), N being the size of the sorted set",
            "Tells at which place a member stands, counted from the lowest score.",
        )
        .syntax("key:key member:string [WITHSCORE]")
        .history(&[("7.2.0", "WITHSCORE came in.")]),
    CommandSpec::data("ZREVRANK", super::zrevrank)
        .arity(-3)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(log(N)), N being the size of the sorted set",
            "Tells at which place a member stands, counted from the highest score.",
        )
        .syntax("key:key member:string [WITHSCORE]")
        .history(&[("7.2.0", "WITHSCORE came in.")]),
    CommandSpec::data("ZUNION", algebra::zunion)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(N)+O(M*log(M)), N being the number of members in all of them and M that of \
            the result",
            "Reads the members of all given sorted sets, their scores combined.",
        )
        .syntax(
            "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=<aggregate: \
            SUM|MIN|MAX>] [WITHSCORES]",
        ),
    CommandSpec::data("ZUNIONSTORE", algebra::zunionstore)
        .arity(-4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(N)+O(M*log(M)), N being the number of members in all of them and M that of \
            the result",
            "Stores the members of all given sorted sets, their scores combined.",
        )
        .syntax(
            "destination:key numkeys:integer key:key@1... [WEIGHTS=weight:integer...] \
            [AGGREGATE=<aggregate: SUM|MIN|MAX>]",
        ),
    CommandSpec::data("ZINTER", algebra::zinter)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(N*K)+O(M*log(M)) at worst, N being the size of the smallest of K sorted sets \
            and M that of the result",
            "Reads what several sorted sets have in common, the scores combined.",
        )
        .syntax(
            "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=<aggregate: \
            SUM|MIN|MAX>] [WITHSCORES]",
        ),
    CommandSpec::data("ZINTERSTORE", algebra::zinterstore)
        .arity(-4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(N*K)+O(M*log(M)) at worst, N being the size of the smallest of K sorted sets \
            and M that of the result",
            "Stores what several sorted sets have in common, the scores combined.",
        )
        .syntax(
            "destination:key numkeys:integer key:key@1... [WEIGHTS=weight:integer...] \
            [AGGREGATE=<aggregate: SUM|MIN|MAX>]",
        ),
    CommandSpec::data("ZINTERCARD", algebra::zintercard)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "7.0.0",
            "O(N*K) at worst, N being the size of the smallest of K sorted sets",
            "Counts what several sorted sets have in common.",
        )
        .syntax("numkeys:integer key:key... [LIMIT=limit:integer]"),
    CommandSpec::data("ZDIFF", algebra::zdiff)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(L+(N-K)*log(N)) at worst, L being the number of members in all of them, N the \
            size of the first and K that of the result",
            "Reads what the first sorted set has and none of the others.",
        )
        .syntax("numkeys:integer key:key... [WITHSCORES]"),
    CommandSpec::data("ZDIFFSTORE", algebra::zdiffstore)
        .arity(-4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(L+(N-K)*log(N)) at worst, L being the number of members in all of them, N the \
            size of the first and K that of the result",
            "Stores what the first sorted set has and none of the others.",
        )
        .syntax("destination:key numkeys:integer key:key@1..."),
    CommandSpec::data("ZPOPMIN", pop::zpopmin)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(
            Group::SortedSet,
            "5.0.0",
            "O(log(N)*M), N being the size of the sorted set and M the number of members taken",
            "Takes the members with the lowest scores.",
        )
        .syntax("key:key [count:integer]"),
    CommandSpec::data("ZPOPMAX", pop::zpopmax)
        .arity(-2)
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(
            Group::SortedSet,
            "5.0.0",
            "O(log(N)*M), N being the size of the sorted set and M the number of members taken",
            "Takes the members with the highest scores.",
        )
        .syntax("key:key [count:integer]"),
    CommandSpec::data("ZMPOP", pop::zmpop)
        .arity(-4)
        .write()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).rw().access().delete()])
        .docs(
            Group::SortedSet,
            "7.0.0",
            "O(K)+O(M*log(N)), K being the number of keys, N the size of the sorted set and \
            M the number of members taken",
            "Takes members from the first of several sorted sets that has any.",
        )
        .syntax("numkeys:integer key:key... <where: MIN|MAX> [COUNT=count:integer]"),
    CommandSpec::data("BZPOPMIN", pop::bzpopmin)
        .arity(-3)
        .write()
        .blocking()
        .fast()
        .keys(&[KeySpec::FIRST.range(-2, 1, 0).rw().access().delete()])
        .docs(
            Group::SortedSet,
            "5.0.0",
            "O(log(N)), N being the size of the sorted set",
            "Takes the member with the lowest score of the first sorted set that has any, \
            and waits for one otherwise.",
        )
        .syntax("key:key... timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")]),
    CommandSpec::data("BZPOPMAX", pop::bzpopmax)
        .arity(-3)
        .write()
        .blocking()
        .fast()
        .keys(&[KeySpec::FIRST.range(-2, 1, 0).rw().access().delete()])
        .docs(
            Group::SortedSet,
            "5.0.0",
            "O(log(N)), N being the size of the sorted set",
            "Takes the member with the highest score of the first sorted set that has any, \
            and waits for one otherwise.",
        )
        .syntax("key:key... timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")]),
    CommandSpec::data("BZMPOP", pop::bzmpop)
        .arity(-5)
        .write()
        .blocking()
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).rw().access().delete()])
        .docs(
            Group::SortedSet,
            "7.0.0",
            "O(K)+O(M*log(N)), K being the number of keys, N the size of the sorted set and \
            M the number of members taken",
            "Takes members from the first of several sorted sets that has any, and waits for \
            them otherwise.",
        )
        .syntax("timeout:double numkeys:integer key:key... <where: MIN|MAX> [COUNT=count:integer]"),
    CommandSpec::data("ZRANGE", range::zrange)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads a range of members by rank, score or alphabet.",
        )
        .syntax(
            "key:key start:string stop:string [<sortby: BYSCORE|BYLEX>~6.2.0] [REV~6.2.0] \
            [LIMIT=(limit: offset:integer count:integer)~6.2.0] [WITHSCORES]",
        )
        .history(&[("6.2.0", "REV, BYSCORE, BYLEX and LIMIT came in.")]),
    CommandSpec::data("ZRANGESTORE", range::zrangestore)
        .arity(-5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.ow().update(), KeySpec::SECOND.ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members stored",
            "Stores a range of members in another sorted set.",
        )
        .syntax(
            "dst:key src:key@1 min:string max:string [<sortby: BYSCORE|BYLEX>] [REV] \
            [LIMIT=(limit: offset:integer count:integer)]",
        ),
    CommandSpec::data("ZRANGEBYSCORE", range::zrangebyscore)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "1.0.5",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members with scores in a range.",
        )
        .syntax(
            "key:key min:double max:double [WITHSCORES~2.0.0] [LIMIT=(limit: offset:integer \
            count:integer)]",
        )
        .history(&[("2.0.0", "WITHSCORES came in.")])
        .deprecated("6.2.0", "`ZRANGE … BYSCORE`"),
    CommandSpec::data("ZREVRANGEBYSCORE", range::zrevrangebyscore)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members with scores in a range, highest first.",
        )
        .syntax(
            "key:key max:double min:double [WITHSCORES] [LIMIT=(limit: offset:integer \
            count:integer)]",
        )
        .history(&[("2.1.6", "The ends of the range can be exclusive.")])
        .deprecated("6.2.0", "`ZRANGE … BYSCORE REV`"),
    CommandSpec::data("ZRANGEBYLEX", range::zrangebylex)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members in an alphabetical range.",
        )
        .syntax("key:key min:string max:string [LIMIT=(limit: offset:integer count:integer)]")
        .deprecated("6.2.0", "`ZRANGE … BYLEX`"),
    CommandSpec::data("ZREVRANGEBYLEX", range::zrevrangebylex)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads the members in an alphabetical range, last first.",
        )
        .syntax("key:key max:string min:string [LIMIT=(limit: offset:integer count:integer)]")
        .deprecated("6.2.0", "`ZRANGE … BYLEX REV`"),
    CommandSpec::data("ZREVRANGE", range::zrevrange)
        .arity(-4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members returned",
            "Reads a range of members by rank, highest score first.",
        )
        .syntax("key:key start:integer stop:integer [WITHSCORES]")
        .deprecated("6.2.0", "`ZRANGE … REV`"),
    CommandSpec::data("ZCOUNT", range::zcount)
        .arity(4)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(log(N)), N being the size of the sorted set",
            "Counts the members with scores in a range.",
        )
        .syntax("key:key min:double max:double"),
    CommandSpec::data("ZLEXCOUNT", range::zlexcount)
        .arity(4)
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)), N being the size of the sorted set",
            "Counts the members in an alphabetical range.",
        )
        .syntax("key:key min:string max:string"),
    CommandSpec::data("ZREMRANGEBYRANK", range::zremrangebyrank)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "2.0.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members removed",
            "Removes the members in a range of ranks.",
        )
        .syntax("key:key start:integer stop:integer"),
    CommandSpec::data("ZREMRANGEBYSCORE", range::zremrangebyscore)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "1.2.0",
            "O(log(N)+M), N being the size of the sorted set and M the number of members removed",
            "Removes the members with scores in a range.",
        )
        .syntax("key:key min:double max:double"),
    CommandSpec::data("ZREMRANGEBYLEX", range::zremrangebylex)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::SortedSet,
            "2.8.9",
            "O(log(N)+M), N being the size of the sorted set and M the number of members removed",
            "Removes the members in an alphabetical range.",
        )
        .syntax("key:key min:string max:string"),
    CommandSpec::data("ZRANDMEMBER", scan::zrandmember)
        .arity(-2)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "6.2.0",
            "O(N), N being the number of members returned",
            "Reads members of a sorted set at random.",
        )
        .syntax("key:key [(options: count:integer [WITHSCORES])]")
        .tips(&["nondeterministic_output"]),
    CommandSpec::data("ZSCAN", scan::zscan)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::SortedSet,
            "2.8.0",
            "O(1) for a step, O(N) for a whole walk over N members",
            "Walks over the members and scores of a sorted set in steps.",
        )
        .syntax("key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer] [NOSCORES]")
        .history(&[("8.0.0", "NOSCORES came in.")])
        .tips(&["nondeterministic_output"]),
];
