//! Atomic slot migration: slots change hands at one moment, when their new node has all their keys. No I/O.
//!
//! ```text
//!            source                                                    target
//! Valkey     MIGRATESLOTS ─▶ connects ── SYNCSLOTS ESTABLISH ────────▶ a job           one connection
//! Redis      a job ◀──────── SYNCSLOTS SYNC, RDBCHANNEL ── connects ◀─ MIGRATION IMPORT   two
//!
//! both       walk of the slots ─▶ what changes in them meanwhile ─▶ writes are paused ─▶ the target takes the slots over
//! ```
//!
//! Both protocols move data by one mechanism; what differs is who begins, and the words. `export` is the source's state machine,
//! `import` the target's; [`Jobs`] is the table that both keep their jobs in, and what reports are made of.

mod export;
#[cfg(test)]
mod export_tests;
mod filter;
mod import;
mod job;
mod jobs;
mod ranges;

pub use export::{Action as ExportAction, Exports, Limits as ExportLimits, SlotOwner};
pub use filter::StreamFilter;
pub use import::{Advance, Channel, Handshake, Order, Step, TaskNote, Word, advance, sends_acks};
pub use job::{Family, Job, JobId, Role, State};
pub use jobs::Jobs;
pub use ranges::{RangeError, SlotRanges};
