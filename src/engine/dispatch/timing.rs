//! Command timing: measures calls by the processor's counter, and adds them to the commands' statistics and the slow log.
//!
//! A reading costs as much as a tenth of a GET. So calls of one command in a row, of one pipelined batch, share
//! two readings: if its specification says so (`BATCH_TIMED`), and if requests and replies were short. Each counts as an
//! equal part. If the slow log or the latency monitor records calls of less than a millisecond, every call is timed by
//! itself. What is lost: which call of a batch took long; the latency monitor records the batch.
//!
//! Of such calls in a row within another one (EXEC, a script) one in eight is timed, since what lies between them isn't
//! theirs; each of the others counts as the one that is timed after it, or before it at the end of the row.

use crate::base::ids::ClientId;
use crate::engine::command::spec::flag;
use crate::engine::command::table::CommandId;
use crate::engine::metrics::slowlog::CallCost;
use crate::engine::metrics::{CallBatch, CallRow};
use crate::engine::{Engine, Wait};
use crate::sys::clock::Ticks;

/// Most calls that share two readings; one in so many within another call is timed.
const MAX_BATCH: u32 = 8;
/// Bytes of a request or a reply that is short.
const SHORT: u64 = 512;
/// If calls of less are recorded, each is timed by itself, ns.
const NOTABLE: u64 = 1_000_000;

impl Engine {
    /// When a call begins: for an outermost one, when the one before ended. [`Ticks::NEVER`] if it isn't timed.
    #[inline]
    pub(in crate::engine) fn begin_timing(&mut self, id: CommandId) -> Ticks {
        if self.frame.is_nested() {
            return self.begin_nested(id);
        }
        if self.metrics.batch.calls > 0 && self.metrics.batch.command != id {
            self.flush_batch();
        }
        self.metrics.batch_start
    }

    /// A call of these `flags` is over; what it took, ns, unless it joined a run, which is counted later.
    #[inline]
    pub(in crate::engine) fn end_timing(
        &mut self,
        id: CommandId,
        flags: u64,
        started: Ticks,
        cost: &CallCost,
    ) -> Option<u64> {
        let brief = flags & flag::BATCH_TIMED != 0
            && cost.request <= SHORT
            && cost.reply <= SHORT
            && self.settings.notable_nanos >= NOTABLE;
        if self.frame.is_nested() {
            return self.end_nested(id, brief, started, cost);
        }
        if brief {
            self.metrics.batch = CallBatch { command: id, calls: self.metrics.batch.calls + 1 };
            if self.metrics.batch.calls == MAX_BATCH {
                self.flush_batch();
            }
            return None;
        }
        self.flush_row();
        let ended = self.clock.ticks();
        let nanos = self.clock.nanos(started, ended);
        self.metrics.batch_start = ended;
        self.metrics.stats.calls_nanos += nanos;
        let calls = 1 + u64::from(std::mem::replace(&mut self.metrics.batch, CallBatch::NONE).calls);
        self.add_to_stats(id, calls, nanos + cost.earlier_nanos);
        Some(nanos)
    }

    /// When a call within another one begins; [`Ticks::NEVER`] if it isn't timed.
    #[inline]
    fn begin_nested(&mut self, id: CommandId) -> Ticks {
        match &mut self.metrics.row {
            Some(row) if row.command == id && row.untimed + 1 < MAX_BATCH => {
                row.untimed += 1;
                return Ticks::NEVER;
            }
            Some(row) if row.command != id => self.flush_row(),
            _ => {}
        }
        self.clock.ticks()
    }

    /// A call within another one is over; what it took, ns, if it was timed.
    #[inline]
    fn end_nested(&mut self, id: CommandId, brief: bool, started: Ticks, cost: &CallCost) -> Option<u64> {
        if started == Ticks::NEVER {
            if !brief {
                self.flush_row();
            }
            return None;
        }
        let nanos = self.clock.nanos(started, self.clock.ticks());
        // Calls within this one may have left a row of theirs.
        if self.metrics.row.is_some_and(|row| row.command != id) {
            self.flush_row();
        }
        let calls = 1 + u64::from(self.metrics.row.take().map_or(0, |row| row.untimed));
        self.add_to_stats(id, calls, nanos * calls + cost.earlier_nanos);
        if brief {
            self.metrics.row = Some(CallRow { command: id, nanos, untimed: 0 });
        }
        Some(nanos)
    }

    /// Counts the calls of the row that came behind the last one that was timed: it ends.
    #[inline]
    fn flush_row(&mut self) {
        if let Some(CallRow { command, nanos, untimed }) = self.metrics.row.take()
            && untimed > 0
        {
            self.add_to_stats(command, u64::from(untimed), nanos * u64::from(untimed));
        }
    }

    /// A call found nothing and waits, or goes on waiting: what the attempt took is kept until the wait ends.
    #[cold]
    pub(super) fn attempt_ends(&mut self, client: ClientId, id: CommandId, started: Ticks, wait: &mut Wait) {
        let ended = self.clock.ticks();
        let nanos = self.clock.nanos(started, ended);
        self.metrics.batch_start = ended;
        self.metrics.stats.calls_nanos += nanos;
        if nanos >= self.settings.notable_nanos {
            let event = self.event_of(id);
            self.metrics.latency.note(event, nanos / 1_000_000, &self.settings, self.frame.now);
        }
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        session.last_command = Some(id);
        match &mut session.waiting {
            Some(waiting) => waiting.wait.nanos += nanos,
            None => wait.nanos = nanos,
        }
    }

    /// Counts a call whose wait ended without another attempt: by its deadline or CLIENT UNBLOCK.
    pub(in crate::engine) fn count_wait(
        &mut self,
        client: ClientId,
        id: CommandId,
        failed: bool,
        reply: u64,
    ) {
        let earlier_nanos = self.count_call(client, id, failed);
        self.add_to_stats(id, 1, earlier_nanos);
        let waiting = self.clients.sessions.get(client).and_then(|session| session.waiting.as_ref());
        let Some(args) = waiting.map(|waiting| waiting.request.as_args()) else { return };
        let cost = CallCost { nanos: 0, earlier_nanos, request: args.frame_len() as u64, reply };
        if self.is_unusual(&cost) {
            let args = args.to_owned();
            self.note_unusual(client, id, args.as_args(), cost);
        }
    }

    /// Counts the call of a client that waits for an answer, which has so many bytes.
    pub(in crate::engine) fn count_answer(&mut self, client: ClientId, bytes: u64) {
        let session = self.clients.sessions.live(client);
        let request = session.waiting.as_ref().map(|waiting| waiting.request.clone());
        let command = request.and_then(|request| {
            let args = request.as_args();
            self.commands.resolve(args.at(0), args.get(1)).ok()
        });
        if let Some(command) = command {
            self.count_wait(client, command, false, bytes);
        }
    }

    /// Counts the calls of the run; at the end of a batch, too.
    #[inline]
    pub fn flush_batch(&mut self) {
        let CallBatch { command, calls } = std::mem::replace(&mut self.metrics.batch, CallBatch::NONE);
        if calls == 0 {
            return;
        }
        let ended = self.clock.ticks();
        let nanos = self.clock.nanos(self.metrics.batch_start, ended);
        self.metrics.batch_start = ended;
        self.metrics.stats.calls_nanos += nanos;
        self.add_to_stats(command, u64::from(calls), nanos);
        if nanos >= self.settings.notable_nanos {
            let event = self.event_of(command);
            self.metrics.latency.note(event, nanos / 1_000_000, &self.settings, self.frame.now);
        }
    }

    #[inline]
    pub(super) fn add_to_stats(&mut self, id: CommandId, calls: u64, nanos: u64) {
        let stats = &mut self.metrics.stats.commands[id.0 as usize];
        stats.nanos += nanos;
        if self.settings.latency_tracking {
            stats.histogram.record(nanos / calls, calls);
        }
    }
}
