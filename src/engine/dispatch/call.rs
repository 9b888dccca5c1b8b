//! One call of one command: the handler, its error reply, what it cost, what it propagates.

use std::collections::VecDeque;

use super::propagation::Propagation;
use super::{Frame, NO_KEY};
use crate::base::ids::ClientId;
use crate::engine::acl::Acl;
use crate::engine::clients::describe;
use crate::engine::clients::session::{Role, Session, state};
use crate::engine::command::spec::{Handler, flag};
use crate::engine::command::table::{CommandId, CommandTable};
use crate::engine::metrics::slowlog::CallCost;
use crate::engine::{
    Clients, Done, Engine, ExecStatus, Metrics, Outcome, ServerAction, ServerInfo, Settings,
};
use crate::keyspace::{DbView, ExecEnv};
use crate::resp::{Args, CommandError, OwnedArgs, Reply};
use crate::services::config::Config;
use crate::sys::clock::Ticks;

/// What a data handler is given.
pub struct Call<'a> {
    pub args: Args<'a>,
    pub reply: &'a mut Reply,
    pub db: DbView<'a>,
    pub session: &'a mut Session,
    pub propagation: &'a mut Propagation,
    /// The command's name in lower case, for error texts.
    pub name: &'a str,
}

/// What a client handler is given: the parts of the engine that are not the data.
pub struct ClientCall<'a> {
    pub client: ClientId,
    pub args: Args<'a>,
    pub reply: &'a mut Reply,
    pub clients: &'a mut Clients,
    pub acl: &'a mut Acl,
    pub commands: &'a CommandTable,
    pub config: &'a Config,
    pub settings: &'a Settings,
    pub metrics: &'a mut Metrics,
    pub info: &'a ServerInfo,
    pub actions: &'a mut VecDeque<ServerAction>,
    frame: &'a mut Frame,
}

/// What a control handler is given.
pub struct ControlCall<'a> {
    pub engine: &'a mut Engine,
    pub client: ClientId,
    pub args: Args<'a>,
    pub reply: &'a mut Reply,
}

/// Whether a session works on keys past their deadline: one that replays a log or obeys a primary, one that imports, and
/// any while a test wants it.
#[inline]
fn ignore_expiry(session: &Session, settings: &Settings, shows_expired: bool) -> bool {
    session.role != Role::Normal || session.is(state::IMPORT_SOURCE) && settings.import_mode || shows_expired
}

/// What a call that is suspended with its script needs to be completed.
pub(in crate::engine) struct CallState {
    pub id: CommandId,
    pub request: OwnedArgs,
    pub flags: u64,
    pub started: Ticks,
    pub dirty_before: u64,
    pub reply_before: usize,
}

/// What a call comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Caller {
    /// A request of the client, or a call within one.
    Client,
    /// A change of a key that the client's request waits for: MONITOR has been sent the request before.
    Wakeup,
}

/// The outcome, unless it is the usual one. That owns nothing: to forget it saves the call that would find out.
#[inline(always)]
fn unless_replied(outcome: Outcome) -> Option<Outcome> {
    if matches!(outcome, Ok(Done::Replied)) {
        std::mem::forget(outcome);
        return None;
    }
    Some(outcome)
}

impl Call<'_> {
    /// Unix time of the unit, ms.
    #[inline]
    pub fn now(&self) -> u64 {
        self.db.env.now
    }
}

impl ClientCall<'_> {
    /// Unix time of the unit, ms.
    #[inline]
    pub fn now(&self) -> u64 {
        self.frame.now
    }

    /// Unix time of the unit, microseconds.
    pub fn now_us(&self) -> u64 {
        self.frame.now_us
    }

    /// Hides an argument of the request from MONITOR and the logs of calls. Arguments come in order.
    pub fn redact(&mut self, argument: usize) {
        self.frame.call.redact(argument);
    }

    /// Notes that the client could not log in as this user.
    pub fn note_failed_login(&mut self, username: &[u8]) {
        let session = self.clients.sessions.live(self.client);
        let mut line = String::new();
        describe::describe(self.commands, self.frame.now, session, Some(self.args), &mut line);
        self.acl.note_failed_login(session, line, self.args.at(0), username, self.frame.now, self.settings);
    }

    /// Propagates the request to replicas, although it changes no data.
    pub fn propagate_to_replicas(&mut self) {
        self.frame.propagation.to_replicas();
    }
}

impl Engine {
    /// Calls a command that was admitted, and does what follows from it. `hashed`: see [`Prepared`](crate::engine::Prepared).
    #[inline(never)]
    pub(in crate::engine) fn call_and_propagate(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        hashed: (*const u8, u64),
        reply: &mut Reply,
    ) -> ExecStatus {
        let outcome = self.run(client, id, args, hashed, reply, Caller::Client);
        let status = match unless_replied(outcome) {
            None => ExecStatus::Done,
            Some(other) => self.status_of(client, args, other),
        };
        if self.frame.is_idle() && self.needs_propagation() {
            self.after_command(client, reply);
        }
        status
    }

    /// What the server does next after a call that may be without a reply.
    #[cold]
    fn status_of(&mut self, client: ClientId, args: Args<'_>, outcome: Outcome) -> ExecStatus {
        match outcome {
            Ok(Done::Replied | Done::ReplyTooLarge) | Err(_) => ExecStatus::Done,
            Ok(Done::Suspended) => {
                self.suspend_unit(client);
                ExecStatus::Blocked
            }
            Ok(Done::Blocked(wait)) => self.block(client, *wait, args),
            Ok(Done::Deferred) => {
                self.clients.sessions.live_mut(client).set(state::BLOCKED, true);
                ExecStatus::Blocked
            }
        }
    }

    /// Calls a command within another one (EXEC, scripts): handler, error reply, statistics, propagation.
    pub fn call(&mut self, client: ClientId, id: CommandId, args: Args<'_>, reply: &mut Reply) -> Outcome {
        self.call_as(client, id, args, reply, Caller::Client)
    }

    /// Calls a command in a frame of its own; not inlined, as the usual call is.
    #[inline(never)]
    pub(in crate::engine) fn call_as(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        reply: &mut Reply,
        caller: Caller,
    ) -> Outcome {
        self.run(client, id, args, NO_KEY, reply, caller)
    }

    #[inline(always)]
    fn run(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        hashed: (*const u8, u64),
        reply: &mut Reply,
        caller: Caller,
    ) -> Outcome {
        self.frame.enter(hashed, self.metrics.stats.error_replies);
        let outcome = self.call_in_frame(client, id, args, reply);
        if matches!(outcome, Ok(Done::Suspended)) {
            return outcome;
        }
        if caller == Caller::Client {
            self.show_call(client, id, args);
        }
        self.frame.leave(self.metrics.stats.error_replies);
        outcome
    }

    /// Shows a call that is over to clients in MONITOR.
    #[inline(always)]
    fn show_call(&mut self, client: ClientId, id: CommandId, args: Args<'_>) {
        if !self.clients.monitors.is_empty()
            && self.commands.get(id).flags & (flag::SKIP_MONITOR | flag::ADMIN) == 0
        {
            self.send_to_monitors(client, args);
        }
    }

    /// Ends the frame of a call that was suspended.
    pub(in crate::engine) fn end_call_frame(&mut self, client: ClientId, id: CommandId, args: Args<'_>) {
        self.show_call(client, id, args);
        self.frame.leave(self.metrics.stats.error_replies);
    }

    #[inline(always)]
    fn call_in_frame(
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
        let reply_before = reply.len();

        let outcome = match handler {
            Handler::Data(handler) => self.call_data(handler, client, id, args, reply),
            Handler::Client(handler) => {
                let outcome = handler(&mut self.client_call(client, args, reply));
                self.refresh_changed_recording();
                outcome
            }
            Handler::Control(handler) => {
                self.frame.call.writes = flags & flag::WRITE != 0;
                let is_nested = self.frame.is_nested();
                let session = self.clients.sessions.live_mut(client);
                self.frame.call.ignore_expiry =
                    ignore_expiry(session, &self.settings, self.data.keyspace.shows_expired);
                if !is_nested {
                    session.last_command = Some(id);
                }
                handler(&mut ControlCall { engine: self, client, args, reply })
            }
            Handler::Container => Err(CommandError::SYNTAX),
        };

        if !self.clients.tracking.is_empty() {
            self.track_call(client, id, args);
        }
        let outcome = match unless_replied(outcome) {
            None => Ok(Done::Replied),
            Some(other) => match self.finish_reply(client, other, reply, reply_before) {
                Ok(Done::Blocked(mut wait)) => {
                    self.propagate_call(client, args, flags, dirty_before);
                    self.attempt_ends(client, id, started, &mut wait);
                    return Ok(Done::Blocked(wait));
                }
                Ok(Done::Deferred) => {
                    self.propagate_call(client, args, flags, dirty_before);
                    self.defer_call(client, id, args, started);
                    return Ok(Done::Deferred);
                }
                Ok(Done::Suspended) => {
                    let request = args.to_owned();
                    self.suspend_call(CallState { id, request, flags, started, dirty_before, reply_before });
                    return Ok(Done::Suspended);
                }
                finished => finished,
            },
        };
        self.account_call(client, id, args, (flags, started, dirty_before, reply_before), reply);
        outcome
    }

    /// Completes a call that was suspended.
    pub(in crate::engine) fn complete_call(
        &mut self,
        client: ClientId,
        args: Args<'_>,
        call: &CallState,
        reply: &Reply,
    ) {
        let CallState { id, flags, started, dirty_before, reply_before, .. } = *call;
        self.account_call(client, id, args, (flags, started, dirty_before, reply_before), reply);
    }

    /// A call is over: propagates what it changed, counts and times it.
    #[inline(always)]
    fn account_call(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        (flags, started, dirty_before, reply_before): (u64, Ticks, u64, usize),
        reply: &Reply,
    ) {
        self.propagate_call(client, args, flags, dirty_before);
        let failed = self.metrics.stats.error_replies > self.frame.call.errors_before;
        let written = reply.len().saturating_sub(reply_before) as u64;
        let earlier_nanos = self.count_call(client, id, failed);
        let cost = CallCost { nanos: 0, earlier_nanos, request: args.frame_len() as u64, reply: written };
        let nanos = self.end_timing(id, flags, started, &cost).unwrap_or(0);
        let cost = CallCost { nanos, ..cost };
        if self.is_unusual(&cost) {
            self.note_unusual(client, id, args, cost);
        }
    }

    /// Writes what a handler leaves to its caller: its error, the answer of a wait that may not be, nothing of a reply that
    /// is too large.
    #[cold]
    fn finish_reply(
        &mut self,
        client: ClientId,
        outcome: Outcome,
        reply: &mut Reply,
        reply_before: usize,
    ) -> Outcome {
        match outcome {
            Ok(Done::Blocked(wait)) if self.may_not_wait(client) => {
                wait.on_timeout.write_at_once(reply, |offset| self.copies(offset));
                Ok(Done::Replied)
            }
            Ok(Done::ReplyTooLarge) => {
                reply.truncate(reply_before);
                self.end_slow_reader(client);
                Ok(Done::Replied)
            }
            Err(error) => {
                reply.error(&error);
                self.metrics.stats.error(error.code());
                self.report_queued_error(client, &error);
                Err(error)
            }
            other => other,
        }
    }

    /// Whether a client must be answered at once: in a transaction, or without a connection.
    fn may_not_wait(&self, client: ClientId) -> bool {
        self.clients
            .sessions
            .get(client)
            .is_none_or(|s| s.is(state::IN_EXEC | state::IN_SCRIPT) || s.role != Role::Normal)
    }

    /// Hides an argument of the running request from MONITOR and the logs of calls. Arguments come in order.
    pub fn redact(&mut self, argument: usize) {
        self.frame.call.redact(argument);
    }

    /// The request as MONITOR and the logs may show it, if it is not to be shown as it is.
    #[cold]
    pub(in crate::engine) fn redacted(&self, args: Args<'_>) -> Option<OwnedArgs> {
        if self.frame.call.redacted.is_empty() {
            return None;
        }
        let hidden = b"(redacted)".as_slice();
        let words = args.iter().enumerate();
        Some(OwnedArgs::from_parts(words.map(|(at, word)| {
            if self.frame.call.redacted.binary_search(&at).is_ok() { hidden } else { word }
        })))
    }

    #[inline(always)]
    fn call_data(
        &mut self,
        handler: crate::engine::DataHandler,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        self.frame.data_reads += 1;
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
            removes_expired: self.commands.get(id).flags & flag::WRITE != 0,
            ignore_expiry: ignore_expiry(session, &self.settings, self.data.keyspace.shows_expired),
        };
        let mut call = Call {
            args,
            reply,
            db: self.data.keyspace.view(session.db as usize, &mut self.data.rng, env, self.frame.call.hashed),
            session,
            propagation: &mut self.frame.propagation,
            name: &self.commands.get(id).name,
        };
        handler(&mut call)
    }

    /// The call of a client handler. After it [`Self::refresh_recording`] is due if the client's watches, waits or
    /// subscriptions have changed.
    #[inline]
    pub fn client_call<'a>(
        &'a mut self,
        client: ClientId,
        args: Args<'a>,
        reply: &'a mut Reply,
    ) -> ClientCall<'a> {
        ClientCall {
            client,
            args,
            reply,
            clients: &mut self.clients,
            acl: &mut self.acl,
            commands: &self.commands,
            config: &self.config,
            settings: &self.settings,
            metrics: &mut self.metrics,
            info: &self.info,
            actions: &mut self.actions,
            frame: &mut self.frame,
        }
    }

    /// A database for a control handler.
    pub fn view(&mut self, db: usize) -> DbView<'_> {
        self.frame.data_reads += 1;
        let env = ExecEnv {
            now: self.frame.now,
            clock: self.data.lru_clock,
            limits: &self.settings.limits,
            dump_options: &self.settings.dump_options,
            max_string: self.settings.max_bulk,
            max_reply: self.settings.output_limits[0].hard,
            no_touch: false,
            retain_expired: self.settings.expiry_disabled() || self.clients.pause.is_some(),
            removes_expired: self.frame.call.writes,
            ignore_expiry: self.frame.call.ignore_expiry,
        };
        self.data.keyspace.view(db, &mut self.data.rng, env, self.frame.call.hashed)
    }

    /// The database that a client has selected.
    pub fn view_of(&mut self, client: ClientId) -> DbView<'_> {
        let db = self.clients.sessions.live(client).db as usize;
        self.view(db)
    }

    /// Counts a call; returns what its earlier attempts took if it had to wait, ns.
    #[inline]
    pub(super) fn count_call(&mut self, client: ClientId, id: CommandId, failed: bool) -> u64 {
        let stats = &mut self.metrics.stats.commands[id.0 as usize];
        stats.calls += 1;
        stats.failed += u64::from(failed);
        self.metrics.stats.commands_processed += 1;
        let is_nested = self.frame.is_nested();
        let Some(session) = self.clients.sessions.get_mut(client) else { return 0 };
        // Of a client in EXEC or a script it is that command.
        if !is_nested {
            session.last_command = Some(id);
        }
        session.io.commands += 1;
        session.waiting.as_ref().map_or(0, |waiting| waiting.wait.nanos)
    }

    #[inline]
    pub(super) fn is_unusual(&self, cost: &CallCost) -> bool {
        let settings = &self.settings;
        cost.nanos + cost.earlier_nanos >= settings.notable_nanos
            || cost.request >= settings.large_request
            || cost.reply >= settings.large_reply
    }
}
