//! Work on vector sets: what searches share, whatever database they are in, and what a command gives away to be done by another thread.

use crate::base::ids::ClientId;
use crate::structures::hnsw::Scratch;
use crate::value::vector_set::Prepared;

/// What a thread does on a clone of a set.
pub type VectorTask = Box<dyn FnOnce(&mut Scratch) -> VectorResult + Send>;

/// What comes of it.
pub enum VectorResult {
    /// The reply to the client.
    Reply(Vec<u8>),
    /// The place of a vector in the set of this uid, and whether its element was there. The client's request is run again, and inserts
    /// it.
    Place { uid: u64, was_there: bool, prepared: Prepared },
}

/// A task, and the client whose request waits for it.
pub struct VectorJob {
    pub client: ClientId,
    pub task: VectorTask,
}

/// Work that is estimated to take so long is given away, ns: to give it away costs some ten microseconds, and that what changes of the
/// set meanwhile is copied.
const LONG_NANOS: usize = 1_000_000;

/// See the head of this file.
pub struct VectorWork {
    /// What a search on the event loop needs beside the set. A command takes it out, and puts it back.
    pub scratch: Scratch,
    /// Everything is done on the event loop (`vset-force-single-threaded-execution`).
    pub only_on_loop: bool,
    /// From here on work is given away, ns.
    pub long_nanos: usize,
    /// Threads have as much to do as they may have: a client that would give them more waits.
    pub is_busy: bool,
    /// What the running command has given away.
    given: Option<VectorJob>,
    /// What the running command has waited for.
    result: Option<VectorResult>,
}

impl Default for VectorWork {
    fn default() -> Self {
        VectorWork {
            scratch: Scratch::new(),
            only_on_loop: false,
            long_nanos: LONG_NANOS,
            is_busy: false,
            given: None,
            result: None,
        }
    }
}

impl VectorWork {
    /// Gives a job away, unless threads are busy: the request is run again then. Either way its client is to wait.
    pub fn give(
        &mut self,
        client: ClientId,
        task: impl FnOnce(&mut Scratch) -> VectorResult + Send + 'static,
    ) {
        if !self.is_busy {
            self.given = Some(VectorJob { client, task: Box::new(task) });
        }
    }

    /// Takes what the last command has given away.
    pub fn take_given(&mut self) -> Option<VectorJob> {
        self.given.take()
    }

    /// Has the next command find what it waited for; what it leaves is returned when it is over.
    pub fn exchange_result(&mut self, result: Option<VectorResult>) -> Option<VectorResult> {
        std::mem::replace(&mut self.result, result)
    }

    /// What the running command has waited for.
    pub fn take_result(&mut self) -> Option<VectorResult> {
        self.result.take()
    }
}
