//! Persistence: the serialized forms of values, of the whole data set, and the append-only file.

pub mod aof;
pub mod codec;
pub mod functions;
pub mod rdb;
pub mod snapshot;
pub mod status;
