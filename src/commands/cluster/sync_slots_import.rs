//! CLUSTER SYNCSLOTS at the target of a migration, and at its replicas.

use crate::engine::{ControlCall, Outcome};
use crate::resp::CommandError;

const NOT_YET: CommandError = CommandError::text("ERR slots can't be imported by this node");

/// `ESTABLISH SOURCE id NAME name SLOTSRANGE start end …`: a source begins to send slots.
pub(super) fn establish(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `FINISH STATE state NAME name [MESSAGE text]`: an import of this replica's primary is over.
pub(super) fn finish(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `PAUSED`: nothing more changes at the source.
pub(super) fn paused(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `FAILOVER-GRANTED`: the slots may be taken over.
pub(super) fn failover_granted(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `SNAPSHOT-EOF`: all keys were sent.
pub(super) fn snapshot_eof(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `ACK`: the source is there.
pub(super) fn ack(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `STREAM-EOF`: nothing more comes from the source, and the slots may be taken over.
pub(super) fn stream_eof(_call: &mut ControlCall<'_>) -> Outcome {
    Err(NOT_YET)
}

/// `CONF SLOT-INFO slot:keys:deadlines`: how much of a slot is to come.
pub(super) fn slot_info(_value: &[u8]) -> Result<(), CommandError> {
    Err(NOT_YET)
}

/// `CONF ASM-TASK task`: how far a task of this replica's primary is.
pub(super) fn task_of_primary(_call: &mut ControlCall<'_>, _value: &[u8]) -> Result<(), CommandError> {
    Err(NOT_YET)
}
