//! Encoder of AOF bases that are commands (`aof-use-rdb-preamble no`, `rewriteAppendOnlyFile`): turns the bytes of an RDB file into
//! the commands that make its data.
//!
//! ```text
//! snapshot ─▶ bytes of an RDB file, in pieces ─▶ CommandEncoder ─▶ commands, appended to the file
//!
//! database   SELECT               list    RPUSH       hash     HMSET, with deadlines of fields HMSET and HPEXPIREAT
//! function   FUNCTION LOAD        set     SADD        stream   XADD …, XSETID, and per group XGROUP CREATE,
//! deadline   PEXPIREAT            zset    ZADD                 XCLAIM of each pending entry, XGROUP CREATECONSUMER;
//! string     SET                                               XCFGSET, XIDMPRECORD
//!                                                     vector set  RESTORE
//! ```
//!
//! The event loop hands over a snapshot in one form, so commands are made of it on the writer's thread. What comes element by
//! element leaves element by element, in commands of up to 64: a large collection is never held as a whole, but for a vector set, whose
//! graph no other command than RESTORE would make. Of a group's pending entries only when and how often they were delivered is held,
//! until their consumers come.
//!
//! Commands can't say, as in Redis: when keys and consumers were last used, pending entries whose stream entry is gone (XCLAIM
//! drops them), and how many requests of producers were ever remembered or seen again.

use super::super::codec::{Fault, Reader, container, kind, payload};
use super::super::rdb::{opcode, skip_part};
use crate::resp::Reply;
use crate::structures::intset::Intset;
use crate::structures::listpack::{DecimalBuffer, Entry, Listpack};
use crate::value::stream::{Log, StreamId};

/// Elements of a collection in one command (`AOF_REWRITE_ITEMS_PER_CMD`).
const ITEMS: u64 = 64;
/// Bytes of the magic and the version.
const MAGIC: u64 = 9;
/// How the number of entries that a group was given is written if it isn't known.
const NOT_KNOWN: i64 = -1;

const BAD_LISTPACK: Fault = Fault::Corrupt("Invalid listpack of a snapshot");
const BAD_LIST_NODE: Fault = Fault::Corrupt("Invalid list node of a snapshot");
const BAD_STREAM_NODE: Fault = Fault::Corrupt("Invalid stream node of a snapshot");
const BAD_PENDING: Fault = Fault::Corrupt("A consumer of a snapshot owns what isn't pending");

/// Commands of the same name that add elements to a key.
#[derive(Clone, Copy, Debug)]
struct Batches {
    name: &'static [u8],
    /// Words of an element.
    width: u64,
    /// Elements that are still to come, and how many of them belong to the command that was begun.
    left: u64,
    in_command: u64,
}

impl Batches {
    fn new(name: &'static [u8], width: u64, left: u64) -> Self {
        Batches { name, width, left, in_command: 0 }
    }

    /// The words of an element follow.
    fn begin_element(&mut self, key: &[u8], out: &mut Reply) {
        if self.in_command == 0 {
            self.in_command = self.left.min(ITEMS);
            out.array(2 + (self.in_command * self.width) as usize);
            out.bulk(self.name);
            out.bulk(key);
        }
        self.in_command = self.in_command.saturating_sub(1);
        self.left = self.left.saturating_sub(1);
    }
}

/// What an element looks like.
#[derive(Clone, Copy, Debug)]
enum Element {
    Member,
    Scored,
    Field,
    /// A field with a deadline above the least one, or without.
    FieldAbove(u64),
    ListNode,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Magic,
    Record,
    Elements(Element, Batches),
    /// So many nodes of a stream.
    Nodes(u64),
    Counters,
    /// Groups, of which so many are left, and what a group has: see [`OpenGroup`].
    Group,
    Pending,
    ConsumerCount,
    Consumer,
    Owned,
    /// Parts of a module's value.
    Module,
    /// What a stream remembers of requests: retention, so many producers, and counters.
    Retention,
    Producer(u64),
    /// So many identifiers of a producer, and producers behind it.
    Identifiers(u64, u64),
}

/// The group that is being read.
#[derive(Debug, Default)]
struct OpenGroup {
    name: Vec<u8>,
    /// Its pending entries by id: when and how often they were delivered.
    pending: Vec<(StreamId, i64, u64)>,
    pending_left: u64,
    consumers_left: u64,
    /// The consumer whose ids come.
    consumer: Vec<u8>,
    owned_left: u64,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct CommandEncoder {
    /// What is of no use before more comes.
    rest: Vec<u8>,
    step: Step,
    /// The database of the records that follow, and that of the last SELECT.
    db: u64,
    selected: Option<u64>,
    key: Vec<u8>,
    /// Of the key, Unix ms.
    deadline: Option<i64>,
    groups_left: u64,
    group: OpenGroup,
    /// The module's value so far, as DUMP gives it.
    payload: Vec<u8>,
    /// Of the stream that is being read: what it remembers of requests comes behind its groups.
    has_idempotency: bool,
    producer: Vec<u8>,
}

impl CommandEncoder {
    /// For a whole file from its first byte on.
    pub fn new() -> Self {
        CommandEncoder::default()
    }

    /// Appends the commands for the next bytes of the snapshot.
    pub fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut reply = Reply::new(std::mem::take(out), false);
        let result = if self.rest.is_empty() {
            let used = self.take_steps(bytes, &mut reply);
            used.map(|used| self.rest.extend_from_slice(&bytes[used..]))
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(bytes);
            let used = self.take_steps(&rest, &mut reply);
            used.map(|used| {
                rest.drain(..used);
                self.rest = rest;
            })
        };
        *out = reply.into_bytes();
        result
    }

    /// Whether the snapshot has ended between two records.
    pub fn is_complete(&self) -> bool {
        self.rest.is_empty() && matches!(self.step, Step::Record) && self.deadline.is_none()
    }

    /// How many bytes were used.
    fn take_steps(&mut self, bytes: &[u8], out: &mut Reply) -> Result<usize, Fault> {
        let mut input = Reader::new(bytes);
        while input.remaining() > 0 {
            let before = input.clone();
            match self.take_step(&mut input, out) {
                Ok(()) => self.pass_empty_steps(out),
                Err(Fault::Short) => {
                    input.rewind(before);
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(bytes.len() - input.remaining())
    }

    /// Reads a part. Nothing is written, and nothing changes, before all its bytes are there.
    fn take_step(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        match self.step {
            Step::Magic => {
                input.take(MAGIC)?;
                self.step = Step::Record;
                Ok(())
            }
            Step::Record => self.read_record(input, out),
            Step::Elements(element, batches) => self.read_element(element, batches, input, out),
            Step::Nodes(left) => {
                self.read_stream_node(input, out)?;
                self.step = Step::Nodes(left - 1);
                Ok(())
            }
            Step::Counters => self.read_counters(input, out),
            Step::Group => self.read_group(input, out),
            Step::Pending => self.read_pending(input),
            Step::ConsumerCount => {
                self.group.consumers_left = input.length()?;
                self.step = Step::Consumer;
                Ok(())
            }
            Step::Consumer => self.read_consumer(input, out),
            Step::Owned => self.read_owned(input, out),
            Step::Module => self.read_module_part(input, out),
            Step::Retention => self.read_retention(input, out),
            Step::Producer(left) => self.read_producer(left, input, out),
            Step::Identifiers(left, producers) => self.read_identifier(left, producers, input, out),
        }
    }

    /// Goes over to the next step that reads something.
    fn pass_empty_steps(&mut self, out: &mut Reply) {
        loop {
            self.step = match self.step {
                Step::Elements(_, batches) if batches.left == 0 => self.end_key(out),
                Step::Nodes(0) => Step::Counters,
                Step::Group if self.groups_left == 0 && self.has_idempotency => Step::Retention,
                Step::Group if self.groups_left == 0 => self.end_key(out),
                Step::Identifiers(0, producers) => Step::Producer(producers),
                Step::Pending if self.group.pending_left == 0 => Step::ConsumerCount,
                Step::Consumer if self.group.consumers_left == 0 => Step::Group,
                Step::Owned if self.group.owned_left == 0 => Step::Consumer,
                _ => return,
            };
        }
    }

    /// The value is complete.
    fn end_key(&mut self, out: &mut Reply) -> Step {
        if let Some(deadline) = self.deadline.take() {
            out.array(3);
            out.bulk(b"PEXPIREAT");
            out.bulk(&self.key);
            out.bulk_integer(deadline);
        }
        // What a large group has held is given back.
        self.group = OpenGroup::default();
        Step::Record
    }
}

/// Records.
impl CommandEncoder {
    fn read_record(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        match input.byte()? {
            opcode::AUX => {
                input.skip_string()?;
                input.skip_string()
            }
            opcode::FUNCTION => {
                let source = input.string()?;
                out.array(3);
                out.bulk(b"FUNCTION");
                out.bulk(b"LOAD");
                out.bulk(&source);
                Ok(())
            }
            opcode::SELECT_DB => {
                self.db = input.length()?;
                Ok(())
            }
            opcode::RESIZE_DB => {
                input.length()?;
                input.length().map(drop)
            }
            opcode::DEADLINE_MS => {
                self.deadline = Some(input.ms()?);
                Ok(())
            }
            opcode::IDLE => input.length().map(drop),
            opcode::FREQUENCY => input.byte().map(drop),
            kind => self.read_value(kind, input, out),
        }
    }

    /// A key, and its value or what comes before its elements.
    fn read_value(&mut self, kind: u8, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let key = input.string()?;
        let elements = |element, name, width, left| Step::Elements(element, Batches::new(name, width, left));
        let step = match kind {
            kind::STRING | kind::SET_INTSET | kind::SET_LISTPACK | kind::ZSET_LISTPACK => None,
            kind::HASH_LISTPACK | kind::HASH_LISTPACK_EX => None,
            kind::LIST_QUICKLIST_2 => Some(elements(Element::ListNode, b"RPUSH", 1, input.length()?)),
            kind::SET => Some(elements(Element::Member, b"SADD", 1, input.length()?)),
            kind::ZSET_2 => Some(elements(Element::Scored, b"ZADD", 2, input.length()?)),
            kind::HASH => Some(elements(Element::Field, b"HMSET", 2, input.length()?)),
            kind::HASH_METADATA => {
                let least = input.ms()?.max(0) as u64;
                Some(elements(Element::FieldAbove(least), b"HMSET", 2, input.length()?))
            }
            kind::STREAM_3 | kind::STREAM_4 => {
                self.has_idempotency = kind == kind::STREAM_4;
                Some(Step::Nodes(input.length()?))
            }
            kind::MODULE_2 => {
                self.payload.clear();
                self.payload.push(kind);
                self.payload.extend_from_slice(read_raw(input, |input| input.length().map(drop))?.1);
                Some(Step::Module)
            }
            other => return Err(Fault::Unknown(other)),
        };
        let Some(step) = step else {
            let bytes = if kind == kind::HASH_LISTPACK_EX {
                // The least deadline stands before the listpack.
                input.ms()?;
                input.string()?
            } else {
                input.string()?
            };
            self.select(out);
            self.set_key(&key);
            self.write_whole(kind, &bytes, out)?;
            self.step = self.end_key(out);
            return Ok(());
        };
        self.select(out);
        self.set_key(&key);
        self.step = step;
        Ok(())
    }

    /// A part of a module's value, which is a command once all have come.
    fn read_module_part(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let (is_end, part) = read_raw(input, skip_part)?;
        self.payload.extend_from_slice(part);
        if is_end {
            payload::seal(&mut self.payload);
            out.array(4);
            out.bulk(b"RESTORE");
            out.bulk(&self.key);
            out.bulk(b"0");
            out.bulk(&std::mem::take(&mut self.payload));
            self.step = self.end_key(out);
        }
        Ok(())
    }

    fn set_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    fn select(&mut self, out: &mut Reply) {
        if self.selected != Some(self.db) {
            self.selected = Some(self.db);
            out.array(2);
            out.bulk(b"SELECT");
            out.bulk_integer(self.db as i64);
        }
    }

    /// A value that is one string.
    fn write_whole(&mut self, kind: u8, bytes: &[u8], out: &mut Reply) -> Result<(), Fault> {
        let key = &self.key;
        match kind {
            kind::STRING => {
                out.array(3);
                out.bulk(b"SET");
                out.bulk(key);
                out.bulk(bytes);
            }
            kind::SET_INTSET => {
                let ints = Intset::from_bytes(bytes).map_err(|_| BAD_LISTPACK)?;
                let mut batches = Batches::new(b"SADD", 1, ints.len() as u64);
                for member in ints.iter() {
                    batches.begin_element(key, out);
                    out.bulk_integer(member);
                }
            }
            kind::SET_LISTPACK => write_listpack(key, b"SADD", 1, &listpack(bytes)?, out),
            kind::HASH_LISTPACK => write_listpack(key, b"HMSET", 2, &listpack(bytes)?, out),
            kind::ZSET_LISTPACK => {
                let elements = listpack(bytes)?;
                let mut batches = Batches::new(b"ZADD", 2, elements.len() as u64 / 2);
                for (member, score) in elements.pairs() {
                    batches.begin_element(key, out);
                    bulk_entry(score, out);
                    bulk_entry(member, out);
                }
            }
            _ => {
                let triples = listpack(bytes)?;
                let mut entries = triples.iter();
                while let (Some(name), Some(value), Some(deadline)) =
                    (entries.next(), entries.next(), entries.next())
                {
                    let (mut digits, mut more_digits) = (DecimalBuffer::new(), DecimalBuffer::new());
                    let deadline = deadline.as_int().filter(|deadline| *deadline > 0);
                    write_field(key, name.bytes(&mut digits), value.bytes(&mut more_digits), deadline, out);
                }
            }
        }
        Ok(())
    }

    fn read_element(
        &mut self,
        element: Element,
        mut batches: Batches,
        input: &mut Reader<'_>,
        out: &mut Reply,
    ) -> Result<(), Fault> {
        let key = &self.key;
        match element {
            Element::Member => {
                let member = input.string()?;
                batches.begin_element(key, out);
                out.bulk(&member);
            }
            Element::Scored => {
                let (member, score) = (input.string()?, input.double()?);
                batches.begin_element(key, out);
                out.bulk_double(score);
                out.bulk(&member);
            }
            Element::Field => {
                let (name, value) = (input.string()?, input.string()?);
                batches.begin_element(key, out);
                out.bulk(&name);
                out.bulk(&value);
            }
            Element::FieldAbove(least) => {
                let (more, name, value) = (input.length()?, input.string()?, input.string()?);
                let deadline = more.checked_sub(1).map(|more| least.saturating_add(more) as i64);
                write_field(key, &name, &value, deadline, out);
                batches.left -= 1;
            }
            Element::ListNode => {
                match (input.length()?, input.string()?) {
                    (container::PLAIN, item) => {
                        Batches::new(batches.name, 1, 1).begin_element(key, out);
                        out.bulk(&item);
                    }
                    (container::PACKED, node) => write_listpack(key, batches.name, 1, &listpack(&node)?, out),
                    _ => return Err(BAD_LIST_NODE),
                }
                batches.left -= 1;
            }
        }
        self.step = Step::Elements(element, batches);
        Ok(())
    }
}

/// What `read` reads, and the bytes that it is.
fn read_raw<'a, T>(
    input: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<(T, &'a [u8]), Fault> {
    let mut before = input.clone();
    let value = read(input)?;
    let len = before.remaining() - input.remaining();
    Ok((value, before.take(len as u64)?))
}

/// Streams.
impl CommandEncoder {
    fn read_stream_node(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let master: [u8; 16] = (*input.string()?).try_into().map_err(|_| BAD_STREAM_NODE)?;
        let node = listpack(&input.string()?)?;
        let mut log = Log::default();
        log.load_node(StreamId::from_bytes(master), node).map_err(|_| BAD_STREAM_NODE)?;
        for entry in log.range(StreamId::ZERO, StreamId::MAX) {
            out.array(3 + 2 * entry.field_count());
            out.bulk(b"XADD");
            out.bulk(&self.key);
            bulk_id(entry.id, out);
            for (name, value) in entry.fields() {
                bulk_entry(name, out);
                bulk_entry(value, out);
            }
        }
        Ok(())
    }

    fn read_counters(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let (entries, last_id) = (input.length()?, read_id(input)?);
        read_id(input)?;
        let (max_deleted, added, groups) = (read_id(input)?, input.length()?, input.length()?);
        if entries == 0 {
            // An entry that goes at once makes an empty stream.
            out.array(7);
            out.bulk(b"XADD");
            out.bulk(&self.key);
            [&b"MAXLEN"[..], b"0", b"0-1", b"x", b"y"].into_iter().for_each(|word| out.bulk(word));
        }
        out.array(7);
        out.bulk(b"XSETID");
        out.bulk(&self.key);
        bulk_id(last_id, out);
        out.bulk(b"ENTRIESADDED");
        out.bulk_integer(added as i64);
        out.bulk(b"MAXDELETEDID");
        bulk_id(max_deleted, out);
        self.groups_left = groups;
        self.step = Step::Group;
        Ok(())
    }

    fn read_group(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let (name, last_delivered, entries_read) = (input.string()?, read_id(input)?, input.length()?);
        let pending_left = input.length()?;
        out.array(7);
        out.bulk(b"XGROUP");
        out.bulk(b"CREATE");
        out.bulk(&self.key);
        out.bulk(&name);
        bulk_id(last_delivered, out);
        out.bulk(b"ENTRIESREAD");
        out.bulk_integer(i64::try_from(entries_read).unwrap_or(NOT_KNOWN));
        self.groups_left -= 1;
        self.group = OpenGroup { name: name.into_owned(), pending_left, ..OpenGroup::default() };
        self.step = Step::Pending;
        Ok(())
    }

    fn read_pending(&mut self, input: &mut Reader<'_>) -> Result<(), Fault> {
        let (id, delivered_ms, deliveries) = (input.array()?, input.ms()?, input.length()?);
        self.group.pending.push((StreamId::from_bytes(id), delivered_ms, deliveries));
        self.group.pending_left -= 1;
        Ok(())
    }

    fn read_consumer(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let name = input.string()?;
        // When it was last seen and active can't be said.
        input.ms()?;
        input.ms()?;
        self.group.owned_left = input.length()?;
        self.group.consumer = name.into_owned();
        self.group.consumers_left -= 1;
        // XCLAIM makes the others.
        if self.group.owned_left == 0 {
            out.array(5);
            out.bulk(b"XGROUP");
            out.bulk(b"CREATECONSUMER");
            out.bulk(&self.key);
            out.bulk(&self.group.name);
            out.bulk(&self.group.consumer);
        }
        self.step = Step::Owned;
        Ok(())
    }

    fn read_owned(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let id = StreamId::from_bytes(input.array()?);
        let group = &mut self.group;
        let at = group.pending.binary_search_by_key(&id, |(id, ..)| *id).map_err(|_| BAD_PENDING)?;
        let (_, delivered_ms, deliveries) = group.pending[at];
        out.array(12);
        out.bulk(b"XCLAIM");
        out.bulk(&self.key);
        out.bulk(&group.name);
        out.bulk(&group.consumer);
        out.bulk(b"0");
        bulk_id(id, out);
        out.bulk(b"TIME");
        out.bulk_integer(delivered_ms);
        out.bulk(b"RETRYCOUNT");
        out.bulk_integer(deliveries as i64);
        out.bulk(b"JUSTID");
        out.bulk(b"FORCE");
        group.owned_left -= 1;
        Ok(())
    }

    fn read_retention(&mut self, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        let (seconds, identifiers, producers) = (input.length()?, input.length()?, input.length()?);
        out.array(6);
        out.bulk(b"XCFGSET");
        out.bulk(&self.key);
        out.bulk(b"IDMP-DURATION");
        out.bulk_integer(seconds as i64);
        out.bulk(b"IDMP-MAXSIZE");
        out.bulk_integer(identifiers as i64);
        self.step = Step::Producer(producers);
        Ok(())
    }

    /// The head of a producer, or what follows the last one.
    fn read_producer(&mut self, left: u64, input: &mut Reader<'_>, out: &mut Reply) -> Result<(), Fault> {
        if left == 0 {
            // Requests ever remembered, and ever seen again.
            read_id(input)?;
            self.step = self.end_key(out);
            return Ok(());
        }
        let (name, identifiers) = (input.string()?, input.length()?);
        self.producer = name.into_owned();
        self.step = Step::Identifiers(identifiers, left - 1);
        Ok(())
    }

    fn read_identifier(
        &mut self,
        left: u64,
        producers: u64,
        input: &mut Reader<'_>,
        out: &mut Reply,
    ) -> Result<(), Fault> {
        let (identifier, id) = (input.string()?, read_id(input)?);
        out.array(5);
        out.bulk(b"XIDMPRECORD");
        out.bulk(&self.key);
        out.bulk(&self.producer);
        out.bulk(&identifier);
        bulk_id(id, out);
        self.step = Step::Identifiers(left - 1, producers);
        Ok(())
    }
}

fn read_id(input: &mut Reader<'_>) -> Result<StreamId, Fault> {
    Ok(StreamId::new(input.length()?, input.length()?))
}

fn listpack(bytes: &[u8]) -> Result<Listpack, Fault> {
    Listpack::from_bytes(bytes).map_err(|_| BAD_LISTPACK)
}

fn bulk_entry(entry: Entry<'_>, out: &mut Reply) {
    match entry {
        Entry::Int(value) => out.bulk_integer(value),
        Entry::Str(bytes) => out.bulk(bytes),
    }
}

fn bulk_id(id: StreamId, out: &mut Reply) {
    out.bulk(id.to_text().as_ref());
}

/// Elements of `width` entries each.
fn write_listpack(key: &[u8], name: &'static [u8], width: usize, elements: &Listpack, out: &mut Reply) {
    let mut batches = Batches::new(name, width as u64, (elements.len() / width) as u64);
    for (number, entry) in elements.iter().enumerate() {
        if number % width == 0 {
            batches.begin_element(key, out);
        }
        bulk_entry(entry, out);
    }
}

/// A field of a hash some of whose fields have deadlines, Unix ms.
fn write_field(key: &[u8], name: &[u8], value: &[u8], deadline: Option<i64>, out: &mut Reply) {
    out.array(4);
    out.bulk(b"HMSET");
    out.bulk(key);
    out.bulk(name);
    out.bulk(value);
    if let Some(deadline) = deadline {
        out.array(6);
        out.bulk(b"HPEXPIREAT");
        out.bulk(key);
        out.bulk_integer(deadline);
        out.bulk(b"FIELDS");
        out.bulk(b"1");
        out.bulk(name);
    }
}
