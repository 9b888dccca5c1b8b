//! CLIENT KILL and CLIENT PAUSE: closes connections, with all that ends with a session, and sets pauses.

use std::collections::VecDeque;

use crate::base::ids::ClientId;
use crate::engine::clients::session::state;
use crate::engine::clients::{Clients, PendingShutdown};
use crate::engine::{Engine, Pause, ServerAction};

impl Clients {
    /// Closes a client's connection; its session ends at once, unsent replies are lost.
    pub fn kill(&mut self, client: ClientId, actions: &mut VecDeque<ServerAction>) {
        let Some(session) = self.sessions.get(client) else { return };
        let conn_index = session.conn_index;
        actions.push_back(ServerAction::Close { client, conn_index, gracefully: false });
        self.disconnect(client);
    }

    /// CLIENT PAUSE: holds back commands until `until_ms` (Unix). A pause that lasts can be extended and made
    /// to concern all commands, never the reverse. `now` is Unix ms.
    pub fn pause_clients(&mut self, until_ms: u64, writes_only: bool, now: u64) {
        let lasting = self.client_pause.filter(|pause| pause.until_ms > now);
        self.client_pause = Some(match lasting {
            None => Pause { until_ms, writes_only },
            Some(pause) => Pause {
                until_ms: until_ms.max(pause.until_ms),
                writes_only: writes_only && pause.writes_only,
            },
        });
        self.refresh_pause();
    }

    /// A failover begins or ends, during which writes are held back. Tells whether less is held back than before.
    pub(in crate::engine) fn pause_for_failover(&mut self, pauses: bool) -> bool {
        self.failover_pause = pauses;
        self.refresh_pause()
    }

    /// Slots change hands, or have: writes are held back meanwhile. Tells whether less is held back than before.
    pub(in crate::engine) fn pause_for_migration(&mut self, pauses: bool) -> bool {
        self.migration_pause = pauses;
        self.refresh_pause()
    }

    /// A shutdown begins to wait, or waits no longer: writes are held back meanwhile. Returns the one that waited.
    pub(in crate::engine) fn pause_for_shutdown(
        &mut self,
        shutdown: Option<PendingShutdown>,
    ) -> Option<PendingShutdown> {
        let before = std::mem::replace(&mut self.shutdown, shutdown);
        self.refresh_pause();
        before
    }

    /// What the pauses come to. Tells whether less is held back than before.
    fn refresh_pause(&mut self) -> bool {
        // Nothing, writes, everything.
        let extent = |pause: &Option<Pause>| pause.map_or(0, |pause| 2 - u8::from(pause.writes_only));
        let before = extent(&self.pause);
        let by_client = self.client_pause;
        self.pause = match self.failover_pause || self.migration_pause || self.shutdown.is_some() {
            false => by_client,
            true => {
                let writes_only = by_client.is_none_or(|pause| pause.writes_only);
                Some(Pause { until_ms: u64::MAX, writes_only })
            }
        };
        extent(&self.pause) < before
    }

    /// A client went: its subscriptions, watches and waits go with it.
    pub(in crate::engine) fn disconnect(&mut self, client: ClientId) {
        if self.script_client == Some(client) {
            self.script_client_left = true;
            return;
        }
        self.unwatch_all(client);
        self.unsubscribe_all(client);
        self.stop_waiting(client);
        self.stop_tracking(client);
        self.monitors.retain(|monitor| *monitor != client);
        if let Some(mut session) = self.sessions.close(client) {
            self.memory -= session.counted_memory;
            self.quotas.leave(&mut session);
            self.priority_count -= usize::from(session.is(state::PRIORITY));
        }
    }

    /// Takes a client out of the waiting ones; false if it didn't wait.
    pub(in crate::engine) fn stop_waiting(&mut self, client: ClientId) -> bool {
        let Some(session) = self.sessions.get_mut(client) else { return false };
        let Some(waiting) = session.waiting.take() else { return false };
        session.set(state::BLOCKED, false);
        self.blocked.leave(&waiting);
        self.consumers_changed = true;
        true
    }
}

impl Engine {
    /// Ends a client whose unread replies exceed its output limit.
    #[cold]
    pub(in crate::engine) fn end_slow_reader(&mut self, client: ClientId) {
        let session = self.clients.sessions.live_mut(client);
        session.set(state::CLOSING, true);
        let (id, address) = (session.id, session.peer.address());
        log::warn!(
            "Client id={id} addr={address} scheduled to be closed ASAP for overcoming of output buffer limits."
        );
        self.metrics.stats.output_limit_disconnections += 1;
    }

    /// Closes a client's connection; its session ends at once, unsent replies are lost.
    pub fn kill(&mut self, client: ClientId) {
        self.replica_left(client);
        self.slot_migration_client_left(client);
        self.clients.kill(client, &mut self.actions);
        self.refresh_changed_recording();
    }

    /// CLIENT UNPAUSE, or the pause's time is up.
    pub fn unpause_clients(&mut self) {
        if self.clients.client_pause.take().is_some() && self.clients.refresh_pause() {
            self.pause_has_changed();
        }
    }

    /// Less is held back than before: what was is tried again. Nothing is while it is only held back by another pause,
    /// as requests are refused for other reasons (READONLY) before a pause holds them back.
    pub(in crate::engine) fn pause_has_changed(&mut self) {
        if self.clients.pause.is_none() {
            self.clients.releases_held = true;
            self.resume_eviction();
        }
        self.actions.push_back(ServerAction::ResumeAll);
    }
}
