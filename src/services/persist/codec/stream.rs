//! RDB encoding of streams: reads and writes entries, groups and consumers, a part at a time.
//!
//! ```text
//! stream     n, (master id as a string of 16 bytes, listpack) …, entries, last id
//!            from 19 on: first id, largest deleted id, entries ever added
//!            n, group …
//! group      name, last delivered id, from 19 on: entries read
//!            n, (id of 16 bytes, delivery ms, deliveries) …, n, consumer …
//! consumer   name, seen ms, from 21 on: active ms, n, id of 16 bytes …
//!            from 26 on, behind the groups: seconds and entries that identifiers of requests are kept for, n, producer …,
//!            identifiers ever added, ever seen again; producer: name, n, (identifier, id) …
//! id         two lengths, except where its 16 bytes are said to be there, which are big-endian
//! ```
//!
//! Every pending entry of a group belongs to one consumer. Entries read is -1 if the number is not known. The kind with identifiers of
//! requests (Redis 8.6: XADD with IDMP) is written only of a stream that has some, or another retention than the usual one.

use super::{Fault, RdbFormat, Reader, Writer, kind};
use crate::base::hash::KeyHasher;
use crate::structures::listpack::Listpack;
use crate::value::Limits;
use crate::value::stream::{ConsumerId, Group, Retention, Stream, StreamId, StreamPart};

const NOT_KNOWN: u64 = u64::MAX;
/// When a consumer that never got anything got something, ms.
const NEVER: i64 = -1;

const BAD_NODE: Fault = Fault::Corrupt("Stream listpack integrity check failed");

/// Writes a stream in the newest kind that the format has.
pub(super) fn encode_stream(stream: &Stream, format: RdbFormat, out: &mut Writer<'_>) {
    out.length(stream.log.node_count() as u64);
    stream.parts(|part| out.stream_part(part, format));
}

impl Writer<'_> {
    fn stream_id(&mut self, id: StreamId) {
        self.length(id.ms);
        self.length(id.seq);
    }

    /// A part of a stream. They are written in the order in which [`Stream::parts`] has them; the number of nodes comes first.
    pub fn stream_part(&mut self, part: StreamPart<'_>, format: RdbFormat) {
        match part {
            StreamPart::Node(master, listpack) => {
                self.string(&master.to_bytes());
                self.text(listpack.as_bytes());
            }
            StreamPart::Counters(counters, groups) => {
                self.length(counters.entries);
                self.stream_id(counters.last_id);
                self.stream_id(counters.first_id);
                self.stream_id(counters.max_deleted_id);
                self.length(counters.entries_added);
                self.length(groups as u64);
            }
            StreamPart::Group { name, last_delivered, entries_read, pending } => {
                self.string(name);
                self.stream_id(last_delivered);
                self.length(entries_read.unwrap_or(NOT_KNOWN));
                self.length(pending as u64);
            }
            StreamPart::Pending { id, delivered_ms, deliveries } => {
                self.raw(&id.to_bytes());
                self.ms(delivered_ms);
                self.length(deliveries);
            }
            StreamPart::Consumers(count) => self.length(count as u64),
            StreamPart::Consumer { name, seen_ms, active_ms, pending } => {
                self.string(name);
                self.ms(seen_ms);
                if format.has_active_times() {
                    self.ms(active_ms);
                }
                self.length(pending as u64);
            }
            StreamPart::Owned(ids) => ids.iter().for_each(|id| self.raw(&id.to_bytes())),
            _ if !format.has_idempotency() => {}
            StreamPart::Retention(retention, producers) => {
                self.length(u64::from(retention.seconds));
                self.length(u64::from(retention.identifiers));
                self.length(producers as u64);
            }
            StreamPart::Producer { name, identifiers } => {
                self.string(name);
                self.length(identifiers as u64);
            }
            StreamPart::Identifier(identifier, id) => {
                self.string(identifier);
                self.stream_id(id);
            }
            StreamPart::Requests { added, duplicates } => {
                self.length(added);
                self.length(duplicates);
            }
        }
    }
}

/// A stream of any of its kinds that is read part by part.
#[derive(Debug)]
pub(super) struct StreamDecoder {
    kind: u8,
    stream: Stream,
    step: Step,
    /// Groups that are still to be read, the open one not counted.
    groups: u64,
    open: Option<OpenGroup>,
    /// Producers that are still to be read, and identifiers of the one that is being read.
    producers: u64,
    producer: Vec<u8>,
    identifiers: u64,
    hasher: KeyHasher,
}

/// What comes next behind the nodes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Counters,
    Group,
    Pending,
    Consumer,
    Owned,
    Producers,
    Producer,
    End,
}

#[derive(Debug)]
struct OpenGroup {
    name: Vec<u8>,
    group: Group,
    pending: u64,
    consumers: u64,
    /// The consumer whose ids are being read, and how many are left.
    consumer: Option<ConsumerId>,
    owned: u64,
}

fn read_id(input: &mut Reader<'_>) -> Result<StreamId, Fault> {
    Ok(StreamId::new(input.length()?, input.length()?))
}

fn corrupt<E>(rule: &'static str) -> impl FnOnce(E) -> Fault {
    move |_| Fault::Corrupt(rule)
}

impl StreamDecoder {
    pub fn new(kind: u8, limits: &Limits) -> Self {
        let mut stream = Stream::new();
        stream.set_default_retention(limits.stream_retention());
        let (producer, hasher) = (Vec::new(), limits.hasher);
        let step = Step::Counters;
        StreamDecoder {
            kind,
            stream,
            step,
            groups: 0,
            open: None,
            producers: 0,
            producer,
            identifiers: 0,
            hasher,
        }
    }

    /// Reads a node.
    pub fn read_node(&mut self, input: &mut Reader<'_>) -> Result<(), Fault> {
        let master: [u8; 16] = (*input.string()?).try_into().map_err(|_| BAD_NODE)?;
        let listpack = Listpack::from_bytes(&input.string()?).map_err(|_| BAD_NODE)?;
        self.stream.log.load_node(StreamId::from_bytes(master), listpack).map_err(|_| BAD_NODE)
    }

    /// Reads what follows the nodes. If bytes are missing, `input` is at the first part that is not read.
    pub fn advance(&mut self, input: &mut Reader<'_>) -> Result<(), Fault> {
        while !matches!(self.step, Step::End) {
            let before = input.clone();
            match self.take_step(input) {
                Ok(step) => self.step = step,
                Err(fault) => {
                    if fault == Fault::Short {
                        input.rewind(before);
                    }
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// The stream, all parts of which are read.
    pub fn finish(self) -> Stream {
        self.stream
    }

    /// Reads one part, after the last of whose bytes nothing fails; the next one.
    fn take_step(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        match (self.step, &mut self.open) {
            (Step::Counters, _) => self.read_counters(input),
            (Step::Group, _) if self.groups == 0 => {
                Ok(if self.kind >= kind::STREAM_4 { Step::Producers } else { Step::End })
            }
            (Step::Group, _) => self.read_group(input),
            (Step::Pending, Some(open)) => open.read_pending(input),
            (Step::Consumer, Some(open)) if open.consumers > 0 => open.read_consumer(self.kind, input),
            (Step::Consumer, Some(_)) => self.close_group(),
            (Step::Owned, Some(open)) => open.read_owned(input),
            (Step::Producers, _) => self.read_retention(input),
            (Step::Producer, _) => self.read_producer(input),
            (Step::Pending | Step::Consumer | Step::Owned, None) | (Step::End, _) => Ok(Step::End),
        }
    }

    fn read_counters(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        let log = &mut self.stream.log;
        let entries = input.length()?;
        let last = read_id(input)?;
        let (mut deleted, mut added) = (StreamId::ZERO, entries);
        if self.kind >= kind::STREAM_2 {
            // The first id is where the first entry is.
            read_id(input)?;
            deleted = read_id(input)?;
            added = input.length()?;
        }
        if entries != log.len() as u64 {
            return Err(Fault::Corrupt("Stream length inconsistent with its nodes"));
        }
        self.groups = input.length()?;
        // Not below what the nodes end with, deleted or not: what is appended must be above that.
        log.set_ids(last.max(log.last_id()), Some(added), Some(deleted));
        Ok(Step::Group)
    }

    fn read_group(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        let name = input.string()?.into_owned();
        let last_delivered = read_id(input)?;
        let entries_read = if self.kind >= kind::STREAM_2 {
            Some(input.length()?).filter(|read| i64::try_from(*read).is_ok())
        } else {
            self.stream.log.entries_up_to(last_delivered)
        };
        let pending = input.length()?;
        let group = Group::new(last_delivered, entries_read);
        self.open = Some(OpenGroup { name, group, pending, consumers: 0, consumer: None, owned: 0 });
        self.groups -= 1;
        Ok(Step::Pending)
    }

    fn close_group(&mut self) -> Result<Step, Fault> {
        if let Some(open) = self.open.take() {
            open.group.finish_loading().map_err(corrupt("Stream CG PEL entry without consumer"))?;
            let created = self.stream.groups.create(&open.name, open.group);
            created.ok_or(Fault::Corrupt("Duplicated consumer group name"))?;
        }
        Ok(Step::Group)
    }

    fn read_retention(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        let within = |number: u64, most: u32| u32::try_from(number).ok().filter(|n| (1..=most).contains(n));
        let seconds = within(input.length()?, Retention::MAX_SECONDS);
        let seconds = seconds.ok_or(Fault::Corrupt("Stream IDMP duration out of range"))?;
        let identifiers = within(input.length()?, Retention::MAX_IDENTIFIERS);
        let identifiers = identifiers.ok_or(Fault::Corrupt("Stream IDMP max entries out of range"))?;
        self.producers = input.length()?;
        self.stream.set_default_retention(Retention { seconds, identifiers });
        Ok(Step::Producer)
    }

    /// Reads the head of a producer, one of its identifiers, or what follows the last producer.
    fn read_producer(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        if self.identifiers > 0 {
            let (identifier, id) = (input.string()?, read_id(input)?);
            let (retention, hasher) = (self.stream.retention(), self.hasher);
            let requests = self.stream.requests_mut();
            requests.load_record(&self.producer, &identifier, id, retention, &hasher);
            self.identifiers -= 1;
        } else if self.producers > 0 {
            let name = input.string()?;
            self.identifiers = input.length()?;
            let loaded = self.stream.requests_mut().load_producer(&name);
            loaded.map_err(corrupt("Duplicated stream producer"))?;
            self.producer = name.into_owned();
            self.producers -= 1;
        } else {
            let (added, duplicates) = (input.length()?, input.length()?);
            if added > 0 || duplicates > 0 || self.stream.requests().is_some() {
                self.stream.requests_mut().finish_loading(added, duplicates);
            }
            return Ok(Step::End);
        }
        Ok(Step::Producer)
    }
}

impl OpenGroup {
    fn read_pending(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        if self.pending == 0 {
            self.consumers = input.length()?;
            return Ok(Step::Consumer);
        }
        let id = StreamId::from_bytes(input.array()?);
        let (delivered_ms, deliveries) = (input.ms()?, input.length()?);
        let loaded = self.group.load_pending(id, delivered_ms, deliveries);
        loaded.map_err(corrupt("Duplicated global PEL entry"))?;
        self.pending -= 1;
        Ok(Step::Pending)
    }

    fn read_consumer(&mut self, kind: u8, input: &mut Reader<'_>) -> Result<Step, Fault> {
        let name = input.string()?;
        let seen_ms = input.ms()?;
        let active_ms = if kind >= kind::STREAM_3 { input.ms()? } else { seen_ms };
        self.owned = input.length()?;
        if self.group.is_full() {
            return Err(Fault::Corrupt("Too many consumers of a stream's group"));
        }
        let id = self.group.create_consumer(&name, seen_ms);
        let id = id.ok_or(Fault::Corrupt("Duplicate stream consumer detected"))?;
        if let Some(consumer) = self.group.consumer_mut(id) {
            consumer.active_ms = active_ms.max(NEVER);
        }
        self.consumer = Some(id);
        self.consumers -= 1;
        Ok(Step::Owned)
    }

    fn read_owned(&mut self, input: &mut Reader<'_>) -> Result<Step, Fault> {
        let Some(consumer) = self.consumer.filter(|_| self.owned > 0) else { return Ok(Step::Consumer) };
        let owned = StreamId::from_bytes(input.array()?);
        match self.group.pending(owned) {
            None => return Err(Fault::Corrupt("Consumer entry not found in group global PEL")),
            Some(entry) if entry.consumer == consumer => {
                return Err(Fault::Corrupt("Duplicated consumer PEL entry loading a stream consumer group"));
            }
            Some(_) => {}
        }
        let loaded = self.group.load_owner(owned, consumer);
        loaded.map_err(corrupt("Stream consumer PEL entry already has a consumer assigned"))?;
        self.owned -= 1;
        Ok(Step::Owned)
    }
}
