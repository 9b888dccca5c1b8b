//! A migration as both of its ends keep it: what moves from where to where, how far it is, and what became of it.

use super::ranges::SlotRanges;
use crate::base::ids::NodeId;

/// Names a job for as long as the server runs: an ascending number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Whose protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// CLUSTER MIGRATION IMPORT: begun at the target, which connects to the source.
    Redis,
    /// CLUSTER MIGRATESLOTS: begun at the source, which connects to the target.
    Valkey,
}

/// Which end of it this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The slots leave this node.
    Export,
    /// They come here.
    Import,
}

/// Defines the states, and the list of all of them.
macro_rules! states {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// How far it is. A state is of one family and role, unless it says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum State {
            $($(#[$meta])* $name,)*
        }

        /// All states, for names that are read.
        const STATES: &[State] = &[$(State::$name,)*];
    };
}

states! {
    /// Redis: an import that hasn't begun; an export's channel that hasn't.
    None,
    /// Redis import, Valkey export.
    Connecting,

    // Valkey, export.
    SendingAuth,
    ReadingAuth,
    SendingEstablish,
    ReadingEstablish,
    WaitingToSnapshot,
    Snapshotting,
    Replicating,
    WaitingToPause,
    FailoverPaused,
    /// Valkey, both ends.
    FailoverGranted,

    // Valkey, import.
    WaitingForAck,
    ReceivingSnapshot,
    WaitingForPaused,
    FailoverRequested,
    CleaningUp,
    OccurringOnPrimary,

    // Redis, export.
    WaitRdbChannel,
    WaitBgsaveStart,
    SendBulkAndStream,
    SendStream,
    HandoffPrep,
    Handoff,
    StreamEof,

    // Redis, import.
    AuthReply,
    SendHandshake,
    HandshakeReply,
    SendSyncslots,
    SyncslotsReply,
    InitRdbChannel,
    AccumulateBuffer,
    ReadyToStream,
    StreamingBuffer,
    WaitStreamEof,
    Takeover,
    /// Of the channel that the snapshot comes over.
    RdbChannelRequest,
    RdbChannelReply,
    RdbChannelTransfer,

    // Both families: it is over. A failed import of Redis is tried again.
    Succeeded,
    Failed,
    Cancelled,
}

impl State {
    /// As reports of a family name it.
    pub fn name(self, family: Family) -> &'static str {
        let is_redis = family == Family::Redis;
        match self {
            State::None => "none",
            State::Connecting => "connecting",
            State::SendingAuth => "sending-auth-command",
            State::ReadingAuth => "reading-auth-response",
            State::SendingEstablish => "sending-establish-command",
            State::ReadingEstablish => "reading-establish-response",
            State::WaitingToSnapshot => "waiting-to-snapshot",
            State::Snapshotting => "snapshotting",
            State::Replicating => "replicating",
            State::WaitingToPause => "waiting-to-pause",
            State::FailoverPaused => "failover-paused",
            State::FailoverGranted => "failover-granted",
            State::WaitingForAck => "waiting-for-ack",
            State::ReceivingSnapshot => "receiving-snapshot",
            State::WaitingForPaused => "waiting-for-paused",
            State::FailoverRequested => "failover-requested",
            State::CleaningUp => "cleaning-up",
            State::OccurringOnPrimary => "occurring-on-primary",
            State::WaitRdbChannel => "wait-rdbchannel",
            State::WaitBgsaveStart => "wait-bgsave-start",
            State::SendBulkAndStream => "send-bulk-and-stream",
            State::SendStream => "send-stream",
            State::HandoffPrep => "handoff-prep",
            State::Handoff => "handoff",
            State::StreamEof => "stream-eof",
            State::AuthReply => "auth-reply",
            State::SendHandshake => "send-handshake",
            State::HandshakeReply => "handshake-reply",
            State::SendSyncslots => "send-syncslots",
            State::SyncslotsReply => "syncslots-reply",
            State::InitRdbChannel => "init-rdbchannel",
            State::AccumulateBuffer => "accumulate-buffer",
            State::ReadyToStream => "ready-to-stream",
            State::StreamingBuffer => "streaming-buffer",
            State::WaitStreamEof => "wait-stream-eof",
            State::Takeover => "takeover",
            State::RdbChannelRequest => "rdbchannel-request",
            State::RdbChannelReply => "rdbchannel-reply",
            State::RdbChannelTransfer => "rdbchannel-transfer",
            State::Succeeded if is_redis => "completed",
            State::Succeeded => "success",
            State::Failed => "failed",
            State::Cancelled if is_redis => "canceled",
            State::Cancelled => "cancelled",
        }
    }

    /// The state that a family calls so.
    pub fn parse(name: &[u8], family: Family) -> Option<State> {
        STATES.iter().copied().find(|state| state.name(family).as_bytes().eq_ignore_ascii_case(name))
    }

    pub fn is_over(self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Cancelled)
    }
}

/// See the head of this file. Moments are ms of a clock that never goes back.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    /// Forty hexadecimal digits, the same at both ends: the name of the job, or the id of the task.
    pub name: String,
    pub family: Family,
    pub role: Role,
    pub slots: SlotRanges,
    /// Unknown where a replica or a loaded file only keeps track of its primary's import.
    pub source: Option<NodeId>,
    pub target: Option<NodeId>,
    /// Set by [`Job::set_state`].
    pub state: State,
    /// It is in the log of the finished ones. A failed one of Redis isn't before the next one: its target tries again.
    pub is_archived: bool,
    /// What became of it (`message`), the last error (`last_error`).
    pub message: String,
    pub created_ms: u64,
    pub started_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    pub updated_ms: u64,
    /// When the other end was last heard of.
    pub acked_ms: u64,
    /// When writes were paused for it.
    pub paused_ms: Option<u64>,
    pub retries: u64,
}

impl Job {
    /// A job that begins at `now`, which [`Jobs::add`](super::Jobs::add) gives its id.
    pub fn new(family: Family, role: Role, name: String, slots: SlotRanges, state: State, now: u64) -> Self {
        Job {
            id: JobId(0),
            name,
            family,
            role,
            slots,
            source: None,
            target: None,
            state,
            is_archived: false,
            message: String::new(),
            created_ms: now,
            started_ms: None,
            ended_ms: None,
            updated_ms: now,
            acked_ms: now,
            paused_ms: None,
            retries: 0,
        }
    }

    pub fn set_state(&mut self, state: State, now: u64) {
        (self.state, self.updated_ms) = (state, now);
    }

    /// Whether something may still happen to it by itself: a failed import of Redis is tried again, a failed export only if the target
    /// asks again.
    pub fn is_active(&self) -> bool {
        !(self.is_archived || self.role == Role::Export && self.state.is_over())
    }

    pub fn state_name(&self) -> &'static str {
        self.state.name(self.family)
    }

    pub fn role_name(&self) -> &'static str {
        match (self.family, self.role) {
            (Family::Redis, Role::Export) => "migrate",
            (Family::Redis, Role::Import) => "import",
            (Family::Valkey, Role::Export) => "EXPORT",
            (Family::Valkey, Role::Import) => "IMPORT",
        }
    }

    /// How long writes were paused for it, ms; known of an export that has succeeded.
    pub fn write_pause_ms(&self) -> u64 {
        match (self.role, self.state, self.ended_ms, self.paused_ms) {
            (Role::Export, State::Succeeded, Some(ended), Some(paused)) => ended.saturating_sub(paused),
            _ => 0,
        }
    }
}
