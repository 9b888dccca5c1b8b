//! ACL SETUSER, GETUSER, DELUSER, LIST, USERS, LOAD and SAVE.

use crate::base::ids::ClientId;
use crate::engine::{ClientCall, ControlCall, Done, Outcome, ServerAction, acl};
use crate::resp::{Args, CommandError, Reply};
use crate::services::acl::{
    DEFAULT, Rights, RuleError, Selector, UserDraft, file, has_spaces, join_selectors,
};

/// The rules of a request, those of a selector as one.
pub(super) fn join_rules(words: Args<'_>) -> Result<Vec<Vec<u8>>, CommandError> {
    join_selectors(words.iter()).map_err(|opening| {
        CommandError::new(
            [b"ERR Unmatched parenthesis in acl selector starting at '", &*opening, b"'."].concat(),
        )
    })
}

/// The error of a rule of SETUSER or SETROLE.
pub(super) fn rule_error(subcommand: &str, rule: &[u8], error: RuleError) -> CommandError {
    let start = format!("ERR Error in ACL {subcommand} modifier '");
    CommandError::new([start.as_bytes(), rule, b"': ", error.message().as_bytes()].concat())
}

/// `ACL SETUSER username [rule ...]`: all rules or, if one is wrong, none.
pub(super) fn acl_setuser(call: &mut ControlCall<'_>) -> Outcome {
    // A rule may hold a password.
    (2..call.args.len()).for_each(|argument| call.engine.redact(argument));
    let name = call.args.at(2);
    if has_spaces(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let rules = join_rules(call.args.tail(3))?;
    let engine = &mut *call.engine;
    let users = &engine.acl.users;
    let context = acl::rule_context(&engine.commands, &engine.config);
    let mut user = match users.get(name) {
        Some(user) => UserDraft::of(user, context, users.roles()),
        None => UserDraft::new(name, context, users.roles()),
    };
    for rule in &rules {
        user.apply(rule).map_err(|error| rule_error("SETUSER", rule, error))?;
    }
    let user = user.finish();
    engine.put_user(user, Some(call.client));
    call.reply.ok();
    Ok(Done::Replied)
}

/// `ACL DELUSER username [username ...]`
pub(super) fn acl_deluser(call: &mut ControlCall<'_>) -> Outcome {
    let names = call.args.tail(2);
    (2..call.args.len()).for_each(|argument| call.engine.redact(argument));
    if names.iter().any(|name| name == DEFAULT) {
        return Err(CommandError::text("ERR The 'default' user cannot be removed"));
    }
    let removed = call.engine.remove_users(names.iter(), Some(call.client));
    call.reply.count(removed);
    Ok(Done::Replied)
}

/// `ACL GETUSER username`
pub(super) fn acl_getuser(call: &mut ClientCall<'_>) -> Outcome {
    call.redact(2);
    let Some(user) = call.acl.users.get(call.args.at(2)) else {
        call.reply.null();
        return Ok(Done::Replied);
    };
    let restricted = user.rights().selectors().any(|selector| selector.describe_databases().is_some());
    let has_roles = !call.acl.users.roles().is_empty();
    let reply = &mut *call.reply;
    reply.map(6 + usize::from(restricted) + usize::from(has_roles));
    reply.bulk(b"flags");
    reply.set(user.flags().count());
    user.flags().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| reply.bulk(hash.to_hex().as_bytes()));
    write_selector(user.rights().root(), restricted, reply);
    write_further(user.rights(), restricted, reply);
    if has_roles {
        reply.bulk(b"roles");
        reply.array(user.roles().len());
        user.roles().iter().for_each(|role| reply.bulk(&role.name));
    }
    Ok(Done::Replied)
}

/// The field of the selectors in parentheses.
pub(super) fn write_further(rights: &Rights, with_databases: bool, reply: &mut Reply) {
    reply.bulk(b"selectors");
    reply.array(rights.further().len());
    for selector in rights.further() {
        reply.map(3 + usize::from(with_databases));
        write_selector(selector, with_databases, reply);
    }
}

/// Commands, keys, channels and, of a role or of a user that a selector restricts to some, databases: Redis has no such
/// field.
pub(super) fn write_selector(selector: &Selector, with_databases: bool, reply: &mut Reply) {
    reply.bulk(b"commands");
    reply.bulk(&selector.describe_commands());
    reply.bulk(b"keys");
    reply.bulk(&selector.describe_keys());
    reply.bulk(b"channels");
    reply.bulk(&selector.describe_channels());
    if with_databases {
        let databases = selector.describe_databases().unwrap_or_else(|| "alldbs".into());
        reply.bulk(b"databases");
        reply.bulk(databases.strip_prefix("resetdbs").unwrap_or(&databases).as_bytes());
    }
}

pub(super) fn acl_list(call: &mut ClientCall<'_>) -> Outcome {
    let users = &call.acl.users;
    call.reply.array(users.roles().len() + users.len());
    file::lines(users).for_each(|line| call.reply.bulk(&line));
    Ok(Done::Replied)
}

pub(super) fn acl_users(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.array(call.acl.users.len());
    call.acl.users.iter().for_each(|user| call.reply.bulk(&user.name));
    Ok(Done::Replied)
}

pub(super) fn acl_load(call: &mut ClientCall<'_>) -> Outcome {
    ask_server(call, |client| ServerAction::LoadUsers { client })
}

pub(super) fn acl_save(call: &mut ClientCall<'_>) -> Outcome {
    ask_server(call, |client| ServerAction::SaveUsers { client })
}

/// Has the server read or write the file of users; its reply follows.
fn ask_server(call: &mut ClientCall<'_>, action: fn(ClientId) -> ServerAction) -> Outcome {
    if call.config.aclfile.is_empty() {
        return Err(CommandError::text(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
        ));
    }
    call.actions.push_back(action(call.client));
    Ok(Done::Deferred)
}
