//! CLUSTER SYNCSLOTS at the target of a migration, and at its replicas.

use super::migrate_slots::{check_may_start, ranges};
use super::service;
use crate::base::ids::{NODE_ID_LEN, NodeId};
use crate::base::number;
use crate::commands::support::args::is;
use crate::engine::clients::session::Role;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::CommandError;
use crate::services::slot_migration::{Role as End, SlotRanges, State, Word};

/// Whether a request is of this node's primary, or of a log.
fn is_replayed(call: &ControlCall<'_>) -> bool {
    call.engine.clients.sessions.live(call.client).role.replays()
}

/// A replica's log has to have what its primary imports.
fn note_for_log(call: &mut ControlCall<'_>) {
    call.engine.data.keyspace.journal.dirty += 1;
}

/// What ESTABLISH says.
struct Established {
    source: Option<NodeId>,
    name: String,
    slots: SlotRanges,
}

/// `ESTABLISH SOURCE id NAME name SLOTSRANGE start end …`: a source begins to send slots; or this node's primary is being sent them.
pub(super) fn establish(call: &mut ControlCall<'_>) -> Outcome {
    let tracks_only = is_replayed(call);
    if !tracks_only {
        check_may_start(service(call.engine)?)?;
    }
    let Established { source, name, slots } = parse(call, tracks_only)?;
    match source {
        _ if tracks_only => {
            call.engine.track_import(&name, slots);
            note_for_log(call);
        }
        Some(source) => call.engine.begin_import(call.client, &name, slots, source),
        None => return Err(CommandError::SYNTAX),
    }
    call.engine.propagation_mut().to_all();
    call.reply.ok();
    Ok(Done::Replied)
}

fn parse(call: &ControlCall<'_>, tracks_only: bool) -> Result<Established, CommandError> {
    let (args, service) = (call.args, service(call.engine)?);
    let topology = &service.topology;
    let (mut source, mut name, mut slots, mut owner) = (None, None, None, None);
    let mut at = 3;
    while at < args.len() {
        let id = args.get(at + 1).filter(|id| id.len() == NODE_ID_LEN);
        match args.at(at) {
            word if is(word, "SOURCE") => {
                let id = id.filter(|_| source.is_none()).ok_or(CommandError::SYNTAX)?;
                if !tracks_only {
                    let node = NodeId::parse(id).filter(|id| topology.find(*id).is_some());
                    let node =
                        node.ok_or(CommandError::text("ERR Target node does not know the source node"))?;
                    if topology.find(node) == Some(topology.me()) {
                        return Err(CommandError::text("ERR Source node is target node itself"));
                    }
                    source = Some(node);
                }
                at += 2;
            }
            word if is(word, "NAME") => {
                let id = id.filter(|_| name.is_none()).ok_or(CommandError::SYNTAX)?;
                name = Some(String::from_utf8(id.to_vec()).map_err(|_| CommandError::SYNTAX)?);
                at += 2;
            }
            word if is(word, "SLOTSRANGE") && slots.is_none() => {
                if tracks_only {
                    slots = Some(any_ranges(call, &mut at)?);
                    continue;
                }
                let (found, node) = ranges(service, args, &mut at)?;
                let jobs = call.engine.slot_migration().map(|migration| &migration.jobs);
                let mut taken = jobs.iter().flat_map(|jobs| jobs.active_of(End::Import));
                // The keys of one that has failed go first.
                if taken.any(|job| job.state != State::CleaningUp && job.slots.overlaps(&found)) {
                    return Err(CommandError::text(
                        "ERR Slot is already being imported on the target by a different migration",
                    ));
                }
                (slots, owner) = (Some(found), Some(node));
            }
            _ => return Err(CommandError::SYNTAX),
        }
    }
    let (Some(name), Some(slots)) = (name, slots) else { return Err(CommandError::SYNTAX) };
    if source.is_none() && !tracks_only {
        return Err(CommandError::SYNTAX);
    }
    if source.is_some_and(|source| topology.find(source) != owner) {
        return Err(CommandError::text("ERR Target node does not agree about current slot ownership"));
    }
    Ok(Established { source, name, slots })
}

/// The ranges behind the word at `at`, whatever nodes have them: a replica may know other owners than its primary.
fn any_ranges(call: &ControlCall<'_>, at: &mut usize) -> Result<SlotRanges, CommandError> {
    let mut found = SlotRanges::default();
    *at += 1;
    while call.args.get(*at).is_some_and(|word| number::parse_i64(word).is_some()) {
        let (start, end) =
            (super::slot(call.args.at(*at))?, call.args.get(*at + 1).ok_or(CommandError::SYNTAX)?);
        let end = super::slot(end)?;
        if start > end || found.push(start..=end).is_err() {
            return Err(CommandError::SYNTAX);
        }
        *at += 2;
    }
    if found.is_empty() { Err(CommandError::SYNTAX) } else { Ok(found) }
}

/// `FINISH STATE state NAME name [MESSAGE text]`: an import of this replica's primary is over.
pub(super) fn finish(call: &mut ControlCall<'_>) -> Outcome {
    const UNKNOWN: CommandError = CommandError::text("ERR No such slot migration job");
    let args = call.args;
    let (mut succeeded, mut name, mut message) = (None, None, None);
    for at in (3..args.len()).step_by(2) {
        let value = args.get(at + 1).ok_or(CommandError::SYNTAX)?;
        match args.at(at) {
            word if is(word, "STATE") && succeeded.is_none() => {
                succeeded = Some(match value {
                    value if is(value, "SUCCESS") => true,
                    value if is(value, "FAILED") => false,
                    _ => return Err(CommandError::SYNTAX),
                });
            }
            word if is(word, "NAME") && name.is_none() && value.len() == NODE_ID_LEN => name = Some(value),
            word if is(word, "MESSAGE") && message.is_none() => message = Some(value),
            _ => return Err(CommandError::SYNTAX),
        }
    }
    let (Some(succeeded), Some(name)) = (succeeded, name) else { return Err(CommandError::SYNTAX) };
    if !is_replayed(call) {
        return Err(UNKNOWN);
    }
    // One that was given up before the data was loaded is none any more.
    call.engine.end_tracked_import(name, succeeded, message);
    note_for_log(call);
    call.reply.ok();
    Ok(Done::Replied)
}

/// A word of a source; `name`: the word, for the error of a client that is none.
fn word_of_source(call: &mut ControlCall<'_>, word: Word, name: &str) -> Outcome {
    if call.engine.clients.sessions.live(call.client).role == Role::Primary {
        return Ok(Done::Replied);
    }
    if call.engine.import_word(call.client, word) {
        return Ok(Done::Replied);
    }
    Err(CommandError::new(format!(
        "ERR CLUSTER SYNCSLOTS {name} should only be used by slot migration clients"
    )))
}

/// `PAUSED`: nothing more changes at the source.
pub(super) fn paused(call: &mut ControlCall<'_>) -> Outcome {
    word_of_source(call, Word::Paused, "PAUSED")
}

/// `FAILOVER-GRANTED`: the slots may be taken over.
pub(super) fn failover_granted(call: &mut ControlCall<'_>) -> Outcome {
    word_of_source(call, Word::FailoverGranted, "FAILOVER-GRANTED")
}

/// `SNAPSHOT-EOF`: all keys were sent.
pub(super) fn snapshot_eof(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.import_snapshot_ended(call.client) {
        return Ok(Done::Replied);
    }
    word_of_source(call, Word::SnapshotEof, "SNAPSHOT-EOF")
}

/// `ACK`: the source is there.
pub(super) fn ack(call: &mut ControlCall<'_>) -> Outcome {
    word_of_source(call, Word::Ack, "ACK")
}

/// `STREAM-EOF`: nothing more comes from the source, and the slots may be taken over.
pub(super) fn stream_eof(call: &mut ControlCall<'_>) -> Outcome {
    if !call.engine.import_stream_ended(call.client) {
        log::warn!("Unexpected CLUSTER SYNCSLOTS STREAM-EOF command");
        call.engine.close_after_reply(call.client);
    }
    Ok(Done::Replied)
}

/// `CONF SLOT-INFO slot:keys:deadlines`: how much of a slot is to come. Tables grow by themselves, so it is only checked.
pub(super) fn slot_info(value: &[u8]) -> Result<(), CommandError> {
    let mut parts = value.split(|byte| *byte == b':').map(number::parse_i64);
    let mut next = || parts.next().flatten().filter(|number| *number >= 0);
    let (slot, keys, deadlines) = (next(), next(), next());
    let is_slot = slot.is_some_and(|slot| slot < i64::from(crate::base::crc::SLOTS));
    if is_slot && keys.is_some() && deadlines.is_some() && parts.next().is_none() {
        return Ok(());
    }
    let mut text = b"ERR Invalid slot info: ".to_vec();
    text.extend_from_slice(value);
    Err(CommandError::new(text))
}

/// `CONF ASM-TASK task`: how far a task of this replica's primary is.
pub(super) fn task_of_primary(call: &mut ControlCall<'_>, value: &[u8]) -> Result<(), CommandError> {
    if service(call.engine)?.topology.myself().is_primary() {
        return Err(CommandError::text("ERR CLUSTER SYNCSLOTS CONF ASM-TASK only allowed on replica"));
    }
    if call.engine.track_task(value) {
        return Ok(());
    }
    let mut text = b"ERR Failed to handle master task: ".to_vec();
    text.extend_from_slice(value);
    Err(CommandError::new(text))
}
