//! Key sizes: how many strings of so many bytes, and collections of so many elements and so much memory, a database has, by
//! powers of two.
//!
//! A small database is counted when INFO asks, so no write pays for it; the count is kept until something changes. A big
//! one is counted by a sample, and the figures are estimates: INFO must not hold the loop up for longer the more keys
//! there are. An estimate is kept for a second.

use crate::base::rng::Rng;
use crate::engine::Engine;
use crate::keyspace::{Database, Text};
use crate::services::config::SlotStatsKinds;
use crate::structures::table::{Entry, EntryValue};
use crate::value::{Value, embedded};

/// Keys up to which a database is counted in full.
const COUNTED: usize = 16 * 1024;
/// A sample is this many runs of keys that lie together, each of this many.
const RUNS: usize = 64;
const RUN: usize = 64;
/// How long an estimate is kept, ms, unless an eighth of the keys may have changed since.
const KEPT_MS: u64 = 1000;
const CHANGED_SHARE: u64 = 8;

/// What is counted, as INFO names it: bytes of strings and elements of collections; and bytes of memory that collections
/// take with their keys (`key-memory-histograms`), as MEMORY USAGE counts them.
pub const KINDS: [&str; 9] = [
    "strings_sizes",
    "lists_items",
    "sets_items",
    "zsets_items",
    "hashes_items",
    "lists_sizes",
    "sets_sizes",
    "zsets_sizes",
    "hashes_sizes",
];
/// From the elements of a kind of collections to their memory.
const TO_MEMORY: usize = 4;
/// Rows without memory.
const SIZES: usize = KINDS.len() - TO_MEMORY;
/// Nodes of a list that are measured.
const SAMPLES: usize = 5;
/// For 0, 1, 2, 4 … 2^63.
pub const BINS: usize = 65;

/// A row of bins for each of [`KINDS`], or for the first [`SIZES`].
pub type Bins = [[u64; BINS]];

/// What was found when a database was counted last, and what it was then.
struct Counted {
    index: u32,
    /// Whether memory was counted.
    with_memory: bool,
    bins: Box<Bins>,
    keys: usize,
    /// Changes and removals since the start.
    changes: u64,
    when_ms: u64,
}

impl Counted {
    /// Whether it still says what the database has, so far as it ever did.
    fn holds(&self, database: &Database, with_memory: bool, changes: u64, now_ms: u64) -> bool {
        if self.with_memory != with_memory {
            return false;
        }
        let keys = database.len();
        let changed = changes.wrapping_sub(self.changes);
        if keys <= COUNTED {
            return changed == 0 && keys == self.keys;
        }
        let is_recent = now_ms.saturating_sub(self.when_ms) < KEPT_MS;
        is_recent
            && keys == self.keys.clamp(keys - keys / 8, keys + keys / 8)
            && changed <= keys as u64 / CHANGED_SHARE
    }
}

/// The counts that are kept, one a database at most.
#[derive(Default)]
pub struct KeySizes {
    counted: Vec<Counted>,
}

/// The bin of a size.
fn bin(size: usize) -> usize {
    (usize::BITS - size.leading_zeros()) as usize
}

fn add(bins: &mut Bins, database: &Database, entry: &Entry<'_, Value>, with_memory: bool) {
    let (kind, size) = match &entry.value {
        EntryValue::Int(n) => ("string", Text::Int(*n).len()),
        EntryValue::Bytes(bytes) => ("string", bytes.len()),
        EntryValue::Embedded(tag, bytes) => {
            (embedded::type_name(*tag), embedded::decode(*tag, bytes).element_count())
        }
        EntryValue::Object(value) => (value.type_name(), value.element_count()),
    };
    let kind = match kind {
        "string" => 0,
        "list" => 1,
        "set" => 2,
        "zset" => 3,
        "hash" => 4,
        _ => return,
    };
    bins[kind][bin(size)] += 1;
    if with_memory && kind > 0 {
        let behind =
            if let EntryValue::Object(value) = &entry.value { value.memory_usage(SAMPLES) } else { 0 };
        bins[kind + TO_MEMORY][bin(database.table().entry_memory(entry.at) + behind)] += 1;
    }
}

fn count(database: &Database, with_memory: bool, rng: &mut Rng) -> Box<Bins> {
    let rows = if with_memory { KINDS.len() } else { SIZES };
    let mut bins = vec![[0; BINS]; rows].into_boxed_slice();
    if database.len() <= COUNTED {
        database.table().iter().for_each(|entry| add(&mut bins, database, &entry, with_memory));
        return bins;
    }
    for _ in 0..RUNS {
        database.table().sample(rng, RUN, |entry| add(&mut bins, database, &entry, with_memory));
    }
    let scale = database.len() as f64 / (RUNS * RUN) as f64;
    bins.iter_mut().flatten().for_each(|count| *count = (*count as f64 * scale).round() as u64);
    bins
}

impl Engine {
    /// The sizes of each database that has keys, with its number.
    pub fn key_sizes(&mut self) -> impl Iterator<Item = (u32, &Bins)> {
        let counts_slots =
            self.is_cluster() && self.config.cluster_slot_stats_enabled.contains(SlotStatsKinds::MEM);
        let with_memory = self.config.key_memory_histograms || counts_slots;
        let (keyspace, rng, now_ms) = (&self.data.keyspace, &mut self.data.rng, self.frame.now);
        let changes = keyspace.journal.dirty.wrapping_add(keyspace.stats.expired_fields);
        let mut before = std::mem::take(&mut self.metrics.key_sizes.counted);
        for database in keyspace.databases().iter().filter(|database| !database.is_empty()) {
            let index = database.index;
            let kept = before.iter().position(|counted| counted.index == index);
            let kept = kept
                .map(|at| before.swap_remove(at))
                .filter(|kept| kept.holds(database, with_memory, changes, now_ms));
            let counted = kept.unwrap_or_else(|| {
                let (bins, keys) = (count(database, with_memory, rng), database.len());
                Counted { index, with_memory, bins, keys, changes, when_ms: now_ms }
            });
            self.metrics.key_sizes.counted.push(counted);
        }
        self.metrics.key_sizes.counted.iter().map(|counted| (counted.index, &*counted.bins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins() {
        let found = [0, 1, 2, 3, 4, 1023, 1024, 1 << 30].map(bin);
        assert_eq!(found, [0, 1, 2, 2, 3, 10, 11, 31]);
    }
}
