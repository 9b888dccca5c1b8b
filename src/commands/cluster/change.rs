//! What CLUSTER changes: slots of this node, which nodes it knows, its role.

use super::{change, done, error, service, slot, wrong_arguments};
use crate::base::crc::SLOTS;
use crate::base::ids::NodeId;
use crate::base::number;
use crate::commands::describe_client;
use crate::commands::generic::databases::flush;
use crate::commands::support::args::{integer, is};
use crate::engine::clients::session::Role;
use crate::engine::{ControlCall, Done, Outcome, ServerAction};
use crate::resp::CommandError;
use crate::services::cluster::{BUS_PORT_OFFSET, Cluster, ControlError, Data, FailoverKind, Requester};

/// The slots of ADDSLOTS and DELSLOTS.
fn listed(call: &ControlCall<'_>) -> Result<Vec<u16>, CommandError> {
    (2..call.args.len()).map(|index| slot(call.args.at(index))).collect()
}

/// The slots of ADDSLOTSRANGE and DELSLOTSRANGE, and what is wrong with a range behind them.
fn ranged(call: &ControlCall<'_>) -> (Vec<u16>, Option<CommandError>) {
    let mut slots: Vec<u16> = Vec::new();
    for index in (2..call.args.len()).step_by(2) {
        let ends = slot(call.args.at(index)).and_then(|first| Ok((first, slot(call.args.at(index + 1))?)));
        match ends {
            Err(error) => return (slots, Some(error)),
            Ok((first, last)) if first > last => {
                let text = format!("ERR start slot number {first} is greater than end slot number {last}");
                return (slots, Some(CommandError::new(text)));
            }
            Ok((first, last)) => slots.extend(first..=last),
        }
        // Then one is repeated, which ends the request.
        if slots.len() > usize::from(SLOTS) {
            break;
        }
    }
    (slots, None)
}

/// Changes ranges of slots. Each is looked at before the next one is read: which error comes first depends on it.
fn change_ranges(
    call: &mut ControlCall<'_>,
    name: &str,
    check: fn(&Cluster, &[u16]) -> Result<(), ControlError>,
    apply: fn(&mut Cluster, &[u16]) -> Result<(), ControlError>,
) -> Outcome {
    let cluster = service(call.engine)?;
    if call.args.len() % 2 == 1 {
        return Err(CommandError::wrong_arity(name));
    }
    let (slots, wrong) = ranged(call);
    if let Some(wrong) = wrong {
        check(cluster, &slots).map_err(error)?;
        return Err(wrong);
    }
    change(call.engine, |service| apply(service, &slots))?;
    done(call)
}

/// `CLUSTER ADDSLOTS slot …`
pub(super) fn add_slots(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let slots = listed(call)?;
    change(call.engine, |service| service.add_slots(&slots))?;
    done(call)
}

/// `CLUSTER DELSLOTS slot …`
pub(super) fn del_slots(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let slots = listed(call)?;
    change(call.engine, |service| service.remove_slots(&slots))?;
    done(call)
}

/// `CLUSTER ADDSLOTSRANGE first last …`
pub(super) fn add_slots_range(call: &mut ControlCall<'_>) -> Outcome {
    change_ranges(call, "cluster|addslotsrange", Cluster::check_add_slots, Cluster::add_slots)
}

/// `CLUSTER DELSLOTSRANGE first last …`
pub(super) fn del_slots_range(call: &mut ControlCall<'_>) -> Outcome {
    change_ranges(call, "cluster|delslotsrange", Cluster::check_remove_slots, Cluster::remove_slots)
}

/// Whether there is a key in any database.
fn has_keys(call: &ControlCall<'_>) -> bool {
    call.engine.data.keyspace.total_keys() > 0
}

/// `CLUSTER FLUSHSLOTS`
pub(super) fn flush_slots(call: &mut ControlCall<'_>) -> Outcome {
    let has_keys = has_keys(call);
    change(call.engine, |service| service.flush_slots(has_keys))?;
    done(call)
}

/// `CLUSTER MEET ip port [bus-port]`
pub(super) fn meet(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    if call.args.len() > 5 {
        return Err(wrong_arguments(call));
    }
    let text = |index| String::from_utf8_lossy(call.args.at(index)).into_owned();
    let port = |index, kind| {
        let number = number::parse_i64(call.args.at(index));
        number.ok_or_else(|| CommandError::new(format!("ERR Invalid {kind} port specified: {}", text(index))))
    };
    let (ip, base) = (text(2), port(3, "base")?);
    let bus =
        if call.args.len() == 5 { port(4, "bus")? } else { base.saturating_add(BUS_PORT_OFFSET.into()) };
    let in_range = |number: i64| u16::try_from(number).ok().filter(|port| *port != 0);
    let invalid = || CommandError::new(format!("ERR Invalid node address specified: {ip}:{}", text(3)));
    let (base, bus) = (in_range(base).ok_or_else(invalid)?, in_range(bus).ok_or_else(invalid)?);
    let met = call.engine.command_cluster(|service, now| {
        service.set_now(now);
        service.meet(&ip, base, bus)
    });
    match met {
        Some(Err(ControlError::InvalidAddress)) => return Err(invalid()),
        Some(Err(reason)) => return Err(error(reason)),
        Some(Ok(())) | None => {}
    }
    let user = describe_client(call.engine, call.client);
    log::info!("Cluster meet {ip}:{base} (user request from '{user}').");
    done(call)
}

/// `CLUSTER FORGET node-id`
pub(super) fn forget(call: &mut ControlCall<'_>) -> Outcome {
    let name = call.args.at(2);
    change(call.engine, |service| service.forget_named(name))?;
    if let Some(id) = NodeId::parse(name) {
        call.engine.cancel_tasks_of(id, "node deleted");
    }
    done(call)
}

/// `CLUSTER REPLICATE node-id`, `CLUSTER REPLICATE NO ONE`
pub(super) fn replicate(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    match call.args.len() {
        3 => {
            let (name, has_keys) = (call.args.at(2), has_keys(call));
            change(call.engine, |service| service.replicate(name, has_keys))?;
        }
        4 if is(call.args.at(2), "NO") && is(call.args.at(3), "ONE") => {
            let data = change(call.engine, |service| Ok(service.replicate_none()))?;
            empty_if(call, data);
        }
        _ => return Err(CommandError::wrong_arity("cluster|replicate")),
    }
    done(call)
}

/// Empties the databases, where they were a primary's that this node has left.
fn empty_if(call: &mut ControlCall<'_>, data: Data) {
    if data == Data::Flush {
        let databases = 0..call.engine.data.keyspace.count();
        flush(call.engine, call.client, databases, false);
        call.engine.save_flushed();
        // For the log, and for replicas of this node: that the databases are empty, not how that came about.
        call.engine.propagation_mut().rewrite_as([b"FLUSHALL"]);
    }
}

/// `CLUSTER RESET [HARD|SOFT]`
pub(super) fn reset(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let hard = match call.args.get(2) {
        None => false,
        Some(_) if call.args.len() > 3 => return Err(wrong_arguments(call)),
        Some(word) if is(word, "HARD") => true,
        Some(word) if is(word, "SOFT") => false,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    let has_keys = has_keys(call);
    call.engine.cancel_tasks(None, "CLUSTER RESET");
    let data = change(call.engine, |service| service.reset(hard, has_keys))?;
    empty_if(call, data);
    let user = describe_client(call.engine, call.client);
    log::info!("Cluster reset (user request from '{user}').");
    done(call)
}

/// `CLUSTER FAILOVER [FORCE|TAKEOVER]`. With REPLICAID a primary that shuts down has a certain one of its replicas take over.
pub(super) fn failover(call: &mut ControlCall<'_>) -> Outcome {
    let my_id = service(call.engine)?.topology.myself().id;
    let obeys = call.engine.clients.sessions.live(call.client).role == Role::Primary;
    if !obeys && call.args.len() > 3 {
        return Err(wrong_arguments(call));
    }
    let mut kind = FailoverKind::Default;
    let mut words = (2..call.args.len()).map(|index| call.args.at(index));
    while let Some(word) = words.next() {
        match word {
            word if is(word, "FORCE") && kind == FailoverKind::Default => kind = FailoverKind::Force,
            word if is(word, "FORCE") => {}
            word if is(word, "TAKEOVER") => kind = FailoverKind::Takeover,
            word if obeys && is(word, "REPLICAID") => match words.next() {
                Some(id) if id == my_id.as_bytes() => {}
                Some(_) => return done(call),
                None => return Err(CommandError::SYNTAX),
            },
            _ => return Err(CommandError::SYNTAX),
        }
    }
    let client = describe_client(call.engine, call.client);
    let by = if obeys { Requester::Primary(client) } else { Requester::User(client) };
    let begun = call.engine.command_cluster(|service, now| {
        service.set_now(now);
        service.begin_manual_failover(kind, &by)
    });
    match begun {
        Some(Err(reason)) => Err(CommandError::new(format!("ERR {reason}"))),
        Some(Ok(())) | None => done(call),
    }
}

/// `CLUSTER SET-CONFIG-EPOCH epoch`
pub(super) fn set_config_epoch(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    let epoch = integer(call.args.at(2))?;
    change(call.engine, |service| service.set_config_epoch(epoch))?;
    done(call)
}

/// `CLUSTER BUMPEPOCH`
pub(super) fn bump_epoch(call: &mut ControlCall<'_>) -> Outcome {
    let (is_new, epoch) = change(call.engine, |service| {
        let is_new = service.bump_epoch();
        Ok((is_new, service.topology.myself().config_epoch))
    })?;
    call.reply.simple(&format!("{} {epoch}", if is_new { "BUMPED" } else { "STILL" }));
    Ok(Done::Replied)
}

/// `CLUSTER SAVECONFIG`
pub(super) fn save_config(call: &mut ControlCall<'_>) -> Outcome {
    let text = service(call.engine)?.nodes_conf();
    call.engine.actions.push_back(ServerAction::SaveNodesFor { client: call.client, text });
    Ok(Done::Deferred)
}
