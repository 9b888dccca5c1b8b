//! Deferred calls: the server does what the command asks for after the handler (SAVE, CONFIG SET, ACL LOAD …), and the reply
//! follows. The call is counted, and logged if it was slow, when that is done: with the time that the server took.
//!
//! Within EXEC the reply has a gap where that of a deferred call belongs. The server does such calls in their order, and the
//! reply of EXEC leaves when the last gap is filled.

use std::collections::VecDeque;

use crate::base::ids::ClientId;
use crate::engine::clients::state;
use crate::engine::command::table::CommandId;
use crate::engine::metrics::slowlog::CallCost;
use crate::engine::{Engine, ServerAction};
use crate::resp::{Args, OwnedArgs};
use crate::sys::clock::Ticks;

/// A call whose reply follows.
pub(in crate::engine) struct DeferredCall {
    client: ClientId,
    id: CommandId,
    /// As the logs may show it.
    request: OwnedArgs,
    /// Bytes of the request as it came.
    request_bytes: u64,
    /// What the handler took, ns.
    nanos: u64,
    /// When the server began with its part.
    began: Option<Ticks>,
}

/// The reply of an EXEC with deferred calls.
pub(in crate::engine) struct UnfinishedReply {
    client: ClientId,
    /// Without the replies of the deferred calls.
    bytes: Vec<u8>,
    /// Where those belong that are missing yet, in ascending order.
    gaps: VecDeque<usize>,
}

impl UnfinishedReply {
    /// Puts a reply into the first gap.
    fn fill(&mut self, reply: &[u8]) {
        let Some(gap) = self.gaps.pop_front() else { return };
        self.bytes.splice(gap..gap, reply.iter().copied());
        self.gaps.iter_mut().for_each(|later| *later += reply.len());
    }
}

/// What the server has still to complete.
#[derive(Default)]
pub(in crate::engine) struct Deferred {
    /// In the order of the calls.
    calls: Vec<DeferredCall>,
    replies: Vec<UnfinishedReply>,
}

impl ServerAction {
    /// The client that gets the outcome as its reply.
    fn client(&self) -> Option<ClientId> {
        match self {
            ServerAction::ReloadLog { client }
            | ServerAction::Reload { client, .. }
            | ServerAction::RewriteConfig { client, .. }
            | ServerAction::LoadUsers { client }
            | ServerAction::SaveUsers { client }
            | ServerAction::Restart { client }
            | ServerAction::SaveNodesFor { client, .. } => Some(*client),
            ServerAction::Save { client }
            | ServerAction::Shutdown { client, .. }
            | ServerAction::PersistSentinel { client }
            | ServerAction::ConfigChanged { client, .. } => *client,
            ServerAction::Close { .. }
            | ServerAction::GatherPackets { .. }
            | ServerAction::Link(..)
            | ServerAction::Resume(_)
            | ServerAction::ResumeAll
            | ServerAction::ContinueMigrations
            | ServerAction::RunVectorJobs
            | ServerAction::WriteSnapshot
            | ServerAction::SendPayload { .. }
            | ServerAction::RewriteLog
            | ServerAction::Sync(_)
            | ServerAction::RunScript { .. }
            | ServerAction::KillScript { .. }
            | ServerAction::SaveNodes { .. }
            | ServerAction::Exit(_)
            | ServerAction::Crash
            | ServerAction::Stop => None,
        }
    }
}

impl Engine {
    /// A handler has deferred its reply.
    #[cold]
    pub(super) fn defer_call(&mut self, client: ClientId, id: CommandId, args: Args<'_>, started: Ticks) {
        let ended = self.clock.ticks();
        let nanos = self.clock.nanos(started, ended);
        self.metrics.batch_start = ended;
        self.metrics.stats.calls_nanos += nanos;
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.last_command = Some(id);
        }
        let request = self.redacted(args).unwrap_or_else(|| args.to_owned());
        let request_bytes = args.frame_len() as u64;
        self.deferred.calls.push(DeferredCall { client, id, request, request_bytes, nanos, began: None });
    }

    /// What the server has to do next.
    pub fn next_action(&mut self) -> Option<ServerAction> {
        let action = self.actions.pop_front()?;
        if !self.deferred.calls.is_empty()
            && let Some(client) = action.client()
        {
            let now = self.clock.ticks();
            let is_next = |call: &&mut DeferredCall| call.client == client && call.began.is_none();
            let call = self.deferred.calls.iter_mut().find(is_next);
            if let Some(call) = call {
                call.began = Some(now);
            }
        }
        Some(action)
    }

    /// Sends the reply that a handler deferred, and lets the client go on.
    pub fn complete_deferred(&mut self, client: ClientId, reply: &[u8]) {
        self.account_deferred(client, reply);
        let of_client = |unfinished: &UnfinishedReply| unfinished.client == client;
        let Some(at) = self.deferred.replies.iter().position(of_client) else {
            return self.send_deferred(client, reply);
        };
        let unfinished = &mut self.deferred.replies[at];
        unfinished.fill(reply);
        if unfinished.gaps.is_empty() {
            let whole = self.deferred.replies.swap_remove(at);
            self.account_deferred(client, &whole.bytes);
            self.send_deferred(client, &whole.bytes);
        }
    }

    /// The calls of an EXEC are over, but those whose replies are missing in `gaps` wait for the server.
    pub fn defer_rest(&mut self, client: ClientId, bytes: Vec<u8>, gaps: VecDeque<usize>) {
        self.deferred.replies.push(UnfinishedReply { client, bytes, gaps });
    }

    /// Whether calls of the client's EXEC wait for the server.
    pub(in crate::engine) fn has_unfinished_reply(&self, client: ClientId) -> bool {
        self.deferred.replies.iter().any(|unfinished| unfinished.client == client)
    }

    fn send_deferred(&mut self, client: ClientId, reply: &[u8]) {
        if let Some(session) = self.clients.sessions.get_mut(client) {
            session.set(state::BLOCKED, false);
            self.reply_late(client, reply);
        }
    }

    /// Counts and times the call that a client's deferred reply belongs to.
    fn account_deferred(&mut self, client: ClientId, reply: &[u8]) {
        let calls = &mut self.deferred.calls;
        let Some(at) = calls.iter().position(|call| call.client == client) else { return };
        let call = calls.remove(at);
        let error = reply.strip_prefix(b"-");
        if let Some(error) = error {
            let end = error.iter().position(|byte| byte.is_ascii_whitespace());
            self.metrics.stats.error(&error[..end.unwrap_or(error.len())]);
        }
        let taken = call.began.map_or(0, |began| self.clock.nanos(began, self.clock.ticks()));
        let (nanos, request) = (call.nanos + taken, call.request_bytes);
        self.count_call(client, call.id, error.is_some());
        self.add_to_stats(call.id, 1, nanos);
        let cost = CallCost { nanos, earlier_nanos: 0, request, reply: reply.len() as u64 };
        if self.is_unusual(&cost) {
            self.note_unusual(client, call.id, call.request.as_args(), cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::engine::ServerAction;

    #[test]
    fn a_deferred_call_takes_what_the_server_takes() {
        let mut server = TestServer::new();
        let client = server.client;
        server.script(
            "CONFIG SET latency-monitor-threshold 100 slowlog-log-slower-than 100000
             SAVE => (blocked)",
        );
        let calls = |server: &TestServer| {
            let id = server.engine.commands.find_full(b"save").expect("a command");
            let stats = &server.engine.metrics.stats.commands[id.0 as usize];
            (stats.calls, stats.failed, stats.nanos / 1_000_000)
        };
        assert_eq!(calls(&server), (0, 0, 0));
        // What other clients do until the server begins isn't the command's.
        server.advance(5000);
        while !matches!(server.engine.next_action(), Some(ServerAction::Save { .. })) {}
        server.advance(200);
        server.engine.complete_deferred(client, b"-ERR\r\n");
        assert_eq!(calls(&server), (1, 1, 200));
        server.script(
            "LATENCY LATEST => [[\"command\" :1700000005 :200 :200]]
             SLOWLOG LEN => :1",
        );
        let entry = server.run("SLOWLOG GET 1");
        assert!(entry.contains(":200000 [\"SAVE\"]"), "{entry}");
        assert!(server.run("INFO errorstats").contains("errorstat_ERR:count=1"));
        assert!(server.engine.deferred.calls.is_empty());
    }

    #[test]
    fn exec_has_the_replies_of_its_deferred_calls() {
        let mut server = TestServer::new();
        let client = server.client;
        server.engine.info.config_file = "here".into();
        server.script(
            "MULTI => +OK\nSET a 1 => +QUEUED\nCONFIG SET port 1 hz 20 => +QUEUED\nGET a => +QUEUED\n\
             CONFIG REWRITE => +QUEUED\nCONFIG REWRITE => +QUEUED",
        );
        assert_eq!(server.run("EXEC"), "(blocked)");
        let calls = |server: &TestServer, name: &[u8]| {
            let id = server.engine.commands.find_full(name).expect("a command");
            let stats = &server.engine.metrics.stats.commands[id.0 as usize];
            (stats.calls, stats.failed)
        };
        server.engine.complete_deferred(client, b"-ERR no\r\n");
        assert_eq!((calls(&server, b"config|set"), calls(&server, b"config|rewrite")), ((1, 1), (0, 0)));
        server.engine.complete_deferred(client, b"+OK\r\n");
        assert_eq!((server.posted(client), calls(&server, b"exec")), (String::new(), (0, 0)));
        server.engine.complete_deferred(client, b"-ERR disk\r\n");
        assert_eq!(server.posted(client), "[+OK -ERR no \"1\" +OK -ERR disk]");
        assert_eq!((calls(&server, b"config|rewrite"), calls(&server, b"exec")), ((2, 1), (1, 0)));
        assert!(server.engine.deferred.calls.is_empty() && server.engine.deferred.replies.is_empty());
        server.script("CONFIG GET hz => [\"hz\" \"20\"]");
    }

    #[test]
    fn what_is_secret_is_not_logged_when_the_call_is_over() {
        let mut server = TestServer::new();
        let client = server.client;
        server.script(
            "CONFIG SET slowlog-log-slower-than 0\nCONFIG SET port 1 requirepass secret => (blocked)",
        );
        server.engine.complete_deferred(client, b"+OK\r\n");
        let log = server.run("SLOWLOG GET 1");
        assert!(log.contains("\"requirepass\" \"(redacted)\"") && !log.contains("secret"), "{log}");
    }
}
