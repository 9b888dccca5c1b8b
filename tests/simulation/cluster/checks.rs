//! What has to hold of a cluster, always and at rest.

use std::rc::Rc;

use redloop::base::slot_set::SlotSet;
use redloop::services::cluster::{NodeId, flag};
use redloop::sys::simulated_disk::Crash;

use super::clients::{Life, numbers};
use super::world::{ClusterWorld, View};
use crate::history;
use crate::node::PORT;
use crate::request::Request;

/// What a node thinks of another one.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    id: NodeId,
    doubts: u16,
    primary: Option<NodeId>,
    /// Of a primary: a replica that doesn't know it yet isn't elected in its stead.
    epoch: u64,
    slots: SlotSet,
}

impl ClusterWorld {
    /// What has to hold always.
    pub fn check(&mut self) {
        let views = self.views();
        self.look_who_follows();
        if !std::mem::take(&mut self.has_news) {
            return;
        }
        // The target of a slot takes an epoch without asking anyone: two that do so at once may take the same, until one of them hears it.
        if !self.has_moved_slots {
            check_claims(&views);
        }
        for key in 0..self.keys.len() {
            self.look_for_owner(key, &views);
        }
    }

    /// A node whose data is replaced by that of one that hasn't a write, may lose it.
    fn look_who_follows(&mut self) {
        if self.keys.iter().all(|key| key.holders.is_empty()) {
            return;
        }
        let lives: Vec<u64> = self.places.iter().map(|place| place.starts).collect();
        let follows: Vec<Option<Life>> = self
            .places
            .iter()
            .map(|place| {
                let primary = place.node.as_ref()?.engine.replication.primary.as_ref()?;
                let number = usize::from(primary.port - PORT);
                Some((number, lives[number]))
            })
            .collect();
        for key in &mut self.keys {
            loop {
                let before = key.holders.len();
                let holders = key.holders.clone();
                key.holders.retain(|(node, life)| {
                    *life != lives[*node] || follows[*node].is_none_or(|primary| holders.contains(&primary))
                });
                if key.holders.len() == before {
                    break;
                }
            }
        }
    }

    /// Looks whether another node serves a key than before: it has what it has promised to have.
    fn look_for_owner(&mut self, key: usize, views: &[Option<Rc<View>>]) {
        let slot = self.keys[key].slot;
        let claims = views.iter().enumerate().filter_map(|(number, view)| Some((number, view.as_ref()?)));
        let claims = claims.filter(|(_, view)| view.is_primary && view.slots.contains(slot));
        let Some((epoch, number)) = claims.map(|(number, view)| (view.epoch, number)).max() else { return };
        let life = (number, self.places[number].starts);
        let (before, known) = (self.keys[key].owner, self.keys[key].epoch);
        let is_same = before.is_some_and(|before| before.0 == number);
        // It may have crashed with an epoch that it had told no one yet.
        let is_back = is_same && before != Some(life);
        if epoch < known && !is_back || epoch == known && !is_same && before.is_some() {
            return;
        }
        self.keys[key].epoch = epoch;
        if before == Some(life) {
            return;
        }
        self.keys[key].owner = Some(life);
        if before.is_none() {
            return;
        }
        self.figures.takeovers += 1;
        let moved =
            self.resharding.as_ref().filter(|it| it.slot == slot && it.target == life && it.is_intact);
        let moved =
            moved.and_then(|it| it.promised.iter().find(|(of, _)| *of == key).map(|(_, number)| *number));
        let is_holder = self.keys[key].holders.contains(&life);
        let bound = if is_holder { Some(self.keys[key].promised) } else { moved };
        let has = |world: &mut Self, wanted: u64| wanted == 0 || world.list(number, key).contains(&wanted);
        if let Some(wanted) = bound {
            let is_there = has(self, wanted);
            let name = &self.keys[key].name;
            assert!(is_there, "{number} takes {name} over, has acknowledged {wanted}, and hasn't it");
            self.figures.bound += 1;
        }
        if !is_holder {
            self.keys[key].holders.clear();
            if moved.is_some() {
                self.keys[key].holders.insert(life);
            } else {
                let promised = self.keys[key].promised;
                let is_loading = self.places[number]
                    .node
                    .as_ref()
                    .is_some_and(|it| it.engine.persistence.loading.is_some());
                self.figures.lost_without_promise += u64::from(!is_loading && !has(self, promised));
            }
        }
    }

    /// A key's numbers at a node, whoever serves it.
    pub fn list(&mut self, number: usize, key: usize) -> Vec<u64> {
        let Some(node) = &mut self.places[number].node else { return Vec::new() };
        let request = Request::from_words(&["LRANGE", &self.keys[key].name, "0", "-1"]);
        let (_, reply) = request.run(&mut node.engine, node.observer);
        let reply = String::from_utf8_lossy(&reply).into_owned();
        numbers(&reply).unwrap_or_else(|| panic!("no list: {reply}"))
    }

    /// Why the cluster isn't at rest.
    pub fn unsettled(&mut self) -> Option<String> {
        if self.resharding.is_some() || self.asked.is_some() {
            return Some("a slot moves".into());
        }
        if self.network.now < self.forced_until {
            return Some("a replica may take over without its primary's data".into());
        }
        if self.places.iter().any(|place| place.is_stranger) {
            return Some("a node that has lost its name isn't a replica yet".into());
        }
        let mut first: Option<Vec<Line>> = None;
        for number in 0..self.places.len() {
            let Some(view) = self.view(number) else { return Some(format!("{number} is down")) };
            if !view.is_ok {
                return Some(format!("{number} finds the cluster down"));
            }
            if view.is_primary && !self.open_slots(number).is_empty() {
                return Some(format!("{number} has open slots"));
            }
            let node = self.places[number].node.as_ref()?;
            if node.engine.persistence.loading.is_some() {
                return Some(format!("{number} loads"));
            }
            let topology = &node.engine.cluster.as_ref()?.service.topology;
            let lines = topology.iter().map(|(_, node)| Line {
                id: node.id,
                doubts: node.flags & (flag::FAIL | flag::PFAIL | flag::HANDSHAKE),
                primary: node.primary().map(|at| topology.node(at).id),
                epoch: if node.is_primary() { node.config_epoch } else { 0 },
                slots: node.slots().clone(),
            });
            let lines: Vec<Line> = lines.collect();
            match &first {
                None => first = Some(lines),
                Some(others) if *others == lines => {}
                Some(others) => {
                    let other = lines.iter().find(|line| !others.contains(line));
                    return Some(format!("{number} thinks {other:?}"));
                }
            }
        }
        let doubt = first.and_then(|lines| lines.into_iter().find(|line| line.doubts != 0));
        doubt
            .map(|line| format!("a node is in doubt: {line:?}"))
            .or_else(|| self.unequal_replica())
            .or_else(|| self.stray_key())
    }

    fn unequal_replica(&mut self) -> Option<String> {
        for number in 0..self.places.len() {
            let node = self.places[number].node.as_ref()?;
            let Some(primary) = &node.engine.replication.primary else { continue };
            let above = usize::from(primary.port - PORT);
            let is_in_sync = node.engine.replication.is_in_sync();
            let other = self.places[above].node.as_ref()?;
            if !is_in_sync || history::place(&node.engine) != history::place(&other.engine) {
                return Some(format!("{number} isn't where its primary {above} is"));
            }
        }
        None
    }

    fn stray_key(&mut self) -> Option<String> {
        for number in 0..self.places.len() {
            let view = self.view(number)?;
            if !view.is_primary {
                continue;
            }
            let node = self.places[number].node.as_ref()?;
            let table = node.engine.data.keyspace.database(0).table();
            let stray = table.iter().find(|it| !view.slots.contains(redloop::base::crc::key_slot(it.key)));
            if let Some(entry) = stray {
                return Some(format!("{number} has {}, and not its slot", entry.key.escape_ascii()));
            }
        }
        None
    }

    /// What has to hold at rest.
    pub fn check_rest(&mut self) {
        for number in 0..self.places.len() {
            let Some(node) = &mut self.places[number].node else { continue };
            let Some(primary) = &node.engine.replication.primary else { continue };
            let above = usize::from(primary.port - PORT);
            let digest = node.digest();
            let Some(other) = &mut self.places[above].node else { continue };
            assert!(other.digest() == digest, "{number} and its primary {above} differ");
        }
        for key in 0..self.keys.len() {
            let slot = self.keys[key].slot;
            let views = self.views();
            let owners = views.iter().enumerate();
            let owners = owners
                .filter(|(_, it)| it.as_ref().is_some_and(|it| it.is_primary && it.slots.contains(slot)));
            let owners: Vec<usize> = owners.map(|(number, _)| number).collect();
            let [owner] = owners[..] else { panic!("slot {slot} has owners {owners:?}") };
            let list = self.list(owner, key);
            let life = (owner, self.places[owner].starts);
            let has_ended = |(number, life): Life| self.places[number].starts != life;
            // One that had it may have ended before it had told or saved its epoch: then it was never another's for the others.
            let is_untold = self.keys[key].owner.is_some_and(|known| known != life && has_ended(known));
            let key = &mut self.keys[key];
            if is_untold {
                key.owner = Some(life);
                key.epoch = views[owner].as_ref().map_or(0, |view| view.epoch);
                key.holders.clear();
            }
            key.check_numbers(&list);
            let lost: Vec<&u64> = key.calm.iter().filter(|number| !list.contains(number)).collect();
            assert!(lost.is_empty(), "{} has lost {lost:?} though nothing failed: {list:?}", key.name);
            let is_bound = key.owner.is_some_and(|owner| key.holders.contains(&owner)) && key.promised > 0;
            assert!(
                !is_bound || list.contains(&key.promised),
                "{} has lost {}: {list:?}",
                key.name,
                key.promised
            );
            key.calm.clear();
        }
        self.has_moved_slots = false;
        self.figures.compared = self.history_compared();
    }

    /// A primary with a replica ends: one takes over in the time that the directives promise, with all that it has acknowledged.
    pub fn drill(&mut self) {
        let views = self.views();
        let is_followed = |id| views.iter().flatten().any(|view| view.primary == Some(id));
        let primaries = (0..views.len()).filter(|number| {
            views[*number]
                .as_ref()
                .is_some_and(|it| it.is_primary && !it.slots.is_empty() && is_followed(it.id))
        });
        let primaries: Vec<usize> = primaries.collect();
        // Two of three can't agree on the failure of one with a majority that is theirs by a vote less.
        if primaries.is_empty()
            || views.iter().flatten().filter(|it| it.is_primary && !it.slots.is_empty()).count() < 3
        {
            return;
        }
        self.records_calm = false;
        let victim = primaries[self.below(primaries.len())];
        let Some(slots) = views[victim].as_ref().map(|view| view.slots.clone()) else { return };
        self.crash(victim, Crash::Process);
        self.places[victim].down_until = u64::MAX;
        let start = self.network.now;
        // Silence is noticed after the node timeout and half of it, told within another half; then the election begins. Of several
        // replicas none may win, and then the next election comes after four timeouts.
        let id = views[victim].as_ref().map(|view| view.id);
        let rivals = views.iter().flatten().filter(|view| view.primary == id).count();
        let limit =
            2 * self.node_timeout_ms + 1500 + if rivals > 1 { 4 * self.node_timeout_ms + 1000 } else { 0 };
        loop {
            self.pass(20);
            let taken = self.views().into_iter().flatten().any(|view| view.is_primary && view.slots == slots);
            let took = self.network.now - start;
            if taken {
                self.figures.longest_takeover_ms = self.figures.longest_takeover_ms.max(took);
                break;
            }
            assert!(took <= limit, "no replica takes over from {victim} within {limit} ms");
        }
        self.figures.drills += 1;
        self.settle();
    }
}

/// No slot is claimed by two nodes in the same epoch.
fn check_claims(views: &[Option<Rc<View>>]) {
    let claims: Vec<&Rc<View>> =
        views.iter().flatten().filter(|view| view.is_primary && view.epoch > 0).collect();
    for (number, one) in claims.iter().enumerate() {
        for other in claims[number + 1..].iter().filter(|other| other.epoch == one.epoch) {
            let is_shared = one.slots.iter().any(|slot| other.slots.contains(slot));
            assert!(!is_shared, "{} and {} have slots in epoch {}", one.id, other.id, one.epoch);
        }
    }
}
