//! One call of one command: the handler, what it cost, and what others must repeat.

use crate::base::ids::ClientId;
use crate::engine::clients::session::{Role, Session, state};
use crate::engine::command::spec::{Handler, flag};
use crate::engine::command::table::CommandId;
use crate::engine::metrics::slowlog::CallCost;
use crate::engine::{Done, Engine, ExecStatus, Outcome, Settings};
use crate::keyspace::{DbView, ExecEnv, event};
use crate::resp::{Args, CommandError, OwnedArgs, Reply};

/// What a data handler is given.
pub struct Call<'a> {
    pub args: Args<'a>,
    pub reply: &'a mut Reply,
    pub db: DbView<'a>,
    pub session: &'a mut Session,
    pub effects: &'a mut Effects,
    /// The command's name in lower case, for error texts.
    pub name: &'a str,
}

/// What is fed in a request's place, where repeating the request would not have the same effect.
#[derive(Debug, Default)]
pub struct Effects {
    /// Somebody is fed at all; if not, nothing is kept.
    wanted: bool,
    instead: Vec<OwnedArgs>,
    replaced: bool,
}

impl Effects {
    /// Feeds this instead of the request (SPOP as SREM); several calls feed several requests.
    pub fn instead<T: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = T, IntoIter: Clone>) {
        if self.wanted {
            self.replaced = true;
            self.instead.push(OwnedArgs::from_parts(words));
        }
    }

    /// Whether anybody is fed: saves the caller work.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Feeds nothing.
    pub fn nothing(&mut self) {
        self.replaced = self.wanted;
    }
}

/// Whether a session works on keys past their deadline: one that replays a log or obeys a primary, and
/// one that imports.
#[inline]
fn ignore_expiry(session: &Session, settings: &Settings) -> bool {
    session.role != Role::Normal || session.is(state::IMPORT_SOURCE) && settings.import_mode
}

impl Call<'_> {
    /// Unix time of the unit, ms.
    #[inline]
    pub fn now(&self) -> u64 {
        self.db.env.now
    }
}

impl Engine {
    /// Calls a command that passed the gate, and settles if it is the outermost.
    #[inline]
    pub(in crate::engine) fn call_and_propagate(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> ExecStatus {
        let outcome = self.call(client, id, args, reply);
        let progress = match outcome {
            Ok(Done::Replied | Done::TooMuch) => ExecStatus::Done,
            Ok(Done::Blocked(wait)) => self.block(client, *wait, args),
            Ok(Done::Deferred) => {
                self.clients.sessions.live_mut(client).set(state::BLOCKED, true);
                ExecStatus::Blocked
            }
            Err(_) => ExecStatus::Done,
        };
        if self.frame.depth == 0 && self.needs_propagation() {
            self.after_command(client, reply);
        }
        progress
    }

    /// Calls a command: handler, error reply, statistics, feed. Nothing is settled.
    #[inline]
    pub fn call(&mut self, client: ClientId, id: CommandId, args: Args<'_>, reply: &mut Reply) -> Outcome {
        let outcome = self.call_unmonitored(client, id, args, reply);
        if !self.clients.monitors.is_empty()
            && self.commands.get(id).flags & (flag::SKIP_MONITOR | flag::ADMIN) == 0
        {
            self.send_to_monitors(client, args);
        }
        self.frame.redacted.clear();
        outcome
    }

    /// As [`Self::call`], for a request that had to wait: MONITOR has seen it.
    #[inline]
    pub(in crate::engine) fn call_unmonitored(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let command = self.commands.get(id);
        let handler = command.spec.handler;
        let flags = command.flags;
        let started = self.begin_timing(id);
        let dirty_before = self.data.keyspace.journal.dirty;
        let changes_before = self.data.keyspace.journal.changes().len();
        self.frame.errors_counted = self.metrics.stats.error_replies;
        let reply_before = reply.len();

        self.frame.effects.wanted = self.stream.feed.is_wanted();
        self.frame.depth += 1;
        let outcome = match handler {
            Handler::Data(handler) => self.call_data(handler, client, id, args, reply),
            Handler::Control(handler) => {
                self.frame.ignore_expiry = ignore_expiry(self.clients.sessions.live(client), &self.settings);
                let outcome = handler(self, client, args, reply);
                self.frame.ignore_expiry = false;
                outcome
            }
            Handler::Container => Err(CommandError::SYNTAX),
        };
        self.frame.depth -= 1;

        let outcome = match outcome {
            Ok(Done::Blocked(wait)) if self.may_not_wait(client) => {
                wait.on_timeout.write_at_once(reply);
                Ok(Done::Replied)
            }
            Ok(Done::TooMuch) => {
                reply.truncate(reply_before);
                self.end_slow_reader(client);
                Ok(Done::Replied)
            }
            other => other,
        };
        if let Err(error) = &outcome {
            reply.error(error);
            self.metrics.stats.error(error.code());
        }
        if self.stream.feed.is_wanted() {
            self.feed_call(client, args, flags, dirty_before, changes_before);
        }
        // A call within this one has counted its own errors.
        let failed = self.metrics.stats.error_replies > self.frame.errors_counted;
        self.frame.errors_counted = self.metrics.stats.error_replies;
        if !matches!(outcome, Ok(Done::Blocked(_))) {
            let written = reply.len().saturating_sub(reply_before) as u64;
            let cost = CallCost { nanos: 0, request: args.frame_len() as u64, reply: written };
            self.count_call(client, id, failed);
            let nanos = self.end_timing(id, flags, started, &cost).unwrap_or(0);
            if self.is_unusual(nanos, &cost) {
                self.note_unusual(client, id, args, CallCost { nanos, ..cost });
            }
        } else if let Some(session) = self.clients.sessions.get_mut(client) {
            session.last_command = Some(id);
            self.metrics.batch_start = self.clock.ticks();
        }
        outcome
    }

    /// Whether a client must be answered at once: in a transaction, or without a connection.
    fn may_not_wait(&self, client: ClientId) -> bool {
        self.clients.sessions.get(client).is_none_or(|s| s.is(state::IN_EXEC) || s.role != Role::Normal)
    }

    /// Hides an argument of the running request from MONITOR and the logs of calls. Arguments come in order.
    pub fn redact(&mut self, argument: usize) {
        debug_assert!(self.frame.redacted.last().is_none_or(|last| *last < argument));
        self.frame.redacted.push(argument);
    }

    /// The request as MONITOR and the logs may show it, if it is not to be shown as it is.
    #[cold]
    pub(in crate::engine) fn redacted(&self, args: Args<'_>) -> Option<OwnedArgs> {
        if self.frame.redacted.is_empty() {
            return None;
        }
        let hidden = b"(redacted)".as_slice();
        let words = args.iter().enumerate();
        Some(OwnedArgs::from_parts(
            words
                .map(|(at, word)| if self.frame.redacted.binary_search(&at).is_ok() { hidden } else { word }),
        ))
    }

    #[inline]
    fn call_data(
        &mut self,
        handler: crate::engine::DataHandler,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let session = self.clients.sessions.live_mut(client);
        let env = ExecEnv {
            now: self.frame.now,
            clock: self.data.lru_clock,
            limits: &self.settings.limits,
            dump_options: &self.settings.dump_options,
            max_string: self.settings.max_bulk,
            max_reply: self.settings.output_limits[0].hard,
            no_touch: session.is(state::NO_TOUCH),
            retain_expired: self.settings.expiry_disabled() || self.clients.pause.is_some(),
            ignore_expiry: ignore_expiry(session, &self.settings),
        };
        let mut call = Call {
            args,
            reply,
            db: self.data.keyspace.view(session.db as usize, &mut self.data.rng, env, self.frame.hashed),
            session,
            effects: &mut self.frame.effects,
            name: &self.commands.get(id).name,
        };
        handler(&mut call)
    }

    /// A database for a control handler.
    pub fn view(&mut self, db: usize) -> DbView<'_> {
        let env = ExecEnv {
            now: self.frame.now,
            clock: self.data.lru_clock,
            limits: &self.settings.limits,
            dump_options: &self.settings.dump_options,
            max_string: self.settings.max_bulk,
            max_reply: self.settings.output_limits[0].hard,
            no_touch: false,
            retain_expired: self.settings.expiry_disabled() || self.clients.pause.is_some(),
            ignore_expiry: self.frame.ignore_expiry,
        };
        self.data.keyspace.view(db, &mut self.data.rng, env, self.frame.hashed)
    }

    /// The database that a client has selected.
    pub fn view_of(&mut self, client: ClientId) -> DbView<'_> {
        let db = self.clients.sessions.live(client).db as usize;
        self.view(db)
    }

    #[inline]
    fn count_call(&mut self, client: ClientId, id: CommandId, failed: bool) {
        let stats = &mut self.metrics.stats.commands[id.0 as usize];
        stats.calls += 1;
        stats.failed += u64::from(failed);
        self.metrics.stats.commands_processed += 1;
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.last_command = Some(id);
            session.io.commands += 1;
        }
    }

    #[inline]
    fn is_unusual(&self, nanos: u64, cost: &CallCost) -> bool {
        let settings = &self.settings;
        nanos >= settings.notable_nanos
            || cost.request >= settings.large_request
            || cost.reply >= settings.large_reply
    }

    /// Feeds what this call changed: keys that vanished on its way, then the request or what stands
    /// for it.
    #[cold]
    fn feed_call(
        &mut self,
        client: ClientId,
        args: Args<'_>,
        flags: u64,
        dirty_before: u64,
        changes_before: usize,
    ) {
        let journal = &self.data.keyspace.journal;
        let mut own = journal.dirty - dirty_before;
        for change in &journal.changes()[changes_before..] {
            if matches!(change.event, event::EXPIRED | event::EVICTED) {
                own = own.saturating_sub(1);
                let del = OwnedArgs::from_parts([b"DEL".as_slice(), journal.key(change)]);
                self.stream.unit_feed.push((change.db, del));
            }
        }
        self.stream.unit_feed.extend(self.data.keyspace.journal.take_field_removals());
        let instead = std::mem::take(&mut self.frame.effects.instead);
        let replaced = std::mem::take(&mut self.frame.effects.replaced);
        let db = self.clients.sessions.get(client).map_or(0, |session| session.db);
        if own > 0 && flags & (flag::WRITE | flag::MAY_REPLICATE) != 0 {
            if replaced {
                self.stream.unit_feed.extend(instead.into_iter().map(|args| (db, args)));
            } else {
                self.stream.unit_feed.push((db, args.to_owned()));
            }
        }
    }
}
