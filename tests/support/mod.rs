//! What test binaries share: servers as processes, and a client that keeps replies as values.

pub mod process;
pub mod reply;
