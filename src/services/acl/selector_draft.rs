//! A selector while rules are applied to it: what they add is found by a map, so that many rules take a time that grows
//! with their number, not with its square.

use std::collections::{BTreeMap, BTreeSet};

use super::ordered::Ordered;
use super::pattern::Pattern;
use super::rule::{CommandCatalog, RuleError, has_spaces};
use super::selector::{Commands, FirstArg, Selector, access};
use crate::base::number;

/// The parts of a [`Selector`], in the order in which rules gave them.
#[derive(Debug)]
pub(super) struct SelectorDraft {
    commands: Commands,
    /// Rules of commands after `+@all` or `-@all`, by the name that they are of.
    command_rules: BTreeMap<Box<[u8]>, CommandRule>,
    /// How many rules of commands there have been.
    noted: u64,
    first_args: BTreeSet<FirstArg>,
    /// Patterns with the bits of [`access`].
    keys: Ordered<Box<[u8]>, u8>,
    channels: Ordered<Box<[u8]>, ()>,
    databases: Option<Box<[u32]>>,
    all_keys: bool,
    all_channels: bool,
}

#[derive(Clone, Copy, Debug)]
struct CommandRule {
    number: u64,
    sign: u8,
}

impl SelectorDraft {
    /// Nothing but, with `all_channels`, the channels.
    pub(super) fn new(all_channels: bool) -> Self {
        SelectorDraft {
            commands: Commands::None,
            command_rules: BTreeMap::new(),
            noted: 0,
            first_args: BTreeSet::new(),
            keys: Ordered::from_iter([]),
            channels: Ordered::from_iter([]),
            databases: None,
            all_keys: false,
            all_channels,
        }
    }

    /// What the selector allows.
    pub(super) fn of(selector: &Selector) -> Self {
        let rules = selector.command_rules.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty());
        let command_rules: BTreeMap<_, _> = (1..)
            .zip(rules)
            .map(|(number, rule)| (rule[1..].into(), CommandRule { number, sign: rule[0] }))
            .collect();
        SelectorDraft {
            commands: selector.commands.clone(),
            noted: command_rules.len() as u64,
            command_rules,
            first_args: selector.first_args.iter().cloned().collect(),
            keys: selector.keys.iter().map(|pattern| (pattern.text().into(), pattern.allows)).collect(),
            channels: selector.channels.iter().map(|pattern| (pattern.text().into(), ())).collect(),
            databases: selector.databases.clone(),
            all_keys: selector.all_keys,
            all_channels: selector.all_channels,
        }
    }

    /// The selector that the rules make.
    pub(super) fn finish(self) -> Selector {
        let mut rules: Vec<_> = self.command_rules.into_iter().collect();
        rules.sort_unstable_by_key(|(_, rule)| rule.number);
        let mut command_rules = Vec::new();
        for (name, rule) in rules {
            command_rules.extend([b' ', rule.sign]);
            command_rules.extend_from_slice(&name);
        }
        let channels = self.channels.into_sorted();
        Selector {
            commands: self.commands,
            command_rules: command_rules.into(),
            first_args: self.first_args.into_iter().collect(),
            keys: self.keys.into_sorted().map(|(text, allows)| Pattern::new(&text, allows)).collect(),
            channels: channels.map(|(text, ())| Pattern::new(&text, access::ALL)).collect(),
            databases: self.databases,
            all_keys: self.all_keys,
            all_channels: self.all_channels,
        }
    }

    /// Applies one rule.
    pub(super) fn apply(&mut self, rule: &[u8], catalog: &dyn CommandCatalog) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            self.all_keys = true;
            self.keys.clear();
        } else if is("resetkeys") {
            self.all_keys = false;
            self.keys.clear();
        } else if is("allchannels") || is("&*") {
            self.all_channels = true;
            self.channels.clear();
        } else if is("resetchannels") {
            self.all_channels = false;
            self.channels.clear();
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
                self.note_rule(*sign, entry.name.as_bytes());
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
        *self.keys.get_or_insert(pattern.into(), allows) |= allows;
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        self.channels.get_or_insert(pattern.into(), ());
        Ok(())
    }

    /// `db=0,1`: these databases and no others. One that doesn't exist is no error, as there may be more after the next start.
    fn set_databases(&mut self, list: &[u8]) -> Result<(), RuleError> {
        let mut chosen = Vec::new();
        for word in list.split(|byte| *byte == b',') {
            let number = number::parse_i64(word).ok_or(RuleError::Syntax)?;
            chosen.push(u32::try_from(number).map_err(|_| RuleError::DatabaseOutOfRange)?);
        }
        chosen.sort_unstable();
        chosen.dedup();
        self.databases = Some(chosen.into());
        Ok(())
    }

    fn set_all_commands(&mut self, allow: bool) {
        self.commands = if allow { Commands::All } else { Commands::None };
        self.command_rules.clear();
        self.first_args.clear();
    }

    fn change_category(
        &mut self,
        allow: bool,
        name: &[u8],
        catalog: &dyn CommandCatalog,
    ) -> Result<(), RuleError> {
        let category = catalog.category(name).ok_or(RuleError::UnknownCommand)?;
        catalog.each_in_category(category, &mut |id| self.set_bit(id, allow, catalog.count()));
        self.note_rule(if allow { b'+' } else { b'-' }, &[b"@", name].concat());
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
            self.note_rule(b'+', entry.name.as_bytes());
            return Ok(());
        }
        // The rules are text, of words: what could not be read back is refused.
        if has_spaces(part) {
            return Err(RuleError::Syntax);
        }
        self.first_args.insert((entry.id, part.to_ascii_lowercase().into()));
        self.note_rule(b'+', &[entry.name.as_bytes(), b"|", part].concat());
        Ok(())
    }

    /// Allows or forbids a command with all its subcommands.
    fn change_command(&mut self, id: u16, allow: bool, catalog: &dyn CommandCatalog) {
        let count = catalog.count();
        self.set_bit(id, allow, count);
        catalog.each_subcommand(id, &mut |sub| self.set_bit(sub, allow, count));
    }

    fn set_bit(&mut self, id: u16, allow: bool, count: usize) {
        while let Some(first) = self.first_args.range((id, Box::default())..).next()
            && first.0 == id
        {
            let first = first.clone();
            self.first_args.remove(&first);
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

    /// Notes a rule of commands, in place of those that it makes void: of the same name, or of a part of it.
    fn note_rule(&mut self, sign: u8, name: &[u8]) {
        let name = name.to_ascii_lowercase().into_boxed_slice();
        // Names of parts are those between `name|` and `name}`, `}` being the byte after the bar.
        let [first_part, behind_parts] =
            [b'|', b'|' + 1].map(|end| [&*name, &[end]].concat().into_boxed_slice());
        while let Some((part, _)) = self.command_rules.range(first_part.clone()..behind_parts.clone()).next()
        {
            let part = part.clone();
            self.command_rules.remove(&part);
        }
        self.noted += 1;
        self.command_rules.insert(name, CommandRule { number: self.noted, sign });
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
