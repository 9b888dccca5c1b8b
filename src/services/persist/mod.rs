//! Persistence: the serialized forms of values.

pub mod codec;
