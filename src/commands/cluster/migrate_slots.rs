//! CLUSTER MIGRATESLOTS, CANCELSLOTMIGRATIONS and GETSLOTMIGRATIONS: slots that leave this node as a whole (Valkey 9).

use std::collections::BTreeMap;

use super::{DISABLED, done, service, slot};
use crate::base::ids::NodeId;
use crate::base::number;
use crate::commands::support::args::is;
use crate::engine::{ControlCall, Done, Engine, Outcome};
use crate::resp::{Args, CommandError, Reply};
use crate::services::cluster::{Cluster, NodeRef};
use crate::services::slot_migration::{Job, Role, SlotRanges};

/// `CLUSTER MIGRATESLOTS SLOTSRANGE start end … NODE id [SLOTSRANGE … NODE id …]`
pub(super) fn migrate_slots(call: &mut ControlCall<'_>) -> Outcome {
    check_may_start(service(call.engine)?)?;
    let moves = parse(call.engine, call.args)?;
    for (slots, target) in moves {
        call.engine.export_slots(slots, target);
    }
    done(call)
}

/// Whether this node can begin to move slots, either way, as Valkey says it.
pub(super) fn check_may_start(cluster: &Cluster) -> Result<(), CommandError> {
    let topology = &cluster.topology;
    match () {
        () if !topology.myself().is_primary() => {
            Err(CommandError::text("ERR Slot migration can only be used on primary nodes."))
        }
        () if !topology.all_importing().is_empty() => {
            Err(CommandError::text("ERR Slots are being manually imported"))
        }
        () if !topology.all_migrating().is_empty() => {
            Err(CommandError::text("ERR Slots are being manually migrated"))
        }
        () => Ok(()),
    }
}

fn parse(engine: &Engine, args: Args<'_>) -> Result<Vec<(SlotRanges, NodeId)>, CommandError> {
    let service = service(engine)?;
    let jobs = &engine.slot_migration().ok_or(DISABLED)?.jobs;
    let mut moves: Vec<(SlotRanges, NodeId)> = Vec::new();
    let mut at = 2;
    while at < args.len() {
        // valkey-cli 9.1 sends the zero behind its string, too, which Valkey doesn't see.
        let word = args.at(at).strip_suffix(b"\0").unwrap_or(args.at(at));
        if !is(word, "SLOTSRANGE") {
            return Err(CommandError::SYNTAX);
        }
        let (slots, owner) = ranges(service, args, &mut at)?;
        if owner != service.topology.me() {
            return Err(CommandError::text("ERR Slots are not served by this node."));
        }
        if let Some(slot) = slots.slots().find(|slot| jobs.active_with_slot(Role::Export, *slot).is_some()) {
            return Err(CommandError::new(format!("ERR I am already migrating slot {slot}.")));
        }
        if moves.iter().any(|(other, _)| other.overlaps(&slots)) {
            return Err(CommandError::text("ERR Slot ranges in migrations overlap"));
        }
        let word = args.get(at).filter(|word| is(word, "NODE"));
        let (Some(_), Some(name)) = (word, args.get(at + 1)) else { return Err(CommandError::SYNTAX) };
        moves.push((slots, target(service, name)?));
        at += 2;
    }
    Ok(moves)
}

fn target(service: &Cluster, name: &[u8]) -> Result<NodeId, CommandError> {
    let error = |what: &str| {
        let mut text = format!("ERR {what} node name: ").into_bytes();
        text.extend_from_slice(name);
        CommandError::new(text)
    };
    if name.len() != crate::base::ids::NODE_ID_LEN {
        return Err(error("Invalid"));
    }
    let id = NodeId::parse(name).ok_or_else(|| error("Unknown"))?;
    let node = service.topology.find(id).ok_or_else(|| error("Unknown"))?;
    if node == service.topology.me() {
        return Err(CommandError::text("ERR Target node can not be this node."));
    }
    Ok(id)
}

/// The ranges behind the word at `at`, all of one node, which is answered with them; `at` is behind them then.
pub(super) fn ranges(
    service: &Cluster,
    args: Args<'_>,
    at: &mut usize,
) -> Result<(SlotRanges, NodeRef), CommandError> {
    let (mut ranges, mut owner) = (SlotRanges::default(), None);
    *at += 1;
    while let Some(word) = args.get(*at).filter(|word| number::parse_i64(word).is_some()) {
        let start = slot(word)?;
        let Some(word) = args.get(*at + 1) else {
            return Err(CommandError::text("ERR No end slot for final slot range"));
        };
        let end = slot(word)?;
        if start > end {
            return Err(CommandError::new(format!(
                "ERR Start slot number {start} is greater than end slot number {end}."
            )));
        }
        for slot in start..=end {
            let Some(node) = service.topology.owner(slot) else {
                return Err(CommandError::new(format!("ERR Slot {slot} has no node served.")));
            };
            if *owner.get_or_insert(node) != node {
                return Err(CommandError::text("ERR Requested slots span multiple shards"));
            }
        }
        if let Err(other) = ranges.push(start..=end) {
            return Err(CommandError::new(format!(
                "ERR Slot range {start}-{end} overlaps with previous range {}-{}.",
                other.start(),
                other.end()
            )));
        }
        *at += 2;
    }
    owner.map(|owner| (ranges, owner)).ok_or(CommandError::text("ERR No slot ranges specified"))
}

/// `CLUSTER CANCELSLOTMIGRATIONS`
pub(super) fn cancel(call: &mut ControlCall<'_>) -> Outcome {
    let jobs = &call.engine.slot_migration().ok_or(DISABLED)?.jobs;
    if jobs.active_of(Role::Export).next().is_none() {
        return Err(CommandError::text("ERR No migrations ongoing"));
    }
    call.engine.cancel_exports("");
    done(call)
}

/// `CLUSTER GETSLOTMIGRATIONS`
pub(super) fn report(call: &mut ControlCall<'_>) -> Outcome {
    let jobs = &call.engine.slot_migration().ok_or(DISABLED)?.jobs;
    let unsent: BTreeMap<_, _> =
        jobs.active_of(Role::Export).map(|job| (job.id, call.engine.export_unsent(job.id))).collect();
    call.reply.array(jobs.len());
    for job in jobs.iter() {
        let unsent = unsent.get(&job.id).copied().unwrap_or(0);
        report_job(job, unsent, |ms| call.engine.wall_time(ms), call.reply);
    }
    Ok(Done::Replied)
}

fn report_job(job: &Job, unsent: u64, wall_time: impl Fn(u64) -> u64, reply: &mut Reply) {
    let nodes = [("target_node", job.target), ("source_node", job.source)];
    let known = nodes.iter().filter(|(_, node)| node.is_some()).count();
    reply.map(10 + known);
    let mut text = |name: &str, value: &[u8]| {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    };
    text("name", job.name.as_bytes());
    text(
        "operation",
        match job.role {
            Role::Export => b"EXPORT",
            Role::Import => b"IMPORT",
        },
    );
    text("slot_ranges", job.slots.to_string().as_bytes());
    for (name, node) in nodes {
        if let Some(node) = node {
            text(name, node.as_bytes());
        }
    }
    for (name, ms) in [
        ("create_time", job.created_ms),
        ("last_update_time", job.updated_ms),
        ("last_ack_time", job.acked_ms),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer((wall_time(ms) / 1000) as i64);
    }
    reply.bulk(b"state");
    reply.bulk(job.state_name().as_bytes());
    reply.bulk(b"message");
    reply.bulk(job.message.as_bytes());
    // There is no child whose memory could be copied.
    reply.bulk(b"cow_size");
    reply.integer(0);
    reply.bulk(b"remaining_repl_size");
    reply.integer(unsent as i64);
}
