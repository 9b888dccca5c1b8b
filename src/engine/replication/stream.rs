//! The primary's stream at a replica: its requests are executed, its bytes are kept as they came, and it is told how far this
//! server is.
//!
//! ```text
//! SET a 1          executed, added to the command stream
//! MULTI … EXEC     each executed, added when the last one is: the offset never lies within a transaction
//! PING, "\n"       added for replicas only: a log has no use for them
//! EVAL …           slow: added when the script is over; what comes behind it waits
//! ```

use super::link::{OpenUnit, PrimaryLink, Stage};
use crate::base::ids::ClientId;
use crate::engine::clients::session::{Role, state};
use crate::engine::command::spec::flag;
use crate::engine::{Engine, ExecStatus, Prepared, ServerAction};
use crate::resp::{Args, CommandError, Reply, encode_request};
use crate::services::config::PropagationErrorBehavior;

/// Time between two acknowledgements, ms.
const ACK_MS: u64 = 1000;
/// Bytes of the buffer for dropped replies that are kept.
const KEPT: usize = 64 * 1024;

/// What a request of the primary has done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that a log needs.
    None,
    /// It has changed the data, or selected a database.
    Data,
    /// It can't be executed: a log that had it couldn't be loaded.
    Failed,
}

/// A request of the primary whose script has taken longer than `busy-reply-threshold`.
#[derive(Debug)]
pub(super) struct SlowRequest {
    /// Its bytes as they came.
    raw: Vec<u8>,
    name: Vec<u8>,
    /// What had been changed in the data before it.
    dirty: u64,
}

impl Engine {
    /// Executes a request of the primary. `raw`: its bytes as they came. Its reply is dropped.
    pub fn execute_replicated(
        &mut self,
        client: ClientId,
        prepared: Prepared,
        args: Args<'_>,
        raw: &[u8],
    ) -> ExecStatus {
        if self.clients.sessions.live(client).role == Role::Import {
            return self.execute_imported(client, prepared, args, raw.len());
        }
        if self.persistence.restricts {
            self.check_disk(prepared);
        }
        let dirty = self.data.keyspace.journal.dirty;
        let mut reply = Reply::new(std::mem::take(&mut self.replication.scratch), false);
        let status = self.execute(client, prepared, args, &mut reply);
        let mut bytes = reply.into_bytes();
        let is_error = bytes.first() == Some(&b'-');
        if is_error {
            self.report_error(args.at(0), &bytes[1..]);
        }
        bytes.clear();
        bytes.shrink_to(KEPT);
        self.replication.scratch = bytes;
        if status == ExecStatus::Postponed {
            return status;
        }
        if status == ExecStatus::Blocked && self.clients.script_client == Some(client) {
            let (raw, name) = (raw.to_vec(), args.at(0).to_vec());
            self.replication.slow_request = Some(SlowRequest { raw, name, dirty });
            return status;
        }
        if std::mem::take(&mut self.replication.ack_wanted) {
            self.send_ack();
        }
        let selects = prepared.command == Some(self.commands.known.select);
        let changed = self.data.keyspace.journal.dirty != dirty;
        let effect = match (is_error, changed || selects) {
            (true, _) => Effect::Failed,
            (false, true) => Effect::Data,
            (false, false) => Effect::None,
        };
        self.keep_replicated(client, raw, effect);
        status
    }

    /// A slow script is over: if its request was the primary's, it is complete now.
    pub(in crate::engine) fn end_slow_request(&mut self, client: ClientId, reply: &[u8]) {
        let Some(SlowRequest { raw, name, dirty }) = self.replication.slow_request.take() else { return };
        let is_error = reply.first() == Some(&b'-');
        if is_error {
            self.report_error(&name, &reply[1..]);
        }
        let effect = match (is_error, self.data.keyspace.journal.dirty != dirty) {
            (true, _) => Effect::Failed,
            (false, true) => Effect::Data,
            (false, false) => Effect::None,
        };
        self.keep_replicated(client, &raw, effect);
    }

    /// Adds bytes of the primary's session to the command stream: a request that was executed, or an empty line.
    pub fn keep_replicated(&mut self, client: ClientId, raw: &[u8], effect: Effect) {
        let Some(session) = self.clients.sessions.get(client) else { return };
        let (in_multi, db) = (session.is(state::IN_MULTI), session.db);
        let Some(primary) = &mut self.replication.primary else { return };
        let Stage::Connected(connected, unit) = &mut primary.stage else { return };
        if *connected != client {
            return;
        }
        if in_multi {
            return unit.add(raw);
        }
        let dbs = (std::mem::replace(&mut primary.db, db), db);
        if unit.bytes.is_empty() {
            return self.stream.append_raw(raw, effect == Effect::Data, dbs);
        }
        // A SELECT within counts for what follows, even if nothing else has changed.
        unit.add(raw);
        let OpenUnit { bytes, blank } = std::mem::take(unit);
        if effect == Effect::Failed {
            return self.stream.append_raw(&bytes, false, dbs);
        }
        self.stream.append_raw_unit(&bytes, &blank, dbs);
    }

    /// A command has failed: if it is of a transaction of the primary, the reply of EXEC doesn't begin with the error.
    #[cold]
    pub(in crate::engine) fn report_queued_error(&mut self, client: ClientId, error: &CommandError) {
        let Some(session) = self.clients.sessions.get(client) else { return };
        let is_queued = session.is(state::IN_EXEC) && !session.is(state::IN_SCRIPT);
        if session.role == Role::Primary && is_queued {
            self.report_error(b"exec", error.as_bytes());
        }
    }

    /// A request of the primary that this server can't execute: the data differs from now on.
    #[cold]
    fn report_error(&mut self, name: &[u8], text: &[u8]) {
        self.metrics.stats.unexpected_errors += 1;
        let text = text.trim_ascii_end().escape_ascii();
        let name = name.escape_ascii();
        log::warn!(
            "== CRITICAL == This replica is sending an error to its master: '{text}' after processing the command \
             '{name}'"
        );
        // A writable replica's data may well differ.
        let is_strict = self.config.propagation_error_behavior != PropagationErrorBehavior::Ignore;
        if is_strict && self.config.replica_read_only {
            log::error!("This replica panicked sending an error to its master (propagation-error-behavior)");
            self.actions.push_back(ServerAction::Crash);
        }
    }

    /// Ends the process before a write of the primary that can't be written to disk, unless it may go on so.
    #[cold]
    fn check_disk(&mut self, prepared: Prepared) {
        let writes = prepared.command.is_some_and(|id| self.commands.get(id).flags & flag::WRITE != 0);
        if writes && !self.config.replica_ignore_disk_write_errors && self.disk_error().is_some() {
            log::error!("Replica was unable to write command to disk.");
            self.actions.push_back(ServerAction::Crash);
        }
    }

    /// Tells the primary how far this server is.
    pub fn send_ack(&mut self) {
        let Some(PrimaryLink { stage: Stage::Connected(client, _), resumable, .. }) =
            &self.replication.primary
        else {
            return;
        };
        if !resumable {
            return;
        }
        let client = *client;
        let offset = self.stream.backlog().end().to_string();
        let durable = self.persistence.durable.map(|durable| durable.to_string());
        let mut words = vec!["REPLCONF", "ACK", &offset];
        if let Some(durable) = &durable {
            words.extend(["FACK", durable]);
        }
        let mut request = Vec::new();
        encode_request(&mut request, words.iter());
        self.clients.outbox.post(client, &request);
    }

    /// Looks after the primary's session.
    pub(super) fn tend_stream(&mut self, client: ClientId) {
        let now = self.steady_now();
        let Some(session) = self.clients.sessions.get(client) else { return self.stream_lost() };
        let silent_ms = self.frame.now.saturating_sub(session.active_ms);
        if silent_ms > u64::from(self.config.repl_timeout) * 1000 {
            log::warn!("MASTER timeout: no data nor PING received...");
            self.kill(client);
            return self.stream_lost();
        }
        let Some(primary) = &mut self.replication.primary else { return };
        if now >= primary.next_ack_ms {
            primary.next_ack_ms = now + ACK_MS;
            self.send_ack();
        }
    }
}
