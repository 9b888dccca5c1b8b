//! The keyspace: numbered databases over one hash function, and what is counted about them.

use std::sync::Arc;

use super::collection_memory::CollectionMemory;
use super::hash_deadline_index::FieldDeadlines;
use super::key_walk::{KeyWalk, KeyWalks};
use super::vector_work::VectorWork;
use super::{Journal, LazyFree, Typed};
use crate::base::crc::key_slot;
use crate::base::hash::{KeyHasher, slot_of};
use crate::base::ids::ClientId;
use crate::base::slot_set::SlotSet;
use crate::structures::table::{DueKeys, EntryValue, Table};
use crate::value::Value;
use crate::value::stream::Stream;

/// One numbered database.
pub struct Database {
    pub index: u32,
    pub(super) table: Table<Value, true>,
    /// The hashes of `table` that have fields with deadlines, and no other.
    pub(super) field_deadlines: FieldDeadlines,
    /// The streams of `table` that remember requests, and no other, by when they are to be looked at for those that expire.
    pub(super) request_deadlines: FieldDeadlines,
    /// A stream was put into `table` at some time: it may have streams.
    pub(super) had_streams: bool,
    /// The same of a stream with idempotency.
    pub(super) had_idempotency: bool,
    /// What its large collections take, if that is wanted.
    pub(super) collection_memory: CollectionMemory,
    /// Walks over its keys.
    pub(super) key_walks: KeyWalks,
    /// Slots whose keys aren't shown; most often none (`hidden`).
    pub(super) hidden: Option<Arc<SlotSet>>,
}

/// Counters of INFO's stats section that the keyspace keeps.
#[derive(Clone, Debug, Default)]
pub struct KeyspaceStats {
    pub hits: u64,
    pub misses: u64,
    pub expired_keys: u64,
    pub expired_fields: u64,
    /// Those of both that no command ran into.
    pub expired_keys_actively: u64,
    pub expired_fields_actively: u64,
    pub evicted_keys: u64,
    pub expired_time_cap_reached: u64,
}

/// All databases and what edits write into.
pub struct Keyspace {
    /// That of the keys.
    hasher: KeyHasher,
    databases: Vec<Database>,
    pub journal: Journal,
    pub stats: KeyspaceStats,
    pub lazy_free: LazyFree,
    pub vectors: VectorWork,
    /// Keys whose deadline has passed stay until they are asked for (`DEBUG SET-ACTIVE-EXPIRE 0`).
    pub active_expire: bool,
    /// Clients see keys and fields past their deadline (`DEBUG SET-ALLOW-ACCESS-EXPIRED`).
    pub shows_expired: bool,
}

impl Database {
    fn new(index: u32, hasher: KeyHasher) -> Self {
        Database {
            index,
            table: Table::new(hasher),
            field_deadlines: FieldDeadlines::new(hasher),
            request_deadlines: FieldDeadlines::new(hasher),
            had_streams: false,
            had_idempotency: false,
            collection_memory: CollectionMemory::default(),
            key_walks: KeyWalks::default(),
            hidden: None,
        }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys that have a deadline.
    pub fn expires(&self) -> usize {
        self.table.expires()
    }

    /// Bytes of the database: keys, values and what the table takes itself. Without collections that are large, unless these are
    /// counted ([`Keyspace::count_collections`]); then those that the walk hasn't reached are missing.
    pub fn memory_usage(&self) -> usize {
        let table = self.table.memory_usage().saturating_sub(self.table.memory_spare());
        table + self.collection_memory.bytes()
    }

    /// Hashes that have fields with deadlines.
    pub fn hashes_with_deadlines(&self) -> usize {
        self.field_deadlines.len()
    }

    /// Whether there may be streams: there are none if it was empty since the last one was made.
    pub fn may_have_streams(&self) -> bool {
        self.had_streams
    }

    /// Whether there may be streams with idempotency: the same.
    pub fn may_have_idempotency(&self) -> bool {
        self.had_idempotency
    }

    /// Streams that remember requests.
    pub fn streams_with_requests(&self) -> usize {
        self.request_deadlines.len()
    }

    /// Enters a collection with the earliest deadline of something in it, or strikes it.
    pub(super) fn set_deadline_within(
        &mut self,
        hash: u64,
        key: &[u8],
        is_stream: bool,
        earliest: Option<u64>,
    ) {
        let register = if is_stream { &mut self.request_deadlines } else { &mut self.field_deadlines };
        register.set(hash, key, earliest);
    }

    /// Notes what kind of stream was put into the table, or has become of one.
    #[inline]
    pub(super) fn note_stream(&mut self, stream: &Stream) {
        self.had_streams = true;
        self.had_idempotency |= stream.has_idempotency();
    }

    /// The table, to look at.
    pub fn table(&self) -> &Table<Value, true> {
        &self.table
    }

    /// Whether there is a key whose deadline hasn't passed at `now`, Unix ms; leaves no trace.
    pub fn has(&self, key: &[u8], now: u64) -> bool {
        let at = self.table.find(self.table.hash(key), key);
        at.is_some_and(|at| self.table.deadline(at).is_none_or(|deadline| deadline > now))
    }

    /// The stream at a key, past its deadline or not; leaves no trace.
    pub fn stream(&self, key: &[u8]) -> Option<&Stream> {
        let at = self.table.find(self.table.hash(key), key)?;
        // A stream is never small enough to lie in its entry.
        if let EntryValue::Object(value) = self.table.value(at) { Stream::of(value) } else { None }
    }
}

impl Keyspace {
    /// `count` empty databases whose hash function comes from `seed`.
    pub fn new(count: usize, seed: u64) -> Self {
        Self::over(count, KeyHasher::new(seed))
    }

    /// The same for a node of a cluster: the keys of a slot lie side by side, and are found by their slot (`slots`).
    pub fn in_slot_order(count: usize, seed: u64) -> Self {
        Self::over(count, KeyHasher::new(seed).in_slot_order())
    }

    fn over(count: usize, hasher: KeyHasher) -> Self {
        let database = |index| Database::new(index, hasher);
        Keyspace {
            hasher,
            databases: (0..count as u32).map(database).collect(),
            journal: Journal::default(),
            stats: KeyspaceStats::default(),
            lazy_free: LazyFree::default(),
            vectors: VectorWork::default(),
            active_expire: true,
            shows_expired: false,
        }
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// The cluster's slot of a key with this hash; only where keys are hashed by slot.
    #[inline]
    pub fn slot_of_hash(&self, hash: u64) -> u16 {
        slot_of(hash)
    }

    /// The hash function for all else than the keys of databases: of the same seed, and uniform.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher.uniform()
    }

    /// Whether keys lie in the order of their slots.
    #[inline]
    pub fn is_in_slot_order(&self) -> bool {
        self.hasher.is_in_slot_order()
    }

    pub fn count(&self) -> usize {
        self.databases.len()
    }

    pub fn database(&self, index: usize) -> &Database {
        &self.databases[index]
    }

    /// Sets the access word of a key, if it is there.
    pub fn set_access(&mut self, db: u32, key: &[u8], word: u32) {
        let table = &mut self.databases[db as usize].table;
        if let Some(at) = table.find(table.hash(key), key) {
            table.set_access(at, word);
        }
    }

    pub fn databases(&self) -> &[Database] {
        &self.databases
    }

    pub(super) fn databases_mut(&mut self) -> &mut [Database] {
        &mut self.databases
    }

    #[inline]
    pub(super) fn parts(
        &mut self,
        index: usize,
    ) -> (&mut Database, &mut Journal, &mut KeyspaceStats, &mut LazyFree, &mut VectorWork) {
        let Keyspace { databases, journal, stats, lazy_free, vectors, .. } = self;
        (&mut databases[index], journal, stats, lazy_free, vectors)
    }

    /// Begins loading what a lookup of `hash` will touch.
    #[inline]
    pub fn prefetch_bucket(&self, db: usize, hash: u64) {
        self.databases[db].table.prefetch_bucket(hash);
    }

    /// Second step of the prefetch, once the bucket has arrived: the entry itself. True if it isn't there: then
    /// [`Self::prefetch_displaced`] is to be called when another bucket has arrived.
    #[inline]
    pub fn prefetch_entry(&self, db: usize, hash: u64) -> bool {
        self.databases[db].table.prefetch_entry(hash)
    }

    /// The rest of the second step for those few that are not in their own bucket.
    #[inline]
    pub fn prefetch_displaced(&self, db: usize, hash: u64) {
        self.databases[db].table.prefetch_displaced(hash);
    }

    /// Third step, for commands on collections: the value, once the entry has arrived.
    #[inline]
    pub fn prefetch_value(&self, db: usize, hash: u64) {
        self.databases[db].table.prefetch_value(hash);
    }

    /// Fourth step: what a value of its own allocation refers to.
    #[inline]
    pub fn prefetch_contents(&self, db: usize, hash: u64) {
        if let Some(value) = self.databases[db].table.likely_object(hash) {
            value.prefetch();
        }
    }

    /// Empties a database and returns how many keys it had. They are freed later, unless `now`.
    pub fn flush(&mut self, index: usize, now: bool) -> usize {
        let database = &mut self.databases[index];
        database.key_walks.finish(&database.table);
        let deadlines = std::mem::replace(&mut database.field_deadlines, FieldDeadlines::new(self.hasher));
        let requests = std::mem::replace(&mut database.request_deadlines, FieldDeadlines::new(self.hasher));
        let table = std::mem::replace(&mut database.table, Table::new(self.hasher));
        (database.had_streams, database.had_idempotency) = (false, false);
        database.collection_memory.clear();
        self.journal.own_deadlines.clear_database(index as u32);
        let keys = table.len();
        if !now {
            self.lazy_free.table(table, [deadlines, requests]);
        }
        keys
    }

    /// Exchanges the contents of two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a != b {
            let (low, high) = self.databases.split_at_mut(a.max(b));
            let (one, other) = (&mut low[a.min(b)], &mut high[0]);
            one.key_walks.finish(&one.table);
            other.key_walks.finish(&other.table);
            std::mem::swap(&mut one.table, &mut other.table);
            std::mem::swap(&mut one.field_deadlines, &mut other.field_deadlines);
            std::mem::swap(&mut one.request_deadlines, &mut other.request_deadlines);
            std::mem::swap(&mut one.had_streams, &mut other.had_streams);
            std::mem::swap(&mut one.had_idempotency, &mut other.had_idempotency);
            one.collection_memory.swap(&mut other.collection_memory);
        }
    }

    /// As many databases, all empty, over the same hash function.
    pub fn empty_twin(&self) -> Keyspace {
        Self::over(self.databases.len(), self.hasher)
    }

    /// Takes over the contents of the databases of an [`Self::empty_twin`]. The old ones are freed later.
    pub fn exchange_contents(&mut self, twin: &mut Keyspace) {
        for index in 0..self.databases.len().min(twin.databases.len()) {
            self.flush(index, false);
            let (database, other) = (&mut self.databases[index], &mut twin.databases[index]);
            std::mem::swap(&mut database.table, &mut other.table);
            std::mem::swap(&mut database.field_deadlines, &mut other.field_deadlines);
            std::mem::swap(&mut database.request_deadlines, &mut other.request_deadlines);
            std::mem::swap(&mut database.had_streams, &mut other.had_streams);
            std::mem::swap(&mut database.had_idempotency, &mut other.had_idempotency);
            database.collection_memory.swap(&mut other.collection_memory);
        }
    }

    /// Whether a database takes so much memory that nothing should be added to it: half of what its indexes can name.
    pub fn is_full(&self) -> bool {
        self.databases.iter().any(|db| db.table.is_full())
    }

    /// Bytes of all databases that are allocated and hold nothing.
    #[inline]
    pub fn memory_spare(&self) -> usize {
        self.databases.iter().map(|db| db.table.memory_spare()).sum()
    }

    /// Begins to count what the large collections of a database take, or ceases to.
    pub fn count_collections(&mut self, db: usize, wanted: bool) {
        let database = &mut self.databases[db];
        database.collection_memory.want(wanted, database.table.is_empty());
    }

    /// Goes on counting collections, of about so many keys; false if all that is wanted is counted.
    pub fn count_some_collections(&mut self, keys: usize) -> bool {
        let mut databases = self.databases.iter_mut();
        databases.any(|database| database.collection_memory.count_some(&database.table, keys))
    }

    /// Goes on with a walk over the keys of some database, for about so many keys; false if there is none that isn't over.
    pub fn walk_some_keys(&mut self, keys: usize) -> bool {
        let mut databases = self.databases.iter_mut();
        databases.any(|database| database.key_walks.step(&database.table, keys))
    }

    /// Takes out a walk that is over. Those of clients that are not wanted any more end without an answer.
    pub fn take_key_walk(&mut self, is_wanted: impl Fn(ClientId) -> bool) -> Option<KeyWalk> {
        self.databases.iter_mut().find_map(|database| database.key_walks.take(&is_wanted))
    }

    /// Keys in all databases.
    pub fn total_keys(&self) -> usize {
        self.databases.iter().map(Database::len).sum()
    }

    /// Collects keys of a database that are past their deadline, without removing them.
    pub fn collect_due(&mut self, db: usize, now: u64, max: usize, due: &mut DueKeys) {
        let database = &mut self.databases[db];
        let hidden = database.hidden.as_deref();
        let held = |key: &[u8]| hidden.is_some_and(|hidden| hidden.contains(key_slot(key)));
        database.table.collect_due(now, max, hidden.is_some().then_some(&held), due);
    }

    /// Collects hashes of a database that have fields past their deadline, the earliest first. The caller must sweep each,
    /// by its sweep of fields: they are not found again.
    pub fn collect_due_hashes(&mut self, db: usize, now: u64, max: usize, due: &mut DueKeys) {
        let database = &mut self.databases[db];
        let hidden = database.hidden.as_deref();
        let held = |key: &[u8]| hidden.is_some_and(|hidden| hidden.contains(key_slot(key)));
        database.field_deadlines.collect_due(now, max, hidden.is_some().then_some(&held), due);
        due.sort();
    }

    /// Collects streams of a database that are to be looked at for requests that expire. The caller must sweep each: they are not found
    /// again.
    pub fn collect_due_streams(&mut self, db: usize, now: u64, max: usize, due: &mut DueKeys) {
        let database = &mut self.databases[db];
        let hidden = database.hidden.as_deref();
        let held = |key: &[u8]| hidden.is_some_and(|hidden| hidden.contains(key_slot(key)));
        database.request_deadlines.collect_due(now, max, hidden.is_some().then_some(&held), due);
    }

    /// The earliest deadline of any key, ms.
    pub fn next_deadline(&self) -> Option<u64> {
        self.databases.iter().filter_map(|db| db.table.next_deadline()).min()
    }
}
