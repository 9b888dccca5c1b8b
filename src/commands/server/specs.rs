//! The server: the rows of the command table.

use super::{command, config, debug, hotkeys, info, latency, memory, module, monitor, slowlog};
use crate::engine::command::spec::{CommandSpec, Group, KeySpec, category, flag};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::client("TIME", super::time)
        .arity(1)
        .loading()
        .stale()
        .fast()
        .docs(Group::Server, "2.6.0", "O(1)", "Tells the time of the server.")
        .tips(&["nondeterministic_output"]),
    CommandSpec::client("SHUTDOWN", super::shutdown)
        .arity(-1)
        .admin()
        .noscript()
        .loading()
        .stale()
        .with(flag::NO_MULTI | flag::ALLOW_BUSY)
        .docs(
            Group::Server,
            "1.0.0",
            "O(N) with a save, N being the number of keys in all databases; O(1) otherwise",
            "Saves the dataset, if wanted, and stops the server.",
        )
        .syntax(
            "[<abort-selector: (save-selector-block: [<save-selector: NOSAVE|SAVE>] \
            [NOW~7.0.0] [FORCE~7.0.0] [SAFE~9.0.0] [FAILOVER~9.0.0])|ABORT~7.0.0>]",
        )
        .history(&[("7.0.0", "NOW, FORCE and ABORT came in."), ("9.0.0", "SAFE and FAILOVER came in.")]),
    CommandSpec::data("LOLWUT", super::lolwut::lolwut)
        .arity(-1)
        .readonly()
        .fast()
        .docs(Group::Server, "5.0.0", "", "Shows a piece of computer art and the version.")
        .syntax("[VERSION=version:integer]"),
    CommandSpec::client("COMMAND", command::command)
        .arity(-1)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .subcommands(COMMAND)
        .docs(Group::Server, "2.8.13", "O(N), N being the number of commands", "Describes all commands.")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::container("CONFIG", CONFIG).docs(
        Group::Server,
        "2.0.0",
        "Depends on the subcommand",
        "Reads and changes the configuration.",
    ),
    CommandSpec::control("DEBUG", debug::debug)
        .arity(-2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .with(flag::PROTECTED)
        .docs(Group::Server, "1.0.0", "Depends on the subcommand", "Tools for those who work on the server.")
        .system(),
    CommandSpec::control("INFO", info::info)
        .arity(-1)
        .loading()
        .stale()
        .category(category::DANGEROUS)
        .docs(Group::Server, "1.0.0", "O(1)", "Reports on the state of the server.")
        .syntax("[section:string...]")
        .history(&[("7.0.0", "More than one section may be given.")])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    CommandSpec::container("HOTKEYS", HOTKEYS).docs(
        Group::Server,
        "8.6.0",
        "Depends on the subcommand",
        "Tracks which keys take the most time or bytes.",
    ),
    CommandSpec::container("LATENCY", LATENCY).docs(
        Group::Server,
        "2.8.13",
        "Depends on the subcommand",
        "Looks at delays.",
    ),
    CommandSpec::container("MEMORY", MEMORY).docs(
        Group::Server,
        "4.0.0",
        "Depends on the subcommand",
        "Looks at the use of memory.",
    ),
    CommandSpec::container("MODULE", MODULE).docs(
        Group::Server,
        "4.0.0",
        "Depends on the subcommand",
        "Deals with modules.",
    ),
    CommandSpec::client("MONITOR", monitor::monitor).arity(1).admin().noscript().loading().stale().docs(
        Group::Server,
        "1.0.0",
        "",
        "Shows every command the server executes.",
    ),
    CommandSpec::container("SLOWLOG", SLOWLOG).docs(
        Group::Server,
        "2.2.12",
        "Depends on the subcommand",
        "Looks at the log of slow commands.",
    ),
    CommandSpec::container("COMMANDLOG", COMMANDLOG).docs(
        Group::Server,
        "8.1.0",
        "Depends on the subcommand",
        "Looks at the logs of slow commands, large requests and large replies.",
    ),
];

const MODULE: &[CommandSpec] = &[
    CommandSpec::client("HELP", module::help).arity(2).loading().stale().docs(
        Group::Server,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("LIST", module::list)
        .arity(2)
        .admin()
        .noscript()
        .docs(Group::Server, "4.0.0", "O(N), N being the number of modules", "Lists the modules.")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::client("LOAD", module::load)
        .arity(-3)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING | flag::PROTECTED)
        .docs(Group::Server, "4.0.0", "O(1)", "Loads a module; refused here.")
        .syntax("path:string [arg:string...]"),
    CommandSpec::client("LOADEX", module::load)
        .arity(-3)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING | flag::PROTECTED)
        .docs(Group::Server, "7.0.0", "O(1)", "Loads a module with a configuration; refused here.")
        .syntax("path:string [CONFIG=(configs: name:string value:string)*...] [ARGS=args:string...]"),
    CommandSpec::client("UNLOAD", module::unload)
        .arity(3)
        .admin()
        .noscript()
        .with(flag::NO_ASYNC_LOADING | flag::PROTECTED)
        .docs(Group::Server, "4.0.0", "O(1)", "Unloads a module.")
        .syntax("name:string"),
];

const COMMAND: &[CommandSpec] = &[
    CommandSpec::client("COUNT", command::command_count)
        .arity(2)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(Group::Server, "2.8.13", "O(1)", "Counts the commands."),
    CommandSpec::client("DOCS", command::command_docs)
        .arity(-2)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(Group::Server, "7.0.0", "O(N), N being the number of commands asked for", "Documents commands.")
        .syntax("[command-name:string...]")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::client("GETKEYS", command::command_getkeys)
        .arity(-3)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(
            Group::Server,
            "2.8.13",
            "O(N), N being the number of arguments",
            "Picks the keys out of a command.",
        )
        .syntax("command:string [arg:string...]"),
    CommandSpec::client("GETKEYSANDFLAGS", command::command_getkeysandflags)
        .arity(-3)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(
            Group::Server,
            "7.0.0",
            "O(N), N being the number of arguments",
            "Picks the keys out of a command and tells what it does with each.",
        )
        .syntax("command:string [arg:string...]"),
    CommandSpec::client("HELP", command::command_help)
        .arity(2)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(Group::Server, "5.0.0", "O(1)", "Explains the subcommands."),
    CommandSpec::client("INFO", command::command_info)
        .arity(-2)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(
            Group::Server,
            "2.8.13",
            "O(N), N being the number of commands asked for",
            "Describes some or all commands.",
        )
        .syntax("[command-name:string...]")
        .history(&[("7.0.0", "Without names it describes all commands.")])
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::client("LIST", command::command_list)
        .arity(-2)
        .loading()
        .stale()
        .category(category::CONNECTION)
        .docs(Group::Server, "7.0.0", "O(N), N being the number of commands", "Lists the names of commands.")
        .syntax(
            "[FILTERBY=<filterby: MODULE=module-name:string|ACLCAT=category:string|\
            PATTERN=pattern:pattern>]",
        )
        .tips(&["nondeterministic_output_order"]),
];

const CONFIG: &[CommandSpec] = &[
    CommandSpec::client("GET", config::config_get)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.0.0", "O(N), N being the number of parameters", "Reads parameters.")
        .syntax("parameter:string...")
        .history(&[("7.0.0", "More than one pattern may be given.")]),
    CommandSpec::client("HELP", config::config_help).arity(2).loading().stale().docs(
        Group::Server,
        "5.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::control("RESETSTAT", config::config_resetstat)
        .arity(2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.0.0", "O(1)", "Sets the counters of INFO back to zero.")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    CommandSpec::client("REWRITE", config::config_rewrite)
        .arity(2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.8.0", "O(1)", "Writes the configuration in force to the configuration file.")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    CommandSpec::control("SET", config::config_set)
        .arity(-4)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "2.0.0",
            "O(N), N being the number of parameters",
            "Changes parameters while the server runs.",
        )
        .syntax("(data: parameter:string value:string)...")
        .history(&[("7.0.0", "More than one parameter may be given.")])
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

const LATENCY: &[CommandSpec] = &[
    CommandSpec::client("DOCTOR", latency::latency_doctor)
        .arity(2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.8.13", "O(1)", "Judges the delays that were noticed.")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::client("GRAPH", latency::latency_graph)
        .arity(3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.8.13", "O(1)", "Draws the delays of an event.")
        .syntax("event:string")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::client("HELP", latency::latency_help).arity(2).loading().stale().docs(
        Group::Server,
        "2.8.13",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("HISTOGRAM", latency::latency_histogram)
        .arity(-2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "7.0.0",
            "O(N), N being the number of commands with times",
            "Shows the distribution of execution times of commands.",
        )
        .syntax("[command:string...]")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::client("HISTORY", latency::latency_history)
        .arity(3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.8.13", "O(1)", "Lists the delays of an event.")
        .syntax("event:string")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::client("LATEST", latency::latency_latest)
        .arity(2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.8.13", "O(1)", "Lists the last delay of each event.")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::client("TOP", latency::latency_top)
        .arity(-2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "8.0.0",
            "O(N log(N)), N being at most 128",
            "Lists the calls that held the server up the longest in the last hour.",
        )
        .syntax("[COUNT=count:integer]")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
    CommandSpec::client("RESET", latency::latency_reset)
        .arity(-2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "2.8.13", "O(1)", "Forgets the delays of events.")
        .syntax("[event:string...]")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum"]),
];

const HOTKEYS: &[CommandSpec] = &[
    CommandSpec::control("GET", hotkeys::get)
        .arity(2)
        .admin()
        .noscript()
        .docs(
            Group::Server,
            "8.6.0",
            "O(K), K being the number of keys that are shown",
            "Shows the keys that take the most time or bytes.",
        )
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    CommandSpec::client("HELP", hotkeys::help).arity(2).loading().stale().docs(
        Group::Server,
        "8.6.1",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::control("RESET", hotkeys::reset)
        .arity(2)
        .admin()
        .noscript()
        .docs(Group::Server, "8.6.0", "O(1)", "Forgets what was tracked.")
        .tips(&["request_policy:special"]),
    CommandSpec::control("START", hotkeys::start)
        .arity(-2)
        .admin()
        .noscript()
        .docs(Group::Server, "8.6.0", "O(1)", "Begins to track which keys take the most time or bytes.")
        .syntax(
            "METRICS=(metrics: count:integer [CPU] [NET]) [COUNT=k:integer] [DURATION=seconds:integer] \
            [SAMPLE=ratio:integer] [SLOTS=(slots: count:integer slot:integer...)]",
        )
        .tips(&["request_policy:special"]),
    CommandSpec::control("STOP", hotkeys::stop)
        .arity(2)
        .admin()
        .noscript()
        .docs(Group::Server, "8.6.0", "O(1)", "Ends the tracking of hot keys.")
        .tips(&["request_policy:special"]),
];

const MEMORY: &[CommandSpec] = &[
    CommandSpec::control("DOCTOR", memory::memory_doctor)
        .arity(2)
        .docs(Group::Server, "4.0.0", "O(1)", "Judges the use of memory.")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    CommandSpec::client("HELP", memory::memory_help).arity(2).loading().stale().docs(
        Group::Server,
        "4.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("MALLOC-STATS", memory::memory_malloc_stats)
        .arity(2)
        .docs(
            Group::Server,
            "4.0.0",
            "As long as the allocator takes",
            "Shows the statistics of the allocator.",
        )
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    CommandSpec::client("PURGE", memory::memory_purge)
        .arity(2)
        .docs(
            Group::Server,
            "4.0.0",
            "As long as the allocator takes",
            "Asks the allocator to give back what is free.",
        )
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    CommandSpec::control("STATS", memory::memory_stats)
        .arity(2)
        .docs(Group::Server, "4.0.0", "O(1)", "Shows where memory goes.")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    CommandSpec::control("TOP", memory::memory_top)
        .arity(-2)
        .admin()
        .noscript()
        .docs(
            Group::Server,
            "8.6.0",
            "O(N) in slices, N being the number of keys in the database",
            "Shows which keys and which prefixes of keys take the most memory.",
        )
        .syntax("[PREFIX=depth:integer] [COUNT=count:integer]")
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    CommandSpec::data("USAGE", memory::memory_usage)
        .arity(-3)
        .readonly()
        .keys(&[KeySpec::SECOND.ro()])
        .docs(
            Group::Server,
            "4.0.0",
            "O(N), N being the number of elements sampled",
            "Estimates how many bytes a key takes.",
        )
        .syntax("key:key [SAMPLES=count:integer]"),
];

const SLOWLOG: &[CommandSpec] = &[
    CommandSpec::client("GET", slowlog::slowlog_get)
        .arity(-2)
        .admin()
        .loading()
        .stale()
        .docs(Group::Server, "2.2.12", "O(N), N being the number of entries", "Reads entries of the log.")
        .syntax("[count:integer]")
        .history(&[("4.0.0", "Address and name of the client came into the entries.")])
        .tips(&["request_policy:all_nodes", "nondeterministic_output"]),
    CommandSpec::client("HELP", slowlog::slowlog_help).arity(2).loading().stale().docs(
        Group::Server,
        "6.2.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("LEN", slowlog::slowlog_len)
        .arity(2)
        .admin()
        .loading()
        .stale()
        .docs(Group::Server, "2.2.12", "O(1)", "Counts the entries of the log.")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
    CommandSpec::client("RESET", slowlog::slowlog_reset)
        .arity(2)
        .admin()
        .loading()
        .stale()
        .docs(Group::Server, "2.2.12", "O(N), N being the number of entries", "Empties the log.")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

const COMMANDLOG: &[CommandSpec] = &[
    CommandSpec::client("GET", slowlog::commandlog_get)
        .arity(4)
        .admin()
        .loading()
        .stale()
        .docs(Group::Server, "8.1.0", "O(N), N being the number of entries", "Reads entries of a log.")
        .syntax("count:integer <type: SLOW|LARGE-REQUEST|LARGE-REPLY>")
        .tips(&["request_policy:all_nodes", "nondeterministic_output"]),
    CommandSpec::client("HELP", slowlog::commandlog_help).arity(2).loading().stale().docs(
        Group::Server,
        "8.1.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("LEN", slowlog::commandlog_len)
        .arity(3)
        .admin()
        .loading()
        .stale()
        .docs(Group::Server, "8.1.0", "O(1)", "Counts the entries of a log.")
        .syntax("<type: SLOW|LARGE-REQUEST|LARGE-REPLY>")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
    CommandSpec::client("RESET", slowlog::commandlog_reset)
        .arity(3)
        .admin()
        .loading()
        .stale()
        .docs(Group::Server, "8.1.0", "O(N), N being the number of entries", "Empties a log.")
        .syntax("<type: SLOW|LARGE-REQUEST|LARGE-REPLY>")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];
