//! Serving a connection: one read, then its requests in batches (`batch.rs`), executed in order.
//!
//! The loop's read buffer serves all connections. What is left of an incomplete request moves into the
//! connection's own buffer; a large argument is read into an allocation of its own.

use std::io;

use super::batch::Served;
use super::connection::{ConnectionKind, LogDependence, Partial, ReadPause};
use super::event_loop::EventLoop;
use super::flush::SLOW_READER;
use super::input::{Input, room_for_long_request};
use super::large_argument::LARGE_ARGUMENT;
use super::read::Read;
use crate::base::ids::ClientId;
use crate::commands::describe_client;
use crate::engine::Engine;
use crate::engine::clients::session::{Role, state};
use crate::resp::{CommandError, Reply};

/// Replies that one connection may cause in a turn, bytes, beyond the one that crosses the mark.
const REPLIES_A_TURN: usize = 1 << 20;
/// Input of an incomplete request from which the rest is read straight into its own buffer.
const LONG_REQUEST: usize = 32 * 1024;
/// Bytes read of a request that is likely to have a large argument: what stands before the argument fits, and little of the
/// argument has to be copied.
const BEFORE_LARGE: usize = 256;
/// Bytes read behind a large argument at once: its line end, and the beginning of the next request.
const BEHIND_LARGE: usize = 256;

/// Input that the primary may leave unexecuted, bytes, whatever the limit for clients is.
const PRIMARY_INPUT: usize = 8 << 30;
/// Input that a client which hasn't authenticated may leave unexecuted, bytes.
const UNAUTHENTICATED_INPUT: usize = 1 << 20;

/// Time after which a turn serves no further connection, nanoseconds.
const TURN_BUDGET: u64 = 500_000;

impl EventLoop {
    /// Serves the connections that are due, each once; what the turn has no time for comes first in the
    /// next.
    pub fn serve(&mut self, engine: &mut Engine, mut persist: impl FnMut(&mut Engine)) {
        let mut due = std::mem::take(&mut self.due);
        engine.start_serving();
        for number in 0..due.len() {
            let index = due[number];
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.queued = false;
            match connection.kind {
                ConnectionKind::Client => {}
                ConnectionKind::Link(_) => {
                    self.serve_link(index, engine);
                    continue;
                }
                ConnectionKind::Http(_) => {
                    self.serve_http(index, engine.now());
                    continue;
                }
            }
            let before = engine.data_mark();
            self.serve_connection(index, engine);
            if engine.data_mark() != before
                && let Some(connection) = self.connections.get_mut(index)
            {
                connection.log_dependence = LogDependence::Replies;
                self.dependents += 1;
            }
            self.deliver(engine);
            let mut full = false;
            if self.is_full(engine) {
                persist(engine);
                self.flush(engine);
                // Unread replies must cost a client its connection before they cost keys (`maxmemory-clients`).
                full = engine.evict_clients();
            }
            if (full || engine.turn_nanos() > TURN_BUDGET) && number + 1 < due.len() {
                self.postpone(&mut due, number + 1);
                break;
            }
        }
        due.clear();
        // New entries went to `next_due`.
        self.due = due;
    }

    /// Puts what this turn has no time for before what is due in the next.
    fn postpone(&mut self, rest: &mut Vec<usize>, served: usize) {
        rest.drain(..served);
        rest.append(&mut self.next_due);
        std::mem::swap(rest, &mut self.next_due);
    }

    fn serve_connection(&mut self, index: usize, engine: &mut Engine) {
        if !self.is_served(index, engine) {
            return;
        }
        if !self.is_open(index, engine) {
            return;
        }
        engine.start_unit();
        if self.connections[index].has_whole_input() {
            return self.serve_waiting(index, engine);
        }
        let read_too_little = self.serve_unread(index, engine);
        if read_too_little && self.is_served(index, engine) && !self.connections[index].has_whole_input() {
            self.serve_unread(index, engine);
        }
        if self.connections[index].awaits_large() && self.is_served(index, engine) {
            self.serve_large_argument(index, engine);
        }
        if self.connections[index].readable {
            self.enqueue(index);
        }
    }

    /// Whether requests of a connection are read and executed just now.
    #[inline]
    fn is_served(&self, index: usize, engine: &Engine) -> bool {
        let connection = &self.connections[index];
        // CLIENT KILL of another client may have ended the session since the connection became due.
        let ended = engine.clients.sessions.get(connection.client).is_none();
        let waits =
            connection.read_pause != ReadPause::None || connection.serve_after > engine.persistence.confirmed;
        !(waits || connection.closing || connection.dropped || ended)
    }

    /// Reads once, and serves what has come. True if little was read because a large argument was expected, and there is
    /// more but no such argument.
    #[inline]
    fn serve_unread(&mut self, index: usize, engine: &mut Engine) -> bool {
        let connection = &mut self.connections[index];
        if connection.awaits_large() {
            return false;
        }
        if connection.input.len() >= LONG_REQUEST {
            self.serve_long_request(index, engine);
            return false;
        }
        // A short rest is put before what is read now, so that requests always lie in one piece.
        let rest = connection.input.len();
        let mut read_buffer = std::mem::take(&mut self.read_buffer);
        read_buffer[..rest].copy_from_slice(connection.input.unexecuted());
        let end = if connection.expects_large { rest + BEFORE_LARGE } else { read_buffer.len() };
        let mut read_too_little = false;
        let read = self.read(index, rest, &mut read_buffer[rest..end], engine);
        if let Some(read) = read {
            let connection = &mut self.connections[index];
            let partial = connection.partial.take();
            connection.input.clear();
            let filled = rest + read;
            let served = self.serve_bytes(index, &read_buffer[..filled], partial, engine);
            self.after_serve(index, served, engine, |input, from| input.keep(&read_buffer[from..filled]));
            let connection = &mut self.connections[index];
            if end < read_buffer.len() && filled == end && connection.large().is_none() {
                connection.expects_large = false;
                read_too_little = true;
            }
        }
        self.read_buffer = read_buffer;
        read_too_little
    }

    /// Serves requests that had to wait, before more input is read: what a client sends ahead stays in its socket.
    fn serve_waiting(&mut self, index: usize, engine: &mut Engine) {
        let input = std::mem::take(&mut self.connections[index].input);
        self.serve_own(index, input, engine);
        if self.connections[index].readable {
            self.enqueue(index);
        }
    }

    /// Reads on behind a long incomplete request, in the connection's own buffer.
    fn serve_long_request(&mut self, index: usize, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let mut input = std::mem::take(&mut connection.input);
        let have = input.len();
        let (missing, argument) = connection
            .partial
            .as_ref()
            .map_or((0, 0), |partial| (partial.progress.missing(have), partial.progress.word()));
        let (room, growth) = room_for_long_request(have, argument, missing);
        let read = self.read(index, have, input.room(room, growth), engine);
        input.filled(read.unwrap_or(0));
        self.connections[index].input = input;
        if read.is_some() && self.may_go_on(index, engine) {
            let input = std::mem::take(&mut self.connections[index].input);
            self.serve_own(index, input, engine);
        }
    }

    /// Reads on in the large argument of an incomplete request.
    fn serve_large_argument(&mut self, index: usize, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let before = connection.unexecuted();
        let Some(large) = connection.partial.as_mut().and_then(|partial| partial.large.as_mut()) else {
            return;
        };
        if !connection.readable {
            return;
        }
        let mut behind = [0; BEHIND_LARGE];
        let result = match large.read(&mut connection.transport, &mut behind) {
            Ok((read, extra)) => {
                connection.input.put_behind(&behind[..extra]);
                Ok(read)
            }
            Err(error) => Err(error),
        };
        let is_complete = large.missing() == 0;
        if self.after_read(index, before, result, engine).is_none() || !self.may_go_on(index, engine) {
            return;
        }
        if is_complete {
            let input = std::mem::take(&mut self.connections[index].input);
            self.serve_own(index, input, engine);
        } else {
            self.after_serve(index, Served::UpTo(0), engine, |_, _| {});
        }
    }

    /// After more of a long incomplete request has come: whether it is served on. If not, its connection is to be closed,
    /// or it has to wait for the next turn.
    fn may_go_on(&mut self, index: usize, engine: &mut Engine) -> bool {
        let connection = &self.connections[index];
        let (client, unexecuted, capacity) =
            (connection.client, connection.unexecuted(), connection.input_capacity());
        if self.is_too_much_input(index, unexecuted, engine) {
            return false;
        }
        if let Some(session) = engine.clients.sessions.get_mut(client) {
            session.io.query_capacity = capacity as u64;
        }
        let may_be_evicted =
            engine.clients.sessions.get(client).is_some_and(|session| !session.is(state::NO_EVICT));
        if engine.recount_client(client) && may_be_evicted {
            // Clients will be evicted, perhaps this one.
            self.enqueue(index);
            return false;
        }
        true
    }

    /// Executes what a connection's own buffer holds.
    fn serve_own(&mut self, index: usize, mut input: Input, engine: &mut Engine) {
        let partial = self.connections[index].partial.take();
        let served = self.serve_bytes(index, input.unexecuted(), partial, engine);
        self.after_serve(index, served, engine, |own, from| {
            input.advance(from);
            *own = input;
        });
    }

    /// Whether a client's unexecuted input exceeds `client-query-buffer-limit`; if so, its connection is to be
    /// closed. Requests queued behind MULTI count as well.
    fn is_too_much_input(&mut self, index: usize, bytes: usize, engine: &mut Engine) -> bool {
        let client = self.connections[index].client;
        let Some(session) = engine.clients.sessions.get(client) else { return false };
        if session.role.is_fed() && bytes <= PRIMARY_INPUT {
            // What the primary has accepted is not refused here.
            return false;
        }
        let queued = session.transaction.as_ref().map_or(0, |transaction| transaction.queued_bytes);
        let unauthenticated = session.is(state::UNAUTHENTICATED);
        let limit = engine.settings.query_buffer_limit as usize;
        let limit = if unauthenticated { limit.min(UNAUTHENTICATED_INPUT) } else { limit };
        if bytes + queued <= limit {
            return false;
        }
        engine.metrics.stats.query_limit_disconnections += 1;
        let line = describe_client(engine, client);
        log::warn!("Closing client that reached max query buffer length: {line}");
        self.drop_connection(index);
        true
    }

    /// One read, behind `rest` bytes that are there. `None` when there is nothing to serve.
    fn read(&mut self, index: usize, rest: usize, buffer: &mut [u8], engine: &mut Engine) -> Option<usize> {
        let connection = &mut self.connections[index];
        if !connection.readable {
            // Only input that had to wait is to be served.
            return (rest > 0 || buffer.is_empty()).then_some(0);
        }
        let result = connection.transport.read(buffer);
        self.after_read(index, rest, result, engine)
    }

    /// Notes what a read brought, behind `rest` bytes. `None` when there is nothing to serve.
    #[inline]
    fn after_read(
        &mut self,
        index: usize,
        rest: usize,
        result: io::Result<Read>,
        engine: &mut Engine,
    ) -> Option<usize> {
        let connection = &mut self.connections[index];
        match result {
            Ok(Read { bytes: 0, .. }) => {
                // Requests that came before the end of file are still served, and their replies sent.
                connection.read_eof = true;
                connection.readable = false;
                if rest == 0 {
                    self.close_gracefully(index);
                }
                (rest > 0).then_some(0)
            }
            Ok(Read { bytes: read, more }) => {
                connection.readable = more || connection.read_eof;
                engine.metrics.stats.net_input_bytes += read as u64;
                engine.metrics.stats.reads_processed += 1;
                let now = engine.now();
                if let Some(session) = engine.clients.sessions.get_mut(connection.client) {
                    session.io.bytes_in += read as u64;
                    (session.io.query_unparsed, session.io.query_parsed) = ((rest + read) as u64, 0);
                    session.active_ms = now;
                    match session.role {
                        Role::Primary => engine.metrics.stats.replication_input_bytes += read as u64,
                        Role::Import => engine.metrics.stats.slot_import_bytes += read as u64,
                        _ => {}
                    }
                }
                Some(read)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.readable = false;
                (rest > 0).then_some(0)
            }
            Err(_) => {
                self.drop_connection(index);
                None
            }
        }
    }

    /// Keeps the input that wasn't served, and notes why.
    fn after_serve(
        &mut self,
        index: usize,
        served: Served,
        engine: &mut Engine,
        keep: impl FnOnce(&mut Input, usize),
    ) {
        let connection = &mut self.connections[index];
        match served {
            Served::UpTo(from) => {
                if connection.partial.is_some() {
                    keep(&mut connection.input, from);
                    connection.separate_large_argument();
                } else {
                    connection.input.clear();
                }
                if connection.read_eof && !connection.readable {
                    // A request that will never be complete is freed, and counts no more in this turn.
                    connection.input.clear();
                    connection.partial = None;
                    self.close_gracefully(index);
                }
            }
            Served::Paused(from, read_pause) => {
                keep(&mut connection.input, from);
                self.pause(index, read_pause);
            }
            Served::Postponed(request, from) => {
                keep(&mut connection.input, from);
                connection.input.put_before(&request);
                self.pause(index, ReadPause::Postponed);
            }
            Served::Closing => {
                connection.input.clear();
                self.close_gracefully(index);
            }
        }
        let connection = &self.connections[index];
        let input = connection.unexecuted();
        let Some(session) = engine.clients.sessions.get_mut(connection.client) else { return };
        let parsed = connection.partial.as_ref().map_or(0, |partial| partial.progress.parsed()).min(input);
        session.io.query_unparsed = (input - parsed) as u64;
        session.io.query_parsed = parsed as u64;
        session.io.query_capacity = connection.input_capacity() as u64;
        let has_transaction = session.transaction.is_some();
        engine.recount_client(connection.client);
        if input > 0 || has_transaction {
            self.is_too_much_input(index, input, engine);
        }
    }

    /// Notes why no more requests of a connection are executed.
    fn pause(&mut self, index: usize, read_pause: ReadPause) {
        let connection = &mut self.connections[index];
        connection.read_pause = read_pause;
        // The end of file came with the request: no event will tell of it again, and the peer is gone.
        let waits = matches!(read_pause, ReadPause::Blocked | ReadPause::Postponed);
        if connection.read_eof && waits {
            self.to_close.push(index);
        }
        if read_pause == ReadPause::None {
            self.enqueue(index);
        }
    }

    /// Executes the requests in `input`. `partial`: how far its first one had been read before.
    fn serve_bytes(
        &mut self,
        index: usize,
        input: &[u8],
        partial: Option<Box<Partial>>,
        engine: &mut Engine,
    ) -> Served {
        let client = self.connections[index].client;
        let mut batch = std::mem::take(&mut self.batch);
        let start = self.output.replies.len();
        let resp3 = engine.clients.sessions.live(client).resp3;
        let mut reply = Reply::in_turn(std::mem::take(&mut self.output.replies), resp3);
        let mut partial = partial;
        let mut position = 0;
        let backlog = self.connections[index].unsent();
        let full = start + SLOW_READER.saturating_sub(backlog);
        let served = loop {
            let parsed = batch.parse(input, &mut position, &mut partial, engine, client);
            if input.len() >= LARGE_ARGUMENT && batch.has_large_argument() {
                self.connections[index].expects_large = true;
            }
            let executed = batch.execute(client, input, engine, &mut reply, start + REPLIES_A_TURN, full);
            engine.flush_batch();
            batch.clear();
            if let Some(served) = executed {
                partial = None;
                break served;
            }
            match parsed {
                Ok(true) => {}
                Ok(false) => break Served::UpTo(position),
                Err(error) => {
                    log_protocol_error(engine, client, &error, &input[position..]);
                    reply.error(&error);
                    engine.metrics.stats.error(error.code());
                    partial = None;
                    break Served::Closing;
                }
            }
        };
        let (replies, segments) = reply.into_turn();
        self.output.replies = replies;
        self.batch = batch;
        let connection = &mut self.connections[index];
        connection.partial =
            if matches!(served, Served::UpTo(from) if from < input.len()) { partial } else { None };
        match segments {
            None => self.output.add_reply(index, &mut connection.chain, start),
            Some(segments) => self.output.add_segments(index, &mut connection.chain, segments),
        }
        served
    }
}

/// Logs a protocol error with the begin and end of the input, at debug level as Redis does at verbose.
#[cold]
fn log_protocol_error(engine: &Engine, client: ClientId, error: &CommandError, input: &[u8]) {
    /// Bytes shown of either end.
    const SHOWN: usize = 64;
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let sample = if engine.config.hide_user_data_from_log {
        "*redacted*".to_string()
    } else if input.len() <= 2 * SHOWN {
        format!("'{}'", input.escape_ascii())
    } else {
        let (begin, end) = (&input[..SHOWN], &input[input.len() - SHOWN..]);
        let more = input.len() - 2 * SHOWN;
        format!("'{}' (... more {more} bytes ...) '{}'", begin.escape_ascii(), end.escape_ascii())
    };
    let reason = String::from_utf8_lossy(error.as_bytes());
    let reason = reason.strip_prefix("ERR Protocol error: ").unwrap_or(&reason);
    let line = describe_client(engine, client);
    log::debug!("Protocol error ({reason}) from client: {line}. Query buffer: {sample}");
}
