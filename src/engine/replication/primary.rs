//! The primary's side of replication: replicas that go on, or get a snapshot first; pings, acknowledgements and time-outs.
//!
//! ```text
//! PSYNC ─┬─ its offset is retained ─▶ +CONTINUE ───────────────────────────────────────────────▶ online: the stream
//!        └─ else: AwaitsSnapshot ─ a walk begins: +FULLRESYNC, its reader is attached ─▶ payload ─▶ (first ACK) ─▶ online
//! ```
//!
//! All replicas of a snapshot share its walk and its bytes, all replicas share the stream's. The server sends both; a replica's
//! reader says where it is.

use super::LoadedHistory;
use super::replicas::{Replica, Stage};
use crate::base::ids::ClientId;
use crate::base::ids::REPLID_LEN;
use crate::engine::clients::session::state;
use crate::engine::command::table::CommandId;
use crate::engine::persistence::Purpose;
use crate::engine::{Engine, ServerAction};
use crate::resp::Args;
use crate::services::command_stream::{self, ReaderId, ReaderKind, Target};
use crate::services::persist::rdb::{Family, Finisher, RdbFormat, RecordBuffer};

/// Milliseconds between two line ends by which a replica that waits for its snapshot sees that the primary is there.
const KEEPALIVE_MS: u64 = 1000;
/// Bytes of the stream that are kept in memory for a replica that is being sent a snapshot, if they can lie elsewhere.
const KEPT_DURING_SYNC: u64 = 16 * 1024 * 1024;

/// A snapshot that goes to replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadSource {
    /// Straight from the walk that has begun.
    Walk,
    /// The file of the last snapshot.
    File,
    /// These bytes.
    Bytes(Vec<u8>),
    /// From the walk of some slots that has begun, as commands, behind `head`.
    Slots { head: Vec<u8> },
    /// No snapshot: the stream between these offsets, from the log's files.
    Log { from: u64, to: u64 },
}

/// What a replica that asks to go on is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PsyncReply {
    /// It goes on: this line.
    Continue(String),
    /// It needs a snapshot; the line comes when that begins.
    FullSync,
}

impl Engine {
    /// The entry of a client that introduces itself as a replica.
    pub fn introduce_replica(&mut self, client: ClientId) -> &mut Replica {
        let now = self.steady_now();
        let session = self.clients.sessions.get(client);
        let peer_ip = || session.map(|session| session.peer.ip()).unwrap_or_default();
        self.replication.replicas.introduce(client, peer_ip, now)
    }

    /// A client asks for the stream from the byte `offset` on (counted from 1) of the history `asked` (PSYNC).
    pub fn psync(&mut self, client: ClientId, asked: &[u8], offset: i64) -> PsyncReply {
        let start = u64::try_from(offset).ok().filter(|offset| *offset > 0);
        let start = start.filter(|offset| self.may_continue(asked, *offset)).map(|offset| offset - 1);
        let reader = start.and_then(|start| self.stream.attach_at(start).ok());
        if let (None, Some(start)) = (reader, start)
            && self.log_reaches_from(start)
        {
            self.metrics.stats.sync_partial_ok += 1;
            self.become_replica(client, Stage::Log);
            self.begin_from_log(client, start);
            return self.continues(client, offset);
        }
        let Some(reader) = reader else {
            let name = self.replica_name(client);
            if asked == b"?" {
                log::info!("Full resync requested by replica {name}");
            } else {
                self.metrics.stats.sync_partial_err += 1;
            }
            if start.is_some() {
                log::info!(
                    "Unable to partial resync with replica {name} for lack of backlog (Replica request was: {offset})."
                );
            }
            self.request_full_sync(client);
            return PsyncReply::FullSync;
        };
        self.metrics.stats.sync_partial_ok += 1;
        self.introduce_replica(client).reader = Some(reader);
        self.become_replica(client, Stage::Online);
        self.refresh_recording();
        self.continues(client, offset)
    }

    fn continues(&mut self, client: ClientId, offset: i64) -> PsyncReply {
        log::info!(
            "Partial resynchronization request from {} accepted. Sending {} bytes of backlog starting from offset {offset}.",
            self.replica_name(client),
            (self.stream.backlog().end() + 1).saturating_sub(offset.unsigned_abs())
        );
        let psync2 = self.replication.replicas.get(client).is_some_and(|replica| replica.psync2);
        PsyncReply::Continue(if psync2 {
            format!("CONTINUE {}", self.replication.identity.replid)
        } else {
            "CONTINUE".into()
        })
    }

    fn may_continue(&self, asked: &[u8], offset: u64) -> bool {
        let accepted = self.replication.identity.includes(asked, offset);
        if !accepted && asked != b"?" {
            log::info!(
                "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{}', my replication IDs are '{}' and '{}')",
                asked.escape_ascii(),
                self.replication.identity.replid,
                self.replication.identity.replid2()
            );
        }
        accepted && self.stream.backlog().retained().is_some()
    }

    /// A client is to get the whole data set, and then the stream.
    pub fn request_full_sync(&mut self, client: ClientId) {
        let now = self.steady_now();
        self.introduce_replica(client).ack_ms = now;
        self.metrics.stats.sync_full += 1;
        self.become_replica(client, Stage::AwaitsSnapshot);
        self.wake_soon();
        self.replication.next_ms = 0;
    }

    fn become_replica(&mut self, client: ClientId, stage: Stage) {
        if self.replication.replicas.is_empty() {
            // The first ping comes a period later.
            self.replication.last_ping_ms = self.steady_now();
        }
        self.replication.replicas.set_stage(client, stage);
        let now = self.steady_now();
        if let Some(replica) = self.replication.replicas.get_mut(client) {
            replica.ack_ms = now;
        }
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.set(state::REPLICA, true);
            if self.config.repl_disable_tcp_nodelay {
                self.actions
                    .push_back(ServerAction::GatherPackets { client, conn_index: session.conn_index });
            }
        }
        self.retain_backlog();
    }

    /// As the log names a replica, or a client that wants to be one: by its address, if it has one.
    pub fn replica_name(&self, client: ClientId) -> String {
        let session = self.clients.sessions.get(client);
        let replica = self.replication.replicas.get(client);
        let ip = match replica {
            Some(replica) => replica.shown_ip(),
            None => session.map(|session| session.peer.ip()).unwrap_or_default(),
        };
        match replica.map_or(0, |replica| replica.port) {
            _ if ip.is_empty() => format!("client id #{}", session.map_or(0, |session| session.id)),
            0 => format!("{ip}:<unknown-replica-port>"),
            port => format!("{ip}:{port}"),
        }
    }

    /// A replica has sent a request that has a reply, which has no place in its stream: it is disconnected.
    #[cold]
    pub(in crate::engine) fn end_replying_replica(
        &mut self,
        client: ClientId,
        id: Option<CommandId>,
        reply: &[u8],
    ) {
        let name = id.map_or("<unknown>", |id| &*self.commands.get(id).name);
        let of = self.replica_name(client);
        if reply.first() == Some(&b'-') {
            self.metrics.stats.unexpected_errors += 1;
            let text = String::from_utf8_lossy(reply[1..].trim_ascii_end()).into_owned();
            log::warn!(
                "== CRITICAL == This master is sending an error to its replica: '{text}' after processing the command '{name}'"
            );
        }
        log::warn!("Replica generated a reply to command '{name}', disconnecting it: {of}");
    }

    /// The backlog exists from the first replica on. Without one there was no history that a replica could have.
    fn retain_backlog(&mut self) {
        self.replication.no_replicas_since = None;
        if self.stream.backlog().retained().is_none() {
            if !self.replication.is_replica() {
                let replid = self.data.rng.hex(40);
                log::info!(
                    "Replication backlog created, my new replication IDs are '{replid}' and '{}'",
                    "0".repeat(40)
                );
                self.replication.identity.change(replid);
                self.note_history();
            }
            self.replication.wants_backlog = true;
        }
    }

    /// The data has been loaded at the start: replicas that have all of it go on, by the id of the server that wrote it.
    pub fn resume_history(&mut self) {
        let LoadedHistory { replid, offset, db } = std::mem::take(&mut self.replication.loaded);
        let (Some(replid), Some(offset)) = (replid, offset) else { return };
        if replid.len() != REPLID_LEN {
            return;
        }
        if db.is_some_and(|db| db as usize >= self.data.keyspace.count()) {
            log::warn!(
                "The history of the file can't go on: its stream has selected a database beyond 'databases'"
            );
            return;
        }
        self.stream.continue_log();
        if let Some(primary) = &mut self.replication.primary {
            (primary.resumable, primary.db) = (true, db.unwrap_or(0));
            self.replication.identity.change(replid);
            // A log goes on where it ended.
            if !self.stream.has_consumers() {
                self.stream.restart_at(offset);
            }
            return self.note_history();
        }
        if !self.stream.has_consumers() {
            self.stream.resume_at(offset);
        }
        let end = self.stream.backlog().end();
        self.replication.identity.set_former(replid, end);
        log::info!("The history of replicas goes on at offset {end}");
        self.stream.retain(Some(self.config.repl_backlog_size));
        self.note_history();
        self.refresh_recording();
        // Their stream goes on with the DELs of what had expired when it was loaded.
        while self.expire_due() {}
    }

    /// Does what is due: once a turn, outside of calls.
    pub(in crate::engine) fn replication_tick(&mut self) {
        self.detach_gone_replicas();
        if std::mem::take(&mut self.replication.wants_backlog) {
            self.stream.retain(Some(self.config.repl_backlog_size));
            self.note_history();
            self.refresh_recording();
        }
        // It may have become a replica since, whose stream has its primary's bytes alone.
        // During a failover nothing is added to what the replicas are to have.
        if !self.clients.failover_pause
            && std::mem::take(&mut self.replication.wants_acks)
            && !self.replication.is_replica()
        {
            self.push_to_replicas(&["REPLCONF", "GETACK", "*"]);
        }
        if self.steady_now() >= self.replication.next_ms {
            self.replication.next_ms = self.steady_now() + 1000 / self.settings.hz.clamp(1, 500);
            self.replication_cron();
        }
    }

    fn replication_cron(&mut self) {
        let now = self.steady_now();
        self.tend_failover();
        self.start_due_replica_snapshot();
        if self.replication.replicas.is_empty() {
            self.free_unused_backlog();
            self.replication.last_ping_ms = now;
            return;
        }
        let may_ping = !self.replication.is_replica() && !self.clients.failover_pause;
        let period = u64::from(self.config.repl_ping_replica_period) * 1000;
        if may_ping && now >= self.replication.last_ping_ms + period {
            self.replication.last_ping_ms = now;
            self.push_to_replicas(&["PING"]);
        }
        if now >= self.replication.next_keepalive_ms {
            self.replication.next_keepalive_ms = now + KEEPALIVE_MS;
            for stage in [Stage::AwaitsSnapshot, Stage::AwaitsFile] {
                for client in self.replication.replicas.in_stage(stage) {
                    self.clients.outbox.post(client, b"\n");
                }
            }
        }
        self.end_silent_replicas();
    }

    fn end_silent_replicas(&mut self) {
        let (now, limit) = (self.steady_now(), u64::from(self.config.repl_timeout) * 1000);
        let is_silent = |replica: &Replica| {
            matches!(replica.stage, Stage::Online | Stage::AwaitsAck | Stage::Payload | Stage::Log)
                && !replica.old_protocol
                && now.saturating_sub(replica.ack_ms) > limit
        };
        let silent = self.replication.replicas.attached().filter(|(_, replica)| is_silent(replica));
        for client in silent.map(|(client, _)| client).collect::<Vec<_>>() {
            let stage = self.replication.replicas.get(client).map(|replica| replica.stage);
            let what = if stage == Some(Stage::Payload) { "full sync" } else { "streaming sync" };
            log::warn!("Disconnecting timedout replica ({what}): {}", self.replica_name(client));
            self.kill(client);
        }
    }

    /// Without replicas for a time, the history ends: what happens from then on is not kept for one that comes back.
    fn free_unused_backlog(&mut self) {
        let ttl = self.config.repl_backlog_ttl * 1000;
        if self.stream.backlog().retained().is_none() || ttl == 0 || self.replication.is_replica() {
            return;
        }
        let now = self.steady_now();
        let since = *self.replication.no_replicas_since.get_or_insert(now);
        if now.saturating_sub(since) > ttl {
            log::info!("Replication backlog freed after {} seconds without connected replicas.", ttl / 1000);
            let replid = self.data.rng.hex(40);
            self.replication.identity.change(replid);
            self.stream.retain(None);
            self.note_history();
            self.refresh_recording();
        }
    }

    /// The configured size of the backlog has changed.
    pub(in crate::engine) fn resize_backlog(&mut self) {
        if self.stream.backlog().retained().is_some() {
            self.replication.wants_backlog = true;
        }
    }

    /// Has replicas say how far they are, at the end of this turn's requests.
    pub fn ask_for_acks(&mut self) {
        if !self.replication.replicas.is_empty() && !self.replication.is_replica() {
            self.replication.wants_acks = true;
            self.wake_soon();
        }
    }

    /// How many replicas get the stream, if all of them execute CLUSTER SETSLOT (Valkey's from 8.0, which say their version, and this server's);
    /// `None`: there are none, or one that doesn't know it.
    pub fn replicas_that_set_slots(&self) -> Option<usize> {
        let online = || self.replication.replicas.attached().filter(|(_, replica)| replica.is_online());
        let all_know = online().all(|(_, replica)| replica.version.is_some_and(|major| major >= 8));
        Some(online().count()).filter(|count| *count > 0 && all_know)
    }

    /// A request for replicas that is no part of the data; outside of calls.
    pub(in crate::engine) fn push_to_replicas(&mut self, words: &[&str]) {
        let mut frame = Vec::new();
        command_stream::encode(&mut frame, words.iter());
        self.stream.push_unit(Target::Replicas, 0, &frame);
    }

    /// Sends replicas a request that isn't executed here (DEBUG REPLICATE).
    pub fn replicate_only(&mut self, request: Args<'_>) {
        let mut frame = Vec::new();
        command_stream::encode(&mut frame, request.iter());
        self.stream.push(Target::Replicas, 0, 1, &frame);
    }

    /// A replica has executed the stream up to `offset`, and (`logged`) has it durably in its log so far.
    pub fn replica_acked(&mut self, client: ClientId, offset: u64, logged: Option<u64>) {
        let (now, end) = (self.steady_now(), self.stream.backlog().end());
        let Some(replica) = self.replication.replicas.get_mut(client) else { return };
        // What was never sent can't have been executed.
        replica.ack_offset = replica.ack_offset.max(offset.min(end));
        if let Some(logged) = logged {
            replica.log_ack_offset = replica.log_ack_offset.max(logged.min(end));
        }
        replica.ack_ms = now;
        match replica.stage {
            Stage::AwaitsAck => self.replica_is_online(client),
            // The end of what the thread makes may be noted here only after the replica has loaded it.
            Stage::Payload => replica.acks_early = true,
            _ => {}
        }
        self.end_replica_waits();
    }

    /// Whether the log's files have the stream from this offset up to where the backlog begins.
    fn log_reaches_from(&self, from: u64) -> bool {
        let reaches = self.persistence.log_reaches;
        reaches
            .is_some_and(|(start, end)| start <= from && from <= end && self.stream.backlog().start() <= end)
    }

    /// What a replica lacks from `from` on is read from the log, up to where its reader begins.
    fn begin_from_log(&mut self, client: ClientId, from: u64) {
        let reach = self.persistence.log_reaches.filter(|_| self.log_reaches_from(from));
        let reader = reach.and_then(|(_, end)| Some((end, self.stream.attach_at(end).ok()?)));
        let (Some((to, reader)), Some(replica)) = (reader, self.replication.replicas.get_mut(client)) else {
            log::warn!(
                "Replica {} lags, and the log hasn't what it lacks any more",
                self.replica_name(client)
            );
            return self.kill(client);
        };
        replica.reader = Some(reader);
        replica.from_log = None;
        self.replication.replicas.set_stage(client, Stage::Log);
        log::info!(
            "Replica {} is sent {} bytes of the stream from the log",
            self.replica_name(client),
            to - from
        );
        let source = PayloadSource::Log { from, to };
        self.actions.push_back(ServerAction::SendPayload { clients: vec![client], source });
    }

    /// A replica lags so far that its output limit is reached: what it lacks is served from the log, if that has it, and kept no
    /// more. False: it has to go.
    pub fn leave_to_log(&mut self, client: ClientId) -> bool {
        let Some(replica) = self.replication.replicas.get_mut(client) else { return false };
        let Some(reader) = replica.reader else { return true };
        let from = self.stream.backlog().position(reader);
        // One that is sent something already gets that to its end first.
        if !self.log_reaches_from(from) {
            return false;
        }
        let Some(replica) = self.replication.replicas.get_mut(client) else { return false };
        replica.reader = None;
        replica.from_log = Some(from);
        let is_online = replica.stage == Stage::Online;
        self.replication.gone_readers.push(reader);
        if is_online {
            self.begin_from_log(client, from);
        }
        true
    }

    /// Whether a replica lags so far that what it lacks should lie elsewhere than in memory: one that is sent a snapshot lags by
    /// all that is written meanwhile.
    pub fn lags_far(&self, stage: Stage, lag: u64) -> bool {
        let limit = match self.settings.output_limits[1].hard {
            0 => u64::MAX,
            hard => hard,
        };
        let limit = if stage == Stage::Online { limit } else { limit.min(KEPT_DURING_SYNC) };
        lag >= limit.max(self.config.repl_backlog_size)
    }

    /// A replica lags far, and no log has what it lacks: a spool may keep it.
    pub fn want_spool(&mut self, client: ClientId) {
        let replica = self.replication.replicas.get(client);
        let wants = replica.is_some_and(|replica| replica.stage != Stage::Online && replica.reader.is_some());
        self.replication.wants_spool |= wants;
    }

    /// From where on a spool should begin, if one is wanted.
    pub fn spool_wanted_from(&mut self) -> Option<u64> {
        if !std::mem::take(&mut self.replication.wants_spool) || self.persistence.log_reaches.is_some() {
            return None;
        }
        let readers = self.replication.replicas.attached().filter_map(|(_, replica)| replica.reader);
        readers.map(|reader| self.stream.backlog().position(reader)).min()
    }

    /// A reader of the stream from an offset on; outside of calls.
    pub fn attach_replica_reader(&mut self, offset: u64) -> Option<ReaderId> {
        let reader = self.stream.attach_at(offset).ok()?;
        self.refresh_recording();
        Some(reader)
    }

    /// Whether all replicas get the stream from the backlog.
    pub fn replicas_are_online(&self) -> bool {
        self.replication.replicas.are_settled()
    }

    fn replica_is_online(&mut self, client: ClientId) {
        if let Some(from) = self.replication.replicas.get(client).and_then(|replica| replica.from_log) {
            return self.begin_from_log(client, from);
        }
        self.replication.replicas.set_stage(client, Stage::Online);
        log::info!("Synchronization with replica {} succeeded", self.replica_name(client));
    }

    /// A replica has been sent its snapshot.
    pub fn payload_sent(&mut self, client: ClientId, is_marked: bool) {
        let now = self.steady_now();
        let Some(replica) = self.replication.replicas.get_mut(client) else {
            return self.export_payload_sent(client);
        };
        replica.ack_ms = now;
        let awaits_ack = is_marked && !replica.old_protocol && !replica.acks_early;
        if replica.rdb_only {
            log::info!(
                "RDB transfer completed, rdb only replica ({}) should be disconnected asap",
                self.replica_name(client)
            );
        } else if awaits_ack {
            self.replication.replicas.set_stage(client, Stage::AwaitsAck);
        } else {
            self.replica_is_online(client);
        }
    }

    /// Some of its snapshot was sent to a replica: it is there.
    pub fn payload_moves(&mut self, client: ClientId) {
        let now = self.steady_now();
        match self.replication.replicas.get_mut(client) {
            Some(replica) => replica.ack_ms = now,
            None => self.export_payload_moves(client),
        }
    }

    /// Bytes that are kept for a client, which is sent a snapshot or the stream, because it hasn't been sent them.
    pub fn unsent_of(&self, client: ClientId) -> u64 {
        self.replica_lag(client) + self.export_held(client)
    }

    /// Bytes of the stream that are kept for a client because it hasn't been sent them.
    pub fn replica_lag(&self, client: ClientId) -> u64 {
        let reader = self.replication.replicas.get(client).and_then(|replica| replica.reader);
        let backlog = self.stream.backlog();
        reader.map_or(0, |reader| backlog.end() - backlog.position(reader))
    }

    /// Has the session of a replica show how much of the stream is kept for it.
    pub fn note_replica_lag(&mut self, client: ClientId) {
        let lag = self.replica_lag(client);
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.io.stream_lag = lag;
        }
    }

    /// A client went, which may have been a replica.
    pub(in crate::engine) fn replica_left(&mut self, client: ClientId) {
        let name = self.replica_name(client);
        let Some(replica) = self.replication.replicas.remove(client) else { return };
        if replica.is_attached() && !replica.rdb_only {
            log::info!("Connection with replica {name} lost.");
        }
        if let Some(reader) = replica.reader {
            self.replication.gone_readers.push(reader);
        }
        let is_useless = self.persistence.is_running(Purpose::Replicas)
            && self.replication.replicas.in_stage(Stage::Payload).is_empty();
        if is_useless {
            log::info!(
                "Diskless rdb transfer, last replica dropped, killing fork child (a thread's work: there is no child)"
            );
            self.cancel_snapshot();
        }
        // With save points the file is of use all the same.
        let was_last_to_wait = replica.stage == Stage::AwaitsFile
            && self.replication.replicas.in_stage(Stage::AwaitsFile).is_empty();
        if was_last_to_wait && self.config.save.0.is_empty() {
            log::info!("No replica waits for the snapshot that is being written any more. It is dropped.");
            self.cancel_snapshot_for(Purpose::Background);
        }
        self.wake_soon();
    }

    /// Readers of replicas that have gone leave the stream: outside of calls.
    fn detach_gone_replicas(&mut self) {
        for reader in std::mem::take(&mut self.replication.gone_readers) {
            self.detach_reader(reader);
        }
    }

    /// Begins a snapshot for the replicas that wait for one, unless more are expected.
    fn start_due_replica_snapshot(&mut self) {
        let waiting = self.replication.replicas.in_stage(Stage::AwaitsSnapshot);
        if waiting.is_empty() || self.persistence.loading.is_some() || self.scripting.is_busy() {
            return;
        }
        let (functions, data): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|client| {
            self.replication.replicas.get(*client).is_some_and(|replica| replica.functions_only)
        });
        if !functions.is_empty() {
            self.send_functions(functions);
        }
        if data.is_empty() || self.persistence.run().is_some() {
            return;
        }
        let find_mark =
            |client: &ClientId| self.replication.replicas.get(*client).is_some_and(|it| it.finds_mark);
        let diskless = self.config.repl_diskless_sync && data.iter().all(find_mark);
        if diskless && !self.enough_replicas(&data) {
            return;
        }
        log::info!(
            "Starting BGSAVE for SYNC with target: {} ({} replicas wait for it)",
            if diskless { "replicas sockets" } else { "disk" },
            data.len()
        );
        let stage = if diskless { Stage::Payload } else { Stage::AwaitsFile };
        self.begin_full_sync(&data, stage);
        if diskless {
            self.start_snapshot(Purpose::Replicas);
            self.actions.push_back(ServerAction::SendPayload { clients: data, source: PayloadSource::Walk });
        } else {
            self.start_background_save();
        }
    }

    /// Whether a walk need not wait for more replicas (`repl-diskless-sync-delay`, `repl-diskless-sync-max-replicas`).
    fn enough_replicas(&self, waiting: &[ClientId]) -> bool {
        let most = self.config.repl_diskless_sync_max_replicas as usize;
        let delay = u64::from(self.config.repl_diskless_sync_delay) * 1000;
        let now = self.steady_now();
        let first = waiting
            .iter()
            .filter_map(|client| self.replication.replicas.get(*client))
            .map(|it| it.ack_ms)
            .min();
        most > 0 && waiting.len() >= most || first.is_none_or(|first| now.saturating_sub(first) >= delay)
    }

    /// Tells replicas where in the stream their snapshot is, and keeps for them what follows.
    fn begin_full_sync(&mut self, clients: &[ClientId], stage: Stage) {
        let line =
            format!("+FULLRESYNC {} {}\r\n", self.replication.identity.replid, self.stream.backlog().end());
        for client in clients {
            let old_protocol =
                self.replication.replicas.get(*client).is_none_or(|replica| replica.old_protocol);
            if !old_protocol {
                self.clients.outbox.post(*client, line.as_bytes());
            }
            // Without the stream nothing has to be kept for it.
            let wants_stream =
                self.replication.replicas.get(*client).is_some_and(|replica| !replica.rdb_only);
            let reader = wants_stream.then(|| self.attach_reader(ReaderKind::Replica));
            let now = self.steady_now();
            if let Some(replica) = self.replication.replicas.get_mut(*client) {
                replica.reader = reader;
                // Nothing is executed there before the snapshot is loaded, which its first acknowledgement says.
                replica.ack_offset = 0;
                replica.acks_early = false;
                replica.from_file = stage == Stage::AwaitsFile;
                replica.ack_ms = now;
            }
            self.replication.replicas.set_stage(*client, stage);
        }
    }

    /// A snapshot of the functions alone, for clients that keep them.
    fn send_functions(&mut self, clients: Vec<ClientId>) {
        self.begin_full_sync(&clients, Stage::Payload);
        let mut buffer = RecordBuffer::new(RdbFormat::REDIS, false);
        self.write_head(&mut buffer, Purpose::Replicas);
        let (mut finisher, mut bytes) = (Finisher::new(false, true), Vec::new());
        finisher.finish(buffer.take(), &mut bytes);
        finisher.end(&mut bytes);
        self.actions.push_back(ServerAction::SendPayload { clients, source: PayloadSource::Bytes(bytes) });
    }

    /// The file that replicas wait for was written, or could not be.
    pub(in crate::engine) fn replica_file_written(&mut self, is_ok: bool) {
        let clients = self.replication.replicas.in_stage(Stage::AwaitsFile);
        if clients.is_empty() {
            return;
        }
        if !is_ok {
            log::warn!("SYNC failed. The snapshot for the replicas could not be written");
            clients.into_iter().for_each(|client| self.kill(client));
            return;
        }
        let now = self.steady_now();
        for client in &clients {
            self.replication.replicas.set_stage(*client, Stage::Payload);
            if let Some(replica) = self.replication.replicas.get_mut(*client) {
                // Nothing was to be heard of it while the file was written.
                replica.ack_ms = now;
            }
        }
        self.actions.push_back(ServerAction::SendPayload { clients, source: PayloadSource::File });
    }

    /// The family of formats that all replicas which wait for a snapshot read. Valkey's say their version, and only they lose nothing by its
    /// own format.
    pub(in crate::engine) fn replica_family(&self) -> Family {
        let takes_part = |replica: &Replica| matches!(replica.stage, Stage::Payload | Stage::AwaitsFile);
        let mut waiting =
            self.replication.replicas.attached().filter(|(_, replica)| takes_part(replica)).peekable();
        let all_valkey = waiting.peek().is_some()
            && waiting.all(|(_, replica)| !replica.is_own && replica.version.is_some_and(|major| major >= 9));
        if all_valkey { Family::Valkey } else { Family::Redis }
    }
}
