//! Serving one connection: read once, cut into requests, execute them in order.
//!
//! Requests are parsed ahead, a batch at a time; their keys are hashed and what the lookups will touch
//! is prefetched before the first is executed, so that cache misses overlap instead of queueing. What
//! is left of an incomplete request moves into the connection's own buffer.

use std::io;

use super::connection::{Hold, Partial};
use super::event_loop::{EARLY_FLUSH, EventLoop, SLOW_READER};
use crate::base::ids::ClientId;
use crate::commands::describe_client;
use crate::engine::clients::session::state;
use crate::engine::{Engine, ExecStatus, Prepared};
use crate::resp::parser::{self, ParseLimits, Parsed};
use crate::resp::{Args, CommandError, Reply, Span};

/// Requests parsed ahead.
const BATCH: usize = 64;
/// Replies that one connection may cause in a turn, bytes, beyond the one that crosses the mark.
const REPLIES_A_TURN: usize = 1 << 20;
/// Input of an incomplete request from which the rest is read straight into its own buffer.
const OWN_BUFFER: usize = 32 * 1024;

/// Room beyond an awaited word: a read that doesn't fill it has drained the socket.
const SHORT_READ: usize = 512;

/// Input that a client which hasn't authenticated may leave unexecuted, bytes.
const UNAUTHENTICATED_INPUT: usize = 1 << 20;

/// Time after which a turn serves no further connection, ns.
const TURN_BUDGET: u64 = 500_000;

/// A request found in the input.
struct Frame {
    /// Offset of its bytes in the input, and of the byte behind it.
    start: usize,
    end: usize,
    /// Its spans in the batch's list.
    spans: std::ops::Range<usize>,
    /// An inline request's words are here instead of in the input.
    inline: Option<Box<[u8]>>,
}

/// Words whose places a batch has room for even when it is empty: one request of a hundred thousand
/// words isn't to cost a megabyte for ever.
const KEPT_SPANS: usize = 4096;

/// Requests parsed and not yet executed; empty between connections, kept for its allocations.
#[derive(Default)]
pub struct Batch {
    frames: Vec<Frame>,
    spans: Vec<Span>,
    prepared: Vec<Prepared>,
}

/// How serving a buffer ended.
enum Served {
    /// All of it, but for an incomplete request from this offset on.
    UpTo(usize),
    /// The connection takes no more requests now, or (without a hold) in this turn; what follows the offset is
    /// kept.
    Held(usize, Hold),
    /// The connection is to be closed after its replies.
    Closing,
}

impl EventLoop {
    /// Serves the connections that are due, each once; what the turn has no time for comes first in the
    /// next.
    pub fn serve(&mut self, engine: &mut Engine, mut persist: impl FnMut(&mut Engine)) {
        let mut due = std::mem::take(&mut self.due);
        for number in 0..due.len() {
            let index = due[number];
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.queued = false;
            self.serve_connection(index, engine);
            self.deliver(engine, &mut persist);
            let mut full = false;
            if self.replies.len() > EARLY_FLUSH {
                persist(engine);
                self.flush(engine);
                // What clients don't read must cost one of them its place before it costs keys: their
                // buffers are given back between turns.
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
        let connection = &mut self.connections[index];
        // Another client may have ended this one's session since it became due.
        let ended = engine.clients.sessions.get(connection.client).is_none();
        if connection.hold != Hold::None || connection.closing || ended {
            return;
        }
        engine.start_unit();
        if connection.input.len() >= OWN_BUFFER {
            return self.serve_own_buffer(index, engine);
        }
        // A short rest is put before what is read now, so that requests always lie in one piece.
        let rest = connection.input.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch[..rest].copy_from_slice(&connection.input);
        let read = self.read(index, rest, &mut scratch[rest..], engine);
        if let Some(read) = read {
            let partial = self.connections[index].partial.take();
            if rest > 0 {
                self.connections[index].input = Vec::new();
            }
            let filled = rest + read;
            let served = self.serve_bytes(index, &scratch[..filled], partial, engine);
            self.settle_served(index, served, engine, |input, from| {
                debug_assert!(input.is_empty());
                *input = scratch[from..filled].to_vec();
            });
        }
        self.scratch = scratch;
    }

    /// Reads on behind a long incomplete request, in the connection's own buffer.
    fn serve_own_buffer(&mut self, index: usize, engine: &mut Engine) {
        let connection = &mut self.connections[index];
        let mut input = std::mem::take(&mut connection.input);
        let have = input.len();
        let (missing, word) = connection
            .partial
            .as_ref()
            .map_or((0, 0), |partial| (partial.progress.missing(have), partial.progress.word()));
        // Not more at once than the peer has proved to send: a mere length must not cost memory. And hardly
        // more than the word needs; what follows it is read when it comes.
        let room = if missing == 0 { 16 * 1024 } else { missing.min(have.max(256 * 1024)) + SHORT_READ };
        if have + room > input.capacity() {
            // A request of a million short words isn't to be copied at every read; a long word gets what it needs.
            input.reserve_exact(if word < have / 4 { room.max(have / 4) } else { room });
        }
        input.resize(have + room, 0);
        let read = self.read(index, have, &mut input[have..], engine);
        input.truncate(have + read.unwrap_or(0));
        if read.is_none() || self.is_too_much_input(index, input.len(), engine) {
            self.connections[index].input = input;
            return;
        }
        let client = self.connections[index].client;
        if let Some(session) = engine.clients.sessions.get_mut(client) {
            session.io.query_capacity = input.capacity() as u64;
        }
        let may_go = engine.clients.sessions.get(client).is_some_and(|session| !session.is(state::NO_EVICT));
        if engine.recount_client(client) && may_go {
            // Somebody will have to go, perhaps this one: its request waits for the next turn.
            self.connections[index].input = input;
            return self.enqueue(index);
        }
        let partial = self.connections[index].partial.take();
        let served = self.serve_bytes(index, &input, partial, engine);
        self.settle_served(index, served, engine, |own, from| {
            if from > 0 {
                *own = input[from..].to_vec();
            } else {
                *own = input;
            }
        });
    }

    /// Whether a client sent more than it may without having it executed; if so, it is doomed. What it queued
    /// behind MULTI counts as well.
    fn is_too_much_input(&mut self, index: usize, bytes: usize, engine: &mut Engine) -> bool {
        let client = self.connections[index].client;
        let Some(session) = engine.clients.sessions.get(client) else { return false };
        let queued = session.transaction.as_ref().map_or(0, |transaction| transaction.queued_bytes);
        let unknown = session.is(state::UNAUTHENTICATED);
        let limit = engine.settings.query_buffer_limit as usize;
        let limit = if unknown { limit.min(UNAUTHENTICATED_INPUT) } else { limit };
        if bytes + queued <= limit {
            return false;
        }
        engine.metrics.stats.query_limit_disconnections += 1;
        let line = describe_client(engine, client);
        log::warn!("Closing client that reached max query buffer length: {line}");
        self.doomed.push(index);
        true
    }

    /// One read, behind `rest` bytes that are there. `None` when there is nothing to serve; a read that fills
    /// the buffer comes again.
    fn read(&mut self, index: usize, rest: usize, buffer: &mut [u8], engine: &mut Engine) -> Option<usize> {
        let connection = &mut self.connections[index];
        if !connection.readable {
            // Only what had to wait is to be served.
            return (rest > 0 || buffer.is_empty()).then_some(0);
        }
        match connection.transport.read(buffer) {
            Ok(0) => {
                // What it asked for before it stopped sending is still served, and goes out.
                connection.at_end = true;
                connection.readable = false;
                if rest == 0 {
                    self.close_gracefully(index);
                }
                (rest > 0).then_some(0)
            }
            Ok(read) => {
                connection.readable = read == buffer.len() || connection.at_end;
                let again = connection.readable;
                engine.metrics.stats.net_input_bytes += read as u64;
                engine.metrics.stats.reads_processed += 1;
                let now = engine.now();
                if let Some(session) = engine.clients.sessions.get_mut(connection.client) {
                    session.io.bytes_in += read as u64;
                    (session.io.query_unparsed, session.io.query_parsed) = ((rest + read) as u64, 0);
                    session.active_ms = now;
                }
                if again {
                    self.enqueue(index);
                }
                Some(read)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.readable = false;
                (rest > 0).then_some(0)
            }
            Err(_) => {
                self.doomed.push(index);
                None
            }
        }
    }

    /// Keeps what wasn't served, and notes why.
    fn settle_served(
        &mut self,
        index: usize,
        served: Served,
        engine: &mut Engine,
        keep: impl FnOnce(&mut Vec<u8>, usize),
    ) {
        let connection = &mut self.connections[index];
        match served {
            Served::UpTo(from) => {
                if connection.partial.is_some() {
                    keep(&mut connection.input, from);
                } else {
                    connection.input = Vec::new();
                }
                if connection.at_end && !connection.readable {
                    // What the peer never finished is nobody's memory any more, also in this turn's account.
                    (connection.input, connection.partial) = (Vec::new(), None);
                    self.close_gracefully(index);
                }
            }
            Served::Held(from, hold) => {
                connection.hold = hold;
                keep(&mut connection.input, from);
                if hold == Hold::None {
                    self.enqueue(index);
                }
            }
            Served::Closing => {
                connection.input = Vec::new();
                self.close_gracefully(index);
            }
        }
        let connection = &self.connections[index];
        let input = connection.input.len();
        let Some(session) = engine.clients.sessions.get_mut(connection.client) else { return };
        let parsed = connection.partial.as_ref().map_or(0, |partial| partial.progress.parsed()).min(input);
        session.io.query_unparsed = (input - parsed) as u64;
        session.io.query_parsed = parsed as u64;
        session.io.query_capacity = connection.input.capacity() as u64;
        let has_transaction = session.transaction.is_some();
        engine.recount_client(connection.client);
        if input > 0 || has_transaction {
            self.is_too_much_input(index, input, engine);
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
        let start = self.replies.len();
        let resp3 = engine.clients.sessions.live(client).resp3;
        let mut reply = Reply::new(std::mem::take(&mut self.replies), resp3);
        let mut partial = partial;
        let mut position = 0;
        let backlog = self.connections[index].unsent();
        let full = start + SLOW_READER.saturating_sub(backlog);
        let served = loop {
            let parsed = batch.parse(input, &mut position, &mut partial, engine, client);
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
        self.replies = reply.into_bytes();
        self.batch = batch;
        let connection = &mut self.connections[index];
        connection.partial =
            if matches!(served, Served::UpTo(from) if from < input.len()) { partial } else { None };
        if self.replies.len() > start {
            self.shares.push((index, start..self.replies.len()));
        }
        served
    }
}

/// Tells whose input made no sense, and how it begins and ends.
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

impl Batch {
    /// Parses up to a batch of requests from `position` on, which moves to the first unparsed byte.
    /// True when there may be more.
    fn parse(
        &mut self,
        input: &[u8],
        position: &mut usize,
        partial: &mut Option<Box<Partial>>,
        engine: &Engine,
        client: ClientId,
    ) -> Result<bool, CommandError> {
        let authenticated = !engine.clients.sessions.live(client).is(state::UNAUTHENTICATED);
        let limits = ParseLimits { max_bulk: engine.settings.max_bulk, authenticated };
        // A request may change what the next is allowed.
        let size = if authenticated { BATCH } else { 1 };
        while self.frames.len() < size {
            let start = *position;
            let first = self.spans.len();
            let rest = &input[start..];
            if authenticated
                && partial.is_none()
                && let Some(end) = parser::parse_usual(rest, &mut self.spans)
            {
                *position = start + end;
                self.push(start, start + end, first, None);
                continue;
            }
            let mut progress = parser::Progress::default();
            if let Some(partial) = partial.take() {
                // Only the first request of a batch has been begun before, so no others' words are lost.
                (progress, self.spans) = (partial.progress, partial.spans);
            }
            if rest.is_empty() {
                return Ok(false);
            }
            match parser::parse(rest, &mut progress, &mut self.spans, limits)? {
                Parsed::Frame { end } => self.push(start, start + end, first, None),
                Parsed::Inline { end, text } => self.push(start, start + end, first, Some(text.into())),
                Parsed::Incomplete => {
                    // Those of a long request are handed on, not copied at every read.
                    let spans = if first == 0 {
                        std::mem::take(&mut self.spans)
                    } else {
                        self.spans.split_off(first)
                    };
                    *partial = Some(Box::new(Partial { progress, spans }));
                    return Ok(false);
                }
            }
            *position = self.frames.last().map_or(start, |frame| frame.end);
        }
        Ok(true)
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize, first: usize, inline: Option<Box<[u8]>>) {
        self.frames.push(Frame { start, end, spans: first..self.spans.len(), inline });
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.spans.clear();
        self.spans.shrink_to(KEPT_SPANS);
        self.prepared.clear();
    }

    /// Executes the parsed requests; `Some` when the connection doesn't go on. `share` and `full`: the
    /// length of `reply` past which others come first, and past which the peer has to read first.
    #[inline]
    fn execute(
        &mut self,
        client: ClientId,
        input: &[u8],
        engine: &mut Engine,
        reply: &mut Reply,
        share: usize,
        full: usize,
    ) -> Option<Served> {
        let db = engine.clients.sessions.live(client).db;
        let Batch { frames, spans, prepared } = self;
        let args_of = |frame: &Frame| -> usize { frame.spans.len() };
        for frame in frames.iter() {
            if args_of(frame) > 0 {
                let bytes = frame.inline.as_deref().unwrap_or(&input[frame.start..frame.end]);
                prepared.push(engine.prepare(Args::new(bytes, &spans[frame.spans.clone()]), db));
            } else {
                prepared.push(Prepared::NOTHING);
            }
        }
        if frames.len() > 1 {
            engine.prefetch(prepared, db);
        }
        for (frame, prepared) in frames.iter().zip(prepared.iter()) {
            if args_of(frame) == 0 {
                continue;
            }
            let bytes = frame.inline.as_deref().unwrap_or(&input[frame.start..frame.end]);
            let args = Args::new(bytes, &spans[frame.spans.clone()]);
            match engine.execute(client, *prepared, args, reply) {
                ExecStatus::Done if reply.len() > full => return Some(Served::Held(frame.end, Hold::Slow)),
                ExecStatus::Done if reply.len() > share => return Some(Served::Held(frame.end, Hold::None)),
                ExecStatus::Done => {}
                ExecStatus::Blocked => return Some(Served::Held(frame.end, Hold::Blocked)),
                ExecStatus::Postponed => return Some(Served::Held(frame.start, Hold::Postponed)),
                ExecStatus::Close => return Some(Served::Closing),
            }
        }
        None
    }
}
