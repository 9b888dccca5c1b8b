//! Memory: eviction when it is short, returning free memory to the system.

pub mod eviction;
pub mod purge;
