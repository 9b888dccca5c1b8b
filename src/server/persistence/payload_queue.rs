//! The queue by which a thread hands a snapshot's chunks to the event loop. It is bounded: replicas that are slow make the thread wait.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TrySendError, bounded};

use super::snapshot_file::WriteFailure;
use crate::net::PayloadPart;

/// Chunks that wait for the loop.
const QUEUE: usize = 16;

/// What wakes the loop.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The thread's end of the queue.
pub struct PayloadSender {
    parts: Sender<PayloadPart>,
    wake: Wake,
}

/// A queue, bounded.
pub fn queue(wake: Wake) -> (PayloadSender, Receiver<PayloadPart>) {
    let (parts, received) = bounded(QUEUE);
    (PayloadSender { parts, wake }, received)
}

impl PayloadSender {
    /// Waits until there is room; an error if nothing wants it any more.
    pub(super) fn send(&self, part: PayloadPart) -> Result<(), WriteFailure> {
        self.parts.send(part).map_err(|_| WriteFailure::Cancelled)?;
        (self.wake)();
        Ok(())
    }

    /// Gives it back if there is no room; an error if nothing wants it any more.
    pub(super) fn try_send(&self, part: PayloadPart) -> Result<Option<PayloadPart>, WriteFailure> {
        match self.parts.try_send(part) {
            Ok(()) => (self.wake)(),
            Err(TrySendError::Full(part)) => return Ok(Some(part)),
            Err(TrySendError::Disconnected(_)) => return Err(WriteFailure::Cancelled),
        }
        Ok(None)
    }

    /// Waits until there is room, or nothing wants it any more; so long at most.
    pub(super) fn wait_for_room(&self, most: Duration) {
        let mut select = Select::new();
        select.send(&self.parts);
        // Whether there is room is seen when the part is sent.
        let _ = select.ready_timeout(most);
    }
}
