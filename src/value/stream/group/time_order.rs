//! Pending entries of a group in order of their delivery times: which have been idle for longest (XREADGROUP with CLAIM).
//!
//! A group has none until it is asked for; from then on every delivery and acknowledgement keeps it. Of a group with many pending
//! entries it is made a slice at a time, in order of ids: until then, entries from `next` on are not in it, and only the others are
//! found. An entry that was looked for and is no longer in the stream is taken out, so that it is not passed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::{ConsumerId, Group, Pending};
use crate::value::stream::{Log, StreamId};

/// Pending entries taken in at a time.
const SLICE: usize = if cfg!(test) { 16 } else { 4096 };
/// Entries passed at a time that are no longer in the stream.
pub const MOST_GONE: usize = if cfg!(test) { 16 } else { 1024 };
/// Bytes of an entry, at the usual filling of the tree.
const OVERHEAD: usize = 36;

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub(super) struct TimeOrder {
    entries: BTreeSet<(i64, StreamId)>,
    /// Pending entries from this id on are not in `entries`; `None`: all were taken in.
    next: Option<StreamId>,
}

/// When pending entries may be claimed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextIdle {
    /// This was the earliest delivery, Unix ms.
    Delivered(i64),
    /// Not all of them have been looked at: there may be some at once.
    Unknown,
    /// Nothing is pending that is still in the stream.
    Never,
}

impl TimeOrder {
    fn extend(&mut self, pending: &BTreeMap<StreamId, Pending>) {
        let Some(next) = self.next else { return };
        let mut rest = pending.range(next..);
        self.entries.extend(rest.by_ref().take(SLICE).map(|(id, pending)| (pending.delivered_ms, *id)));
        self.next = rest.next().map(|(id, _)| *id);
    }

    fn changed(&mut self, id: StreamId, before: Option<i64>, after: Option<i64>) {
        if self.next.is_some_and(|next| id >= next) {
            return;
        }
        if let Some(before) = before {
            self.entries.remove(&(before, id));
        }
        if let Some(after) = after {
            self.entries.insert((after, id));
        }
    }

    pub fn memory_usage(&self) -> usize {
        size_of::<TimeOrder>() + self.entries.len() * OVERHEAD
    }

    pub fn free_some(&mut self, left: &mut usize) {
        while *left > 0 && self.entries.pop_last().is_some() {
            *left -= 1;
        }
    }

    pub fn check_invariants(&self, pending: &BTreeMap<StreamId, Pending>) {
        for (delivered_ms, id) in &self.entries {
            assert_eq!(pending.get(id).map(|pending| pending.delivered_ms), Some(*delivered_ms));
            assert!(self.next.is_none_or(|next| *id < next));
        }
    }
}

impl Group {
    /// After an entry's delivery time has changed; `None`: it was not, or is no longer, pending.
    #[inline]
    pub(super) fn time_changed(&mut self, id: StreamId, before: Option<i64>, after: Option<i64>) {
        if let Some(order) = &mut self.by_time {
            order.changed(id, before, after);
        }
    }

    fn time_order(&mut self) -> &mut TimeOrder {
        let order = self.by_time.get_or_insert_with(|| {
            Box::new(TimeOrder { next: Some(StreamId::ZERO), ..TimeOrder::default() })
        });
        order.extend(&self.pending);
        order
    }

    /// When the pending entry that is still in the stream was delivered that has been idle for longest.
    pub fn next_idle(&mut self, log: &Log) -> NextIdle {
        let order = self.time_order();
        for _ in 0..MOST_GONE {
            match order.entries.first().copied() {
                Some((delivered_ms, id)) if log.contains(id) => return NextIdle::Delivered(delivered_ms),
                Some(first) => drop(order.entries.remove(&first)),
                None if order.next.is_none() => return NextIdle::Never,
                None => break,
            }
        }
        NextIdle::Unknown
    }

    /// Up to `count` pending entries that were last delivered until `until_ms`, those first that have been idle for longest: delivery
    /// times and ids. Behind `after`, the last one that was got before. Entries that are no longer in the stream are among them.
    pub fn idle(
        &mut self,
        after: Option<(i64, StreamId)>,
        until_ms: i64,
        count: usize,
    ) -> Vec<(i64, StreamId)> {
        let order = self.time_order();
        let end = (until_ms, StreamId::MAX);
        if after.is_some_and(|after| after >= end) {
            return Vec::new();
        }
        let start = after.map_or(Unbounded, Excluded);
        order.entries.range((start, Included(end))).take(count).copied().collect()
    }

    /// Does not name a pending entry again as one that is idle: it is no longer in the stream.
    pub fn not_idle(&mut self, (delivered_ms, id): (i64, StreamId)) {
        if let Some(order) = &mut self.by_time {
            order.entries.remove(&(delivered_ms, id));
        }
    }

    /// Gives an idle entry, as it is pending, to a consumer.
    pub fn take_idle(&mut self, id: StreamId, consumer: ConsumerId, now_ms: i64) -> Option<Pending> {
        let before = *self.pending.get(&id)?;
        let deliveries = before.deliveries.saturating_add(1);
        self.assign(id, Pending { delivered_ms: now_ms, deliveries, consumer });
        if let Some(consumer) = self.consumer_mut(consumer) {
            consumer.active_ms = now_ms;
        }
        Some(before)
    }
}
