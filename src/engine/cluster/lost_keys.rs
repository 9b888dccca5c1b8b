//! Keys of slots that other nodes serve now: they are removed in slices. A slot that comes back meanwhile is emptied first: the
//! node that served it has newer keys.

use super::ClusterMode;
use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::engine::slot_migration::RemovalPace;
use crate::keyspace::SlotRemoval;
use crate::services::slot_migration::SlotRanges;

/// Longest time that this takes of one turn, ns.
const SLICE: u64 = 250_000;
/// Keys removed at a time.
const BATCH: usize = 32;
/// Slots that have a line each in the log.
const SLOTS_LOGGED: usize = 16;

/// What became of keys of lost slots (`cluster_slot_migration_active_trim_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trims {
    pub started: u64,
    pub completed: u64,
    pub cancelled: u64,
    /// Of those under way: how many there are, the keys that are to go, and those that have gone.
    pub running: u64,
    pub keys: u64,
    pub trimmed: u64,
    /// When keys were last removed at a slow pace, µs.
    last_us: u64,
}

impl Trims {
    fn end(&mut self) {
        self.completed += std::mem::take(&mut self.running);
        (self.keys, self.trimmed) = (0, 0);
    }
}

/// Says which slots' keys are going to be removed: a few in a line each, as Redis does; thousands of lines would hold up the loop.
fn log_removal(slots: &SlotSet, me: &str) {
    if slots.len() > SLOTS_LOGGED {
        log::info!("Deleting keys in {} dirty slots ({slots}) on node {me}", slots.len());
        return;
    }
    for slot in slots.iter() {
        log::info!("Deleting keys in dirty slot {slot} on node {me}");
    }
}

impl ClusterMode {
    /// Slots whose keys are being removed.
    pub fn lost_slots(&self) -> &SlotSet {
        &self.lost
    }

    /// Whether keys of any of these slots are still being removed.
    pub(in crate::engine) fn is_losing(&self, slots: &SlotRanges) -> bool {
        !self.lost.is_empty() && slots.slots().any(|slot| self.lost.contains(slot))
    }
}

impl Engine {
    /// The keys of these slots are to go; not those of slots that are being imported.
    pub fn lose_slots(&mut self, slots: &SlotSet) {
        let Some(mode) = &mut self.cluster else { return };
        if mode.migration.faults.removal == RemovalPace::Off {
            return;
        }
        let coming = mode.migration.imported_slots();
        let (mut new, mut populated) = (SlotSet::new(), SlotSet::new());
        for slot in slots.iter().filter(|slot| !coming.contains(*slot)) {
            if mode.lost.insert(slot) {
                new.insert(slot);
                if self.data.keyspace.count_in_slot(slot) > 0 {
                    populated.insert(slot);
                }
            }
        }
        log_removal(&populated, &mode.service.myself_in_shard());
        let keys = self.data.keyspace.count_in_slots(&new) as u64;
        if keys > 0 {
            let trims = &mut mode.trims;
            (trims.started, trims.running, trims.keys) =
                (trims.started + 1, trims.running + 1, trims.keys + keys);
        }
        self.hide_foreign_slots();
        self.wake_soon();
    }

    /// Sets how quickly keys of lost slots are removed. Those that were to stay until now are lost then.
    pub fn set_removal_pace(&mut self, pace: RemovalPace) -> Option<()> {
        let faults = self.migration_faults_mut()?;
        let was_off = std::mem::replace(&mut faults.removal, pace) == RemovalPace::Off;
        if was_off && pace != RemovalPace::Off {
            let mut foreign = self.data.keyspace.populated_slots();
            let topology = &self.cluster.as_ref()?.service.topology;
            let mine = topology.node(topology.primary_of(topology.me())).slots();
            for slot in mine.iter() {
                foreign.remove(slot);
            }
            self.lose_slots(&foreign);
        }
        Some(())
    }

    /// A replica leaves it to its primary.
    pub(super) fn forget_lost_slots(&mut self) {
        if let Some(mode) = &mut self.cluster {
            mode.lost = SlotSet::new();
            mode.trims.cancelled += std::mem::take(&mut mode.trims.running);
            (mode.trims.keys, mode.trims.trimmed) = (0, 0);
        }
        self.hide_foreign_slots();
    }

    /// Removes keys of slots that were lost, a slice; true if there are more.
    pub(in crate::engine) fn remove_lost_keys(&mut self) -> bool {
        if self.clients.pause.is_some() {
            return false;
        }
        let had_any = self.cluster.as_ref().is_some_and(|mode| !mode.lost.is_empty());
        let Some(batch) = self.removal_batch().filter(|_| had_any) else { return false };
        let started = self.clock.ticks();
        let mut more = false;
        while let Some(slot) = self.next_lost_slot() {
            let removed = self.remove_some_lost_keys(slot, batch);
            if removed && batch < BATCH {
                // As slowly as a test wants.
                self.after_cron();
                return false;
            }
            if self.clock.nanos(started, self.clock.ticks()) > SLICE {
                more = self.next_lost_slot().is_some();
                break;
            }
        }
        if !more {
            if let Some(mode) = &mut self.cluster {
                mode.trims.end();
            }
            self.hide_foreign_slots();
            self.slots_are_empty();
        }
        self.after_cron();
        more
    }

    fn next_lost_slot(&self) -> Option<u16> {
        self.cluster.as_ref()?.lost.next(0)
    }

    /// Empties the slots that were lost, and are this node's again or are coming here.
    pub(super) fn empty_slots_that_came_back(&mut self) {
        let Some(mode) = &self.cluster else { return };
        let topology = &mode.service.topology;
        let is_back = |slot: &u16| topology.is_mine(*slot) || topology.importing(*slot).is_some();
        let back: Vec<u16> = mode.lost.iter().filter(is_back).collect();
        for slot in back {
            while self.remove_some_lost_keys(slot, BATCH) {}
        }
    }

    /// How many keys may be removed at a time; `None`: not now.
    fn removal_batch(&mut self) -> Option<usize> {
        let now_us = self.frame.now_us;
        let mode = self.cluster.as_mut()?;
        match mode.migration.faults.removal {
            RemovalPace::Usual => Some(BATCH),
            RemovalPace::Off | RemovalPace::Never => None,
            RemovalPace::Slow(us) => {
                let keys = now_us.saturating_sub(mode.trims.last_us) / us.max(1);
                if keys > 0 {
                    mode.trims.last_us = now_us;
                }
                (keys > 0).then_some((keys as usize).min(BATCH - 1))
            }
        }
    }

    /// Removes up to `max` keys of a slot; false once there are none.
    fn remove_some_lost_keys(&mut self, slot: u16, max: usize) -> bool {
        for db in 0..self.data.keyspace.count() {
            let removed = self.view(db).remove_from_slot(slot, max, SlotRemoval::Lost);
            if removed > 0 {
                if let Some(mode) = &mut self.cluster {
                    mode.trims.trimmed += removed as u64;
                }
                self.propagate_removals();
                return true;
            }
        }
        if let Some(mode) = &mut self.cluster {
            mode.lost.remove(slot);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::base::crc::key_slot;
    use crate::commands::testing::{START_MS, TestServer};
    use crate::services::cluster::{Cluster, Settings};
    use crate::services::config::Config;

    /// A node with keys in two slots, both of which it has lost.
    fn node() -> (TestServer, [u16; 2]) {
        let config = Config { cluster_enabled: true, ..Config::default() };
        let settings = Settings::from_config(&config);
        let mut server = TestServer::with(config);
        for number in 0..3000 {
            server.run(&format!("SET {{a}}{number} 1"));
            server.run(&format!("SET {{b}}{} 1", number % 100));
        }
        server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
        let slots = [key_slot(b"a"), key_slot(b"b")];
        let lost = &mut server.engine.cluster.as_mut().expect("in cluster mode").lost;
        slots.iter().for_each(|slot| assert!(lost.insert(*slot)));
        (server, slots)
    }

    #[test]
    fn keys_of_lost_slots_go_in_slices() {
        let (mut server, _) = node();
        server.engine.clock.set_reading_step(20_000);
        server.engine.wake_soon();
        let mut turns = 0;
        while server.engine.data.keyspace.total_keys() > 0 {
            assert_eq!((turns < 100, server.engine.sleep_ms()), (true, 0));
            server.engine.tick();
            turns += 1;
        }
        assert!(turns > 3, "{turns}");
        server.engine.tick();
        assert!(server.engine.cluster.as_ref().is_some_and(|mode| mode.lost.is_empty()));
    }

    #[test]
    fn the_last_slice_is_the_last_however_long_it_took() {
        let (mut server, _) = node();
        let mode = server.engine.cluster.as_mut().expect("in cluster mode");
        mode.trims.running = 1;
        // Longer than a slice for each batch.
        server.engine.clock.set_reading_step(1_000_000);
        server.engine.wake_soon();
        while server.engine.cluster.as_ref().is_some_and(|mode| !mode.lost.is_empty()) {
            server.engine.tick();
        }
        let trims = server.engine.cluster.as_ref().expect("in cluster mode").trims;
        assert_eq!((trims.running, trims.completed), (0, 1));
    }

    #[test]
    fn a_slot_that_comes_back_is_empty() {
        let (mut server, [a, b]) = node();
        let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
        topology.set_owner(a, Some(topology.me()));
        server.engine.slots_changed();
        let keyspace = &server.engine.data.keyspace;
        assert_eq!((keyspace.count_in_slot(a), keyspace.count_in_slot(b)), (0, 100));
    }
}
