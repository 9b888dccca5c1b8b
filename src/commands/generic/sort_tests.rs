//! Tests of SORT and SORT_RO.

use crate::commands::support::testing::TestServer;
use crate::keyspace::event;
use crate::value::Limits;
use crate::value::hash::Hash;
use crate::value::set::Set;

/// A server with the set `s`.
fn server() -> TestServer {
    let mut server = TestServer::new();
    let mut set = Set::new();
    for member in [b"b", b"a", b"c"] {
        set.insert(member, &Limits::default());
    }
    server.engine.view(0).set_collection(b"s", set, event::SADD);
    server
}

fn put_hash(server: &mut TestServer, key: &[u8], fields: &[(&[u8], &[u8])]) {
    let mut hash = Hash::new();
    for (field, value) in fields {
        hash.set(field, value, false, &Limits::default());
    }
    server.engine.view(0).set_collection(key, hash, event::HSET);
}

#[test]
fn by_itself() {
    let mut server = server();
    server.script(
        r#"
        RPUSH l 3 10 -1 2.5 => :4
        SORT l => ["-1" "2.5" "3" "10"]
        SORT l DESC => ["10" "3" "2.5" "-1"]
        SORT l ALPHA => ["-1" "10" "2.5" "3"]
        SORT l LIMIT 1 2 => ["2.5" "3"]
        SORT l LIMIT 9 2 => []
        SORT l LIMIT -5 1 => ["-1"]
        SORT l LIMIT 0 0 => []
        SORT l LIMIT 1 -1 => ["2.5" "3" "10"]
        SORT nokey => []
        SORT s ALPHA DESC => ["c" "b" "a"]
        SORT s => -ERR One or more scores can't be converted into double
        ZADD z 3 1 2 2 1 3 => :3
        SORT z => ["1" "2" "3"]
        SORT z BY nosort => ["3" "2" "1"]
        SORT z BY nosort DESC => ["1" "2" "3"]
        SORT z BY nosort DESC LIMIT 1 1 => ["2"]
        SORT z BY nosort LIMIT 1 5 => ["2" "1"]
        SORT z BY # LIMIT 0 2 => ["3" "2"]
        SORT l BY nosort DESC LIMIT 1 2 => ["-1" "10"]
        SORT l BY nosort LIMIT 3 9 => ["2.5"]
        RPUSH e "" 1 "" => :3
        SORT e => ["" "" "1"]
        "#,
    );
}

#[test]
fn by_other_keys() {
    let mut server = TestServer::new();
    put_hash(&mut server, b"h1", &[(b"f", b"2")]);
    put_hash(&mut server, b"h2", &[(b"f", b"3")]);
    put_hash(&mut server, b"h3", &[(b"f", b"1"), (b"name", b"drei")]);
    server.script(
        r#"
        RPUSH l 1 2 3 => :3
        MSET w1 30 w2 20 w3 10 n1 one n2 two n3 three
        SORT l BY w* => ["3" "2" "1"]
        SORT l BY w* LIMIT 0 1 => ["3"]
        SORT l BY h*->f => ["3" "1" "2"]
        SORT l BY n* ALPHA => ["1" "3" "2"]
        SORT l BY n* => -ERR One or more scores can't be converted into double
        SORT l BY w* GET # GET n* => ["3" "three" "2" "two" "1" "one"]
        SORT l BY nosort GET h*->name => [nil nil "drei"]
        SORT l GET h*-> GET nothing GET h* => [nil nil nil nil nil nil nil nil nil]
        SORT l BY missing*  DESC => ["3" "2" "1"]
        SORT l BY missing* ALPHA => ["1" "2" "3"]
        DEL w2 => :1
        SORT l BY w* => ["2" "3" "1"]
        DEL n1 => :1
        SORT l BY n* ALPHA => ["1" "3" "2"]
        SORT l BY n* ALPHA DESC => ["2" "3" "1"]
        "#,
    );
}

#[test]
fn stored() {
    let mut server = server();
    server.notify("KEA");
    server.script(
        r#"
        RPUSH l 2 1 => :2
        SORT l STORE t => :2
        LRANGE t 0 -1 => ["1" "2"]
        SORT l GET n* STORE t => :2
        LRANGE t 0 -1 => ["" ""]
        SORT nokey STORE t => :0
        EXISTS t => :0
        SORT s BY nosort STORE t => :3
        LRANGE t 0 -1 => ["a" "b" "c"]
        SORT l STORE l => :2
        LRANGE l 0 -1 => ["1" "2"]
        "#,
    );
    assert_eq!(server.events(), "rpush l; sortstore t; sortstore t; del t; sortstore t; sortstore l");
}

#[test]
fn errors() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SET text 1
        SORT text => -WRONGTYPE Operation against a key holding the wrong kind of value
        RPUSH l 1 a => :2
        SORT l => -ERR One or more scores can't be converted into double
        RPUSH hex 1 0x10 => :2
        SORT hex => -ERR One or more scores can't be converted into double
        RPUSH far 1e400 1 1e-400 "" -1e400 inf => :6
        SORT far => ["-1e400" "" "1e-400" "1" "1e400" "inf"]
        SORT l LIMIT 1 => -ERR syntax error
        SORT l LIMIT a 1 => -ERR value is not an integer or out of range
        SORT l BY => -ERR syntax error
        SORT l NONSENSE => -ERR syntax error
        SORT_RO l STORE t => -ERR syntax error
        SORT_RO l ALPHA => ["1" "a"]
        "#,
    );
}

#[test]
fn expired_fields_are_removed() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.script("RPUSH l 1 2 => :2\n HSET h:1 score 9 => :1\n HSET h:2 score 3 => :1");
    server.script("HPEXPIRE h:1 10 FIELDS 1 score => [:1]");
    server.advance(11);
    server.events();
    server.script(r#"SORT l BY h:*->score GET # GET h:*->score => ["1" nil "2" "3"]"#);
    assert_eq!(server.events(), "hexpired h:1; del h:1");
}

/// As Redis 8.6 answers: a sorted set that is sorted takes its large form for good, even if the sort fails.
#[test]
fn encoding_of_a_sorted_set() {
    for sort in ["SORT z ALPHA", "SORT_RO z BY nosort", "SORT z ALPHA LIMIT 0 0 STORE d", "SORT z"] {
        let mut server = TestServer::new();
        server.notify("KEA");
        server.script("ZADD z 1 a 2 b 3 1 => :3\n OBJECT ENCODING z => \"listpack\"\n SORT z LIMIT 1 => -ERR syntax error");
        server.script("OBJECT ENCODING z => \"listpack\"\n PEXPIRE z 5000 => :1");
        server.events();
        server.run(sort);
        server.script(
            r#"
            OBJECT ENCODING z => "skiplist"
            PTTL z => :5000
            COPY z c => :1
            OBJECT ENCODING c => "skiplist"
            ZRANGE z 0 -1 WITHSCORES => ["a" "1" "b" "2" "1" "3"]
            "#,
        );
        assert_eq!(server.events(), "copy_to c", "{sort}");
    }
}

/// As Redis 8.6 answers: a listpack must hold the stored list with all its headers.
#[test]
fn encoding_of_a_stored_list() {
    let mut server = TestServer::new();
    for (len, stored) in [(8178, "listpack"), (8179, "quicklist"), (8185, "quicklist")] {
        let item = "x".repeat(len);
        server.script(&format!(
            r#"
            FLUSHALL
            RPUSH l {item} => :1
            OBJECT ENCODING l => "listpack"
            SORT l ALPHA STORE d => :1
            OBJECT ENCODING d => "{stored}"
            SORT l ALPHA STORE l => :1
            OBJECT ENCODING l => "{stored}"
            "#
        ));
    }
}
