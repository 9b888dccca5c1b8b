//! CLUSTER SYNCSLOTS at the source of a migration.

use super::{service, slot, wrong_arguments};
use crate::base::ids::{NODE_ID_LEN, NodeId};
use crate::base::number;
use crate::engine::slot_migration::ChannelName;
use crate::engine::{ControlCall, Done, Engine, Outcome};
use crate::resp::{Args, CommandError};
use crate::services::cluster::NodeRef;
use crate::services::slot_migration::{Family, Jobs, Role, SlotRanges, State};

/// `REQUEST-PAUSE`: the target has the snapshot.
pub(super) fn request_pause(call: &mut ControlCall<'_>) -> Outcome {
    check_target(call, "REQUEST-PAUSE")?;
    call.engine.export_client_says(call.client, |service, jobs, job, _, now| {
        service.pause_requested(jobs, job, now)
    });
    call.engine.continue_soon();
    Ok(Done::Replied)
}

/// `REQUEST-FAILOVER`: the target has everything.
pub(super) fn request_failover(call: &mut ControlCall<'_>) -> Outcome {
    check_target(call, "REQUEST-FAILOVER")?;
    let fails_over = call.engine.clients.failover_pause;
    call.engine.export_client_says(call.client, |service, jobs, job, _, now| {
        service.failover_requested(jobs, job, fails_over, now)
    });
    Ok(Done::Replied)
}

fn check_target(call: &ControlCall<'_>, word: &str) -> Result<(), CommandError> {
    if call.engine.is_export_client(call.client) {
        return Ok(());
    }
    Err(CommandError::new(format!(
        "ERR CLUSTER SYNCSLOTS {word} should only be used by slot migration clients"
    )))
}

/// `ACK`: the target is there.
pub(super) fn ack(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.export_client_says(call.client, |service, jobs, job, _, now| service.heard(jobs, job, now));
    Ok(Done::Replied)
}

/// `ACK state offset`: how far the target is, in words of Redis.
pub(super) fn ack_offset(call: &mut ControlCall<'_>) -> Outcome {
    let state = State::parse(call.args.at(3), Family::Redis);
    let streaming = match state {
        Some(State::StreamingBuffer) => true,
        Some(State::WaitStreamEof) => false,
        // For what may come.
        _ => return Ok(Done::Replied),
    };
    let offset = number::parse_i64(call.args.at(4)).and_then(|offset| u64::try_from(offset).ok());
    if let Some(offset) = offset {
        call.engine.export_client_says(call.client, |service, jobs, job, limits, now| {
            service.executed(jobs, job, (streaming, offset), limits, now);
        });
    }
    Ok(Done::Replied)
}

/// `SYNC id start end …`: a target wants slots.
pub(super) fn sync(call: &mut ControlCall<'_>) -> Outcome {
    if call.args.len() % 2 == 1 {
        return Err(wrong_arguments(call));
    }
    let slots = ranges(call.args, 4)?;
    let source = check_ranges(call.engine, &slots)?;
    let topology = &service(call.engine)?.topology;
    if source != topology.me() {
        return Err(CommandError::text("ERR This node is not the owner of the slots"));
    }
    let target = call.engine.introduced_target(call.client);
    if let Some(target) = target
        && !topology.find(target).is_some_and(|at| topology.node(at).is_primary())
    {
        return Err(CommandError::new(format!("ERR Destination node {target} is not a master")));
    }
    let migration = call.engine.slot_migration();
    if migration.is_some_and(|migration| migration.fails_at(ChannelName::ExportMain, State::None)) {
        return Err(CommandError::text("NOTREADY Cluster is not ready to migrate slots"));
    }
    let jobs = call.engine.slot_migration().map(|migration| &migration.jobs);
    let is_busy =
        |jobs: &Jobs| jobs.has_active(Family::Redis) || jobs.active_over(Role::Export, &slots).is_some();
    if jobs.is_some_and(is_busy) {
        return Err(CommandError::text("ERR Another ASM task is already in progress"));
    }
    let name = String::from_utf8_lossy(call.args.at(3)).into_owned();
    call.engine.export_slots_to(call.client, slots, name);
    call.reply.simple("RDBCHANNELSYNCSLOTS");
    Ok(Done::Replied)
}

/// Ranges from an argument on, sorted and joined.
pub(super) fn ranges(args: Args<'_>, from: usize) -> Result<SlotRanges, CommandError> {
    let mut pairs = Vec::new();
    for at in (from..args.len() - 1).step_by(2) {
        pairs.push((slot(args.at(at))?, slot(args.at(at + 1))?));
    }
    SlotRanges::normalized(pairs).map_err(|error| CommandError::new(format!("ERR {error}")))
}

/// The node that all these slots are of, if their migration can begin.
pub(super) fn check_ranges(engine: &Engine, slots: &SlotRanges) -> Result<NodeRef, CommandError> {
    let topology = &service(engine)?.topology;
    if !topology.myself().is_primary() {
        return Err(CommandError::text("ERR slot migration not allowed on replica."));
    }
    if !topology.all_importing().is_empty() || !topology.all_migrating().is_empty() {
        return Err(CommandError::text("ERR all slot states must be STABLE to start a slot migration task."));
    }
    let jobs = engine.slot_migration().map(|migration| &migration.jobs);
    let mut owner = None;
    for range in slots.iter() {
        let is_coming =
            |jobs: &Jobs| range.clone().any(|slot| jobs.active_with_slot(Role::Import, slot).is_some());
        if jobs.is_some_and(is_coming) {
            return Err(CommandError::new(format!(
                "ERR overlapping import exists for slot range: {}-{}",
                range.start(),
                range.end()
            )));
        }
        for slot in range.clone() {
            let node = topology
                .owner(slot)
                .ok_or_else(|| CommandError::new(format!("ERR slot has no owner: {slot}")))?;
            if *owner.get_or_insert(node) != node {
                return Err(CommandError::text("ERR slots belong to different source nodes"));
            }
        }
    }
    owner.ok_or(CommandError::SYNTAX)
}

/// `RDBCHANNEL id`: the connection that the snapshot is to go over.
pub(super) fn rdb_channel(call: &mut ControlCall<'_>) -> Outcome {
    let name = call.args.at(3);
    if name.len() != NODE_ID_LEN {
        return Err(CommandError::text("ERR Invalid task id"));
    }
    let jobs = call.engine.slot_migration().map(|migration| &migration.jobs);
    let task = jobs.and_then(|jobs| jobs.active_of(Role::Export).find(|job| job.family == Family::Redis));
    let Some(task) = task else {
        return Err(CommandError::text("ERR No slot migration task in progress"));
    };
    if task.state != State::WaitRdbChannel || task.name.as_bytes() != name {
        return Err(CommandError::text("ERR Another migration task is already in progress"));
    }
    call.engine.open_export_snapshot_channel(call.client, task.id);
    Ok(Done::Replied)
}

/// `CONF NODE-ID id`: which node the client is.
pub(super) fn node_id(call: &mut ControlCall<'_>, id: &[u8]) -> Result<(), CommandError> {
    if id.len() != NODE_ID_LEN {
        return Err(CommandError::new(format!("ERR Invalid node id length {}", id.len())));
    }
    let node = NodeId::parse(id)
        .filter(|id| service(call.engine).is_ok_and(|service| service.topology.find(*id).is_some()));
    let Some(node) = node else {
        let mut text = b"ERR Node ".to_vec();
        text.extend_from_slice(id);
        text.extend_from_slice(b" not found in cluster");
        return Err(CommandError::new(text));
    };
    call.engine.introduce_target(call.client, node);
    Ok(())
}
