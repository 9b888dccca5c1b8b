//! Admission (`processCommand`): which request may run now, in an ordered list of checks behind one question, whether
//! anything is out of the ordinary at all.

use crate::base::ids::ClientId;
use crate::base::number;
use crate::engine::acl::{self, Context};
use crate::engine::clients::session::{Role, state};
use crate::engine::command::spec::{Handler, flag};
use crate::engine::command::table::{CommandId, Unknown};
use crate::engine::{Engine, ExecStatus, Prepared, Settings};
use crate::resp::{Args, CommandError, OwnedArgs, Reply};

impl Engine {
    /// Checks a request and calls, queues, postpones or refuses it.
    #[inline]
    pub(in crate::engine) fn process_command(
        &mut self,
        client: ClientId,
        prepared: Prepared,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> ExecStatus {
        let Some(id) = prepared.command else {
            return self.refuse(client, reply, |engine, reply| engine.reject_unknown(client, args, reply));
        };
        let command = self.commands.get(id);
        if !command.spec.accepts(args.len()) {
            return self.refuse(client, reply, |engine, reply| engine.reject_arity(client, id, args, reply));
        }
        let flags = command.flags;
        let unusual = self.clients.sessions.live(client).state & state::NEEDS_CHECKS;
        let needs_checks = flags & self.settings.checked_flags != 0
            || self.settings.hides_data
            || self.clients.pause.is_some()
            || self.persistence.restricts
            || self.settings.cluster_sample_percent > 0
            || self.data.is_full
            || self.scripting.is_busy()
            || (self.settings.maxmemory > 0 && self.is_short_of_memory())
            || (self.migrate.holds_keys() && flags & (flag::WRITE | flag::MAY_REPLICATE) != 0)
            || (self.settings.is_cluster && !self.is_surely_served(client, flags, prepared.hashed));
        // A user with rules or a quota is usual otherwise: a request within these needs no other check.
        if needs_checks
            || unusual != 0
                && !(unusual & !state::QUICKLY_CHECKED == 0
                    && (unusual & state::RESTRICTED == 0 || self.is_plainly_allowed(client, id, args))
                    && (unusual & state::QUOTA == 0 || self.is_within_quotas(client, id, args, flags)))
        {
            return if unusual & state::REPLICA == 0 {
                self.process_checked(client, id, args, prepared, reply)
            } else {
                self.process_of_replica(client, id, args, prepared, reply)
            };
        }
        if self.frame.is_idle() {
            self.set_now();
        }
        self.call_and_propagate(client, id, args, prepared.hashed, reply)
    }

    /// A request that is none: a replica that sends it is disconnected instead of being told.
    #[cold]
    fn refuse(
        &mut self,
        client: ClientId,
        reply: &mut Reply,
        reject: impl FnOnce(&mut Self, &mut Reply) -> ExecStatus,
    ) -> ExecStatus {
        let before = reply.len();
        let status = reject(self, reply);
        if !self.clients.sessions.live(client).is(state::REPLICA) {
            return status;
        }
        let bytes = reply.written_since(before).unwrap_or_default();
        let last = self.clients.sessions.live(client).last_command;
        self.end_replying_replica(client, last, bytes);
        reply.truncate(before);
        ExecStatus::Close
    }

    /// A request of a replica: a reply has no place in its stream, so it ends its connection.
    #[cold]
    fn process_of_replica(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        prepared: Prepared,
        reply: &mut Reply,
    ) -> ExecStatus {
        let before = reply.len();
        let status = self.process_checked(client, id, args, prepared, reply);
        if reply.len() <= before {
            return status;
        }
        let bytes = reply.written_since(before).unwrap_or_default();
        self.end_replying_replica(client, Some(id), bytes);
        reply.truncate(before);
        ExecStatus::Close
    }

    /// [`Self::process_command`] where something is out of the ordinary.
    fn process_checked(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        prepared: Prepared,
        reply: &mut Reply,
    ) -> ExecStatus {
        let admission = self.admit(client, id, args, Origin::New);
        if !self.clients.tracking.is_empty() && !self.data.keyspace.journal.is_empty() {
            self.track_admission(client, reply);
        }
        match admission {
            Admission::Run => {}
            Admission::Reject(error) => {
                self.clients.sessions.live_mut(client).set(state::POSTPONED, false);
                return self.reject(client, id, &error, reply);
            }
            Admission::Postpone => {
                let session = self.clients.sessions.live_mut(client);
                session.set(state::POSTPONED, true);
                session.last_command = Some(id);
                return ExecStatus::Postponed;
            }
        }
        let flags = self.commands.get(id).flags;
        let session = self.clients.sessions.live_mut(client);
        session.set(state::POSTPONED, false);
        if session.is(state::IN_MULTI) && flags & flag::UNQUEUED == 0 {
            self.queue(client, id, args);
            reply.simple("QUEUED");
            return ExecStatus::Done;
        }
        if self.frame.is_idle() {
            self.set_now();
        }
        self.call_and_propagate(client, id, args, prepared.hashed, reply)
    }

    /// Whether the rules of the client's user allow a request, which isn't one that they are to be asked about twice.
    #[inline(never)]
    fn is_plainly_allowed(&self, client: ClientId, id: CommandId, args: Args<'_>) -> bool {
        let known = &self.commands.known;
        id != known.sort && id != known.sort_ro && self.check_user(client, id, args).is_ok()
    }

    /// Whether a request may run now, in Redis's order of checks: rights, memory (which may evict keys), state. The same
    /// for a new request and for one that waited for a key.
    #[cold]
    pub(in crate::engine) fn admit(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        origin: Origin,
    ) -> Admission {
        if let Err(error) = self.check_rights(client, id, args) {
            if error.code() == b"NOPERM" {
                let in_multi = self.clients.sessions.live(client).is(state::IN_MULTI);
                self.note_refusal(
                    client,
                    id,
                    args,
                    if in_multi { Context::Multi } else { Context::TopLevel },
                );
            }
            return Admission::Reject(error);
        }
        if self.settings.cluster_sample_percent > 0 && origin == Origin::New {
            self.sample_cluster_compat(client, id, args);
        }
        let flags = self.admission_flags(id, args) | self.queued_flags(client, id);
        if flags & flag::ROUTED != 0
            && let Err(error) = self.check_route(client, id, args, flags)
        {
            return Admission::Reject(error);
        }
        let normal = self.clients.sessions.live(client).role == Role::Normal;
        if normal
            && self.settings.maxmemory > 0
            && !self.scripting.is_busy()
            && let Some(error) = self.make_room(flags)
        {
            return Admission::Reject(error);
        }
        if normal
            && self.clients.quotas.limits_storage
            && let Some(error) = self.refuse_storage(client, id, args, flags)
        {
            return Admission::Reject(error);
        }
        if normal
            && self.persistence.restricts
            && let Some(error) = self.disk_error()
            && (flags & flag::WRITE != 0 || id == self.commands.known.ping)
        {
            return Admission::Reject(error);
        }
        if normal && let Some(redirection) = self.redirection(client, flags) {
            return redirection;
        }
        if normal && self.data.is_full && flags & flag::DENYOOM != 0 {
            return Admission::Reject(CommandError::KEYSPACE_FULL);
        }
        if normal && flags & flag::WRITE != 0 && self.lacks_replicas() {
            return Admission::Reject(CommandError::NO_REPLICAS);
        }
        if normal && self.settings.is_read_only && flags & flag::WRITE != 0 {
            return Admission::Reject(CommandError::READ_ONLY);
        }
        if normal && self.hides_data_from(client, id, args) {
            return Admission::Reject(CommandError::MASTER_DOWN);
        }
        match self.check_state(client, id, flags) {
            Admission::Run if self.migrate.holds_keys() && self.is_held_back(client, id, args) => {
                Admission::Postpone
            }
            Admission::Run
                if origin == Origin::New && self.clients.sessions.live(client).is(state::QUOTA) =>
            {
                self.count_for_quotas(client, id, args)
            }
            admission => admission,
        }
    }

    /// Where a replica sends a client that has said that it can be redirected (CLIENT CAPA REDIRECT), for a request that works on data.
    fn redirection(&self, client: ClientId, flags: u64) -> Option<Admission> {
        let session = self.clients.sessions.live(client);
        let primary = self.replication.primary.as_ref().filter(|_| session.is(state::CAPA_REDIRECT))?;
        let reads = flags & flag::READONLY != 0 && !session.is(state::READS_REPLICA);
        if !reads && flags & flag::WRITE == 0 {
            return None;
        }
        if self.replication.failover.is_some() {
            // The roles are being exchanged: both ends would send it back.
            return Some(Admission::Postpone);
        }
        let text = format!("REDIRECT {}:{}", primary.host, primary.port);
        Some(Admission::Reject(CommandError::new(text)))
    }

    /// Whether there are too few replicas to write (`min-replicas-to-write`).
    pub(in crate::engine) fn lacks_replicas(&self) -> bool {
        let Settings { min_good_replicas, good_replica_lag, .. } = self.settings;
        min_good_replicas > 0
            && !self.replication.replicas.has_good(min_good_replicas, good_replica_lag, self.steady_now())
    }

    /// Whether a request is for data that this server, a replica without its primary, doesn't show.
    fn hides_data_from(&self, client: ClientId, id: CommandId, args: Args<'_>) -> bool {
        self.settings.hides_data
            && (self.admission_flags(id, args) & flag::STALE == 0
                || self.queues_without(client, id, flag::STALE))
    }

    /// Whether [`Self::check_rights`] has anything to look at, of a command with these flags.
    #[inline]
    pub(in crate::engine) fn is_restricted(&self, client: ClientId, flags: u64) -> bool {
        flags & flag::PROTECTED != 0
            || self
                .clients
                .sessions
                .live(client)
                .is(state::RESTRICTED | state::UNAUTHENTICATED | state::IN_MULTI)
    }

    /// Whether the client may use the command, with these arguments, at all. Changes nothing: the same for a request, a
    /// queued one at EXEC and a call within a script.
    pub(in crate::engine) fn check_rights(
        &self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let flags = self.commands.get(id).flags;
        let session = self.clients.sessions.live(client);
        if flags & flag::PROTECTED != 0
            && let Some(error) = self.protected(client, id)
        {
            return Err(error);
        }
        if session.is(state::UNAUTHENTICATED) && flags & flag::NO_AUTH == 0 && self.acl.needs_login() {
            return Err(CommandError::text("NOAUTH Authentication required."));
        }
        if session.is(state::IN_MULTI) && flags & flag::NO_MULTI != 0 {
            return Err(CommandError::text("ERR Command not allowed inside a transaction"));
        }
        self.check_user(client, id, args)
            .map_err(|denial| acl::refusal(self.acl.user_of(session), self.commands.get(id), denial))?;
        // What a queued SORT makes of its patterns is checked at EXEC.
        if session.is(state::IN_MULTI) { Ok(()) } else { self.check_sort(client, id, args) }
    }

    /// Whether the client's state and a pause let the command run now. `whole`: its flags, and those of the commands
    /// that it would run.
    fn check_state(&self, client: ClientId, id: CommandId, whole: u64) -> Admission {
        let command = self.commands.get(id);
        let session = self.clients.sessions.live(client);
        if session.is(state::SUBSCRIBED) && !session.resp3 && command.flags & flag::WHEN_SUBSCRIBED == 0 {
            return Admission::Reject(CommandError::new(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                command.name
            )));
        }
        if session.role == Role::Normal
            && self.is_loading_beside()
            && command.flags & flag::NO_ASYNC_LOADING != 0
        {
            return Admission::Reject(CommandError::LOADING);
        }
        if session.role == Role::Normal
            && self.persistence.loading.is_some()
            && (command.flags & flag::LOADING == 0 || self.queues_without(client, id, flag::LOADING))
        {
            return Admission::Reject(CommandError::LOADING);
        }
        if self.clients.slow_script.is_some() && session.role.is_fed() {
            // What the primary says, or a source of slots, is executed in order, and never refused.
            return Admission::Postpone;
        }
        if let Some(slow) = self.clients.slow_script
            && command.flags & flag::ALLOW_BUSY == 0
        {
            return Admission::Reject(slow.error());
        }
        if session.is(state::MONITOR | state::REPLICA)
            && whole & (flag::READONLY | flag::WRITE | flag::MAY_REPLICATE) != 0
        {
            return Admission::Reject(CommandError::text("ERR Replica can't interact with the keyspace"));
        }
        // A primary's stream waits as well: its writes would tell the replica's clients that time goes on.
        if session.role != Role::Internal && self.is_paused_for(whole) {
            return Admission::Postpone;
        }
        Admission::Run
    }

    /// Union of the flags of the commands that EXEC would run; nothing for any other command.
    fn queued_flags(&self, client: ClientId, id: CommandId) -> u64 {
        match &self.clients.sessions.live(client).transaction {
            Some(transaction) if id == self.commands.known.exec => transaction.flags,
            _ => 0,
        }
    }

    /// Whether EXEC would run a command without this flag.
    fn queues_without(&self, client: ClientId, id: CommandId, flag: u64) -> bool {
        let transaction = &self.clients.sessions.live(client).transaction;
        id == self.commands.known.exec
            && transaction.as_ref().is_some_and(|transaction| {
                transaction
                    .queue
                    .iter()
                    .any(|(id, args)| self.admission_flags(*id, args.as_args()) & flag == 0)
            })
    }

    /// DEBUG and its like need leave by configuration.
    fn protected(&self, client: ClientId, id: CommandId) -> Option<CommandError> {
        let command = self.commands.get(id);
        let (word, allowed, option) = match &*command.name {
            "debug" => ("DEBUG", self.settings.debug_command, "enable-debug-command"),
            _ => ("MODULE", self.settings.module_command, "enable-module-command"),
        };
        let local = self.clients.sessions.live(client).peer.is_local();
        if allowed.permits(local) {
            return None;
        }
        Some(CommandError::new(format!(
            "ERR {word} command not allowed. If the {option} option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
        )))
    }

    /// Whether CLIENT PAUSE holds back a command of these flags.
    fn is_paused_for(&self, flags: u64) -> bool {
        let Some(pause) = self.clients.pause else { return false };
        pause.until_ms > self.frame.now
            && (!pause.writes_only || flags & (flag::WRITE | flag::MAY_REPLICATE) != 0)
    }

    /// Puts a request behind a session's MULTI.
    fn queue(&mut self, client: ClientId, id: CommandId, args: Args<'_>) {
        let flags = self.admission_flags(id, args);
        let selects = id == self.commands.known.select;
        let session = self.clients.sessions.live_mut(client);
        session.last_command = Some(id);
        // A transaction that is bound to fail need not be kept.
        if session.is(state::DIRTY_EXEC | state::DIRTY_CAS) {
            return;
        }
        let transaction = session.transaction.get_or_insert_default();
        let request = args.to_owned();
        transaction.queued_bytes += request.memory_usage();
        transaction.flags |= flags;
        if selects {
            let number = args.get(1).and_then(number::parse_i64);
            transaction.selected = number.and_then(|db| u32::try_from(db).ok()).or(transaction.selected);
        }
        transaction.queue.push((id, request));
    }

    /// Replies an error to a request that isn't run; a transaction being queued fails with it.
    pub(in crate::engine) fn reject(
        &mut self,
        client: ClientId,
        id: CommandId,
        error: &CommandError,
        reply: &mut Reply,
    ) -> ExecStatus {
        self.metrics.stats.commands[id.0 as usize].rejected += 1;
        self.clients.sessions.live_mut(client).last_command = Some(id);
        if id != self.commands.known.exec {
            return self.reject_any(client, error, reply);
        }
        // A transaction that may not run is over.
        self.discard_transaction(client);
        if matches!(
            error.code(),
            b"REDIRECT" | b"MOVED" | b"ASK" | b"CROSSSLOT" | b"TRYAGAIN" | b"CLUSTERDOWN"
        ) {
            return self.reject_any(client, error, reply);
        }
        let reason = error.as_bytes().strip_prefix(b"ERR ").unwrap_or(error.as_bytes());
        let mut text = b"EXECABORT Transaction discarded because of: ".to_vec();
        text.extend_from_slice(reason);
        if !self.clients.monitors.is_empty() {
            self.send_to_monitors(client, OwnedArgs::from_parts(["exec"]).as_args());
        }
        self.reject_any(client, &CommandError::new(text), reply)
    }

    fn reject_any(&mut self, client: ClientId, error: &CommandError, reply: &mut Reply) -> ExecStatus {
        reply.error(error);
        self.metrics.stats.error(error.code());
        let session = self.clients.sessions.live_mut(client);
        if session.is(state::IN_MULTI) {
            session.set(state::DIRTY_EXEC, true);
        }
        ExecStatus::Done
    }

    #[cold]
    fn reject_unknown(&mut self, client: ClientId, args: Args<'_>, reply: &mut Reply) -> ExecStatus {
        let word = args.at(0);
        if word.eq_ignore_ascii_case(b"host:") || word.eq_ignore_ascii_case(b"post") {
            let peer = self.clients.sessions.live(client).peer.address();
            log::warn!(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to \
                 Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise \
                 your Redis instance. Connection from {peer} aborted."
            );
            return ExecStatus::Close;
        }
        self.clients.sessions.live_mut(client).last_command = None;
        let error = self.unknown_command(args);
        self.reject_any(client, &error, reply)
    }

    /// The error for a request that names no command.
    pub fn unknown_command(&self, args: Args<'_>) -> CommandError {
        const MAX_TEXT: usize = 128;
        if let Err(Unknown::Subcommand) = self.commands.resolve(args.at(0), args.get(1)) {
            let mut text = b"ERR unknown subcommand '".to_vec();
            let word = args.at(1);
            text.extend_from_slice(CommandError::quotable(word, MAX_TEXT));
            text.extend_from_slice(b"'. Try ");
            text.extend_from_slice(&args.at(0).to_ascii_uppercase());
            text.extend_from_slice(b" HELP.");
            return CommandError::new(text);
        }
        let name = args.at(0);
        let mut text = b"ERR unknown command '".to_vec();
        text.extend_from_slice(CommandError::quotable(name, MAX_TEXT));
        text.push(b'\'');
        if args.len() > 1 {
            text.extend_from_slice(b", with args beginning with: ");
        }
        let start = text.len();
        for arg in args.iter().skip(1) {
            let room = MAX_TEXT.saturating_sub(text.len() - start);
            if room == 0 {
                break;
            }
            text.push(b'\'');
            text.extend_from_slice(CommandError::quotable(arg, room));
            text.extend_from_slice(b"' ");
        }
        CommandError::new(text)
    }

    #[cold]
    fn reject_arity(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> ExecStatus {
        let command = self.commands.get(id);
        if matches!(command.spec.handler, Handler::Container) && args.len() >= 2 {
            return self.reject_unknown(client, args, reply);
        }
        let error = CommandError::wrong_arity(&command.name);
        self.reject(client, id, &error, reply)
    }
}

/// What clients are told while a slow script is running.
pub const BUSY: CommandError = CommandError::text(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);

/// What becomes of a request.
pub(in crate::engine) enum Admission {
    Run,
    Reject(CommandError),
    /// It is tried again when the pause ends, or the migration of a key that it would change.
    Postpone,
}

/// Where a request comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Origin {
    /// The client has just sent it.
    New,
    /// It waited for a key.
    Woken,
}
