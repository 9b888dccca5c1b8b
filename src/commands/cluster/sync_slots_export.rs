//! CLUSTER SYNCSLOTS at the source of a migration.

use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::CommandError;

/// `REQUEST-PAUSE`: the target has the snapshot.
pub(super) fn request_pause(call: &mut ControlCall<'_>) -> Outcome {
    from_target(call, "REQUEST-PAUSE")
}

/// `REQUEST-FAILOVER`: the target has everything.
pub(super) fn request_failover(call: &mut ControlCall<'_>) -> Outcome {
    from_target(call, "REQUEST-FAILOVER")
}

fn from_target(call: &mut ControlCall<'_>, word: &str) -> Outcome {
    if !call.engine.is_export_client(call.client) {
        return Err(CommandError::new(format!(
            "ERR CLUSTER SYNCSLOTS {word} should only be used by slot migration clients"
        )));
    }
    Ok(Done::Replied)
}

/// `ACK`: the target is there.
pub(super) fn ack(_call: &mut ControlCall<'_>) -> Outcome {
    Ok(Done::Replied)
}

/// `ACK state offset`: how far the target is, in words of Redis.
pub(super) fn ack_offset(_call: &mut ControlCall<'_>) -> Outcome {
    Ok(Done::Replied)
}

/// `SYNC id start end …`: a target wants slots.
pub(super) fn sync(_call: &mut ControlCall<'_>) -> Outcome {
    Err(CommandError::SYNTAX)
}

/// `RDBCHANNEL id`: the connection that the snapshot is to go over.
pub(super) fn rdb_channel(_call: &mut ControlCall<'_>) -> Outcome {
    Err(CommandError::SYNTAX)
}

/// `CONF NODE-ID id`: which node the client is.
pub(super) fn node_id(_call: &mut ControlCall<'_>, _id: &[u8]) -> Result<(), CommandError> {
    Ok(())
}
