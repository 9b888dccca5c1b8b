//! ACL: CAT, DRYRUN, GENPASS, WHOAMI and HELP. What concerns users is in [`users`], the log in [`log`].

mod log;
pub mod specs;
mod users;

use crate::base::number;
use crate::engine::command::spec::{category, flag};
use crate::engine::command::table::Command;
use crate::engine::{ClientCall, Done, Outcome, acl};
use crate::resp::CommandError;
use crate::services::acl::CommandCatalog;

/// `No such user` in the shape of several subcommands.
fn no_user(name: &[u8]) -> CommandError {
    CommandError::new([b"ERR User '", CommandError::quotable(name, name.len()), b"' not found"].concat())
}

fn acl_whoami(call: &mut ClientCall<'_>) -> Outcome {
    let user = call.acl.user_of(call.clients.sessions.live(call.client));
    call.reply.bulk(&user.name);
    Ok(Done::Replied)
}

/// `ACL CAT [category]`
fn acl_cat(call: &mut ClientCall<'_>) -> Outcome {
    match call.args.len() {
        2 => {
            call.reply.array(category::NAMES.len());
            category::NAMES.iter().for_each(|(_, name)| call.reply.bulk(name.as_bytes()));
        }
        3 => {
            let name = call.args.at(2);
            let Some(bit) = call.commands.category(name) else {
                return Err(CommandError::new([b"ERR Unknown category '", name, b"'"].concat()));
            };
            let is_in = |command: &&Command| {
                command.flags & flag::INTERNAL == 0 && command.spec.categories() & bit != 0
            };
            call.reply.array(call.commands.iter().filter(is_in).count());
            for command in call.commands.iter().filter(is_in) {
                call.reply.bulk(command.name.as_bytes());
            }
        }
        _ => return Err(CommandError::wrong_subcommand(call.args.at(0), call.args.at(1))),
    }
    Ok(Done::Replied)
}

/// `ACL DRYRUN username command [arg ...]`
fn acl_dryrun(call: &mut ClientCall<'_>) -> Outcome {
    let name = call.args.at(2);
    let user = call.acl.users.get(name).ok_or_else(|| no_user(name))?;
    let request = call.args.tail(3);
    let Ok(id) = call.commands.resolve(request.at(0), request.get(1)) else {
        return Err(CommandError::new([b"ERR Command '", request.at(0), b"' not found"].concat()));
    };
    let command = call.commands.get(id);
    if !command.spec.accepts(request.len()) {
        return Err(CommandError::wrong_arity(&command.name));
    }
    let db = call.clients.sessions.live(call.client).db;
    match call.acl.check(call.commands, user, id, request, db) {
        Ok(()) => call.reply.ok(),
        Err(denial) => call.reply.bulk(&acl::explain(user, command, request, denial)),
    }
    Ok(Done::Replied)
}

/// `ACL GENPASS [bits]`
fn acl_genpass(call: &mut ClientCall<'_>) -> Outcome {
    const MOST_BITS: i64 = 4096;
    if call.args.len() > 3 {
        return Err(CommandError::wrong_subcommand(call.args.at(0), call.args.at(1)));
    }
    let bits = match call.args.get(2) {
        None => 256,
        Some(bits) => number::parse_i64(bits).ok_or(CommandError::NOT_INTEGER)?,
    };
    if !(1..=MOST_BITS).contains(&bits) {
        return Err(CommandError::text(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    let password = call.acl.passwords.hex((bits as usize).div_ceil(4));
    call.reply.bulk(password.as_bytes());
    Ok(Done::Replied)
}

fn acl_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "CAT [<category>]",
            "    Lists the categories, or the commands of <category>.",
            "DELUSER <username> [<username> ...]",
            "    Removes users, and closes the connections of their clients.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Says whether the user might run the command, without running it.",
            "GENPASS [<bits>]",
            "    Makes up a password of 256 or the given number of bits.",
            "GETUSER <username>",
            "    Shows the rules of a user.",
            "LIST",
            "    Shows all users, each as a line of the configuration file.",
            "LOAD",
            "    Reads the file of users again: all of it, or nothing if there is an error.",
            "LOG [<count> | RESET]",
            "    Shows what was refused lately, or forgets it.",
            "SAVE",
            "    Writes the users to their file.",
            "SETUSER <username> <rule> [<rule> ...]",
            "    Makes a user, or applies rules to one.",
            "USERS",
            "    Lists the names of all users.",
            "WHOAMI",
            "    Says which user the client is.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
