//! Tests of the commands on one set.

use std::collections::BTreeSet;

use crate::commands::support::testing::TestServer;

/// The bulk strings of a reply, sorted.
fn sorted(reply: &str) -> Vec<String> {
    let mut words: Vec<String> = reply.split('"').skip(1).step_by(2).map(str::to_string).collect();
    words.sort();
    words
}

#[test]
fn members() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        SADD s a b a => :2
        SADD s a => :0
        SCARD s => :2
        SCARD none => :0
        SISMEMBER s a => :1
        SISMEMBER s x => :0
        SISMEMBER none x => :0
        SMISMEMBER s a x b => [:1 :0 :1]
        SMISMEMBER none x => [:0]
        SMEMBERS s => ["a" "b"]
        SMEMBERS none => []
        SREM s a x => :1
        SREM none a => :0
        SREM s b => :1
        EXISTS s => :0
        SET t 1
        SADD t a => -WRONGTYPE Operation against a key holding the wrong kind of value
        SREM t a => -WRONGTYPE Operation against a key holding the wrong kind of value
        SCARD t => -WRONGTYPE Operation against a key holding the wrong kind of value
        SMEMBERS t => -WRONGTYPE Operation against a key holding the wrong kind of value
        SADD s => -ERR wrong number of arguments for 'sadd' command
        "#,
    );
    assert_eq!(server.events(), "sadd s; srem s; srem s; del s; set t");
    assert_eq!(server.propagated(), "SADD s a b a; SREM s a x; SREM s b; SET t 1");
    server.resp3();
    server.script("SMEMBERS none => ~[]\n SADD s 1 => :1\n SMEMBERS s => ~[\"1\"]");
}

#[test]
fn encodings() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SADD ints 3 1 2 => :3
        OBJECT ENCODING ints => "intset"
        SMEMBERS ints => ["1" "2" "3"]
        SADD ints x => :1
        OBJECT ENCODING ints => "listpack"
        SADD words a b => :2
        OBJECT ENCODING words => "listpack"
        "#,
    );
    let many: Vec<String> = (0..129).map(|n| format!("m{n}")).collect();
    server.run(&format!("SADD many {}", many.join(" ")));
    assert_eq!(server.run("OBJECT ENCODING many"), "\"hashtable\"");
    server.run(&format!("SADD long {}", "x".repeat(65)));
    assert_eq!(server.run("OBJECT ENCODING long"), "\"hashtable\"");
    let ints: Vec<String> = (0..513).map(|n| n.to_string()).collect();
    server.run(&format!("SADD big {}", ints.join(" ")));
    assert_eq!(server.run("OBJECT ENCODING big"), "\"hashtable\"");
}

#[test]
fn smove() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.script(
        r#"
        SADD a 1 x => :2
        SADD b 2 => :1
        SET t 1
        SMOVE a b none => :0
        SMOVE a b 1 => :1
        SMOVE a a x => :1
        SMOVE a a y => :0
        SMOVE a c x => :1
        EXISTS a => :0
        SMEMBERS b => ["1" "2"]
        SMOVE none t x => :0
        SMOVE b t 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        SMOVE t b 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        SMOVE b t none => -WRONGTYPE Operation against a key holding the wrong kind of value
        SADD c 1 => :1
        SMOVE b c 1 => :1
        "#,
    );
    assert_eq!(
        server.events(),
        "sadd a; sadd b; set t; srem a; sadd b; srem a; del a; sadd c; sadd c; srem b"
    );
}

#[test]
fn spop() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        SPOP none => nil
        SPOP none 3 => []
        SADD s a => :1
        SPOP s 0 => []
        SPOP s -1 => -ERR value is out of range, must be positive
        SPOP s x => -ERR value is out of range, must be positive
        SPOP s 1 1 => -ERR syntax error
        SPOP s => "a"
        SADD s a b => :2
        SPOP s 5 => ["a" "b"]
        EXISTS s => :0
        "#,
    );
    assert_eq!(server.propagated(), "SADD s a; SREM s a; SADD s a b; DEL s");
    assert_eq!(server.events(), "sadd s; spop s; del s; sadd s; spop s; del s");
    let members: Vec<String> = (0..3000).map(|n| format!("m{n}")).collect();
    server.run(&format!("SADD big {}", members.join(" ")));
    server.propagated();
    let popped = sorted(&server.run("SPOP big 2000"));
    let propagated = server.propagated();
    let removals: Vec<&str> = propagated.split("; ").collect();
    assert_eq!(removals.len(), 4, "MULTI, 1024 members, 976 members, EXEC");
    let named: BTreeSet<&str> =
        removals[1..3].iter().flat_map(|request| request.split(' ').skip(2)).collect();
    assert_eq!(named, popped.iter().map(String::as_str).collect());
    assert_eq!(server.run("SCARD big"), ":1000");
    assert!(popped.iter().all(|member| server.run(&format!("SISMEMBER big {member}")) == ":0"));
}

#[test]
fn srandmember() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SRANDMEMBER none => nil
        SRANDMEMBER none 2 => []
        SADD s a b c => :3
        SRANDMEMBER s 0 => []
        SRANDMEMBER s x => -ERR value is not an integer or out of range
        SRANDMEMBER s 1 2 => -ERR syntax error
        "#,
    );
    assert_eq!(
        server.run("SRANDMEMBER s -9223372036854775808"),
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    );
    assert_eq!(server.run("SRANDMEMBER s -9223372036854775807"), "-ERR value is out of range", "and at once");
    assert_eq!(sorted(&server.run("SRANDMEMBER s 10")), ["a", "b", "c"]);
    assert_eq!(sorted(&server.run("SRANDMEMBER s 2")).len(), 2);
    assert_eq!(sorted(&server.run("SRANDMEMBER s -50")).len(), 50);
    let drawn: BTreeSet<String> = (0..50).flat_map(|_| sorted(&server.run("SRANDMEMBER s"))).collect();
    assert_eq!(drawn.len(), 3);
}

#[test]
fn sscan() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SSCAN none 0 NONSENSE => ["0" []]
        SSCAN none x => -ERR invalid cursor
        SADD s 1 2 12 => :3
        SSCAN s 0 => ["0" ["1" "2" "12"]]
        SSCAN s 0 MATCH 1* => ["0" ["1" "12"]]
        SSCAN s 0 COUNT 0 => -ERR syntax error
        SSCAN s 0 COUNT x => -ERR value is not an integer or out of range
        SSCAN s 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        SSCAN s 0 TYPE set => -ERR syntax error
        SSCAN s 0 MATCH => -ERR syntax error
        "#,
    );
    let members: Vec<String> = (0..1000).map(|n| format!("m{n}")).collect();
    server.run(&format!("SADD big {}", members.join(" ")));
    let (mut cursor, mut seen) = ("0".to_string(), Vec::new());
    loop {
        let reply = server.run(&format!("SSCAN big {cursor} COUNT 7"));
        let mut words = reply.split('"').skip(1).step_by(2).map(str::to_string);
        cursor = words.next().expect("a cursor");
        seen.extend(words);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
}
