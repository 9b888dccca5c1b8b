//! Keys of slots that another node serves now: removed in slices (`delKeysInSlot`).

use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::keyspace::SlotRemoval;

/// Longest time that it takes of one turn, ns.
const SLICE: u64 = 250_000;
/// Keys removed at a time.
const BATCH: usize = 32;

impl Engine {
    /// The keys of these slots are to go.
    pub(super) fn lose_slots(&mut self, slots: &SlotSet) {
        if let Some(mode) = &mut self.cluster {
            for slot in slots.iter() {
                mode.lost.insert(slot);
            }
        }
        self.wake_soon();
    }

    /// A replica leaves it to its primary.
    pub(super) fn forget_lost_slots(&mut self) {
        if let Some(mode) = &mut self.cluster {
            mode.lost = SlotSet::new();
        }
    }

    /// Removes keys of lost slots, a slice; true if there are more.
    pub(in crate::engine) fn remove_lost_keys(&mut self) -> bool {
        if self.clients.pause.is_some() {
            return false;
        }
        let started = self.clock.ticks();
        while let Some(slot) = self.cluster.as_ref().and_then(|mode| mode.lost.iter().next()) {
            if !self.remove_keys_of(slot) {
                self.forget_lost(slot);
            }
            if self.clock.nanos(started, self.clock.ticks()) > SLICE {
                break;
            }
        }
        self.after_cron();
        self.cluster.as_ref().is_some_and(|mode| !mode.lost.is_empty())
    }

    /// What is left of slots that come back goes at once: new keys must not.
    pub(super) fn finish_lost_slots_that_return(&mut self) {
        let Some(mode) = &self.cluster else { return };
        let topology = &mode.service.topology;
        let returns = |slot: &u16| topology.is_mine(*slot) || topology.importing(*slot).is_some();
        for slot in mode.lost.iter().filter(returns).collect::<Vec<u16>>() {
            while self.remove_keys_of(slot) {}
            self.forget_lost(slot);
        }
    }

    fn forget_lost(&mut self, slot: u16) {
        if let Some(mode) = &mut self.cluster {
            mode.lost.remove(slot);
        }
    }

    /// Removes some keys of a slot; false if there are none any more.
    fn remove_keys_of(&mut self, slot: u16) -> bool {
        let mut more = false;
        for db in 0..self.data.keyspace.count() {
            more |= self.view(db).remove_from_slot(slot, BATCH, SlotRemoval::Lost) == BATCH;
            self.propagate_removals();
        }
        more
    }
}
