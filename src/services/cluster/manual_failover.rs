//! Manual failover (CLUSTER FAILOVER): the primary postpones writes, its replica waits until it has all of the primary's stream,
//! and is elected though the primary works.

use std::fmt;

use super::ids::{BusLink, NodeRef};
use super::message::{Body, PingKind};
use super::node::flag;
use super::{Action, Cluster, Level};

/// For how many of its timeouts the primary postpones writes.
const PAUSE_TIMEOUTS: u64 = 2;

/// What a manual failover waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverKind {
    /// The primary's stream, and the votes.
    Default,
    /// FORCE: the votes.
    Force,
    /// TAKEOVER: nothing.
    Takeover,
}

/// Who wants a manual failover: a client, or the primary that shuts down; as the log describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    User(String),
    Primary(String),
}

impl Requester {
    fn as_accepted(&self) -> String {
        let kind = if matches!(self, Requester::User(_)) { "user" } else { "primary" };
        format!("{kind} request accepted ({self}).")
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requester::User(client) => write!(f, "user request from '{client}'"),
            Requester::Primary(client) => write!(f, "primary request from '{client}'"),
        }
    }
}

/// Why a manual failover doesn't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverError {
    NotAReplica,
    UnknownPrimary,
    PrimaryDown,
}

impl fmt::Display for FailoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailoverError::NotAReplica => "You should send CLUSTER FAILOVER to a replica",
            FailoverError::UnknownPrimary => "I'm a replica but my master is unknown to me",
            FailoverError::PrimaryDown => "Master is down or failed, please use CLUSTER FAILOVER FORCE",
        })
    }
}

/// The manual failover of this node, or of one of its replicas.
#[derive(Clone, Debug, Default)]
pub(super) struct ManualFailover {
    /// When it is given up, Unix ms; 0: there is none.
    end: u64,
    /// The replica that takes over from this primary.
    replica: Option<NodeRef>,
    /// Where the primary's stream ends.
    primary_offset: Option<u64>,
    /// The votes can be asked for.
    pub can_start: bool,
}

impl ManualFailover {
    pub fn is_on(&self) -> bool {
        self.end != 0
    }

    pub fn set_back(&mut self, by: u64) {
        self.end = self.end.saturating_sub(by);
    }
}

impl Cluster {
    /// Begins a manual failover to this node.
    pub fn begin_manual_failover(&mut self, kind: FailoverKind, by: &Requester) -> Result<(), FailoverError> {
        if !self.topology.myself().is_replica() {
            return Err(FailoverError::NotAReplica);
        }
        let primary = self.topology.myself().primary().ok_or(FailoverError::UnknownPrimary)?;
        let node = self.topology.node(primary);
        let is_down = node.is(flag::FAIL) || node.link.is_none();
        if kind == FailoverKind::Default && is_down {
            return Err(FailoverError::PrimaryDown);
        }
        self.reset_manual_failover();
        self.manual.end = self.now + self.settings.manual_failover_timeout_ms;
        match kind {
            FailoverKind::Default => {
                self.log(Level::Notice, format!("Manual failover {}", by.as_accepted()));
                self.send_to(primary, Body::ManualFailoverStart);
            }
            FailoverKind::Force => {
                self.log(Level::Notice, format!("Forced failover {}", by.as_accepted()));
                self.let_manual_failover_start();
                self.todo.manual_failover = true;
            }
            FailoverKind::Takeover => {
                self.log(Level::Notice, format!("Taking over the primary ({by})."));
                self.bump_epoch();
                self.replace_primary();
            }
        }
        Ok(())
    }

    fn let_manual_failover_start(&mut self) {
        // An earlier attempt would have to run out first.
        if let Some(epoch) = self.reset_election() {
            let text = format!(
                "Failover election in progress for epoch {epoch}, but received a new manual failover. Resetting the election."
            );
            self.log(Level::Warning, text);
        }
        self.manual.can_start = true;
    }

    /// One of this primary's replicas wants to take over.
    pub(super) fn on_manual_failover_start(&mut self, link: BusLink, at: NodeRef) {
        if self.topology.node(at).primary() != Some(self.topology.me()) || !self.links.contains_key(&link) {
            return;
        }
        if !self.granted.is_empty() {
            // Their new owner takes an epoch without asking, and so might lose to the replica, which knows them as this shard's.
            let text = format!(
                "Manual failover requested by replica {} ignored: slots are being handed over.",
                self.name(at)
            );
            return self.log(Level::Notice, text);
        }
        self.reset_manual_failover();
        let timeout = self.settings.manual_failover_timeout_ms;
        (self.manual.end, self.manual.replica) = (self.now + timeout, Some(at));
        self.push(Action::PauseWrites { until: self.now + timeout.saturating_mul(PAUSE_TIMEOUTS) });
        let text = format!("Manual failover requested by replica {}.", self.name(at));
        self.log(Level::Notice, text);
        self.todo.manual_failover = true;
    }

    /// Whether this primary hands over to a replica.
    pub(super) fn is_failing_over_to(&self, at: NodeRef) -> bool {
        self.manual.is_on() && self.manual.replica == Some(at)
    }

    /// Whether the replication offset that this primary tells is its last one, for writes are postponed.
    pub(super) fn is_pausing(&self) -> bool {
        self.manual.is_on() && self.topology.myself().is_primary() && self.local.is_paused
    }

    /// Tells the replica that takes over where the stream ends, once writes are postponed.
    pub(super) fn tell_paused_offset(&mut self) {
        let Some(replica) = self.manual.replica else { return };
        if !self.is_pausing() {
            self.todo.manual_failover = true;
        } else if let Some(link) = self.topology.node(replica).link {
            self.send_ping(link, PingKind::Ping);
        }
    }

    /// A primary that has postponed writes tells where its stream ends.
    pub(super) fn on_paused_offset(&mut self, at: NodeRef, offset: u64) {
        let is_mine = self.topology.myself().primary() == Some(at);
        if self.manual.is_on() && is_mine && self.manual.primary_offset.is_none() {
            self.manual.primary_offset = Some(offset);
            self.todo.manual_failover = true;
            let text = format!("Received replication offset for paused primary manual failover: {offset}");
            self.log(Level::Notice, text);
        }
    }

    /// Lets the election begin when this replica has all of the primary's stream.
    pub(super) fn handle_manual_failover(&mut self) {
        let Some(offset) = self.manual.primary_offset else { return };
        if !self.manual.is_on() || self.manual.can_start {
            return;
        }
        // Of an empty history a primary of Redis tells 0, which is 1 here: 0 would be a replica without data.
        if offset.max(1) == self.local.offset {
            self.let_manual_failover_start();
            let text = "All primary replication stream processed, manual failover can start.";
            self.log(Level::Notice, text.to_string());
            self.todo.failover = true;
        } else {
            self.todo.manual_failover = true;
        }
    }

    pub(super) fn check_manual_failover_timeout(&mut self) {
        if self.manual.is_on() && self.manual.end < self.now {
            self.log(Level::Warning, "Manual failover timed out.".to_string());
            self.reset_manual_failover();
        }
    }

    /// Ends a manual failover, whatever has become of it.
    pub(super) fn reset_manual_failover(&mut self) {
        if self.manual.replica.is_some() {
            self.push(Action::PauseWrites { until: 0 });
        }
        self.manual = ManualFailover::default();
    }
}
