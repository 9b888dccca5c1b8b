//! Tests of DUMP, RESTORE and COPY.

use crate::commands::support::testing::{START_MS, TestServer};
use crate::engine::settings::Permission;

/// The payload of a key, quoted for a request.
fn dumped(server: &mut TestServer, key: &str) -> String {
    server.run(&format!("DUMP {key}"))
}

#[test]
fn round_trip() {
    let mut server = TestServer::new();
    server.script("DUMP none => nil\n SET a hello\n SET n 123\n RPUSH l 1 two 3 => :3");
    for (key, read, expected) in [
        ("a", "GET", "\"hello\""),
        ("n", "OBJECT ENCODING", "\"int\""),
        ("l", "LRANGE {} 0 -1", "[\"1\" \"two\" \"3\"]"),
    ] {
        let payload = dumped(&mut server, key);
        let read = if read.contains("{}") { read.replace("{}", "copy") } else { format!("{read} copy") };
        server.script(&format!("RESTORE copy 0 {payload} REPLACE\n {read} => {expected}\n TTL copy => :-1"));
        assert_eq!(dumped(&mut server, "copy"), payload);
    }
    assert_eq!(server.run("DUMP a"), r#""\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC""#);
}

#[test]
fn errors_in_their_order() {
    let mut server = TestServer::new();
    server.engine.settings.debug_command = Permission::Yes;
    server.script("SET a hello");
    server.script(
        r#"
        RESTORE a 0 x WHAT => -ERR syntax error
        RESTORE a 0 x IDLETIME => -ERR syntax error
        RESTORE a 0 x FREQ 1 IDLETIME 1 => -ERR syntax error
        RESTORE a 0 x IDLETIME x => -ERR value is not an integer or out of range
        RESTORE a 0 x IDLETIME -1 => -ERR Invalid IDLETIME value, must be >= 0
        RESTORE a 0 x FREQ 256 => -ERR Invalid FREQ value, must be >= 0 and <= 255
        RESTORE a 0 x FREQ -1 => -ERR Invalid FREQ value, must be >= 0 and <= 255
        RESTORE a x x => -BUSYKEY Target key name already exists.
        RESTORE b x x => -ERR value is not an integer or out of range
        RESTORE b -1 x => -ERR Invalid TTL value, must be >= 0
        RESTORE b 0 x => -ERR DUMP payload version or checksum are wrong
        RESTORE b 0 "\x00\x05hello\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR DUMP payload version or checksum are wrong
        DEBUG SET-SKIP-CHECKSUM-VALIDATION 1
        RESTORE b 0 "\x00\x05hello\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR DUMP payload version or checksum are wrong
        RESTORE b 0 "\x00\x06hello\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR Bad data format
        RESTORE b 0 "\x00\x04hello\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR Bad data format
        RESTORE b 0 "\x00\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR Bad data format
        RESTORE a 0 "\x00\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" REPLACE => -ERR Bad data format
        RESTORE b 0 "\x00\x05hallo\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        DEBUG SET-SKIP-CHECKSUM-VALIDATION 0
        RESTORE c 0 "\x00\x05hallo\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x01" => -ERR DUMP payload version or checksum are wrong
        RESTORE c 0 "\x00\x05hallo\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        GET a => "hello"
        GET b => "hallo"
        GET c => "hallo"
        DBSIZE => :3
        "#,
    );
}

/// Asserts the propagated RESTORE without its binary payload.
fn assert_repeated(propagated: &str, deadline: u64, end: &str) {
    assert!(
        propagated.starts_with(&format!("RESTORE b {deadline} ")) && propagated.ends_with(end),
        "{propagated}"
    );
}

#[test]
fn times_to_live() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script("SET a hello");
    let payload = dumped(&mut server, "a");
    server.propagated();
    server.events();
    let (future, past) = (START_MS + 5000, START_MS - 1);
    server.script(&format!("RESTORE b 1500 {payload}\n PTTL b => :1500"));
    assert_repeated(&server.propagated(), START_MS + 1500, " ABSTTL");
    server.script(&format!("RESTORE b {future} {payload} ABSTTL REPLACE\n PTTL b => :5000"));
    assert_repeated(&server.propagated(), future, " ABSTTL REPLACE");
    assert_eq!(server.events(), "restore b; restore b");
    server.script(&format!("RESTORE c {past} {payload} ABSTTL\n EXISTS c => :0"));
    assert_eq!((server.propagated(), server.events()), (String::new(), String::new()));
    assert_eq!(server.engine.data.keyspace.stats.expired_keys, 1);
    server.script(&format!("RESTORE b {past} {payload} ABSTTL REPLACE\n EXISTS b => :0"));
    assert_eq!((server.propagated(), server.events()), ("DEL b".into(), "del b".into()));
    server.engine.settings.dump_options.unlink = true;
    server.script(&format!("SET b 1\n RESTORE b {past} {payload} ABSTTL REPLACE"));
    assert_eq!(server.propagated(), "SET b 1; UNLINK b");
}

/// As Redis 8.6 answers.
#[test]
fn deadlines_at_the_end_of_time() {
    let mut server = TestServer::new();
    server.script("SET a hello");
    let payload = dumped(&mut server, "a");
    let last = i64::MAX as u64 - START_MS;
    let beyond = last + 1;
    server.script(&format!(
        r#"
        RESTORE b {last} {payload}
        PEXPIRETIME b => :9223372036854775807
        GET b => "hello"
        RESTORE b {beyond} {payload} REPLACE
        EXISTS b => :0
        RESTORE b 9223372036854775807 {payload}
        EXISTS b => :0
        RESTORE b 9223372036854775807 {payload} ABSTTL
        PEXPIRETIME b => :9223372036854775807
        RESTORE b 9223372036854775808 {payload} REPLACE => -ERR value is not an integer or out of range
        PEXPIRETIME b => :9223372036854775807
        RESTORE b 9223372036854775807 {payload} => -BUSYKEY Target key name already exists.
        DBSIZE => :2
        "#
    ));
}

#[test]
fn idletime_and_freq() {
    let mut server = TestServer::new();
    server.script("SET a hello");
    let payload = dumped(&mut server, "a");
    server.script(&format!(
        r#"
        RESTORE b 0 {payload} IDLETIME 1000
        OBJECT IDLETIME b => :1000
        RESTORE b 0 {payload} FREQ 100 REPLACE
        OBJECT IDLETIME b => :0
        CONFIG SET maxmemory-policy allkeys-lfu
        RESTORE b 0 {payload} FREQ 100 REPLACE
        OBJECT FREQ b => :100
        RESTORE-ASKING b 0 {payload} IDLETIME 9 REPLACE
        OBJECT FREQ b => :5
        "#
    ));
}

/// A key of each type and encoding: name, encoding, whether the elements have an order.
const ENCODINGS: &[(&str, &str, bool)] = &[
    ("int", "int", true),
    ("short", "embstr", true),
    ("long", "raw", true),
    ("list", "listpack", true),
    ("lists", "quicklist", true),
    ("ints", "intset", true),
    ("set", "listpack", true),
    ("sets", "hashtable", false),
    ("zset", "listpack", true),
    ("zsets", "skiplist", true),
    ("hash", "listpack", true),
    ("hashes", "hashtable", false),
    ("fields", "listpackex", true),
    ("fieldss", "hashtable", false),
    ("stream", "stream", true),
];

fn fill(server: &mut TestServer) {
    server.engine.settings.debug_command = Permission::Yes;
    server.run("SET int 1 EX 100");
    server.run("SET short text");
    server.run(&format!("SET long {}", "text".repeat(100)));
    for n in 0..600 {
        let few = n < 20;
        let mut run = |line: String| {
            server.run(&line);
        };
        run(format!("RPUSH lists {n} item:{n} \"some longer text\""));
        run(format!("SADD sets m{n}"));
        run(format!("ZADD zsets {n}.5 m{n}"));
        run(format!("HSET hashes f{n} v{n}"));
        run(format!("HSET fieldss f{n} v{n}"));
        run(format!("XADD stream {n}-1 n {n} text \"again and again\""));
        if few {
            run(format!("RPUSH list {n} item:{n}"));
            run(format!("SADD ints {n}"));
            run(format!("SADD set m{n}"));
            run(format!("ZADD zset {n} m{n}"));
            run(format!("HSET hash f{n} v{n}"));
            run(format!("HSET fields f{n} v{n}"));
        }
    }
    for line in [
        "HPEXPIREAT fields 1800000000000 FIELDS 3 f1 f4 f9",
        "HPEXPIREAT fieldss 1800000000000 FIELDS 3 f1 f400 f9",
        "XDEL stream 5-1",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group one COUNT 5 STREAMS stream >",
        "XREADGROUP GROUP group two COUNT 5 STREAMS stream >",
    ] {
        let answer = server.run(line);
        assert!(!answer.starts_with('-'), "{line}: {answer}");
    }
}

/// COPY and RESTORE make an equal value of the same encoding that shares no memory with the first.
#[test]
fn copies_of_every_encoding() {
    let mut server = TestServer::new();
    fill(&mut server);
    for (key, encoding, is_ordered) in ENCODINGS {
        server.script(&format!("OBJECT ENCODING {key} => \"{encoding}\"\n COPY {key} copy => :1"));
        let payload = dumped(&mut server, key);
        let ttl = server.run(&format!("PTTL {key}")).replace(":-1", ":0");
        server.script(&format!("RESTORE back {} {payload}", &ttl[1..]));
        for other in ["copy", "back"] {
            assert_eq!(server.run(&format!("OBJECT ENCODING {other}")), format!("\"{encoding}\""));
            let digests = server.run(&format!("DEBUG DIGEST-VALUE {key} {other}"));
            let (first, second) = digests[1..digests.len() - 1].split_once(' ').expect("two");
            assert_eq!(first, second, "{key} as {other}");
            if *is_ordered {
                assert_eq!(dumped(&mut server, other), payload, "{key} as {other}");
            }
        }
        let read = |server: &mut TestServer, key: &str| match *encoding {
            "stream" => server.run(&format!("XINFO STREAM {key} FULL")),
            _ => server.run(&format!("DEBUG DIGEST-VALUE {key}")),
        };
        let before = read(&mut server, key);
        assert_eq!(read(&mut server, "back"), before);
        change(&mut server, "copy", encoding);
        assert_ne!(read(&mut server, "copy"), before, "{key}");
        assert_eq!(read(&mut server, key), before, "{key}");
        server.run("DEL copy back");
    }
}

/// Changes a value in a way that suits its type.
fn change(server: &mut TestServer, key: &str, encoding: &str) {
    let kind = server.run(&format!("TYPE {key}"));
    let line = match kind.as_str() {
        "+list" => format!("LSET {key} 3 other"),
        "+set" if encoding == "intset" => format!("SREM {key} 3"),
        "+set" => format!("SREM {key} m3"),
        "+zset" => format!("ZINCRBY {key} 100 m3"),
        "+hash" => format!("HSET {key} f3 other"),
        "+stream" => format!("XACK {key} group 2-1"),
        _ => format!("APPEND {key} 1"),
    };
    let answer = server.run(&line);
    assert!(!answer.starts_with('-'), "{line}: {answer}");
}

/// Fields of a restored or copied hash expire as others do.
#[test]
fn fields_of_restored_hashes_expire() {
    let mut server = TestServer::new();
    server.run("HSET h a 1 b 2");
    server.run("HPEXPIRE h 1000 FIELDS 1 a");
    let payload = dumped(&mut server, "h");
    server.script(&format!("RESTORE back 0 {payload}\n COPY h copy => :1"));
    server.advance(1001);
    server.script(
        r#"
        HGETALL back => ["b" "2"]
        HGETALL copy => ["b" "2"]
        HEXISTS back a => :0
        DEL h back copy => :3
        "#,
    );
}
