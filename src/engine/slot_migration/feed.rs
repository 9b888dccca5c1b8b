//! What an export is sent: the snapshot of its slots, and what changes in them from then on.

use super::export::Channel;
use crate::base::crc::key_slot;
use crate::base::ids::ClientId;
use crate::base::number;
use crate::engine::command::keys;
use crate::engine::command::spec::flag;
use crate::engine::command::table::CommandTable;
use crate::engine::persistence::Purpose;
use crate::engine::{Engine, PayloadSource, ServerAction};
use crate::resp::{Args, encode_request};
use crate::services::command_stream::ReaderKind;
use crate::services::persist::functions;
use crate::services::slot_migration::{Family, JobId};

/// Why an export can't go on that is sent what changes.
const CROSS_SLOT: &str = "propagating cross slot command";
const FLUSHED: &str = "Data was flushed";
/// A target of Redis has one database.
const OTHER_DATABASE: &str = "keys of a database other than 0";

impl Engine {
    /// Begins the walk of the oldest export that waits for one, if there is no other walk and nothing forbids it.
    pub(super) fn begin_due_export_snapshot(&mut self) {
        let Some(migration) = self.slot_migration() else { return };
        let Some(job) = migration.exports.service.awaits_snapshot(&migration.jobs) else { return };
        if self.persistence.run().is_some()
            || self.persistence.loading.is_some()
            || self.scripting.is_busy()
            || !self.frame.is_idle()
        {
            return;
        }
        let Some(channel) = migration.exports.channels.iter().find(|channel| channel.job == job) else {
            return;
        };
        let (Some(client), slots) = (channel.payload_client(), channel.slots.clone()) else { return };
        let is_redis = migration.jobs.get(job).is_some_and(|job| job.family == Family::Redis);
        if is_redis && self.has_keys_elsewhere(&slots) {
            return self.cancel_export(job, OTHER_DATABASE);
        }
        let reader = self.attach_reader(ReaderKind::Replica);
        self.start_snapshot_of(Purpose::Slots, Some(&slots));
        let source = PayloadSource::Slots { head: self.head_of_slots(is_redis) };
        if is_redis {
            self.clients.outbox.post(client, b"+SLOTSSNAPSHOT\r\n");
        }
        self.actions.push_back(ServerAction::SendPayload { clients: vec![client], source });
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return };
        migration.exports.snapshot = Some(job);
        if let Some(channel) = migration.exports.channels.iter_mut().find(|channel| channel.job == job) {
            channel.reader = Some(reader);
            channel.holds = !is_redis;
        }
        migration.exports.service.snapshot_began(&mut migration.jobs, job, now);
    }

    fn has_keys_elsewhere(&self, slots: &crate::base::slot_set::SlotSet) -> bool {
        let databases = self.data.keyspace.databases().iter().filter(|database| database.index > 0);
        databases.filter(|database| !database.is_empty()).any(|database| {
            let next = |slot| database.next_slot(slot);
            let mut slot = next(0);
            while let Some(found) = slot {
                if slots.contains(found) {
                    return true;
                }
                slot = found.checked_add(1).filter(|slot| *slot < crate::base::crc::SLOTS).and_then(next);
            }
            false
        })
    }

    /// What comes before the keys: a target of Redis is given the functions.
    fn head_of_slots(&self, is_redis: bool) -> Vec<u8> {
        let mut head = Vec::new();
        let libraries = self.scripting.functions().libraries();
        let mut sources = libraries.iter().map(|library| &*library.source).peekable();
        if is_redis && sources.peek().is_some() {
            let dump = functions::dump(sources, false);
            encode_request(&mut head, [&b"FUNCTION"[..], b"RESTORE", &dump, b"REPLACE"].iter());
        }
        head
    }

    /// Ends the walk of an export that is over.
    pub(super) fn drop_export_snapshot(&mut self, job: JobId) {
        let Some(migration) = self.slot_migration_mut() else { return };
        if migration.exports.snapshot.take_if(|of| *of == job).is_some() {
            self.cancel_snapshot_for(Purpose::Slots);
        }
    }

    /// The walk of an export's slots has ended, or couldn't be made or sent.
    pub fn export_snapshot_made(&mut self, is_ok: bool) {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return };
        if let Some(job) = migration.exports.snapshot.take().filter(|_| !is_ok) {
            migration.exports.service.snapshot_failed(&mut migration.jobs, job, now);
            self.carry_out_exports();
        }
    }

    /// Clients that are sent the snapshots of exports.
    pub fn export_payload_clients(&self) -> impl Iterator<Item = ClientId> {
        let channels = self.slot_migration().map(|migration| &migration.exports.channels[..]);
        channels
            .unwrap_or_default()
            .iter()
            .filter(|channel| channel.reader.is_some())
            .filter_map(Channel::payload_client)
    }

    /// Bytes that wait here until a client has its snapshot.
    pub fn export_held(&self, client: ClientId) -> u64 {
        let channels = self.slot_migration().map(|migration| &migration.exports.channels[..]);
        let of = channels.unwrap_or_default().iter().find(|channel| channel.payload_client() == Some(client));
        of.map_or(0, |channel| channel.held.len() as u64)
    }

    /// A client has been sent all of its snapshot.
    pub fn export_payload_sent(&mut self, client: ClientId) {
        let now = self.steady_now();
        let Some(migration) = self.slot_migration_mut() else { return };
        let exports = &mut migration.exports;
        let Some(channel) =
            exports.channels.iter_mut().find(|channel| channel.payload_client() == Some(client))
        else {
            return;
        };
        channel.holds = false;
        let (held, job, to) = (std::mem::take(&mut channel.held), channel.job, channel.client);
        exports.service.snapshot_sent(&mut migration.jobs, job, now);
        if let Some(to) = to.filter(|_| !held.is_empty()) {
            self.clients.outbox.post_whole(to, held);
        }
        self.carry_out_exports();
    }

    /// Hands on what the stream has got since the last time.
    pub(super) fn feed_exports(&mut self) {
        let Some(mode) = &mut self.cluster else { return };
        let exports = &mut mode.migration.exports;
        let mut broken = Vec::new();
        for channel in &mut exports.channels {
            let Some(reader) = channel.reader else { continue };
            let is_redis = channel.is_redis;
            let mut out = Vec::new();
            while let Ok(piece) = self.stream.backlog().read(reader)
                && !piece.is_empty()
            {
                let (slots, commands) = (&channel.slots, &self.commands);
                let mut error = None;
                let passed = channel.filter.pass(piece, &mut out, |db, args| match slot_of(commands, args) {
                    Found::None => false,
                    Found::One(slot) | Found::Flushed(slot) if !slots.contains(slot) => false,
                    Found::Flushed(_) => {
                        error = Some(FLUSHED);
                        false
                    }
                    Found::One(_) if is_redis && db != 0 => {
                        error = Some(OTHER_DATABASE);
                        false
                    }
                    Found::One(_) => true,
                    Found::Several(first, second) => {
                        if slots.contains(first) || slots.contains(second) {
                            error = Some(CROSS_SLOT);
                        }
                        false
                    }
                });
                if passed.is_err() {
                    error = Some("the command stream can't be read");
                }
                if let Some(error) = error {
                    broken.push((channel.job, error));
                    break;
                }
                let read = piece.len();
                self.stream.backlog_mut().consume(reader, read);
            }
            if out.is_empty() {
                continue;
            }
            exports.service.add_sent(channel.job, out.len() as u64);
            self.metrics.stats.slot_export_bytes += out.len() as u64;
            match channel.client {
                Some(_) if channel.holds => channel.held.append(&mut out),
                Some(client) => self.clients.outbox.post_whole(client, out),
                None => {}
            }
        }
        for (job, reason) in broken {
            self.cancel_export(job, reason);
        }
    }

    fn cancel_export(&mut self, job: JobId, reason: &str) {
        let now = self.steady_now();
        if let Some(migration) = self.slot_migration_mut() {
            let (service, jobs) = (&mut migration.exports.service, &mut migration.jobs);
            match jobs.get(job).map(|job| job.family) {
                Some(Family::Redis) => service.cancel(jobs, job, reason, now),
                _ => service.fail(jobs, job, reason.into(), now),
            }
        }
        self.carry_out_exports();
    }
}

/// The slots of a request's keys.
enum Found {
    None,
    One(u16),
    /// All keys of a slot have gone, without their names.
    Flushed(u16),
    Several(u16, u16),
}

fn slot_of(commands: &CommandTable, args: Args<'_>) -> Found {
    let Ok(id) = commands.resolve(args.at(0), args.get(1)) else { return Found::None };
    let command = commands.get(id);
    if &*command.name == "cluster|flushslot" {
        let slot = args.get(2).and_then(number::parse_i64).and_then(|slot| u16::try_from(slot).ok());
        return slot.map_or(Found::None, Found::Flushed);
    }
    if command.flags & flag::PUBSUB != 0 {
        return Found::None;
    }
    if let Some(key) = keys::find_only(command.spec, args) {
        return Found::One(key_slot(args.at(key.index)));
    }
    let mut found = Vec::new();
    keys::find(command.spec, args, &mut found);
    let mut slots = found.iter().map(|key| key_slot(args.at(key.index)));
    let Some(first) = slots.next() else { return Found::None };
    match slots.find(|slot| *slot != first) {
        Some(second) => Found::Several(first, second),
        None => Found::One(first),
    }
}
