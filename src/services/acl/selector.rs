//! A selector (`aclSelector`): commands, keys, channels and databases that a user may use together.
//!
//! A request is allowed if one of the user's selectors allows all of it. What rules have been given is kept as text
//! in its shortest form, as ACL LIST shows it, beside the bitmap of commands that a check looks at.

use super::pattern::Pattern;

/// Kinds of access to a key.
pub mod access {
    pub const READ: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const ALL: u8 = READ | WRITE;
}

/// What a selector doesn't allow; of several selectors the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Database,
    Command,
    Key,
    Auth,
    Channel,
    /// No user is named by the client's certificate.
    Certificate,
}

impl Reason {
    /// As ACL LOG shows it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Certificate => "tls-cert",
            Reason::Channel => "channel",
            Reason::Database => "database",
        }
    }
}

/// A refusal: why, and which argument of the request shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: Reason,
    pub argument: usize,
}

/// Which commands a selector allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Commands {
    #[default]
    None,
    /// All, those of modules and of later versions included.
    All,
    /// One bit a command; those without a bit are as `future` says.
    Some { bits: Box<[u64]>, future: bool },
}

/// A first argument, in lower case, that allows the command of this number though its bit is not set.
pub(super) type FirstArg = (u16, Box<[u8]>);

/// Commands, keys, channels and databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub(super) commands: Commands,
    /// Rules of commands after `+@all` or `-@all`, each behind a space.
    pub(super) command_rules: Box<[u8]>,
    /// Sorted.
    pub(super) first_args: Box<[FirstArg]>,
    pub(super) keys: Box<[Pattern]>,
    pub(super) channels: Box<[Pattern]>,
    /// Sorted; `None`: all databases.
    pub(super) databases: Option<Box<[u32]>>,
    pub(super) all_keys: bool,
    pub(super) all_channels: bool,
}
