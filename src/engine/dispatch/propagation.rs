//! Propagation: what a call adds to the command stream, by which replicas and the append-only file make the same data.
//!
//! A call that changed something adds its request, copied as it came, or what a handler put in its place (SPOP's random
//! members as an SREM). In front of it stand the DELs and HDELs of what expired or was evicted while it ran: the journal
//! says which, and this is the only place where they are made. A session that replays a stream adds nothing. What clients of a replica
//! change is for its log alone: its stream is its primary's, byte for byte.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::command::spec::flag;
use crate::keyspace::AccessMeaning;
use crate::keyspace::event::{self, class};
use crate::resp::Args;
use crate::services::command_stream::{self, Backlog, ReaderId, ReaderKind, Target};
use crate::services::scripting::Targets;

/// Bytes of the buffer that are kept between calls.
const KEPT: usize = 64 * 1024;

/// What a call propagates, if not its request as it is.
#[derive(Debug, Default)]
pub struct Propagation {
    has_consumers: bool,
    /// `lazyfree-lazy-expire`: what expired is removed with UNLINK.
    unlinks_expired: bool,
    /// `lazyexpire-nested-arbitrary-keys no`: what looks at keys that it doesn't name, within a unit, removes none of them.
    pub spares_expired_in_units: bool,
    /// RESP frames: those of outer calls, behind them those of the running call.
    frames: Vec<u8>,
    rewrites: Rewrites,
}

/// The rewrites of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Rewrites {
    /// Where its frames begin.
    start: usize,
    count: u64,
    /// The request itself isn't propagated.
    replaced: bool,
    /// The request is propagated to replicas although it changes no data.
    for_replicas: bool,
    /// The same for logs.
    for_logs: bool,
    /// The database of what is propagated, if not the client's.
    db: Option<u32>,
}

impl Propagation {
    /// Propagates this instead of the request (SPOP as SREM); several calls propagate several requests.
    pub fn rewrite_as<T: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = T, IntoIter: Clone>) {
        if self.has_consumers {
            self.rewrites.replaced = true;
            self.rewrites.count += 1;
            command_stream::encode(&mut self.frames, words.into_iter());
        }
    }

    /// The same, on a key of another database than the client's.
    pub fn rewrite_in<T: AsRef<[u8]>>(
        &mut self,
        db: u32,
        words: impl IntoIterator<Item = T, IntoIter: Clone>,
    ) {
        self.rewrites.db = Some(db);
        self.rewrite_as(words);
    }

    /// Propagates the removal of a key that the command gave a deadline of the past.
    pub fn rewrite_as_expired(&mut self, key: &[u8]) {
        self.rewrite_as([delete_command(self.unlinks_expired), key]);
    }

    /// Whether anything is propagated at all: saves the handler work.
    #[inline]
    pub fn has_consumers(&self) -> bool {
        self.has_consumers
    }

    /// Propagates nothing in the request's place, but what [`Self::rewrite_as`] is given.
    pub fn suppress(&mut self) {
        self.rewrites.replaced = self.has_consumers;
    }

    /// Propagates the request, which changes no data, to replicas (`forceCommandPropagation` with `PROPAGATE_REPL`).
    pub fn to_replicas(&mut self) {
        self.rewrites.for_replicas = self.has_consumers;
    }

    /// Propagates the request, which changes no data, to replicas and logs (`forceCommandPropagation`).
    pub fn to_all(&mut self) {
        self.to_replicas();
        self.rewrites.for_logs = self.has_consumers;
    }

    /// A call within the running one begins.
    pub(in crate::engine) fn enter(&mut self) -> Rewrites {
        let inner = Rewrites { start: self.frames.len(), ..Rewrites::default() };
        std::mem::replace(&mut self.rewrites, inner)
    }

    /// The call within is over.
    pub(in crate::engine) fn leave(&mut self, outer: Rewrites) {
        self.frames.truncate(self.rewrites.start);
        self.rewrites = outer;
    }

    /// The outermost call is over.
    #[inline]
    pub(in crate::engine) fn clear(&mut self) {
        if self.rewrites.replaced || self.rewrites.for_replicas {
            self.rewrites = Rewrites::default();
            self.frames.clear();
            self.frames.shrink_to(KEPT);
        }
    }
}

/// The command that removes a key.
fn delete_command(lazily: bool) -> &'static [u8] {
    if lazily { b"UNLINK" } else { b"DEL" }
}

impl Engine {
    /// What the running call propagates.
    pub fn propagation_mut(&mut self) -> &mut Propagation {
        &mut self.frame.propagation
    }

    /// A reader of the command stream from now on; outside of calls.
    pub fn attach_reader(&mut self, kind: ReaderKind) -> ReaderId {
        debug_assert!(self.frame.is_idle());
        let reader = self.stream.attach(kind);
        self.refresh_recording();
        reader
    }

    /// A reader of the command stream leaves.
    pub fn detach_reader(&mut self, reader: ReaderId) {
        self.stream.detach(reader);
        self.refresh_recording();
    }

    /// Changes whenever a command has changed data, or could tell of it in its reply.
    #[inline]
    pub fn data_mark(&self) -> u64 {
        self.frame.data_reads.wrapping_add(self.stream.backlog().log_end())
    }

    /// The reply of a handler that has more than one database tells of data: a control handler that gets at it otherwise than by
    /// [`Self::view`] says so.
    pub fn note_data_read(&mut self) {
        self.frame.data_reads += 1;
    }

    /// Whether there are writes that the log doesn't hold durably yet, though it promises to (`appendfsync always`).
    #[inline]
    pub fn has_unconfirmed_writes(&self) -> bool {
        self.stream.backlog().log_end() > self.persistence.confirmed
    }

    /// The log's place behind which another file of it can begin; outside of calls.
    pub fn cut_log(&mut self) -> u64 {
        self.stream.cut_log()
    }

    /// Has the log say where in the stream it ends; outside of calls.
    pub fn end_log_history(&mut self) {
        let db = self.stream_db();
        self.stream.end_log_history(db);
    }

    /// The stream goes on at this offset (`master_repl_offset`), as the log says that was loaded. Before there are readers.
    pub fn resume_stream_at(&mut self, offset: u64) {
        self.stream.resume_at(offset);
    }

    /// The command stream as its readers see it.
    pub fn backlog(&self) -> &Backlog {
        self.stream.backlog()
    }

    /// For readers of the command stream: to consume.
    pub fn backlog_mut(&mut self) -> &mut Backlog {
        self.stream.backlog_mut()
    }

    /// Sets what the journal records to what has a consumer: watches, waits, subscriptions, the stream's readers. To be
    /// called whenever one comes or goes. What has been recorded for readers that are gone is forgotten.
    pub fn refresh_recording(&mut self) {
        self.clients.consumers_changed = false;
        let journal = &mut self.data.keyspace.journal;
        let tracks = !self.clients.tracking.is_empty();
        journal.tracks(tracks);
        journal.records_keys = !self.clients.watches.is_empty()
            || self.clients.blocked.key_count() > 0
            || self.migrate.holds_keys()
            || self.settings.policy.access_meaning() == AccessMeaning::LastChange
            || tracks;
        journal.records_removals = self.stream.has_consumers();
        if !journal.records_removals {
            journal.clear_removals();
        }
        let [by_key, by_event] = self.clients.pubsub.receives_events();
        let mut classes = self.settings.notify_classes;
        if !by_key {
            classes &= !class::KEYSPACE;
        }
        if !by_event {
            classes &= !class::KEYEVENT;
        }
        journal.classes = if classes & (class::KEYSPACE | class::KEYEVENT) != 0 { classes } else { 0 };
        self.frame.propagation.has_consumers = self.stream.has_consumers();
        self.frame.propagation.unlinks_expired = self.settings.unlink_expired;
        self.frame.propagation.spares_expired_in_units = !self.config.lazyexpire_nested_arbitrary_keys;
    }

    /// The same, if a watch, a wait or a subscription came or went.
    #[inline]
    pub(in crate::engine) fn refresh_changed_recording(&mut self) {
        if self.clients.consumers_changed {
            self.refresh_recording();
        }
    }

    /// Propagates a call that is over. `dirty` is the journal's count before it.
    #[inline]
    pub(in crate::engine) fn propagate_call(
        &mut self,
        client: ClientId,
        args: Args<'_>,
        flags: u64,
        dirty: u64,
    ) {
        if self.stream.has_consumers() {
            self.propagate_changes(client, args, flags, dirty);
        }
    }

    fn propagate_changes(&mut self, client: ClientId, args: Args<'_>, flags: u64, dirty: u64) {
        let journal = &mut self.data.keyspace.journal;
        let no_removals = journal.removals().is_empty();
        let changed = journal.dirty != dirty && flags & (flag::WRITE | flag::MAY_REPLICATE) != 0;
        let Rewrites { for_replicas, for_logs, .. } = self.frame.propagation.rewrites;
        let target = target(self.frame.targets, changed || for_logs, changed || for_replicas);
        let propagates = target.is_some();
        if !propagates && no_removals {
            return;
        }
        // A client that ended its own session has changed no data.
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        if session.role.replays() {
            return journal.clear_removals();
        }
        let rewrites = self.frame.propagation.rewrites;
        let db = rewrites.db.unwrap_or(session.db);
        if changed && propagates && !(rewrites.replaced && rewrites.count == 0) {
            // Where the unit ends isn't known yet, but what is durable beyond its begin has it as a whole.
            session.write_offset = self.stream.backlog().end() + 1;
        }
        if !no_removals {
            // What a command that looks at any keys (SCAN) ran into has nothing to do with each other.
            let apart = flags & flag::TOUCHES_ARBITRARY_KEYS != 0 && !propagates && !self.frame.is_nested();
            self.push_removals(apart);
            if !propagates {
                return;
            }
        }
        let Some(target) = target else { return };
        let frames = &self.frame.propagation.frames;
        let bytes = if rewrites.replaced { frames.len() - rewrites.start } else { args.frame_len() };
        if rewrites.replaced {
            self.stream.push(target, db, rewrites.count, &frames[rewrites.start..]);
        } else if no_removals && !self.frame.is_nested() {
            // The unit is this request: that is the usual case.
            match args.frame() {
                Some(frame) => self.stream.push_unit(target, db, frame),
                None => self.stream.push_unit(target, db, &encoded(args)),
            }
        } else {
            match args.frame() {
                Some(frame) => self.stream.push(target, db, 1, frame),
                None => self.stream.push(target, db, 1, &encoded(args)),
            }
        }
        if target != Target::LogsAlone && self.is_cluster() {
            self.add_stream_to_slot_stats(args, bytes);
        }
    }

    /// Propagates expiries, evictions and keys that went with their slots outside of calls: each key and field is a unit of its own.
    pub fn propagate_removals(&mut self) {
        if self.frame.is_idle() && !self.data.keyspace.journal.removals().is_empty() {
            self.push_removals(true);
        }
    }

    /// Adds the DELs (UNLINKs, HDELs) of what expired, was evicted or went with its slot: to the running unit, or `apart`, as units.
    #[cold]
    fn push_removals(&mut self, apart: bool) {
        let journal = &mut self.data.keyspace.journal;
        let mut frame = Vec::new();
        for removal in journal.removals() {
            let lazily = match removal.cause {
                event::EVICTED => self.settings.unlink_evicted,
                event::SLOT_LOST => self.settings.dump_options.unlink,
                _ => self.settings.unlink_expired,
            };
            frame.clear();
            match journal.name_of(removal) {
                (key, None) => command_stream::encode(&mut frame, [delete_command(lazily), key].iter()),
                (key, Some(field)) => command_stream::encode(&mut frame, [b"HDEL", key, field].iter()),
            }
            self.stream.push(Target::All, removal.db, 1, &frame);
            if apart {
                self.stream.end_unit();
            }
        }
        journal.clear_removals();
    }
}

/// Which readers get a call, if any do: a script chooses among those of what it calls (`redis.set_repl`).
#[inline]
fn target(chosen: Targets, for_logs: bool, for_replicas: bool) -> Option<Target> {
    let to_log = for_logs && chosen.bits() & Targets::LOG.bits() != 0;
    let to_replicas = for_replicas && chosen.bits() & Targets::REPLICAS.bits() != 0;
    match (to_log, to_replicas) {
        (true, true) => Some(Target::All),
        (true, false) => Some(Target::LogsAlone),
        (false, true) => Some(Target::ReplicasAlone),
        (false, false) => None,
    }
}

/// A request that isn't one piece of RESP. It may be large, so its frame is allocated once.
#[cold]
fn encoded(args: Args<'_>) -> Vec<u8> {
    /// What stands around an argument, bytes.
    const AROUND: usize = 32;
    let mut frame = Vec::with_capacity(args.payload() + AROUND * (args.len() + 1));
    command_stream::encode(&mut frame, args.iter());
    frame
}
