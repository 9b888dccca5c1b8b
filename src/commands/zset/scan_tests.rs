//! Tests of ZSCAN and ZRANDMEMBER.

use std::collections::BTreeSet;

use crate::commands::support::testing::TestServer;

#[test]
fn zscan_of_a_listpack() {
    let mut server = TestServer::new();
    server.script(
        r#"
        ZADD z 1 one 2.5 two 3 three => :3
        ZSCAN z 0 => ["0" ["one" "1" "two" "2.5" "three" "3"]]
        ZSCAN z 0 MATCH t* COUNT 1 => ["0" ["two" "2.5" "three" "3"]]
        ZSCAN z 0 NOSCORES => ["0" ["one" "two" "three"]]
        ZSCAN nokey 0 => ["0" []]
        ZSCAN nokey 0 COUNT => ["0" []]
        ZSCAN z x => -ERR invalid cursor
        ZSCAN z 0 COUNT 0 => -ERR syntax error
        ZSCAN z 0 COUNT x => -ERR value is not an integer or out of range
        ZSCAN z 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        ZSCAN z 0 TYPE zset => -ERR syntax error
        "#,
    );
    server.resp3();
    server.script(r#"ZSCAN z 0 MATCH one => ["0" ["one" "1"]]"#);
}

#[test]
fn zscan_of_a_skiplist_returns_each_member_once() {
    let mut server = TestServer::new();
    for n in 0..1000 {
        server.run(&format!("ZADD z {n}.1 m{n}"));
    }
    let (mut cursor, mut seen) = ("0".to_string(), Vec::new());
    loop {
        let reply = server.run(&format!("ZSCAN z {cursor} COUNT 50 NOSCORES"));
        let (head, rest) = reply[2..].split_once("\" [").expect("cursor and members");
        cursor = head.to_string();
        seen.extend(rest.split('"').filter(|word| word.starts_with('m')).map(str::to_string));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
    assert!(server.run("ZSCAN z 0 COUNT 5000 MATCH m7").contains("\"7.0999999999999996\""));
}

#[test]
fn zrandmember() {
    let mut server = TestServer::new();
    server.script(
        r#"
        ZRANDMEMBER z => nil
        ZRANDMEMBER z 3 => []
        ZADD z 1 a => :1
        ZRANDMEMBER z => "a"
        ZRANDMEMBER z 5 => ["a"]
        ZRANDMEMBER z -3 => ["a" "a" "a"]
        ZRANDMEMBER z -2 WITHSCORES => ["a" "1" "a" "1"]
        ZRANDMEMBER z 0 => []
        ZRANDMEMBER z x => -ERR value is not an integer or out of range
        ZRANDMEMBER z 1 SCORES => -ERR syntax error
        ZRANDMEMBER z 1 WITHSCORES x => -ERR syntax error
        ZRANDMEMBER z -9223372036854770000 WITHSCORES => -ERR value is out of range
        ZRANDMEMBER z -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        "#,
    );
    server.resp3();
    server.script("ZRANDMEMBER z 2 WITHSCORES => [[\"a\" ,1]]");
    for n in 0..300 {
        server.run(&format!("ZADD z {n} m{n}"));
    }
    for count in [1, 10, 299, 301, 1000] {
        let reply = server.run(&format!("ZRANDMEMBER z {count}"));
        let members: BTreeSet<&str> = reply.trim_matches(['[', ']']).split(' ').collect();
        assert_eq!(members.len(), count.min(301));
    }
}
