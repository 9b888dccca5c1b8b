//! Counters a slot (CLUSTER SLOT-STATS): kept only with `cluster-slot-stats-enabled`.

use crate::base::crc::SLOTS;
use crate::engine::Engine;

/// What the calls with keys of one slot have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotStats {
    pub cpu_usec: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// The counters of all slots; none until something is counted.
#[derive(Debug, Default)]
pub struct AllSlotStats(Option<Box<[SlotStats; SLOTS as usize]>>);

impl AllSlotStats {
    pub fn of(&self, slot: u16) -> SlotStats {
        self.0.as_ref().map(|all| all[usize::from(slot)]).unwrap_or_default()
    }

    pub fn of_mut(&mut self, slot: u16) -> &mut SlotStats {
        let all = self.0.get_or_insert_with(|| Box::new([SlotStats::default(); SLOTS as usize]));
        &mut all[usize::from(slot)]
    }
}

impl Engine {
    /// The counters of a slot.
    pub fn slot_stats(&self, slot: u16) -> SlotStats {
        self.cluster.as_ref().map(|mode| mode.slot_stats.of(slot)).unwrap_or_default()
    }

    /// All counters begin anew (CONFIG RESETSTAT).
    pub fn reset_slot_stats(&mut self) {
        if let Some(mode) = &mut self.cluster {
            mode.slot_stats = AllSlotStats::default();
        }
    }
}
