//! INFO keysizes: writes the histograms of string lengths and collection sizes of each database.

use super::Page;
use crate::engine::Engine;
use crate::engine::metrics::key_sizes::KINDS;

/// The lower bound of a bin, with a unit.
fn label(bin: usize) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    match bin.checked_sub(1) {
        None => "0".to_string(),
        Some(power) => format!("{}{}", 1u64 << (power % 10), UNITS[power / 10]),
    }
}

pub(super) fn keysizes(engine: &mut Engine, page: &mut Page) {
    engine.note_data_read();
    for (index, bins) in engine.key_sizes() {
        for (kind, counts) in KINDS.iter().zip(bins) {
            let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            let parts: Vec<String> = filled.map(|(bin, count)| format!("{}={count}", label(bin))).collect();
            if !parts.is_empty() {
                page.line(format_args!("db{index}_distrib_{kind}:{}", parts.join(",")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::support::testing::TestServer;

    #[test]
    fn labels_of_bins() {
        let labels = [0, 1, 2, 3, 11, 13, 31].map(label);
        assert_eq!(labels, ["0", "1", "2", "4", "1K", "4K", "1G"]);
    }

    #[test]
    fn memory_of_collections_if_it_is_wanted() {
        let mut server = TestServer::new();
        server.script("SET a 1\nRPUSH l 1 2 3 => :3\nHSET h f v => :1\nSADD s a => :1\nZADD z 1 a => :1");
        for item in 0..1000 {
            server.run(&format!("RPUSH l {item}:{}", "x".repeat(100)));
        }
        let without = server.run("INFO keysizes");
        server.script("CONFIG SET key-memory-histograms yes");
        let text = server.run("INFO keysizes");
        let usage: usize = server.run("MEMORY USAGE l")[1..].parse().expect("a number");
        let bin = label((usize::BITS - usage.leading_zeros()) as usize);
        assert!(text.contains(&format!("db0_distrib_lists_sizes:{bin}=1\\r\\n")), "{usage}: {text}");
        for kind in ["sets", "zsets", "hashes"] {
            assert!(text.contains(&format!("db0_distrib_{kind}_sizes:")), "{text}");
        }
        assert_eq!((text.matches("strings_sizes").count(), text.matches("_sizes:").count()), (1, 5));
        server.script("CONFIG SET key-memory-histograms no");
        assert_eq!(server.run("INFO keysizes"), without);
    }

    #[test]
    fn counted_when_few_estimated_when_many() {
        let mut server = TestServer::new();
        server.script("SET a 12345\nSET b \"\"\nRPUSH l 1 2 3 => :3\nSET c x");
        let expected =
            "# Keysizes\\r\\ndb0_distrib_strings_sizes:0=1,1=1,4=1\\r\\ndb0_distrib_lists_items:2=1\\r\\n";
        assert_eq!(server.run("INFO keysizes"), format!("\"{expected}\""));
        assert_eq!(server.run("INFO keysizes"), format!("\"{expected}\""), "nothing has changed");
        server.script("RPUSH l 4 => :4\nSELECT 1\nSET a 1\nSELECT 0");
        let text = server.run("INFO keysizes");
        assert!(
            text.contains("db0_distrib_lists_items:4=1") && text.contains("db1_distrib_strings_sizes:1=1")
        );
        server.script("FLUSHALL");
        assert_eq!(server.run("INFO keysizes"), "\"# Keysizes\\r\\n\"");
        for number in 0..20_000 {
            server.run(&format!("SET key:{number} 12345678"));
        }
        let count_of = |text: &str, bin: &str| {
            let count = text.split(bin).nth(1).and_then(|rest| rest.split(['\\', ',']).next());
            count.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
        };
        let text = server.run("INFO keysizes");
        assert!((19_990..=20_010).contains(&count_of(&text, ":8=")), "{text}");
        // The histogram follows a few changes late, many at once.
        server.run("APPEND key:1 aaaaaaaaaaaaaaaa");
        assert_eq!(server.run("INFO keysizes"), text);
        for number in 0..10_000 {
            server.run(&format!("APPEND key:{number} 12345678"));
        }
        let text = server.run("INFO keysizes");
        assert!((9_000..11_000).contains(&count_of(&text, "16=")), "{text}");
    }
}
