//! Databases: keys, their values and deadlines, and the one way in which they change.
//!
//! A command sees a [`DbView`]: reads by `read`, changes by an [`Edit`] (collections) or by the
//! string methods, each ending in one call that names the event. What follows from a change is
//! the engine's business; here it is only written into the [`Journal`].

mod access;
mod database;
mod edit;
pub mod event;
mod eviction;
mod field_expiry;
mod journal;
mod reclaim;
mod strings;
mod unpacked;
mod view;

pub use access::{LruClock, frequency, idle_seconds};
pub use database::{Database, Keyspace, KeyspaceStats};
pub use edit::Edit;
pub use event::Event;
pub use eviction::{EvictionPolicy, EvictionPool};
pub use journal::{Change, Journal};
pub use reclaim::{Reclaimer, Trash};
pub use strings::{Text, Ttl};
pub use view::{AHEAD, DbView, Detached, DumpOptions, ExecEnv, Stored, Typed};
