//! How the simulation's servers start and end: crashes between and within turns, shutdowns with the data saved.

use std::path::PathBuf;
use std::sync::Arc;

use redloop::engine::persistence::Purpose;
use redloop::server::persistence::snapshot_file::{Encoding, SnapshotFile, Target};
use redloop::sys::simulated_disk::{Crash, SimulatedDisk};

use super::World;
use crate::node::{Node, PORT};

impl World {
    /// Starts a node that is down.
    pub(super) fn start(&mut self, number: usize) {
        let stays = !self.is_plain && self.chance(3);
        let slot = &mut self.slots[number];
        slot.starts += 1;
        slot.stalled_until = 0;
        // A configuration that was written back, or not.
        let primary = slot.wanted.filter(|_| slot.starts > 1 && !stays);
        slot.config.replicaof.0 = primary.map(|primary| ("10.0.0.1".into(), PORT + primary as u16));
        let (config, disk) = (slot.config.clone(), slot.disk.clone());
        let seed = self.seed.wrapping_mul(31) ^ (number as u64) << 40 ^ slot.starts << 50;
        let mut node =
            Node::start(number, config, disk, self.network.now.saturating_add_signed(slot.skew), seed);
        node.has_own_writes = self.has_own_writes;
        slot.node = Some(node);
        slot.promises.server_started();
        self.note(format!("{number} starts, replica of {primary:?}"));
    }

    pub fn crash(&mut self, number: usize, power: Crash) {
        let Some(node) = self.slots[number].node.take() else { return };
        let disk = node.files.disk.crash(power);
        self.note(format!("{number} crashes: {power:?}"));
        self.slots[number].promises.server_crashed(power);
        self.end(number, disk);
    }

    /// A node crashes between two of its next operations of the disk.
    pub(super) fn crash_within(&mut self, number: usize, power: Crash) {
        let steps = self.rng.below(12);
        if let Some(node) = &self.slots[number].node {
            node.files.disk.end_after(steps, power);
            self.slots[number].ends_by = power;
            self.note(format!("{number} will crash: {power:?}"));
        }
    }

    /// Ends a node that has crashed in this turn.
    pub(super) fn end_within(&mut self, number: usize) {
        let disk = self.slots[number].node.as_ref().and_then(|node| node.files.disk.take_found());
        if let Some(disk) = disk {
            self.slots[number].node = None;
            self.note(format!("{number} crashes within a turn"));
            let power = self.slots[number].ends_by;
            self.slots[number].promises.server_crashed(power);
            self.figures.within += 1;
            self.end(number, disk);
        }
    }

    fn end(&mut self, number: usize, disk: SimulatedDisk) {
        self.figures.restarts += 1;
        self.network.node_ended(number, &mut self.rng);
        let ms = if self.chance(4) { 8000 } else { 500 };
        let slot = &mut self.slots[number];
        slot.disk = disk;
        slot.down_until = self.network.now + self.rng.below(ms);
        if number == self.leader {
            self.waiting = None;
            if self.chance(2) {
                self.fail_over(true);
            }
            if number == self.leader {
                // It comes back with what it has saved.
                self.waited.clear();
                self.line.clear();
            }
        }
    }

    /// A node is shut down with its data saved, and comes back.
    pub(super) fn restart_saved(&mut self, number: usize) {
        let Some(mut node) = self.slots[number].node.take() else { return };
        if node.engine.persistence.loading.is_none() {
            node.engine.cancel_snapshot();
            let is_whole = node.files.log.is_whole(&node.engine);
            node.files.log.close(&mut node.engine);
            self.slots[number].promises.server_saved(is_whole);
            let target = Target {
                temporary: PathBuf::from("temp-last.rdb"),
                path: Some(PathBuf::from("dump.rdb")),
                compress: true,
                checksum: true,
                incremental_sync: false,
                encoding: Encoding::Rdb,
            };
            let mut file = SnapshotFile::create(Arc::new(node.files.disk.clone()), target).expect("created");
            node.engine.start_snapshot(Purpose::Foreground);
            node.engine.walk_whole_snapshot(|parts| {
                while let Some(part) = parts.try_next() {
                    file.take(part).expect("written");
                }
            });
            file.finish(|| false).expect("finished");
            self.note(format!("{number} is shut down, its data is saved"));
        }
        let disk = node.files.disk.crash(Crash::Process);
        self.end(number, disk);
    }
}
