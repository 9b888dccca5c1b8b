//! COMMAND: the command table for clients: names, specs, documentation, and the keys of a request.
//!
//! All of it comes from the specs beside the handlers; [`info`] and [`docs`] format it.

mod docs;
mod info;
#[cfg(test)]
mod tests;

use crate::base::glob;
use crate::commands::server::module::VECTOR_SETS;
use crate::engine::command::keys;
use crate::engine::command::spec::{category, flag};
use crate::engine::command::table::{Command, CommandTable};
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::{Args, CommandError, Reply};

/// The commands without their subcommands.
fn top_level(registry: &CommandTable) -> impl Iterator<Item = &Command> {
    registry.iter().filter(|command| command.parent.is_none() && command.is_visible())
}

/// The visible command of a full name.
fn named<'r>(registry: &'r CommandTable, name: &[u8]) -> Option<&'r Command> {
    let command = registry.get(registry.find_full(name)?);
    command.is_visible().then_some(command)
}

fn write_all(registry: &CommandTable, reply: &mut Reply) {
    let resp3 = reply.is_resp3();
    reply.shared_raw(registry.listing(resp3, || {
        let mut listing = Reply::new(Vec::new(), resp3);
        listing.array(top_level(registry).count());
        for command in top_level(registry) {
            info::write(registry, command, &mut listing);
        }
        let mut bytes = listing.into_bytes();
        bytes.shrink_to_fit();
        bytes
    }));
}

pub(in crate::commands) fn command(call: &mut ClientCall<'_>) -> Outcome {
    write_all(call.commands, call.reply);
    Ok(Done::Replied)
}

pub(in crate::commands) fn command_count(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.count(top_level(call.commands).count());
    Ok(Done::Replied)
}

pub(in crate::commands) fn command_info(call: &mut ClientCall<'_>) -> Outcome {
    let registry = call.commands;
    if call.args.len() == 2 {
        write_all(registry, call.reply);
        return Ok(Done::Replied);
    }
    call.reply.array(call.args.len() - 2);
    for name in call.args.tail(2).iter() {
        match named(registry, name) {
            Some(command) => info::write(registry, command, call.reply),
            None => call.reply.null(),
        }
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn command_docs(call: &mut ClientCall<'_>) -> Outcome {
    let registry = call.commands;
    let wanted: Vec<&Command> = if call.args.len() == 2 {
        top_level(registry).collect()
    } else {
        call.args.tail(2).iter().filter_map(|name| named(registry, name)).collect()
    };
    call.reply.map(wanted.len());
    for command in wanted {
        call.reply.bulk(command.name.as_bytes());
        docs::write(registry, command, call.reply);
    }
    Ok(Done::Replied)
}

/// The filter of COMMAND LIST.
enum Filter<'a> {
    All,
    /// The commands of a module.
    Module(bool),
    Category(u64),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        if args.is_empty() {
            return Ok(Filter::All);
        }
        let is = |index: usize, word: &str| args.at(index).eq_ignore_ascii_case(word.as_bytes());
        if args.len() != 3 || !is(0, "filterby") {
            return Err(CommandError::SYNTAX);
        }
        if is(1, "module") {
            Ok(Filter::Module(is(2, VECTOR_SETS)))
        } else if is(1, "aclcat") {
            Ok(Filter::Category(category_named(args.at(2))))
        } else if is(1, "pattern") {
            Ok(Filter::Pattern(args.at(2)))
        } else {
            Err(CommandError::SYNTAX)
        }
    }

    fn admits(&self, command: &Command) -> bool {
        match self {
            Filter::All => true,
            Filter::Module(known) => *known && command.flags & flag::MODULE != 0,
            Filter::Category(bit) => command.spec.categories() & bit != 0,
            Filter::Pattern(pattern) => glob::matches_ignoring_case(pattern, command.name.as_bytes()),
        }
    }
}

/// The bit of an ACL category; none for an unknown name.
fn category_named(name: &[u8]) -> u64 {
    let is = |own: &str| own.as_bytes().eq_ignore_ascii_case(name);
    category::NAMES.iter().find(|(_, own)| is(own)).map_or(0, |(bit, _)| *bit)
}

pub(in crate::commands) fn command_list(call: &mut ClientCall<'_>) -> Outcome {
    let filter = Filter::parse(call.args.tail(2))?;
    let listed = || call.commands.iter().filter(|command| command.is_visible() && filter.admits(command));
    call.reply.array(listed().count());
    for command in listed() {
        call.reply.bulk(command.name.as_bytes());
    }
    Ok(Done::Replied)
}

/// Replies the keys of the request after the first two words, each written by `write`.
fn write_keys(
    registry: &CommandTable,
    args: Args<'_>,
    reply: &mut Reply,
    write: fn(&[u8], u32, &mut Reply),
) -> Outcome {
    let request = args.tail(2);
    let found = registry.resolve(request.at(0), request.get(1)).ok().map(|id| registry.get(id));
    let Some(command) = found.filter(|command| command.is_visible()) else {
        return Err(CommandError::text("ERR Invalid command specified"));
    };
    let spec = command.spec;
    if !keys::has_keys(spec) {
        return Err(CommandError::text("ERR The command has no key arguments"));
    }
    if !spec.accepts(request.len()) {
        return Err(CommandError::text("ERR Invalid number of arguments specified for command"));
    }
    let mut found = Vec::new();
    keys::find(spec, request, &mut found);
    if found.is_empty() && command.flags & flag::NO_MANDATORY_KEYS == 0 {
        return Err(CommandError::text("ERR Invalid arguments specified for command"));
    }
    reply.array(found.len());
    for key in found {
        write(request.at(key.index), key.flags, reply);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn command_getkeys(call: &mut ClientCall<'_>) -> Outcome {
    write_keys(call.commands, call.args, call.reply, |key, _, reply| reply.bulk(key))
}

pub(in crate::commands) fn command_getkeysandflags(call: &mut ClientCall<'_>) -> Outcome {
    write_keys(call.commands, call.args, call.reply, |key, flags, reply| {
        reply.array(2);
        reply.bulk(key);
        info::key_flags(flags, reply);
    })
}

pub(in crate::commands) fn command_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    Count the commands.",
            "LIST [FILTERBY <MODULE <module>|ACLCAT <category>|PATTERN <pattern>>]",
            "    List the names of all commands, or of some.",
            "INFO [<command-name> ...]",
            "    Describe the named commands, or all.",
            "DOCS [<command-name> ...]",
            "    Document the named commands, or all.",
            "GETKEYS <full-command>",
            "    List the keys of a command with its arguments.",
            "GETKEYSANDFLAGS <full-command>",
            "    List the keys of a command with its arguments, and what it does with each.",
        ],
    );
    Ok(Done::Replied)
}
