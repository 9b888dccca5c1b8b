//! The replica's side of replication: which primary is followed, and how its link comes about (`syncWithMaster`).
//!
//! ```text
//! REPLICAOF ─▶ waiting ─▶ connecting ─▶ handshake ─┬─ +CONTINUE ─────────────▶ connected: a session of the role `Primary`
//!                 ▲                                └─ +FULLRESYNC ─▶ transfer ─┘
//!                 └───────────── closed, refused, silent for too long, no payload: tried again later
//! ```
//!
//! The transfer is in `transfer.rs`, the session's stream in `stream.rs`. While this server follows a primary, it adds nothing to
//! its command stream: that has the primary's bytes, at the primary's offsets.

use super::link::{OpenUnit, PrimaryLink, Stage, SyncAction, SyncTarget, Transfer};
use crate::base::ids::{ClientId, LinkId};
use crate::engine::clients::session::{Role, Session, state};
use crate::engine::command::spec::flag;
use crate::engine::links::{LinkEvent, LinkOwner};
use crate::engine::{Engine, ServerAction};
use crate::resp::CommandError;
use crate::services::replication::handshake::{Handshake, Introduction, ResumePoint, Step};

/// How often time-outs and acknowledgements are looked at, ms.
const CHECK_MS: u64 = 100;
/// The time between the beginnings of two attempts, ms; after synchronizations that failed up to the second one.
const RETRY_MS: u64 = 1000;
const RETRY_MAX_MS: u64 = 60_000;
/// The least time before the next attempt when a synchronization was cut off, ms.
const RETRY_CUT_MS: u64 = 100;

/// What a client is told that waited for a key when its server became a replica.
const FORCED: CommandError = CommandError::text(
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
);

impl Engine {
    /// REPLICAOF: follows this primary from now on. What was followed before is left where it is.
    pub fn replicate_from(&mut self, host: &str, port: u16) {
        let (resumable, db, down_since_ms) = match self.replication.primary.take() {
            Some(old) => {
                // The data is as old as what the former primary has sent last.
                let down_since_ms = if old.is_up() { self.steady_now() } else { old.down_since_ms };
                let kept = (old.resumable, old.db, down_since_ms);
                self.leave_primary(old);
                kept
            }
            // The primary may be a replica of before, whose stream goes on from this one.
            None => (true, self.stream.selected().unwrap_or(0), 0),
        };
        self.config.replicaof.0 = Some((host.to_owned(), port));
        self.replication.attempts = 0;
        let mut primary = PrimaryLink::new(host.to_owned(), port, resumable, db);
        primary.down_since_ms = down_since_ms;
        self.follow(primary);
    }

    /// The data has nothing to do with the primary's history: it is replaced by all of the primary's.
    pub(in crate::engine) fn forget_history(&mut self) {
        if let Some(primary) = &mut self.replication.primary {
            primary.resumable = false;
        }
        self.note_history();
    }

    /// Follows the primary that the configuration names, at start-up.
    pub fn start_replicating(&mut self) {
        if let Some((host, port)) = self.config.replicaof.0.clone() {
            self.start_following(host, port);
        }
    }

    /// Follows a primary whose data this server is about to load, or hasn't got yet.
    pub(in crate::engine) fn start_following(&mut self, host: String, port: u16) {
        self.follow(PrimaryLink::new(host, port, false, 0));
    }

    fn follow(&mut self, primary: PrimaryLink) {
        self.replication.primary = Some(primary);
        self.stream.set_following(true);
        self.note_history();
        self.refresh_role();
        self.abandon_migrations();
        if !self.is_handing_over() {
            self.end_waits_of_primary();
        }
        self.wake_soon();
    }

    /// Clients that wait for what only a primary's clients do are sent to the primary if they can be, or else away.
    pub(super) fn end_waits_of_primary(&mut self) {
        let Some(primary) = &self.replication.primary else { return };
        let redirection = CommandError::new(format!("REDIRECT {}:{}", primary.host, primary.port));
        let waiting: Vec<ClientId> = self
            .clients
            .sessions
            .iter()
            .filter(|session| session.role == Role::Normal && self.waits_for_primary(session))
            .map(|session| session.client)
            .collect();
        for client in waiting {
            if let Some(error) = self.redirection_of_waiting(client) {
                self.unblock(client, Some(&error));
                continue;
            }
            let session = self.clients.sessions.live(client);
            let awaits_keys = session.waiting.as_ref().is_some_and(|waiting| !waiting.wait.keys.is_empty());
            let is_redirected = session.is(state::CAPA_REDIRECT) && awaits_keys;
            let error = if is_redirected { redirection.clone() } else { FORCED };
            let ended = self.unblock(client, Some(&error));
            if ended && !is_redirected {
                let conn_index = self.clients.sessions.live(client).conn_index;
                self.actions.push_back(ServerAction::Close { client, conn_index, gracefully: true });
            }
        }
    }

    /// Whether a client waits, and not as one that reads at a replica.
    fn waits_for_primary(&self, session: &Session) -> bool {
        let Some(waiting) = &session.waiting else { return false };
        let args = waiting.request.as_args();
        let command = self.commands.resolve(args.at(0), args.get(1)).ok();
        let writes = command.is_none_or(|id| self.commands.get(id).flags & flag::WRITE != 0);
        writes || !session.is(state::READS_REPLICA)
    }

    /// REPLICAOF NO ONE: goes on as a primary with the data there is. False if this server is one already.
    pub fn become_primary(&mut self) -> bool {
        let Some(old) = self.replication.primary.take() else { return false };
        let resumable = old.resumable;
        self.leave_primary(old);
        self.config.replicaof.0 = None;
        let replid = self.data.rng.hex(40);
        if resumable {
            self.replication.identity.shift(replid, self.stream.backlog().end());
        } else {
            self.replication.identity.change(replid);
        }
        self.stream.set_following(false);
        self.stream.cut();
        self.note_history();
        // They learn the new id when they come back, and go on.
        self.end_replicas();
        self.refresh_role();
        self.resume_eviction();
        self.wake_soon();
        self.actions.push_back(ServerAction::Sync(SyncAction::Cease));
        true
    }

    /// Ends whatever there is of a link.
    fn leave_primary(&mut self, primary: PrimaryLink) {
        if let Some(link) = primary.link() {
            self.close_link(link);
        }
        match primary.stage {
            Stage::Connected(client, _) => {
                self.replication.lost_ms = self.steady_now();
                self.kill(client);
            }
            Stage::Transfer(_, transfer) => self.abort_transfer(&transfer),
            Stage::Waiting | Stage::Connecting(_) | Stage::Handshake(..) => {}
        }
    }

    /// Takes over what being a replica, and how far its link is, mean for requests.
    pub(in crate::engine) fn refresh_role(&mut self) {
        let primary = self.replication.primary.as_ref();
        let (is_replica, is_up) = (primary.is_some(), primary.is_some_and(PrimaryLink::is_up));
        let serves_old = primary.and_then(PrimaryLink::transfer).is_some_and(Transfer::serves_old_data);
        self.settings.set_role(&self.config, is_replica, is_up, serves_old);
        self.data.keyspace.journal.own_deadlines.records = is_replica;
    }

    /// A job of each turn: attempts, time-outs, acknowledgements.
    pub(in crate::engine) fn tend_primary(&mut self) {
        let now = self.steady_now();
        let Some(primary) = &mut self.replication.primary else { return };
        if now < primary.next_check_ms {
            return;
        }
        primary.next_check_ms = now + CHECK_MS;
        let silent_ms = now.saturating_sub(primary.last_io_ms);
        let is_late = silent_ms > u64::from(self.config.repl_timeout) * 1000;
        match &primary.stage {
            Stage::Waiting => {
                // What the server has saved is loaded first.
                if now >= primary.next_try_ms && self.persistence.loading.is_none() {
                    self.connect_to_primary();
                }
            }
            Stage::Connecting(_) | Stage::Handshake(..) if is_late => {
                log::warn!("Timeout connecting to the MASTER...");
                self.attempt_failed();
            }
            Stage::Connecting(_) | Stage::Handshake(..) => {}
            Stage::Transfer(..) => self.tend_transfer(is_late),
            &Stage::Connected(client, _) => self.tend_stream(client),
        }
    }

    fn connect_to_primary(&mut self) {
        let now = self.steady_now();
        let Some(primary) = &mut self.replication.primary else { return };
        let (host, port) = (primary.host.clone(), primary.port);
        log::info!("Connecting to MASTER {host}:{port}");
        let link = self.open_link(LinkOwner::Primary, &host, port);
        let Some(primary) = &mut self.replication.primary else { return };
        primary.stage = Stage::Connecting(link);
        (primary.tried_ms, primary.last_io_ms) = (now, now);
        primary.attempts += 1;
        self.replication.attempts += 1;
        log::info!("MASTER <-> REPLICA sync started");
    }

    /// Something happened to the link to the primary.
    pub(in crate::engine) fn primary_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let now = self.steady_now();
        let Some(primary) = self.replication.primary.as_mut().filter(|primary| primary.link() == Some(link))
        else {
            return;
        };
        match event {
            LinkEvent::Connected { .. } => {
                primary.last_io_ms = now;
                log::info!("Non blocking connect for SYNC fired the event.");
                let (handshake, ping) = Handshake::begin(self.introduction());
                if let Some(primary) = &mut self.replication.primary {
                    primary.stage = Stage::Handshake(link, Box::new(handshake));
                }
                self.send_on_link(link, ping);
            }
            LinkEvent::Received(bytes) => {
                primary.last_io_ms = now;
                match primary.stage {
                    Stage::Handshake(..) => self.continue_handshake(link, bytes),
                    Stage::Transfer(..) => self.continue_transfer(link, bytes),
                    Stage::Waiting | Stage::Connecting(_) | Stage::Connected(..) => {}
                }
            }
            LinkEvent::Closed(reason) => match &mut primary.stage {
                Stage::Transfer(_, transfer) => {
                    transfer.is_cut = true;
                    if !transfer.is_complete() {
                        log::warn!("I/O error trying to sync with MASTER: {reason}");
                        if transfer.target.is_some_and(|target| target != SyncTarget::File) {
                            let offset = transfer.received();
                            log::warn!("Internal error in RDB reading offset {offset}: the link was closed");
                        }
                        self.attempt_failed();
                    }
                }
                Stage::Handshake(..) => {
                    log::warn!("Failed to read response from the server: {reason}");
                    self.attempt_failed();
                }
                _ => {
                    log::warn!("Error condition on socket for SYNC: {reason}");
                    self.attempt_failed();
                }
            },
        }
    }

    /// What this server says about itself.
    fn introduction(&self) -> Introduction {
        let config = &self.config;
        let resume = self.replication.primary.as_ref().filter(|primary| primary.resumable).map(|_| {
            let offset = self.stream.backlog().end() + 1;
            ResumePoint { replid: self.replication.identity.replid.clone(), offset }
        });
        let announced = config.replica_announce_port;
        Introduction {
            user: config
                .masteruser
                .as_ref()
                .filter(|user| !user.is_empty())
                .map(|user| user.as_bytes().to_vec()),
            password: config.masterauth.bytes().map(<[u8]>::to_vec),
            listening_port: if announced != 0 { announced } else { self.port_of_links() },
            announce_ip: config.replica_announce_ip.clone().filter(|ip| !ip.is_empty()),
            cluster_node: self.cluster.as_ref().map(|mode| mode.service.topology.myself().id.to_string()),
            resume,
            failover: self.is_handing_over(),
        }
    }

    fn continue_handshake(&mut self, link: LinkId, mut input: &[u8]) {
        let hands_over = self.is_handing_over();
        loop {
            let Some(PrimaryLink { stage: Stage::Handshake(_, handshake), .. }) =
                &mut self.replication.primary
            else {
                return;
            };
            match handshake.receive(&mut input) {
                Step::Wait if input.is_empty() => return,
                Step::Wait => {}
                Step::Note(text) => log::info!("{text}"),
                Step::Send(request) => {
                    if handshake.awaits_psync() {
                        match handshake.resume() {
                            Some(ResumePoint { replid, offset }) => {
                                log::info!("Trying a partial resynchronization (request {replid}:{offset}).");
                            }
                            None => log::info!("Partial resynchronization not possible (no cached master)"),
                        }
                    }
                    self.send_on_link(link, request);
                }
                Step::Continue { replid } => {
                    self.failover_answered(true);
                    return self.resume_stream(link, replid, input);
                }
                Step::FullSync { replid, offset } => {
                    self.failover_answered(true);
                    log::info!("Full resync from master: {replid}:{offset}");
                    self.begin_transfer(link, Some((replid, offset)), input);
                    return;
                }
                Step::Sync(_) if hands_over => return self.failover_answered(false),
                Step::Sync(request) => {
                    log::info!("Retrying with SYNC...");
                    self.send_on_link(link, request);
                    self.begin_transfer(link, None, input);
                    return;
                }
                Step::Retry(text) => {
                    log::warn!("{text}");
                    if hands_over && handshake.awaits_psync() {
                        return self.failover_answered(false);
                    }
                    return self.attempt_failed();
                }
            }
        }
    }

    /// The primary goes on where this server's data ends.
    fn resume_stream(&mut self, link: LinkId, replid: Option<String>, unread: &[u8]) {
        log::info!("Successful partial resynchronization with master.");
        if let Some(replid) = replid {
            log::info!("Master replication ID changed to {replid}");
            self.replication.identity.shift(replid, self.stream.backlog().end());
            self.note_history();
            self.end_replicas();
        }
        self.adopt_primary(link, unread);
        log::info!("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
    }

    /// The link becomes a session, whose requests are the primary's stream.
    pub(super) fn adopt_primary(&mut self, link: LinkId, unread: &[u8]) {
        let Some(client) = self.adopt_link(link, Role::Primary, unread) else { return self.stream_lost() };
        let now = self.steady_now();
        let Some(primary) = &mut self.replication.primary else { return };
        primary.stage = Stage::Connected(client, OpenUnit::default());
        (primary.failures, primary.next_ack_ms, primary.up_since_ms) = (0, now, now);
        // The first acknowledgement is what the primary waits for behind a payload.
        primary.next_check_ms = 0;
        if self.replication.lost_ms > 0 {
            self.replication.total_disconnected_ms += now.saturating_sub(self.replication.lost_ms);
            self.replication.lost_ms = 0;
        }
        let session = self.clients.sessions.live_mut(client);
        session.db = primary.db;
        if self.stream.backlog().retained().is_none() {
            // Replicas of this one, and those of the same primary after a failover, go on from here.
            self.replication.wants_backlog = true;
        }
        self.refresh_role();
    }

    /// The replicas of this server have to ask anew how they go on.
    pub(super) fn end_replicas(&mut self) {
        let attached = self.replication.replicas.attached().map(|(client, _)| client);
        for client in attached.collect::<Vec<_>>() {
            self.kill(client);
        }
    }

    /// The stream has ended: the next attempt goes on from here.
    pub(in crate::engine) fn stream_lost(&mut self) {
        let now = self.steady_now();
        let Some(primary) = &mut self.replication.primary else { return };
        log::warn!("Connection with master lost.");
        if primary.resumable {
            log::info!("Caching the disconnected master state.");
        }
        self.replication.lost_ms = now;
        primary.stage = Stage::Waiting;
        (primary.down_since_ms, primary.attempts) = (now, 0);
        primary.next_try_ms = now.max(primary.tried_ms + RETRY_MS);
        primary.next_check_ms = 0;
        self.refresh_role();
    }

    /// An attempt has come to nothing. What it was given is dropped.
    pub(super) fn attempt_failed(&mut self) {
        let now = self.steady_now();
        let Some(primary) = &mut self.replication.primary else { return };
        let link = primary.link();
        let stage = std::mem::replace(&mut primary.stage, Stage::Waiting);
        primary.next_try_ms = now.max(primary.tried_ms + RETRY_MS);
        if let Stage::Transfer(_, transfer) = &stage {
            // A primary that has to begin anew each time has much to do: the next time comes later and later. If it had begun to
            // send, it is enough that it is spared for as long as this attempt took.
            primary.failures += 1;
            let mut wait = RETRY_MS << primary.failures.min(6).saturating_sub(1);
            if transfer.is_cut && !transfer.is_complete() && transfer.received() > 0 {
                wait = wait.min(RETRY_CUT_MS.max(now.saturating_sub(primary.tried_ms)));
            }
            primary.next_try_ms = now + wait.min(RETRY_MAX_MS);
            self.abort_transfer(transfer);
        }
        if let Some(link) = link {
            self.close_link(link);
        }
        self.refresh_role();
    }
}
