//! The link to a primary: its stages, the data that it brings, and what the server does with that.

use std::collections::VecDeque;
use std::ops::Range;

use crate::base::ids::{ClientId, LinkId};
use crate::engine::ServerAction;
use crate::services::replication::handshake::Handshake;
use crate::services::replication::payload::Payload;

/// The primary that is followed, and how far that is.
#[derive(Debug)]
pub struct PrimaryLink {
    pub host: String,
    pub port: u16,
    pub(super) stage: Stage,
    /// When bytes last came, or the attempt began, by the steady clock, ms.
    pub(super) last_io_ms: u64,
    /// Since when the stream has been executed, if it is.
    pub(super) up_since_ms: u64,
    /// Attempts since the stream was lost.
    pub(super) attempts: u64,
    /// Since when there has been no stream; 0: there never was one.
    pub(super) down_since_ms: u64,
    /// When the last attempt began, and when the next one may.
    pub(super) tried_ms: u64,
    pub(super) next_try_ms: u64,
    /// Synchronizations that have failed since the last that succeeded.
    pub(super) failures: u32,
    pub(super) next_check_ms: u64,
    pub(super) next_ack_ms: u64,
    /// The data is that of the replication id at the offset of the command stream, so that the stream can go on there.
    pub(super) resumable: bool,
    /// The database that the stream has selected there.
    pub(super) db: u32,
}

/// How far a link is.
#[derive(Debug)]
pub(super) enum Stage {
    Waiting,
    Connecting(LinkId),
    Handshake(LinkId, Box<Handshake>),
    Transfer(LinkId, Box<Transfer>),
    /// The session whose requests are the stream, and those that its transaction has so far.
    Connected(ClientId, OpenUnit),
}

/// The requests that a transaction of the primary has so far, as they came.
#[derive(Debug, Default)]
pub(super) struct OpenUnit {
    pub(super) bytes: Vec<u8>,
    /// Where among them there are empty lines, which no log must have.
    pub(super) blank: Vec<Range<usize>>,
}

impl OpenUnit {
    pub(super) fn add(&mut self, raw: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(raw);
        if !raw.trim_ascii().is_empty() {
            return;
        }
        match self.blank.last_mut() {
            Some(last) if last.end == start => last.end = self.bytes.len(),
            _ => self.blank.push(start..self.bytes.len()),
        }
    }
}

/// The state of a link in the words of ROLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    Connect,
    Connecting,
    Handshake,
    Sync,
    Connected,
}

impl LinkState {
    pub fn word(self) -> &'static str {
        match self {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

impl PrimaryLink {
    pub(super) fn new(host: String, port: u16, resumable: bool, db: u32) -> Self {
        PrimaryLink {
            host,
            port,
            stage: Stage::Waiting,
            last_io_ms: 0,
            up_since_ms: 0,
            attempts: 0,
            down_since_ms: 0,
            tried_ms: 0,
            next_try_ms: 0,
            failures: 0,
            next_check_ms: 0,
            next_ack_ms: 0,
            resumable,
            db,
        }
    }

    pub fn state(&self) -> LinkState {
        match self.stage {
            Stage::Waiting => LinkState::Connect,
            Stage::Connecting(_) => LinkState::Connecting,
            Stage::Handshake(..) => LinkState::Handshake,
            Stage::Transfer(..) => LinkState::Sync,
            Stage::Connected(..) => LinkState::Connected,
        }
    }

    /// Whether the data is one that the primary's stream goes on from, and no other is being fetched.
    pub fn has_data(&self) -> bool {
        self.resumable && !matches!(self.stage, Stage::Transfer(..))
    }

    /// When the primary was last heard of, or its stream was lost, by the steady clock, ms; 0: there never was one.
    pub fn last_heard_ms(&self) -> u64 {
        if self.is_up() { self.last_io_ms } else { self.down_since_ms }
    }

    /// Whether the primary's stream is executed.
    pub fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Connected(..))
    }

    /// The session of the primary, once it is up.
    pub fn client(&self) -> Option<ClientId> {
        match self.stage {
            Stage::Connected(client, _) => Some(client),
            _ => None,
        }
    }

    /// The synchronization under way.
    pub fn transfer(&self) -> Option<&Transfer> {
        match &self.stage {
            Stage::Transfer(_, transfer) => Some(transfer),
            _ => None,
        }
    }

    /// Bytes of a transaction that isn't complete: they are executed together with its end.
    pub fn unit_len(&self) -> u64 {
        match &self.stage {
            Stage::Connected(_, unit) => unit.bytes.len() as u64,
            _ => 0,
        }
    }

    /// Attempts since the stream was lost.
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Seconds since something came.
    pub fn silent_seconds(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.last_io_ms) / 1000
    }

    /// Seconds for which the stream has been executed, if it is.
    pub fn up_seconds(&self, now_ms: u64) -> Option<u64> {
        self.is_up().then(|| now_ms.saturating_sub(self.up_since_ms) / 1000)
    }

    /// For how long there has been no stream now, after there was one.
    pub(super) fn down_ms(&self, now_ms: u64) -> u64 {
        if self.is_up() || self.down_since_ms == 0 { 0 } else { now_ms.saturating_sub(self.down_since_ms) }
    }

    /// Seconds since the stream was lost; -1 if there never was one. While there is none.
    pub fn down_seconds(&self, now_ms: u64) -> i64 {
        match self.down_since_ms {
            0 => -1,
            since => (now_ms.saturating_sub(since) / 1000) as i64,
        }
    }

    /// The database that the stream has selected: what follows the offset of the command stream is for that one.
    pub fn db(&self) -> u32 {
        self.db
    }

    pub(super) fn link(&self) -> Option<LinkId> {
        match self.stage {
            Stage::Connecting(link) | Stage::Handshake(link, _) | Stage::Transfer(link, _) => Some(link),
            Stage::Waiting | Stage::Connected(..) => None,
        }
    }
}

/// A full synchronization: what has come of it.
#[derive(Debug)]
pub struct Transfer {
    pub(super) payload: Payload,
    /// The history that the data is of, and its offset; none of a primary that knows no PSYNC.
    pub(super) origin: Option<(String, u64)>,
    pub(super) target: Option<SyncTarget>,
    /// Bytes that have come.
    pub(super) received: u64,
    /// Bytes that there will be, if the primary has said so.
    pub(super) size: Option<u64>,
    /// Of the stream, once the payload is complete: it is being loaded.
    pub(super) unread: Option<Vec<u8>>,
    /// The link has ended since.
    pub(super) is_cut: bool,
    pub(super) next_newline_ms: u64,
}

impl Transfer {
    pub(super) fn new(origin: Option<(String, u64)>) -> Self {
        Transfer {
            payload: Payload::new(),
            origin,
            target: None,
            received: 0,
            size: None,
            unread: None,
            is_cut: false,
            next_newline_ms: 0,
        }
    }

    /// Whether everything has come, and is being loaded.
    pub fn is_complete(&self) -> bool {
        self.unread.is_some()
    }

    /// Bytes that have come, of the primary's file.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of the primary's file, if it has said how many there are.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether reads see the old data while the new is being loaded (`async_loading`).
    pub fn serves_old_data(&self) -> bool {
        self.target == Some(SyncTarget::Beside { serves_old: true })
    }
}

/// What the server does with the data that the primary sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncAction {
    Begin(SyncTarget),
    /// A piece of the RDB file.
    Data(Vec<u8>),
    /// It is complete.
    End,
    /// It is to be dropped, and what was made of it.
    Abort,
    /// This server is a primary again: what was switched off for a synchronization goes on.
    Cease,
}

/// Where the primary's data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncTarget {
    /// To a file, which is loaded once it is complete.
    File,
    /// Straight into the databases, which are emptied before.
    Databases,
    /// Into databases beside the old ones, which they replace in the end; `serves_old`: these are of the same history, and reads
    /// see them meanwhile.
    Beside { serves_old: bool },
}

/// The actions of the server, for those that add to them.
pub(super) fn push(actions: &mut VecDeque<ServerAction>, action: SyncAction) {
    actions.push_back(ServerAction::Sync(action));
}
