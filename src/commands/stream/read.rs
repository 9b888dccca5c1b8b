//! XREAD and XREADGROUP: entries after an id, by any client or by the consumers of a group, blocking or not.

use std::borrow::Cow;

use crate::base::number;
use crate::commands::stream::support::{
    self as parts, GroupName, check_consumer, consumer_of, reply_entries, reply_entry, reply_entry_of,
    reply_entry_parts, reply_id,
};
use crate::commands::support::args::{self, is};
use crate::commands::support::options::OptionReader;
use crate::engine::{Awaited, Call, Done, Outcome, Propagation, TimeoutReply, Wait};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, OpenAggregate, OwnedArgs, Reply};
use crate::value::stream::{self, ConsumerId, Log, MOST_GONE, NextIdle, Stream, StreamEntry, StreamId};

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
    /// CLAIM: pending entries that have been idle for so long, ms, are read as well.
    claim: Option<i64>,
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
            claim: None,
            keys_at: 0,
            streams: 0,
        };
        let mut options = OptionReader::new(args, 1);
        while let Some(word) = options.next() {
            let more = options.remaining();
            if more > 0 && is(word, "CLAIM") {
                check_grouped(grouped, "CLAIM")?;
                reading.claim = Some(min_idle(options.value()?)?);
            } else if is(word, "BLOCK") {
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

    /// Without entries: blocks, also until `retry_ms`, or replies null.
    fn wait(&self, reply: &mut Reply, seen: &[StreamId], retry_ms: Option<u64>) -> Outcome {
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
            retry_ms,
            on_timeout: TimeoutReply::NullArray,
            resolved,
            nanos: 0,
        })))
    }
}

fn min_idle(arg: &[u8]) -> Result<i64, CommandError> {
    let idle = number::parse_i64(arg);
    match idle.ok_or(CommandError::text("ERR min-idle-time is not an integer or out of range"))? {
        ..0 => Err(CommandError::text("ERR min-idle-time must be a positive integer")),
        idle => Ok(idle),
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
        return reading.wait(call.reply, &seen, None);
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
    let mut claim = reading.claim;
    for (index, since) in wanted.iter().enumerate() {
        // As in Redis, history ends the claims, also those of the streams that follow.
        if matches!(since, Since::History(_)) {
            claim = None;
        }
        served += usize::from(read_one(call, &reading, reading.key(index), *since, claim)?);
    }
    if served == 0 {
        call.reply.rollback(open);
        let retry_ms = match (reading.block, claim) {
            (Some(_), Some(min_idle)) => Some(next_claim(call, &reading, min_idle)?),
            _ => None,
        };
        return reading.wait(call.reply, &[], retry_ms);
    }
    close_streams(call.reply, open, served);
    Ok(Done::Replied)
}

/// When an entry that is pending now, or will be, can have been idle for so long, Unix ms.
fn next_claim(call: &mut Call<'_>, reading: &Reading<'_>, min_idle: i64) -> Result<u64, CommandError> {
    let (group, now) = (reading.group.unwrap_or_default(), call.now() as i64);
    // What is delivered from now on.
    let mut next = now.saturating_add(min_idle);
    for index in 0..reading.streams {
        let Some(mut edit) = call.db.edit::<Stream>(reading.key(index))? else { continue };
        let Stream { log, groups, .. } = edit.get();
        match groups.get_mut(group).map_or(NextIdle::Never, |group| group.next_idle(log)) {
            NextIdle::Delivered(delivered_ms) => next = next.min(delivered_ms.saturating_add(min_idle)),
            NextIdle::Unknown => next = now,
            NextIdle::Never => {}
        }
        edit.finish_metadata(0, &[]);
    }
    // Many clients that wait for entries idle for no time at all must not keep the loop busy.
    const SOONEST_MS: i64 = 10;
    Ok(next.max(now.saturating_add(SOONEST_MS)) as u64)
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
    claim: Option<i64>,
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
        let mut serving = Serving {
            reply: call.reply,
            propagation: call.propagation,
            name,
            reading,
            claim,
            log,
            consumer,
            now,
        };
        let delivered = match since {
            Since::History(start) => serving.history(group, start),
            Since::New => serving.news(group),
        };
        served = delivered.is_some();
        let is_changed = matches!(delivered, Some(Delivery::First | Delivery::Claimed));
        // The XCLAIMs of what was delivered make the consumer; without any its creation is propagated.
        if is_new && !reading.noack && !is_changed {
            name.propagate_consumer(call.propagation, reading.consumer);
        }
        changes = usize::from(is_new) + usize::from(is_changed);
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
    /// What was pending with any consumer.
    Claimed,
}

/// Serving one stream to a consumer of a group.
struct Serving<'c> {
    reply: &'c mut Reply,
    propagation: &'c mut Propagation,
    name: GroupName<'c>,
    reading: &'c Reading<'c>,
    /// See [`Reading::claim`].
    claim: Option<i64>,
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

    /// Writes and gives to the consumer pending entries that have been idle for `min_idle_ms`, longest first; how many.
    fn claims(&mut self, group: &mut stream::Group, min_idle_ms: i64) -> usize {
        let (mut served, mut gone, mut after) = (0, 0, None);
        let mut until_ms = self.now.saturating_sub(min_idle_ms);
        while served < self.reading.count && gone < MOST_GONE {
            let most = self.reading.count - served;
            let idle = group.idle(after, until_ms, most);
            for (delivered_ms, id) in &idle {
                let Some(entry) = self.log.get(*id) else {
                    group.not_idle((*delivered_ms, *id));
                    gone += 1;
                    continue;
                };
                let Some(before) = group.take_idle(*id, self.consumer, self.now) else { continue };
                let idle_ms = self.now.saturating_sub(*delivered_ms).max(0);
                reply_claimed_entry(self.reply, &entry, idle_ms, before.deliveries);
                if self.propagation.has_consumers()
                    && let Some(pending) = group.pending(*id)
                {
                    self.name.propagate_pending(self.propagation, group, id.to_text().as_ref(), pending);
                }
                served += 1;
            }
            if idle.len() < most {
                break;
            }
            after = idle.last().copied();
            // What has been claimed was delivered now, and is not found again.
            until_ms = until_ms.min(self.now - 1);
        }
        served
    }

    /// Writes and delivers what is new, behind what is claimed, if there is any of it.
    fn news(&mut self, group: &mut stream::Group) -> Option<Delivery> {
        let Some(min_idle_ms) = self.claim else { return self.new_entries(group) };
        let open_key = self.reply.open();
        reply_key(self.reply, self.name.key);
        let open = self.reply.open();
        let claimed = self.claims(group, min_idle_ms);
        let new = self.deliver_new(group, self.reading.count - claimed);
        if claimed + new == 0 {
            self.reply.rollback(open_key);
            return None;
        }
        self.reply.close_array(open, claimed + new);
        Some(if claimed > 0 { Delivery::Claimed } else { Delivery::First })
    }

    /// Writes and delivers the entries not yet delivered to the group, if there are any.
    fn new_entries(&mut self, group: &mut stream::Group) -> Option<Delivery> {
        let start = group.last_delivered().next()?;
        self.log.range(start, StreamId::MAX).next()?;
        reply_key(self.reply, self.name.key);
        let open = self.reply.open();
        let new = self.deliver_new(group, self.reading.count);
        self.reply.close_array(open, new);
        Some(Delivery::First)
    }

    /// Writes and delivers up to `most` entries not yet delivered to the group; how many.
    fn deliver_new(&mut self, group: &mut stream::Group, most: usize) -> usize {
        let Some(start) = group.last_delivered().next() else { return 0 };
        let mut delivered = 0;
        for entry in self.log.range(start, StreamId::MAX).take(most) {
            match self.claim {
                None => reply_entry(self.reply, &entry),
                Some(_) => reply_claimed_entry(self.reply, &entry, 0, 0),
            }
            group.deliver(self.log, entry.id, self.consumer, self.now, self.reading.noack);
            if !self.reading.noack
                && self.propagation.has_consumers()
                && let Some(pending) = group.pending(entry.id)
            {
                self.name.propagate_pending(self.propagation, group, entry.id.to_text().as_ref(), pending);
            }
            delivered += 1;
        }
        if delivered > 0 {
            self.name.propagate_position(self.propagation, group);
        }
        delivered
    }
}

/// Writes an entry with the time for which it was pending and how often it had been delivered, both 0 if it is new.
fn reply_claimed_entry(reply: &mut Reply, entry: &StreamEntry<'_>, idle_ms: i64, deliveries: u64) {
    reply.array(4);
    reply_entry_parts(reply, entry);
    reply.integer(idle_ms);
    reply.integer(deliveries as i64);
}
