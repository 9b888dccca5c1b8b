//! Counters a slot (CLUSTER SLOT-STATS), kept with `cluster-slot-stats-enabled`.
//!
//! Then each call is one that the logs of calls look at (`notable_nanos` is 0), and comes by here; otherwise no call does anything for
//! them. A transaction and a script count as a whole for the slot of what they call, and not at all if that is of several. Bytes that leave
//! are those of replies, of messages to subscribers of shard channels, and of the stream to replicas (without the MULTI and EXEC around several requests).

use crate::base::crc::{SLOTS, key_slot};
use crate::base::ids::ClientId;
use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::engine::clients::session::{Role, state};
use crate::engine::command::keys;
use crate::engine::command::table::CommandId;
use crate::engine::metrics::slowlog::CallCost;
use crate::resp::Args;
use crate::services::config::SlotStatsKinds;
use crate::services::pubsub::Kind;

/// Bytes of a request that begins a transaction.
const MULTI_BYTES: u64 = b"*1\r\n$5\r\nmulti\r\n".len() as u64;

/// What the calls with keys of one slot have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotStats {
    /// Microseconds, counted in the steps in which the statistics of a command show them: the sums are the same, as in Redis.
    pub micros: u64,
    /// Bytes of requests, and of what is sent for them.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// The slot of the calls in a transaction or a script so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InnerSlot {
    #[default]
    None,
    One(u16),
    Several,
}

impl InnerSlot {
    fn with(self, slot: Option<u16>) -> InnerSlot {
        match (self, slot) {
            (InnerSlot::None, Some(slot)) => InnerSlot::One(slot),
            (InnerSlot::One(before), Some(slot)) if before != slot => InnerSlot::Several,
            _ => self,
        }
    }
}

/// The counters of all slots; none until something is counted.
#[derive(Debug, Default)]
pub(super) struct AllSlotStats {
    all: Option<Box<[SlotStats; SLOTS as usize]>>,
    inner: InnerSlot,
}

impl AllSlotStats {
    fn of(&self, slot: u16) -> SlotStats {
        self.all.as_ref().map(|all| all[usize::from(slot)]).unwrap_or_default()
    }

    fn of_mut(&mut self, slot: u16) -> &mut SlotStats {
        let all = self.all.get_or_insert_with(|| Box::new([SlotStats::default(); SLOTS as usize]));
        &mut all[usize::from(slot)]
    }

    /// Forgets what was counted for slots that are served elsewhere now.
    pub(super) fn keep(&mut self, slots: &SlotSet) {
        let Some(all) = &mut self.all else { return };
        for slot in (0..SLOTS).filter(|slot| !slots.contains(*slot)) {
            all[usize::from(slot)] = SlotStats::default();
        }
    }
}

impl Engine {
    /// The counters of slots that are this node's from now on begin anew: their coming doesn't count.
    pub(in crate::engine) fn reset_slot_stats(&mut self, slots: &SlotSet) {
        let Some(mode) = &mut self.cluster else { return };
        let Some(all) = &mut mode.slot_stats.all else { return };
        for slot in slots.iter() {
            all[usize::from(slot)] = SlotStats::default();
        }
    }

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
        self.is_cluster() && self.config.cluster_slot_stats_enabled.count_calls()
    }

    fn counts_bytes(&self) -> bool {
        self.is_cluster() && self.config.cluster_slot_stats_enabled.contains(SlotStatsKinds::NET)
    }

    /// The slot of a request.
    fn slot_of(&self, id: CommandId, args: Args<'_>) -> Option<u16> {
        let mut found = Vec::new();
        keys::find_routed(self.commands.get(id).spec, args, &mut found);
        found.first().map(|key| key_slot(args.at(key.index)))
    }

    /// A call is over: adds what it took to its slot, if that is wanted.
    pub(in crate::engine) fn add_to_slot_stats(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        cost: &CallCost,
    ) {
        if !self.counts_slots() {
            return;
        }
        let Some(session) = self.clients.sessions.get(client) else { return };
        let (in_script, in_exec) = (session.is(state::IN_SCRIPT), session.is(state::IN_EXEC));
        let gets_reply = session.role == Role::Normal;
        let (kinds, own) = (self.config.cluster_slot_stats_enabled, self.slot_of(id, args));
        let Some(mode) = &mut self.cluster else { return };
        let inner = mode.slot_stats.inner.with(own);
        mode.slot_stats.inner = if in_script || in_exec { inner } else { InnerSlot::None };
        let InnerSlot::One(slot) = inner else { return };
        if in_script || in_exec && own.is_none() {
            return;
        }
        let is_exec = id == self.commands.known.exec;
        let stats = mode.slot_stats.of_mut(slot);
        if kinds.contains(SlotStatsKinds::CPU) && !in_exec {
            // What this call took has been added there.
            let all = self.metrics.stats.commands[id.0 as usize].nanos;
            let before = all.saturating_sub(cost.nanos + cost.earlier_nanos);
            stats.micros += all / 1000 - before / 1000;
        }
        if kinds.contains(SlotStatsKinds::NET) {
            let around = if args.is_inline() { args.len() as u64 + 1 } else { 0 };
            stats.bytes_in += cost.request + around + if is_exec { MULTI_BYTES } else { 0 };
            stats.bytes_out += if in_exec || !gets_reply { 0 } else { cost.reply };
        }
        if id == self.commands.known.spublish {
            self.add_messages_to_slot_stats(args.at(1), args.at(2));
        }
    }

    /// A message was sent to the subscribers of a shard channel.
    pub(super) fn add_messages_to_slot_stats(&mut self, channel: &[u8], message: &[u8]) {
        if !self.counts_bytes() {
            return;
        }
        let listeners = self.clients.pubsub.listeners(Kind::Shard, channel).map_or(0, |to| to.len());
        let bulk = |len: usize| itoa::Buffer::new().format(len).len() + len + b"$\r\n\r\n".len();
        let bytes = b"*3\r\n".len() + bulk(b"smessage".len()) + bulk(channel.len()) + bulk(message.len());
        if let Some(mode) = &mut self.cluster {
            mode.slot_stats.of_mut(key_slot(channel)).bytes_out += (listeners * bytes) as u64;
        }
    }

    /// A request went to replicas as so many bytes of the stream.
    pub(in crate::engine) fn add_stream_to_slot_stats(&mut self, args: Args<'_>, bytes: usize) {
        if !self.counts_bytes() {
            return;
        }
        let slot = self.commands.resolve(args.at(0), args.get(1)).ok().and_then(|id| self.slot_of(id, args));
        let replicas = self.replication.replicas.attached().count();
        if let (Some(slot), Some(mode)) = (slot, &mut self.cluster) {
            mode.slot_stats.of_mut(slot).bytes_out += (replicas * bytes) as u64;
        }
    }
}
