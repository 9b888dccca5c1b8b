//! Sentinel mode: the rows of the command table.

use super::{change, query, settings};
use crate::commands::connection::specs::CLIENT;
use crate::engine::ControlHandler;
use crate::engine::command::spec::{CommandSpec, Group, category, flag};

/// A subcommand of SENTINEL.
const fn sub(name: &'static str, handler: ControlHandler, arity: i32) -> CommandSpec {
    CommandSpec::control(name, handler).arity(arity).admin()
}

/// A subcommand that tells something.
const fn tells(
    name: &'static str,
    handler: ControlHandler,
    arity: i32,
    summary: &'static str,
) -> CommandSpec {
    sub(name, handler, arity).docs(Group::Sentinel, "2.8.4", "O(N), N being what is shown", summary)
}

/// A subcommand that changes something.
const fn does(name: &'static str, handler: ControlHandler, arity: i32, summary: &'static str) -> CommandSpec {
    sub(name, handler, arity).docs(Group::Sentinel, "2.8.4", "O(1)", summary)
}

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::container("SENTINEL", SENTINEL).arity(-2).admin().docs(
        Group::Sentinel,
        "2.8.4",
        "Depends on the subcommand",
        "Contains the commands of Sentinel mode.",
    ),
    // What these set is of use only where there is data.
    CLIENT.without(&["CAPA", "IMPORT-SOURCE", "NO-TOUCH"]),
    CommandSpec::control("PUBLISH", super::publish)
        .arity(3)
        .loading()
        .stale()
        .fast()
        .with(flag::PUBSUB | flag::MAY_REPLICATE)
        .docs(Group::Pubsub, "2.0.0", "O(1)", "Takes the hello message of another sentinel.")
        .syntax("channel:string message:string"),
    CommandSpec::control("ROLE", super::role)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .category(category::ADMIN | category::DANGEROUS)
        .docs(
            Group::Server,
            "2.8.12",
            "O(N), N being the number of primaries",
            "Lists the monitored primaries.",
        ),
];

const SENTINEL: &[CommandSpec] = &[
    tells("CKQUORUM", query::check_quorum, 3, "Tells whether quorum and majority can be reached."),
    does("CONFIG", settings::config, -4, "Shows and sets what holds for all primaries."),
    does("DEBUG", settings::debug, -2, "Shows and sets periods and time-outs."),
    does("FAILOVER", change::failover, -3, "Fails over without a failure."),
    does("FLUSHCONFIG", change::flush_config, 2, "Writes the configuration file."),
    tells("GET-MASTER-ADDR-BY-NAME", query::address_by_name, 3, "Returns the address of a primary."),
    tells("GET-PRIMARY-ADDR-BY-NAME", query::address_by_name, 3, "Returns the address of a primary."),
    CommandSpec::control("HELP", query::help).arity(2).loading().stale().docs(
        Group::Sentinel,
        "6.2.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    tells("INFO-CACHE", query::info_cache, -3, "Returns the last INFO of primaries and replicas."),
    does("IS-MASTER-DOWN-BY-ADDR", query::is_primary_down, 6, "Tells whether a primary is down, and votes."),
    does("IS-PRIMARY-DOWN-BY-ADDR", query::is_primary_down, 6, "Tells whether a primary is down, and votes."),
    tells("MASTER", query::primary, 3, "Shows a primary."),
    tells("MASTERS", query::primaries, 2, "Shows all primaries."),
    does("MONITOR", change::monitor, 6, "Begins to monitor a primary."),
    tells("MYID", query::myid, 2, "Returns the id of this sentinel."),
    tells("PENDING-SCRIPTS", query::pending_scripts, 2, "Shows scripts that wait or run."),
    tells("PRIMARIES", query::primaries, 2, "Shows all primaries."),
    tells("PRIMARY", query::primary, 3, "Shows a primary."),
    does("REMOVE", change::remove, 3, "Stops monitoring a primary."),
    tells("REPLICAS", query::replicas, 3, "Shows the replicas of a primary."),
    does("RESET", change::reset, 3, "Forgets what was observed of primaries."),
    tells("SENTINELS", query::sentinels, 3, "Shows the other sentinels of a primary."),
    does("SET", change::set, -5, "Changes how a primary is monitored."),
    does("SIMULATE-FAILURE", change::simulate_failure, -3, "Has this sentinel end in a failover."),
    tells("SLAVES", query::replicas, 3, "Shows the replicas of a primary."),
];
