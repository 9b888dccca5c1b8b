//! ACL SETROLE, GETROLE, DELROLE, ROLES and DIGEST, of Valkey 9.2.

use super::users::{join_rules, rule_error, write_further, write_selector};
use crate::engine::{ClientCall, ControlCall, Done, Outcome, acl};
use crate::resp::CommandError;
use crate::services::acl::{RoleDraft, role_name_error};

/// `ACL SETROLE rolename [rule ...]`: all rules or, if one is wrong, none.
pub(super) fn acl_setrole(call: &mut ControlCall<'_>) -> Outcome {
    // A rule may hold a password, though a role has none.
    (2..call.args.len()).for_each(|argument| call.engine.redact(argument));
    let name = call.args.at(2);
    if let Some(reason) = role_name_error(name) {
        return Err(CommandError::new(format!("ERR {reason}")));
    }
    let rules = join_rules(call.args.tail(3))?;
    let engine = &mut *call.engine;
    let context = acl::rule_context(&engine.commands, &engine.config);
    let mut role = match engine.acl.users.roles().get(name) {
        Some(role) => RoleDraft::of(role, context),
        None => RoleDraft::new(name, context),
    };
    for rule in &rules {
        role.apply(rule).map_err(|error| rule_error("SETROLE", rule, error))?;
    }
    let role = role.finish();
    engine.put_role(role, Some(call.client));
    call.reply.ok();
    Ok(Done::Replied)
}

/// `ACL GETROLE rolename`
pub(super) fn acl_getrole(call: &mut ClientCall<'_>) -> Outcome {
    let name = call.args.at(2);
    let users = &call.acl.users;
    let Some(role) = users.roles().get(name) else {
        call.reply.null();
        return Ok(Done::Replied);
    };
    let reply = &mut *call.reply;
    reply.map(6);
    write_selector(role.rights().root(), true, reply);
    write_further(role.rights(), true, reply);
    reply.bulk(b"users");
    reply.array(users.holders(name).count());
    users.holders(name).for_each(|user| reply.bulk(&user.name));
    Ok(Done::Replied)
}

/// `ACL DELROLE rolename [rolename ...]`: none of them if a user holds one.
pub(super) fn acl_delrole(call: &mut ClientCall<'_>) -> Outcome {
    let names = call.args.tail(2);
    let users = &mut call.acl.users;
    if let Some(held) = names.iter().find(|name| users.holders(name).next().is_some()) {
        let reason = b"' is assigned to one or more users. Remove it from them first.";
        return Err(CommandError::new([b"ERR Role '", held, reason.as_slice()].concat()));
    }
    let removed = names.iter().filter(|name| users.remove_role(name)).count();
    call.reply.count(removed);
    Ok(Done::Replied)
}

pub(super) fn acl_roles(call: &mut ClientCall<'_>) -> Outcome {
    let roles = call.acl.users.roles();
    call.reply.array(roles.len());
    roles.iter().for_each(|role| call.reply.bulk(&role.name));
    Ok(Done::Replied)
}

/// `ACL DIGEST`
pub(super) fn acl_digest(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.bulk(call.acl.users.digest().as_bytes());
    Ok(Done::Replied)
}
