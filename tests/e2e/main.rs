//! The server as its clients see it: the built binary, real sockets.

mod acl;
mod analysis;
mod big_values;
mod blocking;
mod client;
mod cluster_local;
mod completion;
mod connection;
mod full_sync_memory;
mod harness;
mod hostile;
mod large_arguments;
mod latency;
mod limits;
mod log;
mod metrics;
mod migrate;
mod page;
mod persistence;
#[path = "../support/ports.rs"]
mod ports;
mod process;
mod pubsub;
mod quotas;
mod reload;
mod replication;
mod scripts;
mod stops;
mod supervision;
mod tls;
mod tracking;
mod transactions;
mod vector_sets;
mod waiting;
