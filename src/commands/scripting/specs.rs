//! The rows of scripts in the command table.

use super::{eval, function, script};
use crate::engine::ControlHandler;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec, flag};

const NOTES: &str = "It isn't known how the keys are used: the worst is assumed.";

const fn runs(name: &'static str, handler: ControlHandler) -> CommandSpec {
    CommandSpec::control(name, handler)
        .arity(-3)
        .noscript()
        .stale()
        .with(flag::SKIP_MONITOR | flag::NO_MANDATORY_KEYS | flag::RUNS_SCRIPT)
        .key_finder(eval::keys)
}

const BY_TEXT: &str = "script:string numkeys:integer [key:key...] [arg:string...]";
const BY_NAME: &str = "function:string numkeys:integer [key:key...] [arg:string...]";
const BY_SHA1: &str = "sha1:string numkeys:integer [key:key...] [arg:string...]";

pub const COMMANDS: &[CommandSpec] = &[
    runs("EVAL", eval::eval)
        .with(flag::MAY_REPLICATE)
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).rw().access().update().notes(NOTES)])
        .docs(Group::Scripting, "2.6.0", "That of the script", "Runs a Lua script.")
        .syntax(BY_TEXT),
    runs("EVALSHA", eval::evalsha)
        .with(flag::MAY_REPLICATE)
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).rw().access().update()])
        .docs(
            Group::Scripting,
            "2.6.0",
            "That of the script",
            "Runs a Lua script that is cached, by its SHA-1.",
        )
        .syntax(BY_SHA1),
    runs("EVAL_RO", eval::eval_ro)
        .readonly()
        .key_finder(eval::keys_ro)
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).ro().access().notes(NOTES)])
        .docs(Group::Scripting, "7.0.0", "That of the script", "Runs a Lua script that only reads.")
        .syntax(BY_TEXT),
    runs("EVALSHA_RO", eval::evalsha_ro)
        .readonly()
        .key_finder(eval::keys_ro)
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).ro().access()])
        .docs(
            Group::Scripting,
            "7.0.0",
            "That of the script",
            "Runs a Lua script that is cached and only reads, by its SHA-1.",
        )
        .syntax(BY_SHA1),
    runs("FCALL", function::fcall)
        .with(flag::MAY_REPLICATE)
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).rw().access().update().notes(NOTES)])
        .docs(Group::Scripting, "7.0.0", "That of the function", "Calls a function.")
        .syntax(BY_NAME),
    runs("FCALL_RO", function::fcall_ro)
        .readonly()
        .key_finder(eval::keys_ro)
        .keys(&[KeySpec::SECOND.numkeys(0, 1, 1).ro().access().notes(NOTES)])
        .docs(Group::Scripting, "7.0.0", "That of the function", "Calls a function that only reads.")
        .syntax(BY_NAME),
    CommandSpec::container("FUNCTION", FUNCTION).docs(
        Group::Scripting,
        "7.0.0",
        "That of the subcommand",
        "Contains the commands about libraries of functions.",
    ),
    CommandSpec::container("SCRIPT", SCRIPT).docs(
        Group::Scripting,
        "2.6.0",
        "That of the subcommand",
        "Contains the commands about scripts.",
    ),
];

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const SCRIPT: &[CommandSpec] = &[
    CommandSpec::control("LOAD", script::load)
        .arity(3)
        .noscript()
        .stale()
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N), N being the bytes of the script",
            "Adds a script to the cache.",
        )
        .syntax("script:string")
        .tips(ALL_NODES),
    CommandSpec::control("EXISTS", script::exists)
        .arity(-3)
        .noscript()
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N), N being the number of scripts",
            "Tells which scripts are in the cache.",
        )
        .syntax("sha1:string...")
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]),
    CommandSpec::control("FLUSH", script::flush)
        .arity(-2)
        .noscript()
        .docs(
            Group::Scripting,
            "2.6.0",
            "O(N), N being the number of scripts",
            "Empties the cache of scripts.",
        )
        .syntax("[<flush-type: ASYNC|SYNC>~6.2.0]")
        .history(&[("6.2.0", "Added the modes `ASYNC` and `SYNC`.")])
        .tips(ALL_NODES),
    CommandSpec::control("KILL", script::kill)
        .arity(2)
        .noscript()
        .with(flag::ALLOW_BUSY)
        .docs(Group::Scripting, "2.6.0", "O(1)", "Ends the script that is running.")
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    CommandSpec::client("DEBUG", script::debug)
        .arity(-3)
        .noscript()
        .docs(Group::Scripting, "3.2.0", "O(1)", "Sets how the next scripts are debugged.")
        .syntax("<mode: YES|SYNC|NO>"),
    CommandSpec::control("SHOW", script::show)
        .arity(3)
        .noscript()
        .stale()
        .docs(Group::Scripting, "8.0.0", "O(1)", "Returns a script of the cache.")
        .syntax("sha1:string"),
    CommandSpec::client("HELP", script::help).arity(2).loading().stale().docs(
        Group::Scripting,
        "5.0.0",
        "O(1)",
        "Lists the subcommands.",
    ),
];

const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const ONE_SHARD: &[&str] = &["request_policy:all_shards", "response_policy:one_succeeded"];

const FUNCTION: &[CommandSpec] = &[
    CommandSpec::control("LOAD", function::load)
        .arity(-3)
        .noscript()
        .write()
        .deny_oom()
        .docs(Group::Scripting, "7.0.0", "O(1) and that of the library's code", "Loads a library.")
        .syntax("[REPLACE] function-code:string")
        .tips(ALL_SHARDS),
    CommandSpec::control("DELETE", function::delete)
        .arity(3)
        .noscript()
        .write()
        .docs(Group::Scripting, "7.0.0", "O(N), N being the number of its functions", "Deletes a library.")
        .syntax("library-name:string")
        .tips(ALL_SHARDS),
    CommandSpec::control("FLUSH", function::flush)
        .arity(-2)
        .noscript()
        .write()
        .docs(Group::Scripting, "7.0.0", "O(N), N being the number of functions", "Deletes all libraries.")
        .syntax("[<flush-type: ASYNC|SYNC>]")
        .tips(ALL_SHARDS),
    CommandSpec::control("DUMP", function::dump).arity(2).noscript().docs(
        Group::Scripting,
        "7.0.0",
        "O(N), N being the bytes of all libraries",
        "Returns all libraries as a payload.",
    ),
    CommandSpec::control("RESTORE", function::restore)
        .arity(-3)
        .noscript()
        .write()
        .deny_oom()
        .docs(
            Group::Scripting,
            "7.0.0",
            "O(N), N being the number of functions",
            "Loads the libraries of a payload.",
        )
        .syntax("serialized-value:string [<policy: FLUSH|APPEND|REPLACE>]")
        .tips(ALL_SHARDS),
    CommandSpec::control("LIST", function::list)
        .arity(-2)
        .noscript()
        .docs(
            Group::Scripting,
            "7.0.0",
            "O(N), N being the number of functions",
            "Lists libraries and their functions.",
        )
        .syntax("[LIBRARYNAME=library-name-pattern:string] [WITHCODE]")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::control("STATS", function::stats)
        .arity(2)
        .noscript()
        .with(flag::ALLOW_BUSY)
        .docs(Group::Scripting, "7.0.0", "O(1)", "Tells which function is running.")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    CommandSpec::control("KILL", function::kill)
        .arity(2)
        .noscript()
        .with(flag::ALLOW_BUSY)
        .docs(Group::Scripting, "7.0.0", "O(1)", "Ends the function that is running.")
        .tips(ONE_SHARD),
    CommandSpec::control("HELP", function::help).arity(2).loading().stale().docs(
        Group::Scripting,
        "7.0.0",
        "O(1)",
        "Lists the subcommands.",
    ),
];
