//! CLUSTER MIGRATION: slots that come to this node as a whole (Redis 8.4).

use super::service;
use crate::engine::{ControlCall, Outcome};
use crate::resp::CommandError;

/// `CLUSTER MIGRATION IMPORT start end … | STATUS (ID id | ALL) | CANCEL (ID id | ALL)`
pub(super) fn migration(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    Err(CommandError::text("ERR unknown argument"))
}
