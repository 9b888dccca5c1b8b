//! Crashes: of the disk under a snapshot's file, and of the process.

mod disk;
#[path = "../support/ports.rs"]
mod ports;
mod process;
