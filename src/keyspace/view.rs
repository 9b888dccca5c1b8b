//! Database view: one database as a command sees it; lookup with expiry (`lookupKey`), and the ways in which keys are
//! created, changed and removed (`dbAdd`, `dbOverwrite`, `dbDelete`).
//!
//! Reads count hits and misses and touch the access word; `lookup_silent` does neither. A key whose
//! deadline has passed is removed by the lookup that finds it. Nothing here knows a command.

use super::decoded::DecodedValues;
use super::event::{self, Event, class};
use super::key_walk::ListedKeys;
use super::typed::Typed;
use super::{Database, Journal, Keyspace, KeyspaceStats, LazyFree, LruClock, VectorWork};
use crate::base::rng::Rng;
use crate::resp::CommandError;
use crate::structures::table::{EMBEDDED_MAX, EntryRef, EntryValue, NewValue, RemovedValue};
use crate::value::{Limits, Value, embedded};

/// What a unit may take for granted about its surroundings; frozen while it runs.
#[derive(Clone, Copy)]
pub struct ExecEnv<'a> {
    /// Unix time, ms.
    pub now: u64,
    pub clock: LruClock,
    pub limits: &'a Limits,
    pub dump_options: &'a DumpOptions,
    /// `proto-max-bulk-len`: the longest string a key may hold, bytes.
    pub max_string: u64,
    /// The client's hard limit of unsent replies, bytes; 0: none.
    pub max_reply: u64,
    /// The session asked not to change access words (`CLIENT NO-TOUCH`).
    pub no_touch: bool,
    /// Keys past their deadline count as gone, but only the primary may remove them.
    pub retain_expired: bool,
    /// The command changes data: what it meets past its deadline is removed all the same, so that no key or field lies
    /// twice and replicas see what it saw.
    pub removes_expired: bool,
    /// Deadlines mean nothing: the session repeats what another server did while the keys lived.
    pub ignore_expiry: bool,
}

/// How values are written out and taken in (DUMP, RESTORE).
#[derive(Clone, Copy, Debug)]
pub struct DumpOptions {
    /// `rdbcompression`.
    pub compress: bool,
    /// `rdb-version-check relaxed`: takes payloads of versions that aren't known.
    pub any_version: bool,
    /// Takes payloads whatever their checksum (`DEBUG SET-SKIP-CHECKSUM-VALIDATION`).
    pub skip_checksum: bool,
    /// `lazyfree-lazy-server-del`: what a command removes on its way is propagated as UNLINK.
    pub unlink: bool,
}

impl Default for DumpOptions {
    fn default() -> Self {
        DumpOptions { compress: true, any_version: false, skip_checksum: false, unlink: false }
    }
}

impl ExecEnv<'_> {
    /// Whether a key of this deadline counts as gone.
    #[inline]
    pub fn is_past(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline < self.now && !self.ignore_expiry)
    }

    /// The time by which fields of hashes are past their deadline, or aren't: none is at 0.
    #[inline]
    pub fn field_now(&self) -> u64 {
        if self.ignore_expiry { 0 } else { self.now }
    }
}

/// A database and everything an edit writes into.
pub struct DbView<'a> {
    pub(super) db: &'a mut Database,
    pub(super) journal: &'a mut Journal,
    pub(super) stats: &'a mut KeyspaceStats,
    pub(super) lazy_free: &'a mut LazyFree,
    pub vectors: &'a mut VectorWork,
    pub rng: &'a mut Rng,
    pub env: ExecEnv<'a>,
    /// Address and hash of the key that the server hashed ahead.
    pub(super) hashed: (*const u8, u64),
    /// Small collections that the command looks at.
    pub(super) decoded: DecodedValues,
}

/// A value as commands see it.
#[derive(Clone, Copy, Debug)]
pub enum StoredValue<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Object(&'a Value),
}

impl Keyspace {
    /// Database `index` for a command. `hashed` is a key's address and hash, if already known.
    #[inline]
    pub fn view<'a>(
        &'a mut self,
        index: usize,
        rng: &'a mut Rng,
        env: ExecEnv<'a>,
        hashed: (*const u8, u64),
    ) -> DbView<'a> {
        let (db, journal, stats, lazy_free, vectors) = self.parts(index);
        DbView { db, journal, stats, lazy_free, vectors, rng, env, hashed, decoded: DecodedValues::default() }
    }
}

impl<'a> DbView<'a> {
    /// Number of the database.
    pub fn index(&self) -> u32 {
        self.db.index
    }

    /// Keys in the database, those past their deadline included.
    pub fn len(&self) -> usize {
        self.db.len()
    }

    pub fn is_empty(&self) -> bool {
        self.db.is_empty()
    }

    /// Removes an entry, its value going where big values go.
    pub(super) fn remove_entry(&mut self, at: EntryRef, hash: u64, key: &[u8]) {
        self.forget_deadline(key);
        self.tell_walks_of_removal(at, hash, key);
        if let RemovedValue::Object(value) = self.db.table.remove(at, hash) {
            self.db.collection_memory.remove(hash, &value);
            self.free_value(hash, key, value);
        }
    }

    /// Tells walks over the keys that one goes.
    #[inline]
    fn tell_walks_of_removal(&mut self, at: EntryRef, hash: u64, key: &[u8]) {
        if !self.db.key_walks.is_empty() {
            let deadline = self.db.table.deadline(at);
            self.db.key_walks.key_goes(hash, key, deadline);
        }
    }

    /// Begins to list keys in slices; false if as many walks as may be are under way.
    pub fn list_in_slices(&mut self, keys: ListedKeys) -> bool {
        self.db.key_walks.start(keys, self.db.hidden.clone())
    }

    /// A client gave a key a deadline: a replica has to remove it by itself then.
    #[inline]
    pub(super) fn note_deadline(&mut self, key: &[u8], deadline: Option<u64>) {
        if self.journal.own_deadlines.records
            && !self.env.ignore_expiry
            && let Some(deadline) = deadline
        {
            self.journal.own_deadlines.insert(self.db.index, key, deadline);
        }
    }

    #[inline]
    fn forget_deadline(&mut self, key: &[u8]) {
        if !self.journal.own_deadlines.is_empty() {
            self.journal.own_deadlines.remove(self.db.index, key);
        }
    }

    /// Gives back the memory of a value that has left the table.
    pub(super) fn free_value(&mut self, hash: u64, key: &[u8], value: Box<Value>) {
        self.forget_fields(hash, key, &value);
        self.lazy_free.value(value);
    }

    /// Strikes a value that has left the table off the registers of deadlines within values.
    fn forget_fields(&mut self, hash: u64, key: &[u8], value: &Value) {
        if value.next_deadline_within().is_some() {
            self.db.set_deadline_within(hash, key, matches!(value, Value::Stream(_)), None);
        }
    }

    /// The stored value of an entry.
    #[inline]
    pub fn stored_value(&self, at: EntryRef) -> StoredValue<'_> {
        match self.db.table.value(at) {
            EntryValue::Int(n) => StoredValue::Int(n),
            EntryValue::Bytes(bytes) => StoredValue::Bytes(bytes),
            EntryValue::Object(value) => StoredValue::Object(value),
            EntryValue::Embedded(tag, bytes) => StoredValue::Object(self.decoded.decode(tag, bytes)),
        }
    }

    /// The deadline of an entry, Unix ms.
    pub fn deadline(&self, at: EntryRef) -> Option<u64> {
        self.db.table.deadline(at)
    }

    /// The access word of an entry.
    pub fn access(&self, at: EntryRef) -> u32 {
        self.db.table.access(at)
    }

    pub fn set_access(&mut self, at: EntryRef, word: u32) {
        self.db.table.set_access(at, word);
    }

    /// Says that the string at `key` was changed in part, or is to be: its encoding is `raw`.
    pub fn mark_edited(&mut self, key: &[u8]) {
        if let Some(at) = self.lookup_silent(key) {
            self.db.table.mark_edited(at);
        }
    }

    /// TYPE's word for an entry.
    pub fn type_of(&self, at: EntryRef) -> &'static str {
        match self.db.table.value(at) {
            EntryValue::Object(value) => value.type_name(),
            EntryValue::Embedded(tag, _) => embedded::type_name(tag),
            EntryValue::Int(_) | EntryValue::Bytes(_) => "string",
        }
    }

    /// The table, to look at (SCAN, OBJECT, MEMORY …).
    pub fn database(&self) -> &Database {
        self.db
    }

    /// Reads a collection.
    pub fn read<T: Typed>(&mut self, key: &[u8]) -> Result<Option<&T>, CommandError> {
        match self.lookup_read(key) {
            None => Ok(None),
            Some(at) => self.typed(at).map(Some),
        }
    }

    /// Reads a collection of which something is to be drawn at random.
    pub fn read_with_rng<T: Typed>(&mut self, key: &[u8]) -> Result<Option<(&T, &mut Rng)>, CommandError> {
        let Some(at) = self.lookup_read(key) else { return Ok(None) };
        let value = match self.db.table.value(at) {
            EntryValue::Object(value) => value,
            EntryValue::Embedded(tag, bytes) => self.decoded.decode(tag, bytes),
            EntryValue::Int(_) | EntryValue::Bytes(_) => return Err(CommandError::WRONG_TYPE),
        };
        Ok(Some((T::of(value).ok_or(CommandError::WRONG_TYPE)?, self.rng)))
    }

    /// The collection of an entry that was found.
    pub fn typed<T: Typed>(&self, at: EntryRef) -> Result<&T, CommandError> {
        match self.stored_value(at) {
            StoredValue::Object(value) => T::of(value).ok_or(CommandError::WRONG_TYPE),
            StoredValue::Int(_) | StoredValue::Bytes(_) => Err(CommandError::WRONG_TYPE),
        }
    }

    /// Whether there is a collection of this type at `key`, which is about to be changed; another type is
    /// an error.
    pub fn holds<T: Typed>(&mut self, key: &[u8]) -> Result<bool, CommandError> {
        match self.lookup_write(key) {
            Some(at) if self.type_of(at) != T::NAME => Err(CommandError::WRONG_TYPE),
            found => Ok(found.is_some()),
        }
    }

    /// Puts a whole collection at `key`, whatever was there; without deadline. An empty one
    /// removes the key (then the event is `del`, if there was one).
    pub fn set_collection<T: Typed>(&mut self, key: &[u8], value: T, event: Event) {
        if value.is_empty() {
            self.remove(key);
            return;
        }
        if self.journal.publishes(class::REPLACED)
            && let Some(old) = self.type_at(key)
        {
            self.record_overwritten(key, old, T::NAME);
        }
        self.put_value(key, Box::new(value.wrap()), None, 1, event);
    }

    /// TYPE's word for what is at `key`; leaves no trace.
    pub fn type_at(&mut self, key: &[u8]) -> Option<&'static str> {
        self.lookup_silent(key).map(|at| self.type_of(at))
    }

    /// Records that the value of a key, of the type `old`, is replaced as a whole by one of the type `new`.
    #[cold]
    pub fn record_overwritten(&mut self, key: &[u8], old: &'static str, new: &'static str) {
        self.journal.record_event(self.db.index, key, event::OVERWRITTEN);
        if old != new {
            self.journal.record_event(self.db.index, key, event::TYPE_CHANGED);
        }
    }

    /// Puts any value at `key`, whatever was there, as an update of it: `overwritten` is not recorded.
    pub fn put_value(
        &mut self,
        key: &[u8],
        value: Box<Value>,
        deadline: Option<u64>,
        dirty: u64,
        event: Event,
    ) {
        self.upsert(key, NewValue::Object(value), deadline);
        self.journal.changed(self.db.index, key, dirty, event);
    }

    /// Inserts or replaces an entry, journalling nothing but `new`.
    pub(super) fn upsert(
        &mut self,
        key: &[u8],
        value: NewValue<'_, Value>,
        deadline: Option<u64>,
    ) -> EntryRef {
        let mut buffer = [0; EMBEDDED_MAX];
        if let NewValue::Object(object) = &value
            && let Some((tag, bytes)) = embedded::embed(object, 0, &mut buffer)
        {
            return self.upsert(key, NewValue::Embedded(tag, bytes), deadline);
        }
        let hash = self.hash(key);
        let (deadline_within, is_stream) = match &value {
            NewValue::Object(value) => (value.next_deadline_within(), matches!(**value, Value::Stream(_))),
            _ => (None, false),
        };
        if matches!(&value, NewValue::Object(value) if value.in_snapshot()) {
            self.db.table.open_objects().push((hash, key.into()));
        }
        let found = self.lookup_silent(key);
        let at = self.write_entry(key, hash, found, value, deadline);
        self.note_deadline(key, deadline);
        match found {
            Some(_) => self.db.table.set_access(at, self.env.clock.fresh()),
            None => self.journal.record_event(self.db.index, key, event::NEW),
        }
        if deadline_within.is_some() {
            self.db.set_deadline_within(hash, key, is_stream, deadline_within);
        }
        at
    }

    /// A collection is put into the table.
    #[inline(never)]
    fn note_collection(&mut self, hash: u64, value: &Value) {
        if let Value::Stream(stream) = value {
            self.db.note_stream(stream);
        }
        self.db.collection_memory.add(hash, value);
    }

    /// Gives back the memory of a collection that another value has replaced.
    #[inline(never)]
    fn free_replaced(&mut self, hash: u64, key: &[u8], value: Box<Value>) {
        self.db.collection_memory.remove(hash, &value);
        self.free_value(hash, key, value);
    }

    /// Puts a value into the table, over that of the entry `found` (whose access word stays) or as a new entry. Every value that
    /// enters the table comes by here; what the old one owned is freed when there is time. Journals nothing.
    #[inline]
    pub(super) fn write_entry(
        &mut self,
        key: &[u8],
        hash: u64,
        found: Option<EntryRef>,
        value: NewValue<'_, Value>,
        deadline: Option<u64>,
    ) -> EntryRef {
        self.write_entry_inline(key, hash, found, value, deadline)
    }

    /// [`Self::write_entry`] for SET and its kin, of whose time a call is a hundredth.
    #[inline(always)]
    pub(super) fn write_entry_inline(
        &mut self,
        key: &[u8],
        hash: u64,
        found: Option<EntryRef>,
        value: NewValue<'_, Value>,
        deadline: Option<u64>,
    ) -> EntryRef {
        if let NewValue::Object(value) = &value {
            self.note_collection(hash, value);
        }
        let Some(at) = found else {
            if !self.db.key_walks.is_empty() {
                self.db.key_walks.key_comes(hash, key);
            }
            return self.db.table.insert(hash, key, value, deadline, self.env.clock.fresh());
        };
        let (at, old) = self.db.table.replace(at, hash, value, deadline);
        if let RemovedValue::Object(old) = old {
            self.free_replaced(hash, key, old);
        }
        at
    }

    /// Removes a key (event `del`); false if there was none.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.remove_as(key, event::DEL)
    }

    /// Removes a key for a reason of its own.
    pub fn remove_as(&mut self, key: &[u8], event: Event) -> bool {
        let Some(at) = self.lookup_silent(key) else { return false };
        self.remove_found(key, at, event);
        true
    }

    /// Removes a key that has just been found there.
    #[inline]
    pub fn remove_found(&mut self, key: &[u8], at: EntryRef, event: Event) {
        let hash = self.hash(key);
        self.remove_entry(at, hash, key);
        self.journal.changed(self.db.index, key, 1, event);
    }

    /// Removes a key because memory is short; false if there was none.
    pub fn evict(&mut self, key: &[u8]) -> bool {
        let hash = self.hash(key);
        let Some(at) = self.lookup_silent(key) else { return false };
        self.remove_entry(at, hash, key);
        self.journal.record_removal(self.db.index, key, event::EVICTED);
        true
    }

    /// Removes a key because a SET gave it a deadline that has passed (event `expired`).
    pub fn expire_now(&mut self, key: &[u8]) {
        self.stats.expired_keys += u64::from(self.remove_as(key, event::EXPIRED));
    }

    /// Counts a key that had expired before it could be made.
    pub fn count_expired(&mut self) {
        self.stats.expired_keys += 1;
    }

    /// As [`Self::expire_now`] for EXPIRE, whose event then is `del`.
    pub fn remove_overdue(&mut self, key: &[u8]) {
        self.stats.expired_keys += u64::from(self.remove_as(key, event::DEL));
    }

    /// Takes a key out with all it has, to be put elsewhere; journals nothing, see [`Self::changed`].
    pub fn take_entry(&mut self, key: &[u8]) -> Option<Detached<'static>> {
        let hash = self.hash(key);
        let at = self.lookup_silent(key)?;
        let (deadline, edited) = (self.db.table.deadline(at), self.is_raw(at));
        self.forget_deadline(key);
        self.tell_walks_of_removal(at, hash, key);
        let value = match self.db.table.value(at) {
            EntryValue::Embedded(tag, bytes) => {
                let value = Box::new(embedded::decode(tag, bytes));
                self.db.table.remove(at, hash);
                NewValue::Object(value)
            }
            EntryValue::Int(_) | EntryValue::Bytes(_) | EntryValue::Object(_) => {
                let value = self.db.table.take(at, hash);
                if let NewValue::Object(value) = &value {
                    self.db.collection_memory.remove(hash, value);
                }
                value
            }
        };
        if let NewValue::Object(value) = &value {
            self.forget_fields(hash, key, value);
        }
        Some(Detached { value, deadline, edited })
    }

    /// A copy of all that a key has.
    pub fn duplicate(&self, at: EntryRef) -> Detached<'static> {
        let value = match self.db.table.value(at) {
            EntryValue::Int(n) => NewValue::Int(n),
            EntryValue::Bytes(bytes) => NewValue::Owned(bytes.to_vec()),
            EntryValue::Object(value) => NewValue::Object(Box::new(value.duplicate())),
            EntryValue::Embedded(tag, bytes) => NewValue::Object(Box::new(embedded::decode(tag, bytes))),
        };
        Detached { value, deadline: self.db.table.deadline(at), edited: self.is_raw(at) }
    }

    /// Puts a string made of parts, without deadline, over whatever is at `key` (BITOP).
    pub fn overwrite_with_string(&mut self, key: &[u8], string: Vec<u8>) {
        if self.journal.publishes(class::REPLACED)
            && let Some(old) = self.type_at(key)
        {
            self.record_overwritten(key, old, "string");
        }
        let result = Detached { value: NewValue::Owned(string), deadline: None, edited: true };
        self.insert_detached(key, result, event::SET);
    }

    /// Puts a value with its deadline over whatever is at `key`, as an update of it, and names the event.
    pub fn insert_detached(&mut self, key: &[u8], detached: Detached<'_>, event: Event) {
        self.place_detached(key, detached);
        self.journal.changed(self.db.index, key, 1, event);
    }

    /// As [`Self::insert_detached`] for commands that remove what was there first, so that the key is always a new
    /// one. The caller names the event, after others that come before it, and ends with [`Self::also_overwritten`].
    pub fn insert_detached_as_new(&mut self, key: &[u8], detached: Detached<'_>) -> Replaced {
        let old = self.type_at(key);
        if old.is_some() {
            self.journal.record_event(self.db.index, key, event::NEW);
        }
        let new = self.place_detached(key, detached);
        Replaced { old, new: self.type_of(new) }
    }

    /// Further events of a key that [`Self::insert_detached_as_new`] has put over another.
    pub fn also_overwritten(&mut self, key: &[u8], replaced: Replaced) {
        if self.journal.publishes(class::REPLACED)
            && let Some(old) = replaced.old
        {
            self.record_overwritten(key, old, replaced.new);
        }
    }

    fn place_detached(&mut self, key: &[u8], detached: Detached<'_>) -> EntryRef {
        let at = self.upsert(key, detached.value, detached.deadline);
        if detached.edited {
            self.db.table.mark_edited(at);
        }
        at
    }

    /// Gives a key another deadline, or none. Journals the event.
    pub fn set_deadline(&mut self, key: &[u8], at: EntryRef, deadline: Option<u64>, event: Event) {
        let hash = self.hash(key);
        self.db.table.set_deadline(at, hash, deadline);
        self.note_deadline(key, deadline);
        self.journal.changed(self.db.index, key, 1, event);
    }

    /// Lets go of a value that is no key's, when there is time.
    pub fn lazy_free_value(&mut self, value: Value) {
        self.lazy_free.value(Box::new(value));
    }

    /// Journals a change that was made by other means, counted as `changes`.
    pub fn changed(&mut self, key: &[u8], changes: u64, event: Event) {
        self.journal.changed(self.db.index, key, changes, event);
    }

    /// A further event of a key that was changed by the same command.
    #[inline]
    pub fn also(&mut self, key: &[u8], event: Event) {
        self.journal.record_event(self.db.index, key, event);
    }

    /// Counts a change of the data, so that it is propagated, without an event: WATCHes don't fail, nothing is published.
    pub fn count_change(&mut self) {
        self.journal.dirty += 1;
    }

    /// Changes made since start-up, by which a caller sees whether a command changed something.
    pub fn dirty(&self) -> u64 {
        self.journal.dirty
    }

    /// Whether the event is published (`keymiss`, `new` …): if not, the caller saves work.
    pub fn publishes(&self, event: Event) -> bool {
        debug_assert!(event.class & class::ALL != 0 || event.class != 0);
        self.journal.publishes(event.class)
    }

    /// A random live key.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        // Keys past their deadline are removed as they are drawn; if they must stay, one will do.
        let mut past = None;
        for _ in 0..100 {
            let at = self.db.random_shown(self.rng)?;
            let key = self.db.table.key(at).to_vec();
            if !self.is_past(at) {
                return Some(key);
            }
            let hash = self.hash(&key);
            self.drop_expired(at, hash, &key);
            past = Some(key);
        }
        past.filter(|_| self.env.retain_expired)
    }
}

/// TYPE's words for what a key had, if there was any, and has.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    old: Option<&'static str>,
    new: &'static str,
}

/// A value on its way between two places.
pub struct Detached<'a> {
    pub value: NewValue<'a, Value>,
    /// Unix ms.
    pub deadline: Option<u64>,
    /// A string whose encoding is `raw`, and stays so: it was changed in part, made of parts, or long with its key.
    pub edited: bool,
}
