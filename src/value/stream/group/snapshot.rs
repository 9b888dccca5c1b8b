//! Snapshot of consumer groups: hands them over as they are when the snapshot begins, in order of names, some pending entries at a
//! time.
//!
//! ```text
//! groups   done │ a: being handed over │ b: changed │ c │ (d: removed, kept until its turn comes)
//! a        head │ pending ─▶ done … │ consumers
//!                    └ id ─▶ list of its consumer, handed over with it
//! ```
//!
//! A group's own snapshot begins when its turn comes, or before it is changed for the first time; it keeps images of pending entries
//! and consumers that are changed then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Consumer, ConsumerId, Group, Groups, PENDING_A_NODE, Pending};
use crate::structures::before_images::{Before, BeforeImages};
use crate::value::stream::StreamId;
use crate::value::stream::part::{StreamPart, StreamSink};

/// Pending entries, or consumers, that are handed over at a time.
const STEP: usize = 64;
/// Ids in a piece of a list: a long one is never moved as a whole.
const PIECE: usize = 256;

/// The groups that were removed or added since a snapshot began.
pub(super) type GroupImages = BeforeImages<Box<[u8]>, Group>;

/// A list of ids in pieces.
#[derive(Debug, Default)]
struct Ids {
    pieces: VecDeque<Vec<StreamId>>,
    len: usize,
}

impl Ids {
    fn push(&mut self, id: StreamId) {
        match self.pieces.back_mut() {
            Some(last) if last.len() < PIECE => last.push(id),
            _ => self.pieces.push_back(vec![id]),
        }
        self.len += 1;
    }
}

/// A consumer as it was when the snapshot began.
#[derive(Debug)]
struct ConsumerImage {
    id: ConsumerId,
    seen_ms: i64,
    active_ms: i64,
}

impl ConsumerImage {
    fn of(id: ConsumerId, consumer: &Consumer) -> ConsumerImage {
        ConsumerImage { id, seen_ms: consumer.seen_ms, active_ms: consumer.active_ms }
    }
}

/// What a group hands over next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Pending,
    Consumers,
    /// Nothing: it is done.
    End,
}

/// The state of a group's snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    stage: Stage,
    last_delivered: StreamId,
    entries_read: Option<u64>,
    pending_count: usize,
    consumer_count: usize,
    /// `None` if there are no such entries, or no more.
    pending: Option<BeforeImages<StreamId, Pending>>,
    consumers: Option<BeforeImages<Arc<[u8]>, ConsumerImage>>,
    /// Ids that were handed over as pending, by consumer.
    owned: BTreeMap<u32, Ids>,
    /// Those of the consumer whose head was handed over last.
    open: VecDeque<Vec<StreamId>>,
}

impl Groups {
    pub(in crate::value::stream) fn start_snapshot(&mut self) {
        self.cancel_snapshot();
        let last = self.by_name.keys().next_back();
        self.snapshot.0 = last.map(|last| Box::new(BeforeImages::new(last.clone())));
    }

    pub(in crate::value::stream) fn cancel_snapshot(&mut self) {
        if self.snapshot.0.take().is_some() {
            self.by_name.values_mut().for_each(|group| group.snapshot.0 = None);
        }
    }

    /// Hands over some parts; false when there are no more.
    pub(in crate::value::stream) fn snapshot_step(&mut self, sink: &mut dyn StreamSink) -> bool {
        let Some(images) = &mut self.snapshot.0 else { return false };
        let current = self.by_name.range(images.range()).next().map(|(name, _)| name.clone());
        let Some(name) = images.first(current) else {
            self.snapshot.0 = None;
            return false;
        };
        let is_done = match images.image_mut(&name) {
            // It was not there when the snapshot began.
            Some(None) => true,
            // Freed in steps, too.
            Some(Some(removed)) => {
                !removed.snapshot_step(&name, sink) && removed.free_some(&mut (2 * PENDING_A_NODE))
            }
            None => self.by_name.get_mut(&name).is_none_or(|group| {
                let is_done = !group.snapshot_step(&name, sink);
                if is_done {
                    group.snapshot.0 = None;
                }
                is_done
            }),
        };
        if is_done {
            images.set_done(name);
        }
        true
    }

    /// Before a group is changed.
    #[cold]
    pub(super) fn before_change(&mut self, name: &[u8]) {
        if let Some(images) = &self.snapshot.0
            && images.wants(name)
            && let Some(group) = self.by_name.get_mut(name)
        {
            group.begin_snapshot();
        }
    }

    /// Before a group is added.
    pub(super) fn before_create(&mut self, name: &[u8]) {
        if let Some(images) = &mut self.snapshot.0
            && images.wants(name)
        {
            images.keep(name.into(), None);
        }
    }

    /// Keeps a group that was removed, if it has not been handed over yet; an empty one takes its place.
    pub(super) fn keep_removed(&mut self, name: &[u8], mut group: Group) -> Group {
        let Some(images) = &mut self.snapshot.0 else { return group };
        if !images.wants(name) {
            images.forget_added(name);
            return group;
        }
        group.begin_snapshot();
        images.keep(name.into(), Some(group));
        Group::new(StreamId::ZERO, None)
    }
}

impl Group {
    pub(super) fn begin_snapshot(&mut self) {
        if self.snapshot.0.is_some() {
            return;
        }
        let last = self.pending.keys().next_back();
        let last_name = self.by_name.keys().next_back();
        self.snapshot.0 = Some(Box::new(Snapshot {
            stage: Stage::Head,
            last_delivered: self.last_delivered,
            entries_read: self.entries_read,
            pending_count: self.pending.len(),
            consumer_count: self.by_name.len(),
            pending: last.map(|last| BeforeImages::new(*last)),
            consumers: last_name.map(|last| BeforeImages::new(last.clone())),
            owned: BTreeMap::new(),
            open: VecDeque::new(),
        }));
    }

    /// Hands over some parts; false if there were no more.
    fn snapshot_step(&mut self, name: &[u8], sink: &mut dyn StreamSink) -> bool {
        self.begin_snapshot();
        let Some(snapshot) = &mut self.snapshot.0 else { return false };
        match snapshot.stage {
            Stage::Head => {
                sink.take(StreamPart::Group {
                    name,
                    last_delivered: snapshot.last_delivered,
                    entries_read: snapshot.entries_read,
                    pending: snapshot.pending_count,
                });
                snapshot.stage = Stage::Pending;
            }
            Stage::Pending => {
                if !snapshot.pending_step(&self.pending, sink) {
                    snapshot.pending = None;
                    sink.take(StreamPart::Consumers(snapshot.consumer_count));
                    snapshot.stage = Stage::Consumers;
                }
            }
            Stage::Consumers => {
                let entries = snapshot.consumers.as_ref().map(|images| self.by_name.range(images.range()));
                let consumers = &self.consumers;
                let entries = entries.into_iter().flatten().filter_map(|(name, id)| {
                    let consumer = consumers.get(id.0 as usize)?.as_ref()?;
                    Some((name.clone(), ConsumerImage::of(*id, consumer)))
                });
                if !snapshot.consumer_step(entries, sink) {
                    snapshot.consumers = None;
                    snapshot.stage = Stage::End;
                }
            }
            Stage::End => return false,
        }
        true
    }

    /// Before a pending entry is added, changed or removed.
    #[inline]
    pub(super) fn before_pending(&mut self, id: StreamId) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.pending
            && images.wants(&id)
        {
            images.keep(id, self.pending.get(&id).copied());
        }
    }

    /// After a pending entry was removed.
    #[inline]
    pub(super) fn after_pending(&mut self, id: StreamId) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.pending
        {
            images.forget_added(&id);
        }
    }

    /// Before a consumer is changed or removed.
    #[inline]
    pub(super) fn before_consumer(&mut self, id: ConsumerId) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.consumers
            && let Some(Some(consumer)) = self.consumers.get(id.0 as usize)
            && images.wants(consumer.name())
        {
            images.keep(consumer.name.clone(), Some(ConsumerImage::of(id, consumer)));
        }
    }

    /// Before a consumer is added.
    #[inline]
    pub(super) fn before_new_consumer(&mut self, name: &Arc<[u8]>) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.consumers
            && images.wants(&**name)
        {
            images.keep(name.clone(), None);
        }
    }

    /// After a consumer was removed.
    #[inline]
    pub(super) fn after_consumer(&mut self, name: &[u8]) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.consumers
        {
            images.forget_added(name);
        }
    }
}

impl Snapshot {
    fn pending_step(&mut self, pending: &BTreeMap<StreamId, Pending>, sink: &mut dyn StreamSink) -> bool {
        let Some(images) = &mut self.pending else { return false };
        let entries = pending.range(images.range()).map(|(id, pending)| (*id, *pending));
        let owned = &mut self.owned;
        images.walk(STEP, entries, |id, before| {
            let (Before::Current(pending) | Before::Image(pending)) = before;
            let (delivered_ms, deliveries) = (pending.delivered_ms, pending.deliveries);
            sink.take(StreamPart::Pending { id: *id, delivered_ms, deliveries });
            owned.entry(pending.consumer.0).or_default().push(*id);
        })
    }

    fn consumer_step(
        &mut self,
        entries: impl Iterator<Item = (Arc<[u8]>, ConsumerImage)>,
        sink: &mut dyn StreamSink,
    ) -> bool {
        if let Some(ids) = self.open.pop_front() {
            sink.take(StreamPart::Owned(&ids));
            return true;
        }
        let Some(images) = &mut self.consumers else { return false };
        let (owned, open) = (&mut self.owned, &mut self.open);
        images.walk(1, entries, |name, before| {
            let (Before::Current(consumer) | Before::Image(consumer)) = before;
            let ids = owned.remove(&consumer.id.0).unwrap_or_default();
            let (seen_ms, active_ms) = (consumer.seen_ms, consumer.active_ms);
            sink.take(StreamPart::Consumer { name, seen_ms, active_ms, pending: ids.len });
            *open = ids.pieces;
        })
    }
}
