//! Roles: which node is a primary and which one a replica, and of which primary; those of others as they say, and this node's own.

use super::ids::NodeRef;
use super::message::Header;
use super::node::flag;
use super::{Action, Cluster, Level};

impl Cluster {
    pub(super) fn are_in_same_shard(&self, one: NodeRef, other: NodeRef) -> bool {
        self.topology.node(one).shard == self.topology.node(other).shard
    }

    /// The configuration epoch of a node's slots: its primary's, if it is a replica.
    pub(super) fn slots_epoch(&self, at: NodeRef) -> u64 {
        self.topology.node(self.topology.primary_of(at)).config_epoch
    }

    /// Takes over the role that a node says it has. False: the message is an old one, and isn't handled further.
    pub(super) fn update_role(&mut self, at: NodeRef, header: &Header) -> bool {
        let Some(primary_id) = header.primary else {
            if self.topology.node(at).is_replica() {
                self.set_as_primary(at);
            }
            return true;
        };
        // This node's replica can't be its primary, but another node may not know yet that it isn't a replica any more.
        let primary = self.topology.find(primary_id).filter(|primary| *primary != at);
        if self.topology.node(at).is_primary() && !self.set_as_replica(at, primary, header.config_epoch) {
            return false;
        }
        if let Some(primary) = primary
            && self.topology.node(at).primary() != Some(primary)
        {
            self.set_primary_of_other(at, primary);
        }
        true
    }

    /// Another primary says that it is a replica. False: that was before what is known of it.
    fn set_as_replica(&mut self, at: NodeRef, primary: Option<NodeRef>, epoch: u64) -> bool {
        match primary.filter(|primary| self.are_in_same_shard(*primary, at)) {
            Some(primary) => {
                let newest = self.slots_epoch(at).max(self.slots_epoch(primary));
                if newest > epoch {
                    let text = format!(
                        "Ignore stale message from {}; gossip config epoch: {epoch}, current config epoch: {newest}",
                        self.name_in_shard(at)
                    );
                    self.log(Level::Notice, text);
                    return false;
                }
                if self.topology.node(primary).is_replica() && primary != self.topology.me() {
                    self.note_failover(at, primary, epoch);
                }
            }
            None => {
                let slots = self.topology.node(at).slots().clone();
                self.assign_slots(&slots, None);
                let text = format!(
                    "Node {} is no longer primary of shard {}; removed all {} slot(s) it used to own",
                    self.name(at),
                    self.topology.node(at).shard,
                    slots.len()
                );
                self.log(Level::Notice, text);
            }
        }
        let node = self.topology.node_mut(at);
        node.set(flag::PRIMARY | flag::MIGRATE_TO, false);
        node.set(flag::REPLICA, true);
        self.todo.save_durably_and_update();
        true
    }

    /// The old primary of a shard tells of a failover before the new one does.
    fn note_failover(&mut self, old: NodeRef, new: NodeRef, epoch: u64) {
        let slots = self.topology.node(old).slots().clone();
        self.set_as_primary(new);
        self.assign_slots(&slots, Some(new));
        for (slot, from) in self.topology.all_importing().clone() {
            if from == old {
                self.set_source_after_failover(slot, new);
            }
        }
        for (slot, to) in self.topology.all_migrating().clone() {
            if to == old {
                self.set_target_after_failover(slot, new);
            }
        }
        self.topology.node_mut(new).config_epoch = epoch;
        let text = format!(
            "A failover occurred in shard {}; node {} lost {} slot(s) and failed over to node {} with a config epoch of {epoch}",
            self.topology.node(old).shard,
            self.name(old),
            slots.len(),
            self.name(new)
        );
        self.log(Level::Notice, text);
    }

    /// A slot that is being imported comes from the node that has taken over.
    pub(super) fn set_source_after_failover(&mut self, slot: u16, new: NodeRef) {
        self.topology.set_importing(slot, Some(new));
        let text = format!(
            "Failover occurred in migration source. Update importing source for slot {slot} to node {}.",
            self.name_in_shard(new)
        );
        self.log(Level::Notice, text);
    }

    /// A slot that is moving away goes to the node that has taken over.
    pub(super) fn set_target_after_failover(&mut self, slot: u16, new: NodeRef) {
        self.topology.set_migrating(slot, Some(new));
        let text = format!(
            "Failover occurred in migration target. Slot {slot} is now being migrated to node {}.",
            self.name_in_shard(new)
        );
        self.log(Level::Notice, text);
    }

    /// A replica of another primary than before.
    fn set_primary_of_other(&mut self, at: NodeRef, primary: NodeRef) {
        let text = format!("Node {} is now a replica of node {}", self.name(at), self.name_in_shard(primary));
        self.log(Level::Notice, text);
        self.topology.set_primary(at, Some(primary));
        // This node's primary has become a replica itself: its primary is this node's, too. What shard this node is in shows whether
        // they share their history, so shards are brought up to date only afterwards.
        let mine = self.topology.myself().primary();
        if let Some(next) = mine.and_then(|mine| self.topology.node(mine).primary())
            && next != self.topology.me()
        {
            let (next_id, old_id) =
                (self.topology.node(next).id, mine.map(|mine| self.topology.node(mine).id));
            let text = format!(
                "I'm a sub-replica! Reconfiguring myself as a replica of {next_id} from {}",
                old_id.map_or_else(String::new, |id| id.to_string())
            );
            self.log(Level::Notice, text);
            self.set_my_primary(next, true);
            self.todo.save_durably_and_update();
            self.todo.broadcast = true;
        }
        let shard = self.topology.node(primary).shard;
        self.update_shard(at, shard);
        self.todo.save();
    }

    /// A replica, this node or another one, is a primary from now on.
    pub(super) fn set_as_primary(&mut self, at: NodeRef) {
        if self.topology.node(at).is_primary() {
            return;
        }
        let text = format!(
            "Reconfiguring node {} as primary for shard {}",
            self.name(at),
            self.topology.node(at).shard
        );
        self.log(Level::Notice, text);
        let is_me = at == self.topology.me();
        let had_primary = self.topology.node(at).primary().is_some();
        self.topology.set_primary(at, None);
        let node = self.topology.node_mut(at);
        node.set(flag::MIGRATE_TO, node.is(flag::MIGRATE_TO) || (had_primary && !is_me));
        node.set(flag::REPLICA | flag::MY_PRIMARY_FAIL, false);
        node.set(flag::PRIMARY, true);
        if is_me {
            (self.following, self.is_from_elsewhere) = (None, false);
            self.push(Action::Promote);
        }
        self.todo.save_and_update();
    }

    /// Makes this node, which has no slots, a replica of another one. `close_slots`: no slot is moving any more.
    pub(super) fn set_my_primary(&mut self, primary: NodeRef, close_slots: bool) {
        let me = self.topology.me();
        debug_assert_ne!(primary, me);
        debug_assert_eq!(self.topology.myself().slot_count(), 0);
        let is_failed = self.topology.node(primary).is(flag::FAIL);
        let node = self.topology.myself_mut();
        node.set(flag::PRIMARY | flag::MIGRATE_TO, false);
        node.set(flag::REPLICA, true);
        node.set(flag::MY_PRIMARY_FAIL, is_failed);
        if close_slots {
            self.topology.close_slots();
        }
        self.awaited_open.clear();
        self.topology.set_primary(me, Some(primary));
        let before = self.topology.myself().shard;
        let shard = self.topology.node(primary).shard;
        self.topology.myself_mut().shard = shard;
        self.is_from_elsewhere |= before != shard;
        if before != shard {
            // Channels of the former shard's slots are served elsewhere; those that the new one has, none has subscribed to here.
            let slots = self.topology.node(primary).slots();
            let ended = (0..crate::base::crc::SLOTS).filter(|slot| !slots.contains(*slot)).collect();
            self.push(Action::EndShardSubscriptions(ended));
        }
        self.following = None;
        self.follow_primary();
        self.reset_manual_failover();
        self.reset_election();
    }

    /// Clears what this node was doing with a node that is removed.
    pub(super) fn forget_role(&mut self, at: NodeRef) {
        if self.is_failing_over_to(at) || self.topology.myself().primary() == Some(at) {
            self.reset_manual_failover();
        }
        let slots = self.topology.node(at).slots().clone();
        for slot in slots.iter() {
            self.unclaimed.remove(slot);
        }
        if !slots.is_empty() {
            self.assign_slots(&slots, None);
            self.todo.save_and_update();
        }
    }
}
