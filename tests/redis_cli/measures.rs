//! redis-cli's modes that look at a whole server: big keys, hot keys, statistics, latency.

use crate::sides::Sides;

/// Keys of every type; of each type one is the biggest.
fn filled(test: &str, options: &[&str]) -> Option<Sides> {
    let sides = Sides::start(test, options)?;
    let mut requests = String::new();
    for n in 1..=60 {
        let items: Vec<String> = (0..n).map(|item| item.to_string()).collect();
        let pairs: Vec<String> = items.iter().map(|item| format!("{item} {item}")).collect();
        requests += &format!("SET string:{n} {}\nRPUSH list:{n} {}\n", "x".repeat(n), items.join(" "));
        requests += &format!("SADD set:{n} {}\nHSET hash:{n} {}\n", items.join(" "), pairs.join(" "));
        requests += &format!("ZADD zset:{n} {}\n", pairs.join(" "));
        requests += &format!("XADD stream:{} {n}-1 a 1\n", if n % 2 == 0 { 2 } else { n });
    }
    let shown = sides.same(&["--pipe"], &requests);
    assert!(shown.out.ends_with("errors: 0, replies: 360\n"), "{shown:?}");
    Some(sides)
}

/// The lines after the scan, sorted: it finds keys in the order of their hashes.
fn summary(out: &str) -> Vec<String> {
    let behind =
        out.split("-------- summary -------").nth(1).unwrap_or_else(|| panic!("no summary in {out}"));
    let mut lines: Vec<String> = behind.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn big_keys() {
    let Some(sides) = filled("big_keys", &[]) else { return };
    if !sides.cli_is_8("big_keys") {
        return;
    }
    let each = sides.each(&["--bigkeys"]);
    let ours = summary(&each[0]);
    for theirs in &each[1..] {
        assert_eq!(ours, summary(theirs));
    }
    for line in [
        "Sampled 331 keys in the keyspace!",
        "Biggest string found \"string:60\" has 60 bytes",
        "Biggest stream found \"stream:2\" has 30 entries",
        "Biggest   hash found \"hash:60\" has 60 fields",
        "60 zsets with 1830 members (18.13% of keys, avg size 30.50)",
    ] {
        assert!(ours.iter().any(|shown| shown == line), "{line} in {ours:#?}");
    }
    assert_eq!(sides.each(&["--bigkeys", "--pattern", "list:1?"])[0].matches("Biggest   list").count(), 1);
}

#[test]
fn big_in_memory() {
    let Some(sides) = filled("big_in_memory", &[]) else { return };
    if !sides.cli_is_8("big_in_memory") {
        return;
    }
    let shown = sides.ours(&["--memkeys"], "");
    let lines = summary(&shown.out);
    for line in ["Sampled 331 keys in the keyspace!", "Biggest stream found \"stream:2\" has "] {
        assert!(lines.iter().any(|shown| shown.starts_with(line)), "{line} in {lines:#?}");
    }
    assert_eq!(shown.code, Some(0));
    let shown = sides.ours(&["--memkeys-samples", "3", "--pattern", "zset:*"], "");
    assert!(summary(&shown.out).iter().any(|line| line.starts_with("Sampled 60 keys")), "{shown:?}");
    let shown = sides.ours(&["--keystats", "--top", "3"], "");
    assert!(shown.out.contains("string:60") && shown.out.contains("331"), "{shown:?}");
    assert_eq!((shown.err.as_str(), shown.code), ("", Some(0)));
}

#[test]
fn hot_keys() {
    let Some(sides) = filled("hot_keys", &[]) else { return };
    let shown = sides.same(&["--hotkeys"], "");
    assert!(shown.err.contains("ERR An LFU maxmemory policy is not selected"), "{shown:?}");
    sides.same(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0"], "");
    sides.same(&["-r", "200", "GET", "string:7"], "");
    sides.same(&["-r", "50", "HGETALL", "hash:9"], "");
    for out in sides.each(&["--hotkeys"]) {
        let lines: Vec<&str> = out.lines().filter(|line| line.starts_with("hot key found")).collect();
        assert!(
            lines[0].ends_with("keyname: \"string:7\"") && lines[1].ends_with("keyname: \"hash:9\""),
            "{out}"
        );
        let counter = lines[0].split_whitespace().nth(5).and_then(|word| word.parse::<u32>().ok());
        assert!(counter.is_some_and(|counter| counter >= 200), "{out}");
    }
}

#[test]
fn statistics() {
    let Some(sides) = filled("statistics", &[]) else { return };
    let mut terminal = sides.terminal(&["--stat", "-i", "0.02"], "xterm");
    let shown = terminal.wait_for(|text| text.lines().filter(|line| line.starts_with("331 ")).count() > 3);
    assert!(shown.contains("keys       mem      clients blocked requests            connections"), "{shown}");
    let line = shown.lines().rfind(|line| line.starts_with("331 ")).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    // Keys, memory, clients, blocked, requests, connections.
    assert!(words[1].ends_with(['K', 'M']) && words[2] == "1" && words[3] == "0", "{line}");
    assert!(words[4].parse::<u32>().is_ok_and(|requests| requests > 360), "{line}");
    assert!(line.contains("(+1)"), "each line takes a request: {line}");
}

#[test]
fn latencies() {
    let Some(sides) = Sides::start("latencies", &[]) else { return };
    let shown = sides.ours(&["--latency", "--raw", "-i", "0.2"], "").out;
    let numbers: Vec<f64> = shown.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [least, most, mean, count] = numbers[..] else { panic!("{shown}") };
    assert!(least <= mean && mean <= most && count >= 2.0, "{shown}");
    let shown = sides.ours(&["--latency", "--csv", "-i", "0.1"], "").out;
    assert_eq!(shown.trim().split(',').count(), 4, "{shown}");
    let mut terminal = sides.terminal(&["--latency-history", "-i", "0.05"], "xterm");
    terminal.wait_for(|text| text.matches(" seconds range").count() > 2);
    let mut terminal = sides.terminal(&["--latency-dist", "-i", "0.05"], "xterm-256color");
    terminal.wait_for(|text| text.matches("---------------------------------------------").count() > 1);
}

/// Keys are met once each while a cache is simulated; the modes for replicas say why they can't.
#[test]
fn cache_test() {
    let Some(sides) =
        Sides::start("cache_test", &["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"])
    else {
        return;
    };
    let mut terminal = sides.terminal(&["--lru-test", "20000"], "xterm");
    let shown = terminal.wait_for(|text| text.matches("Gets/sec").count() > 1);
    assert!(shown.contains("Hits: ") && !shown.contains("Error"), "{shown}");
}
