//! ACL LOG.

use crate::base::number;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::services::acl::Entry;

/// Entries shown if no number is asked for.
const DEFAULT_COUNT: usize = 10;

/// `ACL LOG [count | RESET]`
pub(super) fn acl_log(call: &mut ClientCall<'_>) -> Outcome {
    let count = match call.args.get(2) {
        _ if call.args.len() > 3 => {
            return Err(CommandError::wrong_subcommand(call.args.at(0), call.args.at(1)));
        }
        None => DEFAULT_COUNT,
        Some(word) if word.eq_ignore_ascii_case(b"reset") => {
            call.acl.log.clear();
            call.reply.ok();
            return Ok(Done::Replied);
        }
        Some(count) => {
            let count = number::parse_i64(count).ok_or(CommandError::NOT_INTEGER)?;
            usize::try_from(count.max(0)).unwrap_or(usize::MAX)
        }
    };
    let now = call.now();
    let entries = call.acl.log.iter();
    call.reply.array(count.min(entries.len()));
    entries.take(count).for_each(|entry| write_entry(entry, now, call.reply));
    Ok(Done::Replied)
}

fn write_entry(entry: &Entry, now: u64, reply: &mut Reply) {
    reply.map(10);
    reply.bulk(b"count");
    reply.integer(entry.count as i64);
    let event = &entry.event;
    for (name, value) in [
        ("reason", event.reason.name().as_bytes()),
        ("context", event.context.as_bytes()),
        ("object", &event.object),
        ("username", &event.username),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    }
    reply.bulk(b"age-seconds");
    reply.double(now.saturating_sub(entry.updated_ms) as f64 / 1000.0);
    reply.bulk(b"client-info");
    reply.bulk(entry.client.as_bytes());
    for (name, value) in [
        ("entry-id", entry.id),
        ("timestamp-created", entry.created_ms),
        ("timestamp-last-updated", entry.updated_ms),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
}
