//! The page's table of clients: those that a filter leaves, in the order that is asked for, a bounded number at a time.

use std::cmp::Ordering;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::text::text;
use crate::base::number::push_u64;
use crate::engine::Engine;
use crate::engine::clients::describe;
use crate::engine::clients::session::{Peer, Session};
use crate::services::acl;
use crate::services::http::Request;

/// Clients of an answer, and those that are looked at for it: with more, the answer says so.
const ROWS: usize = 100;
const LOOKED_AT: usize = 20_000;

/// What a client is sorted by: a number, or the first eight bytes of a word and the rest of it. Most comparisons need no more than
/// the first part, which are many where thousands have the same word.
struct Rank<'a> {
    first: u64,
    rest: &'a [u8],
}

impl<'a> Rank<'a> {
    fn number(number: u64) -> Self {
        Rank { first: number, rest: b"" }
    }

    fn word(word: &'a [u8]) -> Self {
        let (front, rest) = word.split_at(word.len().min(8));
        let mut first = [0; 8];
        first[..front.len()].copy_from_slice(front);
        Rank { first: u64::from_be_bytes(first), rest }
    }

    #[inline]
    fn order(&self, other: &Self) -> Ordering {
        self.first.cmp(&other.first).then_with(|| match (self.rest, other.rest) {
            ([], []) => Ordering::Equal,
            (own, other) => own.cmp(other),
        })
    }
}

fn user_name(session: &Session) -> &[u8] {
    session.user.as_ref().map_or(acl::DEFAULT, |user| &user.name)
}

fn command_name<'a>(engine: &'a Engine, session: &Session) -> &'a str {
    session.last_command.map_or("", |id| &engine.commands.get(id).name)
}

fn rank<'a>(engine: &'a Engine, session: &'a Session, column: &str) -> Rank<'a> {
    let now = engine.now();
    match column {
        "age" => Rank::number(describe::age(now, session)),
        "idle" => Rank::number(describe::idle(now, session)),
        "memory" => Rank::number(session.memory_usage() as u64),
        "unsent" => Rank::number(session.io.output),
        "in" => Rank::number(session.io.bytes_in),
        "out" => Rank::number(session.io.bytes_out),
        "commands" => Rank::number(session.io.commands),
        "db" => Rank::number(u64::from(session.db)),
        "name" => Rank::word(session.name.as_deref().unwrap_or_default()),
        "user" => Rank::word(user_name(session)),
        "command" => Rank::word(command_name(engine, session).as_bytes()),
        _ => Rank::number(session.id),
    }
}

/// Whether an address may have this in it: those of TCP have no other characters.
fn may_be_in_address(wanted: &str) -> bool {
    wanted.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:[]%".contains(&byte))
}

/// Writes an address as it is shown. For thousands of clients, the usual kind is to be fast.
fn write_address(out: &mut Vec<u8>, peer: &Peer) {
    out.clear();
    let Peer::Tcp(SocketAddr::V4(address), _) = peer else {
        return out.extend_from_slice(peer.address().as_bytes());
    };
    for (octet, sign) in address.ip().octets().into_iter().zip(*b"...:") {
        push_u64(out, octet.into());
        out.push(sign);
    }
    push_u64(out, address.port().into());
}

/// A filter: words that are shown have the wanted one in them; capital letters count as small ones.
struct Filter<'a> {
    wanted: &'a str,
    id: Option<u64>,
    may_be_in_address: bool,
    /// The address that is looked at.
    address: Vec<u8>,
}

impl<'a> Filter<'a> {
    fn new(wanted: &'a str) -> Self {
        let may_be_in_address = may_be_in_address(wanted);
        Filter { wanted, id: wanted.parse().ok(), may_be_in_address, address: Vec::new() }
    }

    fn leaves(&mut self, engine: &Engine, session: &Session) -> bool {
        let wanted = self.wanted.as_bytes();
        let has =
            |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted));
        if wanted.is_empty()
            || has(session.name.as_deref().unwrap_or_default())
            || has(user_name(session))
            || has(command_name(engine, session).as_bytes())
            || has(session.lib_name.as_deref().unwrap_or_default())
            || self.id == Some(session.id)
        {
            return true;
        }
        if matches!(session.peer, Peer::Tcp(..)) && !self.may_be_in_address {
            return false;
        }
        write_address(&mut self.address, &session.peer);
        has(&self.address)
    }
}

/// The clients that `filter` leaves, sorted by `sort` (downwards with `down=1`), from `from` on.
pub fn list(engine: &Engine, request: &Request) -> Value {
    let (filter, sort) = (request.parameter("filter").unwrap_or_default(), request.parameter("sort"));
    let (sort, down) = (sort.as_deref().unwrap_or("id"), request.number("down") == Some(1));
    let sessions = &engine.clients.sessions;
    let mut filter = Filter::new(&filter);
    // With their numbers, so that comparing doesn't touch the sessions.
    let mut found: Vec<(Rank<'_>, u64, &Session)> = sessions
        .iter()
        .take(LOOKED_AT)
        .filter(|session| filter.leaves(engine, session))
        .map(|session| (rank(engine, session, sort), session.id, session))
        .collect();
    let order = |a: &(Rank<'_>, u64, &Session), b: &(Rank<'_>, u64, &Session)| {
        let order = a.0.order(&b.0);
        (if down { order.reverse() } else { order }).then(a.1.cmp(&b.1))
    };
    let matching = found.len();
    let from = usize::try_from(request.number("from").unwrap_or(0)).unwrap_or(0).min(matching);
    let end = (from + ROWS).min(matching);
    if end < matching {
        found.select_nth_unstable_by(end, order);
    }
    let first = &mut found[..end];
    first.sort_unstable_by(order);
    let rows: Vec<Value> = first[from..].iter().map(|(.., session)| row(engine, session)).collect();
    json!({
        "total": sessions.len(), "matching": matching, "from": from, "rows": rows,
        "partial": sessions.len() > LOOKED_AT,
    })
}

fn row(engine: &Engine, session: &Session) -> Value {
    let now = engine.now();
    let word = |word: &Option<Box<[u8]>>| text(word.as_deref().unwrap_or_default());
    json!({
        "id": session.id, "addr": session.peer.address(), "name": word(&session.name), "user": text(user_name(session)),
        "db": session.db, "age": describe::age(now, session), "idle": describe::idle(now, session),
        "flags": describe::flags(session), "command": command_name(engine, session), "memory": session.memory_usage(),
        "unsent": session.io.output, "in": session.io.bytes_in, "out": session.io.bytes_out,
        "commands": session.io.commands, "lib": word(&session.lib_name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_shown() {
        let mut written = Vec::new();
        let local = "127.0.0.1:6379".parse().expect("an address");
        for address in ["1.20.255.0:1", "127.0.0.1:65535", "[::1]:7", "[::ffff:1.2.3.4]:8", "[fe80::1%3]:9"] {
            let peer = Peer::Tcp(address.parse().expect("an address"), local);
            write_address(&mut written, &peer);
            assert_eq!(written, peer.address().as_bytes());
        }
        for peer in [Peer::Unix("/tmp/a".into()), Peer::Internal] {
            write_address(&mut written, &peer);
            assert_eq!(written, peer.address().as_bytes());
        }
    }

    #[test]
    fn words_are_in_their_order() {
        let words =
            ["", "a", "aa", "abcdefgh", "abcdefgha", "abcdefghab", "abcdefghb", "abcdefgi", "b", "\u{e4}"];
        for (at, one) in words.iter().enumerate() {
            for (other_at, other) in words.iter().enumerate() {
                let order = Rank::word(one.as_bytes()).order(&Rank::word(other.as_bytes()));
                assert_eq!(order, at.cmp(&other_at), "{one} {other}");
            }
        }
        assert_eq!(Rank::number(u64::MAX).order(&Rank::number(5)), Ordering::Greater);
    }
}
