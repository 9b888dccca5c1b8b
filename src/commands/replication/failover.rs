//! FAILOVER: a replica takes over the role of this primary, and nothing is lost on the way.

use crate::commands::support::args::{integer, is};
use crate::commands::support::options::OptionReader;
use crate::engine::replication::FailoverRequest;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::CommandError;

/// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]`.
pub(super) fn failover(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.is_cluster() {
        return Err(CommandError::text(
            "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
        ));
    }
    if call.args.len() == 2 && is(call.args.at(1), "ABORT") {
        if !call.engine.abort_failover("Failover manually aborted") {
            return Err(CommandError::text("ERR No failover in progress."));
        }
        call.reply.ok();
        return Ok(Done::Replied);
    }
    let mut request = FailoverRequest::default();
    let mut words = OptionReader::new(call.args, 1);
    while let Some(word) = words.next() {
        if is(word, "TIMEOUT") && words.remaining() >= 1 && request.timeout_ms.is_none() {
            let timeout = u64::try_from(words.integer()?).ok().filter(|timeout| *timeout > 0);
            let error = CommandError::text("ERR FAILOVER timeout must be greater than 0");
            request.timeout_ms = Some(timeout.ok_or(error)?);
        } else if is(word, "TO") && words.remaining() >= 2 && request.target.is_none() {
            let host = String::from_utf8_lossy(words.value()?).into_owned();
            let port = integer(words.value()?)?;
            // What is no port is no replica's.
            request.target = Some((host, u16::try_from(port).unwrap_or(0)));
        } else if is(word, "FORCE") && !request.is_forced {
            request.is_forced = true;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    call.engine.begin_failover(request)?;
    call.reply.ok();
    Ok(Done::Replied)
}

/// `PSYNC replid offset FAILOVER`: the primary that this server follows asks it to take over.
pub(super) fn take_over(call: &mut ControlCall<'_>) -> Result<(), CommandError> {
    let replid = call.args.at(1);
    log::info!("Failover request received for replid {}.", replid.escape_ascii());
    if !call.engine.replication.is_replica() {
        return Err(CommandError::text("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if !replid.eq_ignore_ascii_case(call.engine.replication.identity.replid.as_bytes()) {
        return Err(CommandError::text("ERR PSYNC FAILOVER replid must match my replid."));
    }
    call.engine.become_primary();
    let user = crate::commands::describe_client(call.engine, call.client);
    log::info!("MASTER MODE enabled (failover request from '{user}')");
    Ok(())
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
