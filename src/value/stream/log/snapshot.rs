//! Snapshot of a log: hands over the nodes that it has when the snapshot begins, in order and as they are then, a few at a time.
//!
//! A node is known by its first id. One that is about to be changed is copied; one that is removed stays where it lies until it
//! has been handed over.

use std::ops::RangeBounds;

use super::{Log, StreamId};
use crate::structures::before_images::{Before, BeforeImages};
use crate::structures::listpack::Listpack;

/// A node as it was when a snapshot began.
#[derive(Debug)]
pub(in crate::value::stream) enum NodeImage {
    Copy(Listpack),
    /// It is detached from the map of nodes.
    Detached,
}

/// The nodes that were changed since a snapshot began.
pub(in crate::value::stream) type NodeImages = BeforeImages<StreamId, NodeImage>;

impl Log {
    /// Begins a snapshot of the nodes. One that was under way is dropped.
    pub(in crate::value::stream) fn start_snapshot(&mut self) {
        self.cancel_snapshot();
        self.snapshot.0 = self.tail.as_ref().map(|(last, _)| Box::new(BeforeImages::new(*last)));
    }

    /// Ends a snapshot half-way.
    pub(in crate::value::stream) fn cancel_snapshot(&mut self) {
        self.snapshot.0 = None;
        self.sealed.release_all();
    }

    /// Hands over up to `most` further nodes; false when there are no more.
    pub(in crate::value::stream) fn snapshot_step(
        &mut self,
        most: usize,
        mut take: impl FnMut(StreamId, &Listpack),
    ) -> bool {
        let Some(images) = &mut self.snapshot.0 else { return false };
        let range = images.range();
        let tail = self.tail.iter().filter(|(master, _)| range.contains(master));
        let tail = tail.map(|(master, listpack)| (*master, listpack));
        let entries = self.sealed.range(range).chain(tail);
        let mut released = Vec::new();
        let more = images.walk(most, entries, |master, node| match node {
            Before::Current(listpack) => take(*master, listpack),
            Before::Image(NodeImage::Copy(listpack)) => take(*master, &listpack),
            Before::Image(NodeImage::Detached) => {
                self.sealed.detached(master).into_iter().for_each(|listpack| take(*master, listpack));
                released.push(*master);
            }
        });
        released.iter().for_each(|master| self.sealed.release(master));
        if !more {
            self.snapshot.0 = None;
        }
        more
    }

    /// Before a node is changed or added.
    #[inline]
    pub(super) fn before_change(&mut self, master: StreamId) {
        if self.snapshot.0.is_some() {
            self.copy_for_snapshot(master);
        }
    }

    /// Before the last node is changed.
    #[cold]
    pub(super) fn before_change_of_tail(&mut self) {
        if let Some((master, _)) = self.tail {
            self.copy_for_snapshot(master);
        }
    }

    #[cold]
    fn copy_for_snapshot(&mut self, master: StreamId) {
        let Some(images) = self.snapshot.0.as_mut().filter(|images| images.wants(&master)) else { return };
        let tail = self.tail.as_ref().filter(|(tail, _)| *tail == master).map(|(_, listpack)| listpack);
        let listpack = tail.or_else(|| self.sealed.get(&master)).cloned();
        images.keep(master, listpack.map(NodeImage::Copy));
    }

    /// Removes a node that the snapshot may want to keep.
    #[cold]
    pub(super) fn remove_node_in_snapshot(&mut self, master: StreamId) {
        let Some(images) = &mut self.snapshot.0 else { return };
        let is_tail = self.tail.as_ref().is_some_and(|(tail, _)| *tail == master);
        match (is_tail, images.wants(&master)) {
            (true, wanted) => {
                let tail = std::mem::replace(&mut self.tail, self.sealed.pop_last());
                if let Some((_, listpack)) = tail.filter(|_| wanted) {
                    images.keep(master, Some(NodeImage::Copy(listpack)));
                }
            }
            (false, true) => {
                if self.sealed.detach(&master) {
                    images.keep(master, Some(NodeImage::Detached));
                }
            }
            (false, false) => {
                self.sealed.remove(&master);
            }
        }
        images.forget_added(&master);
    }
}
