//! Ground floor: numbers, hashes, patterns, time as a value; no opinion about Redis commands.

pub mod crc;
pub mod glob;
pub mod hash;
pub mod ids;
pub mod lzf;
pub mod number;
pub mod quoting;
pub mod rng;
