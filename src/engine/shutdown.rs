//! A shutdown that waits for replicas: writes are held back until all of them have what was written, or `shutdown-timeout` is over.

use super::Engine;
use super::clients::PendingShutdown;
use super::replication::replicas::Replica;
use crate::base::ids::ClientId;

/// The reply to SHUTDOWN if it didn't happen.
pub const SHUTDOWN_FAILED: &[u8] = b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n";

impl Engine {
    /// Asks for a shutdown: true if it can be done now. Otherwise it waits for replicas; then `client` gets an error, should it fail.
    pub fn request_shutdown(
        &mut self,
        client: Option<ClientId>,
        (save, now, force): (Option<bool>, bool, bool),
    ) -> bool {
        if let Some(pending) = &mut self.clients.shutdown {
            pending.clients.extend(client);
            return false;
        }
        log::warn!("User requested shutdown...");
        self.cancel_tasks(None, "server shutdown");
        let timeout_ms = u64::from(self.config.shutdown_timeout) * 1000;
        if now || timeout_ms == 0 || self.replicas_have_all() {
            return true;
        }
        let until_ms = self.frame.now.saturating_add(timeout_ms);
        let clients = client.into_iter().collect();
        self.clients.pause_for_shutdown(Some(PendingShutdown {
            save,
            force,
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

    fn replicas_have_all(&self) -> bool {
        let end = self.backlog().end();
        self.replication.replicas.attached().all(|(_, replica)| has_all(replica, end))
    }
}

fn has_all(replica: &Replica, end: u64) -> bool {
    replica.ack_offset == end
}
