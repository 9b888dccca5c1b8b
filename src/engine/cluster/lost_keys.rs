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
/// Keys of a slot that may be removed within a request: some hundred microseconds' work.
const AT_ONCE: usize = 512;
/// Slots that have a line each in the log.
const SLOTS_LOGGED: usize = 16;

/// What became of keys of lost slots (`cluster_slot_migration_active_trim_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trims {
    /// Those that wait are counted, too.
    pub started: u64,
    pub completed: u64,
    pub cancelled: u64,
    /// How many are under way; of these, or of the last ones, the keys that are to go, and those that have gone.
    pub running: u64,
    pub keys: u64,
    pub trimmed: u64,
    /// Not under way yet, as writes are paused: how many there are, and the keys that are to go.
    pending: (u64, u64),
    /// When keys were last removed at a slow pace, µs.
    last_us: u64,
}

impl Trims {
    fn add(&mut self, keys: u64) {
        self.started += 1;
        self.pending = (self.pending.0 + 1, self.pending.1 + keys);
    }

    /// Those that have waited are under way from now on.
    fn begin(&mut self) {
        let (jobs, keys) = std::mem::take(&mut self.pending);
        if jobs == 0 {
            return;
        }
        if self.running == 0 {
            (self.keys, self.trimmed) = (0, 0);
        }
        (self.running, self.keys) = (self.running + jobs, self.keys + keys);
    }

    fn cancel(&mut self) {
        self.cancelled += std::mem::take(&mut self.running) + std::mem::take(&mut self.pending).0;
    }

    fn end(&mut self) {
        self.completed += std::mem::take(&mut self.running);
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

    /// All slots but those, if there are any: what a file or a replica is to have.
    pub(in crate::engine) fn kept_slots(&self) -> Option<SlotSet> {
        let mut kept = (!self.lost.is_empty()).then(SlotSet::full)?;
        self.lost.iter().for_each(|slot| {
            kept.remove(slot);
        });
        Some(kept)
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
            mode.trims.add(keys);
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
            mode.trims.cancel();
        }
        self.hide_foreign_slots();
    }

    /// Removes keys of slots that were lost, a slice; true if there are more.
    pub(in crate::engine) fn remove_lost_keys(&mut self) -> bool {
        if self.clients.pause.is_some() {
            return false;
        }
        let Some(mode) = self.cluster.as_mut().filter(|mode| !mode.lost.is_empty()) else { return false };
        mode.trims.begin();
        let Some(batch) = self.removal_batch() else { return false };
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
            self.hide_foreign_slots();
            self.slots_are_empty();
        }
        self.after_cron();
        more
    }

    /// Removes the keys that are left of a lost slot at once, if they are few and may be removed now.
    pub fn finish_losing_slot(&mut self, slot: u16) {
        let is_held = self.clients.pause.is_some() || self.removal_pace() != RemovalPace::Usual;
        if !is_held && self.is_losing_slot(slot) && self.data.keyspace.count_in_slot(slot) <= AT_ONCE {
            while self.remove_some_lost_keys(slot, BATCH) {}
            self.hide_foreign_slots();
            self.slots_are_empty();
        }
    }

    fn removal_pace(&self) -> RemovalPace {
        self.cluster.as_ref().map_or(RemovalPace::Usual, |mode| mode.migration.faults.removal)
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
        if let Some(mode) = &mut self.cluster {
            mode.trims.begin();
        }
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
            if mode.lost.is_empty() {
                mode.trims.end();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::base::crc::key_slot;
    use crate::commands::testing::{START_MS, TestServer};
    use crate::engine::persistence::Purpose;
    use crate::engine::slot_migration::RemovalPace;
    use crate::services::cluster::{Cluster, Settings};
    use crate::services::config::Config;

    /// A node with keys in two slots, both of which it has lost.
    fn node() -> (TestServer, [u16; 2]) {
        let (mut server, slots) = node_with_keys();
        let lost = &mut server.engine.cluster.as_mut().expect("in cluster mode").lost;
        slots.iter().for_each(|slot| assert!(lost.insert(*slot)));
        (server, slots)
    }

    /// 3000 keys in one slot, 100 in the other.
    fn node_with_keys() -> (TestServer, [u16; 2]) {
        let config = Config { cluster_enabled: true, ..Config::default() };
        let settings = Settings::from_config(&config);
        let mut server = TestServer::with(config);
        for number in 0..3000 {
            server.run(&format!("SET {{a}}{number} 1"));
            server.run(&format!("SET {{b}}{} 1", number % 100));
        }
        server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
        (server, [key_slot(b"a"), key_slot(b"b")])
    }

    fn lose(server: &mut TestServer, slots: &[u16]) {
        server.engine.lose_slots(&slots.iter().copied().collect());
    }

    /// Removals under way, keys that are to go and that have gone, removals that were begun and completed.
    fn figures(server: &TestServer) -> [u64; 5] {
        let trims = server.engine.cluster.as_ref().expect("in cluster mode").trims;
        [trims.running, trims.keys, trims.trimmed, trims.started, trims.completed]
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

    #[test]
    fn removals_begin_when_writes_are_not_paused_and_their_figures_stay() {
        let (mut server, [a, b]) = node_with_keys();
        server.script("CLIENT PAUSE 100000 WRITE => +OK");
        lose(&mut server, &[b]);
        server.engine.tick();
        assert_eq!(figures(&server), [0, 0, 0, 1, 0]);
        server.script("CLIENT UNPAUSE => +OK");
        server.advance(100);
        server.engine.tick();
        assert_eq!(figures(&server), [0, 100, 100, 1, 1]);
        lose(&mut server, &[a]);
        server.engine.clock.set_reading_step(20_000);
        server.engine.tick();
        let [running, keys, trimmed, started, completed] = figures(&server);
        assert_eq!([running, keys, started, completed], [1, 3000, 2, 1]);
        assert!(trimmed > 0 && trimmed < 3000, "{trimmed}");
    }

    #[test]
    fn few_keys_that_are_left_do_not_hold_up_setslot() {
        let (mut server, slots) = node_with_keys();
        server.engine.set_removal_pace(RemovalPace::Never);
        lose(&mut server, &slots);
        let set = |server: &mut TestServer, slot| server.run(&format!("CLUSTER SETSLOT {slot} STABLE"));
        for slot in slots {
            let refusal = set(&mut server, slot);
            assert!(refusal.starts_with("-ERR There is a pending trim job for slot"), "{refusal}");
        }
        server.engine.set_removal_pace(RemovalPace::Usual);
        assert!(set(&mut server, slots[0]).starts_with("-ERR There is a pending trim job for slot"));
        assert_eq!(set(&mut server, slots[1]), "+OK");
        assert_eq!(server.engine.data.keyspace.count_in_slot(slots[1]), 0);
    }

    #[test]
    fn a_removal_is_completed_also_by_a_slot_that_comes_back() {
        let (mut server, [_, b]) = node_with_keys();
        server.script("CLIENT PAUSE 100000 WRITE => +OK");
        lose(&mut server, &[b]);
        let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
        topology.set_owner(b, Some(topology.me()));
        server.engine.slots_changed();
        assert_eq!(figures(&server), [0, 100, 100, 1, 1]);
    }

    #[test]
    fn a_snapshot_has_no_keys_of_lost_slots() {
        let (mut server, [_, b]) = node();
        let mode = server.engine.cluster.as_mut().expect("in cluster mode");
        mode.lost.remove(b);
        server.engine.start_snapshot(Purpose::Foreground);
        server.engine.walk_whole_snapshot(|_| ());
        let run = server.engine.persistence.run().expect("under way");
        assert_eq!(run.describe(), "100 keys saved, 3000 keys skipped");
    }
}
