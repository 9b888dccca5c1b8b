//! Expiry of hash fields: removes the fields whose deadline has passed.
//!
//! Fields past their deadline are invisible; they are removed when a command runs into them, or by the sweep of
//! the hashes that [`FieldDeadlines`](super::hash_deadline_index::FieldDeadlines) lists as due.

use super::{DbView, Typed, event};
use crate::value::Value;
use crate::value::hash::Hash;

impl DbView<'_> {
    /// Has a stream that is due forget requests that are expired, about `max` of them, and registers when it is due again.
    pub fn sweep_requests(&mut self, key: &[u8], max: usize) {
        let (hash, now) = (self.hash(key), self.env.now);
        let Some(at) = self.lookup_silent(key) else { return };
        let Some(object) = self.db.table.object_mut(at) else { return };
        let before = self.db.collection_memory.before(hash, object);
        let Value::Stream(stream) = object else { return };
        stream.expire_requests(now, max, &self.env.limits.hasher);
        let due = stream.requests_due_ms();
        self.db.collection_memory.changed(hash, object, before);
        self.db.request_deadlines.set(hash, key, due);
    }

    /// Removes those of the given fields that are past their deadline: for a command that met one.
    #[cold]
    pub fn sweep_expired_fields<'f>(&mut self, key: &[u8], fields: impl Iterator<Item = &'f [u8]>) {
        self.sweep_fields_of(key, fields, false);
    }

    /// Whether the hash is without any field afterwards.
    fn sweep_fields_of<'f>(
        &mut self,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]>,
        stays: bool,
    ) -> bool {
        let now = self.env.field_now();
        self.drop_fields(key, stays, |hash, gone| {
            for field in fields {
                if hash.is_past(field, now) && hash.remove(field) {
                    gone(field);
                }
            }
        })
    }

    /// Removes those of the given fields that are past their deadline, before a command changes them.
    /// Costs nothing while no hash has deadlines.
    #[inline]
    pub fn sweep_expired_fields_before_write<'f>(
        &mut self,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        if self.db.field_deadlines.len() > 0 && self.has_past_field(key, fields.clone()) {
            self.sweep_expired_fields(key, fields);
        }
    }

    /// As [`Self::sweep_expired_fields_before_write`] for a command that is going to set the fields: the hash
    /// stays, even if it is without any field meanwhile. Whether it is: a replica, to which the removals are HDELs,
    /// then loses the key, and with it the key's deadline.
    pub fn sweep_expired_fields_keep_hash<'f>(
        &mut self,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) -> bool {
        self.db.field_deadlines.len() > 0
            && self.has_past_field(key, fields.clone())
            && self.sweep_fields_of(key, fields, true)
    }

    fn has_past_field<'f>(&mut self, key: &[u8], mut fields: impl Iterator<Item = &'f [u8]>) -> bool {
        let now = self.env.field_now();
        let Some(at) = self.lookup_silent(key) else { return false };
        let Ok(hash) = self.typed::<Hash>(at) else { return false };
        hash.next_deadline().is_some_and(|first| first < now) && fields.any(|field| hash.is_past(field, now))
    }

    /// Removes all fields of a hash that are past their deadline.
    pub fn sweep_all_fields(&mut self, key: &[u8]) {
        if self.db.field_deadlines.len() > 0 {
            self.sweep_fields(key, usize::MAX);
        }
    }

    /// Counts fields that a command removed because it gave them a deadline that has passed.
    pub fn count_expired_fields(&mut self, count: usize) {
        self.stats.expired_fields += count as u64;
    }

    /// Removes about `max` fields past their deadline of a hash that is due, and registers when it is
    /// due again.
    pub fn sweep_fields(&mut self, key: &[u8], max: usize) {
        let now = self.env.field_now();
        self.drop_fields(key, false, |hash, gone| {
            hash.expire_some(now, max, gone);
        });
    }

    /// Lets `drop` remove fields and name each; events `hexpired` and, if none is left and the hash
    /// doesn't stay, `del`. Whether none is left.
    fn drop_fields(
        &mut self,
        key: &[u8],
        stays: bool,
        drop: impl FnOnce(&mut Hash, &mut dyn FnMut(&[u8])),
    ) -> bool {
        let hash = self.hash(key);
        let spared = self.env.retain_expired && !self.env.removes_expired || self.env.ignore_expiry;
        let Some(at) = self.lookup_silent(key) else { return false };
        let Some(object) = self.db.table.object_mut(at) else { return false };
        let before = self.db.collection_memory.before(hash, object);
        let Some(value) = Hash::of_mut(object) else { return false };
        let (db, journal) = (self.db.index, &mut *self.journal);
        let mut count = 0;
        if !spared {
            drop(value, &mut |field| {
                count += 1;
                journal.record_field_removal(db, key, field);
            });
        }
        self.stats.expired_fields += count;
        let (emptied, earliest) = (value.is_empty(), value.next_deadline());
        self.db.collection_memory.changed(hash, object, before);
        self.db.field_deadlines.set(hash, key, earliest);
        if count > 0 {
            self.journal.changed(db, key, 0, event::HEXPIRED);
        }
        if emptied && !stays {
            self.remove_entry(at, hash, key);
            self.journal.changed(db, key, 0, event::DEL);
        }
        emptied
    }
}
