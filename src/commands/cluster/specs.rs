//! The cluster: the rows of the command table.

use super::change::*;
use super::help::help;
use super::migrate_slots::{cancel, migrate_slots, report};
use super::migration::migration;
use super::query::*;
use super::set_slot::set_slot;
use super::slots::{count_keys, flush_slot, get_keys, stats};
use super::sync_slots::sync_slots;
use super::trim_slots::trim_slots;
use super::{asking, readonly, readwrite};
use crate::engine::command::spec::{CommandSpec, Group, category, flag};
use crate::engine::{ClientHandler, ControlHandler};

/// A subcommand that concerns a node's state.
const fn subcommand(name: &'static str, arity: i32, handler: ControlHandler) -> CommandSpec {
    CommandSpec::control(name, handler).arity(arity).stale()
}

/// A subcommand that changes a node's state.
const fn change(name: &'static str, arity: i32, handler: ControlHandler) -> CommandSpec {
    subcommand(name, arity, handler).admin().with(flag::NO_ASYNC_LOADING)
}

/// A command about a connection to a node.
const fn connection(name: &'static str, handler: ClientHandler) -> CommandSpec {
    CommandSpec::client(name, handler).arity(1).fast().categories_are(category::CONNECTION)
}

const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::container("CLUSTER", CLUSTER).docs(
        Group::Cluster,
        "3.0.0",
        "That of the subcommand",
        "Contains the commands about a cluster.",
    ),
    connection("ASKING", asking).docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        "Lets the next request reach a slot that is coming here.",
    ),
    connection("READONLY", readonly).loading().stale().docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        "Lets this connection read from a replica.",
    ),
    connection("READWRITE", readwrite).loading().stale().docs(
        Group::Cluster,
        "3.0.0",
        "O(1)",
        "Sends this connection to the primary again for what it reads.",
    ),
    CommandSpec::control("TRIMSLOTS", trim_slots)
        .arity(-5)
        .write()
        .categories_are(category::KEYSPACE | category::DANGEROUS)
        .docs(
            Group::Server,
            "8.4.0",
            "O(N), N being the number of keys",
            "Removes the keys of slots that another node serves.",
        )
        .syntax("RANGES=(ranges: numranges:integer (slots: startslot:integer endslot:integer)...)"),
];

const CLUSTER: &[CommandSpec] = &[
    change("ADDSLOTS", -3, add_slots)
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of slots", "Gives slots to this node.")
        .syntax("slot:integer..."),
    change("ADDSLOTSRANGE", -4, add_slots_range)
        .docs(Group::Cluster, "7.0.0", "O(N), N being the number of slots in the ranges", "Gives ranges of slots to this node.")
        .syntax("(range: start-slot:integer end-slot:integer)..."),
    change("BUMPEPOCH", 2, bump_epoch)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Advances the configuration epoch of the cluster.")
        .tips(NONDETERMINISTIC),
    change("CANCELSLOTMIGRATIONS", 2, cancel)
        .docs(Group::Cluster, "9.0.0", "O(N), N being the number of migrations under way", "Gives up all migrations of slots that leave this node."),
    subcommand("COUNT-FAILURE-REPORTS", 3, count_failure_reports).admin()
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of reports", "Tells how many nodes report that a node fails.")
        .syntax("node-id:string")
        .tips(NONDETERMINISTIC),
    subcommand("COUNTKEYSINSLOT", 3, count_keys)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Tells how many keys a slot has here.")
        .syntax("slot:integer"),
    change("DELSLOTS", -3, del_slots)
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of slots", "Takes slots away from this node.")
        .syntax("slot:integer..."),
    change("DELSLOTSRANGE", -4, del_slots_range)
        .docs(Group::Cluster, "7.0.0", "O(N), N being the number of slots in the ranges", "Takes ranges of slots away from this node.")
        .syntax("(range: start-slot:integer end-slot:integer)..."),
    change("FAILOVER", -2, failover)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Has this replica take the place of its primary.")
        .syntax("[<options: FORCE|TAKEOVER>]"),
    CommandSpec::control("FLUSHSLOT", flush_slot).arity(-3).write().admin().with(flag::NO_ASYNC_LOADING)
        .category(category::KEYSPACE)
        .docs(Group::Cluster, "9.0.0", "O(N), N being the number of keys", "Removes the keys of a slot.")
        .syntax("slot:integer [<flush-type: ASYNC|SYNC>]"),
    change("FLUSHSLOTS", 2, flush_slots)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Takes all slots away from this node."),
    change("FORGET", 3, forget)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Removes a node from those that this one knows.")
        .syntax("node-id:string"),
    subcommand("GETKEYSINSLOT", 4, get_keys)
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of keys that are wanted", "Shows keys of a slot.")
        .syntax("slot:integer count:integer")
        .tips(NONDETERMINISTIC),
    change("GETSLOTMIGRATIONS", 2, report)
        .docs(Group::Cluster, "9.0.0", "O(N), N being the number of migrations", "Shows the migrations of slots from and to this node: those under way, and the last that are over."),
    subcommand("HELP", 2, help).loading()
        .docs(Group::Cluster, "5.0.0", "O(1)", "Shows the subcommands."),
    subcommand("INFO", 2, info).loading()
        .docs(Group::Cluster, "3.0.0", "O(1)", "Tells the state of the cluster.")
        .tips(NONDETERMINISTIC),
    subcommand("KEYSLOT", 3, key_slot_of)
        .docs(Group::Cluster, "3.0.0", "O(N), N being the bytes of the key", "Tells which slot a key is of.")
        .syntax("key:string"),
    subcommand("LINKS", 2, links)
        .docs(Group::Cluster, "7.0.0", "O(N), N being the number of nodes", "Lists the links to other nodes.")
        .tips(NONDETERMINISTIC),
    change("MEET", -4, meet)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Makes this node and another one know each other.")
        .history(&[("4.0.0", "The port of the bus came in.")])
        .syntax("ip:string port:integer [cluster-bus-port:integer~4.0.0]"),
    change("MIGRATESLOTS", -4, migrate_slots)
        .docs(Group::Cluster, "9.0.0", "O(N), N being the number of slots", "Moves slots with their keys from this node to others, each range at one moment.")
        .syntax("(migration-group: SLOTSRANGE (range: start-slot:integer end-slot:integer)... NODE node-id:string)..."),
    change("MIGRATION", -4, migration)
        .docs(Group::Cluster, "8.4.0", "O(N), N being the number of slots", "Moves slots with their keys to this node at one moment, and shows or gives up such moves.")
        .syntax("<subcommand: IMPORT=(import: start-slot:integer end-slot:integer)...|CANCEL=<cancel: ID=task-id:string|ALL>|STATUS=<status: [ID=task-id:string]|[ALL]>>"),
    subcommand("MYID", 2, my_id).loading()
        .docs(Group::Cluster, "3.0.0", "O(1)", "Tells the id of this node."),
    subcommand("MYSHARDID", 2, my_shard_id).loading()
        .docs(Group::Cluster, "7.2.0", "O(1)", "Tells the id of this node's shard.")
        .tips(NONDETERMINISTIC),
    subcommand("NODES", 2, nodes).loading()
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of nodes", "Shows the configuration of the cluster as this node knows it.")
        .tips(NONDETERMINISTIC),
    subcommand("REPLICAS", 3, replicas).admin()
        .docs(Group::Cluster, "5.0.0", "O(N), N being the number of replicas", "Lists the replicas of a primary.")
        .syntax("node-id:string")
        .tips(NONDETERMINISTIC),
    change("REPLICATE", -3, replicate)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Makes this node a replica of another one.")
        .syntax("node-id:string"),
    subcommand("RESET", -2, reset).admin().noscript()
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of nodes that are known; a replica loses its data as well", "Makes this node a new one.")
        .syntax("[<reset-type: HARD|SOFT>]"),
    change("SAVECONFIG", 2, save_config)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Writes the configuration of the cluster to the disk."),
    change("SET-CONFIG-EPOCH", 3, set_config_epoch)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Sets the configuration epoch of a new node.")
        .syntax("config-epoch:integer"),
    change("SETSLOT", -4, set_slot)
        // Its replicas do it first: a primary that is about to hand over to one of them lets it wait, as it does writes.
        .with(flag::MAY_REPLICATE)
        .docs(Group::Cluster, "3.0.0", "O(1)", "Gives a slot to a node, or begins or ends to move it.")
        .syntax("slot:integer <subcommand: IMPORTING=importing{node-id}:string|MIGRATING=migrating{node-id}:string|NODE=node{node-id}:string|STABLE> [TIMEOUT=timeout:integer]"),
    subcommand("SHARDS", 2, shards).loading()
        .docs(Group::Cluster, "7.0.0", "O(N), N being the number of nodes", "Lists the shards: their slots and nodes.")
        .tips(NONDETERMINISTIC),
    subcommand("SLOT-STATS", -4, stats).loading()
        .docs(Group::Cluster, "8.2.0", "O(N), N being the number of slots; with ORDERBY O(N log(N))", "Shows statistics of this shard's slots.")
        .syntax("<filter: SLOTSRANGE=(slotsrange: start-slot:integer end-slot:integer)|ORDERBY=(orderby: metric:string [LIMIT=limit:integer] [<order: ASC|DESC>])>")
        .tips(&["nondeterministic_output", "request_policy:all_shards"]),
    subcommand("SLAVES", 3, replicas).admin()
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of replicas", "Lists the replicas of a primary.")
        .syntax("node-id:string")
        .tips(NONDETERMINISTIC)
        .deprecated("5.0.0", "`CLUSTER REPLICAS`"),
    subcommand("SLOTS", 2, slots).loading()
        .docs(Group::Cluster, "3.0.0", "O(N), N being the number of nodes", "Lists ranges of slots and their nodes.")
        .tips(NONDETERMINISTIC)
        .deprecated("7.0.0", "`CLUSTER SHARDS`")
        .history(&[("4.0.0", "The ids of nodes came in."), ("7.0.0", "Further addresses of nodes came in.")]),
    change("SYNCSLOTS", -3, sync_slots).system()
        .docs(Group::Cluster, "8.4.0", "That of the step", "Carries what the two nodes of a slot migration say to each other.")
        .tips(NONDETERMINISTIC),
];
