//! Representation of the data types; knows no command names.

pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod set;
pub mod stream;
pub mod zset;
