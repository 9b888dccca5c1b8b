//! Tests of HGETALL, HKEYS, HVALS, HRANDFIELD and HSCAN.

use std::collections::BTreeSet;

use crate::commands::support::testing::TestServer;

fn words(reply: &str) -> Vec<String> {
    reply.split('"').skip(1).step_by(2).map(str::to_string).collect()
}

#[test]
fn whole_hashes() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HGETALL none => []
        HKEYS none => []
        HVALS none => []
        HSET h a 1 b x => :2
        HGETALL h => ["a" "1" "b" "x"]
        HKEYS h => ["a" "b"]
        HVALS h => ["1" "x"]
        SET t 1
        HGETALL t => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    server.resp3();
    server.script("HGETALL h => {\"a\":\"1\" \"b\":\"x\"}\n HGETALL none => {}\n HKEYS h => [\"a\" \"b\"]");
}

#[test]
fn hrandfield() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HRANDFIELD none => nil
        HRANDFIELD none 3 => []
        HRANDFIELD none 3 WITHVALUES => []
        HSET h a 1 b 2 c 3 => :3
        HRANDFIELD h 0 => []
        HRANDFIELD h x => -ERR value is not an integer or out of range
        HRANDFIELD h 1 VALUES => -ERR syntax error
        HRANDFIELD h 1 WITHVALUES x => -ERR syntax error
        HRANDFIELD h -9223372036854770000 WITHVALUES => -ERR value is out of range
        "#,
    );
    assert_eq!(
        server.run("HRANDFIELD h -9223372036854775808"),
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    );
    assert_eq!(words(&server.run("HRANDFIELD h 5")).len(), 3);
    assert_eq!(words(&server.run("HRANDFIELD h 2 WITHVALUES")).len(), 4);
    assert_eq!(words(&server.run("HRANDFIELD h -9 WITHVALUES")).len(), 18);
    let drawn: BTreeSet<String> = (0..60).flat_map(|_| words(&server.run("HRANDFIELD h"))).collect();
    assert_eq!(drawn.len(), 3);
    server.resp3();
    server.script("HDEL h a b => :2\n HRANDFIELD h 5 WITHVALUES => [[\"c\" \"3\"]]");
    assert_eq!(server.run("HRANDFIELD h -2 WITHVALUES"), "[[\"c\" \"3\"] [\"c\" \"3\"]]");
}

#[test]
fn hrandfield_removes_expired_fields() {
    let mut server = TestServer::new();
    server.engine.data.keyspace.active_expire = false;
    server.propagate();
    server.script("HSET h a 1 b 2 c 3 => :3\n HPEXPIRE h 10 FIELDS 2 a b => [:1 :1]");
    server.advance(11);
    server.propagated();
    server.script("HRANDFIELD h 5 => [\"c\"]\n HLEN h => :1");
    assert_eq!(server.propagated(), "MULTI; HDEL h b; HDEL h a; EXEC");
    server.script("HPEXPIRE h 10 FIELDS 1 c => [:1]");
    server.advance(11);
    server.script("HRANDFIELD h => nil\n EXISTS h => :0");
}

#[test]
fn hscan() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HSCAN none 0 => ["0" []]
        HSCAN none x => -ERR invalid cursor
        HSET h a 1 ab 2 b 3 => :3
        HSCAN h 0 => ["0" ["a" "1" "ab" "2" "b" "3"]]
        HSCAN h 0 MATCH a* NOVALUES COUNT 1 => ["0" ["a" "ab"]]
        HSCAN h 0 NOSCORES => -ERR NOSCORES option can only be used in ZSCAN
        HPEXPIRE h 10 FIELDS 1 a => [:1]
        "#,
    );
    server.engine.data.keyspace.active_expire = false;
    server.advance(11);
    assert_eq!(server.run("HSCAN h 0"), "[\"0\" [\"ab\" \"2\" \"b\" \"3\"]]");
    let pairs: Vec<String> = (0..1000).map(|n| format!("f{n} v{n}")).collect();
    server.run(&format!("HSET big {}", pairs.join(" ")));
    let (mut cursor, mut seen) = ("0".to_string(), Vec::new());
    loop {
        let mut shown = words(&server.run(&format!("HSCAN big {cursor}"))).into_iter();
        cursor = shown.next().expect("a cursor");
        seen.extend(shown);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (2000, 2000));
}
