//! Replication: who this server is in the history of a data set, and the two sides of a link between servers.

pub mod identity;

pub use identity::Identity;
