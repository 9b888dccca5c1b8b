//! Tests of IDMP, IDMPAUTO, XCFGSET and XIDMPRECORD.

use crate::commands::support::testing::{START_MS, TestServer};
use crate::engine::clients::session::Role;
use crate::resp::OwnedArgs;

fn info(server: &mut TestServer, key: &str, fields: &[&str]) -> Vec<String> {
    let text = server.run(&format!("XINFO STREAM {key}"));
    let words: Vec<&str> = text.trim_matches(['[', ']']).split(' ').collect();
    let value = |field: &&str| {
        let at = words.iter().position(|word| word.trim_matches('"') == *field).expect("a field");
        words[at + 1].to_owned()
    };
    fields.iter().map(value).collect()
}

const COUNTS: [&str; 4] = ["pids-tracked", "iids-tracked", "iids-added", "iids-duplicates"];

#[test]
fn requests_are_appended_once() {
    let mut server = TestServer::new();
    let now = START_MS;
    server.script(&format!(
        r#"
        XADD s IDMP p 1 * f v => "{now}-0"
        XADD s IDMP p 1 * other fields => "{now}-0"
        XADD s IDMP q 1 * f v => "{now}-1"
        XADD s MAXLEN ~ 9 idmp p 2 * f v => "{now}-2"
        XADD s IDMPAUTO p * a 1 b 2 => "{now}-3"
        XADD s IDMPAUTO p * b 2 a 1 => "{now}-3"
        XADD s IDMPAUTO p * b 1 a 2 => "{now}-4"
        XADD s IDMPAUTO q NOMKSTREAM * a 1 b 2 => "{now}-5"
        XLEN s => :6
        XDEL s {now}-0 => :1
        XADD s IDMP p 1 * f v => "{now}-0"
        XADD none NOMKSTREAM IDMP p 1 * f v => nil
        EXISTS none => :0
        "#,
    ));
    assert_eq!(info(&mut server, "s", &COUNTS), [":2", ":6", ":6", ":3"]);
}

#[test]
fn errors() {
    let mut server = TestServer::new();
    server.script(
        r#"
        XADD s IDMP p 1 5-5 f v => -ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs
        XADD s IDMPAUTO p 5-* f v => -ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs
        XADD s IDMP p 1 x f v => -ERR Invalid stream ID specified as stream command argument
        XADD s IDMP p 1 IDMPAUTO p * f v => -ERR syntax error, IDMP/IDMPAUTO specified multiple times
        XADD s IDMP "" 1 * f v => -ERR syntax error, IDMP requires a non-empty producer ID
        XADD s IDMP p "" * f v => -ERR syntax error, IDMP requires a non-empty idempotent ID
        XADD s IDMPAUTO "" * f v => -ERR syntax error, IDMPAUTO requires a non-empty producer ID
        XADD s IDMP p => -ERR wrong number of arguments for 'xadd' command
        XADD s IDMP p f v => -ERR Invalid stream ID specified as stream command argument
        EXISTS s => :0
        XCFGSET s => -ERR no such key
        XIDMPRECORD s p 1 1 => -ERR no such key
        XADD s 1 f v => "1-0"
        XCFGSET s => -ERR At least one parameter must be specified
        XCFGSET s IDMP-DURATION => -ERR syntax error
        XCFGSET s IDMP-DURATION x => -ERR value is not an integer or out of range
        XCFGSET s IDMP-DURATION 0 => -ERR IDMP-DURATION must be between 1 and 86400 seconds
        XCFGSET s IDMP-MAXSIZE 10001 => -ERR IDMP-MAXSIZE must be between 1 and 10000 entries
        XCFGSET s IDMP-MAXSIZE 5 IDMP-MAXSIZE 6 => -ERR IDMP-MAXSIZE specified multiple times
        XIDMPRECORD s p 1 x => -ERR Invalid stream ID specified as stream command argument
        XIDMPRECORD s "" 1 1 => -ERR producer ID must be non-empty
        XIDMPRECORD s p "" 1 => -ERR idempotent ID must be non-empty
        XIDMPRECORD s p 1 2 => -ERR No such message in stream
        SET str x => +OK
        XCFGSET str IDMP-MAXSIZE 5 => -WRONGTYPE Operation against a key holding the wrong kind of value
        XIDMPRECORD str p 1 2 => -WRONGTYPE Operation against a key holding the wrong kind of value
        XADD s 18446744073709551615-18446744073709551615 f v => "18446744073709551615-18446744073709551615"
        XADD s IDMP p 1 * f v => -ERR The stream has exhausted the last possible ID, unable to add more items
        "#,
    );
}

#[test]
fn retention() {
    let mut server = TestServer::new();
    server.script(
        r#"
        CONFIG SET stream-idmp-maxsize 2 => +OK
        XADD s IDMP p 1 * f v => "1700000000000-0"
        CONFIG SET stream-idmp-maxsize 100 => +OK
        XADD s IDMP p 2 * f v => "1700000000000-1"
        XADD s IDMP p 3 * f v => "1700000000000-2"
        XADD s IDMP p 2 * f v => "1700000000000-1"
        XADD s IDMP p 1 * f v => "1700000000000-3"
        XCFGSET s IDMP-DURATION 2 => +OK
        XADD s IDMP p 1 * f v => "1700000000000-4"
        XCFGSET s IDMP-DURATION 2 IDMP-MAXSIZE 2 => +OK
        XADD s IDMP p 1 * f v => "1700000000000-4"
        XADD new IDMP p 1 * f v => "1700000000000-0"
        "#,
    );
    let fields = ["idmp-duration", "idmp-maxsize", "iids-tracked"];
    assert_eq!(info(&mut server, "s", &fields), [":2", ":2", ":1"]);
    assert_eq!(info(&mut server, "new", &fields), [":100", ":100", ":1"]);
    server.advance(1999);
    server.script(r#"XADD s IDMP p 1 * f v => "1700000000000-4""#);
    server.advance(1);
    server.script(r#"XADD s IDMP p 1 * f v => "1700000002000-0""#);
    // The periodic job gives memory back, of streams that were moved, too.
    server.script("RENAME s t => +OK\nCOPY t u => :1\nMOVE u 1 => :1");
    server.advance(1_000_000);
    server.engine.tick();
    assert_eq!(info(&mut server, "t", &COUNTS), [":0", ":0", ":6", ":3"]);
    assert_eq!(info(&mut server, "new", &COUNTS), [":0", ":0", ":1", ":0"]);
    server.run("SELECT 1");
    assert_eq!(info(&mut server, "u", &COUNTS[..2]), [":0", ":0"]);
    for db in 0..2 {
        assert_eq!(server.engine.data.keyspace.database(db).streams_with_requests(), 0);
    }
}

#[test]
fn records() {
    let mut server = TestServer::new();
    server.script(
        r#"
        XADD s 1700000000000-5 f v => "1700000000000-5"
        XADD s 1700000000001-0 f v => "1700000000001-0"
        XIDMPRECORD s p 1 1700000000000-5 => +OK
        XIDMPRECORD s p 1 1700000000000-5 => +OK
        XIDMPRECORD s p 1 1700000000001-0 => -ERR IID already exists for this producer with a different stream ID
        XADD s IDMP p 1 * f v => "1700000000000-5"
        "#,
    );
    assert_eq!(info(&mut server, "s", &COUNTS), [":1", ":1", ":1", ":1"]);
}

/// The digest is that of Redis: an identifier that it made is known here.
#[test]
fn digests() {
    let long = "v".repeat(500);
    for (fields, expected) in [
        (&["field", "value", "another", "12345"][..], 0x84d0_eb90_bc4a_44a9_2dcc_6846_e2f8_4be4_u128),
        (&["field", &long], 0x2ea8_db15_2f6e_3e7a_363e_7c84_651e_72d2),
    ] {
        let fields = OwnedArgs::from_parts(fields.iter());
        assert_eq!(u128::from_be_bytes(super::digest_of(fields.as_args())), expected);
    }
}

/// What a log or a replica does is what the primary did, whatever has expired here.
#[test]
fn propagation() {
    let mut server = TestServer::new();
    let now = START_MS;
    server.propagate();
    server.run("XADD s MAXLEN ~ 5 IDMP p 1 * f v");
    assert_eq!(server.propagated(), format!("XADD s MAXLEN = 1 IDMP p 1 {now}-0 f v"));
    server.run("XADD s MAXLEN ~ 5 IDMPAUTO p * f v");
    server.propagated();
    server.run("XADD s MAXLEN ~ 5 IDMP p 1 * f v");
    assert_eq!(server.propagated(), format!("XADD s MAXLEN ~ 5 IDMP p 1 {now}-0 f v"));
    server.run("XCFGSET s IDMP-DURATION 100");
    assert_eq!(server.propagated(), "");
    server.run("XCFGSET s IDMP-DURATION 1");
    assert_eq!(server.propagated(), "XCFGSET s IDMP-DURATION 1");
    server.run(&format!("XIDMPRECORD s p 7 {now}-0"));
    assert_eq!(server.propagated(), format!("XIDMPRECORD s p 7 {now}-0"));

    let mut replica = TestServer::new();
    let primary = replica.connect();
    replica.engine.clients.sessions.live_mut(primary).role = Role::Primary;
    for (request, reply) in [
        ("XADD s IDMP p 1 5-0 f v", r#""5-0""#),
        ("XADD s IDMP p 1 5-0 f v", r#""5-0""#),
        // It had expired there.
        ("XADD s IDMP p 1 7-0 f v", r#""7-0""#),
        ("XADD s IDMP p 1 7-0 f v", r#""7-0""#),
        // It has expired here.
        ("XADD s IDMP q 1 6-0 f v", r#""6-0""#),
        // Redis propagates a repeated request as it came.
        ("XADD s IDMP p 1 * f v", r#""7-0""#),
        ("XADD s IDMP r 1 * f v", "nil"),
        ("XLEN s", ":2"),
        ("XDEL s 5-0", ":1"),
        ("XIDMPRECORD s r 3 5-0", "+OK"),
    ] {
        assert_eq!(replica.run_as(primary, request), reply, "{request}");
    }
    assert_eq!(info(&mut replica, "s", &COUNTS), [":2", ":2", ":3", ":5"]);
}
