//! Which node serves which slot: claims of others with their epochs, and this node's own epoch.

use std::collections::BTreeMap;

use super::ids::{NodeId, NodeRef};
use super::message::{Body, Header};
use super::node::{Node, flag};
use super::{Action, Cluster, Level};
use crate::base::slot_set::SlotSet;

/// What a claim has changed.
#[derive(Debug, Default)]
struct Changes {
    /// Slots that the claimant has now.
    taken: SlotSet,
    /// Of these, those that this node had.
    mine: SlotSet,
    /// How many this node's shard had: this node, or its primary.
    of_my_primary: usize,
    /// Those that nodes of other shards had.
    moved: BTreeMap<NodeRef, SlotSet>,
}

impl Cluster {
    /// Makes a node the owner of slots, or none. Subscriptions to their channels end where they leave this node's shard.
    pub(super) fn assign_slots(&mut self, slots: &SlotSet, owner: Option<NodeRef>) {
        let my_shard = self.topology.myself().shard;
        let is_mine = |cluster: &Self, at: NodeRef| cluster.topology.node(at).shard == my_shard;
        let stays = owner.is_some_and(|at| is_mine(self, at));
        let had_slots = owner.is_none_or(|at| self.topology.node(at).slot_count() > 0);
        let mut ended = SlotSet::new();
        for slot in slots.iter() {
            if !stays && self.topology.owner(slot).is_some_and(|before| is_mine(self, before)) {
                ended.insert(slot);
            }
            self.topology.set_owner(slot, owner);
            self.unclaimed.remove(slot);
        }
        if let (false, Some(at)) = (had_slots || slots.is_empty(), owner) {
            // Where primaries have replicas, a new one may get some.
            let has_replicas = |(_, node): (NodeRef, &Node)| node.is_primary() && !node.replicas().is_empty();
            if self.topology.by_place().any(has_replicas) {
                self.topology.node_mut(at).set(flag::MIGRATE_TO, true);
            }
        }
        if !ended.is_empty() {
            self.push(Action::EndShardSubscriptions(ended));
        }
    }

    /// No node, or none that still claims it, serves a slot.
    fn is_unclaimed(&self, slot: u16) -> bool {
        self.topology.owner(slot).is_none() || self.unclaimed.contains(slot)
    }

    /// Compares the slots that a primary claims with what is known, and tells it of newer owners.
    pub(super) fn check_claimed_slots(&mut self, at: NodeRef, header: &Header, was_replica: bool) {
        if header.primary.is_none() && self.topology.myself().primary() == Some(at) {
            self.close_imported(&header.slots);
        }
        let node = self.topology.node(at);
        if header.primary.is_some() || (!was_replica && *node.slots() == header.slots) {
            return;
        }
        let text = format!("Mismatch in topology information for sender node {}", self.name_in_shard(at));
        self.log(Level::Notice, text);
        self.update_slots(at, header.config_epoch, &header.slots);
        let is_outdated = |slot: &u16| {
            let owner = self.topology.owner(*slot).filter(|owner| *owner != at && !self.is_unclaimed(*slot));
            owner.is_some_and(|owner| self.topology.node(owner).config_epoch > header.config_epoch)
        };
        let newer = header.slots.iter().find(is_outdated).and_then(|slot| self.topology.owner(slot));
        if let Some(owner) = newer {
            self.send_update(at, owner);
        }
    }

    /// Slots that were coming are this shard's.
    pub(super) fn close_imported(&mut self, slots: &SlotSet) {
        let here = self.topology.all_importing().keys().filter(|slot| slots.contains(**slot));
        for slot in here.copied().collect::<Vec<_>>() {
            self.topology.set_importing(slot, None);
            self.todo.save_durably_and_update();
        }
    }

    /// Tells a node, whose configuration is an old one, of the owner of some slots.
    pub(super) fn send_update(&mut self, to: NodeRef, owner: NodeRef) {
        let text = format!(
            "Node {} has old slots configuration, sending an UPDATE message about {}",
            self.name(to),
            self.name(owner)
        );
        self.log(Level::Verbose, text);
        let node = self.topology.node(owner);
        let slots = node.slots().iter().filter(|slot| !self.unclaimed.contains(*slot)).collect();
        self.send_to(to, Body::Update { config_epoch: node.config_epoch, node: node.id, slots });
    }

    pub(super) fn on_update(&mut self, from: NodeRef, id: NodeId, epoch: u64, slots: &SlotSet) {
        let Some(at) = self.topology.find(id) else { return };
        let before = self.topology.node(at).config_epoch;
        if before >= epoch || at == self.topology.me() {
            return;
        }
        let text = format!(
            "Processing UPDATE message received from {} about node {}. old configEpoch {before}, new configEpoch {epoch}",
            self.name_in_shard(from),
            self.name_in_shard(at)
        );
        self.log(Level::Notice, text);
        self.set_as_primary(at);
        self.topology.node_mut(at).config_epoch = epoch;
        self.todo.save_durably();
        self.update_slots(at, epoch, slots);
    }

    /// A primary claims slots in an epoch (`clusterUpdateSlotsConfigWith`). This node may become its replica.
    pub(super) fn update_slots(&mut self, at: NodeRef, epoch: u64, claimed: &SlotSet) {
        if at == self.topology.me() {
            return;
        }
        let my_primary = self.topology.primary_of(self.topology.me());
        let changes = self.take_claimed(at, epoch, claimed, my_primary);
        self.note_unclaimed(at, epoch, claimed);
        for (from, slots) in &changes.moved {
            for range in slots.ranges() {
                let text = format!(
                    "Slot range [{}, {}] is migrated from node {} to node {}.",
                    range.start(),
                    range.end(),
                    self.name_in_shard(*from),
                    self.name_in_shard(at)
                );
                self.log(Level::Notice, text);
            }
        }
        self.follow_slots(at, epoch, claimed, my_primary, changes);
    }

    /// Gives a claimant the slots that no node serves, or one with an older epoch.
    fn take_claimed(&mut self, at: NodeRef, epoch: u64, claimed: &SlotSet, my_primary: NodeRef) -> Changes {
        let mut changes = Changes::default();
        let is_same_shard = self.are_in_same_shard(at, self.topology.me());
        for slot in claimed.iter() {
            let owner = self.topology.owner(slot);
            if owner == Some(at) {
                self.unclaimed.remove(slot);
                continue;
            }
            let is_newer = owner.is_none_or(|owner| self.topology.node(owner).config_epoch < epoch);
            if !is_newer && !self.unclaimed.contains(slot) && !self.is_granted(slot, at) {
                continue;
            }
            changes.taken.insert(slot);
            if let Some(owner) = owner {
                if owner == self.topology.me() {
                    changes.mine.insert(slot);
                }
                if !self.are_in_same_shard(owner, at) && !self.unclaimed.contains(slot) {
                    changes.moved.entry(owner).or_default().insert(slot);
                }
                changes.of_my_primary += usize::from(owner == my_primary);
            }
            // A move out of the shard was an operator's, and has ended; after a failover within it, moves go on.
            if !is_same_shard {
                self.topology.set_migrating(slot, None);
            }
            if let Some(source) = self.topology.importing(slot)
                && source != at
            {
                match self.are_in_same_shard(source, at) {
                    true => self.set_source_after_failover(slot, at),
                    false => self.topology.set_importing(slot, None),
                }
            }
        }
        if !changes.taken.is_empty() {
            self.assign_slots(&changes.taken, Some(at));
            self.todo.save_durably_and_update();
        }
        changes
    }

    /// Whether this node has handed a slot over to a node, or to another one of its shard. What other nodes claim of old isn't that.
    fn is_granted(&self, slot: u16, at: NodeRef) -> bool {
        self.granted.get(&slot).is_some_and(|target| {
            let target = target.and_then(|id| self.topology.find(id));
            target.is_none_or(|target| target == at || self.are_in_same_shard(target, at))
        })
    }

    /// Looks at slots that a primary doesn't claim: its own are left to it until another node claims them; slots that are moving
    /// from or to it follow.
    fn note_unclaimed(&mut self, at: NodeRef, epoch: u64, claimed: &SlotSet) {
        let owned = self.topology.node(at).slots().iter().filter(|slot| !claimed.contains(*slot));
        for slot in owned.collect::<Vec<_>>() {
            self.unclaimed.insert(slot);
        }
        for (slot, to) in self.topology.all_migrating().clone() {
            let target = self.topology.node(to);
            let is_older = target.config_epoch < epoch || target.is_replica();
            if !claimed.contains(slot) && to != at && is_older && self.are_in_same_shard(to, at) {
                self.set_target_after_failover(slot, at);
                self.todo.save_durably_and_update();
            }
        }
        // Of the two links with a node one may be slower. What it said before it took its newest epoch says nothing of slots that it has
        // had since: this node may have just begun to import one of them.
        if epoch < self.topology.node(at).config_epoch {
            return;
        }
        // The source has given a slot away that this node was importing: it is this node's, which may have been promoted meanwhile.
        let mut inherited = SlotSet::new();
        for (slot, from) in self.topology.all_importing().clone() {
            if claimed.contains(slot) || from != at || !self.topology.myself().is_primary() {
                continue;
            }
            let text = format!(
                "Slot {slot} is no longer being imported from node {}; Clear my importing source for the slot.",
                self.name_in_shard(at)
            );
            self.log(Level::Notice, text);
            self.topology.set_importing(slot, None);
            self.todo.save_durably_and_update();
            if !self.topology.is_mine(slot) {
                inherited.insert(slot);
            }
        }
        if !inherited.is_empty() {
            self.assign_slots(&inherited, Some(self.topology.me()));
            self.bump_epoch();
        }
    }

    /// Has this node follow the slots of its shard if they are all another node's now, and drops the keys of those that it has lost.
    fn follow_slots(
        &mut self,
        at: NodeRef,
        epoch: u64,
        claimed: &SlotSet,
        my_primary: NodeRef,
        changes: Changes,
    ) {
        let me = self.topology.me();
        let is_same_shard = self.are_in_same_shard(at, me);
        let was_ours = changes.of_my_primary > 0;
        // A shard without slots follows, too, the one of its nodes with the newest epoch.
        let is_empty_shards = !was_ours
            && self.topology.myself().primary() != Some(at)
            && claimed.is_empty()
            && self.topology.myself().slot_count() == 0
            && self.slots_epoch(me) < epoch
            && is_same_shard;
        if (was_ours || is_empty_shards) && self.topology.node(my_primary).slot_count() == 0 {
            if self.settings.allow_replica_migration || is_same_shard {
                let text = format!(
                    "Configuration change detected. Reconfiguring myself as a replica of node {}",
                    self.name_in_shard(at)
                );
                self.log(Level::Notice, text);
                self.set_my_primary(at, !is_same_shard);
                self.todo.save_durably_and_update();
                self.todo.broadcast = true;
            } else if self.topology.myself().is_primary() && claimed.len() >= changes.of_my_primary {
                let text = format!(
                    "My last slot was migrated to node {}. I am now an empty primary.",
                    self.name_in_shard(at)
                );
                self.log(Level::Notice, text);
                self.delete_lost(changes.mine);
            }
        } else {
            self.delete_lost(changes.mine);
        }
    }

    fn delete_lost(&mut self, slots: SlotSet) {
        if !slots.is_empty() {
            self.push(Action::DeleteKeys(slots));
        }
    }

    /// Compares the slots that there are keys in with those of this node, if it is a primary: it takes the ones that no node serves,
    /// and has the keys of the others deleted.
    pub fn verify_data(&mut self, now: u64, populated: &SlotSet) {
        self.set_now(now);
        if !self.topology.myself().is_primary() {
            return;
        }
        let (mut free, mut foreign) = (SlotSet::new(), SlotSet::new());
        for slot in populated.iter().filter(|slot| self.topology.importing(*slot).is_none()) {
            match self.topology.owner(slot) {
                None => free.insert(slot),
                Some(owner) => owner != self.topology.me() && foreign.insert(slot),
            };
        }
        if !free.is_empty() {
            self.log(
                Level::Notice,
                format!("I have keys for unassigned slots {free}. Taking responsibility for them."),
            );
            self.assign_slots(&free, Some(self.topology.me()));
            self.todo.save_durably_and_update();
        }
        if !foreign.is_empty() {
            let text = format!(
                "Detected keys in slots that do not belong to this node. Scheduling trim for keys in slots: {foreign}"
            );
            self.log(Level::Notice, text);
            self.push(Action::DeleteKeys(foreign));
        }
    }

    /// An atomic migration has brought slots here with all their keys: this node serves them from now on, in a new epoch.
    pub fn take_over_slots(&mut self, now: u64, slots: &SlotSet) {
        self.set_now(now);
        slots.iter().for_each(|slot| self.topology.set_importing(slot, None));
        self.assign_slots(slots, Some(self.topology.me()));
        self.bump_epoch();
        self.todo.save_durably_and_update();
        self.todo.broadcast = true;
        // At once, for the requests behind this one.
        self.push(Action::SlotsChanged);
    }

    /// The greatest epoch that is known.
    fn max_epoch(&self) -> u64 {
        let epochs = self.topology.by_place().map(|(_, node)| node.config_epoch);
        epochs.max().unwrap_or(0).max(self.topology.current_epoch)
    }

    /// Takes a new configuration epoch without asking the others, unless this node has the greatest already (CLUSTER BUMPEPOCH).
    /// Whether it has a new one.
    pub fn bump_epoch(&mut self) -> bool {
        let own = self.topology.myself().config_epoch;
        if own != 0 && own == self.max_epoch() {
            return false;
        }
        self.topology.current_epoch = self.max_epoch().saturating_add(1);
        self.take_epoch();
        self.log(Level::Notice, format!("New configEpoch set to {}", self.topology.current_epoch));
        true
    }

    fn take_epoch(&mut self) {
        self.topology.myself_mut().config_epoch = self.topology.current_epoch;
        self.todo.save_durably();
        self.todo.broadcast = true;
    }

    /// Of two primaries with one epoch, the one with the smaller name takes a new one.
    pub(super) fn check_epoch_collision(&mut self, at: NodeRef, epoch: u64) {
        let (me, node) = (self.topology.myself(), self.topology.node(at));
        let is_collision = me.is_primary()
            && node.is_primary()
            && epoch == me.config_epoch
            && node.config_epoch == me.config_epoch
            && node.id > me.id;
        if !is_collision {
            return;
        }
        self.topology.current_epoch = self.topology.current_epoch.saturating_add(1);
        self.take_epoch();
        let text = format!(
            "configEpoch collision with node {}. configEpoch set to {}",
            self.name(at),
            self.topology.current_epoch
        );
        self.log(Level::Notice, text);
    }
}
