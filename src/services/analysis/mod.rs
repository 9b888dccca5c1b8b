//! Keyspace analysis: which keys and which prefixes of keys take the most memory, from a walk over a database in bounded
//! memory; and which keys take the most time and bytes of commands (HOTKEYS).
//!
//! A prefix is the first `depth` segments of a key, each with the `:` behind it; a key with fewer has the longest one that
//! it has, and a key without any the empty one. So each key belongs to one prefix, and all together are the database.

pub mod heavy_hitters;
pub mod hot_keys;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::hash::KeyHasher;
use heavy_hitters::HeavyHitters;

/// Keys and prefixes that a report has at most.
pub const MAX_LISTED: usize = 1000;
/// The most segments of a prefix.
pub const MAX_DEPTH: usize = 16;
/// Prefixes up to which their figures are exact.
pub const PREFIX_CAPACITY: usize = 8192;
/// A name is cut after so many bytes.
pub const MAX_NAME: usize = 4096;
/// A prefix is cut after so many bytes.
pub const MAX_PREFIX: usize = 512;

/// A key of a report. The order is that of the bytes; of equal ones that of the names, backwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigKey {
    /// The first [`MAX_NAME`] bytes of it.
    pub name: Vec<u8>,
    /// As MEMORY USAGE counts them.
    pub bytes: u64,
    /// The name of the type.
    pub kind: &'static str,
    /// Elements, or the bytes of a string.
    pub elements: u64,
}

impl Ord for BigKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes).then_with(|| other.name.cmp(&self.name))
    }
}

impl PartialOrd for BigKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A prefix of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigPrefix {
    pub prefix: Vec<u8>,
    pub keys: u64,
    pub bytes: u64,
    /// Bytes that it may have more; 0 if its figures are exact.
    pub error: u64,
}

/// What a walk over a database found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub database: u32,
    /// Segments of the prefixes; 0: there are none.
    pub depth: usize,
    /// When the walk began, Unix ms, and how long it took, ms.
    pub started_ms: u64,
    pub duration_ms: u64,
    /// Keys and their bytes, all of those that were walked over.
    pub keys: u64,
    pub bytes: u64,
    /// The biggest first.
    pub biggest_keys: Vec<BigKey>,
    pub biggest_prefixes: Vec<BigPrefix>,
    /// Bytes that a prefix which was forgotten for lack of room may have; 0 if none was.
    pub prefix_error: u64,
}

/// The prefix of a key.
pub fn prefix_of(key: &[u8], depth: usize) -> &[u8] {
    let head = &key[..key.len().min(MAX_PREFIX)];
    let end = memchr::memchr_iter(b':', head).take(depth).last().map_or(0, |at| at + 1);
    &head[..end]
}

/// What a walk has found so far.
#[derive(Debug)]
pub struct Analysis {
    pub database: u32,
    pub depth: usize,
    pub started_ms: u64,
    pub keys: u64,
    pub bytes: u64,
    /// The biggest keys so far, the smallest of them on top.
    biggest: BinaryHeap<Reverse<BigKey>>,
    prefixes: HeavyHitters,
}

impl Analysis {
    pub fn new(database: u32, depth: usize, started_ms: u64, hasher: KeyHasher) -> Self {
        Analysis {
            database,
            depth,
            started_ms,
            keys: 0,
            bytes: 0,
            biggest: BinaryHeap::new(),
            prefixes: HeavyHitters::new(PREFIX_CAPACITY, hasher),
        }
    }

    /// A key and its bytes; `describe` gives its type and its elements, if they are wanted.
    pub fn add(&mut self, key: &[u8], bytes: u64, describe: impl FnOnce() -> (&'static str, u64)) {
        self.keys += 1;
        self.bytes += bytes;
        if self.depth > 0 {
            self.prefixes.add(prefix_of(key, self.depth), bytes);
        }
        let is_big = self.biggest.len() < MAX_LISTED
            || self.biggest.peek().is_some_and(|Reverse(smallest)| smallest.bytes < bytes);
        if is_big {
            let name = key[..key.len().min(MAX_NAME)].to_vec();
            let (kind, elements) = describe();
            if self.biggest.len() == MAX_LISTED {
                self.biggest.pop();
            }
            self.biggest.push(Reverse(BigKey { name, bytes, kind, elements }));
        }
    }

    /// The walk is over.
    pub fn finish(self, now_ms: u64) -> Report {
        let biggest_keys = self.biggest.into_sorted_vec().into_iter().map(|Reverse(key)| key).collect();
        let of_hitter = |hitter: &heavy_hitters::Hitter| BigPrefix {
            prefix: hitter.name.to_vec(),
            keys: hitter.count,
            bytes: hitter.weight,
            error: hitter.error,
        };
        Report {
            database: self.database,
            depth: self.depth,
            started_ms: self.started_ms,
            duration_ms: now_ms.saturating_sub(self.started_ms),
            keys: self.keys,
            bytes: self.bytes,
            biggest_keys,
            biggest_prefixes: self.prefixes.heaviest(MAX_LISTED).into_iter().map(of_hitter).collect(),
            prefix_error: self.prefixes.error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn prefixes_end_with_a_separator() {
        let of =
            |key: &'static str, depth| std::str::from_utf8(prefix_of(key.as_bytes(), depth)).expect("text");
        assert_eq!([0, 1, 2, 3].map(|depth| of("a:bc:d", depth)), ["", "a:", "a:bc:", "a:bc:"]);
        assert_eq!(
            [of("plain", 2), of("", 1), of(":a", 1), of("::a", 2), of("a:", 1)],
            ["", "", ":", "::", "a:"]
        );
        let long = [vec![b'x'; MAX_PREFIX], b":y".to_vec()].concat();
        assert_eq!(prefix_of(&long, 1), b"", "a separator beyond the cut is none");
    }

    #[test]
    fn the_biggest_are_found_and_all_is_counted() {
        let mut analysis = Analysis::new(3, 1, 1000, KeyHasher::new(1));
        let mut rng = Rng::new(5);
        let mut naive = Vec::new();
        for n in 0..5 * MAX_LISTED {
            let (name, bytes) = (format!("{}:{n}", n % 3).into_bytes(), rng.below(500));
            analysis.add(&name, bytes, || ("list", bytes / 2));
            naive.push((name, bytes));
        }
        let report = analysis.finish(1007);
        assert_eq!((report.database, report.depth, report.started_ms, report.duration_ms), (3, 1, 1000, 7));
        let total: u64 = naive.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!((report.keys, report.bytes, report.prefix_error), (naive.len() as u64, total, 0));
        naive.sort_by_key(|(_, bytes)| Reverse(*bytes));
        assert_eq!(report.biggest_keys.len(), MAX_LISTED);
        for (found, (_, bytes)) in report.biggest_keys.iter().zip(&naive) {
            assert_eq!((found.bytes, found.kind, found.elements), (*bytes, "list", bytes / 2));
            assert!(naive.contains(&(found.name.clone(), found.bytes)));
        }
        let (keys, bytes) =
            report.biggest_prefixes.iter().fold((0, 0), |(k, b), p| (k + p.keys, b + p.bytes));
        assert_eq!((report.biggest_prefixes.len(), keys, bytes), (3, report.keys, report.bytes));
        assert!(report.biggest_prefixes.is_sorted_by_key(|prefix| Reverse(prefix.bytes)));
    }

    #[test]
    fn names_are_cut() {
        let mut analysis = Analysis::new(0, 0, 0, KeyHasher::new(1));
        analysis.add(&vec![b'n'; 2 * MAX_NAME], 9, || ("set", 1));
        let report = analysis.finish(0);
        assert_eq!((report.biggest_keys[0].name.len(), report.biggest_prefixes.len()), (MAX_NAME, 0));
    }
}
