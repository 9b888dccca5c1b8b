//! A selector (`aclSelector`): commands, keys, channels and databases that a user may use together.
//!
//! A request is allowed if one of the user's selectors allows all of it. What rules have been given is kept as text
//! in its shortest form, as ACL LIST shows it, beside the bitmap of commands that a check looks at.

use super::pattern::Pattern;
use super::rule::{CommandCatalog, RuleError, has_spaces};

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
}

impl Reason {
    /// As ACL LOG shows it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
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

/// Arguments that allow a command whose bit is not set.
pub(super) type FirstArgs = Vec<(u16, Box<[u8]>)>;

/// Commands, keys, channels and databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub(super) commands: Commands,
    /// Rules of commands after `+@all` or `-@all`, each behind a space.
    pub(super) command_rules: Box<str>,
    /// In lower case.
    pub(super) first_args: Option<Box<FirstArgs>>,
    pub(super) keys: Vec<Pattern>,
    pub(super) channels: Vec<Pattern>,
    /// `None`: all databases.
    pub(super) databases: Option<Box<[u32]>>,
    pub(super) all_keys: bool,
    pub(super) all_channels: bool,
}

impl Selector {
    /// Nothing but, with `all_channels`, the channels.
    pub fn new(all_channels: bool) -> Self {
        Selector {
            commands: Commands::None,
            command_rules: Box::default(),
            first_args: None,
            keys: Vec::new(),
            channels: Vec::new(),
            databases: None,
            all_keys: false,
            all_channels,
        }
    }

    /// Applies one rule.
    pub fn apply(&mut self, rule: &[u8], catalog: &dyn CommandCatalog) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            self.all_keys = true;
            self.keys = Vec::new();
        } else if is("resetkeys") {
            self.all_keys = false;
            self.keys = Vec::new();
        } else if is("allchannels") || is("&*") {
            self.all_channels = true;
            self.channels = Vec::new();
        } else if is("resetchannels") {
            self.all_channels = false;
            self.channels = Vec::new();
        } else if is("alldbs") {
            self.databases = None;
        } else if is("resetdbs") {
            self.databases = Some(Box::default());
        } else if is("allcommands") || is("+@all") {
            self.set_all_commands(true);
        } else if is("nocommands") || is("-@all") {
            self.set_all_commands(false);
        } else {
            return self.apply_prefixed(rule, catalog);
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, rule: &[u8], catalog: &dyn CommandCatalog) -> Result<(), RuleError> {
        match rule {
            [b'~' | b'%', ..] => self.add_keys(rule),
            [b'&', pattern @ ..] => self.add_channels(pattern),
            [sign @ (b'+' | b'-'), b'@', category @ ..] => {
                self.change_category(*sign == b'+', category, catalog)
            }
            [b'+', name @ ..] if name.contains(&b'|') => self.add_part(name, catalog),
            [sign @ (b'+' | b'-'), name @ ..] => {
                let entry = catalog.find(name).ok_or(RuleError::UnknownCommand)?;
                self.change_command(entry.id, *sign == b'+', catalog);
                self.note_rule(*sign, entry.name);
                Ok(())
            }
            _ if rule.len() > 3 && rule[..3].eq_ignore_ascii_case(b"db=") => self.set_databases(&rule[3..]),
            _ => Err(RuleError::Syntax),
        }
    }

    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let (allows, pattern) = if rule[0] == b'~' { (access::ALL, &rule[1..]) } else { permissions(rule)? };
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.text() == pattern) {
            Some(known) => known.allows |= allows,
            None => self.keys.push(Pattern::new(pattern, allows)),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known.text() == pattern) {
            self.channels.push(Pattern::new(pattern, access::ALL));
        }
        Ok(())
    }

    /// `db=0,1`: these databases and no others. One that doesn't exist is no error, as there may be more after the next start.
    fn set_databases(&mut self, list: &[u8]) -> Result<(), RuleError> {
        let mut chosen = Vec::new();
        for word in list.split(|byte| *byte == b',') {
            let number = crate::base::number::parse_i64(word).ok_or(RuleError::Syntax)?;
            chosen.push(u32::try_from(number).map_err(|_| RuleError::DatabaseOutOfRange)?);
        }
        chosen.sort_unstable();
        chosen.dedup();
        self.databases = Some(chosen.into());
        Ok(())
    }

    fn set_all_commands(&mut self, allow: bool) {
        self.commands = if allow { Commands::All } else { Commands::None };
        self.command_rules = Box::default();
        self.first_args = None;
    }

    fn change_category(
        &mut self,
        allow: bool,
        name: &[u8],
        catalog: &dyn CommandCatalog,
    ) -> Result<(), RuleError> {
        let category = catalog.category(name).ok_or(RuleError::UnknownCommand)?;
        catalog.each_in_category(category, &mut |id| self.set_bit(id, allow, catalog.count()));
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        self.note_rule(if allow { b'+' } else { b'-' }, &format!("@{name}"));
        Ok(())
    }

    /// `+config|get`, or a first argument as in `+select|0`.
    fn add_part(&mut self, name: &[u8], catalog: &dyn CommandCatalog) -> Result<(), RuleError> {
        let bar = name.iter().rposition(|byte| *byte == b'|').unwrap_or(name.len());
        let (command, part) = (&name[..bar], name.get(bar + 1..).unwrap_or_default());
        let entry = catalog.find(command).ok_or(RuleError::UnknownCommand)?;
        if entry.is_subcommand {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if part.is_empty() {
            return Err(RuleError::Syntax);
        }
        if entry.has_subcommands {
            let entry = catalog.find(name).ok_or(RuleError::UnknownCommand)?;
            self.change_command(entry.id, true, catalog);
            self.note_rule(b'+', entry.name);
            return Ok(());
        }
        // The rules are text, of words: what could not be read back is refused.
        if has_spaces(part) {
            return Err(RuleError::Syntax);
        }
        let text = std::str::from_utf8(part).map_err(|_| RuleError::Syntax)?.to_ascii_lowercase();
        let rule = format!("{}|{text}", entry.name);
        let first = (entry.id, text.into_bytes().into_boxed_slice());
        let args = self.first_args.get_or_insert_default();
        if !args.contains(&first) {
            args.push(first);
        }
        self.note_rule(b'+', &rule);
        Ok(())
    }

    /// Allows or forbids a command with all its subcommands.
    fn change_command(&mut self, id: u16, allow: bool, catalog: &dyn CommandCatalog) {
        let count = catalog.count();
        self.set_bit(id, allow, count);
        catalog.each_subcommand(id, &mut |sub| self.set_bit(sub, allow, count));
    }

    fn set_bit(&mut self, id: u16, allow: bool, count: usize) {
        if let Some(args) = &mut self.first_args {
            args.retain(|(command, _)| *command != id);
            if args.is_empty() {
                self.first_args = None;
            }
        }
        let (word, bit) = (usize::from(id / 64), 1u64 << (id % 64));
        let all = match &mut self.commands {
            Commands::Some { bits, .. } => {
                if allow {
                    bits[word] |= bit
                } else {
                    bits[word] &= !bit
                }
                return;
            }
            Commands::All => true,
            Commands::None => false,
        };
        if all != allow {
            let mut bits = vec![if all { u64::MAX } else { 0 }; count.div_ceil(64)].into_boxed_slice();
            bits[word] ^= bit;
            self.commands = Commands::Some { bits, future: all };
        }
    }

    /// Adds a rule of commands to the text, in place of those that it makes void: of the same name, or of a part of it.
    fn note_rule(&mut self, sign: u8, name: &str) {
        let is_void = |rule: &str| {
            rule[1..].strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        };
        let mut text = String::with_capacity(self.command_rules.len() + name.len() + 2);
        for rule in self.command_rules.split(' ').filter(|rule| !rule.is_empty() && !is_void(rule)) {
            text.push(' ');
            text.push_str(rule);
        }
        text.push(' ');
        text.push(char::from(sign));
        text.push_str(name);
        self.command_rules = text.into();
    }

    /// Gives back what the lists have spare.
    pub fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.channels.shrink_to_fit();
        if let Some(args) = &mut self.first_args {
            args.shrink_to_fit();
        }
    }
}

/// The permissions of `%R~`, `%W~` and `%RW~`, and the pattern behind them.
fn permissions(rule: &[u8]) -> Result<(u8, &[u8]), RuleError> {
    let mut allows = 0;
    let mut rest = &rule[1..];
    while let [letter, after @ ..] = rest {
        rest = after;
        let kind = match letter {
            b'r' | b'R' => access::READ,
            b'w' | b'W' => access::WRITE,
            b'~' => break,
            _ => return Err(RuleError::Syntax),
        };
        if allows & kind != 0 {
            return Err(RuleError::Syntax);
        }
        allows |= kind;
    }
    if allows == 0 { Err(RuleError::Syntax) } else { Ok((allows, rest)) }
}
