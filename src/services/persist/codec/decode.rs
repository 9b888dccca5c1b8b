//! RDB value decoder (`rdbLoadObject`): reads values of every kind that Redis or Valkey ever wrote.
//!
//! A value gets the encoding that the present configuration asks for, not the one that it was written in. Compact
//! forms pass the constructors of their values, which check them to the last bit; what comes element by element is
//! added, and must be new.

use super::compact::compact;
use super::partial::PartialValue;
use super::{Fault, Reader, Text, kind};
use crate::base::number::{MAX_I64_TEXT, parse_i64};
use crate::structures::table::NewValue;
use crate::value::{Limits, Value};

/// Reads a value of this kind, as written by this version of the format.
pub fn decode<'a>(
    kind: u8,
    version: u16,
    input: &mut Reader<'a>,
    limits: &Limits,
) -> Result<NewValue<'a, Value>, Fault> {
    match begin(kind, version, input, limits)? {
        Begun::Whole(value) => Ok(value),
        Begun::Part(mut part) => {
            part.advance(input, limits)?;
            part.finish(limits).map(object)
        }
    }
}

/// A value whose reading has begun.
#[derive(Debug)]
pub enum Begun<'a> {
    /// All of it.
    Whole(NewValue<'a, Value>),
    /// What comes before its elements.
    Part(PartialValue),
}

/// Reads a value that is one string, or what comes before the elements of another.
#[inline]
pub fn begin<'a>(
    kind: u8,
    version: u16,
    input: &mut Reader<'a>,
    limits: &Limits,
) -> Result<Begun<'a>, Fault> {
    if kind == kind::STRING {
        return input.text().map(|text| Begun::Whole(string(text)));
    }
    if let Some(part) = PartialValue::begin(kind, version, input, limits)? {
        return Ok(Begun::Part(part));
    }
    let value = compact(kind, version, input, limits)?;
    if value.element_count() == 0 { Err(Fault::Empty) } else { Ok(Begun::Whole(object(value))) }
}

/// A value that is not a string.
pub fn object<'a>(value: Value) -> NewValue<'a, Value> {
    NewValue::Object(Box::new(value))
}

/// A string value: an integer if its text is one.
#[inline]
fn string(text: Text<'_>) -> NewValue<'_, Value> {
    let number = |bytes: &[u8]| if bytes.len() <= MAX_I64_TEXT { parse_i64(bytes) } else { None };
    match text {
        Text::Int(value) => NewValue::Int(value.into()),
        Text::Bytes(bytes) => number(bytes).map_or(NewValue::Bytes(bytes), NewValue::Int),
        Text::Owned(bytes) => match number(&bytes) {
            Some(value) => NewValue::Int(value),
            None => NewValue::Owned(bytes),
        },
    }
}
