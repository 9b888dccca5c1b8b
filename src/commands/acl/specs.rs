//! The rows of ACL's subcommands in the command table.

use super::{log, roles, users};
use crate::engine::command::spec::{CommandSpec, Group};

pub const COMMANDS: &[CommandSpec] = &[CommandSpec::container("ACL", ACL).docs(
    Group::Server,
    "6.0.0",
    "Depends on the subcommand",
    "Manages users and their rights.",
)];

/// What a cluster's proxy does with a command that changes users.
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const ACL: &[CommandSpec] = &[
    CommandSpec::client("CAT", super::acl_cat)
        .arity(-2)
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "6.0.0",
            "O(1), the commands being fixed",
            "Lists the categories, or the commands of one.",
        )
        .syntax("[category:string]"),
    CommandSpec::client("DELROLE", roles::acl_delrole)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "9.2.0",
            "O(N), N being the number of roles to remove",
            "Removes roles that no user holds.",
        )
        .syntax("rolename:string...")
        .tips(ALL_NODES),
    CommandSpec::control("DELUSER", users::acl_deluser)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "6.0.0",
            "O(N), N being the number of clients",
            "Removes users and closes their connections.",
        )
        .syntax("username:string...")
        .tips(ALL_NODES),
    CommandSpec::client("DIGEST", roles::acl_digest).arity(2).admin().noscript().loading().stale().docs(
        Group::Server,
        "9.2.0",
        "O(N), N being the number of users and roles",
        "Makes a fingerprint of the rules in effect.",
    ),
    CommandSpec::client("DRYRUN", super::acl_dryrun)
        .arity(-4)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "7.0.0", "O(1)", "Says whether a user might run a command, without running it.")
        .syntax("username:string command:string [arg:string...]"),
    CommandSpec::client("GENPASS", super::acl_genpass)
        .arity(-2)
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "6.0.0", "O(1)", "Makes up a password that is hard to guess.")
        .syntax("[bits:integer]"),
    CommandSpec::client("GETROLE", roles::acl_getrole)
        .arity(3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "9.2.0",
            "O(N), N being the number of the role's rules and of the users that hold it",
            "Shows the rules of a role, and the users that hold it.",
        )
        .syntax("rolename:string"),
    CommandSpec::client("GETUSER", users::acl_getuser)
        .arity(3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "6.0.0",
            "O(N), N being the number of the user's rules",
            "Shows the rules of a user.",
        )
        .syntax("username:string")
        .history(&[
            ("6.2.0", "It shows channels."),
            ("7.0.0", "It shows selectors; keys and channels are shown as rules."),
        ]),
    CommandSpec::client("HELP", super::acl_help).arity(2).loading().stale().docs(
        Group::Server,
        "6.0.0",
        "O(1)",
        "Explains the subcommands.",
    ),
    CommandSpec::client("LIST", users::acl_list).arity(2).admin().noscript().loading().stale().docs(
        Group::Server,
        "6.0.0",
        "O(N), N being the number of users",
        "Shows all users with their rules, as a file of users has them.",
    ),
    CommandSpec::client("LOAD", users::acl_load)
        .arity(2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "6.0.0", "O(N), N being the number of users", "Reads the file of users again.")
        .tips(ALL_NODES),
    CommandSpec::client("LOG", log::acl_log)
        .arity(-2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "6.0.0",
            "O(N), N being the number of entries shown",
            "Shows what was refused lately.",
        )
        .syntax("[<operation: count:integer|RESET>]")
        .history(&[("7.2.0", "Entries have an id and the times of their making and last change.")]),
    CommandSpec::client("ROLES", roles::acl_roles).arity(2).admin().noscript().loading().stale().docs(
        Group::Server,
        "9.2.0",
        "O(N), N being the number of roles",
        "Lists the names of all roles.",
    ),
    CommandSpec::client("SAVE", users::acl_save)
        .arity(2)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(Group::Server, "6.0.0", "O(N), N being the number of users", "Writes the users to their file.")
        .tips(ALL_NODES),
    CommandSpec::control("SETROLE", roles::acl_setrole)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "9.2.0",
            "O(N+M+C), N being the number of rules, M of the users that hold the role, C of the clients",
            "Makes a role, or changes its rules.",
        )
        .syntax("rolename:string [rule:string...]")
        .tips(ALL_NODES),
    CommandSpec::control("SETUSER", users::acl_setuser)
        .arity(-3)
        .admin()
        .noscript()
        .loading()
        .stale()
        .docs(
            Group::Server,
            "6.0.0",
            "O(N), N being the number of rules",
            "Makes a user, or changes its rules.",
        )
        .syntax("username:string [rule:string...]")
        .history(&[("6.2.0", "Rules of channels."), ("7.0.0", "Selectors, and kinds of access to keys.")])
        .tips(ALL_NODES),
    CommandSpec::client("USERS", users::acl_users).arity(2).admin().noscript().loading().stale().docs(
        Group::Server,
        "6.0.0",
        "O(N), N being the number of users",
        "Lists the names of all users.",
    ),
    CommandSpec::client("WHOAMI", super::acl_whoami).arity(2).noscript().loading().stale().docs(
        Group::Server,
        "6.0.0",
        "O(1)",
        "Says which user the client is.",
    ),
];
