//! Large values: freed in slices, so that no turn of the event loop is long, and sent without a copy.

use crate::harness::{Client, Server, eventually, field, request};

/// Elements of a value.
const ELEMENTS: usize = 40_000;
/// Elements a command adds.
const STEP: usize = 500;
/// How long a turn may be, microseconds: the server is built for debugging, and not alone on its machine.
const LONGEST_US: u64 = 5_000;
/// Tries: a turn may be long for what else the machine does, but not each time.
const TRIES: usize = 12;
const KINDS: [&str; 7] = ["list", "set", "intset", "hash", "zset", "stream", "string"];

/// Fills a key with many elements.
fn fill(client: &mut Client, kind: &str, key: &str) {
    let mut sent = 0;
    for start in (0..ELEMENTS).step_by(STEP) {
        let range = start..start + STEP;
        let words: Vec<String> = match kind {
            "list" => range.map(|n| format!("element number {n} {}", "x".repeat(n % 50))).collect(),
            "set" => range.map(|n| format!("member number {n} of the set")).collect(),
            "intset" => range.map(|n| (n * 17).to_string()).collect(),
            "hash" => range
                .flat_map(|n| [format!("field:{n}"), format!("value {n} {}", "y".repeat(n % 50))])
                .collect(),
            "zset" => range.flat_map(|n| [(n * 7 % 1000).to_string(), format!("member:{n}")]).collect(),
            "stream" => {
                for n in range {
                    client.raw(&request(&[
                        "XADD",
                        key,
                        &format!("{}-1", n + 1),
                        "field",
                        &format!("value {n}"),
                    ]));
                    sent += 1;
                }
                continue;
            }
            _ => vec!["z".repeat(STEP * 20)],
        };
        let name = match kind {
            "list" => "RPUSH",
            "set" | "intset" => "SADD",
            "hash" => "HSET",
            "zset" => "ZADD",
            _ => "APPEND",
        };
        let mut all = vec![name, key];
        all.extend(words.iter().map(String::as_str));
        client.raw(&request(&all));
        sent += 1;
        if sent % 50 == 0 {
            client.read_many(50);
        }
    }
    client.read_many(if kind == "stream" { sent } else { sent % 50 });
}

/// A field of INFO.
fn info(client: &mut Client, section: &str, name: &str) -> u64 {
    let text = client.ask(&format!("INFO {section}"));
    let prefix = format!("{name}:");
    let line =
        text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no {name}"));
    line.parse().expect("a number")
}

/// Ways for a big value to go: what prepares it, what does it, what is answered.
const WAYS: &[(&str, &str, &str)] = &[
    ("", "DEL big1", ":1"),
    ("", "UNLINK big2", ":1"),
    ("", "SET big3 small", "+OK"),
    ("SET small 1", "RENAME small big4", "+OK"),
    ("SET other 1", "COPY other big5 REPLACE", ":1"),
    ("RPUSH few 3 1 2", "SORT few STORE big6", ":3"),
    ("SADD members a", "SUNIONSTORE big7 members", ":1"),
    ("", "ZUNIONSTORE big8 1 nothing", ":0"),
    ("", "EXPIREAT big9 1", ":1"),
    ("", "MOVE big10 1", ":1"),
    ("", "SWAPDB 0 2", "+OK"),
    ("SELECT 2", "FLUSHDB", "+OK"),
    ("", "FLUSHALL", "+OK"),
];

/// How many of them are about one key.
const SINGLE_KEYS: usize = 9;

/// Waits until nothing is left to free; how many objects have been freed a slice at a time.
fn freed(client: &mut Client) -> u64 {
    eventually("all is freed", || info(client, "memory", "lazyfree_pending_objects") == 0);
    info(client, "memory", "lazyfreed_objects")
}

/// Lets copies of a big value go in each way; the longest turn meanwhile, in microseconds.
fn longest_turn(client: &mut Client, kind: &str) -> u64 {
    client.ask("FLUSHALL SYNC");
    fill(client, kind, "big");
    for (at, (before, _, _)) in WAYS.iter().enumerate() {
        assert_eq!(client.ask(&format!("COPY big big{}", at + 1)), ":1");
        assert!(before.is_empty() || before.starts_with("SELECT") || !client.ask(before).starts_with('-'));
    }
    // One goes by the clock.
    assert_eq!(client.ask("COPY big timed"), ":1");
    client.ask("CONFIG RESETSTAT");
    let (before, mut each) = (freed(client), 0);
    assert_eq!(client.ask("PEXPIRE timed 1"), ":1");
    eventually("it has expired", || info(client, "stats", "expired_keys") == 1);
    for (at, (before, act, answer)) in WAYS.iter().enumerate() {
        if before.starts_with("SELECT") {
            client.ask(before);
        }
        assert_eq!(client.ask(act), *answer, "{act}");
        if at + 1 == SINGLE_KEYS {
            each = freed(client);
        }
    }
    // None was freed on the spot; a string is one piece of memory.
    assert!(kind == "string" || each - before == SINGLE_KEYS as u64 + 1, "{kind}: {before}, then {each}");
    assert_eq!(client.ask("SELECT 0"), "+OK");
    freed(client);
    info(client, "stats", "longest_turn_usec")
}

#[test]
fn no_turn_is_long() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for kind in KINDS {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|turn| *turn >= LONGEST_US) {
            assert!(seen.len() < TRIES, "{kind}: turns of {seen:?} microseconds");
            seen.push(longest_turn(&mut client, kind));
        }
    }
}

#[test]
fn their_memory_is_returned_though_nothing_more_happens() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let value = "v".repeat(1 << 20);
    for n in 0..150 {
        assert_eq!(c.ask_words(&["SET", &format!("k{n}"), &value]), "+OK");
    }
    assert!(info(&mut c, "memory", "used_memory_rss") > 150 << 20);
    assert_eq!(c.ask("FLUSHALL"), "+OK");
    eventually("it is returned", || info(&mut c, "memory", "used_memory_rss") < 100 << 20);
}

#[test]
fn a_long_reply_is_what_the_string_was_and_no_copy_of_it() {
    const BYTES: usize = 16 << 20;
    let server = Server::start(&[]);
    let mut control = server.client();
    let value = "v".repeat(BYTES);
    assert_eq!(control.ask_words(&["SET", "k", &value]), "+OK");
    let before = server.resident();
    let mut readers: Vec<_> = (0..10).map(|_| server.client()).collect();
    for reader in &mut readers {
        reader.send("GET k");
    }
    let unsent = |list: &str, name: &str| {
        let lines = list.trim_start_matches('$').lines().filter(|line| line.contains("cmd=get"));
        lines.filter(|line| field(line, name).parse::<usize>().expect("bytes") > BYTES / 4).count()
    };
    eventually("all wait for their readers", || unsent(&control.ask("CLIENT LIST"), "omem") == readers.len());
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 3 * BYTES, "{grown} bytes for ten replies of {BYTES}");
    // The changes are made in a copy, once.
    for (line, answer) in
        [("SETRANGE k 0 x", BYTES), ("APPEND k x", BYTES + 1), ("SETBIT k 1 0", 1), ("DEL k", 1)]
    {
        assert_eq!(control.ask(line), format!(":{answer}"), "{line}");
    }
    for reader in &mut readers {
        assert!(reader.read() == format!("${value}"), "the string as it was");
        assert_eq!(reader.ask("GET k"), "nil");
    }
}

#[test]
fn a_pipeline_sees_each_state_of_a_long_string() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let value = "v".repeat(100_000);
    assert_eq!(client.ask_words(&["MSET", "k", &value, "n", "1"]), "+OK");
    let lines = ["GET k", "SETRANGE k 0 x", "MGET k n", "GETEX k", "APPEND k y", "GETDEL k", "GET k"];
    client.raw(lines.map(|line| format!("{line}\r\n")).concat().as_bytes());
    let changed = format!("x{}", &value[1..]);
    let expected = [
        format!("${value}"),
        ":100000".into(),
        format!("[${changed}, $1]"),
        format!("${changed}"),
        ":100001".into(),
        format!("${changed}y"),
        "nil".into(),
    ];
    let replies = client.read_many(lines.len());
    for ((line, reply), expected) in lines.iter().zip(replies).zip(expected) {
        assert!(reply == expected, "{line}: {} bytes, {:.40}", reply.len(), reply);
    }
}
