//! Filters of CLIENT LIST and CLIENT KILL: a connection must pass all filters; of each kind the last one
//! counts, only IDs add up. NOT- negates a filter.

use crate::base::ids::ClientId;
use crate::base::number;
use crate::engine::ClientCall;
use crate::engine::clients::describe::{age, capabilities, flags, idle};
use crate::engine::clients::session::{Peer, Role, Session, state};
use crate::resp::{Args, CommandError};

/// The letters that FLAGS accepts, including those of kinds of connections that this server doesn't have.
const FLAG_LETTERS: &[u8] = b"OSMPxbtRBdcuAUreTIiEN";

/// A class of connections, as TYPE has them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    Primary,
    Replica,
    Pubsub,
}

impl Class {
    fn named(name: &[u8]) -> Option<Class> {
        let names: [(&[u8], Class); 6] = [
            (b"normal", Class::Normal),
            (b"slave", Class::Replica),
            (b"replica", Class::Replica),
            (b"pubsub", Class::Pubsub),
            (b"master", Class::Primary),
            (b"primary", Class::Primary),
        ];
        names.iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, class)| *class)
    }

    fn of(session: &Session) -> Class {
        match () {
            () if session.role == Role::Primary => Class::Primary,
            () if session.is(state::REPLICA) => Class::Replica,
            () if session.is(state::SUBSCRIBED) => Class::Pubsub,
            () => Class::Normal,
        }
    }
}

/// One filter.
enum Test<'a> {
    /// Sorted, for a binary search: a request may have any number of ids.
    Ids(Vec<u64>),
    Type(Class),
    User(&'a [u8]),
    Addr(&'a [u8]),
    LocalAddr(&'a [u8]),
    Ip(&'a [u8]),
    Name(&'a [u8]),
    LibName(&'a [u8]),
    LibVersion(&'a [u8]),
    Db(u32),
    Flags(&'a [u8]),
    Capabilities(&'a [u8]),
    /// At least so many seconds.
    Age(u64),
    Idle(u64),
}

/// The filters of a request.
#[derive(Default)]
pub struct Filter<'a> {
    /// Each with whether it is negated.
    tests: Vec<(bool, Test<'a>)>,
    skip_me: bool,
    /// The request is a CLIENT KILL, which rejects more ids.
    is_kill: bool,
}

impl<'a> Filter<'a> {
    /// The connection from this address.
    pub fn address(address: &'a [u8]) -> Self {
        Filter { tests: vec![(false, Test::Addr(address))], ..Filter::default() }
    }

    /// The initial filters of CLIENT KILL: it skips the calling client.
    pub fn for_kill() -> Self {
        Filter { skip_me: true, is_kill: true, ..Filter::default() }
    }

    /// Adds the filters that `words` name.
    pub fn read(call: &ClientCall<'_>, words: Args<'a>, mut filter: Self) -> Result<Self, CommandError> {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let word = word.to_ascii_lowercase();
            let value = words.get(at + 1);
            let (negated, kind) = match word.strip_prefix(b"not-") {
                Some(kind) if !matches!(kind, b"maxage" | b"idle" | b"skipme") => (true, kind),
                Some(_) => return Err(CommandError::SYNTAX),
                None => (false, &*word),
            };
            if kind == b"id" {
                at += 1 + filter.read_ids(words.tail(at + 1), negated)?;
                continue;
            }
            let value = value.ok_or(CommandError::SYNTAX)?;
            if kind == b"skipme" {
                filter.skip_me = yes_or_no(value)?;
            } else {
                filter.set(negated, read_test(call, kind, negated, value)?);
            }
            at += 2;
        }
        Ok(filter)
    }

    /// Parses ids up to a word that is not a number; returns how many.
    fn read_ids(&mut self, words: Args<'_>, negated: bool) -> Result<usize, CommandError> {
        const TOO_SMALL: CommandError = CommandError::text("ERR client-id should be greater than 0");
        const INVALID: CommandError = CommandError::text("ERR Invalid client ID");
        let mut ids = Vec::new();
        for word in words.iter() {
            match number::parse_i64(word).map(|id| u64::try_from(id).unwrap_or(0)) {
                // No client has the id 0, to which negative ones are mapped.
                Some(0) if self.is_kill || negated => return Err(TOO_SMALL),
                Some(id) => ids.push(id),
                None if ids.is_empty() && negated => return Err(CommandError::SYNTAX),
                None if ids.is_empty() => return Err(if self.is_kill { TOO_SMALL } else { INVALID }),
                None => break,
            }
        }
        let count = ids.len();
        let old = self.tests.iter_mut().find_map(|(not, test)| match test {
            Test::Ids(ids) if *not == negated => Some(ids),
            _ => None,
        });
        match old {
            Some(old) => {
                old.append(&mut ids);
                old.sort_unstable();
            }
            None => {
                ids.sort_unstable();
                self.tests.push((negated, Test::Ids(ids)));
            }
        }
        Ok(count)
    }

    /// Adds a filter, or replaces the one of its kind.
    fn set(&mut self, negated: bool, test: Test<'a>) {
        let kind = std::mem::discriminant(&test);
        self.tests.retain(|(not, old)| *not != negated || std::mem::discriminant(old) != kind);
        self.tests.push((negated, test));
    }

    /// The connections that pass, the oldest first. `me`: the one that asks.
    pub fn select(&self, call: &ClientCall<'_>, me: ClientId) -> Vec<ClientId> {
        let now = call.now();
        let passes = |session: &&Session| {
            session.role != Role::Internal
                && !(self.skip_me && session.client == me)
                && self.tests.iter().all(|(negated, test)| test.holds(now, session) != *negated)
        };
        let mut found: Vec<_> =
            call.clients.sessions.iter().filter(passes).map(|s| (s.id, s.client)).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, client)| client).collect()
    }
}

fn yes_or_no(value: &[u8]) -> Result<bool, CommandError> {
    if value.eq_ignore_ascii_case(b"yes") {
        return Ok(true);
    }
    if value.eq_ignore_ascii_case(b"no") { Ok(false) } else { Err(CommandError::SYNTAX) }
}

fn read_test<'a>(
    call: &ClientCall<'_>,
    kind: &[u8],
    negated: bool,
    value: &'a [u8],
) -> Result<Test<'a>, CommandError> {
    Ok(match kind {
        b"type" => {
            Test::Type(Class::named(value).ok_or_else(|| quoting("ERR Unknown client type '", value, "'"))?)
        }
        b"user" if call.acl.users.get(value).is_some() => Test::User(value),
        b"user" => return Err(quoting("ERR No such user '", value, "'")),
        b"addr" => Test::Addr(value),
        b"laddr" => Test::LocalAddr(value),
        b"ip" => Test::Ip(value),
        b"name" => Test::Name(value),
        b"lib-name" => Test::LibName(value),
        b"lib-ver" => Test::LibVersion(value),
        b"db" => Test::Db(read_db(call, negated, value)?),
        b"flags" if value.iter().all(|letter| FLAG_LETTERS.contains(letter)) => Test::Flags(value),
        b"flags" => return Err(unknown_letters("flags", "FLAGS", negated, value)),
        b"capa" if value.iter().all(|letter| *letter == b'r') => Test::Capabilities(value),
        b"capa" => return Err(unknown_letters("capa", "CAPA", negated, value)),
        b"maxage" => Test::Age(read_seconds("maxage", value)?),
        b"idle" => Test::Idle(read_seconds("idle", value)?),
        _ => return Err(CommandError::SYNTAX),
    })
}

fn quoting(before: &str, value: &[u8], after: &str) -> CommandError {
    CommandError::new([before.as_bytes(), value, after.as_bytes()].concat())
}

fn unknown_letters(what: &str, word: &str, negated: bool, value: &[u8]) -> CommandError {
    let filter = if negated { format!("NOT-{word} filter") } else { "provided filter".into() };
    quoting(&format!("ERR Unknown {what} found in the {filter}: "), value, "")
}

fn read_seconds(name: &str, value: &[u8]) -> Result<u64, CommandError> {
    let seconds = number::parse_i64(value)
        .ok_or_else(|| CommandError::new(format!("ERR {name} is not an integer or out of range")))?;
    let positive = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    positive.ok_or_else(|| CommandError::new(format!("ERR {name} should be greater than 0")))
}

fn read_db(call: &ClientCall<'_>, negated: bool, value: &[u8]) -> Result<u32, CommandError> {
    let name = if negated { "NOT-DB" } else { "DB" };
    let index = number::parse_i64(value)
        .and_then(|index| i32::try_from(index).ok())
        .ok_or_else(|| CommandError::new(format!("ERR {name} is not an integer or out of range")))?;
    let databases = call.settings.databases;
    u32::try_from(index).ok().filter(|db| (*db as usize) < databases).ok_or_else(|| {
        CommandError::new(format!("ERR {name} number should be between 0 and {}", databases - 1))
    })
}

impl Test<'_> {
    fn holds(&self, now: u64, session: &Session) -> bool {
        match self {
            Test::Ids(ids) => ids.binary_search(&session.id).is_ok(),
            Test::Type(class) => Class::of(session) == *class,
            Test::User(name) => session.user_name() == Some(*name),
            Test::Addr(address) => session.peer.address().as_bytes() == *address,
            Test::LocalAddr(address) => session.peer.local_address().as_bytes() == *address,
            Test::Ip(ip) => match &session.peer {
                Peer::Tcp(address, _) => address.ip().to_string().as_bytes() == *ip,
                Peer::Unix(_) | Peer::Internal => false,
            },
            Test::Name(name) => session.name.as_deref() == Some(*name),
            Test::LibName(name) => session.lib_name.as_deref() == Some(*name),
            Test::LibVersion(version) => session.lib_version.as_deref() == Some(*version),
            Test::Db(db) => session.db == *db,
            Test::Flags(letters) => {
                let flags = flags(session);
                letters.iter().all(|letter| flags.as_bytes().contains(letter))
            }
            Test::Capabilities(letters) => {
                let capabilities = capabilities(session).as_bytes();
                letters.iter().all(|letter| capabilities.contains(letter))
            }
            Test::Age(seconds) => age(now, session) >= *seconds,
            Test::Idle(seconds) => idle(now, session) >= *seconds,
        }
    }
}
