//! TRIMSLOTS: a primary of Redis has its replicas, and its log, remove the keys of slots that it has moved away.

use super::keys::remove_all;
use super::sync_slots_export::ranges;
use super::{done, service};
use crate::base::crc::SLOTS;
use crate::base::number;
use crate::commands::support::args::is;
use crate::engine::clients::session::Role;
use crate::engine::{ControlCall, Outcome};
use crate::resp::CommandError;

/// `TRIMSLOTS RANGES count start end [start end …]`
pub(super) fn trim_slots(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let args = call.args;
    if !is(args.at(1), "RANGES") {
        return Err(CommandError::text("ERR missing ranges argument"));
    }
    let count = number::parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let count = usize::try_from(count).ok().filter(|count| (1..=usize::from(SLOTS)).contains(count));
    if count.is_none_or(|count| args.len() != 3 + count * 2) {
        return Err(CommandError::text("ERR invalid number of ranges"));
    }
    let slots = ranges(args, 3)?;
    if call.engine.clients.sessions.live(call.client).role != Role::Normal {
        // What follows may make keys in them anew.
        slots.slots().for_each(|slot| remove_all(call.engine, slot));
        return done(call);
    }
    let topology = &service(call.engine)?.topology;
    let server = topology.primary_of(topology.me());
    let is_served = |slot: &u16| topology.owner(*slot) == Some(server) || topology.importing(*slot).is_some();
    if let Some(slot) = slots.slots().find(is_served) {
        return Err(CommandError::new(format!("ERR the slot {slot} is served by this node")));
    }
    // They go in slices, each with a DEL for replicas and the log.
    call.engine.propagation_mut().suppress();
    call.engine.lose_slots(&slots.to_set());
    done(call)
}
