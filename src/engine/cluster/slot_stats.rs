//! Counters a slot (CLUSTER SLOT-STATS), kept with `cluster-slot-stats-enabled`.
//!
//! Then each call is one that the logs of calls look at (`notable_nanos` is 0), and comes by here; otherwise no call does anything for
//! them. Of a transaction each command counts, of a script the call that runs it with its keys.

use crate::base::crc::{SLOTS, key_slot};
use crate::base::ids::ClientId;
use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::engine::clients::state;
use crate::engine::command::keys;
use crate::engine::command::table::CommandId;
use crate::engine::metrics::slowlog::CallCost;
use crate::resp::Args;

/// What the calls with keys of one slot have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotStats {
    pub nanos: u64,
    /// Bytes of requests and of replies.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// The counters of all slots; none until something is counted.
#[derive(Debug, Default)]
pub(super) struct AllSlotStats(Option<Box<[SlotStats; SLOTS as usize]>>);

impl AllSlotStats {
    fn of(&self, slot: u16) -> SlotStats {
        self.0.as_ref().map(|all| all[usize::from(slot)]).unwrap_or_default()
    }

    fn add(&mut self, slot: u16, cost: &CallCost) {
        let all = self.0.get_or_insert_with(|| Box::new([SlotStats::default(); SLOTS as usize]));
        let stats = &mut all[usize::from(slot)];
        stats.nanos += cost.nanos + cost.earlier_nanos;
        stats.bytes_in += cost.request;
        stats.bytes_out += cost.reply;
    }

    /// Forgets what was counted for slots that are served elsewhere now.
    pub(super) fn keep(&mut self, slots: &SlotSet) {
        let Some(all) = &mut self.0 else { return };
        for slot in (0..SLOTS).filter(|slot| !slots.contains(*slot)) {
            all[usize::from(slot)] = SlotStats::default();
        }
    }
}

impl Engine {
    /// The counters of a slot.
    pub fn slot_stats(&self, slot: u16) -> SlotStats {
        self.cluster.as_ref().map(|mode| mode.slot_stats.of(slot)).unwrap_or_default()
    }

    /// The counters of slots and of the bus begin anew (CONFIG RESETSTAT).
    pub(in crate::engine) fn reset_cluster_stats(&mut self) {
        if let Some(mode) = &mut self.cluster {
            mode.slot_stats = AllSlotStats::default();
            mode.service.stats = Default::default();
        }
    }

    /// Whether each call counts for its slot.
    pub(in crate::engine) fn counts_slots(&self) -> bool {
        self.is_cluster() && self.config.cluster_slot_stats_enabled
    }

    /// A call is over: adds what it took to its slot, if that is wanted.
    pub(in crate::engine) fn add_to_slot_stats(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        cost: &CallCost,
    ) {
        let in_script = self.clients.sessions.get(client).is_some_and(|session| session.is(state::IN_SCRIPT));
        if !self.counts_slots() || in_script {
            return;
        }
        let mut found = Vec::new();
        keys::find(self.commands.get(id).spec, args, &mut found);
        if let (Some(key), Some(mode)) = (found.first(), &mut self.cluster) {
            mode.slot_stats.add(key_slot(args.at(key.index)), cost);
        }
    }
}
