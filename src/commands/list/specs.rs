//! Specs of the list commands, for the command table.

use super::moves;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::data("LPUSH", super::lpush)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::List,
            "1.0.0",
            "O(1) for each element",
            "Puts elements before the first one of a list, creating it where there is none.",
        )
        .syntax("key:key element:string...")
        .history(&[("2.4.0", "More than one element may be given.")]),
    CommandSpec::data("RPUSH", super::rpush)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::List,
            "1.0.0",
            "O(1) for each element",
            "Puts elements after the last one of a list, creating it where there is none.",
        )
        .syntax("key:key element:string...")
        .history(&[("2.4.0", "More than one element may be given.")]),
    CommandSpec::data("LPUSHX", super::lpushx)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::List,
            "2.2.0",
            "O(1) for each element",
            "Puts elements before the first one of a list that exists.",
        )
        .syntax("key:key element:string...")
        .history(&[("4.0.0", "More than one element may be given.")]),
    CommandSpec::data("RPUSHX", super::rpushx)
        .arity(-3)
        .batch_timed()
        .write()
        .deny_oom()
        .fast()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::List,
            "2.2.0",
            "O(1) for each element",
            "Puts elements after the last one of a list that exists.",
        )
        .syntax("key:key element:string...")
        .history(&[("4.0.0", "More than one element may be given.")]),
    CommandSpec::data("LPOP", super::lpop)
        .arity(-2)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(
            Group::List,
            "1.0.0",
            "O(N), N being the number of elements taken",
            "Takes elements from the front of a list; an emptied list goes away.",
        )
        .syntax("key:key [count:integer~6.2.0]")
        .history(&[("6.2.0", "The count came in.")]),
    CommandSpec::data("RPOP", super::rpop)
        .arity(-2)
        .batch_timed()
        .write()
        .fast()
        .keys(&[KeySpec::FIRST.rw().access().delete()])
        .docs(
            Group::List,
            "1.0.0",
            "O(N), N being the number of elements taken",
            "Takes elements from the back of a list; an emptied list goes away.",
        )
        .syntax("key:key [count:integer~6.2.0]")
        .history(&[("6.2.0", "The count came in.")]),
    CommandSpec::data("LLEN", super::llen)
        .arity(2)
        .batch_timed()
        .readonly()
        .fast()
        .keys(&[KeySpec::FIRST.ro()])
        .docs(Group::List, "1.0.0", "O(1)", "Counts the elements of a list.")
        .syntax("key:key"),
    CommandSpec::data("LINDEX", super::lindex)
        .arity(3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::List,
            "1.0.0",
            "O(N), N being the number of elements between the nearer end and the index",
            "Reads the element at an index.",
        )
        .syntax("key:key index:integer"),
    CommandSpec::data("LSET", super::lset)
        .arity(4)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().update()])
        .docs(
            Group::List,
            "1.0.0",
            "O(N), N being the number of elements between the nearer end and the index",
            "Replaces the element at an index.",
        )
        .syntax("key:key index:integer element:string"),
    CommandSpec::data("LINSERT", super::linsert)
        .arity(5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().insert()])
        .docs(
            Group::List,
            "2.2.0",
            "O(N), N being the number of elements before the pivot",
            "Puts an element before or after another one.",
        )
        .syntax("key:key <where: BEFORE|AFTER> pivot:string element:string"),
    CommandSpec::data("LRANGE", super::lrange)
        .arity(4)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::List,
            "1.0.0",
            "O(S+N), S being the distance from the nearer end to the start and N the length \
            of the range",
            "Reads a range of elements.",
        )
        .syntax("key:key start:integer stop:integer"),
    CommandSpec::data("LREM", super::lrem)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::List,
            "1.0.0",
            "O(N+M), N being the length of the list and M the number of elements removed",
            "Removes elements that equal the given one.",
        )
        .syntax("key:key count:integer element:string"),
    CommandSpec::data("LTRIM", super::ltrim)
        .arity(4)
        .write()
        .keys(&[KeySpec::FIRST.rw().delete()])
        .docs(
            Group::List,
            "1.0.0",
            "O(N), N being the number of elements removed",
            "Keeps a range of elements and removes the others.",
        )
        .syntax("key:key start:integer stop:integer"),
    CommandSpec::data("LPOS", super::lpos)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::FIRST.ro().access()])
        .docs(
            Group::List,
            "6.0.6",
            "O(N), N being the number of elements looked at",
            "Finds the index of elements that equal the given one.",
        )
        .syntax(
            "key:key element:string [RANK=rank:integer] [COUNT=num-matches:integer] \
            [MAXLEN=len:integer]",
        ),
    CommandSpec::data("LMOVE", moves::lmove)
        .arity(5)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "6.2.0",
            "O(1)",
            "Takes an element from one end of a list and puts it to an end of another.",
        )
        .syntax("source:key destination:key@1 <wherefrom: LEFT|RIGHT> <whereto: LEFT|RIGHT>"),
    CommandSpec::data("RPOPLPUSH", moves::rpoplpush)
        .arity(3)
        .write()
        .deny_oom()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "1.2.0",
            "O(1)",
            "Takes the last element of a list and puts it before the first of another.",
        )
        .syntax("source:key destination:key@1")
        .deprecated("6.2.0", "`LMOVE … RIGHT LEFT`"),
    CommandSpec::data("LMPOP", moves::lmpop)
        .arity(-4)
        .write()
        .keys(&[KeySpec::FIRST.numkeys(0, 1, 1).rw().access().delete()])
        .docs(
            Group::List,
            "7.0.0",
            "O(N+M), N being the number of keys and M that of the elements taken",
            "Takes elements from the first of several lists that has any.",
        )
        .syntax("numkeys:integer key:key... <where: LEFT|RIGHT> [COUNT=count:integer]"),
    CommandSpec::data("BLPOP", moves::blpop)
        .arity(-3)
        .write()
        .blocking()
        .keys(&[KeySpec::FIRST.range(-2, 1, 0).rw().access().delete()])
        .docs(
            Group::List,
            "2.0.0",
            "O(N), N being the number of keys",
            "Takes the first element of the first list that has any, and waits for one otherwise.",
        )
        .syntax("key:key... timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")]),
    CommandSpec::data("BRPOP", moves::brpop)
        .arity(-3)
        .write()
        .blocking()
        .keys(&[KeySpec::FIRST.range(-2, 1, 0).rw().access().delete()])
        .docs(
            Group::List,
            "2.0.0",
            "O(N), N being the number of keys",
            "Takes the last element of the first list that has any, and waits for one otherwise.",
        )
        .syntax("key:key... timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")]),
    CommandSpec::data("BLMOVE", moves::blmove)
        .arity(6)
        .write()
        .deny_oom()
        .blocking()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "6.2.0",
            "O(1)",
            "Takes an element from one end of a list, waiting for one where there is none, \
            and puts it to an end of another.",
        )
        .syntax(
            "source:key destination:key@1 <wherefrom: LEFT|RIGHT> <whereto: LEFT|RIGHT> \
            timeout:double",
        ),
    CommandSpec::data("BRPOPLPUSH", moves::brpoplpush)
        .arity(4)
        .write()
        .deny_oom()
        .blocking()
        .keys(&[KeySpec::FIRST.rw().access().delete(), KeySpec::SECOND.rw().insert()])
        .docs(
            Group::List,
            "2.2.0",
            "O(1)",
            "Takes the last element of a list, waiting for one where there is none, and puts \
            it before the first of another.",
        )
        .syntax("source:key destination:key@1 timeout:double")
        .history(&[("6.0.0", "The timeout may have a fraction.")])
        .deprecated("6.2.0", "`BLMOVE … RIGHT LEFT`"),
    CommandSpec::data("BLMPOP", moves::blmpop)
        .arity(-5)
        .write()
        .blocking()
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).rw().access().delete()])
        .docs(
            Group::List,
            "7.0.0",
            "O(N+M), N being the number of keys and M that of the elements taken",
            "Takes elements from the first of several lists that has any, and waits for them \
            otherwise.",
        )
        .syntax("timeout:double numkeys:integer key:key... <where: LEFT|RIGHT> [COUNT=count:integer]"),
];
