//! A simulated network: connections whose bytes take their time, are lost and sent again, are cut at any place, or are held by a
//! partition, of both directions or of one.
//!
//! ```text
//! end 0 ── send ─▶ inbox of end 1: | event, due at | event, due at |      in order, each connection by itself
//! end 1 ── send ─▶ inbox of end 0: | …
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use redloop::base::rng::Rng;
use redloop::sys::simulated_disk::SimulatedDisk;

/// Bytes that may be under way in one direction of a connection.
const WINDOW: usize = 64 * 1024;

/// What a connection brings to one of its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The other end, which belongs to this node, has opened it: to the port of clients, or to that of the cluster's bus.
    Accepted {
        from: usize,
        is_bus: bool,
    },
    /// It has been accepted.
    Connected,
    Bytes(Vec<u8>),
    Closed(&'static str),
}

#[derive(Debug, Default)]
struct End {
    node: usize,
    /// Its node has done with it.
    is_closed: bool,
    /// Nothing more comes after what is on its way.
    is_ended: bool,
    /// What is on its way here, with the time at which it arrives, ms.
    inbox: VecDeque<(u64, Event)>,
}

#[derive(Debug)]
struct Wire {
    ends: [End; 2],
    /// Nothing takes long.
    is_steady: bool,
    /// The least time that anything takes, ms.
    latency: u64,
}

/// What the link of a node to its network is like.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    /// What everything takes longer, up to, ms.
    slowness: u64,
    /// Of ten packets so many are lost, and sent again after a time that doubles.
    lost_of_ten: u64,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Network {
    pub now: u64,
    /// New connections are not slow at times.
    is_steady: bool,
    last: usize,
    wires: BTreeMap<usize, Wire>,
    /// Of each node the connections on which something is on its way to it, and a time before which nothing of that arrives.
    coming: BTreeMap<usize, BTreeMap<usize, u64>>,
    /// Directions, from one node to another, in which nothing gets through.
    cuts: BTreeSet<(usize, usize)>,
    /// Nodes whose links are slow or lossy.
    qualities: BTreeMap<usize, Quality>,
    /// The node that has its turn, and its disk: once that machine has ended, nothing more comes from it.
    pub running: Option<(usize, SimulatedDisk)>,
}

/// How long TCP waits before it sends a lost packet for the first time again, ms.
const RETRANSMISSION: u64 = 200;

impl Quality {
    fn delay(&self, rng: &mut Rng) -> u64 {
        let mut delay = if self.slowness > 0 { rng.below(self.slowness) } else { 0 };
        let mut wait = RETRANSMISSION;
        while self.lost_of_ten > 0 && rng.below(10) < self.lost_of_ten {
            (delay, wait) = (delay + wait, 2 * wait);
        }
        delay
    }
}

impl Wire {
    fn end_of(&self, node: usize) -> usize {
        usize::from(self.ends[0].node != node)
    }

    /// Puts an event on its way from one end to the other; the node and the time, if there was nothing on that way.
    fn send(
        &mut self,
        from: usize,
        event: Event,
        now: u64,
        more: u64,
        rng: &mut Rng,
    ) -> Option<(usize, u64)> {
        let delay = match rng.below(40) {
            0 if !self.is_steady => rng.below(1500),
            0..=4 => rng.below(60),
            _ => 0,
        };
        let to = &mut self.ends[1 - from];
        if to.is_closed || to.is_ended {
            return None;
        }
        to.is_ended = matches!(event, Event::Closed(_));
        let earliest = to.inbox.back().map_or(0, |(due, _)| *due);
        let due = earliest.max(now + self.latency + delay + more);
        to.inbox.push_back((due, event));
        (to.inbox.len() == 1).then_some((to.node, due))
    }
}

impl Network {
    /// Whether connections are slow at times: those that stand, and new ones.
    pub fn set_steady(&mut self, is_steady: bool) {
        self.is_steady = is_steady;
        self.wires.values_mut().for_each(|wire| wire.is_steady = is_steady);
    }

    /// The links of a node are slow, or lossy, until all is healed.
    pub fn worsen(&mut self, node: usize, slowness: u64, lost_of_ten: u64) {
        self.qualities.insert(node, Quality { slowness, lost_of_ten });
    }

    /// Puts an event on its way on a connection.
    fn put(&mut self, number: usize, from: usize, event: Event, rng: &mut Rng) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        let mut more = 0;
        if !self.qualities.is_empty() {
            let links = wire.ends.iter().filter_map(|end| self.qualities.get(&end.node));
            more = links.map(|quality| quality.delay(rng)).sum();
        }
        if let Some((node, due)) = wire.send(from, event, self.now, more, rng) {
            self.coming.entry(node).or_default().insert(number, due);
        }
    }

    /// Whether something has arrived at a node.
    pub fn has_arrived(&self, node: usize) -> bool {
        self.coming.get(&node).is_some_and(|coming| {
            coming.iter().any(|(number, due)| *due <= self.now && !self.is_cut(*number, node))
        })
    }

    fn is_cut(&self, number: usize, to: usize) -> bool {
        !self.cuts.is_empty()
            && self.wires.get(&number).is_some_and(|wire| {
                let from = wire.ends[1 - wire.end_of(to)].node;
                self.cuts.contains(&(from, to))
            })
    }

    fn has_ended(&self, node: usize) -> bool {
        self.running.as_ref().is_some_and(|(running, disk)| *running == node && disk.has_ended())
    }

    /// Opens a connection between two nodes, of which the other one may be down. Its number.
    pub fn open(&mut self, from: usize, to: usize, is_bus: bool, is_up: bool, rng: &mut Rng) -> usize {
        self.last += 1;
        if self.has_ended(from) {
            return self.last;
        }
        let ends = [from, to].map(|node| End { node, ..End::default() });
        let mut wire = Wire { ends, is_steady: self.is_steady, latency: rng.below(8) };
        wire.ends[1].is_closed = !is_up;
        self.wires.insert(self.last, wire);
        if is_up {
            self.put(self.last, 0, Event::Accepted { from, is_bus }, rng);
        } else {
            self.put(self.last, 1, Event::Closed("Connection refused"), rng);
        }
        self.last
    }

    /// Sends something to the other end.
    pub fn send(&mut self, number: usize, node: usize, event: Event, rng: &mut Rng) {
        if self.has_ended(node) {
            return;
        }
        if let Some(wire) = self.wires.get(&number) {
            self.put(number, wire.end_of(node), event, rng);
        }
    }

    /// Bytes that a node can send just now.
    pub fn room(&self, number: usize, node: usize) -> usize {
        let Some(wire) = self.wires.get(&number) else { return 0 };
        let other = &wire.ends[1 - wire.end_of(node)];
        let under_way = other.inbox.iter().map(|(_, event)| match event {
            Event::Bytes(bytes) => bytes.len(),
            _ => 0,
        });
        WINDOW.saturating_sub(under_way.sum())
    }

    /// A node closes its end: what it has sent still arrives.
    pub fn close(&mut self, number: usize, node: usize, rng: &mut Rng) {
        if self.has_ended(node) {
            return;
        }
        let Some(wire) = self.wires.get_mut(&number) else { return };
        let end = wire.end_of(node);
        wire.ends[end].is_closed = true;
        wire.ends[end].inbox.clear();
        let is_over = wire.ends.iter().all(|end| end.is_closed);
        self.coming.entry(node).or_default().remove(&number);
        self.put(number, end, Event::Closed("the peer has closed it"), rng);
        if is_over {
            self.wires.remove(&number);
        }
    }

    /// A connection is reset: of what is on its way some arrives, up to any byte.
    fn reset(&mut self, number: usize, rng: &mut Rng) {
        let Some(wire) = self.wires.get_mut(&number) else { return };
        for end in wire.ends.iter_mut().filter(|end| !end.is_ended) {
            let kept = rng.below(end.inbox.len() as u64 + 1) as usize;
            end.inbox.truncate(kept);
            if let Some((_, Event::Bytes(bytes))) = end.inbox.back_mut() {
                bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            }
        }
        for from in 0..2 {
            self.put(number, from, Event::Closed("Connection reset by peer"), rng);
        }
    }

    /// Resets one of the connections.
    pub fn reset_any(&mut self, rng: &mut Rng) {
        let numbers: Vec<usize> = self.wires.keys().copied().collect();
        if !numbers.is_empty() {
            self.reset(numbers[rng.below(numbers.len() as u64) as usize], rng);
        }
    }

    /// A node has ended: its connections are reset, as far as the others learn of it.
    pub fn node_ended(&mut self, node: usize, rng: &mut Rng) {
        let ended = self.wires.iter().filter(|(_, wire)| wire.ends.iter().any(|end| end.node == node));
        for number in ended.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.reset(number, rng);
            self.close(number, node, rng);
        }
    }

    /// Nothing gets through between two nodes from now on; what is under way arrives when it has healed.
    pub fn part(&mut self, a: usize, b: usize) {
        self.cuts.extend([(a, b), (b, a)]);
    }

    /// Nothing gets through from one node to another; the other direction is as it was.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Heals one of the partitions, or all, and slow and lossy links with them.
    pub fn heal(&mut self, all: bool, rng: &mut Rng) {
        if all {
            self.cuts.clear();
            self.qualities.clear();
        }
        if !self.cuts.is_empty() {
            let chosen = rng.below(self.cuts.len() as u64) as usize;
            let (a, b) = self.cuts.iter().nth(chosen).copied().unwrap_or_default();
            self.cuts.remove(&(a, b));
            self.cuts.remove(&(b, a));
        }
    }

    /// What has arrived at a node: the connections' numbers and one event each, in no order between connections.
    pub fn arrived(&mut self, node: usize, rng: &mut Rng) -> Vec<(usize, Event)> {
        let mut events = Vec::new();
        let due = self.coming.get(&node).into_iter().flatten().filter(|(_, due)| **due <= self.now);
        let due: Vec<usize> = due.map(|(number, _)| *number).collect();
        for number in due {
            if self.is_cut(number, node) {
                continue;
            }
            let next = match self.wires.get_mut(&number) {
                Some(wire) => {
                    let own = wire.end_of(node);
                    take_due(number, &mut wire.ends[own], self.now, rng, &mut events);
                    wire.ends[own].inbox.front().map(|(due, _)| *due)
                }
                None => None,
            };
            let coming = self.coming.entry(node).or_default();
            match next {
                Some(due) => coming.insert(number, due),
                None => coming.remove(&number),
            };
        }
        // Between connections there is no order: each keeps its own.
        if rng.below(2) == 0 {
            events.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        }
        events
    }
}

/// Takes what has arrived at an end of a connection.
fn take_due(number: usize, end: &mut End, now: u64, rng: &mut Rng, events: &mut Vec<(usize, Event)>) {
    if end.is_closed {
        return end.inbox.clear();
    }
    while end.inbox.front().is_some_and(|(due, _)| *due <= now) {
        let Some((due, event)) = end.inbox.pop_front() else { break };
        let Event::Bytes(mut bytes) = event else {
            events.push((number, event));
            continue;
        };
        // A read takes any part of what is there.
        if bytes.len() > 1 && rng.below(3) == 0 {
            let rest = bytes.split_off(1 + rng.below(bytes.len() as u64 - 1) as usize);
            end.inbox.push_front((due, Event::Bytes(rest)));
            events.push((number, Event::Bytes(bytes)));
            break;
        }
        events.push((number, Event::Bytes(bytes)));
    }
}
