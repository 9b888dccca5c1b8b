//! CLUSTER, READONLY, READWRITE, ASKING. A server that isn't a node of a cluster says so.

mod change;
#[cfg(test)]
mod export_tests;
mod help;
#[cfg(test)]
mod import_tests;
mod keys;
mod migrate_slots;
mod migration;
mod query;
#[cfg(test)]
mod route_tests;
mod set_slot;
#[cfg(test)]
mod slot_keys_tests;
mod slots;
pub mod specs;
mod sync_slots;
mod sync_slots_export;
mod sync_slots_import;
#[cfg(test)]
mod tests;
mod trim_slots;

use crate::base::crc::SLOTS;
use crate::base::number;
use crate::engine::clients::session::state;
use crate::engine::{ClientCall, ControlCall, Done, Engine, Outcome};
use crate::resp::CommandError;
use crate::services::cluster::{Cluster, ControlError};

const DISABLED: CommandError = CommandError::text("ERR This instance has cluster support disabled");
const INVALID_SLOT: CommandError = CommandError::text("ERR Invalid or out of range slot");

/// The service of this node, for a look.
fn service(engine: &Engine) -> Result<&Cluster, CommandError> {
    engine.cluster.as_ref().map(|mode| &mode.service).ok_or(DISABLED)
}

/// Calls into the service to change it. The reply leaves once the change is in `nodes.conf`.
fn change<T>(
    engine: &mut Engine,
    change: impl FnOnce(&mut Cluster) -> Result<T, ControlError>,
) -> Result<T, CommandError> {
    let changed = engine.command_cluster(|service, now| {
        service.set_now(now);
        change(service)
    });
    changed.ok_or(DISABLED)?.map_err(error)
}

/// The reply of what the service doesn't do.
fn error(error: ControlError) -> CommandError {
    CommandError::new(format!("ERR {error}"))
}

/// A slot's number.
fn slot(argument: &[u8]) -> Result<u16, CommandError> {
    let number = number::parse_i64(argument).and_then(|number| u16::try_from(number).ok());
    number.filter(|slot| *slot < SLOTS).ok_or(INVALID_SLOT)
}

/// The reply to a request whose arguments the subcommand doesn't take.
fn wrong_arguments(call: &ControlCall<'_>) -> CommandError {
    CommandError::wrong_subcommand(call.args.at(0), call.args.at(1))
}

fn done(call: &mut ControlCall<'_>) -> Outcome {
    call.reply.ok();
    Ok(Done::Replied)
}

/// READONLY, READWRITE: whether a client that is redirected from replicas may read from this one.
fn readonly(call: &mut ClientCall<'_>) -> Outcome {
    set_reads_replica(call, true)
}

fn readwrite(call: &mut ClientCall<'_>) -> Outcome {
    set_reads_replica(call, false)
}

fn set_reads_replica(call: &mut ClientCall<'_>, on: bool) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    if !call.settings.is_cluster && !session.is(state::CAPA_REDIRECT) {
        return Err(DISABLED);
    }
    session.set(state::READS_REPLICA, on);
    call.reply.ok();
    Ok(Done::Replied)
}

/// ASKING: the next request may be served from a slot that is coming here.
fn asking(call: &mut ClientCall<'_>) -> Outcome {
    if !call.settings.is_cluster {
        return Err(DISABLED);
    }
    call.clients.sessions.live_mut(call.client).set(state::ASKING, true);
    call.reply.ok();
    Ok(Done::Replied)
}
