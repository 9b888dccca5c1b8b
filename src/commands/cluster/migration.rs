//! CLUSTER MIGRATION: slots that come to this node as a whole (Redis 8.4).

use super::{DISABLED, service, slot};
use crate::commands::support::args::is;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::services::slot_migration::{Family, Job, Role, SlotRanges};

const UNKNOWN: CommandError = CommandError::text("ERR unknown argument");

fn wrong_arguments() -> CommandError {
    CommandError::wrong_arity("cluster|migration")
}

/// `CLUSTER MIGRATION IMPORT start end … | STATUS (ID id | ALL) | CANCEL (ID id | ALL)`
pub(super) fn migration(call: &mut ControlCall<'_>) -> Outcome {
    service(call.engine)?;
    match call.args.at(2) {
        word if is(word, "IMPORT") => import(call),
        word if is(word, "STATUS") => status(call),
        word if is(word, "CANCEL") => cancel(call),
        _ => Err(UNKNOWN),
    }
}

fn import(call: &mut ControlCall<'_>) -> Outcome {
    let words = call.args.tail(3);
    if !words.len().is_multiple_of(2) {
        return Err(wrong_arguments());
    }
    let mut pairs = Vec::with_capacity(words.len() / 2);
    for at in (0..words.len()).step_by(2) {
        pairs.push((slot(words.at(at))?, slot(words.at(at + 1))?));
    }
    let refused = |text: String| CommandError::new(format!("ERR {text}"));
    let slots = SlotRanges::normalized(pairs).map_err(|error| refused(error.to_string()))?;
    let name = call.engine.import_slots(slots).map_err(refused)?;
    call.reply.bulk(name.as_bytes());
    Ok(Done::Replied)
}

/// The id that is asked for; `None`: all.
fn asked<'a>(call: &ControlCall<'a>) -> Result<Option<&'a [u8]>, CommandError> {
    let args = call.args;
    match (args.at(3), args.len()) {
        (word, 5) if is(word, "ID") => Ok(Some(args.at(4))),
        (word, 4) if is(word, "ALL") => Ok(None),
        (_, 6..) => Err(wrong_arguments()),
        (word, _) if is(word, "ID") || is(word, "ALL") => Err(wrong_arguments()),
        _ => Err(UNKNOWN),
    }
}

fn cancel(call: &mut ControlCall<'_>) -> Outcome {
    let name = asked(call)?;
    let count = call.engine.cancel_tasks_on_request(name);
    call.reply.count(count);
    Ok(Done::Replied)
}

fn status(call: &mut ControlCall<'_>) -> Outcome {
    let name = asked(call)?;
    let jobs = &call.engine.slot_migration().ok_or(DISABLED)?.jobs;
    let is_asked =
        |job: &&Job| job.family == Family::Redis && name.is_none_or(|name| job.name.as_bytes() == name);
    let (active, over): (Vec<&Job>, Vec<&Job>) =
        jobs.iter().filter(is_asked).partition(|job| !job.is_archived);
    call.reply.array(active.len() + over.len());
    for job in active.into_iter().chain(over) {
        report(job, |ms| call.engine.wall_time(ms), call.reply);
    }
    Ok(Done::Replied)
}

fn report(job: &Job, wall_time: impl Fn(u64) -> u64, reply: &mut Reply) {
    reply.map(12);
    let mut text = |name: &str, value: &[u8]| {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    };
    text("id", job.name.as_bytes());
    text("slots", job.slots.to_string().as_bytes());
    text("source", job.source.as_ref().map_or(b"", |node| node.as_bytes()));
    text("dest", job.target.as_ref().map_or(b"", |node| node.as_bytes()));
    text("operation", if job.role == Role::Import { b"import" } else { b"migrate" });
    text("state", job.state_name().as_bytes());
    text("last_error", job.message.as_bytes());
    let moment = |ms: Option<u64>| ms.map_or(-1, |ms| wall_time(ms) as i64);
    for (name, number) in [
        ("retries", job.retries as i64),
        ("create_time", wall_time(job.created_ms) as i64),
        ("start_time", moment(job.started_ms)),
        ("end_time", moment(job.ended_ms)),
        ("write_pause_ms", job.write_pause_ms() as i64),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    }
}
