//! CLUSTER SYNCSLOTS: what the two ends of a slot migration say to each other, in the words of both families.
//!
//! ```text
//!            to the target                                            to the source
//! Valkey     ESTABLISH  SNAPSHOT-EOF  PAUSED  FAILOVER-GRANTED  ACK    REQUEST-PAUSE  REQUEST-FAILOVER  ACK
//! Redis      SNAPSHOT-EOF  STREAM-EOF  CONF SLOT-INFO                  CONF NODE-ID  SYNC  RDBCHANNEL  ACK state offset
//! replicas   FINISH (Valkey), CONF ASM-TASK (Redis)
//! ```

use super::sync_slots_export as export;
use super::sync_slots_import as import;
use super::{DISABLED, service};
use crate::commands::support::args::is;
use crate::engine::clients::session::{Role, state};
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::CommandError;

const NOT_INTERNAL: CommandError =
    CommandError::text("ERR CLUSTER SYNCSLOTS subcommands are only allowed for internal clients");

/// `CLUSTER SYNCSLOTS word …`
pub(super) fn sync_slots(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let (args, client) = (call.args, call.client);
    let word = args.at(2);
    let is_of_export = call.engine.is_export_client(client);
    match args.len() {
        _ if is(word, "ESTABLISH") => import::establish(call),
        _ if is(word, "FINISH") => import::finish(call),
        3 if is(word, "REQUEST-PAUSE") => export::request_pause(call),
        3 if is(word, "REQUEST-FAILOVER") => export::request_failover(call),
        3 if is(word, "PAUSED") => import::paused(call),
        3 if is(word, "FAILOVER-GRANTED") => import::failover_granted(call),
        3 if is(word, "SNAPSHOT-EOF") => import::snapshot_eof(call),
        3 if is(word, "ACK") && is_of_export => export::ack(call),
        3 if is(word, "ACK") => import::ack(call),
        // There are no capabilities yet.
        _ if is(word, "CAPA") => Ok(Done::Replied),
        _ => redis(call, is_of_export),
    }
}

/// Words of Redis's protocol alone.
const OF_REDIS: [&str; 6] = ["SYNC", "RDBCHANNEL", "STREAM-EOF", "ACK", "FAIL", "CONF"];

/// The words of Redis's protocol alone: for nodes that have shown the cluster's secret, and for this node's primary.
fn redis(call: &mut ControlCall<'_>, is_of_export: bool) -> Outcome {
    let session = call.engine.clients.sessions.get(call.client).ok_or(DISABLED)?;
    let obeys = session.role != Role::Normal;
    if !OF_REDIS.iter().any(|known| is(call.args.at(2), known)) {
        if is_of_export {
            call.engine.export_client_says(call.client, |service, jobs, job, _, now| {
                service.fail(jobs, job, "Unknown SYNCSLOTS subcommand used".into(), now);
            });
            return Ok(Done::Replied);
        }
        return Err(CommandError::SYNTAX);
    }
    if !obeys && !session.is(state::INTERNAL) {
        call.engine.close_after_reply(call.client);
        return Err(NOT_INTERNAL);
    }
    let (args, is_primary) = (call.args, service(call.engine)?.topology.myself().is_primary());
    let word = args.at(2);
    if !is_primary && !obeys {
        call.engine.close_after_reply(call.client);
        return Err(CommandError::text("ERR CLUSTER SYNCSLOTS subcommands are only allowed for master"));
    }
    match args.len() {
        5.. if is(word, "CONF") => configure(call),
        _ if !is_primary => Ok(Done::Replied),
        6.. if is(word, "SYNC") => export::sync(call),
        4 if is(word, "RDBCHANNEL") => export::rdb_channel(call),
        3 if is(word, "STREAM-EOF") => import::stream_eof(call),
        5 if is(word, "ACK") && is_of_export => export::ack_offset(call),
        5 if is(word, "ACK") => Ok(Done::Replied),
        4 if is(word, "FAIL") => Ok(Done::Replied),
        _ => Err(CommandError::SYNTAX),
    }
}

/// `CLUSTER SYNCSLOTS CONF option value …`
fn configure(call: &mut ControlCall<'_>) -> Outcome {
    let args = call.args;
    for at in (3..args.len()).step_by(2) {
        let (option, value) = (args.at(at), args.get(at + 1).ok_or_else(|| super::wrong_arguments(call))?);
        match () {
            () if is(option, "NODE-ID") => export::node_id(call, value)?,
            () if is(option, "SLOT-INFO") => import::slot_info(value)?,
            () if is(option, "ASM-TASK") => import::task_of_primary(call, value)?,
            // For what may come.
            () if is(option, "CAPA") => {}
            () => {
                let mut text = b"ERR Unknown option ".to_vec();
                text.extend_from_slice(option);
                return Err(CommandError::new(text));
            }
        }
    }
    call.reply.ok();
    Ok(Done::Replied)
}
