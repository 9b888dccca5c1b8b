//! Snapshot of what a stream remembers of requests: hands producers over as they are when the snapshot begins, in order of names,
//! one at a time. A producer has at most [`MAX_IDENTIFIERS`](crate::value::stream::Retention::MAX_IDENTIFIERS) records, so one is a slice.

use super::{Idempotency, Producer};
use crate::structures::before_images::{Before, BeforeImages};
use crate::value::stream::part::{StreamPart, StreamSink};

/// The state of the snapshot.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// `None`: there were no producers, or all were handed over.
    producers: Option<BeforeImages<Box<[u8]>, Producer>>,
    added: u64,
    duplicates: u64,
}

impl Producer {
    pub(in crate::value::stream) fn parts(&self, name: &[u8], visit: &mut dyn FnMut(StreamPart<'_>)) {
        visit(StreamPart::Producer { name, identifiers: self.len() });
        for record in &self.records {
            visit(StreamPart::Identifier(&record.identifier, record.id));
        }
    }
}

impl Idempotency {
    /// Visits all parts as they are now.
    pub(in crate::value::stream) fn parts(&self, visit: &mut dyn FnMut(StreamPart<'_>)) {
        self.producers.iter().for_each(|(name, producer)| producer.parts(name, visit));
        visit(StreamPart::Requests { added: self.added, duplicates: self.duplicates });
    }

    pub(in crate::value::stream) fn start_snapshot(&mut self) {
        let last = self.producers.keys().next_back();
        self.snapshot.0 = Some(Box::new(Snapshot {
            producers: last.map(|last| BeforeImages::new(last.clone())),
            added: self.added,
            duplicates: self.duplicates,
        }));
    }

    pub(in crate::value::stream) fn cancel_snapshot(&mut self) {
        self.snapshot.0 = None;
    }

    /// Hands over some parts; false when there are no more.
    pub(in crate::value::stream) fn snapshot_step(&mut self, sink: &mut dyn StreamSink) -> bool {
        let Some(snapshot) = &mut self.snapshot.0 else { return false };
        if let Some(images) = &mut snapshot.producers {
            let entries = self.producers.range(images.range());
            let entries = entries.map(|(name, producer)| (name.clone(), producer));
            let more = images.walk(1, entries, |name, before| {
                let visit = &mut |part: StreamPart<'_>| sink.take(part);
                match before {
                    Before::Current(producer) => producer.parts(name, visit),
                    Before::Image(producer) => producer.parts(name, visit),
                }
            });
            if more {
                return true;
            }
        }
        sink.take(StreamPart::Requests { added: snapshot.added, duplicates: snapshot.duplicates });
        self.snapshot.0 = None;
        false
    }

    /// Before a producer is added, changed or removed.
    #[inline]
    pub(super) fn before_change(&mut self, name: &[u8]) {
        if self.snapshot.0.is_some() {
            self.keep(name);
        }
    }

    #[cold]
    fn keep(&mut self, name: &[u8]) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.producers
            && images.wants(name)
        {
            images.keep(name.into(), self.producers.get(name).cloned());
        }
    }

    /// Before all producers are removed: those that the snapshot wants are its own from now on.
    pub(super) fn keep_all(&mut self) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.producers
        {
            for (name, producer) in std::mem::take(&mut self.producers) {
                if images.wants(&*name) {
                    images.keep(name, Some(producer));
                } else {
                    images.forget_added(&*name);
                }
            }
        }
    }

    /// After a producer may have been removed.
    pub(super) fn after_removal_in_snapshot(&mut self, name: &[u8]) {
        if let Some(snapshot) = &mut self.snapshot.0
            && let Some(images) = &mut snapshot.producers
            && !self.producers.contains_key(name)
        {
            images.forget_added(name);
        }
    }
}
