//! MEMORY TOP: the walk goes on in slices while other clients are served.

use crate::harness::{Server, eventually, info_field};

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
