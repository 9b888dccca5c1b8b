//! MEMORY TOP: the walk goes on in slices while other clients are served.

use crate::harness::{Directory, Server, eventually, info_field};

#[test]
fn others_are_served_while_memory_top_walks() {
    const KEYS: u64 = 200_000;
    let server = Server::start(&["--enable-debug-command yes"]);
    let (mut operator, mut other) = (server.client(), server.client());
    assert_eq!(operator.ask(&format!("DEBUG POPULATE {KEYS} user 50")), "+OK");
    assert_eq!(operator.ask(&format!("SET blob:1 {}", "x".repeat(100_000))), "+OK");
    operator.send("MEMORY TOP COUNT 1");
    operator.send("PING");
    let (mut seen, mut walked) = (0, 0);
    eventually("the walk is over", || {
        let text = other.ask("INFO analysis");
        let field = |name: &str| text.split(name).nth(1)?.split("\r\n").next()?.parse::<u64>().ok();
        if field("memory_top_in_progress:") == Some(1) {
            let so_far = field("memory_top_keys_walked:").expect("the keys so far");
            assert!(so_far >= walked && so_far <= KEYS + 1, "{so_far} after {walked}");
            (seen, walked) = (seen + 1, so_far);
        }
        field("memory_top_walks:") == Some(1)
    });
    assert!(seen > 1, "the walk was seen {seen} times");
    let reply = operator.read();
    assert!(reply.contains("[[$key, $blob:1, ") && reply.contains("[[$prefix, $user:, "), "{reply}");
    assert!(reply.contains(&format!("$keys, :{}", KEYS + 1)), "{reply}");
    assert_eq!(operator.read(), "+PONG", "the next request waits for the reply");
    assert_eq!(info_field(&mut other, "memory_top_last_keys"), (KEYS + 1).to_string());
}

/// Its reply comes from a later turn, as do those that wait for the disk: they keep their order.
#[test]
fn memory_top_among_writes_that_are_synced() {
    let directory = Directory::new("memory-top-always");
    let dir = directory.0.to_str().expect("UTF-8");
    let options = ["--dir", dir, "--appendonly", "yes", "--appendfsync", "always"];
    let server = Server::start(&options);
    let (mut client, mut other) = (server.client(), server.client());
    for number in 0..20_000 {
        client.send(&format!("SET user:{number} {number}"));
    }
    assert!(client.read_many(20_000).iter().all(|reply| reply == "+OK"));
    for line in ["SET blob:1 a-value-of-some-length", "MEMORY TOP COUNT 1", "APPEND blob:1 !", "PING"] {
        client.send(line);
    }
    // Writes of others wait neither for the walk nor it for them.
    for number in 0..100 {
        assert_eq!(other.ask(&format!("SET other:{number} 1")), "+OK");
    }
    let replies = client.read_many(4);
    assert_eq!([&replies[0], &replies[2], &replies[3]], ["+OK", ":23", "+PONG"]);
    assert!(replies[1].contains("[[$key, $blob:1, "), "{}", replies[1]);
    drop(server);
    // What was acknowledged is in the log.
    let server = Server::start(&options);
    assert_eq!(server.client().ask("GET blob:1"), "$a-value-of-some-length!");
    assert_eq!(server.client().ask("DBSIZE"), ":20101");
}
