//! Tests of the largest values: one whose indexes end refuses what would add to it, and nothing else. In tests they end early.

use crate::commands::support::testing::TestServer;

const FULL: &str = "-ERR the value has reached its maximum size";

#[test]
fn a_full_value_refuses_more_and_takes_it_again_once_it_is_smaller() {
    let long = "m".repeat(2000);
    for (add, remove, batch) in [
        (format!("ZADD k # {long}#"), format!("ZREM k {long}#"), 1),
        ("SADD k member:#".into(), "SREM k member:#".into(), 500),
        ("HSET k field:# value".into(), "HDEL k field:#".into(), 500),
    ] {
        let mut server = TestServer::new();
        let request = |template: &str, from: usize, count: usize| {
            let mut words = template.splitn(3, ' ');
            let head = format!("{} {}", words.next().unwrap(), words.next().unwrap());
            let tail = words.next().unwrap();
            (from..from + count).fold(head, |line, n| format!("{line} {}", tail.replace('#', &n.to_string())))
        };
        let mut added = 0;
        while server.run(&request(&add, added, batch)) != FULL {
            added += batch;
            assert!(added < 100_000, "{add} never ends");
        }
        assert!(added > 1000, "{add} ended at {added}");
        assert_eq!(server.run(&request(&add, added, 1)), FULL);
        for number in 0..added {
            assert_eq!(server.run(&request(&remove, number, 1)), ":1");
        }
        assert_eq!(server.run(&request(&add, 0, 1)), ":1");
    }
}

#[test]
fn a_full_group_takes_no_more_consumers() {
    let mut server = TestServer::new();
    server.script("XADD k 1-1 f v => \"1-1\"\nXGROUP CREATE k g 0");
    let mut count = 0;
    while server.run(&format!("XGROUP CREATECONSUMER k g c{count}")) == ":1" {
        count += 1;
        assert!(count < 10_000);
    }
    for request in [
        "XGROUP CREATECONSUMER k g new",
        "XREADGROUP GROUP g new STREAMS k >",
        "XCLAIM k g new 0 1-1",
        "XAUTOCLAIM k g new 0 0",
    ] {
        assert_eq!(server.run(request), FULL, "{request}");
    }
    let dump = server.run("DUMP k");
    server.script(
        "XREADGROUP GROUP g c7 STREAMS k > => [[\"k\" [[\"1-1\" [\"f\" \"v\"]]]]]
         XGROUP CREATECONSUMER k g c7 => :0
         XGROUP DELCONSUMER k g c8 => :0
         XGROUP CREATECONSUMER k g new => :1",
    );
    assert_eq!(server.run(&format!("RESTORE copy 0 {dump}")), "+OK");
}

#[test]
fn a_full_keyspace_takes_no_more_keys() {
    let mut server = TestServer::new();
    let refused = "-OOM the keyspace has reached its maximum size";
    let value = "v".repeat(200);
    let mut count = 0;
    loop {
        let reply = server.run(&format!("SET key:{count} {value}"));
        if reply == refused {
            break;
        }
        assert_eq!(reply, "+OK");
        count += 1;
        assert!(count < 2_000_000, "it never ends");
        if count % 1000 == 0 {
            server.advance(100);
            server.engine.tick();
        }
    }
    for request in ["LPUSH l a", "COPY key:1 other", "INCR n"] {
        assert_eq!(server.run(request), refused, "{request}");
    }
    assert_eq!(server.run("GET key:1"), format!("\"{value}\""));
    assert_eq!(server.run("EXPIRE key:1 100"), ":1");
    assert_eq!(server.run("DEL key:2"), ":1");
    assert_eq!(server.run("FLUSHALL"), "+OK");
    server.advance(100);
    server.engine.tick();
    assert_eq!(server.run("SET key v"), "+OK");
}
