//! DUMP and RESTORE as commands.

use crate::commands::testing::{START_MS, TestServer};
use crate::engine::settings::Permission;

/// The payload of a key, quoted for a request.
fn dumped(server: &mut TestServer, key: &str) -> String {
    server.run(&format!("DUMP {key}"))
}

#[test]
fn there_and_back() {
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
    let good = dumped(&mut server, "a");
    server.script(&format!(
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
        RESTORE b 9223372036854775807 {good} => -ERR invalid expire time in 'restore' command
        RESTORE b 0 "\x00\x05hello\x0d\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR DUMP payload version or checksum are wrong
        DEBUG SET-SKIP-CHECKSUM-VALIDATION 1
        RESTORE b 0 "\x00\x05hello\x0d\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR DUMP payload version or checksum are wrong
        RESTORE b 0 "\x00\x06hello\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR Bad data format
        RESTORE b 0 "\x00\x04hello\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR Bad data format
        RESTORE b 0 "\x00\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR Bad data format
        RESTORE a 0 "\x00\x81\xff\xff\xff\xff\xff\xff\xff\xf7\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" REPLACE => -ERR Bad data format
        RESTORE b 0 "\x00\x05hallo\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        DEBUG SET-SKIP-CHECKSUM-VALIDATION 0
        RESTORE c 0 "\x00\x05hallo\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00" => -ERR DUMP payload version or checksum are wrong
        GET a => "hello"
        GET b => "hallo"
        DBSIZE => :2
        "#
    ));
}

/// Payloads don't show as text.
fn assert_repeated(fed: &str, deadline: u64, end: &str) {
    assert!(fed.starts_with(&format!("RESTORE b {deadline} ")) && fed.ends_with(end), "{fed}");
}

#[test]
fn times_to_live() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.feed();
    server.script("SET a hello");
    let payload = dumped(&mut server, "a");
    server.fed();
    server.events();
    let (future, past) = (START_MS + 5000, START_MS - 1);
    server.script(&format!("RESTORE b 1500 {payload}\n PTTL b => :1500"));
    assert_repeated(&server.fed(), START_MS + 1500, " ABSTTL");
    server.script(&format!("RESTORE b {future} {payload} ABSTTL REPLACE\n PTTL b => :5000"));
    assert_repeated(&server.fed(), future, " ABSTTL REPLACE");
    assert_eq!(server.events(), "restore b; restore b");
    server.script(&format!("RESTORE c {past} {payload} ABSTTL\n EXISTS c => :0"));
    assert_eq!((server.fed(), server.events()), (String::new(), String::new()));
    server.script(&format!("RESTORE b {past} {payload} ABSTTL REPLACE\n EXISTS b => :0"));
    assert_eq!((server.fed(), server.events()), ("DEL b".into(), "del b".into()));
    server.engine.settings.payloads.unlink = true;
    server.script(&format!("SET b 1\n RESTORE b {past} {payload} ABSTTL REPLACE"));
    assert_eq!(server.fed(), "SET b 1; UNLINK b");
}

#[test]
fn access_words() {
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
