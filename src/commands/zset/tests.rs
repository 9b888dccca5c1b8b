//! Tests of ZADD, ZINCRBY, ranks and removal.

use crate::commands::support::testing::TestServer;

#[test]
fn zadd_adds_and_updates() {
    let mut server = TestServer::new();
    server.script(
        r#"
        ZADD z 1 a 2 b 3 c => :3
        ZADD z 1 a 5 b 4 d => :1
        ZADD z CH 1 a 6 b 5 e => :2
        ZADD z NX 9 a 9 f => :1
        ZADD z XX CH 9 a 9 g => :1
        ZADD z XX GT CH 8 a 10 f => :1
        ZADD z LT CH 8 a 11 f 3 h => :2
        ZADD z INCR 2 a => "10"
        ZADD z NX INCR 2 a => nil
        ZADD z XX INCR 2 nobody => nil
        ZADD z GT INCR -1 a => nil
        ZADD nokey XX 1 a => :0
        ZADD nokey XX INCR 1 a => nil
        EXISTS nokey => :0
        ZINCRBY z 1.5 a => "11.5"
        ZINCRBY n -0.25 m => "-0.25"
        ZADD z +inf x => :1
        ZINCRBY z -inf x => -ERR resulting score is not a number (NaN)
        ZSCORE z x => "inf"
        ZADD z inf x -inf y => :1
        ZMSCORE z y nobody x => ["-inf" nil "inf"]
        ZMSCORE nokey a b => [nil nil]
        ZSCORE z nobody => nil
        ZSCORE nokey a => nil
        ZCARD z => :9
        ZCARD nokey => :0
        "#,
    );
}

#[test]
fn failed_additions_change_nothing() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SET s 1
        ZADD s 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZADD z 1 => -ERR wrong number of arguments for 'zadd' command
        ZADD z 1 a 2 => -ERR syntax error
        ZADD z NX 1 => -ERR syntax error
        ZADD z NX XX 1 a => -ERR XX and NX options at the same time are not compatible
        ZADD z NX GT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z LT GT 1 a => -ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z INCR 1 a 2 b => -ERR INCR option supports a single increment-element pair
        ZADD z 1 a x b => -ERR value is not a valid float
        ZADD z nan a => -ERR value is not a valid float
        ZINCRBY z x a => -ERR value is not a valid float
        ZINCRBY z NX a => -ERR syntax error
        ZINCRBY z gt INCR => -ERR syntax error
        EXISTS z => :0
        "#,
    );
}

#[test]
fn ranks_and_removal() {
    let mut server = TestServer::new();
    server.script(
        r#"
        ZADD z 1 a 2 b 3.5 c => :3
        ZRANK z c => :2
        ZREVRANK z c => :0
        ZRANK z c WITHSCORE => [:2 "3.5"]
        ZREVRANK z a withscore => [:2 "1"]
        ZRANK z nobody => nil
        ZRANK z nobody WITHSCORE => nil-array
        ZRANK nokey a => nil
        ZRANK z a SCORE => -ERR syntax error
        ZRANK z a WITHSCORE x => -ERR wrong number of arguments for 'zrank' command
        ZREM z a nobody => :1
        ZREM nokey a => :0
        ZREM z b c b => :2
        EXISTS z => :0
        "#,
    );
    server.resp3();
    server.script("ZADD z 1.5 a => :1\n ZSCORE z a => ,1.5\n ZRANK z a WITHSCORE => [:0 ,1.5]\n ZRANK z b WITHSCORE => nil");
}

#[test]
fn events() {
    let mut server = TestServer::new();
    server.notify("KEA");
    for (request, events) in [
        ("ZADD z 1 a 2 b", "zadd z"),
        ("ZADD z 1 a", ""),
        ("ZADD z NX 5 a", ""),
        ("ZADD z INCR 1 a", "zincr z"),
        ("ZINCRBY z 0 a", ""),
        ("ZREM z nobody", ""),
        ("ZREM z a", "zrem z"),
        ("ZREM z b", "zrem z; del z"),
    ] {
        server.run(request);
        assert_eq!(server.events(), events, "{request}");
    }
}

#[test]
fn large_sets_become_skiplists() {
    let mut server = TestServer::new();
    for n in 0..128 {
        server.run(&format!("ZADD z {n} m{n}"));
    }
    assert_eq!(server.run("OBJECT ENCODING z"), "\"listpack\"");
    assert_eq!(server.run("ZADD z 0.5 more"), ":1");
    assert_eq!(server.run("OBJECT ENCODING z"), "\"skiplist\"");
    assert_eq!(server.run("ZRANK z more"), ":1");
    assert_eq!(server.run(&format!("ZADD y 1 {}", "x".repeat(65))), ":1");
    assert_eq!(server.run("OBJECT ENCODING y"), "\"skiplist\"");
}
