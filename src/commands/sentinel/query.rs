//! SENTINEL: what is known of primaries, replicas and sentinels.

use super::{group_name, service, word};
use crate::base::number;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::services::sentinel::{Field, Group, InstanceId, Sentinel};

fn write_fields(service: &Sentinel, id: InstanceId, reply: &mut Reply) {
    let fields = service.fields(id);
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        match value {
            Field::Text(text) => reply.bulk(text.as_bytes()),
            Field::Number(number) => reply.bulk_integer(number),
        }
    }
}

fn write_all(service: &Sentinel, instances: &[InstanceId], reply: &mut Reply) {
    reply.array(instances.len());
    instances.iter().for_each(|id| write_fields(service, *id, reply));
}

/// Writes a reply from what the service knows.
fn with_service(call: &mut ControlCall<'_>, write: impl FnOnce(&Sentinel, &mut Reply)) -> Outcome {
    service(call)?;
    if let Some(mode) = &call.engine.sentinel {
        write(&mode.service, call.reply);
    }
    Ok(Done::Replied)
}

/// Writes a reply about the group that is named.
fn with_group(call: &mut ControlCall<'_>, write: impl FnOnce(&Sentinel, &Group, &mut Reply)) -> Outcome {
    let name = group_name(call, 2)?;
    with_service(call, |service, reply| {
        if let Some(group) = service.find_group(&name) {
            write(service, group, reply);
        }
    })
}

/// `SENTINEL MASTERS`
pub(super) fn primaries(call: &mut ControlCall<'_>) -> Outcome {
    with_service(call, |service, reply| {
        let primaries: Vec<InstanceId> = service.groups().map(|group| group.primary).collect();
        write_all(service, &primaries, reply);
    })
}

/// `SENTINEL MASTER name`
pub(super) fn primary(call: &mut ControlCall<'_>) -> Outcome {
    with_group(call, |service, group, reply| write_fields(service, group.primary, reply))
}

/// `SENTINEL REPLICAS name`
pub(super) fn replicas(call: &mut ControlCall<'_>) -> Outcome {
    with_group(call, |service, group, reply| {
        let replicas = group.replicas.values().copied();
        let announced: Vec<InstanceId> =
            replicas.filter(|id| service.at(*id).replication.is_announced).collect();
        write_all(service, &announced, reply);
    })
}

/// `SENTINEL SENTINELS name`
pub(super) fn sentinels(call: &mut ControlCall<'_>) -> Outcome {
    with_group(call, |service, group, reply| {
        let sentinels: Vec<InstanceId> = group.sentinels.values().copied().collect();
        write_all(service, &sentinels, reply);
    })
}

/// `SENTINEL MYID`
pub(super) fn myid(call: &mut ControlCall<'_>) -> Outcome {
    with_service(call, |service, reply| reply.bulk(service.id().as_bytes()))
}

/// `SENTINEL GET-MASTER-ADDR-BY-NAME name`
pub(super) fn address_by_name(call: &mut ControlCall<'_>) -> Outcome {
    let name = word(call, 2);
    with_service(call, |service, reply| {
        if service.find_group(&name).is_none() {
            return reply.null_array();
        }
        let address = service.current_address(&name);
        reply.array(2);
        reply.bulk(address.announced(service.settings.announce_hostnames).as_bytes());
        reply.bulk_integer(address.port.into());
    })
}

/// `SENTINEL IS-MASTER-DOWN-BY-ADDR ip port current-epoch runid`
pub(super) fn is_primary_down(call: &mut ControlCall<'_>) -> Outcome {
    let integer = |index| number::parse_i64(call.args.at(index)).ok_or(CommandError::NOT_INTEGER);
    let (port, epoch) = (integer(3)?, integer(4)?);
    let (host, candidate) = (word(call, 2), word(call, 5));
    let now = call.engine.now();
    let answer = service(call)?.answer_primary_down(now, &host, port, epoch as u64, &candidate);
    call.engine.carry_out_sentinel_actions();
    let (is_down, leader, epoch) = answer;
    call.reply.array(3);
    call.reply.integer(is_down.into());
    call.reply.bulk(leader.as_deref().unwrap_or("*").as_bytes());
    call.reply.integer(epoch as i64);
    Ok(Done::Replied)
}

/// `SENTINEL CKQUORUM name`
pub(super) fn check_quorum(call: &mut ControlCall<'_>) -> Outcome {
    let name = group_name(call, 2)?;
    let check = service(call)?.check_quorum(&name);
    let usable = check.usable;
    if check.reaches_quorum && check.reaches_majority {
        call.reply.simple(&format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
        return Ok(Done::Replied);
    }
    let mut faults = Vec::new();
    if !check.reaches_quorum {
        faults.push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if !check.reaches_majority {
        faults.push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    Err(CommandError::new(format!("NOQUORUM {usable} usable Sentinels. {}", faults.join(". "))))
}

/// `SENTINEL INFO-CACHE [name …]`
pub(super) fn info_cache(call: &mut ControlCall<'_>) -> Outcome {
    let wanted: Vec<String> = (2..call.args.len()).map(|index| word(call, index)).collect();
    with_service(call, |service, reply| {
        let is_wanted = |group: &&Group| wanted.iter().any(|name| **name == *group.name);
        let groups: Vec<&Group> = service.groups().filter(is_wanted).collect();
        reply.array(groups.len() * 2);
        for group in groups {
            reply.bulk(group.name.as_bytes());
            let servers: Vec<InstanceId> =
                std::iter::once(&group.primary).chain(group.replicas.values()).copied().collect();
            reply.array(servers.len());
            for id in servers {
                let instance = service.at(id);
                let age =
                    if instance.info_at == 0 { 0 } else { service.now().saturating_sub(instance.info_at) };
                reply.array(2);
                reply.integer(age as i64);
                match &instance.info {
                    Some(info) => reply.bulk(info),
                    None => reply.null(),
                }
            }
        }
    })
}

/// `SENTINEL PENDING-SCRIPTS`
pub(super) fn pending_scripts(call: &mut ControlCall<'_>) -> Outcome {
    with_service(call, |service, reply| {
        let (now, jobs) = (service.now(), service.scripts().jobs());
        reply.array(jobs.len());
        for job in jobs {
            reply.map(5);
            reply.bulk(b"argv");
            reply.array(job.words.len());
            job.words.iter().for_each(|word| reply.bulk(word.as_bytes()));
            let (flags, time_name, time) = match job.is_running {
                true => ("running", "run-time", now.saturating_sub(job.time)),
                false => ("scheduled", "run-delay", job.time.saturating_sub(now)),
            };
            reply.bulk(b"flags");
            reply.bulk(flags.as_bytes());
            reply.bulk(b"pid");
            reply.bulk_integer(job.pid.into());
            reply.bulk(time_name.as_bytes());
            reply.bulk_integer(time as i64);
            reply.bulk(b"retry-num");
            reply.bulk_integer(job.attempts.into());
        }
    })
}

/// `SENTINEL HELP`
pub(super) fn help(call: &mut ControlCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "CKQUORUM <primary-name>",
            "    Tell whether enough sentinels can be reached for the quorum and for the majority.",
            "CONFIG GET <param> [<param> ...]",
            "    Show parameters that hold for all primaries.",
            "CONFIG SET <param> <value> [<param> <value> ...]",
            "    Set such parameters.",
            "DEBUG [<param> <value> ...]",
            "    Show periods and time-outs in milliseconds, or set them.",
            "FAILOVER <primary-name> [COORDINATED]",
            "    Fail over without a failure: at once, or once the other sentinels agree and the primary hands over.",
            "FLUSHCONFIG",
            "    Write the configuration file with the present state.",
            "GET-PRIMARY-ADDR-BY-NAME <primary-name>",
            "    Return the address of a primary.",
            "INFO-CACHE <primary-name> [<primary-name> ...]",
            "    Return the last INFO of primaries and their replicas.",
            "IS-PRIMARY-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
            "    Tell whether this sentinel can't reach the primary at an address, and vote.",
            "MONITOR <name> <ip> <port> <quorum>",
            "    Begin to monitor a primary.",
            "MYID",
            "    Return the id of this sentinel.",
            "PENDING-SCRIPTS",
            "    Show scripts that wait or run.",
            "PRIMARIES",
            "    Show all primaries.",
            "PRIMARY <primary-name>",
            "    Show a primary.",
            "REMOVE <primary-name>",
            "    Stop monitoring a primary.",
            "REPLICAS <primary-name>",
            "    Show the replicas of a primary.",
            "RESET <pattern>",
            "    Forget what was observed of primaries whose name matches.",
            "SENTINELS <primary-name>",
            "    Show the other sentinels of a primary.",
            "SET <primary-name> <option> <value> [<option> <value> ...]",
            "    Change how a primary is monitored.",
            "SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
            "    Have this sentinel end in the middle of a failover.",
        ],
    );
    Ok(Done::Replied)
}
