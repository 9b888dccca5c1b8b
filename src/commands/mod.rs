//! The commands, one file a family; each declares its rows beside its handlers.

mod connection;
mod strings;

use crate::engine::spec::CommandSpec;

/// All families, for the registry.
pub const FAMILIES: &[&[CommandSpec]] = &[connection::COMMANDS, strings::COMMANDS];
