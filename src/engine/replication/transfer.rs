//! A full synchronization as the replica has it: the primary's data comes, goes where it is loaded from, and replaces the old.
//!
//! ```text
//! link ─▶ Payload ─▶ SyncAction: begin, data …, end ─▶ server: file or databases ─▶ sync_loaded │ sync_failed
//! ```

use super::link::{PrimaryLink, Stage, SyncAction, SyncTarget, Transfer, push};
use crate::base::ids::REPLID_LEN;
use crate::base::ids::{ClientId, LinkId};
use crate::engine::{Engine, ServerAction};
use crate::services::config::ReplDisklessLoad;
use crate::services::persist::status::LoadProgress;
use crate::services::replication::payload::{Length, Part};

/// Milliseconds after which the primary is sent an empty line while what it has sent is being loaded.
const NEWLINE_MS: u64 = 1000;

impl Engine {
    pub(super) fn begin_transfer(&mut self, link: LinkId, origin: Option<(String, u64)>, input: &[u8]) {
        if let Some(primary) = &mut self.replication.primary {
            primary.stage = Stage::Transfer(link, Box::new(Transfer::new(origin)));
        }
        self.continue_transfer(link, input);
    }

    /// Takes what the primary has sent.
    pub(super) fn continue_transfer(&mut self, link: LinkId, mut input: &[u8]) {
        loop {
            let Some(PrimaryLink { stage: Stage::Transfer(_, transfer), .. }) = &mut self.replication.primary
            else {
                return;
            };
            match transfer.payload.receive(&mut input) {
                Ok(Part::More) => return,
                Ok(Part::Begin(length)) => self.begin_payload(length),
                Ok(Part::Data(piece)) => {
                    transfer.received += piece.len() as u64;
                    push(&mut self.actions, SyncAction::Data(piece.into_owned()));
                }
                Ok(Part::End) => {
                    transfer.unread = Some(input.to_vec());
                    push(&mut self.actions, SyncAction::End);
                    return self.pause_link(link, true);
                }
                Err(text) => {
                    log::warn!("{text}");
                    return self.attempt_failed();
                }
            }
        }
    }

    fn begin_payload(&mut self, length: Length) {
        let target = self.sync_target();
        let (whither, now) = (if target == SyncTarget::File { "disk" } else { "parser" }, self.steady_now());
        let Some(PrimaryLink { stage: Stage::Transfer(_, transfer), .. }) = &mut self.replication.primary
        else {
            return;
        };
        transfer.target = Some(target);
        match length {
            Length::Bytes(bytes) => {
                transfer.size = Some(bytes);
                log::info!("MASTER <-> REPLICA sync: receiving {bytes} bytes from master to {whither}");
            }
            Length::Marked => {
                log::info!(
                    "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to {whither}"
                );
            }
        }
        let total = transfer.size.unwrap_or(0);
        if target != SyncTarget::File {
            self.cancel_snapshot();
        }
        if target == SyncTarget::Databases {
            log::info!("MASTER <-> REPLICA sync: Flushing old data");
            self.discard_history();
            self.discard_data();
        }
        if matches!(target, SyncTarget::Databases | SyncTarget::Beside { serves_old: false }) {
            self.persistence.start_loading(LoadProgress {
                started: now / 1000,
                total,
                ..LoadProgress::default()
            });
        }
        self.refresh_role();
        push(&mut self.actions, SyncAction::Begin(target));
    }

    /// Where the primary's data is to go (`repl-diskless-load`).
    fn sync_target(&self) -> SyncTarget {
        let origin = self.replication.primary.as_ref().and_then(PrimaryLink::transfer);
        let origin = origin.and_then(|transfer| transfer.origin.as_ref());
        let is_same = origin.is_some_and(|(replid, _)| *replid == self.replication.identity.replid);
        match self.config.repl_diskless_load {
            ReplDisklessLoad::Disabled => SyncTarget::File,
            ReplDisklessLoad::OnEmptyDb if self.data.keyspace.total_keys() > 0 => SyncTarget::File,
            ReplDisklessLoad::OnEmptyDb | ReplDisklessLoad::FlushBeforeLoad => SyncTarget::Databases,
            ReplDisklessLoad::SwapDb => SyncTarget::Beside { serves_old: is_same },
        }
    }

    /// Whether the primary's data is being loaded while reads see the old.
    pub fn is_loading_beside(&self) -> bool {
        let transfer = self.replication.primary.as_ref().and_then(PrimaryLink::transfer);
        transfer.is_some_and(Transfer::serves_old_data)
    }

    /// The data is going to be another one: nothing can go on from what it was.
    pub fn discard_history(&mut self) {
        let replid = self.data.rng.hex(REPLID_LEN);
        self.replication.identity.change(replid);
        self.end_replicas();
        if let Some(primary) = &mut self.replication.primary {
            primary.resumable = false;
        }
        self.note_history();
    }

    /// Empties all databases and drops all functions, with what follows for clients.
    pub fn discard_data(&mut self) {
        self.touch_all_databases();
        for db in 0..self.data.keyspace.count() {
            self.data.keyspace.flush(db, false);
        }
        self.flush_libraries(true);
        self.after_cron();
    }

    /// Clients that watch, wait for or cache keys look again.
    pub fn touch_all_databases(&mut self) {
        for db in 0..self.data.keyspace.count() as u32 {
            self.touch_database(db, None);
            self.wake_database(db, None);
        }
        self.clients.invalidate_all(ClientId::NONE);
    }

    /// Looks after a transfer; `is_late`: nothing has come for longer than `repl-timeout`.
    pub(super) fn tend_transfer(&mut self, is_late: bool) {
        let now = self.steady_now();
        let Some(PrimaryLink { stage: Stage::Transfer(link, transfer), .. }) = &mut self.replication.primary
        else {
            return;
        };
        if !transfer.is_complete() && is_late {
            log::warn!(
                "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' \
                 parameter in redis.conf to a larger value."
            );
            return self.attempt_failed();
        }
        let is_loading = transfer.is_complete()
            || matches!(transfer.target, Some(SyncTarget::Beside { .. } | SyncTarget::Databases));
        if is_loading && !transfer.is_cut && now >= transfer.next_newline_ms {
            transfer.next_newline_ms = now + NEWLINE_MS;
            let link = *link;
            self.send_on_link(link, b"\n".to_vec());
        }
    }

    /// Whether the primary's data has to wait, since what has come isn't loaded yet.
    pub fn hold_transfer(&mut self, waits: bool) {
        if let Some(PrimaryLink { stage: Stage::Transfer(link, _), .. }) = &self.replication.primary {
            let link = *link;
            self.pause_link(link, waits);
        }
    }

    /// Drops what an unfinished transfer has brought.
    pub(super) fn abort_transfer(&mut self, transfer: &Transfer) {
        // What has come in this very turn isn't loaded: it would replace the data of a server that takes over with what it has, or that
        // asks another primary to go on from there.
        self.actions
            .retain(|action| !matches!(action, ServerAction::Sync(SyncAction::Data(_) | SyncAction::End)));
        push(&mut self.actions, SyncAction::Abort);
        match transfer.target {
            Some(SyncTarget::Databases) => {
                self.discard_data();
                self.persistence.end_loading();
            }
            Some(SyncTarget::Beside { serves_old: false }) => self.persistence.end_loading(),
            Some(SyncTarget::File | SyncTarget::Beside { .. }) | None => {}
        }
    }

    /// The primary's data is loaded, and loading has ended. `db`: the database that its stream has selected.
    pub fn sync_loaded(&mut self, db: Option<u32>) {
        let Some(primary) = &mut self.replication.primary else { return };
        let Stage::Transfer(link, transfer) = std::mem::replace(&mut primary.stage, Stage::Waiting) else {
            return;
        };
        let Transfer { origin, unread, is_cut, .. } = *transfer;
        primary.resumable = origin.is_some();
        let is_there = |db: &u32| (*db as usize) < self.data.keyspace.count();
        primary.db = db.filter(is_there).unwrap_or(0);
        if let Some(db) = db.filter(|db| !is_there(db)) {
            log::warn!(
                "The stream of MASTER has selected the database {db}, which isn't here: what follows goes to database 0. \
                 'databases' has to be as large as there"
            );
        }
        let (replid, offset) = origin.unwrap_or_else(|| (self.data.rng.hex(REPLID_LEN), 0));
        self.replication.identity.change(replid);
        self.end_replicas();
        self.stream.restart_at(offset);
        self.note_history();
        log::info!("MASTER <-> REPLICA sync: Finished with success");
        if is_cut {
            return self.stream_lost();
        }
        self.adopt_primary(link, &unread.unwrap_or_default());
    }

    /// The primary's data can't be loaded; `lost`: there is no data now.
    pub fn sync_failed(&mut self, lost: bool) {
        if lost {
            self.discard_history();
            self.discard_data();
        }
        self.attempt_failed();
    }
}
