//! CLIENT LIST's lines: formats one line for each connection.
//!
//! ```text
//! id=3 addr=127.0.0.1:50402 laddr=127.0.0.1:6379 fd=10 name= age=0 idle=0 flags=N db=0 sub=0 psub=0 ssub=0
//! multi=-1 watch=0 qbuf=26 qbuf-free=0 argv-mem=10 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=380
//! events=r cmd=client|list user={user} redir=-1 resp=2 lib-name= lib-ver= io-thread=0 capa= tot-net-in=26
//! tot-net-out=0 tot-cmds=0
//! ```
//!
//! An idle connection has no reply buffer, so `rbs`, `rbp` and `obl` are always 0; replies that it hasn't read, and what a
//! replica hasn't been sent of the stream, count as one node in `oll`.

use std::fmt::Write;

use crate::engine::clients::session::{Peer, Role, Session, state};
use crate::engine::command::table::CommandTable;
use crate::resp::Args;

/// The bytes of a connection besides its session and its buffers.
const CONNECTION_BYTES: usize = 128;

/// In the place of a user's name, for a primary.
const SUPERUSER: &[u8] = b"(superuser)";

/// The letters of `flags`.
pub fn flags(session: &Session) -> String {
    let unix = matches!(session.peer, Peer::Unix(_));
    // A target of Valkey is no replica there.
    let is_valkeys = session.is(state::EXPORT) && !session.is(state::INTERNAL);
    let letters = [
        ('S', session.is(state::REPLICA) && !is_valkeys),
        ('E', is_valkeys),
        ('g', session.is(state::EXPORT) && !is_valkeys),
        ('O', session.is(state::MONITOR)),
        ('M', session.role == Role::Primary),
        ('i', session.role == Role::Import && !session.is(state::INTERNAL)),
        ('o', session.role == Role::Import && session.is(state::INTERNAL)),
        ('P', session.is(state::SUBSCRIBED)),
        ('x', session.is(state::IN_MULTI)),
        ('b', session.is(state::BLOCKED | state::POSTPONED)),
        ('t', session.tracker.is_some()),
        ('R', session.tracker.as_ref().is_some_and(|tracker| tracker.broken)),
        ('B', session.tracker.as_ref().is_some_and(|tracker| tracker.broadcast)),
        ('d', session.is(state::DIRTY_CAS)),
        ('c', session.is(state::CLOSING)),
        ('U', unix),
        ('e', session.is(state::NO_EVICT)),
        ('T', session.is(state::NO_TOUCH)),
        ('I', session.is(state::IMPORT_SOURCE)),
    ];
    let text: String = letters.iter().filter(|(_, set)| *set).map(|(letter, _)| *letter).collect();
    if text.is_empty() { "N".into() } else { text }
}

/// The letters of `capa`.
pub fn capabilities(session: &Session) -> &'static str {
    if session.is(state::CAPA_REDIRECT) { "r" } else { "" }
}

/// Appends a session's line, without its end. `now` is Unix ms. `serving`: its running request, if it is the one being served.
pub fn describe(
    commands: &CommandTable,
    now: u64,
    session: &Session,
    serving: Option<Args<'_>>,
    line: &mut String,
) {
    identify(now, session, line);
    occupation(session, line);
    buffers(session, serving, line);
    software(commands, session, serving, line);
}

/// Seconds from `then` to now, both Unix ms.
fn seconds_since(now: u64, then: u64) -> u64 {
    (now / 1000).saturating_sub(then / 1000)
}

/// How long a connection has existed, seconds.
pub fn age(now: u64, session: &Session) -> u64 {
    seconds_since(now, session.connected_ms)
}

/// How long a connection has been silent, seconds.
pub fn idle(now: u64, session: &Session) -> u64 {
    seconds_since(now, session.active_ms)
}

fn identify(now: u64, session: &Session, line: &mut String) {
    let (id, fd) = (session.id, session.fd);
    let (addr, laddr) = (session.peer.address(), session.peer.local_address());
    let (age, idle) = (age(now, session), idle(now, session));
    let name = word(&session.name);
    let flags = flags(session);
    let _ = write!(
        line,
        "id={id} addr={addr} laddr={laddr} fd={fd} name={name} age={age} idle={idle} flags={flags}"
    );
}

/// A name as text; all names are printable ASCII.
fn word(name: &Option<Box<[u8]>>) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(name.as_deref().unwrap_or_default())
}

fn occupation(session: &Session, line: &mut String) {
    let subscriptions = session.subscriptions.as_deref();
    let (sub, psub, ssub) =
        subscriptions.map_or((0, 0, 0), |s| (s.channels.len(), s.patterns.len(), s.shard.len()));
    let transaction = session.transaction.as_deref();
    let queued = transaction.map_or(0, |t| t.queue.len() as i64);
    let multi = if session.is(state::IN_MULTI) { queued } else { -1 };
    let watch = transaction.map_or(0, |t| t.watched.len());
    let db = session.db;
    let _ = write!(line, " db={db} sub={sub} psub={psub} ssub={ssub} multi={multi} watch={watch}");
}

fn buffers(session: &Session, serving: Option<Args<'_>>, line: &mut String) {
    let io = &session.io;
    let (input, parsed) = (io.query_unparsed as usize, io.query_parsed as usize);
    let spare = (io.query_capacity as usize).saturating_sub(input + parsed);
    let held = parsed + session.waiting.as_ref().map_or(0, |waiting| waiting.request.memory_usage());
    let arguments = serving.map_or(held, |args| args.payload());
    let queued = session.transaction.as_ref().map_or(0, |t| t.queued_bytes);
    let output = io.output + io.stream_lag;
    let nodes = u32::from(output > 0);
    let memory = session.memory_usage() + io.stream_lag as usize;
    let total = memory + CONNECTION_BYTES + serving.map_or(0, |args| args.payload());
    let events = if output > 0 { "rw" } else { "r" };
    let _ = write!(
        line,
        " qbuf={input} qbuf-free={spare} argv-mem={arguments} multi-mem={queued} rbs=0 rbp=0 obl=0 oll={nodes} \
         omem={output} tot-mem={total} events={events}"
    );
}

fn software(commands: &CommandTable, session: &Session, serving: Option<Args<'_>>, line: &mut String) {
    let running = serving.and_then(|args| commands.resolve(args.at(0), args.get(1)).ok());
    let command = running.or(session.last_command).map_or("NULL", |id| &commands.get(id).name);
    let user = String::from_utf8_lossy(session.user_name().unwrap_or(SUPERUSER));
    let resp = if session.resp3 { 3 } else { 2 };
    let (lib, version) = (word(&session.lib_name), word(&session.lib_version));
    let capa = capabilities(session);
    let redir = session.redirect_id();
    let (bytes_in, bytes_out, commands) = (session.io.bytes_in, session.io.bytes_out, session.io.commands);
    let _ = write!(
        line,
        " cmd={command} user={user} redir={redir} resp={resp} lib-name={lib} lib-ver={version} io-thread=0 \
         capa={capa} tot-net-in={bytes_in} tot-net-out={bytes_out} tot-cmds={commands}"
    );
}
