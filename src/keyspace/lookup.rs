//! Key lookup (`lookupKey`): finding a key, with its expiry on access (`expireIfNeeded`).
//!
//! Reads count hits and misses and touch the access word; `lookup_silent` does neither. A key whose deadline has
//! passed is removed by the lookup that finds it.

use super::DbView;
use super::event;
use crate::resp::CommandError;
use crate::structures::table::EntryRef;

/// Keys hashed ahead at a time.
pub const PREFETCH_KEYS: usize = 32;
const _: () = assert!(PREFETCH_KEYS <= u32::BITS as usize);

impl DbView<'_> {
    /// A key's hash; free for the key that was hashed ahead.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        if std::ptr::eq(key.as_ptr(), self.hashed.0) { self.hashed.1 } else { self.db.table.hash(key) }
    }

    /// Hashes up to [`PREFETCH_KEYS`] keys and begins to load what their lookups will touch, so that the cache
    /// misses of a command with many keys overlap. Give each hash to [`Self::set_key_hash`] before the lookup.
    pub fn prefetch_keys<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> [u64; PREFETCH_KEYS] {
        let mut hashes = [0; PREFETCH_KEYS];
        let mut count = 0;
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.db.table.hash(key);
            self.db.table.prefetch_bucket(*hash);
            count += 1;
        }
        let mut displaced = 0u32;
        for (number, hash) in hashes[..count].iter().enumerate() {
            displaced |= u32::from(self.db.table.prefetch_entry(*hash)) << number;
        }
        while displaced != 0 {
            self.db.table.prefetch_displaced(hashes[displaced.trailing_zeros() as usize]);
            displaced &= displaced - 1;
        }
        hashes
    }

    /// The next lookup is of this key, whose hash is known.
    #[inline]
    pub fn set_key_hash(&mut self, key: &[u8], hash: u64) {
        debug_assert_eq!(hash, self.db.table.hash(key));
        self.hashed = (key.as_ptr(), hash);
    }

    /// Finds a live key and leaves no trace.
    #[inline]
    pub fn lookup_silent(&mut self, key: &[u8]) -> Option<EntryRef> {
        self.decoded.clear();
        let hash = self.hash(key);
        let at = self.db.table.find(hash, key)?;
        if self.is_past(at) && self.drop_expired(at, hash, key) {
            return None;
        }
        Some(at)
    }

    /// Finds a live key to read it: counts a hit or miss and touches it.
    #[inline]
    pub fn lookup_read(&mut self, key: &[u8]) -> Option<EntryRef> {
        let Some(at) = self.lookup_silent(key) else {
            self.stats.misses += 1;
            self.journal.record_event(self.db.index, key, event::KEY_MISS);
            return None;
        };
        self.stats.hits += 1;
        self.touch(at);
        Some(at)
    }

    /// Counts another hit of a key that [`Self::lookup_write`] has found: the command also compares its value.
    pub fn count_hit(&mut self) {
        self.stats.hits += 1;
    }

    /// As [`Self::lookup_read`], for commands that look at a key without using it (TYPE, TTL, EXISTS).
    pub fn lookup_no_touch(&mut self, key: &[u8]) -> Option<EntryRef> {
        let at = self.lookup_silent(key);
        if at.is_some() {
            self.stats.hits += 1;
        } else {
            self.stats.misses += 1;
            self.journal.record_event(self.db.index, key, event::KEY_MISS);
        }
        at
    }

    /// Finds a live key to change it: touches it.
    #[inline]
    pub fn lookup_write(&mut self, key: &[u8]) -> Option<EntryRef> {
        let at = self.lookup_silent(key)?;
        self.touch(at);
        Some(at)
    }

    /// Finds several keys of these types to read them; the places are good together. The first key of
    /// another type ends it: those behind it are not looked up.
    pub fn find_all<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        types: &[&str],
    ) -> Result<Vec<Option<EntryRef>>, CommandError> {
        self.find_all_checked(keys, |db, at| match types.contains(&db.type_of(at)) {
            true => Ok(()),
            false => Err(CommandError::WRONG_TYPE),
        })
    }

    /// As [`Self::find_all`]; the first key that `check` doesn't accept ends it.
    pub fn find_all_checked<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        mut check: impl FnMut(&Self, EntryRef) -> Result<(), CommandError>,
    ) -> Result<Vec<Option<EntryRef>>, CommandError> {
        let before = self.len();
        let mut places = Vec::with_capacity(keys.size_hint().0);
        for key in keys.clone() {
            let place = self.lookup_read(key);
            if let Some(at) = place {
                check(self, at)?;
            }
            places.push(place);
        }
        if self.len() != before {
            // A key past its deadline was removed on the way, which outdates the places before it.
            for (place, key) in places.iter_mut().zip(keys) {
                *place = self.lookup_silent(key);
            }
        }
        Ok(places)
    }

    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.lookup_silent(key).is_some()
    }

    /// Whether a key is there past its deadline. Leaves no trace and removes nothing.
    pub fn is_expired(&self, key: &[u8]) -> bool {
        self.db.table.find(self.hash(key), key).is_some_and(|at| self.is_past(at))
    }

    /// Removes a key that is past a deadline which no primary watches over, or lists it again under the one that it has now.
    pub fn expire_own(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        let Some(at) = self.db.table.find(hash, key) else { return };
        match self.db.table.deadline(at) {
            Some(_) if self.is_past(at) => self.remove_expired(at, hash, key),
            later => self.note_deadline(key, later),
        }
    }

    fn remove_expired(&mut self, at: EntryRef, hash: u64, key: &[u8]) {
        self.stats.expired_keys += 1;
        self.remove_entry(at, hash, key);
        self.journal.record_removal(self.db.index, key, event::EXPIRED);
    }

    #[inline]
    pub(super) fn touch(&mut self, at: EntryRef) {
        if self.env.no_touch {
            return;
        }
        let word = self.db.table.access(at);
        let touched = self.env.clock.touched(word, self.rng);
        if touched != word {
            self.db.table.set_access(at, touched);
        }
    }

    #[inline]
    pub(super) fn is_past(&self, at: EntryRef) -> bool {
        self.env.is_past(self.db.table.deadline(at))
    }

    /// Handles a key past its deadline; true if it counts as gone.
    #[cold]
    pub(super) fn drop_expired(&mut self, at: EntryRef, hash: u64, key: &[u8]) -> bool {
        if !self.env.retain_expired || self.env.removes_expired {
            self.remove_expired(at, hash, key);
        }
        true
    }
}
