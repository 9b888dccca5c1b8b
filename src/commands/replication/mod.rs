//! Replication commands: what replicas say to their primary (REPLCONF, PSYNC, SYNC), REPLICAOF, and ROLE.

mod failover;
#[cfg(test)]
mod replica_tests;
mod replicaof;
pub(super) mod specs;
#[cfg(test)]
mod tests;

use crate::base::ids::ClientId;
use crate::base::number;
use crate::commands::support::args::{self, is};
use crate::engine::clients::session::{Role, state};
use crate::engine::replication::PsyncReply;
use crate::engine::{ControlCall, Done, Engine, Outcome};
use crate::resp::CommandError;
use crate::services::cluster::NodeId;
use crate::services::replication::handshake;

/// Longest address that a replica may announce.
const LONGEST_ADDRESS: usize = 255;

/// REPLCONF option value …: a replica introduces itself, and acknowledges.
fn replconf(call: &mut ControlCall<'_>) -> Outcome {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::SYNTAX);
    }
    let mut at = 1;
    while at < call.args.len() {
        let (option, value) = (call.args.at(at), call.args.at(at + 1));
        if is(option, "ACK") {
            return acknowledge(call, at);
        }
        if is(option, "GETACK") {
            // A primary asks this, in its stream; any other client gets nothing either.
            let is_primary = call.engine.clients.sessions.live(call.client).role == Role::Primary;
            call.engine.replication.ack_wanted |= is_primary;
            return Ok(Done::Replied);
        }
        set_option(call.engine, call.client, option, value)?;
        at += 2;
    }
    call.reply.simple("OK");
    Ok(Done::Replied)
}

/// `ACK offset [FACK offset]`, which gets no reply.
fn acknowledge(call: &mut ControlCall<'_>, at: usize) -> Outcome {
    let session = call.engine.clients.sessions.live(call.client);
    if !session.is(state::REPLICA) {
        return Ok(Done::Replied);
    }
    let offset = |word: Option<&[u8]>| word.and_then(number::parse_i64).and_then(|it| u64::try_from(it).ok());
    let Some(executed) = offset(call.args.get(at + 1)) else { return Ok(Done::Replied) };
    let logged = call.args.get(at + 2).filter(|word| is(word, "FACK")).and(offset(call.args.get(at + 3)));
    call.engine.replica_acked(call.client, executed, logged);
    Ok(Done::Replied)
}

fn set_option(
    engine: &mut Engine,
    client: ClientId,
    option: &[u8],
    value: &[u8],
) -> Result<(), CommandError> {
    if is(option, "LISTENING-PORT") {
        let port = args::integer(value)?;
        engine.introduce_replica(client).port = u16::try_from(port).unwrap_or(0);
    } else if is(option, "IP-ADDRESS") {
        if value.len() > LONGEST_ADDRESS {
            let text = "ERR REPLCONF ip-address provided by replica instance is too long";
            return Err(CommandError::new(format!("{text}: {} bytes", value.len())));
        }
        let ip = String::from_utf8_lossy(value).into_owned();
        engine.introduce_replica(client).ip = Some(ip).filter(|ip| !ip.is_empty());
    } else if is(option, "CAPA") {
        let replica = engine.introduce_replica(client);
        replica.finds_mark |= is(value, "EOF");
        replica.psync2 |= is(value, "PSYNC2");
        replica.is_own |= value == handshake::OWN;
    } else if is(option, "VERSION") {
        let text = String::from_utf8_lossy(value);
        let major = text.split('.').next().and_then(|major| major.parse().ok());
        let major =
            major.ok_or_else(|| CommandError::new(format!("ERR Unrecognized version format: {text}")))?;
        engine.introduce_replica(client).version = Some(major);
    } else if is(option, "SET-CLUSTER-NODE-ID") {
        let Some(mode) = &engine.cluster else {
            return Err(CommandError::text("ERR This instance has cluster support disabled"));
        };
        let known = NodeId::parse(value).filter(|id| mode.service.topology.find(*id).is_some());
        let unknown = || CommandError::new(format!("ERR Unknown node {}", String::from_utf8_lossy(value)));
        engine.introduce_replica(client).cluster_node = Some(known.ok_or_else(unknown)?);
    } else if is(option, "RDB-ONLY") {
        engine.introduce_replica(client).rdb_only = flag(value)?;
    } else if is(option, "RDB-FILTER-ONLY") {
        engine.introduce_replica(client).functions_only = filters_functions(value)?;
    } else {
        let text = format!("ERR Unrecognized REPLCONF option: {}", String::from_utf8_lossy(option));
        return Err(CommandError::new(text));
    }
    Ok(())
}

/// 0 or 1.
fn flag(value: &[u8]) -> Result<bool, CommandError> {
    match args::integer(value)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CommandError::text("ERR value is out of range, value must between 0 and 1")),
    }
}

/// Whether a filter of a snapshot, a list of words, leaves the functions alone.
fn filters_functions(value: &[u8]) -> Result<bool, CommandError> {
    let words: Vec<_> = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    match words.iter().find(|word| !is(word, "FUNCTIONS")) {
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(CommandError::new(format!("ERR Unsupported rdb-filter-only option: {other}")))
        }
        None if words.is_empty() => {
            Err(CommandError::text("ERR rdb-filter-only without functions is not supported"))
        }
        None => Ok(true),
    }
}

/// PSYNC replid offset: the stream from there on, or a snapshot and the stream.
fn psync(call: &mut ControlCall<'_>) -> Outcome {
    if !may_sync(call, true)? {
        return Ok(Done::Replied);
    }
    let offset = args::integer(call.args.at(2)).inspect_err(|_| {
        let name = call.engine.replica_name(call.client);
        log::warn!("Replica {name} asks for synchronization but with a wrong offset");
    })?;
    if let PsyncReply::Continue(line) = call.engine.psync(call.client, call.args.at(1), offset) {
        call.reply.simple(&line);
    }
    Ok(Done::Replied)
}

/// SYNC: a snapshot and the stream, for what doesn't know PSYNC.
fn sync(call: &mut ControlCall<'_>) -> Outcome {
    if may_sync(call, false)? {
        call.engine.introduce_replica(call.client).old_protocol = true;
        call.engine.request_full_sync(call.client);
    }
    Ok(Done::Replied)
}

/// False: the client is a replica already, and gets no further answer. With PSYNC it may hand its role over to this server.
fn may_sync(call: &mut ControlCall<'_>, by_psync: bool) -> Result<bool, CommandError> {
    if call.engine.clients.sessions.live(call.client).is(state::REPLICA) {
        return Ok(false);
    }
    if by_psync && call.args.get(3).is_some_and(|word| is(word, "FAILOVER")) {
        failover::take_over(call)?;
    }
    if call.engine.replication.failover.is_some() {
        return Err(CommandError::text("NOMASTERLINK Can't SYNC while failing over"));
    }
    if call.engine.replication.is_replica() && !call.engine.replication.is_in_sync() {
        return Err(CommandError::text("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    if call.reply.has_begun() {
        return Err(CommandError::text("ERR SYNC and PSYNC are invalid with pending output"));
    }
    log::info!("Replica {} asks for synchronization", call.engine.replica_name(call.client));
    Ok(true)
}

/// ROLE: what this server is, and how far its replicas are, or it is itself.
fn role(call: &mut ControlCall<'_>) -> Outcome {
    let engine = &*call.engine;
    let online: Vec<_> = engine
        .replication
        .replicas
        .in_order()
        .into_iter()
        .filter(|(_, replica)| replica.is_online())
        .map(|(_, replica)| (replica.shown_ip(), replica.port, replica.ack_offset))
        .collect();
    let offset = engine.backlog().end();
    let reply = &mut *call.reply;
    if let Some(primary) = &engine.replication.primary {
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(primary.host.as_bytes());
        reply.integer(i64::from(primary.port));
        reply.bulk(primary.state().word().as_bytes());
        reply.integer(if primary.is_up() { offset as i64 } else { -1 });
        return Ok(Done::Replied);
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(offset as i64);
    reply.array(online.len());
    for (ip, port, offset) in online {
        reply.array(3);
        reply.bulk(ip.as_bytes());
        reply.bulk(port.to_string().as_bytes());
        reply.bulk(offset.to_string().as_bytes());
    }
    Ok(Done::Replied)
}
