//! A simulated network: connections whose bytes take their time, are cut at any place, or are held by a partition.
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

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Network {
    pub now: u64,
    /// New connections are not slow at times.
    is_steady: bool,
    last: usize,
    wires: BTreeMap<usize, Wire>,
    /// Pairs of nodes, the lower one first, between which nothing gets through.
    partitions: BTreeSet<(usize, usize)>,
    /// The node that has its turn, and its disk: once that machine has ended, nothing more comes from it.
    pub running: Option<(usize, SimulatedDisk)>,
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

impl Wire {
    fn end_of(&self, node: usize) -> usize {
        usize::from(self.ends[0].node != node)
    }

    /// Puts an event on its way from one end to the other.
    fn send(&mut self, from: usize, event: Event, now: u64, rng: &mut Rng) {
        let delay = match rng.below(40) {
            0 if !self.is_steady => rng.below(1500),
            0..=4 => rng.below(60),
            _ => 0,
        };
        let to = &mut self.ends[1 - from];
        if to.is_closed || to.is_ended {
            return;
        }
        to.is_ended = matches!(event, Event::Closed(_));
        let earliest = to.inbox.back().map_or(0, |(due, _)| *due);
        to.inbox.push_back((earliest.max(now + self.latency + delay), event));
    }
}

impl Network {
    /// Whether connections are slow at times: those that stand, and new ones.
    pub fn set_steady(&mut self, is_steady: bool) {
        self.is_steady = is_steady;
        self.wires.values_mut().for_each(|wire| wire.is_steady = is_steady);
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
        if is_up {
            wire.send(0, Event::Accepted { from, is_bus }, self.now, rng);
        } else {
            wire.ends[1].is_closed = true;
            wire.send(1, Event::Closed("Connection refused"), self.now, rng);
        }
        self.wires.insert(self.last, wire);
        self.last
    }

    /// Sends something to the other end.
    pub fn send(&mut self, number: usize, node: usize, event: Event, rng: &mut Rng) {
        let now = self.now;
        if self.has_ended(node) {
            return;
        }
        if let Some(wire) = self.wires.get_mut(&number) {
            wire.send(wire.end_of(node), event, now, rng);
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
        let now = self.now;
        if self.has_ended(node) {
            return;
        }
        let Some(wire) = self.wires.get_mut(&number) else { return };
        let end = wire.end_of(node);
        wire.ends[end].is_closed = true;
        wire.ends[end].inbox.clear();
        wire.send(end, Event::Closed("the peer has closed it"), now, rng);
        if wire.ends.iter().all(|end| end.is_closed) {
            self.wires.remove(&number);
        }
    }

    /// A connection is reset: of what is on its way some arrives, up to any byte.
    fn reset(&mut self, number: usize, rng: &mut Rng) {
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&number) else { return };
        for end in wire.ends.iter_mut().filter(|end| !end.is_ended) {
            let kept = rng.below(end.inbox.len() as u64 + 1) as usize;
            end.inbox.truncate(kept);
            if let Some((_, Event::Bytes(bytes))) = end.inbox.back_mut() {
                bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            }
        }
        for from in 0..2 {
            wire.send(from, Event::Closed("Connection reset by peer"), now, rng);
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
        self.partitions.insert(pair(a, b));
    }

    /// Heals one of the partitions, or all.
    pub fn heal(&mut self, all: bool, rng: &mut Rng) {
        if all {
            self.partitions.clear();
        }
        let parted: Vec<_> = self.partitions.iter().copied().collect();
        if !parted.is_empty() {
            self.partitions.remove(&parted[rng.below(parted.len() as u64) as usize]);
        }
    }

    /// What has arrived at a node: the connections' numbers and one event each, in no order between connections.
    pub fn arrived(&mut self, node: usize, rng: &mut Rng) -> Vec<(usize, Event)> {
        let mut events = Vec::new();
        for (number, wire) in &mut self.wires {
            let own = wire.end_of(node);
            let is_parted = self.partitions.contains(&pair(wire.ends[0].node, wire.ends[1].node));
            let end = &mut wire.ends[own];
            if end.node != node || end.is_closed || is_parted {
                continue;
            }
            while end.inbox.front().is_some_and(|(due, _)| *due <= self.now) {
                let Some((due, event)) = end.inbox.pop_front() else { break };
                let Event::Bytes(mut bytes) = event else {
                    events.push((*number, event));
                    continue;
                };
                // A read takes any part of what is there.
                if bytes.len() > 1 && rng.below(3) == 0 {
                    let rest = bytes.split_off(1 + rng.below(bytes.len() as u64 - 1) as usize);
                    end.inbox.push_front((due, Event::Bytes(rest)));
                    events.push((*number, Event::Bytes(bytes)));
                    break;
                }
                events.push((*number, Event::Bytes(bytes)));
            }
        }
        // Between connections there is no order: each keeps its own.
        if rng.below(2) == 0 {
            events.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        }
        events
    }
}
