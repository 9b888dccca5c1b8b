//! Transactions (MULTI, EXEC, DISCARD): the queue of commands of a session, and how it is discarded.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::{Clients, state};
use crate::engine::command::table::CommandId;
use crate::resp::OwnedArgs;

/// A session's queue and watches.
#[derive(Debug, Default)]
pub struct Transaction {
    pub queue: Vec<(CommandId, OwnedArgs)>,
    /// Bytes the queue holds.
    pub queued_bytes: usize,
    /// Union of the flags of the queued commands.
    pub flags: u64,
    pub watched: Vec<(u32, Box<[u8]>)>,
    /// The session's `write_offset` as EXEC began: its own writes are in the command stream only at its end.
    pub written_before: u64,
    /// The database that the last queued SELECT selects.
    pub selected: Option<u32>,
}

impl Clients {
    /// Ends a session's transaction and forgets what it watched.
    pub fn discard_transaction(&mut self, client: ClientId) {
        self.unwatch_all(client);
        if let Some(session) = self.sessions.get_mut(client) {
            session.set(state::IN_MULTI | state::DIRTY_EXEC | state::DIRTY_CAS | state::IN_EXEC, false);
            session.transaction = None;
        }
    }
}

impl Engine {
    /// Ends a session's transaction and forgets what it watched.
    pub fn discard_transaction(&mut self, client: ClientId) {
        self.clients.discard_transaction(client);
        self.refresh_changed_recording();
    }
}
