//! What is done about memory: eviction when it is short, giving free memory back to the system.

pub mod eviction;
pub mod purge;
