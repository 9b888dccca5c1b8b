//! INFO's section about sizes: how many strings of so many bytes, and collections of so many elements,
//! each database has, by powers of two.
//!
//! A small database is counted when somebody asks, so no write pays for it. A big one is counted by a
//! sample, and the figures are estimates: INFO must not hold the loop up for longer the more keys there are.

use super::Page;
use crate::base::rng::Rng;
use crate::engine::Engine;
use crate::keyspace::{Database, Text};
use crate::structures::table::EntryValue;
use crate::value::embedded;

/// Keys up to which a database is counted in full.
const COUNTED: usize = 16 * 1024;
/// A sample is this many runs of keys that lie together, each of this many.
const RUNS: usize = 128;
const RUN: usize = 64;

const KINDS: [&str; 5] = ["strings_sizes", "lists_items", "sets_items", "zsets_items", "hashes_items"];
/// For 0, 1, 2, 4 … 2^63.
const BINS: usize = 65;

#[derive(Debug)]
struct Sizes([[u64; BINS]; KINDS.len()]);

fn bin(size: usize) -> usize {
    (usize::BITS - size.leading_zeros()) as usize
}

/// The least size of a bin, with a unit.
fn label(bin: usize) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    match bin.checked_sub(1) {
        None => "0".to_string(),
        Some(power) => format!("{}{}", 1u64 << (power % 10), UNITS[power / 10]),
    }
}

impl Sizes {
    fn add<O>(&mut self, value: &EntryValue<'_, O>, of_object: impl FnOnce(&O) -> (&'static str, usize)) {
        let (kind, size) = match value {
            EntryValue::Int(n) => ("string", Text::Int(*n).len()),
            EntryValue::Bytes(bytes) => ("string", bytes.len()),
            EntryValue::Embedded(tag, bytes) => {
                (embedded::type_name(*tag), embedded::decode(*tag, bytes).element_count())
            }
            EntryValue::Object(object) => of_object(object),
        };
        let kind = match kind {
            "string" => 0,
            "list" => 1,
            "set" => 2,
            "zset" => 3,
            "hash" => 4,
            _ => return,
        };
        self.0[kind][bin(size)] += 1;
    }

    fn of(database: &Database, rng: &mut Rng) -> Sizes {
        let mut sizes = Sizes([[0; BINS]; KINDS.len()]);
        let of_object = |value: &crate::value::Value| (value.type_name(), value.element_count());
        if database.len() <= COUNTED {
            database.table().iter().for_each(|entry| sizes.add(&entry.value, of_object));
            return sizes;
        }
        for _ in 0..RUNS {
            database.table().sample(rng, RUN, |entry| sizes.add(&entry.value, of_object));
        }
        let scale = database.len() as f64 / (RUNS * RUN) as f64;
        sizes.0.iter_mut().flatten().for_each(|count| *count = (*count as f64 * scale).round() as u64);
        sizes
    }
}

pub(super) fn keysizes(engine: &mut Engine, page: &mut Page) {
    for database in engine.data.keyspace.databases().iter().filter(|database| !database.is_empty()) {
        let sizes = Sizes::of(database, &mut engine.data.rng);
        for (kind, counts) in KINDS.iter().zip(&sizes.0) {
            let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            let parts: Vec<String> = filled.map(|(bin, count)| format!("{}={count}", label(bin))).collect();
            if !parts.is_empty() {
                page.line(format_args!("db{}_distrib_{kind}:{}", database.index, parts.join(",")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::support::testing::TestServer;

    #[test]
    fn bins_and_their_labels() {
        let labels = [0, 1, 2, 3, 4, 1023, 1024, 5000, 1 << 30].map(|size| label(bin(size)));
        assert_eq!(labels, ["0", "1", "2", "2", "4", "512", "1K", "4K", "1G"]);
    }

    #[test]
    fn counted_when_few_estimated_when_many() {
        let mut server = TestServer::new();
        server.script("SET a 12345\nSET b \"\"\nRPUSH l 1 2 3 => :3\nSET c x");
        let expected =
            "# Keysizes\\r\\ndb0_distrib_strings_sizes:0=1,1=1,4=1\\r\\ndb0_distrib_lists_items:2=1\\r\\n";
        assert_eq!(server.run("INFO keysizes"), format!("\"{expected}\""));
        for number in 0..20_000 {
            server.run(&format!("SET key:{number} 12345678"));
        }
        let text = server.run("INFO keysizes");
        let count = text.split("8=").nth(1).and_then(|rest| rest.split(['\\', ',']).next());
        let count: u64 = count.and_then(|count| count.parse().ok()).expect("a count");
        assert!((19_900..=20_010).contains(&count), "{text}");
    }
}
