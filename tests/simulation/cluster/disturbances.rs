//! What goes wrong, and what operators do meanwhile.

use redloop::sys::simulated_disk::{Crash, SimulatedDisk};

use super::world::ClusterWorld;

/// How long a replica tries to take over that was told to, ms.
const FAILOVER_MS: u64 = 5000;

impl ClusterWorld {
    /// One of the things that go wrong; `is_calm`: only what operators do.
    pub fn disturb(&mut self, is_calm: bool) {
        let node = self.below(self.places.len());
        match self.rng.below(20) {
            0..=3 => self.fail_over(node, ""),
            _ if is_calm => {}
            4 => self.part_side(),
            5 => {
                let other = self.below(self.places.len());
                if node != other {
                    self.note(format!("{node} and {other} are parted"));
                    self.network.part(node, other);
                }
            }
            6 | 7 => {
                self.note("partitions end".into());
                self.network.heal(true, &mut self.rng);
            }
            8 => self.network.reset_any(&mut self.rng),
            9 | 10 => {
                let power = if self.chance(2) { Crash::Power } else { Crash::Process };
                match self.chance(2) {
                    true => self.crash(node, power),
                    false => self.crash_within(node, power),
                }
            }
            11 if self.chance(3) => self.lose_disk(node),
            12 => {
                let ms = self.rng.below(3 * self.node_timeout_ms);
                self.places[node].stalled_until = self.network.now + ms;
                self.note(format!("{node} stalls for {ms} ms"));
            }
            13 => {
                let ms = self.rng.below(4 * self.node_timeout_ms) as i64;
                self.set_clock(node, ms);
            }
            14 => self.fail_over(node, "FORCE"),
            15 => {
                // Seconds, or an hour as where a summer ends.
                let ms = if self.chance(3) { 3_600_000 } else { self.rng.below(20_000) as i64 };
                self.figures.set_back += 1;
                self.set_clock(node, -ms);
            }
            16 => {
                let other = self.below(self.places.len());
                if node != other {
                    self.note(format!("nothing gets from {node} to {other}"));
                    self.network.cut(node, other);
                }
            }
            17 => {
                let (slowness, lost) = match self.chance(2) {
                    true => (1 + self.rng.below(self.node_timeout_ms), 0),
                    false => (0, 1 + self.rng.below(4)),
                };
                self.note(format!(
                    "the links of {node}: up to {slowness} ms slower, {lost} of 10 packets lost"
                ));
                self.network.worsen(node, slowness, lost);
            }
            18 if self.chance(3) => self.lose_all(node),
            _ => {}
        }
    }

    /// Some nodes are on the other side of a partition.
    fn part_side(&mut self) {
        let nodes = self.places.len();
        let side: Vec<bool> = (0..nodes).map(|_| self.chance(3)).collect();
        self.note(format!("parted: {side:?}"));
        for a in 0..nodes {
            (0..a).filter(|b| side[a] != side[*b]).for_each(|b| self.network.part(a, b));
        }
    }

    fn fail_over(&mut self, node: usize, how: &str) {
        if self.view(node).is_none_or(|view| view.is_primary) {
            return;
        }
        let words: Vec<&str> =
            ["CLUSTER", "FAILOVER", how].into_iter().filter(|word| !word.is_empty()).collect();
        if self.command(node, &words).starts_with("+OK") {
            self.figures.manual += 1;
            if how == "FORCE" {
                self.forced_until = self.network.now + FAILOVER_MS;
            }
        }
    }

    /// A node crashes between two of its next operations of the disk.
    fn crash_within(&mut self, number: usize, power: Crash) {
        let steps = self.rng.below(12);
        if let Some(node) = &self.places[number].node {
            node.files.disk.end_after(steps, power);
            self.places[number].ends_by = power;
            self.note(format!("{number} will crash: {power:?}"));
        }
    }

    /// A node crashes, and its disk is lost but for `nodes.conf`.
    fn lose_disk(&mut self, number: usize) {
        if !self.is_up(number) {
            return;
        }
        self.crash(number, Crash::Process);
        self.note(format!("{number} loses its data"));
        self.figures.lost_disks += 1;
        let nodes = self.places[number].disk.content(crate::nodes_conf::NODES).expect("it has been written");
        let disk = SimulatedDisk::new(self.seed ^ self.network.now);
        disk.put(crate::nodes_conf::NODES, &nodes);
        self.places[number].disk = disk;
    }
    /// A node crashes, and its disk is lost with `nodes.conf`: it will be another one.
    fn lose_all(&mut self, number: usize) {
        // One at least knows the cluster.
        let members = self.places.iter().filter(|place| !place.is_stranger).count();
        if !self.is_up(number) || members < 3 {
            return;
        }
        self.crash(number, Crash::Process);
        self.note(format!("{number} loses its disk"));
        self.places[number].disk = SimulatedDisk::new(self.seed ^ self.network.now);
        self.places[number].is_stranger = true;
    }
}
