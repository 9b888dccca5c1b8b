//! The append-only file (AOF): a base file with a snapshot, and files of the commands since, listed in a manifest.
//!
//! ```text
//! appendonlydir/
//!   appendonly.aof.manifest        which files make the data set, in order
//!   appendonly.aof.2.base.rdb      a snapshot (or `.base.aof`: the commands that make one)
//!   appendonly.aof.2.incr.aof      commands executed since; the last one is being written
//! ```
//!
//! The manifest, the reader, the writer and the trigger of rewrites are state machines without I/O. What changes the
//! directory, and the check, go over the disk's seam, so that they can be tried with one that fails and crashes.

pub mod base;
#[cfg(test)]
mod base_tests;
pub mod check;
pub mod directory;
#[cfg(test)]
mod directory_tests;
mod entry_ids;
pub mod manifest;
pub mod reader;
pub mod recovery;
pub mod rewrite;
pub mod stream_index;
pub mod writer;
#[cfg(test)]
mod writer_tests;
