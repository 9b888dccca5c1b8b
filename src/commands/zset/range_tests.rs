//! Tests of ZRANGE, ZRANGESTORE and ZREMRANGEBY*, by cases and against a naive model.

use crate::base::rng::Rng;
use crate::commands::support::testing::TestServer;

const ABC: &str = "ZADD z 1 a 2 b 3 c 4 d => :4";

#[test]
fn by_rank() {
    let mut server = TestServer::new();
    server.script(ABC);
    server.script(
        r#"
        ZRANGE z 0 -1 => ["a" "b" "c" "d"]
        ZRANGE z 1 2 WITHSCORES => ["b" "2" "c" "3"]
        ZRANGE z -2 100 => ["c" "d"]
        ZRANGE z 3 1 => []
        ZRANGE z 4 9 => []
        ZRANGE z -9 0 => ["a"]
        ZRANGE z 0 1 REV => ["d" "c"]
        ZREVRANGE z 0 0 WITHSCORES => ["d" "4"]
        ZREVRANGE z -1 9 => ["a"]
        ZREVRANGE z 5 9 => []
        ZRANGE nokey 0 -1 => []
        ZRANGE z a 1 => -ERR value is not an integer or out of range
        ZRANGE z 0 -1 LIMIT 0 1 => -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
        ZRANGE z 0 -1 LIMIT 0 -1 => ["a" "b" "c" "d"]
        ZREVRANGE z 0 -1 REV => -ERR syntax error
        ZREVRANGE z 0 -1 BYSCORE => -ERR syntax error
        "#,
    );
    server.resp3();
    server.script("ZRANGE z 0 1 WITHSCORES => [[\"a\" ,1] [\"b\" ,2]]");
}

#[test]
fn by_score() {
    let mut server = TestServer::new();
    server.script(ABC);
    server.script(
        r#"
        ZRANGEBYSCORE z -inf +inf => ["a" "b" "c" "d"]
        ZRANGEBYSCORE z (1 3 => ["b" "c"]
        ZRANGEBYSCORE z (1 (3 WITHSCORES => ["b" "2"]
        ZRANGEBYSCORE z 0 9 LIMIT 1 2 => ["b" "c"]
        ZRANGEBYSCORE z 0 9 LIMIT 1 -1 => ["b" "c" "d"]
        ZRANGEBYSCORE z 0 9 LIMIT -1 2 => []
        ZRANGEBYSCORE z 0 9 LIMIT 9 2 => []
        ZRANGEBYSCORE z 0 9 LIMIT 1 0 => []
        ZREVRANGEBYSCORE z 9 2 LIMIT 1 2 => ["c" "b"]
        ZREVRANGEBYSCORE z 2 9 => []
        ZRANGE z 2 3 BYSCORE => ["b" "c"]
        ZRANGE z 3 2 BYSCORE REV LIMIT 0 1 WITHSCORES => ["c" "3"]
        ZRANGEBYSCORE z x 1 => -ERR min or max is not a float
        ZRANGEBYSCORE z 1 nan => -ERR min or max is not a float
        ZRANGEBYSCORE z 0 9 LIMIT 1 => -ERR syntax error
        ZRANGEBYSCORE z 0 9 LIMIT 1 x => -ERR value is not an integer or out of range
        ZCOUNT z (1 3 => :2
        ZCOUNT z 3 1 => :0
        ZCOUNT z 1 x => -ERR min or max is not a float
        ZCOUNT nokey 1 2 => :0
        "#,
    );
}

#[test]
fn by_member() {
    let mut server = TestServer::new();
    server.script(
        r#"
        ZADD z 0 a 0 b 0 c 0 d => :4
        ZRANGEBYLEX z - + => ["a" "b" "c" "d"]
        ZRANGEBYLEX z [b (d => ["b" "c"]
        ZRANGEBYLEX z + - => []
        ZRANGEBYLEX z - + LIMIT 1 2 => ["b" "c"]
        ZREVRANGEBYLEX z + [b LIMIT 0 2 => ["d" "c"]
        ZRANGE z (a [c BYLEX => ["b" "c"]
        ZRANGE z [c (a BYLEX REV => ["c" "b"]
        ZRANGE z - + BYLEX WITHSCORES => -ERR syntax error, WITHSCORES not supported in combination with BYLEX
        ZRANGEBYLEX z a b => -ERR min or max not valid string range item
        ZLEXCOUNT z - (c => :2
        ZLEXCOUNT z [a x => -ERR min or max not valid string range item
        "#,
    );
}

#[test]
fn stored() {
    let mut server = TestServer::new();
    server.script(ABC);
    server.notify("KEA");
    server.script(
        r#"
        ZRANGESTORE y z 0 1 => :2
        ZRANGE y 0 -1 WITHSCORES => ["a" "1" "b" "2"]
        ZRANGESTORE y z (1 9 BYSCORE LIMIT 0 2 => :2
        ZRANGE y 0 -1 => ["b" "c"]
        ZRANGESTORE y z 0 1 REV => :2
        ZRANGE y 0 -1 => ["c" "d"]
        ZRANGESTORE y nokey 0 -1 => :0
        EXISTS y => :0
        ZRANGESTORE z z 1 2 => :2
        ZRANGESTORE y z 0 1 WITHSCORES => -ERR syntax error
        SET s 1
        ZRANGESTORE y s 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    assert_eq!(server.events(), "zrangestore y; zrangestore y; zrangestore y; del y; zrangestore z; set s");
}

#[test]
fn removed() {
    let mut server = TestServer::new();
    server.notify("KEA");
    for (request, reply, rest, events) in [
        ("ZREMRANGEBYRANK z 1 2", ":2", "[\"a\" \"d\"]", "zremrangebyrank z"),
        ("ZREMRANGEBYRANK z 7 9", ":0", "[\"a\" \"b\" \"c\" \"d\"]", ""),
        ("ZREMRANGEBYSCORE z (1 +inf", ":3", "[\"a\"]", "zremrangebyscore z"),
        ("ZREMRANGEBYSCORE z -inf +inf", ":4", "[]", "zremrangebyscore z; del z"),
        ("ZREMRANGEBYLEX z [a [c", ":3", "[\"d\"]", "zremrangebylex z"),
        (
            "ZREMRANGEBYLEX z a c",
            "-ERR min or max not valid string range item",
            "[\"a\" \"b\" \"c\" \"d\"]",
            "",
        ),
        ("ZREMRANGEBYRANK y 0 -1", ":0", "[\"a\" \"b\" \"c\" \"d\"]", ""),
    ] {
        server.run("DEL z");
        server.script(ABC);
        server.events();
        assert_eq!(server.run(request), reply, "{request}");
        assert_eq!(server.run("ZRANGE z 0 -1"), rest, "{request}");
        assert_eq!(server.events(), events, "{request}");
    }
}

/// Ranges of both forms against a sorted vector.
#[test]
fn ranges_agree_with_a_naive_model() {
    let mut rng = Rng::new(4);
    for size in [20, 200] {
        let mut server = TestServer::new();
        let mut model: Vec<(i64, String)> =
            (0..size).map(|n| (rng.below(30) as i64, format!("m{n}"))).collect();
        for (score, member) in &model {
            server.run(&format!("ZADD z {score} {member}"));
        }
        model.sort();
        for _ in 0..60 {
            let (min, max) = (rng.below(30) as i64, rng.below(30) as i64);
            let (offset, limit) = (rng.below(5) as usize, rng.below(9) as usize);
            let mut inside: Vec<&str> = model
                .iter()
                .filter(|(score, _)| (min..=max).contains(score))
                .map(|(_, member)| member.as_str())
                .collect();
            let shown = |members: &[&str]| {
                let taken = members.iter().skip(offset).take(limit);
                format!("[{}]", taken.map(|member| format!("{member:?}")).collect::<Vec<_>>().join(" "))
            };
            assert_eq!(
                server.run(&format!("ZRANGEBYSCORE z {min} {max} LIMIT {offset} {limit}")),
                shown(&inside)
            );
            inside.reverse();
            assert_eq!(
                server.run(&format!("ZREVRANGEBYSCORE z {max} {min} LIMIT {offset} {limit}")),
                shown(&inside)
            );
        }
    }
}
