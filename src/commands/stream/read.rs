//! XREAD and XREADGROUP: entries after an id, by any client or by the consumers of a group, blocking or not.

use std::borrow::Cow;

use crate::commands::stream::support::{
    self as parts, GroupName, check_consumer, consumer_of, reply_entries, reply_entry, reply_entry_of,
    reply_id,
};
use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::engine::{Awaited, Call, Done, Outcome, Propagation, TimeoutReply, Wait};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, OpenAggregate, OwnedArgs, Reply};
use crate::value::stream::{self, ConsumerId, Log, Stream, StreamId};

/// The parsed arguments of XREAD or XREADGROUP.
struct Reading<'a> {
    args: Args<'a>,
    /// The most entries of each stream.
    count: usize,
    /// BLOCK: whether to block, and until when (Unix ms; `None`: for ever).
    block: Option<Option<u64>>,
    group: Option<&'a [u8]>,
    consumer: &'a [u8],
    noack: bool,
    keys_at: usize,
    streams: usize,
}

impl<'a> Reading<'a> {
    fn parse(call: &Call<'a>, grouped: bool) -> Result<Self, CommandError> {
        let args = call.args;
        let mut reading = Reading {
            args,
            count: usize::MAX,
            block: None,
            group: None,
            consumer: b"",
            noack: false,
            keys_at: 0,
            streams: 0,
        };
        let mut options = OptionReader::new(args, 1);
        while let Some(word) = options.next() {
            let more = options.remaining();
            if is(word, "BLOCK") {
                reading.block = Some(args::timeout_ms(options.value()?, call.now())?);
            } else if is(word, "COUNT") {
                let count = parts::count(options.value()?)?;
                reading.count = if count == 0 { usize::MAX } else { count };
            } else if more > 0 && is(word, "STREAMS") {
                if !more.is_multiple_of(2) {
                    return Err(unbalanced(call.name, grouped));
                }
                (reading.keys_at, reading.streams) = (options.index(), more / 2);
                break;
            } else if more > 1 && is(word, "GROUP") {
                check_grouped(grouped, "GROUP")?;
                (reading.group, reading.consumer) = (Some(options.value()?), options.value()?);
            } else if is(word, "NOACK") {
                check_grouped(grouped, "NOACK")?;
                reading.noack = true;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        if reading.keys_at == 0 {
            return Err(CommandError::SYNTAX);
        }
        if grouped && reading.group.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(reading)
    }

    fn key(&self, stream: usize) -> &'a [u8] {
        self.args.at(self.keys_at + stream)
    }

    fn id(&self, stream: usize) -> &'a [u8] {
        self.args.at(self.keys_at + self.streams + stream)
    }

    /// Without entries: blocks, or replies null.
    fn wait(&self, reply: &mut Reply, seen: &[StreamId]) -> Outcome {
        let Some(deadline) = self.block else {
            reply.null_array();
            return Ok(Done::Replied);
        };
        let ids_at = self.keys_at + self.streams;
        let is_open = |at: usize| at >= ids_at && self.args.at(at) == b"$";
        let resolved = (ids_at..self.args.len()).any(is_open).then(|| {
            OwnedArgs::from_parts(self.args.iter().enumerate().map(|(at, arg)| match arg {
                b"$" if at >= ids_at => Cow::Owned(seen[at - ids_at].to_text().as_ref().to_vec()),
                _ => Cow::Borrowed(arg),
            }))
        });
        Ok(Done::Blocked(Box::new(Wait {
            keys: (0..self.streams).map(|stream| self.key(stream).into()).collect(),
            awaited: match self.group {
                Some(group) => Awaited::GroupEntry(group.into()),
                None => Awaited::EntryAfter(seen.into()),
            },
            deadline,
            on_timeout: TimeoutReply::NullArray,
            resolved,
            nanos: 0,
        })))
    }
}

fn check_grouped(grouped: bool, option: &str) -> Result<(), CommandError> {
    if grouped {
        return Ok(());
    }
    Err(CommandError::new(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

fn unbalanced(name: &str, grouped: bool) -> CommandError {
    let symbol = if grouped { "ID or '>'" } else { "ID, '+', or '$'" };
    CommandError::new(format!(
        "ERR Unbalanced '{name}' list of streams: for each stream key an {symbol} must be specified."
    ))
}

/// Begins the reply of one stream: RESP3 has a map of streams, RESP2 an array of pairs.
fn reply_key(reply: &mut Reply, key: &[u8]) {
    if !reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(key);
}

fn close_streams(reply: &mut Reply, open: OpenAggregate, streams: usize) {
    if reply.is_resp3() { reply.close_map(open, streams) } else { reply.close_array(open, streams) }
}

pub(in crate::commands) fn xread(call: &mut Call<'_>) -> Outcome {
    let reading = Reading::parse(call, false)?;
    let mut seen = Vec::with_capacity(reading.streams);
    let mut any = false;
    for index in 0..reading.streams {
        let stream = call.db.read::<Stream>(reading.key(index))?;
        let last = stream.and_then(|stream| stream.log.last_entry_id());
        let id = match reading.id(index) {
            b"$" => stream.map_or(StreamId::ZERO, |stream| stream.log.last_id()),
            b"+" => last.and_then(StreamId::previous).unwrap_or(StreamId::ZERO),
            b">" => {
                return Err(CommandError::text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
                     <consumer> option.",
                ));
            }
            id => parts::id(id)?,
        };
        any |= last.is_some_and(|last| last > id);
        seen.push(id);
    }
    if !any {
        // Both passes count their lookups, as the one that answers does.
        for index in 0..reading.streams {
            call.db.lookup_read(reading.key(index));
        }
        return reading.wait(call.reply, &seen);
    }
    let open = call.reply.open();
    let mut served = 0;
    for (index, seen) in seen.iter().enumerate() {
        let key = reading.key(index);
        let Some(at) = call.db.lookup_read(key) else { continue };
        let log = &call.db.typed::<Stream>(at)?.log;
        let Some(start) = seen.next() else { continue };
        let mut entries = log.range(start, StreamId::MAX).take(reading.count).peekable();
        if entries.peek().is_some() {
            reply_key(call.reply, key);
            reply_entries(call.reply, entries);
            served += 1;
        }
    }
    close_streams(call.reply, open, served);
    Ok(Done::Replied)
}

/// The id of XREADGROUP for one stream.
#[derive(Clone, Copy)]
enum Since {
    /// `>`: entries not yet delivered to the group.
    New,
    /// An id: entries above it that are pending with the consumer.
    History(StreamId),
}

pub(in crate::commands) fn xreadgroup(call: &mut Call<'_>) -> Outcome {
    let reading = Reading::parse(call, true)?;
    let group = reading.group.unwrap_or_default();
    let mut wanted = Vec::with_capacity(reading.streams);
    for index in 0..reading.streams {
        let key = reading.key(index);
        let stream = call.db.read::<Stream>(key)?;
        let Some(group) = stream.and_then(|stream| stream.groups.get(group)) else {
            return Err(parts::no_key_or_group(key, group, " in XREADGROUP with GROUP option"));
        };
        check_consumer(group, reading.consumer)?;
        wanted.push(since(reading.id(index))?);
    }
    // The deliveries are propagated, one by one; a replica can't read on its own.
    call.propagation.suppress();
    let open = call.reply.open();
    let mut served = 0;
    for (index, since) in wanted.iter().enumerate() {
        served += usize::from(read_one(call, &reading, reading.key(index), *since)?);
    }
    if served == 0 {
        call.reply.rollback(open);
        return reading.wait(call.reply, &[]);
    }
    close_streams(call.reply, open, served);
    Ok(Done::Replied)
}

fn since(id: &[u8]) -> Result<Since, CommandError> {
    match id {
        b">" => Ok(Since::New),
        b"$" | b"+" => Err(CommandError::new(format!(
            "ERR The {} ID is meaningless in the context of XREADGROUP: you want to read the history of \
             this consumer by specifying a proper ID, or use the > ID to get new messages. The {0} ID \
             would just return an empty result set.",
            char::from(id[0])
        ))),
        // The greatest id means `>`, as in Redis.
        id => Ok(parts::id(id)?.next().map_or(Since::New, Since::History)),
    }
}

/// Replies with one stream for a consumer, which is created if it doesn't exist; returns whether there was a
/// reply.
fn read_one(
    call: &mut Call<'_>,
    reading: &Reading<'_>,
    key: &[u8],
    since: Since,
) -> Result<bool, CommandError> {
    let name = GroupName { key, group: reading.group.unwrap_or_default() };
    let now = call.now() as i64;
    let Some(mut edit) = call.db.edit::<Stream>(key)? else { return Ok(false) };
    if edit.peek().groups.get(name.group).is_none() {
        return Ok(false);
    }
    let Stream { log, groups, .. } = edit.get();
    let (mut changes, mut is_new, mut served) = (0, false, false);
    if let Some(group) = groups.get_mut(name.group) {
        let consumer;
        (consumer, is_new) = consumer_of(group, reading.consumer, now);
        if is_new && reading.noack {
            name.propagate_consumer(call.propagation, reading.consumer);
        }
        let mut serving =
            Serving { reply: call.reply, propagation: call.propagation, name, reading, log, consumer, now };
        let delivered = match since {
            Since::History(start) => serving.history(group, start),
            Since::New => serving.news(group),
        };
        served = delivered.is_some();
        // The XCLAIMs of what was delivered make the consumer; without any its creation is propagated.
        if is_new && !reading.noack && delivered != Some(Delivery::First) {
            name.propagate_consumer(call.propagation, reading.consumer);
        }
        changes = usize::from(is_new) + usize::from(delivered == Some(Delivery::First));
    }
    let events = [event::XGROUP_CREATECONSUMER];
    edit.finish_metadata(changes, if is_new { &events } else { &[] });
    Ok(served)
}

/// What a consumer was given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    First,
    Again,
}

/// Serving one stream to a consumer of a group.
struct Serving<'c> {
    reply: &'c mut Reply,
    propagation: &'c mut Propagation,
    name: GroupName<'c>,
    reading: &'c Reading<'c>,
    log: &'c Log,
    consumer: ConsumerId,
    now: i64,
}

impl Serving<'_> {
    /// Writes the entries pending with the consumer; those deleted from the stream have null for their fields.
    fn history(&mut self, group: &mut stream::Group, start: StreamId) -> Option<Delivery> {
        let reply = &mut *self.reply;
        reply_key(reply, self.name.key);
        let open = reply.open();
        let mut served = 0;
        let mut from = Some(start);
        while served < self.reading.count
            && let Some(id) = from.and_then(|from| group.consumer(self.consumer)?.pending_from(from).next())
        {
            if reply_entry_of(reply, self.log, id) {
                group.redeliver(id, self.now);
            } else {
                reply.array(2);
                reply_id(reply, id);
                reply.null_array();
            }
            served += 1;
            from = id.next();
        }
        reply.close_array(open, served);
        Some(Delivery::Again)
    }

    /// Writes and delivers the entries not yet delivered to the group, if there are any.
    fn news(&mut self, group: &mut stream::Group) -> Option<Delivery> {
        let start = group.last_delivered().next()?;
        let mut entries = self.log.range(start, StreamId::MAX).take(self.reading.count).peekable();
        entries.peek()?;
        reply_key(self.reply, self.name.key);
        let open = self.reply.open();
        let mut served = 0;
        for entry in entries {
            reply_entry(self.reply, &entry);
            group.deliver(self.log, entry.id, self.consumer, self.now, self.reading.noack);
            if !self.reading.noack
                && self.propagation.has_consumers()
                && let Some(pending) = group.pending(entry.id)
            {
                self.name.propagate_pending(self.propagation, group, entry.id.to_text().as_ref(), pending);
            }
            served += 1;
        }
        self.name.propagate_position(self.propagation, group);
        self.reply.close_array(open, served);
        Some(Delivery::First)
    }
}
