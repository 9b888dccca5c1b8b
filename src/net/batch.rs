//! A batch of requests of one connection: parsed ahead, prefetched, executed in order.
//!
//! The keys of all requests are hashed and what the lookups will touch is prefetched before the first request is
//! executed, so that cache misses overlap instead of queueing. It reads no socket.

use super::connection::{Partial, ReadPause};
use super::large_argument::{LARGE_ARGUMENT, LargeArgument};
use crate::base::ids::ClientId;
use crate::engine::clients::session::state;
use crate::engine::replication::Effect;
use crate::engine::{Engine, ExecStatus, Prepared};
use crate::resp::parser::{self, ParseLimits, Parsed};
use crate::resp::{Args, CommandError, Reply, Span};

/// Requests parsed ahead.
const BATCH: usize = 64;
/// The longest argument that the primary or a source of slots may send, bytes, if it isn't longer for clients
/// (`proto-max-bulk-len`): these may have another limit for their clients.
const PRIMARY_BULK: u64 = 4 << 30;
/// Spans a batch keeps room for while it is empty: a request of 100,000 arguments must not cost a megabyte for
/// as long as the process lives.
const KEPT_SPANS: usize = 4096;

/// A request found in the input.
struct Frame {
    /// Offset of its bytes in the input, and of the byte behind it.
    start: usize,
    end: usize,
    /// The arguments' places, as a range of the batch's spans.
    spans: std::ops::Range<usize>,
    /// The decoded text of an inline request; its spans refer to this instead of the input.
    inline: Option<Box<[u8]>>,
}

/// Requests parsed and not yet executed; empty between connections, kept for its allocations.
#[derive(Default)]
pub struct Batch {
    frames: Vec<Frame>,
    spans: Vec<Span>,
    prepared: Vec<Prepared>,
    /// The large argument of the first request, if it isn't in the input.
    large: Option<LargeArgument>,
}

/// How serving a buffer ended.
pub(super) enum Served {
    /// All of it, but for an incomplete request from this offset on.
    UpTo(usize),
    /// No more requests are executed now (or, with [`ReadPause::None`], in this turn); the input is kept from this
    /// offset on.
    Paused(usize, ReadPause),
    /// As with [`ReadPause::Postponed`]: this request, put together from its parts, is kept and behind it the input from
    /// this offset on.
    Postponed(Vec<u8>, usize),
    /// The connection is to be closed after its replies.
    Closing,
}

impl Batch {
    /// Parses up to a batch of requests from `position` on, which moves to the first unparsed byte.
    /// True when there may be more.
    pub(super) fn parse(
        &mut self,
        input: &[u8],
        position: &mut usize,
        partial: &mut Option<Box<Partial>>,
        engine: &Engine,
        client: ClientId,
    ) -> Result<bool, CommandError> {
        let session = engine.clients.sessions.live(client);
        let authenticated = !session.is(state::UNAUTHENTICATED);
        let max_bulk = match session.role {
            role if role.is_fed() => engine.settings.max_bulk.max(PRIMARY_BULK),
            _ => engine.settings.max_bulk,
        };
        let limits = ParseLimits { max_bulk, authenticated };
        // A request may change what the next is allowed.
        let size = if authenticated { BATCH } else { 1 };
        while self.frames.len() < size {
            let start = *position;
            let first = self.spans.len();
            let rest = &input[start..];
            if authenticated
                && partial.is_none()
                && let Some(end) = parser::parse_fast(rest, &mut self.spans)
            {
                *position = start + end;
                self.push(start, start + end, first, None);
                continue;
            }
            let mut progress = parser::Progress::default();
            if let Some(partial) = partial.take() {
                // Only the first request of a batch can be one begun earlier, so no other spans are lost.
                (progress, self.spans, self.large) = (partial.progress, partial.spans, partial.large);
            }
            if rest.is_empty() {
                return Ok(false);
            }
            match parser::parse(rest, &mut progress, &mut self.spans, limits)? {
                Parsed::Frame { end } => self.push(start, start + end, first, None),
                Parsed::Inline { end, text } => self.push(start, start + end, first, Some(text.into())),
                Parsed::Incomplete => {
                    // The spans of a long request are moved, not copied at every read.
                    let spans = if first == 0 {
                        std::mem::take(&mut self.spans)
                    } else {
                        self.spans.split_off(first)
                    };
                    let large = if self.frames.is_empty() { self.large.take() } else { None };
                    *partial = Some(Box::new(Partial { progress, spans, large }));
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

    /// Whether one of the requests in the input has a large argument there.
    pub(super) fn has_large_argument(&self) -> bool {
        self.spans.iter().any(|span| span.len >= LARGE_ARGUMENT && span.taken_out_at().is_none())
    }

    pub(super) fn clear(&mut self) {
        self.large = None;
        self.frames.clear();
        self.spans.clear();
        self.spans.shrink_to(KEPT_SPANS);
        self.prepared.clear();
    }

    /// Executes the parsed requests; `Some` when the rest must wait. `share` and `full`: the length of `reply` past
    /// which other connections come first, as they do when the turn has served for long, and past which the peer has to read first.
    #[inline]
    pub(super) fn execute(
        &mut self,
        client: ClientId,
        input: &[u8],
        engine: &mut Engine,
        reply: &mut Reply,
        share: usize,
        full: usize,
    ) -> Option<Served> {
        let session = engine.clients.sessions.live(client);
        let (db, is_fed) = (session.db, session.role.is_fed());
        let Batch { frames, spans, prepared, large } = self;
        let mut separate = large.take().map(LargeArgument::finish);
        let args_of = |frame: &Frame| -> usize { frame.spans.len() };
        for frame in frames.iter() {
            if args_of(frame) > 0 {
                let bytes = frame.inline.as_deref().unwrap_or(&input[frame.start..frame.end]);
                let args = Args::with_separate(bytes, &spans[frame.spans.clone()], separate.as_ref());
                prepared.push(engine.prepare(args, db));
            } else {
                prepared.push(Prepared::NOTHING);
            }
        }
        if frames.len() > 1 {
            engine.prefetch(prepared, db);
        }
        for (frame, prepared) in frames.iter().zip(prepared.iter()) {
            if args_of(frame) == 0 {
                if is_fed {
                    engine.keep_replicated(client, &input[frame.start..frame.end], Effect::None);
                }
                continue;
            }
            let bytes = frame.inline.as_deref().unwrap_or(&input[frame.start..frame.end]);
            let args = Args::with_separate(bytes, &spans[frame.spans.clone()], separate.as_ref());
            let status = if is_fed {
                let whole = args.put_together();
                let raw = whole.as_deref().unwrap_or(&input[frame.start..frame.end]);
                engine.execute_replicated(client, *prepared, args, raw)
            } else {
                engine.execute(client, *prepared, args, reply)
            };
            if status == ExecStatus::Postponed {
                return Some(match args.put_together() {
                    Some(request) => Served::Postponed(request, frame.end),
                    None => Served::Paused(frame.start, ReadPause::Postponed),
                });
            }
            // It was the first request's.
            separate = None;
            match status {
                ExecStatus::Done if reply.len() > full => {
                    return Some(Served::Paused(frame.end, ReadPause::SlowReader));
                }
                ExecStatus::Done
                    if reply.len() > share || engine.has_served_long() && frame.end < input.len() =>
                {
                    return Some(Served::Paused(frame.end, ReadPause::None));
                }
                ExecStatus::Done | ExecStatus::Postponed => {}
                ExecStatus::Blocked => {
                    let is_answered = engine.is_being_answered(client);
                    let pause = if is_answered { ReadPause::Answered } else { ReadPause::Blocked };
                    return Some(Served::Paused(frame.end, pause));
                }
                ExecStatus::Close => return Some(Served::Closing),
            }
        }
        None
    }
}
