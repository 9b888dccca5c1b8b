//! The server as its clients see it: the built binary, real sockets.

mod acl;
mod big_values;
mod blocking;
mod client;
mod connection;
mod full_sync_memory;
mod harness;
mod hostile;
mod large_arguments;
mod limits;
mod log;
mod metrics;
mod migrate;
mod persistence;
mod process;
mod pubsub;
mod reload;
mod replication;
mod scripts;
mod stops;
mod supervision;
mod tls;
mod tracking;
mod transactions;
mod waiting;
