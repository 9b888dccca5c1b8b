//! Snapshot of a stream: hands over its parts as they are when the snapshot begins, in the order of RDB files, a few at a time,
//! while the stream goes on changing.
//!
//! ```text
//! nodes     in order of first ids            `log/snapshot.rs`
//! counters  as they were
//! groups    in order of names                `group/snapshot.rs`
//! requests  by producers, in order of names  `idempotency/snapshot.rs`
//! ```
//!
//! Each keeps images of what is changed before its turn comes (`structures/before_images.rs`). A stream that is dropped first
//! hands over what is left.

use super::log::Counters;
use super::part::{StreamPart, StreamSink};
use super::retention::Retention;
use super::{Stream, StreamId};

/// Nodes that are handed over at a time.
const NODES: usize = 2;

/// The state of a snapshot.
pub(super) struct Snapshot {
    sink: Box<dyn StreamSink>,
    /// Counters and number of groups, until they are handed over.
    counters: Option<(Counters, usize)>,
    /// Retention and number of producers, until they are handed over; `None` as well of a stream without idempotency.
    retention: Option<(Retention, usize)>,
    /// Whether it remembered anything of requests.
    has_requests: bool,
}

impl Stream {
    /// Visits all parts as they are now.
    pub fn parts(&self, mut visit: impl FnMut(StreamPart<'_>)) {
        self.log.nodes().for_each(|(master, listpack)| visit(StreamPart::Node(master, listpack)));
        visit(StreamPart::Counters(self.log.counters(), self.groups.len()));
        for (name, group) in self.groups.iter() {
            let (last_delivered, entries_read) = (group.last_delivered(), group.entries_read());
            visit(StreamPart::Group { name, last_delivered, entries_read, pending: group.pending_count() });
            for (id, pending) in group.pending_from(StreamId::ZERO) {
                let (delivered_ms, deliveries) = (pending.delivered_ms, pending.deliveries);
                visit(StreamPart::Pending { id, delivered_ms, deliveries });
            }
            visit(StreamPart::Consumers(group.consumer_count()));
            for (_, consumer) in group.consumers() {
                let (name, pending) = (consumer.name(), consumer.pending_count());
                let (seen_ms, active_ms) = (consumer.seen_ms, consumer.active_ms);
                visit(StreamPart::Consumer { name, seen_ms, active_ms, pending });
                consumer.pending_from(StreamId::ZERO).for_each(|id| visit(StreamPart::Owned(&[id])));
            }
        }
        if self.has_idempotency() {
            visit(StreamPart::Retention(self.retention, self.producer_count()));
            match &self.requests {
                Some(requests) => requests.parts(&mut visit),
                None => visit(StreamPart::Requests { added: 0, duplicates: 0 }),
            }
        }
    }

    /// Begins a snapshot: `sink` will be given every part, as it is now, once. One that was under way is dropped.
    pub fn start_snapshot(&mut self, sink: Box<dyn StreamSink>) {
        self.log.start_snapshot();
        self.groups.start_snapshot();
        let counters = Some((self.log.counters(), self.groups.len()));
        let retention = self.has_idempotency().then(|| (self.retention, self.producer_count()));
        if let Some(requests) = &mut self.requests {
            requests.start_snapshot();
        }
        let has_requests = self.requests.is_some();
        self.snapshot.0 = Some(Box::new(Snapshot { sink, counters, retention, has_requests }));
    }

    /// Whether a snapshot is under way.
    #[inline]
    pub fn in_snapshot(&self) -> bool {
        self.snapshot.0.is_some()
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        self.snapshot.0 = None;
        self.log.cancel_snapshot();
        self.groups.cancel_snapshot();
        if let Some(requests) = &mut self.requests {
            requests.cancel_snapshot();
        }
    }

    /// Hands over a slice of some microseconds; false when nothing is left.
    pub fn snapshot_step(&mut self) -> bool {
        let Some(snapshot) = &mut self.snapshot.0 else { return false };
        let sink = &mut snapshot.sink;
        if self.log.snapshot_step(NODES, |master, listpack| sink.take(StreamPart::Node(master, listpack))) {
            return true;
        }
        if let Some((counters, groups)) = snapshot.counters.take() {
            sink.take(StreamPart::Counters(counters, groups));
        }
        if self.groups.snapshot_step(&mut **sink) {
            return true;
        }
        if let Some((retention, producers)) = snapshot.retention.take() {
            sink.take(StreamPart::Retention(retention, producers));
            if !snapshot.has_requests {
                sink.take(StreamPart::Requests { added: 0, duplicates: 0 });
            }
        }
        if let Some(requests) = &mut self.requests
            && requests.snapshot_step(&mut **sink)
        {
            return true;
        }
        self.snapshot.0 = None;
        false
    }

    pub(super) fn finish_snapshot(&mut self) {
        while self.snapshot_step() {}
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.finish_snapshot();
    }
}
