//! `cluster-compatibility-sample-ratio`: how many requests couldn't be served so by a cluster, because they
//! have keys of several slots or concern several databases (INFO's `cluster_incompatible_ops`).
//!
//! Requests are looked at as they come in, a sample of them; commands that exchange databases count
//! themselves, always.

use crate::base::crc::{key_slot, pattern_slot};
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::command::keys;
use crate::engine::command::table::CommandId;
use crate::resp::Args;

impl Engine {
    /// Counts a request, or the transaction it executes, if a cluster couldn't serve it.
    #[cold]
    pub(in crate::engine) fn sample_cluster_compat(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
    ) {
        let command = self.commands.get(id);
        let is_exec = id == self.commands.known.exec;
        if (is_exec || keys::has_routed(command.spec))
            && self.is_sampled()
            && self.crosses_slots(client, id, args)
        {
            self.metrics.stats.cluster_incompatible += 1;
        }
        if id == self.commands.known.sort || id == self.commands.known.sort_ro {
            for (_, crosses) in pattern_crossings(args) {
                if self.is_sampled() && crosses {
                    self.metrics.stats.cluster_incompatible += 1;
                }
            }
        }
    }

    /// The slots of a script, if its keys are looked at. Declared keys of several slots have been counted with the request.
    pub(in crate::engine) fn slots_of_script(
        &mut self,
        declared: Args<'_>,
        may_cross: bool,
    ) -> Option<ScriptSlots> {
        if self.settings.cluster_sample_percent == 0 || !self.is_sampled() {
            return None;
        }
        let mut slots = Slots::default();
        let crosses = declared.iter().any(|key| slots.differs(key));
        (!crosses).then_some(ScriptSlots { slots, may_cross })
    }

    /// Counts a script once if a cluster couldn't serve a request of it.
    #[cold]
    pub(in crate::engine) fn sample_call_of_script(
        &mut self,
        of_script: &mut Option<ScriptSlots>,
        id: CommandId,
        args: Args<'_>,
    ) {
        let Some(ScriptSlots { slots, may_cross }) = of_script else { return };
        if *may_cross {
            *slots = Slots::default();
        }
        if slots.add(self.commands.get(id).spec, args) {
            self.metrics.stats.cluster_incompatible += 1;
            *of_script = None;
        }
    }

    fn is_sampled(&mut self) -> bool {
        self.data.rng.below(100) < self.settings.cluster_sample_percent
    }

    /// Whether a request, or those queued if it is EXEC, have keys of several slots.
    fn crosses_slots(&self, client: ClientId, id: CommandId, args: Args<'_>) -> bool {
        let command = self.commands.get(id);
        let mut slots = Slots::default();
        if id != self.commands.known.exec {
            return slots.add(command.spec, args);
        }
        let Some(transaction) = &self.clients.sessions.live(client).transaction else { return false };
        let mut queue = transaction.queue.iter();
        queue.any(|(id, request)| slots.add(self.commands.get(*id).spec, request.as_args()))
    }
}

/// The slot of the keys that a script has used so far.
pub(in crate::engine) struct ScriptSlots {
    slots: Slots,
    /// Only the keys of one request have to be of one slot (`allow-cross-slot-keys`, and scripts that declare nothing).
    may_cross: bool,
}

/// The slot that all keys so far are of.
#[derive(Default)]
struct Slots {
    first: Option<u16>,
    found: Vec<crate::engine::command::spec::KeyAt>,
}

impl Slots {
    /// Adds a request's keys; true if one is of another slot.
    fn add(&mut self, spec: &crate::engine::command::spec::CommandSpec, args: Args<'_>) -> bool {
        if !keys::find_routed(spec, args, &mut self.found) {
            return false;
        }
        let found = std::mem::take(&mut self.found);
        let differs = found.iter().any(|key| self.differs(args.at(key.index)));
        self.found = found;
        differs
    }

    /// Adds a key; true if it is of another slot.
    fn differs(&mut self, key: &[u8]) -> bool {
        let slot = key_slot(key);
        *self.first.get_or_insert(slot) != slot
    }
}

/// For each BY and GET of a SORT, in capitals, whether it may lead to a slot that the sorted key isn't of.
fn pattern_crossings(args: Args<'_>) -> Vec<(&'static str, bool)> {
    let sorted = args.get(1).map(key_slot);
    let mut crossings = Vec::new();
    let mut words = args.tail(2.min(args.len())).iter();
    while let Some(word) = words.next() {
        let (by, get) = (word.eq_ignore_ascii_case(b"by"), word.eq_ignore_ascii_case(b"get"));
        if !by && !get {
            continue;
        }
        let Some(pattern) = words.next() else { break };
        // Without a star BY doesn't sort at all, and GET # is the element itself.
        let leads_nowhere = if by { !pattern.contains(&b'*') } else { pattern == b"#" };
        if !leads_nowhere {
            crossings.push((if by { "BY" } else { "GET" }, pattern_slot(pattern) != sorted));
        }
    }
    crossings
}

/// The first option of a SORT, BY or GET, that may lead to keys of other slots than that of the sorted key.
pub(in crate::engine) fn crossing_option(args: Args<'_>) -> Option<&'static str> {
    pattern_crossings(args).into_iter().find(|(_, crosses)| *crosses).map(|(option, _)| option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_slot_if_their_tag_is_fixed() {
        let tagged = Some(key_slot(b"mylist"));
        for (pattern, slot) in [
            (&b"weight{mylist}_*"[..], tagged),
            (b"mylist", tagged),
            (b"weight_*", None),
            (b"weight{*}", None),
            (b"*{mylist}", None),
            (b"{}*", None),
        ] {
            assert_eq!(pattern_slot(pattern), slot, "{}", pattern.escape_ascii());
        }
    }
}
