//! Control of clients: closing connections (CLIENT KILL), pausing commands (CLIENT PAUSE).

use crate::base::ids::ClientId;
use crate::engine::clients::session::state;
use crate::engine::{Engine, Pause, ServerAction};

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
        let Some(session) = self.clients.sessions.get(client) else { return };
        let conn_index = session.conn_index;
        self.actions.push_back(ServerAction::Close { client, conn_index, gracefully: false });
        self.disconnect(client);
    }

    /// CLIENT PAUSE: holds back commands until `until_ms` (Unix). A pause that lasts can be extended and made
    /// to concern all commands, never the reverse.
    pub fn pause_clients(&mut self, until_ms: u64, writes_only: bool) {
        let lasting = self.clients.pause.filter(|pause| pause.until_ms > self.frame.now);
        self.clients.pause = Some(match lasting {
            None => Pause { until_ms, writes_only },
            Some(pause) => Pause {
                until_ms: until_ms.max(pause.until_ms),
                writes_only: writes_only && pause.writes_only,
            },
        });
    }

    /// CLIENT UNPAUSE, or the pause's time is up.
    pub fn unpause_clients(&mut self) {
        if self.clients.pause.take().is_some() {
            self.resume_eviction();
            self.actions.push_back(ServerAction::ResumeAll);
        }
    }
}
