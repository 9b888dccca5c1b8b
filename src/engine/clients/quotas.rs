//! Quotas of clients: which quotas the requests of a session count for, and the clients whose requests wait for their turn.
//!
//! Only a session for which there is one has the bit `QUOTA`: with a quota of its user, or, while some database has one, any
//! session of a client, as it may select that database.

use std::collections::BTreeSet;

use crate::base::ids::ClientId;
use crate::engine::clients::session::{Role, Session, state};
use crate::services::acl;
use crate::services::quota::{Account, Limits, QuotaIndex, Quotas, Subject, Subjects};

/// The clock is taken to be set back if it goes back by so much, microseconds.
const SET_BACK_US: u64 = 1_000_000;

/// The quotas, and the clients that wait for their turn.
#[derive(Default)]
pub struct ClientQuotas {
    pub quotas: Quotas,
    /// By their numbers; none behind the last that has a quota.
    of_databases: Vec<Option<QuotaIndex>>,
    /// A quota limits what is stored.
    pub(in crate::engine) limits_storage: bool,
    /// When the requests of clients have their turns, Unix microseconds.
    delayed: BTreeSet<(u64, ClientId)>,
    /// The last time that was looked at.
    last_us: u64,
}

impl ClientQuotas {
    /// Takes over other limits. Every session is to be given its quotas again.
    pub(in crate::engine) fn replace(
        &mut self,
        limits: impl Iterator<Item = (Subject, Limits)>,
        now_us: u64,
    ) {
        self.quotas.replace(limits, now_us);
        self.limits_storage = self.quotas.limits_storage();
        let mut of_databases = Vec::new();
        for (number, quota) in self.quotas.iter().enumerate() {
            if let Subject::Database(db) = quota.subject {
                of_databases.resize(of_databases.len().max(db as usize + 1), None);
                of_databases[db as usize] = Some(number as QuotaIndex);
            }
        }
        self.of_databases = of_databases;
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.quotas.is_empty()
    }

    /// The quota of a database.
    #[inline]
    pub(in crate::engine) fn of_database(&self, db: u32) -> Option<QuotaIndex> {
        self.of_databases.get(db as usize).copied().flatten()
    }

    /// Gives a session whose user is settled its quotas.
    pub(in crate::engine) fn bind(&self, session: &mut Session) {
        if self.quotas.is_empty() && session.quota.is_none() {
            return;
        }
        let name: &[u8] = session.user.as_ref().map_or(acl::DEFAULT, |user| &user.name);
        let user = self.quotas.find(&Subject::User(name.to_vec()));
        let counts = session.role == Role::Normal && (user.is_some() || !self.of_databases.is_empty());
        session.set(state::QUOTA, counts);
        match &mut session.quota {
            Some(account) => account.user = user,
            None if counts => {
                let counted_output = session.io.bytes_out;
                session.quota = Some(Box::new(Account { user, counted_output, due_us: None }));
            }
            None => {}
        }
    }

    /// The quotas that a request of a session counts for.
    #[inline]
    pub(in crate::engine) fn subjects(&self, session: &Session) -> Subjects {
        let user = session.quota.as_ref().and_then(|account| account.user);
        [user, self.of_database(session.db)]
    }

    /// Counts a request of this many bytes, if it is certainly within the limits.
    #[inline(never)]
    pub(in crate::engine) fn pass(&mut self, session: &mut Session, bytes: u64, now_us: u64) -> bool {
        let Some(account) = &session.quota else { return true };
        let subjects = [account.user, self.of_database(session.db)];
        // As for most requests of a pipeline.
        (account.counted_output == session.io.bytes_out && self.quotas.pass_along(subjects, bytes, now_us))
            || self.pass_otherwise(session, bytes, now_us)
    }

    #[cold]
    #[inline(never)]
    fn pass_otherwise(&mut self, session: &mut Session, bytes: u64, now_us: u64) -> bool {
        self.count_output(session, now_us);
        self.quotas.pass(self.subjects(session), bytes, now_us)
    }

    /// Counts what a client has been sent since this was last done.
    pub(in crate::engine) fn count_output(&mut self, session: &mut Session, now_us: u64) {
        let subjects = self.subjects(session);
        let Some(account) = &mut session.quota else { return };
        let sent = session.io.bytes_out.saturating_sub(account.counted_output);
        if sent > 0 {
            account.counted_output = session.io.bytes_out;
            self.quotas.count_output(subjects, sent, now_us);
        }
    }

    /// Lets a client's request wait.
    pub(in crate::engine) fn delay(&mut self, session: &mut Session, now_us: u64, wait_us: u64) {
        if let Some(account) = &mut session.quota {
            let due_us = now_us + wait_us;
            self.last_us = now_us;
            account.due_us = Some(due_us);
            self.delayed.insert((due_us, session.client));
        }
    }

    /// Takes a client out of those that wait.
    pub(in crate::engine) fn stop_delay(&mut self, session: &mut Session) {
        if let Some(due_us) = session.quota.as_mut().and_then(|account| account.due_us.take()) {
            self.delayed.remove(&(due_us, session.client));
        }
    }

    /// A client goes: what it was sent counts as of the last time that is known.
    pub(in crate::engine) fn leave(&mut self, session: &mut Session) {
        if session.quota.is_some() {
            self.count_output(session, session.active_ms * 1000);
            self.stop_delay(session);
        }
    }

    /// The next client whose turn has come.
    #[inline]
    pub(in crate::engine) fn pop_due(&mut self, now_us: u64) -> Option<ClientId> {
        let (due_us, client) = *self.delayed.first()?;
        // If the clock was set back, all would wait for as much longer.
        let is_back = now_us + SET_BACK_US < self.last_us;
        if due_us > now_us && !is_back {
            self.last_us = now_us;
            return None;
        }
        self.delayed.pop_first();
        Some(client)
    }

    /// All clients that wait.
    pub(in crate::engine) fn delayed(&self) -> impl Iterator<Item = ClientId> {
        self.delayed.iter().map(|(_, client)| *client)
    }

    /// Clients whose requests wait for their turn.
    pub fn delayed_count(&self) -> usize {
        self.delayed.len()
    }

    /// When the first of them has its turn, Unix ms.
    pub(in crate::engine) fn next_due(&self) -> Option<u64> {
        self.delayed.first().map(|(due_us, _)| due_us.div_ceil(1000))
    }
}
