//! ACL SETUSER, GETUSER, DELUSER, LIST, USERS, LOAD and SAVE.

use crate::engine::clients::session::state;
use crate::engine::{ClientCall, ControlCall, Done, Outcome, ServerAction, acl};
use crate::resp::{CommandError, Reply};
use crate::services::acl::{DEFAULT, Selector, User, has_spaces, join_selectors};

/// `ACL SETUSER username [rule ...]`: all rules or, if one is wrong, none.
pub(super) fn acl_setuser(call: &mut ControlCall<'_>) -> Outcome {
    // A rule may hold a password.
    (2..call.args.len()).for_each(|argument| call.engine.redact(argument));
    let name = call.args.at(2);
    if has_spaces(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let rules = join_selectors(call.args.tail(3).iter()).map_err(|opening| {
        CommandError::new(
            [b"ERR Unmatched parenthesis in acl selector starting at '", &*opening, b"'."].concat(),
        )
    })?;
    let engine = &mut *call.engine;
    let context = acl::rule_context(&engine.commands, &engine.config);
    let mut user = match engine.acl.users.get(name) {
        Some(user) => User::clone(user),
        None => User::new(name, &context),
    };
    for rule in &rules {
        user.apply(rule, &context).map_err(|error| {
            let message = error.message().as_bytes();
            CommandError::new(
                [b"ERR Error in ACL SETUSER modifier '", rule.as_slice(), b"': ", message].concat(),
            )
        })?;
    }
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
    let removed = names.iter().filter(|name| call.engine.remove_user(name, Some(call.client))).count();
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
    let restricted = user.selectors().any(|selector| selector.describe_databases().is_some());
    let reply = &mut *call.reply;
    reply.map(6 + usize::from(restricted));
    reply.bulk(b"flags");
    reply.set(user.flags().count());
    user.flags().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| reply.bulk(hash.to_hex().as_bytes()));
    write_selector(user.root(), restricted, reply);
    reply.bulk(b"selectors");
    reply.array(user.further_selectors().len());
    for selector in user.further_selectors() {
        reply.map(3 + usize::from(restricted));
        write_selector(selector, restricted, reply);
    }
    Ok(Done::Replied)
}

/// Commands, keys, channels and, if the user's are `restricted` in any selector, databases: Redis has no such field.
fn write_selector(selector: &Selector, restricted: bool, reply: &mut Reply) {
    reply.bulk(b"commands");
    reply.bulk(selector.describe_commands().as_bytes());
    reply.bulk(b"keys");
    reply.bulk(&selector.describe_keys());
    reply.bulk(b"channels");
    reply.bulk(&selector.describe_channels());
    if restricted {
        let databases = selector.describe_databases().unwrap_or_else(|| "alldbs".into());
        reply.bulk(b"databases");
        reply.bulk(databases.strip_prefix("resetdbs").unwrap_or(&databases).as_bytes());
    }
}

pub(super) fn acl_list(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.array(call.acl.users.len());
    for user in call.acl.users.iter() {
        call.reply.bulk(&[b"user ", &*user.name, b" ", &user.describe()].concat());
    }
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

/// Has the server read or write the file of users; its reply follows, but in a transaction, where none waits.
fn ask_server(
    call: &mut ClientCall<'_>,
    action: fn(Option<crate::base::ids::ClientId>) -> ServerAction,
) -> Outcome {
    if call.config.aclfile.is_empty() {
        return Err(CommandError::text(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.",
        ));
    }
    let may_wait = !call.clients.sessions.live(call.client).is(state::IN_EXEC);
    call.actions.push_back(action(may_wait.then_some(call.client)));
    if may_wait {
        return Ok(Done::Deferred);
    }
    call.reply.ok();
    Ok(Done::Replied)
}
