//! The command table: rows numbered, and found by name without allocation.
//!
//! Names are looked up in an open-addressed table of their first and last eight bytes, case folded, and their
//! length; names are few and known, so it hardly collides. A slot has all that a request needs before it is
//! executed. Folding sets a bit that only letters have free: for names of up to sixteen letters equal folds are equal
//! names, others are compared byte by byte.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::engine::command::keys;
use crate::engine::command::spec::{Begin, CommandSpec, Find, Group, KeySpec, flag, key};

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
    /// Lower case (upper case for a module's), `config|get` for a subcommand; stays when a command is renamed.
    pub name: String,
    pub flags: u64,
    /// Argument that is the first key of every request, to be hashed ahead; 0: none.
    pub first_key: usize,
    /// It works on a collection.
    pub on_collection: bool,
    pub subcommands: Vec<CommandId>,
}

impl Command {
    /// Whether clients may know of it.
    pub fn is_visible(&self) -> bool {
        !self.word.is_empty() && self.flags & flag::INTERNAL == 0
    }
}

/// All commands.
pub struct CommandTable {
    commands: Vec<Command>,
    /// Top-level commands, by hash.
    slots: Vec<Slot>,
    pub known: KnownCommands,
    /// COMMAND's reply in RESP2 and in RESP3, once a client has asked for it: about 90 KB that only a renaming changes.
    listings: [OnceCell<Arc<Vec<u8>>>; 2],
}

/// Commands that the engine treats in a way of their own, whatever the configuration calls them.
#[derive(Clone, Copy, Debug)]
pub struct KnownCommands {
    pub copy: CommandId,
    pub exec: CommandId,
    pub migrate: CommandId,
    pub move_key: CommandId,
    pub ping: CommandId,
    pub publish: CommandId,
    pub select: CommandId,
    pub sort: CommandId,
    pub sort_ro: CommandId,
    pub spublish: CommandId,
}

/// The number of no command: for a table that lacks one of [`KnownCommands`].
const NO_COMMAND: CommandId = CommandId(u16::MAX);

/// A place in the table of names. No command has an empty one: it marks a free place.
#[derive(Clone, Copy)]
struct Slot {
    name: Folded,
    id: CommandId,
    first_key: u8,
    on_collection: bool,
    is_container: bool,
    /// Only letters, and not too many: equal folds are equal names.
    is_plain: bool,
}

const FREE: Slot = Slot {
    name: Folded { head: 0, tail: 0, len: 0 },
    id: CommandId(0),
    first_key: 0,
    on_collection: false,
    is_container: false,
    is_plain: true,
};

/// What of a name is hashed and compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    head: u64,
    tail: u64,
    len: usize,
}

/// A command that was found, with what is needed of it ahead of its execution.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub id: CommandId,
    /// See [`Command::first_key`].
    pub first_key: usize,
    pub on_collection: bool,
}

/// Why a request names no command.
pub enum Unknown {
    Command,
    Subcommand,
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

impl Folded {
    #[inline]
    fn of(name: &[u8]) -> Folded {
        let len = name.len();
        let (head, tail) = match len {
            0..=8 => (fold(name), 0),
            _ => (fold(&name[..8]), fold(&name[len - 8..])),
        };
        Folded { head, tail, len }
    }

    #[inline]
    fn slot(&self) -> usize {
        let mixed =
            (self.head ^ self.tail.rotate_left(23) ^ self.len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (64 - SLOTS.ilog2())) as usize
    }
}

const SLOTS: usize = 1 << 10;

impl CommandTable {
    /// Numbers the rows of all families.
    pub fn new(families: &[&'static [CommandSpec]]) -> Self {
        let nothing = KnownCommands {
            copy: NO_COMMAND,
            exec: NO_COMMAND,
            migrate: NO_COMMAND,
            move_key: NO_COMMAND,
            ping: NO_COMMAND,
            publish: NO_COMMAND,
            select: NO_COMMAND,
            sort: NO_COMMAND,
            sort_ro: NO_COMMAND,
            spublish: NO_COMMAND,
        };
        let mut registry = CommandTable {
            commands: Vec::new(),
            slots: vec![FREE; SLOTS],
            known: nothing,
            listings: Default::default(),
        };
        for spec in families.iter().flat_map(|family| family.iter()) {
            let id = registry.add(spec, None);
            registry.index(id);
            for sub in spec.subcommands.iter().filter(|sub| !spec.left_out.contains(&sub.name)) {
                let sub_id = registry.add(sub, Some(id));
                registry.commands[id.0 as usize].subcommands.push(sub_id);
            }
        }
        let id_of = |name: &[u8]| registry.find_top(name).unwrap_or(NO_COMMAND);
        registry.known = KnownCommands {
            copy: id_of(b"copy"),
            exec: id_of(b"exec"),
            migrate: id_of(b"migrate"),
            move_key: id_of(b"move"),
            ping: id_of(b"ping"),
            publish: id_of(b"publish"),
            select: id_of(b"select"),
            sort: id_of(b"sort"),
            sort_ro: id_of(b"sort_ro"),
            spublish: id_of(b"spublish"),
        };
        registry
    }

    fn add(&mut self, spec: &'static CommandSpec, parent: Option<CommandId>) -> CommandId {
        let id = CommandId(self.commands.len() as u16);
        let is_of_module = spec.flags & flag::MODULE != 0;
        let own = if is_of_module { spec.name.into() } else { spec.name.to_ascii_lowercase() };
        let name = match parent {
            Some(parent) => format!("{}|{own}", self.get(parent).name),
            None => own,
        };
        let movable = keys::legacy_range(spec.keys).movable;
        let by_one = matches!(
            spec.keys,
            [KeySpec { begin: Begin::Index(_), find: Find::Range { last: 0, .. }, flags, .. }] if flags & key::NOT_KEY == 0
        );
        let flags = spec.flags
            | if movable { flag::MOVABLE_KEYS } else { 0 }
            | if keys::has_routed(spec) { flag::ROUTED } else { 0 }
            | if keys::has_routed(spec) && (movable || !by_one) { flag::ROUTED_BY_MANY } else { 0 };
        let first_key = match spec.keys.first() {
            Some(k) if k.flags & key::NOT_KEY == 0 => match (k.begin, k.find) {
                (Begin::Index(position), Find::Range { .. }) => position as usize,
                _ => 0,
            },
            _ => 0,
        };
        let on_collection = matches!(
            spec.group,
            Group::List
                | Group::Set
                | Group::Hash
                | Group::SortedSet
                | Group::Stream
                | Group::Geo
                | Group::Module
        );
        let word = spec.name.as_bytes().into();
        let subcommands = Vec::new();
        let command = Command { id, spec, parent, word, name, flags, first_key, on_collection, subcommands };
        self.commands.push(command);
        id
    }

    fn index(&mut self, id: CommandId) {
        let command = self.get(id);
        let word = &command.word;
        assert!(!word.is_empty() && self.find_top(word).is_none(), "{} is registered twice", command.name);
        let slot = Slot {
            name: Folded::of(word),
            id,
            first_key: command.first_key as u8,
            on_collection: command.on_collection,
            is_container: !command.spec.subcommands.is_empty(),
            is_plain: word.len() <= 16 && word.iter().all(u8::is_ascii_alphabetic),
        };
        let mut at = slot.name.slot();
        while self.slots[at].name.len != 0 {
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = slot;
    }

    /// Serves `rename-command` of the configuration; an empty new name takes the command away.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), &'static str> {
        let id = self.find_top(from).ok_or("No such command in rename-command")?;
        if !to.is_empty() && self.find_top(to).is_some_and(|other| other != id) {
            return Err("Target command name already exists");
        }
        self.commands[id.0 as usize].word = to.into();
        self.listings = Default::default();
        self.slots.fill(FREE);
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

    /// The reply that lists all commands, which `write` makes when it is first asked for.
    pub fn listing(&self, resp3: bool, write: impl FnOnce() -> Vec<u8>) -> Arc<Vec<u8>> {
        self.listings[usize::from(resp3)].get_or_init(|| Arc::new(write())).clone()
    }

    #[inline]
    fn find_slot(&self, name: &[u8]) -> Option<&Slot> {
        let folded = Folded::of(name);
        let mut at = folded.slot();
        loop {
            let slot = &self.slots[at % SLOTS];
            if slot.name.len == 0 {
                return None;
            }
            if slot.name == folded && (slot.is_plain || self.get(slot.id).word.eq_ignore_ascii_case(name)) {
                return Some(slot);
            }
            at += 1;
        }
    }

    /// The top-level command of this name, in any case.
    #[inline]
    pub fn find_top(&self, name: &[u8]) -> Option<CommandId> {
        self.find_slot(name).map(|slot| slot.id)
    }

    /// The command or subcommand that a request's first two words name.
    #[inline]
    pub fn find(&self, name: &[u8], second: Option<&[u8]>) -> Result<Found, Unknown> {
        let slot = self.find_slot(name).ok_or(Unknown::Command)?;
        let (first_key, on_collection) = (usize::from(slot.first_key), slot.on_collection);
        match second {
            Some(second) if slot.is_container => {
                let id = self.subcommand(slot.id, second).ok_or(Unknown::Subcommand)?;
                let command = self.get(id);
                Ok(Found { id, first_key: command.first_key, on_collection: command.on_collection })
            }
            _ => Ok(Found { id: slot.id, first_key, on_collection }),
        }
    }

    /// As [`Self::find`], for the command's number alone.
    pub fn resolve(&self, name: &[u8], second: Option<&[u8]>) -> Result<CommandId, Unknown> {
        self.find(name, second).map(|found| found.id)
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
