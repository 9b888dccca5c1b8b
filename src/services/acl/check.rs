//! The check of a request against a selector, and a selector's rules as text.

use super::pattern::{Pattern, head_of};
use super::selector::{Commands, Denial, FirstArg, Reason, Selector, access};

/// What a request needs of a user.
pub trait Demand {
    /// The command's number; `None`: a command that everyone may use.
    fn command(&self) -> Option<u16>;

    /// The argument behind the command's words.
    fn first_argument(&self) -> Option<&[u8]>;

    /// Looks at each key, with its argument and the bits of [`access`] that the command needs, until one is refused.
    fn all_keys(&self, allowed: impl FnMut(&[u8], usize, u8) -> bool) -> bool;

    /// Looks at each channel, or pattern of channels (true), with its argument, until one is refused.
    fn all_channels(&self, allowed: impl FnMut(&[u8], bool, usize) -> bool) -> bool;

    /// Looks at each database that the request concerns (`None`: at all of them), with the argument that says so, until one
    /// is refused.
    fn all_databases(&self, allowed: impl FnMut(Option<u32>, usize) -> bool) -> bool;
}

impl Selector {
    /// Whether the request is allowed.
    pub fn check(&self, demand: &impl Demand) -> Result<(), Denial> {
        let mut argument = 0;
        if self.databases.is_some()
            && !demand.all_databases(|database, at| {
                argument = at;
                self.allows_database(database)
            })
        {
            return Err(Denial { reason: Reason::Database, argument });
        }
        if let Some(id) = demand.command()
            && !self.allows_command(id)
            && !self.allows_first_argument(id, demand.first_argument())
        {
            return Err(Denial { reason: Reason::Command, argument: 0 });
        }
        if !self.all_keys
            && !demand.all_keys(|key, at, needs| {
                argument = at;
                self.allows_key(key, needs)
            })
        {
            return Err(Denial { reason: Reason::Key, argument });
        }
        if !self.all_channels
            && !demand.all_channels(|channel, is_pattern, at| {
                argument = at;
                self.allows_channel(channel, is_pattern)
            })
        {
            return Err(Denial { reason: Reason::Channel, argument });
        }
        Ok(())
    }

    #[inline]
    pub fn allows_command(&self, id: u16) -> bool {
        match &self.commands {
            Commands::All => true,
            Commands::None => false,
            Commands::Some { bits, .. } => bits[usize::from(id / 64)] & (1 << (id % 64)) != 0,
        }
    }

    fn allows_first_argument(&self, id: u16, argument: Option<&[u8]>) -> bool {
        let Some(argument) = argument else { return false };
        let lower_case = || argument.iter().map(u8::to_ascii_lowercase);
        let order = |(command, allowed): &FirstArg| {
            command.cmp(&id).then_with(|| allowed.iter().copied().cmp(lower_case()))
        };
        self.first_args.binary_search_by(order).is_ok()
    }

    #[inline]
    pub fn allows_key(&self, key: &[u8], needs: u8) -> bool {
        if self.all_keys {
            return true;
        }
        let head = head_of(key);
        self.keys.iter().any(|pattern| pattern.allows & needs == needs && pattern.matches(key, head))
    }

    /// Whether a channel is allowed; a pattern of channels only if it is given in the same letters.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let head = head_of(channel);
        let allows = |known: &Pattern| {
            if is_pattern { known.text() == channel } else { known.matches(channel, head) }
        };
        self.all_channels || self.channels.iter().any(allows)
    }

    /// Whether a database, or (`None`) all of them, is allowed.
    pub fn allows_database(&self, database: Option<u32>) -> bool {
        let is_among = |chosen: &[u32]| database.is_some_and(|number| chosen.binary_search(&number).is_ok());
        self.databases.as_deref().is_none_or(is_among)
    }

    /// The databases that are allowed, in order; `None`: all.
    pub fn databases(&self) -> Option<&[u32]> {
        self.databases.as_deref()
    }

    /// Whether each key may be accessed in these ways, whatever its name.
    pub fn allows_every_key(&self, needs: u8) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| pattern.is_any() && pattern.allows & needs == needs)
    }

    /// Whether nothing is ever refused.
    pub fn is_unrestricted(&self) -> bool {
        self.commands == Commands::All && self.all_keys && self.all_channels && self.databases.is_none()
    }

    /// The rules of keys, as ACL GETUSER shows them.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let mut text = Vec::new();
        for pattern in &self.keys {
            let prefix: &[u8] = match pattern.allows {
                access::READ => b"%R~",
                access::WRITE => b"%W~",
                _ => b"~",
            };
            separate(&mut text);
            text.extend_from_slice(prefix);
            text.extend_from_slice(pattern.text());
        }
        text
    }

    /// The rules of channels, as ACL GETUSER shows them.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let mut text = Vec::new();
        for pattern in &self.channels {
            separate(&mut text);
            text.push(b'&');
            text.extend_from_slice(pattern.text());
        }
        text
    }

    /// The rules of commands.
    pub fn describe_commands(&self) -> Vec<u8> {
        let all = matches!(self.commands, Commands::All | Commands::Some { future: true, .. });
        [if all { b"+@all" } else { b"-@all" }, &*self.command_rules].concat()
    }

    /// The rule of databases; none if all are allowed.
    pub fn describe_databases(&self) -> Option<String> {
        let chosen = self.databases.as_ref()?;
        if chosen.is_empty() {
            return Some("resetdbs".into());
        }
        let numbers: Vec<String> = chosen.iter().map(u32::to_string).collect();
        Some(format!("db={}", numbers.join(",")))
    }

    /// All rules, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        let mut text = self.describe_keys();
        separate(&mut text);
        if !self.all_channels {
            text.extend_from_slice(b"resetchannels");
            if !self.channels.is_empty() {
                text.push(b' ');
            }
        }
        text.extend(self.describe_channels());
        if let Some(rule) = self.describe_databases() {
            text.push(b' ');
            text.extend_from_slice(rule.as_bytes());
        }
        text.push(b' ');
        text.extend(self.describe_commands());
        text
    }
}

fn separate(text: &mut Vec<u8>) {
    if !text.is_empty() {
        text.push(b' ');
    }
}
