//! COMMAND DOCS: a command's documentation, from its spec.

use crate::commands::server::module::VECTOR_SETS;
use crate::engine::command::doc_syntax::{self, Argument};
use crate::engine::command::spec::Group;
use crate::engine::command::table::{Command, CommandTable};
use crate::resp::Reply;

/// Writes the map of a command, which includes the maps of its subcommands.
pub fn write(registry: &CommandTable, command: &Command, reply: &mut Reply) {
    let spec = command.spec;
    let arguments = doc_syntax::parse(spec.syntax).unwrap_or_default();
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
        ("module", if spec.group == Group::Module { VECTOR_SETS } else { "" }),
    ];
    let texts = || texts.iter().filter(|(_, text)| !text.is_empty());
    let flags = || {
        let flags = [(spec.deprecated.is_some(), "deprecated"), (spec.system, "syscmd")];
        flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name)
    };
    let fields = texts().count()
        + usize::from(flags().count() > 0)
        + if spec.deprecated.is_some() { 2 } else { 0 }
        + usize::from(!spec.history.is_empty())
        + usize::from(!arguments.is_empty())
        + usize::from(!command.subcommands.is_empty());
    reply.map(fields);
    for (name, value) in texts() {
        text(name, value, reply);
    }
    if flags().count() > 0 {
        reply.bulk(b"doc_flags");
        reply.set(flags().count());
        flags().for_each(|name| reply.simple(name));
    }
    if let Some((since, replaced_by)) = spec.deprecated {
        text("deprecated_since", since, reply);
        text("replaced_by", replaced_by, reply);
    }
    if !spec.history.is_empty() {
        reply.bulk(b"history");
        reply.set(spec.history.len());
        for (since, change) in spec.history {
            reply.array(2);
            reply.bulk(since.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(&arguments, reply);
    }
    if !command.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        for id in &command.subcommands {
            let subcommand = registry.get(*id);
            reply.bulk(subcommand.name.as_bytes());
            write(registry, subcommand, reply);
        }
    }
}

fn write_arguments(arguments: &[Argument], reply: &mut Reply) {
    reply.array(arguments.len());
    for argument in arguments {
        write_argument(argument, reply);
    }
}

fn write_argument(argument: &Argument, reply: &mut Reply) {
    // An argument of a value has a display text; a group has its parts.
    let display = argument.display.unwrap_or(&argument.name);
    let display = (!argument.kind.is_group()).then_some(display);
    let versions = [("since", argument.since), ("deprecated_since", argument.deprecated_since)];
    let versions = || versions.iter().filter_map(|(name, version)| Some((name, (*version)?)));
    let fields = 2
        + 1 // display text or parts
        + usize::from(argument.key_spec.is_some())
        + usize::from(argument.token.is_some())
        + versions().count()
        + usize::from(argument.flags().count() > 0);
    reply.map(fields);
    text("name", &argument.name, reply);
    text("type", argument.kind.name(), reply);
    if let Some(display) = display {
        text("display_text", display, reply);
    }
    if let Some(index) = argument.key_spec {
        reply.bulk(b"key_spec_index");
        reply.integer(i64::from(index));
    }
    if let Some(token) = argument.token {
        text("token", &token.to_ascii_uppercase(), reply);
    }
    for (name, version) in versions() {
        text(name, version, reply);
    }
    if argument.flags().count() > 0 {
        reply.bulk(b"flags");
        reply.set(argument.flags().count());
        argument.flags().for_each(|name| reply.simple(name));
    }
    if argument.kind.is_group() {
        reply.bulk(b"arguments");
        write_arguments(&argument.arguments, reply);
    }
}

fn text(name: &str, value: &str, reply: &mut Reply) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}
