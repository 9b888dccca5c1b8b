//! The keyspace: databases with their keys, values and deadlines, and the one way in which they change.
//!
//! A command sees a [`DbView`]: reads by `read`, changes by an [`Edit`] (collections) or by the
//! string methods, each ending in one call that names the event. The engine processes what follows from a change;
//! here it is only written into the [`Journal`].

mod collection_memory;
mod database;
mod decoded;
mod edit;
pub mod event;
mod eviction_pool;
mod field_expiry;
mod hash_deadline_index;
mod hidden;
mod journal;
mod key_walk;
mod lazy_free;
mod load;
mod lookup;
mod lru_clock;
mod own_deadlines;
mod slots;
mod snapshot;
mod strings;
mod typed;
mod vector_work;
mod view;

pub use database::{Database, Keyspace, KeyspaceStats};
pub use edit::Edit;
pub use event::Event;
pub use eviction_pool::{EvictionPolicy, EvictionPool};
pub use journal::{Change, Journal, Removal};
pub use key_walk::{KeyWalk, LISTED_AT_ONCE, ListedKeys};
pub use lazy_free::{FreeInParts, LazyFree};
pub use load::LoadedKey;
pub use lookup::PREFETCH_KEYS;
pub use lru_clock::{AccessMeaning, LruClock, frequency, idle_seconds};
pub use own_deadlines::OwnDeadlines;
pub use slots::SlotRemoval;
pub use strings::{Text, Ttl};
pub use typed::Typed;
pub use vector_work::{VectorJob, VectorResult, VectorTask, VectorWork};
pub use view::{DbView, Detached, DumpOptions, ExecEnv, Replaced, StoredValue};
