//! A shutdown that waits for replicas: writes are held back until all of them have what was written, or `shutdown-timeout` is over.
//! A primary of a cluster can have one of them take over (FAILOVER), or refuse to end (SAFE).

use super::Engine;
use super::clients::{PendingShutdown, ShutdownOptions};
use super::replication::replicas::{Replica, Stage};
use crate::base::ids::ClientId;

/// The reply to SHUTDOWN if it didn't happen.
pub const SHUTDOWN_FAILED: &[u8] = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n";

impl Engine {
    /// Asks for a shutdown: true if it can be done now. Otherwise it waits for replicas; then `client` gets an error, should it fail.
    pub fn request_shutdown(&mut self, client: Option<ClientId>, options: ShutdownOptions) -> bool {
        if let Some(pending) = &mut self.clients.shutdown {
            pending.clients.extend(client);
            return false;
        }
        log::warn!("User requested shutdown...");
        self.cancel_tasks(None, "server shutdown");
        let timeout_ms = u64::from(self.config.shutdown_timeout) * 1000;
        if options.now || timeout_ms == 0 || self.replicas_have_all() {
            return true;
        }
        let until_ms = self.frame.now.saturating_add(timeout_ms);
        let clients = client.into_iter().collect();
        self.clients.pause_for_shutdown(Some(PendingShutdown {
            options,
            until_ms,
            is_aborted: false,
            clients,
        }));
        self.ask_for_acks();
        log::info!("Waiting for replicas before shutting down.");
        false
    }

    /// The shutdown whose wait is over.
    pub fn due_shutdown(&mut self) -> Option<PendingShutdown> {
        let pending = self.clients.shutdown.as_ref()?;
        if pending.is_aborted {
            let aborted = self.clients.pause_for_shutdown(None)?;
            self.fail_shutdown(&aborted);
            return None;
        }
        if self.frame.now < pending.until_ms && !self.replicas_have_all() {
            return None;
        }
        self.clients.pause_for_shutdown(None)
    }

    /// A shutdown that has waited doesn't happen.
    pub fn fail_shutdown(&mut self, pending: &PendingShutdown) {
        for client in &pending.clients {
            self.complete_deferred(*client, SHUTDOWN_FAILED);
        }
        self.pause_has_changed();
    }

    /// Logs which replicas lack something.
    pub fn report_replicas(&self) {
        let (now, end) = (self.frame.now, self.backlog().end());
        let (mut all, mut in_sync) = (0, 0);
        for (client, replica) in self.replication.replicas.attached() {
            all += 1;
            if has_all(replica, end) {
                in_sync += 1;
                continue;
            }
            log::warn!(
                "Lagging replica {} reported offset {} behind master, lag={}, state={}.",
                self.replica_name(client),
                end - replica.ack_offset.min(end),
                replica.shown_lag(now),
                replica.state_name()
            );
        }
        if all > 0 {
            log::info!("{in_sync} of {all} replicas are in sync when shutting down.");
        }
    }

    /// Whether the server may end: a primary with slots may not if it is to be safe, unless it is forced.
    pub fn may_shut_down(&self, options: ShutdownOptions) -> bool {
        let serves_slots =
            self.cluster.as_ref().is_some_and(|mode| mode.service.topology.myself().is_voter());
        if !options.safe || !serves_slots {
            return true;
        }
        let outcome = if options.force { "Exit anyway." } else { "Can't exit." };
        log::warn!("This is a voting primary. Shutting down may cause the cluster to go down. {outcome}");
        options.force
    }

    /// Has a replica of this primary of a cluster take over, one that has all of its stream. Whether there is one, and the stream has
    /// the request to it. The others ignore it, but for those that don't know it: there must be none of these.
    pub fn hand_over_at_end(&mut self) -> bool {
        let is_primary =
            self.cluster.as_ref().is_some_and(|mode| mode.service.topology.myself().is_primary());
        if !is_primary {
            return false;
        }
        let end = self.backlog().end();
        let replicas = || self.replication.replicas.attached().map(|(_, replica)| replica);
        if replicas().any(|replica| replica.cluster_node.is_none()) {
            log::info!("Unable to perform auto failover on shutdown since there are legacy replicas.");
            return false;
        }
        let ready = replicas().filter(|replica| replica.stage == Stage::Online && has_all(replica, end));
        let Some(node) = ready.filter_map(|replica| replica.cluster_node).last() else {
            log::info!("Unable to find a replica to perform the auto failover on shutdown.");
            return false;
        };
        self.push_to_replicas(&["CLUSTER", "FAILOVER", "FORCE", "REPLICAID", &node.to_string()]);
        log::info!("Perform auto failover to replica {node} on shutdown.");
        true
    }

    fn replicas_have_all(&self) -> bool {
        let end = self.backlog().end();
        self.replication.replicas.attached().all(|(_, replica)| has_all(replica, end))
    }
}

fn has_all(replica: &Replica, end: u64) -> bool {
    replica.ack_offset == end
}
