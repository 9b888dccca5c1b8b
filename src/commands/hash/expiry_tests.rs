//! Tests of hash field expiration: the commands, active expiry, and the index of hashes with deadlines.

use crate::base::rng::Rng;
use crate::commands::support::testing::{START_MS, TestServer};
use crate::engine::clients::session::Role;

#[test]
fn setting_and_reading() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        HEXPIRE none 10 FIELDS 2 a b => [:-2 :-2]
        HSET h a 1 b 2 c 3 => :3
        HEXPIRE h 10 FIELDS 2 a none => [:1 :-2]
        HTTL h FIELDS 3 a b none => [:10 :-1 :-2]
        HPTTL h FIELDS 1 a => [:10000]
        HEXPIRETIME h FIELDS 1 a => [:1700000010]
        HPEXPIRETIME h FIELDS 1 a => [:1700000010000]
        HPEXPIRE h 1500 NX FIELDS 2 a b => [:0 :1]
        HTTL h FIELDS 1 b => [:2]
        HPEXPIRE h 2500 XX FIELDS 2 b c => [:1 :0]
        HPEXPIRE h 2000 GT FIELDS 3 a b c => [:0 :0 :0]
        HPEXPIRE h 3000 LT FIELDS 3 a b c => [:1 :0 :1]
        HEXPIREAT h 1700000020 FIELDS 1 c => [:1]
        HPEXPIREAT h 1700000030000 FIELDS 1 c => [:1]
        HPERSIST h FIELDS 3 a none c => [:1 :-2 :1]
        HPERSIST h FIELDS 1 a => [:-1]
        HPERSIST none FIELDS 1 a => [:-2]
        HEXPIREAT h 1 XX FIELDS 1 a => [:0]
        HEXPIREAT h 1 FIELDS 3 a none b => [:2 :-2 :2]
        HEXPIRE h 0 FIELDS 1 c => [:2]
        EXISTS h => :0
        "#,
    );
    assert_eq!(
        server.propagated(),
        "HSET h a 1 b 2 c 3; HPEXPIREAT h 1700000010000 FIELDS 1 a; \
        HPEXPIREAT h 1700000001500 NX FIELDS 1 b; HPEXPIREAT h 1700000002500 XX FIELDS 1 b; \
        HPEXPIREAT h 1700000003000 LT FIELDS 2 a c; HPEXPIREAT h 1700000020000 FIELDS 1 c; \
        HPEXPIREAT h 1700000030000 FIELDS 1 c; \
        MULTI; HPEXPIREAT h 1700086400000 FIELDS 2 a c; HPERSIST h FIELDS 3 a none c; EXEC; \
        MULTI; HDEL h a; HDEL h b; EXEC; HDEL h c"
    );
    assert_eq!(
        server.events(),
        "hset h; hexpire h; hexpire h; hexpire h; hexpire h; hexpire h; hexpire h; hpersist h; hdel h; \
        hdel h; del h"
    );
    assert_eq!(server.engine.data.keyspace.stats.expired_fields, 3);
}

#[test]
fn errors() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HSET h a 1 => :1
        HEXPIRE h -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
        HEXPIRE h x FIELDS 1 a => -ERR value is not an integer or out of range
        HEXPIRE h 281474976710 FIELDS 1 a => -ERR invalid expire time in 'hexpire' command
        HPEXPIREAT h 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hpexpireat' command
        HPEXPIREAT h 70368744177663 FIELDS 1 a => [:1]
        HPEXPIRE h 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hpexpire' command
        HEXPIRE h 1 FIELDS 0 a => -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 1 FIELDS 99999999999 a => -ERR Parameter `numFields` should be greater than 0
        HEXPIRE h 1 FIELDS 2 a => -ERR wrong number of arguments
        HEXPIRE h 1 NX FIELDS 1 => -ERR FIELDS requires at least numfields and one field argument
        HEXPIRE h 1 NX XX FIELDS 1 a => -ERR Multiple condition flags specified
        HEXPIRE h 1 FIELDS 1 a FIELDS 1 a => -ERR FIELDS keyword specified multiple times
        HEXPIRE h 1 FIELDS 1 a b => -ERR unknown argument: b
        HEXPIRE h 1 NX NX NX => -ERR missing FIELDS argument
        HEXPIRE h 100 FIELDS 1 FIELDS NX NX => [:-2]
        HTTL h FIELDS 0 a => -ERR Number of fields must be a positive integer
        HTTL h FIELD 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HPERSIST h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        SET t 1
        HEXPIRE t x FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HTTL t FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HPERSIST t FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn encodings() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HSET h a 1 b 2 => :2
        OBJECT ENCODING h => "listpack"
        HPERSIST h FIELDS 1 a => [:-1]
        OBJECT ENCODING h => "listpack"
        HEXPIRE h 10 XX FIELDS 1 a => [:0]
        OBJECT ENCODING h => "listpackex"
        HEXPIRE h 10 FIELDS 1 a => [:1]
        OBJECT ENCODING h => "listpackex"
        HPERSIST h FIELDS 1 a => [:1]
        OBJECT ENCODING h => "listpackex"
        "#,
    );
}

#[test]
fn active_expiry() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.script("HSET h a 1 b 2 c 3 => :3\n HPEXPIRE h 10 FIELDS 2 a b => [:1 :1]\n HSET g f v => :1");
    server.script("HPEXPIRE g 10 FIELDS 1 f => [:1]");
    server.events();
    server.propagate();
    server.advance(10);
    server.engine.tick();
    assert_eq!(server.run("HLEN h"), ":3");
    server.advance(100);
    server.engine.tick();
    assert_eq!(server.run("HGETALL h"), "[\"c\" \"3\"]");
    assert_eq!(server.run("EXISTS g"), ":0");
    let mut events: Vec<String> = server.events().split("; ").map(str::to_string).collect();
    events.sort();
    assert_eq!(events, ["del g", "hexpired g", "hexpired h"]);
    let mut propagated: Vec<String> = server.propagated().split("; ").map(str::to_string).collect();
    propagated.sort();
    assert_eq!(propagated, ["HDEL g f", "HDEL h a", "HDEL h b"]);
    assert_eq!(server.engine.data.keyspace.stats.expired_fields, 3);
    assert_eq!(server.engine.data.keyspace.database(0).hashes_with_deadlines(), 0);
}

#[test]
fn no_field_expires_in_import_mode() {
    let mut server = TestServer::new();
    server.script("HSET h a 1 b 2 => :2\n HPEXPIRE h 10 FIELDS 1 a => [:1]");
    server.engine.settings.import_mode = true;
    server.advance(100);
    server.engine.tick();
    server.script("HLEN h => :2\n HGET h a => nil\n HLEN h => :2\n HINCRBY h n 1 => :1");
    server.engine.settings.import_mode = false;
    server.advance(200);
    server.engine.tick();
    assert_eq!(server.run("HLEN h"), ":2");
}

/// A session that replays a log works on expired fields, as when the log was written.
#[test]
fn a_replay_ignores_field_expiry() {
    let mut server = TestServer::new();
    server.script("HSET h a 1 b 2 => :2\n HPEXPIRE h 10 FIELDS 1 a => [:1]");
    server.advance(11);
    server.engine.clients.sessions.live_mut(server.client).role = Role::Internal;
    server.script(
        r#"
        HINCRBY h a 5 => :6
        HGET h a => "6"
        HMGET h a b => ["6" "2"]
        HGETALL h => ["a" "6" "b" "2"]
        HTTL h FIELDS 1 a => [:0]
        HSETEX h FXX KEEPTTL FIELDS 1 a 7 => :1
        HPERSIST h FIELDS 1 a => [:1]
        "#,
    );
    server.engine.clients.sessions.live_mut(server.client).role = Role::Normal;
    server.script("HGET h a => \"7\"");
}

#[test]
fn a_big_hash_expires_over_several_cycles() {
    let mut server = TestServer::new();
    let names: Vec<String> = (0..3000).map(|n| format!("f{n}")).collect();
    let pairs: Vec<String> = names.iter().map(|name| format!("{name} v")).collect();
    server.run(&format!("HSET h {}", pairs.join(" ")));
    server.run(&format!("HPEXPIRE h 10 FIELDS {} {}", names.len(), names.join(" ")));
    server.advance(100);
    let mut turns = 0;
    while server.run("EXISTS h") == ":1" {
        server.advance(1);
        server.engine.tick();
        turns += 1;
        assert!(turns < 1000, "it ends");
    }
    assert_eq!(server.engine.data.keyspace.stats.expired_fields, 3000);
}

#[test]
fn moved_keys_keep_their_field_deadlines() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HSET h a 1 b 2 => :2
        HPEXPIRE h 10 FIELDS 1 a => [:1]
        RENAME h i
        COPY i j => :1
        COPY i k DB 3 => :1
        MOVE j 1 => :1
        SWAPDB 1 2
        HSET s a 1 => :1
        HPEXPIRE s 10 FIELDS 1 a => [:1]
        SET s string
        HSET d a 1 => :1
        HPEXPIRE d 10 FIELDS 1 a => [:1]
        DEL d => :1
        HSET d a 1 => :1
        "#,
    );
    let indexed = |server: &TestServer| {
        (0..4).map(|db| server.engine.data.keyspace.database(db).hashes_with_deadlines()).collect::<Vec<_>>()
    };
    assert_eq!(indexed(&server), [1, 0, 1, 1]);
    server.advance(200);
    server.engine.tick();
    assert_eq!(indexed(&server), [0, 0, 0, 0]);
    assert_eq!(server.engine.data.keyspace.stats.expired_fields, 3);
    server.script("HGETALL i => [\"b\" \"2\"]\n HGETALL d => [\"a\" \"1\"]\n GET s => \"string\"");
    server.script("HPEXPIRE i 10 FIELDS 1 b => [:1]\n FLUSHALL");
    assert_eq!(indexed(&server), [0, 0, 0, 0]);
}

/// After any command the index has exactly the hashes with deadlines, and active expiry empties it in the end.
#[test]
fn the_index_has_exactly_the_hashes_with_deadlines() {
    let mut rng = Rng::new(11);
    for form in [0, 512] {
        let mut server = TestServer::new();
        server.engine.settings.limits.hash_max_listpack_entries = form;
        for step in 0..1500 {
            let (key, other) = (rng.below(4), rng.below(4));
            let (field, ms) = (rng.below(5), 1 + rng.below(60));
            let request = match rng.below(12) {
                0 | 1 => format!("HSET {key} {field} v"),
                2 | 3 => format!("HPEXPIRE {key} {ms} FIELDS 1 {field}"),
                4 => format!("HSETEX {key} PX {ms} FIELDS 1 {field} v"),
                5 => format!("HPERSIST {key} FIELDS 1 {field}"),
                6 => format!("HDEL {key} {field}"),
                7 => format!("HGETEX {key} PX {ms} FIELDS 1 {field}"),
                8 => format!("HGET {key} {field}"),
                9 => format!("RENAME {key} {other}"),
                10 => format!("COPY {key} {other} REPLACE"),
                _ => format!("DEL {key}"),
            };
            server.run(&request);
            if step % 7 == 0 {
                server.advance(rng.below(20));
                server.engine.tick();
            }
            let database = server.engine.data.keyspace.database(0);
            let with = database.table().iter().filter(|entry| has_deadline(entry)).count();
            assert_eq!(database.hashes_with_deadlines(), with, "{request}");
        }
        server.advance(500);
        server.engine.tick();
        assert_eq!(server.engine.data.keyspace.database(0).hashes_with_deadlines(), 0);
        assert!(server.engine.now() > START_MS);
    }
}

fn has_deadline(entry: &crate::structures::table::Entry<'_, crate::value::Value>) -> bool {
    match entry.value {
        crate::structures::table::EntryValue::Object(value) => value.next_field_deadline().is_some(),
        _ => false,
    }
}

#[test]
fn hashes_that_are_due_together_are_swept_by_their_deadlines() {
    let mut server = TestServer::new();
    for number in (0..20u64).rev() {
        server.script(&format!(
            "HSET h{number} f v g v => :2\nHPEXPIRE h{number} {} FIELDS 1 f => [:1]",
            10 + number
        ));
    }
    server.propagate();
    server.advance(100);
    server.engine.tick();
    let wanted: Vec<String> = (0..20).map(|number| format!("HDEL h{number} f")).collect();
    assert_eq!(server.propagated(), wanted.join("; "));
}
