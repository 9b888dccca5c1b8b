//! redloop: a Redis server on one thread and one readiness loop.
//!
//! The rooms, from the ground up; each imports only rooms above it in this list
//! (`tests/tidy.rs` holds the order). `docs/architecture.md` is the map.
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
