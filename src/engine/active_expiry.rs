//! Active expiry (`activeExpireCycle`): keys and hash fields past their deadline are removed, a slice a turn.

use super::Engine;
use crate::keyspace::Keyspace;
use crate::structures::table::DueKeys;

/// Longest time that expiry takes of one turn, ns.
const EXPIRY_SLICE: u64 = 250_000;
/// Keys collected at a time.
const EXPIRY_BATCH: usize = 32;
/// Hashes collected at a time, and fields removed from each.
const HASH_BATCH: usize = 8;
const FIELD_BATCH: usize = 32;
/// Streams collected at a time, and requests of producers that each is looked at for.
const STREAM_BATCH: usize = 1;
const REQUEST_BATCH: usize = 512;

impl Engine {
    /// Removes keys past their deadline, a slice; true if more are due.
    pub(super) fn expire_due(&mut self) -> bool {
        let started = self.clock.ticks();
        let more = self.expire_slice(
            |keyspace, db, now, due| keyspace.collect_due(db, now, EXPIRY_BATCH, due),
            Self::expire_key,
        );
        let spent = self.clock.nanos(started, self.clock.ticks());
        self.metrics.stats.expiry_nanos += spent;
        self.note_delay("expire-cycle", started);
        more
    }

    /// At a replica: removes the keys past their deadline that have it from clients of this server, a slice; true if more are due.
    pub(super) fn expire_own_keys(&mut self) -> bool {
        let keyspace = &self.data.keyspace;
        if keyspace.journal.own_deadlines.is_empty()
            || !keyspace.active_expire
            || self.clients.pause.is_some()
        {
            return false;
        }
        let (started, now) = (self.clock.ticks(), self.frame.now);
        let mut more = false;
        while let Some((db, key)) = self.data.keyspace.journal.own_deadlines.take_due(now) {
            let before = self.data.keyspace.stats.expired_keys;
            self.view(db as usize).expire_own(&key);
            let stats = &mut self.data.keyspace.stats;
            stats.expired_keys_actively += stats.expired_keys - before;
            self.propagate_removals();
            more = self.clock.nanos(started, self.clock.ticks()) > EXPIRY_SLICE;
            if more {
                break;
            }
        }
        self.after_cron();
        more
    }

    /// Removes fields of hashes past their deadline, a slice; true if more are due.
    pub(super) fn expire_fields(&mut self) -> bool {
        let started = self.clock.ticks();
        let more = self.expire_slice(
            |keyspace, db, now, due| keyspace.collect_due_hashes(db, now, HASH_BATCH, due),
            Self::expire_fields_of,
        );
        self.note_delay("expire-cycle", started);
        more
    }

    /// Has streams forget the requests of producers that are expired, at replicas as well: it is their memory alone. Whether one is
    /// expired doesn't depend on it.
    pub(super) fn expire_requests(&mut self) -> bool {
        if self.data.keyspace.databases().iter().all(|database| database.streams_with_requests() == 0) {
            return false;
        }
        self.sweep_slice(
            |keyspace, db, now, due| keyspace.collect_due_streams(db, now, STREAM_BATCH, due),
            |engine, db, key| engine.view(db).sweep_requests(key, REQUEST_BATCH),
        )
    }

    /// Does to the keys that `collect` finds what is `due` to each, until its time is up; true if more are due.
    fn expire_slice(
        &mut self,
        collect: impl Fn(&mut Keyspace, usize, u64, &mut DueKeys),
        expire: impl Fn(&mut Self, usize, &[u8]),
    ) -> bool {
        if !self.data.keyspace.active_expire
            || self.settings.expiry_disabled()
            || self.clients.pause.is_some()
        {
            return false;
        }
        self.sweep_slice(collect, expire)
    }

    /// The same whether or not keys expire here.
    fn sweep_slice(
        &mut self,
        collect: impl Fn(&mut Keyspace, usize, u64, &mut DueKeys),
        expire: impl Fn(&mut Self, usize, &[u8]),
    ) -> bool {
        let started = self.clock.ticks();
        let stats = &self.data.keyspace.stats;
        let before = (stats.expired_keys, stats.expired_fields);
        let mut due = std::mem::take(&mut self.cron.due);
        let mut more = false;
        'databases: for db in 0..self.data.keyspace.count() {
            loop {
                due.clear();
                collect(&mut self.data.keyspace, db, self.frame.now, &mut due);
                if due.is_empty() {
                    break;
                }
                due.iter().for_each(|key| expire(self, db, key));
                if self.clock.nanos(started, self.clock.ticks()) > EXPIRY_SLICE {
                    more = true;
                    break 'databases;
                }
            }
        }
        self.cron.due = due;
        let stats = &mut self.data.keyspace.stats;
        stats.expired_keys_actively += stats.expired_keys - before.0;
        stats.expired_fields_actively += stats.expired_fields - before.1;
        self.after_cron();
        more
    }

    fn expire_key(&mut self, db: usize, key: &[u8]) {
        // The lookup removes a key past its deadline and journals it.
        let _ = self.view(db).lookup_silent(key);
        self.propagate_removals();
    }

    fn expire_fields_of(&mut self, db: usize, key: &[u8]) {
        self.expire_key(db, key);
        self.view(db).sweep_fields(key, FIELD_BATCH);
        self.propagate_removals();
    }
}
