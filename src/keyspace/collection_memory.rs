//! Memory of the collections of a database that have allocations of their own: counted only while it is wanted.
//!
//! The table knows what its entries and strings take, but not what its collections do. If that is wanted, a walk in slices adds
//! them up in the order of their hashes; a collection is counted once the walk has passed its hash, and from then on each change
//! of it counts what came or went. While it isn't wanted the walk has passed nothing: a change costs one comparison.
//!
//! What a collection takes is as MEMORY USAGE tells it, with lists and streams estimated from a few nodes. Values that were
//! removed and wait to be freed aren't the database's any more.

use crate::structures::table::{EntryValue, Table};
use crate::value::Value;

/// Nodes of a list or stream that are looked at.
const SAMPLES: usize = 5;
/// Low bits of a hash that a cursor of the table lacks.
const CURSOR_SPARE_BITS: u32 = 16;

/// What the collections of a database take.
#[derive(Debug, Default)]
pub(super) struct CollectionMemory {
    /// Collections with smaller hashes are counted.
    below: u64,
    bytes: usize,
    is_wanted: bool,
}

#[cold]
fn usage(value: &Value) -> usize {
    value.memory_usage(SAMPLES)
}

impl CollectionMemory {
    /// Whether a collection of this hash is counted.
    #[inline]
    pub(super) fn counts(&self, hash: u64) -> bool {
        hash < self.below
    }

    /// A collection came.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, value: &Value) {
        if self.counts(hash) {
            self.bytes += usage(value);
        }
    }

    /// A collection goes.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, value: &Value) {
        if self.counts(hash) {
            self.bytes = self.bytes.saturating_sub(usage(value));
        }
    }

    /// What a collection takes before it is changed, for [`Self::changed`].
    #[inline]
    pub(super) fn before(&self, hash: u64, value: &Value) -> usize {
        if self.counts(hash) { usage(value) } else { 0 }
    }

    /// A collection was changed, which took this much before.
    #[inline]
    pub(super) fn changed(&mut self, hash: u64, value: &Value, before: usize) {
        if self.counts(hash) {
            self.bytes = (self.bytes + usage(value)).saturating_sub(before);
        }
    }

    /// The database is empty.
    pub(super) fn clear(&mut self) {
        self.bytes = 0;
        self.below = if self.is_wanted { u64::MAX } else { 0 };
    }

    /// Exchanges what was counted, as the contents of two databases are.
    pub(super) fn swap(&mut self, other: &mut CollectionMemory) {
        std::mem::swap(&mut self.below, &mut other.below);
        std::mem::swap(&mut self.bytes, &mut other.bytes);
        for one in [self, other].into_iter().filter(|one| !one.is_wanted) {
            (one.below, one.bytes) = (0, 0);
        }
    }

    /// Begins to count, or ceases to.
    pub(super) fn want(&mut self, wanted: bool, is_empty: bool) {
        if wanted != self.is_wanted {
            *self = CollectionMemory { is_wanted: wanted, ..CollectionMemory::default() };
            if is_empty {
                self.clear();
            }
        }
    }

    /// What is counted so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts collections of some more keys, about so many; false if there are no more to count.
    pub(super) fn count_some(&mut self, table: &Table<Value, true>, keys: usize) -> bool {
        let mut seen = 0;
        while self.is_wanted && self.below < u64::MAX {
            if seen >= keys {
                return true;
            }
            let mut found = 0;
            let next = table.scan(self.below >> CURSOR_SPARE_BITS, |entry| {
                seen += 1;
                if let EntryValue::Object(value) = entry.value {
                    found += usage(value);
                }
            });
            // An empty bucket is a step, too.
            seen += 1;
            self.bytes += found;
            self.below = if next == 0 { u64::MAX } else { next << CURSOR_SPARE_BITS };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::engine::Engine;
    use crate::structures::table::EntryValue;

    /// Adds up all collections of database 0.
    fn added_up(engine: &Engine) -> usize {
        let database = engine.data.keyspace.database(0);
        let of = |value: EntryValue<'_, crate::value::Value>| match value {
            EntryValue::Object(value) => super::usage(value),
            _ => 0,
        };
        database.table().iter().map(|entry| of(entry.value)).sum()
    }

    fn counted(engine: &Engine) -> usize {
        engine.data.keyspace.database(0).collection_memory.bytes
    }

    /// Commands that make, change and remove collections of all types.
    fn change_everything(server: &mut TestServer, round: usize) {
        for n in 0..400 {
            server.run(&format!("SADD s{} {n}-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", n % 7));
            server.run(&format!("HSET h{} f{n} {}", n % 5, "v".repeat(round * 10 + n % 90)));
            server.run(&format!("ZADD z{} {n} m{n}-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", n % 3));
            server.run(&format!("RPUSH l{} {}", n % 4, "x".repeat(n)));
            server.run(&format!("XADD x{} {}-{n} f {}", n % 2, round + 1, "y".repeat(n % 60)));
        }
        for request in [
            "XGROUP CREATE x0 g 0",
            "XREADGROUP GROUP g c STREAMS x0 >",
            "SPOP s1 30",
            "HDEL h1 f1 f6 f11",
            "DEL z1 l1",
            "RENAME s2 other",
            "COPY h2 copy REPLACE",
            "SUNIONSTORE union s0 s3",
            "LTRIM l0 3 20",
            "SET l2 string",
            "HPEXPIRE h3 1 FIELDS 2 f3 f8",
            "PEXPIRE s4 1",
            "XTRIM x1 MAXLEN 10",
            "MOVE h4 1",
            "SORT l3 ALPHA STORE sorted",
            "ZREMRANGEBYRANK z2 0 50",
            "SDIFFSTORE s5 s5 s6",
            "RESTORE r 0 x",
            "LREM l0 0 nothing",
        ] {
            server.run(request);
        }
        server.advance(10);
        server.engine.tick();
    }

    #[test]
    fn what_is_counted_is_what_is_there() {
        let mut server = TestServer::new();
        server.engine.data.keyspace.count_collections(0, true);
        for round in 0..3 {
            change_everything(&mut server, round);
            assert!(added_up(&server.engine) > 10_000);
            assert_eq!(counted(&server.engine), added_up(&server.engine), "round {round}");
        }
        server.run("SWAPDB 0 1");
        while server.engine.data.keyspace.count_some_collections(10) {}
        assert_eq!(counted(&server.engine), added_up(&server.engine));
        server.run("FLUSHALL");
        assert_eq!(counted(&server.engine), 0);
        change_everything(&mut server, 4);
        assert_eq!(counted(&server.engine), added_up(&server.engine));
    }

    #[test]
    fn a_walk_counts_what_was_there_before_while_it_changes() {
        let mut server = TestServer::new();
        change_everything(&mut server, 0);
        for n in 0..5000 {
            server.run(&format!("SET k{n} v"));
        }
        assert_eq!(counted(&server.engine), 0);
        server.engine.data.keyspace.count_collections(0, true);
        let mut slices = 0;
        while server.engine.data.keyspace.count_some_collections(500) {
            slices += 1;
            change_everything(&mut server, slices);
        }
        assert!(slices > 3);
        assert_eq!(counted(&server.engine), added_up(&server.engine));
        server.engine.data.keyspace.count_collections(0, false);
        change_everything(&mut server, 0);
        assert_eq!(counted(&server.engine), 0);
    }
}
