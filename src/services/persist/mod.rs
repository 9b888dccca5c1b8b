//! Persistence: the serialized forms of values, and the append-only file.

pub mod aof;
pub mod codec;
