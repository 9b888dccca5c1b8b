//! The slow log (`SLOWLOG`) and the logs of large requests and large replies (`COMMANDLOG`).

use std::collections::VecDeque;

use crate::base::ids::ClientId;
use crate::engine::command::spec::flag;
use crate::engine::command::table::CommandId;
use crate::engine::settings::LARGE_CALL_NANOS;
use crate::engine::{Engine, Settings};
use crate::resp::{Args, OwnedArgs};

/// A remembered call.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub id: u64,
    /// Unix time, seconds.
    pub time: u64,
    /// Microseconds, or bytes.
    pub value: u64,
    pub args: Vec<Vec<u8>>,
    pub peer: String,
    pub client_name: Vec<u8>,
}

/// One bounded log, newest first.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub entries: VecDeque<LogEntry>,
    next_id: u64,
}

/// Which of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    Slow,
    LargeRequest,
    LargeReply,
}

impl LogKind {
    /// Entries its log keeps.
    fn max_len(self, settings: &Settings) -> usize {
        match self {
            LogKind::Slow => settings.slowlog_max_len,
            LogKind::LargeRequest => settings.large_request_max_len,
            LogKind::LargeReply => settings.large_reply_max_len,
        }
    }
}

/// The three logs.
#[derive(Clone, Debug, Default)]
pub struct SlowLogs {
    logs: [Log; 3],
}

const MAX_ARGS: usize = 32;
const MAX_ARG_BYTES: usize = 128;

impl SlowLogs {
    pub fn log(&self, kind: LogKind) -> &Log {
        &self.logs[kind as usize]
    }

    pub fn reset(&mut self, kind: LogKind) {
        self.logs[kind as usize].entries.clear();
    }

    /// Forgets what is beyond the logs' lengths.
    pub fn trim(&mut self, settings: &Settings) {
        for kind in [LogKind::Slow, LogKind::LargeRequest, LogKind::LargeReply] {
            self.logs[kind as usize].entries.truncate(kind.max_len(settings));
        }
    }
}

/// The arguments as a log keeps them: not too many, not too long.
fn abridged(args: Args<'_>) -> Vec<Vec<u8>> {
    let shown = if args.len() > MAX_ARGS { MAX_ARGS - 1 } else { args.len() };
    let mut words: Vec<Vec<u8>> = args
        .iter()
        .take(shown)
        .map(|arg| match arg.len().checked_sub(MAX_ARG_BYTES) {
            None | Some(0) => arg.to_vec(),
            Some(more) => {
                let mut word = arg[..MAX_ARG_BYTES].to_vec();
                word.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
                word
            }
        })
        .collect();
    if shown < args.len() {
        words.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    words
}

/// What a call took.
#[derive(Clone, Copy, Debug)]
pub struct CallCost {
    /// The attempt that ended the call, and those before it if it had to wait.
    pub nanos: u64,
    pub earlier_nanos: u64,
    /// Bytes of the request as it came, and of the reply.
    pub request: u64,
    pub reply: u64,
}

impl Engine {
    /// Remembers a call in one of the logs.
    #[cold]
    pub(in crate::engine) fn note_call(
        &mut self,
        kind: LogKind,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        value: u64,
    ) {
        if self.commands.get(id).flags & flag::SKIP_SLOWLOG != 0 || kind.max_len(&self.settings) == 0 {
            return;
        }
        let Some(session) = self.clients.sessions.get(client) else { return };
        // Not as it is tried again: XREAD's `$` is resolved there.
        let args = session.waiting.as_ref().map_or(args, |waiting| waiting.request.as_args());
        let entry = LogEntry {
            id: self.metrics.slowlog.logs[kind as usize].next_id,
            time: self.frame.now / 1000,
            value,
            args: abridged(self.redacted(args).as_ref().map_or(args, OwnedArgs::as_args)),
            peer: session.peer.address(),
            client_name: session.name.as_deref().unwrap_or_default().to_vec(),
        };
        let log = &mut self.metrics.slowlog.logs[kind as usize];
        log.next_id += 1;
        log.entries.push_front(entry);
        self.metrics.slowlog.trim(&self.settings);
    }

    /// Remembers a call that took long in all, or had a big request or reply (in bytes), and adds it to the hot keys.
    #[cold]
    pub(in crate::engine) fn note_unusual(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        cost: CallCost,
    ) {
        self.add_to_hot_keys(client, id, args, &cost);
        self.add_to_slot_stats(client, id, args, &cost);
        let CallCost { nanos, earlier_nanos, request, reply } = cost;
        if nanos + earlier_nanos >= self.settings.slow_nanos {
            self.note_call(LogKind::Slow, client, id, args, (nanos + earlier_nanos) / 1000);
        }
        if request >= self.settings.large_request {
            self.note_call(LogKind::LargeRequest, client, id, args, request);
        }
        if reply >= self.settings.large_reply {
            self.note_call(LogKind::LargeReply, client, id, args, reply);
        }
        if nanos >= LARGE_CALL_NANOS {
            self.note_large_call(client, id, args, nanos, reply);
        }
        let event = self.event_of(id);
        self.metrics.latency.note(event, nanos / 1_000_000, &self.settings, self.frame.now);
    }

    /// The latency monitor's name for the delay that a command is.
    pub(in crate::engine) fn event_of(&self, id: CommandId) -> &'static str {
        if self.commands.get(id).flags & flag::FAST != 0 { "fast-command" } else { "command" }
    }
}
