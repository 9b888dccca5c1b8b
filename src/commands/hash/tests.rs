//! Tests of hash commands on single fields.

use crate::commands::support::testing::TestServer;

#[test]
fn fields() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        HSET h a 1 b 2 a 3 => :2
        HSET h a 4 => :0
        HSET h a => -ERR wrong number of arguments for 'hset' command
        HSET h a 1 b => -ERR wrong number of arguments for 'hset' command
        HMSET h a 1 b => -ERR wrong number of arguments for 'hmset' command
        HMSET h c x
        HSETNX h c y => :0
        HSETNX h d y => :1
        HGET h a => "4"
        HGET h none => nil
        HGET none a => nil
        HMGET h a none d => ["4" nil "y"]
        HMGET none a b => [nil nil]
        HLEN h => :4
        HLEN none => :0
        HSTRLEN h a => :1
        HSTRLEN h none => :0
        HEXISTS h a => :1
        HEXISTS h none => :0
        HEXISTS none a => :0
        HDEL h a none => :1
        HDEL none a => :0
        HDEL h b c d => :3
        EXISTS h => :0
        SET t 1
        HSET t a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        HGET t a => -WRONGTYPE Operation against a key holding the wrong kind of value
        HDEL t a => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    assert_eq!(server.events(), "hset h; hset h; hset h; hset h; hdel h; hdel h; del h; set t");
    assert_eq!(
        server.propagated(),
        "HSET h a 1 b 2 a 3; HSET h a 4; HMSET h c x; HSETNX h d y; HDEL h a none; HDEL h b c d; SET t 1"
    );
}

#[test]
fn counters() {
    let mut server = TestServer::new();
    server.propagate();
    server.script(
        r#"
        HINCRBY h n 5 => :5
        HINCRBY h n -7 => :-2
        HINCRBY h n x => -ERR value is not an integer or out of range
        HINCRBY h n 1.5 => -ERR value is not an integer or out of range
        HINCRBY other n x => -ERR value is not an integer or out of range
        EXISTS other => :0
        HSET h s "x" big 9223372036854775807 sp " 1" => :3
        HINCRBY h s 1 => -ERR hash value is not an integer
        HINCRBY h sp 1 => -ERR hash value is not an integer
        HINCRBY h big 1 => -ERR increment or decrement would overflow
        HINCRBYFLOAT h n 2.5 => "0.5"
        HINCRBYFLOAT h n -0.5 => "0"
        HINCRBYFLOAT h s 1 => -ERR hash value is not a float
        HINCRBYFLOAT h n x => -ERR value is not a valid float
        HINCRBYFLOAT h n inf => -ERR value is NaN or Infinity
        HINCRBYFLOAT h m 3.14e2 => "314"
        HDEL h s sp => :2
        "#,
    );
    assert_eq!(
        server.propagated(),
        "HINCRBY h n 5; HINCRBY h n -7; HSET h s x big 9223372036854775807 sp  1; \
        HSET h n 0.5; HSET h n 0; HSET h m 314; \
        HDEL h s sp"
    );
    // Where there are deadlines, they stay.
    server.script("HEXPIRE h 100 FIELDS 1 n => [:1]");
    server.propagated();
    server.script(
        "HINCRBYFLOAT h n 1.5 => \"1.5\"\n HINCRBYFLOAT h m 1 => \"315\"\n HTTL h FIELDS 1 n => [:100]",
    );
    assert_eq!(
        server.propagated(),
        "HSETEX h KEEPTTL FIELDS 1 n 1.5; HSETEX h KEEPTTL FIELDS 1 m 315",
        "as the tests of Redis want it"
    );
}

#[test]
fn reads_remove_expired_fields() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.engine.data.keyspace.active_expire = false;
    for read in ["HGET h a", "HMGET h a", "HEXISTS h a", "HSTRLEN h a", "HGETEX h FIELDS 1 a"] {
        server.run("DEL h");
        server.script("HSET h a 1 b 2 => :2\n HPEXPIRE h 10 FIELDS 1 a => [:1]");
        server.propagate();
        server.events();
        server.advance(11);
        assert_eq!(server.run("HLEN h"), ":2");
        server.run(read);
        assert_eq!(
            (server.events().as_str(), server.propagated().as_str()),
            ("hexpired h", "HDEL h a"),
            "{read}"
        );
        server.script("HGETALL h => [\"b\" \"2\"]\n HLEN h => :1");
    }
    server.script("HPEXPIRE h 10 FIELDS 1 b => [:1]");
    server.advance(11);
    server.propagated();
    server.script("EXISTS h => :1\n HGETALL h => []\n HGET h b => nil\n EXISTS h => :0");
    assert_eq!(server.propagated(), "HDEL h b");
    assert!(server.events().ends_with("hexpired h; del h"));
    assert_eq!(server.engine.data.keyspace.stats.expired_fields, 6);
}

#[test]
fn writes_remove_expired_fields_first() {
    let mut server = TestServer::new();
    server.engine.data.keyspace.active_expire = false;
    let cases = [
        ("HSETNX h a 9", ":1", "HDEL h a; HSETNX h a 9"),
        ("HINCRBY h a 9", ":9", "HDEL h a; HINCRBY h a 9"),
        ("HINCRBYFLOAT h a 9", "\"9\"", "HDEL h a; HSET h a 9"),
        ("HSETEX h KEEPTTL FIELDS 1 a 9", ":1", "HDEL h a; HSETEX h KEEPTTL FIELDS 1 a 9"),
        ("HSETEX h FNX FIELDS 1 a 9", ":1", "HDEL h a; HSETEX h FNX FIELDS 1 a 9"),
        ("HSET h a 9", ":0", "HSET h a 9"),
    ];
    for (write, reply, propagated) in cases {
        server.run("DEL h");
        server.script("HSET h a 1 b 2 => :2\n HPEXPIRE h 10 FIELDS 1 a => [:1]");
        server.advance(11);
        server.propagate();
        assert_eq!(server.run(write), reply, "{write}");
        let wrapped = format!("MULTI; {propagated}; EXEC");
        assert_eq!(
            server.propagated(),
            if propagated.contains(';') { wrapped } else { propagated.to_string() }
        );
        server.script("HGET h a => \"9\"\n HTTL h FIELDS 1 a => [:-1]");
    }
}
