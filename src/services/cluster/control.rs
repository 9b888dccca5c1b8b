//! Changes of a node by its operator: what CLUSTER ADDSLOTS, SETSLOT, FORGET, REPLICATE, RESET and the like do, and why they don't.

use std::fmt;

use super::ids::{NodeId, NodeRef};
use super::myself::HandshakeError;
use super::{Action, Cluster, Level, random_id};
use crate::base::slot_set::SlotSet;

/// Why a change isn't made. Its text is that of the reply, without the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    AlreadyUnassigned(u16),
    AlreadyBusy(u16),
    SpecifiedTwice(u16),
    FlushSlotsWithKeys,
    SetSlotOnReplica,
    NotOwner(u16),
    AlreadyOwner(u16),
    /// Of SETSLOT's moving slots.
    NodeNotKnown(String),
    TargetIsMyself,
    TargetIsReplica,
    HoldsKeys(u16),
    UnknownNode(String),
    ForgetMyself,
    ForgetPrimary,
    ReplicateMyself,
    ReplicateReplica,
    ReplicateWithData,
    NegativeEpoch(i64),
    EpochAmongOthers,
    EpochIsSet,
    ResetWithKeys,
    InvalidAddress,
    TooManyNodes,
    NotAPrimary,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ControlError::*;
        match self {
            AlreadyUnassigned(slot) => write!(f, "Slot {slot} is already unassigned"),
            AlreadyBusy(slot) => write!(f, "Slot {slot} is already busy"),
            SpecifiedTwice(slot) => write!(f, "Slot {slot} specified multiple times"),
            FlushSlotsWithKeys => f.write_str("DB must be empty to perform CLUSTER FLUSHSLOTS."),
            SetSlotOnReplica => f.write_str("Please use SETSLOT only with masters."),
            NotOwner(slot) => write!(f, "I'm not the owner of hash slot {slot}"),
            AlreadyOwner(slot) => write!(f, "I'm already the owner of hash slot {slot}"),
            NodeNotKnown(name) => write!(f, "I don't know about node {name}"),
            TargetIsMyself => f.write_str("Target node is myself"),
            TargetIsReplica => f.write_str("Target node is not a master"),
            HoldsKeys(slot) => write!(
                f,
                "Can't assign hashslot {slot} to a different node while I still hold keys for this hash slot."
            ),
            UnknownNode(name) => write!(f, "Unknown node {name}"),
            ForgetMyself => f.write_str("I tried hard but I can't forget myself..."),
            ForgetPrimary => f.write_str("Can't forget my master!"),
            ReplicateMyself => f.write_str("Can't replicate myself"),
            ReplicateReplica => f.write_str("I can only replicate a master, not a replica."),
            ReplicateWithData => {
                f.write_str("To set a master the node must be empty and without assigned slots.")
            }
            NegativeEpoch(epoch) => write!(f, "Invalid config epoch specified: {epoch}"),
            EpochAmongOthers => f.write_str(
                "The user can assign a config epoch only when the node does not know any other node.",
            ),
            EpochIsSet => f.write_str("Node config epoch is already non-zero"),
            ResetWithKeys => f.write_str("CLUSTER RESET can't be called with master nodes containing keys"),
            InvalidAddress => f.write_str("Invalid node address specified"),
            TooManyNodes => f.write_str("Too many nodes are known already"),
            NotAPrimary => f.write_str("The specified node is not a master"),
        }
    }
}

/// What SETSLOT asks for, with the names of nodes as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRequest<'a> {
    Migrating(&'a [u8]),
    Importing(&'a [u8]),
    Stable,
    Node(&'a [u8]),
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotChange {
    Migrating(NodeRef),
    Importing(NodeRef),
    Stable,
    Node(NodeRef),
}

/// What a role's end leaves to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Data {
    Keep,
    /// It was a primary's, of which this node isn't a replica any more: all keys go.
    Flush,
}

impl Cluster {
    /// The node with a name that came in a request.
    pub fn find_named(&self, name: &[u8]) -> Result<NodeRef, ControlError> {
        let unknown = || ControlError::UnknownNode(String::from_utf8_lossy(name).into_owned());
        NodeId::parse(name).and_then(|id| self.topology.find(id)).ok_or_else(unknown)
    }

    /// ADDSLOTS, ADDSLOTSRANGE. Slots are looked at in their order: which error comes first depends on it.
    pub fn add_slots(&mut self, slots: &[u16]) -> Result<(), ControlError> {
        self.check_add_slots(slots)?;
        self.change_slots(&slots.iter().copied().collect(), Some(self.topology.me()));
        Ok(())
    }

    /// DELSLOTS, DELSLOTSRANGE: of whatever node they are.
    pub fn remove_slots(&mut self, slots: &[u16]) -> Result<(), ControlError> {
        self.check_remove_slots(slots)?;
        self.change_slots(&slots.iter().copied().collect(), None);
        Ok(())
    }

    /// Whether they can be added: no node serves them, and none is named twice.
    pub fn check_add_slots(&self, slots: &[u16]) -> Result<(), ControlError> {
        self.check_slots(slots, |owner, slot| owner.is_some().then_some(ControlError::AlreadyBusy(slot)))
    }

    /// Whether they can be removed.
    pub fn check_remove_slots(&self, slots: &[u16]) -> Result<(), ControlError> {
        self.check_slots(slots, |owner, slot| {
            owner.is_none().then_some(ControlError::AlreadyUnassigned(slot))
        })
    }

    fn check_slots(
        &self,
        slots: &[u16],
        refuse: impl Fn(Option<NodeRef>, u16) -> Option<ControlError>,
    ) -> Result<(), ControlError> {
        let mut seen = SlotSet::new();
        for slot in slots {
            if let Some(error) = refuse(self.topology.owner(*slot), *slot) {
                return Err(error);
            }
            if !seen.insert(*slot) {
                return Err(ControlError::SpecifiedTwice(*slot));
            }
        }
        Ok(())
    }

    fn change_slots(&mut self, slots: &SlotSet, owner: Option<NodeRef>) {
        slots.iter().for_each(|slot| self.topology.set_importing(slot, None));
        self.assign_slots(slots, owner);
        self.slots_have_changed();
    }

    pub(super) fn slots_have_changed(&mut self) {
        self.todo.save_and_update();
        // At once, for the requests behind this one.
        self.push(Action::SlotsChanged);
    }

    /// FLUSHSLOTS.
    pub fn flush_slots(&mut self, has_keys: bool) -> Result<(), ControlError> {
        if has_keys {
            return Err(ControlError::FlushSlotsWithKeys);
        }
        let slots = self.topology.myself().slots().clone();
        self.change_slots(&slots, None);
        Ok(())
    }

    /// Whether a request of SETSLOT can be done, where a slot has so many keys. `obeys`: it comes from this node's primary.
    pub fn check_set_slot(
        &self,
        slot: u16,
        request: SlotRequest<'_>,
        keys: usize,
        obeys: bool,
    ) -> Result<SlotChange, ControlError> {
        let topology = &self.topology;
        let (is_mine, am_primary) = (topology.is_mine(slot), topology.myself().is_primary());
        if !am_primary && !obeys {
            return Err(ControlError::SetSlotOnReplica);
        }
        let other = |name: &[u8]| match self.find_named(name) {
            Err(_) => Err(ControlError::NodeNotKnown(String::from_utf8_lossy(name).into_owned())),
            Ok(at) if at == topology.me() => Err(ControlError::TargetIsMyself),
            Ok(at) if topology.node(at).is_replica() => Err(ControlError::TargetIsReplica),
            Ok(at) => Ok(at),
        };
        match request {
            SlotRequest::Migrating(_) if am_primary && !is_mine => Err(ControlError::NotOwner(slot)),
            SlotRequest::Importing(_) if is_mine => Err(ControlError::AlreadyOwner(slot)),
            SlotRequest::Migrating(name) => other(name).map(SlotChange::Migrating),
            SlotRequest::Importing(name) => other(name).map(SlotChange::Importing),
            SlotRequest::Stable => Ok(SlotChange::Stable),
            SlotRequest::Node(name) => {
                let at = self.find_named(name)?;
                if topology.node(at).is_replica() {
                    return Err(ControlError::TargetIsReplica);
                }
                if is_mine && at != topology.me() && keys > 0 {
                    return Err(ControlError::HoldsKeys(slot));
                }
                Ok(SlotChange::Node(at))
            }
        }
    }

    /// Does it.
    pub fn set_slot(&mut self, slot: u16, change: SlotChange, keys: usize) {
        self.forget_awaited_open(slot);
        match change {
            SlotChange::Migrating(to) => {
                self.log(Level::Notice, format!("Migrating slot {slot} to node {}", self.name(to)));
                self.topology.set_migrating(slot, Some(to));
            }
            SlotChange::Importing(from) => {
                self.log(Level::Notice, format!("Importing slot {slot} from node {}", self.name(from)));
                self.topology.set_importing(slot, Some(from));
            }
            SlotChange::Stable => {
                self.log(Level::Notice, format!("Marking slot {slot} stable"));
                self.topology.set_importing(slot, None);
                self.topology.set_migrating(slot, None);
            }
            SlotChange::Node(at) => self.give_slot(slot, at, keys),
        }
        self.slots_have_changed();
    }

    /// SETSLOT NODE: ends the move of a slot.
    fn give_slot(&mut self, slot: u16, at: NodeRef, keys: usize) {
        self.log(Level::Notice, format!("Assigning slot {slot} to node {}", self.name_in_shard(at)));
        let me = self.topology.me();
        let mine = self.topology.primary_of(me);
        let was_mine = self.topology.owner(slot) == Some(mine);
        if keys == 0 {
            self.topology.set_migrating(slot, None);
        }
        let set: SlotSet = [slot].into_iter().collect();
        self.assign_slots(&set, Some(at));
        if was_mine && at != mine && self.topology.node(mine).slot_count() == 0 {
            self.lose_last_slot(at);
        }
        // A replica waits with that until its primary claims the slot: until then the source may take it back, and the keys
        // that have come mustn't be deleted as those of a foreign slot.
        if at == me && self.topology.importing(slot).is_some() {
            self.topology.set_importing(slot, None);
            // The source gives the slot up once this is answered: it mustn't be forgotten in a crash, also where the epoch stays.
            self.todo.save_durably();
            // The others believe a new owner only with a newer epoch.
            if self.bump_epoch() {
                self.log(Level::Notice, format!("configEpoch updated after importing slot {slot}"));
            }
            self.todo.broadcast = true;
        }
    }

    /// This node's shard has no slots any more: it becomes part of the one that has its last.
    fn lose_last_slot(&mut self, to: NodeRef) {
        if !self.settings.allow_replica_migration {
            let text = format!(
                "My last slot was migrated to node {}. I am now an empty primary.",
                self.name_in_shard(to)
            );
            return self.log(Level::Notice, text);
        }
        let text = format!(
            "Lost my last slot during slot migration. Reconfiguring myself as a replica of {}",
            self.name_in_shard(to)
        );
        self.log(Level::Notice, text);
        self.set_my_primary(to, true);
        self.todo.save_durably_and_update();
        self.todo.broadcast = true;
    }

    /// FORGET. A node that is unknown because it was forgotten is no error.
    pub fn forget_named(&mut self, name: &[u8]) -> Result<(), ControlError> {
        let at = match self.find_named(name) {
            Ok(at) => at,
            Err(_) if NodeId::parse(name).is_some_and(|id| self.blacklist.contains(self.now, id)) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if at == self.topology.me() {
            return Err(ControlError::ForgetMyself);
        }
        if self.topology.myself().primary() == Some(at) {
            return Err(ControlError::ForgetPrimary);
        }
        self.log(Level::Notice, format!("Cluster forget {}", self.name(at)));
        self.forget(at);
        self.push(Action::SlotsChanged);
        Ok(())
    }

    /// MEET. A handshake that has begun already is no error.
    pub fn meet(&mut self, ip: &str, port: u16, bus_port: u16) -> Result<(), ControlError> {
        match self.start_handshake(ip, port, bus_port) {
            Ok(()) | Err(HandshakeError::InProgress) => Ok(()),
            Err(HandshakeError::InvalidAddress) => Err(ControlError::InvalidAddress),
            Err(HandshakeError::TooMany) => Err(ControlError::TooManyNodes),
        }
    }

    /// REPLICATE.
    pub fn replicate(&mut self, name: &[u8], has_keys: bool) -> Result<(), ControlError> {
        let at = self.find_named(name)?;
        let me = self.topology.myself();
        if at == self.topology.me() {
            return Err(ControlError::ReplicateMyself);
        }
        if self.topology.node(at).is_replica() {
            return Err(ControlError::ReplicateReplica);
        }
        if me.is_primary() && (me.slot_count() > 0 || has_keys) {
            return Err(ControlError::ReplicateWithData);
        }
        if me.primary() != Some(at) {
            self.set_my_primary(at, true);
            self.todo.save_and_update();
            self.todo.broadcast = true;
            self.push(Action::SlotsChanged);
        }
        Ok(())
    }

    /// REPLICATE NO ONE: an empty primary in a shard of its own.
    pub fn replicate_none(&mut self) -> Data {
        if self.topology.myself().is_primary() {
            return Data::Keep;
        }
        self.log(Level::Notice, "Stop replication and turning myself into empty primary.".to_string());
        self.set_as_primary(self.topology.me());
        self.topology.close_slots();
        self.reset_manual_failover();
        self.move_to_new_shard();
        self.slots_have_changed();
        self.todo.broadcast = true;
        Data::Flush
    }

    fn move_to_new_shard(&mut self) {
        let shard = random_id(&mut self.rng);
        self.topology.myself_mut().shard = shard;
        self.log(Level::Notice, format!("Moving myself to a new shard {shard}."));
    }

    /// RESET: a node that knows no other and has no slots; `hard`: with another name, and without a past.
    pub fn reset(&mut self, hard: bool, has_keys: bool) -> Result<Data, ControlError> {
        let me = self.topology.me();
        let was_replica = self.topology.myself().is_replica();
        if !was_replica && has_keys {
            return Err(ControlError::ResetWithKeys);
        }
        self.topology.close_slots();
        self.reset_manual_failover();
        self.reset_election();
        self.assign_slots(&SlotSet::full(), None);
        self.granted.clear();
        for at in self.topology.refs().into_iter().filter(|at| *at != me) {
            self.remove_node(at);
        }
        self.clear_blacklist();
        if hard {
            self.topology.current_epoch = 0;
            self.topology.last_vote_epoch = 0;
            self.topology.myself_mut().config_epoch = 0;
            let id = random_id(&mut self.rng);
            self.topology.rename(me, id);
            self.log(Level::Notice, format!("Node hard reset, now I'm {id}"));
        }
        self.move_to_new_shard();
        if was_replica {
            self.set_as_primary(me);
        }
        self.todo.save_durably_and_update();
        self.push(Action::SlotsChanged);
        Ok(if was_replica { Data::Flush } else { Data::Keep })
    }

    /// SET-CONFIG-EPOCH: of a node that is new.
    pub fn set_config_epoch(&mut self, epoch: i64) -> Result<(), ControlError> {
        let number = u64::try_from(epoch).map_err(|_| ControlError::NegativeEpoch(epoch))?;
        if self.topology.len() > 1 {
            return Err(ControlError::EpochAmongOthers);
        }
        if self.topology.myself().config_epoch != 0 {
            return Err(ControlError::EpochIsSet);
        }
        self.topology.myself_mut().config_epoch = number;
        self.topology.current_epoch = self.topology.current_epoch.max(number);
        self.log(Level::Notice, format!("configEpoch set to {number} via CLUSTER SET-CONFIG-EPOCH"));
        self.todo.save_and_update();
        Ok(())
    }
}
