//! Sending: messages from the outbox to their connections, and the turn's output to the sockets.
//!
//! A connection gets one `write` a turn, for its backlog and all its pieces. What the socket doesn't take becomes its
//! backlog, which counts against the limits of its class (`client-output-buffer-limit`).

use super::connection::{Connection, ConnectionKind, LogDependence, ReadPause};
use super::event_loop::EventLoop;
use super::turn_output::{Chain, Source};
use crate::commands::describe_client;
use crate::engine::Engine;
use crate::engine::clients::session::state;
use crate::resp::SharedMessage;

/// Replies collected in a turn before they are written early.
pub(super) const EARLY_FLUSH: usize = 256 * 1024;
/// Pieces collected in a turn before they are sent early: they take about 3 MB.
const EARLY_PIECES: usize = 64 * 1024;
/// Unsent replies past which a client's requests wait until it has read some.
pub(super) const SLOW_READER: usize = 64 << 20;
/// Replies on their way that no limit counts, bytes.
const FREE_OUTPUT: usize = 4 * 1024;
/// Unsent replies that a client which hasn't authenticated may cause, bytes.
const UNAUTHENTICATED_OUTPUT: usize = 1024;

impl EventLoop {
    /// Takes the outbox's messages into the output of their connections.
    #[inline]
    pub fn deliver(&mut self, engine: &mut Engine) {
        if !engine.clients.outbox.is_empty() {
            self.take_posts(engine);
        }
    }

    fn take_posts(&mut self, engine: &mut Engine) {
        let clients = &mut engine.clients;
        let (connections, output, sessions) = (&mut self.connections, &mut self.output, &clients.sessions);
        clients.outbox.take_posts(|client, message| {
            let Some(index) = sessions.get(client).map(|session| session.conn_index) else { return };
            // Behind the last reply of a connection that is to be closed comes nothing more.
            let connection = connections.get_mut(index).filter(|c| !c.closing && !c.dropped);
            let Some(connection) = connection else { return };
            connection.log_dependence = connection.log_dependence.max(LogDependence::Messages);
            let source = match message {
                SharedMessage::Short(range) => Source::Messages(range),
                SharedMessage::Long(bytes) => Source::Shared(bytes),
            };
            output.add(index, &mut connection.chain, source);
        });
    }

    /// Whether the turn's output takes so much memory that it is to be sent before the turn's end.
    #[inline]
    pub(super) fn is_full(&self, engine: &Engine) -> bool {
        self.output.len() + engine.clients.outbox.stored() > EARLY_FLUSH
            || self.output.piece_count() > EARLY_PIECES
    }

    /// Sends the turn's output, and the backlog of sockets that became writable.
    pub fn flush(&mut self, engine: &mut Engine) {
        self.release_held(engine);
        for index in std::mem::take(&mut self.writable) {
            self.send(index, engine);
        }
        let pending = self.output.take_pending();
        let holds = engine.has_unconfirmed_writes();
        for index in &pending {
            if holds {
                self.hold(*index, engine);
            }
            self.send(*index, engine);
        }
        if !engine.replication.replicas.is_empty() || !self.payloads.is_empty() {
            self.feed_replicas(engine);
        }
        self.output.clear(pending);
        self.dependents = 0;
        engine.clients.outbox.clear();
        self.collect_finished();
        if !self.over_soft.is_empty() {
            self.check_soft_limits(engine);
        }
    }

    /// What a connection is to be sent waits for the log (`appendfsync always`), if it tells of data.
    #[cold]
    fn hold(&mut self, index: usize, engine: &Engine) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let offset = engine.backlog().log_end();
        if connection.log_dependence == LogDependence::None {
            return;
        }
        if connection.output.get_or_insert_default().hold(offset) {
            self.held.push_back((offset, index));
        }
        if connection.log_dependence == LogDependence::Replies {
            connection.serve_after = offset;
        }
    }

    /// Lets go what has waited for the log.
    fn release_held(&mut self, engine: &Engine) {
        let before = self.held.len();
        let confirmed = engine.persistence.confirmed;
        while let Some(&(offset, index)) = self.held.front()
            && offset <= confirmed
        {
            self.held.pop_front();
            let Some(connection) = self.connections.get_mut(index) else { continue };
            if let Some(output) = connection.output.as_mut().filter(|output| output.waits_for_log()) {
                output.release(confirmed);
                self.writable.push(index);
            }
            // Requests behind a reply have waited meanwhile.
            let may_go_on = connection.serve_after <= confirmed;
            if may_go_on && (connection.readable || !connection.input.is_empty()) {
                self.enqueue(index);
            }
        }
        if self.held.len() < before {
            self.held_before = before;
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

    /// Has a connection closed at the turn's end; what it was still to be sent is lost, as a whole.
    pub(super) fn drop_connection(&mut self, index: usize) {
        self.connections[index].dropped = true;
        self.to_close.push(index);
    }

    fn collect_finished(&mut self) {
        let (connections, to_close) = (&self.connections, &mut self.to_close);
        self.closing.retain(|index| match connections.get(*index) {
            Some(connection) if connection.closing && connection.wants_write() => true,
            Some(connection) if connection.closing => {
                to_close.push(*index);
                false
            }
            _ => false,
        });
    }

    /// Sends a connection's backlog and its pieces of the turn's output, as far as the socket takes them.
    fn send(&mut self, index: usize, engine: &mut Engine) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let chain = std::mem::replace(&mut connection.chain, Chain::EMPTY);
        if connection.dropped {
            return;
        }
        let messages = engine.clients.outbox.bytes();
        connection.log_dependence = LogDependence::None;
        let fresh: usize = self.output.pieces(chain, messages).map(|piece| piece.bytes.len()).sum();
        let backlog = connection.unsent();
        let total = backlog + fresh;
        if total == 0 && !connection.wants_write() {
            return;
        }
        // Replies beyond the limit aren't sent in part.
        if total > FREE_OUTPUT && over_limit(connection, engine, total - FREE_OUTPUT) {
            return self.drop_connection(index);
        }
        let pieces = self.output.pieces(chain, engine.clients.outbox.bytes());
        let Ok(sent) = connection.send(pieces, &mut self.gathered) else {
            return self.drop_connection(index);
        };
        engine.metrics.stats.net_output_bytes += sent.bytes as u64;
        engine.metrics.stats.writes_processed += u64::from(sent.bytes > 0);
        if let Some(session) = engine.clients.sessions.get_mut(connection.client) {
            session.io.bytes_out += sent.bytes as u64;
        }
        if sent.bytes == total && backlog == 0 && connection.read_pause != ReadPause::SlowReader {
            return;
        }
        if sent.more {
            self.writable.push(index);
        }
        self.after_partial_send(index, engine);
    }

    /// Accounts for a connection that has a backlog, or got rid of it.
    #[cold]
    fn after_partial_send(&mut self, index: usize, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let (unsent, held) = (connection.unsent(), connection.held());
        if let ConnectionKind::Link(outbound) = &connection.kind {
            return engine.link_sent(outbound.link, unsent);
        }
        if let Some(session) = engine.clients.sessions.get_mut(connection.client) {
            session.io.output = held as u64;
        }
        engine.recount_client(connection.client);
        if connection.read_pause == ReadPause::SlowReader && unsent < SLOW_READER / 2 {
            connection.read_pause = ReadPause::None;
            self.enqueue(index);
        }
        if over_limit(&mut self.connections[index], engine, held) {
            self.drop_connection(index);
            return;
        }
        let connection = &mut self.connections[index];
        if connection.over_soft_since > 0 && !connection.over_soft_listed {
            connection.over_soft_listed = true;
            self.over_soft.push((index, connection.client));
        }
    }

    /// Finds connections that have been above their soft limit for too long.
    fn check_soft_limits(&mut self, engine: &mut Engine) {
        let (connections, to_close) = (&mut self.connections, &mut self.to_close);
        self.over_soft.retain(|(index, client)| {
            let Some(connection) = connections.get_mut(*index).filter(|it| it.client == *client) else {
                return false;
            };
            if connection.dropped {
                return false;
            }
            let held = connection.held();
            let over = over_limit(connection, engine, held);
            if over {
                connection.dropped = true;
                to_close.push(*index);
            }
            connection.over_soft_listed = !over && connection.over_soft_since > 0;
            connection.over_soft_listed
        });
    }
}

/// Whether a connection's unsent replies are beyond the limit of its class; if so, it is logged and counted.
#[cold]
pub(super) fn over_limit(connection: &mut Connection, engine: &mut Engine, unsent: usize) -> bool {
    let Some(session) = engine.clients.sessions.get(connection.client) else { return false };
    // Without a limit a monitor that doesn't read would take all memory, so it has that of a replica.
    let is_replica = session.is(state::MONITOR | state::REPLICA);
    let class = if session.is(state::SUBSCRIBED) { 2 } else { usize::from(is_replica) };
    let mut limit = engine.settings.output_limits[class];
    if session.is(state::REPLICA) {
        // What is kept for replicas that come back may be kept for one that is there.
        let retained = engine.config.repl_backlog_size;
        limit.hard = if limit.hard > 0 { limit.hard.max(retained) } else { 0 };
        limit.soft = if limit.soft > 0 { limit.soft.max(retained) } else { 0 };
    }
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
