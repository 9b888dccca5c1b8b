//! DUMP payloads: a serialized value, and a footer of version and checksum.

use super::{
    Family, Fault, REDIS_VERSION_MAX, RdbFormat, Reader, VALKEY_VERSION, Writer, decode, encode, kind_of,
};
use crate::base::crc::crc64;
use crate::structures::table::{EntryValue, NewValue};
use crate::value::{Limits, Value};

/// Payloads of DUMP are Redis's.
const FORMAT: RdbFormat = RdbFormat::REDIS;
/// Those that Redis before 8.6 can't read.
const NEW_FORMAT: RdbFormat = RdbFormat::REDIS_8_6;
const CHECKSUM: usize = 8;
const FOOTER: usize = 2 + CHECKSUM;

/// The error of an invalid payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The version is unknown, or the checksum is wrong.
    Footer,
    /// The footer is valid, the value is not.
    Value(Fault),
}

/// Appends the footer to what is in `out`.
pub fn seal(out: &mut Vec<u8>) {
    seal_as(out, FORMAT);
}

fn seal_as(out: &mut Vec<u8>, format: RdbFormat) {
    out.extend_from_slice(&format.version.to_le_bytes());
    let checksum = crc64(0, out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Checks and removes the footer; returns the version and the bytes before it. `any_version` accepts unknown
/// versions, `skip_checksum` skips the checksum.
pub fn open(payload: &[u8], any_version: bool, skip_checksum: bool) -> Option<(u16, &[u8])> {
    let at = payload.len().checked_sub(FOOTER)?;
    let (body, footer) = payload.split_at(at);
    let (version, checksum) = footer.split_first_chunk()?;
    let version = u16::from_le_bytes(*version);
    let known = version <= REDIS_VERSION_MAX || version == VALKEY_VERSION;
    // A source of slots (Redis 8.4) leaves the checksum out, which is zero then.
    let whole =
        skip_checksum || *checksum == [0; CHECKSUM] || checksum == crc64(0, &payload[..at + 2]).to_le_bytes();
    (whole && (known || any_version)).then_some((version, body))
}

/// Serializes a value as a payload of DUMP.
pub fn dump(value: EntryValue<'_, Value>, compress: bool) -> Vec<u8> {
    let format = if has_idempotency(&value) { NEW_FORMAT } else { FORMAT };
    dump_as(value, format, compress)
}

fn has_idempotency(value: &EntryValue<'_, Value>) -> bool {
    matches!(value, EntryValue::Object(Value::Stream(stream)) if stream.has_idempotency())
}

fn dump_as(value: EntryValue<'_, Value>, format: RdbFormat, compress: bool) -> Vec<u8> {
    let mut out = vec![kind_of(&value, format)];
    encode(value, format, &mut Writer::new(&mut out, compress));
    seal_as(&mut out, format);
    out
}

/// Serializes a value for a server of any version from Redis 7.0 on: in the form that most can read, or, if that and others
/// were `refused`, in the next one. `None`: there is none.
///
/// A stream's oldest form lacks when its consumers were last active, only its newest has what it remembers of requests, and Redis and
/// Valkey don't read each other's deadlines of fields.
pub fn portable(value: EntryValue<'_, Value>, compress: bool, refused: usize) -> Option<Vec<u8>> {
    let oldest = RdbFormat { family: Family::Redis, version: 10 };
    let streams = [NEW_FORMAT, RdbFormat { version: 11, ..oldest }, oldest];
    let deadlines = [RdbFormat::REDIS, RdbFormat::VALKEY];
    let forms = match &value {
        value if has_idempotency(value) => streams.as_slice(),
        EntryValue::Object(Value::Stream(_)) => &streams[1..],
        EntryValue::Object(object) if object.next_field_deadline().is_some() => &deadlines,
        _ => &[oldest],
    };
    forms.get(refused).map(|format| dump_as(value, *format, compress))
}

/// Parses the value of a payload; see [`open`] for `any_version` and `skip_checksum`.
pub fn restore<'a>(
    payload: &'a [u8],
    any_version: bool,
    skip_checksum: bool,
    limits: &Limits,
) -> Result<NewValue<'a, Value>, Refusal> {
    let (version, body) = open(payload, any_version, skip_checksum).ok_or(Refusal::Footer)?;
    let mut input = Reader::new(body);
    let value = input.byte().and_then(|kind| decode(kind, version, &mut input, limits));
    match value {
        Ok(value) if input.remaining() == 0 => Ok(value),
        Ok(_) => Err(Refusal::Value(Fault::Corrupt("Bytes behind the value"))),
        Err(fault) => Err(Refusal::Value(fault)),
    }
}

/// Restores `data` as a payload, whatever its checksum, and does what a server would do with the value. Nothing
/// here may panic, and what a value is written as must be read back.
pub fn fuzz_restore(data: &[u8]) {
    let limits = Limits::default();
    let Ok(NewValue::Object(value)) = restore(data, true, true, &limits) else { return };
    let again = dump(EntryValue::Object(&value), data.len().is_multiple_of(2));
    let Ok(NewValue::Object(mut back)) = restore(&again, false, false, &limits) else {
        panic!("a value was written that can't be read: {}", again.escape_ascii());
    };
    assert_eq!(back.type_name(), value.type_name());
    assert_eq!(back.element_count(), value.element_count());
    assert_eq!(back.duplicate().encoding(), back.encoding());
    while !back.free_some(1) {}
}
