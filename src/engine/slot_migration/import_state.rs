//! What imports have here: sessions, connections, and how far their streams are.

use std::collections::BTreeMap;

use crate::base::ids::{ClientId, LinkId};
use crate::services::slot_migration::{Channel, Handshake, Job, JobId, Order, Role as End, State, TaskNote};

/// What the imports that are under way have here.
#[derive(Debug, Default)]
pub struct Imports {
    pub(super) running: BTreeMap<JobId, Running>,
    /// Whose requests are an import's.
    pub(super) sessions: BTreeMap<ClientId, JobId>,
    /// Connections to sources, until they are sessions.
    pub(super) links: BTreeMap<LinkId, (JobId, Channel)>,
    /// What this replica's primary is doing, if it is of Redis's kind.
    pub(super) of_primary: Option<TaskNote>,
    /// What replicas are to be told of tasks once no call is running.
    pub(super) notes: Vec<TaskNote>,
    /// Sessions that end once no call is running.
    pub(super) closing: Vec<ClientId>,
    /// Sessions that wait until the slots are empty.
    pub(super) waiting: Vec<ClientId>,
    /// The task of which the log has said last that it can't start yet.
    pub(super) held_up: Option<JobId>,
    /// Something is to be done at the end of the turn.
    pub(super) is_due: bool,
    pub(super) next_ms: u64,
    /// The most bytes of a stream that were kept while a snapshot came.
    pub(super) buffer_peak: usize,
    /// Where replies to the requests of imports are written before they are dropped; kept for its allocation.
    pub(super) scratch: Vec<u8>,
}

/// What an import is here.
#[derive(Debug)]
pub(super) enum Running {
    Valkey {
        client: ClientId,
        /// When the source is to be given a sign of life, by the steady clock, ms.
        next_ack_ms: u64,
    },
    Redis(Box<Redis>),
    /// It is the primary's, or was when the data was saved (`is_loaded`).
    Tracked {
        is_loaded: bool,
    },
}

/// What a task has open.
#[derive(Debug)]
pub(super) struct Redis {
    pub order: Order,
    pub main: Option<Connection>,
    pub snapshot: Option<Connection>,
    pub snapshot_state: State,
    /// The stream, until the snapshot is complete.
    pub buffer: Vec<u8>,
    /// It has as much as it may: nothing is read.
    pub is_full: bool,
    /// Until when what was kept waits.
    pub delayed_until_ms: Option<u64>,
    /// Bytes of the stream that were kept, and that have been executed.
    pub kept: u64,
    pub applied: u64,
    /// When the source was last heard of in the handshake, and when a step is to be repeated, by the steady clock, ms.
    pub heard_ms: u64,
    pub next_try_ms: u64,
}

/// This end of a connection.
#[derive(Debug)]
pub(super) enum Connection {
    Link(LinkId, Box<Handshake>),
    Session(ClientId),
}

impl Redis {
    pub fn new(order: Order, now: u64) -> Self {
        Redis {
            order,
            main: None,
            snapshot: None,
            snapshot_state: State::None,
            buffer: Vec::new(),
            is_full: false,
            delayed_until_ms: None,
            kept: 0,
            applied: 0,
            heard_ms: now,
            next_try_ms: 0,
        }
    }

    pub fn is_session(&self, channel: Channel, client: ClientId) -> bool {
        let end = if channel == Channel::Main { &self.main } else { &self.snapshot };
        matches!(end, Some(Connection::Session(session)) if *session == client)
    }
}

/// A job of Redis's kind as replicas and files are told of it.
pub(super) fn note_of(job: &Job) -> Option<TaskNote> {
    Some(TaskNote {
        id: job.name.clone(),
        source: job.source?,
        target: job.target?,
        is_import: job.role == End::Import,
        state: job.state,
        slots: job.slots.clone(),
    })
}
