//! What test binaries share: where programs are, and a client that keeps replies as values.

pub mod programs;
pub mod reply;
