//! Ids as arguments, entries as replies, and the requests that propagate deliveries to consumers.

use crate::commands::support::args;
use crate::commands::support::listpack_reply::write_entry;
use crate::engine::{Call, Propagation};
use crate::resp::{CommandError, Reply};
use crate::value::stream::{ConsumerId, Group, Log, PartialId, Pending, StreamEntry, StreamId};

const INVALID_ID: CommandError =
    CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// Parses an id whose sequence may be `*`: the server's choice.
pub fn partial_id(arg: &[u8]) -> Result<PartialId, CommandError> {
    PartialId::parse(arg).ok_or(INVALID_ID)
}

/// Parses an id; the sequence is 0 if not given.
pub fn id(arg: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse(arg, 0).ok_or(INVALID_ID)
}

/// Parses an id, or `-` for the least and `+` for the greatest.
pub fn id_or_edge(arg: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    match arg {
        b"-" => Ok(StreamId::ZERO),
        b"+" => Ok(StreamId::MAX),
        _ => StreamId::parse(arg, missing_seq).ok_or(INVALID_ID),
    }
}

/// Parses the start of a range; `(` excludes the id.
pub fn range_start(arg: &[u8]) -> Result<StreamId, CommandError> {
    const ERROR: CommandError = CommandError::text("ERR invalid start ID for the interval");
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => id(rest)?.next().ok_or(ERROR),
        _ => id_or_edge(arg, 0),
    }
}

/// Parses the end of a range; `(` excludes the id.
pub fn range_end(arg: &[u8]) -> Result<StreamId, CommandError> {
    const ERROR: CommandError = CommandError::text("ERR invalid end ID for the interval");
    match arg {
        [b'(', rest @ ..] if !rest.is_empty() => {
            StreamId::parse(rest, u64::MAX).ok_or(INVALID_ID)?.previous().ok_or(ERROR)
        }
        _ => id_or_edge(arg, u64::MAX),
    }
}

/// Parses a COUNT; a negative one is 0.
pub fn count(arg: &[u8]) -> Result<usize, CommandError> {
    args::integer(arg).map(|count| count.max(0) as usize)
}

/// The error of a subcommand about its arguments.
pub fn subcommand_syntax(call: &Call<'_>) -> CommandError {
    CommandError::wrong_subcommand(call.args.at(0), call.args.at(1))
}

/// The error about a missing key or group; `where_` ends the sentence.
pub fn no_key_or_group(key: &[u8], group: &[u8], where_: &str) -> CommandError {
    let parts = [b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'", where_.as_bytes()];
    CommandError::new(parts.concat())
}

/// The error about a missing group of an existing key.
pub fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let parts: [&[u8]; 5] = [b"NOGROUP No such consumer group '", group, b"' for key name '", key, b"'"];
    CommandError::new(parts.concat())
}

pub fn reply_id(reply: &mut Reply, id: StreamId) {
    reply.bulk(id.to_text().as_ref());
}

/// Writes an entry: its id, and its fields and values, alternating.
pub fn reply_entry(reply: &mut Reply, entry: &StreamEntry<'_>) {
    reply.array(2);
    reply_entry_parts(reply, entry);
}

/// Writes the id of an entry, and its fields and values.
pub fn reply_entry_parts(reply: &mut Reply, entry: &StreamEntry<'_>) {
    reply_id(reply, entry.id);
    reply.array(entry.field_count() * 2);
    for (field, value) in entry.fields() {
        write_entry(reply, field);
        write_entry(reply, value);
    }
}

/// Writes the entry `id`; returns whether it exists.
pub fn reply_entry_of(reply: &mut Reply, log: &Log, id: StreamId) -> bool {
    let entry = log.get(id);
    if let Some(entry) = &entry {
        reply_entry(reply, entry);
    }
    entry.is_some()
}

/// Writes an array of entries.
pub fn reply_entries<'a>(reply: &mut Reply, entries: impl Iterator<Item = StreamEntry<'a>>) {
    let open = reply.open();
    let mut count = 0;
    for entry in entries {
        reply_entry(reply, &entry);
        count += 1;
    }
    reply.close_array(open, count);
}

/// Refuses a consumer that would have to be created in a full group.
pub fn check_consumer(group: &Group, name: &[u8]) -> Result<(), CommandError> {
    if group.is_full() && group.find_consumer(name).is_none() {
        return Err(CommandError::VALUE_FULL);
    }
    Ok(())
}

/// The consumer of that name, seen now, which is created if it doesn't exist; true if it was. After [`check_consumer`].
pub fn consumer_of(group: &mut Group, name: &[u8], now_ms: i64) -> (ConsumerId, bool) {
    match group.find_consumer(name) {
        Some(id) => {
            if let Some(consumer) = group.consumer_mut(id) {
                consumer.seen_ms = now_ms;
            }
            (id, false)
        }
        None => (group.add_consumer(name, now_ms), true),
    }
}

/// Key and name of a group, for what is propagated about it.
#[derive(Clone, Copy)]
pub struct GroupName<'a> {
    pub key: &'a [u8],
    pub group: &'a [u8],
}

impl GroupName<'_> {
    /// Propagates that an entry is pending, as `pending` says. JUSTID spares the replica to look the entry up.
    pub fn propagate_pending(
        self,
        propagation: &mut Propagation,
        group: &Group,
        id: &[u8],
        pending: &Pending,
    ) {
        if !propagation.has_consumers() {
            return;
        }
        let consumer = group.consumer(pending.consumer).map_or(&b""[..], |consumer| consumer.name());
        let mut digits = (itoa::Buffer::new(), itoa::Buffer::new());
        let last = group.last_delivered().to_text();
        propagation.rewrite_as([
            b"XCLAIM".as_slice(),
            self.key,
            self.group,
            consumer,
            b"0",
            id,
            b"TIME",
            digits.0.format(pending.delivered_ms).as_bytes(),
            b"RETRYCOUNT",
            digits.1.format(pending.deliveries).as_bytes(),
            b"FORCE",
            b"JUSTID",
            b"LASTID",
            last.as_ref(),
        ]);
    }

    /// Propagates how far the group has read.
    pub fn propagate_position(self, propagation: &mut Propagation, group: &Group) {
        if !propagation.has_consumers() {
            return;
        }
        let read = group.entries_read().map_or(-1, |read| read as i64);
        let mut digits = itoa::Buffer::new();
        let last = group.last_delivered().to_text();
        let read = digits.format(read).as_bytes();
        propagation.rewrite_as([
            b"XGROUP".as_slice(),
            b"SETID",
            self.key,
            self.group,
            last.as_ref(),
            b"ENTRIESREAD",
            read,
        ]);
    }

    /// Propagates the creation of a consumer.
    pub fn propagate_consumer(self, propagation: &mut Propagation, consumer: &[u8]) {
        propagation.rewrite_as([b"XGROUP".as_slice(), b"CREATECONSUMER", self.key, self.group, consumer]);
    }
}
