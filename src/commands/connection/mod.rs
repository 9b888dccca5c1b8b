//! Connection commands: AUTH, HELLO, PING, ECHO, SELECT, QUIT and RESET. CLIENT is in the folder `client`.

pub mod client;
pub mod specs;

use crate::base::number;
use crate::commands::generic::databases::database_index;
use crate::commands::server::module::reply_modules;
use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::clients::session::state;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;
use crate::services::config::REDIS_VERSION;
use client::check_client_name;

/// The name by which a node of a cluster of Redis logs in at another one.
const INTERNAL_CONNECTION: &[u8] = b"internal connection";

/// `AUTH [username] password`
fn auth(call: &mut ClientCall<'_>) -> Outcome {
    if call.args.len() > 3 {
        return Err(CommandError::SYNTAX);
    }
    (1..call.args.len()).for_each(|argument| call.redact(argument));
    if call.args.len() == 2 && call.acl.users.default_user().needs_no_password() {
        return Err(CommandError::text(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ));
    }
    if call.args.len() == 3 && call.args.at(1) == INTERNAL_CONNECTION {
        return authenticate_node(call);
    }
    let user = if call.args.len() == 2 { b"default" } else { call.args.at(1) };
    authenticate(call, user, call.args.at(call.args.len() - 1))?;
    call.reply.ok();
    Ok(Done::Replied)
}

/// Another node of the cluster shows the secret that all nodes know: it may do everything, and use commands that are for nodes alone.
fn authenticate_node(call: &mut ClientCall<'_>) -> Outcome {
    let Some(secret) = call.clients.internal_secret else {
        return Err(CommandError::text(
            "ERR Cannot authenticate as an internal connection on non-cluster instances",
        ));
    };
    if call.args.at(2) != secret.as_bytes() {
        return Err(CommandError::text("WRONGPASS invalid internal password"));
    }
    call.clients.log_in_as_node(call.client);
    call.reply.ok();
    Ok(Done::Replied)
}

/// Authenticates the client as `user`; the error is `-WRONGPASS`.
fn authenticate(call: &mut ClientCall<'_>, user: &[u8], password: &[u8]) -> Result<(), CommandError> {
    let known = call.acl.users.get(user);
    let Some(known) = known.filter(|known| known.accepts(password)) else {
        call.metrics.stats.auth_failures += 1;
        call.note_failed_login(user);
        return Err(CommandError::text("WRONGPASS invalid username-password pair or user is disabled."));
    };
    call.clients.log_in(call.client, known);
    Ok(())
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`; `resp3` is `None` without a version.
#[derive(Default)]
struct HelloArgs<'a> {
    resp3: Option<bool>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(call: &mut ClientCall<'_>) -> Outcome {
    let hello = parse_hello(call)?;
    if let Some((user, password)) = hello.login {
        authenticate(call, user, password)?;
    }
    if call.clients.sessions.live(call.client).is(state::UNAUTHENTICATED) {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    let session = call.clients.sessions.live_mut(call.client);
    if let Some(name) = hello.name {
        session.name = (!name.is_empty()).then(|| name.into());
    }
    if let Some(resp3) = hello.resp3 {
        session.resp3 = resp3;
        call.reply.set_resp3(resp3);
    }
    let id = session.id as i64;
    reply_server_properties(call, id);
    Ok(Done::Replied)
}

fn parse_hello<'a>(call: &mut ClientCall<'a>) -> Result<HelloArgs<'a>, CommandError> {
    let args = call.args;
    let mut hello = HelloArgs::default();
    if let Some(version) = args.get(1) {
        let version = number::parse_i64(version)
            .ok_or(CommandError::text("ERR Protocol version is not an integer or out of range"))?;
        if !(2..=3).contains(&version) {
            return Err(CommandError::text("NOPROTO unsupported protocol version"));
        }
        hello.resp3 = Some(version == 3);
    }
    let mut words = OptionReader::new(args, 2);
    while let Some(option) = words.next() {
        if is(option, "AUTH") && words.remaining() >= 2 {
            call.redact(words.index());
            call.redact(words.index() + 1);
            hello.login = Some((words.value()?, words.value()?));
        } else if is(option, "SETNAME") && words.remaining() >= 1 {
            let name = words.value()?;
            check_client_name(name)?;
            hello.name = Some(name);
        } else {
            return Err(CommandError::new([b"ERR Syntax error in HELLO option '", option, b"'"].concat()));
        }
    }
    Ok(hello)
}

/// Writes HELLO's reply: server, version, protocol, client id, mode, role and modules, as in Redis, then our own version.
fn reply_server_properties(call: &mut ClientCall<'_>, id: i64) {
    let (zone, is_sentinel) = (call.config.availability_zone.as_bytes(), call.info.is_sentinel);
    let reply = &mut *call.reply;
    reply.map(8 + usize::from(!zone.is_empty()) - usize::from(is_sentinel));
    let protocol = if reply.is_resp3() { 3 } else { 2 };
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(protocol);
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    if is_sentinel {
        reply.bulk(b"sentinel");
    } else {
        let mode: &[u8] = if call.settings.is_cluster { b"cluster" } else { b"standalone" };
        reply.bulk(mode);
        reply.bulk(b"role");
        let role: &[u8] = if call.settings.is_replica { b"replica" } else { b"master" };
        reply.bulk(role);
    }
    reply.bulk(b"modules");
    if is_sentinel {
        reply.array(0);
    } else {
        reply_modules(reply);
    }
    if !zone.is_empty() {
        reply.bulk(b"availability_zone");
        reply.bulk(zone);
    }
    reply.bulk(b"redloop");
    reply.bulk(env!("CARGO_PKG_VERSION").as_bytes());
}

/// `PING [message]`
fn ping(call: &mut ClientCall<'_>) -> Outcome {
    if call.args.len() > 2 {
        return Err(CommandError::wrong_arity("ping"));
    }
    let message = call.args.get(1);
    // A subscribed RESP2 client gets the reply in the shape of a message, as in Redis.
    if !call.reply.is_resp3() && call.clients.sessions.live(call.client).is(state::SUBSCRIBED) {
        call.reply.array(2);
        call.reply.bulk(b"pong");
        call.reply.bulk(message.unwrap_or_default());
        return Ok(Done::Replied);
    }
    match message {
        None => call.reply.simple("PONG"),
        Some(message) => call.reply.bulk(message),
    }
    Ok(Done::Replied)
}

fn echo(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.bulk(call.args.at(1));
    Ok(Done::Replied)
}

/// `SELECT index`
fn select(call: &mut ClientCall<'_>) -> Outcome {
    let databases = if call.settings.has_only_database() { usize::MAX } else { call.settings.databases };
    let db = database_index(databases, call.args.at(1))?;
    if call.settings.has_only_database() && db != 0 {
        return Err(CommandError::text("ERR SELECT is not allowed in cluster mode"));
    }
    call.metrics.stats.cluster_incompatible += u64::from(db != 0 && !call.settings.is_cluster);
    call.clients.sessions.live_mut(call.client).db = db as u32;
    call.reply.ok();
    Ok(Done::Replied)
}

fn quit(call: &mut ClientCall<'_>) -> Outcome {
    call.clients.sessions.live_mut(call.client).set(state::CLOSING, true);
    call.reply.ok();
    Ok(Done::Replied)
}

/// RESET: puts the session into the state of a new connection.
fn reset(call: &mut ClientCall<'_>) -> Outcome {
    call.clients.monitors.retain(|monitor| *monitor != call.client);
    call.clients.discard_transaction(call.client);
    call.clients.unsubscribe_all(call.client);
    call.clients.stop_tracking(call.client);
    let resp3 = call.config.client_default_resp == 3;
    let clients = &mut *call.clients;
    let session = clients.sessions.live_mut(call.client);
    session.set(
        state::MONITOR
            | state::REPLY_OFF
            | state::REPLY_SKIP_NEXT
            | state::NO_TOUCH
            | state::READS_REPLICA
            | state::NO_EVICT
            | state::IMPORT_SOURCE,
        false,
    );
    session.log_out(&call.acl.users, &clients.quotas);
    session.db = 0;
    session.name = None;
    session.resp3 = resp3;
    call.reply.set_resp3(resp3);
    call.reply.simple("RESET");
    Ok(Done::Replied)
}
