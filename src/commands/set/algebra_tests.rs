//! Tests of set algebra, by cases and against a naive model.

use std::collections::BTreeSet;

use crate::base::rng::Rng;
use crate::commands::support::testing::TestServer;

#[test]
fn replies_and_errors() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.script(
        r#"
        SADD a 1 2 3 4 => :4
        SADD b 3 4 5 => :3
        SADD c 4 => :1
        SET t x
        SINTER a b => ["3" "4"]
        SINTER a a => ["1" "2" "3" "4"]
        SINTER a none => []
        SINTER none t => -WRONGTYPE Operation against a key holding the wrong kind of value
        SINTERCARD 2 a b => :2
        SINTERCARD 2 a b LIMIT 1 => :1
        SINTERCARD 2 a b limit 0 => :2
        SINTERCARD 1 none => :0
        SINTERCARD 0 a => -ERR numkeys should be greater than 0
        SINTERCARD x a => -ERR numkeys should be greater than 0
        SINTERCARD 3 a b => -ERR Number of keys can't be greater than number of args
        SINTERCARD 1 a LIMIT => -ERR syntax error
        SINTERCARD 1 a b => -ERR syntax error
        SINTERCARD 1 a LIMIT -1 => -ERR LIMIT can't be negative
        SUNION a b none => ["1" "2" "3" "4" "5"]
        SUNION none => []
        SUNION c => ["4"]
        SDIFF a b => ["1" "2"]
        SDIFF a b a => []
        SDIFF none a => []
        SDIFF a => ["1" "2" "3" "4"]
        SINTERSTORE d a b => :2
        SMEMBERS d => ["3" "4"]
        SINTERSTORE d a none => :0
        EXISTS d => :0
        SUNIONSTORE d a c => :4
        SDIFFSTORE a a b => :2
        SMEMBERS a => ["1" "2"]
        SDIFFSTORE none none => :0
        SUNIONSTORE t a => :2
        TYPE t => +set
        "#,
    );
    assert_eq!(
        server.events(),
        "sadd a; sadd b; sadd c; set t; sinterstore d; del d; sunionstore d; sdiffstore a; sunionstore t"
    );
}

#[test]
fn encodings_of_results() {
    let mut server = TestServer::new();
    let words: Vec<String> = (0..200).map(|n| format!("w{n}")).collect();
    server.run(&format!("SADD big {} 1 2 3", words.join(" ")));
    server.script(
        r#"
        SADD ints 1 2 3 => :3
        SADD mixed 1 2 x => :3
        SINTERSTORE d big ints => :3
        OBJECT ENCODING d => "intset"
        SINTERSTORE d big mixed => :2
        OBJECT ENCODING d => "intset"
        SUNIONSTORE d ints mixed => :4
        OBJECT ENCODING d => "listpack"
        SUNIONSTORE d ints => :3
        OBJECT ENCODING d => "intset"
        SDIFFSTORE d big mixed => :201
        OBJECT ENCODING d => "hashtable"
        "#,
    );
}

fn members(reply: &str) -> BTreeSet<String> {
    let words: Vec<String> = reply.split('"').skip(1).step_by(2).map(str::to_string).collect();
    let set: BTreeSet<String> = words.iter().cloned().collect();
    assert_eq!(set.len(), words.len(), "no member twice");
    set
}

#[test]
fn results_agree_with_a_naive_model() {
    let mut rng = Rng::new(5);
    for round in 0..30 {
        let mut server = TestServer::new();
        let (wide, letters) = (rng.below(2) == 0, rng.below(2) == 0);
        let model: Vec<BTreeSet<String>> = (0..4)
            .map(|_| {
                let size = rng.below(if wide { 400 } else { 20 });
                let prefix = if letters { "m" } else { "" };
                (0..size).map(|_| format!("{prefix}{}", rng.below(300))).collect()
            })
            .collect();
        for (n, set) in model.iter().enumerate().filter(|(_, set)| !set.is_empty()) {
            let words: Vec<&str> = set.iter().map(String::as_str).collect();
            server.run(&format!("SADD s{n} {}", words.join(" ")));
        }
        let all = "s0 s1 s2 s3";
        let union: BTreeSet<String> = model.iter().flatten().cloned().collect();
        let common: BTreeSet<String> =
            model[0].iter().filter(|m| model.iter().all(|set| set.contains(*m))).cloned().collect();
        let rest: BTreeSet<String> =
            model[0].iter().filter(|m| !model[1..].iter().any(|set| set.contains(*m))).cloned().collect();
        for (command, expected) in [("UNION", &union), ("INTER", &common), ("DIFF", &rest)] {
            assert_eq!(&members(&server.run(&format!("S{command} {all}"))), expected, "{command} {round}");
            let stored = server.run(&format!("S{command}STORE d {all}"));
            assert_eq!(stored, format!(":{}", expected.len()));
            assert_eq!(&members(&server.run("SMEMBERS d")), expected, "{command}STORE {round}");
        }
        assert_eq!(server.run(&format!("SINTERCARD 4 {all}")), format!(":{}", common.len()));
    }
}
