//! The command table: rows numbered, and found by name without allocation.
//!
//! Names are looked up in an open-addressed table whose hash is made of the name's length and
//! its first and last eight bytes, case folded; names are few and known, so it hardly collides.

use super::keys;
use super::spec::{Begin, CommandSpec, Find, flag, key};

/// A command's number; its row, its statistics and its ACL bit share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u16);

/// A command or subcommand as the engine knows it.
pub struct Command {
    pub id: CommandId,
    pub spec: &'static CommandSpec,
    /// The container of a subcommand.
    pub parent: Option<CommandId>,
    /// What clients call it, their case aside; empty if the configuration took it away.
    pub word: Box<[u8]>,
    /// Lower case, `config|get` for a subcommand; stays when a command is renamed.
    pub name: String,
    pub flags: u64,
    /// Argument that is the first key of every request, to be hashed ahead; 0: none.
    pub first_key: usize,
    pub subcommands: Vec<CommandId>,
}

impl Command {
    /// Whether clients may know of it.
    pub fn is_visible(&self) -> bool {
        !self.word.is_empty() && self.flags & flag::INTERNAL == 0
    }
}

/// All commands.
pub struct Registry {
    commands: Vec<Command>,
    /// Number of a top-level command plus one, by hash; 0 is free.
    slots: Vec<u16>,
}

/// Why a request names no command.
pub enum Unknown {
    Command,
    Subcommand(CommandId),
}

/// Up to eight bytes as a word, by loads of fixed sizes that may overlap: no loop, no call.
#[inline]
fn fold(bytes: &[u8]) -> u64 {
    let four = |at: usize| {
        let part = bytes[at..at + 4].first_chunk::<4>().copied().unwrap_or_default();
        u64::from(u32::from_le_bytes(part))
    };
    let word = match bytes.len() {
        0 => 0,
        len @ 1..=3 => {
            let (first, middle, last) = (bytes[0], bytes[len / 2], bytes[len - 1]);
            u64::from(first) | u64::from(middle) << 8 | u64::from(last) << 16
        }
        len => four(0) | four(len - 4) << 32,
    };
    word | 0x2020_2020_2020_2020
}

#[inline]
fn hash(name: &[u8]) -> usize {
    let (head, tail) = match name.len() {
        0..=8 => (fold(name), 0),
        len => (fold(&name[..8]), fold(&name[len - 8..])),
    };
    let mixed = (head ^ tail.rotate_left(23) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 52) as usize
}

const SLOTS: usize = 1 << 12;

impl Registry {
    /// Numbers the rows of all families.
    pub fn new(families: &[&'static [CommandSpec]]) -> Self {
        let mut registry = Registry { commands: Vec::new(), slots: vec![0; SLOTS] };
        for spec in families.iter().flat_map(|family| family.iter()) {
            let id = registry.add(spec, None);
            registry.index(id);
            for sub in spec.subcommands {
                let sub_id = registry.add(sub, Some(id));
                registry.commands[id.0 as usize].subcommands.push(sub_id);
            }
        }
        registry
    }

    fn add(&mut self, spec: &'static CommandSpec, parent: Option<CommandId>) -> CommandId {
        let id = CommandId(self.commands.len() as u16);
        let own = spec.name.to_ascii_lowercase();
        let name = match parent {
            Some(parent) => format!("{}|{own}", self.get(parent).name),
            None => own,
        };
        let movable = keys::legacy_range(spec.keys).movable;
        let flags = spec.flags | if movable { flag::MOVABLE_KEYS } else { 0 };
        let first_key = match spec.keys.first() {
            Some(k) if k.flags & key::NOT_KEY == 0 => match (k.begin, k.find) {
                (Begin::Index(position), Find::Range { .. }) => position as usize,
                _ => 0,
            },
            _ => 0,
        };
        let word = spec.name.as_bytes().into();
        let subcommands = Vec::new();
        self.commands.push(Command { id, spec, parent, word, name, flags, first_key, subcommands });
        id
    }

    fn index(&mut self, id: CommandId) {
        let name = &self.get(id).word;
        assert!(self.find_top(name).is_none(), "{} is registered twice", self.get(id).name);
        let mut slot = hash(name);
        while self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = id.0 + 1;
    }

    /// Serves `rename-command` of the configuration; an empty new name takes the command away.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), &'static str> {
        let id = self.find_top(from).ok_or("No such command in rename-command")?;
        if !to.is_empty() && self.find_top(to).is_some_and(|other| other != id) {
            return Err("Target command name already exists");
        }
        self.commands[id.0 as usize].word = to.into();
        self.slots.fill(0);
        for at in 0..self.commands.len() {
            let command = &self.commands[at];
            if command.parent.is_none() && !command.word.is_empty() {
                self.index(command.id);
            }
        }
        Ok(())
    }

    #[inline]
    pub fn get(&self, id: CommandId) -> &Command {
        &self.commands[id.0 as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter()
    }

    pub fn len(&self) -> usize {
        self.commands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The top-level command of this name, in any case.
    #[inline]
    pub fn find_top(&self, name: &[u8]) -> Option<CommandId> {
        let mut slot = hash(name);
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return None;
            }
            let id = CommandId(entry - 1);
            if self.get(id).word.eq_ignore_ascii_case(name) {
                return Some(id);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The command or subcommand that a request's first two words name.
    #[inline]
    pub fn resolve(&self, name: &[u8], second: Option<&[u8]>) -> Result<CommandId, Unknown> {
        let id = self.find_top(name).ok_or(Unknown::Command)?;
        let command = self.get(id);
        if command.subcommands.is_empty() {
            return Ok(id);
        }
        let Some(second) = second else { return Ok(id) };
        self.subcommand(id, second).ok_or(Unknown::Subcommand(id))
    }

    /// A container's subcommand of this name.
    pub fn subcommand(&self, container: CommandId, name: &[u8]) -> Option<CommandId> {
        let subs = &self.get(container).subcommands;
        subs.iter().copied().find(|id| self.get(*id).spec.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command of a full name (`get`, `config|get`), as COMMAND INFO takes it.
    pub fn find_full(&self, name: &[u8]) -> Option<CommandId> {
        match name.iter().position(|byte| *byte == b'|') {
            None => self.find_top(name),
            Some(bar) => self.subcommand(self.find_top(&name[..bar])?, &name[bar + 1..]),
        }
    }
}
