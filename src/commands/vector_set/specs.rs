//! Specs of the vector set commands, for the command table. In Redis they belong to a module that is part of the server: names are in
//! upper case, and they have no ACL category.

use super::{add, similar};
use crate::engine::command::spec::{CommandSpec, Group, KeySpec};

/// The key, whatever is done with it: modules of Redis say no more.
const KEY: &[KeySpec] = &[KeySpec::FIRST.rw().access().update()];

/// One command.
const fn row(name: &'static str, handler: crate::engine::DataHandler, arity: i32) -> CommandSpec {
    CommandSpec::data(name, handler).of_module().arity(arity).keys(KEY)
}

pub const COMMANDS: &[CommandSpec] = &[
    row("VADD", add::vadd, -5)
        .write()
        .deny_oom()
        .docs(Group::Module, "8.0.0", "", "Adds an element with its vector, or gives it another vector.")
        .syntax(
            "key:key [REDUCE=(reduce: dim:integer)] <format: FP32|VALUES> vector:string element:string [CAS] \
            [<quant_type: NOQUANT|BIN|Q8>] [EF=build-exploration-factor:integer] [SETATTR=attributes:string] \
            [M=numlinks:integer]",
        ),
    row("VREM", super::vrem, 3)
        .write()
        .docs(Group::Module, "8.0.0", "", "Removes an element.")
        .syntax("key:key element:string"),
    row("VSIM", similar::vsim, -4)
        .readonly()
        .docs(Group::Module, "8.0.0", "", "Finds the elements whose vectors are nearest to another.")
        .syntax(
            "key:key <format: ELE|FP32|VALUES> vector_or_element:string [WITHSCORES] [WITHATTRIBS] \
            [COUNT=count:integer] [EPSILON=max_distance:double] [EF=search-exploration-factor:integer] \
            [FILTER=expression:string] [FILTER-EF=max-filtering-effort:integer] [TRUTH] [NOTHREAD]",
        ),
    row("VDIM", super::vdim, 2)
        .readonly()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Returns the dimension of the vectors.")
        .syntax("key:key"),
    row("VCARD", super::vcard, 2)
        .readonly()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Counts the elements.")
        .syntax("key:key"),
    row("VEMB", super::vemb, -3)
        .readonly()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Reads the vector of an element.")
        .syntax("key:key element:string [RAW]"),
    row("VLINKS", super::vlinks, -3)
        .readonly()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Lists the neighbours of an element in each layer of the graph.")
        .syntax("key:key element:string [WITHSCORES]"),
    row("VINFO", super::vinfo, 2)
        .readonly()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Describes a vector set and its graph.")
        .syntax("key:key"),
    row("VSETATTR", super::vsetattr, 4)
        .write()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Sets the attribute of an element, or removes it.")
        .syntax("key:key element:string json:string"),
    row("VGETATTR", super::vgetattr, 3)
        .readonly()
        .fast()
        .docs(Group::Module, "8.0.0", "", "Reads the attribute of an element.")
        .syntax("key:key element:string"),
    row("VRANDMEMBER", super::vrandmember, -2)
        .readonly()
        .docs(Group::Module, "8.0.0", "", "Draws elements at random.")
        .syntax("key:key [count:integer]"),
    row("VISMEMBER", super::vismember, 3)
        .readonly()
        .docs(Group::Module, "8.2.0", "", "Tells whether there is an element.")
        .syntax("key:key element:string"),
    row("VRANGE", super::vrange, -4)
        .readonly()
        .docs(Group::Module, "8.4.0", "", "Lists elements in the order of their names.")
        .syntax("key:key start:string end:string [count:integer]"),
];
