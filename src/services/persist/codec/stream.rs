//! RDB encoding of streams: reads and writes entries, groups and consumers.
//!
//! ```text
//! stream     n, (master id as a string of 16 bytes, listpack) …, entries, last id
//!            from 19 on: first id, largest deleted id, entries ever added
//!            n, group …
//! group      name, last delivered id, from 19 on: entries read
//!            n, (id of 16 bytes, delivery ms, deliveries) …, n, consumer …
//! consumer   name, seen ms, from 21 on: active ms, n, id of 16 bytes …
//! id         two lengths, except where its 16 bytes are said to be there, which are big-endian
//! ```
//!
//! Every pending entry of a group belongs to one consumer. Entries read is -1 if the number is not known.

use super::{Fault, Reader, Writer, kind};
use crate::structures::listpack::Listpack;
use crate::value::stream::{Group, Stream, StreamId};

const NOT_KNOWN: u64 = u64::MAX;
/// When a consumer that never got anything got something, ms.
const NEVER: i64 = -1;

const BAD_NODE: Fault = Fault::Corrupt("Stream listpack integrity check failed");

fn put_id(out: &mut Writer<'_>, id: StreamId) {
    out.length(id.ms);
    out.length(id.seq);
}

fn read_id(input: &mut Reader<'_>) -> Result<StreamId, Fault> {
    Ok(StreamId::new(input.length()?, input.length()?))
}

/// Writes a stream in its newest kind.
pub(super) fn encode_stream(stream: &Stream, out: &mut Writer<'_>) {
    let log = &stream.log;
    out.length(log.node_count() as u64);
    for (master, listpack) in log.nodes() {
        out.string(&master.to_bytes());
        out.string(listpack.as_bytes());
    }
    out.length(log.len() as u64);
    put_id(out, log.last_id());
    put_id(out, log.first_id());
    put_id(out, log.max_deleted_id());
    out.length(log.entries_added());
    out.length(stream.groups.iter().len() as u64);
    for (name, group) in stream.groups.iter() {
        out.string(name);
        encode_group(group, out);
    }
}

fn encode_group(group: &Group, out: &mut Writer<'_>) {
    put_id(out, group.last_delivered());
    out.length(group.entries_read().unwrap_or(NOT_KNOWN));
    out.length(group.pending_count() as u64);
    for (id, pending) in group.pending_from(StreamId::ZERO) {
        out.raw(&id.to_bytes());
        out.ms(pending.delivered_ms);
        out.length(pending.deliveries);
    }
    out.length(group.consumer_count() as u64);
    for (_, consumer) in group.consumers() {
        out.string(consumer.name());
        out.ms(consumer.seen_ms);
        out.ms(consumer.active_ms);
        out.length(consumer.pending_count() as u64);
        consumer.pending_from(StreamId::ZERO).for_each(|id| out.raw(&id.to_bytes()));
    }
}

/// Reads a stream of any of its kinds.
pub(super) fn decode_stream(kind: u8, input: &mut Reader<'_>) -> Result<Stream, Fault> {
    let mut stream = Stream::new();
    let log = &mut stream.log;
    for _ in 0..input.length()? {
        let master: [u8; 16] = (*input.string()?).try_into().map_err(|_| BAD_NODE)?;
        let listpack = Listpack::from_bytes(&input.string()?).map_err(|_| BAD_NODE)?;
        log.load_node(StreamId::from_bytes(master), listpack).map_err(|_| BAD_NODE)?;
    }
    let entries = input.length()?;
    let last = read_id(input)?;
    let (mut deleted, mut added) = (StreamId::ZERO, entries);
    if kind >= kind::STREAM_2 {
        // The first id is where the first entry is.
        read_id(input)?;
        deleted = read_id(input)?;
        added = input.length()?;
    }
    if entries != log.len() as u64 {
        return Err(Fault::Corrupt("Stream length inconsistent with its nodes"));
    }
    // Not below what the nodes end with, deleted or not: what is appended must be above that.
    log.set_ids(last.max(log.last_id()), Some(added), Some(deleted));
    for _ in 0..input.length()? {
        let name = input.string()?;
        let group = decode_group(kind, input, &stream)?;
        stream.groups.create(&name, group).ok_or(Fault::Corrupt("Duplicated consumer group name"))?;
    }
    Ok(stream)
}

fn decode_group(kind: u8, input: &mut Reader<'_>, stream: &Stream) -> Result<Group, Fault> {
    let last_delivered = read_id(input)?;
    let entries_read = if kind >= kind::STREAM_2 {
        Some(input.length()?).filter(|read| i64::try_from(*read).is_ok())
    } else {
        stream.log.entries_up_to(last_delivered)
    };
    let mut group = Group::new(last_delivered, entries_read);
    for _ in 0..input.length()? {
        let id = StreamId::from_bytes(input.array()?);
        let delivered_ms = input.ms()?;
        let loaded = group.load_pending(id, delivered_ms, input.length()?);
        loaded.map_err(|_| Fault::Corrupt("Duplicated global PEL entry"))?;
    }
    for _ in 0..input.length()? {
        let name = input.string()?;
        let seen_ms = input.ms()?;
        let active_ms = if kind >= kind::STREAM_3 { input.ms()? } else { seen_ms };
        if group.is_full() {
            return Err(Fault::Corrupt("Too many consumers of a stream's group"));
        }
        let id = group.create_consumer(&name, seen_ms);
        let id = id.ok_or(Fault::Corrupt("Duplicate stream consumer detected"))?;
        if let Some(consumer) = group.consumer_mut(id) {
            consumer.active_ms = active_ms.max(NEVER);
        }
        for _ in 0..input.length()? {
            let owned = StreamId::from_bytes(input.array()?);
            if group.pending(owned).is_none() {
                return Err(Fault::Corrupt("Consumer entry not found in group global PEL"));
            }
            let loaded = group.load_owner(owned, id);
            loaded
                .map_err(|_| Fault::Corrupt("Stream consumer PEL entry already has a consumer assigned"))?;
        }
    }
    group.finish_loading().map_err(|_| Fault::Corrupt("Stream CG PEL entry without consumer"))?;
    Ok(group)
}
