//! `nodes.conf` on a simulated disk, written as `server/cluster.rs` does it: by a thread, which takes some time.

use std::collections::VecDeque;
use std::path::Path;

use redloop::base::rng::Rng;
use redloop::sys::disk::{Disk, Mode, replace_file};
use redloop::sys::simulated_disk::SimulatedDisk;

pub const NODES: &str = "nodes.conf";
const TEMPORARY: &str = "nodes.conf.tmp";

/// What is to be written, the oldest first; whether durably.
#[derive(Default)]
pub struct Nodes {
    waiting: VecDeque<(String, bool)>,
}

impl Nodes {
    pub fn save(&mut self, text: String, is_durable: bool) {
        self.waiting.push_back((text, is_durable));
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the thread is done in this turn.
    pub fn is_due(&self, rng: &mut Rng) -> bool {
        !self.waiting.is_empty() && rng.below(3) > 0
    }

    /// Writes all; whether there was any.
    pub fn write_all(&mut self, disk: &SimulatedDisk) -> bool {
        let any = !self.waiting.is_empty();
        for (text, is_durable) in self.waiting.drain(..) {
            Self::write(disk, &text, is_durable);
        }
        any
    }

    pub fn write(disk: &SimulatedDisk, text: &str, is_durable: bool) {
        let (temporary, path) = (Path::new(TEMPORARY), Path::new(NODES));
        if is_durable {
            return replace_file(disk, temporary, path, text.as_bytes()).expect("the disk works");
        }
        let mut file = disk.open(temporary, Mode::Create).expect("the disk works");
        file.write_all(text.as_bytes()).and_then(|()| file.sync()).expect("the disk works");
        disk.rename(temporary, path).expect("the disk works");
    }
}
