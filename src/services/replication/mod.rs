//! Replication: who this server is in the history of a data set, and the two sides of a link between servers.
//!
//! A replica introduces itself ([`handshake`]) and takes the primary's data ([`payload`]); then the primary's bytes are requests
//! like those of any client.

pub mod failover;
pub mod handshake;
#[cfg(test)]
mod handshake_tests;
pub mod identity;
pub mod payload;

pub use identity::Identity;
