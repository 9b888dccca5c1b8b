//! REPLICAOF and SLAVEOF: which primary is followed.

use crate::base::number;
use crate::commands::describe_client;
use crate::commands::support::args::is;
use crate::engine::clients::session::state;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::CommandError;

/// `REPLICAOF host port` or `REPLICAOF NO ONE`.
pub(super) fn replicaof(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.is_cluster() {
        return Err(CommandError::text("ERR REPLICAOF not allowed in cluster mode."));
    }
    if call.engine.replication.failover.is_some() {
        return Err(CommandError::text("ERR REPLICAOF not allowed while failing over."));
    }
    let (host, port) = (call.args.at(1), call.args.at(2));
    if is(host, "NO") && is(port, "ONE") {
        if call.engine.become_primary() {
            let user = describe_client(call.engine, call.client);
            log::info!("MASTER MODE enabled (user request from '{user}')");
        }
        call.reply.ok();
        return Ok(Done::Replied);
    }
    if call.engine.clients.sessions.live(call.client).is(state::REPLICA) {
        return Err(CommandError::text("ERR Command is not valid when client is a replica."));
    }
    let port = number::parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(CommandError::text("ERR Invalid master port"))?;
    let host = String::from_utf8_lossy(host).into_owned();
    let current = call.engine.replication.primary.as_ref();
    if current.is_some_and(|primary| primary.host.eq_ignore_ascii_case(&host) && primary.port == port) {
        log::info!(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation performed."
        );
        call.reply.simple("OK Already connected to specified master");
        return Ok(Done::Replied);
    }
    call.engine.replicate_from(&host, port);
    let user = describe_client(call.engine, call.client);
    log::info!("REPLICAOF {host}:{port} enabled (user request from '{user}')");
    call.reply.ok();
    Ok(Done::Replied)
}
