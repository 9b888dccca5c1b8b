//! RDB collections in parts: reads values that are written element by element, as far as the bytes go that are there.
//!
//! What has been read of a value is a [`PartialValue`]; an element of which bytes are missing is read again when there are more.

use super::compact::{listpack, ziplist};
use super::stream::StreamDecoder;
use super::vector_set::VectorSetDecoder;
use super::{Fault, MAX_FIELD_DEADLINE, Reader, VALKEY_VERSION, container, kind};
use crate::structures::listpack::DecimalBuffer;
use crate::structures::quicklist::Quicklist;
use crate::value::hash::Hash;
use crate::value::list::{End, List, node_limits};
use crate::value::set::Set;
use crate::value::zset::{Change, Zset};
use crate::value::{Limits, Value};

const DUPLICATE_MEMBER: Fault = Fault::Corrupt("Duplicate set members detected");
const DUPLICATE_FIELD: Fault = Fault::Corrupt("Duplicate hash fields detected");
const BAD_DEADLINE: Fault = Fault::Corrupt("Invalid expireAt time of a hash field");
const BAD_LIST: Fault = Fault::Corrupt("Quicklist integrity check failed");
const BAD_LIST_NODE: Fault = Fault::Corrupt("List node integrity check failed");

/// A collection of which some elements are read.
#[derive(Debug)]
pub struct PartialValue {
    /// Elements that are still to be read.
    left: u64,
    elements: Elements,
}

#[derive(Debug)]
enum Elements {
    List(List),
    Nodes { nodes: Quicklist, ziplists: bool },
    Set(Set),
    Zset { zset: Zset, text: bool },
    Hash { hash: Hash, deadlines: Deadlines },
    Stream(Box<StreamDecoder>),
    VectorSet(Box<VectorSetDecoder>),
}

impl PartialValue {
    /// Reads what comes before the elements; `None` of a kind that doesn't have elements one by one.
    pub fn begin(
        kind: u8,
        version: u16,
        input: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<Option<PartialValue>, Fault> {
        if !has_elements(kind, version) {
            return Ok(None);
        }
        if kind == kind::MODULE_2 {
            let (left, set) = VectorSetDecoder::begin(input)?;
            return Ok(Some(PartialValue { left, elements: Elements::VectorSet(Box::new(set)) }));
        }
        let deadlines = match kind {
            kind::HASH_22 if version >= VALKEY_VERSION => Deadlines::Behind,
            kind::HASH_22 => Deadlines::Absolute,
            kind::HASH_METADATA => Deadlines::Above(u64::try_from(input.ms()?).map_err(|_| BAD_DEADLINE)?),
            _ => Deadlines::None,
        };
        let left = input.length()?;
        let elements = match kind {
            kind::LIST => Elements::List(List::new()),
            kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
                Elements::Nodes { nodes: Quicklist::new(), ziplists: kind == kind::LIST_QUICKLIST }
            }
            kind::SET if left <= limits.set_max_intset_entries as u64 => Elements::Set(Set::new()),
            kind::SET => Elements::Set(Set::empty_table(limits)),
            // Read into the large form and compacted at the end: the order of the elements is not trusted.
            kind::ZSET | kind::ZSET_2 => {
                Elements::Zset { zset: Zset::empty_tree(limits), text: kind == kind::ZSET }
            }
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 | kind::STREAM_4 => {
                Elements::Stream(Box::new(StreamDecoder::new(kind, limits)))
            }
            _ => Elements::Hash { hash: empty_hash(left, deadlines, limits), deadlines },
        };
        Ok(Some(PartialValue { left, elements }))
    }

    /// Reads elements to the last one. If bytes are missing, `input` is at the first element that is not read.
    pub fn advance(&mut self, input: &mut Reader<'_>, limits: &Limits) -> Result<(), Fault> {
        while self.left > 0 {
            let before = input.clone();
            match self.elements.read(input, limits) {
                Ok(()) => self.left -= 1,
                Err(fault) => {
                    if fault == Fault::Short {
                        input.rewind(before);
                    }
                    return Err(fault);
                }
            }
        }
        match &mut self.elements {
            Elements::Stream(stream) => stream.advance(input),
            Elements::VectorSet(set) => set.advance(input),
            _ => Ok(()),
        }
    }

    /// The value, all of whose elements are read.
    pub fn finish(self, limits: &Limits) -> Result<Value, Fault> {
        let value = match self.elements {
            Elements::List(list) => Value::List(list),
            Elements::Nodes { nodes, .. } => Value::List(List::from_quicklist(nodes, limits)),
            Elements::Set(set) => Value::Set(set),
            Elements::Zset { mut zset, .. } => {
                zset.compact(limits);
                Value::Zset(zset)
            }
            Elements::Hash { hash, .. } => Value::Hash(hash),
            Elements::Stream(stream) => return Ok(Value::Stream(Box::new(stream.finish()))),
            Elements::VectorSet(set) => Value::VectorSet(Box::new(set.finish()?)),
        };
        if value.element_count() == 0 { Err(Fault::Empty) } else { Ok(value) }
    }
}

fn has_elements(kind: u8, version: u16) -> bool {
    match kind {
        kind::LIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 | kind::SET => true,
        kind::ZSET | kind::ZSET_2 | kind::HASH | kind::HASH_22 => true,
        kind::STREAM | kind::STREAM_2 | kind::STREAM_3 | kind::MODULE_2 => true,
        kind::HASH_METADATA => version < VALKEY_VERSION,
        kind::STREAM_4 => (13..VALKEY_VERSION).contains(&version),
        _ => false,
    }
}

fn empty_hash(count: u64, deadlines: Deadlines, limits: &Limits) -> Hash {
    if count > limits.hash_max_listpack_entries as u64 {
        return Hash::empty_table(limits);
    }
    let mut hash = Hash::new();
    if !matches!(deadlines, Deadlines::None) {
        hash.allow_deadlines();
    }
    hash
}

impl Elements {
    fn read(&mut self, input: &mut Reader<'_>, limits: &Limits) -> Result<(), Fault> {
        let mut digits = DecimalBuffer::new();
        match self {
            Elements::List(list) => list.push(End::Back, input.text()?.bytes(&mut digits), limits),
            Elements::Nodes { nodes, ziplists } => return read_node(nodes, *ziplists, input, limits),
            Elements::Set(set) => {
                if !set.insert(input.text()?.bytes(&mut digits), limits) {
                    return Err(DUPLICATE_MEMBER);
                }
            }
            Elements::Zset { zset, text } => {
                let member = input.text()?;
                let score = if *text { input.text_double()? } else { input.double()? };
                if score.is_nan() {
                    return Err(Fault::Corrupt("Zset with NAN score detected"));
                }
                if zset.insert(member.bytes(&mut digits), score, limits) != Change::Added {
                    return Err(Fault::Corrupt("Duplicate zset fields detected"));
                }
            }
            Elements::Hash { hash, deadlines } => {
                let in_front = deadlines.in_front(input)?;
                let (field, value) = (input.text()?, input.text()?);
                let deadline = deadlines.behind(input)?.or(in_front);
                let (field, mut more_digits) = (field.bytes(&mut digits), DecimalBuffer::new());
                if !hash.load(field, value.bytes(&mut more_digits), deadline, limits) {
                    return Err(DUPLICATE_FIELD);
                }
            }
            Elements::Stream(stream) => return stream.read_node(input),
            Elements::VectorSet(set) => return set.read_node(input),
        }
        Ok(())
    }
}

fn read_node(
    nodes: &mut Quicklist,
    ziplists: bool,
    input: &mut Reader<'_>,
    limits: &Limits,
) -> Result<(), Fault> {
    let node_limits = node_limits(limits);
    let container = if ziplists { container::PACKED } else { input.length()? };
    match container {
        container::PACKED if ziplists => nodes.push_listpack(ziplist(input, BAD_LIST_NODE)?, &node_limits),
        container::PACKED => nodes.push_listpack(listpack(input, BAD_LIST_NODE)?, &node_limits),
        container::PLAIN => {
            let item = input.string()?;
            if item.is_empty() {
                return Err(BAD_LIST);
            }
            nodes.push_plain(item.into_owned().into(), &node_limits);
        }
        _ => return Err(BAD_LIST),
    }
    Ok(())
}

/// The layout of fields' deadlines.
#[derive(Clone, Copy, Debug)]
enum Deadlines {
    None,
    /// In front of the field, a length; 0 is none.
    Absolute,
    /// In front of the field, relative to the least deadline of the hash, plus one; 0 is none.
    Above(u64),
    /// Behind the value, milliseconds; -1 is none.
    Behind,
}

impl Deadlines {
    fn in_front(self, input: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
        let base = match self {
            Deadlines::None | Deadlines::Behind => return Ok(None),
            Deadlines::Absolute => Some(0),
            Deadlines::Above(least) => least.checked_sub(1),
        };
        match (input.length()?, base) {
            (0, _) => Ok(None),
            (more, Some(base)) => checked_deadline(base.checked_add(more)).map(Some),
            (more, None) => checked_deadline(Some(more - 1)).map(Some),
        }
    }

    fn behind(self, input: &mut Reader<'_>) -> Result<Option<u64>, Fault> {
        match self {
            Deadlines::Behind => match input.ms()? {
                -1 => Ok(None),
                ms => checked_deadline(u64::try_from(ms).ok()).map(Some),
            },
            _ => Ok(None),
        }
    }
}

fn checked_deadline(ms: Option<u64>) -> Result<u64, Fault> {
    ms.filter(|ms| *ms <= MAX_FIELD_DEADLINE).ok_or(BAD_DEADLINE)
}
