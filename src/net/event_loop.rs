//! The event loop (`ae`): its state and its steps; the order of the steps in a turn is the server's.
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

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use rustls::{ClientConfig, ServerConfig};
use slab::Slab;

use super::batch::Batch;
use super::bus_port::{BusPort, FIRST_BUS};
use super::connection::{Connection, ConnectionKind, ReadPause};
use super::http_port::{FIRST_HTTP, HttpPort};
use super::link_table::LinkTable;
use super::listener::Listener;
use super::payload::Payload;
use super::turn_output::TurnOutput;
use crate::base::ids::ClientId;
use crate::engine::clients::session::Peer;
use crate::engine::{Engine, ServerAction};
use crate::services::config::Subnets;

/// The first tokens are those of the listeners and of the signals; connections follow.
pub(super) const FIRST_CONNECTION: usize = 128;
/// The token of the server's source of signals.
pub const SIGNAL_TOKEN: Token = Token(FIRST_CONNECTION - 1);
/// The token by which threads wake the loop.
const WAKE_TOKEN: Token = Token(FIRST_CONNECTION - 2);
/// Bytes read at once.
const READ_BUFFER: usize = 96 * 1024;

/// What the loop needs of the configuration.
#[derive(Clone, Debug)]
pub struct NetLimits {
    pub keepalive: u64,
    /// New clients a listener may bring in one turn, and a listener for TLS.
    pub accepts_a_turn: u32,
    pub tls_accepts_a_turn: u32,
    /// Places that only clients from `priority` may take.
    pub reserved: usize,
    pub priority: Subnets,
    /// Refuse clients from other machines: no password is set and `protected-mode` is on.
    pub protected: bool,
}

/// Poll, listeners and connections.
pub struct EventLoop {
    pub poll: Poll,
    /// Has threads wake the loop.
    pub waker: Arc<Waker>,
    events: Events,
    pub listeners: Vec<Listener>,
    ready_listeners: Vec<usize>,
    /// Listeners whose clients can't be accepted for want of file descriptors or memory.
    stuck_listeners: Vec<usize>,
    pub(super) connections: Slab<Connection>,
    pub(super) links: LinkTable,
    /// The metrics port.
    pub http: HttpPort,
    /// The port of the cluster's bus.
    pub bus: BusPort,
    /// Snapshots on their way to replicas.
    pub(super) payloads: Slab<Payload>,
    /// Connections to be served in this turn, and in the next.
    pub(super) due: Vec<usize>,
    pub(super) next_due: Vec<usize>,
    pub(super) read_buffer: Box<[u8]>,
    pub(super) batch: Batch,
    pub(super) output: TurnOutput,
    /// Short pieces of a connection, copied to be sent together.
    pub(super) gathered: Vec<u8>,
    /// Connections with a backlog that the socket may take.
    pub(super) writable: Vec<usize>,
    /// Connections whose output waits for the log, with the offset that it waits for, in order.
    pub(super) held: VecDeque<(u64, usize)>,
    /// Connections of this turn whose output will wait for the log.
    pub(super) dependents: usize,
    /// Connections whose output waited, before the last that were let go.
    pub(super) held_before: usize,
    /// Connections to be closed at the end of the turn.
    pub(super) to_close: Vec<usize>,
    /// Connections to be closed once their replies are out.
    pub(super) closing: Vec<usize>,
    /// Connections above the soft limit of unsent replies, each once, with their clients: a later connection may have
    /// the number of one that is closed.
    pub(super) over_soft: Vec<(usize, ClientId)>,
    pub limits: NetLimits,
    /// What new clients that speak TLS get.
    pub tls: Option<Arc<ServerConfig>>,
    /// What connections get that are opened from here and speak TLS.
    pub tls_of_links: Option<Arc<ClientConfig>>,
    /// Connections whose handshake may be going on, with their clients and when they are closed, Unix ms; in this order.
    pub(super) handshakes: VecDeque<(u64, usize, ClientId)>,
    /// A signal came.
    pub signal_event: bool,
}

impl EventLoop {
    pub fn new(limits: NetLimits) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE_TOKEN)?);
        Ok(EventLoop {
            poll,
            waker,
            events: Events::with_capacity(1024),
            listeners: Vec::new(),
            ready_listeners: Vec::new(),
            stuck_listeners: Vec::new(),
            connections: Slab::new(),
            links: LinkTable::default(),
            http: HttpPort::default(),
            bus: BusPort::default(),
            payloads: Slab::new(),
            due: Vec::new(),
            next_due: Vec::new(),
            read_buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            batch: Batch::default(),
            output: TurnOutput::default(),
            gathered: Vec::new(),
            writable: Vec::new(),
            held: VecDeque::new(),
            dependents: 0,
            held_before: 0,
            to_close: Vec::new(),
            closing: Vec::new(),
            over_soft: Vec::new(),
            limits,
            tls: None,
            tls_of_links: None,
            handshakes: VecDeque::new(),
            signal_event: false,
        })
    }

    /// Connections whose output waits for the log, and how many there were when the last were let go.
    pub fn held_connections(&self) -> (usize, usize) {
        (self.held.len() + self.dependents, self.held_before)
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
        let busy = !self.next_due.is_empty()
            || !self.ready_listeners.is_empty()
            || !self.writable.is_empty()
            || self.links.is_due();
        let timeout = if busy { Some(Duration::ZERO) } else { timeout };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        std::mem::swap(&mut self.due, &mut self.next_due);
        for event in &self.events {
            let token = event.token();
            if token.0 < FIRST_CONNECTION {
                let ready = match token {
                    SIGNAL_TOKEN => {
                        self.signal_event = true;
                        continue;
                    }
                    WAKE_TOKEN => continue,
                    Token(number @ FIRST_BUS..) => (&mut self.bus.ready, number - FIRST_BUS),
                    Token(number @ FIRST_HTTP..) => (&mut self.http.ready, number - FIRST_HTTP),
                    Token(number) => (&mut self.ready_listeners, number),
                };
                if !ready.0.contains(&ready.1) {
                    ready.0.push(ready.1);
                }
                continue;
            }
            let index = token.0 - FIRST_CONNECTION;
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let (error, ended) = (event.is_error(), event.is_read_closed());
            connection.read_eof |= ended;
            if let ConnectionKind::Link(link) = &connection.kind {
                connection.readable |= event.is_readable() || ended || error;
                if event.is_writable() && !link.connecting && connection.wants_write() {
                    self.writable.push(index);
                }
                if !connection.queued && (connection.readable || link.connecting) {
                    connection.queued = true;
                    self.due.push(index);
                }
                continue;
            }
            if event.is_readable() || ended {
                connection.readable = true;
                if connection.read_pause == ReadPause::None && !connection.queued {
                    connection.queued = true;
                    self.due.push(index);
                }
            }
            if event.is_writable()
                && let Some(replica) = &mut connection.replica
            {
                replica.is_full = false;
            }
            if event.is_writable() && connection.wants_write() {
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
        self.accept_http(engine.now());
        self.accept_bus(engine);
        for index in std::mem::take(&mut self.ready_listeners) {
            let mut drained = false;
            let is_tls = self.listeners[index].is_tls();
            let count = if is_tls { self.limits.tls_accepts_a_turn } else { self.limits.accepts_a_turn };
            for _ in 0..count {
                match self.listeners[index].accept(self.limits.keepalive, self.tls.as_ref()) {
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
        let is_tls = transport.tls().is_some();
        let has_priority = peer.socket_ip().is_some_and(|ip| self.limits.priority.contains(ip));
        let refusal: Option<&[u8]> = if !self.has_room(engine, has_priority) {
            Some(b"-ERR max number of clients reached\r\n")
        } else if self.limits.protected && !peer.is_local() && !is_tls {
            Some(PROTECTED)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            engine.metrics.stats.connections_rejected += 1;
            engine.metrics.stats.priority_rejected += u64::from(has_priority);
            // The peer may be gone already, or there was no handshake, and then the text has no reader.
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
        if has_priority {
            engine.note_priority(client);
        }
        entry.insert(Connection::new(transport, client));
        if is_tls {
            self.expect_handshake(index, client, engine);
        }
    }

    /// Whether there is a place for another client. Those without priority have all places but the reserved ones, which
    /// are kept only if there is somewhere that clients with priority come from.
    fn has_room(&self, engine: &Engine, has_priority: bool) -> bool {
        let (taken, places) = (self.connections.len(), engine.settings.maxclients);
        if taken >= places {
            return false;
        }
        if has_priority || self.limits.reserved == 0 || self.limits.priority.is_empty() {
            return true;
        }
        taken.saturating_sub(engine.clients.priority_count) < places.saturating_sub(self.limits.reserved)
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
    pub fn handle_action(&mut self, request: ServerAction, engine: &Engine) -> Option<ServerAction> {
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
            ServerAction::GatherPackets { client, conn_index } => {
                let connection = self.connections.get(conn_index).filter(|it| it.client == client);
                if let Some(connection) = connection {
                    connection.transport.gather_packets();
                }
            }
            ServerAction::Link(link, action) => self.handle_link_action(link, action),
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

    pub(super) fn connection_of(&self, engine: &Engine, client: ClientId) -> Option<usize> {
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
            if let Some(mut connection) = self.connections.try_remove(index) {
                connection.transport.close();
                match connection.kind {
                    ConnectionKind::Client => engine.disconnect(connection.client),
                    ConnectionKind::Link(outbound) => self.end_link(outbound.link),
                    ConnectionKind::Http(_) => self.forget_http(index),
                }
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

pub(super) const PROTECTED: &[u8] = b"-DENIED redloop is running in protected mode: no password is set, and connections \
are then accepted from this machine only. To let other machines in, set a password (CONFIG SET requirepass, or \
the requirepass directive), or turn the protection off from this machine with CONFIG SET protected-mode no.\r\n";
