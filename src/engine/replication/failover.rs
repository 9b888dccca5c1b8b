//! FAILOVER as the engine sees it: writes are paused, the replicas watched, and the roles changed.
//!
//! A primary that hands over becomes the replica of its successor, and asks it with `PSYNC … FAILOVER` to be one. If that is
//! refused, or the failover aborted, it is a primary again, with the data it had.

use super::replicas::Replica;
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::resp::CommandError;
use crate::services::replication::failover::{Candidate, Decision, Failover};

/// What FAILOVER is asked for.
#[derive(Clone, Debug, Default)]
pub struct FailoverRequest {
    pub target: Option<(String, u16)>,
    pub timeout_ms: Option<u64>,
    pub is_forced: bool,
}

impl Engine {
    /// Begins a failover.
    pub fn begin_failover(&mut self, request: FailoverRequest) -> Result<(), CommandError> {
        let replication = &self.replication;
        if replication.failover.is_some() {
            return Err(CommandError::text("ERR FAILOVER already in progress."));
        }
        if replication.is_replica() {
            return Err(CommandError::text("ERR FAILOVER is not valid when server is a replica."));
        }
        if replication.replicas.is_empty() {
            return Err(CommandError::text("ERR FAILOVER requires connected replicas."));
        }
        let FailoverRequest { target, timeout_ms, is_forced } = request;
        if is_forced && (timeout_ms.is_none() || target.is_none()) {
            return Err(CommandError::text(
                "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
            ));
        }
        if let Some((host, port)) = &target {
            let is_it = |(_, replica): &(ClientId, &Replica)| {
                replica.shown_ip().eq_ignore_ascii_case(host) && replica.port == *port
            };
            let Some((_, replica)) = replication.replicas.attached().find(is_it) else {
                return Err(CommandError::text("ERR FAILOVER target HOST and PORT is not a replica."));
            };
            if !replica.is_online() {
                return Err(CommandError::text("ERR FAILOVER target replica is not online."));
            }
        }
        let deadline = timeout_ms.map(|timeout| self.steady_now().saturating_add(timeout));
        let failover = Failover::new(target, deadline, is_forced);
        log::info!("FAILOVER requested to {}.", failover.target_name());
        self.replication.failover = Some(failover);
        self.cancel_tasks(None, "failover requested");
        self.clients.pause_for_failover(true);
        Ok(())
    }

    /// FAILOVER ABORT; false if there is none.
    pub fn abort_failover(&mut self, reason: &str) -> bool {
        let Some(failover) = self.end_failover() else { return false };
        log::info!("FAILOVER to {} aborted: {reason}", failover.target_name());
        if failover.is_handing_over() {
            self.become_primary();
        }
        true
    }

    /// The successor has answered PSYNC: it has taken over, if it accepted.
    pub(super) fn failover_answered(&mut self, is_accepted: bool) {
        if !self.is_handing_over() {
            return;
        }
        if is_accepted {
            self.end_waits_of_primary();
            self.end_failover();
        } else {
            self.abort_failover("Failover target rejected psync request");
        }
    }

    /// Whether this server asks the one that it follows to take over.
    pub(super) fn is_handing_over(&self) -> bool {
        self.replication.failover.as_ref().is_some_and(Failover::is_handing_over)
    }

    fn end_failover(&mut self) -> Option<Failover> {
        let failover = self.replication.failover.take()?;
        if self.clients.pause_for_failover(false) {
            self.pause_has_changed();
        }
        Some(failover)
    }

    /// Looks how far the replicas are: with the periodic work.
    pub(super) fn tend_failover(&mut self) {
        let Some(mut failover) = self.replication.failover.take() else { return };
        let end = self.stream.backlog().end();
        let replicas = self.replication.replicas.attached();
        let candidates = replicas.map(|(_, replica)| Candidate {
            host: replica.shown_ip(),
            port: replica.port,
            has_all: replica.is_online() && replica.ack_offset == end,
        });
        let decision = failover.decide(self.steady_now(), candidates);
        let name = failover.target_name();
        self.replication.failover = Some(failover);
        match decision {
            Decision::Wait => {}
            Decision::HandOver { host, port, is_synced } => {
                match is_synced {
                    true => log::info!("Failover target {name} is synced, failing over."),
                    false => log::info!("FAILOVER to {name} time out exceeded, failing over."),
                }
                self.replicate_from(&host, port);
            }
            Decision::Abort(reason) => {
                self.abort_failover(reason);
            }
        }
    }
}
