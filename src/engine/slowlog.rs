//! Calls worth remembering: slow ones, ones with a big request, ones with a big reply
//! (SLOWLOG, COMMANDLOG), and the latency monitor's events.

use std::collections::{BTreeMap, VecDeque};

use super::registry::CommandId;
use super::spec::flag;
use super::{Engine, Settings};
use crate::base::ids::ClientId;
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
    pub nanos: u64,
    /// Bytes of the request as it came, and of the reply.
    pub request: u64,
    pub reply: u64,
}

impl Engine {
    /// Remembers a call in one of the logs.
    #[cold]
    pub(super) fn note_call(
        &mut self,
        kind: LogKind,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        value: u64,
    ) {
        if self.registry.get(id).flags & flag::SKIP_SLOWLOG != 0 || kind.max_len(&self.settings) == 0 {
            return;
        }
        let Some(session) = self.clients.sessions.get(client) else { return };
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

    /// Remembers a call that took long, or had a big request or reply (in bytes).
    #[cold]
    pub(super) fn note_unusual(&mut self, client: ClientId, id: CommandId, args: Args<'_>, cost: CallCost) {
        let CallCost { nanos, request, reply } = cost;
        if nanos >= self.settings.slow_nanos {
            self.note_call(LogKind::Slow, client, id, args, nanos / 1000);
        }
        if request >= self.settings.large_request {
            self.note_call(LogKind::LargeRequest, client, id, args, request);
        }
        if reply >= self.settings.large_reply {
            self.note_call(LogKind::LargeReply, client, id, args, reply);
        }
        let event = self.event_of(id);
        self.metrics.latency.note(event, nanos / 1_000_000, &self.settings, self.frame.now);
    }

    /// The latency monitor's name for the delay that a command is.
    pub(super) fn event_of(&self, id: CommandId) -> &'static str {
        if self.registry.get(id).flags & flag::FAST != 0 { "fast-command" } else { "command" }
    }
}

/// How often and how long something held the loop up.
#[derive(Clone, Debug, Default)]
pub struct LatencySeries {
    /// `(Unix seconds, ms)`, oldest first.
    pub samples: VecDeque<(u64, u64)>,
    /// The longest ever, ms.
    pub max: u64,
}

/// The latency monitor: a series for each kind of event.
#[derive(Clone, Debug, Default)]
pub struct LatencyMonitor {
    pub events: BTreeMap<&'static str, LatencySeries>,
}

const MAX_SAMPLES: usize = 160;

impl LatencyMonitor {
    /// The delays of an event, if it had any.
    pub fn series(&self, event: &[u8]) -> Option<&LatencySeries> {
        self.events.iter().find(|(name, _)| name.as_bytes() == event).map(|(_, series)| series)
    }

    /// Notes an event that took `ms`, if that is at least the threshold. `now` is Unix ms.
    pub fn note(&mut self, event: &'static str, ms: u64, settings: &Settings, now: u64) {
        if settings.latency_threshold_ms == 0 || ms < settings.latency_threshold_ms {
            return;
        }
        let series = self.events.entry(event).or_default();
        let second = now / 1000;
        series.max = series.max.max(ms);
        match series.samples.back_mut() {
            Some(last) if last.0 == second => last.1 = last.1.max(ms),
            _ => series.samples.push_back((second, ms)),
        }
        if series.samples.len() > MAX_SAMPLES {
            series.samples.pop_front();
        }
    }
}
