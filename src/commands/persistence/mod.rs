//! Persistence commands: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, WAITAOF; and WAIT, which waits for replicas.

pub(super) mod specs;
#[cfg(test)]
mod tests;

use crate::commands::support::args::{self, is};
use crate::engine::clients::blocked::{NO_LOG, WantedCopies};
use crate::engine::clients::session::state;
use crate::engine::persistence::Purpose;
use crate::engine::{Awaited, ControlCall, Done, Outcome, ServerAction, TimeoutReply, Wait};
use crate::resp::CommandError;

const WAIT_AT_REPLICA: CommandError = CommandError::text(
    "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be \
     writable (which is not the default) writes to replicas are just local and are not propagated.",
);
const WAITAOF_AT_REPLICA: CommandError = CommandError::text(
    "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not \
     propagated.",
);
const IN_PROGRESS: CommandError = CommandError::text("ERR Background save already in progress");
const OTHER_IN_PROGRESS: CommandError = CommandError::text(
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a \
     BGSAVE whenever possible.",
);

fn save(call: &mut ControlCall<'_>) -> Outcome {
    let run = call.engine.persistence.run();
    if run.is_some_and(|run| matches!(run.purpose, Purpose::Background | Purpose::Replicas)) {
        return Err(IN_PROGRESS);
    }
    call.engine.actions.push_back(ServerAction::Save { client: Some(call.client) });
    Ok(Done::Deferred)
}

fn bgsave(call: &mut ControlCall<'_>) -> Outcome {
    let schedules = match (call.args.len(), call.args.get(1)) {
        (1, _) => false,
        (2, Some(word)) if is(word, "SCHEDULE") => true,
        (2, Some(word)) if is(word, "CANCEL") => return cancel(call),
        _ => return Err(CommandError::SYNTAX),
    };
    let in_exec = call.engine.clients.sessions.live(call.client).is(state::IN_EXEC);
    let text = match call.engine.persistence.run() {
        Some(run) if matches!(run.purpose, Purpose::Background | Purpose::Replicas) && !schedules => {
            return Err(IN_PROGRESS);
        }
        Some(run) if run.purpose == Purpose::Background => return Err(IN_PROGRESS),
        Some(_) if !schedules && !in_exec => return Err(OTHER_IN_PROGRESS),
        None if !in_exec => {
            call.engine.start_background_save();
            "Background saving started"
        }
        _ => {
            log::info!("Background saving scheduled");
            call.engine.persistence.rdb.is_scheduled = true;
            "Background saving scheduled"
        }
    };
    call.reply.simple(text);
    Ok(Done::Replied)
}

fn cancel(call: &mut ControlCall<'_>) -> Outcome {
    let persistence = &mut call.engine.persistence;
    let text = if persistence.is_running(Purpose::Background) {
        log::info!("Background saving will be aborted due to user request");
        call.engine.cancel_snapshot();
        "Background saving cancelled"
    } else if std::mem::take(&mut persistence.rdb.is_scheduled) {
        log::info!("Scheduled background saving will be cancelled due to user request");
        "Scheduled background saving cancelled"
    } else {
        return Err(CommandError::text("ERR Background saving is currently not in progress or scheduled"));
    };
    call.reply.simple(text);
    Ok(Done::Replied)
}

fn bgrewriteaof(call: &mut ControlCall<'_>) -> Outcome {
    let in_exec = call.engine.clients.sessions.live(call.client).is(state::IN_EXEC);
    let text = match call.engine.persistence.run() {
        Some(run) if run.purpose == Purpose::LogBase => {
            return Err(CommandError::text("ERR Background append only file rewriting already in progress"));
        }
        None if !in_exec => {
            call.engine.start_log_rewrite();
            "Background append only file rewriting started"
        }
        _ => {
            call.engine.persistence.aof.is_rewrite_scheduled = true;
            "Background append only file rewriting scheduled"
        }
    };
    call.reply.simple(text);
    Ok(Done::Replied)
}

fn lastsave(call: &mut ControlCall<'_>) -> Outcome {
    call.reply.integer(call.engine.persistence.rdb.last_save as i64);
    Ok(Done::Replied)
}

/// `WAIT numreplicas timeout`: until so many replicas have what the client wrote.
fn wait(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.replication.is_replica() {
        return Err(WAIT_AT_REPLICA);
    }
    let replicas = args::integer(call.args.at(1))?;
    let deadline = args::timeout_ms(call.args.at(2), call.engine.now())?;
    let offset = call.engine.clients.sessions.live(call.client).awaited_offset();
    let replicas = usize::try_from(replicas).unwrap_or(0);
    let wanted = WantedCopies { local: false, replicas, replica_logs: 0, offset };
    wait_for_copies(call, wanted, TimeoutReply::Replicas(offset), deadline)
}

/// Waits for copies of what the client wrote, unless they are there.
fn wait_for_copies(
    call: &mut ControlCall<'_>,
    wanted: WantedCopies,
    on_timeout: TimeoutReply,
    deadline: Option<u64>,
) -> Outcome {
    if wanted.are_there(call.engine.copies(wanted.offset)) {
        on_timeout.write(call.reply, |offset| call.engine.copies(offset));
        return Ok(Done::Replied);
    }
    call.engine.ask_for_acks();
    Ok(Done::Blocked(Box::new(Wait {
        keys: Vec::new(),
        awaited: Awaited::Copies(wanted),
        deadline,
        retry_ms: None,
        on_timeout,
        resolved: None,
        nanos: 0,
    })))
}

fn waitaof(call: &mut ControlCall<'_>) -> Outcome {
    const BEYOND_ONE: CommandError =
        CommandError::text("ERR value is out of range, value must between 0 and 1");
    let local = match args::integer(call.args.at(1))? {
        0 => false,
        1 => true,
        _ => return Err(BEYOND_ONE),
    };
    let replicas = args::positive(call.args.at(2))?;
    let deadline = args::timeout_ms(call.args.at(3), call.engine.now())?;
    if call.engine.replication.is_replica() {
        return Err(WAITAOF_AT_REPLICA);
    }
    if local && !call.engine.config.appendonly {
        return Err(NO_LOG);
    }
    let offset = call.engine.clients.sessions.live(call.client).awaited_offset();
    let wanted = WantedCopies { local, replicas: 0, replica_logs: replicas, offset };
    wait_for_copies(call, wanted, TimeoutReply::Logs(offset), deadline)
}
