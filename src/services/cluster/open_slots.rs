//! Slots that are being moved, as a primary tells them to a replica that gets all of its data (`cluster-slot-states` of an RDB file).
//!
//! ```text
//! 609>name-of-a-node,      migrating to it
//! 610<name-of-a-node,      importing from it
//! ```

use super::ids::{NODE_ID_LEN, NodeId};
use super::{Cluster, Level};
use crate::base::crc::SLOTS;

/// A slot that moves, to or from a node that may not be known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenSlot {
    slot: u16,
    is_importing: bool,
    node: NodeId,
}

impl OpenSlot {
    fn parse(text: &str) -> Option<Self> {
        let place = text.find(['<', '>'])?;
        let slot = text[..place].parse().ok().filter(|slot| *slot < SLOTS)?;
        let node = text.get(place + 1..).filter(|id| id.len() == NODE_ID_LEN)?.parse().ok()?;
        Some(OpenSlot { slot, is_importing: text.as_bytes()[place] == b'<', node })
    }
}

impl Cluster {
    /// The slots that move; `None`: there are none.
    pub fn open_slots(&self) -> Option<String> {
        let id = |at| self.topology.node(at).id;
        let importing = self.topology.all_importing().iter().map(|(slot, at)| format!("{slot}<{},", id(*at)));
        let migrating = self.topology.all_migrating().iter().map(|(slot, at)| format!("{slot}>{},", id(*at)));
        Some(importing.chain(migrating).collect::<String>()).filter(|text| !text.is_empty())
    }

    /// Takes over those of this replica's primary.
    pub fn take_open_slots(&mut self, now: u64, text: &[u8]) {
        self.set_now(now);
        let text = String::from_utf8_lossy(text);
        let parts = text.strip_suffix(',').unwrap_or(&text).split(',').map(OpenSlot::parse);
        let Some(open) = parts.collect::<Option<Vec<_>>>() else {
            self.log(Level::Warning, "The primary's slots that are being moved can't be read.".into());
            return;
        };
        self.awaited_open = open;
        // A slot is told of at most twice.
        self.awaited_open.truncate(2 * usize::from(SLOTS));
        self.resolve_open_slots();
    }

    /// Notes those whose node is known by now.
    pub(super) fn resolve_open_slots(&mut self) {
        if self.awaited_open.is_empty() {
            return;
        }
        if self.topology.myself().is_primary() {
            self.awaited_open.clear();
        }
        let mut awaited = std::mem::take(&mut self.awaited_open);
        let count = awaited.len();
        awaited.retain(|open| {
            let Some(at) = self.topology.find(open.node) else { return true };
            if at != self.topology.me() && open.is_importing {
                self.topology.set_importing(open.slot, Some(at));
            } else if at != self.topology.me() {
                self.topology.set_migrating(open.slot, Some(at));
            }
            false
        });
        if awaited.len() != count {
            self.slots_have_changed();
        }
        self.awaited_open = awaited;
    }

    /// What is said of a slot now holds, whatever was before.
    pub(super) fn forget_awaited_open(&mut self, slot: u16) {
        self.awaited_open.retain(|open| open.slot != slot);
    }
}
