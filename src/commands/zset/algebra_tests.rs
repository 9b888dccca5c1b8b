//! Tests of ZUNION, ZINTER, ZDIFF and their STORE forms, by cases and against a naive model.

use std::collections::BTreeMap;

use crate::base::rng::Rng;
use crate::commands::support::testing::TestServer;
use crate::keyspace::event;
use crate::value::Limits;
use crate::value::set::Set;

/// A server with the sorted sets `x` and `y` and the set `s`.
fn server() -> TestServer {
    let mut server = TestServer::new();
    server.script("ZADD x 1 a 2 b 3 c => :3\n ZADD y 10 b 20 c 30 d => :3");
    let mut set = Set::new();
    for member in [b"b", b"7"] {
        set.insert(member, &Limits::default());
    }
    server.engine.view(0).set_collection(b"s", set, event::SADD);
    server
}

#[test]
fn unions() {
    let mut server = server();
    server.script(
        r#"
        ZUNION 2 x y => ["a" "b" "c" "d"]
        ZUNION 2 x y WITHSCORES => ["a" "1" "b" "12" "c" "23" "d" "30"]
        ZUNION 2 x y WEIGHTS 2 -1 WITHSCORES => ["d" "-30" "c" "-14" "b" "-6" "a" "2"]
        ZUNION 2 x y AGGREGATE MAX WITHSCORES => ["a" "1" "b" "10" "c" "20" "d" "30"]
        ZUNION 2 x s WITHSCORES => ["7" "1" "a" "1" "b" "3" "c" "3"]
        ZUNION 2 nokey s => ["7" "b"]
        ZUNION 1 nokey => []
        ZUNIONSTORE t 2 x y AGGREGATE MIN => :4
        ZRANGE t 0 -1 WITHSCORES => ["a" "1" "b" "2" "c" "3" "d" "30"]
        ZUNIONSTORE t 1 nokey => :0
        EXISTS t => :0
        ZUNION 1 x WEIGHTS inf WITHSCORES => ["a" "inf" "b" "inf" "c" "inf"]
        ZUNION 2 x x WEIGHTS inf -inf WITHSCORES => ["a" "0" "b" "0" "c" "0"]
        "#,
    );
    server.resp3();
    server.script("ZUNION 1 s WITHSCORES => [[\"7\" ,1] [\"b\" ,1]]");
}

#[test]
fn intersections() {
    let mut server = server();
    server.script(
        r#"
        ZINTER 2 x y WITHSCORES => ["b" "12" "c" "23"]
        ZINTER 3 x y s WITHSCORES => ["b" "13"]
        ZINTER 2 x nokey => []
        ZINTER 2 x x WITHSCORES => ["a" "2" "b" "4" "c" "6"]
        ZINTER 2 x y WEIGHTS 2 3 AGGREGATE MIN WITHSCORES => ["b" "4" "c" "6"]
        ZINTERSTORE t 2 x y => :2
        OBJECT ENCODING t => "listpack"
        ZINTERCARD 2 x y => :2
        ZINTERCARD 2 x y LIMIT 1 => :1
        ZINTERCARD 2 x y LIMIT 0 => :2
        ZINTERCARD 2 x y LIMIT -1 => -ERR LIMIT can't be negative
        ZINTERCARD 2 x y LIMIT x => -ERR LIMIT can't be negative
        ZINTERCARD 2 x y WEIGHTS 1 1 => -ERR syntax error
        "#,
    );
}

#[test]
fn differences() {
    let mut server = server();
    server.script(
        r#"
        ZDIFF 2 x y WITHSCORES => ["a" "1"]
        ZDIFF 2 x x => []
        ZDIFF 2 x s => ["a" "c"]
        ZDIFF 3 x nokey s WITHSCORES => ["a" "1" "c" "3"]
        ZDIFF 2 s x => ["7"]
        ZDIFF 1 nokey => []
        ZDIFFSTORE t 2 y x => :1
        ZRANGE t 0 -1 WITHSCORES => ["d" "30"]
        ZDIFF 2 x y WEIGHTS 1 1 => -ERR syntax error
        ZDIFFSTORE t 2 x y WITHSCORES => -ERR syntax error
        "#,
    );
}

#[test]
fn errors() {
    let mut server = server();
    server.script(
        r#"
        SET text 1
        ZUNION 1 text nonsense => -WRONGTYPE Operation against a key holding the wrong kind of value
        ZUNION x x => -ERR value is not an integer or out of range
        ZUNION 0 x => -ERR at least 1 input key is needed for 'zunion' command
        ZINTERCARD 0 x => -ERR at least 1 input key is needed for 'zintercard' command
        ZDIFFSTORE t 0 x => -ERR at least 1 input key is needed for 'zdiffstore' command
        ZUNION 3 x y => -ERR syntax error
        ZUNION 9223372036854775807 x y => -ERR syntax error
        ZUNION 2 x y WEIGHTS 1 => -ERR syntax error
        ZUNION 2 x y WEIGHTS 1 x => -ERR weight value is not a float
        ZUNION 2 x y AGGREGATE => -ERR syntax error
        ZUNION 2 x y AGGREGATE AVG => -ERR syntax error
        ZUNIONSTORE t 2 x y WITHSCORES => -ERR syntax error
        "#,
    );
}

#[test]
fn events() {
    let mut server = server();
    server.notify("KEA");
    for (request, events) in [
        ("ZUNIONSTORE t 2 x y", "zunionstore t"),
        ("ZINTERSTORE t 2 x y", "zinterstore t"),
        ("ZDIFFSTORE t 2 x y", "zdiffstore t"),
        ("ZDIFFSTORE t 2 x x", "del t"),
        ("ZDIFFSTORE t 2 x x", ""),
    ] {
        server.run(request);
        assert_eq!(server.events(), events, "{request}");
    }
}

#[test]
fn expired_inputs_are_nothing() {
    let mut server = server();
    server.script("PEXPIRE y 1 => :1\n PEXPIRE x 1000 => :1");
    server.advance(2);
    server.script("ZUNION 3 y x s => [\"7\" \"a\" \"b\" \"c\"]\n ZINTER 2 x y => []");
}

#[test]
fn results_agree_with_a_naive_model() {
    let mut rng = Rng::new(9);
    let mut server = TestServer::new();
    for round in 0..12 {
        let mut inputs: [BTreeMap<u64, i64>; 3] = Default::default();
        server.run("FLUSHALL");
        for (index, input) in inputs.iter_mut().enumerate() {
            for _ in 0..rng.below(if round % 2 == 0 { 40 } else { 300 }) {
                let (member, score) = (rng.below(200), rng.below(50) as i64);
                input.insert(member, score);
                server.run(&format!("ZADD k{index} {score} {member}"));
            }
        }
        let [first, second, third] = &inputs;
        let score = |member: &u64| inputs.iter().filter_map(|input| input.get(member)).sum::<i64>();
        let members = || (0..200).filter(|member| inputs.iter().any(|input| input.contains_key(member)));
        let is_common = |m: &u64| first.contains_key(m) && second.contains_key(m) && third.contains_key(m);
        let is_rest = |m: &u64| first.contains_key(m) && !second.contains_key(m) && !third.contains_key(m);
        let shown = |mut elements: Vec<(i64, String)>| {
            elements.sort();
            let words = elements.iter().map(|(score, member)| format!("\"{member}\" \"{score}\""));
            format!("[{}]", words.collect::<Vec<_>>().join(" "))
        };
        let of = |member: u64| (score(&member), member.to_string());
        assert_eq!(server.run("ZUNION 3 k0 k1 k2 WITHSCORES"), shown(members().map(of).collect()));
        assert_eq!(
            server.run("ZINTER 3 k0 k1 k2 WITHSCORES"),
            shown(members().filter(is_common).map(of).collect())
        );
        assert_eq!(
            server.run("ZDIFF 3 k0 k1 k2 WITHSCORES"),
            shown(members().filter(is_rest).map(of).collect())
        );
    }
}
