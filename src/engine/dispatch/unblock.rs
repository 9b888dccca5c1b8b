//! Blocking and unblocking clients: a client begins to wait, its request is admitted and tried again when a key
//! it waits for changes, and its wait ends with a reply, a timeout or an error.

use crate::base::ids::ClientId;
use crate::engine::clients::blocked;
use crate::engine::clients::session::Role;
use crate::engine::clients::state;
use crate::engine::dispatch::admission::{Admission, Origin};
use crate::engine::dispatch::call::Caller;
use crate::engine::{Awaited, Done, Engine, ExecStatus, ServerAction, Wait};
use crate::resp::{Args, CommandError, OwnedArgs, Reply};

impl Engine {
    /// Lets a client wait, or replies at once where waiting is not allowed.
    pub(in crate::engine) fn block(&mut self, client: ClientId, wait: Wait, args: Args<'_>) -> ExecStatus {
        let db = self.clients.sessions.live(client).db;
        match wait.awaited {
            Awaited::Answer => self.clients.answered.push(client),
            Awaited::Vectors => self.await_vectors(client),
            _ => {}
        }
        let waiting = self.clients.blocked.enter(client, db, wait, args.to_owned());
        let session = self.clients.sessions.live_mut(client);
        session.waiting = Some(waiting);
        session.set(state::BLOCKED, true);
        self.refresh_recording();
        ExecStatus::Blocked
    }

    /// Tries the clients that wait for a key, first come first, while the key suits them.
    pub(in crate::engine) fn serve_waiters(&mut self, db: u32, key: &[u8]) {
        let Some(last) = self.clients.blocked.start_serving(db, key) else { return };
        let mut after = 0;
        while let Some(waiter) = self.clients.blocked.next_waiter(db, key, after)
            && waiter.serial <= last
        {
            after = waiter.serial;
            let mut view = self.view(db as usize);
            // A key past its deadline stays where it is: only what a command removes is propagated.
            let found = if view.is_expired(key) { None } else { view.lookup_silent(key) };
            let type_name = found.map(|found| view.type_of(found));
            if type_name.is_none() && !self.clients.blocked.is_gone_awaited(db, key) {
                return;
            }
            let stream = type_name.and_then(|_| self.data.keyspace.database(db as usize).stream(key));
            let session = self.clients.sessions.get(waiter.client);
            if let Some(waiting) = session.and_then(|session| session.waiting.as_ref())
                && (waiting.wait.retry_ms.is_some_and(|retry| retry <= self.frame.now)
                    || waiting.wait.awaited.is_met(waiter.index, type_name, stream))
            {
                let request = waiting.retried().clone();
                if self.retry(waiter.client, &request) == Retried::HeldBack {
                    self.clients.held_keys.insert((db, key.into()));
                }
            }
        }
    }

    /// Admits a waiting client's request as if it were new, and runs it again.
    pub(in crate::engine) fn retry(&mut self, client: ClientId, request: &OwnedArgs) -> Retried {
        let args = request.as_args();
        let Ok(id) = self.commands.resolve(args.at(0), args.get(1)) else { return Retried::Waits };
        let resp3 = self.clients.sessions.live(client).resp3;
        let mut reply = Reply::new(Vec::new(), resp3);
        let mut messages = Vec::new();
        match self.admit(client, id, args, Origin::Woken) {
            Admission::Postpone => return Retried::HeldBack,
            Admission::Reject(error) => {
                self.reject(client, id, &error, &mut reply);
            }
            Admission::Run => {
                let outer = self.clients.outbox.enter_request(client);
                let outcome = self.call_as(client, id, args, &mut reply, Caller::Wakeup);
                messages = self.clients.outbox.leave_request(outer);
                self.stream.end_unit();
                if let Ok(Done::Blocked(wait)) = outcome {
                    let session = self.clients.sessions.live_mut(client);
                    if let Some(waiting) = &mut session.waiting {
                        self.clients.blocked.retry_at(client, waiting, wait.retry_ms);
                    }
                    if !messages.is_empty() {
                        self.clients.outbox.post(client, &messages);
                    }
                    return Retried::Waits;
                }
            }
        }
        self.unblock_with(client, reply.bytes());
        // Pushes are no replies, and come behind them.
        if !messages.is_empty() {
            self.clients.outbox.post(client, &messages);
        }
        Retried::Answered
    }

    /// Ends a client's wait with a reply.
    pub(in crate::engine) fn unblock_with(&mut self, client: ClientId, reply: &[u8]) {
        if self.clients.stop_waiting(client) {
            self.refresh_changed_recording();
            self.reply_late(client, reply);
        }
    }

    /// Sends the reply to a request that has waited, and lets the client go on.
    pub(super) fn reply_late(&mut self, client: ClientId, reply: &[u8]) {
        if self.takes_late_replies(client) {
            self.clients.outbox.post(client, reply);
        }
        self.go_on(client);
    }

    /// Whether a client is sent the reply to a request that has waited.
    pub(in crate::engine) fn takes_late_replies(&self, client: ClientId) -> bool {
        let session = self.clients.sessions.live(client);
        !session.is(state::REPLY_OFF | state::REPLY_SKIP) && session.role == Role::Normal
    }

    /// Lets a client go on whose request has waited and is answered.
    pub(in crate::engine) fn go_on(&mut self, client: ClientId) {
        let session = self.clients.sessions.live_mut(client);
        session.active_ms = self.frame.now;
        session.skip_next();
        self.end_caching(client, None);
        self.actions.push_back(ServerAction::Resume(client));
    }

    /// Ends a client's wait as its timeout would, or with an error (CLIENT UNBLOCK). False if it doesn't wait for something
    /// that may end so.
    pub fn unblock(&mut self, client: ClientId, error: Option<&CommandError>) -> bool {
        let Some(session) = self.clients.sessions.get(client) else { return false };
        // What is being answered goes on: only its connection's end would end it.
        let is_own = |awaited: &Awaited| matches!(awaited, Awaited::Answer | Awaited::Vectors);
        let waiting = session.waiting.as_ref().filter(|it| !is_own(&it.wait.awaited));
        let Some(waiting) = waiting else { return false };
        let mut reply = Reply::new(Vec::new(), session.resp3);
        let args = waiting.request.as_args();
        let command = self.commands.resolve(args.at(0), args.get(1)).ok();
        if let Some(error) = error {
            reply.error(error);
            self.metrics.stats.error(error.code());
        } else {
            waiting.wait.on_timeout.write(&mut reply, |offset| self.copies(offset));
        }
        // The call that began to wait is over only now.
        if let Some(command) = command {
            self.count_wait(client, command, error.is_some(), reply.len() as u64);
        }
        self.unblock_with(client, reply.bytes());
        true
    }

    /// Ends the waits whose time is up.
    pub(in crate::engine) fn end_due_waits(&mut self) {
        while let Some(client) = self.clients.blocked.pop_due(self.frame.now) {
            self.unblock(client, None);
        }
    }

    /// Tries the requests again whose time for that has come.
    pub(in crate::engine) fn retry_due_waits(&mut self) {
        if !self.clients.blocked.has_retry(self.frame.now) {
            return;
        }
        self.start_unit();
        self.frame.is_serving = true;
        while let Some(client) = self.clients.blocked.pop_retry(self.frame.now) {
            let session = self.clients.sessions.get(client);
            let Some(waiting) = session.and_then(|session| session.waiting.as_ref()) else { continue };
            let (request, db) = (waiting.retried().clone(), waiting.db);
            let keys = waiting.wait.keys.clone();
            if self.retry(client, &request) == Retried::HeldBack {
                self.clients.held_keys.extend(keys.into_iter().map(|key| (db, key)));
            }
        }
        self.frame.is_serving = false;
        self.after_cron();
    }

    /// The log is durable up to this offset of the command stream; `None`: there is no log, or it waits for its base.
    pub fn set_durable(&mut self, durable: Option<u64>) {
        self.persistence.durable = durable;
        let Some(durable) = durable else { return };
        while let Some(client) = self.clients.blocked.pop_durable(durable) {
            self.unblock(client, None);
        }
        self.end_replica_waits();
    }

    /// Ends the waits for replicas that are over.
    pub(in crate::engine) fn end_replica_waits(&mut self) {
        if self.clients.blocked.awaits_replicas() {
            for client in self.clients.blocked.served_by_replicas(|offset| self.copies(offset)) {
                self.end_replica_wait(client);
            }
        }
    }

    /// Replicas have what a client waits for: that was all, or its request is executed now.
    fn end_replica_wait(&mut self, client: ClientId) {
        let session = self.clients.sessions.get(client);
        match session.and_then(|session| session.waiting.as_ref()?.wait.resolved.clone()) {
            // One that a pause holds back is tried with the next acknowledgement.
            Some(request) => drop(self.retry(client, &request)),
            None => drop(self.unblock(client, None)),
        }
    }

    /// What has the bytes of the command stream before an offset.
    pub fn copies(&self, offset: u64) -> blocked::Copies {
        let replicas = &self.replication.replicas;
        blocked::Copies {
            log: self.persistence.durable.is_some_and(|durable| durable >= offset),
            replicas: replicas.count_at(offset, false),
            replica_logs: replicas.count_at(offset, true),
        }
    }

    /// The log was switched off: what waits for it gets an error.
    pub fn end_log_waits(&mut self) {
        self.persistence.durable = None;
        while let Some(client) = self.clients.blocked.pop_durable(u64::MAX) {
            self.unblock(client, Some(&blocked::NO_LOG));
        }
    }
}

/// What became of a waiting client's request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Retried {
    Answered,
    /// There is nothing for it yet.
    Waits,
    /// A pause holds it back; it keeps its place.
    HeldBack,
}
