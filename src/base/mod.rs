//! The lowest layer: numbers as text, hashes, patterns, checksums, random numbers; it knows no Redis command.

pub mod crc;
pub mod glob;
pub mod hash;
pub mod ids;
pub mod lzf;
pub mod number;
pub mod quoting;
pub mod rng;
