//! Command specifications (`redisCommand`): arity, flags, keys, ACL categories and documentation of each command.
//!
//! A row is built by `const` calls, so the whole table is data in the binary:
//!
//! ```text
//! CommandSpec::data("SADD", sadd).arity(-3).write().deny_oom().fast()
//!     .keys(&[KeySpec::FIRST.rw().insert()])
//!     .docs(Group::Set, "1.0.0", "O(N) for N members", "Adds members to a set.")
//!     .syntax("key:key member:string...")
//! ```

use crate::engine::{ClientHandler, ControlHandler, DataHandler};
use crate::resp::Args;

/// How a command gets at its work; the variant is its permission.
#[derive(Clone, Copy)]
pub enum Handler {
    /// One database and the session: reads and changes values; knows no other client.
    Data(DataHandler),
    /// The clients with their subscriptions and messages, the command table, the configuration, the metrics, and what
    /// the server is asked to do; no database.
    Client(ClientHandler),
    /// The whole engine: several databases, keys together with clients, or a change of the configuration.
    Control(ControlHandler),
    /// Only its subcommands do something.
    Container,
}

/// The data of one command or subcommand.
pub struct CommandSpec {
    /// Upper case; a subcommand's own word.
    pub name: &'static str,
    pub handler: Handler,
    /// Exact number of words, name (and container's name) included; negative: at least.
    pub arity: i32,
    pub flags: u64,
    /// Categories beyond those that follow from flags and group.
    pub extra_categories: u64,
    /// Whether the group's own category applies (SORT is generic, yet not of `@keyspace`).
    pub group_category: bool,
    pub keys: &'static [KeySpec],
    /// Finds the keys where key specs can't (SORT, SET …).
    pub key_finder: Option<KeyFinder>,
    /// Finds the keys of a request that contradicts the key specs.
    pub key_fallback: Option<KeyFinder>,
    /// Which arguments are channels that the user needs a right to.
    pub channels: Channels,
    pub subcommands: &'static [CommandSpec],
    /// Those of the subcommands that a table with this row doesn't have.
    pub left_out: &'static [&'static str],
    pub group: Group,
    pub since: &'static str,
    pub complexity: &'static str,
    pub summary: &'static str,
    /// The arguments in the notation of [`crate::engine::command::doc_syntax`].
    pub syntax: &'static str,
    pub history: &'static [(&'static str, &'static str)],
    pub tips: &'static [&'static str],
    /// Version since which it is deprecated, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Meant for servers and their developers rather than for users.
    pub system: bool,
}

/// Which arguments of a command are channels that are published to or listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    None,
    First,
    All,
    /// Patterns of channels.
    AllPatterns,
}

/// A key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAt {
    /// Index among the arguments.
    pub index: usize,
    /// The [`key`] flags.
    pub flags: u32,
}

/// Adds each key of a request to the list.
pub type KeyFinder = fn(Args<'_>, &mut Vec<KeyAt>);

pub mod flag {
    //! Command flags, in the order in which COMMAND INFO lists them.
    pub const WRITE: u64 = 1 << 0;
    pub const READONLY: u64 = 1 << 1;
    pub const DENYOOM: u64 = 1 << 2;
    /// Of a module in Redis.
    pub const MODULE: u64 = 1 << 3;
    pub const ADMIN: u64 = 1 << 4;
    pub const PUBSUB: u64 = 1 << 5;
    pub const NOSCRIPT: u64 = 1 << 6;
    pub const BLOCKING: u64 = 1 << 8;
    pub const LOADING: u64 = 1 << 9;
    pub const STALE: u64 = 1 << 10;
    pub const SKIP_MONITOR: u64 = 1 << 11;
    pub const SKIP_SLOWLOG: u64 = 1 << 12;
    pub const ASKING: u64 = 1 << 13;
    pub const FAST: u64 = 1 << 14;
    pub const NO_AUTH: u64 = 1 << 15;
    pub const MAY_REPLICATE: u64 = 1 << 16;
    pub const NO_MANDATORY_KEYS: u64 = 1 << 20;
    pub const NO_ASYNC_LOADING: u64 = 1 << 23;
    pub const NO_MULTI: u64 = 1 << 24;
    pub const ALLOW_BUSY: u64 = 1 << 26;
    pub const MOVABLE_KEYS: u64 = 1 << 27;
    pub const TOUCHES_ARBITRARY_KEYS: u64 = 1 << 28;
    /// Needs `enable-debug-command` (DEBUG) and friends.
    pub const PROTECTED: u64 = 1 << 30;
    /// Exists only here; no tool of Redis expects it.
    pub const INTERNAL: u64 = 1 << 31;
    /// Runs at once between MULTI and EXEC, instead of being queued.
    pub const UNQUEUED: u64 = 1 << 32;
    /// A RESP2 client with subscriptions may use it.
    pub const WHEN_SUBSCRIBED: u64 = 1 << 33;
    /// Takes next to no time if request and reply are short, whatever is stored: calls in a row are timed together.
    pub const BATCH_TIMED: u64 = 1 << 34;
    /// Runs a script, which may declare other flags and may go over its time.
    pub const RUNS_SCRIPT: u64 = 1 << 35;
    /// May have keys, or sharded channels: a cluster serves it where they are.
    pub const ROUTED: u64 = 1 << 36;
    /// Of these it may have more than one, or not as the first argument.
    pub const ROUTED_BY_MANY: u64 = 1 << 37;

    /// Names as COMMAND INFO shows them; flags that are not here are internal.
    pub const NAMES: &[(u64, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (MODULE, "module"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (ASKING, "asking"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (NO_ASYNC_LOADING, "no_async_loading"),
        (NO_MULTI, "no_multi"),
        (MOVABLE_KEYS, "movablekeys"),
        (ALLOW_BUSY, "allow_busy"),
    ];
}

pub mod category {
    //! ACL categories.
    pub const KEYSPACE: u64 = 1 << 0;
    pub const READ: u64 = 1 << 1;
    pub const WRITE: u64 = 1 << 2;
    pub const SET: u64 = 1 << 3;
    pub const SORTEDSET: u64 = 1 << 4;
    pub const LIST: u64 = 1 << 5;
    pub const HASH: u64 = 1 << 6;
    pub const STRING: u64 = 1 << 7;
    pub const BITMAP: u64 = 1 << 8;
    pub const HYPERLOGLOG: u64 = 1 << 9;
    pub const GEO: u64 = 1 << 10;
    pub const STREAM: u64 = 1 << 11;
    pub const PUBSUB: u64 = 1 << 12;
    pub const ADMIN: u64 = 1 << 13;
    pub const FAST: u64 = 1 << 14;
    pub const SLOW: u64 = 1 << 15;
    pub const BLOCKING: u64 = 1 << 16;
    pub const DANGEROUS: u64 = 1 << 17;
    pub const CONNECTION: u64 = 1 << 18;
    pub const TRANSACTION: u64 = 1 << 19;
    pub const SCRIPTING: u64 = 1 << 20;

    /// Names in the order in which ACL CAT lists them.
    pub const NAMES: &[(u64, &str)] = &[
        (KEYSPACE, "keyspace"),
        (READ, "read"),
        (WRITE, "write"),
        (SET, "set"),
        (SORTEDSET, "sortedset"),
        (LIST, "list"),
        (HASH, "hash"),
        (STRING, "string"),
        (BITMAP, "bitmap"),
        (HYPERLOGLOG, "hyperloglog"),
        (GEO, "geo"),
        (STREAM, "stream"),
        (PUBSUB, "pubsub"),
        (ADMIN, "admin"),
        (FAST, "fast"),
        (SLOW, "slow"),
        (BLOCKING, "blocking"),
        (DANGEROUS, "dangerous"),
        (CONNECTION, "connection"),
        (TRANSACTION, "transaction"),
        (SCRIPTING, "scripting"),
    ];
}

/// The chapter of the manual that a command stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    Hyperloglog,
    List,
    /// Commands that Redis has by a module.
    Module,
    Pubsub,
    Scripting,
    Sentinel,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    /// As COMMAND DOCS prints it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::Hyperloglog => "hyperloglog",
            Group::List => "list",
            Group::Module => "module",
            Group::Pubsub => "pubsub",
            Group::Scripting => "scripting",
            Group::Sentinel => "sentinel",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }

    fn category(self) -> u64 {
        match self {
            Group::Bitmap => category::BITMAP,
            Group::Connection => category::CONNECTION,
            Group::Generic => category::KEYSPACE,
            Group::Geo => category::GEO,
            Group::Hash => category::HASH,
            Group::Hyperloglog => category::HYPERLOGLOG,
            Group::List => category::LIST,
            Group::Scripting => category::SCRIPTING,
            Group::Set => category::SET,
            Group::SortedSet => category::SORTEDSET,
            Group::Stream => category::STREAM,
            Group::String => category::STRING,
            Group::Transactions => category::TRANSACTION,
            Group::Cluster | Group::Module | Group::Pubsub | Group::Sentinel | Group::Server => 0,
        }
    }
}

/// Where keys stand in a request, and what the command does with them (Redis's key specifications).
#[derive(Clone, Copy)]
pub struct KeySpec {
    pub begin: Begin,
    pub find: Find,
    pub flags: u32,
    pub notes: &'static str,
}

#[derive(Clone, Copy)]
pub enum Begin {
    /// At this argument (1 is the first after the command's name).
    Index(i32),
    /// After this word, searched from the given argument on (backwards from the end if negative).
    Keyword(&'static str, i32),
    Unknown,
}

#[derive(Clone, Copy)]
pub enum Find {
    /// `last` relative to the first key (negative: from the end, -1 the last argument), every
    /// `step`-th; `limit` 2 takes the first half of the rest, 3 a third …, 0 and 1 all.
    Range {
        last: i32,
        step: i32,
        limit: i32,
    },
    /// A number of keys stands at `number`, the first of them at `first`, both relative to the begin.
    KeyNum {
        number: i32,
        first: i32,
        step: i32,
    },
    Unknown,
}

pub mod key {
    //! Key specification flags, in the order in which COMMAND INFO lists them.
    pub const RO: u32 = 1 << 0;
    pub const RW: u32 = 1 << 1;
    pub const OW: u32 = 1 << 2;
    pub const RM: u32 = 1 << 3;
    pub const ACCESS: u32 = 1 << 4;
    pub const UPDATE: u32 = 1 << 5;
    pub const INSERT: u32 = 1 << 6;
    pub const DELETE: u32 = 1 << 7;
    pub const NOT_KEY: u32 = 1 << 8;
    pub const INCOMPLETE: u32 = 1 << 9;
    pub const VARIABLE_FLAGS: u32 = 1 << 10;

    pub const NAMES: &[(u32, &str)] = &[
        (RO, "RO"),
        (RW, "RW"),
        (OW, "OW"),
        (RM, "RM"),
        (ACCESS, "access"),
        (UPDATE, "update"),
        (INSERT, "insert"),
        (DELETE, "delete"),
        (NOT_KEY, "not_key"),
        (INCOMPLETE, "incomplete"),
        (VARIABLE_FLAGS, "variable_flags"),
    ];
}

impl KeySpec {
    /// One key, the first argument.
    pub const FIRST: KeySpec = KeySpec::index(1);
    /// One key, the second argument.
    pub const SECOND: KeySpec = KeySpec::index(2);
    /// Every argument is a key.
    pub const ALL: KeySpec = KeySpec::index(1).range(-1, 1, 0);

    /// One key at argument `position`; refine it with [`Self::range`] or [`Self::numkeys`].
    pub const fn index(position: i32) -> KeySpec {
        let find = Find::Range { last: 0, step: 1, limit: 0 };
        KeySpec { begin: Begin::Index(position), find, flags: 0, notes: "" }
    }

    /// Keys after `word`.
    pub const fn keyword(word: &'static str, from: i32) -> KeySpec {
        let find = Find::Range { last: 0, step: 1, limit: 0 };
        KeySpec { begin: Begin::Keyword(word, from), find, flags: 0, notes: "" }
    }

    pub const fn unknown() -> KeySpec {
        KeySpec { begin: Begin::Unknown, find: Find::Unknown, flags: 0, notes: "" }
    }

    pub const fn range(mut self, last: i32, step: i32, limit: i32) -> KeySpec {
        self.find = Find::Range { last, step, limit };
        self
    }

    pub const fn numkeys(mut self, number: i32, first: i32, step: i32) -> KeySpec {
        self.find = Find::KeyNum { number, first, step };
        self
    }

    pub const fn notes(mut self, notes: &'static str) -> KeySpec {
        self.notes = notes;
        self
    }

    /// Adds any of the [`key`] flags.
    pub const fn with(mut self, flags: u32) -> KeySpec {
        self.flags |= flags;
        self
    }

    pub const fn ro(self) -> KeySpec {
        self.with(key::RO)
    }
    pub const fn rw(self) -> KeySpec {
        self.with(key::RW)
    }
    pub const fn ow(self) -> KeySpec {
        self.with(key::OW)
    }
    pub const fn rm(self) -> KeySpec {
        self.with(key::RM)
    }
    pub const fn access(self) -> KeySpec {
        self.with(key::ACCESS)
    }
    pub const fn update(self) -> KeySpec {
        self.with(key::UPDATE)
    }
    pub const fn insert(self) -> KeySpec {
        self.with(key::INSERT)
    }
    pub const fn delete(self) -> KeySpec {
        self.with(key::DELETE)
    }
}

impl CommandSpec {
    const fn new(name: &'static str, handler: Handler) -> Self {
        CommandSpec {
            name,
            handler,
            arity: 1,
            flags: 0,
            extra_categories: 0,
            group_category: true,
            keys: &[],
            key_finder: None,
            key_fallback: None,
            channels: Channels::None,
            subcommands: &[],
            left_out: &[],
            group: Group::Server,
            since: "",
            complexity: "",
            summary: "",
            syntax: "",
            history: &[],
            tips: &[],
            deprecated: None,
            system: false,
        }
    }

    /// A command that works on one database.
    pub const fn data(name: &'static str, handler: DataHandler) -> Self {
        Self::new(name, Handler::Data(handler))
    }

    /// A command that works on clients, the configuration or the metrics, and on no database.
    pub const fn client(name: &'static str, handler: ClientHandler) -> Self {
        Self::new(name, Handler::Client(handler))
    }

    /// A command that needs the whole engine.
    pub const fn control(name: &'static str, handler: ControlHandler) -> Self {
        Self::new(name, Handler::Control(handler))
    }

    /// A command that only groups subcommands.
    pub const fn container(name: &'static str, subcommands: &'static [CommandSpec]) -> Self {
        let mut spec = Self::new(name, Handler::Container);
        spec.arity = -2;
        spec.group_category = false;
        spec.subcommands = subcommands;
        spec
    }

    /// The same row with fewer subcommands.
    pub const fn without(mut self, left_out: &'static [&'static str]) -> Self {
        self.left_out = left_out;
        self
    }

    pub const fn arity(mut self, arity: i32) -> Self {
        self.arity = arity;
        self
    }

    /// Adds any of the [`flag`] bits.
    pub const fn with(mut self, flags: u64) -> Self {
        self.flags |= flags;
        self
    }

    pub const fn write(self) -> Self {
        self.with(flag::WRITE)
    }
    pub const fn readonly(self) -> Self {
        self.with(flag::READONLY)
    }
    pub const fn deny_oom(self) -> Self {
        self.with(flag::DENYOOM)
    }
    pub const fn fast(self) -> Self {
        self.with(flag::FAST)
    }
    pub const fn batch_timed(self) -> Self {
        self.with(flag::BATCH_TIMED)
    }
    pub const fn admin(self) -> Self {
        self.with(flag::ADMIN)
    }
    pub const fn noscript(self) -> Self {
        self.with(flag::NOSCRIPT)
    }
    pub const fn blocking(self) -> Self {
        self.with(flag::BLOCKING)
    }
    pub const fn loading(self) -> Self {
        self.with(flag::LOADING)
    }
    pub const fn stale(self) -> Self {
        self.with(flag::STALE)
    }

    /// Adds ACL categories that don't follow from flags and group.
    pub const fn category(mut self, categories: u64) -> Self {
        self.extra_categories |= categories;
        self
    }

    /// Replaces the group's category by these; those of the flags stay.
    pub const fn categories_are(mut self, categories: u64) -> Self {
        self.group_category = false;
        self.extra_categories = categories;
        self
    }

    /// Subcommands of a command that does something without one, too.
    pub const fn subcommands(mut self, subcommands: &'static [CommandSpec]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// A command between servers or for their developers.
    pub const fn system(mut self) -> Self {
        self.system = true;
        self
    }

    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    pub const fn channels(mut self, channels: Channels) -> Self {
        self.channels = channels;
        self
    }

    pub const fn key_finder(mut self, finder: KeyFinder) -> Self {
        self.key_finder = Some(finder);
        self
    }

    pub const fn key_fallback(mut self, finder: KeyFinder) -> Self {
        self.key_fallback = Some(finder);
        self
    }

    pub const fn docs(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    /// In Redis it is a command of a module: its name is in upper case.
    pub const fn of_module(self) -> Self {
        self.with(flag::MODULE)
    }

    pub const fn syntax(mut self, syntax: &'static str) -> Self {
        self.syntax = syntax;
        self
    }

    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.history = history;
        self
    }

    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Self {
        self.deprecated = Some((since, replaced_by));
        self
    }

    /// All ACL categories: those of the flags, of the group, and the extra ones. Commands of modules have none of their flags.
    pub fn categories(&self) -> u64 {
        let mut set = self.extra_categories;
        if self.group_category {
            set |= self.group.category();
        }
        if self.flags & flag::MODULE != 0 {
            return set;
        }
        let reads = if set & category::SCRIPTING == 0 { category::READ } else { 0 };
        let mut when = |flag, bits| {
            if self.flags & flag != 0 {
                set |= bits;
            }
        };
        when(flag::WRITE, category::WRITE);
        when(flag::READONLY, reads);
        when(flag::ADMIN, category::ADMIN | category::DANGEROUS);
        when(flag::PUBSUB, category::PUBSUB);
        when(flag::FAST, category::FAST);
        when(flag::BLOCKING, category::BLOCKING);
        if self.flags & flag::FAST == 0 {
            set |= category::SLOW;
        }
        set
    }

    /// Whether `count` words satisfy the arity.
    #[inline]
    pub fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 {
            count == self.arity as usize
        } else {
            count >= self.arity.unsigned_abs() as usize
        }
    }
}
