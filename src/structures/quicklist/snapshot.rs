//! Snapshot of a quicklist: hands over the nodes that it has when the snapshot begins, in order and as they are then, a few at a
//! time, while the list goes on changing.
//!
//! ```text
//! numbers   0   1   2   3   4   5   6   7            of the nodes that there were
//!           ✓   ✓   i   .   .   i   .   .            ✓ handed over, i has an image
//! nodes         n   c   .   .       x   n   .   .    n new, c changed, x removed
//!                       └run┘               └run┘    nodes that are as they were: a place and a number each run
//! ```
//!
//! A node that is about to be changed is copied, one that is removed is kept instead of freed: its image. Places are counted from
//! the front that the list had, so that pushes and pops don't move the runs. A node that is inserted or removed between
//! them does: that takes no longer than moving the nodes themselves.
//!
//! Compressing a node is no change. A list that is dropped first hands over what is left.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::{End, Node, Quicklist};

/// A step ends with the node that reaches this many bytes, or with so many nodes.
const STEP_BYTES: usize = 8192;
const STEP_NODES: usize = 64;

/// Takes the nodes of a list, in order. It is dropped when it has been given all of them.
pub trait NodeSink: Send {
    /// Takes a node.
    fn take(&mut self, node: &Node);
}

/// Nodes that follow each other and are as they were.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Place of the first, and the first behind the last.
    start: i64,
    end: i64,
    /// The first one's number.
    number: u64,
}

impl Run {
    fn number_at(&self, place: i64) -> u64 {
        self.number + (place - self.start) as u64
    }
}

/// The state of a snapshot.
pub(super) struct Snapshot {
    sink: Box<dyn NodeSink>,
    /// None is empty; places and numbers ascend.
    runs: VecDeque<Run>,
    /// Nodes that were changed or removed, by number.
    images: BTreeMap<u64, Node>,
    /// The place of the list's first node.
    front: i64,
    /// Nodes in runs and images.
    left: usize,
}

impl Snapshot {
    fn place(&self, index: usize) -> i64 {
        self.front + index as i64
    }

    /// The number of the node at a place, if it is as it was.
    fn number_at(&self, place: i64) -> Option<u64> {
        let run = self.runs.get(self.runs.partition_point(|run| run.end <= place))?;
        (run.start <= place).then(|| run.number_at(place))
    }

    /// Takes places out of the runs.
    fn cut(&mut self, places: Range<i64>) {
        let from = self.runs.partition_point(|run| run.end <= places.start);
        let to = self.runs.partition_point(|run| run.start < places.end);
        if from >= to {
            return;
        }
        let (first, last) = (self.runs[from], self.runs[to - 1]);
        let left = (first.start < places.start).then_some(Run { end: places.start, ..first });
        let right = Run { start: places.end, end: last.end, number: last.number_at(places.end) };
        let right = (right.start < right.end).then_some(right);
        let mut replaced = from..to;
        for part in left.into_iter().chain(right) {
            if replaced.is_empty() {
                self.runs.insert(replaced.start, part);
                replaced = replaced.start + 1..replaced.start + 1;
            } else {
                self.runs[replaced.start] = part;
                replaced.start += 1;
            }
        }
        self.runs.drain(replaced);
    }

    /// Moves the runs from a place on, which begins none in the middle.
    fn shift(&mut self, from: i64, by: i64) {
        let first = self.runs.partition_point(|run| run.start < from);
        for run in self.runs.range_mut(first..) {
            run.start += by;
            run.end += by;
        }
    }

    /// After a node was inserted at `index`.
    fn inserted(&mut self, index: usize) {
        if index == 0 {
            self.front -= 1;
            return;
        }
        let place = self.place(index);
        let at = self.runs.partition_point(|run| run.end <= place);
        if let Some(run) = self.runs.get_mut(at)
            && run.start < place
        {
            let right = Run { start: place, number: run.number_at(place), ..*run };
            run.end = place;
            self.runs.insert(at + 1, right);
        }
        self.shift(place, 1);
    }

    /// Takes the nodes of a pass out of the runs.
    fn end_pass(&mut self, mut changed: Vec<usize>) {
        if changed.is_empty() {
            return;
        }
        changed.sort_unstable();
        let front = self.front;
        let mut places = changed.into_iter().map(|index| front + index as i64).peekable();
        for mut run in std::mem::take(&mut self.runs) {
            while let Some(place) = places.next_if(|place| *place < run.end) {
                if run.start < place {
                    self.runs.push_back(Run { end: place, ..run });
                }
                run = Run { start: place + 1, number: run.number_at(place + 1), ..run };
            }
            if run.start < run.end {
                self.runs.push_back(run);
            }
        }
    }

    /// After nodes were removed from `index` on: keeps those that are as they were.
    fn removed(&mut self, index: usize, nodes: impl Iterator<Item = Node>) {
        let start = self.place(index);
        let mut place = start;
        let mut at = self.runs.partition_point(|run| run.end <= start);
        for node in nodes {
            while self.runs.get(at).is_some_and(|run| run.end <= place) {
                at += 1;
            }
            if let Some(run) = self.runs.get(at).filter(|run| run.start <= place) {
                self.images.insert(run.number_at(place), node);
            }
            place += 1;
        }
        self.cut(start..place);
        let count = place - start;
        if index == 0 {
            self.front += count;
        } else {
            self.shift(place, -count);
        }
    }
}

/// Nodes that a pass over the list has kept or copied, to be taken out of the runs together: one by one would move the
/// others each time.
#[derive(Default)]
pub(super) struct Pass {
    /// Indexes of those nodes, ascending or descending.
    changed: Vec<usize>,
    has_emptied: bool,
}

impl Quicklist {
    /// Begins a snapshot: `sink` will be given every node, as it is now, once. One that was under way is dropped.
    pub fn start_snapshot(&mut self, sink: Box<dyn NodeSink>) {
        let count = self.nodes.len();
        let all = Run { start: 0, end: count as i64, number: 0 };
        let runs = if count == 0 { VecDeque::new() } else { VecDeque::from([all]) };
        let state = Snapshot { sink, runs, images: BTreeMap::new(), front: 0, left: count };
        self.snapshot.0 = (count > 0).then(|| Box::new(state));
    }

    /// Whether a snapshot is under way.
    #[inline]
    pub fn in_snapshot(&self) -> bool {
        self.snapshot.0.is_some()
    }

    /// Ends a snapshot half-way.
    pub fn cancel_snapshot(&mut self) {
        self.snapshot.0 = None;
    }

    /// Nodes that are still to be handed over.
    pub fn snapshot_left(&self) -> usize {
        self.snapshot.0.as_ref().map_or(0, |snapshot| snapshot.left)
    }

    /// Hands over a slice of some microseconds; false when nothing is left.
    pub fn snapshot_step(&mut self) -> bool {
        let Some(snapshot) = &mut self.snapshot.0 else { return false };
        let mut bytes = 0;
        for _ in 0..STEP_NODES.min(snapshot.left) {
            let image = snapshot.images.first_entry();
            let run = snapshot.runs.front_mut();
            let bytes_of_node = match (image, run) {
                (Some(image), run) if run.as_ref().is_none_or(|run| *image.key() < run.number) => {
                    let node = image.remove();
                    snapshot.sink.take(&node);
                    node.memory()
                }
                (_, Some(run)) => {
                    let node = &self.nodes[(run.start - snapshot.front) as usize];
                    snapshot.sink.take(node);
                    run.start += 1;
                    run.number += 1;
                    if run.start == run.end {
                        snapshot.runs.pop_front();
                    }
                    node.memory()
                }
                (_, None) => break,
            };
            snapshot.left -= 1;
            bytes += bytes_of_node;
            if bytes >= STEP_BYTES {
                break;
            }
        }
        if snapshot.left == 0 {
            self.snapshot.0 = None;
        }
        self.snapshot.0.is_some()
    }

    /// Hands over all that is left.
    pub(super) fn finish_snapshot(&mut self) {
        while self.snapshot_step() {}
    }

    /// Before the content of a node is changed.
    #[inline(always)]
    pub(super) fn before_change(&mut self, index: usize) {
        if self.snapshot.0.is_some() {
            self.copy_for_snapshot(index);
        }
    }

    #[cold]
    fn copy_for_snapshot(&mut self, index: usize) {
        let Some(snapshot) = &mut self.snapshot.0 else { return };
        let place = snapshot.place(index);
        if let Some(number) = snapshot.number_at(place) {
            snapshot.images.insert(number, self.nodes[index].clone());
            snapshot.cut(place..place + 1);
        }
    }

    /// Before an item is removed at an end; a node that has no other is kept when it is removed.
    #[cold]
    pub(super) fn before_pop(&mut self, end: End) {
        let at = self.index_of(end);
        if self.nodes.get(at).is_some_and(|node| node.count() > 1) {
            self.copy_for_snapshot(at);
        }
    }

    /// [`Self::before_change`] within a pass.
    pub(super) fn before_change_in(&mut self, pass: &mut Pass, index: usize) {
        let Some(snapshot) = &mut self.snapshot.0 else { return };
        if let Some(number) = snapshot.number_at(snapshot.place(index)) {
            snapshot.images.insert(number, self.nodes[index].clone());
            pass.changed.push(index);
        }
    }

    /// Puts an empty node in the place of one, which is kept if need be, within a pass.
    pub(super) fn empty_in(&mut self, pass: &mut Pass, index: usize) {
        let node = std::mem::replace(&mut self.nodes[index], Node::empty());
        pass.has_emptied = true;
        let Some(snapshot) = &mut self.snapshot.0 else { return };
        if let Some(number) = snapshot.number_at(snapshot.place(index))
            && pass.changed.last() != Some(&index)
        {
            snapshot.images.insert(number, node);
            pass.changed.push(index);
        }
    }

    /// Ends a pass: removes the nodes that it has emptied.
    pub(super) fn end_pass(&mut self, pass: Pass) {
        if let Some(snapshot) = &mut self.snapshot.0 {
            snapshot.end_pass(pass.changed);
        }
        if !pass.has_emptied {
            return;
        }
        let runs = self.snapshot.0.iter_mut().flat_map(|snapshot| {
            let front = snapshot.front;
            snapshot.runs.iter_mut().map(move |run| (run.start - front, run))
        });
        let (mut runs, mut index, mut gone) = (runs.peekable(), 0, 0);
        self.nodes.retain(|node| {
            if let Some((_, run)) = runs.next_if(|(start, _)| *start == index) {
                run.start -= gone;
                run.end -= gone;
            }
            index += 1;
            gone += i64::from(node.count() == 0);
            node.count() > 0
        });
    }

    /// Inserts a node.
    #[inline]
    pub(super) fn insert_node(&mut self, index: usize, node: Node) {
        self.nodes.insert(index, node);
        if let Some(snapshot) = &mut self.snapshot.0 {
            snapshot.inserted(index);
        }
    }

    /// Puts a node in the place of one, which is kept if need be.
    pub(super) fn replace_node(&mut self, index: usize, node: Node) {
        let old = std::mem::replace(&mut self.nodes[index], node);
        let Some(snapshot) = &mut self.snapshot.0 else { return };
        let place = snapshot.place(index);
        if let Some(number) = snapshot.number_at(place) {
            snapshot.images.insert(number, old);
            snapshot.cut(place..place + 1);
        }
    }

    /// Removes the node at one end, which is kept if need be.
    #[inline]
    pub(super) fn remove_end_node(&mut self, end: End) {
        if self.in_snapshot() {
            let at = self.index_of(end);
            self.remove_nodes(at..at + 1);
        } else if end == End::Front {
            self.nodes.pop_front();
        } else {
            self.nodes.pop_back();
        }
    }

    /// Removes nodes, which are kept if need be.
    pub(super) fn remove_nodes(&mut self, indexes: Range<usize>) {
        let Some(snapshot) = &mut self.snapshot.0 else {
            self.nodes.drain(indexes);
            return;
        };
        snapshot.removed(indexes.start, self.nodes.drain(indexes));
    }
}

impl Quicklist {
    /// Panics unless runs and images are disjoint and in order, and the runs within the list (for tests).
    pub(super) fn check_snapshot(&self) {
        let Some(snapshot) = &self.snapshot.0 else { return };
        let (mut end, mut number, mut count) = (snapshot.front, 0, snapshot.images.len());
        for run in &snapshot.runs {
            let len = (run.end - run.start) as u64;
            assert!(run.start >= end && len > 0 && run.number >= number);
            assert!(snapshot.images.range(run.number..run.number + len).next().is_none());
            (end, number) = (run.end, run.number + len);
            count += len as usize;
        }
        assert!(end <= snapshot.place(self.nodes.len()));
        assert_eq!(count, snapshot.left);
        assert!(count > 0);
    }
}

impl Drop for Quicklist {
    fn drop(&mut self) {
        self.finish_snapshot();
    }
}
