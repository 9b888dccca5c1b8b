//! Services: state machines that know no command and do no I/O; they return what should happen.
//! They never import each other.

pub mod acl;
pub mod analysis;
pub mod cluster;
pub mod command_stream;
pub mod config;
pub mod exposition;
pub mod history;
pub mod http;
pub mod migrate;
pub mod persist;
pub mod pubsub;
pub mod quota;
pub mod replication;
pub mod scripting;
pub mod sentinel;
pub mod slot_migration;
pub mod tls;
pub mod tracking;
