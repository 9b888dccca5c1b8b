//! redloop: a Redis server on one thread and one readiness loop.
//!
//! The modules are layers: each imports only those of lower layers (`tests/tidy/main.rs` checks it).
//! `docs/architecture.md` describes them.
#![deny(unsafe_code)]

pub mod base;
pub mod commands;
pub mod engine;
pub mod keyspace;
pub mod net;
pub mod resp;
pub mod server;
pub mod services;
pub mod structures;
pub mod sys;
pub mod value;
