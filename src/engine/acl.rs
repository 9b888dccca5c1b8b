//! Access control in the engine: what a request needs of its user, what becomes of sessions whose user changes, and the
//! log of refusals.
//!
//! A session without a user of its own is the user `default`. Only one whose user may not do everything has the bit
//! `RESTRICTED`, so the usual client pays nothing.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::ids::ClientId;
use crate::base::number;
use crate::engine::Engine;
use crate::engine::clients::describe;
use crate::engine::clients::quotas::ClientQuotas;
use crate::engine::clients::session::{Role, Session, state};
use crate::engine::command::keys;
use crate::engine::command::spec::{Channels, KeyAt, category, flag, key};
use crate::engine::command::table::{Command, CommandId, CommandTable};
use crate::engine::{Clients, ServerAction, Settings, settings};
use crate::resp::{Args, CommandError};
use crate::services::acl::{
    self, CatalogEntry, CommandCatalog, Demand, Denial, DenialLog, Event, Reason, Role as AclRole,
    RuleContext, User, Users, access,
};
use crate::services::config::{AclPubsubDefault, Config};

/// Users, refusals, and what ACL GENPASS draws from.
pub struct Acl {
    pub users: Users,
    pub log: DenialLog,
    pub refused: Refusals,
    pub passwords: acl::PasswordGenerator,
    /// How many databases there are.
    databases: u32,
    /// Keys of the request being checked; kept for its allocation.
    keys: Cell<Vec<KeyAt>>,
}

/// How many requests were refused, for INFO; failed AUTHs are counted with the statistics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    pub commands: u64,
    pub keys: u64,
    pub channels: u64,
    pub databases: u64,
    /// Certificates that name no user.
    pub certificates: u64,
}

/// Where a request came from that was refused, as ACL LOG shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Multi,
    Script,
}

impl Context {
    fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

impl CommandCatalog for CommandTable {
    fn count(&self) -> usize {
        self.len()
    }

    fn find(&self, name: &[u8]) -> Option<CatalogEntry<'_>> {
        let is_named = |command: &&Command| command.name.as_bytes().eq_ignore_ascii_case(name);
        // A renamed command keeps its name in rules.
        let quick = self.find_full(name).map(|id| self.get(id)).filter(is_named);
        let command = quick.or_else(|| self.iter().find(is_named))?;
        Some(CatalogEntry {
            id: command.id.0,
            name: &command.name,
            is_subcommand: command.parent.is_some(),
            has_subcommands: !command.subcommands.is_empty(),
        })
    }

    fn category(&self, name: &[u8]) -> Option<u64> {
        let is_named = |known: &&(u64, &str)| known.1.as_bytes().eq_ignore_ascii_case(name);
        category::NAMES.iter().find(is_named).map(|known| known.0)
    }

    fn each_in_category(&self, category: u64, each: &mut dyn FnMut(u16)) {
        let of_category = self.iter().filter(|command| command.spec.categories() & category != 0);
        of_category.for_each(|command| each(command.id.0));
    }

    fn each_subcommand(&self, command: u16, each: &mut dyn FnMut(u16)) {
        self.get(CommandId(command)).subcommands.iter().for_each(|id| each(id.0));
    }
}

/// A request, as a selector looks at it.
struct Request<'a> {
    command: &'a Command,
    args: Args<'a>,
    db: u32,
    /// How many there are: of one beyond, the command says itself that it doesn't exist.
    databases: u32,
    keys: &'a Cell<Vec<KeyAt>>,
}

/// The bits of [`access`] that a key's flags mean.
pub fn needs_of(flags: u32) -> u8 {
    let reads = flags & key::ACCESS != 0;
    let writes = flags & (key::INSERT | key::DELETE | key::UPDATE) != 0;
    let bit = |is_needed, bit| if is_needed { bit } else { 0 };
    bit(reads, access::READ) | bit(writes, access::WRITE)
}

/// Whether a request of COPY names databases in its options, each of which `is_database`, and has no others but REPLACE.
fn is_copy_to(args: Args<'_>, is_database: impl Fn(usize) -> bool) -> bool {
    let mut at = 3;
    while let Some(word) = args.get(at) {
        at += match () {
            () if word.eq_ignore_ascii_case(b"replace") => 1,
            () if word.eq_ignore_ascii_case(b"db") && is_database(at + 1) => 2,
            () => return false,
        };
    }
    true
}

impl Demand for Request<'_> {
    #[inline]
    fn command(&self) -> Option<u16> {
        (self.command.flags & flag::NO_AUTH == 0).then_some(self.command.id.0)
    }

    fn first_argument(&self) -> Option<&[u8]> {
        self.args.get(if self.command.parent.is_some() { 2 } else { 1 })
    }

    #[inline]
    fn all_keys(&self, mut allowed: impl FnMut(&[u8], usize, u8) -> bool) -> bool {
        if let Some(only) = keys::find_only(self.command.spec, self.args) {
            return allowed(self.args.at(only.index), only.index, needs_of(only.flags));
        }
        if !keys::has_keys(self.command.spec) {
            return true;
        }
        let mut found = self.keys.take();
        keys::find(self.command.spec, self.args, &mut found);
        let all = found.iter().all(|at| allowed(self.args.at(at.index), at.index, needs_of(at.flags)));
        self.keys.set(found);
        all
    }

    fn all_channels(&self, mut allowed: impl FnMut(&[u8], bool, usize) -> bool) -> bool {
        let (count, are_patterns) = match self.command.spec.channels {
            Channels::None => return true,
            Channels::First => (1, false),
            Channels::All => (usize::MAX, false),
            Channels::AllPatterns => (usize::MAX, true),
        };
        let channels = self.args.iter().enumerate().skip(1).take(count);
        channels.into_iter().all(|(at, channel)| allowed(channel, are_patterns, at))
    }

    fn all_databases(&self, mut allowed: impl FnMut(Option<u32>, usize) -> bool) -> bool {
        let (command, args) = (self.command, self.args);
        let number = |at: usize| {
            let number = args.get(at).and_then(number::parse_i64).and_then(|db| u32::try_from(db).ok());
            number.filter(|db| *db < self.databases)
        };
        let mut named = |at: usize| number(at).is_none_or(|db| allowed(Some(db), at));
        match command.name.as_str() {
            "select" => return named(1),
            // A number that is none is the command's own error, and the other then doesn't matter.
            "swapdb" => return number(1).is_none() || number(2).is_none() || named(1) && named(2),
            "flushall" | "cluster|flushslot" | "cluster|migrateslots" | "cluster|cancelslotmigrations" => {
                return allowed(None, 0);
            }
            "move" if !named(2) => return false,
            "copy" if is_copy_to(args, |at| number(at).is_some()) => {
                let is_db = |at: &usize| args.at(*at).eq_ignore_ascii_case(b"db");
                if !(3..args.len()).filter(is_db).all(|at| named(at + 1)) {
                    return false;
                }
            }
            _ => {}
        }
        let on_data = category::KEYSPACE | category::READ | category::WRITE;
        let concerns_current = keys::has_keys(command.spec) || command.spec.categories() & on_data != 0;
        !concerns_current || allowed(Some(self.db), 0)
    }
}

impl Acl {
    /// Users as a configuration begins with them: `default`, with the password of `requirepass`.
    pub fn new(commands: &CommandTable, config: &Config, seed: u64) -> Self {
        let default = configured_default(commands, config);
        Acl {
            users: Users::new(default),
            log: DenialLog::default(),
            refused: Refusals::default(),
            passwords: acl::PasswordGenerator::new(&seed.to_le_bytes()),
            databases: settings::databases(config) as u32,
            keys: Cell::default(),
        }
    }

    /// The user of a session.
    #[inline]
    pub fn user_of<'a>(&'a self, session: &'a Session) -> &'a Arc<User> {
        session.user.as_ref().unwrap_or_else(|| self.users.default_user())
    }

    /// Whether `default` is as the configuration makes it without a line of its own.
    pub fn is_default_as_configured(&self, commands: &CommandTable, config: &Config) -> bool {
        configured_default(commands, config).describe() == self.users.default_user().describe()
    }

    /// Whether clients must log in before anything else.
    pub fn needs_login(&self) -> bool {
        !self.users.default_user().is_open()
    }

    /// Whether a user may send this request, whose arity is right, while database `db` is selected.
    pub fn check(
        &self,
        commands: &CommandTable,
        user: &User,
        id: CommandId,
        args: Args<'_>,
        db: u32,
    ) -> Result<(), Denial> {
        user.check(&Request {
            command: commands.get(id),
            args,
            db,
            databases: self.databases,
            keys: &self.keys,
        })
    }

    /// Notes a failed AUTH. `word`: the command's name as the client wrote it.
    pub fn note_failed_login(
        &mut self,
        session: &Session,
        client_line: String,
        word: &[u8],
        username: &[u8],
        now: u64,
        settings: &Settings,
    ) {
        let context = if session.is(state::IN_EXEC) { Context::Multi } else { Context::TopLevel };
        let event = Event {
            reason: Reason::Auth,
            context: context.name(),
            object: word.to_vec(),
            username: username.to_vec(),
        };
        self.log.add(event, client_line, now, settings.acl_log_max_len);
    }
}

/// What rules depend on beside the user or role.
pub fn rule_context<'a>(commands: &'a CommandTable, config: &Config) -> RuleContext<'a> {
    RuleContext {
        catalog: commands,
        all_channels: config.acl_pubsub_default == AclPubsubDefault::AllChannels,
    }
}

/// The user `default` as the configuration makes it without a line of its own.
pub fn configured_default(commands: &CommandTable, config: &Config) -> User {
    let mut default = User::default_user(&rule_context(commands, config));
    default.set_only_password(config.requirepass.bytes().unwrap_or_default());
    default
}

/// Why a request was refused, as ACL DRYRUN says it.
pub fn explain(user: &User, command: &Command, args: Args<'_>, denial: Denial) -> Vec<u8> {
    let (before, object, after): (&str, &[u8], &str) = match denial.reason {
        Reason::Command => ("run the '", command.name.as_bytes(), "' command"),
        Reason::Key => ("access the '", args.at(denial.argument), "' key"),
        Reason::Channel => ("access the '", args.at(denial.argument), "' channel"),
        Reason::Database => ("access database ", args.at(denial.argument), ""),
        Reason::Auth | Reason::Certificate => ("log in", b"", ""),
    };
    [b"User ", &*user.name, b" has no permissions to ", before.as_bytes(), object, after.as_bytes()].concat()
}

/// What ACL LOG shows of a refused database: the argument that names it; the command, if the request concerns the selected
/// one, or all.
fn database_named<'a>(command: &'a Command, args: Args<'a>, denial: Denial) -> &'a [u8] {
    if denial.argument == 0 { command.name.as_bytes() } else { args.at(denial.argument) }
}

/// The error of a refused request: it tells no more than the client has said.
pub fn refusal(user: &User, command: &Command, denial: Denial) -> CommandError {
    match denial.reason {
        Reason::Key => CommandError::text("NOPERM No permissions to access a key"),
        Reason::Channel => CommandError::text("NOPERM No permissions to access a channel"),
        Reason::Database => CommandError::text("NOPERM No permissions to access database"),
        Reason::Command | Reason::Auth | Reason::Certificate => {
            let name = command.name.as_bytes();
            let parts: [&[u8]; 5] =
                [b"NOPERM User ", &user.name, b" has no permissions to run the '", name, b"' command"];
            CommandError::new(parts.concat())
        }
    }
}

impl Engine {
    /// Makes a client the first user of `names` that exists and is on; its name. Without one the client stays what it is, and the
    /// last name is logged with the client's line.
    pub fn log_in_by_certificate(
        &mut self,
        client: ClientId,
        names: &[Vec<u8>],
        client_line: String,
    ) -> Option<Arc<User>> {
        let found = names.iter().find_map(|name| self.acl.users.get(name).filter(|user| user.is_enabled()));
        if let Some(user) = found {
            let user = user.clone();
            self.clients.log_in(client, &user);
            return Some(user);
        }
        if let Some(last) = names.last() {
            self.acl.refused.certificates += 1;
            let event = Event {
                reason: Reason::Certificate,
                context: Context::TopLevel.name(),
                object: Vec::new(),
                username: last.clone(),
            };
            self.acl.log.add(event, client_line, self.frame.now, self.settings.acl_log_max_len);
        }
        None
    }
}

impl Clients {
    /// Makes a client this user. `user` is one of the store's.
    pub fn log_in(&mut self, client: ClientId, user: &Arc<User>) {
        let session = self.sessions.live_mut(client);
        session.set(state::UNAUTHENTICATED, false);
        session.set_user(user, &self.quotas);
    }

    /// Makes a client another node of the cluster, which may do everything.
    pub fn log_in_as_node(&mut self, client: ClientId) {
        let session = self.sessions.live_mut(client);
        session.set(state::UNAUTHENTICATED | state::RESTRICTED, false);
        session.set(state::INTERNAL, true);
    }
}

impl Session {
    fn set_user(&mut self, user: &Arc<User>, quotas: &ClientQuotas) {
        self.user = (*user.name != *acl::DEFAULT).then(|| user.clone());
        self.set(
            state::RESTRICTED,
            self.role == Role::Normal && !self.is(state::INTERNAL) && !user.is_unrestricted(),
        );
        quotas.bind(self);
    }

    /// Makes the client what one is that has just connected.
    pub fn log_out(&mut self, users: &Users, quotas: &ClientQuotas) {
        self.set(state::INTERNAL, false);
        self.set_user(users.default_user(), quotas);
        self.set(state::UNAUTHENTICATED, !users.default_user().is_open());
    }
}

/// Whether a client's subscriptions are all allowed to a user.
fn may_keep_subscriptions(session: &Session, user: &User) -> bool {
    let allowed = |channel: &[u8], is_pattern| {
        user.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    };
    session.subscriptions.as_ref().is_none_or(|subscriptions| {
        subscriptions.channels.iter().chain(&subscriptions.shard).all(|channel| allowed(channel, false))
            && subscriptions.patterns.iter().all(|pattern| allowed(pattern, true))
    })
}

impl Engine {
    /// Whether the client's user may send this request; see [`Acl::check`].
    pub(in crate::engine) fn check_user(
        &self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), Denial> {
        let session = self.clients.sessions.live(client);
        if !session.is(state::RESTRICTED) {
            return Ok(());
        }
        // A queued command runs in the database that a SELECT queued before it selects; none does after an error.
        let queued = session.transaction.as_ref().and_then(|transaction| transaction.selected);
        let db = queued.filter(|_| !session.is(state::IN_EXEC | state::DIRTY_EXEC)).unwrap_or(session.db);
        self.acl.check(&self.commands, self.acl.user_of(session), id, args, db)
    }

    /// Whether the keys that SORT's BY and GET make of its elements may be read: the selector that allows the command must
    /// allow every key. `Ok` for any other command.
    pub(in crate::engine) fn check_sort(
        &self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let session = self.clients.sessions.live(client);
        let known = &self.commands.known;
        if !session.is(state::RESTRICTED) || (id != known.sort && id != known.sort_ro) {
            return Ok(());
        }
        let is = |index: usize, word: &str| args.at(index).eq_ignore_ascii_case(word.as_bytes());
        let mut index = 2;
        while index < args.len() {
            let (by, get) = (is(index, "by"), is(index, "get"));
            let pattern = args.get(index + 1).unwrap_or_default();
            if get || by && pattern.contains(&b'*') {
                let demand = Request {
                    command: self.commands.get(id),
                    args,
                    db: session.db,
                    databases: self.acl.databases,
                    keys: &self.acl.keys,
                };
                let reads_all = self.acl.user_of(session).selectors().any(|selector| {
                    selector.allows_every_key(access::READ) && selector.check(&demand).is_ok()
                });
                let error = if by {
                    "ERR BY option of SORT denied due to insufficient ACL permissions."
                } else {
                    "ERR GET option of SORT denied due to insufficient ACL permissions."
                };
                return if reads_all { Ok(()) } else { Err(CommandError::text(error)) };
            }
            index += match () {
                () if is(index, "limit") => 3,
                () if by || is(index, "store") => 2,
                () => 1,
            };
        }
        Ok(())
    }

    /// Notes that a request was refused, if it is: for ACL LOG and INFO.
    #[cold]
    pub(in crate::engine) fn note_refusal(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        context: Context,
    ) {
        let Err(denial) = self.check_user(client, id, args) else { return };
        let session = self.clients.sessions.live(client);
        let counts = &mut self.acl.refused;
        let (count, object) = match denial.reason {
            Reason::Command => (&mut counts.commands, self.commands.get(id).name.as_bytes()),
            Reason::Key => (&mut counts.keys, args.at(denial.argument)),
            Reason::Channel => (&mut counts.channels, args.at(denial.argument)),
            Reason::Database => (&mut counts.databases, database_named(self.commands.get(id), args, denial)),
            Reason::Auth | Reason::Certificate => return,
        };
        *count += 1;
        let event = Event {
            reason: denial.reason,
            context: context.name(),
            object: object.to_vec(),
            username: self.acl.user_of(session).name.to_vec(),
        };
        // Of a call within a script or EXEC, the client's line names the command around it.
        let serving = self.frame.is_idle().then_some(args);
        let mut line = String::new();
        describe::describe(&self.commands, self.frame.now, session, serving, &mut line);
        self.acl.log.add(event, line, self.frame.now, self.settings.acl_log_max_len);
    }

    /// Checks a queued command at EXEC: the rights may have changed since. The error is the reply in its place.
    pub fn check_queued(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let Err(denial) = self.check_user(client, id, args) else { return self.check_sort(client, id, args) };
        self.note_refusal(client, id, args, Context::Multi);
        let reason = match denial.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments to the command",
            // Valkey has no words of its own for it.
            Reason::Database | Reason::Auth | Reason::Certificate => "no permission",
        };
        Err(CommandError::new(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {reason}"
        )))
    }

    /// Adds a user or gives it other rights, and closes clients whose subscriptions it may no longer have. `current`: the
    /// client that asks, which gets its reply.
    pub fn put_user(&mut self, user: User, current: Option<ClientId>) {
        let default = self.acl.users.default_user().clone();
        let was_open = default.needs_no_password();
        let (user, _) = self.acl.users.put(user);
        self.follow_users(current, Some(&default), |name| *name == *user.name);
        self.follow_default(was_open);
    }

    /// Adds a role or gives it other rights, and with it the users that hold it; see [`Engine::put_user`].
    pub fn put_role(&mut self, role: AclRole, current: Option<ClientId>) {
        let name = role.name.clone();
        let default = self.acl.users.default_user().clone();
        self.acl.users.put_role(role);
        let holders: Vec<_> = self.acl.users.holders(&name).cloned().collect();
        if !holders.is_empty() {
            // In the order of names, as `holders` are.
            self.follow_users(current, Some(&default), |user| {
                holders.binary_search_by(|holder| (*holder.name).cmp(user)).is_ok()
            });
        }
    }

    /// Removes users and closes their clients; how many there were.
    pub fn remove_users<'n>(
        &mut self,
        names: impl Iterator<Item = &'n [u8]>,
        current: Option<ClientId>,
    ) -> usize {
        let removed: HashSet<&[u8]> = names.filter(|name| self.acl.users.remove(name).is_some()).collect();
        if !removed.is_empty() {
            self.follow_users(current, None, |user| removed.contains(user));
        }
        removed.len()
    }

    /// Puts other users in the place of all (ACL LOAD).
    pub fn replace_users(&mut self, users: Users, current: Option<ClientId>) {
        let was_open = self.acl.users.default_user().needs_no_password();
        self.acl.users = users;
        self.follow_users(current, None, |_| true);
        self.follow_default(was_open);
    }

    /// `requirepass` was changed: it is the only password of `default`.
    pub(in crate::engine) fn set_default_password(&mut self) {
        let mut user = User::clone(self.acl.users.default_user());
        user.set_only_password(self.config.requirepass.bytes().unwrap_or_default());
        self.put_user(user, None);
    }

    /// Gives sessions their users anew, of those that `concerns` holds of. Closes those without, and those that listen to a
    /// channel that their user had and has no more. `default_before`: the user of sessions of `default`; without it these
    /// go on listening.
    fn follow_users(
        &mut self,
        current: Option<ClientId>,
        default_before: Option<&User>,
        concerns: impl Fn(&[u8]) -> bool,
    ) {
        let mut closed = Vec::new();
        let (acl, quotas, sessions) = (&self.acl, &self.clients.quotas, &mut self.clients.sessions);
        for session in sessions.iter_mut().filter(|session| session.role == Role::Normal) {
            let before = session.user.clone();
            let name: &[u8] = before.as_ref().map_or(acl::DEFAULT, |user| &user.name);
            if !concerns(name) {
                continue;
            }
            let Some(user) = acl.users.get(name) else {
                session.log_out(&acl.users, quotas);
                closed.push(session.client);
                continue;
            };
            session.set_user(user, quotas);
            if may_keep_subscriptions(session, user) {
                continue;
            }
            // As in Redis, channels that a user had never had (its clients listened as others) are not taken from it.
            if before.as_deref().or(default_before).is_some_and(User::has_channels) {
                closed.push(session.client);
            }
        }
        for client in closed {
            if Some(client) == current {
                self.clients.sessions.live_mut(client).set(state::CLOSING, true);
            } else {
                self.kill(client);
            }
        }
    }

    /// Whether nothing follows for a client but the end: it has removed its own user, and has all its replies.
    pub fn has_ended(&self, client: ClientId) -> bool {
        let session = self.clients.sessions.get(client);
        session.is_some_and(|session| session.is(state::CLOSING)) && !self.has_unfinished_reply(client)
    }

    /// Closes the connection of a client that has ended, with its replies.
    pub fn close_ended(&mut self, client: ClientId) {
        if let Some(session) = self.clients.sessions.get(client) {
            let conn_index = session.conn_index;
            self.actions.push_back(ServerAction::Close { client, conn_index, gracefully: true });
        }
    }

    /// Tells the server whether `default` needs a password, if that has changed: protected mode depends on it.
    fn follow_default(&mut self, was_open: bool) {
        if self.acl.users.default_user().needs_no_password() != was_open {
            let before = Box::new(self.config.clone());
            let changed = vec!["protected-mode"];
            self.actions.push_back(ServerAction::ConfigChanged {
                client: None,
                before,
                changed,
                in_exec: false,
            });
        }
    }
}
