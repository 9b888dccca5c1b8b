//! The loop's state and its steps; the order of the steps in a turn is the server's.
//!
//! ```text
//! poll      wait for events, note what is readable, writable, gone
//! accept    a bounded number of new clients
//! serve     read, parse, execute, for each connection that is due (serve.rs)
//! flush     write the turn's replies; what a socket doesn't take stays with its connection
//! close     close the connections that are to be closed
//! ```
//!
//! All replies of a turn lie in one buffer, with a list of the ranges of each connection; the buffer is reused, so it
//! stays in the cache however many clients there are.

use std::io;
use std::ops::Range;
use std::time::Duration;

use mio::{Events, Poll, Token};
use slab::Slab;

use super::batch::Batch;
use super::connection::{Connection, ReadPause};
use super::listener::Listener;
use crate::base::ids::ClientId;
use crate::commands::describe_client;
use crate::engine::clients::session::{Peer, state};
use crate::engine::{Engine, ServerAction};

/// The first tokens are those of the listeners and of the signals; connections follow.
const FIRST_CONNECTION: usize = 64;
/// The token of the server's source of signals.
pub const SIGNAL_TOKEN: Token = Token(FIRST_CONNECTION - 1);
/// Bytes read at once.
const READ_BUFFER: usize = 96 * 1024;
/// Replies collected in a turn before they are written early.
pub(super) const EARLY_FLUSH: usize = 256 * 1024;
/// Unsent replies past which a client's requests wait until it has read some.
pub(super) const SLOW_READER: usize = 64 << 20;
/// Replies on their way that no limit counts, bytes.
const FREE_OUTPUT: usize = 4 * 1024;
/// Room for a turn's replies that is kept in any case, bytes.
const KEPT_REPLIES: usize = 8 * 1024;
/// Unsent replies that a client which hasn't authenticated may cause, bytes.
const UNAUTHENTICATED_OUTPUT: usize = 1024;

/// What the loop needs of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct NetLimits {
    pub keepalive: u64,
    /// New clients a listener may bring in one turn.
    pub accepts_a_turn: u32,
    /// Refuse clients from other machines: no password is set and `protected-mode` is on.
    pub protected: bool,
}

/// Poll, listeners and connections.
pub struct EventLoop {
    pub poll: Poll,
    events: Events,
    pub listeners: Vec<Listener>,
    ready_listeners: Vec<usize>,
    /// Listeners whose clients can't be accepted for want of file descriptors or memory.
    stuck_listeners: Vec<usize>,
    pub(super) connections: Slab<Connection>,
    /// Connections to be served in this turn, and in the next.
    pub(super) due: Vec<usize>,
    pub(super) next_due: Vec<usize>,
    pub(super) read_buffer: Box<[u8]>,
    pub(super) batch: Batch,
    /// The turn's replies, and which connection gets which range of them.
    pub(super) replies: Vec<u8>,
    pub(super) reply_ranges: Vec<(usize, Range<usize>)>,
    /// Connections with output for a socket that became writable.
    writable: Vec<usize>,
    /// Connections to be closed at the end of the turn.
    pub(super) to_close: Vec<usize>,
    /// Connections to be closed once their replies are out.
    pub(super) closing: Vec<usize>,
    /// Connections above the soft limit of unsent replies.
    over_soft: Vec<usize>,
    pub limits: NetLimits,
    /// A signal came.
    pub signal_event: bool,
}

impl EventLoop {
    pub fn new(limits: NetLimits) -> io::Result<Self> {
        Ok(EventLoop {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            listeners: Vec::new(),
            ready_listeners: Vec::new(),
            stuck_listeners: Vec::new(),
            connections: Slab::new(),
            due: Vec::new(),
            next_due: Vec::new(),
            read_buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            batch: Batch::default(),
            replies: Vec::new(),
            reply_ranges: Vec::new(),
            writable: Vec::new(),
            to_close: Vec::new(),
            closing: Vec::new(),
            over_soft: Vec::new(),
            limits,
            signal_event: false,
        })
    }

    /// Takes over new listeners in place of the old ones.
    pub fn set_listeners(&mut self, mut listeners: Vec<Listener>) -> io::Result<()> {
        // Dropping the old ones closes and thereby deregisters them.
        self.listeners.clear();
        for (index, listener) in listeners.iter_mut().enumerate() {
            listener.register(self.poll.registry(), Token(index))?;
        }
        self.ready_listeners = (0..listeners.len()).collect();
        self.stuck_listeners.clear();
        self.listeners = listeners;
        Ok(())
    }

    /// Waits for events, at most `timeout`, and notes them.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let busy = !self.next_due.is_empty() || !self.ready_listeners.is_empty();
        let timeout = if busy { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        std::mem::swap(&mut self.due, &mut self.next_due);
        for event in &self.events {
            let token = event.token();
            if token == SIGNAL_TOKEN {
                self.signal_event = true;
                continue;
            }
            if token.0 < FIRST_CONNECTION {
                if !self.ready_listeners.contains(&token.0) {
                    self.ready_listeners.push(token.0);
                }
                continue;
            }
            let index = token.0 - FIRST_CONNECTION;
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let (error, ended) = (event.is_error(), event.is_read_closed());
            connection.read_eof |= ended;
            if event.is_readable() || ended {
                connection.readable = true;
                if connection.read_pause == ReadPause::None && !connection.queued {
                    connection.queued = true;
                    self.due.push(index);
                }
            }
            if event.is_writable() && connection.unsent() > 0 {
                self.writable.push(index);
            }
            // A peer that only stopped sending may still want the replies to its requests; one in a blocking command
            // has gone.
            let waits = matches!(connection.read_pause, ReadPause::Blocked | ReadPause::Postponed);
            let gone = ended && (waits || (connection.closing && event.is_write_closed()));
            if error || gone {
                self.to_close.push(index);
            }
        }
        Ok(())
    }

    /// Accepts new clients.
    pub fn accept(&mut self, engine: &mut Engine) {
        for index in std::mem::take(&mut self.ready_listeners) {
            let mut drained = false;
            for _ in 0..self.limits.accepts_a_turn {
                match self.listeners[index].accept(self.limits.keepalive) {
                    Ok((transport, peer)) => self.add_connection(engine, transport, peer),
                    Err(error) if is_transient(&error) => {}
                    Err(error) => {
                        if error.kind() != io::ErrorKind::WouldBlock {
                            log::warn!("Accepting client connection: {error}");
                            self.stuck_listeners.push(index);
                        }
                        drained = true;
                        break;
                    }
                }
            }
            // Edge-triggered: unless accept answered WouldBlock, more clients wait without a further event.
            if !drained {
                self.ready_listeners.push(index);
            }
        }
    }

    fn add_connection(
        &mut self,
        engine: &mut Engine,
        mut transport: super::transport::Transport,
        peer: Peer,
    ) {
        let refusal: Option<&[u8]> = if self.connections.len() >= engine.settings.maxclients {
            Some(b"-ERR max number of clients reached\r\n")
        } else if self.limits.protected && !peer.is_local() {
            Some(PROTECTED)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            engine.metrics.stats.connections_rejected += 1;
            // The peer may be gone already, and then the text has no reader.
            let _ = transport.write(refusal);
            return;
        }
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        if let Err(error) = transport.register(self.poll.registry(), Token(index + FIRST_CONNECTION)) {
            log::warn!("Registering a client connection: {error}");
            return;
        }
        let client = engine.connect(index, transport.fd(), peer);
        entry.insert(Connection::new(transport, client));
    }

    /// Moves the outbox's messages to their connections' replies. `persist` makes safe what must be safe before they
    /// leave.
    pub fn deliver(&mut self, engine: &mut Engine, mut persist: impl FnMut(&mut Engine)) {
        if engine.clients.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut engine.clients.outbox);
        for (client, bytes) in outbox.iter() {
            let Some(session) = engine.clients.sessions.get(client) else { continue };
            let start = self.replies.len();
            self.replies.extend_from_slice(bytes);
            self.reply_ranges.push((session.conn_index, start..self.replies.len()));
            // A message may go to thousands of clients: only its unsent copies may be kept at the same time.
            if self.replies.len() > EARLY_FLUSH {
                persist(engine);
                self.flush(engine);
            }
        }
        outbox.clear();
        engine.clients.outbox = outbox;
    }

    /// Writes the turn's replies, and the output of sockets that became writable.
    pub fn flush(&mut self, engine: &mut Engine) {
        for index in std::mem::take(&mut self.writable) {
            self.send(index, 0..0, engine);
        }
        let mut reply_ranges = std::mem::take(&mut self.reply_ranges);
        for (index, range) in reply_ranges.drain(..) {
            self.send(index, range, engine);
        }
        self.reply_ranges = reply_ranges;
        self.collect_finished();
        if !self.over_soft.is_empty() {
            self.check_soft_limits(engine);
        }
        // Turns alike keep the buffer; the memory of one big reply is given back by the next turn.
        let used = self.replies.len();
        self.replies.clear();
        if used < KEPT_REPLIES / 2 && self.replies.capacity() > KEPT_REPLIES {
            self.replies.shrink_to(KEPT_REPLIES);
        }
    }

    /// Has a connection closed once its replies are out.
    pub(super) fn close_gracefully(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.closing {
            connection.closing = true;
            self.closing.push(index);
        }
    }

    fn collect_finished(&mut self) {
        let (connections, to_close) = (&self.connections, &mut self.to_close);
        self.closing.retain(|index| match connections.get(*index) {
            Some(connection) if connection.closing && connection.unsent() > 0 => true,
            Some(connection) if connection.closing => {
                to_close.push(*index);
                false
            }
            _ => false,
        });
    }

    /// Sends a connection's backlog and then a part of the turn's replies, as far as the socket takes it.
    fn send(&mut self, index: usize, range: Range<usize>, engine: &mut Engine) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let fresh = &self.replies[range];
        let backlog = connection.unsent();
        let total = backlog + fresh.len();
        if total == 0 {
            return;
        }
        // Replies beyond the limit aren't sent in part.
        if total > FREE_OUTPUT && over_limit(connection, engine, total - FREE_OUTPUT) {
            return self.to_close.push(index);
        }
        let Ok(written) = connection.send(fresh) else {
            return self.to_close.push(index);
        };
        engine.metrics.stats.net_output_bytes += written as u64;
        engine.metrics.stats.writes_processed += 1;
        if let Some(session) = engine.clients.sessions.get_mut(connection.client) {
            session.io.bytes_out += written as u64;
        }
        if written == total && backlog == 0 && connection.read_pause != ReadPause::SlowReader {
            return;
        }
        self.after_partial_send(index, written > 0, engine);
    }

    /// Accounts for a connection that has a backlog, or got rid of it.
    #[cold]
    fn after_partial_send(&mut self, index: usize, progressed: bool, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let unsent = connection.unsent();
        if let Some(session) = engine.clients.sessions.get_mut(connection.client) {
            session.io.output = unsent as u64;
        }
        engine.recount_client(connection.client);
        if connection.read_pause == ReadPause::SlowReader && unsent < SLOW_READER / 2 {
            connection.read_pause = ReadPause::None;
            self.enqueue(index);
        }
        // The socket took something, so it may take more at once without a further event.
        if unsent > 0 && progressed {
            self.writable.push(index);
        }
        if over_limit(&mut self.connections[index], engine, unsent) {
            self.to_close.push(index);
        } else if self.connections[index].over_soft_since > 0 && !self.over_soft.contains(&index) {
            self.over_soft.push(index);
        }
    }

    /// Finds connections that have been above their soft limit for too long.
    fn check_soft_limits(&mut self, engine: &mut Engine) {
        let (connections, to_close) = (&mut self.connections, &mut self.to_close);
        self.over_soft.retain(|index| {
            let Some(connection) = connections.get_mut(*index) else { return false };
            let unsent = connection.unsent();
            let over = over_limit(connection, engine, unsent);
            if over {
                to_close.push(*index);
            }
            !over && connection.over_soft_since > 0
        });
    }

    /// Enters a connection among those to be served in the next turn.
    pub(super) fn enqueue(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        if !connection.queued {
            connection.queued = true;
            self.next_due.push(index);
        }
    }

    /// Carries out a request that concerns connections; returns any other.
    pub fn carry_out(&mut self, request: ServerAction, engine: &Engine) -> Option<ServerAction> {
        match request {
            ServerAction::Close { client, conn_index, gracefully } => {
                if self.connections.get(conn_index).is_some_and(|connection| connection.client == client) {
                    if gracefully {
                        self.close_gracefully(conn_index);
                    } else {
                        self.to_close.push(conn_index);
                    }
                }
            }
            ServerAction::Resume(client) => {
                if let Some(index) = self.connection_of(engine, client) {
                    self.resume(index);
                }
            }
            ServerAction::ResumeAll => {
                let postponed = self.connections.iter().filter(|(_, c)| c.read_pause == ReadPause::Postponed);
                for index in postponed.map(|(index, _)| index).collect::<Vec<_>>() {
                    self.resume(index);
                }
            }
            other => return Some(other),
        }
        None
    }

    fn resume(&mut self, index: usize) {
        self.connections[index].read_pause = ReadPause::None;
        self.enqueue(index);
    }

    fn connection_of(&self, engine: &Engine, client: ClientId) -> Option<usize> {
        let conn_index = engine.clients.sessions.get(client)?.conn_index;
        self.connections.get(conn_index).filter(|connection| connection.client == client).map(|_| conn_index)
    }

    /// Closes the connections that are to be closed.
    pub fn close_pending(&mut self, engine: &mut Engine) {
        if self.to_close.is_empty() {
            return;
        }
        let mut to_close = std::mem::take(&mut self.to_close);
        for index in to_close.drain(..) {
            if let Some(connection) = self.connections.try_remove(index) {
                engine.disconnect(connection.client);
            }
        }
        self.to_close = to_close;
        self.ready_listeners.append(&mut self.stuck_listeners);
        self.ready_listeners.sort_unstable();
        self.ready_listeners.dedup();
    }
}

/// Whether the next `accept` may succeed: only this one client went away.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}

/// Whether a connection's unsent replies are beyond the limit of its class; if so, it is logged and counted.
#[cold]
fn over_limit(connection: &mut Connection, engine: &mut Engine, unsent: usize) -> bool {
    let Some(session) = engine.clients.sessions.get(connection.client) else { return false };
    // Without a limit a monitor that doesn't read would take all memory, so it has that of a replica.
    let class = if session.is(state::SUBSCRIBED) { 2 } else { usize::from(session.is(state::MONITOR)) };
    let limit = engine.settings.output_limits[class];
    let bytes = unsent as u64;
    let now = engine.now();
    if limit.soft == 0 || bytes < limit.soft {
        connection.over_soft_since = 0;
    } else if connection.over_soft_since == 0 {
        connection.over_soft_since = now;
    }
    let since = connection.over_soft_since;
    let over = (limit.hard > 0 && bytes >= limit.hard)
        || (since > 0 && now.saturating_sub(since) > limit.soft_seconds.saturating_mul(1000))
        || (unsent > UNAUTHENTICATED_OUTPUT && session.is(state::UNAUTHENTICATED));
    if over {
        let client = describe_client(engine, connection.client);
        log::warn!("Client {client} scheduled to be closed ASAP for overcoming of output buffer limits.");
        engine.metrics.stats.output_limit_disconnections += 1;
    }
    over
}

const PROTECTED: &[u8] = b"-DENIED redloop is running in protected mode: no password is set, and connections \
are then accepted from this machine only. To let other machines in, set a password (CONFIG SET requirepass, or \
the requirepass directive), or turn the protection off from this machine with CONFIG SET protected-mode no.\r\n";
