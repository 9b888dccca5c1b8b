//! Idempotent production: the requests of producers that a stream remembers, so that one sent again appends nothing.
//!
//! ```text
//! Idempotency ─ producers  name ─▶ Producer ─ records  identifier, entry's id       in order of arrival
//!             │                              └ index   identifier ─▶ record         beyond a few records
//!             └ counters   records, ever added, ever seen again; when something expires
//! ```
//!
//! A record is forgotten once its entry's id is as old as the stream's [`Retention`] says, or when its producer has more records
//! than that allows. Expired records at the front of a producer's queue are as good as gone; their memory is given back when the
//! producer sends something, or by [`Idempotency::expire_some`].

mod snapshot;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use hashbrown::HashTable;

use super::retention::Retention;
use super::{Corrupt, StreamId};
use crate::base::hash::KeyHasher;
use crate::structures::before_images::SnapshotState;

/// Records up to which a producer is searched one by one.
const SEARCHED: usize = 8;
/// Bytes that a record takes besides its identifier: in the queue, and in the index at its usual filling.
const RECORD_OVERHEAD: usize = size_of::<Record>() + 8;
/// Bytes that a producer takes in the tree besides its name and records.
const PRODUCER_OVERHEAD: usize = size_of::<Producer>() + 24;
/// Records freed at the price of one node.
const RECORDS_A_NODE: usize = 32;
/// Passes over all producers for expired records begin at least so far apart, ms.
const PASS_INTERVAL_MS: u64 = 1000;

/// A request that was appended.
#[derive(Clone, Debug)]
struct Record {
    identifier: Box<[u8]>,
    id: StreamId,
}

/// The requests of a producer.
#[derive(Clone, Debug, Default)]
pub(super) struct Producer {
    records: VecDeque<Record>,
    /// The number of the first record; numbers wrap.
    first: u32,
    /// Numbers of all records, by their identifiers; empty while they are few.
    index: HashTable<u32>,
}

/// What a stream remembers of the requests of its producers.
#[derive(Clone, Debug, Default)]
pub struct Idempotency {
    producers: BTreeMap<Box<[u8]>, Producer>,
    /// Records of all producers.
    tracked: usize,
    /// Bytes of the producers' names and of all identifiers.
    text_bytes: usize,
    added: u64,
    duplicates: u64,
    /// When it is to be looked at for expired records, Unix ms: not after the first of them expires. Without a record there is
    /// nothing to look at.
    due_ms: Option<u64>,
    /// The pass over all producers goes on behind this one, and the first record to expire of those passed.
    passed: Option<(Box<[u8]>, Option<u64>)>,
    snapshot: SnapshotState<snapshot::Snapshot>,
}

impl Producer {
    fn len(&self) -> usize {
        self.records.len()
    }

    fn find(&self, identifier: &[u8], hasher: &KeyHasher) -> Option<&Record> {
        if self.index.is_empty() {
            return self.records.iter().rev().find(|record| *record.identifier == *identifier);
        }
        let (records, first) = (&self.records, self.first);
        let record = |number: &u32| &records[number.wrapping_sub(first) as usize];
        let found =
            self.index.find(hasher.hash(identifier), |number| *record(number).identifier == *identifier);
        found.map(record)
    }

    fn push(&mut self, record: Record, hasher: &KeyHasher) {
        let number = self.first.wrapping_add(self.records.len() as u32);
        self.records.push_back(record);
        if self.records.len() <= SEARCHED && self.index.is_empty() {
            return;
        }
        let (records, first) = (&self.records, self.first);
        let hash = |number: &u32| hasher.hash(&records[number.wrapping_sub(first) as usize].identifier);
        let from = if self.index.is_empty() { first } else { number };
        for offset in 0..=number.wrapping_sub(from) {
            let number = from.wrapping_add(offset);
            self.index.insert_unique(hash(&number), number, hash);
        }
    }

    fn pop_first(&mut self, hasher: &KeyHasher) -> Option<Record> {
        let record = self.records.pop_front()?;
        let number = self.first;
        self.first = number.wrapping_add(1);
        if let Ok(found) = self.index.find_entry(hasher.hash(&record.identifier), |other| *other == number) {
            found.remove();
        }
        Some(record)
    }

    /// Removes up to `most` expired records from the front; how many, and the bytes of their identifiers.
    fn expire(
        &mut self,
        now_ms: u64,
        retention: Retention,
        most: usize,
        hasher: &KeyHasher,
    ) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        while count < most
            && self.records.front().is_some_and(|it| retention.expires_ms(it.id) <= now_ms)
            && let Some(record) = self.pop_first(hasher)
        {
            count += 1;
            bytes += record.identifier.len();
        }
        (count, bytes)
    }

    /// Bytes of the identifiers.
    fn text_bytes(&self) -> usize {
        self.records.iter().map(|record| record.identifier.len()).sum()
    }

    fn check_invariants(&self) {
        assert!(!self.records.is_empty(), "no producer without records");
        assert!(!self.index.is_empty() || self.len() <= SEARCHED);
        let mut numbers: Vec<u32> = self.index.iter().map(|number| number.wrapping_sub(self.first)).collect();
        numbers.sort_unstable();
        assert!(self.index.is_empty() || numbers.into_iter().eq(0..self.len() as u32));
    }
}

/// Reading.
impl Idempotency {
    /// Number of producers that are remembered.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// Number of identifiers that are remembered.
    pub fn tracked(&self) -> usize {
        self.tracked
    }

    /// How many identifiers were ever added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// How many requests were ever found to be there.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// When [`Self::expire_some`] is due, Unix ms.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// The entry that a producer's request has been given.
    pub fn find(&self, producer: &[u8], identifier: &[u8], hasher: &KeyHasher) -> Option<StreamId> {
        Some(self.producers.get(producer)?.find(identifier, hasher)?.id)
    }

    /// Producers in order of names, with identifiers and ids in order of arrival.
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = (&[u8], impl ExactSizeIterator<Item = (&[u8], StreamId)>)> {
        self.producers.iter().map(|(name, producer)| {
            (&**name, producer.records.iter().map(|record| (&*record.identifier, record.id)))
        })
    }

    /// Bytes of memory behind this value.
    pub fn memory_usage(&self) -> usize {
        let overhead = self.producers.len() * PRODUCER_OVERHEAD + self.tracked * RECORD_OVERHEAD;
        size_of::<Self>() + overhead + self.text_bytes
    }

    pub(super) fn check_invariants(&self, retention: Retention) {
        self.producers.values().for_each(Producer::check_invariants);
        assert_eq!(self.tracked, self.producers.values().map(Producer::len).sum::<usize>());
        let text = self.producers.iter().map(|(name, producer)| name.len() + producer.text_bytes());
        assert_eq!(self.text_bytes, text.sum::<usize>());
        let first = self.producers.values().filter_map(|producer| producer.records.front());
        let first = first.map(|record| retention.expires_ms(record.id)).min();
        assert_eq!(self.due_ms.is_some(), first.is_some());
        assert!(self.producers.values().all(|it| it.len() <= retention.identifiers as usize));
    }
}

/// Changing.
impl Idempotency {
    /// Forgets a producer's requests that are expired: to be called before [`Self::find`] answers for it.
    pub fn expire(&mut self, producer: &[u8], now_ms: u64, retention: Retention, hasher: &KeyHasher) {
        let Some(front) = self.producers.get(producer).and_then(|producer| producer.records.front()) else {
            return;
        };
        if retention.expires_ms(front.id) > now_ms {
            return;
        }
        self.before_change(producer);
        if let Some(found) = self.producers.get_mut(producer) {
            let (expired, bytes) = found.expire(now_ms, retention, usize::MAX, hasher);
            self.tracked -= expired;
            self.text_bytes -= bytes;
            self.remove_if_empty(producer);
        }
        self.after_removal(producer);
    }

    /// Notes that a request was found to be there.
    pub fn count_duplicate(&mut self) {
        // Loaded from a file, it may be any number.
        self.duplicates = self.duplicates.wrapping_add(1);
    }

    /// Remembers the request of a producer for the entry `id`; the producer's oldest is forgotten if it has too many. The identifier is
    /// none of those remembered.
    pub fn record(
        &mut self,
        producer: &[u8],
        identifier: &[u8],
        id: StreamId,
        retention: Retention,
        hasher: &KeyHasher,
    ) {
        self.before_change(producer);
        self.added = self.added.wrapping_add(1);
        self.insert(producer, identifier, id, retention, hasher);
        if let Some(found) = self.producers.get_mut(producer)
            && found.len() > retention.identifiers as usize
            && let Some(record) = found.pop_first(hasher)
        {
            self.tracked -= 1;
            self.text_bytes -= record.identifier.len();
        }
    }

    fn insert(
        &mut self,
        producer: &[u8],
        identifier: &[u8],
        id: StreamId,
        retention: Retention,
        hasher: &KeyHasher,
    ) {
        let record = Record { identifier: identifier.into(), id };
        match self.producers.get_mut(producer) {
            Some(found) => found.push(record, hasher),
            None => {
                self.producers.entry(producer.into()).or_default().push(record, hasher);
                self.text_bytes += producer.len();
            }
        }
        self.tracked += 1;
        self.text_bytes += identifier.len();
        let expires = retention.expires_ms(id);
        self.due_ms = self.due_ms.into_iter().chain([expires]).min();
        if let Some((_, next)) = &mut self.passed {
            *next = next.iter().copied().chain([expires]).min();
        }
    }

    /// Forgets a request, whatever its age.
    pub fn forget(&mut self, producer: &[u8], identifier: &[u8], hasher: &KeyHasher) {
        self.before_change(producer);
        let Some(found) = self.producers.get_mut(producer) else { return };
        let (before, bytes) = (found.len(), found.text_bytes());
        let kept: Vec<Record> =
            found.records.drain(..).filter(|record| *record.identifier != *identifier).collect();
        *found = Producer::default();
        self.tracked -= before - kept.len();
        kept.into_iter().for_each(|record| found.push(record, hasher));
        self.text_bytes -= bytes - found.text_bytes();
        self.remove_if_empty(producer);
        self.after_removal(producer);
    }

    fn remove_if_empty(&mut self, name: &[u8]) {
        if self.producers.get(name).is_some_and(|producer| producer.len() == 0) {
            self.producers.remove(name);
            self.text_bytes -= name.len();
        }
    }

    /// Reads a producer of a stream that is being loaded, which has no records yet.
    pub fn load_producer(&mut self, name: &[u8]) -> Result<(), Corrupt> {
        match self.producers.entry(name.into()) {
            Entry::Occupied(_) => Err(Corrupt),
            Entry::Vacant(place) => {
                place.insert(Producer::default());
                self.text_bytes += name.len();
                Ok(())
            }
        }
    }

    /// Reads a record of a producer of a stream that is being loaded. One that is there already is passed over, as in Redis, and so is
    /// one too many.
    pub fn load_record(
        &mut self,
        producer: &[u8],
        identifier: &[u8],
        id: StreamId,
        retention: Retention,
        hasher: &KeyHasher,
    ) {
        let has_room = |found: &Producer| {
            found.len() < retention.identifiers as usize && found.find(identifier, hasher).is_none()
        };
        if self.producers.get(producer).is_some_and(has_room) {
            self.insert(producer, identifier, id, retention, hasher);
        }
    }

    /// Ends the loading: producers without records go, and the counters are set.
    pub fn finish_loading(&mut self, added: u64, duplicates: u64) {
        self.producers.retain(|name, producer| {
            let stays = producer.len() > 0;
            self.text_bytes -= if stays { 0 } else { name.len() };
            stays
        });
        (self.added, self.duplicates) = (added, duplicates);
    }

    /// Forgets expired requests, up to about `most` of them; [`Self::due_ms`] says when there is more to do.
    pub fn expire_some(&mut self, now_ms: u64, retention: Retention, most: usize, hasher: &KeyHasher) {
        if self.snapshot.0.is_some() {
            // What expires would have to be kept for the snapshot.
            self.due_ms = self.due_ms.map(|_| now_ms.saturating_add(PASS_INTERVAL_MS));
            return;
        }
        let (mut from, mut next) = self.passed.take().map_or((None, None), |(name, next)| (Some(name), next));
        let mut left = most;
        while left > 0 {
            let start = from.as_deref().map_or(Unbounded, Excluded);
            let Some((name, producer)) = self.producers.range_mut::<[u8], _>((start, Unbounded)).next()
            else {
                self.due_ms = next.map(|due| due.max(now_ms.saturating_add(PASS_INTERVAL_MS)));
                return;
            };
            let (expired, bytes) = producer.expire(now_ms, retention, left, hasher);
            self.tracked -= expired;
            self.text_bytes -= bytes;
            left -= expired.max(1).min(left);
            let first = producer.records.front().map(|record| retention.expires_ms(record.id));
            let name = name.clone();
            if first.is_none() {
                self.producers.remove(&name);
                self.text_bytes -= name.len();
            }
            if first.is_some_and(|first| first <= now_ms) {
                break;
            }
            next = next.into_iter().chain(first).min();
            from = Some(name);
        }
        self.passed = from.map(|name| (name, next));
        // Past, so that what looks for values that are due goes on with this one at once.
        self.due_ms = (self.tracked > 0).then_some(now_ms.saturating_sub(1));
    }

    /// Takes all records out, as a value of their own that can be freed in steps.
    pub fn take_records(&mut self) -> Idempotency {
        self.keep_all();
        let mut taken =
            Idempotency { producers: std::mem::take(&mut self.producers), ..Idempotency::default() };
        // A snapshot may have taken them all.
        if !taken.producers.is_empty() {
            (taken.tracked, taken.text_bytes) = (self.tracked, self.text_bytes);
        }
        (self.tracked, self.text_bytes, self.due_ms, self.passed) = (0, 0, None, None);
        taken
    }

    fn after_removal(&mut self, producer: &[u8]) {
        if self.producers.is_empty() {
            (self.due_ms, self.passed) = (None, None);
        }
        self.after_removal_in_snapshot(producer);
    }

    /// See [`super::Stream::free_some`].
    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        let mut left = nodes.saturating_mul(RECORDS_A_NODE);
        while left > 0
            && let Some(mut last) = self.producers.last_entry()
        {
            let producer = last.get_mut();
            producer.index = HashTable::new();
            let gone = left.min(producer.len());
            producer.records.truncate(producer.len() - gone);
            left -= gone.max(1);
            if producer.len() == 0 {
                last.remove();
            }
        }
        self.producers.is_empty()
    }
}

#[cfg(test)]
#[path = "idempotency_tests.rs"]
mod tests;
