//! Topology: the nodes, which serves which slot, which slots are moving. Changed only through methods that keep both directions
//! of each relation equal (slot and owner, replica and primary, node and shard).

use std::collections::BTreeMap;

use super::ids::{NodeId, NodeRef};
use super::node::{Node, flag};
use crate::base::crc::SLOTS;
use crate::base::slot_set::SlotSet;

/// No owner.
const NONE: u16 = u16::MAX;
/// The most nodes.
pub const MAX_NODES: usize = 16_384;

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Topology {
    /// At the places of their [`NodeRef`]s.
    nodes: Vec<Option<Box<Node>>>,
    /// Places without a node.
    free: Vec<NodeRef>,
    by_id: BTreeMap<NodeId, NodeRef>,
    myself: NodeRef,
    /// Of each slot the place of its owner, or [`NONE`].
    owners: Box<[u16; SLOTS as usize]>,
    /// Slots of this node that are moving to another one, and slots of others that are moving here.
    migrating: BTreeMap<u16, NodeRef>,
    importing: BTreeMap<u16, NodeRef>,
    pub current_epoch: u64,
    pub last_vote_epoch: u64,
}

impl Topology {
    /// A cluster of one node, which is a primary without slots.
    pub fn new(id: NodeId, shard: NodeId, now: u64) -> Self {
        let myself = Node::new(id, shard, flag::MYSELF | flag::PRIMARY, now);
        Topology {
            nodes: vec![Some(Box::new(myself))],
            free: Vec::new(),
            by_id: BTreeMap::from([(id, NodeRef(0))]),
            myself: NodeRef(0),
            owners: Box::new([NONE; SLOTS as usize]),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            current_epoch: 0,
            last_vote_epoch: 0,
        }
    }

    pub fn me(&self) -> NodeRef {
        self.myself
    }

    pub fn myself(&self) -> &Node {
        self.node(self.myself)
    }

    pub fn myself_mut(&mut self) -> &mut Node {
        self.node_mut(self.myself)
    }

    /// A node that is there.
    pub fn node(&self, at: NodeRef) -> &Node {
        self.nodes[usize::from(at.0)].as_deref().expect("a place of a node")
    }

    /// Its own fields, not its relations, are for the caller to change.
    pub fn node_mut(&mut self, at: NodeRef) -> &mut Node {
        self.nodes[usize::from(at.0)].as_deref_mut().expect("a place of a node")
    }

    pub fn get(&self, at: NodeRef) -> Option<&Node> {
        self.nodes.get(usize::from(at.0))?.as_deref()
    }

    pub fn find(&self, id: NodeId) -> Option<NodeRef> {
        self.by_id.get(&id).copied()
    }

    /// All nodes, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (NodeRef, &Node)> {
        self.by_id.values().map(|at| (*at, self.node(*at)))
    }

    /// All nodes, in the order of their places, which is quicker.
    pub fn by_place(&self) -> impl Iterator<Item = (NodeRef, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(place, node)| Some((NodeRef(place as u16), node.as_deref()?)))
    }

    /// Places that there are or were nodes at: below this.
    pub fn places(&self) -> u16 {
        self.nodes.len() as u16
    }

    /// The places of all nodes, in the order of their names.
    pub fn refs(&self) -> Vec<NodeRef> {
        self.by_id.values().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Never: there is always this node.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Primaries with slots (`cluster_size`).
    pub fn size(&self) -> usize {
        self.by_place().filter(|(_, node)| node.is_voter()).count()
    }

    /// Nodes of a shard, in the order of their names.
    pub fn shard(&self, shard: NodeId) -> impl Iterator<Item = (NodeRef, &Node)> {
        self.iter().filter(move |(_, node)| node.shard == shard)
    }

    /// Adds a node whose name is new; `None` if there are too many.
    pub fn add(&mut self, node: Node) -> Option<NodeRef> {
        if self.by_id.len() >= MAX_NODES || self.by_id.contains_key(&node.id) {
            return None;
        }
        let id = node.id;
        let at = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            NodeRef((self.nodes.len() - 1) as u16)
        });
        self.nodes[usize::from(at.0)] = Some(Box::new(node));
        self.by_id.insert(id, at);
        Some(at)
    }

    /// Removes a node that isn't this one, with its slots and what was said by it of others. Its links are the caller's.
    pub fn remove(&mut self, at: NodeRef) -> Node {
        debug_assert_ne!(at, self.myself);
        self.disown_all(at);
        self.migrating.retain(|_, to| *to != at);
        self.importing.retain(|_, from| *from != at);
        self.set_primary(at, None);
        for replica in std::mem::take(&mut self.node_mut(at).replicas) {
            self.node_mut(replica).primary = None;
        }
        for node in self.nodes.iter_mut().flatten() {
            node.fail_reports.retain(|(by, _)| *by != at);
        }
        let node = self.nodes[usize::from(at.0)].take().expect("a place of a node");
        self.by_id.remove(&node.id);
        self.free.push(at);
        *node
    }

    /// Gives a node the name that it says it has. False if another has it.
    pub fn rename(&mut self, at: NodeRef, id: NodeId) -> bool {
        if self.by_id.contains_key(&id) {
            return false;
        }
        let old = std::mem::replace(&mut self.node_mut(at).id, id);
        self.by_id.remove(&old);
        self.by_id.insert(id, at);
        if let Some(primary) = self.node(at).primary {
            self.sort_replicas(primary);
        }
        true
    }

    /// Replicas are in the order of their names: all nodes list them alike.
    fn sort_replicas(&mut self, primary: NodeRef) {
        let mut replicas = std::mem::take(&mut self.node_mut(primary).replicas);
        replicas.sort_unstable_by_key(|at| self.node(*at).id);
        self.node_mut(primary).replicas = replicas;
    }

    #[inline]
    pub fn owner(&self, slot: u16) -> Option<NodeRef> {
        let place = self.owners[usize::from(slot)];
        (place != NONE).then_some(NodeRef(place))
    }

    /// Whether this node is the slot's owner.
    #[inline]
    pub fn is_mine(&self, slot: u16) -> bool {
        self.owners[usize::from(slot)] == self.myself.0
    }

    /// Slots that have an owner.
    pub fn assigned(&self) -> usize {
        self.iter().map(|(_, node)| node.slot_count()).sum()
    }

    /// Makes a node the owner of a slot, or none.
    pub fn set_owner(&mut self, slot: u16, owner: Option<NodeRef>) {
        if let Some(before) = self.owner(slot) {
            let node = self.node_mut(before);
            node.slots.remove(slot);
            node.slot_count -= 1;
        }
        self.owners[usize::from(slot)] = owner.map_or(NONE, |at| at.0);
        if let Some(at) = owner {
            let node = self.node_mut(at);
            node.slots.insert(slot);
            node.slot_count += 1;
        }
    }

    /// Takes a node all its slots; which they were.
    pub fn disown_all(&mut self, at: NodeRef) -> SlotSet {
        let slots = self.node(at).slots.clone();
        slots.iter().for_each(|slot| self.set_owner(slot, None));
        slots
    }

    /// Makes a node a replica of another one, or of none that is known. Their roles are the caller's to set; a primary that has replicas
    /// may get others (`MIGRATE_TO`).
    pub fn set_primary(&mut self, at: NodeRef, primary: Option<NodeRef>) {
        if let Some(before) = self.node(at).primary {
            let node = self.node_mut(before);
            node.replicas.retain(|replica| *replica != at);
            if node.replicas.is_empty() {
                node.set(flag::MIGRATE_TO, false);
            }
        }
        self.node_mut(at).primary = primary;
        if let Some(primary) = primary {
            let node = self.node_mut(primary);
            node.replicas.push(at);
            node.set(flag::MIGRATE_TO, true);
            self.sort_replicas(primary);
        }
    }

    /// The node whose slots a node serves: itself, or its primary if that is known.
    pub fn primary_of(&self, at: NodeRef) -> NodeRef {
        self.node(at).primary.unwrap_or(at)
    }

    #[inline]
    pub fn migrating(&self, slot: u16) -> Option<NodeRef> {
        self.migrating.get(&slot).copied()
    }

    #[inline]
    pub fn importing(&self, slot: u16) -> Option<NodeRef> {
        self.importing.get(&slot).copied()
    }

    pub fn all_migrating(&self) -> &BTreeMap<u16, NodeRef> {
        &self.migrating
    }

    pub fn all_importing(&self) -> &BTreeMap<u16, NodeRef> {
        &self.importing
    }

    pub fn set_migrating(&mut self, slot: u16, to: Option<NodeRef>) {
        match to {
            Some(to) => drop(self.migrating.insert(slot, to)),
            None => drop(self.migrating.remove(&slot)),
        }
    }

    pub fn set_importing(&mut self, slot: u16, from: Option<NodeRef>) {
        match from {
            Some(from) => drop(self.importing.insert(slot, from)),
            None => drop(self.importing.remove(&slot)),
        }
    }

    /// No slot is moving any more.
    pub fn close_slots(&mut self) {
        self.migrating.clear();
        self.importing.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: u8) -> NodeId {
        NodeId([digit; 40])
    }

    #[test]
    fn relations_stay_equal_in_both_directions() {
        let mut topology = Topology::new(id(b'a'), id(b's'), 1);
        let one = topology.add(Node::new(id(b'b'), id(b't'), flag::PRIMARY, 1)).unwrap();
        let two = topology.add(Node::new(id(b'c'), id(b't'), flag::REPLICA, 1)).unwrap();
        assert_eq!(topology.add(Node::new(id(b'b'), id(b't'), flag::PRIMARY, 1)), None);
        (0..10).for_each(|slot| topology.set_owner(slot, Some(one)));
        topology.set_owner(3, Some(topology.me()));
        topology.set_owner(4, None);
        topology.set_primary(two, Some(one));
        topology.set_migrating(3, Some(one));
        assert_eq!(
            (topology.node(one).slots().to_string(), topology.node(one).slot_count()),
            ("0-2 5-9".into(), 8)
        );
        assert_eq!(
            (topology.is_mine(3), topology.owner(4), topology.assigned(), topology.size()),
            (true, None, 9, 2)
        );
        assert_eq!((topology.node(one).replicas(), topology.primary_of(two)), (&[two][..], one));
        assert!(!topology.rename(one, id(b'c')) && topology.rename(one, id(b'd')));
        assert_eq!((topology.find(id(b'b')), topology.find(id(b'd'))), (None, Some(one)));
        let three = topology.add(Node::new(id(b'a' - 1), id(b't'), flag::REPLICA, 1)).unwrap();
        topology.set_primary(three, Some(one));
        assert_eq!(topology.node(one).replicas(), &[three, two]);
        assert!(topology.rename(three, id(b'z')));
        assert_eq!(topology.node(one).replicas(), &[two, three]);
        topology.remove(three);
        topology.remove(one);
        assert_eq!(
            (topology.owner(0), topology.migrating(3), topology.node(two).primary()),
            (None, None, None)
        );
        assert_eq!((topology.len(), topology.get(one).is_none(), topology.assigned()), (2, true, 1));
    }
}
