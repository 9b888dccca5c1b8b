//! Replication as the engine sees it: what this server is, its replicas and its primary.

mod failover;
mod link;
mod primary;
mod replica;
pub mod replicas;
mod stream;
mod transfer;

pub use failover::FailoverRequest;
pub use link::{LinkState, PrimaryLink, SyncAction, SyncTarget, Transfer};
pub use primary::{PayloadSource, PsyncReply};
pub use stream::Effect;

use crate::engine::Engine;
use crate::services::command_stream::ReaderId;
use crate::services::replication::Identity;
use crate::services::replication::failover::Failover;
use replicas::{Replicas, Stage};
use stream::SlowRequest;

/// See the head of this file.
#[derive(Debug)]
pub struct Replication {
    pub identity: Identity,
    pub replicas: Replicas,
    /// What the file that was loaded at the start says of its history.
    pub loaded: LoadedHistory,
    /// Readers of replicas that have gone, until they leave the stream.
    gone_readers: Vec<ReaderId>,
    /// The backlog is to be made or resized as soon as no call is running.
    wants_backlog: bool,
    /// A replica lags far while it is sent a snapshot, and there is no log.
    wants_spool: bool,
    /// Replicas are to say how far they are.
    wants_acks: bool,
    /// Since when there has been none, by the steady clock, ms.
    no_replicas_since: Option<u64>,
    /// When the periodic work and the next keepalive are due, and when the last ping was sent, by the steady clock, ms.
    next_ms: u64,
    last_ping_ms: u64,
    next_keepalive_ms: u64,
    /// The primary that this server follows; `None`: it is one.
    pub primary: Option<PrimaryLink>,
    /// Attempts to follow this primary.
    pub attempts: u64,
    /// Sum of the times without a primary's stream that are over (`total_disconnect_time_sec`).
    total_disconnected_ms: u64,
    /// Since when there has been none, by the steady clock, ms; 0: there is one, or never was.
    lost_ms: u64,
    /// A replica is to take over.
    pub failover: Option<Failover>,
    /// The primary asks how far this server is (REPLCONF GETACK).
    pub ack_wanted: bool,
    /// A request of the primary whose script is slow.
    slow_request: Option<SlowRequest>,
    /// Where replies to the primary's requests are written before they are dropped; kept for its allocation.
    scratch: Vec<u8>,
}

/// The history that a file belongs to, as it says itself (`repl-id`, `repl-offset`, `repl-stream-db`).
#[derive(Clone, Debug, Default)]
pub struct LoadedHistory {
    pub replid: Option<String>,
    pub offset: Option<u64>,
    /// The database that the stream has selected there.
    pub db: Option<u32>,
}

impl Replication {
    /// Seconds without a primary's stream since there first was one; those in which this server is no replica count
    /// once it is one again.
    pub fn disconnected_seconds(&self, now_ms: u64) -> u64 {
        let current = self.primary.as_ref().map_or(0, |primary| primary.down_ms(now_ms));
        (self.total_disconnected_ms + current) / 1000
    }

    pub(super) fn new(replid: String) -> Self {
        Replication {
            identity: Identity::new(replid),
            replicas: Replicas::default(),
            loaded: LoadedHistory::default(),
            gone_readers: Vec::new(),
            wants_backlog: false,
            wants_spool: false,
            wants_acks: false,
            no_replicas_since: None,
            next_ms: 0,
            last_ping_ms: 0,
            next_keepalive_ms: 0,
            primary: None,
            attempts: 0,
            total_disconnected_ms: 0,
            lost_ms: 0,
            failover: None,
            ack_wanted: false,
            slow_request: None,
            scratch: Vec::new(),
        }
    }

    /// Whether a snapshot that begins now is for replicas.
    pub(super) fn awaits_snapshot(&self) -> bool {
        self.replicas
            .attached()
            .any(|(_, replica)| matches!(replica.stage, Stage::Payload | Stage::AwaitsFile))
    }

    /// Whether this server has a primary.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.primary.is_some()
    }

    /// Whether it executes its primary's stream.
    pub fn is_in_sync(&self) -> bool {
        self.primary.as_ref().is_some_and(PrimaryLink::is_up)
    }
}

impl Engine {
    /// Has the log name the history that the stream is of, if another server can go on from there: whenever that has changed.
    fn note_history(&mut self) {
        let is_known = match &self.replication.primary {
            Some(primary) => primary.resumable,
            None => self.stream.backlog().retained().is_some(),
        };
        let replid = is_known.then_some(&*self.replication.identity.replid);
        self.stream.set_history(replid);
    }

    /// The database that the stream has selected; where that isn't known, a SELECT follows.
    pub(in crate::engine) fn stream_db(&self) -> u32 {
        let own = self.stream.selected().unwrap_or(0);
        self.replication.primary.as_ref().map_or(own, PrimaryLink::db)
    }
}
