//! Quotas in the engine: requests are counted for their users and databases, and are refused or wait beyond the limits.
//!
//! A session without a quota never comes here (its bit `QUOTA` isn't set). What is not counted: requests that end a transaction
//! (those in it were counted as they came), calls within scripts, what logs in or ends a connection, and everything that comes
//! from a primary, a replica or the log.

mod storage;

use crate::base::ids::ClientId;
use crate::engine::clients::session::state;
use crate::engine::command::spec::flag;
use crate::engine::command::table::CommandId;
use crate::engine::dispatch::admission::Admission;
use crate::engine::{Engine, ServerAction};
use crate::resp::{Args, CommandError};
use crate::services::config::{QuotaLine, QuotaOver, QuotaSubject};
use crate::services::quota::{Limits, Over, QuotaIndex, Subject, Verdict};

/// Bytes of a user's name that an error shows.
const SHOWN_NAME: usize = 64;

/// A directive's quota as the service knows it.
fn limits_of(line: &QuotaLine) -> (Subject, Limits) {
    let subject = match &line.subject {
        QuotaSubject::User(name) => Subject::User(name.clone()),
        QuotaSubject::Database(number) => Subject::Database(*number),
    };
    let over = match line.over {
        QuotaOver::Error => Over::Refuse,
        QuotaOver::Delay => Over::Delay,
    };
    let QuotaLine { memory, keys, requests, bytes, .. } = *line;
    (subject, Limits { memory, keys, requests, bytes, over })
}

impl Engine {
    /// Takes over the quotas of the configuration, if they are others.
    pub(in crate::engine) fn refresh_quotas(&mut self) {
        let lines = &self.config.quota.0;
        let current = self.clients.quotas.quotas.iter().map(|quota| (quota.subject.clone(), quota.limits));
        if lines.iter().map(limits_of).eq(current) {
            return;
        }
        self.clients.quotas.replace(lines.iter().map(limits_of), self.frame.now_us);
        self.refresh_counted_collections();
        let quotas = &self.clients.quotas;
        self.clients.sessions.iter_mut().for_each(|session| quotas.bind(session));
        // What waits was counted by other limits: it goes on.
        for client in quotas.delayed().collect::<Vec<_>>() {
            self.resume(client);
        }
    }

    /// Whether a request is within the quotas of a session that is usual otherwise: then it is counted. `flags`: its command's.
    #[inline]
    pub(in crate::engine) fn is_within_quotas(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        flags: u64,
    ) -> bool {
        if self.clients.quotas.limits_storage && !self.may_be_stored(client, id, args, flags) {
            return false;
        }
        if flags & flag::NO_AUTH != 0 {
            return true;
        }
        let (session, quotas) = (self.clients.sessions.live_mut(client), &mut self.clients.quotas);
        quotas.pass(session, args.frame_len() as u64, self.frame.now_us)
    }

    /// Whether a request is within the quotas of what is stored.
    #[inline(never)]
    fn may_be_stored(&mut self, client: ClientId, id: CommandId, args: Args<'_>, flags: u64) -> bool {
        self.has_storage_room(client, id, args, flags)
            || self.storage_refusal(client, id, args, flags).is_none()
    }

    /// Counts a request that may run otherwise for the quotas of its client.
    #[cold]
    pub(in crate::engine) fn count_for_quotas(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
    ) -> Admission {
        let now_us = self.frame.now_us;
        let flags = self.commands.get(id).flags;
        let (session, quotas) = (self.clients.sessions.live_mut(client), &mut self.clients.quotas);
        if let Some(due_us) = session.quota.as_ref().and_then(|account| account.due_us) {
            // It was counted when it came.
            if due_us > now_us {
                return Admission::Postpone;
            }
            quotas.stop_delay(session);
            return Admission::Run;
        }
        let ends_transaction = session.is(state::IN_MULTI) && flags & flag::UNQUEUED != 0;
        if ends_transaction || flags & flag::NO_AUTH != 0 || session.is(state::REPLICA) {
            return Admission::Run;
        }
        quotas.count_output(session, now_us);
        let subjects = quotas.subjects(session);
        match quotas.quotas.admit(subjects, args.frame_len() as u64, now_us) {
            Verdict::Pass => Admission::Run,
            Verdict::Refuse { quota, of_requests, wait_us } => {
                Admission::Reject(self.rate_error(quota, of_requests, wait_us))
            }
            Verdict::Wait { wait_us } => {
                quotas.delay(session, now_us, wait_us);
                Admission::Postpone
            }
        }
    }

    /// Refuses a request that may not add to what is stored.
    pub(in crate::engine) fn refuse_storage(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        flags: u64,
    ) -> Option<CommandError> {
        let (quota, error) = self.storage_refusal(client, id, args, flags)?;
        self.clients.quotas.quotas.count_refusal(quota);
        Some(error)
    }

    fn rate_error(&self, quota: QuotaIndex, of_requests: bool, wait_us: u64) -> CommandError {
        let quota = self.clients.quotas.quotas.get(quota);
        let (limit, unit) =
            if of_requests { (quota.limits.requests, "requests") } else { (quota.limits.bytes, "bytes") };
        let what = format!(
            " is over its limit of {limit} {unit} a second, try again in {} ms",
            wait_us.div_ceil(1000)
        );
        quota_error(&quota.subject, &what)
    }

    /// Lets clients go on whose turn has come.
    #[inline]
    pub(in crate::engine) fn resume_delayed(&mut self) {
        while let Some(client) = self.clients.quotas.pop_due(self.frame.now_us) {
            self.resume(client);
        }
    }

    /// Lets the request of a client that waited be tried again; it was counted.
    fn resume(&mut self, client: ClientId) {
        let Some(session) = self.clients.sessions.get_mut(client) else { return };
        self.clients.quotas.stop_delay(session);
        if !session.is(state::POSTPONED) {
            return;
        }
        if let Some(account) = &mut session.quota {
            account.due_us = Some(0);
        }
        self.actions.push_back(ServerAction::Resume(client));
    }

    /// Counts what clients have been sent that ask for nothing.
    pub(in crate::engine) fn count_outputs(&mut self) {
        let quotas = &mut self.clients.quotas;
        if !quotas.is_empty() {
            let counted = self.clients.sessions.iter_mut().filter(|session| session.is(state::QUOTA));
            counted.for_each(|session| quotas.count_output(session, self.frame.now_us));
        }
    }
}

/// The error of a request beyond a quota.
fn quota_error(subject: &Subject, what: &str) -> CommandError {
    let text = match subject {
        Subject::User(name) => {
            [b"QUOTA user '", CommandError::quotable(name, SHOWN_NAME), b"'", what.as_bytes()].concat()
        }
        Subject::Database(number) => format!("QUOTA database {number}{what}").into_bytes(),
    };
    CommandError::new(text)
}
