//! Consumer groups: the last delivered id, and the pending entries with their consumers.
//!
//!     Group ─ last delivered id, entries read
//!           ├ pending    id ─▶ delivery time, delivery count, consumer       in order of ids
//!           ├ consumers  name ─▶ slot ─▶ times, pending ids                  in order of names
//!           └ by_time    delivery time, id; once XREADGROUP with CLAIM asks    `group/time_order.rs`
//!
//! An id is in the group's pending list exactly if it is in that of one consumer, the one it names.
//!
//! How many entries a group has read is unknown once entries were deleted or ids were set by XSETID or XGROUP SETID.
//! The counter is kept only while it is certain, and otherwise recovered from the log's counters where possible.

mod snapshot;
mod time_order;

use super::log::Log;
use super::{Corrupt, StreamId};
use crate::structures::before_images::SnapshotState;
use crate::structures::slots::Slots;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use time_order::TimeOrder;
pub use time_order::{MOST_GONE, NextIdle};

/// Bytes that a pending entry costs in both trees, at the usual filling.
const PENDING_OVERHEAD: usize = 96;
/// Pending entries freed at the price of one node.
const PENDING_A_NODE: usize = 32;

/// The groups of a stream, by name.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_name: BTreeMap<Box<[u8]>, Group>,
    snapshot: SnapshotState<snapshot::GroupImages>,
}

/// A consumer's index in its group; another consumer may get it once this one is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(u32);

/// Consumers from which on a group counts as full: half of what a [`ConsumerId`] can name.
const FULL_AT: usize = if cfg!(test) { 1000 } else { 1 << 31 };

/// The consumer of a loaded pending entry until the consumer is loaded.
const UNASSIGNED: ConsumerId = ConsumerId(u32::MAX);

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was last delivered, in milliseconds since 1970.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: u64,
    /// The consumer that it was last delivered to.
    pub consumer: ConsumerId,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last tried to read or claim, in milliseconds since 1970.
    pub seen_ms: i64,
    /// When it last got something; -1 if it never did.
    pub active_ms: i64,
    pending: BTreeSet<StreamId>,
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    last_delivered: StreamId,
    entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    by_name: BTreeMap<Arc<[u8]>, ConsumerId>,
    /// Bytes of the consumers' names.
    name_bytes: usize,
    consumers: Slots<Option<Consumer>>,
    /// Made when it is asked for.
    by_time: Option<Box<TimeOrder>>,
    snapshot: SnapshotState<snapshot::Snapshot>,
}

/// The conditions and effects of a claim (XCLAIM, XAUTOCLAIM).
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest {
    /// The consumer that claims.
    pub consumer: ConsumerId,
    /// Now.
    pub now_ms: i64,
    /// Entries delivered more recently than this are left alone.
    pub min_idle_ms: i64,
    /// The delivery time to note.
    pub delivered_ms: i64,
    /// The delivery count to note, instead of one more than before.
    pub deliveries: Option<u64>,
    /// Whether the claim asks for ids only (`JUSTID`), which is not counted as a delivery.
    pub just_id: bool,
    /// Whether to take entries that are not pending.
    pub force: bool,
}

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is pending with the claiming consumer.
    Claimed,
    /// It is no longer in the stream, and is therefore removed from the pending entries.
    Gone(Pending),
    /// It is not pending, not in the stream, or not idle for long enough.
    Left,
}

/// The result of XAUTOCLAIM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoclaim {
    /// The next id to start from; zero at the end.
    pub next: StreamId,
    /// The claimed ids.
    pub claimed: Vec<StreamId>,
    /// Pending entries that were removed because the stream no longer has them.
    pub gone: Vec<(StreamId, Pending)>,
}

impl Groups {
    /// Number of groups.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The group of that name.
    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.by_name.get(name)
    }

    /// The group of that name, to change.
    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        if self.snapshot.0.is_some() {
            self.before_change(name);
        }
        self.by_name.get_mut(name)
    }

    /// Names and groups, in order of names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.by_name.iter().map(|(name, group)| (&**name, group))
    }

    /// Adds a group, unless there is one of that name.
    pub fn create(&mut self, name: &[u8], group: Group) -> Option<&mut Group> {
        if self.by_name.contains_key(name) {
            return None;
        }
        self.before_create(name);
        Some(self.by_name.entry(name.into()).or_insert(group))
    }

    /// Removes a group and returns it, so that the caller can free it at once or in steps; an empty one in its place, if a
    /// snapshot needs it.
    pub fn remove(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.by_name.remove(name)?;
        Some(self.keep_removed(name, group))
    }

    /// Removes the ids, which ascend, from what is pending with any group; how many pending entries that were.
    pub(super) fn forget(&mut self, ids: &[StreamId]) -> usize {
        let images = self.snapshot.0.as_deref();
        let mut count = 0;
        for (name, group) in &mut self.by_name {
            let pending = group.pending_of(ids);
            if pending.is_empty() {
                continue;
            }
            if images.is_some_and(|images| images.wants(name)) {
                group.begin_snapshot();
            }
            count += pending.len();
            for id in pending {
                group.acknowledge(id);
            }
        }
        count
    }

    /// Whether groups, consumers and pending entries together are more than `most`.
    pub fn has_more_parts_than(&self, most: usize) -> bool {
        let mut left = Some(most);
        self.by_name.values().any(|group| {
            let parts = 1 + group.consumer_count() + group.pending_count();
            left = left.and_then(|left| left.checked_sub(parts));
            left.is_none()
        })
    }

    /// Bytes of memory behind this value, extrapolated from so many groups (0: exact), but not from few.
    pub fn memory_usage(&self, samples: usize) -> usize {
        /// Looked at in any case.
        const FEW: usize = 100;
        let looked_at = if samples == 0 { usize::MAX } else { samples.max(FEW) }.min(self.len());
        let groups = self.by_name.iter().take(looked_at);
        let bytes: usize = groups.map(|(name, group)| name.len() + group.memory_usage()).sum();
        // In 128 bits: bytes of many groups times their number.
        let all = bytes as u128 * self.len() as u128 / looked_at.max(1) as u128;
        all as usize + size_of::<Groups>()
    }

    pub(super) fn free_some(&mut self, nodes: usize) -> bool {
        let mut left = nodes.saturating_mul(PENDING_A_NODE);
        while left > 0
            && let Some(mut last) = self.by_name.last_entry()
        {
            if last.get_mut().free_some(&mut left) {
                last.remove();
            }
        }
        self.by_name.is_empty()
    }

    pub(super) fn check_invariants(&self) {
        self.by_name.values().for_each(Group::check_invariants);
    }
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries are pending with it.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The ids pending with it, from `start` on.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.range(start..).copied()
    }
}

/// Reading.
impl Group {
    /// A group that reads the entries after `last_delivered`.
    pub fn new(last_delivered: StreamId, entries_read: Option<u64>) -> Self {
        Group {
            last_delivered,
            entries_read,
            pending: BTreeMap::new(),
            by_name: BTreeMap::new(),
            name_bytes: 0,
            consumers: Slots::default(),
            by_time: None,
            snapshot: SnapshotState::default(),
        }
    }

    /// The largest id it was given.
    pub fn last_delivered(&self) -> StreamId {
        self.last_delivered
    }

    /// How many entries it was given, where that is known.
    pub fn entries_read(&self) -> Option<u64> {
        self.entries_read
    }

    /// How many entries of `log` it has not been given yet, where that can be told.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        if log.entries_added() == 0 || log.is_empty() {
            return Some(0);
        }
        let first = log.first_id();
        if self.last_delivered < first && log.max_deleted_id() < first {
            return Some(log.len() as i64);
        }
        let read = match self.entries_read {
            Some(read) if !log.has_gaps_after(self.last_delivered) => read,
            _ => log.entries_up_to(self.last_delivered)?,
        };
        Some((log.entries_added() as i64).wrapping_sub(read as i64))
    }

    /// Number of entries pending.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// How `id` is pending, if it is.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// What is pending, from `start` on; from either end.
    pub fn pending_from(&self, start: StreamId) -> impl DoubleEndedIterator<Item = (StreamId, &Pending)> {
        self.pending.range(start..).map(|(id, pending)| (*id, pending))
    }

    /// What is pending, from `first` to `last`, both included.
    pub fn pending_between(
        &self,
        first: StreamId,
        last: StreamId,
    ) -> impl Iterator<Item = (StreamId, &Pending)> {
        self.pending.range(first..=last).map(|(id, pending)| (*id, pending))
    }

    /// Those of the ids, which ascend, that are pending.
    pub(super) fn pending_of(&self, ids: &[StreamId]) -> Vec<StreamId> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Vec::new() };
        if ids.len() < self.pending.len() {
            return ids.iter().copied().filter(|id| self.pending.contains_key(id)).collect();
        }
        let pending = self.pending_between(*first, *last).map(|(id, _)| id);
        pending.filter(|id| ids.binary_search(id).is_ok()).collect()
    }

    /// What is pending with one consumer, from `start` on.
    pub fn pending_with(
        &self,
        consumer: ConsumerId,
        start: StreamId,
    ) -> impl Iterator<Item = (StreamId, &Pending)> {
        let ids = self.consumer(consumer).into_iter().flat_map(move |consumer| consumer.pending_from(start));
        ids.filter_map(|id| Some((id, self.pending.get(&id)?)))
    }

    /// Number of consumers.
    pub fn consumer_count(&self) -> usize {
        self.by_name.len()
    }

    /// Whether no consumer should be added.
    pub fn is_full(&self) -> bool {
        self.by_name.len() >= FULL_AT
    }

    /// The consumers, in order of names.
    pub fn consumers(&self) -> impl Iterator<Item = (ConsumerId, &Consumer)> {
        self.by_name.values().filter_map(|id| Some((*id, self.consumer(*id)?)))
    }

    /// The consumer of that name.
    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.by_name.get(name).copied()
    }

    /// The consumer in that place.
    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(id.0 as usize)?.as_ref()
    }

    /// The consumer in that place, to set its times.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.before_consumer(id);
        self.owner_mut(id)
    }

    /// The consumer in that place, to change what is pending with it.
    fn owner_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.consumers.get_mut(id.0 as usize)?.as_mut()
    }

    /// Bytes of memory behind this value.
    pub fn memory_usage(&self) -> usize {
        let names = self.name_bytes + self.by_name.len() * 2 * size_of::<Arc<[u8]>>();
        let slots = self.consumers.memory_usage();
        let order = self.by_time.as_ref().map_or(0, |order| order.memory_usage());
        size_of::<Group>() + names + slots + self.pending.len() * PENDING_OVERHEAD + order
    }

    /// Panics unless the invariants hold (for tests).
    pub fn check_invariants(&self) {
        assert_eq!(self.consumers.iter().flatten().count(), self.by_name.len());
        let mut pending = 0;
        for (name, id) in &self.by_name {
            let consumer = self.consumer(*id).expect("a consumer for the name");
            assert_eq!(consumer.name, *name);
            pending += consumer.pending.len();
            assert!(consumer.pending.iter().all(|entry| self.pending[entry].consumer == *id));
        }
        assert_eq!(pending, self.pending.len());
        assert_eq!(self.name_bytes, self.by_name.keys().map(|name| name.len()).sum::<usize>());
        if let Some(order) = &self.by_time {
            order.check_invariants(&self.pending);
        }
    }
}

/// Changing.
impl Group {
    /// Sets how far the group has read.
    pub fn set_position(&mut self, last_delivered: StreamId, entries_read: Option<u64>) {
        self.last_delivered = last_delivered;
        self.entries_read = entries_read;
    }

    /// Adds a consumer seen now, unless there is one of that name, or the group is full.
    pub fn create_consumer(&mut self, name: &[u8], now_ms: i64) -> Option<ConsumerId> {
        if self.by_name.contains_key(name) || self.is_full() {
            return None;
        }
        Some(self.add_consumer(name, now_ms))
    }

    /// [`Group::create_consumer`] for a name that is not in use, in a group that isn't full.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> ConsumerId {
        let name: Arc<[u8]> = name.into();
        self.before_new_consumer(&name);
        let consumer =
            Consumer { name: name.clone(), seen_ms: now_ms, active_ms: -1, pending: BTreeSet::new() };
        let id = ConsumerId(self.consumers.insert(Some(consumer)));
        self.name_bytes += name.len();
        self.by_name.insert(name, id);
        id
    }

    /// Deletes a consumer and what is pending with it; tells how many entries that were.
    pub fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.by_name.remove(name)?;
        self.name_bytes -= name.len();
        self.before_consumer(id);
        let consumer = self.consumers.remove(id.0)?;
        self.after_consumer(name);
        for entry in &consumer.pending {
            self.before_pending(*entry);
            let gone = self.pending.remove(entry);
            self.time_changed(*entry, gone.map(|gone| gone.delivered_ms), None);
            self.after_pending(*entry);
        }
        Some(consumer.pending.len())
    }

    /// Records the first delivery of the entry `id` of `log` to `consumer`. `acknowledged` keeps it
    /// from becoming pending.
    pub fn deliver(
        &mut self,
        log: &Log,
        id: StreamId,
        consumer: ConsumerId,
        now_ms: i64,
        acknowledged: bool,
    ) {
        if id > self.last_delivered {
            self.entries_read = match self.entries_read {
                Some(read)
                    if self.last_delivered >= log.first_id() && !log.has_gaps_after(self.last_delivered) =>
                {
                    Some(read.saturating_add(1))
                }
                _ if log.entries_added() > 0 => log.entries_up_to(id),
                unchanged => unchanged,
            };
            self.last_delivered = id;
        }
        if !acknowledged {
            self.assign(id, Pending { delivered_ms: now_ms, deliveries: 1, consumer });
            if let Some(consumer) = self.consumer_mut(consumer) {
                consumer.active_ms = now_ms;
            }
        }
    }

    /// Makes `id` pending as given, also if it was pending with another consumer.
    fn assign(&mut self, id: StreamId, pending: Pending) {
        self.before_pending(id);
        let before = self.pending.insert(id, pending);
        self.time_changed(id, before.map(|before| before.delivered_ms), Some(pending.delivered_ms));
        if before.is_some_and(|before| before.consumer == pending.consumer) {
            return;
        }
        if let Some(before) = before
            && let Some(consumer) = self.owner_mut(before.consumer)
        {
            consumer.pending.remove(&id);
        }
        if let Some(consumer) = self.owner_mut(pending.consumer) {
            consumer.pending.insert(id);
        }
    }

    /// Records another delivery of the pending entry `id` to its consumer.
    pub fn redeliver(&mut self, id: StreamId, now_ms: i64) {
        self.before_pending(id);
        if let Some(pending) = self.pending.get_mut(&id) {
            let before = std::mem::replace(&mut pending.delivered_ms, now_ms);
            pending.deliveries = pending.deliveries.saturating_add(1);
            self.time_changed(id, Some(before), Some(now_ms));
        }
    }

    /// Removes the pending entry `id` and returns it.
    pub fn acknowledge(&mut self, id: StreamId) -> Option<Pending> {
        self.before_pending(id);
        let pending = self.pending.remove(&id);
        self.after_pending(id);
        let pending = pending?;
        self.time_changed(id, Some(pending.delivered_ms), None);
        if let Some(consumer) = self.owner_mut(pending.consumer) {
            consumer.pending.remove(&id);
        }
        Some(pending)
    }

    /// Claims `id`, if the request's conditions hold.
    pub fn claim(&mut self, log: &Log, id: StreamId, request: &ClaimRequest) -> Claim {
        if !log.contains(id) {
            return self.acknowledge(id).map_or(Claim::Left, Claim::Gone);
        }
        let before = self.pending.get(&id).copied();
        let count = match before {
            None if !request.force => return Claim::Left,
            None => 0,
            Some(pending) if request.now_ms.saturating_sub(pending.delivered_ms) < request.min_idle_ms => {
                return Claim::Left;
            }
            Some(pending) => pending.deliveries,
        };
        // An entry that becomes pending by force counts as delivered once already.
        let count = if before.is_none() { 1 } else { count };
        let more = u64::from(!request.just_id);
        let deliveries = request.deliveries.unwrap_or(count.saturating_add(more));
        self.assign(
            id,
            Pending { delivered_ms: request.delivered_ms, deliveries, consumer: request.consumer },
        );
        if let Some(consumer) = self.consumer_mut(request.consumer) {
            consumer.active_ms = request.now_ms;
        }
        Claim::Claimed
    }

    /// Claims up to `count` entries from `start` on, looking at no more than `attempts` of them.
    pub fn autoclaim(
        &mut self,
        log: &Log,
        start: StreamId,
        count: usize,
        attempts: usize,
        request: &ClaimRequest,
    ) -> Autoclaim {
        let mut result = Autoclaim::default();
        let mut from = Some(start);
        for _ in 0..attempts {
            if result.claimed.len() + result.gone.len() >= count {
                break;
            }
            let Some(id) = from.and_then(|from| self.pending.range(from..).next()).map(|(id, _)| *id) else {
                break;
            };
            match self.claim(log, id, request) {
                Claim::Claimed => result.claimed.push(id),
                Claim::Gone(pending) => result.gone.push((id, pending)),
                Claim::Left => {}
            }
            from = id.next();
        }
        let next = from.and_then(|from| self.pending.range(from..).next());
        result.next = next.map_or(StreamId::ZERO, |(id, _)| *id);
        result
    }

    /// Adds a pending entry of a group being loaded; [`Self::load_owner`] sets its consumer.
    pub fn load_pending(&mut self, id: StreamId, delivered_ms: i64, deliveries: u64) -> Result<(), Corrupt> {
        let pending = Pending { delivered_ms, deliveries, consumer: UNASSIGNED };
        if self.pending.insert(id, pending).is_some() { Err(Corrupt) } else { Ok(()) }
    }

    /// Sets the consumer of a pending entry of a group being loaded.
    pub fn load_owner(&mut self, id: StreamId, consumer: ConsumerId) -> Result<(), Corrupt> {
        let pending =
            self.pending.get_mut(&id).filter(|pending| pending.consumer == UNASSIGNED).ok_or(Corrupt)?;
        pending.consumer = consumer;
        self.owner_mut(consumer).ok_or(Corrupt)?.pending.insert(id);
        Ok(())
    }

    /// Checks that every pending entry of a loaded group has a consumer.
    pub fn finish_loading(&self) -> Result<(), Corrupt> {
        let owned: usize = self.consumers.iter().flatten().map(Consumer::pending_count).sum();
        if owned == self.pending.len() { Ok(()) } else { Err(Corrupt) }
    }

    /// Frees pending entries as long as `left` lasts; true when none is left.
    fn free_some(&mut self, left: &mut usize) -> bool {
        if let Some(order) = &mut self.by_time {
            order.free_some(left);
        }
        while *left > 0 && self.pending.pop_last().is_some() {
            *left -= 1;
        }
        while *left > 0
            && let Some(consumer) = self.consumers.last_mut()
        {
            let freed = consumer.as_mut().and_then(|consumer| consumer.pending.pop_last());
            if freed.is_none() {
                self.consumers.free_some(1);
            }
            *left -= 1;
        }
        self.pending.is_empty() && self.consumers.is_empty()
    }
}
