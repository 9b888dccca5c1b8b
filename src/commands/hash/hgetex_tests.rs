//! Tests of HGETDEL, HGETEX and HSETEX.

use crate::commands::support::testing::TestServer;

#[test]
fn hgetdel() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        HSET h a 1 b 2 c 3 => :3
        HGETDEL h FIELDS 2 a none => ["1" nil]
        HGETDEL h FIELDS 1 none => [nil]
        HGETDEL none FIELDS 2 a b => [nil nil]
        HGETDEL h FIELDS 3 b c b => ["2" "3" nil]
        EXISTS h => :0
        HGETDEL h FIELD 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
        HGETDEL h FIELDS 0 a => -ERR Number of fields must be a positive integer
        HGETDEL h FIELDS x a => -ERR Number of fields must be a positive integer
        HGETDEL h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
        HGETDEL h FIELDS 1 => -ERR wrong number of arguments for 'hgetdel' command
        "#,
    );
    assert_eq!(server.propagated(), "HSET h a 1 b 2 c 3; HDEL h a none; HDEL h b c b");
    assert_eq!(server.events(), "hset h; hdel h; hdel h; del h");
}

#[test]
fn hgetex() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        HSET h a 1 b 2 c 3 => :3
        HGETEX h FIELDS 2 a none => ["1" nil]
        HGETEX h EX 100 FIELDS 2 a none => ["1" nil]
        HPTTL h FIELDS 2 a b => [:100000 :-1]
        HGETEX h PERSIST FIELDS 2 a b => ["1" "2"]
        HGETEX h PERSIST FIELDS 1 a => ["1"]
        HGETEX h PXAT 1 FIELDS 2 a b => ["1" "2"]
        HLEN h => :1
        HGETEX h EXAT 1 FIELDS 1 c => ["3"]
        EXISTS h => :0
        HGETEX h PX 10 FIELDS 1 c => [nil]
        HGETEX h EX x FIELDS 1 a => -ERR value is not an integer or out of range
        HGETEX h EX -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
        HGETEX h EX 281474976710656 FIELDS 1 a => -ERR invalid expire time in 'hgetex' command
        HGETEX h PXAT 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hgetex' command
        HGETEX h PXAT 1 1 => -ERR unknown argument: 1
        HGETEX h EX 100 FIELDS => -ERR wrong number of arguments for 'hgetex' command
        HGETEX h PERSIST 1 FIELDS 1 a => -ERR unknown argument: 1
        HGETEX h FIELDS 2 a => -ERR wrong number of arguments
        HGETEX h FIELDS 1 a FIELDS 1 b => -ERR FIELDS keyword specified multiple times
        HGETEX h FIELDS 1 a EX 1 PERSIST => -ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified
        HGETEX h KEEPTTL PERSIST FIELDS 1 a => -ERR unknown argument
        HGETEX h FXX FIELDS 1 a => -ERR unknown argument
        HGETEX h NX FIELDS 1 a => -ERR unknown argument: NX
        HGETEX h EX 1 PERSIST => -ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified
        HGETEX h EX 1 => -ERR wrong number of arguments for 'hgetex' command
        HSET h a 1 => :1
        HGETEX h FIELDS 1 a EX 100 => ["1"]
        HTTL h FIELDS 1 a => [:100]
        DEL h => :1
        SET t 1
        HGETEX t FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    assert_eq!(
        server.propagated(),
        "HSET h a 1 b 2 c 3; HPEXPIREAT h 1700000100000 FIELDS 2 a none; HPERSIST h FIELDS 2 a b; \
        MULTI; HDEL h a; HDEL h b; EXEC; HDEL h c; HSET h a 1; HPEXPIREAT h 1700000100000 FIELDS 1 a; DEL h; SET t 1"
    );
    assert_eq!(
        server.events(),
        "hset h; hexpire h; hpersist h; hdel h; hdel h; del h; hset h; hexpire h; del h; set t"
    );
}

/// A replica of Redis leaves a deadline that is over by its own clock; so it gets a later one first.
#[test]
fn deadlines_that_are_taken_away_at_the_last_moment() {
    let mut server = TestServer::new();
    server.propagate();
    server.script(
        r#"
        HSET h a 1 b 2 c 3 => :3
        HPEXPIRE h 59999 FIELDS 1 a => [:1]
        HPEXPIRE h 60000 FIELDS 1 b => [:1]
        HGETEX h PERSIST FIELDS 3 a b c => ["1" "2" "3"]
        HPEXPIRE h 1 FIELDS 1 a => [:1]
        HPERSIST h FIELDS 1 a => [:1]
        "#,
    );
    assert_eq!(
        server.propagated(),
        "HSET h a 1 b 2 c 3; HPEXPIREAT h 1700000059999 FIELDS 1 a; HPEXPIREAT h 1700000060000 FIELDS 1 b; \
        MULTI; HPEXPIREAT h 1700086400000 FIELDS 1 a; HPERSIST h FIELDS 3 a b c; EXEC; \
        HPEXPIREAT h 1700000000001 FIELDS 1 a; \
        MULTI; HPEXPIREAT h 1700086400000 FIELDS 1 a; HPERSIST h FIELDS 1 a; EXEC"
    );
}

#[test]
fn hsetex() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        HSETEX h FXX FIELDS 1 a 1 => :0
        HSETEX h XX FIELDS 1 a 1 => :0
        EXISTS h => :0
        HSETEX h EX 100 FIELDS 2 a 1 b 2 => :1
        HPTTL h FIELDS 2 a b => [:100000 :100000]
        HSETEX h KEEPTTL FIELDS 1 a 3 => :1
        HTTL h FIELDS 1 a => [:100]
        HSETEX h FIELDS 1 a 4 => :1
        HTTL h FIELDS 1 a => [:-1]
        HSETEX h FNX FIELDS 2 c 1 a 1 => :0
        HSETEX h FNX FIELDS 1 c 1 => :1
        HSETEX h FXX PX 500 FIELDS 1 c 2 => :1
        HSETEX h NX FIELDS 1 c 2 => :0
        HSETEX h XX FIELDS 1 c 2 => :1
        HSETEX h PX 0 FIELDS 2 a 1 new 1 => :1
        HKEYS h => ["b" "c"]
        HSETEX other PXAT 1 FIELDS 1 f v => :1
        EXISTS other => :0
        "#,
    );
    assert_eq!(
        server.propagated(),
        "HSETEX h PXAT 1700000100000 FIELDS 2 a 1 b 2; HSETEX h KEEPTTL FIELDS 1 a 3; \
        HSETEX h FIELDS 1 a 4; HSETEX h FNX FIELDS 1 c 1; HSETEX h FXX PXAT 1700000000500 FIELDS 1 c 2; \
        HSETEX h FIELDS 1 c 2; MULTI; HDEL h a; HDEL h new; EXEC; HDEL other f"
    );
    assert_eq!(
        server.events(),
        "hset h; hexpire h; hset h; hset h; hset h; hset h; hexpire h; hset h; hset h; hdel h; \
        hset other; hdel other; del other"
    );
}

#[test]
fn hsetex_errors() {
    let mut server = TestServer::new();
    server.script(
        r#"
        HSETEX h FIELDS 2 a b c => -ERR wrong number of arguments
        HSETEX h FIELDS 2147483648 a b => -ERR invalid number of fields
        HSETEX h FIELDS 1 a b c => -ERR unknown argument: c
        HSETEX h FIELDS 1 a b FIELDS 1 c d => -ERR FIELDS keyword specified multiple times
        HSETEX h PERSIST FIELDS 1 a b => -ERR unknown argument
        HSETEX h FIELDS 1 a b EX => -ERR missing expire time
        HSETEX h FIELDS 1 FIELDS EX FNX KEEPTTL => :1
        HGETALL h => ["FIELDS" "EX"]
        HSETEX h FIELDS 2 a b => -ERR wrong number of arguments
        HSETEX h FIELDS 0 a b => -ERR invalid number of fields
        HSETEX h FIELDS x a b => -ERR invalid number of fields
        HSETEX h FOO FIELDS 1 a b => -ERR unknown argument: FOO
        HSETEX h FXX FNX FIELDS 1 a b => -ERR Only one of FXX or FNX arguments can be specified
        HSETEX h NX XX FIELDS 1 a b => -ERR syntax error
        HSETEX h EX 1 PX 1 FIELDS 1 a b => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h KEEPTTL EX 1 FIELDS 1 a b => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h EX x FIELDS 1 a b => -ERR value is not an integer or out of range
        HSETEX h EX -1 FIELDS 1 a b => -ERR invalid expire time, must be >= 0
        HSETEX h NX FXX KEEPTTL EX => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        HSETEX h NX FXX FIELDS EX => -ERR invalid number of fields
        HSETEX h NX FXX EX 10 => -ERR missing FIELDS argument
        HSETEX h NX FXX FNX EX => -ERR Only one of FXX or FNX arguments can be specified
        HSETEX h NX FXX FIELDS 1 => -ERR wrong number of arguments
        SET t 1
        HSETEX t FIELDS 1 a b => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn hsetex_over_expired_fields() {
    let mut server = TestServer::new();
    server.script("HSETEX h PX 10 FIELDS 1 f v => :1");
    server.engine.data.keyspace.active_expire = false;
    server.advance(20);
    server.notify("KEA");
    server.propagate();
    // The expired field is the only one, yet the key is not deleted in between.
    server.script(
        "HSETEX h FXX FIELDS 2 f v g v => :0
         EXISTS h => :0
         HSETEX h PX 10 FIELDS 1 f v => :1",
    );
    assert_eq!(server.events(), "hexpired h; del h; hset h; hexpire h");
    server.advance(20);
    server.script("HSETEX h FNX PX 1000 FIELDS 1 f w => :1\nHGET h f => \"w\"");
    assert_eq!(server.events(), "hexpired h; hset h; hexpire h");
    assert!(server.propagated().ends_with("HDEL h f; HSETEX h FNX PXAT 1700000001040 FIELDS 1 f w; EXEC"));
}

/// Where the stream is replayed, the HDEL of the last field removes the key: its deadline has to be told again.
#[test]
fn hsetex_over_expired_fields_keeps_the_deadline_of_the_key() {
    let mut server = TestServer::new();
    for (request, propagated) in [
        ("HSETEX h KEEPTTL FIELDS 1 f w", "HSETEX h KEEPTTL FIELDS 1 f w"),
        ("HSETEX h FNX FIELDS 1 f w", "HSETEX h FNX FIELDS 1 f w"),
        ("HSETEX h XX FNX PXAT 1700000900000 FIELDS 1 f w", "HSETEX h FNX PXAT 1700000900000 FIELDS 1 f w"),
    ] {
        server.script("HSETEX h PX 10 FIELDS 1 f v => :1");
        server.engine.data.keyspace.active_expire = false;
        server.script("PEXPIREAT h 1700000500000 => :1");
        server.advance(20);
        server.propagate();
        assert_eq!(server.run(request), ":1");
        assert_eq!(server.run("PEXPIRETIME h"), ":1700000500000");
        let expected = format!("MULTI; HDEL h f; {propagated}; PEXPIREAT h 1700000500000; EXEC");
        assert_eq!(server.propagated(), expected);
        server.script("PERSIST h => :1\nHDEL h f => :1");
    }
    // The key stays in the replica's eyes, too, if another field does.
    server.script("HSETEX h PX 10 FIELDS 1 f v => :1\nHSET h g v => :1\nPEXPIREAT h 1700000500000 => :1");
    server.advance(20);
    server.propagate();
    server.script("HSETEX h KEEPTTL FIELDS 1 f w => :1");
    assert_eq!(server.propagated(), "MULTI; HDEL h f; HSETEX h KEEPTTL FIELDS 1 f w; EXEC");
}
