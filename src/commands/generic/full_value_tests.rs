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
