//! The lowest layer: numbers as text, hashes, glob patterns, checksums, random numbers. It knows no command.

pub mod crc;
pub mod glob;
pub mod hash;
pub mod history;
pub mod ids;
pub mod lzf;
pub mod number;
pub mod quoting;
pub mod rng;
pub mod slot_set;
pub mod slot_tag;
