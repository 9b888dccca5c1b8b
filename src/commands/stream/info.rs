//! XINFO: streams, groups and consumers.

use crate::commands::stream::support::{no_group, reply_entries, reply_entry, reply_id, subcommand_syntax};
use crate::commands::support::args::{self, is};
use crate::engine::{Call, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::value::stream::{self, Consumer, ConsumerId, Idempotency, Log, Stream, StreamId};

/// The option FULL, with the most items of each list in the reply.
struct Full {
    count: usize,
}

impl Full {
    fn parse(call: &Call<'_>) -> Result<Option<Full>, CommandError> {
        let args = call.args;
        let count = match args.len() {
            3 => return Ok(None),
            4 if is(args.at(3), "FULL") => 10,
            6 if is(args.at(3), "FULL") && is(args.at(4), "COUNT") => args::integer(args.at(5))?,
            _ => return Err(subcommand_syntax(call)),
        };
        let count = match count {
            ..0 => 10,
            0 => usize::MAX,
            count => count as usize,
        };
        Ok(Some(Full { count }))
    }
}

pub(in crate::commands) fn xinfo_stream(call: &mut Call<'_>) -> Outcome {
    // Redis replies that a key is missing before any error of the options.
    let full = Full::parse(call);
    let stream = call.db.read::<Stream>(call.args.at(2))?.ok_or(CommandError::NO_SUCH_KEY)?;
    let full = full?;
    let reply = &mut *call.reply;
    reply.map(if full.is_some() { 15 } else { 16 });
    reply_log(reply, &stream.log);
    reply_requests(reply, stream);
    match full {
        None => {
            reply.bulk(b"groups");
            reply.count(stream.groups.len());
            let ends = (StreamId::ZERO, StreamId::MAX);
            reply.bulk(b"first-entry");
            match stream.log.range(ends.0, ends.1).next() {
                Some(entry) => reply_entry(reply, &entry),
                None => reply.null(),
            }
            reply.bulk(b"last-entry");
            match stream.log.range_rev(ends.0, ends.1).next() {
                Some(entry) => reply_entry(reply, &entry),
                None => reply.null(),
            }
        }
        Some(full) => {
            reply.bulk(b"entries");
            reply_entries(reply, stream.log.range(StreamId::ZERO, StreamId::MAX).take(full.count));
            reply.bulk(b"groups");
            reply.array(stream.groups.len());
            for (name, group) in stream.groups.iter() {
                full.reply_group(reply, name, group, &stream.log);
            }
        }
    }
    Ok(Done::Replied)
}

fn reply_log(reply: &mut Reply, log: &Log) {
    reply.bulk(b"length");
    reply.count(log.len());
    // Redis's numbers of its radix tree; this tree has no such inner nodes, and replies with one for the root.
    reply.bulk(b"radix-tree-keys");
    reply.count(log.node_count());
    reply.bulk(b"radix-tree-nodes");
    reply.count(log.node_count() + 1);
    reply.bulk(b"last-generated-id");
    reply_id(reply, log.last_id());
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, log.max_deleted_id());
    reply.bulk(b"entries-added");
    reply.integer(log.entries_added() as i64);
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, log.first_id());
}

/// Writes what the stream remembers of requests of producers.
fn reply_requests(reply: &mut Reply, stream: &Stream) {
    let retention = stream.retention();
    let of = |number: fn(&Idempotency) -> u64| stream.requests().map_or(0, number) as i64;
    for (name, number) in [
        ("idmp-duration", i64::from(retention.seconds)),
        ("idmp-maxsize", i64::from(retention.identifiers)),
        ("pids-tracked", of(|requests| requests.producer_count() as u64)),
        ("iids-tracked", of(|requests| requests.tracked() as u64)),
        ("iids-added", of(Idempotency::added)),
        ("iids-duplicates", of(Idempotency::duplicates)),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    }
}

/// Writes a group's position: the three fields that GROUPS and FULL share.
fn reply_position(reply: &mut Reply, group: &stream::Group, log: &Log) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_delivered());
    reply.bulk(b"entries-read");
    reply_optional(reply, group.entries_read().map(|read| read as i64));
    reply.bulk(b"lag");
    reply_optional(reply, group.lag(log));
}

fn reply_optional(reply: &mut Reply, number: Option<i64>) {
    match number {
        Some(n) => reply.integer(n),
        None => reply.null(),
    }
}

impl Full {
    fn reply_group(&self, reply: &mut Reply, name: &[u8], group: &stream::Group, log: &Log) {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        reply_position(reply, group, log);
        reply.bulk(b"pel-count");
        reply.count(group.pending_count());
        reply.bulk(b"pending");
        reply.array(group.pending_count().min(self.count));
        for (id, pending) in group.pending_from(StreamId::ZERO).take(self.count) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.consumer(pending.consumer).map_or(b"", Consumer::name));
            reply.integer(pending.delivered_ms);
            reply.integer(pending.deliveries as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumer_count());
        for (id, consumer) in group.consumers() {
            self.reply_consumer(reply, group, id, consumer);
        }
    }

    fn reply_consumer(&self, reply: &mut Reply, group: &stream::Group, id: ConsumerId, consumer: &Consumer) {
        reply.map(5);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"seen-time");
        reply.integer(consumer.seen_ms);
        reply.bulk(b"active-time");
        reply.integer(consumer.active_ms);
        reply.bulk(b"pel-count");
        reply.count(consumer.pending_count());
        reply.bulk(b"pending");
        reply.array(consumer.pending_count().min(self.count));
        for (id, pending) in group.pending_with(id, StreamId::ZERO).take(self.count) {
            reply.array(3);
            reply_id(reply, id);
            reply.integer(pending.delivered_ms);
            reply.integer(pending.deliveries as i64);
        }
    }
}

pub(in crate::commands) fn xinfo_groups(call: &mut Call<'_>) -> Outcome {
    let stream = call.db.read::<Stream>(call.args.at(2))?.ok_or(CommandError::NO_SUCH_KEY)?;
    let reply = &mut *call.reply;
    reply.array(stream.groups.len());
    for (name, group) in stream.groups.iter() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        reply.bulk(b"consumers");
        reply.count(group.consumer_count());
        reply.bulk(b"pending");
        reply.count(group.pending_count());
        reply_position(reply, group, &stream.log);
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn xinfo_consumers(call: &mut Call<'_>) -> Outcome {
    let (key, name) = (call.args.at(2), call.args.at(3));
    let now = call.now() as i64;
    let stream = call.db.read::<Stream>(key)?.ok_or(CommandError::NO_SUCH_KEY)?;
    let group = stream.groups.get(name).ok_or_else(|| no_group(key, name))?;
    let reply = &mut *call.reply;
    reply.array(group.consumer_count());
    for (_, consumer) in group.consumers() {
        let active = consumer.active_ms;
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.count(consumer.pending_count());
        reply.bulk(b"idle");
        reply.integer(now.saturating_sub(consumer.seen_ms).max(0));
        reply.bulk(b"inactive");
        reply.integer(if active == -1 { -1 } else { now.saturating_sub(active) });
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn xinfo_help(call: &mut Call<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
        ],
    );
    Ok(Done::Replied)
}
