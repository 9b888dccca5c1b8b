//! Slots that move: key by key as redis-cli does it, and as a whole by the protocols of Redis and of Valkey.

use std::collections::BTreeMap;

use redloop::base::ids::ClientId;
use redloop::services::cluster::{NodeId, NodeRef, Topology};

use super::clients::Life;
use super::world::ClusterWorld;
use crate::request::Request;

/// The session that an operator has at each node.
const OPERATOR: usize = 2;
/// How long a step may take while all is well, and when the operator gives up, ms.
const CALM_MS: u64 = 60_000;
const ROUGH_MS: u64 = 6000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Importing,
    Migrating,
    List,
    Move,
    TargetOwns,
    SourceLets,
    /// A migration as a whole has been asked for; it goes on.
    Asked,
    GoesOn,
}

/// A slot on its way.
#[derive(Debug)]
pub struct Resharding {
    pub slot: u16,
    pub source: Life,
    pub target: Life,
    ids: [String; 2],
    step: Step,
    begun_ms: u64,
    /// It is one that was given up, and goes on: what the source has replaces what has come before.
    is_repair: bool,
    /// Both have been up, and primaries, since it began.
    pub is_intact: bool,
    /// The last number of each key of the slot that WAIT had acknowledged when its key began to move.
    pub promised: Vec<(usize, u64)>,
}

impl ClusterWorld {
    /// Begins to move a slot that has a key.
    pub fn reshard(&mut self) {
        if self.resharding.is_some() {
            return;
        }
        let key = self.below(self.keys.len());
        let slot = self.keys[key].slot;
        let views = self.views();
        let owner = |number: &usize| {
            views[*number].as_ref().is_some_and(|it| it.is_primary && it.slots.contains(slot))
        };
        let Some(source) = (0..views.len()).find(owner) else { return };
        let target = self.below(views.len());
        let (Some(from), Some(to)) = (&views[source], &views[target]) else { return };
        if target == source || !to.is_primary || to.slots.is_empty() {
            return;
        }
        // redis-cli refuses it, too: keys that have gone to a third node would be left there.
        if [source, target].iter().any(|number| self.open_slots(*number).contains(&slot)) {
            return;
        }
        let ids = [from.id.to_string(), to.id.to_string()];
        let lives = [source, target].map(|number| (number, self.places[number].starts));
        let promised = self.keys.iter().enumerate();
        let promised = promised
            .filter(|(_, key)| key.slot == slot && key.holders.contains(&lives[0]))
            .map(|(number, key)| (number, key.promised))
            .collect();
        self.has_moved_slots = true;
        let step = if self.chance(2) { Step::Importing } else { Step::Asked };
        self.resharding = Some(Resharding {
            slot,
            source: lives[0],
            target: lives[1],
            ids,
            step,
            begun_ms: self.network.now,
            is_repair: false,
            is_intact: true,
            promised,
        });
        let text = slot.to_string();
        if step == Step::Importing {
            // From here on its keys may be at either node.
            self.keys.iter_mut().filter(|key| key.slot == slot).for_each(|key| key.holders.clear());
            let from = self.resharding.as_ref().map(|it| it.ids[0].clone()).unwrap_or_default();
            self.ask(target, &["CLUSTER", "SETSLOT", &text, "IMPORTING", &from]);
        } else if self.chance(2) {
            self.ask(target, &["CLUSTER", "MIGRATION", "IMPORT", &text, &text]);
        } else {
            let to = self.resharding.as_ref().map(|it| it.ids[1].clone()).unwrap_or_default();
            self.ask(source, &["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", &text, &text, "NODE", &to]);
        }
    }

    fn ask(&mut self, node: usize, words: &[&str]) {
        self.note(format!("{node}: {}", words.join(" ")));
        let life = (node, self.places[node].starts);
        self.asked = Some((life, ClientId::NONE));
        if let Some(up) = &mut self.places[node].node {
            self.asked = Some((life, up.clients[OPERATOR].id));
            up.clients[OPERATOR].received.clear();
            up.clients[OPERATOR].queue.push_back(Request::from_words(words));
        }
    }

    /// The reply to the operator's request: an error if the node has ended.
    fn reply(&mut self) -> Option<String> {
        let ((node, life), session) = self.asked?;
        let place = &mut self.places[node];
        let up = place.node.as_mut().filter(|up| place.starts == life && up.clients[OPERATOR].id == session);
        let reply = match up {
            None => "-gone".to_string(),
            Some(up) => {
                let received = std::mem::take(&mut up.clients[OPERATOR].received);
                Some(String::from_utf8_lossy(&received).into_owned()).filter(|reply| !reply.is_empty())?
            }
        };
        self.asked = None;
        self.note(format!("{node} -> {}", reply.trim_end()));
        Some(reply)
    }

    pub fn tend_resharding(&mut self) {
        let Some(resharding) = &self.resharding else { return };
        let [source, target] = [resharding.source, resharding.target];
        let is_here = |world: &mut Self, (node, life): Life| {
            world.places[node].starts == life && world.view(node).is_some_and(|view| view.is_primary)
        };
        let is_intact = is_here(self, source) && is_here(self, target);
        let limit = if self.records_calm { CALM_MS } else { ROUGH_MS };
        let now = self.network.now;
        let Some(resharding) = &mut self.resharding else { return };
        resharding.is_intact &= is_intact;
        if now - resharding.begun_ms > limit {
            assert!(!self.records_calm || !resharding.is_intact, "a slot doesn't move while all is well");
            return self.abandon();
        }
        if resharding.step == Step::GoesOn {
            return self.tend_migration();
        }
        if let Some(reply) = self.reply() {
            self.advance(&reply);
        }
    }

    fn advance(&mut self, reply: &str) {
        let Some(it) = &self.resharding else { return };
        let (source, target, step, ids) = (it.source.0, it.target.0, it.step, it.ids.clone());
        let slot = it.slot.to_string();
        let is_ok = !reply.starts_with('-');
        let next = match step {
            _ if !is_ok => return self.abandon(),
            Step::Importing => {
                self.ask(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]);
                Step::Migrating
            }
            Step::Migrating | Step::Move => {
                if step == Step::Move && reply.starts_with("+OK") {
                    self.figures.keys_moved += 1;
                }
                self.ask(source, &["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
                Step::List
            }
            Step::List => {
                let keys: Vec<&str> = reply.lines().skip(1).filter(|line| !line.starts_with('$')).collect();
                if keys.is_empty() {
                    self.ask(target, &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]);
                    Step::TargetOwns
                } else {
                    self.migrate(source, target, &keys);
                    Step::Move
                }
            }
            Step::TargetOwns => {
                self.ask(source, &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]);
                Step::SourceLets
            }
            Step::SourceLets => {
                self.figures.slots_moved += 1;
                self.resharding = None;
                return;
            }
            Step::Asked | Step::GoesOn => Step::GoesOn,
        };
        if let Some(it) = &mut self.resharding {
            it.step = next;
        }
    }

    fn migrate(&mut self, source: usize, target: usize, keys: &[&str]) {
        let host = format!("10.0.0.{}", target + 1);
        let port = (usize::from(crate::node::PORT) + target).to_string();
        let mut words = vec!["MIGRATE", &host, &port, "", "0", "1000"];
        if self.resharding.as_ref().is_some_and(|it| it.is_repair) {
            words.push("REPLACE");
        }
        words.push("KEYS");
        words.extend(keys);
        self.ask(source, &words);
    }

    /// Whether a migration as a whole has ended.
    fn tend_migration(&mut self) {
        let Some(it) = &self.resharding else { return };
        let (slot, target, source) = (it.slot, it.target, it.source);
        let has_slot = |world: &mut Self, (node, _): Life| {
            world.view(node).is_some_and(|view| view.is_primary && view.slots.contains(slot))
        };
        if has_slot(self, target) {
            if !has_slot(self, source) {
                self.figures.atomic += 1;
                self.resharding = None;
            }
        } else if !self.records_calm && self.chance(400) {
            let (node, words) = match self.chance(2) {
                true => (source.0, ["CLUSTER", "CANCELSLOTMIGRATIONS", "", ""]),
                false => (target.0, ["CLUSTER", "MIGRATION", "CANCEL", "ALL"]),
            };
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            self.command(node, &words);
        }
    }

    fn abandon(&mut self) {
        self.note("the operator gives up".into());
        (self.resharding, self.asked) = (None, None);
    }

    /// Goes on with a slot that was given up while it moved, of which both ends know: its keys may be at either, and those that have gone
    /// can't come back. Whether there is one.
    fn go_on_moving(&mut self) -> bool {
        let views = self.views();
        for source in 0..views.len() {
            let Some(from) = views[source].as_ref().filter(|it| it.is_primary && it.is_ok) else { continue };
            for (slot, id) in self.moving(source, Topology::all_migrating) {
                let Some(target) = views.iter().position(|it| it.as_ref().is_some_and(|it| it.id == id))
                else {
                    continue;
                };
                let is_both = from.slots.contains(slot)
                    && views[target].as_ref().is_some_and(|it| it.is_primary)
                    && self.moving(target, Topology::all_importing).contains(&(slot, from.id));
                if !is_both {
                    continue;
                }
                self.has_moved_slots = true;
                self.resharding = Some(Resharding {
                    slot,
                    source: (source, self.places[source].starts),
                    target: (target, self.places[target].starts),
                    ids: [from.id.to_string(), id.to_string()],
                    step: Step::Migrating,
                    begun_ms: self.network.now,
                    is_repair: true,
                    is_intact: true,
                    promised: Vec::new(),
                });
                let id = id.to_string();
                self.ask(source, &["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &id]);
                return true;
            }
        }
        false
    }

    /// Slots that a node thinks are moving, and the other node.
    fn moving(
        &self,
        number: usize,
        which: impl Fn(&Topology) -> &BTreeMap<u16, NodeRef>,
    ) -> Vec<(u16, NodeId)> {
        let node = self.places[number].node.as_ref();
        let Some(mode) = node.and_then(|node| node.engine.cluster.as_ref()) else { return Vec::new() };
        let topology = &mode.service.topology;
        which(topology).iter().map(|(slot, at)| (*slot, topology.node(*at).id)).collect()
    }

    /// As `redis-cli --cluster fix`: keys go where their slots are, and no slot stays open.
    pub fn repair(&mut self) {
        if self.resharding.is_some() || self.asked.is_some() {
            _ = self.reply();
            return;
        }
        if self.replace_lost() || self.go_on_moving() {
            return;
        }
        let views = self.views();
        for number in 0..views.len() {
            let Some(view) = views[number].as_ref().filter(|view| view.is_primary) else { continue };
            // A replica may know of more: its primary ended before it has opened a slot, and it is no primary that redis-cli looks at.
            let open = self.open_slots(number);
            let stray = self.keys.iter().find(|key| {
                let node = self.places[number].node.as_ref();
                !view.slots.contains(key.slot)
                    && node.is_some_and(|node| {
                        node.engine
                            .data
                            .keyspace
                            .database(0)
                            .table()
                            .iter()
                            .any(|it| it.key == key.name.as_bytes())
                    })
            });
            let stray = stray.map(|key| (key.name.clone(), key.slot));
            let owner_of = |slot: u16| {
                views.iter().enumerate().find_map(|(number, view)| {
                    let view = view.as_ref().filter(|it| it.is_primary && it.slots.contains(slot))?;
                    Some((number, view.id.to_string()))
                })
            };
            // Keys leave a slot that isn't the node's while it is open as one that is coming.
            let leaves = stray.and_then(|(name, slot)| Some((name, slot, owner_of(slot)?)));
            let Some((name, slot, (owner, id))) = leaves.filter(|_| view.is_ok) else {
                let Some(open) = open.first() else { continue };
                return self.ask(number, &["CLUSTER", "SETSLOT", &open.to_string(), "STABLE"]);
            };
            self.strays += 1;
            let slot_text = slot.to_string();
            if self.strays > 20 {
                // The owner has one of the same name.
                self.ask(number, &["CLUSTER", "FLUSHSLOT", &slot_text]);
                self.strays = 0;
            } else if open.contains(&slot) {
                self.migrate(number, owner, &[&name]);
            } else {
                self.ask(number, &["CLUSTER", "SETSLOT", &slot_text, "IMPORTING", &id]);
            }
            return;
        }
    }

    pub fn open_slots(&self, number: usize) -> Vec<u16> {
        let node = self.places[number].node.as_ref();
        let Some(mode) = node.and_then(|node| node.engine.cluster.as_ref()) else { return Vec::new() };
        let topology = &mode.service.topology;
        topology.all_migrating().keys().chain(topology.all_importing().keys()).copied().collect()
    }
}
