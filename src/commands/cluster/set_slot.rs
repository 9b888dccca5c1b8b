//! CLUSTER SETSLOT: begins, ends and gives up the move of a slot.
//!
//! A primary has its replicas do it first, as Valkey's do, so that no failover takes back what the reply has promised: the
//! request is sent to them, and executed here when all of them have acknowledged it. Redis's replicas don't know the request; where there is one, it is executed
//! here alone.

use super::{change, done, keys, service, slot};
use crate::commands::support::args::{is, timeout_ms};
use crate::engine::clients::blocked::WantedCopies;
use crate::engine::clients::session::{Role, state};
use crate::engine::{Awaited, ControlCall, Done, Engine, Outcome, TimeoutReply, Wait};
use crate::resp::{Args, CommandError};
use crate::services::cluster::SlotRequest;
use crate::services::slot_migration::{Family, Role as End};

const INVALID: CommandError =
    CommandError::text("ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP");
/// How long replicas may take, unless TIMEOUT says otherwise, ms.
const TIMEOUT: u64 = 2000;

/// `CLUSTER SETSLOT slot MIGRATING id | IMPORTING id | NODE id | STABLE [TIMEOUT ms]`
pub(super) fn set_slot(call: &mut ControlCall<'_>) -> Outcome {
    let obeys = call.engine.clients.sessions.live(call.client).role != Role::Normal;
    if !service(call.engine)?.topology.myself().is_primary() && !obeys {
        return Err(CommandError::text("ERR Please use SETSLOT only with masters."));
    }
    let slot = slot(call.args.at(2))?;
    call.engine.finish_losing_slot(slot);
    check_migrations(call.engine, slot)?;
    let (request, deadline) = parse(call.args, call.engine.now())?;
    call.engine.note_data_read();
    let keys = keys::count(call.engine, slot);
    let checked = service(call.engine)?.check_set_slot(slot, request, keys, obeys).map_err(super::error)?;
    if let Some(wait) = replicas_first(call, deadline) {
        return Ok(Done::Blocked(Box::new(wait)));
    }
    change(call.engine, |service| {
        service.set_slot(slot, checked, keys);
        Ok(())
    })?;
    done(call)
}

/// Slots aren't moved key by key while they, or others in Valkey, move as a whole.
fn check_migrations(engine: &Engine, slot: u16) -> Result<(), CommandError> {
    let Some(migration) = engine.slot_migration() else { return Ok(()) };
    let jobs = &migration.jobs;
    if jobs.iter().any(|job| job.family == Family::Redis && !job.is_archived && job.slots.contains(slot)) {
        return Err(CommandError::new(format!(
            "ERR Slot {slot} is currently in an active atomic slot migration. CLUSTER SETSLOT cannot be used at this time. To perform a legacy slot migration instead, first cancel the ongoing task with CLUSTER MIGRATION CANCEL"
        )));
    }
    for (role, text) in
        [(End::Import, "ERR Slot import in progress."), (End::Export, "ERR Slot export in progress.")]
    {
        if jobs.active_of(role).any(|job| job.family == Family::Valkey) {
            return Err(CommandError::text(text));
        }
    }
    if engine.is_losing_slot(slot) {
        return Err(CommandError::new(format!(
            "ERR There is a pending trim job for slot {slot}. Most probably, this is due to a failed atomic slot migration. CLUSTER SETSLOT cannot be used at this time. Please retry later once the trim job is completed."
        )));
    }
    Ok(())
}

/// What is asked for, and until when replicas may take (Unix ms; `None`: for ever).
fn parse(args: Args<'_>, now: u64) -> Result<(SlotRequest<'_>, Option<u64>), CommandError> {
    let node = args.get(4);
    let (request, options) = match (args.at(3), node) {
        (word, Some(node)) if is(word, "MIGRATING") => (SlotRequest::Migrating(node), 5),
        (word, Some(node)) if is(word, "IMPORTING") => (SlotRequest::Importing(node), 5),
        (word, Some(node)) if is(word, "NODE") => (SlotRequest::Node(node), 5),
        (word, _) if is(word, "STABLE") => (SlotRequest::Stable, 4),
        _ => return Err(INVALID),
    };
    let deadline = match args.get(options) {
        None => Some(now + TIMEOUT),
        Some(word) if is(word, "TIMEOUT") && args.len() == options + 1 => {
            return Err(CommandError::text("ERR Missing timeout value"));
        }
        Some(word) if is(word, "TIMEOUT") && args.len() == options + 2 => {
            timeout_ms(args.at(options + 1), now)?
        }
        Some(_) => return Err(INVALID),
    };
    Ok((request, deadline))
}

/// Sends the request to the replicas, if they are to do it first and haven't yet: the wait for them.
fn replicas_first(call: &mut ControlCall<'_>, deadline: Option<u64>) -> Option<Wait> {
    let session = call.engine.clients.sessions.live(call.client);
    // A client that waits has waited for the replicas: this is the request's second call.
    let is_second = session.waiting.is_some();
    if is_second || session.role != Role::Normal || session.is(state::IN_EXEC | state::IN_SCRIPT) {
        return None;
    }
    let replicas = call.engine.replicas_that_set_slots()?;
    call.engine.replicate_only(call.args);
    call.engine.ask_for_acks();
    let offset = call.engine.backlog().end();
    Some(Wait {
        keys: Vec::new(),
        awaited: Awaited::Copies(WantedCopies { local: false, replicas, replica_logs: 0, offset }),
        deadline,
        retry_ms: None,
        on_timeout: TimeoutReply::NoReplicas,
        resolved: Some(call.args.to_owned()),
        nanos: 0,
    })
}
