//! RDB parser: the parts of a file, one after the other, from as many bytes as are there.
//!
//! A part of which bytes are missing is read again from its beginning when there are more; of a big collection, only the element.

use super::modules::{class_name, skip_part, type_name};
use super::{Family, RdbFormat, opcode};
use crate::base::crc::SLOTS;
use crate::base::ids::NODE_ID_LEN;
use crate::services::persist::codec::{
    Begun, Fault, PartialValue, REDIS_VERSION_MAX, Reader, VALKEY_VERSION, begin, is_known_type, kind, object,
};
use crate::structures::table::NewValue;
use crate::value::{Limits, Value};
use std::borrow::Cow;
use std::fmt;

/// Files have a checksum from this version on.
const CHECKSUM_VERSION: u16 = 5;
/// Redis's files have metadata of keys from this version on.
const METADATA_VERSION: u16 = 13;
/// A cluster has no more ranges of slots than slots.
const MAX_SLOT_RANGES: u64 = 16_384;

/// A key with what the file says of it.
#[derive(Debug)]
pub struct KeyRecord<'a> {
    /// The key.
    pub key: Cow<'a, [u8]>,
    /// The value.
    pub value: NewValue<'a, Value>,
    /// Unix milliseconds.
    pub deadline: Option<u64>,
    /// Seconds since it was last used.
    pub idle: Option<u64>,
    /// The logarithmic counter of an LFU policy.
    pub frequency: Option<u8>,
    /// How the value was written.
    pub kind: u8,
}

/// What a file says.
#[derive(Debug)]
pub enum Item<'a> {
    /// Nothing more with the bytes that are there.
    More,
    /// The format of the file.
    Format(RdbFormat),
    /// A fact about the file.
    Aux(Cow<'a, [u8]>, Cow<'a, [u8]>),
    /// The database of the keys that follow.
    SelectDb(u64),
    /// How many keys the database has.
    ResizeDb {
        /// Keys.
        keys: u64,
        /// Those with a deadline.
        deadlines: u64,
    },
    /// How many keys a slot has.
    SlotInfo {
        /// Slot.
        slot: u64,
        /// Keys.
        keys: u64,
        /// Those with a deadline.
        deadlines: u64,
    },
    /// Slots that the node was importing (Valkey): the name of the import, and ranges of slots with their ends.
    SlotImport { name: Cow<'a, [u8]>, ranges: Vec<(u16, u16)> },
    /// The source of a library of functions.
    Function(Cow<'a, [u8]>),
    /// A key with its value.
    Key(KeyRecord<'a>),
    /// A key whose collection has no elements: there is no such key. Old servers wrote some by mistake.
    Empty(Cow<'a, [u8]>),
    /// Data that has no place here and that was passed over.
    Skipped(Skipped),
    /// The end of the file.
    End(Checksum),
}

/// Data that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// Data of a module's type, beside the keys.
    ModuleAux(String),
    /// Metadata of this class, of the next key.
    KeyMetadata(String),
    /// The key's value, of a module's type; only in [`super::ReadOptions::check`].
    ModuleValue {
        /// The key.
        key: Vec<u8>,
        /// The type.
        module: String,
    },
}

/// What is known of a file's integrity at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It has the checksum that it should have.
    Matches,
    /// It has none.
    Absent,
    /// It was not asked for.
    NotVerified,
}

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Whether the checksum is verified (`rdbchecksum`).
    pub checksum: bool,
    /// Whether values of modules are passed over, because nothing is to be loaded.
    pub check: bool,
    /// Whether files of versions that are not known are tried, too (`rdb-version-check relaxed`).
    pub any_version: bool,
}

/// Why a file can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It doesn't begin as an RDB file.
    Signature,
    /// A version that is not known.
    Version(String),
    /// It ends too early.
    Truncated,
    /// A value breaks a rule.
    Value(Fault),
    /// No kind of value has this number, and no other part.
    Kind(u8),
    /// The same in a file of a version that is not known (`rdb-version-check relaxed`).
    ForeignKind(u8, u16),
    /// A value of a module's type.
    ModuleValue(String),
    /// Metadata of a class that mustn't be dropped.
    KeyMetadata(String),
    /// Functions as they were written before 7.0 was out.
    FunctionsEarly,
    /// The checksum in the file, and that of its bytes.
    Checksum(u64, u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Signature => f.write_str("Wrong signature trying to load DB from file"),
            Reason::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            Reason::Truncated => f.write_str("Unexpected EOF reading RDB file"),
            Reason::Value(fault) => fault.fmt(f),
            Reason::Kind(kind) => write!(f, "Invalid object type: {kind}"),
            Reason::ForeignKind(kind, version) => {
                write!(f, "Can't handle foreign type or opcode {kind} in RDB with version {version}")
            }
            Reason::ModuleValue(name) => {
                write!(f, "The RDB file contains module data I can't load: no matching module type '{name}'")
            }
            Reason::KeyMetadata(name) => {
                write!(
                    f,
                    "The RDB file contains key metadata I can't load: class '{name}' must not be ignored"
                )
            }
            Reason::FunctionsEarly => f.write_str("Pre-release function format not supported"),
            Reason::Checksum(expected, found) => {
                write!(f, "RDB CRC error: the file says {expected:x}, its bytes have {found:x}")
            }
        }
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        Reason::Value(fault)
    }
}

/// The outcome of a step.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// What comes next.
    Item(Item<'a>),
    /// Something that belongs to the next key.
    Attribute,
    /// The end, and the checksum that should be that of all before it.
    End(Option<[u8; 8]>),
}

/// What stands before a key.
#[derive(Debug, Default)]
struct Attributes {
    deadline: Option<u64>,
    idle: Option<u64>,
    frequency: Option<u8>,
}

impl Attributes {
    fn record<'a>(self, kind: u8, key: Cow<'a, [u8]>, value: NewValue<'a, Value>) -> KeyRecord<'a> {
        let Attributes { deadline, idle, frequency } = self;
        KeyRecord { key, value, deadline, idle, frequency, kind }
    }
}

/// A part that is read piece by piece.
#[derive(Debug)]
enum Open {
    Value { kind: u8, key: Vec<u8>, value: PartialValue },
    Module(Skipped),
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Parser {
    /// Whether values of modules are passed over.
    check: bool,
    /// Whether versions that are not known are accepted.
    any_version: bool,
    /// Not known before the first bytes.
    format: Option<RdbFormat>,
    attributes: Attributes,
    open: Option<Box<Open>>,
    /// Classes of the next key's metadata that are still to be read.
    classes: u64,
}

impl Parser {
    pub fn new(options: ReadOptions) -> Self {
        let ReadOptions { check, any_version, .. } = options;
        Parser { check, any_version, format: None, attributes: Attributes::default(), open: None, classes: 0 }
    }

    /// The key and the kind of value that are being read.
    pub fn open_key(&self) -> Option<(&[u8], u8)> {
        match self.open.as_deref() {
            Some(Open::Value { kind, key, .. }) => Some((key, *kind)),
            Some(Open::Module(Skipped::ModuleValue { key, .. })) => Some((key, kind::MODULE_2)),
            _ => None,
        }
    }

    /// Reads one part. If bytes are missing (`Short`), it has read what can be read, and is to be called again with what is left.
    #[inline]
    pub fn step<'a>(&mut self, input: &mut Reader<'a>, limits: &Limits) -> Result<Step<'a>, Reason> {
        let Some(format) = self.format.filter(|_| self.open.is_none() && self.classes == 0) else {
            return self.step_on(input, limits);
        };
        let before = input.clone();
        let step = self.part(format, input, limits);
        if let Err(Reason::Value(Fault::Short)) = step {
            // An open collection goes on where it ended.
            if self.open.is_none() {
                input.rewind(before);
            }
        }
        match step {
            Err(Reason::Kind(kind))
                if format.family == Family::Redis && format.version > REDIS_VERSION_MAX =>
            {
                Err(Reason::ForeignKind(kind, format.version))
            }
            step => step,
        }
    }

    /// Reads the magic, or goes on with a part that is open.
    fn step_on<'a>(&mut self, input: &mut Reader<'a>, limits: &Limits) -> Result<Step<'a>, Reason> {
        let before = input.clone();
        if let Some(open) = self.open.as_deref_mut() {
            match open {
                Open::Value { value, .. } => value.advance(input, limits)?,
                Open::Module(_) => skip_module(input)?,
            }
            return Ok(match self.open.take().map(|open| *open) {
                Some(Open::Value { kind, key, value }) => {
                    self.finish_value(kind, Cow::Owned(key), value, limits)?
                }
                Some(Open::Module(skipped)) => {
                    if matches!(skipped, Skipped::ModuleValue { .. }) {
                        self.attributes = Attributes::default();
                    }
                    Step::Item(Item::Skipped(skipped))
                }
                None => Step::Attribute,
            });
        }
        let step = if self.format.is_some() { self.class(input) } else { self.magic(input) };
        if let Err(Reason::Value(Fault::Short)) = step {
            input.rewind(before);
        }
        step
    }

    fn magic<'a>(&mut self, input: &mut Reader<'a>) -> Result<Step<'a>, Reason> {
        let magic: [u8; 9] = input.array()?;
        let (family, digits) = match &magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (Family::Redis, &digits[..]),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (Family::Valkey, &digits[..]),
            _ => return Err(Reason::Signature),
        };
        let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let known = version.filter(|version| match family {
            Family::Redis if self.any_version => (1..VALKEY_VERSION).contains(version),
            Family::Redis => (1..=REDIS_VERSION_MAX).contains(version),
            Family::Valkey if self.any_version => *version >= VALKEY_VERSION,
            Family::Valkey => *version == VALKEY_VERSION,
        });
        let Some(version) = known else {
            let digits = String::from_utf8_lossy(digits);
            return Err(Reason::Version(version.map_or(digits.into_owned(), |version| version.to_string())));
        };
        let format = RdbFormat { family, version };
        self.format = Some(format);
        Ok(Step::Item(Item::Format(format)))
    }

    #[inline]
    fn part<'a>(
        &mut self,
        format: RdbFormat,
        input: &mut Reader<'a>,
        limits: &Limits,
    ) -> Result<Step<'a>, Reason> {
        let kind = input.byte()?;
        if kind < opcode::KEY_METADATA {
            return self.key(kind, format, input, limits);
        }
        if kind < opcode::IDLE {
            return self.rare_part(kind, format, input);
        }
        match kind {
            opcode::IDLE => self.attributes.idle = Some(input.length()?),
            opcode::FREQUENCY => self.attributes.frequency = Some(input.byte()?),
            opcode::DEADLINE_MS => self.attributes.deadline = deadline(input.ms()?),
            opcode::DEADLINE_SECONDS => {
                let seconds = i64::from(i32::from_le_bytes(input.array()?));
                self.attributes.deadline = deadline(seconds * 1000);
            }
            opcode::AUX => {
                let name = input.string()?;
                return Ok(Step::Item(Item::Aux(name, input.string()?)));
            }
            opcode::RESIZE_DB => {
                let (keys, deadlines) = (input.length()?, input.length()?);
                return Ok(Step::Item(Item::ResizeDb { keys, deadlines }));
            }
            opcode::SELECT_DB => return Ok(Step::Item(Item::SelectDb(input.length()?))),
            _ if format.version < CHECKSUM_VERSION => return Ok(Step::End(None)),
            _ => return Ok(Step::End(Some(input.array()?))),
        }
        Ok(Step::Attribute)
    }

    #[inline]
    fn key<'a>(
        &mut self,
        kind: u8,
        format: RdbFormat,
        input: &mut Reader<'a>,
        limits: &Limits,
    ) -> Result<Step<'a>, Reason> {
        if kind == kind::MODULE_2 && !is_vector_set(input.clone())? {
            return self.module_value(input);
        }
        if kind > kind::STREAM_4 {
            return Err(Reason::Kind(kind));
        }
        let key = input.string()?;
        match begin(kind, format.version, input, limits) {
            Ok(Begun::Whole(value)) => {
                let attributes = std::mem::take(&mut self.attributes);
                Ok(Step::Item(Item::Key(attributes.record(kind, key, value))))
            }
            Ok(Begun::Part(mut value)) => match value.advance(input, limits) {
                Ok(()) => self.finish_value(kind, key, value, limits),
                Err(Fault::Short) => {
                    self.open = Some(Box::new(Open::Value { kind, key: key.into_owned(), value }));
                    Err(Fault::Short.into())
                }
                Err(fault) => Err(fault.into()),
            },
            Err(Fault::Empty) => Ok(self.empty(key)),
            Err(Fault::Unknown(kind)) => Err(Reason::Kind(kind)),
            Err(fault) => Err(fault.into()),
        }
    }

    fn finish_value<'a>(
        &mut self,
        kind: u8,
        key: Cow<'a, [u8]>,
        value: PartialValue,
        limits: &Limits,
    ) -> Result<Step<'a>, Reason> {
        match value.finish(limits) {
            Ok(value) => {
                let attributes = std::mem::take(&mut self.attributes);
                Ok(Step::Item(Item::Key(attributes.record(kind, key, object(value)))))
            }
            Err(Fault::Empty) => Ok(self.empty(key)),
            Err(fault) => Err(fault.into()),
        }
    }

    fn empty<'a>(&mut self, key: Cow<'a, [u8]>) -> Step<'a> {
        self.attributes = Attributes::default();
        Step::Item(Item::Empty(key))
    }

    fn module_value<'a>(&mut self, input: &mut Reader<'a>) -> Result<Step<'a>, Reason> {
        let key = input.string()?;
        let module = type_name(input.length()?);
        if !self.check {
            return Err(Reason::ModuleValue(module));
        }
        self.open_module(Skipped::ModuleValue { key: key.into_owned(), module })
    }

    fn open_module<'a>(&mut self, skipped: Skipped) -> Result<Step<'a>, Reason> {
        self.open = Some(Box::new(Open::Module(skipped)));
        Ok(Step::Attribute)
    }

    #[cold]
    fn rare_part<'a>(
        &mut self,
        kind: u8,
        format: RdbFormat,
        input: &mut Reader<'a>,
    ) -> Result<Step<'a>, Reason> {
        match kind {
            opcode::KEY_METADATA if format.version >= VALKEY_VERSION => {
                const INVALID: Fault = Fault::Corrupt("Invalid slot import range in RDB");
                const INVALID_NAME: Fault = Fault::Corrupt("Invalid slot import job name in RDB");
                let name = input.string()?;
                if name.len() != NODE_ID_LEN {
                    return Err(INVALID_NAME.into());
                }
                let count = input.length()?;
                if count > MAX_SLOT_RANGES {
                    return Err(INVALID.into());
                }
                let mut ranges = Vec::new();
                for _ in 0..count {
                    let mut slot = || -> Result<u16, Reason> {
                        let slot = u16::try_from(input.length()?).ok().filter(|slot| *slot < SLOTS);
                        Ok(slot.ok_or(INVALID)?)
                    };
                    ranges.push((slot()?, slot()?));
                }
                Ok(Step::Item(Item::SlotImport { name, ranges }))
            }
            opcode::KEY_METADATA if format.version >= METADATA_VERSION => {
                self.classes = input.length()?;
                Ok(Step::Attribute)
            }
            opcode::SLOT_INFO => {
                let (slot, keys, deadlines) = (input.length()?, input.length()?, input.length()?);
                Ok(Step::Item(Item::SlotInfo { slot, keys, deadlines }))
            }
            opcode::FUNCTION => Ok(Step::Item(Item::Function(input.string()?))),
            opcode::FUNCTION_EARLY => Err(Reason::FunctionsEarly),
            opcode::MODULE_AUX => {
                const UNSIGNED: u64 = 2;
                let module = type_name(input.length()?);
                if input.length()? != UNSIGNED {
                    return Err(Fault::Corrupt("bad when_opcode").into());
                }
                input.length()?;
                self.open_module(Skipped::ModuleAux(module))
            }
            other => Err(Reason::Kind(other)),
        }
    }

    /// Reads the head of a class of the next key's metadata.
    fn class<'a>(&mut self, input: &mut Reader<'a>) -> Result<Step<'a>, Reason> {
        let (name, may_be_dropped) = class_name(u32::from_le_bytes(input.array()?));
        if !may_be_dropped && !self.check {
            return Err(Reason::KeyMetadata(name));
        }
        self.classes -= 1;
        self.open_module(Skipped::KeyMetadata(name))
    }
}

/// The deadline that this number of milliseconds says; long ago if it is below 0, but none if it is -1.
fn deadline(ms: i64) -> Option<u64> {
    if ms == -1 { None } else { Some(u64::try_from(ms).unwrap_or(0)) }
}

/// Whether a key and a value of a module follow that can be read.
fn is_vector_set(mut input: Reader<'_>) -> Result<bool, Fault> {
    input.skip_string()?;
    input.length().map(is_known_type)
}

fn skip_module(input: &mut Reader<'_>) -> Result<(), Fault> {
    loop {
        let before = input.clone();
        match skip_part(input) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(fault) => {
                if fault == Fault::Short {
                    input.rewind(before);
                }
                return Err(fault);
            }
        }
    }
}
