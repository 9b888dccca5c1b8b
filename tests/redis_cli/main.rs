//! The real redis-cli and redis-benchmark against our server: what people type, in a terminal and in scripts.
//!
//! Where there is a redis-server 8 everything is done to both, and what the tool prints must be the same.

mod batch;
mod benchmark;
mod interactive;
mod measures;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/programs.rs"]
mod programs;
mod sides;
mod terminal;
