//! Persistence: the serialized forms of values, and of the whole data set.

pub mod codec;
pub mod rdb;
pub mod snapshot;
pub mod status;
